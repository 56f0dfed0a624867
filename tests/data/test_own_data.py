"""Checking own data: every problem at once, with row, value and remedy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from helpers.dicom_files import box, write_ct, write_rtstruct

from radsupport.data.own_data import check, scale_warnings
from radsupport.data.scans import case_files
from radsupport.errors import Problem, serious
from radsupport.imaging.ingestion import ingest
from radsupport.imaging.masks import check as check_outlines
from radsupport.imaging.preprocessing import preprocess
from radsupport.settings.study import Study
from radsupport.study import merge

STUDY: dict[str, Any] = {
    "id": "mine",
    "title": "t",
    "question": "q",
    "seed": 1,
    "data": {"kind": "real", "clinical": "clinical.csv", "manifest": "m.csv"},
    "endpoint": {"primary": "label", "label": {"column": "label", "name": "l", "positive": "y", "negative": "n"}},
    "cohorts": {"train": {"name": "A", "centers": ["A"]}},
    "columns": {"age": {"source": "clinical", "kind": "number", "label": "Age", "minimum": 0, "maximum": 110}},
    "phases": {"ct": {"name": "CT", "short": "CT", "window": {"level": 40, "width": 400}}},
    "signatures": [{"name": "Clinical", "columns": ["age"]}],
}
SUBJECTS = ("s1", "s2", "s3")
Cases = Callable[[], Path]


def volume(path: Path, array: np.ndarray, spacing: float = 1.0) -> None:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((spacing, spacing, 2.0))
    sitk.WriteImage(image, str(path))


def ball() -> np.ndarray:
    mask = np.zeros((8, 12, 12), np.uint8)
    mask[3:6, 4:8, 4:8] = 1
    return mask


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A study of three subjects without any problem."""
    rows = ["study,subject,center,phase,role,path"]
    for subject in SUBJECTS:
        volume(tmp_path / f"{subject}.nii.gz", np.random.default_rng(1).normal(40, 10, (8, 12, 12)).astype(np.int16))
        volume(tmp_path / f"{subject}_mask.nii.gz", ball())
        rows += [f"mine,{subject},A,ct,image,{subject}.nii.gz", f"mine,{subject},A,ct,mask,{subject}_mask.nii.gz"]
    rows.append("mine,,,,clinical,clinical.csv")
    (tmp_path / "m.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (tmp_path / "clinical.csv").write_text("subject,label,age\ns1,1,60\ns2,0,61\ns3,0,NA\n", encoding="utf-8")
    return tmp_path


def problems_in(project: Path, study: bool = True, **changes: Any) -> list[Problem]:
    chosen = Study.model_validate(merge(STUDY, changes)) if study else None
    return check(project / "m.csv", chosen, project)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_more_folds_than_patients_are_named_before_chapter_05(project: Path) -> None:
    found = serious(problems_in(project, modelling={"folds": 500}))
    assert [(p.column, p.value) for p in found] == [("modelling.folds", "500")]
    assert "500 folds for 1 patient of the rarer outcome in training" in found[0].what


@pytest.mark.parametrize("study", [True, False])
def test_a_sound_study_has_no_problem(project: Path, study: bool) -> None:
    assert serious(problems_in(project, study)) == []


@pytest.mark.parametrize("study", [True, False])
def test_every_problem_is_listed_at_once(project: Path, study: bool) -> None:
    manifest = project / "m.csv"
    volume(project / "s1_mask.nii.gz", ball(), spacing=1.5)
    volume(project / "s2_mask.nii.gz", ball() * 0)
    two = ball()
    two[4, 5, 5] = 2
    volume(project / "two.nii.gz", two)
    one = ball() * 0
    one[4, 5, 5] = 1
    volume(project / "one.nii.gz", one)
    edit(manifest, "s3.nii.gz", "absent.nii.gz")
    edit(
        manifest,
        "mine,,,,clinical",
        "mine,s3,A,ct,mask_reader2,two.nii.gz\nmine,s3,A,ct,roi_rough,one.nii.gz\nmine,,,,clinical",
    )
    edit(manifest, "mine,,,,clinical", "mine,s1,A,ct,image,again.nii.gz\nmine,s4,A,ct,mask,s4.nii.gz\nmine,,,,clinical")
    edit(manifest, "role,path", "role,path,comment")
    edit(manifest, ".nii.gz\n", ".nii.gz,\n")
    edit(manifest, "clinical.csv\n", "clinical.csv,\n")
    text = "subject,label,age\ns1,1,600\ns2,0,\ns3,,nan\n"
    (project / "clinical.csv").write_text(text, encoding="utf-8")
    found = "\n".join(map(str, problems_in(project, study)))
    sheet = project / "clinical.csv"
    for part in (
        "column comment] unknown column",
        "row 2, 10, column subject, value s1] subject s1 has 2 files with role image in phase ct",
        "row 3, column path, value s1_mask.nii.gz] image and mask differ in space",
        "row 5, column path, value s2_mask.nii.gz] the mask is empty",
        "row 6, column path, value absent.nii.gz] the file does not exist",
        "row 8, column path, value two.nii.gz] the mask holds several labels: 1, 2",
        "row 9, column path, value one.nii.gz] the mask holds a single voxel",
        "row 11, column path, value s4.nii.gz] the file does not exist",
        "row 11, column role, value s4, ct] a case without image",
        f"[file {sheet}, row 2, column age, value 600] an impossible value",
        f"[file {sheet}, row 3, column age",
        f"[file {sheet}, row 4, column age, value nan] not a finite number",
        "subject s3 has no outcome",
        "subject s4 is not in the clinical table",
    ):
        assert part in found, part
    assert all(problem.remedy for problem in problems_in(project, study))


def test_phases_and_centers_are_those_of_the_study(project: Path) -> None:
    edit(project / "m.csv", "s2,A,ct,image", "s2,A,venous,image")
    edit(project / "m.csv", "s3,A", "s3,B")
    found = "\n".join(map(str, problems_in(project)))
    assert "row 4, column phase, value venous] unknown phase Expected: one of ct" in found
    assert "row 6, 7, column center, value B] unknown center Expected: one of A" in found
    assert "value s2: ct] no image of this phase" in found
    assert problems_in(project, cohorts={"external": {"name": "B", "centers": ["B"]}}) != []


def test_a_patient_without_a_phase_is_only_said_as_the_build_goes_on(project: Path) -> None:
    late = {"name": "Late", "short": "late", "window": {"level": 40, "width": 400}}
    rows = (project / "m.csv").read_text(encoding="utf-8")
    for subject in ("s1", "s2"):
        volume(project / f"{subject}_late.nii.gz", ball() * 100)
        volume(project / f"{subject}_late_mask.nii.gz", ball())
        rows += f"mine,{subject},A,late,image,{subject}_late.nii.gz\n"
        rows += f"mine,{subject},A,late,mask,{subject}_late_mask.nii.gz\n"
    (project / "m.csv").write_text(rows, encoding="utf-8")
    study = Study.model_validate(merge(STUDY, {"phases": {"late": late}}))
    found = [problem for problem in check(project / "m.csv", study, project) if problem.column == "phase"]
    assert [(problem.value, problem.warning) for problem in found] == [("s3: late", True)]
    assert "stays in the study" in found[0].what
    cohort = pd.DataFrame({"subject": list(SUBJECTS), "cohort": "train"})
    files = case_files(study, cohort, project).set_index(["subject", "phase"])
    assert files["exclusion"].ne("").to_dict() == {key: key == ("s3", "late") for key in files.index}
    (project / "m.csv").write_text("".join(row for row in rows.splitlines(True) if ",late," not in row), "utf-8")
    found = [problem for problem in check(project / "m.csv", study, project) if problem.column == "phase"]
    assert [(problem.what, problem.warning) for problem in found] == [
        ("nobody in training has an image of this phase", False)
    ]


def test_a_phase_that_the_study_does_not_use_is_only_said(project: Path) -> None:
    text = (project / "m.csv").read_text(encoding="utf-8")
    (project / "m.csv").write_text(f"{text}mine,s1,A,late,image,late.nii.gz\n", encoding="utf-8")
    volume(project / "late.nii.gz", ball() * 100)
    found = problems_in(project)
    assert serious(found) == [], "not even its missing mask"
    assert "1 row of a phase that the study does not use" in "\n".join(map(str, found))


def test_an_empty_cell_is_only_said_where_the_study_reads_it_as_missing(project: Path) -> None:
    edit(project / "clinical.csv", "s2,0,61", "s2,0,")
    assert [problem.what for problem in serious(problems_in(project, data={"missing_values": ["NA"]}))] != []
    found = problems_in(project, data={"missing_values": ["", "NA"]})
    assert serious(found) == []
    assert "an empty cell" in [problem.what for problem in found]


def test_a_value_below_what_can_be_measured_is_called_so(project: Path) -> None:
    edit(project / "clinical.csv", "s2,0,61", "s2,0,<20")
    found = [problem for problem in serious(problems_in(project)) if problem.value == "<20"]
    assert found[0].what == "a limit of what can be measured"
    assert "half a lower limit" in found[0].remedy


def test_excluded_cases_are_not_looked_into(project: Path) -> None:
    volume(project / "s2_mask.nii.gz", ball() * 0)
    edit(project / "clinical.csv", "s2,0,61\n", "")
    edit(project / "m.csv", "role,path", "role,path,exclusion")
    text = (project / "m.csv").read_text(encoding="utf-8")
    lines = [
        line if "exclusion" in line else line + (",no tumour seen" if ",s2," in line else ",") for line in text.split()
    ]
    (project / "m.csv").write_text("\n".join(lines).replace("no tumour seen", "no tumour") + "\n", encoding="utf-8")
    assert serious(problems_in(project)) == []


def test_checksums_and_centers_of_the_sheet_are_compared(project: Path) -> None:
    edit(project / "m.csv", "role,path", "role,path,sha256")
    edit(project / "m.csv", "image,s1.nii.gz", f"image,s1.nii.gz,{'0' * 64}")
    (project / "clinical.csv").write_text(
        "subject,label,age,center\ns1,1,60,A\ns2,0,61,B\ns3,0,NA,A\n", encoding="utf-8"
    )
    found = "\n".join(map(str, problems_in(project)))
    assert "value s1.nii.gz] the file differs from its checksum" in found
    assert "row 3, column center, value B] another center than in the manifest" in found


def test_files_that_are_no_images(project: Path) -> None:
    (project / "s1.nii.gz").write_bytes(b"nothing")
    volume(project / "s2_mask.nii.gz", ball().astype(np.float32) * 0.4)
    found = problems_in(project)
    assert [problem.row for problem in found] == ["2", "5"]
    assert all(problem.remedy for problem in found)


def test_segmentation_cases_need_no_outcome(project: Path) -> None:
    edit(project / "m.csv", "s3,A", "s3,S")
    edit(project / "clinical.csv", "s3,0,NA\n", "")
    assert serious(problems_in(project, cohorts={"segmentation": {"name": "S", "centers": ["S"]}})) == []


def test_without_a_study_the_outcome_columns_are_asked_for(project: Path) -> None:
    (project / "clinical.csv").write_text("subject,relapse,age\ns1,1,60\ns2,0,61\ns3,0,62\n", encoding="utf-8")
    (problem,) = problems_in(project, study=False)
    assert "no outcome" in str(problem)
    assert "--study" in problem.remedy
    (project / "clinical.csv").write_text("subject,time,event\ns1,12,1\ns2,-1,2\ns3,x,0\ns3,5,0\n", encoding="utf-8")
    found = "\n".join(map(str, problems_in(project, study=False)))
    assert "row 4, 5, column subject, value s3] a subject twice" in found
    assert "column event, value 2] an impossible outcome" in found


def test_a_study_that_reads_another_manifest_says_so(project: Path) -> None:
    (problem,) = problems_in(project, data={"manifest": "data_manifest.csv"})
    assert "the study reads another manifest" in str(problem)
    assert "manifest: " in problem.remedy


def test_a_manifest_without_rows_of_the_study(project: Path) -> None:
    (problem,) = problems_in(project, id="other")
    assert "no row of this study" in str(problem)
    (problem,) = check(project / "none.csv")
    assert "no such manifest" in str(problem)


@pytest.mark.parametrize("name", ["sts", "hosny2018"])
def test_the_real_studies_have_no_problem(name: str, root: Path, shared: Path, tmp_path: Path) -> None:
    from radsupport.study import load_study

    (tmp_path / "data_manifest.csv").write_bytes((root / "data_manifest.csv").read_bytes())
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / name).symlink_to(shared / "real")
    (tmp_path / "studies").symlink_to(root / "studies")
    study = load_study(name, folder=root / "studies")
    assert serious(check(tmp_path / "data_manifest.csv", study, tmp_path)) == []


