"""Tests of groups and of many features at once against R, scipy and permutation."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from radsupport.errors import InputError, NotEstimableError
from radsupport.stats import groups as group_tests
from radsupport.stats.table_one import compare_groups

GOLDEN = Path(__file__).parents[1] / "golden" / "statistics"


def stems(topic):
    return sorted(f.stem for f in GOLDEN.glob(f"{topic}__*.json"))


def samples(r_table, reference):
    params = reference["params"]
    table = r_table(reference["dataset"][0])[[params["numeric"], params["group"]]].dropna()
    return table[params["numeric"]], table[params["group"]]


@pytest.mark.parametrize("stem", stems("group2"))
def test_two_groups_equal_r(stem, r_values, r_table):
    reference = r_values(stem)
    expected = reference["values"]
    value, group = samples(r_table, reference)
    for test, key in (("welch_t", "welch"), ("student_t", "pooled")):
        found = compare_groups(value, group, test)
        assert found.statistic == pytest.approx(expected[key]["t"], rel=1e-9)
        assert found.df == pytest.approx(expected[key]["df"], rel=1e-9)
        assert found.p == pytest.approx(expected[key]["p"], rel=1e-8)
    ranks = expected["mann_whitney"]
    found = compare_groups(value, group, "mann_whitney")
    assert (found.test, found.statistic) == ("mann_whitney", ranks["U_group1"])
    assert found.p == pytest.approx(ranks["p_R_default"], rel=1e-8)
    assert found.n == len(value)
    a, b = (value[group.astype(str) == expected[k]] for k in ("group1", "group2"))
    for continuity, key in ((True, "p_normal_with_continuity"), (False, "p_normal_no_continuity")):
        assert group_tests.mann_whitney(a, b, exact=False, continuity=continuity)[1] == pytest.approx(
            ranks[key], rel=1e-8
        )
    if ranks["p_exact_or_null_if_ties"] is None:
        with pytest.raises(InputError, match="tied"):
            group_tests.mann_whitney(a, b, exact=True)
    else:
        assert group_tests.mann_whitney(a, b, exact=True)[1] == pytest.approx(
            ranks["p_exact_or_null_if_ties"], rel=1e-8
        )
    for sample, key in ((a, "shapiro_group1"), (b, "shapiro_group2")):
        assert group_tests.normality_p(sample) == pytest.approx(expected[key]["p"], rel=1e-6)
    normal = min(expected[k]["p"] for k in ("shapiro_group1", "shapiro_group2")) > 0.05
    assert compare_groups(value, group).test == ("welch_t" if normal else "mann_whitney")


@pytest.mark.parametrize("stem", stems("group2"))
def test_feature_tests_choose_and_give_what_r_gives(stem, r_values, r_table):
    reference = r_values(stem)
    expected = reference["values"]
    value, group = samples(r_table, reference)
    y = (group.astype(str) == expected["group2"]).astype(int)
    X = pd.DataFrame({"raw": value, "twice": 2 * value, "constant": 1.0})
    for rule, p in (("t", expected["welch"]["p"]), ("mann_whitney", expected["mann_whitney"]["p_R_default"])):
        found = group_tests.feature_tests(X, y, rule).set_index("feature")["p"]
        assert found[["raw", "twice"]].tolist() == pytest.approx([p, p], rel=1e-8)
        assert np.isnan(found["constant"])
    table = group_tests.feature_tests(X, y).set_index("feature")
    single = compare_groups(value, group)
    assert table.loc["raw", "test"] == single.test
    assert table.loc["raw", ["statistic", "p"]].tolist() == pytest.approx([single.statistic, single.p], rel=1e-8)


@pytest.mark.parametrize("stem", stems("groupk"))
def test_many_groups_equal_r(stem, r_values, r_table):
    reference = r_values(stem)
    expected = reference["values"]
    value, group = samples(r_table, reference)
    anova, welch, kruskal = (compare_groups(value, group, test) for test in ("anova", "welch_anova", "kruskal"))
    assert anova.statistic == pytest.approx(expected["anova"]["F"], rel=1e-9)
    assert (anova.df, anova.df2) == (expected["anova"]["df1"], expected["anova"]["df2"])
    assert anova.p == pytest.approx(expected["anova"]["p"], rel=1e-8)
    assert welch.statistic == pytest.approx(expected["welch_anova"]["F"], rel=1e-9)
    assert (welch.df, welch.df2) == pytest.approx([expected["welch_anova"][k] for k in ("df1", "df2")], rel=1e-9)
    assert welch.p == pytest.approx(expected["welch_anova"]["p"], rel=1e-8)
    assert kruskal.statistic == pytest.approx(expected["kruskal"]["chi2"], rel=1e-9)
    assert kruskal.df == expected["kruskal"]["df"]
    assert kruskal.p == pytest.approx(expected["kruskal"]["p"], rel=1e-8)
    assert compare_groups(value, group).test in ("anova", "kruskal")
    for test in ("student_t", "welch_t", "mann_whitney"):
        with pytest.raises(InputError, match="two groups"):
            compare_groups(value, group, test)


@pytest.mark.parametrize("stem", stems("normality"))
def test_normality_equals_r(stem, r_values, r_table):
    reference = r_values(stem)
    values = r_table(reference["dataset"][0])[reference["params"]["column"]].dropna()
    assert len(values) == reference["values"]["n"]
    assert group_tests.normality_p(values) == pytest.approx(reference["values"]["shapiro_p"], rel=1e-6)


def exact_by_permutation(a, b):
    pooled = np.concatenate([a, b])
    ranks = stats.rankdata(pooled)
    sums = np.array([sum(ranks[list(c)]) for c in itertools.combinations(range(pooled.size), a.size)])
    own, centre = ranks[: a.size].sum(), a.size * (pooled.size + 1) / 2
    return (np.abs(sums - centre) >= abs(own - centre) - 1e-9).mean()


def test_mann_whitney_is_exact_below_fifty_without_ties():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=9), rng.normal(0.5, size=10)  # scipy's own default is approximate here
    assert group_tests.mann_whitney(a, b)[1] == pytest.approx(exact_by_permutation(a, b), rel=1e-9)
    a, b = rng.normal(size=49), rng.normal(0.4, size=49)
    assert group_tests.mann_whitney(a, b)[1] == group_tests.mann_whitney(a, b, exact=True)[1]
    b = rng.normal(0.4, size=50)
    assert group_tests.mann_whitney(a, b)[1] == group_tests.mann_whitney(a, b, exact=False)[1]
    assert group_tests.mann_whitney([1, 4], [2, 3])[1] == 1
    assert group_tests.mann_whitney([1, 1, 2], [1, 1, 2])[1] == 1


@pytest.mark.parametrize("n", [(1, 1), (1, 5), (5, 1), (10, 46), (49, 49)])
def test_exact_p_of_many_columns_is_that_of_each(n):
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(n[0], 30)), rng.normal(0.3, size=(n[1], 30))
    found = group_tests.feature_tests(np.concatenate([a, b]), np.repeat([0, 1], n), "mann_whitney")
    each = stats.mannwhitneyu(a, b, axis=0, method="exact")
    assert (found["statistic"] == each.statistic).all()
    assert (found["p"] == each.pvalue).all()


def feature_block(n=(30, 45), features=40, seed=2):
    rng = np.random.default_rng(seed)
    y = np.repeat([0, 1], n)
    X = rng.normal(size=(y.size, features)) + np.linspace(0, 1, features) * y[:, None]
    X[:, ::4] = np.exp(X[:, ::4])
    X[:, 1::4] = X[:, 1::4].round(1)
    X[:, -1] = 3.0
    return pd.DataFrame(X, columns=[f"f{i}" for i in range(features)]), y


@pytest.mark.parametrize("n", [(30, 45), (60, 55), (3, 4), (2, 5)])
@pytest.mark.parametrize("rule", group_tests.RULES)
def test_all_features_at_once_equal_one_by_one(n, rule):
    X, y = feature_block(n)
    found = group_tests.feature_tests(X, y, rule).set_index("feature")
    for name in X.columns.drop("f39"):
        test = {"t": "welch_t", "mann_whitney": "mann_whitney", "shapiro": "auto"}[rule]
        single = compare_groups(X[name], y, test, kind="continuous")
        assert found.loc[name, "test"] == single.test
        assert found.loc[name, "statistic"] == pytest.approx(single.statistic, rel=1e-9, abs=1e-12)
        assert found.loc[name, "p"] == pytest.approx(single.p, rel=1e-8)
    assert np.isnan(found.loc["f39", "p"])


def test_missing_values_of_features_are_left_out_feature_by_feature():
    X, y = feature_block()
    X.iloc[:4, 0] = np.nan
    X.iloc[[1, 50], 2] = np.inf
    X["empty"] = np.nan
    X["one_sided"] = np.where(y == 1, 1.0 * np.arange(y.size), np.nan)
    found = group_tests.feature_tests(X, y, "mann_whitney").set_index("feature")
    assert found.loc["f0", "n"] == 71
    assert found.loc["f0", "p"] == pytest.approx(compare_groups(X["f0"], y, "mann_whitney").p)
    assert found.loc["f2", "n"] == 73
    assert found.loc["empty", ["test", "n"]].tolist() == ["none", 0]
    assert found.loc[["empty", "one_sided"], "p"].isna().all()
    assert list(found.index) == list(X.columns)


def test_features_that_are_constant_up_to_rounding_have_no_t_test():
    y = np.repeat([0, 1], 10)
    X = pd.DataFrame(
        {"sum": np.full(20, 0.1) + 0.2, "step": np.where(y == 1, 2.0, 1.0), "large": 1e9 + np.arange(20.0)}
    )
    X["rounding"] = 1 + np.finfo(float).eps * (np.arange(20) % 2)
    found = group_tests.feature_tests(X, y, "t").set_index("feature")["p"]
    assert found.isna().tolist() == [True, True, False, True]
    assert found["large"] == pytest.approx(
        stats.ttest_ind(np.arange(10.0), np.arange(10.0, 20), equal_var=False).pvalue
    )


def test_bad_features_are_refused():
    X, y = feature_block()
    with pytest.raises(InputError, match="rule"):
        group_tests.feature_tests(X, y, "anova")
    with pytest.raises(InputError, match="not numeric"):
        group_tests.feature_tests(X.assign(sex="m"), y)
    with pytest.raises(InputError, match="rows"):
        group_tests.feature_tests(X.iloc[1:], y)
    with pytest.raises(NotEstimableError, match="both 0 and 1"):
        group_tests.feature_tests(X, np.ones(len(X)))
    assert group_tests.feature_tests(X.to_numpy(), y, "t")["feature"].tolist() == list(range(40))


def test_normality_of_large_and_tiny_samples():
    rng = np.random.default_rng(4)
    assert group_tests.normality_p(rng.normal(size=6000)) > 0.01
    assert group_tests.normality_p(rng.exponential(size=6000)) < 1e-10
    with pytest.raises(NotEstimableError, match="three values"):
        group_tests.normality_p([1.0, 2.0])
    with pytest.raises(NotEstimableError):
        group_tests.normality_p([2.0, 2.0, 2.0])
    assert group_tests.normality_p([1.0, 2.0, 4.0]) == pytest.approx(stats.shapiro([1, 2, 4]).pvalue)
