"""Claims about estimates and their intervals, means and medians, follow-up, and odds ratios rebuilt from margins.

Means, standard deviations and medians of whole-numbered data are judged by GRIM, and against pooled groups.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from datetime import date
from itertools import pairwise

import numpy as np
from scipy import stats

from radsupport.claims.numbers import Printed, numbers_in, read_number
from radsupport.claims.p_values import LEVEL, p_verdict, printed_p
from radsupport.claims.verdicts import (
    FAILS,
    HOLDS,
    UNDECIDED,
    Claim,
    Verdict,
    agreement,
    as_count,
    as_counts,
    as_interval,
    as_mean_sd,
    as_table,
    decide,
    form,
    show,
    show_range,
)
from radsupport.errors import InputError

MONTH_DAYS = (30, 31)


@form("survival", "overall", "low", "high")
def overall_between_groups(claim: Claim) -> Verdict:
    """Ask whether the median of all lies between the medians of the two groups they are divided into.

    `low` and `high` name the low-risk and the high-risk group, so `low` has the longer median.
    """
    overall, low, high = (read_number(claim.inputs[name], name) for name in ("overall", "low", "high"))
    least, most = sorted((low, high), key=lambda each: each.value)
    ok = overall.high >= least.low and overall.low <= most.high
    reason = f"The groups have medians of {least} and {most}; the median of both together is printed as {overall}."
    if not ok:
        reason += " The survival curve of all patients runs between those of the groups, but for effects of censoring."
    return Verdict(decide(ok), reason, f"{least} to {most}", "between the groups")


def _month(text: str) -> tuple[int, int]:
    try:
        moment = date.fromisoformat(f"{text}-01")
    except ValueError as error:
        raise InputError(f"a month must read like 2011-08, it is {text!r}.") from error
    return moment.year, moment.month


@form("survival", "first", "end")
def longest_follow_up(claim: Claim) -> Verdict:
    """Compare the longest follow-up with the time between the first possible inclusion and the end."""
    (y1, m1), (y2, m2) = _month(str(claim.inputs["first"])), _month(str(claim.inputs["end"]))
    most = (y2 - y1) * 12 + m2 - m1 + 1
    if most < 1:
        raise InputError("`end` must not lie before `first`.")
    stretched = most * MONTH_DAYS[1] / MONTH_DAYS[0]
    ok = claim.number().low <= stretched
    reason = f"{claim.inputs['first']} to {claim.inputs['end']} is at most {most} months; printed {claim.number()}."
    return Verdict(decide(ok), reason, f"at most {most}", "calendar", {"months": most})


@form("survival", "events", "horizon", "median")
def median_from_events(claim: Claim) -> Verdict:
    """Compare a median that is not reached, or lies below a time, with the share of patients with the event by then.

    `events` is [[events, patients], …] by `horizon` months with nobody censored before it.
    """
    table = as_table(claim.inputs["events"], "events")
    months, median = as_count(claim.inputs["horizon"], "horizon", 1), claim.inputs["median"]
    if table.shape[1] != 2 or (table[:, 0] > table[:, 1]).any() or median not in {"not reached", "below"}:
        raise InputError("`events` must be [[events, patients], …] and `median` `not reached` or `below`.")
    shares = [100 * k / n for k, n in table.tolist()]
    shown = ", ".join(f"{k}/{n} = {share:.0f}%" for (k, n), share in zip(table.tolist(), shares, strict=True))
    ok = all(share >= 50 for share in shares) if median == "below" else all(share < 50 for share in shares)
    needed = f"below {months} months needs half or more" if median == "below" else "not reached needs fewer than half"
    reason = f"{shown} had the event by {months} months; a median {needed} of the patients to have had it."
    if ok and median == "not reached":
        return Verdict(HOLDS, reason + " Later events are not printed.", shown, "share with the event")
    return Verdict(decide(ok), reason, shown, "share with the event")


Z = float(stats.norm.ppf(0.975))
SMALLEST = 1e-12
"""A ratio's printed limit of 0.00 may be anything down to this."""
OVERFLOW = math.log(1.7976931348623157e308)
"""exp() of more than this is printed as Inf."""


