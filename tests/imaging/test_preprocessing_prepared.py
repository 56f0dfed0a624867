"""Preprocessing again only what changed."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import SimpleITK as sitk

from radsupport.imaging import preprocessing as prepared
from radsupport.imaging.preprocessing import prepare_cases


@dataclass(frozen=True)
class Settings:
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
    interpolation: Literal["linear", "cubic"] = "linear"
    margin_mm: float = 3.0


@pytest.fixture
def cases(tmp_path: Path) -> list[dict[str, Any]]:
    rng, found = np.random.default_rng(0), []
    for subject in ("a", "b"):
        case: dict[str, Any] = {"subject": subject, "phase": "venous", "center": "X", "mask_reader2": ""}
        mask = np.zeros((8, 20, 20), np.uint8)
        mask[2:6, 6:14, 6:14] = 1
        for role, array in (("image", rng.normal(50, 10, mask.shape).astype(np.int16)), ("mask", mask)):
            image = sitk.GetImageFromArray(array)
            image.SetSpacing((1.0, 1.0, 2.0))
            case[role] = str(tmp_path / f"{subject}_{role}.nii.gz")
            sitk.WriteImage(image, case[role])
        found.append(case)
    return found


def same(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> bool:
    def plain(row: dict[str, Any]) -> dict[str, Any]:
        return {k: "nan" if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()}

    return [plain(row) for row in first] == [plain(row) for row in second]


def test_a_second_run_reuses_every_case_and_gives_the_same_rows(cases: list[dict[str, Any]], tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = prepare_cases(cases, Settings(), out, progress=False)
    written = {path: path.stat().st_mtime_ns for path in out.glob("*.nii.gz")}
    again = prepare_cases(cases, Settings(), out, progress=False)
    assert (first.reused, again.reused) == (0, 2)
    assert same(first.rows, again.rows)
    assert {path: path.stat().st_mtime_ns for path in out.glob("*.nii.gz")} == written
    assert not list(out.rglob("*partial*"))


@pytest.mark.parametrize("change", ["image", "settings", "version", "output gone", "output cut", "record damaged"])
def test_what_changed_is_done_again(
    cases: list[dict[str, Any]], tmp_path: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, settings = tmp_path / "out", Settings()
    first = prepare_cases(cases, settings, out, progress=False)
    target, record = Path(first.rows[0]["image"]), out / ".cases" / "a_venous.json"
    if change == "image":
        image = sitk.ReadImage(cases[0]["image"])
        sitk.WriteImage(image + 100, cases[0]["image"])
    elif change == "settings":
        settings = Settings(margin_mm=4.0)
    elif change == "version":
        monkeypatch.setattr(prepared, "PREPROCESSING_VERSION", 10**6)
    elif change == "output gone":
        target.unlink()
    elif change == "output cut":
        target.write_bytes(target.read_bytes()[:100])
    else:
        record.write_text("{")
    again = prepare_cases(cases, settings, out, progress=False)
    assert again.reused == (0 if change in ("settings", "version") else 1)
    assert sitk.ReadImage(str(target)).GetSize()[0] > 0
    gain = again.rows[0]["hu_mean"] - first.rows[0]["hu_mean"]
    assert gain == pytest.approx(100 if change == "image" else 0)


def test_a_bad_case_is_remembered_with_its_reason_but_a_missing_file_is_tried_again(
    cases: list[dict[str, Any]], tmp_path: Path
) -> None:
    Path(cases[0]["mask"]).write_text("no mask")
    Path(cases[1]["mask"]).unlink()
    out = tmp_path / "out"
    first = prepare_cases(cases, Settings(), out, progress=False)
    again = prepare_cases(cases, Settings(), out, progress=False)
    assert again.reused == 1
    assert same(first.rows, again.rows)
    assert all(row["exclusion"] for row in again.rows)
    assert again.rows[0]["image"] is None


def test_the_record_holds_numbers_and_names_only(cases: list[dict[str, Any]], tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare_cases(cases[:1], Settings(), out, progress=False)
    kept = json.loads((out / ".cases" / "a_venous.json").read_text())
    assert kept["files"] == {"image": "a_venous_image.nii.gz", "mask": "a_venous_mask.nii.gz"}
    assert str(tmp_path) not in json.dumps(kept)


def test_other_columns_follow_the_manifest_of_today(cases: list[dict[str, Any]], tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare_cases(cases, Settings(), out, progress=False)
    again = prepare_cases([{**case, "center": "Y"} for case in cases], Settings(), out, progress=False)
    assert again.reused == 2
    assert {row["center"] for row in again.rows} == {"Y"}
