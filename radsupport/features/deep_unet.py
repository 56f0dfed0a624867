"""Chapter 04 with a U-Net, step by step: who trains the network, and the patient's features from its bottleneck."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import SimpleITK as sitk

from radsupport.errors import InputError
from radsupport.features.slices import SliceStack, cuboid_slices, join_stacks, window
from radsupport.features.unet import aggregate_slices, bottleneck_features
from radsupport.features.unet_training import TrainedUNet, UNetSettings, split_subjects, train_unet
from radsupport.imaging.reading import read_image, read_mask
from radsupport.imaging.regions import rough_roi_box
from radsupport.study_schema import Study, Unet


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


def case_slices(study: Study, cases: pd.DataFrame, phase: str, roi: str = "") -> SliceStack:
    """Cut the windowed slices of every usable case of a phase.

    Parameters
    ----------
    study : Study
    cases : pandas.DataFrame
        Table `cases`.
    phase : str
    roi : str, optional
        ``rough`` (the cuboid around the quadrilaterals) or ``accurate`` (around the outline); as the
        study says if not given. A case without a rough outline uses the accurate one.
    """
    spec, view = spec_of(study), study.phases[phase].window
    kept = cases[(cases["phase"] == phase) & (cases["exclusion"] == "")]
    stacks = []
    for case in kept.itertuples():
        image = sitk.GetArrayFromImage(read_image(case.image))
        outline = read_mask(case.mask)
        mask = sitk.GetArrayFromImage(outline) > 0
        cuboid = mask
        if (roi or spec.roi) == "rough" and isinstance(case.roi_rough, str):
            cuboid = sitk.GetArrayFromImage(rough_roi_box(read_mask(case.roi_rough))) > 0
        scaled = window(image, view.level, view.width)
        stacks.append(cuboid_slices(scaled, mask, cuboid, size=spec.input_px, subject=str(case.subject)))
    return join_stacks(stacks)


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
        raise InputError(f"Study {study.id} has {len(chosen)} patient(s) to train the network on; two or more are needed.")
    return chosen


def train_on(study: Study, stack: SliceStack, subjects: list[str], checkpoints: Path | None = None, progress: bool = True) -> TrainedUNet:
    """Train the U-Net on the slices of some patients, a share of whom validates it (1:9 as printed)."""
    spec = spec_of(study)
    training, validation = split_subjects(subjects, spec.validation_share, study.seed)
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
    study: Study, network: TrainedUNet, cases: pd.DataFrame, cache: Path | None = None, roi: str = ""
) -> dict[str, SliceFeatures]:
    """Return the bottleneck features of every slice of every model phase, of patients with an outcome."""
    wanted = cases[cases["cohort"] != "segmentation"]
    found = {}
    for phase in (name for name, spec in study.phases.items() if spec.role == "model"):
        stack = case_slices(study, wanted, phase, roi)
        found[phase] = SliceFeatures(bottleneck_features(network.model, stack.images, cache=cache), stack.table)
    return found


def patient_features(study: Study, slices: dict[str, SliceFeatures], subjects: list[str], how: str = "") -> pd.DataFrame:
    """Aggregate slices to patients: the contract table `features_deep`, a row of NaN for who has none.

    Parameters
    ----------
    how : str, optional
        Aggregation; the study's if not given.
    """
    table = pd.DataFrame({"subject": subjects})
    for phase, found in slices.items():
        part = aggregate_slices(found.features, found.table, how or spec_of(study).aggregation, seed=0)
        part = part.drop(columns=["n_slices", "n_kept"]).set_index("subject").add_prefix(f"{phase}__")
        table = table.join(part, on="subject")
    return table


def training_history(network: TrainedUNet) -> pd.DataFrame:
    """Return the training history for `figures.training_curve`: epoch, set, metric, value."""
    history = network.history
    parts = {("train", "loss"): "train_loss", ("validation", "loss"): "validation_loss", ("validation", "DSC"): "validation_dsc"}
    rows = [history[["epoch"]].assign(set=which, metric=metric, value=history[column]) for (which, metric), column in parts.items()]
    return pd.concat(rows, ignore_index=True)
