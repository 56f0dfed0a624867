"""What the networks look at: cropped and padded slices and patches of preprocessed, windowed volumes.

Volumes and masks are arrays in the order (slice, row, column), on the preprocessed grid
(1 mm cubic in all four studies, so that voxels below are also millimetres).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from radsupport.errors import GeometryError, InputError, MaskError
from radsupport.parallel import map_cases

Float32Array = NDArray[np.float32]
BoolArray = NDArray[np.bool_]
Sampling = Literal["segmentation", "box"]
Centre = Literal["tumour", "largest_section"]
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


def tumour_box(mask: NDArray[Any]) -> tuple[slice, slice, slice]:
    """Return the smallest cuboid around the mask."""
    inside, sides = np.asarray(mask) > 0, []
    for axis in range(3):  # slices first: rows and columns are then looked for in the slices of the mask alone
        found = np.flatnonzero(inside.any(axis=tuple({0, 1, 2} - {axis})))
        if found.size == 0:
            raise MaskError("The mask is empty; there is nothing to crop to. Exclude the case or redraw it.")
        sides.append(slice(int(found[0]), int(found[-1]) + 1))
        inside = inside[sides[0]] if axis == 0 else inside
    z, y, x = sides
    return z, y, x


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
    if planes.dtype == bool:
        return _interpolated(planes, size, "nearest-exact") > 0.5
    return _interpolated(planes, size, "bilinear", antialias=True)


def _interpolated(array: NDArray[Any], size: tuple[int, ...], mode: str, **options: Any) -> Float32Array:
    """Interpolate planes (n, rows, columns), or a volume where three sizes are given, by PyTorch."""
    import torch  # only where networks are fed: it takes seconds to load

    tensor = torch.as_tensor(np.asarray(array, dtype=np.float32))
    tensor = tensor[:, None] if len(size) == 2 else tensor[None, None]
    found = torch.nn.functional.interpolate(tensor, size=size, mode=mode, **options)
    return (found[:, 0] if len(size) == 2 else found[0, 0]).numpy()


def fit_planes(planes: NDArray[Any], size: int) -> NDArray[Any]:
    """Pad planes (n, rows, columns) with 0 to size x size; only larger ones are resized, keeping their shape."""
    longest = max(planes.shape[1:])
    if longest > size:
        rows, columns = (max(1, round(side * size / longest)) for side in planes.shape[1:])
        planes = resize_planes(planes, (rows, columns))
    n, rows, columns = planes.shape
    # the middle voxel of an odd side has to land on size // 2, as crop_centred counts
    return crop_centred(planes, (n // 2, rows // 2, columns // 2), (n, size, size))


def unfit_planes(planes: NDArray[Any], sides: tuple[int, int]) -> NDArray[Any]:
    """Return planes that `fit_planes` fitted, or what was found in them, to their own rows and columns."""
    (size, n), longest = (planes.shape[1], len(planes)), max(sides)
    fitted = sides if longest <= size else tuple(max(1, round(side * size / longest)) for side in sides)
    own = crop_centred(planes, (n // 2, size // 2, size // 2), (n, *fitted))
    return own if longest <= size else resize_planes(own, sides)


def cuboid_slices(
    volume: NDArray[Any], mask: NDArray[Any], roi: NDArray[Any], *, size: int, subject: str = ""
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

    Raises
    ------
    GeometryError, MaskError
    """
    _same_grid(volume, mask=mask, roi=roi)
    box = tumour_box(roi)
    image, inside = np.asarray(volume[box], dtype=np.float32), np.asarray(mask[box]) > 0
    table = pd.DataFrame({"slice": np.arange(box[0].start, box[0].stop), "area": inside.sum(axis=(1, 2))})
    table.insert(0, "subject", subject)
    table["resized"] = max(image.shape[1:]) > size
    return SliceStack(fit_planes(image, size)[:, None], fit_planes(inside, size), table)


def outline_in(planes: NDArray[Any], roi: NDArray[Any]) -> BoolArray:
    """Put what was found in the planes that `cuboid_slices` cut by a ROI back into its volume.

    Parameters
    ----------
    planes : bool array, shape (slices of the cuboid, size, size)
    roi : array, shape (slices, rows, columns)

    Returns
    -------
    bool array of the volume's shape
        The largest connected part; nothing where nothing was found.
    """
    z, y, x = tumour_box(roi)
    parts, n = ndimage.label(unfit_planes(planes, (y.stop - y.start, x.stop - x.start)))
    found = np.zeros(np.shape(roi), bool)
    if n:
        found[z, y, x] = parts == 1 + np.argmax(np.bincount(parts.ravel())[1:])
    return found


def join_stacks(stacks: Sequence[SliceStack]) -> SliceStack:
    """Put the slices of many cases into one stack."""
    if not stacks:
        raise InputError("There are no slices to join.")
    images, masks = (np.concatenate([getattr(stack, part) for stack in stacks]) for part in ("images", "masks"))
    return SliceStack(images, masks, pd.concat([stack.table for stack in stacks], ignore_index=True))


def tumour_channels(
    volume: NDArray[Any], mask: NDArray[Any], *, size: int = 224, slices: Literal[1, 3] = 3, box: int | None = 224,
    masked: bool = False, margin: int = 0,
) -> Float32Array:  # fmt: skip
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


