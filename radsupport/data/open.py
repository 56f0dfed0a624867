"""Open a study: read its clinical table, or feature tables as published, and assign every subject to a cohort.

Every step by which a feature table is cleaned is counted in a log that chapter 01 shows. Nothing is imputed or scaled
here: that happens inside the folds. The only rule that looks at more than one patient is the removal of features that
are mostly missing; it looks at the training cohort alone and never at the outcome.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from radsupport.data.clinical import (
    NOT_RECORDED,
    asked,
    clinical_path,
    clinical_sheet,
    doubled,
    read_clinical,
    typed_table,
)
from radsupport.data.cohort_tables import CohortTables
from radsupport.data.cohorts import build_cohort
from radsupport.data.manifest import study_files
from radsupport.data.notation import EITHER, PLAIN, read_numbers
from radsupport.data.sheets import Sheet, cell_text, disagreements, near_names, read_sheet
from radsupport.errors import ClinicalTableError, InputError, Problem, StudyError, serious
from radsupport.settings.study import Study
from radsupport.study import trained_centers
from radsupport.wording import listed

MOSTLY_MISSING = 0.5
NUMBERS_FOR_MISSING = ("", "nan", "na", "n/a", "null", "none")
EXCEL_ERRORS = ("#div/0!", "#n/a", "#num!", "#value!", "#ref!", "#name?", "#null!")
SUBJECT = "\0subject"
"""Column that two tables are joined by; no sheet has a header like it."""
INFINITE = ("inf", "+inf", "-inf", "infinity", "+infinity", "-infinity")


def open_cohort(study: Study, root: Path = Path()) -> CohortTables:
    """Read a study's clinical table or feature tables and assign every subject to a cohort.

    Parameters
    ----------
    study : Study
    root : Path
        Project root.

    Returns
    -------
    CohortTables
        The contract table `cohort`, everybody left out with the reason, and the feature tables of a
        study that starts from them.

    Raises
    ------
    ManifestError, ClinicalTableError, StudyError, InputError
        Every problem of the source at once.
    """
    if study.data.entry == "features":
        return read_feature_study(study, root)
    files = study_files(study, root)
    return build_cohort(study, read_clinical(study, clinical_path(study, files, root)), files)


SAID = re.compile(
    r"decimal commas, |not in every table|lacks: no value there|very features|row in the clinical table|"
    r"without features: left out|above the header|under no header|empty rows|taken as notes|read with|"
    r"without any feature|errors of Excel"
)
"""Steps of the log that `radsupport check` says as a warning."""


def said(log: pd.DataFrame) -> list[Problem]:
    """Return the steps of a cleaning log that somebody should look at, as warnings."""
    rows = log[(log["count"] > 0) & log["step"].str.contains(SAID)]
    return [
        Problem(f"{row['step']} ({row['count']})", file=row["source"], value=row["detail"], warning=True)
        for row in rows.to_dict("records")
    ]


class Log(list[tuple[str, str, int, str]]):
    """Cleaning steps in the order they were taken: source, step, count, detail."""

    def add(self, source: str, step: str, count: int, detail: str = "") -> None:
        """Keep one step; steps that changed nothing are kept with count 0."""
        self.append((source, step, int(count), detail))


@dataclass(frozen=True)
class RawTable:
    """One published table as text, with the subjects as the book names them."""

    center: str
    sheet: Sheet
    subjects: list[str]


def source_table(
    study: Study, source: str, pattern: re.Pattern[str], raw: list[RawTable], cohort: pd.DataFrame, log: Log
) -> pd.DataFrame:
    """Return the contract table of one source: the cohort's subjects in order, ``<phase>__<name>`` columns."""
    names = _matching(source, pattern, raw, trained_centers(study), log)
    parts = [_numbers(study, one, names, source, log) for one in raw]
    problems = [problem for _, wrong in parts for problem in wrong]
    if problems:
        raise InputError(f"The feature tables of study {study.id} can not be used.", problems)
    table = pd.concat([numbers for numbers, _ in parts]).reindex(cohort["subject"])
    share = table[(cohort["cohort"] == "train").to_numpy()].isna().mean()
    gone = share.index[share > MOSTLY_MISSING].tolist()
    step = f"features missing in more than {MOSTLY_MISSING:.0%} of the training cohort: dropped"
    log.add(source, step, len(gone), ", ".join(gone))
    table = table.drop(columns=gone)
    empty = table.isna().all(axis=1)
    nobody = ", ".join(table.index[empty])
    log.add(source, "subjects without any feature: kept, with a reason", int(empty.sum()), nobody)
    left = int(table[~empty].isna().sum().sum())
    log.add(source, "missing values left, imputed inside the folds", left, f"of {table[~empty].size} values")
    _copies(source, table, cohort, log)
    log.add(source, "features kept", table.shape[1])
    table.columns = [_phased(study, name) for name in table.columns]
    return table.rename_axis("subject").reset_index()


