"""Read a table as somebody saved it: delimiter, encoding and header as a spreadsheet writes them, every cell as text.

Clinical tables, feature tables and manifests go through the same reader. What can be read in one way only is read, and
said (`Sheet.remarks`); what can not is refused.
"""

from __future__ import annotations

import csv
import datetime
import gzip
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from radsupport.data.notation import decimal_marks
from radsupport.errors import ClinicalTableError, Problem
from radsupport.files import something_else
from radsupport.wording import did_you_mean

_DASHES = re.compile("[\u00ad\u2010-\u2015\u2212\u2e3a\u2e3b\ufe58\ufe63\uff0d]")
_WHOLE = re.compile(r"^(-?\d+)\.0+$")
DELIMITERS = (",", ";", "\t", "|")
TITLE_ROWS = 15
"""Rows in which the header is looked for; titles and explanations may stand above it."""
SUMMARY_ROWS = frozenset(
    "mean mean±sd average median sd std stdev sum total min max count n mittelwert summe anzahl moyenne somme".split()  # noqa: SIM905
)
"""First cells of a row that sums up the table and is no patient."""


@dataclass(frozen=True)
class Sheet:
    """The rows of one sheet.

    Attributes
    ----------
    table : DataFrame
        Every cell as text, headers as written; `rows` gives each row's number in the spreadsheet.
    rows : list of int
    notes : list of str
        Rows with text in their first cell only: explanations below the table, left out of it.
    file : str
    remarks : list of Problem
        Warnings: what was read in a way that its author may not expect.
    typed : frozenset of str
        Headers of columns that a workbook stores as numbers, whose decimals are beyond doubt.
    padded : int
        Names of subjects with spaces around them, which are taken away.
    """

    table: pd.DataFrame
    rows: list[int]
    notes: list[str]
    file: str
    remarks: list[Problem] = field(default_factory=list)
    typed: frozenset[str] = frozenset()
    padded: int = 0

    @cached_property
    def marks(self) -> frozenset[str]:
        """Decimal marks that some number of the sheet can only be read with."""
        return frozenset().union(*(decimal_marks(self.table[name]) for name in self.table.columns))

    def find(self, header: str) -> str | None:
        """Return the header as the sheet writes it; dashes, spaces and case do not matter."""
        wanted = normalise(header)
        found = [name for name in self.table.columns if normalise(name) == wanted]
        return header if header in found else next(iter(found), None)

    def problem(
        self, what: str, expected: str = "", remedy: str = "", row: object = "", column: str = "", value: str = ""
    ) -> Problem:
        """Return a problem of this sheet."""
        return Problem(what, expected, remedy, self.file, str(row), column, value)

    def missing(self, header: str) -> Problem:
        """Return the problem that a header is not there, with the nearest one that is."""
        names = {normalise(name): name for name in self.table.columns}
        remedy = did_you_mean(header, names.values(), "correct the study file or the sheet")
        return Problem("this column is missing", f"one of {', '.join(names.values())}", remedy, self.file, "1", header)


def normalise(header: str) -> str:
    """Return a header without the differences that do not matter: kinds of dash, spaces, case."""
    text = _DASHES.sub("-", unicodedata.normalize("NFKC", str(header)))
    return " ".join(text.split()).casefold()


def cell_text(value: Any) -> str:
    """Return a cell as text: 59.0 is ``59``, a date is ISO, an empty cell is the empty text."""
    if value is None or value is pd.NaT or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, datetime.datetime | datetime.date):
        return value.isoformat()
    return _WHOLE.sub(r"\1", str(value).strip())


def read_sheet(path: Path, sheets: Sequence[str] = (), subject: str = "subject", header_row: int = 0) -> Sheet:
    """Read a sheet, or several sheets of one workbook joined by subject.

    Parameters
    ----------
    path : Path
        ``.xlsx``, or text (also ``.gz``) with commas, semicolons, tabs or bars between the columns, in UTF-8, UTF-16
        or Windows-1252. The header is the first row that names the subject; what stands above it is a title.
    sheets : sequence of str
        Names of the workbook's sheets; if empty the first one that names the subject, or else the largest.
    subject : str
        Header of the column that names the subject; joins several sheets.
    header_row : int
        Row of the header as a spreadsheet numbers it; 0: the first row that names the subject.

    Returns
    -------
    Sheet

    Raises
    ------
    ClinicalTableError
        No such file or sheet, not readable, a header twice, several sheets without the subject column, or that
        contradict each other.
    """
    path = Path(path)
    if not path.is_file():
        kind = "this is a folder" if path.is_dir() else "there is no such file"
        raise unreadable(Problem(kind, "", "fetch the study or correct the path", str(path)))
    if path.name.endswith((".xlsx", ".xlsm")):
        books, others = _read_workbook(path, sheets, subject)
        parts = [_sheet(frame, f"{path} [{name}]", subject, header_row) for name, frame in books.items()]
        if others:
            what, remedy = (
                f"read from one of {len(others) + 1} sheets",
                "name another one as `clinical_sheet` or `sheet`",
            )
            parts[0].remarks.append(Problem(what, "", remedy, parts[0].file, value=", ".join(others), warning=True))
    else:
        frame, remark = read_cells(path)
        parts = [_sheet(frame, str(path), subject, header_row)]
        parts[0].remarks.extend([Problem(f"read with {remark}", file=str(path), warning=True)] if remark else [])
    return parts[0] if len(parts) == 1 else _joined(parts, subject, str(path))


