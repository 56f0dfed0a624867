"""Claims about estimates, confidence intervals and the P values that belong to them."""

from __future__ import annotations

import math
from itertools import pairwise

from scipy import stats

from radsupport.errors import InputError
from radsupport.published.inputs import as_count, as_interval, as_table
from radsupport.published.p_values import LEVEL, p_verdict, printed_p
from radsupport.published.rounding import Printed, agreement, numbers_in, read_number, show, show_range
from radsupport.published.verdicts import FAILS, HOLDS, UNDECIDED, Claim, Verdict, decide, form

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
    found = p_range(low, high, estimate)
    note = ""
    if found is None:
        found = p_range(low, high)
        note = " (from the interval alone: the estimate is not its midpoint)"
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
