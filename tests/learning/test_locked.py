"""Locked models: the same numbers as the run they were made of, and what is said of input that does not fit."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression

from radsupport.errors import InputError
from radsupport.evaluate.predictions import judged
from radsupport.evaluate.probability import lock
from radsupport.evaluate.thresholds import threshold
from radsupport.learning.assembly import Assembly
from radsupport.learning.crossval import FoldTables
from radsupport.learning.locked import LEARNERS, Model, read_model, write_model
from radsupport.learning.signatures import run_signatures

HARMONISED = {"name": "ComBat", "sources": ["radiomics"], "harmonise": True, "learner": "Ridge"}


def written(folder: Path, run: Any, assembly: Any, external: str = "refit") -> Model:
    """Write a run as chapter 05 does."""
    rows = judged(run.predictions, assembly.outcome)
    locked = {name: one.plain for name, one in lock(rows, assembly.outcome).items()}
    cut = threshold(rows, "median", assembly.outcome)
    return write_model(
        folder, run, assembly, external=external, thresholds=cut, group_thresholds=cut.head(0), probabilities=locked,
        horizons=[12.0, 24.0],
    )  # fmt: skip


def columns_of(assembly: Any) -> pd.DataFrame:
    """Return every column that a patient of the assembly has."""
    return assembly.cohort.drop(columns="cohort").join(assembly.sources["radiomics"])


def same_as_run(model: Model, run: Any, assembly: Any) -> pd.DataFrame:
    """Require the external risks of the run; return the predictions."""
    found = model.predict(columns_of(assembly))
    wanted = run.predictions[run.predictions["kind"] == "external"]
    both = wanted.merge(found, on=["subject", "signature"], suffixes=("_book", ""))
    assert len(both) == len(wanted) > 0
    np.testing.assert_allclose(both["risk"], both["risk_book"], rtol=0, atol=1e-12)
    return found


@pytest.mark.parametrize("external", ["refit", "mean_of_folds"])
def test_a_locked_model_predicts_what_the_run_predicted(
    finished: SimpleNamespace, tmp_path: Path, external: str
) -> None:
    run = finished.run
    if external == "mean_of_folds":
        run = SimpleNamespace(**vars(run))
    model = written(tmp_path, run, finished.assembly, external)
    by_run = finished.study.modelling.external
    found = model.predict(columns_of(finished.assembly))
    assert (found["reason"] == "").all()
    if external == by_run:
        same_as_run(model, run, finished.assembly)
    for name, result in run.results.items():
        own = found[found["signature"] == name].set_index("subject")["risk"]
        elsewhere = finished.assembly.cohort.index[finished.assembly.cohort["cohort"] == "external"]
        table = finished.assembly.table(name).loc[elsewhere]
        np.testing.assert_allclose(own[elsewhere], result.external_risk(table, external), rtol=0, atol=1e-12)


@pytest.mark.parametrize("primary", ["label", "survival"])
def test_every_learner_comes_back_from_its_file_with_the_same_risks(small: Any, folder: Any, primary: str) -> None:
    names = {
        "label": ("GBM", "SVM", "XGBoost", "NaiveBayes", "glmBoost", "LDA", "Boost", "Forest"),
        "survival": ("Cox", "CoxRidge", "RSF", "GBCox", "BoostCox"),
    }[primary]
    signatures = [{"name": name, "sources": ["radiomics"], "features": "__f[0-2]$", "learner": name} for name in names]
    signatures.append({"name": "Mean", "combines": list(names[:2]), "learner": "Mean"})
    signatures.append({"name": "Best", "combines": [names[0], "Mean"], "learner": "Best"})
    study = small.study(
        [*signatures, HARMONISED] if primary == "label" else signatures, primary, modelling={"folds": 2}
    )
    results = folder()
    assembly = small.assemble(study, results, unseen_center="pooled")
    assembly = assembly.changed(pooling="standardised")  # by which no risk of a new patient changes
    run = small.run(study, assembly, external="refit")
    model = written(results / "model", run, assembly)
    found = same_as_run(model, run, assembly)
    assert not model.left_out
    rows = judged(run.predictions, assembly.outcome)
    times = None if primary == "label" else [12.0, 24.0]
    own = ["probability"] if times is None else ["by_12", "by_24"]
    for name, one in lock(rows, assembly.outcome).items():
        part = found[found["signature"] == name]
        wanted = one.whole.probability(part["risk"], times)
        np.testing.assert_allclose(part[own].to_numpy(float).ravel(), np.ravel(wanted), rtol=0, atol=1e-12)
    high = found["risk"] > found["threshold"]
    assert (found["high"] == high).all()


def test_what_lies_outside_or_is_missing_is_said_for_each_patient(finished: SimpleNamespace, tmp_path: Path) -> None:
    model = written(tmp_path, finished.run, finished.assembly)
    table = columns_of(finished.assembly).head(4).copy()
    table.loc["s000", "age"], table.loc["s001", "age"] = 200.0, np.nan
    table.loc["s002", [c for c in table if c.startswith("ct__")]] = np.nan
    found = model.predict(table, {("s003", ""): "no image"}).set_index(["signature", "subject"])
    train = finished.assembly.cohort.query("cohort == 'train'")["age"]
    assert found.loc[("Clinical", "s000"), "outside"].startswith("age 200 (training: ")
    assert f"{train.max():.3g}" in found.loc[("Clinical", "s000"), "outside"]
    assert found.loc[("Clinical", "s001"), "filled"] == "age"
    assert found.loc[("Radiomics", "s002"), "reason"] == "no radiomics features"
    assert found.loc[("Clinical", "s002"), "reason"] == ""
    assert (found.xs("s003", level="subject")["reason"] == "no image").all()
    assert found.loc[("Radiomics", "s002"), "high"] is pd.NA
    without = model.predict(table.drop(columns="age"))
    assert without.loc[without["signature"] == "Clinical", "reason"].eq("the table has no column age").all()
    assert without.loc[without["signature"] == "Radiomics", "reason"].iloc[0] == ""


def test_an_own_learner_that_only_code_could_read_is_left_out_with_its_reason(small: Any, folder: Any) -> None:
    class Mine(LogisticRegression):
        pass

    own = {"name": "Own", "sources": ["radiomics"], "features": "__f[0-3]$", "learner": "Mine"}
    study, results = small.study([own, small.clinical]), folder()
    assembly = small.assemble(study, results, learners={"Mine": Mine()})
    model = written(results / "model", small.run(study, assembly), assembly)
    assert list(model.signatures) == ["Clinical"]
    assert "Mine" in model.left_out["Own"]


def test_a_printed_formula_is_a_model(tmp_path: Path) -> None:
    term = {"column": "size", "coef": 0.5}
    path = tmp_path / "printed.json"
    path.write_text(json.dumps({"signatures": {"Score": {"members": [
        {"terms": [term, {"column": "sex", "level": "M", "fill": "F", "coef": 1}], "intercept": -2, "link": "logit"}
    ], "threshold": 0.5}}}))  # fmt: skip
    found = read_model(path).predict(pd.DataFrame({"size": [2.0, np.nan], "sex": ["M", "F"]}, ["a", "b"]))
    assert found["risk"].iloc[0] == pytest.approx(0.5)  # -2 + 0.5 * 2 + 1 = 0
    assert found["reason"].tolist() == ["", "no value of size"]


def test_a_file_that_is_no_model_names_every_fault(tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    path.write_text('{"signatures": {"A": {"members": [{"terms": [{"column": "x", "coeff": 1, "sd": 0}]}]}}}')
    with pytest.raises(InputError) as error:
        read_model(tmp_path)
    for said in ("`coef`", "sd", str(path)):
        assert said in str(error.value)
    path.write_text("{")
    with pytest.raises(InputError, match="no JSON"):
        read_model(path)
    with pytest.raises(InputError, match="no such file"):
        read_model(tmp_path / "elsewhere")


def test_a_file_of_learners_runs_no_code_of_other_types(finished: SimpleNamespace, tmp_path: Path) -> None:
    class Stranger:
        pass

    model = {"signatures": {"A": {"members": [{"terms": [{"column": "x"}], "learner": "l"}]}}}
    (tmp_path / "model.json").write_text(json.dumps(model))
    skops.io.dump({"l": Stranger()}, tmp_path / LEARNERS)
    with pytest.raises(InputError, match="Stranger"):
        read_model(tmp_path)
    (tmp_path / LEARNERS).unlink()
    with pytest.raises(InputError, match="copy the whole folder"):
        read_model(tmp_path)


@pytest.mark.parametrize("external", ["refit", "mean_of_folds"])
def test_features_learnt_per_fold_have_a_column_each(small: Any, tmp_path: Path, external: str) -> None:
    cohort = small.cohort()
    features, rng = small.features(cohort, p=3).set_index("subject"), np.random.default_rng(0)
    by_fold = {k: features + rng.normal(0, 0.1, features.shape) for k in range(3)}
    fold = pd.Series(np.arange(small.train) % 3, index=cohort["subject"][: small.train])
    both = {"name": "Both", "combines": ["Deep"], "columns": ["age", "symptom"], "learner": "Logistic"}
    study = small.study([{"name": "Deep", "sources": ["deep"], "learner": "Logistic"}, both])
    assembly = Assembly(study.signatures, {"deep": FoldTables(by_fold, features)}, cohort, study.columns, folds=fold)
    run = run_signatures(assembly, folds=fold, inner_folds=2, external=external, seed=1)
    model = written(tmp_path, run, assembly, external)
    learnt = [table.add_suffix(f"@{k}") for k, table in by_fold.items()]
    found = model.predict(pd.concat([cohort.set_index("subject"), features, *learnt], axis=1))
    wanted = run.predictions[run.predictions["kind"] == "external"].merge(found, on=["subject", "signature"])
    np.testing.assert_allclose(wanted["risk_x"], wanted["risk_y"], rtol=0, atol=1e-12)
