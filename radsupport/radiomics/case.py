"""Features of one case: crop first, then filter, then measure; the values are those of the whole image.

A case can be measured again after a small, realistic change. Zwanenburg et al., Sci Rep 2019;9:614: features that
survive translation, noise and a changed outline of one scan are those that survive a test-retest scan.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from radiomics import imageoperations

from radsupport.errors import MaskError, NotEstimableError
from radsupport.imaging.controls import control_image
from radsupport.imaging.preprocessing import noise_hu
from radsupport.imaging.reading import like, read_pair
from radsupport.imaging.regions import Box, bounding_box, crop, enlarge_roi
from radsupport.radiomics.classes import class_values
from radsupport.radiomics.filters import (
    SCALED_BY_MAXIMUM,
    FilteredImage,
    Region,
    box_of,
    filter_steps,
    filtered_images,
    reach_of,
)
from radsupport.radiomics.grid import (
    Grid,
    as_integers,
    cut_box,
    extreme_value,
    grid_image,
    grid_mask,
    grid_mask_in,
    plan_grid,
)
from radsupport.radiomics.settings import RadiomicsSettings, quiet_pyradiomics


@dataclass(frozen=True)
class Perturbation:
    """One small change of a case, or a control image of it.

    Attributes
    ----------
    name : str
        Names the change in tables.
    shift_voxels : (x, y, z)
        Translation of the voxel grid on which features are computed, in its voxels; below one voxel.
    noise : float
        SD of added Gaussian noise as a multiple of the image's own noise (`noise_hu`).
    margin_mm : float
        Growth (positive) or shrinkage (negative) of the outline.
    seed : int
        Of the noise, or of the control.
    control : str
        Kind and region of a negative control (`control_image`), such as "shuffled roi"; empty for none.
    """

    name: str
    shift_voxels: tuple[float, float, float] = (0.0, 0.0, 0.0)
    noise: float = 0.0
    margin_mm: float = 0.0
    seed: int = 0
    control: str = field(default="", repr=False)  # the cache knows changes without one by their old text

    def of(self, case: str) -> Perturbation:
        """Return the control with a seed of this case's own; noise has one for all."""
        return replace(self, seed=zlib.crc32(f"{self.seed} {case}".encode())) if self.control else self

    def change_mask(self, mask: sitk.Image) -> sitk.Image:
        """Return the grown or shrunk mask."""
        return enlarge_roi(mask, self.margin_mm) if self.margin_mm else mask

    def change_grid(self, grid: Grid) -> Grid:
        """Return the translated grid; where nothing was to be resampled, the image is interpolated by B-spline."""
        if not any(self.shift_voxels):
            return grid
        first = grid.first + np.asarray(self.shift_voxels) / grid.ratio
        return replace(grid, first=first, interpolator=grid.interpolator or sitk.sitkBSpline)

    def change_image(self, image: sitk.Image, mask: sitk.Image) -> sitk.Image:
        """Return the image with noise added, or its control.

        Raises
        ------
        NotEstimableError
            The image has too little soft tissue to estimate its noise.
        """
        if self.control:
            return control_image(image, mask, self.control, self.seed)
        if not self.noise:
            return image
        sd = noise_hu(image)
        if not np.isfinite(sd):
            raise NotEstimableError("The image has too little soft tissue to estimate its noise, so none can be added.")
        array = sitk.GetArrayFromImage(image).astype(np.float32)
        rng = np.random.default_rng(self.seed)
        array += np.float32(self.noise * sd) * rng.standard_normal(array.shape, dtype=np.float32)
        return like(array, image)


@dataclass(frozen=True)
class CaseFeatures:
    """Features of one case.

    Attributes
    ----------
    values : dict
        pyradiomics' feature name -> value; NaN where a feature is not defined for the region.
    voxels : int
        Voxels of the region on the grid that was measured.
    messages : tuple of str
        What was repaired, and what pyradiomics warned of.
    """

    values: dict[str, float]
    voxels: int
    messages: tuple[str, ...]


