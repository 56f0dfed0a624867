"""Component-wise boosting against mboost's values, and its laws."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit

from radsupport.errors import InputError, NotEstimableError
from radsupport.learning.linear import GlmBoost, PlsLogistic, logistic_coefficients

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


FEATURES = ["npreg", "glu", "bp", "skin", "bmi", "ped", "age"]


@pytest.fixture
def pima(r_table):
    table = r_table("data/pima_tr.csv")
    return table[FEATURES].astype(float), table["type01"].astype(int)


def _slowly(X, y, n_components):
    """Algorithm 2 of Bastien et al. 2005 with one statsmodels fit per column, as plsRglm runs it."""
    Z = ((X - X.mean()) / X.std(ddof=1)).to_numpy()
    residual, scores = Z, []
    for _ in range(n_components):
        weight = np.array(
            [
                sm.GLM(y, sm.add_constant(np.column_stack([*scores, column])), sm.families.Binomial())
                .fit(tol=1e-12)
                .params.iloc[-1]
                for column in residual.T
            ]
        )
        weight = weight / np.linalg.norm(weight)
        score = residual @ weight
        residual = residual - np.outer(score, residual.T @ score / (score @ score))
        scores.append(score)
    return sm.GLM(y, sm.add_constant(np.column_stack(scores)), sm.families.Binomial()).fit(tol=1e-12).fittedvalues


@pytest.mark.parametrize("n_components", [1, 2, 3])
def test_equals_the_algorithm_written_out(pima, n_components):
    X, y = pima
    model = PlsLogistic(n_components).fit(X, y)
    assert model.n_components_ == n_components
    assert model.predict_proba(X)[:, 1] == pytest.approx(_slowly(X, y, n_components).to_numpy(), rel=1e-6)


def test_all_components_equal_logistic_regression(pima):
    X, y = pima
    fit = sm.Logit(y, sm.add_constant(X)).fit(disp=0, tol=1e-12)
    model = PlsLogistic(7).fit(X, y)
    assert model.n_components_ == 7
    assert model.coef_ == pytest.approx(fit.params.to_numpy()[1:], rel=1e-5)
    assert model.intercept_ == pytest.approx(fit.params.iloc[0], rel=1e-5)


def test_first_component_is_the_direction_of_univariable_coefficients(pima):
    X, y = pima
    Z = (X - X.mean()) / X.std(ddof=1)
    single = np.array([sm.Logit(y, sm.add_constant(Z[name])).fit(disp=0).params.iloc[1] for name in FEATURES])
    model = PlsLogistic(1).fit(X, y)
    assert model.weights_[:, 0] == pytest.approx(single / np.linalg.norm(single), rel=1e-5)


def test_scores_are_uncorrelated_and_units_do_not_matter(pima):
    X, y = pima
    model = PlsLogistic(4).fit(X, y)
    Z = ((X - X.mean()) / X.std(ddof=1)).to_numpy()
    T = Z @ model.weights_ @ np.linalg.inv(model.loadings_.T @ model.weights_)
    gram = T.T @ T
    assert gram - np.diag(np.diag(gram)) == pytest.approx(np.zeros((4, 4)), abs=1e-8)
    other = X * [10, 0.1, -1, 2, 3, 1e4, 1] + 5
    assert PlsLogistic(4).fit(other, y).predict_proba(other) == pytest.approx(model.predict_proba(X), rel=1e-8)


def test_more_columns_than_subjects():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 300)), np.array([0, 1] * 10)
    model = PlsLogistic(5).fit(X, y)
    risk = model.predict_proba(X)[:, 1]
    assert 1 <= model.n_components_ <= 5
    assert np.isfinite(risk).all()
    assert risk[y == 1].min() > risk[y == 0].max()


def test_separation_stays_finite():
    X = np.arange(10.0)[:, None]
    model = PlsLogistic(2).fit(X, (X[:, 0] > 4).astype(int))
    assert model.n_components_ == 1
    assert np.isfinite(model.coef_).all()
    assert model.predict_proba(X)[:, 1].round(3).tolist() == [0] * 5 + [1] * 5


def test_collinear_and_constant_columns():
    rng = np.random.default_rng(1)
    a, y = rng.normal(size=40), rng.integers(0, 2, 40)
    model = PlsLogistic(3).fit(np.column_stack([a, 2 * a, np.full(40, 0.1)]), y)
    assert model.n_components_ == 1
    assert model.coef_[2] == 0
    alone = PlsLogistic(1).fit(a[:, None], y)
    shared = model.coef_[0] + 2 * model.coef_[1]
    assert shared == pytest.approx(alone.coef_[0], rel=1e-8)


def test_no_association_gives_the_prevalence():
    model = PlsLogistic(2).fit([[0.0], [1.0], [0.0], [1.0], [0.0], [1.0]], [0, 0, 1, 1, 0, 0])
    assert model.predict_proba([[0.0], [1.0]])[:, 1] == pytest.approx([1 / 3, 1 / 3])


def test_batched_fits_equal_single_ones(pima):
    X, y = pima
    designs = np.stack([np.column_stack([np.ones(len(X)), X[name]]) for name in FEATURES])
    expected = [sm.Logit(y, design).fit(disp=0).params for design in designs]
    assert logistic_coefficients(designs, y.to_numpy()) == pytest.approx(np.array(expected), rel=1e-6)


def test_bad_input_is_refused_plslogistic(pima):
    X, y = pima
    with pytest.raises(InputError, match="n_components"):
        PlsLogistic(0).fit(X, y)
    with pytest.raises(NotEstimableError, match="both 0 and 1"):
        PlsLogistic().fit(X, np.ones(len(X)))
    with pytest.raises(InputError, match="all are constant"):
        PlsLogistic().fit(np.ones((6, 2)), [0, 1] * 3)
    with pytest.raises(ValueError, match="NaN"):
        PlsLogistic().fit(X.mask(X > 100), y)
