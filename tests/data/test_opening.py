"""Chapter 01: the words of the table of variables, of the cohorts' summary and of follow-up."""

from __future__ import annotations

from pathlib import Path

from pandas import DataFrame

from radsupport.book.conclusions.cohort import follow_up_words, summary_headers, worded_months
from radsupport.data.open import cohort_summary, variable_table
from radsupport.settings.study import Study
from radsupport.study import load_study


def test_variables_say_when_they_are_known_only_where_it_differs(root: Path) -> None:
    study = load_study("lung1", folder=root / "studies")
    table = variable_table(study)
    assert table["column"].tolist() == list(study.columns)
    assert "known" not in table
    late = study.columns["stage"].model_copy(update={"time_of_knowledge": "postoperative"})
    changed = study.model_copy(update={"columns": {**study.columns, "stage": late}})
    known = variable_table(changed).set_index("column")["known"]
    assert known["stage"] == "postoperative"
    assert set(known.drop("stage")) == {"preoperative"}


def test_no_variables_no_table(root: Path) -> None:
    study: Study = load_study("worc_gist", folder=root / "studies")
    assert variable_table(study).empty


def followed_for(months: list[float], label: list[float] | None = None, event: list[float] | None = None) -> DataFrame:
    n = len(months)
    table = DataFrame({"subject": [f"s{i}" for i in range(n)], "cohort": "train", "time": months})
    return table.assign(label=label or [0.0] * n, event=event or [0.0] * n)


def test_words_on_follow_up_differ_with_the_endpoint(root: Path) -> None:
    studies = {name: load_study(name, folder=root / "studies") for name in ("sts", "gu2023", "yang2023", "cui2022")}
    cohort = followed_for([9.0, 60.0, 30.0], label=[0, 0, 1], event=[0, 1, 0])
    words = {name: follow_up_words(cohort, study) for name, study in studies.items()}
    assert "1 of 2 patients labelled “no early recurrence”" in words["cui2022"]
    assert "less than 24 months" in words["cui2022"]
    assert (
        "“no lung metastases” also means “not yet”: the 2 patients labelled so were followed for 9 to 60"
        in words["sts"]
    )
    assert "overall survival: the time to death" in words["sts"]
    assert "known at once" in words["gu2023"]
    assert "not yet" not in words["gu2023"]
    label = studies["sts"].endpoint.label.model_copy(update={"known": ""})
    endpoint = studies["sts"].endpoint.model_copy(update={"label": label})
    unsaid = follow_up_words(cohort, studies["sts"].model_copy(update={"endpoint": endpoint}))
    assert "does not say when" in unsaid
    assert "“no lung metastases” also means “not yet”" in unsaid
    assert "known at once" in unsaid
    assert "2 of 3 patients left observation without the event (death): they are censored" in words["yang2023"]
    assert not any("too early" in text for text in words.values())
    assert "no follow-up" in follow_up_words(cohort, load_study("hosny2018", folder=root / "studies"))


def test_the_summary_names_each_event_and_gives_months_one_decimal(root: Path) -> None:
    gu, yang = (load_study(name, folder=root / "studies") for name in ("gu2023", "yang2023"))
    cohort = followed_for([10.0, 20.04, 30.0, 40.0], label=[1, 1, 1, 0], event=[1, 0, 0, 0])
    summary = cohort_summary(cohort, gu).iloc[0]
    assert (summary["events"], summary["survival_events"]) == (3, 1)
    headers = summary_headers(gu)
    assert headers["events"] == "Events: lymph-node metastasis"
    assert headers["survival_events"] == "Events: recurrence (disease-free survival)"
    assert headers["median_follow_up"] == "Median follow-up, months (disease-free survival)"
    shown = worded_months(cohort_summary(cohort, gu))
    assert shown["median_follow_up"].iloc[0] == "30.0"
    assert shown["ci_high"].iloc[1] == "–"
    own = cohort_summary(cohort, yang)
    assert "survival_events" not in own
    assert own["events"].iloc[0] == 1
    assert summary_headers(yang)["events"] == "Events: death (overall survival)"
    without = load_study("worc_gist", folder=root / "studies")
    assert "median_follow_up" not in worded_months(cohort_summary(cohort, without))
