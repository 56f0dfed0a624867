"""Signatures: from feature tables to honest predictions.

`assemble` brings together the tables, the outcomes and the signatures of a study; `run_signatures` cross-validates
each signature (imputation, selection and tuning in the training part of every fold) and predicts the other cohorts;
the rest looks into the fitted models::

    assembly = learning.assemble(results, signatures, columns, cohort, outcome=("label",))
    run = learning.run_signatures(assembly, folds=10, inner_folds=5, seed=1)
    run.predictions  # judge them with `evaluate`
    learning.chosen_features(run)

`assembly.changed(cohort=..., signatures=..., tables=...)` is the same with one thing changed, to compare with.
"""

from radsupport.learning.assembly import Assembly, assemble, fixed_folds
from radsupport.learning.inspection import (
    chosen_features,
    correlation_table,
    penalty_view,
    readable_features,
    selection_funnel,
    shown_signatures,
    stability,
)
from radsupport.learning.learners import signature_table
from radsupport.learning.signatures import first_fitted, run_signatures

__all__ = [
    "Assembly",
    "assemble",
    "chosen_features",
    "correlation_table",
    "first_fitted",
    "fixed_folds",
    "penalty_view",
    "readable_features",
    "run_signatures",
    "selection_funnel",
    "shown_signatures",
    "signature_table",
    "stability",
]
