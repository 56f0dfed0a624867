"""CT findings that images can give: what a reader measures by hand, measured in image, mask and samples.

Song et al. 2021, Table S1 (definitions): largest diameter in the axial plane and its class; CT ratio, the CT value of
the lesion over that of tumour-free pancreas; relatively enhanced rate, the rise of the lesion's CT value over that of
the aorta in the same plane; calcification, a portion above 80 HU; cystic part, a portion below 30 HU without
enhancement in both contrast phases. The table does not say in which plane, with what margin, or how large a portion
has to be: the rules below are ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import SimpleITK as sitk
from scipy import ndimage

from radsupport.imaging.reading import check_geometry, read_label_map, read_pair
from radsupport.imaging.regions import largest_slice
from radsupport.parallel import map_cases
from radsupport.settings.parts import Column, Measure

ORGAN, AORTA = 1, 2
RIM_MM = 1.0
MIN_CALCIFICATION_MM3 = 10.0
MIN_CYSTIC_SHARE = 0.005
PURELY_CYSTIC_SHARE = 0.5
SMOOTHING_MM = 1.0
_KEYS = ["subject", "phase"]
_VALUES = ["tumour_hu", "organ_hu", "aorta_hu", "calcified_mm3", "fluid_share"]


def measure_case(
    image: sitk.Image, mask: sitk.Image, samples: sitk.Image | None = None,
    *, calcified_hu: float | None = 80.0, fluid_hu: float | None = 30.0,
) -> dict[str, float]:  # fmt: skip
    """Measure one case.

    Parameters
    ----------
    image : SimpleITK.Image
        CT in HU, on the scanner's grid.
    mask : SimpleITK.Image
        The tumour, on the same grid.
    samples : SimpleITK.Image, optional
        Label map of tumour-free organ (1) and aorta (2), on the same grid.
    calcified_hu, fluid_hu : float or None
        HU above which a portion counts as calcified, below which as fluid; None where it is not asked for.

    Returns
    -------
    dict
        ``tumour_hu`` (mean of the largest section without a rim of 1 mm), ``organ_hu`` and ``aorta_hu`` (means of the
        samples in the same plane; NaN where there is none), ``calcified_mm3`` (largest connected portion above the
        threshold after a median over 3 x 3 pixels, which keeps noise out) and ``fluid_share`` (largest connected
        portion below the threshold, after smoothing by 1 mm, of the tumour without a rim of 2 mm).
    """
    array, inside = sitk.GetArrayFromImage(image).astype(np.float32), sitk.GetArrayFromImage(mask) != 0
    spacing, plane = np.asarray(image.GetSpacing())[::-1], largest_slice(mask)
    section = _without_rim(inside[plane], spacing[1:], RIM_MM)
    kept = np.zeros_like(section, int) if samples is None else sitk.GetArrayFromImage(samples)[plane]
    box = ndimage.find_objects(inside.astype(np.uint8))[0]
    box = tuple(slice(max(s.start - 6, 0), s.stop + 6) for s in box)
    tissues = {"tumour_hu": section, "organ_hu": kept == ORGAN, "aorta_hu": kept == AORTA}
    return {name: _mean(array[plane], region) for name, region in tissues.items()} | {
        "calcified_mm3": _calcified_mm3(array[box], inside[box], spacing, calcified_hu),
        "fluid_share": _fluid_share(array[box], inside[box], spacing, fluid_hu),
    }


def _mean(plane: npt.NDArray, region: npt.NDArray) -> float:
    """Return the mean HU of a sample; NaN where it is not in this plane."""
    return float(plane[region].mean()) if region.any() else float("nan")


def _without_rim(inside: npt.NDArray, spacing: npt.NDArray, rim_mm: float) -> npt.NDArray:
    """Return a region without voxels within `rim_mm` of its edge; all of it where nothing would be left."""
    padded = np.pad(inside, 1)
    depth = ndimage.distance_transform_edt(padded, spacing)[tuple([slice(1, -1)] * inside.ndim)]
    core = depth > rim_mm + spacing.min() / 2
    return core if core.any() else inside


def _calcified_mm3(array: npt.NDArray, inside: npt.NDArray, spacing: npt.NDArray, threshold: float | None) -> float:
    if threshold is None:
        return float("nan")
    dense = (ndimage.median_filter(array, (1, 3, 3)) > threshold) & inside
    return _largest_part(dense) * float(np.prod(spacing))


def _fluid_share(array: npt.NDArray, inside: npt.NDArray, spacing: npt.NDArray, threshold: float | None) -> float:
    if threshold is None:
        return float("nan")
    core = _without_rim(inside, spacing, 2 * RIM_MM)
    smooth = ndimage.gaussian_filter(array, SMOOTHING_MM / spacing)
    return _largest_part((smooth < threshold) & core) / float(core.sum())


def _largest_part(region: npt.NDArray) -> int:
    """Return the number of voxels of the largest connected part (26 neighbours)."""
    parts, n = ndimage.label(region, np.ones((3, 3, 3)))
    return int(np.bincount(parts.ravel())[1:].max()) if n else 0


def findings(
    cases: pd.DataFrame, columns: Mapping[str, Column], *, n_jobs: int = 1, progress: bool = False
) -> pd.DataFrame:
    """Return the columns of a reader's sheet that images can give.

    Parameters
    ----------
    cases : pandas.DataFrame
        Table `cases`; measured on the source grid (``source_image``, ``source_mask``, ``samples``).
    columns : mapping
        Settings of columns by name: those with a ``measure`` are computed, a category with its ``levels``.
    n_jobs : int
        Cases at once.
    progress : bool

    Returns
    -------
    pandas.DataFrame
        Index subject; one column per measured column, in the units and levels of the reader's sheet. NaN where a
        phase, a sample or (for a rate) the rise of the aorta is missing.
    """
    measures = [column.measure for column in columns.values() if column.measure is not None]
    return compute(measure_cases(cases, measures, n_jobs, progress), columns)


def compute(measured: pd.DataFrame, columns: Mapping[str, Column]) -> pd.DataFrame:
    """Return `findings` from what `measure_cases` measured."""
    wide = measured.pivot_table(index="subject", columns="phase", dropna=False)
    found = {name: _column(c.levels, c.measure, wide) for name, c in columns.items() if c.measure is not None}
    return pd.DataFrame(found, index=wide.index)


def measure_cases(
    cases: pd.DataFrame, measures: Sequence[Measure], n_jobs: int = 1, progress: bool = False
) -> pd.DataFrame:
    """Measure every case in a phase that one of the measures is taken in.

    Returns
    -------
    pandas.DataFrame
        subject, phase, diameter_mm (largest in an axial plane, as the table `cases` has it) and what `measure_case`
        returns; a case whose files can not be read is not there. Where only diameters are asked for, no image is read.
    """
    phases = {phase for measure in measures for phase in [*measure.phases, measure.before]}
    chosen = cases[cases["phase"].isin(phases) & (cases["exclusion"] == "")]
    sizes = chosen[_KEYS].assign(diameter_mm=chosen["max_axial_diameter_mm"].astype(float))
    limits = {measure.what: measure.threshold for measure in measures}
    if not set(limits) & {"ct_ratio", "enhanced_rate", "calcification", "cystic_part"}:
        return sizes.reindex(columns=[*_KEYS, "diameter_mm", *_VALUES])
    thresholds = {"calcified_hu": limits.get("calcification"), "fluid_hu": limits.get("cystic_part")}
    items = [(dict(row), thresholds) for row in chosen.to_dict("records")]
    words: dict[str, Any] = {"n_jobs": n_jobs, "progress": progress, "description": "CT findings"}
    found = map_cases(_measure_files, items, **words, on_failure=lambda *_: None)
    table = pd.DataFrame([row for row in found if row is not None], columns=[*_KEYS, *_VALUES])
    return table.merge(sizes, on=_KEYS, how="left")[[*_KEYS, "diameter_mm", *_VALUES]]


def _measure_files(item: tuple[Mapping[Any, Any], dict[str, float | None]]) -> dict[str, Any]:
    case, thresholds = item
    image, report = read_pair(case["source_image"], case["source_mask"])
    given = case.get("samples")
    samples = None
    if isinstance(given, str) and given:
        samples = check_geometry(image, read_label_map(given), given).mask
    return {key: case[key] for key in _KEYS} | measure_case(image, report.mask, samples, **thresholds)


def _column(levels: Sequence[str], measure: Measure, wide: pd.DataFrame) -> pd.Series:
    """Return one column from the measured values (value by phase)."""

    def of(value: str, phase: str) -> pd.Series:
        return wide[value, phase] if (value, phase) in wide else pd.Series(np.nan, wide.index)

    first = measure.phases[0]
    if measure.what == "max_diameter":
        return of("diameter_mm", first)
    if measure.what == "ct_ratio":
        return of("tumour_hu", first) / of("organ_hu", first)
    if measure.what == "enhanced_rate":
        rise = {tissue: of(tissue, first) - of(tissue, measure.before) for tissue in ("tumour_hu", "aorta_hu")}
        return rise["tumour_hu"] / rise["aorta_hu"].where(rise["aorta_hu"] > 0)
    if measure.what == "diameter_class":
        size = of("diameter_mm", first)
        upper = size >= measure.threshold if measure.threshold_belongs == "upper" else size > measure.threshold
        return _level(levels, upper.astype(int), size.notna())
    if measure.what == "calcification":
        volume = of("calcified_mm3", first)
        return _level(levels, (volume >= MIN_CALCIFICATION_MM3).astype(int), volume.notna())
    share = pd.concat([of("fluid_share", phase) for phase in measure.phases], axis=1)
    fluid = share.min(axis=1)
    number = (fluid >= MIN_CYSTIC_SHARE).astype(int) + (fluid >= PURELY_CYSTIC_SHARE).astype(int)
    return _level(levels, number, share.notna().all(axis=1))


def _level(levels: Sequence[str], number: pd.Series, known: pd.Series) -> pd.Series:
    """Return the names of levels by their number, missing where nothing was measured."""
    return number.map(lambda i: levels[min(i, len(levels) - 1)]).where(known)
