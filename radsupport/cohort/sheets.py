"""Read a clinical sheet as it is: CSV or Excel, odd dashes, notes below the table; every cell as text."""

from __future__ import annotations

import datetime
import difflib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from radsupport.errors import ClinicalTableError, Problem

_DASHES = re.compile("[\u00ad\u2010-\u2015\u2212\u2e3a\u2e3b\ufe58\ufe63\uff0d]")
_WHOLE = re.compile(r"^(-?\d+)\.0+$")


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
    """

    table: pd.DataFrame
    rows: list[int]
    notes: list[str]
    file: str

    def find(self, header: str) -> str | None:
        """Return the header as the sheet writes it; dashes, spaces and case do not matter."""
        wanted = normalise(header)
        found = [name for name in self.table.columns if normalise(name) == wanted]
        return header if header in found else next(iter(found), None)

    def missing(self, header: str) -> Problem:
        """Return the problem that a header is not there, with the nearest one that is."""
        names = {normalise(name): name for name in self.table.columns}
        near = difflib.get_close_matches(normalise(header), names, n=1, cutoff=0.5)
        remedy = f"did you mean `{names[near[0]]}`?" if near else "correct the study file or the sheet"
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


def read_sheet(path: Path, sheets: Sequence[str] = (), subject: str = "subject") -> Sheet:
    """Read a sheet, or several sheets of one workbook joined by subject.

    Parameters
    ----------
    path : Path
        ``.csv``, ``.csv.gz`` (comma, UTF-8) or ``.xlsx``.
    sheets : sequence of str
        Names of the workbook's sheets; the first one if empty.
    subject : str
        Header of the column that names the subject; joins several sheets.

    Returns
    -------
    Sheet

    Raises
    ------
    ClinicalTableError
        No such file or sheet, not readable, or several sheets without the subject column.
    """
    path = Path(path)
    if not path.is_file():
        problem = Problem("there is no such file", remedy="fetch the study or correct the path", file=str(path))
        raise ClinicalTableError("The clinical table can not be read.", [problem])
    if not path.name.endswith((".xlsx", ".xlsm")):
        return _sheet(_read_csv(path), str(path))
    parts = [_sheet(frame, f"{path} [{name}]") for name, frame in _read_workbook(path, sheets).items()]
    return parts[0] if len(parts) == 1 else _joined(parts, subject, str(path))


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        frame = pd.read_csv(
            path, header=None, dtype=str, keep_default_na=False, encoding="utf-8-sig", skip_blank_lines=False
        )
    except ValueError as error:  # pandas' parser and decoding errors are ValueErrors
        problem = Problem(f"no comma-separated table in UTF-8: {error}", remedy="save it as CSV UTF-8", file=str(path))
        raise ClinicalTableError("The clinical table can not be read.", [problem]) from error
    if frame.shape[1] == 1 and ";" in str(frame.iloc[0, 0]):
        problem = Problem("the columns are separated by ;", "commas", "save it with commas", str(path))
        raise ClinicalTableError("The clinical table can not be read.", [problem])
    return frame


def _read_workbook(path: Path, sheets: Sequence[str]) -> dict[str, pd.DataFrame]:
    try:
        book = pd.read_excel(path, sheet_name=None, header=None, dtype=object, keep_default_na=False)
    except (ValueError, KeyError, OSError) as error:  # zipfile and openpyxl raise these for damaged workbooks
        problem = Problem(f"no Excel workbook: {error}", remedy="save it as .xlsx or .csv", file=str(path))
        raise ClinicalTableError("The clinical table can not be read.", [problem]) from error
    wanted = list(sheets) or [next(iter(book))]
    expected = f"one of {', '.join(book)}"
    absent = [
        Problem("no such sheet", expected, "correct `clinical_sheet`", str(path), value=n)
        for n in wanted
        if n not in book
    ]
    if absent:
        raise ClinicalTableError("The clinical table can not be read.", absent)
    return {name: book[name] for name in wanted}


def _sheet(frame: pd.DataFrame, file: str) -> Sheet:
    """Take the first row as header, leave out empty rows and notes."""
    text = frame.map(cell_text)
    if text.empty:
        raise ClinicalTableError("The clinical table can not be read.", [Problem("it is empty", file=file)])
    header, body = text.iloc[0].tolist(), text.iloc[1:]
    named = [i for i, name in enumerate(header) if name]
    body = body.iloc[:, named]
    body.columns = [header[i] for i in named]
    filled = (body != "").sum(axis=1)
    note = (filled == 1) & body.iloc[:, 0].ne("") if body.shape[1] > 1 else filled < 0
    kept = body[(filled > 0) & ~note]
    rows = [int(str(i)) + 1 for i in kept.index]
    return Sheet(kept.reset_index(drop=True), rows, body.iloc[:, 0][note].tolist(), file)


def _joined(parts: Sequence[Sheet], subject: str, file: str) -> Sheet:
    """Join sheets by subject; subjects of the first sheet stay in its order, others follow."""
    keys = [part.find(subject) for part in parts]
    problems = [part.missing(subject) for part, key in zip(parts, keys, strict=True) if key is None]
    for part, key in zip(parts, keys, strict=True):
        if key is not None:
            twice = part.table[key][part.table[key].duplicated()].unique()
            problems += [
                Problem("a subject twice", "one row per subject", "keep one", part.file, column=key, value=v)
                for v in twice
            ]
    if problems:
        raise ClinicalTableError("The sheets of the clinical table can not be joined.", problems)
    joined = parts[0].table.rename(columns={str(keys[0]): subject})
    for part, key in zip(parts[1:], keys[1:], strict=True):
        other = part.table.rename(columns={str(key): subject})
        new = [name for name in other.columns if name == subject or name not in joined.columns]
        joined = joined.merge(other[new], on=subject, how="outer", sort=False)
    first = dict(zip(parts[0].table[str(keys[0])], parts[0].rows, strict=True))
    joined = joined.fillna("")
    joined = joined.sort_values(
        subject, key=lambda s: s.map(lambda v: first.get(v, 10**9)), kind="stable", ignore_index=True
    )
    rows = [first.get(value, 0) for value in joined[subject]]
    return Sheet(joined, rows, [note for part in parts for note in part.notes], file)
