"""Typing the clinical sheet and assigning cohorts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from radsupport.data.clinical import _time_parser, clinical_path, read_clinical
from radsupport.data.open import open_cohort
from radsupport.data.sheets import cell_text, normalise, read_sheet
from radsupport.errors import ClinicalTableError
from radsupport.settings.study import Study
from radsupport.study import load_study, merge
from radsupport.tables import validate_table

MINIMAL: dict[str, Any] = {
    "id": "mine",
    "title": "t",
    "question": "q",
    "seed": 1,
    "data": {"kind": "real", "subject": "Patient ID", "missing_values": ["", "--"]},
    "endpoint": {
        "primary": "label",
        "label": {
            "column": "Relapse",
            "name": "relapse",
            "positive": "yes",
            "negative": "no",
            "recode": {"yes": 1, "no": 0},
        },
        "survival": {
            "time": "Follow-up (days)",
            "event": "Status",
            "name": "survival",
            "unit": "days",
            "event_values": ["D"],
            "censored_values": ["A"],
        },
    },
    "cohorts": {"train": {"name": "X", "centers": ["X"]}},
    "columns": {
        "age": {
            "source": "clinical",
            "kind": "number",
            "label": "Age",
            "column": "Age",
            "minimum": 0,
            "maximum": 110,
            "unit": "years",
        },
        "grade": {
            "source": "clinical",
            "kind": "category",
            "label": "Grade",
            "column": "Grade",
            "levels": ["low", "high"],
            "recode": {"1": "low", "Intermediate": "high"},
        },
    },
    "signatures": [{"name": "Clinical", "columns": ["age"]}],
}
HEADER = "Patient ID,Relapse,Follow\u2011up  (days),Status,Age,Grade"


def study(**changes: Any) -> Study:
    return Study.model_validate(merge(MINIMAL, changes))


def sheet(folder: Path, *lines: str, header: str = HEADER) -> Path:
    path = folder / "sheet.csv"
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def test_values_are_typed_recoded_and_in_months(tmp_path: Path) -> None:
    path = sheet(tmp_path, "a,yes,365.25,D,59,1", "b,no,60.875,A,--,Intermediate", "c,--,--,--,61.5,low")
    table = read_clinical(study(), path)
    assert table["subject"].tolist() == ["a", "b", "c"]
    assert table["label"].tolist()[:2] == [1.0, 0.0]
    np.testing.assert_allclose(table["time"], [12.0, 2.0, np.nan])
    np.testing.assert_array_equal(table["event"], [1, 0, np.nan])
    np.testing.assert_array_equal(table["age"], [59, np.nan, 61.5])
    assert table["grade"].tolist() == ["low", "high", "low"]
    assert table["grade"].cat.categories.tolist() == ["low", "high"]


def test_the_study_may_state_its_own_month(tmp_path: Path) -> None:
    changed = study(endpoint={"survival": {"days_per_month": 30.0}})
    table = read_clinical(changed, sheet(tmp_path, "a,yes,90,D,59,low"))
    assert table["time"].tolist() == [3.0]


def test_all_problems_are_listed_with_row_value_and_remedy(tmp_path: Path) -> None:
    path = sheet(
        tmp_path,
        "a,yes,100,D,590,low",
        "a,maybe,-5,D,61,low",
        ",no,100,A,61,low",
        "d,no,100,X,sixty,lwo",
        'e,no,100,A,"61,5",low',
        "f,no,,D,nan,high",
    )
    with pytest.raises(ClinicalTableError) as caught:
        read_clinical(study(), path)
    text = str(caught.value)
    for part in (
        "row 2, 3, column Patient ID, value a] a subject twice",
        "row 2, column Age, value 590] an impossible value Expected: 0 to 110 years",
        "row 3, column Relapse, value maybe] an unknown outcome Expected: one of yes, no",
        "row 3, column Follow\u2011up  (days), value -5] a negative follow-up time",
        "row 4, column Patient ID] a row without a subject",
        "row 5, column Status, value X] an unknown status",
        "row 5, column Age, value sixty] no number",
        "row 5, column Grade, value lwo] an unknown level",
        "did you mean `low`?",
        "row 7, column Age, value nan] not a finite number",
        "row 7] a status without a follow-up time",
    ):
        assert part in text, part
    assert len(caught.value.problems) == 10


def test_a_competing_event_is_a_column_of_its_own_beside_a_censored_event(tmp_path: Path) -> None:
    path = sheet(
        tmp_path, "a,yes,100,D,59,low", "b,no,90,A,59,low", "c,no,80,2.0,59,low", "d,no,--,--,59,low", "e,no,7,OC,9,low"
    )
    found = read_clinical(study(endpoint={"survival": {"competing_values": ["OC", "2"]}}), path)
    assert found["event"].tolist()[:3] == [1, 0, 0]
    assert found["competing"].tolist()[:3] == [0, 0, 1]
    assert found[["event", "competing"]].iloc[3].isna().all()
    assert found[["event", "competing"]].iloc[4].tolist() == [0, 1]
    assert "competing" not in read_clinical(study(), sheet(tmp_path, "a,yes,100,D,59,low"))


def test_an_unknown_status_is_named_once_beside_a_competing_event(tmp_path: Path) -> None:
    path = sheet(tmp_path, "a,yes,100,X,59,low")
    with pytest.raises(ClinicalTableError) as caught:
        read_clinical(study(endpoint={"survival": {"competing_values": ["OC"]}}), path)
    assert len(caught.value.problems) == 1
    for part in ("row 2, column Status, value X] an unknown status", "one of D, A, OC", "`competing_values`"):
        assert part in str(caught.value)


def test_a_missing_column_suggests_the_nearest_one(tmp_path: Path) -> None:
    path = sheet(
        tmp_path, "a,yes,100,D,59,low", header="Patient ID,Relapsed,Follow-up (days),Status,Age at diagnosis,Grade"
    )
    with pytest.raises(ClinicalTableError) as caught:
        read_clinical(study(), path)
    assert [p.column for p in caught.value.problems] == ["Relapse", "Age"]
    assert "did you mean `Relapsed`?" in str(caught.value)


def test_files_that_are_no_table(tmp_path: Path) -> None:
    with pytest.raises(ClinicalTableError, match="no such file"):
        read_clinical(study(), tmp_path / "none.csv")
    (tmp_path / "x.xlsx").write_text("no workbook", encoding="utf-8")
    with pytest.raises(ClinicalTableError, match="no Excel workbook"):
        read_clinical(study(), tmp_path / "x.xlsx")
    (tmp_path / "x.csv").write_bytes(b"\x81\x00\xff")
    with pytest.raises(ClinicalTableError, match="UTF-8"):
        read_clinical(study(), tmp_path / "x.csv")


def test_workbooks_are_read_with_notes_below_and_sheets_joined(tmp_path: Path) -> None:
    path = tmp_path / "book.xlsx"
    first = pd.DataFrame(
        {"Patient ID": ["a", "b", None, "NOTES"], "Age": [59, 61.5, None, None], "Grade": ["low", "high", None, None]}
    )
    second = pd.DataFrame(
        {
            "patient\u00a0id": ["b", "a"],
            "Relapse": ["no", "yes"],
            "Follow\u2013up (days)": [100, 200],
            "Status": ["A", "D"],
        }
    )
    with pd.ExcelWriter(path) as writer:
        first.to_excel(writer, sheet_name="clinic", index=False)
        second.to_excel(writer, sheet_name="outcome", index=False)
    table = read_clinical(study(data={"clinical_sheet": ["clinic", "outcome"]}), path)
    assert table["subject"].tolist() == ["a", "b"]
    assert table["label"].tolist() == [1.0, 0.0]
    assert table["age"].tolist() == [59.0, 61.5]
    assert read_sheet(path, ["clinic"]).notes == ["NOTES"]
    with pytest.raises(ClinicalTableError, match="one of clinic, outcome"):
        read_clinical(study(data={"clinical_sheet": "clinics"}), path)


@given(st.sampled_from("-\u2010\u2011\u2012\u2013\u2014\u2212"), st.sampled_from(" \u00a0\u2009"), st.integers(1, 3))
def test_dashes_spaces_and_case_do_not_matter_in_headers(dash: str, space: str, n: int) -> None:
    assert normalise(f"Time{space * n}{dash}{space}To ") == "time - to"


@given(st.integers(-(10**9), 10**9))
def test_whole_numbers_read_the_same_with_and_without_a_point(value: int) -> None:
    assert cell_text(float(value)) == cell_text(value) == cell_text(f"{value}.0") == str(value)


def test_the_split_is_read_from_the_column_that_the_study_names(tmp_path: Path) -> None:
    path = sheet(tmp_path, "1,yes,365.25,D,50,low,train", header=f"{HEADER},Set")
    assert read_clinical(study(data={"cohort": "Set"}), path)["split"].tolist() == ["train"]
    with pytest.raises(ClinicalTableError, match="Sets"):
        read_clinical(study(data={"cohort": "Sets"}), path)


def test_the_sheet_is_found_by_role_or_by_name(tmp_path: Path) -> None:
    files = pd.DataFrame({"role": ["image", "clinical"], "file": [tmp_path / "i", tmp_path / "c.csv"]})
    assert clinical_path(study(), files, tmp_path) == tmp_path / "c.csv"
    with pytest.raises(ClinicalTableError, match="role clinical"):
        clinical_path(study(), files[:1], tmp_path)
    (tmp_path / "own.csv").touch()
    assert clinical_path(study(data={"clinical": "own.csv"}), files[:1], tmp_path) == tmp_path / "own.csv"


def test_the_sarcoma_sheet_is_read_as_it_is(root: Path, shared: Path) -> None:
    real = load_study("sts", folder=root / "studies")
    table = read_clinical(real, shared / "real" / "sts_ct" / "INFOclinical_STS.xlsx")
    known = pd.read_csv(shared / "real" / "sts_ct" / "sts_clinical_51.csv", keep_default_na=False)
    assert table["subject"].tolist() == known["Patient ID"].tolist()
    np.testing.assert_array_equal(table["label"], known["LungMets"])
    np.testing.assert_array_equal(table["event"], known["Status (NED, AWD, D)"] == "D")
    days = known.filter(like="last follow-up").iloc[:, 0]
    np.testing.assert_allclose(table["time"] * 30.4375, days)
    assert (table["label"].sum(), table["event"].sum()) == (19, 15)
    assert table["grade"].isna().sum() == 3
    assert table["grade"].value_counts().to_dict() == {"high": 28, "low or intermediate": 20}
    assert table.drop(columns=["grade"]).notna().all(axis=None)


def test_the_sarcoma_cohort(root: Path, shared: Path, tmp_path: Path) -> None:
    (tmp_path / "data_manifest.csv").write_bytes((root / "data_manifest.csv").read_bytes())
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "sts").symlink_to(shared / "real")
    tables = open_cohort(load_study("sts", folder=root / "studies"), tmp_path)
    validate_table(tables.cohort, "cohort")
    assert (len(tables.cohort), tables.cohort["label"].sum(), tables.cohort["event"].sum()) == (22, 9, 6)
    assert tables.excluded["reason"].value_counts().to_dict() == {"no image in the manifest": 29}


def test_weeks_become_months(root: Path) -> None:
    study = load_study("hcc_tace_seg", folder=root / "studies")
    survival = study.endpoint.survival
    assert survival is not None
    value, problem = _time_parser(survival)("52")
    assert problem is None
    assert value == pytest.approx(52 * 7 * 12 / 365.25)


def dated(order: str = "", **changes: Any) -> Study:
    survival: dict[str, Any] = {"dates": {"start": "operated", "end": "last seen", "order": order}, "event": "Status"}
    survival |= {"name": "survival", "event_values": ["D"], "censored_values": ["A"]}
    endpoint = {"primary": "survival", "survival": survival}
    return Study.model_validate(merge({**MINIMAL, "endpoint": endpoint, "columns": {}, "signatures": []}, changes))


def dates_of(folder: Path, *rows: str) -> Path:
    return sheet(
        folder, *(f"{chr(97 + i)},{row}" for i, row in enumerate(rows)), header="Patient ID,Operated,Last seen,Status"
    )


def test_follow_up_is_counted_between_two_dates(tmp_path: Path) -> None:
    path = dates_of(
        tmp_path, "2015-03-02,2018-01-10,D", "2016-02-28,2016-03-01,A", "2016-05-05,05.05.2016,A", "--,2017-01-01,--"
    )
    table = read_clinical(dated(), path)
    days = np.array([1045, 2, 0, np.nan])  # 2016 is a leap year
    np.testing.assert_allclose(table["time"], days / 30.4375)
    again = Study.model_validate_json(dated().model_dump_json())
    assert again == dated(), "a locked model keeps it"
    frame = pd.DataFrame(
        {"Patient ID": ["a"], "Operated": [pd.Timestamp("2015-03-02")], "Last seen": ["2015-03-04"], "Status": "D"}
    )
    frame.to_excel(tmp_path / "book.xlsx", index=False)
    assert read_clinical(dated(), tmp_path / "book.xlsx")["time"].tolist() == [2 / 30.4375]


def test_dates_that_can_not_be_or_not_be_read_are_named_with_row_and_value(tmp_path: Path) -> None:
    path = dates_of(
        tmp_path, "2018-01-10,2015-03-02,D", "2015-03-02,31.04.2016,A", "2015,2016-01-01,A", "2015-01-01,2016-01-01,D"
    )
    with pytest.raises(ClinicalTableError) as caught:
        read_clinical(dated(), path)
    text = str(caught.value)
    place = "row 2, column follow-up from operated to last seen, value 2018-01-10, 2015-03-02"
    assert f"{place}] a follow-up that ends before it starts" in text
    assert "row 3, column Last seen, value 31.04.2016] no date" in text
    assert "row 4, column Operated, value 2015] no date" in text
    assert "row 5" not in text
    serial = pd.DataFrame({"Patient ID": ["a"], "Operated": [42065], "Last seen": [42100], "Status": "D"})
    serial.to_excel(tmp_path / "book.xlsx", index=False)
    with pytest.raises(ClinicalTableError, match="format the column as a date"):
        read_clinical(dated(), tmp_path / "book.xlsx")


def test_the_day_or_the_month_first_is_asked_where_nothing_tells(tmp_path: Path) -> None:
    path = dates_of(tmp_path, "02/03/2015,04/05/2015,D")
    with pytest.raises(ClinicalTableError, match="02/03/2015 may have the day or the month first"):
        read_clinical(dated(), path)
    for order, days in (("day first", 63), ("month first", 61)):
        np.testing.assert_allclose(read_clinical(dated(order), path)["time"], days / 30.4375)
    told = dates_of(tmp_path, "02/03/2015,04/05/2015,D", "13/03/2015,04/05/2015,A")
    np.testing.assert_allclose(read_clinical(dated(), told)["time"], np.array([63, 52]) / 30.4375)


def test_dates_stand_in_the_place_of_a_time(tmp_path: Path) -> None:
    with pytest.raises(ClinicalTableError) as caught:
        read_clinical(dated(), sheet(tmp_path, "a,2015-03-02,D", header="Patient ID,Operated,Status"))
    assert [problem.column for problem in caught.value.problems] == ["last seen"]
    for more in ({"time": "months"}, {"unit": "months"}):
        with pytest.raises(ValidationError, match="in the place of `time` and `unit`"):
            dated(endpoint={"survival": more})
