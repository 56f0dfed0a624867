"""Check own data before building: every problem of manifest, images, masks and clinical table at once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import SimpleITK as sitk

from radsupport.data.clinical import clinical_path, clinical_sheet, doubled, typed_table, with_follow_up
from radsupport.data.cohort_tables import CohortTables
from radsupport.data.doubts import separating, settings_problems, table_doubts
from radsupport.data.manifest import CASE_ROLES, SUBJECT_ROLES, manifest_path, parse_manifest, with_files
from radsupport.data.open import read_feature_study, said
from radsupport.data.sheets import Sheet, near_names, read_sheet
from radsupport.errors import GeometryError, Problem, RadsupportError, serious
from radsupport.files import sha256
from radsupport.imaging.dicom import read_dicom, scan_folder
from radsupport.imaging.hounsfield import hu_problems, without_padding
from radsupport.imaging.ingestion import ingested
from radsupport.imaging.masks import MIN_VOXELS, mask_quality, warnings_of
from radsupport.imaging.reading import check_geometry, label_values, read_image, read_label_map, read_mask
from radsupport.parallel import map_cases
from radsupport.settings.study import Study
from radsupport.stats.shift import on_another_scale, shifts
from radsupport.study import StudyPaths, trained_centers
from radsupport.wording import counted, listed

MISSING_CODES = (
    *("na", "n/a", "n.a.", "-", "--", "?", "unknown", "missing", "not available"),
    *("unbekannt", "unklar", "k.a.", "k. a.", "keine angabe", "inconnu"),
)
NO_NUMBER = ("nan", "inf", "-inf")
OUTCOMES = ("label", "event")
LIMITS = {"age": (0.0, 120.0), "time": (0.0, math.inf)}
MOSTLY_NUMBERS = 0.8
FOLDER_ROLES = ("dicom",)
MASK_ROLES = ("mask", "mask_reader2", "roi_rough")
NO_ROWS = ("the manifest has no rows", "add one row per file")


def check_typed_sheet(study: Study, path: Path, centers: Mapping[str, str]) -> list[Problem]:
    """Check the clinical table as the study file types it.

    Parameters
    ----------
    study : Study
    path : Path
    centers : mapping
        Subjects of the manifest with their center.

    Returns
    -------
    list of Problem
        Everything `read_clinical` would refuse; empty cells of subjects in the manifest; subjects without
        the primary outcome; centers that differ from the manifest's.

    Raises
    ------
    ClinicalTableError
        The file can not be read at all.
    """
    sheet = with_follow_up(study, clinical_sheet(study, path))
    table, problems = typed_table(study, sheet, gaps=bool(study.model))
    problems += _empty_cells(study, sheet, table, centers)
    named = pd.DataFrame({"subject": list(centers)})
    problems += near_names(named, table[["subject"]], "subject", sheet)
    readable = not serious(problems)
    problems += list(_without_outcome(study, sheet, table, centers))
    known = table["subject"].map(centers).fillna(table["center"])
    used = table.assign(center=known)[table["subject"].isin(centers)] if centers else table
    problems += [*table_doubts(study, used, str(path)), *_clinical_scale(study, used, path)] if readable else []
    for row in table[table["center"] != ""].to_dict("records"):
        center = centers.get(row["subject"], row["center"])
        if center != row["center"]:
            what, where = "another center than in the manifest", (row["row"], study.data.center, row["center"])
            problems.append(sheet.problem(what, f"{center}, as in the manifest", "correct one of them", *where))
    return problems


def _clinical_scale(study: Study, table: pd.DataFrame, path: Path) -> Iterator[Problem]:
    """Yield the numeric columns of a typed table that lie on another scale outside the training cohort."""
    numbers = [name for name, column in study.columns.items() if column.kind == "number" and name in table]
    known = table.drop_duplicates("subject").set_index("subject")
    serves = {center: key for key, spec in reversed(study.cohorts.items()) for center in spec.centers}
    split = {spec.name: key for key, spec in study.cohorts.items()} | {key: key for key in study.cohorts}
    cohort = known["split"].map(split) if "split" in known else known["center"].map(serves)
    yield from scale_warnings(known[numbers], cohort, str(path), "clinical table", single=True)


def scale_warnings(
    table: pd.DataFrame, cohort: pd.Series, file: str, source: str, *, single: bool = False
) -> Iterator[Problem]:
    """Yield a warning for every cohort whose numbers lie on another scale than those of training.

    Parameters
    ----------
    table : DataFrame, indexed by subject
        Numeric columns.
    cohort : Series by subject
    file, source : str
        Where the table was read, and what it holds.
    single : bool
        Whether every column counts on its own, as those of a clinical table do, instead of the table as a whole
        (`on_another_scale`).
    """
    found = shifts(table, cohort)
    odd = {str(key): part[part["alarm"].astype(bool)] for key, part in found.groupby("cohort", sort=False)}
    for key, part in (odd if single else on_another_scale(found)).items():
        total, rows = int((found["cohort"] == key).sum()), part.sort_values("outside", ascending=False, kind="stable")
        what = f"{len(part)} of {total} columns of the {source} lie on another scale in cohort {key} than in training"
        for row in rows.head(len(rows) if single else 1).to_dict("records"):
            numbers = f"{row['outside']:.0%} outside the training range, standardised difference {row['smd']:.2g}"
            value = f"{numbers}, interquartile range x {row['spread']:.2g}"
            expected, remedy = "the unit and the zero of training", "bring it to them, or know why it differs"
            where = {"file": file, "column": str(row["column"]), "value": value}
            yield Problem(what, expected, remedy, warning=True, **where)


def _empty_cells(study: Study, sheet: Sheet, table: pd.DataFrame, centers: Mapping[str, str]) -> Iterator[Problem]:
    codes = ", ".join(repr(code) for code in study.data.missing_values if code) or "a code listed in `missing_values`"
    remedy = f"enter the value; if it is not known, say so by {codes}"
    for name, column in study.columns.items():
        header = sheet.find(column.column or name)
        texts = list(sheet.table[header]) if header is not None else []
        cells = zip(sheet.rows, table["subject"], texts, strict=False)
        found = [(row, one) for row, one, text in cells if text == "" and (one in centers or not centers)]
        if found:
            what = "an empty cell" if len(found) == 1 else f"{len(found)} empty cells"
            at, who = ", ".join(str(row) for row, _ in found[:10]), listed([one for _, one in found], 10)
            problem = sheet.problem(what, "a value", remedy, at, str(header), f"subject {who}")
            yield replace(problem, warning="" in study.data.missing_values)


def _without_outcome(study: Study, sheet: Sheet, table: pd.DataFrame, centers: Mapping[str, str]) -> Iterator[Problem]:
    """Yield subjects of the manifest without the primary outcome, or without a row; what is no outcome was reported."""
    label, survival = study.endpoint.label, study.endpoint.survival
    outcome, needed = [survival.time, survival.event] if survival else [], ["time", "event"]
    if study.endpoint.primary == "label":
        outcome, needed = [label.column] if label else [], ["label"]
    missing = {code.casefold() for code in study.data.missing_values}
    headers = [header for header in map(sheet.find, outcome) if header is not None]
    empty = sheet.table[headers].apply(lambda column: column.str.casefold().isin(missing)).any(axis=1).to_numpy()
    rows = dict(zip(table["subject"], zip(sheet.rows, empty, strict=True), strict=True))
    asked = [subject for subject, center in centers.items() if center not in _unlabelled(study)]
    expected = f"a value of {' and '.join(needed)}"
    remedy = "enter it, or exclude the subject with a reason in the manifest's column exclusion"
    for what, names in (
        ("has no outcome", [one for one in asked if rows.get(one, (0, False))[1]]),
        ("is not in the clinical table", [one for one in asked if one not in rows]),
    ):
        if names:
            who = f"subject {names[0]}" if len(names) == 1 else f"each of {len(names)} subjects"
            at = ", ".join(str(rows[one][0]) for one in names[:10] if one in rows)
            yield sheet.problem(f"{who} {what}", expected, remedy, at, value=listed(names, 10))


def _unlabelled(study: Study) -> set[str]:
    """Return the centers of the segmentation cohort, which need no outcome."""
    return set(study.cohorts["segmentation"].centers) if "segmentation" in study.cohorts else set()


def check_sheet(path: Path, subjects: Sequence[str]) -> list[Problem]:
    """Check a clinical table without a study file.

    Parameters
    ----------
    path : Path
    subjects : sequence of str
        Those of the manifest.

    Returns
    -------
    list of Problem
        Doubled subjects; missing and infinite cells; text in a column of numbers; ages outside 0 to 120 years
        and negative times; labels and events other than 0 and 1; subjects without outcome, which is looked for
        in the columns label, or time and event.

    Raises
    ------
    ClinicalTableError
        The file can not be read at all.
    """
    sheet = read_sheet(path)
    header = sheet.find("subject")
    if header is None:
        return [sheet.missing("subject")]
    names = sheet.table[header]
    problems = list(doubled(sheet, names, header, "keep one"))
    for column in sheet.table.columns:
        problems += _column_problems(sheet, str(column))
    return problems + list(_outcome_problems(sheet, names, subjects))


def _column_problems(sheet: Sheet, column: str) -> Iterator[Problem]:
    values = sheet.table[column]
    empty = values.str.casefold().isin([*MISSING_CODES, *NO_NUMBER, ""])
    numbers = pd.to_numeric(values[~empty], errors="coerce")
    numeric = len(numbers) > 0 and float(numbers.notna().mean()) >= MOSTLY_NUMBERS
    name = column.strip().casefold()
    for row, text in zip(sheet.rows, values, strict=True):
        what, expected, remedy = "", "a number", "correct it"
        if text == "" and name not in ("label", "time", "event"):
            what, expected, remedy = "an empty cell", "a value", "enter it; if it is not known, write NA"
        elif text.casefold() in NO_NUMBER:
            what, remedy = "not a finite number", "enter the value; if it is not known, write NA"
        elif numeric and text and text.casefold() not in MISSING_CODES:
            what, expected, remedy = _impossible(name, pd.to_numeric(text, errors="coerce"))
        if what:
            yield sheet.problem(what, expected, remedy, row, column, text)


def _impossible(name: str, value: float) -> tuple[str, str, str]:
    """Return what is wrong with a number, what was expected, and the remedy; empty texts where all is well."""
    low, high = LIMITS.get(name, (-math.inf, math.inf))
    if pd.isna(value):
        return "text in a column of numbers", "a number", "correct it"
    if name in OUTCOMES and value not in (0, 1):
        other = ", or name a competing event in a study file (`competing_values`)" if name == "event" else ""
        return "an impossible outcome", "0 or 1", f"recode it, 1 being the event{other}"
    if not low <= value <= high:
        limits = f"{low:g} to {high:g}" if math.isfinite(high) else f"{low:g} or more"
        return "an impossible value", limits, "correct it"
    return "", "", ""


def _outcome_problems(sheet: Sheet, names: pd.Series, subjects: Sequence[str]) -> Iterator[Problem]:
    found = {name: sheet.find(name) for name in ("label", "time", "event")}
    complete = [columns for columns in ([found["label"]], [found["time"], found["event"]]) if None not in columns]
    if not complete:
        remedy = "name your columns in a study file and give it by --study"
        yield sheet.problem("no outcome", "a column label, or time and event", remedy, 1)
        return
    present = pd.Series(False, names.index)
    for columns in complete:
        given = sheet.table[columns].apply(lambda column: ~column.str.casefold().isin([*MISSING_CODES, "", "nan"]))
        present |= given.all(axis=1)
    rows, known = dict(zip(names, sheet.rows, strict=True)), set(names[present])
    expected, remedy = "label, or time and event", "enter it, or leave the subject out"
    for subject in [*subjects, *(name for name in names if name and name not in subjects)]:
        if subject not in known:
            what = f"subject {subject} {'has no outcome' if subject in rows else 'is not in the clinical table'}"
            yield sheet.problem(what, expected, remedy, rows.get(subject, ""), value=str(subject))


def check(
    path: Path, study: Study | None = None, root: Path = Path(), n_jobs: int = 1, names: Sequence[str] | None = None
) -> list[Problem]:
    """Check a manifest and every file it names.

    Parameters
    ----------
    path : Path
        The manifest.
    study : Study, optional
        Limits the check to its rows and types the clinical table as the study file says. Without it, the
        clinical table is checked for what is wrong in any study: missing and infinite cells, text among
        numbers, negative times, outcomes other than 0 and 1, subjects without outcome.
    root : Path
        Project root.
    n_jobs : int
        Cases at once.
    names : sequence of str, optional
        Ids to check where no study is given; all if not given.

    Returns
    -------
    list of Problem
        Empty where all is well. Rows that carry an exclusion are not looked into.
    """
    table, problems = parse_manifest(Path(path), study.id if study else None)
    if table.empty:
        what, remedy = ("no row of this study", "add its files") if study else NO_ROWS
        where: dict[str, Any] = {"column": "study", "value": study.id} if study else {}
        return problems or [Problem(what, remedy=remedy, file=str(path), **where)]
    if study is not None:
        problems += [*settings_problems(study, root), *_study_problems(table, study, Path(path), Path(root))]
    cases = []
    table = table[table["study"].isin(names)] if names is not None else table
    for name, rows in table.groupby("study", sort=False):
        files = with_files(rows, Path(path), StudyPaths(str(name), Path(root)))
        problems += _file_problems(files, str(path))
        problems += _origin_problems(files, str(path), images=study is None or study.data.entry != "features")
        used = files[(files["exclusion"] == "") & files["role"].isin(CASE_ROLES)]
        used = used[used["phase"].isin(study.phases)] if study is not None and study.phases else used
        rows_of: dict[tuple[str, str], list[dict[Any, Any]]] = {}
        for row in used.to_dict("records"):  # a table a case would take a minute for 10 000 rows
            rows_of.setdefault((row["subject"], row["phase"]), []).append(row)
        cases += [(str(path), group) for group in rows_of.values()]
        problems += _table_problems(study, files, Path(path), Path(root))
    for found in map_cases(_check_case, cases, n_jobs=n_jobs, on_failure=_case_failed):
        problems += found
    return problems


def _case_failed(item: tuple[str, list[dict[Any, Any]]], reason: str) -> list[Problem]:
    """Return why a case could not be looked into at all."""
    manifest, rows = item
    at, value = str(rows[0]["row"]), f"{rows[0]['subject']}, {rows[0]['phase']}"
    remedy = "export the files again, or exclude the case"
    return [Problem(f"the case can not be checked: {reason}", "", remedy, manifest, at, value=value)]


def _study_problems(table: pd.DataFrame, study: Study, path: Path, root: Path) -> Iterator[Problem]:
    """Yield what the study file does not know (phases, centers, this manifest), and subjects without a phase."""
    file = str(path)
    centers = [center for cohort in study.cohorts.values() for center in cohort.centers]
    cases = table[table["role"].isin(CASE_ROLES) & (table["exclusion"] == "")]
    for column, known in (("phase", list(study.phases)), ("center", centers)):
        for value, rows in cases[~cases[column].isin([*known, ""])].groupby(column):
            own = cases[(cases["role"] == "image") & cases["subject"].isin(rows["subject"])]
            have = own.groupby("subject")["phase"].agg(lambda phases: set(study.phases) <= set(phases))
            if (
                column == "phase" and study.phases and len(have) and have.all()
            ):  # no slip of the pen: nothing is lacking
                what = f"{counted(len(rows), 'row')} of a phase that the study does not use"
                yield Problem(what, "", "add it to `phases` where it is to be used", file, "", column, str(value), True)
                continue
            at, remedy = ", ".join(map(str, rows["row"])), "correct it, add it to the study file, or exclude them"
            yield Problem(f"unknown {column}", f"one of {', '.join(known)}", remedy, file, at, column, str(value))
    images = cases[cases["role"] == "image"]
    labelled = images[~images["center"].isin(_unlabelled(study))]
    yield from _lacking_phases(study, labelled, set(cases.loc[~cases["phase"].isin(study.phases), "subject"]), file)
    read = manifest_path(study, root)
    if read.resolve() != path.resolve():
        remedy, where = f"write `manifest: {path}` under `data:` in studies/{study.id}.yaml", f"studies/{study.id}.yaml"
        yield Problem("the study reads another manifest", file, remedy, where, "", "data.manifest", str(read))


def _lacking_phases(study: Study, images: pd.DataFrame, slipped: set[str], file: str) -> Iterator[Problem]:
    """Yield phases that patients have no image of: an error where the build would stop, or where it is a slip.

    The build goes on without a patient's phase (no value of what needs it, or the gap is filled inside the folds), and
    without that of a center that nothing is fitted to. It can not where nobody in training has the phase; and who has
    an image of a phase that the study does not know (`slipped`) most likely has it under a wrong name.
    """
    known = {(center, phase) for center, phase in images[["center", "phase"]].drop_duplicates().to_numpy()}
    trained = [center for center in images["center"].unique() if center in trained_centers(study)]
    for name in study.phases:
        lost = [center for center in images["center"].unique() if (center, name) not in known]
        nobody = bool(trained) and set(trained) <= set(lost)
        said = [center for center in lost if nobody or center not in trained]
        if nobody:
            what, remedy = "nobody in training has an image of this phase", "add the images, or take the phase out"
            yield Problem(what, "one image per patient and phase", remedy, file, "", "phase", name)
        for center in [one for one in lost if one not in trained]:
            what = f"no patient of {center} has this phase: signatures that need it have no value there"
            remedy = "add it where there is one"
            yield Problem(what, "one image per phase", remedy, file, "", "phase", name, warning=True)
        have = set(images.loc[images["phase"] == name, "subject"])
        own = images[~images["subject"].isin(have) & ~images["center"].isin(said)]["subject"].unique()
        what, expected, where = "no image of this phase", "one image per phase", (file, "", "phase")
        if wrong := [one for one in own if one in slipped]:
            remedy, value = "correct the name of the other phase, or add the image", f"{listed(wrong, 10)}: {name}"
            yield Problem(what, expected, remedy, *where, value)
        if without := [one for one in own if one not in slipped]:
            what += ": who lacks it stays in the study, without values of this phase"
            remedy, value = "add it, or exclude the subject with a reason in the column exclusion", listed(without, 10)
            yield Problem(what, expected, remedy, *where, f"{value}: {name}", warning=True)


def _file_problems(files: pd.DataFrame, manifest: str) -> Iterator[Problem]:
    """Yield files that are missing or differ from their checksum."""
    for row in files[files["path"] != ""].to_dict("records"):
        where: dict[str, Any] = {"file": manifest, "row": str(row["row"]), "column": "path", "value": row["path"]}
        if row["file"].is_dir() and row["role"] not in FOLDER_ROLES:
            yield Problem("this is a folder", "a file", "name the file in it", **where)
        elif row["file"].is_symlink() and not row["file"].exists():
            yield Problem("this link leads to no file", "a file", "correct the link", **where)
        elif not row["file"].exists():
            yield Problem("the file does not exist", remedy="correct the path or fetch the study", **where)
        elif row["sha256"] and row["file"].is_file() and sha256(row["file"]) != row["sha256"]:
            yield Problem("the file differs from its checksum", f"sha256 {row['sha256']}", "fetch it again", **where)


def _origin_problems(files: pd.DataFrame, manifest: str, *, images: bool) -> Iterator[Problem]:
    """Yield DICOM of another kind than its role says, and with `images` subjects who have nothing but DICOM."""
    rows = files[files["role"].isin(SUBJECT_ROLES) & (files["exclusion"] == "")]
    ready = set(files.loc[files["role"] == "image", "subject"])
    for row in rows.to_dict("records"):
        where: dict[str, Any] = {"file": manifest, "row": str(row["row"]), "column": "path", "value": row["path"]}
        if not row["file"].exists():
            continue
        try:
            heads = scan_folder(row["file"]).values() if row["file"].is_dir() else [_head(row["file"])]
        except RadsupportError as error:
            yield from (Problem(p.what, p.expected, "export it again", **where) for p in error.problems)
            continue
        kinds = {str(head.get("Modality", "")) for head in heads}
        if row["role"] != "dicom" and kinds != {row["role"].upper()}:
            yield Problem(
                f"DICOM of the kind {listed(sorted(kinds))}", row["role"].upper(), "correct the role", **where
            )
    for subject, own in rows[~rows["subject"].isin(ready)].groupby("subject", sort=False) if images else []:
        remedy, at = "convert them with `radsupport ingest`", ", ".join(map(str, own["row"]))
        roles = listed(list(dict.fromkeys(own["role"])))
        what = "a subject whose scans no chapter reads"
        yield Problem(what, "a row with role image", remedy, manifest, at, "role", f"{subject}: {roles}")


def _head(path: Path) -> Any:
    return read_dicom(path, stop_before_pixels=True, specific_tags=["Modality"])


def _table_problems(study: Study | None, files: pd.DataFrame, manifest: Path, root: Path) -> list[Problem]:
    """Return what is wrong with the clinical table, or with the feature tables."""
    subjects = files[files["role"].isin(CASE_ROLES) & (files["exclusion"] == "")]
    centers = dict(zip(subjects["subject"], subjects["center"], strict=True))
    try:
        if study is not None and study.data.entry == "features":
            data = study.data.model_copy(update={"manifest": str(manifest.resolve())})
            return _feature_doubts(study, read_feature_study(study.model_copy(update={"data": data}), root))
        if study is not None:
            return check_typed_sheet(study, clinical_path(study, files, root), centers)
        sheets = files[(files["role"] == "clinical") & files["file"].map(lambda file: Path(file).is_file())]
        found = [check_sheet(Path(file), list(centers)) for file in sheets["file"]]
    except RadsupportError as error:
        return list(error.problems) or [Problem(error.message)]
    return [problem for problems in found for problem in problems]


def _feature_doubts(study: Study, tables: CohortTables) -> list[Problem]:
    """Return what the cleaning of feature tables did, and what in them nobody expects."""
    problems = [*said(tables.log), *table_doubts(study, tables.cohort, study.data.manifest)]
    cohort = tables.cohort.set_index("subject")
    numbers = cohort.filter([name for name, column in study.columns.items() if column.kind == "number"])
    problems += scale_warnings(numbers, cohort["cohort"], study.data.manifest, "clinical columns", single=True)
    outcome = cohort[study.endpoint.event].to_dict()
    for source, table in tables.features.items():
        own = table.set_index("subject")
        problems += scale_warnings(own, cohort["cohort"], study.data.manifest, f"features `{source}`")
        if names := separating(table, outcome):
            what = "one feature alone tells every patient with the outcome from every one without"
            remedy = "make sure that it was not computed from the outcome"
            problems.append(Problem(what, "", remedy, source, "", ", ".join(names), warning=True))
    return problems


def _check_case(item: tuple[str, list[dict[Any, Any]]]) -> list[Problem]:
    """Return what is wrong with the image and masks of one case."""
    manifest, rows = item
    by_role = {row["role"]: row for row in reversed(rows)}  # of doubled rows, reported before, the first one
    first = rows[0]
    where: dict[str, Any] = {"file": manifest, "column": "role", "value": f"{first['subject']}, {first['phase']}"}
    problems = []
    for role, other in (("image", "mask"), ("mask", "image")):
        if role not in by_role:
            expected, row = f"one {role} per subject and phase", str(by_role.get(other, first)["row"])
            problems.append(
                Problem(
                    f"a case without {role}",
                    expected,
                    f"add the {role}, or exclude the case with a reason in the column exclusion",
                    row=row,
                    **where,
                )
            )
    image = _read(by_role.get("image"), problems, manifest)
    for role in MASK_ROLES:
        mask = _read(by_role.get(role), problems, manifest)
        if mask is not None:
            problems += _mask_problems(image, mask, by_role[role], manifest)
            problems += _drawing_warnings(by_role[role], manifest)
    return problems + _value_problems(image, by_role, manifest) if image is not None else problems


def _value_problems(image: sitk.Image, by_role: Mapping[str, dict[Any, Any]], manifest: str) -> list[Problem]:
    """Return what speaks against the values of an image being HU, in its region where image and mask fit."""
    image, found = without_padding(image)
    region = None
    try:
        if "mask" in by_role:
            region = check_geometry(image, read_mask(by_role["mask"]["file"])).mask
    except RadsupportError:  # reported before
        pass
    row = by_role["image"]
    where: dict[str, Any] = {"file": manifest, "row": str(row["row"]), "column": "path", "value": str(row["path"])}
    return [replace(problem, **where) for problem in [*found, *hu_problems(image, region)]]


def _drawing_warnings(row: dict[str, Any], manifest: str) -> Iterator[Problem]:
    """Yield what `radsupport ingest` decided when it drew a mask."""
    for note in ingested(row["file"]).get("notes", []):
        where: dict[str, Any] = {"file": manifest, "row": str(row["row"]), "column": "path", "value": str(row["path"])}
        yield Problem(note, remedy="look at the outline", warning=True, **where)


def _read(row: dict[str, Any] | None, problems: list[Problem], manifest: str) -> sitk.Image | None:
    """Read one file, keeping why it can not be read; a file that is missing was reported before."""
    if row is None or not row["file"].is_file():
        return None
    try:
        return read_image(row["file"]) if row["role"] == "image" else read_label_map(row["file"])
    except RadsupportError as error:
        found = error.problems or (Problem(error.message),)
        for p in found:
            remedy, value = p.remedy or "export it again", f"{row['path']} ({p.value})" if p.value else str(row["path"])
            problems.append(Problem(p.what, p.expected, remedy, manifest, str(row["row"]), "path", value))
        return None


def _mask_problems(image: sitk.Image | None, mask: sitk.Image, row: dict[str, Any], manifest: str) -> Iterator[Problem]:
    where: dict[str, Any] = {"file": manifest, "row": str(row["row"]), "column": "path", "value": str(row["path"])}
    array = sitk.GetArrayViewFromImage(mask)
    labels, voxels = label_values(array), int((array != 0).sum())
    remedy = "draw the region, or exclude the case"
    if not labels:
        yield Problem("the mask is empty", "the voxels of one region", remedy, **where)
    elif len(labels) > 1:
        shown = ", ".join(map(str, labels))
        yield Problem(f"the mask holds several labels: {shown}", "one label", "keep the one to be measured", **where)
    elif voxels < MIN_VOXELS:
        yield Problem("the mask holds a single voxel", f"{MIN_VOXELS} or more", remedy, **where)
    if image is None:
        return
    try:
        report = check_geometry(image, mask, str(row["path"]))
    except GeometryError as error:
        for p in error.problems:
            yield Problem(f"image and mask differ in space: {p.what}", p.expected, p.remedy, **where)
        return
    met = warnings_of(mask_quality(image, report.mask)) if len(labels) == 1 and voxels >= MIN_VOXELS else []
    for what in [*(f"repaired: {p.what}" for p in report.problems), *met]:
        yield Problem(what, remedy="look at the outline", warning=True, **where)
