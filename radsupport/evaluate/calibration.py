"""Chapter 08: whether the nomogram's probabilities are right, and whether acting on them would help.

Chapter 07: how far predicted survival is from what happened, against Kaplan-Meier and clinical predictions.

Whether a single patient makes a calibration slope: the slope without him, where that changes much.

Calibration per cohort: curves, numbers, and correction for optimism, of a label and of survival at a horizon.

Survival judged at the study's horizons: calibration and prediction error of locked probabilities.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from radsupport.checks import FloatArray, IntArray
from radsupport.errors import NotEstimableError
from radsupport.evaluate.discrimination import FEWEST as discrimination_FEWEST
from radsupport.evaluate.discrimination import usable_times
from radsupport.evaluate.predictions import honest, is_label, judged_of, judged_part, outcome_columns
from radsupport.evaluate.probability import COVARIATES, Judged, Locked, log_odds
from radsupport.plots import tidy
from radsupport.settings.learning import Signature
from radsupport.settings.study import Study
from radsupport.stats.brier import brier_difference, brier_score, integrated_brier
from radsupport.stats.calibration import (
    calibration_curve,
    calibration_curve_survival,
    calibration_summary,
    hosmer_lemeshow,
    recalibration_fit,
)
from radsupport.stats.calibration_corrected import corrected_calibration, corrected_calibration_survival
from radsupport.stats.cox import fit_cox, predict_survival
from radsupport.stats.logistic import fit_logistic
from radsupport.stats.survival_curves import integration_times, kaplan_meier
from radsupport.wording import fixed

NULL = "Kaplan–Meier"

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
    if int((ends > wanted).sum()) >= discrimination_FEWEST:
        return wanted
    enough = [float(t) for t in np.unique(ends) if int((ends > t).sum()) >= discrimination_FEWEST]
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


NUMBERS = (
    "slope", "slope_low", "slope_high", "intercept_in_the_large", "in_the_large_low", "in_the_large_high", "ici",
    "brier", "brier_scaled",
)  # fmt: skip

#: Fewest patients through whose outcomes a smooth curve is drawn, or measured (ICI): it would follow single patients.
FEWEST_SMOOTHED = 40
#: A slope is not given where the probabilities' standard deviation is below the first, or its 95% interval wider than
#: the second: probabilities that hardly vary leave nothing to be sloped.
_FLAT, _WIDEST = 0.01, 100.0
#: Groups of the optimism-corrected calibration of survival: each has to hold events in most resamples.
_SURVIVAL_GROUPS = 3
#: Resamples of the optimism at most, except in the profile `paper`: each refits a model.
_FEW = 200


def groups_for(n: int) -> int:
    """Return into how many groups of risk `n` patients are divided: about ten patients each, three to ten groups."""
    return int(np.clip(n // 10, 3, 10))


def calibration_tables(part: pd.DataFrame, groups: int = 0) -> tuple[pd.DataFrame, dict[str, float]]:
    """Return a cohort's calibration for `figures.calibration`, and its intercept, slope and Brier score.

    Parameters
    ----------
    part : DataFrame
        label, and risk or (where there is one) probability.
    groups : int
        0: as `groups_for`.

    Returns
    -------
    table : DataFrame
        kind (apparent: a loess through the honest predictions; grouped), predicted, observed, ci_low, ci_high. The
        curve goes from the 5th smallest to the 5th largest probability, as rms::calibrate; there is none for fewer than
        `FEWEST_SMOOTHED` patients or five different probabilities.
    numbers : dict
        slope, intercept (in the large), ICI (integrated calibration index) and Brier, those that exist.
    """
    p = (part["probability"] if "probability" in part else part["risk"]).clip(1e-6, 1 - 1e-6)
    grouped = calibration_curve(part["label"], p, groups=groups or groups_for(len(part)))
    smooth = None
    if p.drop_duplicates().size >= 5 and len(p) >= FEWEST_SMOOTHED:
        smooth = calibration_curve(part["label"], p, method="loess", span=0.9)
        inside = smooth["predicted"].between(*np.sort(p.to_numpy())[[4, -5]])
        smooth = smooth[inside] if inside.sum() > 1 else None
    found = numbers_that_count(part["label"], p)
    words = {"slope": "slope", "intercept_in_the_large": "intercept", "ici": "ICI", "brier": "Brier"}
    numbers = {name: found[key] for key, name in words.items()}
    return tidy.calibration_table(smooth, grouped), {k: v for k, v in numbers.items() if np.isfinite(v)}


def numbers_that_count(label: Any, p: Any) -> dict[str, float]:
    """Return `NUMBERS` of `calibration_summary`, without those that so few patients, or so flat a risk, can not give.

    The ICI is NaN for fewer than `FEWEST_SMOOTHED` patients, the slope with its limits where `flat` says so.
    """
    found = calibration_summary(label, p)
    row = {key: float(getattr(found, key)) for key in NUMBERS}
    if found.n < FEWEST_SMOOTHED:
        row["ici"] = np.nan
    if flat(p, row["slope_low"], row["slope_high"]):
        row |= dict.fromkeys(("slope", "slope_low", "slope_high"), np.nan)
    return row


def flat(p: Any, low: float, high: float) -> bool:
    """Whether probabilities hardly vary (standard deviation below 0.01), or their slope's limits lie 100 apart."""
    return bool(np.std(np.asarray(p, dtype=float), ddof=1) < _FLAT or high - low > _WIDEST)


