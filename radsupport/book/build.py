"""What the Snakefile calls: which studies and chapters run, from which files, and how one chapter is run."""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import os
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from radsupport.book import kernel, progress
from radsupport.book.chapter import opening
from radsupport.book.imports import code_of, modules
from radsupport.book.runs import BEFORE_MODELLING, BUILDS, UPSTREAM, notebook_of, settings_of, why_unused
from radsupport.book.staging import read_source
from radsupport.data import datasets
from radsupport.data.clinical import clinical_path
from radsupport.data.manifest import CASE_ROLES, SUBJECT_ROLES, TABLE_ROLES, manifest_path, study_files
from radsupport.errors import Problem, RadsupportError, StorageError, StudyError
from radsupport.files import mirror_folder, sha256, write_changed, written_whole
from radsupport.settings.features import PRETRAINED, Resnet
from radsupport.settings.study import Study
from radsupport.study import NO_MODEL, StudyPaths, load_study, study_ids
from radsupport.tables import library_versions

IMAGE_CHAPTERS = ("02_preprocessing", "03_radiomics", "04_deep_features")
CHAPTERS = (
    "01_cohort", *IMAGE_CHAPTERS, "05_modelling", "06_validation", "07_survival", "08_nomogram", "09_robustness",
)  # fmt: skip
PUBLISHED = "published"
#: The pages that belong to no study, and the files that each reads.
_READ_BY = {
    "10_published": "radsupport/claims/data/*", "12_ibsi": "radsupport/radiomics/data/ibsi/*",
    "13_strength": "benchmarks/strength.csv",
}  # fmt: skip
#: The page that changes an analysis, and the study on whose results it is shown.
CHANGE, CHANGED_STUDY = "11_change", "song2021"
#: Pages of the book that staging writes.
GENERATED = ("index.md", "_toc.yml", "rooms.html")

#: A kernel that is shut down while its workers end reports the interrupt as an error; a cell's errors come through
#: papermill.
QUIET = ["--log-level=CRITICAL"]
#: Modules that make the site out of the chapters.
OF_THE_SITE = ("radsupport/book/site.py", "radsupport/book/build.py")
DATA_KINDS = ("tables", "scans", "planted")
#: Data that a chapter reads itself, by kind (`data_files`).
READS = {"01_cohort": ("tables",), "02_preprocessing": ("scans",), "06_validation": ("planted",)}
#: Chapters whose work is divided over processes, case by case or fold by fold.
DIVIDED = ("02_preprocessing", "03_radiomics", "05_modelling")
NETWORKS = "04_deep_features"


def choose_studies(wanted: str, root: Path = Path()) -> tuple[list[str], dict[str, str]]:
    """Return the studies to build, and those left out with the reason.

    Parameters
    ----------
    wanted : str
        ``all`` (every study whose data are here), or ids separated by commas. A study named by its id must be
        available.

    Raises
    ------
    StudyError
        An unknown id, or a study asked for by name whose data are not here.
    """
    known = study_ids(root / "studies")
    several = wanted == "all"
    names = known if several else [name.strip() for name in wanted.split(",") if name.strip()]
    chosen: list[str] = []
    left_out: dict[str, str] = {}
    for name in names:
        try:
            study = _loaded(name) if root == Path() and name in known else load_study(name, folder=root / "studies")
        except StudyError as error:
            if not several or NO_MODEL not in str(error):
                raise
            left_out[name] = "the locked model that it validates is not here"
            continue
        here, reason = datasets.availability(study, root)
        if here:
            chosen.append(name)
        elif several:
            left_out[name] = reason
        else:
            raise StudyError(f"Study {name} can not be built: {reason}")
    if several:
        chosen.append(PUBLISHED)
    return chosen, left_out


def chapters_of(study: str) -> Sequence[str]:
    """Return the chapters of a study; the pages that belong to no study are those of `PUBLISHED`."""
    if study == PUBLISHED:
        return tuple(_READ_BY)
    return (*CHAPTERS, CHANGE) if study == CHANGED_STUDY else CHAPTERS


