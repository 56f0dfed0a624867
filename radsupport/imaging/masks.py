"""Quality of masks: what is counted in each, what happens to a faulty one, and which to look at first and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import SimpleITK as sitk
from scipy import ndimage

from radsupport.errors import MaskError
from radsupport.imaging.reading import label_values, read_mask, select_label
from radsupport.imaging.regions import maximum_diameters
from radsupport.parallel import map_cases
from radsupport.stats.agreement import dice

#: Distance from the median, in SDs estimated from the median absolute deviation, from which HU are remarkable.
FAR_FROM_OTHERS = 3.5
SIZE_RATIO, SIZE_MM = 1.3, 5.0
"""Outlines of two phases differ in size where the diameters differ by this factor and by this many mm."""
LOW_DICE = 0.7
FEW_SLICES = 4
_KEYS = ["subject", "phase"]
_COUNTED = ["voxels", "slices", "n_islands", "hole_voxels", "volume_mm3", "max_axial_diameter_mm", "hu_mean"]


def readers_dice(cases: pd.DataFrame, n_jobs: int = 1, progress: bool = False) -> pd.DataFrame:
    """Return the Dice coefficient of both readers' preprocessed outlines of every usable case outlined twice.

    Returns
    -------
    pandas.DataFrame
        subject, phase, dice; a pair that can not be compared is left out.
    """
    if "mask_reader2" not in cases:
        return pd.DataFrame(columns=[*_KEYS, "dice"])
    twice = cases[cases["mask_reader2"].notna() & cases["mask"].notna() & (cases["exclusion"] == "")]
    items = twice[[*_KEYS, "mask", "mask_reader2"]].to_dict("records")
    found = map_cases(_dice, items, n_jobs=n_jobs, progress=progress, on_failure=lambda *_: None, description="readers")
    return pd.DataFrame([row for row in found if row is not None], columns=[*_KEYS, "dice"])


def _dice(row: Mapping[Any, Any]) -> dict[str, Any]:
    masks = [sitk.GetArrayFromImage(read_mask(row[key])) for key in ("mask", "mask_reader2")]
    return {key: row[key] for key in _KEYS} | {"dice": dice(*masks)}


def check(cases: pd.DataFrame, n_jobs: int = 1, progress: bool = False) -> pd.DataFrame:
    """Return what is known about each outline and why it deserves a look, the cases with most reasons first.

    Parameters
    ----------
    cases : pandas.DataFrame
        Table `cases`.
    n_jobs : int
        Cases at once.
    progress : bool

    Returns
    -------
    pandas.DataFrame
        One row per usable case: subject, phase, center, flags (text, reasons separated by "; ", "" for none),
        n_flags, dice (of both readers' outlines, NaN where there is one), voxels, slices, n_islands, hole_voxels,
        volume_mm3, max_axial_diameter_mm, hu_mean, and drawn_mm3 where masks were drawn from DICOM. Reasons are
        warnings and repairs, mean HU far from the other cases of the center, another size than in the other phases, few
        slices, and readers who disagree.
    """
    used = cases[cases["exclusion"] == ""].reset_index(drop=True)
    why: list[list[str]] = [_own_reasons(row) for row in used.to_dict("records")]
    for words, found in (("unusual mean HU", _far_from_others), ("size differs between phases", _phases_disagree)):
        for index in found(used):
            why[index].append(words)
    overlap = used[_KEYS].merge(readers_dice(used, n_jobs, progress), on=_KEYS, how="left")["dice"].astype(float)
    for own, value in zip(why, overlap, strict=True):
        own += [f"readers differ (Dice {value:.2f})"] if value < LOW_DICE else []
    counts = [*_COUNTED, *(["drawn_mm3"] if "drawn_mm3" in used else [])]
    flags: dict[str, Any] = {"flags": ["; ".join(own) for own in why], "n_flags": list(map(len, why))}
    table = used[[*_KEYS, "center"]].assign(**flags, dice=overlap.to_numpy()).join(used.reindex(columns=counts))
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


def reasons(cases: pd.DataFrame) -> pd.DataFrame:
    """Count each warning, repair and reason for exclusion, with the subjects it concerns.

    Returns
    -------
    pandas.DataFrame
        kind, reason, cases (number), subjects (the first six).
    """
    rows = []
    for kind, words in (("warnings", "warning"), ("geometry", "repair"), ("exclusion", "exclusion")):
        parts = cases[kind].fillna("").astype(str).str.split("; ")
        for reason in sorted({part for found in parts for part in found if part}):
            hit = cases[[reason in found for found in parts]]
            named = sorted(set(hit["subject"]))
            shown = ", ".join(named[:6]) + (" …" if len(named) > 6 else "")
            rows.append({"kind": words, "reason": reason, "cases": len(hit), "subjects": shown})
    table = pd.DataFrame(rows, columns=["kind", "reason", "cases", "subjects"])
    table.attrs["empty"] = "No mask needed a warning, a repair or an exclusion."
    return table


MIN_VOXELS = 2

#: What is done about each fault of a mask: repaired, measured with a warning, or refused.
MASK_POLICIES = pd.DataFrame(
    [
        ("empty mask", "refuse", "no features; the case stays in every table with its reason"),
        ("several labels", "refuse", "unless the study names the label to measure"),
        ("fractional values", "refuse", "a probability map has to be thresholded first"),
        ("one voxel", "refuse", "nothing can be measured in a single voxel"),
        ("one slice", "warn", "measured; 3-D shape and texture mean little"),
        ("several islands", "warn", "all islands are measured together, as drawn"),
        ("holes", "warn", "left open, as drawn (necrosis may be left out on purpose)"),
        ("touches the image border", "warn", "measured; the tumour may be cut off"),
        ("partly or fully outside the image", "refuse", "image and mask do not belong together"),
        ("geometry differs by rounding", "repair", "the image's header is copied onto the mask"),
        ("axes flipped or mask cropped", "repair", "voxels are moved exactly, none is interpolated"),
        ("geometry really differs", "refuse", "an interpolated mask would be another mask"),
    ],
    columns=["condition", "policy", "what_happens"],
)


def mask_quality(image: sitk.Image, mask: sitk.Image, label: int | None = None) -> dict[str, Any]:
    """Count what a reader should know about a mask before trusting its features.

    Parameters
    ----------
    image : SimpleITK.Image
        CT in HU.
    mask : SimpleITK.Image
        On the image's grid (see `radsupport.imaging.reading.check_geometry`).
    label : int, optional
        Label to measure where the mask holds several.

    Returns
    -------
    dict
        ``n_labels``, ``voxels``, ``slices`` (axial), ``n_islands`` (26-neighbourhood), ``largest_island_share``,
        ``hole_voxels`` (enclosed background), ``one_voxel``, ``one_slice``, ``touches_border`` (bool),
        ``volume_mm3``, ``max_diameter_mm`` (3-D), ``max_axial_diameter_mm``, ``hu_mean``, ``hu_sd``, ``hu_min``,
        ``hu_max`` inside the region.

    Raises
    ------
    MaskError
        Empty, several labels and none named, or not the image's size.
    """
    if image.GetSize() != mask.GetSize():
        raise MaskError(f"The mask's size {mask.GetSize()} is not the image's {image.GetSize()}.")
    n_labels = len(label_values(sitk.GetArrayViewFromImage(mask)))
    region = sitk.GetArrayFromImage(select_label(mask, label)) != 0
    box = ndimage.find_objects(region.astype(np.uint8))[0]
    inside, values = region[box], sitk.GetArrayViewFromImage(image)[box][region[box]].astype(float)
    spacing = np.asarray(image.GetSpacing())[::-1]
    diameters = maximum_diameters(inside, spacing)
    voxels, slices = int(inside.sum()), int(inside.any(axis=(1, 2)).sum())
    sd = values.std(ddof=1) if voxels > 1 else float("nan")
    at_border = any(s.start == 0 or s.stop == n for s, n in zip(box, region.shape, strict=True))
    return {
        "n_labels": n_labels, "voxels": voxels, "slices": slices, **_parts(inside),
        "one_voxel": voxels < MIN_VOXELS, "one_slice": slices == 1, "touches_border": at_border,
        "volume_mm3": voxels * float(np.prod(spacing)),
        "max_diameter_mm": diameters["3d"], "max_axial_diameter_mm": diameters["slice"],
        "hu_mean": values.mean(), "hu_sd": sd, "hu_min": values.min(), "hu_max": values.max(),
    }  # fmt: skip


def warnings_of(quality: dict[str, Any]) -> list[str]:
    """Return the conditions of `MASK_POLICIES` with the policy *warn* that one mask meets."""
    met = {
        "one slice": quality["one_slice"], "several islands": quality["n_islands"] > 1,
        "holes": quality["hole_voxels"] > 0, "touches the image border": quality["touches_border"],
    }  # fmt: skip
    return [condition for condition, is_met in met.items() if is_met]


def _parts(inside: npt.NDArray) -> dict[str, Any]:
    """Count islands and enclosed holes of a region cut to its box."""
    islands, n_islands = ndimage.label(inside, np.ones((3, 3, 3)))
    sizes = np.bincount(islands.ravel())[1:]
    padded = np.pad(inside, 1)
    holes = int((ndimage.binary_fill_holes(padded) & ~padded).sum())
    largest = float(sizes.max() / sizes.sum())
    return {"n_islands": int(n_islands), "largest_island_share": largest, "hole_voxels": holes}
