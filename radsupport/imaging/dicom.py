"""From DICOM to NIfTI: a CT series with its contours (RTSTRUCT) or segmentation (SEG) as image and mask.

Both end as a mask on the CT's grid, contours by the pixel-centre rule, and as files that the manifest can name.
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import numpy.typing as npt
import pydicom
import SimpleITK as sitk
from pydicom.errors import InvalidDicomError

from radsupport.errors import GeometryError, InputError, MaskError, Problem
from radsupport.files import written_whole
from radsupport.imaging.reading import check_geometry, like, placed
from radsupport.wording import counted

HEADERS = [
    "SeriesInstanceUID", "SeriesDescription", "Modality", "PatientID", "Rows", "Columns", "PixelSpacing",
    "ImageOrientationPatient", "ImagePositionPatient", "FrameOfReferenceUID", "NumberOfFrames",
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
    """

    image: sitk.Image
    uid: str
    frame_of_reference: str
    n_slices: int


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


def read_series(folder: Path, series: str | None = None) -> Series:
    """Read the CT series of a folder as a volume in HU.

    Parameters
    ----------
    folder : Path
        Searched with its subfolders.
    series : str, optional
        Series instance UID; needed where the folder holds several CT series.

    Returns
    -------
    Series

    Raises
    ------
    InputError
        No CT, several series and none named, or slices that make no regular volume (missing or
        doubled slices, different sizes or orientations, tilted gantry); all faults at once.
    """
    headers = scan_folder(folder)
    slices = {path: head for path, head in headers.items() if head.get("Modality") == "CT" and "Rows" in head}
    if not slices:
        kinds = ", ".join(sorted({str(head.get("Modality", "?")) for head in headers.values()}))
        raise InputError("There is no CT to read.", [Problem(f"only modality {kinds}", "CT", file=str(folder))])
    chosen = _one_series(slices, series, str(folder))
    problems = list(_series_problems(chosen, str(folder)))
    if problems:
        raise InputError("The slices of the series make no regular volume.", problems)
    ordered = sorted(chosen, key=lambda path: _height(chosen[path]))
    first, last = chosen[ordered[0]], chosen[ordered[-1]]
    row, column = _axes(first)
    spacing = [*reversed(first.PixelSpacing), (_height(last) - _height(first)) / (len(ordered) - 1)]
    direction = np.column_stack([row, column, np.cross(row, column)])
    image = placed(np.stack([_pixels(path) for path in ordered]), first.ImagePositionPatient, spacing, direction)
    return Series(image, str(first.SeriesInstanceUID), str(first.get("FrameOfReferenceUID", "")), len(ordered))


def _one_series(slices: dict[Path, pydicom.Dataset], series: str | None, folder: str) -> dict[Path, pydicom.Dataset]:
    groups: dict[str, dict[Path, pydicom.Dataset]] = {}
    for path, head in slices.items():
        groups.setdefault(str(head.SeriesInstanceUID), {})[path] = head
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


def _series_problems(slices: dict[Path, pydicom.Dataset], folder: str) -> Iterator[Problem]:
    """Yield why slices do not stack to a regular volume."""
    heads = list(slices.values())
    if any(int(head.get("NumberOfFrames", 1) or 1) > 1 for head in heads):
        yield Problem("a multi-frame (enhanced) CT", "one file per slice", "export it as classic CT images", folder)
        return
    if len(heads) < 2:
        yield Problem("a single slice", "two or more", "export the whole series", folder)
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
        what = f"{int((steps < SAME_MM).sum())} slices at the same position"
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
    values = np.array([float(v) for v in head.ImageOrientationPatient])
    row, column = values[:3], values[3:]
    return row / np.linalg.norm(row), column / np.linalg.norm(column)


def _height(head: pydicom.Dataset) -> float:
    """Return the slice's position along the normal of its plane, in mm."""
    row, column = _axes(head)
    return float(np.array([float(v) for v in head.ImagePositionPatient]) @ np.cross(row, column))


