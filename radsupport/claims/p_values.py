"""Claims about P values from group comparisons: which of the plausible tests gives what is printed.

P values that printed counts, means with SD, or rank sums can give, one function per kind of input.

Each function returns `{test: (lowest P, highest P)}`: the range over all inputs that round to what
is printed. Counts have no rounding, so their range is a single value.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from scipy import stats
from statsmodels.stats.oneway import anova_generic

from radsupport.claims.numbers import Printed, numbers_in, read_number
from radsupport.claims.verdicts import (
    FAILS,
    HOLDS,
    UNDECIDED,
    Claim,
    CountTable,
    Verdict,
    as_count,
    as_counts,
    as_mean_sd,
    as_share,
    as_table,
    decide,
    form,
    show,
    show_range,
)
from radsupport.errors import InputError, NotEstimableError
from radsupport.stats.groups import chi_square, fisher_exact
from radsupport.wording import listed

PRange = tuple[float, float]
MAX_TIES = 0.05
"""Largest share by which ties may reduce the rank-sum variance before a P value no longer counts as explained."""
MAX_EXACT = 5000
"""Largest product of group sizes for which the exact rank-sum distribution is counted out."""


@lru_cache(maxsize=1024)
def _fisher(rows: tuple[tuple[int, ...], ...]) -> dict[str, float]:
    """Return Fisher's exact P (Freeman-Halton beyond 2x2), or nothing where too many tables have these margins."""
    try:
        return {"Fisher's exact test": fisher_exact(rows).p}
    except NotEstimableError:
        return {}


def count_tests(table: CountTable) -> dict[str, PRange]:
    """Return P of every test that is usual for an r x c table; empty levels are dropped.

    Pearson's chi-square, with Yates' correction (2x2 only), Fisher's exact test and the
    likelihood-ratio chi-square.
    """
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    if min(table.shape) < 2:
        return {}
    found = {"Pearson's chi-square": chi_square(table).p}
    if table.shape == (2, 2):
        found["chi-square with Yates' correction"] = chi_square(table, yates=True).p
    found |= _fisher(tuple(map(tuple, table.tolist())))
    likelihood = stats.chi2_contingency(table, correction=False, lambda_="log-likelihood")
    found["likelihood-ratio chi-square"] = likelihood.pvalue
    return {name: (float(p), float(p)) for name, p in found.items()}


def _corners(pairs: list[tuple[Printed, Printed]]) -> np.ndarray:
    """Return all combinations of low, middle and high of each printed mean and SD, shape (combinations, groups, 2)."""
    axes = [(each.low, each.value, each.high) for pair in pairs for each in pair]
    return np.array(list(itertools.product(*axes))).reshape(-1, len(pairs), 2)


def mean_tests(pairs: list[tuple[Printed, Printed]], n: list[int]) -> dict[str, PRange]:
    """Return P ranges of the tests that need only mean, SD and n of each group.

    Student's and Welch's t for two groups; one-way analysis of variance and Welch's for more.
    """
    if len(pairs) == 2:
        return {name: _range(found.pvalue) for name, found in _t_tests(pairs, n).items()}
    corners = _corners(pairs)
    means, variances = corners[:, :, 0], corners[:, :, 1] ** 2
    counts = np.array(n)
    kinds = {"one-way analysis of variance": "equal", "Welch's analysis of variance": "unequal"}
    return {
        name: _range([anova_generic(m, v, counts, use_var=use).pvalue for m, v in zip(means, variances, strict=True)])
        for name, use in kinds.items()
    }


def _range(values: object) -> PRange:
    array = np.asarray(values, dtype=float)
    return float(array.min()), float(array.max())


def t_statistics(pairs: list[tuple[Printed, Printed]], n: list[int]) -> dict[str, PRange]:
    """Return the ranges of Student's and Welch's t of two groups, first minus second."""
    return {name: _range(found.statistic) for name, found in _t_tests(pairs, n).items()}


