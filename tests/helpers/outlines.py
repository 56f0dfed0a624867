"""Small images with an outlined region."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

#: A toolkit's settings that are extracted in no time.
SMALL: dict[str, Any] = {"featureClass": {"firstorder": ["Mean", "Variance"], "shape": ["VoxelVolume"]}}


def image_of(
    array: np.ndarray,
    spacing: tuple[float, ...] = (0.8, 0.8, 2.5),
    origin: tuple[float, ...] = (-120.5, 33.25, 700.0),
) -> sitk.Image:
    """Return an array (slices, rows, columns) as an image off the middle of space."""
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    return image


@pytest.fixture
def image() -> sitk.Image:
    """Noise around 40 HU."""
    return image_of(np.random.default_rng(1).normal(40, 10, (14, 18, 16)).astype(np.float32))


@pytest.fixture
def mask() -> sitk.Image:
    """Block without one of its corners, in the geometry of `image`."""
    drawn = np.zeros((14, 18, 16), np.uint8)
    drawn[4:9, 3:10, 5:12] = 1
    drawn[4, 3, 5] = 0
    return image_of(drawn)


@pytest.fixture
def stepped_mask() -> sitk.Image:
    """Region of five slices, three of them the largest, with voxels of 0.5 x 1 x 2 mm."""
    drawn = np.zeros((10, 14, 20), np.uint8)
    drawn[3, 5:8, 6:9] = 1
    drawn[4:7, 4:9, 6:12] = 1
    drawn[7, 6, 6] = 1
    return image_of(drawn, (0.5, 1.0, 2.0), (10.0, -20.0, 5.0))


@pytest.fixture
def scan() -> tuple[sitk.Image, sitk.Image]:
    """Smooth texture with noise around 50 HU, and a block in its middle."""
    rng = np.random.default_rng(8)
    array = 50 + ndimage.gaussian_filter(rng.normal(size=(16, 44, 46)), 2) * 150 + rng.normal(0, 6, (16, 44, 46))
    drawn = np.zeros(array.shape, np.uint8)
    drawn[5:11, 14:26, 15:28] = 1
    image, mask = sitk.GetImageFromArray(array.astype(np.float32)), sitk.GetImageFromArray(drawn)
    for one in (image, mask):
        one.SetSpacing((1.0, 1.0, 2.0))
    return image, mask
