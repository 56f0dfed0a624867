"""Fixtures of this room's tests."""

from helpers.figure_cases import figure_case
from helpers.survival_study import cohort
from helpers.validation_study import followed, labelled, make_cohort, make_predictions, make_study, study_values

__all__ = [
    "cohort",
    "figure_case",
    "followed",
    "labelled",
    "make_cohort",
    "make_predictions",
    "make_study",
    "study_values",
]
