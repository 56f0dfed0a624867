"""Decision curves, where they are of use, and reclassification."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from helpers.validation_study import rows_of

from radsupport.evaluate import (
    corrections,
    decisions,
    judged,
    lock,
    measure,
    probabilities,
    reclassification,
    usefulness,
)
from radsupport.evaluate.calibration import last_step
from radsupport.evaluate.predictions import SURVIVAL
from radsupport.stats.logistic import fit_logistic
from radsupport.stats.usefulness import net_benefit, nri_idi, nri_idi_survival

AT = ("horizon", "cohort")


def acting(predictions: pd.DataFrame, signatures: list[str] | None = None) -> pd.DataFrame:
    rows = judged(predictions, signatures=signatures)
    return probabilities(rows, lock(rows))


def acting_by(predictions: pd.DataFrame, horizons: list[float]) -> tuple[pd.DataFrame, dict]:
    rows = judged(predictions, SURVIVAL, ["A", "B"])
    locked = lock(rows, SURVIVAL)
    return probabilities(rows, locked, horizons), locked


def test_net_benefit_counts_true_and_false_positives(labelled):
    _, _, predictions = labelled
    table = measure(acting(predictions), decisions, ("cohort",), low=0.05, high=0.6).query("cohort == 'external'")
    part = rows_of(predictions, "external")
    treated = part["risk"] >= 0.2
    expected = (treated & (part["label"] == 1)).mean() - (treated & (part["label"] == 0)).mean() * 0.2 / 0.8
    found = table.query("strategy == 'A' and threshold == 0.2")["net_benefit"].iloc[0]
    assert found == pytest.approx(expected)
    share = part["label"].mean()
    everybody = table.query("strategy == 'treat_all' and threshold == 0.2")["net_benefit"].iloc[0]
    assert everybody == pytest.approx(share - (1 - share) * 0.25)
    assert (table["n"].unique(), table["events"].unique()) == ([50], [int(part["label"].sum())])
    assert (table["threshold"].min(), table["threshold"].max()) == (0.05, 0.6)


def test_only_patients_with_all_predictions_are_compared(labelled):
    _, _, predictions = labelled
    lost = predictions[~((predictions["signature"] == "B") & (predictions["subject"] == "internal_003"))]
    table = measure(acting(lost), decisions, ("cohort",))
    assert table.groupby("cohort")["n"].first().to_dict() == {"train": 60, "internal": 39, "external": 50}


def test_survival_curves_need_a_horizon_that_can_be_judged(followed):
    at, _ = acting_by(followed[2], [12.0, 24.0, 500.0])
    table = measure(at, decisions, AT)
    assert set(table["strategy"]) == {"A", "B", "treat_all", "treat_none"}
    found = measure(table, usefulness, AT)
    assert set(found["horizon"]) == {12.0, 24.0}
    assert len(found) == 2 * 3 * 2
    assert found[["horizon", "cohort"]].iloc[[0, 2, 4]].to_numpy().tolist() == [
        [12.0, "train"], [12.0, "internal"], [12.0, "external"],
    ]  # fmt: skip


def test_one_outcome_has_no_decision_curve(labelled):
    assert measure(acting(labelled[2].assign(label=1.0)), decisions, ("cohort",)).empty


def test_the_useful_range_lies_where_a_curve_beats_both_references():
    marks = [0.1, 0.2, 0.3, 0.4]
    curve = {"model": [0.30, 0.24, 0.10, -0.1], "treat_all": [0.30, 0.20, 0.05, -0.2], "treat_none": [0.0] * 4}
    rows = [(t, name, v, 200, 60) for name, values in curve.items() for t, v in zip(marks, values, strict=True)]
    table = pd.DataFrame(rows, columns=["threshold", "strategy", "net_benefit", "n", "events"])
    row = usefulness(table).iloc[0]
    assert row[["better_at", "at"]].tolist() == ["20% to 30%", "30%"]
    assert (row["share"], row["n"], row["events"], row["least"]) == (0.5, 200, 60, 0.005)
    few = usefulness(table.assign(n=20)).iloc[0]  # a gain of 0.04 is less than one of 20 patients
    assert (few["better_at"], few["least"]) == ("30%", 0.05)
    assert row["largest_gain"] == pytest.approx(0.05)
    useless = table.query("strategy != 'model'")
    copy = useless[useless["strategy"] == "treat_all"].assign(strategy="model")
    row = usefulness(pd.concat([useless, copy])).iloc[0]
    assert (row["share"], row["better_at"], row["at"]) == (0, "nowhere", None)
    assert np.isnan(row["largest_gain"])


def test_reclassification_is_that_of_one_signature_against_another(labelled):
    _, _, predictions = labelled
    table = measure(acting(predictions), reclassification, ("cohort",), new="A", old="B", limits=[0.2, 0.5])
    assert list(table["measure"].unique()) == ["continuous NRI", "NRI over the limits 20%, 50%", "IDI"]
    a, b = (rows_of(predictions, "internal", name) for name in ("A", "B"))
    expected = nri_idi(a["label"], b["risk"].to_numpy(), a["risk"].to_numpy())
    row = table.query("cohort == 'internal' and measure == 'IDI'").iloc[0]
    assert [row["value"], row["p"], row["n"]] == pytest.approx([expected.idi, expected.p_idi, 40])
    assert (table.query("measure == 'IDI'")["value"] > 0).all()


def test_reclassification_needs_another_signature_and_both_outcomes(labelled):
    at = acting(labelled[2])
    for other in ("", "A"):
        assert measure(at, reclassification, ("cohort",), new="A", old=other).empty
    alone = acting(labelled[2].assign(label=1.0))
    table = measure(alone, reclassification, ("cohort",), new="A", old="B")
    assert table["value"].isna().all()
    assert table["note"].str.contains("fewer than 5 patients").all()


@pytest.mark.parametrize(("events", "tested"), [(9, False), (10, True)])
def test_a_measure_of_few_who_could_move_has_no_interval_and_no_test(events, tested):
    rows = pd.DataFrame({"subject": range(24), "label": [1] * events + [0] * (24 - events), "cohort": "B"})
    rng = np.random.default_rng(5)
    two = [rows.assign(signature=name, probability=rng.uniform(0.1, 0.9, 24)) for name in ("A", "B")]
    rows = pd.concat(two).assign(signature=lambda t: pd.Categorical(t["signature"], ["A", "B"], ordered=True))
    table = measure(rows, reclassification, ("cohort",), new="A", old="B", halves=True)
    assert table["value"].notna().all()
    whole = table[~table["measure"].str.startswith("NRI,")]
    assert whole[["value_low", "value_high", "p"]].notna().all(axis=None) == tested
    assert whole["p"].isna().all() != tested
    assert ("note" in table and table["note"].str.startswith("no interval or test: fewer than 10").all()) != tested


def test_reclassification_at_a_horizon_is_weighted_for_censoring(followed):
    _, _, predictions = followed
    at, locked = acting_by(predictions, [12.0, 500.0])
    table = measure(at, reclassification, AT, new="A", old="B", n_bootstrap=50, seed=1)
    assert set(table["horizon"]) == {12.0}
    assert list(table["measure"].unique()) == ["continuous NRI", "IDI"]
    a, b = (rows_of(predictions, "external", name, SURVIVAL) for name in ("A", "B"))
    new, old = (locked[name].probability(part, 12.0)[:, 0] for name, part in (("A", a), ("B", b)))
    expected = nri_idi_survival(a["time"], a["event"], old, new, 12.0, n_resamples=50, seed=1)
    row = table.query("cohort == 'external' and measure == 'IDI'").iloc[0]
    assert [row["value"], row["value_low"]] == pytest.approx([expected.idi, expected.idi_low])
    assert (row["n"], row["events"]) == (50, expected.n_events)


def test_limits_of_net_benefit_are_percentiles_of_the_drawn_patients(labelled):
    part = acting(labelled[2]).query("cohort == 'external'")
    table = decisions(part, 0.2, 0.2, banded="A", n_bootstrap=60, seed=3).set_index("strategy")
    own = part[part["signature"] == "A"].sort_values("subject", ignore_index=True)
    drawn = np.random.default_rng(3).integers(0, len(own), (60, len(own)))
    values = [
        net_benefit(own["label"][rows], own["probability"][rows], [0.2]).query("strategy == 'model'")["net_benefit"]
        for rows in drawn
    ]
    expected = np.quantile(np.concatenate(values), [0.025, 0.975])
    assert table.loc["A", ["net_benefit_low", "net_benefit_high"]].to_numpy(float) == pytest.approx(expected)
    assert table.drop(index="A")["net_benefit_low"].isna().all()


def test_net_benefit_corrected_for_the_optimism_of_the_last_step_by_brute_force(labelled):
    rows = judged(labelled[2], signatures=["A"])
    found = corrections(rows, {"A": (["A"], [])}, pd.DataFrame(), n_bootstrap=4, seed=2, between=(0.2, 0.4))
    table, terms = last_step(rows, ["A"])

    def of(fit, part):
        p = fit.predict(part)
        return net_benefit(part["label"], p, [0.3]).query("strategy == 'model'")["net_benefit"].iloc[0]

    rng, lost = np.random.default_rng(2), []
    for _ in range(4):
        drawn = table.iloc[rng.integers(0, len(table), len(table))].reset_index(drop=True)
        fit = fit_logistic(drawn, "label", terms)
        lost.append(of(fit, drawn) - of(fit, table))
    row = found[np.isclose(found["threshold"], 0.3)].iloc[0]
    assert row["optimism"] == pytest.approx(np.mean(lost))
    assert row["net_benefit"] == pytest.approx(of(fit_logistic(table, "label", terms), table) - np.mean(lost))
