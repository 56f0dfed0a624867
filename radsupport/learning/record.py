"""What each fitted object was given: subjects as hashes, so that nobody is named, and the features that it chose."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from radsupport.learning.assembly import Assembly
from radsupport.learning.crossval import CrossValidation, _aligned, _fit_fold, _fold_numbers
from radsupport.learning.tuning import Choice

#: Columns of `fold_record`.
RECORD = [
    "repeat", "fold", "object", "steps", "n_fitted", "n_held_out", "fitted", "held_out", "shared", "strange", "given",
    "n_features", "features",
]  # fmt: skip


def hashed(names: Iterable[object]) -> str:
    """Return sixteen digits of the SHA-256 of names, whatever their order."""
    return hashlib.sha256("\n".join(sorted(map(str, names))).encode()).hexdigest()[:16]


def fold_record(result: CrossValidation) -> pd.DataFrame:
    """Return a row per fitted object of every fold, and of the fit on everybody.

    Parameters
    ----------
    result : CrossValidation

    Returns
    -------
    DataFrame
        `RECORD`: repeat, fold (NaN: fitted on everybody), object (a combination's parts, its last step), steps,
        n_fitted and n_held_out, the hashes of these subjects (what the object itself kept of the table it was given,
        not what it should have been given), shared (subjects in both), strange (fitted subjects who are none of the
        training cohort), given (columns at its beginning), n_features and the hash of those that reached its learner.
    """
    everybody = set(result.risks["subject"])
    out = {key: set(part["subject"]) for key, part in result.risks.groupby(["repeat", "fold"])}
    places: list[tuple[int, float, Any]] = [
        (repeat, fold, model) for repeat, models in enumerate(result.models) for fold, model in models.items()
    ]
    places += [(0, float("nan"), result.refit)] if result.refit is not None else []
    rows = []
    for repeat, fold, model in places:
        held_out = out.get((repeat, fold), set())
        for name, one in _objects(model):
            fitted = set(one.fitted_on_)
            row = {"repeat": repeat, "fold": fold, "object": name, "n_fitted": len(fitted), "n_held_out": len(held_out)}
            row |= {
                "steps": " ".join(step for step, _ in one.steps),
                "given": one.given_,
                "n_features": len(one.features_),
            }
            row |= {"fitted": hashed(fitted), "held_out": hashed(held_out), "features": hashed(one.features_)}
            rows.append(row | {"shared": len(fitted & held_out), "strange": len(fitted - everybody)})
    return pd.DataFrame(rows, columns=RECORD)


def _objects(model: Any, name: str = "model") -> Iterator[tuple[str, Any]]:
    """Yield the pipelines that a fitted model is made of; others keep no record."""
    model = model.model_ if isinstance(model, Choice) else model
    for part, _, fitted in getattr(model, "parts_", ()):
        yield from _objects(fitted, part)
    last = getattr(model, "meta_", model)
    if hasattr(last, "fitted_on_"):
        yield name, last


def again(assembly: Assembly, name: str, predictions: pd.DataFrame, *, inner_folds: int, seed: int) -> float:
    """Fit one fold of a signature a second time and return how far its risks lie from those of the run.

    Parameters
    ----------
    assembly : Assembly
    name : str
        The signature; its first fold of the first division is fitted.
    predictions : DataFrame
        predictions.parquet of the run.
    inner_folds, seed
        Of the run (`run_signatures`).

    Returns
    -------
    float
        Largest absolute difference; infinite where the fold has other patients now.
    """
    table, outcome, _ = assembly.training(name)
    folds = assembly.folds.reindex(outcome.index) if isinstance(assembly.folds, pd.Series) else assembly.folds
    target, tables = _aligned(table, outcome)
    number = _fold_numbers(outcome, target, folds, seed)
    fold = number.min()
    _, risk = _fit_fold(tables.fold(fold), target, number == fold, assembly.estimator(name, inner_folds, seed))
    rows = predictions[(predictions["signature"] == name) & (predictions["kind"] == "out_of_fold")]
    before = rows[rows["fold"] == fold].set_index("subject")["risk"]
    people = outcome.index[number == fold]
    if set(before.index) != set(people):
        return float("inf")
    return float(np.abs(risk - before.loc[people].to_numpy(float)).max())
