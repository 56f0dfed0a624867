"""Fixtures of this room's tests."""

from helpers.survival_study import agree, cohort

__all__ = ["agree", "cohort"]
