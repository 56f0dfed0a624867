"""Formulas as R writes them (``bs(age, df=3) + sex``), read by formulaic and held to a fixed list of functions.

A formula comes from a study file, perhaps a stranger's, and what formulaic calls a function is Python. So nothing is
evaluated here: formulaic splits the text into terms, and each call is checked in its syntax tree to be made of columns,
numbers, the four rules of arithmetic and `FUNCTIONS` only.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from formulaic.errors import FormulaicError
from formulaic.parser import DefaultFormulaParser
from formulaic.parser.types import Factor, Token
from formulaic.transforms.basis_spline import basis_spline
from formulaic.transforms.cubic_spline import natural_cubic_spline
from formulaic.transforms.poly import poly
from formulaic.transforms.scale import center, scale
from formulaic.utils.code import sanitize_variable_names
from formulaic.utils.stateful_transforms import stateful_transform

from radsupport.errors import InputError, Problem
from radsupport.wording import did_you_mean

Covariates = str | Sequence[str]


@stateful_transform
def _bs(x: Any, df: Any = None, knots: Any = None, degree: int = 3, *, _state: Any = None) -> Any:
    """B-splines that go on as their outermost polynomials beyond training, as those of R."""
    return basis_spline(x, df=df, knots=knots, degree=degree, extrapolation="extend", _state=_state)


@stateful_transform
def _cr(x: Any, df: Any = None, knots: Any = None, *, _state: Any = None) -> Any:
    """Natural cubic splines without their constant, which the model has already; straight beyond training."""
    return natural_cubic_spline(x, df=df, knots=knots, constraints="center", _state=_state)


#: What a term may call, beside `CATEGORIES`.
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "log": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "log1p": np.log1p,
    "sqrt": np.sqrt,
    "exp": np.exp,
    "I": lambda x: x,
    "center": center,
    "scale": scale,
    "poly": poly,
    "bs": _bs,
    "cr": _cr,
}
#: Both make a category of a column, also of one with numbers; ``ref="II"`` names the level to compare with.
CATEGORIES = ("factor", "C")
SMOOTH = ("poly", "bs", "cr")
_OTHERS = {"ns": "cr", "rcs": "cr", "s": "cr", "spline": "bs", "pol": "poly", "ln": "log", "strata": "factor"}
_ARGUMENTS = {
    "bs": ("df", "knots", "degree"),
    "cr": ("df", "knots"),
    "poly": ("degree",),
    **dict.fromkeys(CATEGORIES, ("ref",)),
}
_MOST = 20  # columns or knots of a smooth term
_MOST_TERMS, _MOST_LETTERS = 200, 1000
_ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow)


@dataclass(frozen=True)
class Piece:
    """What a term is made of: a column or a call, such as ``bs(age, df=3)``.

    Attributes
    ----------
    text : str
        As written, spaces apart.
    sources : tuple of str
        Its table columns.
    function : str
        What is called; empty for a column.
    reference : str
        The level that ``factor(stage, ref="II")`` names; empty otherwise.
    """

    text: str
    sources: tuple[str, ...]
    function: str = ""
    reference: str = ""

    @property
    def source(self) -> str:
        """Its first table column."""
        return self.sources[0]


@dataclass(frozen=True)
class Term:
    """A term of a formula: one piece, or several whose product it is (an interaction)."""

    pieces: tuple[Piece, ...]

    @property
    def name(self) -> str:
        """The term as R names it."""
        if len(self.pieces) == 1:
            return self.pieces[0].text
        plain = (piece.function or piece.text.isidentifier() for piece in self.pieces)
        return ":".join(text if good else f"`{text}`" for text, good in zip(self.names, plain, strict=True))

    @property
    def names(self) -> list[str]:
        """Its pieces, as written."""
        return [piece.text for piece in self.pieces]

    @property
    def sources(self) -> list[str]:
        """Its table columns, each once."""
        return list(dict.fromkeys(source for piece in self.pieces for source in piece.sources))


def read_terms(covariates: Covariates, columns: Collection[str]) -> tuple[list[Term], list[Problem]]:
    """Return the terms of a formula, main effects first as in R, and everything that is wrong with it.

    Parameters
    ----------
    covariates : str or sequence of str
        One formula, or a list of columns and terms. A name that is a column is this column, whatever it looks like.
    columns : collection of str
        Columns there are.
    """
    entries = [covariates] if isinstance(covariates, str) else [str(entry) for entry in covariates]
    found: dict[frozenset[str], Term] = {}
    problems: list[Problem] = []
    for entry in entries:
        terms = [[Factor(entry)]] if entry in columns else _split(entry, problems)
        for factors in terms:
            pieces = [_piece(factor, columns, problems) for factor in factors]
            term = Term(tuple(piece for piece in pieces if piece is not None))
            key = frozenset(piece.text for piece in term.pieces)
            if len(term.pieces) == len(factors):
                found.setdefault(key, term)
    twice = sorted({entry for entry in entries if entries.count(entry) > 1})
    problems += [Problem("The covariate is named more than once", column=name, remedy="Name it once") for name in twice]
    return sorted(found.values(), key=lambda term: len(term.pieces)), list(dict.fromkeys(problems))


def formula_columns(covariates: Covariates, columns: Collection[str]) -> list[str]:
    """Return the columns of a formula, each once; terms that can not be read have none."""
    terms, _ = read_terms(covariates, columns)
    return list(dict.fromkeys(source for term in terms for source in term.sources))


def formula_terms(covariates: Covariates, columns: Collection[str]) -> list[str]:
    """Return the terms of a formula by name: ``age * sex`` has ``age``, ``sex`` and ``age:sex``.

    Raises
    ------
    InputError
        A column or function does not exist, or a term is not one; all at once.
    """
    terms, problems = read_terms(covariates, columns)
    if problems:
        raise InputError("The formula can not be used:", problems)
    return [term.name for term in terms]


def formula_words(covariates: Covariates, labels: Mapping[str, str]) -> dict[str, str]:
    """Return words for the terms of a formula, by words for columns: ``Age (years), spline``; and the words given.

    Parameters
    ----------
    covariates : str or sequence of str
    labels : mapping
        Words by column, for all columns there are.
    """

    def words(piece: Piece) -> str:
        if piece.function in ("", *CATEGORIES):
            return labels[piece.source]
        if piece.function in SMOOTH and len(piece.sources) == 1:
            return f"{labels[piece.source]}, {'polynomial' if piece.function == 'poly' else 'spline'}"
        names = "|".join(sorted(map(re.escape, piece.sources), key=len, reverse=True))
        return re.sub(rf"`?\b({names})\b`?(?!\()", lambda found: labels[found[1]], piece.text)

    terms, _ = read_terms(covariates, labels)
    return {**labels, **{term.name: " × ".join(words(piece) for piece in term.pieces) for term in terms}}


def _split(entry: str, problems: list[Problem]) -> list[list[Factor]]:
    """Return the factors of each term of a text, or say why there are none."""
    expected = "terms joined by +, : or *, such as `bs(age, df=3) + sex` or `age:sex`"
    try:
        parser = DefaultFormulaParser(include_intercept=True)
        if len(entry) > _MOST_LETTERS or _size(parser.get_ast(entry)) > _MOST_TERMS:
            problems.append(Problem("The formula is too long", f"at most {_MOST_TERMS} terms", value=entry[:80]))
            return []
        terms = [list(term.factors) for term in parser.get_terms(entry).root]
    except (FormulaicError, SyntaxError, LookupError, AttributeError, ValueError, TypeError, RecursionError):
        problems.append(Problem("The formula can not be read", expected, "Correct it", value=entry[:80]))
        return []
    literal = Factor.EvalMethod.LITERAL
    plain = [term for term in terms if all(factor.eval_method is not literal for factor in term)]
    if [[factor.expr for factor in term] for term in terms if term not in plain] != [["1"]]:
        what = "A number is no term, and the intercept can not be taken out"
        problems.append(Problem(what, expected, "Write calculations as `I(age / 10)`", value=entry[:80]))
    return plain


def _size(node: Any) -> int:
    """Return the most terms that a formula's syntax tree can stand for."""
    if not hasattr(node, "operator"):
        return 1
    symbol, sizes = node.operator.symbol, [_size(each) for each in node.args]
    if symbol in {"**", "^"}:
        power = str(node.args[1].token) if isinstance(node.args[1], Token) else str(node.args[1])
        return (sizes[0] + 1) ** min(int(power) if power.isdigit() else 9, 9)
    if symbol == ":" and len(sizes) == 2:
        return sizes[0] * sizes[1]
    if symbol in {"*", "/", "%in%", "in"} and len(sizes) == 2:
        return sizes[0] + sizes[1] + sizes[0] * sizes[1]
    return sum(sizes)


