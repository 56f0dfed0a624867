"""Concordance of a risk with survival: Harrell's C, Uno's C, their standard errors and paired comparisons.

A pair is comparable when the one with the shorter time had the event; of an event and a censoring at the same time, the
event counts as earlier. lifelines and scikit-survival give the same Harrell C, but no standard error, and
`sksurv.metrics.concordance_index_ipcw` weights by G(T) and drops T = tau where survival::concordance uses G(T-) and
T <= tau. Two indices of the same subjects are compared by the paired bootstrap, and by R's test with the joint
infinitesimal jackknife.

With the subjects in the order of time, a concordant pair is an inversion: the event comes first and has the higher
risk. Inversions are counted bit by bit of the risk's rank, in O(n log n), all resamples of a bootstrap at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from radsupport.checks import FloatArray, IntArray, as_finite
from radsupport.errors import InputError, NotEstimableError
from radsupport.stats.bootstrap import bootstrap, percentile_limits
from radsupport.stats.regression import check_choice, check_level
from radsupport.stats.survival_curves import at_times, censoring_before, steps, survival_times

_FEW = 512  # subjects up to which a matrix of all pairs is faster, and as exact


@dataclass(frozen=True)
class Concordance:
    """A concordance index with its infinitesimal-jackknife standard error.

    Attributes
    ----------
    concordance : float
        (concordant + tied / 2) / (concordant + discordant + tied) pairs, weighted as asked.
    se, ci_low, ci_high : float
        Wald limits, cut to [0, 1].
    n, n_events : int
        Subjects, and events up to the truncation time.
    """

    concordance: float
    se: float
    ci_low: float
    ci_high: float
    n: int
    n_events: int


def concordance(
    time: Any,
    event: Any,
    risk: Any,
    *,
    tau: float | None = None,
    weight: str = "n",
    level: float = 0.95,
    strata: Any = None,
) -> Concordance:
    """Harrell's concordance index, or a weighted variant, as survival::concordance.

    Parameters
    ----------
    time, event : array-like, shape (n,)
    risk : array-like, shape (n,)
        A higher risk means a worse outcome (R: ``reverse=TRUE``).
    tau : float, optional
        Only events with T <= tau count (R: ``ymax``).
    weight : {"n", "n/G2"}
        Of a pair whose event is at t: 1 (Harrell), or 1/G(t-)^2 (Uno), G being the Kaplan–Meier estimate of the
        censoring time with events before censorings at ties.
    level : float
    strata : array-like, shape (n,), optional
        Only pairs of the same stratum count, such as patients of one center (R: ``+ strata(center)``). For a label,
        ``time = 2 - y`` and ``event = y`` give the area under the curve of pairs within strata.

    Returns
    -------
    Concordance
        A risk that is equal for all gives 0.5 with se 0.

    Raises
    ------
    InputError
    NotEstimableError
        No comparable pair: all censored, n = 1, or all events at the last time.

    References
    ----------
    Harrell et al. 1996; Uno et al. 2011. SE: infinitesimal jackknife with the weights held fixed (Therneau & Atkinson,
    vignette "concordance" of survival 3.5).
    """
    pairs = Pairs.of(time, event, tau, weight, strata)
    c, residuals = jackknife(pairs, as_finite(risk, "risk", pairs.n))
    se = float(np.sqrt((residuals**2).sum()))
    width = float(stats.norm.ppf(0.5 + check_level(level) / 2)) * se
    return Concordance(c, se, max(c - width, 0.0), min(c + width, 1.0), pairs.n, int(pairs.event.sum()))


@dataclass(frozen=True, eq=False)
class Pairs:
    """Comparable pairs: each event with everyone of its stratum who outlives it, and the weight of its pairs."""

    time: FloatArray
    event: IntArray
    weight: FloatArray  # of each subject's event; 0 for censored subjects
    stratum: IntArray  # only subjects of the same one are compared

    @property
    def n(self) -> int:
        """Number of subjects."""
        return int(self.time.size)

    @classmethod
    def of(cls, time: Any, event: Any, tau: float | None, weight: str, strata: Any = None) -> Pairs:
        """Check the outcome and weight its pairs; arguments as `concordance`."""
        check_choice(weight, "weight", ("n", "n/G2"))
        times, events = survival_times(time, event)
        weights = np.ones(times.size)
        if weight == "n/G2":
            left = censoring_before(times, events, times)
            weights = np.divide(1.0, left**2, out=np.zeros_like(left), where=left > 0)
        if tau is not None:
            if not tau > 0:
                raise InputError(f"`tau` must be a positive time, it is {tau}.")
            events = np.where(times > tau, 0, events)
            times = np.minimum(times, tau)
        stratum = np.zeros(times.size, dtype=np.int64) if strata is None else pd.factorize(np.asarray(strata))[0]
        if stratum.shape != times.shape or (stratum < 0).any():
            raise InputError(f"`strata` needs a value for each of the {times.size} subjects.")
        return cls(times, events, weights * events, stratum.astype(np.int64))

    def sums(self, own: FloatArray, risk: FloatArray | None = None) -> tuple[FloatArray, FloatArray]:
        """Sum over pairs by subject: how many outlive each event, and what the events that each outlives count for.

        Parameters
        ----------
        own : array, shape (..., n)
            What a subject's event counts for; 0 for censored subjects.
        risk : array, shape (n,), optional
            Only pairs in which the event has the higher risk, and half of those with equal risks.

        Returns
        -------
        array, shape (n,), and array of the shape of `own`
            The first has no meaning for censored subjects.
        """
        if self.n <= _FEW:
            events, matrix = self._matrix(risk)
            later = np.zeros(self.n)
            later[events] = matrix.sum(axis=1)
            return later, own[..., events] @ matrix
        own = np.ascontiguousarray(own.T)  # by rows: running sums of all resamples at once
        if risk is None:
            later, earlier = self._among(self.stratum, own)
            return later, earlier.T
        # Pairs to be left out are made no inversions: tied events stand by rising risk, strata one after the other.
        order = np.lexsort((risk, 1 - self.event, self.time, self.stratum))
        rank = _inverse(np.lexsort((np.arange(self.n), risk[order], self.stratum[order])))
        place = _inverse(order)
        later, earlier = (found[place] for found in inversions(rank, own[order]))
        equal = _numbers(self.stratum, risk)
        if equal.max() < self.n - 1:
            half = self._among(equal, own)
            later, earlier = later + half[0] / 2, earlier + half[1] / 2
        return later, earlier.T

    def _matrix(self, risk: FloatArray | None) -> tuple[IntArray, FloatArray]:
        """Event subjects, and what each has to do with everybody: 1 where compared (and concordant, where asked)."""
        events = np.flatnonzero(self.event)
        time, stratum = self.time[events, None], self.stratum[events, None]
        pairs = (time < self.time) | ((time == self.time) & (self.event == 0))
        pairs &= stratum == self.stratum
        if risk is None:
            return events, pairs.astype(float)
        return events, pairs * ((risk[events, None] > risk) + 0.5 * (risk[events, None] == risk))

    def _among(self, strata: IntArray, own: FloatArray) -> tuple[FloatArray, FloatArray]:
        """As `sums` over all pairs within strata, with `own` by rows."""
        order = np.lexsort((1 - self.event, self.time, strata))
        first, last = _runs(strata[order], self.time[order], self.event[order])
        begin, end = _runs(strata[order])
        before, place = _sums_before(own[order]), _inverse(order)
        return (end - last)[place].astype(float), (before[first] - before[begin])[place]


def _runs(*keys: Any) -> tuple[IntArray, IntArray]:
    """Where the run of equal keys that each row belongs to starts and stops; the rows are sorted."""
    new = np.concatenate([[True], np.any([key[1:] != key[:-1] for key in keys], axis=0)])
    starts = np.flatnonzero(new)
    run = np.cumsum(new) - 1
    return starts[run], np.append(starts[1:], new.size)[run]


def _numbers(*keys: Any) -> IntArray:
    """Number, from 0, of each distinct combination of keys."""
    order = np.lexsort(keys)
    first, _ = _runs(*(key[order] for key in keys))
    return (np.cumsum(first == np.arange(first.size)) - 1)[_inverse(order)]


def _sums_before(values: FloatArray) -> FloatArray:
    """Sum of the rows before each, and of all, shape (n + 1, ...)."""
    total = np.zeros((len(values) + 1, *values.shape[1:]))
    np.cumsum(values, axis=0, out=total[1:])
    return total


def _inverse(order: IntArray) -> IntArray:
    place = np.empty_like(order)
    place[order] = np.arange(order.size)
    return place


def inversions(rank: IntArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """For each row, how many later rows have a lower rank, and the sum of `values` of earlier rows with a higher one.

    Two ranks differ first in one bit, where the higher has 1: from the highest bit on, rows are divided by their bits,
    each part in its order, and what is within parts is a difference of running sums.

    Parameters
    ----------
    rank : int array, shape (n,)
        A permutation of 0 … n - 1.
    values : array, shape (n,) or (n, b)
    """
    n = rank.size
    count, total, place, rows = np.zeros(n), np.zeros(values.shape), np.arange(n), np.arange(n)
    for bit in reversed(range((n - 1).bit_length())):
        own = rank[place]
        one, start = (own >> bit) & 1 == 1, own >> (bit + 1) << (bit + 1)
        zero = ~one
        ones = np.cumsum(one) - one
        ones -= ones[start]  # in the row's part, before it
        before = _sums_before(np.where(one.reshape(-1, *[1] * (values.ndim - 1)), values[place], 0.0))
        total[place[zero]] += before[:-1][zero] - before[start[zero]]
        count[place[one]] += (start + (1 << bit) - rows + ones)[one]
        place = place[_inverse(np.where(one, start + (1 << bit) + ones, rows - ones))]
    return count, total


def harrell(time: FloatArray, event: IntArray, risk: FloatArray) -> float:
    """Harrell's index alone, of what was checked before; NaN without a comparable pair."""
    own = event.astype(float)
    pairs = Pairs(time, event, own, np.zeros(time.size, dtype=np.int64))
    total = pairs.sums(own)[1].sum()
    return float(pairs.sums(own, risk)[1].sum() / total) if total else float("nan")