def _t_tests(pairs: list[tuple[Printed, Printed]], n: list[int]) -> dict[str, Any]:
    corners = _corners(pairs)
    (m1, s1), (m2, s2) = corners[:, 0].T, corners[:, 1].T
    kinds = {"Student's t": True, "Welch's t": False}
    return {name: stats.ttest_ind_from_stats(m1, s1, n[0], m2, s2, n[1], equal_var=e) for name, e in kinds.items()}


def rank_sum_tests(u: float, n1: int, n2: int) -> dict[str, PRange]:
    """Return two-sided P of a Mann-Whitney U: exact, normal, and normal with continuity correction.

    Ties are not printed: they make the variance, and so P, smaller. The normal ranges
    therefore reach down to a variance reduced by `MAX_TIES`.
    """
    distance = abs(u - n1 * n2 / 2)
    sd = math.sqrt(n1 * n2 * (n1 + n2 + 1) / 12)
    found: dict[str, PRange] = {}
    for name, gap in {"normal approximation": distance, "continuity correction": max(distance - 0.5, 0.0)}.items():
        tied, untied = (2 * stats.norm.sf(gap / (sd * factor)) for factor in (math.sqrt(1 - MAX_TIES), 1.0))
        found[f"Mann-Whitney U ({name})"] = (float(tied), float(untied))
    if u == int(u) and n1 * n2 <= MAX_EXACT:
        p = exact_rank_sum_p(int(u), n1, n2)
        found["Mann-Whitney U (exact)"] = (p, p)
    return found


def exact_rank_sum_p(u: int, n1: int, n2: int) -> float:
    """Return the exact two-sided P of a Mann-Whitney U without ties.

    Source: Mann & Whitney 1947; the number of arrangements with each U is the coefficient of
    prod (1 - x^(n2+i)) / (1 - x^i), i = 1..n1. scipy computes it only from the two samples themselves.
    """
    n1, n2 = sorted((n1, n2))
    counts = [1] + [0] * (n1 * n2)
    for i in range(1, n1 + 1):
        for k in range(n1 * n2, n2 + i - 1, -1):
            counts[k] -= counts[k - n2 - i]
        for k in range(i, n1 * n2 + 1):
            counts[k] += counts[k - i]
    tail = sum(counts[: min(u, n1 * n2 - u) + 1])
    return min(1.0, 2 * tail / math.comb(n1 + n2, n1))


DECLARED = {
    "x": "Pearson's chi-square",
    "f": "Fisher's exact test",
    "m": "Mann-Whitney U",
    "t": "Student's t",
    "a": "analysis of variance",
}
"""Tests by the letter with which some tables mark them (a: named in a footnote)."""
LEVEL = 0.05
NOT_SIGNIFICANT = Printed(LEVEL, 2, ">=")


def printed_p(claim: Claim) -> Printed:
    """Return the printed P value; `not significant` reads as P >= 0.05.

    Raises
    ------
    InputError
        There is no number, or it is not a probability.
    """
    if "not significant" in claim.published_value.lower():
        return NOT_SIGNIFICANT
    p = claim.number()
    if not 0 <= p.value <= 1 or (p.relation, p.value) in {("<", 0), (">", 1)}:
        raise InputError(f"published_value {claim.published_value!r} is not a P value between 0 and 1.")
    return replace(p, significant=claim.p_digits)


def capital(text: str) -> str:
    """Return a sentence's first words with a capital letter; a symbol (z) stays as it is."""
    return text if text[1:2] == " " else text[:1].upper() + text[1:]


def describe(found: dict[str, PRange], digits: int = 3) -> str:
    """Return `test P; test P; …`."""
    return "; ".join(f"{name} {show_range(*p, digits)}" for name, p in found.items())


def crosses(printed: Printed, found: dict[str, PRange]) -> bool:
    """Say whether the printed P and every recomputed one lie on different sides of 0.05."""
    lower, upper = min(low for low, _ in found.values()), max(high for _, high in found.values())
    if printed.relation.startswith(">") or (printed.relation == "=" and printed.value >= LEVEL):
        return printed.value >= LEVEL and upper < LEVEL
    return printed.value <= LEVEL and lower >= LEVEL


