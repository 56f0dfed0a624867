"""Chapter 07: how far predicted survival is from what happened, against Kaplan-Meier and clinical predictions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from radsupport.errors import InputError, NotEstimableError
from radsupport.study_schema import Study
from radsupport.survival.cox import CoxFit, predict_survival
from radsupport.survival.steps_cox_data import OUTCOME, CoxData, recoded
from radsupport.survival.steps_groups import cohort_name
from radsupport.survival.steps_horizons import usable_times
from radsupport.survival.steps_ratios import with_firth
from radsupport.survival.time_dependent import brier_difference, brier_score, integrated_brier
from radsupport.survival.times import integration_times

COVARIATES = "covariates (Cox)"
NULL = "Kaplan–Meier"
HEADERS = {
    "time": "Month", "brier": "Brier score", "ci_low": "95% CI from", "ci_high": "to", "null": "Kaplan–Meier",
    "scaled": "Scaled", "integrated Brier": "Integrated score",
    "brier_a": "Brier score", "brier_b": "of the baseline",
}  # fmt: skip
_POINTS = 25  # times of the curve


def calibrated(groups: pd.DataFrame) -> dict[str, CoxFit]:
    """Return, by signature, a Cox model of its out-of-fold risk in training: from a risk to predicted survival.

    A signature whose risk is constant, or tells nothing apart, has none.
    """
    found = {}
    for name, part in groups[groups["cohort"] == "train"].groupby("signature", sort=False):
        try:
            found[str(name)] = with_firth(part, ["risk"])[0]
        except (NotEstimableError, InputError):
            continue
    return found


def predictions_of(
    groups: pd.DataFrame, fits: dict[str, CoxFit], covariates: CoxFit | None, data: CoxData, cohort: pd.DataFrame
) -> list[tuple[str, str, pd.DataFrame, CoxFit]]:
    """Return cohort key, name of the model, its patients with outcome, and the fit that predicts their survival.

    The Cox model of the covariates is among the models, on patients whose covariates are all known.
    """
    found = []
    for key, part in groups.groupby("cohort", sort=False):
        for name, own in part.groupby("signature", sort=False):
            if name in fits:
                found.append((str(key), str(name), own, fits[str(name)]))
        if covariates is not None:
            own = part.drop_duplicates("subject")[["subject", *OUTCOME]]
            rows = own.merge(cohort[["subject", *covariates.design.sources]], on="subject", how="left")
            rows = _known_levels(rows, covariates, data)
            if len(rows):
                found.append((str(key), COVARIATES, rows, covariates))
    return found


def _known_levels(rows: pd.DataFrame, fit: CoxFit, data: CoxData) -> pd.DataFrame:
    """Give categories the merged names of training, and leave out patients the model can not predict."""
    usable = pd.Series(True, index=rows.index)
    for predictor in fit.design.predictors:
        column = predictor.source
        if column in data.names:
            rows = rows.assign(**{column: recoded(rows[column], data.names[column])})
        usable &= rows[column].notna()
        if predictor.kind == "factor":
            usable &= rows[column].isin(predictor.levels)
    return rows[usable]


def horizon_errors(models: list[tuple[str, str, pd.DataFrame, CoxFit]], study: Study) -> pd.DataFrame:
    """Return Brier scores at the study's horizons.

    Returns
    -------
    DataFrame
        cohort, key, model, n, time (months), brier, ci_low, ci_high (bootstrap), null (Kaplan-Meier of that cohort
        itself), scaled (1 - brier / null).
    """
    survival, tables = study.endpoint.survival, []
    for key, name, rows, fit in models:
        times = [t for t in usable_times(rows, survival.horizons_months if survival else []) if t <= _end(fit)]
        if not times:
            continue
        risk = 1 - predict_survival(fit, rows, times).to_numpy()
        found = brier_score(
            rows["time"], rows["event"], risk, times, n_resamples=study.survival.bootstrap, seed=study.seed
        )
        place = {"cohort": cohort_name(study, key), "key": key, "model": name, "n": len(rows)}
        kept = ["time", "brier", "ci_low", "ci_high", "null", "scaled"]
        tables.append(pd.DataFrame([place] * len(found)).join(found[kept]))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _end(fit: CoxFit) -> float:
    return float(fit.data[fit.time].max())


def _times(rows: pd.DataFrame, fit: CoxFit, study: Study) -> np.ndarray[Any, Any]:
    """Return evenly spaced times of the curve."""
    last = _last(rows, fit, study)
    return np.linspace(last / _POINTS, last, _POINTS)


def _last(rows: pd.DataFrame, fit: CoxFit, study: Study) -> float:
    """Return where curve and integral end: at the last horizon, or as far as patients and model reach."""
    survival = study.endpoint.survival
    wanted = max(survival.horizons_months) if survival else float("inf")
    return min(wanted, float(rows["time"].max()), _end(fit))


def error_curves(models: list[tuple[str, str, pd.DataFrame, CoxFit]], study: Study) -> dict[str, pd.DataFrame]:
    """Return the Brier score over time by cohort (name): model, time, brier; Kaplan-Meier is one of the models."""
    found: dict[str, list[pd.DataFrame]] = {}
    for key, name, rows, fit in models:
        times = _times(rows, fit, study)
        risk = 1 - predict_survival(fit, rows, times).to_numpy()
        table = brier_score(rows["time"], rows["event"], risk, times, interval="none")
        curves = found.setdefault(cohort_name(study, key), [])
        if not curves:
            null = table[["time", "null"]].rename(columns={"null": "brier"})
            curves.append(null.assign(model=NULL))
        curves.append(table[["time", "brier"]].assign(model=name))
    return {cohort: pd.concat(curves, ignore_index=True) for cohort, curves in found.items()}


def integrated_errors(models: list[tuple[str, str, pd.DataFrame, CoxFit]], study: Study) -> pd.DataFrame:
    """Return integrated Brier scores: cohort, model, n, up to month, integrated, CI, Kaplan-Meier's, scaled.

    Intervals are Wald's by the influence function.
    """
    rows_found = []
    for key, name, rows, fit in models:
        times = integration_times(rows["time"], rows["event"], _last(rows, fit, study))
        risk = 1 - predict_survival(fit, rows, times).to_numpy()
        found = integrated_brier(rows["time"], rows["event"], risk, times, interval="influence")
        row = {
            "cohort": cohort_name(study, key),
            "key": key,
            "model": name,
            "n": len(rows),
            "Up to month": found.horizon,
        }
        row |= {"integrated Brier": found.integrated_brier, "ci_low": found.ci_low, "ci_high": found.ci_high}
        rows_found.append(row | {NULL: found.null, "scaled": found.scaled})
    return pd.DataFrame(rows_found)


def error_differences(models: list[tuple[str, str, pd.DataFrame, CoxFit]], study: Study) -> pd.DataFrame:
    """Return differences of the Brier score at the last usable horizon to the clinical baseline, in each cohort.

    The baseline is `survival.baseline`, or the Cox model of the covariates. Only patients that both models can predict
    enter: cohort, model, baseline, n, time, brier_a, brier_b, difference, ci_low, ci_high, p.
    """
    baseline, survival = study.survival.baseline or COVARIATES, study.endpoint.survival
    by_place = {(key, name): (rows.set_index("subject"), fit) for key, name, rows, fit in models}
    found = []
    for (key, name), (rows, fit) in by_place.items():
        if name in (baseline, COVARIATES) or (key, baseline) not in by_place:
            continue
        other_rows, other = by_place[key, baseline]
        both = rows.index.intersection(other_rows.index)
        times = [
            t for t in usable_times(rows.loc[both], survival.horizons_months if survival else []) if t <= _end(fit)
        ]
        if not times:
            continue
        own, theirs = rows.loc[both], other_rows.loc[both]
        risk, base = (1 - predict_survival(f, r, times[-1:]).to_numpy() for f, r in ((fit, own), (other, theirs)))
        table = brier_difference(own["time"], own["event"], risk, base, times[-1:])
        place = {"cohort": cohort_name(study, key), "model": name, "baseline": baseline, "n": len(both)}
        found.append(place | table.drop(columns=["se", "z"]).iloc[0].to_dict())
    return pd.DataFrame(found)
