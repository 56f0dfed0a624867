"""Chapter 04 with a U-Net, step by step: who trains the network, and the patient's features from its bottleneck."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import SimpleITK as sitk

from radsupport.errors import InputError
from radsupport.files import written_whole
from radsupport.imaging.patches import SliceStack, cuboid_slices, join_stacks, make_inputs
from radsupport.imaging.preprocessing import window
from radsupport.imaging.reading import read_image, read_mask
from radsupport.imaging.regions import region
from radsupport.networks.inputs import model_phases, predicted_subjects, reasons_of, twice_read
from radsupport.networks.result import AGGREGATION_WORDS, DeepResult, tidy_history
from radsupport.networks.training import content_hash
from radsupport.networks.unet import (
    TrainedUNet,
    UNetSettings,
    aggregate_slices,
    bottleneck_features,
    layer_table,
    split_subjects,
    train_unet,
)
from radsupport.settings.features import Unet
from radsupport.settings.study import Study
from radsupport.stats.agreement import icc_features
from radsupport.study import StudyPaths
from radsupport.wording import counted

METRICS = (
    ("train_loss", "train", "loss"),
    ("validation_loss", "validation", "loss"),
    ("validation_dsc", "validation", "Dice"),
)
SHOWN = 4


@dataclass(frozen=True)
class SliceFeatures:
    """Bottleneck features of every slice of one phase; `table` has subject, slice and area."""

    features: np.ndarray
    table: pd.DataFrame


def spec_of(study: Study) -> Unet:
    """Return the study's U-Net settings.

    Raises
    ------
    InputError
        The study's network is another one.
    """
    if not isinstance(study.deep, Unet):
        raise InputError(f"Study {study.id} does not use a U-Net.")
    return study.deep


def description(study: Study, cohort: pd.DataFrame) -> str:
    """Say in words whom the network is trained on, and whether these are predicted later."""
    who = training_subjects(study, cohort)
    later = int(cohort.loc[cohort["subject"].isin(who), "cohort"].eq("train").sum())
    leak = (
        f" **{later} of them are cross-validated later, as published: their outlines were seen by the network.**"
        if later
        else " None of them is predicted later."
    )
    return (
        f"A 2-D U-Net learns to outline the tumour in the {spec_of(study).train_phase} phase of {len(who)} patients."
        f"{leak} It never sees an outcome. What its deepest layer says about a slice, averaged over the slice, is the "
        "slice's feature vector."
    )


def case_slices(
    study: Study, cases: pd.DataFrame, phase: str, outline: str = "mask"
) -> tuple[SliceStack, pd.DataFrame]:
    """Cut the windowed slices of every case of a phase.

    Parameters
    ----------
    outline : str
        ``mask`` or ``mask_reader2``: the outline that is learnt, and that the cuboid follows unless it is rough.

    Returns
    -------
    SliceStack
        Of all cases that have slices.
    DataFrame
        subject, phase, reason of those that have none.

    Raises
    ------
    InputError
        No case of the phase has slices.
    """
    spec, view = spec_of(study), study.phases[phase].window
    found = cases[cases["phase"] == phase].set_index("subject")

    def make(subject: str) -> SliceStack:
        case: dict[Any, Any] = found.loc[subject].to_dict()
        if case["exclusion"]:
            raise InputError(f"Excluded: {case['exclusion']}")
        if not (isinstance(case["image"], str) and isinstance(case[outline], str)):
            raise InputError(f"There is no preprocessed image and {outline.replace('_', ' ')}.")
        drawn = read_mask(case[outline])
        image = window(sitk.GetArrayFromImage(read_image(case["image"])), view.level, view.width)
        mask, cuboid = (sitk.GetArrayFromImage(m) > 0 for m in (drawn, region(spec, drawn, case.get("roi_rough"))))
        return cuboid_slices(image, mask, cuboid, size=spec.input_px, subject=str(subject))

    made, log = make_inputs(list(found.index), make)
    failed = log.loc[log["failed"], ["subject", "reason"]].assign(phase=phase)
    if not made:
        raise InputError(f"No patient has slices in the {phase} phase: {reasons_of(failed)}")
    return join_stacks(list(made.values())), failed[["subject", "phase", "reason"]].reset_index(drop=True)


def training_subjects(study: Study, cohort: pd.DataFrame) -> list[str]:
    """Return who trains the network: the segmentation-only patients and, as published, sampled training patients.

    Song 2021 samples 22 patients of Hospital I, whom the signatures are then cross-validated on. With
    ``sampled_cases: leave_out`` (default) nobody who is predicted later takes part.
    """
    spec = spec_of(study)
    chosen = sorted(cohort.loc[cohort["cohort"] == "segmentation", "subject"])
    if spec.sampled_cases == "as_published":
        rng = np.random.default_rng([study.seed, 4])
        train = sorted(cohort.loc[cohort["cohort"] == "train", "subject"])
        chosen += sorted(rng.choice(train, min(spec.sampled_training_cases, len(train)), replace=False))
    if len(chosen) < 2:
        raise InputError(
            f"Study {study.id} has {counted(len(chosen), 'patient')} to train the network on; two or more are needed."
        )
    return chosen


def trainers(study: Study, cohort: pd.DataFrame, subjects: list[str]) -> str:
    """Say for a caption whom these are: how many of which cohort, and that a share of them validates."""
    own = cohort[cohort["subject"].isin(subjects)]
    counts = own["cohort"].value_counts()
    parts = [
        f'{counted(int(counts[key]), "patient")} of the cohort "{study.cohort_names.get(key, key)}"'
        for key in ("segmentation", "train")
        if key in counts
    ]
    return f"{' and '.join(parts)}, {spec_of(study).validation_share:.0%} of whom form the validation part"


def thinned(stack: SliceStack, per_case: int | None) -> SliceStack:
    """Keep at most `per_case` evenly spread slices of each patient; all of them without a number."""
    if per_case is None:
        return stack
    groups = stack.table.groupby("subject", sort=False).indices.values()
    kept = np.concatenate([rows[spread(len(rows), per_case)] for rows in groups])
    return SliceStack(stack.images[kept], stack.masks[kept], stack.table.iloc[kept].reset_index(drop=True))


def spread(n: int, most: int) -> np.ndarray:
    """Return at most `most` positions of 0 … n - 1, evenly spread with half a step at both ends."""
    return np.unique(np.floor((np.arange(min(n, most)) + 0.5) * n / min(n, most)).astype(int))


def train_on(
    study: Study, stack: SliceStack, subjects: list[str], checkpoints: Path | None = None, progress: bool = True
) -> TrainedUNet:
    """Train the U-Net on the slices of some patients, a share of whom validates it (1:9 as printed).

    Raises
    ------
    InputError
        Fewer than two of them have slices.
    """
    spec, usable = spec_of(study), set(stack.table["subject"])
    given = [subject for subject in subjects if subject in usable]
    training, validation = split_subjects(given, spec.validation_share, study.seed)
    settings = UNetSettings(
        base_channels=spec.base_channels, learning_rate=spec.learning_rate, batch_size=spec.batch_size,
        max_epochs=spec.max_epochs, patience=spec.patience, seed=study.seed,
    )  # fmt: skip
    inside, outside = (stack.table["subject"].isin(part).to_numpy() for part in (training, validation))
    return train_unet(
        stack.images[inside], stack.masks[inside], stack.images[outside], stack.masks[outside],
        settings, checkpoints=checkpoints, progress=progress,
    )  # fmt: skip


def slice_features(
    study: Study, network: TrainedUNet, cases: pd.DataFrame, outline: str = "mask", cache: Path | None = None
) -> tuple[dict[str, SliceFeatures], pd.DataFrame]:
    """Return the bottleneck features of every slice of every model phase, and who has none.

    Parameters
    ----------
    cache : Path, optional
        Folder that keeps a phase's features under the hash of slices and weights.
    """
    weights = content_hash(network.model.state_dict()) if cache else ""
    found, failures = {}, []
    for phase in model_phases(study):
        stack, failed = case_slices(study, cases, phase, outline)
        file = cache / f"bottleneck_{content_hash(weights, stack.images)[:16]}.npy" if cache else None
        values = np.load(file) if file and file.is_file() else bottleneck_features(network.model, stack.images)
        if file and not file.is_file():
            with written_whole(file) as partial:
                np.save(partial, values)
        found[phase] = SliceFeatures(values, stack.table)
        failures.append(failed)
    return found, pd.concat(failures, ignore_index=True)


def patient_features(study: Study, slices: dict[str, SliceFeatures], subjects: list[str]) -> pd.DataFrame:
    """Aggregate slices to patients: the contract table `features_deep`, a row of NaN for who has none."""
    table = pd.DataFrame({"subject": subjects})
    for phase, found in slices.items():
        part = aggregate_slices(found.features, found.table, spec_of(study).aggregation, seed=0)
        part = part.drop(columns=["n_slices", "n_kept"]).set_index("subject").add_prefix(f"{phase}__")
        table = table.join(part, on="subject")
    return table


def run(study: Study, cohort: pd.DataFrame, cases: pd.DataFrame, paths: StudyPaths, progress: bool) -> DeepResult:
    """Train the network (or read it back), and return every patient's features."""
    spec, cache = spec_of(study), paths.cache / "unet"
    who, subjects = training_subjects(study, cohort), predicted_subjects(cohort)
    learnt, unlearnt = case_slices(study, cases[cases["subject"].isin(who)], spec.train_phase)
    shown = thinned(learnt, spec.slices_per_case)
    network = train_on(study, shown, who, cache, progress)
    predicted = cases[cases["subject"].isin(subjects)]
    slices, failed = slice_features(study, network, predicted, cache=cache)
    features = patient_features(study, slices, subjects)
    failed = pd.concat([failed, _without_case(slices, failed, subjects), unlearnt])
    failed = failed.drop_duplicates(["subject", "phase"], ignore_index=True)
    return DeepResult(
        features, _facts(study, shown, network, features),
        "random weights (initialisation of He et al.), trained on outlines alone: no ImageNet, no outcome",
        tidy_history(network.history, "U-Net", METRICS), failed, _inputs(learnt),
        layers=layer_table(spec.base_channels, spec.input_px), icc=_second_reading(study, network, predicted, features),
        trained_on=trainers(study, cohort, list(shown.table["subject"].unique())),
    )  # fmt: skip


