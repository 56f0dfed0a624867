"""Contours (RTSTRUCT) as a mask on the CT's grid, by the pixel-centre rule."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
import SimpleITK as sitk

from radsupport.errors import GeometryError, InputError, MaskError, Problem
from radsupport.imaging.dicom import Series, check_frame, read_dicom
from radsupport.imaging.reading import like

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
    number = _roi_number(data, roi, path)
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
    problems = []
    tilted = sum(float(np.ptp(index[:, 2])) > 0.1 for index in indices)
    levels = [int(np.rint(index[:, 2].mean())) for index in indices]
    outside = sum(not 0 <= level < mask.shape[0] for level in levels)
    if tilted:
        problems.append(
            Problem(f"{tilted} contours are not parallel to the slices", remedy="pair them anew", file=name)
        )
    if outside:
        problems.append(Problem(f"{outside} contours lie above or below the image", remedy="pair them anew", file=name))
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
        problem = Problem(f"modality {data.get('Modality', 'unknown')}", "RTSTRUCT with regions", file=str(path))
        raise InputError("The file holds no contours.", [problem])
    return data


def _roi_number(data: pydicom.Dataset, roi: str | None, path: Path) -> int:
    numbers = {str(item.ROIName): int(item.ROINumber) for item in data.StructureSetROISequence}
    if roi is None and len(numbers) == 1:
        return next(iter(numbers.values()))
    if roi in numbers:
        return numbers[str(roi)]
    near = difflib.get_close_matches(str(roi), numbers, n=1, cutoff=0.4) if roi else []
    remedy = f"did you mean {near[0]!r}?" if near else "name one of them"
    what = f"no region {roi!r}" if roi else f"{len(numbers)} regions and none named"
    problem = Problem(what, f"one of {', '.join(numbers)}", remedy, str(path))
    raise InputError("Which region is meant is not clear.", [problem])
