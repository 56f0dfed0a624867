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

  function cells(text) {
    const rows = [[""]];
    let quoted = false;
    for (let i = 0; i < text.length; i += 1) {
      const row = rows[rows.length - 1], c = text[i];
      if (c === '"' && quoted && text[i + 1] === '"') { row[row.length - 1] += c; i += 1; }
      else if (c === '"') { quoted = !quoted; }
      else if (c === "," && !quoted) { row.push(""); }
      else if (c === "\n" && !quoted) { rows.push([""]); }
      else if (c !== "\r" || quoted) { row[row.length - 1] += c; }
    }
    return rows.filter((row) => row.length > 1);
  }

  function patientsOf(text) {
    if (text.trim().startsWith("{")) { return JSON.parse(text).patients; }
    const [header, ...rows] = cells(text), at = (row, name) => row[header.indexOf(name)] || "";
    if (!["subject", "signature", "risk"].every((name) => header.includes(name))) { throw new Error("no table"); }
    const found = new Map();
    rows.forEach((row) => {
      const who = at(row, "subject"), one = found.get(who) || { subject: who, inputs: {}, risks: {}, outside: [] };
      if (at(row, "risk") !== "") { one.risks[at(row, "signature")] = Number(at(row, "risk")); }
      if (at(row, "inputs") !== "") { one.inputs = JSON.parse(at(row, "inputs")); }
      if (at(row, "outside") !== "") { one.outside.push(at(row, "outside")); }
      found.set(who, one);
    });
    return Array.from(found.values()).map((one) => ({ ...one, outside: one.outside.join("; ") }));
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

    function fill(patient) {
      const labels = Object.fromEntries(model.predictors.map((p) => [p.name, p.label]));
      const lacking = names.filter((name) => {
        const label = labels[name] || name, input = one("data-input", name), slider = one("data-slider", name);
        const risk = label.endsWith(" (risk)") ? patient.risks[label.slice(0, -7)] : undefined;
        const value = patient.inputs[name] === undefined ? risk : patient.inputs[name];
        const options = Array.from(input.options || []).map((option) => option.value);
        const same = (text) => text === String(value) || (text !== "" && Number(text) === value);
        const known = options.length ? options.find(same) : value;
        if (value === undefined || value === null || known === undefined) { return true; }
        input.value = String(known);
        if (slider) { slider.value = input.value; }
        return false;
      }).map((name) => labels[name] || name);
      update();
      const gaps = lacking.length ? " Not given, left as it stands: " + lacking.join(", ") + "." : "";
      const outside = patient.outside ? " Outside the training range: " + patient.outside + "." : "";
      one("data-patient").textContent = "Filled with " + patient.subject + "." + gaps + outside;
    }

    function take(text) {
      const who = one("data-who"), said = one("data-patient");
      let patients = [];
      try { patients = patientsOf(text) || []; } catch { patients = []; }
      if (!patients.length) { said.textContent = "This is no file that radsupport apply wrote."; return; }
      who.replaceChildren(...patients.map((one, i) => new Option(one.subject, String(i))));
      who.onchange = () => fill(patients[Number(who.value)]);
      fill(patients[0]);
    }

    const paste = one("data-paste"), file = one("data-file");
    paste.addEventListener("input", () => { if (paste.value.trim() !== "") { take(paste.value); } });
    file.addEventListener("change", () => { if (file.files.length) { file.files[0].text().then(take); } });
    paste.addEventListener("dragover", (event) => event.preventDefault());
    paste.addEventListener("drop", (event) => {
      if (event.dataTransfer.files.length) { event.preventDefault(); event.dataTransfer.files[0].text().then(take); }
    });
  }

  if (typeof document === "undefined") { return; }
  Array.from(document.querySelectorAll("[data-nomogram]")).forEach((root) => {
    if (root.getAttribute("data-ready") === null) {
      root.setAttribute("data-ready", "");
      start(root);
    }
  });
})();
