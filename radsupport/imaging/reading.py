"""Read images and masks on one grid, refusing files that ITK would read without complaint into wrong voxels.

ITK reads a truncated gzip stream without an error and fills the rest with whatever is in memory, turns NaN and
infinite voxels into zero, and takes a spacing of zero for 1 mm. Each of these would end as a plausible feature value,
so the bytes are looked at first. Image and mask have to describe the same piece of space: what is only written
differently is repaired, the rest refused.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from isal import igzip

from radsupport.errors import GeometryError, MaskError, Problem
from radsupport.files import written_whole
from radsupport.imaging.formats import parse_nifti, refused, verify
from radsupport.imaging.hounsfield import without_padding
from radsupport.wording import counted, plain

#: Largest displacement of a corner, in voxels, that still counts as a rounded header.
ROUNDING_VOXELS = 0.05
LABEL_TOLERANCE = 1e-3
#: Largest product of two axes that still counts as a rounded right angle.
ORTHOGONAL = 1e-3
#: Side of a voxel, in mm, beyond which no CT is sampled: resampling such a grid asks for more memory than there is.
LARGEST_VOXEL = 50.0


def read_image(path: str | Path) -> sitk.Image:
    """Read a 3-D image with finite voxels.

    Parameters
    ----------
    path : path
        One of `radsupport.imaging.formats.ACCEPTED`: NIfTI, NRRD or MetaImage in one file.

    Returns
    -------
    SimpleITK.Image
        Three dimensions, one component, the file's own voxel type (HU for CT). A rescale slope of the
        header is applied by ITK, in floating point, so stored integers can not overflow.

    Raises
    ------
    InputError
        No such file, a format that is not accepted, truncated or damaged (`radsupport.imaging.formats`), not 3-D,
        several components, spacing missing, zero or negative, axes that are not orthogonal, NaN or infinite voxels.
    """
    path = Path(path)
    if not path.is_file():
        raise refused(path, "there is no such file", "an image file", "correct the path or fetch the file")
    raw = verify(path)
    stored = parse_nifti(raw, path) if raw else None
    if stored is not None:
        _refuse_non_finite(stored[0], path)
    try:
        image = sitk.ReadImage(str(path)) if stored is None or stored[1] else _with_geometry(stored[0], path)
    except RuntimeError as error:
        why = str(error).strip().splitlines()[-1]
        raise refused(path, f"it can not be read ({why})", "a 3-D image", "export it again") from error
    if image.GetDimension() != 3:
        size = " x ".join(str(n) for n in image.GetSize())
        raise refused(path, f"it has {image.GetDimension()} dimensions ({size})", "3", "split it into 3-D volumes")
    if image.GetNumberOfComponentsPerPixel() != 1:
        what = f"each voxel has {image.GetNumberOfComponentsPerPixel()} components"
        raise refused(path, what, "1", "export the grey values")
    if max(image.GetSpacing()) > LARGEST_VOXEL:
        shown = " x ".join(map(plain, image.GetSpacing()))
        remedy = "correct the spacing: it may be in micrometres"
        raise refused(path, f"its voxels are {shown} mm", f"at most {LARGEST_VOXEL:g} mm a side", remedy)
    axes = np.reshape(image.GetDirection(), (3, 3))
    if np.abs(axes.T @ axes - np.eye(3)).max() > ORTHOGONAL:
        raise refused(path, "its axes are not orthogonal", "axes at right angles", "resample it")
    if stored is None or stored[1]:
        _refuse_non_finite(sitk.GetArrayViewFromImage(image), path)
    return image


def write_image(image: sitk.Image, path: Path) -> Path:
    """Write a copy of our own, a ``.nii.gz``, whole or not at all; isal packs it in a quarter of ITK's time.

    Parameters
    ----------
    image : SimpleITK.Image
    path : Path
        Its folder is made where there is none.

    Returns
    -------
    Path
        As given.
    """
    with written_whole(path) as partial:
        plain = partial.with_suffix("")  # ITK puts the header together
        try:
            sitk.WriteImage(image, str(plain))
            partial.write_bytes(igzip.compress(plain.read_bytes(), compresslevel=1, mtime=0))
        finally:
            plain.unlink(missing_ok=True)
    return path


def read_label_map(path: str | Path) -> sitk.Image:
    """Read a mask file as it is drawn, every label kept.

    Parameters
    ----------
    path : path

    Returns
    -------
    SimpleITK.Image
        Voxel type UInt16, 0 is background.

    Raises
    ------
    InputError
        As `read_image`.
    MaskError
        Values that are no labels: fractions (a probability map), negative, or above 65535.
    """
    image, where, drawn = _drawn(path)
    labels = np.zeros(image.GetSize()[::-1], np.uint16)
    labels.ravel()[where] = drawn
    return like(labels, image)


def _drawn(path: str | Path) -> tuple[sitk.Image, npt.NDArray[np.int64], npt.NDArray[np.uint16]]:
    """Return the file as it is, where it is labelled (flat indices), and with what."""
    image = read_image(path)
    array = sitk.GetArrayViewFromImage(image)
    where = np.flatnonzero(array)
    drawn = array.ravel()[where]
    rounded = np.round(drawn)
    if drawn.size and np.abs(drawn - rounded).max() > LABEL_TOLERANCE:
        odd = f"{drawn[np.abs(drawn - rounded) > LABEL_TOLERANCE][0]:g}"
        problem = Problem("voxels between two labels", "whole numbers", "threshold it", str(path), value=odd)
        raise MaskError(f"{path} is not a mask.", [problem])
    if drawn.size and (rounded.min() < 0 or rounded.max() > np.iinfo(np.uint16).max):
        low, high = rounded.min(), rounded.max()
        raise MaskError(f"{path} is not a mask: its values reach from {low:g} to {high:g}; labels are 0 to 65535.")
    return image, where, rounded.astype(np.uint16)


def read_mask(path: str | Path, label: int | None = None) -> sitk.Image:
    """Read one region as a binary mask.

    Parameters
    ----------
    path : path
    label : int, optional
        The label to take; may be left out where the file holds one label only, whatever its value.

    Returns
    -------
    SimpleITK.Image
        UInt8, 1 inside the region.

    Raises
    ------
    InputError
        As `read_image`.
    MaskError
        Empty, several labels and none chosen, or the label is not there.
    """
    image, where, drawn = _drawn(path)
    chosen = _chosen(label_values(drawn), label, str(path))
    region = np.zeros(image.GetSize()[::-1], np.uint8)  # without a label map, of two bytes a voxel, in between
    region.ravel()[where] = drawn == chosen
    return like(region, image)


def read_pair(image: str | Path, mask: str | Path, label: int | None = None) -> tuple[sitk.Image, GeometryReport]:
    """Read an image and one region of it, put on the image's grid, padding read as air.

    See `read_image`, `radsupport.imaging.hounsfield.without_padding`, `read_mask` and `check_geometry`.
    """
    volume, padded = without_padding(read_image(image))
    report = check_geometry(volume, read_mask(mask, label), str(mask))
    return volume, replace(report, problems=(*padded, *report.problems))


def select_label(labels: sitk.Image, label: int | None = None, name: str = "mask") -> sitk.Image:
    """Return one label of a label map as a UInt8 mask of 0 and 1; see `read_mask`."""
    array = sitk.GetArrayViewFromImage(labels)
    return like((array == _chosen(label_values(array), label, name)).view(np.uint8), labels)


def _chosen(present: list[int], label: int | None, name: str) -> int:
    """Return the label to take of those that are there."""
    if not present:
        raise MaskError(f"{name} is empty: no voxel is labelled.")
    if label is None and len(present) > 1:
        raise MaskError(f"{name} holds the labels {present}. Remedy: name the one to measure (`label=`).")
    chosen = present[0] if label is None else label
    if chosen not in present:
        raise MaskError(f"{name} has no label {chosen}; it holds {present}.")
    return chosen


def label_values(array: npt.NDArray) -> list[int]:
    """Return the labels other than 0 that occur in an array, sorted."""
    return [int(value) for value in np.unique(array[array != 0])]


def placed(array: npt.NDArray, origin: npt.ArrayLike, spacing: npt.ArrayLike, direction: npt.ArrayLike) -> sitk.Image:
    """Return an array (z, y, x) as an image that lies at a place in space (x, y, z)."""
    image = sitk.GetImageFromArray(array)
    image.SetOrigin(np.asarray(origin, float).tolist())
    image.SetSpacing(np.asarray(spacing, float).tolist())
    image.SetDirection(np.asarray(direction, float).ravel().tolist())
    return image


def like(array: npt.NDArray, reference: sitk.Image) -> sitk.Image:
    """Return an array (z, y, x) as an image with the geometry of `reference`."""
    image = sitk.GetImageFromArray(array)
    image.CopyInformation(reference)
    return image


def _with_geometry(voxels: npt.NDArray, path: Path) -> sitk.Image:
    """Return voxels as an image with the geometry that ITK reads from the file's header."""
    reader = sitk.ImageFileReader()
    reader.SetImageIO("NiftiImageIO")  # left alone, ITK asks every format in turn
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    side = round(len(reader.GetDirection()) ** 0.5)
    direction = np.reshape(reader.GetDirection(), (side, side))[:3, :3]
    return placed(voxels, reader.GetOrigin()[:3], reader.GetSpacing()[:3], direction)


