"""Test every feature against the label, all at once.

Shapiro-Wilk for all features at once.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.polynomial.polynomial import polyval
from scipy import stats
from scipy.stats import norm

from radsupport.checks import FloatArray, IntArray, as_binary
from radsupport.errors import InputError, NotEstimableError
from radsupport.learning.preparation import as_table
from radsupport.stats.groups import feature_tests

_FIRST = (0.0, 0.221157, -0.147981, -2.07119, 4.434685, -2.706056)
_SECOND = (0.0, 0.042981, -0.293762, -1.752461, 5.682633, -3.582633)
_FEW_GAMMA, _FEW_MEAN = (-2.273, 0.459), (0.544, -0.39978, 0.025054, -6.714e-4)
_FEW_LOG_SD = (1.3822, -0.77857, 0.062767, -0.0020322)
_MANY_MEAN, _MANY_LOG_SD = (-1.5861, -0.31082, -0.083751, 0.0038915), (-0.4803, -0.082676, 0.0030302)


def shapiro_p(values: FloatArray) -> FloatArray:
    """Return the p-value of the Shapiro-Wilk test of every column.

    Parameters
    ----------
    values : array, shape (n_subjects, n_features)
        3 to 5000 rows, nothing missing; columns that vary.

    Returns
    -------
    array, shape (n_features,)

    Raises
    ------
    NotEstimableError
        Fewer than 3 or more than 5000 rows, or a constant column.

    Notes
    -----
    Royston, Appl Stat 1995;44:547 (AS R94), as R's and scipy's `shapiro`; own code because scipy goes through the
    columns one by one in Python, which was a third of the time of a signature with a thousand features.
    """
    n = len(values)
    if not 3 <= n <= 5000 or (np.ptp(values, axis=0) == 0).any():
        raise NotEstimableError(f"Shapiro-Wilk needs 3 to 5000 values that vary in every column; there are {n} rows.")
    ordered = np.sort(values, axis=0)
    ordered = (ordered - ordered[n // 2]) / np.ptp(values, axis=0)
    weights = _weights(n)
    total = ((ordered - ordered.mean(axis=0)) ** 2).sum(axis=0)
    rest = np.clip(1.0 - (weights @ ordered) ** 2 / total, 0.0, 1.0)  # 1 - W
    return _p_three(rest) if n == 3 else _p_many(rest, n)


def _weights(n: int) -> FloatArray:
    """Return the weights of the ordered values; they are antisymmetric and their squares add up to 1."""
    if n == 3:
        return np.array([-np.sqrt(0.5), 0.0, np.sqrt(0.5)])
    m = norm.ppf((np.arange(1, n + 1) - 0.375) / (n + 0.25))
    squares, root = float(m @ m), 1 / np.sqrt(n)
    ends = [polyval(root, _FIRST) + m[-1] / np.sqrt(squares)]
    if n > 5:
        ends.append(polyval(root, _SECOND) + m[-2] / np.sqrt(squares))
    k = len(ends)
    outer, given = 2 * float(m[-k:] @ m[-k:]), 2 * float(np.square(ends).sum())
    weights = m / np.sqrt((squares - outer) / (1 - given))
    weights[-k:] = ends[::-1]
    weights[:k] = -np.array(ends)
    return weights


def _p_three(rest: FloatArray) -> FloatArray:
    return np.clip(6 / np.pi * (np.arcsin(np.sqrt(1 - rest)) - np.arcsin(np.sqrt(0.75))), 0.0, 1.0)


def _p_many(rest: FloatArray, n: int) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        y = np.log(rest)
        if n > 11:
            mean, sd = polyval(np.log(n), _MANY_MEAN), np.exp(polyval(np.log(n), _MANY_LOG_SD))
            return norm.sf(y, mean, sd)
        gamma = polyval(n, _FEW_GAMMA)
        mean, sd = polyval(n, _FEW_MEAN), np.exp(polyval(n, _FEW_LOG_SD))
        return np.where(y >= gamma, 1e-99, norm.sf(-np.log(gamma - y), mean, sd))


Rule = Literal["shapiro", "t", "mann_whitney"]
COLUMNS = ["feature", "test", "statistic", "p", "p_adjusted"]


def screen_features(
    X: pd.DataFrame, y: Any, rule: Rule = "shapiro", adjust: Literal["bh"] | None = None, normality_alpha: float = 0.05
) -> pd.DataFrame:
    """Compare every feature between the two classes.

    Parameters
    ----------
    X : DataFrame, subjects x features
        Numeric, nothing missing.
    y : array-like, shape (n_subjects,)
        0/1.
    rule : {"shapiro", "t", "mann_whitney"}
        ``shapiro``: Welch's t where Shapiro-Wilk has P > `normality_alpha` in both classes, else
        Mann-Whitney; or one test for all.
    adjust : {"bh"}, optional
        Benjamini-Hochberg over the features.
    normality_alpha : float
        Level of the Shapiro-Wilk test.

    Returns
    -------
    DataFrame, one row per feature in the order of `X`
        feature, test (welch_t / mann_whitney / constant), statistic (t, or U, of class 0), p (two-sided; 1
        for a constant feature) and p_adjusted (p itself without `adjust`).

    Raises
    ------
    InputError, NotEstimableError

    Notes
    -----
    Thin over `radsupport.stats.groups.feature_tests`, whose tests are R's; a feature that a t test can
    not judge (constant within both classes, but not the same) is judged by Mann-Whitney.
    """
    table, label = _checked(X, y)
    if rule not in get_args(Rule) or adjust not in (None, "bh"):
        raise InputError(f"Unknown rule {rule!r} or adjustment {adjust!r}; use {get_args(Rule)} and None or 'bh'.")
    found = _by_normality(table, label, normality_alpha) if rule == "shapiro" else feature_tests(table, label, rule)
    varies = np.ptp(table.to_numpy(float), axis=0) > 0
    again = found["p"].isna().to_numpy() & varies
    if again.any():
        ranked = feature_tests(table.loc[:, again], label, "mann_whitney").set_axis(found.index[again])
        found = pd.concat([found[~again], ranked]).sort_index()
    found["test"] = found["test"].where(varies, "constant")
    found["p"] = found["p"].where(varies, 1.0)
    p = found["p"].to_numpy(float)
    adjusted = stats.false_discovery_control(p, method="bh") if adjust == "bh" else p
    return found.assign(p_adjusted=adjusted)[COLUMNS]


def _by_normality(table: pd.DataFrame, label: IntArray, alpha: float) -> pd.DataFrame:
    """Return `feature_tests` by the rule "shapiro", normality being tested on all features at once."""
    values = table.to_numpy(float)
    groups = [values[label == k] for k in (0, 1)]
    if max(map(len, groups)) > 5000:
        return feature_tests(table, label, "shapiro", alpha)
    normal = np.ones(values.shape[1], dtype=bool)
    for group in groups:  # the second one only where the first is normal
        tested = np.flatnonzero(normal & (np.ptp(group, axis=0) > 0)) if len(group) >= 3 else np.empty(0, dtype=int)
        normal[:] = False
        if tested.size:
            normal[tested] = shapiro_p(group[:, tested]) > alpha
    parts = [
        feature_tests(table.loc[:, mask], label, rule).set_axis(np.flatnonzero(mask))
        for mask, rule in ((normal, "t"), (~normal, "mann_whitney"))
        if mask.any()
    ]
    return pd.concat(parts).sort_index()


def _checked(X: pd.DataFrame, y: Any) -> tuple[pd.DataFrame, IntArray]:
    table = as_table(X)
    label = as_binary(y, "y", len(table))
    text = table.columns[~table.dtypes.map(pd.api.types.is_numeric_dtype)]
    if len(text) or not len(table.columns):
        raise InputError(f"Features must be numeric and at least one; not numeric: {', '.join(map(str, text[:10]))}.")
    values = table.to_numpy(float)
    bad = table.columns[~np.isfinite(values).all(axis=0)]
    if len(bad):
        raise InputError(f"Features with missing or infinite values: {', '.join(map(str, bad[:10]))}; impute before.")
    return table, label
