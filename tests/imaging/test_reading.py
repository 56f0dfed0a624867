"""Files that ITK would read in silence into wrong voxels; image and mask repaired or refused where they differ."""

from __future__ import annotations

import gzip
import itertools
import struct
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from radsupport.errors import GeometryError, InputError, MaskError
from radsupport.imaging.reading import check_geometry, read_image, read_label_map, read_mask, read_pair, write_image

Patch = Callable[[bytearray], None]


@pytest.fixture
def volume() -> np.ndarray:
    return np.random.default_rng(0).integers(-1000, 1000, (12, 11, 10)).astype(np.int16)


def save(array: np.ndarray, path: Path, spacing: tuple[float, ...] = (0.7, 0.7, 1.0)) -> Path:
    nib.save(nib.Nifti1Image(array, np.diag([*spacing, 1.0])), path)
    return path


@pytest.mark.parametrize("kind", [np.int16, np.uint8, np.float32])
def test_an_image_written_is_the_one_read_by_others(kind: type, volume: np.ndarray, tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(volume.astype(kind))
    image.SetSpacing((0.7, 0.8, 1.5))
    image.SetOrigin((-10.5, 3.0, 7.25))
    write_image(image, tmp_path / "new" / "a.nii.gz")
    found = sitk.ReadImage(str(tmp_path / "new" / "a.nii.gz"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(found), volume.astype(kind))
    np.testing.assert_allclose([*found.GetSpacing(), *found.GetOrigin()], [0.7, 0.8, 1.5, -10.5, 3.0, 7.25], rtol=1e-6)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.nii.gz"]
    gzip.decompress((tmp_path / "new" / "a.nii.gz").read_bytes())


def patched(source: Path, target: Path, change: Patch) -> Path:
    raw = bytearray(gzip.decompress(source.read_bytes()))
    change(raw)
    target.write_bytes(gzip.compress(bytes(raw)))
    return target


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.int32, np.uint16, np.float32, np.float64, ">i2"])
def test_a_sound_file_reads_as_itk_reads_it(volume: np.ndarray, tmp_path: Path, dtype: str) -> None:
    path = save(np.abs(volume).astype(dtype), tmp_path / "a.nii.gz")
    ours, itk = read_image(path), sitk.ReadImage(str(path))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(ours), sitk.GetArrayFromImage(itk))
    for what in ("GetPixelID", "GetSpacing", "GetOrigin", "GetDirection", "GetSize"):
        assert getattr(ours, what)() == getattr(itk, what)()


def test_real_scans_read_as_itk_reads_them(shared: Path) -> None:
    for path in sorted((shared / "real").glob("sts_ct/STS_00[238]/*.nii.gz")):
        ours, itk = read_image(path), sitk.ReadImage(str(path))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(ours), sitk.GetArrayFromImage(itk))
        assert ours.GetOrigin() == itk.GetOrigin()


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99, 0.9999])
def test_a_truncated_gzip_stream_is_refused_although_itk_reads_it(
    volume: np.ndarray, tmp_path: Path, share: float
) -> None:
    raw = save(volume, tmp_path / "a.nii.gz").read_bytes()
    short = tmp_path / "short.nii.gz"
    short.write_bytes(raw[: int(len(raw) * share)])
    with pytest.raises(InputError, match="truncated"):
        read_image(short)


def test_a_damaged_gzip_stream_is_refused(volume: np.ndarray, tmp_path: Path) -> None:
    raw = bytearray(save(volume, tmp_path / "a.nii.gz").read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    (tmp_path / "bad.nii.gz").write_bytes(raw)
    with pytest.raises(InputError, match="damaged"):
        read_image(tmp_path / "bad.nii.gz")


def test_a_truncated_uncompressed_file_is_refused(volume: np.ndarray, tmp_path: Path) -> None:
    raw = save(volume, tmp_path / "a.nii").read_bytes()
    (tmp_path / "short.nii").write_bytes(raw[:-10])
    with pytest.raises(InputError, match="truncated"):
        read_image(tmp_path / "short.nii")


def test_text_named_nii_gz_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").write_text("subject,age\n1,2\n" * 40)
    with pytest.raises(InputError, match="not compressed"):
        read_image(tmp_path / "a.nii.gz")
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(b"subject,age\n" * 60))
    with pytest.raises(InputError, match="no NIfTI-1 file"):
        read_image(tmp_path / "b.nii.gz")


