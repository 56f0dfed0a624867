"""The region that is measured: the reader's outline, or a rough, moved or enlarged one in its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import SimpleITK as sitk

from radsupport.errors import RadsupportError
from radsupport.imaging.reading import read_mask
from radsupport.imaging.regions import enlarge_roi, rough_roi_box, shift_roi
from radsupport.schema_features import Roi


def region(spec: Roi, outline: sitk.Image, rough: Any) -> sitk.Image:
    """Return the region that a section of the study names.

    Parameters
    ----------
    spec : Roi
        Accurate or rough, `shift_mm`, `enlarge_mm`.
    outline : SimpleITK.Image
        The reader's outline.
    rough : str or path
        File of the rough quadrilaterals; without one a rough region is the cuboid around the outline.
    """
    found = outline
    if spec.roi == "rough":
        found = rough_roi_box(read_mask(rough) if isinstance(rough, str | Path) and str(rough) else outline)
    if any(spec.shift_mm):
        found = shift_roi(found, spec.shift_mm)
    return enlarge_roi(found, spec.enlarge_mm) if spec.enlarge_mm else found


def is_changed(spec: Roi) -> bool:
    """Whether the region is another one than the reader's outline."""
    return spec.roi != "accurate" or any(spec.shift_mm) or spec.enlarge_mm > 0


def with_regions(spec: Roi, cases: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Write the changed region of every case to `folder` and return the cases with it as their mask.

    Parameters
    ----------
    cases : DataFrame
        subject, phase, mask and, where there is one, roi_rough: paths on one grid. A case without a mask, or whose
        region can not be changed (it is empty, or would leave the image), gets none and fails with a reason later.

    Returns
    -------
    DataFrame
        The same rows, `mask` replaced.
    """
    if not is_changed(spec):
        return cases
    folder.mkdir(parents=True, exist_ok=True)
    files = [_written(spec, case, folder) for case in cases.to_dict("records")]
    return cases.assign(mask=pd.Series(files, index=cases.index, dtype=object))


def _written(spec: Roi, case: dict[Any, Any], folder: Path) -> str | None:
    if not isinstance(case["mask"], str):
        return None
    try:
        changed = region(spec, read_mask(case["mask"]), case.get("roi_rough"))
    except RadsupportError:
        return None
    if not np.any(sitk.GetArrayViewFromImage(changed)):
        return None
    path = folder / f"{case['subject']}_{case['phase']}.nii.gz"
    sitk.WriteImage(changed, str(path), useCompression=True, compressionLevel=1)
    return str(path)
