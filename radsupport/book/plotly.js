(function () {
  "use strict";
  if (typeof document === "undefined") { return; }
  const waiting = Array.from(document.querySelectorAll("[data-plotly]"))
    .filter((element) => element.getAttribute("data-ready") === null);
  waiting.forEach((element) => element.setAttribute("data-ready", ""));
  const draw = () => waiting.forEach((element) => {
    const figure = JSON.parse(element.getAttribute("data-plotly"));
    element.textContent = "";
    window.Plotly.newPlot(element, figure.data, figure.layout, { displaylogo: false, responsive: true });
  });
  const unpack = (text) => {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  };
  const load = (source) => {
    const amd = window.define; // a page with require.js would otherwise take the library for itself
    window.define = undefined;
    const script = document.createElement("script");
    script.textContent = source;
    document.head.appendChild(script);
    window.define = amd;
  };
  if (!waiting.length) { return; }
  if (!window.Plotly && !window.plotlyUnpacked) { // on the site a file of all pages' holds the library
    const inside = document.querySelector("[data-plotly-library]");
    window.plotlyUnpacked = unpack(inside ? inside.textContent.trim() : window.plotlyPacked).then(load);
  }
  Promise.resolve(window.plotlyUnpacked).then(draw);
})();
