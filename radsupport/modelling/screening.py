"""Test every feature against the label, all at once."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from scipy import stats

from radsupport.checks import IntArray, as_binary
from radsupport.cohort.group_tests import feature_tests
from radsupport.errors import InputError
from radsupport.modelling.normality import shapiro_p
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
        feature, test (welch_t / mann_whitney / constant), statistic (t, or U, of class 0), p (two-sided; 1
        for a constant feature) and p_adjusted (p itself without `adjust`).

    Raises
    ------
    InputError, NotEstimableError

    Notes
    -----
    Thin over `radsupport.cohort.group_tests.feature_tests`, whose tests are R's; a feature that a t test can
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
