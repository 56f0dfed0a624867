"""A first study file from a manifest and a clinical table: what can be read off is filled in, the rest is asked for.

Columns get their type, levels and range; the outcome is guessed by names and values and marked as a guess.
"""

from __future__ import annotations

import re
import shutil
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from radsupport.data.manifest import append_rows, parse_manifest
from radsupport.data.notation import DAY_FIRST, date_order, read_date, read_numbers
from radsupport.data.own_data import MISSING_CODES
from radsupport.data.people import PERSONAL
from radsupport.data.sheets import Sheet, read_sheet
from radsupport.errors import InputError, Problem
from radsupport.files import slug
from radsupport.settings.author import Author

#: Settings that are taken over from the study file that the new one is like, and what stands where it has none.
TAKEN: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "preprocessing": (("spacing_mm", "interpolation"), {}),
    "radiomics": (("settings", "perturb"), {"settings": "sts.yaml"}),
    "modelling": (
        ("folds", "inner_folds", "repeats", "grid", "external", "permutations"),
        {"pooling": "standardised"},
    ),
}
_FEATURES = r"^(original|log-sigma|wavelet|square|squareroot|logarithm|exponential|gradient|lbp)"
#: Codes that no measurement has; 999 may be one.
MISSING = ("", "nan", "-999", *MISSING_CODES)
MOST_LEVELS = 8
_DECIDE = "decide: "
_NO_TEXT = ("yes", "no", "y", "n", "true", "false", "null", "on", "off")
_EVENT = re.compile(
    r"event|status|death|dead|died|vital|censor|ereignis|\btod\b|verst[oa]rb|d[ée]c[èe]s", re.IGNORECASE
)
_TIME = re.compile(
    r"time|month|days|weeks|follow|surviv|\b(os|rfs|pfs|dfs|efs)\b|tage\b|monate|wochen|nachsorge|[üu]berleb|jours|mois",
    re.IGNORECASE,
)
_LABEL = re.compile(
    r"label|outcome|recur|relapse|metasta|response|class|target|progress|re[zc]idiv|récidiv|rückfall|ansprechen",
    re.IGNORECASE,
)
_DEATH = re.compile(r"death|dead|died|deceased|\btod\b|verst[oa]rb|gestorben|décès|\bos\b|overall", re.IGNORECASE)
_START = re.compile(
    r"operat|surg|resect|\bop\b|op[-_. ]?dat|diagn|index|baseline|start|first|treat|therap|random|inclu|\bct\b|scan",
    re.IGNORECASE,
)
_END = re.compile(
    r"last|end|contact|seen|follow|death|dead|died|exit|censor|letzt|nachsorge|\btod|verst[oa]rb|derni|suivi|d[ée]c[èe]s",
    re.IGNORECASE,
)
_CENTER = re.compile(r"cent(er|re)|zentrum|klinik|hospital|clinic\b|\bsite\b|standort|institut", re.IGNORECASE)
_DATE = re.compile(r"\d{4}-\d\d-\d\d(T.*)?|\d{1,2}([./-])\d{1,2}\2\d{2,4}")
#: What says that something happened, and that it did not, in the codes of an outcome.
_YES = frozenset("1 yes y ja j oui sí true pos positive positiv dead died deceased tot verstorben gestorben".split())  # noqa: SIM905
_NO = frozenset("0 no n nein non false neg negative negativ none alive lebt lebend censored zensiert kein".split())  # noqa: SIM905
MOST_LACK = 0.2
"""Share of subjects without a phase up to which the study uses it."""
MOSTLY = 0.6
"""Share of numbers from which a column is one of numbers with something else in some cells."""


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
    rows, problems = parse_manifest(manifest)
    tables = rows[(rows["role"] == "features") & (rows["study"] == name)]
    rows = rows[(rows["subject"] != "") & (rows["exclusion"] == "")]
    sheet = read_sheet(clinical, subject=subject or "subject")
    patterns: list[str] = []
    if rows.empty and len(tables):
        rows, subject, patterns = _of_tables(tables, manifest.parent, sheet, subject)
    if rows.empty:
        nobody = Problem(
            "no subject in the manifest", remedy="a table of features is given by --features", file=str(manifest)
        )
        raise InputError("No study can be begun.", [*problems, nobody])
    key = _subjects(sheet, set(rows["subject"]), subject)
    table = sheet.table[sheet.table[key].isin(set(rows["subject"]))].drop(columns=key)
    table = table.loc[:, [not any(re.search(one, str(column)) for one in patterns) for column in table]]
    kinds = {str(column): _kind(table[column], sheet, set(rows["center"])) for column in table}
    dates = _dates(table, kinds)
    label, time, event = _outcome(kinds, dates)
    followed = dates[:2] if time == dates[0] else (time,)
    used = [one for one in kinds if one not in (label, event, *followed)]
    lines = [
        *_head(name, manifest),
        *([f"  clinical: {where}"] if where else []),
        *_feature_data(tables, patterns),
        f"  subject: {_quoted(key)}{_without_row(rows, sheet.table[key])}",
        f"  missing_values: [{', '.join(_quoted(one) for one in _missing(table, kinds))}]   # {_DECIDE}all codes",
        "",
        *_endpoint(kinds, label, time, event, dates),
        "",
        *_cohorts(rows),
        "",
        "columns:" + " {}" * (not any(kinds[one][0] for one in used)),
        *[line for one in used for line in _column(one, table[one], kinds[one])],
        "",
        "phases:",
        *_phases(rows),
        "",
        *_sections(like, bool(patterns)),
        *_models(used, kinds, rows, bool(time and event)),
        *_author(),
    ]
    return "\n".join(lines) + "\n"


