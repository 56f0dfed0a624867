"""Fine and Gray's regression of the subdistribution hazard, beside which a competing event ends the follow-up.

A cause-specific Cox model takes a competing event as censoring and says what a covariate does to the hazard among those
still at risk; Fine and Gray's model (1999) says what it does to the share that will have the event. Patients with the
competing event stay at risk, with a weight that falls as others are censored (survival::finegray and coxph with robust
variance; a patient is one cluster). Neither lifelines nor scikit-survival nor statsmodels fits it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from radsupport.checks import FloatArray, IntArray, as_binary
from radsupport.errors import InputError, NotEstimableError
from radsupport.stats.design import build_design, complete_cases, needed_columns
from radsupport.stats.formulas import Covariates
from radsupport.stats.newton import maximise
from radsupport.stats.regression import check_level, results, standardise
from radsupport.stats.survival_curves import survival_times


@dataclass(frozen=True, eq=False)
class _AtRisk:
    """Weights of the patients at each event: one row per event, in ascending order of time (dense: d × n numbers)."""

    weight: FloatArray
    events: IntArray
    times: FloatArray


def fine_gray(
    table: pd.DataFrame,
    time: str,
    event: str,
    competing: str,
    covariates: Covariates,
    *,
    factors: Sequence[str] = (),
    reference: Mapping[str, Any] | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Fit Fine and Gray's model with Efron's ties and robust standard errors.

    Parameters
    ----------
    table : DataFrame
        One row per patient; rows with a missing value in a column of the model are left out.
    time, event, competing : str
        Columns of the follow-up and of what ended it (0/1; both 0: censored).
    covariates, factors, reference, level
        As `fit_cox`.

    Returns
    -------
    DataFrame
        covariate, coef, hr (subdistribution hazard ratio), ci_low, ci_high, se, z, p, term, level; ``attrs`` n, events,
        competing.

    Raises
    ------
    InputError
        As `fit_cox`; a patient with both events.
    NotEstimableError
        No event, a constant or collinear covariate, or no maximum.
    """
    check_level(level)
    terms, columns = needed_columns(table, covariates, [time, event, competing])
    data = complete_cases(table, columns)
    times, events = survival_times(data[time], data[event], any_event=True)
    others = as_binary(data[competing], competing, times.size, both_classes=False)
    if (both := int((events & others).sum())) > 0:
        raise InputError(f"{both} patient(s) have the event and the competing one; only the first ends the follow-up.")
    design = build_design(data, terms, factors, reference)
    matrix = design.transform(data)
    mean, sd = standardise(matrix, design.columns)
    x, at_risk = (matrix - mean) / sd, _at_risk(times, events, others)
    best = maximise(partial(_evaluate, at_risk, x), np.zeros(x.shape[1]))
    if not best.converged:
        raise NotEstimableError(f"The Fine–Gray fit of {', '.join(design.columns)} did not converge.")
    bread, scores = np.linalg.inv(best.information), _score_residuals(at_risk, x, best.beta)
    covariance = bread @ (scores.T @ scores) @ bread / np.outer(sd, sd)
    found: pd.DataFrame = results("hr", data, design, best.beta / sd, covariance, level)["table"]
    found.attrs |= {"n": len(data), "events": int(events.sum()), "competing": int(others.sum())}
    return found


def _at_risk(times: FloatArray, events: IntArray, others: IntArray) -> _AtRisk:
    """Weigh the patients at each event; the k-th of d tied events leaves k/d of each of them out (Efron)."""
    order = np.flatnonzero(events)[np.argsort(times[events == 1], kind="stable")]
    at = times[order]
    free = _uncensored(times, events | others)
    kept = free(at)[:, None] / np.where(others == 1, free(times), 1.0)[None, :]
    weight = np.where(times[None, :] >= at[:, None], 1.0, np.where(others == 1, kept, 0.0))
    rank = np.arange(at.size) - np.searchsorted(at, at)
    share = rank / (np.searchsorted(at, at, side="right") - np.searchsorted(at, at))
    weight -= share[:, None] * ((times[None, :] == at[:, None]) & (events == 1)[None, :])
    return _AtRisk(weight, order.astype(np.int64), at)


def _uncensored(times: FloatArray, ended: IntArray) -> Any:
    """Return the probability to be uncensored just before a time; who had an event at a time leaves before."""
    censored = np.unique(times[ended == 0])
    left = np.array([((times > c) | ((times == c) & (ended == 0))).sum() for c in censored], dtype=float)
    lost = np.array([((times == c) & (ended == 0)).sum() for c in censored], dtype=float)
    steps = np.concatenate([[1.0], np.cumprod(1 - lost / left)]) if censored.size else np.ones(1)
    return lambda at: steps[np.searchsorted(censored, at, side="left")]


def _parts(sets: _AtRisk, x: FloatArray, beta: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return each patient's share in the risk set of each event, the sets' totals (log) and means."""
    eta = x @ beta
    share = sets.weight * np.exp(eta - eta.max())
    total = share.sum(axis=1)
    share = share / total[:, None]
    return share, np.log(total) + eta.max(), share @ x


def _evaluate(sets: _AtRisk, x: FloatArray, beta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
    share, log_total, mean = _parts(sets, x, beta)
    own = x[sets.events]
    information = x.T @ (share.sum(axis=0)[:, None] * x) - mean.T @ mean
    return float((own @ beta - log_total).sum()), (own - mean).sum(axis=0), information


def _score_residuals(sets: _AtRisk, x: FloatArray, beta: FloatArray) -> FloatArray:
    """Each patient's part of the score; tied events share the means of their risk sets."""
    share, _, mean = _parts(sets, x, beta)
    _, place, counts = np.unique(sets.times, return_inverse=True, return_counts=True)
    shared = np.zeros((counts.size, x.shape[1]))
    np.add.at(shared, place, mean)
    residuals = -(share.sum(axis=0)[:, None] * x - share.T @ mean)
    np.add.at(residuals, sets.events, x[sets.events] - (shared / counts[:, None])[place])
    return residuals
