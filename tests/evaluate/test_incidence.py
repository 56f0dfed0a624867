"""Cumulative incidences of risk groups against those of each group alone, and cause-specific tests."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from radsupport.evaluate import incidence
from radsupport.stats.incidence import cumulative_incidence
from radsupport.stats.logrank import log_rank


@pytest.fixture
def groups() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    n, time = 80, np.ceil(rng.exponential(15, 80))
    table = pd.DataFrame({"subject": [f"P{i}" for i in range(n)], "signature": "A", "time": time})
    table["event"] = rng.integers(0, 2, n)
    table["group"] = pd.Categorical(rng.choice(["low risk", "high risk"], n), ["low risk", "high risk"])
    names = pd.CategoricalDtype(["train", "external"], ordered=True)
    return table.assign(cohort=pd.Series(np.where(np.arange(n) < 50, "train", "external")).astype(names))


@pytest.fixture
def cohort(groups: pd.DataFrame) -> pd.DataFrame:
    died = (groups["event"] == 0) & (np.arange(len(groups)) % 3 == 0)
    return groups[["subject"]].assign(competing=died.astype(float)).sample(frac=1, random_state=0)


def test_each_group_has_its_own_curve_and_values_at_the_months(groups: pd.DataFrame, cohort: pd.DataFrame) -> None:
    at = incidence(groups, cohort, [6.0, 500.0])
    assert at["cohort"].tolist() == ["train"] * 4 + ["external"] * 4
    own = groups.merge(cohort, on="subject").query("cohort == 'external' and group == 'high risk'")
    alone = cumulative_incidence(own["time"], own["event"], own["competing"], [6.0])
    row = at.query("cohort == 'external' and group == 'high risk' and time == 6").iloc[0]
    assert (row["n"], row["events"], row["competing_events"]) == (len(own), alone.n_events, alone.n_competing)
    expected = alone.at_times.iloc[0]
    assert row["incidence"] == expected["incidence"]
    assert row[["incidence_low", "incidence_high"]].tolist() == expected[["ci_low", "ci_high"]].tolist()
    assert row["overstated"] == pytest.approx(expected["one_minus_km"] - expected["incidence"])
    assert at.loc[at["time"] == 500, "incidence"].isna().all()
    curves = incidence(groups, cohort).query("cohort == 'external'")
    assert curves["n"].unique().tolist() == [30]
    assert len(curves[curves["group"] == "high risk"]) == len(alone.curve)


def test_the_tests_are_cause_specific(groups: pd.DataFrame, cohort: pd.DataFrame) -> None:
    own = groups.merge(cohort, on="subject").query("cohort == 'train'")
    for found in (incidence(groups, cohort), incidence(groups, cohort, [6.0])):
        row = found[found["cohort"] == "train"].iloc[-1]
        assert row["p"] == log_rank(own["time"], own["event"], own["group"]).p
        assert row["p_competing"] == log_rank(own["time"], own["competing"], own["group"]).p


def test_a_group_of_four_has_no_values_at_the_months(groups: pd.DataFrame, cohort: pd.DataFrame) -> None:
    own = groups[groups["cohort"] == "train"]
    few = pd.concat([own[own["group"] == "low risk"], own[own["group"] == "high risk"].head(4)])
    at = incidence(few, cohort, [6.0]).set_index("group")
    assert at.loc["high risk", "n"] == 4
    assert at.loc["high risk", ["incidence", "one_minus_km", "p", "p_competing"]].isna().all()
    assert at.loc["low risk", "incidence"] > 0


def test_without_a_competing_event_there_is_a_reason(groups: pd.DataFrame, cohort: pd.DataFrame) -> None:
    found = incidence(groups, cohort[["subject"]])
    assert found.empty
    assert "No event that competes" in found.attrs["empty"]
