"""What a page shows in answer to its reader: a table read at one value of a slider, and figures drawn anew with values.

Everything was computed before: the script (`live.js`) looks up words that stand in the page, so they are those of the
tables to the digit, and plots points of the tidy table that a figure was drawn from. Sliders, lists and switches are
native form controls, so all of it works by keyboard. Without script a table shows where its slider starts, and a
figure is its picture. On the site the numbers are files of their own, asked for when they are wanted first
(`shared`); figures are drawn anew only there, where plotly.js lies beside them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from pandas.api import types

from radsupport.book import text
from radsupport.book.tables import MISSING, Column, asset, density, download, laid_out
from radsupport.errors import InputError
from radsupport.files import slug
from radsupport.plots import style
from radsupport.plots.base import Pictures, facets
from radsupport.wording import estimate

_POINTS = 200  # of a smooth curve


@dataclass(frozen=True)
class Chart:
    """How a kind of figure is drawn anew from its table: columns of the table, no code.

    Attributes
    ----------
    series, x, y : str
        Columns: one curve per value of `series`.
    more : mapping
        Further columns whose values are said of a point, and their words.
    estimate : str
        Column of an estimate that is said of a whole curve, with its limits.
    band : bool
        Whether the limits of `y` are drawn.
    step : bool
        Whether the curve is a step function, which begins with `start` at 0.
    diagonal, complement : bool
        Whether a line from (0, 0) to (1, 1) is drawn; whether 1 minus `x` is.
    grey, points : tuple of str
        Series to compare with, and those of points in place of a line.
    words : mapping
        Words for values of `series`.
    """

    series: str
    x: str
    y: str
    more: Mapping[str, str] = field(default_factory=dict)
    estimate: str = ""
    band: bool = False
    step: bool = False
    start: float = 1.0
    diagonal: bool = False
    complement: bool = False
    grey: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    words: Mapping[str, str] = field(default_factory=dict)


_AT_RISK = {"n_risk": "at risk"}
_STRATEGIES = {"treat_all": "Treat all", "treat_none": "Treat none"}
_LINES = {"apparent": "Smoothed or apparent", "corrected": "Bias-corrected", "grouped": "Observed, by group"}
#: The kinds of figures that can be drawn anew, by the names of their functions in `plots`.
CHARTS = {
    "roc": Chart(
        "signature", "specificity", "sensitivity", {"threshold": "threshold"}, "auc", diagonal=True, complement=True
    ),
    "calibration": Chart("kind", "predicted", "observed", band=True, diagonal=True, points=("grouped",), words=_LINES),
    "decision": Chart("strategy", "threshold", "net_benefit", grey=tuple(_STRATEGIES), words=_STRATEGIES),
    "kaplan_meier": Chart("group", "time", "survival", _AT_RISK, band=True, step=True),
    "incidence": Chart("group", "time", "incidence", _AT_RISK, band=True, step=True, start=0.0),
    "auc_over_time": Chart("signature", "time", "auc", band=True),
    "prediction_error": Chart("model", "time", "brier", grey=("Kaplan–Meier",)),
}


def explore_html(drawn: Any, caption: str) -> str:
    """Return the button that draws pictures anew with values, and their numbers; empty where their kind has none.

    Parameters
    ----------
    drawn : Pictures
        Of a kind in `CHARTS`; anything else gives nothing.
    caption : str
        Of the figure, for a screen reader.
    """
    if not isinstance(drawn, Pictures) or drawn.kind not in CHARTS:
        return ""
    numbers = _as_json(chart_numbers(drawn))
    label = escape(f"Explore: {caption}" if caption else "Explore this figure", quote=True)
    return (
        f'<div class="rl-explore" data-explore hidden><button type="button" aria-expanded="false" aria-label="{label}">'
        f'Explore</button><div class="rl-chart" hidden></div>{numbers}</div>'
    )


def _as_json(numbers: Any) -> str:
    """Return numbers as a script that nothing runs; a text in it can not end it."""
    packed = json.dumps(numbers, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return f'<script type="application/json" data-live>{packed.replace("<", chr(92) + "u003c")}</script>'


def chart_numbers(drawn: Pictures) -> dict[str, Any]:
    """Return what is drawn anew: the words of the axes, and per picture its title and curves.

    A number has four digits; a curve of more than 200 points is thinned evenly, unless it is made of steps.
    """
    chart, table = CHARTS[drawn.kind], drawn.table
    names = list(map(str, table[chart.series].unique())) if chart.series in table else [""]
    models = [name for name in names if name not in chart.grey]
    colours = {name: style.colour(models.index(name)) if name in models else style.GREY for name in names}
    parts = facets(table, list(drawn.by)) if drawn.by else [("", table)]
    panels = [
        {"title": _title(figure), "curves": _curves(part, chart, colours)}
        for figure, (_, part) in zip(drawn.figures, parts, strict=True)
    ]
    axes = drawn.figures[0].axes[0]
    words = {"x": axes.get_xlabel() or chart.x, "y": axes.get_ylabel() or chart.y}
    return {**words, "step": chart.step, "diagonal": chart.diagonal, "panels": panels}


def _title(figure: Figure) -> str:
    axes = figure.axes[0]
    return text.relative(axes.get_title() or axes.get_title(loc="left"))


def _curves(part: pd.DataFrame, chart: Chart, colours: Mapping[str, str]) -> list[dict[str, Any]]:
    by = part[chart.series].astype(str) if chart.series in part else pd.Series("", part.index)
    return [_curve(own, str(name), chart, colours[str(name)]) for name, own in part.groupby(by, sort=False)]


def _curve(own: pd.DataFrame, name: str, chart: Chart, colour: str) -> dict[str, Any]:
    """Return one curve: name, words, colour, points, and columns of the points beside x and y."""
    named = "ci" if "ci_low" in own and chart.band else chart.y
    if chart.step and own[chart.x].iloc[0] > 0:
        first = {chart.x: 0.0, chart.y: chart.start, f"{named}_low": chart.start, f"{named}_high": chart.start}
        own = pd.concat([own.iloc[[0]].assign(**first), own])
    if len(own) > _POINTS and not chart.step:  # a step left out would be a wrong value until the next
        own = own.iloc[np.linspace(0, len(own) - 1, _POINTS).round().astype(int)]
    x = own[chart.x].astype(float)
    found = {
        "name": name,
        "words": text.relative(chart.words.get(name, name)),
        "colour": colour,
        "points": name in chart.points,
    }
    found |= {"x": _digits(1 - x if chart.complement else x), "y": _digits(own[chart.y])}
    if chart.band and f"{named}_low" in own:
        found |= {end: _digits(own[f"{named}_{end}"]) for end in ("low", "high")}
    if chart.estimate:
        known = "ci" if "ci_low" in own else chart.estimate
        row = own[[chart.estimate, f"{known}_low", f"{known}_high"]].iloc[0].astype(float)
        found["words"] = f"{found['words']}, {chart.estimate.upper()} {estimate(*row)}"
    found["more"] = {words: _digits(own[column]) for column, words in chart.more.items() if column in own}
    return found


def _digits(values: pd.Series) -> list[float | None]:
    """Return numbers of four digits; what is missing or infinite is None."""
    return [float(f"{value:.4g}") if np.isfinite(value) else None for value in values.astype(float)]


def slider_table(
    table: pd.DataFrame,
    caption: str,
    along: str,
    *,
    of: str = "",
    start: Any = None,
    mark: str = "",
    headers: Mapping[str, str] | None = None,
) -> str:
    """Return a table of which the rows at one value of a column are seen, with a slider over its values.

    Parameters
    ----------
    table : pandas.DataFrame
        All rows, for each value of `along` (and `of`) one per combination of the columns that hold no numbers; a dash
        where one is missing.
    caption : str
    along : str
        Numeric column that the slider goes through.
    of : str
        Column whose values are chosen from a list.
    start : float, or mapping by `of`
        Value of `along` where the slider starts, or the next that there is; by default the least.
    mark : str
        What that value is, such as "locked in training".
    headers : mapping, optional
        As of `tables.table_html`.

    Raises
    ------
    InputError
        Two rows for one place.
    """
    by = [of] if of else []
    table = table.reset_index(drop=True)
    keys = [str(c) for c in table if c not in (along, *by) and not types.is_numeric_dtype(table[c].dtype)]
    if table.duplicated([along, *by, *keys]).any():
        raise InputError(f"The table of a slider has two rows of one {', '.join([along, *by, *keys])}.")
    marks, columns = laid_out(table[[along]], headers)[0], laid_out(table.drop(columns=[along, *by]), headers)
    place = pd.Series(list(zip(*(table[key].astype(str) for key in keys), strict=True)) if keys else (), table.index)
    choices = []
    for name, own in table.groupby(of, sort=False, observed=True) if of else [("", table)]:
        wanted = start.get(name) if isinstance(start, Mapping | pd.Series) else start
        choices.append({"name": text.relative(str(name))} | _positions(own[along], place, columns, marks, wanted))
    return _slider_html(table, caption, columns, choices, marks.words, mark)


def _positions(
    along: pd.Series, place: pd.Series, columns: list[Column], marks: Column, start: float | None
) -> dict[str, Any]:
    """Return the positions of a slider in words, the one where it starts, and the texts of the rows at each."""
    row_of = {(value, place.get(i, ())): i for i, value in along.items()}
    some = {key: i for (_, key), i in row_of.items()}  # any row, for the words of its place
    values = np.sort(along.unique())
    first = 0 if start is None else min(int(np.searchsorted(values, start)), len(values) - 1)
    rows = [
        [[_text(column, row_of.get((value, key)), i) for column in columns] for key, i in some.items()]
        for value in values
    ]
    words = [marks.texts[along.index[(along == value).argmax()]] for value in values]
    return {"marks": words, "start": first, "rows": rows}


def _text(column: Column, row: Any, place: Any) -> str:
    """Return a cell, an interval on a line of its own; where there is no row, a dash, or the words of the place."""
    found = MISSING if row is None and column.is_number else column.texts[place if row is None else row]
    return found.replace(" (", "\n(", 1) if column.is_number else found


def _slider_html(
    table: pd.DataFrame, caption: str, columns: list[Column], choices: list[dict[str, Any]], words: str, mark: str
) -> str:
    """Return the controls, the table where the first choice starts, and all else for the script."""
    first, looks = choices[0], ["rad-number" if column.is_number else "rad-left rad-short" for column in columns]
    at = f"{words} {first['marks'][first['start']]}{f' ({mark})' if mark else ''}"
    head = "".join(
        f'<th scope="col" class="{look}">{escape(one.words)}</th>' for one, look in zip(columns, looks, strict=True)
    )
    cells = [
        "".join(f'<td class="{look}">{escape(cell)}</td>' for cell, look in zip(row, looks, strict=True))
        for row in first["rows"][first["start"]]
    ]
    body = "".join(f"<tr>{row}</tr>" for row in cells)
    number: dict[str, int] = {}  # each text once
    packed = [
        one | {"rows": [[[number.setdefault(cell, len(number)) for cell in row] for row in at] for at in one["rows"]]}
        for one in choices
    ]
    options = "".join(f'<option value="{i}">{escape(one["name"])}</option>' for i, one in enumerate(choices))
    chosen = f"<label>Of <select>{options}</select></label>" if len(choices) > 1 else ""
    close = density(columns) or " rad-dense"
    label, place = escape(caption, quote=True), f"start-{slug(caption)}"
    return (
        f'<div class="rad-box{close} rl-table" data-live-table role="group" aria-label="{label}">'
        f"<style>{asset('table.css')}{asset('live.css')}</style>"
        f'<div class="rl-controls" hidden>{chosen}<label>{escape(words)} <input type="range" min="0" step="1" '
        f'max="{len(first["marks"]) - 1}" value="{first["start"]}" list="{place}"></label>'
        f'<datalist id="{place}"><option value="{first["start"]}"></option></datalist>'
        '<button type="button">Back to the start</button></div>'
        f'<output aria-live="polite">{escape(at)}</output>'
        f'<div class="rad-table" role="region" tabindex="0" aria-label="{label}"><table class="dataframe">'
        f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        f'<p class="rad-foot">{download(table, caption)}</p>'
        f"{_as_json({'words': words, 'mark': mark, 'texts': list(number), 'choices': packed})}"
        f"<script>{asset('live.js')}</script></div>"
    )
