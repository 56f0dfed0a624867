"""From the files of a study to its checked tables: manifest, clinical sheet, scans, synthetic patients."""

from radsupport.data.findings import category_agreement, finding_pairs, numeric_agreement, side_by_side
from radsupport.data.scans import case_files, model_cases, outlined_twice
from radsupport.data.synthetic_scans import mask_faults

__all__ = [
    "case_files",
    "category_agreement",
    "finding_pairs",
    "mask_faults",
    "model_cases",
    "numeric_agreement",
    "outlined_twice",
    "side_by_side",
]
