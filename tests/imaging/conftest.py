"""Small scans of two centers for the tests of imaging."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from helpers.outlines import image, mask, stepped_mask

from radsupport.imaging.preprocessing import preprocess

__all__ = ["cases", "image", "mask", "stepped_mask"]


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Six small cases of two centers in two phases, outlined twice, with a rough region."""
    folder, rng, rows = tmp_path_factory.mktemp("cases"), np.random.default_rng(2), []
    for i in range(6):
        center, thickness = ("A", 1.0) if i < 4 else ("B", 3.0)
        for phase in ("arterial", "venous"):
            case: dict[str, Any] = {"subject": f"s{i}", "phase": phase, "center": center, "samples": ""}
            z, y, x = np.indices((int(36 / thickness), 44, 44))
            far = ((z * thickness - 18) ** 2 + (y - 22) ** 2 + (x - 22) ** 2) ** 0.5
            parts = {"image": 60 + 60 * (far < 6 + i) + rng.normal(0, 8, far.shape), "mask": far < 6 + i}
            parts |= {"mask_reader2": far < 5.5 + i, "roi_rough": (far < 8 + i) & (np.abs(z * thickness - 18) < 4 + i)}
            for role, array in parts.items():
                image = sitk.GetImageFromArray(array.astype(np.int16 if role == "image" else np.uint8))
                image.SetSpacing((1.0, 1.0, thickness))
                case[role] = str(folder / f"{i}_{phase}_{role}.nii.gz")
                sitk.WriteImage(image, case[role])
            rows.append(case)
    return preprocess(pd.DataFrame(rows), folder / "out", margin_mm=10.0, progress=False)
