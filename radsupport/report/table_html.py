"""A table as HTML: sensible rounding, a caption, readable in light and dark, optionally sortable.

itables would sort as well, but puts 700 kB of DataTables into each page and its headers are no buttons; forty lines
without a library sort by keyboard and tell a screen reader how (``aria-sort``).
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np
import pandas as pd
from pandas.api import types

from radsupport.report.wording import fixed, number, p_number

MISSING = "–"
_ABBREVIATIONS = {"p": "P", "ci": "CI", "hr": "HR", "auc": "AUC", "icc": "ICC", "chi2": "χ²"}

_STYLE = (
    ".rad-table{overflow-x:auto;margin:0 0 1rem}.rad-table table{border-collapse:collapse;margin:0;font-size:.84em}"
    ".rad-table caption{caption-side:top;text-align:left;font-weight:600;padding:.3rem 0;color:inherit}"
    ".rad-table :is(th,td){padding:.2rem .45rem;vertical-align:top}.rad-table .rad-left{text-align:left}"
    ".rad-table .rad-long{min-width:17rem}"
    ".rad-table .rad-number{text-align:right;font-variant-numeric:tabular-nums}"
    ".rad-table td.rad-number{white-space:nowrap}"
    ".rad-table th button{all:unset;cursor:pointer;font-weight:inherit}"
    ".rad-table th button:focus-visible{outline:2px solid currentColor;outline-offset:2px}"
    ".rad-table th button::after{content:' \\2195';opacity:.5}"
    ".rad-table th[aria-sort=ascending] button::after{content:' \\2191';opacity:1}"
    ".rad-table th[aria-sort=descending] button::after{content:' \\2193';opacity:1}"
    ".rad-table .rad-note{font-size:.85em;margin:.2rem 0 0}"
)

SORT_SCRIPT = r"""
(function () {
  "use strict";
  if (typeof document === "undefined") { return; }
  const compare = (a, b) => {
    const x = a.getAttribute("data-sort"), y = b.getAttribute("data-sort");
    if (x === "" || y === "") { return x === y ? 0 : (x === "" ? Infinity : -Infinity); }
    const numeric = a.getAttribute("data-numeric") !== null;
    return numeric ? Number(x) - Number(y) : x.localeCompare(y);
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
"""


#: Characters beyond which a cell's text gets a wider column instead of many short lines.
_LONG = 60
#: Ratio of the largest to the smallest size in a column beyond which its numbers share no decimals.
_WIDE = 1e5


def is_p(name: object) -> bool:
    """Tell whether a column holds p-values by its name: ``p``, ``p_…`` or ``…_p``, or ``p (…)``."""
    text = str(name).lower()
    return text == "p" or text.startswith(("p_", "p ", "p-")) or text.endswith("_p")


def rounded(column: pd.Series, name: object = "") -> list[str]:
    """Word the values of a column.

    Parameters
    ----------
    column : pandas.Series
    name : str
        p-values are recognised by the column's name, see `is_p`.

    Returns
    -------
    list of str
        p-values as ``<0.001``; whole numbers in full; other numbers with the same decimals throughout (three below
        1, two below 100, one below 10 000, else none; small values keep two significant digits), or with three
        significant digits each where they span more than `_WIDE`; True and False as yes and no; missing values as a
        dash.
    """
    if types.is_bool_dtype(column.dtype):
        return ["yes" if value else "no" for value in column]
    if not types.is_numeric_dtype(column.dtype):
        return [_worded(value) for value in column]
    values = column.to_numpy(dtype=float, na_value=np.nan)
    known = values[np.isfinite(values)]
    if is_p(name) and known.size and (known >= 0).all() and (known <= 1).all():
        return [MISSING if np.isnan(value) else p_number(value) for value in values]
    if (known == np.round(known)).all():
        return [MISSING if np.isnan(value) else fixed(value, 0) for value in values]
    sizes = np.abs(known[known != 0])
    if sizes.max() > _WIDE * sizes.min():
        return [MISSING if np.isnan(value) else number(value) for value in values]
    largest = float(sizes.max())
    decimals = next((d for d, limit in ((3, 1.0), (2, 100.0), (1, 1e4)) if largest <= limit), 0)
    return [_decimal(value, decimals) for value in values]


def _decimal(value: float, decimals: int) -> str:
    if np.isnan(value):
        return MISSING
    vanishes = value != 0 and abs(value) < 0.5 * 10.0**-decimals
    return number(value, 2) if vanishes else fixed(value, decimals)


def _worded(value: Any) -> str:
    """Word a single value of a column of mixed types."""
    if value is None or (pd.api.types.is_scalar(value) and pd.isna(value)):
        return MISSING
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    return number(float(value)) if isinstance(value, float | np.floating) else str(value)


def table_html(
    table: pd.DataFrame,
    caption: str,
    *,
    sortable: bool = False,
    headers: Mapping[str, str] | None = None,
    max_rows: int = 200,
) -> str:
    """Return a table as HTML.

    Parameters
    ----------
    table : pandas.DataFrame
        Its index is not shown; ``reset_index()`` makes it a column.
    caption : str
    sortable : bool
        Whether the headers are buttons that sort.
    headers : mapping, optional
        Words for columns; otherwise the name with blanks for underscores, as `heading` writes it.
    max_rows : int
        Longer tables are cut, and say so.
    """
    shown = table.head(max_rows)
    texts = {name: rounded(shown[name], name) for name in shown.columns}
    numeric = {name: types.is_numeric_dtype(t) and not types.is_bool_dtype(t) for name, t in shown.dtypes.items()}
    words = {name: heading((headers or {}).get(name, str(name).replace("_", " "))) for name in shown.columns}
    head = "".join(_header(words[name], numeric[name], sortable) for name in shown.columns)
    rows = "".join(
        "<tr>" + "".join(_cell(texts[n][i], shown[n].iloc[i], numeric[n], sortable) for n in shown.columns) + "</tr>"
        for i in range(len(shown))
    )
    cut = f'<p class="rad-note">The first {max_rows} of {len(table)} rows.</p>' if len(table) > max_rows else ""
    return (
        f'<div class="rad-table" role="region" tabindex="0" aria-label="{escape(caption)}"><style>{_STYLE}</style>'
        f'<table class="dataframe"{" data-sortable" * sortable}><caption>{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{cut}"
        f"{f'<script>{SORT_SCRIPT}</script>' if sortable else ''}</div>"
    )


def heading(text: str) -> str:
    """Return a column's words with a capital and known abbreviations in their form; n, df and z stay small."""
    first, blank, rest = text.partition(" ")
    if first not in _ABBREVIATIONS and len(first) > 2 and first.isalpha() and first.islower() and " (n = " not in text:
        first = first.capitalize()
    return _ABBREVIATIONS.get(first, first) + blank + rest


def _header(text: str, numeric: bool, sortable: bool) -> str:
    inner = f'<button type="button">{escape(text)}</button>' if sortable else escape(text)
    return f'<th scope="col" class="{"rad-number" if numeric else "rad-left"}">{inner}</th>'


def _cell(text: str, value: Any, numeric: bool, sortable: bool) -> str:
    key = ""
    if sortable:
        raw = "" if pd.api.types.is_scalar(value) and pd.isna(value) else float(value) if numeric else value
        key = f' data-sort="{escape(str(raw), quote=True)}"{" data-numeric" * numeric}'
    look = "rad-number" if numeric else "rad-left rad-long" if len(text) > _LONG else "rad-left"
    return f'<td class="{look}"{key}>{escape(text)}</td>'
