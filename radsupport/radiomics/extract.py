"""Radiomics features of a cohort, one row per subject, and a log that loses no case.

One file per case is kept under the hash of everything that decides its features; a killed run resumes from these.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radsupport.errors import InputError, Problem
from radsupport.files import written_whole
from radsupport.parallel import map_cases, peak_mb, reset_peak
from radsupport.radiomics.case import CaseFeatures, Perturbation, extract_case, feature_names
from radsupport.radiomics.settings import RadiomicsSettings, Settings, load_settings
from radsupport.tables import library_versions

#: Raise this by one when a change of this package changes any feature value.
EXTRACTION_VERSION = 3

_LIBRARIES = ("pyradiomics", "SimpleITK", "numpy", "scipy", "PyWavelets")
_CHUNK = 1 << 22


def case_key(image: str | Path, mask: str | Path, settings_digest: str, extra: str = "") -> str:
    """Return the hash of image bytes, mask bytes, settings and library versions.

    Parameters
    ----------
    image, mask : path
    settings_digest : str
        `RadiomicsSettings.digest`.
    extra : str
        Whatever else decides about values (a perturbation).
    """
    digest = hashlib.sha256()
    versions = (f"{name} {version}" for name, version in library_versions(_LIBRARIES).items())
    for part in (str(EXTRACTION_VERSION), settings_digest, extra, *versions):
        digest.update(part.encode() + b"\0")
    for path in (image, mask):
        digest.update(_file_hash(Path(path)))
    return digest.hexdigest()


def _file_hash(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_CHUNK):
            digest.update(block)
    return digest.digest()


def load(cache: Path, key: str) -> dict[str, Any] | None:
    """Return what is kept under a key; None where there is nothing, or nothing readable."""
    path = _path(cache, key)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError):
        return None


def store(cache: Path, key: str, content: dict[str, Any]) -> None:
    """Keep a result, whole or not at all."""
    with written_whole(_path(cache, key)) as partial:
        partial.write_text(json.dumps(content), encoding="utf-8")


def _path(cache: Path, key: str) -> Path:
    return Path(cache) / key[:2] / f"{key}.json"


_CASE = ("subject", "phase", "image", "mask")
LOG_COLUMNS = ["subject", "phase", "status", "reason", "seconds", "voxels", "peak_memory_mb", "cached"]


@dataclass(frozen=True)
class Job:
    """One case to extract; small enough to be sent to any worker."""

    subject: str
    phase: str
    image: str
    mask: str
    settings: RadiomicsSettings
    cache: Path | None = None
    perturbation: Perturbation | None = None
    exclusion: str = ""
    window: tuple[float, float] | None = None


@dataclass(frozen=True)
class Outcome:
    """One line of the log, and the features where there are any."""

    subject: str
    phase: str
    status: str
    reason: str
    seconds: float
    voxels: float
    peak_memory_mb: float
    cached: bool
    values: dict[str, float] | None = None


def extract(
    cases: pd.DataFrame,
    settings: Settings,
    *,
    n_jobs: int = 1,
    cache: str | Path | None = None,
    scheduler: str | None = None,
    progress: bool = True,
    perturbation: Perturbation | None = None,
    windows: Mapping[str, tuple[float, float]] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Extract radiomics features of every case.

    Parameters
    ----------
    cases : DataFrame
        One row per subject and phase: ``subject``, ``phase``, ``image``, ``mask`` (paths; a missing path is a case
        that fails), and ``exclusion`` where there is one: why a case was left out before. Other columns are ignored.
    settings : path or mapping
        pyradiomics parameter file; see `load_settings`.
    n_jobs : int
        Processes; each holds one case and uses one thread.
    cache : path, optional
        Folder in which each case's features are kept under the hash of its image, mask, settings and library
        versions. A run that was killed at any moment goes on from there.
    scheduler : str, optional
        Address of a Dask scheduler to work on instead of this machine.
    progress : bool
        Show a progress bar.
    perturbation : Perturbation, optional
        A small change applied to every case.
    windows : mapping, optional
        Level and width (HU) of each phase outside which HU are cut off first; not given, none is.

    Returns
    -------
    features : DataFrame
        One row per subject in the order of `cases`: ``subject``, then ``<phase>__<feature>`` (float) phase by phase
        in order of appearance, features in the order of the settings. A case that failed is NaN.
    log : DataFrame
        One row per case: ``subject``, ``phase``, ``status`` (ok, warning, failed), ``reason``, ``seconds``,
        ``voxels``, ``peak_memory_mb``, ``cached``.

    Raises
    ------
    InputError
        Missing columns, the same subject and phase twice, no case at all, or unusable settings.

    Notes
    -----
    Values are those of pyradiomics on the whole image, with HU rounded after resampling; see
    `radsupport.radiomics.case.features_of`.
    """
    loaded = load_settings(settings)
    _check_cases(cases)
    folder = None if cache is None else Path(cache).absolute()
    why = cases["exclusion"].fillna("") if "exclusion" in cases else pd.Series("", cases.index)
    rows = zip(*(cases[name] for name in _CASE), why, strict=True)
    jobs = [
        Job(str(subject), str(phase), _text(image), _text(mask), loaded, folder, change, str(reason), window)
        for subject, phase, image, mask, reason in rows
        for change in [None if perturbation is None else perturbation.of(f"{subject} {phase}")]
        for window in [None if windows is None else windows[str(phase)]]
    ]
    outcomes = map_cases(run_job, jobs, n_jobs, scheduler, progress, description="radiomics", on_failure=_failed)
    return _table(outcomes, loaded), _log(outcomes)


