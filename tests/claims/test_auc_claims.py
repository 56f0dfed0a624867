import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from radsupport.claims.auc import (
    SCATTER,
    attainable,
    bounds_through,
    hanley_mcneil_se,
    implied_correlation,
    null_se,
    p_against_half,
    se_range,
)
from radsupport.claims.numbers import read_number
from radsupport.claims.verdicts import FAILS, HOLDS, UNDECIDED
from radsupport.stats.roc import auc as delong_auc

ROC = ["roc__asah_s100b", "roc__asah_ndka", "roc__pima_te_bmi"]


@pytest.mark.parametrize("stem", ROC)
def test_standard_errors_equal_r(r_values, stem):
    values = r_values(stem)["values"]
    n_pos, n_neg = values["n_cases"], values["n_controls"]
    assert hanley_mcneil_se(values["auc"], n_pos, n_neg) == pytest.approx(values["hanley_mcneil_se"], rel=1e-9)
    assert null_se(n_pos, n_neg) == pytest.approx(values["null_se_no_ties"], rel=1e-9)
    found = p_against_half([values["auc"]], n_pos, n_neg)
    assert found["standard error under AUC = 0.5 (Mann-Whitney, normal)"][0] == pytest.approx(
        values["null_p"], rel=1e-9
    )
    assert found["standard error of Hanley and McNeil"][0] == pytest.approx(values["hanley_mcneil_p"], rel=1e-9)


@pytest.mark.parametrize("stem", ROC)
def test_the_delong_interval_of_r_holds(judge, r_values, stem):
    values = r_values(stem)["values"]
    low, high = (f"{x:.2f}" for x in values["delong_ci95"])
    inputs = {
        "auc": f"{values['auc']:.2f}",
        "ci": [low, high],
        "n_pos": values["n_cases"],
        "n_neg": values["n_controls"],
    }
    assert judge("ci", f"{values['auc']:.2f} ({low}-{high})", inputs).verdict == HOLDS


@pytest.mark.parametrize(("n_pos", "n_neg", "auc"), [(21, 21, 0.785), (18, 29, 0.91), (67, 75, 0.89)])
@pytest.mark.parametrize("spread", [1 / 3, 1.0, 3.0])
def test_nearly_all_simulated_standard_errors_are_in_range(n_pos, n_neg, auc, spread):
    """The range with its scatter covers 95% of DeLong's standard errors of samples with this AUC."""
    rng = np.random.default_rng(7)
    shift = np.sqrt(1 + spread**2) * norm.ppf(auc)
    y = np.r_[np.ones(n_pos, int), np.zeros(n_neg, int)]
    found = []
    for _ in range(900):
        estimate = delong_auc(y, np.r_[rng.normal(shift, spread, n_pos), rng.normal(0, 1, n_neg)])
        if abs(estimate.auc - auc) < 0.01:
            found.append(estimate.se)
    low, high = se_range(auc, n_pos, n_neg)
    inside = [low * (1 - SCATTER) <= se <= high * (1 + SCATTER) for se in found]
    assert len(found) > 50
    assert np.mean(inside) > 0.95


def test_an_interval_far_too_narrow_does_not_hold(judge):
    inputs = {"auc": "0.80", "ci": ["0.79", "0.81"], "n_pos": 20, "n_neg": 20}
    assert judge("ci", "0.80 (0.79-0.81)", inputs).verdict == FAILS
    inputs = {"auc": "0.80", "ci": ["0.50", "0.99"], "n_pos": 200, "n_neg": 200}
    assert judge("ci", "0.80 (0.50-0.99)", inputs).verdict == FAILS
    inputs = {"auc": "0.90", "ci": ["0.50", "0.80"], "n_pos": 20, "n_neg": 20}
    assert judge("ci", "0.90 (0.50-0.80)", inputs).verdict == FAILS
    assert judge("ci", "0.90 (0.82-0.99)", {"auc": "0.90", "ci": ["0.82", "0.99"]}).verdict == UNDECIDED


@given(st.integers(1, 30), st.integers(1, 30), st.data())
def test_every_count_of_pairs_is_attainable(n_pos, n_neg, data):
    k = data.draw(st.integers(0, 2 * n_pos * n_neg))
    auc = k / (2 * n_pos * n_neg)
    assert any(abs(auc - each) < 1e-9 for each in attainable(read_number(f"{auc:.3f}"), n_pos, n_neg))


def test_unattainable_aucs(judge):
    assert judge("auc", "0.789", {"pairs": 441}).verdict == HOLDS
    assert judge("auc", "0.777", {"pairs": 4}).verdict == FAILS


@given(st.lists(st.tuples(st.floats(-3, 3), st.booleans()), min_size=4, max_size=30), st.floats(-2, 2))
def test_the_area_lies_within_the_bounds_of_its_operating_point(scored, threshold):
    scores = np.array([score for score, _ in scored])
    y = np.array([int(label) for _, label in scored])
    if y.min() == y.max():
        return
    called = scores >= threshold
    sensitivity, specificity = called[y == 1].mean(), (~called[y == 0]).mean()
    low, high = bounds_through(sensitivity, specificity)
    pairs = scores[y == 1][:, None] - scores[y == 0][None, :]
    auc = float((pairs > 0).mean() + 0.5 * (pairs == 0).mean())
    assert low - 1e-9 <= auc <= high + 1e-9


