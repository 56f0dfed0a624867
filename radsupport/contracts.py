"""The four tables that pass between chapters, and the numbers that each chapter quotes.

A table is checked when it is written and again when it is read, so whoever can produce one can enter
the book at that chapter. Files are written under a temporary name and renamed: a build that is
stopped half-way leaves the old file or none.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaErrors

from radsupport.contracts_json import read_chapter_json, write_chapter_json
from radsupport.errors import ContractError, Problem
from radsupport.files import written_whole

__all__ = [
    "CASES", "COHORT", "COHORTS", "FEATURES", "KINDS", "PREDICTIONS", "read_chapter_json", "read_table",
    "schema_of", "validate_table", "write_chapter_json", "write_table",
]  # fmt: skip

COHORTS = ("train", "internal", "external", "segmentation")
KINDS = ("apparent", "out_of_fold", "external")

_zero_or_one = pa.Check.isin([0, 1], error="a value other than 0 and 1")


def _binary() -> pa.Column:
    return pa.Column(float, _zero_or_one, nullable=True, required=False, coerce=True)


def _months() -> pa.Column:
    check = pa.Check.ge(0, error="a negative follow-up time (months)")
    return pa.Column(float, [check, _finite()], nullable=True, required=False, coerce=True)


def _finite() -> pa.Check:
    return pa.Check(lambda s: ~np.isinf(pd.to_numeric(s, errors="coerce")), error="an infinite value")


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


COHORT = pa.DataFrameSchema(
    {
        "subject": _text(unique=True),
        "center": _text(),
        "cohort": pa.Column(str, pa.Check.isin(COHORTS, error=f"a cohort other than {', '.join(COHORTS)}")),
        "label": _binary(),
        "time": _months(),
        "event": _binary(),
    },
    checks=[
        pa.Check(_outcome_present, error="a subject without label and without time and event"),
        pa.Check(_time_with_event, error="time without event, or event without time"),
    ],
)
CASES = pa.DataFrameSchema(
    {
        "subject": _text(),
        "phase": _text(),
        "image": pa.Column(str, nullable=True),
        "mask": pa.Column(str, nullable=True),
        "mask_reader2": pa.Column(str, nullable=True, required=False),
        "roi_rough": pa.Column(str, nullable=True, required=False),
        "voxels": pa.Column(float, pa.Check.ge(0, error="a negative number of voxels"), nullable=True, coerce=True),
        "exclusion": pa.Column(str, nullable=True),
        r"^spacing_[xyz](_mm)?$": pa.Column(
            float,
            pa.Check.gt(0, error="a spacing that is not positive (mm)"),
            nullable=True,
            coerce=True,
            regex=True,
            required=False,
        ),
        r"^hu_\w+$": pa.Column(float, _finite(), nullable=True, coerce=True, regex=True, required=False),
    },
    unique=["subject", "phase"],
)
FEATURES = pa.DataFrameSchema(
    {
        "subject": _text(unique=True),
        r"^.+__.+$": pa.Column(float, _finite(), nullable=True, coerce=True, regex=True, required=False),
    },
    strict=True,
)
PREDICTIONS = pa.DataFrameSchema(
    {
        "subject": _text(),
        "cohort": pa.Column(str, pa.Check.isin(COHORTS, error=f"a cohort other than {', '.join(COHORTS)}")),
        "signature": _text(),
        "kind": pa.Column(str, pa.Check.isin(KINDS, error=f"a kind other than {', '.join(KINDS)}")),
        "fold": pa.Column(float, nullable=True, coerce=True),
        "risk": pa.Column(float, _finite(), coerce=True),
        "label": _binary(),
        "time": _months(),
        "event": _binary(),
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
    schema = schema_of(name)
    with warnings.catch_warnings():
        # pandera concatenates its failure tables, some of them all-NA, the way pandas announces to change
        warnings.filterwarnings("ignore", "The behavior of DataFrame concatenation with empty", FutureWarning)
        try:
            return schema.validate(frame.reset_index(drop=True), lazy=True)
        except SchemaErrors as error:
            problems = _problems(error.failure_cases, file)
    raise ContractError(f"The table `{name}` does not keep its contract.", problems)


def write_table(frame: pd.DataFrame, name: str, folder: Path) -> Path:
    """Check a table and write it to ``<folder>/<name>.parquet``.

    Raises
    ------
    ContractError
        The table does not keep its contract; nothing is written then.
    """
    path = Path(folder) / f"{name}.parquet"
    checked = validate_table(frame, name, str(path))
    with written_whole(path) as partial:
        checked.to_parquet(partial, index=False)
    return path


def read_table(name: str, folder: Path) -> pd.DataFrame:
    """Read ``<folder>/<name>.parquet`` and check it.

    Raises
    ------
    ContractError
        The file is missing, is no parquet table, or does not keep its contract.
    """
    schema_of(name)
    path = Path(folder) / f"{name}.parquet"
    if not path.is_file():
        problem = Problem(
            "this table is missing", remedy="run the chapter that writes it, or provide it", file=str(path)
        )
        raise ContractError(f"The table `{name}` can not be read.", [problem])
    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's errors derive from these two
        raise ContractError(f"The table `{name}` can not be read.", [Problem(str(error), file=str(path))]) from error
    return validate_table(frame, name, str(path))


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
