"""Resampling, windowing, noise, and one case through chapter 02."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import SimpleITK as sitk

from radsupport.errors import InputError
from radsupport.imaging.preprocessing import noise_hu, preprocess_case, resample, window
from radsupport.imaging.reading import like, read_image, read_mask


@dataclass(frozen=True)
class Settings:
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
    interpolation: Literal["linear", "cubic"] = "cubic"
    margin_mm: float | tuple[float, float, float] = 5.0


def image_of(array: np.ndarray, spacing: tuple[float, ...]) -> sitk.Image:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    image.SetOrigin((-50.0, 20.0, 7.0))
    return image


def ramp(spacing: tuple[float, float, float], shape: tuple[int, int, int] = (20, 24, 28)) -> sitk.Image:
    """HU that grow linearly in space: every interpolation has to return the same plane."""
    image = image_of(np.zeros(shape, np.float32), spacing)
    z, y, x = np.meshgrid(*[np.arange(n) for n in shape], indexing="ij")
    origin = image.GetOrigin()
    values = 3 * (origin[0] + x * spacing[0]) - 2 * (origin[1] + y * spacing[1]) + 5 * (origin[2] + z * spacing[2])
    return like(values.astype(np.float32), image)


@pytest.mark.parametrize("interpolator", ["linear", "cubic"])
def test_a_linear_ramp_stays_a_linear_ramp(interpolator: Literal["linear", "cubic"]) -> None:
    result = resample(ramp((0.8, 0.9, 2.5)), (1.0, 1.1, 1.0), interpolator)
    array = sitk.GetArrayFromImage(result)
    for index in [(12, 10, 24), (8, 9, 20), (14, 12, 30)]:
        x, y, z = result.TransformIndexToPhysicalPoint(index)
        assert array[index[::-1]] == pytest.approx(3 * x - 2 * y + 5 * z, rel=1e-4)


def test_the_grid_shares_the_outer_corner_and_stays_inside() -> None:
    image = ramp((0.7, 0.7, 3.0), (9, 30, 31))
    result = resample(image, (1.0, 1.0, 1.0), "linear")
    corner = np.array(image.GetOrigin()) - np.array(image.GetSpacing()) / 2
    assert np.array(result.GetOrigin()) - 0.5 == pytest.approx(corner)
    assert result.GetSize() == (22, 21, 27)
    last = np.array(result.TransformIndexToPhysicalPoint([n - 1 for n in result.GetSize()]))
    assert (last <= corner + np.array(image.GetSize()) * image.GetSpacing()).all()
    assert sitk.GetArrayFromImage(result).min() >= sitk.GetArrayFromImage(image).min() - 1


def test_integers_become_floats_so_nothing_is_cut_off_or_overflows() -> None:
    stored = np.full((6, 8, 8), 32767, np.int16)
    stored[:, 4:] = -32768
    result = resample(image_of(stored, (1, 1, 1)), (0.5, 0.5, 0.5), "cubic")
    assert result.GetPixelID() == sitk.sitkFloat32
    assert sitk.GetArrayFromImage(result).max() > 32767


def test_nearest_keeps_labels_and_zero_keeps_an_axis() -> None:
    drawn = np.zeros((6, 8, 8), np.uint8)
    drawn[2:4, 2:6, 2:6] = 7
    result = resample(image_of(drawn, (1, 1, 3)), (0.5, 0.5, 0), "nearest")
    assert result.GetPixelID() == sitk.sitkUInt8
    assert set(np.unique(sitk.GetArrayFromImage(result))) == {0, 7}
    assert result.GetSpacing() == (0.5, 0.5, 3.0)
    assert (sitk.GetArrayFromImage(result) == 7).sum() == 4 * (drawn == 7).sum()


@pytest.mark.parametrize("spacing", [(1, 1), (1, 1, -1), (1, 1, np.nan), 1.0])
def test_bad_spacing_and_interpolators_are_refused(spacing: object) -> None:
    with pytest.raises(InputError, match="three numbers"):
        resample(ramp((1, 1, 1)), spacing, "linear")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="Unknown interpolator"):
        resample(ramp((1, 1, 1)), (1, 1, 1), "bicubic")  # type: ignore[arg-type]


def test_window_maps_its_edges_to_zero_and_one() -> None:
    values = window([-1000, -25, 130, 285, 3000], 130, 310)
    assert values == pytest.approx([0, 0, 0.5, 1, 1])
    assert values.dtype == np.float32
    with pytest.raises(InputError, match="must be positive"):
        window([0], 40, 0)


@pytest.mark.parametrize("sd", [4.0, 15.0, 30.0])
def test_noise_is_found_beside_air_bone_and_edges(sd: float) -> None:
    rng = np.random.default_rng(3)
    array = np.full((24, 120, 120), -1000.0)
    array[:, 10:110, 10:110] = 50
    array[:, 60:80, 40:60] = 700
    array += rng.normal(0, sd, array.shape)
    assert noise_hu(image_of(array, (0.8, 0.8, 2.0))) == pytest.approx(sd, rel=0.06)


def test_noise_of_an_image_without_soft_tissue_is_unknown() -> None:
    assert np.isnan(noise_hu(image_of(np.full((8, 40, 40), -1000.0), (1, 1, 1))))
    assert noise_hu(image_of(np.full((8, 40, 40), 50.0), (1, 1, 1))) == 0


def case_files(folder: Path, **masks: np.ndarray) -> dict[str, str]:
    rng = np.random.default_rng(5)
    array = rng.normal(50, 10, (16, 60, 60)).astype(np.float32)
    array[:, 20:40, 20:40] += 60
    folder.mkdir(exist_ok=True)
    case = {"subject": "p01", "phase": "venous", "center": "A", "image": str(folder / "image.nii.gz")}
    sitk.WriteImage(image_of(array, (0.8, 0.8, 2.0)), case["image"])
    for role, drawn in masks.items():
        case[role] = str(folder / f"{role}.nii.gz")
        sitk.WriteImage(image_of(drawn, (0.8, 0.8, 2.0)), case[role])
    return case


def drawn_box(*slices: slice) -> np.ndarray:
    drawn = np.zeros((16, 60, 60), np.uint8)
    drawn[slices] = 1
    return drawn


def test_a_case_is_resampled_cut_and_described(tmp_path: Path) -> None:
    mask = drawn_box(slice(4, 10), slice(20, 40), slice(20, 40))
    second = drawn_box(slice(4, 10), slice(18, 38), slice(20, 40))
    case = case_files(tmp_path / "in", mask=mask, mask_reader2=second)
    row = preprocess_case(case, Settings(), tmp_path / "out")
    assert row["exclusion"] == ""
    assert (row["subject"], row["phase"], row["center"]) == ("p01", "venous", "A")
    assert row["source_image"] == case["image"]
    image, prepared = read_image(row["image"]), read_mask(row["mask"])
    assert image.GetSpacing() == prepared.GetSpacing() == (1.0, 1.0, 1.0)
    assert image.GetSize() == prepared.GetSize() == read_mask(row["mask_reader2"]).GetSize()
    volume = float(sitk.GetArrayFromImage(prepared).sum())
    assert volume == pytest.approx(row["volume_mm3"], rel=0.08)
    inside = sitk.GetArrayFromImage(image)[sitk.GetArrayFromImage(prepared) == 1]
    assert inside.mean() == pytest.approx(row["hu_mean"], rel=0.03)
    assert row["spacing_z_mm"] == 2.0
    assert row["noise_hu"] == pytest.approx(10, rel=0.15)


def test_the_margin_may_differ_between_axes(tmp_path: Path) -> None:
    case = case_files(tmp_path / "in", mask=drawn_box(slice(4, 10), slice(20, 40), slice(20, 40)))
    even = preprocess_case(case, Settings(), tmp_path / "even")
    wide = preprocess_case(case, Settings(margin_mm=(9.0, 7.0, 5.0)), tmp_path / "wide")
    sizes = [np.array(read_image(row["image"]).GetSize()) for row in (even, wide)]
    assert (sizes[1] - sizes[0]).tolist() == [8, 4, 0]


def test_cropping_first_gives_the_voxels_of_the_whole_image_resampled(tmp_path: Path) -> None:
    mask = drawn_box(slice(6, 9), slice(28, 33), slice(28, 33))
    row = preprocess_case(case_files(tmp_path / "in", mask=mask), Settings((0.8, 0.8, 1.0)), tmp_path / "out")
    small = read_image(row["image"])
    whole = resample(read_image(row["source_image"]), (0.8, 0.8, 1.0), "cubic")
    start = whole.TransformPhysicalPointToContinuousIndex(small.GetOrigin())
    assert np.abs(np.array(start) - np.round(start)).max() < 1e-6
    x, y, z = (round(value) for value in start)
    part = sitk.GetArrayFromImage(whole)[z:, y:, x:]
    array = sitk.GetArrayFromImage(small)
    np.testing.assert_allclose(array, part[: array.shape[0], : array.shape[1], : array.shape[2]], atol=0.01)


@pytest.mark.parametrize("fault", ["truncated", "empty", "missing", "geometry", "text"])
def test_a_bad_case_gives_a_row_with_its_reason(tmp_path: Path, fault: str) -> None:
    case = case_files(tmp_path / "in", mask=drawn_box(slice(4, 10), slice(20, 40), slice(20, 40)))
    if fault == "truncated":
        raw = Path(case["image"]).read_bytes()
        Path(case["image"]).write_bytes(raw[: len(raw) // 2])
    elif fault == "empty":
        sitk.WriteImage(image_of(np.zeros((16, 60, 60), np.uint8), (0.8, 0.8, 2.0)), case["mask"])
    elif fault == "missing":
        Path(case["mask"]).unlink()
    elif fault == "geometry":
        sitk.WriteImage(image_of(np.ones((16, 60, 60), np.uint8), (0.9, 0.8, 2.0)), case["mask"])
    else:
        Path(case["image"]).write_text("no image")
    row = preprocess_case(case, Settings(), tmp_path / "out")
    words = {"missing": "no such file", "geometry": "differ", "text": "not compressed"}
    assert words.get(fault, fault) in row["exclusion"]
    assert row["image"] is None
    assert row["mask"] is None
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_a_single_voxel_is_described_but_not_used(tmp_path: Path) -> None:
    case = case_files(tmp_path / "in", mask=drawn_box(slice(4, 5), slice(20, 21), slice(20, 21)))
    row = preprocess_case(case, Settings(), tmp_path / "out")
    assert "single voxel" in row["exclusion"]
    assert (row["voxels"], row["image"], row["mask"]) == (1, None, None)


def test_repairs_are_reported(tmp_path: Path) -> None:
    case = case_files(tmp_path / "in", mask=drawn_box(slice(4, 10), slice(20, 40), slice(20, 40)))
    flipped = sitk.Flip(sitk.ReadImage(case["mask"]), [True, False, False])
    sitk.WriteImage(flipped, case["mask"])
    row = preprocess_case(case, Settings(), tmp_path / "out")
    assert "flipped" in row["geometry"]
    assert row["exclusion"] == ""
    assert row["hu_mean"] == pytest.approx(110, abs=3)
