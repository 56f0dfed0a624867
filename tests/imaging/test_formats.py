"""A cut, damaged or doubtful image file is refused by its name; an accepted one has the voxels that were written."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from radsupport.errors import InputError
from radsupport.imaging.reading import read_image

VOXELS = np.random.default_rng(2).integers(-1000, 1000, (3, 4, 5)).astype(np.int16)
Write = Callable[[Path], None]


def _itk(packed: bool) -> Write:
    def write(path: Path) -> None:
        image = sitk.GetImageFromArray(VOXELS)
        image.SetSpacing((0.7, 0.8, 2.5))
        sitk.WriteImage(image, str(path), useCompression=packed)

    return write


FILES: dict[str, tuple[str, Write]] = {
    "NIfTI-1": ("a.nii", _itk(False)),
    "NIfTI-1, gzip": ("a.nii.gz", _itk(True)),
    "MetaImage": ("a.mha", _itk(False)),
    "MetaImage, zlib": ("a.mha", _itk(True)),
    "NRRD": ("a.nrrd", _itk(False)),
    "NRRD, gzip": ("a.nrrd", _itk(True)),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_cut_at_any_byte_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    name, write = FILES[kind]
    write(tmp_path / name)
    raw = (tmp_path / name).read_bytes()
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_image(tmp_path / name)), VOXELS)
    cut = tmp_path / f"cut_{name}"
    for length in [*range(0, len(raw) - 6, 7), *range(len(raw) - 6, len(raw))]:
        cut.write_bytes(raw[:length])
        with pytest.raises(InputError, match=cut.name):
            read_image(cut)


@pytest.mark.parametrize("kind", FILES)
def test_a_transfer_as_text_is_noticed(tmp_path: Path, kind: str) -> None:
    name, write = FILES[kind]
    write(tmp_path / name)
    raw = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(raw + b"\r\n")
    at = raw.rfind(VOXELS.tobytes()[-8:])
    if at > 0:  # plain voxels: one byte more in their middle
        (tmp_path / name).write_bytes(raw[:at] + b"\r" + raw[at:])
        with pytest.raises(InputError, match=r"header promises|gzip stream"):
            read_image(tmp_path / name)


@pytest.mark.parametrize("name", ["a.vtk", "a.gipl", "a.hdr", "a.img", "a.mhd", "a.nhdr", "a.nii.bz2", "a", "a.dcm"])
def test_formats_that_can_not_be_verified_are_not_accepted(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"anything")
    with pytest.raises(InputError, match="not accepted") as caught:
        read_image(tmp_path / name)
    assert ".nii.gz" in str(caught.value)
    assert name in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.mha", "a.nrrd"])
def test_no_format_lets_values_through_that_are_no_numbers(tmp_path: Path, name: str, value: float) -> None:
    array = VOXELS.astype(np.float32)
    array[1, 1, 1] = value
    sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / name))
    with pytest.raises(InputError, match="NaN or infinite HU in 1 voxel"):
        read_image(tmp_path / name)


def _edited(raw: bytes, old: bytes, new: bytes) -> bytes:
    assert old in raw
    return raw.replace(old, new, 1)


def _sform(raw: bytes) -> bytes:
    """An sform that says 3 mm along x where pixdim says 0.7."""
    return raw[:252] + struct.pack("<2h", 0, 1) + raw[256:280] + struct.pack("<f", 3.0) + raw[284:]


def _mirrored(raw: bytes) -> bytes:
    """An sform whose x axis points the other way than the qform's."""
    code = raw[:252] + struct.pack("<2h", 1, 1) + raw[256:]
    return code[:280] + struct.pack("<f", 0.7) + code[284:]


HEADERS: dict[str, tuple[str, Callable[[bytes], bytes], str]] = {
    "sform against pixdim": ("a.nii", _sform, "by pixdim and 3 x"),
    "sform against qform": ("a.nii", _mirrored, "by qform and to"),
    "NRRD without spacing": ("a.nrrd", lambda raw: b"\n".join(
        line for line in raw.split(b"\n") if not line.startswith(b"space")), "how large its voxels are"),
    "NRRD with spacing 0": ("a.nrrd", lambda raw: b"\n".join(
        b"spacings: 0 1 1" if line.startswith(b"space directions") else line
        for line in raw.split(b"\n") if not line.startswith((b"space:", b"space origin"))), "how large"),
    "MetaImage without spacing": ("a.mha", lambda raw: b"\n".join(
        line for line in raw.split(b"\n") if not line.startswith(b"ElementSpacing")), "how large its voxels are"),
    "MetaImage with a negative spacing": (
        "a.mha", lambda raw: _edited(raw, b"ElementSpacing = 0", b"ElementSpacing = -0"), "-0"),
    "voxels elsewhere": ("a.mha", lambda raw: _edited(raw, b"= LOCAL", b"= x.raw"), "another file"),
    "axes askew": ("a.mha", lambda raw: _edited(raw, b"TransformMatrix = 1 0 0", b"TransformMatrix = 1 0.4 0"),
                   "not orthogonal"),
}  # fmt: skip


@pytest.mark.parametrize("kind", HEADERS)
def test_headers_that_contradict_themselves_or_say_too_little_are_refused(tmp_path: Path, kind: str) -> None:
    name, edit, words = HEADERS[kind]
    _itk(False)(tmp_path / name)
    read_image(tmp_path / name)
    (tmp_path / name).write_bytes(edit((tmp_path / name).read_bytes()))
    with pytest.raises(InputError, match=words) as caught:
        read_image(tmp_path / name)
    assert name in str(caught.value)


def test_nrrd_with_spacings_alone_is_used(tmp_path: Path) -> None:
    head = (
        b"NRRD0004\ntype: int16\ndimension: 3\nsizes: 5 4 3\nendian: little\nencoding: raw\nspacings: 0.7 0.8 2.5\n\n"
    )
    (tmp_path / "a.nrrd").write_bytes(head + VOXELS.tobytes())
    image = read_image(tmp_path / "a.nrrd")
    assert image.GetSpacing() == (0.7, 0.8, 2.5)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), VOXELS)
