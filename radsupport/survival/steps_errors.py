"""Chapter 07: how far predicted survival is from what happened, against Kaplan-Meier and clinical predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from radsupport.report.wording import listed
from radsupport.study_schema import Study
from radsupport.survival.event_probabilities import COVARIATES, Judged
from radsupport.survival.steps_horizons import FEWEST, usable_times
from radsupport.survival.time_dependent import brier_difference, brier_score, integrated_brier
from radsupport.survival.times import integration_times

NULL = "Kaplan–Meier"
HEADERS = {
    "time": "Month", "null": "Kaplan–Meier", "scaled": "Scaled", "brier_a": "Brier score", "brier_b": "of the baseline",
}  # fmt: skip
_POINTS = 25  # times of the curve


def horizon_errors(models: Sequence[Judged], study: Study) -> pd.DataFrame:
    """Return Brier scores at the study's horizons.

    Returns
    -------
    DataFrame
        cohort, key, model, n, time (months), brier, ci_low, ci_high (bootstrap), null (Kaplan-Meier of that cohort
        itself), scaled (1 - brier / null).
    """
    survival, tables = study.endpoint.survival, []
    for key, name, rows, probability, end in models:
        times = [t for t in usable_times(rows, survival.horizons_months if survival else []) if t <= end]
        if not times:
            continue
        risk = probability(rows, times)
        found = brier_score(
            rows["time"], rows["event"], risk, times, n_resamples=study.survival.bootstrap, seed=study.seed
        )
        place = {"cohort": study.cohort_names[key], "key": key, "model": name, "n": len(rows)}
        kept = ["time", "brier", "ci_low", "ci_high", "null", "scaled"]
        tables.append(pd.DataFrame([place] * len(found)).join(found[kept]))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _times(rows: pd.DataFrame, end: float, study: Study) -> np.ndarray[Any, Any]:
    """Return evenly spaced times of the curve."""
    last = _last(rows, end, study)
    return np.linspace(last / _POINTS, last, _POINTS)


def _last(rows: pd.DataFrame, end: float, study: Study) -> float:
    """Return where curve and integral end: at the last horizon, or as far as the model and enough patients reach.

    Beyond the end at least `FEWEST` patients are still followed, as an AUC at that time needs them.
    """
    survival = study.endpoint.survival
    wanted = min(max(survival.horizons_months) if survival else float("inf"), end)
    ends = np.sort(rows["time"].to_numpy(dtype=float))
    if int((ends > wanted).sum()) >= FEWEST:
        return wanted
    enough = [float(t) for t in np.unique(ends) if int((ends > t).sum()) >= FEWEST]
    return enough[-1] if enough else 0.0


def in_common(models: Sequence[Judged]) -> list[Judged]:
    """Return the models with, in each cohort, only the patients whom all of them can predict."""
    found = []
    for model in models:
        subjects = model.rows["subject"]
        kept = pd.Series(True, index=subjects.index)
        for other in models:
            kept &= subjects.isin(other.rows["subject"]) if other.cohort == model.cohort else True
        found.append(model._replace(rows=model.rows[kept]))
    return found


def common_words(models: Sequence[Judged], study: Study) -> str:
    """Say in which cohorts the curves of the error rest on fewer patients than the tables; empty where in none."""
    most: dict[str, int] = {}
    for model in models:
        most[model.cohort] = max(most.get(model.cohort, 0), len(model.rows))
    least = {model.cohort: len(model.rows) for model in in_common(models)}
    words = [f"{least[key]} of {n} in {study.cohort_names[key]}" for key, n in most.items() if least[key] < n]
    if not words:
        return ""
    return (
        f"The curves are of the patients whom all models can predict ({listed(words)}), against the Kaplan–Meier curve "
        "of the same patients. In the tables each model is judged, against that curve, in all whom it can predict."
    )


def error_curves(models: Sequence[Judged], study: Study) -> dict[str, pd.DataFrame]:
    """Return the Brier score over time by cohort (name and n): model, time, brier.

    Kaplan-Meier is one of the models. All are judged in the patients whom all of them can predict.
    """
    found: dict[str, list[pd.DataFrame]] = {}
    common = in_common(models)
    last = {model.cohort: min(m.end for m in common if m.cohort == model.cohort) for model in common}
    for key, name, rows, probability, _ in common:
        times = _times(rows, last[key], study)
        if not times.any():
            continue
        risk = probability(rows, times)
        table = brier_score(rows["time"], rows["event"], risk, times, interval="none")
        curves = found.setdefault(f"{study.cohort_names[key]} (n = {len(rows)})", [])
        if not curves:
            null = table[["time", "null"]].rename(columns={"null": "brier"})
            curves.append(null.assign(model=NULL))
        curves.append(table[["time", "brier"]].assign(model=name))
    return {cohort: pd.concat(curves, ignore_index=True) for cohort, curves in found.items()}


def integrated_errors(models: Sequence[Judged], study: Study) -> pd.DataFrame:
    """Return integrated Brier scores: cohort, model, n, up to month, integrated, CI, Kaplan-Meier's, scaled.

    Intervals are Wald's by the influence function.
    """
    rows_found = []
    for key, name, rows, probability, end in models:
        if not _last(rows, end, study):
            continue
        times = integration_times(rows["time"], rows["event"], _last(rows, end, study))
        risk = probability(rows, times)
        found = integrated_brier(rows["time"], rows["event"], risk, times, interval="influence")
        row = {
            "cohort": study.cohort_names[key],
            "key": key,
            "model": name,
            "n": len(rows),
            "Up to month": found.horizon,
        }
        row |= {"integrated Brier": found.integrated_brier, "ci_low": found.ci_low, "ci_high": found.ci_high}
        rows_found.append(row | {NULL: found.null, "scaled": found.scaled})
    return pd.DataFrame(rows_found)


def error_differences(models: Sequence[Judged], study: Study) -> pd.DataFrame:
    """Return differences of the Brier score at the last usable horizon to the clinical baseline, in each cohort.

    The baseline is `survival.baseline`, or the Cox model of the covariates. Only patients that both models can predict
    enter: cohort, model, baseline, n, time, brier_a, brier_b, difference, ci_low, ci_high, p.
    """
    baseline, survival = study.survival.baseline or COVARIATES, study.endpoint.survival
    by_place = {(model.cohort, model.name): model for model in models}
    found = []
    for (key, name), model in by_place.items():
        if name in (baseline, COVARIATES) or (key, baseline) not in by_place:
            continue
        other = by_place[key, baseline]
        both = model.rows["subject"][model.rows["subject"].isin(other.rows["subject"])]
        own, theirs = (one.rows.set_index("subject").loc[both].reset_index() for one in (model, other))
        wanted = usable_times(own, survival.horizons_months if survival else [])
        times = [t for t in wanted if t <= min(model.end, other.end)]
        if not times:
            continue
        risk, base = model.probability(own, times[-1:]), other.probability(theirs, times[-1:])
        table = brier_difference(own["time"], own["event"], risk, base, times[-1:])
        place = {"cohort": study.cohort_names[key], "model": name, "baseline": baseline, "n": len(both)}
        found.append(place | table.drop(columns=["se", "z"]).iloc[0].to_dict())
    return pd.DataFrame(found)
