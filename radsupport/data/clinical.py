"""Read a clinical sheet as it is (CSV or Excel), type it as the study file says, report every impossible value."""

from __future__ import annotations

import datetime
import difflib
import math
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from radsupport.errors import ClinicalTableError, Problem, serious
from radsupport.settings.parts import Column, Survival
from radsupport.settings.study import Study
from radsupport.study import StudyPaths

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

    def problem(
        self, what: str, expected: str = "", remedy: str = "", row: object = "", column: str = "", value: str = ""
    ) -> Problem:
        """Return a problem of this sheet."""
        return Problem(what, expected, remedy, self.file, str(row), column, value)

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
        raise _unreadable(Problem("there is no such file", "", "fetch the study or correct the path", str(path)))
    if not path.name.endswith((".xlsx", ".xlsm")):
        return _sheet(_read_csv(path), str(path))
    parts = [_sheet(frame, f"{path} [{name}]") for name, frame in _read_workbook(path, sheets).items()]
    return parts[0] if len(parts) == 1 else _joined(parts, subject, str(path))


def _unreadable(*problems: Problem) -> ClinicalTableError:
    return ClinicalTableError("The clinical table can not be read.", problems)


def _read_csv(path: Path) -> pd.DataFrame:
    options: Any = {"header": None, "dtype": str, "keep_default_na": False, "skip_blank_lines": False}
    try:
        frame = pd.read_csv(path, encoding="utf-8-sig", **options)
    except ValueError as error:  # pandas' parser and decoding errors are ValueErrors
        what = f"no comma-separated table in UTF-8: {error}"
        raise _unreadable(Problem(what, "", "save it as CSV UTF-8", str(path))) from error
    if frame.shape[1] == 1 and ";" in str(frame.iloc[0, 0]):
        raise _unreadable(Problem("the columns are separated by ;", "commas", "save it with commas", str(path)))
    return frame


def _read_workbook(path: Path, sheets: Sequence[str]) -> dict[str, pd.DataFrame]:
    try:
        book = pd.read_excel(path, sheet_name=None, header=None, dtype=object, keep_default_na=False)
    except (ValueError, KeyError, OSError) as error:  # zipfile and openpyxl raise these for damaged workbooks
        raise _unreadable(Problem(f"no Excel workbook: {error}", "", "save it as .xlsx or .csv", str(path))) from error
    wanted = list(sheets) or [next(iter(book))]
    expected, remedy = f"one of {', '.join(book)}", "correct `clinical_sheet`"
    absent = [name for name in wanted if name not in book]
    if absent:
        raise _unreadable(*(Problem("no such sheet", expected, remedy, str(path), value=name) for name in absent))
    return {name: book[name] for name in wanted}


def _sheet(frame: pd.DataFrame, file: str) -> Sheet:
    """Take the first row as header, leave out empty rows and notes."""
    text = frame.map(cell_text)
    if text.empty:
        raise _unreadable(Problem("it is empty", file=file))
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
        new = [name for name in other.columns if name == subject or name not in joined.columns]
        joined = joined.merge(other[new], on=subject, how="outer", sort=False)
    place = joined[subject].map(first)
    joined = joined.fillna("").loc[place.sort_values(kind="stable").index].reset_index(drop=True)
    rows = [first.get(value, 0) for value in joined[subject]]
    return Sheet(joined, rows, [note for part in parts for note in part.notes], file)


Parsed = tuple[float | str | None, Problem | None]
Parser = Callable[[str], Parsed]


def _number(text: str) -> Parsed:
    try:
        value = float(text)
    except ValueError:
        point = text.replace(",", ".", 1)
        comma = point != text and point.replace(".", "", 1).lstrip("-").isdigit()
        remedy = "use a decimal point" if comma else "correct it, or write it as a missing value"
        return None, Problem("no number", "a number", remedy)
    if not math.isfinite(value):
        return None, Problem("not a finite number", "a number", "correct it, or leave the cell empty")
    return value, None


def _number_parser(column: Column) -> Parser:
    """Return a reader of numbers within the column's limits, both allowed."""
    low, high = column.minimum, column.maximum
    limits = [f"{word} {limit:g}" for word, limit in (("at least", low), ("at most", high)) if limit is not None]
    expected = f"{low:g} to {high:g}" if len(limits) == 2 else "".join(limits)

    def parse(text: str) -> Parsed:
        value, problem = _number(text)
        if isinstance(value, float) and ((low is not None and value < low) or (high is not None and value > high)):
            unit, remedy = f"{expected} {column.unit}".strip(), "correct it or the study's limits"
            return None, Problem("an impossible value", unit, remedy)
        return value, problem

    return parse


