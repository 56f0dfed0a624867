(function () {
  "use strict";
  if (typeof document === "undefined") { return; }
  const start = (box) => {
    const controls = box.querySelector(".rad-filter");
    const fields = Array.from(controls.querySelectorAll("[data-column]"));
    const search = controls.querySelector("input");
    const rows = Array.from(box.querySelector("tbody").rows);
    const status = controls.querySelector("output");
    const all = box.querySelector(".rad-more input");
    const update = () => {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      rows.forEach((row) => {
        const text = row.textContent.toLowerCase();
        const fits = words.every((word) => text.includes(word)) && fields.every((field) =>
          field.value === "" || row.cells[Number(field.getAttribute("data-column"))].textContent === field.value);
        row.hidden = !fits;
        shown += fits ? 1 : 0;
      });
      if (all && (words.length || fields.some((field) => field.value !== ""))) { all.checked = true; }
      status.textContent = shown + " of " + rows.length + " shown";
    };
    search.addEventListener("input", update);
    fields.forEach((field) => field.addEventListener("change", update));
    controls.hidden = false;
    update();
  };
  Array.from(document.querySelectorAll("[data-filterable]")).forEach((box) => {
    if (box.getAttribute("data-ready") === null) { box.setAttribute("data-ready", ""); start(box); }
  });
})();
