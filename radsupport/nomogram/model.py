"""The nomogram: points of each predictor, total points, and the probability or survival they stand for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy.special import expit

from radsupport.checks import FloatArray
from radsupport.errors import InputError, NotEstimableError, Problem
from radsupport.modelling.regression import LogisticFit
from radsupport.nomogram import layout, serial
from radsupport.nomogram.axis import PredictorAxis
from radsupport.nomogram.build import Rows, as_frame, axes_of, checked_horizons
from radsupport.nomogram.points import Points
from radsupport.nomogram.pretty import pretty
from radsupport.survival.cox import CoxFit

MAX_SCALE = 100.0  # points of the longest predictor axis (rms: maxscale)


@dataclass(frozen=True)
class Nomogram:
    """A regression model as points; make it with `from_logistic` or `from_cox`.

    Own code: no Python library has rms::nomogram's points. Axes run over the rows the model was fitted on (complete
    rows); rms takes them from datadist, which differs where a row that was left out holds a variable's extreme.

    Attributes
    ----------
    kind : {"logistic", "cox"}
    outcome : str
        What is predicted, in words.
    predictors : tuple of PredictorAxis
    intercept : float
        Of the linear predictor; for Cox the negative linear predictor at the covariate means (rms: ``-center``).
    lp_range : (float, float)
        Linear predictors of the fitted rows, lowest and highest.
    horizons : tuple of float
        Times at which survival is shown, in `time_unit`; empty for logistic models.
    baseline_time, baseline_hazard : tuple of float
        Cumulative baseline hazard at the covariate means, a step function of time; empty for logistic models.
    max_time : float
        End of follow-up; NaN for logistic models.
    time_unit : str
    """

    kind: Literal["logistic", "cox"]
    outcome: str
    predictors: tuple[PredictorAxis, ...]
    intercept: float
    lp_range: tuple[float, float]
    horizons: tuple[float, ...] = ()
    baseline_time: tuple[float, ...] = field(default=(), repr=False)
    baseline_hazard: tuple[float, ...] = field(default=(), repr=False)
    max_time: float = math.nan
    time_unit: str = ""

    def __post_init__(self) -> None:
        names = [axis.name for axis in self.predictors]
        problems = [
            Problem("More than one term is made from this column", "one axis per column", column=name)
            for name in sorted({name for name in names if names.count(name) > 1})
        ]
        problems += [
            Problem("The predictor is constant", "at least two values", "Leave it out of the model", column=axis.name)
            for axis in self.predictors
            if len(axis.ticks) < 2
        ]
        if not names or problems:
            raise InputError(f"A nomogram can not be drawn for {names or 'a model without predictors'}.", problems)
        if self._ranges.max() <= 0:
            raise NotEstimableError("All coefficients are zero; no predictor moves the risk, so there are no points.")

    @classmethod
    def from_logistic(
        cls,
        fit: LogisticFit,
        *,
        outcome: str = "",
        labels: Mapping[str, str] | None = None,
        value_labels: Mapping[str, Mapping[Any, str]] | None = None,
    ) -> Nomogram:
        """Make the nomogram of a logistic regression (rms: ``nomogram(lrm(...), fun=plogis)``).

        Parameters
        ----------
        fit : radsupport.modelling.regression.LogisticFit
            What `fit_logistic` returns.
        outcome : str
            What is predicted, in words; by default the label column.
        labels : mapping, optional
            Words for predictors, by column: ``{"age": "Age (years)"}``.
        value_labels : mapping, optional
            Words for single values, by column: ``{"smoke": {0: "no", 1: "yes"}}``.

        Raises
        ------
        InputError
            Not a logistic fit, no predictors, a constant one, or several terms of one column.
        NotEstimableError
            All coefficients are zero.
        """
        if getattr(fit, "kind", "") != "logistic":
            raise InputError("`from_logistic` takes what `fit_logistic` returns; for a Cox fit use `from_cox`.")
        axes = axes_of(fit, labels, value_labels)
        lp = fit.linear_predictor(fit.data)
        return cls("logistic", outcome or fit.label, axes, float(fit.intercept), (float(lp.min()), float(lp.max())))

    @classmethod
    def from_cox(
        cls,
        fit: CoxFit,
        horizons: Sequence[float],
        *,
        outcome: str = "survival",
        time_unit: str = "",
        labels: Mapping[str, str] | None = None,
        value_labels: Mapping[str, Mapping[Any, str]] | None = None,
    ) -> Nomogram:
        """Make the nomogram of a Cox regression (rms: ``nomogram(cph(..., surv=TRUE), fun=Survival(f))``).

        Parameters
        ----------
        fit : radsupport.survival.cox.CoxFit
            What `fit_cox` returns; its baseline follows its handling of ties.
        horizons : sequence of float
            Times at which survival is predicted, in the unit of the fit's time.
        outcome, time_unit : str
            Words: ``overall survival``, ``months``.
        labels, value_labels : mapping, optional
            As in `from_logistic`.

        Raises
        ------
        InputError
            Not a Cox fit; a horizon before the first event or after the end of follow-up; and as `from_logistic`.
        NotEstimableError
            All coefficients are zero.
        """
        if getattr(fit, "kind", "") != "cox":
            raise InputError("`from_cox` takes what `fit_cox` returns; for a logistic fit use `from_logistic`.")
        axes = axes_of(fit, labels, value_labels)
        end = float(fit.data[fit.time].max())
        times = checked_horizons(horizons, float(fit.baseline["time"].iloc[0]), end)
        lp = fit.linear_predictor(fit.data)
        centre = float(fit.means.to_numpy() @ fit.coef.to_numpy())
        time, hazard = (tuple(map(float, fit.baseline[name])) for name in ("time", "cumulative_hazard"))
        lp_range = (float(lp.min()), float(lp.max()))
        return cls("cox", outcome, axes, -centre, lp_range, times, time, hazard, end, time_unit)

    @cached_property
    def _ranges(self) -> FloatArray:
        return np.array([np.ptp(axis.tick_effects) for axis in self.predictors], dtype=float)

    @property
    def points_per_unit(self) -> float:
        """Points per unit of the linear predictor: the longest axis gets 100 points."""
        return float(MAX_SCALE / self._ranges.max())

    @property
    def lp_at_zero_points(self) -> float:
        """Linear predictor at zero total points."""
        return self.intercept + sum(float(axis.tick_effects.min()) for axis in self.predictors)

    @property
    def lp_ticks(self) -> list[float]:
        """Ticks of the linear-predictor axis, R's pretty values of the fitted range."""
        return pretty(*self.lp_range, 10)

    @property
    def total_ticks(self) -> list[float]:
        """Ticks of the Total Points axis, from 0 to past the highest tick of the linear predictor."""
        top = (max(self.lp_ticks) - self.lp_at_zero_points) * self.points_per_unit
        highest = MAX_SCALE if len(self.predictors) == 1 else max(MAX_SCALE, top)
        return pretty(0.0, highest, 10)

    def points(self, row: Mapping[str, Any] | pd.Series) -> Points:
        """Return the points of one patient.

        Parameters
        ----------
        row : mapping or Series
            Value of each predictor by column. Values beyond the axis get points by the same line.

        Returns
        -------
        Points

        Raises
        ------
        InputError
            A predictor is missing, or has a value the model can not use.
        """
        effects = self._effects(as_frame(row))[0]
        least = np.array([axis.tick_effects.min() for axis in self.predictors])
        points = (effects - least) * self.points_per_unit
        return Points(
            dict(zip([axis.name for axis in self.predictors], points.tolist(), strict=True)), float(points.sum())
        )

    def linear_predictor(self, rows: Rows) -> FloatArray:
        """Return the linear predictor of each row, shape (n,); for Cox relative to the covariate means."""
        return self.intercept + self._effects(as_frame(rows)).sum(axis=1)

    def predict(self, rows: Rows, horizons: Sequence[float] | None = None) -> pd.Series | pd.DataFrame:
        """Return the predicted probability (logistic) or survival at each horizon (Cox).

        Parameters
        ----------
        rows : DataFrame, or one row as mapping or Series
        horizons : sequence of float, optional
            Other times than the nomogram's own; Cox only.

        Returns
        -------
        pandas.Series or pandas.DataFrame
            ``probability`` by row; or survival probabilities, one column per horizon.
        """
        frame = as_frame(rows)
        lp = self.linear_predictor(frame)
        if self.kind == "logistic":
            return pd.Series(expit(lp), index=frame.index, name="probability")
        times = self.horizons if horizons is None else tuple(float(time) for time in horizons)
        return pd.DataFrame(self.survival(lp, times), index=frame.index, columns=list(times))

    def survival(self, lp: Any, times: Sequence[float]) -> FloatArray:
        """Return survival at `times` for linear predictors relative to the means, shape (lp, times).

        Raises
        ------
        InputError
            The model is logistic, or a time lies after the end of follow-up.
        """
        late = [time for time in times if not 0 <= time <= self.max_time]
        if self.kind != "cox" or late:
            raise InputError(
                f"Survival exists for Cox models at 0 to {self.max_time:g} {self.time_unit}; asked: {late}."
            )
        steps = np.searchsorted(self.baseline_time, np.asarray(times, dtype=float), side="right")
        hazard = np.concatenate([[0.0], self.baseline_hazard])[steps]
        return np.exp(-np.exp(np.asarray(lp, dtype=float))[:, None] * hazard[None, :])

    def _effects(self, frame: pd.DataFrame) -> FloatArray:
        missing = [Problem("The predictor is missing", column=a.name) for a in self.predictors if a.name not in frame]
        if missing:
            raise InputError("The row does not fit the nomogram:", missing)
        return np.column_stack([axis.effects(frame[axis.name]) for axis in self.predictors])

    def table(self) -> pd.DataFrame:
        """Return the points of every axis value: ``predictor, value, x_beta, points``."""
        return layout.points_table(self)

    def risk_table(self, total_points: Sequence[float] | None = None) -> pd.DataFrame:
        """Return what total points mean: ``total_points, linear_predictor`` and the probability or survival."""
        return layout.risk_table(self, total_points)

    def axes(self, *, at: Sequence[float] | None = None, linear_predictor: bool = False) -> pd.DataFrame:
        """Return every tick of every axis from top to bottom; see `radsupport.nomogram.layout.axes_table`."""
        return layout.axes_table(self, at, linear_predictor)

    def plot(self, ax: Axes | None = None, *, title: str = "", linear_predictor: bool = False) -> Axes:
        """Draw the nomogram (`radsupport.report.figures.nomogram`) and return the axes."""
        from radsupport.report import figures  # the figures need matplotlib only, but all of it

        return figures.nomogram(self.axes(linear_predictor=linear_predictor), ax, title=title)

    def to_html(self, *, title: str = "") -> str:
        """Return an interactive calculator as self-contained HTML; see `radsupport.nomogram.calculator`."""
        from radsupport.nomogram.calculator import calculator_html

        return calculator_html(self, title)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can hold."""
        return serial.to_dict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Nomogram:
        """Undo `to_dict`; also after a way through JSON.

        Raises
        ------
        InputError
            Keys are missing or unknown.
        """
        return cls(**serial.fields(plain, cls))
