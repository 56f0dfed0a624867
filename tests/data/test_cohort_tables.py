"""What a cohort holds: the flow diagram, sizes and follow-up, variables, missing values, events per parameter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from radsupport.data.cohort_tables import (
    INVENTED,
    LEARNT_BY_NETWORK,
    MOST_REASONS,
    NO_WEIGHT,
    NOTHING_FITTED,
    CohortTables,
    reason_lines,
)
from radsupport.settings.study import Study
from radsupport.stats.sample_size import for_binary, for_survival, overall_risk_binary
from radsupport.study import load_study


@pytest.fixture(scope="module")
def song(root: Path) -> Study:
    return load_study("song2021", folder=root / "studies")


def opened(study: Study, cohort: pd.DataFrame, excluded: pd.DataFrame | None = None) -> CohortTables:
    nobody = pd.DataFrame(columns=["subject", "center", "reason"])
    return CohortTables(study, cohort, nobody if excluded is None else excluded)


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
    assert opened(song, cohort).missing().empty
    cohort.loc[[0, 30, 31], "symptom"] = None
    cohort.loc[0, "age"] = np.nan
    table = opened(song, cohort).missing()
    assert table["variable"].tolist() == ["Neuroendocrine symptoms", "Age"]
    assert table["Hospital I"].tolist() == ["1 of 30 (3%)", "1 of 30 (3%)"]
    assert table["Hospital II"].tolist() == ["2 of 10 (20%)", "0"]
    many = pd.concat([cohort.tail(39)] * 10 + [cohort.head(1)], ignore_index=True)
    table = opened(song, many.assign(subject=many.index.astype(str))).missing()
    assert table["Hospital I"].iloc[-1] == "1 of 291 (<1%)"


def test_events_per_parameter_count_levels_and_the_rarer_outcome(cohort: pd.DataFrame, song: Study) -> None:
    table = opened(song, cohort).events_per_variable().set_index("signature")
    findings = [c for c in song.columns.values() if c.source == "ct_findings"]
    parameters = sum(1 if c.kind == "number" else len(c.levels) - 1 for c in findings)
    row = table.loc["CT findings"]
    assert (row["parameters"], row["events"]) == (parameters, 8)
    assert row["per_parameter"] == pytest.approx(8 / parameters)
    assert row["remark"] == "fewer than ten"
    assert np.isnan(table.loc["DLR-A", "parameters"])
    cohort["label"] = 1 - cohort["label"]
    assert opened(song, cohort).events_per_variable()["events"].eq(8).all()


def test_patients_needed_are_those_of_rileys_criteria(root: Path, cohort: pd.DataFrame, song: Study) -> None:
    table = opened(song, cohort).events_per_variable().set_index("signature")
    row = table.loc["CT findings"]
    assert row["n"] == (cohort["cohort"] == "train").sum()
    assert row["required"] == for_binary(int(row["parameters"]), 8 / row["n"]).required > row["n"]
    assert table.loc["DLR-A", "required"] == overall_risk_binary(8 / row["n"])  # its candidates come later
    assert table.loc["DLR-A", "remark"].endswith("for the overall risk alone")
    yang = load_study("yang2023", folder=root / "studies")
    followed = cohort.assign(event=cohort["label"])
    train = followed[followed["cohort"] == "train"]
    found = opened(yang, followed).events_per_variable().set_index("signature").loc["clinic+dl", "required"]
    rate = train["event"].sum() / train["time"].sum()
    assert found == for_survival(5, rate, train["time"].mean(), yang.endpoint.survival.horizons_months[0]).required
    nobody = opened(song, cohort.assign(label=0)).events_per_variable()
    assert nobody["required"].isna().all()


def test_combined_signatures_count_their_risks_and_variables(root: Path, cohort: pd.DataFrame) -> None:
    yang = load_study("yang2023", folder=root / "studies")
    table = opened(yang, cohort.assign(event=cohort["label"])).events_per_variable().set_index("signature")
    assert table.loc["clinic+dl", "parameters"] == 2 + 3
    assert "same events" in table.loc["clinic+dl", "remark"]
    song = load_study("song2021", folder=root / "studies")
    table = opened(song, cohort).events_per_variable().set_index("signature")
    assert table.loc["DLR-A + s", "candidates"] == "risks of 1 signature, 1 variable"
    assert table.loc["DLR-A + sag", "candidates"] == "risks of 1 signature, 3 variables"


def test_a_study_without_tables_has_no_candidates_there(root: Path, cohort: pd.DataFrame) -> None:
    gist = load_study("worc_gist", folder=root / "studies")
    table = opened(gist, cohort).events_per_variable()
    assert table["per_parameter"].isna().all()
    assert not table["remark"].str.contains("ten or more").any()
    assert table.set_index("signature").loc["Average", ["candidates", "remark"]].tolist() == [
        "risks of 2 signatures", NO_WEIGHT,
    ]  # fmt: skip


def test_a_published_output_has_no_candidates(root: Path, cohort: pd.DataFrame) -> None:
    hosny = load_study("hosny2018", folder=root / "studies")
    table = opened(hosny, cohort).events_per_variable().set_index("signature")
    assert table.loc["CNN", "remark"] == NOTHING_FITTED
    assert table.loc["CNN", ["parameters", "events", "per_parameter"]].isna().all()
    assert table.loc["CNN", "candidates"] == "published deep output"
    assert "outnumber" in table.loc["Radiomics", "remark"]


def test_the_candidates_of_a_network_are_not_counted(root: Path, cohort: pd.DataFrame) -> None:
    cui = load_study("cui2022", folder=root / "studies")
    table = opened(cui, cohort).events_per_variable().set_index("signature")
    assert table.loc[["SS-3D-CNN", "NSS-3D-CNN"], "remark"].str.startswith(LEARNT_BY_NETWORK).all()
    assert table.loc[["SS-3D-CNN", "NSS-3D-CNN"], "per_parameter"].isna().all()
    others = table.drop(index=["SS-3D-CNN", "NSS-3D-CNN"])
    assert not others["remark"].str.contains("network learns").any()
    assert others.loc["Combined", "parameters"] == 3
    assert "the risks were learnt from the same events" in others.loc["Combined", "remark"]


def test_features_of_tables_are_counted_and_patients_without_any_are_not(root: Path, cohort: pd.DataFrame) -> None:
    hosny = load_study("hosny2018", folder=root / "studies")
    features = pd.DataFrame(np.ones((40, 20)), columns=[f"ct__original_{i}" for i in range(20)])
    features = features.assign(subject=cohort["subject"])
    features.loc[[0, 1], features.columns != "subject"] = np.nan  # two of the eight with the event
    table = opened(hosny, cohort)
    table = CohortTables(hosny, cohort, table.excluded, {"radiomics": features}).events_per_variable()
    table = table.set_index("signature")
    assert (table.loc["Radiomics", "parameters"], table.loc["Radiomics", "events"]) == (20, 6)
    assert table.loc["Radiomics", "per_parameter"] == pytest.approx(6 / 20)
    assert "outnumber" in table.loc["Radiomics", "remark"]
    assert (table.loc["Radiomics + CNN", "parameters"], table.loc["Radiomics + CNN", "events"]) == (2, 6)


def test_the_flow_adds_up(cohort: pd.DataFrame, song: Study) -> None:
    extra = pd.DataFrame({"subject": ["x", "y"], "center": "segmentation", "cohort": "segmentation"})
    reasons = ["metastatic"] * 5 + ["no CT"] * 2
    excluded = pd.DataFrame(
        {"subject": [f"e{i}" for i in range(7)], "center": ["A"] * 4 + ["B"] * 3, "reason": reasons}
    )
    tables = opened(song, pd.concat([cohort, extra]), excluded)
    table = tables.flow()
    assert table["role"].tolist() == ["main", "main", "cohort", "cohort", "aside"]
    assert table["n"].tolist() == [47, 40, 30, 10, 2]
    assert table["excluded"][0].splitlines() == ["metastatic: 5", "no CT: 2", INVENTED]
    assert table["note"][2] == "8 events\ncenter: Hospital I"
    counts = tables.left_out()
    assert counts["all centers"].tolist() == [5, 2]
    assert counts[["A", "B"]].to_numpy().tolist() == [[4, 1], [0, 2]]


def test_rare_reasons_are_summed_up() -> None:
    reasons = pd.Series({f"reason {i}": 20 - i for i in range(15)})
    lines = reason_lines(reasons).splitlines()
    assert len(lines) == MOST_REASONS
    assert lines[-1] == f"4 other reasons: {9 + 8 + 7 + 6}"


def test_nobody_left_out_draws_no_first_box(cohort: pd.DataFrame, song: Study) -> None:
    tables = opened(song, cohort)
    assert tables.flow()["n"].tolist() == [40, 30, 10, 0]
    assert tables.left_out().empty
    assert tables.left_out().attrs["empty"] == "Nobody was left out."
    real = opened(song.model_copy(update={"data": song.data.model_copy(update={"kind": "real"})}), cohort)
    assert real.left_out().attrs["empty"] == "Nobody in these files was left out."


def test_variables_say_when_they_are_known_only_where_it_differs(root: Path) -> None:
    study = load_study("lung1", folder=root / "studies")
    table = opened(study, pd.DataFrame()).variables()
    assert table["column"].tolist() == list(study.columns)
    assert "known" not in table
    late = study.columns["stage"].model_copy(update={"time_of_knowledge": "postoperative"})
    changed = study.model_copy(update={"columns": {**study.columns, "stage": late}})
    known = opened(changed, pd.DataFrame()).variables().set_index("column")["known"]
    assert known["stage"] == "postoperative"
    assert set(known.drop("stage")) == {"preoperative"}


def test_no_variables_no_table(root: Path) -> None:
    table = opened(load_study("worc_gist", folder=root / "studies"), pd.DataFrame()).variables()
    assert table.empty
    assert "no clinical variables" in table.attrs["empty"]


def test_the_summary_counts_each_event_and_follow_up(root: Path) -> None:
    gu, yang, gist = (load_study(name, folder=root / "studies") for name in ("gu2023", "yang2023", "worc_gist"))
    cohort = pd.DataFrame({"cohort": "train", "time": [10.0, 20.04, 30.0, 40.0]})
    cohort = cohort.assign(label=[1.0, 1, 1, 0], event=[1.0, 0, 0, 0])
    summary = opened(gu, cohort).summary()
    assert summary["cohort"].tolist() == list(gu.cohorts)
    assert (summary["events"][0], summary["survival_events"][0]) == (3, 1)
    assert summary["median_follow_up"][0] == 30.0
    assert summary.loc[1, ["median_follow_up", "median_follow_up_low", "median_follow_up_high"]].isna().all()
    assert "competing_events" not in summary
    died = opened(gu, cohort.assign(competing=[0.0, 1, 1, 0])).summary()
    assert died["competing_events"][0] == 2
    pd.testing.assert_frame_equal(died.drop(columns="competing_events"), summary)
    own = opened(yang, cohort).summary()
    assert "survival_events" not in own
    assert own["events"].iloc[0] == 1
    assert "median_follow_up" not in opened(gist, cohort).summary()


def test_follow_up_comes_in_the_order_of_the_cohorts_by_their_names(cohort: pd.DataFrame, song: Study) -> None:
    outlined = pd.DataFrame({"subject": ["x"], "center": "segmentation", "cohort": "segmentation"})
    cohort.loc[0, "time"] = np.nan
    table = opened(song, pd.concat([cohort.iloc[::-1], outlined])).follow_up()
    assert table.groupby("cohort", sort=False).size().to_dict() == {"Hospital I": 29, "Hospital II": 10}
