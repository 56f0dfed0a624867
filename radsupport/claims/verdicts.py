"""What a checker gets (a claim) and gives back (a verdict), the register of checkers, and how their inputs are read.

Inputs are counts, tables of counts and printed numbers in JSON.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from radsupport.claims.numbers import TOLERANCE, Printed, numbers_in, plain, read_number
from radsupport.errors import InputError

MOST_PLACES = 4
"""Decimal places up to which `show` goes for values which would otherwise read as zero."""


def agreement(value: float, printed: Printed) -> str:
    """Name the way in which `value` could have become what is printed.

    Returns
    -------
    str
        ``rounded``; ``rounded twice`` (first to one more digit, as software that prints four
        digits and an author who keeps three do); ``cut off`` (digits dropped); or empty.
    """
    if printed.meets(value):
        return "rounded"
    if printed.relation != "=":
        return ""
    step = printed.unit
    if 0 < printed.value - value <= 0.55 * step + TOLERANCE:
        return "rounded twice"
    if 0 <= abs(value) - abs(printed.value) < step and value * printed.value >= 0:
        return "cut off"
    return ""


def holds(value: float, printed: Printed) -> bool:
    """Say whether `value`, rounded once or twice, is what is printed."""
    return agreement(value, printed) in {"rounded", "rounded twice"}


def significant_digits(printed: Printed) -> int:
    """Return the number of significant digits of a printed number once trailing zeros are dropped."""
    digits = f"{abs(printed.value):.{printed.decimals}f}".replace(".", "").strip("0")
    return max(len(digits), 1)


def show(value: float, decimals: int = 3) -> str:
    """Return `value` with `decimals` digits and without an exponent.

    Smaller values keep one or two significant digits (0.0059) up to `MOST_PLACES` decimals; what is smaller still reads
    as a bound (``<0.0001``), or as zero where it is negative.
    """
    if not math.isfinite(value):
        return "infinite"
    most = max(decimals, MOST_PLACES)
    least = 10.0**-most
    if least <= abs(value) < 10.0**-decimals:
        places = min(most, 1 - math.floor(math.log10(abs(value))))
        text = f"{value:.{places}f}"
        return f"{value:.{decimals}f}" if float(text) == round(float(text), decimals) else text
    if 0 < value < least:
        return f"<{least:.{most}f}"
    return f"{0.0 if abs(value) < least else value:.{decimals}f}"


def show_range(low: float, high: float, decimals: int = 3) -> str:
    """Return `low to high`, or one number where both read the same."""
    left, right = show(low, decimals), show(high, decimals)
    return left if left == right else f"{left} to {right}"


HOLDS = "holds"
FAILS = "does not hold"
UNDECIDED = "cannot be decided"
MALFORMED = "malformed"
VERDICTS = (HOLDS, FAILS, UNDECIDED)


@dataclass(frozen=True)
class Claim:
    """One printed value and the printed figures it can be recomputed from.

    Attributes
    ----------
    study, table, item, group : str
        Where the value stands: the paper, its table or section, the row, the column or cohort.
    published_value : str
        The value exactly as printed.
    kind : str
        Which family of checkers applies, see `kinds`.
    inputs : dict
        The printed figures, under the names of one of the kind's forms.
    p_digits : int or None
        Significant figures to which the P values of the same table are printed, where fewer than their decimals say.
    """

    study: str
    table: str
    item: str
    group: str
    published_value: str
    kind: str
    inputs: dict[str, Any]
    p_digits: int | None = None

    def numbers(self) -> list[Printed]:
        """Return all numbers in the published value."""
        return numbers_in(self.published_value, whole=self.kind == "count_total")

    def number(self) -> Printed:
        """Return the first number of the published value.

        Raises
        ------
        InputError
            There is none.
        """
        found = self.numbers()
        if not found:
            raise InputError(f"published_value {self.published_value!r} holds no number.")
        return found[0]


@dataclass(frozen=True)
class Verdict:
    """What a checker found.

    Attributes
    ----------
    verdict : str
        One of `VERDICTS`.
    reason : str
        Why, in one or two plain sentences.
    recomputed : str
        The value that the inputs give.
    test : str
        The statistical test, formula or way of rounding that fits (or was tried).
    values : mapping
        The recomputed numbers by name, for texts that quote them.
    """

    verdict: str
    reason: str
    recomputed: str = ""
    test: str = ""
    values: Mapping[str, float] = field(default_factory=dict)


def decide(ok: bool) -> str:
    """Return `HOLDS` or `FAILS`."""
    return HOLDS if ok else FAILS


Checker = Callable[[Claim], Verdict]


@dataclass(frozen=True)
class Form:
    """One set of inputs that a kind of claim can be checked from."""

    kind: str
    required: frozenset[str]
    optional: frozenset[str]
    checker: Checker

    def fits(self, keys: frozenset[str]) -> bool:
        """Say whether inputs with these names are this form."""
        return self.required <= keys <= self.required | self.optional | {"note"}

    def __str__(self) -> str:
        optional = f" (optional: {', '.join(sorted(self.optional))})" if self.optional else ""
        return ", ".join(sorted(self.required)) + optional


FORMS: list[Form] = []


def form(kind: str, *required: str, optional: tuple[str, ...] = ()) -> Callable[[Checker], Checker]:
    """Register a function as the checker of claims of `kind` whose inputs have these names."""

    def register(checker: Checker) -> Checker:
        FORMS.append(Form(kind, frozenset(required), frozenset(optional), checker))
        return checker

    return register


def kinds() -> list[str]:
    """Return the kinds of claim that can be checked, in alphabetical order."""
    return sorted({each.kind for each in FORMS})


def find_form(kind: str, keys: frozenset[str]) -> Form | None:
    """Return the form of `kind` that inputs named `keys` have, or None."""
    return next((each for each in FORMS if each.kind == kind and each.fits(keys)), None)


def forms_of(kind: str) -> str:
    """Return the input names of every form of `kind`, for a message."""
    return " | ".join(str(each) for each in FORMS if each.kind == kind)


CountTable = npt.NDArray[np.int64]


def as_count(value: Any, name: str, minimum: int = 0) -> int:
    """Return `value` (a whole number, or its text) as an int of at least `minimum`.

    Raises
    ------
    InputError
    """
    try:
        number = float(plain(value.strip(), whole=True) if isinstance(value, str) else value)
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
    return [(mean, sd) for mean, sd in (as_printed(each, name, 2) for each in value)]


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


@cache
def content(file: str) -> Any:
    """Return what a YAML file of ``radsupport/claims/data`` holds."""
    return yaml.safe_load((resources.files("radsupport.claims") / "data" / file).read_text("utf-8"))
