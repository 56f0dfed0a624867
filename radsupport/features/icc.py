"""Intraclass correlation: the six forms of Shrout & Fleiss, for one rating table or for many features at once.

Own code because pingouin rounds the confidence limits to two decimals and takes one feature a call. Values equal
psych::ICC(lmer=FALSE) in R.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from radsupport.checks import FloatArray, as_level
from radsupport.errors import InputError, NotEstimableError
from radsupport.missing import columns_by_pattern
from radsupport.report.wording import counted

KINDS = ("ICC(1,1)", "ICC(2,1)", "ICC(3,1)", "ICC(1,k)", "ICC(2,k)", "ICC(3,k)")

# McGraw & Wong 1996 (also pingouin >= 0.6) and psych call the same forms so.
_ALIASES = {
    "ICC(A,1)": "ICC(2,1)",
    "ICC(C,1)": "ICC(3,1)",
    "ICC(A,k)": "ICC(2,k)",
    "ICC(C,k)": "ICC(3,k)",
    "ICC1": "ICC(1,1)",
    "ICC2": "ICC(2,1)",
    "ICC3": "ICC(3,1)",
    "ICC1k": "ICC(1,k)",
    "ICC2k": "ICC(2,k)",
    "ICC3k": "ICC(3,k)",
}


@dataclass(frozen=True, eq=False)
class _MeanSquares:
    """Mean squares of subjects x raters, one per feature, and the design."""

    rows: FloatArray
    columns: FloatArray
    residual: FloatArray
    within: FloatArray
    n: int
    k: int


@dataclass(frozen=True, eq=False)
class _Form:
    """One form for every feature."""

    icc: FloatArray
    f: FloatArray
    df1: int
    df2: int
    low: FloatArray
    high: FloatArray

    @property
    def p(self) -> FloatArray:
        return np.asarray(stats.f.sf(self.f, self.df1, self.df2))


def known_kind(kind: str) -> str:
    """Return the Shrout-Fleiss name of an ICC form.

    Raises
    ------
    InputError
        A name that no form has; nothing is silently matched to nothing.
    """
    found = _ALIASES.get(kind, kind)
    if found not in KINDS:
        raise InputError(f"`kind` is {kind!r}; expected one of {', '.join(KINDS)} (or {', '.join(_ALIASES)}).")
    return found


def _mean_squares(ratings: FloatArray) -> _MeanSquares:
    """Two-way analysis of variance; `ratings` has shape (subjects, raters, features)."""
    n, k, _ = ratings.shape
    grand = ratings.mean(axis=(0, 1))
    by_subject, by_rater = ratings.mean(axis=1), ratings.mean(axis=0)
    # Ratings that agree exactly leave residuals of rounding size only; they count as 0.
    floor = (np.finfo(float).eps * 8 * np.abs(ratings).max(axis=(0, 1))) ** 2
    rows = k * ((by_subject - grand) ** 2).sum(axis=0) / (n - 1)
    columns = n * ((by_rater - grand) ** 2).sum(axis=0) / (k - 1)
    residual = ((ratings - by_subject[:, None] - by_rater + grand) ** 2).sum(axis=(0, 1)) / ((n - 1) * (k - 1))
    within = ((ratings - by_subject[:, None]) ** 2).sum(axis=(0, 1)) / (n * (k - 1))
    rows, columns, residual, within = (np.where(part > floor, part, 0.0) for part in (rows, columns, residual, within))
    return _MeanSquares(rows, columns, residual, within, n, k)


def _divide(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """Quotient; signed infinity for something over 0, NaN for 0 over 0."""
    empty = np.select([numerator > 0, numerator < 0], [np.inf, -np.inf], np.nan)
    return np.divide(numerator, denominator, out=empty, where=denominator != 0)


def _one_error(ms: _MeanSquares, error: FloatArray, df2: int, level: float) -> _Form:
    """ICC(1,1) and ICC(3,1): between-subject against one error mean square."""
    df1 = ms.n - 1
    tail = 0.5 + level / 2

    def ratio(between: FloatArray) -> FloatArray:
        return _divide(between - error, between + (ms.k - 1) * error)

    low, high = ms.rows / stats.f.ppf(tail, df1, df2), ms.rows * stats.f.ppf(tail, df2, df1)
    empty = (ms.rows == 0) & (error == 0)
    return _Form(np.where(empty, np.nan, ratio(ms.rows)), _divide(ms.rows, error), df1, df2, ratio(low), ratio(high))


def _absolute(ms: _MeanSquares, level: float) -> _Form:
    """ICC(2,1) with Satterthwaite's degrees of freedom; written without dividing by the residual, which may be 0."""
    n, k = ms.n, ms.k
    tail, rest = 0.5 + level / 2, k * n - k - n
    icc = _divide(ms.rows - ms.residual, ms.rows + (k - 1) * ms.residual + k * (ms.columns - ms.residual) / n)
    # Two subjects that two readers rank in reverse may have no denominator.
    icc = np.where(np.isfinite(icc), icc, np.nan)
    rater, error = k * icc * ms.columns, (n * (1 + (k - 1) * icc) - k * icc) * ms.residual
    df = _divide((k - 1) * (n - 1) * (rater + error) ** 2, (n - 1) * rater**2 + error**2)
    # Without rater effect and residual agreement is perfect and the limits do not depend on df.
    df = np.where(np.isnan(df), 1.0, df)
    upper, lower = stats.f.ppf(tail, n - 1, df), stats.f.ppf(tail, df, n - 1)
    spread = k * ms.columns + rest * ms.residual
    # F quantiles are infinite where the degrees of freedom vanish; the limits are then NaN.
    with np.errstate(invalid="ignore"):
        low = _divide(n * (ms.rows - upper * ms.residual), upper * spread + n * ms.rows)
        high = _divide(n * (lower * ms.rows - ms.residual), spread + n * lower * ms.rows)
    low, high = (np.where(np.isfinite(limit), limit, np.nan) for limit in (low, high))
    return _Form(icc, _divide(ms.rows, ms.residual), n - 1, (n - 1) * (k - 1), low, high)


