"""From the files of a study to its checked tables: the room below the book that knows a study file.

`open_cohort` reads a study's clinical table (or published feature tables) and says who is in which cohort, and who is
left out and why. `fetch` brings public files and verifies them; the command line also makes a study's data ready
without the network (`datasets.prepare`; synthetic cohorts are generated) and reports every problem of own data at once
(`own_data.check`: manifest, images, masks and clinical table). `case_files`, `model_cases`, `outlined_twice` and
`compared_regions` find scans, `mask_faults` shows what is done about a bad mask, and `finding_pairs` lays a reader's CT
findings beside those that images give (`side_by_side`, `numeric_agreement`, `category_agreement`).
`scan_settings` says how scans were made, and `acquisition` lays that beside what a paper prints.
`scan_to_answer` goes from one patient's scans to the nomogram's probability by the locked model (`radsupport apply`
does so for new patients), and `score_cohort` scores the patients of a study that only validates such a model.
`outcomes_without_effect` draws the outcomes of a synthetic cohort anew, without anything
planted.
"""

from radsupport.data.acquisition import acquisition, scan_settings
from radsupport.data.datasets import fetch
from radsupport.data.new_patients import scan_to_answer, score_cohort
from radsupport.data.open import open_cohort
from radsupport.data.scans import (
    case_files,
    category_agreement,
    compared_regions,
    finding_pairs,
    model_cases,
    numeric_agreement,
    outlined_twice,
    side_by_side,
)
from radsupport.data.synthetic_patients import outcomes_without_effect
from radsupport.data.synthetic_scans import mask_faults

__all__ = [
    "acquisition",
    "case_files",
    "category_agreement",
    "compared_regions",
    "fetch",
    "finding_pairs",
    "mask_faults",
    "model_cases",
    "numeric_agreement",
    "open_cohort",
    "outcomes_without_effect",
    "outlined_twice",
    "scan_settings",
    "scan_to_answer",
    "score_cohort",
    "side_by_side",
]
