"""Chapter 04 with a ResNet fine-tuned on the outcome (Gu 2023): out of fold, or as the paper did it.

Out of fold, network k learns from the training patients outside fold k and describes everybody; chapter 05 fits and
judges fold k on its features alone. The refit learns from all training patients; its features serve the patients of
other cohorts and, taken for the training patients themselves, are the paper's way.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from radsupport.errors import InputError
from radsupport.features.deep_inputs import in_rows, labels_of, model_phases, predicted_subjects, reasons_of
from radsupport.features.deep_resnet import (
    METRICS,
    Images,
    case_images,
    facts_of,
    features_of,
    kept_epochs,
    second_reading,
    shown_inputs,
    spec_of,
    starting_network,
    tuning_settings,
)
from radsupport.features.deep_result import DeepResult, tidy_history
from radsupport.features.resnet import ResNetFeatures
from radsupport.features.resnet_finetune import FineTuned, fine_tune
from radsupport.modelling.crossval import assign_folds
from radsupport.paths import StudyPaths
from radsupport.report.wording import counted
from radsupport.study_schema import Study

EVERYONE = "all training patients"


def run(study: Study, cohort: pd.DataFrame, cases: pd.DataFrame, paths: StudyPaths, progress: bool) -> DeepResult:
    """Fine-tune per fold (where the study says so) and on all training patients; take everybody's features."""
    images, cache = case_images(study, cohort, cases, progress), paths.cache / "resnet"
    start, history = starting_network(study, cohort, images, cache, progress)
    labels = labels_of(study, cohort)
    learnt = int(labels.index.isin({subject for found in images.values() for subject in found.reader1}).sum())
    folds = assign_folds(labels, study.modelling.folds, study.seed)
    honest = spec_of(study).fine_tune == "out_of_fold"
    numbers = [int(k) for k in np.unique(folds)] if honest else []
    tuned = {k: _tune(study, start, images, labels[folds != k], cache, f"fold {k}") for k in numbers}
    whole = _tune(study, start, images, labels, cache, EVERYONE)
    subjects = predicted_subjects(cohort)
    refit = _table(study, _nets(whole), images, subjects)
    histories = [history, *(_history(one, f"fold {k}") for k, one in tuned.items()), _history(whole, EVERYONE)]
    curves = pd.concat([part for part in histories if len(part)], ignore_index=True)
    result = DeepResult(
        refit, facts_of(study, images, refit) | _facts(curves, learnt, numbers),
        f"{start.weights_description}, then fine-tuned on the labels of {learnt} training patients", curves,
        failed=pd.concat([found.failed for found in images.values()], ignore_index=True),
        inputs=shown_inputs(images), icc=second_reading(study, _nets(whole), images, refit),
        trained_on=_trainers(study, learnt, numbers),
    )  # fmt: skip
    if not honest:
        return result
    by_fold = {k: _table(study, _nets(one), images, subjects) for k, one in tuned.items()}
    return replace(result, by_fold=by_fold, folds=folds)


def _tune(
    study: Study, start: ResNetFeatures, images: dict[str, Images], labels: pd.Series, cache: Path, name: str
) -> dict[str, FineTuned]:
    """Fine-tune one network per phase on the labels of these patients."""
    settings, tuned = tuning_settings(study, spec_of(study).epochs), {}
    for phase in model_phases(study):
        known = [subject for subject in labels.index if subject in images[phase].reader1]
        if not known:
            reasons = reasons_of(images[phase].failed)
            raise InputError(f"No training patient has an image in the {phase} phase: {reasons}")
        shown = np.stack([images[phase].reader1[subject] for subject in known])
        answers = labels.loc[known].to_numpy()
        tuned[phase] = fine_tune(start, shown, answers, settings, checkpoints=cache, description=f"{phase}, {name}")
    return tuned


def _nets(tuned: dict[str, FineTuned]) -> dict[str, ResNetFeatures]:
    return {phase: one.net for phase, one in tuned.items()}


def _table(
    study: Study, nets: dict[str, ResNetFeatures], images: dict[str, Images], subjects: list[str]
) -> pd.DataFrame:
    return in_rows(
        subjects, {phase: features_of(study, nets[phase], images[phase].reader1, None) for phase in model_phases(study)}
    )


def _history(tuned: dict[str, FineTuned], name: str) -> pd.DataFrame:
    several = len(tuned) > 1
    parts = [
        tidy_history(one.history, f"{phase}, {name}" if several else name, METRICS) for phase, one in tuned.items()
    ]
    return pd.concat(parts, ignore_index=True)


def _trainers(study: Study, n: int, numbers: list[int]) -> str:
    whom = f'{counted(n, "patient")} of the cohort "{study.cohort_names["train"]}"'
    if numbers:
        whom += f", in {len(numbers)} folds each on the patients of the other folds and once on all"
    return f"{whom}; a part of these patients is the validation part"


def _facts(curves: pd.DataFrame, n: int, numbers: list[int]) -> dict[str, object]:
    tuned = [name for name in curves["network"].unique() if name != "rotation"]
    how = f"out of fold: {len(numbers)} networks and one on everybody" if numbers else "on everybody, as published"
    epochs = kept_epochs(curves, tuned)
    return {
        "training patients whose label was learnt": n,
        "fine-tuning": how,
        "epochs kept": ", ".join(map(str, epochs)),
    }
