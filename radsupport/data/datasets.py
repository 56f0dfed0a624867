"""Get the files of a study: download them, or take them from a local folder, and verify their checksums.

Building the book never touches the network: `availability` and `prepare` use files that were fetched
before, or the folder named by ``RADSUPPORT_DATA``. Only `fetch` downloads, and only when it is called.
"""

from __future__ import annotations

import logging
import re
import shutil
from pathlib import Path

import pandas as pd
from requests.exceptions import ConnectionError as NoConnection
from requests.exceptions import RequestException, Timeout
from tqdm import tqdm

from radsupport.data.manifest import manifest_path, study_files
from radsupport.errors import FetchError, ManifestError, Problem
from radsupport.files import MIRROR, mirror_folder, written_whole
from radsupport.files import sha256 as checksum
from radsupport.settings.study import Study
from radsupport.study import StudyPaths

CONNECT_SECONDS, READ_SECONDS = 5, 30
Outcome = tuple[str, Problem | None]  # what was done, and what went wrong


def availability(study: Study, root: Path = Path()) -> tuple[bool, str]:
    """Say whether a study can be built here and now, without the network.

    Parameters
    ----------
    study : Study
    root : Path
        Project root.

    Returns
    -------
    bool
        Whether every file is here or in the local folder (contents are verified by `prepare`).
    str
        Where the data are, or why they are not available and what to do; one sentence, for the reader.
    """
    if study.is_synthetic:
        return True, "synthetic: generated on this machine"
    if study.data.collection and not manifest_path(study, root).is_file():
        how = f"`radsupport idc {study.data.collection} --study {study.id} --fetch`, then `radsupport ingest`"
        return False, f"a public collection that was not fetched yet: {how}"
    try:
        files, folder = _named_files(study, root), mirror_folder()
    except (ManifestError, FetchError) as error:
        return False, str(error)
    absent = files[[not path.is_file() for path in files["file"]]]
    tables = _of_nobody(absent)
    named = f" (missing: {', '.join(tables[:3])}{', …' * (len(tables) > 3)})" if tables else ""
    if absent.empty:
        return True, f"all {len(files)} files are on this machine"
    if folder is not None:
        missing = absent[[not (folder / path).is_file() for path in absent["path"]]]
        if missing.empty:
            return True, f"all {len(files)} files are on this machine or in the folder {MIRROR} names"
        lacking = f"{len(missing)} of its {len(files)} files are not in the folder {MIRROR} names"
        return False, "".join([lacking, *(f", such as {path}" for path in _of_nobody(missing)[:1])])
    how = f"set {MIRROR} to a folder that holds them"
    if study.data.local_only:
        how = f"they have no public address: {how}"
    else:
        how = f"run `radsupport fetch {study.id}` where there is internet, or {how}"
    return False, f"{len(absent)} of its {len(files)} files are not on this machine; {how}{named}"


def _of_nobody(files: pd.DataFrame) -> list[str]:
    """Return the paths of files of no single patient: others may hold an id, and pages quote why data are absent."""
    return list(files.loc[files["subject"] == "", "path"])


def _named_files(study: Study, root: Path) -> pd.DataFrame:
    """Return the rows of the manifest that name a file; rows of people who were screened out name none."""
    files = study_files(study, root)
    return files[files["path"] != ""]


def fetch(study: Study, mirror: Path | None = None, out: Path | None = None, root: Path = Path()) -> pd.DataFrame:
    """Bring every file of a study to ``data/<study>`` and verify it.

    Parameters
    ----------
    study : Study
    mirror : Path, optional
        Folder to copy from instead of downloading; ``RADSUPPORT_DATA`` if not given. Paths below it are
        those of the manifest.
    out : Path, optional
        Where to put the files; ``data/<study>`` if not given.
    root : Path
        Project root.

    Returns
    -------
    pandas.DataFrame
        path, action (``verified`` where it was there already, ``copied``, ``downloaded``), checksum
        (``matches`` or ``none given``).

    Raises
    ------
    FetchError
        Every file that could not be had, with expected and found checksum; the other files are kept.
    """
    if study.is_synthetic:
        made = f"`radsupport demo {study.id}` makes it"
        raise FetchError(f"Study {study.id} is synthetic: there is nothing to fetch; {made}.")
    folder, files = mirror_folder(mirror), _named_files(study, root)
    out = StudyPaths(study.id, Path(root)).data if out is None else Path(out)
    problems, done, rows = [], [], list(files.itertuples(index=False))
    for row in tqdm(rows, desc=f"fetch {study.id}", unit="file"):
        target = out / row.path
        there = row.file if row.file.is_file() and not target.is_file() else target
        action, problem = _bring(str(row.path), str(row.url), str(row.sha256), there, target, folder)
        if problem is None:
            done.append({"path": row.path, "action": action, "checksum": "matches" if row.sha256 else "none given"})
            continue
        problems.append(problem)
        if action == "offline":
            break
    if problems:
        left = len(rows) - len(done)
        raise FetchError(f"{left} of the {len(rows)} files of study {study.id} could not be had.", problems)
    return pd.DataFrame(done, columns=["path", "action", "checksum"])


