"""Chapter 01: the words of the table of variables."""

from __future__ import annotations

from pathlib import Path

from radsupport.cohort.opening import variable_table
from radsupport.study import load_study
from radsupport.study_schema import Study


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
