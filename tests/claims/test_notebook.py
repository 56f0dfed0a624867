"""The notebook runs, writes only its own files, and keeps the rules for notebooks of this book."""

import re

import nbformat
import pytest


@pytest.fixture(scope="module")
def notebook(root):
    found = nbformat.read(root / "notebooks" / "10_published.ipynb", as_version=4)
    nbformat.validate(found)
    return found


def test_it_is_stripped_and_has_its_metadata(notebook):
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.metadata.language_info.name == "python"
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)


def test_one_cell_holds_the_parameters(notebook):
    tagged = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1
    names = re.findall(r"^(\w+) = ", tagged[0].source, flags=re.M)
    assert names == ["study", "verdicts_shown"]
    assert all("#" in line for line in tagged[0].source.splitlines())


def test_there_is_text_before_and_after_the_steps(notebook):
    kinds = [cell.cell_type for cell in notebook.cells]
    assert kinds[0] == "markdown"
    runs = re.findall("(?:c)+", "".join(kind[0] for kind in kinds))
    assert max(map(len, runs)) <= 2


def test_titles_are_unique(notebook):
    titles = re.findall(
        r"^#+ (.+)$", "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown"), flags=re.M
    )
    assert len(set(titles)) == len(titles)


def test_all_cells_run_and_write_only_the_chapters_files(notebook, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown, namespace = "does not hold", {}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            exec(cell.source.replace('verdicts_shown = "all"', f'verdicts_shown = "{shown}"'), namespace)
    written = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert all(path.startswith("results/published/") for path in written)
    assert "results/published/10_published.json" in written
    assert sum(path.endswith(".svg") for path in written) == 5
    assert set(namespace["claims"].shown_rows(namespace["results"], "Song2021", shown)["verdict"]) == {shown}
