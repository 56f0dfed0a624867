"""Fetching and verifying the files of a study."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from radsupport import files as datasets
from radsupport.data import datasets as datasets_datasets
from radsupport.errors import FetchError
from radsupport.settings.study import Study
from radsupport.study import load_study

FILES = {"scans/a.nii.gz": b"first", "scans/b.nii.gz": b"second", "sheet.csv": b"third"}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        path = tmp_path / "mirror" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "mirror"


@pytest.fixture
def server(mirror: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(mirror))) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_address[1]}"
        httpd.shutdown()
        thread.join()


@pytest.fixture
def study(root: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.delenv(datasets.MIRROR, raising=False)
    return load_study("sts", folder=root / "studies")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


def manifest(project: Path, address: str = "", wrong: tuple[str, ...] = ()) -> None:
    lines = ["study,subject,center,phase,role,path,url,sha256,licence"]
    for i, (name, content) in enumerate(FILES.items()):
        sha = hashlib.sha256(b"other" if name in wrong else content).hexdigest()
        url = f"{address}/{name}" if address else ""
        lines.append(f"sts,s{i},McGill,ct,image,{name},{url},{sha},CC0")
    (project / "data_manifest.csv").write_text("\n".join(lines), encoding="utf-8")


def contents(project: Path) -> dict[str, bytes]:
    base = project / "data" / "sts"
    return {str(p.relative_to(base)): p.read_bytes() for p in sorted(base.rglob("*")) if p.is_file()}


def test_files_are_copied_from_a_local_folder_then_only_verified(study: Study, project: Path, mirror: Path) -> None:
    manifest(project)
    assert datasets_datasets.fetch(study, mirror, root=project)["action"].tolist() == ["copied"] * 3
    assert contents(project) == FILES
    again = datasets_datasets.fetch(study, mirror, root=project)
    assert again["action"].tolist() == ["verified"] * 3
    assert datasets_datasets.summary(again) == "3 files: 3 verified"


def test_the_environment_names_the_local_folder(
    study: Study, project: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest(project)
    assert datasets_datasets.availability(study, project)[0] is False
    monkeypatch.setenv(datasets.MIRROR, str(mirror))
    assert datasets_datasets.availability(study, project)[0] is True
    assert datasets_datasets.prepare(study, project) == "3 files: 3 copied"
    assert (project / "data" / "sts" / ".ready").is_file()
    monkeypatch.delenv(datasets.MIRROR)
    assert datasets_datasets.availability(study, project) == (True, "all 3 files are on this machine")


def test_wrong_checksums_are_all_named_with_both_sums(study: Study, project: Path, mirror: Path) -> None:
    manifest(project, wrong=("scans/b.nii.gz", "sheet.csv"))
    with pytest.raises(FetchError) as caught:
        datasets_datasets.fetch(study, mirror, root=project)
    assert len(caught.value.problems) == 2
    text = str(caught.value)
    assert hashlib.sha256(b"other").hexdigest() in text
    assert hashlib.sha256(b"second").hexdigest() in text
    assert "scans/b.nii.gz" in text
    assert "sheet.csv" in text
    assert contents(project) == {"scans/a.nii.gz": b"first"}


def test_a_damaged_file_that_is_already_there_is_found(study: Study, project: Path, mirror: Path) -> None:
    manifest(project)
    datasets_datasets.fetch(study, mirror, root=project)
    (project / "data" / "sts" / "sheet.csv").write_bytes(b"changed")
    with pytest.raises(FetchError, match="delete it and fetch again"):
        datasets_datasets.fetch(study, mirror, root=project)


def test_files_are_downloaded_and_verified(study: Study, project: Path, server: str) -> None:
    manifest(project, server)
    assert datasets_datasets.fetch(study, root=project)["action"].tolist() == ["downloaded"] * 3
    assert contents(project) == FILES


def test_a_wrong_download_is_not_kept(study: Study, project: Path, server: str) -> None:
    manifest(project, server, wrong=("sheet.csv",))
    with pytest.raises(FetchError) as caught:
        datasets_datasets.fetch(study, root=project)
    (problem,) = caught.value.problems
    assert problem.file == "sheet.csv"
    assert hashlib.sha256(b"other").hexdigest() in problem.expected
    assert hashlib.sha256(b"third").hexdigest() in problem.value
    assert sorted(contents(project)) == ["scans/a.nii.gz", "scans/b.nii.gz"]


def test_a_file_the_server_does_not_have(study: Study, project: Path, server: str, mirror: Path) -> None:
    manifest(project, server)
    (mirror / "sheet.csv").unlink()
    with pytest.raises(FetchError, match=r"1 of the 3 files[\s\S]*the server refused: 404"):
        datasets_datasets.fetch(study, root=project)


def test_without_a_connection_one_try_is_enough(study: Study, project: Path) -> None:
    manifest(project, "http://127.0.0.1:9")
    with pytest.raises(FetchError, match=r"3 of the 3 files[\s\S]*no connection") as caught:
        datasets_datasets.fetch(study, root=project)
    assert len(caught.value.problems) == 1


def test_what_is_missing_is_said_with_the_way_to_get_it(study: Study, project: Path, mirror: Path) -> None:
    manifest(project)
    here, reason = datasets_datasets.availability(study, project)
    assert not here
    assert "3 of its 3 files are not on this machine; run `radsupport fetch sts`" in reason
    with pytest.raises(FetchError, match="Study sts is not available"):
        datasets_datasets.prepare(study, project)
    with pytest.raises(FetchError, match="no public address"):
        datasets_datasets.fetch(study, root=project)
    (mirror / "sheet.csv").unlink()
    with pytest.raises(FetchError, match="not in the local folder"):
        datasets_datasets.fetch(study, mirror, root=project)
    with pytest.raises(FetchError, match="no such folder"):
        datasets_datasets.fetch(study, mirror / "none", root=project)


def test_a_folder_that_is_incomplete_makes_the_study_unavailable(
    study: Study, project: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest(project)
    (mirror / "sheet.csv").unlink()
    monkeypatch.setenv(datasets.MIRROR, str(mirror))
    here, reason = datasets_datasets.availability(study, project)
    assert not here
    assert reason == f"1 of its 3 files are not in the folder {datasets.MIRROR} names"  # it is a patient's: no name


@pytest.mark.parametrize("elsewhere", [True, False])
def test_why_data_are_absent_names_no_patient(
    elsewhere: bool, root: Path, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (root / "data_manifest.csv").read_text(encoding="utf-8")
    (project / "data_manifest.csv").write_text(text, encoding="utf-8")
    monkeypatch.setenv(datasets.MIRROR, str(tmp_path)) if elsewhere else monkeypatch.delenv(datasets.MIRROR, False)
    sts = load_study("sts", folder=root / "studies")
    files = datasets_datasets._named_files(sts, project)
    here, reason = datasets_datasets.availability(sts, project)
    assert not here
    assert f"of its {len(files)} files are not" in reason
    assert not [one for one in filter(None, files["subject"]) if one in reason]
    assert (files.loc[files["subject"] == "", "path"].iloc[0] in reason) == bool((files["subject"] == "").any())


def test_a_local_only_study_says_so(root: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(datasets.MIRROR, raising=False)
    text = (root / "data_manifest.csv").read_text(encoding="utf-8")
    (project / "data_manifest.csv").write_text(text, encoding="utf-8")
    here, reason = datasets_datasets.availability(load_study("lung1", folder=root / "studies"), project)
    assert not here
    assert "no public address" in reason


def test_synthetic_studies_need_no_files(root: Path, project: Path) -> None:
    synthetic = load_study("song2021", folder=root / "studies")
    assert datasets_datasets.availability(synthetic, project) == (True, "synthetic: generated on this machine")
    with pytest.raises(FetchError, match="nothing to fetch"):
        datasets_datasets.fetch(synthetic, root=project)


@pytest.mark.parametrize("name", ["sts", "hosny2018", "lung1", "worc_gist", "worc_melanoma"])
def test_the_real_studies_are_complete_in_the_local_folder(
    name: str, root: Path, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(datasets.MIRROR, str(shared / "real"))
    (tmp_path / "data_manifest.csv").write_bytes((root / "data_manifest.csv").read_bytes())
    study = load_study(name, folder=root / "studies")
    assert datasets_datasets.availability(study, tmp_path)[0]
    assert "copied" in datasets_datasets.prepare(study, tmp_path)


@pytest.mark.parametrize("path", ["../../x.nii.gz", "scans/../../../x.nii.gz", "/x.nii.gz"])
def test_no_file_is_written_outside_the_folder(study: Study, project: Path, mirror: Path, path: str) -> None:
    manifest(project)
    table = (project / "data_manifest.csv").read_text(encoding="utf-8")
    (project / "data_manifest.csv").write_text(table.replace("scans/a.nii.gz", path), encoding="utf-8")
    with pytest.raises(FetchError, match="outside the study's folder"):
        datasets_datasets.fetch(study, mirror, root=project)
    assert not list(project.parent.glob("**/x.nii.gz"))


def test_a_file_without_checksum_that_changed_in_the_local_folder_is_copied_again(
    study: Study, project: Path, mirror: Path
) -> None:
    manifest(project)
    table = project / "data_manifest.csv"
    sums = [hashlib.sha256(content).hexdigest() for content in FILES.values()]
    table.write_text(table.read_text(encoding="utf-8").replace(sums[2], ""), encoding="utf-8")
    datasets_datasets.fetch(study, mirror, root=project)
    copy = project / "data/sts/sheet.csv"
    copy.write_bytes(b"corrected here")
    datasets_datasets.fetch(study, mirror, root=project)
    assert copy.read_bytes() == b"corrected here"  # the newer one
    (mirror / "sheet.csv").write_bytes(b"corrected there")
    os.utime(mirror / "sheet.csv", (copy.stat().st_mtime + 10,) * 2)
    datasets_datasets.fetch(study, mirror, root=project)
    assert copy.read_bytes() == b"corrected there"