def _copies(source: str, table: pd.DataFrame, cohort: pd.DataFrame, log: Log) -> None:
    """Count the subjects whose features are those of a subject of another cohort, number for number."""
    place = cohort["cohort"].to_numpy()
    known = table.notna().any(axis=1).to_numpy() & (table.shape[1] > 1)
    rows = pd.util.hash_pandas_object(table, index=False).to_numpy()
    of = pd.Series(place[known]).groupby(rows[known]).transform("nunique").to_numpy() > 1
    names = table.index[known][of]
    log.add(source, "subjects with the very features of a subject of another cohort", len(names), ", ".join(names[:10]))


def column_patterns(study: Study) -> dict[str, re.Pattern[str]]:
    """Compile the column pattern of every source."""
    compiled, problems = {}, []
    for source, pattern in study.data.feature_columns.items():
        try:
            compiled[str(source)] = re.compile(pattern)
        except re.error as error:
            where = f"data.feature_columns.{source}"
            problems.append(Problem(f"no regular expression: {error}", "", "correct it", column=where, value=pattern))
    if problems:
        raise StudyError(f"Study {study.id} can not be used.", problems)
    return compiled


def _matching(
    source: str, pattern: re.Pattern[str], raw: list[RawTable], trained: list[str], log: Log
) -> list[str]:  # fmt: skip
    """Return the columns of a source that every table of training has, in the first table's order.

    What another center's table lacks of them has no value there; without training, columns of any table are kept.
    """
    found = {table.center: [name for name in table.sheet.table.columns if pattern.search(name)] for table in raw}
    everything = dict.fromkeys(name for names in found.values() for name in names)
    fitted = [names for center, names in found.items() if center in trained] or [list(everything)]
    common = [name for name in everything if all(name in names for names in fitted)]
    lacks = {center: [name for name in everything if name not in names] for center, names in found.items()}
    shown = "; ".join(f"{center} lacks {', '.join(names[:5])}" for center, names in lacks.items() if names)
    log.add(source, "columns not in every table of training: dropped", len(everything) - len(common), shown)
    for center in [center for center in found if center not in trained]:
        own = [name for name in common if name not in found[center]]
        shown = f"{center} lacks {', '.join(own[:5])}{', …' * (len(own) > 5)}" if own else ""
        log.add(source, f"columns that the table of {center} lacks: no value there", len(own), shown)
    if not common:
        counts = ", ".join(f"{center} {len(names)}" for center, names in found.items())
        columns = ", ".join(raw[0].sheet.table.columns[:10])
        what = f"no column of every table matches (matching columns: {counts})"
        problem = Problem(what, f"some of {columns}, ...", "correct the pattern", value=pattern.pattern)
        raise InputError(f"Feature source {source} is empty.", [problem])
    return common


def _numbers(
    study: Study, table: RawTable, names: list[str], source: str, log: Log
) -> tuple[pd.DataFrame, list[Problem]]:
    """Turn text into numbers; what is missing or infinite becomes NaN and is counted, what is no number is refused."""
    codes = {*NUMBERS_FOR_MISSING, *EXCEL_ERRORS, *(cell_text(code).casefold() for code in study.data.missing_values)}
    columns, place, problems = {}, f"{table.center}, {source}", []
    found = {"missing values": 0, "infinite values: set to missing": 0, "errors of Excel: set to missing": 0}
    rewritten = 0
    for name in names:
        if name not in table.sheet.table:
            columns[name] = pd.Series(np.nan, table.sheet.table.index)
            continue
        values, wrong, counts, other = _feature(study, table.sheet, name, codes)
        columns[name], rewritten = values, rewritten + other
        problems += wrong
        for step, count in zip(found, counts, strict=True):
            found[step] += count
    for step, count in found.items():
        log.add(place, step, count)
    log.add(place, "columns with decimal commas, thousands or brackets", rewritten)
    index = pd.Index(table.subjects, dtype=object)
    return pd.DataFrame(columns).set_axis(index), _by_cause(problems, table.sheet.file)


