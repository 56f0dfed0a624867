"""Which outlines are flagged, what happens to faulty masks, and the pictures of chapter 02."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from radsupport.book.conclusions import preprocessing as preprocessing_centers
from radsupport.book.conclusions import preprocessing as preprocessing_mask_checks
from radsupport.book.conclusions import preprocessing as preprocessing_previews
from radsupport.book.conclusions import preprocessing as preprocessing_sampling
from radsupport.book.widgets import folded_sheets
from radsupport.data import scans as centers
from radsupport.data import synthetic_scans as fault_demo
from radsupport.imaging import masks as mask_checks
from radsupport.imaging import patches as patches_mask_checks
from radsupport.imaging import patches as sampling
from radsupport.imaging import previews
from radsupport.imaging.masks import MASK_POLICIES
from radsupport.imaging.preprocessing import preprocess_case
from radsupport.settings.study import Study
from radsupport.study import load_study


@pytest.fixture(scope="module")
def song(root: Path) -> Study:
    return load_study("song2021", folder=root / "studies")


@pytest.fixture(scope="module")
def cui(root: Path) -> Study:
    return load_study("cui2022", folder=root / "studies", profile="paper")


def quality(**changes: Any) -> dict[str, Any]:
    row = {
        "subject": "a", "phase": "arterial", "center": "A", "exclusion": "", "warnings": "", "geometry": "",
        "slices": 9, "one_slice": False, "hu_mean": 100.0, "max_axial_diameter_mm": 20.0,
    }  # fmt: skip
    return {**row, **changes}


def test_warnings_and_repairs_are_flags() -> None:
    cases = pd.DataFrame([quality(), quality(subject="b", warnings="holes; several islands", geometry="flipped")])
    flags = mask_checks.case_flags(cases)
    assert flags["subject"].tolist() == ["b", "a"]
    assert flags["flags"].tolist() == ["holes; several islands; flipped", ""]
    assert flags["n_flags"].tolist() == [3, 0]


def test_unusual_hu_few_slices_and_sizes_that_differ_are_flags() -> None:
    rng = np.random.default_rng(0)
    rows = [
        quality(subject=f"s{i}", phase=p, hu_mean=100 + rng.normal(0, 3))
        for i in range(20)
        for p in ("arterial", "venous")
    ]
    rows[0]["hu_mean"], rows[3]["slices"] = 160.0, 2
    rows[4]["max_axial_diameter_mm"] = 40.0
    flags = mask_checks.case_flags(pd.DataFrame(rows)).set_index(["subject", "phase"])["flags"]
    assert flags["s0", "arterial"] == "unusual mean HU"
    assert flags["s1", "venous"] == "2 slices only"
    assert "size differs" in flags["s2", "arterial"]
    assert flags.ne("").sum() <= 5


def test_constant_hu_and_small_centers_flag_nobody() -> None:
    cases = pd.DataFrame([quality(subject=f"s{i}") for i in range(10)])
    assert mask_checks.case_flags(cases)["n_flags"].sum() == 0
    few = pd.DataFrame([quality(subject=f"s{i}", hu_mean=50.0 * i) for i in range(4)])
    assert mask_checks.case_flags(few)["n_flags"].sum() == 0


def test_readers_who_disagree_are_flagged() -> None:
    twice = pd.DataFrame({"subject": ["a"], "phase": ["arterial"], "center": ["A"], "dice": [0.5]})
    flags = mask_checks.case_flags(pd.DataFrame([quality()]), twice)
    assert flags["flags"].tolist() == ["readers differ (Dice 0.50)"]
    assert "1 cases" in preprocessing_mask_checks.dice_words(twice)
    assert "No case" in preprocessing_mask_checks.dice_words(twice.head(0))


def test_reasons_are_counted_with_their_subjects() -> None:
    cases = pd.DataFrame([quality(subject=f"s{i}", warnings="holes") for i in range(8)] + [quality(exclusion="empty")])
    table = mask_checks.quality_counts(cases)
    assert table[["kind", "reason", "cases"]].to_numpy().tolist() == [
        ["warning", "holes", 8],
        ["exclusion", "empty", 1],
    ]
    assert table["subjects"][0].endswith("…")


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory, song: Study) -> pd.DataFrame:
    """Six small cases of two centers in two phases, outlined twice, with a rough region."""
    folder, rng, rows = tmp_path_factory.mktemp("cases"), np.random.default_rng(2), []
    for i in range(6):
        center, thickness = ("A", 1.0) if i < 4 else ("B", 3.0)
        for phase in ("arterial", "venous"):
            case: dict[str, Any] = {"subject": f"s{i}", "phase": phase, "center": center, "samples": ""}
            z, y, x = np.indices((int(36 / thickness), 44, 44))
            far = ((z * thickness - 18) ** 2 + (y - 22) ** 2 + (x - 22) ** 2) ** 0.5
            parts = {"image": 60 + 60 * (far < 6 + i) + rng.normal(0, 8, far.shape), "mask": far < 6 + i}
            parts |= {"mask_reader2": far < 5.5 + i, "roi_rough": (far < 8 + i) & (np.abs(z * thickness - 18) < 4 + i)}
            for role, array in parts.items():
                image = sitk.GetImageFromArray(array.astype(np.int16 if role == "image" else np.uint8))
                image.SetSpacing((1.0, 1.0, thickness))
                case[role] = str(folder / f"{i}_{phase}_{role}.nii.gz")
                sitk.WriteImage(image, case[role])
            rows.append(preprocess_case(case, song.preprocessing, folder / "out"))
    return pd.DataFrame(rows)


def test_every_fault_meets_its_policy(cases: pd.DataFrame) -> None:
    table = fault_demo.fault_table(cases.iloc[0].to_dict())
    assert table["condition"].tolist() == MASK_POLICIES["condition"].tolist()
    verbs = {"refuse": "refused", "warn": "warned", "repair": "repaired"}
    for row in table.to_dict("records"):
        assert row["said"].startswith(verbs[row["policy"]]), row
    warned = table[table["policy"] == "warn"]
    assert all(row["condition"] in row["said"] for row in warned.to_dict("records"))


def test_readers_are_compared_where_there_are_two(cases: pd.DataFrame) -> None:
    twice = mask_checks.readers_dice(cases, progress=False)
    assert len(twice) == 12
    assert twice["dice"].between(0.6, 1).all()
    assert mask_checks.readers_dice(cases.drop(columns="mask_reader2"), progress=False).empty


def test_the_sheet_shows_flagged_cases_first_and_every_case_of_one_phase(cases: pd.DataFrame, song: Study) -> None:
    flagged = cases.assign(warnings=np.where((cases["subject"] == "s3") & (cases["phase"] == "venous"), "holes", ""))
    flags = mask_checks.case_flags(flagged)
    sheet = patches_mask_checks.sheet_table(song, flagged, flags, "arterial")
    assert sheet["subject"].tolist()[0] == "s3, venous *"
    assert len(sheet) == 7
    assert all(image.min() >= 0 and image.max() <= 1 for image in sheet["image"])
    html = folded_sheets(sheet, "7 sections")
    assert html.count("<img") == html.count("<figcaption>") == 1
    assert "Sections 1 to 7 of 7." in html
    assert "<summary>7 sections</summary>" in html
    assert "s3, venous *" in html


def test_centers_are_summarised_and_drawn(cases: pd.DataFrame) -> None:
    table = centers.center_table(cases).set_index(["center", "phase"])
    assert table.loc[("A", "arterial"), "slice_thickness_mm"] == 1.0
    assert table.loc[("B", "venous"), ["cases", "slice_thickness_mm"]].tolist() == [2, 3.0]
    silent = cases.assign(noise_hu=np.nan)
    titles = [title for title, _, _ in preprocessing_centers.center_panels(silent, "arterial")]
    assert titles == ["Slice thickness", "Pixel", "Mean HU of the tumour"]


def test_windows_count_what_they_cut_off(cases: pd.DataFrame, song: Study) -> None:
    arterial = song.phases["arterial"].model_copy(
        update={"window": song.phases["arterial"].window.model_copy(update={"level": 120.5, "width": 0.02})}
    )
    narrow = song.model_copy(update={"phases": {"arterial": arterial, "venous": song.phases["venous"]}})
    table = previews.window_shares(narrow, cases).set_index("phase")
    assert table.loc["arterial", ["below", "above"]].sum() == pytest.approx(100, abs=0.5)
    assert table.loc["venous", ["below", "above"]].sum() == pytest.approx(0, abs=0.5)
    assert table.loc["arterial", "cases"] == 6
    pictures = previews.window_table(narrow, cases, "s1")
    assert pictures["subject"].tolist()[0] == "arterial, full range"
    assert len(pictures) == 4


def test_before_and_after_show_both_planes_of_one_case_per_center(cases: pd.DataFrame) -> None:
    table = previews.before_after_table(cases, "arterial").set_index("subject")
    assert len(table) == 8
    assert table.loc["B, scan, coronal", "spacing"] == (3.0, 1.0)
    assert table.loc["B, resampled, coronal", "spacing"] == (1.0, 1.0)
    for name in ("scan", "resampled"):
        row = table.loc[f"B, {name}, coronal"]
        height = row["mask"].any(axis=1).sum() * row["spacing"][0]
        assert height == pytest.approx(20, abs=4)


def test_boxes_hold_the_outline_and_the_largest_section_is_shown(cases: pd.DataFrame, song: Study) -> None:
    table = previews.box_table(song, cases, "s2", "arterial")
    assert "largest section" in table["subject"].tolist()
    for outlines in table["outlines"]:
        assert set(outlines) == {"outline", "bounding box", "box of the rough region"}
        assert (outlines["bounding box"] >= outlines["outline"]).all()
    areas = previews.area_table(cases, "arterial")
    assert areas.loc[areas["position_mm"] == 0].groupby("subject")["area_mm2"].first().gt(0).all()
    assert (
        areas.groupby("subject")["area_mm2"].max() == areas[areas["position_mm"] == 0].set_index("subject")["area_mm2"]
    ).all()


def test_the_example_is_of_median_size_with_all_phases(cases: pd.DataFrame) -> None:
    assert previews.example_subject(cases) in ("s2", "s3")
    assert previews.example_subject(cases.drop(index=cases.index[[5, 7]])) not in ("s2", "s3")


@pytest.mark.parametrize("name", ["song2021", "yang2023", "gu2023", "cui2022", "sts"])
def test_words_say_what_the_network_of_each_study_sees(root: Path, name: str, cases: pd.DataFrame) -> None:
    study = load_study(name, folder=root / "studies")
    assert "slice" in preprocessing_previews.network_words(study) or "section" in preprocessing_previews.network_words(
        study
    )
    mask = sitk.ReadImage(cases["mask"].iloc[0])
    shown = previews.network_slices(study, mask)
    assert shown == sorted(set(shown))
    assert 1 <= len(shown) <= 6


def test_shares_inside_a_patch_are_those_of_its_slices(cui: Study, cases: pd.DataFrame) -> None:
    shares = sampling.patch_shares(cui, cases.query("phase == 'arterial'"))
    assert shares["patch"].unique().tolist() == ["10 × 150 × 150"]
    mask = sitk.GetArrayFromImage(sitk.ReadImage(cases["mask"].iloc[0])) != 0
    areas = mask.sum(axis=(1, 2))
    top = int(np.argmax(areas))
    assert shares["share"].iloc[0] == pytest.approx(areas[top - 5 : top + 5].sum() / areas.sum())
    summary = sampling.share_summary(shares).iloc[0]
    assert summary["n"] == 6
    assert "cuts 6 of 6" in preprocessing_sampling.share_words(shares) or summary["whole"] > 0


def test_both_samplings_show_the_same_slice(cui: Study, cases: pd.DataFrame) -> None:
    table = sampling.sampling_table(cui, cases.query("phase == 'arterial'"))
    first, second = table.iloc[0], table.iloc[1]
    assert "segmentation" in first["subject"]
    assert "box" in second["subject"]
    inside = first["mask"] != 0
    np.testing.assert_array_equal(first["image"][inside], second["image"][inside])
    assert first["image"][~inside].max() == 0
    assert second["image"][~inside].max() > 0


def test_a_smaller_profile_covers_its_field(root: Path, song: Study) -> None:
    demo = load_study("cui2022", folder=root / "studies")
    covered = sampling.covered_voxels(demo, demo.deep)
    x, y, z = demo.preprocessing.spacing_mm
    assert np.multiply(covered, (z, y, x)).tolist() == list(demo.deep.field_mm)
    assert sampling.patch_shares(song, pd.DataFrame()).empty
    assert preprocessing_sampling.patch_note(song) == ""


def test_one_phase_is_a_phase_and_two_are_phases(cases: pd.DataFrame, song: Study) -> None:
    one = song.model_copy(update={"phases": {"arterial": song.phases["arterial"]}})
    assert "(6 patients, 1 phase)" in preprocessing_previews.preprocessing_words(one, cases)
    assert f"{len(song.phases)} phases)" in preprocessing_previews.preprocessing_words(song, cases)
    slices = previews.size_table(cases, "arterial")["what"].tolist()
    assert "slices, resampled" in slices
    assert preprocessing_mask_checks.QUALITY_HEADERS["slices"] == "Slices as scanned"
