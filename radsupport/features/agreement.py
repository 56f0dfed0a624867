"""Agreement between readers: reproducible features, ICC, Dice, Bland-Altman limits and kappa."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.inter_rater import cohens_kappa

from radsupport.checks import FloatArray, as_level
from radsupport.errors import InputError, MaskError
from radsupport.features.icc import KINDS, icc, known_kind, stacked_icc
from radsupport.report.wording import counted

__all__ = ["KINDS", "Kappa", "bland_altman", "dice", "icc", "icc_features", "kappa", "reproducible"]


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


def reproducible(
    features_reader1: Any,
    features_reader2: Any,
    kind: str = "ICC(2,1)",
    threshold: float = 0.75,
    level: float = 0.95,
) -> pd.DataFrame:
    """Which features two readers reproduce.

    Parameters
    ----------
    features_reader1, features_reader2, kind, level
        As `icc_features`.
    threshold : float
        Least ICC of a reproducible feature.

    Returns
    -------
    DataFrame
        `feature, icc, ci_low, ci_high, n, reproducible, reason`, first the features of reader 1, then those that
        only reader 2 has. `reason` says why a feature is not reproducible: below the threshold, no ICC (nothing
        varies or fewer than two complete subjects), or measured by one reader only. An ICC of NaN is never
        reproducible.

    Raises
    ------
    InputError
        As `icc_features`, or a threshold outside (-1, 1].
    """
    if not -1 < threshold <= 1:
        raise InputError(f"`threshold` must lie between -1 and 1, it is {threshold}; 0.75 is usual.")
    table = icc_features(features_reader1, features_reader2, kind, level)
    first, second = (_frame(x, "features").columns for x in (features_reader1, features_reader2))
    table["reproducible"] = table["icc"] >= threshold
    low = f"ICC below {threshold:g}"
    table["reason"] = np.where(table["reproducible"], "", np.where(table["icc"].isna(), "ICC not estimable", low))
    names = first.append(second.difference(first, sort=False))
    table = table.set_index("feature").reindex(names).rename_axis("feature").reset_index()
    one_sided = table["reason"].isna()
    table.loc[one_sided, "reason"] = np.where(
        table.loc[one_sided, "feature"].isin(first), "reader 1 only", "reader 2 only"
    )
    table["n"] = table["n"].fillna(0).astype(int)
    table["reproducible"] = table["reproducible"].eq(True)
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
