"""The voxel farthest from zero in the whole (resampled) image, without resampling all of it by ITK.

Square, square root, logarithm and exponential scale their result by this value, so it has to be known although
only a crop is filtered. On a resampled grid it is found by separable interpolation, one sparse matrix per axis,
and then computed by ITK for that one voxel.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from scipy import sparse
from scipy.ndimage import spline_filter1d

from radsupport.features.radiomics_grid import Grid, grid_image
from radsupport.imaging.regions import Box

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
    inside = (position >= -0.5) & (position < n - 0.5)
    low = np.floor(position).astype(int)
    part = position - low
    matrix = np.zeros((grid.size[axis], n))
    rows = np.arange(len(low))
    if grid.interpolator == sitk.sitkLinear or n == 1:
        for tap in (0, 1):
            np.add.at(matrix, (rows, np.clip(low + tap, 0, n - 1)), np.where(tap, part, 1 - part) * inside)
    else:
        for tap in (-1, 0, 1, 2):
            np.add.at(matrix, (rows, _mirrored(low + tap, n)), _cubic(part - tap) * inside)
        matrix = matrix @ spline_filter1d(np.eye(n), 3, axis=0, mode="mirror")
    matrix[np.abs(matrix) < _NEGLIGIBLE] = 0
    return sparse.csr_array(matrix.astype(np.float32))


def _cubic(x: npt.NDArray) -> npt.NDArray:
    """Cubic B-spline."""
    x = np.abs(x)
    return np.where(x < 1, 2 / 3 - x**2 + x**3 / 2, np.where(x < 2, (2 - x) ** 3 / 6, 0.0))


def _mirrored(index: npt.NDArray, n: int) -> npt.NDArray:
    """Reflect indices about the first and the last voxel."""
    period = 2 * (n - 1)
    index = np.abs(index) % period
    return np.minimum(index, period - index)
