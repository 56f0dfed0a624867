"""The tables and sentences of the modelling page say what the run holds."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from radsupport.book.conclusions import modelling as modelling_summaries
from radsupport.book.conclusions.modelling import HEADERS
from radsupport.evaluate import cross_validation as summaries
from radsupport.evaluate.discrimination import discrimination_table
from radsupport.learning.learners import selection_words
from radsupport.learning.signatures import assemble, fixed_folds, jobs, run_signatures, sources_of
from radsupport.settings.learning import Signature


def test_signatures_in_words(finished):
    table = summaries.signature_table(finished.study).set_index("signature")
    assert table.loc["Radiomics", "selection"] == "Welch's t test, P < 0.05; |r| at most 0.95"
    assert table.loc["Both", "inputs"] == "Radiomics, Clinical"
    assert table.loc["Clinical", "inputs"] == "Age, Symptom"
    assert table.loc["Both", "learner"] == "logistic regression"
    assert "description" not in table
    full = {"icc": True, "test": "shapiro", "adjust": "bh", "lasso": True, "lasso_rule": "lambda_1se"}
    words = selection_words(Signature(name="x", sources=["deep"], selection=full, harmonise=True))
    assert words == (
        "centers harmonised (ComBat); two readers agree; t or Mann–Whitney test (by Shapiro–Wilk), P < 0.05, "
        "Benjamini–Hochberg; LASSO, one-standard-error rule"
    )
    assert "nothing is fitted" in selection_words(Signature(name="x", sources=["deep"], learner="Network"))


def test_cross_validation_table_has_optimism_and_leaves_given_risks_out(finished, small, folder):
    scores = discrimination_table(finished.run.predictions, finished.study)
    table = summaries.cross_validation_table(finished.run, scores, finished.study).set_index("signature")
    mean = finished.run.by_repeat.groupby("signature")["score"].agg(["mean", "min", "max"]).loc[table.index]
    assert table["divisions_mean"].to_numpy() == pytest.approx(mean["mean"])
    assert table["optimism"].to_numpy() == pytest.approx(table["apparent"] - mean["mean"])
    ends = [f"{low:.3f}–{high:.3f}" for low, high in zip(mean["min"], mean["max"], strict=True)]
    assert table["divisions_range"].tolist() == ends
    assert "kind" not in table
    row = table.loc["Radiomics"]
    z = (row["out_of_fold"] - 0.5) / np.sqrt((row["n"] + 1) / (12 * row["events"] * (row["n"] - row["events"])))
    assert row["p_null_se"] == pytest.approx(2 * stats.norm.sf(abs(z)))
    summary = finished.run.summary.set_index("signature")
    assert table["out_of_fold"].to_dict() == pytest.approx(summary["out_of_fold"].to_dict())
    assert table["inner_score"].to_dict() == summary["inner_score"].to_dict()
    assert set(table.columns) <= set(HEADERS)
    words = modelling_summaries.optimism_words(table.reset_index())
    assert words.startswith(f"The interval lies above 0.5 for {(table['ci_low'] > 0.5).sum()} of 3 fitted signatures")
    cohort = small.cohort()
    given = pd.DataFrame({"subject": cohort["subject"], "ct__risk": np.linspace(0, 1, len(cohort))})
    study = small.study([{"name": "CNN", "sources": ["deep_published"], "learner": "published"}])
    run = run_signatures(study, assemble(study, folder(cohort, deep_published=given)))
    alone = summaries.cross_validation_table(run, discrimination_table(run.predictions, study), study)
    assert alone[["inner_score", "apparent", "optimism"]].isna().all(axis=None)
    assert alone["kind"].tolist() == ["published output; not fitted here"]
    assert not {"divisions_mean", "divisions_range"} & set(alone)
    assert "Nothing was fitted" in modelling_summaries.optimism_words(alone)
    assert modelling_summaries.funnel_parts(run) == []
    assert summaries.funnel_table(run).empty


def test_what_learns_from_a_published_output_inherits_its_doubt(small):
    given = {"name": "CNN", "sources": ["deep_published"], "learner": "published"}
    both = {"name": "Both", "combines": ["Clinical", "CNN"], "learner": "Logistic"}
    more = {"name": "More", "combines": ["Both", "Radiomics"], "learner": "Logistic"}
    study = small.study([more, both, given, small.clinical, small.radiomics])
    assert summaries.heirs_of_published(study) == ["More", "Both"]
    words = modelling_summaries.published_words(study)
    assert words.startswith("Published output: **CNN**.")
    assert "may be among the training patients of this page" in words
    assert words.endswith("inherits this: **More** and **Both**.")
    assert modelling_summaries.published_note(study).startswith(" CNN: published output, not fitted here")
    assert modelling_summaries.published_words(small.study([small.clinical])) == ""
    assert modelling_summaries.published_note(small.study([small.clinical])) == ""


def test_funnel_counts_of_folds_and_refit(finished):
    table = summaries.funnel_table(finished.run)
    own = table[table["signature"] == "Radiomics"].set_index("step")
    model = finished.run.results["Radiomics"].refit
    assert own.loc["not redundant", "refit"] == len(model.features_)
    assert own.loc["univariate test", "features_in"] == 24
    assert (table["features_left"] == table["features_left"].round()).all()
    assert own.loc["univariate test", "fewest"] <= own.loc["univariate test", "features_left"]
    parts = {title: panel for title, panel, _ in modelling_summaries.funnel_parts(finished.run)}
    assert list(parts) == ["Radiomics"]
    assert parts["Radiomics"]["step"].tolist() == ["given", "univariate test", "not redundant"]
    assert parts["Radiomics"]["n_features"].iloc[-1] == len(model.features_)


def test_counts_are_published(finished):
    told = {}
    chapter = SimpleNamespace(publish=lambda key, value, **more: told.update({key: (value, more)}))
    modelling_summaries.publish_counts(chapter, finished.run)
    value, more = told["features_Radiomics"]
    assert value.startswith("24 → ")
    assert value.endswith(f"→ {len(finished.run.results['Radiomics'].refit.features_)}")
    assert more == {"n": 60}


def test_gaps_in_single_columns_are_stated(small):
    cohort, study = small.cohort(), small.study([small.clinical])
    words = modelling_summaries.missing_words(study, cohort)
    assert words == "- Symptom is missing for 4 of 24 in C: filled with the most frequent level of the training part."
    assert "No column" in modelling_summaries.missing_words(study, cohort.assign(symptom="no"))
    older = modelling_summaries.missing_words(
        study, cohort.assign(symptom="no", age=cohort["age"].where(cohort.index > 0))
    )
    assert "Age is missing for 1 of 60 in A: filled with the median" in older


def test_patients_without_a_prediction_are_stated(finished):
    assert modelling_summaries.excluded_words(finished.run) == "Every patient has a prediction by every signature."
    rows = pd.DataFrame({"subject": ["a", "b"], "cohort": "train", "signature": "R", "reason": "no radiomics features"})
    words = modelling_summaries.excluded_words(SimpleNamespace(excluded=rows))
    assert words == "- **R**: 2 patients without a prediction (no radiomics features)"


def test_roc_panels_follow_the_comparisons(finished):
    parts = modelling_summaries.roc_parts(finished.run.predictions, finished.study)
    assert [title for title, _, _ in parts] == ["All signatures"]
    comparisons = [{"name": "two", "signatures": ["Radiomics", "Both"]}]
    study = finished.study.model_copy(update={"validation": finished.study.validation.model_copy(
        update={"comparisons": [SimpleNamespace(**c) for c in comparisons]})})  # fmt: skip
    parts = modelling_summaries.roc_parts(finished.run.predictions, study)
    assert {title: set(table["signature"]) for title, table, _ in parts} == {
        "two": {"Radiomics", "Both"},
        "Others": {"Clinical"},
    }


def test_opening_reads_what_the_signatures_use(finished, small, folder, monkeypatch):
    assert sources_of(finished.study.signatures) == ["radiomics"]
    path = folder()
    assert fixed_folds(path) is None
    pd.DataFrame({"subject": ["001", "002"], "fold": [0, 1]}).to_csv(path / "folds.csv", index=False)
    assert fixed_folds(path).to_dict() == {"001": 0, "002": 1}
    other = small.features(small.cohort()).rename(columns={"ct__f0": "ct__renamed"})
    folder(small.cohort(), radiomics_other=other)
    assembly = assemble(small.study([small.radiomics]), path, stems={"radiomics": "radiomics_other"})
    assert "ct__renamed" in assembly.part_columns("Radiomics")
    pd.DataFrame({"feature": ["ct__f1"], "icc": [0.9]}).to_csv(path / "icc_radiomics.csv", index=False)
    assert assemble(small.study([small.radiomics]), path).icc["radiomics"].to_dict() == {"ct__f1": 0.9}
    pd.DataFrame({"feature": ["ct__f1"], "icc": [0.1]}).to_csv(path / "icc_radiomics_other.csv", index=False)
    changed = assemble(small.study([small.radiomics]), path, stems={"radiomics": "radiomics_other"})
    assert changed.icc["radiomics"].to_dict() == {"ct__f1": 0.1}
    monkeypatch.setenv("RADSUPPORT_JOBS", "3")
    assert jobs() == 3
