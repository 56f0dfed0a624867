"""New patients by a locked model: what a table or a manifest says of them, and that one bad case stops nobody else."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.scans import lesion, write_volume
from helpers.signature_study import study_of

from radsupport.cli import main
from radsupport.data.new_patients import apply_model
from radsupport.errors import InputError, ManifestError
from radsupport.learning.locked import Model, read_model
from radsupport.nomogram.nomogram import Nomogram
from radsupport.stats.logistic import fit_logistic

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


def test_the_printed_formula_of_yang2023_ranks_patients(root: Path, tmp_path: Path) -> None:
    path = root / "studies" / "models" / "yang2023_table2.json"
    text = "subject,age,sex,location,long_diameter,ct_ln,m_stage,ki67,grade\n"
    text += "a,60,male,antrum,40,yes,M1,50,NEC\nb,60,male,fundus,40,yes,M1,50,NEC\n"
    (tmp_path / "new.csv").write_text(text)
    found, _ = apply_model(read_model(path), path.parent, table=tmp_path / "new.csv", work=tmp_path)
    ratios = 1.05**60 * 1.24 * 1.29 * 1.02**40 * 1.66 * 2.26 * 1.04**50 * 0.15  # Table 2, multivariable
    assert found["risk"].iloc[0] == pytest.approx(math.log(ratios), abs=1e-4)
    assert "value fundus" in found["reason"].iloc[1]
