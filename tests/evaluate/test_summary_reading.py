"""The chapter in words."""

from __future__ import annotations

from importlib import import_module

import pandas as pd

from radsupport.book.conclusions import validation as reading
from radsupport.evaluate import predictions as predicted
from radsupport.evaluate import subgroups
from radsupport.evaluate import summary as summary_reading
from radsupport.evaluate import thresholds as classification
from radsupport.evaluate.probability import locked_recalibrations
from radsupport.settings.study import Published

discrimination = import_module("radsupport.evaluate.discrimination")


def test_who_is_judged_is_counted_from_the_predictions(labelled):
    study, cohort, predictions = labelled
    lines = reading.judged_words(predictions, study).splitlines()
    events = int(cohort.loc[cohort["cohort"] == "train", "label"].sum())
    assert lines[0] == f"- North: 60 patients, {events} with the event, out-of-fold predictions"
    assert lines[2].startswith("- East and West: 50 patients")
    assert lines[2].endswith("scored with the finished model")


def test_a_published_output_is_named_with_what_contains_it(labelled, make_study):
    _, _, predictions = labelled
    published = {"name": "B", "sources": ["deep_published"], "learner": "published"}
    combined = {"name": "A + B", "combines": ["A", "B"], "learner": "Logistic"}
    study = make_study(signatures=[{"name": "A", "sources": ["radiomics"]}, published, combined])
    last = reading.judged_words(predictions, study).splitlines()[-1]
    assert "B in North: published output; its own training patients may be among them" in last
    assert last.endswith("those of A + B, which contains it")
    text = reading.recalibration_words(locked_recalibrations(predictions, study))
    assert text.startswith("Probabilities as they are: 2 of 3 signatures.")
    assert "B is a published output" in text
    mean = predictions.query("cohort == 'train' and signature == 'B' and kind == 'out_of_fold'")["risk"].mean()
    assert f"its mean in training is {mean:.2f}" in text


def test_missing_predictions_are_named(labelled):
    study, _, predictions = labelled
    assert reading.missing_words(predicted.missing_predictions(predictions, study), study).startswith("Every signature")
    lost = predictions[predictions["signature"] != "B"]
    text = reading.missing_words(predicted.missing_predictions(lost, study), study)
    assert "B in North (60 of 60)" in text


def test_published_values_stand_beside_those_of_the_same_key(labelled, make_study):
    _, cohort, predictions = labelled
    study = make_study(validation={"null_se": True, "subgroups": [{"column": "sex"}]})
    scores = discrimination.with_resampling(discrimination.discrimination_table(predictions, study), predictions, study)
    classified = classification.classification_table(predictions, study)
    pairs, cohorts = discrimination.all_pairs(predictions, study), discrimination.between_cohorts(predictions, study)
    centers = subgroups.center_table(predictions, study, cohort)
    parts = subgroups.subgroup_table(predictions, study, cohort)
    numbers = summary_reading.numbers_of(scores, classified, pairs, cohorts, centers, parts)
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
    table = summary_reading.published_table(study.model_copy(update={"published": quoted}), numbers)
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
    assert "c_index_external_A" in summary_reading.numbers_of(scores, nothing, nothing, nothing, nothing, nothing)
    locked = locked_recalibrations(predictions, study)
    assert not summary_reading.all_given(locked)
    assert reading.recalibration_words(locked).startswith("Probabilities as they are: 0 of 3 signatures.")
    assert "nothing can be translated" in reading.recalibration_words({})
    assert reading.positive_words(study) == ""


def test_words_of_a_label(labelled):
    study, _, predictions = labelled
    assert reading.positive_words(study) == "positive: relapse, negative: no relapse"
    assert summary_reading.all_given(locked_recalibrations(predictions, study))
    found = discrimination.equality_test(predictions, study, "train", ["A", "B", "A + B"])
    words = reading.equality_words(found, "North")
    assert words.startswith("North: test that all AUCs are equal (DeLong): χ² = ")
    assert words.endswith("(n = 60).")
    assert reading.equality_words({}, "North") == ""
