"""Cox's partial likelihood with Efron's or Breslow's ties: value, score, information and baseline hazard at once.

Own code: lifelines stops at a relative precision of 5e-7 and, like scikit-survival, has Breslow's baseline only.
Everything is a sum over *deaths*, one row each. With the subjects in ascending order of time, the risk set of a death
is a suffix; under Efron's method the k-th of d tied deaths (k = 0 … d-1) counts each of the d with the weight 1 - k/d
(Efron 1977; Therneau & Grambsch 2000, section 3.3), under Breslow's with 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from radsupport.checks import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class RiskSets:
    """Who is at risk at each death.

    Attributes
    ----------
    order : int array, shape (n,)
        Sorts the subjects by time; all other indices refer to this order.
    deaths : int array, shape (d,)
        Subjects who die, ascending.
    first : int array, shape (d,)
        First subject at risk at each death: those from there on are.
    fraction : float array, shape (d,)
        Share k/d of the tied deaths' weight that is left out (zero under Breslow).
    group : int array, shape (d,)
        Number of the distinct death time.
    times : float array
        Distinct death times.
    """

    order: IntArray
    deaths: IntArray
    first: IntArray
    fraction: FloatArray
    group: IntArray
    times: FloatArray

    @property
    def starts(self) -> IntArray:
        """For each distinct death time, its first row among the deaths."""
        return np.searchsorted(self.group, np.arange(self.times.size)).astype(np.int64)


def risk_sets(time: FloatArray, event: IntArray, ties: str) -> RiskSets:
    """Sort the subjects and find the risk set of every death; `ties` is "efron" or "breslow"."""
    order = np.lexsort((1 - event, time)).astype(np.int64)
    sorted_time, sorted_event = time[order], event[order]
    deaths = np.flatnonzero(sorted_event == 1).astype(np.int64)
    death_times = sorted_time[deaths]
    times, starts, group, counts = np.unique(death_times, return_index=True, return_inverse=True, return_counts=True)
    rank = np.arange(deaths.size) - starts[group]
    fraction = rank / counts[group] if ties == "efron" else np.zeros(deaths.size)
    first = np.searchsorted(sorted_time, death_times, side="left").astype(np.int64)
    return RiskSets(order, deaths, first, fraction.astype(float), group.astype(np.int64), times)


def suffix_sums(values: FloatArray) -> FloatArray:
    """Sum of each row and all rows after it."""
    return np.cumsum(values[::-1], axis=0)[::-1]


def at_deaths(sets: RiskSets, values: FloatArray) -> FloatArray:
    """Sum `values` (rows in sorted order) over the risk set of every death, with the ties' weights."""
    tied = np.add.reduceat(values[sets.deaths], sets.starts, axis=0)[sets.group]
    fraction = sets.fraction.reshape(-1, *[1] * (values.ndim - 1))
    return suffix_sums(values)[sets.first] - fraction * tied


def subject_weights(sets: RiskSets, per_death: FloatArray, n: int) -> FloatArray:
    """For each subject, the sum of `per_death` over the deaths it is at risk for, with the ties' weights."""
    added = np.zeros((n, *per_death.shape[1:]))
    np.add.at(added, sets.first, per_death)
    total = np.cumsum(added, axis=0)
    fraction = sets.fraction.reshape(-1, *[1] * (per_death.ndim - 1))
    total[sets.deaths] -= np.add.reduceat(fraction * per_death, sets.starts, axis=0)[sets.group]
    return total


def evaluate(sets: RiskSets, x: FloatArray, beta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
    """Return log partial likelihood, score and information; `x` (rows in sorted order) should be standardised."""
    eta = x @ beta
    shift = eta.max()
    risk = np.exp(eta - shift)
    total = at_deaths(sets, risk)
    if not (total > 0).all():
        return -np.inf, np.full(beta.size, np.nan), np.full((beta.size, beta.size), np.nan)
    mean = at_deaths(sets, risk[:, None] * x) / total[:, None]
    value = float((eta[sets.deaths] - shift - np.log(total)).sum())
    score = (x[sets.deaths] - mean).sum(axis=0)
    weights = risk * subject_weights(sets, 1.0 / total, x.shape[0])
    information = x.T @ (weights[:, None] * x) - mean.T @ mean
    return value, score, information


def hazard_increments(sets: RiskSets, eta: FloatArray) -> FloatArray:
    """Baseline hazard at each distinct death time for linear predictors `eta` (sorted order), shape (times,)."""
    shift = eta.max()
    total = at_deaths(sets, np.exp(eta - shift))
    return np.add.reduceat(np.exp(-shift) / total, sets.starts)


def firth_term(sets: RiskSets, x: FloatArray, beta: FloatArray, information: FloatArray) -> FloatArray:
    """Half the gradient of log det information: Firth's correction of the score (Heinze & Schemper 2001).

    Costs memory of subjects × deaths; meant for the small or separated samples that need it.
    """
    inverse = np.linalg.inv(information)
    risk = np.exp(x @ beta - (x @ beta).max())
    share = (np.arange(x.shape[0])[None, :] >= sets.first[:, None]) * risk[None, :]
    tied = np.zeros(x.shape[0], dtype=int) - 1
    tied[sets.deaths] = sets.group
    share = share * np.where(tied[None, :] == sets.group[:, None], 1.0 - sets.fraction[:, None], 1.0)
    share = share / share.sum(axis=1, keepdims=True)
    mean = share @ x
    length = np.einsum("ij,jk,ik->i", x, inverse, x)
    distance = length[None, :] - 2 * mean @ inverse @ x.T + np.einsum("ij,jk,ik->i", mean, inverse, mean)[:, None]
    weight = share * distance
    return 0.5 * (weight.sum(axis=0) @ x - weight.sum(axis=1) @ mean)
