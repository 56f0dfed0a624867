"""One DICOM case to NIfTI files that the manifest can name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk

from radsupport.errors import InputError, Problem
from radsupport.files import written_whole
from radsupport.imaging.dicom import Series, read_dicom, read_series, scan_folder
from radsupport.imaging.dicom_seg import read_seg, segment_names
from radsupport.imaging.rtstruct import read_rtstruct, roi_names


@dataclass(frozen=True)
class Ingested:
    """What was written.

    Attributes
    ----------
    image : Path
    mask : Path or None
        None where neither RTSTRUCT nor SEG was found.
    series : Series
    region : str
        Name of the region or segment that became the mask.
    voxels : int
        Size of the mask.
    """

    image: Path
    mask: Path | None
    series: Series
    region: str
    voxels: int


def ingest(
    folder: Path, out: Path, name: str, region: str | None = None, mask: Path | None = None, series: str | None = None
) -> Ingested:
    """Convert a CT series and its region of interest to ``<name>_image.nii.gz`` and ``<name>_mask.nii.gz``.

    Parameters
    ----------
    folder : Path
        DICOM files of one examination, with subfolders.
    out : Path
        Where to write.
    name : str
        Stem of the files, such as ``P001_venous``.
    region : str, optional
        Name of the RTSTRUCT region or SEG segment; may be left out where there is only one.
    mask : Path, optional
        The RTSTRUCT or SEG file; looked for in `folder` if not given.
    series : str, optional
        Series instance UID, where the folder holds several CT series.

    Returns
    -------
    Ingested

    Raises
    ------
    InputError, GeometryError, MaskError
        See `radsupport.imaging.dicom.read_series`, `radsupport.imaging.rtstruct.read_rtstruct` and
        `radsupport.imaging.dicom_seg.read_seg`. Nothing is written then.
    """
    volume = read_series(Path(folder), series)
    source = mask if mask is not None else find_mask(Path(folder))
    drawn, chosen = None, ""
    if source is not None:
        is_seg = read_dicom(Path(source), stop_before_pixels=True).get("Modality") == "SEG"
        drawn = (read_seg if is_seg else read_rtstruct)(Path(source), volume, region)
        chosen = region or (segment_names if is_seg else roi_names)(Path(source))[0]
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    image_path = _write(volume.image, out / f"{name}_image.nii.gz")
    mask_path = _write(drawn, out / f"{name}_mask.nii.gz") if drawn is not None else None
    voxels = int(sitk.GetArrayViewFromImage(drawn).sum()) if drawn is not None else 0
    return Ingested(image_path, mask_path, volume, chosen, voxels)


def find_mask(folder: Path) -> Path | None:
    """Return the only RTSTRUCT or SEG file below a folder, None where there is none.

    Raises
    ------
    InputError
        There are several; all are listed.
    """
    found = [path for path, head in scan_folder(folder).items() if head.get("Modality") in ("RTSTRUCT", "SEG")]
    if len(found) > 1:
        shown = ", ".join(str(path) for path in found)
        problem = Problem(f"{len(found)} files with regions", f"one of {shown}", "name one by --mask", str(folder))
        raise InputError("Which region is meant is not clear.", [problem])
    return found[0] if found else None


def _write(image: sitk.Image, path: Path) -> Path:
    with written_whole(path) as partial:
        sitk.WriteImage(image, str(partial), useCompression=True)
    return path
