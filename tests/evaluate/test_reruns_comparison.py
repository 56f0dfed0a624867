"""Learners compared: who is chosen by inner folds, and who by training values."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from radsupport.book.conclusions import modelling as say
from radsupport.errors import InputError
from radsupport.evaluate import reruns
from radsupport.learning.signatures import run_signatures

LEARNERS = ["Ridge", "LDA", "GBM", "NaiveBayes"]


@pytest.fixture(scope="module")
def compared(small, tmp_path_factory):
    from radsupport.tables import write_table

    path = tmp_path_factory.mktemp("learners")
    cohort = small.cohort()
    write_table(cohort, "cohort", path)
    write_table(small.features(cohort), "features_radiomics", path)
    study = small.study([small.radiomics])
    assembly = small.assemble(study, path)
    protocol = small.protocol(study)
    run = run_signatures(
        assembly.changed(signatures=reruns.with_learners(study.signatures, ["radiomics"], LEARNERS)), **protocol
    )
    return assembly, protocol, run, reruns.learners(assembly, ["radiomics"], LEARNERS, **protocol)


def test_table_is_that_of_the_run_best_inner_score_first(compared):
    _, _, run, table = compared
    assert table["inner_score"].is_monotonic_decreasing
    summary = run.summary.set_index("signature")
    for row in table.to_dict("records"):
        own = summary.loc[f"radiomics {row['learner']}"]
        assert row["inner_score"] == own["inner_score"]
        rows = run.predictions.query(f"signature == 'radiomics {row['learner']}' and kind == 'apparent'")
        assert row["apparent"] == pytest.approx(roc_auc_score(rows["label"], rows["risk"]))
        assert row["out_of_fold"] == pytest.approx(own["out_of_fold"])
        assert row["out_of_fold_low"] < row["out_of_fold"] < row["out_of_fold_high"]
    assert table["external"].notna().all()
    assert set(table["source"]) == {"radiomics"}


def test_what_the_run_has_is_not_fitted_again(compared, monkeypatch):
    assembly, protocol, run, table = compared
    ran, fit = [], reruns.run_signatures
    monkeypatch.setattr(
        reruns, "run_signatures", lambda of, **how: ran.append([s.name for s in of.signatures]) or fit(of, **how)
    )
    known = replace(run, signatures=run.signatures[:-1])
    again = reruns.learners(assembly, ["radiomics"], LEARNERS, run=known, **protocol)
    pd.testing.assert_frame_equal(again, table)
    assert ran == [[f"radiomics {LEARNERS[-1]}"]]


def test_a_learner_alone_gives_the_same_row(compared):
    assembly, protocol, _, table = compared
    row = reruns.learners(assembly, ["radiomics"], ["GBM"], **protocol)
    pd.testing.assert_frame_equal(row, table[table["learner"] == "GBM"].reset_index(drop=True))
    assert (
        reruns.learners(assembly.changed(learners=None), [], ["GBM"], **protocol).attrs["empty"]
        == "No learners are compared."
    )


def test_learners_are_compared_on_the_signature_of_their_source(compared):
    signatures = compared[0].signatures
    tried = reruns.with_learners(signatures, ["radiomics"], ["LDA", "glmBoost"])
    assert [s.name for s in tried] == ["radiomics LDA", "radiomics glmBoost"]
    assert all(s.selection == signatures[0].selection for s in tried)
    with pytest.raises(InputError, match="No signature uses the source 'clinical' alone"):
        reruns.with_learners(signatures, ["clinical"], ["LDA"])


def test_choices_by_inner_folds_and_by_training_values(compared):
    *_, table = compared
    flexible = table.loc[table["apparent"].idxmax(), "learner"]
    assert flexible != table["learner"].iloc[0]
    words = say.learners(table)
    assert f"inner cross-validation chooses **{table['learner'].iloc[0]}**" in words
    assert f"By the training value it would be **{flexible}**" in words
    same = say.learners(table.assign(apparent=table["inner_score"]))
    assert "belongs to the same learner" in same


def test_survival_learners_are_compared_too(small, folder):
    study = small.study([{"name": "R", "sources": ["radiomics"], "learner": "CoxLasso"}], "survival")
    assembly = small.assemble(study, folder())
    table = reruns.learners(assembly, ["radiomics"], ["CoxLasso", "GBCox"], **small.protocol(study))
    own = small.run(study, assembly).summary
    assert table.set_index("learner").loc["CoxLasso", "out_of_fold"] == pytest.approx(own["out_of_fold"].item())
