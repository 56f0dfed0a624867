"""Discrimination of a binary outcome: AUC, DeLong's tests, thresholds, confusion matrix, bootstrap.

The parts live in `delong`, `delong_many`, `thresholds` and `resampling`; import them from here.
"""

from __future__ import annotations

from radsupport.validation.delong import (
    AUC,
    DeLongTest,
    UnpairedDeLongTest,
    auc,
    delong_test,
    delong_unpaired,
)
from radsupport.validation.delong_many import DeLongMatrix, delong_matrix
from radsupport.validation.resampling import BootstrapAUC, bootstrap_auc, resampled_aucs
from radsupport.validation.thresholds import Confusion, Youden, confusion, roc_curve, youden

__all__ = [
    "AUC",
    "BootstrapAUC",
    "Confusion",
    "DeLongMatrix",
    "DeLongTest",
    "UnpairedDeLongTest",
    "Youden",
    "auc",
    "bootstrap_auc",
    "confusion",
    "delong_matrix",
    "delong_test",
    "delong_unpaired",
    "resampled_aucs",
    "roc_curve",
    "youden",
]
