"""PLS logistic regression: the laws of the published algorithm, written out slowly beside ours."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm

from radsupport.errors import InputError, NotEstimableError
from radsupport.learning.plslogistic import PlsLogistic, logistic_coefficients

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


def test_bad_input_is_refused(pima):
    X, y = pima
    with pytest.raises(InputError, match="n_components"):
        PlsLogistic(0).fit(X, y)
    with pytest.raises(NotEstimableError, match="both 0 and 1"):
        PlsLogistic().fit(X, np.ones(len(X)))
    with pytest.raises(InputError, match="all are constant"):
        PlsLogistic().fit(np.ones((6, 2)), [0, 1] * 3)
    with pytest.raises(ValueError, match="NaN"):
        PlsLogistic().fit(X.mask(X > 100), y)
