"""Every exception the package raises, and the one way to list several problems at once."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class Problem:
    """One thing wrong with an input, and how to mend it.

    Attributes
    ----------
    what : str
        What is wrong, in one sentence.
    expected : str
        What was expected instead.
    remedy : str
        What to do about it.
    file, row, column, value : str
        Where it was found; empty where it does not apply. ``row`` is the row as a
        spreadsheet numbers it (the header is row 1).
    warning : bool
        Usable, but odd enough to be looked at: said by ``radsupport check``, never raised.
    """

    what: str
    expected: str = ""
    remedy: str = ""
    file: str = ""
    row: str = ""
    column: str = ""
    value: str = ""
    warning: bool = False

    def __str__(self) -> str:
        places = {"file": self.file, "row": self.row, "column": self.column, "value": self.value}
        where = ", ".join(f"{name} {text}" for name, text in places.items() if text != "")
        parts = [f"[{where}] {self.what}" if where else self.what]
        if self.expected:
            parts.append(f"Expected: {self.expected}.")
        if self.remedy:
            parts.append(f"Remedy: {self.remedy}{'' if self.remedy.endswith('?') else '.'}")
        return " ".join(parts)


def serious(problems: Iterable[Problem]) -> list[Problem]:
    """Return the problems that are in the way, without mere warnings."""
    return [problem for problem in problems if not problem.warning]


class RadsupportError(Exception):
    """Base of all errors raised on purpose; ``problems`` lists each one found.

    Parameters
    ----------
    message : str
        What was being done when the problems were found.
    problems : iterable of Problem, optional
        All of them, not only the first.
    """

    def __init__(self, message: str, problems: Iterable[Problem] = ()) -> None:
        self.message = message
        self.problems = tuple(problems)
        super().__init__(message, self.problems)

    def __str__(self) -> str:
        lines = [f"  {i}. {problem}" for i, problem in enumerate(self.problems, start=1)]
        return "\n".join([self.message, *lines])


_FOLDERS = re.compile(r"(?<![\w./:])(?:[A-Za-z]:)?[\\/](?:[^\\/\s'\",:;()\[\]]+[\\/])+")


def one_line(error: BaseException) -> str:
    """Return why something failed as one line for a table: no line breaks, files by their names without folders.

    Parameters
    ----------
    error : exception
        Of this package, or of any library (its type then stands before its words).
    """
    text = str(error)
    if isinstance(error, RadsupportError):
        short = [replace(p, file=Path(p.file).name if p.file else "") for p in error.problems]
        text = " ".join([error.message, *(str(problem) for problem in short)])
    elif not text.startswith(type(error).__name__):
        text = f"{type(error).__name__}: {text}" if text.strip() else type(error).__name__
    return " ".join(_FOLDERS.sub("", text.replace(f"{Path.cwd()}/", "")).split())


class InputError(RadsupportError, ValueError):
    """An argument, file or table is not what it has to be."""


class StudyError(InputError):
    """A study YAML has unknown keys, wrong types or values that contradict each other."""


class ParameterError(InputError):
    """A notebook was given an unknown or ill-typed parameter."""


class UnusedChapterError(RadsupportError):
    """A notebook was run for a study that has nothing for it to do."""


class ManifestError(InputError):
    """The data manifest or a file it names can not be used."""


class ClinicalTableError(InputError):
    """The clinical table has missing columns or impossible values."""


class ContractError(InputError):
    """A table that passes between chapters does not keep its contract."""


class GeometryError(InputError):
    """Image and mask do not describe the same piece of space."""


class MaskError(InputError):
    """A mask is empty, has several labels, or is too small to measure."""


class NotEstimableError(RadsupportError, ValueError):
    """The input is valid, but the quantity asked for does not exist for it."""


class BusyError(RadsupportError):
    """Another process builds the book in the same folder."""


class StorageError(OSError):
    """A file could not be written: no space, a folder that may only be read, a quota.

    Not a `RadsupportError`: those of a case become its reason in the tables, and a full disk is no property of a case.
    It stops the run; what was finished before stays.
    """

    def __init__(self, number: int, words: str) -> None:
        super().__init__(number, words)

    def __str__(self) -> str:
        return str(self.strerror)


class FetchError(RadsupportError):
    """A public data set could not be downloaded or its checksum does not match."""
