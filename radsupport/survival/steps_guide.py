"""Chapters 07 and 08: what is published of them, beside the values of this build."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from radsupport.chapter import Chapter
from radsupport.report.wording import estimate, fixed, p_number
from radsupport.study_schema import Study
from radsupport.survival.steps_groups import main_signature, slug


def printed_beside(study: Study, chapter: str, numbers: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Return what the paper printed for one chapter, beside this build's values.

    Parameters
    ----------
    study : Study
        Its `published` entries name the chapter and, as `ours`, the number of this build.
    chapter : str
        Number of the chapter, such as "07".
    numbers : mapping
        What the chapter publishes: value, n, ci_low, ci_high by key.

    Returns
    -------
    DataFrame
        item, printed in, published, this build, patients here.
    """
    rows = []
    for entry in study.published:
        if entry.chapter == chapter:
            found = numbers.get(entry.ours)
            row: dict[str, Any] = {"item": entry.item, "printed in": entry.where, "published": entry.value}
            row |= {"this build": number_words(entry.ours, found), "patients here": (found or {}).get("n")}
            rows.append(row)
    return pd.DataFrame(rows)


def number_words(key: str, found: Mapping[str, Any] | None) -> str:
    """Word one published number of this build: a P-value by its key, else the estimate with its interval."""
    if found is None:
        return "not computed"
    value, low, high = found["value"], found.get("ci_low"), found.get("ci_high")
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "not reached" if key.startswith("median_") else "not estimable"
    if isinstance(value, str):
        return value
    if "_p_" in key or key.endswith("_p"):
        return p_number(float(value))
    if low is None or math.isnan(low):
        return fixed(float(value))
    if high is None or math.isnan(high):
        return f"{fixed(float(value))} (from {fixed(float(low))})"
    return estimate(float(value), float(low), float(high))


def chapter_cautions(study: Study, chapter: str) -> list[str]:
    """Return what a reader of this chapter must know: limits of the data and contradictions in print."""
    return [caution.text for caution in study.cautions if chapter in caution.chapters]


def printed_words(study: Study) -> str:
    """Say what a table of printed values can and can not show for this study."""
    if not study.published:
        return "No paper printed results of this study."
    if study.is_synthetic:
        return (
            "What the paper printed, beside the same quantity of this build. The patients here are synthetic, so "
            "agreement shows nothing about the paper and disagreement nothing against it: the table shows which of its "
            "numbers this page recomputes."
        )
    return "What was printed for these data, beside the same quantity of this build."


def survival_reading(groups: pd.DataFrame, comparison: pd.DataFrame, c_index: pd.DataFrame, study: Study) -> str:
    """Say what the page shows of the main signature, cohort by cohort, and what it can not show."""
    name = main_signature(study)
    tests = comparison[comparison["signature"] == name].set_index("key")
    words = []
    for row in c_index[c_index["signature"] == name].to_dict("records"):
        shown = estimate(float(row["c_index"]), float(row["ci_low"]), float(row["ci_high"]))
        chance = "covers 0.5" if row["ci_low"] <= 0.5 <= row["ci_high"] else "does not cover 0.5"
        words.append(
            f"- {row['cohort']}: {row['events']} events in {row['n']} patients; C-index {shown}, which {chance}; "
            f"log-rank P of the groups {p_number(float(tests.loc[row['key'], 'p']))}."
        )
    judged = groups.loc[groups["cohort"] != "train", "cohort"].nunique()
    outside = (
        "The first line is the training cohort, where the cut-off was chosen; the others are the test."
        if judged
        else "There is no other cohort: nothing on this page says how the signature would do elsewhere."
    )
    return "\n".join([f"For **{name}**:", "", *words, "", outside])


def publish_groups(chapter: Chapter, comparison: pd.DataFrame, summary: pd.DataFrame) -> None:
    """Publish the log-rank P, and median and restricted mean of each group, by signature and cohort."""
    for row in comparison.to_dict("records"):
        chapter.publish(f"logrank_p_{row['key']}_{row['signature']}", float(row["p"]), n=int(row["n"]))
    for row in summary.to_dict("records"):
        place = f"{slug(row['group'])}_{row['key']}_{row['signature']}"
        limits = (float(row["median_low"]), float(row["median_high"]))
        chapter.publish(f"median_{place}", float(row["median"]), n=int(row["n"]), ci=limits)
        limits = (float(row["mean_low"]), float(row["mean_high"]))
        chapter.publish(f"restricted_mean_{place}", float(row["restricted_mean"]), n=int(row["n"]), ci=limits)


def publish_ratios(chapter: Chapter, ratios: pd.DataFrame, c_index: pd.DataFrame) -> None:
    """Publish hazard ratios and concordance by signature and cohort."""
    names = {"high against low": "hr", "per SD": "hr_per_sd"}
    for row in ratios[ratios["hr"].notna()].to_dict("records"):
        key = f"{names[row['contrast']]}_{row['key']}_{row['signature']}"
        chapter.publish(key, float(row["hr"]), n=int(row["n"]), ci=(float(row["ci_low"]), float(row["ci_high"])))
    for row in c_index[c_index["c_index"].notna()].to_dict("records"):
        limits = (float(row["ci_low"]), float(row["ci_high"]))
        chapter.publish(f"harrell_c_{row['key']}_{row['signature']}", float(row["c_index"]), n=int(row["n"]), ci=limits)


def publish_horizons(chapter: Chapter, table: pd.DataFrame) -> None:
    """Publish the time-dependent AUC at each horizon, by signature and cohort."""
    for row in table.to_dict("records"):
        key = f"auc_at_{row['time']:g}_{row['key']}_{row['signature']}"
        limits = (float(row["ci_low"]), float(row["ci_high"]))
        chapter.publish(key, float(row["auc"]), n=int(row["n"]), ci=limits)


def publish_cut_offs(chapter: Chapter, cut_offs: pd.Series, groups: pd.DataFrame) -> None:
    """Publish each signature's locked cut-off, and how many patients it puts at high risk in each cohort."""
    for name, value in cut_offs.items():
        if np.isfinite(value):
            chapter.publish(f"cut_off_{name}", float(value))
    for (name, key), part in groups.groupby(["signature", "cohort"], sort=False):
        high = int((part["risk"] > part["cut_off"]).sum())
        chapter.publish(f"n_high_{key}_{name}", high, n=len(part))
