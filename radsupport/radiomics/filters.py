"""Local binary patterns in two and three dimensions, as pyradiomics defines them.

Own code because neither of pyradiomics' two filters runs here: LBP2D wants scikit-image, LBP3D wants trimesh and
`scipy.special.sph_harm`, which scipy has removed; without them pyradiomics leaves the images out and only logs a
warning. The values are those of pyradiomics 3.0.1 with scikit-image, down to the order of the floating-point
operations that decide ties: both filters compare an interpolated neighbour with the centre, and in flat parts of
an integer image the comparison is decided by rounding. For the same reason both take the index of the crop's
first voxel: positions are computed in the coordinates of the whole image, so cropping changes no bit.

Filtered images of a region, each computed on the smallest crop that gives the whole image's values.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pywt
import SimpleITK as sitk
from radiomics import imageoperations
from scipy.ndimage import map_coordinates
from scipy.special import sph_harm_y
from scipy.stats import kurtosis

from radsupport.errors import InputError
from radsupport.imaging.reading import like
from radsupport.imaging.regions import Box, crop

LBP2D_METHODS = ("default", "uniform")
_BLOCK = 4096


def lbp_2d(
    planes: npt.NDArray, radius: float = 1.0, samples: int = 8, method: str = "uniform", start: Sequence[int] = (0, 0)
) -> npt.NDArray[np.float64]:
    """Return the local binary pattern of every pixel, plane by plane.

    Parameters
    ----------
    planes : array, shape (n, rows, columns)
    radius : float
        Radius of the circle of neighbours, in pixels.
    samples : int
        Neighbours on the circle, bilinearly interpolated; what lies beyond the plane counts as 0.
    method : {"uniform", "default"}
        "uniform": number of neighbours >= centre where the circle changes at most twice between below and not
        below, else `samples` + 1; "default": the bit pattern itself.
    start : (row, column)
        Index of the first pixel in the whole image.

    Raises
    ------
    InputError
        Another method.

    Notes
    -----
    Ojala, Pietikainen & Harwood, Pattern Recognition 1996;29:51; the variant of
    `skimage.feature.local_binary_pattern`, which counts changes between consecutive samples without closing
    the circle and rounds sample positions to five decimals.
    """
    if method not in LBP2D_METHODS:
        raise InputError(f"LBP2D knows the methods {', '.join(LBP2D_METHODS)}, not {method!r}.")
    values = np.asarray(planes, np.float64)
    angles = 2 * np.pi * np.arange(samples, dtype=np.float64) / samples
    steps = zip(np.round(-radius * np.sin(angles), 5), np.round(radius * np.cos(angles), 5), strict=True)
    above = np.stack([_bilinear(values, row, column, start) - values >= 0 for row, column in steps])
    if method == "default":
        return np.tensordot(2.0 ** np.arange(samples), above, axes=1)
    changes = np.count_nonzero(above[1:] != above[:-1], axis=0)
    return np.where(changes <= 2, above.sum(axis=0), samples + 1).astype(np.float64)


def _bilinear(values: npt.NDArray, row: float, column: float, start: Sequence[int]) -> npt.NDArray:
    """Interpolate at a fixed step from every pixel; 0 beyond the plane."""
    low_r, high_r, part_r = _neighbours(values.shape[1], row, start[0])
    low_c, high_c, part_c = _neighbours(values.shape[2], column, start[1])
    pad = int(max(abs(row), abs(column))) + 2
    padded = np.pad(values, ((0, 0), (pad, pad), (pad, pad)))
    above, below = padded[:, low_r + pad], padded[:, high_r + pad]
    part_r = part_r[:, None]
    top = (1 - part_c) * above[..., low_c + pad] + part_c * above[..., high_c + pad]
    bottom = (1 - part_c) * below[..., low_c + pad] + part_c * below[..., high_c + pad]
    return (1 - part_r) * top + part_r * bottom


def _neighbours(n: int, step: float, start: int) -> tuple[npt.NDArray, npt.NDArray, npt.NDArray]:
    """Return lower and upper index and the weight of the upper one, positions rounded as in the whole image."""
    position = np.arange(start, start + n) + step
    low = np.floor(position)
    return low.astype(int) - start, np.ceil(position).astype(int) - start, position - low


def lbp_3d(
    volume: npt.NDArray,
    mask: npt.NDArray,
    levels: int = 2,
    radius: float = 1.0,
    subdivision: int = 1,
    start: Sequence[int] = (0, 0, 0),
) -> list[npt.NDArray[np.float64]]:
    """Return the rotation-invariant 3-D local binary patterns of a region, one map per level, and the kurtosis.

    Parameters
    ----------
    volume, mask : array, shape (z, y, x)
        Values are computed where the mask is not 0; other voxels are 0.
    levels : int
        Levels of the spherical harmonics.
    radius : float
        Radius of the sphere of neighbours, in voxels.
    subdivision : int
        How often the icosahedron that samples the sphere is subdivided.
    start : (z, y, x)
        Index of the first voxel in the whole image.

    Returns
    -------
    list of array
        `levels` maps, then the map of the kurtosis of the neighbours.

    Notes
    -----
    Banerjee et al. 2013, doi:10.1007/978-3-642-37410-4_3, as pyradiomics computes it: it hands polar angle and
    azimuth to the spherical harmonics in exchanged order and interpolates in the image's own voxel type (integers
    are cut off); both are kept, so that values compare with published ones.
    """
    vertices = icosphere(subdivision, radius)
    where = np.nonzero(mask)
    centres = np.array(where).T + np.asarray(start)
    positions = centres[None] + vertices[:, None] - np.asarray(start)
    samples = map_coordinates(volume, positions.T, order=3)
    spread = kurtosis(samples, axis=1)
    above = np.greater_equal(samples, volume[where][:, None]).astype(int)
    maps = [*_harmonic_norms(above, vertices, radius, levels), np.real(spread)]
    images = []
    for values in maps:
        image = np.zeros(volume.shape)
        image[where] = values
        images.append(image)
    return images


def _harmonic_norms(above: npt.NDArray, vertices: npt.NDArray, radius: float, levels: int) -> list[npt.NDArray]:
    """Return the norm of every level's part of the thresholded sphere, shape (voxels,) each.

    Written in pyradiomics' order of operations, a block of voxels at a time, so that sums round alike.
    """
    polar = np.arccos(vertices[:, 2] / radius)
    azimuth = np.arctan2(vertices[:, 1], vertices[:, 0])
    orders = [(n, m) for n in range(levels) for m in range(-n, n + 1)]
    # sph_harm_y(n, m, polar, azimuth); pyradiomics passes the angles the other way round
    basis = np.column_stack([sph_harm_y(n, m, azimuth, polar) for n, m in orders])
    level = np.array([n for n, _ in orders])
    blocks = []
    for first in range(0, len(above), _BLOCK):
        weights = (above[first : first + _BLOCK, :, None] * basis[None]).sum(axis=1)
        parts = [np.sum(weights[:, None, level == n] * basis[None, :, level == n], axis=2) for n in range(levels)]
        blocks.append(np.real(np.sqrt(np.sum(np.stack(parts, axis=2) ** 2, axis=1))))
    return list(np.concatenate(blocks).T)


def icosphere(subdivision: int, radius: float) -> npt.NDArray[np.float64]:
    """Return the vertices of an icosahedron whose triangles are split in four `subdivision` times, on a sphere."""
    golden = (1 + 5**0.5) / 2
    signs = itertools.product((-1.0, 1.0), (-golden, golden))
    points = np.array([np.roll((a, b, 0.0), turn) for a, b in signs for turn in range(3)])
    for _ in range(subdivision):
        points = _on_sphere(points, 1.0)
        gaps = np.linalg.norm(points[:, None] - points[None], axis=2)
        nearest = np.sort(gaps, axis=1)[:, 1:6].max()
        first, second = np.nonzero(np.triu(gaps <= nearest * 1.01, 1))
        points = np.concatenate([points, (points[first] + points[second]) / 2])
    return _on_sphere(points, radius)


def _on_sphere(points: npt.NDArray, radius: float) -> npt.NDArray:
    """Move points along their direction onto a sphere, in trimesh's order of operations."""
    lengths = np.sqrt((points**2).sum(axis=1))[:, None]
    return points + points / lengths * (radius - lengths)


