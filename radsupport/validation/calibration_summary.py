"""Calibration in numbers: Hosmer-Lemeshow, recalibration intercept and slope, Brier score, ICI."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special, stats

from radsupport.checks import FloatArray, IntArray, as_binary, as_level, as_probability
from radsupport.errors import InputError, NotEstimableError
from radsupport.modelling.newton import maximise
from radsupport.validation.smoothing import lowess

_NAN = float("nan")


@dataclass(frozen=True)
class HosmerLemeshow:
    """Hosmer-Lemeshow test; `groups` is how many groups the quantiles formed."""

    chi2: float
    df: int
    p: float
    groups: int


@dataclass(frozen=True)
class CalibrationSummary:
    """Calibration of predicted probabilities.

    Attributes
    ----------
    intercept, slope : float
        Joint logistic recalibration, logit P(y) = intercept + slope logit(p). NaN if the predictions do not vary
        or separate the outcomes completely.
    intercept_se, slope_se, slope_low, slope_high : float
        Standard errors and the Wald interval of the slope.
    intercept_in_the_large : float
        Intercept with the slope fixed at 1, and its Wald interval `in_the_large_low`, `in_the_large_high`.
    brier, brier_scaled, log_loss : float
        Mean squared error; 1 - brier / (brier of predicting the prevalence); mean negative log-likelihood
        (inf if an outcome had probability 0).
    e_max, e_90, ici : float
        Largest, 90% quantile and mean (integrated calibration index) of |p - smoothed outcome|.
    n, events, n_infinite : int
        Subjects, events, and predictions of exactly 0 or 1, which the logistic fits leave out.
    """

    intercept: float
    slope: float
    intercept_in_the_large: float
    brier: float
    brier_scaled: float
    e_max: float
    ici: float
    intercept_se: float
    slope_se: float
    slope_low: float
    slope_high: float
    in_the_large_low: float
    in_the_large_high: float
    e_90: float
    log_loss: float
    n: int
    events: int
    n_infinite: int


def quantile_groups(p: FloatArray, groups: int) -> IntArray:
    """Group of each prediction, 0 the lowest: cuts at the quantiles (type 7), right-closed, as R's cut.

    Equal quantiles are merged, and empty groups skipped, so that fewer than `groups` groups may result.
    """
    if groups < 2:
        raise InputError(f"`groups` must be at least 2, it is {groups}; 10 is usual.")
    cuts = np.unique(_quantiles(p, np.linspace(0, 1, groups + 1)))
    place = np.clip(np.searchsorted(cuts, p, side="left") - 1, 0, None)
    return np.unique(place, return_inverse=True)[1].astype(np.int64)


def _quantiles(values: FloatArray, shares: FloatArray) -> FloatArray:
    """Quantiles of type 7 with R's rounding; numpy's differ in the last digit, which moves a value equal to a cut."""
    ordered = np.sort(values)
    # Counting from 1, as R does: the weight carries the rounding of this sum.
    position = 1 + (values.size - 1) * shares
    below = np.floor(position)
    low, high = ordered[below.astype(int) - 1], ordered[np.ceil(position).astype(int) - 1]
    weight = position - below
    return np.where((weight > 0) & (low != high), (1 - weight) * low + weight * high, low)


def hosmer_lemeshow(y: Any, p: Any, groups: int = 10, external: bool = False) -> HosmerLemeshow:
    """Hosmer-Lemeshow goodness-of-fit test.

    Parameters
    ----------
    y : array-like of 0/1, shape (n,)
    p : array-like of probabilities, shape (n,)
    groups : int
        Groups asked for, by quantiles of `p`.
    external : bool
        True for predictions that were not fitted to these outcomes: as many degrees of freedom as groups,
        instead of two fewer.

    Returns
    -------
    HosmerLemeshow
        `chi2, df, p, groups`. A group whose predictions are all 0 (or 1) and right adds nothing, one that is
        wrong makes `chi2` infinite.

    Raises
    ------
    InputError, NotEstimableError
        Invalid input; only one class; fewer than three groups (no degree of freedom) unless `external`.

    Notes
    -----
    Equals ResourceSelection::hoslem.test, whose df counts the groups that ties allow.
    """
    labels = as_binary(y)
    risk = as_probability(p, "p", labels.size)
    place = quantile_groups(risk, groups)
    formed = int(place.max()) + 1
    df = formed if external else formed - 2
    if df < 1:
        raise NotEstimableError(
            f"The predictions form {formed} group(s); the Hosmer-Lemeshow test needs at least three. "
            "They take too few distinct values."
        )
    chi2 = sum(
        _pearson(_sums(place, part), _sums(place, share)) for part, share in ((labels, risk), (1 - labels, 1 - risk))
    )
    return HosmerLemeshow(chi2, df, float(stats.chi2.sf(chi2, df)), formed)


def _sums(place: IntArray, values: Any) -> FloatArray:
    return np.bincount(place, weights=values).astype(np.float64)


def _pearson(observed: FloatArray, expected: FloatArray) -> float:
    """Sum of (O - E)^2 / E, where 0 out of 0 counts nothing and some out of 0 is infinite."""
    gap = (observed - expected) ** 2
    ratio = np.divide(gap, expected, out=np.where(gap > 0, np.inf, 0.0), where=expected > 0)
    return float(ratio.sum())


def recalibration_fit(labels: IntArray, logit: FloatArray) -> tuple[float, float, float, float]:
    """Return intercept, slope and their SEs of a logistic fit on the log odds; NaN where it has no finite maximum."""
    events, others = logit[labels == 1], logit[labels == 0]
    overlap = events.size and others.size and events.min() < others.max() and others.min() < events.max()
    if not overlap:
        return _NAN, _NAN, _NAN, _NAN
    mean, sd = logit.mean(), logit.std()
    design = np.column_stack([np.ones(logit.size), (logit - mean) / sd])
    beta, covariance = _logistic(labels, design, np.zeros(logit.size))
    back = np.array([[1, -mean / sd], [0, 1 / sd]])
    (intercept, slope), errors = back @ beta, np.sqrt(np.diag(back @ covariance @ back.T))
    return float(intercept), float(slope), float(errors[0]), float(errors[1])


def _in_the_large(labels: IntArray, logit: FloatArray) -> tuple[float, float]:
    """Intercept at slope 1 and its SE; NaN without both classes."""
    if np.unique(labels).size < 2:
        return _NAN, _NAN
    beta, covariance = _logistic(labels, np.ones((labels.size, 1)), logit)
    return float(beta[0]), float(np.sqrt(covariance[0, 0]))


def _logistic(labels: IntArray, design: FloatArray, offset: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Logistic regression with an offset: coefficients and covariance, NaN if Newton's method does not settle.

    statsmodels gives the same values, but overflows on probabilities like 1e-300, which networks do produce.
    """

    def evaluate(beta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        eta = offset + design @ beta
        share = special.expit(eta)
        value = float(labels @ eta - np.logaddexp(0, eta).sum())
        return value, design.T @ (labels - share), design.T @ (design * (share * (1 - share))[:, None])

    size = design.shape[1]
    best = maximise(evaluate, np.zeros(size))
    if not best.converged:
        return np.full(size, np.nan), np.full((size, size), np.nan)
    return best.beta, np.linalg.inv(best.information).astype(np.float64)


def calibration_summary(y: Any, p: Any, level: float = 0.95) -> CalibrationSummary:
    """Weak and moderate calibration of predicted probabilities.

    Parameters
    ----------
    y : array-like of 0/1, shape (n,)
    p : array-like of probabilities, shape (n,)
    level : float
        Confidence level of the Wald limits.

    Returns
    -------
    CalibrationSummary

    Raises
    ------
    InputError, NotEstimableError
        NaN, a value outside 0-1, unequal lengths; only one class.

    Notes
    -----
    Equals rms::val.prob and glm(y ~ qlogis(p)). Like val.prob, the logistic fits leave out predictions of exactly
    0 or 1 (counted in `n_infinite`), and `e_max` and `ici` (there Emax, Eavg) come from lowess(p, y, iter=0);
    Austin & Steyerberg 2019 smooth by loess instead, which gives slightly other values.
    """
    labels = as_binary(y)
    risk = as_probability(p, "p", labels.size)
    inside = (risk > 0) & (risk < 1)
    logit = special.logit(risk[inside])
    intercept, slope, intercept_se, slope_se = recalibration_fit(labels[inside], logit)
    shift, shift_se = _in_the_large(labels[inside], logit)
    z = float(stats.norm.ppf(0.5 + as_level(level) / 2))
    prevalence, brier = float(labels.mean()), float(np.mean((labels - risk) ** 2))
    error = np.abs(risk - lowess(risk, labels.astype(float)))
    loss = -(special.xlogy(labels, risk) + special.xlog1py(1 - labels, -risk))
    return CalibrationSummary(
        intercept=intercept,
        slope=slope,
        intercept_in_the_large=shift,
        brier=brier,
        brier_scaled=1 - brier / (prevalence * (1 - prevalence)),
        e_max=float(error.max()),
        ici=float(error.mean()),
        intercept_se=intercept_se,
        slope_se=slope_se,
        slope_low=slope - z * slope_se,
        slope_high=slope + z * slope_se,
        in_the_large_low=shift - z * shift_se,
        in_the_large_high=shift + z * shift_se,
        e_90=float(np.quantile(error, 0.9)),
        log_loss=float(loss.mean()),
        n=labels.size,
        events=int(labels.sum()),
        n_infinite=int((~inside).sum()),
    )
