"""Image and mask: repaired where only the header differs, refused where space differs; quality of masks."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from radsupport.errors import GeometryError, MaskError
from radsupport.imaging.geometry import check_geometry
from radsupport.imaging.masks import MASK_POLICIES, mask_quality, warnings_of
from radsupport.imaging.regions import maximum_diameters


def image_of(array: np.ndarray, spacing: tuple[float, ...] = (0.8, 0.8, 2.5)) -> sitk.Image:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    image.SetOrigin((-120.5, 33.25, 700.0))
    return image


@pytest.fixture
def image() -> sitk.Image:
    return image_of(np.random.default_rng(1).normal(40, 10, (14, 18, 16)).astype(np.float32))


@pytest.fixture
def mask() -> sitk.Image:
    drawn = np.zeros((14, 18, 16), np.uint8)
    drawn[4:9, 3:10, 5:12] = 1
    drawn[4, 3, 5] = 0
    return image_of(drawn)


def same(a: sitk.Image, b: sitk.Image) -> bool:
    return bool((sitk.GetArrayFromImage(a) == sitk.GetArrayFromImage(b)).all())


def test_equal_geometry_is_left_alone(image: sitk.Image, mask: sitk.Image) -> None:
    report = check_geometry(image, mask)
    assert (report.action, report.problems) == ("none", ())
    assert same(report.mask, mask)


def test_a_rounded_header_is_replaced_by_the_images(image: sitk.Image, mask: sitk.Image) -> None:
    rounded = sitk.Image(mask)
    rounded.SetOrigin((-120.501, 33.249, 700.0))
    rounded.SetSpacing((0.8001, 0.8, 2.5))
    report = check_geometry(image, rounded)
    assert report.action == "rounding"
    assert report.mask.GetOrigin() == image.GetOrigin()
    assert report.mask.GetSpacing() == image.GetSpacing()
    assert same(report.mask, mask)
    assert 0 < report.displacement_voxels < 0.05


@pytest.mark.parametrize("axes", [c for c in itertools.product((False, True), repeat=3) if any(c)])
def test_a_flipped_mask_is_put_back_exactly(image: sitk.Image, mask: sitk.Image, axes: tuple[bool, ...]) -> None:
    report = check_geometry(image, sitk.Flip(mask, axes))
    assert report.action == "regridded"
    assert same(report.mask, mask)


@pytest.mark.parametrize("order", [o for o in itertools.permutations(range(3)) if o != (0, 1, 2)])
def test_permuted_axes_are_put_back_exactly(image: sitk.Image, mask: sitk.Image, order: tuple[int, ...]) -> None:
    report = check_geometry(image, sitk.PermuteAxes(mask, order))
    assert report.action == "regridded"
    assert same(report.mask, mask)


def test_a_cropped_mask_is_put_back_exactly(image: sitk.Image, mask: sitk.Image) -> None:
    report = check_geometry(image, mask[4:13, 2:12, 3:10])
    assert report.action == "regridded"
    assert same(report.mask, mask)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.SetOrigin((0.0, 0.0, 0.0)),
        lambda m: m.SetOrigin((-120.1, 33.25, 700.0)),
        lambda m: m.SetSpacing((0.9, 0.8, 2.5)),
        lambda m: m.SetDirection((np.cos(0.1), -np.sin(0.1), 0, np.sin(0.1), np.cos(0.1), 0, 0, 0, 1)),
    ],
)
def test_a_real_difference_is_refused(image: sitk.Image, mask: sitk.Image, change: object) -> None:
    moved = sitk.Image(mask)
    change(moved)  # type: ignore[operator]
    with pytest.raises(GeometryError, match=r"voxels apart|outside the image"):
        check_geometry(image, moved, "case 7")


def test_a_mask_outside_the_image_is_refused(image: sitk.Image, mask: sitk.Image) -> None:
    far = sitk.Image(mask)
    far.SetOrigin((-120.5 + 0.8 * 100, 33.25, 700.0))
    with pytest.raises(GeometryError, match="244 of 244"):
        check_geometry(image, far)
    partly = sitk.Image(mask)
    partly.SetOrigin((-120.5 + 0.8 * 8, 33.25, 700.0))
    with pytest.raises(GeometryError, match="outside the image"):
        check_geometry(image, partly)


def test_quality_counts_what_is_there(image: sitk.Image, mask: sitk.Image) -> None:
    quality = mask_quality(image, mask)
    inside = sitk.GetArrayFromImage(mask) != 0
    values = sitk.GetArrayFromImage(image)[inside].astype(float)
    assert quality["voxels"] == 244
    assert quality["slices"] == 5
    assert quality["n_islands"] == 1
    assert quality["hole_voxels"] == 0
    assert not quality["touches_border"]
    assert not quality["one_slice"]
    assert quality["volume_mm3"] == pytest.approx(244 * 0.8 * 0.8 * 2.5)
    assert quality["hu_mean"] == pytest.approx(values.mean())
    assert quality["hu_sd"] == pytest.approx(values.std(ddof=1))
    assert warnings_of(quality) == []


def test_quality_finds_every_fault(image: sitk.Image) -> None:
    drawn = np.zeros((14, 18, 16), np.uint8)
    drawn[0:5, 2:7, 2:7] = 1
    drawn[2, 4, 4] = 0
    drawn[10, 12, 12] = 1
    quality = mask_quality(image, image_of(drawn))
    assert (quality["n_islands"], quality["hole_voxels"], quality["touches_border"]) == (2, 1, True)
    assert quality["largest_island_share"] == pytest.approx(124 / 125)
    assert warnings_of(quality) == ["several islands", "holes", "touches the image border"]
    flat = np.zeros_like(drawn)
    flat[3, 4:6, 4:6] = 1
    assert warnings_of(mask_quality(image, image_of(flat))) == ["one slice"]
    single = np.zeros_like(drawn)
    single[3, 4, 4] = 1
    assert mask_quality(image, image_of(single))["one_voxel"]


def test_quality_of_an_empty_or_unnamed_mask_is_refused(image: sitk.Image) -> None:
    drawn = np.zeros((14, 18, 16), np.uint8)
    with pytest.raises(MaskError, match="empty"):
        mask_quality(image, image_of(drawn))
    drawn[3], drawn[5] = 1, 2
    with pytest.raises(MaskError, match="labels"):
        mask_quality(image, image_of(drawn))
    assert mask_quality(image, image_of(drawn), label=2)["n_labels"] == 2
    with pytest.raises(MaskError, match="size"):
        mask_quality(image, image_of(drawn[:5]))


def test_every_policy_is_one_of_three_and_named_once() -> None:
    assert set(MASK_POLICIES["policy"]) == {"repair", "warn", "refuse"}
    assert MASK_POLICIES["condition"].is_unique
    assert set(warnings_of({"one_slice": True, "n_islands": 2, "hole_voxels": 1, "touches_border": True})) == set(
        MASK_POLICIES.loc[MASK_POLICIES["policy"] == "warn", "condition"]
    )


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
