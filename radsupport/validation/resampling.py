"""Bootstrap interval of the AUC, all resamples at once.

Own code because scikit-learn has no bootstrap and scipy.stats.bootstrap calls the statistic on whole resamples:
counting how often each distinct score is drawn turns an AUC into a cumulative sum, so no resample is sorted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from radsupport.checks import FloatArray, IntArray, as_binary, as_finite
from radsupport.errors import InputError
from radsupport.validation.delong import auc

# Largest number of cells (resamples x distinct scores) held at once: about 100 MB of counts.
_CELLS = 4_000_000


@dataclass(frozen=True)
class BootstrapAUC:
    """AUC with a stratified percentile interval.

    `auc` is that of the data; pROC prints the median of the resamples in its place, here `median`.
    """

    auc: float
    ci_low: float
    ci_high: float
    se: float
    median: float
    n_resamples: int
    seed: int


def _drawn(place: IntArray, n_distinct: int, n_resamples: int, rng: np.random.Generator) -> IntArray:
    """How often each distinct score is drawn, shape (n_resamples, n_distinct)."""
    drawn = place[rng.integers(0, place.size, (n_resamples, place.size))]
    drawn += np.arange(n_resamples)[:, None] * n_distinct
    counts: IntArray = np.bincount(drawn.ravel(), minlength=n_resamples * n_distinct)
    return counts.reshape(n_resamples, n_distinct)


def resampled_aucs(y: Any, risk: Any, n_resamples: int, seed: int) -> FloatArray:
    """AUC of each resample, events and non-events drawn separately.

    Parameters
    ----------
    y : array-like of 0/1, shape (n,)
    risk : array-like, shape (n,)
    n_resamples : int
    seed : int

    Returns
    -------
    ndarray, shape (n_resamples,)
    """
    labels = as_binary(y)
    scores = as_finite(risk, "risk", labels.size)
    if n_resamples < 1:
        raise InputError(f"`n_resamples` must be at least 1, it is {n_resamples}; 2000 is usual.")
    distinct, place = np.unique(scores, return_inverse=True)
    events, others = place[labels == 1], place[labels == 0]
    rng = np.random.default_rng(seed)
    step = max(1, _CELLS // max(distinct.size, labels.size))
    parts = []
    for start in range(0, n_resamples, step):
        count = min(step, n_resamples - start)
        drawn_events = _drawn(events, distinct.size, count, rng)
        drawn_others = _drawn(others, distinct.size, count, rng)
        below = np.cumsum(drawn_others, axis=1) - 0.5 * drawn_others
        parts.append(np.einsum("ij,ij->i", drawn_events, below))
    return np.concatenate(parts) / (events.size * others.size)


def bootstrap_auc(y: Any, risk: Any, n_resamples: int = 2000, seed: int = 0, level: float = 0.95) -> BootstrapAUC:
    """AUC with a stratified bootstrap percentile interval.

    Parameters
    ----------
    y : array-like of 0/1, shape (n,)
    risk : array-like, shape (n,)
        Higher means a worse outcome.
    n_resamples : int
        Resamples; each draws the events and the non-events separately, with replacement.
    seed : int
        Of numpy's default generator; the same seed gives the same interval.
    level : float
        Confidence level.

    Returns
    -------
    BootstrapAUC
        `auc, ci_low, ci_high, se, median, n_resamples, seed`.

    Raises
    ------
    InputError, NotEstimableError
        NaN, unequal lengths, other labels than 0/1; only one class.

    Notes
    -----
    The scheme of pROC::ci.auc(method="bootstrap", boot.stratified=TRUE): quantiles of type 7. A perfect or a constant
    risk has no spread, and its interval is a point.
    """
    point = auc(y, risk, level)
    areas = resampled_aucs(y, risk, n_resamples, seed)
    low, middle, high = np.quantile(areas, [(1 - level) / 2, 0.5, (1 + level) / 2])
    se = float(areas.std(ddof=1)) if n_resamples > 1 else float("nan")
    return BootstrapAUC(point.auc, float(low), float(high), se, float(middle), n_resamples, seed)
