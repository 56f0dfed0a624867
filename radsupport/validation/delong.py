"""AUC with DeLong's variance, and DeLong's tests for paired and independent ROC curves.

Own code because no kept library has DeLong's variance: scikit-learn gives the AUC only, pingouin and statsmodels
have none. Placement values come from midranks (Sun & Xu 2014), so the cost grows like n log n and ties count
one half exactly. Values equal pROC's `ci.auc`, `roc.test` and `cov` (method "delong").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from radsupport.checks import FloatArray, as_binary, as_finite, as_level


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
    labels, scores = _checked(y, risk)
    return auc_of(placements(labels, scores), level)


def auc_of(parts: Placements, level: float) -> AUC:
    """AUC, interval and test against one half from placement values."""
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
