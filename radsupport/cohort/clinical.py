"""Type the clinical sheet as the study file says, and report every impossible value at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from radsupport.cohort.assignment import CohortTables, build_cohort
from radsupport.cohort.cells import Parser, category_parser, event_parser, label_parser, number_parser, time_parser
from radsupport.cohort.sheets import Sheet, cell_text, read_sheet
from radsupport.errors import ClinicalTableError, Problem
from radsupport.paths import StudyPaths
from radsupport.study_schema import Column, Study

__all__ = [
    "CohortTables",
    "build_cohort",
    "clinical_path",
    "parse_clinical",
    "read_clinical",
    "typed_table",
]

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
        (months), event (0/1), where the study has them, then the columns of the study: numbers as
        float, categories as categorical with the study's levels in order. Missing values are NaN.

    Raises
    ------
    ClinicalTableError
        Every missing column, unknown level, impossible number and doubled subject, with row and remedy.
    """
    table, problems = parse_clinical(study, path)
    if problems:
        raise ClinicalTableError(f"The clinical table {path} can not be used.", problems)
    return table.drop(columns="row")


def parse_clinical(study: Study, path: Path) -> tuple[pd.DataFrame, list[Problem]]:
    """Return the typed table, with `row` as the spreadsheet numbers it, and all problems, without raising.

    Raises
    ------
    ClinicalTableError
        The file can not be read at all.
    """
    named = study.data.clinical_sheet
    sheets = [named] if isinstance(named, str) and named else list(named)
    return typed_table(study, read_sheet(Path(path), sheets, study.data.subject))


def clinical_path(study: Study, files: pd.DataFrame, root: Path = Path()) -> Path:
    """Return where a study's clinical sheet lies: the manifest's row of role clinical, or `data.clinical`.

    Parameters
    ----------
    study : Study
    files : DataFrame
        Rows of the manifest (`radsupport.cohort.manifest.study_files`).
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
        raise ClinicalTableError(
            f"Study {study.id} names no clinical table.", [Problem("no clinical table", remedy=remedy)]
        )
    beside = (Path(root) / study.data.manifest).parent
    places = [folder / study.data.clinical for folder in (data, beside, Path(root))]
    return next((place for place in places if place.is_file()), places[0])


def typed_table(study: Study, sheet: Sheet) -> tuple[pd.DataFrame, list[Problem]]:
    """Type the cells of a sheet; see `parse_clinical`."""
    problems: list[Problem] = []
    columns: dict[str, pd.Series] = {"row": pd.Series(sheet.rows, dtype=int)}
    columns["subject"] = _plain(sheet, study.data.subject, problems, required=True)
    columns["center"] = _plain(sheet, study.data.center, problems, required=False)
    if study.data.cohort:
        columns["split"] = _plain(sheet, study.data.cohort, problems, required=True)
    problems += _subject_problems(sheet, columns["subject"], study.data.subject)
    missing = {value.casefold() for value in study.data.missing_values}
    for name, (header, parse) in _wanted(study).items():
        found = sheet.find(header)
        if found is None:
            problems.append(sheet.missing(header))
            continue
        columns[name], wrong = _parse_column(sheet, found, parse, missing)
        problems += wrong
    problems += _half_outcomes(study, sheet, missing)
    table = pd.DataFrame(columns)
    outcomes = [name for name in ("label", "time", "event") if name in table]
    table[outcomes] = table[outcomes].astype(float)
    for name, column in study.columns.items():
        if name in table:
            table[name] = _as_typed(table[name], column)
    return table, problems


def _wanted(study: Study) -> dict[str, tuple[str, Parser]]:
    """Return, for each column of the typed table, the sheet's header and how a cell is read."""
    wanted: dict[str, tuple[str, Parser]] = {}
    label, survival = study.endpoint.label, study.endpoint.survival
    if label is not None:
        wanted["label"] = (label.column, label_parser(label.recode))
    if survival is not None:
        wanted["time"] = (survival.time, time_parser(survival))
        wanted["event"] = (survival.event, event_parser(survival))
    for name, column in study.columns.items():
        parse = number_parser(column) if column.kind == "number" else category_parser(column)
        wanted[name] = (column.column or name, parse)
    return wanted


def _plain(sheet: Sheet, header: str, problems: list[Problem], required: bool) -> pd.Series:
    found = sheet.find(header)
    if found is None:
        if required:
            problems.append(sheet.missing(header))
        return pd.Series([""] * len(sheet.rows), dtype=object)
    return sheet.table[found].map(lambda value: " ".join(value.split()))


def _subject_problems(sheet: Sheet, subjects: pd.Series, header: str) -> Iterator[Problem]:
    if sheet.find(header) is None:
        return
    for row, subject in zip(sheet.rows, subjects, strict=True):
        if not subject:
            yield Problem(
                "a row without a subject", remedy="name the subject", file=sheet.file, row=str(row), column=header
            )
    for subject in subjects[subjects.duplicated() & subjects.ne("")].unique():
        rows = ", ".join(str(r) for r, s in zip(sheet.rows, subjects, strict=True) if s == subject)
        yield Problem("a subject twice", "one row per subject", "keep one of them", sheet.file, rows, header, subject)


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
            yield Problem(what, "both or neither", "complete it", sheet.file, str(row))


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
            where = Problem(problem.what, problem.expected, problem.remedy, sheet.file, str(row), header, text)
            problems.append(where)
    return pd.Series(values, dtype=object), problems


def _as_typed(values: pd.Series, column: Column) -> pd.Series:
    if column.kind == "number":
        return values.astype(float)
    return pd.Series(pd.Categorical(values, categories=column.levels), index=values.index)