def test_p_values_against_half(judge):
    assert judge("p_value", "0.058", {"auc": "0.77", "n_pos": 9, "n_neg": 9}).verdict == HOLDS
    wrong = judge("p_value", "0.965", {"auc": "0.52", "n_pos": 9, "n_neg": 9})
    assert wrong.verdict == FAILS
    assert wrong.values["above"] == pytest.approx(0.506, abs=0.001)


def test_the_exact_test_of_an_auc_equals_counting():
    found = p_against_half([2 / 4], 2, 2)
    assert found["exact Mann-Whitney test"][0] == pytest.approx(1.0)
    assert p_against_half([1.0], 2, 2)["exact Mann-Whitney test"][0] == pytest.approx(2 / 6)


@given(st.floats(-0.9, 0.95), st.floats(0.03, 0.1), st.floats(0.03, 0.1), st.floats(0.01, 0.2))
def test_the_implied_correlation_is_the_one_behind_a_p(r, a, b, gap):
    se = np.sqrt(a**2 + b**2 - 2 * r * a * b)
    p = 2 * norm.sf(gap / se)
    if 1e-12 < p < 0.999:
        assert implied_correlation(gap, a, b, p) == pytest.approx(r, abs=1e-6)


def test_perfect_and_unattainable_aucs(judge):
    assert judge("p_value", "0.333", {"auc": "1.000", "n_pos": 2, "n_neg": 2}).verdict == HOLDS
    assert judge("p_value", "0.5", {"auc": "0.70", "n_pos": 1, "n_neg": 2}).verdict == FAILS
    assert judge("p_value", "0.5", {"auc": ["1.00", "0.70"], "n_pos": 9, "n_neg": 9}).verdict == UNDECIDED


def test_comparisons_on_the_same_patients_are_not_decided(judge):
    assert judge("p_value", "0.0632", {"auc": ["0.80", "0.58"], "n_pos": 10, "n_neg": 46}).verdict == UNDECIDED
    combined = {"paired": [["0.77", "0.66", "0.89"], ["0.71", "0.60", "0.84"]]}
    verdict = judge("p_value", "<0.01", combined)
    assert verdict.verdict == UNDECIDED
    assert verdict.values["correlation"] == pytest.approx(0.93, abs=0.01)
    assert judge("auc", "0.789 vs 0.560", {"paired": combined["paired"]}).verdict == UNDECIDED


def test_impossible_comparisons_do_not_hold(judge):
    far = {"paired": [["0.95", "0.94", "0.96"], ["0.55", "0.54", "0.56"]]}
    assert judge("p_value", "0.80", far).verdict == FAILS
    assert judge("p_value", "0.9000", {"auc": ["0.99", "0.51"], "n_pos": 200, "n_neg": 200}).verdict == FAILS


def test_independent_cohorts(judge):
    a, b = ["0.89", "0.83", "0.94"], ["0.87", "0.80", "0.94"]
    assert judge("p_value", "0.75", {"a": a, "b": b}).verdict == HOLDS
    assert judge("p_value", "0.05", {"a": a, "b": b}).verdict == FAILS
    aucs = {"T": a, "I": b, "E": ["0.91", "0.85", "0.97"]}
    exchanged = judge("p_value", "0.75/0.43/0.56", {"aucs": aucs})
    assert exchanged.verdict == FAILS
    assert "0.75/0.56/0.43" in exchanged.recomputed
    assert judge("p_value", "0.75/0.56/0.43", {"aucs": aucs}).verdict == HOLDS
    assert judge("p_value", "0.01/0.01/0.01", {"aucs": aucs}).recomputed == "none"


def test_concordance_against_half(judge):
    assert judge("p_value", "<0.01", {"c": ["0.65", "0.56", "0.75"]}).verdict == HOLDS
    assert judge("p_value", "<0.01", {"c": ["0.55", "0.45", "0.65"]}).verdict == FAILS


def test_further_auc_claims(judge):
    assert judge("auc", "0.824", {"ci": ["0.764", "0.885"]}).verdict == HOLDS
    assert judge("auc", "0.850", {"ci": ["0.764", "0.885"]}).verdict == FAILS
    assert judge("auc", "0.80", {"sen": "9/10", "spc": "31/46"}).verdict == HOLDS
    assert judge("auc", "0.99", {"sen": "5/10", "spc": "31/46"}).verdict == FAILS
    assert judge("auc", "-", {"between": [["0.88", "0.89", "0.87"]]}).verdict == HOLDS
    assert judge("auc", "-", {"between": [["0.95", "0.89", "0.87"]]}).verdict == UNDECIDED


@pytest.mark.parametrize(
    ("kind", "published", "inputs", "reason"),
    [
        ("p_value", "0.5", {"auc": "1.5", "n_pos": 3, "n_neg": 3}, "between 0 and 1"),
        ("p_value", "0.5", {"auc": "0.7", "n_pos": 0, "n_neg": 3}, "at least 1"),
        ("p_value", "0.5", {"aucs": {"a": ["0.8", "0.7", "0.9"]}}, "three cohort names"),
        ("p_value", "0.5", {"paired": [["0.8", "0.7", "0.9"]]}, "two [estimate"),
        ("auc", "0.5", {"sen": "9/10", "spc": "0.67"}, "must read like"),
    ],
)
def test_malformed_auc_claims_are_refused(refusal, kind, published, inputs, reason):
    assert reason in refusal(kind, published, inputs)
