"""Agreement between readers: ICC for one table or for many features at once, Dice, Bland-Altman limits and kappa.

The six forms of Shrout & Fleiss, equal to psych::ICC(lmer=FALSE) in R; pingouin has the same values but takes one
feature a call, thousands of times slower over a table of radiomic features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.inter_rater import cohens_kappa

from radsupport.checks import FloatArray, as_level, columns_by_pattern
from radsupport.errors import InputError, MaskError, NotEstimableError
from radsupport.wording import counted

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


@dataclass(frozen=True)
class Kappa:
    """Cohen's kappa; NaN where both raters use one and the same category throughout."""

    kappa: float
    se: float
    ci_low: float
    ci_high: float
    n: int


def _frame(features: Any, reader: str) -> pd.DataFrame:
    """Numeric table of one reader; arrays get positions as names."""
    frame = features if isinstance(features, pd.DataFrame) else pd.DataFrame(np.asarray(features))
    problems = [
        f"{what} {', '.join(map(str, labels[labels.duplicated()].unique()[:5]))} more than once"
        for what, labels in (("subject", frame.index), ("feature", frame.columns))
        if labels.has_duplicates
    ]
    problems += [
        f"column {name} that is not numeric" for name in frame.select_dtypes(exclude=["number", "bool"]).columns
    ]
    if problems:
        raise InputError(
            f"`{reader}` has {'; '.join(problems)}. Index it by subject, with one float column per feature."
        )
    return frame.astype(float)


