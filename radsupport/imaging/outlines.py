"""Outlines in DICOM: a region of an RTSTRUCT or a segment of a SEG becomes a mask on the grid of its CT.

What a file leaves out is filled in where that changes no voxel, and refused with its place where it might.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
import SimpleITK as sitk

from radsupport.errors import GeometryError, InputError, MaskError, Problem
from radsupport.imaging.contours import CLOSED, XOR, Contour, draw
from radsupport.imaging.dicom import Series, axes_of, read_dicom
from radsupport.imaging.reading import check_geometry, like, placed
from radsupport.wording import counted


@dataclass(frozen=True)
class Outline:
    """One region on the grid of its CT.

    Attributes
    ----------
    mask : SimpleITK.Image
        UInt8, 1 inside.
    name : str
        Name of the region, or label of the segment.
    drawn_mm3 : float
        Volume as it was drawn: contours' area times distance of their planes, or the segment's voxels.
    notes : tuple of str
        What was decided on the way, for a reader.
    """

    mask: sitk.Image
    name: str
    drawn_mm3: float
    notes: tuple[str, ...] = ()

    @property
    def mm3(self) -> float:
        """Volume of the mask."""
        return float(sitk.GetArrayViewFromImage(self.mask).sum() * np.prod(self.mask.GetSpacing()))


def references(path: Path) -> tuple[set[str], set[str]]:
    """Return the UIDs of the series, and of the images, that an RTSTRUCT or SEG says it was drawn on."""
    return _references(_opened(path))


def _references(data: pydicom.Dataset) -> tuple[set[str], set[str]]:
    frames = _items(data, "ReferencedFrameOfReferenceSequence")
    studies = _within(frames, "RTReferencedStudySequence")
    series = [*_within(studies, "RTReferencedSeriesSequence"), *_items(data, "ReferencedSeriesSequence")]
    contours = _within(_items(data, "ROIContourSequence"), "ContourSequence")
    derived = _within(_items(data, "PerFrameFunctionalGroupsSequence"), "DerivationImageSequence")
    images = _within(contours, "ContourImageSequence") + _within(derived, "SourceImageSequence")
    images += _within(series, "ReferencedInstanceSequence")
    found = {str(one.get("SeriesInstanceUID") or "") for one in series}
    return found - {""}, {str(one.get("ReferencedSOPInstanceUID") or "") for one in images} - {""}


def _within(items: Sequence[pydicom.Dataset], keyword: str) -> list[pydicom.Dataset]:
    return [inner for item in items for inner in _items(item, keyword)]


def read_outline(path: Path, series: Series, region: str | None = None) -> Outline:
    """Read one region of an RTSTRUCT or one segment of a SEG on the grid of its CT.

    Parameters
    ----------
    path : Path
    series : Series
        The CT that was outlined.
    region : str, optional
        Name of the region or label of the segment; may be left out where there is only one. A name used twice, or none,
        has the number in it: ``GTV (2)``, ``number 3``.

    Returns
    -------
    Outline
        Contours as `radsupport.imaging.contours.draw` fills them; a fractional segment counts from one half.

    Raises
    ------
    InputError
        Neither RTSTRUCT nor SEG, drawn on another series, an unknown or doubled name (all are listed), no closed planar
        contours, or a part of the file missing that is needed to place or fill the region.
    GeometryError
        Another frame of reference, another grid, or parts outside the image.
    MaskError
        No voxel lies inside.
    """
    data = _opened(path)
    check_series(series, *_references(data), path)
    numbers = _numbers(data, path)
    name, number = _chosen(numbers, region, path)
    frame, notes = _frame(data, number, path), []
    check_frame(series, frame, path)
    if not frame:
        notes.append("it names no frame of reference: taken as that of the CT")
    if data.get("Modality") == "SEG":
        mask = _segment(data, number, series, path)
        drawn = float(sitk.GetArrayViewFromImage(mask).sum() * np.prod(mask.GetSpacing()))
    else:
        found = draw(_contours(data, number, path), series.image, f"{path}, region {name}")
        mask, drawn = like(found.mask, series.image), found.drawn_mm3
        notes += found.notes
    if not sitk.GetArrayViewFromImage(mask).any():
        size = f"{drawn:.1f} mm³ as drawn, voxels of {np.prod(mask.GetSpacing()):.1f} mm³"
        raise MaskError(f"{path}: the region {name} encloses no voxel centre in half of a slice ({size}).")
    return Outline(mask, name, drawn, tuple(notes))


def region_names(path: Path) -> list[str]:
    """Return the names of the regions or segments of a file, as `read_outline` takes them."""
    return list(_numbers(_opened(path), path))


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


def check_series(series: Series, named: set[str], images: set[str], path: Path) -> None:
    """Require that an RTSTRUCT or SEG was drawn on the series given, where it says on which.

    Raises
    ------
    InputError
        It names other series, or images of another series of the same folder; both are named.
    """
    others = {series.elsewhere[image] for image in images if image in series.elsewhere}
    if images & series.instances or (series.uid in named and not others) or not (named or images):
        return
    shown = "; ".join(series.named(uid) for uid in sorted(others or named)) or "that is not in this folder"
    remedy = "name its series by --series, or give the outline of this one"
    problem = Problem(f"it was drawn on series {shown}", f"the CT given, {series.named(series.uid)}", remedy, str(path))
    raise InputError("Image and mask do not belong together.", [problem])


def _opened(path: Path) -> pydicom.Dataset:
    data = read_dicom(Path(path))
    if data.get("Modality") not in ("RTSTRUCT", "SEG"):
        found = f"modality {data.get('Modality') or 'unknown'}"
        raise InputError("The file holds no outlines.", [Problem(found, "RTSTRUCT or SEG", file=str(path))])
    return data


def _items(data: pydicom.Dataset, keyword: str) -> list[pydicom.Dataset]:
    """Return the items of a sequence; none where it is left out, empty, or no sequence."""
    found = data.get(keyword)
    return list(found) if isinstance(found, pydicom.Sequence) else []


def _lacking(keyword: str, path: Path, where: str = "", what: str = "this part of the file is missing") -> InputError:
    problem = Problem(what, "a complete file", "export it again", str(path), column=keyword, value=where)
    return InputError("The region can not be read.", [problem])


def _whole(data: pydicom.Dataset, keyword: str, path: Path, where: str) -> int:
    """Return a whole number that has to be there."""
    try:
        return int(data[keyword].value)
    except (KeyError, TypeError, ValueError) as error:
        raise _lacking(keyword, path, where) from error


def _floats(data: pydicom.Dataset, keyword: str, n: int, path: Path, where: str) -> npt.NDArray[np.float64]:
    """Return `n` finite numbers that have to be there."""
    try:
        values = np.asarray(data[keyword].value, float).ravel()
    except (KeyError, TypeError, ValueError) as error:
        raise _lacking(keyword, path, where) from error
    if not np.isfinite(values).all() or values.size != n:
        raise _lacking(keyword, path, where, "no finite numbers, or not as many as needed")
    return values


def _numbers(data: pydicom.Dataset, path: Path) -> dict[str, int]:
    """Return the numbers of regions or segments by name; names that are missing or doubled have the number in them."""
    is_seg = data.get("Modality") == "SEG"
    keys = ("SegmentSequence", "SegmentNumber", "SegmentLabel")
    sequence, number, label = keys if is_seg else ("StructureSetROISequence", "ROINumber", "ROIName")
    items = _items(data, sequence)
    if not items:
        raise _lacking(sequence, path, what="it holds no regions")
    names = [str(item.get(label) or "").strip() for item in items]
    numbers = [_whole(item, number, path, name) for item, name in zip(items, names, strict=True)]
    if len(set(numbers)) < len(numbers):
        raise _lacking(number, path, ", ".join(map(str, numbers)), "two regions of one number")
    long = [f"{name} ({n})" if name else f"number {n}" for name, n in zip(names, numbers, strict=True)]
    shown = [name if name and names.count(name) == 1 else other for name, other in zip(names, long, strict=True)]
    return dict(zip(shown if len(set(shown)) == len(shown) else long, numbers, strict=True))


def _chosen(numbers: dict[str, int], wanted: str | None, path: Path) -> tuple[str, int]:
    """Return name and number of the region that is meant."""
    asked = (wanted or "").strip()
    if not asked and len(numbers) == 1:
        return next(iter(numbers.items()))
    if asked in numbers:
        return asked, numbers[asked]
    alike = [name for name in numbers if name.casefold() == asked.casefold()]
    same = [name for name, number in numbers.items() if name == f"{asked} ({number})"]
    near = alike or same or difflib.get_close_matches(asked, numbers, n=1, cutoff=0.4)
    what = f"no region {asked!r}" if asked else f"{len(numbers)} regions and none named"
    doubled = sorted({name for name, number in numbers.items() if name.endswith(f" ({number})")})
    if same or (doubled and not asked):
        what = f"{what}; a name is used twice: {', '.join(same or doubled)} are told apart by their numbers"
    remedy = f"did you mean {' or '.join(map(repr, near))}?" if asked and near else "name one of them"
    problem = Problem(what, f"one of {', '.join(numbers)}", remedy, str(path))
    raise InputError("Which region is meant is not clear.", [problem])


def _frame(data: pydicom.Dataset, number: int, path: Path) -> str:
    """Return the frame of reference of a region; "" where the file does not name one."""
    own = [item for item in _items(data, "StructureSetROISequence") if _whole(item, "ROINumber", path, "") == number]
    found = [str(item.get("ReferencedFrameOfReferenceUID") or "") for item in own]
    found += [str(data.get("FrameOfReferenceUID") or "")]
    whole = {str(i.get("FrameOfReferenceUID") or "") for i in _items(data, "ReferencedFrameOfReferenceSequence")}
    return next((frame for frame in [*found, *(whole if len(whole) == 1 else [])] if frame), "")


def _contours(data: pydicom.Dataset, number: int, path: Path) -> list[Contour]:
    """Return the contours of one region, or every reason why they can not be drawn."""
    rois = _items(data, "ROIContourSequence")
    if not rois:
        raise _lacking("ROIContourSequence", path, what="it holds no contours")
    own = [roi for roi in rois if _whole(roi, "ReferencedROINumber", path, "") == number]
    items = [item for roi in own for item in _items(roi, "ContourSequence")]
    problems = list(_contour_problems(items, str(path)))
    if problems:
        raise InputError("The region can not be drawn.", problems)
    return [
        Contour(np.asarray(item.ContourData, float).reshape(-1, 3), str(item.ContourGeometricType)) for item in items
    ]


def _contour_problems(items: Sequence[pydicom.Dataset], file: str) -> Iterator[Problem]:
    if not items:
        yield Problem("the region has no contours", "CLOSED_PLANAR contours", "draw it, or name another region", file)
    kinds = [str(item.get("ContourGeometricType") or "missing") for item in items]
    for kind in sorted(set(kinds) - {CLOSED, XOR}):
        what = f"{counted(kinds.count(kind), 'contour')} of type {kind}"
        yield Problem(what, "CLOSED_PLANAR", "export it again", file, column="ContourGeometricType")
    for place, item in enumerate(items, start=1):
        wrong = _wrong_points(item)
        if wrong:
            at = f"contour {place} of {len(items)}"
            yield Problem(wrong, "three finite numbers per point", "export it again", file, "", "ContourData", at)


def _wrong_points(item: pydicom.Dataset) -> str:
    """Return what is wrong with the points of a contour; "" where nothing is."""
    try:
        values = np.asarray(item["ContourData"].value, float).ravel()
    except (KeyError, TypeError, ValueError):
        return "a contour without points"
    stated = item.get("NumberOfContourPoints")
    if values.size == 0 or not np.isfinite(values).all():
        return "a contour without points, or with one that is no number"
    if values.size % 3:
        return f"{values.size} coordinates: not three per point"
    if stated is not None and str(stated).isdigit() and int(stated) != values.size // 3:
        return f"{values.size // 3} points where {stated} are announced"
    return ""


def _segment(data: pydicom.Dataset, number: int, series: Series, path: Path) -> sitk.Image:
    """Return one segment on the grid of the CT; frames that were left out are empty."""
    frames, pixels = _items(data, "PerFrameFunctionalGroupsSequence"), _pixels(data, path)
    if len(frames) != len(pixels):
        what = f"{len(pixels)} frames of pixels, {len(frames)} described"
        raise _lacking("PerFrameFunctionalGroupsSequence", path, what=what)
    common = next(iter(_items(data, "SharedFunctionalGroupsSequence")), pydicom.Dataset())
    kind = data.get("SegmentationType")
    if kind not in ("BINARY", "FRACTIONAL", "LABELMAP"):
        raise _lacking("SegmentationType", path, str(kind or ""))
    half = _whole(data, "MaximumFractionalValue", path, "") / 2 if kind == "FRACTIONAL" else 0.5
    planes, places = [], []
    for i, (frame, pixel) in enumerate(zip(frames, pixels, strict=True), start=1):
        where = f"frame {i} of {len(frames)}"
        own = _group(frame, common, "SegmentIdentificationSequence")
        if kind == "LABELMAP" or _whole(own, "ReferencedSegmentNumber", path, where) == number:
            planes.append(pixel == number if kind == "LABELMAP" else pixel >= half)
            places.append(_place(frame, common, path, where))
    if not planes:
        raise MaskError(f"{path}: the segment is empty.")
    return check_geometry(series.image, _stacked(planes, places, series.image, path), str(path)).mask


def _pixels(data: pydicom.Dataset, path: Path) -> npt.NDArray:
    """Return the frames of a SEG (frame, y, x)."""
    try:
        array = np.asarray(data.pixel_array)
    except Exception as error:
        raise _lacking("PixelData", path, what=f"its pixels can not be decoded: {error}") from error
    return array[np.newaxis] if array.ndim == 2 else array


def _group(frame: pydicom.Dataset, common: pydicom.Dataset, keyword: str) -> pydicom.Dataset:
    """Return the first item of a functional group, of the frame or shared by all; empty where there is none."""
    return next(iter([*_items(frame, keyword), *_items(common, keyword)]), pydicom.Dataset())


def _place(frame: pydicom.Dataset, common: pydicom.Dataset, path: Path, where: str) -> npt.NDArray[np.float64]:
    """Return position (3), orientation (6) and pixel spacing (2) of a frame."""
    parts = (
        ("PlanePositionSequence", "ImagePositionPatient", 3),
        ("PlaneOrientationSequence", "ImageOrientationPatient", 6),
        ("PixelMeasuresSequence", "PixelSpacing", 2),
    )
    found = [_floats(_group(frame, common, group), key, n, path, where) for group, key, n in parts]
    row, column = found[1][:3], found[1][3:]
    if not np.allclose([row @ row, column @ column, row @ column], [1, 1, 0], atol=1e-3) or (found[2] <= 0).any():
        raise _lacking("ImageOrientationPatient", path, where, "no two axes at right angles with a positive spacing")
    return np.concatenate(found)


def _stacked(
    planes: Sequence[npt.NDArray[np.bool_]], places: Sequence[npt.NDArray], image: sitk.Image, path: Path
) -> sitk.Image:
    """Stack frames by position, slices as thick as those of the image; frames of one place are united."""
    table = np.array(places)
    if np.ptp(table[:, 3:], axis=0).max() > 1e-4:
        raise GeometryError(
            "The segment can not be read.", [Problem("frames of different orientation", file=str(path))]
        )
    row, column = axes_of(table[0, 3:9])
    normal = np.cross(row, column)
    along = np.abs(np.reshape(image.GetDirection(), (3, 3)).T @ normal)
    step = image.GetSpacing()[int(along.argmax())]
    heights = (table[:, :3] @ normal - table[0, :3] @ normal) / step
    if np.ptp(heights) > max(image.GetSize()):
        problem = Problem("parts of the segment lie outside the image", remedy="pair them anew", file=str(path))
        raise GeometryError("Image and mask differ in space.", [problem])
    beside = (table[:, :3] - table[0, :3]) @ np.column_stack([row, column])
    off = float(np.abs(heights - np.rint(heights)).max())
    if off > 0.05 or np.abs(beside).max() > 0.05 * table[0, 9:].min():
        what = f"its frames are not {step:.4g} mm apart as the slices of the CT"
        remedy = "export the segment on the grid of this series"
        raise GeometryError("Image and mask differ in space.", [Problem(what, remedy=remedy, file=str(path))])
    levels = np.rint(heights).astype(int)
    stack = np.zeros((int(np.ptp(levels)) + 1, *planes[0].shape), np.uint8)
    for level, plane in zip(levels - levels.min(), planes, strict=True):
        stack[level] |= plane
    first, spacing = table[int(levels.argmin())], [*table[0, :8:-1], step]
    return placed(stack, first[:3], spacing, np.column_stack([row, column, normal]))
