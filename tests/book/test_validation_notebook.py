"""The notebook of chapter 06 on small and odd studies, and what it publishes."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from radsupport import book
from radsupport.book import chapter as chapters
from radsupport.book.staging import read_source
from radsupport.errors import ContractError
from radsupport.evaluate.discrimination import null_se_p
from radsupport.plots.base import figures_of
from radsupport.study import load_study
from radsupport.tables import write_table

ROOT = Path(__file__).resolve().parents[2]


class Page:
    """What a run of the notebook showed, without drawing a pixel."""

    def __init__(self) -> None:
        self.captions: list[str] = []
        self.text: list[str] = []
        self.tables: dict[str, pd.DataFrame] = {}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Page, dict[str, Any]]]:
    """Return a function that runs the notebook's cells on a study file, predictions and (optionally) a cohort table."""
    page = Page()

    def table(frame: pd.DataFrame, caption: str, *, empty: str = "", **_: Any) -> None:
        page.tables[caption] = frame
        page.text += [empty] if frame.empty else []
        page.text += list(frame.get("note", []))

    def figure(drawn: Any, *, caption: str, empty: str = "") -> None:
        page.captions += [caption] if figures_of(drawn) else []
        page.text += [] if figures_of(drawn) else [empty]

    monkeypatch.setattr(book, "show_figure", figure)
    monkeypatch.setattr(book, "show_text", page.text.append)
    monkeypatch.setattr(chapters, "show_text", page.text.append)
    monkeypatch.setattr(book, "show_table", table)
    monkeypatch.setattr(chapters, "display", lambda *_: None)

    def build(values: dict[str, Any], predictions: pd.DataFrame, cohort: pd.DataFrame | None) -> Any:
        for folder in ("studies", "notebooks"):
            (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / "studies" / "mine.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
        results = tmp_path / "results" / "mine"
        write_table(predictions, "predictions", results)
        if cohort is not None:
            write_table(cohort.drop(columns="latent"), "cohort", results)
        monkeypatch.chdir(tmp_path)
        loaded = load_study("mine", folder=tmp_path / "studies") if "model" in values else None
        notebook = read_source(ROOT / "notebooks" / "06_validation.ipynb", loaded)
        cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
        space: dict[str, Any] = {"In": ["", *cells], "__name__": "notebook"}
        with warnings.catch_warnings():
            # tqdm warns under IPython without ipywidgets; nothing here shows a bar
            warnings.filterwarnings("ignore", "IProgress not found")
            for source in cells:
                source = source.replace('study = "song2021"', 'study = "mine"')
                exec(compile(source, "<cell>", "exec"), space)
        return page, json.loads((results / "06_validation.json").read_text())["numbers"]

    return build


def test_the_chapter_runs_on_a_label_with_three_cohorts(run, study_values, make_cohort, make_predictions):
    changes = {"validation": {"subgroups": [{"column": "sex"}, {"column": "age", "cut": 60}], "null_se": True}}
    values = study_values(
        **changes, published=[{"chapter": "06", "item": "AUC", "value": "0.9", "where": "T1", "ours": "auc_external_A"}]
    )
    cohort = make_cohort({"train": 50, "internal": 40, "external": 40})
    page, numbers = run(values, make_predictions(cohort), cohort)
    scores = page.tables["Discrimination by cohort and signature, study mine (50 resamples)"]
    assert len(scores) == 9
    row = scores.iloc[0]
    assert row["p_chance"] == null_se_p(row["value"], row["events"], row["n"] - row["events"]) > row["p"]
    assert "p_chance" in page.tables["Discrimination in subgroups, study mine"]
    assert "p_chance" in page.tables["Discrimination by center, study mine"]
    assert numbers["auc_external_A"]["value"] == pytest.approx(scores["value"].iloc[6], abs=1e-3)
    assert numbers["headline_external"]["n"] == 40
    assert numbers["headline_external_signature"]["value"] == "A (AUC)"
    assert "center_auc_E_A" in numbers
    assert any(caption.startswith("ROC curves, mine") for caption in page.captions)
    assert any(caption.startswith("Decision curves, mine") for caption in page.captions)
    assert any("interaction" in c.lower() or "Tests between subgroups" in c for c in page.tables)
    assert page.tables["Published values beside ours, study mine"]["published"].tolist() == ["0.9"]
    assert all("{" not in text for text in [*page.text, *page.captions, *page.tables])


def test_a_locked_model_is_judged_without_any_training_cohort(
    run, tmp_path, study_values, make_cohort, make_predictions
):
    term = {"terms": [{"column": "age", "coef": 1.0}]}
    formulas = {
        "A": {"members": [term], "threshold": 0.4, "probability": {"as_given": True, "rule": "the risk itself"}},
        "B": {"members": [term]}, "A + B": {"members": [term], "threshold": 0.5},
    }  # fmt: skip
    (tmp_path / "model.json").write_text(json.dumps({"signatures": formulas}))
    values = study_values(model="model.json")
    cohort = make_cohort({"train": 50, "external": 40}).query("cohort == 'external'")
    values["cohorts"] = {key: one for key, one in values["cohorts"].items() if key == "external"}
    predictions = make_predictions(make_cohort({"train": 50, "external": 40})).query("cohort == 'external'")
    page, numbers = run(values, predictions, cohort)
    scores = page.tables["Discrimination by cohort and signature, study mine (50 resamples)"]
    assert set(scores["cohort"]) == {"external"}
    assert "apparent" not in scores
    own = predictions[predictions["signature"] == "A"]
    ill, well = (own.loc[own["label"] == value, "risk"].to_numpy() for value in (1, 0))
    gaps = ill[:, None] - well
    assert scores["value"].iloc[0] == pytest.approx(((gaps > 0) + 0.5 * (gaps == 0)).mean(), abs=1e-12)
    rates = next(table for caption, table in page.tables.items() if caption.startswith("Counts and accuracy"))
    assert rates.set_index("signature")["threshold"].to_dict() == {"A": 0.4, "A + B": 0.5}
    assert rates["tp"].iloc[0] == (ill > 0.4).sum()
    whole = page.tables["Calibration on the whole and its slope, study mine"]
    assert whole["predicted"].iloc[0] == pytest.approx(own["risk"].mean(), abs=1e-12)
    text = " ".join(page.text)
    assert "The file says nothing that turns the risk of B and A + B into a probability" in text
    assert "headline_train" not in numbers
    assert not any("apparent" in caption or "corrected" in caption for caption in page.captions)


def test_the_chapter_runs_on_survival(run, study_values, make_cohort, make_predictions):
    cohort = make_cohort({"train": 50, "external": 40})
    page, numbers = run(study_values(survival=True), make_predictions(cohort, survival=True), cohort)
    assert numbers["c_index_external_A"]["n"] == 40
    assert "Brier score at the horizons, study mine; difference: minus B" in page.tables
    assert any(c.startswith("Decision curves, mine") for c in page.captions)
    rules = next(table for caption, table in page.tables.items() if caption.startswith("How risks became"))
    assert "Cox regression on the risk" in set(rules["rule"])
    assert any("survival chapter" in text for text in page.text)


def test_fourteen_patients_five_events_one_cohort_and_a_constant_signature(
    run, study_values, make_cohort, make_predictions
):
    cohort = make_cohort({"train": 14}).assign(label=[1.0] * 5 + [0.0] * 9)
    predictions = make_predictions(cohort)
    predictions["risk"] = predictions["risk"].mask(predictions["signature"] == "B", 0.4)
    page, numbers = run(study_values(), predictions[predictions["signature"] != "A + B"], None)
    assert numbers["auc_train_B"]["value"] == 0.5
    assert numbers["headline_train"]["n"] == 14
    assert "headline_external" not in numbers
    text = " ".join(page.text)
    assert "no signature has predictions in two cohorts" in text
    assert "A + B in North (14 of 14)" in text
    assert "higher risk did not" in text or "same value" in text


@pytest.mark.parametrize("survival", [False, True])
def test_a_cohort_without_any_event_is_said_to_be_so(run, study_values, make_cohort, make_predictions, survival):
    cohort = make_cohort({"train": 40, "external": 12})
    column = "event" if survival else "label"
    cohort[column] = cohort[column].mask(cohort["cohort"] == "external", 0.0)
    page, numbers = run(study_values(survival=survival), make_predictions(cohort, survival=survival), cohort)
    measure = "c_index" if survival else "auc"
    assert f"{measure}_train_A" in numbers
    assert f"{measure}_external_A" not in numbers
    assert "headline_external" not in numbers
    assert any("does not exist there" in text for text in page.text)


def test_predictions_of_other_data_stop_the_chapter(run, study_values, make_cohort, make_predictions):
    cohort = make_cohort({"train": 20, "external": 12})
    with pytest.raises(ContractError, match="made from other data"):
        run(study_values(), make_predictions(cohort), cohort.assign(label=1 - cohort["label"]))