def _loaded(study: str, profile: str = "demo") -> Study:
    path = Path("studies", f"{study}.yaml").absolute()
    return _read(path, path.stat().st_mtime_ns if path.is_file() else 0, profile)


@functools.lru_cache(maxsize=64)
def _read(path: Path, _: int, profile: str) -> Study:
    return load_study(path.stem, profile, path.parent)


def data_inputs(study: str) -> list[str]:
    """Return the files that decide what is made ready as a study's data."""
    loaded = _loaded(study)
    if loaded.is_synthetic:
        return sorted(str(path) for path in Path("radsupport/data").glob("synthetic_*.py"))  # and `_settings`
    folder, files = mirror_folder(), study_files(loaded)
    unchecked = files.loc[(files["sha256"] == "") & (files["path"] != ""), "path"]
    copied = [folder / path for path in unchecked if (folder / path).is_file()] if folder else []
    return [loaded.data.manifest, *map(str, copied)]


def data_files(study: str) -> dict[str, list[str]]:
    """Return the files of a study's data by what reads them: tables, scans with their outlines, the planted effect.

    They are named whether they are there or not.
    """
    loaded = _loaded(study)
    files = study_files(loaded)
    tables, scans = (
        [str(path) for path in files.loc[files["role"].isin(roles), "file"]]
        for roles in (TABLE_ROLES, (*CASE_ROLES, *SUBJECT_ROLES))
    )
    clinical = [str(clinical_path(loaded, files))] if loaded.data.entry == "images" else []
    planted = [str(StudyPaths(study).data / "planted.csv")] if loaded.is_synthetic else []
    return {"tables": sorted({str(manifest_path(loaded)), *tables, *clinical}), "scans": scans, "planted": planted}


def chapter_inputs(study: str, chapter: str, profile: str = "demo") -> list[str]:
    """Return the files whose content decides a chapter: notebook, study, settings, code, data, earlier chapters.

    Raises
    ------
    StudyError
        The study file names settings or weights that are not there; all of them are listed.
    """
    own = own_inputs(study, chapter, profile)
    if study == PUBLISHED:
        return own
    ready = StudyPaths(study).data / ".ready"
    files = data_files(study) if ready.is_file() and READS.get(chapter) else {}
    data = [path for kind in READS.get(chapter, ()) for path in files.get(kind, [])]
    return [*own, str(ready), *data, *(f"results/{study}/{name}.json" for name in UPSTREAM[chapter])]


def _absent(inputs: Sequence[str]) -> list[str]:
    """Return the files that nobody makes on the way and that are not there."""
    made = (
        ("results/", "data/") if not any(name.endswith("/.ready") and Path(name).is_file() for name in inputs) else ()
    )
    own = [name for name in inputs if not name.startswith(("results/", *made))]
    return [name for name in own if not Path(name).is_file()]


