"""TODO."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from radsupport.book.chapter import Chapter
from radsupport.book.tables import regression_table
from radsupport.errors import InputError, NotEstimableError
from radsupport.evaluate.calibration import groups_for
from radsupport.evaluate.discrimination import usable_times
from radsupport.evaluate.predictions import outcome, slug
from radsupport.evaluate.probability import (
    CLINICAL,
    NOMOGRAM,
    PREOPERATIVE,
    SIGNATURE,
    Model,
    event_risk,
    known_rows,
    label_of,
    references,
    refit_rows,
    risk_columns,
    usable_horizons,
)
from radsupport.nomogram.nomogram import Nomogram
from radsupport.plots.tidy import calibration_table
from radsupport.settings.study import Study
from radsupport.stats import cox, logistic
from radsupport.stats.bootstrap import Optimism, optimism
from radsupport.stats.calibration import (
    CalibrationSummary,
    calibration_curve,
    calibration_curve_survival,
    calibration_summary,
    hosmer_lemeshow,
)
from radsupport.stats.calibration_corrected import corrected_calibration, corrected_calibration_survival
from radsupport.stats.concordance import concordance, concordance_difference
from radsupport.stats.cox import CoxFit
from radsupport.stats.decision import net_benefit, net_benefit_survival
from radsupport.stats.reclassification import nri_idi, nri_idi_survival
from radsupport.stats.regression import settled, with_references
from radsupport.stats.roc import auc, delong_test
from radsupport.wording import estimate, fixed, listed, number, p_number

SCORES = [
    "cohort", "key", "model", "n", "fitted", "events", "measure", "value", "ci_low", "ci_high", "difference",
    "diff_low", "diff_high", "p",
]  # fmt: skip
#: Ends the name of a row in which a signature's own risk is judged in every patient, as chapter 06 does.
ALL_PATIENTS = ", all patients"
_NAN = float("nan")


def measure_of(study: Study) -> str:
    """Return what ranks patients here: AUC for a yes/no outcome, C-index for survival."""
    return "C-index" if study.nomogram.model == "cox" else "AUC"


def places(study: Study, table: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    """Return key, name and patients of every cohort, and of the named sets of cohorts of `survival.pooled`.

    Coefficients were fitted to the training patients: the names of places with such patients say "apparent".
    """
    found = []
    for key in study.cohorts:
        mark = ", apparent" if key == "train" else ""
        found.append((str(key), f"{study.cohort_names[key]}{mark}", table[table["cohort"] == key]))
    for name, members in study.survival.pooled.items():
        mark = ", partly apparent" if "train" in members else ""
        found.append((slug(name), f"{name}, pooled{mark}", table[table["cohort"].isin(list(members))]))
    return [(key, name, part) for key, name, part in found if len(part)]


def n_fitted(rows: pd.DataFrame) -> int:
    """Return how many of these patients the coefficients were fitted to."""
    return int((rows["cohort"] == "train").sum())


def common_rows(found: dict[str, Model], part: pd.DataFrame) -> pd.DataFrame:
    """Return the patients that every fitted model can predict."""
    for model in found.values():
        if model.fit is not None:
            part = known_rows(model, part)
    return part


def linear_predictor(model: Model, rows: pd.DataFrame) -> np.ndarray[Any, Any]:
    """Return the linear predictor of a fitted model, differences by rounding removed."""
    if model.fit is None:
        raise NotEstimableError(f"The {model.name} has no fit.")
    return settled(model.fit.linear_predictor(rows))


def scores(study: Study, found: dict[str, Model], table: pd.DataFrame) -> pd.DataFrame:
    """Return the discrimination of each model in each cohort, on the patients that all models can predict.

    Returns
    -------
    DataFrame
        cohort, key, model, n, fitted (how many of them the coefficients were fitted to), events, measure, value,
        ci_low, ci_high; difference, diff_low, diff_high, p: the nomogram minus this model (DeLong; for the C-index a
        paired bootstrap interval and P by the infinitesimal jackknife). NaN where it does not exist; no P where
        coefficients were fitted to these patients, to whom no test of nested models applies. Where patients are left
        out, the first signature's own risk has a row for all of them.
    """
    rows = []
    for key, name, part in places(study, table):
        usable = common_rows(found, part)
        for model in found.values():
            if model.fit is not None and len(usable):
                row = _place(key, name, model.name, usable) | _value(study, usable, linear_predictor(model, usable))
                rows.append(row | _difference(study, usable, found.get(NOMOGRAM), model))
        if len(usable) < len(part):
            signature, column = next(iter(risk_columns(study).items()))
            row = _place(key, name, f"{signature}{ALL_PATIENTS}", part) | {"fitted": 0}  # its risk is out of fold
            rows.append(row | _value(study, part, part[column]))
    return pd.DataFrame(rows, columns=SCORES)


def _place(key: str, name: str, model: str, rows: pd.DataFrame) -> dict[str, Any]:
    return {"cohort": name, "key": key, "model": model, "n": len(rows), "fitted": n_fitted(rows)}


def _value(study: Study, rows: pd.DataFrame, risk: Any) -> dict[str, Any]:
    event = "event" if study.nomogram.model == "cox" else "label"
    row: dict[str, Any] = {"events": int(rows[event].sum()), "measure": measure_of(study)}
    try:
        if study.nomogram.model == "cox":
            c = concordance(rows["time"], rows["event"], risk)
            return row | {"value": c.concordance, "ci_low": c.ci_low, "ci_high": c.ci_high}
        a = auc(rows["label"], risk)
        return row | {"value": a.auc, "ci_low": a.ci_low, "ci_high": a.ci_high}
    except NotEstimableError:
        return row | {"value": _NAN, "ci_low": _NAN, "ci_high": _NAN}


def _difference(study: Study, rows: pd.DataFrame, nomogram: Model | None, model: Model) -> dict[str, float]:
    nothing = {"difference": _NAN, "diff_low": _NAN, "diff_high": _NAN, "p": _NAN}
    if nomogram is None or nomogram.fit is None or model.name == NOMOGRAM:
        return nothing
    risks, honest = (linear_predictor(nomogram, rows), linear_predictor(model, rows)), not n_fitted(rows)
    try:
        if study.nomogram.model == "cox":
            c = concordance_difference(
                rows["time"], rows["event"], *risks, n_resamples=study.survival.bootstrap, seed=study.seed
            )
            return {
                "difference": c.difference,
                "diff_low": c.ci_low,
                "diff_high": c.ci_high,
                "p": c.p if honest else _NAN,
            }
        d = delong_test(rows["label"], *risks)
        return {"difference": d.difference, "diff_low": d.ci_low, "diff_high": d.ci_high, "p": d.p if honest else _NAN}
    except NotEstimableError:
        return nothing


def scores_shown(table: pd.DataFrame) -> pd.DataFrame:
    """Return `scores` as a page shows them: value and difference with their intervals in one cell."""
    shown = table[["cohort", "model", "n", "events"]].copy()
    measure = str(table["measure"].iloc[0])
    shown[f"{measure} (95% CI)"] = [worded(*row) for row in table[["value", "ci_low", "ci_high"]].to_numpy()]
    limits = table[["difference", "diff_low", "diff_high"]].to_numpy()
    shown["nomogram minus this (95% CI)"] = [worded(value, low, high, 3) for value, low, high in limits]
    return shown.assign(p=table["p"])


def worded(value: float, low: float, high: float, decimals: int = 2) -> str:
    """Word an estimate with its interval; a dash where it does not exist."""
    return "–" if np.isnan(value) else estimate(value, low, high, decimals)


def corrected(study: Study, model: Model, table: pd.DataFrame) -> Optimism | None:
    """Return the optimism-corrected discrimination of a model in training; None where it can not be refitted."""
    if model.fit is None:
        return None
    training = known_rows(model, table[table["cohort"] == "train"])
    reference, fit = references(study, training, model.columns), model.fit

    def refit(rows: pd.DataFrame) -> Model:
        return Model(model.name, model.columns, refit_rows(study, rows, model.columns, reference, fit.penalty), "")

    def measure(again: Model, rows: pd.DataFrame) -> float:
        return float(_value(study, rows, linear_predictor(again, rows))["value"])

    try:
        return optimism(training, refit, measure, study.nomogram.bootstrap, study.seed)
    except NotEstimableError:
        return None


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


Corrections = Mapping[str, Optimism | None]
_KEYS = {NOMOGRAM: "nomogram", PREOPERATIVE: "preoperative", SIGNATURE: "signature", CLINICAL: "clinical"}


def left_out_words(study: Study, found: Mapping[str, Model], table: pd.DataFrame) -> str:
    """Say how many patients of each cohort can not be judged and why; empty where everybody can.

    Parameters
    ----------
    study : Study
    found : mapping of name to Model
    table : DataFrame
        What `steps_model.predictor_table` returns.
    """
    columns = list(dict.fromkeys(c for model in found.values() if model.fit is not None for c in model.columns))
    words = []
    for key, _, part in places(study, table):
        usable = common_rows(dict(found), part)
        if key not in study.cohorts or len(usable) == len(part) or not columns:
            continue
        lost = part[~part["subject"].isin(usable["subject"])]
        missing = {column: int(lost[column].isna().sum()) for column in columns}
        reasons = [f"{label_of(study, column)} is missing in {n}" for column, n in missing.items() if n]
        unseen = int(lost[columns].notna().all(axis=1).sum())
        reasons += [f"{unseen} with a level that no training patient has"] if unseen else []
        words.append(f"{len(lost)} of the {len(part)} patients of {study.cohort_names[key]} ({'; '.join(reasons)})")
    if not words:
        return ""
    return (
        f"**Left out:** {listed(words)}. A nomogram can not be read without a value and nothing is filled in here, so "
        "all models of this page are judged in the other patients. The signature itself needs none of these values: "
        "its risk in all patients has a row of its own, which is the one to hold against the chapter on validation."
    )


def corrected_words(study: Study, found: Optimism | None, name: str = NOMOGRAM) -> str:
    """Say what is left of a model's training value after the correction."""
    if found is None:
        return f"The {name} can not be refitted often enough to measure its optimism."
    return (
        f"In training the {measure_of(study)} of the {name} is {fixed(found.apparent)} (apparent); "
        f"{found.n_resamples} bootstrap resamples put the optimism of fitting its coefficients at "
        f"{fixed(found.optimism, 3)}, which leaves {fixed(found.corrected)}. The risks of signatures are out of fold: "
        "their optimism is already taken out."
    )


