"""Survival models whose curve has a formula: Weibull, log-normal and log-logistic, with accelerated failure times.

The fits are lifelines', equal to those of R's survreg. What stands here is a reason where a fit does not exist:
lifelines warns, or gives numbers without meaning.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from lifelines import LogLogisticAFTFitter, LogNormalAFTFitter, WeibullAFTFitter
from lifelines.exceptions import (
    ApproximationWarning,
    ConvergenceError,
    ConvergenceWarning,
    StatError,
    StatisticalWarning,
)
from scipy import stats

from radsupport.checks import FloatArray
from radsupport.errors import InputError, NotEstimableError
from radsupport.stats.regression import check_choice, check_level, standardise
from radsupport.stats.survival_curves import prediction_times, survival_times


class _Started:
    """A fit that starts at the exponential distribution of all times.

    lifelines first fits its distribution without covariates, by numerical search, which takes half of the time.
    """

    def _create_initial_point(self, times: Any, events: Any, _entries: Any, _weights: Any, design: Any) -> Any:
        """Return zeros but for the intercept of log time, by parameter."""
        start = {}
        for name, columns in design.columns.groupby(design.columns.get_level_values(0)).items():
            of_time = name == self._primary_parameter_name  # type: ignore[attr-defined]
            level = np.log(times[0].sum() / events.sum()) if of_time else 0.0
            start[name] = np.where(columns.get_level_values(1) == "Intercept", level, 0.0)
        return start


_NAMED = {"Weibull": WeibullAFTFitter, "log-normal": LogNormalAFTFitter, "log-logistic": LogLogisticAFTFitter}
_FITTERS: dict[str, Any] = {family: type(one.__name__, (_Started, one), {}) for family, one in _NAMED.items()}
FAMILIES = tuple(_FITTERS)
#: How far scipy's minimisers go; by default lifelines' log-logistic fit stops 2e-4 below the largest log-likelihood.
_EXACT = {"Weibull": {"ftol": 1e-12}, "log-normal": {"gtol": 1e-7}, "log-logistic": {"ftol": 1e-12}}
#: Width of the interval of log time, per SD of a covariate, beyond which the data do not determine its effect.
_WIDEST = float(np.log(1e4))


@dataclass(frozen=True, eq=False)
class ParametricFit:
    """A fitted parametric survival model.

    Attributes
    ----------
    family : {"Weibull", "log-normal", "log-logistic"}
    table : DataFrame
        One row per covariate: covariate, coef (of log time), time_ratio, ci_low, ci_high (Wald), p. A ratio of 2 means
        that everything takes twice as long.
    log_likelihood, aic : float
        Of the times in their unit; models of the same patients can be compared.
    n, n_events, n_parameters : int
        Intercept and shape are parameters too.
    """

    family: str
    table: pd.DataFrame
    log_likelihood: float
    aic: float
    n: int
    n_events: int
    n_parameters: int
    _model: Any

    def survival(self, covariates: pd.DataFrame, times: Any) -> FloatArray:
        """Return the predicted survival of each row at each time, shape (n, m)."""
        renamed = covariates.set_axis(_names(covariates), axis=1).reset_index(drop=True)
        found = self._model.predict_survival_function(renamed, times=prediction_times(times))
        return np.asarray(found.to_numpy(dtype=float).T)


def fit_parametric(
    time: Any, event: Any, covariates: pd.DataFrame, family: str = "Weibull", *, level: float = 0.95
) -> ParametricFit:
    """Fit a parametric survival model by maximum likelihood (survival::survreg).

    Parameters
    ----------
    time, event : array-like, shape (n,)
    covariates : DataFrame, shape (n, p)
        Numbers, such as the columns of a design; none fits the distribution alone.
    family : {"Weibull", "log-normal", "log-logistic"}
    level : float
        Of the Wald limits.

    Raises
    ------
    InputError
        Another family, missing values, other numbers of rows.
    NotEstimableError
        No event, a follow-up of 0, constant or collinear covariates, a coefficient that is infinite (a level without
        events), or no convergence.
    """
    check_choice(family, "family", FAMILIES)
    times, events = survival_times(time, event, any_event=True)
    table = covariates.set_axis(_names(covariates), axis=1).reset_index(drop=True).astype(float)
    if len(table) != times.size or not np.isfinite(table.to_numpy()).all():
        raise InputError(f"`covariates` has {len(table)} rows, or missing values, where {times.size} are expected.")
    if (zero := int((times <= 0).sum())) > 0:
        raise NotEstimableError(f"{zero} patient(s) have a follow-up of 0, which no parametric model allows for.")
    _, sd = standardise(table.to_numpy(), list(map(str, covariates.columns)))
    model = _FITTERS[family](alpha=1 - check_level(level))
    try:
        with warnings.catch_warnings():
            for kind in (StatisticalWarning, ApproximationWarning, ConvergenceWarning):
                warnings.simplefilter("error", kind)
            formula = " + ".join(_names(covariates)) or "1"
            rows = table.assign(time=times, event=events)
            model.fit(rows, "time", "event", formula=formula, fit_options=_EXACT[family])
    except (ConvergenceError, StatError, RuntimeWarning, ValueError, np.linalg.LinAlgError) as error:
        raise NotEstimableError(f"The {family} model did not converge.") from error
    found = model.summary.xs(model._primary_parameter_name, level="param").reindex(list(table))
    coef, se = found["coef"].to_numpy(dtype=float), found["se(coef)"].to_numpy(dtype=float)
    width = float(stats.norm.ppf(0.5 + level / 2)) * se
    if not (2 * width * sd < _WIDEST).all():  # NaN is not smaller either
        raise NotEstimableError(f"The {family} model has an effect that these events do not determine.")
    ratios = {"time_ratio": np.exp(coef), "ci_low": np.exp(coef - width), "ci_high": np.exp(coef + width)}
    shown = pd.DataFrame({"covariate": list(covariates.columns), "coef": coef, **ratios, "p": found["p"].to_numpy()})
    value, k = float(model.log_likelihood_), len(model.params_)
    return ParametricFit(family, shown, value, 2 * k - 2 * value, times.size, int(events.sum()), k, model)


def _names(covariates: pd.DataFrame) -> list[str]:
    """Return names that a formula reads as columns, whatever the columns are called."""
    return [f"x{i}" for i in range(covariates.shape[1])]