def p_verdict(claim: Claim, found: dict[str, PRange], declared: str = "") -> Verdict:
    """Compare the printed P with the range of each test.

    A declared test has to fit; where none is declared, any plausible one may.
    """
    printed = printed_p(claim)
    digits = max(3, printed.decimals)
    fits = [name for name, p in found.items() if printed.meets(*p)]
    values = {name: p[0] for name, p in found.items()} | {"crosses": float(crosses(printed, found))}
    shown = describe(found, digits)
    padded = f" ({claim.p_digits} significant figures, as in the whole table)" if claim.p_digits else ""
    marked = {name: p for name, p in found.items() if declared and declared in name}
    if declared and not any(name in marked for name in fits):
        other = f"; {listed(fits)} would fit" if fits else ""
        reason = f"The test named in the table is {declared}: {shown}; printed {printed}{padded}{other}."
        return Verdict(FAILS, reason, _span(marked or found, digits), " or ".join(fits) or "none fits", values)
    if fits:
        best = next((name for name in fits if name in marked), fits[0])
        others = [name for name in fits if name != best]
        also = f" (so {'does' if len(others) == 1 else 'do'} {listed(others)})" if others else ""
        reason = f"{capital(best)} gives {show_range(*found[best], digits)}, printed {printed}{padded}{also}."
        return Verdict(HOLDS, reason, show_range(*found[best], digits), best, values)
    reason = f"No test tried gives {printed}{padded}: {shown}."
    return Verdict(FAILS, reason, _span(found, digits), "none fits", values)


def _span(found: dict[str, PRange], digits: int) -> str:
    """Return the range of all recomputed P values."""
    return show_range(min(low for low, _ in found.values()), max(high for _, high in found.values()), digits)


@form("p_value", "counts", optional=("printed_stat",))
def p_of_counts(claim: Claim) -> Verdict:
    """Try all usual tests on a table of counts (levels by groups)."""
    found = count_tests(as_table(claim.inputs["counts"], "counts"))
    if not found:
        return Verdict(UNDECIDED, "All patients are in one level or group: no test is possible.")
    return p_verdict(claim, found, _marked(claim))


def _marked(claim: Claim) -> str:
    """Return the test that the table names for this value, or nothing."""
    return DECLARED.get(str(claim.inputs.get("printed_stat", "")).strip()[:1].lower(), "")


@form("p_value", "mean_sd", "n", optional=("printed_stat",))
def p_of_means(claim: Claim) -> Verdict:
    """Try the tests that need only mean, SD and n, over all means and SDs that round to what is printed.

    Where none fits, the value does not hold if the table names one of them. Otherwise it can not be
    decided, as a rank test can not be recomputed from means.
    """
    if None in claim.inputs["mean_sd"]:
        return Verdict(UNDECIDED, "Mean and SD of one group can not be read in the available text of the paper.")
    pairs = as_mean_sd(claim.inputs["mean_sd"])
    n = as_counts(claim.inputs["n"], "n", len(pairs), minimum=2)
    declared, found = _marked(claim), mean_tests(pairs, n)
    if declared and not any(declared in name for name in found):
        reason = f"The test named in the table is {declared}, which can not be recomputed from means."
        return Verdict(UNDECIDED, reason, _span(found, max(3, printed_p(claim).decimals)))
    verdict = p_verdict(claim, found, declared)
    if verdict.verdict == FAILS and not declared:
        note = "The test is not named beside the value; a rank test might give it and can not be recomputed from means."
        return replace(verdict, verdict=UNDECIDED, reason=f"{verdict.reason} {note}", test="")
    return verdict


@form("p_value", "U", "n", optional=("median_iqr",))
def p_of_rank_sum(claim: Claim) -> Verdict:
    """Compare the printed P with that of the printed Mann-Whitney U."""
    n1, n2 = as_counts(claim.inputs["n"], "n", 2, minimum=1)
    u = read_number(claim.inputs["U"], "U").value
    if not 0 <= u <= n1 * n2:
        raise InputError(f"`U` must lie between 0 and {n1 * n2}, it is {u:g}.")
    return p_verdict(claim, rank_sum_tests(u, n1, n2), "Mann-Whitney U")


