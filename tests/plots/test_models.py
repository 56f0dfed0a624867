"""The figures of the modelling chapter show the values of their tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from radsupport.plots import base as base_figures
from radsupport.plots import features as features_figures
from radsupport.plots import models as figures


def test_score_intervals_draws_value_interval_and_apparent(figure_case: Any) -> None:
    table, _ = figure_case("intervals")
    ax = figures.intervals(table)
    ends = [line.get_xdata() for line in ax.lines if len(line.get_xdata()) == 2 and line.get_linewidth() == 1.6]
    assert np.array(ends) == pytest.approx(table[["value_low", "value_high"]].to_numpy())
    assert ax.lines[-2].get_xdata() == pytest.approx(table["value"])
    assert [t.get_text() for t in ax.get_yticklabels()] == table["signature"].tolist()
    assert ax.get_xlim()[0] <= table["value_low"].min()
    without = figures.intervals(table.drop(columns="apparent"))
    assert without.get_legend() is None


def test_score_spread_marks_the_first_division_and_the_mean(figure_case: Any) -> None:
    table, _ = figure_case("spread")
    ax = figures.spread(table)
    first = table[table["repeat"] == 0].set_index("signature")["score"]
    filled = [c.get_offsets()[0][0] for c in ax.collections if len(c.get_offsets()) == 1]
    assert sorted(filled) == pytest.approx(sorted(first))
    (means,) = (line.get_xdata() for line in ax.lines if line.get_label() == "mean")
    assert means == pytest.approx(table.groupby("signature", sort=False)["score"].mean())


def test_a_single_division_can_be_drawn() -> None:
    one = pd.DataFrame({"signature": ["a"], "repeat": [0], "score": [0.7]})
    assert "0.70 to 0.70" in base_figures.alt_text("spread", one)
    assert figures.spread(one).get_yticklabels()[0].get_text() == "a"


def test_learning_curve_draws_one_line_per_signature_and_judging(figure_case: Any) -> None:
    table, _ = figure_case("learning_curve")
    ax = figures.learning_curve(table.sample(frac=1, random_state=0))
    lines = {line.get_label(): line for line in ax.lines if not line.get_label().startswith("_")}
    assert set(lines) == {"Radiomics, out of fold", "Radiomics, other cohorts", "Clinical, out of fold"}
    own = table[(table["signature"] == "Clinical")]
    assert lines["Clinical, out of fold"].get_ydata() == pytest.approx(own["value"])
    looks = {(line.get_color(), line.get_linestyle(), line.get_marker()) for line in lines.values()}
    assert len(looks) == 3
    assert len({line.get_marker() for line in lines.values()}) == 3
    first, second = lines["Radiomics, out of fold"], lines["Radiomics, other cohorts"]
    assert first.get_markerfacecolor() != second.get_markerfacecolor()
    assert ax.get_legend().handlelength > 4


def test_learning_curve_may_count_what_a_value_costs() -> None:
    rows = [("DLR-A", 10.64, 0.76), ("DLR-A", 721.6, 0.9), ("Radiomics-A", 10.64, 0.63), ("Radiomics-A", 721.6, 0.8)]
    table = pd.DataFrame(rows, columns=["signature", "n", "value"]).assign(judged="out of fold", low=0.4, high=1.0)
    ax = figures.learning_curve(table, xlabel="Seconds of a reader", log=True)
    assert (ax.get_xscale(), ax.get_xlabel()) == ("log", "Seconds of a reader")
    assert [text.get_text() for text in ax.get_xticklabels()] == ["10", "20", "50", "100", "200", "500"]
    words = base_figures.description(ax)
    assert words.startswith("AUC by seconds of a reader: DLR-A (out of fold) 0.76 at 11 to 0.90 at 722")


def test_coefficient_path_names_what_it_is_told_to(figure_case: Any) -> None:
    table, options = figure_case("lasso_path")
    wanted = ["V__feature_9", "V__feature_2"]
    ax = figures.lasso_path(table, **options, named=wanted)
    assert {text.get_text() for text in ax.get_legend().get_texts()} == set(wanted)
    assert base_figures.alt_text("lasso_path", table, named=wanted).endswith("named: V__feature_9 and V__feature_2.")
    assert figures.lasso_path(table, named=[]).get_legend() is None
    assert len(figures.lasso_path(table).get_legend().get_texts()) == 5


def test_penalty_error_marks_the_penalties(figure_case: Any) -> None:
    table, options = figure_case("penalty_error")
    ax = figures.penalty_error(table, **options)
    marked = {line.get_label(): line.get_xdata()[0] for line in ax.lines if str(line.get_label()).startswith("λ")}
    assert marked == options["chosen"]
    assert ax.get_xlim()[0] > ax.get_xlim()[1]


def test_long_names_of_a_triangle_are_numbered() -> None:
    names = [f"arterial: wavelet-LLH glszm feature {i}" for i in range(4)]
    pairs = pd.DataFrame([(names[i], names[j], 0.1 * (i + j)) for i in range(4) for j in range(i)],
                         columns=["feature_a", "feature_b", "r"])  # fmt: skip
    ax = features_figures.correlations(pairs)
    rows = [t.get_text() for t in ax.get_yticklabels()]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["1", "2", "3", "4"]
    assert sorted(row.rsplit("  ", 1)[0] for row in rows) == names
    shown = ax.collections[0].get_array()
    assert shown.shape == (4, 4)
    assert np.ma.masked_invalid(shown).count() == 6


def test_a_clustered_map_puts_alike_features_together_and_keeps_every_value() -> None:
    names = [f"arterial: wavelet-LLH glszm a feature with a name of many letters {i}" for i in range(4)]
    r = np.array([[1, 0.1, 0.9, 0.2], [0.1, 1, 0.15, np.nan], [0.9, 0.15, 1, 0.25], [0.2, np.nan, 0.25, 1]])
    pairs = pd.DataFrame([(names[i], names[j], r[i, j]) for i in range(4) for j in range(i)],
                         columns=["feature_a", "feature_b", "r"])  # fmt: skip
    ax = features_figures.pairs(pairs, cluster=True)
    rows = [label.get_text().split("  ", 1) for label in ax.get_yticklabels()]
    assert [number for number, _ in rows] == [t.get_text() for t in ax.get_xticklabels()] == ["1", "2", "3", "4"]
    order = [names.index(name) for _, name in rows]
    assert abs(order.index(0) - order.index(2)) == 1
    shown = ax.collections[0].get_array()
    np.testing.assert_allclose(np.ma.filled(shown.astype(float), np.nan).reshape(4, 4), r[np.ix_(order, order)])
    assert "Clustered map of the correlations between 4 features" in base_figures.description(ax.figure)
