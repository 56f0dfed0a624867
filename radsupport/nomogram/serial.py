"""A nomogram as plain values, and back."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from radsupport.errors import InputError, Problem
from radsupport.nomogram.axis import PredictorAxis

if TYPE_CHECKING:
    from radsupport.nomogram.model import Nomogram


def to_dict(nomogram: Nomogram) -> dict[str, Any]:
    """Return numbers, texts, lists and dicts only; NaN becomes None, as JSON has no NaN."""
    plain: dict[str, Any] = {}
    for item in dataclasses.fields(nomogram):
        value = getattr(nomogram, item.name)
        plain[item.name] = list(value) if isinstance(value, tuple) else value
    plain["predictors"] = [axis.to_dict() for axis in nomogram.predictors]
    plain["max_time"] = None if math.isnan(nomogram.max_time) else nomogram.max_time
    return plain


def fields(plain: Mapping[str, Any], cls: type[Nomogram]) -> dict[str, Any]:
    """Return the constructor's arguments from plain values.

    Raises
    ------
    InputError
        Keys are missing or unknown; all of them are listed.
    """
    problems = _wrong_keys(plain, cls, "nomogram")
    for axis in plain.get("predictors", []):
        problems += _wrong_keys(axis, PredictorAxis, f"predictor {axis.get('name', '?')}")
    if problems:
        raise InputError("This is not what `Nomogram.to_dict` gives:", problems)
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in plain.items()}
    values["predictors"] = tuple(PredictorAxis.from_dict(axis) for axis in plain["predictors"])
    values["max_time"] = math.nan if plain["max_time"] is None else float(plain["max_time"])
    return values


def _wrong_keys(plain: Mapping[str, Any], cls: type, where: str) -> list[Problem]:
    known = {item.name for item in dataclasses.fields(cls)}
    missing = [Problem(f"The key is missing in the {where}", column=name) for name in sorted(known - set(plain))]
    unknown = [Problem(f"The key is unknown in the {where}", column=str(name)) for name in sorted(set(plain) - known)]
    return missing + unknown
