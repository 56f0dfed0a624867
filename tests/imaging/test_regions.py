"""Boxes, slices and diameters of regions, rough and changed ones."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from helpers import outlines
from hypothesis import given, settings
from hypothesis import strategies as st

from radsupport.errors import InputError, MaskError
from radsupport.imaging.regions import (
    Box,
    bounding_box,
    crop,
    enlarge_roi,
    largest_slice,
    maximum_diameters,
    rough_roi_box,
    shift_roi,
    slice_areas,
)

SPACING = (0.5, 1.0, 2.0)


def image_of(array: np.ndarray) -> sitk.Image:
    return outlines.image_of(array, SPACING, (10.0, -20.0, 5.0))


@pytest.fixture
def mask(stepped_mask: sitk.Image) -> sitk.Image:
    return stepped_mask


def test_bounding_box_with_margin_in_mm_and_at_the_border(mask: sitk.Image) -> None:
    assert bounding_box(mask) == Box((6, 4, 3), (6, 5, 5))
    assert bounding_box(mask, 1.0) == Box((4, 3, 2), (10, 7, 7))
    assert bounding_box(mask, (0, 0, 2.0)) == Box((6, 4, 2), (6, 5, 7))
    assert bounding_box(mask, 100.0) == Box((0, 0, 0), (20, 14, 10))
    with pytest.raises(MaskError, match="empty"):
        bounding_box(mask * 0)


def test_crop_keeps_positions_in_space(mask: sitk.Image) -> None:
    box = bounding_box(mask)
    small = crop(mask, box)
    assert small.GetOrigin() == mask.TransformIndexToPhysicalPoint(box.start)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(small), sitk.GetArrayFromImage(mask)[box.slices])


def test_a_box_beyond_the_image_is_refused() -> None:
    image = image_of(np.full((4, 4, 4), 40.0, np.float32))
    for box in (Box((-1, 0, 0), (2, 2, 2)), Box((0, 3, 0), (2, 2, 2)), Box((9, 0, 0), (2, 2, 2))):
        with pytest.raises(InputError, match="outside the image"):
            crop(image, box)


def test_slices_and_areas(mask: sitk.Image) -> None:
    assert slice_areas(mask)[4] == 30 * 0.5
    assert largest_slice(mask) == 5
    with pytest.raises(MaskError):
        largest_slice(mask * 0)


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


def all_pairs(mask: np.ndarray, spacing: tuple[float, ...]) -> dict[str, float]:
    """Largest distances by comparing every pair of points half-way between inside and outside."""
    padded = np.pad(mask != 0, 1)
    points = []
    for axis in range(3):
        at = np.argwhere(np.diff(padded.astype(int), axis=axis) != 0).astype(float)
        at[:, axis] += 0.5
        points.append(at)
    vertices = np.concatenate(points)
    square = (((vertices[:, None] - vertices[None]) * np.asarray(spacing)) ** 2).sum(axis=2)
    found = {"3d": np.sqrt(square.max())}
    for axis, name in enumerate(("slice", "column", "row")):
        together = vertices[:, None, axis] == vertices[None, :, axis]
        found[name] = np.sqrt(square[together].max())
    return found


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.tuples(*[st.floats(0.3, 5)] * 3))
def test_diameters_equal_the_comparison_of_all_pairs(seed: int, spacing: tuple[float, float, float]) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((6, 7, 8)) < rng.uniform(0.02, 0.9)
    mask[3, 3, 3] = True
    assert maximum_diameters(mask, spacing) == pytest.approx(all_pairs(mask, spacing), rel=1e-12)


@pytest.mark.parametrize("shape", [(1, 20, 20), (1, 1, 60), (18, 18, 1), (1, 1, 1)])
def test_diameters_of_flat_and_straight_regions(shape: tuple[int, int, int]) -> None:
    spacing = (2.0, 1.0, 0.5)
    assert maximum_diameters(np.ones(shape), spacing) == pytest.approx(all_pairs(np.ones(shape), spacing), rel=1e-12)
