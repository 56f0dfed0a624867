"""Against the published worked examples and the test values that R's pmsampsize 1.1 ships."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radsupport.errors import InputError
from radsupport.stats.sample_size import (
    expected_shrinkage,
    for_binary,
    for_patients,
    for_survival,
    max_r2_binary,
    overall_risk_binary,
    r2_from_auc,
    r2_from_concordance,
)


def test_the_diagnostic_example_of_the_paper():
    """Riley et al. 2019, Chagas disease: 24 parameters, prevalence 0.174, R2 0.288: 662 patients, EPP 4.80."""
    size = for_binary(24, 0.174, 0.288)
    assert (size.shrinkage, size.optimism, size.overall_risk, size.required) == (623, 662, 221, 662)
    assert size.events_per_parameter == pytest.approx(4.80, abs=0.005)
    assert size.max_r2 == pytest.approx(0.603, abs=0.0005)


def test_the_prognostic_example_of_the_paper():
    """Riley et al. 2019, recurrent thromboembolism: 30 parameters, R2 0.051: 5143 patients, EPP 23.07."""
    size = for_survival(30, rate=0.065, mean_follow_up=2.07, horizon=2, r2=0.051)
    assert (size.shrinkage, size.required) == (5143, 5143)
    assert size.events_per_parameter == pytest.approx(23.07, abs=0.005)


@pytest.mark.parametrize(
    ("r2", "parameters", "prevalence", "first", "third"),
    [(0.55, 24, 0.174, 255, 221), (0.288, 36, 0.174, 934, 221), (0.288, 24, 0.25, 623, 289)],
)
def test_binary_criteria_equal_pmsampsize(r2, parameters, prevalence, first, third):
    """Criterion 2 was rounded in old versions of pmsampsize; its current value is tested above."""
    size = for_binary(parameters, prevalence, r2)
    assert (size.shrinkage, size.overall_risk) == (first, third)
    assert size.required == max(size.shrinkage, size.optimism, size.overall_risk)


@pytest.mark.parametrize(
    ("r2", "parameters", "rate", "horizon", "follow_up", "first", "second"),
    [
        (0.051, 25, 0.065, 2, 2.07, 4286, 866),
        (0.065, 25, 0.065, 2, 2.07, 3335, 859),
        (0.051, 50, 0.065, 2, 2.07, 8572, 1731),
        (0.051, 25, 0.1, 2, 2.07, 4286, 731),
        (0.051, 25, 0.065, 4, 2.07, 4286, 866),
        (0.051, 25, 0.065, 2, 4, 4286, 679),
        (0.06, 40, 0.08, 3, 5, 5798, 969),
        (0.03, 10, 0.09, 3, 3, 2950, 272),
        (0.3, 80, 0.03, 1, 5, 1974, 2272),
    ],
)
def test_survival_criteria_equal_pmsampsize(r2, parameters, rate, horizon, follow_up, first, second):
    """Within one patient: pmsampsize rounds the events of its example study of 10,000 up."""
    size = for_survival(parameters, rate, follow_up, horizon, r2)
    assert size.shrinkage == first
    assert abs(size.optimism - second) <= 1


@given(rate=st.floats(0.005, 0.5), follow_up=st.floats(0.5, 5), horizon=st.floats(0.5, 5))
def test_the_overall_risk_at_the_horizon_is_known_within_five_percent(rate, follow_up, horizon):
    n = for_survival(1, rate, follow_up, horizon).overall_risk

    def margin(patients):
        low = rate - 1.96 * math.sqrt(rate / (patients * follow_up))
        return math.exp(-low * horizon) - math.exp(-rate * horizon)

    assert margin(n) <= 0.05 + 1e-9
    if n > 1:
        assert margin(n - 1) > 0.05 - 1e-9


@given(p=st.floats(0.01, 0.99))
def test_the_overall_risk_of_a_binary_outcome(p):
    n = overall_risk_binary(p)
    assert 1.96 * math.sqrt(p * (1 - p) / n) <= 0.05 + 1e-9
    assert n == for_binary(1, p).overall_risk


@given(parameters=st.integers(1, 200), p=st.floats(0.05, 0.95))
def test_more_predictors_need_more_patients(parameters, p):
    less, more = for_binary(parameters, p), for_binary(parameters + 1, p)
    assert less.shrinkage <= more.shrinkage
    assert less.optimism <= more.optimism
    assert less.r2 == pytest.approx(0.15 * max_r2_binary(p))


def test_r2_from_an_auc_equals_simulation():
    """As pmsampsize does it, with fewer patients: fit a logistic model to normal scores with this AUC."""
    from sklearn.linear_model import LogisticRegression

    rng, n, p, auc = np.random.default_rng(1), 200_000, 0.174, 0.89
    mu = math.sqrt(2) * 1.2265281200366098  # z(0.89)
    y = np.r_[np.ones(int(n * p)), np.zeros(n - int(n * p))]
    x = rng.normal(size=n) + mu * y
    fit = LogisticRegression(C=1e9).fit(x[:, None], y)
    risk = fit.predict_proba(x[:, None])[:, 1]
    gain = np.mean(np.where(y == 1, np.log(risk / p), np.log((1 - risk) / (1 - p))))
    assert r2_from_auc(auc, p) == pytest.approx(1 - math.exp(-2 * gain), abs=0.003)
    assert r2_from_auc(0.5, 0.3) == pytest.approx(0, abs=1e-9)


def test_r2_from_a_concordance_index():
    """C 0.76 with 637 events in 662 patients gives 0.491 (0.4837 adjusted), computed with R by the same formulas."""
    r2 = r2_from_concordance(0.76, 637 / 662)
    assert r2 * (1 + 15 / 662 * math.log(1 - r2)) == pytest.approx(0.4837, abs=5e-5)
    assert r2_from_concordance(0.5, 0.3) == 0


@pytest.mark.parametrize(
    "call",
    [
        lambda: for_binary(0, 0.2),
        lambda: for_binary(5, 0.0),
        lambda: for_binary(5, 0.2, 0.9),
        lambda: for_binary(5, 0.2, 0.0),
        lambda: for_survival(5, -1.0, 2, 2),
        lambda: for_survival(5, 0.1, 2, 0),
        lambda: r2_from_auc(0.4, 0.2),
        lambda: r2_from_auc(1.0, 0.2),
        lambda: r2_from_concordance(0.3, 0.2),
        lambda: overall_risk_binary(1.0),
    ],
)
def test_impossible_inputs_are_refused(call):
    with pytest.raises(InputError):
        call()


@pytest.mark.parametrize(("n", "parameters", "r2"), [(500, 20, 0.1), (100, 5, 0.2), (56, 30, 0.09)])
def test_expected_shrinkage_solves_the_first_criterion(n: int, parameters: int, r2: float) -> None:
    found = expected_shrinkage(n, parameters, r2)
    assert parameters / ((found - 1) * math.log(1 - r2 / found)) == pytest.approx(n)
    size = for_binary(parameters, 0.3, r2, shrinkage=found)
    assert size.shrinkage in (n, n + 1)
    assert expected_shrinkage(10, 5000, r2) == r2  # hopeless


def test_patients_tell_their_own_prevalence_rate_and_follow_up() -> None:
    event, time = [1, 0, 0, 1, 0, 0, 0, 0], [3.0, 9.0, 12.0, 4.0, 8.0, 20.0, 7.0, 9.0]
    assert for_patients(3, event) == for_binary(3, 0.25)
    assert for_patients(3, event, time, 6.0) == for_survival(3, 2 / 72, 9.0, 6.0)
    for same in ([0] * 8, [1] * 8):
        with pytest.raises(InputError):
            for_patients(3, same)
    with pytest.raises(InputError):
        for_patients(3, [0] * 8, time, 6.0)
