"""What the figures of chapter 06 are drawn from: one (title, table, options) per panel, for `figures.panels`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from radsupport.cohort.comparison import compare_groups
from radsupport.errors import NotEstimableError
from radsupport.report.wording import fixed, listed, p_value
from radsupport.schema_validation import Subgroup
from radsupport.study_schema import Study
from radsupport.validation.calibration_steps import bootstrap_corrected, calibration_tables
from radsupport.validation.classification import COUNTS, RULES, classification_table, operating_points, rule_of
from radsupport.validation.discrimination import apparent_curves, roc_table
from radsupport.validation.horizon_steps import at_horizon, horizons_of, survival_calibration, usable_horizons
from radsupport.validation.predicted import (
    best_signature,
    families,
    is_label,
    is_published,
    judged_cohorts,
    judged_part,
)
from radsupport.validation.recalibration import Locked
from radsupport.validation.subgroups import subgroup_curves
from radsupport.validation.usefulness import decision_table

Panel = tuple[str, pd.DataFrame, dict[str, Any]]
_MOST_CURVES, _MOST_BARS = 5, 150


def title_of(study: Study, cohort: str, rows: int | None = None, names: Sequence[str] = ()) -> str:
    """Return a panel's title: the cohort's name, how these signatures are judged in it, and how many patients."""
    how = ""
    if cohort == "train":
        given = [name for name in names if is_published(study, name)]
        among = f"; {listed(given)} as published" if given else ""
        how = ", published output" if given and len(given) == len(names) else f", out of fold{among}"
    return f"{study.cohort_names[cohort]}{how}" + (f" (n = {rows})" if rows is not None else "")


def classes_of(study: Study) -> tuple[str, str]:
    """Return the names of the classes 0 and 1."""
    label = study.endpoint.label
    return (label.negative, label.positive) if label and is_label(study) else ("no event seen", "event")


def roc_panels(predictions: pd.DataFrame, study: Study, names: Sequence[str], classified: pd.DataFrame) -> list[Panel]:
    """Return ROC curves: training apparent, training out of fold, the other cohorts; with the locked thresholds."""
    parts: list[Panel] = []
    apparent = apparent_curves(predictions, names)
    if len(apparent):
        size = int(apparent["n"].max())
        parts.append((f"{study.cohorts['train'].name}, apparent (n = {size})", apparent, {}))
    for cohort in judged_cohorts(predictions, study):
        curves = roc_table(predictions, study, cohort, names)
        if len(curves):
            own = list(curves["signature"].unique())
            marks = operating_points(classified, cohort, own)
            title = title_of(study, cohort, int(curves["n"].max()), own)
            parts.append((title, curves, {"operating_points": marks if len(marks) else None}))
    return parts


def roc_groups(predictions: pd.DataFrame, study: Study) -> list[tuple[str, list[str]]]:
    """Return name and signatures of the groups whose curves are drawn together.

    The comparisons of up to five signatures (of a larger one the curves could not be told apart), else whatever there
    is: the one comparison, or the best signature alone.
    """
    groups = [(family.name, family.signatures) for family in families(predictions, study)]
    small = [group for group in groups if len(group[1]) <= _MOST_CURVES]
    return small or groups or [("the only signature", [best_signature(study)])]


def roc_layout(names: Sequence[str]) -> dict[str, Any]:
    """Return columns, width and height of `figures.panels` for so many curves: the legend of many stands beside."""
    many = len(names) > _MOST_CURVES
    return {"columns": 1 if many else 2, "width": 9.4 if many else 5.4, "height": 5.2}


def matrix_layout(pairs: pd.DataFrame) -> dict[str, float]:
    """Return width and height of `figures.panels` for a matrix of these pairs."""
    side = 3.6 + 0.5 * (1 + pairs["signature_b"].drop_duplicates().size)
    return {"width": side, "height": side - 0.8}


def matrix_panels(pairs: pd.DataFrame, study: Study) -> list[Panel]:
    """Return the matrix of paired tests of each cohort; none for a single pair."""
    if pairs["signature_b"].drop_duplicates().size < 2:
        return []
    return [
        (title_of(study, str(key), int(rows["n"].iloc[0]), names_of(rows)), rows, {})
        for key, rows in pairs.groupby("cohort", sort=False)
    ]


def names_of(pairs: pd.DataFrame) -> list[str]:
    """Return the signatures of paired tests."""
    return list(dict.fromkeys([*pairs["signature_a"], *pairs["signature_b"]]))


def confusion_panels(classified: pd.DataFrame, study: Study, signature: str) -> list[Panel]:
    """Return the confusion matrix of each cohort."""
    own = classified[classified["signature"] == signature]
    return [
        (
            title_of(study, row["cohort"], row["n"], [signature]),
            pd.DataFrame([{key: row[key] for key in (*COUNTS, "accuracy")}]),
            {"classes": classes_of(study)},
        )
        for row in own.to_dict("records")
    ]


def confusion_figures(
    predictions: pd.DataFrame, study: Study, classified: pd.DataFrame, names: Sequence[str]
) -> list[tuple[str, tuple[str, pd.DataFrame]]]:
    """Return signature, rule in words and `classification_table` of each figure: the locked threshold, and one half."""
    if not is_label(study):
        return []
    tables = {study.validation.threshold: classified, "half": classification_table(predictions, study, "half")}
    known = set(classified["signature"])
    return [(name, (RULES[rule], table)) for name in names if name in known for rule, table in tables.items()]


def calibration_panels(
    predictions: pd.DataFrame, study: Study, locked: dict[str, Locked], signature: str, horizons: Sequence[float]
) -> list[Panel]:
    """Return honest calibration of one signature: a panel per cohort, and per horizon (months) for survival."""
    cohorts = judged_cohorts(predictions, study) if signature in locked else []
    parts: list[Panel] = []
    for horizon in [None] if is_label(study) else horizons:
        for cohort in cohorts:
            rows = judged_part(predictions, study, cohort, signature)
            found = _calibration(rows, locked[signature], horizon)
            if found is not None:
                table, numbers, p = found
                place = {"risks": p, "summary": numbers if _corner_is_free(table, len(numbers)) else None}
                title = title_of(study, cohort, len(p), [signature])
                parts.append((title, table, {**place, "outcome": outcome_words(study, horizon)}))
    return parts


def _calibration(
    rows: pd.DataFrame, locked: Locked, horizon: float | None
) -> tuple[pd.DataFrame, dict[str, float], pd.Series] | None:
    """Return curve and groups, numbers and probabilities; None where calibration can not be judged."""
    if horizon is not None:
        rows = at_horizon(rows, locked, horizon)
        return (*survival_calibration(rows, horizon), rows["probability"]) if usable_horizons(rows, [horizon]) else None
    if rows["label"].drop_duplicates().size < 2:
        return None
    rows = rows.assign(probability=locked.probability(rows))
    return (*calibration_tables(rows), rows["probability"])


def _corner_is_free(table: pd.DataFrame, lines: int) -> bool:
    """Whether nothing is drawn in the lower right corner, where the figure writes its numbers in some lines."""
    top = 0.18 + 0.045 * lines  # the numbers stand on 0.16 of the height
    low = table["ci_low"].fillna(table["observed"]) if "ci_low" in table else table["observed"]
    return not ((table["predicted"] > 0.55) & (low < top)).any()


def by_words(horizon: float | None) -> str:
    """Return a horizon in words, empty without one."""
    return f" at {horizon:g} months" if horizon is not None else ""


def outcome_words(study: Study, horizon: float | None = None) -> str:
    """Return what a probability is of: the label's event, or an event of the survival endpoint by a horizon."""
    if horizon is None or study.endpoint.survival is None:
        return f"probability of {study.endpoint.label.name}" if study.endpoint.label else "probability"
    return f"probability of an event by {horizon:g} months"


