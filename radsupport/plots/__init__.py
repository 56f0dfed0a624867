"""The figures of the book: each takes a tidy table and an axes, draws, and carries its alt text; none computes.

Every function is called ``name(table, ax=None, *, title="", ...)`` and returns the axes (`sankey` a plotly
figure). `alt_text(name, table, ...)` gives the words for a figure, `description(fig)` those of all its axes.
"""

from radsupport.plots.base import alt_text, description, panels, table_of
from radsupport.plots.features import (
    bland_altman,
    correlations,
    funnel,
    heat_map,
    histogram,
    icc,
    icc_shares,
)
from radsupport.plots.images import areas, contact_sheet, correlation_block, overlays, pairs, strips, training
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
from radsupport.plots.prediction import (
    boxes,
    calibration,
    confusion,
    decision,
    delong,
    radar,
    roc,
    waterfall,
)
from radsupport.plots.survival import auc_over_time, kaplan_meier, prediction_error, sankey, sankey_panels, schoenfeld
from radsupport.plots.verdicts import verdicts

__all__ = [
    "alt_text",
    "areas",
    "auc_over_time",
    "bland_altman",
    "boxes",
    "calibration",
    "coefficients",
    "confusion",
    "contact_sheet",
    "correlation_block",
    "correlations",
    "decision",
    "delong",
    "description",
    "flow",
    "follow_up",
    "forest",
    "funnel",
    "heat_map",
    "histogram",
    "icc",
    "icc_shares",
    "intervals",
    "kaplan_meier",
    "lasso_path",
    "learning_curve",
    "nomogram",
    "overlays",
    "pairs",
    "panels",
    "penalty_error",
    "prediction_error",
    "radar",
    "roc",
    "sankey",
    "sankey_panels",
    "schoenfeld",
    "spread",
    "strips",
    "table_of",
    "training",
    "verdicts",
    "waterfall",
]