def own_inputs(study: str, chapter: str, profile: str = "demo") -> list[str]:
    """Return the part of `chapter_inputs` that is there before anything ran."""
    notebook = str(notebook_of(chapter, None if study == PUBLISHED else _loaded(study)))
    code = [path for path in code_of(Path(notebook)) if path not in OF_THE_SITE]
    if study == PUBLISHED:
        folder, _, pattern = _READ_BY[chapter].rpartition("/")
        return [notebook, *code, *(str(path) for path in sorted(Path(folder).glob(pattern)))]
    loaded, named = _loaded(study, profile), {}
    if chapter == "03_radiomics" and loaded.radiomics is not None and not loaded.model:
        sections = [loaded.radiomics, *(loaded.radiomics.chosen(one) for one in loaded.radiomics.compare)]
        named = {f"studies/radiomics/{one.settings}": "radiomics.settings" for one in sections}
    if chapter == "04_deep_features" and loaded.deep is not None:
        sections = [loaded.deep, *(loaded.deep.chosen(one) for one in loaded.deep.compare)]
        made = {"random", "rotation", "outlines", "imagenet"}  # all others are files
        weights = {getattr(one, "weights", "random") for one in sections} - made
        named = dict.fromkeys(sorted(weights), "deep.weights")
        if loaded.deep.network == "unet" and loaded.radiomics is not None:  # measured in the network's own outlines
            named[f"studies/radiomics/{loaded.radiomics.settings}"] = "radiomics.settings"
    absent = {path: key for path, key in named.items() if not Path(path).is_file()}
    if absent:
        remedy = f"put it there, or correct studies/{study}.yaml"
        problems = [Problem("no such file", remedy=remedy, file=path, column=key) for path, key in absent.items()]
        raise StudyError(f"Chapter {chapter} of study {study} lacks files that its study file names.", problems)
    copies = sorted(map(str, StudyPaths(study).images.glob("*.nii.gz"))) if chapter in IMAGE_CHAPTERS[1:] else []
    own = [f"studies/{study}.yaml"] * (chapter not in BEFORE_MODELLING)  # of the others its settings: `_settings`
    if (given := Path(loaded.model)).name and own:
        own += sorted(map(str, given.glob("*") if given.is_dir() else [given]))
    return [notebook, *code, *own, *named, *copies]


def graph_inputs(study: str, chapter: str) -> list[str]:
    """Return what a chapter waits for: lists of the content of its files, and earlier chapters (see `refresh`)."""
    lists = [chapter, *(READS.get(chapter, ()) if study != PUBLISHED else ())]
    return [*(f"results/{study}/inputs/{name}.txt" for name in lists), *_earlier(study, chapter)]


def _earlier(study: str, chapter: str) -> list[str]:
    return [f"results/{study}/{name}.json" for name in UPSTREAM[chapter]]


def refresh(studies: Sequence[str], profile: str) -> None:
    """Write the checksums of every file that decides a chapter to ``results/<study>/inputs``, where they changed.

    A list that stays as it is keeps its time: a file that is only touched makes nothing out of date, and one whose
    content changed does so whatever its time and its size are. Data are listed once they were made ready, by their
    kind; where one of them is gone, they are made ready again. So is a preprocessed copy of a scan by chapter 02.

    Raises
    ------
    StudyError
        A study file names settings or weights that are not there.
    """
    for study in studies:
        if study != PUBLISHED and _lost_images(study):
            Path("results", study, "02_preprocessing.json").unlink(missing_ok=True)
        for chapter in chapters_of(study):
            _list(study, chapter, profile)
        if study != PUBLISHED:
            _keep(study, "source", *_source(study, profile))
            ready = StudyPaths(study).data / ".ready"
            files = _files_here(study) if ready.is_file() else {}
            if not all(Path(path).is_file() for paths in files.values() for path in paths):
                ready.unlink()
            elif files:
                stamp_data(study, files)
    write_changed(Path("results/logs/book_inputs.txt"), _listed(book_sources()))
    _CHECKSUMS.save()


def _list(study: str, chapter: str, profile: str) -> None:
    versions = [f"{version}  {package}" for package, version in library_versions().items()]
    notebook, *others = own_inputs(study, chapter, profile)
    code = f"{_code_sum(notebook, _CHECKSUMS.of(Path(notebook)))}  {notebook} without its words"
    own = [_settings(study, chapter, profile)] if study != PUBLISHED else []
    others = [path for path in others if path != f"studies/{study}.yaml"]  # of which `own` says what is read
    _keep(study, chapter, others, [f"profile {profile}", *versions, code, *own])


def _settings(study: str, chapter: str, profile: str = "demo") -> str:
    """Return the line of a list for what a chapter, or the generator, knows of the study file."""
    path, early = Path("studies", f"{study}.yaml"), " before the modelling" * (chapter in BEFORE_MODELLING)
    return f"{_settings_sum(path.absolute(), _CHECKSUMS.of(path), profile, chapter)}  {path}{early}"


