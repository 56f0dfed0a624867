"""What an AUC and the numbers of patients with and without the event determine, and what they leave open."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy import stats

from radsupport.published.group_tests import PRange, exact_rank_sum_p
from radsupport.published.rounding import Printed

SD_RATIOS = (1 / 3, 3.0)
"""Spread of the scores with the event relative to those without, over which the standard error is bounded."""
SCATTER = 0.2
"""Relative scatter of an estimated standard error around its range; covers over 95% of simulated samples."""


def hanley_mcneil_se(auc: float, n_pos: int, n_neg: int) -> float:
    """Return the standard error of an AUC under negative-exponential scores (Hanley & McNeil 1982, eq. 1-2)."""
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    return _se(auc, q1, q2, n_pos, n_neg)


def _se(auc: float, q1: float, q2: float, n_pos: int, n_neg: int) -> float:
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
        values.append(_se(auc, q1, q2, n_pos, n_neg))
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


def bounds_through(sensitivity: float, specificity: float) -> tuple[float, float]:
    """Return the smallest and largest area under a monotone ROC curve through one operating point."""
    return sensitivity * specificity, 1 - (1 - sensitivity) * (1 - specificity)