def _refuse_non_finite(array: npt.NDArray, path: Path) -> None:
    bad = array.size - int(np.count_nonzero(np.isfinite(array))) if array.dtype.kind == "f" else 0
    if bad:
        what = f"NaN or infinite HU in {counted(bad, 'voxel')}"
        raise refused(path, what, "finite values", "fill or mend them first")


@dataclass(frozen=True)
class GeometryReport:
    """What was found and done.

    Attributes
    ----------
    mask : SimpleITK.Image
        The mask on the image's grid.
    action : {"none", "rounding", "regridded"}
        Nothing to do; the image's header was copied onto the mask; the mask's voxels were moved to the
        image's grid without interpolation (flipped or permuted axes, or a cropped mask).
    displacement_voxels : float
        Largest displacement between the two grids before the repair.
    problems : tuple of Problem
        What was repaired, in words; empty where nothing was.
    """

    mask: sitk.Image
    action: str
    displacement_voxels: float
    problems: tuple[Problem, ...] = ()


def check_geometry(image: sitk.Image, mask: sitk.Image, name: str = "") -> GeometryReport:
    """Put a mask on the image's grid, or refuse.

    Parameters
    ----------
    image, mask : SimpleITK.Image
        Three-dimensional; the mask may hold any labels.
    name : str
        File or case, for messages.

    Returns
    -------
    GeometryReport

    Raises
    ------
    GeometryError
        The grids really differ (no voxel of the mask falls on the centre of a voxel of the image), or
        part of the region lies outside the image.

    Notes
    -----
    Policies: *rounding* (same size, every corner within `ROUNDING_VOXELS`): the image's header is copied;
    *flip* (axes mirrored, permuted, or the mask cropped, every voxel centre still on a voxel centre): voxels
    are moved exactly; *real difference*: refused, as an interpolated mask would be another mask.
    """
    relation, offset = _index_relation(image, mask)
    same_size = image.GetSize() == mask.GetSize()
    shift = _corner_displacement(relation, offset, mask.GetSize())
    if same_size and shift == 0:
        return GeometryReport(mask, "none", 0.0)
    if same_size and shift <= ROUNDING_VOXELS:
        repaired = like(sitk.GetArrayFromImage(mask), image)
        what = f"headers differ by up to {shift:.2g} voxel: rounding"
        return GeometryReport(repaired, "rounding", shift, (Problem(what, remedy="image header copied", file=name),))
    lattice = _lattice_offset(relation, offset, mask.GetSize())
    if lattice is None:
        raise GeometryError("Image and mask differ in space.", [_difference(image, mask, shift, name)])
    repaired = _regrid(image, mask, np.rint(relation).astype(int), lattice, name)
    what = "axes flipped, permuted or mask cropped; every voxel centre coincides"
    return GeometryReport(repaired, "regridded", shift, (Problem(what, remedy="voxels moved exactly", file=name),))


