"""One predictor of a nomogram: its values, what each adds to the linear predictor, and its axis.

R's `pretty`: round values that cover a range.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

from radsupport.checks import FloatArray
from radsupport.errors import InputError, Problem
from radsupport.stats.design import Predictor, level_label
from radsupport.stats.formulas import FUNCTIONS as TRANSFORMS
from radsupport.wording import tick as tick_text

_BIAS = 1.5  # R: high.u.bias
_BIAS_5 = 0.5 + 1.5 * _BIAS  # R: u5.bias
_SLACK = 1e-10  # R: rounding_eps


def pretty(low: float, high: float, n: int = 5) -> list[float]:
    """Return about `n` + 1 equally spaced round values (1, 2 or 5 times a power of ten) that cover ``[low, high]``.

    Own code: matplotlib's and plotly's tick locators choose other steps than R's `pretty`, which rms uses.

    Parameters
    ----------
    low, high : float
        The range to cover; ``low < high``.
    n : int
        Wanted number of intervals; at least ``n // 3`` are made.

    Returns
    -------
    list of float

    Raises
    ------
    InputError
        The range is empty, reversed or not finite, or `n` is below 1.

    Notes
    -----
    Algorithm of R_pretty in R >= 4.2 (src/appl/pretty.c), by the description in help(pretty): the unit is the
    largest of 1, 2, 5, 10 times the power of ten below the cell size that the biases ``h = 1.5`` and
    ``h5 = 0.5 + 1.5 h`` allow. Ranges that are empty up to rounding are refused here, where R widens them.
    """
    if not (math.isfinite(low) and math.isfinite(high) and low < high and n >= 1):
        raise InputError(f"`pretty` needs finite limits with low < high and n >= 1; got {low}, {high} and {n}.")
    unit = _unit((high - low) / n)
    first = math.floor(low / unit + _SLACK)
    last = math.ceil(high / unit - _SLACK)
    while first * unit > low + _SLACK * unit:
        first -= 1
    while last * unit < high - _SLACK * unit:
        last += 1
    first, last = _widened(first, last, n // 3, low, high)
    return [_clean(i, unit) for i in range(first, last + 1)]


def _unit(cell: float) -> float:
    """Choose the step: 1, 2, 5 or 10 times the power of ten at or below the cell."""
    base = 10.0 ** math.floor(math.log10(cell))
    unit = base
    for factor, bias in ((2, _BIAS), (5, _BIAS_5), (10, _BIAS)):
        if factor * base - cell >= bias * (cell - unit):
            break
        unit = factor * base
    return unit


def _widened(first: int, last: int, least: int, low: float, high: float) -> tuple[int, int]:
    """Add intervals at both ends where there are fewer than `least`, but none across zero."""
    lacking = least - (last - first)
    if lacking <= 0:
        return first, last
    if low == 0 and first == 0 and high != 0:
        return first, last + lacking
    if high == 0 and last == 0 and low != 0:
        return first - lacking, last
    more, rest = lacking // 2, lacking % 2
    return (first - more - rest, last + more) if first >= 0 else (first - more, last + more + rest)


def _clean(i: int, unit: float) -> float:
    """Return ``i * unit`` without the rounding error of units below one (0.6 rather than 0.6000000000000001)."""
    decimals = max(0, 1 - math.floor(math.log10(unit)))
    return float(round(i * unit, decimals))


_INTERVALS = 10  # rms: nint
_MAX_VALUES = 10  # rms::datadist's n.unique: up to this many distinct values are kept one by one


@dataclass(frozen=True)
class PredictorAxis:
    """A predictor with all that is needed to give points, without the fit.

    Attributes
    ----------
    name : str
        Column of the rows that hold its values.
    label : str
        What it is called in figures and in the calculator.
    kind : {"numeric", "factor"}
    transform : str
        Function applied to a numeric value, empty for none; a key of `radsupport.stats.design.TRANSFORMS`.
    coef : tuple of float
        One coefficient of a numeric predictor, or one per level of a factor (0 for the reference).
    ticks : tuple
        Values on the axis: levels of a factor; the distinct values of a numeric predictor with at most ten of
        them; else R's ``pretty(range, 10)`` of the observed range.
    low, high : float
        Observed range; NaN for a factor.
    typical : float or str
        Median, or most frequent level; where the calculator starts.
    step : float
        Step of the calculator's slider; 0 for a factor.
    tick_labels : tuple of str
        Words for the ticks.
    """

    name: str
    label: str
    kind: Literal["numeric", "factor"]
    transform: str
    coef: tuple[float, ...]
    ticks: tuple[float, ...] | tuple[str, ...]
    low: float
    high: float
    typical: float | str
    step: float = 0.0
    tick_labels: tuple[str, ...] = field(default=())

    def effects(self, values: pd.Series) -> FloatArray:
        """Return the contribution of each value to the linear predictor, shape (n,).

        Raises
        ------
        InputError
            Missing or non-numeric values, a level the model does not know, a value outside the transform's domain.
        """
        if self.kind == "factor":
            labels = [level_label(value) for value in values]
            unknown = sorted({label for label in labels if label not in self.ticks})
            if unknown:
                raise self._refused(", ".join(unknown), f"one of {', '.join(map(str, self.ticks))}")
            by_level = dict(zip(self.ticks, self.coef, strict=True))
            return np.array([by_level[label] for label in labels], dtype=float)
        numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=float)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            effects = self.coef[0] * self.transformed(numbers)
        bad = ~np.isfinite(effects) | ~np.isfinite(numbers)
        if bad.any():
            shown = ", ".join(str(value) for value in values[bad][:5])
            raise self._refused(shown, f"a number with a finite {self.transform or 'value'}")
        return effects

    def transformed(self, numbers: FloatArray) -> FloatArray:
        """Apply the predictor's function to numbers, shape (n,)."""
        return TRANSFORMS[self.transform](numbers) if self.transform else numbers

    @property
    def tick_effects(self) -> FloatArray:
        """Contribution of each tick to the linear predictor, shape (ticks,)."""
        return self.effects(pd.Series(list(self.ticks), dtype=object if self.kind == "factor" else float))

    def _refused(self, value: str, expected: str) -> InputError:
        problem = Problem("The value can not be given points", expected, column=self.name, value=value)
        return InputError("The row does not fit the nomogram:", [problem])

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can hold; NaN becomes None."""
        plain = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
        return {key: None if isinstance(v, float) and math.isnan(v) else v for key, v in plain.items()}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> PredictorAxis:
        """Undo `to_dict`."""
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in plain.items()}
        limits: dict[str, Any] = {k: math.nan if fields[k] is None else fields[k] for k in ("low", "high")}
        return cls(**{**fields, **limits})


def predictor_axis(
    predictor: Predictor, coef: pd.Series, data: pd.DataFrame, label: str, value_labels: Mapping[Any, str]
) -> PredictorAxis:
    """Make the axis of one term of a fit, as rms::datadist and rms::nomogram choose its values.

    Parameters
    ----------
    predictor : radsupport.stats.design.Predictor
    coef : pandas.Series
        Coefficients by design column.
    data : pandas.DataFrame
        Rows the model was fitted on.
    label : str
    value_labels : mapping
        Words for single values, by value or level.
    """
    values = data[predictor.source]
    words = {level_label(value): text for value, text in value_labels.items()}
    if predictor.kind == "factor":
        by_level = dict(zip(predictor.coded_levels, coef[list(predictor.columns)], strict=True))
        levels = predictor.levels
        coefs = tuple(float(by_level.get(level, 0.0)) for level in levels)
        typical = values.map(level_label).value_counts(sort=False).reindex(list(levels)).idxmax()
        names = tuple(words.get(level, level) for level in levels)
        return PredictorAxis(
            predictor.source, label, "factor", "", coefs, levels, math.nan, math.nan, str(typical), tick_labels=names
        )
    numbers = values.to_numpy(dtype=float)
    distinct, transform = np.unique(numbers), predictor.name.removesuffix(f"({predictor.source})")
    transform = "" if transform == predictor.name else transform
    if len(predictor.columns) != 1 or len(predictor.pieces) != 1:
        raise InputError(f"The term `{predictor.name}` has no axis in a nomogram.")
    low, high = float(distinct[0]), float(distinct[-1])
    few = tuple(map(float, distinct)) if distinct.size <= _MAX_VALUES else ()
    ticks = few or _axis_ticks(low, high, transform)
    texts = tuple(words.get(level_label(tick), tick_text(tick)) for tick in ticks)
    slope, middle = float(coef[predictor.columns[0]]), float(np.median(numbers))
    if len(few) == 2:
        middle = ticks[int((numbers == ticks[1]).mean() > 0.5)]
    step = _slider_step(numbers, ticks)
    # what the calculator starts with is a value that its slider can take
    middle = round(middle, max(0, -math.floor(math.log10(step))))
    return PredictorAxis(
        predictor.source, label, "numeric", transform, (slope,), ticks, low, high, middle, step, texts
    )  # fmt: skip


def _axis_ticks(low: float, high: float, transform: str) -> tuple[float, ...]:
    """Return R's pretty values of the observed range.

    Where the function has no finite value at one of them (log at 0), it gives way to the observed limit; rms stops.
    """
    ticks = pretty(low, high, _INTERVALS)
    if not transform:
        return tuple(ticks)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        finite = np.isfinite(TRANSFORMS[transform](np.array(ticks)))
    kept = [tick for tick, good in zip(ticks, finite, strict=True) if good]
    ends = [low] * (not finite[0]) + [high] * (not finite[-1])
    return tuple(sorted({*kept, *ends}))


def _slider_step(numbers: FloatArray, ticks: tuple[float, ...]) -> float:
    """Return the decimal step in which the values were recorded, coarsened to at most 1000 steps."""
    decimals = next((d for d in range(6) if np.allclose(np.round(numbers, d), numbers, rtol=0, atol=1e-9)), 6)
    step = 10.0**-decimals
    while (ticks[-1] - ticks[0]) / step > 1000:
        step *= 10
    return float(f"{step:.0e}")
