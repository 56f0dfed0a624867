"""Calibration per cohort: curves, numbers, and correction for optimism, of a label and of survival at a horizon."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from radsupport.errors import NotEstimableError
from radsupport.modelling.regression import fit_logistic
from radsupport.report import tidy
from radsupport.report.wording import fixed
from radsupport.study_schema import Signature, Study
from radsupport.survival.cox import fit_cox, predict_survival
from radsupport.validation.calibration import (
    calibration_curve,
    calibration_summary,
    corrected_calibration,
    corrected_calibration_survival,
    hosmer_lemeshow,
)
from radsupport.validation.predicted import honest, is_label, judged, outcome_columns
from radsupport.validation.recalibration import Locked, log_odds

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
    for cohort, name, part in judged(predictions, study):
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
