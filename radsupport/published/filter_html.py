"""A sortable table of claims with filters, as HTML that asks nothing of the network.

Sorting is that of `report.table_html`; this adds a search box and one list per filtered column. Without
scripts the controls stay hidden and the whole table is shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import pandas as pd

from radsupport.report.table_html import table_html

_STYLE = (
    ".rad-filter{display:flex;flex-wrap:wrap;gap:.4rem 1rem;align-items:end;margin:0 0 .5rem}"
    ".rad-filter[hidden]{display:none}.rad-filter label{font-size:.85em;display:flex;flex-direction:column}"
    ".rad-filter :is(input,select){font:inherit;padding:.15rem .3rem;color:inherit;background:transparent;"
    "border:1px solid currentColor;border-radius:3px;min-width:9rem}.rad-filter option{color:#1a1a1a;background:#fff}"
    ".rad-filter output{font-size:.85em;margin-left:auto}"
    ".rad-tall .rad-table{max-height:36rem;overflow:auto}.rad-tall table{font-size:.86em}"
    ".rad-tall td{min-width:5rem;max-width:12rem;overflow-wrap:break-word}"
)

_SCRIPT = r"""
(function () {
  "use strict";
  if (typeof document === "undefined") { return; }
  const start = (box) => {
    const controls = box.querySelector(".rad-filter");
    const fields = Array.from(controls.querySelectorAll("[data-column]"));
    const search = controls.querySelector("input");
    const rows = Array.from(box.querySelector("tbody").rows);
    const status = controls.querySelector("output");
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
"""


def filterable_table(
    table: pd.DataFrame,
    caption: str,
    filters: Sequence[str],
    headers: Mapping[str, str] | None = None,
    wide: str | None = None,
) -> str:
    """Return a sortable table with a search box and one list of values per column in `filters`.

    Parameters
    ----------
    table : pandas.DataFrame
        All rows are shown.
    caption : str
        Names the table, also for a screen reader.
    filters : sequence of str
        Columns of texts.
    headers : mapping, optional
        Words for columns.
    wide : str, optional
        Column of long texts.

    Returns
    -------
    str
        HTML; the same on a page of the book and in JupyterLab.
    """
    words = {name: (headers or {}).get(name, str(name).replace("_", " ")) for name in table.columns}
    lists = "".join(_select(table[name], words[name], list(table.columns).index(name)) for name in filters)
    body = table_html(table, caption, sortable=True, headers=headers, max_rows=len(table))
    position = list(table.columns).index(wide) + 1 if wide else 0
    wider = f".rad-wide-{position} td:nth-child({position}){{min-width:17rem;max-width:26rem}}" if wide else ""
    return (
        f'<div class="rad-tall rad-wide-{position}" data-filterable><style>{_STYLE}{wider}</style>'
        f'<div class="rad-filter" role="search" aria-label="{escape(f"Filter: {caption}", quote=True)}" hidden>'
        f'<label>Search<input type="search" placeholder="any words"></label>{lists}'
        f'<output aria-live="polite"></output></div>{body}<script>{_SCRIPT}</script></div>'
    )


def _select(column: pd.Series, label: str, position: int) -> str:
    values = sorted({str(value) for value in column})
    options = "".join(f'<option value="{escape(value, quote=True)}">{escape(value)}</option>' for value in values)
    return (
        f'<label>{escape(label[:1].upper() + label[1:])}<select data-column="{position}">'
        f'<option value="">all</option>{options}</select></label>'
    )
