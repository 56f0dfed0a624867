"""Figures of patients and scans: counts on the axis of follow-up, distances of slices in the words."""

from __future__ import annotations

import numpy as np
import pandas as pd

from radsupport.plots import base as base_figures
from radsupport.plots import patients as figures
from radsupport.plots.patients import _whole_ticks


def test_the_follow_up_axis_counts_patients_in_each_row() -> None:
    times = [1, 2, 3, 4, 5, 7, 1, 8]
    table = pd.DataFrame({"cohort": ["a"] * 6 + ["b"] * 2, "time": times, "event": [1, 1, 0, 0, 0, 0, 1, 0]})
    ax = figures.follow_up(table)
    heights = dict(zip([t.get_text() for t in ax.get_yticklabels()], ax.get_yticks(), strict=False))
    assert [t.get_text() for t in ax.get_yticklabels()] == ["0", "2", "4", "0", "1"]
    assert ax.get_ylabel() == "Patients"
    tops = sorted({round(bar.get_y() + bar.get_height(), 6) for bar in ax.patches if bar.get_height() > 0})
    # cohort a: two events and three without in the first half-year; its tick of 4 lies at 4/5 of that bar
    assert heights["4"] == 1 + 0.8 * (max(tops) - 1)
    assert "a: 6 patients, 2 events, follow-up from 1 to 7 months (median 4)" in base_figures.description(
        ax.get_figure()
    )


def test_ticks_are_whole_numbers_and_few() -> None:
    for most in (1, 2, 3, 7, 13, 40, 99, 180, 999, 5000):
        ticks = _whole_ticks(most)
        assert ticks[0] == 0
        assert ticks[-1] <= most
        assert 2 <= len(ticks) <= 5
        assert np.unique(np.diff(ticks)).size == 1


def test_words_of_slice_areas_say_how_far_slices_lie_apart() -> None:
    table = pd.DataFrame({"subject": "s", "position_mm": [-2.0, 0.0, 2.0], "area_mm2": [10.0, 20.0, 5.0]})
    words = base_figures.alt_text("areas", table)
    assert "s: 3 slices 2 mm apart, largest section 20 mm²" in words
    assert "1 slice, largest" in base_figures.alt_text("areas", table.iloc[[1]])
