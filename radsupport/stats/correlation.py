"""Correlation of two quantities, and of every pair of features."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from radsupport.checks import FloatArray
from radsupport.errors import InputError, NotEstimableError
from radsupport.wording import counted

METHODS = ("pearson", "spearman")


@dataclass(frozen=True)
class Correlation:
    """Correlation coefficient with its two-sided p, of n complete pairs."""

    r: float
    p: float
    n: int


def _known_method(method: str) -> str:
    if method not in METHODS:
        raise InputError(f"`method` is {method!r}; expected one of {', '.join(METHODS)}.")
    return method


def correlate(x: Any, y: Any, method: str = "pearson") -> Correlation:
    """Correlation of two quantities.

    Parameters
    ----------
    x, y : array-like, shape (n,)
        Pairs with a missing or infinite value are left out.
    method : {"pearson", "spearman"}

    Returns
    -------
    Correlation
        `r, p, n`.

    Raises
    ------
    InputError, NotEstimableError
        Unknown method, unequal lengths; fewer than three complete pairs, or a constant.

    Notes
    -----
    scipy; equals R's cor.test, Spearman with exact=FALSE (t approximation).
    """
    _known_method(method)
    first, second = (np.asarray(values, dtype=float) for values in (x, y))
    if first.shape != second.shape or first.ndim != 1:
        raise InputError(f"`x` and `y` have shapes {first.shape} and {second.shape}; one pair per subject is needed.")
    known = np.isfinite(first) & np.isfinite(second)
    first, second = first[known], second[known]
    if first.size < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        raise NotEstimableError(
            f"{counted(first.size, 'complete pair')}, where one side may be constant: there is no correlation."
        )
    found = (stats.pearsonr if method == "pearson" else stats.spearmanr)(first, second)
    return Correlation(float(found.statistic), float(found.pvalue), int(first.size))


def correlation_table(features: pd.DataFrame, method: str = "pearson") -> pd.DataFrame:
    """Correlation of every pair of features.

    Parameters
    ----------
    features : DataFrame, shape (subjects, features)
        Numeric; missing values are left out pair by pair.
    method : {"pearson", "spearman"}

    Returns
    -------
    DataFrame
        `feature_a, feature_b, r, p, n`, one row per unordered pair; NaN for a constant feature or fewer than three
        complete pairs of values.

    Raises
    ------
    InputError
        Unknown method, columns that are not numeric, fewer than two features.
    """
    _known_method(method)
    text = features.select_dtypes(exclude=["number", "bool"]).columns
    if len(text) or features.shape[1] < 2:
        raise InputError(
            f"`features` has {counted(features.shape[1], 'column')}, not numeric: "
            f"{', '.join(map(str, text)) or 'none'}; at least two numeric ones are needed."
        )
    frame = features.astype(float).replace([np.inf, -np.inf], np.nan)
    pairs = list(itertools.combinations(range(frame.shape[1]), 2))
    a, b = (np.array([pair[side] for pair in pairs]) for side in (0, 1))
    known = frame.notna().to_numpy(dtype=float)
    n = (known.T @ known)[a, b].astype(int)
    # pandas divides by the zero spread of a constant feature; the result, NaN, is the one documented.
    with np.errstate(invalid="ignore", divide="ignore"):
        r = frame.corr("pearson" if method == "pearson" else "spearman", min_periods=3).to_numpy()[a, b]
    names = frame.columns
    return pd.DataFrame({"feature_a": names[a], "feature_b": names[b], "r": r, "p": _t_approximation(r, n), "n": n})


def _t_approximation(r: FloatArray, n: Any) -> FloatArray:
    """Two-sided p of a Pearson or Spearman coefficient."""
    known = ~np.isnan(r)
    rest = np.clip((1 - r[known]) * (1 + r[known]), 0, None)
    df = n[known] - 2
    t = np.divide(np.abs(r[known]) * np.sqrt(df), np.sqrt(rest), out=np.full(rest.size, np.inf), where=rest > 0)
    p = np.full(r.size, np.nan)
    p[known] = 2 * stats.t.sf(t, df)
    return p
