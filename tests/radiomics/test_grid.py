"""The extreme value of a resampled image, found without resampling it."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

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
