"""Calibration of predicted probabilities: in numbers, as curves, and corrected for optimism.

The parts live in `calibration_summary`, `calibration_curves` and `calibration_bootstrap`; import them from here.
"""

from __future__ import annotations

from radsupport.validation.calibration_bootstrap import corrected_calibration, corrected_calibration_survival
from radsupport.validation.calibration_curves import calibration_curve, calibration_curve_survival
from radsupport.validation.calibration_summary import (
    CalibrationSummary,
    HosmerLemeshow,
    calibration_summary,
    hosmer_lemeshow,
)

__all__ = [
    "CalibrationSummary",
    "HosmerLemeshow",
    "calibration_curve",
    "calibration_curve_survival",
    "calibration_summary",
    "corrected_calibration",
    "corrected_calibration_survival",
    "hosmer_lemeshow",
]
