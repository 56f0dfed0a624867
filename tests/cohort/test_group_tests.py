"""Tests of groups, features, tables, pairs and correlations against R, scipy and permutation."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from radsupport.cohort import contingency, correlation, group_tests
from radsupport.cohort.tables import compare_groups, compare_paired
from radsupport.errors import InputError, NotEstimableError

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
        found = group_tests.test_features(X, y, rule)
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


@pytest.mark.parametrize("stem", stems("normality"))
def test_normality_equals_r(stem, r_values, r_table):
    reference = r_values(stem)
    values = r_table(reference["dataset"][0])[reference["params"]["column"]].dropna()
    assert len(values) == reference["values"]["n"]
    assert group_tests.normality_p(values) == pytest.approx(reference["values"]["shapiro_p"], rel=1e-6)


@pytest.mark.parametrize("stem", stems("correlation"))
def test_correlation_equals_r(stem, r_values, r_table):
    reference = r_values(stem)
    params, expected = reference["params"], reference["values"]
    table = r_table(reference["dataset"][0])[[params["x"], params["y"]]]
    keys = {"pearson": ("r", "p"), "spearman": ("rho", "p_t_approximation"), "kendall": ("tau", "p_normal")}
    for method, (r, p) in keys.items():
        theirs = expected["kendall_tau_b" if method == "kendall" else method]
        found = correlation.correlate(table[params["x"]], table[params["y"]], method)
        assert found.n == expected["n"]
        assert found.r == pytest.approx(theirs[r], rel=1e-9)
        assert found.p == pytest.approx(theirs[p], rel=1e-8)
        row = correlation.correlation_table(table, method).iloc[0]
        assert [row["r"], row["p"], row["n"]] == pytest.approx([theirs[r], theirs[p], expected["n"]], rel=1e-8)
    pearson = correlation.correlate(table[params["x"]], table[params["y"]])
    assert [pearson.ci_low, pearson.ci_high] == pytest.approx(expected["pearson"]["ci95"], rel=1e-9)


@pytest.mark.parametrize("stem", stems("paired"))
def test_pairs_equal_r(stem, r_values, r_table):
    reference = r_values(stem)
    expected = reference["values"]
    table = r_table(reference["dataset"][0])
    a, b = (table[reference["params"][k]] for k in ("a", "b"))
    found = compare_paired(a, b, "paired_t")
    assert found.n == expected["n"]
    assert found.statistic == pytest.approx(expected["paired_t"]["t"], rel=1e-9)
    assert (found.df, found.difference) == pytest.approx(
        (expected["paired_t"]["df"], expected["paired_t"]["mean_difference"]), rel=1e-9
    )
    assert found.p == pytest.approx(expected["paired_t"]["p"], rel=1e-8)
    ranks, signed = expected["wilcoxon_signed_rank"], compare_paired(a, b, "wilcoxon")
    assert signed.statistic == ranks["V"]
    exact = ranks["p_exact_or_null"]
    assert signed.p == pytest.approx(ranks["p_normal_with_continuity"] if exact is None else exact, rel=1e-8)


def test_signed_rank_is_exact_without_ties():
    a = np.array([1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30])
    b = np.array([0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29])
    found = compare_paired(a, b, "wilcoxon")
    # R's wilcox.test help page: Hollander & Wolfe's depression data, V = 40, two-sided p = 0.0390625.
    assert (found.statistic, found.p) == (40, pytest.approx(0.0390625, rel=1e-12))


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
    found = group_tests.test_features(X, y, "t")
    assert found.isna().tolist() == [True, True, False, True]
    assert found["large"] == pytest.approx(
        stats.ttest_ind(np.arange(10.0), np.arange(10.0, 20), equal_var=False).pvalue
    )


def test_bad_features_are_refused():
    X, y = feature_block()
    with pytest.raises(InputError, match="rule"):
        group_tests.test_features(X, y, "anova")
    with pytest.raises(InputError, match="not numeric"):
        group_tests.test_features(X.assign(sex="m"), y)
    with pytest.raises(InputError, match="rows"):
        group_tests.test_features(X.iloc[1:], y)
    with pytest.raises(NotEstimableError, match="both 0 and 1"):
        group_tests.test_features(X, np.ones(len(X)))
    assert group_tests.test_features(X.to_numpy(), y, "t").index.tolist() == list(range(40))


def test_normality_of_large_and_tiny_samples():
    rng = np.random.default_rng(4)
    assert group_tests.normality_p(rng.normal(size=6000)) > 0.01
    assert group_tests.normality_p(rng.exponential(size=6000)) < 1e-10
    with pytest.raises(NotEstimableError, match="three values"):
        group_tests.normality_p([1.0, 2.0])
    with pytest.raises(NotEstimableError):
        group_tests.normality_p([2.0, 2.0, 2.0])
    assert group_tests.normality_p([1.0, 2.0, 4.0]) == pytest.approx(stats.shapiro([1, 2, 4]).pvalue)


def test_degenerate_pairs_and_correlations():
    with pytest.raises(NotEstimableError, match="do not vary"):
        compare_paired([1, 2, 3], [0, 1, 2])
    assert compare_paired([1, 2, 3, 5], [0, 1, 2, 4], "wilcoxon").statistic == 10
    with pytest.raises(NotEstimableError, match="do not vary"):
        compare_paired([1, 2, 3], [1, 2, 3], "wilcoxon")
    with pytest.raises(InputError, match="shapes"):
        compare_paired([1, 2], [1, 2, 3])
    with pytest.raises(InputError, match="test"):
        compare_paired([1, 2], [2, 2], "sign")
    found = compare_paired([1, 2, np.nan, 9], [0, 3, 1, 4])
    assert (found.n, found.n_missing) == (3, 1)
    assert compare_paired([1, 2], [0, 4]).test == "wilcoxon"
    with pytest.raises(NotEstimableError, match="correlation"):
        correlation.correlate([1, 1, 1], [1, 2, 3])
    with pytest.raises(NotEstimableError, match="correlation"):
        correlation.correlate([1, 2, np.nan], [1, 2, 3])
    with pytest.raises(InputError, match="method"):
        correlation.correlate([1, 2, 3], [1, 2, 3], "phi")
    with pytest.raises(InputError, match="shapes"):
        correlation.correlate([1, 2, 3], [1, 2])
    perfect = correlation.correlate([1, 2, 3, 4], [2, 4, 6, 8])
    assert (perfect.r, perfect.p) == (pytest.approx(1), pytest.approx(0, abs=1e-12))


@pytest.mark.parametrize("method", correlation.METHODS)
def test_every_pair_equals_one_by_one(method):
    X, _ = feature_block(features=6)
    X.iloc[:5, 2] = np.nan
    found = correlation.correlation_table(X.rename(columns={"f5": "constant"}), method)
    assert len(found) == 15
    for row in found.itertuples():
        if "constant" in (row.feature_a, row.feature_b):
            assert np.isnan([row.r, row.p]).all()
            continue
        single = correlation.correlate(X[row.feature_a], X[row.feature_b], method)
        assert [row.r, row.p, row.n] == pytest.approx([single.r, single.p, single.n], rel=1e-8)
    with pytest.raises(InputError, match="at least two"):
        correlation.correlation_table(X[["f0"]], method)
    with pytest.raises(InputError, match="method"):
        correlation.correlation_table(X, "phi")