def extract_case(
    image_path: str | Path,
    mask_path: str | Path,
    settings: RadiomicsSettings,
    perturbation: Perturbation | None = None,
    window: tuple[float, float] | None = None,
) -> CaseFeatures:
    """Read one case and return its features; see `features_of`. HU outside `window` (level, width) are cut off first.

    Raises
    ------
    InputError, MaskError, GeometryError
        As `read_image`, `read_mask` and `check_geometry`.
    ValueError
        pyradiomics' own checks of the region (too few voxels or dimensions).
    """
    image, report = read_pair(image_path, mask_path, settings.label)
    if window is not None:
        level, width = window
        image = sitk.Clamp(image, image.GetPixelID(), level - width / 2, level + width / 2)
    pair, repaired = [image, report.mask], [problem.what for problem in report.problems]
    del image, report
    found = _features(pair, settings, perturbation)
    return replace(found, messages=(*repaired, *found.messages))


def features_of(
    image: sitk.Image, mask: sitk.Image, settings: RadiomicsSettings, perturbation: Perturbation | None = None
) -> CaseFeatures:
    """Return the features of one region.

    Parameters
    ----------
    image : SimpleITK.Image
        HU.
    mask : SimpleITK.Image
        On the image's grid, 1 inside.
    settings : RadiomicsSettings
    perturbation : Perturbation, optional
        A small change of the case, to see which features survive it.

    Returns
    -------
    CaseFeatures

    Notes
    -----
    Where resampling is asked for, HU are rounded to whole numbers after it (IBSI, Zwanenburg et al. 2020), whatever
    type the scan is stored in. Plain pyradiomics cuts the fraction off in an image of integers, towards zero, and
    keeps it in one of floating point, so that one scan has two sets of features; `roundHU: false` keeps that way.
    Then, and without resampling, values are equal to `RadiomicsFeatureExtractor.execute` on the whole image: to
    rounding (1e-9) for original, square, square root, logarithm, exponential, gradient, wavelet and LBP images, to 1e-4
    for LoG (whole numbers stored as floating point: to rounding). Where resampling is asked for,
    pyradiomics cuts the image to the region plus `padDistance` voxels (5 by default) *before* it filters, so its
    values depend on that edge. Here filters see the whole image unless the settings name `padDistance`, which
    reproduces pyradiomics' cut (the published default: 5). With `resegmentRange` shape is measured on the mask as
    drawn, cut to the box of the resegmented mask, as pyradiomics does it.
    """
    return _features([image, mask], settings, perturbation)


def _features(
    pair: list[sitk.Image], settings: RadiomicsSettings, perturbation: Perturbation | None = None
) -> CaseFeatures:
    """Take image and mask out of a list, so that nobody holds the whole volume while its region is measured."""
    with quiet_pyradiomics() as messages:
        if settings.setting.get("normalize"):
            pair[0] = imageoperations.normalizeImage(pair[0], **settings.setting)
        region = load_region(pair[0], pair[1], settings, perturbation)
        pair.clear()
        values = _measure(region, settings)
    return CaseFeatures(values, _count(region.mask), tuple(dict.fromkeys(messages)))


def load_region(
    image: sitk.Image, mask: sitk.Image, settings: RadiomicsSettings, perturbation: Perturbation | None = None
) -> Region:
    """Return the region on the grid of the settings with as much around it as the filters need."""
    if perturbation is not None:
        image, mask = perturbation.change_image(image, mask), perturbation.change_mask(mask)
    image = as_integers(image) if settings.round_hu else image
    grid = plan_grid(mask, settings.resampled_spacing, settings.setting.get("interpolator"))
    grid = replace(grid, round_hu=settings.round_hu)
    if perturbation is not None:
        grid = perturbation.change_grid(grid)
    if settings.cut is not None:
        box = cut_box(mask, grid, settings.cut)
        image, mask = grid_image(image, grid, box), grid_mask_in(mask, grid, box)
        grid = plan_grid(mask, None, None)
    whole_mask = grid_mask(mask, grid)
    if not _count(whole_mask):
        raise MaskError("No voxel of the mask is left after resampling.")
    tight = bounding_box(whole_mask)
    steps = filter_steps(settings.image_types, settings.setting)
    boxes = [
        box_of(tight, grid.size, reach, periodic)
        for reach, periodic in (reach_of(kind, own, grid.spacing) for kind, own in steps)
    ]
    wide = _around([tight, *boxes])
    scaled = any(kind in SCALED_BY_MAXIMUM for kind, _ in steps)
    return Region(
        image=grid_image(image, grid, wide),
        mask=sitk.Cast(crop(whole_mask, wide), sitk.sitkUInt32),
        start=wide.start,
        size=grid.size,
        box=tight,
        extreme=extreme_value(image, grid) if scaled else float("nan"),
    )


