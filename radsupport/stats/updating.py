"""How much of a model has to change in a new cohort: nothing, its level, its spread, or its coefficients.

The closed test of Vergouwe et al. (Stat Med 2017;36:4529) takes the smallest change that the new patients do not speak
against. Survival goes the same way in its Poisson form (Crowson et al., Stat Methods Med Res 2016;25:1692): events of
a Cox model against the cumulative hazard that it predicts until each patient's end of follow-up.
"""

from __future__ import annotations

import warnings
from typing import Any, Literal

import numpy as np
import pandas as pd
import statsmodels.api as sm
from scipy.stats import chi2
from statsmodels.tools.sm_exceptions import PerfectSeparationError, PerfectSeparationWarning

from radsupport.checks import FloatArray, as_binary, as_finite
from radsupport.errors import InputError, NotEstimableError
from radsupport.stats.sample_size import Z

ORIGINAL, LEVEL, SPREAD, REVISION = "as it is", "in the large", "recalibrated", "refitted"
METHODS = (ORIGINAL, LEVEL, SPREAD, REVISION)


def closed_test(
    y: Any,
    offset: Any,
    score: Any,
    x: Any = None,
    *,
    family: Literal["binomial", "poisson"] = "binomial",
    alpha: float = 0.05,
) -> pd.DataFrame:
    """Compare a model in new patients with three updates of it, and take the smallest that is enough.

    Parameters
    ----------
    y : array-like of 0/1, shape (n,)
        Outcome, or event.
    offset : array-like, shape (n,)
        What the model predicts on the scale of the fit: the logit of the probability, or the logarithm of the
        cumulative hazard until the end of each follow-up.
    score : array-like, shape (n,)
        The model's linear predictor.
    x : array-like, shape (n, p), optional
        Its predictors as they enter; without them nothing is refitted, and the updates are held against recalibration.
    family : {"binomial", "poisson"}
    alpha : float
        Level of each test.

    Returns
    -------
    DataFrame
        method, parameters (that the new patients change), log_likelihood, intercept and slope (of the update, with
        limits of 95%), chi2, df and p (of the largest update against the method), chosen.

    Raises
    ------
    InputError
        Arrays of different lengths, or not finite.
    NotEstimableError
        A predictor does not vary, or the new patients are separated by the predictors.
    """
    y, offset = as_binary(y), as_finite(offset, "offset")
    score, ones = as_finite(score, "score", len(y)), np.ones((len(y), 1))
    designs = {LEVEL: ones, SPREAD: np.column_stack([ones, score])}
    if x is not None:
        x = np.asarray(x, float)
        if x.ndim != 2 or len(x) != len(y) or not np.isfinite(x).all():
            raise InputError(f"`x` must be finite, of shape ({len(y)}, p); its shape is {x.shape}.")
        designs[REVISION] = np.column_stack([ones, x])
    if len(offset) != len(y):
        raise InputError(f"`offset` must have {len(y)} values, it has {len(offset)}.")
    for design in designs.values():
        if np.linalg.matrix_rank(design) < design.shape[1]:
            raise NotEstimableError("A predictor does not vary in these patients, or follows from others: no refit.")
    fits = {ORIGINAL: (_log_likelihood(y, offset, family), np.zeros(0), np.zeros(0))}
    fits |= {name: _fit(y, offset, design, family) for name, design in designs.items()}
    largest = list(designs)[-1]
    rows = [_row(name, *fits[name], fits[largest][0], designs[largest].shape[1]) for name in fits]
    table = pd.DataFrame(rows)
    enough = [row["method"] for row in rows if not row["p"] <= alpha]
    return table.assign(chosen=table["method"] == enough[0])


def _row(method: str, likelihood: float, coef: FloatArray, se: FloatArray, best: float, most: int) -> dict[str, Any]:
    df, gain = most - len(coef), max(0.0, 2 * (best - likelihood))
    own: dict[str, Any] = {"method": method, "parameters": len(coef), "log_likelihood": likelihood}
    if method in (LEVEL, SPREAD):
        own |= {"intercept": coef[0], "intercept_low": coef[0] - Z * se[0], "intercept_high": coef[0] + Z * se[0]}
    if method == SPREAD:  # what the score's weight became: the offset holds it once
        own |= {"slope": 1 + coef[1], "slope_low": 1 + coef[1] - Z * se[1], "slope_high": 1 + coef[1] + Z * se[1]}
    known = {"chi2": gain, "df": df, "p": float(chi2.sf(gain, df))} if df else {"chi2": np.nan, "df": 0, "p": np.nan}
    return own | known


def _fit(y: Any, offset: FloatArray, design: FloatArray, family: str) -> tuple[float, FloatArray, FloatArray]:
    """Return log-likelihood, coefficients and standard errors."""
    kind = sm.families.Binomial() if family == "binomial" else sm.families.Poisson()
    with warnings.catch_warnings(), np.errstate(over="ignore", invalid="ignore"):
        warnings.simplefilter("error", PerfectSeparationWarning)
        try:
            found = sm.GLM(y, design, family=kind, offset=offset).fit(maxiter=100, tol=1e-10)
        except (PerfectSeparationWarning, PerfectSeparationError, np.linalg.LinAlgError) as error:
            raise NotEstimableError("The new patients are separated by the predictors: no refit.") from error
    if not found.converged or not np.isfinite(found.bse).all() or np.abs(found.params).max() > 50:
        raise NotEstimableError("A refit to these patients has no maximum.")
    return float(_log_likelihood(y, offset + design @ found.params, family)), found.params, found.bse


def _log_likelihood(y: Any, eta: FloatArray, family: str) -> float:
    """Return the log-likelihood of what a model predicts, without the constants of the data."""
    if family == "binomial":
        return float(np.sum(y * eta - np.logaddexp(0, eta)))
    return float(np.sum(y * eta - np.exp(eta)))
