"""A first study file from own tables loads as it is, and says what a person has to decide."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from radsupport.cli import main
from radsupport.errors import InputError
from radsupport.study import load_study


@pytest.fixture
def project(root: Path, tmp_path: Path) -> Path:
    """A project with scans of 40 patients from two hospitals, and nothing but their tables."""
    (tmp_path / "studies").mkdir()
    for name in ("sts", "lung1"):
        text = (root / "studies" / f"{name}.yaml").read_text(encoding="utf-8")
        (tmp_path / "studies" / f"{name}.yaml").write_text(text, encoding="utf-8")
    own = tmp_path / "own" / "mine"
    own.mkdir(parents=True)
    rows = ["study,subject,center,phase,role,path"]
    for i in range(40):
        center = "North" if i < 25 else "South Clinic"
        rows += [f"mine,P{i:03d},{center},venous,{role},images/P{i:03d}_{role}.nii.gz" for role in ("image", "mask")]
    (own / "manifest.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    rng = np.random.default_rng(0)
    lines = ["ID;Age (years);Sex;Stage;Relapse;OS months;Status;Surname"]
    for i in range(40):
        age = "NA" if i == 3 else f"{rng.normal(60, 9):.1f}".replace(".", ",")
        lines.append(
            f"P{i:03d};{age};{'FM'[i % 2]};{['I', 'II', 'III'][i % 3]};{['no', 'yes'][i % 4 == 0]};"
            f"{rng.exponential(30):.1f};{int(rng.random() < 0.4)};Name{i}".replace(".", ",")
        )
    (own / "clinical.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("like", ["sts", "lung1"])
def test_the_file_loads_and_names_what_the_tables_hold(project: Path, like: str) -> None:
    own = project / "own" / "mine"
    call = ["--root", str(project), "new", "mine", "--like", like, "--manifest", str(own / "manifest.csv")]
    assert main([*call, "--clinical", str(own / "clinical.csv")]) == 0
    study = load_study("mine", folder=project / "studies")
    assert study.data.subject == "ID"
    survival, label = study.endpoint.survival, study.endpoint.label
    assert survival is not None
    assert label is not None
    assert (survival.time, survival.event, survival.unit) == ("OS months", "Status", "months")
    assert (label.column, label.recode) == ("Relapse", {"no": 0, "yes": 1})
    assert {key: column.kind for key, column in study.columns.items()} == {
        "age_years": "number", "sex": "category", "stage": "category",
    }  # fmt: skip
    assert study.columns["stage"].levels == ["I", "II", "III"]
    assert {key: cohort.centers for key, cohort in study.cohorts.items()} == {
        "train": ["North"], "external": ["South Clinic"],
    }  # fmt: skip
    assert list(study.phases) == ["venous"]
    text = (project / "studies" / "mine.yaml").read_text(encoding="utf-8")
    assert "Surname" in text
    assert "Name3" not in text, "nobody's name is copied"
    assert text.count("decide: ") > 10
    assert main([*call, "--clinical", str(own / "clinical.csv")]) == 1, "it never overwrites"


def test_what_is_not_given_is_asked(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = project / "own" / "mine"
    answers = iter([str(own / "manifest.csv"), str(own / "clinical.csv")])
    monkeypatch.setattr("builtins.input", lambda question: next(answers))
    assert main(["--root", str(project), "new", "mine"]) == 0
    assert load_study("mine", folder=project / "studies").data.clinical == "clinical.csv"


def test_tables_that_do_not_fit_are_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = project / "own" / "mine"
    (own / "other.csv").write_text("ID,label\nX1,0\nX2,1\n", encoding="utf-8")
    call = ["--root", str(project), "new", "mine", "--manifest", str(own / "manifest.csv")]
    assert main([*call, "--clinical", str(own / "other.csv")]) == 1
    assert "no column names a subject of the manifest" in capsys.readouterr().err
    assert main([*call[:4], "--like", "nothing"]) == 1
    assert "one of lung1, sts" in capsys.readouterr().err
    assert not (project / "studies" / "mine.yaml").exists()
    assert issubclass(InputError, ValueError)
