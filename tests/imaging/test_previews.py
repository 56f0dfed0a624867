"""The tables behind the pictures of chapter 02."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from helpers import outlines as drawn_outlines

from radsupport.book.widgets import folded_sheets
from radsupport.imaging import previews
from radsupport.imaging.masks import check
from radsupport.imaging.regions import largest_slice

SPACING = (0.5, 1.0, 2.0)


def image_of(array: np.ndarray) -> sitk.Image:
    return drawn_outlines.image_of(array, SPACING, (10.0, -20.0, 5.0))


@pytest.fixture
def mask(stepped_mask: sitk.Image) -> sitk.Image:
    return stepped_mask


WINDOWS = {"arterial": (130.0, 310.0), "venous": (130.0, 310.0)}


def test_contact_sheet_shows_the_largest_slice_of_usable_cases(mask: sitk.Image, tmp_path: Path) -> None:
    image = image_of(np.arange(2800, dtype=np.float32).reshape(10, 14, 20))
    sitk.WriteImage(image, str(tmp_path / "i.nii.gz"))
    sitk.WriteImage(mask, str(tmp_path / "m.nii.gz"))
    case = {"subject": "a", "phase": "ct", "image": str(tmp_path / "i.nii.gz"), "mask": str(tmp_path / "m.nii.gz")}
    table = pd.DataFrame([{**case, "exclusion": ""}, {**case, "subject": "b", "exclusion": "empty", "image": None}])
    sheet = previews.sections(table, margin_mm=1.0)
    assert list(sheet["subject"]) == ["a"]
    row = sheet.iloc[0]
    assert (row["slice"], row["area_mm2"], row["spacing"]) == (5, 15.0, (1.0, 0.5))
    np.testing.assert_array_equal(row["image"], sitk.GetArrayFromImage(image)[5, 3:10, 4:14])
    np.testing.assert_array_equal(row["mask"], sitk.GetArrayFromImage(mask)[5, 3:10, 4:14])


def test_the_sheet_shows_flagged_cases_first_and_every_case_of_one_phase(cases: pd.DataFrame) -> None:
    flagged = cases.assign(warnings=np.where((cases["subject"] == "s3") & (cases["phase"] == "venous"), "holes", ""))
    sheet = previews.sheet(flagged, check(flagged), "arterial", WINDOWS)
    assert sheet["subject"].tolist()[0] == "s3, venous *"
    assert len(sheet) == 7
    assert all(image.min() >= 0 and image.max() <= 1 for image in sheet["image"])
    html = folded_sheets(sheet, "7 sections")
    assert html.count("<img") == html.count("<figcaption>") == 1
    assert "Sections 1 to 7 of 7." in html
    assert "<summary>7 sections</summary>" in html
    assert "s3, venous *" in html
    assert sheet.attrs["of"] == 7


def test_of_many_cases_the_sheet_shows_a_sample_and_says_of_how_many(cases: pd.DataFrame) -> None:
    flagged = cases.assign(warnings=np.where(cases["subject"] == "s3", "holes", ""))
    checked = check(flagged)
    all_of_them = previews.sheet(flagged, checked, "arterial", WINDOWS)
    few = previews.sheet(flagged, checked, "arterial", WINDOWS, most=4)
    assert few.attrs["of"] == all_of_them.attrs["of"] == len(all_of_them) == 7
    captions = all_of_them["subject"].tolist()
    assert few["subject"].tolist() == [captions[i] for i in (0, 1, 2, 6)]  # two are flagged, five are not
    assert previews.sheet(flagged, checked, "arterial", WINDOWS, most=1)["subject"].tolist() == captions[:1]
    nobody = previews.sheet(flagged, checked.iloc[:0], "arterial", WINDOWS)
    assert nobody.attrs["of"] == 0


def test_windows_count_what_they_cut_off(cases: pd.DataFrame) -> None:
    narrow = {**WINDOWS, "arterial": (120.5, 0.02)}
    table = previews.shares(cases, narrow).set_index("phase")
    assert table.loc["arterial", ["below", "above"]].sum() == pytest.approx(100, abs=0.5)
    assert table.loc["venous", ["below", "above"]].sum() == pytest.approx(0, abs=0.5)
    assert table.loc["arterial", "cases"] == 6
    pictures = previews.windowed(cases, "s1", narrow)
    assert pictures["subject"].tolist()[0] == "arterial, full range"
    assert len(pictures) == 4


def test_before_and_after_show_both_planes_of_one_case_per_center(cases: pd.DataFrame) -> None:
    table = previews.before_after(cases, "arterial").set_index("subject")
    assert len(table) == 8
    assert table.loc["B, scan, coronal", "spacing"] == (3.0, 1.0)
    assert table.loc["B, resampled, coronal", "spacing"] == (1.0, 1.0)
    for name in ("scan", "resampled"):
        row = table.loc[f"B, {name}, coronal"]
        height = row["mask"].any(axis=1).sum() * row["spacing"][0]
        assert height == pytest.approx(20, abs=4)


def test_boxes_hold_the_outline_and_the_largest_section_is_shown(cases: pd.DataFrame) -> None:
    table = previews.boxes(cases, "s2", "arterial")
    assert "largest section" in table["subject"].tolist()
    for outlines in table["outlines"]:
        rough = ("quadrilateral drawn roughly", "box of the rough region")
        assert set(outlines) == {"outline", "bounding box", *rough}
        assert (outlines["bounding box"] >= outlines["outline"]).all()
        assert (outlines[rough[1]] >= outlines[rough[0]]).all()
    drawn = [one["quadrilateral drawn roughly"].any() for one in table["outlines"]]
    assert drawn[0] or drawn[1]  # on the top, the largest and the bottom slice
    assert drawn[-1] or drawn[-2]
    assert drawn[table["subject"].tolist().index("largest section")] or sum(drawn) >= 3
    areas = previews.sizes(cases, "arterial", by_slice=True)
    assert areas.loc[areas["position_mm"] == 0].groupby("subject")["area_mm2"].first().gt(0).all()
    assert (
        areas.groupby("subject")["area_mm2"].max() == areas[areas["position_mm"] == 0].set_index("subject")["area_mm2"]
    ).all()


@pytest.mark.parametrize(("slices", "n"), [(None, 6), (1, 1), (3, 3), (10, 6), (10**6, 6)])
def test_up_to_six_slices_around_the_largest_are_shown(cases: pd.DataFrame, slices: int | None, n: int) -> None:
    mask = sitk.ReadImage(cases["mask"].iloc[0])
    shown = previews.shown_slices(mask, slices)
    assert shown == sorted(set(shown))
    assert len(shown) in (n, n - 1)
    assert largest_slice(mask) in shown


def test_sizes_are_those_of_the_resampled_masks(cases: pd.DataFrame) -> None:
    table = previews.sizes(cases, "arterial").set_index("what")
    assert table["n"].tolist() == [6] * 5
    assert table.loc["box, left to right (mm)", "largest"] == pytest.approx(21, abs=1)
    assert table.loc["slices, resampled", "smallest"] == pytest.approx(11, abs=1)


def test_shares_inside_a_patch_are_those_of_its_slices(cases: pd.DataFrame) -> None:
    own = cases[cases["phase"] == "arterial"].head(1)
    table = previews.shares(own, [(10, 150, 150), (10, 150, 150), (40, 150, 150)], centre="largest_section")
    assert table["patch"].tolist() == ["10 × 150 × 150", "40 × 150 × 150"]
    mask = sitk.GetArrayFromImage(sitk.ReadImage(own["mask"].iloc[0])) != 0
    areas = mask.sum(axis=(1, 2))
    top = int(np.argmax(areas))
    assert table["median"][0] == table["smallest"][0] == pytest.approx(areas[top - 5 : top + 5].sum() / areas.sum())
    assert table[["n", "whole", "below_half"]].to_numpy().tolist() == [[1, 0, 0], [1, 1, 0]]


def test_both_samplings_show_the_same_slice(cases: pd.DataFrame) -> None:
    own, ways = cases[cases["phase"] == "arterial"], ("segmentation", "box")
    table = previews.sampled(own, (10, 30, 30), (10, 30, 30), ways, (100.0, 300.0))
    first, second = table.iloc[0], table.iloc[1]
    assert "segmentation" in first["subject"]
    assert "box" in second["subject"]
    inside = first["mask"] != 0
    np.testing.assert_array_equal(first["image"][inside], second["image"][inside])
    assert first["image"][~inside].max() == 0
    assert second["image"][~inside].max() > 0
