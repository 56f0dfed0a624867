"""Learners with one coefficient per column: elastic net, boosting, PLS components, Cox regression.

The elastic net is glmnet's, the boosting R's ``mboost::glmboost``, the PLS logistic regression R's ``plsRglm``; no kept
library has them. Survival learners are Cox models as a signature needs them: a risk per subject.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

from radsupport.checks import FloatArray, IntArray, varies
from radsupport.errors import InputError, NotEstimableError
from radsupport.learning.estimators import BinaryRisk, platt_curve
from radsupport.stats.cox import RiskSets, evaluate, risk_sets
from radsupport.stats.newton import maximise
from radsupport.stats.penalised import BinomialLoss, CoxLoss, ridge_logistic, solve_path
from radsupport.wording import counted

Family = Literal["half_logit", "logit"]
INTERCEPT = "(Intercept)"
_EPSILON, _MAX_ITERATIONS = 1e-8, 25  # R's glm.control


class LogOdds(BinaryRisk):
    """Base of two-class learners whose log-odds are linear in the columns."""

    coef_: FloatArray
    intercept_: float

    def _log_odds(self, X: FloatArray) -> FloatArray:
        return self.intercept_ + X @ self.coef_

    def decision_function(self, X: Any) -> FloatArray:
        """Return the log-odds of the event, shape (n_subjects,)."""
        return self._log_odds(self._features(X))

    def _risk(self, X: FloatArray) -> FloatArray:
        return expit(self._log_odds(X))


class PenalisedLogistic(LogOdds):
    """Logistic regression with an elastic-net penalty whose strength is a share of the largest useful one.

    Penalty as in glmnet: lambda * (mixing * |b| + (1 - mixing) / 2 * b²), lambda = `strength` * lambda_max,
    lambda_max being the smallest lambda at which a LASSO of this mixing has no feature (mixing below 0.001
    counts as 0.001, as in glmnet). The columns should be z-scored before. Solved exactly by
    `radsupport.stats.penalised` (scikit-learn's saga stops early, its lbfgs takes longer).

    Parameters
    ----------
    strength : float
        In (0, 1].
    mixing : float
        1 LASSO, 0 ridge.
    """

    def __init__(self, strength: float = 0.1, mixing: float = 1.0) -> None:
        self.strength = strength
        self.mixing = mixing

    def fit(self, X: Any, y: Any) -> PenalisedLogistic:
        """Fit; where no column has any association the risk is the prevalence."""
        X, label = self._checked(X, y)
        return self._along([self], X, label)[0]

    def fit_points(self, points: Sequence[dict[str, Any]], X: Any, y: Any) -> list[PenalisedLogistic]:
        """Fit at every point of a grid of strength and mixing; the strengths of one mixing are one path."""
        models = [clone(self).set_params(**point) for point in points]
        for model in models:
            model._checked(X, y)
        return self._along(models, X, y)

    @staticmethod
    def _along(models: list[PenalisedLogistic], X: FloatArray, label: IntArray) -> list[PenalisedLogistic]:
        slope = float(np.abs((X - X.mean(axis=0)).T @ (label - label.mean())).max()) / len(label)
        for mixing in {model.mixing for model in models}:
            own = sorted((m for m in models if m.mixing == mixing), key=lambda m: m.strength, reverse=True)
            if not all(0 < m.strength <= 1 for m in own) or not 0 <= mixing <= 1:
                given = f"{', '.join(str(m.strength) for m in own)} and {mixing}"
                raise InputError(f"strength must be in (0, 1], mixing in [0, 1]; got {given}.")
            for model in own:
                model.lambda_ = max(model.strength * slope / max(mixing, 1e-3), 1e-10)
            for model, (coef, intercept) in zip(own, _logistic_path(X, label, own), strict=True):
                model.coef_, model.intercept_ = coef, intercept
        return models


def _logistic_path(
    X: FloatArray, label: IntArray, models: Sequence[PenalisedLogistic]
) -> list[tuple[FloatArray, float]]:
    """Return coefficients and intercept of models of one mixing, the strongest penalty first."""
    penalties, mixing = np.array([model.lambda_ for model in models]), models[0].mixing
    if mixing > 0 and penalties[0] <= 1e-10:  # nothing is associated: no path to follow
        return [(np.zeros(X.shape[1]), float(logit(label.mean())))] * len(models)
    if mixing == 0:
        return ridge_logistic(X, label, penalties)
    grid = _halving(penalties, penalties[0] / models[0].strength)
    design, penalised = np.column_stack([np.ones(len(X)), X]), np.append(0.0, np.ones(X.shape[1]))
    coefs = solve_path(BinomialLoss(label), design, penalised, mixing, grid, 0, 0.0).coef
    return [(coef[1:], float(coef[0])) for coef in coefs[np.searchsorted(-grid, -penalties)]]


def _halving(penalties: FloatArray, largest: float) -> FloatArray:
    """Return the falling penalties with others between them, from the largest one on: none below half of the last."""
    pairs = zip(np.append(largest, penalties[:-1]), penalties, strict=True)
    between = [np.geomspace(a, b, 2 + int(np.log2(max(a / b, 1.0))))[1:-1] for a, b in pairs]
    return np.unique(np.concatenate([[largest], *between, penalties]))[::-1]


class GlmBoost(LogOdds):
    """Boost one univariable least-squares fit at a time on the binomial loss.

    In every iteration the negative gradient of the loss is regressed on each centred column and on the
    intercept; the one with the smallest residual sum of squares moves by `learning_rate` times its
    coefficient (Bühlmann & Hothorn, Stat Sci 2007;22:477, algorithm of ``glmboost(center = TRUE)``).
    Columns that are never chosen keep a coefficient of zero, so that boosting selects as it fits.

    Parameters
    ----------
    n_iterations : int
        Boosting iterations (``mstop``).
    learning_rate : float
        Step length (``nu``), in (0, 1].
    family : {"half_logit", "logit"}
        ``half_logit`` is mboost's default ``Binomial()``: the score f is half the log-odds, the gradient that
        of log2(1 + exp(-2 y f)) with y = -1 / 1. ``logit`` is ``Binomial(type = "glm")``: f is the log-odds.

    Attributes
    ----------
    offset_ : float
        Start value of the score.
    intercept_, coef_ : float, array of shape (n_features,)
        Score = offset_ + intercept_ + X coef_, on the scale that `family` says.
    selected_ : list of str
        Name of the base-learner chosen in each iteration; ``(Intercept)`` is one of them.
    risk_ : array of shape (n_iterations,)
        Minus the log-likelihood (natural logarithm, both families) after each iteration.
    """

    def __init__(self, n_iterations: int = 100, learning_rate: float = 0.1, family: Family = "half_logit") -> None:
        self.n_iterations = n_iterations
        self.learning_rate = learning_rate
        self.family = family

    def fit(self, X: Any, y: Any) -> GlmBoost:
        """Boost on `X` (n_subjects x n_features) against the 0/1 outcome `y`.

        Raises
        ------
        InputError, NotEstimableError
            Missing values, an outcome that is not 0/1 or has one class only, or an impossible setting.
        """
        return self._snapshots([self], X, y)[0]

    def fit_points(self, points: Sequence[dict[str, Any]], X: Any, y: Any) -> list[GlmBoost]:
        """Boost once for all numbers of iterations of a grid that share the other settings."""
        models = [clone(self).set_params(**point) for point in points]
        for settings in {(model.learning_rate, model.family) for model in models}:
            own = [model for model in models if (model.learning_rate, model.family) == settings]
            own[0]._snapshots(own, X, y)
        return models

    def _snapshots(self, models: list[GlmBoost], X: Any, y: Any) -> list[GlmBoost]:
        for model in models:
            model._check_settings()
        names = [INTERCEPT, *(X.columns if isinstance(X, pd.DataFrame) else map(str, range(np.shape(X)[1])))]
        for model in models:
            values, label = model._checked(X, y)
        means = values.mean(axis=0)
        centred = values - means
        # What rounding leaves of a constant column must not be divided by: zero it, and it is never chosen.
        centred[:, np.abs(centred).max(axis=0) <= 1e-12 * np.abs(values).max(axis=0)] = 0.0
        offset = _offset(label, self.family)
        design = np.column_stack([np.ones(len(values)), centred])
        last = max(model.n_iterations for model in models)
        coefs, chosen, risk = self._boost(design, label, offset, last, {model.n_iterations for model in models})
        for model in models:
            n = model.n_iterations
            model.offset_, model.coef_ = offset, coefs[n][1:]
            model.intercept_ = float(coefs[n][0] - means @ model.coef_)
            model.selected_, model.risk_ = [names[k] for k in chosen[:n]], np.array(risk[:n])
        return models

    def _boost(
        self, design: FloatArray, label: Any, offset: float, last: int, wanted: set[int]
    ) -> tuple[dict[int, FloatArray], list[int], list[float]]:
        """Return the coefficients after each wanted number of iterations, and what was chosen and lost in each."""
        squares = np.einsum("ij,ij->j", design, design)
        squares = np.where(squares > 0, squares, np.inf)
        coefs, score = np.zeros(design.shape[1]), np.full(len(label), offset)
        found, chosen, risk = {}, [], []
        for n in range(1, last + 1):
            inner = design.T @ _negative_gradient(label, score, self.family)
            best = int(np.argmax(inner**2 / squares))
            step = self.learning_rate * inner[best] / squares[best]
            coefs[best] += step
            score = score + step * design[:, best]
            chosen.append(best)
            risk.append(_loss(label, score, self.family))
            if n in wanted:
                found[n] = coefs.copy()
        return found, chosen, risk

    def _check_settings(self) -> None:
        if self.n_iterations < 1 or not 0 < self.learning_rate <= 1 or self.family not in ("half_logit", "logit"):
            raise InputError(
                "GlmBoost needs n_iterations >= 1, a learning_rate in (0, 1] and family 'half_logit' or 'logit'; got "
                f"{self.n_iterations}, {self.learning_rate}, {self.family!r}."
            )

    def _log_odds(self, X: FloatArray) -> FloatArray:
        score = self.offset_ + self.intercept_ + X @ self.coef_
        return 2.0 * score if self.family == "half_logit" else score


def _offset(label: Any, family: Family) -> float:
    """Start value: half the log-odds of the prevalence, or R's binomial ``mustart`` (y + 1/2) / 2 on average."""
    prevalence = float(np.mean(label))
    return 0.5 * float(logit(prevalence)) if family == "half_logit" else float(logit((prevalence + 0.5) / 2.0))


def _negative_gradient(label: Any, score: FloatArray, family: Family) -> FloatArray:
    if family == "logit":
        return label - expit(score)
    sign = 2.0 * label - 1.0
    return 2.0 * sign * expit(-2.0 * sign * score) / np.log(2.0)


def _loss(label: Any, score: FloatArray, family: Family) -> float:
    log_odds = score if family == "logit" else 2.0 * score
    return float(np.logaddexp(0.0, (1.0 - 2.0 * label) * log_odds).sum())


class MeanLogOdds(LogOdds):
    """The mean of the columns, each with the same weight; the probability is Platt's curve of that mean.

    Of a combination the columns are the log-odds of its parts, each standardised by its own inner out-of-fold mean and
    SD (the z-score before the learner): no weight is fitted, so that none can be fitted to chance. The curve
    (`radsupport.learning.estimators.platt_curve`) has a slope above 0 and leaves the order as it is.
    """

    def fit(self, X: Any, y: Any) -> MeanLogOdds:
        """Fit the curve on `X` (n_subjects x n_parts, z-scored) and the 0/1 outcome `y`."""
        X, label = self._checked(X, y)
        slope, self.intercept_ = platt_curve(X.mean(axis=1), label)
        self.coef_ = np.full(X.shape[1], slope / X.shape[1])
        return self


class PlsLogistic(LogOdds):
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
        return self._nested([self], X, y)[0]

    def fit_points(self, points: Sequence[dict[str, Any]], X: Any, y: Any) -> list[PlsLogistic]:
        """Fit for several numbers of components: the first ones are the same."""
        models = [clone(self).set_params(**point) for point in points]
        return self._nested(models, X, y)

    @staticmethod
    def _nested(models: list[PlsLogistic], X: Any, y: Any) -> list[PlsLogistic]:
        largest = max(models, key=lambda model: model.n_components)
        for model in models:
            if model.n_components < 1:
                raise InputError(f"PlsLogistic needs n_components >= 1; got {model.n_components}.")
            values, label = model._checked(X, y)
        X = values
        means, scales = X.mean(axis=0), X.std(axis=0, ddof=1)
        told = varies(X)
        if not told.any():
            raise InputError("PlsLogistic needs a column that varies; all are constant. Drop them before.")
        scaled = np.where(told, (X - means) / np.where(told, scales, 1.0), 0.0)
        scores = largest._components(scaled, label)
        for model in sorted(models, key=lambda model: model.n_components):
            n = min(model.n_components, scores.shape[1])
            model.n_components_ = n
            model.weights_, model.loadings_ = largest.weights_[:, :n], largest.loadings_[:, :n]
            final = logistic_coefficients(np.column_stack([np.ones(len(X)), scores[:, :n]])[None], label)[0]
            # Scores are linear in the z-scored columns: T = Z W (P'W)^-1.
            rotation = model.weights_ @ np.linalg.inv(model.loadings_.T @ model.weights_)
            model.component_coef_ = final[1:]
            model.coef_ = np.where(told, rotation @ final[1:] / np.where(told, scales, 1.0), 0.0)
            model.intercept_ = float(final[0] - means @ model.coef_)
        return models

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


class LinearRisk(BaseEstimator):
    """Base of Cox learners: the risk is the linear predictor."""

    coef_: FloatArray

    def predict(self, X: Any) -> FloatArray:
        """Return the linear predictor, shape (n_subjects,): higher is worse."""
        check_is_fitted(self)
        return np.asarray(X, dtype=float) @ self.coef_


class MeanHazard(LinearRisk):
    """The mean of the columns, each with the same weight: of a combination the log hazards of its parts, z-scored."""

    def fit(self, X: Any, y: Any) -> MeanHazard:
        """Take `X` (n_subjects x n_parts, z-scored); nothing is fitted to the outcome `y`."""
        self.coef_ = np.full(np.shape(X)[1], 1.0 / np.shape(X)[1])
        return self


class CoxRisk(LinearRisk):
    """Cox regression with Efron's ties and a ridge penalty, by default so weak that it only ends separation.

    Newton's steps are halved until the likelihood rises: on a small resample a whole step can overshoot.

    Parameters
    ----------
    alpha : float
        Ridge penalty, against the log-likelihood summed over events; columns z-scored.
    """

    #: As of `PenalisedCox`.
    strongest_first = True

    def __init__(self, alpha: float = 1e-3) -> None:
        self.alpha = alpha

    def fit(self, X: Any, y: Any) -> CoxRisk:
        """Fit on columns that were z-scored and scikit-survival's structured outcome."""
        sets, x = _at_risk(X, y, "efron")

        def penalised(beta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
            value, score, information = evaluate(sets, x, beta)
            ridge = self.alpha * np.eye(beta.size)
            return value - self.alpha / 2 * float(beta @ beta), score - self.alpha * beta, information + ridge

        found = maximise(penalised, np.zeros(x.shape[1]))
        if not found.converged:
            raise NotEstimableError(f"Cox regression on {counted(x.shape[1], 'column')} has no maximum.")
        self.coef_ = found.beta
        return self


class PenalisedCox(LinearRisk):
    """Cox regression with an elastic-net penalty (Breslow's ties) at a share of the largest useful one, solved exactly.

    scikit-survival's Coxnet stops at a tolerance: at a hundredth of the largest penalty its coefficients were up to
    1.1 off, on 138 instead of 126 features.

    Parameters
    ----------
    strength : float
        Share of lambda_max, in (0, 1]; the path from lambda_max down to it is followed.
    mixing : float
        1 LASSO, above 0.
    """

    #: With few events the C-index of inner folds is too noisy to pick the weakest of the penalties by.
    strongest_first = True

    def __init__(self, strength: float = 0.1, mixing: float = 1.0) -> None:
        self.strength = strength
        self.mixing = mixing

    def fit(self, X: Any, y: Any) -> PenalisedCox:
        """Fit on columns that were z-scored and scikit-survival's structured outcome."""
        return self._along([self], X, y)[0]

    def fit_points(self, points: Sequence[dict[str, Any]], X: Any, y: Any) -> list[PenalisedCox]:
        """Fit at every point of a grid of strength and mixing; the strengths of one mixing are one path."""
        return self._along([clone(self).set_params(**point) for point in points], X, y)

    @staticmethod
    def _along(models: list[PenalisedCox], X: Any, y: Any) -> list[PenalisedCox]:
        for mixing in {model.mixing for model in models}:
            own = sorted((m for m in models if m.mixing == mixing), key=lambda m: m.strength, reverse=True)
            if not all(0 < m.strength <= 1 for m in own) or not 0 < mixing <= 1:
                given = f"{', '.join(str(m.strength) for m in own)} and {mixing}"
                raise InputError(f"strength and mixing must be in (0, 1]; got {given}.")
            for model, coef in zip(own, exact_elastic_net(X, y, [m.strength for m in own], mixing), strict=True):
                model.coef_ = coef
        return models


def exact_elastic_net(X: Any, y: Any, strengths: Sequence[float], mixing: float) -> FloatArray:
    """Return the coefficients at falling shares of the largest useful penalty, solved to the optimality conditions."""
    sets, x = _at_risk(X, y, "breslow")
    loss = CoxLoss(sets)
    largest = float(np.abs(loss.gradient(np.zeros(len(x)))[1] @ x).max()) / mixing
    penalties = largest * np.asarray(strengths, dtype=float)
    grid = _halving(penalties, largest)
    found = solve_path(loss, x, np.ones(x.shape[1]), mixing, grid, 0, 0.0)
    return found.coef[np.searchsorted(-grid, -penalties)]


def _at_risk(X: Any, y: Any, ties: str) -> tuple[RiskSets, FloatArray]:
    """Return the risk sets of a structured outcome (event, time), and the columns in their order."""
    event, time = (y[name] for name in y.dtype.names)
    sets = risk_sets(np.asarray(time, float), np.asarray(event, np.int64), ties)
    return sets, np.asarray(X, dtype=float)[sets.order]
