"""Chapter 08: the predictors alone and together, as the papers' regression tables print them."""

from __future__ import annotations

from typing import Any

import pandas as pd

from radsupport.errors import NotEstimableError
from radsupport.modelling import regression
from radsupport.modelling.effects import with_references
from radsupport.nomogram.steps_model import Model, label_of, references, risk_columns
from radsupport.report.regression_table import regression_table
from radsupport.report.wording import fixed, listed
from radsupport.study_schema import Study
from radsupport.survival import cox

_SPREAD = 1.5  # ratio of standard deviations from which scales are called different


def table_columns(study: Study) -> list[str]:
    """Return the rows of the regression table: signatures, predictors of the nomogram, further candidates."""
    nomogram = study.nomogram
    columns = [*risk_columns(study).values(), *nomogram.columns, *nomogram.preoperative_columns, *nomogram.candidates]
    return list(dict.fromkeys(columns))


def univariable(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """Return one regression per column in the training cohort, under Firth's penalty where a plain fit does not exist.

    Returns
    -------
    DataFrame
        As `univariable_table` of the logistic or the Cox regression.
    """
    training, tables = table[table["cohort"] == "train"], []
    for column in table_columns(study):
        options: dict[str, Any] = {"reference": references(study, training, [column])}
        found = _one(study, training, column, options)
        if found["note"].ne("").any():
            penalised = _one(study, training, column, options | {"penalty": "firth"})
            found = penalised.assign(note="Firth's penalty") if penalised["note"].eq("").all() else found
        tables.append(found)
    return pd.concat(tables, ignore_index=True)


def _one(study: Study, rows: pd.DataFrame, column: str, options: dict[str, Any]) -> pd.DataFrame:
    if study.nomogram.model == "cox":
        return cox.univariable_table(rows, "time", "event", [column], **options)
    return regression.univariable_table(rows, "label", [column], **options)


def multivariable(study: Study, table: pd.DataFrame, model: Model) -> pd.DataFrame | None:
    """Return the nomogram's model with reference levels and likelihood-ratio tests; None where there is none."""
    if model.fit is None:
        return None
    training = table[table["cohort"] == "train"]
    reference = references(study, training.dropna(subset=model.columns), model.columns)
    options: dict[str, Any] = {"reference": reference, "penalty": model.fit.penalty}
    try:
        if study.nomogram.model == "cox":
            return cox.multivariable_table(training, "time", "event", model.columns, **options)
        return regression.multivariable_table(training, "label", model.columns, **options)
    except NotEstimableError:  # a model without one of the predictors has no fit, so there is no test of it
        ratio = "hr" if study.nomogram.model == "cox" else "odds_ratio"
        return with_references(model.fit, ratio).assign(p_term=float("nan"))


def shown(
    study: Study, table: pd.DataFrame, alone: pd.DataFrame, together: pd.DataFrame | None, model: Model | None = None
) -> pd.DataFrame:
    """Return both regressions side by side, in words; a signature's ratio is per standard deviation of its risk.

    With `model` only its predictors have a row.
    """
    ratio, risks = _ratio(study)[0], risk_columns(study)
    if model is not None:
        alone = alone[alone["term"].isin(model.columns)].reset_index(drop=True)
    labels = {c: label_of(study, c) for c in table_columns(study)}
    labels |= {column: f"{name} (risk, per SD)" for name, column in risks.items()}
    scaled = None if together is None else _per_sd(study, table, together)
    return regression_table(_per_sd(study, table, alone), scaled, labels, ratio)


def _ratio(study: Study) -> tuple[str, str]:
    """Return the column of the study's ratios and its words."""
    return ("hr", "hazard ratio") if study.nomogram.model == "cox" else ("odds_ratio", "odds ratio")


def _sds(study: Study, table: pd.DataFrame) -> dict[str, float]:
    """Return the standard deviation of each signature's training risks, by its column."""
    training = table[table["cohort"] == "train"]
    return {column: float(training[column].std()) for column in risk_columns(study).values()}


def _per_sd(study: Study, table: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Return a regression with the ratios of the signatures per standard deviation of the training risks."""
    power = rows["term"].map(_sds(study, table)).fillna(1.0)
    return rows.assign(**{key: rows[key].pow(power) for key in (_ratio(study)[0], "ci_low", "ci_high")})


def scale_words(study: Study, table: pd.DataFrame) -> str:
    """Say what a standard deviation of each signature's risk is."""
    names = {column: name for name, column in risk_columns(study).items()}
    sizes = listed([f"{fixed(sd, 3)} of {names[column]}" for column, sd in _sds(study, table).items()])
    text = f"A signature's {_ratio(study)[1]} is for a risk that is one standard deviation (SD) higher among training "
    text += f"patients: {sizes}."
    wanted = tuple(f"{part}_{name}" for part in ("alone", "together") for name in names.values())
    if any(entry.chapter == "08" and entry.ours.endswith(wanted) for entry in study.published):
        text += " Beside printed values, further down, it is for a risk that rises by 1, as papers print it."
    return text


def spread_words(study: Study, table: pd.DataFrame) -> str:
    """Say where a signature's risks spread clearly less or more than in training; empty where nowhere.

    Training risks are out of fold, from many models; those of other cohorts come from one. Where the two differ in
    scale, the coefficients of training do not fit the other cohort.
    """
    words = []
    for name, column in risk_columns(study).items():
        spread = table.groupby("cohort")[column].std()
        for key in (key for key in study.cohorts if key != "train" and key in spread):
            share = spread[key] / spread["train"] if spread["train"] > 0 else 1.0
            if not 1 / _SPREAD < share < _SPREAD:
                words.append(
                    f"{name} in {study.cohort_names[key]}: SD {fixed(spread[key], 3)}, {fixed(share)} of training's"
                )
    if not words:
        return ""
    text = "**Risks on another scale.** Training risks come from the models of the folds, the others from one model. "
    return f"{text}They spread differently – {'; '.join(words)} – so training's coefficients fit less well there."
