"""Reading the covariates of a model: terms, their functions and source columns, factor levels, complete rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from radsupport.checks import FloatArray
from radsupport.errors import InputError, Problem

Covariates = str | Sequence[str]

TRANSFORMS: dict[str, Callable[[FloatArray], FloatArray]] = {
    "log": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "log1p": np.log1p,
    "sqrt": np.sqrt,
    "exp": np.exp,
}
_CALL = re.compile(r"^(\w+)\((.+)\)$")


def ordered_levels(values: pd.Series) -> tuple[str, ...]:
    """Return the distinct values as text: categories in their order, numbers as numbers, text as text."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        seen = set(values.dropna())
        return tuple(level_label(level) for level in values.cat.categories if level in seen)
    distinct = list(values.dropna().unique())
    numeric = all(isinstance(value, int | float | np.integer | np.floating) for value in distinct)
    return tuple(level_label(value) for value in sorted(distinct, key=None if numeric else str))


def is_numeric(values: pd.Series) -> bool:
    """Numbers or booleans, also in a column of type object; categories never."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        return False
    if pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        return True
    kind = pd.api.types.infer_dtype(values, skipna=True)
    return kind in {"integer", "floating", "mixed-integer-float", "boolean", "decimal"}


def level_label(value: Any) -> str:
    """Write a factor level as text: 2.0 and 2 are both ``2``."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def split_terms(covariates: Covariates, columns: Iterable[str]) -> list[str]:
    """Return the terms as a list; one text such as ``age + log(thickness)`` is split at its plus signs."""
    if not isinstance(covariates, str):
        return [str(term) for term in covariates]
    return [covariates] if covariates in set(columns) else [term.strip() for term in covariates.split("+")]


def source_column(term: str, columns: Iterable[str]) -> tuple[str, str]:
    """Return a term's function (empty for none) and its source column; a column of that very name comes first."""
    match = _CALL.match(term)
    if term in set(columns) or match is None:
        return "", term
    return match.group(1), match.group(2).strip()


def complete_cases(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Return the rows without a missing value in `columns`, and these columns only (R's na.omit).

    Raises
    ------
    InputError
        No row is left; the columns that are to blame are named.
    """
    chosen = table.loc[:, list(dict.fromkeys(columns))]
    complete = chosen.dropna()
    if complete.empty:
        missing = chosen.isna().sum()
        problems = [
            Problem(
                f"{count} of {len(chosen)} values are missing", "values", "Impute them or leave it out", column=str(c)
            )
            for c, count in missing[missing > 0].items()
        ]
        raise InputError("The table has no row without a missing value in the model's columns:", problems)
    return complete


def needed_columns(table: pd.DataFrame, covariates: Covariates, outcomes: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the terms and all table columns that a model needs.

    Raises
    ------
    InputError
        A column does not exist, a function is unknown, a term is named twice or is the outcome; all at once.
    """
    columns = [str(column) for column in table.columns]
    terms = split_terms(covariates, columns)
    problems = [
        Problem("The outcome is no column of the table", column=name, remedy="Check the spelling")
        for name in outcomes
        if name not in columns
    ]
    sources = []
    for term in terms:
        function, source = source_column(term, columns)
        known = not function or function == "factor" or function in TRANSFORMS
        sources.append(source)
        if not known:
            problems.append(Problem(f"Unknown function in `{term}`", f"factor, {', '.join(TRANSFORMS)}", column=source))
        elif source not in columns:
            problems.append(Problem("No such column in the table", column=source, remedy="Check the spelling"))
        elif source in outcomes:
            problems.append(Problem("The outcome is among the covariates", column=source, remedy="Take it out"))
    twice = sorted({term for term in terms if terms.count(term) > 1})
    problems += [Problem("The covariate is named more than once", column=term, remedy="Name it once") for term in twice]
    if problems:
        raise InputError("The model can not be built from this table:", problems)
    return terms, list(dict.fromkeys([*outcomes, *sources]))
