"""The interactive calculator: one piece of HTML with its own style and script, and nothing from the network.

It works in a page of the book (also opened as a file) and in JupyterLab. Each predictor is a labelled slider with
a number field, or a select; all are native form controls and so operable by keyboard. The results stand in a live
region, which screen readers announce. The script finds its calculator by a data attribute, not by an id, so that
any number of calculators can stand on one page.

Style and script of the calculator; the script runs once for each calculator on a page.
"""

from __future__ import annotations

import json
import math
from html import escape
from typing import TYPE_CHECKING, Any

from radsupport.nomogram.axes import PredictorAxis, pretty
from radsupport.wording import fixed
from radsupport.wording import tick as tick_text

if TYPE_CHECKING:
    from radsupport.nomogram.nomogram import Nomogram

STYLE = """
.nomogram-calculator{--nc-ink:var(--pst-color-text-base,var(--jp-content-font-color1,#1a1a1a));
--nc-ground:var(--pst-color-background,var(--jp-layout-color1,#fff));
--nc-line:var(--pst-color-border,var(--jp-border-color1,#b5b5b5));
--nc-accent:var(--pst-color-primary,var(--jp-brand-color1,#0072b2));
color:var(--nc-ink);background:var(--nc-ground);border:1px solid var(--nc-line);border-radius:.4rem;
padding:1rem;font-size:.95rem;line-height:1.4;max-width:60rem}
.nomogram-calculator .nc-title{font-weight:700;font-size:1.05rem;margin:0 0 .75rem}
.nomogram-calculator .nc-body{display:flex;flex-wrap:wrap;gap:1.5rem}
.nomogram-calculator .nc-inputs{flex:1 1 24rem;min-width:16rem}
.nomogram-calculator .nc-side{flex:1 1 16rem;min-width:14rem}
.nomogram-calculator .nc-row{display:flex;flex-wrap:wrap;align-items:center;gap:.3rem .6rem;margin-bottom:.6rem}
.nomogram-calculator .nc-row label{display:flex;flex-wrap:wrap;align-items:center;gap:.2rem .6rem;flex:1 1 14rem;
margin:0;font-weight:400}
.nomogram-calculator .nc-name{flex:0 0 8.5rem}
.nomogram-calculator input[type=range]{flex:1 1 6rem;min-width:6rem;accent-color:var(--nc-accent)}
.nomogram-calculator input[type=number]{width:6.5rem}
.nomogram-calculator input[type=number],.nomogram-calculator select{color:inherit;background:transparent;
border:1px solid var(--nc-line);border-radius:.25rem;padding:.15rem .35rem;font:inherit}
.nomogram-calculator select option{color:#1a1a1a;background:#fff}
.nomogram-calculator :is(input,select,summary):focus-visible{outline:2px solid var(--nc-accent);outline-offset:2px}
.nomogram-calculator .nc-points{flex:0 0 5rem;text-align:right;font-variant-numeric:tabular-nums;opacity:.85}
.nomogram-calculator .nc-results{border-left:4px solid var(--nc-accent);padding:.1rem 0 .1rem .8rem}
.nomogram-calculator .nc-value{display:block;font-size:1.6rem;font-weight:700}
.nomogram-calculator .nc-total .nc-number{font-weight:700}
.nomogram-calculator .nc-warning{min-height:1.4em;margin:.5rem 0 0;font-weight:600}
.nomogram-calculator .nc-curve{width:100%;max-width:30rem;margin-top:.75rem}
.nomogram-calculator .nc-curve text{fill:currentColor;font-size:12px}
.nomogram-calculator .nc-grid{stroke:currentColor;stroke-opacity:.2}
.nomogram-calculator .nc-horizon{stroke:currentColor;stroke-opacity:.7;stroke-dasharray:4 4}
.nomogram-calculator .nc-line{fill:none;stroke:var(--nc-accent);stroke-width:2.5}
.nomogram-calculator .nc-details{margin-top:.5rem}
"""

