"""Read single cells of a clinical sheet: numbers, categories, outcomes, follow-up times, status."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable

from radsupport.cohort.sheets import cell_text
from radsupport.errors import Problem
from radsupport.study_schema import Column, Survival

Parsed = tuple[float | str | None, Problem | None]
Parser = Callable[[str], Parsed]


def _number(text: str) -> Parsed:
    try:
        value = float(text)
    except ValueError:
        point = text.replace(",", ".", 1)
        comma = point != text and point.replace(".", "", 1).lstrip("-").isdigit()
        remedy = "use a decimal point" if comma else "correct it, or write it as a missing value"
        return None, Problem("no number", "a number", remedy)
    if not math.isfinite(value):
        return None, Problem("not a finite number", "a number", "correct it, or leave the cell empty")
    return value, None


def number_parser(column: Column) -> Parser:
    """Return a reader of numbers within the column's limits, both allowed."""
    low, high = column.minimum, column.maximum

    def parse(text: str) -> Parsed:
        value, problem = _number(text)
        if problem is not None or not isinstance(value, float):
            return None, problem
        if (low is not None and value < low) or (high is not None and value > high):
            limits = " to ".join(f"{limit:g}" for limit in (low, high) if limit is not None)
            bounds = (
                limits
                if low is not None and high is not None
                else f"{'at least' if high is None else 'at most'} {limits}"
            )
            return None, Problem(
                "an impossible value", f"{bounds} {column.unit}".strip(), "correct it or the study's limits"
            )
        return value, None

    return parse


def category_parser(column: Column) -> Parser:
    """Return a reader of levels of a category, after its recoding."""
    recode = {cell_text(key): value for key, value in column.recode.items()}

    def parse(text: str) -> Parsed:
        level = recode.get(text, text)
        if level in column.levels:
            return level, None
        known = [*column.levels, *recode]
        near = difflib.get_close_matches(text, known, n=1, cutoff=0.6)
        remedy = f"did you mean `{near[0]}`?" if near else "correct it, or name it in the study's `levels` or `recode`"
        return None, Problem("an unknown level", f"one of {', '.join(dict.fromkeys(known))}", remedy)

    return parse


def label_parser(recode: dict[str, int]) -> Parser:
    """Return a reader of the binary outcome as 0 or 1."""
    codes = {cell_text(key): value for key, value in recode.items()} or {"0": 0, "1": 1}

    def parse(text: str) -> Parsed:
        if codes.get(text) in (0, 1):
            return float(codes[text]), None
        return None, Problem("an unknown outcome", f"one of {', '.join(codes)}", "correct it or the label's `recode`")

    return parse


def time_parser(survival: Survival) -> Parser:
    """Return a reader of follow-up times in months."""
    per_month = survival.days_per_month if survival.unit == "days" else 1.0

    def parse(text: str) -> Parsed:
        value, problem = _number(text)
        if problem is None and isinstance(value, float) and value < 0:
            return None, Problem("a negative follow-up time", f"{survival.unit}, 0 or more", "correct it")
        return (value / per_month if isinstance(value, float) else None), problem

    return parse


def event_parser(survival: Survival) -> Parser:
    """Return a reader of the status at the end of follow-up, 1 for the event."""
    codes = {cell_text(value): 0.0 for value in survival.censored_values}
    codes |= {cell_text(value): 1.0 for value in survival.event_values}

    def parse(text: str) -> Parsed:
        if text in codes:
            return codes[text], None
        remedy = "correct it, or name it in `event_values` or `censored_values`"
        return None, Problem("an unknown status", f"one of {', '.join(codes)}", remedy)

    return parse
