"""Fixtures of this room's tests."""

from helpers.nomogram_study import cohort, cox_rows, predictions, table

__all__ = ["cohort", "cox_rows", "predictions", "table"]
