"""Pictures of chapter 02 as tables: windows, before and after, boxes and slices. Nothing is drawn here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import SimpleITK as sitk

from radsupport.imaging.geometry import check_geometry
from radsupport.imaging.masks import contact_sheet_data
from radsupport.imaging.preprocessing import window
from radsupport.imaging.reading import read_image, read_mask
from radsupport.imaging.regions import bounding_box, largest_slice, rough_roi_box, slice_areas, slices_around_largest
from radsupport.settings.features import Cnn3d, Resnet
from radsupport.settings.study import Study

FULL_RANGE = (1024.0, 4096.0)


def example_subject(cases: pd.DataFrame) -> str:
    """Return the subject of median tumour size among those with a usable case in most phases."""
    used = cases[cases["exclusion"] == ""]
    complete = used.groupby("subject")["phase"].nunique()
    sizes = (
        used[used["subject"].isin(complete.index[complete == complete.max()])].groupby("subject")["volume_mm3"].mean()
    )
    return str(sizes.sort_values(kind="stable").index[len(sizes) // 2])


def window_table(study: Study, cases: pd.DataFrame, subject: str) -> pd.DataFrame:
    """Return one patient's largest section per phase, at full range and windowed, for `figures.contact_sheet`.

    Returns
    -------
    pandas.DataFrame
        subject (a caption), image (2-D, 0 to 1), mask (2-D), spacing (mm).
    """
    own = cases[(cases["subject"] == subject) & (cases["exclusion"] == "")]
    sections = contact_sheet_data(own).set_index("phase")
    rows = []
    for phase, spec in study.phases.items():
        if phase not in sections.index:
            continue
        section, view = sections.loc[phase], (spec.window.level, spec.window.width)
        for words, (level, width) in (("full range", FULL_RANGE), (f"window {view[0]:g}/{view[1]:g}", view)):
            row = {"subject": f"{phase}, {words}", "image": window(section["image"], level, width)}
            rows.append(row | {"mask": section["mask"], "spacing": section["spacing"]})
    return pd.DataFrame(rows)


def window_shares(study: Study, cases: pd.DataFrame) -> pd.DataFrame:
    """Return per phase the window (HU) and the share of the tumours' voxels that it cuts off, over all patients.

    Returns
    -------
    pandas.DataFrame
        phase, level, width, lower, upper (HU), cases, below, above (mean share of a tumour's voxels in percent).
    """
    rows = []
    for phase, spec in study.phases.items():
        own = cases[(cases["phase"] == phase) & (cases["exclusion"] == "")]
        low, high = spec.window.level - spec.window.width / 2, spec.window.level + spec.window.width / 2
        shares = [_outside(case, low, high) for case in own.to_dict("records")]
        below, above = np.mean(shares, axis=0) if shares else (np.nan, np.nan)
        row = {"phase": phase, "level": spec.window.level, "width": spec.window.width, "lower": low, "upper": high}
        rows.append(row | {"cases": len(own), "below": 100 * float(below), "above": 100 * float(above)})
    return pd.DataFrame(rows)


def _outside(case: Mapping[Any, Any], low: float, high: float) -> tuple[float, float]:
    """Return which share of a tumour lies below and above a window."""
    image = sitk.GetArrayFromImage(read_image(case["image"]))
    values = image[sitk.GetArrayFromImage(read_mask(case["mask"])) != 0]
    return float((values < low).mean()), float((values > high).mean())


def before_after_table(cases: pd.DataFrame, phase: str) -> pd.DataFrame:
    """Return one case per center before and after resampling, in an axial and a coronal plane through the tumour.

    Parameters
    ----------
    cases : pandas.DataFrame
        Table `cases`.
    phase : str

    Returns
    -------
    pandas.DataFrame
        subject (a caption), image (2-D, HU), mask (2-D), spacing (mm): four rows per center, for
        `figures.contact_sheet`. The case is the center's one of median size.
    """
    used = cases[(cases["phase"] == phase) & (cases["exclusion"] == "")]
    rows = []
    for center, own in used.groupby("center", sort=False):
        case = own.sort_values("volume_mm3").iloc[len(own) // 2].to_dict()
        for words, image, mask in (("scan", "source_image", "source_mask"), ("resampled", "image", "mask")):
            rows += _planes(f"{center}, {words}", read_image(case[image]), read_mask(case[mask]))
    return pd.DataFrame(rows)


def _planes(name: str, image: sitk.Image, mask: sitk.Image, margin_mm: float = 12.0) -> list[dict[str, Any]]:
    """Return the axial and the coronal plane through the middle of the largest section, cut to the surroundings."""
    aligned = check_geometry(image, mask, name).mask
    box = bounding_box(aligned, margin_mm)
    array, inside = (sitk.GetArrayFromImage(volume) for volume in (image, aligned))
    z = largest_slice(aligned)
    y = int(np.median(np.nonzero(inside[z])[0]))
    x_size, y_size, z_size = image.GetSpacing()
    axial, coronal = (z, *box.slices[1:]), (box.slices[0], y, box.slices[2])
    # rows of a coronal plane run from the feet upwards: turned so that the head is on top
    return [
        {"subject": f"{name}, axial", "image": array[axial], "mask": inside[axial], "spacing": (y_size, x_size)},
        {
            "subject": f"{name}, coronal",
            "image": array[coronal][::-1],
            "mask": inside[coronal][::-1],
            "spacing": (z_size, x_size),
        },
    ]


def box_table(study: Study, cases: pd.DataFrame, subject: str, phase: str) -> pd.DataFrame:
    """Return one patient's largest section with the outline, its bounding box and, where drawn, the rough region's box.

    Returns
    -------
    pandas.DataFrame
        subject (a caption), image, mask, spacing, outlines (names to 2-D masks), for `figures.contact_sheet`: the
        slices that the study's network is given (its largest section, or the ones around it).
    """
    case = cases[(cases["subject"] == subject) & (cases["phase"] == phase)].iloc[0].to_dict()
    image, mask = read_image(case["image"]), read_mask(case["mask"])
    array, inside = sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(mask)
    outlines = {"outline": inside, "bounding box": _filled(bounding_box(mask).slices, inside.shape)}
    if isinstance(case.get("roi_rough"), str):
        outlines["box of the rough region"] = sitk.GetArrayFromImage(rough_roi_box(read_mask(case["roi_rough"])))
    spacing, top = image.GetSpacing(), largest_slice(mask)
    rows = []
    for z in network_slices(study, mask):
        words = "largest section" if z == top else f"{(z - top) * spacing[2]:+.0f} mm"
        row = {"subject": words, "image": array[z], "mask": np.zeros_like(inside[z]), "spacing": spacing[1::-1]}
        rows.append(row | {"outlines": {name: volume[z] for name, volume in outlines.items()}})
    return pd.DataFrame(rows)


def _filled(slices: tuple[slice, slice, slice], shape: tuple[int, ...]) -> npt.NDArray:
    filled = np.zeros(shape, np.uint8)
    filled[slices] = 1
    return filled


def network_slices(study: Study, mask: sitk.Image) -> list[int]:
    """Return the axial slices (z) of one case that the study's network looks at; five shown where it takes more."""
    top, filled = largest_slice(mask), np.flatnonzero(slice_areas(mask))
    if isinstance(study.deep, Resnet):
        return slices_around_largest(mask, 3) if study.deep.slices == 3 else [top]
    if isinstance(study.deep, Cnn3d):
        first = max(top - study.deep.patch[0] // 2, 0)
        last = min(first + study.deep.patch[0], mask.GetSize()[2]) - 1
    else:
        first, last = int(filled[0]), int(filled[-1])
    return sorted({int(z) for z in np.linspace(first, last, 5)} | {top})[:6]


def size_table(cases: pd.DataFrame, phase: str) -> pd.DataFrame:
    """Return the preprocessed size of the tumours of one phase: box (mm), slices, largest section.

    Returns
    -------
    pandas.DataFrame
        what, n, median, smallest, largest; one row per quantity.
    """
    used = cases[(cases["phase"] == phase) & (cases["exclusion"] == "")]
    rows = []
    for case in used.to_dict("records"):
        mask = read_mask(case["mask"])
        extent = np.array(bounding_box(mask).size) * np.array(mask.GetSpacing())
        areas = slice_areas(mask)
        rows.append([*extent, int((areas > 0).sum()), float(areas.max())])
    names = [
        "box, left to right (mm)",
        "box, front to back (mm)",
        "box, along the body (mm)",
        "slices, resampled",
        "largest section (mm²)",
    ]
    found = pd.DataFrame(rows, columns=names)
    summary = found.agg(["median", "min", "max"]).T.set_axis(["median", "smallest", "largest"], axis=1)
    summary.insert(0, "n", len(found))
    return summary.rename_axis("what").reset_index()


def area_table(cases: pd.DataFrame, phase: str) -> pd.DataFrame:
    """Return the area by resampled slice of a small, a middle and a large tumour, for `figures.areas`."""
    used = cases[(cases["phase"] == phase) & (cases["exclusion"] == "")].sort_values("volume_mm3", kind="stable")
    picked = sorted({round(share * (len(used) - 1)) for share in (0.1, 0.5, 0.9)})
    rows = []
    for case in used.iloc[picked].to_dict("records"):
        mask = read_mask(case["mask"])
        areas, z = slice_areas(mask), largest_slice(mask)
        for i in np.flatnonzero(areas):
            position = float(i - z) * mask.GetSpacing()[2]
            rows.append({"subject": case["subject"], "position_mm": position, "area_mm2": float(areas[i])})
    return pd.DataFrame(rows)
