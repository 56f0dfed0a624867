"""Chapter 04, step by step: one way in for every kind of network a study may name."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd

from radsupport.chapter import Chapter
from radsupport.errors import StudyError
from radsupport.features import deep_unet
from radsupport.paths import StudyPaths
from radsupport.study_schema import Study, Unet


@dataclass(frozen=True)
class DeepResult:
    """What a network gave.

    Attributes
    ----------
    features : DataFrame
        Contract table `features_deep`.
    history : DataFrame
        epoch, set, metric, value; empty where nothing was trained.
    summary : DataFrame
        what, value: counted for the reader.
    by_fold : dict of int to DataFrame
        The same table per fold, where features were learnt per fold.
    folds : Series or None
        Fold of each training subject, where features were learnt per fold.
    """

    features: pd.DataFrame
    history: pd.DataFrame
    summary: pd.DataFrame
    by_fold: dict[int, pd.DataFrame] = field(default_factory=dict)
    folds: pd.Series | None = None


def description(study: Study, cohort: pd.DataFrame) -> str:
    """Say in words which network it is and whom it was trained on."""
    if isinstance(study.deep, Unet):
        who = deep_unet.training_subjects(study, cohort)
        later = cohort.loc[cohort["subject"].isin(who), "cohort"].eq("train").sum()
        leak = (
            f" **{later} of them are cross-validated later, as published: their outlines were seen by the network.**"
            if later
            else " None of them is predicted later."
        )
        return f"A 2-D U-Net learns to outline the tumour in the {study.deep.train_phase} phase of {len(who)} patients.{leak}"
    raise _unknown(study)


def settings_table(study: Study) -> pd.DataFrame:
    """Return the network's settings as the study file and the profile give them."""
    settings = study.deep.model_dump() if study.deep is not None else {}
    return pd.DataFrame({"setting": [k.replace("_", " ") for k in settings], "value": [str(v) for v in settings.values()]})


def compute(study: Study, cohort: pd.DataFrame, cases: pd.DataFrame, paths: StudyPaths, progress: bool = True) -> DeepResult:
    """Train the study's network where it is trained, and return every patient's features."""
    if isinstance(study.deep, Unet):
        return _unet(study, cohort, cases, paths, progress)
    raise _unknown(study)


def write(chapter: Chapter, result: DeepResult) -> None:
    """Write the feature table, and those of the folds where features were learnt per fold."""
    chapter.write(result.features, "features_deep")
    for number, table in result.by_fold.items():
        chapter.write(table, f"features_deep_fold{number}")
    if result.folds is not None:
        result.folds.rename_axis("subject").to_csv(chapter.paths.results / "folds.csv")


def _unet(study: Study, cohort: pd.DataFrame, cases: pd.DataFrame, paths: StudyPaths, progress: bool) -> DeepResult:
    spec = deep_unet.spec_of(study)
    who = deep_unet.training_subjects(study, cohort)
    stack = deep_unet.case_slices(study, cases[cases["subject"].isin(who)], spec.train_phase)
    network = deep_unet.train_on(study, stack, who, paths.cache / "unet", progress)
    slices = deep_unet.slice_features(study, network, cases)
    subjects = sorted(cohort.loc[cohort["cohort"] != "segmentation", "subject"])
    features = deep_unet.patient_features(study, slices, subjects)
    best = network.history.loc[network.history["best"]].iloc[-1]
    facts = {
        "patients who trained the network": len(who), "slices they gave": len(stack.table),
        "Dice on the validation part": round(float(best["validation_dsc"]), 2), "epoch kept": int(best["epoch"]),
        "patients with features": int(features.drop(columns="subject").notna().any(axis=1).sum()),
        "features per phase": 16 * spec.base_channels, "from slices to patient": spec.aggregation,
    }  # fmt: skip
    summary = pd.DataFrame({"what": list(facts), "value": [str(value) for value in facts.values()]})
    return DeepResult(features, deep_unet.training_history(network), summary)


def _unknown(study: Study) -> StudyError:
    return StudyError(f"Study {study.id} names no network that chapter 04 can run.")