#: Filters that scale their result by the value farthest from zero in the image they are given.
SCALED_BY_MAXIMUM = ("Square", "SquareRoot", "Logarithm", "Exponential")

LOG_REACH_SIGMAS = 8
_ROWS = 32
#: Voxels after which scipy's recursive spline filter has forgotten, to the last bit, where it started.
SPLINE_REACH = 48


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
        local = local_box(box, Box(self.start, self.image.GetSize()))
        return crop(self.image, local), crop(self.mask, local)


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
    return Box.between(np.maximum(lower, 0), np.minimum(upper, size))


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
    if image_type == "LoG" and _wide_enough(image, settings["sigma"]):
        name = f"log-sigma-{str(settings['sigma']).replace('.', '-')}-mm-3D"
        inner, inner_mask = region.part(region.box)
        laplacian = laplacian_of_gaussian(image, settings["sigma"], local_box(region.box, box))
        yield FilteredImage(name, like(laplacian, inner), inner_mask, settings)
        return
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


def local_box(box: Box, outer: Box) -> Box:
    """Return a box in the indices of another one around it."""
    x, y, z = (a - b for a, b in zip(box.start, outer.start, strict=True))
    return Box((x, y, z), box.size)


def _wide_enough(image: sitk.Image, sigma: float) -> bool:
    """Whether pyradiomics filters an image of this size; where not, it is left to say so."""
    size, spacing = np.array(image.GetSize()), np.array(image.GetSpacing())
    return bool(sigma > 0 and size.min() >= 4 and (size >= np.ceil(sigma / spacing) + 1).all())


