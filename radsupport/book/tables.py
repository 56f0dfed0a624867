"""A sortable table of claims with filters, as HTML that asks nothing of the network.

Sorting is that of `report.table_html`; this adds a search box and one list per filtered column. Without
scripts the controls stay hidden and the whole table is shown.

Regression results as papers print them: each characteristic alone and together with the others, side by side.

A table as HTML: sensible rounding, a caption, readable in light and dark, optionally sortable.

itables would sort as well, but puts 700 kB of DataTables into each page and its headers are no buttons; forty lines
without a library sort by keyboard and tell a screen reader how (``aria-sort``).

Chapter 07: estimates and their intervals in one cell, with the same decimals.

How tables of chapter 06 look on the page: words for columns and cohorts, limits beside their estimates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import pandas as pd
from pandas.api import types

from radsupport.evaluate.predictions import is_published
from radsupport.settings.study import Study
from radsupport.wording import fixed, number, p_number

MISSING = "–"
_ABBREVIATIONS = {"p": "P", "ci": "CI", "hr": "HR", "auc": "AUC", "icc": "ICC", "chi2": "χ²"}

_CSS = (
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
        return [_worded_header(value) for value in column]
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


def _worded_header(value: Any) -> str:
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
        f'<div class="rad-table" role="region" tabindex="0" aria-label="{escape(caption)}"><style>{_CSS}</style>'
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


#: Words for the columns of `regression_table`; LR is the likelihood-ratio test of the whole characteristic.
HEADERS = {
    "hr_alone": "HR alone (95% CI)", "hr_together": "HR together (95% CI)", "odds_ratio_alone": "OR alone (95% CI)",
    "odds_ratio_together": "OR together (95% CI)", "p_alone": "P Wald", "p_lr_alone": "P LR", "p_together": "P Wald",
    "p_lr_together": "P LR",
}  # fmt: skip

_LARGEST, _SMALLEST = 9999, 0.005


def ratio_words(row: Mapping[Any, Any], ratio: str) -> str:
    """Word a ratio with its interval: ``1.24 (0.52–2.93)``, ``1 (reference)``, or a dash where there is none."""
    if row["reference"]:
        return "1 (reference)"
    values = [float(row[key]) for key in (ratio, "ci_low", "ci_high")]
    if not np.isfinite(values[0]):
        return "–"
    value, low, high = (_worded(x) for x in values)
    return f"{value} ({low}–{high})"


def _worded(value: float) -> str:
    """Word a ratio; what is too large or too small to be read is only bounded."""
    if value > _LARGEST:
        return f">{_LARGEST}"
    if value < _SMALLEST:
        return f"<{_SMALLEST}"
    return fixed(value) if value < 100 else number(value, 3)


def regression_table(
    alone: pd.DataFrame, together: pd.DataFrame | None, labels: Mapping[str, str], ratio: str = "hr"
) -> pd.DataFrame:
    """Lay out univariable and multivariable regressions side by side.

    Parameters
    ----------
    alone : DataFrame
        What `univariable_table` returns.
    together : DataFrame, optional
        What `multivariable_table` returns; its terms may be fewer.
    labels : mapping
        Words for terms.
    ratio : {"hr", "odds_ratio"}

    Returns
    -------
    DataFrame
        characteristic, n, events, then ``<ratio>_<part>`` (with 95% CI), ``p_<part>`` (Wald, of the level) and
        ``p_lr_<part>`` (likelihood ratio, in a term's first row) for the parts alone and together; note where one is
        not empty. `HEADERS` words them.
    """
    first = ~alone["term"].duplicated()
    shown = pd.DataFrame({"characteristic": [_name(row, labels) for row in alone.to_dict("records")]})
    shown["n"], shown["events"] = alone["n"].to_numpy(), alone["n_events"].to_numpy()
    shown = shown.join(_columns(alone.reset_index(drop=True), ratio, "alone", first.to_numpy()))
    if together is not None:
        own = together.set_index(["term", "level"])
        matched = own.reindex(pd.MultiIndex.from_frame(alone[["term", "level"]])).reset_index()
        matched["reference"] = matched["reference"].eq(True)
        shown = shown.join(_columns(matched, ratio, "together", first.to_numpy()))
    notes = alone["note"].fillna("").to_numpy()
    return shown.assign(note=notes) if (notes != "").any() else shown


def _columns(rows: pd.DataFrame, ratio: str, part: str, first: Any) -> pd.DataFrame:
    words = [ratio_words(row, ratio) for row in rows.to_dict("records")]
    return pd.DataFrame(
        {
            f"{ratio}_{part}": words,
            f"p_{part}": rows["p"].to_numpy(dtype=float),
            f"p_lr_{part}": np.where(first, rows["p_term"].to_numpy(dtype=float), np.nan),
        }
    )


def _name(row: Mapping[Any, Any], labels: Mapping[str, str]) -> str:
    label = labels.get(row["term"], row["term"])
    return f"{label}: {row['level']}" if row["level"] else label


VALIDATION_HEADERS = {
    "cohort": "Cohort", "signature": "Signature", "kind": "Prediction", "n": "Patients", "events": "Events",
    "measure": "Measure", "value": "Value", "ci_low": "95% CI from", "ci_high": "to", "p_vs_half": "P against 0.5",
    "apparent": "Apparent", "threshold": "Threshold", "accuracy": "Accuracy", "accuracy_low": "Accuracy from",
    "accuracy_high": "Accuracy to", "no_information_rate": "No-information rate", "p_vs_nir": "P against that rate",
    "sensitivity": "Sensitivity", "specificity": "Specificity", "ppv": "PPV", "npv": "NPV", "auc": "AUC",
    "tn": "TN", "fp": "FP", "fn": "FN", "tp": "TP", "boot_ci": "95% CI, bootstrap", "p_null_se": "P, null SE",
    "uno": "Uno's C", "signature_a": "Signature A", "signature_b": "Signature B", "auc_a": "A", "auc_b": "B",
    "difference": "A − B", "z": "z", "p": "P", "p_adjusted": "P, Holm", "cohort_a": "Cohort A",
    "cohort_b": "Cohort B", "n_a": "Patients A", "n_b": "Patients B", "value_a": "A", "value_b": "B",
    "statistic": "Statistic", "rule": "Rule", "predicted": "Predicted", "observed": "Observed", "slope": "Slope",
    "intercept_in_the_large": "Intercept", "ici": "ICI", "brier": "Brier", "brier_scaled": "Scaled Brier",
    "hl_groups": "H–L groups", "hl_chi2": "H–L χ²", "hl_df": "df", "hl_p": "H–L P", "horizon": "Months",
    "ratio": "Observed / expected", "null": "Kaplan–Meier", "scaled": "Scaled", "until": "Until (months)",
    "integrated_brier": "Integrated Brier", "share": "Share of range", "better_at": "Better at thresholds",
    "largest_gain": "Largest gain", "at": "At threshold", "thresholds": "Thresholds",
    "column": "Column", "part": "Part", "chi2": "χ²", "df": "df", "p_interaction": "P of interaction",
    "p_difference": "P of A − B", "note": "Note", "center": "Center", "center_a": "Center A", "center_b": "Center B",
    "rho": "Spearman's ρ", "p_rho": "P of ρ", "found": "Found", "p_chance": "P against chance", "code": "Code",
    "feature": "Feature",
    "of_fits": "Share of fits", "item": "Item", "printed in": "Printed in", "published": "Published",
    "this build": "This build", "patients here": "Patients here",
}  # fmt: skip

#: Limits of each estimate that page tables show in one cell beside it: column -> (lower, upper).
_LIMITS = {
    "value": ("ci_low", "ci_high"), "difference": ("ci_low", "ci_high"), "boot": ("boot_low", "boot_high"),
    "slope": ("slope_low", "slope_high"), "ratio": ("ratio_low", "ratio_high"),
    "intercept_in_the_large": ("in_the_large_low", "in_the_large_high"), "rho": ("rho_low", "rho_high"),
    "brier": ("brier_low", "brier_high"), "integrated_brier": ("ci_low", "ci_high"),
}  # fmt: skip
#: Estimates on scales where two decimals would be too few, so that three are written even where one is beyond 1.
_FINE = ("value", "difference")


def intervals_joined(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with each pair of limits in one cell, ``0.80 to 0.90``, right of its estimate.

    Limits have the decimals of their estimate. Where a table of numbers would show fewer than three for a value or a
    difference (an NRI beyond 1 beside an IDI of 0.004), the estimate is written as text.
    """
    shown = table.copy()
    for column, (low, high) in _LIMITS.items():
        beside = column if column in shown else low
        if low not in shown or (column != "boot" and column not in shown):
            continue
        decimals = 3 if column in (*_FINE, "boot") else decimals_of(shown[column])
        if column in _FINE and decimals_of(shown[column]) != decimals:
            shown[column] = ["–" if np.isnan(value) else fixed(value, decimals) for value in shown[column]]
        text = [_range(a, b, decimals) for a, b in zip(shown[low], shown[high], strict=True)]
        shown.insert(list(shown.columns).index(beside) + 1, f"{column}_ci", text)
        shown = shown.drop(columns=[low, high])
    return shown


def _range(low: float, high: float, decimals: int) -> str:
    return "–" if np.isnan(low) and np.isnan(high) else unbroken(f"{fixed(low, decimals)} to {fixed(high, decimals)}")


def unbroken(text: str) -> str:
    """Return a text that no table breaks into lines."""
    return text.replace(" ", "\u00a0").replace("–", "\u2060–\u2060").replace("-", "\u2011")


def decimals_of(column: pd.Series) -> int:
    """Return the decimals that a page table gives to a column of numbers: by its largest size, three up to 1."""
    largest = column.abs().max()
    return next((decimals for decimals, limit in ((3, 1.0), (2, 100.0), (1, 1e4)) if not largest > limit), 0)


def settled(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with numbers rounded as they are shown, so that 4.6e-05 in a column of 0.02 is 0.000.

    P-values stay as they are; columns of texts that are all empty are dropped.
    """
    shown = table.copy()
    for name in table.columns:
        column = table[name]
        if pd.api.types.is_float_dtype(column) and not is_p(name) and column.notna().any():
            shown[name] = column.round(decimals_of(column)) + 0.0  # no minus before a zero
        elif column.dtype == object and (column == "").all():
            shown = shown.drop(columns=name)
    return shown


def header_words(table: pd.DataFrame) -> dict[str, str]:
    """Return the words for a page table's columns."""
    return VALIDATION_HEADERS | {str(c): "95% CI" for c in table.columns if str(c).endswith("_ci") and c != "boot_ci"}


def in_words(table: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return a table as a page shows it: cohorts and columns called by their names, limits in one cell."""
    names = study.cohort_names
    shown = settled(intervals_joined(table))
    for column in {"cohort", "cohort_a", "cohort_b"} & set(table.columns):
        shown[column] = table[column].map(names)
    if "kind" in shown:
        shown["kind"] = shown["kind"].replace({"out_of_fold": "out of fold", "external": "finished model"})
        if "signature" in shown:
            given = [s.name for s in study.signatures if is_published(study, s.name)]
            shown["kind"] = shown["kind"].mask(shown["signature"].isin(given), "published output")
    if "column" in shown:
        shown["column"] = [study.columns[key].label if key in study.columns else key for key in shown["column"]]
    return shown
