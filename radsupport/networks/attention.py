"""Where a network looks: Grad-CAM and occlusion sensitivity in 2-D and 3-D, and the share of heat in the tumour.

Maps have the orientation of their image and more is more evidence for the class; a map is 0 where
nothing speaks for it. MONAI's default normaliser turns its maps upside down (the hottest voxel
becomes 0), and its occlusion map falls where the class rises; neither convention is used here.

Where the networks of both sampling schemes look, on the same patients (Cui 2022, Figure 8).

Grad-CAM is averaged over the networks of the folds. Shares are taken on a grid of 1 mm, whatever the patch's voxels.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from captum.attr import Occlusion
from monai.visualize import GradCAM
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.stats import spearmanr
from torch import nn
from tqdm import tqdm

from radsupport.checks import held_out
from radsupport.errors import InputError, MaskError
from radsupport.networks.cnn3d import CNN3D
from radsupport.networks.result import nothing
from radsupport.networks.schemes import Scheme
from radsupport.networks.training import Float32Array, check_subjects, choose_device, on_device
from radsupport.stats.groups import FEWEST, signed_rank


def scale_to_maximum(maps: torch.Tensor) -> torch.Tensor:
    """Divide each map by its maximum, so that the hottest voxel is 1 and no evidence stays 0."""
    highest = maps.amax(dim=tuple(range(1, maps.ndim)), keepdim=True)
    return maps / torch.where(highest > 0, highest, torch.ones_like(highest))


def grad_cam(
    model: nn.Module, images: NDArray[Any], layer: str, *, class_index: int = 1, batch_size: int = 4
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
    place = choose_device()
    cam = GradCAM(copy.deepcopy(model).to(place).eval(), layer, postprocessing=scale_to_maximum)
    maps = []
    for start in range(0, len(images), batch_size):
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
    progress: bool = False,
) -> Float32Array:
    """Return by how much the class's probability falls when a block is covered; below 0 where it rises.

    captum's Occlusion, image by image: blocks start at the first voxel, and the last one of an axis ends at the border.
    MONAI 1.6's version indexes tensors in a way that torch has given up, and takes a network of one input channel for
    one of a single class.

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

    Raises
    ------
    InputError
        A block larger than the image, or steps larger than the block, which leave voxels uncovered.
    """
    images = _check_inputs(images)
    size, spatial = tuple(block), images.shape[2:]
    strides = tuple(step or [max(1, b // 2) for b in size])
    if len(size) != len(spatial) or any(not 1 <= b <= n for b, n in zip(size, spatial, strict=False)):
        raise InputError(f"The block {size} does not fit into images of {spatial}.")
    if len(strides) != len(size) or any(not 1 <= s <= b for s, b in zip(strides, size, strict=False)):
        raise InputError(f"The step {strides} has to be 1 or more, and no larger than the block {size}, on every axis.")
    network, device, channels = on_device(model), choose_device(), images.shape[1]
    occlusion = Occlusion(lambda batch: network(batch).softmax(dim=1)[:, class_index])
    how: Any = {"sliding_window_shapes": (channels, *size), "strides": (channels, *strides)}
    maps = []
    for image in tqdm(images, disable=not progress, desc="occlusion"):
        value = float(image.mean()) if fill == "mean" else float(fill)
        inputs = torch.as_tensor(image[None], device=device)
        falls = occlusion.attribute(inputs, baselines=value, perturbations_per_eval=batch_size, **how)
        maps.append(falls[0, 0].cpu().numpy())
    return np.stack(maps).astype(np.float32)


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
        concentration (tumour / tumour_volume), peak_in_tumour (bool; None without heat), no_heat (bool).
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
    peak = bool(inside.ravel()[np.argmax(heat)]) if total > 0 else None
    shares |= {"tumour_volume": volume, "concentration": shares["tumour"] / volume}
    return shares | {"peak_in_tumour": peak, "no_heat": bool(total == 0)}


def _check_inputs(images: NDArray[Any]) -> Float32Array:
    images = np.asarray(images, dtype=np.float32)
    if images.ndim not in (4, 5) or len(images) == 0:
        raise InputError(f"Images must have the shape (n, channels, ...) in 2-D or 3-D, theirs is {images.shape}.")
    return images


#: Columns of `heat_shares` that the schemes are compared in, and how they are called.
MEASURES = {
    "tumour": "heat in the tumour",
    "neighbour": "heat in the tissue next to it",
    "concentration": "heat in the tumour over the tumour's share of the patch",
}


SHARES = (
    "subject", "scheme", "tumour", "neighbour", "elsewhere", "tumour_volume", "concentration", "peak_in_tumour",
    "no_heat",
)  # fmt: skip


class Ensemble(nn.Module):
    """The networks of the folds as one, whose softmax is the mean of theirs."""

    def __init__(self, models: Sequence[CNN3D]) -> None:
        super().__init__()
        self.models = nn.ModuleList(models)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logarithm of the mean class probabilities, shape (n, 2)."""
        probabilities = torch.stack([model(x).softmax(dim=1) for model in self.models]).mean(dim=0)
        return probabilities.clamp_min(torch.finfo(probabilities.dtype).tiny).log()


