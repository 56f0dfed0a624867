"""Reading the data manifest."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from radsupport.data.manifest import parse_manifest, read_manifest, study_files
from radsupport.errors import ManifestError
from radsupport.study import load_study

HEADER = "study,subject,center,phase,role,path,url,sha256,licence"


def write(folder: Path, *lines: str, header: str = HEADER) -> Path:
    path = folder / "m.csv"
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def test_rows_are_read_as_text_with_their_spreadsheet_number(tmp_path: Path) -> None:
    path = write(tmp_path, "mine, 007 ,A,ct,image,a.nii.gz,,,", "", "other,1,A,ct,image,b.nii.gz,,,CC BY 4.0")
    table = read_manifest(path)
    assert table["subject"].tolist() == ["007", "1"]
    assert table["row"].tolist() == [2, 4]
    assert read_manifest(path, "other")["licence"].tolist() == ["CC BY 4.0"]
    assert table["exclusion"].tolist() == ["", ""]


def test_only_the_first_six_columns_are_needed(tmp_path: Path) -> None:
    path = write(tmp_path, "mine,1,A,ct,image,a.nii.gz", header="study,subject,center,phase,role,path")
    assert read_manifest(path)[["url", "sha256", "licence", "exclusion"]].eq("").all(axis=None)


def test_all_problems_are_listed_at_once(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "mine,1,A,ct,image,a.nii.gz,x",
        "mine,1,A,ct,image,b.nii.gz,x",
        "mine,1,B,ct,mask,b.nii.gz,x",
        "mine,,A,ct,mask,c.nii.gz,x",
        "mine,2,A,ct,masks,d.nii.gz,x",
        "mine,3,A,,image,,x",
        header="study,subject,center,phase,role,path,sha526",
    )
    with pytest.raises(ManifestError) as caught:
        read_manifest(path)
    text = str(caught.value)
    for part in (
        "column sha526] unknown column",
        "did you mean `sha256`?",
        "row 2, 3, column subject, value 1] subject 1 has 2 files with role image in phase ct",
        "row 3, 4, column path, value b.nii.gz] the same file twice",
        "row 2, 3, 4, column center, value 1: A, B] a subject in two centers",
        "row 5, column subject] an empty cell",
        "row 6, column role, value masks] unknown role",
        "did you mean `mask`?",
        "row 7, column phase] an empty cell",
        "row 7, column path] an empty cell",
    ):
        assert part in text, part
    assert len(caught.value.problems) == 8


def test_checksums_and_addresses_are_looked_at(tmp_path: Path) -> None:
    path = write(tmp_path, "mine,1,A,ct,image,a.nii.gz,ftp://x,abc,")
    _, problems = parse_manifest(path)
    assert [problem.column for problem in problems] == ["sha256", "url"]


def test_missing_columns_and_missing_or_foreign_files(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="column path] this column is missing"):
        read_manifest(write(tmp_path, "mine,1,A,ct,image", header="study,subject,center,phase,role"))
    with pytest.raises(ManifestError, match="no such manifest"):
        read_manifest(tmp_path / "none.csv")
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00\x01\x02")
    with pytest.raises(ManifestError, match="no text in UTF-8"):
        read_manifest(tmp_path / "x.csv")


def test_files_are_found_fetched_or_beside_the_manifest(root: Path, tmp_path: Path) -> None:
    study = load_study("sts", folder=root / "studies")
    lines = [f"sts,{s},McGill,ct,image,{s}.nii.gz,,," for s in ("a", "b", "c")]
    manifest = write(tmp_path, *lines, f"sts,d,McGill,ct,image,{tmp_path / 'd.nii.gz'},,,")
    manifest.rename(tmp_path / "data_manifest.csv")
    (tmp_path / "a.nii.gz").touch()
    fetched = tmp_path / "data" / "sts"
    fetched.mkdir(parents=True)
    (fetched / "b.nii.gz").touch()
    files = study_files(study, tmp_path)["file"].tolist()
    assert files == [tmp_path / "a.nii.gz", fetched / "b.nii.gz", fetched / "c.nii.gz", tmp_path / "d.nii.gz"]


def test_a_study_without_rows_is_explained(root: Path, tmp_path: Path) -> None:
    write(tmp_path, "mine,1,A,ct,image,a.nii.gz,,,").rename(tmp_path / "data_manifest.csv")
    with pytest.raises(ManifestError, match=r"names no file of study sts[\s\S]*one of mine"):
        study_files(load_study("sts", folder=root / "studies"), tmp_path)


def test_the_shipped_manifest_names_every_public_file(root: Path) -> None:
    table = read_manifest(root / "data_manifest.csv")
    assert table["study"].value_counts().to_dict() == {
        "sts": 45,
        "hosny2018": 3,
        "lung1": 1,
        "worc_gist": 1,
        "worc_melanoma": 1,
        "zhang2024": 1,
    }
    assert table["sha256"].str.len().eq(64).all()
    assert table["licence"].ne("").all()
    assert table.loc[table["url"] == "", "study"].unique().tolist() == ["lung1"]
    assert table.loc[table["study"] == "sts", "role"].value_counts().to_dict() == {
        "image": 22,
        "mask": 22,
        "clinical": 1,
    }


def test_the_shipped_manifest_agrees_with_the_registry(root: Path, shared: Path) -> None:
    registry = pd.read_csv(shared / "real" / "registry.csv", dtype=str)
    ours = read_manifest(root / "data_manifest.csv")
    both = registry.merge(ours, on="path", suffixes=("_registry", ""))
    assert len(both) == len(registry)
    for column in ("url", "sha256", "licence"):
        assert both[column].equals(both[f"{column}_registry"])


def test_people_who_were_screened_out_need_a_reason_but_no_file(tmp_path: Path) -> None:
    header = "study,subject,center,phase,role,path,exclusion"
    path = write(tmp_path, "mine,1,A,,screened,,metastatic", "mine,2,A,,screened,,", header=header)
    table, problems = parse_manifest(path)
    assert table["exclusion"].tolist() == ["metastatic", ""]
    assert [(p.row, p.column) for p in problems] == [("3", "exclusion")]
