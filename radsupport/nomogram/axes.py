"""One predictor of a nomogram: its values, what each adds to the linear predictor, and its axis.

Terms of one column share an axis, as in rms. A spline's or polynomial's effect is kept as the polynomials that it is
made of, so that points are exact without the fit; such an axis ends at the observed limits, where a straight one ends
at R's pretty values beyond them. A number that interacts with a category has an axis for each level.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from radsupport.checks import FloatArray
from radsupport.errors import InputError, Problem
from radsupport.stats.design import Design, level_label
from radsupport.stats.formulas import FUNCTIONS
from radsupport.stats.regression import FittedModel
from radsupport.wording import listed, number
from radsupport.wording import tick as tick_text

#: What a calculator can apply to a value, and the way back.
TRANSFORMS = {name: FUNCTIONS[name] for name in ("log", "log2", "log10", "log1p", "sqrt", "exp")}
_INVERSE: dict[str, Callable[[FloatArray], FloatArray]] = {
    "log": np.exp,
    "log2": np.exp2,
    "log10": lambda values: 10.0**values,
    "log1p": np.expm1,
    "sqrt": np.square,
    "exp": np.log,
}

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
_MOST_AXES = 12  # of one interaction
_TABLE = 200  # polynomials that stand for an effect which is made of none


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
        Function applied to a numeric value, empty for none; a key of `TRANSFORMS`.
    coef : tuple of float
        One coefficient of a straight numeric predictor, or one per level of a factor (0 for the reference).
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
    pieces : tuple of tuple of float
        The polynomials of a curved numeric predictor, rising: where one starts (of the transformed value), and its
        coefficients there, constant first. The first one also holds below its start.
    given : tuple of (column, level)
        Levels of other columns for which this axis holds (interactions).
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
    pieces: tuple[tuple[float, ...], ...] = field(default=(), repr=False)
    given: tuple[tuple[str, str], ...] = ()

    @property
    def title(self) -> str:
        """What the axis is called in a figure, with the levels for which it holds."""
        return ", ".join([self.label, *(level for _, level in self.given)])

    @property
    def key(self) -> str:
        """The column, with the levels for which the axis holds."""
        return f"{self.name} ({', '.join(map('='.join, self.given))})" if self.given else self.name

    def holds(self, frame: pd.DataFrame) -> Any:
        """Return for which rows the axis holds, shape (n,)."""
        found = np.ones(len(frame), dtype=bool)
        for column, level in self.given:
            found &= (frame[column].map(level_label) == level).to_numpy()
        return found

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
            inner = self.transformed(numbers)
            effects = _evaluated(self.pieces, inner) if self.pieces else self.coef[0] * inner
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

    @property
    def limits(self) -> tuple[float, float]:
        """Least and largest contribution along the axis, between ticks too."""
        effects = self.tick_effects
        if self.pieces and effects.size:
            between = np.linspace(float(self.ticks[0]), float(self.ticks[-1]), 401)
            effects = np.concatenate([effects, self.effects(pd.Series(between))])
        return (float(effects.min()), float(effects.max())) if effects.size else (0.0, 0.0)

    @property
    def sides(self) -> list[str]:
        """For each tick of an axis that turns, "below" where it rises and "above" where it falls; else empty."""
        if self.kind == "factor" or not self.pieces:
            return [""] * len(self.ticks)
        ticks = np.array(self.ticks, dtype=float)
        step = 1e-6 * (ticks[-1] - ticks[0])
        inside = np.clip(ticks, ticks[0] + step, ticks[-1] - step)
        after, before = (self.effects(pd.Series(inside + sign * step)) for sign in (1, -1))
        rises = after >= before
        return [""] * len(ticks) if rises.all() or not rises.any() else ["below" if up else "above" for up in rises]

    def _refused(self, value: str, expected: str) -> InputError:
        problem = Problem("The value can not be given points", expected, column=self.name, value=value)
        return InputError("The row does not fit the nomogram:", [problem])

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can hold; NaN becomes None."""
        plain = {key: _plain(value) for key, value in asdict(self).items()}
        return {key: None if isinstance(v, float) and math.isnan(v) else v for key, v in plain.items()}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> PredictorAxis:
        """Undo `to_dict`."""
        fields: dict[str, Any] = {key: _frozen(value) for key, value in plain.items()}
        limits: dict[str, Any] = {k: math.nan if fields[k] is None else fields[k] for k in ("low", "high")}
        return cls(**{**fields, **limits})


