"""Do two builds of the book hold the same values? One line for each value that is not the same.

    python tools/same_values.py OLD_RESULTS NEW_RESULTS [--study a,b] [--pages] [--tolerance 1e-9] [--most N]

Compared are every ``*.json``, ``*.parquet`` and ``*.csv`` of every study folder. Integers, booleans and text must be
equal, floats within ``tolerance * max(1, |old|, |new|)``; NaN equals NaN, infinity infinity, an empty cell an empty
cell, and an integer the float of its value. Columns may stand in another order. Rows are matched by the first of
`ROW_KEYS` that tells them apart in both tables, else by position; their order is a value too (models are fitted and
ties broken in it), and so are the levels of a categorical column. A study, file, key, column or row that one build
lacks is one difference, whatever it holds.

``--pages`` also compares what the executed notebooks show: cells of tables (matched by caption), sentences, alternative
texts and captions of figures, the model inside a calculator. That helps a reviewer; other words are no other values.

Left out, for they are no results:

- `IGNORED_FOLDERS`: ``cache`` (kept under the hash of inputs and code), ``images`` (resampled scans; what is measured
  on them is in cases.parquet), ``logs`` (printed output, seconds, pages that failed); and all names that begin with a
  dot (files half written, records of what is up to date);
- files of other kinds, such as figures (``*.svg``, ``*.pdf``); ``--pages`` reads their words;
- `PROVENANCE`, at the top of a JSON file: ``inputs`` (hashes of input and source files) and ``versions``;
- `CLOCK`, keys, columns and columns of a page's table: what the clock, the memory or the state of the cache says;
- in the columns `PATHS` (of cases.parquet) the folders of an absolute path, which say where the book was built;
- of pages: styles, scripts, the bytes of pictures, code and metadata.

Exit status: 0 no difference, 1 differences (those of pages included), 2 arguments that can not be used.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path, PurePath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

IGNORED_FOLDERS = frozenset({"cache", "images", "logs"})
PROVENANCE = frozenset({"inputs", "versions"})
CLOCK = frozenset(
    {
        *("seconds", "median_seconds", "duration", "started", "finished", "timestamp", "peak_memory_mb", "cached"),
        *("Seconds per case", "Peak memory (MB)"),
    }
)
_ROLES = ("image", "mask", "mask_reader2", "roi_rough", "samples")
PATHS = frozenset({*_ROLES, *(f"source_{role}" for role in _ROLES)})
ROW_KEYS = (
    ("row",), ("subject",), ("subject", "phase"), ("subject", "signature", "kind"),
    ("feature",), ("signature", "feature"), ("table", "signature"),
)  # fmt: skip
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?")
_SENTENCE = re.compile(r"(?<=[.!?;]) ")
_INLINE = frozenset({"a", "b", "br", "button", "code", "em", "i", "small", "span", "strong", "sub", "sup"})


@dataclass
class Ledger:
    """What was compared under one name, and one line for each difference."""

    name: str
    tolerance: float
    compared: int = 0
    lines: list[str] = field(default_factory=list)

    def note(self, place: str, old: str, new: str) -> None:
        """Write down a difference."""
        self.lines.append(f"{self.name} {place}: {old} -> {new}")

    def check(self, place: str, old: Any, new: Any) -> None:
        """Compare two values."""
        self.compared += 1
        if not same_value(old, new, self.tolerance):
            self.note(place, repr(old), repr(new))

    def both(self, place: str, in_old: bool, in_new: bool) -> bool:
        """Say whether both builds have a thing; write down that only one has."""
        if in_old != in_new:
            self.note(place, *(("there", "missing") if in_old else ("missing", "there")))
        return in_old and in_new


@dataclass
class Table:
    """Columns by name, and the levels of those that are categorical."""

    columns: dict[str, list[Any]]
    levels: dict[str, list[Any]] = field(default_factory=dict)

    def labels(self, key: Sequence[str]) -> list[str]:
        """Name the rows by some columns; without any, or where one is not there, by their position."""
        if key and set(key) <= set(self.columns):
            return [" ".join(map(str, row)) for row in zip(*(self.columns[name] for name in key), strict=True)]
        return [f"row {i + 1}" for i in range(max(map(len, self.columns.values()), default=0))]


def same_value(old: Any, new: Any, tolerance: float) -> bool:
    """Say whether two values are the same; only floats have a tolerance.

    Parameters
    ----------
    old, new : object
    tolerance : float
        Relative to the larger of both, absolute below 1.
    """
    if not (_is_number(old) and _is_number(new)):
        return type(old) is type(new) and bool(old == new)
    if old == new or (old != old and new != new):
        return True
    if (isinstance(old, int) and isinstance(new, int)) or not (math.isfinite(old) and math.isfinite(new)):
        return False
    return bool(abs(old - new) <= tolerance * max(1, abs(old), abs(new)))


def compare_nested(old: Any, new: Any, ledger: Ledger, place: str = "") -> None:
    """Compare two JSON-like values key by key and item by item, but for `PROVENANCE` at the top and `CLOCK`."""
    if isinstance(old, list) and isinstance(new, list):
        old, new = ({f"[{i}]": item for i, item in enumerate(items)} for items in (old, new))
    if not (isinstance(old, dict) and isinstance(new, dict)):
        ledger.check(place, old, new)
        return
    for key in old | new:
        inner = f"{place}/{key}" if place else key
        ignored = key in CLOCK or (not place and key in PROVENANCE)
        if not ignored and ledger.both(inner, key in old, key in new):
            compare_nested(old[key], new[key], ledger, inner)


def compare_tables(old: Table, new: Table, ledger: Ledger) -> None:
    """Compare two tables cell by cell, whatever the order of their columns, but for the columns `CLOCK`."""
    rows = _matched_rows(old, new, ledger)
    for name in (name for name in old.columns | new.columns if name not in CLOCK):
        if ledger.both(f"column {name}", name in old.columns, name in new.columns):
            if name in old.levels | new.levels:
                ledger.check(f"levels of {name}", old.levels.get(name), new.levels.get(name))
            before, after = old.columns[name], new.columns[name]
            for label, i, j in rows:
                ledger.check(f"{label}/{name}", before[i], after[j])


def read_table(path: Path) -> Table:
    """Read a table.

    Raises
    ------
    ValueError
        Two columns have one name, a row is too short or too long, or the file is no such table.
    """
    table = _read_csv(path) if path.suffix == ".csv" else _read_parquet(path)
    for name in PATHS & set(table.columns):
        table.columns[name] = [_without_folder(value) for value in table.columns[name]]
    return table


def read_page(path: Path) -> dict[str, Any]:
    """Read what an executed notebook shows: cells by caption, row and header; sentences; models of calculators."""
    reader = _Reader()
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        for output in cell.get("outputs", []):
            for part in _readable(output):
                reader.feed(f"{part}<p>")  # the begin of a block ends the text before it
    page: dict[str, Any] = {}
    for caption, rows in reader.tables:
        page[_unused(f"table “{caption}”", page)] = _by_header(rows)
    sentences = Counter(sentence for block in reader.blocks for sentence in _SENTENCE.split(block))
    return {**page, "text": dict(sentences), "calculator": reader.models}


def compare_builds(old: Path, new: Path, studies: Sequence[str], tolerance: float, pages: bool) -> list[Ledger]:
    """Compare the values, or the pages, of some studies of two builds.

    Parameters
    ----------
    old, new : Path
        The folders ``results``.
    studies : sequence of str
        Their folders' names.
    tolerance : float
    pages : bool
        Compare the executed notebooks instead of the JSON files and tables.

    Returns
    -------
    list of Ledger
        One per study that a build lacks, else one per file.
    """
    ledgers = []
    for study in studies:
        ledgers.append(Ledger(study, tolerance))
        if not ledgers[-1].both("study", (old / study).is_dir(), (new / study).is_dir()):
            continue
        before, after = (_files(root / study, pages) for root in (old, new))
        for name in sorted(before | after):
            ledgers.append(Ledger(f"{study} {name}", tolerance))
            if ledgers[-1].both("file", name in before, name in after):
                _compare_files(before[name], after[name], ledgers[-1])
    return ledgers


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare two builds as the command line says and print what differs."""
    parser = argparse.ArgumentParser(description="Compare the values of two builds of the book.")
    parser.add_argument("old", type=Path, help="results folder of the one build")
    parser.add_argument("new", type=Path, help="results folder of the other")
    parser.add_argument("--study", help="only these, joined by commas")
    parser.add_argument("--pages", action="store_true", help="also what the executed notebooks show")
    parser.add_argument("--tolerance", type=float, default=1e-9, help="of floats (default: %(default)s)")
    parser.add_argument("--most", type=int, default=20, help="lines per file (default: %(default)s)")
    given = parser.parse_args(arguments)
    studies = _studies(given)
    if unusable := _unusable(given, studies):
        parser.error(unusable)
    values = compare_builds(given.old, given.new, studies, given.tolerance, pages=False)
    if not any(ledger.compared or ledger.lines for ledger in values):
        parser.error(f"nothing to compare: no JSON file and no table in {given.old} and {given.new}")
    lines, pages = _report(values, given.most, "values"), []
    if given.pages:
        pages = compare_builds(given.old, given.new, studies, given.tolerance, pages=True)
        lines = ["Pages", *_report(pages, given.most, "cells and sentences"), "", "Values", *lines]
    print("\n".join(lines))
    return int(any(ledger.lines for ledger in [*values, *pages]))


