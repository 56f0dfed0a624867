"""Nomograms: a logistic or Cox regression as points that add up by hand, exactly as rms::nomogram lays them out.

Fit the regressions, draw one of them, and have it judged like any other signature::

    models = nomogram.models(table, ["signature_1"], ["age", "stage"], outcome=("time", "event"))
    drawn = models["nomogram"].nomogram(labels, outcome="survival", horizons=[12, 24])
    plots.nomogram(drawn.axes())
    html = nomogram.calculator(drawn)
    rows = nomogram.as_signatures(models, table)  # a table of predictions, for `evaluate.measure`

`Nomogram` makes points of any fit of `stats.fit_logistic` or `stats.fit_cox`.
"""

from radsupport.nomogram.calculator import calculator
from radsupport.nomogram.nomogram import Nomogram
from radsupport.nomogram.parts import alone, as_signatures, left_out, models, optimism, predictors
from radsupport.nomogram.updating import locked_updates, updates

__all__ = [
    "Nomogram",
    "alone",
    "as_signatures",
    "calculator",
    "left_out",
    "locked_updates",
    "models",
    "optimism",
    "predictors",
    "updates",
]
