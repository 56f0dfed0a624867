"""Figures of chapter 07: what they show beyond what every figure must."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from radsupport.plots import base as base_figures
from radsupport.plots import features as features_figures
from radsupport.plots import style
from radsupport.plots import survival as figures


def test_a_group_keeps_its_look_where_the_other_has_no_patients(figure_case: Any) -> None:
    table, _ = figure_case("kaplan_meier")
    order = ("Low risk", "High risk")
    both = figures.kaplan_meier(table, order=order)
    alone = figures.kaplan_meier(table[table["group"] == "High risk"], order=order)
    looks = [
        next((line.get_color(), line.get_linestyle()) for line in ax.lines if line.get_label() == "High risk")
        for ax in (both, alone)
    ]
    assert looks[0] == looks[1]
    assert looks[0][0] == style.VERMILLION
    (below,) = alone.child_axes
    assert next(text.get_color() for text in below.texts if text.get_text() == "High risk") == style.VERMILLION


def test_a_second_p_is_noted_in_legend_and_alt_text(figure_case: Any) -> None:
    table, options = figure_case("kaplan_meier")
    note = "0.65 with the search allowed for"
    ax = figures.kaplan_meier(table, **options, note=note)
    assert ax.get_legend().get_title().get_text() == f"Log-rank P < 0.001\n({note})"
    assert base_figures.alt_text("kaplan_meier", table, **options, note=note).endswith(f"Log-rank P < 0.001, {note}.")


def test_alt_text_has_the_median_of_the_table(figure_case: Any) -> None:
    table, _ = figure_case("kaplan_meier")
    assert "median 18.5 months" in base_figures.alt_text("kaplan_meier", table.assign(median=18.5))
    assert "median not reached" in base_figures.alt_text("kaplan_meier", table.assign(median=np.inf))
    few = table.assign(median=np.nan, median_at_risk=4.0)
    assert "median not estimable, 4 at risk" in base_figures.alt_text("kaplan_meier", few)


def test_three_curves_have_one_band_and_no_legend_over_them(figure_case: Any) -> None:
    table, _ = figure_case("auc_over_time")
    two = figures.auc_over_time(table)
    assert len(two.collections) == 2
    third = table[table["signature"] == "RDPs"].assign(signature="Deep")
    three = figures.auc_over_time(pd.concat([table, third]))
    assert len(three.collections) == 1
    labels = [text.get_text() for text in three.get_legend().get_texts()]
    assert labels == ["RDPs (band: 95% CI)", "Clinical", "Deep"]
    three.figure.canvas.draw()
    assert three.get_legend().get_window_extent().y1 < three.get_window_extent().y0


def test_long_names_of_features_are_wrapped_not_cut(figure_case: Any) -> None:
    table, _ = figure_case("heat_map")
    long = "ct: log-sigma-5-0-mm-3D glrlm RunLengthNonUniformity"
    named = table.assign(feature=table["feature"].replace(table["feature"].iloc[0], long))
    ax, plain = features_figures.heat_map(named), features_figures.heat_map(table)
    assert ax.get_yticklabels()[0].get_text().replace("\n", " ") == long
    assert ax.figure.get_figheight() > plain.figure.get_figheight()  # type: ignore[union-attr]
