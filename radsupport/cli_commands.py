"""What each command of the command line does; libraries are loaded when a command needs them."""

from __future__ import annotations

import csv
import io
import os
import re
from argparse import Namespace
from pathlib import Path

from radsupport.errors import InputError, ManifestError, Problem
from radsupport.files import written_whole
from radsupport.paths import StudyPaths
from radsupport.report.wording import counted
from radsupport.study import load_study, study_ids
from radsupport.study_schema import Study

STUDIES = "studies"


def check(given: Namespace) -> int:
    """Check a manifest; print every problem and return 1 if there is one."""
    from radsupport.cohort.check import check_manifest
    from radsupport.cohort.manifest import parse_manifest

    folder = given.root / STUDIES
    table, _ = parse_manifest(given.manifest)
    named = [given.study] if given.study else list(dict.fromkeys(table["study"]))
    known = [name for name in named if given.study or name in study_ids(folder)]
    problems: list[Problem] = []
    for name in known:
        problems += check_manifest(given.manifest, load_study(name, folder=folder), given.root, given.jobs)
    others = [name for name in named if name not in known]
    if others or not known:
        problems += check_manifest(given.manifest, None, given.root, given.jobs, others or None)
    problems = list(dict.fromkeys(problems))
    rows = int((table["study"] == given.study).sum()) if given.study else len(table)
    if problems:
        found = f"{counted(len(problems), 'problem')} in {counted(rows, 'row')}"
        print(ManifestError(f"{given.manifest}: {found}.", problems))
        return 1
    print(f"{given.manifest}: no problem in {counted(rows, 'row')}.")
    for name in others:
        print(
            f"There is no studies/{name}.yaml yet: the outcome and the clinical columns were checked in general only."
        )
    return 0


def fetch(given: Namespace) -> int:
    """Bring a study's files to data/<study> and verify them."""
    from radsupport.cohort import datasets

    done = datasets.fetch(_study(given), given.mirror, given.out, given.root)
    print(datasets.summary(done))
    return 0


def prepare(given: Namespace) -> int:
    """Make a study's data ready without the network."""
    from radsupport.cohort import datasets

    print(datasets.prepare(_study(given), given.root, given.jobs))
    return 0


def demo(given: Namespace) -> int:
    """Generate the synthetic cohort of a study."""
    from radsupport.cohort import phantom

    study = _study(given)
    out = given.out or StudyPaths(study.id, given.root).data
    manifest = phantom.generate(study, out, n_jobs=given.jobs)
    files = manifest[manifest["path"] != ""]
    print(f"{files['subject'].nunique()} synthetic patients, {len(files)} files in {out}")
    return 0


def studies(given: Namespace) -> int:
    """List the studies, what they start from, and whether their data are here."""
    from radsupport.cohort import datasets

    for name in study_ids(given.root / STUDIES):
        study = load_study(name, folder=given.root / STUDIES)
        _, reason = datasets.availability(study, given.root)
        print(f"{name:<14} {study.title}\n{'':<14} starts from {study.data.entry}; {reason}")
    return 0


def ingest(given: Namespace) -> int:
    """Convert one DICOM examination and print or append its manifest rows."""
    from radsupport.imaging.ingest import ingest as convert

    name = f"{_safe(given.subject, 'subject')}_{_safe(given.phase, 'phase')}"
    out = given.out or StudyPaths(_safe(given.study, "study"), given.root).data / "images"
    done = convert(given.folder, out, name, given.region, given.mask, given.series)
    size = " x ".join(str(n) for n in done.series.image.GetSize())
    print(f"CT series {done.series.uid}: {size} voxels, {done.series.n_slices} slices")
    files = [("image", done.image)]
    if done.mask is None:
        print("No RTSTRUCT or SEG found: image only; a case needs a mask before it can be used.")
    else:
        print(f"Region {done.region}: {done.voxels} voxels")
        files.append(("mask", done.mask))
    base = (given.manifest or given.root / "manifest.csv").resolve().parent
    rows = [
        [given.study, given.subject, given.center, given.phase, role, os.path.relpath(path.resolve(), base)]
        for role, path in files
    ]
    if given.manifest is None:
        print(_as_csv(rows), end="")
    else:
        append_rows(given.manifest, rows)
        print(f"{counted(len(rows), 'row')} appended to {given.manifest}")
    return 0


def append_rows(path: Path, rows: list[list[str]]) -> None:
    """Append rows (study, subject, center, phase, role, path) to a manifest, in the order of its columns.

    Raises
    ------
    ManifestError
        The manifest lacks one of these columns, or already names one of the cases.
    """
    from radsupport.cohort.manifest import REQUIRED, parse_manifest

    text = path.read_text(encoding="utf-8") if path.is_file() else ",".join(REQUIRED) + "\n"
    header = next(csv.reader(io.StringIO(text.lstrip("\ufeff"))))
    lines = [dict(zip(REQUIRED, row, strict=True)) for row in rows]
    added = _as_csv([[line.get(column.strip(), "") for column in header] for line in lines])
    with written_whole(path) as partial:
        partial.write_text(text + ("" if text.endswith("\n") else "\n") + added, encoding="utf-8")
        _, problems = parse_manifest(partial)
        if problems:
            shown = [Problem(p.what, p.expected, p.remedy, str(path), p.row, p.column, p.value) for p in problems]
            raise ManifestError(f"Nothing was appended to {path}: with these rows it could not be used.", shown)


def _as_csv(rows: list[list[str]]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue()


def _study(given: Namespace) -> Study:
    return load_study(given.study, folder=given.root / STUDIES)


def _safe(name: str, what: str) -> str:
    """Return a name that can be part of a file name."""
    if not re.fullmatch(r"[\w.-]+", name) or name.startswith("."):
        problem = Problem("not usable in a file name", "letters, digits, . _ -", "rename it", column=what, value=name)
        raise InputError("The case can not be named.", [problem])
    return name
