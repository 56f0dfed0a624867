"""Two concordance indices of the same subjects: paired bootstrap, and R's test by the joint infinitesimal jackknife.

A resample is a vector of counts c; with K the matrix of pairs, its numerator is the quadratic form c'Kc, so that all
resamples are one matrix product. No Python library compares concordance indices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from radsupport.checks import FloatArray, as_finite
from radsupport.errors import InputError
from radsupport.modelling.fitted import check_choice, check_level
from radsupport.survival.concordance import Pairs, agreement, jackknife
from radsupport.survival.product_limit import at_times, steps
from radsupport.survival.resampling import bootstrap, percentile_limits
from radsupport.survival.times import survival_times


@dataclass(frozen=True)
class ConcordanceDifference:
    """Comparison of two concordance indices.

    Attributes
    ----------
    concordance_a, concordance_b, difference : float
        Difference is a - b.
    se, z, p : float
        Of the difference, by the joint infinitesimal jackknife (R: ``concordance(fit_a, fit_b)`` and its vcov).
    ci_low, ci_high, p_bootstrap : float
        Percentile limits of the difference and twice the smaller share of resamples on one side of 0 (at least
        2 / (n_resamples + 1)), from the paired bootstrap.
    n_resamples : int
    """

    concordance_a: float
    concordance_b: float
    difference: float
    se: float
    z: float
    p: float
    ci_low: float
    ci_high: float
    p_bootstrap: float
    n_resamples: int


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
        As `radsupport.survival.concordance.concordance`; weight "n" (Harrell) or "n/G2" (Uno, G estimated anew in each
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
    differences = (drawn["a"] - drawn["b"]).to_numpy()
    low, high = percentile_limits(differences[:, None], level, "a concordance index")
    usable = differences[np.isfinite(differences)]
    tail = min(int((usable <= 0).sum()), int((usable >= 0).sum()))
    p_bootstrap = min(1.0, 2 * (tail + 1) / (usable.size + 1))
    p = float(2 * stats.norm.sf(abs(z)))
    return ConcordanceDifference(c_a, c_b, c_a - c_b, se, z, p, float(low[0]), float(high[0]), p_bootstrap, n_resamples)


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
