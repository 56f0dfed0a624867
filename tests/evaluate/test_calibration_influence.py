"""Single patients who make a calibration slope."""

from __future__ import annotations

import numpy as np
import pytest

from radsupport.book.conclusions import validation as validation_influence
from radsupport.evaluate import calibration as influence
from radsupport.evaluate.probability import locked_recalibrations
from radsupport.stats.calibration import calibration_summary


def calibrated(n: int = 200, seed: int = 1):
    rng = np.random.default_rng(seed)
    p = rng.uniform(0.2, 0.8, n)
    return (rng.uniform(size=n) < p).astype(int), p


def test_one_absurd_risk_is_found_and_the_slope_without_it_is_exact():
    label, p = calibrated()
    label[17], p[17] = 1, 1e-12
    found = influence.most_influential(label, p)
    assert found["place"] == 17
    assert found["risk"] == 1e-12
    assert found["slope"] == pytest.approx(calibration_summary(label, p).slope)
    without = calibration_summary(np.delete(label, 17), np.delete(p, 17)).slope
    assert found["slope_without"] == pytest.approx(without)
    assert found["slope"] < 0.3 < 0.6 < found["slope_without"]


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_one_whom_leaving_everybody_out_in_turn_would_find(seed):
    label, p = calibrated(40, seed)
    label[3], p[3] = 0, 0.9999
    full = calibration_summary(label, p)
    slopes = [calibration_summary(np.delete(label, i), np.delete(p, i)).slope for i in range(40)]
    changes = np.abs(np.array(slopes) - full.slope)
    found = influence.most_influential(label, p)
    assert bool(found) == (changes.max() > (full.slope_high - full.slope_low) / 2)
    assert not found or found["place"] == changes.argmax()


def test_nobody_is_named_where_nobody_decides():
    assert influence.most_influential(*calibrated()) == {}
    label, p = calibrated(30)
    assert influence.most_influential(label, np.full(30, 0.4)) == {}
    assert influence.most_influential(label, label * 0.5 + 0.25) == {}  # separates: there is no slope
    assert influence.most_influential(label, 0.5 + 0.001 * p) == {}


def test_certain_predictions_are_left_out_but_keep_their_places():
    label, p = calibrated()
    p[:5] = 0.0
    label[17], p[17] = 1, 1e-12
    assert influence.most_influential(label, p)["place"] == 17


def test_the_patient_is_named_with_the_slope_without_him(labelled):
    study, _, predictions = labelled
    absurd = (predictions["subject"] == "external_007") & (predictions["signature"] == "A")
    predictions = predictions.assign(risk=predictions["risk"].mask(absurd, 1e-9))
    predictions["label"] = predictions["label"].mask(predictions["subject"] == "external_007", 1.0)
    table = influence.influential_patients(predictions, study, locked_recalibrations(predictions, study))
    row = table.query("cohort == 'external' and signature == 'A'").iloc[0]
    assert (row["subject"], row["n"]) == ("external_007", 50)
    text = validation_influence.influence_words(table, study)
    assert "East and West, A: one of 50 patients (external_007, predicted risk 1.0e−09) makes the slope" in text
    assert f"without this patient it is {row['slope_without']:.2f}." in text
    assert validation_influence.influence_words(table.iloc[:0], study) == ""
