"""A hospital's export made from nothing: four patients, two phases, a scout, a dose report, a second examination."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pydicom
from pydicom.uid import generate_uid

from helpers.dicom_files import box, refer, write_ct, write_rtstruct, write_seg


def scan(folder: Path, patient: str, description: str, n: int = 6, study: str = "1.2.3", **more: object) -> str:
    """Write a CT series of a patient; return its UID."""
    uid = generate_uid()

    def edit(data: pydicom.Dataset, k: int) -> None:
        data.PatientID, data.SeriesDescription, data.StudyInstanceUID = patient, description, study
        for keyword, value in more.items():
            setattr(data, keyword, value)

    write_ct(folder, n, edit, uid)
    return uid


def outline(path: Path, patient: str, series: str, regions: tuple[str, ...] = ("GTV",)) -> Path:
    """Write an RTSTRUCT that names the series it was drawn on."""

    def edit(data: pydicom.Dataset) -> None:
        data.PatientID = patient
        refer(data, series)

    return write_rtstruct(path, {name: [box(8.0)] for name in regions}, edit=edit)


def write_tree(root: Path) -> dict[str, str]:
    """Write the export below `root`; return UIDs by what they are."""
    anna, found = root / "in" / "deep" / "anna", {}
    found["arterial"] = scan(anna / "a", "Anna^A", "Abd arterial 1.0 B30f", KVP="120", ContrastBolusStartTime="101500",
                             AcquisitionTime="101533.5", ConvolutionKernel=["B30f", "2"])  # fmt: skip
    found["venous"] = scan(anna / "v", "Anna^A", "PORTAL VENOUS")
    scan(anna / "scout", "Anna^A", "Topogram 0.6", 1, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    scan(anna / "dose", "Anna^A", "Dose report", 5)
    outline(anna / "rs.dcm", "Anna^A", found["venous"], ("Liver", "GTV"))
    found["bert"] = scan(root / "bert" / "ct", "Bert", "Thorax 5.0")

    def of_bert(data: pydicom.Dataset) -> None:
        data.PatientID, data.StudyInstanceUID = "Bert", "1.2.3"

    drawn = np.zeros((5, 4), np.uint8)
    drawn[1:3, 1:3] = 1
    write_seg(root / "bert" / "seg.dcm", [(1, 2, drawn)], edit=of_bert)
    for study in ("1", "2"):
        scan(root / "carl" / study, "Carl", "venous", study=f"1.2.{study}")
    packed = root.parent / "dora"
    found["dora"] = scan(packed / "ct", "Dora", "native")
    with zipfile.ZipFile(root / "dora.zip", "w") as archive:
        for path in sorted(packed.rglob("*.dcm")):
            archive.write(path, path.relative_to(packed))
    (root / "broken.zip").write_bytes(b"PK\x03\x04 not an archive")
    outline(root / "stray.dcm", "Emil", generate_uid())
    return found
