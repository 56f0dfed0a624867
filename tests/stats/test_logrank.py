from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lifelines.statistics import multivariate_logrank_test

from radsupport.errors import InputError, NotEstimableError
from radsupport.stats.cox import fit_cox
from radsupport.stats.logrank import log_rank, pairwise_log_rank

FILES = Path(__file__).parents[1] / "golden" / "statistics"
CASES = sorted(path.stem for path in FILES.glob("logrank__*.json"))
WEIGHTS = {
    "logrank_w_1": {},
    "gehan_breslow_w_n": {"weight": "gehan"},
    "tarone_ware_w_sqrt_n": {"weight": "tarone_ware"},
    "peto_peto_S1": {"weight": "peto"},
    "modified_peto_S2": {"weight": "modified_peto"},
    "fleming_harrington_p1_q0": {"weight": "fleming_harrington", "rho": 1},
    "fleming_harrington_p0_q1": {"gamma": 1},
    "fleming_harrington_p1_q1": {"rho": 1, "gamma": 1},
}


def load(case, r_values, r_table):
    reference = r_values(case)
    table, params = r_table(reference["dataset"][0]), reference["params"]
    return table, params, reference["values"]


@pytest.mark.parametrize("case", CASES)
def test_plain_weighted_and_trend_tests_equal_r(case, r_values, r_table, agree):
    table, params, values = load(case, r_values, r_table)
    data = (table[params["time"]], table[params["status"]], table[params["group"]])
    for name, options in {"logrank": {}, "peto_peto_rho1": {"rho": 1}}.items():
        found, expected = log_rank(*data, **options), values[name]
        assert found.table["group"].tolist() == values["levels"]
        assert found.df == expected["df"]
        agree(found.chi2, expected["chi2"])
        agree(found.p, expected["p"], rtol=1e-8)
        agree(found.table["n"], expected["n"])
        agree(found.table["observed"], expected["observed"])
        agree(found.table["expected"], expected["expected"])
        agree(found.variance, expected["variance"], atol=1e-12)
    for name, expected in values.get("weighted_tests", {}).items():
        found = log_rank(*data, **WEIGHTS[name])
        agree(found.chi2, expected["chi2"])
        agree(found.p, expected["p"], rtol=1e-8)
    if "trend_scores_1_to_k_by_formula" in values:
        found = log_rank(*data, trend=True)
        assert found.df == 1
        agree(found.chi2, values["trend_scores_1_to_k_by_formula"]["chi2"])
        agree(found.p, values["trend_scores_1_to_k_by_formula"]["p"], rtol=1e-8)


@pytest.mark.parametrize("case", CASES)
def test_stratified_test_equals_r(case, r_values, r_table, agree):
    table, params, values = load(case, r_values, r_table)
    used = table.dropna(subset=[params["strata"]])
    found = log_rank(used[params["time"]], used[params["status"]], used[params["group"]], strata=used[params["strata"]])
    assert found.df == values["stratified"]["df"]
    agree(found.chi2, values["stratified"]["chi2"])
    agree(found.p, values["stratified"]["p"], rtol=1e-8)


@pytest.mark.parametrize("case", [case for case in CASES if "pairwise_p_none" in (FILES / f"{case}.json").read_text()])
@pytest.mark.parametrize(("adjust", "name"), [("none", "none"), ("bh", "BH"), ("bonferroni", "bonferroni")])
def test_pairwise_tests_equal_r(case, adjust, name, r_values, r_table, agree):
    table, params, values = load(case, r_values, r_table)
    expected = values[f"pairwise_p_{name}"]
    found = pairwise_log_rank(table[params["time"]], table[params["status"]], table[params["group"]], adjust)
    reference = [
        expected["matrix"][expected["rows"].index(b)][expected["cols"].index(a)]
        for a, b in zip(found["group_a"], found["group_b"], strict=True)
    ]
    agree(found["p_adjusted"], reference, rtol=1e-8)


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
    assert found.table["observed"].sum() == pytest.approx(found.table["expected"].sum())


def test_without_ties_it_is_the_score_test_of_a_cox_model():
    rng = np.random.default_rng(4)
    table = pd.DataFrame({"t": rng.exponential(size=60), "e": rng.integers(0, 2, 60), "g": rng.integers(0, 2, 60)})
    assert log_rank(table.t, table.e, table.g).chi2 == pytest.approx(
        fit_cox(table, "t", "e", ["g"]).score_chi2, rel=1e-10
    )
    table["k"] = rng.integers(0, 4, 60)
    trend = log_rank(table.t, table.e, table.k, trend=True, scores=[0, 1, 2, 3])
    assert trend.chi2 == pytest.approx(fit_cox(table, "t", "e", ["k"]).score_chi2, rel=1e-10)


def test_one_stratum_changes_nothing_and_order_of_categories_is_kept(cohort):
    plain = log_rank(cohort.time, cohort.event, cohort.g)
    same = log_rank(cohort.time, cohort.event, cohort.g, strata=np.zeros(len(cohort)))
    assert same.chi2 == pytest.approx(plain.chi2)
    ordered = pd.Categorical(cohort.g, categories=["c", "a", "b"])
    assert log_rank(cohort.time, cohort.event, ordered).table["group"].tolist() == ["c", "a", "b"]


def test_a_group_that_is_never_at_risk_costs_no_degree_of_freedom():
    found = log_rank([1, 2, 5, 6, 0.1], [1, 1, 1, 1, 0], [0, 0, 1, 1, 2])
    assert found.df == 1


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
    with pytest.raises(InputError, match="weight"):
        log_rank([1, 2, 3], [1, 1, 0], [0, 1, 1], weight="wilcoxon")
    with pytest.raises(InputError, match="scores"):
        log_rank([1, 2, 3], [1, 1, 0], [0, 1, 1], trend=True, scores=[2, 2])
    with pytest.raises(InputError, match="expected"):
        log_rank([1, 2, 3], [1, 1, 0], [0, 1])
