"""What becomes of an executed notebook on its page: the short answer first, details folded, code on demand.

Sections are told by tags of the Markdown cell with their heading: `FIRST` puts a section behind the opening, `MORE`
folds it (``_static/book.js``; without script, and in print, it is open). The figure of a code cell tagged `KEY` is
shown with the short answer as well, and on the study's first page. Every output stays.
"""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import nbformat

from radsupport.book.text import relative
from radsupport.settings.study import Study

FIRST, MORE, KEY = "first", "more", "key-figure"
#: Tag of the cells that need patients whom something is fitted to.
TRAINING = "training"
#: Tag of the cells that show what a paper printed.
PAPER = "paper"
_KEPT = re.compile(r"<figure|data-nomogram")
#: Metadata of a cell that would hide what it printed.
_HIDING = ("mystnb", "jupyter", "collapsed", "scrolled")
#: Parts of an output that are plain text, which names files of this machine.
_PLAIN = {"text", "evalue", "traceback", "text/plain", "text/markdown"}
#: Kinds of data that a page can show.
_SHOWN = {
    "text/html", "text/markdown", "text/latex", "text/plain", "image/svg+xml", "image/png", "image/jpeg", "image/gif",
}  # fmt: skip
#: Tag of a cell whose code shows when the switch of its page is on (``_static/book.css``).
ON_DEMAND = "on-demand"
#: The page whose code is what it shows.
CHANGE = "11_change"


def read_source(source: Path, study: Study | None) -> Any:
    """Return a notebook's source without the cells that a study has no use for.

    These are cells tagged `TRAINING` where it validates a locked model, and `PAPER` where it quotes nothing in print.
    """
    notebook = nbformat.read(source, as_version=4)
    if study is not None:
        left_out = set([TRAINING] * bool(study.model) + [PAPER] * (not study.quotes_print))
        notebook.cells = [cell for cell in notebook.cells if not left_out & set(_tags(cell))]
    return notebook


def reworded(executed: Any, source: Path, study: Study | None = None) -> Any:
    """Give an executed notebook the Markdown that its source has now; as it is where it ran other code than that."""
    if not source.is_file():
        return executed
    ran: list[list[Any]] = []
    for cell in (cell for cell in executed.cells if cell.cell_type != "markdown"):
        if ran and "injected-parameters" in cell.metadata.get("tags", []):
            ran[-1].append(cell)
        else:
            ran.append([cell])
    cells = read_source(source, study).cells
    if [own[0].source for own in ran] != [cell.source for cell in cells if cell.cell_type != "markdown"]:
        return executed
    left = iter(ran)
    executed.cells = [one for cell in cells for one in ([cell] if cell.cell_type == "markdown" else next(left))]
    return executed


def prepare(notebook: Any, chapter: str, study: str, title: str) -> Any:
    """Give a notebook a title and label of its study, mark its code, arrange its sections; every output stays.

    Figures and sections of two studies made from one notebook would otherwise share their labels,
    and cross-references would lead to the wrong study.
    """
    notebook.metadata.pop("papermill", None)
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        if cell.cell_type == "code":
            tag, key = _display_tag(cell), [KEY] * (KEY in _tags(cell))
            cell.metadata = {key: cell.metadata[key] for key in cell.metadata if key not in _HIDING}
            cell.metadata["tags"] = [*([] if chapter == CHANGE and tag == ON_DEMAND else [tag]), *key]
            cell.outputs = [_readable(output) for output in cell.outputs]
    first = next(cell for cell in notebook.cells if cell.cell_type == "markdown")
    heading = rf"# \1 — {title}" if title else r"# \1"
    first.source = f"({study}-{chapter})=\n" + re.sub(r"^# (.+)$", heading, first.source, count=1, flags=re.M)
    notebook.cells = _arranged(notebook.cells)
    return notebook


def key_figures(notebook: Any) -> list[str]:
    """Return the figures of the cells tagged `KEY`, each cell's first, and the calculator, as HTML."""
    return ["".join(figure["data"]["text/html"]) for figure in _key_outputs(notebook.cells)]


def _key_outputs(cells: list[Any]) -> list[Any]:
    keys = [cell for cell in cells if cell.cell_type == "code" and KEY in _tags(cell)]
    figures = (
        [one for one in cell.outputs if _KEPT.search("".join(one.get("data", {}).get("text/html", "")))]
        for cell in keys
    )
    return [own[0] for own in figures if own]


def _arranged(cells: list[Any]) -> list[Any]:
    """Put the sections tagged `FIRST`, with the key figure, behind the opening, and mark those that are folded."""
    sections: list[list[Any]] = [[]]
    for cell in cells:
        if cell.cell_type == "markdown" and cell.source.startswith("##"):
            sections.append([])
        sections[-1].append(cell)
    opening, *others = sections
    first = [cell for section in others if FIRST in _tags(section[0]) for cell in section]
    for heading in (section[0] for section in others if MORE in _tags(section[0])):
        heading.source += '\n\n<span class="rs-more"></span>'
    if first:
        first[1].outputs += copy.deepcopy(_key_outputs(cells)[:1])
    return [*opening, *first, *(cell for section in others if FIRST not in _tags(section[0]) for cell in section)]


def _tags(cell: Any) -> list[str]:
    return list(cell.metadata.get("tags", []))


def _display_tag(cell: Any) -> str:
    """Return how a code cell shows: when its page's switch is on; never where it has no output and sets nothing up."""
    machinery = "injected-parameters" in cell.metadata.get("tags", []) or ".finish()" in cell.source
    return "remove-cell" if machinery and not cell.outputs else ON_DEMAND


def _readable(output: Any) -> Any:
    """Return an output in kinds of data that a page shows; what has none of them, as its text."""
    data = output.get("data")
    if data is not None and not _SHOWN & set(data):
        data["text/plain"] = "\n".join(v if isinstance(v, str) else json.dumps(v, indent=1) for v in data.values())
    for kind in set(data or ()) - _SHOWN:
        del data[kind]
    for place in (output, data or {}):
        for key in _PLAIN & set(place):
            found = place[key]
            place[key] = list(map(relative, found)) if isinstance(found, list) else relative(found)
    return output
