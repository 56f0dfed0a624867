"""Thresholds at which a decision curve is above both references."""

from __future__ import annotations

import pandas as pd
import pytest

from radsupport.stats import usefulness as stretches


def test_gaps_are_shown_and_gains_of_rounding_are_none():
    gain = pd.Series(
        [0.005, 0.02, 0.0049, -0.1, 0.03, float("nan"), 0.01, 0.01], [0.05, 0.06, 0.07, 0.08, 0.09, 0.1, 0.11, 0.12]
    )
    found = stretches.stretches(gain)
    assert found == [(0.05, 0.06), (0.09, 0.09), (0.11, 0.12)]
    assert stretches.stretch_words(found) == "5% to 6%, 9% and 11% to 12%"
    assert stretches.stretches(pd.Series([1e-9, 0.0], [0.3, 0.32])) == []
    assert stretches.stretch_words([]) == "nowhere"


def test_the_gain_is_that_over_the_better_reference():
    rows = [(0.1, "m", 0.3), (0.1, "treat_all", 0.25), (0.1, "treat_none", 0.0), (0.2, "m", 0.1)]
    rows += [(0.2, "treat_all", -0.2), (0.2, "treat_none", 0.0)]
    curves = pd.DataFrame(rows, columns=["threshold", "strategy", "net_benefit"])
    assert stretches.gains(curves)["m"].tolist() == pytest.approx([0.05, 0.1])
    alone = stretches.gains(curves[curves["strategy"] == "m"])
    assert alone["m"].tolist() == pytest.approx([0.3, 0.1])