def test_what_ingestion_decided_is_said_by_check_and_chapter_02(project: Path, tmp_path: Path) -> None:
    write_ct(tmp_path / "exam")
    write_rtstruct(tmp_path / "exam" / "rs.dcm", {"GTV": [box(z) for z in (8.0, 9.0, 10.0, 11.0)]})
    done = ingest(tmp_path / "exam", project, "s1")
    edit(project / "m.csv", "s1.nii.gz", "s1_image.nii.gz")
    found = problems_in(project)
    assert [problem.what for problem in found if problem.warning][-2:] == [
        "contour planes every 1 mm and up to 1 mm off the slices brought to slices every 3 mm",
        "volume 60 mm³ as drawn, 108 mm³ in voxels (+80.0%)",
    ]
    assert not serious(found)
    case = {"subject": "s1", "phase": "ct", "center": "A", "image": str(done.image), "mask": str(done.mask)}
    cases = preprocess(pd.DataFrame([case]), tmp_path / "out", progress=False)
    checked = check_outlines(cases)
    assert checked["drawn_mm3"].tolist() == pytest.approx([60.0])
    assert checked["volume_mm3"].tolist() == pytest.approx([108.0])
    assert "volume 60 mm³ as drawn, 108 mm³ in voxels (+80.0%)" in checked["flags"][0]


