"""DICOM files of a folder, and one CT series of it as a volume in HU."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
import SimpleITK as sitk
from pydicom.errors import InvalidDicomError

from radsupport.errors import InputError, Problem
from radsupport.imaging.hounsfield import slice_hu
from radsupport.imaging.reading import placed
from radsupport.wording import counted

HEADERS = [
    "SeriesInstanceUID", "SeriesDescription", "Modality", "PatientID", "Rows", "Columns", "PixelSpacing",
    "ImageOrientationPatient", "ImagePositionPatient", "FrameOfReferenceUID", "NumberOfFrames",
    "SOPInstanceUID", "StudyInstanceUID", "ImageType", "ProtocolName", "Manufacturer", "ManufacturerModelName", "KVP",
    "XRayTubeCurrent", "Exposure", "ConvolutionKernel", "SliceThickness", "ContrastBolusAgent",
    "ContrastBolusStartTime", "AcquisitionTime",
]  # fmt: skip
SAME_MM = 0.01


@dataclass(frozen=True)
class Series:
    """One CT series as a volume.

    Attributes
    ----------
    image : SimpleITK.Image
        HU, geometry in DICOM's patient coordinates (LPS, mm).
    uid : str
        Series instance UID.
    frame_of_reference : str
        UID of the coordinate system; contours must refer to the same.
    n_slices : int
    instances : frozenset of str
        UIDs of its images.
    elsewhere : mapping
        Series of every other image in the folder, by the image's UID.
    descriptions : mapping
        What the series of the folder are called, by UID.
    """

    image: sitk.Image
    uid: str
    frame_of_reference: str
    n_slices: int
    instances: frozenset[str] = frozenset()
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    descriptions: Mapping[str, str] = field(default_factory=dict)

    def named(self, uid: str) -> str:
        """Return a series as words: its UID and what it is called."""
        return f"{uid} ({self.descriptions.get(uid) or 'no description'})"


def read_dicom(path: Path, **options: Any) -> pydicom.Dataset:
    """Read one DICOM file.

    Raises
    ------
    InputError
        Missing, or no DICOM file.
    """
    with warnings.catch_warnings():
        # names longer than the standard allows are common in de-identified files and harm nothing here
        warnings.filterwarnings("ignore", r"The value length \(\d+\) exceeds the maximum length", UserWarning)
        warnings.filterwarnings("ignore", "Invalid value for VR", UserWarning)
        try:
            return pydicom.dcmread(path, **options)
        except FileNotFoundError as error:
            raise _unreadable(path, "there is no such file") from error
        except (InvalidDicomError, OSError) as error:
            raise _unreadable(path, f"no DICOM file: {error}") from error


def _unreadable(path: Path, what: str) -> InputError:
    return InputError("A DICOM file can not be read.", [Problem(what, file=str(path))])


def scan_folder(folder: Path) -> dict[Path, pydicom.Dataset]:
    """Return the headers of every DICOM file below a folder; other files are passed over.

    Raises
    ------
    InputError
        No such folder, or no DICOM file in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError("The DICOM folder can not be read.", [Problem("no such folder", file=str(folder))])
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        try:
            found[path] = read_dicom(path, stop_before_pixels=True, specific_tags=HEADERS)
        except InputError:
            continue
    if not found:
        raise InputError("The DICOM folder can not be read.", [Problem("no DICOM file in it", file=str(folder))])
    return found


def read_series(
    folder: Path, series: str | None = None, headers: Mapping[Path, pydicom.Dataset] | None = None
) -> Series:
    """Read the CT series of a folder as a volume in HU.

    Parameters
    ----------
    folder : Path
        Searched with its subfolders.
    series : str, optional
        Series instance UID; needed where the folder holds several CT series.
    headers : mapping, optional
        As `scan_folder` returned them for this folder.

    Returns
    -------
    Series

    Raises
    ------
    InputError
        No CT, several series and none named, or slices that make no regular volume (missing or
        doubled slices, different sizes or orientations, tilted gantry, no position); all faults at once.
    """
    headers = scan_folder(folder) if headers is None else headers
    slices = {path: head for path, head in headers.items() if head.get("Modality") == "CT" and "Rows" in head}
    if not slices:
        kinds = ", ".join(sorted({str(head.get("Modality", "?")) for head in headers.values()}))
        raise InputError("There is no CT to read.", [Problem(f"only modality {kinds}", "CT", file=str(folder))])
    chosen = _one_series(slices, series, str(folder))
    problems = list(stack_problems(chosen, str(folder)))
    if problems:
        raise InputError("The slices of the series make no regular volume.", problems)
    ordered = sorted(chosen, key=lambda path: _height(chosen[path]))
    first, last = chosen[ordered[0]], chosen[ordered[-1]]
    row, column = _axes(first)
    spacing = [*reversed(first.PixelSpacing), (_height(last) - _height(first)) / (len(ordered) - 1)]
    direction = np.column_stack([row, column, np.cross(row, column)])
    image = placed(np.stack([_pixels(path) for path in ordered]), first.ImagePositionPatient, spacing, direction)
    uid, frame = series_of(first), str(first.get("FrameOfReferenceUID") or "")
    known = {str(head.get("SOPInstanceUID") or ""): series_of(head) for head in headers.values()}
    own = frozenset(image for image, where in known.items() if where == uid) - {""}
    elsewhere = {image: where for image, where in known.items() if where not in (uid, "") and image}
    called = {series_of(head): str(head.get("SeriesDescription") or "") for head in headers.values()}
    return Series(image, uid, frame, len(ordered), own, elsewhere, called)


