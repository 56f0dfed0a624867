"""The two ways of cutting a patch for a 3-D network (Cui 2022), and how much of each tumour a patch holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import SimpleITK as sitk

from radsupport.features.parallel import map_cases
from radsupport.features.slices import Patch, tumour_patch, window
from radsupport.imaging.reading import read_image, read_mask
from radsupport.imaging.regions import bounding_box
from radsupport.study_schema import Cnn3d, Study

PRINTED_PATCH = (10, 150, 150)


def covered_voxels(study: Study, deep: Cnn3d) -> tuple[int, int, int]:
    """Return how many voxels (slices, rows, columns) of a preprocessed image the network's patch covers."""
    if deep.field_mm is None:
        return deep.patch
    x, y, z = study.preprocessing.spacing_mm
    slices, rows, columns = (round(mm / side) for mm, side in zip(deep.field_mm, (z, y, x), strict=True))
    return slices, rows, columns


def patch_shares(study: Study, cases: pd.DataFrame, n_jobs: int = 1) -> pd.DataFrame:
    """Return which share of each tumour lies inside the printed patch, and inside this profile's where it differs.

    Parameters
    ----------
    study : Study
        With a network of kind ``cnn3d``.
    cases : pandas.DataFrame
        Table `cases`.
    n_jobs : int
        Cases at once.

    Returns
    -------
    pandas.DataFrame
        subject, volume_mm3, patch (what it covers, as text), share (0 to 1), the same for both samplings.
    """
    columns = ["subject", "volume_mm3", "patch", "share"]
    if not isinstance(study.deep, Cnn3d):
        return pd.DataFrame(columns=columns)
    fields = list(dict.fromkeys([PRINTED_PATCH, covered_voxels(study, study.deep)]))
    items = [(row, fields) for row in cases[cases["exclusion"] == ""].to_dict("records")]
    found = map_cases(_shares, items, n_jobs=n_jobs, progress=False)
    return pd.DataFrame([row for rows in found for row in rows], columns=columns)


def _shares(item: tuple[Mapping[Any, Any], list[tuple[int, int, int]]]) -> list[dict[str, Any]]:
    case, fields = item
    drawn = read_mask(case["mask"])
    mask = sitk.GetArrayFromImage(drawn)[bounding_box(drawn).slices]  # what is cut off is outside the tumour
    rows = []
    for field in fields:
        share = tumour_patch(mask, mask, sampling="segmentation", shape=field).share_inside
        row = {"subject": case["subject"], "volume_mm3": case["volume_mm3"]}
        rows.append(row | {"patch": patch_words(field), "share": share})
    return rows


def _patch(case: Mapping[Any, Any], study: Study, deep: Cnn3d, sampling: Any) -> Patch:
    volume = window(sitk.GetArrayFromImage(read_image(case["image"])), deep.window.level, deep.window.width)
    mask = sitk.GetArrayFromImage(read_mask(case["mask"]))
    return tumour_patch(volume, mask, sampling=sampling, shape=deep.patch, field=covered_voxels(study, deep))


def patch_words(shape: tuple[int, int, int]) -> str:
    """Return the size of a patch as text."""
    return " × ".join(str(n) for n in shape)


def share_summary(shares: pd.DataFrame) -> pd.DataFrame:
    """Return per patch size how much of the tumours it holds: n, median, smallest, whole (number held completely)."""
    grouped = shares.groupby("patch", sort=False)["share"]
    table = grouped.agg(n="size", median="median", smallest="min", whole=lambda s: int((s >= 1).sum()))
    return table.assign(below_half=grouped.agg(lambda s: int((s < 0.5).sum()))).reset_index()


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
                patch = _patch(case, study, deep, sampling)
                caption = f"{case['max_axial_diameter_mm']:.0f} mm, {sampling}, slice {z + 1}"
                row = {"subject": caption, "image": patch.image[z], "mask": patch.mask[z].astype(int)}
                rows.append(row | {"spacing": (1.0, 1.0)})
    return pd.DataFrame(rows)


SHARE_HEADERS = {
    "patch": "Patch (voxels of 1 mm)", "n": "Tumours", "median": "Median share inside", "smallest": "Smallest",
    "whole": "Wholly inside", "below_half": "Less than half inside",
}  # fmt: skip
