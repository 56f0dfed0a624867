"""The data manifest: one row per input file, and where each file lies on this machine."""

from __future__ import annotations

import csv
import difflib
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from radsupport.data.sheets import read_cells
from radsupport.errors import ClinicalTableError, ManifestError, Problem
from radsupport.files import written_whole
from radsupport.settings.study import Study
from radsupport.study import StudyPaths

MANIFEST = Path("data_manifest.csv")
GENERATED = "manifest.csv"
REQUIRED = ("study", "subject", "center", "phase", "role", "path")
OPTIONAL = ("url", "sha256", "licence", "exclusion")
CASE_ROLES = ("image", "mask", "mask_reader2", "roi_rough", "samples")
SUBJECT_ROLES = ("dicom", "rtstruct", "seg")
TABLE_ROLES = ("clinical", "features")
SCREENED = "screened"
"""Role of a row that names no file: somebody who was screened and left out, with the reason in `exclusion`."""
ROLES = (*CASE_ROLES, *SUBJECT_ROLES, *TABLE_ROLES, SCREENED)
#: Cells that a row must fill, where these are not study, subject, center, phase and path.
NEEDED: dict[str, tuple[str, ...]] = dict.fromkeys(TABLE_ROLES, ("study", "path"))
NEEDED |= dict.fromkeys(SUBJECT_ROLES, ("study", "subject", "center", "path"))
NEEDED[SCREENED] = ("study", "subject", "center", "exclusion")


def read_manifest(path: Path, study: str | None = None) -> pd.DataFrame:
    """Read a manifest and keep the rows of one study.

    Parameters
    ----------
    path : Path
        CSV with the columns of `REQUIRED` and, where wanted, of `OPTIONAL`.
    study : str, optional
        Id of the study; all rows if not given.

    Returns
    -------
    pandas.DataFrame
        All columns of `REQUIRED` and `OPTIONAL` as text (empty where not given), and `row`, the row
        as a spreadsheet numbers it.

    Raises
    ------
    ManifestError
        No such file, unknown or missing columns, unknown roles, missing cells, duplicates; all at once.
        Problems in rows of other studies are not raised.
    """
    table, problems = parse_manifest(path, study)
    if problems:
        raise ManifestError(f"The manifest {path} can not be used.", problems)
    return table


def parse_manifest(path: Path, study: str | None = None) -> tuple[pd.DataFrame, list[Problem]]:
    """Return the rows of a manifest and everything wrong with them, without raising; see `read_manifest`."""
    empty = pd.DataFrame(columns=[*REQUIRED, *OPTIONAL, "row"])
    if not Path(path).is_file():
        return empty, [Problem("there is no such manifest", remedy="correct the path", file=str(path))]
    try:
        cells, _ = read_cells(Path(path))
    except ClinicalTableError as error:
        return empty, list(error.problems)
    table = cells.iloc[1:].set_axis([str(name).strip() for name in cells.iloc[0]], axis=1).reset_index(drop=True)
    table = table.loc[:, [bool(name) or bool((table.iloc[:, i] != "").any()) for i, name in enumerate(table.columns)]]
    problems = list(_column_problems(list(table.columns), str(path)))
    table = table.fillna("").apply(lambda column: column.str.strip())
    table = table.reindex(columns=[*REQUIRED, *OPTIONAL], fill_value="")
    table["row"] = range(2, len(table) + 2)
    table = table[table.drop(columns="row").ne("").any(axis=1)]
    if study is not None:
        table = table[table["study"] == study]
    table = table.reset_index(drop=True)
    return table, problems + list(_row_problems(table, str(path)))


def study_files(study: Study, root: Path = Path()) -> pd.DataFrame:
    """Return the files of one study, with `file`, the place where each one lies on this machine.

    Parameters
    ----------
    study : Study
    root : Path
        Project root.

    Returns
    -------
    pandas.DataFrame
        As `read_manifest`, and `file` (Path), whether it exists or not. A synthetic study's manifest is
        the one its generator wrote.

    Raises
    ------
    ManifestError
        The manifest can not be used, or has no row of this study.
    """
    path = manifest_path(study, root)
    table = read_manifest(path, study.id)
    if table.empty:
        studies = ", ".join(sorted(set(read_manifest(path)["study"]))) or "none"
        where: dict[str, Any] = {"file": str(path), "column": "study", "value": study.id}
        problem = Problem("no row of this study", f"one of {studies}", "add its files", **where)
        raise ManifestError(f"The manifest {path} names no file of study {study.id}.", [problem])
    return with_files(table, path, StudyPaths(study.id, Path(root)))


def manifest_path(study: Study, root: Path = Path()) -> Path:
    """Return the manifest that a study's files are listed in."""
    if study.is_synthetic:
        return StudyPaths(study.id, Path(root)).data / GENERATED
    return Path(root) / study.data.manifest