@pytest.mark.parametrize("spacing", [0.0, -1.0, np.nan])
def test_spacing_that_is_not_positive_is_refused_although_itk_mends_it(
    volume: np.ndarray, tmp_path: Path, spacing: float
) -> None:
    source = save(volume, tmp_path / "a.nii.gz")
    path = patched(source, tmp_path / "b.nii.gz", lambda raw: struct.pack_into("<f", raw, 76 + 4 * 3, spacing))
    with pytest.raises(InputError, match="its spacing is"):
        read_image(path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_voxels_that_are_not_finite_are_refused_although_itk_sets_them_to_zero(
    volume: np.ndarray, tmp_path: Path, value: float
) -> None:
    floats = volume.astype(np.float32)
    floats[3, 4, 5] = value
    path = save(floats, tmp_path / "a.nii.gz")
    assert sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[5, 4, 3] == 0  # what ITK does
    with pytest.raises(InputError, match="NaN or infinite HU in 1 voxel"):
        read_image(path)


def test_two_and_four_dimensions_and_colours_are_refused(volume: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="2 dimensions"):
        read_image(save(volume[:, :, 0], tmp_path / "a.nii.gz"))
    with pytest.raises(InputError, match="4 dimensions"):
        read_image(save(np.stack([volume, volume], -1), tmp_path / "b.nii.gz"))
    colours = np.zeros((5, 5, 5), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    with pytest.raises(InputError, match="3 components"):
        read_image(save(colours, tmp_path / "c.nii.gz"))


def test_a_fourth_dimension_of_one_is_no_dimension(volume: np.ndarray, tmp_path: Path) -> None:
    assert read_image(save(volume[..., None], tmp_path / "a.nii.gz")).GetSize() == volume.shape


def test_a_rescale_slope_can_not_overflow_the_stored_integers(volume: np.ndarray, tmp_path: Path) -> None:
    source = save(volume, tmp_path / "a.nii.gz")
    path = patched(source, tmp_path / "b.nii.gz", lambda raw: struct.pack_into("<ff", raw, 112, 100.0, -1024.0))
    values = sitk.GetArrayFromImage(read_image(path)).T
    np.testing.assert_array_equal(values, volume.astype(float) * 100 - 1024)
    assert np.abs(values).max() > np.iinfo(np.int16).max


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        read_image(tmp_path / "none.nii.gz")


def test_other_formats_are_left_to_itk(volume: np.ndarray, tmp_path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(volume), str(tmp_path / "a.nrrd"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_image(tmp_path / "a.nrrd")), volume)
    floats = volume.astype(np.float32)
    floats[0, 0, 0] = np.nan
    sitk.WriteImage(sitk.GetImageFromArray(floats), str(tmp_path / "b.nrrd"))
    with pytest.raises(InputError, match="NaN"):
        read_image(tmp_path / "b.nrrd")


def test_a_mask_of_one_label_is_read_whatever_the_label(tmp_path: Path) -> None:
    drawn = np.zeros((6, 6, 6), np.uint8)
    drawn[2:4, 2:4, 2:4] = 255
    mask = read_mask(save(drawn, tmp_path / "m.nii.gz"))
    assert sitk.GetArrayFromImage(mask).sum() == 8
    assert mask.GetPixelID() == sitk.sitkUInt8


def test_several_labels_need_a_name(tmp_path: Path) -> None:
    drawn = np.zeros((6, 6, 6), np.uint8)
    drawn[1], drawn[3] = 1, 4
    path = save(drawn, tmp_path / "m.nii.gz")
    with pytest.raises(MaskError, match=r"holds the labels \[1, 4\]"):
        read_mask(path)
    with pytest.raises(MaskError, match="has no label 2"):
        read_mask(path, 2)
    assert sitk.GetArrayFromImage(read_mask(path, 4)).sum() == 36


def test_an_empty_mask_a_probability_map_and_negative_labels_are_refused(tmp_path: Path) -> None:
    blank = np.zeros((4, 4, 4), np.float32)
    with pytest.raises(MaskError, match="is empty"):
        read_mask(save(blank, tmp_path / "a.nii.gz"))
    soft = blank.copy()
    soft[1, 1, 1] = 0.3
    with pytest.raises(MaskError, match="between two labels"):
        read_mask(save(soft, tmp_path / "b.nii.gz"))
    minus = blank.copy()
    minus[1, 1, 1] = -1
    with pytest.raises(MaskError, match="labels are 0 to 65535"):
        read_mask(save(minus, tmp_path / "c.nii.gz"))


def test_labels_that_are_off_by_rounding_are_labels(tmp_path: Path) -> None:
    drawn = np.zeros((4, 4, 4), np.float32)
    drawn[1, 1, 1], drawn[2, 2, 2] = 0.9999, 2.0001
    assert sorted(np.unique(sitk.GetArrayFromImage(read_label_map(save(drawn, tmp_path / "m.nii.gz"))))) == [0, 1, 2]


def same(a: sitk.Image, b: sitk.Image) -> bool:
    return bool((sitk.GetArrayFromImage(a) == sitk.GetArrayFromImage(b)).all())


def test_equal_geometry_is_left_alone(image: sitk.Image, mask: sitk.Image) -> None:
    report = check_geometry(image, mask)
    assert (report.action, report.problems) == ("none", ())
    assert same(report.mask, mask)


def test_a_rounded_header_is_replaced_by_the_images(image: sitk.Image, mask: sitk.Image) -> None:
    rounded = sitk.Image(mask)
    rounded.SetOrigin((-120.501, 33.249, 700.0))
    rounded.SetSpacing((0.8001, 0.8, 2.5))
    report = check_geometry(image, rounded)
    assert report.action == "rounding"
    assert report.mask.GetOrigin() == image.GetOrigin()
    assert report.mask.GetSpacing() == image.GetSpacing()
    assert same(report.mask, mask)
    assert 0 < report.displacement_voxels < 0.05


@pytest.mark.parametrize("axes", [c for c in itertools.product((False, True), repeat=3) if any(c)])
def test_a_flipped_mask_is_put_back_exactly(image: sitk.Image, mask: sitk.Image, axes: tuple[bool, ...]) -> None:
    report = check_geometry(image, sitk.Flip(mask, axes))
    assert report.action == "regridded"
    assert same(report.mask, mask)


@pytest.mark.parametrize("order", [o for o in itertools.permutations(range(3)) if o != (0, 1, 2)])
def test_permuted_axes_are_put_back_exactly(image: sitk.Image, mask: sitk.Image, order: tuple[int, ...]) -> None:
    report = check_geometry(image, sitk.PermuteAxes(mask, order))
    assert report.action == "regridded"
    assert same(report.mask, mask)


def test_a_cropped_mask_is_put_back_exactly(image: sitk.Image, mask: sitk.Image) -> None:
    report = check_geometry(image, mask[4:13, 2:12, 3:10])
    assert report.action == "regridded"
    assert same(report.mask, mask)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.SetOrigin((0.0, 0.0, 0.0)),
        lambda m: m.SetOrigin((-120.1, 33.25, 700.0)),
        lambda m: m.SetSpacing((0.9, 0.8, 2.5)),
        lambda m: m.SetDirection((np.cos(0.1), -np.sin(0.1), 0, np.sin(0.1), np.cos(0.1), 0, 0, 0, 1)),
    ],
)
def test_a_real_difference_is_refused(image: sitk.Image, mask: sitk.Image, change: object) -> None:
    moved = sitk.Image(mask)
    change(moved)  # type: ignore[operator]
    with pytest.raises(GeometryError, match=r"voxels apart|outside the image"):
        check_geometry(image, moved, "case 7")


