"""Chapter 07: risks by outcome, and characteristics by risk group."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from radsupport.book.conclusions import survival as survival_steps
from radsupport.evaluate import predictions as steps_groups
from radsupport.evaluate import survival as steps
from radsupport.evaluate import thresholds as thresholds_steps_groups
from radsupport.settings.study import Study
from radsupport.stats.table_one import compare_groups
from radsupport.wording import p_value


@pytest.fixture
def groups(small_predictions: pd.DataFrame, small_study: Study) -> pd.DataFrame:
    rows = steps_groups.followed(small_predictions, small_study)
    return thresholds_steps_groups.in_groups(
        rows, thresholds_steps_groups.locked(thresholds_steps_groups.cut_offs(rows, small_study))
    )


def test_outcome_is_the_label_or_the_event(small_study: Study) -> None:
    assert steps.outcome_classes(small_study) == ("label", ("late", "early"))
    endpoint = small_study.endpoint.model_copy(update={"primary": "survival"})
    timed = small_study.model_copy(update={"endpoint": endpoint})
    assert steps.outcome_classes(timed) == ("event", ("no death seen", "death seen"))


def test_box_plot_compares_outcomes_in_each_cohort(groups: pd.DataFrame, small_study: Study) -> None:
    table, words = steps.risk_by_outcome(groups, small_study, "Image")
    assert set(table["cohort"]) == {"Hospital A", "Hospital B"}
    part = table[table["cohort"] == "Hospital B"]
    assert words["Hospital B"] == p_value(compare_groups(part["risk"], part["label"], test="mann_whitney").p)
    alike = groups.assign(label=1.0)
    assert steps.risk_by_outcome(alike, small_study, "Image")[1] == {}


def test_whether_an_event_was_seen_has_no_test(groups: pd.DataFrame, small_study: Study) -> None:
    endpoint = small_study.endpoint.model_copy(update={"primary": "survival"})
    timed = small_study.model_copy(update={"endpoint": endpoint})
    table, words = steps.risk_by_outcome(groups, timed, "Image")
    assert words == {}
    assert len(table) == 130
    assert survival_steps.test_words(words) == ""
    assert "Mann–Whitney" in survival_steps.test_words({"Hospital A": "p = 0.2"})
    assert "wrong colour" in survival_steps.colour_words(small_study)
    assert survival_steps.colour_words(timed).startswith(
        '"No death seen" may only mean that a patient was followed briefly'
    )


def test_waterfall_stands_on_the_cut_off(groups: pd.DataFrame, small_study: Study) -> None:
    panels = survival_steps.waterfall_panels(groups, small_study, "Image")
    assert [title for title, _, _ in panels] == ["Hospital A (n = 90)", "Hospital B (n = 40)"]
    cut = groups.loc[groups["signature"] == "Image", "cut_off"].iloc[0]
    assert all(options["cut_off"] == cut for _, _, options in panels)


def test_characteristics_count_patients_by_group(
    groups: pd.DataFrame, small_cohort: pd.DataFrame, small_study: Study
) -> None:
    small_cohort.loc[3, "age"] = np.nan
    found = steps.characteristics(groups, small_cohort, small_study, "Image")
    assert list(found) == ["Hospital A", "Hospital B"]
    table = found["Hospital A"]
    sizes = groups[(groups["signature"] == "Image") & (groups["cohort"] == "train")]["group"].value_counts()
    assert int(table.loc[0, "high risk"]) == sizes["high risk"]
    assert table["variable"].tolist()[:2] == ["Patients", "Age (years)"]
    assert "Invasion" in set(table["variable"])
    assert table.loc[table["variable"] == "Age (years)", "missing"].iloc[0] == 1
    assert not table["test"].str.contains("_").any()


def test_one_group_has_no_characteristics(groups: pd.DataFrame, small_cohort: pd.DataFrame, small_study: Study) -> None:
    alone = groups.assign(group=pd.Categorical(["low risk"] * len(groups), ["low risk", "high risk"]))
    assert steps.characteristics(alone, small_cohort, small_study, "Image") == {}
