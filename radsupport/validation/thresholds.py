"""ROC points, Youden's threshold and the confusion matrix at a threshold.

Thresholds follow pROC: midpoints between neighbouring scores, plus -inf and inf. scikit-learn's `roc_curve` uses the
observed scores with >= instead, so its thresholds (not its points) differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from radsupport.checks import FloatArray, as_binary, as_finite, as_level


@dataclass(frozen=True)
class Youden:
    """Threshold with the largest sensitivity + specificity - 1.

    Attributes
    ----------
    threshold : float
        Positive means risk > threshold. -inf (everyone positive) for a constant risk.
    sensitivity, specificity, j : float
        At that threshold; `j` is sensitivity + specificity - 1.
    tied_thresholds : tuple of float
        Every threshold that reaches the same `j`, `threshold` being the first (most sensitive) of them.
    """

    threshold: float
    sensitivity: float
    specificity: float
    j: float
    tied_thresholds: tuple[float, ...]


@dataclass(frozen=True)
class Confusion:
    """Counts and rates of a dichotomous prediction.

    `*_low` and `*_high` are exact (Clopper-Pearson) limits. A rate without a denominator is NaN with NaN limits:
    `ppv` when nobody is predicted positive, `npv` when nobody is predicted negative, `sensitivity` without
    events, `specificity` without non-events. `kappa` is NaN when prediction and outcome are the same constant.
    `p_vs_nir` is the one-sided exact binomial p that the accuracy exceeds `no_information_rate`, the share of
    the larger class.
    """

    tn: int
    fp: int
    fn: int
    tp: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    no_information_rate: float
    p_vs_nir: float
    sensitivity: float
    sensitivity_low: float
    sensitivity_high: float
    specificity: float
    specificity_low: float
    specificity_high: float
    ppv: float
    ppv_low: float
    ppv_high: float
    npv: float
    npv_low: float
    npv_high: float
    kappa: float


def _midpoints(distinct: FloatArray) -> FloatArray:
    """Midpoints between sorted distinct scores, with -inf and inf at the ends."""
    low, high = distinct[:-1], distinct[1:]
    middle = low / 2 + high / 2
    # Neighbouring floats have no number between them: the lower one still separates under "risk > threshold".
    middle = np.where((middle >= high) | (middle < low), low, middle)
    return np.concatenate([[-np.inf], middle, [np.inf]])


def roc_curve(y: Any, risk: Any) -> pd.DataFrame:
    """Points of the ROC curve, from everyone positive to nobody positive.

    Parameters
    ----------
    y : array-like of 0/1, shape (n,)
    risk : array-like, shape (n,)
        Higher means a worse outcome.

    Returns
    -------
    DataFrame
        `threshold, sensitivity, specificity`, one row per distinct score plus one, by rising threshold;
        positive means risk > threshold. Equals the coordinates of pROC::roc.

    Raises
    ------
    InputError, NotEstimableError
        NaN, unequal lengths, other labels than 0/1; only one class.
    """
    labels = as_binary(y)
    scores = as_finite(risk, "risk", labels.size)
    distinct, place = np.unique(scores, return_inverse=True)
    events = np.bincount(place[labels == 1], minlength=distinct.size)
    others = np.bincount(place[labels == 0], minlength=distinct.size)
    tp = events.sum() - np.concatenate([[0], np.cumsum(events)])
    tn = np.concatenate([[0], np.cumsum(others)])
    return pd.DataFrame(
        {
            "threshold": _midpoints(distinct),
            "sensitivity": tp / events.sum(),
            "specificity": tn / others.sum(),
        }
    )


def youden(y: Any, risk: Any) -> Youden:
    """Threshold that maximises sensitivity + specificity.

    Parameters
    ----------
    y : array-like of 0/1, shape (n,)
    risk : array-like, shape (n,)
        Higher means a worse outcome.

    Returns
    -------
    Youden
        `threshold, sensitivity, specificity, j, tied_thresholds`. pROC::coords(x="best") lists all ties; the
        first row there, the most sensitive one, is `threshold`.

    Notes
    -----
    Fix the threshold on training data and carry it over. Youden 1950, Cancer 3:32. Ties are those of the sum in
    floating point, as pROC compares it; pROC's own column "youden" lacks the -1.
    """
    curve = roc_curve(y, risk)
    total = (curve["sensitivity"] + curve["specificity"]).to_numpy()
    best = np.flatnonzero(total == total.max())
    first = curve.iloc[best[0]]
    tied = tuple(float(value) for value in curve["threshold"].to_numpy()[best])
    return Youden(tied[0], float(first["sensitivity"]), float(first["specificity"]), float(total[best[0]] - 1), tied)


def _share(count: int, total: int, level: float) -> tuple[float, float, float]:
    """Proportion with its Clopper-Pearson limits; NaN without a denominator."""
    if total == 0:
        return float("nan"), float("nan"), float("nan")
    low, high = proportion_confint(count, total, alpha=1 - level, method="beta")
    return count / total, float(low), float(high)


def _kappa(tn: int, fp: int, fn: int, tp: int) -> float:
    n = tn + fp + fn + tp
    agreement = (tp + tn) / n
    chance = ((tp + fp) * (tp + fn) + (tn + fn) * (tn + fp)) / n**2
    return (agreement - chance) / (1 - chance) if chance < 1 else float("nan")


def confusion(y: Any, predicted: Any, level: float = 0.95) -> Confusion:
    """Confusion matrix of a dichotomous prediction, with exact intervals.

    Parameters
    ----------
    y : array-like of 0/1, shape (n,)
        1 is the event. One class alone is allowed: the rates that need the other are NaN.
    predicted : array-like of 0/1, shape (n,)
        1 is predicted positive, e.g. `risk > threshold`.
    level : float
        Confidence level of the Clopper-Pearson limits.

    Returns
    -------
    Confusion
        Counts, accuracy against the no-information rate, sensitivity, specificity, predictive values, kappa.

    Raises
    ------
    InputError
        NaN, unequal lengths, other values than 0/1.

    Notes
    -----
    Equals caret::confusionMatrix(positive="1") with binom.test limits. A predictive value without a
    denominator is NaN, never 0.
    """
    labels = as_binary(y, both_classes=False)
    calls = as_binary(predicted, "predicted", labels.size, both_classes=False)
    as_level(level)
    tn, fp, fn, tp = (int(k) for k in np.bincount(2 * labels + calls, minlength=4))
    n, right = labels.size, tp + tn
    information = max(tp + fn, tn + fp) / n
    rates = {
        "accuracy": _share(right, n, level),
        "sensitivity": _share(tp, tp + fn, level),
        "specificity": _share(tn, tn + fp, level),
        "ppv": _share(tp, tp + fp, level),
        "npv": _share(tn, tn + fn, level),
    }
    fields = {
        f"{name}{end}": value
        for name, values in rates.items()
        for end, value in zip(("", "_low", "_high"), values, strict=True)
    }
    return Confusion(
        tn=tn,
        fp=fp,
        fn=fn,
        tp=tp,
        no_information_rate=information,
        p_vs_nir=float(stats.binom.sf(right - 1, n, information)),
        kappa=_kappa(tn, fp, fn, tp),
        **fields,
    )
