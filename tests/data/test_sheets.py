"""Tables as people save them, read by one reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from radsupport.data.clinical import read_clinical
from radsupport.data.open import read_feature_study
from radsupport.data.own_data import check, check_typed_sheet
from radsupport.data.sheets import read_sheet
from radsupport.errors import ClinicalTableError, InputError, serious
from radsupport.settings.study import Study
from radsupport.study import load_study, merge

PATIENTS = 22
OWN: dict[str, Any] = {
    "id": "mine",
    "title": "t",
    "question": "q",
    "seed": 1,
    "data": {"kind": "real", "subject": "Patient", "manifest": "m.csv", "missing_values": ["", "NA", "-999"]},
    "endpoint": {
        "primary": "survival",
        "survival": {"time": "Days", "event": "Status", "name": "survival", "unit": "days"},
    },
    "cohorts": {"train": {"name": "A", "centers": ["A"]}},
    "columns": {
        "size": {"source": "clinical", "kind": "number", "label": "Größe", "unit": "mm"},
        "stage": {"source": "clinical", "kind": "category", "label": "Stage", "levels": ["früh", "spät"]},
    },
    "signatures": [{"name": "Clinical", "columns": ["size"]}],
}


def study(**changes: Any) -> Study:
    return Study.model_validate(merge(OWN, changes))


def rows() -> list[tuple[str, float, str, float, str]]:
    """22 patients with follow-up beyond a thousand days and diameters with one decimal."""
    return [
        (f"P{i:02d}", 120.0 * i + 7, str(i % 2), round(8 + 1.7 * i, 1), "spät" if i % 3 else "früh")
        for i in range(1, PATIENTS + 1)
    ]


HEADER = ["Patient", "Days", "Status", "Size", "Stage"]


def excel(country: str) -> bytes:
    """Return the patients' sheet as the Excel of a country saves it as text."""
    thousands, decimal, delimiter, encoding = {
        "american": (",", ".", ",", "utf-8"),
        "german": (".", ",", ";", "cp1252"),
        "french": ("\u00a0", ",", ";", "cp1252"),
        "unicode": (",", ".", "\t", "utf-16"),
        "bom": ("", ".", ",", "utf-8-sig"),
    }[country]

    def cells(row: tuple[str, float, str, float, str]) -> list[str]:
        name, days, status, size, stage = row
        written = [f"{days:,.0f}".replace(",", thousands), str(size).replace(".", decimal)]
        quoted = [f'"{text}"' if delimiter in text else text for text in written]
        return [name, quoted[0], status, quoted[1], stage]

    lines = [HEADER, *map(cells, rows())]
    return ("\r\n".join(delimiter.join(line) for line in lines) + "\r\n").encode(encoding)


@pytest.mark.parametrize("country", ["american", "german", "french", "unicode", "bom"])
def test_one_sheet_from_the_excel_of_five_countries_gives_one_table(country: str, tmp_path: Path) -> None:
    path = tmp_path / "sheet.csv"
    path.write_bytes(excel(country))
    table = read_clinical(study(), path)
    assert table["subject"].tolist() == [row[0] for row in rows()]
    assert (table["time"] * 30.4375).tolist() == pytest.approx([row[1] for row in rows()])
    assert table["size"].tolist() == [row[3] for row in rows()]
    assert table["stage"].astype(str).tolist() == [row[4] for row in rows()]


def write(folder: Path, text: str, name: str = "sheet.csv") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_titles_above_row_numbers_and_notes_are_left_out_and_said(tmp_path: Path) -> None:
    text = "Follow-up of hospital A,,,\n,,,\n,Patient,Age,\n0,a,50,x\n1,b,60,\n,,,\n"
    sheet = read_sheet(write(tmp_path, text), subject="patient")
    assert sheet.table.to_dict("list") == {"Patient": ["a", "b"], "Age": ["50", "60"]}
    assert sheet.rows == [4, 5]
    said = " ".join(map(str, sheet.remarks))
    for part in ("2 rows above the header", "Follow-up of hospital A", "under no header", "1 empty rows"):
        assert part in said
    assert "number 1" not in said  # running numbers of a data frame's index


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("Patient,Age,Age\na,1,2\n", "2 columns of one header"),
        ("Patient,Age,AGE\na,1,2\n", "differ by case or spaces only"),
        ("Patient,Clinical,\n,age,sex\na,1,f\n", "spread over two rows"),
        ("<!DOCTYPE html><p>\n", "a web page"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "git-LFS pointer"),
        (" \n", "the file is empty"),
    ],
)
def test_what_is_no_table_or_no_header_is_refused(text: str, what: str, tmp_path: Path) -> None:
    with pytest.raises(ClinicalTableError, match=what):
        read_sheet(write(tmp_path, text), subject="Patient")


def test_a_folder_is_called_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ClinicalTableError, match="this is a folder"):
        read_sheet(tmp_path)