def series_of(head: pydicom.Dataset) -> str:
    """Return the UID of the series that a file belongs to; "" where it names none."""
    return str(head.get("SeriesInstanceUID") or "")


def _one_series(slices: dict[Path, pydicom.Dataset], series: str | None, folder: str) -> dict[Path, pydicom.Dataset]:
    groups: dict[str, dict[Path, pydicom.Dataset]] = {}
    for path, head in slices.items():
        groups.setdefault(series_of(head), {})[path] = head
    if series is None and len(groups) == 1:
        return next(iter(groups.values()))
    if series in groups:
        return groups[str(series)]
    shown = []
    for uid, group in groups.items():
        head = next(iter(group.values()))
        shown.append(f"{uid} ({head.get('SeriesDescription', 'no description')}, {len(group)} slices)")
    what = f"{len(groups)} CT series" if series is None else f"no CT series {series}"
    problem = Problem(what, f"one of {'; '.join(shown)}", "name one by its UID", folder)
    raise InputError("Which series is meant is not clear.", [problem])


def stack_problems(slices: Mapping[Path, pydicom.Dataset], folder: str = "") -> Iterator[Problem]:
    """Yield why the slices of a series (headers by file) do not stack to a regular volume."""
    heads = list(slices.values())
    if any(int(head.get("NumberOfFrames", 1) or 1) > 1 for head in heads):
        yield Problem("a multi-frame (enhanced) CT", "one file per slice", "export it as classic CT images", folder)
        return
    if len(heads) < 2:
        yield Problem("a single slice", "two or more", "export the whole series", folder)
        return
    needed = {"PixelSpacing": 2, "ImageOrientationPatient": 6, "ImagePositionPatient": 3}
    for key, n in needed.items():
        lacking = sum(len(np.atleast_1d(head.get(key) or [])) != n for head in heads)
        if lacking:
            what = f"{counted(lacking, 'slice')} without {key}"
            yield Problem(what, f"{n} numbers in every slice", "export the series again", folder, column=key)
    if any(len(np.atleast_1d(head.get(key) or [])) != n for head in heads for key, n in needed.items()):
        return
    for key in ("Rows", "Columns", "PixelSpacing", "ImageOrientationPatient"):
        values = {tuple(np.round(np.atleast_1d(np.asarray(head.get(key), float)), 4)) for head in heads}
        if len(values) > 1:
            shown = "; ".join(" ".join(f"{v:g}" for v in value) for value in sorted(values))
            yield Problem(f"slices of different {key}", "one value", "export one series only", folder, value=shown)
            return
    yield from _position_problems(heads, folder)


def _position_problems(heads: Sequence[pydicom.Dataset], folder: str) -> Iterator[Problem]:
    row, column = _axes(heads[0])
    if abs(float(row @ column)) > 1e-3:
        yield Problem("the image axes are not at right angles", remedy="export it again", file=folder)
        return
    positions = np.array([[float(v) for v in head.ImagePositionPatient] for head in heads])
    heights = np.sort(positions @ np.cross(row, column))
    drift = np.abs((positions - positions[0]) @ np.column_stack([row, column])).max()
    if drift > max(SAME_MM, 0.1 * float(heads[0].PixelSpacing[0])):
        what = f"slices are shifted sideways by up to {drift:.2f} mm (tilted gantry?)"
        yield Problem(what, "a straight stack", "resample it", folder)
    steps = np.diff(heights)
    if (steps < SAME_MM).any():
        shown = ", ".join(f"{z:g}" for z in heights[1:][steps < SAME_MM][:8])
        what = f"{counted(int((steps < SAME_MM).sum()), 'slice')} at the position of another"
        yield Problem(what, "one each", "remove them", folder, value=f"{shown} mm")
        return
    usual = float(np.median(steps))
    gaps = np.flatnonzero(np.abs(steps - usual) > max(SAME_MM, 0.01 * usual))
    for i in gaps:
        missing = steps[i] / usual - 1
        what = counted(round(missing), "missing slice") if missing > 0.5 else "an irregular distance"
        place = f"between {heights[i]:g} and {heights[i + 1]:g} mm"
        yield Problem(f"{what} {place}", f"slices every {usual:g} mm", "export the complete series", folder)


def _axes(head: pydicom.Dataset) -> tuple[npt.NDArray, npt.NDArray]:
    """Return the directions in which column and row numbers grow, as unit vectors (LPS)."""
    return axes_of([float(v) for v in head.ImageOrientationPatient])


def axes_of(orientation: npt.ArrayLike) -> tuple[npt.NDArray, npt.NDArray]:
    """Return the two directions of ImageOrientationPatient as unit vectors."""
    row, column = np.reshape(np.asarray(orientation, float), (2, 3))
    return row / np.linalg.norm(row), column / np.linalg.norm(column)


def _height(head: pydicom.Dataset) -> float:
    """Return the slice's position along the normal of its plane, in mm."""
    row, column = _axes(head)
    return float(np.array([float(v) for v in head.ImagePositionPatient]) @ np.cross(row, column))


def _pixels(path: Path) -> npt.NDArray:
    """Return one slice in HU."""
    return slice_hu(path, read_dicom(path))
