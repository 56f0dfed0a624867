"""pyradiomics' feature classes, sharing what each of them would otherwise compute again.

pyradiomics' shape features with a surface and diameters that stay fast for large regions.
"""

from __future__ import annotations

import itertools
from functools import cache, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from radiomics import cShape
from radiomics.base import RadiomicsFeaturesBase
from radiomics.firstorder import RadiomicsFirstOrder
from radiomics.glcm import RadiomicsGLCM
from radiomics.gldm import RadiomicsGLDM
from radiomics.glrlm import RadiomicsGLRLM
from radiomics.glszm import RadiomicsGLSZM
from radiomics.ngtdm import RadiomicsNGTDM
from radiomics.shape import RadiomicsShape
from radiomics.shape2D import RadiomicsShape2D

from radsupport.imaging.regions import maximum_diameters
from radsupport.radiomics.texture import Discretised, Matrices, discretised

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


#: Key of the settings under which the classes of one image share its grey levels and matrices.
SHARED = "shared_levels"


class SharedLevels(RadiomicsFeaturesBase):
    """Takes grey levels and matrices from what the classes of one image share (`discretised`)."""

    def __init_subclass__(cls) -> None:
        cls.__module__ = cls.__mro__[2].__module__  # pyradiomics names its loggers so

    @classmethod
    @cache
    def getFeatureNames(cls) -> dict[str, bool]:
        return super().getFeatureNames()

    def _applyBinning(self, matrix: npt.NDArray) -> npt.NDArray:
        shared: Discretised = self.settings[SHARED]
        self.coefficients |= {"grayLevels": shared.levels, "Ng": int(shared.levels[-1])}
        return shared.bins

    @property
    def matrices(self) -> Matrices | None:
        return self.settings[SHARED].matrices


class FastGLCM(SharedLevels, RadiomicsGLCM):
    """pyradiomics' formulas on the shared matrix."""

    def _calculateMatrix(self, voxelCoordinates: Any = None) -> npt.NDArray:
        if self.matrices is None:
            return super()._calculateMatrix(voxelCoordinates)
        counts = self.matrices.glcm[None]
        counts = counts + counts.transpose(0, 2, 1, 3) if self.symmetricalGLCM else counts
        return counts / counts.sum((1, 2), keepdims=True)

    def _calculateCoefficients(self) -> None:
        levels, n = self.coefficients["grayLevels"].astype(float), self.coefficients["Ng"]
        i, j = np.meshgrid(levels, levels, indexing="ij", sparse=True)
        p, eps = self.P_glcm, np.spacing(1)
        wide_i, wide_j = i[None, :, :, None], j[None, :, :, None]
        values = {"eps": eps, "i": i, "j": j}
        values |= {"kValuesSum": np.arange(2, 2 * n + 1, dtype=float), "kValuesDiff": np.arange(n, dtype=float)}
        values |= {"px": p.sum(2, keepdims=True), "py": p.sum(1, keepdims=True)}
        values |= {"ux": (wide_i * p).sum((1, 2), keepdims=True), "uy": (wide_j * p).sum((1, 2), keepdims=True)}
        values |= {"pxAddy": _by(i + j - 2, p, 2 * n - 1), "pxSuby": _by(np.abs(i - j), p, n)}
        self.coefficients |= values | {"HXY": -(p * np.log2(p + eps)).sum((1, 2))}


def _by(group: npt.NDArray, p: npt.NDArray, n: int) -> npt.NDArray:
    """Sum the cells (i, j) of co-occurrence by a group of theirs; shape (1, groups, angles)."""
    angles = p.shape[3]
    cells = group.astype(int).ravel()[:, None] * angles + np.arange(angles)
    return np.bincount(cells.ravel(), p.ravel(), minlength=n * angles).reshape(1, n, angles)


class FastGLRLM(SharedLevels, RadiomicsGLRLM):
    """pyradiomics' formulas on the shared matrix."""

    def _calculateMatrix(self, voxelCoordinates: Any = None) -> npt.NDArray:
        if self.matrices is None:
            return super()._calculateMatrix(voxelCoordinates)
        runs = self.matrices.glrlm[None]
        self.coefficients["Nr"] = runs.sum((1, 2))
        return runs


class FastGLSZM(SharedLevels, RadiomicsGLSZM):
    """pyradiomics' formulas on the shared matrix."""

    def _calculateMatrix(self, voxelCoordinates: Any = None) -> npt.NDArray:
        return super()._calculateMatrix(voxelCoordinates) if self.matrices is None else self.matrices.glszm[None]

    def _calculateCoefficients(self) -> None:
        if self.matrices is None:
            super()._calculateCoefficients()
            return
        levels, sizes = self.coefficients["grayLevels"].astype(float), self.matrices.sizes
        by_size, by_level = self.P_glszm.sum(1), self.P_glszm.sum(2)
        values = {"ps": by_size, "pg": by_level, "ivector": levels, "jvector": sizes}
        self.coefficients |= values | {"Nz": by_level.sum(1), "Np": (by_size * sizes).sum(1)}