def slope_note(slope: float) -> str:
    """Say why a slope is missing; empty where it is not."""
    return "no slope: the probabilities hardly vary, or separate the outcomes" if np.isnan(slope) else ""


def calibration_numbers(predictions: pd.DataFrame, study: Study, locked: dict[str, Locked]) -> pd.DataFrame:
    """Return the calibration of every signature in every cohort, in numbers.

    Returns
    -------
    DataFrame
        cohort, signature, n, events, predicted (mean), observed (share), slope, intercept in the large (each with
        limits), ici, brier, brier_scaled (`numbers_that_count`), note, hl_groups, hl_chi2, hl_df, hl_p (Hosmer-Lemeshow
        for predictions that were not fitted to these outcomes: as many degrees of freedom as groups).
    """
    rows = []
    for cohort, name, part in judged_of(predictions, study):
        if name not in locked or part["label"].nunique() < 2:
            continue
        p = locked[name].probability(part)
        events = int(part["label"].sum())
        row: dict[str, object] = {"cohort": cohort, "signature": name, "n": len(part), "events": events}
        row |= {"predicted": float(p.mean()), "observed": events / len(part)}
        found = numbers_that_count(part["label"], p)
        rows.append(row | found | {"note": slope_note(found["slope"])} | _hosmer_lemeshow(part["label"], p))
    return pd.DataFrame(rows)


