"""Boxes, slices, rough regions, and what is shown for checking masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from radsupport.errors import InputError, MaskError
from radsupport.imaging.masks import contact_sheet_data
from radsupport.imaging.regions import (
    Box,
    bounding_box,
    crop,
    enlarge_roi,
    largest_slice,
    rough_roi_box,
    shift_roi,
    slice_areas,
    slices_around_largest,
)

SPACING = (0.5, 1.0, 2.0)


def image_of(array: np.ndarray) -> sitk.Image:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(SPACING)
    image.SetOrigin((10.0, -20.0, 5.0))
    return image


@pytest.fixture
def mask() -> sitk.Image:
    drawn = np.zeros((10, 14, 20), np.uint8)
    drawn[3, 5:8, 6:9] = 1
    drawn[4, 4:9, 6:12] = 1
    drawn[5, 4:9, 6:12] = 1
    drawn[6, 4:9, 6:12] = 1
    drawn[7, 6, 6] = 1
    return image_of(drawn)


def test_bounding_box_with_margin_in_mm_and_at_the_border(mask: sitk.Image) -> None:
    assert bounding_box(mask) == Box((6, 4, 3), (6, 5, 5))
    assert bounding_box(mask, 1.0) == Box((4, 3, 2), (10, 7, 7))
    assert bounding_box(mask, (0, 0, 2.0)) == Box((6, 4, 2), (6, 5, 7))
    assert bounding_box(mask, 100.0) == Box((0, 0, 0), (20, 14, 10))
    assert bounding_box(mask, 100.0, clip=False).start == (-194, -96, -47)
    with pytest.raises(MaskError, match="empty"):
        bounding_box(mask * 0)


def test_crop_keeps_positions_in_space(mask: sitk.Image) -> None:
    box = bounding_box(mask)
    small = crop(mask, box, 0)
    assert small.GetOrigin() == mask.TransformIndexToPhysicalPoint(box.start)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(small), sitk.GetArrayFromImage(mask)[box.slices])


def test_crop_fills_what_lies_beyond_the_image() -> None:
    image = image_of(np.full((4, 4, 4), 40.0, np.float32))
    cut = crop(image, Box((-2, 0, 3), (4, 4, 3)))
    array = sitk.GetArrayFromImage(cut)
    assert array.shape == (3, 4, 4)
    assert (array[0, :, 2:] == 40).all()
    assert (array[:, :, :2] == -1024).all()
    assert (array[1:] == -1024).all()
    assert cut.GetOrigin() == pytest.approx(image.TransformContinuousIndexToPhysicalPoint((-2.0, 0.0, 3.0)))
    with pytest.raises(InputError, match="outside the image"):
        crop(image, Box((9, 0, 0), (2, 2, 2)))


def test_slices_and_areas(mask: sitk.Image) -> None:
    assert slice_areas(mask)[4] == 30 * 0.5
    assert largest_slice(mask) == 5
    assert slices_around_largest(mask, 3) == [4, 5, 6]
    assert slices_around_largest(mask, 10) == list(range(10))
    with pytest.raises(InputError, match="11 slices"):
        slices_around_largest(mask, 11)
    with pytest.raises(MaskError):
        largest_slice(mask * 0)
    edge = np.zeros((10, 4, 4), np.uint8)
    edge[9] = 1
    assert slices_around_largest(image_of(edge), 3) == [7, 8, 9]


def test_rough_region_becomes_the_smallest_cuboid_around_its_three_slices() -> None:
    drawn = np.zeros((10, 14, 20), np.uint8)
    drawn[2, 5:8, 6:9], drawn[5, 3:9, 7:12], drawn[8, 6:7, 4:6] = 1, 1, 1
    box = sitk.GetArrayFromImage(rough_roi_box(image_of(drawn)))
    expected = np.zeros_like(drawn)
    expected[2:9, 3:9, 4:12] = 1
    np.testing.assert_array_equal(box, expected)
    with pytest.raises(MaskError):
        rough_roi_box(image_of(np.zeros_like(drawn)))


def test_shift_moves_by_millimetres_and_refuses_to_lose_voxels(mask: sitk.Image) -> None:
    moved = shift_roi(mask, (1.0, -2.0, 4.0))
    expected = np.roll(sitk.GetArrayFromImage(mask), (2, -2, 2), (0, 1, 2))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(moved), expected)
    with pytest.raises(MaskError, match="out of the image"):
        shift_roi(mask, (0, 0, 6.0))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.0, 3.0))
def test_growth_adds_what_lies_within_the_margin_and_shrinking_removes_it(seed: int, margin: float) -> None:
    drawn = np.random.default_rng(seed).random((9, 11, 12)) < 0.02
    drawn[4, 5, 6] = True
    spacing = np.array(SPACING[::-1])
    everywhere = np.argwhere(np.ones_like(drawn)) * spacing

    def distance_to(voxels: np.ndarray) -> np.ndarray:
        gaps = everywhere[:, None] - (np.argwhere(voxels) * spacing)[None]
        return np.linalg.norm(gaps, axis=2).min(axis=1).reshape(drawn.shape)

    grown = sitk.GetArrayFromImage(enlarge_roi(image_of(drawn.astype(np.uint8)), margin)) != 0
    np.testing.assert_array_equal(grown, distance_to(drawn) <= margin + 1e-9)
    thick = np.zeros_like(drawn)
    thick[1:8, 1:10, 1:11] = True
    thick &= ~drawn
    expected = thick & (distance_to(~thick) > margin + 1e-9)
    if margin and expected.any():
        shrunk = sitk.GetArrayFromImage(enlarge_roi(image_of(thick.astype(np.uint8)), -margin)) != 0
        np.testing.assert_array_equal(shrunk, expected)


def test_shrinking_to_nothing_is_refused(mask: sitk.Image) -> None:
    with pytest.raises(MaskError, match="leaves no voxel"):
        enlarge_roi(mask, -20.0)


def test_contact_sheet_shows_the_largest_slice_of_usable_cases(mask: sitk.Image, tmp_path: Path) -> None:
    image = image_of(np.arange(2800, dtype=np.float32).reshape(10, 14, 20))
    sitk.WriteImage(image, str(tmp_path / "i.nii.gz"))
    sitk.WriteImage(mask, str(tmp_path / "m.nii.gz"))
    case = {"subject": "a", "phase": "ct", "image": str(tmp_path / "i.nii.gz"), "mask": str(tmp_path / "m.nii.gz")}
    table = pd.DataFrame([{**case, "exclusion": ""}, {**case, "subject": "b", "exclusion": "empty", "image": None}])
    sheet = contact_sheet_data(table, margin_mm=1.0)
    assert list(sheet["subject"]) == ["a"]
    row = sheet.iloc[0]
    assert (row["slice"], row["area_mm2"], row["spacing"]) == (5, 15.0, (1.0, 0.5))
    np.testing.assert_array_equal(row["image"], sitk.GetArrayFromImage(image)[5, 3:10, 4:14])
    np.testing.assert_array_equal(row["mask"], sitk.GetArrayFromImage(mask)[5, 3:10, 4:14])
