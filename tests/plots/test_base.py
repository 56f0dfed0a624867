"""Figures of several panels, prediction error, and the heat map of features by group."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.text import Text

from radsupport.errors import InputError
from radsupport.plots import base as figures
from radsupport.plots import features as features_figures
from radsupport.plots import prediction as prediction_figures
from radsupport.plots import style
from radsupport.plots import survival as survival_figures


def error_table(end: float = 24.0) -> pd.DataFrame:
    time = np.linspace(1, end, 5)
    null = pd.DataFrame({"model": "Kaplan–Meier", "time": time, "brier": 0.2})
    return pd.concat([null, null.assign(model="Image", brier=0.15)], ignore_index=True)


def flow() -> pd.DataFrame:
    return pd.DataFrame({"source": ["low", "high"], "target": ["no event", "event"], "n": [10, 5]})


def test_prediction_error_names_the_last_values() -> None:
    ax = survival_figures.prediction_error(error_table())
    assert "at 24 months: Kaplan–Meier 0.200; Image 0.150" in figures.description(ax.figure)
    assert [line.get_label() for line in ax.lines] == ["Kaplan–Meier", "Image"]
    assert ax.get_ylim()[0] == 0


def test_diagrams_of_a_facet_share_colours_and_alt_text() -> None:
    other = flow().iloc[::-1].reset_index(drop=True)
    both = pd.concat([flow().assign(cohort="a"), other.assign(cohort="b")], ignore_index=True)
    found = survival_figures.sankey(both, facet="cohort", names={"a": "A (n = 15)", "b": "B (n = 15)"})
    colours = [dict(zip(t.node.label, t.node.color, strict=True)) for t in found.data]
    assert colours[0] == colours[1]
    assert colours[0]["low"] == style.colour(0)
    assert found.layout.meta["alt_text"].startswith("A (n = 15)")
    assert "B (n = 15)" in found.layout.meta["alt_text"]
    domains = [tuple(t.domain.y) for t in found.data]
    assert domains[0][0] > domains[1][1]
    assert survival_figures.sankey(both.iloc[:0], facet="cohort").figures == []


def heat(groups: list[str]) -> pd.DataFrame:
    subjects = [f"s{i}" for i in range(len(groups))]
    rows = [
        {"feature": f, "subject": s, "group": g, "value": (1.0 if g == "high risk" else -1.0) * (f == "ct: a")}
        for f in ("ct: a", "ct: b")
        for s, g in zip(subjects, groups, strict=True)
    ]
    return pd.DataFrame(rows)


def test_heat_map_keeps_the_order_and_names_the_widest_gap() -> None:
    table = heat(["low risk", "low risk", "high risk"])
    ax = features_figures.heat_map(table)
    drawn = ax.collections[0].get_array()
    np.testing.assert_allclose(drawn[0], [-1, -1, 1])
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["ct: a", "ct: b"]
    words = figures.description(ax.figure)
    assert "2 low risk, 1 high risk" in words
    assert "ct: a" in words.split("widest difference of group means:")[1]


def test_a_single_feature_has_its_heat_map() -> None:
    table = heat(["low risk", "high risk"])
    ax = features_figures.heat_map(table[table["feature"] == "ct: a"])
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["ct: a"]


def test_heat_map_of_one_group_has_no_gap() -> None:
    words = figures.description(features_figures.heat_map(heat(["low risk"] * 3)).figure)
    assert "widest" not in words


def test_heat_map_shows_missing_values_pale() -> None:
    table = heat(["low risk", "high risk"])
    table.loc[0, "value"] = np.nan
    drawn = features_figures.heat_map(table).collections[0].get_array()
    assert np.isnan(np.ma.filled(drawn, np.nan)[0, 0])


def by_cohort(**columns: object) -> pd.DataFrame:
    parts = [error_table(end).assign(cohort=key, n=n, **columns) for key, end, n in (("b", 24.0, 5), ("a", 12.0, 7))]
    return pd.concat(parts, ignore_index=True)


def test_a_facet_gives_a_picture_each_with_its_own_words_and_the_table_behind_all() -> None:
    table = by_cohort()
    found = survival_figures.prediction_error(table, facet="cohort", names={"a": "North"}, title="{cohort} (n = {n})")
    assert [fig.axes[0].get_title(loc="left") for fig in found.figures] == ["b (n = 5)", "North (n = 7)"]
    assert [fig.axes[0].get_xlim()[1] for fig in found.figures] == [24, 12]
    words = figures.description(found)
    assert words.count("Brier score over time") == 2
    assert "North (n = 7). Brier" in words
    assert found.table is table
    ordered = table.assign(cohort=pd.Categorical(table["cohort"], ["a", "c", "b"]))
    again = survival_figures.prediction_error(ordered, facet="cohort")
    assert [fig.axes[0].get_title(loc="left") for fig in again.figures] == ["a", "b"]


def test_options_can_differ_by_facet() -> None:
    def units(table: pd.DataFrame, **options: object) -> list[str]:
        found = survival_figures.prediction_error(table, facet="cohort", **options)
        return [fig.axes[0].get_xlabel() for fig in found.figures]

    assert units(by_cohort(), time_unit={"a": "years"}) == ["Time (months)", "Time (years)"]
    assert units(by_cohort(), time_unit=pd.Series({"b": "days"})) == ["Time (days)", "Time (months)"]
    weeks = by_cohort(time_unit="weeks")
    assert units(weeks) == ["Time (weeks)"] * 2
    later = weeks["time_unit"].where(weeks.groupby("cohort").cumcount() > 0)  # a row without it does not hide it
    assert units(weeks.assign(time_unit=later)) == ["Time (weeks)"] * 2
    two = survival_figures.prediction_error(by_cohort(), facet=["cohort", "n"], time_unit={("a", 7): "years"})
    assert [fig.axes[0].get_xlabel() for fig in two.figures] == ["Time (months)", "Time (years)"]
    assert [fig.axes[0].get_title(loc="left") for fig in two.figures] == ["b, 5", "a, 7"]


def test_a_facet_and_an_axes_are_an_error_and_an_empty_table_draws_nothing() -> None:
    _, (ax,) = style.new_figure()
    with pytest.raises(InputError, match="not both"):
        survival_figures.prediction_error(by_cohort(), ax, facet="cohort")
    with pytest.raises(InputError, match="can not be drawn"):
        survival_figures.prediction_error(by_cohort(), facet="center")
    nobody = by_cohort().iloc[:0]
    nobody.attrs["empty"] = "Nobody was followed."
    assert survival_figures.prediction_error(nobody, facet="cohort").figures == []
    assert survival_figures.prediction_error(nobody).table.attrs["empty"] == "Nobody was followed."


def test_a_table_of_an_option_is_cut_to_the_picture() -> None:
    curve = pd.DataFrame({"signature": "S", "sensitivity": [0.0, 1.0], "specificity": [1.0, 0.0], "auc": 0.5})
    curve = curve.assign(ci_low=0.4, ci_high=0.6)
    points = pd.DataFrame({"signature": ["S"], "sensitivity": [0.8], "specificity": [0.7], "cohort": ["a"]})
    both = pd.concat([curve.assign(cohort="a"), curve.assign(cohort="b")], ignore_index=True)
    found = prediction_figures.roc(both, facet="cohort", marks=points)
    assert [len(fig.axes[0].lines) for fig in found.figures] == [3, 2]


def test_two_modules_can_not_give_one_name_to_two_figures() -> None:
    def spread(table: pd.DataFrame, ax: Axes) -> None:
        """Draw nothing."""

    with pytest.raises(InputError, match=r"There is a figure `spread` in radsupport\.plots\.models"):
        figures.figure("cohort", alt="nothing")(spread)


def test_words_of_cohorts_are_no_words_of_strategies() -> None:
    table = pd.DataFrame({"cohort": ["a", "a", "b", "b"], "threshold": [0.1, 0.2] * 2, "net_benefit": [0.1, 0.0] * 2})
    table["strategy"] = "model"
    names = {"a": "North", "b": "South"}
    found = prediction_figures.decision(table, facet="cohort", names=names, title="{cohort}")
    shown = [{words.get_text() for words in one.findobj(Text)} for one in figures.figures_of(found)]
    assert ["North" in shown[0], "South" in shown[1], "model" in shown[0]] == [True] * 3
