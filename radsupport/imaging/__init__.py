"""CT images and outlines: read and checked, brought to one spacing, cut for networks, measured, and shown.

Images are SimpleITK images in HU, outlines are masks of 0 and 1 on the same grid; tables of cases have one row per
subject and phase with the paths of their files. `preprocess` makes the table `cases`, `check` says which outlines to
look at, `findings` computes what a reader would measure by hand; the other functions give the tables behind pictures.
"""

from radsupport.imaging.findings import findings
from radsupport.imaging.masks import check, reasons
from radsupport.imaging.patches import covered_voxels
from radsupport.imaging.preprocessing import preprocess
from radsupport.imaging.previews import before_after, boxes, sampled, shares, sheet, sizes, windowed

__all__ = [
    "before_after", "boxes", "check", "covered_voxels", "findings", "preprocess", "reasons", "sampled", "shares",
    "sheet", "sizes", "windowed",
]  # fmt: skip
