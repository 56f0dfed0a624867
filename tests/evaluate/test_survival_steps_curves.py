"""Chapter 07: what the curves of the risk groups come to."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from radsupport.book.conclusions import survival as survival_steps
from radsupport.evaluate import predictions as steps_groups
from radsupport.evaluate import survival as steps
from radsupport.evaluate import thresholds as thresholds_steps_groups
from radsupport.settings.study import Study
from radsupport.stats.logrank import log_rank
from radsupport.stats.survival_curves import kaplan_meier, restricted_mean
from radsupport.wording import p_number


@pytest.fixture
def groups(small_predictions: pd.DataFrame, small_study: Study) -> pd.DataFrame:
    rows = steps_groups.followed(small_predictions, small_study)
    return thresholds_steps_groups.in_groups(
        rows, thresholds_steps_groups.locked(thresholds_steps_groups.cut_offs(rows, small_study))
    )


def test_summary_is_that_of_each_group_alone(groups: pd.DataFrame, small_study: Study) -> None:
    table = steps.group_summary(groups, small_study)
    assert len(table) == 2 * 3 * 2
    row = table[(table["signature"] == "Image") & (table["key"] == "external") & (table["group"] == "high risk")].iloc[
        0
    ]
    part = groups[(groups["signature"] == "Image") & (groups["cohort"] == "external")]
    own = part[part["group"] == "high risk"]
    km = kaplan_meier(own["time"], own["event"])
    tau = min(part.loc[part["group"] == g, "time"].max() for g in ("low risk", "high risk"))
    assert row["median"] == km.median
    assert row["tau"] == tau
    assert row["restricted_mean"] == restricted_mean(own["time"], own["event"], tau).rmst
    assert row["n"] == len(own)


def test_difference_is_low_minus_high(groups: pd.DataFrame, small_study: Study) -> None:
    compared = steps.group_comparison(groups, small_study).set_index(["signature", "key"])
    summary = steps.group_summary(groups, small_study).set_index(["signature", "key", "group"])["restricted_mean"]
    for signature, key in compared.index:
        gap = summary[signature, key, "low risk"] - summary[signature, key, "high risk"]
        assert compared.loc[(signature, key), "difference"] == pytest.approx(gap)


def test_one_group_has_curves_but_no_comparison(groups: pd.DataFrame, small_study: Study) -> None:
    alone = groups.assign(group=pd.Categorical(["low risk"] * len(groups), ["low risk", "high risk"]))
    row = steps.group_comparison(alone, small_study).iloc[0]
    assert np.isnan(row["p"])
    assert np.isnan(row["difference"])
    panels = survival_steps.curve_panels(alone, small_study, "Image")
    assert [options["p"] for _, _, options in panels] == [None, None, None]
    assert set(panels[0][1]["group"]) == {"low risk"}
    assert all(options["order"] == ("low risk", "high risk") for _, _, options in panels)
    assert len(steps.group_summary(alone, small_study)) == 6


def test_a_group_without_events_has_no_median(groups: pd.DataFrame, small_study: Study) -> None:
    spared = groups.assign(event=np.where(groups["group"] == "low risk", 0.0, groups["event"]))
    summary = steps.group_summary(spared, small_study)
    low = summary[summary["group"] == "low risk"]
    assert low["median"].isna().all()
    shown = survival_steps.summary_shown(summary)
    assert (shown.loc[low.index, "Median, months (95% CI)"] == "not reached").all()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((12.34, 8.0, 20.0), "12.3 (8.0–20.0)"),
        ((12.34, 8.0, np.nan), "12.3 (8.0–not reached)"),
        ((np.nan, 8.0, np.nan), "not reached (from 8.0)"),
        ((np.nan, np.nan, np.nan), "not reached"),
        ((12.34, np.nan, np.nan), "12.3 (no interval)"),
    ],
)
def test_times_and_their_open_ends_in_words(values: tuple[float, float, float], words: str) -> None:
    assert steps.with_interval(*values) == words


def test_follow_up_is_shown_with_its_interval(groups: pd.DataFrame, small_study: Study) -> None:
    table = thresholds_steps_groups.follow_up_table(groups, small_study)
    row, shown = table.iloc[0], survival_steps.follow_up_shown(table)
    words = steps.with_interval(row["median"], row["ci_low"], row["ci_high"])
    assert shown["Median follow-up, months (95% CI)"].iloc[0] == words
    assert shown["Longest (months)"].iloc[0] == f"{row['longest']:.1f}"


def test_rules_are_compared_where_they_know_least(groups: pd.DataFrame, small_study: Study) -> None:
    table = thresholds_steps_groups.cut_offs(groups, small_study)
    where, panels = survival_steps.rule_panels(groups, table, small_study, "Image")
    assert where == "Hospital B (n = 40)"
    assert [title for title, _, _ in panels] == ["Median", "Maximally selected log-rank"]
    assert [options["note"] for _, _, options in panels] == ["", ""]


def test_training_panel_of_a_searched_cut_off_has_both_p_values(groups: pd.DataFrame, small_study: Study) -> None:
    table = thresholds_steps_groups.cut_offs(groups, small_study)
    where, panels = survival_steps.rule_panels(groups[groups["cohort"] == "train"], table, small_study, "Image")
    assert where == "Hospital A (n = 90)"
    row = table[(table["signature"] == "Image") & (table["rule"] == "max_logrank")].iloc[0]
    notes = [options["note"] for _, _, options in panels]
    assert notes == ["", f"{p_number(row['p_search'])} with the search allowed for"]
    part = groups[(groups["signature"] == "Image") & (groups["cohort"] == "train")]
    raw = log_rank(part["time"], part["event"], part["risk"] > row["cut_off"]).p
    assert panels[1][2]["p"] == pytest.approx(raw)
    assert raw < row["p_search"]


def test_curves_carry_the_median_of_the_table(groups: pd.DataFrame, small_study: Study) -> None:
    summary = steps.group_summary(groups, small_study)
    own = summary[(summary["signature"] == "Image") & (summary["key"] == "train")].set_index("group")["median"]
    curves = survival_steps.curve_panels(groups, small_study, "Image")[0][1]
    pd.testing.assert_series_equal(curves.groupby("group")["median"].first(), own.sort_index(), check_names=False)


def test_end_of_the_curves_names_the_month(groups: pd.DataFrame, small_study: Study) -> None:
    own = groups[groups["signature"] == "Image"]
    low = own[(own["cohort"] == "train") & (own["group"] == "low risk")]["time"].nlargest(5).min()
    words = survival_steps.end_words(own, small_study)
    assert f"low risk {low:.0f}" in words
    assert "**Image**" in words


def test_searched_cut_offs_say_that_their_p_is_too_small(groups: pd.DataFrame, small_study: Study) -> None:
    table = thresholds_steps_groups.cut_offs(groups, small_study)
    by_median = table.assign(used=table["rule"] == "median")
    assert survival_steps.search_words(by_median, small_study) == ""
    searched = table.assign(used=table["rule"] == "max_logrank").assign(p_search=0.0123)
    words = survival_steps.search_words(searched, small_study)
    assert "In Hospital A the cut-off was chosen by the outcome" in words
    assert "**Image** 0.012, **Clinic** 0.012" in words
    assert "allows for the search" not in survival_steps.search_words(searched.assign(p_search=np.nan), small_study)
