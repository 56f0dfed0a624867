"""Are the features what IBSI defines? The digital phantom and the CT phantom against the reference values."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import SimpleITK as sitk

from radsupport.errors import InputError, Problem
from radsupport.files import mirror_folder
from radsupport.imaging.reading import read_image, read_mask
from radsupport.radiomics.case import features_of
from radsupport.radiomics.settings import CLASS_NAMES, feature_codes, load_settings

CT_IMAGE, CT_MASK = Path("image") / "phantom.nii.gz", Path("mask") / "mask.nii.gz"


@dataclass(frozen=True)
class Configuration:
    """One processing configuration of IBSI 1.

    Attributes
    ----------
    description : str
    settings : dict
        pyradiomics settings.
    spacing : (x, y, z) or None
        Voxel size in mm after IBSI's interpolation; 0 keeps an axis.
    """

    description: str
    settings: dict[str, Any] = field(default_factory=dict)
    spacing: tuple[float, float, float] | None = None


CONFIGURATIONS = {
    "digital phantom": Configuration("intensities 1 to 6 as they are, 3-D", {"binWidth": 1}),
    "A": Configuration(
        "by slice, no interpolation, -500 to 400 HU, bins of 25 HU",
        {"force2D": True, "binWidth": 25, "resegmentRange": [-500, 400]},
    ),
    "B": Configuration(
        "by slice, bilinear to 2 x 2 mm, -500 to 400 HU, 32 bins",
        {"force2D": True, "binCount": 32, "resegmentRange": [-500, 400]},
        (2, 2, 0),
    ),
    "C": Configuration(
        "3-D, trilinear to 2 x 2 x 2 mm, -1000 to 400 HU, bins of 25 HU",
        {"binWidth": 25, "resegmentRange": [-1000, 400]},
        (2, 2, 2),
    ),
    "D": Configuration(
        "3-D, trilinear to 2 x 2 x 2 mm, within 3 SD, 32 bins",
        {"binCount": 32, "resegmentRange": [-3, 3], "resegmentMode": "sigma"},
        (2, 2, 2),
    ),
}
"""Configurations of Zwanenburg et al., Radiology 2020;295:328, table 1. E (tricubic spline with IBSI's grid) is left
out: it differs from D by the interpolation alone, which pyradiomics does on another grid."""

_KURTOSIS = "pyradiomics does not subtract 3 (documented): value - 3 is IBSI's excess kurtosis"
_AXES = "pyradiomics divides the covariance of the voxel centres by N, the reference by N - 1; 74 voxels show it"
_BINS = (
    "pyradiomics numbers bins from the lowest one that occurs (documented); IBSI from the lower bound of the range, "
    "-1000 HU, where this tumour has no voxel: every bin number is 2 too low"
)
_BY_BIN_NUMBER = ("JointAverage", "SumAverage", "Autocorrelation", "Busyness")
_BY_BIN_NUMBER_ENDS = ("GrayLevelRunEmphasis", "GrayLevelZoneEmphasis", "GrayLevelEmphasis")


def local_phantom() -> Path | None:
    """Return the CT phantom's folder where the local folder of public data (``RADSUPPORT_DATA``) holds it."""
    mirror = mirror_folder()
    folder = mirror / "ibsi1_ct_phantom" / "nifti" if mirror is not None else None
    return folder if folder is not None and folder.is_dir() else None


def compliance(ct_folder: str | Path | None = None, *, scan: bool = True) -> pd.DataFrame:
    """Compare features with IBSI's reference values, one row per configuration and feature.

    Parameters
    ----------
    ct_folder : path, optional
        Folder of the CT phantom (``image/phantom.nii.gz``, ``mask/mask.nii.gz``; CC BY-NC 3.0, not shipped); by
        default that in the local folder of public data (``RADSUPPORT_DATA``). Without it only the digital phantom is
        compared.
    scan : bool
        Whether the CT phantom is compared at all; the digital phantom takes a moment, the scan seconds.

    Returns
    -------
    DataFrame
        ``configuration``, ``processing``, ``class`` (in words), ``feature``, ``ibsi_name``, ``ibsi_code``,
        ``reference``, ``tolerance``, ``value`` (as computed), ``difference`` (value rounded to the reference's three
        digits, minus reference), ``status`` (within tolerance / documented difference / difference) and ``reason``.

    Raises
    ------
    InputError
        `ct_folder` does not hold the phantom.

    Notes
    -----
    Aggregation: 3-D matrices averaged over directions for GLCM and GLRLM; by slice, pyradiomics merges the slices of
    each direction (IBSI: 2.5D, averaged over directions). Interpolation, rounding to whole HU and the mask's
    threshold at one half are IBSI's, done before pyradiomics, which resamples on another grid (corners aligned
    instead of centres) and does not round.
    """
    folder = local_phantom() if ct_folder is None else Path(ct_folder)
    tables = [_compare("digital phantom", *_digital_phantom())]
    if scan and folder is not None:
        pair = _ct_phantom(folder)
        tables += [_compare(name, *pair) for name in CONFIGURATIONS if name != "digital phantom"]
    return pd.concat(tables, ignore_index=True)


def _digital_phantom() -> tuple[sitk.Image, sitk.Image]:
    folder = resources.files("radsupport.radiomics") / "data" / "ibsi"
    with (
        resources.as_file(folder / "digital_phantom_image.nii.gz") as image,
        resources.as_file(folder / "digital_phantom_mask.nii.gz") as mask,
    ):
        return read_image(image), read_mask(mask)


def _ct_phantom(folder: Path) -> tuple[sitk.Image, sitk.Image]:
    absent = [folder / part for part in (CT_IMAGE, CT_MASK) if not (folder / part).is_file()]
    if absent:
        remedy = "fetch it from theibsi/data_sets"
        problems = [Problem("missing file", remedy=remedy, file=str(path)) for path in absent]
        raise InputError("The IBSI CT phantom is not there.", problems)
    return read_image(folder / CT_IMAGE), read_mask(folder / CT_MASK)


def _compare(name: str, image: sitk.Image, mask: sitk.Image) -> pd.DataFrame:
    """Return the rows of one configuration."""
    configuration = CONFIGURATIONS[name]
    if configuration.spacing is not None:
        image, mask = ibsi_interpolation(image, mask, configuration.spacing)
    values = features_of(image, mask, load_settings({"setting": configuration.settings})).values
    reference = _reference_values()
    table = feature_codes().merge(reference[reference["configuration"] == name], on="tag")
    table["value"] = [values[f"original_{row['class']}_{row['feature']}"] for _, row in table.iterrows()]
    table["difference"] = [
        _three_digits(value) - reference for value, reference in zip(table["value"], table["reference"], strict=True)
    ]
    within = table["difference"].abs() <= table["tolerance"] * (1 + 1e-9) + 1e-9 * table["reference"].abs()
    reasons = [_reason(name, feature) for feature in table["feature"]]
    table["reason"] = np.where(within, "", reasons)
    outside = np.where(table["reason"] != "", "documented difference", "difference")
    table["status"] = np.where(within, "within tolerance", outside)
    table = table.assign(processing=configuration.description, **{"class": table["class"].map(CLASS_NAMES)})
    order = ["configuration", "processing", "class", "feature", "ibsi_name", "ibsi_code", "reference", "tolerance"]
    return table[[*order, "value", "difference", "status", "reason"]]


def _reference_values() -> pd.DataFrame:
    source = resources.files("radsupport.radiomics") / "data" / "ibsi" / "reference_values.csv"
    with source.open(encoding="utf-8") as stream:
        return pd.read_csv(stream)


def _three_digits(value: float) -> float:
    """Round to the three significant digits that reference values are given with."""
    return float(f"{value:.2e}")


def _reason(configuration: str, feature: str) -> str:
    """Return why a feature is known to differ in a configuration, "" where no difference is known."""
    if feature == "Kurtosis":
        return _KURTOSIS
    if configuration == "digital phantom" and feature in ("MinorAxisLength", "LeastAxisLength"):
        return _AXES
    by_bin_number = feature in _BY_BIN_NUMBER or feature.endswith(_BY_BIN_NUMBER_ENDS)
    return _BINS if configuration == "C" and by_bin_number else ""


def ibsi_interpolation(
    image: sitk.Image, mask: sitk.Image, spacing: tuple[float, float, float]
) -> tuple[sitk.Image, sitk.Image]:
    """Interpolate linearly on IBSI's grid: centres aligned, HU rounded, mask cut at one half.

    Parameters
    ----------
    image, mask : SimpleITK.Image
    spacing : (x, y, z)
        New voxel size in mm; 0 keeps an axis.

    Returns
    -------
    image, mask : SimpleITK.Image
        Float64 with whole HU; UInt8.
    """
    old, size = np.asarray(image.GetSpacing()), np.asarray(image.GetSize())
    new = np.where(np.asarray(spacing, float) == 0, old, spacing)
    new_size = np.ceil(size * old / new).astype(int)
    first = (size - 1) / 2 - (new_size - 1) / 2 * new / old
    resampler = sitk.ResampleImageFilter()
    resampler.SetSize(new_size.tolist())
    resampler.SetOutputSpacing(new.tolist())
    resampler.SetOutputOrigin(image.TransformContinuousIndexToPhysicalPoint(first.tolist()))
    resampler.SetOutputDirection(image.GetDirection())
    resampler.SetInterpolator(sitk.sitkLinear)
    resampler.SetUseNearestNeighborExtrapolator(True)
    resampled = resampler.Execute(sitk.Cast(image, sitk.sitkFloat64))
    share = resampler.Execute(sitk.Cast(mask, sitk.sitkFloat64))
    return sitk.Cast(sitk.Round(resampled), sitk.sitkFloat64), sitk.Cast(share >= 0.5 - 1e-9, sitk.sitkUInt8)
