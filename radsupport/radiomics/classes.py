"""pyradiomics' feature classes, sharing what each of them would otherwise compute again.

pyradiomics' shape features with a surface and diameters that stay fast for large regions.
"""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import radiomics
import SimpleITK as sitk
from radiomics import cShape
from radiomics.base import RadiomicsFeaturesBase
from radiomics.shape import RadiomicsShape

from radsupport.errors import InputError, Problem
from radsupport.imaging.regions import maximum_diameters

#: Mesh vertices from which on pyradiomics' comparison of all pairs (0.1 s, growing quadratically) is replaced.
LARGE_MESH = 10_000

_CORNERS = list(itertools.product((0, 1), repeat=3))


class FastShape(RadiomicsShape):
    """pyradiomics' class with another way to surface area, volume and diameters of large regions.

    pyradiomics' C function computes the three together and compares every pair of mesh vertices for the
    diameters. From `LARGE_MESH` vertices on they come from `mesh_measures`; smaller regions go through
    pyradiomics itself. Both agree to rounding (1e-12 relative).
    """

    def _initSegmentBasedCalculation(self) -> None:
        inside = np.pad(sitk.GetArrayFromImage(self.inputMask) == self.label, 1)
        if sum(np.count_nonzero(np.diff(inside, axis=axis)) for axis in range(3)) < LARGE_MESH:
            super()._initSegmentBasedCalculation()
            return
        self.pixelSpacing = np.array(self.inputImage.GetSpacing()[::-1])
        self.maskArray = inside
        self.labelledVoxelCoordinates = np.where(inside)
        self.SurfaceArea, self.Volume, self.diameters = mesh_measures(inside, self.pixelSpacing)
        self.eigenValues = _principal_moments(self.labelledVoxelCoordinates, self.pixelSpacing)


def mesh_measures(mask: npt.NDArray, spacing: npt.ArrayLike) -> tuple[float, float, tuple[float, ...]]:
    """Return surface area (mm^2), volume (mm^3) and the four diameters (mm) of pyradiomics' surface mesh.

    Parameters
    ----------
    mask : bool array, shape (z, y, x)
        Padded with one layer of background.
    spacing : sequence of 3 floats
        Voxel size (z, y, x) in mm.

    Returns
    -------
    area, volume : float
    diameters : tuple
        Slice, column, row and 3-D.

    Notes
    -----
    A marching-cubes mesh is a sum over cubes of eight voxels, of which there are 256 kinds, so counting the kinds
    is enough. What each kind adds is asked of pyradiomics' own C function, cube by cube.
    """
    inside = np.asarray(mask) != 0
    scale = tuple(float(s) for s in np.asarray(spacing))
    area, volume, shift = _cube_table((scale[0], scale[1], scale[2]))
    core = tuple(n - 1 for n in inside.shape)
    kinds = np.zeros(core, np.uint8)
    for bit, corner in enumerate(_CORNERS):
        part = inside[tuple(slice(c, c + n) for c, n in zip(corner, core, strict=True))]
        kinds |= part.astype(np.uint8) << bit
    surface = np.flatnonzero((kinds.ravel() != 0) & (kinds.ravel() != 255))
    found = kinds.ravel()[surface]
    position = np.stack(np.unravel_index(surface, core), axis=1)
    total = volume[found].sum() + (shift[found] * position).sum()
    sizes = maximum_diameters(inside, scale)
    return float(area[found].sum()), float(total), (sizes["slice"], sizes["column"], sizes["row"], sizes["3d"])


@lru_cache(maxsize=8)
def _cube_table(spacing: tuple[float, float, float]) -> tuple[npt.NDArray, npt.NDArray, npt.NDArray]:
    """Return area, signed volume at the origin, and what the volume gains per step along z, y, x, of each cube."""
    scale = np.array(spacing)
    area, volume, shift = np.zeros(256), np.zeros(256), np.zeros((256, 3))
    for kind in range(256):
        area[kind], volume[kind], _ = cShape.calculate_coefficients(_cube(kind), scale)
    for kind, axis in itertools.product(range(256), range(3)):
        cube = _cube(kind)
        shifted = np.concatenate([np.zeros_like(cube).take([0], axis), cube], axis)
        first = shifted.take([0, 1], axis)
        before = int(sum(1 << bit for bit, corner in enumerate(_CORNERS) if first[corner]))
        both = cShape.calculate_coefficients(np.ascontiguousarray(shifted), scale)[1]
        shift[kind, axis] = both - volume[before] - volume[kind]
    return area, volume, shift


