"""Chapter 04 with a ResNet fine-tuned on the outcome (Gu 2023): out of fold, or as the paper did it.

Out of fold, network k learns from the training patients outside fold k and describes everybody; chapter 05 fits and
judges fold k on its features alone. The refit learns from all training patients; its features serve the patients of
other cohorts and, taken for the training patients themselves, are the paper's way.

Chapter 04 with a ResNet, step by step: cut the slices, take the features, and ask a second reader.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from radsupport.errors import InputError
from radsupport.imaging.patches import Float32Array, tumour_channels
from radsupport.networks.inputs import (
    OUTLINES,
    Volume,
    case_inputs,
    in_rows,
    labels_of,
    model_phases,
    predicted_subjects,
    reasons_of,
    twice_read,
)
from radsupport.networks.resnet import (
    FineTuned,
    FineTuneSettings,
    ResNetFeatures,
    build_resnet,
    fine_tune,
    pretrain_rotation,
    resnet_features,
)
from radsupport.networks.result import DeepResult, tidy_history
from radsupport.settings.features import Resnet
from radsupport.settings.study import Study
from radsupport.stats.agreement import icc_features
from radsupport.stats.outcome import assign_folds
from radsupport.study import StudyPaths
from radsupport.wording import counted

NO_ICC = pd.DataFrame(columns=["feature", "icc", "ci_low", "ci_high", "n"])
METRICS = (
    ("train_loss", "train", "loss"),
    ("validation_loss", "validation", "loss"),
    ("validation_accuracy", "validation", "accuracy"),
)


@dataclass(frozen=True)
class Images:
    """What the network sees of one phase, by reader: subject to (3, rows, columns), and who has none."""

    reader1: dict[str, Float32Array]
    reader2: dict[str, Float32Array]
    failed: pd.DataFrame


def spec_of(study: Study) -> Resnet:
    """Return the study's ResNet settings.

    Raises
    ------
    InputError
        The study's network is another one.
    """
    if not isinstance(study.deep, Resnet):
        raise InputError(f"Study {study.id} does not use a ResNet.")
    return study.deep


def cut(volume: Volume, spec: Resnet, spacing_mm: float) -> Float32Array:
    """Return the three channels of one case as the study says (`slices.tumour_channels`)."""
    box = None if spec.box_mm is None else round(spec.box_mm / spacing_mm)
    margin = round(spec.margin_mm / spacing_mm)
    return tumour_channels(
        volume.image, volume.mask, size=spec.input_px, slices=spec.slices, box=box, masked=spec.masked, margin=margin
    )


def case_images(study: Study, cohort: pd.DataFrame, cases: pd.DataFrame, progress: bool = False) -> dict[str, Images]:
    """Cut everybody's slices in every model phase, and again where a second reader outlined training patients.

    Raises
    ------
    InputError
        Nobody has an image in one of the phases.
    """
    spec, found = spec_of(study), {}
    twice = twice_read(cases, model_phases(study), spec.icc_subjects)
    for phase in model_phases(study):
        view = spec.window or study.phases[phase].window
        spacing = study.preprocessing.spacing_mm[0]

        def make(volume: Volume, spacing: float = spacing) -> Float32Array:
            return cut(volume, spec, spacing)

        first, failed = case_inputs(cases, phase, predicted_subjects(cohort), view, make, progress=progress)
        if not first:
            raise InputError(f"No patient has an image in the {phase} phase: {reasons_of(failed)}")
        second, _ = case_inputs(cases, phase, twice, view, make, OUTLINES["reader 2"], progress)
        found[phase] = Images(first, second, failed)
    return found


def starting_network(
    study: Study, cohort: pd.DataFrame, images: dict[str, Images], cache: Path, progress: bool = False
) -> tuple[ResNetFeatures, pd.DataFrame]:
    """Return the network before any label is seen, and how it was trained (no rows where it was not).

    ``weights: rotation`` trains it to tell by how many quarter turns an image of a training patient was turned.
    """
    spec = spec_of(study)
    if spec.weights != "rotation":
        return build_resnet(spec.depth, spec.weights, seed=study.seed, progress=progress), pd.DataFrame()
    train = set(cohort.loc[cohort["cohort"] == "train", "subject"])
    shown = [image for found in images.values() for subject, image in found.reader1.items() if subject in train]
    settings = tuning_settings(study, spec.rotation_epochs)
    empty = build_resnet(spec.depth, "random", seed=study.seed)
    tuned = pretrain_rotation(empty, np.stack(shown), settings, checkpoints=cache, progress=progress)
    return tuned.net, tidy_history(tuned.history, "rotation", METRICS)


def tuning_settings(study: Study, epochs: int) -> FineTuneSettings:
    """Return how the network is trained, on rotations or on the label."""
    spec = spec_of(study)
    return FineTuneSettings(
        learning_rate=spec.learning_rate, batch_size=spec.batch_size, max_epochs=epochs, patience=spec.patience,
        normalisation=spec.normalisation, seed=study.seed,
    )  # fmt: skip


def features_of(
    study: Study, net: ResNetFeatures, images: dict[str, Float32Array], cache: Path | None, progress: bool = False
) -> pd.DataFrame:
    """Return the pooled features of each subject: subject, deep_0000 …"""
    spec = spec_of(study)
    return resnet_features(
        net, np.stack(list(images.values())), list(images), pooling=spec.pooling, normalisation=spec.normalisation,
        cache=cache, progress=progress,
    )  # fmt: skip


def second_reading(
    study: Study, nets: dict[str, ResNetFeatures], images: dict[str, Images], features: pd.DataFrame
) -> pd.DataFrame:
    """Return each feature's ICC between the readers: feature, icc, ci_low, ci_high, n; no rows with one reader."""
    twice = sorted(set.intersection(*(set(found.reader2) for found in images.values())))
    if len(twice) < 2:
        return NO_ICC
    parts = {phase: features_of(study, nets[phase], found.reader2, None) for phase, found in images.items()}
    again = in_rows(twice, parts)
    return icc_features(features.set_index("subject").loc[twice], again.set_index("subject"), spec_of(study).icc_kind)


