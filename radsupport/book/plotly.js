(function () {
  "use strict";
  if (typeof document === "undefined") { return; }
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
  const fetched = (address) => new Promise((done) => { // on the site one file holds the library for all pages
    const script = document.createElement("script");
    script.onload = () => done(window.plotlyPacked);
    script.src = address;
    document.head.appendChild(script);
  });
  window.radPlotly = (address, packed) => { // once for a page, whoever asks
    if (!window.Plotly && !window.plotlyUnpacked) {
      window.plotlyUnpacked = (address ? fetched(address) : Promise.resolve(packed)).then(unpack).then(load);
    }
    return Promise.resolve(window.plotlyUnpacked);
  };
  const waiting = Array.from(document.querySelectorAll("[data-plotly]"))
    .filter((element) => element.getAttribute("data-ready") === null);
  waiting.forEach((element) => element.setAttribute("data-ready", ""));
  const draw = () => waiting.forEach((element) => {
    const figure = JSON.parse(element.getAttribute("data-plotly"));
    element.textContent = "";
    window.Plotly.newPlot(element, figure.data, figure.layout, { displaylogo: false, responsive: true });
  });
  const start = () => {
    const library = document.querySelector("[data-plotly-library]");
    window.radPlotly(library.getAttribute("data-src"), library.textContent.trim()).then(draw);
  };
  if (!waiting.length) { return; }
  if (typeof IntersectionObserver === "undefined") { start(); return; }
  const near = new IntersectionObserver((seen) => { // a reader who never comes near does not load it
    if (seen.some((one) => one.isIntersecting)) { near.disconnect(); start(); }
  }, { rootMargin: "1000px" });
  waiting.forEach((element) => near.observe(element));
  window.addEventListener("beforeprint", start);
})();
