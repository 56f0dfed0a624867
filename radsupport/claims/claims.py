"""Tables of claims: reading one, telling its malformed rows, and checking every other row.

The format is documented in book/published_claims_format.md.
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd

from radsupport.claims.numbers import Printed, numbers_in
from radsupport.claims.verdicts import MALFORMED, Claim, Verdict, find_form, forms_of, kinds, significant_digits
from radsupport.errors import InputError, Problem

COLUMNS = ("study", "table", "item", "group", "published_value", "kind", "inputs")
RESULT_COLUMNS = ("row", *COLUMNS[:-1], "verdict", "reason", "recomputed", "test")
TWO_FIGURES = 2
ENOUGH_P_VALUES = 8
"""P values a table needs before its rounding to two significant figures is read off from it."""
STRUCTURE_ERRORS = (TypeError, ValueError, KeyError, IndexError, AttributeError, ZeroDivisionError, OverflowError)
"""What a checker raises when inputs have the right names but nonsensical contents."""


def check_claims(path: str | Path | None = None) -> pd.DataFrame:
    """Check every claim in a CSV file, or the claims of the four papers.

    Parameters
    ----------
    path : path, optional
        CSV file with the columns `COLUMNS`; the package's own table if not given.

    Returns
    -------
    pandas.DataFrame
        One row per claim in the order of the file: ``row`` (as a spreadsheet numbers it, the header
        is row 1), ``study, table, item, group, published_value, kind``, ``verdict`` (holds / does
        not hold / cannot be decided / malformed), ``reason``, ``recomputed`` and ``test`` (the test,
        formula or way of rounding that fits).

    Raises
    ------
    InputError
        The file can not be read, has no rows, or lacks columns. A malformed row raises nothing:
        it gets the verdict `malformed` and its reason says what to mend.
    """
    return pd.DataFrame([record for record, _, _ in checked_rows(path)], columns=list(RESULT_COLUMNS))


def checked_rows(path: str | Path | None = None) -> Iterator[tuple[dict[str, Any], Claim | None, Verdict | None]]:
    """Yield each claim's result row (as in `check_claims`), the claim and its full verdict; None where malformed."""
    rows = list(_rows(path))
    figures = _p_figures(row for _, row, problem in rows if problem is None)
    for number, row, problem in rows:
        claim: Claim | None = None
        verdict: Verdict | None = None
        if problem is None:
            claim, problem = _claim(row, figures.get((row["study"], row["table"])))
        if claim is not None:
            verdict, problem = check_claim(claim)
        record: dict[str, Any] = {"row": number} | {name: row.get(name, "") for name in COLUMNS[:-1]}
        if verdict is None:
            record |= {"verdict": MALFORMED, "reason": problem, "recomputed": "", "test": ""}
        else:
            record |= {name: getattr(verdict, name) for name in ("verdict", "reason", "recomputed", "test")}
        yield record, claim, verdict


def problems_of(table: pd.DataFrame, file: str = "") -> list[Problem]:
    """Return one problem per malformed row of a table from `check_claims`."""
    bad = table[table["verdict"] == MALFORMED]
    return [
        Problem(what=str(row["reason"]), file=file, row=str(row["row"]), column="inputs" if row["kind"] else "")
        for _, row in bad.iterrows()
    ]


def _rows(path: str | Path | None) -> Iterator[tuple[int, dict[str, str], str | None]]:
    """Yield (row number, fields, what is wrong with them)."""
    text, name = _text(path)
    reader = csv.DictReader(text.splitlines(keepends=True), restkey="", strict=True)
    missing = [column for column in COLUMNS if column not in (reader.fieldnames or [])]
    if missing:
        raise InputError(
            f"{name} can not be checked.",
            [Problem("columns are missing", f"columns {', '.join(COLUMNS)}", f"add {', '.join(missing)}", file=name)],
        )
    try:
        records = list(reader)
    except csv.Error as error:
        raise InputError(f"{name} is no valid CSV file: {error} (line {reader.line_num}).") from error
    if not records:
        raise InputError(f"{name} holds no claims, only a header.")
    for number, record in enumerate(records, start=2):
        if "" in record or None in record.values():
            given = {key: value or "" for key, value in record.items() if key}
            yield number, given, f"the row does not have {len(reader.fieldnames or [])} fields like the header"
        else:
            yield number, {str(key): str(value).strip() for key, value in record.items()}, None


