"""Which chapters run again: each kind of file that decides a result is changed, touched or taken away."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml

from radsupport.book import build
from radsupport.errors import StudyError

ALL = list(build.CHAPTERS)
FROM = {
    "03_radiomics": [ALL[2], *ALL[4:]],
    "04_deep_features": ALL[3:],
    "05_modelling": ALL[4:],
    "06_validation": ALL[5:],
}
STUDY: dict[str, Any] = {
    "id": "mine", "title": "T", "question": "Q", "seed": 1,
    "data": {"kind": "real", "manifest": "own.csv", "clinical": "sheets/clinical.xlsx", "subject": "id"},
    "endpoint": {"primary": "label", "label": {"column": "dead", "name": "death", "positive": "p", "negative": "n"}},
    "cohorts": {"train": {"name": "A", "centers": ["A"]}},
    "phases": {"ct": {"name": "CT", "short": "CT", "window": {"level": 40, "width": 400}}},
    "radiomics": {"settings": "own.yaml", "compare": [{"group": "g", "name": "w", "set": {"settings": "other.yaml"}}]},
    "deep": {"network": "resnet", "weights": "weights/own.pth"},
    "signatures": [{"name": "S", "sources": ["radiomics"], "learner": "Ridge"}],
}  # fmt: skip
TABLES = {
    "id": "tables", "data": {"kind": "real", "entry": "features", "manifest": "own.csv", "subject": "id",
    "feature_tables": {"A": "a.csv"}, "feature_columns": {"radiomics": "^f"}}, "radiomics": None, "deep": None,
}  # fmt: skip
MANIFEST = """study,subject,center,phase,role,path
mine,s1,A,ct,image,scans/1.nii.gz
mine,s1,A,ct,mask,scans/1_mask.nii.gz
mine,s1,A,ct,mask_reader2,scans/1_second.nii.gz
other,x,B,ct,image,scans/x.nii.gz
tables,,,,features,a.csv
"""


@pytest.fixture
def project(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of its own, for tests that take files away."""
    monkeypatch.delenv("RADSUPPORT_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    return made(root, tmp_path)


@pytest.fixture(scope="module")
def for_all(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(root, tmp_path_factory.mktemp("project"))


@pytest.fixture
def shared(for_all: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project for tests that only change files."""
    monkeypatch.delenv("RADSUPPORT_DATA", raising=False)
    monkeypatch.chdir(for_all)
    return for_all


def made(root: Path, tmp_path: Path) -> Path:
    """Make two small studies whose data were made ready; package and book are copies."""
    for name in ("studies/radiomics", "sheets", "scans", "weights", "data/mine", "data/tables", "results"):
        (tmp_path / name).mkdir(parents=True)
    shutil.copytree(root / "notebooks", tmp_path / "notebooks")
    shutil.copytree(root / "radsupport", tmp_path / "radsupport", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(root / "book", tmp_path / "book", ignore=shutil.ignore_patterns("_build", "studies"))
    (tmp_path / "Snakefile").write_bytes((root / "Snakefile").read_bytes())
    (tmp_path / "studies/mine.yaml").write_text(yaml.safe_dump(STUDY), encoding="utf-8")
    (tmp_path / "studies/tables.yaml").write_text(yaml.safe_dump(STUDY | TABLES), encoding="utf-8")
    (tmp_path / "own.csv").write_text(MANIFEST, encoding="utf-8")
    files = [*(f"scans/1{end}.nii.gz" for end in ("", "_mask", "_second")), "a.csv", "data/mine/sheets/clinical.xlsx"]
    for name in [*files, "weights/own.pth", "studies/radiomics/own.yaml", "studies/radiomics/other.yaml"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("one", encoding="utf-8")
    for study in ("mine", "tables"):
        (tmp_path / f"data/{study}/.ready").touch()
    shutil.copy(root / "pyproject.toml", tmp_path)
    return tmp_path


def lists(study: str) -> dict[str, tuple[str, int]]:
    """Return what a study's chapters wait for, with the times that Snakemake goes by."""
    build.refresh([study, build.PUBLISHED], "demo")
    found = [*Path("results", study, "inputs").glob("*.txt"), Path("results/logs/book_inputs.txt")]
    found += Path("results/published/inputs").glob("*.txt")
    return {str(path): (path.read_text(encoding="utf-8"), path.stat().st_mtime_ns) for path in found}


def planned(study: str, before: dict[str, tuple[str, int]]) -> list[str]:
    """Return the chapters that run again: those whose lists are newer, and all that stand on them."""
    now = lists(study)
    changed = {path for path in now if now[path] != before.get(path)}
    again: list[str] = []
    for name in ALL:
        inputs = build.graph_inputs(study, name)
        if changed & set(inputs) or any(f"results/{study}/{one}.json" in inputs for one in again):
            again.append(name)
    return [*again, *["10_published"] * ("results/published/inputs/10_published.txt" in changed)]


def rewrite(path: Path) -> None:
    """Change a file's content, but neither its size nor its time of change."""
    times, content = path.stat(), path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.parametrize(
    ("study", "file", "again"),
    [
        ("mine", "data/mine/sheets/clinical.xlsx", ALL),
        ("mine", "scans/1.nii.gz", ALL[1:]),
        ("mine", "scans/1_mask.nii.gz", ALL[1:]),
        ("mine", "scans/1_second.nii.gz", ALL[1:]),
        ("mine", "studies/radiomics/own.yaml", FROM["03_radiomics"]),
        ("mine", "studies/radiomics/other.yaml", FROM["03_radiomics"]),
        ("mine", "weights/own.pth", FROM["04_deep_features"]),
        ("mine", "a.csv", []),
        ("tables", "a.csv", ALL),
        ("tables", "scans/1.nii.gz", []),
        ("mine", "radsupport/book/columns.yaml", [*ALL, "10_published"]),
        ("mine", "radsupport/book/sort.js", [*ALL, "10_published"]),
        ("mine", "radsupport/book/table.css", [*ALL, "10_published"]),
        ("mine", "radsupport/plots/house.mplstyle", [*ALL, "10_published"]),
        ("mine", "radsupport/claims/data/claims.csv", ["10_published"]),
        ("mine", "book/methods.md", []),
    ],
)
def test_a_changed_file_runs_exactly_its_chapters_again(shared: Path, study: str, file: str, again: list[str]) -> None:
    before = lists(study)
    assert planned(study, before) == []
    assert (
        file in [*build.chapter_inputs(study, "01_cohort"), *build.data_inputs(study)]
        or again != ALL
        or study != "mine"
    )
    rewrite(shared / file)
    assert planned(study, before) == again
    rewrite(shared / file)
    lists(study)


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ({"title": "Another"}, ALL),
        ({"modelling": {"folds": 7}}, ALL),
        ({"modelling": {"repeats": 2}}, FROM["05_modelling"]),
        ({"validation": {"threshold": "median"}}, FROM["05_modelling"]),
        ({"signatures": [STUDY["signatures"][0] | {"learner": "Lasso"}]}, FROM["05_modelling"]),
        ({"signatures": [STUDY["signatures"][0] | {"sources": ["deep"]}]}, ALL),
        ({"survival": {"threshold": "median"}}, FROM["05_modelling"]),
        ({"author": {"ethics": "Board 7", "funding": "a fund"}}, []),
    ],
)
def test_settings_of_the_modelling_run_no_chapter_before_it(shared: Path, change: Any, again: list[str]) -> None:
    path = shared / "studies/mine.yaml"
    own = path.read_text(encoding="utf-8")
    before = lists("mine")
    path.write_text(yaml.safe_dump(yaml.safe_load(own) | change), encoding="utf-8")
    assert planned("mine", before) == again
    path.write_text(own, encoding="utf-8")
    before = lists("mine")
    path.write_text(f"{own}# a remark\n", encoding="utf-8")
    assert planned("mine", before) == FROM["05_modelling"]
    path.write_text(own, encoding="utf-8")
    lists("mine")


def test_code_of_a_notebook_runs_again_and_its_words_are_only_staged(shared: Path) -> None:
    path = shared / "notebooks/06_validation.ipynb"
    own = path.read_text(encoding="utf-8")
    site = "results/logs/book_inputs.txt"
    for kind, again in (("markdown", []), ("code", FROM["06_validation"])):
        before = lists("mine")
        notebook = nbformat.reads(own, as_version=4)
        last = [cell for cell in notebook.cells if cell.cell_type == kind][-1]
        last.source += "\n# more"
        path.write_text(nbformat.writes(notebook), encoding="utf-8")
        assert planned("mine", before) == again
        assert lists("mine")[site][0] != before[site][0]
        path.write_text(own, encoding="utf-8")
        lists("mine")
    notebook = nbformat.reads(own, as_version=4)
    del notebook.cells[0]  # a sentence less, an empty cell more
    notebook.cells.append(nbformat.v4.new_markdown_cell(""))
    before = lists("mine")
    path.write_text(nbformat.writes(notebook), encoding="utf-8")
    assert planned("mine", before) == []
    parameters = next(cell for cell in notebook.cells if cell.metadata.get("tags") == ["parameters"])
    parameters.metadata["tags"] = []  # papermill goes by it
    path.write_text(nbformat.writes(notebook), encoding="utf-8")
    assert planned("mine", before) == FROM["06_validation"]
    path.write_text(own, encoding="utf-8")
    lists("mine")


def test_copies_of_scans_are_watched_and_made_again_where_they_are_gone(shared: Path) -> None:
    copy, done = shared / "results/mine/images/s1_ct_image.nii.gz", shared / "results/mine/02_preprocessing.json"
    copy.parent.mkdir(parents=True)
    copy.write_text("one", encoding="utf-8")
    done.write_text("{}", encoding="utf-8")
    before = lists("mine")
    rewrite(copy)
    assert planned("mine", before) == ALL[2:]
    copy.unlink()
    build.refresh(["mine"], "demo")
    assert not done.exists()


@pytest.mark.parametrize("file", ["book/methods.md", "book/_static/logo.svg", "radsupport/book/site.py"])
def test_a_changed_page_source_makes_the_site_anew(shared: Path, file: str) -> None:
    before = lists("mine")["results/logs/book_inputs.txt"]
    rewrite(shared / file)
    assert lists("mine")["results/logs/book_inputs.txt"] != before


def test_a_picture_put_into_a_folder_of_the_book_is_part_of_the_site(shared: Path) -> None:
    before = lists("mine")["results/logs/book_inputs.txt"]
    (shared / "book/pictures").mkdir()
    (shared / "book/pictures/flow.png").write_bytes(b"png")
    assert lists("mine")["results/logs/book_inputs.txt"] != before


def test_touching_runs_nothing_and_rows_of_another_study_do_not_either(project: Path) -> None:
    before = lists("mine")
    for path in [*project.glob("scans/*"), *project.rglob("*.yaml"), *project.rglob("*.py"), *project.rglob("*.xlsx")]:
        os.utime(path)
    assert lists("mine") == before
    with (project / "own.csv").open("a") as stream:
        stream.write("other,y,B,ct,image,scans/y.nii.gz\n")
    assert lists("mine") == before
    with (project / "own.csv").open("a") as stream:
        stream.write("mine,s2,A,ct,image,scans/x.nii.gz\n")
    (project / "scans/x.nii.gz").touch()
    assert planned("mine", before) == ALL


def test_another_profile_runs_everything_again(shared: Path) -> None:
    before = lists("mine")
    build.refresh(["mine"], "paper")
    name = "results/mine/inputs/05_modelling.txt"
    assert Path(name).read_text(encoding="utf-8") != before[name][0]


def test_files_that_are_gone_are_named(project: Path) -> None:
    for name in ("studies/radiomics/own.yaml", "studies/radiomics/other.yaml"):
        (project / name).unlink()
    with pytest.raises(StudyError, match=r"(?s)radiomics/own\.yaml.*radiomics/other\.yaml"):
        build.refresh(["mine"], "demo")
    for name in ("data/mine/sheets/clinical.xlsx", "scans/1_mask.nii.gz"):
        (project / name).unlink()
    with pytest.raises(StudyError, match=r"(?s)clinical\.xlsx.*1_mask\.nii\.gz"):
        build.stamp_data("mine")


def test_a_chapter_run_alone_names_the_files_that_it_lacks(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "scans/1_mask.nii.gz").unlink()
    assert build.run_chapter("02_preprocessing", "mine", "demo", 1) == 1
    assert "02_preprocessing of study mine lacks files: data/mine/scans/1_mask.nii.gz" in capsys.readouterr().err


def test_data_of_which_a_file_is_gone_are_made_ready_again(project: Path) -> None:
    lists("mine")
    (project / "scans/1.nii.gz").unlink()
    build.refresh(["mine"], "demo")
    assert not (project / "data/mine/.ready").exists()


def test_snakemake_plans_what_stands_on_a_changed_scan(project: Path) -> None:
    lists("mine")
    for path in [Path("data/mine/.ready"), *(Path(f"results/mine/inputs/{kind}.txt") for kind in build.DATA_KINDS)]:
        path.touch()  # as the data rule leaves them
    for name in ALL:
        for path in (f"results/mine/{name}.json", f"results/mine/notebooks/{name}.ipynb"):
            Path(path).parent.mkdir(exist_ok=True)
            Path(path).write_text("{}", encoding="utf-8")
    rewrite(project / "scans/1.nii.gz")
    command = [str(Path(sys.executable).with_name("snakemake")), "--cores", "1", "-n"]
    options = ["--rerun-triggers", "mtime", "--config", "study=mine"]
    environment = os.environ | {"PYTHONPATH": str(project)}
    done = subprocess.run([*command, "book", *options], capture_output=True, text=True, check=False, env=environment)
    said = done.stdout + done.stderr
    assert [name for name in ALL if f"study=mine, chapter={name}" in said] == ALL[1:], said
