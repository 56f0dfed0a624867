"""Are the numbers of a scan HU? What a CT can not hold is refused with the numbers; what is odd is warned about.

A voxel says nothing about its unit, and features of `HU + 1024` or of a windowed picture look like any others. So the
image and the region are compared with what tissue can be: air −1000, lung −900 to −500, fat −120 to −60, water 0, soft
tissue 20 to 100 (300 with contrast), bone 200 to 2000, enamel 3000, metal above. No single lesion is refused for what
it is made of (lung, fat, bone and metal are all measured); only combinations that no body gives are.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
import SimpleITK as sitk

from radsupport.errors import InputError, Problem, serious

AIR_HU = -1024
_AIR, _BELOW_TISSUE, _LUNG, _CONTRAST, _ABOVE_TISSUE = -960.0, -900.0, -200.0, 300.0, 3000.0
#: What soft tissue and fat become where 1024 was not subtracted.
_SHIFTED = (874.0, 1324.0)
_SIGN_LOST = 20_000.0
#: Voxels of one value that can not be chance.
_SOME = 50
#: Not even compact bone fills a whole image above this.
_BRIGHTEST_CROP = 1400.0
#: Types of values in a CT slice that are HU or close to it; electron densities, atomic numbers and others are not.
_HU_TYPES = ("", "HU", "US", "HU_MOD")


def slice_hu(path: Path, data: pydicom.Dataset) -> npt.NDArray:
    """Return one CT slice in HU; ITK decodes compressed files and applies the slice's own rescale slope.

    Parameters
    ----------
    path : path
    data : Dataset
        The same file as pydicom reads it.

    Raises
    ------
    InputError
        No rescale slope or intercept, values of another type than HU, 8 bits or colours, a sign that the header and a
        JPEG 2000 stream contradict each other about, or pixels that can not be decoded; all at once.

    Notes
    -----
    MONOCHROME1 says that a display shows low values bright and changes no value (DICOM PS3.3, C.8.2.1.1.2), while ITK
    inverts such pixels: they are decoded as MONOCHROME2. Padding outside the range of CT becomes air.
    """
    problems = list(_slice_problems(path, data))
    if problems:
        raise InputError("A CT slice holds no HU.", problems)
    if data.get("PhotometricInterpretation") == "MONOCHROME1":
        data.PhotometricInterpretation = "MONOCHROME2"
        with tempfile.TemporaryDirectory() as folder:
            data.save_as(Path(folder) / "slice.dcm")
            array = _decoded(Path(folder) / "slice.dcm", path)
    else:
        array = _decoded(path, path)
    padding = data.get("PixelPaddingValue")
    if padding is not None:
        value = float(padding) * float(data.RescaleSlope) + float(data.RescaleIntercept)
        if not AIR_HU <= value <= _ABOVE_TISSUE:
            array = np.where(array == value, AIR_HU, array)
    return array


def _decoded(path: Path, named: Path) -> npt.NDArray:
    try:
        return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[0]
    except RuntimeError as error:
        why = str(error).strip().splitlines()[-1].removeprefix("sitk::ERROR: ").split(' for "')[0]
        problem = Problem(f"its pixels can not be decoded: {why}", "a whole file", "copy it again", str(named),
                          value=f"{path.stat().st_size} bytes")  # fmt: skip
        raise InputError("A DICOM file can not be read.", [problem]) from error


def _slice_problems(path: Path, data: pydicom.Dataset) -> Iterator[Problem]:
    file, again = str(path), "export the series again with its rescale tags"
    missing = [key for key in ("RescaleSlope", "RescaleIntercept") if data.get(key) in (None, "")]
    if missing:
        what = f"no {' and no '.join(missing)}: what is stored is not in HU (usually HU + 1024)"
        yield Problem(what, "both in every slice", again, file)
    elif float(data.RescaleSlope) == 0:
        yield Problem("its RescaleSlope is 0", "the scanner's slope", again, file)
    kind = str(data.get("RescaleType") or "").strip()
    if kind not in _HU_TYPES:
        yield Problem("its values are no HU", "RescaleType HU", "export the CT itself", file, value=kind)
    if int(data.get("SamplesPerPixel", 1) or 1) != 1 or int(data.get("BitsAllocated", 16) or 16) == 8:
        yield Problem("a picture of 8 bits or in colour", "16 bits a voxel", "export the CT itself", file)
    signed, stored = int(data.get("PixelRepresentation", 0) or 0), _signed_in_stream(data)
    if stored is not None and bool(signed) != stored:
        words = {True: "signed", False: "unsigned"}
        what = f"its JPEG 2000 stream is {words[stored]}, its header (PixelRepresentation) says {words[bool(signed)]}"
        yield Problem(what, "the same in both", "export the series again, uncompressed", file)


def _signed_in_stream(data: pydicom.Dataset) -> bool | None:
    """Return whether the values of a JPEG 2000 stream are signed (ISO 15444-1, marker SIZ); None for other files."""
    if not getattr(data.file_meta, "TransferSyntaxUID", "").startswith("1.2.840.10008.1.2.4.9"):
        return None
    raw = bytes(data.get("PixelData", b""))
    at = raw.find(b"\xff\x4f\xff\x51")
    return bool(raw[at + 42] & 0x80) if at >= 0 and len(raw) > at + 42 else None


def without_padding(image: sitk.Image) -> tuple[sitk.Image, list[Problem]]:
    """Return an image whose padding is air, and what was done.

    Padding is one value below −1024 HU (−2000, −3024 …) that most of the voxels below −1024 HU have: scanners put it
    outside their round field of view. It is no tissue, but filters and interpolation near it would see it as some.
    """
    array = sitk.GetArrayViewFromImage(image)
    lowest = array.min()
    if lowest >= AIR_HU:
        return image, []
    padding, below = array == lowest, int(np.count_nonzero(array < AIR_HU))
    if np.count_nonzero(padding) < 0.9 * below or below == array.size:
        return image, []
    filled = sitk.GetImageFromArray(np.where(padding, np.asarray(AIR_HU, array.dtype), array))
    filled.CopyInformation(image)
    what = f"padding of {lowest:g} HU in {padding.mean():.1%} of the voxels: read as air"
    return filled, [Problem(what, remedy=f"set to {AIR_HU} HU", warning=True)]


def hu_problems(image: sitk.Image, mask: sitk.Image | None = None) -> list[Problem]:
    """Return what speaks against the values of a scan being HU, and against a region in it being a lesion.

    Parameters
    ----------
    image : SimpleITK.Image
        As read, padding filled (`without_padding`).
    mask : SimpleITK.Image, optional
        The region, on the image's grid, 1 inside.

    Returns
    -------
    list of Problem
        What no CT can be first; those with ``warning`` are odd and usable.
    """
    array = sitk.GetArrayViewFromImage(image)
    refused = [*_impossible_image(array)]
    odd = [] if refused else [*_odd_image(array)]
    if mask is not None and not refused:
        inside = sitk.GetArrayViewFromImage(mask) != 0
        if inside.any():
            refused += [*_impossible_region(array, inside)]
            odd += [] if refused else [*_odd_region(array, inside)]
    return refused + odd


def check_hu(image: sitk.Image, mask: sitk.Image | None = None, name: str = "") -> list[str]:
    """Return the warnings of `hu_problems` in words.

    Raises
    ------
    InputError
        The values can not be those of a CT, or the region no lesion.
    """
    found = hu_problems(image, mask)
    if serious(found):
        problems = [Problem(p.what, p.expected, p.remedy, name) for p in serious(found)]
        raise InputError("The values can not be HU of a lesion.", problems)
    return [problem.what for problem in found]


def _impossible_image(array: npt.NDArray) -> Iterator[Problem]:
    low, high = float(array.min()), float(array.max())
    again = "export the CT again in HU"
    if low == high:
        yield Problem(f"every voxel is {low:g}", "a scan", "export it again")
    elif high - low <= 10:
        yield Problem(f"values reach from {low:g} to {high:g} only: normalised, no HU", "HU", again)
    elif np.mean(array > _SIGN_LOST) >= 0.005:
        what = f"{np.mean(array > _SIGN_LOST):.1%} of the voxels lie above {_SIGN_LOST:g} HU (up to {high:g})"
        remedy = f"{again}: the sign of the stored numbers was lost, or another offset was used"
        yield Problem(what, "metal in a few voxels at most", remedy)
    elif low == 0 and high <= 255 and np.mean(array == 0) >= 0.02 and (high == 255 or array.dtype == np.uint8):
        what = f"values reach from 0 to {high:g} and {np.mean(array == 0):.0%} of the voxels are 0: a windowed picture"
        yield Problem(what, "HU, air at -1000", again)


def _odd_image(array: npt.NDArray) -> Iterator[Problem]:
    low, high = float(array.min()), float(array.max())
    below, zero = float(np.mean(array < AIR_HU)), float(np.mean(array == 0))
    if below >= 0.001:
        yield Problem(f"{below:.1%} of the voxels lie below {AIR_HU} HU (down to {low:g})", warning=True)
    if zero >= 0.2:
        yield Problem(f"{zero:.0%} of the voxels are exactly 0 HU: filled in?", warning=True)
    if low > _BELOW_TISSUE and min(np.mean(array == low), np.mean(array == high)) >= 0.01:
        yield Problem(f"values are cut off at {low:g} and {high:g} HU", warning=True)
    if np.mean((array > -150) & (array < _CONTRAST)) < 0.01:
        yield Problem(f"no soft tissue or fat in view (values {low:g} to {high:g} HU)", warning=True)


def _impossible_region(array: npt.NDArray, inside: npt.NDArray) -> Iterator[Problem]:
    values = array[inside].astype(float)
    mean, voxels = float(values.mean()), values.size
    edge = np.concatenate([array[:, [0, -1]].ravel(), array[:, :, [0, -1]].ravel()]).astype(float)
    quarter, middle, three = np.quantile(edge, [0.25, 0.5, 0.75])
    found = f"mean inside the mask {mean:.0f} HU"
    again = "export the CT again in HU"
    if voxels >= _SOME and np.ptp(values) == 0:
        yield Problem(f"all {voxels} voxels inside the mask are {mean:g} HU", "tissue and noise", again)
    elif three - quarter <= 100 and middle >= mean + 500 and middle >= _CONTRAST:
        what = f"{found}, at the edge of the image {middle:.0f} HU: grey values look inverted (MONOCHROME1)"
        yield Problem(what, "air or tissue at the edge", f"{again}, not inverted")
    elif values.max() > 2 * _SIGN_LOST:
        yield Problem(f"up to {values.max():.0f} HU inside the mask", "HU", f"{again}: the sign was lost")
    elif mean > _ABOVE_TISSUE or array.min() > _BRIGHTEST_CROP:
        what = f"{found}, lowest value of the image {float(array.min()):.0f}: denser than tissue"
        yield Problem(what, "tissue", f"{again}: another offset was used, or the sign of the stored numbers was lost")
    elif _looks_shifted(array, inside, values):
        what = f"{found}, lowest value of the image {float(array.min()):.0f}: looks as if 1024 was not subtracted"
        yield Problem(what, "fat, lung or air below 0", f"{again}: RescaleIntercept is missing")
    elif mean < _BELOW_TISSUE:
        twice = _LUNG < mean - AIR_HU < _CONTRAST and np.mean(array < -1500) >= 0.01
        why = "looks as if 1024 was subtracted twice" if twice else "that is air"
        remedy = again if twice else "draw the lesion; is the mask inverted, or beside the body?"
        yield Problem(f"{found}: {why}", "tissue", remedy)
    else:
        yield from _impossible_mask(array, inside, values)


def _looks_shifted(array: npt.NDArray, inside: npt.NDArray, values: npt.NDArray) -> bool:
    """Return whether HU + 1024 explains the image better than HU: no fat, lung or air, and soft tissue near 1024.

    Dense bone is as bright, but not as even, and what surrounds it is not of one density.
    """
    mean, low, high = values.mean(), *_SHIFTED
    if not low - 74 <= mean <= high + 76 or np.quantile(array[:: max(1, len(array) // 40)], 0.001) < -60:
        return False
    around = array[~inside]
    tissue = around[around > 400]
    even = np.count_nonzero((tissue >= low - 50) & (tissue <= high))
    return bool(tissue.size > 0.02 * around.size and even >= 0.6 * tissue.size) or bool(
        values.std() < 80 and array.min() > 200
    )


def _impossible_mask(array: npt.NDArray, inside: npt.NDArray, values: npt.NDArray) -> Iterator[Problem]:
    """Yield why a mask can not be the outline of a lesion: air, the body, or everything but the lesion."""
    air, share = float(np.mean(values < _AIR)), float(inside.mean())
    remedy = "invert the mask, or draw the lesion"
    corners = inside[np.ix_(*[[0, -1]] * 3)].all()
    if corners and share < 1 and _enclosed(~inside):
        yield Problem(f"the mask is everything but an island ({share:.0%} of the image): inverted", "a lesion", remedy)
    elif air >= 1 / 3:
        yield Problem(f"{air:.0%} of the mask are air (below {_AIR:g} HU)", "a lesion", remedy)
    elif _is_body(array, inside):
        yield Problem("the mask covers nearly all of the body in view, from end to end", "a lesion", "draw the lesion")


def _enclosed(region: npt.NDArray) -> bool:
    """Return whether a region touches no face of the image (along axes with more than two voxels)."""
    faces = [np.take(region, end, axis) for axis in range(3) if region.shape[axis] > 2 for end in (0, -1)]
    return not any(face.any() for face in faces)


def _is_body(array: npt.NDArray, inside: npt.NDArray) -> bool:
    """Return whether a mask is most of what is no air, runs through the image, and leaves air around."""
    body = array > -300
    through = any(np.take(inside, 0, a).any() and np.take(inside, -1, a).any() for a in range(3) if inside.shape[a] > 2)
    outside_air = np.mean((array < _AIR) & ~inside)
    return bool(through and outside_air >= 0.05 and np.count_nonzero(inside & body) >= 0.8 * np.count_nonzero(body))


def _odd_region(array: npt.NDArray, inside: npt.NDArray) -> Iterator[Problem]:
    values = array[inside].astype(float)
    mean, air, share = float(values.mean()), float(np.mean(values < _AIR)), float(inside.mean())
    if not _LUNG <= mean <= _CONTRAST:
        kinds = "lung or air?" if mean < _LUNG else "bone, metal or no HU?"
        yield Problem(f"mean inside the mask {mean:.0f} HU: {kinds}", warning=True)
    if air >= 0.05:
        yield Problem(f"{air:.0%} of the mask are air (below {_AIR:g} HU)", warning=True)
    if share > 0.6:
        yield Problem(f"the mask covers {share:.0%} of the image", warning=True)
