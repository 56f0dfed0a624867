"""What a nomogram takes from a fit, and in which forms it accepts rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from radsupport.errors import InputError, Problem
from radsupport.modelling.regression import LogisticFit
from radsupport.nomogram.axis import PredictorAxis, predictor_axis
from radsupport.survival.cox import CoxFit

Rows = pd.DataFrame | pd.Series | Mapping[str, Any]


def axes_of(
    fit: LogisticFit | CoxFit,
    labels: Mapping[str, str] | None,
    value_labels: Mapping[str, Mapping[Any, str]] | None,
) -> tuple[PredictorAxis, ...]:
    """Return the axis of each term of a fit, with the words given for columns and values."""
    names, words = labels or {}, value_labels or {}
    return tuple(
        predictor_axis(term, fit.coef, fit.data, names.get(term.source, term.source), words.get(term.source, {}))
        for term in fit.design.predictors
    )


def checked_horizons(horizons: Sequence[float], first: float, end: float) -> tuple[float, ...]:
    """Return the horizons; InputError names those before the first event or past the end of follow-up."""
    times = tuple(float(time) for time in horizons)
    wrong = [
        Problem(
            "No survival can be read at this time", f"from the first event at {first:g} to {end:g}", value=f"{time:g}"
        )
        for time in times
        if not first <= time <= end
    ]
    if not times or wrong:
        raise InputError(f"`horizons` must name times within follow-up; got {list(times)}.", wrong)
    return times


def as_frame(rows: Rows) -> pd.DataFrame:
    """Return rows as a DataFrame; a mapping or Series is one row."""
    if isinstance(rows, pd.DataFrame):
        return rows
    if isinstance(rows, pd.Series | Mapping):
        return pd.DataFrame([dict(rows)])
    raise InputError(f"Rows must be a DataFrame, or one row as a mapping or Series; not {type(rows).__name__}.")
