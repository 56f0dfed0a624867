"""Whose results a chapter reads and writes: the book's values stay, and results of two runs are never mixed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from radsupport.book import runs, site
from radsupport.book.chapter import Chapter, begin_without_study, opening
from radsupport.book.parameters import PARAMETERS, SHOWN_ONLY
from radsupport.book.show import save_figures_to
from radsupport.errors import ContractError, ParameterError


@pytest.fixture
def here(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in which chapters 01 to 06 of one study were built."""
    shutil.copytree(root / "studies", tmp_path / "studies")
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as building:
        building.setenv(runs.BUILDS, "1")
        for name in [*runs.earlier("06_validation"), "06_validation"]:
            run(name, 0.7)
    folder = tmp_path / "results/hosny2018/notebooks"
    folder.mkdir()
    nbformat.write(new_notebook(cells=[new_markdown_cell("# A")]), folder / "05_modelling.ipynb")
    return tmp_path


def opened(name: str, **parameters: Any) -> Chapter:
    parameters = {"study": "hosny2018"} | parameters
    cell = "\n".join(f"{key} = {value!r}" for key, value in parameters.items() if not callable(value))
    cell += "".join(f"\n{key} = None" for key, value in parameters.items() if callable(value))
    return opening(name, {"In": ["", cell, "chapter = book.begin()"], **parameters})[0]


def run(name: str, value: float, **parameters: Any) -> Chapter:
    """Run a chapter that writes its value, and reads what chapter 05 predicted."""
    chapter = opened(name, **parameters)
    if name == "05_modelling":
        chapter.write(predictions(value), "predictions")
    if name > "05_modelling":
        value = float(chapter.read("predictions")["risk"].iloc[0])
    chapter.publish("auc", value)
    chapter.finish()
    return chapter


def predictions(risk: float) -> pd.DataFrame:
    row = {"subject": "a", "cohort": "train", "signature": "S", "kind": "out_of_fold", "fold": 0.0, "risk": risk}
    return pd.DataFrame([row | {"label": 1.0}])


def value(folder: Path, name: str) -> float:
    return json.loads((folder / f"{name}.json").read_text())["numbers"]["auc"]["value"]


def content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_another_parameter_has_a_folder_of_its_own_and_the_book_keeps_its_values(here: Path) -> None:
    book = here / "results/hosny2018"
    before = content(book)
    assert run("05_modelling", 0.9, n_folds=3).paths.results.name == "hosny2018@n_folds-3"
    assert run("06_validation", 0.0).paths.results.name == "hosny2018@by_hand"
    assert value(here / "results/hosny2018@by_hand", "06_validation") == 0.7
    later = run("06_validation", 0.0, study="hosny2018@n_folds-3")
    assert later.paths.results == here / "results/hosny2018@n_folds-3"
    assert value(later.paths.results, "06_validation") == 0.9
    assert content(book) == before
    runs.refuse_mixtures(book, runs.UPSTREAM)
    runs.refuse_mixtures(later.paths.results, runs.UPSTREAM)


def test_runs_are_named_by_what_differs(here: Path) -> None:
    def rule(rows: pd.DataFrame) -> float:
        return 0.3

    names = {
        opened("06_validation", **given).paths.results.name
        for given in ({}, {"threshold": 0.4}, {"threshold": 0.45}, {"threshold": rule}, {"threshold": "median"})
    }
    assert len(names) == 5
    assert {"hosny2018@by_hand", "hosny2018@threshold-0.4", "hosny2018@threshold-median"} <= names
    assert opened("06_validation", threshold="youden").paths.results.name == "hosny2018@by_hand"  # as in the file
    both = opened("06_validation", study="hosny2018@threshold-0.4", threshold=0.4, n_bootstrap=7)
    assert both.paths.results.name == "hosny2018@threshold-0.4@n_bootstrap-7"
    assert both.paths.cache == here / "results/hosny2018/cache"


def test_a_run_is_refused_without_its_own_parameters_or_under_another_name(here: Path) -> None:
    run("05_modelling", 0.9, n_folds=3)
    for given in ({}, {"n_folds": 4}):
        with pytest.raises(ParameterError, match="n_folds-3"):
            opened("05_modelling", study="hosny2018@n_folds-3", **given)
    with pytest.raises(ParameterError, match=r"one of .*hosny2018@n_folds-3"):
        opened("06_validation", study="hosny2018@n_fold-3")


