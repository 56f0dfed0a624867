"""Learners compared: who is chosen by inner folds, and who by training values."""

from __future__ import annotations

import pandas as pd
import pytest

from radsupport.book.conclusions import modelling as modelling_comparison
from radsupport.evaluate import reruns as comparison
from radsupport.learning.signatures import run_signatures
from radsupport.plots import prediction as figures


@pytest.fixture(scope="module")
def compared(small, tmp_path_factory):
    from radsupport.tables import write_table

    path = tmp_path_factory.mktemp("learners")
    cohort = small.cohort()
    write_table(cohort, "cohort", path)
    write_table(small.features(cohort), "features_radiomics", path)
    modelling = {"compare_learners": ["Ridge", "LDA", "GBM", "NaiveBayes"], "compare_sources": ["radiomics"]}
    study = small.study([small.radiomics], modelling=modelling)
    run = comparison.compare_learners(study, path)
    return study, path, run, comparison.learner_table(run, study)


def test_table_is_that_of_the_run_best_inner_score_first(compared):
    _, _, run, table = compared
    assert table["inner_score"].is_monotonic_decreasing
    summary = run.summary.set_index("signature")
    for row in table.to_dict("records"):
        own = summary.loc[f"radiomics {row['learner']}"]
        assert row["inner_score"] == own["inner_score"]
        assert row["apparent"] == own["apparent"]
        assert row["out_of_fold"] == pytest.approx(own["out_of_fold"])
        assert row["ci_low"] < row["out_of_fold"] < row["ci_high"]
    assert table["external"].notna().all()
    assert set(table["source"]) == {"radiomics"}


def test_a_learner_alone_gives_the_same_row(compared, small):
    study, path, _, table = compared
    alone = comparison.compare_learners(study.model_copy(update={"modelling": study.modelling.model_copy(
        update={"compare_learners": ["GBM"]})}), path)  # fmt: skip
    row = comparison.learner_table(alone, study)
    pd.testing.assert_frame_equal(row, table[table["learner"] == "GBM"].reset_index(drop=True))


def test_choices_by_inner_folds_and_by_training_values(compared):
    *_, table = compared
    chosen = comparison.choices(table).set_index("rule")
    assert chosen.loc["inner cross-validation", "learner"] == table["learner"].iloc[0]
    training = chosen.loc["training value (the paper's rule)"]
    flexible = table.loc[table["apparent"].idxmax(), "learner"]
    assert training["learner"] == flexible != table["learner"].iloc[0]
    assert training["chosen_by"] == table["apparent"].max()
    words = modelling_comparison.choice_words(table)
    assert f"By the training value it would be **{flexible}**" in words
    same = modelling_comparison.choice_words(table.assign(apparent=table["inner_score"]))
    assert "belongs to the same learner" in same


def test_radar_has_a_spoke_per_learner_and_a_line_per_way_of_judging(compared):
    study, *_, table = compared
    radar = comparison.radar_table(table, study)
    assert set(radar["metric"]) == set(table["learner"])
    assert list(radar["learner"].unique()) == ["training (apparent)", "inner folds", "out of fold", "C"]
    lda = radar[(radar["metric"] == "LDA") & (radar["learner"] == "out of fold")]["value"].item()
    assert lda == table.loc[table["learner"] == "LDA", "out_of_fold"].item()
    limits = modelling_comparison.radar_limits(radar)
    assert limits["low"] <= radar["value"].min() <= 1
    assert figures.radar(radar, **limits).get_ylim()[0] == limits["low"]
    assert "Radar of 4 learners on radiomics" in modelling_comparison.radar_alt(radar, "radiomics")
    lacking = comparison.radar_table(table.assign(external=float("nan")), study)
    assert "C" not in set(lacking["learner"])


def test_survival_learners_are_compared_too(small, folder):
    modelling = {"compare_learners": ["CoxLasso", "GBCox"], "compare_sources": ["radiomics"]}
    base = {"name": "R", "sources": ["radiomics"], "learner": "CoxLasso"}
    study = small.study([base], "survival", modelling=modelling)
    path = folder()
    run = comparison.compare_learners(study, path)
    table = comparison.learner_table(run, study).set_index("learner")
    from radsupport.learning.signatures import assemble

    own = run_signatures(study, assemble(study, path)).summary
    assert table.loc["CoxLasso", "out_of_fold"] == pytest.approx(own["out_of_fold"].item())
