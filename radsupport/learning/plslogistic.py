"""PLS logistic regression (R's ``plsRglm``, model "pls-glm-logistic"), which no kept library has."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from radsupport.checks import FloatArray, IntArray, as_binary
from radsupport.errors import InputError

_EPSILON, _MAX_ITERATIONS = 1e-8, 25  # R's glm.control


class PlsLogistic(ClassifierMixin, BaseEstimator):
    """Logistic regression on PLS components that are themselves built by logistic regressions.

    Columns are z-scored (SD with n - 1). The weight of column j in component h is its coefficient in the
    logistic regression of the outcome on the components 1 … h - 1 and that column; the weights are
    normed to length 1 and the columns deflated by the component (Bastien, Esposito Vinzi & Tenenhaus,
    Comput Stat Data Anal 2005;48:17, algorithm 2). The small regressions of all columns are done at once.

    Parameters
    ----------
    n_components : int
        Components asked for; fewer are made where the columns are exhausted before.

    Attributes
    ----------
    n_components_ : int
        Components made; 0 where no column has any association, and the risk is the prevalence.
    weights_, loadings_ : arrays of shape (n_features, n_components_)
        Weights of the deflated columns, and loadings.
    component_coef_ : array of shape (n_components_,)
        Coefficients of the components in the final logistic regression.
    coef_, intercept_ : array of shape (n_features,), float
        Log-odds = intercept_ + X coef_, in the units of `X`.
    """

    def __init__(self, n_components: int = 2) -> None:
        self.n_components = n_components

    def fit(self, X: Any, y: Any) -> PlsLogistic:
        """Fit on `X` (n_subjects x n_features) and the 0/1 outcome `y`.

        Where a column separates the classes its maximum-likelihood coefficient is infinite; as in R's
        ``glm`` it is then the value after at most 25 iterations.

        Raises
        ------
        InputError, NotEstimableError
            Missing values, an outcome that is not 0/1 or has one class only, no varying column, or
            `n_components` below 1.
        """
        if self.n_components < 1:
            raise InputError(f"PlsLogistic needs n_components >= 1; got {self.n_components}.")
        X, _ = validate_data(self, X, y, dtype=float)
        label = as_binary(y, "y", X.shape[0])
        self.classes_ = np.array([0, 1])
        means, scales = X.mean(axis=0), X.std(axis=0, ddof=1)
        varies = np.ptp(X, axis=0) > 1e-12 * np.abs(X).max(axis=0)
        if not varies.any():
            raise InputError("PlsLogistic needs a column that varies; all are constant. Drop them before.")
        scaled = np.where(varies, (X - means) / np.where(varies, scales, 1.0), 0.0)
        scores = self._components(scaled, label)
        design = np.column_stack([np.ones(len(X)), scores])
        final = logistic_coefficients(design[None], label)[0]
        # Scores are linear in the z-scored columns: T = Z W (P'W)^-1.
        rotation = self.weights_ @ np.linalg.inv(self.loadings_.T @ self.weights_)
        self.component_coef_ = final[1:]
        self.coef_ = np.where(varies, rotation @ final[1:] / np.where(varies, scales, 1.0), 0.0)
        self.intercept_ = float(final[0] - means @ self.coef_)
        return self

    def _components(self, scaled: FloatArray, label: IntArray) -> FloatArray:
        """Extract the components; sets weights and loadings, returns the scores (n_subjects x components)."""
        residual, total = scaled.copy(), float((scaled**2).sum())
        scores: list[FloatArray] = []
        weights, loadings = [], []
        for _ in range(min(self.n_components, *scaled.shape)):
            left = (residual**2).sum(axis=0) > 1e-12 * (scaled**2).sum(axis=0)
            if float((residual**2).sum()) <= 1e-12 * total or len(scores) + 2 >= len(label):
                break
            weight = np.zeros(scaled.shape[1])
            weight[left] = _last_coefficients(scores, residual[:, left], label)
            if not np.linalg.norm(weight) > 0:
                break
            weight /= np.linalg.norm(weight)
            score = residual @ weight
            loading = residual.T @ score / (score @ score)
            residual = residual - np.outer(score, loading)
            scores.append(score)
            weights.append(weight)
            loadings.append(loading)
        self.n_components_ = len(scores)
        n, p = scaled.shape
        self.weights_ = np.reshape(weights, (-1, p)).T
        self.loadings_ = np.reshape(loadings, (-1, p)).T
        return np.reshape(scores, (-1, n)).T

    def decision_function(self, X: Any) -> FloatArray:
        """Return the log-odds of the event, shape (n_subjects,)."""
        check_is_fitted(self)
        return self.intercept_ + validate_data(self, X, dtype=float, reset=False) @ self.coef_

    def predict_proba(self, X: Any) -> FloatArray:
        """Return P(0) and P(1), shape (n_subjects, 2)."""
        risk = expit(self.decision_function(X))
        return np.column_stack([1.0 - risk, risk])

    def predict(self, X: Any) -> IntArray:
        """Return the class with the higher probability."""
        return self.classes_[(self.decision_function(X) > 0).astype(int)]


def _last_coefficients(scores: list[FloatArray], columns: FloatArray, label: IntArray) -> FloatArray:
    """Coefficient of each column in the logistic regression on the scores so far and that column."""
    n, p = columns.shape
    shared = np.column_stack([np.ones(n), *scores])
    design = np.concatenate([np.broadcast_to(shared, (p, *shared.shape)), columns.T[:, :, None]], axis=2)
    return logistic_coefficients(design, label)[:, -1]


def logistic_coefficients(designs: FloatArray, label: IntArray) -> FloatArray:
    """Fit many small logistic regressions at once by iteratively reweighted least squares.

    Parameters
    ----------
    designs : array, shape (n_models, n_subjects, n_columns)
        One design matrix per model, the intercept's column included.
    label : array, shape (n_subjects,)
        0/1, common to all models.

    Returns
    -------
    array, shape (n_models, n_columns)
        Coefficients at R's stopping rule (relative change of deviance below 1e-8, at most 25 steps).
    """
    start = np.log((label + 0.5) / (1.5 - label))  # R's binomial mustart (y + 1/2) / 2 on the logit scale
    eta = np.broadcast_to(start, designs.shape[:2])
    deviance = np.full(len(designs), np.inf)
    coefs = np.zeros((len(designs), designs.shape[2]))
    active = np.arange(len(designs))
    for _ in range(_MAX_ITERATIONS):
        X, mean = designs[active], np.clip(expit(eta), 1e-15, 1 - 1e-15)
        weight = mean * (1.0 - mean)
        working = weight * eta + (label - mean)
        gram = np.einsum("mni,mn,mnj->mij", X, weight, X, optimize=True)
        coefs[active] = (np.linalg.pinv(gram, hermitian=True) @ np.einsum("mni,mn->mi", X, working)[..., None])[..., 0]
        eta = np.einsum("mni,mi->mn", X, coefs[active])
        new = 2.0 * np.logaddexp(0.0, (1 - 2 * label) * eta).sum(axis=1)
        moving = np.abs(new - deviance[active]) >= _EPSILON * (np.abs(new) + 0.1)
        deviance[active] = new
        active, eta = active[moving], eta[moving]
        if not active.size:
            break
    return coefs
