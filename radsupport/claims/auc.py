"""Claims about AUCs: attainable values, intervals, P against 0.5, differences between two AUCs.

What an AUC and the numbers of patients with and without the event determine, and what they leave open.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from itertools import permutations, product

import numpy as np
from scipy import stats

from radsupport.claims.estimates import Z
from radsupport.claims.numbers import Printed, numbers_in, read_number
from radsupport.claims.p_values import PRange, exact_rank_sum_p, p_verdict, printed_p
from radsupport.claims.verdicts import (
    FAILS,
    HOLDS,
    UNDECIDED,
    Claim,
    Verdict,
    as_count,
    as_interval,
    as_printed,
    as_share,
    decide,
    form,
    show,
    show_range,
)
from radsupport.errors import InputError

SD_RATIOS = (1 / 3, 3.0)
"""Spread of the scores with the event relative to those without, over which the standard error is bounded."""
SCATTER = 0.2
"""Relative scatter of an estimated standard error around its range; covers over 95% of simulated samples."""


def hanley_mcneil_se(auc: float, n_pos: int, n_neg: int) -> float:
    """Return the standard error of an AUC under negative-exponential scores (Hanley & McNeil 1982, eq. 1-2)."""
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    return _se_of_auc(auc, q1, q2, n_pos, n_neg)


def _se_of_auc(auc: float, q1: float, q2: float, n_pos: int, n_neg: int) -> float:
    variance = auc * (1 - auc) + (n_pos - 1) * (q1 - auc**2) + (n_neg - 1) * (q2 - auc**2)
    return math.sqrt(max(variance, 0.0) / (n_pos * n_neg))


@lru_cache(maxsize=4096)
def _pair_probability(auc: float, correlation: float) -> float:
    """Return P(two comparisons sharing one patient are both won) for normal scores."""
    a = float(stats.norm.ppf(min(max(auc, 1e-9), 1 - 1e-9)))
    covariance = [[1.0, correlation], [correlation, 1.0]]
    return float(stats.multivariate_normal(mean=[0.0, 0.0], cov=covariance).cdf([a, a]))


def se_range(auc: float, n_pos: int, n_neg: int) -> tuple[float, float]:
    """Return the smallest and largest standard error of an AUC over normal scores of unequal spread.

    With scores N(mu, s^2) and N(0, 1), two comparisons that share the patient without the event
    correlate by 1 / (1 + s^2), two that share the patient with the event by s^2 / (1 + s^2)
    (DeLong's variance written for normal scores); s runs over `SD_RATIOS`.
    """
    values = []
    for s in np.geomspace(*SD_RATIOS, 9):
        rho = float(np.round(1 / (1 + s**2), 6))
        q1, q2 = _pair_probability(round(auc, 6), rho), _pair_probability(round(auc, 6), round(1 - rho, 6))
        values.append(_se_of_auc(auc, q1, q2, n_pos, n_neg))
    return min(values), max(values)


def null_se(n_pos: int, n_neg: int) -> float:
    """Return the standard error of an AUC under no discrimination (the Mann-Whitney one, without ties)."""
    return math.sqrt((n_pos + n_neg + 1) / (12 * n_pos * n_neg))


def attainable(printed: Printed, n_pos: int, n_neg: int) -> list[float]:
    """Return every AUC that rounds to what is printed and is a whole or half number of the n_pos x n_neg pairs."""
    pairs = n_pos * n_neg
    first, last = math.ceil(2 * pairs * printed.low - 1e-9), math.floor(2 * pairs * printed.high + 1e-9)
    return [k / (2 * pairs) for k in range(max(first, 0), min(last, 2 * pairs) + 1)]


def p_against_half(aucs: list[float], n_pos: int, n_neg: int) -> dict[str, PRange]:
    """Return P ranges of the usual tests of AUC = 0.5 over the given AUCs.

    The normal test with the standard error under no discrimination (SPSS' asymptotic P, the
    Mann-Whitney test), with Hanley & McNeil's at the observed AUC, and the exact Mann-Whitney test.
    """
    gaps = [abs(auc - 0.5) for auc in aucs]
    null = [_two_sided(gap / null_se(n_pos, n_neg)) for gap in gaps]
    found = {"standard error under AUC = 0.5 (Mann-Whitney, normal)": (min(null), max(null))}
    ses = [hanley_mcneil_se(auc, n_pos, n_neg) for auc in aucs]
    if min(ses) > 0:
        own = [_two_sided(gap / se) for gap, se in zip(gaps, ses, strict=True)]
        found["standard error of Hanley and McNeil"] = (min(own), max(own))
    whole = [auc * n_pos * n_neg for auc in aucs if abs(auc * n_pos * n_neg - round(auc * n_pos * n_neg)) < 1e-9]
    if whole and n_pos * n_neg <= 1000:
        exact = [exact_rank_sum_p(round(u), n_pos, n_neg) for u in whole]
        found["exact Mann-Whitney test"] = (min(exact), max(exact))
    return found


def _two_sided(z: float) -> float:
    return float(2 * stats.norm.sf(abs(z)))


def implied_correlation(difference: float, se_a: float, se_b: float, p: float) -> float:
    """Return the correlation of two estimates for which their difference has two-sided P `p`.

    Solves SE^2 = a^2 + b^2 - 2 r a b for r, with SE = |difference| / z(p).
    """
    z = float(stats.norm.isf(min(max(p, 1e-300), 1 - 1e-12) / 2))
    se = abs(difference) / max(z, 1e-12)
    return (se_a**2 + se_b**2 - se**2) / (2 * se_a * se_b)


def _correlations(gaps: PRange, se_a: PRange, se_b: PRange, p: Printed) -> tuple[float, float]:
    """Return the smallest and largest correlation over all corners of the ranges."""
    found = [implied_correlation(gap, a, b, p.value) for gap, a, b in product(gaps, se_a, se_b)]
    return min(found), max(found)


def bounds_through(sensitivity: float, specificity: float) -> tuple[float, float]:
    """Return the smallest and largest area under a monotone ROC curve through one operating point."""
    return sensitivity * specificity, 1 - (1 - sensitivity) * (1 - specificity)


def _sizes(claim: Claim) -> tuple[int, int]:
    return as_count(claim.inputs["n_pos"], "n_pos", 1), as_count(claim.inputs["n_neg"], "n_neg", 1)


def _auc(value: object, name: str = "auc") -> Printed:
    printed = read_number(value, name)
    if not 0 <= printed.value <= 1:
        raise InputError(f"`{name}` must lie between 0 and 1, it is {value!r}.")
    return printed


@form("auc", "sen", "spc")
def auc_through_point(claim: Claim) -> Verdict:
    """Ask whether a curve through the operating point can have the printed area."""
    (a, b), (c, d) = as_share(claim.inputs["sen"], "sen"), as_share(claim.inputs["spc"], "spc")
    least, most = bounds_through(a / b, c / d)
    shown = show_range(least, most, 3)
    point, printed = f"sensitivity {a}/{b} and specificity {c}/{d}", claim.number()
    reason = f"A curve through {point} has an area of {shown}; printed {printed}."
    return Verdict(decide(printed.meets(least, most)), reason, shown, "area bounds", {"low": least, "high": most})


@form("auc", "ci")
def auc_is_midpoint(claim: Claim) -> Verdict:
    """Compare an AUC with the midpoint of its (DeLong) interval."""
    low, high = as_interval(claim.inputs["ci"])
    least, most = (low.low + high.low) / 2, (low.high + high.high) / 2
    shown = show_range(least, most, claim.number().decimals + 1)
    reason = f"The midpoint of {low} to {high} is {shown}; printed {claim.number()}."
    return Verdict(decide(claim.number().meets(least, most)), reason, shown, "AUC ± 1.96 SE")


@form("auc", "pairs")
def auc_of_pairs(claim: Claim) -> Verdict:
    """Ask whether a whole or half number of pairs gives the printed AUC."""
    pairs = as_count(claim.inputs["pairs"], "pairs", 1)
    found = attainable(claim.number(), 1, pairs)
    shown = ", ".join(f"{auc * pairs:g}/{pairs} = {auc:.4f}" for auc in found[:3])
    below = math.floor(claim.number().value * pairs)
    reason = f"{shown}." if found else f"{below}/{pairs} and {below + 1}/{pairs} round to other values."
    return Verdict(decide(bool(found)), reason, shown, "counting of pairs")


@form("auc", "between")
def auc_between_parts(claim: Claim) -> Verdict:
    """Ask whether the AUC of a pooled group lies between those of its parts.

    It nearly always does; pairs of patients from different parts can carry it outside (`[[pooled, part, part], …]`).
    """
    shown, outside = [], []
    for row in claim.inputs["between"]:
        pooled, *parts = as_printed(row, "between")
        low, high = min(p.low for p in parts), max(p.high for p in parts)
        shown.append(f"{pooled} between {' and '.join(map(str, parts))}")
        if not pooled.meets(low, high):
            outside.append(shown[-1])
    if outside:
        reason = f"Outside its parts: {'; '.join(outside)}. Pairs from different parts could explain that."
        return Verdict(UNDECIDED, reason, "; ".join(outside))
    return Verdict(HOLDS, f"{'; '.join(shown)}.", "; ".join(shown), "pooled AUC lies between its parts")


@form("p_value", "auc", "n_pos", "n_neg")
def p_of_auc(claim: Claim) -> Verdict:
    """Compare a printed P with tests of one AUC against 0.5, or bound the DeLong P of two AUCs."""
    n_pos, n_neg = _sizes(claim)
    if isinstance(claim.inputs["auc"], list):
        first, second = (_auc(f"{value:.2f}" if isinstance(value, float) else value) for value in claim.inputs["auc"])
        return _two_on_the_same_patients(claim, first, second, n_pos, n_neg)
    printed = _auc(claim.inputs["auc"])
    possible = attainable(printed, n_pos, n_neg)
    if not possible:
        return Verdict(FAILS, f"No AUC of {n_pos} and {n_neg} patients rounds to {printed}.", "", "counting of pairs")
    verdict = p_verdict(claim, p_against_half(possible, n_pos, n_neg))
    if verdict.verdict == FAILS:
        z = float(stats.norm.isf(printed_p(claim).value / 2))
        gap = z * null_se(n_pos, n_neg)
        reason = f"{verdict.reason} A P of {claim.number()} belongs to an AUC of {0.5 - gap:.3f} or {0.5 + gap:.3f}."
        return replace(verdict, reason=reason, values={**verdict.values, "below": 0.5 - gap, "above": 0.5 + gap})
    return verdict


def _two_on_the_same_patients(claim: Claim, a: Printed, b: Printed, n_pos: int, n_neg: int) -> Verdict:
    """State the correlation between two AUCs that a printed DeLong P implies; beyond -1 to 1 is impossible.

    The standard errors run over all that are possible for these AUCs and numbers (`se_range`, with its scatter).
    """
    if {a.value, b.value} & {0.0, 1.0}:
        return Verdict(UNDECIDED, "An AUC of 0 or 1 has no standard error, so DeLong's test does not exist.")
    ses = [se_range(each.value, n_pos, n_neg) for each in (a, b)]
    se_a, se_b = ((low * (1 - SCATTER), high * (1 + SCATTER)) for low, high in ses)
    least, most = max(abs(a.value - b.value) - a.unit / 2 - b.unit / 2, 0.0), abs(a.value - b.value) + a.unit
    p = printed_p(claim)
    low, high = _correlations((least, most), se_a, se_b, p)
    shown = f"correlation {max(low, -1):.2f} to {min(high, 1):.2f}"
    values = {"r_low": low, "r_high": high}
    if low > 1 or high < -1:
        reason = f"P {p} would need a correlation of {low:.2f} to {high:.2f} between the AUCs {a} and {b}."
        return Verdict(FAILS, reason, shown, "DeLong's test", values)
    reason = (
        f"DeLong's test needs the paired scores. AUCs of {a} and {b} give P {p} if they correlate by "
        f"{max(low, -1):.2f} to {min(high, 1):.2f}, depending on the spread of the scores."
    )
    return Verdict(UNDECIDED, reason, shown, "", values)


def _se(triple: list[Printed]) -> tuple[float, float]:
    """Return the range of standard errors that a printed 95% interval allows."""
    _, low, high = triple
    return max(high.low - low.high, 1e-9) / (2 * Z), (high.high - low.low) / (2 * Z)


def _difference_p(a: list[Printed], b: list[Printed]) -> tuple[float, float]:
    """Return the P range of two independent estimates, each `[estimate, low, high]`."""
    gap = abs(a[0].value - b[0].value)
    slack = a[0].unit / 2 + b[0].unit / 2
    (a1, a2), (b1, b2) = _se(a), _se(b)
    z_high, z_low = (gap + slack) / math.hypot(a1, b1), max(gap - slack, 0.0) / math.hypot(a2, b2)
    return float(2 * stats.norm.sf(z_high)), float(2 * stats.norm.sf(z_low))


@form("p_value", "a", "b")
def p_of_independent_aucs(claim: Claim) -> Verdict:
    """Compare a printed P with the z test of two AUCs from different patients, from their intervals."""
    a, b = (as_printed(claim.inputs[name], name, 3) for name in ("a", "b"))
    return p_verdict(claim, {"z test of two independent AUCs": _difference_p(a, b)})


def _joint_p(triples: list[list[Printed]], steps: int = 21) -> np.ndarray:
    """Return P of every pair (12, 13, 23) over a grid of all AUCs that round to what is printed, shape (points, 3)."""
    grids = [np.linspace(t[0].low, t[0].high, steps) for t in triples]
    points = np.stack(np.meshgrid(*grids, indexing="ij"), axis=-1).reshape(-1, 3)
    ses = np.stack(np.meshgrid(*[np.linspace(*_se(t), 3) for t in triples], indexing="ij"), axis=-1).reshape(-1, 3)
    found = []
    for i, j in ((0, 1), (0, 2), (1, 2)):
        z = np.abs(points[:, None, i] - points[:, None, j]) / np.hypot(ses[None, :, i], ses[None, :, j])
        found.append(2 * stats.norm.sf(z).ravel())
    return np.stack(found, axis=-1)


@form("p_value", "aucs")
def p_of_three_aucs(claim: Claim) -> Verdict:
    """Ask whether three printed P values (first to second, first to third, second to third) fit one set of AUCs."""
    named = claim.inputs["aucs"]
    if not isinstance(named, dict) or len(named) != 3:
        raise InputError(f"`aucs` must map three cohort names to [AUC, low, high], it is {named!r}.")
    triples = [as_printed(value, name, 3) for name, value in named.items()]
    printed = numbers_in(claim.published_value)
    if len(printed) != 3:
        raise InputError(f"published_value must hold three P values, it is {claim.published_value!r}.")
    made, low, high = _joint_p(triples), np.array([p.low for p in printed]), np.array([p.high for p in printed])
    orders = map(list, permutations(range(3)))  # those in which one point of the grid gives all three P values
    fits = [order for order in orders if ((made >= low[order]) & (made <= high[order])).all(axis=1).any()]
    text = ["/".join(str(printed[i]) for i in order) for order in fits]
    if [0, 1, 2] in fits:
        return Verdict(HOLDS, f"One set of AUCs gives all three P values as printed ({text[0]}).", text[0], "z tests")
    note = f" They fit in the order {' or '.join(text)}." if fits else " No other order fits either."
    reason = f"No set of AUCs that round to what is printed gives {claim.published_value} in this order.{note}"
    return Verdict(FAILS, reason, " or ".join(text) or "none", "z tests", {"orders": len(fits)})


@form("p_value", "c")
def p_of_concordance(claim: Claim) -> Verdict:
    """Test a concordance index against 0.5 by its printed interval."""
    triple = as_printed(claim.inputs["c"], "c", 3)
    least, most = _se(triple)
    high_z, low_z = (triple[0].high - 0.5) / least, max(triple[0].low - 0.5, 0.0) / most
    found = (float(2 * stats.norm.sf(high_z)), float(2 * stats.norm.sf(low_z)))
    return p_verdict(claim, {"z test of the index against 0.5": found})


def _pair(claim: Claim) -> tuple[list[Printed], list[Printed]]:
    rows = claim.inputs["paired"]
    if not isinstance(rows, list) or len(rows) != 2:
        raise InputError(f"`paired` must hold two [estimate, low, high], it is {rows!r}.")
    return as_printed(rows[0], "paired", 3), as_printed(rows[1], "paired", 3)


@form("p_value", "paired")
def p_of_paired_estimates(claim: Claim) -> Verdict:
    """State the correlation that a printed P needs between two estimates from the same patients.

    `paired` is [[estimate, low, high], [estimate, low, high]] of the two models.
    """
    a, b = _pair(claim)
    p = printed_p(claim)
    gap, slack = abs(a[0].value - b[0].value), a[0].unit / 2 + b[0].unit / 2
    low, high = _correlations((max(gap - slack, 0.0), gap + slack), _se(a), _se(b), p)
    middle = implied_correlation(gap, _middle_se(a), _middle_se(b), p.value)
    side = {">": "below", "<": "above"}.get(p.relation[:1], "of")
    shown = f"correlation {side} {show(middle, 2)} ({show(max(low, -1), 2)} to {show(min(high, 1), 2)} with rounding)"
    reason = (
        f"Both estimates come from the same patients, so P depends on how closely they agree, which is not printed. "
        f"{a[0]} against {b[0]} gives P {p} only with a {shown}."
    )
    values = {"correlation": middle, "low": low, "high": high}
    if (side != "below" and low > 1) or (side != "above" and high < -1):
        return Verdict(FAILS, reason + " No correlation is that high or low.", shown, "z test", values)
    return Verdict(UNDECIDED, reason, shown, "", values)


def _middle_se(triple: list[Printed]) -> float:
    return (triple[2].value - triple[1].value) / (2 * Z)


@form("auc", "paired")
def two_aucs_without_p(claim: Claim) -> Verdict:
    """Two AUCs of the same patients are printed without a test: say what correlation would make them differ."""
    a, b = _pair(claim)
    se_a, se_b, gap = _middle_se(a), _middle_se(b), abs(a[0].value - b[0].value)
    independent = float(2 * stats.norm.sf(gap / math.hypot(se_a, se_b)))
    needed = implied_correlation(gap, se_a, se_b, 0.05)
    reason = (
        f"No test of {a[0]} against {b[0]} is printed, and it needs the paired scores. Were the two independent, their "
        f"intervals would give P {independent:.3f}; P is below 0.05 if they correlate by more than {needed:.2f}."
    )
    return Verdict(UNDECIDED, reason, f"P {independent:.3f} if independent", "", {"p": independent, "r": needed})


@form("ci", "auc", "ci")
def auc_interval_without_sizes(claim: Claim) -> Verdict:
    """An interval's width can not be judged without the numbers with and without the event."""
    low, high = as_interval(claim.inputs["ci"])
    return Verdict(UNDECIDED, f"The numbers with and without the event behind {low} to {high} are not printed.")


@form("ci", "auc", "ci", "n_pos", "n_neg")
def width_of_auc_interval(claim: Claim) -> Verdict:
    """Compare the printed interval with the standard errors possible for this AUC and these numbers.

    The lower half is used where the upper limit is printed as 1.
    """
    n_pos, n_neg = _sizes(claim)
    auc, (low, high) = _auc(claim.inputs["auc"]), as_interval(claim.inputs["ci"])
    if not low.value <= auc.value <= high.value:
        return Verdict(FAILS, f"{auc} lies outside {low} to {high}.", f"{low} to {high}", "contained")
    if high.value >= 1:
        least, most = (auc.low - low.high) / Z, (auc.high - low.low) / Z
    else:
        least, most = (high.low - low.high) / (2 * Z), (high.high - low.low) / (2 * Z)
    ses = [se_range(value, n_pos, n_neg) for value in (auc.low, auc.value, min(auc.high, 1.0))]
    smallest, largest = min(s for s, _ in ses) * (1 - SCATTER), max(s for _, s in ses) * (1 + SCATTER)
    ok = least <= largest and most >= smallest
    expected = hanley_mcneil_se(auc.value, n_pos, n_neg)
    shown = f"{auc.value - Z * expected:.3f} to {min(auc.value + Z * expected, 1):.3f}"
    reason = (
        f"With {n_pos} and {n_neg} patients the standard error of an AUC of {auc} is {smallest:.3f} to {largest:.3f} "
        f"depending on the scores; the printed interval implies {show_range(least, most)}."
    )
    values = {"se_low": smallest, "se_high": largest, "printed_low": least, "printed_high": most}
    return Verdict(decide(ok), reason, shown, "Hanley and McNeil", values)
