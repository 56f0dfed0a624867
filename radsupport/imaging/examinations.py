"""What a folder tree of DICOM files holds: CT series, the outlines drawn on them, and what each of them is.

Nothing is converted here: `survey` and `decided` say what would be, and what is not clear.
"""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pydicom
import yaml

from radsupport.errors import InputError, Problem, RadsupportError, one_line
from radsupport.imaging.dicom import scan_folder, series_of, stack_problems
from radsupport.imaging.outlines import references, region_names
from radsupport.wording import counted, did_you_mean, listed

CONVERT, UNCLEAR, LEFT_OUT = "convert", "unclear", "left out"
#: Subject of files without an id that lie in no folder of their own.
UNNAMED = "unnamed"
#: Scouts and single images are fewer; a series that somebody outlined is never one of these.
FEWEST_SLICES = 4
FILES, ARCHIVES = (".dcm", ".ima", ".dicom"), (".rar", ".7z", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")
Heads = Mapping[Path, pydicom.Dataset]


@dataclass(frozen=True)
class Rules:
    """How series become cases; the patterns of ``series.yaml`` where nothing else is given.

    Attributes
    ----------
    subject : {"id", "folder"}
    skip, regions : tuple of str
        Patterns of descriptions of series that are no case, and of names of regions that become masks.
    phases : dict of str to list of str
        Patterns by phase.
    alone : str
        Phase of a patient's only scan.
    """

    subject: str
    skip: tuple[str, ...]
    phases: dict[str, tuple[str, ...]]
    alone: str
    regions: tuple[str, ...]


@dataclass(frozen=True)
class Examination:
    """One series of a folder tree, and what is to be done with it.

    Attributes
    ----------
    subject : str
        As the files or the folder name it.
    phase, description : str
    slices : int
    spacing_mm : str
        Columns, rows and slices.
    regions : tuple of str
        Everything that was outlined on it.
    region : str
        What becomes the mask; empty where nothing does.
    step : {"convert", "unclear", "left out"}
    reason : str
        Why it is unclear or left out, or what to know of it.
    folder : str
        Where it lies, below the folder that was given.
    series, study : str
        UIDs.
    files : tuple of Path
    outline : Path or None
        The RTSTRUCT or SEG file that holds `region`.
    outlines : tuple of Path
        All that were drawn on it.
    """

    subject: str
    phase: str
    description: str
    slices: int
    spacing_mm: str
    regions: tuple[str, ...]
    region: str
    step: str
    reason: str
    folder: str
    series: str
    study: str
    files: tuple[Path, ...]
    outline: Path | None = None
    outlines: tuple[Path, ...] = ()


def read_rules(path: Path | None = None) -> Rules:
    """Read rules; what a file leaves out is as shipped.

    Raises
    ------
    InputError
        No such file, not YAML, an unknown key, a value of another type, or a pattern that is no regular expression;
        all at once.
    """
    shipped = yaml.safe_load(Path(__file__).with_name("series.yaml").read_text(encoding="utf-8"))
    given: Any = {}
    if path is not None:
        try:
            given = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise InputError("The rules can not be read.", [Problem(one_line(error), file=str(path))]) from error
    problems = list(_rule_problems(given, shipped, str(path or "")))
    if problems:
        raise InputError("The rules can not be used.", problems)
    rules = shipped | given
    phases = {str(phase): tuple(patterns) for phase, patterns in rules["phases"].items()}
    return Rules(rules["subject"], tuple(rules["skip"]), phases, rules["alone"], tuple(rules["regions"]))


def _rule_problems(given: Any, shipped: Mapping[str, Any], file: str) -> Iterator[Problem]:
    if not isinstance(given, dict):
        yield Problem("no keys", f"keys such as {', '.join(shipped)}", file=file)
        return
    for key, value in given.items():
        place: dict[str, Any] = {"file": file, "column": str(key), "value": str(value)}
        if key not in shipped:
            yield Problem("unknown key", f"one of {', '.join(shipped)}", did_you_mean(str(key), shipped), **place)
        elif type(value) is not type(shipped[key]):
            form = {"str": "a text", "list": "a list of patterns", "dict": "lists of patterns by phase"}[
                type(shipped[key]).__name__
            ]
            yield Problem("another type of value", form, "see the shipped rules", **place)
        elif key == "subject" and value not in ("id", "folder"):
            yield Problem("no such choice", "id or folder", **place)
        elif not isinstance(value, str):
            lists = value.values() if isinstance(value, dict) else [value]
            yield from _pattern_problems(
                [one for each in lists for one in (each if isinstance(each, list) else [each])], place
            )


def _pattern_problems(patterns: Sequence[Any], place: Mapping[str, str]) -> Iterator[Problem]:
    for pattern in patterns:
        try:
            re.compile(pattern)
        except (re.error, TypeError) as error:
            yield Problem(f"no regular expression: {error}", "a pattern", "put it in quotes or correct it",
                          file=place["file"], column=place["column"], value=str(pattern))  # fmt: skip


def _fits(patterns: Sequence[str], text: str) -> bool:
    return any(re.search(pattern, text, re.IGNORECASE) for pattern in patterns)


def survey(folder: Path, rules: Rules, unpacked: Path | None = None) -> list[Examination]:
    """Return every CT series below a folder with the outlines drawn on it; phases and regions are not chosen yet.

    Parameters
    ----------
    folder : Path
        Of any depth, with zip archives; or one archive.
    rules : Rules
    unpacked : Path, optional
        An empty folder for what is in archives; has to stay until the series are converted. Without it archives are
        named with what to do.

    Returns
    -------
    list of Examination
        Outlines whose scan is not there, and archives that can not be read, are rows too.

    Raises
    ------
    InputError
        No such folder, or no DICOM file in it.
    """
    archives, odd = _archives(Path(folder), unpacked)
    heads: dict[Path, pydicom.Dataset] = {}
    problems: list[Problem] = []
    for root in [*([Path(folder)] if Path(folder).is_dir() or not archives else []), *archives]:
        try:
            heads |= scan_folder(root)
        except InputError as error:
            problems += error.problems
    odd += [one for root in [Path(folder), *archives] for one in _unread(root, heads)]
    if not heads and not odd:
        raise InputError("There is nothing to convert.", problems)
    return [*_series(heads, rules, Path(folder), archives), *odd]


def decided(found: Sequence[Examination], rules: Rules) -> list[Examination]:
    """Choose phase and region of every series by the rules, and say what they can not tell; by subject and phase."""
    chosen = [with_region(one, rules) for one in found]
    return sorted(_told_apart(chosen, rules), key=lambda one: (one.subject, one.phase, one.description, one.series))


def _archives(folder: Path, unpacked: Path | None) -> tuple[dict[Path, str], list[Examination]]:
    """Unpack the zip files of a folder; return where each one lies now with its name, and those that can not be."""
    found: dict[Path, str] = {}
    odd: list[Examination] = []
    paths = [folder] if folder.is_file() else sorted(folder.rglob("*.zip"))
    for number, path in enumerate(paths, start=1):
        name = str(path.relative_to(folder if folder.is_dir() else folder.parent))
        reason = "" if unpacked is not None else "a zip archive: unzip it"
        if unpacked is not None:
            try:
                with zipfile.ZipFile(path) as archive:
                    archive.extractall(unpacked / str(number))
                found[unpacked / str(number)] = name
            except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
                reason = f"the archive can not be unpacked: {one_line(error)}"
        odd += [_nothing(name, reason)] if reason else []
    return found, odd


def _unread(root: Path, heads: Heads) -> Iterator[Examination]:
    """Yield folders that are closed to us, files by their names of DICOM that are none, and archives of other kinds."""
    shut: list[OSError] = []
    for place, _, names in os.walk(root, onerror=shut.append):
        paths = [Path(place, name) for name in names]
        bad = [
            one for one in paths if one not in heads and (one.suffix.lower() in FILES or not os.access(one, os.R_OK))
        ]
        shown = str(Path(place).relative_to(root))
        if bad:
            yield _nothing(shown, f"{counted(len(bad), 'file')} can not be read as DICOM, such as {bad[0].name}")
        for one in [one for one in paths if one.name.lower().endswith(ARCHIVES)]:
            yield _nothing(str(one.relative_to(root)), "an archive of another kind than zip: unpack it")
    for error in [one for one in shut if isinstance(one, PermissionError)]:
        yield _nothing(str(Path(error.filename).relative_to(root)), f"the folder can not be opened: {error.strerror}")


def _nothing(folder: str, reason: str, subject: str = "", description: str = "") -> Examination:
    """Return a row of something that is no series."""
    return Examination(subject, "", description, 0, "", (), "", UNCLEAR, reason, folder, "", "", ())


def _series(heads: Heads, rules: Rules, root: Path, archives: Mapping[Path, str]) -> list[Examination]:
    groups: dict[str, dict[Path, pydicom.Dataset]] = {}
    read: set[tuple[str, str]] = set()  # a file that was copied to a second folder is the same slice
    outlines = {path: head for path, head in heads.items() if head.get("Modality") in ("RTSTRUCT", "SEG")}
    for path, head in heads.items():
        same = groups.setdefault(series_of(head), {}) if head.get("Modality") == "CT" else {}
        slice_ = (str(head.get("SOPInstanceUID")), str(head.get("PatientID")))
        if head.get("Modality") == "CT" and not (head.get("SOPInstanceUID") and slice_ in read):
            same[path] = head
        read.add(slice_)
    drawn, strays = _drawn_on(outlines, groups)
    found = []
    for uid, group in groups.items():
        path, head = next(iter(group.items()))
        place = _below(path, root, archives)
        one = Examination(
            _subject(head, place, rules), "", _described(head), len(group), _spacing(group), (), "", CONVERT, "",
            str(Path(place).parent), uid, str(head.get("StudyInstanceUID") or ""), tuple(group),
            outlines=tuple(drawn.get(uid, ())),
        )  # fmt: skip
        found.append(_judged(one, group, rules))
    for path, why in strays.items():
        place = _below(path, root, archives)
        found.append(_nothing(place, why, _subject(outlines[path], place, rules), _described(outlines[path])))
    return found


def _below(path: Path, root: Path, archives: Mapping[Path, str]) -> str:
    """Return where a file lies below the folder given, an archive being a folder."""
    for unpacked, name in archives.items():
        if unpacked in path.parents:
            return str(Path(name) / path.relative_to(unpacked))
    return str(path.relative_to(root)) if root in path.parents else path.name


def _subject(head: pydicom.Dataset, place: str, rules: Rules) -> str:
    """Return the patient's id, or the folder's name where the rules ask for it or there is no id."""
    own, folders = str(head.get("PatientID") or "").strip(), Path(place).parts[:-1]
    return own if own and rules.subject == "id" else (*folders, UNNAMED)[0].removesuffix(".zip")


def _described(head: pydicom.Dataset) -> str:
    return " ".join(str(head.get("SeriesDescription") or head.get("ProtocolName") or "").split())


def _spacing(group: Heads) -> str:
    """Return columns, rows and slices in mm, as far as the headers say."""
    heads = list(group.values())
    pixel = [float(v) for v in reversed(np.atleast_1d(heads[0].get("PixelSpacing") or []))]
    places = [np.asarray(h.ImagePositionPatient, float) for h in heads if len(h.get("ImagePositionPatient") or []) == 3]
    apart = [_between(np.array(places))] if len(places) > 1 else []
    return " x ".join(f"{value:.3g}" for value in [*pixel, *apart])


def _between(places: np.ndarray) -> float:
    """Return the usual distance of neighbouring slices: positions lie on a line."""
    line = places - places[0]
    farthest = line[np.linalg.norm(line, axis=1).argmax()]
    length = float(np.linalg.norm(farthest))
    return float(np.median(np.diff(np.sort(line @ farthest / length)))) if length else 0.0


def _judged(one: Examination, group: Heads, rules: Rules) -> Examination:
    """Say why a series is no case, or can not be converted."""
    head = next(iter(group.values()))
    skipped = [found[0] for pattern in rules.skip if (found := re.search(pattern, one.description, re.IGNORECASE))]
    is_scout = "LOCALIZER" in [str(part).upper() for part in head.get("ImageType") or []]
    if is_scout or (one.slices < FEWEST_SLICES and not one.outlines):
        return replace(one, step=LEFT_OUT, reason=f"a scout or single images ({one.slices})")
    if skipped:
        return replace(one, step=LEFT_OUT, reason=f"its description says “{skipped[0]}”")
    people = sorted({str(each.get("PatientID") or "") for each in group.values()})
    if len(people) > 1:
        return replace(one, step=UNCLEAR, reason=f"one series of {len(people)} patients: {listed(people)}")
    problems = list(stack_problems(group))
    if problems:
        return replace(one, step=UNCLEAR, reason="; ".join(problem.what for problem in problems))
    return one


def _drawn_on(outlines: Heads, groups: Mapping[str, Heads]) -> tuple[dict[str, list[Path]], dict[Path, str]]:
    """Return outlines by the series they were drawn on, and why others belong to none."""
    images = {str(head.get("SOPInstanceUID")): uid for uid, group in groups.items() for head in group.values()}
    drawn: dict[str, list[Path]] = {}
    strays: dict[Path, str] = {}
    for path, head in outlines.items():
        try:
            named, sources = references(path)
        except RadsupportError as error:
            strays[path] = one_line(error)
            continue
        of_study = {uid for uid, group in groups.items() if _same_study(next(iter(group.values())), head)}
        on = {images[one] for one in sources if one in images} or named & set(groups)
        on = on or (of_study if not (named or sources) else set())
        if len(on) == 1:
            drawn.setdefault(on.pop(), []).append(path)
        else:
            strays[path] = (
                f"an outline that belongs to {len(on)} series alike" if on else "an outline whose scan is not here"
            )
    return drawn, strays


def _same_study(one: pydicom.Dataset, other: pydicom.Dataset) -> bool:
    return all(str(one.get(key) or "") == str(other.get(key) or "") for key in ("PatientID", "StudyInstanceUID"))


def with_region(one: Examination, rules: Rules, region: str = "") -> Examination:
    """Choose the region that becomes the mask: the one named, the only one, or the one that the rules tell."""
    if one.step != CONVERT or not one.outlines:
        return replace(one, reason="no outline: image only") if one.step == CONVERT else one
    named: list[tuple[Path, str]] = []
    for path in one.outlines:
        try:
            named += [(path, name) for name in region_names(path)]
        except RadsupportError as error:
            return replace(one, step=UNCLEAR, reason=one_line(error))
    one = replace(one, regions=tuple(name for _, name in named))
    asked = [pair for pair in named if pair[1].casefold() == region.casefold()]
    fitting = [[pair for pair in named if _fits([pattern], pair[1])] for pattern in rules.regions]
    chosen = next((pairs for pairs in ([asked] if region else [named, *fitting]) if len(pairs) == 1), None)
    if chosen is None:
        what = f"no single region {region}" if region else f"{len(named)} regions, and the rules do not tell which"
        what += f": {', '.join(one.regions)}"
        return replace(one, step=UNCLEAR, reason=what)
    return replace(one, outline=chosen[0][0], region=chosen[0][1])


def _told_apart(found: Sequence[Examination], rules: Rules) -> Iterator[Examination]:
    """Give every scan of a patient its phase, and every phase one scan: the one that was outlined."""
    named = {one.series: phases_of(one, rules) for one in found}
    scans = [one for one in found if one.step == CONVERT]
    for one in found:
        own = [other for other in scans if other.subject == one.subject]
        phases = named[one.series]
        if one.step != CONVERT:
            yield replace(one, phase=phases[0] if len(phases) == 1 else "")
        elif len(phases) > 1:
            yield replace(one, step=UNCLEAR, reason=f"its description fits the phases {listed(phases)}")
        elif phases:
            yield _only(replace(one, phase=phases[0]), [other for other in own if named[other.series] == phases])
        elif any(named[other.series] for other in own):
            yield replace(one, step=UNCLEAR, reason="its description names no phase, that of another series does")
        else:
            yield _only(replace(one, phase=rules.alone), own)


def phases_of(one: Examination, rules: Rules) -> list[str]:
    """Return the phases whose patterns a description fits."""
    return [phase for phase, patterns in rules.phases.items() if _fits(patterns, one.description)]


def _only(one: Examination, same: Sequence[Examination]) -> Examination:
    """Let a series stand for its phase where it is the only one, or the only one with an outline."""
    drawn = [other.series for other in same if other.outline]
    if len(same) == 1 or drawn == [one.series]:
        return one
    if len(drawn) == 1:
        return replace(one, step=LEFT_OUT, reason="another series of this phase has the outline")
    studies = len({other.study for other in same})
    more = f" of {studies} examinations" if studies > 1 else ""
    return replace(one, step=UNCLEAR, reason=f"{len(same)} series{more} of this phase: {_folders(same)}")


def _folders(same: Sequence[Examination]) -> str:
    return listed([f"{one.folder} ({one.description or 'no description'})" for one in same])


#: Columns of a plan as a table.
COLUMNS = [one.name for one in fields(Examination)][: [one.name for one in fields(Examination)].index("study")]


def as_table(found: Sequence[Examination]) -> pd.DataFrame:
    """Return a plan as a table of texts, one row per series, with what a reader decides by."""
    rows = [{name: getattr(one, name) for name in COLUMNS} | {"regions": ", ".join(one.regions)} for one in found]
    return pd.DataFrame(rows, columns=COLUMNS)


def as_text(found: Sequence[Examination]) -> str:
    """Return a plan as text: a line for each series, then where those lie that are not clear."""
    table = as_table(found).drop(columns=["series", "folder", "region"])
    places = [f"{one.series or '-'}  {one.folder}" for one in found if one.step == UNCLEAR]
    below = ["", "Not clear (series UID, folder):", *places] if places else []
    n = {step: sum(one.step == step for one in found) for step in (CONVERT, UNCLEAR, LEFT_OUT)}
    whose = counted(len({one.subject for one in found if one.subject}), "subject")
    total = f"{whose}; series: {n[CONVERT]} to convert, {n[UNCLEAR]} unclear, {n[LEFT_OUT]} left out."
    return "\n".join([table.to_string(index=False), *below, "", total])
