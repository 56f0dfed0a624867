"""The four tables that pass between chapters, and the numbers of a chapter that other pages quote.

A table is checked when it is written and again when it is read, so whoever can produce one can enter
the book at that chapter. Files are written under a temporary name and renamed: a build that is
stopped half-way leaves the old file or none.

A chapter that compares choices writes one feature table per choice, and one line per choice and signature into
``variants_<chapter>.csv``; chapter 05 judges them beside the study's own.
"""

from __future__ import annotations

import functools
import json
import math
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaErrors

from radsupport.errors import ContractError, InputError, Problem
from radsupport.files import sha256, slug, write_csv, written_whole
from radsupport.settings.learning import Signature
from radsupport.settings.parts import COHORT_KEY, COHORTS

KINDS = ("apparent", "out_of_fold", "external")

_COHORT = pa.Check(
    lambda s: s.map(lambda key: COHORT_KEY.fullmatch(str(key)) is not None),
    error=f"a cohort other than {', '.join(COHORTS)} or external_<name>",
)
_ZERO_OR_ONE = pa.Check.isin([0, 1], error="a value other than 0 and 1")
_NOT_NEGATIVE = pa.Check.ge(0, error="a negative follow-up time (months)")
_POSITIVE = pa.Check.gt(0, error="a spacing that is not positive (mm)")
_FINITE = pa.Check(lambda s: ~np.isinf(pd.to_numeric(s, errors="coerce")), error="an infinite value")


def _number(*checks: pa.Check, **options: Any) -> pa.Column:
    return pa.Column(float, list(checks), nullable=True, coerce=True, **options)


def _one_of(values: tuple[str, ...], what: str) -> pa.Column:
    return pa.Column(str, pa.Check.isin(values, error=f"a {what} other than {', '.join(values)}"))


def _text(**options: Any) -> pa.Column:
    return pa.Column(str, pa.Check.str_length(min_value=1, error="an empty text"), coerce=False, **options)


def _outcome_present(table: pd.DataFrame) -> pd.Series:
    label = table["label"].notna() if "label" in table else pd.Series(False, table.index)
    survival = table[["time", "event"]].notna().all(axis=1) if {"time", "event"} <= set(table) else label & False
    unlabelled = table["cohort"] == "segmentation" if "cohort" in table else label & False
    return label | survival | unlabelled


def _time_with_event(table: pd.DataFrame) -> pd.Series:
    time, event = (table[c].notna() if c in table else pd.Series(False, table.index) for c in ("time", "event"))
    return time == event


def _no_event_then(table: pd.DataFrame) -> pd.Series:
    if not {"event", "competing"} <= set(table):
        return pd.Series(True, table.index)
    return (table["competing"] != 1) | (table["event"] == 0)


_OUTCOME = {
    "label": _number(_ZERO_OR_ONE, required=False),
    "time": _number(_NOT_NEGATIVE, _FINITE, required=False),
    "event": _number(_ZERO_OR_ONE, required=False),
}
COHORT = pa.DataFrameSchema(
    {
        "subject": _text(unique=True),
        "center": _text(),
        "cohort": pa.Column(str, _COHORT),
        **_OUTCOME,
        "competing": _number(_ZERO_OR_ONE, required=False),
    },
    checks=[
        pa.Check(_outcome_present, error="a subject without label and without time and event"),
        pa.Check(_time_with_event, error="time without event, or event without time"),
        pa.Check(_no_event_then, error="a competing event (1) beside an event (1), or without one of 0"),
    ],
)
CASES = pa.DataFrameSchema(
    {
        "subject": _text(),
        "phase": _text(),
        **{name: pa.Column(str, nullable=True) for name in ("image", "mask", "exclusion")},
        **{name: pa.Column(str, nullable=True, required=False) for name in ("mask_reader2", "roi_rough")},
        "voxels": _number(pa.Check.ge(0, error="a negative number of voxels")),
        r"^spacing_[xyz](_mm)?$": _number(_POSITIVE, regex=True, required=False),
        r"^hu_\w+$": _number(_FINITE, regex=True, required=False),
    },
    unique=["subject", "phase"],
)
#: Columns of `cases` that hold paths.
_PATHS = re.compile(r"(source_)?(image|mask|mask_reader2|roi_rough|samples)")
_FEATURE = r"^.+__.+$"  # a column of features: source, feature
FEATURES = pa.DataFrameSchema(
    {"subject": _text(unique=True), _FEATURE: _number(_FINITE, regex=True, required=False)}, strict=True
)
PREDICTIONS = pa.DataFrameSchema(
    {
        "subject": _text(),
        "cohort": pa.Column(str, _COHORT),
        "signature": _text(),
        "kind": _one_of(KINDS, "kind"),
        "fold": _number(),
        "risk": pa.Column(float, _FINITE, coerce=True),
        "score": _number(required=False),
        **_OUTCOME,
    },
    unique=["subject", "signature", "kind"],
)