def _plain(value: Any) -> Any:
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


def _frozen(value: Any) -> Any:
    return tuple(_frozen(each) for each in value) if isinstance(value, list) else value


def predictor_axes(
    fit: FittedModel, labels: Mapping[str, str], value_labels: Mapping[str, Mapping[Any, str]]
) -> tuple[tuple[PredictorAxis, ...], tuple[PredictorAxis, ...]]:
    """Make the axes of a fit, as rms::datadist and rms::nomogram choose their values.

    Parameters
    ----------
    fit : LogisticFit or CoxFit
    labels : mapping
        Words for columns.
    value_labels : mapping
        Words for single values, by column and value or level.

    Returns
    -------
    axes : tuple of PredictorAxis
        One per column; one per level where the column interacts with a category.
    conditions : tuple of PredictorAxis
        Those categories, without points of their own.

    Raises
    ------
    InputError
        Terms that have no axis, such as the product of two numbers; all of them are named.
    """
    axes, conditions, problems = [], [], []
    for sources, terms in _groups(fit.design):
        wrong = _no_axis(fit.design, sources, terms)
        problems += wrong
        if wrong:
            continue
        main = next((source for source in sources if source not in fit.design.categories), sources[0])
        others = [source for source in sources if source != main]
        for levels in itertools.product(*(_levels(fit.design, other) for other in others)):
            given = tuple(zip(others, levels, strict=True))
            axes.append(_axis(fit, terms, main, given, labels.get(main, main), value_labels.get(main, {})))
        for other in others:
            axis = _axis(fit, [], other, (), labels.get(other, other), value_labels.get(other, {}))
            conditions.append(replace(axis, coef=(0.0,) * len(axis.ticks)))
    if problems:
        raise InputError("A nomogram can not be drawn of this model:", problems)
    return tuple(axes), tuple(conditions)


def _groups(design: Design) -> list[tuple[list[str], list[str]]]:
    """Return the columns that interact with one another, and the terms made of them, in order."""
    groups: list[tuple[list[str], list[str]]] = []
    for predictor in design.predictors:
        own = [group for group in groups if set(group[0]) & set(predictor.sources)]
        groups = [group for group in groups if group not in own]
        sources = [source for group in own for source in group[0]]
        terms = [term for group in own for term in group[1]]
        groups.append((list(dict.fromkeys([*sources, *predictor.sources])), [*terms, predictor.name]))
    order = design.sources
    return sorted(groups, key=lambda group: min(order.index(source) for source in group[0]))


def _levels(design: Design, source: str) -> tuple[str, ...]:
    own = (one.levels for one in design.predictors if one.kind == "factor" and one.source == source)
    return next(own, design.categories[source])


def _no_axis(design: Design, sources: Sequence[str], terms: Sequence[str]) -> list[Problem]:
    """Say why these columns have no axis: several numbers, too many levels, or a number used as a category too."""
    numbers = [source for source in sources if source not in design.categories]
    if len(numbers) > 1:
        expected = "one axis per column, so a number by categories only"
        what = f"The terms {listed(terms)} tie {listed(numbers)} together"
        return [Problem(what, expected, "Leave the product out, or divide one number into categories")]
    kinds = [one.kind for one in design.predictors if set(one.sources) == set(sources)]
    if len(sources) == 1 and "factor" in kinds and len(kinds) > 1:
        return [Problem("More than one term is made from this column", "one axis per column", column=sources[0])]
    n = math.prod(len(_levels(design, source)) for source in sources[0 if numbers else 1 :] if source not in numbers)
    if n > _MOST_AXES:
        what = f"The terms {listed(terms)} would need {n} axes"
        return [Problem(what, f"at most {_MOST_AXES}", "Leave an interaction out", column=sources[0])]
    return []