def unreadable(*problems: Problem) -> ClinicalTableError:
    """Return the error that a table can not be read."""
    return ClinicalTableError("The table can not be read.", problems)


def read_cells(path: Path) -> tuple[pd.DataFrame, str]:
    """Return the cells of a text file, unnamed, and a remark on how it was read (empty if as CSV in UTF-8).

    Raises
    ------
    ClinicalTableError
        Not readable, or no text table.
    """
    text, encoding = _decoded(path)
    lines = text.splitlines(keepends=True)
    told = re.match(r"\s*sep=(.)\s*$", lines[0]) if lines else None
    delimiter = told[1] if told else _delimiter(lines)
    try:
        records = list(csv.reader(lines[bool(told) :], delimiter=delimiter))
    except csv.Error as error:
        raise unreadable(Problem(f"no table: {error}", "", "save it as CSV (UTF-8)", str(path))) from error
    width = max((len(record) for record in records), default=0)
    frame = pd.DataFrame([record + [""] * (width - len(record)) for record in records], dtype=object)
    names = {",": "", ";": "semicolons", "\t": "tabs", "|": "bars"}
    parts = [f"columns separated by {names[delimiter]}" if names.get(delimiter) else "", encoding]
    return frame, ", ".join(part for part in parts if part)


def _decoded(path: Path) -> tuple[str, str]:
    """Return the text of a file and, where it is not UTF-8, its encoding in words."""
    try:
        raw = gzip.decompress(path.read_bytes()) if path.name.endswith(".gz") else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(Problem(f"not readable: {error}", "", "copy it again", str(path))) from error
    if other := something_else(raw):
        raise unreadable(Problem(other[0], "a table", other[1], str(path)))
    utf16 = raw.startswith((b"\xff\xfe", b"\xfe\xff"))
    for encoding, words in (("utf-16", "UTF-16"),) if utf16 else (("utf-8-sig", ""), ("cp1252", "Windows-1252")):
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\x00" not in text:
            return text, words
    raise unreadable(Problem("no text in UTF-8 or Windows-1252", "a table", "save it as CSV UTF-8", str(path)))


def _delimiter(lines: Sequence[str]) -> str:
    """Return the delimiter that gives the most rows of one and the same, largest width."""
    best, most = ",", 0.0
    for mark in DELIMITERS:
        widths = Counter(len(record) for record in csv.reader(lines[:50], delimiter=mark) if any(record))
        width, rows = widths.most_common(1)[0] if widths else (1, 0)
        score = (width - 1) * rows / max(sum(widths.values()), 1)
        if score > most:
            best, most = mark, score
    return best


def _read_workbook(path: Path, sheets: Sequence[str], subject: str) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """Return the sheets that are named, or the one that names the subject and the names of the others with cells."""
    try:
        book = pd.read_excel(path, sheet_name=None, header=None, dtype=object, keep_default_na=False)
    except (ValueError, KeyError, OSError) as error:  # zipfile and openpyxl raise these for damaged workbooks
        raise unreadable(Problem(f"no Excel workbook: {error}", "", "save it as .xlsx or .csv", str(path))) from error
    filled = [name for name, frame in book.items() if not frame.empty] or list(book)
    naming = [name for name in filled if _names_subject(book[name], subject)]
    largest = max(filled, key=lambda name: book[name].size) if filled else ""
    wanted = list(sheets) or [*naming, largest][:1]
    expected, remedy = f"one of {', '.join(book)}", "correct `clinical_sheet` or `sheet`"
    absent = [name for name in wanted if name not in book]
    if absent:
        raise unreadable(*(Problem("no such sheet", expected, remedy, str(path), value=name) for name in absent))
    return {name: book[name] for name in wanted}, [] if sheets else [name for name in filled if name not in wanted]


