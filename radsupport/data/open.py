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

from radsupport.data.clinical import Sheet, cell_text, clinical_path, read_clinical, typed_table
from radsupport.data.cohort_tables import CohortTables
from radsupport.data.cohorts import build_cohort
from radsupport.data.manifest import study_files
from radsupport.errors import ClinicalTableError, InputError, Problem, StudyError, serious
from radsupport.settings.study import Study

MOSTLY_MISSING = 0.5
NUMBERS_FOR_MISSING = ("", "nan", "na", "n/a", "null", "none")
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


class Log(list[tuple[str, str, int, str]]):
    """Cleaning steps in the order they were taken: source, step, count, detail."""

    def add(self, source: str, step: str, count: int, detail: str = "") -> None:
        """Keep one step; steps that changed nothing are kept with count 0."""
        self.append((source, step, int(count), detail))


@dataclass(frozen=True)
class RawTable:
    """One published table as text, with the subjects as the book names them."""

    center: str
    file: str
    cells: pd.DataFrame
    subjects: list[str]


def source_table(
    study: Study, source: str, pattern: re.Pattern[str], raw: list[RawTable], cohort: pd.DataFrame, log: Log
) -> pd.DataFrame:
    """Return the contract table of one source: the cohort's subjects in order, ``<phase>__<name>`` columns."""
    names = _matching(source, pattern, raw, log)
    table = pd.concat([_numbers(one, names, source, log) for one in raw]).reindex(cohort["subject"])
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
    log.add(source, "features kept", table.shape[1])
    table.columns = [_phased(study, name) for name in table.columns]
    return table.rename_axis("subject").reset_index()


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


def _matching(source: str, pattern: re.Pattern[str], raw: list[RawTable], log: Log) -> list[str]:
    """Return the columns of a source that every table has, in the first table's order."""
    found = [[name for name in table.cells.columns if pattern.search(name)] for table in raw]
    common = [name for name in found[0] if all(name in names for names in found)]
    partial = sorted({name for names in found for name in names} - set(common))
    log.add(source, "columns not in every table: dropped", len(partial), ", ".join(partial[:10]))
    if not common:
        expected, what = f"some of {', '.join(raw[0].cells.columns[:10])}, ...", "no column of every table matches"
        problem = Problem(what, expected, "correct the pattern", value=pattern.pattern)
        raise InputError(f"Feature source {source} is empty.", [problem])
    return common


def _numbers(table: RawTable, names: list[str], source: str, log: Log) -> pd.DataFrame:
    """Turn text into numbers; what is missing, infinite or no number becomes NaN and is counted."""
    text = table.cells[names].apply(lambda column: column.str.strip())
    lower = text.apply(lambda column: column.str.casefold())
    missing, infinite = lower.isin(NUMBERS_FOR_MISSING), lower.isin(INFINITE)
    values = text.mask(missing | infinite).apply(pd.to_numeric, errors="coerce").astype(float)
    infinite |= np.isinf(values)
    odd = values.isna() & ~missing & ~infinite
    place = f"{table.center}, {source}"
    log.add(place, "missing values", int(missing.sum().sum()))
    log.add(place, "infinite values: set to missing", int(infinite.sum().sum()))
    examples = ", ".join(dict.fromkeys(text.to_numpy()[odd.to_numpy()][:5]))
    log.add(place, "cells that are no number: set to missing", int(odd.sum().sum()), examples)
    return values.mask(infinite).set_axis(pd.Index(table.subjects, dtype=object))


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
    tables = build_cohort(study, _clinical(study, raw, list(patterns.values())))
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
        raise InputError("A feature table can not be read.", [Problem("no such file", remedy=remedy, file=file)])
    try:
        cells = pd.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (ValueError, OSError) as error:  # pandas' parser and decoding errors, damaged gzip
        raise InputError("A feature table can not be read.", [Problem(f"no CSV table: {error}", file=file)]) from error
    cells.columns = [str(name).strip() for name in cells.columns]
    if study.data.subject not in cells:
        near = Sheet(cells, [], [], file).missing(study.data.subject)
        raise InputError("A feature table can not be read.", [near])
    log.add(center, "rows read", len(cells), Path(file).name)
    log.add(center, "columns read", cells.shape[1])
    return RawTable(center, file, cells, _ids(study, center, cells[study.data.subject], log))


def _ids(study: Study, center: str, raw: pd.Series, log: Log) -> list[str]:
    """Strip ids and name rows without one after their row, counting both."""
    stripped = raw.map(cell_text)
    missing = {value.casefold() for value in study.data.missing_values} | {""}
    empty = stripped.str.casefold().isin(missing)
    log.add(center, "ids with spaces around them: stripped", int(((raw != raw.str.strip()) & ~empty).sum()))
    rows = [str(i + 2) for i in range(len(raw))]
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
        problems = [Problem("a subject twice", "one row per subject", "keep one of them", value=str(v)) for v in twice]
        raise InputError("The feature tables name subjects more than once.", problems)
    return renamed


def _clinical(study: Study, raw: list[RawTable], patterns: list[re.Pattern[str]]) -> pd.DataFrame:
    """Type outcome and clinical columns of all tables; collect all problems first."""
    parts, problems = [], []
    for table in raw:
        cells = _needed(study, table.cells, patterns).map(cell_text)
        cells = cells.assign(**{study.data.subject: table.subjects, study.data.center: table.center})
        typed, wrong = typed_table(study, Sheet(cells, [i + 2 for i in range(len(cells))], [], table.file))
        parts.append(typed.drop(columns="row"))
        problems += wrong
    if serious(problems):
        raise ClinicalTableError(f"The tables of study {study.id} can not be used.", serious(problems))
    return pd.concat(parts, ignore_index=True)


def _needed(study: Study, cells: pd.DataFrame, patterns: list[re.Pattern[str]]) -> pd.DataFrame:
    """Return the columns that belong to no feature source: outcome, clinical variables."""
    taken = {name for name in cells.columns for pattern in patterns if pattern.search(name)}
    label, survival = study.endpoint.label, study.endpoint.survival
    named = {label.column} if label else set()
    named |= {survival.time, survival.event} if survival else set()
    named |= {column.column or name for name, column in study.columns.items()}
    return cells[[name for name in cells.columns if name not in taken or name in named]]
