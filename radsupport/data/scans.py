"""Which files belong to a study's cases, and which of its cases are measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from radsupport.data.manifest import study_files
from radsupport.errors import ManifestError
from radsupport.imaging.regions import with_regions
from radsupport.settings.study import Study
from radsupport.tables import Variant, compared_signatures, slug

ROLES = ("image", "mask", "mask_reader2", "roi_rough", "samples")
PREDICTED = ("train", "internal", "external")


def case_files(study: Study, cohort: pd.DataFrame, root: Path = Path()) -> pd.DataFrame:
    """Return one row per subject of the cohort and phase, with the path of each of its files.

    Parameters
    ----------
    study : Study
    cohort : pandas.DataFrame
        Table `cohort`; cases of other subjects are left alone.
    root : Path
        Project root.

    Returns
    -------
    pandas.DataFrame
        subject, phase, center, a column per role of `ROLES` (path as text, "" where there is none), exclusion (the
        reason where a subject has no image of a phase), cohort; as `radsupport.imaging.preprocess` takes it.

    Raises
    ------
    ManifestError
        The manifest names no image of this study.
    """
    files = _files(study, root)
    unlabelled = cohort["cohort"] == "segmentation"
    wanted = cohort.loc[~unlabelled, ["subject"]].merge(pd.Series(list(study.phases), name="phase"), how="cross")
    extra = files.loc[files["subject"].isin(cohort.loc[unlabelled, "subject"]), ["subject", "phase"]]
    found = pd.concat([wanted, extra], ignore_index=True).merge(files, on=["subject", "phase"], how="left")
    absent = found["image"].fillna("") == ""
    found.loc[absent, list(ROLES)] = ""
    found["exclusion"] = np.where(absent, "no image in the manifest", "")
    return found.merge(cohort[["subject", "cohort"]], on="subject", how="left")


def _files(study: Study, root: Path) -> pd.DataFrame:
    """Return subject, center, phase and the path of each role, one row per case that the manifest names."""
    files = study_files(study, root)
    files = files[files["role"].isin(ROLES) & (files["exclusion"] == "")]
    if files.empty:
        raise ManifestError(f"The manifest names no image of study {study.id}; see README, Bring your own scans.")
    wide = files.assign(file=files["file"].astype(str)).pivot_table(
        index=["subject", "center", "phase"], columns="role", values="file", aggfunc="first", fill_value=""
    )
    return wide.reindex(columns=list(ROLES), fill_value="").reset_index().rename_axis(columns=None)


def model_cases(study: Study, cases: pd.DataFrame, cohorts: Sequence[str] = PREDICTED) -> pd.DataFrame:
    """Return the cases whose features enter models: phases of role `model`, patients with an outcome.

    Features are measured on the images as they came (`source_image`), because the settings file says how
    pyradiomics resamples them and filters need more surroundings than the preprocessed box holds. A case
    that chapter 02 excluded stays, without files, so that it fails with a reason and does not disappear.
    """
    phases = [name for name, phase in study.phases.items() if phase.role == "model"]
    kept = cases[cases["phase"].isin(phases) & cases["cohort"].isin(cohorts)].copy()
    usable = kept["exclusion"] == ""
    for role in ("image", "mask", "roi_rough"):
        if f"source_{role}" in kept.columns:
            kept[role] = kept[f"source_{role}"].astype(object).mask(~usable, other=np.nan)
    order = {phase: i for i, phase in enumerate(phases)}
    return kept.sort_values(
        ["subject", "phase"], key=lambda s: s.map(order) if s.name == "phase" else s, ignore_index=True
    )


def outlined_twice(study: Study, cases: pd.DataFrame) -> pd.DataFrame:
    """Return the training cases that a second reader outlined, as `model_cases`, with that reader's mask as `mask`."""
    if "source_mask_reader2" not in cases.columns:
        return cases.iloc[:0]
    twice = cases["source_mask_reader2"].fillna("").ne("") & (cases["exclusion"] == "")
    kept = model_cases(study, cases[twice], ("train",))
    return kept.assign(mask=kept["source_mask_reader2"])


def compared_regions(study: Study, cases: pd.DataFrame, folder: Path) -> Iterator[tuple[Variant, str, pd.DataFrame]]:
    """Yield each region that the study compares with the careful outline, drawn in the cases that are measured in it.

    Parameters
    ----------
    study : Study
    cases : pandas.DataFrame
        Table `cases`.
    folder : Path
        For the changed masks, a folder per region.

    Yields
    ------
    Variant
        Its features are still to be extracted.
    str
        Name of the pyradiomics parameter file.
    pandas.DataFrame
        As `model_cases`, in the phases of the signatures that are judged with it, the changed region as `mask`.
    """
    spec = study.radiomics
    if spec is None:
        return
    signatures = compared_signatures(study.signatures, "radiomics", spec.compare_on)
    phases = {phase for name in signatures for phase in study.signature(name).phases or study.phases}
    chosen = model_cases(study, cases)
    chosen = chosen[chosen["phase"].isin(phases)].reset_index(drop=True)
    for one in spec.compare:
        changed = spec.chosen(one)
        variant = Variant(one.name, one.group, one.description, "radiomics", signatures, pd.DataFrame())
        yield variant, changed.settings, with_regions(changed, chosen, folder / slug(one.name))
