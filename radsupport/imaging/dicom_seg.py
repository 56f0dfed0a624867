"""Segments of a DICOM SEG object as a mask on the CT's grid."""

from __future__ import annotations

import difflib
from pathlib import Path

import highdicom as hd
import numpy as np
import SimpleITK as sitk

from radsupport.errors import InputError, MaskError, Problem
from radsupport.imaging.dicom import Series, check_frame, read_dicom
from radsupport.imaging.geometry import check_geometry


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
    number = _number(_segments(seg), segment, path)
    check_frame(series, str(seg.get("FrameOfReferenceUID", "")), Path(path))
    try:
        volume = seg.get_volume(segment_numbers=[number], dtype=np.float32)
    except (RuntimeError, ValueError) as error:  # highdicom's words for frames without a common grid
        raise InputError("The segment can not be read.", [Problem(str(error), file=str(path))]) from error
    array = np.asarray(volume.array).reshape(volume.array.shape[:3])
    labels = sitk.GetImageFromArray((array >= 0.5).astype(np.uint8))
    affine = np.asarray(volume.affine)
    steps = affine[:3, [2, 1, 0]]
    spacing = np.linalg.norm(steps, axis=0)
    labels.SetOrigin(affine[:3, 3].tolist())
    labels.SetSpacing(spacing.tolist())
    labels.SetDirection((steps / spacing).ravel().tolist())
    mask = check_geometry(series.image, labels, str(path)).mask
    if not sitk.GetArrayViewFromImage(mask).any():
        raise MaskError(f"{path}: the segment is empty.")
    return mask


def _open(path: Path) -> hd.seg.Segmentation:
    data = read_dicom(Path(path))
    if data.get("Modality") != "SEG":
        problem = Problem(f"modality {data.get('Modality', 'unknown')}", "SEG", file=str(path))
        raise InputError("The file holds no segments.", [problem])
    return hd.seg.Segmentation.from_dataset(data, copy=False)


def _segments(seg: hd.seg.Segmentation) -> dict[str, int]:
    """Return segment numbers by label; a label used twice gets its number added."""
    found: dict[str, int] = {}
    for number in seg.segment_numbers:
        label = str(seg.get_segment_description(number).segment_label)
        found[label if label not in found else f"{label} ({number})"] = int(number)
    return found


def _number(segments: dict[str, int], segment: str | None, path: Path) -> int:
    if segment is None and len(segments) == 1:
        return next(iter(segments.values()))
    if segment in segments:
        return segments[str(segment)]
    near = difflib.get_close_matches(str(segment), segments, n=1, cutoff=0.4) if segment else []
    remedy = f"did you mean {near[0]!r}?" if near else "name one of them"
    what = f"no segment {segment!r}" if segment else f"{len(segments)} segments and none named"
    problem = Problem(what, f"one of {', '.join(segments)}", remedy, str(path))
    raise InputError("Which segment is meant is not clear.", [problem])
