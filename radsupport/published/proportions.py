"""Claims about proportions and percentages of counted patients."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from radsupport.errors import InputError
from radsupport.published.inputs import as_count, as_counts
from radsupport.published.rounding import Printed, agreement, numbers_in, read_number
from radsupport.published.verdicts import FAILS, HOLDS, Claim, Verdict, decide, form
from radsupport.report.wording import listed

SLACK = 1e-6
"""Slack, in counts, for floating-point noise at the edge of a rounding interval."""
MOST_COUNTS = 200
"""Counts that are listed for one printed proportion; in larger cohorts they are spread over its rounding interval."""


def printed_share(claim: Claim) -> tuple[Printed, float]:
    """Return the printed proportion or percentage and its scale (1 or 100).

    A number before a percent sign is a percentage; else the only decimal number is taken,
    as a percentage where it exceeds 1.
    """
    text = claim.published_value
    if "%" in text:
        return numbers_in(text[: text.index("%")])[-1], 100.0
    decimals = [each for each in claim.numbers() if each.decimals]
    number = decimals[-1] if decimals else claim.number()
    return number, 100.0 if number.value > 1 else 1.0


def reachable(printed: Printed, n: int, scale: float = 1.0) -> list[int]:
    """Return every count k of n whose proportion rounds to what is printed (the GRIM test for a proportion)."""
    first = math.ceil(max(printed.low, 0.0) * n / scale - SLACK)
    last = math.floor(min(printed.high, scale) * n / scale + SLACK)
    return [k for k in _spread(first, last) if printed.meets(scale * k / n)]


def _spread(first: int, last: int) -> list[int]:
    """Return all whole numbers of a range, or, where there are very many, some of them evenly spread with both ends."""
    if last - first < MOST_COUNTS:
        return list(range(first, last + 1))
    return sorted({round(each) for each in np.linspace(first, last, MOST_COUNTS)})


def near(printed: Printed, n: int, scale: float = 1.0) -> list[int]:
    """Return the reachable counts, or, where there is none, the two counts next to the printed proportion."""
    found = reachable(printed, n, scale)
    below = int(np.clip(np.floor(printed.value / scale * n), 0, n))
    return found or sorted({below, min(below + 1, n)})


def share_verdict(k: int, n: int, printed: Printed, scale: float) -> Verdict:
    """Compare k/n with the printed proportion."""
    if n == 0:
        raise InputError("a proportion of 0 patients does not exist; `n` must be at least 1.")
    value, unit = scale * k / n, "%" if scale == 100 else ""
    how = agreement(value, printed)
    ok = how in {"rounded", "rounded twice"}
    shown = f"{value:.{printed.decimals + 2}f}{unit}"
    note = {"rounded twice": " (rounded twice)", "cut off": " (cut off instead of rounded)"}.get(how, "")
    slip, values = ("", {}) if ok or how == "cut off" else _slip(k, n, printed, scale)
    reason = f"{k}/{n} is {shown}; printed {printed}{unit}{note}.{slip}"
    return Verdict(decide(ok), reason, shown, how or "rounded", {"share": value} | values)


def _slip(k: int, n: int, printed: Printed, scale: float) -> tuple[str, dict[str, float]]:
    """Say which other denominator gives what is printed for `k` patients: those without the event, or the only one.

    A denominator counts only if the quotient rounds to what is printed or, for patients with the event divided by
    those without, would be so printed with the last digit cut off.
    """
    unit, digits = "%" if scale == 100 else "", printed.decimals + 2
    way = agreement(scale * k / (n - k), printed) if 0 < k < n else ""
    if way:
        ratio = scale * k / (n - k)
        cut = ", with the last digit cut off" if way == "cut off" else ""
        text = f" It is {k}/{n - k} = {ratio:.{digits}f}{unit}, patients with the event divided by those without{cut}."
        return text, {"without": n - k, "ratio": ratio, "cut_off": float(way == "cut off")}
    fitting = denominators(printed, k, scale)
    if len(fitting) != 1:
        return "", {}
    return f" {k} would be {printed}{unit} of {fitting[0]} patients and of no other number.", {"fitting_n": fitting[0]}


def denominators(printed: Printed, k: int, scale: float = 1.0) -> list[int]:
    """Return every number of patients of whom `k` are a share that rounds to what is printed."""
    if k == 0 or printed.low <= 0:
        return []
    first, last = math.ceil(scale * k / printed.high - SLACK), math.floor(scale * k / printed.low + SLACK)
    return [n for n in _spread(max(first, k), last) if printed.meets(scale * k / n)]


@form("proportion", "k", "n", optional=("claimed",))
def one_share(claim: Claim) -> Verdict:
    """Compare the share of patients with the printed proportion, or with the majority that the text speaks of."""
    k, n = as_count(claim.inputs["k"], "k"), as_count(claim.inputs["n"], "n", 1)
    if k > n:
        raise InputError(f"`k` ({k}) exceeds `n` ({n}).")
    if claim.inputs.get("claimed") == "majority":
        reason = f"{k} of {n} is {100 * k / n:.1f}%, {'more' if 2 * k > n else 'not more'} than half."
        return Verdict(decide(2 * k > n), reason, f"{100 * k / n:.1f}%", "more than half", {"share": 100 * k / n})
    counts = [int(each.value) for each in claim.numbers() if not each.decimals]
    decimals = any(each.decimals for each in claim.numbers())
    if "%" not in claim.published_value and len(counts) > 1 and not decimals:
        shown = f"{k} of {n}"
        return Verdict(decide(counts == [k, n]), f"The table gives {shown}.", shown, "count", {"share": k / n})
    printed, scale = printed_share(claim)
    return share_verdict(k, n, printed, scale)


def _pairs(levels: Any) -> list[tuple[str, list[tuple[int, Printed]]]]:
    """Read `[["Female", [["23", "30.3"], …]], …]`."""
    rows = []
    for each in levels if isinstance(levels, list) else []:
        if not isinstance(each, list) or len(each) < 2:
            raise InputError(f"`levels` must be a list of [level, [count, percentage], …], found {each!r}.")
        cells = each[1] if len(each) == 2 and isinstance(each[1][0], list) else each[1:]
        rows.append((str(each[0]), [(as_count(k, "levels"), read_number(p, "levels")) for k, p in cells]))
    if not rows or len({len(cells) for _, cells in rows}) != 1:
        raise InputError("`levels` must have the same number of [count, percentage] pairs in every level.")
    return rows


@form("proportion", "levels", optional=("denominators",))
def percentages_of_levels(claim: Claim) -> Verdict:
    """Compare every count/total with the percentage beside it, column by column."""
    rows = _pairs(claim.inputs["levels"])
    columns = len(rows[0][1])
    totals = [sum(cells[i][0] for _, cells in rows) for i in range(columns)]
    if "denominators" in claim.inputs:
        totals = as_counts(claim.inputs["denominators"], "denominators", columns, minimum=1)
    wrong, forced = [], []
    for i, n in enumerate(totals):
        bad = [
            f"{name} {k}/{n} is {100 * k / n:.2f}%, printed {printed}"
            for name, cells in rows
            for k, printed in [cells[i]]
            if n and not printed.meets(100 * k / n)
        ]
        wrong += bad
        if bad and abs(sum(cells[i][1].value for _, cells in rows) - 100) < 1e-6:
            forced.append(i + 1)
    checked = f"{columns * len(rows)} percentages of {'/'.join(map(str, totals))} patients"
    if not wrong:
        return Verdict(HOLDS, f"All {checked} agree.", "all agree", "rounded")
    differ = "differs" if len(wrong) == 1 else "differ"
    reason = f"{len(wrong)} of {checked} {differ}: {'; '.join(wrong)}.{_adding_up(forced)}"
    return Verdict(FAILS, reason, f"{len(wrong)} {differ}", "rounded", {"wrong": len(wrong)})


def _adding_up(columns: list[int]) -> str:
    """Name the columns with a wrong percentage that add up to exactly 100 as printed."""
    if not columns:
        return ""
    words = f"Column {columns[0]} adds" if len(columns) == 1 else f"Columns {listed(columns)} add"
    return f" {words} up to exactly 100 as printed."