def _head(name: str, manifest: Path) -> list[str]:
    """Return the first lines of a study file, up to its manifest."""
    return [
        f'# Begun by `radsupport new {name}`: what stands behind "{_DECIDE.strip()}" is a guess, or wants a person.',
        f"id: {name}",
        f"title: {name}   # {_DECIDE}a title",
        f"question: Can CT tell what becomes of these patients?   # {_DECIDE}the question",
        "seed: 1",
        "",
        "data:",
        "  kind: real",
        f"  manifest: {manifest.as_posix()}",
    ]


def _of_tables(tables: pd.DataFrame, folder: Path, sheet: Sheet, asked: str) -> tuple[pd.DataFrame, str, list[str]]:
    """Return the subjects of feature tables as rows of a manifest, their column, and the pattern of the features."""
    rows, names = [], [asked]
    for one in tables.to_dict("records"):
        part = read_sheet(folder / one["path"], subject=asked or "subject")
        both = [
            str(name)
            for name in sheet.table
            if (own := part.find(str(name))) and set(part.table[own]) & set(sheet.table[name])
        ]
        if not both or (asked and part.find(asked) is None):
            what, remedy = (
                "no column of both tables holds the same names",
                "call it alike in both, as text with its zeros",
            )
            raise InputError(
                "The tables do not fit.", [Problem(what, "a column of subjects", remedy, part.file, value=asked)]
            )
        names = [asked or both[0]]
        key = str(part.find(names[0]))
        rows += [{"subject": who, "center": one["center"], "phase": "ct", "role": "image"} for who in part.table[key]]
        features = [str(name) for name in part.table if re.search(_FEATURES, str(name))]
    pattern = _FEATURES if features else f"^(?!{re.escape(names[0])}$)"
    return pd.DataFrame(rows), names[0], [pattern]


def _without_row(rows: pd.DataFrame, known: pd.Series) -> str:
    """Return a comment on subjects of the manifest whom the clinical table does not have; it names nobody."""
    everybody = set(rows["subject"])
    lost = len(everybody - set(known))
    words = f"{lost} of {len(everybody)} subjects have no row in the clinical table (`radsupport check` names them)"
    return f"   # {_DECIDE}{words}" if lost else ""


def _feature_data(tables: pd.DataFrame, patterns: Sequence[str]) -> Iterator[str]:
    if patterns:
        places = ", ".join(f"{_quoted(one['center'])}: {_quoted(one['path'])}" for one in tables.to_dict("records"))
        yield from ("  entry: features", f"  feature_tables: {{{places}}}")
        yield f"  feature_columns: {{radiomics: {patterns[0]!r}}}   # {_DECIDE}which columns are features"


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


