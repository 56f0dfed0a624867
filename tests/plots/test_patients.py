"""Figures of patients and scans: counts on the axis of follow-up, distances of slices in the words."""

from __future__ import annotations

import pandas as pd

from radsupport.plots import base as base_figures
from radsupport.plots import patients as figures


def test_bars_of_follow_up_count_patients_with_and_without_the_event() -> None:
    times = [1, 2, 3, 4, 5, 7, 1, 8]
    table = pd.DataFrame({"cohort": ["a"] * 6 + ["b"] * 2, "time": times, "event": [1, 1, 0, 0, 0, 0, 1, 0]})
    found = figures.follow_up(table, facet="cohort", until=20.0, marks=(12.0,))
    first, second = (fig.axes[0] for fig in found.figures)
    counts = {bar.get_hatch(): [0.0] * 4 for bar in first.patches}
    for bar in first.patches:
        counts[bar.get_hatch()][round(bar.get_x() / 6)] = bar.get_height()
    assert counts == {"////": [2, 0, 0, 0], None: [3, 1, 0, 0]}
    assert first.get_xlim() == second.get_xlim() == (0, 24)
    assert first.get_ylabel() == "Patients (n = 6)"
    assert "a: 6 patients, 2 events, follow-up from 1 to 7 months (median 4)" in base_figures.description(found)


def test_words_of_slice_areas_say_how_far_slices_lie_apart() -> None:
    table = pd.DataFrame({"subject": "s", "position_mm": [-2.0, 0.0, 2.0], "area_mm2": [10.0, 20.0, 5.0]})
    words = base_figures.alt_text("areas", table)
    assert "s: 3 slices 2 mm apart, largest section 20 mm²" in words
    assert "1 slice, largest" in base_figures.alt_text("areas", table.iloc[[1]])