def _piece(factor: Factor, columns: Collection[str], problems: list[Problem]) -> Piece | None:
    """Return what a factor of a term is, or say what is wrong with it."""
    text = factor.expr
    if text in columns:
        return Piece(text, (text,))
    if factor.eval_method is not Factor.EvalMethod.PYTHON:
        problems.append(_no_column(text, columns))
        return None
    aliases: dict[str, str] = {}
    try:
        tree = ast.parse(sanitize_variable_names(text, {}, aliases), mode="eval").body
    except (SyntaxError, ValueError, RecursionError):
        problems.append(Problem("The term can not be read", "a column or a call such as `log(size)`", value=text[:80]))
        return None
    names = dict.fromkeys(aliases.get(node.id, node.id) for node in _columns_in(tree))
    wrong = [*_wrong_call(tree, outermost=True), *(_no_column(name, columns) for name in names if name not in columns)]
    if not wrong and not names:
        wrong = [Problem("The term holds no column", "a column, such as `log(size)`", value=text)]
    problems += wrong
    if wrong or not isinstance(tree, ast.Call) or not isinstance(tree.func, ast.Name):
        return None
    given = [*tree.args[1:], *(keyword.value for keyword in tree.keywords)] if tree.func.id in CATEGORIES else []
    reference = str(given[0].value) if given and isinstance(given[0], ast.Constant) else ""
    return Piece(text, tuple(names), tree.func.id, reference)