@form("p_value", "median_iqr")
def p_of_medians(claim: Claim) -> Verdict:
    """Medians and quartiles do not determine any P value."""
    reason = "A P value does not follow from medians and interquartile ranges; no statistic is printed."
    return Verdict(UNDECIDED, reason)


@form("p_value", "k", "n", "nir")
def p_of_accuracy(claim: Claim) -> Verdict:
    """Compare a printed P with the exact binomial test of an accuracy against the no-information rate."""
    k, n = as_count(claim.inputs["k"], "k"), as_count(claim.inputs["n"], "n", 1)
    rate = float(claim.inputs["nir"])
    if k > n or not 0 < rate < 1:
        raise InputError(f"`k` must not exceed `n` and `nir` must lie between 0 and 1: {k}, {n}, {rate}.")
    sides = {"one": "greater", "two": "two-sided"}
    p = {side: float(stats.binomtest(k, n, rate, alternative=way).pvalue) for side, way in sides.items()}
    return p_verdict(claim, {f"exact binomial test, {side}-sided": (each, each) for side, each in p.items()})


@form("p_value", "risk_groups")
def p_of_survival(claim: Claim) -> Verdict:
    """A log-rank P needs the times; the counts of events are compared for orientation only."""
    table = as_table(claim.inputs["risk_groups"], "risk_groups", (2, 2))
    (k1, n1), (k2, n2) = table.tolist()
    if k1 > n1 or k2 > n2:
        raise InputError("`risk_groups` must be [[events, patients], [events, patients]].")
    found = count_tests(as_table([[k1, k2], [n1 - k1, n2 - k2]], "risk_groups"))
    p = found.get("Fisher's exact test", (1.0, 1.0))[0]
    reason = (
        f"A log-rank P needs each patient's follow-up time. {k1}/{n1} against {k2}/{n2} events, without times, "
        f"give Fisher's exact P {show(p, 4)}; printed {claim.published_value}."
    )
    return Verdict(UNDECIDED, reason, f"{k1}/{n1}, {k2}/{n2}", "", {"fisher": p})


@form("p_value", "shares")
def p_of_shares(claim: Claim) -> Verdict:
    """Try all usual tests on two shares that are printed as counts (3 of 6 against 6 of 12)."""
    pairs = [as_share(each, "shares") for each in claim.inputs["shares"]]
    table = as_table([[k for k, _ in pairs], [n - k for k, n in pairs]], "shares")
    return p_verdict(claim, count_tests(table))


@form("statistic", "counts", optional=("printed_stat",))
def statistic_of_counts(claim: Claim) -> Verdict:
    """Compare a printed chi-square with Pearson's, with and without Yates' correction."""
    table = as_table(claim.inputs["counts"], "counts")
    pearson = chi_square(table).statistic
    found = {"Pearson's chi-square": pearson}
    if table.shape == (2, 2):
        found["chi-square with Yates' correction"] = chi_square(table, yates=True).statistic
    printed = claim.number()
    fits = [name for name, value in found.items() if printed.meets(value)]
    shown = "; ".join(f"{name} {value:.3f}" for name, value in found.items())
    best = f"{found[fits[0]]:.3f}" if fits else shown
    return Verdict(decide(bool(fits)), f"{shown}; printed {printed}.", best, fits[0] if fits else "none fits", found)


@form("statistic", "mean_sd", "n")
def statistic_of_means(claim: Claim) -> Verdict:
    """Compare a printed t with Student's and Welch's; the sign depends on which group comes first."""
    pairs = as_mean_sd(claim.inputs["mean_sd"])
    n = as_counts(claim.inputs["n"], "n", 2, minimum=2)
    found = t_statistics(pairs, n)
    printed = numbers_in(claim.published_value)[0]
    shown = describe(found)
    for name, (low, high) in found.items():
        if printed.meets(low, high):
            return Verdict(HOLDS, f"{name} gives {show_range(low, high)}; printed {printed}.", shown, name)
        if printed.meets(-high, -low):
            reason = f"{name}, second group minus first, gives {show_range(-high, -low)}; printed {printed}."
            return Verdict(HOLDS, reason, show_range(-high, -low), name, {name: -high})
    return Verdict(FAILS, f"{shown}; printed {printed}.", shown, "none fits")
