"""Is an image file whole? Its header is read, its voxels are counted, and what can not be verified is not accepted.

Accepted are formats of one file whose header says how many bytes follow: NIfTI-1 (`.nii`, `.nii.gz`),
MetaImage (`.mha`) and NRRD (`.nrrd`). A header with its voxels in a second file (`.mhd`, `.nhdr`, `.hdr` and `.img`) is
not: the two come apart, and a checksum would cover only one. ITK reads many more formats (`.vtk`, `.gipl` …) and fills
what is missing in them, or in a cut file of any kind, with whatever is in memory.
"""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
from isal import isal_zlib

from radsupport.errors import InputError, Problem
from radsupport.files import something_else
from radsupport.wording import plain

ACCEPTED = (".nii", ".nii.gz", ".nrrd", ".mha")
_HEADER_BYTES = 348
_MAGIC = b"n+1\0"
_CONVERT = "convert it: SimpleITK.WriteImage(SimpleITK.ReadImage(old), 'new.nii.gz')"
_META_BYTES = {
    "MET_CHAR": 1, "MET_UCHAR": 1, "MET_SHORT": 2, "MET_USHORT": 2, "MET_INT": 4, "MET_UINT": 4, "MET_LONG": 4,
    "MET_ULONG": 4, "MET_LONG_LONG": 8, "MET_ULONG_LONG": 8, "MET_FLOAT": 4, "MET_DOUBLE": 8,
}  # fmt: skip
_NRRD_BYTES = {
    "signed char": 1, "int8": 1, "int8_t": 1, "uchar": 1, "unsigned char": 1, "uint8": 1, "uint8_t": 1, "short": 2,
    "short int": 2, "signed short": 2, "int16": 2, "int16_t": 2, "ushort": 2, "unsigned short": 2, "uint16": 2,
    "uint16_t": 2, "int": 4, "signed int": 4, "int32": 4, "int32_t": 4, "uint": 4, "unsigned int": 4, "uint32": 4,
    "uint32_t": 4, "longlong": 8, "long long": 8, "int64": 8, "int64_t": 8, "ulonglong": 8, "unsigned long long": 8,
    "uint64": 8, "uint64_t": 8, "float": 4, "double": 8,
}  # fmt: skip


def refused(path: str | Path, what: str, expected: str = "", remedy: str = "") -> InputError:
    """Return the error that says why one image file can not be used."""
    return InputError("An image can not be used.", [Problem(what, expected, remedy, str(path))])


def verify(path: Path) -> bytes:
    """Return the decompressed bytes of a NIfTI file, b"" of other formats, after counting the voxels.

    Raises
    ------
    InputError
        A format that is not accepted, a damaged or cut file, or one that does not say how large its voxels are.
    """
    name = path.name.lower()
    if not name.endswith(ACCEPTED):
        what = f"{path.suffix or 'a file without an ending'} is not accepted: whether it is whole can not be verified"
        raise refused(path, what, f"one of {', '.join(ACCEPTED)}", _CONVERT)
    raw = path.read_bytes()
    if other := something_else(raw):
        raise refused(path, other[0], "an image", other[1])
    if name.endswith(".nii.gz"):
        if raw[:2] != b"\x1f\x8b":
            raise refused(path, "it is not compressed although named .gz", "a gzip file", "rename or export it again")
        return inflated(raw, path)
    if name.endswith(".nii"):
        return raw
    (_verify_meta if name.endswith(".mha") else _verify_nrrd)(raw, path)
    return b""


