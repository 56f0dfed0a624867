"""Fine-tuning a ResNet on a label with cosine annealing (Gu 2023), and self-supervised weights."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedShuffleSplit
from torch import nn
from torch.nn import functional

from radsupport.errors import InputError, NotEstimableError
from radsupport.features.network_training import Stopping, fit_batches, train
from radsupport.features.resnet import Normalisation, ResNetFeatures, normalise_images
from radsupport.features.torch_tools import (
    Float32Array,
    channels_last,
    choose_device,
    content_hash,
    predict_batches,
    reproducible,
    shuffled_batches,
)


@dataclass(frozen=True)
class FineTuneSettings:
    """How a ResNet is fine-tuned.

    Cosine annealing is the paper's; SGD with momentum, its rate, epochs, batch size and the inner
    20 % of the training images that early stopping watches are not printed.
    """

    learning_rate: float = 0.01
    momentum: float = 0.9
    batch_size: int = 16
    max_epochs: int = 50
    patience: int = 10
    validation_share: float = 0.2
    normalisation: Normalisation = "image"
    seed: int = 0
    mixed_precision: bool = False
    deterministic: bool = True


@dataclass(frozen=True)
class FineTuned:
    """A fine-tuned network and its history.

    Attributes
    ----------
    net : ResNetFeatures
        Its `weights_description` says on how many labels it was tuned.
    head : nn.Linear
        Features to one logit per class.
    history : DataFrame
        One row per epoch: epoch, learning_rate, train_loss, validation_loss, validation_accuracy, best.
    """

    net: ResNetFeatures
    head: nn.Linear
    history: pd.DataFrame


def fine_tune(
    net: ResNetFeatures,
    images: NDArray[Any],
    labels: NDArray[Any],
    settings: FineTuneSettings | None = None,
    *,
    device: str = "auto",
    checkpoints: Path | None = None,
    progress: bool = False,
    description: str = "fine-tuning",
) -> FineTuned:
    """Train a copy of `net` and a new linear head on class labels; keep the epoch of lowest validation loss.

    Parameters
    ----------
    images : array, shape (n, 3, rows, columns)
        Windowed slices as channels, 0-1.
    labels : array of int, shape (n,)
        Classes 0, 1, ...; two of them for an endpoint.
    checkpoints : Path, optional
        Folder for a checkpoint named by data, weights and settings; a killed training resumes.
    """
    settings = settings or FineTuneSettings()
    inputs = normalise_images(images, settings.normalisation)
    labels = np.asarray(labels, dtype=np.int64)
    if labels.shape != (len(inputs),) or labels.min() < 0:
        raise InputError(f"`labels` must give a class 0, 1, ... to each of the {len(inputs)} images.")
    inner, watched = _inner_split(labels, settings)
    place = choose_device(device)
    with reproducible(settings.seed, settings.deterministic):
        tuned, head = copy.deepcopy(net), nn.Linear(net.n_features, int(labels.max()) + 1)
        model = channels_last(nn.Sequential(tuned, head).to(place))
        optimizer = torch.optim.SGD(model.parameters(), lr=settings.learning_rate, momentum=settings.momentum)
        key = content_hash("resnet", asdict(settings), net.state_dict(), inputs, labels) if checkpoints else ""
        path = checkpoints / f"resnet_{key[:16]}.pt" if checkpoints else None
        annealing = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=settings.max_epochs)
        options: dict[str, Any] = {"checkpoint": path, "progress": progress, "description": description}
        run_epoch = _epoch(model, optimizer, inputs, labels, (inner, watched), settings, place)
        stopping = Stopping(settings.max_epochs, "validation_loss", "lowest", settings.patience)
        history = train(model, optimizer, run_epoch, stopping, seed=settings.seed, scheduler=annealing, **options)
    tuned.weights_description = f"{net.weights_description}, fine-tuned on {len(labels)} labelled images"
    return FineTuned(tuned.eval(), head, history)


def predict_classes(
    tuned: FineTuned, images: NDArray[Any], settings: FineTuneSettings, device: str = "auto"
) -> Float32Array:
    """Return class probabilities of images, shape (n, classes)."""
    place = choose_device(device)
    model = nn.Sequential(tuned.net, tuned.head).to(place).eval()
    inputs = normalise_images(images, settings.normalisation)
    return predict_batches(lambda batch: model(batch).softmax(dim=1), inputs, place)


def pretrain_rotation(
    net: ResNetFeatures, images: NDArray[Any], settings: FineTuneSettings | None = None, **options: Any
) -> FineTuned:
    """Train a network to tell by how many quarter turns an image was rotated: weights without any label.

    A self-supervised start for machines without the ImageNet file (Gidaris 2018, rotation
    prediction). Give it training images only.
    """
    settings = settings or FineTuneSettings()
    turns = np.arange(len(images)) % 4
    turned = np.stack([np.rot90(image, int(k), axes=(1, 2)) for image, k in zip(images, turns, strict=True)])
    tuned = fine_tune(net, turned, turns, settings, **options)
    tuned.net.weights_description = (
        f"ResNet-{net.depth} with self-supervised weights (rotation of {len(images)} training images, "
        f"seed {settings.seed}), not trained on ImageNet or on any label"
    )
    return tuned


def _inner_split(labels: NDArray[np.int64], settings: FineTuneSettings) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split off the images that early stopping watches, stratified by class."""
    counts = np.bincount(labels)
    if len(counts) < 2 or counts.min() < 2:
        raise NotEstimableError(
            f"Fine-tuning needs at least 2 images of each class; there are {counts.tolist()} of class 0, 1, ..."
        )
    n_watched = max(len(counts), round(len(labels) * settings.validation_share))
    splitter = StratifiedShuffleSplit(n_splits=1, test_size=n_watched, random_state=settings.seed)
    inner, watched = next(splitter.split(np.zeros(len(labels)), labels))
    return np.sort(inner), np.sort(watched)


def _epoch(
    model: nn.Sequential,
    optimizer: torch.optim.Optimizer,
    inputs: Float32Array,
    labels: NDArray[np.int64],
    parts: tuple[NDArray[np.int64], NDArray[np.int64]],
    settings: FineTuneSettings,
    place: torch.device,
) -> Callable[[int], dict[str, float]]:
    """Return the function that trains one epoch on the first part and watches the second."""
    inner, watched = parts

    def loss_of(logits: torch.Tensor, positions: NDArray[np.int64]) -> torch.Tensor:
        return functional.cross_entropy(logits, torch.as_tensor(labels[inner[positions]], device=place))

    def run(epoch: int) -> dict[str, float]:
        shuffled = shuffled_batches(len(inner), settings.batch_size, settings.seed, epoch)
        # batch normalisation can not measure the spread of one image
        batches = [batch for batch in shuffled if len(batch) > 1]
        how = (place, settings.mixed_precision)
        loss = fit_batches(model, optimizer, batches, lambda b: inputs[inner[b]], loss_of, *how)
        model.eval()
        logits = torch.as_tensor(predict_batches(model, inputs[watched], place))
        truth = torch.as_tensor(labels[watched])
        watched_loss = functional.cross_entropy(logits, truth).item()
        accuracy = float((logits.argmax(dim=1) == truth).float().mean())
        return {"train_loss": loss, "validation_loss": watched_loss, "validation_accuracy": accuracy}

    return run
