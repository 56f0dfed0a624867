"""TODO."""

from __future__ import annotations

import numpy as np
import pandas as pd

from radsupport.book.chapter import Chapter
from radsupport.data.findings import MOVES_ICC, _pairs, numeric_agreement
from radsupport.data.scans import QUANTITIES
from radsupport.imaging.findings import MIN_CALCIFICATION_MM3, MIN_CYSTIC_SHARE, PURELY_CYSTIC_SHARE
from radsupport.imaging.patches import covered_voxels, patch_words, share_summary
from radsupport.settings.features import Cnn3d, Resnet, Unet
from radsupport.settings.study import Study
from radsupport.wording import counted, fixed, listed, number, p_value

WINDOW_HEADERS = {
    "phase": "Phase", "level": "Level", "width": "Width", "lower": "From", "upper": "To", "cases": "Cases",
    "below": "Cut off below (%)", "above": "Cut off above (%)",
}  # fmt: skip


def preprocessing_words(study: Study, cases: pd.DataFrame) -> str:
    """Say how many cases can be used, and what was done to them."""
    spec, used = study.preprocessing, int((cases["exclusion"] == "").sum())
    spacing = " × ".join(f"{side:g}" for side in spec.spacing_mm)
    sides = spec.margin_mm if isinstance(spec.margin_mm, tuple) else (spec.margin_mm,)
    margin = " × ".join(f"{side:g}" for side in sides)
    how = {"cubic": "cubic B-spline", "linear": "linear"}[spec.interpolation]
    return (
        f"{used} of {len(cases)} cases ({counted(cases['subject'].nunique(), 'patient')}, "
        f"{counted(len(study.phases), 'phase')}) can be used. Images are resampled to {spacing} mm with {how} "
        f"interpolation, masks to the nearest voxel, and both are cut to the masks plus {margin} mm. HU are kept as "
        "they are; windows are applied where a chapter needs them."
    )


def network_words(study: Study) -> str:
    """Say which slices of a case the study's network looks at."""
    if isinstance(study.deep, Unet):
        return "The network of this study sees every slice of the box around the region; some are shown."
    if isinstance(study.deep, Resnet):
        how = "the largest section and its two neighbours" if study.deep.slices == 3 else "the largest section alone"
        return f"The network of this study sees {how}."
    if isinstance(study.deep, Cnn3d):
        return (
            f"The network of this study sees {study.deep.patch[0]} slices around the largest section; some are shown."
        )
    return "No network looks at slices in this study; radiomics takes the whole outline. Some slices are shown."


def center_panels(cases: pd.DataFrame, phase: str) -> list[tuple[str, pd.DataFrame, dict[str, str]]]:
    """Return (title, table, options) per quantity, one point per case of a phase, for `figures.strips`.

    A quantity that is missing in every case (noise, where no soft tissue was found) is left out.
    """
    used = cases[(cases["exclusion"] == "") & (cases["phase"] == phase)]
    panels = []
    for column, (words, unit) in QUANTITIES.items():
        table = pd.DataFrame({"group": used["center"], "value": used[column].astype(float)})
        if table["value"].notna().any():
            panels.append((words, table, {"ylabel": unit}))
    return panels


CENTER_HEADERS = {
    "center": "Center",
    "phase": "Phase",
    "cases": "Cases",
    "slice_thickness_mm": "Slice thickness (mm)",
    "pixel_mm": "Pixel (mm)",
    "noise_hu": "Noise (HU)",
    "tumour_hu": "Tumour (HU)",
    "max_axial_diameter_mm": "Largest diameter (mm)",
}

_ALPHA = 0.05


def bland_altman_panels(
    study: Study, cohort: pd.DataFrame, computed: pd.DataFrame
) -> list[tuple[str, pd.DataFrame, dict]]:
    """Return (title, table, options) per numeric finding, for `figures.panels(figures.bland_altman, ...)`."""
    limits = numeric_agreement(study, cohort, computed)
    panels = []
    for row in limits.to_dict("records"):
        both = _pairs(study, cohort, computed, "number")[row["column"]]
        table = pd.DataFrame({"mean": both.mean(axis=1), "difference": both["image"] - both["reader"]})
        options = {"bias": row["bias"], "limits": (row["limit_low"], row["limit_high"]), "unit": row["unit"]}
        panels.append((row["finding"], table, options | {"ylabel": "Image minus reader"}))
    return panels


def agreement_notes(checks: pd.DataFrame) -> str:
    """Say which ICC rests on one patient, and for which findings constant limits of agreement do not hold."""
    parts = []
    for row in checks[(checks["icc_without"] - checks["icc"]).abs() > MOVES_ICC].to_dict("records"):
        parts.append(
            f"{row['finding']}: the ICC rests on {row['patient']} (mean of both {number(row['mean'])}); "
            f"{fixed(row['icc'], 3)} with this patient, {fixed(row['icc_without'], 3)} without."
        )
    if not parts:
        parts = [f"Leaving out any one patient changes no ICC by more than {MOVES_ICC:g}."]
    for key, words in (("bias", "The difference"), ("spread", "The spread of the differences")):
        met = checks[checks[f"{key}_p"] < _ALPHA].to_dict("records")
        if met:
            named = [
                f"{row['finding']} (Spearman's ρ = {fixed(row[f'{key}_rho'])}, {p_value(row[f'{key}_p'], name='P')})"
                for row in met
            ]
            parts.append(f"{words} depends on the size of the measurement for {listed(named, 12)}.")
    if len(parts) > 1 and (checks[["bias_p", "spread_p"]] < _ALPHA).any(axis=None):
        parts.append(
            "There either the bias changes with the value or one measurement spreads more than the other: limits of "
            "agreement that are the same for small and large values do not hold throughout. Read the panels, not the "
            "limits alone. P-values are not adjusted for the number of findings."
        )
    return "\n".join(f"- {part}" for part in parts)


