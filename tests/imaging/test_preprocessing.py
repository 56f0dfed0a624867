"""Resampling, windowing, noise, one case through chapter 02, and preprocessing again only what changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from scipy import ndimage

from radsupport.errors import InputError
from radsupport.imaging import preprocessing
from radsupport.imaging.preprocessing import (
    Settings,
    cubic_spline,
    noise_hu,
    preprocess,
    preprocess_case,
    resample,
    window,
)
from radsupport.imaging.reading import like, read_image, read_mask

DEFAULT = Settings((1.0, 1.0, 1.0), "cubic", 5.0)


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


@pytest.mark.parametrize("size", [(9, 11, 13), (5, 1, 17), (4, 3, 5)])
@pytest.mark.parametrize("ratio", [(1.0, 0.7, 1.5), (0.5, 2.0, 1.0), (3.0, 1.3, 0.4)])
def test_a_cubic_spline_equals_itk_and_is_nothing_beyond_the_image(size: Any, ratio: Any) -> None:
    rng, spacing = np.random.default_rng(1), np.array([0.9, 1.2, 3.0])
    image = image_of(rng.normal(0, 300, size[::-1]).round().astype(np.int16), tuple(spacing))
    image.SetDirection((0, -1, 0, 1, 0, 0, 0, 0, -1))
    new, n = spacing * ratio, [int(np.ceil(a / b)) + 2 for a, b in zip(size, ratio, strict=True)]
    origin = image.TransformContinuousIndexToPhysicalPoint((np.asarray(ratio) / 2 - 0.5 - np.array([1, 0, 2])).tolist())
    found = cubic_spline(image, origin, new.tolist(), n)
    grid = n, sitk.Transform(), sitk.sitkBSpline, origin, new.tolist(), image.GetDirection()
    itk = sitk.Resample(sitk.Cast(image, sitk.sitkFloat64), *grid, 0.0, sitk.sitkFloat64)
    assert sitk.GetArrayFromImage(found) == pytest.approx(sitk.GetArrayFromImage(itk), abs=1e-6)
    assert found.GetOrigin() == itk.GetOrigin()
    assert found.GetSpacing() == itk.GetSpacing()


def test_an_axis_of_two_voxels_is_mirrored() -> None:
    voxels = np.random.default_rng(1).normal(0, 300, (2, 9, 8))
    found = resample(image_of(voxels.astype(np.float32), (1, 1, 3)), (1, 1, 1), "cubic")
    places = np.meshgrid((np.arange(6) + 0.5) / 3 - 0.5, np.arange(9), np.arange(8), indexing="ij")
    right = ndimage.map_coordinates(voxels, places, order=3, mode="mirror")
    assert sitk.GetArrayFromImage(found) == pytest.approx(right, abs=1e-3)


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
    row = preprocess_case(case, tmp_path / "out", DEFAULT)
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
    even = preprocess_case(case, tmp_path / "even", DEFAULT)
    wide = preprocess_case(case, tmp_path / "wide", DEFAULT._replace(margin_mm=(9.0, 7.0, 5.0)))
    sizes = [np.array(read_image(row["image"]).GetSize()) for row in (even, wide)]
    assert (sizes[1] - sizes[0]).tolist() == [8, 4, 0]


def test_cropping_first_gives_the_voxels_of_the_whole_image_resampled(tmp_path: Path) -> None:
    mask = drawn_box(slice(6, 9), slice(28, 33), slice(28, 33))
    fine = DEFAULT._replace(spacing_mm=(0.8, 0.8, 1.0))
    row = preprocess_case(case_files(tmp_path / "in", mask=mask), tmp_path / "out", fine)
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
    row = preprocess_case(case, tmp_path / "out", DEFAULT)
    words = {"missing": "no such file", "geometry": "differ", "text": "not compressed"}
    assert words.get(fault, fault) in row["exclusion"]
    assert row["image"] is None
    assert row["mask"] is None
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_a_single_voxel_is_described_but_not_used(tmp_path: Path) -> None:
    case = case_files(tmp_path / "in", mask=drawn_box(slice(4, 5), slice(20, 21), slice(20, 21)))
    row = preprocess_case(case, tmp_path / "out", DEFAULT)
    assert "single voxel" in row["exclusion"]
    assert (row["voxels"], row["image"], row["mask"]) == (1, None, None)


def test_repairs_are_reported(tmp_path: Path) -> None:
    case = case_files(tmp_path / "in", mask=drawn_box(slice(4, 10), slice(20, 40), slice(20, 40)))
    flipped = sitk.Flip(sitk.ReadImage(case["mask"]), [True, False, False])
    sitk.WriteImage(flipped, case["mask"])
    row = preprocess_case(case, tmp_path / "out", DEFAULT)
    assert "flipped" in row["geometry"]
    assert row["exclusion"] == ""
    assert row["hu_mean"] == pytest.approx(110, abs=3)


@pytest.fixture
def cases(tmp_path: Path) -> pd.DataFrame:
    rng, found = np.random.default_rng(0), []
    for subject in ("a", "b"):
        case: dict[str, Any] = {"subject": subject, "phase": "venous", "center": "X", "mask_reader2": ""}
        mask = np.zeros((8, 20, 20), np.uint8)
        mask[2:6, 6:14, 6:14] = 1
        for role, array in (("image", rng.normal(50, 10, mask.shape).astype(np.int16)), ("mask", mask)):
            image = sitk.GetImageFromArray(array)
            image.SetSpacing((1.0, 1.0, 2.0))
            case[role] = str(tmp_path / f"{subject}_{role}.nii.gz")
            sitk.WriteImage(image, case[role])
        found.append(case)
    return pd.DataFrame(found)


def prepared(cases: pd.DataFrame, out: Path, **changes: Any) -> pd.DataFrame:
    return preprocess(cases, out, **{"interpolation": "linear", "margin_mm": 3.0, "progress": False} | changes)


def test_a_second_run_reuses_every_case_and_gives_the_same_rows(cases: pd.DataFrame, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = prepared(cases, out)
    written = {path: path.stat().st_mtime_ns for path in out.glob("*.nii.gz")}
    again = prepared(cases, out)
    assert (first.attrs["reused"], again.attrs["reused"]) == (0, 2)
    pd.testing.assert_frame_equal(first, again)
    assert {path: path.stat().st_mtime_ns for path in out.glob("*.nii.gz")} == written
    assert not list(out.rglob("*partial*"))


@pytest.mark.parametrize("change", ["image", "settings", "version", "output gone", "output cut", "record damaged"])
def test_what_changed_is_done_again(
    cases: pd.DataFrame, tmp_path: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, margin = tmp_path / "out", 3.0
    first = prepared(cases, out)
    target, record = Path(first["image"][0]), out / ".cases" / "a_venous.json"
    if change == "image":
        image = sitk.ReadImage(cases["image"][0])
        sitk.WriteImage(image + 100, cases["image"][0])
    elif change == "settings":
        margin = 4.0
    elif change == "version":
        monkeypatch.setattr(preprocessing, "PREPROCESSING_VERSION", 10**6)
    elif change == "output gone":
        target.unlink()
    elif change == "output cut":
        target.write_bytes(target.read_bytes()[:100])
    else:
        record.write_text("{")
    again = prepared(cases, out, margin_mm=margin)
    assert again.attrs["reused"] == (0 if change in ("settings", "version") else 1)
    assert sitk.ReadImage(str(target)).GetSize()[0] > 0
    gain = again["hu_mean"][0] - first["hu_mean"][0]
    assert gain == pytest.approx(100 if change == "image" else 0)


def test_a_bad_case_is_remembered_with_its_reason_but_a_missing_file_is_tried_again(
    cases: pd.DataFrame, tmp_path: Path
) -> None:
    Path(cases["mask"][0]).write_text("no mask")
    Path(cases["mask"][1]).unlink()
    out = tmp_path / "out"
    first = prepared(cases, out)
    again = prepared(cases, out)
    assert again.attrs["reused"] == 1
    pd.testing.assert_frame_equal(first, again)
    assert again["exclusion"].ne("").all()
    assert again["image"][0] is None


def test_the_record_holds_numbers_and_names_only(cases: pd.DataFrame, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepared(cases.head(1), out)
    kept = json.loads((out / ".cases" / "a_venous.json").read_text())
    assert kept["files"] == {"image": "a_venous_image.nii.gz", "mask": "a_venous_mask.nii.gz"}
    assert str(tmp_path) not in json.dumps(kept)


def test_other_columns_follow_the_manifest_of_today(cases: pd.DataFrame, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepared(cases, out)
    again = prepared(cases.assign(center="Y"), out)
    assert again.attrs["reused"] == 2
    assert set(again["center"]) == {"Y"}


def test_a_case_with_a_reason_is_left_alone_and_stands_last(cases: pd.DataFrame, tmp_path: Path) -> None:
    given = cases.assign(exclusion=["no image in the manifest", ""], image=["", cases["image"][1]])
    table = prepared(given, tmp_path / "out")
    assert table["subject"].tolist() == ["b", "a"]
    assert table["exclusion"].tolist() == ["", "no image in the manifest"]
    assert table["image"][1] is None
    again = prepared(given, tmp_path / "out")
    assert again.attrs["reused"] == 1
    pd.testing.assert_frame_equal(table, again)


def test_no_two_cases_share_a_file_and_none_leaves_the_folder(tmp_path: Path) -> None:
    names = [
        ("P1", "late_venous"),
        ("P1_late", "venous"),
        ("2019/0123", "ct"),
        ("../../x", "ct"),
        ("p1", "ct"),
        ("P1", "ct"),
    ]
    rows = []
    for i, (subject, phase) in enumerate(names):
        array = np.full((6, 12, 12), 10 * i, np.int16)
        array[0] = -1000
        image = sitk.GetImageFromArray(array)
        mask = sitk.Image(sitk.Cast(image, sitk.sitkUInt8) * 0)
        mask[4:8, 4:8, 2:4] = 1
        row = {"subject": subject, "phase": phase}
        for role, one in (("image", image), ("mask", mask)):
            row[role] = str(tmp_path / f"in_{i}_{role}.nii.gz")
            sitk.WriteImage(one, row[role])
        rows.append(row)
    for _ in range(2):  # the second time from the record
        done = preprocess(pd.DataFrame(rows), tmp_path / "deep" / "out", progress=False)
        assert done["exclusion"].tolist() == [""] * 6
        for i, path in enumerate(done["image"]):
            assert sitk.GetArrayFromImage(sitk.ReadImage(path)).max() == pytest.approx(10 * i, abs=1e-6)
            assert Path(path).resolve().parent == tmp_path / "deep" / "out"
    assert done.attrs["reused"] == 6
    assert len({Path(path).name.casefold() for path in done["image"]}) == 6
