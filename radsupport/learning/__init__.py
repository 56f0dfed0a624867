"""Signatures: from feature tables to honest predictions.

`assemble` brings together the tables, the outcomes and the signatures of a study; `run_signatures` cross-validates
each signature (imputation, selection and tuning in the training part of every fold) and predicts the other cohorts;
`inspect` looks into the fitted models::

    assembly = learning.assemble(results, signatures, columns, cohort, outcome=("label",), folds=10)
    run = learning.run_signatures(assembly, folds=assembly.folds, inner_folds=5, seed=1)
    run.predictions  # judge them with `evaluate`
    learning.inspect(run, assembly).chosen

`write_model` writes what was fitted as a locked model, which `read_model` reads to predict new patients.
`assembly.changed(cohort=..., signatures=..., tables=...)` is the same with one thing changed, to compare with.
"""

from radsupport.learning import explanation
from radsupport.learning.assembly import Assembly, assemble
from radsupport.learning.inspection import chosen_features, inspect, stability
from radsupport.learning.learners import signature_table
from radsupport.learning.locked import read_model, write_model
from radsupport.learning.signatures import kept_run, run_signatures

__all__ = [
    "Assembly",
    "assemble",
    "chosen_features",
    "explanation",
    "inspect",
    "kept_run",
    "read_model",
    "run_signatures",
    "signature_table",
    "stability",
    "write_model",
]