def _code_parser(codes: Mapping[str, float | str], what: str, remedy: str, suggest: bool = False) -> Parser:
    """Return a reader of codes: levels of a category, an outcome, a status."""

    def parse(text: str) -> Parsed:
        if text in codes:
            return codes[text], None
        near = difflib.get_close_matches(text, codes, n=1, cutoff=0.6) if suggest else []
        return None, Problem(what, f"one of {', '.join(codes)}", f"did you mean `{near[0]}`?" if near else remedy)

    return parse


def _category_parser(column: Column) -> Parser:
    """Return a reader of levels of a category, after its recoding."""
    recode = {cell_text(key): value for key, value in column.recode.items() if value in column.levels}
    remedy = "correct it, or name it in the study's `levels` or `recode`"
    return _code_parser({level: level for level in column.levels} | recode, "an unknown level", remedy, suggest=True)


def _label_parser(recode: Mapping[str, int]) -> Parser:
    """Return a reader of the binary outcome as 0 or 1."""
    codes = {cell_text(key): float(value) for key, value in recode.items() if value in (0, 1)}
    return _code_parser(codes or {"0": 0.0, "1": 1.0}, "an unknown outcome", "correct it or the label's `recode`")


def _time_parser(survival: Survival) -> Parser:
    """Return a reader of follow-up times in months."""
    per_month = survival.days_per_month if survival.unit == "days" else 1.0

    def parse(text: str) -> Parsed:
        value, problem = _number(text)
        if isinstance(value, float) and value < 0:
            return None, Problem("a negative follow-up time", f"{survival.unit}, 0 or more", "correct it")
        return (value / per_month if isinstance(value, float) else None), problem

    return parse


def _status_parser(survival: Survival, *, competing: bool = False) -> Parser:
    """Return a reader of the status at the end of follow-up: 1 for the event, or for what competes with it."""
    meant = "competing_values" if competing else "event_values"
    codes = {cell_text(code): float(key == meant) for key, listed in survival.statuses.items() for code in listed}
    keys = "`event_values`, `censored_values` or `competing_values`"
    return _code_parser(codes, "an unknown status", f"correct it, or name it in {keys}")


GENERATED_SHEET = "clinical.csv"


def read_clinical(study: Study, path: Path) -> pd.DataFrame:
    """Read the clinical sheet of a study.

    Parameters
    ----------
    study : Study
        Its `endpoint`, `columns` and `data` say what each column holds.
    path : Path
        ``.csv`` or ``.xlsx``.

    Returns
    -------
    pandas.DataFrame
        One row per subject: subject, center (empty where the sheet has none), split (the cohort that the sheet
        fixes, where `data.cohort` names its column), label (0/1), time
        (months), event (0/1), competing (0/1, where the study names codes of a competing event; `event` is 0 then),
        where the study has them, then the columns of the study: numbers as
        float, categories as categorical with the study's levels in order. Missing values are NaN.

    Raises
    ------
    ClinicalTableError
        Every missing column, unknown level, impossible number and doubled subject, with row and remedy.
    """
    table, problems = typed_table(study, clinical_sheet(study, path))
    if serious(problems):
        raise ClinicalTableError(f"The clinical table {path} can not be used.", serious(problems))
    return table.drop(columns="row")


def clinical_sheet(study: Study, path: Path) -> Sheet:
    """Read the sheets that a study names, as they are."""
    named = study.data.clinical_sheet
    return read_sheet(path, [named] if isinstance(named, str) and named else list(named), study.data.subject)


def clinical_path(study: Study, files: pd.DataFrame, root: Path = Path()) -> Path:
    """Return where a study's clinical sheet lies: the manifest's row of role clinical, or `data.clinical`.

    Parameters
    ----------
    study : Study
    files : DataFrame
        Rows of the manifest (`radsupport.data.manifest.study_files`).
    root : Path
        Project root.

    Raises
    ------
    ClinicalTableError
        Neither names one.
    """
    named = files.loc[files["role"] == "clinical", "file"].tolist()
    if named:
        return Path(named[0])
    data = StudyPaths(study.id, Path(root)).data
    if study.is_synthetic and not study.data.clinical:
        return data / GENERATED_SHEET
    if not study.data.clinical:
        remedy = "add a manifest row of role clinical, or `data.clinical` to the study file"
        problem = Problem("no clinical table", "", remedy)
        raise ClinicalTableError(f"Study {study.id} names no clinical table.", [problem])
    beside = (Path(root) / study.data.manifest).parent
    places = [folder / study.data.clinical for folder in (data, beside, Path(root))]
    return next((place for place in places if place.is_file()), places[0])


