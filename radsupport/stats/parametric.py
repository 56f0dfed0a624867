"""Survival models whose curve has a formula: Weibull, log-normal and log-logistic, with accelerated failure times.

The fits equal those of R's survreg. Own code because lifelines, equal to 1e-4, differentiates automatically: a hundred
times longer, a third of a survival chapter. With the covariates' effects and the time both in units of the spread, z =
a log t - xb, each log-likelihood is concave and Newton's method finds its maximum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from scipy import special, stats

from radsupport.checks import FloatArray, IntArray
from radsupport.errors import InputError, NotEstimableError
from radsupport.stats.newton import maximise
from radsupport.stats.regression import check_choice, check_level, standardise
from radsupport.stats.survival_curves import prediction_times, survival_times

_Terms = tuple[FloatArray, FloatArray, FloatArray]


def _weibull(z: FloatArray, event: IntArray) -> _Terms:
    """Log density of events and log survival of others at z, their first, and minus their second derivative."""
    hazard: FloatArray = np.exp(z)
    return event * z - hazard, event * 1.0 - hazard, hazard


def _log_logistic(z: FloatArray, event: IntArray) -> _Terms:
    p = special.expit(z)
    return event * z - (1 + event) * np.logaddexp(0.0, z), event - (1 + event) * p, (1 + event) * p * (1 - p)


def _log_normal(z: FloatArray, event: IntArray) -> _Terms:
    density, above = stats.norm.logpdf(z), special.log_ndtr(-z)
    ratio = np.exp(density - above)  # Mills'
    value, slope = np.where(event == 1, density, above), np.where(event == 1, -z, -ratio)
    return value, slope, np.where(event == 1, 1.0, ratio * (ratio - z))


_FITTERS: dict[str, Callable[[FloatArray, IntArray], _Terms]] = {
    "Weibull": _weibull,
    "log-normal": _log_normal,
    "log-logistic": _log_logistic,
}
FAMILIES = tuple(_FITTERS)
#: Width of the interval of log time, per SD of a covariate, beyond which the data do not determine its effect.
_WIDEST = float(np.log(1e4))


@dataclass(frozen=True, eq=False)
class ParametricFit:
    """A fitted parametric survival model.

    Attributes
    ----------
    family : {"Weibull", "log-normal", "log-logistic"}
    table : DataFrame
        One row per covariate: covariate, coef (of log time), time_ratio, ci_low, ci_high (Wald), p. A ratio of 2 means
        that everything takes twice as long.
    log_likelihood, aic : float
        Of the times in their unit; models of the same patients can be compared.
    n, n_events, n_parameters : int
        Intercept and shape are parameters too.
    intercept, scale : float
        log T = intercept + x coef + scale * error.
    """

    family: str
    table: pd.DataFrame
    log_likelihood: float
    aic: float
    n: int
    n_events: int
    n_parameters: int
    intercept: float
    scale: float

    def survival(self, covariates: pd.DataFrame, times: Any) -> FloatArray:
        """Return the predicted survival of each row at each time, shape (n, m)."""
        middle = self.intercept + covariates.to_numpy(dtype=float) @ self.table["coef"].to_numpy(dtype=float)
        with np.errstate(divide="ignore"):  # at time 0 everybody is free of the event
            z = (np.log(prediction_times(times)) - middle[:, None]) / self.scale
        return np.exp(_FITTERS[self.family](np.maximum(z, -700.0), np.zeros(z.shape, dtype=np.int64))[0])


def fit_parametric(
    time: Any, event: Any, covariates: pd.DataFrame, family: str = "Weibull", *, level: float = 0.95
) -> ParametricFit:
    """Fit a parametric survival model by maximum likelihood (survival::survreg).

    Parameters
    ----------
    time, event : array-like, shape (n,)
    covariates : DataFrame, shape (n, p)
        Numbers, such as the columns of a design; none fits the distribution alone.
    family : {"Weibull", "log-normal", "log-logistic"}
    level : float
        Of the Wald limits.

    Raises
    ------
    InputError
        Another family, missing values, other numbers of rows.
    NotEstimableError
        No event, a follow-up of 0, constant or collinear covariates, a coefficient that is infinite (a level without
        events), or no convergence.
    """
    check_choice(family, "family", FAMILIES)
    times, events = survival_times(time, event, any_event=True)
    matrix = covariates.to_numpy(dtype=float)
    if len(matrix) != times.size or not np.isfinite(matrix).all():
        raise InputError(f"`covariates` has {len(matrix)} rows, or missing values, where {times.size} are expected.")
    if (zero := int((times <= 0).sum())) > 0:
        raise NotEstimableError(f"{zero} patient(s) have a follow-up of 0, which no parametric model allows for.")
    check_level(level)
    mean, sd = standardise(matrix, list(map(str, covariates.columns)))
    log_time = np.log(times)
    design = np.column_stack([-np.ones(times.size), -(matrix - mean) / sd, log_time])
    spread = max(float(log_time.std()), 1e-3)
    start = np.array([log_time.mean() / spread, *np.zeros(sd.size), 1 / spread])
    best = maximise(partial(_likelihood, _FITTERS[family], design, events), start)
    if not best.converged:
        raise NotEstimableError(f"The {family} model did not converge.")
    scale = 1 / float(best.beta[-1])
    own = best.beta[1:-1] * scale  # per SD, as an effect on log time
    change = np.column_stack([np.zeros(sd.size), np.eye(sd.size), -own]) * scale  # by the parameters of the likelihood
    se = np.sqrt(np.diag(change @ np.linalg.inv(best.information) @ change.T))
    width = float(stats.norm.ppf(0.5 + level / 2)) * se
    if not (2 * width < _WIDEST).all():  # NaN is not smaller either
        raise NotEstimableError(f"The {family} model has an effect that these events do not determine.")
    coef, width, p = own / sd, width / sd, 2 * stats.norm.sf(np.abs(own / se))
    ratios = {"time_ratio": np.exp(coef), "ci_low": np.exp(coef - width), "ci_high": np.exp(coef + width)}
    shown = pd.DataFrame({"covariate": list(covariates.columns), "coef": coef, **ratios, "p": p})
    value, k = best.value - float(log_time[events == 1].sum()), best.beta.size
    intercept = float(best.beta[0] * scale - mean @ coef)
    return ParametricFit(family, shown, value, 2 * k - 2 * value, times.size, int(events.sum()), k, intercept, scale)


def _likelihood(
    terms: Callable[[FloatArray, IntArray], _Terms], design: FloatArray, event: IntArray, beta: FloatArray
) -> tuple[float, FloatArray, FloatArray]:
    """Log-likelihood of log times over the spread, score and information; the last parameter is 1 / scale."""
    steep = float(beta[-1])
    if not steep > 0:
        return -np.inf, np.full(beta.size, np.nan), np.full((beta.size, beta.size), np.nan)
    with np.errstate(over="ignore", invalid="ignore"):
        value, slope, bend = terms(design @ beta, event)
        score, information = slope @ design, design.T @ (bend[:, None] * design)
    n_events = int(event.sum())
    score[-1] += n_events / steep
    information[-1, -1] += n_events / steep**2
    total = float(value.sum()) + n_events * np.log(steep)
    return (total if np.isfinite(total) else -np.inf), score, information
