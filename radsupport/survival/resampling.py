"""Bootstrap resamples as counts, so that a statistic of all resamples is a few matrix products."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from radsupport.checks import FloatArray
from radsupport.errors import InputError, NotEstimableError

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