def reading_words(study: Study, table: pd.DataFrame, corrections: Corrections) -> str:
    """Say per cohort what the nomogram reaches and whether it can be told from its parts and from its variant.

    Where coefficients were fitted to the patients there is no verdict: a larger model is never far below its parts
    there.

    Parameters
    ----------
    study : Study
    table : DataFrame
        What `steps_scores.scores` returns.
    corrections : mapping of model to Optimism or None
    """
    words, own = [], table[table["model"] == NOMOGRAM] if len(table) else table
    for row in own.to_dict("records"):
        here = table[table["key"] == row["key"]]
        text = f"- {row['cohort']}: {row['measure']} {worded(row['value'], row['ci_low'], row['ci_high'])}"
        if row["fitted"]:
            words.append(f"{text}{_fitted_words(row, here, corrections)}.")
            continue
        every = here[here["model"].str.endswith(ALL_PATIENTS)]
        size = f" in {row['n']} of {every['n'].iloc[0]} patients" if len(every) else ""
        gaps = here[here["model"].isin([SIGNATURE, CLINICAL])].dropna(subset=["difference"])
        parts = [_gap_words(study, gap) for gap in gaps.to_dict("records")]
        more = [f"; {listed(parts)}"] if parts else []
        more += [_variant_words(gap) for gap in here[here["model"] == PREOPERATIVE].to_dict("records")]
        more += [_every_words(one) for one in every.to_dict("records")]
        words.append(f"{text}{size}{''.join(more)}.")
    return "\n".join(words) if words else "No cohort has a value of the nomogram."


