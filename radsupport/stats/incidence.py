"""Cumulative incidence of an event that a competing one makes impossible: the Aalen–Johansen estimator.

Kaplan–Meier takes whoever had the competing event as censored, as if the event could still come; 1 − KM is then the
share that would have it in a world without the competing event, and too high for this one.

The estimate is a sum over the Kaplan–Meier curve of any event (lifelines'). lifelines' own AalenJohansenFitter moves
tied times apart at random, so that follow-up in whole months gives another curve for every seed; scikit-survival's
function is exact with ties, but refuses a group in which one of the events did not happen. Without ties, and with both
events, the three are equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from radsupport.checks import FloatArray, as_binary
from radsupport.errors import InputError
from radsupport.stats.regression import check_level
from radsupport.stats.survival_curves import kaplan_meier, prediction_times, survival_times

_ESTIMATES = ("incidence", "ci_low", "ci_high", "competing", "competing_low", "competing_high", "one_minus_km")
#: A sum of steps is 0 or 1 but for this, and has no limits then.
_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class Incidence:
    """Cumulative incidences of an event and of what competes with it.

    Attributes
    ----------
    curve : DataFrame
        One row per distinct time: time, n_risk, n_event, n_competing, n_censor, incidence with ci_low, ci_high,
        competing with competing_low, competing_high, one_minus_km (what Kaplan–Meier makes of the event, the competing
        one being censored).
    at_times : DataFrame
        time, n_risk and the estimates at the times asked for; missing where nobody is followed as long.
    n, n_events, n_competing : int
    """

    curve: pd.DataFrame
    at_times: pd.DataFrame
    n: int
    n_events: int
    n_competing: int


def cumulative_incidence(time: Any, event: Any, competing: Any, times: Any = None, *, level: float = 0.95) -> Incidence:
    """Estimate the cumulative incidence of an event beside a competing one (survival::survfit, cmprsk::cuminc).

    Parameters
    ----------
    time : array-like, shape (n,)
    event, competing : array-like of 0/1, shape (n,)
        What ended the follow-up; both 0 for a censored one.
    times : float or array-like, optional
        Where to report: an event at t has happened at t.
    level : float
        Of the log-log limits by Aalen's variance (Pintilie 2006, eq. 4.5); none (NaN) before the first event.

    Raises
    ------
    InputError
        As `kaplan_meier`; somebody with both events.
    """
    checked, events = survival_times(time, event)
    others = as_binary(competing, "competing", checked.size, both_classes=False)
    if (both := int((events & others).sum())) > 0:
        raise InputError(f"{both} patient(s) have the event and the competing one; only the first ends the follow-up.")
    z = float(stats.norm.ppf(0.5 + check_level(level) / 2))
    km, any_event = kaplan_meier(checked, events).curve, kaplan_meier(checked, events | others).curve
    curve = km[["time", "n_risk", "n_event"]].assign(
        n_competing=any_event["n_event"] - km["n_event"],
        n_censor=any_event["n_censor"],
        one_minus_km=1 - km["survival"],
    )
    for count, name, limit in (("n_event", "incidence", "ci"), ("n_competing", "competing", "competing")):
        found = _estimate(curve[count].to_numpy(dtype=float), any_event, z)
        curve[name], curve[f"{limit}_low"], curve[f"{limit}_high"] = found
    at = _at(curve, np.empty(0) if times is None else prediction_times(times), float(checked.max()))
    return Incidence(curve, at, checked.size, int(events.sum()), int(others.sum()))


def _estimate(own: FloatArray, any_event: pd.DataFrame, z: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the incidence of one kind of event at each time, and its log-log limits by Aalen's variance."""
    n, d = (any_event[name].to_numpy(dtype=float) for name in ("n_risk", "n_event"))
    before = np.concatenate([[1.0], any_event["survival"].to_numpy()[:-1]])
    value = np.cumsum(before * own / n)
    some, left = n > 1, (n > 1) & (n > d)  # the last patient at risk adds no variance
    any_part = np.divide(d, (n - 1) * (n - d), out=np.zeros_like(n), where=left)
    own_part = np.divide(before**2 * own * (n - own), n**2 * (n - 1), out=np.zeros_like(n), where=some)
    joint = np.divide(before * own * (n - own), n * (n - d) * (n - 1), out=np.zeros_like(n), where=left)
    sums = [np.cumsum(part) for part in (any_part, any_part * value + joint, any_part * value**2 + 2 * joint * value)]
    variance = np.maximum(value**2 * sums[0] - 2 * value * sums[1] + sums[2] + np.cumsum(own_part), 0)
    inside = np.where((value > _ROUNDING) & (value < 1 - _ROUNDING), value, np.nan)
    width = z * np.sqrt(variance) / np.abs(inside * np.log(inside))
    return value, inside ** np.exp(width), inside ** np.exp(-width)


def _at(curve: pd.DataFrame, times: Any, last: float) -> pd.DataFrame:
    """Read the curves at `times`: 0 before the first observed time, missing after the last."""
    grid = curve["time"].to_numpy()
    place = np.searchsorted(grid, times, side="right")
    start = {name: np.nan if name.endswith(("low", "high")) else 0.0 for name in _ESTIMATES}
    found = {name: np.concatenate([[value], curve[name].to_numpy()])[place] for name, value in start.items()}
    at_risk = np.append(curve["n_risk"].to_numpy(), 0)[np.searchsorted(grid, times, side="left")]
    table = pd.DataFrame({"time": times, "n_risk": at_risk, **found})
    return table.mask(table["time"] > last).assign(time=times, n_risk=at_risk)
