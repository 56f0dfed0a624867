"""A first study file from a manifest and a clinical table: what can be read off is filled in, the rest is asked for.

Columns get their type, levels and range; the outcome is guessed by names and values and marked as a guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from radsupport.data.manifest import parse_manifest
from radsupport.data.notation import read_numbers
from radsupport.data.own_data import MISSING_CODES
from radsupport.data.sheets import Sheet, read_sheet
from radsupport.errors import InputError, Problem
from radsupport.files import slug

#: Sections that are taken over from the study file that the new one is like.
TAKEN = ("preprocessing", "radiomics", "modelling")
#: Codes that no measurement has; 999 may be one.
MISSING = ("", "nan", "-999", *MISSING_CODES)
MOST_LEVELS = 8
_DECIDE = "decide: "
_NO_TEXT = ("yes", "no", "y", "n", "true", "false", "null", "on", "off")
_EVENT = re.compile(r"event|status|death|dead|died|vital|censor", re.IGNORECASE)
_TIME = re.compile(r"time|month|days|weeks|follow|surviv|\bos\b|\brfs\b|\bpfs\b|\bdfs\b", re.IGNORECASE)
_LABEL = re.compile(r"label|outcome|recur|relapse|metasta|response|class|target|progress", re.IGNORECASE)
_NAMES = re.compile(r"name|mrn|birth|dob|address|phone|date|insur", re.IGNORECASE)


def new_study(name: str, like: str, manifest: Path, clinical: Path, subject: str, where: str = "") -> str:
    """Return the text of a study file.

    Parameters
    ----------
    name : str
        Id of the new study.
    like : str
        Text of the study file that preprocessing, radiomics and modelling are taken from.
    manifest, clinical : Path
    subject : str
        Column of subjects in the clinical table; the first column that holds the manifest's subjects if empty.
    where : str
        Path of the clinical table as the study file writes it; empty where the manifest names it.

    Raises
    ------
    InputError
        The manifest has no row, or no column of the table names its subjects.
    ClinicalTableError
        The table can not be read.
    """
    rows, _ = parse_manifest(manifest)
    rows = rows[(rows["subject"] != "") & (rows["exclusion"] == "")]
    if rows.empty:
        raise InputError("No study can be begun.", [Problem("no subject in the manifest", file=str(manifest))])
    sheet = read_sheet(clinical, subject=subject or "subject")
    key = _subjects(sheet, set(rows["subject"]), subject)
    table = sheet.table[sheet.table[key].isin(set(rows["subject"]))].drop(columns=key)
    kinds = {str(column): _kind(table[column], sheet) for column in table}
    label, time, event = _outcome(kinds)
    used = [one for one in kinds if one not in (label, time, event)]
    lines = [
        f'# Begun by `radsupport new {name}`: what stands behind "{_DECIDE.strip()}" is a guess, or wants a person.',
        f"id: {name}",
        f"title: {name}   # {_DECIDE}a title",
        f"question: Can CT tell what becomes of these patients?   # {_DECIDE}the question",
        "seed: 1",
        "",
        "data:",
        "  kind: real",
        f"  manifest: {manifest.as_posix()}",
        *([f"  clinical: {where}"] if where else []),
        f"  subject: {_quoted(key)}",
        f"  missing_values: [{', '.join(_quoted(one) for one in _missing(table))}]   # {_DECIDE}all codes",
        "",
        *_endpoint(table, label, time, event),
        "",
        *_cohorts(rows),
        "",
        "columns:",
        *[line for one in used for line in _column(one, table[one], kinds[one])],
        "",
        "phases:",
        *[_phase(one) for one in dict.fromkeys(rows.loc[rows["role"] == "image", "phase"])],
        "",
        *_sections(like),
        *_models(used, kinds, rows, bool(time and event)),
    ]
    return "\n".join(lines) + "\n"


def _subjects(sheet: Sheet, subjects: set[str], asked: str) -> str:
    """Return the column that names the subjects of the manifest."""
    columns = [str(column) for column in sheet.table]
    shares = {column: len(set(sheet.table[column]) & subjects) for column in columns}
    best = sheet.find(asked) if asked else max(columns, key=lambda column: shares[column])
    if best is None or not shares[best]:
        shown = ", ".join(sorted(subjects)[:3])
        problem = Problem("no column names a subject of the manifest", f"one with names such as {shown}",
                          "name it by --id-column, or give both the same names", sheet.file, value=asked)  # fmt: skip
        raise InputError("The clinical table does not fit the manifest.", [problem])
    return best


def _known(values: pd.Series) -> pd.Series:
    return values[~values.str.casefold().isin(MISSING)]


def _missing(table: pd.DataFrame) -> list[str]:
    """Return the codes for missing values that the table uses, as it writes them."""
    found = dict.fromkeys(cell for column in table for cell in table[column] if cell.casefold() in MISSING)
    return list(dict.fromkeys(["", "NA", *found]))


def _kind(values: pd.Series, sheet: Sheet) -> Any:
    """Return "number" with the numbers, "category" with its levels, or "" for what is no predictor."""
    known = _known(values)
    levels = sorted(known.unique())
    if known.empty or _NAMES.search(str(values.name)):
        return ("", [])
    numbers = pd.to_numeric(known, errors="coerce")
    if numbers.isna().any():
        numbers = pd.to_numeric(read_numbers(known, sheet.marks)[0], errors="coerce")
    if numbers.notna().all() and len(levels) > 2:
        return ("number", numbers.astype(float))
    return ("category", levels) if 2 <= len(levels) <= MOST_LEVELS else ("", [])


def _outcome(kinds: Mapping[str, Any]) -> tuple[str, str, str]:
    """Guess the columns of label, time and event; "" where nothing looks like it."""
    two = [name for name, (kind, levels) in kinds.items() if kind == "category" and len(levels) == 2]
    numbers = [name for name, (kind, values) in kinds.items() if kind == "number" and values.min() >= 0]
    time = next((name for name in numbers if _TIME.search(name)), "")
    event = next((name for name in two if time and _EVENT.search(name)), "")
    event = event or next((name for name in two if time and _LABEL.search(name)), "")
    label = next((name for name in two if _LABEL.search(name) and name != event), "")
    return label, time if event else "", event


def _endpoint(table: pd.DataFrame, label: str, time: str, event: str) -> Iterator[str]:
    yield "endpoint:"
    yield f"  primary: {'survival' if event else 'label'}   # {_DECIDE}label or survival"
    if label or not event:
        name = label or "label"
        levels = sorted(_known(table[label]).unique()) if label else ["0", "1"]
        yield "  label:"
        yield (
            f"    column: {_quoted(name)}   # {_DECIDE}a guess by its name"
            if label
            else (f"    column: {name}   # {_DECIDE}no column looks like a yes/no outcome: name yours")
        )
        if levels != ["0", "1"]:
            yield f"    recode: {{{_quoted(levels[0])}: 0, {_quoted(levels[1])}: 1}}   # {_DECIDE}1 is the event"
        yield f"    name: {_quoted(name.replace('_', ' '))}"
        yield f"    positive: event   # {_DECIDE}what 1 means"
        yield f"    negative: no event   # {_DECIDE}what 0 means"
    if event:
        codes = sorted(_known(table[event]).unique())
        largest = float(pd.to_numeric(_known(table[time]), errors="coerce").max())
        unit = "days" if largest > 400 or "day" in time.casefold() else "months"
        yield "  survival:"
        yield f"    time: {_quoted(time)}"
        yield f"    event: {_quoted(event)}"
        yield f"    event_values: [{_quoted(codes[-1])}]   # {_DECIDE}the code of the event"
        yield f"    censored_values: [{_quoted(codes[0])}]   # {_DECIDE}and of the end of follow-up without it"
        yield f"    name: survival   # {_DECIDE}overall, recurrence-free, ..."
        yield f"    unit: {unit}   # {_DECIDE}a guess: the longest is {largest:g}"
        yield f"    horizons_months: [12, 24]   # {_DECIDE}months at which risks are judged"


def _cohorts(rows: pd.DataFrame) -> Iterator[str]:
    sizes = rows.groupby("center", sort=False)["subject"].nunique().sort_values(ascending=False, kind="stable")
    yield "cohorts:"
    for i, (center, n) in enumerate(sizes.items()):
        key = "train" if i == 0 else "external" if len(sizes) == 2 else f"external_{slug(str(center)).replace('_', '')}"
        kind = "" if i == 0 else ", validation: geographic"
        name = _quoted(str(center))
        yield f"  {key}: {{name: {name}, centers: [{name}]{kind}}}   # {n} subjects; {_DECIDE}who is trained on"


def _column(name: str, values: pd.Series, kind: Any) -> Iterator[str]:
    what, found = kind
    key = slug(name) or "column"
    key = key if key[0].isalpha() else f"c_{key}"
    common = f"source: clinical, kind: {what}, column: {_quoted(name)}, label: {_quoted(name.replace('_', ' '))}"
    absent = int(values.str.casefold().isin(MISSING).sum())
    note = f"   # {absent} missing" if absent else ""
    if what == "number":
        low, high = float(found.min()), float(found.max())
        yield f"  {key}: {{{common}}}{note or '   #'} values {low:g} to {high:g}; {_DECIDE}unit, minimum, maximum"
    elif what == "category":
        levels = ", ".join(map(_quoted, found))
        yield f"  {key}: {{{common}, levels: [{levels}]}}{note or '   #'} {_DECIDE}the reference first"
    else:
        yield f"  # {name}: left out (a name, a date, one value, or too many different ones)"


def _phase(name: str) -> str:
    word = _quoted(name)
    return f"  {name}: {{name: {word}, short: {word}, window: {{level: 40, width: 400}}}}   # {_DECIDE}HU"


def _sections(like: str) -> Iterator[str]:
    """Yield the sections that are taken over, as they are written."""
    for name in TAKEN:
        found = re.search(rf"^{name}:.*?(?=^\w|^#|\Z)", like, re.MULTILINE | re.DOTALL)
        if found:
            text = found.group(0).rstrip()
            yield from [
                line for line in text.splitlines() if not re.match(r"\s+(controls|compare_\w+|learning_curve):", line)
            ]
            yield ""


def _models(used: Sequence[str], kinds: Mapping[str, Any], rows: pd.DataFrame, survival: bool) -> Iterator[str]:
    """Yield two signatures, what is shown of them, and the nomogram."""
    keys = [key if (key := slug(one))[0].isalpha() else f"c_{key}" for one in used if kinds[one][0]][:3]
    phase = next(iter(dict.fromkeys(rows.loc[rows["role"] == "image", "phase"])), "ct")
    image, plain = ("CoxLasso", "Cox") if survival else ("Ridge", "Ridge")
    test = "" if survival else "test: mann_whitney, keep_at_least: 5, "
    yield "signatures:"
    selection = f"{{{test}max_correlation: 0.9}}"
    yield f"  - {{name: Radiomics, sources: [radiomics], phases: [{phase}], selection: {selection}, learner: {image}}}"
    if keys:
        named = ", ".join(keys)
        yield f"  - {{name: Clinical, columns: [{named}], learner: {plain}}}   # {_DECIDE}what is known before"
    yield ""
    yield "validation:"
    yield "  best: Radiomics                   # fixed before looking"
    yield f"  threshold: {'median' if survival else 'youden'}"
    if keys:
        yield "  comparator: Clinical"
        yield ""
        yield "nomogram:"
        yield f"  {{model: {'cox' if survival else 'logistic'}, signature: Radiomics, columns: [{keys[0]}]}}"
    yield ""
    yield "cautions:"
    yield f'  - {{chapters: ["05", "06"], text: "Own data."}}   # {_DECIDE}what a reader has to keep in mind'


def _quoted(text: str) -> str:
    """Return a text as YAML that stays a text."""
    is_word = re.fullmatch(r"[A-Za-z][\w ]*", text) and text.casefold() not in _NO_TEXT
    return text if is_word else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
