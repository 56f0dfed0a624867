"""Which outlines a radiologist should look at first, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import SimpleITK as sitk

from radsupport.errors import MaskError, RadsupportError
from radsupport.features.agreement import dice
from radsupport.features.parallel import map_cases
from radsupport.imaging.overlay import contact_sheet_data
from radsupport.imaging.preprocessing import window
from radsupport.imaging.reading import read_mask
from radsupport.study_schema import Study

FAR_FROM_OTHERS = 3.5
"""Distance from the median, in SDs estimated from the median absolute deviation, from which HU are remarkable."""
SIZE_RATIO, SIZE_MM = 1.3, 5.0
"""Outlines of two phases differ in size where the diameters differ by this factor and by this many mm."""
LOW_DICE = 0.7
FEW_SLICES = 4


def readers_dice(cases: pd.DataFrame, n_jobs: int = 1, progress: bool = True) -> pd.DataFrame:
    """Return the Dice coefficient of both readers' outlines of every case that was outlined twice.

    Parameters
    ----------
    cases : pandas.DataFrame
        Table `cases`; the preprocessed masks are compared.
    n_jobs : int
    progress : bool

    Returns
    -------
    pandas.DataFrame
        subject, phase, center, dice; a pair that can not be compared is left out.
    """
    columns = ["subject", "phase", "center", "dice"]
    if "mask_reader2" not in cases:
        return pd.DataFrame(columns=columns)
    twice = cases[cases["mask_reader2"].notna() & cases["mask"].notna() & (cases["exclusion"] == "")]
    items = twice[["subject", "phase", "center", "mask", "mask_reader2"]].to_dict("records")
    found = map_cases(_dice, items, n_jobs=n_jobs, progress=progress, description="readers")
    return pd.DataFrame([row for row in found if row is not None], columns=columns)


def _dice(row: Mapping[Any, Any]) -> dict[str, Any] | None:
    try:
        masks = [sitk.GetArrayFromImage(read_mask(row[key])) for key in ("mask", "mask_reader2")]
        value = dice(*masks)
    except (MaskError, RadsupportError):
        return None
    return {key: row[key] for key in ("subject", "phase", "center")} | {"dice": value}


def case_flags(cases: pd.DataFrame, twice: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return why each case deserves a look, the cases with most reasons first.

    Parameters
    ----------
    cases : pandas.DataFrame
        Table `cases`.
    twice : pandas.DataFrame, optional
        As `readers_dice` returns it.

    Returns
    -------
    pandas.DataFrame
        subject, phase, center, flags (text, reasons separated by "; ", "" for none), n_flags; one row per usable case.
    """
    used = cases[cases["exclusion"] == ""].reset_index(drop=True)
    reasons: list[list[str]] = [_own_reasons(row) for row in used.to_dict("records")]
    for index in _far_from_others(used):
        reasons[index].append("unusual mean HU")
    for index in _phases_disagree(used):
        reasons[index].append("size differs between phases")
    if twice is not None:
        low = twice[twice["dice"] < LOW_DICE].set_index(["subject", "phase"])["dice"]
        for index, key in enumerate(zip(used["subject"], used["phase"], strict=True)):
            if key in low.index:
                reasons[index].append(f"readers differ (Dice {low[key]:.2f})")
    table = used[["subject", "phase", "center"]].assign(
        flags=["; ".join(r) for r in reasons], n_flags=list(map(len, reasons))
    )
    return table.sort_values("n_flags", ascending=False, kind="stable", ignore_index=True)


def _own_reasons(row: Mapping[Any, Any]) -> list[str]:
    """Return the warnings and repairs of one case, and whether it has few slices."""
    texts = [str(row.get(key) or "") for key in ("warnings", "geometry")]
    reasons = [part for text in texts for part in text.split("; ") if part]
    few = row.get("slices")
    if few is not None and few == few and few < FEW_SLICES and not row.get("one_slice"):
        reasons.append(f"{int(few)} slices only")
    return reasons