def _matched(features_reader1: Any, features_reader2: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both readers' tables, cut to common subjects; raises if no subject or no feature is common."""
    first, second = _frame(features_reader1, "features_reader1"), _frame(features_reader2, "features_reader2")
    if not isinstance(features_reader1, pd.DataFrame) and first.shape != second.shape:
        raise InputError(f"The readers' arrays have shapes {first.shape} and {second.shape}; use tables with names.")
    subjects = first.index.intersection(second.index, sort=False)
    if len(subjects) < 2:
        raise InputError(
            f"The readers have {counted(len(subjects), 'subject')} in common; at least two are needed. Reader 1 has "
            f"{', '.join(map(str, first.index[:3]))} …, reader 2 {', '.join(map(str, second.index[:3]))} … ."
        )
    if first.columns.intersection(second.columns).empty:
        raise InputError(
            f"The readers have no feature in common. Reader 1 has {', '.join(map(str, first.columns[:3]))} …, "
            f"reader 2 {', '.join(map(str, second.columns[:3]))} … ."
        )
    return first.loc[subjects], second.loc[subjects]


def icc_features(
    features_reader1: Any, features_reader2: Any, kind: str = "ICC(2,1)", level: float = 0.95
) -> pd.DataFrame:
    """Intraclass correlation of each feature between two readers, all features at once.

    Parameters
    ----------
    features_reader1, features_reader2 : DataFrame (subjects x features) or array of equal shape
        Tables are matched by index (subject) and column (feature); only features of both are returned.
    kind : str
        One of `KINDS`, or McGraw & Wong's name.
    level : float
        Confidence level.

    Returns
    -------
    DataFrame
        `feature, icc, ci_low, ci_high, n`. A subject with a missing value is left out for that feature only; NaN where
        fewer than two subjects remain or nothing varies.

    Raises
    ------
    InputError
        Nothing in common, duplicated names, columns that are not numeric, unknown kind.
    """
    form = known_kind(kind)
    first, second = _matched(features_reader1, features_reader2)
    features = first.columns.intersection(second.columns, sort=False)
    ratings = np.stack([first[features].to_numpy(), second[features].to_numpy()], axis=1)
    table = stacked_icc(ratings, form, as_level(level))
    table.insert(0, "feature", features)
    return table


def dice(a: Any, b: Any) -> float:
    """Dice coefficient of two masks.

    Parameters
    ----------
    a, b : array-like of one shape
        Each holds 0 and at most one other value (the label).

    Returns
    -------
    float
        2 |a and b| / (|a| + |b|); 0 if one mask is empty and the other is not.

    Raises
    ------
    InputError
        Unequal shapes.
    MaskError
        Several labels in a mask, or both masks empty (the coefficient does not exist).
    """
    masks = [np.asarray(mask) for mask in (a, b)]
    if masks[0].shape != masks[1].shape:
        raise InputError(f"The masks have shapes {masks[0].shape} and {masks[1].shape}; resample one to the other.")
    for name, mask in zip("ab", masks, strict=True):
        labels = np.unique(mask[mask != 0])
        if labels.size > 1:
            raise MaskError(f"Mask `{name}` holds the labels {', '.join(map(str, labels[:5]))}; choose one of them.")
    first, second = (mask != 0 for mask in masks)
    total = int(first.sum()) + int(second.sum())
    if total == 0:
        raise MaskError("Both masks are empty; their Dice coefficient does not exist.")
    return 2 * int((first & second).sum()) / total


def bland_altman(reader1: Any, reader2: Any, level: float = 0.95) -> pd.DataFrame:
    """Bland-Altman bias and limits of agreement, one row per feature.

    Parameters
    ----------
    reader1, reader2 : DataFrame (subjects x features), or array-like, shape (subjects,)
        Matched as in `icc_features`.
    level : float
        Of the limits of agreement and of their confidence intervals.

    Returns
    -------
    DataFrame
        `feature, n, bias` (reader 1 minus reader 2), `bias_low, bias_high, sd, limit_low, limit_high` (bias -/+ z sd)
        and `limit_low_low, limit_low_high, limit_high_low, limit_high_high`, the confidence limits of these. NaN
        with fewer than two complete subjects.

    Notes
    -----
    Bland & Altman 1986, Lancet 327:307, SE of a limit sd sqrt(1/n + z^2 / (2 (n - 1))) (1999, Stat Methods Med Res
    8:135). Own code because pingouin and statsmodels only plot it.
    """
    first, second = _matched(reader1, reader2)
    features = first.columns.intersection(second.columns, sort=False)
    gap = (first[features] - second[features]).replace([np.inf, -np.inf], np.nan)
    n = gap.notna().sum().to_numpy()
    bias, sd = gap.mean().to_numpy(), gap.std(ddof=1).to_numpy()
    z, count = float(stats.norm.ppf(0.5 + as_level(level) / 2)), np.where(n > 1, n, np.nan)
    t = stats.t.ppf(0.5 + level / 2, count - 1)
    half_bias = t * sd / np.sqrt(count)
    half_limit = t * sd * np.sqrt(1 / count + z**2 / (2 * (count - 1)))
    table = pd.DataFrame({"feature": features, "n": n, "bias": bias, "bias_low": bias - half_bias})
    table["bias_high"], table["sd"] = bias + half_bias, sd
    for side, limit in (("limit_low", bias - z * sd), ("limit_high", bias + z * sd)):
        table[side], table[f"{side}_low"], table[f"{side}_high"] = limit, limit - half_limit, limit + half_limit
    return table


def kappa(rater1: Any, rater2: Any, weights: str | None = None, order: Any = None, level: float = 0.95) -> Kappa:
    """Cohen's kappa of two raters' categories.

    Parameters
    ----------
    rater1, rater2 : array-like, shape (n,)
        One category per subject.
    weights : {None, "linear", "quadratic"}
        Partial credit for neighbouring categories of an ordinal scale.
    order : sequence, optional
        The categories from lowest to highest; default sorted. Matters with weights only.
    level : float
        Confidence level (Wald).

    Returns
    -------
    Kappa
        `kappa, se, ci_low, ci_high, n`.

    Raises
    ------
    InputError
        Unequal lengths, missing values, a category that `order` lacks, unknown weights.

    Notes
    -----
    Kappa from statsmodels, whose own SE divides by zero for perfect agreement; the large-sample SE is that of Fleiss,
    Cohen & Everitt 1969, Psychol Bull 72:323. psych::cohen.kappa
    gives the same values but for the SE of a weighted kappa, where version 2.2.9 sums row weights times the
    margin (`rowSums(w * rs)`) in place of the weighted margin.
    """
    if weights not in (None, "linear", "quadratic"):
        raise InputError(f"`weights` is {weights!r}; expected None, 'linear' or 'quadratic'.")
    table = _cross_table(rater1, rater2, order)
    n, share = int(table.sum()), table / table.sum()
    if len(table) < 2 or (share.sum(axis=0) @ share.sum(axis=1)) == 1:
        return Kappa(float("nan"), float("nan"), float("nan"), float("nan"), n)
    value = float(cohens_kappa(table, wt=weights, return_results=False))
    se = float(np.sqrt(max(_kappa_variance(share, weights) / n, 0.0)))
    half = float(stats.norm.ppf(0.5 + as_level(level) / 2)) * se
    return Kappa(value, se, value - half, value + half, n)


def _kappa_variance(share: FloatArray, weights: str | None) -> float:
    """n times the large-sample variance (not under the null) of kappa, weights being credits for agreement."""
    i, j = np.indices(share.shape)
    apart = np.abs(i - j) / (len(share) - 1)
    credit = {None: 1.0 * (i == j), "linear": 1 - apart, "quadratic": 1 - apart**2}[weights]
    row, column = share.sum(axis=1), share.sum(axis=0)
    observed, chance = float((credit * share).sum()), float(row @ credit @ column)
    spread = credit * (1 - chance) - ((credit @ column)[:, None] + row @ credit) * (1 - observed)
    total = float((share * spread**2).sum()) - (observed * chance - 2 * chance + observed) ** 2
    return total / (1 - chance) ** 4


def _cross_table(rater1: Any, rater2: Any, order: Any) -> FloatArray:
    first, second = (pd.Series(np.asarray(x, dtype=object)) for x in (rater1, rater2))
    if len(first) != len(second) or first.empty:
        raise InputError(f"The raters judged {len(first)} and {len(second)} subjects; equal numbers are needed.")
    if first.isna().any() or second.isna().any():
        lacking = int((first.isna() | second.isna()).sum())
        raise InputError(f"{counted(lacking, 'subject')} with no category from both; drop them.")
    given = pd.unique(pd.concat([first, second]))
    levels = sorted(given) if order is None else list(order)
    unknown = [str(x) for x in given if x not in levels]
    if unknown:
        raise InputError(f"`order` lacks {counted(len(unknown), 'category', 'categories')}: {', '.join(unknown)}.")
    place = {name: i for i, name in enumerate(levels)}
    table = np.zeros((len(levels), len(levels)))
    np.add.at(table, (first.map(place).to_numpy(), second.map(place).to_numpy()), 1)
    return table
