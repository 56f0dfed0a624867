"""Reading the JSON inputs of a claim: counts, tables of counts, printed numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from radsupport.errors import InputError
from radsupport.published.rounding import Printed, read_number

CountTable = npt.NDArray[np.int64]


def as_count(value: Any, name: str, minimum: int = 0) -> int:
    """Return `value` (a whole number, or its text) as an int of at least `minimum`.

    Raises
    ------
    InputError
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if isinstance(value, bool) or number != number or number != int(number) or number < minimum:
        raise InputError(f"`{name}` must be a whole number of at least {minimum}, it is {value!r}.")
    return int(number)


def as_counts(value: Any, name: str, n: int | None = None, minimum: int = 0) -> list[int]:
    """Return a list of counts, of length `n` where given.

    Raises
    ------
    InputError
    """
    if not isinstance(value, list) or not value or (n is not None and len(value) != n):
        raise InputError(f"`{name}` must be a list of {'' if n is None else f'{n} '}whole numbers, it is {value!r}.")
    return [as_count(each, name, minimum) for each in value]


def as_table(value: Any, name: str, shape: tuple[int, int] | None = None) -> CountTable:
    """Return a list of equally long rows of counts as an array, of `shape` where given.

    Raises
    ------
    InputError
    """
    rows = value if isinstance(value, list) else []
    lengths = {len(row) if isinstance(row, list) else 0 for row in rows}
    if len(lengths) != 1 or 0 in lengths:
        raise InputError(f"`{name}` must be a list of equally long rows of whole numbers, it is {value!r}.")
    table = np.array([as_counts(row, name) for row in rows], dtype=np.int64)
    if shape is not None and table.shape != shape:
        raise InputError(f"`{name}` must have {shape[0]} rows and {shape[1]} columns, it has {table.shape}.")
    return table


def as_levels(value: Any, name: str = "levels") -> tuple[list[str], CountTable]:
    """Split `[["Female", 24, 4], …]` into level names and a table of counts (levels x groups).

    Raises
    ------
    InputError
    """
    if not isinstance(value, list) or not all(isinstance(row, list) and len(row) > 1 for row in value):
        raise InputError(f"`{name}` must be a list of [level, count, count, …], it is {value!r}.")
    return [str(row[0]) for row in value], as_table([row[1:] for row in value], name)


def as_printed(value: Any, name: str, n: int | None = None) -> list[Printed]:
    """Return a list of printed numbers (as text, so that their decimals are known), of length `n` where given.

    Raises
    ------
    InputError
    """
    if not isinstance(value, list) or not value or (n is not None and len(value) != n):
        raise InputError(f"`{name}` must be a list of {'' if n is None else f'{n} '}printed numbers, it is {value!r}.")
    return [read_number(each, name) for each in value]


def as_interval(value: Any, name: str = "ci") -> tuple[Printed, Printed]:
    """Return the two printed limits of a confidence interval, the lower one first.

    Raises
    ------
    InputError
    """
    low, high = as_printed(value, name, 2)
    if low.value > high.value:
        raise InputError(f"`{name}` must give the lower limit first, it is {value!r}.")
    return low, high


def as_mean_sd(value: Any, name: str = "mean_sd") -> list[tuple[Printed, Printed]]:
    """Return printed (mean, SD) pairs, one per group.

    Raises
    ------
    InputError
    """
    if not isinstance(value, list) or len(value) < 2:
        raise InputError(f"`{name}` must be a list of at least two [mean, SD] pairs, it is {value!r}.")
    pairs = []
    for each in value:
        mean, sd = as_printed(each, name, 2)
        pairs.append((mean, sd))
    return pairs


def as_share(value: Any, name: str) -> tuple[int, int]:
    """Read `7/10` or `3 of 6` as (7, 10).

    Raises
    ------
    InputError
    """
    parts = str(value).replace(" of ", "/").split("/")
    if len(parts) != 2:
        raise InputError(f"`{name}` must read like 7/10, it is {value!r}.")
    k, n = as_count(parts[0].strip(), name), as_count(parts[1].strip(), name, 1)
    if k > n:
        raise InputError(f"`{name}` has more cases than patients: {value!r}.")
    return k, n
