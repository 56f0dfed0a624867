"""Quality of masks: what is counted, which outlines are flagged, and what happens to faulty ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from helpers.outlines import image_of

from radsupport.data.synthetic_scans import mask_faults
from radsupport.errors import MaskError
from radsupport.imaging import masks
from radsupport.imaging.masks import MASK_POLICIES, check, mask_quality, readers_dice, reasons, warnings_of


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


def quality(**changes: Any) -> dict[str, Any]:
    row = {
        "subject": "a", "phase": "arterial", "center": "A", "exclusion": "", "warnings": "", "geometry": "",
        "slices": 9, "one_slice": False, "hu_mean": 100.0, "max_axial_diameter_mm": 20.0,
    }  # fmt: skip
    return {**row, **changes}


def test_warnings_and_repairs_are_flags() -> None:
    cases = pd.DataFrame([quality(), quality(subject="b", warnings="holes; several islands", geometry="flipped")])
    flags = check(cases)
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
    flags = check(pd.DataFrame(rows)).set_index(["subject", "phase"])["flags"]
    assert flags["s0", "arterial"] == "unusual mean HU"
    assert flags["s1", "venous"] == "2 slices only"
    assert "size differs" in flags["s2", "arterial"]
    assert flags.ne("").sum() <= 5


def test_constant_hu_and_small_centers_flag_nobody() -> None:
    cases = pd.DataFrame([quality(subject=f"s{i}") for i in range(10)])
    assert check(cases)["n_flags"].sum() == 0
    few = pd.DataFrame([quality(subject=f"s{i}", hu_mean=50.0 * i) for i in range(4)])
    assert check(few)["n_flags"].sum() == 0


def test_readers_who_disagree_are_flagged(monkeypatch: pytest.MonkeyPatch) -> None:
    twice = pd.DataFrame({"subject": ["a"], "phase": ["arterial"], "dice": [0.5]})
    monkeypatch.setattr(masks, "readers_dice", lambda *_: twice)
    checked = check(pd.DataFrame([quality(), quality(subject="b")]))
    assert checked["flags"].tolist() == ["readers differ (Dice 0.50)", ""]
    assert checked["dice"].tolist() == pytest.approx([0.5, np.nan], nan_ok=True)


def test_reasons_are_counted_with_their_subjects() -> None:
    cases = pd.DataFrame([quality(subject=f"s{i}", warnings="holes") for i in range(8)] + [quality(exclusion="empty")])
    table = reasons(cases)
    assert table[["kind", "reason", "cases"]].to_numpy().tolist() == [
        ["warning", "holes", 8],
        ["exclusion", "empty", 1],
    ]
    assert table["subjects"][0].endswith("…")
    assert "No mask" in reasons(cases.head(0)).attrs["empty"]


def test_every_fault_meets_its_policy(cases: pd.DataFrame) -> None:
    table = mask_faults(cases.iloc[0].to_dict())
    assert table["condition"].tolist() == MASK_POLICIES["condition"].tolist()
    verbs = {"refuse": "refused", "warn": "warned", "repair": "repaired"}
    for row in table.to_dict("records"):
        assert row["said"].startswith(verbs[row["policy"]]), row
    warned = table[table["policy"] == "warn"]
    assert all(row["condition"] in row["said"] for row in warned.to_dict("records"))


def test_readers_are_compared_where_there_are_two(cases: pd.DataFrame) -> None:
    twice = readers_dice(cases)
    assert len(twice) == 12
    assert twice["dice"].between(0.6, 1).all()
    assert readers_dice(cases.drop(columns="mask_reader2")).empty
