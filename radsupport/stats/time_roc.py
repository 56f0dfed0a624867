"""ROC curve at a time horizon: cumulative cases, dynamic controls, inverse-probability-of-censoring weights.

Conventions (riskRegression::Score with ``cens.model="km"``, pec, timeROC): G is the marginal Kaplan-Meier estimate of
the censoring time with events before censorings at ties; a case (event by the horizon) weighs 1 / G(T-), a control
(T > horizon) 1 / G(horizon). scikit-survival's `cumulative_dynamic_auc` weighs cases by G(T) and has neither curve nor
limits. The weights' own estimation is part of the influence function.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from radsupport.checks import FloatArray, IntArray, as_finite
from radsupport.errors import NotEstimableError, Problem
from radsupport.stats.bootstrap import bootstrap, limits
from radsupport.stats.regression import check_level
from radsupport.stats.survival_curves import at_times, prediction_times, steps, survival_times

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Horizon:
    """Cases, controls and weights at one horizon.

    Attributes
    ----------
    horizon : float
    case, control : bool array, shape (n,)
        Event by the horizon; still under observation after it.
    case_weight : float array, shape (n,)
        1 / G(T-) for cases, 0 for others.
    control_weight : float array, shape (n,)
        1 / G(horizon) for controls, 0 for others.
    """

    horizon: float
    case: BoolArray
    control: BoolArray
    case_weight: FloatArray
    control_weight: FloatArray


def horizon_weights(time: FloatArray, event: IntArray, horizon: float) -> Horizon:
    """Find cases, controls and weights; an event at the horizon is a case."""
    case = (event == 1) & (time <= horizon)
    control = time > horizon
    found = steps(time, event)
    before = at_times(found.time, found.censoring_survival, time, before=True)
    at = float(at_times(found.time, found.censoring_survival, np.array([horizon]))[0])
    # whoever has an event or is followed beyond the horizon was not censored before: these G are positive
    case_weight = np.divide(1.0, before, out=np.zeros_like(time), where=case)
    return Horizon(horizon, case, control, case_weight, control / at if at > 0 else np.zeros_like(time))


def resampled_weights(
    time: FloatArray, event: IntArray, counts: FloatArray, horizon: Horizon
) -> tuple[FloatArray, FloatArray]:
    """Weights times counts of cases and of controls in each resample, with G estimated in it; shape (b, n) each."""
    found = steps(time, event, counts)
    survival = found.censoring_survival
    before = at_times(found.time, survival, time, before=True)
    at = at_times(found.time, survival, np.array([horizon.horizon]))
    cases = counts * horizon.case
    controls = counts * horizon.control
    return (
        np.divide(cases, before, out=np.zeros_like(cases), where=cases > 0),
        np.divide(controls, at, out=np.zeros_like(controls), where=controls > 0),
    )


def censoring_term(time: FloatArray, event: IntArray, horizon: Horizon, amount: FloatArray) -> FloatArray:
    """Part of an influence function that comes from estimating G, shape (n,).

    For a mean of `amount` (already weighted by 1/G) over all subjects, subject i adds
    (1/n) sum_j amount_j f_i(T_j-) over cases and (1/n) sum_j amount_j f_i(horizon) over controls, where
    f_i(t) = 1{T_i <= t, censored} n / Y(T_i) - sum over s <= min(t, T_i) of c(s) n / Y(s)^2 is the influence function
    of the Nelson–Aalen estimator of censoring (Blanche et al. 2013; riskRegression with ``conservative=FALSE``).
    """
    n = time.size
    found = steps(time, event)
    group = np.searchsorted(found.time, time)
    drift = np.cumsum(found.n_censor * n / found.n_risk**2)
    before = np.concatenate([[0.0], drift])[group]
    own = (event == 0) * n / found.n_risk[group] - drift[group]
    at_case = np.bincount(group, weights=amount * horizon.case, minlength=found.time.size)
    past = np.cumsum(np.bincount(group, weights=amount * horizon.case * before, minlength=found.time.size))
    later = at_case.sum() - np.cumsum(at_case)
    cases = own * later[group] - past[group]
    last = np.searchsorted(found.time, horizon.horizon, side="right") - 1
    at_horizon = -drift[last] if last >= 0 else 0.0
    controls = np.where(time <= horizon.horizon, own, at_horizon) * float((amount * horizon.control).sum())
    return (cases + controls) / n


@dataclass(frozen=True, eq=False)
class TimeDependentROC:
    """Time-dependent ROC analysis.

    Attributes
    ----------
    table : DataFrame
        time, auc, se (influence function), ci_low, ci_high, n_cases, n_controls.
    curve : DataFrame
        time, threshold, sensitivity (weighted share of cases with risk > threshold), specificity (share of controls
        with risk <= threshold), from threshold -inf to the highest risk.
    """

    table: pd.DataFrame
    curve: pd.DataFrame


def time_dependent_roc(
    time: Any,
    event: Any,
    risk: Any,
    times: Any,
    *,
    interval: str = "bootstrap",
    n_resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> TimeDependentROC:
    """Discrimination between those with the event by a horizon and those still free of it.

    AUC(t) = sum over cases i and controls j of w_i [1{r_i > r_j} + 1{r_i = r_j} / 2] / (sum of w_i × number of
    controls), with w_i = 1 / G(T_i-) and the marginal Kaplan–Meier estimate G of the censoring time (Blanche et al.
    2013).

    Parameters
    ----------
    time, event : array-like, shape (n,)
    risk : array-like, shape (n,)
        A higher risk means an earlier event.
    times : float or array-like, shape (m,)
        Horizons; an event exactly at one is a case, as in riskRegression::Score.
    interval : {"bootstrap", "influence", "none"}
        Percentile bootstrap over subjects, weights estimated anew; or Wald limits by the influence function, equal to
        riskRegression's (``conservative=FALSE``).
    n_resamples, seed : int
    level : float

    Returns
    -------
    TimeDependentROC

    Raises
    ------
    InputError
    NotEstimableError
        No case or no control at a horizon; all such horizons are named.
    """
    data = _Scores.of(time, event, risk, times)
    n = data.time.size
    auc, influence = (np.column_stack(part) for part in zip(*(data.auc(h) for h in data.horizons), strict=True))
    se = influence.std(axis=0, ddof=1) / np.sqrt(n)
    low, high = limits(
        auc[0], se, interval, level, lambda: bootstrap(data.resampled, n, n_resamples, seed), "a time-dependent AUC"
    )
    table = pd.DataFrame(
        {
            "time": [h.horizon for h in data.horizons],
            "auc": auc[0],
            "se": se,
            "ci_low": low,
            "ci_high": high,
            "n_cases": [int(h.case.sum()) for h in data.horizons],
            "n_controls": [int(h.control.sum()) for h in data.horizons],
        }
    )
    return TimeDependentROC(table, pd.concat([_curve(data.risk, h) for h in data.horizons], ignore_index=True))


def time_dependent_auc_difference(
    time: Any, event: Any, risk_a: Any, risk_b: Any, times: Any, *, level: float = 0.95
) -> pd.DataFrame:
    """Compare two risks of the same subjects at each horizon (the contrasts of riskRegression::Score).

    Returns
    -------
    DataFrame
        time, auc_a, auc_b, difference (a - b), se (influence function), ci_low, ci_high, z, p.
    """
    first, second = (_Scores.of(time, event, risk, times) for risk in (risk_a, risk_b))
    horizons = first.horizons
    (auc_a, if_a), (auc_b, if_b) = (
        zip(*(data.auc(horizon) for horizon in horizons), strict=True) for data in (first, second)
    )
    se = np.array([(a - b).std(ddof=1) / np.sqrt(a.size) for a, b in zip(if_a, if_b, strict=True)])
    areas = np.concatenate(auc_a), np.concatenate(auc_b)
    return contrast("auc", np.array([horizon.horizon for horizon in horizons]), *areas, se, level)


def contrast(name: str, times: FloatArray, a: FloatArray, b: FloatArray, se: FloatArray, level: float) -> pd.DataFrame:
    """Return two measures at each time, their difference (a - b), its Wald limits, z and p (NaN where `se` is 0)."""
    difference, width = a - b, float(stats.norm.ppf(0.5 + check_level(level) / 2)) * se
    z = np.divide(difference, se, out=np.full_like(se, np.nan), where=se > 0)
    measures = {"time": times, f"{name}_a": a, f"{name}_b": b, "difference": difference, "se": se}
    found = {"ci_low": difference - width, "ci_high": difference + width, "z": z, "p": 2 * stats.norm.sf(np.abs(z))}
    return pd.DataFrame(measures | found)


@dataclass(frozen=True, eq=False)
class _Scores:
    time: FloatArray
    event: IntArray
    risk: FloatArray
    horizons: list[Horizon]

    @classmethod
    def of(cls, time: Any, event: Any, risk: Any, times: Any) -> _Scores:
        checked, events = survival_times(time, event)
        scores = as_finite(risk, "risk", checked.size)
        wanted = prediction_times(times)
        horizons = [horizon_weights(checked, events, float(t)) for t in wanted]
        problems = [
            Problem(f"{int(h.case.sum())} case(s) and {int(h.control.sum())} control(s)", value=f"{h.horizon:g}")
            for h in horizons
            if not (h.case.any() and h.control.any())
        ]
        if problems:
            raise NotEstimableError("An ROC curve needs cases and controls; these horizons lack them:", problems)
        return cls(checked, events, scores, horizons)

    def auc(self, horizon: Horizon) -> tuple[FloatArray, FloatArray]:
        """AUC, shape (1,), and the influence function of all subjects, by weighted ranks in O(n log n)."""
        n = self.risk.size
        case, control = horizon.case_weight, horizon.control_weight
        below = _weight_below(self.risk, control, self.risk) / n
        above = case.sum() / n - _weight_below(self.risk, case, self.risk) / n
        mean_case, mean_control = case.mean(), control.mean()
        auc = float((case * below).mean() / (mean_case * mean_control))
        scale = mean_case * mean_control
        own = case * below + control * above - auc * (case * mean_control + control * mean_case)
        amount = case * (below - auc * mean_control) / scale
        return np.array([auc]), own / scale + censoring_term(self.time, self.event, horizon, amount)

    def resampled(self, counts: FloatArray) -> FloatArray:
        """AUC of each resample and horizon, shape (b, m); NaN without cases or controls."""
        aucs = np.full((len(counts), len(self.horizons)), np.nan)
        for k, horizon in enumerate(self.horizons):
            cases, controls = resampled_weights(self.time, self.event, counts, horizon)
            pairs = (cases * _weight_below(self.risk, controls, self.risk)).sum(axis=1)
            total = cases.sum(axis=1) * controls.sum(axis=1)
            aucs[:, k] = np.divide(pairs, total, out=np.full_like(pairs, np.nan), where=total > 0)
        return aucs


def _weight_below(values: FloatArray, weights: FloatArray, at: FloatArray) -> FloatArray:
    """Total weight of `values` below each `at`, that of equal ones halved; weights of shape (n,) or (b, n)."""
    order = np.argsort(values, kind="stable")
    total = np.zeros((*weights.shape[:-1], values.size + 1))
    np.cumsum(weights[..., order], axis=-1, out=total[..., 1:])
    left, right = (np.searchsorted(values[order], at, side=side) for side in ("left", "right"))
    return (total[..., left] + total[..., right]) / 2


def _curve(risk: FloatArray, horizon: Horizon) -> pd.DataFrame:
    thresholds = np.concatenate([[-np.inf], np.unique(risk)])
    order = np.argsort(risk, kind="stable")
    position = np.searchsorted(risk[order], thresholds, side="right")
    cases, controls = (
        np.concatenate([[0.0], np.cumsum(weights[order])]) for weights in (horizon.case_weight, horizon.control_weight)
    )
    return pd.DataFrame(
        {
            "time": horizon.horizon,
            "threshold": thresholds,
            "sensitivity": 1 - cases[position] / cases[-1],
            "specificity": controls[position] / controls[-1],
        }
    )
