"""Style and script of the calculator; the script runs once for each calculator on a page."""

from __future__ import annotations

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
