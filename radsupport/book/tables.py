"""A table as HTML: one dictionary of column words, estimates joined with their intervals, one rule of rounding.

Columns ``x, x_low, x_high`` become one cell, ``0.80 (0.70–0.90)``; so do an estimate and the columns ``ci_low,
ci_high`` right of it. Tables are readable in light and dark, optionally sortable or with a search box and lists to
filter by, and ask nothing of the network. itables would sort as well, but puts 700 kB of DataTables into each page and
its headers are no buttons; forty lines without a library sort by keyboard and tell a screen reader how
(``aria-sort``).
"""

from __future__ import annotations

import base64
import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from pandas.api import types

from radsupport.book.text import WITHHELD, withheld
from radsupport.files import slug
from radsupport.wording import estimate, fixed, number, p_number, readable, source_words, until_reached

MISSING = "–"
_ABBREVIATIONS = {"p": "P", "ci": "CI", "hr": "HR", "auc": "AUC", "icc": "ICC", "chi2": "χ²"}


_LARGEST, _SMALLEST = 9999, 0.005  # ratios beyond which nobody reads the digits
RATIOS = ("hr", "odds_ratio", "hazard_ratio")  # names of columns of ratios begin with them

#: The words for columns, on all pages.
WORDS: dict[str, str] = yaml.safe_load(Path(__file__).with_name("columns.yaml").read_text(encoding="utf-8"))

_OF_FEATURES = ("feature", "feature_a", "feature_b", "column", "example")  # of ct__original_shape_Elongation
#: Characters beyond which a cell's text gets a wider column instead of many short lines.
_LONG = 60
#: Columns that a page has room for, and characters of a text that can be said once for all rows.
_ROOM, _SHORT = 8, 24
#: Rows beyond which a table begins folded, and how many are seen then.
_MANY, _FEW = 15, 6
_MANY_TESTS = 5  # P values from which a table says how many it has
#: Characters of a text that stays on one line, and of a row that fits a screen with its intervals on one line.
_ONE_LINE, _ROW = 17, 125
#: Characters of a row whose texts break between words beyond which a page of 1280 pixels would cut dense cells, and
#: tight ones in a smaller letter; then words and numbers break anywhere.
_DENSE, _TIGHT = 120, 160
#: Columns of months, whose second decimal would be less than a day.
_MONTHS = frozenset({"horizon", "time", "until", "up_to"})
#: Ratio of the largest to the smallest size in a column beyond which its numbers share no decimals.
_WIDE = 1e5


