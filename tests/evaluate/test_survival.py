"""Risk groups over time: honest risks and cut-offs, curves, times, differences, AUCs, flows and chosen features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from radsupport.errors import InputError
from radsupport.evaluate import (
    brier,
    discrimination,
    groups,
    judged,
    lock,
    measure,
    probabilities,
    regression,
    survival,
    threshold,
)
from radsupport.evaluate.discrimination import pairs
from radsupport.evaluate.features import chosen_features, leaves
from radsupport.evaluate.predictions import HIGH, LOW, SURVIVAL
from radsupport.evaluate.regression import COVARIATES
from radsupport.settings.learning import Signature
from radsupport.stats.brier import brier_score
from radsupport.stats.brier import integrated_brier as integrated
from radsupport.stats.concordance import concordance, concordance_difference
from radsupport.stats.cox import fit_cox, predict_survival
from radsupport.stats.logrank import log_rank, maximally_selected_cutoff
from radsupport.stats.roc import youden
from radsupport.stats.survival_curves import kaplan_meier, restricted_mean
from radsupport.stats.time_roc import time_dependent_roc
from radsupport.tables import write_table

HORIZONS = [12.0, 24.0]
BY = ["signature", "cohort"]


@pytest.fixture
def rows(small_predictions: pd.DataFrame) -> pd.DataFrame:
    return judged(small_predictions, SURVIVAL, ["Image", "Clinic"])


@pytest.fixture
def divided(rows: pd.DataFrame) -> pd.DataFrame:
    return groups(rows, threshold(rows, "median"))


@pytest.fixture
def everyone(divided: pd.DataFrame) -> pd.DataFrame:
    return survival.pooled(divided)


def of(table: pd.DataFrame, signature: str, cohort: str) -> pd.DataFrame:
    return table[(table["signature"] == signature) & (table["cohort"] == cohort)]


def alone(divided: pd.DataFrame) -> pd.DataFrame:
    return divided.assign(group=pd.Categorical([LOW] * len(divided), [LOW, HIGH]))


def spared(divided: pd.DataFrame) -> pd.DataFrame:
    return divided.assign(event=np.where(divided["group"] == LOW, 0.0, divided["event"]))


def test_only_honest_risks_are_followed(rows: pd.DataFrame, small_predictions: pd.DataFrame) -> None:
    assert len(rows) == 2 * 130
    apparent = small_predictions[small_predictions["kind"] == "apparent"]
    joined = rows.astype({"signature": str}).merge(apparent, on=["subject", "signature"], suffixes=("", "_apparent"))
    assert (joined["risk"] != joined["risk_apparent"]).all()
    assert list(rows["signature"].unique()) == ["Image", "Clinic"]
    assert list(rows["cohort"].unique()) == ["train", "external"]


def test_patients_without_follow_up_are_left_out(small_predictions: pd.DataFrame) -> None:
    small_predictions.loc[small_predictions["subject"] == "s000", ["time", "event"]] = np.nan
    assert "s000" not in set(judged(small_predictions, SURVIVAL)["subject"])
    with pytest.raises(InputError, match="Image, Clinic"):
        judged(small_predictions.assign(time=np.nan, event=np.nan), SURVIVAL, ["Image", "Clinic"])


def test_the_median_without_the_event_is_r_s_and_infinite_where_the_curve_stays_above_one_half(r_table) -> None:
    lung = r_table("data/lung.csv").dropna(subset=["time", "status"])
    part = lung.assign(
        subject=range(len(lung)), event=lung["status"] - 1 if lung["status"].max() == 2 else lung["status"]
    )
    row = survival.follow_up(part)
    assert (row["survival"], row["survival_low"], row["survival_high"]) == (
        310,
        285,
        363,
    )  # R: survfit(Surv(time, status) ~ 1)
    assert survival.follow_up(part.assign(event=0))["survival"] == np.inf


def test_follow_up_counts_each_patient_once(rows: pd.DataFrame) -> None:
    table = measure(rows, survival.follow_up, ["cohort"])
    assert table["n"].tolist() == [90, 40]
    assert table["cohort"].tolist() == ["train", "external"]
    assert table["longest"].tolist() == rows.groupby("cohort", observed=True)["time"].max().tolist()


def test_cut_offs_are_those_of_their_rules_in_training(rows: pd.DataFrame) -> None:
    table = survival.cut_offs(rows, "median")
    part = of(rows, "Image", "train")
    found = of(table, "Image", "train").set_index("rule")
    assert list(found.index) == ["median", "max_logrank", "youden"]
    assert found.loc["median", "cut_off"] == part["risk"].median()
    assert found.loc["youden", "cut_off"] == youden(part["label"], part["risk"]).threshold
    searched = maximally_selected_cutoff(part["time"], part["event"], part["risk"])
    assert found.loc["max_logrank", "cut_off"] == searched.cut_off
    assert found.loc["max_logrank", "p_search"] == searched.p
    assert found["used"].tolist() == [True, False, False]
    assert table["p_search"].notna().sum() == 2  # of each signature, in training only
    assert list(dict.fromkeys(table["signature"])) == ["Image", "Clinic"]


def test_cut_offs_take_a_number_and_a_function_too(rows: pd.DataFrame) -> None:
    number = survival.cut_offs(rows, 0.5)
    assert number.loc[number["used"], ["rule", "by_outcome"]].drop_duplicates().to_numpy().tolist() == [
        ["the number 0.5", "no"]
    ]
    assert (number.loc[number["used"], "cut_off"] == 0.5).all()
    own = survival.cut_offs(rows, lambda part: part["risk"].median())
    used, median = own[own["used"]], own[own["rule"] == "median"]
    assert used[["cut_off", "low", "high", "p"]].to_numpy().tolist() == (
        median[["cut_off", "low", "high", "p"]].to_numpy().tolist()
    )
    assert set(used["by_outcome"]) == {"perhaps"}


def test_cut_offs_tell_groups_and_p_of_each_rule(rows: pd.DataFrame) -> None:
    table = survival.cut_offs(rows, "median")
    row = of(table, "Image", "external").iloc[0]
    part = of(rows, "Image", "external")
    high = part["risk"] > row["cut_off"]
    assert (row["low"], row["high"]) == ((~high).sum(), high.sum())
    assert row["p"] == pytest.approx(log_rank(part["time"], part["event"], high).p)


def test_a_rule_that_finds_nothing_gives_way_to_the_median(rows: pd.DataFrame) -> None:
    table = survival.cut_offs(rows.assign(event=0.0), "max_logrank")
    own = table[table["signature"] == "Image"].drop_duplicates("rule").set_index("rule")
    assert np.isnan(own.loc["max_logrank", "cut_off"])
    assert "censored" in own.loc["max_logrank", "note"]
    assert own["used"].to_dict() == {"max_logrank": False, "median": True, "youden": False}


def test_youden_needs_a_label(rows: pd.DataFrame) -> None:
    unlabelled = rows.assign(label=np.nan)
    assert set(survival.cut_offs(unlabelled, "median")["rule"]) == {"median", "max_logrank"}
    with pytest.raises(InputError, match="median"):
        survival.cut_offs(unlabelled, "youden")


def test_high_risk_is_above_the_cut_off(rows: pd.DataFrame) -> None:
    divided = groups(rows, pd.Series({"Image": 0.5, "Clinic": 0.4}))
    assert ((divided["risk"] > divided["threshold"]) == (divided["group"] == HIGH)).all()
    assert divided.loc[divided["signature"] == "Clinic", "threshold"].eq(0.4).all()
    nobody = groups(rows, pd.Series({"Image": np.nan, "Clinic": np.nan}))
    assert nobody.empty
    assert {"threshold", "group", "time"} <= set(nobody.columns)


def test_pools_are_all_cohorts_or_those_named(divided: pd.DataFrame) -> None:
    def sizes(table: pd.DataFrame) -> dict[str, int]:
        return table[table["signature"] == "Image"]["cohort"].value_counts(sort=False).to_dict()

    assert sizes(survival.pooled(divided)) == {"train": 90, "external": 40, "pooled": 130}
    sets = {"both": ["train", "external"]}
    assert sizes(survival.pooled(divided, sets)) == {"train": 90, "external": 40, "both": 130}
    assert sizes(survival.pooled(divided, sets, instead=True)) == {"both": 130}
    assert sizes(survival.pooled(divided, {})) == {"train": 90, "external": 40}
    assert sizes(survival.pooled(divided, instead=True)) == {"train": 90, "external": 40}
    assert sizes(survival.pooled(divided[divided["cohort"] == "train"])) == {"train": 90}


def test_times_are_those_of_each_group_alone(everyone: pd.DataFrame) -> None:
    table = survival.times(everyone)
    assert len(table) == 2 * 3 * 2
    row = of(table, "Image", "external").set_index("group").loc[HIGH]
    part = of(everyone, "Image", "external")
    own = part[part["group"] == HIGH]
    tau = min(part.loc[part["group"] == g, "time"].nlargest(survival.FEWEST).min() for g in (LOW, HIGH))
    assert row["median"] == kaplan_meier(own["time"], own["event"]).median
    assert row["tau"] == tau
    assert row["restricted_mean"] == restricted_mean(own["time"], own["event"], tau).rmst
    assert row["n"] == len(own)
    assert row["longest"] == own["time"].max()
    whole = restricted_mean(own["time"], own["event"], own["time"].max())  # as programs print a mean
    assert (row["mean"], row["mean_low"], row["mean_high"]) == (whole.rmst, whole.ci_low, whole.ci_high)
    km = kaplan_meier(own["time"], own["event"])
    assert (row["median_all"], row["median_se"]) == (km.median, km.median_se)
    assert row["median_all_high"] == pytest.approx(km.median + 1.959964 * km.median_se)
    assert row["end"] == own["time"].nlargest(survival.FEWEST).min()


def test_nothing_is_read_where_fewer_than_five_are_at_risk() -> None:
    months = [1.0, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    low = pd.DataFrame({"time": months, "event": [0.0] * 6 + [1, 1, 1, 1], "group": LOW})  # half: when two are left
    high = pd.DataFrame({"time": months, "event": [1.0] * 6 + [0.0] * 4, "group": HIGH})  # half: five are left
    part = pd.concat([low, high]).assign(signature="Image", cohort="train")
    table = survival.times(part).set_index("group")
    assert kaplan_meier(low["time"], low["event"]).median == 8.5  # three at risk
    assert np.isnan(table.loc[LOW, "median"])
    assert table.loc[LOW, "median_all"] == 8.5  # programs print it all the same
    assert table.loc[LOW, "median_at_risk"] == (low["time"] >= 8.5).sum() == 2
    assert table.loc[HIGH, "median"] == kaplan_meier(high["time"], high["event"]).median == 5.5
    assert table["tau"].tolist() == [6, 6]
    assert table.loc[LOW, "restricted_mean"] == 6
    assert table.loc[HIGH, "restricted_mean"] == pytest.approx(1 + 0.9 + 0.8 + 0.7 + 0.6 + 0.5)
    few = survival.hazard_ratios(part.assign(risk=1.0 * (part["group"] == HIGH))).iloc[0]
    assert few["note"] == "fewer than 5 events in low risk (4)"
    assert np.isnan(few["hr"])
    third = pd.concat([part, part.head(3).assign(group="new", time=1.0)])  # a group of three ends nobody's mean
    assert survival.common_end(third) == 6


def test_difference_is_low_minus_high(everyone: pd.DataFrame) -> None:
    compared = survival.differences(everyone).set_index(BY)
    mean = survival.times(everyone).set_index([*BY, "group"])["restricted_mean"]
    for signature, cohort in compared.index:
        gap = mean[signature, cohort, LOW] - mean[signature, cohort, HIGH]
        assert compared.loc[(signature, cohort), "difference"] == pytest.approx(gap)


def test_one_group_has_curves_but_no_comparison(everyone: pd.DataFrame) -> None:
    row = survival.differences(alone(everyone)).iloc[0]
    assert np.isnan(row["p"])
    assert np.isnan(row["difference"])
    curves = survival.curves(alone(everyone))
    assert curves["p"].isna().all()
    assert set(curves["group"]) == {LOW}
    assert list(of(curves, "Image", "external")["n"].unique()) == [40]
    assert len(survival.times(alone(everyone))) == 6


def test_a_group_without_events_has_no_median(divided: pd.DataFrame) -> None:
    times = survival.times(spared(divided))
    assert np.isposinf(times.loc[times["group"] == LOW, "median"]).all()  # never reached


def test_curves_carry_the_median_and_the_p_of_the_tables(everyone: pd.DataFrame) -> None:
    own = of(survival.times(everyone), "Image", "train").set_index("group")["median"]
    curves = of(survival.curves(everyone), "Image", "train")
    pd.testing.assert_series_equal(curves.groupby("group")["median"].first(), own.sort_index(), check_names=False)
    assert set(curves["p"]) == set(of(survival.differences(everyone), "Image", "train")["p"])


def test_curves_are_read_at_months_while_somebody_is_followed(everyone: pd.DataFrame) -> None:
    read = of(survival.curves(everyone, times=range(0, 400, 3)), "Image", "train")
    for name, own in read.groupby("group"):
        part = of(everyone, "Image", "train")
        part = part[part["group"] == name]
        km = kaplan_meier(part["time"], part["event"])
        assert own["time"].tolist() == [month for month in range(0, 400, 3) if month <= part["time"].max()]
        for row in own.to_dict("records"):
            before = km.curve[km.curve["time"] <= row["time"]]
            assert row["survival"] == ([1.0, *before["survival"]])[-1]
            assert row["n_risk"] == (part["time"] >= row["time"]).sum()


def test_curves_can_be_those_of_rules(rows: pd.DataFrame) -> None:
    part = of(rows, "Image", "train")
    cuts = {rule: threshold(part, rule) for rule in ("median", "max_logrank")}
    by_rule = pd.concat([groups(part, cut).assign(rule=rule) for rule, cut in cuts.items()])
    curves = survival.curves(by_rule, ["rule"]).set_index("rule")
    raw = log_rank(part["time"], part["event"], part["risk"] > cuts["max_logrank"]["Image"]).p
    assert curves.loc["max_logrank", "p"].iloc[0] == pytest.approx(raw)
    assert raw < survival.cut_offs(rows, "median")["p_search"].dropna().iloc[0]


def test_ratios_are_cox_models_of_group_and_of_the_training_sd(everyone: pd.DataFrame) -> None:
    table = survival.hazard_ratios(everyone).set_index([*BY, "contrast"])
    part, sd = of(everyone, "Image", "external"), of(everyone, "Image", "train")["risk"].std()
    scaled = fit_cox(part.assign(x=part["risk"] / sd), "time", "event", ["x"])
    assert table.loc[("Image", "external", "per SD"), "hr"] == pytest.approx(scaled.table["hr"].iloc[0])
    high = fit_cox(part.assign(x=(part["group"] == HIGH).astype(int)), "time", "event", ["x"])
    assert table.loc[("Image", "external", "high against low"), "p"] == pytest.approx(high.table["p"].iloc[0])
    assert (table["note"] == "").all()
    assert len(table) == 2 * 3 * 2


def test_a_group_without_events_is_not_compared_and_says_so(divided: pd.DataFrame) -> None:
    table = survival.hazard_ratios(spared(divided))
    table = table[table["contrast"] == "high against low"]
    differing = survival.differences(spared(divided))
    for found in (table, differing):
        assert found["note"].eq("no event in low risk").all()
    assert table["p"].isna().all()
    assert differing["difference"].isna().all()
    assert differing["p"].notna().all()  # the log-rank test compares with what was expected there


def test_a_ratio_that_the_data_do_not_bound_is_left_out_with_the_reason(divided: pd.DataFrame) -> None:
    outside = (divided["cohort"] == "external") & (divided["signature"] == "Image")
    flat = divided.assign(risk=divided["risk"].where(~outside, 0.5 + 1e-3 * divided["risk"]))
    table = survival.hazard_ratios(flat).set_index([*BY, "contrast"])
    row = table.loc[("Image", "external", "per SD")]
    assert np.isnan(row["hr"])
    assert row["note"] == "its 95% CI spans more than a factor of 10000"
    assert np.isfinite(table.loc[("Image", "train", "per SD"), "hr"])


def test_one_group_and_no_events_keep_their_rows(divided: pd.DataFrame) -> None:
    table = survival.hazard_ratios(alone(divided))
    assert table.loc[table["contrast"] == "high against low", "note"].eq("one group only").all()
    assert table.loc[table["contrast"] == "per SD", "hr"].notna().all()
    dead = survival.hazard_ratios(divided.assign(event=0.0))
    assert dead["hr"].isna().all()
    assert dead["note"].str.contains("no event|fewer than 5 events").all()


def test_c_index_is_harrells_with_a_bootstrap_interval(divided: pd.DataFrame) -> None:
    table = measure(divided, discrimination, BY, outcome=SURVIVAL, n_bootstrap=40, seed=7)
    part, row = of(divided, "Image", "train"), of(table, "Image", "train").iloc[0]
    assert row["value"] == concordance(part["time"], part["event"], part["risk"]).concordance
    assert row["boot_low"] < row["value"] < row["boot_high"]
    assert row["n"] == 90
    assert measure(divided.assign(event=0.0), discrimination, BY, outcome=SURVIVAL)["value"].isna().all()


def test_pairs_are_with_the_baseline_first(divided: pd.DataFrame) -> None:
    third = pd.concat([divided, divided[divided["signature"] == "Image"].assign(signature="Both")])
    third = third.assign(signature=pd.Categorical(third["signature"], ["Image", "Clinic", "Both"], ordered=True))

    def names(both: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame([both["signature"].cat.categories], columns=["a", "b"])

    found = survival.each_pair(third, names, "Clinic").to_numpy().tolist()
    assert found == [["Image", "Clinic"], ["Both", "Clinic"], ["Image", "Both"]]
    assert survival.each_pair(third, names).to_numpy().tolist()[0] == ["Image", "Clinic"]
    assert survival.each_pair(third[third["signature"] == "Image"], names).empty


def c_differences(divided: pd.DataFrame) -> pd.DataFrame:
    options: dict[str, Any] = {"baseline": "Clinic", "outcome": SURVIVAL, "n_bootstrap": 40}
    return measure(divided, survival.each_pair, ["cohort"], test=pairs, **options)


def test_differences_use_patients_that_both_signatures_know(divided: pd.DataFrame) -> None:
    fewer = divided[~((divided["signature"] == "Clinic") & (divided["subject"] < "s010"))]
    table = c_differences(fewer)
    assert table["n"].tolist() == [80, 40]
    row = table.iloc[1]
    one, two = of(divided, "Image", "external"), of(divided, "Clinic", "external")
    each = [concordance(p["time"], p["event"], p["risk"]).concordance for p in (one, two)]
    assert row["difference"] == pytest.approx(each[0] - each[1])
    paired = concordance_difference(
        one["time"], one["event"], one["risk"], two.set_index("subject").loc[one["subject"], "risk"], n_resamples=9
    )
    assert row["p"] == pytest.approx(paired.p)  # by the jackknife: without resamples
    assert c_differences(divided[divided["signature"] == "Image"]).empty


def test_a_cohort_without_events_has_no_difference(divided: pd.DataFrame) -> None:
    dead = divided.assign(event=np.where(divided["cohort"] == "external", 0.0, divided["event"]))
    table = c_differences(dead).set_index("cohort")
    assert table["p"].notna().to_dict() == {"train": True, "external": False}
    assert "fewer than 5 events" in table.loc["external", "note"]


def areas_of(divided: pd.DataFrame) -> pd.DataFrame:
    return measure(divided, survival.auc_at, BY, horizons=HORIZONS, n_bootstrap=40, seed=7)


def test_auc_and_curve_agree(divided: pd.DataFrame) -> None:
    table, part = areas_of(divided), of(divided, "Image", "external")
    expected = time_dependent_roc(part["time"], part["event"], part["risk"], HORIZONS, interval="none")
    np.testing.assert_allclose(of(table, "Image", "external")["auc"], expected.table["auc"])
    curves = survival.roc_at(divided, table)
    curve = of(curves, "Image", "external").query("time == 12")
    area = np.trapezoid(curve["sensitivity"].to_numpy()[::-1], 1 - curve["specificity"].to_numpy()[::-1])
    assert area == pytest.approx(expected.table["auc"][0], abs=0.02)
    assert curve["auc"].unique() == pytest.approx([expected.table["auc"][0]])
    assert curves[["cohort", "time"]].drop_duplicates().to_numpy().tolist() == [
        ["train", 12], ["train", 24], ["external", 12], ["external", 24],
    ]  # fmt: skip


def test_too_few_patients_leave_no_horizon_and_say_so(divided: pd.DataFrame) -> None:
    few = divided.groupby(BY, observed=True).head(4)
    assert areas_of(few).empty
    assert survival.roc_at(few, areas_of(few)).empty
    assert measure(few, survival.auc_over_time, BY).empty
    assert measure(few, survival.each_pair, ["cohort"], test=survival.auc_difference, horizons=HORIZONS).empty
    missing = measure(few, survival.missing_horizons, ["cohort"], horizons=HORIZONS)
    assert missing[["cohort", "time"]].to_numpy().tolist() == [
        ["train", 12], ["train", 24], ["external", 12], ["external", 24],
    ]  # fmt: skip
    assert measure(divided, survival.missing_horizons, ["cohort"], horizons=HORIZONS).empty


def test_differences_are_between_the_aucs(divided: pd.DataFrame) -> None:
    areas = areas_of(divided).set_index([*BY, "time"])["auc"]
    found = measure(divided, survival.each_pair, ["cohort"], test=survival.auc_difference, horizons=HORIZONS)
    assert len(found) == 4
    for row in found.to_dict("records"):
        gap = areas["Image", row["cohort"], row["time"]] - areas["Clinic", row["cohort"], row["time"]]
        assert row["difference"] == pytest.approx(gap)


def test_auc_over_time_stays_where_it_can_be_estimated(divided: pd.DataFrame) -> None:
    found = measure(divided, survival.auc_over_time, BY)
    assert set(found["cohort"]) == {"train", "external"}
    assert found["auc"].between(0, 1).all()
    assert found.groupby(BY)["time"].is_monotonic_increasing.all()


def test_characteristics_count_patients_by_group(divided: pd.DataFrame, small_cohort: pd.DataFrame) -> None:
    small_cohort.loc[3, "age"] = np.nan
    part = of(divided, "Image", "train").drop(columns=["label", "time", "event"])
    kinds = {"age": "continuous", "stage": "categorical", "invasion": "categorical"}
    part = part.merge(small_cohort.drop(columns="cohort"), on="subject")
    table = survival.characteristics(part, kinds)
    assert int(table.loc[0, HIGH]) == (part["group"] == HIGH).sum()
    assert table["variable"].drop_duplicates().tolist() == ["n", *kinds]
    assert table.loc[table["variable"] == "age", "missing"].iloc[0] == 1
    assert survival.characteristics(alone(part), kinds).empty
    assert survival.characteristics(part, {}).empty


STATIONS = {
    "group": {LOW: LOW, HIGH: HIGH},
    "event": {0: "no death", 1: "death"},
    "stage": {"I": "Stage: I", "II": "Stage: II", "III": "Stage: III", "": "Stage: not known"},
    "label": {0: "late", 1: "early", "": "recurrence in time: not known"},
}


def test_flows_keep_every_patient_at_every_station(divided: pd.DataFrame, small_cohort: pd.DataFrame) -> None:
    small_cohort.loc[0, "stage"] = np.nan
    own = divided[divided["signature"] == "Image"]
    found = survival.flows(own.merge(small_cohort[["subject", "stage"]], on="subject"), STATIONS)
    assert list(found["cohort"].unique()) == ["train", "external"]
    table = found[found["cohort"] == "train"]
    assert table["n"].sum() == 90 * 3
    assert table.loc[table["target"] == "Stage: not known", "n"].sum() == 1
    assert table.loc[table["target"] == "death", "n"].sum() == own.loc[own["cohort"] == "train", "event"].sum()
    assert set(table.loc[table["source"].astype(str).str.startswith("Stage"), "target"]) == {"early", "late"}
    assert survival.flows(own, {"group": STATIONS["group"]}).empty


SIGNATURES = [
    Signature.model_validate({"name": "Image", "sources": ["radiomics"]}),
    Signature.model_validate({"name": "Clinic", "columns": ["age"]}),
    Signature.model_validate({"name": "Both", "combines": ["Image", "Clinic"]}),
]


def test_no_chosen_features_leave_a_reason(divided: pd.DataFrame, tmp_path: Path) -> None:
    none = survival.feature_values(divided, tmp_path, "Image", SIGNATURES, 0)
    assert none.empty
    assert "no chosen features" in none.attrs["empty"]
    missing = survival.feature_values(divided, tmp_path, "Image", SIGNATURES, 2)
    assert missing.empty
    assert "Chapter 05 left no table" in missing.attrs["empty"]


def test_heat_map_holds_the_weightiest_features_in_training_units(
    divided: pd.DataFrame, small_cohort: pd.DataFrame, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    features = pd.DataFrame(rng.normal(5, 2, (130, 3)), columns=["ct__a", "ct__b", "ct__c"])
    write_table(features.assign(subject=small_cohort["subject"]), "features_radiomics", tmp_path)
    chosen = {"signature": "Image", "feature": ["ct__a", "ct__b", "ct__c"], "coefficient": [0.1, -2.0, 0.5]}
    pd.DataFrame(chosen).to_csv(tmp_path / "chosen_features.csv", index=False)
    pd.DataFrame({"signature": "Image", "feature": ["ct__a"], "share": [1.0]}).to_csv(
        tmp_path / "stability.csv", index=False
    )
    parts = leaves(SIGNATURES, "Both")
    assert [part.name for part in parts] == ["Image", "Clinic"]
    best = chosen_features(tmp_path, parts, 2, "coefficient")
    assert best["feature"].tolist() == ["ct__b", "ct__c"]
    assert best["share"].tolist() == [0, 0]  # in the final fit, and in no fold
    own = divided[divided["signature"] == "Image"]
    found = survival.feature_values(own, tmp_path, "Both", SIGNATURES, 2)
    table = found[found["cohort"] == "train"]
    assert list(table["feature"].unique()) == ["CT: b", "CT: c"]
    by_feature = table.groupby("feature")["value"]
    np.testing.assert_allclose(by_feature.mean(), 0, atol=1e-12)
    np.testing.assert_allclose(by_feature.std(), 1)
    ordered = own[own["cohort"] == "train"].sort_values("risk")["subject"].tolist()
    assert table[table["feature"] == "CT: b"]["subject"].tolist() == ordered


Models = tuple[pd.DataFrame, dict[str, Any]]


def models_of(divided: pd.DataFrame, cohort: pd.DataFrame, rows: pd.DataFrame | None = None) -> Models:
    """Return rows and models of both signatures and of the covariates, which were fitted to `rows`."""
    own = divided if rows is None else rows
    data = regression.cox_data(own[own["signature"] == "Image"], cohort, ["age", "stage"])
    fit, _ = regression.multivariable(data)
    return regression.with_covariates(divided, lock(divided, SURVIVAL), data, fit, cohort)


def test_errors_are_those_of_a_cox_model_of_the_training_risk(
    divided: pd.DataFrame, small_cohort: pd.DataFrame
) -> None:
    judged_rows, models = models_of(divided, small_cohort)
    assert list(models) == list(judged_rows["signature"].cat.categories) == ["Image", "Clinic", COVARIATES]
    fit = fit_cox(of(divided, "Image", "train"), "time", "event", ["risk"])
    part = of(divided, "Image", "external")
    risk = 1 - predict_survival(fit, part, HORIZONS).to_numpy()
    expected = brier_score(part["time"], part["event"], risk, HORIZONS, interval="none")
    table = brier(probabilities(judged_rows, models, HORIZONS), n_bootstrap=40)
    assert table["signature"].tolist()[::2] == ["Image", "Clinic", COVARIATES] * 2
    found = of(table, "Image", "external")
    np.testing.assert_allclose(found["brier"], expected["brier"])
    np.testing.assert_allclose(found["scaled"], expected["scaled"])


def integrals(rows: pd.DataFrame, models: dict[str, Any]) -> pd.DataFrame:
    return brier(rows, models=models, until=lambda part: survival.last_time(part, models, HORIZONS))


def test_curves_integrals_and_differences_fit_together(divided: pd.DataFrame, small_cohort: pd.DataFrame) -> None:
    rows, models = models_of(divided, small_cohort)
    curves = survival.error_curves(rows, models, HORIZONS)
    assert curves[["cohort", "n", "most"]].drop_duplicates().to_numpy().tolist() == [
        ["train", 90, 90], ["external", 40, 40],
    ]  # fmt: skip
    assert curves["model"].unique().tolist() == [survival.NULL, "Image", "Clinic", COVARIATES]
    table = integrals(rows, models)
    assert (table["until"] == 24.0).all()
    part = of(divided, "Image", "external")
    times = [*sorted(part.loc[(part["event"] == 1) & (part["time"] < 24), "time"].unique()), 24.0]
    fit = fit_cox(of(divided, "Image", "train"), "time", "event", ["risk"])
    risk = 1 - predict_survival(fit, part, times).to_numpy()
    expected = integrated(part["time"], part["event"], risk, times, interval="none").integrated_brier
    assert of(table, "Image", "external")["integrated_brier"].item() == pytest.approx(expected)
    assert table["integrated_brier"].between(0, 0.3).all()
    compared = survival.error_differences(probabilities(rows, models, HORIZONS), "Clinic")
    assert compared["baseline"].eq("Clinic").all()
    assert compared[["cohort", "signature", "horizon"]].to_numpy().tolist() == [
        ["train", "Image", 24], ["external", "Image", 24],
    ]  # fmt: skip
    np.testing.assert_allclose(compared["difference"], compared["brier_a"] - compared["brier_b"])


def test_curves_rest_on_the_patients_that_all_models_predict(divided: pd.DataFrame, small_cohort: pd.DataFrame) -> None:
    gone = ["s100", "s101"]
    small_cohort.loc[small_cohort["subject"].isin(gone), "age"] = np.nan
    rows, models = models_of(divided, small_cohort)
    table = survival.error_curves(rows, models, HORIZONS).query("cohort == 'external'")
    assert table[["n", "most"]].drop_duplicates().to_numpy().tolist() == [[38, 40]]
    part = of(divided, "Image", "external")
    part = part[~part["subject"].isin(gone)]
    null = table[table["model"] == survival.NULL]
    expected = brier_score(part["time"], part["event"], np.zeros((38, 25)), null["time"].to_numpy(), interval="none")
    np.testing.assert_allclose(null["brier"], expected["null"])
    errors = brier(probabilities(rows, models, HORIZONS), n_bootstrap=40).query("cohort == 'external'")
    assert errors.groupby("signature")["n"].first().to_dict() == {"Image": 40, "Clinic": 40, COVARIATES: 38}


def test_curve_and_integral_end_where_three_are_still_followed(
    rows: pd.DataFrame, divided: pd.DataFrame, small_cohort: pd.DataFrame
) -> None:
    cut = divided["time"].where(divided["cohort"] == "train", divided["time"].clip(upper=20.0))
    short = divided.assign(time=cut, event=divided["event"].where(cut == divided["time"], 0.0))
    judged_rows, models = models_of(short, small_cohort, rows)
    part = of(short, "Image", "external")
    last = part.loc[part["time"] < 20, "time"].max()  # many are followed to month 20, nobody beyond
    table = integrals(judged_rows, models)
    assert table.query("cohort == 'external'")["until"].eq(last).all()
    assert table.query("cohort == 'train'")["until"].eq(24.0).all()
    curves = survival.error_curves(judged_rows, models, HORIZONS)
    assert curves.query("cohort == 'external'")["time"].max() == pytest.approx(last)
    two = judged_rows[judged_rows["subject"].isin(["s000", "s001"])]
    assert survival.error_curves(two, models, HORIZONS).empty
    assert integrals(two, models).empty


def test_training_patients_are_predicted_by_a_translation_without_their_fold(divided: pd.DataFrame) -> None:
    folded = divided.assign(fold=divided["subject"].str[1:].astype(int) % 5)
    own = of(folded, "Image", "train")
    inside = own["fold"] == 3
    by_risk = 1 - predict_survival(fit_cox(own[~inside], "time", "event", ["risk"]), own[inside], HORIZONS)
    np.testing.assert_allclose(lock(folded, SURVIVAL)["Image"].probability(own[inside], HORIZONS), by_risk)


@pytest.mark.parametrize("risk", [lambda own: 0.5 + 0 * own, lambda own: -own])
def test_a_risk_that_is_constant_or_ranks_backwards_gives_everybody_the_same(divided: pd.DataFrame, risk: Any) -> None:
    changed = divided.assign(risk=risk(divided["risk"]))
    train, outside = of(divided, "Image", "train"), of(changed, "Image", "external")
    expected = 1 - kaplan_meier(train["time"], train["event"], [12.0]).at_times["survival"].item()
    np.testing.assert_allclose(lock(changed, SURVIVAL)["Image"].probability(outside, [12.0]), expected)


def test_a_difference_has_the_interval_of_the_chapter_on_validation_turned_round(divided: pd.DataFrame) -> None:
    own = divided[divided["cohort"] == "train"]
    options = {"outcome": ("time", "event"), "n_bootstrap": 40, "seed": 3}
    validation = pairs(own, **options).iloc[0]
    turned = survival.each_pair(own, baseline=validation["signature_a"], **options)
    row = turned[turned["signature_b"] == validation["signature_a"]].iloc[0]
    assert row["signature_a"] == validation["signature_b"]
    found = row[["difference", "difference_low", "difference_high"]].astype(float).to_numpy()
    np.testing.assert_allclose(found, -validation[["difference", "difference_high", "difference_low"]].astype(float))
