/* Remembers the switch that shows a chapter's code (the switch itself is style alone, book.css, and works without), and
   fades the right edge of a table that goes on there. */
(function () {
  "use strict";
  const start = () => {
    const box = document.getElementById("rs-code");
    if (!box) { return; }
    try { box.checked = localStorage.getItem("rs-code") === "shown"; } catch { /* a browser that remembers nothing */ }
    box.addEventListener("change", () => {
      try { localStorage.setItem("rs-code", box.checked ? "shown" : "hidden"); } catch { /* as above */ }
    });
  };
  const edges = () => {
    const look = (table) => table.classList.toggle("rs-cut",
      table.scrollWidth - table.clientWidth - table.scrollLeft > 2);
    const sizes = new ResizeObserver((seen) => seen.forEach((one) => look(one.target)));
    document.querySelectorAll(".rad-table").forEach((table) => {
      table.addEventListener("scroll", () => look(table), { passive: true });
      sizes.observe(table);
    });
  };
  document.addEventListener("DOMContentLoaded", () => { start(); edges(); });
})();
