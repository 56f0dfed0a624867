"""What the networks look at: windowed, cropped and padded slices and patches of preprocessed volumes.

Volumes and masks are arrays in the order (slice, row, column), on the preprocessed grid
(1 mm cubic in all four studies, so that voxels below are also millimetres).

The two ways of cutting a patch for a 3-D network (Cui 2022), and how much of each tumour a patch holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
import pandas as pd
import SimpleITK as sitk
import torch
from numpy.typing import NDArray
from torch.nn import functional
from tqdm import tqdm

from radsupport.errors import GeometryError, InputError, MaskError, RadsupportError
from radsupport.imaging.masks import contact_sheet_data
from radsupport.imaging.preprocessing import window as preprocessing_window
from radsupport.imaging.reading import read_image, read_mask
from radsupport.imaging.regions import bounding_box
from radsupport.parallel import map_cases
from radsupport.settings.features import Cnn3d
from radsupport.settings.study import Study

Float32Array = NDArray[np.float32]
BoolArray = NDArray[np.bool_]
Sampling = Literal["segmentation", "box"]
Case = TypeVar("Case")


@dataclass(frozen=True)
class SliceStack:
    """Slices of one or many cases, ready for a 2-D network.

    Attributes
    ----------
    images : float32 array, shape (n, 1, size, size)
    masks : bool array, shape (n, size, size)
    table : DataFrame
        One row per slice: subject, slice (position in its volume), area (mask voxels before
        fitting), resized (whether the crop was larger than the network's input).
    """

    images: Float32Array
    masks: BoolArray
    table: pd.DataFrame


@dataclass(frozen=True)
class Patch:
    """A 3-D patch around a tumour; `share_inside` is the share of the tumour's voxels that it holds."""

    image: Float32Array
    mask: BoolArray
    share_inside: float


def window(volume: NDArray[Any], level: float, width: float) -> Float32Array:
    """Clip HU to the window and scale to 0-1: 0 at level - width/2 and below, 1 at level + width/2 and above."""
    if not width > 0:
        raise InputError(f"The window's width must be positive, it is {width} HU.")
    low = level - width / 2
    return np.clip((np.asarray(volume, dtype=np.float32) - low) / width, 0, 1).astype(np.float32)


def tumour_box(mask: NDArray[Any], margin: int = 0) -> tuple[slice, slice, slice]:
    """Return the smallest cuboid around the mask, enlarged by `margin` voxels and cut at the border."""
    found = np.argwhere(np.asarray(mask) > 0)
    if found.size == 0:
        raise MaskError("The mask is empty; there is nothing to crop to. Exclude the case or redraw it.")
    low = np.maximum(found.min(axis=0) - margin, 0)
    high = np.minimum(found.max(axis=0) + 1 + margin, np.shape(mask))
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))  # type: ignore[return-value]


def largest_slice(mask: NDArray[Any]) -> int:
    """Return the position of the axial slice with most mask voxels; the first one of equals."""
    return int(np.argmax((np.asarray(mask) > 0).sum(axis=(1, 2))))


def crop_centred(array: NDArray[Any], centre: Sequence[int], shape: Sequence[int]) -> NDArray[Any]:
    """Cut a block of `shape` whose voxel shape // 2 is `centre`; what lies outside the array is 0."""
    block = np.zeros(tuple(shape), dtype=array.dtype)
    source, target = [], []
    for at, wanted, size in zip(centre, shape, array.shape, strict=True):
        start = int(at) - wanted // 2
        low, high = max(start, 0), min(start + wanted, size)
        source.append(slice(low, max(low, high)))
        target.append(slice(low - start, max(low, high) - start))
    block[tuple(target)] = array[tuple(source)]
    return block


