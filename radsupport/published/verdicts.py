"""What a checker gets (a claim) and gives back (a verdict), and the register of all checkers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from radsupport.errors import InputError
from radsupport.published.rounding import Printed, numbers_in

HOLDS = "holds"
FAILS = "does not hold"
UNDECIDED = "cannot be decided"
MALFORMED = "malformed"
VERDICTS = (HOLDS, FAILS, UNDECIDED)


@dataclass(frozen=True)
class Claim:
    """One printed value and the printed figures it can be recomputed from.

    Attributes
    ----------
    study, table, item, group : str
        Where the value stands: the paper, its table or section, the row, the column or cohort.
    published_value : str
        The value exactly as printed.
    kind : str
        Which family of checkers applies, see `kinds`.
    inputs : dict
        The printed figures, under the names of one of the kind's forms.
    p_digits : int or None
        Significant figures to which the P values of the same table are printed, where fewer than their decimals say.
    """

    study: str
    table: str
    item: str
    group: str
    published_value: str
    kind: str
    inputs: dict[str, Any]
    p_digits: int | None = None

    def numbers(self) -> list[Printed]:
        """Return all numbers in the published value."""
        return numbers_in(self.published_value)

    def number(self) -> Printed:
        """Return the first number of the published value.

        Raises
        ------
        InputError
            There is none.
        """
        found = self.numbers()
        if not found:
            raise InputError(f"published_value {self.published_value!r} holds no number.")
        return found[0]


@dataclass(frozen=True)
class Verdict:
    """What a checker found.

    Attributes
    ----------
    verdict : str
        One of `VERDICTS`.
    reason : str
        Why, in one or two plain sentences.
    recomputed : str
        The value that the inputs give.
    test : str
        The statistical test, formula or way of rounding that fits (or was tried).
    values : mapping
        The recomputed numbers by name, for texts that quote them.
    """

    verdict: str
    reason: str
    recomputed: str = ""
    test: str = ""
    values: Mapping[str, float] = field(default_factory=dict)


def decide(ok: bool) -> str:
    """Return `HOLDS` or `FAILS`."""
    return HOLDS if ok else FAILS


Checker = Callable[[Claim], Verdict]


@dataclass(frozen=True)
class Form:
    """One set of inputs that a kind of claim can be checked from."""

    kind: str
    required: frozenset[str]
    optional: frozenset[str]
    checker: Checker

    def fits(self, keys: frozenset[str]) -> bool:
        """Say whether inputs with these names are this form."""
        return self.required <= keys <= self.required | self.optional | {"note"}

    def __str__(self) -> str:
        optional = f" (optional: {', '.join(sorted(self.optional))})" if self.optional else ""
        return ", ".join(sorted(self.required)) + optional


FORMS: list[Form] = []


def form(kind: str, *required: str, optional: tuple[str, ...] = ()) -> Callable[[Checker], Checker]:
    """Register a function as the checker of claims of `kind` whose inputs have these names."""

    def register(checker: Checker) -> Checker:
        FORMS.append(Form(kind, frozenset(required), frozenset(optional), checker))
        return checker

    return register


def kinds() -> list[str]:
    """Return the kinds of claim that can be checked, in alphabetical order."""
    return sorted({each.kind for each in FORMS})


def find_form(kind: str, keys: frozenset[str]) -> Form | None:
    """Return the form of `kind` that inputs named `keys` have, or None."""
    return next((each for each in FORMS if each.kind == kind and each.fits(keys)), None)


def forms_of(kind: str) -> str:
    """Return the input names of every form of `kind`, for a message."""
    return " | ".join(str(each) for each in FORMS if each.kind == kind)
