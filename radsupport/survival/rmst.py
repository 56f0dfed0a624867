"""Restricted mean survival time with the standard error of the estimate.

The variance of lifelines' `restricted_mean_survival_time(return_variance=True)` is of min(T, tau), not of its mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from radsupport.checks import FloatArray
from radsupport.errors import InputError
from radsupport.modelling.fitted import check_level
from radsupport.survival.groups import two_groups
from radsupport.survival.product_limit import steps
from radsupport.survival.times import survival_times


@dataclass(frozen=True)
class RestrictedMean:
    """Restricted mean survival time.

    Attributes
    ----------
    rmst : float
        Area under the Kaplan–Meier curve up to `tau`.
    se, ci_low, ci_high : float
        Of the estimate.
    tau : float
    n, n_events : int
    beyond_follow_up : bool
        `tau` is after the last follow-up while S is not 0: the curve was extended flat, as R does, and the value leans
        on that.
    """

    rmst: float
    se: float
    ci_low: float
    ci_high: float
    tau: float
    n: int
    n_events: int
    beyond_follow_up: bool


@dataclass(frozen=True)
class RestrictedMeanDifference:
    """Difference of two restricted means, second group minus first (in sorted order).

    Attributes
    ----------
    difference, se, ci_low, ci_high, z, p : float
    groups : tuple of str
    """

    difference: float
    se: float
    ci_low: float
    ci_high: float
    z: float
    p: float
    groups: tuple[str, str]


def restricted_mean(time: Any, event: Any, tau: float, *, level: float = 0.95) -> RestrictedMean:
    """Mean survival time up to `tau` (survival:::survmean with ``rmean=tau``).

    Parameters
    ----------
    time, event : array-like, shape (n,)
    tau : float
        Horizon in the unit of `time`.
    level : float

    Returns
    -------
    RestrictedMean
        se = sqrt(sum over events of (area from t to tau)^2 d / (n (n - d))), terms with d = n being zero.

    Raises
    ------
    InputError
    """
    if not (np.isfinite(tau) and tau > 0):
        raise InputError(f"`tau` must be a positive time, it is {tau}.")
    z = float(stats.norm.ppf(0.5 + check_level(level) / 2))
    checked, events = survival_times(time, event)
    found = steps(checked, events)
    inside = found.time < tau
    grid = np.concatenate([[0.0], found.time[inside], [tau]])
    area = np.concatenate([[1.0], found.survival[inside]]) * np.diff(grid)
    remaining: FloatArray = np.cumsum(area[::-1])[::-1][1:]
    n, d = found.n_risk[inside], found.n_event[inside]
    rate = np.divide(d, n * (n - d), out=np.zeros_like(d), where=n > d)
    mean, se = float(area.sum()), float(np.sqrt((remaining**2 * rate).sum()))
    beyond = bool(tau > found.time[-1] and found.survival[-1] > 0)
    limits = (mean - z * se, mean + z * se)
    return RestrictedMean(mean, se, *limits, float(tau), checked.size, int(events.sum()), beyond)


def restricted_mean_difference(
    time: Any, event: Any, group: Any, tau: float, *, level: float = 0.95
) -> RestrictedMeanDifference:
    """Compare two groups by the difference of their restricted means (normal test, as survRM2).

    Raises
    ------
    InputError
        Not exactly two groups, and as `restricted_mean`.
    """
    checked, events = survival_times(time, event)
    names, member = two_groups(group, checked.size)
    first, second = (restricted_mean(checked[m], events[m], tau, level=level) for m in (~member, member))
    difference, se = second.rmst - first.rmst, float(np.hypot(first.se, second.se))
    width = float(stats.norm.ppf(0.5 + level / 2)) * se
    z = difference / se if se > 0 else float("nan")
    p = float(2 * stats.norm.sf(abs(z)))
    return RestrictedMeanDifference(difference, se, difference - width, difference + width, z, p, names)
