"""How a scan was made: the settings of the scanner, from the headers of a series."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pydicom

#: Settings by the name they have in a table, with the DICOM attribute they come from. Units: kV, mA, mAs, mm, s.
SETTINGS = {
    "manufacturer": "Manufacturer",
    "model": "ManufacturerModelName",
    "kvp": "KVP",
    "tube_current_ma": "XRayTubeCurrent",
    "exposure_mas": "Exposure",
    "kernel": "ConvolutionKernel",
    "slice_thickness_mm": "SliceThickness",
    "pixel_mm": "PixelSpacing",
    "contrast_agent": "ContrastBolusAgent",
}
#: What a page calls them.
LABELS = {
    "manufacturer": "manufacturer",
    "model": "scanner",
    "kvp": "tube voltage (kVp)",
    "tube_current_ma": "tube current (mA)",
    "exposure_mas": "exposure (mAs)",
    "kernel": "reconstruction kernel",
    "slice_thickness_mm": "slice thickness (mm)",
    "contrast_agent": "contrast agent",
    "delay_s": "delay after injection (s)",
}
NUMBERS = ("kvp", "tube_current_ma", "exposure_mas", "slice_thickness_mm", "slice_spacing_mm", "pixel_mm", "delay_s")
#: Order of the settings in tables; two are computed from several attributes.
ORDER = (*[name for name in SETTINGS if name != "contrast_agent"], "slice_spacing_mm", "contrast_agent", "delay_s")


def acquisition(heads: Iterable[pydicom.Dataset], slice_spacing_mm: float = float("nan")) -> dict[str, Any]:
    """Return the settings of one CT series.

    Parameters
    ----------
    heads : iterable of pydicom.Dataset
        Headers of its images.
    slice_spacing_mm : float
        Distance of neighbouring slices, which no single header holds.

    Returns
    -------
    dict
        By `ORDER`: the median over the images of a number, the most frequent text; NaN and "" where no header says it.
        ``delay_s`` is the time from the start of the contrast injection to the first image.
    """
    heads = list(heads)
    found: dict[str, Any] = {}
    for name, keyword in SETTINGS.items():
        values = [head.get(keyword) for head in heads]
        found[name] = _median(values) if name in NUMBERS else _usual(values)
    found["slice_spacing_mm"], found["delay_s"] = slice_spacing_mm, _delay(heads)
    return {name: round(found[name], 4) if name in NUMBERS else found[name] for name in ORDER}


def _median(values: Sequence[Any]) -> float:
    numbers = [_number(value) for value in values]
    known = [number for number in numbers if np.isfinite(number)]
    return float(np.median(known)) if known else float("nan")


def _number(value: Any) -> float:
    try:
        return float(np.atleast_1d(value)[0])
    except (TypeError, ValueError, IndexError):  # left out, empty or no number
        return float("nan")


def _usual(values: Sequence[Any]) -> str:
    texts = [_text(value) for value in values if value not in (None, "")]
    return str(pd.Series(texts).mode().iloc[0]) if texts else ""


def _text(value: Any) -> str:
    """Return an attribute in one line; some kernels have two values."""
    parts = [value] if isinstance(value, str) else np.atleast_1d(value)
    return " ".join(" ".join(map(str, parts)).split())


def _delay(heads: Sequence[pydicom.Dataset]) -> float:
    """Return seconds from injection to the first image; NaN where the headers do not say both, or the reverse."""
    started = [_seconds(head.get("ContrastBolusStartTime")) for head in heads]
    scanned = [_seconds(head.get("AcquisitionTime")) for head in heads]
    pairs = [(a, b) for a, b in zip(started, scanned, strict=True) if np.isfinite(a) and np.isfinite(b)]
    delay = min(b for _, b in pairs) - pairs[0][0] if pairs else float("nan")
    return delay if delay >= 0 else float("nan")


def _seconds(time: Any) -> float:
    """Return a DICOM time (HHMMSS.ffffff) as seconds of its day."""
    text = str(time or "").replace(":", "")
    if len(text) < 6 or not text[:6].isdigit():
        return float("nan")
    return int(text[:2]) * 3600 + int(text[2:4]) * 60 + float(text[4:])
