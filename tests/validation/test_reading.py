"""The chapter in words."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from radsupport.study_schema import Caution, Published
from radsupport.validation import classification, discrimination, predicted, reading, subgroups
from radsupport.validation.recalibration import locked_recalibrations


def test_who_is_judged_is_counted_from_the_predictions(labelled):
    study, cohort, predictions = labelled
    lines = reading.judged_words(predictions, study).splitlines()
    events = int(cohort.loc[cohort["cohort"] == "train", "label"].sum())
    assert lines[0] == f"- North: 60 patients, {events} with the event, out-of-fold predictions"
    assert lines[2].startswith("- East and West: 50 patients")
    assert lines[2].endswith("scored once")


def test_missing_predictions_are_named(labelled):
    study, _, predictions = labelled
    assert reading.missing_words(predicted.missing_predictions(predictions, study), study).startswith("Every signature")
    lost = predictions[predictions["signature"] != "B"]
    text = reading.missing_words(predicted.missing_predictions(lost, study), study)
    assert "B in North (60 of 60)" in text


@pytest.mark.parametrize(("n", "events"), [(18, 9), (56, 10), (315, 227)])
def test_the_least_detectable_auc_has_a_null_p_of_five_percent(n, events):
    least = reading.least_detectable(n, events)
    assert discrimination.null_se_p(least, events, n - events) == pytest.approx(0.05)


def test_the_least_detectable_auc_exists_only_with_both_outcomes():
    assert np.isnan(reading.least_detectable(10, 0))
    assert np.isnan(reading.least_detectable(10, 10))
    assert reading.least_detectable(3, 1) == 1.0
    assert stats.norm.ppf(0.975) == pytest.approx(1.959963984540054)


def test_the_guide_says_what_the_intervals_allow(labelled, make_study):
    study, _, predictions = labelled
    scores = discrimination.discrimination_table(predictions, study)
    pairs = discrimination.all_pairs(predictions, study)
    text = reading.guide_words(scores, pairs, study)
    assert "North, A: AUC" in text
    assert "9 pairs of signatures were compared" in text
    assert "0.5 would be expected if no two differed" in text
    assert "optimism" in text
    chance = reading.guide_words(discrimination.discrimination_table(predictions.assign(risk=0.5), study), pairs, study)
    assert "chance is not excluded" in chance
    turned = predictions.assign(risk=1 - predictions["risk"])
    assert "ranks the wrong way" in reading.guide_words(
        discrimination.discrimination_table(turned, study), pairs, study
    )


def test_the_guide_quotes_the_cautions_of_its_chapter(labelled, make_study):
    _, _, predictions = labelled
    study = make_study(
        cautions=[
            {"text": "Always."},
            {"text": "Here.", "chapters": ["06"]},
            {"text": "Elsewhere.", "chapters": ["01"]},
        ]
    )
    train = discrimination.discrimination_table(predictions[predictions["cohort"] == "train"], study)
    text = reading.guide_words(train, pd.DataFrame(), study)
    assert "- Always." in text
    assert "- Here." in text
    assert "Elsewhere" not in text
    assert "one cohort only" in text
    assert isinstance(study.cautions[0], Caution)


def test_published_values_stand_beside_those_of_the_same_key(labelled, make_study):
    _, cohort, predictions = labelled
    study = make_study(validation={"null_se": True, "subgroups": [{"column": "sex"}]})
    scores = discrimination.with_resampling(discrimination.discrimination_table(predictions, study), predictions, study)
    classified = classification.classification_table(predictions, study)
    pairs, cohorts = discrimination.all_pairs(predictions, study), discrimination.between_cohorts(predictions, study)
    centers = subgroups.center_table(predictions, study, cohort)
    parts = subgroups.subgroup_table(predictions, study, cohort)
    numbers = reading.numbers_of(scores, classified, pairs, cohorts, centers, parts)
    keys = {
        "auc_external_A", "null_p_train_A", "sensitivity_internal_A", "pair_p_train_A_B", "pair_p_train_B_A",
        "cohorts_p_train_external_A", "center_auc_E_A", "part_auc_train_A_sex_F",
    }  # fmt: skip
    assert keys <= set(numbers)
    assert numbers["pair_p_train_A_B"] == numbers["pair_p_train_B_A"]
    quoted = [Published(chapter="06", item=key, value="0.9", where="Table 1", ours=key) for key in sorted(keys)]
    quoted += [
        Published(chapter="05", item="no", value="1", where="x"),
        Published(chapter="06", item="none", value="1", where="x"),
    ]
    table = reading.published_table(study.model_copy(update={"published": quoted}), numbers)
    assert len(table) == len(keys) + 1
    shown = table.set_index("item")["this build"]
    assert shown["none"] == "not computed"
    assert shown["pair_p_train_A_B"].startswith("P ")
    value = scores.query("cohort == 'external' and signature == 'A'").iloc[0]
    assert shown["auc_external_A"].startswith(f"{value['value']:.2f} (")


def test_survival_numbers_and_words(followed):
    study, _, predictions = followed
    scores = discrimination.discrimination_table(predictions, study)
    nothing = pd.DataFrame()
    assert "c_index_external_A" in reading.numbers_of(scores, nothing, nothing, nothing, nothing, nothing)
    locked = locked_recalibrations(predictions, study)
    assert not reading.all_given(locked)
    assert reading.recalibration_words(locked).startswith("Probabilities as they are: 0 of 3 signatures.")
    assert "nothing can be translated" in reading.recalibration_words({})
    assert reading.positive_words(study) == ""


def test_words_of_a_label(labelled):
    study, _, predictions = labelled
    assert reading.positive_words(study) == "positive: relapse, negative: no relapse"
    assert reading.all_given(locked_recalibrations(predictions, study))
    found = discrimination.equality_test(predictions, study, "train", ["A", "B", "A + B"])
    assert reading.equality_words(found, "North").endswith("(n = 60).")
    assert reading.equality_words({}, "North") == ""
