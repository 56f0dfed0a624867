"""The 2-D U-Net of Song 2021, its bottleneck features, and their aggregation from slices to subjects.

The network is MONAI's BasicUNet: an encoder of four 2 x 2 max-pooling modules, a decoder of four
transposed convolutions, skip connections, two 3 x 3 convolutions with ELU per level
(Song 2021, Supplementary Methods 1 and Figure S2). 64 base channels give the printed
16 x 16 x 1024 bottleneck for an input of 256 x 256. No normalisation layer is printed; none is used.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np
import pandas as pd
import torch
from monai.networks.nets import BasicUNet
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from torch import nn

from radsupport.errors import InputError
from radsupport.features.torch_tools import (
    Float32Array,
    cached_rows,
    choose_device,
    content_hash,
    feature_table,
    predict_batches,
    reproducible,
)

Aggregation = Literal["kmeans_largest", "mean", "max", "median", "largest_slice"]
AGGREGATIONS: tuple[Aggregation, ...] = get_args(Aggregation)
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
    with reproducible(seed):
        model = UNet2D(base_channels)
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
    return model


def layer_table(base_channels: int, size: int) -> pd.DataFrame:
    """List the network level by level, for an input of `size` x `size` pixels.

    Returns
    -------
    DataFrame
        layer, made_of, output_shape (rows, columns, channels), parameters. Computed by sending an empty slice through
        a network without storage (PyTorch's meta device): the printed size costs no more than a small one.
    """
    with torch.device("meta"):
        model, image = UNet2D(base_channels), torch.empty(1, 1, size, size)
    rows: list[dict[str, Any]] = []

    def note(module: nn.Module, _: Any, output: torch.Tensor) -> None:
        shape = (*output.shape[2:], output.shape[1])
        parameters = sum(parameter.numel() for parameter in module.parameters())
        rows.append({"output_shape": ", ".join(map(str, shape)), "parameters": parameters})

    for name, module in model.named_children():
        if name in LEVELS:
            module.register_forward_hook(note)
    with torch.inference_mode():
        model(image)
    named = [{"layer": layer, "made_of": made_of} for layer, made_of in LEVELS.values()]
    return pd.DataFrame([name | row for name, row in zip(named, rows, strict=True)])


def check_planes(images: NDArray[Any]) -> Float32Array:
    """Return slices as a float32 array of shape (n, 1, rows, columns), or say what is wrong with them."""
    images = np.asarray(images, dtype=np.float32)
    if images.ndim == 3:
        images = images[:, None]
    if images.ndim != 4 or images.shape[1] != 1 or len(images) == 0:
        raise InputError(f"Slices must have the shape (n, 1, rows, columns), theirs is {images.shape}.")
    if any(side % 16 for side in images.shape[2:]):
        raise InputError(f"Rows and columns must be multiples of 16 (four poolings), they are {images.shape[2:]}.")
    if not np.isfinite(images).all():
        raise InputError("Slices hold missing or infinite values; exclude these cases.")
    return images


def bottleneck_features(
    model: UNet2D,
    images: NDArray[Any],
    *,
    batch_size: int = 16,
    device: str = "auto",
    cache: Path | None = None,
    progress: bool = False,
) -> Float32Array:
    """Return the global average of each bottleneck channel for each slice (Song 2021, Supplementary Methods 2).

    Parameters
    ----------
    images : array, shape (n, 1, rows, columns)
        Windowed slices, 0-1; sides multiples of 16.
    cache : Path, optional
        Folder that keeps each slice's features under the hash of slice and weights.

    Returns
    -------
    float32 array, shape (n, 16 base_channels)
    """
    images = check_planes(images)
    place = choose_device(device)
    model = model.to(place).eval()

    def pooled(batch: torch.Tensor) -> torch.Tensor:
        return model.bottleneck(batch).mean(dim=(2, 3))

    weights = content_hash(model.state_dict()) if cache else ""
    keys = [content_hash("unet bottleneck", weights, image) if cache else str(i) for i, image in enumerate(images)]

    def compute(positions: list[int]) -> Float32Array:
        return predict_batches(pooled, images[positions], place, batch_size=batch_size)

    return cached_rows(keys, compute, cache, chunk=batch_size, progress=progress, description="U-Net features")


def aggregate_slices(
    features: NDArray[Any], table: pd.DataFrame, how: Aggregation = "kmeans_largest", *, seed: int = 0
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
        subject, n_slices, n_kept, then `deep_0000` ...; subjects in the order of their first slice.
    """
    reduce = _aggregator(how, seed)
    features = np.asarray(features, dtype=np.float64)
    if features.ndim != 2 or len(features) != len(table):
        raise InputError(f"{len(table)} slices are described, but the features' shape is {features.shape}.")
    rows, heads = [], []
    for subject, positions in table.groupby("subject", sort=False).indices.items():
        kept = reduce(features[positions], table["area"].to_numpy()[positions])
        heads.append({"subject": subject, "n_slices": len(positions), "n_kept": kept[1]})
        rows.append(kept[0])
    heading = pd.DataFrame(heads)
    return heading.merge(feature_table(heading["subject"].tolist(), np.array(rows)), on="subject")


Reducer = Callable[[NDArray[Any], NDArray[Any]], tuple[NDArray[Any], int]]


def _aggregator(how: Aggregation, seed: int) -> Reducer:
    """Return the function from one subject's slices (n, c) and areas (n,) to its features and number of kept slices."""
    simple: dict[str, Reducer] = {
        "mean": lambda x, _: (x.mean(axis=0), len(x)),
        "max": lambda x, _: (x.max(axis=0), len(x)),
        "median": lambda x, _: (np.median(x, axis=0), len(x)),
        "largest_slice": lambda x, area: (x[np.argmax(area)], 1),
        "kmeans_largest": lambda x, area: _larger_cluster(x, area, seed),
    }
    if how not in simple:
        raise InputError(f"Unknown aggregation '{how}'. Use one of {', '.join(AGGREGATIONS)}.")
    return simple[how]


def _larger_cluster(slices: NDArray[Any], area: NDArray[Any], seed: int) -> tuple[NDArray[Any], int]:
    """Average the larger of two K-means clusters; one slice, or identical ones, can not be clustered."""
    if len(np.unique(slices, axis=0)) < 2:
        return slices.mean(axis=0), len(slices)
    labels = KMeans(n_clusters=2, n_init=10, random_state=seed).fit_predict(slices)
    sizes: list[int] = np.bincount(labels, minlength=2).tolist()
    keep = labels[np.argmax(area)] if sizes[0] == sizes[1] else int(np.argmax(sizes))
    return slices[labels == keep].mean(axis=0), sizes[keep]