@functools.cache
def asset(name: str) -> str:
    """Return a style sheet or a script that lies beside this module and is written into the page."""
    return Path(__file__).with_name(name).read_text("utf-8")


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
        1, two below 100, one below 10 000, else none; months one; small values keep two significant digits), or with
        three significant digits each where they span more than `_WIDE`; True and False as yes and no; missing values
        as a dash.
    """
    if types.is_bool_dtype(column.dtype):
        return ["yes" if value else "no" for value in column]
    if name == "source":
        column = column.map(lambda value: source_words(value) if isinstance(value, str) else value)
    if name in _OF_FEATURES and not types.is_numeric_dtype(column.dtype):
        column = column.map(lambda value: readable(value) if "__" in str(value) else value)
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
    return [_decimal(value, min(decimals, 1) if name in _MONTHS else decimals) for value in values]


def _decimal(value: float, decimals: int) -> str:
    if np.isnan(value):
        return MISSING
    vanishes = 1e-9 < abs(value) < 0.5 * 10.0**-decimals
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
    whole: bool = False,
    folded: bool | None = None,
) -> str:
    """Return a table as HTML, with the table itself (every row, every column, every digit) as CSV to take along.

    Parameters
    ----------
    table : pandas.DataFrame
        Its index is not shown; ``reset_index()`` makes it a column. Where it has more columns than a page has room
        for, or many rows, columns with the same short text in every row are said once, below it.
    caption : str
    sortable : bool
        Whether the headers are buttons that sort.
    headers : mapping, optional
        Other words for columns of this table than those of `WORDS`.
    max_rows : int
        Longer tables are cut, and say so.
    whole : bool
        Whether every column is shown, whatever it says.
    folded : bool, optional
        Whether only the first rows are seen until all are asked for; by default where there are more than 15.
    """
    columns, same = laid_out(table.head(max_rows), headers), ""
    if (len(columns) > _ROOM or len(table) > _MANY) and 1 < len(table) <= max_rows and not whole:
        columns, same = _without_repeats(columns)
    seen = min(len(table), max_rows)
    folded = (seen > _MANY if folded is None else folded) and seen > _FEW
    head = "".join(_header(column, sortable) for column in columns)
    rows = "".join("<tr>" + "".join(_cell(column, i, sortable) for column in columns) + "</tr>" for i in range(seen))
    script = f"<script>{asset('sort.js')}</script>" if sortable else ""
    style = f"<style>{asset('table.css')}</style>"
    said = f'<p class="rad-note">In every row: {escape(same)}.</p>' if same else ""
    cut = f'<p class="rad-note">The first {max_rows} of {len(table)} rows.</p>' if len(table) > max_rows else ""
    cut += f'<p class="rad-note">{tests}</p>' if (tests := counted_tests(table)) else ""
    which = "these" if len(table) > max_rows else "all"
    more = f'<label class="rad-more"><input type="checkbox"> Show {which} {seen} rows</label>' if folded else ""
    return (
        f'<div class="rad-box{" rad-folded" * folded}{density(columns)}">{style}'
        f'<div class="rad-table" role="region" tabindex="0" aria-label="{escape(caption)}">'
        f'<table class="dataframe"{" data-sortable" * sortable}><caption>{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>{said}{cut}"
        f'<p class="rad-foot">{more}{download(table, caption)}</p>{script}</div>'
    )


def counted_tests(table: pd.DataFrame) -> str:
    """Count the P values of a table of many that has none adjusted for their number; empty of others.

    Of a table that holds printed values as well (column whose) none is counted.
    """
    names = [name for name in table.columns if is_p(name) and "whose" not in table]
    n = sum(any(map(str.isdigit, text)) for name in names for text in rounded(table[name], str(name)))
    if n < _MANY_TESTS or any(word in str(name).lower() for name in names for word in ("adjust", "holm", "benjamini")):
        return ""
    return f"{n} P values in this table, not adjusted for their number."


def density(columns: Sequence[Column]) -> str:
    """Return the classes of a table by how much stands in a row: what a page of 1280 pixels can not hold is set closer.

    A phone scrolls it.
    """
    narrowest = sum(map(_unbroken, columns))
    dense = sum(map(_characters, columns)) > _ROW or narrowest > _DENSE
    return f"{' rad-dense' * dense}{' rad-tight' * (narrowest > _DENSE)}{' rad-anywhere' * (narrowest > _TIGHT)}"


def _unbroken(column: Column) -> float:
    """Return how many characters a column needs where every text breaks between words, with the room around it."""
    parts = [part for text in column.texts for part in (text.split(" (") if column.is_number else _lines(text))]
    return max(map(len, [*parts, *(f"{word} " for word in column.words.split())]), default=0) + 1.4


def _lines(text: str) -> list[str]:
    return [text] if len(text) <= _ONE_LINE else [*re.split("[ -]", text), "x" * 13]  # a width that table.css gives it


def _characters(column: Column) -> int:
    """Return how many characters a column needs where its header may wrap, and long texts as well."""
    longest = max(map(len, column.texts), default=0)
    return min(max([longest, *(len(word) + 2 for word in column.words.split())]), _LONG // 2) + 2


def download(table: pd.DataFrame, caption: str) -> str:
    """Return a link that saves a table as CSV, which is inside the link; or why it can not be taken along."""
    if withheld(table):
        return f"<span>CSV: {WITHHELD}</span>"
    name = slug(caption)[:60] or "table"
    packed = base64.b64encode(table.to_csv(index=False, float_format="%.10g").encode("utf-8")).decode("ascii")
    label = escape(f"CSV of: {caption}", quote=True)
    return f'<a download="{name}.csv" aria-label="{label}" href="data:text/csv;base64,{packed}">CSV</a>'


def _without_repeats(columns: list[Column]) -> tuple[list[Column], str]:
    """Take away the short columns that say the same in every row; return them as words."""
    same = [column for column in columns[1:] if len(set(column.texts)) == 1 and len(column.texts[0]) <= _SHORT]
    words = ", ".join(f"{column.words} {column.texts[0]}" for column in same)
    return [column for column in columns if column not in same], words


@dataclass(frozen=True, eq=False)
class Column:
    """A column of a page's table: its words, the text of each cell, and what it is sorted by."""

    words: str
    texts: list[str]
    keys: pd.Series

    @property
    def is_number(self) -> bool:
        """Whether it holds numbers, which stand at the right and sort by size."""
        return bool(types.is_numeric_dtype(self.keys.dtype) and not types.is_bool_dtype(self.keys.dtype))