def publish(chapter: Chapter, numeric: pd.DataFrame, categories: pd.DataFrame) -> None:
    """Publish the agreement as ``icc_<column>`` and ``kappa_<column>``, with CI and n."""
    rows = [("icc", "icc", "icc_low", "icc_high", row) for row in numeric.to_dict("records")]
    rows += [("kappa", "kappa", "ci_low", "ci_high", row) for row in categories.to_dict("records")]
    for kind, value, low, high, row in rows:
        if np.isfinite(row[value]):
            limits = (float(row[low]), float(row[high]))
            chapter.publish(f"{kind}_{row['column']}", float(row[value]), n=int(row["n"]), ci=limits)


def rules_words(study: Study) -> str:
    """Say by which rules the study's columns are measured, or that none is."""
    kinds = {column.measure.what for column in study.columns.values() if column.measure is not None}
    if not kinds:
        return "No variable of this study is one that its images could give."
    rules = {
        "max_diameter": "the **largest diameter** is the largest distance within the outline in any axial plane",
        "diameter_class": "its **class** follows from it",
        "ct_ratio": "the **CT ratio** is the mean HU of the tumour's largest section (without a rim of 1 mm) over that "
        "of the organ's sample in the same plane",
        "enhanced_rate": "the **relatively enhanced rate** is the rise of the tumour's mean HU after contrast over "
        "that of the aorta's sample in the same plane",
        "calcification": f"a tumour is **calcified** where a connected portion of {MIN_CALCIFICATION_MM3:g} mm³ or "
        "more is denser than the threshold, after a median filter over 3 × 3 pixels",
        "cystic_part": f"a **cystic part** is a connected portion below the threshold of {MIN_CYSTIC_SHARE:.1%} or "
        f"more of the tumour in every phase named, after smoothing by 1 mm; from {PURELY_CYSTIC_SHARE:.0%} on the "
        "tumour is called cystic",
    }
    return "The rules: " + "; ".join(words for kind, words in rules.items() if kind in kinds) + "."


NUMERIC_HEADERS = {
    "finding": "Finding", "unit": "Unit", "n": "Patients", "bias": "Bias (image minus reader)",
    "bias_low": "95% CI from", "bias_high": "to", "limit_low": "Limits of agreement from", "limit_high": "to ",
    "icc": "ICC(2,1)", "icc_low": "95% CI from ", "icc_high": "to  ",
}  # fmt: skip
CATEGORY_HEADERS = {
    "finding": "Finding", "n": "Patients", "agree": "Agree", "share": "Share", "kappa": "Kappa",
    "ci_low": "95% CI from", "ci_high": "to", "apart": "Disagreements",
}  # fmt: skip


def dice_words(twice: pd.DataFrame) -> str:
    """Say how far two readers' outlines overlap."""
    if twice.empty:
        return "No case was outlined by a second reader."
    values = twice["dice"]
    return (
        f"{len(twice)} cases were outlined by two readers; their Dice coefficient has a median of "
        f"{values.median():.2f} ({values.min():.2f} to {values.max():.2f})."
    )


QUALITY_HEADERS = {
    "subject": "Patient", "phase": "Phase", "voxels": "Voxels", "slices": "Slices as scanned", "n_islands": "Islands",
    "hole_voxels": "Voxels in holes", "volume_mm3": "Volume (mm³)", "max_axial_diameter_mm": "Largest diameter (mm)",
    "hu_mean": "Mean HU", "flags": "Why to look at it",
}  # fmt: skip


def patch_note(study: Study) -> str:
    """Say what a patch of this profile covers, and with how many voxels."""
    if not isinstance(study.deep, Cnn3d):
        return ""
    covered, voxels = patch_words(covered_voxels(study, study.deep)), patch_words(study.deep.patch)
    return f"Patches cover {covered} voxels of the image (slices, rows, columns) with {voxels} of their own"


def share_words(shares: pd.DataFrame) -> str:
    """Say, as a warning, how many tumours do not fit into the patch."""
    parts = []
    for row in share_summary(shares).to_dict("records"):
        cut = row["n"] - row["whole"]
        parts.append(
            f"A patch of {row['patch']} voxels cuts {cut} of {row['n']} tumours; the median share inside is "
            f"{row['median']:.0%}, the smallest {row['smallest']:.0%}."
        )
    return "**What the network does not see.** " + " ".join(parts)


SHARE_HEADERS = {
    "patch": "Patch (voxels of 1 mm)", "n": "Tumours", "median": "Median share inside", "smallest": "Smallest",
    "whole": "Wholly inside", "below_half": "Less than half inside",
}  # fmt: skip