def corrected_panels(
    predictions: pd.DataFrame, study: Study, signatures: Sequence[str], cohort: pd.DataFrame | None
) -> tuple[list[Panel], str]:
    """Return apparent and optimism-corrected calibration of the last step of signatures, and why a panel is missing."""
    horizons: list[float | None] = [None] if is_label(study) else list(horizons_of(study))
    parts: list[Panel] = []
    notes = []
    for name in signatures:
        for horizon in horizons:
            try:
                table = bootstrap_corrected(predictions, study, name, cohort, horizon or 0.0)
            except NotEstimableError as error:
                reason = "; ".join(problem.what for problem in error.problems) or error.message
                notes.append(f"{name}{by_words(horizon)}: {reason[0].lower()}{reason[1:].rstrip('.')}.")
                continue
            usable = f"{table.attrs['resamples']} of {table.attrs['drawn']} resamples usable"
            title = f"{name} (n = {table.attrs['n']}, {usable})"
            parts.append((title, table, {"outcome": outcome_words(study, horizon)}))
    return parts, " ".join(dict.fromkeys(notes))


def decision_panels(
    predictions: pd.DataFrame,
    study: Study,
    locked: dict[str, Locked],
    names: Sequence[str],
    horizon: float | None = None,
) -> list[Panel]:
    """Return decision curves in every cohort where they exist."""
    parts: list[Panel] = []
    for cohort in judged_cohorts(predictions, study):
        table = decision_table(predictions, study, locked, cohort, names, horizon)
        if len(table):
            size = f"n = {table.attrs['n']}, {table.attrs['events']} events"
            own = [name for name in names if name in set(table["strategy"])]
            parts.append((f"{title_of(study, cohort, names=own)} ({size})", table, {}))
    return parts