def _missing(table: pd.DataFrame, kinds: Mapping[str, Any]) -> list[str]:
    """Return the codes for missing values that the table uses, as it writes them, and words among its numbers."""
    found = dict.fromkeys(cell for column in table for cell in table[column] if cell.casefold() in MISSING)
    words = [word for kind, _, others in kinds.values() if kind == "number" for word in others if _is_word(word)]
    return list(dict.fromkeys(["", "NA", *found, *words]))


def _is_word(text: str) -> bool:
    return not re.search(r"\d", text)


def _kind(values: pd.Series, sheet: Sheet, centers: set[str]) -> tuple[str, Any, Any]:
    """Return "number" with the numbers and what else stands there, "category" with its levels, or "" and the reason."""
    known = _known(values)
    levels = sorted(known.unique(), key=lambda one: (one.casefold() not in _NO, one.casefold() in _YES, one))
    if known.empty:
        return "", [], "it is empty"
    if (known.str.fullmatch(_DATE) | known.map(lambda text: read_date(text) is not None)).mean() > MOSTLY:
        return "", [], "dates"
    if PERSONAL.search(str(values.name)):
        return "", [], "by its name no predictor"
    if _CENTER.search(str(values.name)):
        same = set(levels) <= centers
        return "", [], "the center" if same else f"centers, but those of the manifest are {', '.join(sorted(centers))}"
    if len(levels) == 1:
        return "", [], "one value only"
    whole = read_numbers(known, sheet.marks)
    numbers = pd.to_numeric(known if str(values.name) in sheet.typed else whole[0], errors="coerce")
    others = list(dict.fromkeys(known[numbers.isna()]))
    if not whole[2] and numbers.notna().mean() >= MOSTLY and numbers.nunique() > 2:
        return "number", numbers.dropna().astype(float), others
    if whole[2] and pd.to_numeric(known, errors="coerce").notna().all():
        return "number", pd.to_numeric(known).astype(float), [whole[2]]
    return ("category", levels, "") if len(levels) <= MOST_LEVELS else ("", [], f"{len(levels)} different texts")


def _dates(table: pd.DataFrame, kinds: Mapping[str, Any]) -> tuple[str, str, float]:
    """Guess the columns between whose dates patients were followed, and the most days; "" where there are no two."""
    named = [name for name, kind in kinds.items() if kind[2] == "dates" and not PERSONAL.search(name)]
    order, _ = date_order(text for name in named for text in table[name])
    read = {name: table[name].map(lambda text: read_date(text, order or DAY_FIRST)) for name in named}
    days = {name: column.map(lambda one: one.toordinal() if one else np.nan) for name, column in read.items()}
    days = {name: column for name, column in days.items() if column.notna().mean() >= 0.5}  # not that of a relapse
    places = sorted(days, key=lambda name: float(days[name].median()))
    start = next((name for name in places if _START.search(name) and not _END.search(name)), (places or [""])[0])
    others = [name for name in places[::-1] if name != start]
    end = next((name for name in others if _END.search(name)), (others or [""])[0])
    spans = (days[end] - days[start]).dropna() if end else pd.Series(dtype=float)
    return (start, end, float(spans.max())) if len(spans) and (spans >= 0).mean() >= 0.9 else ("", "", 0.0)


def _outcome(kinds: Mapping[str, Any], dates: tuple[str, str, float]) -> tuple[str, str, str]:
    """Guess the columns of label, time and event; "" where nothing looks like it. Two dates stand for a time."""
    two = [name for name, (kind, levels, _) in kinds.items() if kind == "category" and len(levels) == 2]
    numbers = [name for name, (kind, values, _) in kinds.items() if kind == "number" and values.min() >= 0]
    time = next((name for name in numbers if _TIME.search(name)), dates[0])
    event = next((name for name in two if time and _EVENT.search(name)), "")
    event = event or next((name for name in two if time and _LABEL.search(name)), "")
    label = next((name for name in two if _LABEL.search(name) and name != event), "")
    return label, time if event else "", event


