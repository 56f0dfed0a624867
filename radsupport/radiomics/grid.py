"""The voxel farthest from zero in the whole (resampled) image, without resampling all of it by ITK.

Square, square root, logarithm and exponential scale their result by this value, so it has to be known although
only a crop is filtered. On a resampled grid it is found by separable interpolation, one sparse matrix per axis,
and then computed by ITK for that one voxel.

The voxels an extraction works on: the image itself, or the resampled image, only as far as it is needed.

pyradiomics resamples on a grid that starts at the image's outer corner. A crop that started elsewhere would be
resampled to other voxels, so the grid is planned from the whole image and only the part asked for is computed,
from a crop of the image that is wide enough for the interpolation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from scipy import sparse

from radsupport.errors import MaskError
from radsupport.imaging.preprocessing import cubic_spline, interpolation_weights
from radsupport.imaging.reading import like
from radsupport.imaging.regions import Box, bounding_box, crop

_REACH = {sitk.sitkNearestNeighbor: 2, sitk.sitkLinear: 2, sitk.sitkBSpline: 40}
_WIDE_REACH = 64


@dataclass(frozen=True)
class Grid:
    """Voxels on which features are computed.

    Attributes
    ----------
    size : (x, y, z)
        Voxels of the whole grid.
    spacing : (x, y, z)
        In mm.
    first : (x, y, z)
        Position of the grid's first voxel as a continuous index of the image.
    ratio : (x, y, z)
        Image spacing over grid spacing.
    interpolator : int or None
        ITK's interpolator, None where the grid is the image's own.
    round_hu : bool
        Whether interpolated values are rounded to whole HU; else the image's own type decides, as in pyradiomics.
    """

    size: tuple[int, ...]
    spacing: tuple[float, ...]
    first: npt.NDArray[np.float64]
    ratio: npt.NDArray[np.float64]
    interpolator: int | None = None
    round_hu: bool = False


def plan_grid(mask: sitk.Image, spacing: Sequence[float] | None, interpolator: Any) -> Grid:
    """Return the whole grid of an extraction.

    Parameters
    ----------
    mask : SimpleITK.Image
        On the image's grid, 1 inside.
    spacing : (x, y, z) or None
        Voxel size asked for in mm; 0 keeps the image's own along that axis. None: no resampling.
    interpolator : str or int
        Name or number of ITK's interpolator.

    Notes
    -----
    The formulas of `radiomics.imageoperations.resampleImage` with a padding that covers the image. An axis along
    which the region has a single voxel is not resampled.
    """
    own = np.asarray(mask.GetSpacing())
    unchanged = Grid(mask.GetSize(), mask.GetSpacing(), np.zeros(3), np.ones(3))
    if spacing is None:
        return unchanged
    wanted = np.where(np.asarray(spacing, float) == 0, own, spacing)
    wanted = np.where(np.asarray(bounding_box(mask).size) != 1, wanted, own)
    if np.allclose(own, wanted):
        return unchanged
    ratio = own / wanted
    size = np.ceil(np.asarray(mask.GetSize()) * ratio).astype(int)
    code = getattr(sitk, interpolator) if isinstance(interpolator, str) else int(interpolator)
    return Grid(tuple(size.tolist()), tuple(wanted.tolist()), 0.5 * (wanted - own) / own, ratio, code)


def grid_mask(mask: sitk.Image, grid: Grid) -> sitk.Image:
    """Return the mask on the whole grid, by nearest voxel.

    Raises
    ------
    MaskError
        No voxel of the region is left.

    Notes
    -----
    The whole mask is resampled in one go although only the region is needed: where a new voxel centre lies half-way
    between two old ones, rounding decides, and only the same arithmetic rounds the same way as pyradiomics.
    """
    if grid.interpolator is None:
        return mask
    whole = Box((0, 0, 0), (grid.size[0], grid.size[1], grid.size[2]))
    resampled = _resample(mask, mask, grid, whole, sitk.sitkNearestNeighbor)
    if not sitk.GetArrayViewFromImage(resampled).any():
        raise MaskError(f"No voxel of the mask is left at a spacing of {grid.spacing} mm.")
    return resampled


def grid_image(image: sitk.Image, grid: Grid, box: Box) -> sitk.Image:
    """Return the part of the image inside a box of the grid, resampled where the grid is not the image's own."""
    if grid.interpolator is None:
        return crop(image, box)
    reach = _REACH.get(grid.interpolator, _WIDE_REACH)
    lower = np.floor(grid.first + np.asarray(box.start) / grid.ratio).astype(int) - reach
    upper = np.ceil(grid.first + np.asarray(box.stop) / grid.ratio).astype(int) + reach + 1
    lower, upper = np.maximum(lower, 0), np.minimum(upper, image.GetSize())
    near = sitk.RegionOfInterest(image, (upper - lower).tolist(), lower.tolist())
    spline = grid.interpolator == sitk.sitkBSpline
    if not grid.round_hu and not (spline and 2 in image.GetSize()):  # ITK's spline reads beyond an axis of two voxels
        return _resample(near, image, grid, box, grid.interpolator)
    if spline:
        first = grid.first + np.asarray(box.start) / grid.ratio
        found = cubic_spline(
            near, image.TransformContinuousIndexToPhysicalPoint(first.tolist()), grid.spacing, box.size
        )
    else:
        found = _resample(sitk.Cast(near, sitk.sitkFloat64), image, grid, box, grid.interpolator)
    if not grid.round_hu:
        return sitk.Cast(found, image.GetPixelID())
    # a tie that arithmetic misses by a hair goes up like any other: crops and whole images round alike
    return as_integers(like(np.floor(sitk.GetArrayViewFromImage(found) + (0.5 + 1e-6)), found))