@functools.lru_cache(maxsize=256)
def _settings_sum(path: Path, _: str, profile: str, chapter: str) -> str:
    return settings_of(path, profile, chapter)


@functools.lru_cache(maxsize=64)
def _code_sum(notebook: str, content: str) -> str:
    """Return the checksum of what a notebook runs: its Markdown decides no result (`site.reworded` stages it)."""
    if content == "missing":
        return content
    found = json.loads(Path(notebook).read_text(encoding="utf-8"))
    cells = [cell for cell in found["cells"] if cell["cell_type"] != "markdown"]
    run = [["".join(cell["source"]), cell["metadata"].get("tags", [])] for cell in cells]
    return hashlib.sha256(json.dumps([run, found["metadata"].get("kernelspec", {})]).encode()).hexdigest()


def _lost_images(study: str) -> list[str]:
    """Return preprocessed copies of scans that were listed for chapter 03 and are gone."""
    listed = Path("results", study, "inputs", "03_radiomics.txt")
    lines = listed.read_text(encoding="utf-8").splitlines() if listed.is_file() else []
    paths = [line.partition("  ")[2] for line in lines]
    return [path for path in paths if path.startswith("results/") and not Path(path).is_file()]


def stamp_data(study: str, files: Mapping[str, Sequence[str]] | None = None) -> None:
    """Write the checksums of a study's data, by kind.

    Raises
    ------
    StudyError
        Some of its files are not there; all of them are listed.
    """
    files = files or _files_here(study)
    absent = [path for paths in files.values() for path in paths if not Path(path).is_file()]
    if absent:
        remedy = "put it there, or correct its path in the study file or in the manifest"
        problems = [Problem("no such file", remedy=remedy, file=path) for path in absent]
        raise StudyError(f"The data of study {study} are not complete.", problems)
    manifest = str(manifest_path(_loaded(study)))
    for kind, paths in files.items():
        rows = _rows_of(study) if kind == "tables" else []
        _keep(study, kind, [path for path in paths if path != manifest], rows)
    _CHECKSUMS.save()


def _files_here(study: str) -> dict[str, list[str]]:
    """Return `data_files`, or the manifest alone where it is gone."""
    manifest = manifest_path(_loaded(study))
    return data_files(study) if manifest.is_file() else {"tables": [str(manifest)]}


def _source(study: str, profile: str = "demo") -> tuple[list[str], list[str]]:
    """Return the files, and the lines of the manifest or the profile, that decide a study's data."""
    if _loaded(study).is_synthetic:
        other = _loaded(study, profile).synthetic != _loaded(study).synthetic
        return data_inputs(study), [_settings(study, "01_cohort"), *[f"scans of the profile {profile}"] * other]
    return data_inputs(study)[1:], _rows_of(study)


def _rows_of(study: str) -> list[str]:
    """Return a study's own lines of the manifest: those of others do not touch it."""
    table = study_files(_loaded(study)).drop(columns=["file", "row"])
    return [",".join(map(str, row)) for row in table.itertuples(index=False)]


def _keep(study: str, name: str, paths: Sequence[str], lines: Sequence[str] = ()) -> None:
    write_changed(Path("results", study, "inputs", f"{name}.txt"), _listed(paths, lines))


def _listed(paths: Sequence[str], lines: Sequence[str] = ()) -> str:
    sums = (f"{_CHECKSUMS.of(Path(path))}  {path}" for path in dict.fromkeys(paths))
    return "\n".join([*lines, *sums]) + "\n"


