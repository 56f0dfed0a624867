"""Test every feature against the label, all at once."""

from __future__ import annotations

import warnings
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from scipy import stats

from radsupport.checks import FloatArray, as_binary
from radsupport.errors import InputError
from radsupport.modelling.preparation import as_table

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
        feature, test (welch_t / mann_whitney / constant), statistic (t, or U of class 1), p (two-sided; 1
        for a constant feature) and p_adjusted (p itself without `adjust`).

    Raises
    ------
    InputError, NotEstimableError

    Notes
    -----
    Mann-Whitney follows R's ``wilcox.test``: exact where both classes have fewer than 50 subjects and
    the feature has no ties, else normal with continuity correction.
    """
    values, label = _checked(X, y)
    if rule not in get_args(Rule) or adjust not in (None, "bh"):
        raise InputError(f"Unknown rule {rule!r} or adjustment {adjust!r}; use {get_args(Rule)} and None or 'bh'.")
    one, zero = values[label == 1], values[label == 0]
    varies = np.ptp(values, axis=0) > 0
    by_t = varies & _use_t(one, zero, rule, normality_alpha)
    by_u = varies & ~by_t
    statistic, p = np.full(values.shape[1], np.nan), np.ones(values.shape[1])
    statistic[by_t], p[by_t] = _welch(one[:, by_t], zero[:, by_t])
    statistic[by_u], p[by_u] = _mann_whitney(one[:, by_u], zero[:, by_u])
    test = np.select([by_t, by_u], ["welch_t", "mann_whitney"], "constant")
    adjusted = stats.false_discovery_control(p, method="bh") if adjust == "bh" else p
    return pd.DataFrame(dict(zip(COLUMNS, [X.columns, test, statistic, p, adjusted], strict=True)))


def _checked(X: pd.DataFrame, y: Any) -> tuple[FloatArray, Any]:
    table = as_table(X)
    label = as_binary(y, "y", len(table))
    text = table.columns[~table.dtypes.map(pd.api.types.is_numeric_dtype)]
    if len(text) or not len(table.columns):
        raise InputError(f"Features must be numeric and at least one; not numeric: {', '.join(map(str, text[:10]))}.")
    values = table.to_numpy(float)
    bad = table.columns[~np.isfinite(values).all(axis=0)]
    if len(bad):
        raise InputError(f"Features with missing or infinite values: {', '.join(map(str, bad[:10]))}; impute before.")
    return values, label


def _use_t(one: FloatArray, zero: FloatArray, rule: Rule, alpha: float) -> Any:
    if rule != "shapiro":
        return np.full(one.shape[1], rule == "t") & (min(len(one), len(zero)) >= 2) & _spread(one, zero)
    # Shapiro-Wilk is not defined below three subjects nor without spread: not shown to be normal then.
    if min(len(one), len(zero)) < 3:
        return np.zeros(one.shape[1], dtype=bool)
    normal = (np.ptp(one, axis=0) > 0) & (np.ptp(zero, axis=0) > 0)
    for group in (one, zero):
        if normal.any():
            normal[normal] = stats.shapiro(group[:, normal], axis=0).pvalue > alpha
    return normal


def _spread(one: FloatArray, zero: FloatArray) -> Any:
    """A t test needs spread in one class at least."""
    return (np.ptp(one, axis=0) > 0) | (np.ptp(zero, axis=0) > 0)


def _welch(one: FloatArray, zero: FloatArray) -> tuple[FloatArray, FloatArray]:
    if not one.shape[1]:
        return np.empty(0), np.empty(0)
    with warnings.catch_warnings():
        # A feature that hardly varies around a large mean: the t of what digits are left is what we want.
        warnings.filterwarnings("ignore", "Precision loss occurred in moment calculation", RuntimeWarning)
        result = stats.ttest_ind(one, zero, equal_var=False)
    return result.statistic, result.pvalue


def _mann_whitney(one: FloatArray, zero: FloatArray) -> tuple[FloatArray, FloatArray]:
    statistic, p = np.empty(one.shape[1]), np.empty(one.shape[1])
    ordered = np.sort(np.vstack([one, zero]), axis=0)
    untied = (np.diff(ordered, axis=0) > 0).all(axis=0) & (max(len(one), len(zero)) < 50)
    for chosen, method in ((untied, "exact"), (~untied, "asymptotic")):
        if chosen.any():
            result = stats.mannwhitneyu(one[:, chosen], zero[:, chosen], method=method)
            statistic[chosen], p[chosen] = result.statistic, result.pvalue
    return statistic, p