def inflated(raw: bytes, path: Path) -> bytes:
    """Return what a gzip or zlib stream holds; isal unpacks scans in half of zlib's time, outlines in an eighth.

    Raises
    ------
    InputError
        Truncated or damaged.
    """
    parts = []
    while raw:
        unpack = isal_zlib.decompressobj(wbits=47)
        try:
            parts.append(unpack.decompress(raw))
        except isal_zlib.error as error:  # type: ignore[misc]  # its stub calls the class an instance
            raise refused(path, f"its gzip stream is damaged ({error})", "an intact file", "copy it again") from error
        if not unpack.eof:
            raise refused(path, "its gzip stream ends too early: truncated", "an intact file", "copy it again")
        raw = unpack.unused_data.lstrip(b"\0")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _verify_meta(raw: bytes, path: Path) -> None:
    """Count the voxels of a MetaImage and require its spacing."""
    head, mark, rest = raw.partition(b"ElementDataFile")
    line, end, voxels = rest.partition(b"\n")
    fields = _fields(head, b"=")
    if not mark or not end:
        raise refused(path, "it ends within its header: truncated", remedy="copy it again")
    if line.strip(b" =\r").upper() != b"LOCAL":
        raise refused(path, "its voxels lie in another file", "one file", _CONVERT)
    if fields.get("binarydata", "True").lower() != "true" or fields.get("headersize", "0") != "0":
        raise refused(path, "its voxels are not plain binary", "BinaryData = True", _CONVERT)
    _positive(path, fields.get("elementspacing") or fields.get("elementsize"), "ElementSpacing")
    size = _META_BYTES.get(fields.get("elementtype", ""))
    _count(path, fields.get("dimsize", ""), size, int(fields.get("elementnumberofchannels", "1")), voxels,
           fields.get("compresseddata", "False").lower() == "true")  # fmt: skip


def _verify_nrrd(raw: bytes, path: Path) -> None:
    """Count the voxels of an NRRD and require its spacing."""
    if not raw.startswith(b"NRRD"):
        raise refused(path, "it is no NRRD file although named so", remedy="export it again")
    unix, windows = raw.find(b"\n\n"), raw.find(b"\r\n\r\n")
    at, gap = (windows, 4) if 0 <= windows < (unix if unix >= 0 else len(raw)) else (unix, 2)
    fields = _fields(raw[: max(at, 0)], b":")
    if at < 0:
        raise refused(path, "it ends within its header: truncated", remedy="copy it again")
    if {"data file", "datafile"} & set(fields) or {"line skip", "lineskip", "byte skip", "byteskip"} & set(fields):
        raise refused(path, "its voxels lie in another file, or behind another header", "one file", _CONVERT)
    encoding = fields.get("encoding", "").lower()
    if encoding not in ("raw", "gzip", "gz"):
        raise refused(path, f"its encoding is {encoding or 'not named'}", "raw or gzip", _CONVERT)
    vectors = fields.get("space directions", "").replace("none", "").strip()
    if vectors.count("(") != 3:
        _positive(path, fields.get("spacings"), "space directions")
    size = _NRRD_BYTES.get(fields.get("type", "").lower())
    _count(path, fields.get("sizes", ""), size, 1, raw[at + gap :], encoding != "raw")


def _fields(head: bytes, separator: bytes) -> dict[str, str]:
    """Return the fields of a text header by name in lower case."""
    lines = [line.partition(separator) for line in head.splitlines() if not line.startswith(b"#")]
    text = [(key.decode("latin-1").strip(), value.lstrip(b"=").decode("latin-1").strip()) for key, _, value in lines]
    return {key.lower(): value for key, value in text if key}


def _positive(path: Path, given: str | None, name: str) -> None:
    """Require three positive numbers."""
    try:
        values = [float(one) for one in (given or "").split()]
    except ValueError:
        values = []
    if len(values) < 3 or not all(np.isfinite(value) and value > 0 for value in values):
        what = f"it does not say how large its voxels are ({name}: {given or 'missing'})"
        raise refused(path, what, "three positive numbers, in mm", "export it with its true spacing")


def _count(path: Path, sizes: str, voxel: int | None, channels: int, data: bytes, packed: bool) -> None:
    """Require as many bytes as the header promises."""
    try:
        shape = [int(one) for one in sizes.split()]
    except ValueError:
        shape = []
    if not shape or min(shape) < 1 or voxel is None:
        raise refused(path, "its header names no size or no known type of voxels", remedy="export it again")
    held, promised = len(inflated(data, path)) if packed else len(data), int(np.prod(shape)) * voxel * channels
    if held != promised:
        _wrong_length(path, held, promised)


