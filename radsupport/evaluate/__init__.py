"""Judge predictions: a table of risks goes in, tidy tables come out.

Start with `judged`, which keeps the rows that each cohort is judged by, then ask what you want to know of them::

    rows = evaluate.judged(predictions, outcome=("label",))
    scores = evaluate.measure(rows, evaluate.discrimination, n_bootstrap=1000)
    cut = evaluate.threshold(rows, rule="youden")
    rates = evaluate.classification(rows, cut)

A signature is anything that has rows in that table, so a nomogram or a score of your own is judged in the same way.
Tables have one row per estimate ``x`` with its limits ``x_low`` and ``x_high``. Nothing here knows a study file.
"""

from radsupport.evaluate import comparators, controls, features, parametric, regression, survival, uncertainty
from radsupport.evaluate.associations import associations, planted
from radsupport.evaluate.calibration import (
    brier,
    calibration,
    corrected,
    corrections,
)
from radsupport.evaluate.cross_validation import cross_validation
from radsupport.evaluate.discrimination import between, comparisons, discrimination, headline, rivals, roc
from radsupport.evaluate.incidence import incidence
from radsupport.evaluate.predictions import judged, measure
from radsupport.evaluate.probability import lock, probabilities
from radsupport.evaluate.reruns import (
    center_differences,
    harmonised,
    learners,
    learning_curve,
    variants,
)
from radsupport.evaluate.subgroups import interaction, parts
from radsupport.evaluate.thresholds import classification, groups, threshold
from radsupport.evaluate.usefulness import decisions, reclassification, usefulness

__all__ = [
    "associations",
    "between",
    "brier",
    "calibration",
    "center_differences",
    "classification",
    "comparators",
    "comparisons",
    "controls",
    "corrected",
    "corrections",
    "cross_validation",
    "decisions",
    "discrimination",
    "features",
    "groups",
    "harmonised",
    "headline",
    "incidence",
    "interaction",
    "judged",
    "learners",
    "learning_curve",
    "lock",
    "measure",
    "parametric",
    "parts",
    "planted",
    "probabilities",
    "reclassification",
    "regression",
    "rivals",
    "roc",
    "survival",
    "threshold",
    "uncertainty",
    "usefulness",
    "variants",
]
