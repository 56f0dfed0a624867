"""Two-group tests of many features at once, and the rank and normality tests that R's defaults choose.

scipy does the arithmetic, vectorised over features; what differs from R is only which variant scipy takes by default,
so every variant is named here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from radsupport.checks import FloatArray, IntArray, as_binary, as_finite
from radsupport.errors import InputError, NotEstimableError
from radsupport.missing import columns_by_pattern
from radsupport.report.wording import counted, listed

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
    pooled = np.concatenate([a, b])
    constant, tied = np.ptp(pooled, axis=0) == 0, _has_ties(pooled)
    statistic, p = np.full(a.shape[1], np.nan), np.full(a.shape[1], np.nan)
    exact = ~tied & (max(len(a), len(b)) < _EXACT_BELOW)
    for columns, method in ((exact & ~constant, "exact"), (~exact & ~constant, "asymptotic")):
        if columns.any():
            found = stats.mannwhitneyu(a[:, columns], b[:, columns], axis=0, method=method)
            statistic[columns], p[columns] = found.statistic, found.pvalue
    return statistic, p


def _normal(values: FloatArray, alpha: float) -> Any:
    """Whether normality is not rejected, per column; no for fewer than three values or a constant."""
    normal = np.zeros(values.shape[1], dtype=bool)
    varied = np.ptp(values, axis=0) > 0
    if len(values) >= 3 and varied.any():
        test = stats.shapiro if len(values) <= _SHAPIRO_MOST else stats.normaltest
        normal[varied] = test(values[:, varied], axis=0).pvalue > alpha
    return normal


def _choose(a: FloatArray, b: FloatArray, rule: str, alpha: float) -> pd.DataFrame:
    """Test, statistic and p for columns without missing values."""
    use_t = np.full(a.shape[1], rule == "t")
    if rule == "shapiro":
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


def feature_tests(X: Any, y: Any, rule: str = "shapiro", alpha: float = 0.05) -> pd.DataFrame:
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
        _tested(values[:, columns], labels, subjects, rule, alpha).set_index(columns)
        for subjects, columns in columns_by_pattern(known)
    ]
    table = pd.concat(parts).sort_index()
    table.insert(0, "feature", names)
    table["n"] = known.sum(axis=0)
    return table


def _tested(values: FloatArray, labels: IntArray, subjects: Any, rule: str, alpha: float) -> pd.DataFrame:
    a, b = values[subjects & (labels == 0)], values[subjects & (labels == 1)]
    if min(len(a), len(b)) == 0:
        return pd.DataFrame({"test": "none", "statistic": np.nan, "p": np.nan}, index=range(values.shape[1]))
    return _choose(a, b, rule, alpha)


# The name is that of a statistical test; pytest is told below not to collect it where a test imports it.
def test_features(X: Any, y: Any, rule: str = "shapiro", alpha: float = 0.05) -> pd.Series:  # noqa: PT028
    """p-value of each feature; see `feature_tests`.

    Returns
    -------
    Series
        p, indexed by feature.
    """
    return feature_tests(X, y, rule, alpha).set_index("feature")["p"]


test_features.__test__ = False  # type: ignore[attr-defined]