def laplacian_of_gaussian(image: sitk.Image, sigma: float, box: Box) -> npt.NDArray[np.float32]:
    """Return ITK's recursive Laplacian of Gaussian, normalised across scales, inside a box of the image.

    Parameters
    ----------
    image : SimpleITK.Image
    sigma : float
        In mm.
    box : Box
        Voxels wanted.

    Returns
    -------
    array, shape (z, y, x) of the box

    Notes
    -----
    ITK's filter is nine recursive filters along one axis each. Each is linear, so it is a matrix, of which only the
    rows of the box are needed: the image shrinks to the box axis by axis, and matrix products do in a
    twentieth of the time what nine filters of the whole image do.
    """
    (along_x, curve_x), (along_y, curve_y), (along_z, curve_z) = (
        [_gaussian_matrix(size, spacing, sigma, order)[start:stop] for order in (0, 2)]
        for size, spacing, start, stop in zip(image.GetSize(), image.GetSpacing(), box.start, box.stop, strict=True)
    )
    array = sitk.GetArrayViewFromImage(image)
    across = np.concatenate([along_z, curve_z])
    both = np.empty((len(across), *array.shape[1:]))
    for first in range(0, array.shape[1], _ROWS):  # numbers of eight bytes only for some rows, then slices, at a time
        part = array[:, first : first + _ROWS]
        both[:, first : first + _ROWS] = (across @ part.reshape(len(part), -1).astype(np.float64)).reshape(
            len(across), *part.shape[1:]
        )
    found = np.empty((len(along_z), len(along_y), len(along_x)), np.float32)
    for out, smooth, curved in zip(found, *both.reshape(2, len(along_z), *array.shape[1:]), strict=True):
        out[:] = (along_y @ smooth) @ curve_x.T + (curve_y @ smooth + along_y @ curved) @ along_x.T
    return found


@lru_cache(maxsize=8)
def _gaussian_matrix(n: int, spacing: float, sigma: float, order: int) -> npt.NDArray[np.float64]:
    """Return what ITK's recursive Gaussian (or its second derivative per mm) makes of each of `n` voxels' impulse."""
    impulses = sitk.GetImageFromArray(np.eye(n))
    impulses.SetSpacing((spacing, 1.0))
    what = sitk.RecursiveGaussianImageFilter.SecondOrder if order else sitk.RecursiveGaussianImageFilter.ZeroOrder
    return sitk.GetArrayFromImage(sitk.RecursiveGaussian(impulses, sigma, True, what, 0)).T / spacing**order


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
