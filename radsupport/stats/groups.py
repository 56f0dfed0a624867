"""Tests between groups: many features at once, tables of counts, Wilcoxon's signed-rank test.

scipy does the arithmetic, vectorised over features; what differs from R is only which variant scipy takes by default,
so every variant is named here. Its chi-square and its 2 x 2 Fisher test equal R's; for larger tables scipy's
`fisher_exact` draws random tables, so its p-value has a floor and changes with the seed, and the exact sum is own code.
Of the signed-rank test scipy gives the P alone; here it has the estimate of Hodges and Lehmann, the median of the Walsh
averages (the means of all pairs of differences, each difference with itself too), and the interval of the shifts that
the test does not reject, so that it excludes 0 where P < 0.05.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import floor, inf
from typing import Any

import numpy as np
import pandas as pd
from scipy import special, stats
from scipy.stats import norm, wilcoxon

from radsupport.checks import FloatArray, IntArray, as_binary, as_finite, as_level, columns_by_pattern
from radsupport.errors import InputError, NotEstimableError
from radsupport.wording import counted, listed

RULES = ("t", "mann_whitney", "shapiro")

# R's wilcox.test is exact below this size of both groups, if no value is tied.
_EXACT_BELOW = 50
# Royston's approximation of the Shapiro-Wilk p-value holds up to here; R refuses more.
_SHAPIRO_MOST = 5000

_Groups = tuple[FloatArray, FloatArray]
_Test = Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]


def _has_ties(values: FloatArray) -> Any:
    """Whether any value occurs twice, per column."""
    return (np.diff(np.sort(values, axis=0), axis=0) == 0).any(axis=0)


def mann_whitney(a: Any, b: Any, exact: bool | None = None, continuity: bool = True) -> tuple[float, float]:
    """Mann-Whitney U test of two samples, two-sided.

    Parameters
    ----------
    a, b : array-like
        Finite values.
    exact : bool, optional
        Exact p-value; default as R's wilcox.test: if both samples have fewer than 50 values and none is tied.
        (scipy's own default is exact only if one sample has at most 8.)
    continuity : bool
        Continuity correction of the normal approximation, on as in R.

    Returns
    -------
    u, p : float
        U of `a` (R's W); p with the tie correction where it is not exact.

    Raises
    ------
    InputError, NotEstimableError
        NaN; exact p asked for with ties; all values equal.
    """
    first, second = as_finite(a, "a"), as_finite(b, "b")
    pooled = np.concatenate([first, second])
    if np.ptp(pooled) == 0:
        raise NotEstimableError(f"All {pooled.size} values equal {pooled[0]:g}; there is nothing to rank.")
    tied = bool(_has_ties(pooled))
    if exact and tied:
        raise InputError("An exact Mann-Whitney p-value does not exist with tied values; leave `exact` out.")
    small = max(first.size, second.size) < _EXACT_BELOW
    use_exact = (small and not tied) if exact is None else exact
    found = stats.mannwhitneyu(first, second, method="exact" if use_exact else "asymptotic", use_continuity=continuity)
    return float(found.statistic), float(found.pvalue)


def normality_p(values: Any) -> float:
    """p-value of the hypothesis that a sample is normal.

    Parameters
    ----------
    values : array-like, shape (n,)
        At least three finite values that are not all equal.

    Returns
    -------
    float
        Shapiro-Wilk (Royston 1995), as R's shapiro.test; D'Agostino-Pearson's K2 above 5000 values, where the
        former is not defined.

    Raises
    ------
    InputError, NotEstimableError
    """
    sample = as_finite(values, "values")
    if sample.size < 3 or np.ptp(sample) == 0:
        raise NotEstimableError(
            f"Normality can not be tested on {counted(sample.size, 'value')}, {np.unique(sample).size} of them "
            "distinct; at least three values that are not all equal are needed."
        )
    test = stats.shapiro if sample.size <= _SHAPIRO_MOST else stats.normaltest
    return float(test(sample).pvalue)


def _welch(a: FloatArray, b: FloatArray) -> tuple[FloatArray, FloatArray]:
    """t and p per column, NaN where the groups are constant (to rounding, by R's rule) or have one member."""
    if min(len(a), len(b)) < 2:
        return np.full(a.shape[1], np.nan), np.full(a.shape[1], np.nan)
    means, deviations = [x.mean(axis=0) for x in (a, b)], [x.std(axis=0, ddof=1) for x in (a, b)]
    error = np.hypot(deviations[0] / np.sqrt(len(a)), deviations[1] / np.sqrt(len(b)))
    constant = error <= 10 * np.finfo(float).eps * np.maximum(*np.abs(means))
    # A stand-in that varies keeps scipy from dividing by zero; its result is not used.
    spread = np.where(constant, 1.0, deviations[0])
    found = stats.ttest_ind_from_stats(means[0], spread, len(a), means[1], deviations[1], len(b), equal_var=False)
    return np.where(constant, np.nan, found.statistic), np.where(constant, np.nan, found.pvalue)


def _mann_whitney(a: FloatArray, b: FloatArray) -> tuple[FloatArray, FloatArray]:
    """U of the first group and p per column, by R's choice of the exact or the approximate p; NaN where constant."""
    pooled = np.concatenate([a, b]).T
    order = np.argsort(pooled, axis=1)
    ordered = np.take_along_axis(pooled, order, axis=1)
    tied, constant = (np.diff(ordered, axis=1) == 0).any(axis=1), ordered[:, 0] == ordered[:, -1]
    statistic, p = np.full(a.shape[1], np.nan), np.full(a.shape[1], np.nan)
    ranked = tied & ~constant
    if ranked.any():
        found = stats.mannwhitneyu(a[:, ranked], b[:, ranked], axis=0, method="asymptotic")
        statistic[ranked], p[ranked] = found.statistic, found.pvalue
    # Without ties the ranks are known from the one sorting: scipy would sort again.
    plain, n = ~tied & ~constant, len(a) + len(b)
    u = (order[plain] < len(a)) @ np.arange(1.0, n + 1) - len(a) * (len(a) + 1) / 2
    if max(len(a), len(b)) < _EXACT_BELOW:
        p[plain] = _exact_of_each_u(len(a), len(b))[u.astype(np.int64)]
    else:
        away = np.abs(u - len(a) * len(b) / 2) - 0.5
        p[plain] = np.minimum(2 * stats.norm.sf(away / np.sqrt(len(a) * len(b) * (n + 1) / 12)), 1.0)
    statistic[plain] = u
    return statistic, p


@cache
def _exact_of_each_u(n: int, m: int) -> FloatArray:
    """Exact p of each U from 0 to n m, from samples that have it: whole ones above, one between, the rest below."""
    above, between = np.divmod(np.arange(n * m + 1), m)
    member = np.arange(n)[:, None]
    a = np.where(member < above, m + 1.0 + member, np.where(member == above, between - 0.5, -1.0 - member))
    b = np.broadcast_to(np.arange(m, dtype=float)[:, None], (m, n * m + 1))
    return np.asarray(stats.mannwhitneyu(a, b, axis=0, method="exact").pvalue, dtype=float)


def _normal(values: FloatArray, alpha: float) -> Any:
    """Whether normality is not rejected, per column; no for fewer than three values or a constant."""
    normal = np.zeros(values.shape[1], dtype=bool)
    varied = np.ptp(values, axis=0) > 0
    if len(values) >= 3 and varied.any():
        test = stats.shapiro if len(values) <= _SHAPIRO_MOST else stats.normaltest
        normal[varied] = test(values[:, varied], axis=0).pvalue > alpha
    return normal


def _choose(a: FloatArray, b: FloatArray, rule: str, alpha: float, normal: Any) -> pd.DataFrame:
    """Test, statistic and p for columns without missing values."""
    use_t = np.full(a.shape[1], rule == "t") if normal is None else normal
    if rule == "shapiro" and normal is None:
        use_t = _normal(a, alpha) & _normal(b, alpha)
    statistic, p = np.full(a.shape[1], np.nan), np.full(a.shape[1], np.nan)
    parts: tuple[tuple[Any, _Test], ...] = ((use_t, _welch), (~use_t, _mann_whitney))
    for columns, test in parts:
        if columns.any():
            statistic[columns], p[columns] = test(a[:, columns], b[:, columns])
    return pd.DataFrame({"test": np.where(use_t, "welch_t", "mann_whitney"), "statistic": statistic, "p": p})


def _as_features(X: Any, n: int) -> tuple[FloatArray, pd.Index]:
    frame = X if isinstance(X, pd.DataFrame) else pd.DataFrame(np.asarray(X))
    text = frame.select_dtypes(exclude=["number", "bool"]).columns
    if len(text):
        raise InputError(f"Columns of `X` that are not numeric: {listed(list(text), 5)}; drop or encode them.")
    if frame.empty or len(frame) != n:
        raise InputError(
            f"`X` has {counted(frame.shape[1], 'column')} and {counted(len(frame), 'row')} where `y` has {n}."
        )
    return frame.to_numpy(dtype=float), frame.columns


def feature_tests(X: Any, y: Any, rule: str = "shapiro", alpha: float = 0.05, normal: Any = None) -> pd.DataFrame:
    """Compare each feature between the two outcome groups, all features at once.

    Parameters
    ----------
    X : DataFrame or array, shape (subjects, features)
    y : array-like of 0/1, shape (subjects,)
    rule : {"t", "mann_whitney", "shapiro"}
        Welch's t test; Mann-Whitney; or Welch's t where Shapiro-Wilk rejects normality in neither group, else
        Mann-Whitney.
    alpha : float
        Level of the normality test.
    normal : bool array, shape (features,), optional
        Which features are normal in both groups, where that is known already.

    Returns
    -------
    DataFrame
        `feature, test, statistic, p, n`. The statistic compares group 0 with group 1 (t, or U of group 0). Subjects
        with a missing or infinite value are left out for that feature; p is NaN for a feature that does not vary, or
        (t test) with fewer than two subjects in a group.

    Raises
    ------
    InputError, NotEstimableError
        Unknown rule, columns that are not numeric, unequal lengths; only one class.
    """
    if rule not in RULES:
        raise InputError(f"`rule` is {rule!r}; expected one of {', '.join(RULES)}.")
    labels = as_binary(y)
    values, names = _as_features(X, labels.size)
    known = np.isfinite(values)
    parts = [
        _tested(
            values[:, columns], labels, subjects, rule, alpha, normal if normal is None else normal[columns]
        ).set_index(columns)
        for subjects, columns in columns_by_pattern(known)
    ]
    table = parts[0] if len(parts) == 1 else pd.concat(parts).sort_index()
    table.insert(0, "feature", names)
    table["n"] = known.sum(axis=0)
    return table


def _tested(values: FloatArray, labels: IntArray, subjects: Any, rule: str, alpha: float, normal: Any) -> pd.DataFrame:
    a, b = values[subjects & (labels == 0)], values[subjects & (labels == 1)]
    if min(len(a), len(b)) == 0:
        return pd.DataFrame({"test": "none", "statistic": np.nan, "p": np.nan}, index=range(values.shape[1]))
    return _choose(a, b, rule, alpha, normal)


#: Fewest differences of a paired test.
FEWEST = 3
#: Fewest differences from which the normal approximation is used even without ties, as in R's wilcox.test.
MANY = 50
EXACT, APPROXIMATE = "exact", "normal approximation"


@dataclass(frozen=True)
class SignedRank:
    """Estimate (Hodges-Lehmann), its confidence limits, P of the two-sided test, and how both were computed.

    The limits are infinite where no shift, however large, would be rejected: at 95% with fewer than six differences.
    """

    estimate: float
    ci_low: float
    ci_high: float
    p: float
    method: str


def signed_rank(differences: FloatArray, level: float = 0.95) -> SignedRank:
    """Test whether paired differences are centred on 0.

    Parameters
    ----------
    differences : array, shape (n,)
        First minus second, one per patient.
    level : float
        Confidence level.

    Returns
    -------
    SignedRank
        From the exact distribution with fewer than 50 differences without ties and zeros, else from the normal
        approximation with continuity correction; differences of 0 are left out then. If all are 0, the estimate and
        both limits are 0 and P is 1.

    Raises
    ------
    InputError
        Values that are missing or infinite.
    NotEstimableError
        Fewer than three differences.

    Notes
    -----
    Hollander, Wolfe & Chicken 2014, Nonparametric Statistical Methods, 3rd ed., sections 3.1 to 3.3. The choice of the
    distribution, the zeros and the correction are those of wilcox.test in R. The limits of the approximation are Walsh
    averages; R looks for them numerically and agrees to its tolerance. The test takes the differences to be symmetric
    about their centre.
    """
    given = np.asarray(differences, dtype=float)
    if not np.isfinite(given).all():
        raise InputError(f"{int((~np.isfinite(given)).sum())} differences are missing or infinite; leave them out.")
    if len(given) < FEWEST:
        raise NotEstimableError(f"{len(given)} patients are too few for a paired test; {FEWEST} are needed.")
    x = given[given != 0]
    if not len(x):
        return SignedRank(0.0, 0.0, 0.0, 1.0, EXACT)
    exact = len(given) < MANY and len(x) == len(given) and len(np.unique(np.abs(x))) == len(x)
    walsh = walsh_averages(x)
    tail = (1 - as_level(level)) / 2
    place = _exact_place(len(x), tail) if exact else _approximate_place(x, tail)
    low, high = (walsh[place - 1], walsh[-place]) if place else (-inf, inf)
    return SignedRank(float(np.median(walsh)), float(low), float(high), _p(x, exact), EXACT if exact else APPROXIMATE)


def walsh_averages(x: FloatArray) -> FloatArray:
    """Return the means of all pairs of values, each with itself too, in ascending order: n (n + 1) / 2 of them."""
    first, second = np.triu_indices(len(x))
    return np.sort((x[first] + x[second]) / 2)


def rank_sum_counts(n: int) -> FloatArray:
    """Return of how many of the 2 ** n sign patterns the positive ranks 1 to n add to 0, 1, … n (n + 1) / 2."""
    counts = np.zeros(n * (n + 1) // 2 + 1)
    counts[0] = 1
    for rank in range(1, n + 1):
        counts[rank:] += counts[:-rank].copy()
    return counts


def _exact_place(n: int, tail: float) -> int:
    """Return which Walsh average from either end is the limit; 0 where there is none."""
    at_most = np.cumsum(rank_sum_counts(n)) / 2.0**n
    return int(np.searchsorted(at_most, tail, side="right"))


def _approximate_place(x: FloatArray, tail: float) -> int:
    """As `_exact_place`, by the normal approximation with correction for continuity and for equal differences."""
    n = len(x)
    ties = np.unique(x, return_counts=True)[1].astype(float)
    sd = np.sqrt(n * (n + 1) * (2 * n + 1) / 24 - (ties**3 - ties).sum() / 48)
    return max(0, floor(n * (n + 1) / 4 - 0.5 - float(norm.isf(tail)) * sd) + 1)


def _p(x: FloatArray, exact: bool) -> float:
    return min(1.0, float(wilcoxon(x, method="exact" if exact else "asymptotic", correction=not exact).pvalue))


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
