"""New patients by a locked model: what a table or a manifest says of them, and that one bad case stops nobody else."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from helpers.scans import lesion, write_volume
from helpers.signature_study import study_of

from radsupport import evaluate
from radsupport.cli import main
from radsupport.data.new_patients import _in_words, apply_model, read_patients, score_cohort
from radsupport.data.open import read_feature_study
from radsupport.data.own_data import check
from radsupport.errors import InputError, ManifestError, StudyError, serious
from radsupport.learning.locked import Model, read_model
from radsupport.nomogram.nomogram import Nomogram
from radsupport.settings.study import Study
from radsupport.stats.logistic import fit_logistic
from radsupport.study import load_study
from radsupport.wording import readable

FEATURE = "ct__original_firstorder_Mean"


def model_of(folder: Path, **more: Any) -> Model:
    """Write a model of two signatures: one on age and symptom, one on the mean HU of the tumour."""
    folder.mkdir(exist_ok=True)
    clinical = [{"column": "age", "fill": 60, "mean": 60, "sd": 10, "coef": 1.0}]
    clinical.append({"column": "symptom", "level": "yes", "fill": "no", "coef": 2.0})
    ages = {"age": {"low": 40, "high": 80}, "symptom": {"levels": ["no", "yes"]}}
    tumour = {"terms": [{"column": FEATURE, "fill": 50, "coef": 0.1}]}
    settings = study_of(
        [{"name": "Clinical", "columns": ["age", "symptom"], "learner": "Logistic"}],
        radiomics={"settings": "default.yaml"},
    ).model_dump(mode="json")
    plain = {
        "signatures": {
            "Clinical": {"members": [{"terms": clinical, "link": "logit"}], "threshold": 0.5, "ranges": ages,
                         "probability": {"as_given": True}},
            "Tumour": {"members": [tumour], "ranges": {FEATURE: {"low": 0, "high": 60}}, "sources": ["radiomics"]},
        },
        "sources": {"radiomics": [FEATURE]}, "settings": settings,
        "about": {"pyradiomics": {"imageType": {"Original": {}}, "featureClass": {"firstorder": ["Mean"]}}}, **more,
    }  # fmt: skip
    (folder / "model.json").write_text(json.dumps(plain))
    return read_model(folder)


def applied(folder: Path, table: str = "", **given: Any) -> pd.DataFrame:
    """Apply the model to a table of text; return the predictions by signature and subject."""
    if table:
        given["table"] = folder / "new.csv"
        given["table"].write_text(table, encoding="utf-8")
    found, _ = apply_model(model_of(folder / "model"), folder / "model", work=folder / "work", **given)
    return found.set_index(["signature", "subject"])


def test_a_table_gives_risk_class_and_what_lies_outside(tmp_path: Path) -> None:
    found = applied(tmp_path, f"subject;age;symptom;{FEATURE}\na;70;yes;55,5\nb;95;no;61\nc;NA;no;\n")
    risk = found["risk"]
    assert risk["Clinical", "a"] == pytest.approx(1 / (1 + math.exp(-3)), abs=1e-12)  # (70 - 60) / 10 + 2
    assert risk["Clinical", "b"] == pytest.approx(1 / (1 + math.exp(-3.5)), abs=1e-12)
    assert risk["Tumour", "a"] == pytest.approx(5.55, abs=1e-12)
    assert found["high"]["Clinical", "a"]
    assert not found["high"]["Clinical", "c"]  # at the fill, 0.5 is not above 0.5
    assert found["outside"]["Clinical", "b"] == "age 95 (training: 40 to 80)"
    assert found["filled"]["Clinical", "c"] == "age"
    assert found["reason"]["Tumour", "c"] == "no radiomics features"


def test_a_bad_cell_is_one_row_with_its_place_and_stops_nobody(tmp_path: Path) -> None:
    text = "subject,age,symptom\na,seventy,yes\nb,60,maybe\nc,60,yes\nd,61,no\nd,62,no\n,50,no\n"
    found = applied(tmp_path, text)["reason"]["Clinical"]
    assert "row 2, column age, value seventy" in found["a"]
    assert "row 3, column symptom, value maybe" in found["b"]
    assert found["c"] == ""
    assert "named twice" in found["d"]
    assert found["row 7"] == ""
    assert applied(tmp_path, text)["reason"]["Tumour", "c"] == f"the table has no column {FEATURE}"


def test_what_can_not_be_read_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no column that the model needs"):
        applied(tmp_path, "subject,size\na,1\n")
    beside_scans = applied(tmp_path, "subject,size\na,1\n", manifest=manifest_of(tmp_path))
    assert beside_scans["risk"]["Tumour"].notna().any()  # the table may hold predictors of a nomogram alone
    with pytest.raises(InputError, match="name a table"):
        applied(tmp_path)
    with pytest.raises(ManifestError, match="no such manifest"):
        applied(tmp_path, manifest=tmp_path / "none.csv")


def manifest_of(folder: Path) -> Path:
    """Write two scans (the second without a mask), and an unknown phase of the first and of a third patient."""
    inside = lesion(np.random.default_rng(0))
    image = np.where(inside > 0, 50, 0) + np.random.default_rng(1).integers(-9, 10, inside.shape)
    written = {"image": image.astype(np.int16), "mask": inside}
    rows = ["study,subject,center,phase,role,path"]
    for who, phase, roles in (
        ("a", "ct", ("image", "mask")),
        ("b", "ct", ("image",)),
        ("c", "late", ("image", "mask")),
        ("a", "late", ("image", "mask")),
    ):
        for role in roles:
            name = f"{who}_{phase}_{role}.nii.gz"
            write_volume(folder / name, written[role])
            rows.append(f"new,{who},x,{phase},{role},{name}")
    path = folder / "new_manifest.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def test_scans_are_measured_as_the_study_did_it(tmp_path: Path) -> None:
    manifest = manifest_of(tmp_path)
    found = applied(tmp_path, "subject,age,symptom\na,70,no\nb,70,no\n", manifest=manifest)
    inside = lesion(np.random.default_rng(0)) > 0
    drawn = (50 + np.random.default_rng(1).integers(-9, 10, inside.shape))[inside]
    assert found["risk"]["Tumour", "a"] == pytest.approx(0.1 * drawn.mean(), abs=1e-9)
    assert "mask" in found["reason"]["Tumour", "b"]
    assert found["reason"]["Clinical", "b"] == ""
    assert "late" in found["reason"]["Tumour", "c"]
    assert found["reason"]["Clinical", "c"] == "not in the clinical table"
    assert found["filled"]["Clinical", "c"] == "", "nothing is filled where nothing is predicted"
    assert found["risk"]["Clinical"].notna().to_dict() == {"a": True, "b": True, "c": False}


def test_who_is_in_one_of_manifest_and_table_only_has_a_row_with_the_reason(tmp_path: Path) -> None:
    manifest = manifest_of(tmp_path)
    found = applied(tmp_path, "subject,age,symptom,center\nz,70,yes,y\na,70,no,x\nB,60,no,x\n", manifest=manifest)
    assert list(found.loc["Tumour"].index) == ["a", "b", "c", "z", "B"]
    assert found["reason"]["Tumour", "z"] == "not in the manifest"
    assert found["risk"]["Clinical", "z"] == pytest.approx(1 / (1 + math.exp(-3)), abs=1e-12)
    assert found["reason"]["Tumour", "B"] == "not in the manifest, which has b: write both alike"
    assert found["reason"]["Clinical", "b"] == "not in the clinical table, which has B: write both alike"
    alone = applied(tmp_path, manifest=manifest)
    assert alone["reason"]["Clinical", "a"] == "the table has no column age and symptom"


def test_the_command_writes_predictions_values_and_what_the_calculator_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(3)
    rows = pd.DataFrame({"signature_1": rng.random(80), "age": rng.normal(60, 9, 80)})
    rows["label"] = (rows["signature_1"] + rng.normal(0, 0.4, 80) > 0.5).astype(int)
    labels = {"signature_1": "Clinical (risk)", "age": "Age"}
    drawn = Nomogram.from_logistic(fit_logistic(rows, "label", "signature_1 + age"), labels=labels)
    model = model_of(tmp_path / "model")
    plain = {"signatures": {"signature_1": "Clinical"}, "nomogram": drawn.to_dict()}
    (tmp_path / "model" / "nomogram.json").write_text(json.dumps(plain))
    (tmp_path / "new.csv").write_text("subject,age,symptom\na,70,yes\nb,,no\nc,old,no\n")
    out = tmp_path / "found.csv"
    code = main(["apply", str(tmp_path / "model"), "--table", str(tmp_path / "new.csv"), "--out", str(out)])
    said = capsys.readouterr().out
    assert code == 1  # of c nothing can be said
    assert "value old" in said
    found = pd.read_csv(out, keep_default_na=False).set_index(["signature", "subject"])
    risk = model.predict(pd.DataFrame({"age": [70.0], "symptom": ["yes"]}, ["a"]))["risk"].iloc[0]
    expected = drawn.predict({"signature_1": risk, "age": 70.0})
    assert float(found["probability"]["nomogram", "a"]) == pytest.approx(float(np.ravel(expected)[0]), abs=1e-9)
    assert found["reason"]["nomogram", "b"] == "no value of age"
    values = pd.read_csv(tmp_path / "found_values.csv").set_index(["signature", "subject", "column"])["is"]
    assert values["Clinical", "b", "age"] == "missing"
    one = json.loads((tmp_path / "found.json").read_text())["patients"][0]
    assert one["inputs"] == {"signature_1": pytest.approx(risk), "age": 70.0}


def test_the_outcome_of_new_patients_may_be_two_dates(tmp_path: Path) -> None:
    model = model_of(tmp_path / "model")
    survival = {"dates": {"start": "op", "end": "seen"}, "event": "dead", "name": "survival"}
    settings = model.settings | {"endpoint": {"primary": "survival", "survival": survival}}
    model = model.model_copy(update={"settings": settings, "outcome": ["time", "event"]})
    text = "subject,age,symptom,op,seen,dead\na,70,no,2015-03-02,2015-03-12,1\nb,60,no,2015-03-02,2015-01-01,0\n"
    (tmp_path / "new.csv").write_text(text)
    people, reasons = read_patients(model, tmp_path / "new.csv")
    np.testing.assert_allclose(people["time"], [10 / 30.4375, np.nan])
    assert reasons == {}, "a bad end of follow-up stops no prediction"
    (tmp_path / "new.csv").write_text("subject,age,symptom\na,70,no\n")
    assert "time" not in read_patients(model, tmp_path / "new.csv")[0]


def test_the_printed_formula_of_yang2023_ranks_patients(root: Path, tmp_path: Path) -> None:
    path = root / "studies" / "models" / "yang2023_table2.json"
    text = "subject,age,sex,location,long_diameter,ct_ln,m_stage,ki67,grade\n"
    text += "a,60,male,antrum,40,yes,M1,50,NEC\nb,60,male,fundus,40,yes,M1,50,NEC\n"
    (tmp_path / "new.csv").write_text(text)
    found, _ = apply_model(read_model(path), path.parent, table=tmp_path / "new.csv", work=tmp_path)
    ratios = 1.05**60 * 1.24 * 1.29 * 1.02**40 * 1.66 * 2.26 * 1.04**50 * 0.15  # Table 2, multivariable
    assert found["risk"].iloc[0] == pytest.approx(math.log(ratios), abs=1e-4)
    assert "value fundus" in found["reason"].iloc[1]


def validated(folder: Path, model: str = "model", **sections: Any) -> Study:
    """Write a study file that only validates the model of `model_of`, and read it."""
    plain: dict[str, Any] = {
        "id": "elsewhere", "title": "t", "question": "q", "model": model,
        "data": {"kind": "real", "entry": "features", "subject": "id", "feature_tables": {"x": "x.csv", "y": "y.csv"},
                 "feature_columns": {"radiomics": "^original_"}},
        "cohorts": {"external_x": {"name": "X", "centers": ["x"]}, "external_y": {"name": "Y", "centers": ["y"]}},
    }  # fmt: skip
    (folder / "studies").mkdir(exist_ok=True)
    (folder / "studies" / "elsewhere.yaml").write_text(yaml.safe_dump(plain | sections), encoding="utf-8")
    return load_study("elsewhere", folder=folder / "studies")


def scored(folder: Path, without: str = "") -> tuple[Study, pd.DataFrame, pd.DataFrame]:
    """Fabricate two hospitals, the second `without` a column; return study, cohort and the scores of chapter 05."""
    rng, label = np.random.default_rng(3), {"column": "ill", "name": "illness", "positive": "ill", "negative": "well"}
    follow_up = {"time": "time", "event": "event", "name": "os"}
    model_of(folder / "model")
    study = validated(folder, endpoint={"primary": "label", "label": label, "survival": follow_up})
    lines = ["study,subject,center,phase,role,path"]
    for center, n in (("x", 40), ("y", 30)):
        ill = (np.arange(n) % 3 == 0).astype(int)
        table = pd.DataFrame(
            {"id": [f"{center}{i}" for i in range(n)], "ill": ill, "time": 1 + np.arange(n), "event": 1}
        )
        table["age"] = np.round(rng.normal(60, 8, n) + 6 * ill, 1)
        table["symptom"] = np.where(rng.random(n) < 0.3 + 0.3 * ill, "yes", "no")
        table["original_firstorder_Mean"] = np.round(rng.normal(30, 20, n) + 10 * ill, 2)
        table.loc[2, "original_firstorder_Mean"] = np.nan
        gone = [without] if center == "y" and without else []
        table.drop(columns=gone).to_csv(folder / f"{center}.csv", index=False)
        lines.append(f"elsewhere,,{center},,features,{center}.csv")
    (folder / "data_manifest.csv").write_text("\n".join(lines) + "\n")
    tables = read_feature_study(study, folder)
    results = folder / "results" / "elsewhere"
    tables.write(results)
    scores, _ = score_cohort(study, read_model(folder / "model"), tables.cohort, results, folder)
    return study, tables.cohort, scores


def test_a_study_of_a_locked_model_scores_as_apply_does(tmp_path: Path) -> None:
    study, cohort, scores = scored(tmp_path)
    assert [one.name for one in study.signatures] == ["Clinical"]  # as the model's own study has it
    both = pd.concat([pd.read_csv(tmp_path / f"{center}.csv") for center in "xy"])
    both = both.rename(columns={"id": "subject", "original_firstorder_Mean": FEATURE}).astype({"subject": str})
    both.to_csv(tmp_path / "new.csv", index=False)
    applied_to, _ = apply_model(
        read_model(tmp_path / "model"), tmp_path / "model", table=tmp_path / "new.csv", work=tmp_path
    )
    merged = scores.merge(applied_to, on=["subject", "signature"])
    assert len(merged) == len(scores) == 2 * len(cohort)
    np.testing.assert_allclose(merged["risk_x"], merged["risk_y"], rtol=0, atol=1e-9)
    assert set(scores.loc[scores["risk"].isna(), "reason"]) == {"no radiomics features"}


def test_value_threshold_and_probability_are_those_of_the_model(tmp_path: Path) -> None:
    _, cohort, scores = scored(tmp_path)
    rows = scores.dropna(subset=["risk"]).merge(cohort[["subject", "label"]], on="subject").assign(kind="external")
    rows = evaluate.judged(rows.assign(fold=np.nan), cohort=cohort)
    table = evaluate.measure(rows, evaluate.discrimination).set_index(["cohort", "signature"])["value"]
    for (key, name), part in rows.groupby(["cohort", "signature"], observed=True):
        ill, well = (part.loc[part["label"] == value, "risk"].to_numpy() for value in (1, 0))
        gaps = ill[:, None] - well[None, :]
        assert table[key, name] == pytest.approx(np.mean((gaps > 0) + 0.5 * (gaps == 0)), abs=1e-12)
    formulas = read_model(tmp_path / "model").signatures
    cut = evaluate.threshold(rows, {"Clinical": formulas["Clinical"].threshold})
    assert cut.to_dict() == {"Clinical": 0.5}
    assert evaluate.threshold(rows, "median").empty  # nobody to fix it on
    locked = evaluate.lock(rows, given=formulas)
    assert list(locked) == ["Clinical"]  # the file has no translation of the other one
    at = evaluate.probabilities(rows, locked)
    np.testing.assert_allclose(at["probability"], at["risk"], atol=1e-12)


@pytest.mark.parametrize(("without", "lost", "left"), [
    ("original_firstorder_Mean", "Tumour", "Clinical"), ("symptom", "Clinical", "Tumour"),
])  # fmt: skip
def test_a_center_without_a_column_has_no_value_of_what_needs_it(
    tmp_path: Path, without: str, lost: str, left: str
) -> None:
    study, _, scores = scored(tmp_path, without)
    known = scores.assign(known=scores["risk"].notna()).groupby(["center", "signature"])["known"].mean()
    assert known["y", lost] == 0
    assert min(known["x", lost], known["x", left], known["y", left]) > 0.9
    reason = set(scores.loc[(scores["center"] == "y") & (scores["signature"] == lost), "reason"])
    words = readable(FEATURE) if lost == "Tumour" else "Symptom"
    assert reason == {f"it wants {words}, which y does not have"}
    problems = check(tmp_path / "data_manifest.csv", study, tmp_path)
    assert not serious(problems)
    assert any("lacks: no value there" in problem.what for problem in problems)


def test_a_printed_formula_is_validated_by_its_ranks(tmp_path: Path, root: Path) -> None:
    path = tmp_path / "printed.json"
    path.write_bytes((root / "studies" / "models" / "yang2023_table2.json").read_bytes())
    follow_up = {"time": "months", "event": "dead", "name": "overall survival", "event_name": "death"}
    study = validated(tmp_path, "printed.json", endpoint={"primary": "survival", "survival": follow_up})
    assert study.signatures[0].columns[:3] == ["age", "sex", "location"]
    assert study.columns["grade"].levels[0] == "NET G1"
    n = 12
    cohort = pd.DataFrame({"subject": [f"p{i}" for i in range(n)], "center": "x", "cohort": "external_x", "time": 5.0})
    cohort = cohort.assign(event=1.0, age=50.0 + np.arange(n), sex="male", location="body", long_diameter=20.0)
    cohort = cohort.assign(ct_ln="no", m_stage="M0", ki67=10.0, grade=["NET G1", "NET G3"] * 6)
    cohort["grade"] = pd.Categorical(cohort["grade"], study.columns["grade"].levels)
    study = study.model_copy(update={"data": study.data.model_copy(update={"feature_columns": {}})})
    scores, _ = score_cohort(study, read_model(path), cohort, tmp_path, tmp_path)
    by_hand = 0.04879 * cohort["age"] + 0.215111 + 0.131028 + 0.019803 * 20 + 0.039221 * 10
    by_hand += np.where(cohort["grade"] == "NET G3", 1.640937, 0.0)
    np.testing.assert_allclose(scores["risk"], by_hand, atol=1e-9)
    lost, _ = score_cohort(
        study, read_model(path), cohort.assign(ki67=cohort["ki67"].where(cohort.index > 2)), tmp_path
    )
    assert lost["reason"].unique().tolist() == [f"no value of {study.columns['ki67'].label}", ""]
    assert evaluate.lock(scores, ("time", "event"), given=read_model(path).signatures) == {}


def test_a_study_of_a_locked_model_has_no_training_cohort(tmp_path: Path) -> None:
    model_of(tmp_path / "model")
    with pytest.raises(StudyError, match="there is no such model"):
        validated(tmp_path, "models/none")
    with pytest.raises(StudyError, match="nothing is fitted here"):
        validated(tmp_path, cohorts={"train": {"name": "X", "centers": ["x"]}})
    (tmp_path / "empty.json").write_text("{}")
    with pytest.raises(StudyError, match="no locked model"):
        validated(tmp_path, "empty.json")


def test_reasons_name_columns_as_pages_do() -> None:
    words = {"age": "Age", "ct__original_mean": "CT: original mean", "ct__original_mean-2": "CT: other"}
    assert _in_words("no value of ct__original_mean-2 and age", words) == "no value of CT: other and Age"
    assert _in_words("the table has no column ct__original_mean", words) == "the table has no column CT: original mean"
    assert _in_words("the age is lost", words) == "the age is lost"
