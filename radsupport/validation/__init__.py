"""Discrimination, calibration, decision curves and reclassification."""
