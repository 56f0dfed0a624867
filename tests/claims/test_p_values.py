import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from radsupport.claims.numbers import read_number
from radsupport.claims.p_values import (
    LEVEL,
    count_tests,
    crosses,
    exact_rank_sum_p,
    mean_tests,
    printed_p,
    rank_sum_tests,
    t_statistics,
)
from radsupport.claims.verdicts import FAILS, HOLDS, UNDECIDED, Claim

TABLES = ["birthwt_race_low", "birthwt_smoke_low", "birthwt_ui_low", "asah_gender_outcome", "mtcars_cyl_gear"]


@pytest.mark.parametrize("case", TABLES)
def test_tests_of_counts_equal_r(r_values, case):
    values = r_values(f"contingency__{case}")["values"]
    found = count_tests(np.array(values["table"]["matrix"]))
    assert found["Pearson's chi-square"][0] == pytest.approx(values["chi2_no_yates"]["p"], rel=1e-9)
    assert found["Fisher's exact test"][0] == pytest.approx(values["fisher_p_two_sided"], rel=1e-6)
    assert found["likelihood-ratio chi-square"][0] == pytest.approx(values["likelihood_ratio_G"]["p"], rel=1e-9)


@pytest.mark.parametrize("case", TABLES)
def test_the_test_that_fits_is_named(judge, r_values, case):
    values = r_values(f"contingency__{case}")["values"]
    verdict = judge("p_value", f"{values['fisher_p_two_sided']:.6f}", {"counts": values["table"]["matrix"]})
    assert verdict.verdict == HOLDS
    assert "Fisher's exact test" in verdict.test or "Fisher's exact test" in verdict.reason


def _printed(values, decimals=4):
    pairs = [values[f"describe_group{i}"] for i in (1, 2)]
    shown = [[f"{each['mean']:.{decimals}f}", f"{each['sd']:.{decimals}f}"] for each in pairs]
    return shown, [each["n"] for each in pairs]


@pytest.mark.parametrize("case", ["birthwt_bwt_by_smoke", "mtcars_mpg_by_am", "no_ties_exact_small", "urine_calc_by_r"])
def test_t_tests_from_means_contain_those_of_r(judge, r_values, case):
    values = r_values(f"group2__{case}")["values"]
    shown, n = _printed(values)
    pairs = [tuple(read_number(x) for x in each) for each in shown]
    found, statistics = mean_tests(pairs, n), t_statistics(pairs, n)
    for name, key in (("Student's t", "pooled"), ("Welch's t", "welch")):
        low, high = found[name]
        assert low <= values[key]["p"] <= high
        assert high - low < 0.02 * max(values[key]["p"], 0.01)
        assert statistics[name][0] <= values[key]["t"] <= statistics[name][1]
        assert judge("p_value", f"{values[key]['p']:.5f}", {"mean_sd": shown, "n": n}).verdict == HOLDS
        assert judge("statistic", f"{-values[key]['t']:.3f}", {"mean_sd": shown, "n": n}).verdict == HOLDS


def test_analysis_of_variance_equals_r(r_values, r_table):
    values = r_values("groupk__birthwt_bwt_by_race")["values"]
    groups = r_table("data/birthwt.csv").groupby("race")["bwt"]
    pairs = [
        (read_number(f"{m:.6f}"), read_number(f"{s:.6f}")) for m, s in zip(groups.mean(), groups.std(), strict=True)
    ]
    found = mean_tests(pairs, groups.size().tolist())
    assert found["one-way analysis of variance"][0] == pytest.approx(values["anova"]["p"], rel=1e-5)
    assert found["Welch's analysis of variance"][0] == pytest.approx(values["welch_anova"]["p"], rel=1e-5)


def test_means_widen_the_range_as_far_as_they_are_rounded():
    coarse = mean_tests([(read_number("8.8"), read_number("2.2")), (read_number("7.6"), read_number("3.0"))], [46, 10])
    fine = mean_tests(
        [(read_number("8.83"), read_number("2.15")), (read_number("7.60"), read_number("2.95"))], [46, 10]
    )
    for name, (low, high) in fine.items():
        assert coarse[name][0] <= low <= high <= coarse[name][1]


@given(n1=st.integers(1, 7), n2=st.integers(1, 7), data=st.data())
def test_exact_rank_sum_equals_counting_all_arrangements(n1, n2, data):
    u = data.draw(st.integers(0, n1 * n2))
    ranks = range(1, n1 + n2 + 1)
    values = [sum(each) - n1 * (n1 + 1) // 2 for each in itertools.combinations(ranks, n1)]
    tail = sum(value <= min(u, n1 * n2 - u) for value in values) / len(values)
    assert exact_rank_sum_p(u, n1, n2) == pytest.approx(min(1.0, 2 * tail), abs=1e-12)


def test_rank_sum_equals_scipy():
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=46), rng.normal(0.6, size=10)
    exact = stats.mannwhitneyu(a, b, method="exact")
    found = rank_sum_tests(exact.statistic, 46, 10)
    assert found["Mann-Whitney U (exact)"][0] == pytest.approx(exact.pvalue, rel=1e-9)
    plain = stats.mannwhitneyu(a, b, method="asymptotic", use_continuity=False)
    assert found["Mann-Whitney U (normal approximation)"][1] == pytest.approx(plain.pvalue, rel=1e-9)


def test_ties_can_only_lower_the_p_of_a_rank_sum(judge):
    assert judge("p_value", "0.386", {"U": "189.500", "n": [46, 10]}).verdict == HOLDS
    assert judge("p_value", "0.380", {"U": "189.500", "n": [46, 10]}).verdict == HOLDS
    assert judge("p_value", "0.260", {"U": "172.000", "n": [46, 10]}).verdict == FAILS


