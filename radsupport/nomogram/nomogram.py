"""The nomogram: points of each predictor, total points, and the probability or survival they stand for.

Made from a fit, kept as plain values, shown as tables: points of each value, meaning of total points, place of each
tick.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.special import expit

from radsupport.checks import FloatArray
from radsupport.errors import InputError, NotEstimableError, Problem
from radsupport.nomogram.axes import PredictorAxis, predictor_axes, pretty
from radsupport.stats.cox import FURTHEST, CoxFit
from radsupport.stats.logistic import LogisticFit
from radsupport.wording import tick as tick_text

Rows = pd.DataFrame | pd.Series | Mapping[str, Any]


def _checked_horizons(horizons: Sequence[float], first: float, end: float) -> tuple[float, ...]:
    """Return the horizons; InputError names those before the first event or past the end of follow-up."""
    times = tuple(float(time) for time in horizons)
    wrong = [
        Problem(
            "No survival can be read at this time", f"from the first event at {first:g} to {end:g}", value=f"{time:g}"
        )
        for time in times
        if not first <= time <= end
    ]
    if not times or wrong:
        raise InputError(f"`horizons` must name times within follow-up; got {list(times)}.", wrong)
    return times


def _as_frame(rows: Rows) -> pd.DataFrame:
    """Return rows as a DataFrame; a mapping or Series is one row."""
    if isinstance(rows, pd.DataFrame):
        return rows
    if isinstance(rows, pd.Series | Mapping):
        return pd.DataFrame([dict(rows)])
    raise InputError(f"Rows must be a DataFrame, or one row as a mapping or Series; not {type(rows).__name__}.")


@dataclass(frozen=True)
class Points(Mapping[str, float]):
    """Points of one patient: a mapping of predictor to points, with their `total`."""

    by_predictor: Mapping[str, float]
    total: float

    def __getitem__(self, name: str) -> float:
        return self.by_predictor[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.by_predictor)

    def __len__(self) -> int:
        return len(self.by_predictor)


def _wrong_keys(plain: Mapping[str, Any], cls: type, where: str) -> list[Problem]:
    known = {item.name for item in dataclasses.fields(cls)}
    missing = [Problem(f"The key is missing in the {where}", column=name) for name in sorted(known - set(plain))]
    unknown = [Problem(f"The key is unknown in the {where}", column=str(name)) for name in sorted(set(plain) - known)]
    return missing + unknown


MAX_SCALE = 100.0  # points of the longest predictor axis (rms: maxscale)
RISKS = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
_INVERSE = 1000  # values between which rms::nomogram interpolates the inverse of a result


@dataclass(frozen=True)
class Nomogram:
    """A regression model as points; make it with `from_logistic` or `from_cox`.

    Own code with the points of rms::nomogram: nomogram-explainer and simpleNomo draw plain fits of their own, with
    neither interactions nor splines. Axes run over the rows the model was fitted on (complete
    rows); rms takes them from datadist, which differs where a row that was left out holds a variable's extreme.

    Attributes
    ----------
    kind : {"logistic", "cox"}
    outcome : str
        What is predicted, in words.
    predictors : tuple of PredictorAxis
        One per column, or one per level of a category that it interacts with.
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
    conditions : tuple of PredictorAxis
        Categories that have no axis of their own, since they only say which axis of another column holds.
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
    conditions: tuple[PredictorAxis, ...] = ()

    def __post_init__(self) -> None:
        names = [axis.name for axis in self.predictors]
        problems = [
            Problem("The predictor is constant", "at least two values", "Leave it out of the model", column=axis.name)
            for axis in self.predictors
            if len(axis.ticks) < 2
        ]
        if not names or problems:
            raise InputError(f"A nomogram can not be drawn for {names or 'a model without predictors'}.", problems)
        if max(high - low for low, high in self._limits.values()) <= 0:
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
        fit : radsupport.stats.logistic.LogisticFit
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
            Not a logistic fit, no predictors, a constant one, or terms that have no axis.
        NotEstimableError
            All coefficients are zero.
        """
        if getattr(fit, "kind", "") != "logistic":
            raise InputError("`from_logistic` takes what `fit_logistic` returns; for a Cox fit use `from_cox`.")
        axes, conditions = predictor_axes(fit, labels or {}, value_labels or {})
        lp = fit.linear_predictor(fit.data)
        lp_range = (float(lp.min()), float(lp.max()))
        return cls("logistic", outcome or fit.label, axes, float(fit.intercept), lp_range, conditions=conditions)

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
        fit : radsupport.stats.cox.CoxFit
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
        axes, conditions = predictor_axes(fit, labels or {}, value_labels or {})
        end = float(fit.data[fit.time].max())
        times = _checked_horizons(horizons, float(fit.baseline["time"].iloc[0]), end)
        lp = fit.linear_predictor(fit.data)
        centre = float(fit.means.to_numpy() @ fit.coef.to_numpy())
        time, hazard = (tuple(map(float, fit.baseline[name])) for name in ("time", "cumulative_hazard"))
        lp_range = (float(lp.min()), float(lp.max()))
        return cls("cox", outcome, axes, -centre, lp_range, times, time, hazard, end, time_unit, conditions)

    @cached_property
    def _limits(self) -> dict[str, tuple[float, float]]:
        """Least and largest contribution of each column, over all its axes."""
        found: dict[str, tuple[float, float]] = {}
        for axis in self.predictors:
            low, high = found.get(axis.name, axis.limits)
            found[axis.name] = (min(low, axis.limits[0]), max(high, axis.limits[1]))
        return found

    @property
    def points_per_unit(self) -> float:
        """Points per unit of the linear predictor: the column with the longest axes gets 100 points."""
        return float(MAX_SCALE / max(high - low for low, high in self._limits.values()))

    @property
    def lp_at_zero_points(self) -> float:
        """Linear predictor at zero total points."""
        return self.intercept + sum(low for low, _ in self._limits.values())

    def least(self, axis: PredictorAxis) -> float:
        """Return the contribution of a column that stands for no points."""
        return self._limits[axis.name][0]

    def points_of(self, axis: PredictorAxis) -> FloatArray:
        """Return the points of each tick of an axis."""
        return (axis.tick_effects - self.least(axis)) * self.points_per_unit

    @property
    def lp_ticks(self) -> list[float]:
        """Ticks of the linear-predictor axis, R's pretty values of the fitted range."""
        return pretty(*self.lp_range, 10)

    @property
    def total_ticks(self) -> list[float]:
        """Ticks of the Total Points axis, from 0 to past the highest tick of the linear predictor."""
        top = (max(self.lp_ticks) - self.lp_at_zero_points) * self.points_per_unit
        highest = MAX_SCALE if len(self._limits) == 1 else max(MAX_SCALE, top)
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
        effects = self._effects(_as_frame(row))[0]
        points = (effects - np.array([low for low, _ in self._limits.values()])) * self.points_per_unit
        return Points(dict(zip(self._limits, points.tolist(), strict=True)), float(points.sum()))

    def linear_predictor(self, rows: Rows) -> FloatArray:
        """Return the linear predictor of each row, shape (n,); for Cox relative to the covariate means."""
        return self.intercept + self._effects(_as_frame(rows)).sum(axis=1)

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
        frame = _as_frame(rows)
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
        return np.exp(-np.outer(np.exp(np.minimum(np.asarray(lp, dtype=float), FURTHEST)), hazard))

    def example(self) -> pd.DataFrame:
        """Return the points of a patient with the median values and the most frequent levels.

        Returns
        -------
        DataFrame
            kind ("predictor", "total", "result"), label (the predictor; what is predicted; when), value (of the
            predictor, or the probability), points.
        """
        row = {axis.name: axis.typical for axis in (*self.predictors, *self.conditions)}
        shown = [axis for axis in self.predictors if axis.holds(_as_frame(row))[0]]
        points, predicted = self.points(row), np.asarray(self.predict(row)).ravel()
        logistic = self.kind == "logistic"
        when = [""] if logistic else [f" at {time:g} {self.time_unit}" for time in self.horizons]
        rows: list[tuple[Any, ...]] = [("predictor", a.title, a.typical, points[a.name]) for a in shown]
        rows += [
            ("total", f"a probability of {self.outcome} of" if logistic else f"{self.outcome} of", "", points.total)
        ]
        rows += [("result", text, share, np.nan) for text, share in zip(when, predicted, strict=True)]
        return pd.DataFrame(rows, columns=["kind", "label", "value", "points"])

    def contributions(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return what each predictor adds to the linear predictor of rows that have all of them, one column each."""
        return pd.DataFrame(self._effects(rows), rows.index, list(self._limits))

    def _effects(self, frame: pd.DataFrame) -> FloatArray:
        used = [*self._limits, *(axis.name for axis in self.conditions)]
        missing = [Problem("The predictor is missing", column=name) for name in used if name not in frame]
        if missing:
            raise InputError("The row does not fit the nomogram:", missing)
        for axis in self.conditions:
            axis.effects(frame[axis.name])  # refuses levels that the model does not know
        effects = dict.fromkeys(self._limits, np.zeros(len(frame)))
        for axis in self.predictors:
            own, found = axis.holds(frame), effects[axis.name].copy()
            found[own] = axis.effects(frame.loc[own, axis.name])
            effects[axis.name] = found
        return np.column_stack(list(effects.values()))

    def table(self) -> pd.DataFrame:
        """Return the points of every axis value: ``predictor, value, x_beta, points``.

        ``points = (x_beta - smallest x_beta of the column) * points_per_unit`` (rms::nomogram, which looks for the
        smallest at the ticks only, also where a curve turns between them).
        """
        parts = []
        for axis in self.predictors:
            own = {"predictor": axis.key, "value": pd.Series(list(axis.ticks), dtype=object)}
            parts.append(pd.DataFrame({**own, "x_beta": axis.tick_effects, "points": self.points_of(axis)}))
        return pd.concat(parts, ignore_index=True)

    def axes(self, *, at: Sequence[float] = RISKS, linear_predictor: bool = False) -> pd.DataFrame:
        """Return every tick of every axis, axes from top to bottom.

        Parameters
        ----------
        at : sequence of float
            Probabilities (0 to 1) to mark on the axes of the result. Those outside the range of the linear-predictor
            axis are left out, as in rms.
        linear_predictor : bool
            Whether the axis of the linear predictor is included.

        Returns
        -------
        pandas.DataFrame
            ``axis`` (name), ``kind`` (points / predictor / total / result), ``label``, ``value``, ``points`` (of the
            Points axis or, for total and result axes, total points), ``position`` (0 to 1 across the figure) and
            ``side`` (of an axis that turns: "below" for ticks where it rises, "above" where it falls; else empty).
            As in rms, the ticks of result axes are placed by interpolation between 1000 linear predictors, which is
            off by up to a millionth of the total points; `predict` is exact.
        """
        scale = self.total_ticks[-1]
        parts = [_axis("Points", "points", np.linspace(0, 100, 11), np.linspace(0, 100, 11), 100.0)]
        for axis in self.predictors:
            own = _axis(axis.title, "predictor", axis.ticks, self.points_of(axis), 100.0, axis.tick_labels)
            parts.append(own.assign(side=axis.sides))
        total = np.asarray(self.total_ticks)
        parts.append(_axis("Total points", "total", total, total, scale))
        results = [("Linear predictor", np.array(self.lp_ticks), np.array(self.lp_ticks))] if linear_predictor else []
        for name, values, lp in results + self._result_axes(_checked(at)):
            inside = np.isfinite(lp)
            points = (lp[inside] - self.lp_at_zero_points) * self.points_per_unit
            parts.append(_axis(name, "result", values[inside], points, scale))
        return pd.concat(parts, ignore_index=True).fillna({"side": ""})

    def _result_axes(self, risks: FloatArray) -> list[tuple[str, FloatArray, FloatArray]]:
        """Return name, probabilities and their linear predictors of each axis of the result."""
        lp = np.linspace(self.lp_ticks[0], self.lp_ticks[-1], _INVERSE)
        if self.kind == "logistic":
            return [(f"Probability of {self.outcome}", risks, np.interp(risks, expit(lp), lp, np.nan, np.nan))]
        survival, unit = self.survival(lp, self.horizons)[::-1], self.time_unit.removesuffix("s") or "time"
        return [
            (f"{tick_text(time)}-{unit} {self.outcome}", risks, np.interp(risks, by_then, lp[::-1], np.nan, np.nan))
            for time, by_then in zip(self.horizons, survival.T, strict=True)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return numbers, texts, lists and dicts only; NaN becomes None, as JSON has no NaN."""
        values = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
        plain |= {key: [axis.to_dict() for axis in getattr(self, key)] for key in ("predictors", "conditions")}
        return plain | {"max_time": None if math.isnan(self.max_time) else self.max_time}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Nomogram:
        """Undo `to_dict`; also after a way through JSON.

        Raises
        ------
        InputError
            Keys are missing or unknown; all of them are listed.
        """
        problems = _wrong_keys(plain, cls, "nomogram")
        for axis in [*plain.get("predictors", []), *plain.get("conditions", [])]:
            problems += _wrong_keys(axis, PredictorAxis, f"predictor {axis.get('name', '?')}")
        if problems:
            raise InputError("This is not what `Nomogram.to_dict` gives:", problems)
        values: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in plain.items()}
        for key in ("predictors", "conditions"):
            values[key] = tuple(PredictorAxis.from_dict(axis) for axis in plain[key])
        values["max_time"] = math.nan if plain["max_time"] is None else float(plain["max_time"])
        return cls(**values)


def _checked(at: Sequence[float]) -> FloatArray:
    values = np.asarray(at, dtype=float)
    if values.ndim != 1 or not ((values > 0) & (values < 1)).all():
        raise InputError(f"`at` must hold probabilities between 0 and 1, both excluded; got {list(at)}.")
    return values


def _axis(
    name: str, kind: str, values: Sequence[float] | Sequence[str] | FloatArray, points: FloatArray, scale: float,
    labels: Sequence[str] = (),
) -> pd.DataFrame:  # fmt: skip
    texts = list(labels) or [tick_text(float(value)) for value in values]
    column = pd.Series(list(values), dtype=object)
    points = np.asarray(points, dtype=float)
    return pd.DataFrame(
        {"axis": name, "kind": kind, "label": texts, "value": column, "points": points, "position": points / scale}
    )