def laid_out(table: pd.DataFrame, headers: Mapping[str, str] | None = None) -> list[Column]:
    """Return the columns of a table as a page shows them; limits stand in the cell of their estimate.

    Texts that are empty in every row, such as notes, make no column.
    """
    limits = _limits(table)
    inside = {name for pair in limits.values() for name in pair if name not in limits}
    columns = []
    for name in table.columns:
        if name in inside or (table[name].dtype == object and len(table) > 0 and (table[name] == "").all()):
            continue
        if name not in limits:
            columns.append(Column(_word(name, table, headers or {}), rounded(table[name], name), table[name]))
            continue
        low, high = (table[limit].astype(float) for limit in limits[name])
        if name == limits[name][0]:  # an interval alone, such as limits of agreement
            name = str(name).removesuffix("_low")
            value, texts = low, _intervals(low, high)
        else:
            value = table[name].astype(float)
            texts = _estimates(str(name), value, low, high)
        words = _word(name, table, headers or {})
        columns.append(Column(words if "95%" in words else f"{words} (95% CI)", texts, value))
    return columns


def _limits(table: pd.DataFrame) -> dict[Any, tuple[str, str]]:
    """Return the limits of each estimate; an interval without one stands where its lower limit is."""
    names, found = list(table.columns), {}
    for position, name in enumerate(names):
        text = str(name)
        low, high = f"{text}_low", f"{text}_high"
        if not {low, high} <= set(names) and names[position + 1 : position + 3] == ["ci_low", "ci_high"]:
            low, high = "ci_low", "ci_high"
        if {low, high} <= set(names) and _is_float(table[name]):
            found[name] = (low, high)
        bare = text.removesuffix("_low")
        if text == f"{bare}_low" and bare not in names and f"{bare}_high" in names and "95%" in WORDS.get(bare, ""):
            found[name] = (text, f"{bare}_high")
    return found


def _is_float(column: pd.Series) -> bool:
    return bool(types.is_float_dtype(column.dtype) or (column.dtype == object and column.isna().all()))


def _estimates(name: str, value: pd.Series, low: pd.Series, high: pd.Series) -> list[str]:
    """Word estimates with their intervals; an estimate without limits stands alone, none is a dash."""
    if name.startswith(RATIOS):
        return [_ratio(*row) for row in zip(value, low, high, strict=True)]
    decimals = decimals_of(value)
    if name in ("value", "difference") and decimals == 2 and not value.abs().max() > 10:
        decimals = 3  # an NRI beyond 1 beside an IDI of 0.004
    alone = low.isna() | high.isna()
    if name.startswith("median") and (open_ended := low.notna() & high.isna() & value.notna()).any():
        return [until_reached(text) for text in _estimates(name, value, low, high.mask(open_ended, np.inf))]
    return [
        MISSING if np.isnan(x) else fixed(x, decimals) if bare else estimate(x, a, b, decimals)
        for x, a, b, bare in zip(value, low, high, alone, strict=True)
    ]


