(function () {
  "use strict";
  if (typeof document === "undefined") { return; }
  document.querySelectorAll("[data-slice-slider]:not([data-ready])").forEach(function (box) {
    box.setAttribute("data-ready", "");
    const patients = JSON.parse(box.getAttribute("data-slice-slider"));
    const select = box.querySelector("select"), range = box.querySelector("input[type=range]");
    const images = box.querySelectorAll("img"), said = box.querySelector("output");
    const layers = box.querySelectorAll("input[type=checkbox]");
    const draw = function () {
      const patient = patients[Number(select.value)];
      range.max = String(patient.frames.length);
      const at = Math.min(Number(range.value), patient.frames.length) - 1;
      patient.frames[at].layers.forEach(function (source, i) { images[i].src = source; });
      images[0].alt = patient.name + ", slice " + (at + 1) + ". " + patient.words;
      layers.forEach(function (layer, i) {
        images[i + 1].style.visibility = layer.checked ? "visible" : "hidden";
      });
      said.textContent = "Slice " + (at + 1) + " of " + patient.frames.length + ". " + patient.words;
    };
    select.addEventListener("change", draw);
    range.addEventListener("input", draw);
    layers.forEach(function (layer) { layer.addEventListener("change", draw); });
    draw();
  });
})();
