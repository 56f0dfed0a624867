"""Signatures of a study: tables in, predictions that keep their contract out, and the controls."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import logit
from sklearn.metrics import roc_auc_score
from sksurv.metrics import concordance_index_censored

from radsupport.errors import ContractError, InputError, NotEstimableError
from radsupport.learning.assembly import LABEL, SURVIVAL, Assembly, fixed_folds, read_source, reader_table
from radsupport.learning.crossval import FoldTables
from radsupport.learning.signatures import first_fitted, heirs_of_published, published, run_signatures
from radsupport.learning.tuning import Combination, used_columns
from radsupport.settings.study import Study
from radsupport.stats.outcome import assign_folds
from radsupport.tables import validate_table

TRAIN, INTERNAL, EXTERNAL = 60, 20, 24


def _study(signatures, **modelling):
    return Study.model_validate(
        {
            "id": "test",
            "title": "t",
            "question": "q",
            "seed": 1,
            "data": {"kind": "real"},
            "endpoint": {
                "primary": modelling.pop("primary", "label"),
                "label": {"column": "label", "name": "n", "positive": "p", "negative": "n"},
                "survival": {"time": "time", "event": "event", "name": "os"},
            },
            "cohorts": {"train": {"name": "A", "centers": ["a", "b"]}, "external": {"name": "B", "centers": ["c"]}},
            "columns": {
                "age": {"source": "clinical", "kind": "number", "label": "Age"},
                "symptom": {"source": "clinical", "kind": "category", "label": "S", "levels": ["no", "yes"]},
                "shape": {"source": "ct_findings", "kind": "category", "label": "Shape", "levels": ["round", "lobed"]},
            },
            "signatures": signatures,
            "modelling": {"folds": 4, "inner_folds": 2, "grid": "coarse", **modelling},
        }
    )


def _cohort(seed=0):
    rng = np.random.default_rng(seed)
    n = TRAIN + INTERNAL + EXTERNAL + 3
    label = rng.permutation(np.arange(n) % 3 == 0).astype(float)
    cohort = pd.DataFrame(
        {
            "subject": [f"s{i:03d}" for i in range(n)],
            "center": np.where(np.arange(n) < TRAIN, np.where(np.arange(n) % 2, "a", "b"), "c"),
            "cohort": np.repeat(["train", "internal", "external", "segmentation"], [TRAIN, INTERNAL, EXTERNAL, 3]),
            "label": label,
            "time": rng.exponential(40 / (1 + 2 * label)) + 1,
            "event": (rng.random(n) < 0.6).astype(float),
            "age": rng.normal(60, 10, n),
            "symptom": rng.choice(["no", "yes"], n),
            "shape": np.where(rng.random(n) < 0.2 + 0.5 * label, "lobed", "round"),
        }
    )
    cohort.loc[cohort["cohort"] == "segmentation", ["label", "time", "event"]] = np.nan
    return cohort


def _features(cohort, effect=1.5, p=30, seed=1, stem="f"):
    rng = np.random.default_rng(seed)
    names = [f"{phase}__{stem}{i}" for phase in ("arterial", "venous") for i in range(p // 2)]
    X = pd.DataFrame(rng.normal(size=(len(cohort), p)), columns=names)
    X[[f"arterial__{stem}0", f"arterial__{stem}1"]] += effect * cohort["label"].fillna(0).to_numpy()[:, None]
    return X.assign(subject=cohort["subject"].to_numpy())


RADIOMICS = {"name": "Radiomics-A", "sources": ["radiomics"], "phases": ["arterial"], "selection": {"test": "t"},
             "learner": "Ridge"}  # fmt: skip
DEEP = {"name": "Deep", "sources": ["deep"], "selection": {"test": "t"}, "learner": "Ridge"}


def _assembly(study, cohort, **options):
    tables = {"radiomics": _features(cohort), "deep": _features(cohort, 0.0, seed=2, stem="deep_")}
    tables |= options.pop("tables", {})
    outcome = LABEL if study.endpoint.primary == "label" else SURVIVAL
    return Assembly(study.signatures, tables, cohort, study.columns, outcome, study.modelling.grid, **options)


def _run(study, assembly, names=None, folds=None):
    modelling = study.modelling
    given = {"inner_folds": modelling.inner_folds, "repeats": modelling.repeats, "external": modelling.external}
    return run_signatures(assembly, names, folds=modelling.folds if folds is None else folds, seed=study.seed, **given)


@pytest.fixture(scope="module")
def run():
    cohort = _cohort()
    cohort.loc[70:73, "symptom"] = None
    study = _study([RADIOMICS, DEEP, {"name": "CT", "sources": ["ct_findings", "clinical"], "learner": "Ridge"}])
    features = _features(cohort)
    features.iloc[[5, 90], :-1] = np.nan
    return study, cohort, _run(study, _assembly(study, cohort, tables={"radiomics": features}))


def test_predictions_keep_their_contract(run):
    _, cohort, result = run
    rows = validate_table(result.predictions, "predictions")
    counts = rows.groupby(["signature", "kind"]).size()
    for name, lost in (("Radiomics-A", 1), ("Deep", 0), ("CT", 0)):
        assert counts[name, "out_of_fold"] == counts[name, "apparent"] == TRAIN - lost
        assert counts[name, "external"] == INTERNAL + EXTERNAL - lost
    known = cohort.set_index("subject")
    assert (rows["label"].to_numpy() == known.loc[rows["subject"], "label"].to_numpy()).all()
    assert set(rows.loc[rows["kind"] == "external", "cohort"]) == {"internal", "external"}
    assert sorted(rows.loc[rows["kind"] == "out_of_fold", "fold"].unique()) == [0, 1, 2, 3]
    assert rows.loc[rows["kind"] != "out_of_fold", "fold"].isna().all()


def test_failed_cases_are_listed(run):
    *_, result = run
    assert result.excluded[["subject", "cohort", "signature", "reason"]].to_numpy().tolist() == [
        ["s005", "train", "Radiomics-A", "no radiomics features"],
        ["s090", "external", "Radiomics-A", "no radiomics features"],
    ]


def test_summary_funnel_stability_and_tuning(run):
    *_, result = run
    summary = result.summary.set_index("signature")
    assert summary.loc["Radiomics-A", "out_of_fold"] > 0.75
    assert summary.loc["Deep", "out_of_fold"] < summary.loc["Radiomics-A", "out_of_fold"]
    apparent = result.predictions.query("signature == 'Deep' and kind == 'apparent'")
    assert roc_auc_score(apparent["label"], apparent["risk"]) > summary.loc["Deep", "out_of_fold"]
    assert summary["n"].tolist() == [TRAIN - 1, TRAIN, TRAIN]
    funnel = result.funnel[(result.funnel["signature"] == "Radiomics-A") & result.funnel["fold"].isna()]
    assert funnel["step"].tolist() == ["imputation", "variance", "univariate"]
    assert funnel["n_in"].tolist() == [15, 15, 15]
    ridge = result.tuning[(result.tuning["signature"] == "Deep") & (result.tuning["fold"] == 0)]
    assert ridge["chosen"].sum() == 1
    assert ridge.loc[ridge["chosen"], "inner_score"].item() == ridge["inner_score"].max()


def test_phases_choose_the_columns():
    cohort = _cohort()
    study = _study([RADIOMICS, {**RADIOMICS, "name": "both", "phases": []}])
    assembly = _assembly(study, cohort)
    assert all(name.startswith("arterial__") for name in assembly.part_columns("Radiomics-A"))
    assert len(assembly.part_columns("both")) == 30
    missing = _study([{**RADIOMICS, "phases": ["delayed"]}])
    with pytest.raises(InputError, match="no column for"):
        _assembly(missing, cohort).table("Radiomics-A")


def test_combination_of_signatures_and_clinical_columns():
    cohort = _cohort()
    study = _study([RADIOMICS, DEEP, {"name": "all", "combines": ["Radiomics-A", "Deep"], "columns": ["age", "symptom"],
                                      "learner": "Logistic"}])  # fmt: skip
    assembly = _assembly(study, cohort)
    result = _run(study, assembly, ["Radiomics-A", "all"])
    model = result.results["all"].refit
    assert isinstance(model, Combination)
    assert [f.split("=")[0] for f in model.features_] == ["Radiomics-A", "Deep", "age", "symptom"]
    # The refit's part is the signature itself, and the combination a function of its parts.
    table = assembly.table("all").loc[cohort["subject"][:TRAIN]]
    parts = model.part_risks(table)
    assert parts["Radiomics-A"].to_numpy() == pytest.approx(result.results["Radiomics-A"].apparent.to_numpy())
    meta = pd.DataFrame({n: logit(parts[n]) for n in parts}).join(table[["age", "symptom"]])
    assert model.meta_.risk(meta) == pytest.approx(model.risk(table))
    assert result.summary["out_of_fold"].min() > 0.7


def test_published_risk_is_taken_as_it_is():
    cohort = _cohort()
    rng = np.random.default_rng(0)
    given = pd.DataFrame({"subject": cohort["subject"], "ct__CNN": rng.random(len(cohort)), "ct__other": 0.5})
    study = _study([{"name": "CNN", "sources": ["deep_published"], "learner": "published"}])
    assembly = _assembly(study, cohort, tables={"deep_published": given})
    rows = _run(study, assembly).predictions
    expected = given.set_index("subject")["ct__CNN"]
    assert rows["risk"].to_numpy() == pytest.approx(expected[rows["subject"]].to_numpy())


def test_reproducibility_is_taken_from_the_icc_table():
    cohort = _cohort()
    study = _study([{**RADIOMICS, "selection": {"icc": True}}])
    icc = pd.Series({f"arterial__f{i}": 0.9 if i < 4 else 0.5 for i in range(15)})
    result = _run(study, _assembly(study, cohort, icc={"radiomics": icc}, icc_threshold=0.8))
    models = [*result.results["Radiomics-A"].models[0].values(), result.results["Radiomics-A"].refit]
    assert all(set(model.features_) == {f"arterial__f{i}" for i in range(4)} for model in models)
    with pytest.raises(InputError, match="no ICC table of radiomics"):
        _run(study, _assembly(study, cohort))


def test_harmonisation_is_learnt_on_training_centers_and_its_rule_for_others_is_stated():
    cohort = _cohort()
    study = _study([{**RADIOMICS, "harmonise": True}])
    features = _features(cohort)
    numeric = features.columns.drop("subject")
    features.loc[cohort["center"] == "b", numeric] += 50
    with pytest.raises(InputError, match="unseen center"):
        _run(study, _assembly(study, cohort, tables={"radiomics": features}))
    result = _run(study, _assembly(study, cohort, tables={"radiomics": features}, unseen_center="pooled"))
    plain = _run(_study([RADIOMICS]), _assembly(_study([RADIOMICS]), cohort, tables={"radiomics": features}))
    assert result.summary["out_of_fold"].item() > plain.summary["out_of_fold"].item() + 0.1
    one_center = cohort.assign(center=cohort["center"].replace("b", "a"))
    with pytest.raises(NotEstimableError, match="two or more centers"):
        _run(study, _assembly(study, one_center))


def test_features_learnt_per_fold_go_through_a_combination():
    cohort = _cohort()
    train = cohort[cohort["cohort"] == "train"].set_index("subject")
    folds = assign_folds(train["label"], 4, 0)
    deep = _features(cohort, 0.0, seed=2, stem="deep_")
    tables = FoldTables({k: deep.assign(arterial__deep_0=1.0 * k) for k in range(4)}, deep)
    study = _study([RADIOMICS, DEEP, {"name": "both", "combines": ["Radiomics-A", "Deep"], "learner": "Logistic"}])
    assembly = _assembly(study, cohort, tables={"deep": tables})
    run = _run(study, assembly, ["both"], folds=folds)
    dropped = [dict(m.parts_[1][2].pipeline_.steps)["variance"].counts_["reasons"].item() for m in
               (*run.results["both"].models[0].values(), run.results["both"].refit)]  # fmt: skip
    assert dropped == ["1 constant"] * 4 + [""]
    validate_table(run.predictions, "predictions")


def test_survival_endpoint():
    cohort = _cohort()
    study = _study([{**RADIOMICS, "learner": "Cox", "selection": {}, "phases": ["venous"]},
                    {"name": "clinic", "columns": ["age", "shape"], "learner": "Cox"},
                    {"name": "both", "combines": ["Radiomics-A", "clinic"], "learner": "Cox"}],
                   primary="survival")  # fmt: skip
    result = _run(study, _assembly(study, cohort))
    validate_table(result.predictions, "predictions")
    for name, rows in result.predictions[result.predictions["kind"] == "apparent"].groupby("signature"):
        assert 0.5 < concordance_index_censored(rows["event"] == 1, rows["time"], rows["risk"])[0] < 1, name
    assert result.summary["events"].tolist() == [int(cohort["event"][:TRAIN].sum())] * 3


def test_subjects_without_the_outcome_are_left_out_of_training_only():
    cohort = _cohort()
    cohort.loc[[3, 70], "label"] = np.nan
    study = _study([RADIOMICS])
    assembly = _assembly(study, cohort)
    _, outcome, failed = assembly.training("Radiomics-A")
    assert len(outcome) == TRAIN - 1
    assert failed[["subject", "reason"]].to_numpy().tolist() == [["s003", "no outcome"]]
    rows = _run(study, assembly).predictions
    assert "s070" in set(rows.loc[rows["kind"] == "external", "subject"])


def test_steps_that_signatures_share_are_a_matter_of_speed_only():
    cohort = _cohort()
    study = _study([{**RADIOMICS, "name": name, "learner": name} for name in ("LDA", "glmBoost")])
    assembly = _assembly(study, cohort)
    summary = _run(study, assembly).summary
    assert summary["signature"].tolist() == ["LDA", "glmBoost"]
    alone = pd.concat([_run(study, assembly, [s.name]).summary for s in study.signatures], ignore_index=True)
    pd.testing.assert_frame_equal(summary, alone)


def test_no_planted_effect_no_finding():
    cohort = _cohort()
    study = _study([RADIOMICS])
    scores = []
    for seed in range(5):
        assembly = _assembly(study, cohort, tables={"radiomics": _features(cohort, 0.0, 400, seed)})
        result = _run(study, assembly)
        external = result.predictions[result.predictions["kind"] == "external"]
        one, zero = (external.loc[external["label"] == k, "risk"].to_numpy() for k in (1, 0))
        scores.append((result.summary["out_of_fold"].item(), np.mean(one[:, None] > zero)))
    assert np.mean(scores, axis=0) == pytest.approx([0.5, 0.5], abs=0.12)


def test_clinical_columns_are_typed_as_the_study_says():
    cohort = _cohort()
    study = _study([RADIOMICS])
    table = reader_table(cohort.assign(age=cohort["age"].astype(str)), study.columns, "clinical")
    assert table.dtypes.astype(str).tolist() == ["float64", "object"]
    with pytest.raises(InputError, match=r"(?s)column age.*not a number.*column shape.*lacks"):
        reader_table(cohort.assign(age="old").drop(columns="shape"), study.columns)
    with pytest.raises(InputError, match="no signature 'X'"):
        _assembly(study, cohort).table("X")
    with pytest.raises(InputError, match="needs the feature source 'deep_published'"):
        _assembly(_study([{"name": "CNN", "sources": ["deep_published"]}]), cohort).table("CNN")
    both = _study([{**RADIOMICS, "sources": ["radiomics", "deep"]}])
    with pytest.raises(InputError, match="deep and radiomics share 30 column names: arterial__f0"):
        _assembly(both, cohort, tables={"deep": _features(cohort)}).table("Radiomics-A")


def test_published_outputs_are_told_from_networks_of_this_build():
    given = {"name": "CNN", "sources": ["deep"], "learner": "published"}
    own = {"name": "Own", "sources": ["deep"], "learner": "Network"}
    assert published(_study([RADIOMICS, given, own]).signatures) == ["CNN"]


def test_what_learns_from_a_published_output_inherits_its_doubt():
    given = {"name": "CNN", "sources": ["deep"], "learner": "published"}
    both = {"name": "Both", "combines": ["Radiomics-A", "CNN"], "learner": "Logistic"}
    more = {"name": "More", "combines": ["Both", "Deep"], "learner": "Logistic"}
    assert heirs_of_published(_study([more, both, given, RADIOMICS, DEEP]).signatures) == ["More", "Both"]


def test_the_best_that_is_fitted():
    given = {"name": "CNN", "sources": ["deep"], "learner": "published"}
    both = {"name": "Both", "combines": ["CNN", "Radiomics-A"], "learner": "Logistic"}
    signatures = _study([given, RADIOMICS, both]).signatures
    assert first_fitted(signatures, "CNN") == "Radiomics-A"
    assert first_fitted(signatures, "Both") == "Both"
    assert first_fitted(signatures[:1]) == "CNN"


def test_tables_and_iccs_are_read_as_the_signatures_use_them(small, folder):
    path = folder()
    assert fixed_folds(path, 4) == 4
    pd.DataFrame({"subject": ["001", "002"], "fold": [0, 1]}).to_csv(path / "folds.csv", index=False)
    assert fixed_folds(path, 4).to_dict() == {"001": 0, "002": 1}
    other = small.features(small.cohort()).rename(columns={"ct__f0": "ct__renamed"})
    folder(small.cohort(), radiomics_other=other)
    assert "ct__renamed" in read_source(path, "radiomics", "radiomics_other")[0]
    pd.DataFrame({"feature": ["ct__f1"], "icc": [0.9]}).to_csv(path / "icc_radiomics.csv", index=False)
    assert small.assemble(small.study([small.radiomics]), path).icc["radiomics"].to_dict() == {"ct__f1": 0.9}
    pd.DataFrame({"feature": ["ct__f1"], "icc": [0.1]}).to_csv(path / "icc_radiomics_other.csv", index=False)
    assert read_source(path, "radiomics", "radiomics_other")[1].to_dict() == {"ct__f1": 0.1}
    deep = {"name": "D", "sources": ["deep"]}
    with pytest.raises(ContractError, match=r"no features_deep\.parquet"):
        small.assemble(small.study([small.radiomics, deep]), path)


def test_a_center_without_what_a_model_looks_at_is_not_scored(small: SimpleNamespace, folder: Any) -> None:
    cohort, study = small.cohort(), small.study([small.radiomics, small.clinical, small.both])
    features = small.features(cohort)
    whole = small.run(study, small.assemble(study, folder(cohort, radiomics=features)))
    used = [name for name in features if name in used_columns(whole.results["Radiomics"].refit)]
    idle = next(name for name in features if name != "subject" and not any(
        name in used_columns(model) for model in whole.results["Radiomics"].models[0].values()))  # fmt: skip
    elsewhere = (cohort["cohort"] == "external").to_numpy()
    for column, lost in ((used[0], True), (idle, False)):
        gap = features.copy()
        gap.loc[elsewhere, column] = np.nan
        run = small.run(study, small.assemble(study, folder(cohort, radiomics=gap)))
        of = run.predictions.set_index(["signature", "kind"]).sort_index()
        for name in ("Radiomics", "Clinical", "Both"):
            before = whole.predictions[(whole.predictions["signature"] == name)]
            inside = before[before["kind"] == "out_of_fold"]["risk"].to_numpy()
            np.testing.assert_array_equal(of.loc[(name, "out_of_fold"), "risk"], inside)  # training is untouched
            assert ((name, "external") in of.index) == (not lost or name == "Clinical")
        reasons = set(run.excluded["reason"])
        assert reasons == ({f"it wants {column}, which c does not have"} if lost else set())
