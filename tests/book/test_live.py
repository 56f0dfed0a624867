"""Tables read at one value of a slider, and figures drawn anew: the numbers that stand in the page are the tables'."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.live_tables import curves, months

from radsupport import plots
from radsupport.book import live
from radsupport.book.tables import laid_out
from radsupport.errors import InputError
from radsupport.plots.base import KINDS


def numbers(html: str) -> dict[str, Any]:
    (text,) = re.findall(r'<script type="application/json" data-live>([^<]*)</script>', html)
    return dict(json.loads(text))


def seen(html: str) -> list[list[str]]:
    body = re.search(r"<tbody>(.*)</tbody>", html, re.S)
    assert body
    return [re.findall(r"<td[^>]*>([^<]*)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", body[1], re.S)]


def test_every_position_of_a_slider_has_the_rows_of_the_table_in_its_words() -> None:
    table = months()
    html = live.slider_table(table, "Survival", "time", start=3, mark="first horizon")
    (choice,), texts = numbers(html)["choices"], numbers(html)["texts"]
    assert choice["marks"] == ["0", "1", "2", "3", "4"]
    assert choice["start"] == 3
    words = {c.words: c.texts for c in laid_out(table)}
    for place, month in enumerate(range(5)):
        rows = [[texts[cell].replace("\n", " ") for cell in row] for row in choice["rows"][place]]
        assert [row[:2] for row in rows] == [
            [cohort, group] for cohort in ("train", "external") for group in ("low risk", "high risk")
        ]
        for row in rows:
            own = table[(table["cohort"] == row[0]) & (table["group"] == row[1]) & (table["time"] == month)]
            said = (
                [words["Survival (95% CI)"][own.index[0]], words["Still at risk"][own.index[0]]]
                if len(own)
                else ["–"] * 2
            )
            assert row[2:] == said
    assert [row[2] for row in seen(html)] == ["0.700\n(0.600–1.000)", "0.400\n(0.300–1.000)", "–", "–"]
    assert '<output aria-live="polite">Month 3 (first horizon)</output>' in html
    assert '<div class="rl-controls" hidden>' in html  # without script there is the table alone


def test_a_signature_starts_at_its_own_threshold_even_where_it_lies_below_everybody() -> None:
    table = pd.DataFrame(
        {
            "signature": ["A", "A", "A", "B"],
            "cohort": "x",
            "threshold": [-np.inf, 0.2, 0.4, -np.inf],
            "tp": [4, 3, 2, 5],
        }
    )
    html = live.slider_table(table, "T", "threshold", of="signature", start=pd.Series({"A": 0.4, "B": -np.inf}))
    assert [(one["name"], one["start"]) for one in numbers(html)["choices"]] == [("A", 2), ("B", 0)]
    assert '<option value="1">B</option>' in html
    assert seen(html) == [["x", "2"]]
    assert numbers(live.slider_table(table, "T", "threshold", of="signature"))["choices"][0]["start"] == 0
    with pytest.raises(InputError, match="two rows of one threshold"):
        live.slider_table(table.drop(columns="signature"), "T", "threshold")


def test_a_figure_carries_the_points_of_its_table() -> None:
    table = curves()
    drawn = plots.roc(table, facet="cohort", names={"train": "Hospital <I>"}, title="{cohort} (n = {n})")
    html = live.explore_html(drawn, "ROC curves")
    found = numbers(html)
    assert "<I>" not in html
    assert [panel["title"] for panel in found["panels"]] == ["Hospital <I> (n = 40)", "external (n = 40)"]
    own = table[(table["cohort"] == "external") & (table["signature"] == "<B>")]
    curve = found["panels"][1]["curves"][1]
    assert curve["words"] == "<B>, AUC 0.70 (0.60–0.80)"
    np.testing.assert_allclose(curve["x"], 1 - own["specificity"], atol=5e-5)
    np.testing.assert_allclose(curve["y"], own["sensitivity"], atol=5e-5)
    assert curve["more"]["threshold"][0] is None  # everybody is positive below -inf
    assert found["x"] == "1 − specificity"
    assert 'aria-label="Explore: ROC curves"' in html


def test_a_curve_of_steps_keeps_every_step() -> None:
    times = np.arange(1.0, 302.0)
    steps = pd.DataFrame({"group": "low risk", "time": times, "survival": 1 - times / 400})
    one = live._curve(steps, "low risk", live.CHARTS["kaplan_meier"], "#000")
    assert one["x"] == [0.0, *times]
    assert one["y"] == pytest.approx([1.0, *(1 - times / 400)], abs=1e-4)


def test_a_long_curve_is_thinned_and_keeps_its_ends() -> None:
    table = pd.DataFrame({"time": np.arange(1000.0), "auc": 0.5, "auc_low": 0.4, "auc_high": 0.6, "signature": "A"})
    drawn = plots.over_time(table.assign(cohort="x"), facet="cohort")
    (panel,) = live.chart_numbers(drawn)["panels"]
    assert len(panel["curves"][0]["x"]) == 200
    assert (panel["curves"][0]["x"][0], panel["curves"][0]["x"][-1]) == (0, 999)


def test_survival_starts_at_one_with_its_limits() -> None:
    table = months().query("time > 0").rename(columns={"survival_low": "ci_low", "survival_high": "ci_high"})
    drawn = plots.kaplan_meier(table, facet="cohort", order=("low risk", "high risk"))
    found = live.chart_numbers(drawn)
    low = found["panels"][0]["curves"][0]
    assert (low["name"], low["x"][0], low["y"][0], low["low"][0]) == ("low risk", 0, 1, 1)
    assert (low["x"][1], low["y"][1], low["low"][1], low["more"]["at risk"][1]) == (1, 0.9, 0.8, 19)
    assert found["step"]


def test_kinds_that_are_declared_exist_and_others_have_no_button() -> None:
    assert set(live.CHARTS) <= set(KINDS)
    for name, chart in live.CHARTS.items():
        assert {chart.x, chart.y} <= {*KINDS[name].columns, "time"}
    assert live.explore_html(plots.roc(curves().query("cohort == 'train'")), "") == ""
    heat = pd.DataFrame({"cohort": "x", "signature_a": ["A"], "signature_b": ["B"], "p": [0.2]})
    assert live.explore_html(plots.pairs(heat, facet="cohort"), "") == ""