def with_files(table: pd.DataFrame, manifest: Path, paths: StudyPaths) -> pd.DataFrame:
    """Add `file`: an absolute path as it is, else in ``data/<study>``, else beside the manifest."""

    def place(text: str) -> Path:
        fetched, beside = paths.data / text, Path(manifest).parent / text
        return beside if beside.exists() and not fetched.exists() else fetched

    return table.assign(file=pd.Series([place(text) for text in table["path"]], table.index, dtype=object))


def append_rows(path: Path, rows: list[list[str]]) -> None:
    """Append rows (study, subject, center, phase, role, path) to a manifest, in the order of its columns.

    Raises
    ------
    ManifestError
        The manifest lacks one of these columns, or already names one of the cases.
    """
    text = path.read_text(encoding="utf-8") if path.is_file() else ",".join(REQUIRED) + "\n"
    header = next(csv.reader(io.StringIO(text.lstrip("\ufeff"))))
    lines = [dict(zip(REQUIRED, row, strict=True)) for row in rows]
    added = as_csv([[line.get(column.strip(), "") for column in header] for line in lines])
    with written_whole(path) as partial:
        partial.write_text(text + ("" if text.endswith("\n") else "\n") + added, encoding="utf-8")
        _, problems = parse_manifest(partial)
        if problems:
            shown = [Problem(p.what, p.expected, p.remedy, str(path), p.row, p.column, p.value) for p in problems]
            raise ManifestError(f"Nothing was appended to {path}: with these rows it could not be used.", shown)


def as_csv(rows: list[list[str]]) -> str:
    """Return rows as the lines of a manifest."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue()


def _column_problems(columns: list[str], file: str) -> Iterator[Problem]:
    known = [*REQUIRED, *OPTIONAL]
    for column in columns:
        if column not in known:
            near = difflib.get_close_matches(column, known, n=1, cutoff=0.5)
            remedy = f"did you mean `{near[0]}`?" if near else "remove it"
            yield Problem("unknown column", f"one of {', '.join(known)}", remedy, file, "1", column)
    for column in REQUIRED:
        if column not in columns:
            yield Problem("this column is missing", remedy="add it", file=file, row="1", column=column)


def _row_problems(table: pd.DataFrame, file: str) -> Iterator[Problem]:
    for row in table.itertuples():
        at, role = str(row.row), str(row.role)
        if role not in ROLES:
            near = difflib.get_close_matches(role, ROLES, n=1, cutoff=0.4)
            remedy = f"did you mean `{near[0]}`?" if near else "name what the file is"
            yield Problem("unknown role", f"one of {', '.join(ROLES)}", remedy, file, at, "role", role)
        for column in NEEDED.get(role, ("study", "subject", "center", "phase", "path")):
            if not getattr(row, column):
                yield Problem("an empty cell", f"a value for role {role}", "fill it in", file, at, column)
        if row.sha256 and not re.match(r"^[0-9a-f]{64}$", str(row.sha256)):
            remedy = "copy it again, or leave it empty"
            yield Problem("no sha256", "64 hexadecimal digits", remedy, file, at, "sha256", str(row.sha256))
        if row.url and not re.match(r"^https?://", str(row.url)):
            remedy = "correct it or leave it empty"
            yield Problem("no web address", "https://...", remedy, file, at, "url", str(row.url))
    yield from _duplicates(table, file)
    yield from _two_centers(table, file)


def _duplicates(table: pd.DataFrame, file: str) -> Iterator[Problem]:
    cases = table[table["role"].isin((*CASE_ROLES, *SUBJECT_ROLES, SCREENED))]
    keys = ["study", "subject", "phase", "role"]
    for key, rows in cases[cases.duplicated(keys, keep=False)].groupby(keys, sort=False):
        _, subject, phase, role = (str(part) for part in key)
        what = f"subject {subject} has {len(rows)} files with role {role} in phase {phase or '(none)'}"
        yield Problem(what, "one", "keep one of the rows", file, ", ".join(map(str, rows["row"])), "subject", subject)
    for path, rows in table[table.duplicated(["study", "path"], keep=False) & table["path"].ne("")].groupby("path"):
        at = ", ".join(map(str, rows["row"]))
        yield Problem("the same file twice", "one row per file", "correct the path", file, at, "path", str(path))


def _two_centers(table: pd.DataFrame, file: str) -> Iterator[Problem]:
    named = table[table["subject"].ne("") & table["center"].ne("")]
    for (_, subject), rows in named.groupby(["study", "subject"], sort=False):
        centers = list(dict.fromkeys(rows["center"]))
        if len(centers) > 1:
            at, shown = ", ".join(map(str, rows["row"])), f"{subject}: {', '.join(centers)}"
            yield Problem("a subject in two centers", "one center", "correct it", file, at, "center", shown)
