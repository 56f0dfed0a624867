"""From DICOM to NIfTI: one CT series and its outline become two files that the manifest can name.

Beside a mask lies a small file, ``<mask>.json``, that says what was decided when it was drawn, so that `radsupport
check` and chapter 02 can say it too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom

from radsupport.errors import InputError, Problem
from radsupport.files import sha256, written_whole
from radsupport.imaging.dicom import Series, read_series, scan_folder, series_of
from radsupport.imaging.hounsfield import check_hu, without_padding
from radsupport.imaging.outlines import Outline, read_outline, references
from radsupport.imaging.reading import write_image

#: A mask whose volume differs by more than this share from what was drawn deserves a word.
VOLUME_SHARE = 0.05


@dataclass(frozen=True)
class Ingested:
    """What was written.

    Attributes
    ----------
    image : Path
    mask : Path or None
        None where neither RTSTRUCT nor SEG was found.
    series : Series
    outline : Outline or None
        The region that became the mask.
    odd : tuple of str
        What is odd about the values of the scan or of the region (`radsupport.imaging.hounsfield.check_hu`).
    """

    image: Path
    mask: Path | None
    series: Series
    outline: Outline | None
    odd: tuple[str, ...] = ()


def ingest(
    folder: Path, out: Path, name: str, region: str | None = None, mask: Path | None = None, series: str | None = None,
    headers: Mapping[Path, pydicom.Dataset] | None = None,
) -> Ingested:  # fmt: skip
    """Convert a CT series and its region of interest to ``<name>_image.nii.gz`` and ``<name>_mask.nii.gz``.

    Parameters
    ----------
    folder : Path
        DICOM files of one examination, with subfolders.
    out : Path
        Where to write.
    name : str
        Stem of the files, such as ``P001_venous`` (see `radsupport.files.file_stem`).
    region : str, optional
        Name of the RTSTRUCT region or SEG segment; may be left out where there is only one.
    mask : Path, optional
        The RTSTRUCT or SEG file; looked for in `folder` if not given.
    series : str, optional
        Series instance UID, where the folder holds several CT series and the outline does not say on which of them it
        was drawn.
    headers : mapping, optional
        Headers of the files to look at, by path; of all files of the folder if not given.

    Returns
    -------
    Ingested

    Raises
    ------
    InputError, GeometryError, MaskError
        See `radsupport.imaging.dicom.read_series`, `radsupport.imaging.outlines.read_outline` and
        `radsupport.imaging.hounsfield.check_hu`. Nothing is written then.
    """
    headers = scan_folder(Path(folder)) if headers is None else headers
    source = mask if mask is not None else find_mask(headers, Path(folder))
    if series is None and source is not None:
        series = _referenced(headers, *references(Path(source)))
    volume = read_series(Path(folder), series, headers)
    outline = read_outline(Path(source), volume, region) if source is not None else None
    image, padded = without_padding(volume.image)
    odd = check_hu(image, outline.mask if outline is not None else None, str(folder))
    odd = [*(problem.what for problem in padded), *odd]
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    image_path = write_image(image, out / f"{name}_image.nii.gz")
    if outline is None:
        return Ingested(image_path, None, volume, None, tuple(odd))
    mask_path = write_image(outline.mask, out / f"{name}_mask.nii.gz")
    known = {"sha256": sha256(mask_path), "region": outline.name, "drawn_mm3": outline.drawn_mm3}
    with written_whole(_beside(mask_path)) as partial:
        text = json.dumps(known | {"mm3": outline.mm3, "notes": outline.notes}, ensure_ascii=False)
        partial.write_text(text, encoding="utf-8")
    return Ingested(image_path, mask_path, volume, outline, tuple(odd))


def _referenced(headers: Mapping[Path, pydicom.Dataset], named: set[str], images: set[str]) -> str | None:
    """Return the one CT series of the folder that an outline was drawn on; None where that is not clear."""
    scans = [head for head in headers.values() if head.get("Modality") == "CT"]
    exact = {series_of(head) for head in scans if str(head.get("SOPInstanceUID") or "") in images}
    found = exact or {series_of(head) for head in scans} & named
    return next(iter(found)) if len(found) == 1 else None


def find_mask(headers: Mapping[Path, pydicom.Dataset], folder: Path) -> Path | None:
    """Return the only RTSTRUCT or SEG among the files of a folder, None where there is none.

    Raises
    ------
    InputError
        There are several; all are listed.
    """
    found = [path for path, head in headers.items() if head.get("Modality") in ("RTSTRUCT", "SEG")]
    if len(found) > 1:
        shown = ", ".join(str(path) for path in found)
        problem = Problem(f"{len(found)} files with regions", f"one of {shown}", "name one by --mask", str(folder))
        raise InputError("Which region is meant is not clear.", [problem])
    return found[0] if found else None


def ingested(mask: str | Path) -> dict[str, Any]:
    """Return what is known about how a mask was drawn: region, drawn_mm3, mm3, notes; empty where nothing is.

    A note on the volume is added where it changed by more than `VOLUME_SHARE`.
    """
    try:
        known: dict[str, Any] = json.loads(_beside(Path(mask)).read_text(encoding="utf-8"))
        if known.pop("sha256") != sha256(Path(mask)):  # another mask by now
            return {}
        drawn, mm3, notes = float(known["drawn_mm3"]), float(known["mm3"]), [str(note) for note in known["notes"]]
    except (OSError, ValueError, KeyError, TypeError):  # none, or not ours
        return {}
    changed = [volumes(drawn, mm3)] if abs(mm3 - drawn) > VOLUME_SHARE * drawn else []
    return known | {"notes": [*notes, *changed]}


def volumes(drawn: float, mm3: float) -> str:
    """Word the volume of a region before and after it became voxels."""
    share = f" ({mm3 / drawn - 1:+.1%})" if drawn else ""
    return f"volume {drawn:.0f} mm³ as drawn, {mm3:.0f} mm³ in voxels{share}".replace("-", "\N{MINUS SIGN}")


def _beside(mask: Path) -> Path:
    return mask.with_name(f"{mask.name}.json")
