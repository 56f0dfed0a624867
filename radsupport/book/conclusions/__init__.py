"""Sentences that follow from the tables of a chapter, one file a chapter, one short function a conclusion.

A module is imported when it is asked for: ``book.conclusions.validation``.
"""

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(name)
    try:
        return import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        raise AttributeError(f"There are no conclusions called {name}.") from error