def _endpoint(
    kinds: Mapping[str, Any], label: str, time: str, event: str, dates: tuple[str, str, float]
) -> Iterator[str]:
    yield "endpoint:"
    yield f"  primary: {'survival' if event else 'label'}   # {_DECIDE}label or survival"
    if label or not event:
        name = label or "label"
        levels = kinds[label][1] if label else ["0", "1"]
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
        codes, dated = kinds[event][1], time == dates[0]
        largest = dates[2] if dated else float(kinds[time][1].max())
        in_days = dated or largest > 400 or re.search(r"day|tage|jours", time.casefold())
        unit = "days" if in_days else "months"
        longest = largest / 30.4375 if unit == "days" else largest
        horizons = [month for month in (12, 24) if month < longest] or [max(1, round(longest / 2))]
        yield "  survival:"
        if dated:
            yield f"    dates: {{start: {_quoted(dates[0])}, end: {_quoted(dates[1])}}}   # {_DECIDE}from when to when"
        else:
            yield f"    time: {_quoted(time)}"
        yield f"    event: {_quoted(event)}"
        yield f"    event_values: [{_quoted(codes[-1])}]   # {_DECIDE}the code of the event"
        yield f"    censored_values: [{_quoted(codes[0])}]   # {_DECIDE}and of the end of follow-up without it"
        dies = bool(_DEATH.search(f"{event} {' '.join(codes)}"))
        what = "death" if dies else event.replace("_", " ") if _LABEL.search(event) else "event"
        name = "overall survival" if dies else "survival" if what == "event" else f"{what}-free survival"
        yield f"    name: {_quoted(name)}   # {_DECIDE}overall, recurrence-free, ..."
        yield f"    event_name: {_quoted(what)}   # {_DECIDE}what happens"
        if not dated:
            yield f"    unit: {unit}   # {_DECIDE}a guess: the longest is {largest:g}"
        yield f"    horizons_months: [{', '.join(map(str, horizons))}]   # {_DECIDE}months at which risks are judged"


def _cohorts(rows: pd.DataFrame) -> Iterator[str]:
    sizes = rows.groupby("center", sort=False)["subject"].nunique().sort_values(ascending=False, kind="stable")
    yield "cohorts:"
    for i, (center, n) in enumerate(sizes.items()):
        key = "train" if i == 0 else "external" if len(sizes) == 2 else f"external_{slug(str(center)).replace('_', '')}"
        kind = "" if i == 0 else ", validation: geographic"
        name = _quoted(str(center))
        yield f"  {key}: {{name: {name}, centers: [{name}]{kind}}}   # {n} subjects; {_DECIDE}who is trained on"


def _column(name: str, values: pd.Series, kind: Any) -> Iterator[str]:
    what, found, rest = kind
    key = _key(name)
    label, unit = _label_and_unit(name.replace("_", " ")) if what == "number" else (name.replace("_", " "), "")
    common = f"source: clinical, kind: {what}, column: {_quoted(name)}, label: {_quoted(label)}"
    common += f", unit: {_quoted(unit)}" if unit else ""
    absent = int(values.str.casefold().isin(MISSING).sum())
    note = f"   # {absent} missing;" if absent else "   #"
    if what == "number":
        low, high = float(found.min()), float(found.max())
        also = f" also {', '.join(map(repr, rest[:5]))};" if rest else ""
        yield f"  {key}: {{{common}}}{note} values {low:g} to {high:g};{also} {_DECIDE}unit, minimum, maximum"
    elif what == "category":
        levels = ", ".join(map(_quoted, found))
        yield f"  {key}: {{{common}, levels: [{levels}]}}{note} {_DECIDE}the reference first"
    else:
        yield f"  # {name}: left out ({rest})"


def _label_and_unit(name: str) -> tuple[str, str]:
    """Return what stands before brackets at the end of a header, and in them."""
    found = re.fullmatch(r"(.*\S)\s*[(\[]([^()\[\]]+)[)\]]\s*", name)
    return (found[1], found[2].strip()) if found else (name, "")


def _key(name: str) -> str:
    """Return a column's header as a key: letters without their marks, digits, underscores."""
    german = name.casefold().translate({ord("ä"): "ae", ord("ö"): "oe", ord("ü"): "ue"})
    plain = "".join(one for one in unicodedata.normalize("NFKD", german) if not unicodedata.combining(one))
    key = slug(plain) or "column"
    return key if key[0].isalpha() else f"c_{key}"


