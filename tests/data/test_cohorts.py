"""Missing values, events per parameter, early ends of follow-up, and the tables of the flow diagram."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from radsupport.book.conclusions import cohort as opening
from radsupport.data import cohorts as completeness
from radsupport.data import cohorts as flow
from radsupport.data.cohorts import CohortTables
from radsupport.settings.study import Study
from radsupport.study import load_study


@pytest.fixture(scope="module")
def song(root: Path) -> Study:
    return load_study("song2021", folder=root / "studies")


@pytest.fixture
def cohort(song: Study) -> pd.DataFrame:
    n = 40
    table = pd.DataFrame({"subject": [f"s{i}" for i in range(n)], "center": "hospital_1", "cohort": "train"})
    table.loc[30:, ["center", "cohort"]] = ["hospital_2", "external"]
    table["label"] = np.r_[np.ones(8), np.zeros(22), np.ones(5), np.zeros(5)]
    table["time"], table["event"] = np.where(table["label"] == 1, 20.0, 70.0), table["label"]
    for name, column in song.columns.items():
        table[name] = 1.0 if column.kind == "number" else column.levels[0]
    return table


def test_missing_values_are_counted_by_cohort(cohort: pd.DataFrame, song: Study) -> None:
    assert completeness.missing_table(cohort, song).empty
    cohort.loc[[0, 30, 31], "symptom"] = None
    cohort.loc[0, "age"] = np.nan
    table = completeness.missing_table(cohort, song)
    assert table["variable"].tolist() == ["Neuroendocrine symptoms", "Age"]
    assert table["Hospital I"].tolist() == ["1 of 30 (3%)", "1 of 30 (3%)"]
    assert table["Hospital II"].tolist() == ["2 of 10 (20%)", "0"]
    assert completeness.complete_cases(cohort, song) == 37
    assert "37 of 40" in opening.completeness_words(cohort, song)


def test_events_per_parameter_count_levels_and_the_rarer_outcome(cohort: pd.DataFrame, song: Study) -> None:
    table = completeness.events_per_variable(cohort, song, "label").set_index("signature")
    findings = [c for c in song.columns.values() if c.source == "ct_findings"]
    parameters = sum(1 if c.kind == "number" else len(c.levels) - 1 for c in findings)
    row = table.loc["CT findings"]
    assert (row["parameters"], row["events"]) == (parameters, 8)
    assert row["per_parameter"] == pytest.approx(8 / parameters)
    assert row["remark"] == "fewer than ten"
    assert np.isnan(table.loc["DLR-A", "parameters"])
    cohort["label"] = 1 - cohort["label"]
    assert completeness.events_per_variable(cohort, song, "label")["events"].eq(8).all()


def test_combined_signatures_count_their_risks_and_variables(root: Path, cohort: pd.DataFrame) -> None:
    yang = load_study("yang2023", folder=root / "studies")
    table = completeness.events_per_variable(cohort.assign(event=cohort["label"]), yang, "event").set_index("signature")
    assert table.loc["clinic+dl", "parameters"] == 2 + 3
    assert "same events" in table.loc["clinic+dl", "remark"]


def test_a_study_without_tables_has_no_candidates_there(root: Path, cohort: pd.DataFrame) -> None:
    gist = load_study("worc_gist", folder=root / "studies")
    table = completeness.events_per_variable(cohort, gist, "label")
    assert table["per_parameter"].isna().all()
    assert not table["remark"].str.contains("ten or more").any()


def test_a_published_output_has_no_candidates(root: Path, cohort: pd.DataFrame) -> None:
    hosny = load_study("hosny2018", folder=root / "studies")
    remarks = completeness.events_per_variable(cohort, hosny, "label").set_index("signature")["remark"]
    assert remarks["CNN"] == completeness.NOTHING_FITTED
    assert "outnumber" in remarks["Radiomics"]


def test_patients_whose_follow_up_ends_before_the_horizon(cohort: pd.DataFrame, song: Study, root: Path) -> None:
    assert completeness.short_follow_up(cohort, song) == (0, 27)
    cohort.loc[cohort.index[10:14], "time"] = 59.9
    assert completeness.short_follow_up(cohort, song) == (4, 27)
    assert "4 of 27" in opening.follow_up_words(cohort, song)
    gu = load_study("gu2023", folder=root / "studies")
    assert completeness.short_follow_up(cohort, gu) == (0, 0)


def test_the_flow_adds_up(cohort: pd.DataFrame, song: Study) -> None:
    extra = pd.DataFrame({"subject": ["x", "y"], "center": "segmentation", "cohort": "segmentation"})
    reasons = ["metastatic"] * 5 + ["no CT"] * 2
    excluded = pd.DataFrame(
        {"subject": [f"e{i}" for i in range(7)], "center": ["A"] * 4 + ["B"] * 3, "reason": reasons}
    )
    tables = CohortTables(pd.concat([cohort, extra]), excluded)
    table = flow.flow_table(tables, song, "label")
    assert table["role"].tolist() == ["main", "main", "cohort", "cohort", "aside"]
    assert table["n"].tolist() == [47, 40, 30, 10, 2]
    assert table["excluded"][0].splitlines() == ["metastatic: 5", "no CT: 2"]
    assert table["note"][2] == "8 events\ncenter: hospital_1"
    counts = flow.exclusion_table(tables)
    assert counts["all centers"].tolist() == [5, 2]
    assert counts[["A", "B"]].to_numpy().tolist() == [[4, 1], [0, 2]]


def test_rare_reasons_are_summed_up() -> None:
    reasons = pd.Series({f"reason {i}": 20 - i for i in range(15)})
    lines = flow.reason_lines(reasons).splitlines()
    assert len(lines) == flow.MOST_REASONS
    assert lines[-1] == f"4 other reasons: {9 + 8 + 7 + 6}"


def test_nobody_left_out_draws_no_first_box(cohort: pd.DataFrame, song: Study) -> None:
    tables = CohortTables(cohort, pd.DataFrame(columns=["subject", "center", "reason"]))
    assert flow.flow_table(tables, song, "label")["n"].tolist() == [40, 30, 10, 0]