def _studies(given: argparse.Namespace) -> list[str]:
    """Return the studies asked for, or all that either build has."""
    if given.study is not None:
        return sorted({name.strip() or "(no name)" for name in given.study.split(",")})
    folders = [path for root in (given.old, given.new) if root.is_dir() for path in root.iterdir() if path.is_dir()]
    return sorted({path.name for path in folders if not _left_out(path.name)})


def _unusable(given: argparse.Namespace, studies: Sequence[str]) -> str:
    """Say why the arguments can not be used; empty where they can."""
    unknown = [name for name in studies if not ((given.old / name).is_dir() or (given.new / name).is_dir())]
    reasons = {
        f"{given.old} is no folder": not given.old.is_dir(),
        f"{given.new} is no folder": not given.new.is_dir(),
        "both builds are the same folder": given.old.resolve() == given.new.resolve(),
        f"neither build has the study {', '.join(unknown)}": bool(unknown),
        "the tolerance must be a number of at least 0": not 0 <= given.tolerance < math.inf,
        "the number of lines must be at least 0": given.most < 0,
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def _report(ledgers: Sequence[Ledger], most: int, what: str) -> list[str]:
    lines = []
    for one in ledgers:
        more = len(one.lines) - most
        lines += one.lines[:most] + [f"{one.name} ... and {more} more"] * (more > 0)
    compared, different = sum(one.compared for one in ledgers), sum(len(one.lines) for one in ledgers)
    return [*lines, f"{compared} {what} compared, {different} differences"]


def _left_out(name: str) -> bool:
    return name in IGNORED_FOLDERS or name.startswith(".")


def _files(folder: Path, pages: bool) -> dict[str, Path]:
    suffixes = {".ipynb"} if pages else {".json", ".parquet", ".csv"}
    names = {path.relative_to(folder): path for path in folder.rglob("*") if path.suffix in suffixes}
    return {name.as_posix(): path for name, path in names.items() if not any(map(_left_out, name.parts))}


def _compare_files(old: Path, new: Path, ledger: Ledger) -> None:
    read: Callable[[Path], Any] = {".json": _read_json, ".ipynb": read_page}.get(old.suffix, read_table)
    contents: list[Any] = []
    for path in (old, new):
        try:
            contents.append(read(path))
        except (OSError, ValueError, LookupError, csv.Error) as error:  # pyarrow's and json's are of the first two
            ledger.note("file", f"{path} can not be read", f"{type(error).__name__}: {error}")
            return
    if isinstance(contents[0], Table):
        compare_tables(contents[0], contents[1], ledger)
    else:
        compare_nested(contents[0], contents[1], ledger)


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _read_csv(path: Path) -> Table:
    with path.open(newline="", encoding="utf-8") as stream:
        names, *rows = list(csv.reader(stream)) or [[]]
    cells = [dict(zip(_distinct(names), map(_from_text, row), strict=True)) for row in rows]
    return Table({name: [row[name] for row in cells] for name in names})


def _read_parquet(path: Path) -> Table:
    table = pq.ParquetFile(path).read()
    kinds = dict(zip(_distinct(table.column_names), table.schema.types, strict=True))
    categorical = [name for name, kind in kinds.items() if pa.types.is_dictionary(kind)]
    levels = {name: table[name].combine_chunks().dictionary.to_pylist() for name in categorical}
    return Table(table.to_pydict(), levels)


def _distinct(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise ValueError("two columns have one name")
    return names


def _from_text(text: str) -> int | float | str:
    """Return the number that a cell of a CSV file holds; ``007`` and ``nan`` stay text."""
    found = _NUMBER.fullmatch(text)
    if not found:
        return text
    return int(text) if found[2] is None and found[3] is None else float(text)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _without_folder(value: Any) -> Any:
    return PurePath(value).name if isinstance(value, str) and PurePath(value).is_absolute() else value


def _matched_rows(old: Table, new: Table, ledger: Ledger) -> list[tuple[str, int, int]]:
    """Return label, old position and new position of the rows that both tables have."""
    shared = set(old.columns) & set(new.columns)
    pairs = [(old.labels(key), new.labels(key)) for key in ROW_KEYS if set(key) <= shared]
    pairs.append((old.labels(()), new.labels(())))
    one, other = next(pair for pair in pairs if all(len(set(labels)) == len(labels) for labels in pair))
    before, after = ({label: i for i, label in enumerate(labels)} for labels in (one, other))
    both = [label for label in before | after if ledger.both(label, label in before, label in after)]
    for label, instead in zip(both, sorted(both, key=after.__getitem__), strict=True):
        if label != instead:
            ledger.note("order of rows", label, instead)
            break
    return [(label, before[label], after[label]) for label in both]


class _Reader(HTMLParser):
    """Collect tables, blocks of text and models of calculators from any number of outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[tuple[str, list[list[str]]]] = []
        self.blocks: list[str] = []
        self.models: list[Any] = []
        self._text: list[str] = []
        self._silent = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _INLINE:
            self._end_block()
        self._silent = tag in ("style", "script")
        if tag == "table":
            self.tables.append(("", []))
        elif tag == "tr":
            self.tables[-1][1].append([])
        for name, value in attrs:
            if name == "alt" and value:
                self.blocks.append(" ".join(value.split()))
            elif name == "data-model" and value:
                self.models.append(json.loads(value))

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self.tables[-1][1][-1].append(self._taken())
        elif tag == "caption":
            self.tables[-1] = (self._taken(), self.tables[-1][1])
        elif tag not in _INLINE:
            self._end_block()
        self._silent = False

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self._text.append(data)

    def _taken(self) -> str:
        text = " ".join("".join(self._text).split())
        self._text.clear()
        return text

    def _end_block(self) -> None:
        if text := self._taken():
            self.blocks.append(text)


def _readable(output: dict[str, Any]) -> Iterator[str]:
    """Yield the pieces of an output that a reader sees: HTML, else the paragraphs of Markdown, else plain text."""
    data = output.get("data") or {"text/plain": output.get("text", "")}
    if "text/html" in data:
        yield "".join(data["text/html"])
    else:
        yield from re.split(r"\n\s*\n", "".join(data.get("text/markdown", data.get("text/plain", ""))))


def _by_header(rows: list[list[str]]) -> dict[str, Any]:
    """Return a table's header as it is, and each row below by the header of its column."""
    table: dict[str, Any] = {"header": rows[0] if rows else []}
    for number, row in enumerate(rows[1:], start=1):
        cells: dict[str, str] = {}
        for i, cell in enumerate(row):
            cells[_unused(rows[0][i] if i < len(rows[0]) else "", cells)] = cell
        table[f"row {number}"] = cells
    return table


def _unused(name: str, taken: dict[str, Any]) -> str:
    """Return `name`, with a number where it is taken."""
    names = [name, *(f"{name} ({i})" for i in range(2, len(taken) + 2))]
    return next(one for one in names if one not in taken)


if __name__ == "__main__":
    raise SystemExit(main())
