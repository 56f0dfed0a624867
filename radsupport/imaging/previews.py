"""What a page shows of the scans, as tables: sections, windows, boxes, patches and sizes. Nothing is drawn here.

Tables of pictures have one row per picture: ``subject`` (a caption), ``image`` (2-D), ``mask`` (2-D), ``spacing``
((row, column) in mm), for `radsupport.plots.contact_sheet`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import SimpleITK as sitk

from radsupport.imaging.patches import Centre, Sampling, margin_voxels, sampled_patch, tumour_field
from radsupport.imaging.preprocessing import window
from radsupport.imaging.reading import check_geometry, read_image, read_mask, read_pair
from radsupport.imaging.regions import bounding_box, crop, largest_slice, rough_roi_box, slice_areas
from radsupport.parallel import map_cases

FULL_RANGE = (1024.0, 4096.0)
Windows = Mapping[str, tuple[float, float]]
Voxels = tuple[int, int, int]


def sections(cases: pd.DataFrame, margin_mm: float = 15.0, n_jobs: int = 1) -> pd.DataFrame:
    """Return the largest axial section of every usable case.

    Parameters
    ----------
    cases : DataFrame
        Table `cases`: ``subject``, ``phase``, ``image``, ``mask``, and ``exclusion`` where there is one.
    margin_mm : float
        Tissue shown around the tumour.
    n_jobs : int
        Cases read at once.

    Returns
    -------
    DataFrame
        One row per case: ``subject``, ``phase``, ``slice`` (z index in the image), ``image`` (HU), ``mask``,
        ``spacing``, ``area_mm2``. Cases with a reason for exclusion are left out.
    """
    usable = cases[cases["exclusion"].fillna("") == ""] if "exclusion" in cases else cases
    items = [(row, margin_mm) for row in usable.to_dict("records")]
    return pd.DataFrame(map_cases(_section, items, n_jobs=n_jobs, progress=False))


def _section(item: tuple[Mapping[Any, Any], float]) -> dict[str, Any]:
    case, margin_mm = item
    image, report = read_pair(case["image"], case["mask"])
    mask, spacing = report.mask, image.GetSpacing()
    z, box = largest_slice(mask), bounding_box(mask, (margin_mm, margin_mm, 0))
    shown, inside = (sitk.GetArrayFromImage(crop(one, box))[z - box.start[2]] for one in (image, mask))
    row = {"subject": case["subject"], "phase": case["phase"], "slice": z, "image": shown, "mask": inside}
    return row | {"spacing": (spacing[1], spacing[0]), "area_mm2": float(slice_areas(mask)[z])}


def sheet(
    cases: pd.DataFrame, checked: pd.DataFrame, phase: str, windows: Windows, n_jobs: int = 1, most: int = 400
) -> pd.DataFrame:
    """Return the largest section of cases of one phase and of flagged cases of any, flagged ones first.

    Parameters
    ----------
    cases : pandas.DataFrame
        Table `cases`.
    checked : pandas.DataFrame
        As `radsupport.imaging.masks.check` returns it.
    phase : str
    windows : mapping
        Phase to (level, width) in HU.
    n_jobs : int
    most : int
        Of more cases a sample is read and shown: the flagged ones, and others evenly spread over the table.

    Returns
    -------
    pandas.DataFrame
        As `sections`, with ``attrs["of"]`` how many cases there are, ``subject`` a caption (the patient, ``*`` where
        flagged, and another phase's name) and ``image`` in its phase's window (0 to 1).
    """
    wanted = checked[(checked["phase"] == phase) | (checked["n_flags"] > 0)]
    if wanted.empty:
        empty = pd.DataFrame(columns=["subject", "phase", "image", "mask", "spacing"])
        empty.attrs["of"] = 0
        return empty
    of, wanted = len(wanted), _sampled(wanted, most)
    found = sections(wanted[["subject", "phase"]].merge(cases, on=["subject", "phase"], how="left"), n_jobs=n_jobs)
    captions = [
        (row["subject"] if row["phase"] == phase else f"{row['subject']}, {row['phase']}") + " *" * (row["n_flags"] > 0)
        for row in wanted.to_dict("records")
    ]
    images = [window(image, *windows[name]) for image, name in zip(found["image"], found["phase"], strict=True)]
    found = found.assign(subject=captions, image=pd.Series(images, found.index, dtype=object))
    found.attrs["of"] = of
    return found


def _sampled(wanted: pd.DataFrame, most: int) -> pd.DataFrame:
    """Return at most so many rows, in their order: flagged ones, then others evenly spread."""
    flagged = np.flatnonzero(wanted["n_flags"] > 0)[:most]
    others = np.flatnonzero(wanted["n_flags"] == 0)
    left = min(most - len(flagged), len(others))
    spread = others[np.linspace(0, len(others) - 1, left).round().astype(int)] if left else others[:0]
    return wanted.iloc[np.sort(np.concatenate([flagged, spread]))]


def windowed(cases: pd.DataFrame, subject: str, windows: Windows) -> pd.DataFrame:
    """Return one patient's largest section per phase, at full range and in the phase's window (0 to 1)."""
    own = cases[(cases["subject"] == subject) & (cases["exclusion"] == "")]
    found = {row["phase"]: row for row in sections(own).to_dict("records")}
    rows = []
    for phase, view in [(phase, view) for phase, view in windows.items() if phase in found]:
        for words, shown in (("full range", FULL_RANGE), (f"window {view[0]:g}/{view[1]:g}", view)):
            row = {"subject": f"{phase}, {words}", "image": window(found[phase]["image"], *shown)}
            rows.append(row | {key: found[phase][key] for key in ("mask", "spacing")})
    return pd.DataFrame(rows)


def shares(
    cases: pd.DataFrame, of: Windows | Sequence[Voxels], n_jobs: int = 1, centre: Centre = "tumour"
) -> pd.DataFrame:
    """Return which share of the tumours windows cut off (a mapping), or patches of some sizes hold (a sequence).

    Parameters
    ----------
    cases : pandas.DataFrame
        Table `cases`.
    of : mapping of phase to (level, width), or sequence of (slices, rows, columns)
        Windows in HU, or voxels of the image that a patch covers; the same size twice counts once.
    n_jobs : int
        Cases at once.
    centre : {"tumour", "largest_section"}
        The middle slice of patches.

    Returns
    -------
    pandas.DataFrame
        Of windows phase, level, width, lower, upper (HU), cases, below, above (mean share of a tumour's voxels in
        percent). Of patches patch (its size as text), n, median, smallest (share inside, 0 to 1), whole, below_half
        (numbers of tumours that lie wholly, or to less than a half, inside), whichever way they are sampled.
    """
    return _window_shares(cases, of) if isinstance(of, Mapping) else _patch_shares(cases, of, n_jobs, centre)


def _window_shares(cases: pd.DataFrame, windows: Windows) -> pd.DataFrame:
    """Return per phase the window and the share of the voxels that it cuts off, over all patients."""
    rows = []
    for phase, (level, width) in windows.items():
        own = cases[(cases["phase"] == phase) & (cases["exclusion"] == "")]
        low, high = level - width / 2, level + width / 2
        shares = [_outside(case, low, high) for case in own.to_dict("records")]
        below, above = np.mean(shares, axis=0) if shares else (np.nan, np.nan)
        row = {"phase": phase, "level": level, "width": width, "lower": low, "upper": high, "cases": len(own)}
        rows.append(row | {"below": 100 * float(below), "above": 100 * float(above)})
    return pd.DataFrame(rows)


def _outside(case: Mapping[Any, Any], low: float, high: float) -> tuple[float, float]:
    """Return which share of a tumour lies below and above a window."""
    image = sitk.GetArrayFromImage(read_image(case["image"]))
    values = image[sitk.GetArrayFromImage(read_mask(case["mask"])) != 0]
    return float((values < low).mean()), float((values > high).mean())


def before_after(cases: pd.DataFrame, phase: str) -> pd.DataFrame:
    """Return one case per center before and after resampling, in an axial and a coronal plane through the tumour.

    Returns
    -------
    pandas.DataFrame
        Four pictures (HU) per center. The case is the center's one of median size.
    """
    rows = []
    for center, own in _used(cases, phase).groupby("center", sort=False):
        case = own.sort_values("volume_mm3").iloc[len(own) // 2].to_dict()
        for words, image, mask in (("scan", "source_image", "source_mask"), ("resampled", "image", "mask")):
            rows += _planes(f"{center}, {words}", read_image(case[image]), read_mask(case[mask]))
    return pd.DataFrame(rows)


def _used(cases: pd.DataFrame, phase: str) -> pd.DataFrame:
    return cases[(cases["phase"] == phase) & (cases["exclusion"] == "")]


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
    turned = {"image": array[coronal][::-1], "mask": inside[coronal][::-1], "spacing": (z_size, x_size)}
    return [
        {"subject": f"{name}, axial", "image": array[axial], "mask": inside[axial], "spacing": (y_size, x_size)},
        {"subject": f"{name}, coronal", **turned},
    ]


def boxes(cases: pd.DataFrame, subject: str, phase: str, slices: int | None = None) -> pd.DataFrame:
    """Return slices of one patient with the outline, its box and, where drawn, the quadrilaterals and their box.

    Parameters
    ----------
    cases : pandas.DataFrame
        Table `cases`.
    subject, phase : str
    slices : int, optional
        Slices around the largest section that a network looks at; all of the tumour by default. Of many, five are
        shown.

    Returns
    -------
    pandas.DataFrame
        Pictures (HU) with ``outlines`` (names to 2-D masks).
    """
    case = cases[(cases["subject"] == subject) & (cases["phase"] == phase)].iloc[0].to_dict()
    image, mask = read_image(case["image"]), read_mask(case["mask"])
    array, inside = sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(mask)
    outlines = {"outline": inside, "bounding box": sitk.GetArrayFromImage(rough_roi_box(mask))}
    if isinstance(case.get("roi_rough"), str):
        rough = read_mask(case["roi_rough"])
        outlines["quadrilateral drawn roughly"] = sitk.GetArrayFromImage(rough)
        outlines["box of the rough region"] = sitk.GetArrayFromImage(rough_roi_box(rough))
    spacing, top = image.GetSpacing(), largest_slice(mask)
    drawn = np.flatnonzero(outlines.get("quadrilateral drawn roughly", inside[:0]).any(axis=(1, 2)))
    rows = []
    for z in sorted({*shown_slices(mask, slices), *(drawn[[0, len(drawn) // 2, -1]] if len(drawn) else ())}):
        words = "largest section" if z == top else f"{(z - top) * spacing[2]:+.0f} mm"
        row = {"subject": words, "image": array[z], "mask": np.zeros_like(inside[z]), "spacing": spacing[1::-1]}
        rows.append(row | {"outlines": {name: volume[z] for name, volume in outlines.items()}})
    return pd.DataFrame(rows)


def shown_slices(mask: sitk.Image, slices: int | None = None) -> list[int]:
    """Return up to six of the axial slices (z) around the largest section, or of all that the region has."""
    top, filled = largest_slice(mask), np.flatnonzero(slice_areas(mask))
    first, last = int(filled[0]), int(filled[-1])
    if slices is not None:
        first = max(top - slices // 2, 0)
        last = min(first + slices, mask.GetSize()[2]) - 1
    return sorted({int(z) for z in np.linspace(first, last, 5)} | {top})[:6]


def sizes(cases: pd.DataFrame, phase: str, *, by_slice: bool = False) -> pd.DataFrame:
    """Return the preprocessed size of the tumours of one phase: box (mm), slices, largest section.

    Returns
    -------
    pandas.DataFrame
        what, n, median, smallest, largest; one row per quantity. With `by_slice` the area by resampled slice of a
        small, a middle and a large tumour: subject, position_mm (from the largest section), area_mm2.
    """
    if by_slice:
        return _areas(cases, phase)
    rows = []
    for case in _used(cases, phase).to_dict("records"):
        mask = read_mask(case["mask"])
        areas = slice_areas(mask)
        extent = np.array(bounding_box(mask).size) * np.array(mask.GetSpacing())
        rows.append([*extent, int((areas > 0).sum()), float(areas.max())])
    boxes = [f"box, {side} (mm)" for side in ("left to right", "front to back", "along the body")]
    found = pd.DataFrame(rows, columns=[*boxes, "slices, resampled", "largest section (mm²)"])
    summary = found.agg(["median", "min", "max"]).T.set_axis(["median", "smallest", "largest"], axis=1)
    summary.insert(0, "n", len(found))
    return summary.rename_axis("what").reset_index()


def _picked(used: pd.DataFrame, shares: Sequence[float]) -> list[dict[Any, Any]]:
    """Return a small, a middle and a large tumour: those at some shares of the order by volume."""
    ordered = used.sort_values("volume_mm3", kind="stable")
    return ordered.iloc[sorted({round(share * (len(ordered) - 1)) for share in shares})].to_dict("records")


def _areas(cases: pd.DataFrame, phase: str) -> pd.DataFrame:
    """Return the area by resampled slice of a small, a middle and a large tumour: subject, position_mm, area_mm2."""
    rows = []
    for case in _picked(_used(cases, phase), (0.1, 0.5, 0.9)):
        mask = read_mask(case["mask"])
        found, z = slice_areas(mask), largest_slice(mask)
        for i in np.flatnonzero(found):
            position = float(i - z) * mask.GetSpacing()[2]
            rows.append({"subject": case["subject"], "position_mm": position, "area_mm2": float(found[i])})
    return pd.DataFrame(rows)


def _patch_shares(cases: pd.DataFrame, fields: Sequence[Voxels], n_jobs: int, centre: Centre) -> pd.DataFrame:
    """Return how much of the tumours patches of some sizes hold."""
    used, sizes = cases[cases["exclusion"] == ""].to_dict("records"), list(dict.fromkeys(fields))
    items = [(row["mask"], sizes, centre) for row in used]
    found = map_cases(_shares, items, n_jobs=n_jobs, progress=False)
    shares = pd.DataFrame([row for rows in found for row in rows], columns=["patch", "share"])
    grouped = shares.groupby("patch", sort=False)["share"]
    table = grouped.agg(n="size", median="median", smallest="min", whole=lambda s: int((s >= 1).sum()))
    return table.assign(below_half=grouped.agg(lambda s: int((s < 0.5).sum()))).reset_index()


def _shares(item: tuple[str, list[Voxels], Centre]) -> list[dict[str, Any]]:
    path, fields, centre = item
    drawn = read_mask(path)
    mask = sitk.GetArrayFromImage(drawn)[bounding_box(drawn).slices]  # what is cut off is outside the tumour
    shares = [tumour_field(mask, mask, field, centre).share_inside for field in fields]
    return [{"patch": " × ".join(map(str, f)), "share": share} for f, share in zip(fields, shares, strict=True)]


def sampled(
    cases: pd.DataFrame, patch: Voxels, field: Voxels, sampling: Sequence[Sampling], view: tuple[float, float],
    centre: Centre = "tumour", box_margin_mm: float | None = 0.0,
) -> pd.DataFrame:  # fmt: skip
    """Return the same slices of a small, a middle and a large tumour, sampled both ways.

    Parameters
    ----------
    cases : pandas.DataFrame
        Table `cases`.
    patch, field : (slices, rows, columns)
        Voxels of the patch, and of the image that it covers.
    sampling : sequence of {"segmentation", "box"}
        Background 0, background kept.
    view : (level, width)
        Window in HU.
    centre : {"tumour", "largest_section"}
        The middle slice of a patch.
    box_margin_mm : float, optional
        Background kept around the tumour's box; None keeps all of it.

    Returns
    -------
    pandas.DataFrame
        Pictures (0 to 1): for each tumour the middle slice and the one a third of the patch above it.
    """
    rows = []
    for case in _picked(cases[cases["exclusion"] == ""], (0.1, 0.5, 0.95)):
        scan, mask = read_image(case["image"]), sitk.GetArrayFromImage(read_mask(case["mask"]))
        volume, margin = window(sitk.GetArrayFromImage(scan), *view), margin_voxels(box_margin_mm, scan.GetSpacing())
        whole = tumour_field(volume, mask, field, centre)
        cut = {way: sampled_patch(whole, way, patch, margin) for way in sampling}
        for z in (patch[0] // 2, patch[0] // 2 + patch[0] // 3):
            for way, part in cut.items():
                caption = f"{case['max_axial_diameter_mm']:.0f} mm, {way}, slice {z + 1}"
                row = {"subject": caption, "image": part.image[z], "mask": part.mask[z].astype(int)}
                rows.append(row | {"spacing": (1.0, 1.0)})
    return pd.DataFrame(rows)