class _Checksums:
    """Checksums of files, computed anew only where size, times or place on the disk are others than before."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known: dict[str, list[Any]] = {}
        self.loaded = False

    def of(self, path: Path) -> str:
        """Return the checksum of a file, or that it is missing."""
        if not path.is_file():
            return "missing"
        if not self.loaded and self.path.is_file():
            self.known = json.loads(self.path.read_text(encoding="utf-8")) | self.known
        self.loaded = True
        found = path.stat()
        facts = [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]
        if self.known.get(str(path), [])[:-1] != facts:
            self.known[str(path)] = [*facts, sha256(path)]
        return str(self.known[str(path)][-1])

    def save(self) -> None:
        """Keep what was computed for the next build."""
        with written_whole(self.path) as partial:
            partial.write_text(json.dumps(self.known), encoding="utf-8")


_CHECKSUMS = _Checksums(Path("results/.checksums.json"))


#: About how many seconds a chapter that is used takes on one core, to tell the longest way to the end of the build.
SECONDS = {
    "data": 5, "01_cohort": 5, "02_preprocessing": 50, "03_radiomics": 100, "04_deep_features": 100,
    "05_modelling": 80, "06_validation": 20, "07_survival": 25, "08_nomogram": 8, "09_robustness": 8, "10_published": 8,
    "11_change": 10, "12_ibsi": 20, "13_strength": 5,
}  # fmt: skip


def priority_of(study: str, chapter: str) -> int:
    """Return the seconds from the start of a chapter to the end of the study, with all that wait for it.

    The longest way is begun first, so that no core is left alone with it at the end.
    """
    later = [name for name in chapters_of(study) if chapter in (UPSTREAM[name] or ("data",))]
    used = chapter == "data" or study == PUBLISHED or not why_unused(chapter, _loaded(study))
    return SECONDS[chapter] * used + max((priority_of(study, name) for name in later), default=0)


def threads_of(chapter: str, cores: int, profile: str = "demo") -> int:
    """Return how many cores a chapter counts for.

    A chapter with work per case or per fold may use all of them (``--jobs``) but counts for half: two chapters run
    side by side, and no core waits while one of them is at a step that can not be divided. Networks of a full run take
    hours on every core, and count for all.
    """
    if (chapter, profile) == (NETWORKS, "paper"):
        return cores
    return (cores + 1) // 2 if chapter in DIVIDED else 1


def jobs_of(chapter: str, cores: int, alone: bool) -> int:
    """Return over how many processes a chapter divides its work.

    Networks are trained one after the other where other studies keep the cores busy, side by side where one study is
    built alone. Each has one thread, so that both ways give the same values; in a full run one alone has as many.
    """
    return cores if chapter in DIVIDED or (alone and chapter == NETWORKS) else 1


def book_sources() -> list[str]:
    """Return the written pages, pictures and settings of the book, and the code that makes the site."""
    made = (Path("book/_build"), Path("book/studies"), Path("book/_static/made"))
    left_behind = {".ipynb_checkpoints", "__pycache__"}
    files = [path for path in sorted(Path("book").rglob("*")) if path.is_file() and path.name not in GENERATED]
    pages = [str(path) for path in files if not set(made) & set(path.parents) and not left_behind & set(path.parts)]
    words = map(str, sorted(Path("notebooks").glob("*.ipynb")))
    drawn = [
        "pyproject.toml",
        *map(str, sorted(Path("studies").glob("*.yaml"))),  # what the author says is on the checklists
        *(str(path) for path in sorted(Path("radsupport").rglob("*.py"))),
    ]  # the map of the rooms
    return list(dict.fromkeys([*pages, *words, *OF_THE_SITE, *modules(["radsupport.book.site"]), *drawn]))


def build_site(studies: Sequence[str], left_out: dict[str, str], log: str) -> None:
    """Stage the executed notebooks, compile the book, and warn of identifiers in it."""
    from radsupport.book import gate, rigour
    from radsupport.book.site import build

    with ThreadPoolExecutor(1) as beside:  # reads the tables while pages are compiled elsewhere
        wanted = beside.submit(gate.looked_for)
        page = build(Path("book"), list(studies), dict(left_out), Path(log))
    for line in rigour.failures({study: Path("results", study) for study in studies}):
        print(f"Not rigorous: {line}", file=sys.stderr)
    try:
        found = len(gate.search(page.parent, wanted=wanted.result(), remember=True))
    except RadsupportError as error:
        found = max(1, len(error.problems))
    if found:
        print(
            f"Not to be published: identifiers in the site, {found} findings; `make gate` lists them.", file=sys.stderr
        )


def run_chapter(chapter: str, study: str, profile: str, jobs: int) -> int:
    """Execute one notebook; on failure say where, keep what was computed, and return 1."""
    with progress.Step(study, chapter) as step:
        return _run(step, chapter, study, profile, jobs)


def _run(step: progress.Step, chapter: str, study: str, profile: str, jobs: int) -> int:
    start, paths = time.perf_counter(), StudyPaths(study)
    log, out = paths.results / "logs" / f"{chapter}.log", paths.results / "notebooks" / f"{chapter}.ipynb"
    for folder in (log.parent, out.parent):
        folder.mkdir(parents=True, exist_ok=True)
    os.environ.update({"RADSUPPORT_JOBS": str(jobs), "OMP_NUM_THREADS": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"})
    absent = _absent(chapter_inputs(study, chapter, profile))
    if absent:
        step.reason = f"Chapter {chapter} of study {study} lacks files: {', '.join(absent)}"
        progress.said(step.reason, sys.stderr)
        return 1
    parameters = {"study": study} if study == PUBLISHED else {"study": study, "profile": profile}
    os.environ[BUILDS] = "1"
    try:
        if study != PUBLISHED and why_unused(chapter, load_study(study, profile)):
            log.write_text("", encoding="utf-8")
            _write_unused(chapter, parameters, out)
        elif not _executed(step, chapter, parameters, log, out):
            return 1
    finally:
        del os.environ[BUILDS]
    for later in IMAGE_CHAPTERS[1:] if chapter == IMAGE_CHAPTERS[0] else ():
        _list(study, later, profile)  # with the copies of scans that are there now
    seconds = time.perf_counter() - start
    write_changed(log.parent / f"{chapter}.seconds", f"{seconds:.1f}\n")
    write_changed(log.parent / f"{chapter}.usage.json", json.dumps({"wall": seconds, **_used()}))
    progress.said(f"{study} {chapter}: {seconds:.0f} s")
    return 0


def _executed(step: progress.Step, chapter: str, parameters: dict[str, str], log: Path, out: Path) -> bool:
    """Run a notebook with papermill and tell whether it ran to its end; if not, say where it stopped."""
    import papermill  # takes seconds to load: only where a notebook is run
    import zmq
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError
    from traitlets.config import Config

    # a kernel warns when its local sockets are not encrypted; where the library can, they are
    encrypted = Config(KernelManager={"transport_encryption": "auto" if zmq.has("curve") else "disabled"})
    failed = log.with_suffix(".failed.ipynb")
    own = None if parameters["study"] == PUBLISHED else _loaded(parameters["study"])
    source = read_source(notebook_of(chapter, own), own)
    cells = len(source.cells) + 1  # and the one with the parameters
    kernel.provide()
    try:
        with log.open("w", encoding="utf-8") as stream:
            papermill.execute_notebook(
                source, failed, parameters=parameters, kernel_name="python3",
                progress_bar=False, log_output=False, stdout_file=stream, stderr_file=stream, cwd=".",
                config=encrypted, extra_arguments=QUIET, request_save_on_cell_execute=False,
                on_cell_start=lambda cell, cell_index: step.tell(cell=cell_index + 1, cells=cells),
            )  # fmt: skip
    except (PapermillExecutionError, DeadKernelError) as error:
        where, words = f"Chapter {chapter} of study {parameters['study']} failed", str(error)
        if isinstance(error, PapermillExecutionError):
            where, words = f"{where} in cell {error.cell_index} ({error.ename})", str(error.evalue)
        log.write_text(f"{log.read_text(encoding='utf-8')}\n{error}\n", encoding="utf-8")
        ran = f"\nNotebook as far as it ran: {failed}" * failed.is_file()
        step.reason = f"{where}: {words}"
        progress.said(f"{where}:\n{words}\nLog: {log}{ran}", sys.stderr)
        print("What was computed before is kept; the same command resumes at this chapter.", file=sys.stderr)
        return False
    failed.replace(out)
    return True


def _write_unused(chapter: str, parameters: dict[str, str], out: Path) -> None:
    """Write the page of a chapter that the study does not use: its notebook up to the reason, without a kernel."""
    import nbformat
    from nbformat.v4 import new_code_cell, new_output

    notebook = nbformat.read(notebook_of(chapter, _loaded(parameters["study"])), as_version=4)
    given = "".join(f'{name} = "{value}"\n' for name, value in parameters.items())
    injected = new_code_cell(f"# Parameters\n{given}", metadata={"tags": ["injected-parameters"]})
    first = next(i for i, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", []))
    notebook.cells.insert(first + 1, injected)
    last = next(i for i, cell in enumerate(notebook.cells) if "begin(" in cell.source)
    opened, notes = opening(chapter, {**parameters, "In": ["", given]})
    data = [{"text/html": note, "text/plain": "<IPython.core.display.HTML object>"} for note in notes]
    notebook.cells[last].outputs = [new_output("display_data", data=one) for one in data]
    notebook.cells = notebook.cells[: last + 1]
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for count, cell in enumerate(code, 1):
        cell.execution_count = count
    notebook.metadata["papermill"] = {"parameters": parameters}
    opened.finish()
    with written_whole(out) as partial:
        nbformat.write(notebook, partial)


def _used() -> dict[str, float]:
    """Return CPU seconds of this process with those it started, and the memory of the largest of them."""
    own = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    unit = 1024 if sys.platform == "linux" else 1024**2
    cpu = sum(one.ru_utime + one.ru_stime for one in own)
    return {"cpu": round(cpu, 2), "peak_mb": round(max(one.ru_maxrss for one in own) / unit)}


def timings(root: Path = Path("results")) -> str:
    """Return a table of how long each chapter took the last time it ran."""
    lines = ["study        chapter            seconds"]
    for path in sorted(root.glob("*/logs/*.seconds")):
        lines.append(f"{path.parts[-3]:<12} {path.stem:<18} {float(path.read_text()):7.1f}")
    return "\n".join(lines)


def _require_weights(study: Study) -> None:
    """Refuse a study whose network's weights are not here before its first chapter, not after minutes of work."""
    if isinstance(study.deep, Resnet) and study.deep.weights not in ("random", *PRETRAINED):
        from radsupport.networks.resnet import weights_file  # torch takes seconds to load

        weights_file(study.deep.depth, study.deep.weights)


def main() -> int:
    """Command line of one step of the build, used by the Snakefile."""
    parser = argparse.ArgumentParser(description="Execute one chapter of one study.")
    text = "or data: make its data ready and list their checksums; or site: compile the book of the studies named"
    parser.add_argument("chapter", choices=[*sorted(UPSTREAM), "data", "site"], help=text)
    parser.add_argument("study")
    parser.add_argument("--profile", default="demo", choices=("demo", "paper"))
    parser.add_argument("--jobs", type=int, default=1, help="processes for work per case")
    given = parser.parse_args()
    progress.end_with_build()
    try:
        if given.chapter == "data":
            with progress.Step(given.study, "data"):
                wanted = _loaded(given.study, given.profile).before_modelling()
                _require_weights(wanted)
                print(datasets.prepare(wanted, n_jobs=given.jobs))
                stamp_data(given.study)
        elif given.chapter == progress.SITE:
            with progress.Step("", progress.SITE):
                build_site(*choose_studies(given.study), log="results/logs/book.log")
        else:
            return run_chapter(given.chapter, given.study, given.profile, given.jobs)
    except (RadsupportError, StorageError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