def in_two(numbers: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the table of numbers in two that fit a page, under words for their captions."""
    second = ["ici", "brier", "brier_scaled", "hl_groups", "hl_chi2", "hl_df", "hl_p"]
    if not set(second) <= set(numbers.columns):
        return {"Calibration in numbers": numbers}
    whole, errors = numbers.drop(columns=second), numbers[["cohort", "signature", "n", "events", *second]]
    return {"Calibration on the whole and its slope": whole, "Errors of calibration and its test": errors}


def _hosmer_lemeshow(label: Any, p: Any) -> dict[str, float]:
    test = hosmer_lemeshow(label, p, groups_for(len(p)), external=True)
    return {"hl_groups": test.groups, "hl_chi2": test.chi2, "hl_df": test.df, "hl_p": test.p}


def last_step_table(
    predictions: pd.DataFrame, study: Study, signature: str, cohort: pd.DataFrame | None
) -> tuple[pd.DataFrame, list[str]]:
    """Return what the last step of a signature is fitted on: out-of-fold risks of its parts, and its columns.

    Parts and columns are those of a signature that combines others by a regression; any other one is its own only
    part. Risks of a label are log odds. Training patients with missing values are left out.

    Returns
    -------
    table : DataFrame
        The outcome and one column per term.
    terms : list of str
    """
    described: Signature = study.signature(signature)
    combined = described.combines and described.learner in ("Logistic", "Cox")
    parts = described.combines if combined else [signature]
    train = honest(predictions, "train").dropna(subset=outcome_columns(study))
    table = train.drop_duplicates("subject").set_index("subject")[outcome_columns(study)]
    terms = {
        f"part_{i}": train[train["signature"] == name].set_index("subject")["risk"] for i, name in enumerate(parts)
    }
    for term, risk in terms.items():
        inside = is_label(study) and risk.between(0, 1).all()
        table[term] = pd.Series(log_odds(risk), risk.index) if inside else risk
    columns = described.columns if combined and cohort is not None else []
    if columns and cohort is not None:
        table = table.join(cohort.set_index("subject")[columns])
    return table.dropna().reset_index(drop=True), [*terms, *columns]


def bootstrap_corrected(
    predictions: pd.DataFrame, study: Study, signature: str, cohort: pd.DataFrame | None, horizon: float = 0.0
) -> pd.DataFrame:
    """Return apparent and optimism-corrected calibration of a signature's last step in the training cohort.

    The last step (`last_step_table`) is a regression that can be refitted in every resample; what came before it enters
    as out-of-fold risks, which carry no optimism.

    Returns
    -------
    DataFrame
        kind (apparent, corrected), predicted, observed, for `figures.calibration`; for survival kind is grouped for
        the apparent points. ``attrs``: n, resamples (that could be fitted), drawn (resamples in all: those of the study
        file, in the profile `demo` 200 at most).

    Raises
    ------
    NotEstimableError
        Too few patients or events (a smooth curve, of a label, needs `FEWEST_SMOOTHED` patients), nothing that varies,
        or a single risk that ranks backwards: the refitted step would turn it round and look calibrated.
    """
    table, terms = last_step_table(predictions, study, signature, cohort)
    n = study.validation.bootstrap if study.profile == "paper" else min(study.validation.bootstrap, _FEW)
    _refuse_backwards(table, terms, study)
    if is_label(study):
        _refuse_few(table)
        found = corrected_calibration(table, "label", _logistic(terms), _probability, n, study.seed)
        shown = tidy.calibration_table(found)
    else:
        predict = _event_by(horizon)
        found = corrected_calibration_survival(
            table,
            "time",
            "event",
            horizon,
            _cox(terms),
            predict,
            _SURVIVAL_GROUPS,
            n,
            study.seed,
        )
        shown = tidy.calibration_table(found)
    shown.attrs = {"n": len(table), "resamples": int(found["n_resamples"].max()), "drawn": n}
    return shown


def _refuse_few(table: pd.DataFrame) -> None:
    """Raise where a smooth curve would follow single patients."""
    if len(table) < FEWEST_SMOOTHED:
        raise NotEstimableError(
            f"{len(table)} patients are too few for a smooth curve, which needs {FEWEST_SMOOTHED} or more."
        )


def _refuse_backwards(table: pd.DataFrame, terms: list[str], study: Study) -> None:
    """Raise where the only term of the last step ranks the training patients backwards."""
    if len(terms) > 1:
        return
    fit = fit_logistic(table, "label", terms) if is_label(study) else fit_cox(table, "time", "event", terms)
    slope = float(fit.coef.iloc[0])
    if slope <= 0:
        raise NotEstimableError(
            f"in training a higher risk did not mean more events (slope {fixed(slope)}); a refit would turn it round."
        )


def _logistic(terms: list[str]) -> Callable[[pd.DataFrame], Any]:
    return lambda rows: fit_logistic(rows, "label", terms)


def _cox(terms: list[str]) -> Callable[[pd.DataFrame], Any]:
    return lambda rows: fit_cox(rows, "time", "event", terms)


def _probability(model: Any, rows: pd.DataFrame) -> Any:
    return model.predict(rows)


def _event_by(horizon: float) -> Callable[[Any, pd.DataFrame], Any]:
    def predict(model: Any, rows: pd.DataFrame) -> Any:
        risk = 1 - predict_survival(model, rows, horizon).to_numpy()[:, 0]
        if np.isnan(risk).any():
            raise NotEstimableError(f"A resample is not followed to the horizon {horizon:g}.")
        return risk

    return predict


#: How many patients the slope is refitted without: these of the largest one-step change, and of the largest leverage.
_REFITTED = 5
_Z = 1.959963984540054


def influential_patients(predictions: pd.DataFrame, study: Study, locked: dict[str, Locked]) -> pd.DataFrame:
    """Return where leaving out one patient changes the slope of a label by more than half its interval's width.

    Returns
    -------
    DataFrame
        cohort, signature, n, subject, risk (probability), slope, slope_without: the most influential patient of each
        cohort and signature, where there is one.
    """
    rows = []
    for cohort, name, part in judged_of(predictions, study):
        if name in locked and part["label"].nunique() == 2:
            found = most_influential(part["label"], locked[name].probability(part))
            if found:
                place = found.pop("place")
                row = {"cohort": cohort, "signature": name, "n": len(part), "subject": part["subject"].iloc[int(place)]}
                rows.append(row | found)
    return pd.DataFrame(rows, columns=["cohort", "signature", "n", "subject", "risk", "slope", "slope_without"])


def most_influential(label: Any, p: Any) -> dict[str, float]:
    """Return the patient without whom the recalibration slope differs by more than half its interval's width.

    Parameters
    ----------
    label : array-like of 0/1, shape (n,)
    p : array-like of probabilities, shape (n,)
        Those of exactly 0 or 1 are left out, as in `calibration_summary`.

    Returns
    -------
    dict
        place (in `p`), risk, slope, slope_without; empty where nobody changes it that much, or there is no slope.

    Notes
    -----
    The slope is refitted without those patients only whom the one-step change of the coefficients (Pregibon 1981, Ann
    Stat 9:705) or their leverage makes suspect.
    """
    risk = np.asarray(p, dtype=float)
    inside = np.flatnonzero((risk > 0) & (risk < 1))
    y, logit = np.asarray(label)[inside].astype(np.int64), special.logit(risk[inside])
    intercept, slope, _, se = recalibration_fit(y, logit)
    if not np.isfinite(slope) or flat(risk, slope - _Z * se, slope + _Z * se):
        return {}
    without = {i: _slope_without(y, logit, i) for i in _suspects(y, logit, intercept, slope)}
    changes = {i: abs(value - slope) for i, value in without.items() if np.isfinite(value)}
    first = max(changes, key=lambda i: changes[i], default=None)
    if first is None or changes[first] <= _Z * se:
        return {}
    place = int(inside[first])
    return {"place": place, "risk": float(risk[place]), "slope": slope, "slope_without": without[first]}


def _suspects(y: IntArray, logit: FloatArray, intercept: float, slope: float) -> list[int]:
    """Return the patients of the largest one-step changes of the slope, and of the largest leverages."""
    share = special.expit(intercept + slope * logit)
    weight = share * (1 - share)
    design = np.column_stack([np.ones(logit.size), logit])
    covariance = np.linalg.pinv(design.T @ (design * weight[:, None]))
    leverage = weight * np.einsum("ij,jk,ik->i", design, covariance, design)
    change = np.abs((design @ covariance)[:, 1] * (y - share) / np.clip(1 - leverage, 1e-9, None))
    order = [*np.argsort(-change, kind="stable")[:_REFITTED], *np.argsort(-leverage, kind="stable")[:_REFITTED]]
    return [int(i) for i in dict.fromkeys(order)]


def _slope_without(y: IntArray, logit: FloatArray, i: int) -> float:
    y, logit = np.delete(y, i), np.delete(logit, i)
    return recalibration_fit(y, logit)[1] if np.ptp(logit) > 0 else float("nan")


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
    for cohort, name, part in judged_of(predictions, study):
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
    for cohort, name, part in judged_of(predictions, study):
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