def _logs(printed: Printed) -> tuple[float, float]:
    """Return the log of the smallest and the largest ratio that rounds to what is printed."""
    return math.log(max(printed.low, SMALLEST)), math.log(max(printed.high, SMALLEST))


def _ratio(claim: Claim) -> tuple[Printed, Printed, Printed]:
    estimate = read_number(claim.inputs["estimate"], "estimate")
    low, high = as_interval(claim.inputs["ci"])
    if min(estimate.value, low.value) < 0:
        raise InputError("a ratio and its limits can not be negative.")
    return estimate, low, high


def midpoint(claim: Claim) -> Verdict:
    """Compare a ratio with the geometric mean of its limits (symmetric on the log scale, as Wald intervals are)."""
    estimate, low, high = _ratio(claim)
    (l1, l2), (h1, h2) = _logs(low), _logs(high)
    least, most = math.exp((l1 + h1) / 2), math.exp((l2 + h2) / 2)
    digits = max(2, estimate.decimals)
    shown = show_range(least, most, digits)
    centre = math.exp((math.log(max(low.value, SMALLEST)) + math.log(high.value)) / 2)
    values = {"midpoint": centre, "low": least, "high": most}
    reason = f"The geometric midpoint of {low} to {high} is {shown}; the estimate printed is {estimate}."
    if not low.value <= estimate.value <= high.value:
        return Verdict(FAILS, f"{reason} It lies outside its interval.", shown, "Wald interval", values)
    if low.value == estimate.value or high.value == estimate.value:
        reason += " It equals one of its limits."
    return Verdict(decide(estimate.meets(least, most)), reason, shown, "Wald interval", values)


form("hr", "estimate", "ci")(midpoint)
form("or", "estimate", "ci")(midpoint)


def p_range(low: Printed, high: Printed, estimate: Printed | None = None) -> tuple[float, float] | None:
    """Return the range of two-sided Wald P over all 95% limits (of a ratio) that round to what is printed.

    z = (ln U + ln L) / (ln U - ln L) x 1.96 is monotone in each limit, so its extremes are at the
    corners of the rectangle of possible limits. With `estimate`, the rectangle is cut to the limits
    whose midpoint rounds to the estimate; None if nothing is left.
    """
    (l1, l2), (h1, h2) = _logs(low), _logs(high)
    corners = [(l1, h1), (l2, h1), (l2, h2), (l1, h2)]
    if estimate is not None:
        e1, e2 = _logs(estimate)
        corners = _clip(_clip(corners, 2 * e1, above=True), 2 * e2, above=False)
        if not corners:
            return None
    z = [Z * (lo + hi) / max(hi - lo, SMALLEST) for lo, hi in corners]
    least = 0.0 if min(z) <= 0 <= max(z) else min(map(abs, z))
    return 2 * float(stats.norm.sf(max(map(abs, z)))), 2 * float(stats.norm.sf(least))


def _clip(corners: list[tuple[float, float]], bound: float, *, above: bool) -> list[tuple[float, float]]:
    """Cut a convex polygon by lower + upper >= bound (or <=), Sutherland-Hodgman."""
    if not corners:
        return []
    sign = 1.0 if above else -1.0
    gap = [sign * (x + y - bound) for x, y in corners]
    kept = []
    ring = [*zip(corners, gap, strict=True), (corners[0], gap[0])]
    for ((x1, y1), g1), ((x2, y2), g2) in pairwise(ring):
        if g1 >= 0:
            kept.append((x1, y1))
        if (g1 < 0) != (g2 < 0):
            share = g1 / (g1 - g2)
            kept.append((x1 + share * (x2 - x1), y1 + share * (y2 - y1)))
    return kept


