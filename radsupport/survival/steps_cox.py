"""Chapter 07: Cox regression of the clinical columns, each alone and all together."""

from __future__ import annotations

from typing import Any

import pandas as pd

from radsupport.errors import InputError, NotEstimableError
from radsupport.modelling.effects import with_references
from radsupport.report.regression_table import regression_table
from radsupport.report.wording import counted, fixed
from radsupport.study_schema import Study
from radsupport.survival.cox import CoxFit, multivariable_table, univariable_table
from radsupport.survival.steps_cox_data import OUTCOME, SIGNATURE, CoxData, cox_data
from radsupport.survival.steps_patients import label_of
from radsupport.survival.steps_ratios import with_firth


def univariable(data: CoxData) -> pd.DataFrame:
    """Return one Cox model per covariate and of the signature; Firth's penalty where a plain fit does not exist."""
    tables = []
    for column in [*data.covariates, SIGNATURE]:
        options: dict[str, Any] = {"reference": _own(data.reference, column)}
        found = univariable_table(data.table, *OUTCOME, [column], **options)
        if found["note"].ne("").any():
            penalised = univariable_table(data.table, *OUTCOME, [column], penalty="firth", **options)
            usable = penalised["note"].eq("").all()
            found = penalised.assign(note="Firth's penalty") if usable else found
        tables.append(found)
    return pd.concat(tables, ignore_index=True)


def _own(reference: dict[str, str], column: str) -> dict[str, str]:
    return {column: reference[column]} if column in reference else {}


def multivariable(data: CoxData) -> tuple[CoxFit | None, str]:
    """Return the Cox model of all covariates, and a note: Firth's penalty, or why there is no model."""
    if not data.covariates:
        return None, "no covariate varies among these patients"
    try:
        return with_firth(data.table, data.covariates, reference=data.reference)
    except (NotEstimableError, InputError) as error:
        return None, error.problems[0].what if error.problems else error.message


def table_shown(data: CoxData, alone: pd.DataFrame, fit: CoxFit | None, study: Study) -> pd.DataFrame:
    """Return univariable and multivariable hazard ratios side by side, in words."""
    return regression_table(alone, multivariable_rows(data, fit), labels(data, study))


def multivariable_rows(data: CoxData, fit: CoxFit | None) -> pd.DataFrame | None:
    """Return the multivariable model with reference levels and likelihood-ratio tests; None where there is none.

    The tests are missing where a model without one of the characteristics can not be fitted.
    """
    if fit is None:
        return None
    try:
        return multivariable_table(data.table, *OUTCOME, data.covariates, reference=data.reference, penalty=fit.penalty)
    except NotEstimableError:
        return with_references(fit, "hr").assign(p_term=float("nan"))


def labels(data: CoxData, study: Study) -> dict[str, str]:
    """Return words for the terms of the Cox models."""
    return {c: label_of(study, c) for c in data.covariates} | {SIGNATURE: f"{data.added} (per SD)"}


def model_words(data: CoxData, fit: CoxFit | None, note: str) -> str:
    """Say how many patients, events and coefficients the multivariable model has, and what was done to fit it."""
    text = f"{'. '.join(data.notes)}. " if data.notes else ""
    if fit is None:
        return f"{text}The covariates together can not be fitted: {note}."
    n = len(fit.coef)
    text += (
        f"The model of all covariates has {counted(n, 'coefficient')} for {fit.n_events} events in {fit.n} patients "
    )
    text += f"({fixed(fit.n_events / n, 1)} events per coefficient; with fewer than about 10 the ratios are unstable)"
    text += f", {fit.n_missing} left out for missing values. " if fit.n_missing else ". "
    text += f"{data.added} is not part of it: whether it adds to the characteristics is tested below. "
    if note:
        return f"{text}It needed {note}: a plain fit would give infinite ratios."
    return (
        text
        if data.notes or not data.reference
        else f"{text}Every level has events, so no levels are merged and no penalty is needed."
    )


def backwards_words(data: CoxData, alone: pd.DataFrame) -> str:
    """Say that a higher risk by the signature goes with fewer events in training; empty where it does not."""
    row = alone[alone["term"] == SIGNATURE].iloc[0]
    if not row["hr"] < 1:
        return ""
    return (
        f"**Used backwards.** A higher risk by {data.added} goes with fewer events among these patients (hazard ratio "
        f"{fixed(row['hr'])} per SD), against what it was built to predict. The Cox models of this page turn it round: "
        "what they seem to gain from it is no merit of the signature."
    )


def plain_model(
    data: CoxData, fit: CoxFit | None, rows: pd.DataFrame, cohort: pd.DataFrame, study: Study
) -> tuple[CoxData, CoxFit | None]:
    """Return data and model without penalty: the given ones, or those with levels without events merged.

    Selection by AIC and the test of proportional hazards are defined for unpenalised models only. The model is None
    where merging does not help either.
    """
    if fit is None or fit.penalty == "none":
        return data, fit
    merged = cox_data(rows, cohort, study, merge=True)
    again, _ = multivariable(merged)
    return merged, again if again is not None and again.penalty == "none" else None