def schema_of(name: str) -> pa.DataFrameSchema:
    """Return the schema of a table by its file stem.

    Parameters
    ----------
    name : str
        ``cohort``, ``cases``, ``features_<source>`` or ``predictions``.

    Raises
    ------
    ContractError
        Another name.
    """
    schemas = {"cohort": COHORT, "cases": CASES, "predictions": PREDICTIONS}
    if name in schemas:
        return schemas[name]
    if name.startswith("features_") and len(name) > len("features_"):
        return FEATURES
    expected = f"{', '.join(schemas)} or features_<source>"
    raise ContractError("There is no such table.", [Problem("unknown table", expected, "correct the name", value=name)])


def validate_table(frame: pd.DataFrame, name: str, file: str = "") -> pd.DataFrame:
    """Return `frame` with the column types of its contract.

    Parameters
    ----------
    frame : DataFrame
    name : str
        ``cohort``, ``cases``, ``features_<source>`` or ``predictions``.
    file : str
        Named in the message.

    Raises
    ------
    ContractError
        Every violated rule, with the rows and values it is violated by.
    """
    schema, frame = schema_of(name), frame.reset_index(drop=True)
    if schema is FEATURES and _plain_features(frame):
        return frame
    with warnings.catch_warnings():
        # pandera concatenates its failure tables, some of them all-NA, the way pandas announces to change
        warnings.filterwarnings("ignore", "The behavior of DataFrame concatenation with empty", FutureWarning)
        try:
            return schema.validate(frame, lazy=True)
        except SchemaErrors as error:
            problems = _problems(error.failure_cases, file)
    raise ContractError(f"The table `{name}` does not keep its contract.", problems)


def _plain_features(frame: pd.DataFrame) -> bool:
    """Whether a table of features keeps its contract as it is.

    pandera goes through a thousand columns one by one; it is asked where something is to be changed, or to be said.
    """
    if "subject" not in frame or not frame.columns.is_unique:
        return False
    subjects, features = frame["subject"], frame.drop(columns="subject")
    named = all(isinstance(name, str) and re.match(_FEATURE, name) for name in features)
    texts = all(isinstance(value, str) and value for value in subjects) and subjects.is_unique
    floats = features.dtypes.eq("float64").all() and subjects.dtype == "object"
    return bool(named and texts and floats and not np.isinf(features.to_numpy()).any())


def write_table(frame: pd.DataFrame, name: str, folder: Path, root: Path | None = None) -> Path:
    """Check a table and write it to ``<folder>/<name>.parquet``.

    Files of cases that lie in the project `root` are written relative to it (with slashes, on every system): the
    results can be moved or mailed with their project, and are the same wherever they were made.

    Raises
    ------
    ContractError
        The table does not keep its contract; nothing is written then.
    """
    path = Path(folder) / f"{name}.parquet"
    checked = validate_table(frame, name, str(path))
    if root is not None and name == "cases":
        checked = _with_paths(checked, lambda file: _inside(file, Path(root)))
    with written_whole(path) as partial:
        checked.to_parquet(partial, index=False)
    return path


def read_table(name: str, folder: Path, root: Path | None = None) -> pd.DataFrame:
    """Read ``<folder>/<name>.parquet`` and check it; files of cases are then those below the project `root`.

    Raises
    ------
    ContractError
        The file is missing, is no parquet table, or does not keep its contract.
    """
    schema_of(name)
    path = Path(folder) / f"{name}.parquet"
    if not path.is_file():
        problem = Problem("this table is missing", "", "run the chapter that writes it, or provide it", str(path))
        raise ContractError(f"The table `{name}` can not be read.", [problem])
    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's errors derive from these two
        raise ContractError(f"The table `{name}` can not be read.", [Problem(str(error), file=str(path))]) from error
    if root is not None and name == "cases":
        frame = _with_paths(frame, lambda file: str(Path(root) / file))
    return validate_table(frame, name, str(path))


