"""Numbers in the notation of a country's spreadsheet: which mark sets decimals apart, and where that can not be known.

``12,5`` can only have a decimal comma and ``12.5`` only a decimal point; ``1.792`` is 1792 in a German sheet and 1.792
in an English one. A column is read with the mark that it, or else the rest of its sheet, can only be read with. Dates
go the same way: 02/03/2015 is read in the order that another date of its columns can only be read in.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable

import pandas as pd

_SPACES = "\u00a0\u2007\u2009\u202f '’"
_EXP = r"(?:[eE][-+]?\d+)?"
_SIGN = r"[-+\u2212]?"
GROUPS = {mark: rf"[1-9]\d{{0,2}}(?:{re.escape(mark)}\d{{3}})+" for mark in (",", ".")}
OTHER = {",": ".", ".": ","}
EITHER = {mark: re.compile(rf"{_SIGN}[1-9]\d{{0,2}}{re.escape(mark)}\d{{3}}") for mark in (",", ".")}
"""What may be grouped thousands as well as three decimals."""
SURE = {
    mark: re.compile(
        rf"{_SIGN}(?:(?:0|[1-9]\d*)?{re.escape(mark)}\d+{_EXP}"  # plain decimals (EITHER taken out)
        rf"|{GROUPS[OTHER[mark]]}{re.escape(mark)}\d+"  # thousands and decimals
        rf"|[1-9]\d{{0,2}}(?:{re.escape(OTHER[mark])}\d{{3}}){{2,}}"  # a million
        rf"|[1-9]\d{{0,2}}(?:[{_SPACES}]\d{{3}})+{re.escape(mark)}\d+)"
    )
    for mark in (",", ".")
}
"""What can only be read with this decimal mark."""
PLAIN = re.compile(rf"(?!{EITHER['.'].pattern}\Z)-?(?:0|[1-9]\d*)(?:\.\d+)?{_EXP}")
"""What Python reads as well, and nobody in another way: most cells of most tables."""
_WRAPPED = re.compile(r"(?:(?:np\.)?(?:array|float\d*|tensor)\(|[\[(])\s*(.+?)\s*[\])]")
_COMPLEX = re.compile(rf"({_SIGN}[\d.,]+{_EXP})[+-]0(?:[.,]0*)?j")
_SPACED = re.compile(rf"({_SIGN}[1-9]\d{{0,2}}(?:[{_SPACES}]\d{{3}})+)([.,]\d+)?")


def unwrapped(text: str) -> str:
    """Return the number in ``[1.2]``, ``array(1.2)``, ``np.float64(1.2)`` or ``(1.2+0j)``; other texts as they are."""
    inner = text.strip()
    while (found := _WRAPPED.fullmatch(inner)) is not None:
        inner = found[1]
    found = _COMPLEX.fullmatch(inner)
    return found[1] if found else inner


def decimal_marks(texts: pd.Series) -> set[str]:
    """Return the decimal marks that some of these texts can only be read with."""
    marked = [text for text in dict.fromkeys(texts.tolist()) if isinstance(text, str) and ("." in text or "," in text)]
    others = [unwrapped(text) for text in marked if not PLAIN.fullmatch(text)]
    found = {
        mark
        for mark in (",", ".")
        if any(SURE[mark].fullmatch(text) and not EITHER[mark].fullmatch(text) for text in others)
    }
    return found | {"."} if len(others) < len(marked) else found


def column_mark(texts: pd.Series, marks: frozenset[str], decimal: str = "") -> tuple[str, str]:
    """Return the decimal mark of a column, or why it can not be known.

    Parameters
    ----------
    texts : Series of str
        Cells of the column that are not missing.
    marks : frozenset of str
        Decimal marks of the rest of the sheet (`Sheet.marks`).
    decimal : {"", ".", ","}
        What the study file says (`data.decimal`).

    Returns
    -------
    mark : str
        ``.`` or ``,``; empty where it can not be known.
    why : str
        What is wrong, for a message; empty where a mark is returned.
    """
    if decimal:
        return decimal, ""
    own = decimal_marks(texts)
    if len(own) == 2:
        return "", "decimal points and decimal commas in one column"
    either = [mark for mark in (",", ".") if any(EITHER[mark].fullmatch(text) for text in texts)]
    if not either or own:
        return next(iter(own), "."), ""
    doubtful = either == [","] or _all_or_spread(texts)
    if not doubtful:
        return ".", ""
    if len(marks) == 1 and not (marks == {"."} and either == ["."] and _spread(texts)):
        return next(iter(marks)), ""
    example = next(text for text in texts if EITHER[either[0]].fullmatch(text))
    joined = example.replace(either[0], "")
    return "", f"{example} may be {example.replace(',', '.')} or {joined}"


def _all_or_spread(texts: pd.Series) -> bool:
    """Say whether all numbers have exactly three decimals, or they lie among whole numbers beyond a hundred."""
    return all(EITHER["."].fullmatch(text) for text in texts) or _spread(texts)


def _spread(texts: pd.Series) -> bool:
    return bool(texts.str.fullmatch(r"\d{3,}").any())


def plain(text: str, mark: str) -> str | None:
    """Return a number as Python writes it, read with this decimal mark; None where it has another notation."""
    text = unwrapped(text).replace("\u2212", "-")
    spaced = _SPACED.fullmatch(text)
    if spaced:
        text = re.sub(f"[{_SPACES}]", "", spaced[1]) + (spaced[2] or "")
    group = OTHER[mark]
    if re.fullmatch(rf"{_SIGN}{GROUPS[group]}(?:{re.escape(mark)}\d+)?", text):
        text = text.replace(group, "")
    return None if group in text else text.replace(mark, ".")


def read_numbers(texts: pd.Series, marks: frozenset[str], decimal: str = "") -> tuple[pd.Series, str, str]:
    """Return texts as numbers that Python reads, the decimal mark, and why they can not be read (`column_mark`).

    A text that is no number in this notation stays as it is; one with the other decimal mark becomes NaN.
    """
    simple = pd.to_numeric(texts, errors="coerce").notna().all()
    if simple and not decimal and not any(EITHER["."].fullmatch(str(text)) for text in texts):
        return texts, ".", ""
    mark, why = column_mark(texts, marks, decimal)
    if why:
        return texts, mark, why
    return texts.map(lambda text: plain(text, mark)), mark, ""


_CLOCK = r"(?:[T ]+\d{1,2}:\d\d.*)?"
_YEAR_FIRST = re.compile(rf"((?:18|19|20|21)\d\d)(?:([-/.])(\d{{1,2}})\2(\d{{1,2}})|(\d\d)(\d\d)){_CLOCK}")
_YEAR_LAST = re.compile(rf"(\d{{1,2}})([-/.])(\d{{1,2}})\2((?:18|19|20|21)\d\d){_CLOCK}")
_WORDED = re.compile(r"(\d{1,2})[-. ]+([^\W\d]{3,9})[-., ]+((?:18|19|20|21)\d\d)")
_WORD_FIRST = re.compile(r"([^\W\d]{3,9})\.? +(\d{1,2})(?:st|nd|rd|th)?,? +((?:18|19|20|21)\d\d)")
_WORDS = ("jan", "feb fév", "mar mär mrz", "apr avr", "may mai", "jun juin", "jul juil", "aug aoû", "sep", "oct okt",
          "nov", "dec dez déc")  # fmt: skip
_MONTHS = {word: month for month, words in enumerate(_WORDS, start=1) for word in words.split()}
DAY_FIRST, MONTH_FIRST = "day first", "month first"


def date_order(texts: Iterable[str]) -> tuple[str, str]:
    """Return the order of day and month in dates that begin with neither year nor word, or why it can not be known.

    Parameters
    ----------
    texts : iterable of str
        Cells of columns that are written alike.

    Returns
    -------
    order : str
        ``day first`` or ``month first``; empty where it can not be known. Dates with points have the day first, where
        nothing speaks against it.
    why : str
        What is wrong, for a message; empty where an order is returned.
    """
    found = [(text, one) for text in dict.fromkeys(texts) if (one := _YEAR_LAST.fullmatch(text.strip()))]
    day, month = ([text for text, one in found if int(one[place]) > 12] for place in (1, 3))
    if day and month:
        return "", f"{day[0]} has the day first, {month[0]} the month"
    either = [text for text, one in found if one[1] != one[3] and one[2] != "."]
    if either and not (day or month):
        return "", f"{either[0]} may have the day or the month first"
    return MONTH_FIRST if month else DAY_FIRST, ""


def read_date(text: str, order: str = DAY_FIRST) -> datetime.date | None:
    """Return a date; None where the text is none, has no day, or a year of two digits."""
    text, part = text.strip(), None
    if found := _YEAR_FIRST.fullmatch(text):
        part = (found[1], found[3] or found[5], found[4] or found[6])
    elif found := _YEAR_LAST.fullmatch(text):
        part = (found[4], found[3], found[1]) if order == DAY_FIRST else (found[4], found[1], found[3])
    elif found := _WORDED.fullmatch(text) or _WORD_FIRST.fullmatch(text):
        word, day = (found[2], found[1]) if found[1].isdigit() else (found[1], found[2])
        key = next((key for key in (word.casefold()[:4], word.casefold()[:3]) if key in _MONTHS), "")
        part = (found[3], str(_MONTHS.get(key, 0)), day)
    try:
        return datetime.date(*map(int, part)) if part else None
    except ValueError:  # such as 31 April
        return None
