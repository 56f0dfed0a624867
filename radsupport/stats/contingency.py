"""Tests of a contingency table: Pearson's chi-square and Fisher's exact test, also beyond 2 x 2.

scipy's chi-square and its 2 x 2 Fisher test equal R's. For larger tables scipy's `fisher_exact` draws random tables, so
its p-value has a floor and changes with the seed; the exact sum is own code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import special, stats

from radsupport.checks import FloatArray, IntArray
from radsupport.errors import InputError, NotEstimableError
from radsupport.wording import counted

# R counts tables as no more probable than the observed one up to this relative error.
_TOLERANCE = 1e-7
# Largest number of partial tables held at once: some seconds and 1 GB.
_MOST_PARTIAL_TABLES = 20_000_000


@dataclass(frozen=True)
class TableTest:
    """Result of a test of independence; `statistic` of Fisher's test is the conditional odds ratio (2 x 2 only)."""

    statistic: float
    df: float
    p: float


def cross_table(rows: pd.Series, columns: pd.Series) -> IntArray:
    """Counts of two complete categorical columns, without empty rows and columns.

    Levels follow the order of pandas categories where a column has them, and are sorted otherwise: an odds ratio is
    then that of the second level against the first, in the second column against the first.
    """
    row, column = (pd.Series(values).astype("category").cat.remove_unused_categories() for values in (rows, columns))
    counts = np.zeros((len(row.cat.categories), len(column.cat.categories)), dtype=np.int64)
    np.add.at(counts, (row.cat.codes.to_numpy(), column.cat.codes.to_numpy()), 1)
    return counts


def _as_counts(table: Any) -> IntArray:
    try:
        given = np.asarray(table, dtype=float)
    except (TypeError, ValueError) as error:
        raise InputError(f"The contingency table must hold counts: {error}") from error
    if given.ndim != 2 or not np.isfinite(given).all() or (given < 0).any() or (given % 1).any():
        raise InputError("The contingency table must be two-dimensional and hold whole, non-negative counts.")
    counts = given.astype(np.int64)
    counts = counts[counts.any(axis=1)][:, counts.any(axis=0)]
    if min(counts.shape) < 2:
        raise NotEstimableError(
            f"The contingency table has {counted(counts.shape[0], 'row')} and {counted(counts.shape[1], 'column')} "
            "that are not empty; "
            "independence needs at least two of each."
        )
    return counts


def expected_counts(table: Any) -> FloatArray:
    """Counts expected under independence, empty rows and columns left out."""
    return np.asarray(stats.contingency.expected_freq(_as_counts(table)), dtype=np.float64)


def chi_square(table: Any, yates: bool = False) -> TableTest:
    """Pearson's chi-square test of independence.

    Parameters
    ----------
    table : array-like of counts, shape (rows, columns)
        Empty rows and columns are dropped.
    yates : bool
        Continuity correction; for 2 x 2 tables only, as in R, where it is the default.

    Returns
    -------
    TableTest
        `statistic, df, p`, equal to chisq.test(correct=yates).

    Raises
    ------
    InputError, NotEstimableError
        Not counts; Yates' correction for a larger table; fewer than two rows or columns.
    """
    counts = _as_counts(table)
    if yates and counts.shape != (2, 2):
        raise InputError(f"Yates' correction is for 2 x 2 tables; this one is {counts.shape[0]} x {counts.shape[1]}.")
    found = stats.chi2_contingency(counts, correction=yates)
    return TableTest(float(found.statistic), float(found.dof), float(found.pvalue))


def fisher_exact(table: Any) -> TableTest:
    """Fisher's exact test, two-sided, of a table of any size.

    Parameters
    ----------
    table : array-like of counts, shape (rows, columns)
        Empty rows and columns are dropped.

    Returns
    -------
    TableTest
        `p`, and for a 2 x 2 table in `statistic` the conditional maximum likelihood odds ratio, as fisher.test
        (the sample odds ratio differs). `statistic` is NaN for larger tables, `df` always.

    Raises
    ------
    InputError
        Not counts.
    NotEstimableError
        Fewer than two rows or columns, or too many tables with these margins for an exact sum (R then fails, too).
    """
    counts = _as_counts(table)
    nan = float("nan")
    if counts.shape == (2, 2):
        odds_ratio = stats.contingency.odds_ratio(counts, kind="conditional").statistic
        return TableTest(float(odds_ratio), nan, float(stats.fisher_exact(counts).pvalue))
    return TableTest(nan, nan, _exact_p(counts))


