"""Type a clinical sheet as the study file says, and report every impossible value."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from radsupport.data.notation import date_order, read_date, read_numbers
from radsupport.data.sheets import Sheet, cell_text, read_sheet, summary_rows
from radsupport.errors import ClinicalTableError, Problem, serious
from radsupport.settings.parts import Column, Survival
from radsupport.settings.study import Study
from radsupport.study import StudyPaths

MOST_ROWS, MOST_VALUES = 10, 5
"""Rows and values that a problem of many cells names."""
Parsed = tuple[float | str | None, Problem | None]
Parser = Callable[[str], Parsed]


def _number(text: str) -> Parsed:
    try:
        value = float(text)
    except ValueError:
        dated = re.fullmatch(r"\d{4}-\d\d-\d\d(T.*)?", text) is not None
        what = "a date, into which Excel turns numbers like 1.2" if dated else "no number"
        if re.match(r"\s*[<>≤≥]", text):
            what, how = "a limit of what can be measured", "write a number for it, such as half a lower limit"
            return None, Problem(what, "a number", f"{how}, or list it under `missing_values`")
        return None, Problem(what, "a number", "correct it, or list it under `missing_values`")
    if not math.isfinite(value):
        return None, Problem("not a finite number", "a number", "correct it, or leave the cell empty")
    return value, None


def number_parser(column: Column) -> Parser:
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


def category_parser(column: Column) -> Parser:
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
    days = {"days": 1, "weeks": 7, "months": survival.days_per_month}[survival.unit]
    per_month = survival.days_per_month / days

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
    table, problems = typed_table(study, clinical_sheet(study, path), gaps=bool(study.model))
    if serious(problems):
        raise ClinicalTableError(f"The clinical table {path} can not be used.", serious(problems))
    return table.drop(columns="row")


def clinical_sheet(study: Study, path: Path) -> Sheet:
    """Read the sheets that a study names, as they are."""
    named = study.data.clinical_sheet or study.data.sheet
    sheets = [named] if isinstance(named, str) and named else list(named)
    return read_sheet(path, sheets, study.data.subject, study.data.header_row)


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


#: What is said of a column that may be absent, since nothing is fitted on these patients.
NOT_RECORDED = "this column is missing: no patient of the table has a value"


def typed_table(study: Study, sheet: Sheet, *, gaps: bool = False) -> tuple[pd.DataFrame, list[Problem]]:
    """Return the table as `read_clinical` types it, with `row` as the spreadsheet numbers it, and all problems.

    With `gaps` a clinical column or CT finding may be absent, which is a warning; an outcome may not.
    """
    sheet = with_follow_up(study, sheet)
    problems = list(sheet.remarks)
    columns: dict[str, pd.Series] = {"row": pd.Series(sheet.rows, dtype=int)}
    columns["subject"] = _plain(sheet, study.data.subject, problems, required=True)
    columns["center"] = _plain(sheet, study.data.center, problems, required=False)
    if study.data.cohort:
        columns["split"] = _plain(sheet, study.data.cohort, problems, required=True)
    if sheet.find(header := study.data.subject) is not None:
        unnamed = [row for row, name in zip(sheet.rows, columns["subject"], strict=True) if not name]
        problems += [sheet.problem("a row without a subject", "", "name the subject", row, header) for row in unnamed]
        problems += doubled(sheet, columns["subject"], header, "keep one of them")
        problems += summary_rows(sheet, columns["subject"], header)
    missing, survival = {value.casefold() for value in study.data.missing_values}, study.endpoint.survival
    for name, (header, parse, number) in wanted_columns(study).items():
        if (found := sheet.find(header)) is None and gaps and name in study.columns:
            columns[name] = pd.Series([None] * len(sheet.rows), dtype=object)
            problems.append(replace(sheet.missing(header), what=NOT_RECORDED, warning=True))
        elif found is None:
            dated = name == "time" and survival is not None and survival.dates is not None  # said of the dates
            problems += [] if dated else [sheet.missing(header)]
        else:
            columns[name], wrong = parse_column(sheet, found, parse, missing, study.data.decimal if number else None)
            problems += wrong
    if survival is not None and survival.competing_values and "event" in columns:
        header, parse = str(sheet.find(survival.event)), _status_parser(survival, competing=True)
        columns["competing"] = parse_column(sheet, header, parse, missing, None)[0]  # problems: as of `event`
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


def with_follow_up(study: Study, sheet: Sheet) -> Sheet:
    """Return a sheet with the days between the two dates of each follow-up, where the study names dates and not a time.

    What can not be read, and ends that lie before their starts, are `remarks`, one for each kind with rows and values.
    """
    survival = study.endpoint.survival
    if survival is None or (dates := survival.dates) is None or sheet.find(dates.header) is not None:
        return sheet
    headers = {name: sheet.find(name) for name in (dates.start, dates.end)}
    remarks = [sheet.missing(name) for name, header in headers.items() if header is None]
    missing = [value.casefold() for value in study.data.missing_values]
    cells = {name: sheet.table[header].str.strip() for name, header in headers.items() if header is not None}
    known = {name: column[~column.str.casefold().isin(missing)] for name, column in cells.items()}
    order, why = date_order(text for column in known.values() for text in column)
    if why and not dates.order:
        expected, remedy = "dates that can be read in one way", "write `order: day first` or `order: month first`"
        remarks.append(sheet.problem(why, expected, f"{remedy} beside the columns of `dates`", "", dates.header))
    if remarks:
        return replace(sheet, remarks=[*sheet.remarks, *remarks])
    read = {name: column.map(lambda text: read_date(text, dates.order or order)) for name, column in known.items()}
    for name, column in read.items():
        remarks += _no_dates(sheet, str(headers[name]), column.index[column.isna()])
    both = pd.DataFrame(read, dtype=object).dropna()
    spans = pd.Series([(end - start).days for start, end in both.to_numpy()], both.index, dtype=int)
    for place in spans.index[spans < 0]:
        what, expected = "a follow-up that ends before it starts", "an end on the day of the start, or later"
        value, remedy = f"{cells[dates.start][place]}, {cells[dates.end][place]}", "correct one of them, or `dates`"
        remarks.append(sheet.problem(what, expected, remedy, sheet.rows[int(place)], dates.header, value))
    days = spans[spans >= 0].astype(str).reindex(sheet.table.index).fillna(missing[0] if missing else "")
    return replace(sheet, table=sheet.table.assign(**{dates.header: days}), remarks=[*sheet.remarks, *remarks])


def _no_dates(sheet: Sheet, header: str, places: pd.Index) -> Iterator[Problem]:
    """Yield cells of a column of dates that are none."""
    if len(places):
        text = str(sheet.table[header][places[0]])
        remedy = "write it so, or list what means a missing value under `missing_values`"
        if text.isdigit() and header in sheet.typed:
            remedy = "format the column as a date: a spreadsheet shows days since 1900 here"
        problem = Problem("no date", "a day with a year of four digits, such as 2015-03-02", remedy)
        yield _of_cells(sheet, header, problem, [int(place) for place in places])


def wanted_columns(study: Study) -> dict[str, tuple[str, Parser, bool]]:
    """Return, for each column of the typed table, the sheet's header, how a cell is read, whether it is a number."""
    wanted: dict[str, tuple[str, Parser, bool]] = {}
    label, survival = study.endpoint.label, study.endpoint.survival
    if label is not None:
        wanted["label"] = (label.column, _label_parser(label.recode), False)
    if survival is not None:
        wanted["time"] = (survival.time, _time_parser(survival), True)
        wanted["event"] = (survival.event, _status_parser(survival), False)
    for name, column in study.columns.items():
        number = column.kind == "number"
        parse = number_parser(column) if number else category_parser(column)
        wanted[name] = (column.column or name, parse, number)
    return wanted


