/* Remembers the switches of a chapter: its code (the switch itself is style alone, book.css, and works without), and
   whether all sections are open; folds the sections that are details; fades the right edge of a table that goes on. */
(function () {
  "use strict";
  const remembered = (name, act) => {
    const box = document.getElementById(name);
    if (!box) { return; }
    try { box.checked = localStorage.getItem(name) === "shown"; } catch { /* a browser that remembers nothing */ }
    act(box.checked);
    box.addEventListener("change", () => {
      act(box.checked);
      try { localStorage.setItem(name, box.checked ? "shown" : "hidden"); } catch { /* as above */ }
    });
  };
  const fold = () => {
    const all = [...document.querySelectorAll("span.rs-more")].map((mark) => {
      const section = mark.closest("section"), folded = document.createElement("details");
      const summary = document.createElement("summary"), heading = section.querySelector("h2, h3");
      folded.className = "rs-folded";
      mark.remove();
      summary.append(heading);
      folded.append(summary, ...section.childNodes);
      section.append(folded);
      return folded;
    });
    const go = () => {
      const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
      if (!target) { return; }
      for (let one = target; one; one = one.parentElement) { if (one.matches("details.rs-folded")) { one.open = true; } }
      target.querySelector(":scope > details.rs-folded")?.setAttribute("open", "");
      target.scrollIntoView();
    };
    const open = (yes) => all.forEach((one) => { one.open = yes; });
    document.querySelector(".rs-all")?.toggleAttribute("hidden", all.length === 0);
    remembered("rs-all", open);
    window.addEventListener("beforeprint", () => open(true));
    window.addEventListener("hashchange", go);
    if (location.hash) { go(); }
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
  document.addEventListener("DOMContentLoaded", () => { remembered("rs-code", () => {}); fold(); edges(); });
})();
