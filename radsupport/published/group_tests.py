"""P values that printed counts, means with SD, or rank sums can give, one function per kind of input.

Each function returns `{test: (lowest P, highest P)}`: the range over all inputs that round to what
is printed. Counts have no rounding, so their range is a single value.
"""

from __future__ import annotations

import itertools
import math
from functools import lru_cache

import numpy as np
from scipy import stats
from statsmodels.stats.oneway import anova_generic

from radsupport.cohort.contingency import chi_square, fisher_exact
from radsupport.errors import NotEstimableError
from radsupport.published.inputs import CountTable
from radsupport.published.rounding import Printed

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
    corners = _corners(pairs)
    if len(pairs) == 2:
        (m1, s1), (m2, s2) = corners[:, 0].T, corners[:, 1].T
        student = stats.ttest_ind_from_stats(m1, s1, n[0], m2, s2, n[1], equal_var=True).pvalue
        welch = stats.ttest_ind_from_stats(m1, s1, n[0], m2, s2, n[1], equal_var=False).pvalue
        return {"Student's t": _range(student), "Welch's t": _range(welch)}
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
    corners = _corners(pairs)
    (m1, s1), (m2, s2) = corners[:, 0].T, corners[:, 1].T
    return {
        name: _range(stats.ttest_ind_from_stats(m1, s1, n[0], m2, s2, n[1], equal_var=equal).statistic)
        for name, equal in {"Student's t": True, "Welch's t": False}.items()
    }


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