def _no_column(name: str, columns: Collection[str]) -> Problem:
    return Problem("unknown column", column=name, remedy=did_you_mean(name, columns))


def _columns_in(tree: ast.AST) -> Iterator[ast.Name]:
    """Yield the names in an expression that are not those of the functions called."""
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    called = {id(name) for function in calls for name in ast.walk(function)}
    return (node for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in called)


def _wrong_call(node: ast.AST, *, outermost: bool = False) -> Iterator[Problem]:
    """Yield what in an expression is neither a column, a number, arithmetic with columns nor a known function."""
    if isinstance(node, ast.Call):
        yield from _wrong_function(node, outermost=outermost)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, _ARITHMETIC) and not outermost:
        yield from (*_wrong_call(node.left), *_wrong_call(node.right))
        if not any(True for _ in _columns_in(node)):
            yield Problem("A calculation needs a column", "such as `I(age / 10)`", value=ast.unparse(node)[:80])
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd) and not outermost:
        yield from _wrong_call(node.operand)
    elif outermost or not (isinstance(node, ast.Name) or (isinstance(node, ast.Constant) and _is_number(node.value))):
        remedy = "Write calculations with columns as `I(age / 10)`"
        yield Problem("This can not stand in a formula", ", ".join(_known()), remedy, value=ast.unparse(node)[:80])


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e12


def _known() -> list[str]:
    return [*CATEGORIES, *FUNCTIONS]


def _wrong_function(node: ast.Call, *, outermost: bool) -> Iterator[Problem]:
    name, text = ast.unparse(node.func), ast.unparse(node)[:80]
    if not isinstance(node.func, ast.Name) or name not in _known():
        near = f"did you mean `{_OTHERS[name]}`?" if name in _OTHERS else did_you_mean(name, _known())
        yield Problem(f"unknown function in `{text}`", ", ".join(_known()), near, value=name[:80])
        return
    if not outermost and name in (*SMOOTH, *CATEGORIES):
        yield Problem(f"`{name}` must be the outermost function", f"such as `{name}(age)`", "Turn it round", value=text)
    if not node.args:
        yield Problem("The function is given nothing", f"a column, as in `{name}(age)`", "Name the column", value=text)
        return
    yield from _wrong_call(node.args[0])
    if name in CATEGORIES and not isinstance(node.args[0], ast.Name):
        yield Problem(f"`{name}` takes a column", f"such as `{name}(stage)`", "Name the column only", value=text)
    yield from _wrong_arguments(node, name, text)


def _wrong_arguments(node: ast.Call, name: str, text: str) -> Iterator[Problem]:
    known, given = _ARGUMENTS.get(name, ()), list[tuple[str, ast.expr]]()
    given += zip([*known, *[""] * len(node.args)], node.args[1:], strict=False)
    given += ((keyword.arg or "", keyword.value) for keyword in node.keywords)
    values: dict[str, Any] = {}
    for key, value in given:
        words = f"{key}={ast.unparse(value)}".removeprefix("=")[:80]
        if key not in known or key in values:
            remedy = did_you_mean(key, known, "Take it out")
            yield Problem(f"unknown argument in `{text}`", ", ".join(known) or "none", remedy, value=words)
            continue
        try:
            values[key] = ast.literal_eval(value)
        except (ValueError, TypeError, SyntaxError, RecursionError):
            values[key] = None
        right, expected = _RIGHT[key]
        if not right(values[key]):
            yield Problem(f"An argument of `{text}` is not right", f"{key}: {expected}", "Correct it", value=words)
            return
    if name == "cr" and not values.keys() & {"df", "knots"}:
        yield Problem(f"`{text}` does not say how many columns it has", "such as `df=4`", "Add it", value=text)
    if values.keys() >= {"df", "knots"}:
        yield Problem(f"`{text}` has both df and knots", "one of them", "Take one out", value=text)
    least = 2 if name == "cr" else values.get("degree", 3)
    if name in ("bs", "cr") and values.get("df", least) < least:
        yield Problem(f"`{text}` has too few columns", f"df of {least} or more", "Raise `df`", value=text)


def _whole(low: int, high: int) -> tuple[Callable[[Any], bool], str]:
    return lambda value: type(value) is int and low <= value <= high, f"a whole number from {low} to {high}"


def _are_knots(value: Any) -> bool:
    numbers = isinstance(value, list | tuple) and all(_is_number(knot) for knot in value)
    return numbers and 0 < len(value) <= _MOST and sorted(set(value)) == list(value)


_RIGHT: dict[str, tuple[Callable[[Any], bool], str]] = {
    "df": _whole(1, _MOST),
    "degree": _whole(1, 9),
    "knots": (_are_knots, f"up to {_MOST} rising numbers in brackets"),
    "ref": (lambda value: isinstance(value, str | int | float), "a level, as text in quotation marks or a number"),
}