SCRIPT = r"""
(function () {
  "use strict";
  const transforms = {
    "": (x) => x, log: Math.log, log2: Math.log2, log10: Math.log10, log1p: Math.log1p, sqrt: Math.sqrt, exp: Math.exp,
  };

  function effect(predictor, text) {
    if (predictor.kind === "factor") {
      return predictor.coef[predictor.levels.indexOf(text)];
    }
    return text.trim() === "" ? NaN : predictor.coef[0] * transforms[predictor.transform](Number(text));
  }

  function hazardAt(model, time) {
    let hazard = 0;
    for (let i = 0; i < model.time.length && model.time[i] <= time; i += 1) {
      hazard = model.hazard[i];
    }
    return hazard;
  }

  function compute(model, values) {
    const effects = model.predictors.map((p) => effect(p, values[p.name]));
    const points = effects.map((x, i) => (x - model.predictors[i].least) * model.pointsPerUnit);
    const lp = effects.reduce((sum, x) => sum + x, model.intercept);
    const results = model.kind === "logistic"
      ? [1 / (1 + Math.exp(-lp))]
      : model.horizons.map((time) => Math.exp(-hazardAt(model, time) * Math.exp(lp)));
    return { points, total: points.reduce((sum, x) => sum + x, 0), lp, results };
  }

  function curvePath(model, lp) {
    const [left, top, right, bottom] = model.plot;
    const x = (time) => (left + (time / model.maxTime) * (right - left)).toFixed(2);
    const y = (s) => (bottom - s * (bottom - top)).toFixed(2);
    let path = "M" + x(0) + "," + y(1);
    model.time.forEach((time, i) => {
      path += "H" + x(time) + "V" + y(Math.exp(-model.hazard[i] * Math.exp(lp)));
    });
    return path + "H" + x(model.maxTime);
  }

  function percent(value) {
    const share = 100 * value;
    if (share > 0 && share < 0.1) { return "< 0.1%"; }
    return share < 100 && share > 99.9 ? "> 99.9%" : share.toFixed(1) + "%";
  }

  function warning(model, values) {
    const texts = model.predictors.filter((p) => p.kind === "numeric").map((p) => {
      if (!Number.isFinite(effect(p, values[p.name]))) { return "Enter a number for " + p.label + "."; }
      const outside = Number(values[p.name]) < p.low || Number(values[p.name]) > p.high;
      return outside ? p.label + " lies outside the range of the fitted data, " + p.low + " to " + p.high + "." : "";
    });
    return texts.filter((text) => text !== "").join(" ");
  }

  function start(root) {
    const model = JSON.parse(root.getAttribute("data-model"));
    const one = (name, value) => Array.from(root.querySelectorAll("[" + name + "]"))
      .find((element) => value === undefined || element.getAttribute(name) === value);
    const write = (element, text, value) => {
      if (element.textContent !== text) { element.textContent = text; }
      element.setAttribute("data-value", String(value));
    };

    function update() {
      const values = {};
      model.predictors.forEach((p) => { values[p.name] = one("data-input", p.name).value; });
      const computed = compute(model, values);
      const usable = Number.isFinite(computed.lp);
      model.predictors.forEach((p, i) => {
        const own = computed.points[i];
        write(one("data-points", p.name), Number.isFinite(own) ? own.toFixed(1) + " points" : "", own);
      });
      write(one("data-total"), usable ? computed.total.toFixed(1) : "–", computed.total);
      computed.results.forEach((value, i) => {
        write(one("data-result", String(i)), usable ? percent(value) : "–", value);
      });
      const text = warning(model, values);
      if (one("data-warning").textContent !== text) { one("data-warning").textContent = text; }
      const path = one("data-path");
      if (path) {
        path.setAttribute("d", usable ? curvePath(model, computed.lp) : "");
        const said = model.horizons.map((time, i) => percent(computed.results[i]) + " at " + time);
        const unit = model.timeUnit ? " " + model.timeUnit : "";
        const label = "Predicted survival curve: " + (usable ? said.join(", ") + unit : "none");
        one("data-curve").setAttribute("aria-label", label);
      }
    }

    model.predictors.forEach((p) => {
      const input = one("data-input", p.name);
      const slider = one("data-slider", p.name);
      input.addEventListener("input", () => {
        if (slider && input.value.trim() !== "") { slider.value = input.value; }
        update();
      });
      input.addEventListener("change", update);
      if (slider) {
        slider.addEventListener("input", () => { input.value = slider.value; update(); });
      }
    });
    update();
  }

  if (typeof document === "undefined") { return; }
  Array.from(document.querySelectorAll("[data-nomogram]")).forEach((root) => {
    if (root.getAttribute("data-ready") === null) {
      root.setAttribute("data-ready", "");
      start(root);
    }
  });
})();
"""

_PLOT = (52.0, 12.0, 420.0, 200.0)  # left, top, right, bottom of the survival plot, in units of its view box


def calculator_html(nomogram: Nomogram, title: str = "") -> str:
    """Return the calculator of a nomogram as HTML.

    Parameters
    ----------
    nomogram : Nomogram
    title : str
        Heading; by default what is predicted.

    Returns
    -------
    str
        A single ``div`` with everything inside; put it into a page as it is.
    """
    heading = title or f"Calculator: {_predicted(nomogram)}"
    controls = "".join(_control(axis) for axis in nomogram.predictors)
    curve = _curve(nomogram) if nomogram.kind == "cox" else ""
    model = escape(json.dumps(_model(nomogram), allow_nan=False), quote=True)
    return (
        f'<div class="nomogram-calculator" data-nomogram role="group" aria-label="{escape(heading)}" '
        f'data-model="{model}"><style>{STYLE}</style><p class="nc-title">{escape(heading)}</p>'
        f'<div class="nc-body"><div class="nc-inputs">{controls}</div><div class="nc-side">{_results(nomogram)}{curve}'
        f'</div></div><p class="nc-warning" data-warning role="alert"></p>{_points_details(nomogram)}'
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
            "least": float(axis.tick_effects.min()),
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
    rows = "".join(
        f"<tr><td>{escape(axis.label)}</td><td>{escape(text)}</td><td>{fixed(points, 1)}</td></tr>"
        for axis in nomogram.predictors
        for text, points in zip(axis.tick_labels, _tick_points(nomogram, axis), strict=True)
    )
    return (
        '<details class="nc-details"><summary>Points of each value</summary><table class="dataframe"><thead><tr>'
        '<th scope="col">Predictor</th><th scope="col">Value</th><th scope="col">Points</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></details>"
    )


def _tick_points(nomogram: Nomogram, axis: PredictorAxis) -> list[float]:
    effects = axis.tick_effects
    return [float(value) for value in (effects - effects.min()) * nomogram.points_per_unit]
