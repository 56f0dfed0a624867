"""From table columns to a design matrix: numeric terms, factors and reference levels, remembered for prediction.

Cox and logistic regression share this coding. A covariate is a column name, or one of

* ``factor(column)``: the column's distinct values are categories, also where they are numbers;
* ``log(column)``, ``log2``, ``log10``, ``log1p``, ``sqrt``, ``exp``: the transformed column.

Text, categorical and named (``factors=``) columns are factors with treatment coding (R's `contr.treatment`): one 0/1
column for each level but the reference. The design column of a level is named as in R, the term followed by the level
(``celltypesmallcell``, ``factor(race)2``); that of a numeric term is named like the term (``age``, ``log(thickness)``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from radsupport.checks import FloatArray
from radsupport.errors import InputError, Problem
from radsupport.wording import counted

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


_MAX_VALUES = 10  # rms::datadist's n.unique: up to this many distinct values are kept one by one


@dataclass(frozen=True)
class Predictor:
    """One term of a model: what it is made from and how a value becomes design columns.

    Attributes
    ----------
    name : str
        The term as written: ``age``, ``log(thickness)``, ``factor(race)``.
    source : str
        The table column it is made from.
    kind : {"numeric", "factor"}
    transform : str
        Key of `TRANSFORMS`, empty for none.
    levels : tuple of str
        Levels of a factor, reference included, in order (whole numbers without a decimal point).
    reference : str
        The level all others are compared with; empty for numeric terms.
    low, high : float
        Observed range of the source column, before the transform; NaN for factors.
    values : tuple of float
        Distinct observed values of a numeric source column where there are at most 10, else empty.
    columns : tuple of str
        Names of its design columns.
    """

    name: str
    source: str
    kind: Literal["numeric", "factor"]
    transform: str = ""
    levels: tuple[str, ...] = ()
    reference: str = ""
    low: float = float("nan")
    high: float = float("nan")
    values: tuple[float, ...] = ()
    columns: tuple[str, ...] = ()

    @property
    def coded_levels(self) -> tuple[str, ...]:
        """Levels that have a design column: all but the reference, in order."""
        return tuple(level for level in self.levels if level != self.reference)

    def encode(self, values: pd.Series) -> FloatArray:
        """Return the design columns of this term, shape (n, number of columns)."""
        if self.kind == "factor":
            labels = values.map(level_label).to_numpy()
            coded = [(labels == level) for level in self.coded_levels]
            return np.array(coded, dtype=float).T.reshape(len(values), len(coded))
        numbers = values.to_numpy(dtype=float)
        if self.transform:
            numbers = TRANSFORMS[self.transform](numbers)
        return numbers[:, None]

    def problems(self, values: pd.Series) -> list[Problem]:
        """Reasons why `values` can not be coded: missing, infinite, unknown level, outside the transform's domain."""
        missing = values.isna().to_numpy()
        if missing.any():
            return [_problem(values, missing, "a missing value", "Drop or impute these rows")]
        if self.kind == "factor":
            unknown = ~values.map(level_label).isin(self.levels).to_numpy()
            known = "one of the levels " + ", ".join(self.levels)
            remedy = "Use a level that the model was fitted with, or fit it on data that hold this level"
            return (
                [_problem(values, unknown, "a level the model does not know", remedy, known)] if unknown.any() else []
            )
        if not is_numeric(values):
            return [Problem("The column is not numeric", "numbers", "Recode the column", column=self.source)]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            bad = ~np.isfinite(self.encode(values)[:, 0])
        what = f"a value without a finite {self.name}"
        return [_problem(values, bad, what, "Mend or leave out these rows")] if bad.any() else []


