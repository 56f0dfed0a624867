"""The house keeps to its plan: import contracts, limits, names, reached code; and the checks themselves find faults."""

from __future__ import annotations

import ast
from pathlib import Path
from types import ModuleType

import pytest
from helpers.scripts import load_script
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports
from nbformat import write
from nbformat.v4 import new_code_cell, new_notebook


@pytest.fixture(scope="module")
def house(root: Path) -> ModuleType:
    return load_script(root / "tools" / "house.py")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A project of one room, one notebook and nothing wrong."""
    (tmp_path / "radsupport" / "stats").mkdir(parents=True)
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "Snakefile").write_text("build.chapters_of()\n")
    put(tmp_path, "radsupport/stats/__init__.py", '"""Room."""\n\n__all__ = ["mean"]\n')
    put(
        tmp_path,
        "radsupport/stats/means.py",
        '"""Means."""\n\n\ndef mean(x):\n    """One."""\n    return sum(x) / len(x)\n',
    )
    cells = ["from radsupport import stats", "stats.mean([1])", "1", "2"]
    write(new_notebook(cells=[new_code_cell(cell) for cell in cells]), tmp_path / "notebooks" / "01_x.ipynb")
    return tmp_path


def put(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text, encoding="utf-8")


def test_imports_keep_their_contracts(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    monkeypatch.setattr("importlinter.cli._configure_logging", lambda verbose: None)  # it would silence all loggers
    assert lint_imports(no_cache=True, no_logo=True) == EXIT_STATUS_SUCCESS


def test_the_house_has_no_fault(house: ModuleType, root: Path) -> None:
    assert house.faults(root) == []


def test_a_small_house_has_none_either(house: ModuleType, small: Path) -> None:
    assert house.faults(small) == []
    assert house.counts(small)["lines of code"] == 3
    assert house.rooms(small) == {"stats": ["mean"]}


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("def mean(study):\n    return study\n", "mean takes a study"),
        ("def mean(x):\n    return f'The mean of {x} is high.'\n", "mean returns a sentence"),
        ("def mean(x):\n    return x\n\n\ndef other(x):\n    return x\n", "unused function 'other'"),
        ("def mean(x):\n" + "    x += 1\n" * 31 + "    return x\n", "percent of functions over 30 lines"),
        ("def mean(x):\n    return x\n" + "# line\n" * 600, "lines of the longest file"),
    ],
)
def test_a_fault_in_a_module_is_named(house: ModuleType, small: Path, code: str, fault: str) -> None:
    put(small, "radsupport/stats/means.py", code)
    assert [line for line in house.faults(small) if fault in line]


@pytest.mark.parametrize(
    ("cells", "fault"),
    [
        (["from radsupport.stats.means import mean"], "imports radsupport.stats.means, not a room"),
        (["from radsupport import stats", "if stats.mean([1]):\n    x = 1 if 2 else 3"], "branches per three cells"),
        (
            ["from radsupport import stats", *(f"stats.name_{i}" for i in range(41))],
            "names of the package in a notebook",
        ),
        (["from radsupport import stats", 'stats.mean([1] * 2)\n"more" * False'], "branches per three cells"),
        (["from radsupport import stats", *["stats.mean([1])"] * 8], "calls per call to a known library"),
        (["from radsupport import stats", *["stats.mean([1])"] * 8], "01_x.ipynb: one call in 8.0 goes to a library"),
    ],
)
def test_a_fault_in_a_notebook_is_named(house: ModuleType, small: Path, cells: list[str], fault: str) -> None:
    cells = [*cells, "stats.mean"]
    write(new_notebook(cells=[new_code_cell(cell) for cell in cells]), small / "notebooks" / "01_x.ipynb")
    assert [line for line in house.faults(small) if fault in line]


def test_a_name_without_meaning_is_refused(house: ModuleType, small: Path) -> None:
    put(small, "radsupport/stats/steps_cox.py", "mean = 1\n")
    assert any("does not say what the file is about" in line for line in house.faults(small))


def test_calls_go_to_known_libraries_to_the_package_or_to_python(house: ModuleType) -> None:
    cells = [
        "import pandas as pd\nfrom sklearn.metrics import roc_auc_score\nfrom radsupport import book, evaluate as ev",
        "say, chapter = book.conclusions.cohort, 1\nchapter = book.begin('x', globals())",
        "rows = ev.judged(chapter.read('p'))",  # two of the package, besides begin
        "pd.concat([rows]).groupby('a').agg(n='size')",  # three of pandas
        "roc_auc_score(rows['label'], rows['risk'])",  # one of scikit-learn
        "len(rows), {}.items(), 'a'.replace('a', 'b')",  # of Python
        "say.words(rows)",  # of the package
        "rows.pairs()",  # a class of the package has it
        "ev.judged(rows).reset_index()",  # one of each
    ]
    assert house.calls(cells, {"pairs", "agg"}) == (4, 7)
    assert house.calls(cells, {"pairs"}) == (5, 6)
    assert house.calls_per_known_call(cells, {"pairs"}) == 11 / 5


def test_a_method_that_could_be_python_s_or_the_package_s_is_nobody_s(house: ModuleType, root: Path) -> None:
    pandas = house.known_methods(house.own_methods(root))
    assert {"groupby", "merge", "assign", "sort_values"} <= pandas
    assert not {"items", "replace", "index", "join", "transform", "pairs"} & pandas


@pytest.mark.parametrize(
    ("code", "count"),
    [
        ("x = 1 if y else 2", 1),
        ("if x:\n    y", 1),
        ("rows[[label] * len(rows)]", 1),
        ("f'{x} more' * bool(x)", 1),
        ("'-' * 3", 1),
        ("2 * x", 0),
        ("[x for x in y if x]", 0),
    ],
)
def test_branches_are_counted_where_they_hide(house: ModuleType, code: str, count: int) -> None:
    assert house.branches([code]) == count


def test_conclusions_by_another_name_count_as_names(house: ModuleType) -> None:
    cells = [
        "from radsupport import book, evaluate as ev",
        "say = book.conclusions.survival",
        "say.groups(ev.judged(1))",
    ]
    assert house.notebook_names(cells) == {"book.conclusions.survival.groups", "evaluate.judged"}


def test_code_lines_leave_out_words(house: ModuleType) -> None:
    source = (
        '"""Doc\nof two lines."""\n\nx = (1,\n     2)  # three\n# alone\n\n\ndef f():\n    """Doc."""\n    return x\n'
    )
    assert house.code_lines(source) == 4


def test_no_room_repeats_its_names(house: ModuleType, root: Path) -> None:
    for room, names in house.rooms(root).items():
        assert len(names) == len(set(names)), room
        init = root / "radsupport" / room / "__init__.py"
        assert ast.get_docstring(ast.parse(init.read_text(encoding="utf-8"))), room
