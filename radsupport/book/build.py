"""What the Snakefile calls: which studies and chapters run, from which files, and how one chapter is run."""

from __future__ import annotations

import argparse
import ast
import os
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import nbformat
import papermill
import zmq
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from radsupport.book.chapter import ENDS_HERE, why_unused
from radsupport.book.runs import BUILDS, UPSTREAM
from radsupport.data import datasets
from radsupport.errors import StudyError
from radsupport.study import StudyPaths, load_study, study_ids

IMAGE_CHAPTERS = ("02_preprocessing", "03_radiomics", "04_deep_features")
CHAPTERS = ("01_cohort", *IMAGE_CHAPTERS, "05_modelling", "06_validation", "07_survival", "08_nomogram")
PUBLISHED = "published"
#: Pages of the book that staging writes.
GENERATED = ("index.md", "_toc.yml")

#: A kernel warns when its local sockets are not encrypted; where the library can, they are.
KERNEL = Config(KernelManager={"transport_encryption": "auto" if zmq.has("curve") else "disabled"})
#: A kernel that is shut down while its workers end reports the interrupt as an error; a cell's errors come through
#: papermill.
QUIET = ["--log-level=CRITICAL"]

#: Modules that make the site out of the chapters.
_ASSETS = ("*.css", "*.js", "*.mplstyle", "*.yaml")  # what modules beside them write into a page
OF_THE_SITE = ("radsupport/book/site.py", "radsupport/book/build.py")
#: Chapters whose work is divided over processes, case by case or fold by fold.
DIVIDED = ("02_preprocessing", "03_radiomics", "05_modelling")


def choose_studies(wanted: str, root: Path = Path()) -> tuple[list[str], dict[str, str]]:
    """Return the studies to build, and those left out with the reason.

    Parameters
    ----------
    wanted : str
        ``default`` (studies whose file does not say ``build: on_request``), ``all``, or ids separated by
        commas. A study named by its id must be available.

    Raises
    ------
    StudyError
        An unknown id, or a study asked for by name whose data are not here.
    """
    known = study_ids(root / "studies")
    several = wanted in ("default", "all")
    names = known if several else [name.strip() for name in wanted.split(",") if name.strip()]
    chosen: list[str] = []
    left_out: dict[str, str] = {}
    for name in names:
        study = load_study(name, folder=root / "studies")
        here, reason = datasets.availability(study, root)
        if here and wanted == "default" and study.build == "on_request":
            left_out[name] = f"built on request, by `make book STUDY={name}`"
        elif here:
            chosen.append(name)
        elif several:
            left_out[name] = reason
        else:
            raise StudyError(f"Study {name} can not be built: {reason}")
    if several:
        chosen.append(PUBLISHED)
    return chosen, left_out


def chapters_of(study: str) -> Sequence[str]:
    """Return the chapters of a study; the recomputation of the papers is a study of one chapter."""
    return ("09_published",) if study == PUBLISHED else CHAPTERS


def data_inputs(study: str) -> list[str]:
    """Return the files that decide a study's data."""
    code = sorted(str(path) for path in Path("radsupport/data").glob("synthetic_*.py"))
    loaded = load_study(study)
    return [f"studies/{study}.yaml", *(code if loaded.is_synthetic else [loaded.data.manifest])]


def chapter_inputs(study: str, chapter: str) -> list[str]:
    """Return the files whose change makes a chapter out of date: notebook, study, code, earlier chapters."""
    notebook = f"notebooks/{chapter}.ipynb"
    code = [path for path in code_of(Path(notebook)) if path not in OF_THE_SITE]
    own = [notebook, *code]
    if study == PUBLISHED:
        return [*own, *(str(p) for p in sorted(Path("radsupport/claims/data").glob("*")))]
    earlier = [f"results/{study}/{name}.json" for name in UPSTREAM[chapter]]
    return [*own, f"studies/{study}.yaml", f"data/{study}/.ready", *earlier]


def code_of(notebook: Path) -> list[str]:
    """Return the modules of the package that a notebook imports, directly or through others, and what lies beside."""
    cells = nbformat.read(notebook, as_version=4).cells if notebook.is_file() else []
    waiting = [name for cell in cells if cell.cell_type == "code" for name in _imported(cell.source)]
    found: set[str] = set()
    while waiting:
        path = _file_of(waiting.pop())
        if path and path not in found:
            found.add(path)
            waiting += _imported(Path(path).read_text(encoding="utf-8"))
    assets = {str(asset) for path in found for kind in _ASSETS for asset in Path(path).parent.glob(kind)}
    return sorted(found | assets)


