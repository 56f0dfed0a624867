"""Brier score of predicted survival under censoring, and its integral over time.

scikit-survival weights cases by G(T) rather than G(T-) and integrates by trapezoids over the span of the times; R's pec
and riskRegression, and this module, integrate left rectangles from 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from radsupport.checks import FloatArray, IntArray
from radsupport.errors import InputError, NotEstimableError
from radsupport.stats.bootstrap import bootstrap, limits
from radsupport.stats.survival_curves import at_times, prediction_times, steps, survival_times
from radsupport.stats.time_roc import Horizon, censoring_term, contrast, horizon_weights, resampled_weights


@dataclass(frozen=True)
class IntegratedBrier:
    """Integrated Brier score: that from 0 to the last time, divided by it.

    Attributes
    ----------
    integrated_brier : float
    se, ci_low, ci_high : float
        se from the influence function; limits as asked for, NaN with ``interval="none"``.
    null : float
        That of the Kaplan–Meier estimate, the same for everybody.
    scaled : float
        1 - integrated_brier / null.
    """

    integrated_brier: float
    se: float
    ci_low: float
    ci_high: float
    null: float
    scaled: float


def brier_score(
    time: Any,
    event: Any,
    predicted_risk: Any,
    times: Any,
    *,
    interval: str = "bootstrap",
    n_resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> pd.DataFrame:
    """Prediction error at given times (riskRegression::Score with metrics="brier", pec::pec).

    BS(t) = (1/n) sum of (1 - r)^2 1{T <= t, event} / G(T-) + r^2 1{T > t} / G(t), with the marginal Kaplan–Meier
    estimate G of the censoring time (weights: G(T-), events T <= t).

    Parameters
    ----------
    time, event : array-like, shape (n,)
    predicted_risk : array-like, shape (n, m), or (n,) for one time
        Probability of the event by each of `times`, for example ``1 - predict_survival(fit, rows, times)``.
    times : float or array-like, shape (m,)
    interval : {"bootstrap", "influence", "none"}
        Percentile bootstrap over subjects, weights estimated anew; or Wald limits by the influence function, as
        riskRegression.
    n_resamples, seed : int
    level : float

    Returns
    -------
    DataFrame
        time, brier, se (influence function), ci_low, ci_high, null (Brier score of the Kaplan–Meier estimate), scaled
        (1 - brier / null), n_cases, n_controls.

    Raises
    ------
    InputError
        Risks outside [0, 1] or of the wrong shape.
    NotEstimableError
        A time after the last follow-up.
    """
    data = _Errors.of(time, event, predicted_risk, times)
    score, influence, null = data.score(), data.influence(), data.null()
    se = influence.std(axis=0, ddof=1) / np.sqrt(data.time.size)
    n = data.time.size
    low, high = limits(
        score, se, interval, level, lambda: bootstrap(data.resampled, n, n_resamples, seed), "the Brier score"
    )
    return pd.DataFrame(
        {
            "time": data.times,
            "brier": score,
            "se": se,
            "ci_low": low,
            "ci_high": high,
            "null": null,
            "scaled": 1 - np.divide(score, null, out=np.full_like(score, np.nan), where=null > 0),
            "n_cases": [int(h.case.sum()) for h in data.horizons],
            "n_controls": [int(h.control.sum()) for h in data.horizons],
        }
    )


def brier_difference(
    time: Any, event: Any, risk_a: Any, risk_b: Any, times: Any, *, level: float = 0.95
) -> pd.DataFrame:
    """Compare the Brier scores of two predictions for the same subjects (the contrasts of riskRegression::Score).

    Parameters
    ----------
    time, event, times
        As `brier_score`.
    risk_a, risk_b : array-like, shape (n, m)
        Predicted risks of the two models.

    Returns
    -------
    DataFrame
        time, brier_a, brier_b, difference (a - b), se (influence function), ci_low, ci_high, z, p.
    """
    first, second = (_Errors.of(time, event, risk, times) for risk in (risk_a, risk_b))
    influence = first.influence() - second.influence()
    se = influence.std(axis=0, ddof=1) / np.sqrt(first.time.size)
    return contrast("brier", first.times, first.score(), second.score(), se, level)


def integrated_brier(
    time: Any,
    event: Any,
    predicted_risk: Any,
    times: Any,
    *,
    interval: str = "bootstrap",
    n_resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> IntegratedBrier:
    """Brier score averaged over time from 0 to the last of `times` (pec::crps, riskRegression's IBS).

    Parameters
    ----------
    time, event, predicted_risk, times
        As `brier_score`; `times` ascending. The score is a step function that is 0 at 0 and keeps its value
        until the next time, as in R.
    interval, n_resamples, seed, level
        As `brier_score`.

    Returns
    -------
    IntegratedBrier

    Raises
    ------
    InputError
        As `brier_score`, and times that are not ascending or fewer than two.
    """
    data = _Errors.of(time, event, predicted_risk, times)
    if data.times.size < 2 or (np.diff(data.times) <= 0).any():
        raise InputError("`times` must hold at least two ascending times to integrate over.")
    weights = np.append(np.diff(data.times), 0.0) / data.times[-1]
    score, null = float(data.score() @ weights), float(data.null() @ weights)
    se = float((data.influence() @ weights).std(ddof=1) / np.sqrt(data.time.size))

    def draw() -> FloatArray:
        return bootstrap(lambda counts: data.resampled(counts) @ weights[:, None], data.time.size, n_resamples, seed)

    low, high = limits(np.array([score]), np.array([se]), interval, level, draw, "the Brier score")
    scaled = 1 - score / null if null > 0 else float("nan")
    return IntegratedBrier(score, se, float(low[0]), float(high[0]), null, scaled)


@dataclass(frozen=True, eq=False)
class _Errors:
    """Squared errors of the predictions at each time, and the weights that go with them."""

    time: FloatArray
    event: IntArray
    times: FloatArray
    risk: FloatArray  # (n, m)
    horizons: list[Horizon]

    @classmethod
    def of(cls, time: Any, event: Any, predicted_risk: Any, times: Any) -> _Errors:
        checked, events = survival_times(time, event)
        wanted = prediction_times(times)
        late = wanted[wanted > checked.max()]
        if late.size:
            raise NotEstimableError(
                f"Nobody is followed up to {', '.join(f'{t:g}' for t in late)}: the last time is {checked.max():g}."
            )
        risk = _risks(predicted_risk, checked.size, wanted.size)
        horizons = [horizon_weights(checked, events, float(t)) for t in wanted]
        return cls(checked, events, wanted, risk, horizons)

    def residuals(self, risk: FloatArray) -> FloatArray:
        """Weighted squared errors, shape (n, m)."""
        columns = [
            h.case_weight * (1 - risk[:, k]) ** 2 + h.control_weight * risk[:, k] ** 2
            for k, h in enumerate(self.horizons)
        ]
        return np.column_stack(columns)

    def score(self) -> FloatArray:
        return self.residuals(self.risk).mean(axis=0)

    def null(self) -> FloatArray:
        found = steps(self.time, self.event)
        risk = 1 - at_times(found.time, found.survival, self.times)
        return self.residuals(np.broadcast_to(risk, self.risk.shape)).mean(axis=0)

    def influence(self) -> FloatArray:
        """Influence function of each score, shape (n, m)."""
        residuals = self.residuals(self.risk)
        columns = [
            residuals[:, k] - residuals[:, k].mean() + censoring_term(self.time, self.event, h, residuals[:, k])
            for k, h in enumerate(self.horizons)
        ]
        return np.column_stack(columns)

    def resampled(self, counts: FloatArray) -> FloatArray:
        """Scores of each resample, shape (b, m)."""
        scores = np.empty((len(counts), self.times.size))
        for k, horizon in enumerate(self.horizons):
            cases, controls = resampled_weights(self.time, self.event, counts, horizon)
            scores[:, k] = cases @ (1 - self.risk[:, k]) ** 2 + controls @ self.risk[:, k] ** 2
        return scores / self.time.size


def _risks(predicted_risk: Any, n: int, m: int) -> FloatArray:
    try:
        risk = np.asarray(predicted_risk, dtype=float)
    except (TypeError, ValueError) as error:
        raise InputError(f"`predicted_risk` must be numeric: {error}") from error
    risk = risk[:, None] if risk.ndim == 1 and m == 1 else risk
    if risk.shape != (n, m):
        raise InputError(
            f"`predicted_risk` has shape {risk.shape}; one row per subject and one column per time: {(n, m)}."
        )
    if not ((risk >= 0) & (risk <= 1)).all():
        raise InputError(
            "`predicted_risk` must hold probabilities of the event by each time, between 0 and 1 and none missing."
        )
    return risk
