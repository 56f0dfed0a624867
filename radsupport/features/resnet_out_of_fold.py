"""Features of fine-tuned networks, leak-free or as published (Gu 2023).

Features of a network that was tuned on a patient's label carry that label. The published pipeline
tests such features on the very patients they were tuned on (apparent); out of fold, each patient's
features come from a network that never saw the label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from radsupport.checks import as_binary
from radsupport.errors import InputError
from radsupport.features.resnet import Pooling, ResNetFeatures, resnet_features
from radsupport.features.resnet_finetune import FineTuneSettings, fine_tune
from radsupport.features.torch_tools import check_subjects, feature_table


@dataclass(frozen=True)
class TunedFeatures:
    """Features of fine-tuned networks.

    Attributes
    ----------
    features : DataFrame
        One row per subject: subject, fold (held-out fold; -1 where features are apparent), deep_0000 ...
    history : DataFrame
        The histories of all trainings, with the column fold.
    nets : tuple of ResNetFeatures
        One network, or one per fold.
    """

    features: pd.DataFrame
    history: pd.DataFrame
    nets: tuple[ResNetFeatures, ...]
    weights_description: str


def apparent_features(
    net: ResNetFeatures,
    images: NDArray[Any],
    y: NDArray[Any],
    subjects: Sequence[str],
    settings: FineTuneSettings | None = None,
    *,
    pooling: Pooling = "average",
    device: str = "auto",
    checkpoints: Path | None = None,
    progress: bool = False,
) -> TunedFeatures:
    """Fine-tune on all training patients and take their features from that network (Gu 2023, as published).

    These features carry the labels they were tuned on: what is selected or judged on them is optimistic.

    Parameters
    ----------
    images : array, shape (n, 3, rows, columns)
        Windowed slices as channels, 0-1; one image per subject.
    y : array of 0/1, shape (n,)
    """
    settings = settings or FineTuneSettings()
    labels, names = as_binary(y, "y", len(images)), check_subjects(subjects, len(images))
    tuned = fine_tune(net, images, labels, settings, device=device, checkpoints=checkpoints, progress=progress)
    table = _features(tuned.net, images, names, pooling, settings, device)
    table.insert(1, "fold", -1)
    return TunedFeatures(table, tuned.history.assign(fold=-1), (tuned.net,), tuned.net.weights_description)


def out_of_fold_features(
    net: ResNetFeatures,
    images: NDArray[Any],
    y: NDArray[Any],
    folds: NDArray[Any],
    subjects: Sequence[str],
    settings: FineTuneSettings | None = None,
    *,
    pooling: Pooling = "average",
    device: str = "auto",
    checkpoints: Path | None = None,
    progress: bool = False,
) -> TunedFeatures:
    """Fine-tune once per fold and take each patient's features from the network that did not see the label.

    The folds' networks start from the same weights, so that one channel means similar, though not
    identical, things in all of them.

    Parameters
    ----------
    images, y
        As in `apparent_features`.
    folds : array of int, shape (n,)
        The fold in which each patient is held out; at least two.
    """
    settings = settings or FineTuneSettings()
    labels, names = as_binary(y, "y", len(images)), check_subjects(subjects, len(images))
    folds = np.asarray(folds)
    if folds.shape != (len(images),) or len(np.unique(folds)) < 2:
        raise InputError(f"`folds` must give one of at least two folds to each of the {len(images)} images.")
    tables, histories, nets = [], [], []
    for fold in np.unique(folds):
        held, rest = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        options: dict[str, Any] = {"device": device, "checkpoints": checkpoints, "progress": progress}
        tuned = fine_tune(net, images[rest], labels[rest], settings, description=f"fold {fold}", **options)
        table = _features(tuned.net, images[held], [names[i] for i in held], pooling, settings, device)
        table.insert(1, "fold", fold)
        tables.append(table)
        histories.append(tuned.history.assign(fold=fold))
        nets.append(tuned.net)
    table = pd.concat(tables).set_index("subject").loc[names].reset_index()
    description = f"{net.weights_description}, fine-tuned in {len(nets)} folds, features out of fold"
    return TunedFeatures(table, pd.concat(histories, ignore_index=True), tuple(nets), description)


def features_of_others(
    tuned: TunedFeatures,
    images: NDArray[Any],
    subjects: Sequence[str],
    settings: FineTuneSettings,
    *,
    pooling: Pooling = "average",
    device: str = "auto",
) -> pd.DataFrame:
    """Return features of patients outside the training cohort: the mean over the fine-tuned networks.

    Returns
    -------
    DataFrame
        subject, deep_0000 ...
    """
    tables = [_features(net, images, subjects, pooling, settings, device) for net in tuned.nets]
    mean = np.mean([table.drop(columns="subject").to_numpy() for table in tables], axis=0)
    return feature_table(subjects, mean)


def _features(
    net: ResNetFeatures,
    images: NDArray[Any],
    subjects: Sequence[str],
    pooling: Pooling,
    settings: FineTuneSettings,
    device: str,
) -> pd.DataFrame:
    how = settings.normalisation
    return resnet_features(net, images, subjects, pooling=pooling, normalisation=how, device=device)