def _exact_p(counts: IntArray) -> float:
    """Probability of all tables with these margins that are no more probable than the observed one.

    The columns are split into two halves. All ways to fill each half are listed; two of them make a table if the row
    sums they use add up. For every filling of one half the matching fillings of the other, sorted by probability, are
    summed up to the limit by a binary search, so that the product of the two lists is never formed.
    """
    if counts.shape[0] > counts.shape[1]:
        counts = counts.T
    rows, columns = counts.sum(axis=1), counts.sum(axis=0)
    constant = _log_factorial(rows).sum() + _log_factorial(columns).sum() - _log_factorial(counts.sum())
    limit = -_log_factorial(counts).sum() + np.log1p(_TOLERANCE)
    first, second = _halves(columns, rows)
    used_a, weight_a = _fillings(columns[first], rows)
    used_b, weight_b = _fillings(columns[second], rows)
    radix = np.concatenate([[1], np.cumprod(rows[:-2] + 1)])
    key_a, key_b = used_a @ radix, (rows[:-1] - used_b) @ radix
    order = np.lexsort((weight_a, key_a))
    key_a, weight_a = key_a[order], weight_a[order]
    order = np.argsort(key_b, kind="stable")
    key_b, weight_b = key_b[order], weight_b[order]
    keys, start_b = np.unique(key_b, return_index=True)
    stop_b = np.append(start_b[1:], key_b.size)
    start_a, stop_a = np.searchsorted(key_a, keys, side="left"), np.searchsorted(key_a, keys, side="right")
    total = 0.0
    for i in np.flatnonzero(stop_a > start_a):
        part_a, part_b = weight_a[start_a[i] : stop_a[i]], weight_b[start_b[i] : stop_b[i]]
        mass = np.concatenate([[0.0], np.cumsum(np.exp(part_a - part_a[-1]))])
        total += float(np.exp(constant + part_b + part_a[-1]) @ mass[np.searchsorted(part_a, limit - part_b, "right")])
    return min(total, 1.0)


def _log_factorial(values: Any) -> FloatArray:
    return np.asarray(special.gammaln(np.asarray(values, dtype=float) + 1))


def _halves(columns: IntArray, rows: IntArray) -> tuple[IntArray, IntArray]:
    """Split the columns so that the larger of the two lists of fillings is short."""
    ways = np.array([_count_fillings(int(total), rows) for total in columns])
    chosen: list[list[int]] = [[], []]
    size = [0.0, 0.0]
    for j in np.argsort(-ways, kind="stable"):
        half = int(size[1] < size[0])
        chosen[half].append(int(j))
        size[half] += np.log(ways[j])
    return np.array(chosen[0]), np.array(chosen[1])


def _count_fillings(total: int, rows: IntArray) -> float:
    """Number of ways to fill one column, by convolution over the rows."""
    ways = np.ones(1)
    for most in rows:
        ways = np.convolve(ways, np.ones(min(int(most), total) + 1))[: total + 1]
    return float(ways[total])


def _fillings(columns: IntArray, rows: IntArray) -> tuple[IntArray, FloatArray]:
    """All ways to fill some columns: row sums used (last row left out, it follows) and -sum(log n!)."""
    used, weight, total = np.zeros((1, rows.size - 1), dtype=np.int64), np.zeros(1), 0
    for column in columns:
        cells = _fill_column(int(column), rows)
        _refuse(len(used) * len(cells))
        total += int(column)
        sums = (used[:, None, :] + cells[None, :, :-1]).reshape(-1, rows.size - 1)
        possible = (sums <= rows[:-1]).all(axis=1) & (total - sums.sum(axis=1) <= rows[-1])
        used = sums[possible]
        weight = (weight[:, None] - _log_factorial(cells).sum(axis=1)).ravel()[possible]
    return used, weight


def _fill_column(total: int, rows: IntArray) -> IntArray:
    """All ways to fill one column with `total` subjects, at most `rows` in each cell."""
    cells = np.zeros((1, 0), dtype=np.int64)
    for most in rows[:-1]:
        _refuse(len(cells) * (min(int(most), total) + 1))
        value = np.arange(min(int(most), total) + 1)
        cells = np.column_stack([np.repeat(cells, value.size, axis=0), np.tile(value, len(cells))])
        cells = cells[cells.sum(axis=1) <= total]
    last = total - cells.sum(axis=1)
    return np.column_stack([cells, last])[last <= rows[-1]]


def _refuse(partial_tables: int) -> None:
    if partial_tables > _MOST_PARTIAL_TABLES:
        raise NotEstimableError(
            "Too many tables have these margins for Fisher's exact test; use the chi-square test, or merge rare levels."
        )