def _pixels(path: Path) -> npt.NDArray:
    """Return one slice in HU; ITK decodes compressed files and applies the rescale slope."""
    try:
        return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[0]
    except RuntimeError as error:
        raise _unreadable(path, f"its pixels can not be decoded: {str(error).strip().splitlines()[-1]}") from error


def check_frame(series: Series, frame: str, path: Path) -> None:
    """Require that contours or segments lie in the coordinate system of the series.

    Raises
    ------
    GeometryError
        Both name a frame of reference, and they differ.
    """
    if frame and series.frame_of_reference and frame != series.frame_of_reference:
        own, remedy = f"that of the CT, {series.frame_of_reference}", "pair it with its own series"
        problem = Problem("another frame of reference", own, remedy, str(path), value=frame)
        raise GeometryError("Image and mask do not belong together.", [problem])


def segment_names(path: Path) -> list[str]:
    """Return the labels of the segments in a DICOM SEG file, by segment number.

    Raises
    ------
    InputError
        No DICOM file, or no SEG.
    """
    return list(_segments(_open(path)))


def read_seg(path: Path, series: Series, segment: str | None = None) -> sitk.Image:
    """Read one segment of a DICOM SEG file on the grid of its CT.

    Parameters
    ----------
    path : Path
    series : Series
        The CT that was segmented.
    segment : str, optional
        Label of the segment; may be left out where there is only one.

    Returns
    -------
    SimpleITK.Image
        UInt8 on the image's grid. A fractional segment counts from one half.

    Raises
    ------
    InputError
        No SEG, an unknown segment (the labels are listed), or frames that make no regular volume.
    GeometryError
        Another frame of reference, another grid, or parts outside the image.
    MaskError
        The segment is empty.
    """
    seg = _open(path)
    number = _number(_segments(seg), segment, path, "segment")
    check_frame(series, str(seg.get("FrameOfReferenceUID", "")), Path(path))
    try:
        volume = seg.get_volume(segment_numbers=[number], dtype=np.float32)
    except (RuntimeError, ValueError) as error:  # highdicom's words for frames without a common grid
        raise InputError("The segment can not be read.", [Problem(str(error), file=str(path))]) from error
    array = np.asarray(volume.array).reshape(volume.array.shape[:3])
    affine = np.asarray(volume.affine)
    steps = affine[:3, [2, 1, 0]]
    spacing = np.linalg.norm(steps, axis=0)
    labels = placed((array >= 0.5).astype(np.uint8), affine[:3, 3], spacing, steps / spacing)
    mask = check_geometry(series.image, labels, str(path)).mask
    if not sitk.GetArrayViewFromImage(mask).any():
        raise MaskError(f"{path}: the segment is empty.")
    return mask


def _open(path: Path) -> hd.seg.Segmentation:
    data = read_dicom(Path(path))
    if data.get("Modality") != "SEG":
        raise InputError("The file holds no segments.", [_modality(data, "SEG", path)])
    return hd.seg.Segmentation.from_dataset(data, copy=False)


def _modality(data: pydicom.Dataset, expected: str, path: Path) -> Problem:
    return Problem(f"modality {data.get('Modality', 'unknown')}", expected, file=str(path))


def _segments(seg: hd.seg.Segmentation) -> dict[str, int]:
    """Return segment numbers by label; a label used twice gets its number added."""
    found: dict[str, int] = {}
    for number in seg.segment_numbers:
        label = str(seg.get_segment_description(number).segment_label)
        found[label if label not in found else f"{label} ({number})"] = int(number)
    return found


def _number(numbers: dict[str, int], wanted: str | None, path: Path, kind: str) -> int:
    """Return the number of the segment or region that is meant."""
    if wanted is None and len(numbers) == 1:
        return next(iter(numbers.values()))
    if wanted in numbers:
        return numbers[str(wanted)]
    near = difflib.get_close_matches(str(wanted), numbers, n=1, cutoff=0.4) if wanted else []
    remedy = f"did you mean {near[0]!r}?" if near else "name one of them"
    what = f"no {kind} {wanted!r}" if wanted else f"{len(numbers)} {kind}s and none named"
    problem = Problem(what, f"one of {', '.join(numbers)}", remedy, str(path))
    raise InputError(f"Which {kind} is meant is not clear.", [problem])


