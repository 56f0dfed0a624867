"""Chained equations: filled-in values occur, known ones stay, missing at random is recovered; Rubin's rules."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from radsupport.errors import InputError
from radsupport.stats.imputation import chain, missing_patterns, pooled


def patients(n: int = 400, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(n)
    kind = np.where(x + rng.standard_normal(n) * 0.3 > 0.5, "c", np.where(x < -0.5, "a", "b"))
    return pd.DataFrame({"x": x, "y": 2 * x + rng.standard_normal(n), "kind": kind})


def missing_at_random(table: pd.DataFrame) -> pd.DataFrame:
    """Leave out y, and the kind, of most patients whose x is high."""
    rng = np.random.default_rng(1)
    gone = (table["x"] > 0) & (rng.random(len(table)) < 0.8)
    return table.assign(y=table["y"].mask(gone), kind=table["kind"].mask(gone & (rng.random(len(table)) < 0.7)))


def test_what_is_missing_at_random_is_recovered() -> None:
    whole = patients(3000)
    gappy = missing_at_random(whole)
    draws = [chain(gappy, seed).completed for seed in range(5)]
    mean = np.mean([draw["y"].mean() for draw in draws])
    assert gappy["y"].mean() < whole["y"].mean() - 0.4  # complete patients alone are misleading
    assert mean == pytest.approx(whole["y"].mean(), abs=0.12)
    slopes = [np.polyfit(draw["x"], draw["y"], 1)[0] for draw in draws]
    assert np.mean(slopes) == pytest.approx(2.0, abs=0.1)
    shares = np.mean([(draw["kind"] == "c").mean() for draw in draws])
    assert shares == pytest.approx((whole["kind"] == "c").mean(), abs=0.06)
    assert (gappy["kind"] == "c").mean() / gappy["kind"].notna().mean() < (whole["kind"] == "c").mean() - 0.08


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_known_values_are_kept_and_filled_ones_occur(seed: int) -> None:
    gappy = missing_at_random(patients(60, seed))
    gappy.loc[0, "x"] = np.nan
    found = chain(gappy, seed).completed
    assert found.notna().all().all()
    for name in gappy:
        known = gappy[name].notna()
        assert found.loc[known, name].equals(gappy.loc[known, name])
        assert set(found[name]) <= set(gappy[name].dropna())
    pd.testing.assert_frame_equal(found, chain(gappy, seed).completed)


def test_other_patients_are_filled_by_the_fit_alone() -> None:
    fitted = chain(missing_at_random(patients()), 3)
    before = fitted.completed.copy()
    new = pd.DataFrame({"x": [2.0, -2.0, 0.0], "y": [np.nan, np.nan, 100.0], "kind": ["c", "a", np.nan]})
    filled = fitted.fill(new)
    pd.testing.assert_frame_equal(fitted.completed, before)
    assert filled.loc[0, "y"] > 1 > -1 > filled.loc[1, "y"]
    assert filled.loc[2, "y"] == 100.0  # known, however odd
    assert filled.loc[2, "kind"] in set("abc")


def test_categories_keep_their_dtype() -> None:
    gappy = missing_at_random(patients(50)).astype({"kind": pd.CategoricalDtype(["a", "b", "c"], ordered=True)})
    assert chain(gappy, 0).completed["kind"].dtype == gappy["kind"].dtype


def test_without_gaps_nothing_changes_and_a_column_without_values_is_refused() -> None:
    whole = patients(20)
    pd.testing.assert_frame_equal(chain(whole, 0).completed, whole)
    with pytest.raises(InputError, match="without any value"):
        chain(whole.assign(z=np.nan), 0)


def test_rubins_rules_by_hand() -> None:
    # Q = 1, 2, 3 and U = 0.5 each: within 0.5, between 1, total 0.5 + 4/3; Barnard and Rubin's degrees of freedom
    found = pooled([[1.0], [2.0], [3.0]], [[0.5]] * 3, residual_df=20).iloc[0]
    total, share = 0.5 + 4 / 3, (4 / 3) / (0.5 + 4 / 3)
    df = 1 / (share**2 / 2 + 1 / (21 / 23 * 20 * (1 - share)))
    ratio = (4 / 3) / 0.5
    assert found["estimate"] == pytest.approx(2.0)
    assert found["se"] == pytest.approx(total**0.5)
    assert found["df"] == pytest.approx(df)
    assert found["p"] == pytest.approx(2 * stats.t.sf(2 / total**0.5, df))
    assert found["ci_low"] == pytest.approx(2 - stats.t.ppf(0.975, df) * total**0.5)
    assert found["missing"] == pytest.approx((ratio + 2 / (df + 3)) / (ratio + 1))


def test_tables_that_agree_lose_nothing() -> None:
    found = pooled([[1.5]] * 4, [[0.04]] * 4, residual_df=1e9).iloc[0]
    assert (found["se"], found["missing"]) == (pytest.approx(0.2), 0.0)
    assert found["p"] == pytest.approx(2 * stats.norm.sf(7.5), rel=1e-6)
    with pytest.raises(InputError, match="two or more"):
        pooled([[1.0]], [[1.0]], 10)


def test_patterns_count_patients_by_what_is_missing_together() -> None:
    table = pd.DataFrame(
        {"a": [1, np.nan, np.nan, 4, 5], "b": [1, np.nan, 3, 4, np.nan], "c": range(5), "d": [1, np.nan, 1, 1, 1]}
    )
    found = missing_patterns(table, ["a", "b", "c", "d"])
    assert list(found) == ["n", "gaps", "a", "b", "d"]  # the most incomplete first, complete columns left out
    assert found.to_numpy().tolist() == [
        [2, 0, False, False, False], [1, 1, False, True, False], [1, 1, True, False, False], [1, 3, True, True, True]
    ]  # fmt: skip
    assert missing_patterns(table, ["c"]).empty
    assert missing_patterns(table.head(0), ["a"]).empty
