"""The figures of the book: each takes a tidy table and an axes, draws, and carries its alt text; none computes.

Every function is called ``name(table, ax=None, *, title="", ...)`` and returns the axes (`sankey` a plotly
figure). `alt_text(name, table, ...)` gives the words for a figure, `description(fig)` those of all its axes.
"""

from radsupport.report.figures.agreement import bland_altman, icc_ranked
from radsupport.report.figures.base import alt_text, description
from radsupport.report.figures.discrimination import confusion_matrix, delong_heatmap, radar, roc_curve
from radsupport.report.figures.effects import coefficient_bars, coefficient_path, forest
from radsupport.report.figures.features import (
    correlation_blocks,
    correlation_triangle,
    histogram,
    icc_survival,
    selection_funnel,
)
from radsupport.report.figures.flow import sankey
from radsupport.report.figures.heat import feature_heat_map
from radsupport.report.figures.learning import training_curve
from radsupport.report.figures.modelling import learning_curve, penalty_error, score_intervals, score_spread
from radsupport.report.figures.nomogram_axes import nomogram
from radsupport.report.figures.over_time import prediction_error
from radsupport.report.figures.panels import panels, sankey_panels
from radsupport.report.figures.patients import follow_up, patient_flow
from radsupport.report.figures.probability import calibration, decision_curve
from radsupport.report.figures.risks import risk_boxplot, waterfall
from radsupport.report.figures.scans import slice_areas, strips
from radsupport.report.figures.slices import contact_sheet
from radsupport.report.figures.time_to_event import auc_over_time, kaplan_meier, schoenfeld

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
    "training_curve",
    "waterfall",
]