def _plain(sheet: Sheet, header: str, problems: list[Problem], required: bool) -> pd.Series:
    found = sheet.find(header)
    if found is None:
        if required:
            problems.append(sheet.missing(header))
        return pd.Series([""] * len(sheet.rows), dtype=object)
    return sheet.table[found].map(lambda value: " ".join(cell_text(value).split()))


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


def parse_column(
    sheet: Sheet, header: str, parse: Parser, missing: set[str], decimal: str | None
) -> tuple[pd.Series, list[Problem]]:
    """Read the cells of one column; `decimal` is the study's decimal mark, None for a column of codes."""
    cells = sheet.table[header]
    given = ~cells.str.casefold().isin(missing)
    texts, problems = cells[given], []
    if decimal is not None and header not in sheet.typed:
        texts, mark, why = read_numbers(texts, sheet.marks, decimal)
        if why:
            return pd.Series([None] * len(cells), dtype=object), [asked(sheet, header, why)]
        if texts.ne(cells[given]).any():
            how = "decimal commas" if mark == "," else "thousands or brackets"
            problems = [Problem(f"read with {how}", file=sheet.file, column=header, warning=True)]
    values: list[float | str | None] = [None] * len(cells)
    wrong: dict[Problem, list[int]] = {}
    for place, text in zip(np.flatnonzero(given), texts, strict=True):
        values[place], problem = parse(cell_text(text)) if text is not None else (None, OTHER_MARK)
        if problem is not None:
            wrong.setdefault(problem, []).append(int(place))
    return pd.Series(values, dtype=object), problems + [
        _of_cells(sheet, header, problem, places) for problem, places in wrong.items()
    ]


OTHER_MARK = Problem("a number with another decimal mark", "one notation in a column", "write all of them alike")


def asked(sheet: Sheet, header: str, why: str) -> Problem:
    """Return the question which decimal mark a column has."""
    remedy = 'write `decimal: "."` or `decimal: ","` under `data:` in the study file, or correct the column'
    return sheet.problem(why, "numbers that can be read in one way", remedy, "", header)


def _of_cells(sheet: Sheet, header: str, problem: Problem, places: Sequence[int]) -> Problem:
    """Return one problem for all cells of a column that have it."""
    rows = [str(sheet.rows[place]) for place in places]
    shown = ", ".join(rows[:MOST_ROWS]) + (f", … ({len(rows)} rows)" if len(rows) > MOST_ROWS else "")
    values = list(dict.fromkeys(sheet.table[header].to_numpy()[list(places)]))
    text = "; ".join(values[:MOST_VALUES]) + ("; …" if len(values) > MOST_VALUES else "")
    return sheet.problem(problem.what, problem.expected, problem.remedy, shown, header, text)
