"""Chapter 03, step by step: radiomics of both readers, their agreement, and what failed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from radsupport.features.agreement import icc_features
from radsupport.features.radiomics import extract
from radsupport.features.radiomics_names import CLASS_NAMES, describe_features, surviving_features
from radsupport.features.shares import STRONG, share_words
from radsupport.study_schema import Study

SETTINGS = Path("studies") / "radiomics"
DEFAULT_THRESHOLD = 0.8
PREDICTED = ("train", "internal", "external")


def settings_path(study: Study, root: Path = Path()) -> Path:
    """Return the pyradiomics parameter file that the study names."""
    return root / SETTINGS / (study.radiomics.settings if study.radiomics else "default.yaml")


def threshold_of(study: Study) -> float:
    """Return the least ICC of a reproducible feature: the study's, else 0.8."""
    return (study.radiomics.icc_threshold if study.radiomics else None) or DEFAULT_THRESHOLD


def model_cases(study: Study, cases: pd.DataFrame, cohorts: tuple[str, ...] = PREDICTED) -> pd.DataFrame:
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


def second_reader_cases(study: Study, cases: pd.DataFrame) -> pd.DataFrame:
    """Return the cases that a second reader outlined, with that reader's mask as `mask`.

    At most ``radiomics.icc_subjects`` training patients, the first by id, so that the choice is fixed.
    """
    if study.radiomics is None:
        return cases.iloc[:0]
    kept = outlined_twice(study, cases)
    chosen = sorted(kept["subject"].unique())[: study.radiomics.icc_subjects]
    kept = kept[kept["subject"].isin(chosen)]
    return kept.assign(mask=kept["source_mask_reader2"]) if len(kept) else kept


def outlined_twice(study: Study, cases: pd.DataFrame) -> pd.DataFrame:
    """Return all training cases that a second reader outlined; `icc_subjects` of them give the ICC."""
    if "source_mask_reader2" not in cases.columns:
        return cases.iloc[:0]
    twice = cases["source_mask_reader2"].fillna("").ne("") & (cases["exclusion"] == "")
    return model_cases(study, cases[twice], ("train",))


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


def count_features(features: pd.DataFrame) -> pd.DataFrame:
    """Count features by filter (rows) and class (columns), one phase counted once."""
    names = pd.unique(pd.Series([str(column).split("__")[-1] for column in features.columns if column != "subject"]))
    parts = describe_features(names)
    table = pd.crosstab(parts["filter"], parts["class"].map(CLASS_NAMES), margins=True, margins_name="all")
    return table.rename_axis("filter").reset_index().rename_axis(columns=None)


def toolkit_table(study: Study, features: pd.DataFrame) -> pd.DataFrame:
    """Set the families of the paper's own software beside ours.

    Returns
    -------
    DataFrame
        family, published (features of the paper's software), classes (ours), unfiltered (our features of the original
        image), all images; a last row with the sums. No rows where the study names no software.
    """
    toolkit = study.radiomics.toolkit if study.radiomics else []
    names = pd.unique(pd.Series([str(column).split("__")[-1] for column in features.columns if column != "subject"]))
    parts, rows = describe_features(names), []
    for family in toolkit:
        own = parts[parts["class"].isin(family.classes)]
        classes = ", ".join(CLASS_NAMES[name] for name in family.classes)
        row = {"family": family.family, "published": family.published, "classes": classes}
        rows.append(row | {"unfiltered": int((own["filter"] == "original").sum()), "all images": len(own)})
    table = pd.DataFrame(rows, columns=["family", "published", "classes", "unfiltered", "all images"])
    if len(table):
        sums = table[["published", "unfiltered", "all images"]].sum()
        table.loc[len(table)] = {"family": "all", "classes": "", **sums.to_dict()}
    return table


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
    "phase": "Phase", "cases": "Cases", "failed": "Failed", "with_warning": "With warning",
    "median_seconds": "Seconds per case", "peak_memory_mb": "Peak memory (MB)", "median_voxels": "Voxels (median)",
}  # fmt: skip


def agreement_table(study: Study, features: pd.DataFrame, again: pd.DataFrame) -> pd.DataFrame:
    """Return each feature's ICC between the readers: feature, icc, ci_low, ci_high, n, class, image_type."""
    kind = study.radiomics.icc_kind if study.radiomics else "ICC(2,1)"
    table = icc_features(features.set_index("subject"), again.set_index("subject"), kind)
    parts = describe_features(table["feature"])
    return table.assign(feature_class=parts["class"].to_numpy(), image_type=parts["filter"].to_numpy())


def icc_curves(icc: pd.DataFrame, by: str = "class") -> pd.DataFrame:
    """Return, per class or filter, which share reaches an ICC or more, for `figures.icc_survival`.

    Parameters
    ----------
    by : {"class", "filter"}
    """
    table = surviving_features(icc, np.linspace(0, 1, 101), by)
    names = table[by].map(CLASS_NAMES) if by == "class" else table[by]
    curves = pd.DataFrame({"feature_class": names, "icc": table["threshold"], "share": table["share"], "n": table["n"]})
    return curves.sort_values(["feature_class", "icc"], ignore_index=True)


def icc_summary(icc: pd.DataFrame, threshold: float, by: str = "feature_class") -> pd.DataFrame:
    """Return per class or filter: features, median ICC, how many reach the threshold, and how many have none."""
    names = icc[by].map(CLASS_NAMES) if by == "feature_class" else icc[by]
    grouped = icc.assign(**{by: names}).groupby(by)["icc"]
    table = grouped.agg(features="size", median_icc="median", without_icc=lambda s: int(s.isna().sum()))
    table["reproducible"] = grouped.agg(lambda s: int((s >= threshold).sum()))
    table["share"] = table["reproducible"] / table["features"]
    return table.reset_index()


ICC_HEADERS = {
    "feature_class": "Class", "image_type": "Filter", "features": "Features", "median_icc": "Median ICC",
    "without_icc": "Without an ICC", "reproducible": "Reproducible", "share": "Share reproducible",
}  # fmt: skip


@dataclass(frozen=True)
class Correlations:
    """|Pearson r| of pairs of features.

    Attributes
    ----------
    pairs : DataFrame
        r (absolute): one row per pair.
    used, usable : int
        Features correlated, and features that vary and miss no value; fewer are used where there are too many.
    n : int
        Patients.
    """

    pairs: pd.DataFrame
    used: int
    usable: int
    n: int


def correlations(features: pd.DataFrame, most: int = 3000, seed: int = 0) -> Correlations:
    """Correlate all features in pairs; of more than `most` features, so many are drawn at random."""
    values = features.drop(columns="subject").dropna(axis=1)
    values = values.loc[:, values.std() > 0]
    usable = values.shape[1]
    if usable > most:
        values = values.sample(most, axis=1, random_state=seed)
    r = np.abs(np.corrcoef(values.to_numpy(), rowvar=False))
    pairs = pd.DataFrame({"r": r[np.triu_indices_from(r, k=1)]})
    return Correlations(pairs, values.shape[1], usable, len(values))


def correlation_words(found: Correlations) -> str:
    """Say how many pairs of which features there are, and which share of them is strongly correlated."""
    which = f"{found.used:,} features that vary and miss no value"
    if found.used < found.usable:
        which = f"{found.used:,} features drawn at random from {found.usable:,} that vary and miss no value"
    strong = share_words(float((found.pairs["r"] > STRONG).mean()))
    pairs = f"{len(found.pairs):,} pairs of {which}, in {found.n} training patients"
    return f"{pairs}; {strong} of the pairs have |r| above {STRONG:g}"
