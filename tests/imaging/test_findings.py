"""CT findings from images: closed-form phantoms, thresholds, missing samples and phases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from radsupport.imaging.findings import (
    MIN_CALCIFICATION_MM3,
    PURELY_CYSTIC_SHARE,
    compute,
    findings,
    measure_case,
    measure_cases,
)
from radsupport.settings.study import Study
from radsupport.study import load_study

SPACING = (1.0, 1.0, 1.5)


def volume(array: np.ndarray) -> sitk.Image:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(SPACING)
    return image


def ball(radius: float, shape: tuple[int, int, int] = (24, 48, 48)) -> np.ndarray:
    z, y, x = np.indices(shape)
    middle = [n // 2 for n in shape]
    return ((z - middle[0]) * 1.5) ** 2 + (y - middle[1]) ** 2 + (x - middle[2]) ** 2 <= radius**2


@pytest.fixture
def phantom() -> dict[str, np.ndarray]:
    """A tumour of 120 HU in organ of 100 HU, aorta of 300 HU, noise of 10 HU."""
    rng, tumour = np.random.default_rng(0), ball(10)
    image = np.full(tumour.shape, 100.0)
    image[tumour] = 120
    samples = np.zeros(tumour.shape, np.uint16)
    samples[:, 2:10, 2:40], samples[:, 40:46, 20:28] = 1, 2
    image[samples == 2] = 300
    return {"image": image + rng.normal(0, 10, image.shape), "mask": tumour.astype(np.uint8), "samples": samples}


def measured(parts: dict[str, np.ndarray], samples: bool = True, **thresholds: float | None) -> dict[str, float]:
    return measure_case(
        volume(parts["image"]),
        volume(parts["mask"]),
        volume(parts["samples"]) if samples else None,
        **thresholds,
    )


def test_means_are_those_of_the_tissues(phantom: dict[str, np.ndarray]) -> None:
    found = measured(phantom)
    assert found["tumour_hu"] == pytest.approx(120, abs=2)
    assert found["organ_hu"] == pytest.approx(100, abs=2)
    assert found["aorta_hu"] == pytest.approx(300, abs=5)


def test_the_rim_is_left_out(phantom: dict[str, np.ndarray]) -> None:
    rim = ball(10) & ~ball(9)
    phantom["image"][rim] = 1000
    assert measured(phantom)["tumour_hu"] < 135
    tiny = np.zeros_like(phantom["mask"])
    tiny[12, 24, 24:26] = 1
    assert np.isfinite(measured({**phantom, "mask": tiny})["tumour_hu"])


def test_without_samples_in_the_plane_the_ratio_is_unknown(phantom: dict[str, np.ndarray]) -> None:
    assert np.isnan(measured(phantom, samples=False)["organ_hu"])
    phantom["samples"][12] = 0
    found = measured(phantom)
    assert np.isnan(found["organ_hu"])
    assert np.isnan(found["aorta_hu"])


def test_noise_is_no_calcification_but_a_dense_portion_is(phantom: dict[str, np.ndarray]) -> None:
    phantom["image"] -= 80  # 40 HU, as before contrast
    assert measured(phantom)["calcified_mm3"] < MIN_CALCIFICATION_MM3
    phantom["image"][11:14, 22:26, 22:26] = 300
    assert measured(phantom)["calcified_mm3"] == pytest.approx(3 * 16 * 1.5, rel=0.35)
    assert np.isnan(measured(phantom, calcified_hu=None)["calcified_mm3"])


def test_fluid_inside_counts_as_a_share_of_the_tumour(phantom: dict[str, np.ndarray]) -> None:
    assert measured(phantom)["fluid_share"] == 0
    phantom["image"][ball(5)] = 10
    core, whole = ball(4.1).sum(), ball(8).sum()  # smoothing takes 0.9 mm off a core of 10 in 120 HU
    assert measured(phantom)["fluid_share"] == pytest.approx(core / whole, rel=0.15)
    phantom["image"][ball(9)] = 10
    assert measured(phantom)["fluid_share"] > PURELY_CYSTIC_SHARE
    assert np.isnan(measured(phantom, fluid_hu=None)["fluid_share"])


@pytest.fixture(scope="module")
def song(root: Path) -> Study:
    return load_study("song2021", folder=root / "studies")


def table_of(**values: dict[str, float]) -> pd.DataFrame:
    """Return measured values of one subject; arguments are phases."""
    empty = dict.fromkeys(["diameter_mm", "tumour_hu", "organ_hu", "aorta_hu", "calcified_mm3", "fluid_share"], np.nan)
    return pd.DataFrame([{"subject": "a", "phase": phase, **empty, **found} for phase, found in values.items()])


def test_ratios_and_rates_are_computed_as_defined(song: Study) -> None:
    table = table_of(
        unenhanced={"tumour_hu": 40, "organ_hu": 50, "aorta_hu": 40, "calcified_mm3": 30},
        arterial={"diameter_mm": 20.0, "tumour_hu": 120, "organ_hu": 100, "aorta_hu": 240, "fluid_share": 0.2},
        venous={"tumour_hu": 100, "organ_hu": 80, "aorta_hu": 140, "fluid_share": 0.1},
    )
    row = compute(table, song.columns).loc["a"]
    assert row["max_diameter"] == 20
    assert row["size_class"] == ">=20 mm"
    assert row["ct_ratio_unenhanced"] == pytest.approx(0.8)
    assert row["ct_ratio_arterial"] == pytest.approx(1.2)
    assert row["enhanced_rate_arterial"] == pytest.approx(80 / 200)
    assert row["enhanced_rate_venous"] == pytest.approx(60 / 100)
    assert (row["calcified"], row["property"]) == ("yes", "mixed")


@pytest.mark.parametrize(
    ("arterial", "venous", "words"),
    [(0.0, 0.3, "solid"), (0.2, 0.004, "solid"), (0.6, 0.7, "cystic"), (0.6, np.nan, None)],
)
def test_a_cystic_part_must_be_there_in_both_phases(
    song: Study, arterial: float, venous: float, words: str | None
) -> None:
    table = table_of(arterial={"fluid_share": arterial}, venous={"fluid_share": venous})
    found = compute(table, song.columns).loc["a", "property"]
    assert (found == words) if words else pd.isna(found)


def test_missing_phases_and_a_falling_aorta_give_no_value(song: Study) -> None:
    row = compute(table_of(arterial={"tumour_hu": 120, "organ_hu": 100, "aorta_hu": 240}), song.columns).loc["a"]
    assert np.isnan(row["enhanced_rate_arterial"])
    assert np.isnan(row["ct_ratio_venous"])
    assert pd.isna(row["calcified"])
    falling = {"tumour_hu": 120.0, "aorta_hu": 30.0}, {"tumour_hu": 40.0, "aorta_hu": 40.0}
    row = compute(table_of(arterial=falling[0], unenhanced=falling[1]), song.columns).loc["a"]
    assert np.isnan(row["enhanced_rate_arterial"])


def test_the_class_that_holds_the_threshold_is_the_study_s(root: Path) -> None:
    gu = load_study("gu2023", folder=root / "studies")
    classes = [
        compute(table_of(arterial={"diameter_mm": size}), gu.columns).loc["a", "size_class"] for size in (20.0, 20.1)
    ]
    assert classes == ["<=2 cm", ">2 cm"]


def write_case(folder: Path, subject: str, phase: str, parts: dict[str, np.ndarray]) -> dict[str, Any]:
    row: dict[str, Any] = {"subject": subject, "phase": phase, "exclusion": "", "max_axial_diameter_mm": 20.0}
    for role, key in (("image", "source_image"), ("mask", "source_mask"), ("samples", "samples")):
        row[key] = str(folder / f"{subject}_{phase}_{role}.nii.gz")
        array = parts[role].astype(np.int16 if role == "image" else np.uint8)
        sitk.WriteImage(volume(array), row[key])
    return row


def test_files_are_measured_and_unreadable_ones_left_out(
    song: Study, phantom: dict[str, np.ndarray], tmp_path: Path
) -> None:
    rows = [write_case(tmp_path, subject, "arterial", phantom) for subject in ("a", "b")]
    Path(rows[1]["source_image"]).write_text("no image")
    rows.append({**rows[0], "subject": "c", "exclusion": "the mask is empty"})
    measures = [column.measure for column in song.columns.values() if column.measure is not None]
    found = measure_cases(pd.DataFrame(rows), measures)
    assert found["subject"].tolist() == ["a"]
    assert found["diameter_mm"].tolist() == [20.0]
    assert found["tumour_hu"].iloc[0] == pytest.approx(120, abs=2)


def test_a_study_of_diameters_reads_no_image(root: Path) -> None:
    cui = load_study("cui2022", folder=root / "studies")
    cases = pd.DataFrame({"subject": ["a"], "phase": ["arterial"], "exclusion": [""], "max_axial_diameter_mm": [51.0]})
    assert findings(cases, cui.columns).loc["a", "size_class"] == ">5"
