"""Inverse-probability-of-censoring weights at a horizon, and what their estimation adds to an influence function.

Conventions (riskRegression::Score with ``cens.model="km"``, pec, timeROC): G is the marginal Kaplan–Meier estimate of
the censoring time with events before censorings at ties; a case (event by the horizon) weighs 1 / G(T-), a control
(T > horizon) 1 / G(horizon). scikit-survival weighs cases by G(T) instead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from radsupport.checks import FloatArray, IntArray
from radsupport.survival.product_limit import at_times, steps

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


def horizon_weights(time: FloatArray, event: IntArray, horizon: float, *, closed: bool = True) -> Horizon:
    """Find cases, controls and weights; an event at the horizon is a case if `closed`, otherwise neither."""
    case = (event == 1) & ((time <= horizon) if closed else (time < horizon))
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
