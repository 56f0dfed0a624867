(function () {
  "use strict";
  const transforms = {
    "": (x) => x, log: Math.log, log2: Math.log2, log10: Math.log10, log1p: Math.log1p, sqrt: Math.sqrt, exp: Math.exp,
  };

  function effect(predictor, text) {
    if (predictor.kind === "factor") {
      return predictor.coef[predictor.levels.indexOf(text)];
    }
    if (text.trim() === "") { return NaN; }
    const value = transforms[predictor.transform](Number(text));
    if (predictor.pieces.length === 0) { return predictor.coef[0] * value; }
    let piece = predictor.pieces[0];
    predictor.pieces.forEach((next) => { if (value >= next[0]) { piece = next; } });
    return piece.slice(1).reduceRight((sum, c) => sum * (value - piece[0]) + c, 0);
  }

  function holding(model, values) {
    return model.predictors.filter((p) => p.given.every(([column, level]) => values[column] === level));
  }

  function hazardAt(model, time) {
    let hazard = 0;
    for (let i = 0; i < model.time.length && model.time[i] <= time; i += 1) {
      hazard = model.hazard[i];
    }
    return hazard;
  }

  function compute(model, values) {
    const used = holding(model, values);
    const effects = used.map((p) => effect(p, values[p.name]));
    const points = effects.map((x, i) => (x - used[i].least) * model.pointsPerUnit);
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
    const texts = holding(model, values).filter((p) => p.kind === "numeric").map((p) => {
      if (!Number.isFinite(effect(p, values[p.name]))) { return "Enter a number for " + p.label + "."; }
      const outside = Number(values[p.name]) < p.low || Number(values[p.name]) > p.high;
      return outside ? p.label + " lies outside the range of the fitted data, " + p.low + " to " + p.high + "." : "";
    });
    return texts.filter((text) => text !== "").join(" ");
  }

  function start(root) {
    const model = JSON.parse(root.getAttribute("data-model"));
    const names = Array.from(new Set(model.predictors.flatMap((p) => [p.name, ...p.given.map(([column]) => column)])));
    const one = (name, value) => Array.from(root.querySelectorAll("[" + name + "]"))
      .find((element) => value === undefined || element.getAttribute(name) === value);
    const write = (element, text, value) => {
      if (element.textContent !== text) { element.textContent = text; }
      element.setAttribute("data-value", String(value));
    };

    function update() {
      const values = {};
      names.forEach((name) => { values[name] = one("data-input", name).value; });
      const computed = compute(model, values);
      const usable = Number.isFinite(computed.lp);
      holding(model, values).forEach((p, i) => {
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

    names.forEach((name) => {
      const input = one("data-input", name);
      const slider = one("data-slider", name);
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