@form("p_value", "estimate", "ci")
def p_of_interval(claim: Claim) -> Verdict:
    """Compare a printed P with the Wald P of the printed 95% interval."""
    estimate, low, high = _ratio(claim)
    narrowed = p_range(low, high, estimate)
    note = "" if narrowed else " (from the interval alone: the estimate is not its midpoint)"
    found = narrowed or p_range(low, high)
    if found is None:
        raise InputError(f"no interval rounds to {low} to {high}.")
    printed = printed_p(claim)
    verdict = p_verdict(claim, {"Wald P of the interval": found})
    side = f" The interval {low} to {high} contains 1." if verdict.values["crosses"] and found[0] >= LEVEL else ""
    reason = f"The 95% interval {low} to {high} gives P {show_range(*found)}{note}; printed {printed}.{side}"
    values = {"low": found[0], "high": found[1], "crosses": verdict.values["crosses"]}
    return Verdict(verdict.verdict, reason, show_range(*found), "Wald P of the interval", values)


@form("hr", "unbounded")
def unbounded_ratio(claim: Claim) -> Verdict:
    """Ask whether a printed P goes with an estimate whose upper limit is printed as Inf.

    Inf means that exp(b + 1.96 SE) overflowed, so SE > (709.8 - b) / 1.96 and |z| = |b| / SE is
    close to 0: P has to be close to 1. Such a fit has not converged; the ratio itself means nothing.
    """
    estimate = read_number(dict(claim.inputs["unbounded"]).get("estimate", ""), "estimate")
    b = _logs(estimate)[0] if estimate.value < 1 else _logs(estimate)[1]
    least = 2 * float(stats.norm.sf(abs(b) * Z / (OVERFLOW - b)))
    printed = claim.number()
    reason = (
        f"An upper limit of Inf is what software prints when no event was seen in a group (no finite estimate exists); "
        f"P is then at least {least:.3f}; printed {printed}. The ratio {estimate} itself carries no information."
    )
    return Verdict(decide(printed.meets(least, 1.0)), reason, f"at least {least:.3f}", "Wald P", {"least": least})


def _symmetric(estimate: Printed, low: Printed, high: Printed) -> tuple[bool, str]:
    least, most = (low.low + high.low) / 2, (low.high + high.high) / 2
    return estimate.meets(least, most), show_range(least, most, estimate.decimals + 1)


@form("ci", "est", "ci")
def symmetric_interval(claim: Claim) -> Verdict:
    """Compare an estimate with the arithmetic midpoint of its interval."""
    estimate, (low, high) = read_number(claim.inputs["est"], "est"), as_interval(claim.inputs["ci"])
    ok, shown = _symmetric(estimate, low, high)
    reason = f"The midpoint of {low} to {high} is {shown}; the estimate printed is {estimate}."
    return Verdict(decide(ok), reason, shown, "estimate ± 1.96 SE")


@form("ci", "c")
def concordance_interval(claim: Claim) -> Verdict:
    """Ask whether a concordance index lies in, and in the middle of, its interval.

    Outside: does not hold. Off the middle: can not be decided, as a bootstrap interval need not be symmetric.
    """
    estimate, low, high = (read_number(each, "c") for each in claim.inputs["c"])
    if not low.value <= estimate.value <= high.value:
        return Verdict(FAILS, f"{estimate} lies outside {low} to {high}.", f"{low} to {high}", "contained")
    ok, shown = _symmetric(estimate, low, high)
    if ok:
        return Verdict(HOLDS, f"The midpoint of {low} to {high} is {shown}; printed {estimate}.", shown, "± 1.96 SE")
    reason = (
        f"The midpoint of {low} to {high} is {shown}, not {estimate}: no interval of the form estimate ± 1.96 SE. "
        "A bootstrap interval could be as lopsided; the method is not named."
    )
    return Verdict(UNDECIDED, reason, shown)


