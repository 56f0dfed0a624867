"""Chapter 08: how well the nomogram ranks patients, against the signature and the clinical columns alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from radsupport.errors import NotEstimableError
from radsupport.modelling.fitted import settled
from radsupport.nomogram.steps_model import NOMOGRAM, Model, known_rows, references, refit_rows, risk_columns
from radsupport.report.wording import estimate
from radsupport.study_schema import Study
from radsupport.survival.steps_groups import slug
from radsupport.survival.time_dependent import concordance, concordance_difference
from radsupport.validation.optimism import Optimism, optimism
from radsupport.validation.roc import auc, delong_test

SCORES = [
    "cohort", "key", "model", "n", "fitted", "events", "measure", "value", "ci_low", "ci_high", "difference",
    "diff_low", "diff_high", "p",
]  # fmt: skip
#: Ends the name of a row in which a signature's own risk is judged in every patient, as chapter 06 does.
ALL_PATIENTS = ", all patients"
_NAN = float("nan")


def measure_of(study: Study) -> str:
    """Return what ranks patients here: AUC for a yes/no outcome, C-index for survival."""
    return "C-index" if study.nomogram.model == "cox" else "AUC"


def places(study: Study, table: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    """Return key, name and patients of every cohort, and of the named sets of cohorts of `survival.pooled`.

    Coefficients were fitted to the training patients: the names of places with such patients say "apparent".
    """
    found = []
    for key in study.cohorts:
        mark = ", apparent" if key == "train" else ""
        found.append((str(key), f"{study.cohort_names[key]}{mark}", table[table["cohort"] == key]))
    for name, members in study.survival.pooled.items():
        mark = ", partly apparent" if "train" in members else ""
        found.append((slug(name), f"{name}, pooled{mark}", table[table["cohort"].isin(list(members))]))
    return [(key, name, part) for key, name, part in found if len(part)]


def n_fitted(rows: pd.DataFrame) -> int:
    """Return how many of these patients the coefficients were fitted to."""
    return int((rows["cohort"] == "train").sum())


def common_rows(found: dict[str, Model], part: pd.DataFrame) -> pd.DataFrame:
    """Return the patients that every fitted model can predict."""
    for model in found.values():
        if model.fit is not None:
            part = known_rows(model, part)
    return part


def linear_predictor(model: Model, rows: pd.DataFrame) -> np.ndarray[Any, Any]:
    """Return the linear predictor of a fitted model, differences by rounding removed."""
    if model.fit is None:
        raise NotEstimableError(f"The {model.name} has no fit.")
    return settled(model.fit.linear_predictor(rows))


def scores(study: Study, found: dict[str, Model], table: pd.DataFrame) -> pd.DataFrame:
    """Return the discrimination of each model in each cohort, on the patients that all models can predict.

    Returns
    -------
    DataFrame
        cohort, key, model, n, fitted (how many of them the coefficients were fitted to), events, measure, value,
        ci_low, ci_high; difference, diff_low, diff_high, p: the nomogram minus this model (DeLong; for the C-index a
        paired bootstrap interval and P by the infinitesimal jackknife). NaN where it does not exist; no P where
        coefficients were fitted to these patients, to whom no test of nested models applies. Where patients are left
        out, the first signature's own risk has a row for all of them.
    """
    rows = []
    for key, name, part in places(study, table):
        usable = common_rows(found, part)
        for model in found.values():
            if model.fit is not None and len(usable):
                row = _place(key, name, model.name, usable) | _value(study, usable, linear_predictor(model, usable))
                rows.append(row | _difference(study, usable, found.get(NOMOGRAM), model))
        if len(usable) < len(part):
            signature, column = next(iter(risk_columns(study).items()))
            row = _place(key, name, f"{signature}{ALL_PATIENTS}", part) | {"fitted": 0}  # its risk is out of fold
            rows.append(row | _value(study, part, part[column]))
    return pd.DataFrame(rows, columns=SCORES)


def _place(key: str, name: str, model: str, rows: pd.DataFrame) -> dict[str, Any]:
    return {"cohort": name, "key": key, "model": model, "n": len(rows), "fitted": n_fitted(rows)}


def _value(study: Study, rows: pd.DataFrame, risk: Any) -> dict[str, Any]:
    event = "event" if study.nomogram.model == "cox" else "label"
    row: dict[str, Any] = {"events": int(rows[event].sum()), "measure": measure_of(study)}
    try:
        if study.nomogram.model == "cox":
            c = concordance(rows["time"], rows["event"], risk)
            return row | {"value": c.concordance, "ci_low": c.ci_low, "ci_high": c.ci_high}
        a = auc(rows["label"], risk)
        return row | {"value": a.auc, "ci_low": a.ci_low, "ci_high": a.ci_high}
    except NotEstimableError:
        return row | {"value": _NAN, "ci_low": _NAN, "ci_high": _NAN}


def _difference(study: Study, rows: pd.DataFrame, nomogram: Model | None, model: Model) -> dict[str, float]:
    nothing = {"difference": _NAN, "diff_low": _NAN, "diff_high": _NAN, "p": _NAN}
    if nomogram is None or nomogram.fit is None or model.name == NOMOGRAM:
        return nothing
    risks, honest = (linear_predictor(nomogram, rows), linear_predictor(model, rows)), not n_fitted(rows)
    try:
        if study.nomogram.model == "cox":
            c = concordance_difference(
                rows["time"], rows["event"], *risks, n_resamples=study.survival.bootstrap, seed=study.seed
            )
            return {
                "difference": c.difference,
                "diff_low": c.ci_low,
                "diff_high": c.ci_high,
                "p": c.p if honest else _NAN,
            }
        d = delong_test(rows["label"], *risks)
        return {"difference": d.difference, "diff_low": d.ci_low, "diff_high": d.ci_high, "p": d.p if honest else _NAN}
    except NotEstimableError:
        return nothing


def scores_shown(table: pd.DataFrame) -> pd.DataFrame:
    """Return `scores` as a page shows them: value and difference with their intervals in one cell."""
    shown = table[["cohort", "model", "n", "events"]].copy()
    measure = str(table["measure"].iloc[0])
    shown[f"{measure} (95% CI)"] = [worded(*row) for row in table[["value", "ci_low", "ci_high"]].to_numpy()]
    limits = table[["difference", "diff_low", "diff_high"]].to_numpy()
    shown["nomogram minus this (95% CI)"] = [worded(value, low, high, 3) for value, low, high in limits]
    return shown.assign(p=table["p"])


def worded(value: float, low: float, high: float, decimals: int = 2) -> str:
    """Word an estimate with its interval; a dash where it does not exist."""
    return "–" if np.isnan(value) else estimate(value, low, high, decimals)


def corrected(study: Study, model: Model, table: pd.DataFrame) -> Optimism | None:
    """Return the optimism-corrected discrimination of a model in training; None where it can not be refitted."""
    if model.fit is None:
        return None
    training = known_rows(model, table[table["cohort"] == "train"])
    reference, fit = references(study, training, model.columns), model.fit

    def refit(rows: pd.DataFrame) -> Model:
        return Model(model.name, model.columns, refit_rows(study, rows, model.columns, reference, fit.penalty), "")

    def measure(again: Model, rows: pd.DataFrame) -> float:
        return float(_value(study, rows, linear_predictor(again, rows))["value"])

    try:
        return optimism(training, refit, measure, study.nomogram.bootstrap, study.seed)
    except NotEstimableError:
        return None
