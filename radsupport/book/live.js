(function () {
  "use strict";
  if (typeof document === "undefined") { return; }
  const make = (kind, options, ...inside) => {
    const element = Object.assign(document.createElement(kind), options);
    element.append(...inside);
    return element;
  };
  const numbers = (box) => { // on the site a file of their own, which is asked for once
    const holder = box.querySelector("script[data-live]"), source = holder.getAttribute("data-src");
    if (!source) { return Promise.resolve(JSON.parse(holder.textContent)); }
    box.liveNumbers = box.liveNumbers || new Promise((done, failed) => {
      const key = source.replace(/^.*\/|\.mjs$/g, "");
      document.head.append(make("script", { src: source, onload: () => done(window.radLive[key]), onerror: failed }));
    });
    return box.liveNumbers;
  };

  const table = (box) => {
    const range = box.querySelector("input[type=range]"), said = box.querySelector("output");
    const select = box.querySelector("select"), back = box.querySelector("button"), body = box.querySelector("tbody");
    const looks = Array.from(box.querySelectorAll("thead th")).map((cell) => cell.className);
    const show = (restart) => numbers(box).then((all) => {
      const choice = all.choices[select ? Number(select.value) : 0];
      range.max = String(choice.marks.length - 1);
      box.querySelector("datalist option").value = String(choice.start); // a tick on the slider
      if (restart) { range.value = String(choice.start); }
      const at = Number(range.value), value = all.words + " " + choice.marks[at];
      const marked = at === choice.start && all.mark ? " (" + all.mark + ")" : "";
      range.setAttribute("aria-valuetext", value + marked);
      said.textContent = value + marked;
      body.replaceChildren(...choice.rows[at].map((row) => make("tr", {}, ...row.map((cell, i) =>
        make("td", { className: looks[i], textContent: all.texts[cell] })))));
    });
    range.addEventListener("input", () => show(false));
    if (select) { select.addEventListener("change", () => show(true)); }
    back.addEventListener("click", () => show(true));
    range.setAttribute("aria-valuetext", said.textContent);
    box.querySelector(".rl-controls").hidden = false;
  };

  const dashes = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
  const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;"); // plotly reads tags
  const traces = (all, panel, isOn) => panel.curves
    .filter((curve) => isOn("curve", curve.name)).flatMap((curve) => {
      const at = panel.curves.indexOf(curve);
      const line = { color: curve.colour, dash: dashes[at % dashes.length], shape: all.step ? "hv" : "linear" };
      const text = curve.x.map((x, i) => [
        "<b>" + plain(curve.words) + "</b>", plain(panel.title), plain(all.x) + ": " + x,
        plain(all.y) + ": " + curve.y[i] + (curve.low && curve.low[i] !== null
          ? " (" + curve.low[i] + "–" + curve.high[i] + ")" : ""),
        ...Object.entries(curve.more).map(([words, values]) => words + ": " + values[i]),
      ].join("<br>"));
      const drawn = { x: curve.x, y: curve.y, text, line, hovertemplate: "%{text}<extra></extra>",
        mode: curve.points ? "markers" : "lines", marker: { color: "#1a1a1a", size: 8 } };
      if (!curve.low) { return [drawn]; }
      if (curve.points) {
        drawn.error_y = { symmetric: false, array: curve.high.map((high, i) => high - curve.y[i]),
          arrayminus: curve.low.map((low, i) => curve.y[i] - low), color: "#1a1a1a" };
        return [drawn];
      }
      const edge = { x: curve.x, mode: "lines", hoverinfo: "skip", line: { width: 0, shape: line.shape } };
      return [{ ...edge, y: curve.low }, { ...edge, y: curve.high, fill: "tonexty", fillcolor: curve.colour + "22" },
        drawn];
    });
  const explore = (box) => {
    const button = box.querySelector("button"), chart = box.querySelector(".rl-chart");
    const source = box.querySelector("script[data-live]").getAttribute("data-src");
    if (!source) { return; } // a notebook has no plotly.js beside it
    const build = (all) => {
      const names = new Map(all.panels.flatMap((panel) => panel.curves.map((one) => [one.name, one])));
      const plots = all.panels.map(() => make("div", { className: "rl-plot" })); // the grid of the pictures
      const places = all.panels.map((panel, p) => make("div", {}, make("p", { textContent: panel.title }), plots[p]));
      const isOn = (kind, value) => Array.from(chart.querySelectorAll("input"))
        .some((one) => one.name === kind && one.value === String(value) && one.checked);
      const layout = {
        xaxis: { title: { text: plain(all.x) } }, yaxis: { title: { text: plain(all.y) } }, showlegend: false,
        margin: { l: 60, r: 15, t: 15, b: 60 }, paper_bgcolor: "#fff", hovermode: "closest",
        font: { family: "DejaVu Sans, Arial, sans-serif", size: 13, color: "#1a1a1a" },
        shapes: all.diagonal ? [{ type: "line", x0: 0, y0: 0, x1: 1, y1: 1, line: { dash: "dot", color: "#767676" } }] : [],
      };
      const draw = () => {
        places.forEach((place, p) => { place.hidden = !isOn("panel", p); });
        plots.filter((_, p) => !places[p].hidden).forEach((plot) => window.Plotly.react(plot,
          traces(all, all.panels[plots.indexOf(plot)], isOn), structuredClone(layout),
          { displaylogo: false, responsive: true }).then(() => {
            if (Math.abs(plot._fullLayout.width - plot.clientWidth) > 2) { window.Plotly.Plots.resize(plot); } // the grid changed
          }));
      };
      const choice = (kind, value, words, checked, ...swatch) => make("label", {},
        make("input", { type: "checkbox", name: kind, value: String(value), checked, onchange: draw }), ...swatch, words);
      const rows = (title, items) => items.length > 1
        ? make("fieldset", {}, make("legend", { textContent: title }), ...items) : make("div", { hidden: true }, ...items);
      chart.append(
        rows("Pictures", all.panels.map((panel, p) => choice("panel", p, panel.title, true))),
        rows("Curves", Array.from(names.values()).map((one) => {
          const swatch = make("span", { className: "rl-swatch" });
          swatch.style.background = one.colour;
          return choice("curve", one.name, all.panels.length > 1 ? one.name : one.words, true, swatch);
        })), make("div", { className: "rl-plots" }, ...places));
      return draw();
    };
    button.addEventListener("click", () => {
      const open = chart.hidden;
      chart.hidden = !open;
      button.setAttribute("aria-expanded", String(open));
      if (!open || chart.childElementCount) { return; }
      const library = window.radPlotly(source.replace(/[^/]+$/, "plotly.mjs"));
      Promise.all([numbers(box), library]).then(([all]) => build(all));
    });
    box.hidden = false;
  };
  document.querySelectorAll("[data-live-table]:not([data-ready]), [data-explore]:not([data-ready])").forEach((box) => {
    box.setAttribute("data-ready", "");
    (box.hasAttribute("data-explore") ? explore : table)(box);
  });
})();
