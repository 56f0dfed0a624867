"""Compare two measurements of the same subjects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from radsupport.checks import FloatArray
from radsupport.cohort.group_tests import normality_p
from radsupport.errors import InputError, NotEstimableError
from radsupport.report.wording import counted


@dataclass(frozen=True)
class PairedComparison:
    """Paired test; `statistic` is t or V (sum of positive ranks), `difference` the mean of a - b."""

    test: str
    statistic: float
    df: float
    p: float
    difference: float
    n: int
    n_missing: int
    reason: str


def compare_paired(a: Any, b: Any, test: str = "auto", alpha: float = 0.05) -> PairedComparison:
    """Compare two measurements of the same subjects.

    Parameters
    ----------
    a, b : array-like, shape (n,)
    test : {"auto", "paired_t", "wilcoxon"}
        "auto" takes the paired t test where Shapiro-Wilk does not reject normality of the differences.
    alpha : float
        Level of that normality test.

    Returns
    -------
    PairedComparison
        Incomplete pairs are left out and counted.

    Raises
    ------
    InputError, NotEstimableError
        Unknown test, unequal lengths; fewer than two pairs, or differences that do not vary.

    Notes
    -----
    Wilcoxon as R's wilcox.test(paired=TRUE): zero differences dropped; exact if fewer than 50 remain without zeros and
    ties, else the normal approximation with continuity correction. scipy's default differs in when it is exact.
    """
    if test not in ("auto", "paired_t", "wilcoxon"):
        raise InputError(f"`test` is {test!r}; expected auto, paired_t or wilcoxon.")
    first, second = (np.asarray(x, dtype=float) for x in (a, b))
    if first.shape != second.shape or first.ndim != 1:
        raise InputError(f"`a` and `b` have shapes {first.shape} and {second.shape}; one value per subject is needed.")
    known = np.isfinite(first) & np.isfinite(second)
    gap = first[known] - second[known]
    # R's rule for differences that are constant up to rounding.
    constant = gap.size < 2 or gap.std(ddof=1) <= 10 * np.finfo(float).eps * np.sqrt(gap.size) * abs(gap.mean())
    if gap.size < 2 or (constant and (test != "wilcoxon" or not gap.any())):
        raise NotEstimableError(
            f"The differences of {counted(gap.size, 'complete pair')} do not vary; they can not be compared."
        )
    chosen, reason = (test, "asked for") if test != "auto" else _choose_paired(gap, alpha)
    if chosen == "paired_t":
        # From mean and SD, because scipy's ttest_1samp warns about differences that are close together.
        statistic, df = float(gap.mean() / (gap.std(ddof=1) / np.sqrt(gap.size))), gap.size - 1.0
        p = float(2 * stats.t.sf(abs(statistic), df))
    else:
        (statistic, p), df = _signed_rank(gap), float("nan")
    return PairedComparison(chosen, statistic, df, p, float(gap.mean()), gap.size, int((~known).sum()), reason)


def _choose_paired(gap: FloatArray, alpha: float) -> tuple[str, str]:
    if gap.size >= 3 and normality_p(gap) > alpha:
        return "paired_t", "the differences are compatible with a normal distribution"
    return "wilcoxon", "the differences are not normal, or too few to tell"


def _signed_rank(gap: FloatArray) -> tuple[float, float]:
    """V, the sum of positive ranks, and R's p-value."""
    moved = gap[gap != 0]
    ranks = stats.rankdata(np.abs(moved))
    exact = moved.size == gap.size < 50 and np.unique(ranks).size == ranks.size
    found = stats.wilcoxon(moved, method="exact" if exact else "asymptotic", correction=not exact)
    return float(ranks[moved > 0].sum()), float(found.pvalue)
