"""Odds ratios rebuilt as 2x2 tables from their margins alone."""

from __future__ import annotations

import numpy as np

from radsupport.errors import InputError
from radsupport.published.inputs import as_count
from radsupport.published.intervals import Z, show_ratio
from radsupport.published.rounding import Printed
from radsupport.published.verdicts import FAILS, HOLDS, Claim, Verdict, form

MOST_PATIENTS = 5000
"""Patients up to which other splits into exposed and unexposed are searched."""


def matching_cells(exposed: int, unexposed: int, cases: int, printed: list[Printed]) -> list[int]:
    """Return each number of exposed cases whose odds ratio and Woolf limits round to what is printed."""
    controls = exposed + unexposed - cases
    a = np.arange(max(1, cases - unexposed + 1), min(exposed, cases), dtype=float)
    b, c = exposed - a, cases - a
    d = controls - b
    keep = (b > 0) & (c > 0) & (d > 0)
    a, b, c, d = (x[keep] for x in (a, b, c, d))
    log, se = np.log(a * d / (b * c)), np.sqrt(1 / a + 1 / b + 1 / c + 1 / d)
    fits = np.ones(a.size, dtype=bool)
    for each, value in zip(printed, (log, log - Z * se, log + Z * se), strict=True):
        fits &= (np.exp(value) >= each.low - 1e-9) & (np.exp(value) <= each.high + 1e-9)
    return [int(x) for x in a[fits]]


def _nearest(exposed: int, unexposed: int, cases: int, target: float) -> int:
    a = np.arange(max(1, cases - unexposed + 1), min(exposed, cases), dtype=float)
    odds = a * (unexposed - cases + a) / ((exposed - a) * (cases - a))
    return int(a[np.argmin(np.abs(np.log(odds / target)))])


@form("or", "exposed", "unexposed", "cases", "controls")
def rebuilt_table(claim: Claim) -> Verdict:
    """Look for a 2x2 table with the printed margins that gives the printed odds ratio and interval.

    Where none exists, all other splits into exposed and unexposed are tried, to say which would fit.
    """
    exposed, unexposed, cases, controls = (
        as_count(claim.inputs[name], name, 1) for name in ("exposed", "unexposed", "cases", "controls")
    )
    if exposed + unexposed != cases + controls:
        raise InputError(f"margins differ: {exposed} + {unexposed} exposures, {cases} + {controls} outcomes.")
    printed = claim.numbers()
    if len(printed) != 3:
        raise InputError(f"published_value must read OR (low-high), it is {claim.published_value!r}.")
    for a in matching_cells(exposed, unexposed, cases, printed):
        cells = (a, exposed - a, cases - a, unexposed - cases + a)
        text = f"{cells[0]}/{cells[1]} against {cells[2]}/{cells[3]}"
        reason = f"{text} (cases/controls, exposed against unexposed) give {show_ratio(*cells)}."
        return Verdict(HOLDS, reason, text, "Woolf interval", {"exposed_cases": a})
    a = _nearest(exposed, unexposed, cases, printed[0].value)
    best = show_ratio(a, exposed - a, cases - a, unexposed - cases + a)
    n = exposed + unexposed
    others = [e for e in range(2, n - 1) if matching_cells(e, n - e, cases, printed)] if n <= MOST_PATIENTS else []
    note = f"; it would fit {', '.join(f'{e}/{n - e}' for e in others[:4])} exposed/unexposed" if others else ""
    reason = (
        f"No table with {exposed} exposed, {unexposed} unexposed, {cases} cases and {controls} controls gives "
        f"{claim.published_value}; the nearest odds ratio is {best}{note}."
    )
    values = {f"{word}{i}": m for i, e in enumerate(others[:4]) for word, m in (("fits", e), ("rest", n - e))}
    return Verdict(FAILS, reason, best, "Woolf interval", values)
