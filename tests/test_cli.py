"""The command line, called as a user would."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from helpers.own_study import own_study

from radsupport.claims.claims import COLUMNS
from radsupport.cli import build_parser, main
from radsupport.errors import Problem
from radsupport.files import MIRROR, sha256
from radsupport.settings.author import Author

COMMANDS = ("check", "cost", "fetch", "demo", "prepare", "ingest", "studies", "published")
Output = pytest.CaptureFixture[str]


@pytest.fixture
def project(root: Path, tmp_path: Path) -> Path:
    """A project with the study files, and two sound cases of an own study."""
    (tmp_path / "studies").mkdir()
    for name in ("sts", "song2021"):
        (tmp_path / "studies" / f"{name}.yaml").write_bytes((root / "studies" / f"{name}.yaml").read_bytes())
    (tmp_path / "studies" / "radiomics").symlink_to(root / "studies" / "radiomics")
    (tmp_path / "data_manifest.csv").write_bytes((root / "data_manifest.csv").read_bytes())
    mask = np.zeros((6, 9, 9), np.uint8)
    mask[2:4, 3:6, 3:6] = 1
    rows = ["study,subject,center,phase,role,path"]
    for subject in ("p1", "p2"):
        sitk.WriteImage(sitk.GetImageFromArray(mask.astype(np.int16) * 60), str(tmp_path / f"{subject}.nii.gz"))
        sitk.WriteImage(sitk.GetImageFromArray(mask), str(tmp_path / f"{subject}_mask.nii.gz"))
        rows += [f"mine,{subject},A,ct,image,{subject}.nii.gz", f"mine,{subject},A,ct,mask,{subject}_mask.nii.gz"]
    rows.append("mine,,,,clinical,own.csv")
    (tmp_path / "my_manifest.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (tmp_path / "own.csv").write_text("subject,label,age\np1,1,60\np2,0,71\n", encoding="utf-8")
    return tmp_path


OWN_STUDY = own_study("my_manifest.csv")


def run(project: Path, *arguments: str) -> int:
    return main(["--root", str(project), *arguments])


def test_every_command_explains_itself(capsys: Output) -> None:
    for command in COMMANDS:
        with pytest.raises(SystemExit) as stopped:
            build_parser().parse_args([command, "--help"])
        assert stopped.value.code == 0
        assert len(capsys.readouterr().out) > 100 or command == "studies"


@pytest.mark.parametrize("arguments", [[], ["frobnicate"], ["check"], ["check", "m.csv", "--jobs", "x"]])
def test_wrong_usage_is_exit_code_two(arguments: list[str], capsys: Output) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "usage: radsupport" in capsys.readouterr().err


def test_own_data_are_checked_before_and_with_a_study_file(project: Path, capsys: Output) -> None:
    manifest = str(project / "my_manifest.csv")
    assert run(project, "check", manifest) == 0
    out = capsys.readouterr().out
    assert "no problem in 5 rows" in out
    assert "There is no studies/mine.yaml yet" in out
    (project / "studies" / "mine.yaml").write_text(f"{OWN_STUDY}author: {{ethics: Board 7}}\n", encoding="utf-8")
    assert run(project, "check", manifest) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "yet" not in out
    missing = len(Author.model_fields) - 1
    assert f"Advice: `author:` of studies/mine.yaml lacks {missing} of the {missing + 1} answers" in out
    assert ", ethics," not in out
    assert run(project, "check", manifest, "--study", "mine") == 0
    (project / "own.csv").write_text("subject,label,age\np1,1,6\np2,,71\n", encoding="utf-8")
    assert run(project, "check", manifest) == 1
    out = capsys.readouterr().out
    assert "2 problems in 5 rows" in out
    assert "row 2, column age, value 6] an impossible value Expected: 18 to 110 years" in out
    assert "subject p2 has no outcome" in out


def test_an_unknown_key_of_the_study_file_is_an_error_with_the_nearest_key(project: Path, capsys: Output) -> None:
    (project / "studies" / "mine.yaml").write_text(OWN_STUDY.replace("seed:", "sead:"), encoding="utf-8")
    assert run(project, "check", str(project / "my_manifest.csv")) == 1
    assert "did you mean `seed`?" in capsys.readouterr().err


def test_errors_are_messages_not_tracebacks(project: Path, capsys: Output) -> None:
    assert run(project, "fetch", "stss") == 1
    assert "did you mean 'sts'?" in capsys.readouterr().err
    assert run(project, "check", "none.csv") == 1
    assert "there is no such manifest" in capsys.readouterr().out
    assert run(project, "demo", "sts") == 1
    assert "no section `synthetic:`" in capsys.readouterr().err
    assert run(project, "fetch", "sts", "--mirror", str(project / "none")) == 1
    assert "no such folder" in capsys.readouterr().err


def test_studies_are_listed_with_what_is_missing(
    project: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(MIRROR, raising=False)
    assert run(project, "studies") == 0
    out = capsys.readouterr().out
    assert "Lung metastases of soft-tissue sarcoma" in out
    assert "45 of its 45 files are not on this machine; run `radsupport fetch sts`" in out
    assert "synthetic: generated on this machine" in out


def test_prepare_says_why_a_real_study_is_not_available(
    project: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(MIRROR, raising=False)
    assert run(project, "prepare", "sts") == 1
    assert "Study sts is not available" in capsys.readouterr().err
    assert not (project / "data" / "sts" / ".ready").exists()


def test_fetch_weights_brings_those_of_the_profile_paper(
    project: Path, root: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    from radsupport.networks import resnet

    for name in ("yang2023.yaml", "gu2023.yaml"):
        (project / "studies" / name).write_bytes((root / "studies" / name).read_bytes())
    (project / "local").mkdir()
    for depth in (50, 101):
        file = project / "local" / f"resnet{depth}.pth"
        file.write_bytes(bytes(depth))
        source = resnet.WeightsFile(f"http://127.0.0.1:9/resnet{depth}.pth", sha256(file))
        monkeypatch.setitem(resnet.IMAGENET_WEIGHTS, depth, source)
    assert run(project, "fetch", "weights", "--mirror", str(project / "local"), "--out", str(project / "kept")) == 0
    out = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in out] == [f"ImageNet weights of ResNet-{depth}" for depth in (50, 101)]
    assert (project / "kept" / "resnet101.pth").read_bytes() == bytes(101)
    (project / "local" / "resnet50.pth").write_bytes(b"another file")
    assert run(project, "fetch", "weights", "--mirror", str(project / "local"), "--out", str(project / "new")) == 1
    assert "no resnet50.pth of this checksum" in capsys.readouterr().err


def test_fetch_takes_files_from_a_local_folder(project: Path, shared: Path, capsys: Output) -> None:
    assert run(project, "fetch", "sts", "--mirror", str(shared / "real")) == 0
    assert "45 files: 45 copied" in capsys.readouterr().out
    assert run(project, "check", str(project / "data_manifest.csv"), "--study", "sts") == 0
    assert run(project, "prepare", "sts") == 0
    assert "45 files: 45 verified" in capsys.readouterr().out
    assert (project / "data" / "sts" / ".ready").is_file()


def test_ingest_writes_files_and_appends_manifest_rows(project: Path, shared: Path, capsys: Output) -> None:
    import zipfile

    with zipfile.ZipFile(shared / "real" / "sts_ct_dicom_rtstruct" / "STS_019_CT_dicom.zip") as packed:
        packed.extractall(project / "dicom")
    case = ["--study", "mine", "--subject", "p3", "--center", "A", "--phase", "ct"]
    assert run(project, "ingest", str(project / "dicom"), *case) == 0
    out = capsys.readouterr().out
    assert "Region GTV_Mass_CT: 5564 voxels" in out
    assert "mine,p3,A,ct,mask,own/mine/images/p3_ct_mask.nii.gz" in out
    manifest = str(project / "my_manifest.csv")
    assert run(project, "ingest", str(project / "dicom"), *case, "--manifest", manifest) == 0
    (project / "own.csv").write_text("subject,label,age\np1,1,60\np2,0,71\np3,0,50\n", encoding="utf-8")
    assert run(project, "check", manifest) == 0
    assert run(project, "ingest", str(project / "dicom"), *case, "--manifest", manifest) == 1
    assert "Nothing was appended" in capsys.readouterr().err
    assert run(project, "ingest", str(project / "dicom"), *case, "--region", "GTV") == 1
    assert "one of GTV_Mass_CT" in capsys.readouterr().err
    case[3] = "../p3"
    assert run(project, "ingest", str(project / "dicom"), *case) == 0
    names = sorted(path.name for path in (project / "own" / "mine" / "images").glob("*_image.nii.gz"))
    assert len(names) == 2
    assert re.fullmatch("p3_ct-[0-9a-f]{16}_image.nii.gz", names[0])
    case[1] = "../mine"
    assert run(project, "ingest", str(project / "dicom"), *case) == 1
    assert "not usable in a file name" in capsys.readouterr().err


HEADER = ",".join(COLUMNS)
HOLDING = 'S,T,Women,all,47.2%,proportion,"{""k"": 67, ""n"": 142}"'
FAILING = 'S,T,Men,all,47.2%,proportion,"{""k"": 75, ""n"": 142}"'
BROKEN = 'S,T,Broken,all,47.2%,proportion,"{""k"": "'


@pytest.fixture
def published(capsys):
    def call(*arguments):
        status = main(["published", *map(str, arguments)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


@pytest.fixture
def claims(tmp_path):
    def save(*rows):
        path = tmp_path / "my_claims.csv"
        path.write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
        return path

    return save


def test_a_good_table(published, claims):
    status, out, err = published("check", claims(HOLDING, FAILING))
    assert status == 0
    assert "row 2: HOLDS – Women = 47.2% (S, T, all)" in out
    assert "row 3: DOES NOT HOLD – Men" in out
    assert "2 claims: 1 holds, 1 does not hold, 0 cannot be decided" in out
    assert err == ""


def test_malformed_rows_are_listed_and_the_others_checked(published, claims):
    status, out, err = published("check", claims(HOLDING, BROKEN, FAILING, BROKEN))
    assert status == 1
    assert "row 2: HOLDS" in out
    assert "row 4: DOES NOT HOLD" in out
    assert "4 claims: 1 holds, 1 does not hold, 0 cannot be decided, 2 malformed" in out
    assert [line[:2] for line in err.splitlines()] == ["1.", "2."]
    assert "row 3" in err
    assert "row 5" in err
    assert "no valid JSON" in err


def test_only_some_verdicts(published, claims):
    _, out, _ = published("check", claims(HOLDING, FAILING), "--only", "does not hold")
    assert "Women" not in out
    assert "Men" in out


def test_the_verdicts_are_written(published, claims, tmp_path):
    output = tmp_path / "verdicts.csv"
    published("check", claims(HOLDING, FAILING), "--output", output)
    assert pd.read_csv(output)["verdict"].tolist() == ["holds", "does not hold"]


@pytest.mark.parametrize("target", ["missing.csv", "empty.csv"])
def test_a_file_that_can_not_be_read(published, tmp_path, target):
    (tmp_path / "empty.csv").write_text("")
    status, out, err = published("check", tmp_path / target)
    assert status == 2
    assert out == ""
    assert target in err


def test_an_output_that_can_not_be_written(published, claims, tmp_path):
    status, _, err = published("check", claims(HOLDING), "--output", tmp_path / "no folder" / "x.csv")
    assert status == 2
    assert err


def test_a_warning_is_said_and_stops_nothing(project: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = Problem("a follow-up of 70 years", remedy="look at the unit", file="c.csv", row="3", warning=True)
    monkeypatch.setattr("radsupport.data.own_data.check", lambda *_: [odd])
    assert run(project, "check", str(project / "my_manifest.csv")) == 0
    out = capsys.readouterr().out
    assert "worth a look (1 warning)" in out
    assert "[file c.csv, row 3] a follow-up of 70 years" in out
    assert "no problem in" in out
