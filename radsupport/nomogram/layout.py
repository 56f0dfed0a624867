"""The nomogram as tables: points of each value, meaning of total points, and where each tick stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.special import expit

from radsupport.errors import InputError
from radsupport.report.wording import tick as tick_text

if TYPE_CHECKING:
    from radsupport.nomogram.model import Nomogram

RISKS = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
_INVERSE = 1000  # values between which rms::nomogram interpolates the inverse of a result


def points_table(nomogram: Nomogram) -> pd.DataFrame:
    """Return ``predictor, value, x_beta, points``, one row per tick of each predictor axis.

    ``points = (x_beta - smallest x_beta of the axis) * points_per_unit`` (rms::nomogram).
    """
    parts = []
    for axis in nomogram.predictors:
        effects = axis.tick_effects
        points = (effects - effects.min()) * nomogram.points_per_unit
        values = pd.Series(list(axis.ticks), dtype=object)
        parts.append(pd.DataFrame({"predictor": axis.name, "value": values, "x_beta": effects, "points": points}))
    return pd.concat(parts, ignore_index=True)


def risk_table(nomogram: Nomogram, total_points: Sequence[float] | None) -> pd.DataFrame:
    """Return the risk that total points stand for; by default at the ticks of the Total Points axis.

    Columns: ``total_points, linear_predictor`` and ``probability``, or ``survival_at_<horizon>`` for each horizon.
    """
    total = np.asarray(nomogram.total_ticks if total_points is None else total_points, dtype=float)
    lp = nomogram.lp_at_zero_points + total / nomogram.points_per_unit
    table = pd.DataFrame({"total_points": total, "linear_predictor": lp})
    if nomogram.kind == "logistic":
        return table.assign(probability=expit(lp))
    survival = nomogram.survival(lp, nomogram.horizons)
    return table.assign(**{f"survival_at_{time:g}": survival[:, i] for i, time in enumerate(nomogram.horizons)})


def axes_table(nomogram: Nomogram, at: Sequence[float] | None, linear_predictor: bool) -> pd.DataFrame:
    """Return every tick of every axis, axes from top to bottom.

    Parameters
    ----------
    nomogram : Nomogram
    at : sequence of float, optional
        Probabilities (0 to 1) to mark on the axes of the result; by default 0.01, 0.05, 0.1, 0.2, … 0.95, 0.99.
        Those outside the range of the linear-predictor axis are left out, as in rms.
    linear_predictor : bool
        Whether the axis of the linear predictor is included.

    Returns
    -------
    pandas.DataFrame
        ``axis`` (name), ``kind`` (points / predictor / total / result), ``label``, ``value``, ``points`` (of the
        Points axis or, for total and result axes, total points) and ``position`` (0 to 1 across the figure).
        As in rms, the ticks of result axes are placed by interpolation between 1000 linear predictors, which is off
        by up to a millionth of the total points; `predict` and `risk_table` are exact.
    """
    scale = nomogram.total_ticks[-1]
    parts = [_axis("Points", "points", np.linspace(0, 100, 11), np.linspace(0, 100, 11), 100.0)]
    table = points_table(nomogram)
    for axis in nomogram.predictors:
        points = table.loc[table["predictor"] == axis.name, "points"].to_numpy(dtype=float)
        parts.append(_axis(axis.label, "predictor", axis.ticks, points, 100.0, axis.tick_labels))
    total = np.asarray(nomogram.total_ticks)
    parts.append(_axis("Total points", "total", total, total, scale))
    if linear_predictor:
        ticks = np.array(nomogram.lp_ticks)
        parts.append(_axis("Linear predictor", "result", ticks, _total_points(nomogram, ticks), scale))
    for name, risks, lp in _result_axes(nomogram, _checked(RISKS if at is None else at)):
        inside = np.isfinite(lp)
        parts.append(_axis(name, "result", risks[inside], _total_points(nomogram, lp[inside]), scale))
    return pd.concat(parts, ignore_index=True)


def _checked(at: Sequence[float]) -> np.ndarray:
    values = np.asarray(at, dtype=float)
    if values.ndim != 1 or not ((values > 0) & (values < 1)).all():
        raise InputError(f"`at` must hold probabilities between 0 and 1, both excluded; got {list(at)}.")
    return values


def _result_axes(nomogram: Nomogram, risks: np.ndarray) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Return name, probabilities and their linear predictors of each axis of the result."""
    lp = np.linspace(nomogram.lp_ticks[0], nomogram.lp_ticks[-1], _INVERSE)
    if nomogram.kind == "logistic":
        return [(f"Probability of {nomogram.outcome}", risks, np.interp(risks, expit(lp), lp, np.nan, np.nan))]
    survival = nomogram.survival(lp, nomogram.horizons)[::-1]
    return [
        (_horizon_name(nomogram, horizon), risks, np.interp(risks, survival[:, i], lp[::-1], np.nan, np.nan))
        for i, horizon in enumerate(nomogram.horizons)
    ]


def _horizon_name(nomogram: Nomogram, horizon: float) -> str:
    return f"{tick_text(horizon)}-{nomogram.time_unit.removesuffix('s') or 'time'} {nomogram.outcome}"


def _total_points(nomogram: Nomogram, lp: np.ndarray) -> np.ndarray:
    return (lp - nomogram.lp_at_zero_points) * nomogram.points_per_unit


def _axis(
    name: str, kind: str, values: Sequence[float] | Sequence[str] | np.ndarray, points: np.ndarray, scale: float,
    labels: Sequence[str] = (),
) -> pd.DataFrame:  # fmt: skip
    texts = list(labels) or [tick_text(float(value)) for value in values]
    column = pd.Series(list(values), dtype=object)
    points = np.asarray(points, dtype=float)
    return pd.DataFrame(
        {"axis": name, "kind": kind, "label": texts, "value": column, "points": points, "position": points / scale}
    )
