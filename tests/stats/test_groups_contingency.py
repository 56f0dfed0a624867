"""Tests of contingency tables against R, brute force and random tables."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from radsupport.errors import InputError, NotEstimableError
from radsupport.stats import groups as contingency
from radsupport.stats.table_one import compare_groups

GOLDEN = Path(__file__).parents[1] / "golden" / "statistics"


def stems(topic):
    return sorted(f.stem for f in GOLDEN.glob(f"{topic}__*.json"))


@pytest.mark.parametrize("stem", stems("contingency"))
def test_contingency_equals_r(stem, r_values, r_table):
    reference = r_values(stem)
    params, expected = reference["params"], reference["values"]
    table = r_table(reference["dataset"][0])
    if params["counts"]:
        table = table.loc[np.repeat(table.index, table[params["counts"]])]
    rows, columns = table[params["row"]], table[params["col"]]
    plain = compare_groups(rows, columns, "chi_square")
    assert plain.statistic == pytest.approx(expected["chi2_no_yates"]["chi2"], rel=1e-9)
    assert plain.df == expected["chi2_no_yates"]["df"]
    assert plain.p == pytest.approx(expected["chi2_no_yates"]["p"], rel=1e-8)
    counts = expected["table"]["matrix"]
    assert contingency.expected_counts(counts) == pytest.approx(np.array(expected["expected"]["matrix"]), rel=1e-12)
    if expected["fisher_p_two_sided"] is None:
        with pytest.raises(NotEstimableError, match="Too many tables"):
            compare_groups(rows, columns, "fisher")
    else:
        exact = compare_groups(rows, columns, "fisher")
        assert exact.p == pytest.approx(expected["fisher_p_two_sided"], rel=1e-8)
        assert compare_groups(columns, rows, "fisher").p == pytest.approx(exact.p, rel=1e-9)
        odds_ratio = expected.get("fisher_odds_ratio_conditional_mle", np.nan)
        assert exact.statistic == pytest.approx(odds_ratio, rel=1e-3, nan_ok=True)
    if "chi2_yates" in expected:
        corrected = compare_groups(rows, columns, "chi_square_yates")
        assert corrected.statistic == pytest.approx(expected["chi2_yates"]["chi2"], rel=1e-9)
        assert corrected.p == pytest.approx(expected["chi2_yates"]["p"], rel=1e-8)
    else:
        with pytest.raises(InputError, match="2 x 2"):
            compare_groups(rows, columns, "chi_square_yates")


def brute_force(table):
    """Fisher's p by listing every table of two rows."""
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    weights = {}
    for cells in itertools.product(*(range(c + 1) for c in columns)):
        if sum(cells) == rows[0]:
            weights[cells] = np.prod([stats.binom.pmf(k, c, 0.5) for k, c in zip(cells, columns, strict=True)])
    observed = weights[tuple(table[0])]
    return sum(w for w in weights.values() if w <= observed * (1 + 1e-7)) / sum(weights.values())


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=4))
@settings(max_examples=40, deadline=None)
def test_fisher_equals_brute_force(columns):
    table = np.array(columns).T
    kept = table[:, table.any(axis=0)]
    if kept.shape[1] < 2 or not table.any(axis=1).all():
        with pytest.raises(NotEstimableError):
            contingency.fisher_exact(table)
        return
    expected = brute_force(kept)
    for arranged in (table, table[:, ::-1], table.T, table[::-1]):
        assert contingency.fisher_exact(arranged).p == pytest.approx(expected, rel=1e-9)


def test_fisher_of_known_larger_tables():
    """Values printed by R: help page of fisher.test (job satisfaction, 0.7827), MASS survey Exer x Smoke (0.4138)."""
    job = [[1, 2, 1, 0], [3, 3, 6, 1], [10, 10, 14, 9], [6, 7, 12, 11]]
    assert contingency.fisher_exact(job).p == pytest.approx(0.7827, abs=5e-5)
    assert contingency.fisher_exact([[7, 87, 12, 9], [1, 18, 3, 1], [3, 84, 4, 7]]).p == pytest.approx(0.4138, abs=5e-5)


def test_fisher_agrees_with_random_tables():
    table = np.array([[8, 3, 1], [2, 6, 5], [4, 4, 9]])
    drawn = stats.random_table(table.sum(axis=1), table.sum(axis=0), seed=3).rvs(20_000)
    distribution = stats.random_table(table.sum(axis=1), table.sum(axis=0))
    share = (distribution.logpmf(drawn) <= distribution.logpmf(table) + 1e-7).mean()
    assert contingency.fisher_exact(table).p == pytest.approx(share, abs=0.005)


def test_bad_tables_are_refused():
    for bad in ([[1, 2], [3, np.nan]], [[1, -2], [3, 4]], [[1.5, 2], [3, 4]], [1, 2, 3], [["a", "b"]]):
        with pytest.raises(InputError, match="counts"):
            contingency.fisher_exact(bad)
    with pytest.raises(NotEstimableError, match="not empty"):
        contingency.chi_square([[3, 4], [0, 0]])
    assert contingency.chi_square([[3, 4, 0], [5, 1, 0]]).df == 1


def test_a_cross_table_follows_the_order_of_categories_and_its_odds_ratio_with_it():
    """Margins of 3 and 3: the conditional odds ratio r of [[2, 1], [1, 2]] solves r³ - 9 r - 2 = 0, r = 3.1055."""
    value, group = ["no", "no", "yes", "no", "yes", "yes"], list("tttxxx")
    levels, groups = ["yes", "no"], ["x", "t"]
    plain = contingency.cross_table(pd.Series(value), pd.Series(group))
    assert plain.tolist() == [[2, 1], [1, 2]]
    ordered = contingency.cross_table(
        pd.Series(pd.Categorical(value, levels)), pd.Series(pd.Categorical(group, [*groups, "never"]))
    )
    assert ordered.tolist() == [[2, 1], [1, 2]]
    half = contingency.cross_table(pd.Series(pd.Categorical(value, levels)), pd.Series(group))
    assert half.tolist() == [[1, 2], [2, 1]]
    assert contingency.fisher_exact(plain).statistic == pytest.approx(3.10548, abs=1e-5)
    assert contingency.fisher_exact(half).statistic == pytest.approx(1 / 3.10548, abs=1e-5)
