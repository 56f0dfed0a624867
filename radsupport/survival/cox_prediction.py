"""Predicted survival and residuals of a Cox fit, by R's baseline of the ties method.

lifelines' `predict_survival_function(times=...)` interpolates between event times and, like scikit-survival, has only
Breslow's baseline; survival curves are steps and Efron fits have Efron's baseline here, as in R's survfit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from radsupport.checks import FloatArray
from radsupport.modelling.fitted import check_level
from radsupport.survival.cox_fit import CoxFit
from radsupport.survival.partial_likelihood import at_deaths, risk_sets, subject_weights
from radsupport.survival.times import prediction_times, survival_times


def cumulative_hazard(fit: CoxFit, times: Any) -> FloatArray:
    """Cumulative baseline hazard (at the covariates' means) at `times`: a right-continuous step function."""
    steps = np.concatenate([[0.0], fit.baseline["cumulative_hazard"].to_numpy()])
    return steps[np.searchsorted(fit.baseline["time"].to_numpy(), prediction_times(times), side="right")]


def predict_survival(fit: CoxFit, rows: pd.DataFrame, times: Any) -> pd.DataFrame:
    """Predicted survival of each row at each time (survival::survfit.coxph).

    S(t | x) = exp(-H(t) exp(lp)), H being Efron's or Breslow's cumulative baseline hazard as the model's ties; a step
    function that is constant after the last event. Beyond the longest follow-up nothing is known: NaN, as R's summary
    leaves such times out.

    Parameters
    ----------
    fit : CoxFit
    rows : DataFrame
        Subjects, with the model's columns.
    times : float or array-like, shape (m,)

    Returns
    -------
    DataFrame, shape (n, m)
        Index of `rows`, columns `times`.
    """
    wanted = prediction_times(times)
    hazard = np.outer(np.exp(fit.linear_predictor(rows)), cumulative_hazard(fit, wanted))
    survival = np.exp(-hazard)
    survival[:, wanted > fit.data[fit.time].max()] = np.nan
    return pd.DataFrame(survival, index=rows.index, columns=wanted)


def survival_interval(
    fit: CoxFit, rows: pd.DataFrame, times: Any, level: float = 0.95
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Confidence limits of `predict_survival` on the log scale (R's default conf.type), cut at 1.

    The variance of H(t | x) adds that of the baseline and that of the coefficients (Tsiatis 1981, Link 1984), the ties
    as in the fit.

    Returns
    -------
    low, high : DataFrame, shape (n, m)
    """
    wanted = prediction_times(times)
    matrix = fit.design.transform(rows) - fit.means.to_numpy()
    z = float(stats.norm.ppf(0.5 + check_level(level) / 2))
    survival = predict_survival(fit, rows, wanted)
    se = np.sqrt(np.array([_hazard_variance(fit, matrix, float(time)) for time in wanted]).T)
    log_survival = np.log(survival.to_numpy())
    low, high = np.exp(log_survival - z * se), np.minimum(np.exp(log_survival + z * se), 1.0)
    index, columns = survival.index, survival.columns
    return pd.DataFrame(low, index=index, columns=columns), pd.DataFrame(high, index=index, columns=columns)


def _hazard_variance(fit: CoxFit, matrix: FloatArray, time: float) -> FloatArray:
    """Variance of the cumulative hazard at one time for covariates relative to the means, shape (n,)."""
    times, events = survival_times(fit.data[fit.time], fit.data[fit.event])
    sets = risk_sets(times, events, fit.ties)
    x = (fit.design.transform(fit.data) - fit.means.to_numpy())[sets.order]
    risk = np.exp(x @ fit.coef.to_numpy())
    total = at_deaths(sets, risk)
    mean = at_deaths(sets, risk[:, None] * x) / total[:, None]
    past = sets.times[sets.group] <= time
    gradient = matrix * (past / total).sum() - ((past / total)[:, None] * mean).sum(axis=0)
    spread = np.einsum("ij,jk,ik->i", gradient, fit.covariance.to_numpy(), gradient)
    return np.exp(2 * matrix @ fit.coef.to_numpy()) * ((past / total**2).sum() + spread)


def martingale_residuals(fit: CoxFit) -> pd.Series:
    """Events minus expected events of each subject (residuals.coxph, type "martingale"), by row of ``fit.data``."""
    times, events = survival_times(fit.data[fit.time], fit.data[fit.event])
    sets = risk_sets(times, events, fit.ties)
    risk = np.exp(fit.linear_predictor(fit.data))[sets.order]
    expected = np.empty(times.size)
    expected[sets.order] = risk * subject_weights(sets, 1.0 / at_deaths(sets, risk), times.size)
    return pd.Series(events - expected, index=fit.data.index, name="martingale")


def deviance_residuals(fit: CoxFit) -> pd.Series:
    """Martingale residuals made symmetric around zero (residuals.coxph, type "deviance")."""
    martingale = martingale_residuals(fit)
    events = fit.data[fit.event].to_numpy(dtype=float)
    expected = events - martingale.to_numpy()
    log_term = np.where(events == 1, np.log(np.where(expected > 0, expected, 1.0)), 0.0)
    size = np.sqrt(np.maximum(-2 * (martingale.to_numpy() + events * log_term), 0.0))
    return pd.Series(np.sign(martingale.to_numpy()) * size, index=martingale.index, name="deviance")