def _without_case(slices: dict[str, SliceFeatures], failed: pd.DataFrame, subjects: list[str]) -> pd.DataFrame:
    """Return the predicted patients that a phase has no case of: subject, phase, reason."""
    rows = []
    for phase, found in slices.items():
        known = {*found.table["subject"], *failed.loc[failed["phase"] == phase, "subject"]}
        rows += [
            (subject, phase, f"There is no case in the {phase} phase.") for subject in subjects if subject not in known
        ]
    return pd.DataFrame(rows, columns=["subject", "phase", "reason"])


def _second_reading(study: Study, network: TrainedUNet, cases: pd.DataFrame, features: pd.DataFrame) -> pd.DataFrame:
    """Return each feature's ICC between readers where the region follows an outline; a rough one has no second."""
    twice = twice_read(cases, model_phases(study), most=30) if spec_of(study).roi == "accurate" else []
    if len(twice) < 2:
        return pd.DataFrame()
    again, _ = slice_features(study, network, cases[cases["subject"].isin(twice)], "mask_reader2")
    table = patient_features(study, again, twice).set_index("subject")
    return icc_features(features.set_index("subject").loc[twice], table)


def _facts(study: Study, shown: SliceStack, network: TrainedUNet, features: pd.DataFrame) -> dict[str, object]:
    spec, history = spec_of(study), network.history
    best = history.loc[history["best"]].iloc[-1]
    values = features.drop(columns="subject")
    return {
        "patients who trained the network": shown.table["subject"].nunique(),
        "slices they gave": len(shown.table),
        "Dice on the validation part": f"{float(best['validation_dsc']):.2f}",
        "epoch kept": int(best["epoch"]),
        "patients with features": int(values.notna().any(axis=1).sum()),
        "features per phase": 16 * spec.base_channels,
        "features that are the same in everybody": int((values.std() == 0).sum()),
        "from slices to patient": AGGREGATION_WORDS[spec.aggregation],
    }


def _inputs(stack: SliceStack) -> pd.DataFrame:
    """Return the largest section of the first patients as the network sees it: subject, image, mask."""
    largest = stack.table.groupby("subject", sort=False)["area"].idxmax().head(SHOWN)
    rows = [{"subject": subject, "image": stack.images[i, 0], "mask": stack.masks[i]} for subject, i in largest.items()]
    return pd.DataFrame(rows)
