"""Chapter 08: whether the nomogram's probabilities are right, and whether acting on them would help."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from radsupport.errors import InputError, NotEstimableError
from radsupport.nomogram.steps_model import (
    NOMOGRAM,
    Model,
    event_risk,
    known_rows,
    references,
    refit_rows,
    usable_horizons,
)
from radsupport.nomogram.steps_scores import common_rows, n_fitted, places, worded
from radsupport.report.tidy import calibration_table
from radsupport.report.wording import fixed, listed
from radsupport.study_schema import Study
from radsupport.survival.cox import CoxFit
from radsupport.survival.steps_groups import outcome
from radsupport.survival.steps_horizons import usable_times
from radsupport.validation.calibration import (
    CalibrationSummary,
    calibration_curve,
    calibration_curve_survival,
    calibration_summary,
    corrected_calibration,
    corrected_calibration_survival,
    hosmer_lemeshow,
)
from radsupport.validation.calibration_steps import groups_for
from radsupport.validation.decision import net_benefit, net_benefit_survival

Panel = tuple[str, pd.DataFrame, dict[str, Any]]
#: Groups of risk at most in the calibration of survival: each has to hold events.
GROUPS = 5
#: Patients from which a smooth calibration curve is drawn and calibration is tested; fewer are shown in groups only.
SMOOTH = 40
HOSMER_LEMESHOW = ("groups", "chi2 (Hosmer–Lemeshow)", "df", "P (Hosmer–Lemeshow)")
_SMALL = 1e-6  # calibration on the log-odds scale needs probabilities inside 0 to 1


def calibration_panels(study: Study, model: Model, table: pd.DataFrame) -> list[Panel]:
    """Return title, calibration and options of a panel per cohort (and per horizon for survival).

    The training cohort has its curve corrected for optimism beside the apparent one. Fewer than `SMOOTH` patients are
    shown in groups only; a cohort in which calibration can not be drawn is left out.
    """
    found = []
    for key, name, part in places(study, table):
        rows = known_rows(model, part)
        for horizon in horizons(study, model, rows):
            try:
                drawn = _survival(study, model, rows, key, horizon) if horizon else _binary(study, model, rows, key)
            except (NotEstimableError, InputError):
                continue
            where = f"{name} and corrected" if (drawn["kind"] == "corrected").any() else name
            title = f"{where}, {horizon:g} months" if horizon else where
            risk = event_risk(model, rows, horizon)
            options = {"outcome": _outcome_words(study, horizon), "risks": risk}
            found.append((f"{title} (n = {len(rows)})", drawn, options))
    return found


def curve_words(study: Study, model: Model, table: pd.DataFrame) -> str:
    """Say in which cohorts a label's calibration has no curve, and why; empty where all have one."""
    if isinstance(model.fit, CoxFit) or model.fit is None:
        return ""
    sizes = {name: len(known_rows(model, part)) for _, name, part in places(study, table)}
    few = [f"{name} (n = {n})" for name, n in sizes.items() if 0 < n < SMOOTH]
    if not few:
        return ""
    return (
        f"{listed(few)}: groups only, and so no corrected curve. A smooth curve through fewer than {SMOOTH} patients "
        "would follow single ones."
    )


def horizons(study: Study, model: Model, rows: pd.DataFrame) -> list[float | None]:
    """Return the horizons at which a Cox nomogram can be judged in these patients; [None] for a yes/no outcome."""
    if not isinstance(model.fit, CoxFit):
        return [None] if model.fit is not None and len(rows) else []
    return list(usable_times(rows, usable_horizons(study, model.fit)))


def _outcome_words(study: Study, horizon: float | None) -> str:
    label = study.endpoint.label
    if horizon:
        return f"risk of {outcome(study).event_name} by {horizon:g} months"
    return f"probability of {label.name}" if label else "probability"


def _binary(study: Study, model: Model, rows: pd.DataFrame, key: str) -> pd.DataFrame:
    grouped = calibration_curve(rows["label"], event_risk(model, rows), groups=groups_for(len(rows)))
    if len(rows) < SMOOTH:
        return calibration_table(None, grouped)
    if key != "train":
        smooth = calibration_curve(rows["label"], event_risk(model, rows), method="loess", span=0.9)
        return calibration_table(smooth, grouped)
    corrected = corrected_calibration(
        rows, "label", _refitted(study, model, rows), event_risk, study.nomogram.bootstrap, study.seed
    )
    return calibration_table(corrected, grouped)