def _cube(kind: int) -> npt.NDArray[np.bool_]:
    cube = np.zeros((2, 2, 2), bool)
    for bit, corner in enumerate(_CORNERS):
        cube[corner] = bool(kind >> bit & 1)
    return cube


def _principal_moments(coordinates: tuple[npt.NDArray, ...], spacing: npt.NDArray) -> npt.NDArray[np.float64]:
    """Return the sorted eigenvalues of the covariance of voxel centres, by pyradiomics' arithmetic."""
    points = np.array(coordinates, dtype="int").T * spacing
    points -= np.mean(points, axis=0)
    points /= np.sqrt(len(points))
    moments = np.linalg.eigvals(points.T.copy() @ points)
    moments[(moments < 0) & (moments > -1e-10)] = 0
    moments.sort()
    return moments


#: Grey levels up to which co-occurrence in 13 directions fits into 4 GB.
MOST_LEVELS = 6000


def _check_levels(values: npt.NDArray, setting: dict[str, Any]) -> None:
    """Refuse a region that falls into more grey levels than the matrices have room for."""
    low, high, width = float(values.min()), float(values.max()), setting.get("binWidth", 25)
    levels = setting.get("binCount") or (high - low) / width + 1
    if levels > MOST_LEVELS:
        what = f"the region reaches from {low:g} to {high:g}: {levels:.0f} grey levels at a bin width of {width:g}"
        remedy = "take a larger `binWidth`, leave metal out by `resegmentRange`, or exclude the case"
        raise InputError("The grey levels do not fit into memory.", [Problem(what, f"up to {MOST_LEVELS}", remedy)])


#: Key of the settings under which the classes of one image share their discretised image.
BINS = "shared_bins"


class SharedBins(RadiomicsFeaturesBase):
    """Discretises an image once instead of once per class; the bins are pyradiomics' own.

    Integers are widened first: pyradiomics adds two bin widths to the largest value in the image's own type, which
    passes the end of 16 bits from 32 718 HU on (of 8 bits from 206 on) and leaves no bins at all.
    """

    def _applyBinning(self, matrix: npt.NDArray) -> npt.NDArray:
        shared: dict[str, Any] = self.settings[BINS]
        if not shared:
            wide = matrix.astype(np.int64) if matrix.dtype.kind in "iu" else matrix
            _check_levels(wide[self.maskArray], self.settings)
            shared["matrix"] = super()._applyBinning(wide)
            shared["coefficients"] = dict(self.coefficients)
        self.coefficients.update(shared["coefficients"])
        return np.copy(shared["matrix"])


def _classes() -> dict[str, type[RadiomicsFeaturesBase]]:
    own = radiomics.getFeatureClasses()
    shared = {name: type(cls.__name__, (SharedBins, cls), {"__module__": cls.__module__}) for name, cls in own.items()}
    return {**shared, "shape": FastShape, "shape2D": own["shape2D"]}


#: Feature class by pyradiomics' name.
CLASSES = _classes()


def class_values(
    classes: dict[str, list[str]], image_name: str, image: sitk.Image, mask: sitk.Image, setting: dict[str, Any]
) -> dict[str, float]:
    """Return the features of some classes on one image under pyradiomics' names.

    Parameters
    ----------
    classes : dict
        Class -> features.
    image_name : str
        pyradiomics' name of the filtered image.
    image, mask : SimpleITK.Image
        Cut to the region's own box.
    setting : dict
        pyradiomics' settings for this image.
    """
    values: dict[str, float] = {}
    setting = {**setting, BINS: {}}
    for class_name, features in classes.items():
        measure = CLASSES[class_name](image, mask, **setting)
        for feature in features:
            measure.enableFeatureByName(feature)
        for feature, value in measure.execute().items():
            values[f"{image_name}_{class_name}_{feature}"] = float(np.real(value))
    return values
