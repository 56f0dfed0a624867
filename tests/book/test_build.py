"""The build: which studies, what depends on what, and what happens when a notebook fails."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from radsupport.book import build as pipeline
from radsupport.errors import StudyError
from radsupport.study import load_study


@pytest.fixture
def project(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of its own with the real studies and small notebooks."""
    for name in ("studies", "data_manifest.csv", "radsupport"):
        (tmp_path / name).symlink_to(root / name)
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RADSUPPORT_DATA", raising=False)
    return tmp_path


def notebook(project: Path, chapter: str, *code: str) -> None:
    cells = [new_markdown_cell("# Title"), new_code_cell('study = "song2021"', metadata={"tags": ["parameters"]})]
    cells += [new_code_cell(source) for source in code]
    content = new_notebook(cells=cells)
    content.metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3"},
        "language_info": {"name": "python"},
    }
    nbformat.write(content, project / "notebooks" / f"{chapter}.ipynb")


BEGIN = "from radsupport.book.chapter import begin\nchapter = begin({!r}, globals())"


def test_without_data_the_synthetic_studies_are_built_and_the_others_named(project: Path) -> None:
    chosen, left_out = pipeline.choose_studies("all")
    assert {"song2021", "yang2023", "gu2023", "cui2022", "published"} <= set(chosen)
    assert "radsupport fetch sts" in left_out["sts"]


def test_a_study_asked_for_by_name_has_to_be_there(project: Path) -> None:
    with pytest.raises(StudyError, match="sts can not be built"):
        pipeline.choose_studies("song2021,sts")
    with pytest.raises(StudyError, match="song2021"):
        pipeline.choose_studies("song2012")


def test_every_chapter_depends_on_its_notebook_its_code_and_the_earlier_chapters(project: Path) -> None:
    notebook(project, "06_validation", "from radsupport import evaluate")
    inputs = pipeline.chapter_inputs("song2021", "06_validation")
    assert "notebooks/06_validation.ipynb" in inputs
    assert "results/song2021/05_modelling.json" in inputs
    assert "radsupport/stats/roc.py" in inputs
    assert not any("notebooks/05" in name for name in inputs)


def test_a_chapter_runs_and_its_numbers_are_kept(project: Path) -> None:
    notebook(project, "05_modelling", BEGIN.format("05_modelling"), "chapter.publish('x', 1)\nchapter.finish()")
    assert pipeline.run_chapter("05_modelling", "song2021", "demo", 1) == 0
    results = project / "results" / "song2021"
    assert json.loads((results / "05_modelling.json").read_text())["numbers"]["x"]["value"] == 1
    assert (results / "notebooks" / "05_modelling.ipynb").is_file()
    assert "05_modelling" in pipeline.timings()
    used = json.loads((results / "logs" / "05_modelling.usage.json").read_text())
    assert used["cpu"] > 0.1
    assert 20 < used["peak_mb"] < 20_000


