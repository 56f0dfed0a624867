"""DICOM to NIfTI: CT series, contours and segments."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid

from radsupport.errors import GeometryError, InputError, MaskError
from radsupport.imaging.dicom import draw, ingest, read_rtstruct, read_seg, read_series, roi_names, segment_names

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
    path: Path, contours: dict[str, list[np.ndarray]], kind: str = "CLOSED_PLANAR", frame: str = FRAME
) -> Path:
    data = dataset(path, RTStructureSetStorage, "RTSTRUCT")
    rois, drawn = [], []
    for number, (name, polygons) in enumerate(contours.items(), start=1):
        roi = pydicom.Dataset()
        roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID = number, name, frame
        rois.append(roi)
        item = pydicom.Dataset()
        item.ReferencedROINumber, item.ContourSequence = number, []
        for polygon in polygons:
            contour = pydicom.Dataset()
            contour.ContourGeometricType, contour.NumberOfContourPoints = kind, len(polygon)
            contour.ContourData = [f"{value:.6f}" for value in polygon.ravel()]
            item.ContourSequence.append(contour)
        drawn.append(item)
    data.StructureSetROISequence, data.ROIContourSequence = rois, drawn
    data.save_as(path)
    return path


def box(z: float, x: tuple[float, float] = (-9.0, -6.5), y: tuple[float, float] = (21.0, 27.0)) -> np.ndarray:
    return np.array([[x[0], y[0], z], [x[1], y[0], z], [x[1], y[1], z], [x[0], y[1], z]])


def test_a_series_becomes_a_volume_in_hu(tmp_path: Path) -> None:
    hu = write_ct(tmp_path)
    (tmp_path / "readme.txt").write_text("no DICOM", encoding="utf-8")
    series = read_series(tmp_path)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(series.image), hu)
    assert series.image.GetSpacing() == (1.5, 2.0, 3.0)
    assert series.image.GetOrigin() == (-10.0, 20.0, 5.0)
    assert (series.uid, series.n_slices) == (SERIES, 6)


def test_axes_may_point_anywhere_as_long_as_they_are_orthogonal(tmp_path: Path) -> None:
    def sagittal(data: pydicom.Dataset, k: int) -> None:
        data.ImageOrientationPatient, data.ImagePositionPatient = [0, 1, 0, 0, 0, -1], [40.0 + 3.0 * k, 0.0, 0.0]

    write_ct(tmp_path, edit=sagittal)
    image = read_series(tmp_path).image
    assert image.TransformIndexToPhysicalPoint((1, 0, 0))[1] - image.GetOrigin()[1] == pytest.approx(1.5)
    assert image.TransformIndexToPhysicalPoint((0, 1, 0))[2] - image.GetOrigin()[2] == pytest.approx(-2.0)
    assert np.linalg.det(np.reshape(image.GetDirection(), (3, 3))) == pytest.approx(1.0)
    assert image.GetOrigin()[0] == 55.0


def _shift(data: pydicom.Dataset, k: int) -> None:
    data.ImagePositionPatient = [-10.0, 20.0 + 0.9 * k, 5.0 + 3.0 * k]


def _same(data: pydicom.Dataset, k: int) -> None:
    data.ImagePositionPatient = [-10.0, 20.0, 5.0 + 3.0 * max(k, 1)]


def _pixel(data: pydicom.Dataset, k: int) -> None:
    data.PixelSpacing = [2.0, 1.5 + 0.1 * (k == 2)]


def _uneven(data: pydicom.Dataset, k: int) -> None:
    data.ImagePositionPatient = [-10.0, 20.0, 5.0 + 3.0 * k + 0.5 * (k > 2)]


@pytest.mark.parametrize(
    ("edit", "text"),
    [
        (_shift, "tilted gantry"),
        (_same, "1 slices at the same position"),
        (_pixel, "slices of different PixelSpacing"),
        (_uneven, "an irregular distance between 11 and 14.5 mm"),
    ],
)
def test_slices_that_make_no_volume_are_explained(tmp_path: Path, edit: Edit, text: str) -> None:
    write_ct(tmp_path, edit=edit)
    with pytest.raises(InputError, match=text):
        read_series(tmp_path)


def test_missing_slices_are_all_named(tmp_path: Path) -> None:
    write_ct(tmp_path, 9)
    for number in (8, 4, 3):
        (tmp_path / f"slice_00{number}.dcm").unlink()
    with pytest.raises(InputError) as caught:
        read_series(tmp_path)
    assert [problem.what for problem in caught.value.problems] == [
        "1 missing slice between 5 and 11 mm",
        "2 missing slices between 17 and 26 mm",
    ]


def test_several_series_are_listed_and_one_can_be_named(tmp_path: Path) -> None:
    other = generate_uid()
    write_ct(tmp_path, 6)
    write_ct(tmp_path / "thin", 8, series=other)
    with pytest.raises(InputError) as caught:
        read_series(tmp_path)
    assert SERIES in str(caught.value)
    assert f"{other} (no description, 8 slices)" in str(caught.value)
    assert read_series(tmp_path, other).n_slices == 8
    with pytest.raises(InputError, match=r"no CT series 1\.2\.3"):
        read_series(tmp_path, "1.2.3")


def test_folders_without_a_ct(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        read_series(tmp_path / "none")
    (tmp_path / "a.txt").touch()
    with pytest.raises(InputError, match="no DICOM file in it"):
        read_series(tmp_path)
    write_rtstruct(tmp_path / "rs.dcm", {"GTV": [box(5.0)]})
    with pytest.raises(InputError, match="only modality RTSTRUCT"):
        read_series(tmp_path)
    write_ct(tmp_path / "one", 1)
    with pytest.raises(InputError, match="a single slice"):
        read_series(tmp_path / "one")


def test_contours_are_filled_by_the_pixel_centre_rule(tmp_path: Path) -> None:
    write_ct(tmp_path / "ct")
    series = read_series(tmp_path / "ct")
    hole = box(8.0, (-8.8, -8.2), (23.0, 25.0))
    path = write_rtstruct(tmp_path / "rs.dcm", {"GTV": [box(8.0), hole, box(11.0)], "Lung": [box(8.0)]})
    mask = sitk.GetArrayFromImage(read_rtstruct(path, series, "GTV"))
    expected = np.zeros((6, 5, 4), np.uint8)
    expected[1:3, 1:4, 1:3] = 1  # centres at x -8.5, -7; y 22, 24, 26
    expected[1, 2, 1] = 0
    np.testing.assert_array_equal(mask, expected)
    assert roi_names(path) == ["GTV", "Lung"]


@settings(deadline=None)
@given(st.floats(0.3, 2.5), st.floats(0.3, 2.5), st.floats(5, 15), st.floats(5, 15), st.floats(2.0, 5.0))
def test_a_disc_holds_the_pixels_whose_centres_lie_inside(
    dx: float, dy: float, cx: float, cy: float, radius: float
) -> None:
    image = sitk.Image([20, 20, 1], sitk.sitkInt16)
    image.SetSpacing([dx, dy, 1.0])
    angle = np.linspace(0, 2 * np.pi, 2000, endpoint=False)
    polygon = np.column_stack([cx * dx + radius * np.cos(angle), cy * dy + radius * np.sin(angle), 0 * angle])
    mask = draw([polygon], image)[0]
    y, x = np.mgrid[:20, :20]
    distance = np.hypot((x - cx) * dx, (y - cy) * dy)
    assert mask[distance < radius - 1e-4 * radius].all()
    assert not mask[distance > radius + 1e-9].any()


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=3, max_size=8, unique=True),
    st.integers(0, 12),
)
def test_two_halves_of_a_square_share_no_pixel_and_leave_none_out(corners: list[tuple[int, int]], cut: int) -> None:
    image = sitk.Image([13, 13, 1], sitk.sitkInt16)
    left, right, whole = (
        np.array([[a, 0, 0], [b, 0, 0], [b, 12, 0], [a, 12, 0]], float) for a, b in ((0, cut), (cut, 12), (0, 12))
    )
    np.testing.assert_array_equal(draw([left], image) + draw([right], image), draw([whole], image))
    polygon = np.array([[x, y, 0.0] for x, y in corners])
    assert not draw([polygon, polygon], image).any()


def test_regions_that_can_not_be_drawn_are_explained(tmp_path: Path) -> None:
    write_ct(tmp_path / "ct")
    series = read_series(tmp_path / "ct")
    path = write_rtstruct(tmp_path / "a.dcm", {"GTV-1": [box(8.0)], "Lung": [box(8.0)]})
    expected = r"no region 'GTV1' Expected: one of GTV-1, Lung\. Remedy: did you mean 'GTV-1'"
    with pytest.raises(InputError, match=expected):
        read_rtstruct(path, series, "GTV1")
    with pytest.raises(InputError, match="2 regions and none named"):
        read_rtstruct(path, series)
    outside = write_rtstruct(tmp_path / "b.dcm", {"GTV": [box(8.0), box(50.0)]})
    with pytest.raises(GeometryError, match="1 contours lie above or below"):
        read_rtstruct(outside, series)
    tilted = box(8.0)
    tilted[0, 2] = 12.0
    with pytest.raises(GeometryError, match="not parallel"):
        read_rtstruct(write_rtstruct(tmp_path / "c.dcm", {"GTV": [tilted]}), series)
    with pytest.raises(GeometryError, match="another frame of reference"):
        read_rtstruct(write_rtstruct(tmp_path / "d.dcm", {"GTV": [box(8.0)]}, frame=generate_uid()), series)
    with pytest.raises(InputError, match="contours of type POINT"):
        read_rtstruct(write_rtstruct(tmp_path / "e.dcm", {"GTV": [box(8.0)]}, kind="POINT"), series)
    with pytest.raises(InputError, match="no contours"):
        read_rtstruct(write_rtstruct(tmp_path / "f.dcm", {"GTV": []}), series)
    with pytest.raises(MaskError, match="no voxel centre"):
        read_rtstruct(write_rtstruct(tmp_path / "g.dcm", {"GTV": [box(8.0, (-9.9, -9.8))]}), series)
    with pytest.raises(InputError, match="modality CT"):
        read_rtstruct(next((tmp_path / "ct").iterdir()), series)
    with pytest.raises(InputError, match="no such file"):
        read_rtstruct(tmp_path / "none.dcm", series)


def test_ingest_finds_the_region_and_writes_both_files(tmp_path: Path) -> None:
    hu = write_ct(tmp_path / "exam" / "ct")
    write_rtstruct(tmp_path / "exam" / "rs.dcm", {"GTV": [box(8.0)]})
    done = ingest(tmp_path / "exam", tmp_path / "out", "P1_venous")
    assert done.mask is not None
    assert (done.region, done.voxels) == ("GTV", 6)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["P1_venous_image.nii.gz", "P1_venous_mask.nii.gz"]
    image, mask = sitk.ReadImage(str(done.image)), sitk.ReadImage(str(done.mask))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), hu)
    np.testing.assert_allclose(mask.GetOrigin(), image.GetOrigin())
    write_rtstruct(tmp_path / "exam" / "rs2.dcm", {"GTV": [box(8.0)]})
    with pytest.raises(InputError, match="2 files with regions"):
        ingest(tmp_path / "exam", tmp_path / "out2", "P1")
    assert not (tmp_path / "out2").exists()
    only = ingest(tmp_path / "exam" / "ct", tmp_path / "out3", "P1")
    assert only.mask is None


def unzipped(archive: Path, folder: Path) -> Path:
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(folder)
    return folder


@pytest.mark.parametrize("subject", ["STS_008", "STS_019", "STS_042"])
def test_the_sarcoma_dicom_equals_its_nifti(subject: str, shared: Path, tmp_path: Path) -> None:
    source = shared / "real" / "sts_ct_dicom_rtstruct" / f"{subject}_CT_dicom.zip"
    done = ingest(unzipped(source, tmp_path / "dicom"), tmp_path / "out", subject)
    for path, name in ((done.image, "CT_image"), (done.mask, "CT_mask")):
        ours = sitk.ReadImage(str(path))
        theirs = sitk.ReadImage(str(shared / "real" / "sts_ct" / subject / f"{name}.nii.gz"))
        # naive polygon fills reach a Dice of 0.95 here; the pixel-centre rule gives every voxel
        np.testing.assert_array_equal(sitk.GetArrayFromImage(ours), sitk.GetArrayFromImage(theirs))
        np.testing.assert_allclose(ours.GetOrigin(), theirs.GetOrigin(), atol=1e-4)
        np.testing.assert_allclose(ours.GetSpacing(), theirs.GetSpacing(), atol=1e-6)
    assert done.region == "GTV_Mass_CT"


def test_the_ibsi_phantom_dicom_equals_its_nifti(shared: Path, tmp_path: Path) -> None:
    source = shared / "real" / "ibsi1_ct_phantom"
    done = ingest(unzipped(source / "PAT1_dicom.zip", tmp_path / "dicom"), tmp_path / "out", "PAT1", region="GTV-1")
    for path, name in ((done.image, "image/phantom"), (done.mask, "mask/mask")):
        theirs = sitk.ReadImage(str(source / "nifti" / f"{name}.nii.gz"))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))), sitk.GetArrayFromImage(theirs))


def test_the_liver_segment_equals_its_nrrd(shared: Path) -> None:
    source = shared / "real" / "dcmqi_ct_seg"
    series = read_series(source / "ct-3slice")
    mask = read_seg(source / "liver.dcm", series)
    theirs = sitk.ReadImage(str(source / "liver_seg.nrrd"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(mask), sitk.GetArrayFromImage(theirs))
    assert mask.GetOrigin() == series.image.GetOrigin()


def test_overlapping_segments_are_chosen_by_name(shared: Path) -> None:
    source = shared / "real" / "dcmqi_ct_seg"
    series, path = read_series(source / "ct-3slice"), source / "partial_overlaps.dcm"
    assert segment_names(path) == ["GREEN", "ORANGE", "PURPLE", "LIGHT_BLUE", "DARK_BLUE"]
    assert sitk.GetArrayFromImage(read_seg(path, series, "ORANGE")).sum() == 11888
    with pytest.raises(InputError, match="5 segments and none named"):
        read_seg(path, series)
    with pytest.raises(InputError, match="did you mean 'GREEN'"):
        read_seg(path, series, "GREN")
    with pytest.raises(InputError, match="modality CT"):
        read_seg(source / "ct-3slice" / "01.dcm", series)
