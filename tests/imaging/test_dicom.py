"""A CT series of a folder as a volume."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from helpers.dicom_files import SERIES, Edit, box, write_ct, write_rtstruct
from pydicom.uid import generate_uid

from radsupport.errors import InputError
from radsupport.imaging.dicom import read_series


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
        (_same, "1 slice at the position of another"),
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
