"""Printed values beside ours, and cautions by chapter."""

from __future__ import annotations

from pathlib import Path

import pytest

from radsupport.book import printed as guide
from radsupport.study import load_study


@pytest.mark.parametrize(
    ("key", "found", "words"),
    [
        ("p_by_outcome_sex", {"value": 0.48528, "ci_low": None, "ci_high": None}, "0.49"),
        ("auc_train", {"value": 0.8, "ci_low": 0.7, "ci_high": 0.9}, "0.80 (0.70–0.90)"),
        ("n_train", {"value": 56, "ci_low": None, "ci_high": None}, "56"),
        ("auc_train", {"value": 0.8123, "ci_low": None, "ci_high": None}, "0.81"),
        ("auc_train", {"value": float("nan")}, "not estimable"),
        ("best", {"value": "DLR-A"}, "DLR-A"),
        ("median_high", {"value": 43.42, "ci_low": 37.68, "ci_high": float("nan")}, "43.42 (37.68–not reached)"),
        ("median_high", {"value": 43.42, "ci_low": 37.68, "ci_high": None}, "43.42 (37.68–not reached)"),
        ("auc_train", {"value": 0.8, "ci_low": 0.7, "ci_high": None}, "0.80"),
        ("n_train", None, "not computed"),
    ],
)
def test_numbers_are_worded_by_what_they_are(key: str, found: dict | None, words: str) -> None:
    assert guide.number_words(key, found) == words


def test_only_the_chapter_s_own_entries_and_cautions_are_shown(root: Path) -> None:
    study = load_study("song2021", folder=root / "studies")
    table = guide.printed_beside(study, "01", {"n_train": {"value": 56, "n": 56}})
    assert table.loc[table["item"] == "Patients of Hospital I", ["published", "this build"]].to_numpy().tolist() == [
        ["56", "56"]
    ]
    assert "AUC DLR-A" not in set(table["item"])
    cautions = guide.cautions_of(study, "01")
    (age,) = [text for text in cautions if "age row" in text]
    assert "with another statistic and P" in age  # 140.000 and 0.054 for age, 189.500 and 0.380 for the portal vein
    assert not any("enhancement pattern" in text for text in guide.cautions_of(study, "02"))
    assert not any("mean survival" in text for text in cautions)
    assert cautions[-1].startswith("Ten recurrences in Hospital I")  # of the whole study: after the chapter's own
    assert cautions[-1] not in guide.cautions_of(study, "06")
    assert any(text.startswith("The paper's 22 sampled cases") for text in guide.cautions_of(study, "05"))
    assert guide.cautions_words(study, "01").count("\n- ") == len(cautions) - 1
    assert guide.printed_beside(study, "99", {}).empty
    assert "names no caution" in guide.cautions_words(study.model_copy(update={"cautions": []}), "01")


def test_the_words_call_synthetic_patients_synthetic(root: Path) -> None:
    assert "synthetic" in guide.printed_words(load_study("song2021", folder=root / "studies"))
    assert "quotes no printed value." in guide.printed_words(load_study("sts", folder=root / "studies"))


def test_a_chapter_without_printed_values_says_so(root: Path) -> None:
    hosny = load_study("hosny2018", folder=root / "studies")
    assert guide.printed_beside(hosny, "01", {}).empty
    assert "quotes no printed value for this chapter" in guide.printed_words(hosny, "01")
    assert "What was printed" in guide.printed_words(hosny, "06")
