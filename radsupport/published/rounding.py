"""How a printed number is read: as the interval of all values that would be printed like it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from radsupport.errors import InputError

NUMBER = re.compile(r"(?<!\d)-?(?:\d+\.\d+|\.\d+|\d+)")
RELATION = re.compile(r"(<=|>=|<|>)\s*$")
TOLERANCE = 1e-9
"""Slack for floating-point noise at the edge of a rounding interval."""
MORE_PLACES = 2
"""Decimal places that `show` adds for values which would otherwise read as zero."""


@dataclass(frozen=True)
class Printed:
    """A number as it stands in a paper.

    Attributes
    ----------
    value : float
        The number itself.
    decimals : int
        Digits after the decimal point, trailing zeros included.
    relation : str
        ``=``, or ``<``, ``<=``, ``>``, ``>=`` where the paper prints a bound only.
    significant : int or None
        Number of significant figures the source rounds to, where that is coarser than
        `decimals` says (0.140 in a table that prints two significant figures).
    """

    value: float
    decimals: int
    relation: str = "="
    significant: int | None = None

    @property
    def unit(self) -> float:
        """Value of one step of the last digit that carries information."""
        if self.significant is None or self.value == 0:
            return 10.0**-self.decimals
        leading = math.floor(math.log10(abs(self.value)) + TOLERANCE)
        return max(10.0 ** (leading - self.significant + 1), 10.0**-self.decimals)

    @property
    def low(self) -> float:
        """Smallest value that rounds to what is printed (-inf for an upper bound)."""
        if self.relation != "=":
            return self.value if self.relation.startswith(">") else -math.inf
        below = self.unit
        if self.significant is not None and self.value > 0 and math.isclose(math.log10(self.value) % 1, 0):
            below = max(below / 10, 10.0**-self.decimals)  # just under a power of ten the steps are ten times finer
        return self.value - below / 2

    @property
    def high(self) -> float:
        """Largest value that rounds to what is printed (inf for a lower bound)."""
        if self.relation != "=":
            return self.value if self.relation.startswith("<") else math.inf
        return self.value + self.unit / 2

    def meets(self, low: float, high: float | None = None) -> bool:
        """Say whether some value between `low` and `high` (default: `low` itself) would be printed like this."""
        high = low if high is None else high
        if self.relation == "<":
            return low < self.value
        if self.relation == ">":
            return high > self.value
        return low <= self.high + TOLERANCE and high >= self.low - TOLERANCE

    def __str__(self) -> str:
        return ("" if self.relation == "=" else self.relation) + f"{self.value:.{self.decimals}f}"


def numbers_in(text: str) -> list[Printed]:
    """Return every number in `text`, in order, each with its decimals and a relation sign before it.

    A hyphen between two digits separates them (0.83-0.94); elsewhere it is a minus sign.
    """
    clean = text.replace("–", "-").replace("−", "-").replace("≤", "<=").replace("≥", ">=").replace(" ", " ")
    found = []
    for match in NUMBER.finditer(clean):
        digits = match.group()
        relation = RELATION.search(clean[: match.start()])
        decimals = len(digits.split(".")[1]) if "." in digits else 0
        found.append(Printed(float(digits), decimals, relation.group(1) if relation else "="))
    return found


def read_number(value: object, name: str = "number") -> Printed:
    """Return the only number in `value`.

    Raises
    ------
    InputError
        `value` holds no number or several.
    """
    found = numbers_in(str(value))
    if len(found) != 1:
        raise InputError(f"`{name}` must hold exactly one number, it is {value!r}.")
    return found[0]


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

    Smaller values keep one or two significant digits (0.00059) for two places more; what is smaller still reads as
    a bound (``<0.00001``), or as zero where it is negative.
    """
    if not math.isfinite(value):
        return "infinite"
    least = 10.0 ** -(decimals + MORE_PLACES)
    if least <= abs(value) < 10.0**-decimals:
        places = 1 - math.floor(math.log10(abs(value)))
        return f"{value:.{places}f}"
    if 0 < value < least:
        return f"<{least:.{decimals + MORE_PLACES}f}"
    return f"{0.0 if abs(value) < least else value:.{decimals}f}"


def show_range(low: float, high: float, decimals: int = 3) -> str:
    """Return `low to high`, or one number where both read the same."""
    left, right = show(low, decimals), show(high, decimals)
    return left if left == right else f"{left} to {right}"
