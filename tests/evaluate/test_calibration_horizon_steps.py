"""Calibration and prediction error of survival at horizons."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from radsupport.evaluate import calibration as steps
from radsupport.evaluate.predictions import judged_part
from radsupport.evaluate.probability import locked_recalibrations
from radsupport.stats.brier import brier_difference, brier_score
from radsupport.stats.cox import fit_cox, predict_survival
from radsupport.stats.survival_curves import kaplan_meier


def test_a_horizon_needs_three_events_before_and_three_patients_after():
    part = pd.DataFrame({"time": [1.0, 2, 3, 10, 11, 12, 13], "event": [1.0, 1, 1, 0, 0, 0, 0]})
    assert steps.usable_horizons(part, [2, 3, 10, 11, 50]) == [3, 10]


def test_a_model_judged_on_its_own_patients_has_slope_one(followed):
    study, _, predictions = followed
    rows = judged_part(predictions, study, "train", "A")
    cut = rows.assign(
        event=((rows["event"] == 1) & (rows["time"] <= 24)).astype(float), time=rows["time"].clip(upper=24)
    )
    fit = fit_cox(cut, "time", "event", ["risk"])
    judged = rows.assign(probability=1 - predict_survival(fit, cut, 24.0).to_numpy()[:, 0])
    found = steps.calibration_of(judged, 24.0)
    assert found["slope"] == pytest.approx(1, abs=1e-6)
    assert found["slope_low"] < 1 < found["slope_high"]


def test_the_kaplan_meier_probability_is_calibrated_on_the_whole_and_no_better_than_itself(followed):
    study, _, predictions = followed
    rows = judged_part(predictions, study, "external", "A")
    km = kaplan_meier(rows["time"], rows["event"], 12.0).at_times.iloc[0]
    judged = rows.assign(probability=1 - km["survival"])
    found = steps.calibration_of(judged, 12.0)
    assert found["ratio"] == pytest.approx(1)
    assert found["ratio_low"] == pytest.approx((1 - km["ci_high"]) / (1 - km["survival"]))
    assert np.isnan(found["slope"])
    table, numbers = steps.survival_calibration(judged, 12.0)
    assert len(table) == 1
    assert set(numbers) == {"observed / expected"}


def test_every_cohort_signature_and_horizon_is_judged_where_it_can_be(followed):
    study, _, predictions = followed
    locked = locked_recalibrations(predictions, study)
    table = steps.calibration_at_horizons(predictions, study, locked)
    assert table.groupby(["signature", "horizon"]).size().unique() == [3]
    row = table.query("cohort == 'internal' and signature == 'A' and horizon == 12").iloc[0]
    part = judged_part(predictions, study, "internal", "A")
    assert row["predicted"] == pytest.approx(locked["A"].probability(part, 12.0).mean())
    assert row["events"] == ((part["time"] <= 12) & (part["event"] == 1)).sum()
    nobody = predictions.assign(time=predictions["time"].clip(upper=11))
    assert steps.calibration_at_horizons(nobody, study, locked_recalibrations(nobody, study)).empty


def test_brier_scores_and_their_difference_to_the_comparator(followed):
    study, _, predictions = followed
    locked = locked_recalibrations(predictions, study)
    table = steps.brier_table(predictions, study, locked)
    row = table.query("cohort == 'external' and signature == 'A' and horizon == 12").iloc[0]
    a, b = (judged_part(predictions, study, "external", name) for name in ("A", "B"))
    risk = [locked[name].probability(part, 12.0)[:, 0] for name, part in (("A", a), ("B", b))]
    expected = brier_score(a["time"], a["event"], risk[0], 12.0, interval="none").iloc[0]
    assert [row["brier"], row["null"]] == pytest.approx([expected["brier"], expected["null"]])
    assert row["scaled"] == pytest.approx(1 - row["brier"] / row["null"])
    apart = brier_difference(a["time"], a["event"], risk[0], risk[1], 12.0).iloc[0]
    assert [row["difference"], row["p"]] == pytest.approx([apart["difference"], apart["p"]])
    assert table.query("signature == 'B'")[["difference", "p"]].isna().all(axis=None)
    assert row["brier_low"] < row["brier"] < row["brier_high"]


def test_integrated_scores_end_at_the_last_usable_horizon(followed):
    study, _, predictions = followed
    table = steps.integrated_brier_table(predictions, study, locked_recalibrations(predictions, study))
    assert set(table["until"]) == {24.0}
    assert len(table) == 9
    assert (table["integrated_brier"] < 0.25).all()
    good = table.query("signature == 'A'")["integrated_brier"].to_numpy()
    noise = table.query("signature == 'B'")["integrated_brier"].to_numpy()
    assert good.mean() < noise.mean()


def test_a_study_without_survival_has_no_horizons(labelled):
    study, _, _ = labelled
    assert steps.horizons_of(study) == []
