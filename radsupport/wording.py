"""How numbers are worded in tables, legends, captions and alt text: one rule for all of them."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence

_MINUS = "\u2212"  # the typographic minus sign


def p_value(p: float, *, name: str = "P") -> str:
    """Word a p-value: ``P < 0.001``, three decimals below 0.1, two above; ``P = NA`` where it is missing."""
    text = p_number(p)
    return f"{name} {text[0]} {text[1:]}" if text[0] in "<>" else f"{name} = {text}"


def p_number(p: float) -> str:
    """Word a p-value without its name, for a table cell: ``<0.001``, ``0.012``, ``0.34``."""
    if p is None or math.isnan(p):
        return "NA"
    if p < 0.001:
        return "<0.001"
    if p > 0.99:
        return ">0.99"
    return f"{p:.3f}" if p < 0.0995 else f"{p:.2f}"


def number(value: float, digits: int = 3) -> str:
    """Word a number with `digits` significant digits, whole numbers in full, never with an exponent.

    Parameters
    ----------
    value : float
    digits : int
        Significant digits that are kept; digits before the decimal point are never dropped.

    Returns
    -------
    str
        ``0.0123``, ``1.23``, ``123``, ``12300``, ``81,234,568``, at most four decimals; ``NA`` for NaN, ``∞`` for
        infinity; what nobody reads the digits of is only bounded, ``<0.0001``.
    """
    if value is None or math.isnan(value):
        return "NA"
    if math.isinf(value):
        return "∞" if value > 0 else f"{_MINUS}∞"
    value, size = value + 0.0, abs(value)  # a zero has no sign
    if 0 < size < 1e-4:
        return "<0.0001" if value > 0 else f">{_MINUS}0.0001"
    if size >= 1e7:
        beyond = "" if size <= 1e12 else ">" if value > 0 else "<"
        return f"{beyond}{_MINUS * int(value < 0)}{min(size, 1e12):,.0f}"
    decimals = 0 if size == 0 else min(4, max(0, digits - 1 - math.floor(math.log10(size))))
    text = f"{value:.{decimals}f}"
    if float(value).is_integer():
        text = f"{value:.0f}"
    return text.replace("-", _MINUS)


def tick(value: float) -> str:
    """Word a value on an axis, without trailing zeros: ``0.5``, ``−2``, ``1200``."""
    return f"{value + 0.0:.6g}".replace("-", _MINUS)


def estimate(value: float, low: float, high: float, decimals: int = 2) -> str:
    """Word an estimate with its interval, ``0.80 (0.70–0.90)``; alone where it has none (an AUC of 1)."""
    if math.isnan(low) and math.isnan(high):
        return fixed(value, decimals)
    value_text, low_text, high_text = (fixed(x, decimals) for x in (value, low, high))
    joint = " to " if low < 0 else "–"
    return f"{value_text} ({low_text}{joint}{high_text})"


def reached(value: float, at_risk: float = math.nan, decimals: int = 1) -> str:
    """Word a time by which a curve falls so far: ``12.3``, never (infinite), or only where too few are left to say.

    Parameters
    ----------
    value : float
        Infinite where the curve never falls so far, NaN where it does so beyond what can be estimated.
    at_risk : float
        Patients left at the time that is not estimable, where that is known.
    decimals : int
    """
    if math.isnan(value):
        return "not estimable" + ("" if math.isnan(at_risk) else f", {at_risk:.0f} at risk")
    return "not reached" if math.isinf(value) else fixed(value, decimals)


def until_reached(text: str) -> str:
    """Say of the open end of a median's interval what it means: the curve's limit never falls below one half."""
    return text.replace("∞", "not reached")


def fixed(value: float, decimals: int = 2) -> str:
    """Word a number with a fixed number of decimals and a typographic minus; none before a zero."""
    if value is None or math.isnan(value):
        return "NA"
    if math.isinf(value):
        return "∞" if value > 0 else f"{_MINUS}∞"
    text = f"{value:.{decimals}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", _MINUS)


def counted(n: int, singular: str, plural: str = "") -> str:
    """Word a count with its noun: ``1 signature``, ``3 signatures``."""
    return f"{n} {singular if n == 1 else plural or singular + 's'}"


_HAPPENINGS = {"death": "deaths", "event": "events", "recurrence": "recurrences", "relapse": "relapses"}


def happened(n: int, event: str) -> str:
    """Word how many patients had an event: ``80 deaths``, ``1 death``, ``80 with lymph-node metastasis``."""
    noun, _, rest = event.partition(" (")
    if noun not in _HAPPENINGS:
        return f"{n} with {event}"
    return f"{counted(n, noun, _HAPPENINGS[noun])}{f' ({rest}' if rest else ''}"


def listed(items: Sequence[object], limit: int = 6) -> str:
    """Word a list: ``a, b and c``; names only the first `limit` and counts the rest."""
    names = [str(item) for item in items]
    if len(names) > limit:
        names = [*names[:limit], f"{len(names) - limit} more"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else "none"


def share(value: float) -> str:
    """Word a share as whole percent: ``33%``, ``<1%`` where it would round to 0 and is not, ``>99%`` likewise."""
    if 0 < value < 0.005:
        return "<1%"
    return ">99%" if 0.995 <= value < 1 else f"{value:.0%}"


#: |r| above which two features are called strongly correlated.
STRONG = 0.8


def two_digits(value: float) -> str:
    """Return a number with two significant digits, whole numbers from 10 on."""
    return f"{value:.0f}" if value >= 10 else f"{value:#.2g}"


_SOURCES = {"ct_findings": "CT findings", "deep_published": "published deep output"}


def source_words(source: str) -> str:
    """Word the key of a source of features: ``CT findings``, ``published deep output``, else blanks for underscores."""
    return _SOURCES.get(source, source.replace("_", " "))


def center_words(center: str) -> str:
    """Word the key of a center: ``Center 1``, ``Period 2014–2017`` for ``period_2014_2017``."""
    words = re.sub(r"(?<!\d)(\d{4}) (\d{4})(?!\d)", "\\1–\\2", center.replace("_", " "))
    return words if words == center else f"{words[0].upper()}{words[1:]}"


def plain(value: float) -> str:
    """Word a number of a file as it stands there, to four decimals: ``0.9766``, ``3.27``, ``512``."""
    return f"{round(value, 4):g}"


def readable(feature: str, labels: Mapping[str, str] | None = None) -> str:
    """Return a feature's name with blanks for underscores, its phase in front and a category's level behind.

    Parameters
    ----------
    feature : str
        ``<phase>__<name>``, a column, or ``<column>=<level>``.
    labels : mapping, optional
        Words for columns.
    """
    column, equals, level = feature.partition("=")
    if column in (labels or {}):
        return f"{(labels or {})[column]}: {level}" if equals else (labels or {})[column]
    phase, _, rest = feature.replace("=", ": ", 1).partition("__")
    phase = phase.upper() if rest and len(phase) < 3 else phase  # an abbreviation such as CT
    rest = rest.removeprefix(f"{phase}_")  # a table whose columns are named by the phase, too
    return f"{phase}: {rest.replace('_', ' ')}" if rest else phase.replace("_", " ")


def did_you_mean(name: str, valid: Iterable[str], otherwise: str = "Check the spelling") -> str:
    """Word a remedy for an unknown name: the nearest valid one, where one is so near that it must be a misspelling."""
    known = list(valid)
    lower = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.65 if len(name) > 3 else 0.5)
    return f"did you mean `{lower[near[0]]}`?" if near else otherwise