def as_integers(image: sitk.Image) -> sitk.Image:
    """Return an image of whole numbers as integers, 16 bits where they fit; any other image as it is.

    What pyradiomics and ITK compute depends on the voxel type, so the same HU have to come in the same one.
    """
    array = sitk.GetArrayViewFromImage(image)
    if array.dtype.kind == "f" and not np.array_equal(array, np.rint(array)):
        return image
    if array.dtype == np.int16:
        return image
    low, high = float(array.min()), float(array.max())
    for dtype, code in ((np.int16, sitk.sitkInt16), (np.int32, sitk.sitkInt32)):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return sitk.Cast(image, code)
    return image


def _resample(source: sitk.Image, whole: sitk.Image, grid: Grid, box: Box, interpolator: int) -> sitk.Image:
    """Resample `source`, a crop of `whole`, to a box of the grid; the voxel type stays, as in pyradiomics.

    ITK cuts off fractions where it writes into integers, which moves HU towards zero by half a unit on average.
    """
    resampler = sitk.ResampleImageFilter()
    resampler.SetOutputSpacing(grid.spacing)
    resampler.SetOutputDirection(whole.GetDirection())
    resampler.SetSize(box.size)
    first = grid.first + np.asarray(box.start) / grid.ratio
    resampler.SetOutputOrigin(whole.TransformContinuousIndexToPhysicalPoint(first.tolist()))
    resampler.SetOutputPixelType(source.GetPixelID())
    resampler.SetInterpolator(interpolator)
    return resampler.Execute(source)


def cut_box(mask: sitk.Image, grid: Grid, padding: int) -> Box:
    """Return the box that pyradiomics itself cuts out before it filters: the region plus `padding` voxels.

    Parameters
    ----------
    mask : SimpleITK.Image
        On the image's own grid.
    grid : Grid
    padding : int
        `padDistance`, in voxels of the grid.
    """
    tight = bounding_box(mask)
    size = np.asarray(grid.size)
    if grid.interpolator is None:
        lower, upper = np.asarray(tight.start) - padding, np.asarray(tight.stop) + padding
    else:
        lower = np.floor((np.asarray(tight.start) - 0.5) * grid.ratio - padding).astype(int)
        upper = np.ceil((np.asarray(tight.stop) - 0.5) * grid.ratio + padding).astype(int) + 1
    return Box.between(np.maximum(lower, 0), np.minimum(upper, size))


