"""CT findings from images: closed-form phantoms, thresholds, missing samples and phases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from radsupport.book.conclusions.preprocessing import agreement_notes, bland_altman_panels, rules_words
from radsupport.data.findings import agreement_checks, beside, category_agreement, numeric_agreement
from radsupport.imaging import findings as ct_findings
from radsupport.imaging.findings import Thresholds, computed_findings, measure_case, measure_cases
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
        Thresholds(**thresholds),
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
    assert measured(phantom)["calcified_mm3"] < ct_findings.MIN_CALCIFICATION_MM3
    phantom["image"][11:14, 22:26, 22:26] = 300
    assert measured(phantom)["calcified_mm3"] == pytest.approx(3 * 16 * 1.5, rel=0.35)
    assert np.isnan(measured(phantom, calcified_hu=None)["calcified_mm3"])


def test_fluid_inside_counts_as_a_share_of_the_tumour(phantom: dict[str, np.ndarray]) -> None:
    assert measured(phantom)["fluid_share"] == 0
    phantom["image"][ball(5)] = 10
    core, whole = ball(4.1).sum(), ball(8).sum()  # smoothing takes 0.9 mm off a core of 10 in 120 HU
    assert measured(phantom)["fluid_share"] == pytest.approx(core / whole, rel=0.15)
    phantom["image"][ball(9)] = 10
    assert measured(phantom)["fluid_share"] > ct_findings.PURELY_CYSTIC_SHARE
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
    row = computed_findings(song, table).loc["a"]
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
    found = computed_findings(song, table).loc["a", "property"]
    assert (found == words) if words else pd.isna(found)


def test_missing_phases_and_a_falling_aorta_give_no_value(song: Study) -> None:
    row = computed_findings(song, table_of(arterial={"tumour_hu": 120, "organ_hu": 100, "aorta_hu": 240})).loc["a"]
    assert np.isnan(row["enhanced_rate_arterial"])
    assert np.isnan(row["ct_ratio_venous"])
    assert pd.isna(row["calcified"])
    falling = {"tumour_hu": 120.0, "aorta_hu": 30.0}, {"tumour_hu": 40.0, "aorta_hu": 40.0}
    row = computed_findings(song, table_of(arterial=falling[0], unenhanced=falling[1])).loc["a"]
    assert np.isnan(row["enhanced_rate_arterial"])


def test_the_class_that_holds_the_threshold_is_the_study_s(root: Path) -> None:
    gu = load_study("gu2023", folder=root / "studies")
    classes = [
        computed_findings(gu, table_of(arterial={"diameter_mm": size})).loc["a", "size_class"] for size in (20.0, 20.1)
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
    found = measure_cases(song, pd.DataFrame(rows), progress=False)
    assert found["subject"].tolist() == ["a"]
    assert found["diameter_mm"].tolist() == [20.0]
    assert found["tumour_hu"].iloc[0] == pytest.approx(120, abs=2)


def test_a_study_of_diameters_reads_no_image(root: Path) -> None:
    cui = load_study("cui2022", folder=root / "studies")
    cases = pd.DataFrame({"subject": ["a"], "phase": ["arterial"], "exclusion": [""], "max_axial_diameter_mm": [51.0]})
    table = measure_cases(cui, cases, progress=False)
    assert computed_findings(cui, table).loc["a", "size_class"] == ">5"


@pytest.fixture
def readings(song: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng, n = np.random.default_rng(1), 40
    true = rng.uniform(10, 40, n)
    classes = np.where(true < 20, "<20 mm", ">=20 mm")
    cohort = pd.DataFrame({"subject": [f"s{i}" for i in range(n)], "max_diameter": true, "size_class": classes})
    computed = pd.DataFrame({"max_diameter": true + 2.0, "size_class": classes}, index=cohort["subject"])
    return cohort, computed


def test_a_constant_shift_is_all_bias(song: Study, readings: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    row = numeric_agreement(song, *readings).iloc[0]
    assert row["bias"] == pytest.approx(2.0)
    assert row["limit_high"] - row["limit_low"] == pytest.approx(0, abs=1e-9)
    assert 0.8 < row["icc"] < 1
    title, table, options = bland_altman_panels(song, *readings)[0]
    assert title == "Largest diameter"
    assert table["difference"].to_numpy() == pytest.approx(2.0)
    assert options["bias"] == pytest.approx(2.0)


def test_perfect_and_imperfect_categories(song: Study, readings: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    cohort, computed = readings
    row = category_agreement(song, cohort, computed).iloc[0]
    assert (row["kappa"], row["agree"], row["apart"]) == (1.0, 40, "none")
    computed.loc[computed["size_class"] == "<20 mm", "size_class"] = ">=20 mm"
    row = category_agreement(song, cohort, computed).iloc[0]
    small = int((cohort["size_class"] == "<20 mm").sum())
    assert row["kappa"] == pytest.approx(0)
    assert row["apart"] == f"reader <20 mm, image >=20 mm: {small}"


def test_entries_stand_beside_the_image_s_values(song: Study, readings: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    cohort, computed = readings
    table = beside(song, cohort, computed.drop(index="s3"))
    assert len(table) == 39
    assert list(table)[:3] == ["Patient", "Largest diameter (mm), reader", "Largest diameter (mm), image"]
    gap = table["Largest diameter (mm), image"] - table["Largest diameter (mm), reader"]
    assert gap.to_numpy() == pytest.approx(2.0)


def test_rules_are_said_only_for_what_a_study_measures(root: Path, song: Study) -> None:
    assert "aorta" in rules_words(song)
    assert "aorta" not in rules_words(load_study("gu2023", folder=root / "studies"))
    assert "No variable" in rules_words(load_study("sts", folder=root / "studies"))


def test_an_icc_that_rests_on_one_patient_is_named(song: Study) -> None:
    """Noise of the size of the true spread, and one patient far away from all others."""
    rng, n = np.random.default_rng(3), 30
    true = rng.normal(20, 1, n)
    true[7] = 60.0
    cohort = pd.DataFrame({"subject": [f"s{i}" for i in range(n)], "max_diameter": true + rng.normal(0, 1, n)})
    computed = pd.DataFrame({"max_diameter": true + rng.normal(0, 1, n)}, index=cohort["subject"])
    checks = agreement_checks(song, cohort, computed)
    row = checks.iloc[0]
    assert row["patient"] == "s7"
    assert row["icc"] == numeric_agreement(song, cohort, computed).iloc[0]["icc"]
    kept = cohort["subject"] != "s7"
    without = numeric_agreement(song, cohort[kept], computed.drop(index="s7")).iloc[0]["icc"]
    assert row["icc_without"] == pytest.approx(without)
    assert "the ICC rests on s7 (mean of both 61.1); 0.984 with this patient, 0.573 without" in agreement_notes(checks)


def test_differences_that_depend_on_the_size_are_said(song: Study) -> None:
    rng, n = np.random.default_rng(4), 60
    true = rng.uniform(10, 40, n)
    subjects = [f"s{i}" for i in range(n)]
    cohort = pd.DataFrame({"subject": subjects, "max_diameter": true})
    notes = {}
    for kind, image in {
        "bias": 1.1 * true - 2 + rng.normal(0, 0.3, n),
        "spread": true * (1 + rng.normal(0, 0.1, n)),
        "none": true + rng.normal(0, 1, n),
        "shift": true + 2.0,
    }.items():
        checks = agreement_checks(song, cohort, pd.DataFrame({"max_diameter": image}, index=subjects))
        notes[kind] = agreement_notes(checks)
    assert (
        "The difference depends on the size of the measurement for Largest diameter (Spearman's ρ = " in notes["bias"]
    )
    assert "P < 0.001" in notes["bias"]
    assert "The spread of the differences depends" in notes["spread"]
    assert "Read the panels" in notes["spread"]
    assert notes["none"] == notes["shift"] == "- Leaving out any one patient changes no ICC by more than 0.05."
