"""Reclassification improvement at a time horizon under censoring: NRI and IDI by inverse-probability weights.

With nobody censored before the horizon the values are those of `radsupport.validation.reclassification.nri_idi`. Own
code because no Python library has either; Uno et al. 2013 (Stat Med 32:2430, the R package survIDINRI) weight alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from radsupport.checks import FloatArray, as_probability
from radsupport.errors import NotEstimableError
from radsupport.modelling.fitted import check_level
from radsupport.survival.ipcw import horizon_weights, resampled_weights
from radsupport.survival.resampling import bootstrap, percentile_limits
from radsupport.survival.times import survival_times


@dataclass(frozen=True)
class SurvivalReclassification:
    """NRI and IDI of a new model over an old one at a horizon; positive values favour the new one.

    Attributes
    ----------
    nri : float
        `nri_events` + `nri_nonevents`, any change of risk counting (continuous NRI), between -2 and 2.
    nri_events, nri_nonevents : float
        Weighted share of events moved up minus down, and of non-events moved down minus up.
    nri_low, nri_high : float
        Percentile bootstrap.
    idi : float
        Gain in the difference of mean risk between events and non-events.
    idi_low, idi_high : float
    horizon : float
    n_events, n_nonevents : int
        Subjects with the event by the horizon, and followed beyond it; the others count through the weights only.
    """

    nri: float
    nri_events: float
    nri_nonevents: float
    nri_low: float
    nri_high: float
    idi: float
    idi_low: float
    idi_high: float
    horizon: float
    n_events: int
    n_nonevents: int


def nri_idi_survival(
    time: Any,
    event: Any,
    risk_old: Any,
    risk_new: Any,
    horizon: float,
    *,
    n_resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> SurvivalReclassification:
    """Net reclassification and integrated discrimination improvement at a horizon.

    Parameters
    ----------
    time, event : array-like, shape (n,)
        Follow-up and event indicator (0/1).
    risk_old, risk_new : array-like of probabilities, shape (n,)
        Predicted probability of the event by `horizon`.
    horizon : float
        In the unit of `time`.
    n_resamples, seed : int
        Bootstrap over subjects, the weights estimated anew in each resample.
    level : float

    Returns
    -------
    SurvivalReclassification

    Raises
    ------
    InputError
        Invalid times, events or probabilities.
    NotEstimableError
        Nobody has the event by the horizon, or nobody is followed beyond it.

    Notes
    -----
    Events (T <= horizon) weigh 1 / G(T-), non-events (T > horizon) 1 / G(horizon), with the Kaplan-Meier estimate G of
    the censoring time.
    """
    checked, events = survival_times(time, event)
    old = as_probability(risk_old, "risk_old", checked.size)
    new = as_probability(risk_new, "risk_new", checked.size)
    at = horizon_weights(checked, events, float(horizon))
    if not (at.case.any() and at.control.any()):
        raise NotEstimableError(
            f"{int(at.case.sum())} subject(s) have the event by {horizon:g} and {int(at.control.sum())} are followed "
            "beyond; both are needed. Choose another horizon."
        )
    values = np.column_stack([np.sign(new - old), new - old])
    found = _gains(at.case_weight[None, :], at.control_weight[None, :], values)[0]
    drawn = bootstrap(
        lambda counts: _totals(_gains(*resampled_weights(checked, events, counts, at), values)),
        checked.size, n_resamples, seed,
    )  # fmt: skip
    low, high = percentile_limits(drawn, check_level(level), "a reclassification improvement")
    return SurvivalReclassification(
        nri=float(found[0] - found[1]),
        nri_events=float(found[0]),
        nri_nonevents=float(-found[1]),
        nri_low=float(low[0]),
        nri_high=float(high[0]),
        idi=float(found[2] - found[3]),
        idi_low=float(low[1]),
        idi_high=float(high[1]),
        horizon=float(horizon),
        n_events=int(at.case.sum()),
        n_nonevents=int(at.control.sum()),
    )


def _gains(cases: FloatArray, controls: FloatArray, values: FloatArray) -> FloatArray:
    """Weighted means of sign and size of the change: events, non-events, for each; shape (b, 4)."""
    means = []
    for weights in (cases, controls):
        total = weights.sum(axis=1, keepdims=True)
        means.append(np.divide(weights @ values, total, out=np.full((len(weights), 2), np.nan), where=total > 0))
    return np.column_stack([means[0][:, 0], means[1][:, 0], means[0][:, 1], means[1][:, 1]])


def _totals(gains: FloatArray) -> FloatArray:
    return np.column_stack([gains[:, 0] - gains[:, 1], gains[:, 2] - gains[:, 3]])
