"""The reader's guide at the end of a chapter: printed values beside ours, and what to keep in mind."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from radsupport.settings.study import Study
from radsupport.wording import estimate, fixed, number, p_number


def printed_beside(study: Study, chapter: str, numbers: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Return what the paper printed for one chapter, beside the values of this build.

    Parameters
    ----------
    study : Study
        Its `published` entries name the chapter and, as `ours`, a number of this build.
    chapter : str
        Number of the chapter, such as "01".
    numbers : mapping
        What chapters published: value, n, ci_low, ci_high by key.

    Returns
    -------
    pandas.DataFrame
        item, printed in, published, this build, patients here; no rows where nothing was printed.
    """
    rows = []
    for entry in study.published:
        if entry.chapter == chapter:
            found = numbers.get(entry.ours)
            row: dict[str, Any] = {"item": entry.item, "printed in": entry.where, "published": entry.value}
            rows.append(row | {"this build": number_words(entry.ours, found), "patients here": (found or {}).get("n")})
    return pd.DataFrame(rows, columns=["item", "printed in", "published", "this build", "patients here"])


def number_words(key: str, found: Mapping[str, Any] | None) -> str:
    """Word one number of this build: a p-value by its key (``p_…``, ``…_p_…``, ``…_p``), else with its interval."""
    if found is None:
        return "not computed"
    value, low, high = found["value"], found.get("ci_low"), found.get("ci_high")
    if isinstance(value, str):
        return value
    if value is None or math.isnan(value):
        return "not estimable"
    if key.startswith("p_") or key.endswith("_p") or "_p_" in key:
        return p_number(float(value))
    if low is not None and high is not None and math.isfinite(low) and math.isfinite(high):
        return estimate(float(value), float(low), float(high))
    return number(float(value)) if float(value).is_integer() else fixed(float(value))


def cautions_of(study: Study, chapter: str) -> list[str]:
    """Return what a reader of one chapter must know: its own limits and contradictions in print, then the study's."""
    own = [caution.text for caution in study.cautions if chapter in caution.chapters]
    return [*own, *(caution.text for caution in study.cautions if not caution.chapters)]


def cautions_words(study: Study, chapter: str) -> str:
    """Return the cautions of one chapter as a Markdown list, or that the study file has none."""
    found = cautions_of(study, chapter)
    return "\n".join(f"- {text}" for text in found) if found else "The study file names no caution for this page."


def printed_words(study: Study, chapter: str = "") -> str:
    """Say what a table of printed values can and can not show for this study, or that it has none in a chapter."""
    if not study.published:
        return "No paper printed results of this study."
    if chapter and not any(entry.chapter == chapter for entry in study.published):
        return "None of the study's printed values belongs to this chapter."
    if study.is_synthetic:
        return (
            "What the paper printed, beside the same quantity of this build. The patients here are synthetic: "
            "agreement shows nothing about the paper, and disagreement nothing against it. The table shows which of "
            "the printed numbers this page recomputes."
        )
    return "What was printed for these data, beside the same quantity of this build."
