"""A nomogram before the judge of signatures: calibration, its correction, decisions and reclassification."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from helpers.nomogram_study import cox_models, label_models

from radsupport.errors import NotEstimableError
from radsupport.evaluate.calibration import calibration, calibration_points, corrected
from radsupport.evaluate.predictions import measure
from radsupport.evaluate.probability import probabilities
from radsupport.evaluate.survival import pooled
from radsupport.evaluate.usefulness import decisions, reclassification
from radsupport.nomogram.parts import as_signatures
from radsupport.stats.calibration import calibration_summary, hosmer_lemeshow
from radsupport.stats.usefulness import nri_idi

BOTH = {"both": ["train", "external"]}


def test_calibration_knows_the_patients_of_the_fit(table: pd.DataFrame) -> None:
    models = label_models(table)
    rows = probabilities(pooled(as_signatures(models, table), BOTH), models)
    numbers = measure(rows, calibration).set_index(["signature", "cohort"]).loc["nomogram"]
    part = table[table["cohort"] == "external"]
    risk = models["nomogram"].probability(part)
    summary = calibration_summary(part["label"], risk)
    outside = numbers.loc["external"]
    assert outside["slope"] == pytest.approx(summary.slope)
    assert outside["hl_p"] == pytest.approx(hosmer_lemeshow(part["label"], risk, groups=6, external=True).p)
    assert outside["hl_df"] == 6  # 60 patients, and nothing was fitted to them
    assert numbers.loc["train", "hl_df"] == 8
    assert numbers.loc["both", ["hl_df", "hl_p"]].isna().all()
    assert numbers.loc["train", "slope"] == pytest.approx(1, abs=1e-6)
    assert numbers.loc["train", "intercept"] == pytest.approx(0, abs=1e-6)


def test_calibration_is_corrected_by_refitting_the_model(table: pd.DataFrame, cox_rows: pd.DataFrame) -> None:
    model = label_models(table)["nomogram"]
    train = table[table["cohort"] == "train"]
    lines = corrected(train, model, 8, 7)
    assert lines["kind"].unique().tolist() == ["apparent", "corrected"]
    assert lines["resamples"].max() <= 8
    timed = cox_models(cox_rows)["nomogram"]
    lines = corrected(cox_rows[cox_rows["cohort"] == "train"], timed, 8, 7, 12.0, groups=5)
    assert "corrected" in set(lines["kind"])
    with pytest.raises(NotEstimableError, match="too few"):
        corrected(train.head(20), model, 8, 7)


def test_points_of_a_cox_nomogram_stand_at_each_horizon(cox_rows: pd.DataFrame) -> None:
    models = cox_models(cox_rows)
    rows = probabilities(as_signatures(models, cox_rows), models, [12, 24, 500])
    points = measure(rows, calibration_points, ("signature", "cohort", "horizon"))
    assert set(points["horizon"]) == {12.0, 24.0}
    assert set(points["kind"]) == {"grouped"}


def test_reclassification_is_against_a_part(table: pd.DataFrame) -> None:
    models = label_models(table)
    rows = probabilities(as_signatures(models, table), models)
    moved = measure(rows, reclassification, ("cohort",), new="nomogram", old="signature, refitted", halves=True)
    own = moved[moved["cohort"] == "external"].set_index("measure")
    part = table[table["cohort"] == "external"]
    expected = nri_idi(part["label"], *(models[name].probability(part) for name in ("signature, refitted", "nomogram")))
    assert own.loc["continuous NRI", "value"] == expected.nri
    assert own.loc["IDI", "value"] == pytest.approx(expected.idi)
    assert own.loc["NRI, events", "value"] == expected.nri_events
    assert own.loc["NRI, non-events", "value"] == expected.nri_nonevents
    assert np.isnan(own.loc["NRI, events", "value_low"])


def test_decision_curves_compare_all_models(table: pd.DataFrame) -> None:
    models = label_models(table)
    curves = measure(probabilities(as_signatures(models, table), models), decisions, ("cohort",))
    assert set(curves["strategy"]) == {*models, "treat_all", "treat_none"}


def test_no_fit_leaves_nothing_to_judge(table: pd.DataFrame) -> None:
    models = label_models(table.assign(label=1.0))
    rows = as_signatures(models, table)
    assert measure(rows, calibration).empty
    assert measure(probabilities(rows, models), decisions, ("cohort",)).empty
