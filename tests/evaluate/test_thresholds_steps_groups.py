"""Chapter 07: honest risks only, cut-offs from training only, groups and pools."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from radsupport.book.conclusions import survival as survival_steps
from radsupport.errors import InputError
from radsupport.evaluate import predictions as steps
from radsupport.evaluate import thresholds as thresholds_steps
from radsupport.settings.study import Study
from radsupport.stats.logrank import log_rank, maximally_selected_cutoff
from radsupport.stats.roc import youden
from radsupport.wording import p_number


@pytest.fixture
def rows(small_predictions: pd.DataFrame, small_study: Study) -> pd.DataFrame:
    return steps.followed(small_predictions, small_study)


def with_survival(study: Study, **changes: object) -> Study:
    return study.model_copy(update={"survival": study.survival.model_copy(update=changes)})


def test_only_honest_risks_are_followed(rows: pd.DataFrame, small_predictions: pd.DataFrame) -> None:
    assert len(rows) == 2 * 130
    apparent = small_predictions[small_predictions["kind"] == "apparent"]
    joined = rows.merge(apparent, on=["subject", "signature"], suffixes=("", "_apparent"))
    assert (joined["risk"] != joined["risk_apparent"]).all()
    assert list(rows["signature"].unique()) == ["Image", "Clinic"]
    assert list(rows["cohort"].unique()) == ["train", "external"]


def test_patients_without_follow_up_are_left_out(small_predictions: pd.DataFrame, small_study: Study) -> None:
    small_predictions.loc[small_predictions["subject"] == "s000", ["time", "event"]] = np.nan
    assert "s000" not in set(steps.followed(small_predictions, small_study)["subject"])


def test_no_followed_patient_is_an_error(small_predictions: pd.DataFrame, small_study: Study) -> None:
    with pytest.raises(InputError, match="Image, Clinic"):
        steps.followed(small_predictions.assign(time=np.nan, event=np.nan), small_study)


def test_cut_offs_are_those_of_their_rules_in_training(rows: pd.DataFrame, small_study: Study) -> None:
    table = thresholds_steps.cut_offs(rows, small_study)
    part = rows[(rows["cohort"] == "train") & (rows["signature"] == "Image")]
    found = table[table["signature"] == "Image"].set_index("rule")
    assert list(found.index) == ["median", "max_logrank", "youden"]
    assert found.loc["median", "cut_off"] == part["risk"].median()
    assert found.loc["youden", "cut_off"] == youden(part["label"], part["risk"]).threshold
    searched = maximally_selected_cutoff(part["time"], part["event"], part["risk"])
    assert found.loc["max_logrank", "cut_off"] == searched.cut_off
    assert found.loc["max_logrank", "p_search"] == searched.p
    assert found["used"].tolist() == [True, False, False]
    assert thresholds_steps.locked(table)["Image"] == part["risk"].median()


def test_other_cohorts_do_not_move_the_cut_off(rows: pd.DataFrame, small_study: Study) -> None:
    changed = rows.assign(risk=np.where(rows["cohort"] == "external", rows["risk"] * 10, rows["risk"]))
    first, second = (thresholds_steps.cut_offs(r, small_study)["cut_off"] for r in (rows, changed))
    pd.testing.assert_series_equal(first, second)


def test_a_rule_that_finds_nothing_gives_way_to_the_median(rows: pd.DataFrame, small_study: Study) -> None:
    censored = rows.assign(event=0.0)
    study = with_survival(small_study, threshold="max_logrank")
    table = thresholds_steps.cut_offs(censored, study)
    own = table[table["signature"] == "Image"].set_index("rule")
    assert np.isnan(own.loc["max_logrank", "cut_off"])
    assert "censored" in own.loc["max_logrank", "note"]
    assert own["used"].to_dict() == {"max_logrank": False, "median": True, "youden": False}
    assert "the median stands in" in survival_steps.locked_words(thresholds_steps.locked(table), table, study)


def test_youden_without_a_label_is_an_error(rows: pd.DataFrame, small_study: Study) -> None:
    with pytest.raises(InputError, match="median"):
        thresholds_steps.cut_offs(rows.assign(label=np.nan), with_survival(small_study, threshold="youden"))


def test_high_risk_is_above_the_cut_off(rows: pd.DataFrame) -> None:
    groups = thresholds_steps.in_groups(rows, pd.Series({"Image": 0.5, "Clinic": 0.4}))
    assert ((groups["risk"] > groups["cut_off"]) == (groups["group"] == steps.HIGH)).all()
    assert groups.loc[groups["signature"] == "Clinic", "cut_off"].eq(0.4).all()


def test_pools_are_all_cohorts_or_those_named(rows: pd.DataFrame, small_study: Study) -> None:
    groups = thresholds_steps.in_groups(steps.of_signature(rows, "Image"), pd.Series({"Image": 0.5}))
    assert [(k, len(p)) for k, _, p in steps.parts(groups, small_study)] == [
        ("train", 90),
        ("external", 40),
        ("pooled", 130),
    ]
    named = with_survival(small_study, pooled={"Both Hospitals": ["train", "external"]})
    assert [key for key, _, _ in steps.parts(groups, named)] == ["train", "external", "both_hospitals"]
    only = groups[groups["cohort"] == "train"]
    assert [key for key, _, _ in steps.parts(only, small_study)] == ["train"]
    assert "90 of the 130 patients of all cohorts are those" in survival_steps.pooling_words(groups, small_study)
    assert survival_steps.pooling_words(only, small_study) == ""


def test_side_by_side_tells_groups_and_p_of_each_rule(rows: pd.DataFrame, small_study: Study) -> None:
    table = thresholds_steps.cut_offs(rows, small_study)
    shown = thresholds_steps.rules_side_by_side(rows, table, small_study)
    cell = shown.loc[0, "Hospital B: low / high, log-rank P"]
    external = rows[(rows["signature"] == "Image") & (rows["cohort"] == "external")]
    high = external["risk"] > table.loc[0, "cut_off"]
    assert cell.startswith(f"{(~high).sum()} / {high.sum()}, P ")
    assert thresholds_steps.group_p(
        thresholds_steps.in_groups(external, thresholds_steps.by_rule(table, "median"))
    ) == pytest.approx(log_rank(external["time"], external["event"], high).p)


def test_a_searched_cut_off_shows_its_raw_p_and_the_one_that_allows_for_the_search(
    rows: pd.DataFrame, small_study: Study
) -> None:
    table = thresholds_steps.cut_offs(rows, small_study)
    shown = thresholds_steps.rules_side_by_side(rows, table, small_study)
    i = table.index[(table["signature"] == "Image") & (table["rule"] == "max_logrank")][0]
    part = rows[(rows["signature"] == "Image") & (rows["cohort"] == "train")]
    raw = log_rank(part["time"], part["event"], part["risk"] > table.loc[i, "cut_off"]).p
    cell = shown.loc[i, "Hospital A: low / high, log-rank P"]
    assert cell.endswith(f", P {p_number(raw)} ({p_number(table.loc[i, 'p_search'])} with the search allowed for)")
    others = shown.drop(columns="Hospital A: low / high, log-rank P").astype(str)
    assert not others.apply(lambda column: column.str.contains("search allowed")).any(axis=None)


def test_one_group_has_no_p_and_is_said_in_words(rows: pd.DataFrame, small_study: Study) -> None:
    groups = thresholds_steps.in_groups(steps.of_signature(rows, "Image"), pd.Series({"Image": 2.0}))
    assert np.isnan(thresholds_steps.group_p(groups))
    words = survival_steps.one_group_words(groups, small_study)
    assert "all 90 patients of Hospital A at low risk" in words
    assert "all 40 patients of Hospital B" in words
    both = thresholds_steps.in_groups(steps.of_signature(rows, "Image"), pd.Series({"Image": 0.5}))
    assert survival_steps.one_group_words(both, small_study) == ""


def test_follow_up_counts_each_patient_once(rows: pd.DataFrame, small_study: Study) -> None:
    table = thresholds_steps.follow_up_table(rows, small_study)
    assert table["n"].tolist() == [90, 40]
    assert table["cohort"].tolist() == ["Hospital A", "Hospital B"]


def test_a_missing_cut_off_gives_no_patients_rather_than_empty_ones(rows: pd.DataFrame) -> None:
    groups = thresholds_steps.in_groups(rows, pd.Series({"Image": np.nan, "Clinic": np.nan}))
    assert groups.empty
    assert {"cut_off", "group", "time"} <= set(groups.columns)
