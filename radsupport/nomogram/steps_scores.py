"""Chapter 08: how well the nomogram ranks patients, against the signature and the clinical columns alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from radsupport.chapter import Chapter
from radsupport.errors import NotEstimableError
from radsupport.modelling.fitted import settled
from radsupport.nomogram.steps_model import CLINICAL, NOMOGRAM, SIGNATURE, Model, known_rows, references, refit_rows
from radsupport.report.wording import estimate, fixed, listed
from radsupport.study_schema import Study
from radsupport.survival.steps_groups import slug
from radsupport.survival.time_dependent import concordance, concordance_difference
from radsupport.validation.optimism import Optimism, optimism
from radsupport.validation.roc import auc, delong_test

SCORES = [
    "cohort", "key", "model", "n", "events", "measure", "value", "ci_low", "ci_high", "difference", "diff_low",
    "diff_high", "p",
]  # fmt: skip
_NAN = float("nan")


def measure_of(study: Study) -> str:
    """Return what ranks patients here: AUC for a yes/no outcome, C-index for survival."""
    return "C-index" if study.nomogram.model == "cox" else "AUC"


def places(study: Study, table: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    """Return key, name and patients of every cohort, and of the named sets of cohorts of `survival.pooled`."""
    found = [(str(key), study.cohort_names[key], table[table["cohort"] == key]) for key in study.cohorts]
    found += [
        (slug(name), f"{name}, pooled", table[table["cohort"].isin(list(members))])
        for name, members in study.survival.pooled.items()
    ]
    return [(key, name, part) for key, name, part in found if len(part)]


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
        cohort, key, model, n, events, measure, value, ci_low, ci_high; difference, diff_low, diff_high, p: the nomogram
        minus this model (DeLong, or paired bootstrap for the C-index). NaN where it does not exist.
    """
    rows = []
    for key, name, part in places(study, table):
        usable = common_rows(found, part)
        for model in found.values():
            if model.fit is not None and len(usable):
                row: dict[str, Any] = {"cohort": name, "key": key, "model": model.name, "n": len(usable)}
                row |= _value(study, usable, linear_predictor(model, usable))
                rows.append(row | _difference(study, usable, found.get(NOMOGRAM), model))
    return pd.DataFrame(rows, columns=SCORES)


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
    risks = linear_predictor(nomogram, rows), linear_predictor(model, rows)
    try:
        if study.nomogram.model == "cox":
            c = concordance_difference(
                rows["time"], rows["event"], *risks, n_resamples=study.survival.bootstrap, seed=study.seed
            )
            return {"difference": c.difference, "diff_low": c.ci_low, "diff_high": c.ci_high, "p": c.p_bootstrap}
        d = delong_test(rows["label"], *risks)
        return {"difference": d.difference, "diff_low": d.ci_low, "diff_high": d.ci_high, "p": d.p}
    except NotEstimableError:
        return nothing


def scores_shown(table: pd.DataFrame) -> pd.DataFrame:
    """Return `scores` as a page shows them: value and difference with their intervals in one cell."""
    shown = table[["cohort", "model", "n", "events"]].copy()
    measure = str(table["measure"].iloc[0])
    shown[f"{measure} (95% CI)"] = [_worded(*row) for row in table[["value", "ci_low", "ci_high"]].to_numpy()]
    limits = table[["difference", "diff_low", "diff_high"]].to_numpy()
    shown["nomogram minus this (95% CI)"] = [_worded(value, low, high, 3) for value, low, high in limits]
    return shown.assign(p=table["p"])


def _worded(value: float, low: float, high: float, decimals: int = 2) -> str:
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


def corrected_words(study: Study, found: Optimism | None) -> str:
    """Say what is left of the nomogram's training value after the correction."""
    if found is None:
        return "The nomogram can not be refitted often enough to measure its optimism."
    return (
        f"In training the nomogram's {measure_of(study)} is {fixed(found.apparent)}; {found.n_resamples} bootstrap "
        f"resamples put the optimism of fitting its coefficients at {fixed(found.optimism, 3)}, which leaves "
        f"{fixed(found.corrected)}. The risks of signatures are out of fold: their optimism is already taken out."
    )


def reading_words(study: Study, table: pd.DataFrame) -> str:
    """Say per cohort what the nomogram reaches and whether it can be told from each of its parts alone."""
    words, own = [], table[table["model"] == NOMOGRAM] if len(table) else table
    for row in own.to_dict("records"):
        text = f"- {row['cohort']}: {row['measure']} {_worded(row['value'], row['ci_low'], row['ci_high'])}"
        gaps = table[(table["key"] == row["key"]) & table["model"].isin([SIGNATURE, CLINICAL])]
        parts = [_gap_words(study, gap) for gap in gaps.dropna(subset=["difference"]).to_dict("records")]
        words.append(f"{text}{f'; {listed(parts)}' if parts else ''}.")
    return "\n".join(words) if words else "No cohort has a value of the nomogram."


def _gap_words(study: Study, gap: dict[str, Any]) -> str:
    """Say whether the nomogram is above or below one of its parts, with the difference and its interval."""
    several = bool(study.nomogram.further_signatures)
    name = f"the {'signatures' if several else 'signature'} alone" if gap["model"] == SIGNATURE else f"the {CLINICAL}"
    size = f"{fixed(gap['difference'], 3)}, 95% CI {fixed(gap['diff_low'], 3)} to {fixed(gap['diff_high'], 3)}"
    if gap["diff_low"] > 0 or gap["diff_high"] < 0:
        return f"it is {'above' if gap['difference'] > 0 else 'below'} {name} (by {size})"
    return f"it can not be told from {name} (difference {size})"


def publish(chapter: Chapter, table: pd.DataFrame) -> None:
    """Publish each model's discrimination per cohort: ``nomogram_train``, ``signature_external`` …"""
    names = {"nomogram": "nomogram", "preoperative variant": "preoperative", "signature alone": "signature"}
    for row in table.dropna(subset=["value"]).to_dict("records"):
        key = f"{names.get(row['model'], 'clinical')}_{row['key']}"
        limits = (float(row["ci_low"]), float(row["ci_high"]))
        chapter.publish(key, float(row["value"]), n=int(row["n"]), ci=limits)
