"""Bring every case to one spacing and cut it to the tumour's surroundings, once: what did not change is not redone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import SimpleITK as sitk
from scipy import ndimage

from radsupport.errors import InputError, MaskError, RadsupportError, one_line
from radsupport.files import file_stems, written_whole
from radsupport.imaging.hounsfield import check_hu, without_padding
from radsupport.imaging.ingestion import ingested
from radsupport.imaging.masks import mask_quality, warnings_of
from radsupport.imaging.reading import check_geometry, like, placed, read_image, read_mask, write_image
from radsupport.imaging.regions import Box, bounding_box, crop
from radsupport.parallel import map_cases
from radsupport.tables import library_versions

Interpolator = Literal["nearest", "linear", "cubic"]
_INTERPOLATORS = {"nearest": sitk.sitkNearestNeighbor, "linear": sitk.sitkLinear, "cubic": sitk.sitkBSpline}
_EXTRA_MASKS = ("mask_reader2", "roi_rough")
_SOFT_TISSUE_HU = (0.0, 100.0)


#: Raise this by one when a change of this package changes any preprocessed voxel or any measured value.
PREPROCESSING_VERSION = 4

_INPUTS = ("image", "mask", *_EXTRA_MASKS)
_LIBRARIES = ("SimpleITK", "numpy", "scipy")


class Settings(NamedTuple):
    """How cases are preprocessed: voxel size (x, y, z) in mm, interpolation of the image, margin around the masks."""

    spacing_mm: tuple[float, ...]
    interpolation: Literal["linear", "cubic"]
    margin_mm: float | tuple[float, ...]


def resample(
    image: sitk.Image, spacing_mm: npt.ArrayLike, interpolator: Interpolator = "cubic", box: Box | None = None
) -> sitk.Image:
    """Resample to a new voxel size on a grid that shares the image's outer corner.

    Parameters
    ----------
    image : SimpleITK.Image
    spacing_mm : (x, y, z)
        New voxel size in mm; 0 keeps the image's own along that axis.
    interpolator : {"nearest", "linear", "cubic"}
        "cubic" is ITK's third-order B-spline; "nearest" is for masks and keeps the voxel type.
    box : Box, optional
        Part of the new grid to compute, in voxels of it; all of it by default.

    Returns
    -------
    SimpleITK.Image
        Float32 for "linear" and "cubic": ITK cuts off the fraction where it writes into integers, which
        would shift HU towards zero, and the overshoot of a spline could overflow. No voxel centre lies
        outside the image, so nothing has to be invented at the border.

    Raises
    ------
    InputError
        Unknown interpolator, spacing not three non-negative numbers.
    """
    if interpolator not in _INTERPOLATORS:
        raise InputError(f"Unknown interpolator {interpolator!r}; valid are {', '.join(_INTERPOLATORS)}.")
    wanted = np.asarray(spacing_mm, float)
    if wanted.shape != (3,) or not np.isfinite(wanted).all() or (wanted < 0).any():
        raise InputError(f"`spacing_mm` must be three numbers >= 0, it is {spacing_mm!r}.")
    old = np.asarray(image.GetSpacing())
    new = np.where(wanted == 0, old, wanted)
    size = np.maximum(np.floor(np.asarray(image.GetSize()) * old / new + 0.5), 1).astype(int)
    start = np.zeros(3) if box is None else np.asarray(box.start)
    size = size if box is None else np.asarray(box.size)
    origin = image.TransformContinuousIndexToPhysicalPoint(((start + 0.5) * new / old - 0.5).tolist())
    if box is not None:
        image = _within_reach(image, Box.between(start * new / old, np.ceil((start + size) * new / old)), new)
    if interpolator == "cubic":  # ITK reads beyond an axis of two voxels, whatever lies there
        return sitk.Cast(cubic_spline(image, origin, new.tolist(), size.tolist()), sitk.sitkFloat32)
    voxel_type = image.GetPixelID() if interpolator == "nearest" else sitk.sitkFloat32
    grid = size.tolist(), sitk.Transform(), _INTERPOLATORS[interpolator], origin, new.tolist(), image.GetDirection()
    return sitk.Resample(image, *grid, 0.0, voxel_type)


def _within_reach(image: sitk.Image, box: Box, new_mm: npt.NDArray) -> sitk.Image:
    """Cut an image to what the values in a box of its voxels can depend on: a B-spline fades to 1e-7 in 12 voxels."""
    reach = 12 * np.ceil(np.maximum(new_mm / np.asarray(image.GetSpacing()), 1)).astype(int)
    lower, upper = np.asarray(box.start) - reach, np.asarray(box.stop) + reach
    return crop(image, Box.between(np.maximum(lower, 0), np.minimum(upper, image.GetSize())))


def cubic_spline(
    image: sitk.Image, origin: Sequence[float], spacing: Sequence[float], size: Sequence[int]
) -> sitk.Image:
    """Interpolate by cubic B-splines on a grid along the image's axes, by a matrix product an axis.

    Parameters
    ----------
    image : SimpleITK.Image
    origin, spacing, size : (x, y, z)
        Of the new grid.

    Returns
    -------
    SimpleITK.Image
        Float64: ITK's values to rounding (1e-12 relative) in a fifth of its time; 0 beyond the image's border.

    Notes
    -----
    An axis whose new voxels are old ones is only cut.
    """
    grid = placed(np.zeros((1, 1, 1)), origin, spacing, image.GetDirection())
    found = sitk.GetArrayViewFromImage(image).astype(np.float64)

    def at(axis: int, index: int) -> float:
        point = grid.TransformIndexToPhysicalPoint([index * (i == axis) for i in range(3)])
        return image.TransformPhysicalPointToContinuousIndex(point)[axis]

    for axis in range(3):
        n, first = image.GetSize()[axis], at(axis, 0)
        position = first + np.arange(size[axis]) * (spacing[axis] / image.GetSpacing()[axis])
        # ITK's own rounding says whether a centre on the very border of the image lies inside
        for index in np.flatnonzero(np.isclose(np.abs(position - (n - 1) / 2), n / 2, rtol=0, atol=1e-6)):
            position[index] = at(axis, int(index))
        nearest = np.rint(position).astype(int)
        if np.allclose(position, nearest, rtol=0, atol=1e-9) and nearest.min() >= 0 and nearest.max() < n:
            found = found.take(nearest, 2 - axis)
        else:
            found = np.moveaxis(np.tensordot(interpolation_weights(n, position), found, (1, 2 - axis)), 0, 2 - axis)
    return placed(np.ascontiguousarray(found), origin, spacing, image.GetDirection())


def interpolation_weights(n: int, position: npt.NDArray, *, linear: bool = False) -> npt.NDArray[np.float64]:
    """Return the matrix, shape (positions, n), that interpolates `n` voxels along an axis at continuous indices.

    Rows of positions beyond the image are 0, as ITK fills them; beyond the outermost centres a spline is mirrored.
    """
    inside = (position >= -0.5) & (position < n - 0.5)
    low = np.floor(position).astype(int)
    part, rows, matrix = position - low, np.arange(len(low)), np.zeros((len(low), n))
    if linear or n == 1:
        for tap in (0, 1):
            np.add.at(matrix, (rows, np.clip(low + tap, 0, n - 1)), np.where(tap, part, 1 - part) * inside)
        return matrix
    for tap in (-1, 0, 1, 2):
        np.add.at(matrix, (rows, _mirrored(low + tap, n)), _cubic(part - tap) * inside)
    return matrix @ ndimage.spline_filter1d(np.eye(n), 3, axis=0, mode="mirror")


def _cubic(x: npt.NDArray) -> npt.NDArray:
    """Cubic B-spline."""
    x = np.abs(x)
    return np.where(x < 1, 2 / 3 - x**2 + x**3 / 2, np.where(x < 2, (2 - x) ** 3 / 6, 0.0))


def _mirrored(index: npt.NDArray, n: int) -> npt.NDArray:
    """Reflect indices about the first and the last voxel."""
    period = 2 * (n - 1)
    index = np.abs(index) % period
    return np.minimum(index, period - index)


def window(array: npt.ArrayLike, level: float, width: float) -> npt.NDArray[np.float32]:
    """Clip HU to a window and scale it to 0 to 1.

    Parameters
    ----------
    array : array-like
        HU.
    level, width : float
        Centre and width of the window in HU.

    Raises
    ------
    InputError
        The width is not positive.
    """
    if not width > 0:
        raise InputError(f"The window's width must be positive, it is {width:g} HU.")
    lower = level - width / 2
    return np.clip((np.asarray(array, np.float32) - lower) / width, 0.0, 1.0).astype(np.float32)


def noise_hu(image: sitk.Image, window_mm: float = 6.0, max_slices: int = 20) -> float:
    """Return the image noise in HU: the most frequent local SD in soft tissue.

    Parameters
    ----------
    image : SimpleITK.Image
        CT in HU.
    window_mm : float
        Side of the square in which the SD is taken.
    max_slices : int
        Axial slices looked at, evenly spread.

    Returns
    -------
    float
        NaN where fewer than 100 windows lie wholly in soft tissue (0 to 100 HU).

    Notes
    -----
    The global noise level of Christianson et al., AJR 2015;205:W93: SD in 6 mm windows, soft tissue by
    threshold, mode of the histogram. The threshold is put on the window's mean and on a smoothed image here,
    as one on single voxels would cut the tails of the noise off.
    """
    array = sitk.GetArrayViewFromImage(image)
    picked = np.unique(np.linspace(0, array.shape[0] - 1, min(max_slices, array.shape[0])).astype(int))
    sides = [max(3, round(window_mm / s)) for s in image.GetSpacing()[1::-1]]
    values = array[picked].astype(np.float64)
    mean = ndimage.uniform_filter(values, [1, *sides], mode="nearest")
    square = ndimage.uniform_filter(values**2, [1, *sides], mode="nearest")
    n = sides[0] * sides[1]
    sd = np.sqrt(np.maximum(square - mean**2, 0) * n / (n - 1))
    low, high = _SOFT_TISSUE_HU
    tissue = ndimage.minimum_filter((mean > low) & (mean < high), [1, *sides], mode="constant", cval=0)
    return _mode(sd[tissue])


def _mode(values: npt.NDArray) -> float:
    """Return the most frequent value: the peak of a smoothed histogram."""
    if values.size < 100:
        return float("nan")
    top = np.quantile(values, 0.99)
    if top <= 0:
        return 0.0
    counts, edges = np.histogram(values, 200, (0, top))
    peak = int(np.argmax(ndimage.gaussian_filter1d(counts.astype(float), 3)))
    return float((edges[peak] + edges[peak + 1]) / 2)


def preprocess(
    cases: pd.DataFrame, folder: str | Path, *, spacing_mm: Sequence[float] = (1.0, 1.0, 1.0),
    interpolation: Literal["linear", "cubic"] = "cubic", margin_mm: float | Sequence[float] = 10.0,
    n_jobs: int = 1, progress: bool = True,
) -> pd.DataFrame:  # fmt: skip
    """Check every case, resample it, cut it to the masks plus a margin, and write it.

    Parameters
    ----------
    cases : pandas.DataFrame
        One row per subject and phase: ``subject``, ``phase``, ``image``, ``mask`` (paths) and, where there are any,
        ``mask_reader2`` (the second reader's mask) and ``roi_rough``. Other columns are carried over. A case that
        comes with a reason in ``exclusion`` is left alone and stands last in what is returned.
    folder : path
        Gets ``<subject>_<phase>_image.nii.gz`` and ``..._mask.nii.gz`` and so on (see `radsupport.files.file_stem`
        for names that can not stand in a file's), each one whole or not at all;
        ``.cases`` in it remembers what was done for which input.
    spacing_mm : (x, y, z)
        New voxel size.
    interpolation : {"linear", "cubic"}
        Of the image; masks take the nearest voxel.
    margin_mm : float or (x, y, z)
        What is kept around all masks of a case.
    n_jobs : int
        Cases at once.
    progress : bool

    Returns
    -------
    pandas.DataFrame
        Table `cases`: the rows given, with ``image``, ``mask`` (… of the files written, None where there is none),
        ``source_image``, ``source_mask`` (… as given), ``spacing_x_mm`` … ``spacing_z_mm`` of the source,
        ``noise_hu``, ``geometry`` (what was repaired), ``drawn_mm3`` (where `radsupport.imaging.ingestion` made the
        mask: the volume as it was drawn), everything of `mask_quality`, ``warnings`` and ``exclusion``
        (the reason where a case can not be used, "" where it can). ``attrs["reused"]`` counts the cases done before.

    Notes
    -----
    A case counts as done if the bytes of its files, the settings, the library versions and
    `PREPROCESSING_VERSION` are those of its last run, and the files written then are there with their sizes.
    The record is written last and renamed into place: an interrupted run resumes where it was.
    """
    margin = float(margin_mm) if isinstance(margin_mm, int | float) else tuple(map(float, margin_mm))
    settings, folder = Settings(tuple(map(float, spacing_mm)), interpolation, margin), Path(folder)
    out = cases[cases["exclusion"].fillna("") != ""] if "exclusion" in cases else cases.iloc[:0]
    left = cases.drop(index=out.index).drop(columns="exclusion", errors="ignore")
    given = [{str(name): value for name, value in row.items()} for row in left.to_dict("records")]
    keys = [case_key(case, settings) for case in given]
    stems = file_stems([(str(case["subject"]), str(case["phase"])) for case in given])
    rows = [load(case, folder, stem, key) for case, stem, key in zip(given, stems, keys, strict=True)]
    todo = [i for i, row in enumerate(rows) if row is None]
    items = [(given[i], folder, stems[i], settings, keys[i]) for i in todo]
    words: dict[str, Any] = {"n_jobs": n_jobs, "progress": progress, "description": "preprocessing"}
    done = map_cases(_remembered, items, **words, on_failure=lambda item, reason: _unusable(item[0], reason))
    for i, row in zip(todo, done, strict=True):
        rows[i] = row
    used = pd.DataFrame([row for row in rows if row is not None])
    table = pd.concat([used, out.dropna(axis=1, how="all")], ignore_index=True)
    for role in [role for role in _INPUTS if role in table]:
        paths = [path if isinstance(path, str) and path else None for path in table[role]]
        table[role] = pd.Series(paths, table.index, dtype=object)
    table.attrs["reused"] = len(given) - len(todo)
    return table


def _remembered(item: tuple[dict[str, Any], Path, str, Settings, str]) -> dict[str, Any]:
    """Preprocess one case and remember it; a case whose files can not be read has no key and is tried every time."""
    case, folder, stem, settings, key = item
    row = preprocess_case(case, folder, settings, stem)
    if key:
        store(case, row, folder, stem, key)
    return row


def preprocess_case(case: Mapping[str, Any], folder: Path, settings: Settings, stem: str = "case") -> dict[str, Any]:
    """Return one row of `preprocess`, the files written; a case that the checks refuse gets its reason.

    The names of its files begin with `stem` (see `radsupport.files.file_stems`).
    """
    try:
        return _sources(case) | _preprocess(case, settings, folder, stem)
    except RadsupportError as error:
        return _unusable(case, one_line(error))


def _sources(case: Mapping[str, Any]) -> dict[str, Any]:
    """Return a case's row before anything is written."""
    row = dict(case)
    for role in _INPUTS:
        if _given(case, role):
            row[f"source_{role}"], row[role] = str(case[role]), None
    return row


def _unusable(case: Mapping[str, Any], reason: str) -> dict[str, Any]:
    return _sources(case) | {"exclusion": reason, "warnings": "", "geometry": ""}


def _preprocess(case: Mapping[str, Any], settings: Settings, folder: Path, stem: str) -> dict[str, Any]:
    """Return the measured part of a case's row, the files written."""
    if not _given(case, "mask"):
        raise MaskError("The case has no mask.")
    image, padded = without_padding(read_image(case["image"]))
    masks, repairs = {}, [problem.what for problem in padded]
    for key in ("mask", *_EXTRA_MASKS):
        if _given(case, key):
            report = check_geometry(image, read_mask(case[key]), str(case[key]))
            masks[key] = report.mask
            repairs += [problem.what for problem in report.problems]
    odd = check_hu(image, masks["mask"], Path(case["image"]).name)
    quality = mask_quality(image, masks["mask"])
    spacing = image.GetSpacing()
    row: dict[str, Any] = dict(zip(("spacing_x_mm", "spacing_y_mm", "spacing_z_mm"), spacing, strict=True))
    row |= {"noise_hu": noise_hu(image), "geometry": "; ".join(repairs), **quality}
    known = ingested(case["mask"])
    row |= {"drawn_mm3": known["drawn_mm3"]} if known else {}
    row |= {"warnings": "; ".join([*warnings_of(quality), *known.get("notes", []), *odd]), "exclusion": ""}
    if quality["one_voxel"]:
        return row | {"exclusion": "the mask has a single voxel; nothing can be measured in it"}
    for key, prepared in _prepared(image, masks, settings).items():
        target = folder / f"{stem}_{key}.nii.gz"
        write_image(prepared, target)
        row[key] = str(target)
    return row


def _prepared(image: sitk.Image, masks: dict[str, sitk.Image], settings: Settings) -> dict[str, sitk.Image]:
    """Return image and masks resampled and cut to the box of all masks plus the margin.

    The grid is the whole image's, so that no voxel depends on how many outlines there are.
    """
    spacing = settings.spacing_mm
    scale = np.asarray(image.GetSpacing()) / spacing
    drawn = bounding_box(_united(masks.values(), image), settings.margin_mm)
    size = np.maximum(np.floor(np.asarray(image.GetSize()) * scale + 0.5), 1)
    lower = np.floor(np.asarray(drawn.start) * scale)
    wide = Box.between(lower, np.minimum(np.ceil(np.asarray(drawn.stop) * scale) + 1, size))
    small = {key: resample(mask, spacing, "nearest", wide) for key, mask in masks.items()}
    if not sitk.GetArrayViewFromImage(small["mask"]).any():
        raise InputError(f"No voxel of the mask is left at a spacing of {spacing} mm.")
    box = bounding_box(_united(small.values(), small["mask"]), settings.margin_mm)
    start = np.asarray(wide.start) + box.start
    prepared = {"image": resample(image, spacing, settings.interpolation, Box.between(start, start + box.size))}
    return prepared | {key: crop(mask, box) for key, mask in small.items()}


def _united(masks: Iterable[sitk.Image], reference: sitk.Image) -> sitk.Image:
    return like(np.any([sitk.GetArrayViewFromImage(mask) for mask in masks], axis=0).view(np.uint8), reference)


def _given(case: Mapping[str, Any], key: str) -> bool:
    """Return whether a case has a path under a key (None, NaN and "" are none)."""
    value = case.get(key)
    return isinstance(value, str | Path) and str(value) != ""


def case_key(case: Mapping[str, Any], settings: Settings) -> str:
    """Return the hash of a case's files, settings and library versions; "" where a file can not be read."""
    digest = hashlib.sha256(str(PREPROCESSING_VERSION).encode())
    versions = (f"{name} {version}" for name, version in library_versions(_LIBRARIES).items())
    for part in (repr(tuple(settings)), *versions):
        digest.update(part.encode() + b"\0")
    for role in _INPUTS:
        digest.update(role.encode() + b"\0")
        if _given(case, role):
            try:
                digest.update(hashlib.sha256(Path(case[role]).read_bytes()).digest())
            except OSError:
                return ""
    return digest.hexdigest()


def load(case: Mapping[str, Any], out: Path, stem: str, key: str) -> dict[str, Any] | None:
    """Return the row of a case that was done before under this key; None where it has to be done."""
    try:
        kept = json.loads(_record(out, stem).read_text(encoding="utf-8"))
        whole = all((out / name).stat().st_size == size for name, size in kept["sizes"].items())
    except (OSError, ValueError, KeyError):  # no record, a damaged one, or a file that is gone
        return None
    if not key or kept.get("key") != key or not whole:
        return None
    written = {role: str(out / name) if name else None for role, name in kept["files"].items()}
    sources = {f"source_{role}": str(case[role]) for role in written}
    return {**case, **sources, **kept["measured"], **written}


def store(case: Mapping[str, Any], row: Mapping[str, Any], out: Path, stem: str, key: str) -> None:
    """Remember a case's row and the files that belong to it."""
    files = {role: Path(row[role]).name if row[role] else "" for role in _INPUTS if f"source_{role}" in row}
    known = {*case, *files, *(f"source_{role}" for role in files)}
    measured = {name: _plain(value) for name, value in row.items() if name not in known}
    sizes = {name: (out / name).stat().st_size for name in files.values() if name}
    text = json.dumps({"key": key, "files": files, "sizes": sizes, "measured": measured})
    with written_whole(_record(out, stem)) as partial:
        partial.write_text(text, encoding="utf-8")


def _record(out: Path, stem: str) -> Path:
    return Path(out) / ".cases" / f"{stem}.json"


def _plain(value: Any) -> Any:
    """Return a number of numpy as one of Python, which JSON knows."""
    return value.item() if hasattr(value, "item") else value