def run(study: Study, cohort: pd.DataFrame, cases: pd.DataFrame, paths: StudyPaths, progress: bool) -> DeepResult:
    """Take everybody's features from a network that has seen no label."""
    images = case_images(study, cohort, cases, progress)
    cache = paths.cache / "resnet"
    net, history = starting_network(study, cohort, images, cache, progress)
    parts = {phase: features_of(study, net, found.reader1, cache, progress) for phase, found in images.items()}
    features = in_rows(predicted_subjects(cohort), parts)
    icc = second_reading(study, dict.fromkeys(images, net), images, features)
    facts = facts_of(study, images, features)
    if len(history):
        facts["epoch kept"] = int(history["kept"].iloc[0])
    return DeepResult(
        features, facts, net.weights_description, history,
        failed=pd.concat([found.failed for found in images.values()], ignore_index=True),
        inputs=shown_inputs(images), icc=icc, trained_on=f"{trainers(study, images, cohort)}, without their outcome",
    )  # fmt: skip


def trainers(study: Study, images: dict[str, Images], cohort: pd.DataFrame) -> str:
    """Say for a caption how many patients of the training cohort give the network images."""
    train = set(cohort.loc[cohort["cohort"] == "train", "subject"])
    n = len(train & {subject for found in images.values() for subject in found.reader1})
    return f'{counted(n, "patient")} of the cohort "{study.cohort_names["train"]}"'


def facts_of(study: Study, images: dict[str, Images], features: pd.DataFrame) -> dict[str, object]:
    """Count what the page says about the features."""
    spec, values = spec_of(study), features.drop(columns="subject")
    box = "smallest square around the tumour" if spec.box_mm is None else f"square of {spec.box_mm:g} mm"
    return {
        "patients with features": int(values.notna().any(axis=1).sum()),
        "patients read twice": max(len(found.reader2) for found in images.values()),
        "features per phase": values.shape[1] // len(images),
        "features that are the same in everybody": int((values.std() == 0).sum()),
        "slices": f"{spec.slices}, as {'three channels' if spec.slices == 3 else 'one image in all three channels'}",
        "field": f"{box}, resized to {spec.input_px} pixels; {'tumour only' if spec.masked else 'surroundings kept'}",
        "pooling": f"global {spec.pooling}",
    }


def shown_inputs(images: dict[str, Images], most: int = 4) -> pd.DataFrame:
    """Return what the network sees of the first patients, per phase: subject (a caption), image, mask (empty)."""
    rows = []
    for phase, found in images.items():
        for subject, image in list(found.reader1.items())[:most]:
            middle = image[1]
            rows.append({"subject": f"{subject}, {phase}", "image": middle, "mask": np.zeros(middle.shape, bool)})
    return pd.DataFrame(rows)


def kept_epochs(history: pd.DataFrame, networks: Sequence[str]) -> list[int]:
    """Return the kept epoch of each network of a tidy history."""
    return [int(history.loc[history["network"] == name, "kept"].iloc[0]) for name in networks]


EVERYONE = "all training patients"


def run_fine_tuned(
    study: Study, cohort: pd.DataFrame, cases: pd.DataFrame, paths: StudyPaths, progress: bool
) -> DeepResult:
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
