"""Discrimination and prediction error over time: everything under one name. The parts live in modules of their own."""

from __future__ import annotations

from radsupport.survival.brier import IntegratedBrier, brier_difference, brier_score, integrated_brier
from radsupport.survival.concordance import Concordance, concordance, uno_concordance
from radsupport.survival.concordance_comparison import (
    ConcordanceDifference,
    bootstrap_concordance,
    concordance_difference,
)
from radsupport.survival.time_roc import TimeDependentROC, time_dependent_auc_difference, time_dependent_roc

__all__ = [
    "Concordance",
    "ConcordanceDifference",
    "IntegratedBrier",
    "TimeDependentROC",
    "bootstrap_concordance",
    "brier_difference",
    "brier_score",
    "concordance",
    "concordance_difference",
    "integrated_brier",
    "time_dependent_auc_difference",
    "time_dependent_roc",
    "uno_concordance",
]