def _axis(
    fit: FittedModel,
    terms: Sequence[str],
    source: str,
    given: tuple[tuple[str, str], ...],
    label: str,
    value_labels: Mapping[Any, str],
) -> PredictorAxis:
    """Make the axis of one column at given levels of others."""
    words = {level_label(value): text for value, text in value_labels.items()}
    design = fit.design.select(terms)

    def effect(values: Any) -> FloatArray:
        rows = pd.DataFrame({source: values, **dict(given)})
        return design.transform(rows) @ fit.coef[design.columns].to_numpy()

    if source not in fit.design.categories:
        axis = _number_axis(fit, terms, source, effect, words, curved=bool(given))
        return replace(axis, label=label, given=given)
    levels = _levels(fit.design, source)
    coefs = tuple(map(float, effect(list(levels)))) if terms else ()
    typical = fit.data[source].map(level_label).value_counts(sort=False).reindex(list(levels)).idxmax()
    names = tuple(words.get(level, level) for level in levels)
    return PredictorAxis(
        source, label, "factor", "", coefs, levels, math.nan, math.nan, str(typical), tick_labels=names, given=given
    )


def _number_axis(
    fit: FittedModel,
    terms: Sequence[str],
    source: str,
    effect: Callable[[Any], FloatArray],
    words: Mapping[str, str],
    *,
    curved: bool,
) -> PredictorAxis:
    numbers = fit.data[source].to_numpy(dtype=float)
    distinct = np.unique(numbers)
    low, high = float(distinct[0]), float(distinct[-1])
    few = tuple(map(float, distinct)) if distinct.size <= _MAX_VALUES else ()
    transform = terms[0].removesuffix(f"({source})") if terms[0] != source else ""
    if curved or len(terms) > 1 or (transform and transform not in TRANSFORMS):
        transform, pieces = _pieces(effect, terms, source, (low, high), _knots(fit.design))
        coef: tuple[float, ...] = ()
    else:
        pieces, coef = (), (float(fit.coef[fit.design[terms[0]].columns[0]]),)
    bends = len(pieces) > 1 or any(len(piece) > 3 for piece in pieces)
    ticks = few or _axis_ticks(low, high, transform, inside=bends)
    ends = {low: number(low), high: number(high)} if bends and not few else {}
    texts = tuple(words.get(level_label(tick), ends.get(tick, tick_text(tick))) for tick in ticks)
    middle = float(np.median(numbers))
    if len(few) == 2:
        middle = ticks[int((numbers == ticks[1]).mean() > 0.5)]
    step = _slider_step(numbers, ticks)
    # what the calculator starts with is a value that its slider can take
    middle = round(middle, max(0, -math.floor(math.log10(step))))
    return PredictorAxis(source, "", "numeric", transform, coef, ticks, low, high, middle, step, texts, pieces)


def _axis_ticks(low: float, high: float, transform: str, *, inside: bool) -> tuple[float, ...]:
    """Return R's pretty values of the observed range.

    Where the function has no finite value at one of them (log at 0; rms stops), or they lie outside (`inside`: the
    range, beyond which a curve is a guess), the observed limit stands in its place.
    """
    ticks = np.array(pretty(low, high, _INTERVALS))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        good = np.isfinite(TRANSFORMS[transform](ticks)) if transform else np.isfinite(ticks)
    good &= (ticks >= low) & (ticks <= high) if inside else True
    ends = [low] * (not good[0]) + [high] * (not good[-1])
    return tuple(sorted({*map(float, ticks[good]), *ends}))


def _knots(design: Design) -> FloatArray:
    """Return the knots of all splines of a model."""
    states = design.spec.transform_state.values()
    return np.unique([knot for state in states for knot in state.get("knots", ())])


