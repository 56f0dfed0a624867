"""DICOM to NIfTI, whole examinations."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from helpers.dicom_files import SERIES, box, refer, write_ct, write_rtstruct
from pydicom.uid import generate_uid

from radsupport.errors import InputError
from radsupport.imaging.ingestion import ingest, ingested


def test_ingest_finds_the_region_and_writes_both_files(tmp_path: Path) -> None:
    hu = write_ct(tmp_path / "exam" / "ct")
    write_rtstruct(tmp_path / "exam" / "rs.dcm", {"GTV": [box(8.0)]})
    done = ingest(tmp_path / "exam", tmp_path / "out", "P1_venous")
    assert done.mask is not None
    assert done.outline is not None
    assert (done.outline.name, done.outline.mm3) == ("GTV", 6 * 9.0)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "P1_venous_image.nii.gz", "P1_venous_mask.nii.gz", "P1_venous_mask.nii.gz.json",
    ]  # fmt: skip
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
    assert done.outline is not None
    assert done.outline.name == "GTV_Mass_CT"
    assert done.outline.notes == ()
    assert done.outline.mm3 == pytest.approx(done.outline.drawn_mm3, rel=0.01)


def test_the_ibsi_phantom_dicom_equals_its_nifti(shared: Path, tmp_path: Path) -> None:
    source = shared / "real" / "ibsi1_ct_phantom"
    done = ingest(unzipped(source / "PAT1_dicom.zip", tmp_path / "dicom"), tmp_path / "out", "PAT1", region="GTV-1")
    for path, name in ((done.image, "image/phantom"), (done.mask, "mask/mask")):
        theirs = sitk.ReadImage(str(source / "nifti" / f"{name}.nii.gz"))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))), sitk.GetArrayFromImage(theirs))


def test_the_series_that_was_outlined_is_taken(tmp_path: Path) -> None:
    other = generate_uid()
    write_ct(tmp_path / "exam" / "a")
    write_ct(tmp_path / "exam" / "v", 5, series=other)
    path = write_rtstruct(tmp_path / "exam" / "rs.dcm", {"GTV": [box(8.0)]}, edit=lambda data: refer(data, other))
    assert ingest(tmp_path / "exam", tmp_path / "out", "P1").series.uid == other
    with pytest.raises(InputError, match="it was drawn on series"):
        ingest(tmp_path / "exam", tmp_path / "out", "P1", series=SERIES)
    with pytest.raises(InputError, match="it was drawn on series"):
        ingest(tmp_path / "exam" / "a", tmp_path / "out", "P1", mask=path)
    write_rtstruct(path, {"GTV": [box(8.0)]})
    with pytest.raises(InputError, match="2 CT series"):
        ingest(tmp_path / "exam", tmp_path / "out", "P1")


def test_what_was_decided_lies_beside_the_mask(tmp_path: Path) -> None:
    write_ct(tmp_path / "exam")
    write_rtstruct(tmp_path / "exam" / "rs.dcm", {"GTV": [box(z) for z in (8.0, 9.0, 10.0, 11.0)]})
    done = ingest(tmp_path / "exam", tmp_path / "out", "P1")
    assert done.mask is not None
    known = ingested(done.mask)
    assert known["notes"][0] == "contour planes every 1 mm and up to 1 mm off the slices brought to slices every 3 mm"
    assert known["drawn_mm3"] == pytest.approx(2.5 * 6.0 * 4.0)  # a box of 2.5 x 6 mm, four planes of 1 mm
    assert known["mm3"] == 12 * 9.0  # 6 centres inside, two slices
    assert known["notes"][1] == "volume 60 mm³ as drawn, 108 mm³ in voxels (+80.0%)"
    sitk.WriteImage(sitk.ReadImage(str(done.mask)) * 0, str(done.mask))
    assert ingested(done.mask) == {}
    assert ingested(tmp_path / "none.nii.gz") == {}
