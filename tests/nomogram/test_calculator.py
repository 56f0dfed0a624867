"""The calculator's own script, run in node, gives what `Nomogram.predict` gives."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from radsupport.nomogram.calculator import calculator
from radsupport.nomogram.nomogram import Nomogram
from radsupport.stats.cox import fit_cox
from radsupport.stats.logistic import fit_logistic

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="node is not installed")
VOID = {"input", "line", "path"}


class Tree(HTMLParser):
    """Reads HTML into nested dicts."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[dict[str, Any]] = [{"tag": "page", "attributes": {}, "children": [], "text": ""}]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = {"tag": tag, "attributes": {k: v or "" for k, v in attrs}, "children": [], "text": ""}
        self.open[-1]["children"].append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            closed = self.open.pop()
            assert closed["tag"] == tag, f"<{closed['tag']}> is closed by </{tag}>"

    def handle_data(self, data: str) -> None:
        self.open[-1]["text"] += data


def parsed(html: str) -> dict[str, Any]:
    tree = Tree()
    tree.feed(html)
    assert len(tree.open) == 1, "an element is not closed"
    (root,) = tree.open[0]["children"]
    return root


def elements(node: dict[str, Any]) -> list[dict[str, Any]]:
    return [node, *(e for child in node["children"] for e in elements(child))]


def run(pages: list[str], steps: list[tuple[int, str, str, str]]) -> list[list[dict[str, Any]]]:
    """State of every calculator after each step; the first entry is the state at the start."""
    script = re.search(r"<script>(.*)</script>", pages[0], re.S)
    assert script is not None
    job = {"trees": [parsed(page) for page in pages], "script": script.group(1), "steps": steps}
    command = [str(NODE), str(Path(__file__).with_name("calculator_dom.js"))]
    done = subprocess.run(command, input=json.dumps(job), capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def logistic(r_table: Any) -> tuple[Nomogram, pd.DataFrame]:
    table = r_table("data/birthwt.csv")
    fit = fit_logistic(table, "low", "age+log(lwt)+race+smoke+ht", factors=["race"])
    words = {"race": {1: "white", 2: "black", 3: 'other <&">'}}
    return Nomogram.from_logistic(
        fit, outcome="low birth weight", labels={"lwt": "Weight (lb)"}, value_labels=words
    ), table


@pytest.fixture(scope="module")
def cox(r_table: Any) -> tuple[Nomogram, pd.DataFrame]:
    table = r_table("data/veteran.csv")
    fit = fit_cox(table, "time", "status", "karno+celltype+age")
    return Nomogram.from_cox(fit, [90, 180], outcome="overall survival", time_unit="days"), table


@pytest.fixture(scope="module")
def curved(r_table: Any) -> tuple[Nomogram, pd.DataFrame]:
    table = r_table("data/veteran.csv")
    fit = fit_cox(table, "time", "status", "bs(karno, df=5) + cr(log(diagtime), df=3) + age*prior", factors=["prior"])
    return Nomogram.from_cox(fit, [90, 180], outcome="overall survival", time_unit="days"), table


def typed(nomogram: Nomogram, row: pd.Series) -> list[tuple[int, str, str, str]]:
    """What a user does to enter a patient."""
    steps = []
    for axis in {axis.name: axis for axis in (*nomogram.predictors, *nomogram.conditions)}.values():
        value = row[axis.name]
        as_option = axis.kind == "numeric" and len(axis.ticks) == 2
        text = str(float(value)) if as_option else str(value)
        steps.append((0, "data-input", axis.name, text))
    return steps


@needs_node
@pytest.mark.parametrize("model", ["logistic", "cox", "curved"])
def test_calculator_equals_predict(model: str, request: pytest.FixtureRequest) -> None:
    nomogram, table = request.getfixturevalue(model)
    rows = table.sample(12, random_state=1)
    steps = [step for _, row in rows.iterrows() for step in typed(nomogram, row)]
    each = len(steps) // len(rows)
    states = run([calculator(nomogram)], steps)[each::each]
    expected = np.asarray(nomogram.predict(rows)).reshape(len(rows), -1)
    got = np.array([list(state[0]["results"].values()) for state in states])
    assert len(np.unique(got[:, 0])) > 8
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-9)
    for state, (_, row) in zip(states, rows.iterrows(), strict=True):
        points = nomogram.points(row)
        assert {k: v for k, v in state[0]["points"].items() if k in points} == pytest.approx(dict(points), abs=1e-9)
        assert state[0]["total"] == pytest.approx(points.total, abs=1e-9)


