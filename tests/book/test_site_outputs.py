"""Nothing that a notebook printed is lost on its page: executed cells beside the page that Sphinx makes of them."""

from __future__ import annotations

import copy
import html
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from helpers.site_folder import site_folder
from hypothesis import given
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from radsupport.book import site
from radsupport.book.staging import key_figures, prepare, reworded

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def stream(text: str, name: str = "stdout") -> Any:
    return new_output("stream", name=name, text=text)


def shown(data: dict[str, Any], kind: str = "display_data") -> Any:
    return new_output(kind, data=data)


#: Source, metadata and outputs of cells that a page could lose; the word that the page has to show.
ODD = {
    "finish last": ("print()\nchapter.finish()", {}, [stream("printed-first\n"), shown({"text/markdown": "**b**"})]),
    "injected": ("study = 'a'", {"tags": ["injected-parameters"]}, [stream("said-by-parameters\n")]),
    "parameters": ("study = 'a'", {"tags": ["parameters"]}, [stream("beside-parameters\n")]),
    "removed by tag": ("f()", {"tags": ["remove-cell", "remove-output"]}, [stream("behind-a-tag\n")]),
    "hidden by tag": ("f()", {"tags": ["hide-output", "remove_output"]}, [stream("under-a-fold\n")]),
    "myst": ("f()", {"mystnb": {"remove_code_outputs": True}}, [stream("despite-mystnb\n")]),
    "collapsed": ("f()", {"jupyter": {"outputs_hidden": True}, "collapsed": True}, [stream("collapsed-output\n")]),
    "warning": ("f()", {}, [stream("UserWarning: on-stderr\n", "stderr"), stream("after-warning\n")]),
    "html": ("f()", {}, [shown({"text/html": "<p>in-html</p>", "text/plain": "<HTML>"})]),
    "markdown": ("chapter.finish()", {}, [shown({"text/markdown": "in *markdown*-text", "text/plain": "<M>"})]),
    "latex": ("f()", {}, [shown({"text/latex": "latex-formula"})]),
    "figure": ("f()", {}, [shown({"text/html": f'<img alt="alt-words" src="data:image/png;base64,{PIXEL}">'})]),
    "picture": ("f()", {}, [shown({"image/png": PIXEL, "text/plain": "<Figure>"})]),
    "result": ("1", {}, [new_output("execute_result", data={"text/plain": "'a-result'"}, execution_count=1)]),
    "json": ("f()", {}, [shown({"application/json": {"key": "json-value"}})]),
    "widget": ("f()", {}, [shown({"application/vnd.jupyter.widget-view+json": {}, "text/plain": "widget-words"})]),
    "error": ("f()", {}, [new_output("error", ename="ValueError", evalue="error-words", traceback=["error-words"])]),
}  # fmt: skip


def notebook(cells: Any) -> Any:
    language = {"language_info": {"name": "python", "pygments_lexer": "python"}}
    return new_notebook(cells=[new_markdown_cell("# Title"), *cells], metadata=language)


def odd_notebook() -> Any:
    return notebook([new_code_cell(source, metadata=meta, outputs=out) for source, meta, out in ODD.values()])


def words_of(output: Any) -> set[str]:
    """Return the words of what a reader sees of an output."""
    data = output.get("data", {})
    best = next((data[k] for k in ("text/html", "text/markdown", "text/latex", "text/plain") if k in data), "")
    if not best and "application/json" in data:
        best = str(data["application/json"])
    if "image/png" in data:
        return set()
    text = best or output.get("text", "") or output.get("evalue", "")
    alt = " ".join(re.findall(r'alt="([^"]*)"', text))
    return set(re.findall(r"\w+", html.unescape(re.sub(r"<[^>]*>", " ", text)) + " " + alt))


