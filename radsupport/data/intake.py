"""From a hospital's folders to a manifest: many examinations are converted, each under a pseudonym.

Whatever one examination brings along costs its own row: the others are converted, and what is done stays done.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from radsupport.data.acquisition import BESIDE
from radsupport.data.manifest import append_rows, parse_manifest
from radsupport.data.people import KEY, PERSONAL, as_known, pseudonymised, pseudonyms
from radsupport.data.sheets import normalise, read_sheet, unreadable
from radsupport.errors import InputError, Problem, RadsupportError, one_line
from radsupport.files import file_stems, sha256, write_csv, written_whole
from radsupport.imaging.acquisition import acquisition
from radsupport.imaging.dicom import HEADERS, read_dicom
from radsupport.imaging.examinations import (
    CONVERT,
    LEFT_OUT,
    UNCLEAR,
    Examination,
    Rules,
    phases_of,
    survey,
    with_region,
)
from radsupport.imaging.ingestion import Ingested, ingest, volumes
from radsupport.parallel import map_cases
from radsupport.wording import counted, listed

#: Columns of a table of examinations; the last three may be left out.
TABLE = ("subject", "phase", "folder", "series", "region", "center")
MANIFEST, INGESTED, PLAN = "manifest.csv", "ingested.csv", "plan.csv"
CLINICAL = "clinical.csv"
IMAGES = "images"
#: What can become of a series.
STEPS = ("done", "failed", UNCLEAR, LEFT_OUT)
_OUTCOME = ("step", "reason", "notes", "image", "mask")


@dataclass(frozen=True)
class _Case:
    """One examination under the names it gets."""

    examination: Examination
    subject: str
    stem: str
    out: Path


def read_examinations(path: Path, rules: Rules, unpacked: Path) -> tuple[list[Examination], dict[str, str]]:
    """Read a table of examinations; return them, and the centers by subject.

    Parameters
    ----------
    path : Path
        CSV or workbook with the columns of `TABLE`. Folders are taken from where the table lies.
    rules : Rules
        Tell apart what the table leaves open.
    unpacked : Path
        An empty folder for what is in archives.

    Raises
    ------
    InputError
        The table can not be read, lacks a column, or names a case twice; all at once. A folder without scans is a row
        with its reason.
    """
    sheet = read_sheet(Path(path))
    header = [normalise(str(name)) for name in sheet.table]
    table = sheet.table.set_axis(header, axis=1).set_axis(sheet.rows, axis=0)
    lacking = [name for name in TABLE[:3] if name not in header]
    problems = [Problem("this column is missing", f"columns {', '.join(TABLE)}", "add it", str(path), "1", name)
                for name in lacking]  # fmt: skip
    table = table.reindex(columns=list(TABLE), fill_value="").apply(lambda column: column.astype(str).str.strip())
    table = table[table.ne("").any(axis=1)]
    twice = table[table.duplicated(["subject", "phase"], keep=False)] if not lacking else table.head(0)
    for (subject, phase), rows in twice.groupby(["subject", "phase"], sort=False):
        at, shown = ", ".join(map(str, rows.index)), f"{subject}, {phase}"
        problems.append(Problem("a case twice", "one row", "keep one", str(path), at, "subject, phase", shown))
    if problems:
        raise InputError("The table of examinations can not be used.", problems)
    surveyed: dict[str, list[Examination] | str] = {}
    for number, folder in enumerate(dict.fromkeys(table["folder"])):
        try:
            surveyed[folder] = survey(Path(path).parent / folder, rules, unpacked / f"folder{number}")
        except RadsupportError as error:
            surveyed[folder] = one_line(error)
    found = [_asked(row, surveyed[row["folder"]], rules) for row in table.to_dict("records")]
    return found, {row["subject"]: row["center"] for row in table.to_dict("records") if row["center"]}


def _asked(row: Mapping[Any, str], found: list[Examination] | str, rules: Rules) -> Examination:
    """Return the series that a row of a table means."""
    nothing = Examination(row["subject"], row["phase"], "", 0, "", (), "", UNCLEAR, "", row["folder"], "", "", ())
    if isinstance(found, str):
        return replace(nothing, reason=found)
    named = [replace(one, step=CONVERT, reason="") if one.step == LEFT_OUT else one for one in found if one.series]
    open_ = [one for one in found if one.series and one.step != LEFT_OUT]
    phased = [one for one in open_ if row["phase"] in phases_of(one, rules)]
    drawn = [one for one in open_ if one.outlines]
    groups = [[one for one in named if one.series == row["series"]]] if row["series"] else [open_, phased, drawn]
    chosen = next((group[0] for group in groups if len(group) == 1), None)
    if chosen is None:
        known = "; ".join(f"{one.series} ({one.description or 'no description'}, {one.slices} slices)" for one in named)
        what = "no such series" if row["series"] else f"{len(open_)} series and none named"
        return replace(nothing, reason=f"{what}: {known}")
    return with_region(replace(chosen, subject=row["subject"], phase=row["phase"]), rules, row["region"])


def take_in(
    found: Sequence[Examination], out: Path, study: str, centers: Mapping[str, str], center: str, *,
    keep_ids: bool = False, n_jobs: int = 1,
) -> pd.DataFrame:  # fmt: skip
    """Convert what can be, and write images, acquisition table, manifest and a table of what became of every series.

    Parameters
    ----------
    found : sequence of Examination
    out : Path
        Folder of the study's own data: ``images/``, ``manifest.csv``, ``key.csv``, ``ingested.csv``.
    study : str
        Id for the manifest.
    centers : mapping
        Center by subject.
    center : str
        Center of all others.
    keep_ids : bool
        Subjects keep their names.
    n_jobs : int
        Series at once.

    Returns
    -------
    DataFrame
        One row per series: subject (pseudonym), phase, region, step ("done", "failed", "unclear", "left out"), reason,
        notes, image, mask.

    Raises
    ------
    InputError
        A subject has another center in the manifest; nothing is converted.

    Notes
    -----
    What was converted before from the same series and the same outline is not converted again.
    """
    out, todo = Path(out), [one for one in found if one.step == CONVERT]
    people = list(dict.fromkeys(one.subject for one in found if one.subject))
    names = {one: one for one in people} if keep_ids else pseudonyms(people, out / KEY)
    _refuse_other_centers(out / MANIFEST, study, {one: (names[one], centers.get(one, center)) for one in people})
    stems = file_stems([(names[one.subject], one.phase) for one in todo])
    cases = [_Case(one, names[one.subject], stem, out / IMAGES) for one, stem in zip(todo, stems, strict=True)]
    done = map_cases(_converted, cases, n_jobs, description="examinations", on_failure=_failed)
    by_series = {id(case.examination): row for case, row in zip(cases, done, strict=True)}
    rows = [_row(one, names.get(one.subject, ""), by_series.get(id(one), {})) for one in found]
    table = pd.DataFrame(rows, columns=["subject", "phase", "region", *_OUTCOME])
    write_csv(_with_earlier(table, out / INGESTED, ["subject"]), out / INGESTED)
    settings = pd.DataFrame([known["acquisition"] for known in done if "acquisition" in known])
    if len(settings):
        write_csv(_with_earlier(settings, out / IMAGES / BESIDE, ["subject", "phase"]), out / IMAGES / BESIDE)
    of = {names[one]: where for one, where in centers.items() if one in names}
    _add_to_manifest(table[table["step"] == "done"], out, study, of, center)
    return table


def _refuse_other_centers(manifest: Path, study: str, people: Mapping[str, tuple[str, str]]) -> None:
    """Refuse subjects whom the manifest has in another center: two hospitals number their patients alike."""
    rows = parse_manifest(manifest, study)[0] if manifest.is_file() else pd.DataFrame(columns=["subject", "center"])
    before = dict(zip(rows["subject"], rows["center"], strict=True))
    problems = [
        Problem(f"this subject is in center {before[name]} by now", f"center {before[name]}",
                "correct the manifest; for two patients of one id give each center its own --out and join the tables",
                str(manifest), value=f"{one} ({name}) in center {center}")
        for one, (name, center) in people.items() if before.get(name, center) != center
    ]  # fmt: skip
    if problems:
        raise InputError("Nothing was converted: the centers contradict each other.", problems)


def write_plan(found: Sequence[Examination], folder: Path, path: Path, centers: Mapping[str, str], center: str) -> Path:
    """Write what would be converted or is not clear as a table that `read_examinations` reads, to be edited."""
    rows = [
        {**dict.fromkeys(TABLE, ""), "subject": one.subject, "phase": one.phase, "folder": str(Path(folder).resolve()),
         "series": one.series, "region": one.region, "center": centers.get(one.subject, center), "step": one.step,
         "reason": one.reason, "regions": ", ".join(one.regions), "description": one.description, "lies in": one.folder}
        for one in found if one.series and one.step != LEFT_OUT
    ]  # fmt: skip
    write_csv(pd.DataFrame(rows), path)
    return path


def centers_of(table: Path, column: str, center: str) -> dict[str, str]:
    """Return the center of every subject where a clinical table has a column of that name; nothing where it has not.

    Raises
    ------
    ClinicalTableError
        The table can not be read, or has no such column of subjects.
    """
    sheet = read_sheet(Path(table), subject=column)
    key, where = sheet.find(column), sheet.find(center) if center else None
    if key is None:
        raise unreadable(sheet.missing(column))
    return dict(zip(sheet.table[key], sheet.table[where], strict=True)) if where else {}


def by_subject(named: Mapping[str, str], found: Sequence[Examination]) -> dict[str, str]:
    """Return the centers of a table by subject as the scans write it: a spreadsheet loses zeros in front."""
    alike = as_known([one.subject for one in found], named)
    return {alike[one]: center for one, center in named.items() if center}


def as_text(done: pd.DataFrame, out: Path, *, keep_ids: bool = False) -> str:
    """Return what became of every series, how many there are of each step, and where the files lie, as text."""
    counts = ", ".join(f"{n} {step}" for step in STEPS if (n := int(done["step"].eq(step).sum())))
    lines = [done.drop(columns=["image", "mask"]).to_string(index=False), f"{counts}. This table: {out / INGESTED}."]
    lines += [f"Manifest: {out / MANIFEST}."] * (out / MANIFEST).is_file()
    return "\n".join([*lines, *[f"Who is who stands in {out / KEY}: keep it to yourself."] * (not keep_ids)])


def take_in_clinical(
    table: Path, column: str, out: Path, study: str, *, keep_ids: bool = False
) -> tuple[Path, list[str]]:
    """Write a copy of a clinical table whose subjects have the manifest's names; return where, and what to know of it.

    Raises
    ------
    ClinicalTableError
        The table can not be read, or has no such column.
    """
    path = Path(out) / CLINICAL
    whole = read_sheet(Path(table), subject=column).table if keep_ids else pseudonymised(table, column, Path(out) / KEY)
    write_csv(whole, path)
    files = parse_manifest(Path(out) / MANIFEST, study)[0]
    if path.name not in set(files["path"]):
        append_rows(Path(out) / MANIFEST, [[study, "", "", "", "clinical", path.name]])
    key, written = next(str(name) for name in whole if normalise(str(name)) == normalise(column)), len(whole)
    rows, scans = set(whole[key]), set(files["subject"]) - {""}
    notes = [f"{counted(written, 'row')}, {len(rows & scans)} of subjects with a converted scan"]
    notes += [f"without a row: {listed(sorted(scans - rows), 20)}"] if scans - rows else []
    notes += [f"without a scan: {listed(sorted(rows - scans), 20)}"] if rows - scans else []
    personal = [name for name in whole if name != key and PERSONAL.search(str(name))]
    notes += [f"names persons in columns {listed(personal)}: delete these where they are not needed"] * bool(personal)
    return path, notes


def _row(one: Examination, subject: str, known: Mapping[str, Any]) -> dict[str, Any]:
    own = {"subject": subject, "phase": one.phase, "region": one.region, "step": one.step, "reason": one.reason}
    return {
        **own,
        "notes": "" if subject else one.folder,
        "image": "",
        "mask": "",
        **{key: known[key] for key in known if key in _OUTCOME},
    }


def _failed(case: _Case, reason: str) -> dict[str, Any]:
    return {"step": "failed", "reason": reason}


def _converted(case: _Case) -> dict[str, Any]:
    """Convert one series, unless that was done before; return what is known of it."""
    one, record = case.examination, case.out / f"{case.stem}_ingested.json"
    before = _before(record, case)
    if before:
        return before
    paths = [*one.files, *([one.outline] if one.outline else [])]
    heads = {path: read_dicom(path, stop_before_pixels=True, specific_tags=HEADERS) for path in paths}
    done = ingest(one.files[0].parent, case.out, case.stem, one.region or None, one.outline, one.series, heads)
    settings = acquisition([heads[path] for path in one.files], float(done.series.image.GetSpacing()[2]))
    files = {"image": done.image.name, "mask": done.mask.name if done.mask else ""}
    known = {**_source(one), "step": "done", "reason": one.reason, "notes": _notes(done)}
    whole = {**known, **files, "acquisition": {"subject": case.subject, "phase": one.phase, **settings}}
    with written_whole(record) as partial:
        partial.write_text(json.dumps(whole, ensure_ascii=False), encoding="utf-8")
    return whole


def _before(record: Path, case: _Case) -> dict[str, Any]:
    """Return what an earlier run noted of the same series and outline; empty where that, or a file, is not there."""
    try:
        known: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    same = {key: known.get(key) for key in _source(case.examination)} == _source(case.examination)
    files = [known.get("image", ""), *([known.get("mask")] if known.get("region") else [])]
    return known if same and all(name and (case.out / name).is_file() for name in files) else {}


def _source(one: Examination) -> dict[str, str]:
    """Return what decides the files of a case: its series, and the region as it is drawn."""
    return {"series": one.series, "region": one.region, "outline": sha256(one.outline) if one.outline else ""}


def _notes(done: Ingested) -> str:
    outline = [volumes(done.outline.drawn_mm3, done.outline.mm3), *done.outline.notes] if done.outline else []
    return "; ".join([*done.odd, *outline])


def _with_earlier(table: pd.DataFrame, path: Path, key: list[str]) -> pd.DataFrame:
    """Return a table below the rows that earlier runs, such as of another center, wrote of others."""
    if not path.is_file():
        return table
    earlier = pd.read_csv(path, dtype=str, keep_default_na=False)
    now = set(map(tuple, table[key].astype(str).to_numpy()))
    kept = [tuple(row) not in now and row[0] != "" for row in earlier[key].to_numpy()]
    return pd.concat([earlier[kept], table], ignore_index=True) if any(kept) else table


def _add_to_manifest(done: pd.DataFrame, out: Path, study: str, centers: Mapping[str, str], center: str) -> None:
    """Append the rows of files that the manifest does not name yet."""
    manifest = out / MANIFEST
    known = set(parse_manifest(manifest, study)[0]["path"]) if manifest.is_file() else set()
    rows = []
    for row in done.to_dict("records"):
        for role in ("image", "mask"):
            path = os.path.join(IMAGES, row[role]).replace(os.sep, "/")
            if row[role] and path not in known:
                rows.append([study, row["subject"], centers.get(row["subject"], center), row["phase"], role, path])
    if rows:
        append_rows(manifest, rows)
