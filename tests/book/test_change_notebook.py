"""The page that changes the analysis: its changes work, what it says of chapters is true, it keeps the results."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from sklearn.ensemble import RandomForestClassifier

from radsupport.book import build, site, staging
from radsupport.book.chapter import begin
from radsupport.errors import ParameterError

ROOT = Path(__file__).resolve().parents[2]
PAGE = nbformat.read(ROOT / "notebooks" / "11_change.ipynb", as_version=4)


def sources(chapter: str) -> str:
    cells = json.loads((ROOT / "notebooks" / f"{chapter}.ipynb").read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


def blocks() -> list[str]:
    """Return the lines before and after that the page shows."""
    text = "\n".join(cell.source for cell in PAGE.cells if cell.cell_type == "markdown")
    return re.findall(r"```python\n(.*?)```", text, flags=re.S)


def test_each_of_the_four_changes_has_two_lines_before_and_two_after() -> None:
    found = blocks()
    assert len(found) == 8
    for block in found:
        assert block.count("\n") == 2
        compile(block, "<block>", "exec")


@pytest.mark.parametrize(
    ("chapter", "line"),
    [
        ("06_validation", "cut = evaluate.threshold(rows, rule=threshold"),
        ("07_survival", "cut = evaluate.threshold(rows, rule=threshold"),
        ("07_survival", "evaluate.regression.cox_data("),
        ("05_modelling", "learners=learners"),
        ("06_validation", "plots.roc("),
    ],
)
def test_the_lines_before_are_those_of_the_chapters(chapter: str, line: str) -> None:
    assert line in sources(chapter)


@pytest.mark.parametrize(
    ("chapter", "name"),
    [("06_validation", "threshold"), ("07_survival", "threshold"), ("07_survival", "covariates"),
     ("05_modelling", "learners")],
)  # fmt: skip
def test_what_is_changed_is_a_parameter_of_the_chapter(chapter: str, name: str) -> None:
    assert re.search(rf"^{name} = None  # ", sources(chapter), flags=re.M)


def test_the_page_writes_no_table_of_the_book_and_publishes_nothing() -> None:
    code = "\n".join(cell.source for cell in PAGE.cells if cell.cell_type == "code")
    assert not re.search(r"chapter\.(write|publish)|to_csv|to_parquet|write_text", code)


def test_it_belongs_to_one_study_and_stands_with_the_pages_for_every_study(tmp_path: Path, monkeypatch: Any) -> None:
    assert build.chapters_of(build.CHANGED_STUDY)[-1] == build.CHANGE == site.CHANGE
    assert build.CHANGE not in build.chapters_of("hosny2018")
    monkeypatch.chdir(ROOT)
    chapters = {study: list(build.chapters_of(study)) for study in ("song2021", "hosny2018")}
    parts = site._contents(tmp_path, ["song2021", "hosny2018"], chapters)["parts"]
    assert {"file": "studies/song2021/11_change"} in parts[-1]["chapters"]
    assert "11_change" not in json.dumps(parts[:-1])
    with_papers = chapters | {"published": list(build.chapters_of("published"))}
    *_, papers, common = site._contents(tmp_path, ["song2021", "hosny2018"], with_papers)["parts"]
    assert papers["chapters"] == [{"file": "studies/published/10_published"}]
    assert {"file": "studies/published/12_ibsi"} in common["chapters"]


def test_its_code_is_not_folded() -> None:
    page = nbformat.from_dict(json.loads(json.dumps(PAGE)))
    tags = [
        cell.metadata["tags"] for cell in staging.prepare(page, "11_change", "x", "x").cells if cell.cell_type == "code"
    ]
    assert set(map(tuple, tags)) == {(), ("remove-cell",)}


@pytest.mark.parametrize(
    ("formula", "words"), [("bs(agee, df=3) + sex", "did you mean `age`"), ("bz(age) + sex", "bz"), ("age +", "age")]
)
def test_a_formula_that_can_not_be_read_stops_chapter_07_before_anything_runs(
    formula: str, words: str, monkeypatch: Any
) -> None:
    monkeypatch.chdir(ROOT)
    space = {"In": ["", "study = 'song2021'\ncovariates = 'x'", "begin()"], "study": "song2021", "covariates": formula}
    with pytest.raises(ParameterError, match=re.escape(words)):
        begin("07_survival", space)


def test_a_chapter_with_an_analyst_s_learners_opens_in_a_folder_of_its_own(tmp_path: Path, monkeypatch: Any) -> None:
    for name in ("studies", "notebooks", "data_manifest.csv"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "results" / "song2021" / "notebooks").mkdir(parents=True)
    (tmp_path / "results" / "song2021" / "notebooks" / "05_modelling.ipynb").write_text("{}")
    monkeypatch.chdir(tmp_path)
    mine = {"Woods": (RandomForestClassifier(), {"max_depth": [1, 2]})}
    space = {"In": ["", "study = 'song2021'\nlearners = None", "begin()"], "study": "song2021"}
    chapter = begin("05_modelling", space | {"learners": mine})
    assert chapter.paths.results.name.startswith("song2021@learners-")
    monkeypatch.setenv("RADSUPPORT_BUILDS_BOOK", "1")
    with pytest.raises(ParameterError, match=r"built with the study file's values(.|\n)*run the notebook by hand"):
        begin("05_modelling", space | {"learners": mine})
