"""Where a network looks: Grad-CAM and occlusion sensitivity in 2-D and 3-D, and the share of heat in the tumour.

Maps have the orientation of their image and more is more evidence for the class; a map is 0 where
nothing speaks for it. MONAI's default normaliser turns its maps upside down (the hottest voxel
becomes 0), and its occlusion map falls where the class rises; neither convention is used here.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from monai.visualize import GradCAM
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.stats import spearmanr
from torch import nn
from tqdm import tqdm

from radsupport.errors import InputError, MaskError
from radsupport.features.torch_tools import Float32Array, check_subjects, choose_device, predict_batches


def scale_to_maximum(maps: torch.Tensor) -> torch.Tensor:
    """Divide each map by its maximum, so that the hottest voxel is 1 and no evidence stays 0."""
    highest = maps.amax(dim=tuple(range(1, maps.ndim)), keepdim=True)
    return maps / torch.where(highest > 0, highest, torch.ones_like(highest))


def grad_cam(
    model: nn.Module,
    images: NDArray[Any],
    layer: str,
    *,
    class_index: int = 1,
    batch_size: int = 4,
    device: str = "auto",
    progress: bool = False,
) -> Float32Array:
    """Return the Grad-CAM of a class: the layer's maps weighted by their mean gradient, positive part.

    Parameters
    ----------
    model : nn.Module
        Gives logits (n, classes); it is copied, not changed.
    images : array, shape (n, channels, ...)
        Inputs of two or three dimensions, as the network was trained on.
    layer : str
        Name of the module whose output is weighted: "convolution6" of the 3-D CNN, "max_pooling4" as
        in Cui 2022 (one slice, hence a map that is the same in all slices).

    Returns
    -------
    float32 array, shape (n, ...)
        0-1, each map's maximum being 1 (Selvaraju 2017), interpolated linearly to the input's voxels.
    """
    names = [name for name, _ in model.named_modules() if name]
    if layer not in names:
        raise InputError(f"The network has no layer '{layer}'. It has {', '.join(names[:40])}.")
    images = _check_inputs(images)
    place = choose_device(device)
    cam = GradCAM(copy.deepcopy(model).to(place).eval(), layer, postprocessing=scale_to_maximum)
    maps = []
    for start in tqdm(range(0, len(images), batch_size), disable=not progress, desc="Grad-CAM"):
        batch = torch.as_tensor(images[start : start + batch_size], device=place)
        maps.append(cam(batch, class_idx=class_index)[:, 0].detach().cpu().numpy())
    return np.concatenate(maps).astype(np.float32)


def occlusion_sensitivity(
    model: nn.Module,
    images: NDArray[Any],
    block: Sequence[int],
    *,
    step: Sequence[int] | None = None,
    fill: float | Literal["mean"] = 0.0,
    class_index: int = 1,
    batch_size: int = 16,
    device: str = "auto",
    progress: bool = False,
) -> Float32Array:
    """Return by how much the class's probability falls when a block is covered; below 0 where it rises.

    Own code: MONAI 1.6's version indexes tensors in a way that torch has given up, and takes a
    network of one input channel for one of a single class.

    Parameters
    ----------
    block, step : sequence of int
        Voxels of the covering block per axis, and from one block to the next (half a block by default).
    fill : float or "mean"
        What the block is filled with; 0 is the background of segmentation sampling.

    Returns
    -------
    float32 array, shape (n, ...)
        Mean fall in probability over the blocks that cover a voxel.
    """
    images = _check_inputs(images)
    spatial = images.shape[2:]
    if len(block) != len(spatial) or any(not 1 <= b <= n for b, n in zip(block, spatial, strict=False)):
        raise InputError(f"The block {tuple(block)} does not fit into images of {spatial}.")
    windows = list(_windows(spatial, block, step or [max(1, b // 2) for b in block]))
    place = choose_device(device)
    probability = _class_probability(model.to(place).eval(), class_index)

    def falls_of(image: Float32Array) -> Float32Array:
        value = float(image.mean()) if fill == "mean" else float(fill)
        parts = [windows[i : i + batch_size] for i in range(0, len(windows), batch_size)]
        covered = [predict_batches(probability, _cover(image, part, value), place) for part in parts]
        return predict_batches(probability, image[None], place)[0] - np.concatenate(covered)

    bar = tqdm(images, disable=not progress, desc="occlusion")
    return np.stack([_average(spatial, windows, falls_of(image)) for image in bar])


def heat_shares(
    maps: NDArray[Any], masks: NDArray[Any], subjects: Sequence[str], *, neighbour_voxels: float = 10
) -> pd.DataFrame:
    """Say where each patient's heat lies: in the tumour, in the tissue next to it, or elsewhere in the patch.

    Parameters
    ----------
    maps : array, shape (n, ...)
        Heat; its positive part counts.
    masks : array of the same shape
        The tumour inside each patch.
    neighbour_voxels : float
        Tissue within this distance of the tumour is next to it; 10 mm on a 1 mm grid.

    Returns
    -------
    DataFrame
        subject, tumour, neighbour, elsewhere (shares of the heat, adding to 1; missing where a map is
        all 0), tumour_volume (share of the patch that is tumour: the share expected of even heat),
        concentration (tumour / tumour_volume), peak_in_tumour (bool), no_heat (bool).
    """
    maps, inside = np.asarray(maps, dtype=np.float64).clip(min=0), np.asarray(masks) > 0
    if maps.shape != inside.shape:
        raise InputError(f"Maps are {maps.shape}, masks {inside.shape}.")
    names = check_subjects(subjects, len(maps))
    empty = [name for name, mask in zip(names, inside, strict=True) if not mask.any()]
    if empty:
        raise MaskError(
            f"No tumour inside the patch of {', '.join(empty[:10])}; look at `share_inside` of the patches."
        )
    rows = [_shares(heat, mask, neighbour_voxels) for heat, mask in zip(maps, inside, strict=True)]
    return pd.DataFrame(rows).assign(subject=names)[["subject", *rows[0]]]


def map_agreement(maps: NDArray[Any], others: NDArray[Any], subjects: Sequence[str]) -> pd.DataFrame:
    """Return Spearman's correlation over voxels of two maps of each patient: subject, spearman.

    A check of Grad-CAM by occlusion; missing where a map is constant.
    """
    maps, others = np.asarray(maps), np.asarray(others)
    if maps.shape != others.shape:
        raise InputError(f"Maps are {maps.shape}, the others {others.shape}.")
    values = [
        np.nan if np.ptp(a) == 0 or np.ptp(b) == 0 else float(spearmanr(a.ravel(), b.ravel()).statistic)
        for a, b in zip(maps, others, strict=True)
    ]
    return pd.DataFrame({"subject": check_subjects(subjects, len(maps)), "spearman": values})


def _shares(heat: NDArray[np.float64], inside: NDArray[np.bool_], neighbour_voxels: float) -> dict[str, Any]:
    near = ~inside & (distance_transform_edt(~inside) <= neighbour_voxels)
    total, volume = heat.sum(), inside.mean()
    regions = {"tumour": inside, "neighbour": near, "elsewhere": ~inside & ~near}
    shares = {name: heat[region].sum() / total if total > 0 else np.nan for name, region in regions.items()}
    peak = bool(total > 0 and inside.ravel()[np.argmax(heat)])
    concentration = shares["tumour"] / volume
    return shares | {
        "tumour_volume": volume,
        "concentration": concentration,
        "peak_in_tumour": peak,
        "no_heat": bool(total == 0),
    }


def _check_inputs(images: NDArray[Any]) -> Float32Array:
    images = np.asarray(images, dtype=np.float32)
    if images.ndim not in (4, 5) or len(images) == 0:
        raise InputError(f"Images must have the shape (n, channels, ...) in 2-D or 3-D, theirs is {images.shape}.")
    return images


def _class_probability(model: nn.Module, class_index: int) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda batch: model(batch).softmax(dim=1)[:, class_index]


Window = tuple[slice, ...]


def _windows(spatial: Sequence[int], block: Sequence[int], step: Sequence[int]) -> Iterator[Window]:
    """Yield blocks that cover the image to its last voxel."""
    starts = [sorted({*range(0, n - b, max(1, s)), n - b}) for n, b, s in zip(spatial, block, step, strict=True)]
    for corner in product(*starts):
        yield tuple(slice(at, at + b) for at, b in zip(corner, block, strict=True))


def _cover(image: Float32Array, windows: Sequence[Window], value: float) -> Float32Array:
    covered = np.repeat(image[None], len(windows), axis=0)
    for copied, window in zip(covered, windows, strict=True):
        copied[(slice(None), *window)] = value
    return covered


def _average(spatial: Sequence[int], windows: Sequence[Window], falls: NDArray[Any]) -> Float32Array:
    total, count = np.zeros(spatial), np.zeros(spatial)
    for window, fall in zip(windows, falls, strict=True):
        total[window] += fall
        count[window] += 1
    return (total / count).astype(np.float32)
