"""The one place where arrays from outside are checked before a statistic is computed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from radsupport.errors import InputError, NotEstimableError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def as_finite(values: Any, name: str, n: int | None = None) -> FloatArray:
    """Return `values` as a 1-D float array without NaN or infinity.

    Parameters
    ----------
    values : array-like, shape (n,)
    name : str
        What the caller calls the argument; used in the message.
    n : int, optional
        Length that is required.

    Raises
    ------
    InputError
        Not numeric, not one-dimensional, empty, wrong length, NaN or infinite.
    """
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise InputError(f"`{name}` must be numeric: {error}") from error
    if array.ndim != 1:
        raise InputError(f"`{name}` must be one-dimensional, its shape is {array.shape}.")
    if array.size == 0:
        raise InputError(f"`{name}` is empty.")
    if n is not None and array.size != n:
        raise InputError(f"`{name}` has {array.size} values where {n} were expected.")
    bad = np.flatnonzero(~np.isfinite(array))
    if bad.size:
        rows = ", ".join(str(i) for i in bad[:10])
        raise InputError(
            f"`{name}` has {bad.size} missing or infinite value(s), at position(s) {rows}"
            f"{' …' if bad.size > 10 else ''}. Drop or impute them before calling."
        )
    return array


def as_binary(values: Any, name: str = "y", n: int | None = None, *, both_classes: bool = True) -> IntArray:
    """Return `values` as a 0/1 integer array.

    Raises
    ------
    InputError
        Any value other than 0 or 1 (or False / True).
    NotEstimableError
        Only one class is present while `both_classes` is asked for.
    """
    array = as_finite(values, name, n)
    wrong = np.unique(array[(array != 0) & (array != 1)])
    if wrong.size:
        shown = ", ".join(f"{value:g}" for value in wrong[:5])
        raise InputError(f"`{name}` must hold 0 and 1 only; found {shown}. Recode it, 1 being the event.")
    if both_classes and np.unique(array).size < 2:
        raise NotEstimableError(
            f"`{name}` holds only {array[0]:.0f} in its {array.size} value(s); both 0 and 1 are needed."
        )
    return array.astype(np.int64)


def as_probability(values: Any, name: str, n: int | None = None) -> FloatArray:
    """Return `values` as a 1-D array of probabilities, 0 and 1 allowed.

    Raises
    ------
    InputError
        As `as_finite`, or a value below 0 or above 1.
    """
    array = as_finite(values, name, n)
    outside = array[(array < 0) | (array > 1)]
    if outside.size:
        raise InputError(
            f"`{name}` must hold probabilities between 0 and 1; {outside.size} value(s) lie outside, "
            f"the first is {outside[0]:g}. Turn scores into probabilities first."
        )
    return array


def as_level(level: float) -> float:
    """Return a confidence level strictly between 0 and 1.

    Raises
    ------
    InputError
        Anything else, such as 95 for 0.95.
    """
    if not 0 < level < 1:
        raise InputError(f"`level` must lie between 0 and 1, it is {level}; 0.95 asks for a 95% interval.")
    return float(level)


def as_survival(time: Any, event: Any, *, any_event: bool = False) -> tuple[FloatArray, IntArray]:
    """Return follow-up times and event indicators as arrays of one length.

    Parameters
    ----------
    time : array-like, shape (n,)
        Follow-up in one unit, not negative.
    event : array-like, shape (n,)
        1 where the event was seen, 0 where follow-up ended without it.
    any_event : bool
        Require at least one event.

    Raises
    ------
    InputError, NotEstimableError
    """
    times = as_finite(time, "time")
    events = as_binary(event, "event", times.size, both_classes=False)
    if (times < 0).any():
        raise InputError(f"`time` has {int((times < 0).sum())} negative value(s); follow-up can not be negative.")
    if any_event and not events.any():
        raise NotEstimableError(f"All {times.size} follow-up times are censored; at least one event is needed.")
    return times, events


def varies(values: Any) -> Any:
    """Say of each column whether its values differ by more than rounding: by 1e-12 of the largest of them.

    A feature that is 1 by definition comes out as 1 ± 1e-16; its standard deviation is above 0, and it is a constant.

    Parameters
    ----------
    values : array-like, shape (rows, columns)
        NaN is no value.

    Returns
    -------
    bool ndarray, shape (columns,)
        False for a column without values.
    """
    table = np.asarray(values, dtype=float)
    high, low = np.fmax.reduce(table, axis=0, initial=-np.inf), np.fmin.reduce(table, axis=0, initial=np.inf)
    return high - low > 1e-12 * np.maximum(np.abs(high), np.abs(low))


def columns_by_pattern(known: Any) -> Iterator[tuple[Any, IntArray]]:
    """Group the columns of a table that know the same rows, so that each group can be computed at once.

    Parameters
    ----------
    known : bool ndarray, shape (rows, columns)
        Where a value is present.

    Yields
    ------
    rows : bool ndarray, shape (rows,)
        The rows known to a group of columns.
    columns : int ndarray
        Positions of these columns, ascending. Nearly always there is one group of all columns.
    """
    if known.size and known.all():
        yield np.ones(len(known), dtype=bool), np.arange(known.shape[1])
        return
    groups: dict[bytes, list[int]] = {}
    # Hashing packed columns is some fifty times faster than np.unique(axis=1), which sorts them.
    for position, pattern in enumerate(np.ascontiguousarray(np.packbits(known, axis=0).T)):
        groups.setdefault(pattern.tobytes(), []).append(position)
    for positions in groups.values():
        columns = np.array(positions, dtype=np.int64)
        yield known[:, columns[0]], columns


def tied(risk: FloatArray, within: float | None = None) -> FloatArray:
    """Return risks of which those that differ by rounding only are equal: neighbours no further apart than `within`.

    By default 1e-12 of the largest. Rounding them instead would part two neighbours that lie on either side of a limit.
    """
    order = np.argsort(risk, kind="stable")
    ordered = risk[order]
    if within is None:
        within = 1e-12 * float(np.abs(ordered[np.isfinite(ordered)]).max(initial=0.0))
    with np.errstate(invalid="ignore"):  # of two infinities
        apart = np.concatenate(([True], ~(np.diff(ordered) <= within)))[: ordered.size]
    found = np.empty_like(ordered)
    found[order] = ordered[np.flatnonzero(apart)[np.cumsum(apart) - 1]]
    return found


def held_out(cohort: pd.Series) -> pd.Series:
    """Say who is in a cohort that nothing is fitted on: internal, external, or one of several external ones."""
    return cohort.notna() & ~cohort.isin(["train", "segmentation"])


def cohorts_in_order(cohort: pd.Series) -> list[str]:
    """Return the keys of the cohorts that are judged: training, then the internal, then every external one."""
    present = list(dict.fromkeys(cohort[cohort.notna() & (cohort != "segmentation")].astype(str)))
    return [key for key in ("train", "internal") if key in present] + [
        key for key in present if key not in ("train", "internal")
    ]
