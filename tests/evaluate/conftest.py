"""Fixtures of this room's tests."""

from helpers.signature_study import finished, folder, small
from helpers.survival_study import small_cohort, small_predictions
from helpers.validation_study import followed, labelled, make_cohort, make_predictions, make_study

__all__ = [
    "finished",
    "folder",
    "followed",
    "labelled",
    "make_cohort",
    "make_predictions",
    "make_study",
    "small",
    "small_cohort",
    "small_predictions",
]
