"""Opening a chapter: parameters are checked, the study is read, the data are called by their kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from radsupport.book import show
from radsupport.book.chapter import Chapter, begin, begin_without_study
from radsupport.book.parameters import PARAMETERS
from radsupport.book.runs import banner
from radsupport.book.show import save_figures_to
from radsupport.errors import ParameterError
from radsupport.evaluate import comparisons, discrimination, judged, measure
from radsupport.stats.table_one import baseline_table
from radsupport.study import load_study


def namespace(**parameters: Any) -> dict[str, Any]:
    cell = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
    return {"In": ["", cell, "from radsupport.book.chapter import begin\nchapter = begin(...)"], **parameters}


@pytest.fixture
def here(root: Path, tmp_path: Path) -> Path:
    (tmp_path / "studies").symlink_to(root / "studies")
    (tmp_path / "notebooks").mkdir()
    return tmp_path


def test_parameters_override_the_study_file(here: Path) -> None:
    chapter = begin("05_modelling", namespace(study="song2021", n_folds=4), here)
    assert chapter.study.modelling.folds == 4
    assert chapter.study.profile == "demo"


def test_unknown_parameters_are_listed_with_the_nearest_valid_ones(here: Path) -> None:
    with pytest.raises(ParameterError) as caught:
        begin("05_modelling", namespace(study="song2021", n_fold=4, colour="red"), here)
    text = str(caught.value)
    assert "did you mean `n_folds`?" in text
    assert "colour" in text
    assert all(name in text for name in PARAMETERS["05_modelling"])


@pytest.mark.parametrize("value", ["five", 2.5, -3, [5]])
def test_an_ill_typed_parameter_stops_with_the_valid_ones(here: Path, value: object) -> None:
    with pytest.raises(ParameterError, match=r"n_folds \(sets modelling\.folds\)"):
        begin("05_modelling", namespace(study="song2021", n_folds=value), here)


def test_an_unknown_study_names_those_there_are(here: Path) -> None:
    with pytest.raises(ParameterError, match="song2021"):
        begin("01_cohort", namespace(study="song2020"), here)


def test_numbers_are_written_when_the_chapter_is_finished(here: Path) -> None:
    chapter = begin("05_modelling", namespace(study="song2021"), here)
    chapter.publish("auc_train_A", 0.8, n=56, ci=(0.7, 0.9))
    assert not (chapter.paths.results / "05_modelling.json").exists()
    chapter.finish()
    assert chapter.published("05_modelling")["auc_train_A"] == {"value": 0.8, "n": 56, "ci_low": 0.7, "ci_high": 0.9}


def test_ratios_of_a_regression_are_published_with_the_size_of_their_model(here: Path) -> None:
    rows = [("age", "", False, 40, 1.5), ("sex", "female", True, 25, 1.0), ("sex", "male", False, 15, 0.7)]
    table = pd.DataFrame(rows, columns=["term", "level", "reference", "n", "odds_ratio"]).assign(
        ci_low=0.5, ci_high=2.0, p=[0.04, float("nan"), 0.3]
    )
    chapter = begin("05_modelling", namespace(study="song2021"), here)
    chapter.publish_coefficients(table, "alone", "odds_ratio", {"age": "years"})
    chapter.publish_coefficients(table.assign(hr=float("nan")).head(0), "together")
    assert chapter.numbers == {
        "or_alone_years": {"value": 1.5, "n": 40, "ci_low": 0.5, "ci_high": 2.0},
        "or_alone_sex_male": {"value": 0.7, "n": 40, "ci_low": 0.5, "ci_high": 2.0},
        "p_or_alone_years": {"value": 0.04, "n": 40, "ci_low": None, "ci_high": None},
        "p_or_alone_sex_male": {"value": 0.3, "n": 40, "ci_low": None, "ci_high": None},
    }


def test_cells_of_a_baseline_table_are_numbers_by_key() -> None:
    table = pd.DataFrame(
        {"group": ["low"] * 4 + ["high"] * 4, "sex": list("fffmfmmm"), "age": [50.0, 52, 54, 56, 61, 63, 65, 67]}
    )
    kinds = {"sex": "categorical", "age": "continuous"}
    found = Chapter.described(
        baseline_table(table, "group", list(kinds), kinds), "by_group_train", {"sex": ["f", "m", "x"]}
    )
    assert found["by_group_train_sex_f_low"] == {"value": "3 (75.0)", "n": 8}
    assert found["by_group_train_sex_x_high"]["value"] == "0 (0.0)"
    assert found["by_group_train_age_high"]["value"] == "64.0 ± 2.6"  # SD of 61, 63, 65, 67: square root of 20 / 3
    assert found["p_by_group_train_sex"]["value"] == pytest.approx(34 / 70)  # Fisher: (16 + 1 + 16 + 1) of 70 tables
    assert Chapter.described(pd.DataFrame(), "by_group_train", {}) == {}


def test_synthetic_data_are_called_synthetic_and_real_data_real(root: Path) -> None:
    assert "Synthetic data" in banner(load_study("song2021", folder=root / "studies"))
    assert "Real data" in banner(load_study("sts", folder=root / "studies"))


def test_the_banner_says_when_settings_are_those_of_a_demonstration(root: Path) -> None:
    shown = {profile: banner(load_study("sts", profile, folder=root / "studies")) for profile in ("demo", "paper")}
    assert "Demonstration settings" in shown["demo"]
    assert "Demonstration settings" not in shown["paper"]
    some = ("song2021", "gu2023", "hosny2018", "sts", "worc_gist")
    networks = {name: "small networks" in banner(load_study(name, folder=root / "studies")) for name in some}
    assert networks == {"song2021": True, "gu2023": True, "hosny2018": False, "sts": False, "worc_gist": False}


def test_a_chapter_gives_its_own_printed_values_and_cautions(here: Path) -> None:
    chapter = begin("06_validation", namespace(study="song2021"), here)
    assert chapter.printed()["item"].tolist() == ["AUC CT findings, Hospital II"]
    assert chapter.printed().equals(chapter.printed({}))
    assert [caption.split(" of the paper")[0] for caption in chapter.printed_tables()] == [
        "Table 1", "Table 2", "Table 3", "Table 4", "Table S3",
    ]  # fmt: skip
    assert {"auc_external_CT findings", "null_p_external_DLR-V"} <= chapter.quoted()
    assert "cut_off_DLR-A" not in chapter.quoted()  # another chapter's
    assert "synthetic" in chapter.printed_words()
    assert begin("05_modelling", namespace(study="song2021"), here).cautions().startswith("- ")


def test_the_settings_of_a_full_run_are_those_of_the_study_file(here: Path) -> None:
    chapter = begin("02_preprocessing", namespace(study="cui2022"), here)
    assert show._Page.words["center"]["period_2018"] == "Period 2018"  # centers are shown by words, not by keys
    assert chapter.study.deep.patch == (5, 24, 24)
    assert chapter.full_settings().deep.patch == (10, 150, 150)  # as the paper prints it


def test_what_chapter_05_distrusts_is_repeated_for_what_is_shown(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chapter = begin("05_modelling", namespace(study="song2021"), here)
    assert chapter.doubts(["Radiomics-A"]) == ""
    published = {"another_scale:external:radiomics:Radiomics-A": {"value": 362}}
    monkeypatch.setattr(type(chapter), "published", lambda *given, **options: published)
    assert "Radiomics-A in Hospital II (features on another scale: radiomics)" in chapter.doubts(
        ["Radiomics-A", "DLR-A"]
    )
    assert chapter.doubts(["DLR-A"]) == ""


def test_a_notebook_without_a_study_checks_its_parameters_too(tmp_path: Path) -> None:
    begin_without_study("10_published", namespace(study="published"), tmp_path)
    with pytest.raises(ParameterError, match="colour"):
        begin_without_study("10_published", namespace(study="published", colour="red"), tmp_path)
    save_figures_to(None)


def test_numbers_of_the_page_have_keys(labelled):
    rows = judged(labelled[2])
    scores = measure(rows, discrimination)
    found = Chapter.estimates(scores, "auc_{cohort}_{signature}")
    row = scores.query("cohort == 'external' and signature == 'A + B'").iloc[0]
    assert found["auc_external_A + B"] == {
        "value": row["value"], "n": 50, "ci_low": row["value_low"], "ci_high": row["value_high"],
    }  # fmt: skip
    pairs = comparisons(rows, {"all": ["A", "B"]})
    p = Chapter.estimates(pairs, "pair_p_{cohort}_{signature_b}_{signature_a}", "p")
    assert p["pair_p_train_B_A"] == {"value": pairs["p"].iloc[0], "n": 60}
    lost = scores.assign(value=np.nan)
    assert Chapter.estimates(lost, "auc_{cohort}_{signature}") == {}
    assert Chapter.estimates(lost.iloc[:0], "x") == {}


def test_the_short_answer_is_shown_as_a_list_and_kept(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr("radsupport.book.chapter.show_text", shown.append)
    chapter = begin("06_validation", namespace(study="song2021"), here)
    chapter.in_short("One.", "", "- two.\n- three.")
    assert shown == ["- One.\n- two.\n- three."]
    assert chapter.numbers["in_short_06_validation"]["value"] == shown[0]
    assert chapter.numbers["found_06_validation"]["value"] == shown[0]


def test_warnings_stay_in_a_short_answer_of_at_most_five_lines(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr("radsupport.book.chapter.show_text", shown.append)
    chapter = begin("06_validation", namespace(study="song2021"), here)
    chapter.in_short("Answer.", "a.", "**One.** x", "b.", "**Two.** y", "c.", "d.", full="- All.\n- Of it.")
    assert shown[-1].splitlines() == ["- Answer.", "- **One.** x **Two.** y", "- a.", "- b.", "- c."]
    assert chapter.numbers["found_06_validation"]["value"] == "- All.\n- Of it."
    chapter.in_short("Answer.", "word " * 130, "b.", "c.")  # three lines stay, however long
    assert [len(line.split()) for line in shown[-1].splitlines()] == [2, 131, 2]