@dataclass(frozen=True)
class Design:
    """All predictors of a model, in order, and the way from table rows to the design matrix (without intercept)."""

    predictors: tuple[Predictor, ...]

    @property
    def names(self) -> list[str]:
        """The terms, as written."""
        return [predictor.name for predictor in self.predictors]

    @property
    def sources(self) -> list[str]:
        """The table columns needed, each once."""
        return list(dict.fromkeys(predictor.source for predictor in self.predictors))

    @property
    def columns(self) -> list[str]:
        """Names of the design columns, in the order of `transform`."""
        return [column for predictor in self.predictors for column in predictor.columns]

    @property
    def column_terms(self) -> list[str]:
        """For each design column, the term it belongs to."""
        return [predictor.name for predictor in self.predictors for _ in predictor.columns]

    def __getitem__(self, name: str) -> Predictor:
        for predictor in self.predictors:
            if predictor.name == name:
                return predictor
        raise InputError(f"The model has no term `{name}`; it has {', '.join(self.names) or 'none'}.")

    def select(self, names: Iterable[str]) -> Design:
        """Return the design with these terms only, in the order given."""
        return Design(tuple(self[name] for name in names))

    def transform(self, rows: pd.DataFrame) -> FloatArray:
        """Return the design matrix of `rows`, shape (n, p).

        Raises
        ------
        InputError
            A column is missing, a value is missing or infinite, or a factor level was not in the fitted data; all
            problems are listed at once.
        """
        absent = [name for name in self.sources if name not in rows.columns]
        problems = [Problem("The column is missing", remedy="Add it to the table", column=name) for name in absent]
        for predictor in self.predictors:
            if predictor.source not in absent:
                problems += predictor.problems(rows[predictor.source])
        if problems:
            raise InputError("The rows do not fit the model's predictors:", problems)
        blocks = [predictor.encode(rows[predictor.source]) for predictor in self.predictors]
        return np.hstack(blocks) if blocks else np.empty((len(rows), 0))


def build_design(
    data: pd.DataFrame,
    terms: Sequence[str],
    factors: Sequence[str] = (),
    reference: Mapping[str, Any] | None = None,
) -> Design:
    """Learn levels, reference levels and ranges of all terms from complete rows.

    Parameters
    ----------
    data : DataFrame
        Rows without missing values in the columns of the terms.
    terms : sequence of str
    factors : sequence of str
        Columns that are categories although they hold numbers.
    reference : mapping of column or term to level, optional
        Reference levels; by default the first one in order. Categorical columns keep the order of their categories;
        numbers are sorted as numbers and text as text. Levels that no row has are left out.

    Raises
    ------
    InputError
        Infinite values, values outside a transform's domain, or a reference level that does not occur.
    """
    wanted = dict(reference or {})
    problems: list[Problem] = []
    predictors = []
    for term in terms:
        predictor = _learn(data, term, factors, wanted)
        predictors.append(predictor)
        if predictor.kind == "factor" and predictor.reference not in predictor.levels:
            problems.append(_unknown_reference(predictor))
        else:
            problems += predictor.problems(data[predictor.source])
    if problems:
        raise InputError("The covariates can not be coded:", problems)
    return Design(tuple(predictors))


def _learn(data: pd.DataFrame, term: str, factors: Sequence[str], reference: Mapping[str, Any]) -> Predictor:
    function, source = source_column(term, data.columns)
    values = data[source]
    if function == "factor" or term in factors or source in factors or (not function and not is_numeric(values)):
        levels = ordered_levels(values)
        wanted = reference.get(term, reference.get(source, levels[0] if levels else ""))
        first = level_label(wanted)
        columns = tuple(f"{term}{level}" for level in levels if level != first)
        return Predictor(term, source, "factor", levels=levels, reference=first, columns=columns)
    if not is_numeric(values) or values.empty:
        return Predictor(term, source, "numeric", function, columns=(term,))
    numbers = values.to_numpy(dtype=float)
    distinct = np.unique(numbers)
    kept = tuple(float(value) for value in distinct) if distinct.size <= _MAX_VALUES else ()
    return Predictor(
        term,
        source,
        "numeric",
        function,
        low=float(distinct[0]),
        high=float(distinct[-1]),
        values=kept,
        columns=(term,),
    )


def _problem(values: pd.Series, bad: Any, what: str, remedy: str, expected: str = "") -> Problem:
    rows = values.index[bad]
    shown = ", ".join(str(row) for row in rows[:5]) + (" …" if len(rows) > 5 else "")
    found = ", ".join(dict.fromkeys(str(value) for value in values[bad][:5]))
    text = f"{counted(len(rows), 'row')} {'holds' if len(rows) == 1 else 'hold'} {what}"
    return Problem(text, expected, remedy, row=f"with index {shown}", column=str(values.name), value=found)


def _unknown_reference(predictor: Predictor) -> Problem:
    return Problem(
        "The reference level does not occur",
        "one of " + ", ".join(predictor.levels),
        "Choose a level that the data hold",
        column=predictor.source,
        value=predictor.reference,
    )
