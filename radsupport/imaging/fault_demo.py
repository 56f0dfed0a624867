"""Each fault of a mask put into a copy of one real or synthetic case, to show what is done about it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import SimpleITK as sitk

from radsupport.errors import MaskError, RadsupportError
from radsupport.imaging.geometry import check_geometry
from radsupport.imaging.mask_quality import MASK_POLICIES, mask_quality, warnings_of
from radsupport.imaging.reading import like, read_image, read_label_map, select_label
from radsupport.imaging.regions import largest_slice


def faulty_masks(image: sitk.Image, mask: sitk.Image) -> dict[str, sitk.Image]:
    """Return one copy of a mask per fault, by the condition's name in `MASK_POLICIES`.

    Parameters
    ----------
    image, mask : SimpleITK.Image
        One sound case on one grid.
    """
    drawn = sitk.GetArrayFromImage(mask) != 0
    edited = {condition: like(array, image) for condition, array in _edited(drawn, largest_slice(mask)).items()}
    return edited | _moved(image, drawn)


def _edited(drawn: npt.NDArray, z: int) -> dict[str, npt.NDArray]:
    """Return copies of a mask (0 and 1) whose voxels are at fault."""
    rows, columns = np.nonzero(drawn[z])
    row, column = int(np.median(rows)), int(np.median(columns))
    empty, labels, one, section, islands, hole, border = (drawn.astype(np.uint16) for _ in range(7))
    empty[:] = 0
    labels[z:] *= 2
    one[:] = 0
    one[z, row, column] = 1
    section[:z], section[z + 1 :] = 0, 0
    islands[z, 1 if rows.min() > 3 else -2, 1] = 1
    hole[z, row, column] = 0
    border[z, : row + 1, column] = 1
    return {
        "empty mask": empty,
        "several labels": labels,
        "one voxel": one,
        "one slice": section,
        "several islands": islands,
        "holes": hole,
        "touches the image border": border,
    }


def _moved(image: sitk.Image, drawn: npt.NDArray) -> dict[str, sitk.Image]:
    """Return copies of a mask whose header differs from the image's."""
    sound = like(drawn.astype(np.uint16), image)
    spacing, origin = np.array(image.GetSpacing()), np.array(image.GetOrigin())
    rounded, apart, outside = (sitk.Image(sound) for _ in range(3))
    rounded.SetOrigin((origin + 1e-3 * spacing).tolist())
    apart.SetSpacing((spacing * [1.1, 1.0, 1.0]).tolist())
    outside.SetOrigin((origin + spacing * np.array(image.GetSize())).tolist())
    return {
        "geometry differs by rounding": rounded,
        "axes flipped or mask cropped": sitk.Flip(sound, [True, False, False]),
        "geometry really differs": apart,
        "partly or fully outside the image": outside,
    }


def fault_table(case: Mapping[Any, Any]) -> pd.DataFrame:
    """Return what happens to one case with each fault.

    Parameters
    ----------
    case : mapping
        Row of the table `cases` with ``source_image`` and ``source_mask``.

    Returns
    -------
    pandas.DataFrame
        condition, policy (refuse, warn, repair), what_happens, and what the checks said about this case's faulty
        copy.
    """
    image = read_image(case["source_image"])
    sound = check_geometry(image, select_label(read_label_map(case["source_mask"])), "mask").mask
    said = {condition: _said(image, faulty) for condition, faulty in faulty_masks(image, sound).items()}
    said["fractional values"] = _said_of_fractions(sound)
    table = MASK_POLICIES[["condition", "policy", "what_happens"]].copy()
    return table.assign(said=[said[condition] for condition in table["condition"]])


def _said(image: sitk.Image, faulty: sitk.Image) -> str:
    """Return what the checks say about one faulty mask."""
    try:
        report = check_geometry(image, select_label(faulty), "the mask")
        quality = mask_quality(image, report.mask)
    except RadsupportError as error:
        return f"refused: {_short(error)}"
    if quality["one_voxel"]:
        return "refused: the mask has a single voxel"
    if report.problems:
        return "repaired: " + "; ".join(problem.what for problem in report.problems)
    found = warnings_of(quality)
    return f"warned: {'; '.join(found)}" if found else "nothing found"


def _said_of_fractions(sound: sitk.Image) -> str:
    """Return what the reader says about a map of probabilities; it looks at the file before anything is a mask."""
    blurred = sitk.DiscreteGaussian(sitk.Cast(sound, sitk.sitkFloat32), [1.0, 1.0, 1.0])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "probabilities.nii.gz"
        sitk.WriteImage(blurred, str(path))
        try:
            read_label_map(path)
        except MaskError as error:
            return f"refused: {_short(error)}"
    return "nothing found"


def _short(error: RadsupportError) -> str:
    return error.problems[0].what if error.problems else error.message.split(". ")[0]
