"""Survival judged at the study's horizons: calibration and prediction error of locked probabilities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from radsupport.errors import NotEstimableError
from radsupport.report import tidy
from radsupport.study_schema import Study
from radsupport.survival.cox import fit_cox
from radsupport.survival.curves import kaplan_meier
from radsupport.survival.time_dependent import brier_difference, brier_score, integrated_brier
from radsupport.survival.times import integration_times
from radsupport.validation.calibration import calibration_curve_survival
from radsupport.validation.calibration_steps import flat, groups_for, slope_note
from radsupport.validation.predicted import judged, judged_part
from radsupport.validation.recalibration import Locked

#: Fewest events by a horizon, and fewest patients followed beyond it, for which a cohort is judged there.
FEWEST = 3


def horizons_of(study: Study) -> list[float]:
    """Return the horizons of the study (months), empty where it has no survival endpoint."""
    return list(study.endpoint.survival.horizons_months) if study.endpoint.survival else []


def usable_horizons(part: pd.DataFrame, horizons: Sequence[float]) -> list[float]:
    """Return the horizons (months) by which these patients had enough events and beyond which enough are followed."""
    events = [int(((part["time"] <= t) & (part["event"] == 1)).sum()) for t in horizons]
    beyond = [int((part["time"] > t).sum()) for t in horizons]
    return [t for t, a, b in zip(horizons, events, beyond, strict=True) if min(a, b) >= FEWEST]


def at_horizon(part: pd.DataFrame, locked: Locked, horizon: float) -> pd.DataFrame:
    """Return the patients with `probability`, that of the event by the horizon; those without one are left out."""
    found = part.assign(probability=locked.probability(part, horizon)[:, 0])
    return found.dropna(subset=["probability"])


def judged_at_horizons(
    predictions: pd.DataFrame, study: Study, locked: dict[str, Locked]
) -> Iterator[tuple[str, str, float, pd.DataFrame]]:
    """Yield cohort, signature, horizon and patients (`at_horizon`) wherever the horizon can be judged."""
    for cohort, name, part in judged(predictions, study):
        for horizon in usable_horizons(part, horizons_of(study)) if name in locked else []:
            rows = at_horizon(part, locked[name], horizon)
            if len(rows) and horizon in usable_horizons(rows, [horizon]):
                yield cohort, name, horizon, rows


def survival_calibration(rows: pd.DataFrame, horizon: float) -> tuple[pd.DataFrame, dict[str, float]]:
    """Return calibration at a horizon for `figures.calibration`: groups against Kaplan-Meier, and numbers.

    Returns
    -------
    table : DataFrame
        kind (grouped), predicted, observed, ci_low, ci_high.
    numbers : dict
        slope (as in `calibration_of`), observed / expected, those that exist.
    """
    groups = max(2, groups_for(len(rows)) // 2)
    grouped = calibration_curve_survival(rows["time"], rows["event"], rows["probability"], horizon, groups)
    found = calibration_of(rows, horizon)
    numbers = {"slope": found["slope"], "observed / expected": found["ratio"]}
    return tidy.calibration_table(grouped=grouped), {k: v for k, v in numbers.items() if np.isfinite(v)}


def calibration_of(rows: pd.DataFrame, horizon: float) -> dict[str, float]:
    """Return calibration at a horizon in numbers.

    Returns
    -------
    dict
        predicted (mean probability), observed (1 - Kaplan-Meier), ratio (observed / predicted) with limits, slope with
        limits: the Cox coefficient of log(-log(1 - probability)), follow-up cut at the horizon; 1 is ideal. NaN where
        it does not exist, or the probabilities hardly vary (`calibration_steps.flat`). (McLernon et al. 2023, Ann
        Intern Med 176:105.)
    """
    km = kaplan_meier(rows["time"], rows["event"], horizon).at_times.iloc[0]
    expected = float(rows["probability"].mean())
    ratio, low, high = ((1 - km[key]) / expected for key in ("survival", "ci_high", "ci_low"))
    numbers = {"predicted": expected, "observed": 1 - km["survival"], "ratio": ratio, "ratio_low": low}
    return numbers | {"ratio_high": high} | _slope(rows, horizon)


def _slope(rows: pd.DataFrame, horizon: float) -> dict[str, float]:
    p = rows["probability"].clip(1e-6, 1 - 1e-6)
    cut = pd.DataFrame({"time": rows["time"].clip(upper=horizon), "log_hazard": np.log(-np.log1p(-p))})
    cut["event"] = (rows["event"] == 1) & (rows["time"] <= horizon)
    try:
        fit = fit_cox(cut.astype(float), "time", "event", ["log_hazard"])
    except NotEstimableError:
        return {"slope": np.nan, "slope_low": np.nan, "slope_high": np.nan}
    slope, half = float(fit.coef.iloc[0]), 1.959963984540054 * float(fit.se.iloc[0])
    if flat(rows["probability"], slope - half, slope + half):
        return {"slope": np.nan, "slope_low": np.nan, "slope_high": np.nan}
    return {"slope": slope, "slope_low": slope - half, "slope_high": slope + half}


def calibration_at_horizons(predictions: pd.DataFrame, study: Study, locked: dict[str, Locked]) -> pd.DataFrame:
    """Return `calibration_of` for every cohort, signature and horizon: cohort, signature, horizon, n, events, …"""
    rows = []
    for cohort, name, horizon, part in judged_at_horizons(predictions, study, locked):
        by_then = int(((part["time"] <= horizon) & (part["event"] == 1)).sum())
        size = {"cohort": cohort, "signature": name, "horizon": horizon, "n": len(part), "events": by_then}
        found = calibration_of(part, horizon)
        rows.append(size | found | {"note": slope_note(found["slope"])})
    return pd.DataFrame(rows)


def brier_table(predictions: pd.DataFrame, study: Study, locked: dict[str, Locked]) -> pd.DataFrame:
    """Return the prediction error at each horizon, weighted for censoring.

    Returns
    -------
    DataFrame
        cohort, signature, horizon, n, brier, brier_low, brier_high (bootstrap), null (Kaplan-Meier of the same
        patients: an estimate that knows their outcomes), scaled (1 - brier / null), and difference, p against the
        comparator of the study (NaN for itself and without one).
    """
    rows = []
    for cohort, name, horizon, part in judged_at_horizons(predictions, study, locked):
        n, seed = study.validation.bootstrap, study.seed
        found = brier_score(part["time"], part["event"], part["probability"], horizon, n_resamples=n, seed=seed).iloc[0]
        row = {"cohort": cohort, "signature": name, "horizon": horizon, "n": len(part)}
        row |= {"brier": found["brier"], "brier_low": found["ci_low"], "brier_high": found["ci_high"]}
        row |= {"null": found["null"], "scaled": found["scaled"]}
        rows.append(row | _against_comparator(predictions, study, locked, cohort, part, horizon))
    return pd.DataFrame(rows)


def _against_comparator(
    predictions: pd.DataFrame, study: Study, locked: dict[str, Locked], cohort: str, part: pd.DataFrame, horizon: float
) -> dict[str, float]:
    name = study.validation.comparator
    if name not in locked or name == part["signature"].iloc[0]:
        return {"difference": np.nan, "p": np.nan}
    other = judged_part(predictions, study, cohort, name)
    both = part.merge(at_horizon(other, locked[name], horizon)[["subject", "probability"]], on="subject")
    if not usable_horizons(both, [horizon]):
        return {"difference": np.nan, "p": np.nan}
    risks = both["probability_x"], both["probability_y"]
    found = brier_difference(both["time"], both["event"], *risks, horizon).iloc[0]
    return {"difference": float(found["difference"]), "p": float(found["p"])}


def integrated_brier_table(predictions: pd.DataFrame, study: Study, locked: dict[str, Locked]) -> pd.DataFrame:
    """Return the prediction error averaged over time, up to the last horizon that a cohort can be judged at.

    Returns
    -------
    DataFrame
        cohort, signature, until (months), n, integrated_brier, ci_low, ci_high (Wald, influence function), null
        (Kaplan-Meier of the same patients), scaled.
    """
    rows = []
    for cohort, name, part in judged(predictions, study):
        usable = usable_horizons(part, horizons_of(study)) if name in locked else []
        if not usable:
            continue
        times = integration_times(part["time"], part["event"], max(usable))
        risk = locked[name].probability(part, times)
        known = ~np.isnan(risk).any(axis=1)
        kept = part[pd.Series(known, part.index)]
        if not usable_horizons(kept, [max(usable)]):
            continue
        found = integrated_brier(kept["time"], kept["event"], risk[known], times, interval="influence")
        row = {"cohort": cohort, "signature": name, "until": max(usable), "n": len(kept)}
        rows.append(
            row | {key: getattr(found, key) for key in ("integrated_brier", "ci_low", "ci_high", "null", "scaled")}
        )
    return pd.DataFrame(rows)
