"""Log-rank test, plain or stratified; and the cut-off with the largest statistic, its search paid for.

The test is statsmodels' ``survdiff``, equal to R's; here it gets its checks, and P from the upper tail (the library's
``1 - cdf`` is 0 below 1e-16). The search is that of R's maxstat, which neither lifelines nor statsmodels has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.duration.survfunc import survdiff

from radsupport.checks import FloatArray, IntArray, as_finite
from radsupport.errors import InputError, NotEstimableError
from radsupport.stats.survival_curves import group_codes, survival_times


@dataclass(frozen=True)
class LogRank:
    """Result of a log-rank test: chi-square statistic, degrees of freedom, P."""

    chi2: float
    df: int
    p: float


def log_rank(time: Any, event: Any, group: Any, strata: Any = None) -> LogRank:
    """Compare the survival of two or more groups.

    Parameters
    ----------
    time, event : array-like, shape (n,)
    group : array-like, shape (n,)
    strata : array-like, optional
        Observed and expected numbers are added over strata.

    Returns
    -------
    LogRank

    Raises
    ------
    InputError
    NotEstimableError
        One group only, no event, or no event time at which two groups are at risk and not all of them die.

    References
    ----------
    Mantel 1966; Peto & Peto 1972.
    """
    times, events = survival_times(time, event, any_event=True)
    levels, code = group_codes(group, times.size)
    if len(levels) < 2:
        raise NotEstimableError(f"`group` holds only {', '.join(levels)}; at least two groups are needed to compare.")
    stratum = np.zeros(times.size, dtype=np.int64) if strata is None else group_codes(strata, times.size, "strata")[1]
    # a group that is censored before the first event was never compared with anybody
    longest = pd.Series(times).groupby(code).transform("max").to_numpy()
    known = longest >= times[events == 1].min()
    groups = np.unique(code[known]).size
    try:
        if groups < 2:
            raise np.linalg.LinAlgError
        chi2, _ = survdiff(times[known], events[known], code[known], strata=stratum[known])
    except np.linalg.LinAlgError as error:
        raise NotEstimableError(
            "The log-rank statistic has no variance: at no event time are two groups at risk and not all of them die."
        ) from error
    return LogRank(float(chi2), groups - 1, float(stats.chi2.sf(chi2, groups - 1)))


@dataclass(frozen=True)
class MaximallySelected:
    """Result of a cut-off search.

    Attributes
    ----------
    cut_off : float
        An observed value; the high group is ``value > cut_off``.
    statistic : float
        Maximum of the absolute standardised log-rank statistics.
    p : float
        Corrected for the search (Lausen, Sauerbrei & Schumacher 1994), at most 1.
    """

    cut_off: float
    statistic: float
    p: float


def maximally_selected_cutoff(time: Any, event: Any, value: Any, min_share: float = 0.1) -> MaximallySelected:
    """Find the cut-off that separates survival most (maxstat::maxstat.test, survminer::surv_cutpoint).

    Every observed value that leaves at least about `min_share` of the subjects on each side is tried (as maxstat:
    ``floor(n * min_share) <= number at or below <= floor(n * (1 - min_share))``). The statistic is the sum of the
    log-rank scores of the low group, standardised by its permutation mean and variance (Hothorn & Lausen 2003).

    Parameters
    ----------
    time, event : array-like, shape (n,)
    value : array-like, shape (n,)
        For instance a radiomics score.
    min_share : float
        Between 0 and 0.5, both excluded.

    Returns
    -------
    MaximallySelected

    Raises
    ------
    InputError
    NotEstimableError
        All censored, all events at one time, a constant value, or no admissible cut-off.
    """
    if not 0 < min_share < 0.5:
        raise InputError(f"`min_share` must lie between 0 and 0.5, it is {min_share}.")
    times, events = survival_times(time, event, any_event=True)
    values = as_finite(value, "value", times.size)
    order = np.argsort(values, kind="stable")
    ranked, scores = values[order], log_rank_scores(times, events)[order]
    sizes = _sizes(ranked, min_share)
    statistics = _standardised(scores, sizes)
    best = int(np.argmax(statistics))
    statistic = float(statistics[best])
    return MaximallySelected(float(ranked[sizes[best] - 1]), statistic, p_lausen94(statistic, values.size, sizes))


def log_rank_scores(time: FloatArray, event: IntArray) -> FloatArray:
    """Event minus the sum over all subjects with a time no later of event / (number at risk after their ties + 1).

    These are the scores of exactRankTests and maxstat: a tied event is divided by n - rank + 1 with the maximal rank.
    """
    last_rank = np.searchsorted(np.sort(time), time, side="right")
    order = np.argsort(time, kind="stable")
    hazard = np.cumsum((event / (time.size - last_rank + 1.0))[order])
    return event - hazard[last_rank - 1]


def _sizes(ranked: FloatArray, min_share: float) -> IntArray:
    """Numbers of subjects in the low group for all admissible cut-offs."""
    n = ranked.size
    sizes = np.flatnonzero(np.diff(ranked) > 0) + 1
    admissible = sizes[(sizes >= np.floor(n * min_share)) & (sizes <= np.floor(n * (1 - min_share)))]
    if not admissible.size:
        raise NotEstimableError(
            f"No cut-off of `value` leaves {min_share:.0%} of the {n} subjects on both sides"
            f" ({np.unique(ranked).size} distinct value(s)). Lower `min_share` or use the value uncut."
        )
    return admissible.astype(np.int64)


def _standardised(scores: FloatArray, sizes: IntArray) -> FloatArray:
    n, total = scores.size, float(scores.sum())
    mean = sizes / n * total
    spread = n * float((scores**2).sum()) - total**2
    if not spread > 1e-12 * n**2:
        raise NotEstimableError(
            "All log-rank scores are equal (all events at one time): no cut-off separates survival."
        )
    variance = sizes * (n - sizes) / (n**2 * (n - 1)) * spread
    return np.abs(np.cumsum(scores)[sizes - 1] - mean) / np.sqrt(variance)


def p_lausen94(statistic: float, n: int, sizes: IntArray) -> float:
    """Improved Bonferroni bound for the maximum over cut-offs with `sizes` in the low group (Lausen et al. 1994)."""
    low, high = sizes[:-1].astype(float), sizes[1:].astype(float)
    t = np.sqrt(1 - low * (n - high) / ((n - low) * high))
    extra = np.exp(-(statistic**2) / 2) / np.pi * (t - (statistic**2 / 4 - 1) * t**3 / 6)
    return float(np.clip(2 * stats.norm.sf(statistic) + extra.sum(), 0.0, 1.0))