PLANAR = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")


def roi_names(path: Path) -> list[str]:
    """Return the names of the regions in an RTSTRUCT file.

    Raises
    ------
    InputError
        No DICOM file, or no RTSTRUCT.
    """
    return [str(item.ROIName) for item in _structure(path).StructureSetROISequence]


def read_rtstruct(path: Path, series: Series, roi: str | None = None) -> sitk.Image:
    """Draw one region of an RTSTRUCT file on the grid of its CT.

    Parameters
    ----------
    path : Path
    series : Series
        The CT that the contours were drawn on.
    roi : str, optional
        Name of the region; may be left out where there is only one.

    Returns
    -------
    SimpleITK.Image
        UInt8 on the image's grid: 1 where the voxel's centre lies inside a contour. Contours of one slice
        are combined by exclusive or, so a contour inside another one is a hole.

    Raises
    ------
    InputError
        No RTSTRUCT, an unknown region (the names are listed), or no closed planar contours.
    GeometryError
        Another frame of reference, or contours outside the image.
    MaskError
        No voxel centre lies inside.
    """
    data = _structure(path)
    numbers = {str(item.ROIName): int(item.ROINumber) for item in data.StructureSetROISequence}
    number = _number(numbers, roi, path, "region")
    items = [item for item in data.ROIContourSequence if int(item.ReferencedROINumber) == number]
    contours = [contour for item in items for contour in item.get("ContourSequence", [])]
    frames = [str(s.ReferencedFrameOfReferenceUID) for s in data.StructureSetROISequence if int(s.ROINumber) == number]
    check_frame(series, frames[0] if frames else "", path)
    kinds = {str(contour.ContourGeometricType) for contour in contours}
    if not contours or not kinds <= set(PLANAR):
        what = f"contours of type {', '.join(sorted(kinds - set(PLANAR)))}" if contours else "no contours"
        raise InputError("The region can not be drawn.", [Problem(what, "CLOSED_PLANAR", "export it again", str(path))])
    points = [np.asarray(contour.ContourData, float).reshape(-1, 3) for contour in contours]
    mask = draw(points, series.image, str(path))
    if not mask.any():
        raise MaskError(f"{path}: the contours enclose no voxel centre.")
    return like(mask, series.image)


def draw(contours: Sequence[npt.NDArray], image: sitk.Image, name: str = "") -> npt.NDArray[np.uint8]:
    """Fill closed planar contours.

    Parameters
    ----------
    contours : sequence of arrays, shape (n_points, 3)
        In patient coordinates (LPS, mm).
    image : SimpleITK.Image
        Its grid is filled.
    name : str
        For messages.

    Returns
    -------
    array, shape (z, y, x), of 0 and 1

    Raises
    ------
    GeometryError
        A contour lies outside the stack of slices or is not parallel to it; all are counted.
    """
    mask = np.zeros(image.GetSize()[::-1], np.uint8)
    to_index = np.linalg.inv(np.reshape(image.GetDirection(), (3, 3)) * np.asarray(image.GetSpacing()))
    indices = [(points - np.asarray(image.GetOrigin())) @ to_index.T for points in contours]
    levels = [int(np.rint(index[:, 2].mean())) for index in indices]
    tilted = sum(float(np.ptp(index[:, 2])) > 0.1 for index in indices)
    outside = sum(not 0 <= level < mask.shape[0] for level in levels)
    faults = {"contours are not parallel to the slices": tilted, "contours lie above or below the image": outside}
    problems = [Problem(f"{n} {what}", remedy="pair them anew", file=name) for what, n in faults.items() if n]
    if problems:
        raise GeometryError("The contours do not fit the image.", problems)
    for level, index in zip(levels, indices, strict=True):
        _fill(mask[level], index[:, :2])
    return mask