def _intervals(low: pd.Series, high: pd.Series) -> list[str]:
    """Word intervals without their estimate."""
    decimals = decimals_of(pd.concat([low, high]))
    return [
        MISSING if np.isnan(a) and np.isnan(b) else f"{fixed(a, decimals)} to {fixed(b, decimals)}"
        for a, b in zip(low, high, strict=True)
    ]


def _ratio(value: float, low: float, high: float) -> str:
    """Word a hazard or odds ratio: ``1.24 (0.52–2.93)``, ``1 (reference)``, or a dash where there is none."""
    if not np.isfinite(value):
        return MISSING
    if np.isnan(low) or np.isnan(high):
        return "1 (reference)" if value == 1 else _bounded(value)
    return f"{_bounded(value)} ({_bounded(low)}–{_bounded(high)})"


def _bounded(value: float) -> str:
    """Word a ratio; what is too large or too small to be read is only bounded."""
    if value > _LARGEST:
        return f">{_LARGEST}"
    if value < _SMALLEST:
        return f"<{_SMALLEST}"
    return fixed(value) if value < 100 else number(value, 3)


def _word(name: object, table: pd.DataFrame, headers: Mapping[str, str]) -> str:
    """Return the words for a column: those given, else those of `WORDS`, else its name."""
    text = str(name)
    if name == "difference" and any(str(column).endswith("_b") for column in table.columns):
        text = "a_minus_b"
    return heading(headers.get(str(name)) or WORDS.get(text) or text.replace("_", " "))


def heading(text: str) -> str:
    """Return a column's words with a capital and known abbreviations in their form; n, df and z stay small."""
    first, blank, rest = text.partition(" ")
    if first not in _ABBREVIATIONS and len(first) > 2 and first.isalpha() and first.islower() and " (n = " not in text:
        first = first.capitalize()
    return _ABBREVIATIONS.get(first, first) + blank + rest


def _header(column: Column, sortable: bool) -> str:
    inner = f'<button type="button">{escape(column.words)}</button>' if sortable else escape(column.words)
    return f'<th scope="col" class="{"rad-number" if column.is_number else "rad-left"}">{inner}</th>'


def _cell(column: Column, row: int, sortable: bool) -> str:
    text, value, key = column.texts[row], column.keys.iloc[row], ""
    if sortable:
        raw = "" if pd.api.types.is_scalar(value) and pd.isna(value) else float(value) if column.is_number else value
        key = f' data-sort="{escape(str(raw), quote=True)}"{" data-numeric" * column.is_number}'
    long = " rad-long" if len(text) > _LONG else " rad-short" if len(text) <= _ONE_LINE else ""
    look = "rad-number" if column.is_number else f"rad-left{long}"
    shown = escape(text).replace(" (", " <span>(", 1) + "</span>" if column.is_number and " (" in text else escape(text)
    return f'<td class="{look}"{key}>{shown}</td>'


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
    words = {name: _word(name, table, headers or {}) for name in table.columns}
    lists = "".join(_select(table[name], words[name], list(table.columns).index(name)) for name in filters)
    body = table_html(table, caption, sortable=True, headers=headers, max_rows=len(table), whole=True)
    position = list(table.columns).index(wide) + 1 if wide else 0
    wider = f".rad-wide-{position} td:nth-child({position}){{min-width:17rem;max-width:26rem}}" if wide else ""
    return (
        f'<div class="rad-tall rad-wide-{position}" data-filterable><style>{asset("filter.css")}{wider}</style>'
        f'<div class="rad-filter" role="search" aria-label="{escape(f"Filter: {caption}", quote=True)}" hidden>'
        f'<label>Search<input type="search" placeholder="any words"></label>{lists}'
        f'<output aria-live="polite"></output></div>{body}<script>{asset("filter.js")}</script></div>'
    )


def _select(column: pd.Series, label: str, position: int) -> str:
    values = sorted({str(value) for value in column})
    options = "".join(f'<option value="{escape(value, quote=True)}">{escape(value)}</option>' for value in values)
    return (
        f'<label>{escape(label[:1].upper() + label[1:])}<select data-column="{position}">'
        f'<option value="">all</option>{options}</select></label>'
    )


