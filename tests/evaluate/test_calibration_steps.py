"""Calibration of honest probabilities, and of a signature's last step."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from radsupport.errors import NotEstimableError
from radsupport.evaluate import calibration as steps
from radsupport.evaluate.predictions import judged_part
from radsupport.evaluate.probability import locked_recalibrations, log_odds
from radsupport.stats.calibration import hosmer_lemeshow
from radsupport.stats.calibration_corrected import corrected_calibration
from radsupport.stats.logistic import fit_logistic


def test_groups_hold_about_ten_patients():
    assert [steps.groups_for(n) for n in (5, 18, 56, 142, 1000)] == [3, 3, 5, 10, 10]


def test_the_curve_is_drawn_only_through_enough_patients(labelled):
    study, _, predictions = labelled
    large, small = judged_part(predictions, study, "train", "A"), judged_part(predictions, study, "train", "A").head(30)
    table, numbers = steps.calibration_tables(large)
    assert set(table["kind"]) == {"apparent", "grouped"}
    assert set(numbers) == {"slope", "intercept", "ICI", "Brier"}
    smooth = table[table["kind"] == "apparent"]["predicted"]
    ordered = np.sort(large["risk"])
    assert smooth.min() >= ordered[4]
    assert smooth.max() <= ordered[-5]
    table, numbers = steps.calibration_tables(small)
    assert set(table["kind"]) == {"grouped"}
    assert "ICI" not in numbers


def test_a_constant_probability_has_one_group_and_no_slope(labelled):
    study, _, predictions = labelled
    part = judged_part(predictions, study, "train", "A").assign(risk=0.3)
    table, numbers = steps.calibration_tables(part)
    assert len(table) == 1
    assert table["predicted"].iloc[0] == pytest.approx(0.3)
    assert table["observed"].iloc[0] == pytest.approx(part["label"].mean())
    assert set(numbers) == {"intercept", "ICI", "Brier"}


def test_numbers_judge_external_predictions_with_as_many_degrees_as_groups(labelled):
    study, _, predictions = labelled
    numbers = steps.calibration_numbers(predictions, study, locked_recalibrations(predictions, study))
    assert len(numbers) == 9
    row = numbers.query("cohort == 'external' and signature == 'A'").iloc[0]
    part = judged_part(predictions, study, "external", "A")
    test = hosmer_lemeshow(part["label"], part["risk"], 5, external=True)
    assert (row["hl_groups"], row["hl_df"], row["hl_p"]) == (5, 5, test.p)
    assert row["hl_p"] == pytest.approx(stats.chi2.sf(row["hl_chi2"], 5))
    assert row["predicted"] == pytest.approx(part["risk"].mean())
    assert row["brier"] == pytest.approx(np.mean((part["risk"] - part["label"]) ** 2))
    first, second = steps.in_two(numbers).values()
    assert "hl_p" not in first
    assert "hl_p" in second


def test_a_slope_is_given_only_where_the_probabilities_vary(labelled):
    study, _, predictions = labelled
    narrow = predictions.assign(risk=0.4 + 0.004 * predictions["risk"])
    numbers = steps.calibration_numbers(narrow, study, locked_recalibrations(narrow, study))
    assert numbers[["slope", "slope_low", "slope_high"]].isna().all().all()
    assert numbers["note"].str.startswith("no slope").all()
    assert numbers["brier"].notna().all()
    given = steps.calibration_numbers(predictions, study, locked_recalibrations(predictions, study))
    assert (given["note"] == "").all()
    assert steps.flat([0.1, 0.9], -60, 60)
    assert not steps.flat([0.1, 0.9], -40, 40)


def test_the_index_of_calibration_needs_forty_patients(labelled):
    study, _, predictions = labelled
    part = judged_part(predictions, study, "train", "A")
    assert np.isnan(steps.numbers_that_count(part["label"][:39], part["risk"][:39])["ici"])
    assert steps.numbers_that_count(part["label"][:40], part["risk"][:40])["ici"] > 0


def test_cohorts_with_one_outcome_are_left_out(labelled):
    study, _, predictions = labelled
    alone = predictions.assign(label=predictions["label"].mask(predictions["cohort"] == "internal", 1.0))
    numbers = steps.calibration_numbers(alone, study, locked_recalibrations(alone, study))
    assert set(numbers["cohort"]) == {"train", "external"}


def test_the_last_step_of_a_combination_is_fitted_on_its_parts_and_columns(labelled):
    study, cohort, predictions = labelled
    table, terms = steps.last_step_table(predictions, study, "A + B", cohort)
    assert terms == ["part_0", "part_1", "age"]
    part = judged_part(predictions, study, "train", "A").set_index("subject")
    np.testing.assert_allclose(np.sort(table["part_0"]), np.sort(log_odds(part["risk"])))
    own, alone = steps.last_step_table(predictions, study, "A", cohort)
    assert alone == ["part_0"]
    assert len(own) == 60
    assert steps.last_step_table(predictions, study, "A + B", None)[1] == ["part_0", "part_1"]
    gaps = cohort.assign(age=cohort["age"].mask(cohort["subject"] == "train_004"))
    assert len(steps.last_step_table(predictions, study, "A + B", gaps)[0]) == 59


def test_correction_is_that_of_the_refitted_regression(labelled):
    study, cohort, predictions = labelled
    found = steps.bootstrap_corrected(predictions, study, "A + B", cohort)
    table, terms = steps.last_step_table(predictions, study, "A + B", cohort)
    expected = corrected_calibration(
        table, "label", lambda rows: fit_logistic(rows, "label", terms), lambda fit, rows: fit.predict(rows), 50, 1
    )
    corrected = found[found["kind"] == "corrected"]
    np.testing.assert_allclose(corrected["observed"], expected["corrected"].dropna())
    assert found.attrs["n"] == 60
    assert 40 <= found.attrs["resamples"] <= found.attrs["drawn"] == 50


def test_survival_is_corrected_at_a_horizon(followed):
    study, cohort, predictions = followed
    found = steps.bootstrap_corrected(predictions, study, "A", cohort, horizon=12.0)
    assert set(found["kind"]) == {"apparent", "corrected"}
    assert found["predicted"].between(0, 1).all()
    with pytest.raises(NotEstimableError):
        steps.bootstrap_corrected(predictions, study, "A", cohort, horizon=1e4)


def test_no_smooth_curve_is_corrected_through_few_patients(make_study, make_cohort, make_predictions):
    cohort = make_cohort({"train": 39})
    with pytest.raises(NotEstimableError, match="39 patients are too few for a smooth curve"):
        steps.bootstrap_corrected(make_predictions(cohort), make_study(), "A", cohort)


@pytest.mark.parametrize("sign", [-1, 0])
def test_a_risk_that_ranks_backwards_or_not_at_all_is_not_turned_round(labelled, sign):
    study, cohort, predictions = labelled
    turned = predictions.assign(risk=0.5 + sign * (predictions["risk"] - 0.5))
    with pytest.raises(NotEstimableError, match=r"higher risk|same value"):
        steps.bootstrap_corrected(turned, study, "A", cohort)


def test_a_singular_sample_of_fourteen_says_why_it_can_not_be_corrected(make_study, make_cohort, make_predictions):
    cohort = make_cohort({"train": 14}).assign(label=[1.0] * 5 + [0.0] * 9)
    predictions = make_predictions(cohort)
    separated = predictions.assign(risk=np.where(predictions["label"] == 1, 0.8, 0.2))
    with pytest.raises(NotEstimableError, match="separate"):
        steps.bootstrap_corrected(separated, make_study(), "A", cohort)
