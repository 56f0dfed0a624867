"""Decision curves, where they are of use, and reclassification."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from radsupport.evaluate import usefulness
from radsupport.evaluate.predictions import judged_part
from radsupport.evaluate.probability import locked_recalibrations
from radsupport.stats.reclassification import nri_idi, nri_idi_survival


def test_net_benefit_counts_true_and_false_positives(labelled):
    study, _, predictions = labelled
    locked = locked_recalibrations(predictions, study)
    table = usefulness.decision_table(predictions, study, locked, "external", ["A", "B"])
    part = judged_part(predictions, study, "external", "A")
    treated = part["risk"] >= 0.2
    expected = (treated & (part["label"] == 1)).mean() - (treated & (part["label"] == 0)).mean() * 0.2 / 0.8
    found = table.query("strategy == 'A' and threshold == 0.2")["net_benefit"].iloc[0]
    assert found == pytest.approx(expected)
    share = part["label"].mean()
    everybody = table.query("strategy == 'treat_all' and threshold == 0.2")["net_benefit"].iloc[0]
    assert everybody == pytest.approx(share - (1 - share) * 0.25)
    assert table.attrs == {"n": 50, "events": int(part["label"].sum())}
    assert table["threshold"].min() == 0.05
    assert table["threshold"].max() == 0.6


def test_only_patients_with_all_predictions_are_compared(labelled):
    study, _, predictions = labelled
    lost = predictions[~((predictions["signature"] == "B") & (predictions["subject"] == "internal_003"))]
    locked = locked_recalibrations(lost, study)
    outcome, p = usefulness.common_probabilities(lost, study, locked, "internal", ["A", "B", "nobody"])
    assert list(p.columns) == ["A", "B"]
    assert len(p) == len(outcome) == 39
    none = usefulness.common_probabilities(lost, study, locked, "internal", ["nobody"])
    assert none[1].empty


def test_survival_curves_need_a_horizon_that_can_be_judged(followed):
    study, _, predictions = followed
    locked = locked_recalibrations(predictions, study)
    table = usefulness.decision_table(predictions, study, locked, "external", ["A", "B"], 12.0)
    assert set(table["strategy"]) == {"A", "B", "treat_all", "treat_none"}
    assert usefulness.decision_table(predictions, study, locked, "external", ["A", "B"], 500.0).empty
    assert usefulness.decision_table(predictions, study, locked, "external", ["nobody"], 12.0).empty
    found = usefulness.useful_table(predictions, study, locked, ["A", "B"], [12.0, 24.0, 500.0])
    assert set(found["horizon"]) == {12.0, 24.0}
    assert len(found) == 2 * 3 * 2


def test_one_outcome_has_no_decision_curve(labelled):
    study, _, predictions = labelled
    alone = predictions.assign(label=1.0)
    assert usefulness.decision_table(alone, study, locked_recalibrations(alone, study), "train", ["A"]).empty


def test_the_useful_range_lies_where_a_curve_beats_both_references():
    marks = [0.1, 0.2, 0.3, 0.4]
    curve = {"model": [0.30, 0.24, 0.10, -0.1], "treat_all": [0.30, 0.20, 0.05, -0.2], "treat_none": [0.0] * 4}
    rows = [(t, name, v) for name, values in curve.items() for t, v in zip(marks, values, strict=True)]
    row = usefulness.useful_range(pd.DataFrame(rows, columns=["threshold", "strategy", "net_benefit"])).iloc[0]
    assert row[["better_at", "at"]].tolist() == ["20% to 30%", "30%"]
    assert row["share"] == 0.5
    assert row["largest_gain"] == pytest.approx(0.05)
    useless = pd.DataFrame(rows, columns=["threshold", "strategy", "net_benefit"]).query("strategy != 'model'")
    copy = useless[useless["strategy"] == "treat_all"].assign(strategy="model")
    row = usefulness.useful_range(pd.concat([useless, copy])).iloc[0]
    assert (row["share"], row["better_at"], row["at"]) == (0, "nowhere", None)
    assert np.isnan(row["largest_gain"])


def test_reclassification_is_that_of_the_best_against_the_comparator(labelled, make_study):
    _, _, predictions = labelled
    study = make_study(validation={"risk_categories": [0.2, 0.5]})
    table = usefulness.reclassification_table(predictions, study, locked_recalibrations(predictions, study))
    assert list(table["measure"].unique()) == ["continuous NRI", "NRI over the limits 20%, 50%", "IDI"]
    a, b = (judged_part(predictions, study, "internal", name) for name in ("A", "B"))
    expected = nri_idi(a["label"], b["risk"].to_numpy(), a["risk"].to_numpy())
    row = table.query("cohort == 'internal' and measure == 'IDI'").iloc[0]
    assert [row["value"], row["p"], row["n"]] == pytest.approx([expected.idi, expected.p_idi, 40])
    assert (table.query("measure == 'IDI'")["value"] > 0).all()


def test_reclassification_needs_a_comparator_and_both_outcomes(labelled, make_study):
    study, _, predictions = labelled
    for other in (make_study(validation={"comparator": ""}), make_study(validation={"comparator": "A"})):
        assert usefulness.reclassification_table(predictions, other, {}).empty
    alone = predictions.assign(label=1.0)
    assert usefulness.reclassification_table(alone, study, locked_recalibrations(alone, study)).empty


def test_reclassification_at_a_horizon_is_weighted_for_censoring(followed):
    study, _, predictions = followed
    locked = locked_recalibrations(predictions, study)
    table = usefulness.reclassification_table(predictions, study, locked, [12.0, 500.0])
    assert set(table["horizon"]) == {12.0}
    assert list(table["measure"].unique()) == ["continuous NRI", "IDI"]
    a, b = (judged_part(predictions, study, "external", name) for name in ("A", "B"))
    new, old = (locked[name].probability(part, 12.0)[:, 0] for name, part in (("A", a), ("B", b)))
    expected = nri_idi_survival(a["time"], a["event"], old, new, 12.0, n_resamples=50, seed=1)
    row = table.query("cohort == 'external' and measure == 'IDI'").iloc[0]
    assert [row["value"], row["ci_low"]] == pytest.approx([expected.idi, expected.idi_low])
    assert (row["n"], row["events"]) == (50, expected.n_events)