def typed_table(study: Study, sheet: Sheet) -> tuple[pd.DataFrame, list[Problem]]:
    """Return the table as `read_clinical` types it, with `row` as the spreadsheet numbers it, and all problems."""
    problems: list[Problem] = []
    columns: dict[str, pd.Series] = {"row": pd.Series(sheet.rows, dtype=int)}
    columns["subject"] = _plain(sheet, study.data.subject, problems, required=True)
    columns["center"] = _plain(sheet, study.data.center, problems, required=False)
    if study.data.cohort:
        columns["split"] = _plain(sheet, study.data.cohort, problems, required=True)
    if sheet.find(header := study.data.subject) is not None:
        unnamed = [row for row, name in zip(sheet.rows, columns["subject"], strict=True) if not name]
        problems += [sheet.problem("a row without a subject", "", "name the subject", row, header) for row in unnamed]
        problems += doubled(sheet, columns["subject"], header, "keep one of them")
    missing = {value.casefold() for value in study.data.missing_values}
    for name, (header, parse) in _wanted(study).items():
        if (found := sheet.find(header)) is None:
            problems.append(sheet.missing(header))
        else:
            columns[name], wrong = _parse_column(sheet, found, parse, missing)
            problems += wrong
    survival = study.endpoint.survival
    if survival is not None and survival.competing_values and "event" in columns:
        header, parse = str(sheet.find(survival.event)), _status_parser(survival, competing=True)
        columns["competing"] = _parse_column(sheet, header, parse, missing)[0]  # its problems are those of `event`
    problems += _half_outcomes(study, sheet, missing)
    table = pd.DataFrame(columns)
    outcomes = [name for name in ("label", "time", "event", "competing") if name in table]
    table[outcomes] = table[outcomes].astype(float)
    for name, column in study.columns.items():
        if name in table and column.kind == "number":
            table[name] = table[name].astype(float)
        elif name in table:
            table[name] = pd.Series(pd.Categorical(table[name], categories=column.levels), index=table.index)
    return table, problems


def _wanted(study: Study) -> dict[str, tuple[str, Parser]]:
    """Return, for each column of the typed table, the sheet's header and how a cell is read."""
    wanted: dict[str, tuple[str, Parser]] = {}
    label, survival = study.endpoint.label, study.endpoint.survival
    if label is not None:
        wanted["label"] = (label.column, _label_parser(label.recode))
    if survival is not None:
        wanted["time"] = (survival.time, _time_parser(survival))
        wanted["event"] = (survival.event, _status_parser(survival))
    for name, column in study.columns.items():
        parse = _number_parser(column) if column.kind == "number" else _category_parser(column)
        wanted[name] = (column.column or name, parse)
    return wanted


def _plain(sheet: Sheet, header: str, problems: list[Problem], required: bool) -> pd.Series:
    found = sheet.find(header)
    if found is None:
        if required:
            problems.append(sheet.missing(header))
        return pd.Series([""] * len(sheet.rows), dtype=object)
    return sheet.table[found].map(lambda value: " ".join(value.split()))


def doubled(sheet: Sheet, subjects: pd.Series, header: str, remedy: str) -> Iterator[Problem]:
    """Yield the subjects that have several rows."""
    for subject in subjects[subjects.duplicated() & subjects.ne("")].unique():
        rows = ", ".join(str(r) for r, s in zip(sheet.rows, subjects, strict=True) if s == subject)
        yield sheet.problem("a subject twice", "one row per subject", remedy, rows, header, str(subject))


def _half_outcomes(study: Study, sheet: Sheet, missing: set[str]) -> Iterator[Problem]:
    """Yield rows with a follow-up time but no status, or the other way round."""
    survival = study.endpoint.survival
    headers = [sheet.find(header) for header in (survival.time, survival.event)] if survival else [None]
    if None in headers:
        return
    given = ~sheet.table[headers].apply(lambda column: column.str.casefold().isin(missing)).to_numpy()
    for row, (has_time, has_event) in zip(sheet.rows, given, strict=True):
        if has_time != has_event:
            what = "a follow-up time without a status" if has_time else "a status without a follow-up time"
            yield sheet.problem(what, "both or neither", "complete it", row)


def _parse_column(sheet: Sheet, header: str, parse: Parser, missing: set[str]) -> tuple[pd.Series, list[Problem]]:
    values: list[float | str | None] = []
    problems = []
    for row, text in zip(sheet.rows, sheet.table[header], strict=True):
        if text.casefold() in missing:
            values.append(None)
            continue
        value, problem = parse(cell_text(text))
        values.append(value)
        if problem is not None:
            problems.append(sheet.problem(problem.what, problem.expected, problem.remedy, row, header, text))
    return pd.Series(values, dtype=object), problems
