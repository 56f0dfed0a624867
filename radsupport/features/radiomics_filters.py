"""Filtered images of a region, each computed on the smallest crop that gives the whole image's values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pywt
import SimpleITK as sitk
from radiomics import imageoperations

from radsupport.features.lbp import lbp_2d, lbp_3d
from radsupport.imaging.reading import like
from radsupport.imaging.regions import Box, crop

SCALED_BY_MAXIMUM = ("Square", "SquareRoot", "Logarithm", "Exponential")
"""Filters that scale their result by the value farthest from zero in the image they are given."""

LOG_REACH_SIGMAS = 8
SPLINE_REACH = 48
"""Voxels after which scipy's recursive spline filter has forgotten, to the last bit, where it started."""


@dataclass(frozen=True)
class Region:
    """A region with as much of its surroundings as the filters need.

    Attributes
    ----------
    image, mask : SimpleITK.Image
        The crop; the mask is 1 inside.
    start : (x, y, z)
        Index of the crop's first voxel on the whole grid.
    size : (x, y, z)
        Voxels of the whole grid.
    box : Box
        The region's own box on the whole grid.
    extreme : float
        Value farthest from zero on the whole grid.
    """

    image: sitk.Image
    mask: sitk.Image
    start: tuple[int, int, int]
    size: tuple[int, ...]
    box: Box
    extreme: float

    def part(self, box: Box) -> tuple[sitk.Image, sitk.Image]:
        """Return image and mask inside a box of the whole grid."""
        x, y, z = (a - b for a, b in zip(box.start, self.start, strict=True))
        local = Box((x, y, z), box.size)
        return crop(self.image, local), crop(self.mask, local, 0)


@dataclass(frozen=True)
class FilteredImage:
    """One filtered image: pyradiomics' name, the crop with its mask, and the settings for the feature classes."""

    name: str
    image: sitk.Image
    mask: sitk.Image
    settings: dict[str, Any]


def reach_of(image_type: str, settings: Mapping[str, Any], spacing: tuple[float, ...]) -> tuple[npt.NDArray, bool]:
    """Return how many voxels beyond a region a filter looks.

    Parameters
    ----------
    image_type : str
        pyradiomics' name of the filter.
    settings : mapping
        All settings, the filter's own included; for LoG one `sigma` in mm.
    spacing : (x, y, z)
        Voxel size in mm.

    Returns
    -------
    reach : array, shape (3,)
        Voxels along x, y, z. For LoG 8 sigma: its recursive Gaussian has no end, and beyond 8 sigma it changes
        features by less than 1e-4.
    periodic : bool
        Whether the filter continues the image at its opposite border (wavelets).
    """
    still = np.zeros(3, int)
    if image_type == "LoG":
        return np.ceil(LOG_REACH_SIGMAS * settings["sigma"] / np.asarray(spacing)).astype(int) + 4, False
    if image_type == "Wavelet":
        length = pywt.Wavelet(settings.get("wavelet", "coif1")).dec_len
        return still + length * (settings.get("start_level", 0) + settings.get("level", 1)), True
    if image_type == "Gradient":
        return still + 2, False
    if image_type == "LBP2D":
        reach = still + int(np.ceil(settings.get("lbp2DRadius", 1))) + 1
        reach[2 - settings.get("force2Ddimension", 0)] = 0
        return reach, False
    if image_type == "LBP3D":
        return still + int(np.ceil(settings.get("lbp3DIcosphereRadius", 1))) + SPLINE_REACH, False
    return still + (image_type in SCALED_BY_MAXIMUM), False


def box_of(region: Box, size: tuple[int, ...], reach: npt.NDArray, periodic: bool) -> Box:
    """Return the box a filter needs on the whole grid: the whole axis where a periodic filter would wrap round."""
    lower, upper = np.asarray(region.start) - reach, np.asarray(region.stop) + reach
    if periodic:
        wraps = (lower < 0) | (upper > np.asarray(size))
        lower, upper = np.where(wraps, 0, lower), np.where(wraps, size, upper)
    lower, upper = np.maximum(lower, 0), np.minimum(upper, size)
    start, extent = lower.tolist(), (upper - lower).tolist()
    return Box((start[0], start[1], start[2]), (extent[0], extent[1], extent[2]))


