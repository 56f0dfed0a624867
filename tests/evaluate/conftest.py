"""Fixtures of this room's tests."""

from helpers.nomogram_study import cohort, cox_rows, cox_study, predictions, study, table
from helpers.signature_study import finished, folder, small
from helpers.survival_study import small_cohort, small_predictions, small_study
from helpers.validation_study import followed, labelled, make_cohort, make_predictions, make_study

__all__ = [
    "cohort",
    "cox_rows",
    "cox_study",
    "finished",
    "folder",
    "followed",
    "labelled",
    "make_cohort",
    "make_predictions",
    "make_study",
    "predictions",
    "small",
    "small_cohort",
    "small_predictions",
    "small_study",
    "study",
    "table",
]
