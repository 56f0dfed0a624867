"""Values that are no HU and masks that are no lesion are refused with their numbers; whatever a CT can be is used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
import pytest
import SimpleITK as sitk
from helpers.body import body_phantom
from helpers.dicom_files import Edit, write_ct

from radsupport.errors import InputError, serious
from radsupport.imaging.dicom import read_series
from radsupport.imaging.hounsfield import check_hu, hu_problems, without_padding
from radsupport.imaging.reading import read_image, read_pair

Case = tuple[npt.NDArray, npt.NDArray]


def problems(array: npt.NDArray, inside: npt.NDArray) -> tuple[list[str], list[str]]:
    """What is refused and what is warned about."""
    found = hu_problems(sitk.GetImageFromArray(array), sitk.GetImageFromArray(inside.astype(np.uint8)))
    return [p.what for p in serious(found)], [p.what for p in found if p.warning]


def crop_of(case: Case, margin: int = 0) -> Case:
    """The box around the lesion."""
    where = np.argwhere(case[1])
    low, high = np.maximum(where.min(0) - margin, 0), where.max(0) + 1 + margin
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    return case[0][box], case[1][box]


def to_8_bits(hu: npt.NDArray) -> npt.NDArray:
    return np.clip((hu + 160) / 400 * 255, 0, 255).round()


NO_HU: dict[str, tuple[Callable[[npt.NDArray], npt.NDArray], str]] = {
    "1024 not subtracted": (lambda hu: hu + 1024, "1024 was not subtracted"),
    "1024 not subtracted, unsigned": (lambda hu: np.clip(hu + 1024, 0, None).astype(np.uint16), "not subtracted"),
    "1000 not subtracted": (lambda hu: np.clip(hu + 1000, 0, None), "not subtracted"),
    "1024 subtracted twice": (lambda hu: hu - 1024, "subtracted twice"),
    "inverted": (lambda hu: -hu, "inverted"),
    "inverted, 12 bits": (lambda hu: 4095 - (hu + 1024) - 1024, "inverted"),
    "window of 8 bits": (lambda hu: to_8_bits(hu).astype(np.uint8), "windowed picture"),
    "window of 8 bits, as integers": (lambda hu: to_8_bits(hu).astype(np.int16), "windowed picture"),
    "0 to 1": (lambda hu: to_8_bits(hu) / 255, "normalised"),
    "z-scores": (lambda hu: (hu - hu.mean()) / hu.std(), "normalised"),
    "sign lost": (lambda hu: hu.astype(np.int16).view(np.uint16).astype(np.int32), "above 20000 HU"),
    "offset of 32768": (lambda hu: hu + 32768, "above 20000 HU"),
    "offset of 8192": (lambda hu: hu + 8192, "denser than tissue"),
    "all zero": (np.zeros_like, "every voxel is 0"),
    "constant": (lambda hu: np.full_like(hu, 40), "every voxel is 40"),
}


@pytest.mark.parametrize("kind", NO_HU)
@pytest.mark.parametrize("lesion", ["soft tissue", "lung"])
def test_what_is_no_hu_is_refused_and_says_why(kind: str, lesion: str) -> None:
    hu, inside = body_phantom(lesion)
    change, words = NO_HU[kind]
    refused, _ = problems(change(hu), inside)
    assert len(refused) == 1, refused
    assert words in refused[0]
    assert problems(hu, inside) == ([], [])


@pytest.mark.parametrize("kind", ["1024 not subtracted", "offset of 8192", "0 to 1", "constant"])
def test_a_small_crop_is_enough_to_see_it(kind: str) -> None:
    hu, inside = crop_of(body_phantom("soft tissue"), 3)
    assert problems(NO_HU[kind][0](hu), inside)[0]


BAD_MASKS: dict[str, tuple[Callable[[npt.NDArray, npt.NDArray], npt.NDArray], str]] = {
    "everything but the lesion": (lambda hu, inside: ~inside, "inverted"),
    "everything": (lambda hu, inside: np.ones_like(inside), "of the mask are air"),
    "air beside the body": (lambda hu, inside: np.roll(inside, (-20, -14), axis=(1, 2)), "that is air"),
    "all of the body": (lambda hu, inside: hu > -300, "nearly all of the body"),
    "air and body": (lambda hu, inside: np.indices(hu.shape)[2] < 26, "of the mask are air"),
}


@pytest.mark.parametrize("kind", BAD_MASKS)
def test_a_mask_that_is_no_lesion_is_refused(kind: str) -> None:
    hu, inside = body_phantom("soft tissue")
    change, words = BAD_MASKS[kind]
    refused, _ = problems(hu, change(hu, inside))
    assert len(refused) == 1, refused
    assert words in refused[0]


def test_a_lesion_painted_with_one_value_is_refused() -> None:
    hu, inside = body_phantom("soft tissue")
    assert "voxels inside the mask are 0 HU" in problems(np.where(inside, 0, hu), inside)[0][0]


LESIONS = {"soft tissue": "", "lung": "", "enhancing": "", "fat": "", "fluid": "", "ground glass": "lung or air?",
           "bone": "bone, metal", "dense bone": "bone, metal", "metal": "metal"}  # fmt: skip


@pytest.mark.parametrize("lesion", LESIONS)
@pytest.mark.parametrize("view", ["body", "wide crop", "narrow crop", "inside"])
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_no_lesion_is_refused_for_what_it_is_made_of(lesion: str, view: str, dtype: type) -> None:
    if (lesion, view) == ("metal", "inside"):
        pytest.skip("nobody outlines an implant and cuts the image to it")
    hu, inside = body_phantom(lesion)
    if view != "body":
        hu, inside = crop_of((hu, inside), {"wide crop": 8, "narrow crop": 1, "inside": 0}[view])
    if view == "inside":
        hu, inside = hu[2:-2, 3:-3, 3:-3], inside[2:-2, 3:-3, 3:-3]
    refused, warned = problems(hu.astype(dtype), inside)
    assert refused == []
    if view == "body":
        assert [words for words in warned if LESIONS[lesion] not in words or not LESIONS[lesion]] == []
        assert bool(warned) == bool(LESIONS[lesion])


@pytest.mark.parametrize("value", [-2000, -3024, -32768, -2048])
def test_padding_is_read_as_air_and_changes_nothing_else(value: int, tmp_path: Path) -> None:
    hu, inside = body_phantom("soft tissue")
    y, x = np.indices(hu.shape[1:]) - (np.array(hu.shape[1:]).reshape(2, 1, 1) - 1) / 2
    outside = np.broadcast_to(np.hypot(y, x) > hu.shape[1] / 2, hu.shape)
    padded = np.where(outside, value, hu).astype(np.int16)
    filled, found = without_padding(sitk.GetImageFromArray(padded))
    right = np.where(outside, -1024, hu).astype(np.int16)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(filled), right)
    assert f"padding of {value} HU in {outside.mean():.1%}" in found[0].what
    assert problems(right, inside) == ([], [])
    for what, array in (("image", padded), ("mask", inside.astype(np.uint8))):
        sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / f"{what}.nii.gz"))
    image, report = read_pair(tmp_path / "image.nii.gz", tmp_path / "mask.nii.gz")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), right)
    assert "padding" in report.problems[0].what
    assert read_image(tmp_path / "image.nii.gz").GetPixelID() == sitk.sitkInt16


def test_streaks_below_air_are_no_padding() -> None:
    hu, inside = body_phantom("soft tissue")
    rng = np.random.default_rng(1)
    hu[:, 20, 5:15] = rng.integers(-1400, -1030, (hu.shape[0], 10))
    image = sitk.GetImageFromArray(hu)
    assert without_padding(image) == (image, [])
    refused, warned = problems(hu, inside)
    assert refused == []
    assert "below -1024 HU" in warned[0]


def test_the_numbers_and_the_remedy_are_named() -> None:
    hu, inside = body_phantom("soft tissue")
    images = [sitk.GetImageFromArray(one) for one in (hu + 1024, inside.astype(np.uint8))]
    with pytest.raises(InputError) as caught:
        check_hu(*images, "P7.nii.gz")
    mean = (hu + 1024)[inside].mean()
    assert f"mean inside the mask {mean:.0f} HU" in str(caught.value)
    assert "RescaleIntercept is missing" in str(caught.value)
    assert "P7.nii.gz" in str(caught.value)


def test_no_real_scan_raises_an_alarm(shared: Path) -> None:
    folder = shared / "real"
    pairs = [
        (one / "CT_image.nii.gz", one / "CT_mask.nii.gz") for one in sorted((folder / "sts_ct").glob("STS_0[01]*"))
    ]
    phantom = folder / "ibsi1_ct_phantom" / "nifti"
    for image, mask in [*pairs[:3], (phantom / "image" / "phantom.nii.gz", phantom / "mask" / "mask.nii.gz")]:
        volume, report = read_pair(image, mask)
        assert hu_problems(volume, report.mask) == [], image.parent.name
        assert report.problems == ()


def _without(*keys: str) -> Edit:
    def edit(data: pydicom.Dataset, k: int) -> None:
        for key in keys:
            delattr(data, key)

    return edit


def _with(**values: object) -> Edit:
    def edit(data: pydicom.Dataset, k: int) -> None:
        for key, value in values.items():
            setattr(data, key, value)

    return edit


def _signed_stream(data: pydicom.Dataset, k: int) -> None:
    """A JPEG 2000 stream (its first bytes) of signed values under a header that says unsigned."""
    siz = b"\xff\x4f\xff\x51" + bytes(36) + b"\x00\x01" + bytes([0x80 | 15])
    data.PixelData = pydicom.encaps.encapsulate([siz + bytes(20)])
    data["PixelData"].is_undefined_length = True
    data.file_meta.TransferSyntaxUID = pydicom.uid.JPEG2000Lossless


SLICES = {
    "no slope and no intercept": (_without("RescaleSlope", "RescaleIntercept"), "no RescaleSlope and no RescaleInter"),
    "no intercept": (_without("RescaleIntercept"), "no RescaleIntercept"),
    "empty slope": (_with(RescaleSlope=None), "no RescaleSlope"),
    "slope 0": (_with(RescaleSlope="0"), "RescaleSlope is 0"),
    "electron density": (_with(RescaleType="EDW"), "no HU"),
    "8 bits": (_with(BitsAllocated=8, BitsStored=8, HighBit=7, PixelData=bytes(20)), "8 bits"),
    "sign": (_signed_stream, "JPEG 2000 stream is signed"),
}


@pytest.mark.parametrize("kind", SLICES)
def test_slices_that_hold_no_hu_are_refused(tmp_path: Path, kind: str) -> None:
    edit, words = SLICES[kind]
    write_ct(tmp_path, edit=edit)
    with pytest.raises(InputError, match=words) as caught:
        read_series(tmp_path)
    assert "slice_00" in str(caught.value)


def _per_slice(data: pydicom.Dataset, k: int) -> None:
    stored = np.frombuffer(data.PixelData, np.uint16).astype(int) - 1000
    data.RescaleIntercept = str(-2000 + 100 * k)
    data.PixelData = (stored + 2000 - 100 * k).astype(np.uint16).tobytes()


def _padded(data: pydicom.Dataset, k: int) -> None:
    values = np.frombuffer(data.PixelData, np.uint16).copy()
    values[:3] = 63536
    data.PixelPaddingValue, data.PixelData = 63536, values.tobytes()


@pytest.mark.parametrize("edit", [_with(PhotometricInterpretation="MONOCHROME1"), _per_slice, _with(RescaleType="HU")])
def test_what_only_concerns_display_or_one_slice_changes_no_hu(tmp_path: Path, edit: Edit) -> None:
    hu = write_ct(tmp_path, edit=edit)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_series(tmp_path).image), hu)


def test_padding_that_the_header_names_is_air(tmp_path: Path) -> None:
    hu = write_ct(tmp_path, edit=_padded)
    hu.reshape(len(hu), -1)[:, :3] = -1024
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_series(tmp_path).image), hu)