def filter_steps(image_types: Mapping[str, dict[str, Any]], setting: Mapping[str, Any]) -> list[tuple[str, dict]]:
    """Return every filter with its complete settings, LoG once per sigma, in pyradiomics' order."""
    steps: list[tuple[str, dict]] = []
    for image_type, own in image_types.items():
        complete = {"label": 1, **setting, **own}
        if image_type == "LoG":
            steps += [(image_type, {**complete, "sigma": sigma}) for sigma in complete["sigma"]]
        else:
            steps.append((image_type, complete))
    return steps


def filtered_images(region: Region, image_type: str, settings: dict[str, Any]) -> Iterator[FilteredImage]:
    """Yield the images of one filter step, in pyradiomics' order and under its names."""
    reach, periodic = reach_of(image_type, settings, region.image.GetSpacing())
    box = box_of(region.box, region.size, reach, periodic)
    image, mask = region.part(box)
    if image_type == "LBP2D":
        yield FilteredImage("lbp-2D", _lbp2d(image, settings, box), mask, settings)
        return
    if image_type == "LBP3D":
        for name, filtered in _lbp3d(image, mask, settings, box):
            yield FilteredImage(name, filtered, mask, settings)
        return
    if image_type in SCALED_BY_MAXIMUM:
        image = _anchored(image, mask, region.extreme)
    passed = {**settings, "sigma": [settings["sigma"]]} if image_type == "LoG" else settings
    generator = getattr(imageoperations, f"get{image_type}Image")
    for filtered, name, kwargs in generator(image, mask, **passed):
        yield FilteredImage(name, filtered, mask, kwargs)


def _anchored(image: sitk.Image, mask: sitk.Image, extreme: float) -> sitk.Image:
    """Put the whole image's extreme value into one voxel outside the region, so that a crop is scaled alike."""
    outside = np.flatnonzero(sitk.GetArrayViewFromImage(mask).ravel() == 0)
    if not outside.size:
        return image  # the region fills the whole image, so the extreme value is inside
    array = sitk.GetArrayFromImage(image)
    array.ravel()[outside[0]] = extreme
    return like(array, image)


def _lbp2d(image: sitk.Image, settings: Mapping[str, Any], box: Box) -> sitk.Image:
    """Apply LBP2D along pyradiomics' plane; the result has the image's voxel type."""
    axis = settings.get("force2Ddimension", 0)
    array = sitk.GetArrayFromImage(image).swapaxes(0, axis)
    start = np.asarray(box.start[::-1])
    start[[0, axis]] = start[[axis, 0]]
    patterns = lbp_2d(
        array,
        settings.get("lbp2DRadius", 1),
        settings.get("lbp2DSamples", 8),
        settings.get("lbp2DMethod", "uniform"),
        start[1:].tolist(),
    )
    return like(patterns.astype(array.dtype).swapaxes(0, axis), image)


def _lbp3d(
    image: sitk.Image, mask: sitk.Image, settings: Mapping[str, Any], box: Box
) -> Iterator[tuple[str, sitk.Image]]:
    """Apply LBP3D; pyradiomics' names are m1, m2 … for the levels and k for the kurtosis."""
    maps = lbp_3d(
        sitk.GetArrayFromImage(image),
        sitk.GetArrayFromImage(mask) == settings.get("label", 1),
        settings.get("lbp3DLevels", 2),
        settings.get("lbp3DIcosphereRadius", 1),
        settings.get("lbp3DIcosphereSubdivision", 1),
        box.start[::-1],
    )
    names = [f"lbp-3D-m{level + 1}" for level in range(len(maps) - 1)] + ["lbp-3D-k"]
    for name, values in zip(names, maps, strict=True):
        yield name, like(values, image)
