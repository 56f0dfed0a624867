"""Subgroups, tests of interaction, and single centers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from lifelines import CoxPHFitter
from scipy import stats

from radsupport.evaluate import subgroups
from radsupport.evaluate.predictions import judged_part
from radsupport.evaluate.probability import log_odds
from radsupport.settings.evaluation import Subgroup
from radsupport.stats.roc import auc, delong_unpaired

DIVIDED = {"validation": {"subgroups": [{"column": "sex"}, {"column": "age", "cut": 60}]}}


def patients(n: int = 200, seed: int = 0, interaction: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x, part = rng.normal(size=n), rng.choice(["a", "b"], n)
    slope = 1 + interaction * (part == "b")
    label = (rng.uniform(size=n) < 1 / (1 + np.exp(-slope * x))).astype(float)
    time = rng.exponential(20 / np.exp(slope * x))
    return pd.DataFrame(
        {"risk": x, "part": part, "label": label, "time": np.minimum(time, 40), "event": (time < 40).astype(float)}
    )


def test_numbers_are_cut_and_categories_keep_their_order(make_study, make_cohort):
    study, cohort = make_study(), make_cohort()
    cohort.loc[0, "age"], cohort.loc[1, "age"] = np.nan, 60.0
    parts = subgroups.parts_of(study, Subgroup(column="age", cut=60), cohort)
    assert list(parts.cat.categories) == ["≤ 60 years", "> 60 years"]
    assert pd.isna(parts.iloc[0])
    assert parts.iloc[1] == "≤ 60 years"
    assert (parts[cohort["age"].to_numpy() > 60] == "> 60 years").all()
    sex = subgroups.parts_of(study, Subgroup(column="sex"), cohort)
    assert list(sex.cat.categories) == ["F", "M"]
    only = subgroups.parts_of(study, Subgroup(column="sex", levels=["M"]), cohort)
    assert only.notna().sum() == (cohort["sex"] == "M").sum()


def test_parts_are_judged_one_by_one_in_their_order(labelled, make_study):
    _, cohort, predictions = labelled
    table = subgroups.subgroup_table(predictions, make_study(**DIVIDED), cohort)
    assert set(table["signature"]) == {"A", "B"}
    assert len(table) == 2 * 2 * 3 * 2
    assert list(table["part"].unique()) == ["F", "M", "≤ 60 years", "> 60 years"]
    women = cohort.loc[(cohort["sex"] == "F") & (cohort["cohort"] == "train"), "subject"]
    own = judged_part(predictions, make_study(), "train", "A")
    own = own[own["subject"].isin(women)]
    row = table.query("cohort == 'train' and signature == 'A' and part == 'F'").iloc[0]
    assert (row["n"], row["value"]) == (len(own), auc(own["label"], own["risk"]).auc)


def test_the_interaction_test_is_the_likelihood_ratio_of_the_products(make_study):
    data = patients()
    found = subgroups.interaction_test(data, make_study())
    x = pd.DataFrame({"risk": data["risk"], "part": (data["part"] != data["part"].iloc[0]).astype(float)})
    x["both"] = x["risk"] * x["part"]
    full, without = (
        sm.Logit(data["label"], sm.add_constant(x[columns])).fit(disp=0).llf
        for columns in (["risk", "part", "both"], ["risk", "part"])
    )
    assert found["chi2"] == pytest.approx(2 * (full - without), rel=1e-6)
    assert found["p_interaction"] == pytest.approx(stats.chi2.sf(found["chi2"], 1))
    assert found["df"] == 1


def test_probabilities_enter_as_log_odds(make_study):
    data = patients()
    as_score = subgroups.interaction_test(data, make_study())
    as_risk = subgroups.interaction_test(data.assign(risk=1 / (1 + np.exp(-data["risk"]))), make_study())
    assert as_risk["chi2"] == pytest.approx(as_score["chi2"], rel=1e-6)
    np.testing.assert_allclose(log_odds(1 / (1 + np.exp(-data["risk"]))), data["risk"], rtol=1e-9)


def test_the_survival_interaction_agrees_with_lifelines(make_study):
    data = patients(seed=3)
    found = subgroups.interaction_test(data.drop(columns="label"), make_study(survival=True))
    x = data[["time", "event", "risk"]].assign(part=(data["part"] != data["part"].iloc[0]).astype(float))
    x["both"] = x["risk"] * x["part"]
    full = CoxPHFitter().fit(x, "time", "event").log_likelihood_
    without = CoxPHFitter().fit(x.drop(columns="both"), "time", "event").log_likelihood_
    assert found["chi2"] == pytest.approx(2 * (full - without), abs=1e-4)


def test_an_interaction_that_is_there_is_found_and_one_that_is_not_is_not_often(make_study):
    study = make_study()
    assert subgroups.interaction_test(patients(600, interaction=3.0), study)["p_interaction"] < 0.001
    null = [subgroups.interaction_test(patients(150, seed=s), study)["p_interaction"] for s in range(40)]
    assert np.mean(np.array(null) < 0.05) < 0.2


def test_what_can_not_be_tested_says_why(make_study):
    one = subgroups.interaction_test(patients().assign(part="a"), make_study())
    assert "one part" in one["note"]
    few = patients(80)
    few.loc[few["part"] == "b", "label"] = 0.0
    none = subgroups.interaction_test(few, make_study())
    assert np.isnan(none["p_interaction"])
    assert none["note"] == "fewer than 5 patients with, or without, the event in: b"
    constant = subgroups.interaction_test(patients().assign(risk=0.2), make_study())
    assert np.isnan(constant["p_interaction"])


def test_a_part_of_few_events_is_not_judged_and_named(labelled, make_study):
    _, cohort, predictions = labelled
    study = make_study(validation={"subgroups": [{"column": "sex"}]})
    men = set(cohort.loc[(cohort["sex"] == "M") & (cohort["cohort"] == "train"), "subject"])
    own = predictions["subject"].isin(men)
    spared = sorted(predictions.loc[own & (predictions["label"] == 1), "subject"].unique())[:4]
    few = predictions.assign(label=predictions["label"].mask(own & ~predictions["subject"].isin(spared), 0.0))
    table = subgroups.subgroup_table(few, study, cohort).query("cohort == 'train' and signature == 'A'")
    row = table.set_index("part").loc["M"]
    assert row["events"] == 4
    assert row[["value", "ci_low", "ci_high", "p_vs_half"]].isna().all()
    assert row["note"] == "fewer than 5 patients with, or without, the event"
    assert table.set_index("part").loc["F", "value"] > 0.5
    test = subgroups.interaction_table(few, study, cohort).query("cohort == 'train' and signature == 'A'").iloc[0]
    assert test[["p_interaction", "difference", "p_difference"]].isna().all()
    assert test["note"].endswith("in: M")


def test_survival_needs_events_and_patients_but_nobody_who_survives(make_study):
    study = make_study(survival=True)
    part = patients(20).assign(event=1.0)
    assert subgroups.enough(part, study)
    assert not subgroups.enough(part.head(9), study)
    assert not subgroups.enough(part.assign(event=[1.0] * 4 + [0.0] * 16), study)
    assert subgroups.few_words(study) == "fewer than 5 events or 10 patients"


def test_two_parts_are_compared_unpaired(labelled, make_study):
    _, cohort, predictions = labelled
    study = make_study(**DIVIDED)
    row = subgroups.interaction_table(predictions, study, cohort).query("cohort == 'train' and column == 'age'").iloc[0]
    own = judged_part(predictions, study, "train", "A")
    old = own["subject"].isin(cohort.loc[cohort["age"] > 60, "subject"])
    expected = delong_unpaired(
        own.loc[~old, "label"], own.loc[~old, "risk"], own.loc[old, "label"], own.loc[old, "risk"]
    )
    assert [row["difference"], row["p_difference"]] == pytest.approx([expected.difference, expected.p])
    assert row["n"] == 60


def test_curves_of_parts_with_both_outcomes(labelled, make_study):
    _, cohort, predictions = labelled
    study = make_study(**DIVIDED)
    found = subgroups.subgroup_curves(predictions, study, cohort, study.validation.subgroups[0], "A")
    assert set(found) == {"train", "internal", "external"}
    assert found["train"]["signature"].str.match("[FM] ").all()
    men = cohort["sex"] == "M"
    alone = predictions.assign(
        label=predictions["label"].mask(predictions["subject"].isin(cohort["subject"][men]), 0.0)
    )
    curves = subgroups.subgroup_curves(alone, study, cohort, study.validation.subgroups[0], "A")
    assert curves["train"]["signature"].str.startswith("F ").all()


def test_centers_are_judged_where_a_cohort_pools_several(labelled, followed):
    for study, cohort, predictions in (labelled, followed):
        table = subgroups.center_table(predictions, study, cohort)
        assert set(table["cohort"]) == {"external"}
        assert table.groupby("signature")["n"].sum().unique() == [50]
        apart = subgroups.center_differences(predictions, study, cohort)
        assert list(apart[["center_a", "center_b"]].iloc[0]) == ["E", "W"]
        first = table.query("signature == 'A'").set_index("center")["value"]
        assert apart.query("signature == 'A'")["difference"].iloc[0] == pytest.approx(first["E"] - first["W"])
        one = cohort.assign(center="N")
        assert subgroups.center_table(predictions, study, one).empty
