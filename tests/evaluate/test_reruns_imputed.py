"""Signatures with gaps: the mean of the draws' risks is judged beside the single value, on the same patients."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from radsupport.book.conclusions import modelling as say
from radsupport.evaluate import reruns
from radsupport.learning.imputation import ChainedImputer
from radsupport.learning.signatures import run_signatures


def test_the_mean_log_odds_of_the_draws_is_judged_beside_the_single_value(small, folder):
    cohort = small.cohort()
    study, path = small.study([small.radiomics, small.clinical]), folder(cohort)
    rng = np.random.default_rng(0)
    whole = cohort.assign(symptom=cohort["symptom"].fillna(cohort["symptom"].mode().iloc[0]))
    holed = whole.assign(age=whole["age"].mask(rng.random(len(cohort)) < 0.3))
    assembly = small.assemble(study, path).changed(cohort=holed)
    protocol = small.protocol(study)
    once = run_signatures(assembly, **protocol).predictions
    found = reruns.variants(path, assembly, once, imputations=2, **protocol)
    assert found["signature"].unique().tolist() == ["Clinical"]  # radiomics has no gap
    assert found["group"].unique().tolist() == [reruns.GAPS]
    assert found["variant"].tolist() == [reruns.AS_CHOSEN, reruns.SEVERAL]
    own, several = (row for _, row in found.iterrows())
    assert (
        several["description"]
        == f"{holed['age'].isna().sum()} values of {study.columns['age'].label} by chained equations, 2 times"
    )
    one = assembly.changed(signatures=[assembly.by_name["Clinical"]])
    draws = [run_signatures(one.changed(imputer=ChainedImputer(draw=k)), **protocol).predictions for k in range(2)]
    mean = expit((logit(draws[0]["risk"]) + logit(draws[1]["risk"])) / 2)
    expected = reruns._row(draws[0].assign(risk=mean), assembly)
    assert several["out_of_fold"] == pytest.approx(expected["out_of_fold"])
    assert several["external"] == pytest.approx(expected["external"])
    assert own["out_of_fold"] == reruns._row(once[once["signature"] == "Clinical"], assembly)["out_of_fold"]
    assert several["difference"] == pytest.approx(several["out_of_fold"] - own["out_of_fold"])
    assert reruns.variants(path, assembly, once, **protocol).empty  # not asked for


def test_without_gaps_there_is_nothing_to_fill(small, folder):
    study, path = small.study([small.radiomics]), folder()
    assembly = small.assemble(study, path)
    assert reruns.variants(path, assembly, None, imputations=5, **small.protocol(study)).empty


def test_a_choice_that_changes_no_rank_is_said_to_be_untested():
    rows = {"group": "g", "variant": [reruns.AS_CHOSEN, "b"], "out_of_fold": 0.6, "p": [np.nan, np.nan]}
    assert "No difference could be tested" in say.variants(pd.DataFrame(rows))


def test_gaps_of_wide_feature_tables_are_not_predicted_from_a_thousand_columns(small, folder, monkeypatch):
    cohort = small.cohort()
    features = small.features(cohort)
    features.loc[features.index[0], features.select_dtypes("number").columns[-1]] = np.nan
    study, path = small.study([small.radiomics]), folder(cohort, radiomics=features)
    assembly = small.assemble(study, path)
    assert [name for name, _ in reruns._with_gaps(assembly)] == ["Radiomics"]
    monkeypatch.setattr(reruns, "MOST_COLUMNS", 5)
    assert not list(reruns._with_gaps(assembly))
