"""What a radiologist looks at to check masks: the largest slice of each case with the tumour's outline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import SimpleITK as sitk

from radsupport.features.parallel import map_cases
from radsupport.imaging.geometry import check_geometry, read_image, read_mask
from radsupport.imaging.regions import bounding_box, crop, largest_slice, slice_areas


def contact_sheet_data(
    cases: pd.DataFrame, margin_mm: float = 15.0, label: int | None = None, n_jobs: int = 1
) -> pd.DataFrame:
    """Return the largest axial section of every usable case, for a contact sheet of the cohort.

    Parameters
    ----------
    cases : DataFrame
        Table `cases`: ``subject``, ``phase``, ``image``, ``mask``, and ``exclusion`` and ``warnings`` where there are.
    margin_mm : float
        Tissue shown around the tumour.
    label : int, optional
        Label to show where masks hold several.
    n_jobs : int
        Cases read at once.

    Returns
    -------
    DataFrame
        One row per case: ``subject``, ``phase``, ``slice`` (z index in the image), ``image`` (2-D, HU), ``mask`` (2-D),
        ``spacing`` ((row, column) in mm), ``area_mm2``, ``warnings``. Cases with a reason for exclusion are left out.
    """
    usable = cases[cases["exclusion"].fillna("") == ""] if "exclusion" in cases else cases
    items = [(row, margin_mm, label) for row in usable.to_dict("records")]
    return pd.DataFrame(map_cases(_section_of, items, n_jobs=n_jobs, progress=False))


def _section_of(item: tuple[Mapping[Any, Any], float, int | None]) -> dict[str, Any]:
    return _section(*item)


def _section(case: Mapping[Any, Any], margin_mm: float, label: int | None) -> dict[str, Any]:
    image = read_image(case["image"])
    mask = check_geometry(image, read_mask(case["mask"], label), str(case["mask"])).mask
    z, areas = largest_slice(mask), slice_areas(mask)
    box = bounding_box(mask, (margin_mm, margin_mm, 0))
    small_image, small_mask = crop(image, box), crop(mask, box, 0)
    spacing = image.GetSpacing()
    return {
        "subject": case["subject"],
        "phase": case["phase"],
        "slice": z,
        "image": sitk.GetArrayFromImage(small_image)[z - box.start[2]],
        "mask": sitk.GetArrayFromImage(small_mask)[z - box.start[2]],
        "spacing": (spacing[1], spacing[0]),
        "area_mm2": float(areas[z]),
        "warnings": str(case.get("warnings") or ""),
    }