def test_results_that_were_not_built_on_one_another_are_refused_by_name(here: Path) -> None:
    book, other = here / "results/hosny2018", run("05_modelling", 0.9, n_folds=3).paths.results
    for name in ("05_modelling.json", "predictions.parquet"):
        shutil.copy(other / name, book / name)
    with pytest.raises(ContractError) as caught:
        opened("07_survival")
    text = str(caught.value)
    assert "05_modelling belongs to the run hosny2018@n_folds-3" in text
    assert "06_validation was built on 05_modelling of hosny2018 (parameters of the study file)" in text
    assert "here lies 05_modelling of hosny2018@n_folds-3 (n_folds = 3)" in text
    with pytest.raises(ContractError, match="do not belong together"):
        site.build(here / "book", ["hosny2018"], {}, here / "log")


def test_a_table_that_was_replaced_is_refused(here: Path) -> None:
    predictions(0.1).to_parquet(here / "results/hosny2018/predictions.parquet")
    with pytest.raises(ContractError, match=r"05_modelling wrote a predictions\.parquet"):
        opened("06_validation")
    with pytest.raises(ContractError, match=r"06_validation was built on a predictions\.parquet"):
        opened("07_survival")


def test_a_changed_study_file_or_profile_is_no_mixture(here: Path) -> None:
    with pytest.raises(ContractError, match=r"05_modelling was run with the profile of demo, this chapter .* paper"):
        opened("06_validation", profile="paper")
    file = here / "studies/hosny2018.yaml"
    file.write_text(file.read_text(encoding="utf-8") + "# changed\n", encoding="utf-8")
    with pytest.raises(ContractError, match="05_modelling was run with the study file of sha256") as caught:
        opened("06_validation")
    assert "01_cohort" not in str(caught.value)  # knows nothing of a remark
    opened("05_modelling")
    file.write_text(file.read_text(encoding="utf-8").replace("seed: 2018", "seed: 2019") + "\n", encoding="utf-8")
    with pytest.raises(ContractError, match="01_cohort was run with the study file of sha256"):
        opened("05_modelling")


def test_chapters_before_the_modelling_are_given_nothing_of_it(here: Path) -> None:
    early, late = (opened(name).study for name in ("01_cohort", "05_modelling"))
    assert late.modelling.repeats != early.modelling.repeats or late.validation != early.validation
    assert early.validation == type(late.validation)()
    assert early.nomogram == type(late.nomogram)()
    assert early.modelling.folds == late.modelling.folds
    assert [one.sources for one in early.signatures] == [one.sources for one in late.signatures]


def test_copies_follow_the_book_and_what_the_run_made_stays(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hand = run("06_validation", 0.0).paths.results
    with monkeypatch.context() as building:
        building.setenv(runs.BUILDS, "1")
        run("05_modelling", 0.8)
        run("06_validation", 0.8)
    run("06_validation", 0.0)
    assert value(hand, "06_validation") == 0.8
    run("05_modelling", 0.9, study="hosny2018@by_hand")
    with pytest.raises(ContractError, match="06_validation was built on 05_modelling of hosny2018 "):
        opened("07_survival", study="hosny2018@by_hand")
    run("06_validation", 0.0, study="hosny2018@by_hand")
    assert value(hand, "06_validation") == 0.9


def test_the_build_refuses_parameters_that_are_not_the_study_files(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(runs.BUILDS, "1")
    for given, key in (({"n_folds": 3}, "modelling.folds"), ({"study": "hosny2018@n_folds-3"}, "hosny2018")):
        with pytest.raises(ParameterError, match=key):
            opened("05_modelling", **given)
    assert opened("05_modelling", n_folds=5).paths.results == here / "results/hosny2018"


def test_pages_are_made_of_what_the_build_executed(here: Path) -> None:
    path = here / "results/hosny2018/notebooks/05_modelling.ipynb"
    executed = new_notebook(cells=[new_markdown_cell("# A"), new_code_cell("1")])
    executed.metadata["papermill"] = {"parameters": {"study": "hosny2018", "n_folds": 3}}
    nbformat.write(executed, path)
    with pytest.raises(ContractError, match=r"05_modelling\.ipynb.*n_folds"):
        site.build(here / "book", ["hosny2018"], {}, here / "log")


def test_a_notebook_without_study_keeps_off_the_book_too(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = here / "results/hosny2018/figures"
    given = {"In": ["", "study = 'published'"], "study": "published"}
    assert begin_without_study("10_published", given, figures).name == "hosny2018@by_hand"
    monkeypatch.setenv(runs.BUILDS, "1")
    assert begin_without_study("10_published", given, figures) == figures.parent
    save_figures_to(None)


def test_defaults_of_parameters_that_only_show_are_those_of_the_notebooks(root: Path) -> None:
    for name, default in SHOWN_ONLY.items():
        chapters = [chapter for chapter, known in PARAMETERS.items() if name in known]
        for chapter in chapters:
            assert f"{name} = {json.dumps(default)}" in "\n".join(
                cell.source for cell in nbformat.read(root / f"notebooks/{chapter}.ipynb", as_version=4).cells
            )
