"""Missing values in wide tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from radsupport.checks import IntArray


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
    groups: dict[bytes, list[int]] = {}
    # Hashing packed columns is some fifty times faster than np.unique(axis=1), which sorts them.
    for position, pattern in enumerate(np.ascontiguousarray(np.packbits(known, axis=0).T)):
        groups.setdefault(pattern.tobytes(), []).append(position)
    for positions in groups.values():
        columns = np.array(positions, dtype=np.int64)
        yield known[:, columns[0]], columns
