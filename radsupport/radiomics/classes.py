"""pyradiomics' feature classes, sharing what each of them would otherwise compute again.

pyradiomics' shape features with a surface and diameters that stay fast for large regions.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
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
from radsupport.radiomics.texture import Discretised, discretised

#: Mesh vertices from which on pyradiomics' comparison of all pairs (6 ms, growing quadratically) is replaced.
LARGE_MESH = 2_000

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


def _sharing(own: type[RadiomicsFeaturesBase]) -> type[RadiomicsFeaturesBase]:
    """Return one of pyradiomics' classes with grey levels that are computed once."""
    return type(f"Shared{own.__name__}", (SharedLevels, own), {})


#: Feature class by pyradiomics' name.
CLASSES: dict[str, type[RadiomicsFeaturesBase]] = {
    "shape": FastShape,
    "shape2D": RadiomicsShape2D,
    "firstorder": _sharing(RadiomicsFirstOrder),
    "glcm": _sharing(RadiomicsGLCM),
    "glrlm": _sharing(RadiomicsGLRLM),
    "glszm": _sharing(RadiomicsGLSZM),
    "gldm": _sharing(RadiomicsGLDM),
    "ngtdm": _sharing(RadiomicsNGTDM),
}
#: What pyradiomics calls small and large sizes, their spread, and what is counted, in each matrix of levels and sizes.
SIZES = {
    "glrlm": ("ShortRun", "LongRun", "RunLength", "Run", "Run"),
    "glszm": ("SmallArea", "LargeArea", "SizeZone", "Zone", "Zone"),
    "gldm": ("SmallDependence", "LargeDependence", "Dependence", "Dependence", ""),
}


def emphasis(counts: npt.NDArray, levels: npt.NDArray, sizes: npt.NDArray, words: Sequence[str]) -> dict[str, float]:
    """Return pyradiomics' features of a matrix of grey levels and sizes, averaged over directions.

    Parameters
    ----------
    counts : array, shape (levels, sizes, directions)
        Each direction has at least one count.
    levels, sizes : array
    words : five str
        Of `SIZES`.
    """
    small, large, spread, one, ending = words
    kept = counts.any(axis=(0, 2))
    total = counts.sum((0, 1))
    p, i, j, directions = counts[:, kept] / total, levels.astype(float), sizes[kept], counts.shape[2]
    by_level, by_size, mean = p.sum(1), p.sum(0), p.mean(2)
    level_mean, size_mean, positive = by_level.mean(1), by_size.mean(1), p[p > 0]
    in_level, in_size = (by_level**2).sum(0), (by_size**2).sum(0)
    low_high, small_large = np.stack([i**-2, i**2]), np.stack([j**-2, j**2])
    joint, by_grey, by_extent = low_high @ mean @ small_large.T, low_high @ level_mean, small_large @ size_mean
    return {
        f"{small}Emphasis": by_extent[0], f"{large}Emphasis": by_extent[1],
        "GrayLevelNonUniformity": (in_level * total).mean(), "GrayLevelNonUniformityNormalized": in_level.mean(),
        f"{spread}NonUniformity": (in_size * total).mean(), f"{spread}NonUniformityNormalized": in_size.mean(),
        f"{one}Percentage": (1 / (j @ by_size)).mean(),
        "GrayLevelVariance": (by_level * (i[:, None] - i @ by_level) ** 2).sum() / directions,
        f"{one}Variance": (by_size * (j[:, None] - j @ by_size) ** 2).sum() / directions,
        f"{one}Entropy": -(positive * np.log2(positive + np.spacing(1))).sum() / directions,
        f"LowGrayLevel{ending}Emphasis": by_grey[0], f"HighGrayLevel{ending}Emphasis": by_grey[1],
        f"{small}LowGrayLevelEmphasis": joint[0, 0], f"{large}LowGrayLevelEmphasis": joint[0, 1],
        f"{small}HighGrayLevelEmphasis": joint[1, 0], f"{large}HighGrayLevelEmphasis": joint[1, 1],
    }  # fmt: skip


