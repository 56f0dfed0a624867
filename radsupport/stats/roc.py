"""AUC with DeLong's variance and tests (paired, unpaired, all pairs), ROC points, Youden's threshold, 2 x 2 tables.

Own code because scikit-learn gives the AUC only and statsmodels none. Placement values come from midranks (Sun & Xu
2014), so the cost grows like n log n and ties count one half exactly. Values equal pROC's `ci.auc`, `roc.test` and
`cov` (method "delong"). Thresholds follow pROC: midpoints between neighbouring scores, plus -inf and inf; scikit-
learn's `roc_curve` uses the observed scores with >= instead, so its thresholds (not its points) differ.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from radsupport.checks import FloatArray, as_binary, as_finite, as_level
from radsupport.errors import InputError


@dataclass(frozen=True)
class AUC:
    """Area under one ROC curve.

    Attributes
    ----------
    auc : float
        P(risk of an event > risk of a non-event) + half the probability of a tie.
    ci_low, ci_high : float
        DeLong's Wald interval at the level asked for, cut at 0 and 1.
    se : float
        DeLong's standard error; NaN where a class has a single member.
    p_vs_half : float
        Two-sided p of z = (auc - 0.5) / se; NaN if auc is 0.5 with se 0 (constant risk), 0 if perfect.
    n, events : int
        Subjects and events used.
    """

    auc: float
    ci_low: float
    ci_high: float
    se: float
    p_vs_half: float
    n: int
    events: int


@dataclass(frozen=True)
class DeLongTest:
    """Difference of two correlated AUCs; `difference`, `ci_low` and `ci_high` are a minus b."""

    auc_a: float
    auc_b: float
    z: float
    p: float
    difference: float
    ci_low: float
    ci_high: float
    se: float


@dataclass(frozen=True)
class UnpairedDeLongTest:
    """Difference of the AUCs of two cohorts; `t` follows a t distribution with `df` degrees of freedom."""

    auc_a: float
    auc_b: float
    t: float
    df: float
    p: float
    difference: float
    ci_low: float
    ci_high: float
    se: float


@dataclass(frozen=True, eq=False)
class Placements:
    """Placement values: of each event among the non-events (`of_events`), and the reverse."""

    of_events: FloatArray
    of_nonevents: FloatArray

    @property
    def auc(self) -> float:
        return float(self.of_events.mean())

    def variance(self) -> float:
        return _variance_of_mean(self.of_events) + _variance_of_mean(self.of_nonevents)


def _variance_of_mean(values: FloatArray) -> float:
    return float(values.var(ddof=1) / values.size) if values.size > 1 else float("nan")


def placements(y: Any, risk: FloatArray) -> Placements:
    """Placement values of checked labels and scores, by midranks."""
    case, control = risk[y == 1], risk[y == 0]
    midrank = stats.rankdata(np.concatenate([case, control]))
    of_events = (midrank[: case.size] - stats.rankdata(case)) / control.size
    of_nonevents = 1 - (midrank[case.size :] - stats.rankdata(control)) / case.size
    return Placements(of_events, of_nonevents)


def _checked(y: Any, risk: Any, y_name: str = "y", risk_name: str = "risk") -> tuple[Any, FloatArray]:
    labels = as_binary(y, y_name)
    return labels, as_finite(risk, risk_name, labels.size)


def _ratio(numerator: float, se: float) -> float:
    """Test statistic; signed infinity where the standard error is 0, NaN where both are 0."""
    if se > 0 or np.isnan(se):
        return numerator / se
    return float(np.sign(numerator) * np.inf) if numerator != 0 else float("nan")


def _half_width(level: float, distribution: Any = stats.norm) -> float:
    return float(distribution.ppf(0.5 + as_level(level) / 2))


def auc(y: Any, risk: Any, level: float = 0.95) -> AUC:
    """Area under the ROC curve with DeLong's interval.

    Parameters
    ----------
    y : array-like of 0/1, shape (n,)
        1 is the event.
    risk : array-like, shape (n,)
        Any score; higher means a worse outcome (negate one that runs the other way).
    level : float
        Confidence level.

    Returns
    -------
    AUC
        `auc, ci_low, ci_high, se, p_vs_half, n, events`.

    Raises
    ------
    InputError
        NaN, other labels than 0/1, unequal lengths.
    NotEstimableError
        Only one class is present.

    Notes
    -----
    DeLong, DeLong & Clarke-Pearson 1988, Biometrics 44:837; equals pROC::ci.auc and pROC::var.
    """
    parts = placements(*_checked(y, risk))
    area, se = parts.auc, float(np.sqrt(parts.variance()))
    low, high = np.clip(area + np.array([-1, 1]) * _half_width(level) * se, 0, 1)
    p = float(2 * stats.norm.sf(abs(_ratio(area - 0.5, se))))
    events = parts.of_events.size
    return AUC(area, float(low), float(high), se, p, events + parts.of_nonevents.size, events)


def paired_test(a: Placements, b: Placements, level: float) -> DeLongTest:
    """DeLong's paired test from placement values."""
    # The variance of the differences of placements equals var(a) + var(b) - 2 cov(a, b), and is exactly 0 for
    # scores that rank alike.
    contrast = Placements(a.of_events - b.of_events, a.of_nonevents - b.of_nonevents)
    difference, se = a.auc - b.auc, float(np.sqrt(contrast.variance()))
    # As pROC: curves that coincide differ by nothing, z = 0 and p = 1.
    z = 0.0 if difference == 0 and se == 0 else _ratio(difference, se)
    half = _half_width(level) * se
    return DeLongTest(
        a.auc, b.auc, z, float(2 * stats.norm.sf(abs(z))), difference, difference - half, difference + half, se
    )


