"""Chapter 07: the numbers it publishes, and how to read them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from radsupport.chapter import Chapter
from radsupport.report.wording import estimate, p_number
from radsupport.study_schema import Study
from radsupport.survival.steps_groups import main_signature, slug


def survival_reading(groups: pd.DataFrame, comparison: pd.DataFrame, c_index: pd.DataFrame, study: Study) -> str:
    """Say what the page shows of the main signature, cohort by cohort, and what it can not show."""
    name = main_signature(study)
    tests = comparison[comparison["signature"] == name].set_index("key")
    searched = study.survival.threshold != "median"
    words = []
    for row in c_index[c_index["signature"] == name].to_dict("records"):
        shown = estimate(float(row["c_index"]), float(row["ci_low"]), float(row["ci_high"]))
        chance = "covers 0.5" if row["ci_low"] <= 0.5 <= row["ci_high"] else "does not cover 0.5"
        words.append(
            f"- {row['cohort']}: {row['events']} events in {row['n']} patients; C-index {shown}, which {chance}; "
            f"log-rank P of the groups {p_number(float(tests.loc[row['key'], 'p']))}"
            f"{' (too small: the cut-off was searched here)' if searched and row['key'] == 'train' else ''}."
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
        reached = np.isfinite(row["median"])
        value = float(row["median"]) if reached else "not reached"
        chapter.publish(f"median_{place}", value, n=int(row["n"]), ci=limits if reached else None)
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


def publish_coefficients(
    chapter: Chapter, table: pd.DataFrame, part: str, ratio: str, names: Mapping[str, str]
) -> None:
    """Publish the ratios of a regression as ``hr_alone_age``, ``or_together_sex_male`` … with the n of the model.

    Parameters
    ----------
    chapter : Chapter
    table : DataFrame
        What `univariable_table` or `multivariable_table` returns.
    part : {"alone", "together"}
    ratio : {"hr", "odds_ratio"}
    names : mapping
        Name of a term in the key, where it is not the column's.
    """
    prefix = f"{'or' if ratio == 'odds_ratio' else 'hr'}_{part}"
    size = table.groupby("term")["n"].sum()  # of the model: all levels of a characteristic together
    for row in table[~table["reference"] & table[ratio].notna()].to_dict("records"):
        term = names.get(row["term"], row["term"])
        key = f"{prefix}_{term}_{row['level']}" if row["level"] else f"{prefix}_{term}"
        limits = (float(row["ci_low"]), float(row["ci_high"]))
        chapter.publish(key, float(row[ratio]), n=int(size[row["term"]]), ci=limits)


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