def _imported(source: str) -> list[str]:
    """Return the dotted names of the package that Python code imports, with the rooms that they lie in."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom) and node.module]
    ours = [node for node in nodes if str(node.module).split(".")[0] == "radsupport"]
    names = [f"{node.module}.{alias.name}" for node in ours for alias in node.names]
    names += [f"radsupport.{dotted}" for dotted in re.findall(r"\bbook\.conclusions\.\w+", source)]  # imported by name
    return [*names, *(str(node.module) for node in ours), *(str(node.module).rpartition(".")[0] for node in ours)]


def _file_of(name: str) -> str:
    """Return the file of a dotted name, or the empty text where it is none."""
    path = "/".join(name.split("."))
    return next((p for p in (f"{path}.py", f"{path}/__init__.py") if name and Path(p).is_file()), "")


def threads_of(chapter: str, cores: int) -> int:
    """Return how many cores a chapter counts for.

    A chapter with work per case or per fold may use all of them (``--jobs``) but counts for half: two chapters run
    side by side, and no core waits while one of them is at a step that can not be divided.
    """
    return (cores + 1) // 2 if chapter in DIVIDED else 1


def book_sources() -> list[str]:
    """Return the written pages and settings of the book."""
    patterns = ("*.md", "*.yml", "*.bib", "_static/*", "_templates/*")
    pages = [str(p) for pattern in patterns for p in sorted(Path("book").glob(pattern)) if p.name not in GENERATED]
    return [*pages, *OF_THE_SITE]


def build_site(studies: Sequence[str], left_out: dict[str, str], log: str) -> None:
    """Stage the executed notebooks and compile the book."""
    from radsupport.book.site import build

    build(Path("book"), list(studies), dict(left_out), Path(log))


def run_chapter(chapter: str, study: str, profile: str, jobs: int) -> int:
    """Execute one notebook; on failure say where, keep what was computed, and return 1."""
    paths = StudyPaths(study)
    log = paths.results / "logs" / f"{chapter}.log"
    out = paths.results / "notebooks" / f"{chapter}.ipynb"
    failed = paths.results / "logs" / f"{chapter}.failed.ipynb"
    for folder in (log.parent, out.parent):
        folder.mkdir(parents=True, exist_ok=True)
    os.environ.update({"RADSUPPORT_JOBS": str(jobs), "OMP_NUM_THREADS": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"})
    parameters = {"study": study} if study == PUBLISHED else {"study": study, "profile": profile}
    start = time.perf_counter()
    source = _notebook_for(chapter, study, profile, failed)
    os.environ[BUILDS] = "1"
    try:
        with log.open("w", encoding="utf-8") as stream:
            papermill.execute_notebook(
                source, failed, parameters=parameters, kernel_name="python3",
                progress_bar=False, log_output=False, stdout_file=stream, stderr_file=stream, cwd=".",
                config=KERNEL, extra_arguments=QUIET,
            )  # fmt: skip
    except PapermillExecutionError as error:
        log.write_text(f"{log.read_text(encoding='utf-8')}\n{error}\n", encoding="utf-8")
        print(f"Chapter {chapter} of study {study} failed in cell {error.cell_index} ({error.ename}):", file=sys.stderr)
        print(f"{error.evalue}\nLog: {log}\nNotebook as far as it ran: {failed}", file=sys.stderr)
        print("What was computed before is kept; the same command resumes at this chapter.", file=sys.stderr)
        return 1
    finally:
        del os.environ[BUILDS]
    failed.replace(out)
    seconds = time.perf_counter() - start
    (log.parent / f"{chapter}.seconds").write_text(f"{seconds:.1f}\n", encoding="utf-8")
    print(f"{study} {chapter}: {seconds:.0f} s")
    return 0


def _notebook_for(chapter: str, study: str, profile: str, scratch: Path) -> Path:
    """Return the notebook to run: the chapter's own, or its opening where the study does not use it."""
    own = Path("notebooks") / f"{chapter}.ipynb"
    os.environ.pop(ENDS_HERE, None)
    if study == PUBLISHED or not why_unused(chapter, load_study(study, profile)):
        return own
    notebook = nbformat.read(own, as_version=4)
    last = next(i for i, cell in enumerate(notebook.cells) if "begin(" in cell.source)
    notebook.cells = notebook.cells[: last + 1]
    os.environ[ENDS_HERE] = "1"
    nbformat.write(notebook, scratch)
    return scratch


def timings(root: Path = Path("results")) -> str:
    """Return a table of how long each chapter took the last time it ran."""
    lines = ["study        chapter            seconds"]
    for path in sorted(root.glob("*/logs/*.seconds")):
        lines.append(f"{path.parts[-3]:<12} {path.stem:<18} {float(path.read_text()):7.1f}")
    return "\n".join(lines)


def main() -> int:
    """Command line of one chapter, used by the Snakefile."""
    parser = argparse.ArgumentParser(description="Execute one chapter of one study.")
    parser.add_argument("chapter", choices=sorted(UPSTREAM))
    parser.add_argument("study")
    parser.add_argument("--profile", default="demo", choices=("demo", "paper"))
    parser.add_argument("--jobs", type=int, default=1, help="processes for work per case")
    given = parser.parse_args()
    return run_chapter(given.chapter, given.study, given.profile, given.jobs)


if __name__ == "__main__":
    sys.exit(main())
