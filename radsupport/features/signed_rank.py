"""Wilcoxon's signed-rank test of paired differences with the estimate and the interval that belong to it.

scipy gives the P alone. The estimate is that of Hodges and Lehmann, the median of the Walsh averages (the means of all
pairs of differences, each difference with itself too); the interval holds the shifts that the test does not reject, so
that it excludes 0 where P < 0.05 and the two can not contradict each other as a bootstrap of the median can.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, inf

import numpy as np
from scipy.stats import norm, wilcoxon

from radsupport.checks import FloatArray, as_level
from radsupport.errors import InputError, NotEstimableError

#: Fewest differences of a paired test.
FEWEST = 3
#: Fewest differences from which the normal approximation is used even without ties, as in R's wilcox.test.
MANY = 50
EXACT, APPROXIMATE = "exact", "normal approximation"


@dataclass(frozen=True)
class SignedRank:
    """Estimate (Hodges-Lehmann), its confidence limits, P of the two-sided test, and how both were computed.

    The limits are infinite where no shift, however large, would be rejected: at 95% with fewer than six differences.
    """

    estimate: float
    ci_low: float
    ci_high: float
    p: float
    method: str


def signed_rank(differences: FloatArray, level: float = 0.95) -> SignedRank:
    """Test whether paired differences are centred on 0.

    Parameters
    ----------
    differences : array, shape (n,)
        First minus second, one per patient.
    level : float
        Confidence level.

    Returns
    -------
    SignedRank
        From the exact distribution with fewer than 50 differences without ties and zeros, else from the normal
        approximation with continuity correction; differences of 0 are left out then. If all are 0, the estimate and
        both limits are 0 and P is 1.

    Raises
    ------
    InputError
        Values that are missing or infinite.
    NotEstimableError
        Fewer than three differences.

    Notes
    -----
    Hollander, Wolfe & Chicken 2014, Nonparametric Statistical Methods, 3rd ed., sections 3.1 to 3.3. The choice of the
    distribution, the zeros and the correction are those of wilcox.test in R. The limits of the approximation are Walsh
    averages; R looks for them numerically and agrees to its tolerance. The test takes the differences to be symmetric
    about their centre.
    """
    given = np.asarray(differences, dtype=float)
    if not np.isfinite(given).all():
        raise InputError(f"{int((~np.isfinite(given)).sum())} differences are missing or infinite; leave them out.")
    if len(given) < FEWEST:
        raise NotEstimableError(f"{len(given)} patients are too few for a paired test; {FEWEST} are needed.")
    x = given[given != 0]
    if not len(x):
        return SignedRank(0.0, 0.0, 0.0, 1.0, EXACT)
    exact = len(given) < MANY and len(x) == len(given) and len(np.unique(np.abs(x))) == len(x)
    walsh = walsh_averages(x)
    tail = (1 - as_level(level)) / 2
    place = _exact_place(len(x), tail) if exact else _approximate_place(x, tail)
    low, high = (walsh[place - 1], walsh[-place]) if place else (-inf, inf)
    return SignedRank(float(np.median(walsh)), float(low), float(high), _p(x, exact), EXACT if exact else APPROXIMATE)


def walsh_averages(x: FloatArray) -> FloatArray:
    """Return the means of all pairs of values, each with itself too, in ascending order: n (n + 1) / 2 of them."""
    first, second = np.triu_indices(len(x))
    return np.sort((x[first] + x[second]) / 2)


def rank_sum_counts(n: int) -> FloatArray:
    """Return of how many of the 2 ** n sign patterns the positive ranks 1 to n add to 0, 1, … n (n + 1) / 2."""
    counts = np.zeros(n * (n + 1) // 2 + 1)
    counts[0] = 1
    for rank in range(1, n + 1):
        counts[rank:] += counts[:-rank].copy()
    return counts


def _exact_place(n: int, tail: float) -> int:
    """Return which Walsh average from either end is the limit; 0 where there is none."""
    at_most = np.cumsum(rank_sum_counts(n)) / 2.0**n
    return int(np.searchsorted(at_most, tail, side="right"))


def _approximate_place(x: FloatArray, tail: float) -> int:
    """As `_exact_place`, by the normal approximation with correction for continuity and for equal differences."""
    n = len(x)
    ties = np.unique(x, return_counts=True)[1].astype(float)
    sd = np.sqrt(n * (n + 1) * (2 * n + 1) / 24 - (ties**3 - ties).sum() / 48)
    return max(0, floor(n * (n + 1) / 4 - 0.5 - float(norm.isf(tail)) * sd) + 1)


def _p(x: FloatArray, exact: bool) -> float:
    return min(1.0, float(wilcoxon(x, method="exact" if exact else "asymptotic", correction=not exact).pvalue))
