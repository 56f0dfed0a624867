"""The notebooks as they are committed: stripped, parameterised, without functions, in short cells."""

from __future__ import annotations

import ast
import inspect
import json
from importlib import import_module
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest

from radsupport.book.parameters import PARAMETERS
from radsupport.book.staging import read_source
from radsupport.study import load_study, study_ids

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request: pytest.FixtureRequest) -> tuple[str, Any]:
    return request.param.stem, nbformat.read(request.param, as_version=4)


def code(cells: Any) -> list[Any]:
    return [cell for cell in cells if cell.cell_type == "code"]


def test_every_chapter_has_a_notebook() -> None:
    assert {path.stem for path in NOTEBOOKS} == set(PARAMETERS)


def test_no_outputs_are_committed(notebook: tuple[str, Any]) -> None:
    _, content = notebook
    assert all(not cell.outputs and cell.execution_count is None for cell in code(content.cells))
    assert content.metadata.language_info.name == "python"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_cells_are_kept_line_by_line_so_that_changes_can_be_read(path: Path) -> None:
    assert all(isinstance(cell["source"], list) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"])


def test_one_parameters_cell_that_holds_the_valid_parameters(notebook: tuple[str, Any]) -> None:
    name, content = notebook
    tagged = [cell for cell in content.cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1
    assigned = [t.id for node in ast.parse(tagged[0].source).body for t in node.targets]
    assert set(assigned) == set(PARAMETERS[name])
    assert all("#" in line for line in tagged[0].source.splitlines() if line.strip())
    assert set(papermill.inspect_notebook(str(FOLDER / f"{name}.ipynb"))) == set(assigned)  # `-p` knows them all


@pytest.mark.parametrize("tag", ["training", "paper"])
def test_cells_that_a_study_runs_need_no_name_of_those_it_leaves_out(notebook: tuple[str, Any], tag: str) -> None:
    _, content = notebook
    tagged = {False: set[str](), True: set[str]()}
    used: set[str] = set()
    for cell in code(content.cells):
        training = tag in cell.metadata.get("tags", [])
        nodes = list(ast.walk(ast.parse(cell.source)))
        names = [node for node in nodes if isinstance(node, ast.Name)]
        tagged[training] |= {node.arg for node in nodes if isinstance(node, ast.arg)}
        tagged[training] |= {one.id for one in names if isinstance(one.ctx, ast.Store)}
        used |= set() if training else {one.id for one in names if isinstance(one.ctx, ast.Load)}
    assert not used & (tagged[True] - tagged[False])


def test_cells_are_short_and_define_at_most_a_small_helper(notebook: tuple[str, Any]) -> None:
    _, content = notebook
    for cell in code(content.cells):
        assert cell.source.count("\n") < 18, cell.source
        defined = [n for n in ast.walk(ast.parse(cell.source)) if isinstance(n, ast.FunctionDef | ast.ClassDef)]
        for node in defined:
            assert isinstance(node, ast.FunctionDef), cell.source
            assert (node.end_lineno or 0) - node.lineno < 8, cell.source


def test_text_stands_before_the_code_that_it_explains(notebook: tuple[str, Any]) -> None:
    _, content = notebook
    kinds = [cell.cell_type for cell in content.cells]
    assert kinds[0] == "markdown"
    assert kinds.count("markdown") >= 3
    assert content.cells[0].source.startswith("# ")


def calls(source: str) -> list[tuple[str, str, ast.Call]]:
    """Return room, name and call of everything that a notebook calls of a room or of its chapter's conclusions."""
    tree = ast.parse(source)
    named = {ast.unparse(n.targets[0]): ast.unparse(n.value) for n in ast.walk(tree) if isinstance(n, ast.Assign)}
    found = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)]
    own = [(named.get(ast.unparse(n.func.value), ast.unparse(n.func.value)), n.func.attr, n) for n in found]
    rooms = {alias.name for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for alias in n.names}
    return [(place, name, call) for place, name, call in own if place.split(".")[0] in rooms]


def test_rooms_are_called_with_arguments_that_they_have(notebook: tuple[str, Any]) -> None:
    _, content = notebook
    drawn = {"facet", "names", "columns", "size", "title", "ax"}  # of every figure
    for place, name, call in calls("\n".join(cell.source for cell in code(content.cells))):
        try:
            room = import_module(f"radsupport.{place}")
        except ModuleNotFoundError:  # pandas and its like, or an object
            continue
        parameters = inspect.signature(inspect.unwrap(getattr(room, name))).parameters
        if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            given = {k.arg for k in call.keywords if k.arg} - (drawn if place == "plots" else set())
            assert given <= set(parameters), f"{place}.{name}"


def test_a_chapter_of_a_study_has_a_short_answer_and_a_key_figure(notebook: tuple[str, Any]) -> None:
    name, content = notebook
    tags = [tag for cell in content.cells for tag in cell.metadata.get("tags", [])]
    if "profile" in PARAMETERS[name] and name != "11_change":
        assert tags.count("first") == 1
        assert tags.count("key-figure") >= 1
        assert sum("chapter.in_short(" in cell.source for cell in content.cells) == 1
    headings = [cell for cell in content.cells if {"first", "more"} & set(cell.metadata.get("tags", []))]
    assert all(cell.cell_type == "markdown" and cell.source.startswith("##") for cell in headings)


def test_what_a_paper_says_stands_on_pages_of_studies_that_quote_one() -> None:
    headings = {}
    for name in study_ids(FOLDER.parent / "studies"):
        study = load_study(name, folder=FOLDER.parent / "studies")
        for path in NOTEBOOKS[:8]:
            cells = read_source(path, study).cells
            headings[name, path.stem] = [cell for cell in cells if "paper" in cell.metadata.get("tags", [])]
    assert len(headings["song2021", "01_cohort"]) == 2
    assert {name for (name, _), cells in headings.items() if cells} == {
        "song2021", "yang2023", "gu2023", "cui2022", "hosny2018",
    }  # fmt: skip