def _feature(
    study: Study, sheet: Sheet, name: str, codes: set[str]
) -> tuple[pd.Series, list[Problem], tuple[int, int, int], bool]:
    """Return a column's numbers, problems, cells missing, infinite and with an error, and whether it was rewritten."""
    text = sheet.table[name]
    plain = None if study.data.decimal else _plain(text, codes)
    if plain is not None:
        return plain[0], [], (plain[1], 0, 0), False
    lower = text.str.casefold()
    infinite, errors = lower.isin(INFINITE), lower.isin(EXCEL_ERRORS)
    missing = (lower.isin(codes) | lower.map(cell_text).isin(codes)) & ~errors
    texts = text[~(missing | infinite | errors)]
    given, _, why = read_numbers(texts, sheet.marks, study.data.decimal)
    values = pd.to_numeric(given, errors="coerce").astype(float).reindex(text.index)
    infinite |= np.isinf(values)
    odd = values.isna() & ~missing & ~infinite & ~errors
    problems = [asked(sheet, name, why)] if why else []
    if odd.any() and not why:
        what, remedy = "cells that are no number", "correct them, or list the code under `missing_values`"
        rows = [str(sheet.rows[i]) for i in np.flatnonzero(odd)]
        problems.append(
            sheet.problem(what, "a number", remedy, ", ".join(rows), name, "; ".join(text[odd].unique()[:3]))
        )
    counts = int(missing.sum()), int(infinite.sum()), int(errors.sum())
    return values.mask(infinite), problems, counts, bool(given.ne(texts).any())


def _plain(text: pd.Series, codes: set[str]) -> tuple[pd.Series, int] | None:
    """Return a column's numbers and how many are missing, at once; None where a cell has to be looked at closely."""
    cells = text.tolist()
    sure = {cell for cell in cells if PLAIN.fullmatch(cell)}
    others = set(cells) - sure
    doubtful = {cell for cell in others if EITHER["."].fullmatch(cell)}
    gone = {
        cell for cell in others if {cell.casefold(), cell_text(cell.casefold())} & codes - {*EXCEL_ERRORS, *INFINITE}
    }
    known = not doubtful or any("." in cell for cell in sure)  # that the point is no thousands mark
    written = {*sure, *doubtful, *(cell_text(cell) for cell in sure | doubtful if cell[-1] == "0")}
    if others - doubtful - gone or not known or not codes.isdisjoint(written):
        return None
    missing = text.isin(gone)
    values = pd.to_numeric(text[~missing], errors="coerce").astype(float)
    return (values.reindex(text.index), int(missing.sum())) if np.isfinite(values).all() else None


def _by_cause(problems: list[Problem], file: str) -> list[Problem]:
    """Join the problems of many columns that have one cause."""
    joined = []
    for what, remedy in dict.fromkeys((p.what, p.remedy) for p in problems):
        same = [p for p in problems if (p.what, p.remedy) == (what, remedy)]
        columns = [p.column for p in same]
        shown = ", ".join(columns[:3]) + (f", … ({len(columns)} columns)" if len(columns) > 3 else "")
        rows = list(dict.fromkeys(row for p in same for row in p.row.split(", ") if row))
        at = ", ".join(rows[:10]) + (f", … ({len(rows)} rows)" if len(rows) > 10 else "")
        values = "; ".join(dict.fromkeys(p.value for p in same[:3] if p.value))
        joined.append(Problem(what, same[0].expected, remedy, file, at, shown, values))
    return joined


def _phased(study: Study, name: str) -> str:
    """Return ``<phase>__<name>``; the phase is the study's only one, or already in the name."""
    phases = list(study.phases) or ["ct"]
    if name.split("__")[0] in phases and "__" in name:
        return name
    if len(phases) > 1:
        problem = Problem("a feature without a phase", f"<phase>__{name} with one of {', '.join(phases)}", value=name)
        raise StudyError(f"Study {study.id} has several phases.", [problem])
    return f"{phases[0]}__{name}"