def prepare(study: Study, root: Path = Path(), n_jobs: int = 1) -> str:
    """Make a study's data ready without the network, and leave ``data/<study>/.ready``.

    Parameters
    ----------
    study : Study
    root : Path
        Project root.
    n_jobs : int
        Synthetic patients rendered at once.

    Returns
    -------
    str
        What was done, in one sentence.

    Raises
    ------
    FetchError
        A real study's files are neither here nor in the folder that ``RADSUPPORT_DATA`` names, or
        their checksums are wrong.
    """
    paths = StudyPaths(study.id, Path(root))
    if study.is_synthetic:
        from radsupport.data import synthetic_scans  # only needed here, and it loads the image libraries

        manifest = synthetic_scans.generate(study, paths.data, n_jobs=n_jobs)
        drawn = manifest.loc[manifest["path"] != "", "subject"].nunique()
        said = f"generated {drawn} synthetic patients in {paths.data}"
    else:
        here, reason = availability(study, root)
        if not here:
            raise FetchError(f"Study {study.id} is not available: {reason}.")
        said = summary(fetch(study, root=root))
    paths.data.mkdir(parents=True, exist_ok=True)
    (paths.data / ".ready").touch()
    return said


def summary(done: pd.DataFrame) -> str:
    """Say what `fetch` did in one sentence."""
    parts = [f"{n} {action}" for action, n in done["action"].value_counts().items()]
    unchecked = int((done["checksum"] == "none given").sum())
    note = f"; {unchecked} without a checksum to verify" if unchecked else ""
    return f"{len(done)} files: {', '.join(parts)}{note}"


def _bring(path: str, url: str, sha256: str, there: Path, target: Path, folder: Path | None) -> Outcome:
    """Get one file; one without a checksum is copied again where the local folder has another, newer one."""
    if there.is_file() and not (folder is not None and not sha256 and _is_newer(folder / path, target)):
        remedy = "delete it and fetch again" if there == target else "correct the file or its checksum in the manifest"
        return "verified", _wrong_checksum(there, sha256, remedy)
    if Path(path).is_absolute() or ".." in Path(path).parts:
        expected, remedy = "a path below it, without ..", "correct the path in the manifest"
        return "", Problem("it would be written outside the study's folder", expected, remedy, path)
    if folder is not None:
        source = folder / path
        if not source.is_file():
            return "", Problem("not in the local folder", f"a file {path} below {folder}", "complete the folder", path)
        problem = _wrong_checksum(source, sha256, "replace it by the original file")
        if problem is None:
            with written_whole(target) as partial:
                shutil.copyfile(source, partial)
        return "copied", problem
    if not url:
        remedy = f"put it in a folder and name that by --mirror or {MIRROR}"
        return "", Problem("no public address", remedy=remedy, file=path)
    return _download(path, url, sha256, target)


def _is_newer(source: Path, target: Path) -> bool:
    """Tell whether a file was changed after its copy was made."""
    if not (source.is_file() and target.is_file()) or source.stat().st_mtime <= target.stat().st_mtime:
        return False
    return checksum(source) != checksum(target)


def _wrong_checksum(file: Path, sha256: str, remedy: str) -> Problem | None:
    found = checksum(file) if sha256 else ""
    wrong = Problem("wrong checksum", f"sha256 {sha256}", remedy, str(file), value=f"sha256 {found}")
    return None if found == sha256 else wrong


def _download(path: str, url: str, sha256: str, target: Path) -> Outcome:
    """Download once; pooch writes a temporary file and renames it when the checksum is right."""
    import pooch  # only where something is downloaded: it warns in notebooks that have no progress bars

    pooch.get_logger().setLevel(logging.WARNING)
    quick = pooch.HTTPDownloader(timeout=(CONNECT_SECONDS, READ_SECONDS))
    try:
        pooch.retrieve(url, sha256 or None, target.name, target.parent, downloader=quick)
    except (NoConnection, Timeout) as error:
        remedy = f"try again where there is internet, or name a local folder by --mirror or {MIRROR}"
        return "offline", Problem(f"no connection ({type(error).__name__})", remedy=remedy, file=path, value=url)
    except RequestException as error:
        return "", Problem(f"the server refused: {error}", remedy="check the address", file=path, value=url)
    except ValueError as error:  # pooch's word for a wrong checksum; nothing is kept
        got = re.search(r"but got ([0-9a-f]+)", str(error))
        value = f"sha256 {got.group(1)}" if got else str(error)
        remedy = "the public file changed: compare it with the source named in the manifest"
        return "", Problem("wrong checksum", f"sha256 {sha256}", remedy, path, value=value)
    return "downloaded", None
