"""One region's grey levels and texture matrices, from which the feature classes of one image are computed.

The matrices come from a C function of this package, which fills all five in one pass over the region. Where it was not
built, or where settings ask for what it does not do (other distances, weighted angles), pyradiomics' own functions fill
them, one by one; the values are the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from radiomics import cMatrices, imageoperations

from radsupport.errors import InputError, Problem

try:
    import radsupport.radiomics._texture as _texture  # type: ignore[import-not-found, unused-ignore]
except ImportError:  # not built: no C compiler, or a folder that was never installed
    _texture = None

#: Grey levels up to which co-occurrence in 13 directions fits into 4 GB.
MOST_LEVELS = 6000
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Matrices:
    """Texture matrices of a region; rows are the grey levels that occur.

    Attributes
    ----------
    glcm : array, shape (levels, levels, angles)
        Voxels and their neighbours in the direction of each angle.
    glrlm : array, shape (levels, longest possible run, angles)
    gldm : array, shape (levels, 2 angles + 1)
        Voxels by number of dependent neighbours.
    ngtdm : array, shape (levels, 2)
        Voxels, and the sum of their distances from their neighbours' mean.
    glszm : array, shape (levels, sizes)
    sizes : array
        Numbers of voxels of a zone that occur.
    """

    glcm: Doubles
    glrlm: Doubles
    gldm: Doubles
    ngtdm: Doubles
    glszm: Doubles
    sizes: Doubles


@dataclass(frozen=True)
class Discretised:
    """A region's values and grey levels.

    Attributes
    ----------
    values : array, shape (voxels,)
    bins : array, shape (z, y, x)
        Grey level of every voxel from 1 on, 0 outside.
    levels, counts : array
        The grey levels that occur, and how many voxels have each.
    settings : dict
        pyradiomics' settings.
    """

    values: npt.NDArray
    bins: npt.NDArray[np.int64]
    levels: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    settings: dict[str, Any]

    @cached_property
    def matrices(self) -> Matrices | None:
        """The texture matrices; None where pyradiomics has to fill them."""
        asked = self.settings.get
        plain = list(asked("distances", [1])) == [1] and asked("weightingNorm") is None
        if _texture is None or not plain or self.bins.size > 1 << 30:
            return None
        flat = asked("force2D", False), asked("force2Ddimension", 0)
        try:
            angles = cMatrices.generate_angles(np.array(self.bins.shape), np.array([1]), False, *flat)
        except RuntimeError:  # a single voxel has no neighbours
            return None
        found = _filled(self.bins, self.levels, angles, int(asked("gldm_a", 0)))
        # a direction without neighbours may still have two voxels in line, which decides whether its runs count
        return found if found.glcm.any(axis=(0, 1)).all() else None


def discretised(array: npt.NDArray, inside: npt.NDArray[np.bool_], settings: dict[str, Any]) -> Discretised:
    """Return the grey levels of a region by pyradiomics' bins.

    Parameters
    ----------
    array : array, shape (z, y, x)
    inside : bool array
        The region.
    settings : dict
        pyradiomics' settings.

    Raises
    ------
    InputError
        More grey levels than the matrices have room for.

    Notes
    -----
    Integers are widened first: pyradiomics adds two bin widths to the largest value in the image's own type, which
    passes the end of 16 bits from 32 718 HU on (of 8 bits from 206 on) and leaves no bins at all.
    """
    values = array[inside]
    values = values.astype(np.int64) if values.dtype.kind in "iu" else values
    ends = np.array([values.min(), values.max()])
    _check_levels(float(ends[0]), float(ends[1]), settings)
    bins = np.zeros(array.shape, np.int64)
    found = np.digitize(values, imageoperations.getBinEdges(ends, **settings))
    bins[inside] = found
    counts = np.bincount(found)
    levels = np.flatnonzero(counts)
    return Discretised(values.astype(np.float64), bins, levels, counts[levels], settings)


def _check_levels(low: float, high: float, settings: dict[str, Any]) -> None:
    """Refuse a region that falls into more grey levels than the matrices have room for."""
    width = settings.get("binWidth", 25)
    levels = settings.get("binCount") or (high - low) / width + 1
    if levels > MOST_LEVELS:
        what = f"the region reaches from {low:g} to {high:g}: {levels:.0f} grey levels at a bin width of {width:g}"
        remedy = "take a larger `binWidth`, leave metal out by `resegmentRange`, or exclude the case"
        raise InputError("The grey levels do not fit into memory.", [Problem(what, f"up to {MOST_LEVELS}", remedy)])


def _filled(bins: npt.NDArray, levels: npt.NDArray, angles: npt.NDArray, alpha: int) -> Matrices:
    """Return all matrices by the C function, which wants the region padded and its grey levels numbered."""
    number = np.zeros(levels[-1] + 1, np.int32)
    number[levels] = np.arange(1, len(levels) + 1)
    padded = np.zeros([n + 2 for n in bins.shape], np.int32)
    padded[1:-1, 1:-1, 1:-1] = number[bins]
    steps = (angles @ (padded.shape[1] * padded.shape[2], padded.shape[2], 1)).astype(np.int32)
    n, directions = len(levels), len(angles)
    shapes = (n, n, directions), (n, max(bins.shape), directions), (n, 2 * directions + 1), (n, 2)
    glcm, glrlm, gldm, ngtdm = (np.zeros(shape) for shape in shapes)
    zones, parents = np.zeros_like(padded), np.empty_like(padded)
    values = np.concatenate([[0], levels]).astype(np.int32)
    _texture.fill(padded, values, steps, glcm, glrlm, gldm, ngtdm, zones, parents, alpha)
    where = np.flatnonzero(zones)
    sizes, which = np.unique(zones.ravel()[where], return_inverse=True)
    cells = (padded.ravel()[where] - 1) * len(sizes) + which
    glszm = np.bincount(cells, minlength=n * len(sizes)).reshape(n, -1).astype(np.float64)
    return Matrices(glcm, glrlm, gldm, ngtdm, glszm, sizes.astype(np.float64))
