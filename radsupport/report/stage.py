"""Turn executed notebooks into the book: stage the pages, write the contents, compile the site."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import nbformat
import yaml

from radsupport.errors import RadsupportError
from radsupport.report.overview import landing_page, study_page
from radsupport.study import load_study

PUBLISHED = "published"
PAGES = ("methods", "bring_your_own", "published_claims_format", "glossary", "bibliography")


class BookError(RadsupportError):
    """Sphinx could not compile the book, or warned while doing so."""


def build(book: Path, studies: Sequence[str], left_out: Mapping[str, str], log: Path) -> Path:
    """Stage every study's notebooks under ``book/studies`` and compile the site.

    Parameters
    ----------
    book : Path
        Folder with ``_config.yml`` and the written pages.
    studies : sequence of str
        Ids whose notebooks were executed.
    left_out : mapping
        Id to reason, for studies that could not be built; the landing page says so.
    log : Path
        Where Sphinx's output goes.

    Returns
    -------
    Path
        ``index.html`` of the site.

    Raises
    ------
    BookError
        Sphinx failed or warned; the message quotes its warnings.
    """
    staged = book / "studies"
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True)
    real = [study for study in studies if study != PUBLISHED]
    chapters = {study: _stage_study(study, staged) for study in studies}
    for study in real:
        (staged / study / "index.md").write_text(study_page(study), encoding="utf-8")
    (book / "index.md").write_text(landing_page(real, left_out, PUBLISHED in studies), encoding="utf-8")
    (book / "_toc.yml").write_text(yaml.safe_dump(_contents(book, real, chapters), sort_keys=False), encoding="utf-8")
    _compile(book, log)
    return book / "_build" / "html" / "index.html"


def _stage_study(study: str, staged: Path) -> list[str]:
    """Copy a study's executed notebooks with titles and labels of their own; return their names."""
    folder = staged / study
    folder.mkdir()
    title = "" if study == PUBLISHED else load_study(study).id
    names = []
    for path in sorted(Path("results", study, "notebooks").glob("[0-9][0-9]_*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        nbformat.write(prepare(notebook, path.stem, study, title), folder / path.name)
        names.append(path.stem)
    return names


def prepare(notebook: Any, chapter: str, study: str, title: str) -> Any:
    """Give a notebook a title and label of its study, hide its code, drop its machinery.

    Figures and sections of two studies made from one notebook would otherwise share their labels,
    and cross-references would lead to the wrong study.
    """
    notebook.metadata.pop("papermill", None)
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        if cell.cell_type == "code":
            cell.metadata["tags"] = [_display_tag(cell)]
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    first = next(cell for cell in notebook.cells if cell.cell_type == "markdown")
    heading = rf"# \1 — {title}" if title else r"# \1"
    first.source = f"({study}-{chapter})=\n" + re.sub(r"^# (.+)$", heading, first.source, count=1, flags=re.M)
    return notebook


def _display_tag(cell: Any) -> str:
    """Return how a code cell shows: folded above its output; not at all where it has none and sets nothing up."""
    if "injected-parameters" in cell.metadata.get("tags", []) or ".finish()" in cell.source:
        return "remove-cell"
    return "hide-input"


def _contents(book: Path, studies: Sequence[str], chapters: Mapping[str, Iterable[str]]) -> dict[str, Any]:
    """Return the table of contents: a part per study, then the pages that serve all of them."""
    parts: list[dict[str, Any]] = []
    for study in studies:
        pages = [{"file": f"studies/{study}/{name}"} for name in chapters[study]]
        kind = "synthetic" if load_study(study).is_synthetic else "real data"
        first = {"file": f"studies/{study}/index", "sections": pages}
        parts.append({"caption": f"{study} ({kind})", "chapters": [first]})
    if PUBLISHED in chapters:
        pages = [{"file": f"studies/{PUBLISHED}/{name}"} for name in chapters[PUBLISHED]]
        parts.append({"caption": "The four papers", "chapters": pages})
    common = [{"file": page} for page in PAGES if (book / f"{page}.md").is_file()]
    parts.append({"caption": "For every study", "chapters": common})
    return {"format": "jb-book", "root": "index", "parts": parts}


def _compile(book: Path, log: Path) -> None:
    """Run Jupyter Book with warnings as errors and without network."""
    log.parent.mkdir(parents=True, exist_ok=True)
    program = str(Path(sys.executable).with_name("jupyter-book"))
    command = [program, "build", str(book), "-n", "-W", "--keep-going", "--all", "-q"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    log.write_text(done.stdout + done.stderr, encoding="utf-8")
    if done.returncode:
        lines = (done.stdout + done.stderr).splitlines()
        problems = [line for line in lines if re.search("WARNING|ERROR", line)] or lines[-15:]
        raise BookError("The book could not be compiled.\n" + "\n".join(problems[:30]) + f"\nLog: {log}")
