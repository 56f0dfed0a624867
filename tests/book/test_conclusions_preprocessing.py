"""What chapter 02 says, from small tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from radsupport.book.conclusions import preprocessing as say


def test_one_phase_is_a_phase_and_two_are_phases() -> None:
    cases = pd.DataFrame({"subject": ["a", "b", "b"], "exclusion": ["", "", "the mask is empty"]})
    words = say.usable(cases, 1, (1.0, 1.0, 3.0), 10.0, "cubic")
    assert words.startswith("2 of 3 cases (2 patients, 1 phase) can be used.")
    assert "to 1 × 1 × 3 mm with cubic B-spline" in words
    assert "plus 10 mm" in words
    assert words.endswith("radiomics is measured without a window.")
    seen = say.usable(cases, 1, (1.0, 1.0, 3.0), 10.0, "cubic", "resnet")
    assert seen.endswith("without a window, networks look through one.")
    assert "2 phases" in say.usable(cases, 2, (1.0, 1.0, 1.0), (70.0, 70.0, 20.0), "linear")
    assert "plus 70 × 70 × 20 mm" in say.usable(cases, 2, (1.0, 1.0, 1.0), (70.0, 70.0, 20.0), "linear")


@pytest.mark.parametrize(
    ("network", "slices", "words"),
    [
        ("unet", None, "every slice of the box"),
        ("resnet", 3, "its two neighbours"),
        ("resnet", 1, "the largest section alone"),
        ("cnn3d", 10, "10 slices through the middle of the tumour"),
        ("", None, "No network"),
    ],
)
def test_words_say_what_the_network_sees(network: str, slices: int | None, words: str) -> None:
    assert words in say.seen(network, slices)


def test_flagged_cases_and_readers_are_counted() -> None:
    checked = pd.DataFrame({"n_flags": [2, 0], "dice": [0.5, np.nan]})
    assert say.outlines(checked).startswith("1 of 2 cases are flagged. 1 case was outlined by two readers")
    assert "0.50 (0.50 to 0.50)" in say.outlines(checked)
    assert "2 cases were outlined by two readers" in say.outlines(checked.assign(dice=0.9))
    assert say.outlines(checked.assign(dice=np.nan)).endswith("No case was outlined by a second reader.")


def test_tumours_that_patches_cut_are_counted() -> None:
    shares = pd.DataFrame([{"patch": "10 × 150 × 150", "n": 6, "median": 0.7, "smallest": 0.4, "whole": 1}])
    assert "cuts 5 of 6 tumours; the median share inside is 70%, the smallest 40%." in say.unseen(shares)


def test_rules_are_said_only_for_what_a_study_measures() -> None:
    assert "aorta" in say.rules(["ct_ratio", "enhanced_rate"])
    assert "aorta" not in say.rules(["diameter_class"])
    beginning = "The rules: the **class of size** follows from the largest distance within the outline"
    assert say.rules(["diameter_class"]).startswith(beginning)
    assert "No variable" in say.rules([])


def finding(**values: Any) -> pd.DataFrame:
    row = {
        "finding": "Largest diameter", "patient": "s7", "mean": 61.1, "icc": 0.984, "icc_without": 0.98,
        "bias_rho": 0.1, "bias_p": 0.5, "spread_rho": 0.1, "spread_p": np.nan,
    }  # fmt: skip
    return pd.DataFrame([row | values])


def test_an_icc_that_rests_on_one_patient_is_named() -> None:
    words = say.agreement(finding(icc_without=0.573))
    assert "the ICC rests on s7 (mean of both 61.1); 0.984 with this patient, 0.573 without" in words
    assert say.agreement(finding()) == "- Leaving out any one patient changes no ICC by more than 0.05."
    assert say.agreement(finding().head(0)) == ""


def test_differences_that_depend_on_the_size_are_said() -> None:
    words = say.agreement(finding(bias_p=0.0001, bias_rho=0.7))
    assert "The difference depends on the size of the measurement for Largest diameter (Spearman's ρ = 0.70" in words
    assert "P < 0.001" in words
    assert "Read the panels" in words
    assert "The spread of the differences depends" in say.agreement(finding(spread_p=0.01))


def test_scanners_are_as_far_apart_as_their_medians() -> None:
    table = pd.DataFrame({"slice_thickness_mm": [1.0, 5.0, 3.0], "noise_hu": [8.04, np.nan, 8.04]})
    assert say.scanners(table) == "Medians over centers and phases: slice thickness 1 to 5 mm, noise 8.04 HU."
    assert say.scanners(table.head(1)) == ""
