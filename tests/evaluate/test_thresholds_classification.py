"""Thresholds that are fixed in training, and what they classify."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from radsupport.book.conclusions import validation as validation_classification
from radsupport.evaluate import thresholds as classification
from radsupport.evaluate.predictions import judged_part


def test_thresholds_are_fixed_in_training_by_the_rule(labelled):
    study, _, predictions = labelled
    part = judged_part(predictions, study, "train", "A")
    median = classification.thresholds(predictions, study, "median")["A"]
    assert median == part["risk"].median()
    assert classification.thresholds(predictions, study, "half")["A"] == 0.5
    cut = classification.thresholds(predictions, study)["A"]
    cuts = np.sort(part["risk"].to_numpy())
    y = part["label"].to_numpy()

    def j(value: float) -> float:
        above = part["risk"].to_numpy() > value
        return above[y == 1].mean() - above[y == 0].mean()

    assert j(cut) == pytest.approx(max(j(value) for value in [-1, *cuts]))


def test_outcomes_elsewhere_do_not_move_the_threshold(labelled):
    study, _, predictions = labelled
    other = predictions.assign(label=predictions["label"].mask(predictions["cohort"] != "train", 1.0))
    pd.testing.assert_series_equal(
        classification.thresholds(predictions, study), classification.thresholds(other, study)
    )
    apparent = predictions.assign(risk=predictions["risk"].mask(predictions["kind"] == "apparent", 0.9))
    pd.testing.assert_series_equal(
        classification.thresholds(predictions, study), classification.thresholds(apparent, study)
    )


def test_youden_s_index_falls_back_to_the_median(followed, labelled):
    study, _, predictions = followed
    train = judged_part(predictions, study, "train", "A")
    assert classification.thresholds(predictions, study, "youden")["A"] == train["risk"].median()
    one_class = pd.DataFrame({"label": [0.0, 0.0, 0.0], "risk": [0.1, 0.2, 0.6]})
    assert classification.threshold_of(one_class, "youden") == 0.2


def test_counts_and_exact_limits(labelled):
    study, _, predictions = labelled
    table = classification.classification_table(predictions, study)
    row = table.query("cohort == 'internal' and signature == 'A'").iloc[0]
    part = judged_part(predictions, study, "internal", "A")
    called = part["risk"] > classification.thresholds(predictions, study)["A"]
    assert row["tp"] == int((called & (part["label"] == 1)).sum())
    assert row["tp"] + row["fn"] == row["events"] == int(part["label"].sum())
    assert row[["tn", "fp", "fn", "tp"]].sum() == row["n"] == 40
    exact = stats.binomtest(int(row["tp"]), int(row["events"])).proportion_ci(method="exact")
    assert [row["sensitivity_low"], row["sensitivity_high"]] == pytest.approx([exact.low, exact.high])
    right = int(row["tp"] + row["tn"])
    better = stats.binomtest(right, 40, row["no_information_rate"], alternative="greater").pvalue
    assert row["p_vs_nir"] == pytest.approx(better)


def test_a_constant_risk_has_a_threshold_below_everybody(labelled):
    study, _, predictions = labelled
    table = classification.classification_table(predictions.assign(risk=0.4), study)
    assert (table["threshold"] == -np.inf).all()
    assert (table["sensitivity"] == 1).all()
    assert table["npv"].isna().all()
    shown = validation_classification.rates_shown(table)
    assert (shown["npv"] == "not defined").all()
    assert validation_classification.counts_shown(table)["threshold"].iloc[0] == "−∞"


def test_a_signature_without_training_predictions_has_no_locked_threshold(labelled):
    study, _, predictions = labelled
    lost = predictions[~((predictions["signature"] == "B") & (predictions["kind"] == "out_of_fold"))]
    assert set(classification.classification_table(lost, study)["signature"]) == {"A", "A + B"}


def test_rules_side_by_side_are_ordered_by_cohort(labelled):
    study, _, predictions = labelled
    rules = classification.threshold_rules(predictions, study, "A")
    assert list(rules["cohort"]) == ["train"] * 3 + ["internal"] * 3 + ["external"] * 3
    assert list(rules["rule"].iloc[:3]) == ["youden", "median", "half"]
    shown = validation_classification.rules_shown(rules)
    assert list(shown["rule"].iloc[:3]) == list(classification.RULE_WORDS.values())
    assert "(" in shown["accuracy"].iloc[0]


def test_operating_points_are_the_rates_of_one_cohort(labelled):
    study, _, predictions = labelled
    table = classification.classification_table(predictions, study)
    points = classification.operating_points(table, "external", ["A", "B"])
    assert list(points["signature"]) == ["A", "B"]
    assert points["sensitivity"].iloc[0] == table.query("cohort == 'external'")["sensitivity"].iloc[0]