@dataclass(frozen=True)
class Attention:
    """Heat of both schemes on the same patients.

    Attributes
    ----------
    subjects : list of str
    schemes : tuple of Scheme
    maps : dict of scheme name to array, shape (n, slices, rows, columns)
        0 to 1.
    shares : DataFrame
        subject, scheme, tumour, neighbour, elsewhere, tumour_volume, concentration, peak_in_tumour, no_heat.
    """

    subjects: list[str]
    schemes: tuple[Scheme, ...]
    maps: dict[str, Float32Array]
    shares: pd.DataFrame

    def share(self, subject: str, scheme: str) -> float:
        """Return the share of one patient's heat in the tumour."""
        row = self.shares[(self.shares["subject"] == subject) & (self.shares["scheme"] == scheme)]
        return float(row["tumour"].iloc[0])

    def compare(self) -> pd.DataFrame:
        """Compare two schemes' shares of heat in the same patients.

        Returns
        -------
        DataFrame
            measure, n, one column per scheme (median), difference (first minus second, Hodges-Lehmann), ci_low,
            ci_high (95%, from the same test), p (Wilcoxon's signed-rank test), method (exact or normal approximation),
            as `stats.groups.signed_rank` gives them. Missing where fewer than three patients have heat in both schemes;
            limits are missing where the test could reject no shift. No rows unless there are two schemes.
        """
        names = [scheme.name for scheme in self.schemes]
        if len(names) != 2:
            return nothing("")
        rows = []
        for column, words in MEASURES.items():
            # a scheme without any heat keeps its column, which pivot_table would else drop
            wide = self.shares.pivot_table(index="subject", columns="scheme", values=column, dropna=False)
            wide = wide[names].dropna()
            row: dict[str, object] = {"measure": words, "n": len(wide)}
            if len(wide) >= FEWEST:
                difference = (wide[names[0]] - wide[names[1]]).to_numpy()
                row |= {name: float(wide[name].median()) for name in names}
                row |= paired_difference(difference)
            rows.append(row)
        return pd.DataFrame(rows, columns=["measure", "n", *names, "difference", "ci_low", "ci_high", "p", "method"])

    def check(self) -> pd.DataFrame:
        """Compare Grad-CAM with what covering parts of the patch does to the risk, in the pictured patients.

        Returns
        -------
        DataFrame
            subject, scheme, spearman (of the two maps over voxels), cam_tumour and occlusion_tumour (share of the heat
            in the tumour by either; missing where covering nothing lowers the risk).
        """
        tables = [nothing("", ["subject", "scheme", "spearman", "cam_tumour", "occlusion_tumour"])]
        for scheme in self.schemes:
            shown = self.subjects[: scheme.spec.cam_patients]
            block = [min(b, n) for b, n in zip(scheme.spec.occlusion, scheme.spec.patch, strict=True)]
            heat = self.maps[scheme.name][: len(shown)]
            # 0 is what segmentation sampling itself puts outside the tumour; a box is covered by its own mean
            fill: Any = 0.0 if scheme.sampling == "segmentation" else "mean"
            falls = occlusion_sensitivity(
                Ensemble(scheme.trained.models), scheme.images(shown), block, step=block, fill=fill
            )
            masks = on_millimetres(scheme.masks(shown), scheme.covered_mm)
            table = map_agreement(heat, falls, shown).assign(scheme=scheme.name)
            for name, part in (("cam_tumour", heat), ("occlusion_tumour", falls)):
                table[name] = heat_shares(on_millimetres(part, scheme.covered_mm), masks, shown)["tumour"]
            tables.append(table[tables[0].columns])
        return pd.concat(tables[1:], ignore_index=True) if tables[1:] else tables[0]

    def pictures(self) -> pd.DataFrame:
        """Return the pictured patients in every scheme, for `book.slider_html`.

        Returns
        -------
        DataFrame
            subject, panel, image, heat, mask (all slices), share (of the patient's heat in the tumour), words.
        """
        rows = []
        most = max((scheme.spec.cam_patients for scheme in self.schemes), default=0)
        for i, subject in enumerate(self.subjects[:most]):
            said = [f"{s.name}: {_heat_words(self.share(subject, s.name))}" for s in self.schemes]
            for scheme in self.schemes:
                patch = scheme.patches[subject]
                row = {"image": patch.image, "heat": self.maps[scheme.name][i], "mask": patch.mask}
                row |= {"share": self.share(subject, scheme.name), "words": "; ".join(said)}
                rows.append({"subject": subject, "panel": scheme.name} | row)
        return pd.DataFrame(rows) if rows else nothing("")

    def middle(self) -> pd.DataFrame:
        """Return the middle slice of each of the `pictured`, for `plots.contact_sheet`."""
        pictures = self.pictures()
        if pictures.empty:
            return pictures
        middle = {name: [array[array.shape[0] // 2] for array in pictures[name]] for name in ("image", "heat", "mask")}
        return pictures.assign(subject=pictures["subject"] + ", " + pictures["panel"], **middle)

    def pairs(self, measure: str = "tumour") -> pd.DataFrame:
        """Return one measure of the patients who have it in every scheme, for `plots.strips`.

        Returns
        -------
        DataFrame
            subject, group (scheme), value.
        """
        lacking = self.shares.loc[self.shares[measure].isna(), "subject"]
        kept = self.shares[~self.shares["subject"].isin(lacking)]
        pairs = kept.rename(columns={"scheme": "group", measure: "value"})[["subject", "group", "value"]]
        return pairs if len(pairs) else nothing("", list(pairs.columns))


def judged_subjects(schemes: Sequence[Scheme]) -> list[str]:
    """Return the patients that are looked at: those outside training, else the training patients.

    Who has no patch in one of the schemes, or no voxel of the tumour in it (a tumour of less than half a voxel of the
    patch), has no share of heat and is left out.
    """
    cohort = schemes[0].given.cohort
    others = held_out(cohort["cohort"])
    chosen = cohort[others] if others.any() else cohort[cohort["cohort"] == "train"]

    def is_seen(subject: str) -> bool:
        return all(subject in scheme.patches and scheme.patches[subject].mask.any() for scheme in schemes)

    return [subject for subject in sorted(chosen["subject"]) if is_seen(subject)]


def attend(schemes: Sequence[Scheme]) -> Attention:
    """Make the heat maps of all judged patients in every scheme, and their shares.

    Layer and reach of the neighbouring tissue are those of the schemes' settings; without a scheme there is no heat.
    """
    if not schemes:
        reason = "Heat maps are made for networks that give a risk, which this study does not use."
        return Attention([], (), {}, nothing(reason, SHARES))
    subjects, maps, shares = judged_subjects(schemes), {}, []
    for scheme in schemes:
        maps[scheme.name] = heat = mean_cam(scheme, subjects, scheme.spec.cam_layer)
        fine = [on_millimetres(part, scheme.covered_mm) for part in (heat, scheme.masks(subjects))]
        found = heat_shares(fine[0], fine[1], subjects, neighbour_voxels=scheme.spec.neighbour_mm)
        shares.append(found.assign(scheme=scheme.name))
    return Attention(subjects, tuple(schemes), maps, pd.concat(shares, ignore_index=True)[list(SHARES)])


def mean_cam(scheme: Scheme, subjects: list[str], layer: str) -> Float32Array:
    """Return the mean over the folds' networks of the Grad-CAM of the event, 0 to 1."""
    images = scheme.images(subjects)
    return np.mean([grad_cam(model, images, layer) for model in scheme.trained.models], axis=0, dtype=np.float32)


def on_millimetres(arrays: NDArray[Any], mm: tuple[int, int, int]) -> NDArray[Any]:
    """Return maps (n, slices, rows, columns) with voxels of 1 mm, each taken from the voxel that holds its centre."""
    for axis, wanted in enumerate(mm, start=1):
        n = arrays.shape[axis]
        arrays = np.take(arrays, np.floor((np.arange(wanted) + 0.5) * n / wanted).astype(int), axis=axis)
    return arrays


def paired_difference(difference: NDArray[np.float64]) -> dict[str, float | str]:
    """Return the estimate of `signed_rank` with its interval, P and method; a limit that does not exist is missing."""
    found = signed_rank(difference)
    low, high = (limit if np.isfinite(limit) else np.nan for limit in (found.ci_low, found.ci_high))
    return {"difference": found.estimate, "ci_low": low, "ci_high": high, "p": found.p, "method": found.method}


def _heat_words(share: float) -> str:
    return "no heat" if np.isnan(share) else f"{share:.0%} of the heat in the tumour"