def regression_table(
    alone: pd.DataFrame, together: pd.DataFrame | None, labels: Mapping[str, str], ratio: str = "hr"
) -> pd.DataFrame:
    """Lay out univariable and multivariable regressions side by side, as papers print them.

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
        characteristic, n, events, then ``<ratio>_<part>`` with its limits (1 without limits in reference rows),
        ``p_<part>`` (Wald, of the level) and ``p_lr_<part>`` (likelihood ratio, in a term's first row) for the parts
        alone and together; df and ``p_line_<part>`` (that it is a straight line) where a term is a spline; note where
        one is not empty. Interactions have a row with their values together.
    """
    if together is not None and len(together):
        lacking = together[~together["term"].isin(alone["term"])][["covariate", "term", "level", "n", "n_events"]]
        if len(lacking):
            alone = pd.concat([alone, lacking.assign(reference=False, note="")], ignore_index=True)
    first = (~alone["term"].duplicated()).to_numpy()
    names = pd.Series([_name(row, labels) for row in alone.to_dict("records")])
    shown = pd.DataFrame({"characteristic": names, "n": alone["n"].to_numpy(), "events": alone["n_events"].to_numpy()})
    shown = shown.join(_part(alone.reset_index(drop=True), ratio, "alone", first))
    if together is not None and len(together):
        own = together.assign(key=_keys(together)).set_index(["term", "key"])
        wanted = pd.MultiIndex.from_tuples(list(zip(alone["term"], _keys(alone), strict=True)), names=["term", "key"])
        matched = own.reindex(wanted).reset_index()
        level = matched["level"].fillna("")
        other = level.ne("") & (level != pd.Series(alone["level"].to_numpy(), index=level.index))  # other quartiles
        shown["characteristic"] += (" (together: " + matched["level"] + ")").where(other, "")
        shown = shown.join(_part(matched.assign(reference=matched["reference"].eq(True)), ratio, "together", first))
    if "df" in alone and alone["p_nonlinear"].notna().any():
        shown.insert(3, "df", alone["df"].where(alone["p_nonlinear"].notna()).to_numpy())
    else:
        shown = shown.drop(columns=["p_line_alone", "p_line_together"], errors="ignore")
    notes = alone["note"].fillna("").to_numpy()
    return shown.assign(note=notes) if (notes != "").any() else shown


def _keys(rows: pd.DataFrame) -> pd.Series:
    """Return what tells the rows of a term apart: the level, but not the quartiles of a spline."""
    return rows["level"].where(rows["covariate"] != rows["term"], "").rename("key")


def _part(rows: pd.DataFrame, ratio: str, part: str, first: Any) -> pd.DataFrame:
    bare = rows[[ratio, "ci_low", "ci_high"]].astype(float).where(~rows["reference"].astype(bool))
    return pd.DataFrame(
        {
            f"{ratio}_{part}": bare[ratio].mask(rows["reference"].astype(bool), 1.0),
            f"{ratio}_{part}_low": bare["ci_low"],
            f"{ratio}_{part}_high": bare["ci_high"],
            f"p_{part}": rows["p"].to_numpy(dtype=float),
            f"p_lr_{part}": np.where(first, rows["p_term"].to_numpy(dtype=float), np.nan),
            f"p_line_{part}": rows.get("p_nonlinear", pd.Series(np.nan, rows.index)).to_numpy(dtype=float),
        }
    )


def _name(row: Mapping[Any, Any], labels: Mapping[str, str]) -> str:
    label = labels.get(row["term"], row["term"])
    return f"{label}: {row['level']}" if row["level"] else label


def decimals_of(column: pd.Series) -> int:
    """Return the decimals that a page table gives to a column of numbers: by its largest size, three up to 1."""
    largest = column.abs().max()
    return next((decimals for decimals, limit in ((3, 1.0), (2, 100.0), (1, 1e4)) if not largest > limit), 0)
