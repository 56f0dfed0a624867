"""Check a clinical table: against a study file, or for what is wrong in any study."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd

from radsupport.cohort.clinical import parse_clinical
from radsupport.cohort.sheets import Sheet, read_sheet
from radsupport.errors import Problem
from radsupport.study_schema import Study

MISSING_CODES = ("na", "n/a", "--", "unknown")
OUTCOMES = ("label", "event")
LIMITS = {"age": (0.0, 120.0), "time": (0.0, math.inf)}
MOSTLY_NUMBERS = 0.8


def check_typed_sheet(study: Study, path: Path, centers: Mapping[str, str]) -> list[Problem]:
    """Check the clinical table as the study file types it.

    Parameters
    ----------
    study : Study
    path : Path
    centers : mapping
        Subjects of the manifest with their center.

    Returns
    -------
    list of Problem
        Everything `read_clinical` would refuse; empty cells of subjects in the manifest; subjects without
        the primary outcome; centers that differ from the manifest's.

    Raises
    ------
    ClinicalTableError
        The file can not be read at all.
    """
    table, problems = parse_clinical(study, path)
    named = study.data.clinical_sheet
    sheet = read_sheet(path, [named] if isinstance(named, str) and named else list(named), study.data.subject)
    problems += _empty_cells(study, sheet, table, centers)
    outcome = {sheet.find(header) for header in _outcome_headers(study)}
    reported = {problem.row for problem in problems if problem.column in outcome}
    problems += _without_outcome(study, table, centers, reported, sheet.file)
    for row in table[table["center"] != ""].to_dict("records"):
        center = centers.get(row["subject"], row["center"])
        if center != row["center"]:
            what, expected = "another center than in the manifest", f"{center}, as in the manifest"
            problems.append(
                Problem(
                    what, expected, "correct one of them", sheet.file, str(row["row"]), study.data.center, row["center"]
                )
            )
    return problems


def _outcome_headers(study: Study) -> list[str]:
    label, survival = study.endpoint.label, study.endpoint.survival
    if study.endpoint.primary == "label":
        return [label.column] if label else []
    return [survival.time, survival.event] if survival else []


def _empty_cells(study: Study, sheet: Sheet, table: pd.DataFrame, centers: Mapping[str, str]) -> Iterator[Problem]:
    codes = ", ".join(repr(code) for code in study.data.missing_values if code) or "a code listed in `missing_values`"
    for name, column in study.columns.items():
        header = sheet.find(column.column or name)
        if header is None:
            continue
        for row, subject, text in zip(sheet.rows, table["subject"], sheet.table[header], strict=True):
            if text == "" and (subject in centers or not centers):
                remedy = f"enter the value; if it is not known, say so by {codes}"
                yield Problem("an empty cell", "a value", remedy, sheet.file, str(row), header, f"subject {subject}")


def _without_outcome(
    study: Study, table: pd.DataFrame, centers: Mapping[str, str], reported: set[str], file: str
) -> Iterator[Problem]:
    """Yield subjects of the manifest without the primary outcome; impossible outcomes were reported before."""
    needed = ["label"] if study.endpoint.primary == "label" else ["time", "event"]
    unlabelled = set(study.cohorts["segmentation"].centers) if "segmentation" in study.cohorts else set()
    complete = table.reindex(columns=needed).notna().all(axis=1)
    rows = dict(zip(table["subject"], table["row"].astype(str), strict=True))
    known = set(table.loc[complete, "subject"])
    for subject in [s for s, center in centers.items() if center not in unlabelled and s not in known]:
        row = rows.get(subject, "")
        what = f"subject {subject} has no outcome" if row else f"subject {subject} is not in the clinical table"
        if row not in reported or not row:
            remedy = "enter it, or exclude the subject with a reason in the manifest's column exclusion"
            yield Problem(what, f"a value of {' and '.join(needed)}", remedy, file, row, value=subject)


def check_sheet(path: Path, subjects: Sequence[str]) -> list[Problem]:
    """Check a clinical table without a study file.

    Parameters
    ----------
    path : Path
    subjects : sequence of str
        Those of the manifest.

    Returns
    -------
    list of Problem
        Doubled subjects; missing and infinite cells; text in a column of numbers; ages outside 0 to 120 years
        and negative times; labels and events other than 0 and 1; subjects without outcome, which is looked for
        in the columns label, or time and event.

    Raises
    ------
    ClinicalTableError
        The file can not be read at all.
    """
    sheet = read_sheet(path)
    header = sheet.find("subject")
    if header is None:
        return [sheet.missing("subject")]
    names = sheet.table[header]
    problems = []
    for value in names[names.duplicated() & names.ne("")].unique():
        rows = ", ".join(str(r) for r, s in zip(sheet.rows, names, strict=True) if s == value)
        problems.append(
            Problem("a subject twice", "one row per subject", "keep one", sheet.file, rows, header, str(value))
        )
    for column in sheet.table.columns:
        problems += _column_problems(sheet, str(column))
    return problems + list(_outcome_problems(sheet, names, subjects))


def _column_problems(sheet: Sheet, column: str) -> Iterator[Problem]:
    values = sheet.table[column]
    given = values[~values.str.casefold().isin([*MISSING_CODES, "", "nan", "inf", "-inf"])]
    numbers = pd.to_numeric(given, errors="coerce")
    numeric = len(given) > 0 and float(numbers.notna().mean()) >= MOSTLY_NUMBERS
    name = column.strip().casefold()
    outcome = name in ("label", "time", "event")
    for row, text in zip(sheet.rows, values, strict=True):
        where = {"file": sheet.file, "row": str(row), "column": column, "value": text}
        if text == "" and not outcome:
            yield Problem("an empty cell", "a value", "enter it; if it is not known, write NA", **where)
        elif text.casefold() in ("nan", "inf", "-inf"):
            yield Problem("not a finite number", "a number", "enter the value; if it is not known, write NA", **where)
        elif numeric and text and text.casefold() not in MISSING_CODES:
            yield from _number_problems(name, text, where)


def _number_problems(name: str, text: str, where: dict[str, str]) -> Iterator[Problem]:
    value = pd.to_numeric(text, errors="coerce")
    low, high = LIMITS.get(name, (-math.inf, math.inf))
    if pd.isna(value):
        yield Problem("text in a column of numbers", "a number", "correct it", **where)
    elif name in OUTCOMES and value not in (0, 1):
        yield Problem("an impossible outcome", "0 or 1", "recode it, 1 being the event", **where)
    elif not low <= value <= high:
        limits = f"{low:g} to {high:g}" if math.isfinite(high) else f"{low:g} or more"
        yield Problem("an impossible value", limits, "correct it", **where)


def _outcome_problems(sheet: Sheet, names: pd.Series, subjects: Sequence[str]) -> Iterator[Problem]:
    found = {name: sheet.find(name) for name in ("label", "time", "event")}
    sets = [[found["label"]], [found["time"], found["event"]]]
    complete = [columns for columns in sets if None not in columns]
    if not complete:
        remedy = "name your columns in a study file and give it by --study"
        yield Problem("no outcome", "a column label, or time and event", remedy, sheet.file, "1")
        return
    present = pd.Series(False, names.index)
    for columns in complete:
        given = sheet.table[columns].apply(lambda column: ~column.str.casefold().isin([*MISSING_CODES, "", "nan"]))
        present |= given.all(axis=1)
    rows = dict(zip(names, sheet.rows, strict=True))
    with_outcome = set(names[present])
    for subject in [*subjects, *(name for name in names if name and name not in subjects)]:
        if subject not in with_outcome:
            what = "has no outcome" if subject in rows else "is not in the clinical table"
            remedy = "enter it, or leave the subject out"
            where = str(rows.get(subject, ""))
            yield Problem(
                f"subject {subject} {what}", "label, or time and event", remedy, sheet.file, where, value=str(subject)
            )
