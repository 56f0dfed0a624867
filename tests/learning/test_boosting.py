"""Component-wise boosting against mboost's values, and its laws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from radsupport.errors import InputError, NotEstimableError
from radsupport.learning.boosting import GlmBoost

CASES = ["asah_four", "mdrr60_high_dim", "pima_tr", "urine"]
FAMILIES = {"half_logit": "binomial_adaboost_default_half_logit", "logit": "binomial_type_glm_full_logit"}


def _scaled(r_values, r_table, case):
    reference = r_values(f"glmboost__{case}")
    params = reference["params"]
    table = r_table(reference["dataset"][0]).dropna(subset=[params["outcome"], *params["features"]])
    X = table[params["features"]].astype(float)
    return reference["values"], params, (X - X.mean()) / X.std(ddof=1), table[params["outcome"]].astype(int)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("family", FAMILIES)
def test_equals_mboost(r_values, r_table, case, family):
    values, params, X, y = _scaled(r_values, r_table, case)
    expected = values[FAMILIES[family]]
    model = GlmBoost(params["mstop"], params["nu"], family).fit(X, y)
    assert len(X) == values["n"]
    assert model.selected_ == expected["selected_sequence"]
    coefs = dict(zip(X.columns, model.coef_, strict=True))
    for name, value in expected["coef"].items():
        got = model.intercept_ if name == "(Intercept)" else coefs[name]
        assert got == pytest.approx(value, rel=1e-9, abs=1e-12), name
    assert model.offset_ == pytest.approx(expected["offset"], rel=1e-12)
    assert model.offset_ + model.intercept_ == pytest.approx(expected["intercept_plus_offset"], rel=1e-9)
    risk = expected["inbag_risk_at"]
    assert model.risk_[np.array(risk["iteration"]) - 1] == pytest.approx(risk["risk"], rel=1e-10)
    fitted = model.predict_proba(X)[:10, 1]
    assert fitted == pytest.approx(expected["fitted_probability_first10"], rel=1e-9)


def test_coefficients_belong_to_the_original_scale():
    rng = np.random.default_rng(0)
    X, y = rng.normal(5, 3, (80, 4)), rng.integers(0, 2, 80)
    model = GlmBoost(60).fit(X, y)
    log_odds = 2 * (model.offset_ + model.intercept_ + X @ model.coef_)
    assert model.predict_proba(X)[:, 1] == pytest.approx(expit(log_odds), rel=1e-12)


def test_probability_does_not_depend_on_units():
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(70, 3)), rng.integers(0, 2, 70)
    plain = GlmBoost(80).fit(X, y).predict_proba(X)
    other = X * [10.0, 0.01, -3.0] + [100.0, -2.0, 7.0]
    assert GlmBoost(80).fit(other, y).predict_proba(other) == pytest.approx(plain, rel=1e-9)


def test_many_iterations_reach_the_maximum_likelihood_fit(r_values, r_table):
    import statsmodels.api as sm

    *_, X, y = _scaled(r_values, r_table, "pima_tr")
    fit = sm.Logit(y, sm.add_constant(X)).fit(disp=0)
    model = GlmBoost(20_000, 0.1, "logit").fit(X, y)
    assert model.coef_ == pytest.approx(fit.params.to_numpy()[1:], abs=1e-6)


def test_risk_never_rises():
    rng = np.random.default_rng(2)
    X, y = rng.normal(size=(60, 30)), rng.integers(0, 2, 60)
    assert (np.diff(GlmBoost(200).fit(X, y).risk_) <= 1e-12).all()


def test_constant_column_is_never_chosen():
    rng = np.random.default_rng(3)
    X = np.column_stack([np.full(50, 7.3), rng.normal(size=50)])
    model = GlmBoost(100).fit(X, rng.integers(0, 2, 50))
    assert model.coef_[0] == 0
    assert "0" not in model.selected_
    assert np.isfinite(model.coef_).all()


def test_tiny_values_are_a_feature_like_any_other():
    rng = np.random.default_rng(4)
    y = rng.integers(0, 2, 80)
    signal = (y + rng.normal(0, 0.5, 80)) * 1e-12
    model = GlmBoost(50).fit(signal[:, None], y)
    assert set(model.selected_) & {"0"}


def test_bad_input_is_refused():
    X = np.random.default_rng(0).normal(size=(10, 2))
    with pytest.raises(NotEstimableError, match="both 0 and 1"):
        GlmBoost().fit(X, np.zeros(10))
    with pytest.raises(InputError, match="0 and 1 only"):
        GlmBoost().fit(X, np.arange(10))
    with pytest.raises(InputError, match="learning_rate"):
        GlmBoost(learning_rate=2).fit(X, [0, 1] * 5)
    X[3, 1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        GlmBoost().fit(X, [0, 1] * 5)
