"""Everybody whom a study names, in the cohort or not: who has to be hidden on a page, and looked for on a site.

Beside the manifest of converted scans lies the key of their pseudonyms.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from radsupport.data.clinical import clinical_path, clinical_sheet
from radsupport.data.manifest import manifest_path, study_files
from radsupport.data.sheets import Sheet, core_name, read_cells, read_sheet, unreadable
from radsupport.errors import InputError, Problem
from radsupport.files import write_csv
from radsupport.settings.study import Study
from radsupport.study import StudyPaths

KEY = "key.csv"
PERSONAL = re.compile(
    r"name|mrn|birth|\bborn\b|\bdob\b|address|street|phone|mail|insur|\bgeb\b|geburt|adress|stra(ß|ss)e|telefon|versich"
    r"|remark|comment|\bnotes?\b|bemerk|anmerk|kommentar|notiz",
    re.IGNORECASE,
)
"""Headers of columns that name people or tell of them in free words."""


def pseudonyms(subjects: Iterable[str], key: Path) -> dict[str, str]:
    """Return a running pseudonym for every subject, as the key file has them; new ones are added to it.

    Parameters
    ----------
    subjects : iterable of str
    key : Path
        CSV with the columns pseudonym, subject. Whoever holds it knows who is who.

    Raises
    ------
    InputError
        The file is no such table, or names a pseudonym or a subject twice.
    """
    known = read_key(Path(key))
    names = dict(zip(known["subject"], known["pseudonym"], strict=True))
    numbers = [int(name[1:]) for name in names.values() if name[1:].isdigit()]
    new = [one for one in dict.fromkeys(subjects) if one not in names]
    names |= {one: f"P{number:03d}" for number, one in enumerate(new, start=max(numbers, default=0) + 1)}
    if new:
        write_csv(pd.DataFrame({"pseudonym": list(names.values()), "subject": list(names)}), Path(key))
    return names


def pseudonymised(table: Path, column: str, key: Path) -> pd.DataFrame:
    """Return a clinical table with pseudonyms in the place of subjects, every other cell as it is.

    Parameters
    ----------
    table : Path
        CSV or workbook.
    column : str
        Its column of subjects, named in the result as here.
    key : Path
        Subjects it does not know get a pseudonym there too, unless one that it knows, and no other, is written alike
        but for what a spreadsheet loses: zeros in front, spaces, case.

    Raises
    ------
    ClinicalTableError
        The table can not be read, or has no such column.
    InputError
        See `pseudonyms`.
    """
    sheet = read_sheet(Path(table), subject=column)
    header = sheet.find(column)
    if header is None:
        raise unreadable(sheet.missing(column))
    written = sheet.table[header].map(as_known(read_key(Path(key))["subject"], sheet.table[header]))
    names = pseudonyms(written, Path(key))
    return sheet.table.assign(**{header: written.map(names)}).rename(columns={header: column})


def as_known(known: Iterable[str], given: Iterable[str]) -> dict[str, str]:
    """Return each given subject as the known ones are written, where one, and only one, is the same name."""
    exact, written = set(known), set(given)
    by_core: dict[str, set[str]] = {}
    for one in exact | written:
        by_core.setdefault(core_name(one), set()).add(one)
    alike = {one: by_core[core_name(one)] & exact for one in written - exact if len(by_core[core_name(one)]) == 2}
    return {one: one for one in written} | {one: next(iter(other)) for one, other in alike.items() if other}


def read_key(key: Path) -> pd.DataFrame:
    """Return the pseudonyms of a key file and whose they are; no rows where there is no file.

    Raises
    ------
    InputError
        See `pseudonyms`.
    """
    if not key.is_file():
        return pd.DataFrame({"pseudonym": [], "subject": []}, dtype=str)
    cells, _ = read_cells(key)
    known = cells.iloc[1:].set_axis(list(cells.iloc[0]), axis=1)
    if list(known.columns) != ["pseudonym", "subject"] or any(known[name].duplicated().any() for name in known):
        problem = Problem("no key of pseudonyms", "columns pseudonym, subject, each name once", file=str(key))
        raise InputError("The key can not be used.", [problem])
    return known


def known_subjects(results: Path) -> set[str]:
    """Return the ids of those in the cohort and of those left out, as chapter 01 wrote them."""
    inside, outside = results / "cohort.parquet", results / "cohort_excluded.csv"
    named = set(pd.read_parquet(inside, columns=["subject"])["subject"]) if inside.is_file() else set()
    return named | (set(pd.read_csv(outside, dtype=str)["subject"].dropna()) if outside.is_file() else set())


def subjects_of(study: Study, root: Path = Path(), sheets: Iterable[Sheet] | None = None) -> set[str]:
    """Return the ids of everybody whom the manifest, the tables and the results of a study name.

    Parameters
    ----------
    study : Study
    root : Path
        Project root.
    sheets : iterable of Sheet, optional
        What `sheets_of` returned, where that was read already.

    Raises
    ------
    ManifestError, ClinicalTableError
        The manifest or a table can not be read.
    """
    files = study_files(study, root)
    named = set(files["subject"]) | known_subjects(StudyPaths(study.id, root).results)
    named |= set(read_key(manifest_path(study, root).with_name(KEY))["subject"])
    for sheet in sheets_of(study, files, root) if sheets is None else sheets:
        header = sheet.find(study.data.subject)
        named |= set(map(str, sheet.table[header])) if header else set()
    return {one.strip() for one in named if one.strip()}


def sheets_of(study: Study, files: pd.DataFrame, root: Path = Path()) -> list[Sheet]:
    """Return the tables of a study that are on this machine; `files` as `study_files` returns them."""
    tables = files.loc[files["role"] == "features", "file"]
    options = ([study.data.sheet] * bool(study.data.sheet), study.data.subject, study.data.header_row)
    found = [read_sheet(path, *options) for path in tables if path.is_file()]
    if study.data.entry == "images" or study.data.clinical or (files["role"] == "clinical").any():
        path = clinical_path(study, files, root)
        found += [clinical_sheet(study, path)] if path.is_file() else []
    return found
