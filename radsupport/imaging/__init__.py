"""CT images and outlines: read and checked, brought to one spacing, cut for networks, measured, and shown.

Images are SimpleITK images in HU, outlines are masks of 0 and 1 on the same grid; tables of cases have one row per
subject and phase with the paths of their files. `preprocess` makes the table `cases`, `check` says which outlines to
look at, `findings` computes what a reader would measure by hand; the other functions give the tables behind pictures.
"""

from radsupport.imaging.findings import findings
from radsupport.imaging.masks import check, reasons
from radsupport.imaging.patches import covered_voxels
from radsupport.imaging.preprocessing import preprocess
from radsupport.imaging.previews import (
    areas,
    before_after,
    boxes,
    patch_shares,
    sampled,
    sheet,
    sizes,
    window_shares,
    windowed,
)

__all__ = [
    "areas", "before_after", "boxes", "check", "covered_voxels", "findings", "patch_shares", "preprocess", "reasons",
    "sampled", "sheet", "sizes", "window_shares", "windowed",
]  # fmt: skip