def cooccurrence(counts: npt.NDArray, levels: npt.NDArray) -> dict[str, float]:
    """Return pyradiomics' features of the symmetrical co-occurrence of grey levels, averaged over directions.

    Parameters
    ----------
    counts : array, shape (levels, levels, directions)
        Each direction has at least one count.
    levels : array
    """
    eps, n, i = np.spacing(1), int(levels[-1]), levels.astype(float)
    p = counts + counts.transpose(1, 0, 2)
    p = p / p.sum((0, 1))
    px = p.sum(1)
    mean, directions = i @ px, p.shape[2]
    sums = _by(np.add.outer(levels, levels) - 2, p, 2 * n - 1)
    apart = _by(np.abs(np.subtract.outer(levels, levels)), p, n)
    k, k_sum, gap = np.arange(n, dtype=float), np.arange(2, 2 * n + 1, dtype=float), apart.mean(1)
    off, off_sum = i[:, None] - mean, k_sum[:, None] - 2 * mean
    variance, covariance = (px * off**2).sum(0), (off * (p * off).sum(1)).sum(0)
    cross = px[:, None] * px
    hx, hxy, hxy1, hxy2 = (
        -(a * np.log2(b + eps)).reshape(-1, directions).sum(0)
        for a, b in ((px, px), (p, p), (p, cross), (cross, cross))
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = np.where(variance == 0, 1, covariance / (variance + eps))
        imc1 = np.where(hx == 0, 0, (hxy - hxy1) / hx)
        imc2 = np.where(hxy2 == hxy, 0, np.sqrt(1 - np.exp(-2 * (hxy2 - hxy))))
    return {
        "Autocorrelation": i @ p.mean(2) @ i, "JointAverage": mean.mean(), "SumAverage": (k_sum @ sums).mean(),
        "ClusterProminence": (sums * off_sum**4).sum() / directions,
        "ClusterShade": (sums * off_sum**3).sum() / directions,
        "ClusterTendency": (sums * off_sum**2).sum() / directions,
        "Contrast": k**2 @ gap, "Correlation": correlation.mean(), "SumSquares": variance.mean(),
        "DifferenceAverage": k @ gap, "DifferenceVariance": (apart * (k[:, None] - k @ apart) ** 2).sum() / directions,
        "DifferenceEntropy": -(apart * np.log2(apart + eps)).sum() / directions,
        "SumEntropy": -(sums * np.log2(sums + eps)).sum() / directions,
        "JointEnergy": (p**2).sum() / directions, "JointEntropy": hxy.mean(),
        "Imc1": imc1.mean(), "Imc2": _mean_of_known(imc2), "MCC": _maximal_correlation(p, cross + eps),
        "Idm": gap @ (1 / (1 + k**2)), "Idmn": gap @ (1 / (1 + k**2 / n**2)),
        "Id": gap @ (1 / (1 + k)), "Idn": gap @ (1 / (1 + k / n)),
        "InverseVariance": gap[1:] @ k[1:] ** -2.0, "MaximumProbability": p.max((0, 1)).mean(),
    }  # fmt: skip


def _by(group: npt.NDArray, p: npt.NDArray, n: int) -> npt.NDArray:
    """Sum the cells (i, j) of co-occurrence by a group of theirs; shape (groups, directions)."""
    cells = group.ravel()[:, None] * p.shape[2] + np.arange(p.shape[2])
    return np.bincount(cells.ravel(), p.ravel(), minlength=n * p.shape[2]).reshape(n, -1)


def _mean_of_known(values: npt.NDArray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean().real) if known.size else float("nan")


def _maximal_correlation(p: npt.NDArray, independent: npt.NDArray) -> float:
    """Return the mean root of the second largest eigenvalue of Q, one matrix product a direction."""
    if len(p) < 2:
        return 1.0
    joint = p.transpose(2, 0, 1)
    values = np.linalg.eigvals(joint / independent.transpose(2, 0, 1) @ joint.transpose(0, 2, 1))
    with np.errstate(invalid="ignore"):
        return _mean_of_known(np.sqrt(np.sort(values)[:, -2]))


def neighbourhood(ngtdm: npt.NDArray, levels: npt.NDArray) -> dict[str, float]:
    """Return pyradiomics' features of the differences between grey levels and their neighbourhoods.

    Parameters
    ----------
    ngtdm : array, shape (levels, 2)
        Voxels of each level, at least one, and the sum of their distances from their neighbours' mean.
    levels : array
    """
    counts, sums = ngtdm.T
    n, i, total = counts.sum(), levels.astype(float), sums.sum()
    p, pairs = counts / n, len(levels) * (len(levels) - 1)
    weighted, ip, squares = p * sums, i * p, np.subtract.outer(i, i) ** 2
    both, apart, rough = np.add.outer(p, p), np.abs(np.subtract.outer(ip, ip)).sum(), weighted.sum()
    return {
        "Coarseness": 1 / rough if rough else 1e6, "Contrast": p @ squares @ p * total / n / pairs if pairs else 0.0,
        "Busyness": rough / apart if apart else 0.0,
        "Complexity": (np.sqrt(squares) * np.add.outer(weighted, weighted) / both).sum() / n,
        "Strength": (both * squares).sum() / total if total else 0.0,
    }  # fmt: skip


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
        found = _own_values(class_name, setting, image)
        if found and found.keys() >= set(features):
            found = {feature: found[feature] for feature in features}
        else:
            measure = CLASSES[class_name](image, mask, **setting)
            for feature in features:
                measure.enableFeatureByName(feature)
            found = measure.execute()
        values |= {f"{image_name}_{class_name}_{name}": float(value.real) for name, value in found.items()}
    return values


def _own_values(class_name: str, setting: dict[str, Any], image: sitk.Image) -> dict[str, float]:
    """Return the features of a class by this package's formulas; none where pyradiomics' are needed."""
    shared: Discretised | None = setting.get(SHARED)
    if shared is not None and class_name == "firstorder" and np.isfinite(shared.values).all():
        return first_order(shared, float(np.prod(image.GetSpacing())))
    symmetrical = class_name == "glcm" and setting.get("symmetricalGLCM", True)
    matrices = shared.matrices if shared is not None and (symmetrical or class_name in (*SIZES, "ngtdm")) else None
    if shared is None or matrices is None:
        return {}
    if symmetrical:
        return cooccurrence(matrices.glcm, shared.levels)
    if class_name == "ngtdm":
        return neighbourhood(matrices.ngtdm, shared.levels)
    counts = getattr(matrices, class_name)
    counts = counts if counts.ndim == 3 else counts[:, :, None]
    sizes = matrices.sizes if class_name == "glszm" else np.arange(1.0, counts.shape[1] + 1)
    return emphasis(counts, shared.levels, sizes, SIZES[class_name])
