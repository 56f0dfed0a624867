"""How scans differ between centers: voxel size, slice thickness, noise, HU of the tumour."""

from __future__ import annotations

import pandas as pd

QUANTITIES = {
    "spacing_z_mm": ("Slice thickness", "mm"),
    "spacing_x_mm": ("Pixel", "mm"),
    "noise_hu": ("Noise", "HU"),
    "hu_mean": ("Mean HU of the tumour", "HU"),
}


def center_table(cases: pd.DataFrame) -> pd.DataFrame:
    """Summarise per center and phase how the scans were made: cases, voxel size (mm), noise (HU), tumour.

    Parameters
    ----------
    cases : pandas.DataFrame
        Table `cases`.

    Returns
    -------
    pandas.DataFrame
        center, phase, cases, then medians: slice_thickness_mm, pixel_mm, noise_hu, tumour_hu, max_axial_diameter_mm.
    """
    used = cases[cases["exclusion"] == ""]
    grouped = used.groupby(["center", "phase"], sort=False)
    return grouped.agg(
        cases=("subject", "size"),
        slice_thickness_mm=("spacing_z_mm", "median"),
        pixel_mm=("spacing_x_mm", "median"),
        noise_hu=("noise_hu", "median"),
        tumour_hu=("hu_mean", "median"),
        max_axial_diameter_mm=("max_axial_diameter_mm", "median"),
    ).reset_index()


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