def _phases(rows: pd.DataFrame) -> Iterator[str]:
    """Yield the phases that most subjects of the fullest one have; of all but that who lacks them."""
    own = rows[rows["role"] == "image"].groupby("phase", sort=False)["subject"].agg(set)
    fullest = own[own.map(len).idxmax()]
    for name, subjects in own.items():
        word, lack = _quoted(str(name)), len(fullest - subjects)
        note = f"{lack} of {len(fullest)} subjects lack this phase" if lack else "HU"
        unused = "# " * (lack > MOST_LACK * len(fullest))
        yield (
            f"  {unused}{word}: {{name: {word}, short: {word}, window: {{level: 40, width: 400}}}}   # {_DECIDE}{note}"
        )


def _sections(like: str, tables: bool) -> Iterator[str]:
    """Yield the settings that do not depend on the other study's patients, signatures or networks."""
    given = yaml.safe_load(like)
    for section, (keys, default) in TAKEN.items():
        if section == "modelling" or not tables:
            taken = default | {key: one for key, one in (given.get(section) or {}).items() if key in keys}
            flow = yaml.safe_dump(taken, default_flow_style=True, sort_keys=False, width=1000).strip()
            yield from (f"{section}: {flow}   # as {given['id']} has it", "")


def _models(used: Sequence[str], kinds: Mapping[str, Any], rows: pd.DataFrame, survival: bool) -> Iterator[str]:
    """Yield the signatures, what is shown of them, and the nomogram."""
    keys = [_key(one) for one in used if kinds[one][0]][:3]
    phase = rows.loc[rows["role"] == "image", "phase"].value_counts(sort=False).idxmax()
    image, plain = ("CoxRidge", "Cox") if survival else ("Ridge", "Ridge")
    yield "signatures:   # each learns from all features: a filter of related ones costs a ridge more than it saves"
    for title, learner in {"Radiomics": image, "Boosted": "BoostCox" if survival else "Boost"}.items():
        yield f"  - {{name: {title}, sources: [radiomics], phases: [{phase}], learner: {learner}}}"
    yield "  - {name: Average, combines: [Radiomics, Boosted], learner: Mean}   # both in equal parts"
    if keys:
        named = ", ".join(keys)
        yield f"  - {{name: Clinical, columns: [{named}], learner: {plain}}}   # {_DECIDE}what is known before"
    yield ""
    yield "validation:"
    yield "  best: Radiomics                   # fixed before looking"
    yield f"  threshold: {'median' if survival else 'youden'}"
    if keys:
        yield "  comparator: Clinical"
    if survival:
        yield from ("", "survival:", "  threshold: median", f"  signatures: [Radiomics{', Clinical' if keys else ''}]")
    if survival and keys:
        yield from ("  baseline: Clinical", f"  covariates: [{keys[0]}]   # {_DECIDE}one for every ten events")
    if keys:
        yield ""
        yield "nomogram:"
        yield f"  {{model: {'cox' if survival else 'logistic'}, signature: Radiomics, columns: [{keys[0]}]}}"
    yield ""
    yield f'# cautions: [{{chapters: ["05", "06"], text: "..."}}]   # {_DECIDE}what to keep in mind'


def _author() -> Iterator[str]:
    """Yield what checklists ask of the author, as comments: a key that is not answered is left out."""
    yield ""
    yield "# What checklists and cards ask of you: take the # from `author:` and each answer. No chapter runs again."
    yield "# author:"
    yield from (f'#   {key}: ""   # {question}' for key, question in Author().missing.items())


def _quoted(text: str) -> str:
    """Return a text as YAML that stays a text."""
    is_word = re.fullmatch(r"[A-Za-z][\w ]*", text) and text.casefold() not in _NO_TEXT
    return text if is_word else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def manifest_of_features(tables: Sequence[Path], path: Path, study: str) -> Path:
    """Copy tables of features beside a new manifest and name them in it, one per center; return the manifest.

    A single table is that of the center `study`; several are those of the centers that their files are called by.

    Raises
    ------
    InputError
        Some of the tables are not there; all of them are listed.
    """
    lacking = [Problem("there is no such file", file=str(one)) for one in tables if not one.is_file()]
    if lacking:
        raise InputError("No study file was written.", lacking)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    for table in tables:
        shutil.copyfile(table, path.with_name(table.name))
    centers = [study] if len(tables) == 1 else [one.name.split(".")[0] for one in tables]
    rows = zip(centers, tables, strict=True)
    append_rows(path, [[study, "", center, "", "features", one.name] for center, one in rows])
    return path
