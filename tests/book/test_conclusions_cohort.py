"""What chapter 01 says of its data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pandas import DataFrame

from radsupport.book.conclusions import cohort as say
from radsupport.book.printed import printed_baseline
from radsupport.settings.parts import Column, Endpoint
from radsupport.study import load_study


@pytest.fixture(scope="module")
def endpoints(root: Path) -> dict[str, Endpoint]:
    names = ("sts", "gu2023", "yang2023", "cui2022", "hosny2018", "song2021")
    return {name: load_study(name, folder=root / "studies").endpoint for name in names}


def followed_for(months: list[float], label: list[float], event: list[float]) -> DataFrame:
    return DataFrame({"time": months, "label": label, "event": event})


def test_the_endpoint_names_what_is_predicted_first(endpoints: dict[str, Endpoint]) -> None:
    assert say.endpoint(endpoints["hosny2018"]).count("(yes: ") == 1
    assert say.endpoint(endpoints["gu2023"]).startswith("lymph-node metastasis (yes: ")
    assert say.endpoint(endpoints["gu2023"]).endswith("; also disease-free survival (months)")
    assert say.endpoint(endpoints["yang2023"]).startswith("overall survival (months)")


def test_a_center_is_split_by_a_column_or_by_chance_or_not() -> None:
    assert "column 'group'" in say.split("group", False, 1)
    assert "at random (seed 7)" in say.split("", True, 7)
    assert say.split("", False, 1) == "Each center belongs to one cohort."


def test_words_on_follow_up_differ_with_the_endpoint(endpoints: dict[str, Endpoint]) -> None:
    cohort = followed_for([9.0, 60.0, 30.0], label=[0, 0, 1], event=[0, 1, 0])
    words = {name: say.follow_up(cohort, found) for name, found in endpoints.items()}
    assert "1 of 2 patients labelled “no early recurrence”" in words["cui2022"]
    assert "less than 24 months" in words["cui2022"]
    meant = "“no lung metastases” also means “not yet”: the 2 patients labelled so were followed for 9 to 60"
    assert meant in words["sts"]
    assert "overall survival: the time to death" in words["sts"]
    assert "known at once" in words["gu2023"]
    assert "not yet" not in words["gu2023"]
    label = endpoints["sts"].label.model_copy(update={"known": ""})
    unsaid = say.follow_up(cohort, endpoints["sts"].model_copy(update={"label": label}))
    assert "does not say when" in unsaid
    assert "“no lung metastases” also means “not yet”" in unsaid
    assert "known at once" in unsaid
    assert "2 of 3 patients left observation without the event (death): they are censored" in words["yang2023"]
    assert not any("too early" in text for text in words.values())
    assert "no follow-up times" in words["hosny2018"]


def test_patients_whose_follow_up_ends_before_the_horizon_are_counted(endpoints: dict[str, Endpoint]) -> None:
    cohort = followed_for([59.9] * 4 + [70.0] * 23 + [20.0] * 13, label=[0] * 27 + [1] * 13, event=[0] * 40)
    assert "4 of 27" in say.follow_up(cohort, endpoints["song2021"])


def test_competing_events_are_counted_among_those_without_the_event(endpoints: dict[str, Endpoint]) -> None:
    followed = followed_for([5.0, 9.0, 30.0, 40.0], [0, 0, 1, 0], [0, 0, 1, 0])
    assert say.competing(followed, endpoints["gu2023"]) == ""
    text = say.competing(followed.assign(competing=[1.0, 0, 0, 1]), endpoints["gu2023"])
    assert text.startswith("The follow-up of 2 of the 3 patients without recurrence ended by death without recurrence")
    assert "as censored then" in text


def test_complete_patients_are_counted() -> None:
    cohort = DataFrame({"age": [1.0, np.nan, 3.0], "sex": ["f", "m", None]})
    age, sex = Column(source="clinical", kind="number", label="Age"), {"kind": "category", "levels": ["f", "m"]}
    columns = {"age": age, "sex": Column(source="clinical", label="Sex", **sex)}
    assert say.complete(cohort, columns) == "1 of 3 patients have a value in each of the 2 variables."
    assert "no variables" in say.complete(cohort, {})
    many = DataFrame({"age": [1.0, 9.0, *[5.0] * 7]})
    assert "variables.\n\n**As if filled in.** 7 of 9" in say.complete(many, {"age": age})


def test_a_number_that_many_share_is_said_to_look_filled_in() -> None:
    column = Column(source="clinical", kind="number", label="Age", unit="years")
    ages = DataFrame({"age": [68.7] * 6 + [50.5, 71.25] + [40.0 + i for i in range(32)]})
    words = say.shared_values(ages, {"age": column})
    assert "6 of 40 patients (15%) have the same Age 68.7 years (no other value has more than 1): most" in words
    assert say.shared_values(ages, {"age": column}, ["sex"]) == ""
    highest = ages.replace({68.7: 100.0})  # the end of a scale, such as a share of 100%
    rounded = ages.assign(age=ages["age"].replace({68.7: 50.0}).round(-1))
    for other in (highest, rounded, ages.tail(30), ages.head(0)):
        assert say.shared_values(other, {"age": column}) == ""


def test_the_reason_for_no_comparison_is_the_true_one() -> None:
    two = DataFrame({"cohort": ["train", "external"]})
    assert say.nothing_to_compare(two, []).startswith("This study has no clinical variables or CT findings: there")
    assert say.nothing_to_compare(two[:1], ["age"]).startswith("This study has one cohort: there")
    assert "CT findings and has one cohort: there" in say.nothing_to_compare(two[:1], [])


def test_directions_are_those_of_the_statistics_shown() -> None:
    columns = {
        "age": Column(source="clinical", kind="number", label="Age"),
        "size": Column(source="clinical", kind="number", label="Size"),
        "duct": Column(source="clinical", kind="category", label="Duct", levels=["no", "yes"]),
    }
    table = DataFrame({"by": list("aaabbb"), "age": [1.0, 2, 3, 2, 4, 6], "duct": ["no", "no", "yes"] * 2})
    table["size"] = table["age"]
    tests = {"age": "student_t", "size": "mann_whitney", "duct": "fisher"}
    notes = say.directions(printed_baseline(table, "by", columns, {"a": "Hospital I", "b": "Hospital II"}, tests))
    assert "second level against its first, in “Hospital II” against “Hospital I”" in notes
    assert "“Hospital I” minus “Hospital II”" in notes
    assert "the one of “Hospital I” has the larger value" in notes
    duct = {"duct": columns["duct"]}
    assert "no direction" in say.directions(
        printed_baseline(table, "by", duct, {"a": "A", "b": "B"}, {"duct": "chi_square"})
    )
    table = table.assign(event=[1, 0, 1, 0, 1, 1], time=[1.0, 2, 3, 4, 5, 6])
    names = {"0": "alive", "1": "dead"}
    assert "follow-up counts" in say.directions(
        printed_baseline(table, "event", duct, names, survival=("time", "event"))
    )
    assert say.directions(DataFrame()) == ""


def test_the_short_answer_counts_cohorts_differences_and_events():
    summary = DataFrame({"cohort": ["train", "external", "images"], "n": [142, 84, 9], "events": [67, 27, np.nan]})
    words = say.sizes(summary, {"train": "training", "external": "elsewhere"}, "metastasis")
    assert words == "Patients (with metastasis): training 142 (67), elsewhere 84 (27) and images 9 (–)."
    assert say.sizes(summary, {}, "death").startswith("Patients (deaths): train 142 (67)")
    by_cohort, by_outcome = DataFrame(), DataFrame()
    by_cohort.attrs["p"], by_outcome.attrs["p"] = {"age": 0.04, "sex": 0.5, "size": np.nan}, {"age": 0.001}
    words = say.differing(by_cohort, by_outcome)
    assert words.endswith("one in twenty: 1 of 2 between the cohorts, 1 of 1 between the outcomes.")
    assert say.differing(DataFrame(), DataFrame()) == ""


def test_a_published_output_has_no_candidates_and_images_too_many():
    names, each = ["taken", "image", "ten", "nine"], [np.nan, np.nan, 10.0, 9.9]
    table = DataFrame({"signature": names, "events": [np.nan, 50, 50, 50], "per_parameter": each})
    table = table.assign(n=[np.nan, 300, 300, 300], required=[np.nan, 385, 310, 250])
    table.attrs["enough"] = 10.0
    words = say.burden(table)
    assert words.startswith("Of 3 fitted signatures, 2 have fewer than 10 training events per candidate")
    assert ": image and nine. Riley's criteria ask for more patients than there are for 2 of 3: " in words
    assert words.endswith("2 of 3: image has 300 of the 385 needed.")
    assert say.burden(table.tail(1)).endswith("Each has the patients that Riley's criteria ask for.")
    assert say.burden(table.head(1)) == ""
    assert "Of 1 fitted signature, 1 has fewer" in say.burden(table.iloc[:2])