def _with_paths(cases: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    """Return a table of cases with its paths changed; cells without one stay as they are."""
    named = [str(column) for column in cases if _PATHS.fullmatch(str(column))]
    changed = {
        name: [change(file) if isinstance(file, str) and file else file for file in cases[name]] for name in named
    }
    return cases.assign(**{name: pd.Series(files, cases.index, dtype=object) for name, files in changed.items()})


def _inside(file: str, root: Path) -> str:
    """Return a path relative to a folder that it lies in; any other stays."""
    path = Path(file).absolute()
    return path.relative_to(root.absolute()).as_posix() if path.is_relative_to(root.absolute()) else file


def _problems(failures: pd.DataFrame, file: str) -> list[Problem]:
    """Turn pandera's table of failures into one problem per rule and column."""
    failures = failures[~failures["column"].astype(str).str.startswith("^")]  # said again under the column's own name
    table_wide = failures["schema_context"].eq("DataFrameSchema")
    place = failures["column"].astype(str).mask(table_wide, "")
    problems = []
    for (column, check), group in failures.groupby([place, failures["check"].astype(str)], sort=False):
        rows = [str(int(i) + 2) for i in pd.to_numeric(group["index"], errors="coerce").dropna().drop_duplicates()]
        values = [str(v) for v in group["failure_case"].drop_duplicates()]
        what, where, shown = _in_words(str(check), str(column), values)
        problems.append(Problem(what, "", "correct what writes this table", file, _few(rows), where, _few(shown)))
    return list(dict.fromkeys(problems))


def _in_words(check: str, column: str, values: list[str]) -> tuple[str, str, list[str]]:
    if check == "column_in_dataframe":
        return "this column is missing", values[0], []
    if check == "column_in_schema":
        return "this column does not belong here", values[0], []
    if check == "not_nullable":
        return "a missing value", column, []
    if "unique" in check:
        return f"the same {column or 'key'} twice", column, values
    if check.startswith(("dtype", "coerce_dtype")):
        return f"the column is not of type {check.split('(')[-1].strip(')')}", column, values
    return check, column, values if column else []


def _few(items: list[str], most: int = 8) -> str:
    return ", ".join(items[:most]) + (f" … ({len(items)} in all)" if len(items) > most else "")


VERSIONS_OF = (
    "radsupport", "numpy", "pandas", "scipy", "scikit-learn", "lifelines", "scikit-survival", "statsmodels",
    "pyradiomics", "SimpleITK", "torch",
)  # fmt: skip


def write_chapter_json(
    folder: Path,
    chapter: str,
    numbers: Mapping[str, Any],
    seed: int | None = None,
    inputs: Iterable[Path] = (),
    stamp: Mapping[str, Any] | None = None,
) -> Path:
    """Write the numbers of a chapter that other pages quote to ``<folder>/<chapter>.json``.

    Parameters
    ----------
    folder : Path
        ``results/<study>``.
    chapter : str
        File stem such as ``06_validation``.
    numbers : mapping
        JSON-like; an estimate is a mapping with value, n, ci_low and ci_high.
    seed : int, optional
        The seed behind the numbers.
    inputs : iterable of Path
        Files the numbers were computed from; their sha256 is kept.
    stamp : mapping, optional
        Which run wrote them, and what it was built on (`radsupport.book.runs`).

    Returns
    -------
    Path

    Raises
    ------
    ContractError
        A value is no JSON value, or an input file does not exist.
    """
    path = Path(folder) / f"{chapter}.json"
    files = sorted(Path(item) for item in inputs)
    absent = [Problem("no such input file", file=str(item)) for item in files if not item.is_file()]
    bad = list(_not_json(numbers, ""))
    if absent or bad:
        raise ContractError(f"{path} can not be written.", [*absent, *bad])
    content = {
        "chapter": chapter,
        "seed": seed,
        "numbers": _plain(numbers),
        "inputs": {item.name: sha256(item) for item in files},
        "versions": library_versions(),
    }
    content |= {"stamp": dict(stamp)} if stamp is not None else {}
    with written_whole(path) as partial:
        partial.write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    return path


def read_chapter_json(folder: Path, chapter: str) -> dict[str, Any]:
    """Read what `write_chapter_json` wrote: chapter, seed, numbers, inputs, versions.

    Raises
    ------
    ContractError
        The file is missing or was not written by `write_chapter_json`.
    """
    path = Path(folder) / f"{chapter}.json"
    message = f"The numbers of chapter `{chapter}` can not be read."
    if not path.is_file():
        raise ContractError(message, [Problem("this file is missing", remedy="run the chapter", file=str(path))])
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ContractError(message, [Problem(f"no valid JSON: {error}", file=str(path))]) from error
    expected = {"chapter", "seed", "numbers", "inputs", "versions"}
    if not isinstance(content, dict) or not expected <= set(content):
        problem = Problem("keys are missing", ", ".join(sorted(expected)), "run the chapter again", str(path))
        raise ContractError(message, [problem])
    return content


@functools.cache
def library_versions(packages: tuple[str, ...] = VERSIONS_OF) -> dict[str, str]:
    """Return versions of libraries by their names; looked up once, as each is a file of many lines."""
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def _plain(value: Any) -> Any:
    """Return `value` in JSON's own types; NaN and infinity become null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(inner) for inner in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value


def _not_json(value: Any, place: str) -> Iterable[Problem]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _not_json(inner, f"{place}.{key}".lstrip("."))
    elif isinstance(value, list | tuple | np.ndarray):
        for i, inner in enumerate(value):
            yield from _not_json(inner, f"{place}[{i}]")
    elif not (value is None or isinstance(value, str | bool | int | float | np.bool_ | np.integer | np.floating)):
        what, expected = f"a value of type {type(value).__name__}", "number, text, true/false, list or mapping"
        yield Problem(what, expected, "convert it", column=place, value=str(value)[:60])


COLUMNS = ["variant", "table", "source", "signature", "group", "description"]


@dataclass(frozen=True)
class Variant:
    """A choice and the features that follow from it.

    Attributes
    ----------
    name, group, description : str
        What is chosen, among which choices, and what that means.
    source : str
        Feature source whose table it replaces.
    signatures : tuple of str
        Signatures that are judged with it.
    features : DataFrame
        Its table.
    by_fold : dict of int to DataFrame
        Tables per fold, where features were learnt per fold.
    icc : DataFrame
        ICC of each of its features (feature, icc, …); empty: those of the study's own features.
    """

    name: str
    group: str
    description: str
    source: str
    signatures: tuple[str, ...]
    features: pd.DataFrame
    by_fold: Mapping[int, pd.DataFrame] = field(default_factory=dict)
    icc: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def table(self) -> str:
        """File stem of the table."""
        return f"features_{self.source}_{slug(self.group)}_{slug(self.name)}"


def compared_signatures(signatures: Sequence[Signature], source: str, wanted: Sequence[str]) -> tuple[str, ...]:
    """Return the signatures that are judged with each choice: those wanted, else the first one on this source alone."""
    if wanted:
        return tuple(wanted)
    alone = [s.name for s in signatures if list(s.sources) == [source] and not s.combines]
    return tuple(alone[:1])


def variant_table(variants: Sequence[Variant]) -> pd.DataFrame:
    """Return what is written to ``variants_<chapter>.csv``: one row per choice and signature, by group.

    Raises
    ------
    InputError
        Two choices of one group have one name, or names that give one file ("-1 mm" and "+1 mm").
    """
    stems = [one.table for one in variants]
    shared = sorted({one.name for one in variants if stems.count(one.table) > 1})
    if shared:
        raise InputError(f"Choices of one group have one name or names that give one file: {', '.join(shared)}.")
    rows = [
        [one.name, one.table, one.source, signature, one.group, one.description]
        for one in variants
        for signature in one.signatures
    ]
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.sort_values("group", kind="stable", ignore_index=True)


def write_variants(results: Path, chapter: str, variants: Sequence[Variant]) -> pd.DataFrame:
    """Write the tables of all choices and ``variants_<chapter>.csv``; remove those of an earlier run.

    A choice on which no signature is judged is not written.
    """
    table = variant_table(variants)  # refuses what can not be written before anything is removed
    path = results / f"variants_{chapter}.csv"
    if path.is_file():
        for stem in set(pd.read_csv(path)["table"]):
            icc = results / f"{stem.replace('features_', 'icc_', 1)}.csv"
            for old in [results / f"{stem}.parquet", *results.glob(f"{stem}_fold*.parquet"), icc]:
                old.unlink(missing_ok=True)
        path.unlink()
    for one in (one for one in variants if one.signatures):
        write_table(one.features, one.table, results)
        write_fold_tables(results, one.table, one.by_fold)
        if len(one.icc):
            write_csv(one.icc, results / f"{one.table.replace('features_', 'icc_', 1)}.csv")
    if len(table):
        write_csv(table, path)
    return table


def write_fold_tables(results: Path, stem: str, by_fold: Mapping[int, pd.DataFrame]) -> None:
    """Write ``<stem>_fold<k>.parquet`` for each fold, and remove those of folds that are no more."""
    for old in results.glob(f"{stem}_fold*.parquet"):
        if int(old.stem.rsplit("fold", 1)[1]) not in by_fold:
            old.unlink()
    for number, table in by_fold.items():
        write_table(table, f"{stem}_fold{number}", results)