@needs_node
def test_calculator_starts_at_the_typical_patient(logistic: tuple[Nomogram, pd.DataFrame]) -> None:
    nomogram, table = logistic
    start = run([calculator(nomogram)], [])[0][0]
    typical = {"age": 23, "lwt": 121, "race": 1, "smoke": 0, "ht": 0}
    assert table["age"].median() == 23
    assert start["results"]["0"] == pytest.approx(float(nomogram.predict(typical).iloc[0]), abs=1e-12)
    assert start["warning"] == ""


@needs_node
def test_slider_moves_the_number_and_the_other_way_round(logistic: tuple[Nomogram, pd.DataFrame]) -> None:
    nomogram, _ = logistic
    steps = [(0, "data-slider", "age", "30"), (0, "data-input", "age", "33.25")]
    _, slid, written = (state[0] for state in run([calculator(nomogram)], steps))
    assert slid["inputs"]["age"] == "30"
    assert written["sliders"]["age"] == "33.25"
    row = {"age": 33.25, "lwt": 121, "race": 1, "smoke": 0, "ht": 0}
    assert written["results"]["0"] == pytest.approx(float(nomogram.predict(row).iloc[0]), abs=1e-9)


@needs_node
def test_unusable_and_unusual_values_are_said(logistic: tuple[Nomogram, pd.DataFrame]) -> None:
    steps = [(0, "data-input", "age", ""), (0, "data-input", "age", "80"), (0, "data-input", "lwt", "0")]
    empty, old, no_log = (state[0] for state in run([calculator(logistic[0])], steps)[1:])
    assert empty["text"] == ["–"]
    assert empty["warning"] == "Enter a number for age."
    assert old["warning"] == "age lies outside the range of the fitted data, 14 to 45."
    assert np.isfinite(old["results"]["0"])
    assert no_log["text"] == ["–"]
    assert "Weight (lb)" in no_log["warning"]


@needs_node
def test_survival_curve_is_the_predicted_step_function(cox: tuple[Nomogram, pd.DataFrame]) -> None:
    nomogram, table = cox
    row = table.iloc[3]
    state = run([calculator(nomogram)], typed(nomogram, row))[-1][0]
    drops = [float(y) for y in re.findall(r"V([\d.]+)", state["path"])]
    times = np.array(nomogram.baseline_time)
    expected = nomogram.survival(nomogram.linear_predictor(row), times)[0]
    np.testing.assert_allclose(drops, 200 - expected * 188, atol=0.0051)
    shown = nomogram.predict(row).iloc[0]
    assert f"{100 * shown[90.0]:.1f}% at 90, {100 * shown[180.0]:.1f}% at 180 days" in state["label"]


@needs_node
def test_calculators_on_one_page_do_not_touch_each_other(
    logistic: tuple[Nomogram, pd.DataFrame], cox: tuple[Nomogram, pd.DataFrame]
) -> None:
    pages = [calculator(logistic[0]), calculator(cox[0]), calculator(cox[0])]
    before, after = run(pages, [(1, "data-input", "age", "70")])
    assert after[1]["results"] != before[1]["results"]
    assert (after[0], after[2]) == (before[0], before[2])
    assert all(count == 1 for state in before for count in state["listeners"])  # each was started once


@pytest.mark.parametrize("model", ["logistic", "cox", "curved"])
def test_html_is_self_contained_and_labelled(model: str, request: pytest.FixtureRequest) -> None:
    nomogram, _ = request.getfixturevalue(model)
    html = calculator(nomogram)
    assert not re.search(r"https?:|//[a-z]|@import|url\(|fetch\(|XMLHttpRequest|import\(", html)
    root = parsed(html)
    everything = elements(root)
    assert not [e for e in everything if "id" in e["attributes"]]  # nothing that could clash
    labels = [e for e in everything if e["tag"] == "label"]
    within = [id(inner) for label in labels for inner in elements(label)]
    controls = [e for e in everything if e["tag"] in {"input", "select"}]
    assert len(controls) >= len(nomogram.predictors)
    for control in controls:
        assert id(control) in within or control["attributes"].get("aria-label")
        assert control["attributes"].get("tabindex") is None
    assert all("".join(e["text"] for e in elements(label) if e["tag"] == "span").strip() for label in labels)
    assert any(e["attributes"].get("aria-live") == "polite" for e in everything)
    assert len(re.findall("<tr>", html)) == len(nomogram.table()) + 1


def test_words_are_escaped(logistic: tuple[Nomogram, pd.DataFrame]) -> None:
    html = calculator(logistic[0], title="<b>&")
    assert "&lt;b&gt;&amp;" in html
    assert "other &lt;&amp;&quot;&gt;" in html
    assert "<b>" not in html
