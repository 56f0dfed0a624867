"""The interactive calculator: one piece of HTML with its own style and script, and nothing from the network.

It works in a page of the book (also opened as a file) and in JupyterLab. Each predictor is a labelled slider with
a number field, or a select; all are native form controls and so operable by keyboard. The results stand in a live
region, which screen readers announce. The script finds its calculator by a data attribute, not by an id, so that
any number of calculators can stand on one page.
"""

from __future__ import annotations

import json
import math
from html import escape
from importlib.resources import files
from typing import Any

from radsupport.nomogram.axes import PredictorAxis, pretty
from radsupport.nomogram.nomogram import Nomogram
from radsupport.wording import fixed
from radsupport.wording import tick as tick_text

_ASSETS = files("radsupport.nomogram")
#: The script runs once for each calculator on a page.
STYLE, SCRIPT = (f"\n{_ASSETS.joinpath(name).read_text('utf-8')}" for name in ("calculator.css", "calculator.js"))
_PLOT = (52.0, 12.0, 420.0, 200.0)  # left, top, right, bottom of the survival plot, in units of its view box

#: Where a patient that `radsupport apply` predicted is pasted or dropped; it stays in the browser.
_PATIENT = (
    '<details class="nc-details nc-patient"><summary>A new patient, from <code>radsupport apply</code></summary>'
    "<label><span>Paste predictions.json or predictions.csv, or drop the file here</span>"
    "<textarea data-paste></textarea></label>"
    '<label><span>or choose it</span> <input type="file" data-file accept=".json,.csv"></label>'
    "<label><span>Patient</span> <select data-who><option value="
    ">–</option></select></label><p>Nothing leaves this page.</p></details>"
    '<p class="nc-said" data-patient role="status"></p>'
)


def calculator(nomogram: Nomogram | None, title: str = "", note: str = "") -> str:
    """Return the interactive calculator of a nomogram as self-contained HTML; empty where there is no nomogram.

    Parameters
    ----------
    nomogram : Nomogram or None
    title : str
        Heading; by default what is predicted.
    note : str
        What a reader must know wherever it is shown.

    Returns
    -------
    str
        A single ``div`` with everything inside; put it into a page as it is.
    """
    if nomogram is None:
        return ""
    heading = title or f"Calculator: {_predicted(nomogram)}"
    inputs = {axis.name: axis for axis in (*nomogram.predictors, *nomogram.conditions)}
    controls = "".join(_control(axis) for axis in inputs.values())
    curve = _curve(nomogram) if nomogram.kind == "cox" else ""
    model = escape(json.dumps(_model(nomogram), allow_nan=False), quote=True)
    return (
        f'<div class="nomogram-calculator" data-nomogram role="group" aria-label="{escape(heading)}" '
        f'data-model="{model}"><style>{STYLE}</style><p class="nc-title">{escape(heading)}</p>'
        f'<div class="nc-body"><div class="nc-inputs">{controls}</div><div class="nc-side">{_results(nomogram)}{curve}'
        f'</div></div><p class="nc-warning" data-warning role="alert"></p>{_PATIENT}{_points_details(nomogram)}'
        f"{f'<p>{escape(note)}</p>' * bool(note)}"
        f"<noscript>The calculator needs JavaScript; the table of points above works without.</noscript>"
        f"<script>{SCRIPT}</script></div>"
    )


def _predicted(nomogram: Nomogram) -> str:
    return f"probability of {nomogram.outcome}" if nomogram.kind == "logistic" else nomogram.outcome


def _model(nomogram: Nomogram) -> dict[str, Any]:
    """Return the numbers that the script computes with."""
    predictors = [
        {
            "name": axis.name,
            "label": axis.label,
            "kind": axis.kind,
            "transform": axis.transform,
            "coef": list(axis.coef),
            "levels": [str(tick) for tick in axis.ticks] if axis.kind == "factor" else [],
            "low": None if math.isnan(axis.low) else axis.low,
            "high": None if math.isnan(axis.high) else axis.high,
            "pieces": [list(piece) for piece in axis.pieces],
            "given": [list(pair) for pair in axis.given],
            "least": nomogram.least(axis),
        }
        for axis in nomogram.predictors
    ]
    return {
        "kind": nomogram.kind,
        "intercept": nomogram.intercept,
        "pointsPerUnit": nomogram.points_per_unit,
        "predictors": predictors,
        "horizons": list(nomogram.horizons),
        "time": list(nomogram.baseline_time),
        "hazard": list(nomogram.baseline_hazard),
        "maxTime": None if math.isnan(nomogram.max_time) else nomogram.max_time,
        "timeUnit": nomogram.time_unit,
        "plot": list(_PLOT),
    }


