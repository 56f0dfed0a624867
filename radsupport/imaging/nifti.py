"""Read NIfTI bytes with the checks that ITK leaves out.

ITK reads a truncated gzip stream without an error and fills the rest with whatever is in memory, turns NaN
and infinite voxels into zero, and takes a spacing of zero for 1 mm. Each of these would end as a plausible
feature value, so the bytes are looked at first.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt

from radsupport.errors import InputError, Problem

_HEADER_BYTES = 348
_MAGIC = (b"n+1\0", b"ni1\0")


def refused(path: str | Path, what: str, expected: str = "", remedy: str = "") -> InputError:
    """Return the error that says why one image file can not be used."""
    return InputError("An image can not be used.", [Problem(what, expected, remedy, str(path))])


def read_bytes(path: Path) -> bytes:
    """Return a file's bytes, decompressed where its name ends in .gz.

    Raises
    ------
    InputError
        Named .gz but no gzip file, truncated, or damaged.
    """
    raw = path.read_bytes()
    if not path.name.endswith(".gz"):
        return raw
    if raw[:2] != b"\x1f\x8b":
        raise refused(path, "it is not compressed although named .gz", "a gzip file", "rename or export it again")
    parts = []
    while raw:
        unpack = zlib.decompressobj(wbits=31)
        try:
            parts.append(unpack.decompress(raw))
        except zlib.error as error:
            raise refused(path, f"its gzip stream is damaged ({error})", "an intact file", "copy it again") from error
        if not unpack.eof:
            raise refused(path, "its gzip stream ends too early: truncated", "an intact file", "copy it again")
        raw = unpack.unused_data.lstrip(b"\0")
    return parts[0] if len(parts) == 1 else b"".join(parts)


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
        None where it is no single-file NIfTI-1 image of three dimensions: ITK decides on those.

    Raises
    ------
    InputError
        Spacing zero, negative or not a number; fewer bytes than the header promises.
    """
    if len(raw) < _HEADER_BYTES or raw[344:348] != _MAGIC[0]:
        return None
    header = nib.Nifti1Header(raw[:_HEADER_BYTES], check=False)
    shape = [int(n) for n in header["dim"][1 : 1 + int(header["dim"][0])]]
    spacing = [float(value) for value in header["pixdim"][1 : 1 + min(3, len(shape))]]
    if not all(np.isfinite(value) and value > 0 for value in spacing):
        shown = " x ".join(f"{value:g}" for value in spacing)
        raise refused(path, f"its spacing is {shown} mm", "three positive numbers", "export it with its true spacing")
    offset, voxel = int(header["vox_offset"]), int(header["bitpix"]) // 8
    promised = offset + int(np.prod(shape)) * voxel
    if len(raw) < promised:
        raise refused(
            path, f"it holds {len(raw)} bytes, its header promises {promised}: truncated", remedy="copy it again"
        )
    if len(shape) < 3 or any(n != 1 for n in shape[3:]):
        return None
    try:
        dtype = header.get_data_dtype()
    except KeyError:
        return None
    if dtype.fields or dtype.kind not in "iuf":
        return None
    voxels = np.frombuffer(raw, dtype, int(np.prod(shape[:3])), offset).reshape(shape[2::-1])
    return voxels.astype(dtype.newbyteorder("="), copy=False), _rescaled(header)


def _rescaled(header: nib.Nifti1Header) -> bool:
    """Return whether slope and intercept of a header change the stored values."""
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    unused = not np.isfinite(slope) or slope == 0 or not np.isfinite(intercept)
    return not (unused or (slope == 1 and intercept == 0))
