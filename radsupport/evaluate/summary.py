"""Chapter 08 in words: who is left out, what the correction for optimism leaves, what the nomogram reaches.

Chapter 07: the numbers it publishes, and how to read them.

What the numbers of chapter 06 can and cannot mean: the list at its end, computed from them.

Chapter 06 in words: what was judged, what the numbers can and cannot mean, and published values beside ours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from radsupport.evaluate.predictions import honest, is_label, outcome_columns
from radsupport.evaluate.probability import AS_GIVEN, Locked
from radsupport.evaluate.thresholds import RATES
from radsupport.settings.study import Study
from radsupport.wording import estimate, p_number

CHAPTER = "06"
#: Key under which chapter 05 publishes the mean over divisions into folds of a signature, with lowest and highest.
DIVISIONS = "mean_over_divisions:"
#: Standard deviation of a probability in training below which a signature is said to tell patients hardly apart.
_FLAT = 0.01


def score_numbers(scores: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return discrimination by key: value, n, ci_low, ci_high."""
    numbers = {}
    for row in scores.to_dict("records"):
        measure = "auc" if row["measure"] == "AUC" else "c_index"
        if not math.isnan(row["value"]):
            entry = {"value": float(row["value"]), "n": int(row["n"])}
            entry |= {"ci_low": float(row["ci_low"]), "ci_high": float(row["ci_high"])}
            numbers[f"{measure}_{row['cohort']}_{row['signature']}"] = entry
    return numbers


def least_detectable(n: int, events: int) -> float:
    """Return the AUC from which the two-sided null-SE test against 0.5 would give P < 0.05.

    0.5 + 1.96 sqrt((n + 1) / (12 events (n - events))); NaN without both classes, at most 1.
    """
    others = n - events
    if not events or not others:
        return math.nan
    return min(1.0, 0.5 + 1.959963984540054 * math.sqrt((n + 1) / (12 * events * others)))


def flat_signatures(predictions: pd.DataFrame, study: Study) -> dict[str, float]:
    """Return the signatures of a label whose out-of-fold probabilities hardly vary, with their standard deviation.

    Only risks between 0 and 1 have a scale on which 0.01 is little.
    """
    if not is_label(study):
        return {}
    train = honest(predictions, "train").dropna(subset=outcome_columns(study))
    spread = {str(name): rows["risk"] for name, rows in train.groupby("signature", sort=False)}
    return {
        name: float(risk.std())
        for name, risk in spread.items()
        if risk.between(0, 1).all() and len(risk) > 1 and risk.std() < _FLAT
    }


_P = "p"


def all_given(locked: Mapping[str, Locked]) -> bool:
    """Whether every signature gives probabilities, so that nothing had to be translated."""
    return all(one.whole.rule == AS_GIVEN for one in locked.values())


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
