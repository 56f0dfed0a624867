"""NRI and IDI against Hmisc::improveProb, by definition, and in degenerate tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radsupport.errors import InputError, NotEstimableError
from radsupport.stats.usefulness import nri_idi

GOLDEN = Path(__file__).parents[1] / "golden" / "statistics"
STEMS = sorted(f.stem for f in GOLDEN.glob("nri_idi__*.json"))
NRI = {
    "nri": "nri",
    "nri_events": "nri.ev",
    "nri_nonevents": "nri.ne",
    "se_nri": "se.nri",
    "z_nri": "z.nri",
    "p_nri": "p_nri",
    "n_events": "na",
    "n_nonevents": "nb",
}
IDI = {"idi": "idi", "se_idi": "se.idi", "z_idi": "z.idi", "p_idi": "p_idi"}


def agree(found, expected, names):
    for field, key in names.items():
        assert getattr(found, field) == pytest.approx(expected[key], rel=1e-8 if "p_" in field else 1e-9), field


@pytest.mark.parametrize("stem", STEMS)
def test_equals_improve_prob(stem, r_values, r_table):
    reference = r_values(stem)
    params, expected = reference["params"], reference["values"]
    table = r_table(reference["dataset"][0])
    columns = [table[params[k]] for k in ("outcome", "old", "new")]
    continuous = nri_idi(*columns)
    agree(continuous, expected["continuous"], NRI | IDI)
    assert [continuous.nri_low, continuous.nri_high] == pytest.approx(expected["continuous"]["nri_ci95"], rel=1e-9)
    assert [continuous.idi_low, continuous.idi_high] == pytest.approx(expected["continuous"]["idi_ci95"], rel=1e-9)
    categorical = nri_idi(*columns, cut_offs=params["cuts"])
    agree(categorical, expected["categorical"], NRI)
    agree(categorical, expected["continuous"], IDI)


ROWS = st.lists(st.tuples(st.booleans(), st.integers(0, 20), st.integers(0, 20)), min_size=5, max_size=40).filter(
    lambda rows: 2 <= sum(case for case, *_ in rows) <= len(rows) - 2
)


@given(ROWS)
@settings(max_examples=50, deadline=None)
def test_laws(rows):
    y = np.array([int(case) for case, *_ in rows])
    old, new = (np.array([row[k] / 20 for row in rows]) for k in (1, 2))
    found, swapped = nri_idi(y, old, new), nri_idi(y, new, old)
    event = y == 1
    assert found.nri_events == pytest.approx((new > old)[event].mean() - (new < old)[event].mean())
    assert found.nri == pytest.approx(found.nri_events + found.nri_nonevents)
    assert found.idi == pytest.approx((new - old)[event].mean() - (new - old)[~event].mean())
    assert swapped.nri == pytest.approx(-found.nri, abs=1e-12)
    assert swapped.idi == pytest.approx(-found.idi, abs=1e-12)
    assert swapped.p_nri == pytest.approx(found.p_nri, nan_ok=True)
    assert -2 <= found.nri <= 2
    one_cut = nri_idi(y, old, new, cut_offs=[0.5])
    gain = ((new >= 0.5)[event].mean() - (old >= 0.5)[event].mean()) - (
        (new >= 0.5)[~event].mean() - (old >= 0.5)[~event].mean()
    )
    # With one cut-off the NRI is the gain in Youden's index.
    assert one_cut.nri == pytest.approx(gain, abs=1e-12)


def test_no_change_and_the_same_change_for_all_have_no_variance():
    y, p = [0, 1, 0, 1], np.array([0.1, 0.2, 0.3, 0.4])
    same = nri_idi(y, p, p)
    assert (same.nri, same.idi, same.se_nri, same.se_idi) == (0, 0, 0, 0)
    assert np.isnan([same.z_nri, same.p_nri, same.z_idi, same.p_idi]).all()
    shifted = nri_idi(y, p, p + 0.1)
    assert shifted.se_idi == 0
    assert np.isnan(shifted.p_idi)
    perfect = nri_idi(y, [0.5] * 4, [0.2, 0.8, 0.2, 0.8])
    assert (perfect.nri, perfect.z_nri, perfect.p_nri, perfect.p_idi) == (2, np.inf, 0, 0)


def test_three_subjects_have_no_idi_variance():
    found = nri_idi([0, 1, 1], [0.2, 0.4, 0.6], [0.1, 0.5, 0.5])
    assert found.nri == 1
    assert np.isnan([found.se_idi, found.p_idi]).all()


def test_bad_input_is_refused():
    y, p = [0, 1, 1], [0.2, 0.4, 0.6]
    with pytest.raises(NotEstimableError):
        nri_idi([1, 1, 1], p, p)
    with pytest.raises(InputError, match="p_new"):
        nri_idi(y, p, [0.1, np.nan, 0.3])
    with pytest.raises(InputError, match="p_old"):
        nri_idi(y, [1, 2, 3], p)
    with pytest.raises(InputError, match="rise"):
        nri_idi(y, p, p, cut_offs=[0.5, 0.2])