@form("ci", "k", "n")
def exact_interval(claim: Claim) -> Verdict:
    """Compare a printed interval of a proportion k/n with Clopper-Pearson, Wilson and Wald intervals."""
    k, n = as_count(claim.inputs["k"], "k"), as_count(claim.inputs["n"], "n", 1)
    printed = numbers_in(claim.published_value)
    if len(printed) != 2 or k > n:
        raise InputError(
            f"published_value must hold two limits and `k` must not exceed `n`: {claim.published_value!r}."
        )
    result = stats.binomtest(k, n)
    wald = Z * math.sqrt(k / n * (1 - k / n) / n)
    found = {
        "Clopper-Pearson (exact)": tuple(result.proportion_ci(0.95, "exact")),
        "Wilson": tuple(result.proportion_ci(0.95, "wilson")),
        "Wald": (k / n - wald, k / n + wald),
    }
    shown = {name: f"{low:.4f} to {high:.4f}" for name, (low, high) in found.items()}
    for name, limits in found.items():
        ways = [agreement(value, each) for value, each in zip(limits, printed, strict=True)]
        if all(way in {"rounded", "rounded twice"} for way in ways):
            twice = " (one limit rounded twice, first to four digits)" if "rounded twice" in ways else ""
            reason = f"{name} gives {shown[name]} for {k}/{n}; printed {printed[0]} to {printed[1]}{twice}."
            return Verdict(HOLDS, reason, shown[name], name, {"low": limits[0], "high": limits[1]})
    text = "; ".join(f"{name} {limits}" for name, limits in shown.items())
    return Verdict(FAILS, f"No interval tried fits: {text}.", text, "none fits")


@form("or", "counts")
def ratio_of_counts(claim: Claim) -> Verdict:
    """Compare a printed odds ratio and its interval with those of a 2x2 table (Woolf)."""
    table = as_table(claim.inputs["counts"], "counts", (2, 2))
    if (table == 0).any():
        return Verdict(UNDECIDED, "A cell of the table is 0: the odds ratio has no finite Woolf interval.")
    ratio, low, high = woolf(*(float(x) for x in table.ravel()))
    printed = claim.numbers()
    ok = all(each.meets(value) for each, value in zip(printed, (ratio, low, high), strict=False))
    shown = f"{ratio:.2f} ({low:.2f}-{high:.2f})"
    words = " and ".join("/".join(map(str, row)) for row in table.tolist())
    reason = f"The counts {words} give {shown}; printed {claim.published_value}."
    return Verdict(decide(ok), reason, shown, "Woolf interval", {"ratio": ratio, "low": low, "high": high})


def woolf(a: float, b: float, c: float, d: float) -> tuple[float, float, float]:
    """Return the odds ratio of [[a, b], [c, d]] and its 95% Woolf (log-normal) limits."""
    log, se = math.log(a * d / (b * c)), math.sqrt(1 / a + 1 / b + 1 / c + 1 / d)
    return math.exp(log), math.exp(log - Z * se), math.exp(log + Z * se)


def show_ratio(a: int, b: int, c: int, d: int) -> str:
    """Return `OR (low-high)` of a 2x2 table."""
    ratio, low, high = woolf(a, b, c, d)
    return f"{show(ratio, 2)} ({show(low, 2)}-{show(high, 2)})"


@form("mean_sd", "n", optional=("statistic", "granularity"))
def grim(claim: Claim) -> Verdict:
    """Ask whether n whole numbers can have the printed mean (GRIM, Brown & Heathers 2017) or median.

    ``statistic`` is ``mean`` (default) or ``median``; ``granularity`` is the step of the data (default 1).
    """
    n = as_count(claim.inputs["n"], "n", 1)
    step = float(claim.inputs.get("granularity", 1))
    which = str(claim.inputs.get("statistic", "mean"))
    if which not in {"mean", "median"} or step <= 0:
        raise InputError(f"`statistic` must be mean or median and `granularity` positive: {which!r}, {step:g}.")
    return _grim_median(claim, n, step) if which == "median" else _grim_mean(claim, n, step)