def _pieces(
    effect: Callable[[Any], FloatArray],
    terms: Sequence[str],
    source: str,
    limits: tuple[float, float],
    knots: FloatArray,
) -> tuple[str, tuple[tuple[float, ...], ...]]:
    """Return the polynomials that an effect is made of, and the function that is applied before.

    Found by interpolation between the knots and checked at other values, beyond the observed ones too. An effect that
    is made of no polynomials (``size + log(size)``) becomes `_TABLE` cubic ones that are right to a millionth of its
    range within the observed values; beyond them they are a guess, and the calculator warns.
    """
    inner = [name for name in TRANSFORMS if any(re.search(rf"\b{name}\({source}\)", term) for term in terms)]
    trials: list[tuple[str, FloatArray | None, int]]
    trials = [(name, knots, degree) for name in ("", *inner) for degree in (1, 2, 3, 5, 9)]
    for name, breaks, degree in [*trials, *((name, None, 3) for name in (*inner, ""))]:
        found = _interpolated(effect, name, breaks, degree, limits)
        if found:
            return name, found
    raise InputError(f"The effect of `{source}` by {listed(terms)} is too rough for the axis of a nomogram.")


def _interpolated(
    effect: Callable[[Any], FloatArray], name: str, breaks: FloatArray | None, degree: int, limits: Any
) -> tuple[tuple[float, ...], ...]:
    """Return polynomials of this degree between the breaks (None: a table); none where these are not the effect."""
    beyond = breaks is not None
    forth, back = (TRANSFORMS[name], _INVERSE[name]) if name else (lambda x: x, lambda x: x)
    low, high = (float(forth(np.float64(limit))) for limit in limits)
    margin = 0.5 * (high - low) if beyond else 0.0
    first = max(low - margin, min(low, 1e-9)) if name in {"sqrt", "exp"} else low - margin
    breaks = np.linspace(low, high, _TABLE + 1)[1:-1] if breaks is None else breaks
    inner = [float(knot) for knot in breaks if low - margin / 2 < knot < high + margin / 2]
    ends = [first, *(knot for knot in inner if first < knot < high + margin), high + margin]
    nodes = 0.5 - 0.5 * np.cos(np.pi * (np.arange(degree + 1) + 0.5) / (degree + 1))
    starts, widths = np.array(ends[:-1]), np.diff(ends)
    at = np.concatenate([np.linspace(first, high + margin, 397), np.linspace(low, high, 397)])
    try:
        there = effect(back((starts[:, None] + widths[:, None] * nodes).ravel())).reshape(len(starts), -1)
        expected = effect(back(at))
    except InputError:  # values that the model's functions do not have
        return ()
    coefs = np.polynomial.polynomial.polyfit(nodes, there.T, degree).T / widths[:, None] ** np.arange(degree + 1)
    pieces = tuple((float(start), *map(float, own)) for start, own in zip(starts, coefs, strict=True))
    error = np.abs(_evaluated(pieces, at) - expected).max()
    return pieces if error <= (1e-9 if beyond else 1e-6) * max(float(np.ptp(expected)), 1e-12) else ()


def _evaluated(pieces: Sequence[Sequence[float]], inner: FloatArray) -> FloatArray:
    """Return the value of polynomials that follow one another."""
    result = np.full(inner.shape, np.nan)
    own = np.searchsorted([piece[0] for piece in pieces[1:]], inner, side="right")
    for i, (start, *coefs) in enumerate(pieces):
        here = (own == i) & np.isfinite(inner)
        result[here] = np.polynomial.polynomial.polyval(inner[here] - start, coefs)
    return result


def _slider_step(numbers: FloatArray, ticks: tuple[float, ...]) -> float:
    """Return the decimal step in which the values were recorded, coarsened to at most 1000 steps."""
    decimals = next((d for d in range(6) if np.allclose(np.round(numbers, d), numbers, rtol=0, atol=1e-9)), 6)
    step = 10.0**-decimals
    while (ticks[-1] - ticks[0]) / step > 1000:
        step *= 10
    return float(f"{step:.0e}")
