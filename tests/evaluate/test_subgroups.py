"""Subgroups, tests of interaction, and single centers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from helpers.validation_study import rows_of
from lifelines import CoxPHFitter
from scipy import stats

from radsupport.evaluate import between, discrimination, interaction, judged, measure, parts, roc
from radsupport.evaluate.predictions import LABEL, SURVIVAL, enough
from radsupport.settings.evaluation import Subgroup
from radsupport.settings.parts import Column
from radsupport.stats.outcome import log_odds
from radsupport.stats.roc import auc, delong_unpaired

BY = ("cohort", "signature", "part")


def patients(n: int = 200, seed: int = 0, interaction: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x, part = rng.normal(size=n), rng.choice(["a", "b"], n)
    slope = 1 + interaction * (part == "b")
    label = (rng.uniform(size=n) < 1 / (1 + np.exp(-slope * x))).astype(float)
    time = rng.exponential(20 / np.exp(slope * x))
    return pd.DataFrame(
        {"risk": x, "part": part, "label": label, "time": np.minimum(time, 40), "event": (time < 40).astype(float)}
    )


def in_parts(predictions: pd.DataFrame, cohort: pd.DataFrame, by_age: bool = False) -> pd.DataFrame:
    """Return the rows of A and B with the part of each patient: by sex, or by age."""
    known = cohort.set_index("subject")
    parts = (known["age"] > 60).map({False: "young", True: "old"}) if by_age else known["sex"]
    levels = ["young", "old"] if by_age else ["F", "M"]
    rows = judged(predictions, signatures=["A", "B"])
    return rows.assign(part=pd.Categorical(rows["subject"].map(parts), levels, ordered=True))


def test_parts_are_judged_one_by_one_in_their_order(labelled):
    _, cohort, predictions = labelled
    table = measure(in_parts(predictions, cohort), discrimination, BY, fewest=5)
    assert set(table["signature"]) == {"A", "B"}
    assert len(table) == 2 * 3 * 2
    by_age = measure(in_parts(predictions, cohort, True), discrimination, BY, fewest=5)
    assert list(by_age["part"].iloc[:2]) == ["young", "old"]
    women = cohort.loc[(cohort["sex"] == "F") & (cohort["cohort"] == "train"), "subject"]
    own = rows_of(predictions, "train")
    own = own[own["subject"].isin(women)]
    row = table.query("cohort == 'train' and signature == 'A' and part == 'F'").iloc[0]
    assert (row["n"], row["value"]) == (len(own), auc(own["label"], own["risk"]).auc)


def test_the_interaction_test_is_the_likelihood_ratio_of_the_products():
    data = patients()
    found = interaction(data)
    x = pd.DataFrame({"risk": data["risk"], "part": (data["part"] != data["part"].iloc[0]).astype(float)})
    x["both"] = x["risk"] * x["part"]
    full, without = (
        sm.Logit(data["label"], sm.add_constant(x[columns])).fit(disp=0).llf
        for columns in (["risk", "part", "both"], ["risk", "part"])
    )
    assert found["chi2"] == pytest.approx(2 * (full - without), rel=1e-6)
    assert found["p_interaction"] == pytest.approx(stats.chi2.sf(found["chi2"], 1))
    assert found["df"] == 1


def test_probabilities_enter_as_log_odds():
    data = patients()
    as_score = interaction(data)
    as_risk = interaction(data.assign(risk=1 / (1 + np.exp(-data["risk"]))))
    assert as_risk["chi2"] == pytest.approx(as_score["chi2"], rel=1e-6)
    np.testing.assert_allclose(log_odds(1 / (1 + np.exp(-data["risk"]))), data["risk"], rtol=1e-9)


def test_the_survival_interaction_agrees_with_lifelines():
    data = patients(seed=3)
    found = interaction(data.drop(columns="label"), SURVIVAL)
    x = data[["time", "event", "risk"]].assign(part=(data["part"] != data["part"].iloc[0]).astype(float))
    x["both"] = x["risk"] * x["part"]
    full = CoxPHFitter().fit(x, "time", "event").log_likelihood_
    without = CoxPHFitter().fit(x.drop(columns="both"), "time", "event").log_likelihood_
    assert found["chi2"] == pytest.approx(2 * (full - without), abs=1e-4)


def test_an_interaction_that_is_there_is_found_and_one_that_is_not_is_not_often():
    assert interaction(patients(600, interaction=3.0))["p_interaction"] < 0.001
    null = [interaction(patients(150, seed=s))["p_interaction"] for s in range(40)]
    assert np.mean(np.array(null) < 0.05) < 0.2


def test_what_can_not_be_tested_says_why():
    one = interaction(patients().assign(part="a"))
    assert "one part" in one["note"]
    few = patients(80)
    few.loc[few["part"] == "b", "label"] = 0.0
    none = interaction(few)
    assert np.isnan(none["p_interaction"])
    assert none["note"] == "fewer than 5 patients with, or without, the event in: b"
    constant = interaction(patients().assign(risk=0.2))
    assert np.isnan(constant["p_interaction"])


def test_a_part_of_few_events_is_not_judged_and_named(labelled):
    _, cohort, predictions = labelled
    men = set(cohort.loc[(cohort["sex"] == "M") & (cohort["cohort"] == "train"), "subject"])
    own = predictions["subject"].isin(men)
    spared = sorted(predictions.loc[own & (predictions["label"] == 1), "subject"].unique())[:4]
    few = predictions.assign(label=predictions["label"].mask(own & ~predictions["subject"].isin(spared), 0.0))
    rows = in_parts(few, cohort)
    table = measure(rows, discrimination, BY, fewest=5).set_index("part")
    table = table.query("cohort == 'train' and signature == 'A'")
    row = table.loc["M"]
    assert (row["events"], row["measure"]) == (4, "AUC")
    assert row[["value", "value_low", "value_high", "p", "p_chance"]].isna().all()
    assert row["note"] == "fewer than 5 patients with, or without, the event"
    assert table.loc["F", "value"] > 0.5
    test = measure(rows, interaction).query("cohort == 'train' and signature == 'A'").iloc[0]
    assert test[["p_interaction", "difference", "p_difference"]].isna().all()
    assert test["note"].endswith("in: M")
    curves = roc(rows[rows["signature"] == "A"], ("cohort", "part"), fewest=5)
    assert set(curves.query("cohort == 'train'")["part"]) == {"F"}
    assert set(curves.query("cohort == 'external'")["part"]) == {"F", "M"}


def test_survival_needs_events_and_patients_but_nobody_who_survives():
    part = patients(20).assign(event=1.0)
    assert enough(part, SURVIVAL)
    assert not enough(part.head(9), SURVIVAL)
    assert not enough(part.assign(event=[1.0] * 4 + [0.0] * 16), SURVIVAL)
    assert discrimination(part.head(9), SURVIVAL, fewest=5)["note"] == "fewer than 5 events or 10 patients"


def test_two_parts_are_compared_unpaired(labelled):
    _, cohort, predictions = labelled
    row = measure(in_parts(predictions, cohort, by_age=True), interaction).query("cohort == 'train'").iloc[0]
    own = rows_of(predictions, "train")
    old = own["subject"].isin(cohort.loc[cohort["age"] > 60, "subject"])
    expected = delong_unpaired(
        own.loc[~old, "label"], own.loc[~old, "risk"], own.loc[old, "label"], own.loc[old, "risk"]
    )
    assert [row["difference"], row["p_difference"]] == pytest.approx([expected.difference, expected.p])
    assert row["n"] == 60


def test_centers_are_judged_and_compared_where_they_are_large_enough(labelled, followed):
    for (_, cohort, predictions), outcome in ((labelled, LABEL), (followed, SURVIVAL)):
        rows = judged(predictions, outcome, cohorts=["external"])
        rows = rows.assign(center=pd.Categorical(rows["subject"].map(cohort.set_index("subject")["center"])))
        table = measure(rows, discrimination, ("cohort", "signature", "center"), outcome=outcome, fewest=5)
        assert table.groupby("signature")["n"].sum().unique() == [50]
        apart = between(rows, "center", ("cohort", "signature"), outcome, fewest=5)
        assert list(apart[["center_a", "center_b"]].iloc[0]) == ["E", "W"]
        first = table.query("signature == 'A'").set_index("center")["value"]
        assert apart.query("signature == 'A'")["difference"].iloc[0] == pytest.approx(first["E"] - first["W"])
        assert between(rows, "center", ("cohort", "signature"), outcome, fewest=40).empty


def test_patients_are_divided_by_levels_and_at_a_number(labelled):
    rows = judged(labelled[2])
    subjects = list(dict.fromkeys(rows["subject"]))
    cohort = pd.DataFrame({"subject": subjects, "age": np.arange(len(subjects), dtype=float), "sex": "f"})
    cohort.loc[::2, "sex"], cohort.loc[0, "age"] = "m", np.nan
    columns = {
        "age": Column(source="clinical", kind="number", label="Age", unit="years"),
        "sex": Column(source="clinical", kind="category", label="Sex", levels=["m", "f"]),
    }
    asked = [Subgroup(column="age", cut=10), Subgroup(column="sex"), Subgroup(column="sex", levels=["f"])]
    (age, sex, women), tests = parts(rows, cohort, asked, columns)
    known = age.dropna(subset=["part"])
    assert list(age["part"].cat.categories) == ["≤ 10 years", "> 10 years"]
    numbers = known["subject"].map(cohort.set_index("subject")["age"])
    assert ((numbers > 10) == (known["part"] == "> 10 years")).all()
    assert set(age.loc[age["part"].isna(), "subject"]) == {subjects[0]}
    assert list(sex["part"].cat.categories) == ["m", "f"]
    assert set(women["part"].dropna()) == {"f"}
    own = sex[(sex["cohort"] == "train") & (sex["signature"] == "A")]
    row = tests[(tests["column"] == "sex") & (tests["cohort"] == "train") & (tests["signature"] == "A")].iloc[0]
    assert row["p_interaction"] == interaction(own)["p_interaction"]
    (nothing,), none = parts(rows, cohort.head(0), asked, columns)
    assert nothing.empty
    assert none.empty
