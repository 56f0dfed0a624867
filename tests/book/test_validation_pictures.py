"""What the figures are drawn from, and that they can be drawn."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest

from radsupport.book.conclusions import validation as pictures
from radsupport.evaluate import thresholds as classification
from radsupport.evaluate.probability import locked_recalibrations
from radsupport.plots import base as figures
from radsupport.plots import prediction as prediction_figures

discrimination = import_module("radsupport.evaluate.discrimination")

PUBLISHED = [
    {"name": "A", "sources": ["radiomics"]},
    {"name": "B", "sources": ["deep_published"], "learner": "published"},
    {"name": "A + B", "combines": ["A", "B"], "learner": "Logistic"},
]


def test_curves_are_grouped_by_comparison(labelled, make_study):
    study, _, predictions = labelled
    assert pictures.roc_groups(predictions, study) == [("All signatures", ["A", "B", "A + B"])]
    two = make_study(validation={"comparisons": [{"name": "two", "signatures": ["A", "B"]}]})
    assert pictures.roc_groups(predictions, two) == [("two", ["A", "B"])]
    assert pictures.roc_groups(predictions[predictions["signature"] == "A"], study)[0][1] == ["A"]
    assert pictures.roc_layout(["A"] * 6)["columns"] == 1
    assert pictures.roc_layout(["A"])["columns"] == 2


def test_roc_panels_show_training_twice_with_the_locked_thresholds(labelled):
    study, _, predictions = labelled
    classified = classification.classification_table(predictions, study)
    parts = pictures.roc_panels(predictions, study, ["A", "B"], classified)
    titles = [title for title, _, _ in parts]
    assert titles == [
        "North, apparent (n = 60)", "North, out of fold (n = 60)", "South (n = 40)", "East and West (n = 50)",
    ]  # fmt: skip
    assert "marks" not in parts[0][2]
    assert len(parts[1][2]["marks"]) == 2
    drawn = figures.panels(prediction_figures.roc, parts)
    assert "ROC curves of 2 signatures in 60 patients" in figures.description(drawn)
    no_apparent = predictions[predictions["kind"] != "apparent"]
    assert len(pictures.roc_panels(no_apparent, study, ["A"], classified)) == 3


def test_confusion_matrices_at_the_locked_threshold_and_at_one_half(labelled, make_study, followed):
    study, _, predictions = labelled
    classified = classification.classification_table(predictions, study)
    found = pictures.confusion_figures(predictions, study, classified, ["A", "nobody"])
    assert [(name, rule) for name, (rule, _) in found] == [("A", "Youden's index"), ("A", "one half")]
    parts = pictures.confusion_panels(classified, study, "A")
    assert len(parts) == 3
    assert parts[0][2]["classes"] == ("no relapse", "relapse")
    figures.panels(prediction_figures.confusion, parts)
    half = make_study(validation={"threshold": "half"})
    assert len(pictures.confusion_figures(predictions, half, classified, ["A"])) == 1
    assert pictures.confusion_figures(followed[2], followed[0], classified, ["A"]) == []


def test_matrices_need_more_than_one_pair(labelled):
    study, _, predictions = labelled
    pairs = discrimination.all_pairs(predictions, study)
    parts = pictures.matrix_panels(pairs, study)
    assert len(parts) == 3
    figures.panels(prediction_figures.delong, parts, **pictures.matrix_layout(pairs))
    assert pictures.matrix_panels(pairs[pairs["signature_b"] == "B"], study) == []


def test_calibration_panels_of_labels_and_of_survival(labelled, followed):
    study, _, predictions = labelled
    parts = pictures.calibration_panels(predictions, study, locked_recalibrations(predictions, study), "A", [])
    assert len(parts) == 3
    assert parts[0][2]["outcome"] == "probability of relapse"
    figures.panels(prediction_figures.calibration, parts)
    study, _, predictions = followed
    locked = locked_recalibrations(predictions, study)
    parts = pictures.calibration_panels(predictions, study, locked, "A", [12.0, 24.0, 999.0])
    assert len(parts) == 6
    assert parts[-1][2]["outcome"] == "probability of an event by 24 months"
    assert pictures.calibration_panels(predictions, study, locked, "nobody", [12.0]) == []


def test_numbers_are_not_written_over_points():
    table = pictures.pd.DataFrame({"predicted": [0.2, 0.9], "observed": [0.3, 0.3]})
    assert not pictures._corner_is_free(table, 4)
    assert pictures._corner_is_free(table, 2)
    assert pictures._corner_is_free(table.assign(observed=[0.3, 0.95]), 4)
    assert not pictures._corner_is_free(table.assign(observed=[0.3, 0.95], ci_low=[0.1, 0.2]), 2)


def test_corrected_panels_say_what_is_missing(labelled, followed):
    study, cohort, predictions = labelled
    parts, note = pictures.corrected_panels(predictions, study, ["A", "A + B"], cohort)
    assert [title.split(" (")[0] for title, _, _ in parts] == ["A", "A + B"]
    assert note == ""
    assert parts[0][0].endswith(" of 50 resamples usable)")
    none, why = pictures.corrected_panels(predictions.assign(risk=0.4), study, ["A"], cohort)
    assert none == []
    assert why.startswith("A: ")
    study, cohort, predictions = followed
    parts, _ = pictures.corrected_panels(predictions, study, ["A"], cohort)
    assert len(parts) == 2


def test_decision_panels_name_patients_and_events(labelled):
    study, _, predictions = labelled
    parts = pictures.decision_panels(predictions, study, locked_recalibrations(predictions, study), ["A", "B"])
    assert len(parts) == 3
    assert "n = 60" in parts[0][0]
    figures.panels(prediction_figures.decision, parts, columns=1)


def test_single_patients(labelled, followed):
    for study, _, predictions in (labelled, followed):
        table, p = pictures.risk_boxes(predictions, study, "A")
        assert len(table) == 150
        assert set(p) == (set(table["cohort"]) if study is labelled[0] else set())
        prediction_figures.boxes(table, classes=pictures.classes_of(study), p=p)
        parts = pictures.waterfall_panels(predictions, study, "A", 0.5)
        assert [len(table) for _, table, _ in parts] == [60, 40, 50]
        figures.panels(prediction_figures.waterfall, parts, columns=1)
        assert pictures.waterfall_panels(predictions, study, "A", -np.inf) == []
        _, none = pictures.risk_boxes(predictions.assign(risk=0.5), study, "A")
        assert set(none.values()) <= {"no test"}
    assert "Mann" in pictures.boxes_caption(labelled[0], "A")
    assert "followed briefly" in pictures.boxes_caption(followed[0], "A")
    assert "not tested" in pictures.boxes_caption(followed[0], "A")
    assert "0.500, locked in training (Youden's index), mine." in pictures.waterfall_caption(labelled[0], "A", 0.5)
    assert pictures.waterfall_caption(followed[0], "A", 0.5).endswith("survival cuts by its own rule.")


def test_a_published_output_is_never_called_out_of_fold(make_study):
    study = make_study(signatures=PUBLISHED)
    assert pictures.title_of(study, "train", 60, ["B"]) == "North, published output (n = 60)"
    assert pictures.title_of(study, "train", names=["A", "B"]) == "North, out of fold; B as published"
    assert pictures.title_of(study, "train", names=["A"]) == "North, out of fold"
    assert pictures.title_of(study, "external", names=["B"]) == "East and West"
    assert "published output" in pictures.calibration_caption(study, "B")
    assert pictures.calibration_caption(study, "A").endswith("predictions for patients the model had not seen.")


def test_subgroup_panels(labelled, make_study):
    _, cohort, predictions = labelled
    study = make_study(validation={"subgroups": [{"column": "sex"}]})
    parts = pictures.subgroup_panels(predictions, study, cohort, study.validation.subgroups[0], "A")
    assert len(parts) == 3
    assert set(parts[0][1]["signature"].str[:2]) == {"F ", "M "}
    figures.panels(prediction_figures.roc, parts)


@pytest.mark.parametrize(("horizon", "words"), [(None, ""), (36.0, " at 36 months")])
def test_horizons_in_words(horizon, words):
    assert pictures.by_words(horizon) == words
