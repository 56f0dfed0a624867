"""Product-limit steps shared by all estimators: who is at risk, S and G at and just before any time, also resampled.

lifelines has Kaplan–Meier curves, but neither left limits nor the censoring distribution with R's handling of ties, and
no way to weight many resamples at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from radsupport.checks import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Steps:
    """Counts at each distinct time; all arrays have shape (k,), or (resamples, k) for the counts if weighted.

    Attributes
    ----------
    time : float array
        Distinct observed times, ascending.
    n_risk, n_event, n_censor : float array
        Under observation just before the time, events at it, censorings at it.
    """

    time: FloatArray
    n_risk: FloatArray
    n_event: FloatArray
    n_censor: FloatArray

    @property
    def survival(self) -> FloatArray:
        """Kaplan–Meier estimate S at each time."""
        return _product(self.n_event, self.n_risk)

    @property
    def censoring_survival(self) -> FloatArray:
        """Kaplan–Meier estimate G of the censoring time at each time.

        Events come before censorings at a tied time: those with the event are not at risk of being censored
        (survival's `fastkm`, prodlim with ``reverse=TRUE``).
        """
        return _product(self.n_censor, self.n_risk - self.n_event)


def _product(lost: FloatArray, at_risk: FloatArray) -> FloatArray:
    share = np.divide(lost, at_risk, out=np.zeros_like(lost), where=at_risk > 0)
    return np.cumprod(1.0 - share, axis=-1).astype(np.float64, copy=False)


def steps(time: FloatArray, event: IntArray, counts: FloatArray | None = None) -> Steps:
    """Count events, censorings and subjects at risk at each distinct time.

    Parameters
    ----------
    time, event : array, shape (n,)
    counts : array, shape (resamples, n), optional
        How often each subject occurs in each resample.
    """
    distinct, group = np.unique(time, return_inverse=True)
    weights = np.ones((1, time.size)) if counts is None else counts
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(distinct.size))
    totals = np.add.reduceat(weights[:, order], starts, axis=1)
    events = np.add.reduceat((weights * event)[:, order], starts, axis=1)
    at_risk = np.cumsum(totals[:, ::-1], axis=1)[:, ::-1]
    parts = (at_risk, events, totals - events)
    return Steps(distinct, *(part[0] if counts is None else part for part in parts))


def at_times(grid: FloatArray, values: FloatArray, times: FloatArray, *, before: bool = False) -> FloatArray:
    """Read a right-continuous step function that starts at 1; `before` gives its left limits.

    `values` may have leading axes; the last one belongs to `grid`.
    """
    position = np.searchsorted(grid, times, side="left" if before else "right")
    ones = np.ones((*values.shape[:-1], 1))
    return np.concatenate([ones, values], axis=-1)[..., position]


def survival_before(time: FloatArray, event: IntArray, times: FloatArray) -> FloatArray:
    """S(t-) at `times`."""
    found = steps(time, event)
    return at_times(found.time, found.survival, times, before=True)


def censoring_before(time: FloatArray, event: IntArray, times: FloatArray) -> FloatArray:
    """G(t-) at `times`."""
    found = steps(time, event)
    return at_times(found.time, found.censoring_survival, times, before=True)
