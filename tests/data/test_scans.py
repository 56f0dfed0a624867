"""Files and cases of a study: who has no image, and who was outlined twice."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from radsupport.data import scans
from radsupport.study import load_study


def test_those_outlined_twice_are_training_patients_with_the_second_mask() -> None:
    study = load_study("gu2023")
    phase = next(name for name, one in study.phases.items() if one.role == "model")
    cases = pd.DataFrame({"subject": ["c", "a", "b", "d", "e"], "phase": phase, "cohort": ["train"] * 4 + ["internal"]})
    cases = cases.assign(exclusion="", source_image="i", source_mask="m", image="x", mask="y")
    cases["source_mask_reader2"] = ["2", "2", "2", "", "2"]
    found = scans.outlined_twice(study, cases)
    assert found[["subject", "mask"]].to_numpy().tolist() == [["a", "2"], ["b", "2"], ["c", "2"]]
    assert scans.outlined_twice(study, cases.drop(columns="source_mask_reader2")).empty


def test_a_subject_without_an_image_keeps_a_row_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    study = load_study("gu2023")
    phase = next(iter(study.phases))
    rows = [("a", phase, "image", "a.nii"), ("a", phase, "mask", "a_mask.nii"), ("s", phase, "image", "s.nii")]
    files = pd.DataFrame(rows, columns=["subject", "phase", "role", "file"]).assign(center="A", exclusion="")
    files["file"] = files["file"].map(Path)
    monkeypatch.setattr(scans, "study_files", lambda *_: files)
    cohort = pd.DataFrame({"subject": ["a", "b", "s"], "cohort": ["train", "external", "segmentation"]})
    found = scans.case_files(study, cohort).set_index(["subject", "phase"])
    assert len(found) == 2 * len(study.phases) + 1  # who only trains a segmentation has the phases that are there
    assert found.loc[("a", phase), ["image", "mask", "samples", "exclusion", "cohort"]].tolist() == [
        "a.nii", "a_mask.nii", "", "", "train",
    ]  # fmt: skip
    assert found.loc[("b", phase), ["image", "exclusion"]].tolist() == ["", "no image in the manifest"]
