"""From table columns to a design matrix: what a formula's terms are, and how they are coded again for new patients.

Cox and logistic regression share this coding. formulaic evaluates the terms that `radsupport.stats.formulas` has read,
keeps what a spline or a scale learnt from training, and codes factors and interactions as R does: text, categorical
and named (``factors=``) columns are factors with treatment coding (R's `contr.treatment`), one 0/1 column for each
level but the reference. Design columns are named as in R: the term followed by level or number (``celltypesmallcell``,
``factor(race)2``, ``bs(age, df=3)1``, ``age:sexmale``); that of a numeric term is named like the term (``age``,
``log(thickness)``).

Values beyond those of training are predicted by the outermost polynomials of a spline (`bs`, as R's, whose warning has
no place here) or by straight lines (`cr`).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from formulaic import ModelSpec
from formulaic.errors import FormulaicError
from formulaic.formula import SimpleFormula
from formulaic.parser.types import Factor
from formulaic.parser.types import Term as FormulaTerm

from radsupport.checks import FloatArray
from radsupport.errors import InputError, NotEstimableError, Problem
from radsupport.stats.formulas import CATEGORIES, FUNCTIONS, SMOOTH, Covariates, Piece, Term, read_terms
from radsupport.wording import counted, did_you_mean


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


def needed_columns(
    table: pd.DataFrame, covariates: Covariates, outcomes: Sequence[str]
) -> tuple[list[Term], list[str]]:
    """Return the terms and all table columns that a model needs.

    Raises
    ------
    InputError
        A column or function does not exist, a term is named twice or is the outcome; all at once.
    """
    columns = [str(column) for column in table.columns]
    terms, found = read_terms(covariates, columns)
    problems = [
        Problem("The outcome is no column of the table", column=name, remedy=did_you_mean(name, columns))
        for name in outcomes
        if name not in columns
    ]
    sources = list(dict.fromkeys(source for term in terms for source in term.sources))
    problems += found
    problems += [
        Problem("The outcome is among the covariates", column=source, remedy="Take it out")
        for source in sources
        if source in outcomes
    ]
    if problems:
        raise InputError("The model can not be built from this table:", problems)
    return terms, list(dict.fromkeys([*outcomes, *sources]))


def main_effects(table: pd.DataFrame, covariates: Covariates) -> list[str]:
    """Return the terms of a formula that can stand alone, interactions left out."""
    return [term.name for term in needed_columns(table, covariates, [])[0] if len(term.pieces) == 1]


@dataclass(frozen=True)
class Predictor:
    """One term of a model and its design columns.

    Attributes
    ----------
    name : str
        The term as written: ``age``, ``log(thickness)``, ``factor(race)``, ``bs(age, df=3)``, ``age:sex``.
    sources : tuple of str
        The table columns it is made from.
    kind : {"numeric", "factor", "smooth", "interaction"}
        One number; a category; one number in several columns, such as a spline; a product of these.
    pieces : tuple of str
        What it is the product of; one for all but interactions.
    levels : tuple of str
        Levels of a factor, reference included, in order (whole numbers without a decimal point).
    reference : str
        The level all others are compared with; empty for all but factors.
    columns : tuple of str
        Names of its design columns.
    column_levels : tuple of str
        For each of them the level it stands for, such as ``male`` or ``II:male``; empty without a factor.
    """

    name: str
    sources: tuple[str, ...]
    kind: Literal["numeric", "factor", "smooth", "interaction"]
    pieces: tuple[str, ...]
    levels: tuple[str, ...] = ()
    reference: str = ""
    columns: tuple[str, ...] = ()
    column_levels: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """The table column of a term that has only one."""
        return self.sources[0]

    @property
    def coded_levels(self) -> tuple[str, ...]:
        """Levels of a factor that have a design column: all but the reference, in order."""
        return tuple(level for level in self.levels if level != self.reference)

    def holds(self, other: Predictor) -> bool:
        """Whether this is an interaction in which another term takes part."""
        return set(other.pieces) < set(self.pieces)


@dataclass(frozen=True, eq=False)
class Design:
    """All predictors of a model, in order, and the way from table rows to the design matrix (without intercept).

    Attributes
    ----------
    predictors : tuple of Predictor
    pieces : tuple of Piece
        What the terms are products of, each once.
    levels : mapping of piece to tuple of str
        Levels of each category, the reference first.
    spec : formulaic.ModelSpec
        The terms with what they learnt from training; None where they are columns as they are, and nothing was learnt.
    """

    predictors: tuple[Predictor, ...]
    pieces: tuple[Piece, ...] = ()
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    spec: Any = field(default=None, repr=False)
    _known: tuple[pd.DataFrame, FloatArray] | None = field(default=None, repr=False)

    @property
    def names(self) -> list[str]:
        """The terms, as written."""
        return [predictor.name for predictor in self.predictors]

    @property
    def sources(self) -> list[str]:
        """The table columns needed, each once."""
        return list(dict.fromkeys(source for predictor in self.predictors for source in predictor.sources))

    @property
    def columns(self) -> list[str]:
        """Names of the design columns, in the order of `transform`."""
        return [column for predictor in self.predictors for column in predictor.columns]

    @property
    def column_terms(self) -> list[str]:
        """For each design column, the term it belongs to."""
        return [predictor.name for predictor in self.predictors for _ in predictor.columns]

    @property
    def categories(self) -> dict[str, tuple[str, ...]]:
        """Levels of each table column that is used as a category."""
        return {piece.sources[0]: self.levels[piece.text] for piece in self.pieces if piece.text in self.levels}

    def __getitem__(self, name: str) -> Predictor:
        for predictor in self.predictors:
            if predictor.name == name:
                return predictor
        raise InputError(f"The model has no term `{name}`; it has {', '.join(self.names) or 'none'}.")

    def select(self, names: Iterable[str]) -> Design:
        """Return the design with these terms only, in the order given; their coding stays as it is."""
        predictors = tuple(self[name] for name in names)
        used = {text for predictor in predictors for text in predictor.pieces}
        pieces = tuple(piece for piece in self.pieces if piece.text in used)
        known = self._known
        if known is not None:
            place = {column: j for j, column in enumerate(self.columns)}
            own = [place[column] for predictor in predictors for column in predictor.columns]
            known = (known[0], known[1][:, own])
        return replace(self, predictors=predictors, pieces=pieces, _known=known)

    def removable(self) -> list[str]:
        """Return the terms that take part in no interaction of the model (R's drop.scope)."""
        return [one.name for one in self.predictors if not any(other.holds(one) for other in self.predictors)]

    def with_interactions(self, name: str) -> list[str]:
        """Return a term and the interactions in which it takes part."""
        return [name, *(other.name for other in self.predictors if other.holds(self[name]))]

    def known(self, rows: pd.DataFrame) -> Any:
        """Return which rows can be coded: nothing missing, no level that training did not have, no log of 0."""
        known = rows[self.sources].notna().all(axis=1).to_numpy()
        for column, levels in self.categories.items():
            known &= rows[column].map(level_label).isin(levels).to_numpy()
        if known.any() and any(piece.function not in ("", *CATEGORIES) for piece in self.pieces):
            known[known] = np.isfinite(self._evaluated(rows[known])).all(axis=1)
        return known

    def transform(self, rows: pd.DataFrame) -> FloatArray:
        """Return the design matrix of `rows`, shape (n, p).

        Raises
        ------
        InputError
            A column is missing, a value is missing or infinite, or a factor level was not in the fitted data; all
            problems are listed at once.
        """
        if self._known is not None and rows is self._known[0]:  # the rows of the fit are asked for again and again
            return self._known[1]
        absent = [name for name in self.sources if name not in rows.columns]
        problems = [Problem("The column is missing", remedy="Add it to the table", column=name) for name in absent]
        present = [piece for piece in self.pieces if not set(piece.sources) & set(absent)]
        problems += _value_problems(present, rows, self.levels)
        matrix = np.empty((len(rows), 0))
        if self.predictors and not absent and all(problem.value for problem in problems):  # all columns hold numbers
            matrix = self._evaluated(rows)
            problems += _not_finite(self.predictors, matrix, rows, {problem.column for problem in problems})
        if problems:
            problems.sort(key=lambda problem: self.sources.index(problem.column))
            raise InputError("The rows do not fit the model's predictors:", problems)
        return matrix

    def _evaluated(self, rows: pd.DataFrame) -> FloatArray:
        if self.spec is None:
            pieces = {piece.text: piece for piece in self.pieces}
            return _plain_matrix([pieces[one.pieces[0]] for one in self.predictors], rows, self.levels)
        with np.errstate(all="ignore"):
            found = self._own_spec().get_model_matrix(_frame(self.pieces, rows, self.levels), context=FUNCTIONS)
        return np.asarray(found, dtype=float)[:, 1:]

    def _own_spec(self) -> ModelSpec:
        """Return what formulaic remembers of these terms; rows need no columns of others that were left out."""
        pieces = {piece.text: piece for piece in self.pieces}
        formula = _formula([predictor.pieces for predictor in self.predictors], pieces, self.levels)
        return self.spec if list(formula) == list(self.spec.formula) else self.spec.subset(formula)

    def difference(self, name: str, low: float, high: float) -> FloatArray:
        """Return by how much the design columns change, shape (p,), from one value of a numeric term to another.

        What the term takes part in (interactions) stays as it is at the reference levels.
        """
        own = self.select([name])
        low_row, high_row = own.transform(pd.DataFrame({own.predictors[0].source: [low, high]}))
        change = np.zeros(len(self.columns))
        change[[j for j, term in enumerate(self.column_terms) if term == name]] = high_row - low_row
        return change


_INTERCEPT = FormulaTerm([Factor("1", eval_method="literal")])


def _formula(
    products: Iterable[Sequence[str]], pieces: Mapping[str, Piece], levels: Mapping[str, Any]
) -> SimpleFormula:
    """Return terms, given as the texts of their pieces, as formulaic's; categories under a name of their own."""

    def factor(text: str) -> Factor:
        if text in levels:
            return Factor(_key(text), eval_method="lookup")
        return Factor(text, eval_method="python" if pieces[text].function else "lookup")

    terms = [FormulaTerm([factor(text) for text in product]) for product in products]
    return SimpleFormula([_INTERCEPT, *terms], _ordering="none")


def _key(text: str) -> str:
    return f"[{text}]"


def _frame(pieces: Iterable[Piece], rows: pd.DataFrame, levels: Mapping[str, tuple[str, ...]]) -> pd.DataFrame:
    """Return what formulaic evaluates: numbers as floats, and each category with its levels in order."""
    columns: dict[str, Any] = {}
    for piece in pieces:
        if piece.text in levels:
            labels, known = rows[piece.source].map(level_label), levels[piece.text]
            labels = labels.where(labels.isin(known), known[0])  # unknown ones are refused, other columns still checked
            columns[_key(piece.text)] = pd.Categorical(labels, known)
        else:
            columns |= {source: rows[source].to_numpy(dtype=float) for source in piece.sources}
    return pd.DataFrame(columns, index=rows.index)


def build_design(
    data: pd.DataFrame,
    terms: Sequence[Term],
    factors: Sequence[str] = (),
    reference: Mapping[str, Any] | None = None,
) -> Design:
    """Learn levels, reference levels, knots and the like of all terms from complete rows.

    Parameters
    ----------
    data : DataFrame
        Rows without missing values in the columns of the terms.
    terms : sequence of Term
        What `needed_columns` returns.
    factors : sequence of str
        Columns that are categories although they hold numbers.
    reference : mapping of column or term to level, optional
        Reference levels; by default the first one in order. Categorical columns keep the order of their categories;
        numbers are sorted as numbers and text as text. Levels that no row has are left out.

    Raises
    ------
    InputError
        Infinite values, values outside a function's domain, or a reference level that does not occur.
    NotEstimableError
        A spline or polynomial of more columns than its values can carry, or with knots outside them.
    """
    pieces = {piece.text: piece for term in terms for piece in term.pieces}
    ordered, levels, problems = {}, {}, []
    for text, piece in pieces.items():
        if piece.function in CATEGORIES or (not piece.function and (text in factors or not is_numeric(data[text]))):
            ordered[text], first = ordered_levels(data[piece.source]), piece.reference
            if not first:
                given = dict(reference or {})
                first = level_label(given.get(text, given.get(piece.source, next(iter(ordered[text]), ""))))
            problems += _unknown_reference(piece, first, ordered[text])
            levels[text] = (first, *(level for level in ordered[text] if level != first))
    problems = problems or _value_problems(list(pieces.values()), data, levels)
    if problems:
        raise InputError("The covariates can not be coded:", problems)
    if not terms:
        return Design(())
    spec, stray = None, []
    if all(len(term.pieces) == 1 and (term.name in levels or not term.pieces[0].function) for term in terms):
        matrix = _plain_matrix([term.pieces[0] for term in terms], data, levels)
        parts = [_plain_parts(term.name, levels) for term in terms]
    else:
        spec, matrix = _learnt(data, [term.names for term in terms], pieces, levels)
        parts = _column_parts(spec, {_key(text): found for text, found in levels.items()})
        stray = list(_stray_knots(spec, pieces))  # also in a resample, which may lack the extremes
    predictors = tuple(
        _predictor(term, own, {text: (ordered[text], levels[text][0]) for text in levels})
        for term, own in zip(terms, parts, strict=True)
    )
    too_rich = [one for one in predictors if one.kind == "smooth" and not _carries(data, one)]
    if too_rich:
        raise NotEstimableError(
            "The covariates can not be coded:", [_too_rich(data, one.name, one.sources) for one in too_rich]
        )
    if stray:
        raise NotEstimableError("The covariates can not be coded:", stray)
    problems = _not_finite(predictors, matrix, data, set())
    if problems:
        raise InputError("The covariates can not be coded:", problems)
    return Design(predictors, tuple(pieces.values()), levels, spec, (data, matrix))


def _learnt(
    data: pd.DataFrame, products: Sequence[Sequence[str]], pieces: Mapping[str, Piece], levels: Mapping[str, Any]
) -> tuple[Any, FloatArray]:
    """Let formulaic learn the terms; returns its memory and the design matrix."""

    def matrix(some: Sequence[Sequence[str]], used: Iterable[Piece]) -> Any:
        options: dict[str, Any] = {"context": FUNCTIONS, "output": "numpy", "na_action": "ignore"}
        with np.errstate(all="ignore"):
            return _formula(some, pieces, levels).get_model_matrix(_frame(used, data, levels), **options)

    try:
        found = matrix(products, pieces.values())
    except FormulaicError as error:  # knots that so few values do not have
        wrong = []
        for piece in (one for one in pieces.values() if one.function in SMOOTH):
            try:
                matrix([[piece.text]], [piece])
            except FormulaicError:
                wrong.append(_too_rich(data, piece.text, piece.sources))
        if not wrong:
            what = f"The formula can not be evaluated: {str(error).splitlines()[0]}"
            raise InputError(what + " Look for a column that has the name of a function.") from error
        raise NotEstimableError("The covariates can not be coded:", wrong) from error
    return found.model_spec, np.asarray(found, dtype=float)[:, 1:]


def _plain_matrix(pieces: Iterable[Piece], rows: pd.DataFrame, levels: Mapping[str, tuple[str, ...]]) -> FloatArray:
    """Return columns as they are and categories as 0/1, where formulaic has nothing to learn: it takes milliseconds."""
    columns = []
    for piece in pieces:
        if piece.text in levels:
            labels = rows[piece.source].map(level_label).to_numpy(object)
            columns += [(labels == level).astype(float) for level in levels[piece.text][1:]]
        else:
            columns.append(rows[piece.source].to_numpy(dtype=float))
    return np.column_stack(columns) if columns else np.empty((len(rows), 0))


def _plain_parts(text: str, levels: Mapping[str, tuple[str, ...]]) -> list[tuple[str, str]]:
    return [(f"{text}{level}", level) for level in levels[text][1:]] if text in levels else [(text, "")]


def _column_parts(spec: Any, levels: Mapping[str, tuple[str, ...]]) -> list[list[tuple[str, str]]]:
    """Return name and level of every design column, term by term, in formulaic's order."""
    found = []
    for entry in spec.structure[1:]:
        own: list[tuple[str, str]] = []
        for scoped in entry.scoped_terms:
            parts = [_parts(one.factor.expr, levels, entry.columns, reduced=one.reduced) for one in scoped.factors]
            products = (product[::-1] for product in itertools.product(*reversed(parts)))
            own += [(":".join(n for n, _ in each), ":".join(level for _, level in each if level)) for each in products]
        found.append(own)
    return found


def _parts(text: str, levels: Mapping[str, tuple[str, ...]], columns: Sequence[str], *, reduced: bool) -> Any:
    """Return name and level of each column of one piece."""
    if text in levels:
        return [(f"{text[1:-1]}{level}", level) for level in levels[text][1 if reduced else 0 :]]
    numbers = list(dict.fromkeys(re.findall(re.escape(text) + r"\[(\w+)\]", " ".join(columns))))
    return [(f"{text}{number}", "") for number in numbers] if len(numbers) > 1 else [(text, "")]


def _predictor(
    term: Term, parts: Sequence[tuple[str, str]], levels: Mapping[str, tuple[tuple[str, ...], str]]
) -> Predictor:
    own, reference = levels.get(term.name, ((), ""))
    kind: Literal["numeric", "factor", "smooth", "interaction"] = "factor" if term.name in levels else "numeric"
    if len(term.pieces) > 1:
        kind = "interaction"
    elif term.pieces[0].function in SMOOTH and len(parts) > 1:
        kind = "smooth"
    names, of_level = tuple(name for name, _ in parts), tuple(level for _, level in parts)
    return Predictor(term.name, tuple(term.sources), kind, tuple(term.names), own, reference, names, of_level)


def _carries(data: pd.DataFrame, predictor: Predictor) -> bool:
    return len(data[list(predictor.sources)].drop_duplicates()) > len(predictor.columns)


def _too_rich(data: pd.DataFrame, name: str, sources: Sequence[str]) -> Problem:
    n = len(data[list(sources)].drop_duplicates())
    expected, remedy = "more distinct values than columns and knots", "Lower `df`, or use the column as it is"
    return Problem(f"{counted(n, 'distinct value')} can not carry `{name}`", expected, remedy, column=sources[0])


def _stray_knots(spec: Any, pieces: Mapping[str, Piece]) -> Iterator[Problem]:
    for text, state in spec.transform_state.items():
        if text in pieces and (np.diff(state.get("knots", ())) < 0).any():
            low, high = state["lower_bound"], state["upper_bound"]
            expected = f"knots between {low:g} and {high:g}, the lowest and highest value"
            yield Problem(f"A knot of `{text}` lies outside the values", expected, column=pieces[text].source)


def _value_problems(
    pieces: Sequence[Piece], rows: pd.DataFrame, levels: Mapping[str, tuple[str, ...]]
) -> list[Problem]:
    """Reasons why values can not be coded: missing, not a number, infinite, a level that training did not have."""
    problems: dict[str, Problem] = {}
    for piece in pieces:
        for source in [one for one in piece.sources if one not in problems]:
            values = rows[source]
            missing, remedy = values.isna().to_numpy(), "Drop or impute these rows"
            if missing.any():
                problems[source] = _problem(values, missing, "a missing value", remedy)
            elif piece.text in levels:
                labels, known = values.map(level_label), levels[piece.text]
                unknown = ~labels.isin(known).to_numpy()
                if unknown.any():
                    problems[source] = _unknown_level(values, unknown, labels, known)
            elif not is_numeric(values):
                problems[source] = Problem("The column is not numeric", "numbers", "Recode the column", column=source)
    return list(problems.values())


def _unknown_level(values: pd.Series, unknown: Any, labels: pd.Series, known: Sequence[str]) -> Problem:
    otherwise = "Use a level that the model was fitted with, or fit it on data that hold this level"
    remedy = did_you_mean(str(labels[unknown].iloc[0]), known, otherwise)
    what, expected = "a level the model does not know", "one of the levels " + ", ".join(known)
    return _problem(values, unknown, what, remedy, expected)


def _not_finite(
    predictors: Iterable[Predictor], matrix: FloatArray, rows: pd.DataFrame, reported: set[str]
) -> list[Problem]:
    """Name the rows in which a term has no finite value, each column of the table once."""
    problems, start = [], 0
    for predictor in predictors:
        block = matrix[:, start : start + len(predictor.columns)]
        start += len(predictor.columns)
        bad = ~np.isfinite(block).all(axis=1)
        if bad.any() and not reported & set(predictor.sources):
            reported |= set(predictor.sources)
            what = f"a value without a finite {predictor.name}"
            problems.append(_problem(rows[predictor.source], bad, what, "Mend or leave out these rows"))
    return problems


def _problem(values: pd.Series, bad: Any, what: str, remedy: str, expected: str = "") -> Problem:
    rows = values.index[bad]
    shown = ", ".join(str(row) for row in rows[:5]) + (" …" if len(rows) > 5 else "")
    found = ", ".join(dict.fromkeys(str(value) for value in values[bad][:5]))
    text = f"{counted(len(rows), 'row')} {'holds' if len(rows) == 1 else 'hold'} {what}"
    return Problem(text, expected, remedy, row=f"with index {shown}", column=str(values.name), value=found)


def _unknown_reference(piece: Piece, level: str, levels: Sequence[str]) -> list[Problem]:
    if level in levels:
        return []
    known, remedy = "one of " + ", ".join(levels), did_you_mean(level, levels, "Choose a level that the data hold")
    return [Problem("The reference level does not occur", known, remedy, column=piece.source, value=level)]