def read_feature_study(study: Study, root: Path = Path()) -> CohortTables:
    """Read the feature tables of a study and everything that the cohort needs from them.

    Parameters
    ----------
    study : Study
        `data.feature_tables` maps centers to files, `data.feature_columns` sources to column patterns.
    root : Path
        Project root.

    Returns
    -------
    CohortTables
        `cohort` and `excluded`; `features`, one contract table per source with the cohort's subjects in
        its order and columns ``<phase>__<name>``; `log`: source (center or feature source), step,
        count, detail.

    Raises
    ------
    InputError
        A file is missing or no table, no column matches a source's pattern, a subject is named twice.
    ClinicalTableError
        Outcome or clinical columns are missing or hold impossible values; of all tables at once.
    StudyError
        A pattern is no regular expression, or the study has several phases while its columns name none.
    """
    log, patterns = Log(), column_patterns(study)
    files = study_files(study, root)
    raw = [_read(study, center, path, files, log) for center, path in study.data.feature_tables.items()]
    raw = _distinct(raw, log)
    beside = _beside(study, files, root)
    tables = build_cohort(study, _clinical(study, raw, list(patterns.values()), beside, log))
    reasons = "; ".join(f"{reason}: {n}" for reason, n in tables.excluded["reason"].value_counts().items())
    log.add("all", "subjects left out", len(tables.excluded), reasons)
    features = {name: source_table(study, name, one, raw, tables.cohort, log) for name, one in patterns.items()}
    return dataclasses.replace(tables, features=features, log=pd.DataFrame(log, columns=list(tables.log.columns)))


def _read(study: Study, center: str, path: str, files: pd.DataFrame, log: Log) -> RawTable:
    """Read one table as text and give every row an id."""
    found = files.loc[files["path"] == path, "file"].tolist()
    file = str(found[0]) if found else path
    if not found or not Path(file).is_file():
        remedy = "fetch the study" if found else "add it to the manifest"
        expected = "" if found else f"one of its paths, such as {listed(files['path'].tolist(), 4)}"
        problem = Problem("no such file", expected, remedy, file=file, column="feature_tables", value=path)
        raise InputError("A feature table can not be read.", [problem])
    sheet = read_sheet(
        Path(file), [study.data.sheet] * bool(study.data.sheet), study.data.subject, study.data.header_row
    )
    if (header := sheet.find(study.data.subject)) is None:
        raise InputError("A feature table can not be read.", [sheet.missing(study.data.subject)])
    log.add(center, "rows read", len(sheet.table), Path(file).name)
    log.add(center, "columns read", sheet.table.shape[1])
    log.add(center, "ids with spaces around them: stripped", sheet.padded)
    for remark in sheet.remarks:
        log.add(center, remark.what, 1, remark.value)
    return RawTable(center, sheet, _ids(study, center, sheet, header, log))


def _ids(study: Study, center: str, sheet: Sheet, header: str, log: Log) -> list[str]:
    """Name rows without an id after their row, counting them."""
    stripped = sheet.table[header].map(cell_text)
    missing = {value.casefold() for value in study.data.missing_values} | {""}
    empty = stripped.str.casefold().isin(missing)
    rows = [str(row) for row in sheet.rows]
    named = [f"{center}_row{row}" if gone else text for text, gone, row in zip(stripped, empty, rows, strict=True)]
    places = ", ".join(row for row, gone in zip(rows, empty, strict=True) if gone)
    log.add(center, "rows without an id: named after their row", int(empty.sum()), f"rows {places}" if places else "")
    return named


def _distinct(raw: list[RawTable], log: Log) -> list[RawTable]:
    """Put the center before ids that are bare numbers, where there are several tables."""
    renamed = [] if len(raw) > 1 else raw
    for table in raw if len(raw) > 1 else ():
        bare = [subject for subject in table.subjects if subject.isdigit()]
        width = max(map(len, bare), default=0)
        subjects = [f"{table.center}_{one.zfill(width)}" if one.isdigit() else one for one in table.subjects]
        log.add(table.center, "ids that are bare numbers: center put before", len(bare))
        renamed.append(dataclasses.replace(table, subjects=subjects))
    everybody = pd.Series([subject for table in renamed for subject in table.subjects])
    twice = everybody[everybody.duplicated()].unique()
    if len(twice):
        shown = ", ".join(map(str, twice[:5])) + (f", … ({len(twice)} subjects)" if len(twice) > 5 else "")
        problem = Problem("a subject twice", "one row per subject", "keep one of them", value=shown)
        raise InputError("The feature tables name subjects more than once.", [problem])
    return renamed


