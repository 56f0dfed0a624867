"""Beeswarm, contributions and repeated fits show what their tables say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from radsupport import plots
from radsupport.plots.base import description


def test_points_of_a_swarm_stand_at_their_contribution_and_apart(figure_case: Any) -> None:
    table, options = figure_case("beeswarm")
    ax = plots.beeswarm(table, **options)
    drawn = np.concatenate([points.get_offsets() for points in ax.collections])
    assert sorted(drawn[:, 0]) == pytest.approx(sorted(table["contribution"]))
    assert len(np.unique(np.round(drawn, 6), axis=0)) == len(table)
    assert "Volume" in description(ax)


def test_contributions_lead_from_the_average_to_the_patient(figure_case: Any) -> None:
    table, options = figure_case("contributions")
    ax = plots.contributions(table, **options)
    bars = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in ax.patches]
    assert bars[0][1] == pytest.approx(-0.4)  # the largest, on top, ends at the patient
    assert bars[-1][0] == pytest.approx(-1.0)
    assert [a for a, _ in bars[:-1]] == pytest.approx([b for _, b in bars[1:]])
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == ["Volume = 12.5", "Entropy = 4.10", "3 other features"]


def test_fits_are_pale_and_the_model_is_bold(figure_case: Any) -> None:
    table, options = figure_case("repeats")
    ax = plots.repeats(table, main="all patients", other="a sample", **options)
    widths = {line.get_label(): line.get_linewidth() for line in ax.get_lines()}
    assert widths["all patients"] > widths["treat all"] > widths["a sample"]
    dots = table[table["of"] == "repeat"]
    assert "2 fits beside all patients; half of the points" in description(
        plots.repeats(pd.DataFrame(dots), points=True, main="all patients")
    )