def grid_mask_in(mask: sitk.Image, grid: Grid, box: Box) -> sitk.Image:
    """Return the mask inside a box of the grid, resampled to that box alone, as pyradiomics does when it cuts."""
    if grid.interpolator is None:
        return crop(mask, box)
    return _resample(mask, mask, grid, box, sitk.sitkNearestNeighbor)


_NEGLIGIBLE = 1e-9
_SLAB = 32
_COLUMNS = 1 << 15


def extreme_value(image: sitk.Image, grid: Grid) -> float:
    """Return the value farthest from zero among the voxels of the whole grid, with its sign.

    Parameters
    ----------
    image : SimpleITK.Image
    grid : Grid
        From `plan_grid`.
    """
    if grid.interpolator is None:
        return _farthest(sitk.GetArrayViewFromImage(image))
    if grid.interpolator not in (sitk.sitkBSpline, sitk.sitkLinear):
        return _by_slabs(image, grid)
    return _separable(image, grid)


def _farthest(array: npt.NDArray) -> float:
    low, high = float(array.min()), float(array.max())
    return low if -low > high else high


def _by_slabs(image: sitk.Image, grid: Grid) -> float:
    """Resample the whole grid with ITK, some slices at a time."""
    values = []
    for z in range(0, grid.size[2], _SLAB):
        slab = Box((0, 0, z), (grid.size[0], grid.size[1], min(_SLAB, grid.size[2] - z)))
        values.append(_farthest(sitk.GetArrayFromImage(grid_image(image, grid, slab))))
    return _farthest(np.asarray(values))


def _separable(image: sitk.Image, grid: Grid) -> float:
    """Interpolate along x and y slice by slice, then along z in columns, to find where the extreme lies."""
    array = sitk.GetArrayViewFromImage(image)
    along = [interpolation_matrix(image.GetSize()[axis], grid, axis) for axis in range(3)]
    planes = np.empty((array.shape[0], grid.size[1] * grid.size[0]), np.float32)
    for z, plane in enumerate(array):
        rows = along[1] @ plane.astype(np.float32)
        planes[z] = (along[0] @ np.ascontiguousarray(rows.T)).T.ravel()
    best, where = -1.0, (0, 0)
    for first in range(0, planes.shape[1], _COLUMNS):
        part = planes[:, first : first + _COLUMNS]
        values = np.abs(part if grid.ratio[2] == 1 else along[2] @ np.ascontiguousarray(part))
        z, column = divmod(int(np.argmax(values)), values.shape[1])
        if values[z, column] > best:
            best, where = float(values[z, column]), (z, first + column)
    y, x = divmod(where[1], grid.size[0])
    exact = grid_image(image, grid, Box((x, y, where[0]), (1, 1, 1)))
    return float(sitk.GetArrayViewFromImage(exact)[0, 0, 0])


def interpolation_matrix(n: int, grid: Grid, axis: int) -> sparse.csr_array:
    """Return the matrix that takes `n` voxels along one axis to the grid's voxels along that axis.

    Parameters
    ----------
    n : int
        Voxels of the image along the axis.
    grid : Grid
        Its `interpolator` is linear or cubic B-spline.
    axis : int
        0, 1, 2 for x, y, z.

    Returns
    -------
    sparse array, shape (grid.size[axis], n)
        Rows of voxels beyond the image are 0, as ITK fills them.
    """
    position = grid.first[axis] + np.arange(grid.size[axis]) / grid.ratio[axis]
    matrix = interpolation_weights(n, position, linear=grid.interpolator == sitk.sitkLinear)
    matrix[np.abs(matrix) < _NEGLIGIBLE] = 0
    return sparse.csr_array(matrix.astype(np.float32))