def subgroup_panels(
    predictions: pd.DataFrame, study: Study, cohort: pd.DataFrame, subgroup: Subgroup, signature: str
) -> list[Panel]:
    """Return the ROC curves of the parts of a division, one panel per cohort."""
    curves = subgroup_curves(predictions, study, cohort, subgroup, signature)
    return [(title_of(study, key, names=[signature]), table, {}) for key, table in curves.items()]


def risk_boxes(predictions: pd.DataFrame, study: Study, signature: str) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return honest risks by cohort and outcome for `figures.risk_boxplot`, and the Mann-Whitney P of each cohort.

    For survival the outcome is whether the event was seen during follow-up. It has no P: a patient without an event may
    only have been followed briefly, which that test does not know.
    """
    event = "label" if is_label(study) else "event"
    rows, p = [], {}
    for cohort in judged_cohorts(predictions, study):
        part = judged_part(predictions, study, cohort, signature)
        name = title_of(study, cohort, names=[signature])
        rows.append(pd.DataFrame({"cohort": name, "risk": part["risk"], "label": part[event].astype(int)}))
        if event == "event":
            continue
        try:
            p[name] = p_value(compare_groups(part["risk"], part[event], "mann_whitney").p)
        except NotEstimableError:
            p[name] = "no test"
    return pd.concat(rows, ignore_index=True), p


def waterfall_panels(predictions: pd.DataFrame, study: Study, signature: str, threshold: float) -> list[Panel]:
    """Return honest risks around the locked threshold, one panel per cohort; none where the threshold is infinite.

    A cohort of more than 150 patients is left out: its bars would be too thin to see.
    """
    event = "label" if is_label(study) else "event"
    parts: list[Panel] = []
    for cohort in judged_cohorts(predictions, study) if np.isfinite(threshold) else []:
        part = judged_part(predictions, study, cohort, signature)
        if 0 < len(part) <= _MOST_BARS:
            table = pd.DataFrame({"risk": part["risk"], "label": part[event].astype(int)})
            look = {"cut_off": threshold, "classes": classes_of(study), "ylabel": "Risk minus threshold"}
            parts.append((title_of(study, cohort, len(part), [signature]), table, look))
    return parts


def boxes_caption(study: Study, signature: str) -> str:
    """Return the caption of `risk_boxes`."""
    if is_label(study):
        return f"Risk by {signature}, {study.id}; P of the Mann–Whitney test."
    why = "a patient without an event may only have been followed briefly, so the two groups are not tested"
    return f"Risk by {signature}, {study.id}, by whether the event was seen: {why}."


def waterfall_caption(study: Study, signature: str, threshold: float) -> str:
    """Return the caption of `waterfall_panels`, which names the rule of the threshold."""
    locked = f"threshold {fixed(threshold, 3)}, locked in training ({RULES[rule_of(study)]})"
    other = " The chapter on survival cuts by its own rule." if study.endpoint.survival else ""
    return f"Risk by {signature} around the {locked}, {study.id}.{other}"


def calibration_caption(study: Study, signature: str) -> str:
    """Return the caption of `calibration_panels`: whose predictions these are."""
    whose = "the published output, translated in training" if is_published(study, signature) else ""
    return f"Calibration of {signature}, {study.id}: {whose or 'predictions for patients the model had not seen'}."
