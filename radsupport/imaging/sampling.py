"""The two ways of cutting a patch for a 3-D network (Cui 2022), and how much of each tumour a patch holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import SimpleITK as sitk

from radsupport.features.slices import Patch, tumour_patch, window
from radsupport.imaging.reading import read_image, read_mask
from radsupport.study_schema import Cnn3d, Study

SAMPLING_WORDS = {"segmentation": "segmentation sampling", "box": "box sampling"}
PRINTED_PATCH = (10, 150, 150)


def _patch(case: Mapping[Any, Any], deep: Cnn3d, sampling: Any, shape: tuple[int, int, int]) -> Patch:
    volume = window(sitk.GetArrayFromImage(read_image(case["image"])), deep.window.level, deep.window.width)
    mask = sitk.GetArrayFromImage(read_mask(case["mask"]))
    return tumour_patch(volume, mask, sampling=sampling, shape=shape)


def patch_shares(study: Study, cases: pd.DataFrame) -> pd.DataFrame:
    """Return which share of each tumour the patch of the printed and of this profile's size holds.

    Parameters
    ----------
    study : Study
        With a network of kind ``cnn3d``.
    cases : pandas.DataFrame
        Table `cases`.

    Returns
    -------
    pandas.DataFrame
        subject, volume_mm3, patch (voxels as text), share (0 to 1). The share is the same for both samplings.
    """
    if not isinstance(study.deep, Cnn3d):
        return pd.DataFrame(columns=["subject", "volume_mm3", "patch", "share"])
    rows = []
    for case in cases[(cases["exclusion"] == "")].to_dict("records"):
        for shape in dict.fromkeys((PRINTED_PATCH, study.deep.patch)):
            share = _patch(case, study.deep, "segmentation", shape).share_inside
            row = {"subject": case["subject"], "volume_mm3": case["volume_mm3"]}
            rows.append(row | {"patch": patch_words(shape), "share": share})
    return pd.DataFrame(rows)


def patch_words(shape: tuple[int, int, int]) -> str:
    """Return the size of a patch as text."""
    return " × ".join(str(n) for n in shape)


def share_summary(shares: pd.DataFrame) -> pd.DataFrame:
    """Return per patch size how much of the tumours it holds: n, median, smallest, whole (number held completely)."""
    grouped = shares.groupby("patch", sort=False)["share"]
    table = grouped.agg(n="size", median="median", smallest="min", whole=lambda s: int((s >= 1).sum()))
    return table.assign(below_half=grouped.agg(lambda s: int((s < 0.5).sum()))).reset_index()


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


def sampling_table(study: Study, cases: pd.DataFrame) -> pd.DataFrame:
    """Return the same slices of a small, a middle and a large tumour, sampled both ways.

    Returns
    -------
    pandas.DataFrame
        subject (a caption), image (0 to 1), mask, spacing, for `figures.contact_sheet`: for each tumour the middle
        slice and the one a third of the patch above it, by segmentation sampling (background 0) and by box sampling
        (background kept).
    """
    deep = study.deep
    if not isinstance(deep, Cnn3d):
        return pd.DataFrame()
    used = cases[cases["exclusion"] == ""].sort_values("volume_mm3", kind="stable")
    picked = sorted({round(share * (len(used) - 1)) for share in (0.1, 0.5, 0.95)})
    rows = []
    for case in used.iloc[picked].to_dict("records"):
        for z in (deep.patch[0] // 2, deep.patch[0] // 2 + deep.patch[0] // 3):
            for sampling in deep.sampling:
                patch = _patch(case, deep, sampling, deep.patch)
                name = f"{case['max_axial_diameter_mm']:.0f} mm tumour, {SAMPLING_WORDS[sampling].split()[0]}"
                caption = f"{name}, slice {z + 1}"
                row = {"subject": caption, "image": patch.image[z], "mask": patch.mask[z].astype(int)}
                rows.append(row | {"spacing": (1.0, 1.0)})
    return pd.DataFrame(rows)


SHARE_HEADERS = {
    "patch": "Patch (voxels of 1 mm)", "n": "Tumours", "median": "Median share inside", "smallest": "Smallest",
    "whole": "Wholly inside", "below_half": "Less than half inside",
}  # fmt: skip
