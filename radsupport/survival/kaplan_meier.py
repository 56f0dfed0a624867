"""Kaplan–Meier curves with R's limits and R's median, and follow-up by the reverse Kaplan–Meier method.

lifelines gives the same curve, but log-log limits only, no standard error of S, and the median as the left end of a
stretch where S is exactly 0.5; R (and this module) takes its middle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from radsupport.checks import FloatArray
from radsupport.errors import InputError
from radsupport.modelling.fitted import check_choice, check_level
from radsupport.survival.product_limit import Steps, steps
from radsupport.survival.times import prediction_times, survival_times

CONF_TYPES = ("log", "log-log", "plain")
_TOLERANCE = float(np.sqrt(np.finfo(float).eps))  # of quantile.survfit: how near S has to be to a flat stretch


@dataclass(frozen=True, eq=False)
class KaplanMeier:
    """A Kaplan–Meier estimate.

    Attributes
    ----------
    curve : DataFrame
        One row per distinct time: time, n_risk, n_event, n_censor, survival, se (Greenwood, of S), ci_low, ci_high.
    median, median_low, median_high : float
        NaN where the curve, or the limit's curve, never falls to 0.5.
    at_times : DataFrame
        time, n_risk, survival, se, ci_low, ci_high at the times asked for. Beyond the last follow-up the last values
        are repeated with n_risk 0 (R's ``summary(..., extend=TRUE)``): nothing is known there.
    n, n_events : int
    conf_type : {"log", "log-log", "plain"}
    level : float
    """

    curve: pd.DataFrame
    median: float
    median_low: float
    median_high: float
    at_times: pd.DataFrame
    n: int
    n_events: int
    conf_type: str
    level: float

    def quantile(self, shares: Any) -> pd.DataFrame:
        """Times by which these shares have had the event (R's quantile.survfit): share, time, ci_low, ci_high."""
        wanted = np.atleast_1d(np.asarray(shares, dtype=float))
        if not ((wanted > 0) & (wanted < 1)).all():
            raise InputError(f"`shares` must lie between 0 and 1; found {wanted.tolist()}.")
        columns = {"time": "survival", "ci_low": "ci_low", "ci_high": "ci_high"}
        found = {name: _quantiles(self.curve, column, wanted) for name, column in columns.items()}
        return pd.DataFrame({"share": wanted, **found})


@dataclass(frozen=True)
class FollowUp:
    """Median follow-up with its limits; ``float(result)`` is the median.

    Attributes
    ----------
    median, ci_low, ci_high : float
        NaN where more than half had the event before any long enough follow-up.
    n, n_censored : int
    """

    median: float
    ci_low: float
    ci_high: float
    n: int
    n_censored: int

    def __float__(self) -> float:
        return self.median


def kaplan_meier(
    time: Any, event: Any, times: Any = None, conf_type: str = "log", *, level: float = 0.95
) -> KaplanMeier:
    """Estimate a survival curve (survival::survfit).

    Parameters
    ----------
    time, event : array-like, shape (n,)
    times : float or array-like, optional
        Where to report survival: S is right-continuous, an event at t has happened at t.
    conf_type : {"log", "log-log", "plain"}
        Scale of the limits; "log" is R's default. Cut to [0, 1]. Where S is 0 there are no limits (NaN), and log-log
        limits do not exist where S is 1 after the first observed time.
    level : float

    Returns
    -------
    KaplanMeier
        All censored: S stays 1 and the median is NaN.

    Raises
    ------
    InputError
        Missing or negative times, events other than 0/1, unknown `conf_type`.
    """
    check_choice(conf_type, "conf_type", CONF_TYPES)
    checked, events = survival_times(time, event)
    curve = _curve(steps(checked, events), conf_type, check_level(level))
    median, low, high = (float(_quantiles(curve, c, np.array([0.5]))[0]) for c in ("survival", "ci_low", "ci_high"))
    wanted = np.empty(0) if times is None else prediction_times(times)
    at, n_events = _at(curve, wanted), int(events.sum())
    return KaplanMeier(curve, median, low, high, at, checked.size, n_events, conf_type, level)


def median_follow_up(time: Any, event: Any, *, conf_type: str = "log", level: float = 0.95) -> FollowUp:
    """Median follow-up by the reverse Kaplan–Meier method (Schemper & Smith 1996): censoring is the event.

    Equals ``survfit(Surv(time, 1 - event) ~ 1)``. Parameters and errors as in `kaplan_meier`.
    """
    checked, events = survival_times(time, event)
    reverse = kaplan_meier(checked, 1 - events, conf_type=conf_type, level=level)
    return FollowUp(reverse.median, reverse.median_low, reverse.median_high, reverse.n, reverse.n_events)


def _curve(found: Steps, conf_type: str, level: float) -> pd.DataFrame:
    survival = found.survival
    with np.errstate(divide="ignore", invalid="ignore"):
        left = found.n_risk * (found.n_risk - found.n_event)
        se_log = np.sqrt(np.cumsum(np.where(found.n_event > 0, found.n_event / left, 0.0)))
        low, high = _limits(survival, se_log, float(stats.norm.ppf(0.5 + level / 2)), conf_type)
        se = survival * se_log
    return pd.DataFrame(
        {
            "time": found.time,
            "n_risk": found.n_risk.astype(int),
            "n_event": found.n_event.astype(int),
            "n_censor": found.n_censor.astype(int),
            "survival": survival,
            "se": se,
            "ci_low": low,
            "ci_high": high,
        }
    )


def _limits(survival: FloatArray, se_log: FloatArray, z: float, conf_type: str) -> tuple[FloatArray, FloatArray]:
    alive = np.where(survival > 0, survival, np.nan)
    if conf_type == "plain":
        width = z * se_log * alive
        return np.maximum(alive - width, 0.0), np.minimum(alive + width, 1.0)
    log_survival = np.log(alive)
    if conf_type == "log":
        return np.exp(log_survival - z * se_log), np.minimum(np.exp(log_survival + z * se_log), 1.0)
    log_hazard = np.log(np.where(alive < 1, -log_survival, np.nan))
    width = z * se_log / log_survival
    return np.exp(-np.exp(log_hazard - width)), np.exp(-np.exp(log_hazard + width))


def _at(curve: pd.DataFrame, times: FloatArray) -> pd.DataFrame:
    """Read the curve at `times`: 1 before the first observed time, flat after the last."""
    grid = curve["time"].to_numpy()
    position = np.searchsorted(grid, times, side="right")
    start = {"survival": 1.0, "se": 0.0, "ci_low": 1.0, "ci_high": 1.0}
    columns = {name: np.concatenate([[value], curve[name].to_numpy()])[position] for name, value in start.items()}
    found = pd.DataFrame({"time": times, "n_risk": 0, **columns})
    at_risk = np.concatenate([curve["n_risk"].to_numpy(), [0]])
    found["n_risk"] = at_risk[np.searchsorted(grid, times, side="left")]
    return found


def _quantiles(curve: pd.DataFrame, column: str, shares: FloatArray) -> FloatArray:
    """Times at which 1 - `column` reaches `shares`; in the middle of a flat stretch that equals a share.

    Follows quantile.survfit, also where a limit's curve is not monotone: levels are looked up in order of their value.
    """
    x = np.concatenate([[0.0], curve["time"].to_numpy()])
    y = np.concatenate([[0.0], 1.0 - curve[column].to_numpy()])
    last_time = x[-1]
    keep = np.sort(np.unique(y, return_index=True)[1])  # the first of equal levels; NaN counts as one
    x, y = x[keep], y[keep]
    order = np.argsort(y, kind="stable")  # NaN comes last
    levels = y[order][~np.isnan(y[order])]
    found = np.full(shares.size, np.nan)
    for i, share in enumerate(shares):
        first = int(np.searchsorted(levels, share - _TOLERANCE, side="left"))
        second = int(np.searchsorted(levels, share + _TOLERANCE, side="left"))
        if first == levels.size:
            continue
        start = x[order[first]]
        if abs(share - y[-1]) < _TOLERANCE:
            found[i] = (start + last_time) / 2
        elif second < levels.size:
            found[i] = (start + x[order[second]]) / 2
    return found