@pytest.fixture
def project(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    site_folder(root, tmp_path)
    (tmp_path / "results/published/notebooks").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_page_shows_every_output_of_the_executed_notebook(project: Path) -> None:
    executed = odd_notebook()
    nbformat.write(executed, project / "results/published/notebooks/10_published.ipynb")
    site.build(project / "book", ["published"], {}, project / "log")
    static = project / "book/_build/html/_static"
    assert (static / "scripts/bootstrap.js").is_file()
    assert not [path for ending in ("*.map", "*.ttf", "*.po", "fontawesome.js") for path in static.rglob(ending)]
    page = (project / "book/_build/html/studies/published/10_published.html").read_text(encoding="utf-8")
    body = page[page.index("<article") : page.index("</article>")]
    alt = " ".join(re.findall(r'alt="([^"]*)"', body))
    seen = set(re.findall(r"\w+", html.unescape(re.sub(r"<[^>]*>", " ", body)) + " " + alt))
    for name, cell in zip(ODD, executed.cells[1:], strict=True):
        lost = set().union(*(words_of(output) for output in cell.outputs)) - seen
        assert not lost, f"{name}: {lost}"
    assert body.count("<img") == 2
    assert "raise" not in seen


def test_pages_that_stay_are_kept_and_the_site_is_that_of_a_new_build(project: Path) -> None:
    def built(new: bool = False) -> dict[str, bytes]:
        if new:
            (project / "book/_build/pages_made_by.txt").unlink()
        page = site.build(project / "book", ["published"], {}, project / "log")
        return {
            str(path.relative_to(page.parent)): path.read_bytes() for path in page.parent.rglob("*") if path.is_file()
        }

    chapter, term = "results/published/notebooks/{}.ipynb", "```{glossary}\nAUC\n  A number.\n```\n"
    (project / "book/glossary.md").write_text(f"(glossary)=\n# Terms\n\n{term}", encoding="utf-8")
    for name in ("10_published", "12_ibsi"):
        nbformat.write(notebook([new_markdown_cell("Some words.")]), project / chapter.format(name))
    first = built()
    read = (project / "book/_build/.doctrees/studies/published/12_ibsi.doctree").stat().st_mtime_ns
    nbformat.write(notebook([new_markdown_cell("Other words.")]), project / chapter.format("10_published"))
    words = built()
    changed = {name for name in first if words[name] != first[name]}
    assert {name for name in changed if name.endswith((".html", ".js"))} == {
        "studies/published/10_published.html", "searchindex.js",
    }  # fmt: skip
    assert (project / "book/_build/.doctrees/studies/published/12_ibsi.doctree").stat().st_mtime_ns == read
    page = notebook([])
    page.cells[0].source = "# Another title"
    nbformat.write(page, project / chapter.format("10_published"))
    titled = built()
    assert b"Another title" in titled["studies/published/12_ibsi.html"]  # it stands in the contents of all pages
    assert titled == built(new=True)


def test_icons_that_no_page_shows_are_left_out(tmp_path: Path) -> None:
    sheet = tmp_path / "_static/styles/pydata-sphinx-theme.css"
    sheet.parent.mkdir(parents=True)
    rules = (
        '.fa-sun:before{content:"\\f185"}',
        '.fa-a:before,.fa-bars:before{--fa:"\\f0c9"}',
        '.fa-dog:before{content:"\\f6d3"}',
    )
    sheet.write_text(".fa-solid{a:b}" + "".join(rules) + ".x:before{content:''}", encoding="utf-8")
    (tmp_path / "a.html").write_text('<i class="fa-solid fa-bars">', encoding="utf-8")
    (tmp_path / "_static/b.js").write_text('add("fa-sun")', encoding="utf-8")
    site._drop_icons(tmp_path)
    assert sheet.read_text("utf-8") == f".fa-solid{{a:b}}{rules[0]}{rules[1]}.x:before{{content:''}}"


def test_words_that_changed_after_the_run_are_those_of_the_page(tmp_path: Path) -> None:
    tags = {"tags": ["parameters"]}
    first, second = new_code_cell("study = 'a'", metadata=tags), new_code_cell("f()")
    ran = [new_code_cell(cell.source, outputs=[stream(f"out-{i}")]) for i, cell in enumerate((first, second))]
    ran.insert(1, new_code_cell("study = 'sts'", metadata={"tags": ["injected-parameters"]}))
    executed = notebook([ran[0], ran[1], new_markdown_cell("old words"), ran[2]])
    source = tmp_path / "06_validation.ipynb"
    words = [new_markdown_cell(f"new {i}") for i in range(3)]
    nbformat.write(notebook([words[0], first, words[1], second, words[2]]), source)
    staged = reworded(copy.deepcopy(executed), source).cells[1:]
    assert [cell.source for cell in staged] == ["new 0", *(c.source for c in ran[:2]), "new 1", "f()", "new 2"]
    assert [cell.outputs for cell in staged if cell.cell_type == "code"] == [cell.outputs for cell in ran]
    short = notebook([ran[0], ran[1]])  # ran other code than the source has
    assert reworded(copy.deepcopy(short), source) == short
    nbformat.write(notebook([first, new_code_cell("other()")]), source)
    assert reworded(copy.deepcopy(executed), source) == executed
    assert reworded(copy.deepcopy(executed), tmp_path / "none.ipynb") == executed


outputs = st.one_of(
    st.builds(stream, st.text(min_size=1), st.sampled_from(["stdout", "stderr"])),
    st.builds(
        shown, st.dictionaries(st.sampled_from(["text/html", "text/plain", "text/markdown"]), st.text(), min_size=1)
    ),
)
tags = st.lists(
    st.sampled_from(["parameters", "injected-parameters", "remove-cell", "remove-output", "hide-cell"]), unique=True
)
sources = st.sampled_from(["f()", "chapter.finish()", "print(1)\nchapter.finish()", "", "study = 'a'"])


@given(st.lists(st.tuples(sources, tags, st.lists(outputs, max_size=3)), max_size=4))
def test_staging_changes_no_output_and_hides_none(cells: list[tuple[str, list[str], list[Any]]]) -> None:
    made = [new_code_cell(source, metadata={"tags": tag}, outputs=out) for source, tag, out in cells]
    executed = notebook(made)
    staged = prepare(copy.deepcopy(executed), "06_validation", "sts", "sts")
    assert [cell.get("outputs") for cell in staged.cells] == [cell.get("outputs") for cell in executed.cells]
    for cell in staged.cells[1:]:
        assert cell.metadata["tags"] == ["on-demand"] if cell.outputs else cell.metadata["tags"]
        assert not cell.outputs or "remove-cell" not in cell.metadata["tags"]


sections = st.lists(st.tuples(st.sampled_from(["first", "more", ""]), st.booleans()), max_size=5)


@given(sections)
def test_the_short_answer_and_the_key_figure_stand_first_and_nothing_is_lost(found: list[tuple[str, bool]]) -> None:
    figure = shown({"text/html": "<figure>f</figure>"})
    made = [new_code_cell("begin()", outputs=[stream("banner")])]
    for i, (tag, key) in enumerate(found):
        made.append(new_markdown_cell(f"## {i}", metadata={"tags": [tag] if tag else []}))
        outputs = [stream(f"out-{i}"), *[figure] * key]
        made.append(new_code_cell("f()", metadata={"tags": ["key-figure"] * key}, outputs=outputs))
    staged = prepare(notebook(made), "06_validation", "sts", "sts")
    order = [int(cell.source[3:].split()[0]) for cell in staged.cells if cell.source.startswith("## ")]
    assert order == sorted(range(len(found)), key=lambda i: found[i][0] != "first")
    folded = [cell.source.startswith("## ") and "rs-more" in cell.source for cell in staged.cells]
    assert sum(folded) == sum(tag == "more" for tag, _ in found)
    said = [one.text for cell in staged.cells for one in cell.get("outputs", []) if one.output_type == "stream"]
    assert said == ["banner", *(f"out-{i}" for i in order)]
    drawn = [one for cell in staged.cells for one in cell.get("outputs", []) if one == figure]
    assert len(drawn) == sum(key for _, key in found) + bool("first" in dict(found) and any(key for _, key in found))
    assert len(key_figures(staged)) == sum(key for _, key in found)