def _clinical(
    study: Study, raw: list[RawTable], patterns: list[re.Pattern[str]], beside: Sheet | None, log: Log
) -> pd.DataFrame:
    """Type outcome and clinical columns of all tables, and of the clinical table beside them; all problems at once."""
    parts: list[pd.DataFrame] = []
    problems: list[Problem] = []
    for table in raw:
        cells, file = _needed(study, table.sheet.table, patterns), table.sheet.file
        if beside is not None:
            cells, wrong = _joined_by_subject(study, table, cells, beside, log)
            problems, file = problems + wrong, f"{file} with {beside.file}"
        cells = cells.assign(**{study.data.subject: table.subjects, study.data.center: table.center})
        sheet = dataclasses.replace(table.sheet, table=cells, file=file)
        typed, wrong = typed_table(study, sheet, gaps=table.center not in trained_centers(study))
        absent = [problem.column for problem in wrong if problem.what == NOT_RECORDED]
        step = f"columns that the table of {table.center} lacks: no value there"
        log.add("clinical", step, len(absent), ", ".join(absent))
        parts.append(typed.drop(columns="row"))
        problems += wrong
    if serious(problems):
        raise ClinicalTableError(f"The tables of study {study.id} can not be used.", serious(problems))
    return pd.concat(parts, ignore_index=True)


def _beside(study: Study, files: pd.DataFrame, root: Path) -> Sheet | None:
    """Return the clinical table beside the feature tables, where the study or its manifest names one."""
    if not study.data.clinical and not (files["role"] == "clinical").any():
        return None
    return clinical_sheet(study, clinical_path(study, files, root))


def _joined_by_subject(
    study: Study, table: RawTable, cells: pd.DataFrame, beside: Sheet, log: Log
) -> tuple[pd.DataFrame, list[Problem]]:
    """Add the columns of the clinical table to those of a feature table, by the subjects' names in the files."""
    header = beside.find(study.data.subject)
    if header is None:
        return cells, [beside.missing(study.data.subject)]
    clinical, center = beside.table, beside.find(study.data.center)
    if center is not None:
        clinical = clinical[clinical[center] == table.center].drop(columns=center)
    clinical = clinical.rename(columns={header: SUBJECT}).assign(**{SUBJECT: clinical[header].map(cell_text)})
    problems = list(
        doubled(dataclasses.replace(beside, rows=list(clinical.index + 2)), clinical[SUBJECT], header, "keep one")
    )
    own = table.sheet.table[table.sheet.find(study.data.subject)].map(cell_text)
    known = set(clinical[SUBJECT])
    names = [name if name in known else renamed for name, renamed in zip(own, table.subjects, strict=True)]
    left = cells.assign(**{SUBJECT: names})
    problems += [*disagreements(left, clinical, SUBJECT, beside), *near_names(left, clinical, SUBJECT, beside)]
    if problems:
        return cells, problems
    absent = [name for name in names if name not in known]
    log.add(table.center, "subjects without a row in the clinical table", len(absent), ", ".join(absent[:10]))
    lost = sorted(known - set(names))
    log.add(table.center, "subjects of the clinical table without features: left out", len(lost), ", ".join(lost[:10]))
    new = [SUBJECT, *(name for name in clinical.columns if name not in left.columns)]
    return left.merge(clinical[new], on=SUBJECT, how="left").fillna("").drop(columns=SUBJECT), []


def _needed(study: Study, cells: pd.DataFrame, patterns: list[re.Pattern[str]]) -> pd.DataFrame:
    """Return the columns that belong to no feature source: outcome, clinical variables."""
    taken = {name for name in cells.columns for pattern in patterns if pattern.search(name)}
    label, survival = study.endpoint.label, study.endpoint.survival
    named = {label.column} if label else set()
    named |= {survival.time, survival.event} if survival else set()
    named |= {survival.dates.start, survival.dates.end} if survival and survival.dates else set()
    named |= {column.column or name for name, column in study.columns.items()}
    return cells[[name for name in cells.columns if name not in taken or name in named]]
