"""Reading a grouping variable: labels, order, and the errors that go with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from radsupport.checks import IntArray
from radsupport.errors import InputError, NotEstimableError
from radsupport.modelling.terms import level_label, ordered_levels


def group_codes(group: Any, n: int, name: str = "group") -> tuple[tuple[str, ...], IntArray]:
    """Return the groups' labels in order, and for each subject the number of its group.

    Categorical groups keep the order of their categories; numbers are sorted as numbers, text as text. Categories that
    nobody has are left out.

    Raises
    ------
    InputError
        Wrong length or missing values.
    """
    values = group if isinstance(group, pd.Series) else pd.Series(group)
    if len(values) != n:
        raise InputError(f"`{name}` has {len(values)} values where {n} were expected.")
    if values.isna().any():
        raise InputError(
            f"`{name}` has {int(values.isna().sum())} missing value(s). Drop or impute them before calling."
        )
    levels = ordered_levels(values)
    number = {level: i for i, level in enumerate(levels)}
    return levels, np.array([number[level_label(value)] for value in values], dtype=np.int64)


def at_least_two(levels: tuple[str, ...], name: str = "group") -> None:
    """Raise where there is nothing to compare."""
    if len(levels) < 2:
        raise NotEstimableError(f"`{name}` holds only {', '.join(levels)}; at least two groups are needed to compare.")


def two_groups(group: Any, n: int) -> tuple[tuple[str, str], npt.NDArray[np.bool_]]:
    """Return the two labels and who belongs to the second; anything but two groups is an error."""
    levels, code = group_codes(group, n)
    if len(levels) != 2:
        raise InputError(f"Exactly two groups are needed; `group` holds {len(levels)}: {', '.join(levels)}.")
    return (levels[0], levels[1]), code == 1
