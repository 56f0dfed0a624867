"""Training the 3-D CNN with class weights and seven-fold augmentation (Cui 2022, Training)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch.nn import functional

from radsupport.checks import as_binary
from radsupport.errors import InputError
from radsupport.features.augmentation import OPERATIONS, augment, draw_shift
from radsupport.features.cnn3d import CNN3D, Shape3D, build_cnn3d
from radsupport.features.network_training import Stopping, fit_batches, train
from radsupport.features.torch_tools import (
    Float32Array,
    channels_last,
    choose_device,
    predict_batches,
    reproducible,
    shuffled_batches,
)


@dataclass(frozen=True)
class CNN3DSettings:
    """How the 3-D CNN is trained.

    Learning rate, Adam without decay, dropout, class weights, five folds and the seven-fold
    augmentation are the paper's; epochs, batch size, patience and the range of the translation are
    not printed. `mixed_precision` and `deterministic` matter on a GPU only.

    Attributes
    ----------
    standardise : bool
        Shift and scale all inputs by mean and SD of the training patches (not printed). Without it a
        network given whole boxes, in which all patients look nearly alike, stays at its start for
        tens of epochs.
    stop_on : "inner" or "fold"
        Which patients early stopping watches: a stratified part of the training patients
        (`inner_share`), or the held-out fold itself. The latter, the usual reading of the paper,
        chooses the epoch that suits the held-out patients best and so flatters their predictions.
    """

    width: float = 1.0
    dropout: float = 0.5
    learning_rate: float = 1e-5
    batch_size: int = 8
    max_epochs: int = 100
    patience: int = 15
    folds: int = 5
    augment: bool = True
    max_shift: int = 10
    standardise: bool = True
    stop_on: Literal["inner", "fold"] = "inner"
    inner_share: float = 0.2
    seed: int = 0
    mixed_precision: bool = True
    deterministic: bool = True


def class_weights(y: NDArray[Any]) -> Float32Array:
    """Return n / (2 n_class) for classes 0 and 1, so that both weigh the same in the loss."""
    counts = np.bincount(as_binary(y), minlength=2)
    return (counts.sum() / (2 * counts)).astype(np.float32)


def check_patches(images: NDArray[Any], patch: Shape3D | None = None) -> Float32Array:
    """Return patches as a float32 array of shape (n, 1, slices, rows, columns), or say what is wrong with them."""
    images = np.asarray(images, dtype=np.float32)
    if images.ndim == 4:
        images = images[:, None]
    if images.ndim != 5 or images.shape[1] != 1 or len(images) == 0:
        raise InputError(f"Patches must have the shape (n, 1, slices, rows, columns), theirs is {images.shape}.")
    if patch is not None and images.shape[2:] != patch:
        raise InputError(f"The network was made for patches of {patch}, these are {images.shape[2:]}.")
    if not np.isfinite(images).all():
        raise InputError("Patches hold missing or infinite values; exclude these cases.")
    return images


def train_cnn3d(
    images: NDArray[Any],
    y: NDArray[Any],
    watched_images: NDArray[Any],
    watched_y: NDArray[Any],
    settings: CNN3DSettings | None = None,
    *,
    device: str = "auto",
    checkpoint: Path | None = None,
    progress: bool = False,
    description: str = "3-D CNN",
) -> tuple[CNN3D, pd.DataFrame]:
    """Train one network and keep the epoch of the lowest loss on the watched patients, who are not augmented.

    Parameters
    ----------
    images, watched_images : array, shape (n, 1, slices, rows, columns)
        Patches, 0-1.
    y, watched_y : array of 0/1
    checkpoint : Path, optional
        File from which a killed training resumes.

    Returns
    -------
    CNN3D, DataFrame
        The network, and one row per epoch.
    """
    settings = settings or CNN3DSettings()
    images = check_patches(images)
    patch = (images.shape[2], images.shape[3], images.shape[4])
    watched_images = check_patches(watched_images, patch)
    labels = as_binary(y, "y", len(images))
    watched = as_binary(watched_y, "watched_y", len(watched_images), both_classes=False)
    place = choose_device(device)
    with reproducible(settings.seed, settings.deterministic):
        model = build_cnn3d(patch, settings.width, settings.dropout, settings.seed)
        if settings.standardise:
            model.standardise_by(images)
        model = channels_last(model.to(place), dimensions=3)
        optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate)
        run_epoch = _epoch(model, optimizer, (images, labels), (watched_images, watched), settings, place)
        stopping = Stopping(settings.max_epochs, "validation_loss", "lowest", settings.patience)
        options: dict[str, Any] = {"checkpoint": checkpoint, "progress": progress, "description": description}
        history = train(model, optimizer, run_epoch, stopping, seed=settings.seed, **options)
    return model.eval(), history


Pair = tuple[Float32Array, NDArray[np.int64]]


def _epoch(
    model: CNN3D,
    optimizer: torch.optim.Optimizer,
    training: Pair,
    watched: Pair,
    settings: CNN3DSettings,
    place: torch.device,
) -> Callable[[int], dict[str, float]]:
    """Return the function that trains one epoch, over all copies of all patients, and watches the others."""
    images, labels = training
    weights = torch.as_tensor(class_weights(labels), device=place)
    shifts = [draw_shift(settings.seed, case, settings.max_shift) for case in range(len(images))]
    copies = len(OPERATIONS) if settings.augment else 1

    def batch_of(positions: NDArray[np.int64]) -> Float32Array:
        cases, operations = np.divmod(positions, copies)
        return np.stack([augment(images[c], OPERATIONS[o], shifts[c]) for c, o in zip(cases, operations, strict=True)])

    def loss_of(logits: torch.Tensor, positions: NDArray[np.int64]) -> torch.Tensor:
        return _weighted_loss(logits, labels[positions // copies], weights)

    def run(epoch: int) -> dict[str, float]:
        batches = shuffled_batches(len(images) * copies, settings.batch_size, settings.seed, epoch)
        loss = fit_batches(model, optimizer, batches, batch_of, loss_of, place, settings.mixed_precision)
        return {"train_loss": loss, **_watch(model, watched, weights, place)}

    return run


def _weighted_loss(logits: torch.Tensor, labels: NDArray[np.int64], weights: torch.Tensor) -> torch.Tensor:
    """Return the weighted sum over n patients divided by n, as Keras does.

    Torch's own mean divides by the sum of weights, so that they cancel in a batch of one class.
    """
    truth = torch.as_tensor(labels, device=logits.device)
    return functional.cross_entropy(logits, truth, weight=weights, reduction="sum") / len(labels)


def _watch(model: CNN3D, watched: Pair, weights: torch.Tensor, place: torch.device) -> dict[str, float]:
    model.eval()
    images, labels = watched
    logits = torch.as_tensor(predict_batches(model, images, place, batch_size=8), device=place)
    correct = logits.argmax(dim=1).cpu().numpy() == labels
    loss = _weighted_loss(logits, labels, weights).item()
    return {"validation_loss": loss, "validation_accuracy": float(correct.mean())}
