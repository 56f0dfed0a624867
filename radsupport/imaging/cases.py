"""Chapter 02, first step: find each case's files and preprocess what is new or changed."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from radsupport.cohort.manifest import study_files
from radsupport.errors import ManifestError
from radsupport.imaging.prepared import prepare_cases
from radsupport.study_schema import Study

ROLES = ("image", "mask", "mask_reader2", "roi_rough", "samples")


def case_files(study: Study, root: Path = Path()) -> pd.DataFrame:
    """Return one row per subject and phase with the path of each of its files.

    Returns
    -------
    pandas.DataFrame
        subject, center, phase and a column per role of `ROLES` (path as text, "" where there is none).

    Raises
    ------
    ManifestError
        The manifest names no image of this study.
    """
    files = study_files(study, root)
    files = files[files["role"].isin(ROLES) & (files["exclusion"] == "")]
    if files.empty:
        raise ManifestError(f"The manifest names no image of study {study.id}; see README, Bring your own scans.")
    wide = files.assign(file=files["file"].astype(str)).pivot_table(
        index=["subject", "center", "phase"], columns="role", values="file", aggfunc="first", fill_value=""
    )
    return wide.reindex(columns=list(ROLES), fill_value="").reset_index().rename_axis(columns=None)


class CasesTable(NamedTuple):
    """The table `cases`, and how many cases were taken from an earlier run because nothing had changed."""

    cases: pd.DataFrame
    reused: int


def preprocess_cases(
    study: Study, cohort: pd.DataFrame, out: Path, root: Path = Path(), n_jobs: int = 1, progress: bool = True
) -> CasesTable:
    """Preprocess every case of the cohort's subjects that is new or changed, and return the cases table.

    Parameters
    ----------
    study : Study
    cohort : pandas.DataFrame
        Table `cohort`; cases of other subjects are left alone.
    out : Path
        Folder for the preprocessed images and masks.
    root : Path
        Project root.
    n_jobs : int
        Cases at once.
    progress : bool

    Returns
    -------
    CasesTable
        Table `cases`: one row per subject and phase; a case that can not be used has its reason in
        ``exclusion``. A subject of the cohort without files for a phase is such a case.
    """
    files = case_files(study, root)
    unlabelled = cohort["cohort"] == "segmentation"
    wanted = cohort.loc[~unlabelled, ["subject"]].merge(pd.Series(list(study.phases), name="phase"), how="cross")
    extra = files.loc[files["subject"].isin(cohort.loc[unlabelled, "subject"]), ["subject", "phase"]]
    found = pd.concat([wanted, extra], ignore_index=True).merge(files, on=["subject", "phase"], how="left")
    missing = found["image"].fillna("") == ""
    given = [{str(key): value for key, value in row.items()} for row in found[~missing].to_dict("records")]
    done = prepare_cases(given, study.preprocessing, out, n_jobs, progress)
    absent = found.loc[missing, ["subject", "phase"]].assign(exclusion="no image in the manifest")
    cases = pd.concat([pd.DataFrame(done.rows), absent], ignore_index=True)
    for column in ("image", "mask", "mask_reader2", "roi_rough"):
        cases[column] = pd.Series(
            [path if isinstance(path, str) and path else None for path in cases[column]], dtype=object
        )
    return CasesTable(cases.merge(cohort[["subject", "cohort"]], on="subject", how="left"), done.reused)