def controlled(
    cases: pd.DataFrame, settings: Settings, controls: Sequence[str], *, seed: int, **options: Any
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Measure the original (unfiltered) image of every case in each negative control of it.

    Parameters
    ----------
    cases, settings
        As of `extract`; of the image types only the original one is measured.
    controls : sequence of str
        Kind and region, such as "shuffled roi" (`radsupport.imaging.controls.control_image`), made on the image as
        scanned.
    seed : int
        Each case draws from a stream of its own, by this seed, its subject and its phase.
    **options
        Of `extract`: n_jobs, cache, scheduler, progress, windows.

    Yields
    ------
    str
        Name of the table, ``features_radiomics_control_<kind>_<region>``.
    DataFrame
        As `extract` returns features. Nothing is yielded where there is no case, or the original image is not among
        those of the settings.
    """
    loaded = load_settings(settings)
    kept = {key: own for key, own in loaded.image_types.items() if key == "Original"}
    for control in controls if kept and len(cases) else []:
        change = Perturbation(control, seed=seed, control=control)
        table, _ = extract(cases, replace(loaded, image_types=kept), perturbation=change, **options)
        yield f"features_radiomics_control_{control.replace(' ', '_')}", table


def run_job(job: Job) -> Outcome:
    """Extract one case, from the cache where it is there."""
    reset_peak()
    start = time.perf_counter()
    _require_paths(job)
    key = "" if job.cache is None else _key(job)
    kept = None if job.cache is None else load(job.cache, key)
    if kept is not None:
        return Outcome(job.subject, job.phase, **{**kept, "cached": True})
    outcome = _outcome(job, extract_case(job.image, job.mask, job.settings, job.perturbation, job.window), start)
    if job.cache is not None:
        content = {k: v for k, v in vars(outcome).items() if k not in ("subject", "phase")}
        store(job.cache, key, content)
    return outcome


def _key(job: Job) -> str:
    change = "" if job.perturbation is None else repr(replace(job.perturbation, name="")) + job.perturbation.control
    change += "" if job.window is None else f"window {job.window}"
    return case_key(job.image, job.mask, job.settings.digest(), change)


def _outcome(job: Job, found: CaseFeatures, start: float) -> Outcome:
    """Return a finished case; infinite values become NaN with a message."""
    infinite = [name for name, value in found.values.items() if np.isinf(value)]
    values = {name: (np.nan if np.isinf(value) else value) for name, value in found.values.items()}
    messages = [*found.messages, *(f"{name} is infinite, set to NaN" for name in infinite)]
    status = "warning" if messages else "ok"
    seconds = time.perf_counter() - start
    return Outcome(job.subject, job.phase, status, "; ".join(messages), seconds, found.voxels, peak_mb(), False, values)


def _failed(job: Job, reason: str) -> Outcome:
    return Outcome(job.subject, job.phase, "failed", reason, np.nan, np.nan, np.nan, False)


def _require_paths(job: Job) -> None:
    if job.exclusion:
        raise InputError(f"Excluded: {job.exclusion}")
    missing = [key for key in ("image", "mask") if not getattr(job, key)]
    if missing:
        raise InputError(f"The case has no {' and no '.join(missing)}.")
    for path in (job.image, job.mask):
        if not Path(path).is_file():
            raise InputError(f"There is no such file: {Path(path).name}.")


def _text(path: Any) -> str:
    """Return a path as absolute text (workers may run elsewhere), "" for None, NaN, NA and ""."""
    return str(Path(path).absolute()) if isinstance(path, str | Path) and str(path) else ""


def _check_cases(cases: pd.DataFrame) -> None:
    """Refuse a table that is no list of cases."""
    missing = [name for name in _CASE if name not in cases]
    if missing:
        problems = [Problem("missing column", remedy="add it", column=name) for name in missing]
        raise InputError("The table of cases has columns missing.", problems)
    if cases.empty:
        raise InputError("The table of cases is empty.")
    twice = cases[cases.duplicated(["subject", "phase"], keep=False)]
    if len(twice):
        pairs = sorted({f"{row.subject} {row.phase}" for row in twice.itertuples()})
        raise InputError("The table of cases has a subject twice in one phase.", [Problem(pair) for pair in pairs])


def _table(outcomes: Sequence[Outcome], settings: RadiomicsSettings) -> pd.DataFrame:
    """Return one row per subject, every expected column, NaN where a case failed."""
    names = feature_names(settings)
    subjects = list(dict.fromkeys(outcome.subject for outcome in outcomes))
    phases = list(dict.fromkeys(outcome.phase for outcome in outcomes))
    found = {(outcome.subject, outcome.phase): outcome.values or {} for outcome in outcomes}
    rows = [
        [value for phase in phases for value in map(found.get((subject, phase), {}).get, names)] for subject in subjects
    ]
    columns = [f"{phase}__{name}" for phase in phases for name in names]
    table = pd.DataFrame(np.array(rows, dtype=float), columns=columns)
    table.insert(0, "subject", subjects)
    return table


def _log(outcomes: Sequence[Outcome]) -> pd.DataFrame:
    return pd.DataFrame([{name: getattr(outcome, name) for name in LOG_COLUMNS} for outcome in outcomes])