def _wrong_length(path: Path, held: int, promised: int) -> None:
    why = "truncated" if held < promised else "changed by a transfer as text?"
    what = f"it holds {held} bytes of voxels, its header promises {promised}: {why}"
    raise refused(path, what, remedy="copy it again")


def parse_nifti(raw: bytes, path: Path) -> tuple[npt.NDArray, bool] | None:
    """Return the stored voxels (z, y, x) of a single-file NIfTI-1 and whether a rescale slope applies.

    Parameters
    ----------
    raw : bytes
        The whole file, decompressed.
    path : path
        Named in messages.

    Returns
    -------
    tuple or None
        None where it is whole but not of three dimensions and one number a voxel: ITK decides on those.

    Raises
    ------
    InputError
        Another format; spacing zero, negative or not a number; `sform` or `qform` that contradict the spacing or one
        another; another number of bytes than the header promises.
    """
    if len(raw) < _HEADER_BYTES or raw[344:348] != _MAGIC:
        raise refused(path, "it is no NIfTI-1 file of one piece, or ends within its header", remedy=_CONVERT)
    header = nib.Nifti1Header(raw[:_HEADER_BYTES], check=False)
    rank = int(header["dim"][0])
    shape = [int(n) for n in header["dim"][1 : 1 + rank]]
    if not 1 <= rank <= 7 or min(shape) < 1 or not np.isfinite(header["vox_offset"]):
        raise refused(path, "its header is damaged: it names no size", remedy="copy it again")
    spacing = [float(value) for value in header["pixdim"][1 : 1 + min(3, len(shape))]]
    if not all(np.isfinite(value) and value > 0 for value in spacing):
        shown = " x ".join(map(plain, spacing))
        raise refused(path, f"its spacing is {shown} mm", "three positive numbers", "export it with its true spacing")
    offset, promised = int(header["vox_offset"]), int(np.prod(shape)) * (int(header["bitpix"]) // 8)
    if len(raw) < offset + promised or raw[offset + promised :].strip(b"\0"):
        _wrong_length(path, len(raw) - offset, promised)
    if len(shape) < 3 or any(n != 1 for n in shape[3:]):
        return None
    _same_space(header, path)
    try:
        dtype = header.get_data_dtype()
    except KeyError:
        return None
    if dtype.fields or dtype.kind not in "iuf" or offset < _HEADER_BYTES:
        return None
    voxels = np.frombuffer(raw, dtype, int(np.prod(shape[:3])), offset).reshape(shape[2::-1])
    return voxels.astype(dtype.newbyteorder("="), copy=False), _rescaled(header)


def _same_space(header: nib.Nifti1Header, path: Path) -> None:
    """Require that the two descriptions of space in a NIfTI header, and its spacing, agree."""
    pixdim = np.asarray(header["pixdim"][1:4], float)
    sform = header.get_sform(coded=True)[0]
    if sform is None:
        return
    steps = np.linalg.norm(sform[:3, :3], axis=0)
    if not np.allclose(steps, pixdim, rtol=0.01):
        shown = [" x ".join(map(plain, values)) for values in (pixdim, steps)]
        what = f"its spacing is {shown[0]} mm by pixdim and {shown[1]} mm by sform"
        raise refused(path, what, "the same in both", "export it with its true spacing")
    try:
        qform = header.get_qform(coded=True)[0]
    except ValueError:  # quaternions that are none; ITK takes the sform
        return
    alike = qform is None or np.allclose(qform[:3, :3], sform[:3, :3], rtol=0, atol=1e-6 * steps.min())
    turned = None if alike else ["".join(nib.aff2axcodes(one)) for one in (qform, sform)]
    if turned and turned[0] != turned[1]:
        what = f"its axes point to {turned[0]} by qform and to {turned[1]} by sform"
        raise refused(path, what, "the same in both", "export it with one orientation")


def _rescaled(header: nib.Nifti1Header) -> bool:
    """Return whether slope and intercept of a header change the stored values."""
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    unused = not np.isfinite(slope) or slope == 0 or not np.isfinite(intercept)
    return not (unused or (slope == 1 and intercept == 0))
