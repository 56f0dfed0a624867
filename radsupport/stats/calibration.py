"""Calibration of predicted probabilities: curves, intercept and slope, Brier score, ICI, Hosmer-Lemeshow's test.

Curves are grouped or smoothed for a binary outcome (R's lowess, and loess with a band) and grouped Kaplan-Meier at a
horizon for survival.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import special, stats
from statsmodels.stats.proportion import proportion_confint

from radsupport.checks import FloatArray, IntArray, as_binary, as_finite, as_level, as_probability, as_survival
from radsupport.errors import InputError, NotEstimableError
from radsupport.stats.newton import maximise
from radsupport.stats.survival_curves import at_times, steps


def lowess(x: FloatArray, y: FloatArray, span: float = 2 / 3) -> FloatArray:
    """Locally linear smooth of `y` at each `x`, as R's lowess(x, y, f=span, iter=0).

    Parameters
    ----------
    x, y : ndarray, shape (n,)
    span : float
        Share of the points in each window.

    Returns
    -------
    ndarray, shape (n,)
        Smoothed `y`, in the order of `x`.

    Notes
    -----
    Cleveland 1979, with R's default delta: points closer than 1% of the range to the last fitted one are
    interpolated. Own code because statsmodels' lowess agrees only while windows have a width: where many
    predictions are equal (a constant risk, a score with few levels) it returns NaN or, without a warning, another
    point's value; R then takes the mean of `y` among the equal ones, and so does this function.
    """
    order = np.argsort(x, kind="stable")
    fitted = np.empty(x.size)
    fitted[order] = _lowess_sorted(x[order], y[order], span)
    return fitted


def _lowess_sorted(x: FloatArray, y: FloatArray, span: float) -> FloatArray:
    n = x.size
    window = min(max(2, int(span * n + 1e-7)), n)
    delta = 0.01 * (x[-1] - x[0])
    fitted = np.empty(n)
    here, last, left = 0, -1, 0
    while last < n - 1:
        while left + window < n and x[here] - x[left] > x[left + window] - x[here]:
            left += 1
        fitted[here] = _local_line(x, y, here, left, left + window - 1)
        if last < here - 1:
            fitted[last + 1 : here] = np.interp(x[last + 1 : here], x[[last, here]], fitted[[last, here]])
        last = int(np.searchsorted(x, x[here], side="right")) - 1
        fitted[here : last + 1] = fitted[here]
        here = max(last + 1, int(np.searchsorted(x, x[last] + delta, side="right")) - 1)
    return fitted


def _local_line(x: FloatArray, y: FloatArray, here: int, left: int, right: int) -> float:
    """Tricube-weighted straight line at x[here]; the weighted mean where the window has no spread."""
    reach = max(x[here] - x[left], x[right] - x[here])
    # Points beyond the window that tie with its last one belong to it.
    stop = int(np.searchsorted(x, x[here] + reach, side="right"))
    near, values = x[left:stop], y[left:stop]
    distance = np.abs(near - x[here])
    # Within 0.1% of the reach the weight is 1, beyond 99.9% it is 0, as in Cleveland's routine.
    weight = np.where(distance <= 0.001 * reach, 1.0, _tricube(distance, reach))
    weight[distance > 0.999 * reach] = 0
    weight /= weight.sum()
    centre = weight @ near
    spread = weight @ (near - centre) ** 2
    if reach > 0 and np.sqrt(spread) > 0.001 * (x[-1] - x[0]):
        weight = weight * (1 + (x[here] - centre) / spread * (near - centre))
    return float(weight @ values)


def loess(x: FloatArray, y: FloatArray, at: FloatArray, span: float = 0.75) -> tuple[FloatArray, FloatArray]:
    """Locally quadratic smooth with tricube weights, and its operator.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
    at : ndarray, shape (m,)
        Where the curve is wanted.
    span : float
        Share of the points in each window.

    Returns
    -------
    fitted : ndarray, shape (m,)
    operator : ndarray, shape (m, n)
        `fitted` is `operator @ y`; its rows give the variance of the fit.

    Notes
    -----
    Cleveland & Devlin 1988; R's loess(degree=2, surface="direct"). Own code because statsmodels' lowess is locally
    linear and returns no operator. Where a window holds fewer than three distinct x, the fit of least norm is used.
    """
    window = int(np.floor(x.size * span + 1e-5))
    window = min(max(window, 1), x.size)
    operator = np.zeros((at.size, x.size))
    for row, centre in zip(operator, at, strict=True):
        distance = np.abs(x - centre)
        reach = np.partition(distance, window - 1)[window - 1]
        weight = np.sqrt(_tricube(distance, reach))
        design = np.vander(x - centre, 3, increasing=True)
        # The first row of the weighted pseudoinverse is the fit at the centre as a function of y.
        row[:] = np.linalg.pinv(design * weight[:, None])[0] * weight
    return operator @ y, operator


def _tricube(distance: FloatArray, reach: float) -> FloatArray:
    if reach == 0:
        return (distance == 0).astype(float)
    return np.clip(1 - (distance / reach) ** 3, 0, None) ** 3


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


def calibration_curve(
    y: Any, p: Any, method: str = "grouped", groups: int = 10, span: float = 0.75, level: float = 0.95
) -> pd.DataFrame:
    """Observed against predicted probability.

    Parameters
    ----------
    y : array-like of 0/1, shape (n,)
    p : array-like of probabilities, shape (n,)
    method : {"grouped", "loess"}
        Shares in quantile groups of `p`, or a smooth curve.
    groups : int
        Groups asked for (ties may leave fewer).
    span : float
        Share of the subjects in each window of the smooth curve.
    level : float
        Confidence level of the limits at each point.

    Returns
    -------
    DataFrame
        grouped: `group, n, events, predicted` (mean), `observed` (share), `ci_low, ci_high` (Clopper-Pearson).
        loess: `predicted` (100 points over the range of `p`), `observed`, `ci_low, ci_high`.

    Raises
    ------
    InputError, NotEstimableError
        Invalid input or unknown method; only one class; a constant `p` with the smooth curve.

    Notes
    -----
    The smooth curve is R's loess(y ~ p, degree=2, surface="direct"), as in CalibrationCurves::val.prob.ci.2, cut at 0
    and 1, which a local parabola may overshoot. Its band is not R's, which has one residual variance for all points:
    it holds Wilson's limits of a share in 1 / sum l_i^2 patients, as many as would make a plain mean as variable as the
    weighted sum of outcomes that the curve is at that point. They exist for shares of 0 and 1 and stay inside 0-1.
    """
    labels = as_binary(y)
    risk = as_probability(p, "p", labels.size)
    if method == "grouped":
        return _grouped(labels, risk, groups, level)
    if method == "loess":
        return _smooth(labels, risk, span, level)
    raise InputError(f"`method` is {method!r}; expected 'grouped' or 'loess'.")


def _grouped(labels: IntArray, risk: FloatArray, groups: int, level: float) -> pd.DataFrame:
    place = quantile_groups(risk, groups)
    n = np.bincount(place)
    events = np.bincount(place, weights=labels).astype(np.int64)
    low, high = proportion_confint(events, n, alpha=1 - as_level(level), method="beta")
    return pd.DataFrame(
        {
            "group": np.arange(1, n.size + 1),
            "n": n,
            "events": events,
            "predicted": np.bincount(place, weights=risk) / n,
            "observed": events / n,
            "ci_low": low,
            "ci_high": high,
        }
    )


def _smooth(labels: IntArray, risk: FloatArray, span: float, level: float) -> pd.DataFrame:
    if np.ptp(risk) == 0:
        raise NotEstimableError(
            f"All {risk.size} predictions equal {risk[0]:g}; a smooth calibration curve needs predictions that vary."
        )
    at = np.linspace(risk.min(), risk.max(), 100)
    fitted, operator = loess(risk, labels.astype(float), at, span)
    share = np.clip(fitted, 0, 1)
    alike = 1 / (operator**2).sum(axis=1)
    low, high = proportion_confint(share * alike, alike, alpha=1 - as_level(level), method="wilson")
    return pd.DataFrame(
        {"predicted": at, "observed": share, "ci_low": np.clip(low, 0, 1), "ci_high": np.clip(high, 0, 1)}
    )


def calibration_curve_survival(
    time: Any, event: Any, risk: Any, horizon: float, groups: int = 5, level: float = 0.95
) -> pd.DataFrame:
    """Kaplan-Meier risk at a horizon against predicted risk, in quantile groups.

    Parameters
    ----------
    time, event : array-like, shape (n,)
        Follow-up and event indicator (0/1).
    risk : array-like of probabilities, shape (n,)
        Predicted probability of the event by the horizon.
    horizon : float
        In the unit of `time`.
    groups : int
        Groups asked for, by quantiles of `risk`.
    level : float
        Confidence level.

    Returns
    -------
    DataFrame
        `group, n, events` (by the horizon), `predicted` (mean risk), `observed` (1 - Kaplan-Meier),
        `ci_low, ci_high` (Greenwood on the log scale, R's default; NaN where nobody survives). NaN where a group is
        not followed to the horizon.

    Raises
    ------
    InputError, NotEstimableError
        Invalid input; nobody is followed to the horizon.
    """
    times, events = as_survival(time, event)
    predicted = as_probability(risk, "risk", times.size)
    as_horizon(times, horizon)
    place = quantile_groups(predicted, groups)
    member = place[None, :] == np.arange(place.max() + 1)[:, None]
    survival, log_se = survival_at(times, events, member, horizon)
    # Where nobody survives there are no limits, as in R.
    alive = np.where(survival > 0, survival, np.nan)
    half = stats.norm.ppf(0.5 + as_level(level) / 2) * np.where(survival > 0, log_se, np.nan)
    return pd.DataFrame(
        {
            "group": np.arange(1, len(member) + 1),
            "n": member.sum(axis=1),
            "events": member @ (events * (times <= horizon)),
            "predicted": member @ predicted / member.sum(axis=1),
            "observed": 1 - survival,
            "ci_low": 1 - np.minimum(alive * np.exp(half), 1),
            "ci_high": 1 - alive * np.exp(-half),
        }
    )


def as_horizon(times: FloatArray, horizon: float) -> float:
    """Return the horizon if somebody is followed that long.

    Raises
    ------
    InputError
        Not a positive number.
    NotEstimableError
        All follow-up ends before it.
    """
    value = float(as_finite([horizon], "horizon")[0])
    if value <= 0:
        raise InputError(f"`horizon` must be positive, it is {value:g}.")
    if times.max() < value:
        raise NotEstimableError(
            f"Nobody is followed to the horizon {value:g}; the longest follow-up is {times.max():g}. "
            "Choose an earlier horizon, in the unit of `time`."
        )
    return value


def survival_at(times: FloatArray, events: IntArray, member: Any, horizon: float) -> tuple[FloatArray, FloatArray]:
    """Kaplan-Meier survival of several groups at a horizon, and Greenwood's SE of its logarithm.

    Parameters
    ----------
    times, events : ndarray, shape (n,)
    member : bool ndarray, or float ndarray of counts, shape (groups, n)
        Groups may overlap; a count is how often a resample holds the subject.
    horizon : float

    Returns
    -------
    survival, log_se : ndarray, shape (groups,)
        NaN for a group of which nobody is followed to the horizon. `log_se` is infinite where survival is 0.
    """
    found = steps(times, events, member.astype(float))
    survival = at_times(found.time, found.survival, np.array([horizon]))[:, 0]
    until = found.time <= horizon
    lost, at_risk = found.n_event[:, until], found.n_risk[:, until]
    left = at_risk * (at_risk - lost)
    term = np.divide(lost, left, out=np.where(lost > 0, np.inf, 0.0), where=left > 0)
    followed = ((member > 0) & (times >= horizon)).any(axis=1)
    return np.where(followed, survival, np.nan), np.where(followed, np.sqrt(term.sum(axis=1)), np.nan)