def _fill(plane: npt.NDArray[np.uint8], polygon: npt.NDArray) -> None:
    """Flip the pixels whose centres lie inside a polygon (even-odd rule), row by row.

    A centre exactly on an edge counts as inside on the left and not on the right (half-open spans), so two
    polygons that share an edge never share a pixel.
    """
    x, y = polygon[:, 0], polygon[:, 1]
    x_next, y_next = np.roll(x, -1), np.roll(y, -1)
    low, high = np.minimum(y, y_next), np.maximum(y, y_next)
    rows = range(max(int(np.ceil(y.min())), 0), min(int(np.ceil(y.max())), plane.shape[0]))
    for row in rows:
        cut = (low <= row) & (row < high)
        crossings = np.sort(x[cut] + (row - y[cut]) / (y_next[cut] - y[cut]) * (x_next[cut] - x[cut]))
        for left, right in zip(crossings[::2], crossings[1::2], strict=True):
            start, stop = max(int(np.ceil(left)), 0), max(int(np.ceil(right)), 0)
            plane[row, start:stop] ^= 1


def _structure(path: Path) -> pydicom.Dataset:
    data = read_dicom(Path(path))
    if data.get("Modality") != "RTSTRUCT" or not data.get("StructureSetROISequence"):
        raise InputError("The file holds no contours.", [_modality(data, "RTSTRUCT with regions", path)])
    return data


@dataclass(frozen=True)
class Ingested:
    """What was written.

    Attributes
    ----------
    image : Path
    mask : Path or None
        None where neither RTSTRUCT nor SEG was found.
    series : Series
    region : str
        Name of the region or segment that became the mask.
    voxels : int
        Size of the mask.
    """

    image: Path
    mask: Path | None
    series: Series
    region: str
    voxels: int


def ingest(
    folder: Path, out: Path, name: str, region: str | None = None, mask: Path | None = None, series: str | None = None
) -> Ingested:
    """Convert a CT series and its region of interest to ``<name>_image.nii.gz`` and ``<name>_mask.nii.gz``.

    Parameters
    ----------
    folder : Path
        DICOM files of one examination, with subfolders.
    out : Path
        Where to write.
    name : str
        Stem of the files, such as ``P001_venous``.
    region : str, optional
        Name of the RTSTRUCT region or SEG segment; may be left out where there is only one.
    mask : Path, optional
        The RTSTRUCT or SEG file; looked for in `folder` if not given.
    series : str, optional
        Series instance UID, where the folder holds several CT series.

    Returns
    -------
    Ingested

    Raises
    ------
    InputError, GeometryError, MaskError
        See `radsupport.imaging.dicom.read_series`, `radsupport.imaging.dicom.read_rtstruct` and
        `radsupport.imaging.dicom.read_seg`. Nothing is written then.
    """
    volume = read_series(Path(folder), series)
    source = mask if mask is not None else find_mask(Path(folder))
    drawn, chosen = None, ""
    if source is not None:
        is_seg = read_dicom(Path(source), stop_before_pixels=True).get("Modality") == "SEG"
        drawn = (read_seg if is_seg else read_rtstruct)(Path(source), volume, region)
        chosen = region or (segment_names if is_seg else roi_names)(Path(source))[0]
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    image_path = _write(volume.image, out / f"{name}_image.nii.gz")
    mask_path = _write(drawn, out / f"{name}_mask.nii.gz") if drawn is not None else None
    voxels = int(sitk.GetArrayViewFromImage(drawn).sum()) if drawn is not None else 0
    return Ingested(image_path, mask_path, volume, chosen, voxels)


def find_mask(folder: Path) -> Path | None:
    """Return the only RTSTRUCT or SEG file below a folder, None where there is none.

    Raises
    ------
    InputError
        There are several; all are listed.
    """
    found = [path for path, head in scan_folder(folder).items() if head.get("Modality") in ("RTSTRUCT", "SEG")]
    if len(found) > 1:
        shown = ", ".join(str(path) for path in found)
        problem = Problem(f"{len(found)} files with regions", f"one of {shown}", "name one by --mask", str(folder))
        raise InputError("Which region is meant is not clear.", [problem])
    return found[0] if found else None


def _write(image: sitk.Image, path: Path) -> Path:
    with written_whole(path) as partial:
        sitk.WriteImage(image, str(partial), useCompression=True)
    return path
