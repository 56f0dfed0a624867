"""From results to the tidy tables of the figures: renaming, stacking, sorting, and one smooth line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

from radsupport.errors import InputError
from radsupport.stats.calibration import loess

if TYPE_CHECKING:
    from radsupport.stats.regression import FittedModel

Frames = Mapping[str, pd.DataFrame]


def roc_table(curves: Frames, aucs: Mapping[str, Any]) -> pd.DataFrame:
    """Stack ROC curves with their AUCs, for `plots.roc`.

    Parameters
    ----------
    curves : mapping of signature to DataFrame
        What `validation.roc.roc_curve` returns: ``threshold, sensitivity, specificity``.
    aucs : mapping of signature to result
        What `validation.roc.auc` returns: ``auc, ci_low, ci_high`` and, where there is one, ``n``.

    Returns
    -------
    pandas.DataFrame
        ``signature, threshold, sensitivity, specificity, auc, ci_low, ci_high`` and ``n``.

    Raises
    ------
    InputError
        A curve without an AUC, or none at all.
    """
    missing = [name for name in curves if name not in aucs]
    if missing or not curves:
        raise InputError(f"Each curve needs its AUC; {', '.join(missing) or 'there are no curves'}.")
    parts = []
    for name, curve in curves.items():
        found = {key: getattr(aucs[name], key) for key in ("auc", "ci_low", "ci_high")}
        found |= {"n": aucs[name].n} if hasattr(aucs[name], "n") else {}
        parts.append(curve.assign(signature=name, **found))
    return pd.concat(parts, ignore_index=True)


def calibration_table(corrected: pd.DataFrame | None = None, grouped: pd.DataFrame | None = None) -> pd.DataFrame:
    """Stack calibration results with the column ``kind``, for `plots.calibration`.

    Parameters
    ----------
    corrected : pandas.DataFrame, optional
        ``predicted, apparent`` and optionally ``corrected``, as `corrected_calibration` returns; or, without
        ``apparent``, ``predicted, observed, ci_low, ci_high`` as the smooth `calibration_curve` returns.
    grouped : pandas.DataFrame, optional
        ``predicted, observed, ci_low, ci_high``, one row per group.

    Returns
    -------
    pandas.DataFrame
        ``kind`` (apparent / corrected / grouped), ``predicted, observed``, and ``ci_low, ci_high`` where given.
    """
    parts = []
    if corrected is not None and "apparent" in corrected:
        for kind in [name for name in ("apparent", "corrected") if name in corrected]:
            parts.append(corrected[["predicted"]].assign(kind=kind, observed=corrected[kind]))
    elif corrected is not None:
        parts.append(corrected.assign(kind="apparent"))
    if grouped is not None:
        parts.append(grouped.assign(kind="grouped"))
    if not parts:
        raise InputError("Give a corrected curve, groups, or both; there is nothing to stack.")
    stacked = pd.concat(parts, ignore_index=True).dropna(subset=["predicted", "observed"])
    return stacked[[c for c in ("kind", "predicted", "observed", "ci_low", "ci_high") if c in stacked]]


def schoenfeld_table(residuals: pd.DataFrame, covariate: str, span: float = 0.75) -> pd.DataFrame:
    """Pick the residuals of one covariate and add their smooth curve, for `plots.schoenfeld`.

    Parameters
    ----------
    residuals : pandas.DataFrame
        What `survival.schoenfeld.schoenfeld_residuals` returns: ``time, transformed_time, covariate, residual``.
    covariate : str
    span : float
        Share of the events in each window of the smooth curve.

    Returns
    -------
    pandas.DataFrame
        ``covariate, time, residual, smooth, ci_low, ci_high``, by time. The curve is a loess over the transformed
        time with its pointwise 95% band (normal errors of one variance); plot.cox.zph draws a natural spline there.

    Raises
    ------
    InputError
        No residuals of this covariate, or fewer than 8 events, which no curve can be drawn through.
    """
    own = residuals[residuals["covariate"] == covariate].sort_values("time", ignore_index=True)
    if len(own) < 8:
        known = ", ".join(map(str, residuals["covariate"].unique()))
        raise InputError(f"{len(own)} residuals of `{covariate}`; at least 8 are needed. There are those of {known}.")
    x, y = own["transformed_time"].to_numpy(dtype=float), own["residual"].to_numpy(dtype=float)
    smooth, operator = loess(x, y, x, span)
    freedom = max(len(y) - float(np.trace(operator)), 1.0)
    se = np.sqrt(((y - smooth) ** 2).sum() / freedom * (operator**2).sum(axis=1))
    half = stats.norm.ppf(0.975) * se
    kept = own[["covariate", "time", "residual"]]
    return kept.assign(smooth=smooth, ci_low=smooth - half, ci_high=smooth + half)


def forest_table(fit: FittedModel, labels: Mapping[str, str] | None = None) -> pd.DataFrame:
    """List the ratios of a fit with a row for each reference level, for `plots.forest`.

    Parameters
    ----------
    fit : FittedModel
        What `fit_cox` or `fit_logistic` returns.
    labels : mapping, optional
        Words for terms: ``{"age": "Age (years)"}``.

    Returns
    -------
    pandas.DataFrame
        ``covariate`` (in words), ``hr`` or ``odds_ratio``, ``ci_low, ci_high, p``; NaN in reference rows.
    """
    ratio = "hr" if fit.kind == "cox" else "odds_ratio"
    own = fit.table.set_index("covariate")
    rows: list[dict[str, Any]] = []
    for predictor in fit.design.predictors:
        name = (labels or {}).get(predictor.name, predictor.name)
        if predictor.kind == "factor":
            rows.append({"covariate": f"{name}: {predictor.reference}", ratio: np.nan})
        levels = predictor.coded_levels or ("",)
        for column, level in zip(predictor.columns, levels, strict=True):
            words = {"covariate": f"{name}: {level}" if level else name}
            rows.append(words | {key: own.loc[column, key] for key in (ratio, "ci_low", "ci_high", "p")})
    return pd.DataFrame(rows, columns=["covariate", ratio, "ci_low", "ci_high", "p"])