def test_a_failing_notebook_names_study_cell_and_log_and_keeps_what_ran(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook(project, "05_modelling", BEGIN.format("05_modelling"), "raise ValueError('no such luck')")
    assert pipeline.run_chapter("05_modelling", "song2021", "demo", 1) == 1
    said = capsys.readouterr().err
    assert "Chapter 05_modelling of study song2021 failed in cell" in said
    assert "no such luck" in said
    assert "results/song2021/logs/05_modelling.log" in said
    assert (project / "results/song2021/logs/05_modelling.failed.ipynb").is_file()
    assert not (project / "results/song2021/notebooks/05_modelling.ipynb").exists()


def test_a_chapter_that_a_study_does_not_use_says_so_in_one_line(project: Path) -> None:
    notebook(project, "07_survival", BEGIN.format("07_survival"), "raise ValueError('must not run')")
    assert pipeline.run_chapter("07_survival", "hosny2018", "demo", 1) == 0
    text = (project / "results/hosny2018/notebooks/07_survival.ipynb").read_text()
    assert "This study does not use this chapter" in text
    assert (project / "results/hosny2018/07_survival.json").is_file()


def test_the_longest_way_to_the_end_is_begun_first(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    of = pipeline.priority_of
    s = pipeline.SECONDS
    assert of("song2021", "07_survival") == s["07_survival"]
    assert of("song2021", "06_validation") == s["06_validation"] + s["07_survival"]
    assert of("song2021", "05_modelling") == s["05_modelling"] + of("song2021", "06_validation")
    assert of("song2021", "02_preprocessing") == s["02_preprocessing"] + of("song2021", "04_deep_features")
    assert of("hosny2018", "02_preprocessing") == of("hosny2018", "05_modelling")  # no images, so no work before
    last = s["09_robustness"]  # no nomogram, no follow-up
    assert of("hosny2018", "05_modelling") == s["05_modelling"] + s["06_validation"] + last
    assert of("song2021", "data") >= of("sts", "data") > of("hosny2018", "data") > of("published", "10_published")


def test_chapters_with_divided_work_count_for_half_the_cores() -> None:
    assert [pipeline.threads_of("03_radiomics", cores) for cores in (1, 2, 3, 16)] == [1, 1, 2, 8]
    assert pipeline.threads_of("06_validation", 16) == 1
    assert [pipeline.threads_of("04_deep_features", 16, profile) for profile in ("demo", "paper")] == [1, 16]
    assert set(pipeline.DIVIDED) < set(pipeline.CHAPTERS)


def test_networks_are_trained_side_by_side_where_one_study_is_built_alone() -> None:
    assert [pipeline.jobs_of("04_deep_features", 2, alone) for alone in (True, False)] == [2, 1]
    assert [pipeline.jobs_of("03_radiomics", 4, alone) for alone in (True, False)] == [4, 4]
    assert pipeline.jobs_of("06_validation", 4, alone=True) == 1


@pytest.mark.parametrize(("study", "side"), [("cui2022", "patch"), ("yang2023", "box_mm")])
def test_a_full_run_draws_scans_that_hold_what_its_network_sees(study: str, side: str, root: Path) -> None:
    full, demo = (load_study(study, profile, root / "studies") for profile in ("paper", "demo"))
    seen = np.max(getattr(full.deep, side))  # mm: a full run has voxels of one
    assert demo.synthetic.anatomy.field_mm < seen <= full.synthetic.anatomy.field_mm
    assert "studies/radiomics/song2021.yaml" in pipeline.own_inputs("song2021", "04_deep_features")
    assert "scans of the profile paper" in pipeline._source(study, "paper")[1]
    assert "scans of the profile paper" not in pipeline._source(study)[1]


def test_a_chapter_is_out_of_date_when_what_draws_its_page_changes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    inputs = pipeline.chapter_inputs("song2021", "06_validation")
    assert {"radsupport/book/show.py", "radsupport/plots/prediction.py", "radsupport/book/sort.js"} <= set(inputs)
    assert "radsupport/book/conclusions/validation.py" in inputs
    assert "radsupport/book/conclusions/survival.py" in pipeline.chapter_inputs("song2021", "07_survival")
    assert "radsupport/book/site.py" not in inputs
    assert {"radsupport/book/site.py", "radsupport/book/build.py"} <= set(pipeline.book_sources())


def test_missing_weights_stop_a_study_before_its_first_chapter(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "studies").symlink_to(root / "studies")
    monkeypatch.setattr(pipeline.datasets, "prepare", lambda *a, **k: pytest.fail("patients were made"))
    monkeypatch.setattr("radsupport.networks.resnet.imagenet_file", lambda *a, **k: None)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["build", "data", "yang2023", "--profile", "paper"])
    assert pipeline.main() == 1
    assert "radsupport fetch weights" in capsys.readouterr().err