def _grim_mean(claim: Claim, n: int, step: float) -> Verdict:
    printed = claim.number()
    first = math.ceil(printed.low * n / step - 1e-9)
    last = math.floor(printed.high * n / step + 1e-9)
    if first <= last:
        total, digits = first * step, printed.decimals + 2
        reason = f"{n} {_data(step)} adding up to {total:g} have the mean {total / n:.{digits}f}; printed {printed}."
        every = " Any mean with so few decimals is possible for so many." if printed.unit * n >= step else ""
        return Verdict(HOLDS, reason + every, f"{total / n:.{digits}f}", "GRIM", {"total": total})
    near = [math.floor(printed.value * n / step) * step / n, math.ceil(printed.value * n / step) * step / n]
    shown = f"{near[0]:.{printed.decimals + 2}f} or {near[1]:.{printed.decimals + 2}f}"
    reason = f"The nearest means of {n} {_data(step)} are {shown}; printed {printed}."
    return Verdict(FAILS, reason, shown, "GRIM", {"below": near[0], "above": near[1]})


def _data(step: float) -> str:
    return "whole numbers" if step == 1 else f"values in steps of {step:g}"


def _grim_median(claim: Claim, n: int, step: float) -> Verdict:
    printed = claim.number()
    grain = step if n % 2 else step / 2
    nearest = round(printed.value / grain) * grain
    kind = "the middle value" if n % 2 else "halfway between the two middle values"
    reason = f"The median of {n} {_data(step)} is {kind}, a multiple of {grain:g}; printed {printed}."
    return Verdict(decide(printed.meets(nearest)), reason, f"{nearest:g}", "GRIM for a median", {"nearest": nearest})


@form("mean_sd", "totals", "n", optional=("granularity",))
def median_or_mean_of_all(claim: Claim) -> Verdict:
    """Judge a printed median of whole numbers, and say whether it is the mean that the group totals give."""
    n = as_count(claim.inputs["n"], "n", 1)
    mean = sum(as_counts(claim.inputs["totals"], "totals")) / n
    verdict = _grim_median(claim, n, float(claim.inputs.get("granularity", 1)))
    is_mean = claim.number().meets(mean)
    also = f"It is the mean, {mean:.2f}." if is_mean else f"It is not the mean either: the totals give {mean:.2f}."
    reason = f"{verdict.reason} {also}"
    shown = f"{verdict.recomputed} (mean {mean:.2f})"
    return Verdict(verdict.verdict, reason, shown, verdict.test, {**verdict.values, "mean": mean})


@form("mean_sd", "groups", "n")
def pooled_mean_sd(claim: Claim) -> Verdict:
    """Compare mean and SD of a whole with those of its two or more groups.

    Total sum of squares = within + between, for all means and SDs that round to what is printed.
    """
    groups = as_mean_sd(claim.inputs["groups"], "groups")
    n = as_counts(claim.inputs["n"], "n", len(groups), minimum=2)
    printed = claim.numbers()
    if len(printed) != 2:
        raise InputError(f"published_value must read mean±SD, it is {claim.published_value!r}.")
    corners = itertools.product(*[(p.low, p.value, p.high) for pair in groups for p in pair])
    means, sds = zip(*(_pool(corner[0::2], corner[1::2], n) for corner in corners), strict=True)
    centre = _pool([m.value for m, _ in groups], [s.value for _, s in groups], n)
    ok = printed[0].meets(min(means), max(means)) and printed[1].meets(min(sds), max(sds))
    shown = f"{show_range(min(means), max(means), 2)} ± {show_range(min(sds), max(sds), 2)}"
    reason = f"The groups pool to {shown}; printed {claim.published_value}."
    return Verdict(decide(ok), reason, shown, "pooling", {"mean": centre[0], "sd": centre[1]})


def _pool(means: Sequence[float], sds: Sequence[float], n: list[int]) -> tuple[float, float]:
    total = sum(n)
    mean = sum(k * m for k, m in zip(n, means, strict=True)) / total
    squares = sum((k - 1) * s**2 + k * (m - mean) ** 2 for k, m, s in zip(n, means, sds, strict=True))
    return mean, math.sqrt(squares / (total - 1))


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
