(function () {
  "use strict";
  if (typeof document === "undefined") { return; }
  const compare = (a, b) => {
    const x = a.getAttribute("data-sort"), y = b.getAttribute("data-sort");
    if (x === "" || y === "") { return x === y ? 0 : (x === "" ? Infinity : -Infinity); }
    const numeric = a.getAttribute("data-numeric") !== null;
    return numeric ? Number(x) - Number(y) : x.localeCompare(y, undefined, { numeric: true });
  };
  function sort(table, column, header) {
    const down = header.getAttribute("aria-sort") === "ascending";
    Array.from(table.tHead.rows[0].cells).forEach((cell) => cell.removeAttribute("aria-sort"));
    header.setAttribute("aria-sort", down ? "descending" : "ascending");
    const body = table.tBodies[0];
    const rows = Array.from(body.rows);
    rows.sort((a, b) => {
      const order = compare(a.cells[column], b.cells[column]);
      return Number.isFinite(order) && down ? -order : order;
    });
    rows.forEach((row) => body.appendChild(row));
  }
  Array.from(document.querySelectorAll("table[data-sortable]")).forEach((table) => {
    if (table.getAttribute("data-ready") !== null) { return; }
    table.setAttribute("data-ready", "");
    Array.from(table.tHead.rows[0].cells).forEach((header, column) => {
      header.querySelector("button").addEventListener("click", () => sort(table, column, header));
    });
  });
})();