def _fitted_words(row: Mapping[Any, Any], here: pd.DataFrame, corrections: Corrections) -> str:
    """Say what a value is worth where the coefficients were fitted to all or some of the patients."""
    if row["fitted"] < row["n"]:
        return f", {row['fitted']} of the {row['n']} patients being those to whom the coefficients were fitted"
    kept = [f"corrected for optimism {fixed(found.corrected)}" for found in [corrections.get(NOMOGRAM)] if found]
    variant = corrections.get(PREOPERATIVE)
    if variant is not None:
        kept.append(f"the {PREOPERATIVE} {fixed(variant.apparent)}, corrected {fixed(variant.corrected)}")
    return f"; {'; '.join(kept)}" if kept else ""


def _gap_words(study: Study, gap: Mapping[Any, Any]) -> str:
    """Say whether the nomogram is above or below one of its parts, with the difference and its interval."""
    several = bool(study.nomogram.further_signatures)
    name = f"the {'signatures' if several else 'signature'} alone" if gap["model"] == SIGNATURE else f"the {CLINICAL}"
    size = f"{fixed(gap['difference'], 3)}, 95% CI {fixed(gap['diff_low'], 3)} to {fixed(gap['diff_high'], 3)}"
    if gap["diff_low"] > 0 or gap["diff_high"] < 0:
        return f"it is {'above' if gap['difference'] > 0 else 'below'} {name} (by {size})"
    return f"it can not be told from {name} (difference {size})"


def _variant_words(row: Mapping[Any, Any]) -> str:
    """Say what is left without what is known only after the operation."""
    text = f"; the {PREOPERATIVE}, the one that can guide treatment, "
    text += f"reaches {worded(row['value'], row['ci_low'], row['ci_high'])}"
    gap = [fixed(row[key], 3) for key in ("difference", "diff_low", "diff_high")]
    if pd.isna(row["difference"]):
        return text
    p = "" if pd.isna(row["p"]) else f", P {p_number(row['p'])}"
    return f"{text} (nomogram minus variant {gap[0]}, 95% CI {gap[1]} to {gap[2]}{p})"


