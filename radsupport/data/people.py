"""Everybody whom a study names, in the cohort or not: who has to be hidden on a page, and looked for on a site."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from radsupport.data.clinical import clinical_path, clinical_sheet
from radsupport.data.manifest import study_files
from radsupport.data.sheets import Sheet, read_sheet
from radsupport.settings.study import Study
from radsupport.study import StudyPaths


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
    for sheet in sheets_of(study, files, root) if sheets is None else sheets:
        header = sheet.find(study.data.subject)
        named |= set(map(str, sheet.table[header])) if header else set()
    return {one.strip() for one in named if one.strip()}


def sheets_of(study: Study, files: pd.DataFrame, root: Path = Path()) -> list[Sheet]:
    """Return the tables of a study that are on this machine; `files` as `study_files` returns them."""
    tables = files.loc[files["role"] == "features", "file"]
    found = [read_sheet(path, subject=study.data.subject) for path in tables if path.is_file()]
    if study.data.entry == "images" or study.data.clinical or (files["role"] == "clinical").any():
        path = clinical_path(study, files, root)
        found += [clinical_sheet(study, path)] if path.is_file() else []
    return found