def tumour_field(
    volume: NDArray[Any], mask: NDArray[Any], field: tuple[int, int, int], centre: Centre = "largest_section"
) -> Patch:
    """Cut what a patch of a 3-D network covers, background and all, around the middle of the tumour's box (Cui 2022).

    Parameters
    ----------
    volume : array, shape (slices, rows, columns)
        Windowed image, 0-1.
    field : tuple of int
        Voxels of the volume that are cut.
    centre : "tumour" or "largest_section"
        The middle slice: that of the tumour's box (as printed), or the one with most of the tumour.
    """
    _same_grid(volume, mask=mask)
    inside = np.asarray(mask) > 0
    z, y, x = ((part.start + part.stop) // 2 for part in tumour_box(inside))
    at = (z if centre == "tumour" else largest_slice(inside), y, x)
    tumour = crop_centred(inside, at, field)
    return Patch(crop_centred(np.asarray(volume, dtype=np.float32), at, field), tumour, tumour.sum() / inside.sum())


def sampled_patch(
    cut: Patch, sampling: Sampling, shape: tuple[int, int, int], margin: Sequence[int] | None = None
) -> Patch:
    """Set the background of a field to 0, as the sampling wants it, and average the field down to a patch.

    Parameters
    ----------
    sampling : "segmentation" or "box"
        Segmentation sampling sets all voxels without tumour to 0; box sampling (the paper's non-segmentation
        sampling) keeps those in the tumour's bounding box.
    shape : tuple of int
        Voxels of the patch.
    margin : sequence of int, optional
        Voxels (slices, rows, columns) by which the box is wider than the tumour; None keeps the whole field.
    """
    if sampling not in ("segmentation", "box"):
        raise InputError(f"Unknown sampling '{sampling}'. Use 'segmentation' or 'box'.")
    if any(wide < narrow for wide, narrow in zip(cut.image.shape, shape, strict=True)):
        raise InputError(f"`field` {cut.image.shape} must be at least as large as the patch {shape}.")
    image, tumour = cut.image, cut.mask
    if sampling == "segmentation":
        image = image * tumour
    elif margin is not None and tumour.any():
        wide = zip(tumour_box(tumour), margin, strict=True)
        box = tuple(slice(max(part.start - more, 0), part.stop + more) for part, more in wide)
        image = np.zeros_like(image)
        image[box] = cut.image[box]
    if image.shape != tuple(shape):
        image = _interpolated(image, shape, "area")
        tumour = _interpolated(tumour, shape, "area") >= 0.5
    return Patch(image.astype(np.float32), tumour, float(cut.share_inside))


def patch_table(patches: Mapping[str, Patch]) -> pd.DataFrame:
    """Say what share of each tumour its patch holds: subject, voxels, share_inside, cut (share below 1)."""
    rows = [(subject, int(patch.mask.sum()), patch.share_inside) for subject, patch in patches.items()]
    table = pd.DataFrame(rows, columns=["subject", "voxels", "share_inside"])
    return table.assign(cut=table["share_inside"] < 1)


def make_inputs(subjects: Sequence[str], make: Callable[[str], Case]) -> tuple[dict[str, Case], pd.DataFrame]:
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
    reasons: dict[str, str] = {}
    found: list[Any] = map_cases(make, subjects, progress=False, on_failure=reasons.__setitem__)
    made = {subject: one for subject, one in zip(subjects, found, strict=True) if subject not in reasons}
    log = [{"subject": one, "failed": one in reasons, "reason": reasons.get(one, "")} for one in subjects]
    return made, pd.DataFrame(log, columns=["subject", "failed", "reason"])


def _same_grid(volume: NDArray[Any], **masks: NDArray[Any]) -> None:
    if np.ndim(volume) != 3:
        raise GeometryError(f"A volume has three axes (slice, row, column); this one has {np.ndim(volume)}.")
    wrong = {name: np.shape(mask) for name, mask in masks.items() if np.shape(mask) != np.shape(volume)}
    if wrong:
        raise GeometryError(f"The volume's shape is {np.shape(volume)}, but {wrong} differ. Resample them together.")


def covered_voxels(
    patch: tuple[int, int, int], field_mm: tuple[int, int, int] | None, spacing_mm: Sequence[float]
) -> tuple[int, int, int]:
    """Return how many voxels (slices, rows, columns) of a preprocessed image a network's patch covers.

    Parameters
    ----------
    patch : (slices, rows, columns)
        Voxels of the patch.
    field_mm : (slices, rows, columns), optional
        What it covers of the scan; as many voxels as it has where left out.
    spacing_mm : (x, y, z)
        Voxel size of the preprocessed image.
    """
    if field_mm is None:
        return patch
    slices, rows, columns = (round(mm / side) for mm, side in zip(field_mm, reversed(spacing_mm), strict=True))
    return slices, rows, columns


def margin_voxels(margin_mm: float | None, spacing_mm: Sequence[float]) -> tuple[int, int, int] | None:
    """Return a margin in voxels (slices, rows, columns) of a grid with these sides (x, y, z); None stays None."""
    if margin_mm is None:
        return None
    slices, rows, columns = (round(margin_mm / side) for side in reversed(spacing_mm))
    return slices, rows, columns
