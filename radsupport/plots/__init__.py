"""The figures of the book: each takes a tidy table, draws it, and carries its alt text; none computes.

Every function is called ``plots.name(table, ax=None, *, title="", facet=None, names=None, ...)``. It returns the axes,
with `facet` (a column, or two) one picture per value for `book.show_figure` to lay out, and no picture of a table
without rows. Estimates are columns ``x, x_low, x_high``. Where a name stands for two pictures (`learning`,
`over_time`, `pairs`, `penalty`, `scores`, `steps`), the columns of the table decide which one is drawn.
Clustered maps and pair plots are seaborn's and lay out a figure of their own: they take no axes.
`sankey` is an interactive figure; `style` holds the look of all others.
"""

from radsupport.plots.architecture import architecture
from radsupport.plots.explanation import beeswarm, contributions, repeats
from radsupport.plots.features import bland_altman, heat_map, histogram, icc, pairs, steps
from radsupport.plots.images import areas, contact_sheet, strips
from radsupport.plots.models import coefficients, forest, learning, nomogram, penalty, scores
from radsupport.plots.patients import follow_up, missing
from radsupport.plots.prediction import boxes, calibration, confusion, decision, radar, roc, waterfall
from radsupport.plots.survival import incidence, kaplan_meier, over_time, sankey, schoenfeld
from radsupport.plots.verdicts import verdicts

__all__ = [
    "architecture", "areas", "beeswarm", "bland_altman", "boxes", "calibration", "coefficients", "confusion",
    "contact_sheet", "contributions", "decision", "follow_up", "forest", "heat_map", "histogram", "icc",
    "incidence", "kaplan_meier", "learning", "missing", "nomogram", "over_time", "pairs", "penalty", "radar",
    "repeats", "roc", "sankey", "schoenfeld", "scores", "steps", "strips", "verdicts", "waterfall",
]  # fmt: skip
