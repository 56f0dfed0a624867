"""Radiomics features by pyradiomics: extracted case by case, checked against IBSI, and judged by their agreement.

`extract` measures a table of cases by a pyradiomics parameter file and keeps each case in a cache; `agreement` compares
two readers or small changes of the same scans, and the other functions summarise what was measured.
"""

from radsupport.radiomics.agreement import (
    agreement,
    by_perturbation,
    correlations,
    count_features,
    icc_shares,
    icc_summary,
    perturbed,
)
from radsupport.radiomics.extract import controlled, extract
from radsupport.radiomics.ibsi import compliance

__all__ = [
    "agreement",
    "by_perturbation",
    "compliance",
    "controlled",
    "correlations",
    "count_features",
    "extract",
    "icc_shares",
    "icc_summary",
    "perturbed",
]
