"""Quality of one mask: counts and flags, and what happens to a case that carries each flag."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import SimpleITK as sitk
from scipy import ndimage

from radsupport.errors import MaskError
from radsupport.imaging.diameters import maximum_diameters
from radsupport.imaging.reading import label_values, select_label

MIN_VOXELS = 2

MASK_POLICIES = pd.DataFrame(
    [
        ("empty mask", "empty", "refuse", "no features; the case stays in every table with its reason"),
        ("several labels", "n_labels", "refuse", "unless the study names the label to measure"),
        ("fractional values", "not_a_mask", "refuse", "a probability map has to be thresholded first"),
        ("one voxel", "one_voxel", "refuse", "nothing can be measured in a single voxel"),
        ("one slice", "one_slice", "warn", "measured; 3-D shape and texture mean little"),
        ("several islands", "n_islands", "warn", "all islands are measured together, as drawn"),
        ("holes", "hole_voxels", "warn", "left open, as drawn (necrosis may be left out on purpose)"),
        ("touches the image border", "touches_border", "warn", "measured; the tumour may be cut off"),
        ("partly or fully outside the image", "outside_image", "refuse", "image and mask do not belong together"),
        ("geometry differs by rounding", "rounding", "repair", "the image's header is copied onto the mask"),
        ("axes flipped or mask cropped", "regridded", "repair", "voxels are moved exactly, none is interpolated"),
        ("geometry really differs", "geometry", "refuse", "an interpolated mask would be another mask"),
    ],
    columns=["condition", "flag", "policy", "what_happens"],
)
"""What is done about each fault of a mask: repaired, measured with a warning, or refused."""


def mask_quality(image: sitk.Image, mask: sitk.Image, label: int | None = None) -> dict[str, Any]:
    """Count what a reader should know about a mask before trusting its features.

    Parameters
    ----------
    image : SimpleITK.Image
        CT in HU.
    mask : SimpleITK.Image
        On the image's grid (see `radsupport.imaging.geometry.check_geometry`).
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
    return {
        "n_labels": n_labels,
        "voxels": voxels,
        "slices": slices,
        **_parts(inside),
        "one_voxel": voxels < MIN_VOXELS,
        "one_slice": slices == 1,
        "touches_border": any(s.start == 0 or s.stop == n for s, n in zip(box, region.shape, strict=True)),
        "volume_mm3": voxels * float(np.prod(spacing)),
        "max_diameter_mm": diameters["3d"],
        "max_axial_diameter_mm": diameters["slice"],
        "hu_mean": values.mean(),
        "hu_sd": values.std(ddof=1) if voxels > 1 else float("nan"),
        "hu_min": values.min(),
        "hu_max": values.max(),
    }


def warnings_of(quality: dict[str, Any]) -> list[str]:
    """Return the conditions of `MASK_POLICIES` with the policy *warn* that one mask meets."""
    met = {
        "one slice": quality["one_slice"],
        "several islands": quality["n_islands"] > 1,
        "holes": quality["hole_voxels"] > 0,
        "touches the image border": quality["touches_border"],
    }
    return [condition for condition, is_met in met.items() if is_met]


def _parts(inside: npt.NDArray) -> dict[str, Any]:
    """Count islands and enclosed holes of a region cut to its box."""
    islands, n_islands = ndimage.label(inside, np.ones((3, 3, 3)))
    sizes = np.bincount(islands.ravel())[1:]
    padded = np.pad(inside, 1)
    holes = ndimage.binary_fill_holes(padded) & ~padded
    return {
        "n_islands": int(n_islands),
        "largest_island_share": float(sizes.max() / sizes.sum()),
        "hole_voxels": int(holes.sum()),
    }
