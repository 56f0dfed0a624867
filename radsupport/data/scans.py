"""Chapter 02, first step: find each case's files and preprocess what is new or changed.

How scans differ between centers: voxel size, slice thickness, noise, HU of the tumour.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from radsupport.data.manifest import study_files
from radsupport.errors import ManifestError
from radsupport.imaging.preprocessing import prepare_cases
from radsupport.settings.study import Study

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


QUANTITIES = {
    "spacing_z_mm": ("Slice thickness", "mm"),
    "spacing_x_mm": ("Pixel", "mm"),
    "noise_hu": ("Noise", "HU"),
    "hu_mean": ("Mean HU of the tumour", "HU"),
}


def center_table(cases: pd.DataFrame) -> pd.DataFrame:
    """Summarise per center and phase how the scans were made: cases, voxel size (mm), noise (HU), tumour.

    Parameters
    ----------
    cases : pandas.DataFrame
        Table `cases`.

    Returns
    -------
    pandas.DataFrame
        center, phase, cases, then medians: slice_thickness_mm, pixel_mm, noise_hu, tumour_hu, max_axial_diameter_mm.
    """
    used = cases[cases["exclusion"] == ""]
    grouped = used.groupby(["center", "phase"], sort=False)
    return grouped.agg(
        cases=("subject", "size"),
        slice_thickness_mm=("spacing_z_mm", "median"),
        pixel_mm=("spacing_x_mm", "median"),
        noise_hu=("noise_hu", "median"),
        tumour_hu=("hu_mean", "median"),
        max_axial_diameter_mm=("max_axial_diameter_mm", "median"),
    ).reset_index()
