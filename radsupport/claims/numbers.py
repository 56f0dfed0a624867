"""How printed numbers are read: every notation of a journal becomes a value, its decimals and its relation sign.

A printed number is the interval of all values that would be printed like it. Decimal points and commas (0,485; 47,2 %),
raised points (0·485), powers (2.3×10⁻⁵), and thousands set apart by commas, spaces or apostrophes are read where only
one reading is possible; ``1,234`` in a text without another hint may be 1234 or 1.234 and is refused.

`radsupport.data.notation` reads whole columns of a spreadsheet, where the rest of the column decides; here a number
stands alone in running text, with relation signs, ranges and percent signs around it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from radsupport.errors import InputError

NUMBER = re.compile(r"(?<!\d)-?(?:\d+\.\d+|\.\d+|\d+)(?:e-?\d+)?")
RELATION = re.compile(r"(<=|>=|<|>)\s*$")
TOLERANCE = 1e-9
"""Slack for floating-point noise at the edge of a rounding interval."""
SIGNS = str.maketrans(
    dict.fromkeys("‐‑‒–—−－﹣", "-") | dict.fromkeys("≤⩽≦", "<=") | dict.fromkeys("≥⩾≧", ">=") | {"＜": "<", "＞": ">"}
)
RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
TIMES = re.compile(r"(?<=\d)\s*[×x·∙⋅*]\s*10\s*(?:\^\s*([-+]?\d+)|([-+]\d+)|([⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+))", re.IGNORECASE)
EXPONENT = re.compile(r"(?<=\d)e([-+]?)0*(\d+)(?!\w)", re.IGNORECASE)
RAISED_POINT = re.compile(r"(?<=\d)[·∙⋅](?=\d)|(?<![\d\w])[·∙⋅](?=\d)")
THIN = re.compile(r"(?<![\d.,])([1-9]\d{0,2}(?:[\u00a0\u2007\u2009\u202f'’]\d{3})+)(?!\d)")
SPACED = re.compile(r"(?<![\d.,])([1-9]\d{0,2}(?: \d{3})+)(?!\d)")
BARE_COMMA = re.compile(r"(?:(?<=[<>=])|^)(\s*),(?=\d+(?![\d.,]))")
TOKEN = re.compile(r"(?<![\d.,/])\d[\d.,]*,[\d.,]*\d(?![\d/])")
GROUPED = re.compile(r"[1-9]\d{0,2}(?:,\d{3})+")
POINT_GROUPED = re.compile(r"(?<![\d.,])[1-9]\d{0,2}(?:\.\d{3})+(?![\d.,]*\d)")
POINT = re.compile(r"(?<![\d.,])\d*\.\d+(?![\d.,]*\d)")
COMMA = re.compile(r"(?<![\d.,/])(?:\d+,\d{1,2}|0\d*,\d+|\d{4,},\d+|\d+,\d{4,})(?![\d/]|[.,]\d)")


def plain(text: str, whole: bool = False) -> str:
    """Return `text` with its numbers as Python writes them: decimal points, no thousands, minus signs, ``e-5``.

    Parameters
    ----------
    text : str
        As printed.
    whole : bool
        The numbers are counts: a comma (or a space) before three digits sets thousands apart.

    Raises
    ------
    InputError
        A comma may be a decimal comma or set thousands apart.
    """
    text = TIMES.sub(lambda m: f"e{(m[1] or m[2] or m[3].translate(RAISED)).lstrip('+')}", text.translate(SIGNS))
    text = EXPONENT.sub(lambda m: f"e{m[1].lstrip('+')}{m[2]}", RAISED_POINT.sub(".", text))
    text = THIN.sub(lambda m: re.sub(r"\D", "", m[1]), text).replace("\u00a0", " ")
    if whole:
        text = SPACED.sub(lambda m: m[1].replace(" ", ""), text)
    text = BARE_COMMA.sub(r"\1.", text)
    points = any(not POINT_GROUPED.fullmatch(m.group()) for m in POINT.finditer(text))
    commas = not (points or whole) and COMMA.search(text) is not None
    if commas or re.search(r"(?<![\d.,])[1-9]\d{0,2}(?:\.\d{3}){2,}(?!\d)", text):
        text = POINT_GROUPED.sub(lambda m: m.group().replace(".", ""), text)
    return TOKEN.sub(lambda m: _token(m.group(), points or whole, commas), text)


def _token(token: str, groups: bool, decimals: bool) -> str:
    """Read one run of digits with commas; `groups` and `decimals` are what the text around it says of its commas."""
    head, point, _ = token.partition(".")
    if GROUPED.fullmatch(head) and (point or groups or token.count(",") > 1):
        return token.replace(",", "")
    if point or groups or token.count(",") > 1:
        return _separated(token)
    if decimals or COMMA.fullmatch(token):
        return token.replace(",", ".")
    joined, decimal = token.replace(",", ""), token.replace(",", ".")
    raise InputError(f"{token!r} may be {joined} or {decimal}: write it as one of them.")


def _separated(token: str) -> str:
    """Part a list (``0.70,0.92`` or ``64,64,32``); refuse a mixture that no rule reads."""
    parts = token.split(",")
    if all(part.count(".") == 1 for part in parts) or (all(part.isdigit() for part in parts) and "0" not in parts):
        return ", ".join(parts)
    raise InputError(f"{token!r} can be read in several ways: write decimals with a point and no thousands separators.")


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


def numbers_in(text: str, whole: bool = False) -> list[Printed]:
    """Return every number in `text`, in order, each with its decimals and a relation sign before it.

    A hyphen between two digits separates them (0.83-0.94); elsewhere it is a minus sign. Counts (`whole`) may have
    their thousands set apart by commas or spaces.

    Raises
    ------
    InputError
        A number can be read in several ways (1,234).
    """
    clean, found = plain(text, whole), []
    for match in NUMBER.finditer(clean):
        digits, _, power = match.group().partition("e")
        relation = RELATION.search(clean[: match.start()])
        decimals = max(len(digits.partition(".")[2]) - int(power or 0), 0)
        found.append(Printed(float(match.group()), decimals, relation.group(1) if relation else "="))
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
