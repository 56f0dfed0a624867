"""Do image and mask describe the same piece of space? Repair what is only written differently, refuse the rest."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from radsupport.errors import GeometryError, Problem
from radsupport.imaging.reading import like

ROUNDING_VOXELS = 0.05
"""Largest displacement of a corner, in voxels, that still counts as a rounded header."""


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
    corners = np.array(list(itertools.product(*[(0, n - 1) for n in size])), float)
    return float(np.abs(corners @ relation.T + offset - corners).max())


def _lattice_offset(relation: npt.NDArray, offset: npt.NDArray, size: tuple[int, ...]) -> npt.NDArray | None:
    """Return the whole-number offset of a signed permutation of axes, None where voxel centres do not coincide."""
    exact = np.rint(relation)
    if not np.array_equal(np.abs(exact).sum(axis=0), np.ones(3)) or not np.array_equal(
        np.abs(exact).sum(axis=1), np.ones(3)
    ):
        return None
    corners = np.array(list(itertools.product(*[(0, n - 1) for n in size])), float)
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
            shown = [" ".join(f"{value:g}" for value in values) for values in (ours, theirs)]
            parts.append(f"{what.lower()}: image {shown[0]}, mask {shown[1]}")
    what = f"corners are up to {shift:.3g} voxels apart ({'; '.join(parts)})"
    return Problem(what, "the mask on the image's grid", "export the mask in the image's geometry", name)