def _average(form: _Form, k: int) -> _Form:
    """Reliability of the mean of k raters, by Spearman-Brown."""

    def step_up(single: FloatArray) -> FloatArray:
        return _divide(k * single, 1 + (k - 1) * single)

    return _Form(step_up(form.icc), form.f, form.df1, form.df2, step_up(form.low), step_up(form.high))


def _form(ms: _MeanSquares, kind: str, level: float) -> _Form:
    if kind in ("ICC(1,1)", "ICC(1,k)"):
        single = _one_error(ms, ms.within, ms.n * (ms.k - 1), level)
    elif kind in ("ICC(3,1)", "ICC(3,k)"):
        single = _one_error(ms, ms.residual, (ms.n - 1) * (ms.k - 1), level)
    else:
        single = _absolute(ms, level)
    return _average(single, ms.k) if kind.endswith("k)") else single


def icc(ratings: Any, level: float = 0.95) -> pd.DataFrame:
    """All six intraclass correlations of one quantity rated by several readers.

    Parameters
    ----------
    ratings : array-like, shape (subjects, raters)
        At least two of each, without missing values.
    level : float
        Confidence level.

    Returns
    -------
    DataFrame
        `kind, icc, ci_low, ci_high, f, df1, df2, p, n, k`, one row for each of ICC(1,1) (one-way), ICC(2,1) (absolute
        agreement), ICC(3,1) (consistency) and, for the mean of the k raters, ICC(1,k), ICC(2,k), ICC(3,k).
        Perfect agreement gives 1 with limits 1; NaN where nothing varies.

    Raises
    ------
    InputError
        Not a two-dimensional table of finite numbers.
    NotEstimableError
        Fewer than two subjects or raters.

    Notes
    -----
    Shrout & Fleiss 1979, Psychol Bull 86:420, with the Satterthwaite degrees of freedom in the limits of ICC(2, .).
    """
    try:
        table = np.asarray(ratings, dtype=float)
    except (TypeError, ValueError) as error:
        raise InputError(f"`ratings` must be numeric: {error}") from error
    if table.ndim != 2:
        raise InputError(f"`ratings` must be a table of subjects x raters, its shape is {table.shape}.")
    if not np.isfinite(table).all():
        raise InputError(
            f"`ratings` has {counted(int((~np.isfinite(table)).sum()), 'missing or infinite value')}. "
            "Drop the subjects that were not rated by all."
        )
    if min(table.shape) < 2:
        raise NotEstimableError(f"`ratings` has shape {table.shape}; at least two subjects and two raters are needed.")
    squares = _mean_squares(table[:, :, None])
    forms = {kind: _form(squares, kind, as_level(level)) for kind in KINDS}
    return pd.DataFrame(
        [{"kind": kind} | _row(form) | {"n": squares.n, "k": squares.k} for kind, form in forms.items()]
    )


def _row(form: _Form) -> dict[str, float]:
    return {
        "icc": float(form.icc[0]),
        "ci_low": float(form.low[0]),
        "ci_high": float(form.high[0]),
        "f": float(form.f[0]),
        "df1": form.df1,
        "df2": form.df2,
        "p": float(form.p[0]),
    }


def stacked_icc(ratings: FloatArray, kind: str, level: float) -> pd.DataFrame:
    """One ICC form for many features.

    Parameters
    ----------
    ratings : ndarray, shape (subjects, raters, features)
        NaN where a rating failed: that subject is left out for that feature only.
    kind : str
        As `known_kind` returns it.
    level : float

    Returns
    -------
    DataFrame
        `icc, ci_low, ci_high, n`, one row per feature; NaN with fewer than two complete subjects or no variation.
    """
    kept = np.isfinite(ratings).all(axis=1)
    result = np.full((ratings.shape[2], 3), np.nan)
    for subjects, columns in columns_by_pattern(kept):
        if subjects.sum() >= 2:
            form = _form(_mean_squares(ratings[subjects][:, :, columns]), kind, level)
            result[columns] = np.column_stack([form.icc, form.low, form.high])
    table = pd.DataFrame(result, columns=["icc", "ci_low", "ci_high"])
    table["n"] = kept.sum(axis=0)
    return table