def jackknife(pairs: Pairs, risk: FloatArray) -> tuple[float, FloatArray]:
    """Concordance and its infinitesimal-jackknife residual of each subject."""
    own = pairs.weight
    later, earlier = pairs.sums(own)
    total = own * later + earlier
    if not total.any():
        raise NotEstimableError(
            f"No pair of the {pairs.n} subjects is comparable: nobody outlives anybody's event"
            " (all censored, or all events at the last time, or none before tau)."
        )
    later, earlier = pairs.sums(own, risk)
    good = own * later + earlier
    c = float(good.sum() / total.sum())
    return c, (good - c * total) / (total.sum() / 2)


@dataclass(frozen=True)
class ConcordanceDifference:
    """Comparison of two concordance indices.

    Attributes
    ----------
    concordance_a, concordance_b, difference : float
        Difference is a - b.
    se, z, p : float
        Of the difference, by the joint infinitesimal jackknife (R: ``concordance(fit_a, fit_b)`` and its vcov).
    ci_low, ci_high : float
        Percentile limits of the difference, from the paired bootstrap.
    used : int
        Resamples in which both exist: one without an event has no comparable pair.
    """

    concordance_a: float
    concordance_b: float
    difference: float
    se: float
    z: float
    p: float
    ci_low: float
    ci_high: float
    used: int


