"""Calibration and net benefit of a model that can be refitted, corrected for optimism as rms::calibrate does it.

In every resample the model is refitted; its calibration error in the resample minus its error in the original data
is the optimism, and the mean optimism is taken off the apparent curve (Harrell, Regression Modeling Strategies, 2nd
ed., section 5.3; Efron & Gong 1983). Own code because neither scikit-learn nor statsmodels has it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from radsupport.checks import FloatArray, IntArray, as_binary, as_probability, as_survival
from radsupport.errors import InputError, NotEstimableError
from radsupport.stats.calibration import as_horizon, lowess, survival_at
from radsupport.stats.usefulness import counted_benefit

Refit = Callable[[pd.DataFrame], Any]
Predict = Callable[[Any, pd.DataFrame], Any]
# Calibration error at each point, from predicted risks and the rows they belong to.
_Error = Callable[[FloatArray, pd.DataFrame], FloatArray]

# rms::calibrate gives up a resample with fewer events.
_FEWEST_EVENTS = 5


@dataclass(frozen=True, eq=False)
class _Optimism:
    """Mean error in the resamples and in the original data, and the resamples that gave both, at each point."""

    training: FloatArray
    test: FloatArray
    n_resamples: FloatArray


def _optimism(
    table: pd.DataFrame, refit: Refit, predict: Predict, error: _Error, n_resamples: int, seed: int
) -> _Optimism:
    if n_resamples < 1:
        raise InputError(f"`n_resamples` must be at least 1, it is {n_resamples}; 200 is usual.")
    rng = np.random.default_rng(seed)
    training, test = [], []
    for _ in range(n_resamples):
        rows = rng.integers(0, len(table), len(table))
        drawn = table.iloc[rows].reset_index(drop=True)
        try:
            risk = _risk(predict(refit(drawn), table), table)
            pair = error(risk[rows], drawn), error(risk, table)
        except (NotEstimableError, np.linalg.LinAlgError):
            # A resample in which the model can not be fitted is left out, and shows in `n_resamples`.
            continue
        training.append(pair[0])
        test.append(pair[1])
    if not training:
        raise NotEstimableError(f"The model could be fitted in none of {n_resamples} resamples.")
    inside, outside = np.array(training), np.array(test)
    known = ~np.isnan(inside + outside)
    count = known.sum(axis=0).astype(float)
    mean = [
        np.divide(np.where(known, part, 0).sum(axis=0), count, out=np.full(count.size, np.nan), where=count > 0)
        for part in (inside, outside)
    ]
    return _Optimism(mean[0], mean[1], count)


def _risk(values: Any, table: pd.DataFrame) -> FloatArray:
    return as_probability(np.asarray(values), "predict(model, rows)", len(table))


def _assemble(predicted: FloatArray, apparent: FloatArray, found: _Optimism) -> dict[str, Any]:
    optimism = found.training - found.test
    return {
        "predicted": predicted,
        "apparent": apparent,
        "optimism": optimism,
        "corrected": apparent - optimism,
        "n_resamples": found.n_resamples.astype(np.int64),
    }


def _columns(table: pd.DataFrame, names: list[str]) -> None:
    missing = [name for name in names if name not in table.columns]
    if missing:
        raise InputError(f"The table has no column {', '.join(missing)}; it has {', '.join(map(str, table.columns))}.")


def corrected_calibration(
    table: pd.DataFrame,
    label: str,
    refit: Refit,
    predict: Predict,
    n_resamples: int = 200,
    seed: int = 0,
    grid: Any = None,
) -> pd.DataFrame:
    """Apparent and optimism-corrected calibration curve of a model for a binary outcome.

    Parameters
    ----------
    table : DataFrame
        Training rows, with the outcome and whatever the model needs.
    label : str
        Column of the outcome, 0/1.
    refit : callable
        `refit(rows)` returns a model fitted to these rows, with every step (selection, scaling) that uses the
        outcome; it raises NotEstimableError for rows to which the model can not be fitted.
    predict : callable
        `predict(model, rows)` returns probabilities.
    n_resamples, seed : int
    grid : array-like of probabilities, optional
        Where the curve is wanted; default 50 points from the 5th smallest to the 5th largest prediction.

    Returns
    -------
    DataFrame
        `predicted, apparent, optimism, corrected, n_resamples` (resamples that reach this point).

    Raises
    ------
    InputError, NotEstimableError
        Invalid table; fewer than 11 rows without a grid; no resample could be fitted.

    Notes
    -----
    rms::calibrate for lrm: lowess without robustness, linear interpolation, NaN outside the range of a resample's
    predictions; simple (unstratified) resampling.
    """
    _columns(table, [label])
    labels = as_binary(table[label], label)
    apparent_risk = _risk(predict(refit(table), table), table)
    points = _default_grid(apparent_risk) if grid is None else as_probability(grid, "grid")

    def error(risk: FloatArray, rows: pd.DataFrame) -> FloatArray:
        return _curve_at(points, risk, rows[label].to_numpy(dtype=float)) - points

    found = _optimism(table, refit, predict, error, n_resamples, seed)
    return pd.DataFrame(_assemble(points, _curve_at(points, apparent_risk, labels.astype(float)), found))


def corrected_benefit(
    table: pd.DataFrame,
    model: tuple[Refit, Predict],
    thresholds: Any,
    horizon: float | None = None,
    n_resamples: int = 200,
    seed: int = 0,
) -> pd.DataFrame:
    """Apparent and optimism-corrected net benefit of a model at each threshold.

    Parameters
    ----------
    table : DataFrame
        Training rows: label, or time and event, and whatever the model needs.
    model : (callable, callable)
        `refit` and `predict` of `corrected_calibration`; `predict` returns the probability of the event (by the
        horizon).
    thresholds : array-like
    horizon : float, optional
        In the unit of `time`.
    n_resamples, seed : int
        The resamples of the corrected calibration with the same seed.

    Returns
    -------
    DataFrame
        `threshold, apparent, optimism, corrected, n_resamples`.
    """
    _columns(table, ["label"] if horizon is None else ["time", "event"])
    refit, predict = model

    def benefit(risk: FloatArray, rows: pd.DataFrame) -> FloatArray:
        return counted_benefit(rows, risk, thresholds, np.ones((1, len(rows))), horizon)[0]

    found = _optimism(table, refit, predict, benefit, n_resamples, seed)
    apparent = benefit(_risk(predict(refit(table), table), table), table)
    marks = np.asarray(thresholds, dtype=float)
    return pd.DataFrame(_assemble(marks, apparent, found)).rename(columns={"predicted": "threshold"})


def _default_grid(risk: FloatArray) -> FloatArray:
    if risk.size < 11:
        raise NotEstimableError(f"{risk.size} rows are too few for the default grid (11); give `grid`.")
    ordered = np.sort(risk)
    return np.linspace(ordered[4], ordered[-5], 50)


def _curve_at(points: FloatArray, risk: FloatArray, labels: FloatArray) -> FloatArray:
    """Smoothed outcome at `points`, NaN outside the range of `risk`."""
    distinct, first = np.unique(risk, return_index=True)
    return np.interp(points, distinct, lowess(risk, labels)[first], left=np.nan, right=np.nan)


@dataclass(frozen=True, eq=False)
class _Measured:
    """Calibration of each group: subjects, mean predicted risk, 1 - Kaplan-Meier, SE of log survival."""

    n: IntArray
    predicted: FloatArray
    observed: FloatArray
    log_se: FloatArray


@dataclass(frozen=True, eq=False)
class _Cells:
    """Groups of predicted risk, cut once, in which any rows can be measured at the horizon."""

    cuts: FloatArray
    time: str
    event: str
    horizon: float

    def measure(self, risk: FloatArray, rows: pd.DataFrame) -> _Measured:
        times, events = as_survival(rows[self.time], rows[self.event])
        place = np.clip(np.searchsorted(self.cuts, risk, side="left") - 1, 0, None)
        member = place[None, :] == np.arange(self.cuts.size - 1)[:, None]
        survival, log_se = survival_at(times, events, member, self.horizon)
        n = member.sum(axis=1)
        mean = np.divide(member @ risk, n, out=np.full(n.size, np.nan), where=n > 0)
        if events.sum() < _FEWEST_EVENTS:
            mean = np.full(n.size, np.nan)
        return _Measured(n, mean, 1 - survival, log_se)


def corrected_calibration_survival(
    table: pd.DataFrame,
    time: str,
    event: str,
    horizon: float,
    refit: Refit,
    predict: Predict,
    groups: int = 5,
    n_resamples: int = 200,
    seed: int = 0,
) -> pd.DataFrame:
    """Apparent and optimism-corrected calibration of a survival model at a horizon, in groups of predicted risk.

    Parameters
    ----------
    table : DataFrame
        Training rows.
    time, event : str
        Columns of follow-up and of the event indicator (0/1).
    horizon : float
        In the unit of `time`.
    refit, predict : callable
        As in `corrected_calibration`; `predict` returns the probability of the event by the horizon.
    groups : int
        Groups asked for.
    n_resamples, seed : int

    Returns
    -------
    DataFrame
        `group, n, predicted` (mean risk), `apparent` (1 - Kaplan-Meier), `log_se` (Greenwood's SE of log survival),
        `optimism, corrected, n_resamples`.

    Raises
    ------
    InputError, NotEstimableError
        Invalid table; nobody is followed to the horizon; no resample could be fitted.

    Notes
    -----
    rms::calibrate for cph with cmethod="KM", what="observed-predicted": groups are cut once, at quantiles of
    (0, 1, predicted risk), and kept in all resamples; a resample with fewer than 5 events is left out. rms's
    default, cmethod="hare", needs the R package polspline and has no counterpart in Python.
    """
    _columns(table, [time, event])
    times, events = as_survival(table[time], table[event], any_event=True)
    as_horizon(times, horizon)
    if events.sum() < _FEWEST_EVENTS:
        raise NotEstimableError(
            f"The table has {events.sum()} event(s); grouped calibration needs at least {_FEWEST_EVENTS}."
        )
    apparent_risk = _risk(predict(refit(table), table), table)
    if groups < 1:
        raise InputError(f"`groups` must be at least 1, it is {groups}; 5 is usual.")
    cuts = np.unique(np.quantile(np.append(apparent_risk, [0, 1]), np.linspace(0, 1, groups + 1)))
    cells = _Cells(cuts, time, event, horizon)

    def error(risk: FloatArray, rows: pd.DataFrame) -> FloatArray:
        measured = cells.measure(risk, rows)
        return measured.observed - measured.predicted

    found = _optimism(table, refit, predict, error, n_resamples, seed)
    apparent = cells.measure(apparent_risk, table)
    result = pd.DataFrame(_assemble(apparent.predicted, apparent.observed, found))
    result.insert(0, "group", np.arange(1, cuts.size))
    result.insert(1, "n", apparent.n)
    result.insert(4, "log_se", apparent.log_se)
    return result