class FastGLDM(SharedLevels, RadiomicsGLDM):
    """pyradiomics' formulas on the shared matrix."""

    def _calculateMatrix(self, voxelCoordinates: Any = None) -> npt.NDArray:
        if self.matrices is None:
            return super()._calculateMatrix(voxelCoordinates)
        occurring = np.flatnonzero(self.matrices.gldm.any(axis=0))
        counts = self.matrices.gldm[None, :, occurring]
        values = {"pd": counts.sum(1), "pg": counts.sum(2), "Nz": counts.sum((1, 2))}
        values |= {"ivector": self.coefficients["grayLevels"].astype(float), "jvector": occurring + 1.0}
        self.coefficients |= values
        return counts


class FastNGTDM(SharedLevels, RadiomicsNGTDM):
    """pyradiomics' formulas on the shared matrix."""

    def _calculateMatrix(self, voxelCoordinates: Any = None) -> npt.NDArray:
        if self.matrices is None:
            return super()._calculateMatrix(voxelCoordinates)
        return np.column_stack([self.matrices.ngtdm, self.coefficients["grayLevels"]])[None]


class PlainFirstOrder(SharedLevels, RadiomicsFirstOrder):
    """pyradiomics' own formulas, which leave out voxels without a value."""


#: Feature class by pyradiomics' name.
CLASSES: dict[str, type[RadiomicsFeaturesBase]] = {
    "shape": FastShape,
    "shape2D": RadiomicsShape2D,
    "firstorder": PlainFirstOrder,
    "glcm": FastGLCM,
    "glrlm": FastGLRLM,
    "glszm": FastGLSZM,
    "gldm": FastGLDM,
    "ngtdm": FastNGTDM,
}


def first_order(shared: Discretised, voxel_mm3: float) -> dict[str, float]:
    """Return pyradiomics' first-order features but its deprecated one, each moment and percentile computed once.

    Parameters
    ----------
    shared : Discretised
        Its values are all finite.
    voxel_mm3 : float
        Volume of a voxel.
    """
    values, p = shared.values, shared.counts / shared.counts.sum()
    low, high, mean = values.min(), values.max(), values.mean()
    p10, p25, p50, p75, p90 = np.percentile(values, [10, 25, 50, 75, 90])
    off = values - mean
    squared = off * off
    m2, m3, m4 = squared.mean(), (squared * off).mean(), (squared * squared).mean()
    spread = m2 if m2 else 1.0  # a flat region has neither skewness nor kurtosis
    energy = np.square(values + shared.settings.get("voxelArrayShift", 0)).sum()
    middle = values[(values >= p10) & (values <= p90)]
    return {
        "Energy": energy, "TotalEnergy": energy * voxel_mm3, "RootMeanSquared": np.sqrt(energy / len(values)),
        "Entropy": -(p * np.log2(p + np.spacing(1))).sum(), "Uniformity": (p * p).sum(),
        "Minimum": low, "Maximum": high, "Range": high - low, "Mean": mean, "Median": p50,
        "10Percentile": p10, "90Percentile": p90, "InterquartileRange": p75 - p25,
        "MeanAbsoluteDeviation": np.abs(off).mean(),
        "RobustMeanAbsoluteDeviation": np.abs(middle - middle.mean()).mean(),
        "Variance": m2, "Skewness": m3 / spread**1.5, "Kurtosis": m4 / spread**2,
    }  # fmt: skip


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
    if any(not name.startswith("shape") for name in classes):
        inside = sitk.GetArrayViewFromImage(mask) == setting.get("label", 1)
        setting = {**setting, SHARED: discretised(sitk.GetArrayViewFromImage(image), inside, setting)}
    for class_name, features in classes.items():
        finite = class_name == "firstorder" and np.isfinite(setting[SHARED].values).all()
        found = first_order(setting[SHARED], float(np.prod(image.GetSpacing()))) if finite else {}
        if found and found.keys() >= set(features):
            found = {feature: found[feature] for feature in features}
        else:
            measure = CLASSES[class_name](image, mask, **setting)
            for feature in features:
                measure.enableFeatureByName(feature)
            found = measure.execute()
        values |= {f"{image_name}_{class_name}_{name}": float(np.real(value)) for name, value in found.items()}
    return values
