"""Signatures with gaps: filled several times beside once, the mean of the draws' risks judged on the same patients."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from radsupport.evaluate import reruns
from radsupport.learning.imputation import ChainedImputer
from radsupport.learning.signatures import run_signatures


def test_the_mean_log_odds_of_the_draws_is_judged_beside_the_single_value(small, folder):
    cohort = small.cohort()
    study, path = small.study([small.radiomics, small.clinical]), folder(cohort)
    rng = np.random.default_rng(0)
    holed = cohort.assign(age=cohort["age"].mask(rng.random(len(cohort)) < 0.3))
    assembly = small.assemble(study, path).changed(cohort=holed)
    protocol = small.protocol(study)
    once = run_signatures(assembly, **protocol).predictions
    found = reruns.imputed(assembly, once, 2, **protocol)
    assert found["signature"].tolist() == ["Clinical"]  # radiomics has no gap
    row = found.iloc[0]
    assert row["gaps"] == holed.loc[holed["cohort"] != "segmentation", "age"].isna().sum()
    one = assembly.changed(signatures=[assembly.by_name["Clinical"]])
    draws = [run_signatures(one.changed(imputer=ChainedImputer(draw=k)), **protocol).predictions for k in range(2)]
    mean = expit((logit(draws[0]["risk"]) + logit(draws[1]["risk"])) / 2)
    expected = reruns._row(draws[0].assign(risk=mean), assembly)
    assert row["out_of_fold"] == pytest.approx(expected["out_of_fold"])
    assert row["external"] == pytest.approx(expected["external"])
    own = reruns._row(once[once["signature"] == "Clinical"], assembly)
    assert row["once_out_of_fold"] == pytest.approx(own["out_of_fold"])
    assert row["difference"] == pytest.approx(expected["out_of_fold"] - own["out_of_fold"])


def test_without_gaps_there_is_nothing_to_compare(small, folder):
    study, path = small.study([small.radiomics]), folder()
    table = reruns.imputed(small.assemble(study, path), pd.DataFrame(), 2, **small.protocol(study))
    assert table.empty
    assert "No signature has a gap" in table.attrs["empty"]
