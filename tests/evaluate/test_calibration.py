"""Calibration of honest probabilities, single patients who make a slope, a signature's last step, prediction error."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from helpers.validation_study import rows_of
from scipy import stats

from radsupport.errors import NotEstimableError
from radsupport.evaluate import (
    brier,
    calibration,
    corrections,
    judged,
    lock,
    measure,
    probabilities,
)
from radsupport.evaluate.calibration import (
    brier_differences,
    calibration_points,
    corrected,
    flat,
    groups_for,
    integrated_brier,
    last_step,
    most_influential,
)
from radsupport.evaluate.predictions import SURVIVAL
from radsupport.stats.brier import brier_difference, brier_score
from radsupport.stats.calibration import calibration_summary, hosmer_lemeshow
from radsupport.stats.calibration_corrected import corrected_calibration
from radsupport.stats.cox import fit_cox, predict_survival
from radsupport.stats.logistic import fit_logistic
from radsupport.stats.outcome import log_odds
from radsupport.stats.survival_curves import kaplan_meier

BY = ("cohort", "signature", "horizon")


def with_probability(predictions: pd.DataFrame) -> pd.DataFrame:
    rows = judged(predictions)
    return probabilities(rows, lock(rows))


def at_horizons(predictions: pd.DataFrame, horizons: list[float]) -> tuple[pd.DataFrame, dict]:
    rows = judged(predictions, SURVIVAL)
    locked = lock(rows, SURVIVAL)
    return probabilities(rows, locked, horizons), locked


def training(predictions: pd.DataFrame, name: str = "A") -> pd.DataFrame:
    return rows_of(predictions, "train", name).assign(probability=lambda rows: rows["risk"])


def test_groups_hold_about_ten_patients():
    assert [groups_for(n) for n in (5, 18, 56, 142, 1000)] == [3, 3, 5, 10, 10]


def test_the_curve_is_drawn_only_through_enough_patients(labelled):
    large = training(labelled[2])
    table = calibration_points(large)
    pd.testing.assert_frame_equal(calibration(large, points=True), table)
    assert set(table["kind"]) == {"apparent", "grouped"}
    smooth, ordered = table[table["kind"] == "apparent"]["predicted"], np.sort(large["risk"])
    assert smooth.min() >= ordered[4]
    assert smooth.max() <= ordered[-5]
    assert set(calibration_points(large.head(30))["kind"]) == {"grouped"}
    assert calibration_points(large.assign(label=1.0)).empty


def test_a_constant_probability_has_one_group_and_no_slope(labelled):
    part = training(labelled[2]).assign(probability=0.3)
    table, row = calibration_points(part), calibration(part)
    assert len(table) == 1
    assert table["predicted"].iloc[0] == pytest.approx(0.3)
    assert table["observed"].iloc[0] == pytest.approx(part["label"].mean())
    assert np.isnan(row["slope"])
    assert np.isfinite([row["intercept"], row["ici"], row["brier"]]).all()


def test_numbers_judge_external_predictions_with_as_many_degrees_as_groups(labelled):
    numbers = measure(with_probability(labelled[2]), calibration)
    assert len(numbers) == 9
    row = numbers.query("cohort == 'external' and signature == 'A'").iloc[0]
    part = rows_of(labelled[2], "external")
    test = hosmer_lemeshow(part["label"], part["risk"], 5, external=True)
    assert (row["hl_groups"], row["hl_df"], row["hl_p"]) == (5, 5, test.p)
    assert row["hl_p"] == pytest.approx(stats.chi2.sf(row["hl_chi2"], 5))
    few = calibration(with_probability(labelled[2]).query("cohort == 'external' and signature == 'A'").head(39))
    assert np.isnan([few["hl_p"], few["hl_chi2"], few["ici"]]).all()  # one rule for what needs many patients
    assert np.isfinite(few["brier"])
    assert row["predicted"] == pytest.approx(part["risk"].mean())
    assert row["brier"] == pytest.approx(np.mean((part["risk"] - part["label"]) ** 2))


def test_a_slope_is_given_only_where_the_probabilities_vary(labelled):
    _, _, predictions = labelled
    numbers = measure(with_probability(predictions.assign(risk=0.4 + 0.004 * predictions["risk"])), calibration)
    assert numbers[["slope", "slope_low", "slope_high"]].isna().all().all()
    assert numbers["note"].str.startswith("no slope").all()
    assert numbers["brier"].notna().all()
    assert (measure(with_probability(predictions), calibration)["note"] == "").all()
    assert flat([0.1, 0.9], -60, 60)
    assert not flat([0.1, 0.9], -40, 40)


def test_the_index_of_calibration_needs_forty_patients(labelled):
    part = training(labelled[2])
    assert np.isnan(calibration(part.head(39))["ici"])
    assert calibration(part.head(40))["ici"] > 0


def test_a_cohort_with_one_outcome_says_so(labelled):
    _, _, predictions = labelled
    alone = predictions.assign(label=predictions["label"].mask(predictions["cohort"] == "internal", 1.0))
    numbers = measure(with_probability(alone), calibration).set_index("cohort")
    assert numbers.loc["internal", "slope"].isna().all()
    assert (numbers.loc["internal", "note"] != "").all()
    assert numbers.loc[["train", "external"], "slope"].notna().all()


def calibrated(n: int = 200, seed: int = 1):
    rng = np.random.default_rng(seed)
    p = rng.uniform(0.2, 0.8, n)
    return (rng.uniform(size=n) < p).astype(int), p


def test_one_absurd_risk_is_found_and_the_slope_without_it_is_exact():
    label, p = calibrated()
    label[17], p[17] = 1, 1e-12
    found = most_influential(label, p)
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
    found = most_influential(label, p)
    assert bool(found) == (changes.max() > (full.slope_high - full.slope_low) / 2)
    assert not found or found["place"] == changes.argmax()


def test_nobody_is_named_where_nobody_decides():
    assert most_influential(*calibrated()) == {}
    label, p = calibrated(30)
    assert most_influential(label, np.full(30, 0.4)) == {}
    assert most_influential(label, label * 0.5 + 0.25) == {}  # separates: there is no slope
    assert most_influential(label, 0.5 + 0.001 * p) == {}


def test_certain_predictions_are_left_out_but_keep_their_places():
    label, p = calibrated()
    p[:5] = 0.0
    label[17], p[17] = 1, 1e-12
    assert most_influential(label, p)["place"] == 17


def test_the_patient_who_makes_a_slope_is_named_beside_it(labelled):
    _, _, predictions = labelled
    absurd = (predictions["subject"] == "external_007") & (predictions["signature"] == "A")
    predictions = predictions.assign(risk=predictions["risk"].mask(absurd, 1e-9))
    predictions["label"] = predictions["label"].mask(predictions["subject"] == "external_007", 1.0)
    table = measure(with_probability(predictions), calibration)
    row = table.query("cohort == 'external' and signature == 'A'").iloc[0]
    assert (row["subject"], row["n"], row["risk"]) == ("external_007", 50, 1e-9)
    assert row["slope_without"] > row["slope"]
    assert table.query("signature == 'B'")["slope_without"].isna().all()


def test_the_last_step_of_a_combination_is_fitted_on_its_parts_and_columns(labelled):
    _, cohort, predictions = labelled
    rows, ages = judged(predictions), cohort[["subject", "age"]]
    table, terms = last_step(rows, ["A", "B"], ages)
    assert terms == ["part_0", "part_1", "age"]
    np.testing.assert_allclose(np.sort(table["part_0"]), np.sort(log_odds(rows_of(predictions, "train")["risk"])))
    own, alone = last_step(rows, ["A"])
    assert alone == ["part_0"]
    assert len(own) == 60
    gaps = ages.assign(age=ages["age"].mask(ages["subject"] == "train_004"))
    assert len(last_step(rows, ["A", "B"], gaps)[0]) == 59


def test_correction_is_that_of_the_refitted_regression(labelled):
    _, cohort, predictions = labelled
    steps = {"A + B": (["A", "B"], ["age"]), "A": (["A"], [])}
    found = corrections(judged(predictions), steps, cohort, n_bootstrap=50, seed=1)
    table, terms = last_step(judged(predictions), ["A", "B"], cohort[["subject", "age"]])
    expected = corrected_calibration(
        table, "label", lambda rows: fit_logistic(rows, "label", terms), lambda fit, rows: fit.predict(rows), 50, 1
    )
    own = found.query("signature == 'A + B' and kind == 'corrected'")
    np.testing.assert_allclose(own["observed"], expected["corrected"].dropna())
    assert set(found["signature"]) == {"A + B", "A"}
    assert own["n"].unique() == [60]
    assert 40 <= own["resamples"].iloc[0] <= 50


def test_survival_is_corrected_at_each_horizon_or_says_why_not(followed):
    _, cohort, predictions = followed
    rows = judged(predictions, SURVIVAL)
    found = corrections(rows, {"A": (["A"], [])}, cohort, SURVIVAL, [12.0, 1e4], 50, 1)
    known = found[found["horizon"] == 12.0]
    assert set(known["kind"]) == {"apparent", "corrected"}
    assert known["predicted"].between(0, 1).all()
    lost = found[found["horizon"] == 1e4]
    assert lost["predicted"].isna().all()
    assert (lost["note"] != "").all()


def test_no_smooth_curve_is_corrected_through_few_patients(make_cohort, make_predictions):
    with pytest.raises(NotEstimableError, match="39 patients are too few for a smooth curve"):
        corrected(*last_step(judged(make_predictions(make_cohort({"train": 39}))), ["A"]))


@pytest.mark.parametrize("sign", [-1, 0])
def test_a_risk_that_ranks_backwards_or_not_at_all_is_not_turned_round(labelled, sign):
    _, _, predictions = labelled
    turned = predictions.assign(risk=0.5 + sign * (predictions["risk"] - 0.5))
    with pytest.raises(NotEstimableError, match=r"higher risk|same value"):
        corrected(*last_step(judged(turned), ["A"]))


def test_a_singular_sample_of_fourteen_says_why_it_can_not_be_corrected(make_cohort, make_predictions):
    predictions = make_predictions(make_cohort({"train": 14}).assign(label=[1.0] * 5 + [0.0] * 9))
    separated = predictions.assign(risk=np.where(predictions["label"] == 1, 0.8, 0.2))
    with pytest.raises(NotEstimableError, match="separate"):
        corrected(*last_step(judged(separated), ["A"]))


def test_a_model_judged_on_its_own_patients_has_slope_one(followed):
    rows = rows_of(followed[2], "train", "A", SURVIVAL)
    event = ((rows["event"] == 1) & (rows["time"] <= 24)).astype(float)
    cut = rows.assign(event=event, time=rows["time"].clip(upper=24))
    fit = fit_cox(cut, "time", "event", ["risk"])
    own = 1 - predict_survival(fit, cut, 24.0).to_numpy()[:, 0]
    found = calibration(rows.assign(probability=own, horizon=24.0))
    assert found["slope"] == pytest.approx(1, abs=1e-6)
    assert found["slope_low"] < 1 < found["slope_high"]


def test_the_kaplan_meier_probability_is_calibrated_on_the_whole_and_no_better_than_itself(followed):
    rows = rows_of(followed[2], "external", "A", SURVIVAL)
    km = kaplan_meier(rows["time"], rows["event"], 12.0).at_times.iloc[0]
    part = rows.assign(probability=1 - km["survival"], horizon=12.0)
    found = calibration(part)
    assert found["ratio"] == pytest.approx(1)
    assert found["ratio_low"] == pytest.approx((1 - km["ci_high"]) / (1 - km["survival"]))
    assert np.isnan(found["slope"])
    assert len(calibration_points(part)) == 1


def test_every_cohort_signature_and_horizon_is_judged_where_it_can_be(followed):
    _, _, predictions = followed
    at, locked = at_horizons(predictions, [12.0, 24.0])
    table = measure(at, calibration, BY)
    assert table.groupby(["signature", "horizon"]).size().unique() == [3]
    row = table.query("cohort == 'internal' and signature == 'A' and horizon == 12").iloc[0]
    part = rows_of(predictions, "internal", "A", SURVIVAL)
    assert row["predicted"] == pytest.approx(locked["A"].probability(part, 12.0).mean())
    assert row["events"] == ((part["time"] <= 12) & (part["event"] == 1)).sum()
    nobody = predictions.assign(time=predictions["time"].clip(upper=11))
    assert measure(at_horizons(nobody, [12.0, 24.0])[0], calibration, BY).empty


def test_brier_scores_and_their_difference_to_another_signature(followed):
    _, _, predictions = followed
    at, locked = at_horizons(predictions, [12.0, 24.0])
    table = brier(at, "B", n_bootstrap=50, seed=1)
    row = table.query("cohort == 'external' and signature == 'A' and horizon == 12").iloc[0]
    a, b = (rows_of(predictions, "external", name, SURVIVAL) for name in ("A", "B"))
    risk = [locked[name].probability(part, 12.0)[:, 0] for name, part in (("A", a), ("B", b))]
    expected = brier_score(a["time"], a["event"], risk[0], 12.0, interval="none").iloc[0]
    assert [row["brier"], row["null"]] == pytest.approx([expected["brier"], expected["null"]])
    assert row["scaled"] == pytest.approx(1 - row["brier"] / row["null"])
    apart = brier_difference(a["time"], a["event"], risk[0], risk[1], 12.0).iloc[0]
    assert [row["difference"], row["p"]] == pytest.approx([apart["difference"], apart["p"]])
    half = stats.norm.isf(0.025) * apart["se"]  # Wald, as the z test
    assert [row["difference_low"], row["difference_high"]] == pytest.approx(
        [row["difference"] - half, row["difference"] + half]
    )
    assert table.query("signature == 'B'")[["difference", "p"]].isna().all(axis=None)
    assert row["brier_low"] < row["brier"] < row["brier_high"]
    assert len(table) == 3 * 3 * 2
    whole = brier_differences(at, "B").query("cohort == 'external' and signature == 'A' and horizon == 12").iloc[0]
    assert [whole["difference_low"], whole["brier_b"]] == pytest.approx([apart["ci_low"], apart["brier_b"]])
    assert "difference" not in brier(at, n_bootstrap=5)


def test_integrated_scores_end_at_the_last_usable_horizon_or_where_they_are_told(followed):
    rows = judged(followed[2], SURVIVAL)
    locked = lock(rows, SURVIVAL)
    table = integrated_brier(rows, locked, [12.0, 24.0, 500.0])
    assert set(table["until"]) == {24.0}
    assert len(table) == 9
    assert (table["integrated_brier"] < 0.25).all()
    good = table.query("signature == 'A'")["integrated_brier"].to_numpy()
    noise = table.query("signature == 'B'")["integrated_brier"].to_numpy()
    assert good.mean() < noise.mean()
    assert set(integrated_brier(rows, {"A": locked["A"]}, lambda part: 18.0)["until"]) == {18.0}
    assert integrated_brier(rows, locked, [500.0]).empty
