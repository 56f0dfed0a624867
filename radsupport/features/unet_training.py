"""Training the U-Net on outlined slices (Song 2021, Supplementary Methods 1)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch.nn import functional

from radsupport.errors import InputError
from radsupport.features.network_training import Stopping, fit_batches, train
from radsupport.features.torch_tools import (
    channels_last,
    choose_device,
    content_hash,
    predict_batches,
    reproducible,
    shuffled_batches,
)
from radsupport.features.unet import UNet2D, build_unet, check_planes


@dataclass(frozen=True)
class UNetSettings:
    """How the U-Net is trained.

    Base channels, learning rate, Adam and cross-entropy are the paper's; batch size, epochs and
    patience are not printed. `mixed_precision` and `deterministic` matter on a GPU only.
    """

    base_channels: int = 64
    learning_rate: float = 1e-5
    batch_size: int = 8
    max_epochs: int = 200
    patience: int = 20
    seed: int = 0
    mixed_precision: bool = False
    deterministic: bool = True


@dataclass(frozen=True)
class TrainedUNet:
    """A trained network and its history.

    Attributes
    ----------
    history : DataFrame
        One row per epoch: epoch, learning_rate, train_loss, validation_loss, validation_dsc, best.
    """

    model: UNet2D
    history: pd.DataFrame


def split_subjects(
    subjects: NDArray[Any] | list[str] | pd.Series, validation_share: float = 0.1, seed: int = 0
) -> tuple[list[str], list[str]]:
    """Split subjects, never their slices, into training and validation (9:1 in the paper).

    Returns
    -------
    tuple of list
        Training subjects and validation subjects; at least one in each.
    """
    unique = pd.unique(np.asarray(subjects, dtype=object))
    if len(unique) < 2:
        raise InputError(f"A split needs at least 2 subjects, there are {len(unique)}.")
    if not 0 < validation_share < 1:
        raise InputError(f"`validation_share` must lie between 0 and 1, it is {validation_share}.")
    n_validation = int(np.clip(round(len(unique) * validation_share), 1, len(unique) - 1))
    order = np.random.default_rng(seed).permutation(len(unique))
    chosen = set(order[:n_validation].tolist())
    training = [subject for i, subject in enumerate(unique) if i not in chosen]
    return training, [subject for i, subject in enumerate(unique) if i in chosen]


def dice_per_slice(predicted: NDArray[Any], true: NDArray[Any]) -> NDArray[np.float64]:
    """Return the Dice similarity of each slice, 2 |A and B| / (|A| + |B|) (equation 1); 1 where both are empty.

    Parameters
    ----------
    predicted, true : bool array, shape (n, rows, columns)
    """
    predicted, true = np.asarray(predicted) > 0, np.asarray(true) > 0
    if predicted.shape != true.shape:
        raise InputError(f"Predicted masks are {predicted.shape}, true ones {true.shape}.")
    both = (predicted & true).sum(axis=(1, 2))
    total = predicted.sum(axis=(1, 2)) + true.sum(axis=(1, 2))
    return np.where(total == 0, 1.0, 2 * both / np.maximum(total, 1))


def predict_masks(
    model: UNet2D, images: NDArray[Any], *, batch_size: int = 16, device: str = "auto"
) -> NDArray[np.bool_]:
    """Segment slices (n, 1, rows, columns); True where the tumour's probability is above one half."""
    place = choose_device(device)
    model = model.to(place).eval()
    logits = predict_batches(model, check_planes(images), place, batch_size=batch_size)
    return logits[:, 1] > logits[:, 0]


def train_unet(
    images: NDArray[Any],
    masks: NDArray[Any],
    validation_images: NDArray[Any],
    validation_masks: NDArray[Any],
    settings: UNetSettings | None = None,
    *,
    device: str = "auto",
    checkpoints: Path | None = None,
    progress: bool = False,
) -> TrainedUNet:
    """Train with Adam and cross-entropy, and keep the epoch of the highest validation Dice.

    Whoever must not leak into a later cross-validation has to be left out by the caller.

    Parameters
    ----------
    images, validation_images : array, shape (n, 1, rows, columns)
        Windowed slices, 0-1; sides multiples of 16.
    masks, validation_masks : array, shape (n, rows, columns)
    checkpoints : Path, optional
        Folder for a checkpoint named by data and settings; a killed training resumes, a finished one is read back.
    """
    settings = settings or UNetSettings()
    images, masks = _pair(images, masks, "training")
    validation = _pair(validation_images, validation_masks, "validation")
    place = choose_device(device)
    model = channels_last(build_unet(settings.base_channels, settings.seed).to(place))
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate)

    def run_epoch(epoch: int) -> dict[str, float]:
        batches = shuffled_batches(len(images), settings.batch_size, settings.seed, epoch)
        take = (lambda b: images[b], lambda logits, b: _cross_entropy(logits, masks[b]))
        loss = fit_batches(model, optimizer, batches, *take, place, settings.mixed_precision)
        return {"train_loss": loss, **_validate(model, *validation, place)}

    key = content_hash("unet", asdict(settings), images, masks, *validation) if checkpoints else ""
    with reproducible(settings.seed, settings.deterministic):
        stopping = Stopping(settings.max_epochs, "validation_dsc", "highest", settings.patience)
        path = checkpoints / f"unet_{key[:16]}.pt" if checkpoints else None
        options: dict[str, Any] = {"checkpoint": path, "progress": progress, "description": "U-Net"}
        history = train(model, optimizer, run_epoch, stopping, seed=settings.seed, **options)
    return TrainedUNet(model.eval(), history)


def _pair(images: NDArray[Any], masks: NDArray[Any], name: str) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    planes = check_planes(images)
    outlines = np.asarray(masks) > 0
    if outlines.shape != (len(planes), *planes.shape[2:]):
        raise InputError(
            f"The {name} images are {planes.shape}, so masks must be (n, rows, columns), not {outlines.shape}."
        )
    if not outlines.any():
        raise InputError(f"The {name} masks are all empty; there is nothing to learn from.")
    return planes, outlines


def _cross_entropy(logits: torch.Tensor, masks: NDArray[Any]) -> torch.Tensor:
    """Return the mean over pixels, given as a list: the planar form has no deterministic CUDA kernel."""
    pixels = logits.permute(0, 2, 3, 1).reshape(-1, 2)
    return functional.cross_entropy(pixels, torch.as_tensor(masks, device=logits.device).long().reshape(-1))


def _validate(model: UNet2D, images: NDArray[Any], masks: NDArray[Any], device: torch.device) -> dict[str, float]:
    model.eval()
    logits = predict_batches(model, images, device)
    loss = _cross_entropy(torch.as_tensor(logits), masks)
    dice = dice_per_slice(logits[:, 1] > logits[:, 0], masks)
    return {"validation_loss": loss.item(), "validation_dsc": float(dice.mean())}
