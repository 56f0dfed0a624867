"""Chapter 06 in words: what was judged, what the numbers can and cannot mean, and published values beside ours."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from radsupport.modelling.summaries import score_numbers
from radsupport.report.wording import counted, estimate, fixed, listed, p_number, p_value
from radsupport.study_schema import Study
from radsupport.validation.classification import RATES
from radsupport.validation.predicted import is_label, is_published, judged_cohorts
from radsupport.validation.recalibration import AS_GIVEN, Locked

CHAPTER = "06"
_P = "p"


def judged_words(predictions: pd.DataFrame, study: Study) -> str:
    """Say who is judged by which prediction, cohort by cohort, and which signatures are published outputs."""
    event = "label" if is_label(study) else "event"
    names = study.cohort_names
    lines = []
    cohorts = judged_cohorts(predictions, study)
    for cohort in cohorts:
        every = predictions[predictions["cohort"] == cohort].drop_duplicates("subject").dropna(subset=[event])
        how = "out-of-fold predictions" if cohort == "train" else "scored with the finished model"
        size = f"{counted(len(every), 'patient')}, {int(every[event].sum())} with the event"
        lines.append(f"- {names[cohort]}: {size}, {how}")
    given = [s.name for s in study.signatures if is_published(study, s.name)] if "train" in cohorts else []
    for name in given:
        holding = [s.name for s in study.signatures if name in s.combines]
        also = f", and so may those of {listed(holding)}, which contains it" if holding else ""
        lines.append(
            f"- {name} in {names['train']}: published output; its own training patients may be among them, so that its "
            f"values there may flatter it{also}"
        )
    return "\n".join(lines)


def all_given(locked: Mapping[str, Locked]) -> bool:
    """Whether every signature gives probabilities, so that nothing had to be translated."""
    return all(one.whole.rule == AS_GIVEN for one in locked.values())


def recalibration_words(locked: Mapping[str, Locked]) -> str:
    """Say how many signatures give probabilities, how many were translated, and why published outputs are."""
    given = sum(one.whole.rule == AS_GIVEN for one in locked.values())
    if not locked:
        return "There are no out-of-fold risks in a training cohort, so nothing can be translated or calibrated."
    words = f"Probabilities as they are: {given} of {counted(len(locked), 'signature')}."
    if given == len(locked):
        return words
    parts = [_published_words(name, own) for name, own in locked.items() if own.whole.on_log_odds]
    return " ".join([words, "The others were translated as the table says.", *parts])


def _published_words(name: str, own: Locked) -> str:
    rows = own.whole.rows
    return (
        f"{name} is a published output, translated like a score because it was never fitted to these patients: as it "
        f"is, its mean in training is {fixed(rows['risk'].mean())}, where {fixed(rows['label'].mean())} had the event."
    )


def positive_words(study: Study) -> str:
    """Say which class counts as positive."""
    label = study.endpoint.label
    return f"positive: {label.positive}, negative: {label.negative}" if label else ""


def equality_words(test: Mapping[str, float], where: str) -> str:
    """Word DeLong's test that all AUCs of a group are equal; empty where there is none."""
    if not test:
        return ""
    p = p_value(test["p"], name="P")
    chi2 = f"χ² = {test['chi2']:.1f} with {test['df']:.0f} df"
    return f"{where}: test that all AUCs are equal (DeLong): {chi2}, {p} (n = {test['n']:.0f})."


def numbers_of(
    scores: pd.DataFrame,
    classified: pd.DataFrame,
    pairs: pd.DataFrame,
    cohorts: pd.DataFrame,
    centers: pd.DataFrame,
    parts: pd.DataFrame,
) -> dict[str, dict[str, Any]]:
    """Return the numbers of the page by key, for comparison with published ones.

    Returns
    -------
    dict
        ``auc_<cohort>_<signature>`` (``c_index_…``), ``<rate>_<cohort>_<signature>`` of the classification,
        ``pair_p_<cohort>_<signature>_<signature>``, ``cohorts_p_<cohort>_<cohort>_<signature>``,
        ``null_p_<cohort>_<signature>``, ``center_auc_<center>_<signature>`` and
        ``part_auc_<cohort>_<signature>_<column>_<part>``; each value, n, and ci_low and ci_high, or p (True).
    """
    numbers: dict[str, dict[str, Any]] = dict(score_numbers(scores))
    for row in scores.to_dict("records") if "p_null_se" in scores else []:
        numbers[f"null_p_{row['cohort']}_{row['signature']}"] = {"value": row["p_null_se"], "n": row["n"], _P: True}
    for row in classified.to_dict("records"):
        for rate in RATES:
            limits = {"ci_low": row[f"{rate}_low"], "ci_high": row[f"{rate}_high"]}
            numbers[f"{rate}_{row['cohort']}_{row['signature']}"] = {"value": row[rate], "n": row["n"], **limits}
    for row in pairs.to_dict("records"):
        for a, b in ((row["signature_a"], row["signature_b"]), (row["signature_b"], row["signature_a"])):
            numbers[f"pair_p_{row['cohort']}_{a}_{b}"] = {"value": row["p"], "n": row["n"], _P: True}
    for row in cohorts.to_dict("records"):
        key = f"cohorts_p_{row['cohort_a']}_{row['cohort_b']}_{row['signature']}"
        numbers[key] = {"value": row["p"], "n": row["n_a"] + row["n_b"], _P: True}
    return (
        numbers
        | _areas(centers, "center_auc_{center}_{signature}")
        | _areas(parts, "part_auc_{cohort}_{signature}_{column}_{part}")
    )


def _areas(table: pd.DataFrame, key: str) -> dict[str, dict[str, Any]]:
    wanted = ("value", "n", "ci_low", "ci_high")
    return {key.format_map(row): {k: row[k] for k in wanted} for row in table.to_dict("records")}


def published_table(study: Study, numbers: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Return the values that the study file quotes for this chapter beside those of this build.

    Returns
    -------
    DataFrame
        item, printed in, published, this build, patients here; empty where nothing is quoted.
    """
    rows = []
    for entry in (e for e in study.published if e.chapter == CHAPTER):
        found = numbers.get(entry.ours)
        row = {"item": entry.item, "printed in": entry.where, "published": entry.value, "this build": _ours(found)}
        rows.append(row | {"patients here": f"{found['n']:.0f}" if found else "–"})
    return pd.DataFrame(rows)


def _ours(found: Mapping[str, Any] | None) -> str:
    if found is None or math.isnan(found["value"]):
        return "not computed"
    if found.get(_P):
        return f"P {p_number(found['value'])}"
    return estimate(found["value"], found["ci_low"], found["ci_high"])


def missing_words(table: pd.DataFrame, study: Study) -> str:
    """Say which signatures lack predictions, and for how many patients."""
    if table.empty:
        return "Every signature has a prediction for every patient with an outcome."
    names = study.cohort_names
    parts = [
        f"{row['signature']} in {names[row['cohort']]} ({row['without']} of {row['n']})"
        for row in table.to_dict("records")
    ]
    return (
        f"Without a prediction: {listed(parts, 12)}. Comparisons use the patients whom all compared signatures predict."
    )
