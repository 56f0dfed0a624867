"""Follow-up times as every module here reads them: checked, and equal where they differ only by rounding."""

from __future__ import annotations

from typing import Any

import numpy as np

from radsupport.checks import FloatArray, IntArray, as_finite, as_survival
from radsupport.errors import InputError

#: Most times that an integral over follow-up is taken at.
_MOST_TIMES = 60
_TOLERANCE = float(np.sqrt(np.finfo(float).eps))


def survival_times(time: Any, event: Any, *, any_event: bool = False) -> tuple[FloatArray, IntArray]:
    """Return checked times and events; times that differ by rounding only become ties.

    Two neighbouring distinct times are one where they differ by no more than 1.5e-8, absolutely or relative to the mean
    absolute time (survival::aeqSurv, on by default in every function of R's survival package).

    Parameters
    ----------
    time, event : array-like, shape (n,)
    any_event : bool
        Require at least one event.

    Raises
    ------
    InputError, NotEstimableError
    """
    times, events = as_survival(time, event, any_event=any_event)
    distinct = np.unique(times)
    gaps = np.diff(distinct)
    tied = (gaps <= _TOLERANCE) | (gaps <= _TOLERANCE * np.abs(distinct).mean())
    if tied.any():
        starts = distinct[np.concatenate([[True], ~tied])]
        times = starts[np.searchsorted(starts, times, side="right") - 1]
    return times, events


def prediction_times(times: Any) -> FloatArray:
    """Return the times asked for as an array; a single time is allowed.

    Raises
    ------
    InputError
        Missing, infinite or negative times.
    """
    wanted = as_finite([times] if np.ndim(times) == 0 else times, "times")
    if (wanted < 0).any():
        raise InputError("`times` must not be negative.")
    return wanted


def integration_times(time: Any, event: Any, last: float) -> FloatArray:
    """Return the times (of `time`'s unit) at which an error integrated over follow-up is evaluated.

    They are the event times before `last`, thinned to at most 60, and `last`: an error that is weighted for censoring
    changes mostly there. One set of times for every page makes integrals of the same patients comparable.

    Parameters
    ----------
    time, event : array-like, shape (n,)
    last : float
        End of the integral.

    Raises
    ------
    InputError
    """
    times, events = survival_times(time, event)
    found = np.unique(times[(events == 1) & (times < last) & (times > 0)])
    if found.size > _MOST_TIMES:
        found = found[np.linspace(0, found.size - 1, _MOST_TIMES).round().astype(int)]
    return np.append(found, last)
