"""Bootstrap resamples as counts: intervals of the AUC, and the optimism of a model that can be refitted.

Counting how often each patient is drawn makes a statistic of all resamples a few matrix products (and an AUC a
cumulative sum: no resample is sorted), where scipy.stats.bootstrap calls the statistic on whole resamples. Optimism
(rms::validate): in every resample the model is refitted; its measure in the resample minus its measure in the original
data is the optimism, and the mean optimism is taken off the apparent value (Harrell, Regression Modeling Strategies,
2nd ed., section 5.3.5).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from radsupport.checks import FloatArray, IntArray, as_binary, as_finite
from radsupport.errors import InputError, NotEstimableError
from radsupport.stats.regression import check_choice, check_level
from radsupport.stats.roc import auc

Statistic = Callable[[FloatArray], FloatArray]

_BLOCK = 2_000_000  # subjects × resamples held at a time


def resample_counts(n: int, n_resamples: int, seed: int) -> Iterator[FloatArray]:
    """Yield blocks of how often each subject occurs, shape (resamples, n): draws with replacement, seeded."""
    if n_resamples < 2:
        raise InputError(f"`n_resamples` must be at least 2, it is {n_resamples}; 1000 is usual.")
    rng = np.random.default_rng(seed)
    size = max(1, _BLOCK // n)
    for start in range(0, n_resamples, size):
        rows = min(size, n_resamples - start)
        drawn = rng.integers(0, n, size=(rows, n)) + n * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(float)


def bootstrap(statistic: Statistic, n: int, n_resamples: int, seed: int) -> FloatArray:
    """Return the statistic of every resample, shape (n_resamples, k).

    Parameters
    ----------
    statistic : callable
        counts, shape (b, n) -> values, shape (b, k); NaN where a resample does not allow the statistic.
    n, n_resamples, seed : int
    """
    return np.concatenate([statistic(counts) for counts in resample_counts(n, n_resamples, seed)])


def percentile_limits(values: FloatArray, level: float, what: str) -> tuple[FloatArray, FloatArray]:
    """Percentile limits of each column; resamples without a value are left out.

    Raises
    ------
    NotEstimableError
        Less than half of the resamples have a value.
    """
    usable = np.isfinite(values).sum(axis=0)
    if (usable < len(values) / 2).any():
        raise NotEstimableError(
            f"Only {int(usable.min())} of {len(values)} bootstrap resamples allow {what}: too few subjects or events."
        )
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


INTERVALS = ("bootstrap", "influence", "none")


def limits(
    value: FloatArray, se: FloatArray, interval: str, level: float, draw: Callable[[], FloatArray], what: str
) -> tuple[FloatArray, FloatArray]:
    """Limits of values between 0 and 1 as `interval` asks: percentiles of what `draw` gives, Wald's, or none (NaN)."""
    check_choice(interval, "interval", INTERVALS)
    width = float(stats.norm.ppf(0.5 + check_level(level) / 2)) * se
    if interval == "bootstrap":
        return percentile_limits(draw(), level, what)
    if interval == "none":
        return np.full_like(value, np.nan), np.full_like(value, np.nan)
    return np.maximum(value - width, 0.0), np.minimum(value + width, 1.0)


@dataclass(frozen=True)
class Optimism:
    """A measure corrected for optimism.

    Attributes
    ----------
    apparent : float
        Measure of the model in the patients that it was fitted to.
    optimism : float
        Mean over resamples of (measure in the resample - measure in the original patients).
    corrected : float
        apparent - optimism.
    n_resamples : int
        Resamples in which the model could be refitted and measured.
    """

    apparent: float
    optimism: float
    corrected: float
    n_resamples: int


def optimism(
    table: pd.DataFrame,
    refit: Callable[[pd.DataFrame], Any],
    measure: Callable[[Any, pd.DataFrame], float],
    n_resamples: int = 200,
    seed: int = 0,
) -> Optimism:
    """Correct a measure of a model for optimism.

    Parameters
    ----------
    table : DataFrame
        Training rows, with the outcome and whatever the model needs.
    refit : callable
        ``refit(rows)`` returns a model fitted to these rows with every step (selection, scaling) that uses the outcome;
        it raises NotEstimableError for rows to which the model can not be fitted.
    measure : callable
        ``measure(model, rows)`` returns how good the model is in these rows, for instance its C-index.
    n_resamples, seed : int

    Returns
    -------
    Optimism

    Raises
    ------
    InputError
        `n_resamples` below 1.
    NotEstimableError
        The model can not be fitted to the table itself, or in less than half of the resamples.
    """
    if n_resamples < 1:
        raise InputError(f"`n_resamples` must be at least 1, it is {n_resamples}; 200 is usual.")
    apparent = float(measure(refit(table), table))
    rng, gains = np.random.default_rng(seed), []
    for _ in range(n_resamples):
        drawn = table.iloc[rng.integers(0, len(table), len(table))].reset_index(drop=True)
        try:
            model = refit(drawn)
            gains.append(float(measure(model, drawn)) - float(measure(model, table)))
        except (NotEstimableError, InputError):
            # A resample without some factor level, or that separates the outcome; it shows in `n_resamples`.
            continue
    if len(gains) < n_resamples / 2:
        raise NotEstimableError(f"The model could be refitted in only {len(gains)} of {n_resamples} resamples.")
    mean = float(np.mean(gains))
    return Optimism(apparent, mean, apparent - mean, len(gains))


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
