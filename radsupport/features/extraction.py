"""Chapter 03, step by step: radiomics of both readers, their agreement, and what failed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from radsupport.features.agreement import icc_features
from radsupport.features.radiomics import extract
from radsupport.study_schema import Study

SETTINGS = Path("studies") / "radiomics"


def settings_path(study: Study, root: Path = Path()) -> Path:
    """Return the pyradiomics parameter file that the study names."""
    return root / SETTINGS / (study.radiomics.settings if study.radiomics else "default.yaml")


def model_cases(study: Study, cases: pd.DataFrame, cohorts: tuple[str, ...] = ("train", "internal", "external")) -> pd.DataFrame:
    """Return the cases whose features enter models: phases of role `model`, patients with an outcome.

    Features are measured on the images as they came (`source_image`), because the settings file says how
    pyradiomics resamples them and filters need more surroundings than the preprocessed box holds. A case
    that chapter 02 excluded stays, without files, so that it fails with a reason and does not disappear.
    """
    phases = [name for name, phase in study.phases.items() if phase.role == "model"]
    kept = cases[cases["phase"].isin(phases) & cases["cohort"].isin(cohorts)].copy()
    usable = kept["exclusion"] == ""
    for role in ("image", "mask"):
        kept[role] = kept[f"source_{role}"].where(usable, None)
    order = {phase: i for i, phase in enumerate(phases)}
    return kept.sort_values(["subject", "phase"], key=lambda s: s.map(order) if s.name == "phase" else s, ignore_index=True)


def second_reader_cases(study: Study, cases: pd.DataFrame) -> pd.DataFrame:
    """Return the cases that a second reader outlined, with that reader's mask as `mask`.

    At most ``radiomics.icc_subjects`` training patients, the first by id, so that the choice is fixed.
    """
    if "source_mask_reader2" not in cases.columns or study.radiomics is None:
        return cases.iloc[:0]
    twice = cases["source_mask_reader2"].fillna("").ne("") & (cases["exclusion"] == "")
    kept = model_cases(study, cases[twice], ("train",))
    chosen = sorted(kept["subject"].unique())[: study.radiomics.icc_subjects]
    kept = kept[kept["subject"].isin(chosen)]
    return kept.assign(mask=kept["source_mask_reader2"])


def extract_both_readers(
    study: Study, cases: pd.DataFrame, cache: Path, root: Path = Path(), n_jobs: int = 1, progress: bool = True
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Extract the features of every model case, and again with the second reader's masks.

    Returns
    -------
    features, log : DataFrame
        As `radsupport.features.radiomics.extract` returns them.
    again : DataFrame
        Features by the second reader's masks; no rows where nobody read twice.
    """
    settings = settings_path(study, root)
    features, log = extract(model_cases(study, cases), settings, n_jobs=n_jobs, cache=cache, progress=progress)
    second = second_reader_cases(study, cases)
    if second.empty:
        return features, log, features.iloc[:0]
    again, _ = extract(second, settings, n_jobs=n_jobs, cache=cache, progress=progress)
    return features, log, again


def feature_class(name: str) -> str:
    """Return the class in a feature's name: ``arterial__wavelet-LLL_glcm_Contrast`` gives ``glcm``."""
    return name.split("__")[-1].split("_")[1]


def image_type(name: str) -> str:
    """Return the image type in a feature's name: ``arterial__wavelet-LLL_glcm_Contrast`` gives ``wavelet``."""
    return name.split("__")[-1].split("_")[0].split("-")[0]


def count_features(features: pd.DataFrame) -> pd.DataFrame:
    """Count features by image type (rows) and class (columns), one phase counted once."""
    names = pd.Series(sorted({column.split("__")[-1] for column in features.columns if column != "subject"}))
    table = pd.crosstab(names.map(image_type), names.map(feature_class), margins=True, margins_name="all")
    return table.rename_axis("image type").reset_index().rename_axis(columns=None)


def log_summary(log: pd.DataFrame) -> pd.DataFrame:
    """Summarise the extraction per phase: cases, failed, warnings, seconds and memory per case."""
    grouped = log.groupby("phase", sort=False)
    return grouped.agg(
        cases=("subject", "size"),
        failed=("status", lambda s: int((s == "failed").sum())),
        with_warning=("status", lambda s: int((s == "warning").sum())),
        median_seconds=("seconds", "median"),
        peak_memory_mb=("peak_memory_mb", "max"),
        median_voxels=("voxels", "median"),
    ).reset_index()


LOG_HEADERS = {
    "phase": "Phase", "cases": "Cases", "failed": "Failed", "with_warning": "With warning", "median_seconds": "Seconds per case",
    "peak_memory_mb": "Peak memory (MB)", "median_voxels": "Voxels (median)",
}  # fmt: skip


def agreement_table(study: Study, features: pd.DataFrame, again: pd.DataFrame) -> pd.DataFrame:
    """Return each feature's ICC between the readers: feature, icc, ci_low, ci_high, n, class, image_type."""
    kind = study.radiomics.icc_kind if study.radiomics else "ICC(2,1)"
    table = icc_features(features.set_index("subject"), again.set_index("subject"), kind)
    return table.assign(feature_class=table["feature"].map(feature_class), image_type=table["feature"].map(image_type))


def icc_curves(icc: pd.DataFrame) -> pd.DataFrame:
    """Return, per feature class, which share reaches an ICC or more, for `figures.icc_survival`."""
    rows = []
    for name, part in icc.dropna(subset=["icc"]).groupby("feature_class"):
        grid = np.linspace(0, 1, 101)
        share = [(part["icc"] >= value).mean() for value in grid]
        rows.append(pd.DataFrame({"feature_class": name, "icc": grid, "share": share, "n": len(part)}))
    return pd.concat(rows, ignore_index=True)


def icc_summary(icc: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """Return per feature class: features, median ICC, how many reach the threshold, and how many have none."""
    grouped = icc.groupby("feature_class")["icc"]
    table = grouped.agg(features="size", median_icc="median", without_icc=lambda s: int(s.isna().sum()))
    table["reproducible"] = grouped.agg(lambda s: int((s >= threshold).sum()))
    table["share"] = table["reproducible"] / table["features"]
    return table.reset_index()


def correlations(features: pd.DataFrame, most: int = 400, seed: int = 0) -> pd.DataFrame:
    """Return |Pearson r| of pairs of features: r; of a random `most` of the features where there are more."""
    values = features.drop(columns="subject").dropna(axis=1)
    values = values.loc[:, values.std() > 0]
    if values.shape[1] > most:
        values = values.sample(most, axis=1, random_state=seed)
    r = np.abs(np.corrcoef(values.to_numpy(), rowvar=False))
    return pd.DataFrame({"r": r[np.triu_indices_from(r, k=1)]})