def resize_planes(planes: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Resize planes (n, rows, columns): images linearly with antialiasing, masks (bool) by nearest voxel."""
    tensor = torch.as_tensor(planes.astype(np.float32))[:, None]
    if planes.dtype == bool:
        return functional.interpolate(tensor, size=size, mode="nearest-exact")[:, 0].numpy() > 0.5
    return functional.interpolate(tensor, size=size, mode="bilinear", antialias=True)[:, 0].numpy()


def fit_planes(planes: NDArray[Any], size: int) -> NDArray[Any]:
    """Pad planes (n, rows, columns) with 0 to size x size; only larger ones are resized, keeping their shape."""
    longest = max(planes.shape[1:])
    if longest > size:
        rows, columns = (max(1, round(side * size / longest)) for side in planes.shape[1:])
        planes = resize_planes(planes, (rows, columns))
    n, rows, columns = planes.shape
    # the middle voxel of an odd side has to land on size // 2, as crop_centred counts
    return crop_centred(planes, (n // 2, rows // 2, columns // 2), (n, size, size))


def cuboid_slices(
    volume: NDArray[Any], mask: NDArray[Any], roi: NDArray[Any], *, size: int, subject: str = "", margin: int = 0
) -> SliceStack:
    """Cut every slice of the smallest cuboid around a ROI and fit it to the network's input (Song 2021).

    Parameters
    ----------
    volume : array, shape (slices, rows, columns)
        Windowed image, 0-1.
    mask : array of the same shape
        Accurate outline; what the U-Net learns.
    roi : array of the same shape
        Defines the cuboid: the rough quadrilaterals, or `mask` itself.
    size : int
        Side of the network's input, voxels.
    margin : int
        Voxels by which the cuboid is enlarged on each side.

    Raises
    ------
    GeometryError, MaskError
    """
    _same_grid(volume, mask=mask, roi=roi)
    box = tumour_box(roi, margin)
    image, inside = np.asarray(volume[box], dtype=np.float32), np.asarray(mask[box]) > 0
    table = pd.DataFrame(
        {
            "subject": subject,
            "slice": np.arange(box[0].start, box[0].stop),
            "area": inside.sum(axis=(1, 2)),
            "resized": max(image.shape[1:]) > size,
        }
    )
    return SliceStack(fit_planes(image, size)[:, None], fit_planes(inside, size), table)


def join_stacks(stacks: Sequence[SliceStack]) -> SliceStack:
    """Put the slices of many cases into one stack."""
    if not stacks:
        raise InputError("There are no slices to join.")
    return SliceStack(
        np.concatenate([stack.images for stack in stacks]),
        np.concatenate([stack.masks for stack in stacks]),
        pd.concat([stack.table for stack in stacks], ignore_index=True),
    )


def tumour_channels(
    volume: NDArray[Any],
    mask: NDArray[Any],
    *,
    size: int = 224,
    slices: Literal[1, 3] = 3,
    box: int | None = 224,
    masked: bool = False,
    margin: int = 0,
) -> Float32Array:
    """Cut the slices around the largest section as the channels of a ResNet: float32, shape (3, size, size).

    Parameters
    ----------
    volume : array, shape (slices, rows, columns)
        Windowed image, 0-1.
    size : int
        Side of the network's input, pixels; a crop of another side is resized linearly.
    slices : 3 or 1
        Three consecutive slices centred on the largest section, one per channel (Yang 2023,
        Appendix 1; at the end of the volume the last slice is repeated), or the largest one
        in all channels (Gu 2023).
    box : int, optional
        Side in voxels of the square around the tumour's centre (224 mm in Yang 2023), padded with
        0 at the image border; None takes the smallest square around the tumour (Gu 2023).
    masked : bool
        Set what lies outside the outline to 0.
    margin : int
        Voxels added around the smallest square.
    """
    _same_grid(volume, mask=mask)
    inside = np.asarray(mask) > 0
    _, rows, columns = tumour_box(inside)
    side = box or max(rows.stop - rows.start, columns.stop - columns.start) + 2 * margin
    offsets = np.array([-1, 0, 1] if slices == 3 else [0, 0, 0])
    chosen = np.clip(largest_slice(inside) + offsets, 0, len(volume) - 1)
    image = np.asarray(volume[chosen], dtype=np.float32)
    if masked:
        image = image * inside[chosen]
    centre = (1, (rows.start + rows.stop) // 2, (columns.start + columns.stop) // 2)
    image = crop_centred(image, centre, (3, side, side))
    return image if side == size else resize_planes(image, (size, size)).astype(np.float32)


def tumour_patch(
    volume: NDArray[Any],
    mask: NDArray[Any],
    *,
    sampling: Sampling,
    shape: tuple[int, int, int] = (10, 150, 150),
    field: tuple[int, int, int] | None = None,
    box_margin: int | None = None,
) -> Patch:
    """Cut the patch of a 3-D network, centred on the largest section (Cui 2022, Methods).

    Parameters
    ----------
    volume : array, shape (slices, rows, columns)
        Windowed image, 0-1.
    sampling : "segmentation" or "box"
        Segmentation sampling sets voxels without tumour to 0; box sampling (the paper's
        non-segmentation sampling) keeps the background.
    shape : tuple of int
        Voxels of the patch.
    field : tuple of int, optional
        Voxels of the volume that the patch covers, if more than `shape`: averaged down to it.
    box_margin : int, optional
        Box sampling only: set what lies further than this from the tumour's box to 0. None keeps
        the whole patch; the paper does not say which of the two it did.
    """
    _same_grid(volume, mask=mask)
    field = field or shape
    if any(wide < narrow for wide, narrow in zip(field, shape, strict=True)):
        raise InputError(f"`field` {field} must be at least as large as `shape` {shape}.")
    inside = np.asarray(mask) > 0
    _, rows, columns = tumour_box(inside)
    centre = (largest_slice(inside), (rows.start + rows.stop) // 2, (columns.start + columns.stop) // 2)
    image = crop_centred(np.asarray(volume, dtype=np.float32), centre, field)
    tumour = crop_centred(inside, centre, field)
    image = image * crop_centred(_kept(inside, sampling, box_margin), centre, field)
    share = float(tumour.sum() / inside.sum())
    if field != shape:
        image = functional.interpolate(torch.as_tensor(image)[None, None], size=shape, mode="area")[0, 0].numpy()
        tumour_float = torch.as_tensor(tumour.astype(np.float32))[None, None]
        tumour = functional.interpolate(tumour_float, size=shape, mode="area")[0, 0].numpy() >= 0.5
    return Patch(image.astype(np.float32), tumour, share)


def _kept(inside: BoolArray, sampling: Sampling, box_margin: int | None) -> BoolArray:
    """Return where the image stays as it is."""
    if sampling not in ("segmentation", "box"):
        raise InputError(f"Unknown sampling '{sampling}'. Use 'segmentation' or 'box'.")
    if sampling == "segmentation":
        return inside
    kept = np.zeros_like(inside)
    kept[slice(None) if box_margin is None else tumour_box(inside, box_margin)] = True
    return kept


def patch_table(patches: Mapping[str, Patch]) -> pd.DataFrame:
    """Say what share of each tumour its patch holds: subject, voxels, share_inside, cut (share below 1)."""
    rows = [
        {"subject": subject, "voxels": int(patch.mask.sum()), "share_inside": patch.share_inside}
        for subject, patch in patches.items()
    ]
    table = pd.DataFrame(rows, columns=["subject", "voxels", "share_inside"])
    return table.assign(cut=table["share_inside"] < 1)


def make_inputs(
    subjects: Sequence[str], make: Callable[[str], Case], *, progress: bool = False, description: str = "inputs"
) -> tuple[dict[str, Case], pd.DataFrame]:
    """Make the input of each subject, one at a time; a case that fails is logged and does not stop the others.

    Parameters
    ----------
    make : callable
        Loads one subject's volume and mask and calls one of the functions above.

    Returns
    -------
    dict
        Subject to what `make` returned, without the failed ones.
    DataFrame
        One row per subject: subject, failed, reason.
    """
    made: dict[str, Case] = {}
    log = []
    for subject in tqdm(subjects, disable=not progress, desc=description):
        reason = ""
        try:
            made[subject] = make(subject)
        except RadsupportError as error:
            reason = str(error)
        log.append({"subject": subject, "failed": bool(reason), "reason": reason})
    return made, pd.DataFrame(log, columns=["subject", "failed", "reason"])


def _same_grid(volume: NDArray[Any], **masks: NDArray[Any]) -> None:
    if np.ndim(volume) != 3:
        raise GeometryError(f"A volume has three axes (slice, row, column); this one has {np.ndim(volume)}.")
    wrong = {name: np.shape(mask) for name, mask in masks.items() if np.shape(mask) != np.shape(volume)}
    if wrong:
        raise GeometryError(f"The volume's shape is {np.shape(volume)}, but {wrong} differ. Resample them together.")


def sheet_table(study: Study, cases: pd.DataFrame, flags: pd.DataFrame, phase: str, n_jobs: int = 1) -> pd.DataFrame:
    """Return the largest section of every case of one phase and of every flagged case, flagged ones first.

    Returns
    -------
    pandas.DataFrame
        As `contact_sheet_data`, with ``subject`` a caption (the patient, ``*`` where flagged, and another phase's
        name) and ``image`` in its phase's window (0 to 1).
    """
    wanted = flags[(flags["phase"] == phase) | (flags["n_flags"] > 0)]
    table = wanted.merge(cases, on=["subject", "phase"], how="left", suffixes=("", "_case"))
    sections = contact_sheet_data(table, n_jobs=n_jobs)
    captions, images = [], []
    for row, n_flags in zip(sections.to_dict("records"), wanted["n_flags"], strict=True):
        words = row["subject"] if row["phase"] == phase else f"{row['subject']}, {row['phase']}"
        captions.append(f"{words} *" if n_flags else words)
        view = study.phases[row["phase"]].window
        images.append(preprocessing_window(row["image"], view.level, view.width))
    return sections.assign(subject=captions, image=pd.Series(images, sections.index, dtype=object))


PRINTED_PATCH = (10, 150, 150)


def covered_voxels(study: Study, deep: Cnn3d) -> tuple[int, int, int]:
    """Return how many voxels (slices, rows, columns) of a preprocessed image the network's patch covers."""
    if deep.field_mm is None:
        return deep.patch
    x, y, z = study.preprocessing.spacing_mm
    slices, rows, columns = (round(mm / side) for mm, side in zip(deep.field_mm, (z, y, x), strict=True))
    return slices, rows, columns


def patch_shares(study: Study, cases: pd.DataFrame, n_jobs: int = 1) -> pd.DataFrame:
    """Return which share of each tumour lies inside the printed patch, and inside this profile's where it differs.

    Parameters
    ----------
    study : Study
        With a network of kind ``cnn3d``.
    cases : pandas.DataFrame
        Table `cases`.
    n_jobs : int
        Cases at once.

    Returns
    -------
    pandas.DataFrame
        subject, volume_mm3, patch (what it covers, as text), share (0 to 1), the same for both samplings.
    """
    columns = ["subject", "volume_mm3", "patch", "share"]
    if not isinstance(study.deep, Cnn3d):
        return pd.DataFrame(columns=columns)
    fields = list(dict.fromkeys([PRINTED_PATCH, covered_voxels(study, study.deep)]))
    items = [(row, fields) for row in cases[cases["exclusion"] == ""].to_dict("records")]
    found = map_cases(_shares, items, n_jobs=n_jobs, progress=False)
    return pd.DataFrame([row for rows in found for row in rows], columns=columns)


def _shares(item: tuple[Mapping[Any, Any], list[tuple[int, int, int]]]) -> list[dict[str, Any]]:
    case, fields = item
    drawn = read_mask(case["mask"])
    mask = sitk.GetArrayFromImage(drawn)[bounding_box(drawn).slices]  # what is cut off is outside the tumour
    rows = []
    for field in fields:
        share = tumour_patch(mask, mask, sampling="segmentation", shape=field).share_inside
        row = {"subject": case["subject"], "volume_mm3": case["volume_mm3"]}
        rows.append(row | {"patch": patch_words(field), "share": share})
    return rows


def _patch(case: Mapping[Any, Any], study: Study, deep: Cnn3d, sampling: Any) -> Patch:
    volume = window(sitk.GetArrayFromImage(read_image(case["image"])), deep.window.level, deep.window.width)
    mask = sitk.GetArrayFromImage(read_mask(case["mask"]))
    return tumour_patch(volume, mask, sampling=sampling, shape=deep.patch, field=covered_voxels(study, deep))


def patch_words(shape: tuple[int, int, int]) -> str:
    """Return the size of a patch as text."""
    return " × ".join(str(n) for n in shape)


def share_summary(shares: pd.DataFrame) -> pd.DataFrame:
    """Return per patch size how much of the tumours it holds: n, median, smallest, whole (number held completely)."""
    grouped = shares.groupby("patch", sort=False)["share"]
    table = grouped.agg(n="size", median="median", smallest="min", whole=lambda s: int((s >= 1).sum()))
    return table.assign(below_half=grouped.agg(lambda s: int((s < 0.5).sum()))).reset_index()


def sampling_table(study: Study, cases: pd.DataFrame) -> pd.DataFrame:
    """Return the same slices of a small, a middle and a large tumour, sampled both ways.

    Returns
    -------
    pandas.DataFrame
        subject (a caption), image (0 to 1), mask, spacing, for `figures.contact_sheet`: for each tumour the middle
        slice and the one a third of the patch above it, by segmentation sampling (background 0) and by box sampling
        (background kept).
    """
    deep = study.deep
    if not isinstance(deep, Cnn3d):
        return pd.DataFrame()
    used = cases[cases["exclusion"] == ""].sort_values("volume_mm3", kind="stable")
    picked = sorted({round(share * (len(used) - 1)) for share in (0.1, 0.5, 0.95)})
    rows = []
    for case in used.iloc[picked].to_dict("records"):
        for z in (deep.patch[0] // 2, deep.patch[0] // 2 + deep.patch[0] // 3):
            for sampling in deep.sampling:
                patch = _patch(case, study, deep, sampling)
                caption = f"{case['max_axial_diameter_mm']:.0f} mm, {sampling}, slice {z + 1}"
                row = {"subject": caption, "image": patch.image[z], "mask": patch.mask[z].astype(int)}
                rows.append(row | {"spacing": (1.0, 1.0)})
    return pd.DataFrame(rows)
