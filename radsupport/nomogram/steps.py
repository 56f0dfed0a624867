"""Chapter 08, step by step: from predictions and clinical columns to the nomogram and its scores."""

from __future__ import annotations

import numpy as np
import pandas as pd

from radsupport.chapter import Chapter
from radsupport.errors import NotEstimableError
from radsupport.modelling.regression import LogisticFit, fit_logistic
from radsupport.nomogram.model import Nomogram
from radsupport.study_schema import Study
from radsupport.survival.cox import CoxFit, fit_cox
from radsupport.survival.time_dependent import concordance
from radsupport.validation.roc import auc
from radsupport.validation.summaries import honest

RISK = "signature_risk"
Fit = LogisticFit | CoxFit


def predictor_table(study: Study, cohort: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """Return every patient with the nomogram's predictors and the outcome.

    The signature enters as `signature_risk`: out of fold in training, external elsewhere, and as a risk
    rank where the endpoint is survival (0 to 1 over the training cohort).
    """
    parts = [honest(predictions, name) for name in study.cohorts if name != "segmentation"]
    risks = pd.concat(parts, ignore_index=True)
    own = risks[risks["signature"] == study.nomogram.signature][["subject", "risk"]]
    table = cohort[cohort["cohort"] != "segmentation"].merge(own, on="subject", how="inner")
    return table.rename(columns={"risk": RISK})


def predictors(study: Study) -> list[str]:
    """Return the columns that enter the nomogram."""
    return [RISK, *study.nomogram.columns]


def fit(study: Study, table: pd.DataFrame) -> Fit:
    """Fit the nomogram's model on the training cohort, with Firth's penalty where a level separates the outcome."""
    training = table[table["cohort"] == "train"]
    levels = {c: study.columns[c].levels[0] for c in study.nomogram.columns if study.columns[c].kind == "category"}
    for penalty in ("none", "firth"):
        try:
            if study.nomogram.model == "cox":
                return fit_cox(training, "time", "event", predictors(study), reference=levels, penalty=penalty)
            return fit_logistic(training, "label", predictors(study), reference=levels, penalty=penalty)
        except NotEstimableError:
            if penalty == "firth":
                raise
    raise NotEstimableError("unreachable: the loop returns or raises")


def nomogram(study: Study, fitted: Fit) -> Nomogram:
    """Return the nomogram with the study's words on its axes."""
    labels = {RISK: f"{study.nomogram.signature} (risk)", **{c: study.columns[c].label for c in study.nomogram.columns}}
    if isinstance(fitted, CoxFit):
        horizons = study.nomogram.horizons_months or study.endpoint.survival.horizons_months
        return Nomogram.from_cox(fitted, horizons, outcome=study.endpoint.survival.name, time_unit="months", labels=labels)
    return Nomogram.from_logistic(fitted, outcome=study.endpoint.label.name, labels=labels)


def scores(study: Study, fitted: Fit, table: pd.DataFrame) -> pd.DataFrame:
    """Return discrimination of the nomogram and of the signature alone, per cohort, on the same complete patients."""
    rows = []
    complete = table.dropna(subset=predictors(study))
    for name in (c for c in study.cohorts if c != "segmentation"):
        part = complete[complete["cohort"] == name]
        for what, risk in (("nomogram", fitted.linear_predictor(part) if len(part) else None), ("signature alone", part[RISK])):
            if len(part):
                rows.append({"cohort": study.cohorts[name].name, "key": name, "model": what, "n": len(part), **_score(study, part, np.asarray(risk))})
    return pd.DataFrame(rows).drop(columns="key")


def _score(study: Study, part: pd.DataFrame, risk: np.ndarray) -> dict[str, object]:
    try:
        if study.nomogram.model == "cox":
            c = concordance(part["time"], part["event"], risk)
            return {"measure": "C-index", "value": c.concordance, "ci_low": c.ci_low, "ci_high": c.ci_high}
        found = auc(part["label"], risk)
        return {"measure": "AUC", "value": found.auc, "ci_low": found.ci_low, "ci_high": found.ci_high}
    except NotEstimableError:
        return {"measure": "not estimable", "value": np.nan, "ci_low": np.nan, "ci_high": np.nan}


def publish(chapter: Chapter, table: pd.DataFrame) -> None:
    """Publish the nomogram's discrimination per cohort."""
    for row in table[table["model"] == "nomogram"].dropna(subset=["value"]).to_dict("records"):
        chapter.publish(f"nomogram {row['cohort']}", row["value"], n=row["n"], ci=(row["ci_low"], row["ci_high"]))