def concordance_difference(
    time: Any,
    event: Any,
    risk_a: Any,
    risk_b: Any,
    *,
    tau: float | None = None,
    weight: str = "n",
    n_resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> ConcordanceDifference:
    """Compare the concordance of two risks of the same subjects.

    Parameters
    ----------
    time, event, risk_a, risk_b : array-like, shape (n,)
    tau, weight
        As `radsupport.stats.concordance.concordance`; weight "n" (Harrell) or "n/G2" (Uno, G estimated anew in each
        resample).
    n_resamples, seed : int
        Subjects are drawn with replacement, both risks with the same draws.
    level : float

    Returns
    -------
    ConcordanceDifference
        Equal risks give difference 0 with se 0 and z, p NaN.

    Raises
    ------
    InputError, NotEstimableError
        As `concordance`.
    """
    check_level(level)
    pairs = Pairs.of(time, event, tau, weight)
    risks = {"a": as_finite(risk_a, "risk_a", pairs.n), "b": as_finite(risk_b, "risk_b", pairs.n)}
    (c_a, if_a), (c_b, if_b) = (jackknife(pairs, risk) for risk in risks.values())
    se = float(np.sqrt(((if_a - if_b) ** 2).sum()))
    z = (c_a - c_b) / se if se > 0 else float("nan")
    drawn = bootstrap_concordance(time, event, risks, tau=tau, weight=weight, n_resamples=n_resamples, seed=seed)
    apart = (drawn["a"] - drawn["b"]).to_numpy()
    low, high = percentile_limits(apart[:, None], level, "a concordance index")
    p, used = float(2 * stats.norm.sf(abs(z))), int(np.isfinite(apart).sum())
    return ConcordanceDifference(c_a, c_b, c_a - c_b, se, z, p, float(low[0]), float(high[0]), used)


def bootstrap_concordance(
    time: Any,
    event: Any,
    risks: Mapping[str, Any],
    *,
    tau: float | None = None,
    weight: str = "n",
    n_resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Concordance of each risk in each bootstrap resample, the same resamples for all risks.

    Parameters
    ----------
    time, event : array-like, shape (n,)
    risks : mapping of name to array-like, shape (n,)
    tau, weight, n_resamples, seed
        As `concordance_difference`.

    Returns
    -------
    DataFrame
        One row per resample, one column per risk; NaN where a resample has no comparable pair.
    """
    check_choice(weight, "weight", ("n", "n/G2"))
    if not risks:
        raise InputError("`risks` is empty; give at least one named risk.")
    pairs = Pairs.of(time, event, tau, "n")
    times, events = survival_times(time, event)
    scores = [as_finite(risk, name, pairs.n) for name, risk in risks.items()]

    def statistic(counts: FloatArray) -> FloatArray:
        own = counts * pairs.event
        if weight == "n/G2":
            found = steps(times, events, counts)
            left = at_times(found.time, found.censoring_survival, times, before=True)
            own = np.divide(own, left**2, out=np.zeros_like(counts), where=(own > 0) & (left > 0))
        total = (pairs.sums(own)[1] * counts).sum(axis=1)
        good = np.column_stack([(pairs.sums(own, score)[1] * counts).sum(axis=1) for score in scores])
        return np.divide(good, total[:, None], out=np.full_like(good, np.nan), where=total[:, None] > 0)

    return pd.DataFrame(bootstrap(statistic, pairs.n, n_resamples, seed), columns=list(risks))
