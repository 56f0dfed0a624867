"""Calibration curves: grouped or smoothed for a binary outcome, grouped Kaplan-Meier at a horizon."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from radsupport.checks import FloatArray, IntArray, as_binary, as_finite, as_level, as_probability, as_survival
from radsupport.errors import InputError, NotEstimableError
from radsupport.survival.product_limit import at_times, steps
from radsupport.validation.calibration_summary import quantile_groups
from radsupport.validation.smoothing import loess


def calibration_curve(
    y: Any, p: Any, method: str = "grouped", groups: int = 10, span: float = 0.75, level: float = 0.95
) -> pd.DataFrame:
    """Observed against predicted probability.

    Parameters
    ----------
    y : array-like of 0/1, shape (n,)
    p : array-like of probabilities, shape (n,)
    method : {"grouped", "loess"}
        Shares in quantile groups of `p`, or a smooth curve.
    groups : int
        Groups asked for (ties may leave fewer).
    span : float
        Share of the subjects in each window of the smooth curve.
    level : float
        Confidence level of the limits at each point.

    Returns
    -------
    DataFrame
        grouped: `group, n, events, predicted` (mean), `observed` (share), `ci_low, ci_high` (Clopper-Pearson).
        loess: `predicted` (100 points over the range of `p`), `observed`, `ci_low, ci_high`.

    Raises
    ------
    InputError, NotEstimableError
        Invalid input or unknown method; only one class; a constant `p` with the smooth curve.

    Notes
    -----
    The smooth curve is R's loess(y ~ p, degree=2, surface="direct"), as in CalibrationCurves::val.prob.ci.2, cut at 0
    and 1, which a local parabola may overshoot. Its band is not R's, which has one residual variance for all points:
    it holds Wilson's limits of a share in 1 / sum l_i^2 patients, as many as would make a plain mean as variable as the
    weighted sum of outcomes that the curve is at that point. They exist for shares of 0 and 1 and stay inside 0-1.
    """
    labels = as_binary(y)
    risk = as_probability(p, "p", labels.size)
    if method == "grouped":
        return _grouped(labels, risk, groups, level)
    if method == "loess":
        return _smooth(labels, risk, span, level)
    raise InputError(f"`method` is {method!r}; expected 'grouped' or 'loess'.")


def _grouped(labels: IntArray, risk: FloatArray, groups: int, level: float) -> pd.DataFrame:
    place = quantile_groups(risk, groups)
    n = np.bincount(place)
    events = np.bincount(place, weights=labels).astype(np.int64)
    low, high = proportion_confint(events, n, alpha=1 - as_level(level), method="beta")
    return pd.DataFrame(
        {
            "group": np.arange(1, n.size + 1),
            "n": n,
            "events": events,
            "predicted": np.bincount(place, weights=risk) / n,
            "observed": events / n,
            "ci_low": low,
            "ci_high": high,
        }
    )


def _smooth(labels: IntArray, risk: FloatArray, span: float, level: float) -> pd.DataFrame:
    if np.ptp(risk) == 0:
        raise NotEstimableError(
            f"All {risk.size} predictions equal {risk[0]:g}; a smooth calibration curve needs predictions that vary."
        )
    at = np.linspace(risk.min(), risk.max(), 100)
    fitted, operator = loess(risk, labels.astype(float), at, span)
    share = np.clip(fitted, 0, 1)
    alike = 1 / (operator**2).sum(axis=1)
    low, high = proportion_confint(share * alike, alike, alpha=1 - as_level(level), method="wilson")
    return pd.DataFrame(
        {"predicted": at, "observed": share, "ci_low": np.clip(low, 0, 1), "ci_high": np.clip(high, 0, 1)}
    )


def calibration_curve_survival(
    time: Any, event: Any, risk: Any, horizon: float, groups: int = 5, level: float = 0.95
) -> pd.DataFrame:
    """Kaplan-Meier risk at a horizon against predicted risk, in quantile groups.

    Parameters
    ----------
    time, event : array-like, shape (n,)
        Follow-up and event indicator (0/1).
    risk : array-like of probabilities, shape (n,)
        Predicted probability of the event by the horizon.
    horizon : float
        In the unit of `time`.
    groups : int
        Groups asked for, by quantiles of `risk`.
    level : float
        Confidence level.

    Returns
    -------
    DataFrame
        `group, n, events` (by the horizon), `predicted` (mean risk), `observed` (1 - Kaplan-Meier),
        `ci_low, ci_high` (Greenwood on the log scale, R's default; NaN where nobody survives). NaN where a group is
        not followed to the horizon.

    Raises
    ------
    InputError, NotEstimableError
        Invalid input; nobody is followed to the horizon.
    """
    times, events = as_survival(time, event)
    predicted = as_probability(risk, "risk", times.size)
    as_horizon(times, horizon)
    place = quantile_groups(predicted, groups)
    member = place[None, :] == np.arange(place.max() + 1)[:, None]
    survival, log_se = survival_at(times, events, member, horizon)
    # Where nobody survives there are no limits, as in R.
    alive = np.where(survival > 0, survival, np.nan)
    half = stats.norm.ppf(0.5 + as_level(level) / 2) * np.where(survival > 0, log_se, np.nan)
    return pd.DataFrame(
        {
            "group": np.arange(1, len(member) + 1),
            "n": member.sum(axis=1),
            "events": member @ (events * (times <= horizon)),
            "predicted": member @ predicted / member.sum(axis=1),
            "observed": 1 - survival,
            "ci_low": 1 - np.minimum(alive * np.exp(half), 1),
            "ci_high": 1 - alive * np.exp(-half),
        }
    )


def as_horizon(times: FloatArray, horizon: float) -> float:
    """Return the horizon if somebody is followed that long.

    Raises
    ------
    InputError
        Not a positive number.
    NotEstimableError
        All follow-up ends before it.
    """
    value = float(as_finite([horizon], "horizon")[0])
    if value <= 0:
        raise InputError(f"`horizon` must be positive, it is {value:g}.")
    if times.max() < value:
        raise NotEstimableError(
            f"Nobody is followed to the horizon {value:g}; the longest follow-up is {times.max():g}. "
            "Choose an earlier horizon, in the unit of `time`."
        )
    return value


def survival_at(times: FloatArray, events: IntArray, member: Any, horizon: float) -> tuple[FloatArray, FloatArray]:
    """Kaplan-Meier survival of several groups at a horizon, and Greenwood's SE of its logarithm.

    Parameters
    ----------
    times, events : ndarray, shape (n,)
    member : bool ndarray, shape (groups, n)
        Groups may overlap.
    horizon : float

    Returns
    -------
    survival, log_se : ndarray, shape (groups,)
        NaN for a group of which nobody is followed to the horizon. `log_se` is infinite where survival is 0.
    """
    found = steps(times, events, member.astype(float))
    survival = at_times(found.time, found.survival, np.array([horizon]))[:, 0]
    until = found.time <= horizon
    lost, at_risk = found.n_event[:, until], found.n_risk[:, until]
    left = at_risk * (at_risk - lost)
    term = np.divide(lost, left, out=np.where(lost > 0, np.inf, 0.0), where=left > 0)
    followed = (member & (times >= horizon)).any(axis=1)
    return np.where(followed, survival, np.nan), np.where(followed, np.sqrt(term.sum(axis=1)), np.nan)
