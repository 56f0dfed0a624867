"""Chapter 07: hazard ratios, concordance and their differences by signature and cohort."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pandas as pd
import pytest

from radsupport.book.conclusions import survival as survival_steps
from radsupport.evaluate import predictions as steps_groups
from radsupport.evaluate import thresholds as thresholds_steps_groups
from radsupport.settings.study import Study
from radsupport.stats.concordance import concordance, concordance_difference
from radsupport.stats.cox import fit_cox

steps = import_module("radsupport.evaluate.discrimination")


@pytest.fixture
def groups(small_predictions: pd.DataFrame, small_study: Study) -> pd.DataFrame:
    rows = steps_groups.followed(small_predictions, small_study)
    return thresholds_steps_groups.in_groups(
        rows, thresholds_steps_groups.locked(thresholds_steps_groups.cut_offs(rows, small_study))
    )


def test_ratios_are_cox_models_of_group_and_of_the_training_sd(groups: pd.DataFrame, small_study: Study) -> None:
    table = steps.hazard_ratios(groups, small_study).set_index(["signature", "key", "contrast"])
    own = groups[groups["signature"] == "Image"]
    part = own[own["cohort"] == "external"]
    sd = own.loc[own["cohort"] == "train", "risk"].std()
    scaled = fit_cox(part.assign(x=part["risk"] / sd), "time", "event", ["x"])
    assert table.loc[("Image", "external", "per SD"), "hr"] == pytest.approx(scaled.table["hr"].iloc[0])
    high = fit_cox(part.assign(x=(part["group"] == "high risk").astype(int)), "time", "event", ["x"])
    assert table.loc[("Image", "external", "high against low"), "p"] == pytest.approx(high.table["p"].iloc[0])
    assert (table["note"] == "").all()


def test_a_group_without_events_gets_firth(groups: pd.DataFrame, small_study: Study) -> None:
    spared = groups.assign(event=np.where(groups["group"] == "low risk", 0.0, groups["event"]))
    table = steps.hazard_ratios(spared, small_study)
    firth = table[(table["contrast"] == "high against low")]
    assert (firth["note"] == "Firth's penalty").all()
    assert np.isfinite(firth["hr"]).all()
    assert "Firth's penalty" in survival_steps.firth_words(table)
    assert survival_steps.firth_words(steps.hazard_ratios(groups, small_study)) == ""


def test_a_ratio_that_the_data_do_not_bound_is_left_out_with_the_reason(
    groups: pd.DataFrame, small_study: Study
) -> None:
    outside = (groups["cohort"] == "external") & (groups["signature"] == "Image")
    flat = groups.assign(risk=groups["risk"].where(~outside, 0.5 + 1e-3 * groups["risk"]))
    table = steps.hazard_ratios(flat, small_study).set_index(["signature", "key", "contrast"])
    row = table.loc[("Image", "external", "per SD")]
    assert np.isnan(row["hr"])
    assert row["note"] == "its 95% CI spans more than a factor of 10000"
    assert "factor of 10000" in survival_steps.firth_words(table.reset_index())
    assert np.isfinite(table.loc[("Image", "train", "per SD"), "hr"])


def test_one_group_and_no_events_keep_their_rows(groups: pd.DataFrame, small_study: Study) -> None:
    alone = groups.assign(group=pd.Categorical(["low risk"] * len(groups), ["low risk", "high risk"]))
    table = steps.hazard_ratios(alone, small_study)
    assert table.loc[table["contrast"] == "high against low", "note"].eq("all patients alike").all()
    assert table.loc[table["contrast"] == "per SD", "hr"].notna().all()
    dead = steps.hazard_ratios(groups.assign(event=0.0), small_study)
    assert dead["hr"].isna().all()
    assert dead["note"].str.contains("censored").all()


def test_c_index_is_harrells_with_a_bootstrap_interval(groups: pd.DataFrame, small_study: Study) -> None:
    table = steps.concordances(groups, small_study).set_index(["signature", "key"])
    part = groups[(groups["signature"] == "Image") & (groups["cohort"] == "train")]
    row = table.loc[("Image", "train")]
    assert row["c_index"] == concordance(part["time"], part["event"], part["risk"]).concordance
    assert row["ci_low"] < row["c_index"] < row["ci_high"]
    assert row["n"] == 90


def test_no_comparable_pair_is_nan(groups: pd.DataFrame, small_study: Study) -> None:
    assert steps.concordances(groups.assign(event=0.0), small_study)["c_index"].isna().all()


def test_pairs_are_with_the_baseline_first(groups: pd.DataFrame, small_study: Study) -> None:
    assert steps.compared_pairs(groups, small_study) == [("Image", "Clinic")]
    third = pd.concat([groups, groups[groups["signature"] == "Image"].assign(signature="Both")])
    pairs = steps.compared_pairs(third, small_study)
    assert pairs == [("Image", "Clinic"), ("Both", "Clinic"), ("Image", "Both")]
    assert steps.compared_pairs(groups[groups["signature"] == "Image"], small_study) == []


def test_differences_use_patients_that_both_signatures_know(groups: pd.DataFrame, small_study: Study) -> None:
    fewer = groups[~((groups["signature"] == "Clinic") & (groups["subject"] < "s010"))]
    table = steps.c_differences(fewer, small_study)
    assert table["n"].tolist() == [80, 40]
    row = table.iloc[1]
    external = groups[groups["cohort"] == "external"]
    each = [
        concordance(p["time"], p["event"], p["risk"]).concordance
        for p in (external[external["signature"] == s] for s in ("Image", "Clinic"))
    ]
    assert row["difference"] == pytest.approx(each[0] - each[1])
    risks = external.pivot_table(index="subject", columns="signature", values="risk")
    outcome = external.drop_duplicates("subject").set_index("subject").loc[risks.index]
    paired = concordance_difference(outcome["time"], outcome["event"], risks["Image"], risks["Clinic"], n_resamples=9)
    assert row["p"] == pytest.approx(paired.p)  # by the jackknife: without resamples
    assert steps.c_differences(groups[groups["signature"] == "Image"], small_study).empty


def test_performance_is_shown_side_by_side(groups: pd.DataFrame, small_study: Study) -> None:
    c_index, ratios = steps.concordances(groups, small_study), steps.hazard_ratios(groups, small_study)
    shown = survival_steps.performance_shown(c_index, ratios)
    assert len(shown) == 4
    own = ratios[(ratios["signature"] == "Image") & (ratios["key"] == "train") & (ratios["contrast"] == "per SD")]
    assert shown.loc[0, "HR per SD (95% CI)"].startswith(f"{own['hr'].iloc[0]:.2f} (")
    forest = steps.ratio_forest(ratios, "high against low")
    assert "Image, all cohorts, pooled" in set(forest["covariate"])


def test_a_cohort_without_events_has_no_difference(groups: pd.DataFrame, small_study: Study) -> None:
    spared = groups.assign(event=np.where(groups["cohort"] == "external", 0.0, groups["event"]))
    assert steps.c_differences(spared, small_study)["cohort"].tolist() == ["Hospital A"]