def _every_words(row: Mapping[Any, Any]) -> str:
    value = worded(row["value"], row["ci_low"], row["ci_high"])
    return f"; {row['model'].removesuffix(ALL_PATIENTS)} in all {row['n']} patients: {row['measure']} {value}"


def publish(chapter: Chapter, table: pd.DataFrame, corrections: Corrections) -> None:
    """Publish each model's discrimination per cohort, and what the correction for optimism leaves in training.

    Keys are ``nomogram_train``, ``signature_external`` … (``signature_all_external``: its risk in all patients), and
    ``nomogram_corrected_train``, ``preoperative_corrected_train``.
    """
    for row in table.dropna(subset=["value"]).to_dict("records"):
        key = f"{_KEYS.get(row['model'], 'signature_all')}_{row['key']}"
        limits = (float(row["ci_low"]), float(row["ci_high"]))
        chapter.publish(key, float(row["value"]), n=int(row["n"]), ci=limits)
    sizes = table[table["key"] == "train"].set_index("model")["n"]
    for name, found in corrections.items():
        if found is not None and name in sizes:
            chapter.publish(f"{_KEYS[name]}_corrected_train", found.corrected, n=int(sizes[name]))


def reclassification(study: Study, found: dict[str, Model], table: pd.DataFrame) -> pd.DataFrame:
    """Return NRI and IDI of the nomogram against the signature alone and the clinical columns alone, per cohort.

    Returns
    -------
    DataFrame
        cohort, old, n, events, (month), nri, nri_low, nri_high, nri_events, nri_nonevents, idi, idi_low, idi_high and,
        for a yes/no outcome, p_nri, p_idi (missing where coefficients were fitted to these patients: the tests hold
        for other patients only). Any change of risk counts (continuous NRI).
    """
    new, rows = found.get(NOMOGRAM), []
    if new is None or new.fit is None:
        return pd.DataFrame()
    for _, name, part in places(study, table):
        usable = common_rows(found, part)
        for old in found.values():
            if old.fit is not None and old.name not in (NOMOGRAM, PREOPERATIVE) and len(usable):
                row = _reclassified(study, old, new, usable)
                rows += [{"cohort": name, "old": old.name, "n": len(usable)} | row] if row else []
    return pd.DataFrame(rows)


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """Return `reclassification` as a page shows it: each improvement with its interval in one cell."""
    kept = [c for c in ("cohort", "old", "n", "events", "month") if c in table]
    result = table[kept].rename(columns={"old": "nomogram instead of"})
    for name in ("nri", "idi"):
        limits = table[[name, f"{name}_low", f"{name}_high"]].to_numpy().round(2) + 0.0
        result[f"{name.upper()} (95% CI)"] = [estimate(value, low, high) for value, low, high in limits]
        if f"p_{name}" in table:
            result[f"P ({name.upper()})"] = table[f"p_{name}"]
    for name in ("events", "nonevents"):
        result[f"NRI, {name.replace('non', 'non-')}"] = [fixed(value) for value in table[f"nri_{name}"]]
    return result


def _reclassified(study: Study, old: Model, new: Model, rows: pd.DataFrame) -> dict[str, Any]:
    keys = ["nri", "nri_low", "nri_high", "nri_events", "nri_nonevents", "idi", "idi_low", "idi_high"]
    try:
        if isinstance(new.fit, CoxFit):
            month = last_horizon(study, new, rows)
            risks = event_risk(old, rows, month), event_risk(new, rows, month)
            s = nri_idi_survival(
                rows["time"], rows["event"], *risks, month, n_resamples=study.survival.bootstrap, seed=study.seed
            )
            return {"events": s.n_events, "month": month, **{key: getattr(s, key) for key in keys}}
        found = nri_idi(rows["label"], event_risk(old, rows), event_risk(new, rows))
        tests = {key: float("nan") if n_fitted(rows) else getattr(found, key) for key in ("p_nri", "p_idi")}
        return {"events": found.n_events, **{key: getattr(found, key) for key in keys}, **tests}
    except NotEstimableError:
        return {}


def last_horizon(study: Study, model: Model, rows: pd.DataFrame) -> float:
    """Return the last of the nomogram's horizons that these patients reach.

    Raises
    ------
    NotEstimableError
        They reach none.
    """
    times = usable_times(rows, usable_horizons(study, model.fit)) if isinstance(model.fit, CoxFit) else []
    if not times:
        raise NotEstimableError("Too few of these patients are followed to a horizon of the nomogram.")
    return times[-1]


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
    return logistic.univariable_table(rows, "label", [column], **options)


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
        return logistic.multivariable_table(training, "label", model.columns, **options)
    except NotEstimableError:  # a model without one of the predictors has no fit, so there is no test of it
        ratio = "hr" if study.nomogram.model == "cox" else "odds_ratio"
        return with_references(model.fit, ratio).assign(p_term=float("nan"))


def steps_regression_shown(
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