def _survival(study: Study, model: Model, rows: pd.DataFrame, key: str, horizon: float) -> pd.DataFrame:
    groups = min(GROUPS, max(2, int(rows["event"].sum()) // 10))
    grouped = calibration_curve_survival(rows["time"], rows["event"], event_risk(model, rows, horizon), horizon, groups)
    if key != "train":
        return calibration_table(None, grouped)
    corrected = corrected_calibration_survival(
        rows, "time", "event", horizon, _refitted(study, model, rows),
        lambda again, some: event_risk(again, some, horizon), groups, study.nomogram.bootstrap, study.seed,
    )  # fmt: skip
    return calibration_table(corrected[["predicted", "apparent", "corrected"]], grouped)


def _refitted(study: Study, model: Model, rows: pd.DataFrame) -> Any:
    """Return the function that refits the model to a resample."""
    reference = references(study, rows, model.columns)
    penalty = model.fit.penalty if model.fit is not None else "none"

    def refit(drawn: pd.DataFrame) -> Model:
        try:
            return Model(model.name, model.columns, refit_rows(study, drawn, model.columns, reference, penalty), "")
        except InputError as error:  # a level that the resample does not hold
            raise NotEstimableError(error.message) from error

    return refit


def calibration_numbers(study: Study, model: Model, table: pd.DataFrame) -> pd.DataFrame:
    """Return calibration in numbers per cohort, for a yes/no outcome.

    Returns
    -------
    DataFrame
        cohort, n, events, slope and intercept (in the large; both in words, with 95% CI), Brier score, scaled, and
        groups, chi2, df, P of Hosmer-Lemeshow (missing for fewer than `SMOOTH` patients, and where only some of them
        are those of the fit, so that neither number of degrees of freedom is right; without any such columns where no
        cohort has the test). Empty for survival, whose calibration is in the figure.
    """
    rows = []
    for _, name, part in places(study, table):
        known = known_rows(model, part)
        if isinstance(model.fit, CoxFit) or model.fit is None or known["label"].nunique() < 2:
            continue
        risk = np.clip(event_risk(model, known), _SMALL, 1 - _SMALL)
        found = calibration_summary(known["label"], risk)
        row = {"cohort": name, "n": len(known), "events": found.events} | _slope_words(found, model, known)
        row |= {"Brier score": found.brier, "scaled": found.brier_scaled}
        rows.append(row | _hosmer_lemeshow(known, risk))
    numbers = pd.DataFrame(rows)
    empty = bool(rows) and numbers[HOSMER_LEMESHOW[-1]].isna().all()
    return numbers.drop(columns=list(HOSMER_LEMESHOW)) if empty else numbers


def _slope_words(found: CalibrationSummary, model: Model, rows: pd.DataFrame) -> dict[str, str]:
    """Word slope and intercept; a maximum-likelihood fit makes them 1 and 0 in its own patients."""
    titles = "slope (95% CI)", "intercept (95% CI)"
    if n_fitted(rows) == len(rows) and model.fit is not None and model.fit.penalty == "none":
        return dict(zip(titles, ("1 by construction", "0 by construction"), strict=True))
    slope = found.slope, found.slope_low, found.slope_high
    intercept = found.intercept_in_the_large, found.in_the_large_low, found.in_the_large_high
    return {titles[0]: worded(*slope), titles[1]: worded(*intercept)}


def _hosmer_lemeshow(rows: pd.DataFrame, risk: Any) -> dict[str, float]:
    fitted, found = n_fitted(rows), dict.fromkeys(HOSMER_LEMESHOW, float("nan"))
    if len(rows) < SMOOTH or fitted not in (0, len(rows)):
        return found
    try:
        test = hosmer_lemeshow(rows["label"], risk, groups_for(len(rows)), external=not fitted)
    except NotEstimableError:
        return found
    return dict(zip(HOSMER_LEMESHOW, (test.groups, test.chi2, test.df, test.p), strict=True))


def decision_panels(study: Study, found: dict[str, Model], table: pd.DataFrame) -> list[Panel]:
    """Return title, net benefit and options of a panel per cohort: every model against treating all and none.

    A Cox nomogram is judged at its last horizon that the cohort reaches.
    """
    panels: list[Panel] = []
    low, high = study.validation.decision_thresholds
    marks = np.round(np.arange(low, high + 1e-9, 0.01), 4)
    for _, name, part in places(study, table):
        rows = common_rows(found, part)
        usable = horizons(study, found[NOMOGRAM], rows)
        if not usable:
            continue
        horizon = usable[-1]
        risks = {m.name: event_risk(m, rows, horizon) for m in found.values() if m.fit is not None}
        try:
            if horizon:
                curves = net_benefit_survival(rows["time"], rows["event"], risks, horizon, marks)
            else:
                curves = net_benefit(rows["label"], risks, marks)
        except NotEstimableError:
            continue
        title = f"{name}, {horizon:g} months" if horizon else name
        panels.append((f"{title} (n = {len(rows)})", curves.dropna(subset=["net_benefit"]), {}))
    return panels


def single_words(study: Study, found: dict[str, Model], table: pd.DataFrame) -> str:
    """Say where the jumps of a decision curve are single patients; empty where cohorts are larger."""
    sizes = {name: len(common_rows(found, part)) for _, name, part in places(study, table)}
    few = [f"{name} (n = {n}) {fixed(1 / n)}" for name, n in sizes.items() if 0 < n < SMOOTH]
    if not few:
        return ""
    text = f"One patient with the event is worth about this much net benefit: {listed(few)}. "
    return f"{text}Jumps there are single patients."
