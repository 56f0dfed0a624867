"""The figures of the book: each takes a tidy table and an axes, draws, and carries its alt text; none computes.

Every function is called ``name(table, ax=None, *, title="", ...)`` and returns the axes (`sankey` a plotly
figure). `alt_text(name, table, ...)` gives the words for a figure, `description(fig)` those of all its axes.
"""

from radsupport.plots.base import alt_text, description, panels, table_of
from radsupport.plots.features import (
    bland_altman,
    correlation_blocks,
    correlation_triangle,
    feature_heat_map,
    histogram,
    icc_ranked,
    icc_survival,
    selection_funnel,
)
from radsupport.plots.images import contact_sheet, slice_areas, strips, training_curve
from radsupport.plots.models import (
    coefficient_bars,
    coefficient_path,
    forest,
    learning_curve,
    nomogram,
    penalty_error,
    score_intervals,
    score_spread,
)
from radsupport.plots.patients import follow_up, patient_flow
from radsupport.plots.prediction import (
    calibration,
    confusion_matrix,
    decision_curve,
    delong_heatmap,
    radar,
    risk_boxplot,
    roc_curve,
    waterfall,
)
from radsupport.plots.survival import auc_over_time, kaplan_meier, prediction_error, sankey, sankey_panels, schoenfeld

__all__ = [
    "alt_text",
    "auc_over_time",
    "bland_altman",
    "calibration",
    "coefficient_bars",
    "coefficient_path",
    "confusion_matrix",
    "contact_sheet",
    "correlation_blocks",
    "correlation_triangle",
    "decision_curve",
    "delong_heatmap",
    "description",
    "feature_heat_map",
    "follow_up",
    "forest",
    "histogram",
    "icc_ranked",
    "icc_survival",
    "kaplan_meier",
    "learning_curve",
    "nomogram",
    "panels",
    "patient_flow",
    "penalty_error",
    "prediction_error",
    "radar",
    "risk_boxplot",
    "roc_curve",
    "sankey",
    "sankey_panels",
    "schoenfeld",
    "score_intervals",
    "score_spread",
    "selection_funnel",
    "slice_areas",
    "strips",
    "table_of",
    "training_curve",
    "waterfall",
]
