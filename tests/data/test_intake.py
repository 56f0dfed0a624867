"""From folders to a manifest: pseudonyms, resuming, one bad examination."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from helpers.dicom_files import box, refer, write_rtstruct
from helpers.dicom_tree import outline, scan, write_tree
from helpers.own_study import GRADE, own_study

from radsupport.cli import main
from radsupport.data import intake
from radsupport.data.manifest import read_manifest
from radsupport.data.people import pseudonyms, subjects_of
from radsupport.errors import InputError
from radsupport.files import hold_alone
from radsupport.imaging.examinations import decided, read_rules, survey
from radsupport.study import load_study

RULES = read_rules()


def taken(root: Path, out: Path, tmp_path: Path, **options: bool) -> pd.DataFrame:
    found = decided(survey(root, RULES, tmp_path / f"unpacked{len(list(tmp_path.iterdir()))}"), RULES)
    return intake.take_in(found, out, "mine", {}, "A", **options)


def test_a_hospitals_export_becomes_a_manifest(tmp_path: Path) -> None:
    write_tree(tmp_path / "export")
    out = tmp_path / "own" / "mine"
    table = taken(tmp_path / "export", out, tmp_path)
    assert table["step"].value_counts().to_dict() == {"done": 4, "unclear": 4, "left out": 2}
    manifest = read_manifest(out / "manifest.csv", "mine")
    assert sorted(zip(manifest["subject"], manifest["phase"], manifest["role"], strict=True)) == [
        ("P001", "arterial", "image"), ("P001", "venous", "image"), ("P001", "venous", "mask"),
        ("P002", "ct", "image"), ("P002", "ct", "mask"), ("P004", "unenhanced", "image"),
    ]  # fmt: skip
    assert all((out / path).is_file() for path in manifest["path"])
    key = pd.read_csv(out / "key.csv", dtype=str)
    assert dict(zip(key["pseudonym"], key["subject"], strict=True)) == {
        "P001": "Anna^A", "P002": "Bert", "P003": "Carl", "P004": "Dora", "P005": "Emil",
    }  # fmt: skip
    settings = pd.read_csv(out / "images" / "acquisition.csv").set_index(["subject", "phase"])
    arterial = settings.loc[("P001", "arterial")]
    assert (arterial["kvp"], arterial["delay_s"], arterial["slice_spacing_mm"]) == (120, 33.5, 3)
    text = "".join(path.read_text() for path in [out / "manifest.csv", *out.glob("images/*.csv")])
    assert not [name for name in ("Anna", "Bert", "Carl", "Dora", "Emil") if name in text]


def test_what_is_done_stays_done(tmp_path: Path) -> None:
    write_tree(tmp_path / "export")
    out = tmp_path / "out"
    taken(tmp_path / "export", out, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.nii.gz")}
    (out / "images" / "P002_ct_mask.nii.gz").unlink()
    scan(tmp_path / "export" / "zoe", "Aaron", "CT")
    table = taken(tmp_path / "export", out, tmp_path)
    after = {path: path.stat().st_mtime_ns for path in out.rglob("*.nii.gz")}
    again = {path.name for path, when in after.items() if before.get(path) != when}
    assert again == {"P002_ct_image.nii.gz", "P002_ct_mask.nii.gz", "P006_ct_image.nii.gz"}
    assert len(read_manifest(out / "manifest.csv", "mine")) == 7
    assert table["step"].eq("done").sum() == 5


def test_one_bad_examination_is_a_row_with_its_reason(tmp_path: Path) -> None:
    good, bad = scan(tmp_path / "x" / "a", "A", "CT"), scan(tmp_path / "x" / "b", "B", "CT")
    outline(tmp_path / "x" / "a.dcm", "A", good)
    path = outline(tmp_path / "x" / "b.dcm", "B", bad)
    import pydicom

    data = pydicom.dcmread(path)
    data.ROIContourSequence[0].ContourSequence[0].ContourData = ["900"] * 12
    data.save_as(path)
    table = taken(tmp_path / "x", tmp_path / "out", tmp_path).set_index("subject")
    assert table.loc["P001", "step"] == "done"
    assert table.loc["P002", "step"] == "failed"
    assert table.loc["P002", "reason"] != ""
    assert set(read_manifest(tmp_path / "out" / "manifest.csv")["subject"]) == {"P001"}


def test_another_region_is_converted_anew(tmp_path: Path) -> None:
    uid = scan(tmp_path / "x" / "a", "A", "CT")
    outline(tmp_path / "x" / "a.dcm", "A", uid)
    taken(tmp_path / "x", tmp_path / "out", tmp_path)
    outline(tmp_path / "x" / "a.dcm", "A", uid, ("Tumour",))
    taken(tmp_path / "x", tmp_path / "out", tmp_path)
    path = tmp_path / "out" / "images" / "P001_ct_ingested.json"
    before = json.loads(path.read_text(encoding="utf-8"))
    assert before["region"] == "Tumour"
    write_rtstruct(tmp_path / "x" / "a.dcm", {"Tumour": [box(8.0), box(11.0)]}, edit=lambda data: refer(data, uid))
    taken(tmp_path / "x", tmp_path / "out", tmp_path)
    after = json.loads(path.read_text(encoding="utf-8"))
    assert after["notes"] != before["notes"], "drawn anew under the same name"


def test_a_table_says_what_is_meant(tmp_path: Path) -> None:
    uids = write_tree(tmp_path / "export")
    (tmp_path / "table.csv").write_text(
        "subject,phase,folder,series,region,center\n"
        f"anna,venous,export/in/deep,{uids['venous']},Liver,North\n"
        "anna,arterial,export/in/deep,,,North\n"
        "carl,venous,export/carl/2,,,South\n"
        "dora,native,export/dora.zip,,,South\n"
        "emil,ct,export/nowhere,,,South\n"
        "bert,ct,export/bert,,kidney,South\n"
        "carl,late,export/carl,,,South\n",
        encoding="utf-8",
    )
    found, centers = intake.read_examinations(tmp_path / "table.csv", RULES, tmp_path / "unpacked")
    assert centers == {"anna": "North", "carl": "South", "dora": "South", "emil": "South", "bert": "South"}
    table = intake.take_in(found, tmp_path / "out", "mine", centers, "", keep_ids=True)
    table = table.set_index(["subject", "phase"])
    assert list(table["step"]) == ["done", "done", "done", "done", "unclear", "unclear", "unclear"]
    assert table.loc[("anna", "venous"), "region"] == "Liver"
    assert "no such folder" in table.loc[("emil", "ct"), "reason"]
    assert table.loc[("bert", "ct"), "reason"] == "no single region kidney: tumour"
    assert table.loc[("carl", "late"), "reason"].startswith("2 series and none named: ")
    manifest = read_manifest(tmp_path / "out" / "manifest.csv")
    assert set(manifest[manifest["subject"] == "anna"]["center"]) == {"North"}


def test_a_table_that_can_not_be_used_says_everything_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("subject,folder\na,x\n", encoding="utf-8")
    with pytest.raises(InputError, match="column phase"):
        intake.read_examinations(tmp_path / "a.csv", RULES, tmp_path)
    (tmp_path / "b.csv").write_text("subject,phase,folder\na,ct,x\nb,ct,x\na,ct,y\n", encoding="utf-8")
    with pytest.raises(InputError, match="row 2, 4"):
        intake.read_examinations(tmp_path / "b.csv", RULES, tmp_path)


def test_pseudonyms_run_on_and_a_wrong_key_is_refused(tmp_path: Path) -> None:
    key = tmp_path / "key.csv"
    assert pseudonyms(["b", "a", "b"], key) == {"b": "P001", "a": "P002"}
    assert pseudonyms(["c", "a"], key) == {"b": "P001", "a": "P002", "c": "P003"}
    key.write_text("pseudonym,subject\nP001,a\nP001,b\n", encoding="utf-8")
    with pytest.raises(InputError, match="no key of pseudonyms"):
        pseudonyms(["a"], key)


def test_the_command_shows_the_plan_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tree(tmp_path / "export")
    call = ["--root", str(tmp_path), "ingest", str(tmp_path / "export"), "--study", "mine"]
    assert main([*call, "--dry-run"]) == 0
    assert "PORTAL VENOUS" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "own" / "mine").iterdir()] == ["plan.csv"]
    assert main(call) == 1
    assert "center" in capsys.readouterr().err
    assert main([*call, "--center", "A"]) == 1  # something is unclear
    out = capsys.readouterr().out
    assert "4 done, 4 unclear, 2 left out" in out
    assert (tmp_path / "own" / "mine" / "manifest.csv").is_file()
    assert main([*call[:2], "ingest", "--study", "mine", "--center", "A"]) == 1
    assert "one of them" in capsys.readouterr().err


def test_the_plan_is_a_table_to_edit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    uids = write_tree(tmp_path / "an export")
    call = ["--root", str(tmp_path), "ingest", "--study", "mine"]
    assert main([*call, str(tmp_path / "an export"), "--center", "A", "--dry-run"]) == 0
    path = tmp_path / "own" / "mine" / "plan.csv"
    plan = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert set(plan["step"]) == {"convert", "unclear"}
    plan.loc[plan["series"] == uids["venous"], "region"] = "Liver"
    plan = plan[plan["subject"] != "Carl"]
    plan.loc[plan["subject"] == "Dora", "center"] = "B"
    plan.to_csv(path, index=False)
    assert main([*call, "--table", str(path)]) == 0
    assert "\n4 done. " in capsys.readouterr().out
    table = pd.read_csv(path.with_name("ingested.csv"), dtype=str).set_index(["subject", "phase"])
    assert table.loc[("P001", "venous"), "region"] == "Liver"
    assert set(read_manifest(path.with_name("manifest.csv"))["center"]) == {"A", "B"}


def test_two_centers_one_after_the_other_are_kept_apart(tmp_path: Path) -> None:
    for center, name in (("A", "Anna"), ("B", "Bert")):
        outline(tmp_path / center / "rs.dcm", name, scan(tmp_path / center / "ct", name, "CT", KVP="120"))
        found = decided(survey(tmp_path / center, RULES), RULES)
        intake.take_in(found, tmp_path / "out", "mine", {}, center)
    for file in ("ingested.csv", "images/acquisition.csv"):
        assert list(pd.read_csv(tmp_path / "out" / file)["subject"]) == ["P001", "P002"]
    with pytest.raises(InputError, match=r"Bert \(P002\) in center A"):  # another patient, or a slip: nobody knows
        intake.take_in(found, tmp_path / "out", "mine", {}, "A")


def test_a_clinics_table_says_the_center_and_loses_no_zeros(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("0047", "0048"):
        outline(tmp_path / "x" / name / "rs.dcm", name, scan(tmp_path / "x" / name, name, "CT"))
    legend, patients = (
        pd.DataFrame([["short", "long"]]),
        pd.DataFrame([["Registry", "", ""], ["MRN", "Klinik", "Name"]]),
    )
    patients = pd.concat([patients, pd.DataFrame([[47, "Nord", "A"], [48, "Süd", "B"], [49, "Süd", "C"]])])
    with pd.ExcelWriter(tmp_path / "t.xlsx") as book:
        legend.to_excel(book, sheet_name="Legend", index=False, header=False)
        patients.to_excel(book, sheet_name="Patients", index=False, header=False)
    call = ["--root", str(tmp_path), "ingest", str(tmp_path / "x"), "--study", "mine", "--center", "Klinik"]
    assert main([*call, "--clinical", str(tmp_path / "t.xlsx"), "--id-column", "MRN"]) == 0
    out = capsys.readouterr().out
    assert "3 rows, 2 of subjects with a converted scan; without a scan: P003; names persons in columns Name" in out
    own = tmp_path / "own" / "mine"
    assert pd.read_csv(own / "clinical.csv", dtype=str)["MRN"].tolist() == ["P001", "P002", "P003"]
    centers = read_manifest(own / "manifest.csv").query("role == 'image'").set_index("subject")["center"]
    assert centers.to_dict() == {"P001": "Nord", "P002": "Süd"}
    before = (own / "ingested.csv").stat().st_mtime_ns
    assert main([*call, "--clinical", str(tmp_path / "t.xlsx"), "--id-column", "PatID"]) == 1
    assert (own / "ingested.csv").stat().st_mtime_ns == before, "a table that does not fit is said before converting"


def test_two_runs_at_once_do_not_number_alike(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scan(tmp_path / "x" / "ct", "Anna", "CT")
    call = ["--root", str(tmp_path), "ingest", str(tmp_path / "x"), "--study", "mine", "--center", "A"]
    with hold_alone(tmp_path / "own" / "mine" / ".in_use"):
        assert main(call) == 1
    assert "is at work in this folder" in capsys.readouterr().err
    assert not (tmp_path / "own" / "mine" / "key.csv").exists()
    assert main(call) == 0


def test_a_workbook_of_examinations_is_read_and_a_wrong_folder_named(tmp_path: Path) -> None:
    write_tree(tmp_path / "export")
    rows = [["Bert", "ct", "export/bert"], ["Carl", "ct", "export/none"]]
    pd.DataFrame(rows, columns=["Subject", "Phase ", "folder"]).to_excel(tmp_path / "t.xlsx", index=False)
    found, _ = intake.read_examinations(tmp_path / "t.xlsx", RULES, tmp_path / "unpacked")
    assert [one.step for one in found] == ["convert", "unclear"]
    assert "no such folder" in found[1].reason


STUDY = own_study("own/mine/manifest.csv", GRADE)


def test_the_clinical_table_gets_the_same_pseudonyms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("Anna", "Bert"):
        uid = scan(tmp_path / "x" / name, name, "CT")
        outline(tmp_path / "x" / name / "rs.dcm", name, uid)
    (tmp_path / "table.csv").write_text("MRN;grade;label\nBert;low;0\nAnna;high;1\nZoe;low;0\n", encoding="utf-8")
    call = ["--root", str(tmp_path), "ingest", str(tmp_path / "x"), "--study", "mine", "--center", "A"]
    wanted = ["--clinical", str(tmp_path / "table.csv"), "--id-column", "MRN"]
    assert main([*call, *wanted]) == 0
    assert main([*call, *wanted]) == 0  # once more: nothing twice in the manifest
    table = pd.read_csv(tmp_path / "own" / "mine" / "clinical.csv", dtype=str)
    assert table.to_numpy().tolist() == [["P002", "low", "0"], ["P001", "high", "1"], ["P003", "low", "0"]]
    assert (read_manifest(tmp_path / "own" / "mine" / "manifest.csv")["role"] == "clinical").sum() == 1
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "mine.yaml").write_text(STUDY.replace("manifest.csv}", "manifest.csv, subject: MRN}"))
    study = load_study("mine", folder=tmp_path / "studies")
    assert {"Anna", "Bert", "Zoe"} <= subjects_of(study, tmp_path), "the search looks for real names too"
    capsys.readouterr()
    assert main(
        ["--root", str(tmp_path), "check", str(tmp_path / "own" / "mine" / "manifest.csv"), "--study", "mine"]
    ) in (0, 1)
    assert "clinical table" not in capsys.readouterr().err
    assert main([*call, *wanted[:2], "--id-column", "name"]) == 1
    assert "column name" in capsys.readouterr().err