def test_two_sheets_that_disagree_or_lost_zeros_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "book.xlsx"
    with pd.ExcelWriter(path) as writer:
        pd.DataFrame({"id": ["007", "008"], "age": [50, 60]}).to_excel(writer, sheet_name="a", index=False)
        pd.DataFrame({"id": [7, 8], "stage": [1, 2]}).to_excel(writer, sheet_name="b", index=False)
        pd.DataFrame({"id": ["007", "008"], "age": [50, 61]}).to_excel(writer, sheet_name="c", index=False)
    with pytest.raises(ClinicalTableError, match="7 for 007; 8 for 008"):
        read_sheet(path, ["a", "b"], "id")
    with pytest.raises(ClinicalTableError, match=r"other values for 1 of 2 subjects.*|008: 60 and 61"):
        read_sheet(path, ["a", "c"], "id")


def test_numbers_of_a_workbook_are_beyond_doubt(tmp_path: Path) -> None:
    path = tmp_path / "book.xlsx"
    names = ["a", "b"]
    columns = {"Patient": names, "Days": [1.792, 950], "Status": [0, 1], "Size": [1.5, 2.5], "Stage": ["früh"] * 2}
    pd.DataFrame(columns).to_excel(path, index=False)
    assert (read_clinical(study(), path)["time"] * 30.4375).tolist() == pytest.approx([1.792, 950])


def test_one_message_per_cause(tmp_path: Path) -> None:
    lines = [",".join(HEADER), *(f"P{i},{i},2,{i} mm,früh" for i in range(76))]
    with pytest.raises(ClinicalTableError) as caught:
        read_clinical(study(), write(tmp_path, "\n".join(lines) + "\n"))
    assert [problem.column for problem in caught.value.problems] == ["Status", "Size"]
    assert all("(76 rows)" in problem.row for problem in caught.value.problems)
    assert "0 mm; 1 mm" in caught.value.problems[1].value


def test_days_with_points_for_thousands_are_asked_about_until_the_study_says(tmp_path: Path) -> None:
    path = write(tmp_path, "\n".join([",".join(HEADER), "a,1.792,0,12,früh", "b,2.010,1,14,spät"]) + "\n")
    with pytest.raises(ClinicalTableError, match=r"1\.792 may be 1\.792 or 1792") as caught:
        read_clinical(study(), path)
    assert "`decimal" in caught.value.problems[0].remedy
    said = read_clinical(study(data={"decimal": ","}), path)
    assert (said["time"] * 30.4375).tolist() == pytest.approx([1792, 2010])


def test_a_mean_below_the_table_is_no_patient(tmp_path: Path) -> None:
    path = write(tmp_path, "\n".join([",".join(HEADER), "a,10,0,12,früh", "Mean,10,0,12,früh"]) + "\n")
    with pytest.raises(ClinicalTableError, match="a row of summaries"):
        read_clinical(study(), path)


FEATURES = {
    "entry": "features",
    "subject": "id",
    "feature_tables": {"A": "a.csv"},
    "feature_columns": {"radiomics": "^f_"},
    "manifest": "m.csv",
}


def feature_study(folder: Path, table: str, clinical: str = "", **data: Any) -> tuple[Study, Path]:
    write(folder, table, "a.csv")
    lines = ["study,subject,center,phase,role,path", "mine,,A,,features,a.csv"]
    if clinical:
        write(folder, clinical, "c.csv")
        lines.append("mine,,,,clinical,c.csv")
    manifest = write(folder, "\n".join(lines) + "\n", "m.csv")
    label = {"column": "dead", "name": "death", "positive": "dead", "negative": "alive"}
    changes = {"endpoint": {"primary": "label", "label": label, "survival": None}, "columns": {}}
    own = {"signatures": [{"name": "R", "sources": ["radiomics"]}], "data": FEATURES | data}
    raw = {key: value for key, value in merge(OWN, changes | own).items() if key != "columns"}
    return Study.model_validate(raw), manifest


@pytest.mark.parametrize("write_as", ["{:.1f}", "[{:.1f}]", "array({:.1f})", "({:.1f}+0j)", "comma"])
def test_features_in_any_notation_are_read_and_said(write_as: str, tmp_path: Path) -> None:
    cells = [f"{v:.1f}".replace(".", ",") if write_as == "comma" else write_as.format(v) for v in (1.5, 2.5, 1234.5)]
    table = "id;dead;f_x\n" + "".join(f"p{i};{i % 2};{cell}\n" for i, cell in enumerate(cells))
    mine, manifest = feature_study(tmp_path, table)
    assert read_feature_study(mine, tmp_path).features["radiomics"]["ct__f_x"].tolist() == [1.5, 2.5, 1234.5]
    said = [problem.what for problem in check(manifest, mine, tmp_path)]
    assert any("decimal commas, thousands or brackets" in one for one in said) == (write_as != "{:.1f}")


