"""The 2-D U-Net of Song 2021, its bottleneck features, and their aggregation from slices to subjects.

The network is MONAI's BasicUNet: an encoder of four 2 x 2 max-pooling modules, a decoder of four
transposed convolutions, skip connections, two 3 x 3 convolutions with ELU per level
(Song 2021, Supplementary Methods 1 and Figure S2). 64 base channels give the printed
16 x 16 x 1024 bottleneck for an input of 256 x 256. No normalisation layer is printed; none is used.

Training the U-Net on outlined slices (Song 2021, Supplementary Methods 1).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from monai.networks.nets import BasicUNet
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from torch import nn
from torch.nn import functional

from radsupport.errors import InputError
from radsupport.networks import training
from radsupport.networks.training import Float32Array, Lesson, Schedule

_TWO = "two 3 × 3 convolutions, each with ELU"
_DOWN, _UP = f"2 × 2 max pooling, {_TWO}", f"2 × 2 transposed convolution, skip connection, {_TWO}"
#: MONAI's parts in the order in which an image passes them: name and make in tables.
LEVELS = {
    "conv_0": ("encoder 1", _TWO),
    **{f"down_{i}": (f"encoder {i + 1}", _DOWN) for i in range(1, 4)},
    "down_4": ("bottleneck, whose mean is the feature vector", _DOWN),
    **{f"upcat_{i}": (f"decoder {i}", _UP) for i in range(4, 0, -1)},
    "final_conv": ("output: background and tumour", "1 × 1 convolution"),
}


class UNet2D(BasicUNet):
    """BasicUNet in 2-D with ELU and no normalisation; two output channels, background and tumour.

    Parameters
    ----------
    base_channels : int
        Channels of the first level; doubled at each of the four levels below it.
    """

    def __init__(self, base_channels: int = 64) -> None:
        channels = [base_channels * 2**level for level in range(5)]
        super().__init__(
            spatial_dims=2,
            in_channels=1,
            out_channels=2,
            features=[*channels, base_channels],
            act=("ELU", {"alpha": 1.0}),
            norm=cast(Any, None),  # MONAI takes None as "no layer", though it does not declare it
        )
        self.base_channels = base_channels
        for up in (self.upcat_1, self.upcat_2, self.upcat_3, self.upcat_4):
            up.is_pad = False  # sides are multiples of 16: padding by nothing would only copy the maps

    def bottleneck(self, images: torch.Tensor) -> torch.Tensor:
        """Return the last convolution before the decoder, after its ELU; shape (n, 16 base, rows/16, columns/16)."""
        encoder = (self.conv_0, self.down_1, self.down_2, self.down_3, self.down_4)
        for module in encoder:
            images = module(images)
        return images


def build_unet(base_channels: int = 64, seed: int = 0) -> UNet2D:
    """Return a U-Net with seeded He-normal weights and zero biases.

    The paper does not name its initialisation; He's keeps the gradients of an ELU network
    without normalisation layers alive down to the bottleneck.
    """
    if base_channels < 1:
        raise InputError(f"`base_channels` must be at least 1, it is {base_channels}.")
    with training.reproducible(seed):
        model = UNet2D(base_channels)
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
    return model


@functools.cache
def layer_table(base_channels: int = 64, size: int = 256) -> pd.DataFrame:
    """List the network level by level, for an input of `size` x `size` pixels.

    Returns
    -------
    DataFrame
        layer, made_of, output_shape (rows, columns, channels), parameters.
    """
    rows = training.layers_of(lambda: UNet2D(base_channels), (size, size))
    return pd.DataFrame(
        [
            dict(zip(("layer", "made_of"), LEVELS[row["layer"]], strict=True))
            | {key: row[key] for key in ("output_shape", "parameters")}
            for row in rows
            if row["layer"] in LEVELS
        ]
    )


def check_planes(images: NDArray[Any]) -> Float32Array:
    """Return slices as a float32 array of shape (n, 1, rows, columns), or say what is wrong with them."""
    images = training.check_stack(images, "Slices", 1, ("rows", "columns"))
    if any(side % 16 for side in images.shape[2:]):
        raise InputError(f"Rows and columns must be multiples of 16 (four poolings), they are {images.shape[2:]}.")
    return images


def bottleneck_features(model: UNet2D, images: NDArray[Any]) -> Float32Array:
    """Return the global average of each bottleneck channel for each slice (Song 2021, Supplementary Methods 2).

    Parameters
    ----------
    images : array, shape (n, 1, rows, columns)
        Windowed slices, 0-1; sides multiples of 16.

    Returns
    -------
    float32 array, shape (n, 16 base_channels)
    """
    model = training.on_device(model)
    return training.predict_batches(lambda batch: model.bottleneck(batch).mean(dim=(2, 3)), check_planes(images))


def _larger_cluster(slices: NDArray[Any], area: NDArray[Any], seed: int) -> NDArray[Any]:
    """Average the larger of two K-means clusters; one slice, or identical ones, can not be clustered."""
    if (slices == slices[0]).all():
        return slices.mean(axis=0)
    labels = KMeans(n_clusters=2, n_init=10, random_state=seed).fit_predict(slices)
    sizes: list[int] = np.bincount(labels, minlength=2).tolist()
    keep = labels[np.argmax(area)] if sizes[0] == sizes[1] else int(np.argmax(sizes))
    return slices[labels == keep].mean(axis=0)


#: How the slices of a subject (n, c) and their areas (n,) become one row.
AGGREGATIONS: dict[str, Callable[[NDArray[Any], NDArray[Any], int], NDArray[Any]]] = {
    "kmeans_largest": _larger_cluster,
    "mean": lambda slices, area, seed: slices.mean(axis=0),
    "max": lambda slices, area, seed: slices.max(axis=0),
    "median": lambda slices, area, seed: np.median(slices, axis=0),
    "largest_slice": lambda slices, area, seed: slices[np.argmax(area)],
}


def aggregate_slices(
    features: NDArray[Any], table: pd.DataFrame, how: str = "kmeans_largest", *, seed: int = 0
) -> pd.DataFrame:
    """Turn slice features into one row per subject.

    Parameters
    ----------
    features : array, shape (n, c)
    table : DataFrame
        One row per slice: subject, area (voxels of the ROI or mask in it; finds the largest slice).
    how : str
        "kmeans_largest": K-means with k=2, mean of the larger cluster (Song 2021); a tie goes to
        the cluster that holds the largest slice, a single slice stays itself. "mean", "max",
        "median": over all slices. "largest_slice": the slice of largest area.

    Returns
    -------
    DataFrame
        subject, `deep_0000` ...; subjects in the order of their first slice.
    """
    if how not in AGGREGATIONS:
        raise InputError(f"Unknown aggregation '{how}'. Use one of {', '.join(AGGREGATIONS)}.")
    features, area = np.asarray(features, dtype=np.float64), table["area"].to_numpy()
    if features.ndim != 2 or len(features) != len(table):
        raise InputError(f"{len(table)} slices are described, but the features' shape is {features.shape}.")
    groups = table.groupby("subject", sort=False).indices
    rows = [AGGREGATIONS[how](features[at], area[at], seed) for at in groups.values()]
    return training.feature_table(list(groups), np.array(rows))


@dataclass(frozen=True)
class UNetSettings(Schedule):
    """How the U-Net is trained.

    Base channels, learning rate, Adam and cross-entropy are the paper's; batch size, epochs and
    patience are not printed.
    """

    base_channels: int = 64
    max_epochs: int = 200


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


def predict_masks(model: UNet2D, images: NDArray[Any]) -> NDArray[np.bool_]:
    """Segment slices (n, 1, rows, columns); True where the tumour's probability is above one half."""
    logits = training.predict_batches(training.on_device(model), check_planes(images))
    return logits[:, 1] > logits[:, 0]


def train_unet(
    images: NDArray[Any],
    masks: NDArray[Any],
    validation_images: NDArray[Any],
    validation_masks: NDArray[Any],
    settings: UNetSettings | None = None,
    *,
    checkpoints: Path | None = None,
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
    model = training.channels_last(build_unet(settings.base_channels, settings.seed).to(training.choose_device()))
    optimizer = training.adam(model, settings.learning_rate)
    lesson = Lesson(
        len(images), lambda b: images[b], lambda logits, b: _cross_entropy(logits, masks[b]),
        lambda: _validate(model, *validation),
    )  # fmt: skip
    path = training.checkpoint_file(checkpoints, "unet", asdict(settings), images, masks, *validation)
    history = training.fit(
        model, optimizer, lesson, settings, "validation_dsc", "highest", checkpoint=path, description="U-Net"
    )
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


def _validate(model: UNet2D, images: NDArray[Any], masks: NDArray[Any]) -> dict[str, float]:
    logits = training.predict_batches(model, images)
    loss = _cross_entropy(torch.as_tensor(logits), masks)
    dice = dice_per_slice(logits[:, 1] > logits[:, 0], masks)
    return {"validation_loss": loss.item(), "validation_dsc": float(dice.mean())}
