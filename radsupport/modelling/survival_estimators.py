"""Survival learners: scikit-survival's Cox models in the form a signature needs, a risk per subject."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from sksurv.linear_model import CoxnetSurvivalAnalysis, CoxPHSurvivalAnalysis

from radsupport.checks import FloatArray
from radsupport.errors import InputError, NotEstimableError


class LinearRisk(BaseEstimator):
    """Base of Cox learners: the risk is the linear predictor."""

    coef_: FloatArray

    def predict(self, X: Any) -> FloatArray:
        """Return the linear predictor, shape (n_subjects,): higher is worse."""
        check_is_fitted(self)
        return np.asarray(X, dtype=float) @ self.coef_


class CoxRisk(LinearRisk):
    """Cox regression with Efron ties (scikit-survival) and a ridge penalty so weak that it only ends separation.

    Parameters
    ----------
    alpha : float
        Ridge penalty, against the log-likelihood summed over events; columns z-scored.
    """

    def __init__(self, alpha: float = 1e-3) -> None:
        self.alpha = alpha

    def fit(self, X: Any, y: Any) -> CoxRisk:
        """Fit on columns that were z-scored and scikit-survival's structured outcome."""
        with warnings.catch_warnings():
            # scikit-survival's baseline hazard, not used here, divides by a risk set that rounds to nothing.
            warnings.filterwarnings("ignore", "divide by zero encountered in divide", RuntimeWarning)
            warnings.filterwarnings("ignore", "invalid value encountered in divide", RuntimeWarning)
            try:
                model = CoxPHSurvivalAnalysis(alpha=self.alpha, ties="efron").fit(X, y)
            except (ValueError, np.linalg.LinAlgError) as error:
                raise NotEstimableError(f"Cox regression on {np.shape(X)[1]} columns failed: {error}") from error
        self.coef_ = model.coef_
        return self


class PenalisedCox(LinearRisk):
    """Cox regression with an elastic-net penalty (scikit-survival's Coxnet) at a share of the largest useful one.

    Parameters
    ----------
    strength : float
        Share of lambda_max, in (0, 1]; the path from lambda_max down to it is fitted.
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
        if not 0 < self.strength <= 1 or not 0 < self.mixing <= 1:
            raise InputError(f"strength and mixing must be in (0, 1]; got {self.strength}, {self.mixing}.")
        ratio = min(self.strength, 0.999)
        model = CoxnetSurvivalAnalysis(n_alphas=20, alpha_min_ratio=ratio, l1_ratio=self.mixing).fit(X, y)
        self.coef_ = model.coef_[:, -1]
        return self
