"""Small DICOM files made from nothing: a CT series, an RTSTRUCT, a SEG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RTStructureSetStorage, SegmentationStorage, generate_uid

FRAME, SERIES = generate_uid(), generate_uid()
Edit = Callable[[pydicom.Dataset, int], None]


def dataset(path: Path, storage: str, modality: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = storage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = storage, meta.MediaStorageSOPInstanceUID
    data.Modality, data.PatientID = modality, "P1"
    return data


def write_ct(folder: Path, n: int = 6, edit: Edit | None = None, series: str = SERIES) -> np.ndarray:
    """Write a CT of n slices of 5 x 4 pixels in reversed file order; return its HU (z, y, x)."""
    folder.mkdir(parents=True, exist_ok=True)
    hu = np.arange(n * 20, dtype=np.int16).reshape(n, 5, 4) - 100
    for k in range(n):
        path = folder / f"slice_{n - k:03d}.dcm"
        data = dataset(path, CTImageStorage, "CT")
        data.SeriesInstanceUID, data.FrameOfReferenceUID = series, FRAME
        data.Rows, data.Columns = 5, 4
        data.PixelSpacing, data.ImageOrientationPatient = [2.0, 1.5], [1, 0, 0, 0, 1, 0]
        data.ImagePositionPatient = [-10.0, 20.0, 5.0 + 3.0 * k]
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
        data.RescaleIntercept, data.RescaleSlope = "-1000", "1"
        data.PixelData = (hu[k] + 1000).astype(np.uint16).tobytes()
        if edit is not None:
            edit(data, k)
        data.save_as(path)
    return hu


def write_rtstruct(
    path: Path, contours: dict[str, list[np.ndarray]], kind: str = "CLOSED_PLANAR", frame: str = FRAME,
    edit: Callable[[pydicom.Dataset], None] | None = None,
) -> Path:  # fmt: skip
    data = dataset(path, RTStructureSetStorage, "RTSTRUCT")
    rois, drawn = [], []
    for number, (name, polygons) in enumerate(contours.items(), start=1):
        roi = Dataset()
        roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID = number, name, frame
        rois.append(roi)
        item = Dataset()
        item.ReferencedROINumber, item.ContourSequence = number, []
        for polygon in polygons:
            contour = Dataset()
            contour.ContourGeometricType, contour.NumberOfContourPoints = kind, len(polygon)
            contour.ContourData = [f"{value:.6f}" for value in polygon.ravel()]
            item.ContourSequence.append(contour)
        drawn.append(item)
    data.StructureSetROISequence, data.ROIContourSequence = rois, drawn
    if edit is not None:
        edit(data)
    data.save_as(path)
    return path


def box(z: float, x: tuple[float, float] = (-9.0, -6.5), y: tuple[float, float] = (21.0, 27.0)) -> np.ndarray:
    return np.array([[x[0], y[0], z], [x[1], y[0], z], [x[1], y[1], z], [x[0], y[1], z]])


def write_seg(
    path: Path, frames: Sequence[tuple[int, int, np.ndarray]], labels: Sequence[str] = ("tumour",),
    kind: str = "BINARY", edit: Callable[[pydicom.Dataset], None] | None = None,
) -> Path:  # fmt: skip
    """Write frames (segment number, slice of `write_ct`, array of 5 x 4; of 0 to 100 where fractional)."""
    data = dataset(path, SegmentationStorage, "SEG")
    data.FrameOfReferenceUID, data.SegmentationType = FRAME, kind
    data.Rows, data.Columns, data.NumberOfFrames = 5, 4, len(frames)
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, "MONOCHROME2", 0
    bits = 1 if kind == "BINARY" else 8
    data.BitsAllocated, data.BitsStored, data.HighBit = bits, bits, bits - 1
    pixels = np.concatenate([np.asarray(array, np.uint8).ravel() for _, _, array in frames])
    packed = np.packbits(pixels, bitorder="little") if bits == 1 else pixels
    data.PixelData = packed.tobytes() + b"\0" * (packed.size % 2)
    if kind == "FRACTIONAL":
        data.MaximumFractionalValue, data.SegmentationFractionalType = 100, "PROBABILITY"
    data.SegmentSequence = [Dataset() for _ in labels]
    for number, (item, label) in enumerate(zip(data.SegmentSequence, labels, strict=True), start=1):
        item.SegmentNumber, item.SegmentLabel = number, label
    shared, orientation, measures = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    measures.PixelSpacing, measures.SliceThickness = [2.0, 1.5], 3.0
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    data.SharedFunctionalGroupsSequence, data.PerFrameFunctionalGroupsSequence = [shared], []
    for number, level, _ in frames:
        frame, position, segment = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = [-10.0, 20.0, 5.0 + 3.0 * level]
        segment.ReferencedSegmentNumber = number
        frame.PlanePositionSequence, frame.SegmentIdentificationSequence = [position], [segment]
        data.PerFrameFunctionalGroupsSequence.append(frame)
    if edit is not None:
        edit(data)
    data.save_as(path)
    return path


def refer(data: pydicom.Dataset, series: str) -> None:
    """Let an RTSTRUCT name the series that it was drawn on."""
    named, study, frame = Dataset(), Dataset(), Dataset()
    named.SeriesInstanceUID = series
    study.RTReferencedSeriesSequence = [named]
    frame.FrameOfReferenceUID, frame.RTReferencedStudySequence = FRAME, [study]
    data.ReferencedFrameOfReferenceSequence = [frame]