def _names_subject(frame: pd.DataFrame, subject: str) -> bool:
    """Say whether one of a sheet's first rows has the header of subjects beside another one."""
    rows = [{normalise(cell) for cell in row if cell not in (None, "")} for row in frame.head(TITLE_ROWS).to_numpy()]
    return any(len(row) > 1 and normalise(subject) in row for row in rows)


def _sheet(frame: pd.DataFrame, file: str, subject: str, header_row: int) -> Sheet:
    """Find the header, leave out titles, empty rows and notes, and say what was left out."""
    text = frame.map(lambda cell: cell.strip() if isinstance(cell, str) else cell_text(cell))
    filled = (text != "").sum(axis=1)
    if not filled.any():
        raise unreadable(Problem("it is empty", file=file))
    if header_row > len(text) or (header_row and not filled.iloc[header_row - 1]):
        problem = Problem("no header in this row", f"a row of 1 to {len(text)} with names", "correct `data.header_row`",
                          file, str(header_row))  # fmt: skip
        raise unreadable(problem)
    top = header_row - 1 if header_row else _header_row(text, filled, subject)
    header = text.iloc[top].tolist()
    body = text.iloc[top + 1 :]
    problems = list(_header_problems(header, body, subject, file, top))
    if problems:
        raise unreadable(*problems)
    named = [i for i, name in enumerate(header) if name]
    remarks = list(_left_out(text, body, top, named, file))
    numbers = [header[i] for i in named if _is_typed(frame.iloc[top + 1 :, i])]
    key = [i for i in named if normalise(header[i]) == normalise(subject)]
    names = frame.iloc[top + 1 :, key[0]].astype(str) if key else pd.Series(dtype=str)
    padded = int(((names != names.str.strip()) & (names.str.strip() != "")).sum())
    body = body.iloc[:, named].set_axis([header[i] for i in named], axis=1)
    filled = (body != "").sum(axis=1)
    note = (filled == 1) & body.iloc[:, 0].ne("") if body.shape[1] > 1 else filled < 0
    kept = body[(filled > 0) & ~note]
    rows = [int(str(i)) + 1 for i in kept.index]
    notes = body.iloc[:, 0][note].tolist()
    if notes:
        what, shown = f"{len(notes)} rows with nothing but their first cell are taken as notes", "; ".join(notes)[:100]
        remarks.append(Problem(what, file=file, value=shown, warning=True))
    return Sheet(kept.reset_index(drop=True), rows, notes, file, remarks, frozenset(numbers), padded)


def _header_row(text: pd.DataFrame, filled: pd.Series, subject: str) -> int:
    """Return the first row that names the subject (beside another name); where none does the first of several cells."""
    wanted = normalise(subject)
    for i in range(min(TITLE_ROWS, len(text))):
        if filled.iloc[i] > 1 and wanted in {normalise(cell) for cell in text.iloc[i]}:
            return i
    return int((filled > (filled > 1).any()).to_numpy().argmax())


def _header_problems(header: list[str], body: pd.DataFrame, subject: str, file: str, top: int) -> Iterator[Problem]:
    """Yield headers that stand twice, also in other case, and a header in two rows."""
    where: dict[str, Any] = {"file": file, "row": str(top + 1)}
    counts = Counter(normalise(name) for name in header if name)
    for name, count in counts.items():
        if count > 1:
            written = " and ".join(dict.fromkeys(f"`{one}`" for one in header if normalise(one) == name))
            what = (
                f"{count} columns of one header"
                if "and" not in written
                else "headers that differ by case or spaces only"
            )
            yield Problem(what, "each header once", "rename or remove the others", column=written, **where)
    names = [normalise(name) for name in header]
    if len(body) and normalise(subject) in names:
        below, key = body.iloc[0], names.index(normalise(subject))
        under = [cell for cell, name in zip(below, header, strict=True) if cell and not name]
        if below.iloc[key] == "" and under and all(not re.search(r"\d", cell) for cell in under):
            what = f"the header is spread over two rows ({', '.join(under[:5])} in the second)"
            yield Problem(what, "one row of names", "unmerge the cells and write each name into one row", **where)


def _left_out(text: pd.DataFrame, body: pd.DataFrame, top: int, named: list[int], file: str) -> Iterator[Problem]:
    """Yield warnings on what no header or no row of the table takes."""
    above = [" ".join(filter(None, row)) for row in text.iloc[:top].to_numpy().tolist()]
    if any(above):
        what = f"{top} rows above the header are left out" if top > 1 else "the row above the header is left out"
        yield Problem(what, file=file, row="1", value="; ".join(filter(None, above))[:100], warning=True)
    empty = int((body == "").all(axis=1).sum())
    if empty:
        yield Problem(f"{empty} empty rows are left out", file=file, warning=True)
    for i in sorted(set(range(body.shape[1])) - set(named)):
        cells = body.iloc[:, i][body.iloc[:, i] != ""]
        numbers = pd.to_numeric(cells, errors="coerce")
        running = len(cells) > 0 and (numbers.diff().iloc[1:] == 1).all() and numbers.iloc[0] in (0, 1)
        if not running and len(cells):
            shown = ", ".join(cells.unique()[:3])
            what, remedy = "cells under no header are left out", "name the column if it is needed"
            yield Problem(what, "", remedy, file, str(top + 1), f"number {i + 1}", shown, warning=True)


