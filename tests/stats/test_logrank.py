from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lifelines.statistics import multivariate_logrank_test
from scipy import stats

from radsupport.errors import InputError, NotEstimableError
from radsupport.stats.cox import evaluate, risk_sets
from radsupport.stats.logrank import log_rank

FILES = Path(__file__).parents[1] / "golden" / "statistics"
CASES = sorted(path.stem for path in FILES.glob("logrank__*.json"))


def load(case, r_values, r_table):
    reference = r_values(case)
    table, params = r_table(reference["dataset"][0]), reference["params"]
    return table, params, reference["values"]


@pytest.mark.parametrize("case", CASES)
def test_plain_test_equals_r(case, r_values, r_table, agree):
    table, params, values = load(case, r_values, r_table)
    found, expected = (
        log_rank(table[params["time"]], table[params["status"]], table[params["group"]]),
        values["logrank"],
    )
    assert found.df == expected["df"]
    agree(found.chi2, expected["chi2"])
    agree(found.p, expected["p"], rtol=1e-8)


@pytest.mark.parametrize("case", CASES)
def test_stratified_test_equals_r(case, r_values, r_table, agree):
    table, params, values = load(case, r_values, r_table)
    used = table.dropna(subset=[params["strata"]])
    found = log_rank(used[params["time"]], used[params["status"]], used[params["group"]], strata=used[params["strata"]])
    assert found.df == values["stratified"]["df"]
    agree(found.chi2, values["stratified"]["chi2"])
    agree(found.p, values["stratified"]["p"], rtol=1e-8)


@settings(deadline=None)
@given(st.integers(0, 10_000))
def test_same_as_lifelines_and_indifferent_to_labels_and_clock(seed):
    rng = np.random.default_rng(seed)
    time, event, group = rng.integers(1, 15, 40), rng.integers(0, 2, 40), rng.integers(0, 3, 40)
    event[:3], group[:3], time[:3] = 1, [0, 1, 2], 1
    found = log_rank(time, event, group)
    assert found.chi2 == pytest.approx(multivariate_logrank_test(time, group, event).test_statistic, rel=1e-9, abs=1e-9)
    relabelled = log_rank(np.sqrt(time), event, np.array(["z", "y", "x"])[group])
    assert relabelled.chi2 == pytest.approx(found.chi2, rel=1e-9, abs=1e-9)


def test_without_ties_it_is_the_score_test_of_a_cox_model():
    rng = np.random.default_rng(4)
    table = pd.DataFrame({"t": rng.exponential(size=60), "e": rng.integers(0, 2, 60), "g": rng.integers(0, 2, 60)})
    sets = risk_sets(table.t.to_numpy(), table.e.to_numpy(), "efron")
    _, score, information = evaluate(sets, table[["g"]].to_numpy(dtype=float)[sets.order], np.zeros(1))
    assert log_rank(table.t, table.e, table.g).chi2 == pytest.approx((score**2 / information[0]).item(), rel=1e-10)


def test_one_stratum_changes_nothing(cohort):
    plain = log_rank(cohort.time, cohort.event, cohort.g)
    same = log_rank(cohort.time, cohort.event, cohort.g, strata=np.zeros(len(cohort)))
    assert same.chi2 == pytest.approx(plain.chi2)


def test_a_group_that_is_never_at_risk_costs_no_degree_of_freedom():
    found = log_rank([1, 2, 5, 6, 0.1], [1, 1, 1, 1, 0], [0, 0, 1, 1, 2])
    assert found.df == 1


def test_a_tiny_p_is_not_zero():
    n = 400
    found = log_rank(np.arange(2 * n), np.ones(2 * n, dtype=int), np.repeat([0, 1], n))
    assert 0 < found.p < 1e-50
    assert np.log(found.p) == pytest.approx(stats.chi2.logsf(found.chi2, 1))


@pytest.mark.parametrize(
    ("time", "event", "group"),
    [
        ([1, 2, 3], [1, 1, 1], ["a", "a", "a"]),
        ([1, 2, 3], [0, 0, 0], ["a", "b", "a"]),
        ([1, 1, 1, 1], [1, 1, 1, 1], [0, 1, 0, 1]),  # all die at once: nothing is random
        ([1, 1, 5, 5], [0, 0, 1, 1], [0, 0, 1, 1]),  # never at risk together
    ],
)
def test_nothing_to_compare_is_an_error(time, event, group):
    with pytest.raises(NotEstimableError):
        log_rank(time, event, group)


def test_bad_arguments_are_refused():
    with pytest.raises(InputError, match="missing"):
        log_rank([1, 2, 3], [1, 1, 0], ["a", None, "b"])
    with pytest.raises(InputError, match="expected"):
        log_rank([1, 2, 3], [1, 1, 0], [0, 1])