SEX = [[24, 4], [22, 6]]


def test_a_marked_test_has_to_fit(judge):
    assert judge("p_value", "0.730", {"counts": SEX}, p_digits=2).verdict == HOLDS
    marked = judge("p_value", "0.730", {"counts": SEX, "printed_stat": "x 0.487"}, p_digits=2)
    assert marked.verdict == FAILS
    assert "Fisher's exact test" in marked.test
    assert judge("p_value", "0.485", {"counts": SEX, "printed_stat": "x"}).verdict == HOLDS
    assert judge("statistic", "0.487", {"counts": SEX}).test == "Pearson's chi-square"
    assert judge("statistic", "0.122", {"counts": SEX}).test == "chi-square with Yates' correction"
    assert judge("statistic", "0.300", {"counts": SEX}).verdict == FAILS


def test_means_that_no_t_test_explains_are_undecided_unless_the_test_is_named(judge):
    two = {"mean_sd": [["62.44", "9.91"], ["68.00", "6.51"]], "n": [34, 20]}
    three = {"mean_sd": [["53.08", "34.21"], ["49.25", "33.19"], ["66.83", "24.25"]], "n": [76, 32, 54]}
    assert judge("p_value", "0.030", two).verdict == HOLDS
    open_one = judge("p_value", "0.060", two)
    assert open_one.verdict == UNDECIDED
    assert "rank test" in open_one.reason
    assert judge("p_value", "0.060", two | {"printed_stat": "t"}).verdict == FAILS
    assert judge("p_value", "0.365", three).verdict == UNDECIDED
    assert judge("p_value", "0.365", three | {"printed_stat": "a"}).verdict == FAILS
    assert judge("p_value", "0.015", three | {"printed_stat": "a"}).verdict == HOLDS
    ranks = judge("p_value", "0.030", two | {"printed_stat": "m"})
    assert ranks.verdict == UNDECIDED
    assert "Mann-Whitney U, which can not be recomputed" in ranks.reason


def test_two_significant_figures_accept_a_padded_zero(judge):
    counts = [[32, 4], [14, 6]]
    assert judge("p_value", "0.140", {"counts": counts, "printed_stat": "f"}, p_digits=2).verdict == HOLDS
    assert judge("p_value", "0.140", {"counts": counts, "printed_stat": "f"}).verdict == FAILS


def test_accuracy_against_the_no_information_rate_equals_caret(judge, r_values):
    found = r_values("confusion__pima_te_pfull_ge_0.5")["values"]
    counts, overall = found["counts"], found["overall"]
    inputs = {"k": counts["tp"] + counts["tn"], "n": sum(counts.values()), "nir": overall["no_information_rate"]}
    verdict = judge("p_value", "<0.001", inputs)
    one_sided = verdict.values["exact binomial test, one-sided"]
    assert one_sided == pytest.approx(overall["p_accuracy_greater_than_nir"], rel=1e-9)


@pytest.mark.parametrize(
    ("inputs", "published"),
    [
        ({"median_iqr": ["0.43 (0.39)", "0.28 (0.34)"]}, "0.052"),
        ({"risk_groups": [[14, 32], [5, 42]]}, "0.003"),
        ({"mean_sd": [["48.78", "15.67"], None], "n": [9, 9]}, "not significant"),
        ({"counts": [[5, 0], [3, 0]]}, "0.5"),
    ],
)
def test_what_is_not_determined_is_not_decided(judge, inputs, published):
    assert judge("p_value", published, inputs).verdict == UNDECIDED


def test_not_significant_reads_as_a_bound(judge):
    assert judge("p_value", "not significant", {"shares": ["3 of 6", "6 of 12"]}).verdict == HOLDS
    assert judge("p_value", "not significant", {"shares": ["0 of 60", "60 of 60"]}).verdict == FAILS


@pytest.mark.parametrize(
    ("text", "found", "expected"),
    [
        ("0.365", (0.01, 0.02), True),
        ("0.365", (0.01, 0.2), False),
        ("0.03", (0.2, 0.3), True),
        ("<0.01", (0.19, 0.2), True),
        ("<0.01", (0.02, 0.03), False),
        (">0.05", (0.01, 0.02), True),
        ("0.050", (0.04, 0.04), True),
    ],
)
def test_the_other_side_of_the_level(text, found, expected):
    claim = Claim("s", "t", "i", "g", text, "p_value", {})
    assert crosses(printed_p(claim), {"test": found}) is expected
    assert LEVEL == 0.05


@pytest.mark.parametrize(
    ("published", "inputs", "reason"),
    [
        ("1.5", {"counts": SEX}, "between 0 and 1"),
        ("none", {"counts": SEX}, "no number"),
        ("0.5", {"counts": [[1, 2], [3]]}, "equally long"),
        ("0.5", {"mean_sd": [["1", "2"]], "n": [3]}, "at least two"),
        ("0.5", {"mean_sd": [["1", "2"], ["1", "2"]], "n": [3, 1]}, "at least 2"),
        ("0.5", {"U": "9999", "n": [3, 4]}, "between 0 and 12"),
        ("0.5", {"k": 5, "n": 3, "nir": 0.5}, "must not exceed"),
        ("0.5", {"risk_groups": [[5, 3], [1, 4]]}, "events, patients"),
        ("0.5", {"shares": ["3 in 6", "1 of 2"]}, "must read like"),
        ("0.5", {"shares": ["7 of 6", "1 of 2"]}, "more cases than patients"),
    ],
)
def test_malformed_p_values_are_refused(refusal, published, inputs, reason):
    assert reason in refusal("p_value", published, inputs)