def delong_test(y: Any, risk_a: Any, risk_b: Any, level: float = 0.95) -> DeLongTest:
    """Compare two AUCs measured on the same subjects (DeLong's paired test).

    Parameters
    ----------
    y : array-like of 0/1, shape (n,)
    risk_a, risk_b : array-like, shape (n,)
        Higher means a worse outcome, in both.
    level : float
        Confidence level of the interval of the difference.

    Returns
    -------
    DeLongTest
        `auc_a, auc_b, z, p, difference, ci_low, ci_high, se`, two-sided p. Scores that rank alike give z = 0, p = 1.

    Raises
    ------
    InputError, NotEstimableError
        As `auc`.

    Notes
    -----
    Equals pROC::roc.test(method="delong", paired=TRUE).
    """
    labels, a = _checked(y, risk_a, risk_name="risk_a")
    b = as_finite(risk_b, "risk_b", labels.size)
    return paired_test(placements(labels, a), placements(labels, b), level)


def delong_unpaired(y_a: Any, risk_a: Any, y_b: Any, risk_b: Any, level: float = 0.95) -> UnpairedDeLongTest:
    """Compare the AUCs of two cohorts without a common subject.

    Parameters
    ----------
    y_a, y_b : array-like of 0/1
    risk_a, risk_b : array-like
        Higher means a worse outcome.
    level : float
        Confidence level of the interval of the difference (t distribution).

    Returns
    -------
    UnpairedDeLongTest
        `auc_a, auc_b, t, df, p, difference, ci_low, ci_high, se`. Two curves without variance (both perfect)
        give t = NaN, as pROC.

    Notes
    -----
    Satterthwaite degrees of freedom with n - 1 per cohort, as pROC::roc.test(method="delong", paired=FALSE).
    """
    a = placements(*_checked(y_a, risk_a, "y_a", "risk_a"))
    b = placements(*_checked(y_b, risk_b, "y_b", "risk_b"))
    difference, var_a, var_b = a.auc - b.auc, a.variance(), b.variance()
    n_a, n_b = (x.of_events.size + x.of_nonevents.size for x in (a, b))
    se = float(np.sqrt(var_a + var_b))
    spread = var_a**2 / (n_a - 1) + var_b**2 / (n_b - 1)
    df = (var_a + var_b) ** 2 / spread if spread > 0 else float("nan")
    t = _ratio(difference, se)
    p = float(2 * stats.norm.sf(abs(t))) if np.isinf(t) else float(2 * stats.t.sf(abs(t), df))
    half = _half_width(level, stats.t(df)) * se if se > 0 else se
    return UnpairedDeLongTest(a.auc, b.auc, t, df, p, difference, difference - half, difference + half, se)


_PAIR_COLUMNS = ["signature_a", "signature_b", "auc_a", "auc_b", "difference", "ci_low", "ci_high", "z", "p"]


@dataclass(frozen=True, eq=False)
class DeLongMatrix:
    """All pairs of signatures compared on the same subjects.

    Attributes
    ----------
    pairs : DataFrame
        One row per unordered pair: `signature_a, signature_b, auc_a, auc_b, difference, ci_low, ci_high, z, p`.
    chi2, df, p_overall : float, int, float
        Test that all AUCs are equal (DeLong 1988, eq. 5); `df` is the rank of the contrasts' covariance
        and `p_overall` is NaN where that is 0 (signatures that rank alike).
    """

    pairs: pd.DataFrame
    chi2: float
    df: int
    p_overall: float


