"""Who is judged by which prediction."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from radsupport.errors import ContractError, InputError, NotEstimableError
from radsupport.evaluate import common, judged, measure
from radsupport.evaluate import predictions as predicted
from radsupport.evaluate.predictions import APPARENT, LABEL, SURVIVAL
from radsupport.settings.evaluation import Comparison


def groups(**named: list[str]) -> list[Comparison]:
    return [Comparison(name=name, signatures=signatures) for name, signatures in named.items()]


def test_training_is_judged_out_of_fold_and_other_cohorts_by_the_external_prediction(labelled):
    study, _, predictions = labelled
    found = [(cohort, name, set(part["kind"])) for cohort, name, part in predicted.judged_of(predictions, study)]
    assert [f[:2] for f in found] == [(c, s) for c in ("train", "internal", "external") for s in ("A", "B", "A + B")]
    assert {kind for *_, kinds in found[:3] for kind in kinds} == {"out_of_fold"}
    assert {kind for *_, kinds in found[3:] for kind in kinds} == {"external"}


def test_patients_without_the_outcome_are_not_judged(labelled):
    study, _, predictions = labelled
    gone = predictions["subject"] == "external_000"
    predictions.loc[gone, "label"] = np.nan
    sizes = {cohort: len(part) for cohort, _, part in predicted.judged_of(predictions, study)}
    assert sizes == {"train": 60, "internal": 40, "external": 49}


def test_common_patients_are_those_whom_all_signatures_predict(labelled):
    study, _, predictions = labelled
    lost = predictions[~((predictions["signature"] == "B") & (predictions["subject"] == "internal_003"))]
    outcome, risks = predicted.common_patients(lost, study, "internal", ["A", "B"])
    assert list(risks.columns) == ["A", "B"]
    assert len(risks) == 39
    assert "internal_003" not in risks.index
    row = predictions.query("signature == 'A' and subject == 'internal_007' and kind == 'external'").iloc[0]
    assert risks.loc["internal_007", "A"] == row["risk"]
    assert outcome.loc["internal_007", "label"] == row["label"]
    assert list(predicted.common_patients(lost, study, "internal", ["A", "nobody"])[1].columns) == ["A"]


def test_missing_predictions_are_counted(labelled):
    study, _, predictions = labelled
    assert predicted.missing_predictions(predictions, study).empty
    lost = predictions[~((predictions["signature"] == "B") & predictions["subject"].isin(["train_000", "train_001"]))]
    found = predicted.missing_predictions(lost[lost["signature"] != "A + B"], study)
    assert found.to_dict("records") == [
        {"cohort": "train", "signature": "B", "n": 60, "without": 2},
        {"cohort": "train", "signature": "A + B", "n": 60, "without": 60},
        {"cohort": "internal", "signature": "A + B", "n": 40, "without": 40},
        {"cohort": "external", "signature": "A + B", "n": 50, "without": 50},
    ]


def test_comparisons_default_to_all_signatures_and_leave_out_those_not_predicted(labelled, make_study):
    study, _, predictions = labelled
    assert [f.signatures for f in predicted.families(predictions, study)] == [["A", "B", "A + B"]]
    named = make_study(validation={"comparisons": [{"name": "one", "signatures": ["A", "B"]}]})
    assert [f.name for f in predicted.families(predictions, named)] == ["one"]
    only_a = predictions[predictions["signature"] == "A"]
    assert predicted.families(only_a, named) == []


def test_comparisons_within_a_larger_one_are_tested_there():
    given = groups(small=["A", "B"], all=["C", "B", "A"], other=["C", "D"], again=["B", "A", "C"])
    assert [g.name for g in predicted.largest_families(given)] == ["all", "other"]


def test_compared_signatures_start_with_the_best_its_comparator_and_its_comparisons(make_study):
    study = make_study(validation={"best": "B", "comparator": "A + B"})
    assert predicted.compared_signatures(study) == ["B", "A + B", "A"]
    assert predicted.compared_signatures(study, most=2) == ["B", "A + B"]
    beside = make_study(validation={"comparator": "", "comparisons": [{"name": "x", "signatures": ["A + B", "A"]}]})
    assert predicted.compared_signatures(beside) == ["A", "A + B", "B"]


def test_shown_signatures_are_those_that_were_predicted(labelled):
    study, _, predictions = labelled
    assert predicted.shown_signatures(predictions, study) == ["A", "B"]
    assert predicted.shown_signatures(predictions[predictions["signature"] != "B"], study) == ["A"]
    assert predicted.in_study_order({"A + B", "A"}, study) == ["A", "A + B"]


def test_predictions_made_from_other_data_are_refused_with_every_difference(labelled):
    study, cohort, predictions = labelled
    predicted.check_outcomes(predictions, cohort, study)
    other = cohort.copy()
    other.loc[0, "label"] = 1 - other.loc[0, "label"]
    other.loc[1, "cohort"] = "internal"
    with pytest.raises(ContractError) as caught:
        predicted.check_outcomes(predictions, other.drop(index=len(other) - 1), study)
    text = str(caught.value)
    for part in ("train_000", "train_001", "external_049", "column label", "column cohort", "modelling chapter"):
        assert part in text


def test_times_that_differ_by_rounding_are_the_same(followed):
    study, cohort, predictions = followed
    predicted.check_outcomes(predictions, cohort.assign(time=cohort["time"] * (1 + 1e-12)), study)
    with pytest.raises(ContractError, match="column time"):
        predicted.check_outcomes(predictions, cohort.assign(time=cohort["time"] + 1), study)


def test_a_study_without_predictions_in_any_cohort_judges_nothing(labelled):
    study, _, predictions = labelled
    nothing = predictions[predictions["kind"] == "apparent"]
    assert predicted.judged_cohorts(nothing, study) == []
    assert predicted.missing_predictions(nothing, study).empty
    assert isinstance(predicted.judged_part(nothing, study, "train", "A"), pd.DataFrame)


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
