from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radsupport.errors import InputError
from radsupport.stats.survival_curves import restricted_mean, restricted_mean_difference

FILES = Path(__file__).parents[1] / "golden" / "statistics"
CASES = sorted(path.stem for path in FILES.glob("km__*.json"))


@pytest.mark.parametrize("case", CASES)
def test_restricted_means_equal_r(case, r_values, r_table, agree):
    reference = r_values(case)
    table, params, values = r_table(reference["dataset"][0]), reference["params"], reference["values"]
    for level, expected in values["groups"].items():
        chosen = table if not params.get("group") else table[table[params["group"]].astype(str) == level]
        found = restricted_mean(chosen[params["time"]], chosen[params["status"]], params["tau"])
        agree([found.rmst, found.se], [expected["rmst"]["rmst"], expected["rmst"]["se"]])
    difference = values.get("rmst_difference_by_formula")
    if difference:
        group = table[params["group"]]
        found = restricted_mean_difference(table[params["time"]], table[params["status"]], group, params["tau"])
        agree([found.difference, found.se], [difference["difference_group2_minus_group1"], difference["se"]])
        agree([found.ci_low, found.ci_high], difference["ci95"])
        agree([found.z, found.p], [difference["z"], difference["p"]], rtol=1e-8)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=25), st.integers(1, 40))
def test_without_censoring_it_is_the_mean_of_the_cut_times(times, tau):
    found = restricted_mean(times, np.ones(len(times)), tau)
    cut = np.minimum(times, tau)
    assert found.rmst == pytest.approx(cut.mean(), rel=1e-12)
    assert found.se == pytest.approx(cut.std() / np.sqrt(len(times)), rel=1e-9, abs=1e-9)


def test_beyond_follow_up_the_curve_is_extended_flat():
    assert restricted_mean([1, 2, 3], [1, 0, 0], 10).rmst == pytest.approx(1 + 9 * 2 / 3)


def test_all_censored_lives_to_the_horizon():
    found = restricted_mean([4, 5, 6], [0, 0, 0], 4)
    assert (found.rmst, found.se) == (4, 0)


@pytest.mark.parametrize("tau", [0, -1, np.nan, np.inf])
def test_impossible_horizons_are_refused(tau):
    with pytest.raises(InputError, match="tau"):
        restricted_mean([1, 2], [1, 0], tau)


def test_a_difference_needs_two_groups():
    with pytest.raises(InputError, match="Exactly two groups"):
        restricted_mean_difference([1, 2, 3], [1, 1, 1], ["a", "b", "c"], 2)