def _text(path: str | Path | None) -> tuple[str, str]:
    if path is None:
        return (resources.files("radsupport.claims") / "data" / "claims.csv").read_text("utf-8"), "claims.csv"
    try:
        return Path(path).read_text("utf-8-sig"), str(path)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} can not be read: {error}") from error


def _p_figures(rows: Iterator[Mapping[str, str]]) -> dict[tuple[str, str], int]:
    """Find tables all of whose P values carry two significant figures though they print more decimals."""
    printed: dict[tuple[str, str], list[Printed]] = defaultdict(list)
    for row in rows:
        if row["kind"] == "p_value":
            with suppress(InputError):  # told when the row itself is checked
                values = numbers_in(row["published_value"])
                printed[row["study"], row["table"]] += [p for p in values if p.relation == "="]
    return {
        table: TWO_FIGURES
        for table, values in printed.items()
        if len(values) >= ENOUGH_P_VALUES
        and all(significant_digits(p) <= TWO_FIGURES for p in values)
        and any(p.decimals > TWO_FIGURES and p.value >= 0.1 for p in values)
    }


def _claim(row: Mapping[str, str], p_digits: int | None) -> tuple[Claim | None, str | None]:
    """Return the claim that one row makes, or what is malformed about it."""
    if row["kind"] not in kinds():
        return None, f"kind {row['kind']!r} is unknown; known are {', '.join(kinds())}"
    if not row["published_value"]:
        return None, "published_value is empty"
    try:
        inputs = json.loads(row["inputs"], parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        return None, f"inputs are no valid JSON from character {error.pos + 1} on ({error.msg.lower()})"
    except ValueError as error:
        return None, f"inputs are no valid JSON: {error}"
    if not isinstance(inputs, dict):
        return None, f'inputs must be a JSON object like {{"k": 3, "n": 8}}, they are {row["inputs"]!r}'
    claim = Claim(**{name: row[name] for name in COLUMNS[:-1]}, inputs=inputs, p_digits=p_digits)
    return _completed(claim), None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def check_claim(claim: Claim) -> tuple[Verdict | None, str | None]:
    """Check one claim; return (verdict, None), or (None, what is malformed)."""
    found = find_form(claim.kind, frozenset(claim.inputs))
    if found is None:
        names = ", ".join(sorted(claim.inputs)) or "none"
        return None, f"inputs named {names} fit no form of {claim.kind}; its forms are: {forms_of(claim.kind)}"
    try:
        verdict = found.checker(claim)
    except InputError as error:
        return None, str(error)
    except STRUCTURE_ERRORS as error:
        return None, f"inputs do not have the structure of the form {found}: {error}"
    note = str(claim.inputs.get("note", "")).strip()
    return (replace(verdict, reason=f"{verdict.reason} {note}") if note else verdict), None


def _completed(claim: Claim) -> Claim:
    """Give a row of the four papers that names its inputs as they were first typed the inputs of the package."""
    key = tuple(getattr(claim, name) for name in COLUMNS[:-1])
    typed, inputs = _package_inputs().get(key, (None, None))
    return replace(claim, inputs=inputs) if inputs is not None and claim.inputs == typed else claim


@lru_cache(maxsize=1)
def _package_inputs() -> dict[tuple[str, ...], tuple[Any, dict[str, Any]]]:
    """Return {place and printed value: (inputs as first typed, inputs in the documented form)} where they differ."""
    return {
        tuple(row[name] for name in COLUMNS[:-1]): (json.loads(row["typed_inputs"]), json.loads(row["inputs"]))
        for _, row, _ in _rows(None)
        if row["typed_inputs"]
    }