def test_what_chapter_02_warns_about_or_repairs_is_a_warning(project: Path) -> None:
    islands, section, flipped = ball(), ball(), ball()
    islands[0, 0, 0] = 1
    section[[3, 5]] = 0
    for subject, array in (("s1", islands), ("s2", section)):
        volume(project / f"{subject}_mask.nii.gz", array)
    mask = sitk.GetImageFromArray(flipped)
    mask.SetSpacing((1.0, 1.0, 2.0))
    sitk.WriteImage(sitk.Flip(mask, [True, False, False]), str(project / "s3_mask.nii.gz"))
    found = problems_in(project)
    assert not serious(found)
    assert [(problem.value[:2], problem.what) for problem in found] == [
        ("s1", "several islands"),
        ("s1", "touches the image border"),
        ("s2", "one slice"),
        ("s3", "repaired: axes flipped, permuted or mask cropped; every voxel centre coincides"),
    ]


@pytest.mark.parametrize("change", ["times 10", "1024 added", "standardised", "none"])
def test_numbers_on_another_scale_are_a_warning(change: str) -> None:
    rng = np.random.default_rng(2)
    table = pd.DataFrame({"hu": rng.normal(50, 12, 90), "volume": rng.lognormal(7, 0.8, 90)}, index=range(90))
    cohort = pd.Series(["train"] * 60 + ["external"] * 30)
    own = table[cohort == "external"]
    changed = {"times 10": own * 10, "1024 added": own.assign(hu=own["hu"] + 1024), "standardised": own / own.std()}
    table[cohort == "external"] = changed.get(change, own)
    for single in (False, True):
        found = list(scale_warnings(table, cohort, "a.csv", "features `radiomics`", single=single))
        assert bool(found) == (change != "none")
        assert all(problem.warning and problem.file == "a.csv" for problem in found)
        assert all("in cohort external than in training" in problem.what for problem in found)


def test_rows_of_dicom_are_looked_into(project: Path) -> None:
    write_ct(project / "exam")
    (project / "nothing").mkdir()
    write_rtstruct(project / "rs.dcm", {"GTV": [box(8.0)]})
    rows = ["s1,A,,dicom,exam", "s1,A,,rtstruct,rs.dcm", "s2,A,,seg,rs.dcm", "s3,A,,dicom,nothing", "s9,A,,dicom,exam"]
    edit(project / "m.csv", "mine,,,,clinical", "".join(f"mine,{row}\n" for row in rows) + "mine,,,,clinical")
    found = {(p.row, p.what) for p in serious(problems_in(project, study=False)) if "outcome" not in p.what}
    first = 8  # after the header and six rows of scans
    assert {(str(first + 2), "DICOM of the kind RTSTRUCT"), (str(first + 3), "no DICOM file in it")} <= found
    assert (str(first + 4), "a subject whose scans no chapter reads") in found
    assert not any(row in (str(first), str(first + 1)) for row, _ in found)