def test_a_mask_outside_the_image_is_refused(image: sitk.Image, mask: sitk.Image) -> None:
    far = sitk.Image(mask)
    far.SetOrigin((-120.5 + 0.8 * 100, 33.25, 700.0))
    with pytest.raises(GeometryError, match="244 of 244"):
        check_geometry(image, far)
    partly = sitk.Image(mask)
    partly.SetOrigin((-120.5 + 0.8 * 8, 33.25, 700.0))
    with pytest.raises(GeometryError, match="outside the image"):
        check_geometry(image, partly)


def test_image_and_mask_are_read_on_one_grid(image: sitk.Image, mask: sitk.Image, tmp_path: Path) -> None:
    paths = [str(tmp_path / name) for name in ("image.nii.gz", "mask.nii.gz")]
    sitk.WriteImage(image, paths[0])
    sitk.WriteImage(sitk.Flip(mask, [True, False, False]), paths[1])
    volume, report = read_pair(*paths)
    assert report.mask.GetSize() == volume.GetSize()
    assert report.action == "regridded"
    assert same(report.mask, mask)


@pytest.mark.parametrize(
    ("raw", "what"), [(b"", "empty"), (b"<html>", "a web page"), (b"version https://git-lfs", "git-LFS")]
)
def test_no_image_is_called_what_it_is(raw: bytes, what: str, tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").write_bytes(raw)
    with pytest.raises(InputError, match=what):
        read_image(tmp_path / "a.nii.gz")


def test_voxels_of_a_metre_are_refused_before_memory_is_asked_for(tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(np.zeros((4, 4, 4), np.int16))
    image.SetSpacing((1000.0, 1000.0, 3.0))
    sitk.WriteImage(image, str(tmp_path / "a.nii.gz"))
    with pytest.raises(InputError, match=r"its voxels are 1000 x 1000 x 3 mm"):
        read_image(tmp_path / "a.nii.gz")
