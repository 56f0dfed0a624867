"""Judge predictions: a table of risks goes in, tidy tables come out.

Start with `judged`, which keeps the rows that each cohort is judged by, then ask what you want to know of them::

    rows = evaluate.judged(predictions, outcome=("label",))
    scores = evaluate.measure(rows, evaluate.discrimination, n_bootstrap=1000)
    cut = evaluate.threshold(rows, rule="youden")
    rates = evaluate.classification(rows, cut)

A signature is anything that has rows in that table, so a nomogram or a score of your own is judged in the same way.
Tables have one row per estimate ``x`` with its limits ``x_low`` and ``x_high``. Nothing here knows a study file.
"""

from radsupport.evaluate import regression, survival
from radsupport.evaluate.controls import null_draws, over_draws, permuted
from radsupport.evaluate.cross_validation import by_comparison, cross_validation
from radsupport.evaluate.discrimination import between, difference, discrimination, equality, pairs, roc
from radsupport.evaluate.predictions import common, judged, measure
from radsupport.evaluate.reruns import center_differences, harmonised, learners, learning_curve, variants
from radsupport.evaluate.thresholds import classification, groups, threshold

__all__ = [
    "between",
    "by_comparison",
    "center_differences",
    "classification",
    "common",
    "cross_validation",
    "difference",
    "discrimination",
    "equality",
    "groups",
    "harmonised",
    "judged",
    "learners",
    "learning_curve",
    "measure",
    "null_draws",
    "over_draws",
    "pairs",
    "permuted",
    "regression",
    "roc",
    "survival",
    "threshold",
    "variants",
]
