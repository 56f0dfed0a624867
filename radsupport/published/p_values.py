"""Claims about P values from group comparisons: which of the plausible tests gives what is printed."""

from __future__ import annotations

from dataclasses import replace

from scipy import stats

from radsupport.cohort.contingency import chi_square
from radsupport.errors import InputError
from radsupport.published.group_tests import (
    PRange,
    count_tests,
    mean_tests,
    rank_sum_tests,
    t_statistics,
)
from radsupport.published.inputs import as_count, as_counts, as_mean_sd, as_share, as_table
from radsupport.published.rounding import Printed, numbers_in, read_number, show, show_range
from radsupport.published.verdicts import FAILS, HOLDS, UNDECIDED, Claim, Verdict, decide, form
from radsupport.report.wording import listed

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
    if not 0 <= p.value <= 1:
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
        note = (
            " The test is not named beside the value; a rank test might give it and can not be recomputed from means."
        )
        return replace(verdict, verdict=UNDECIDED, reason=verdict.reason + note, test="")
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
    return Verdict(
        UNDECIDED, "A P value does not follow from medians and interquartile ranges; no statistic is printed."
    )


@form("p_value", "k", "n", "nir")
def p_of_accuracy(claim: Claim) -> Verdict:
    """Compare a printed P with the exact binomial test of an accuracy against the no-information rate."""
    k, n = as_count(claim.inputs["k"], "k"), as_count(claim.inputs["n"], "n", 1)
    rate = float(claim.inputs["nir"])
    if k > n or not 0 < rate < 1:
        raise InputError(f"`k` must not exceed `n` and `nir` must lie between 0 and 1: {k}, {n}, {rate}.")
    one = float(stats.binomtest(k, n, rate, alternative="greater").pvalue)
    two = float(stats.binomtest(k, n, rate).pvalue)
    return p_verdict(
        claim, {"exact binomial test, one-sided": (one, one), "exact binomial test, two-sided": (two, two)}
    )


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