def delong_matrix(y: Any, risks: Mapping[str, Any], level: float = 0.95) -> DeLongMatrix:
    """Compare every pair of signatures on the same subjects.

    Parameters
    ----------
    y : array-like of 0/1, shape (n,)
    risks : mapping of signature name to array-like, shape (n,)
        A dict, or a DataFrame with one column per signature.
    level : float
        Confidence level of the differences.

    Returns
    -------
    DeLongMatrix
        `pairs` (a table), `chi2, df, p_overall`.
        The p-values are not adjusted; pass them to `radsupport.stats.table_one.adjust_p` if wanted.
    """
    labels = as_binary(y)
    if len(risks) == 0:
        raise InputError("`risks` names no signature; give at least one as {'name': risk}.")
    names = [str(name) for name in risks]
    parts = [placements(labels, as_finite(risk, f"risks[{name!r}]", labels.size)) for name, risk in risks.items()]
    rows = [
        {"signature_a": names[i], "signature_b": names[j]} | vars(paired_test(parts[i], parts[j], level))
        for i, j in itertools.combinations(range(len(names)), 2)
    ]
    pairs = pd.DataFrame(rows, columns=_PAIR_COLUMNS)
    chi2, df = _equality(np.array([part.auc for part in parts]), _covariance(parts))
    return DeLongMatrix(pairs, chi2, df, float(stats.chi2.sf(chi2, df)) if df else float("nan"))


def _covariance(parts: list[Placements]) -> FloatArray:
    """DeLong's covariance matrix of the AUCs; NaN where a class has a single member."""
    total = np.zeros((len(parts), len(parts)))
    for values in (np.array([x.of_events for x in parts]), np.array([x.of_nonevents for x in parts])):
        n = values.shape[1]
        total += np.atleast_2d(np.cov(values)) / n if n > 1 else np.nan
    return total


def _equality(areas: FloatArray, covariance: FloatArray) -> tuple[float, int]:
    """Chi-square and degrees of freedom of the test that all areas are equal; (NaN, 0) without a variance."""
    if np.isnan(covariance).any():
        return float("nan"), 0
    contrast = np.hstack([np.ones((areas.size - 1, 1)), -np.eye(areas.size - 1)])
    spread, shift = contrast @ covariance @ contrast.T, contrast @ areas
    # A contrast of two signatures that rank alike has no variance: the generalised inverse leaves it out.
    scale = float(np.trace(covariance))
    df = int(np.linalg.matrix_rank(spread, tol=1e-12 * scale, hermitian=True)) if scale > 0 else 0
    inverse = np.linalg.pinv(spread, rcond=1e-10, hermitian=True)
    return float(shift @ inverse @ shift), df


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
    labels, scores = _checked(y, risk)
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


def _rates(tn: Any, fp: Any, fn: Any, tp: Any, level: float) -> dict[str, Any]:
    """Proportions of counts (arrays, or numbers) with Clopper-Pearson limits; NaN without a denominator."""
    of = {
        "accuracy": (tp + tn, tn + fp + fn + tp),
        "sensitivity": (tp, tp + fn),
        "specificity": (tn, tn + fp),
        "ppv": (tp, tp + fp),
        "npv": (tn, tn + fn),
    }
    fields: dict[str, Any] = {}
    for name, (count, total) in of.items():
        known = np.where(np.asarray(total) > 0, total, np.nan)
        low, high = proportion_confint(np.asarray(count), known, alpha=1 - level, method="beta")
        fields |= {name: count / known, f"{name}_low": low, f"{name}_high": high}
    return fields


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
    fields = {name: float(value) for name, value in _rates(tn, fp, fn, tp, level).items()}
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


def confusions(y: Any, risk: Any, thresholds: Any, level: float = 0.95) -> pd.DataFrame:
    """Confusion matrices of one risk at many thresholds, each as `confusion` gives it.

    Parameters
    ----------
    y : array-like of 0/1, shape (n,)
        1 is the event; one class alone is allowed.
    risk : array-like, shape (n,)
    thresholds : array-like, shape (m,)
        Positive means risk > threshold; may be infinite.
    level : float
        Confidence level of the Clopper-Pearson limits.

    Returns
    -------
    DataFrame
        m rows: threshold, tn, fp, fn, tp, and accuracy, sensitivity, specificity, ppv, npv with _low and _high.

    Raises
    ------
    InputError
        NaN, unequal lengths, other labels than 0/1.
    """
    labels, marks = as_binary(y, both_classes=False), np.asarray(thresholds, dtype=float)
    scores = as_finite(risk, "risk", labels.size)
    tn, fn = (np.searchsorted(np.sort(scores[labels == value]), marks, side="right") for value in (0, 1))
    tp, fp = (labels == 1).sum() - fn, (labels == 0).sum() - tn
    counts = {"threshold": marks, "tn": tn, "fp": fp, "fn": fn, "tp": tp}
    return pd.DataFrame(counts | _rates(tn, fp, fn, tp, as_level(level)))
