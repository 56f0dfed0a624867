"""Concordance of a risk with survival: Harrell's C, Uno's C, their standard errors and paired comparisons.

A pair is comparable when the one with the shorter time had the event; of an event and a censoring at the same time, the
event counts as earlier. lifelines and scikit-survival give the same Harrell C, but no standard error, and
`sksurv.metrics.concordance_index_ipcw` weights by G(T) and drops T = tau where survival::concordance uses G(T-) and
T <= tau. Two indices of the same subjects are compared by the paired bootstrap, and by R's test with the joint
infinitesimal jackknife. A resample is a vector of counts c; with K the matrix of pairs, its numerator is the quadratic
form c'Kc, so that all resamples are one matrix product.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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

_BLOCK = 4_000_000  # pairs compared at a time


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
    """Comparable pairs: for each event (sorted by time), everyone later, and the weight of its pairs."""

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

    def blocks(self) -> Iterator[tuple[IntArray, FloatArray]]:
        """Yield event subjects and the matrix (events × subjects) that is their weight where comparable, else 0."""
        subjects = np.flatnonzero(self.event)
        size = max(1, _BLOCK // self.n)
        for start in range(0, subjects.size, size):
            rows = subjects[start : start + size]
            later = self.time[rows, None] < self.time[None, :]
            later |= (self.time[rows, None] == self.time[None, :]) & (self.event[None, :] == 0)
            later &= self.stratum[rows, None] == self.stratum[None, :]
            yield rows.astype(np.int64), later * self.weight[rows, None]


def _influence(pairs: Pairs, risk: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Per subject, the weight of its pairs that are concordant (ties half), and of all its pairs."""
    good, total = np.zeros(pairs.n), np.zeros(pairs.n)
    for rows, weight in pairs.blocks():
        share = weight * agreement(risk, rows)
        good[rows] += share.sum(axis=1)
        good += share.sum(axis=0)
        total[rows] += weight.sum(axis=1)
        total += weight.sum(axis=0)
    if not total.any():
        raise NotEstimableError(
            f"No pair of the {pairs.n} subjects is comparable: nobody outlives anybody's event"
            " (all censored, or all events at the last time, or none before tau)."
        )
    return good, total


def agreement(risk: FloatArray, rows: IntArray) -> FloatArray:
    """1 where the event subject (row) has the higher risk, 0.5 where the risks are equal."""
    own = risk[rows, None]
    return (own > risk[None, :]) + 0.5 * (own == risk[None, :])


def jackknife(pairs: Pairs, risk: FloatArray) -> tuple[float, FloatArray]:
    """Concordance and its infinitesimal-jackknife residual of each subject."""
    good, total = _influence(pairs, risk)
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
    """

    concordance_a: float
    concordance_b: float
    difference: float
    se: float
    z: float
    p: float
    ci_low: float
    ci_high: float


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
    low, high = percentile_limits((drawn["a"] - drawn["b"]).to_numpy()[:, None], level, "a concordance index")
    p = float(2 * stats.norm.sf(abs(z)))
    return ConcordanceDifference(c_a, c_b, c_a - c_b, se, z, p, float(low[0]), float(high[0]))


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
        own = counts
        if weight == "n/G2":
            found = steps(times, events, counts)
            left = at_times(found.time, found.censoring_survival, times, before=True)
            own = np.divide(counts, left**2, out=np.zeros_like(counts), where=(counts > 0) & (left > 0))
        total = np.zeros(len(counts))
        good = np.zeros((len(counts), len(scores)))
        for rows, comparable in pairs.blocks():
            total += ((own[:, rows] @ comparable) * counts).sum(axis=1)
            for k, score in enumerate(scores):
                good[:, k] += ((own[:, rows] @ (comparable * agreement(score, rows))) * counts).sum(axis=1)
        return np.divide(good, total[:, None], out=np.full_like(good, np.nan), where=total[:, None] > 0)

    return pd.DataFrame(bootstrap(statistic, pairs.n, n_resamples, seed), columns=list(risks))
