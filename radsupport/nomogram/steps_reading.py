"""Chapter 08 in words: who is left out, what the correction for optimism leaves, what the nomogram reaches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from radsupport.chapter import Chapter
from radsupport.nomogram.steps_model import CLINICAL, NOMOGRAM, PREOPERATIVE, SIGNATURE, Model, label_of
from radsupport.nomogram.steps_scores import ALL_PATIENTS, common_rows, measure_of, places, worded
from radsupport.report.wording import fixed, listed, p_number
from radsupport.study_schema import Study
from radsupport.validation.optimism import Optimism

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