def _control(axis: PredictorAxis) -> str:
    """Return the labelled control of one predictor: a select, or a slider with a number field."""
    name, label = escape(axis.name, quote=True), escape(axis.label)
    points = f'<span class="nc-points" data-points="{name}"></span>'
    if axis.kind == "factor" or len(axis.ticks) == 2:
        options = "".join(
            f'<option value="{escape(_plain(tick), quote=True)}"{" selected" * (tick == axis.typical)}>'
            f"{escape(text)}</option>"
            for tick, text in zip(axis.ticks, axis.tick_labels, strict=True)
        )
        return (
            f'<div class="nc-row"><label><span class="nc-name">{label}</span>'
            f'<select data-input="{name}">{options}</select></label>{points}</div>'
        )
    low, high = float(axis.ticks[0]), float(axis.ticks[-1])
    start = f'value="{axis.typical!r}"'
    return (
        f'<div class="nc-row"><label><span class="nc-name">{label}</span><input type="range" data-slider="{name}" '
        f'min="{low!r}" max="{high!r}" step="{axis.step!r}" {start}></label>'
        f'<input type="number" data-input="{name}" step="any" {start} aria-label="{label}, typed value">{points}</div>'
    )


def _plain(tick: Any) -> str:
    return tick if isinstance(tick, str) else repr(float(tick))


def _results(nomogram: Nomogram) -> str:
    """Return the live region with total points and the predicted probability or survival."""
    names = [_predicted(nomogram)] if nomogram.kind == "logistic" else [
        f"{nomogram.outcome} at {tick_text(horizon)} {nomogram.time_unit}".strip() for horizon in nomogram.horizons
    ]  # fmt: skip
    rows = "".join(
        f'<div class="nc-result"><span>{escape(name[:1].upper() + name[1:])}</span> '
        f'<span class="nc-value" data-result="{i}"></span></div>'
        for i, name in enumerate(names)
    )
    total = '<div class="nc-total"><span>Total points</span> <span class="nc-number" data-total></span></div>'
    return f'<div class="nc-results" role="status" aria-live="polite" aria-atomic="true">{total}{rows}</div>'


def _curve(nomogram: Nomogram) -> str:
    """Return the empty survival plot with its axes; the script draws the curve."""
    left, top, right, bottom = _PLOT
    end = nomogram.max_time
    marks = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = bottom - share * (bottom - top)
        marks.append(f'<line class="nc-grid" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>')
        marks.append(f'<text x="{left - 8}" y="{y + 4}" text-anchor="end">{share:.0%}</text>')
    for tick in [time for time in pretty(0, end, 5) if time <= end]:
        x = left + tick / end * (right - left)
        marks.append(f'<text x="{x:.1f}" y="{bottom + 17}" text-anchor="middle">{tick_text(tick)}</text>')
    for horizon in nomogram.horizons:
        x = left + horizon / end * (right - left)
        marks.append(f'<line class="nc-horizon" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"/>')
    unit = f" ({escape(nomogram.time_unit)})" if nomogram.time_unit else ""
    middle = (left + right) / 2
    return (
        f'<svg class="nc-curve" data-curve role="img" aria-label="Predicted survival curve" viewBox="0 0 440 240">'
        f'{"".join(marks)}<text x="{middle}" y="{bottom + 35}" text-anchor="middle">Time{unit}</text>'
        f'<path class="nc-line" data-path d=""/></svg>'
    )


def _points_details(nomogram: Nomogram) -> str:
    """Return the table of points, folded in; it also serves where no script runs."""
    labels = [(axis.title, text) for axis in nomogram.predictors for text in axis.tick_labels]
    rows = "".join(
        f"<tr><td>{escape(label)}</td><td>{escape(text)}</td><td>{fixed(points, 1)}</td></tr>"
        for (label, text), points in zip(labels, nomogram.table()["points"], strict=True)
    )
    return (
        '<details class="nc-details"><summary>Points of each value</summary><table class="dataframe"><thead><tr>'
        '<th scope="col">Predictor</th><th scope="col">Value</th><th scope="col">Points</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></details>"
    )