def _count(mask: sitk.Image) -> int:
    return int(np.count_nonzero(sitk.GetArrayViewFromImage(mask)))


def _around(boxes: list[Box]) -> Box:
    """Return the smallest box around several."""
    return Box.between(np.min([box.start for box in boxes], axis=0), np.max([box.stop for box in boxes], axis=0))


def _measure(region: Region, settings: RadiomicsSettings) -> dict[str, float]:
    """Return all features of a region: shape on the mask as drawn, the rest on the resegmented mask."""
    setting = {"label": 1, **settings.setting}
    box = _checked_box(region, setting)
    drawn = region
    if setting.get("resegmentRange") is not None:
        kept = imageoperations.resegmentMask(region.image, region.mask, **setting)
        region = replace(region, mask=sitk.Cast(kept, sitk.sitkUInt32))
        box = _checked_box(region, setting)
        drawn = region if setting.get("resegmentShape") else drawn
    shapes = {name: listed for name, listed in settings.feature_classes.items() if name.startswith("shape")}
    others = {name: listed for name, listed in settings.feature_classes.items() if name not in shapes}
    values = class_values(dict(sorted(shapes.items())), "original", *drawn.part(box), setting)
    whole = None
    for kind, own in filter_steps(settings.image_types, setting):
        for filtered in filtered_images(region, kind, own):
            if filtered.mask is not whole:  # the images of one filter share it
                whole, tight = filtered.mask, bounding_box(filtered.mask)
                mask = crop(whole, tight)
            values |= class_values(others, filtered.name, crop(filtered.image, tight), mask, filtered.settings)
    return values


def _checked_box(region: Region, setting: dict[str, Any]) -> Box:
    """Return the box of the region's mask after pyradiomics' own checks (dimensions, number of voxels).

    Raises
    ------
    ValueError
        pyradiomics finds the region too small.
    """
    local = bounding_box(region.mask)
    imageoperations.checkMask(crop(region.image, local), crop(region.mask, local), **setting)
    x, y, z = (a + b for a, b in zip(local.start, region.start, strict=True))
    return Box((x, y, z), local.size)


def feature_names(settings: RadiomicsSettings) -> list[str]:
    """Return the names of all features that the settings ask for, in the order of the tables.

    Parameters
    ----------
    settings : RadiomicsSettings

    Returns
    -------
    list of str
        pyradiomics' names: shape first, then image by image in the order of the settings.
    """
    shapes = [
        f"original_{name}_{feature}"
        for name in ("shape", "shape2D")
        for feature in settings.feature_classes.get(name, [])
    ]
    return shapes + [
        f"{image}_{name}_{feature}"
        for image in image_names(settings)
        for name, features in settings.feature_classes.items()
        if not name.startswith("shape")
        for feature in features
    ]


def image_names(settings: RadiomicsSettings) -> list[str]:
    """Return pyradiomics' names of the filtered images, in order, by filtering a tiny volume."""
    return [filtered.name for filtered in _tiny_images(settings)]


def _tiny_images(settings: RadiomicsSettings) -> Iterator[FilteredImage]:
    ramp = np.arange(1, 16**3 + 1, dtype=np.float32).reshape(16, 16, 16)
    image, mask = sitk.GetImageFromArray(ramp), sitk.GetImageFromArray(np.zeros((16, 16, 16), np.uint32))
    mask[8, 8, 8] = 1
    steps = filter_steps(settings.image_types, {"label": 1, **settings.setting})
    size = (16, 16, 16)
    for kind, own in steps:
        coarse = 100.0 * own["sigma"] if kind == "LoG" else 1.0
        for one in (image, mask):
            one.SetSpacing((coarse,) * 3)
        with quiet_pyradiomics():
            yield from filtered_images(Region(image, mask, (0, 0, 0), size, bounding_box(mask), 4096.0), kind, own)
