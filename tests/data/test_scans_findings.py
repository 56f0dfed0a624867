"""Findings from images beside the reader's entries, and how well they agree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from radsupport.data.scans import category_agreement, finding_pairs, numeric_agreement, side_by_side
from radsupport.settings.study import Study
from radsupport.study import load_study


@pytest.fixture(scope="module")
def song(root: Path) -> Study:
    return load_study("song2021", folder=root / "studies")


@pytest.fixture
def readings(song: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng, n = np.random.default_rng(1), 40
    true = rng.uniform(10, 40, n)
    classes = np.where(true < 20, "<20 mm", ">=20 mm")
    cohort = pd.DataFrame({"subject": [f"s{i}" for i in range(n)], "max_diameter": true, "size_class": classes})
    computed = pd.DataFrame({"max_diameter": true + 2.0, "size_class": classes}, index=cohort["subject"])
    return cohort, computed


def test_a_constant_shift_is_all_bias(song: Study, readings: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    row = numeric_agreement(finding_pairs(*readings, song.columns)).iloc[0]
    assert row["bias"] == pytest.approx(2.0)
    assert row["limit_high"] - row["limit_low"] == pytest.approx(0, abs=1e-9)
    assert 0.8 < row["icc"] < 1
    pairs = finding_pairs(*readings, song.columns)
    assert pairs["finding"].unique().tolist() == ["Largest diameter", "Largest diameter (class)"]
    assert pairs.loc[pairs["kind"] == "number", "difference"].to_numpy() == pytest.approx(2.0)


def test_perfect_and_imperfect_categories(song: Study, readings: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    cohort, computed = readings
    row = category_agreement(finding_pairs(cohort, computed, song.columns)).iloc[0]
    assert (row["kappa"], row["agree"], row["apart"]) == (1.0, 40, "none")
    computed.loc[computed["size_class"] == "<20 mm", "size_class"] = ">=20 mm"
    row = category_agreement(finding_pairs(cohort, computed, song.columns)).iloc[0]
    small = int((cohort["size_class"] == "<20 mm").sum())
    assert row["kappa"] == pytest.approx(0)
    assert row["apart"] == f"reader <20 mm, image >=20 mm: {small}"


def test_entries_stand_beside_the_image_s_values(song: Study, readings: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    cohort, computed = readings
    table = side_by_side(finding_pairs(cohort, computed.drop(index="s3"), song.columns))
    assert len(table) == 39
    assert list(table)[:2] == ["Patient", "Largest diameter (mm)"]
    sides = table["Largest diameter (mm)"].str.split(" / ", expand=True).astype(float)
    assert (sides[1] - sides[0]).to_numpy() == pytest.approx(2.0, abs=0.11)  # three digits are shown


def test_an_icc_that_rests_on_one_patient_is_named(song: Study) -> None:
    """Noise of the size of the true spread, and one patient far away from all others."""
    rng, n = np.random.default_rng(3), 30
    true = rng.normal(20, 1, n)
    true[7] = 60.0
    cohort = pd.DataFrame({"subject": [f"s{i}" for i in range(n)], "max_diameter": true + rng.normal(0, 1, n)})
    computed = pd.DataFrame({"max_diameter": true + rng.normal(0, 1, n)}, index=cohort["subject"])
    row = numeric_agreement(finding_pairs(cohort, computed, song.columns)).iloc[0]
    assert row["patient"] == "s7"
    kept = cohort["subject"] != "s7"
    without = numeric_agreement(finding_pairs(cohort[kept], computed.drop(index="s7"), song.columns)).iloc[0]["icc"]
    assert row["icc_without"] == pytest.approx(without)
    assert (round(row["mean"], 1), round(row["icc"], 3), round(row["icc_without"], 3)) == (61.1, 0.984, 0.573)


def test_differences_that_depend_on_the_size_are_found(song: Study) -> None:
    rng, n = np.random.default_rng(4), 60
    true = rng.uniform(10, 40, n)
    subjects = [f"s{i}" for i in range(n)]
    cohort = pd.DataFrame({"subject": subjects, "max_diameter": true})
    found = {}
    for kind, image in {
        "bias": 1.1 * true - 2 + rng.normal(0, 0.3, n),
        "spread": true * (1 + rng.normal(0, 0.1, n)),
        "none": true + rng.normal(0, 1, n),
        "shift": true + 2.0,
    }.items():
        computed = pd.DataFrame({"max_diameter": image}, index=subjects)
        found[kind] = numeric_agreement(finding_pairs(cohort, computed, song.columns)).iloc[0]
    assert found["bias"]["bias_p"] < 0.001
    assert found["spread"]["spread_p"] < 0.05
    assert min(found["none"][["bias_p", "spread_p"]]) > 0.05
    assert found["shift"][["bias_p", "spread_p"]].isna().all()


def test_nothing_computed_is_an_empty_table(song: Study) -> None:
    pairs = finding_pairs(pd.DataFrame({"subject": ["a"]}), pd.DataFrame(index=["a"]), song.columns)
    assert numeric_agreement(pairs).empty
    assert category_agreement(pairs).empty
    assert side_by_side(pairs).empty