def _is_typed(cells: pd.Series) -> bool:
    """Say whether a workbook stores these cells as numbers."""
    given = [cell for cell in cells if not (cell is None or cell != cell or cell == "")]
    return bool(given) and all(isinstance(cell, int | float) and not isinstance(cell, bool) for cell in given)


def summary_rows(sheet: Sheet, subjects: pd.Series, header: str) -> Iterator[Problem]:
    """Yield rows whose subject is the name of a statistic: a mean below the table."""
    for row, name in zip(sheet.rows, subjects, strict=True):
        if str(name).casefold().replace(" ", "").rstrip(":.") in SUMMARY_ROWS:
            yield sheet.problem("a row of summaries, no patient", "one row per patient", "remove it", row, header, name)


def _joined(parts: Sequence[Sheet], subject: str, file: str) -> Sheet:
    """Join sheets by subject; subjects of the first sheet stay in its order, others follow."""
    keys = [part.find(subject) for part in parts]
    problems = [part.missing(subject) for part, key in zip(parts, keys, strict=True) if key is None]
    for part, key in [(part, str(key)) for part, key in zip(parts, keys, strict=True) if key is not None]:
        twice = part.table[key][part.table[key].duplicated()].unique()
        problems += [
            part.problem("a subject twice", "one row per subject", "keep one", column=key, value=v) for v in twice
        ]
    if problems:
        raise ClinicalTableError("The sheets of the clinical table can not be joined.", problems)
    joined = parts[0].table.rename(columns={str(keys[0]): subject})
    first = dict(zip(joined[subject], parts[0].rows, strict=True))
    for part, found in zip(parts[1:], keys[1:], strict=True):
        other = part.table.rename(columns={str(found): subject})
        problems += [*disagreements(joined, other, subject, part), *near_names(joined, other, subject, part)]
        new = [name for name in other.columns if name == subject or name not in joined.columns]
        joined = joined.merge(other[new], on=subject, how="outer", sort=False)
    if problems:
        raise ClinicalTableError("The sheets of the clinical table can not be joined.", problems)
    place = joined[subject].map(first)
    joined = joined.fillna("").loc[place.sort_values(kind="stable").index].reset_index(drop=True)
    rows = [first.get(value, 0) for value in joined[subject]]
    notes = [note for part in parts for note in part.notes]
    remarks = [remark for part in parts for remark in part.remarks]
    return Sheet(joined, rows, notes, file, remarks, frozenset().union(*(part.typed for part in parts)))


def disagreements(left: pd.DataFrame, right: pd.DataFrame, subject: str, part: Sheet) -> Iterator[Problem]:
    """Yield columns that two tables share and give other values for the same subject; empty cells agree with all."""
    a, b = left.set_index(subject), right.set_index(subject)
    both = a.index.intersection(b.index)
    for name in [name for name in b.columns if name in a.columns]:
        x, y = a.loc[both, name], b.loc[both, name]
        differ = both[(x != y) & x.ne("") & y.ne("")]
        if len(differ):
            shown = "; ".join(f"{one}: {x[one]} and {y[one]}" for one in differ[:3])
            what = f"two sheets give other values for {len(differ)} of {len(both)} subjects"
            yield part.problem(what, "one value", "correct one of them, or rename the column", "", str(name), shown)


def near_names(left: pd.DataFrame, right: pd.DataFrame, subject: str, part: Sheet) -> Iterator[Problem]:
    """Yield subjects that differ from one of the other table by leading zeros, spaces or case only."""
    known = set(left[subject])
    by_core = {core_name(name): name for name in left[subject]}
    pairs = [(one, by_core[core_name(one)]) for one in right[subject] if one not in known and core_name(one) in by_core]
    if pairs:
        shown = "; ".join(f"{name} for {other}" for name, other in pairs[:5])
        what = f"{len(pairs)} subjects are written otherwise than in the other table (zeros, spaces or case)"
        yield part.problem(what, "the same name", "format the column as text and restore the zeros", "", subject, shown)


def core_name(name: str) -> str:
    """Return a subject without what a spreadsheet loses: spaces, case and zeros before its numbers."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", re.sub(r"[\s_-]+", "", str(name)).casefold())
