"""The extreme value of a resampled image, found without resampling it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from radsupport.imaging.regions import Box
from radsupport.radiomics.grid import extreme_value, grid_image, plan_grid


@pytest.mark.parametrize("interpolator", ["sitkBSpline", "sitkLinear", "sitkNearestNeighbor"])
@pytest.mark.parametrize("spacing", [[1, 1, 1], [2.2, 2.2, 2.2], [0.5, 0.5, 0]])
@pytest.mark.parametrize("dtype", [np.float32, np.int16])
def test_the_extreme_value_of_the_resampled_image_is_itks(interpolator: str, spacing: list[float], dtype: type) -> None:
    array = np.random.default_rng(2).normal(-100, 300, (11, 24, 26)).astype(dtype)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((0.8, 0.9, 2.0))
    mask = sitk.GetImageFromArray(np.ones(array.shape, np.uint8))
    mask.CopyInformation(image)
    grid = plan_grid(mask, spacing, interpolator)
    whole = sitk.GetArrayFromImage(grid_image(image, grid, Box((0, 0, 0), grid.size)))  # type: ignore[arg-type]
    assert extreme_value(image, grid) == whole.ravel()[np.argmax(np.abs(whole))]


@pytest.mark.parametrize("round_hu", [False, True])
def test_an_axis_of_two_voxels_is_mirrored(round_hu: bool) -> None:
    voxels = np.random.default_rng(1).normal(0, 300, (2, 9, 8)).astype(np.float32)
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing((1, 1, 3))
    mask = sitk.GetImageFromArray(np.ones(voxels.shape, np.uint8))
    mask.CopyInformation(image)
    grid = replace(plan_grid(mask, [1, 1, 1], "sitkBSpline"), round_hu=round_hu)
    found = sitk.GetArrayFromImage(grid_image(image, grid, Box((0, 0, 0), grid.size)))  # type: ignore[arg-type]
    z, y, x = (grid.first[i] + np.arange(grid.size[i]) / grid.ratio[i] for i in (2, 1, 0))
    right = ndimage.map_coordinates(voxels.astype(float), np.meshgrid(z, y, x, indexing="ij"), order=3, mode="mirror")
    inside = (z >= -0.5) & (z < 1.5)
    assert found[inside] == pytest.approx(right[inside], abs=0.51 if round_hu else 1e-3)
