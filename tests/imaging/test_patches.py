"""Inputs of the networks: what is cut, where it lands, and what is said of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radsupport.errors import GeometryError, InputError, MaskError
from radsupport.imaging.patches import (
    Patch,
    covered_voxels,
    crop_centred,
    cuboid_slices,
    fit_planes,
    join_stacks,
    largest_slice,
    make_inputs,
    margin_voxels,
    patch_table,
    sampled_patch,
    tumour_box,
    tumour_channels,
    tumour_field,
)
from radsupport.imaging.preprocessing import window


def tumour_patch(
    volume: np.ndarray, mask: np.ndarray, *, sampling: Any, shape: Any = (10, 150, 150), field: Any = None
) -> Patch:
    """Cut and sample at once, around the largest section."""
    return sampled_patch(tumour_field(volume, mask, field or shape, "largest_section"), sampling, shape)


def ball(shape: tuple[int, int, int], centre: tuple[int, int, int], radius: float) -> np.ndarray:
    axes = np.ogrid[tuple(slice(n) for n in shape)]
    return sum((axis - at) ** 2 for axis, at in zip(axes, centre, strict=True)) <= radius**2


@pytest.fixture
def scan() -> tuple[np.ndarray, np.ndarray]:
    """A volume whose every voxel differs, and a ball of radius 6 in it."""
    volume = np.random.default_rng(1).uniform(0.1, 1, size=(30, 40, 50)).astype(np.float32)
    return volume, ball(volume.shape, (12, 20, 30), 6)


def test_window_maps_its_ends_to_0_and_1() -> None:
    hu = np.array([[[-2000.0, -25.0, 130.0, 285.0, 3000.0]]])
    np.testing.assert_allclose(window(hu, level=130, width=310).ravel(), [0, 0, 0.5, 1, 1], atol=1e-6)
    with pytest.raises(InputError, match="width must be positive"):
        window(hu, level=130, width=0)


def test_box_and_largest_slice(scan: tuple[np.ndarray, np.ndarray]) -> None:
    _, mask = scan
    assert tumour_box(mask) == (slice(6, 19), slice(14, 27), slice(24, 37))
    assert largest_slice(mask) == 12
    with pytest.raises(MaskError, match="empty"):
        tumour_box(np.zeros((3, 3, 3)))


@settings(max_examples=60, deadline=None)
@given(st.tuples(*[st.integers(-4, 12)] * 3), st.tuples(*[st.integers(1, 12)] * 3))
def test_crop_centred_equals_cutting_from_a_padded_array(
    centre: tuple[int, int, int], shape: tuple[int, int, int]
) -> None:
    array = np.random.default_rng(0).uniform(1, 2, size=(7, 8, 9))
    padded = np.pad(array, 20)
    start = [20 + at - n // 2 for at, n in zip(centre, shape, strict=True)]
    expected = padded[tuple(slice(a, a + n) for a, n in zip(start, shape, strict=True))]
    np.testing.assert_array_equal(crop_centred(array, centre, shape), expected)


def test_cuboid_is_padded_not_stretched(scan: tuple[np.ndarray, np.ndarray]) -> None:
    volume, mask = scan
    roi = np.zeros_like(mask)
    roi[8:16, 10:28, 22:39] = True  # 18 x 17 in plane
    stack = cuboid_slices(volume, mask, roi, size=32, subject="S1")
    assert stack.images.shape == (8, 1, 32, 32)
    assert stack.masks.shape == (8, 32, 32)
    np.testing.assert_array_equal(stack.images[3, 0, 7:25, 8:25], volume[11, 10:28, 22:39])
    assert stack.images[:, :, :7].max() == stack.images[:, :, 25:].max() == 0
    assert stack.table["area"].tolist() == stack.masks.sum(axis=(1, 2)).tolist()
    assert stack.table["slice"].tolist() == list(range(8, 16))
    assert not stack.table["resized"].any()


def test_larger_cuboid_is_resized_with_its_shape_kept() -> None:
    volume = np.tile(np.linspace(0, 1, 60, dtype=np.float32), (2, 30, 1))
    mask = np.ones(volume.shape, dtype=bool)
    stack = cuboid_slices(volume, mask, mask, size=20)
    assert stack.table["resized"].all()
    assert stack.masks[0].sum() == 20 * 10  # 60 x 30 becomes 20 x 10, centred
    np.testing.assert_allclose(stack.images[0, 0, 10], np.linspace(0, 1, 60).reshape(20, 3).mean(axis=1), atol=0.02)
    assert fit_planes(mask, 20).dtype == bool


def test_join_stacks_keeps_the_order(scan: tuple[np.ndarray, np.ndarray]) -> None:
    one = cuboid_slices(*scan, scan[1], size=16, subject="A")
    two = cuboid_slices(*scan, scan[1], size=16, subject="B")
    both = join_stacks([one, two])
    assert both.table["subject"].tolist() == ["A"] * 13 + ["B"] * 13
    np.testing.assert_array_equal(both.images[13:], two.images)
    with pytest.raises(InputError, match="no slices"):
        join_stacks([])


def test_three_slices_around_the_largest(scan: tuple[np.ndarray, np.ndarray]) -> None:
    volume, mask = scan
    channels = tumour_channels(volume, mask, size=16, box=16)
    np.testing.assert_array_equal(channels, volume[11:14, 12:28, 22:38])
    single = tumour_channels(volume, mask, size=16, box=16, slices=1)
    np.testing.assert_array_equal(single, np.repeat(volume[12:13, 12:28, 22:38], 3, axis=0))
    masked = tumour_channels(volume, mask, size=16, box=16, masked=True)
    np.testing.assert_array_equal(masked > 0, mask[11:14, 12:28, 22:38])


def test_channels_at_the_border_are_padded_and_repeated() -> None:
    volume = np.random.default_rng(2).uniform(0.1, 1, size=(5, 20, 20)).astype(np.float32)
    mask = np.zeros(volume.shape, dtype=bool)
    mask[0, :4, :4] = True
    channels = tumour_channels(volume, mask, size=12, box=12)
    np.testing.assert_array_equal(channels[0], channels[1])  # slice 0 twice, then slice 1
    np.testing.assert_array_equal(channels[2, 4:, 4:], volume[1, :8, :8])
    assert channels[:, :4].max() == channels[:, :, :4].max() == 0


def test_smallest_square_is_resized_to_the_network(scan: tuple[np.ndarray, np.ndarray]) -> None:
    volume, mask = scan
    exact = tumour_channels(volume, mask, size=13, box=None, slices=1)
    np.testing.assert_array_equal(exact[0], volume[12, 14:27, 24:37])
    larger = tumour_channels(volume, mask, size=26, box=None, slices=1)
    assert larger.shape == (3, 26, 26)
    assert larger.mean() == pytest.approx(exact.mean(), abs=0.01)


def test_segmentation_and_box_sampling_differ_only_outside_the_tumour(scan: tuple[np.ndarray, np.ndarray]) -> None:
    volume, mask = scan
    segmented = tumour_patch(volume, mask, sampling="segmentation", shape=(10, 24, 24))
    box = tumour_patch(volume, mask, sampling="box", shape=(10, 24, 24))
    np.testing.assert_array_equal(box.image, volume[7:17, 8:32, 18:42])
    np.testing.assert_array_equal(segmented.image, box.image * box.mask)
    np.testing.assert_array_equal(segmented.image > 0, segmented.mask)


def test_share_of_the_tumour_inside_the_patch(scan: tuple[np.ndarray, np.ndarray]) -> None:
    volume, mask = scan
    cut = tumour_patch(volume, mask, sampling="box", shape=(10, 24, 24))
    assert cut.share_inside == pytest.approx(mask[7:17].sum() / mask.sum())
    whole = tumour_patch(volume, mask, sampling="box", shape=(14, 24, 24))
    assert whole.share_inside == 1
    table = patch_table({"A": cut, "B": whole})
    assert table["cut"].tolist() == [True, False]
    assert table["voxels"].tolist() == [int(mask[7:17].sum()), int(mask.sum())]


def test_field_is_averaged_down_to_the_patch(scan: tuple[np.ndarray, np.ndarray]) -> None:
    volume, mask = scan
    fine = tumour_patch(volume, mask, sampling="segmentation", shape=(14, 24, 24))
    coarse = tumour_patch(volume, mask, sampling="segmentation", shape=(7, 12, 12), field=(14, 24, 24))
    blocks = fine.image.reshape(7, 2, 12, 2, 12, 2).mean(axis=(1, 3, 5))
    np.testing.assert_allclose(coarse.image, blocks, atol=1e-6)
    assert coarse.share_inside == 1
    with pytest.raises(InputError, match="at least as large"):
        tumour_patch(volume, mask, sampling="box", shape=(10, 24, 24), field=(5, 24, 24))


def test_bad_input_is_named(scan: tuple[np.ndarray, np.ndarray]) -> None:
    volume, mask = scan
    with pytest.raises(GeometryError, match="differ"):
        tumour_patch(volume, mask[1:], sampling="box")
    with pytest.raises(GeometryError, match="three axes"):
        tumour_channels(volume[0], mask[0])
    with pytest.raises(InputError, match="Unknown sampling"):
        tumour_patch(volume, mask, sampling="tight")  # type: ignore[arg-type]


def test_a_failed_case_is_logged_and_the_others_go_on(scan: tuple[np.ndarray, np.ndarray]) -> None:
    volume, mask = scan
    masks = {"A": mask, "B": np.zeros_like(mask), "C": mask}
    made, log = make_inputs(list(masks), lambda s: tumour_patch(volume, masks[s], sampling="box", shape=(4, 8, 8)))
    assert list(made) == ["A", "C"]
    expected = pd.DataFrame({"subject": ["A", "B", "C"], "failed": [False, True, False]})
    pd.testing.assert_frame_equal(log[["subject", "failed"]], expected)
    assert "empty" in log.loc[1, "reason"]


def test_a_field_in_mm_becomes_voxels_axis_by_axis() -> None:
    assert covered_voxels((10, 48, 48), None, (1.0, 1.0, 1.0)) == (10, 48, 48)
    assert covered_voxels((10, 48, 48), (10, 150, 120), (1.0, 1.5, 2.0)) == (5, 100, 120)


def test_a_margin_in_mm_becomes_voxels_of_each_axis() -> None:
    assert margin_voxels(10.0, (2.0, 1.0, 5.0)) == (2, 10, 5)
    assert margin_voxels(0.0, (2.0, 1.0, 5.0)) == (0, 0, 0)
    assert margin_voxels(None, (2.0, 1.0, 5.0)) is None


def test_the_middle_is_that_of_the_tumours_box_or_its_largest_section(scan: tuple[np.ndarray, np.ndarray]) -> None:
    volume, mask = scan
    mask = mask.copy()
    mask[19:29, 20, 30] = True  # a long thin tip: the box reaches from slice 6 to 28, the ball's middle is 12
    tip = tumour_field(volume, mask, (5, 9, 9), "tumour")
    np.testing.assert_array_equal(tip.image, volume[15:20, 16:25, 26:35])
    section = tumour_field(volume, mask, (5, 9, 9), "largest_section")
    np.testing.assert_array_equal(section.image, volume[10:15, 16:25, 26:35])
