"""Printed values beside ours, and cautions by chapter."""

from __future__ import annotations

from pathlib import Path

import pytest

from radsupport.book import printed as guide
from radsupport.book.printed_tables import cells_of
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
        ("median_high", {"value": 43.42, "ci_low": 37.68, "ci_high": float("inf")}, "43.42 (37.68–not reached)"),
        ("median_high", {"value": 43.42, "ci_low": 37.68, "ci_high": float("nan")}, "43.42 (from 37.68)"),
        ("median_high", {"value": 43.42, "ci_low": 37.68, "ci_high": None}, "43.42 (from 37.68)"),
        ("auc_train", {"value": 0.8, "ci_low": 0.7, "ci_high": None}, "0.80"),
        ("n_train", None, "not computed"),
        ("median_low_risk_train", {"value": "not reached", "ci_low": 62.0, "ci_high": None}, "not reached"),
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
    assert guide.printed_words(load_study("sts", folder=root / "studies")) == "", "it quotes no paper"


def test_a_chapter_without_printed_values_says_so(root: Path) -> None:
    hosny = load_study("hosny2018", folder=root / "studies")
    assert guide.printed_beside(hosny, "01", {}).empty
    assert "quotes no printed value for this chapter" in guide.printed_words(hosny, "01")
    assert "What was printed" in guide.printed_words(hosny, "06")


def test_what_gu_s_caution_calls_impossible_is(root: Path) -> None:
    study = load_study("gu2023", folder=root / "studies")
    cells = cells_of(study).set_index("ours")["printed"]
    rates = [f"{rate}_external_RDPs" for rate in ("sensitivity", "specificity", "ppv")]
    printed = cells[rates].astype(float).to_dict()
    positive = study.synthetic.centers["center_2"].events
    negative = study.synthetic.centers["center_2"].n - positive
    assert (positive, negative) == (27, 57)
    assert printed["sensitivity_external_RDPs"] not in {round(k / positive, 2) for k in range(positive + 1)}
    false = [
        negative - k for k in range(negative + 1) if round(k / negative, 2) == printed["specificity_external_RDPs"]
    ]
    assert false == [12]  # 45 of 57: possible
    assert round(positive / (positive + 12), 2) == 0.69 < printed["ppv_external_RDPs"] == 0.97
    (caution,) = [text for text in guide.cautions_of(study, "06") if "impossible" in text]
    assert "at most 27 of 39, 0.69; 0.97 is printed" in caution
    assert "specificity are impossible" not in caution


@pytest.mark.parametrize(
    ("printed", "found", "words"),
    [
        ("0.165499", {"value": 0.1949}, "0.195"),
        ("0.824 (0.764-0.885)", {"value": 0.7461, "ci_low": 0.6702, "ci_high": 0.8219}, "0.746 (0.670–0.822)"),
        ("0.89 (0.83-0.94)", {"value": 0.7461, "ci_low": 0.6702, "ci_high": 0.8219}, "0.75 (0.67–0.82)"),
        ("42.1%", {"value": 0.7461}, "0.75"),
        ("73", {"value": 73.0}, "73"),
        (".4", {"value": 0.412}, "0.41"),
    ],
)
def test_a_value_has_as_many_decimals_as_the_printed_one_beside_it(printed: str, found: dict, words: str) -> None:
    assert guide.number_words("auc_train", found, guide.places(printed)) == words
