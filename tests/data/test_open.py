"""Studies that start from feature tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from radsupport.data import open as opening
from radsupport.data.cohort_tables import CohortTables, failed_cases
from radsupport.data.notation import EITHER, SURE, decimal_marks, unwrapped
from radsupport.data.open import read_feature_study
from radsupport.data.sheets import Sheet
from radsupport.errors import ClinicalTableError, InputError, StudyError
from radsupport.settings.study import Study
from radsupport.study import load_study, merge
from radsupport.tables import read_table, validate_table

MINIMAL: dict[str, Any] = {
    "id": "mine",
    "title": "t",
    "question": "q",
    "seed": 1,
    "data": {
        "kind": "real",
        "entry": "features",
        "subject": "id",
        "feature_tables": {"A": "a.csv", "B": "b.csv"},
        "feature_columns": {"radiomics": "^original_", "deep_published": "^logit$"},
    },
    "endpoint": {
        "primary": "label",
        "label": {
            "column": "alive",
            "name": "death",
            "positive": "dead",
            "negative": "alive",
            "recode": {"1": 0, "0": 1},
        },
    },
    "cohorts": {"train": {"name": "A", "centers": ["A"]}, "external": {"name": "B", "centers": ["B"]}},
    "signatures": [{"name": "Radiomics", "sources": ["radiomics"]}],
}
COLUMNS = "id,alive,logit,general_info_Version,original_x,original_y,original_z\n"
A = COLUMNS + "1,1,0.1,v,1,nan,5\n2,0,0.9,v,inf,,6\n3,0,0.8,v,3,7,#DIV/0!\n4,1,0.2,v,,,\n"
B = COLUMNS + " L-1,1,0.3,v,4,8,9\n,0,0.7,v,5,9,1\n3,,0.7,v,5,9,1\n"


CELLS = (
    "0.5", "-1.25", "12", "1e-05", "2.5E3", "1.792", "-39.875", "+1.792", "\u22121.792", "1,792", "12,5", "1.234,5", "",
    "N/A", "nan", "-999", "-999.0", "999.00", "1.000", "1", "inf", "-Infinity", "1e999", "#DIV/0!", "x", "007",
    "\uff11", "[1.5]", "100",
)  # fmt: skip


@given(
    st.lists(st.sampled_from(CELLS) | st.sampled_from(CELLS[:7]), min_size=1, max_size=6), st.sampled_from(["", "."])
)
def test_a_plain_column_read_at_once_is_the_one_read_cell_by_cell(cells: list[str], decimal: str) -> None:
    changes = {"data": {"missing_values": ["-999", "1"], "decimal": decimal}}
    study = Study.model_validate(merge(MINIMAL, changes))
    codes = {*opening.NUMBERS_FOR_MISSING, *opening.EXCEL_ERRORS, "-999", "1"}
    sheet = Sheet(pd.DataFrame({"a": pd.Series(cells, dtype=object)}), [2 + i for i in range(len(cells))], [], "f.csv")
    at_once = opening._feature(study, sheet, "a", codes)
    with mock.patch.object(opening, "_plain", return_value=None):
        one_by_one = opening._feature(study, sheet, "a", codes)
    pd.testing.assert_series_equal(at_once[0], one_by_one[0], check_exact=True, check_names=False)
    assert at_once[1:] == one_by_one[1:]
    marks = {m for m in ",." for c in map(unwrapped, cells) if SURE[m].fullmatch(c) and not EITHER[m].fullmatch(c)}
    assert decimal_marks(sheet.table["a"]) == marks


def write(folder: Path, a: str = A, b: str = B) -> None:
    (folder / "a.csv").write_text(a, encoding="utf-8")
    (folder / "b.csv").write_text(b, encoding="utf-8")
    rows = "mine,,A,,features,a.csv\nmine,,B,,features,b.csv\n"
    (folder / "data_manifest.csv").write_text(f"study,subject,center,phase,role,path\n{rows}", encoding="utf-8")


def read(folder: Path, **changes: Any) -> CohortTables:
    return read_feature_study(Study.model_validate(merge(MINIMAL, changes)), folder)


def counts(tables: CohortTables) -> dict[tuple[str, str], int]:
    return {(row.source, row.step): row.count for row in tables.log.itertuples(index=False)}


def test_ids_labels_and_numbers_are_cleaned_and_every_step_is_counted(tmp_path: Path) -> None:
    write(tmp_path)
    tables = read(tmp_path)
    assert tables.cohort["subject"].tolist() == ["A_1", "A_2", "A_3", "A_4", "B_row3", "L-1"]
    assert tables.cohort["label"].tolist() == [0, 1, 1, 0, 1, 0]
    assert tables.excluded.to_dict("records") == [{"subject": "B_3", "center": "B", "reason": "no label"}]
    radiomics = tables.features["radiomics"].set_index("subject")
    assert list(radiomics) == ["ct__original_x", "ct__original_z"]
    np.testing.assert_array_equal(radiomics["ct__original_x"], [1, np.nan, 3, np.nan, 5, 4])
    steps = counts(tables)
    assert steps["B", "ids with spaces around them: stripped"] == 1
    assert steps["B", "rows without an id: named after their row"] == 1
    assert steps["A", "ids that are bare numbers: center put before"] == 4
    assert steps["A, radiomics", "infinite values: set to missing"] == 1
    assert steps["A, radiomics", "errors of Excel: set to missing"] == 1
    assert steps["A, radiomics", "missing values"] == 5
    assert steps["radiomics", "features missing in more than 50% of the training cohort: dropped"] == 1
    assert steps["radiomics", "subjects without any feature: kept, with a reason"] == 1
    assert (tables.cleaning()["count"] > 0).all()


def test_a_subject_without_features_stays_with_a_reason(tmp_path: Path) -> None:
    write(tmp_path)
    tables = read(tmp_path)
    tables.write(tmp_path / "results")
    assert pd.read_csv(tmp_path / "results" / "cohort_excluded.csv")["subject"].tolist() == ["B_3"]
    table = read_table("features_radiomics", tmp_path / "results")
    assert table["subject"].tolist() == tables.cohort["subject"].tolist()
    log = pd.read_csv(tmp_path / "results" / "features_radiomics_log.csv")
    assert log[["subject", "phase"]].to_numpy().tolist() == [["A_4", "ct"]]
    assert failed_cases(tables.features["deep_published"]).empty


def test_mostly_missing_features_are_judged_on_the_training_cohort_only(tmp_path: Path) -> None:
    write(tmp_path)
    swapped = {"cohorts": {"train": {"name": "B", "centers": ["B"]}, "external": {"name": "A", "centers": ["A"]}}}
    assert "ct__original_y" in read(tmp_path, **swapped).features["radiomics"]


def test_problems_of_all_tables_are_listed_at_once(tmp_path: Path) -> None:
    write(tmp_path, A.replace("2,0,0.9", "2,7,0.9"), B.replace(",0,0.7", ",x,0.7"))
    with pytest.raises(ClinicalTableError) as caught:
        read(tmp_path)
    assert [(Path(p.file).name, p.row, p.value) for p in caught.value.problems] == [
        ("a.csv", "3", "7"),
        ("b.csv", "3", "x"),
    ]


def test_what_can_not_be_read_is_explained(tmp_path: Path) -> None:
    write(tmp_path, A.replace("3,0,0.8", "2,0,0.8"))
    with pytest.raises(InputError, match=r"value A_2] a subject twice"):
        read(tmp_path)
    write(tmp_path, A.replace("id,", "ids,"))
    with pytest.raises(InputError, match=r"did you mean `ids`\?"):
        read(tmp_path)
    write(tmp_path)
    with pytest.raises(InputError, match="correct the pattern"):
        read(tmp_path, data={"feature_columns": {"radiomics": "^wavelet"}})
    with pytest.raises(StudyError, match="no regular expression"):
        read(tmp_path, data={"feature_columns": {"radiomics": "("}})
    phases = {p: {"name": p, "short": p, "window": {"level": 0, "width": 1}} for p in ("arterial", "venous")}
    with pytest.raises(StudyError, match="several phases"):
        read(tmp_path, phases=phases)
    (tmp_path / "b.csv").unlink()
    with pytest.raises(InputError, match="fetch the study"):
        read(tmp_path)


def test_column_names_may_carry_the_phase(tmp_path: Path) -> None:
    write(tmp_path, A.replace("original_", "venous__"), B.replace("original_", "arterial__"))
    phases = {p: {"name": p, "short": p, "window": {"level": 0, "width": 1}} for p in ("arterial", "venous")}
    found = read(tmp_path, phases=phases, data={"feature_columns": {"radiomics": "__x", "deep_published": "__z"}})
    other = found.features["radiomics"].set_index("subject").loc[list(found.cohort.query("center == 'B'")["subject"])]
    assert list(other) == ["venous__x"]  # those of training; the other hospital has no such phase
    assert other["venous__x"].isna().all()
    with pytest.raises(InputError, match="Feature source radiomics is empty"):
        read(tmp_path, phases=phases, data={"feature_columns": {"radiomics": "^arterial__", "deep_published": "__z"}})
    write(tmp_path, A.replace("original_", "venous__"), B.replace("original_", "venous__"))
    changed = {"feature_columns": {"radiomics": "__[xy]", "deep_published": "__z"}}
    assert list(read(tmp_path, phases=phases, data=changed).features["radiomics"]) == ["subject", "venous__x"]


def test_training_is_untouched_by_what_another_center_lacks(tmp_path: Path) -> None:
    write(tmp_path)
    whole = read(tmp_path)
    lines = [line.split(",") for line in B.splitlines()]
    write(tmp_path, A, "\n".join(",".join(one[:4] + one[5:]) for one in lines) + "\n")  # without original_x
    gap = read(tmp_path)
    rows = whole.cohort["cohort"] == "train"
    pd.testing.assert_frame_equal(gap.features["radiomics"][rows], whole.features["radiomics"][rows])
    assert gap.features["radiomics"].loc[~rows, "ct__original_x"].isna().all()
    said = gap.log.loc[gap.log["step"].str.contains("B lacks: no value there"), ["count", "detail"]]
    assert ["1", "B lacks original_x"] in said.astype(str).to_numpy().tolist()
    write(tmp_path, "\n".join(",".join(one[:4] + one[5:]) for one in [r.split(",") for r in A.splitlines()]) + "\n", B)
    assert "ct__original_x" not in read(tmp_path).features["radiomics"]  # training lacks it: nobody has it


@pytest.fixture(scope="module")
def project(root: Path, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    tmp_path = tmp_path_factory.mktemp("project")
    (tmp_path / "data_manifest.csv").write_bytes((root / "data_manifest.csv").read_bytes())
    (tmp_path / "data").mkdir()
    for study in ("hosny2018", "lung1", "worc_gist", "worc_melanoma"):
        (tmp_path / "data" / study).symlink_to(shared / "real")
    return tmp_path


@pytest.fixture(scope="module")
def hosny(root: Path, project: Path) -> CohortTables:
    return read_feature_study(load_study("hosny2018", folder=root / "studies"), project)


def test_the_published_cnn_reaches_its_auc_on_both_external_centers(hosny: CohortTables) -> None:
    tables = hosny
    validate_table(tables.cohort, "cohort")
    assert tables.cohort["center"].value_counts().to_dict() == {"HarvardRT": 293, "Maastro": 211, "Radboud": 104}
    joined = tables.cohort.merge(tables.features["deep_published"], on="subject")
    for center in ("Maastro", "Radboud"):
        here = joined[joined["center"] == center]
        assert round(roc_auc_score(here["label"], here["ct__logit_0"]), 2) >= 0.70
    assert joined["label"].sum() == 134 + 151 + 76


def test_hosnys_tables_are_cleaned_visibly(hosny: CohortTables) -> None:
    tables = hosny
    steps = counts(tables)
    assert steps["Maastro", "ids with spaces around them: stripped"] == 206
    assert steps["Maastro", "rows without an id: named after their row"] == 5
    assert not any("general_info" in name for name in tables.features["radiomics"])
    assert tables.features["radiomics"].shape == (608, 1 + 1002)
    assert failed_cases(tables.features["radiomics"])["subject"].tolist() == [
        "HarvardRT_151",
        "HarvardRT_241",
        "LUNG1-286",
    ]
    assert tables.features["deep_published"].notna().all(axis=None)


def test_lung1_has_real_follow_up(root: Path, project: Path) -> None:
    tables = read_feature_study(load_study("lung1", folder=root / "studies"), project)
    validate_table(tables.cohort, "cohort")
    assert tables.cohort["cohort"].value_counts().to_dict() == {"train": 295, "internal": 126}
    assert tables.cohort["event"].sum() == 373
    assert tables.cohort.groupby("cohort")["event"].mean().sub(373 / 421).abs().max() < 0.01
    assert tables.cohort.set_index("subject").loc["LUNG1-001", "time"] == pytest.approx(2165 / 30.4375)
    assert tables.features["radiomics"].shape == (421, 191)
    assert tables.cohort[["t_stage", "stage", "histology"]].isna().sum().tolist() == [1, 1, 42]


@pytest.mark.parametrize(("name", "n", "positive"), [("worc_gist", 245, 124), ("worc_melanoma", 95, 47)])
def test_worc_tables(name: str, n: int, positive: int, root: Path, project: Path) -> None:
    tables = read_feature_study(load_study(name, folder=root / "studies"), project)
    validate_table(tables.cohort, "cohort")
    assert (len(tables.cohort), tables.cohort["label"].sum()) == (n, positive)
    assert tables.features["radiomics"].shape == (n, 1 + 1015)


def test_a_table_that_the_manifest_does_not_name_is_said_with_those_that_it_names(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(InputError, match=r"value own/a.csv\] no such file Expected: one of its paths, such as .*b.csv"):
        read(tmp_path, data={"feature_tables": {"A": "own/a.csv", "B": "b.csv"}})