def _index_relation(image: sitk.Image, mask: sitk.Image) -> tuple[npt.NDArray, npt.NDArray]:
    """Return matrix and offset that take a voxel index (x, y, z) of the mask to one of the image."""
    to_world = np.reshape(image.GetDirection(), (3, 3)) * np.asarray(image.GetSpacing())
    from_mask = np.reshape(mask.GetDirection(), (3, 3)) * np.asarray(mask.GetSpacing())
    step = np.asarray(mask.GetOrigin()) - np.asarray(image.GetOrigin())
    if np.array_equal(to_world, from_mask):
        return np.eye(3), np.linalg.solve(to_world, step)
    return np.linalg.solve(to_world, from_mask), np.linalg.solve(to_world, step)


def _corner_displacement(relation: npt.NDArray, offset: npt.NDArray, size: tuple[int, ...]) -> float:
    """Return how far the corners of the mask lie from the same index of the image, in voxels."""
    return float(np.abs(_corners(size) @ relation.T + offset - _corners(size)).max())


def _corners(size: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """Return the indices (x, y, z) of the eight corner voxels."""
    return np.array(list(itertools.product(*[(0, n - 1) for n in size])), float)


def _lattice_offset(relation: npt.NDArray, offset: npt.NDArray, size: tuple[int, ...]) -> npt.NDArray | None:
    """Return the whole-number offset of a signed permutation of axes, None where voxel centres do not coincide."""
    exact = np.rint(relation)
    if any((np.abs(exact).sum(axis=axis) != 1).any() for axis in (0, 1)):
        return None
    corners = _corners(size)
    there = corners @ relation.T + offset
    whole = np.rint(there[0] - corners[0] @ exact.T)
    off = np.abs(there - (corners @ exact.T + whole)).max()
    return whole.astype(int) if off <= ROUNDING_VOXELS else None


def _regrid(image: sitk.Image, mask: sitk.Image, turn: npt.NDArray, offset: npt.NDArray, name: str) -> sitk.Image:
    """Move the labelled voxels of the mask to the image's grid."""
    array = sitk.GetArrayViewFromImage(mask)
    here = np.argwhere(array)
    there = here[:, ::-1] @ turn.T + offset
    outside = ((there < 0) | (there >= np.asarray(image.GetSize()))).any(axis=1)
    if outside.any():
        what = f"{int(outside.sum())} of {len(here)} voxels of the region lie outside the image"
        raise GeometryError("The mask does not fit the image.", [Problem(what, remedy="pair them anew", file=name)])
    moved = np.zeros(image.GetSize()[::-1], array.dtype)
    moved[tuple(there[:, ::-1].T)] = array[tuple(here.T)]
    return like(moved, image)


def _difference(image: sitk.Image, mask: sitk.Image, shift: float, name: str) -> Problem:
    """Say in numbers how two grids differ."""
    parts = []
    for what in ("Size", "Spacing", "Origin", "Direction"):
        ours, theirs = getattr(image, f"Get{what}")(), getattr(mask, f"Get{what}")()
        if not np.allclose(ours, theirs, atol=1e-6):
            shown = [" ".join(map(plain, values)) for values in (ours, theirs)]
            parts.append(f"{what.lower()}: image {shown[0]}, mask {shown[1]}")
    what = f"corners are up to {shift:.3g} voxels apart ({'; '.join(parts)})"
    return Problem(what, "the mask on the image's grid", "export the mask in the image's geometry", name)
