"""The figures of the book: each takes a tidy table, draws it, and carries its alt text; none computes.

Every function is called ``plots.name(table, ax=None, *, title="", facet=None, names=None, ...)``. It returns the axes,
with `facet` (a column, or two) one picture per value for `book.show_figure` to lay out, and no picture of a table
without rows. Estimates are columns ``x, x_low, x_high``. `base.table_of` returns the table behind a figure. `sankey`
is an interactive figure; `style` holds the look of all others, `tidy` makes tables of results for them.
"""

from radsupport.plots import tidy
from radsupport.plots.base import panels
from radsupport.plots.features import bland_altman, correlations, funnel, heat_map, histogram, icc
from radsupport.plots.images import areas, contact_sheet, strips, training
from radsupport.plots.models import (
    coefficients,
    forest,
    intervals,
    lasso_path,
    learning_curve,
    nomogram,
    penalty_error,
    spread,
)
from radsupport.plots.patients import flow, follow_up
from radsupport.plots.prediction import boxes, calibration, confusion, decision, delong, radar, roc, waterfall
from radsupport.plots.survival import auc_over_time, kaplan_meier, prediction_error, sankey, schoenfeld
from radsupport.plots.verdicts import verdicts

__all__ = [
    "areas", "auc_over_time", "bland_altman", "boxes", "calibration", "coefficients", "confusion", "contact_sheet",
    "correlations", "decision", "delong", "flow", "follow_up", "forest", "funnel", "heat_map", "histogram", "icc",
    "intervals", "kaplan_meier", "lasso_path", "learning_curve", "nomogram", "panels", "penalty_error",
    "prediction_error", "radar", "roc", "sankey", "schoenfeld", "spread", "strips",
    "tidy", "training", "verdicts", "waterfall",
]  # fmt: skip
