"""The chapters of a study that only validates a locked model, from a feature table on: nothing trains."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from radsupport import book
from radsupport.book import chapter as chapters
from radsupport.book.cost import predict
from radsupport.book.runs import notebook_of
from radsupport.book.staging import read_source
from radsupport.nomogram.nomogram import Nomogram
from radsupport.plots.base import figures_of
from radsupport.stats.cox import fit_cox
from radsupport.stats.survival_curves import kaplan_meier
from radsupport.study import load_study

ROOT = Path(__file__).resolve().parents[2]
ENDPOINT = {"primary": "survival", "survival": {"time": "time", "event": "event", "name": "overall survival",
            "event_name": "death", "horizons_months": [12.0, 24.0]}}  # fmt: skip
COLUMNS = {"age": {"source": "clinical", "kind": "number", "label": "Age"}}
CUT, SLOPE = 0.1, 0.8


def patients(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"id": [f"p{seed}_{i}" for i in range(n)], "age": np.round(rng.normal(60, 9, n), 1)})
    table["original_mean"] = np.round(rng.normal(0, 1, n), 3)
    time = rng.exponential(30 / np.exp(0.8 * table["original_mean"] + 0.03 * (table["age"] - 60)))
    return table.assign(time=np.round(np.minimum(time, 60), 2) + 0.1, event=(time < 60).astype(int))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write the study that fitted, its model with a nomogram, and a study of two other hospitals, one without ages."""
    for folder in ("studies", "notebooks", "model"):
        (tmp_path / folder).mkdir()
    plain: dict[str, Any] = {
        "title": "t", "question": "q", "seed": 1, "endpoint": ENDPOINT,
        "data": {"kind": "real", "entry": "features", "subject": "id", "feature_columns": {"radiomics": "^original_"}},
    }  # fmt: skip
    data = plain["data"] | {"missing_values": ["", "Unknown"]}
    origin = plain | {
        "id": "origin",
        "data": data,
        "columns": COLUMNS,
        "cohorts": {"train": {"name": "A", "centers": ["a"]}},
    }
    origin["signatures"] = [{"name": "Tumour", "sources": ["radiomics"], "learner": "Cox"},
                            {"name": "Age", "columns": ["age"], "learner": "Cox"}]  # fmt: skip
    origin["nomogram"] = {"model": "cox", "signature": "Tumour", "columns": ["age"], "horizons_months": [12, 24]}
    origin["survival"] = {"signatures": ["Tumour", "Age"], "covariates": ["age"], "bootstrap": 20}
    (tmp_path / "studies" / "origin.yaml").write_text(yaml.safe_dump(origin))
    settings = load_study("origin", folder=tmp_path / "studies").model_dump(mode="json")
    told = {"slope": SLOPE, "times": [5, 10, 20, 30], "hazard": [0.2, 0.4, 0.7, 1.0], "end": 40, "rule": "Cox"}
    tumour = {"members": [{"terms": [{"column": "ct__original_mean", "fill": 0, "coef": 1}]}], "n": 90, "events": 70,
              "group_threshold": CUT, "probability": told, "ranges": {"ct__original_mean": {"low": -2, "high": 2}},
              "sources": ["radiomics"]}  # fmt: skip
    age = {"members": [{"terms": [{"column": "age", "fill": 60, "mean": 60, "sd": 9, "coef": 0.3}]}]}
    model = {"outcome": ["time", "event"], "horizons": [12, 24], "signatures": {"Tumour": tumour, "Age": age | {
             "group_threshold": 0.0}}, "sources": {"radiomics": ["ct__original_mean"]}, "settings": settings,
             "about": {"id": "origin"}, "columns": COLUMNS}  # fmt: skip
    (tmp_path / "model" / "model.json").write_text(json.dumps(model))
    trained = patients(90, 1).rename(columns={"original_mean": "signature_1"})
    drawn = Nomogram.from_cox(fit_cox(trained, "time", "event", ["signature_1", "age"]), [12, 24], time_unit="months")
    beside = {"signatures": {"signature_1": "Tumour"}, "nomogram": drawn.to_dict()}
    (tmp_path / "model" / "nomogram.json").write_text(json.dumps(beside, default=float))
    study = {key: plain[key] for key in ("title", "question")} | {"id": "mine", "model": "model"}
    study["data"] = {"kind": "real", "entry": "features", "subject": "id",
                     "feature_tables": {"north": "north.csv", "south": "south.csv"}}  # fmt: skip
    study["cohorts"] = {f"external_{key}": {"name": key.title(), "centers": [key]} for key in ("north", "south")}
    study["validation"] = study["survival"] = {"bootstrap": 20}
    (tmp_path / "studies" / "mine.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    patients(60, 2).to_csv(tmp_path / "north.csv", index=False)
    patients(50, 3).drop(columns="age").to_csv(tmp_path / "south.csv", index=False)
    rows = [f"mine,,{center},,features,{center}.csv" for center in ("north", "south")]
    (tmp_path / "data_manifest.csv").write_text("\n".join(["study,subject,center,phase,role,path", *rows]) + "\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(os.environ, "RADSUPPORT_BUILDS_BOOK", "1")
    return tmp_path


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Take up what notebooks show, without drawing a pixel."""
    shown: dict[str, Any] = {"text": [], "captions": [], "tables": {}}

    def table(frame: pd.DataFrame, caption: str, *, empty: str = "", **_: Any) -> None:
        shown["tables"][caption] = frame
        shown["text"] += [empty or frame.attrs.get("empty", "")] if frame.empty else []

    def figure(drawn: Any, *, caption: str, empty: str = "") -> None:
        there = hasattr(drawn, "to_plotly_json") or bool(figures_of(drawn))
        shown["captions" if there else "text"].append(caption if there else empty)

    monkeypatch.setattr(book, "show_figure", figure)
    monkeypatch.setattr(book, "show_text", shown["text"].append)
    monkeypatch.setattr(book, "show_html", shown["text"].append)
    monkeypatch.setattr(chapters, "show_text", shown["text"].append)
    monkeypatch.setattr(book, "show_table", table)
    monkeypatch.setattr(chapters, "display", lambda *_: None)
    return shown


@pytest.fixture
def run(project: Path, page: dict[str, Any]) -> Callable[[str], dict[str, Any]]:
    """Return a function that runs a chapter's notebook as the build does, and returns its numbers."""
    study = load_study("mine", folder=project / "studies")

    def build(chapter: str) -> dict[str, Any]:
        notebook = read_source(ROOT / notebook_of(chapter, study), study)
        cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
        space: dict[str, Any] = {"In": ["", *cells], "__name__": "notebook"}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "IProgress not found")
            for source in cells:
                exec(compile(source.replace('study = "song2021"', 'study = "mine"'), "<cell>", "exec"), space)
        path = project / "results" / "mine" / f"{chapter}.json"
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["numbers"]
        return found

    return build


def test_what_the_model_read_as_missing_is_read_so_unless_the_study_says_otherwise(project: Path) -> None:
    assert load_study("mine", folder=project / "studies").data.missing_values == ["", "Unknown"]
    own = {"data": {"missing_values": ["?"]}}
    assert load_study("mine", folder=project / "studies", overrides=own).data.missing_values == ["?"]


def test_survival_and_nomogram_of_a_locked_model(project: Path, run: Any, page: dict[str, Any]) -> None:
    run("01_cohort")
    numbers = run("05_modelling")
    assert numbers["not_scored:external_south:Age"]["value"] == "it wants Age, which south does not have"
    assert "not_scored:external_south:nomogram" in numbers
    table = pd.read_parquet(project / "results" / "mine" / "predictions.parquet")
    north, south = pd.read_csv("north.csv"), pd.read_csv("south.csv")
    risks = table.query("signature == 'Tumour'").set_index("subject")["risk"]
    both = pd.concat([north, south]).set_index("id")
    np.testing.assert_allclose(risks, both["original_mean"].loc[risks.index], atol=1e-9)
    assert set(table.query("signature in ['Age', 'nomogram']")["cohort"]) == {"external_north"}
    updates = page["tables"]["Updates of the signatures, study mine"]
    own = updates.query("signature == 'Tumour' and cohort == 'South'")
    assert dict(zip(own["method"], own["changed"], strict=True)) == {
        "as it is": 0, "in the large": 1, "recalibrated": 2, "refitted": 2
    }  # fmt: skip
    assert updates.query("signature == 'Age'")["note"].iloc[0].startswith("nothing in the model's file turns its risk")
    run("07_survival")
    curves = page["tables"]["Overall survival by risk group at a month of your choice, study mine"]
    high = north[north["original_mean"] > CUT]
    expected = kaplan_meier(high["time"], high["event"], [12]).at_times["survival"].iloc[0]
    row = curves.query("signature == 'Tumour' and cohort == 'North' and group == 'high risk' and time == 12")
    assert row["survival"].iloc[0] == pytest.approx(expected, abs=1e-12)
    errors = page["tables"]["Brier score at the horizons, study mine"]
    assert set(errors["signature"].astype(str)) == {"Tumour"}  # the file has no translation of the other one
    assert not any("Cox regression for" in caption for caption in page["tables"])
    run("08_nomogram")
    drawn = Nomogram.from_dict(json.loads((project / "model" / "nomogram.json").read_text())["nomogram"])
    given = north.rename(columns={"original_mean": "signature_1"})
    own = table.query("signature == 'nomogram'").set_index("subject")["risk"].loc[north["id"]]
    np.testing.assert_allclose(own, drawn.linear_predictor(given), atol=1e-9)
    shown = page["tables"]["Calibration of the nomogram in numbers, study mine"].query("horizon == 12")
    assert shown["predicted"].iloc[0] == pytest.approx(1 - drawn.predict(given, [12])[12].mean(), abs=1e-9)
    updates = page["tables"]["Updates of the nomogram, study mine"]
    assert updates["cohort"].unique().tolist() == ["North"]
    assert updates["changed"].tolist() == [0, 1, 2, 3]
    until, hazard = np.minimum(north["time"], drawn.max_time), np.array([0.0, *drawn.baseline_hazard])
    steps = hazard[np.searchsorted(drawn.baseline_time, until, side="right")]
    first = drawn.baseline_time[0]
    expected = np.where(until < first, hazard[1] * until / first, steps) * np.exp(drawn.linear_predictor(given))
    observed = north.loc[north["time"] <= drawn.max_time, "event"].sum()
    level = updates.set_index("method")["intercept"]["in the large"]
    assert level == pytest.approx(np.log(observed / expected.sum()), abs=1e-6)
    words = " ".join(page["text"])
    assert "**nomogram** in South: 50 patients not scored: it wants Age, which south does not have." in words
    assert "nan" not in words.replace("finance", "")


def test_a_model_that_only_ranks_is_followed_without_probabilities(
    project: Path, run: Any, page: dict[str, Any]
) -> None:
    path = project / "model" / "model.json"
    model = json.loads(path.read_text())
    del model["signatures"]["Tumour"]["probability"], model["signatures"]["Tumour"]["ranges"]
    path.write_text(json.dumps(model))
    for chapter in ("01_cohort", "05_modelling", "06_validation"):
        numbers = run(chapter)
    assert numbers["c_index_external_north_Tumour"]["n"] == 60
    words = " ".join(page["text"])
    assert "The model's file does not say what its columns were in training." in words
    assert "nothing that turns the risk of Tumour and Age into a probability" in words
    assert "Not used: nothing turns the risk of Tumour" in words
    assert "headline_external_south" in numbers
    found = run("07_survival")["found_07_survival"]["value"]
    assert "The cut-off came with the model, and every cohort is a test of it." in found
    assert "fixed there" not in found
    assert not any(caption.startswith("Brier") for caption in page["captions"])


def test_the_cost_of_a_locked_model_in_tables_is_that_of_its_scores(project: Path) -> None:
    table = predict(load_study("mine", folder=project / "studies"), project)
    assert table[["step", "unit", "to"]].to_numpy().tolist() == [
        ["05 modelling", "patient scored", 110], ["06 validation", "resample of a C-index", 20 * 2 * 2]
    ]  # fmt: skip
    assert (table["seconds"] > 0).all()
