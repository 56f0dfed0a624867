"""Component-wise logistic boosting (R's ``mboost::glmboost``), which no kept library has."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from radsupport.checks import FloatArray, as_binary
from radsupport.errors import InputError

Family = Literal["half_logit", "logit"]
INTERCEPT = "(Intercept)"


class GlmBoost(ClassifierMixin, BaseEstimator):
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
        self._check_settings()
        names = [INTERCEPT, *(X.columns if isinstance(X, pd.DataFrame) else map(str, range(np.shape(X)[1])))]
        X, _ = validate_data(self, X, y, dtype=float)
        label = as_binary(y, "y", X.shape[0])
        self.classes_ = np.array([0, 1])
        means = X.mean(axis=0)
        centred = X - means
        # What rounding leaves of a constant column must not be divided by: zero it, and it is never chosen.
        centred[:, np.abs(centred).max(axis=0) <= 1e-12 * np.abs(X).max(axis=0)] = 0.0
        self.offset_ = _offset(label, self.family)
        coefs = self._boost(np.column_stack([np.ones(len(X)), centred]), label, names)
        self.coef_ = coefs[1:]
        self.intercept_ = float(coefs[0] - means @ self.coef_)
        return self

    def _boost(self, design: FloatArray, label: Any, names: list[str]) -> FloatArray:
        squares = np.einsum("ij,ij->j", design, design)
        squares = np.where(squares > 0, squares, np.inf)
        coefs, score = np.zeros(design.shape[1]), np.full(len(label), self.offset_)
        chosen, risk = [], []
        for _ in range(self.n_iterations):
            inner = design.T @ _negative_gradient(label, score, self.family)
            best = int(np.argmax(inner**2 / squares))
            step = self.learning_rate * inner[best] / squares[best]
            coefs[best] += step
            score = score + step * design[:, best]
            chosen.append(names[best])
            risk.append(_loss(label, score, self.family))
        self.selected_, self.risk_ = chosen, np.array(risk)
        return coefs

    def _check_settings(self) -> None:
        if self.n_iterations < 1 or not 0 < self.learning_rate <= 1 or self.family not in ("half_logit", "logit"):
            raise InputError(
                "GlmBoost needs n_iterations >= 1, a learning_rate in (0, 1] and family 'half_logit' or 'logit'; got "
                f"{self.n_iterations}, {self.learning_rate}, {self.family!r}."
            )

    def decision_function(self, X: Any) -> FloatArray:
        """Return the log-odds of the event, shape (n_subjects,), whatever the family's own scale."""
        check_is_fitted(self)
        score = self.offset_ + self.intercept_ + validate_data(self, X, dtype=float, reset=False) @ self.coef_
        return 2.0 * score if self.family == "half_logit" else score

    def predict_proba(self, X: Any) -> FloatArray:
        """Return P(0) and P(1), shape (n_subjects, 2)."""
        risk = expit(self.decision_function(X))
        return np.column_stack([1.0 - risk, risk])

    def predict(self, X: Any) -> Any:
        """Return the class with the higher probability."""
        return self.classes_[(self.decision_function(X) > 0).astype(int)]


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
