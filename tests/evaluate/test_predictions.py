"""Who is judged by which prediction."""

from __future__ import annotations

import numpy as np
import pytest

from radsupport.errors import ContractError, InputError, NotEstimableError
from radsupport.evaluate import judged, measure
from radsupport.evaluate import predictions as predicted
from radsupport.evaluate.predictions import APPARENT, LABEL, SURVIVAL, common


def test_missing_predictions_are_counted(labelled):
    _, _, predictions = labelled
    names = ["A", "B", "A + B"]
    assert predicted.missing_predictions(judged(predictions)).empty
    lost = predictions[~((predictions["signature"] == "B") & predictions["subject"].isin(["train_000", "train_001"]))]
    found = predicted.missing_predictions(judged(lost[lost["signature"] != "A + B"]), names)
    assert found.to_dict("records") == [
        {"cohort": "train", "signature": "B", "n": 60, "without": 2},
        {"cohort": "train", "signature": "A + B", "n": 60, "without": 60},
        {"cohort": "internal", "signature": "A + B", "n": 40, "without": 40},
        {"cohort": "external", "signature": "A + B", "n": 50, "without": 50},
    ]


def test_comparisons_within_a_larger_one_are_tested_there():
    given = {"small": ["A", "B"], "all": ["C", "B", "A"], "other": ["C", "D"], "again": ["B", "A", "C"]}
    assert predicted.largest(given) == {"all": ["C", "B", "A"], "other": ["C", "D"]}


def test_predictions_made_from_other_data_are_refused_with_every_difference(labelled):
    _, cohort, predictions = labelled
    predicted.check_outcomes(predictions, cohort)
    other = cohort.copy()
    other.loc[0, "label"] = 1 - other.loc[0, "label"]
    other.loc[1, "cohort"] = "internal"
    with pytest.raises(ContractError) as caught:
        judged(predictions, cohort=other.drop(index=len(other) - 1))
    text = str(caught.value)
    for part in ("train_000", "train_001", "external_049", "column label", "column cohort", "modelling chapter"):
        assert part in text


def test_times_that_differ_by_rounding_are_the_same(followed):
    _, cohort, predictions = followed
    predicted.check_outcomes(predictions, cohort.assign(time=cohort["time"] * (1 + 1e-12)), SURVIVAL)
    with pytest.raises(ContractError, match="column time"):
        predicted.check_outcomes(predictions, cohort.assign(time=cohort["time"] + 1), SURVIVAL)


def test_judged_rows_are_honest_ordered_and_have_the_outcome(labelled):
    _, _, predictions = labelled
    predictions.loc[predictions["subject"] == "external_000", "label"] = np.nan
    rows = judged(predictions)
    kinds = rows.groupby("cohort", observed=True)["kind"].unique().map(list).to_dict()
    assert kinds == {"train": ["out_of_fold"], "internal": ["external"], "external": ["external"]}
    assert list(rows["cohort"].cat.categories) == ["train", "internal", "external"]
    assert list(rows["signature"].cat.categories) == ["A", "B", "A + B"]
    assert rows.groupby("cohort", observed=True).size().tolist() == [180, 120, 147]
    named = judged(predictions, signatures=["A + B", "nobody", "A"], cohorts=["external", "train"])
    assert list(named["signature"].cat.categories) == ["A + B", "A"]
    assert list(named["cohort"].cat.categories) == ["external", "train"]


def test_judged_rows_of_survival_need_time_and_event(followed):
    _, _, predictions = followed
    lost = predictions.assign(event=predictions["event"].mask(predictions["subject"] == "train_000"))
    rows = judged(lost, SURVIVAL, ["A"])
    assert rows.groupby("cohort", observed=True).size().tolist() == [59, 40, 50]
    assert judged(lost).empty
    with pytest.raises(InputError, match=r"label.*A, B"):
        judged(lost, LABEL, ["A", "B"])


def test_apparent_predictions_come_first_as_a_cohort_of_their_own(labelled):
    rows = judged(labelled[2], apparent=True)
    assert list(rows["cohort"].cat.categories) == [APPARENT, "train", "internal", "external"]
    assert set(rows.loc[rows["cohort"] == APPARENT, "kind"]) == {"apparent"}
    assert set(rows.loc[rows["cohort"] == APPARENT, "subject"]) == set(rows.loc[rows["cohort"] == "train", "subject"])


def test_a_measure_has_a_row_per_group_and_says_what_can_not_be_estimated(labelled):
    rows = judged(labelled[2])

    def spread(part, factor):
        if part["signature"].iloc[0] == "B":
            raise NotEstimableError("It is noise.")
        return {"spread": factor * part["risk"].std()}

    table = measure(rows, spread, factor=2)
    assert table[["cohort", "signature"]].iloc[:3].to_numpy().tolist() == [
        ["train", name] for name in ("A", "B", "A + B")
    ]
    assert table["n"].tolist() == [60] * 3 + [40] * 3 + [50] * 3
    own = rows[(rows["cohort"] == "external") & (rows["signature"] == "A + B")]["risk"]
    assert table["spread"].iloc[-1] == 2 * own.std()
    assert table["note"].tolist() == ["", "It is noise.", ""] * 3
    assert table["spread"].isna().tolist() == [False, True, False] * 3
    many = measure(rows, lambda part: part[["risk"]].head(2), by=("signature",))
    assert list(many.columns) == ["signature", "n", "risk"]
    assert len(many) == 6
    assert measure(rows.iloc[:0], spread, factor=1).empty


def test_common_rows_keep_their_order_and_one_value_per_signature(labelled):
    _, _, predictions = labelled
    lost = predictions[~((predictions["signature"] == "B") & (predictions["subject"] == "internal_003"))]
    rows = judged(lost, signatures=["B", "A"], cohorts=["internal"])
    outcome, risks = common(rows)
    assert list(risks.columns) == ["B", "A"]
    assert len(risks) == 39
    assert list(risks.index) == sorted(risks.index) == list(outcome.index)
    assert "internal_003" not in risks.index
    row = rows[(rows["signature"] == "A") & (rows["subject"] == "internal_007")].iloc[0]
    assert (risks.loc["internal_007", "A"], outcome.loc["internal_007", "label"]) == (row["risk"], row["label"])
