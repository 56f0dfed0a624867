"""Log-rank tests: plain, weighted, stratified, for trend and pairwise, as survival::survdiff.

lifelines has the plain and some weighted tests with the same values, but no strata, no trend, and neither expected
numbers nor the variance matrix; its "peto" weights are not those of ``survdiff(rho=1)``.

The cut-off with the maximal log-rank statistic and a p-value that pays for the search (no Python library has it).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.multitest import multipletests

from radsupport.checks import FloatArray, IntArray, as_finite
from radsupport.errors import InputError, NotEstimableError
from radsupport.stats.regression import check_choice
from radsupport.stats.survival_curves import at_least_two, group_codes, survival_times

WEIGHTS = ("logrank", "gehan", "tarone_ware", "peto", "modified_peto", "fleming_harrington")


@dataclass(frozen=True, eq=False)
class LogRank:
    """Result of a log-rank test.

    Attributes
    ----------
    chi2 : float
    df : int
    p : float
    table : DataFrame
        group, n, observed, expected; weighted sums for weighted tests, summed over strata.
    variance : DataFrame
        Covariance of observed minus expected, groups × groups.
    test : str
        What was done, for a caption.
    """

    chi2: float
    df: int
    p: float
    table: pd.DataFrame
    variance: pd.DataFrame
    test: str


def log_rank(
    time: Any,
    event: Any,
    group: Any,
    trend: bool = False,
    *,
    strata: Any = None,
    weight: str = "logrank",
    rho: float = 0.0,
    gamma: float = 0.0,
    scores: Sequence[float] | None = None,
) -> LogRank:
    """Compare the survival of two or more groups.

    Parameters
    ----------
    time, event : array-like, shape (n,)
    group : array-like, shape (n,)
        Groups in order of category, number or text.
    trend : bool
        Test for a trend over the groups in their order (scores 1 … k unless given), with one degree of freedom.
    strata : array-like, optional
        Observed and expected numbers are added over strata.
    weight : {"logrank", "gehan", "tarone_ware", "peto", "modified_peto", "fleming_harrington"}
        Weight of an event time: 1; the number at risk n; sqrt(n); Peto's survival estimate
        prod(1 - d / (n + 1)); the same times n / (n + 1); S(t-)^rho (1 - S(t-))^gamma with the pooled Kaplan–Meier
        estimate. ``survdiff(rho=r)`` is "fleming_harrington" with ``rho=r``.
    rho, gamma : float
        Exponents of "fleming_harrington"; a `rho` alone selects that weight.
    scores : sequence of float, optional
        Scores of the groups for the trend test.

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
    Mantel 1966; Tarone 1975 (trend); Harrington & Fleming 1982.
    """
    check_choice(weight, "weight", WEIGHTS)
    weight = "fleming_harrington" if weight == "logrank" and (rho or gamma) else weight
    times, events = survival_times(time, event, any_event=True)
    levels, code = group_codes(group, times.size)
    at_least_two(levels)
    stratum = np.zeros(times.size, dtype=np.int64) if strata is None else group_codes(strata, times.size, "strata")[1]
    parts = [
        _observed_expected(
            times[stratum == s], events[stratum == s], code[stratum == s], len(levels), weight, rho, gamma
        )
        for s in np.unique(stratum)
    ]
    observed, expected, variance = (np.sum([part[i] for part in parts], axis=0) for i in range(3))
    chi2, df = (
        _trend(observed - expected, variance, _scores(scores, len(levels)))
        if trend
        else _quadratic(observed - expected, variance)
    )
    counts = np.bincount(code, minlength=len(levels))
    table = pd.DataFrame({"group": levels, "n": counts, "observed": observed, "expected": expected})
    test = " ".join(
        word for word in ("stratified" if strata is not None else "", weight, "trend" if trend else "") if word
    )
    return LogRank(
        chi2, df, float(stats.chi2.sf(chi2, df)), table, pd.DataFrame(variance, index=levels, columns=levels), test
    )


def pairwise_log_rank(time: Any, event: Any, group: Any, adjust: str = "none") -> pd.DataFrame:
    """Log-rank test of every pair of groups, on the subjects of that pair alone (survminer::pairwise_survdiff).

    Parameters
    ----------
    time, event, group : array-like, shape (n,)
    adjust : {"none", "bh", "bonferroni", "holm"}
        Correction for the number of pairs (statsmodels' multipletests).

    Returns
    -------
    DataFrame
        group_a, group_b, chi2, p, p_adjusted.
    """
    methods = {"none": "", "bh": "fdr_bh", "bonferroni": "bonferroni", "holm": "holm"}
    check_choice(adjust, "adjust", tuple(methods))
    times, events = survival_times(time, event, any_event=True)
    levels, code = group_codes(group, times.size)
    at_least_two(levels)
    rows = []
    for a, b in combinations(range(len(levels)), 2):
        chosen = (code == a) | (code == b)
        found = log_rank(times[chosen], events[chosen], code[chosen])
        rows.append((levels[a], levels[b], found.chi2, found.p))
    table = pd.DataFrame(rows, columns=["group_a", "group_b", "chi2", "p"])
    p = table["p"].to_numpy()
    return table.assign(p_adjusted=multipletests(p, method=methods[adjust])[1] if methods[adjust] else p)


def _observed_expected(
    time: FloatArray, event: IntArray, code: IntArray, k: int, weight: str, rho: float, gamma: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Weighted observed and expected events per group, and the hypergeometric covariance, in one stratum."""
    death_times, which = np.unique(time[event == 1], return_inverse=True)
    at_risk = np.column_stack(
        [(code == g).sum() - np.searchsorted(np.sort(time[code == g]), death_times, side="left") for g in range(k)]
    ).astype(float)
    died = np.zeros((death_times.size, k))
    np.add.at(died, (which, code[event == 1]), 1.0)
    n, d = at_risk.sum(axis=1), died.sum(axis=1)
    w = _weights(n, d, weight, rho, gamma)
    share = at_risk / n[:, None]
    spread = np.divide(w**2 * d * (n - d), n - 1, out=np.zeros_like(n), where=n > 1)
    variance = np.diag((spread[:, None] * share).sum(axis=0)) - share.T @ (spread[:, None] * share)
    return (w[:, None] * died).sum(axis=0), ((w * d)[:, None] * share).sum(axis=0), variance


def _weights(n: FloatArray, d: FloatArray, weight: str, rho: float, gamma: float) -> FloatArray:
    if weight == "gehan":
        return n
    if weight == "tarone_ware":
        return np.sqrt(n)
    if weight in {"peto", "modified_peto"}:
        survival: FloatArray = np.cumprod(1 - d / (n + 1)).astype(np.float64)
        return survival * n / (n + 1) if weight == "modified_peto" else survival
    if weight == "fleming_harrington":
        before = np.concatenate([[1.0], np.cumprod(1 - d / n)[:-1]])
        return before**rho * (1 - before) ** gamma
    return np.ones_like(n)


def _quadratic(difference: FloatArray, variance: FloatArray) -> tuple[float, int]:
    """Chi-square of the groups that were ever at risk with others; the last of them is redundant."""
    used = np.flatnonzero(np.diag(variance) > 1e-12 * max(float(np.diag(variance).max()), 1e-300))
    if used.size < 2:
        raise NotEstimableError(
            "The log-rank statistic has no variance: at no event time are two groups at risk and not all of them die."
        )
    kept = used[1:]
    return float(difference[kept] @ np.linalg.solve(variance[np.ix_(kept, kept)], difference[kept])), kept.size


def _trend(difference: FloatArray, variance: FloatArray, scores: FloatArray) -> tuple[float, int]:
    spread = float(scores @ variance @ scores)
    if not spread > 0:
        raise NotEstimableError("There is no event time at which subjects with different scores are at risk.")
    return float(scores @ difference) ** 2 / spread, 1


def _scores(scores: Sequence[float] | None, k: int) -> FloatArray:
    values = np.arange(1.0, k + 1) if scores is None else as_finite(scores, "scores", k)
    if np.unique(values).size < 2:
        raise InputError("`scores` must differ between groups.")
    return values


@dataclass(frozen=True, eq=False)
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
    p_lausen92 : float
        The cruder correction that knows only `min_share` (Lausen & Schumacher 1992).
    p_uncorrected : float
        Ordinary log-rank p at the cut-off; never the one to report.
    n_low, n_high : int
    candidates : DataFrame
        cut_off, statistic of every cut-off tried.
    """

    cut_off: float
    statistic: float
    p: float
    p_lausen92: float
    p_uncorrected: float
    n_low: int
    n_high: int
    candidates: pd.DataFrame


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
    statistic, cut_off = float(statistics[best]), float(ranked[sizes[best] - 1])
    high = values > cut_off
    return MaximallySelected(
        cut_off=cut_off,
        statistic=statistic,
        p=p_lausen94(statistic, values.size, sizes),
        p_lausen92=p_lausen92(statistic, min_share),
        p_uncorrected=log_rank(times, events, high).p,
        n_low=int((~high).sum()),
        n_high=int(high.sum()),
        candidates=pd.DataFrame({"cut_off": ranked[sizes - 1], "statistic": statistics}),
    )


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


def p_lausen92(statistic: float, min_share: float) -> float:
    """Asymptotic p of the maximum over the middle 1 - 2 `min_share` of the subjects (Lausen & Schumacher 1992)."""
    if statistic < 1:
        return 1.0
    density = float(stats.norm.pdf(statistic))
    odds = ((1 - min_share) / min_share) ** 2
    return min(4 * density / statistic + density * (statistic - 1 / statistic) * float(np.log(odds)), 1.0)