def _far_from_others(used: pd.DataFrame) -> list[int]:
    """Return the rows whose mean HU lies far from the median of their center and phase."""
    far: list[int] = []
    for _, rows in used.groupby(["center", "phase"]):
        distance = (rows["hu_mean"] - rows["hu_mean"].median()).abs()
        scale = 1.4826 * float(distance.median())
        if len(rows) >= 5 and scale > 0:
            far += rows.index[distance / scale > FAR_FROM_OTHERS].tolist()
    return far


def _phases_disagree(used: pd.DataFrame) -> list[int]:
    """Return the rows whose diameter differs much from the median over the subject's phases."""
    middle = used.groupby("subject")["max_axial_diameter_mm"].transform("median")
    ratio = np.maximum(used["max_axial_diameter_mm"] / middle, middle / used["max_axial_diameter_mm"])
    apart = (used["max_axial_diameter_mm"] - middle).abs()
    return used.index[(ratio > SIZE_RATIO) & (apart > SIZE_MM)].tolist()


def dice_words(twice: pd.DataFrame) -> str:
    """Say how far two readers' outlines overlap."""
    if twice.empty:
        return "No case was outlined by a second reader."
    values = twice["dice"]
    return (
        f"{len(twice)} cases were outlined by two readers; their Dice coefficient has a median of "
        f"{values.median():.2f} ({values.min():.2f} to {values.max():.2f})."
    )


def sheet_table(study: Study, cases: pd.DataFrame, flags: pd.DataFrame, phase: str, n_jobs: int = 1) -> pd.DataFrame:
    """Return the largest section of every case of one phase and of every flagged case, flagged ones first.

    Returns
    -------
    pandas.DataFrame
        As `contact_sheet_data`, with ``subject`` a caption (the patient, ``*`` where flagged, and another phase's
        name) and ``image`` in its phase's window (0 to 1).
    """
    wanted = flags[(flags["phase"] == phase) | (flags["n_flags"] > 0)]
    table = wanted.merge(cases, on=["subject", "phase"], how="left", suffixes=("", "_case"))
    sections = contact_sheet_data(table, n_jobs=n_jobs)
    captions, images = [], []
    for row, n_flags in zip(sections.to_dict("records"), wanted["n_flags"], strict=True):
        words = row["subject"] if row["phase"] == phase else f"{row['subject']}, {row['phase']}"
        captions.append(f"{words} *" if n_flags else words)
        view = study.phases[row["phase"]].window
        images.append(window(row["image"], view.level, view.width))
    return sections.assign(subject=captions, image=pd.Series(images, sections.index, dtype=object))


def quality_counts(cases: pd.DataFrame) -> pd.DataFrame:
    """Count each warning, repair and reason for exclusion, with the subjects it concerns.

    Returns
    -------
    pandas.DataFrame
        kind, reason, cases (number), subjects (the first six).
    """
    rows = []
    for kind, words in (("warnings", "warning"), ("geometry", "repair"), ("exclusion", "exclusion")):
        text = cases[kind].fillna("").astype(str)
        parts = text.map(lambda value: [part for part in value.split("; ") if part])
        for reason in sorted({part for found in parts for part in found}):
            hit = cases[[reason in found for found in parts]]
            named = sorted(set(hit["subject"]))
            shown = ", ".join(named[:6]) + (" …" if len(named) > 6 else "")
            rows.append({"kind": words, "reason": reason, "cases": len(hit), "subjects": shown})
    return pd.DataFrame(rows, columns=["kind", "reason", "cases", "subjects"])


def quality_table(cases: pd.DataFrame, flags: pd.DataFrame) -> pd.DataFrame:
    """Return what is known about each mask, one row per case, flagged cases first."""
    columns = ["voxels", "slices", "n_islands", "hole_voxels", "volume_mm3", "max_axial_diameter_mm", "hu_mean"]
    keys = ["subject", "phase"]
    return flags[[*keys, "flags"]].merge(cases[[*keys, *columns]], on=keys, how="left")


QUALITY_HEADERS = {
    "subject": "Patient", "phase": "Phase", "voxels": "Voxels", "slices": "Slices as scanned", "n_islands": "Islands",
    "hole_voxels": "Voxels in holes", "volume_mm3": "Volume (mm³)", "max_axial_diameter_mm": "Largest diameter (mm)",
    "hu_mean": "Mean HU", "flags": "Why to look at it",
}  # fmt: skip
