"""Preprocess what is not preprocessed yet: a case is done again only if its files or settings changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from radsupport.features.parallel import map_cases
from radsupport.files import written_whole
from radsupport.imaging.preprocessing import Preprocessing, preprocess_case

PREPROCESSING_VERSION = 1
"""Raise this by one when a change of this package changes any preprocessed voxel or any measured value."""

_INPUTS = ("image", "mask", "mask_reader2", "roi_rough")
_LIBRARIES = ("SimpleITK", "numpy", "scipy")


class PreparedCases(NamedTuple):
    """Rows of the cases table in the order asked for, and how many of them were done before."""

    rows: list[dict[str, Any]]
    reused: int


def prepare_cases(
    cases: Sequence[Mapping[str, Any]], settings: Preprocessing, out: Path, n_jobs: int = 1, progress: bool = True
) -> PreparedCases:
    """Return the row of every case, preprocessing those that are new or changed.

    Parameters
    ----------
    cases : sequence of mapping
        As `preprocess_case` takes them.
    settings : Preprocessing
    out : Path
        Folder of the preprocessed files; ``.cases`` in it remembers what was done for which input.
    n_jobs : int
        Cases at once.
    progress : bool

    Returns
    -------
    PreparedCases

    Notes
    -----
    A case counts as done if the bytes of its files, the settings, the library versions and
    `PREPROCESSING_VERSION` are those of its last run, and the files written then are there with their sizes.
    The record is written last and renamed into place: an interrupted run resumes where it was.
    """
    keys = [case_key(case, settings) for case in cases]
    rows = [load(case, out, key) for case, key in zip(cases, keys, strict=True)]
    todo = [i for i, row in enumerate(rows) if row is None]
    items = [(dict(cases[i]), settings, Path(out), keys[i]) for i in todo]
    done = map_cases(_prepare, items, n_jobs=n_jobs, progress=progress, description="preprocessing")
    for i, row in zip(todo, done, strict=True):
        rows[i] = row
    return PreparedCases([row for row in rows if row is not None], len(cases) - len(todo))


def _prepare(item: tuple[dict[str, Any], Preprocessing, Path, str]) -> dict[str, Any]:
    """Preprocess one case and remember it; a case whose files can not be read has no key and is tried every time."""
    case, settings, out, key = item
    row = preprocess_case(case, settings, out)
    if key:
        store(case, row, out, key)
    return row


def case_key(case: Mapping[str, Any], settings: Preprocessing) -> str:
    """Return the hash of a case's files, settings and library versions; "" where a file can not be read."""
    digest = hashlib.sha256(str(PREPROCESSING_VERSION).encode())
    chosen = (tuple(settings.spacing_mm), settings.interpolation, settings.margin_mm)
    for part in (repr(chosen), *(f"{name} {metadata.version(name)}" for name in _LIBRARIES)):
        digest.update(part.encode() + b"\0")
    for role in _INPUTS:
        given = case.get(role)
        digest.update(role.encode() + b"\0")
        if isinstance(given, str | Path) and str(given):
            try:
                digest.update(hashlib.sha256(Path(given).read_bytes()).digest())
            except OSError:
                return ""
    return digest.hexdigest()


def load(case: Mapping[str, Any], out: Path, key: str) -> dict[str, Any] | None:
    """Return the row of a case that was done before under this key; None where it has to be done."""
    try:
        kept = json.loads(_record(case, out).read_text(encoding="utf-8"))
        whole = all((out / name).stat().st_size == size for name, size in kept["sizes"].items())
    except (OSError, ValueError, KeyError):  # no record, a damaged one, or a file that is gone
        return None
    if not key or kept.get("key") != key or not whole:
        return None
    written = {role: str(out / name) if name else None for role, name in kept["files"].items()}
    sources = {f"source_{role}": str(case[role]) for role in written}
    return {**case, **sources, **kept["measured"], **written}


def store(case: Mapping[str, Any], row: Mapping[str, Any], out: Path, key: str) -> None:
    """Remember a case's row and the files that belong to it."""
    files = {role: Path(row[role]).name if row[role] else "" for role in _INPUTS if f"source_{role}" in row}
    known = {*case, *files, *(f"source_{role}" for role in files)}
    measured = {name: _plain(value) for name, value in row.items() if name not in known}
    sizes = {name: (out / name).stat().st_size for name in files.values() if name}
    text = json.dumps({"key": key, "files": files, "sizes": sizes, "measured": measured})
    with written_whole(_record(case, out)) as partial:
        partial.write_text(text, encoding="utf-8")


def _record(case: Mapping[str, Any], out: Path) -> Path:
    return Path(out) / ".cases" / f"{case['subject']}_{case['phase']}.json"


def _plain(value: Any) -> Any:
    """Return a number of numpy as one of Python, which JSON knows."""
    return value.item() if hasattr(value, "item") else value
