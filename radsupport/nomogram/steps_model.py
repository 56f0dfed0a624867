"""Chapter 08: the patients, the regression models behind the nomogram, and the nomogram itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from radsupport.checks import FloatArray
from radsupport.errors import InputError, NotEstimableError
from radsupport.modelling.regression import LogisticFit, fit_logistic
from radsupport.nomogram.model import Nomogram
from radsupport.report.wording import fixed, listed, number
from radsupport.study_schema import Study
from radsupport.survival.cox import CoxFit, fit_cox, predict_survival
from radsupport.survival.steps_groups import HONEST, outcome

Fit = LogisticFit | CoxFit
NOMOGRAM, PREOPERATIVE = "nomogram", "preoperative variant"
SIGNATURE, CLINICAL = "signature, refitted", "clinical columns alone"


@dataclass(frozen=True, eq=False)
class Model:
    """One regression model of the chapter.

    Attributes
    ----------
    name : str
        `NOMOGRAM`, `PREOPERATIVE`, `SIGNATURE` or `CLINICAL`.
    columns : list of str
        Its predictors; empty where it can not be fitted.
    fit : LogisticFit or CoxFit or None
    note : str
        What was done to fit it, or why it can not be fitted.
    """

    name: str
    columns: list[str]
    fit: Fit | None
    note: str


def risk_columns(study: Study) -> dict[str, str]:
    """Return the column of each signature that enters, by the signature's name."""
    names = [study.nomogram.signature, *study.nomogram.further_signatures]
    return {name: f"signature_{i}" for i, name in enumerate(names, 1)}


