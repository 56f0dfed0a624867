"""Settings of the scanner from headers."""

from __future__ import annotations

import math
from typing import Any

import pydicom
import pytest

from radsupport.imaging.acquisition import ORDER, acquisition


def head(**values: Any) -> pydicom.Dataset:
    data = pydicom.Dataset()
    for keyword, value in values.items():
        setattr(data, keyword, value)
    return data


def test_medians_and_the_most_frequent_text() -> None:
    heads = [
        head(KVP="120", XRayTubeCurrent=str(mA), ConvolutionKernel=kernel, PixelSpacing=["0.7", "0.7"])
        for mA, kernel in ((100, ["B30f", "2"]), (140, ["B30f", "2"]), (300, "B70"))
    ]
    found = acquisition(heads, 2.5)
    assert tuple(found) == ORDER
    assert (found["kvp"], found["tube_current_ma"], found["pixel_mm"], found["kernel"]) == (120, 140, 0.7, "B30f 2")
    assert found["slice_spacing_mm"] == 2.5
    assert found["manufacturer"] == ""
    assert math.isnan(found["exposure_mas"])


@pytest.mark.parametrize(
    ("start", "scanned", "delay"),
    [("101500", "101533.5", 33.5), ("235950", "000010", math.nan), ("", "101533", math.nan), ("x", "101533", math.nan)],
)
def test_delay_after_the_injection(start: str, scanned: str, delay: float) -> None:
    first = head(AcquisitionTime=scanned)
    first.add_new("ContrastBolusStartTime", "TM", start) if start != "x" else None
    found = acquisition([first])["delay_s"]
    assert found == pytest.approx(delay, nan_ok=True)
