"""Chapter 06 under one name, for notebooks; and the numbers that it publishes.

The steps live in modules of their own: `predicted` (who is judged), `discrimination`, `classification`,
`recalibration` (risks to probabilities), `calibration_steps`, `horizon_steps` (survival), `usefulness`, `subgroups`,
`planted` and `reading` (words).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from radsupport.chapter import Chapter
from radsupport.modelling.summaries import publish_scores, score_numbers
from radsupport.study_schema import Study
from radsupport.validation.calibration_steps import calibration_tables
from radsupport.validation.classification import classification_table, thresholds
from radsupport.validation.discrimination import discrimination_table, paired_tests, roc_table
from radsupport.validation.predicted import (
    HONEST,
    best_signature,
    compared_signatures,
    honest,
    judged,
    judged_cohorts,
)
from radsupport.validation.shown import HEADERS, in_words

__all__ = [
    "HEADERS",
    "HONEST",
    "best_signature",
    "calibration_tables",
    "classification_table",
    "compared_signatures",
    "discrimination_table",
    "headline",
    "honest",
    "in_words",
    "judged",
    "judged_cohorts",
    "paired_tests",
    "publish",
    "roc_table",
    "score_numbers",
    "thresholds",
]


def headline(scores: pd.DataFrame, study: Study) -> dict[str, pd.Series]:
    """Return the chosen signature's row in training and in the (first) other cohort, external before internal."""
    own = scores[scores["signature"] == best_signature(study)].drop_duplicates("cohort").set_index("cohort", drop=False)
    rows = {str(cohort): own.iloc[i] for i, cohort in enumerate(own.index)}
    found = {"headline_train": rows["train"]} if "train" in rows else {}
    other = next((cohort for cohort in ("external", "internal") if cohort in rows), None)
    return found | ({"headline_external": rows[other]} if other else {})


def publish(chapter: Chapter, scores: pd.DataFrame, numbers: Mapping[str, Mapping[str, Any]] | None = None) -> None:
    """Publish every score, the headline of the landing page, and what is compared with published values.

    Parameters
    ----------
    scores : DataFrame
        `discrimination_table`.
    numbers : mapping, optional
        `reading.numbers_of`; those that the study file names and those of single centers are published.
    """
    publish_scores(chapter, scores)
    for key, row in headline(scores, chapter.study).items():
        if pd.notna(row["value"]):
            chapter.publish(key, float(row["value"]), n=int(row["n"]), ci=(float(row["ci_low"]), float(row["ci_high"])))
            chapter.publish(f"{key}_signature", f"{best_signature(chapter.study)} ({row['measure']})")
    named = {entry.ours for entry in chapter.study.published}
    for key, entry in (numbers or {}).items():
        if key not in chapter.numbers and (key in named or key.startswith("center_")) and pd.notna(entry["value"]):
            ci = (float(entry["ci_low"]), float(entry["ci_high"])) if "ci_low" in entry else None
            chapter.publish(key, float(entry["value"]), n=int(entry["n"]), ci=ci)