def predictor_table(study: Study, cohort: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """Return every patient with the clinical columns, the outcome, and the risk of each signature.

    Risks are out of fold in training and external elsewhere. Patients without a risk of every signature are left out.

    Returns
    -------
    DataFrame
        The columns of cohort.parquet, and those of `risk_columns`.
    """
    honest = predictions[predictions["kind"] == predictions["cohort"].map(HONEST)]
    table = cohort[cohort["cohort"] != "segmentation"]
    for name, column in risk_columns(study).items():
        own = honest.loc[honest["signature"] == name, ["subject", "risk"]].rename(columns={"risk": column})
        table = table.merge(own, on="subject", how="inner")
    needed = ["time", "event"] if study.nomogram.model == "cox" else ["label"]
    return table.dropna(subset=needed).reset_index(drop=True)


def preoperative_columns(study: Study) -> list[str]:
    """Return the clinical columns of the variant for use before the operation."""
    if study.nomogram.preoperative_columns:
        return list(study.nomogram.preoperative_columns)
    return [c for c in study.nomogram.columns if study.columns[c].time_of_knowledge == "preoperative"]


def postoperative_words(study: Study) -> str:
    """Say which predictors are known only after the operation; empty where none is."""
    late = [c for c in study.nomogram.columns if study.columns[c].time_of_knowledge == "postoperative"]
    if not late:
        return ""
    names = listed([study.columns[c].label for c in late])
    return (
        f"{names} {'is' if len(late) == 1 else 'are'} known only after the operation, so the nomogram above can not "
        "guide it. The variant below uses what is known before."
    )


def models(study: Study, table: pd.DataFrame) -> dict[str, Model]:
    """Return the models by name: nomogram, preoperative variant (where it differs), signature and columns alone."""
    risks, columns = list(risk_columns(study).values()), list(study.nomogram.columns)
    wanted = {NOMOGRAM: [*risks, *columns]}
    if postoperative_words(study):
        wanted[PREOPERATIVE] = [*risks, *preoperative_columns(study)]
    wanted[SIGNATURE] = risks
    wanted[CLINICAL] = columns
    return {name: fitted(study, table, name, chosen) for name, chosen in wanted.items() if chosen}


def fitted(study: Study, table: pd.DataFrame, name: str, columns: list[str]) -> Model:
    """Fit one model on the complete training patients, under Firth's penalty where a plain fit does not exist.

    Columns that do not vary among them are left out. A model that can not be fitted at all says why.
    """
    training = table[table["cohort"] == "train"]
    known = training.dropna(subset=columns)
    varying = [c for c in columns if known[c].unique().size > 1]
    lost = [label_of(study, c) for c in columns if c not in varying]
    note = f"Left out because it does not vary: {listed(lost)}. " if lost else ""
    if not varying:
        return Model(name, [], None, f"{note}Nothing is left to fit.")
    reference = references(study, known, varying)
    for penalty in ("none", "firth"):
        try:
            fit = fit_once(study, training, varying, reference, penalty)
        except (NotEstimableError, InputError) as error:
            reason = error.problems[0].what if error.problems else error.message
            continue
        firth = "Firth's penalty keeps its coefficients finite." if penalty == "firth" else ""
        return Model(name, varying, fit, note + firth)
    return Model(name, [], None, f"{note}It can not be fitted: {reason}.")


def fit_once(study: Study, rows: pd.DataFrame, columns: list[str], reference: dict[str, str], penalty: str) -> Fit:
    """Fit the study's kind of regression to some rows."""
    options: dict[str, Any] = {"reference": reference, "penalty": penalty}
    if study.nomogram.model == "cox":
        return fit_cox(rows, "time", "event", columns, **options)
    return fit_logistic(rows, "label", columns, **options)


def refit_rows(study: Study, rows: pd.DataFrame, columns: list[str], reference: dict[str, str], penalty: str) -> Fit:
    """Fit a model again to a resample, under Firth's penalty where the resample has no plain fit."""
    try:
        return fit_once(study, rows, columns, reference, penalty)
    except NotEstimableError:
        return fit_once(study, rows, columns, reference, "firth")


def references(study: Study, rows: pd.DataFrame, columns: list[str]) -> dict[str, str]:
    """Return the reference level of each category: the first of its levels that occurs."""
    found = {}
    for column in columns:
        if column in study.columns and study.columns[column].kind == "category":
            seen = set(rows[column].dropna().astype(str))
            found[column] = next(level for level in study.columns[column].levels if level in seen)
    return found


def label_of(study: Study, column: str) -> str:
    """Return a predictor in words."""
    names = {c: f"{name} (risk)" for name, c in risk_columns(study).items()}
    if column in names:
        return names[column]
    spec = study.columns[column]
    return f"{spec.label} ({spec.unit})" if spec.unit else spec.label


def usable_horizons(study: Study, fit: CoxFit) -> list[float]:
    """Return the nomogram's horizons (months) between the first event and the end of follow-up in training."""
    wanted = study.nomogram.horizons_months or outcome(study).horizons_months
    first, last = float(fit.baseline["time"].iloc[0]), float(fit.data[fit.time].max())
    return [float(t) for t in wanted if first <= t <= last]


def nomogram_of(study: Study, model: Model) -> Nomogram | None:
    """Return a model as a nomogram with the study's words; None where it can not be fitted or has no usable horizon."""
    if model.fit is None:
        return None
    labels = {column: label_of(study, column) for column in model.columns}
    if isinstance(model.fit, CoxFit):
        horizons, name = usable_horizons(study, model.fit), outcome(study).name
        if not horizons:
            return None
        return Nomogram.from_cox(model.fit, horizons, outcome=name, time_unit="months", labels=labels)
    label = study.endpoint.label
    return Nomogram.from_logistic(model.fit, outcome=label.name if label else "", labels=labels)


def known_rows(model: Model, table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that a model can predict: no missing predictor, no level that training did not have."""
    rows = table.dropna(subset=model.columns)
    for predictor in model.fit.design.predictors if model.fit is not None else ():
        if predictor.kind == "factor":
            rows = rows[rows[predictor.source].astype(str).isin(predictor.levels)]
    return rows


def event_risk(model: Model, rows: pd.DataFrame, horizon: float | None = None) -> FloatArray:
    """Return the predicted probability of the label, or of the event by `horizon` (months), shape (n,)."""
    if isinstance(model.fit, CoxFit):
        if horizon is None:
            raise InputError("A Cox model predicts by a horizon; give one in months.")
        return 1 - predict_survival(model.fit, rows, [horizon]).to_numpy()[:, 0]
    if model.fit is None:
        raise InputError(f"The model `{model.name}` has no fit.")
    return np.asarray(model.fit.predict(rows))


def model_words(study: Study, model: Model) -> str:
    """Say how many patients a model rests on, and how its signature is scaled."""
    if model.fit is None:
        return f"The {model.name} can not be fitted in the training cohort of {study.id}. {model.note}"
    fit, n = model.fit, len(model.fit.coef)
    text = f"{fit.n} training patients with {fit.n_events} events and {n} coefficients "
    text += f"({fixed(fit.n_events / n, 1)} events per coefficient)"
    return text + (f"; {fit.n_missing} left out for missing values. " if fit.n_missing else ". ") + model.note


def example_words(nomogram: Nomogram) -> str:
    """Add up the points of a typical patient (median values, most frequent levels) as an example."""
    row = {axis.name: axis.typical for axis in nomogram.predictors}
    points, predicted = nomogram.points(row), nomogram.predict(row)
    parts = [f"{axis.label} {_plain(axis.typical)}: {fixed(points[axis.name], 0)}" for axis in nomogram.predictors]
    if isinstance(predicted, pd.Series):
        result = f"a probability of {nomogram.outcome} of {100 * float(predicted.iloc[0]):.0f}%"
    else:
        shares = [f"{100 * float(predicted.iloc[0][t]):.0f}% at {t:g} months" for t in predicted.columns]
        result = f"{nomogram.outcome} of {listed(shares)}"
    text = f"Points of a patient with the median values and the most frequent levels: {'; '.join(parts)}. "
    return f"{text}Together {fixed(points.total, 0)}, which stands for {result}."


def reversed_words(study: Study, model: Model) -> str:
    """Say which signatures' coefficients have the wrong sign, a higher risk taking points away; empty without any."""
    if model.fit is None:
        return ""
    wrong = [
        name
        for name, column in risk_columns(study).items()
        if column in model.fit.coef.index and model.fit.coef[column] < 0
    ]
    if not wrong:
        return ""
    return (
        f"**Wrong sign.** A higher risk by {listed(wrong)} takes points away: beside the other predictors the risk out "
        "of fold goes with fewer events in training, against what it was built to predict. Read it with its interval "
        "above, and not as a protective factor."
    )


def _plain(value: float | str) -> str:
    return value if isinstance(value, str) else number(value)