def test_missing_values_of_the_study_count_for_features(tmp_path: Path) -> None:
    mine, _ = feature_study(tmp_path, "id,dead,f_x,f_y\na,0,-999,1\nb,1,2,-999.0\nc,1,2,3\nd,0,2,3\n")
    assert read_feature_study(mine, tmp_path).features["radiomics"].isna().sum().sum() == 2


def test_features_that_are_no_number_are_refused_once(tmp_path: Path) -> None:
    lines = "".join(f"p{i},{i % 2},{i} mm,{i} mm\n" for i in range(40))
    mine, _ = feature_study(tmp_path, "id,dead,f_x,f_y\n" + lines)
    with pytest.raises(InputError) as caught:
        read_feature_study(mine, tmp_path)
    (problem,) = caught.value.problems
    assert (problem.what, problem.column) == ("cells that are no number", "f_x, f_y")
    assert "(40 rows)" in problem.row


def test_a_clinical_table_beside_the_features_is_joined(tmp_path: Path) -> None:
    features = "id,f_x\na,1\nb,2\nc,3\n"
    mine, manifest = feature_study(tmp_path, features, "id;dead\nb;1\na;0\nz;1\n")
    tables = read_feature_study(mine, tmp_path)
    assert tables.cohort.set_index("subject")["label"].to_dict() == {"a": 0, "b": 1}
    assert tables.excluded["subject"].tolist() == ["c"]
    said = " ".join(problem.what for problem in check(manifest, mine, tmp_path))
    assert "without a row in the clinical table (1)" in said
    assert "without features: left out (1)" in said


def test_a_clinical_table_that_contradicts_the_features_is_refused(tmp_path: Path) -> None:
    mine, _ = feature_study(tmp_path, "id,dead,f_x\n007,0,1\n008,1,2\n", "id,dead\n007,1\n008,1\n")
    with pytest.raises(ClinicalTableError, match="other values for 1 of 2"):
        read_feature_study(mine, tmp_path)
    mine, _ = feature_study(tmp_path, "id,dead,f_x\n007,0,1\n008,1,2\n", "id,age\n7,50\n8,60\n")
    with pytest.raises(ClinicalTableError, match="7 for 007"):
        read_feature_study(mine, tmp_path)


def test_copied_patients_of_another_cohort_are_said(tmp_path: Path) -> None:
    table = "id,dead,f_x,f_y\na,0,1,5\nb,1,2,6\n"
    mine, manifest = feature_study(tmp_path, table, feature_tables={"A": "a.csv", "B": "b.csv"})
    write(tmp_path, table.replace("a,0", "x,0").replace("b,1", "y,1"), "b.csv")
    with manifest.open("a", encoding="utf-8") as file:
        file.write("mine,,B,,features,b.csv\n")
    mine = mine.model_copy(update={"cohorts": {**mine.cohorts, "external": mine.cohorts["train"].model_copy(
        update={"name": "B", "centers": ["B"]})}})  # fmt: skip
    problems = check(manifest, mine, tmp_path)
    assert serious(problems) == []
    assert any("very features of a subject of another cohort (4)" in problem.what for problem in problems)


def test_patients_of_the_manifest_are_missed_once_and_lost_zeros_are_named(tmp_path: Path) -> None:
    lines = [",".join(HEADER), *(f"{i},10,0,12,früh" for i in range(1, 31)), "x,,,12,früh", "y,,,13,früh"]
    path = write(tmp_path, "\n".join(lines) + "\n")
    centers = {f"{i:03d}": "A" for i in range(1, 31)} | {"x": "A", "y": "A"}
    problems = check_typed_sheet(study(), path, centers)
    words = [problem.what for problem in serious(problems)]
    assert "30 subjects are written otherwise than in the other table (zeros, spaces or case)" in words
    assert "each of 30 subjects is not in the clinical table" in words
    assert "each of 2 subjects has no outcome" in words
    assert len(words) == 3


def test_the_row_of_the_header_may_be_said(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("subject,what it is\nsubject,identifier\nID,age\nA,60\nB,70\n", encoding="utf-8")
    sheet = read_sheet(path, subject="ID", header_row=3)
    assert list(sheet.table.columns) == ["ID", "age"]
    assert sheet.rows == [4, 5]
    for wrong in (9, 7):
        with pytest.raises(ClinicalTableError, match=r"row 9|row 7"):
            read_sheet(path, subject="ID", header_row=wrong)


def test_a_feature_tables_sheet_and_header_are_those_of_the_study_file(root: Path, tmp_path: Path) -> None:
    text = (root / "studies" / "worc_gist.yaml").read_text(encoding="utf-8")
    assert "  kind: real\n" in text
    (tmp_path / "worc_gist.yaml").write_text(
        text.replace("  kind: real\n", "  kind: real\n  sheet: Data\n  header_row: 3\n")
    )
    data = load_study("worc_gist", folder=tmp_path).data
    assert (data.sheet, data.header_row) == ("Data", 3)
