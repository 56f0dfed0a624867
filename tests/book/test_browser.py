"""What a reader does on a page, in a real Chromium: sliders, figures with values, the calculator, tables, switches."""

from __future__ import annotations

import functools
import http.server
import json
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
import pytest
from helpers.live_tables import curves, months
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from radsupport import plots
from radsupport.book import shared
from radsupport.book.live import slider_table
from radsupport.book.show import figure_html
from radsupport.book.tables import filterable_table, table_html
from radsupport.nomogram.calculator import calculator
from radsupport.nomogram.nomogram import Nomogram
from radsupport.stats.logistic import fit_logistic

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--disable-dev-shm-usage",
)  # fmt: skip
OWN = ("http://127.0.0.1:", "file:", "data:", "blob:")
POINT = """(i) => {
  const plot = document.querySelector(".rl-plot"), { x, y } = plot.data[0], { xaxis, yaxis } = plot._fullLayout;
  return [y[i], xaxis.l2p(x[i]), yaxis.l2p(y[i])];
}"""
TALL = pd.DataFrame({"feature": [f"f{i:02d}" for i in range(20)], "auc": np.linspace(0.9, 0.5, 20)})
KINDS = pd.DataFrame({"kind": ["ct", "mr", "ct"], "name": ["skewness", "mean of the tumour", "energy"], "n": [3, 1, 2]})


def nomogram() -> Nomogram:
    rng = np.random.default_rng(8)
    age, sex = rng.normal(60, 9, 120), rng.integers(0, 2, 120)
    label = (0.05 * (age - 60) + sex + rng.logistic(size=120) > 0.5).astype(int)
    fit = fit_logistic(pd.DataFrame({"age": age, "sex": sex, "label": label}), "label", "age + sex")
    return Nomogram.from_logistic(fit, outcome="relapse")


@pytest.fixture(scope="module")
def page_file(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One chapter's page as the site has it: its tools, styles and scripts, outputs shared out to files."""
    site = tmp_path_factory.mktemp("site")
    static = site / "_static"
    shutil.copytree(root / "book" / "_static", static)
    folder = shared.begin(static)
    roc = plots.roc(curves(), facet="cohort", title="{cohort}")
    outputs = [
        slider_table(months(), "Survival by group", "time", start=3, mark="the first horizon"),
        figure_html(roc, caption="ROC curves."),
        table_html(TALL, "Many rows", sortable=True),
        filterable_table(KINDS, "Kinds", ["kind"]),
        calculator(nomogram()),
    ]
    cells = [new_code_cell("show()", outputs=[new_output("display_data", {"text/html": html})]) for html in outputs]
    notebook = new_notebook(cells=[new_markdown_cell("# T"), *cells])
    shared.keep_code(notebook, folder / "mine" / "06_validation.ipynb")
    shared.share(notebook, folder)
    tools = (root / "book" / "_templates" / "page-tools.html").read_text("utf-8")
    head = jinja2.Template(tools).render(pagename="studies/mine/06_validation", pathto=lambda name, _: f"../../{name}")
    body = "".join(
        f'<div class="cell tag_on-demand"><div class="cell_input"><pre>show()</pre></div>'
        f'<div class="cell_output"><div class="output text_html">{cell.outputs[0].data["text/html"]}</div></div></div>'
        for cell in notebook.cells[1:]
    )
    links = "".join(f'<link rel="stylesheet" href="../../_static/{name}">' for name in ("book.css", "made/page.css"))
    links += "".join(f'<script src="../../_static/{name}"></script>' for name in ("book.js", "made/page.js"))
    more = '<section id="more"><h2>Details</h2><span class="rs-more"></span><p id="detail">More.</p></section>'
    path = site / "studies" / "mine" / "06_validation.html"
    path.parent.mkdir(parents=True)
    path.write_text(
        f'<!DOCTYPE html><html lang="en" data-theme="light"><head><meta charset="utf-8"><title>T</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">{links}</head><body>{head}'
        f'<article class="bd-article"><section><h1>T</h1>{body}{more}</section></article></body></html>',
        encoding="utf-8",
    )
    return path


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder and says nothing."""

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def address(page_file: Path) -> Iterator[str]:
    """The page on a web host of this machine; from a folder a browser saves no link's file under its name."""
    site = page_file.parents[2]
    handler = functools.partial(Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/{page_file.relative_to(site).as_posix()}"
        server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield running
        running.close()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """The page in a window of its own; nothing may fail in it, and it may ask for nothing beyond its site."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    opened, wrong = context.new_page(), []
    opened.set_default_timeout(10_000)
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("request", lambda one: None if one.url.startswith(OWN) else wrong.append(one.url))
    opened.goto(address)
    yield opened
    context.close()
    assert not wrong


def cells(page: Any, selector: str) -> list[list[str]]:
    rows = page.locator(f"{selector} tbody tr:visible")
    return [row.locator("td").all_text_contents() for row in rows.all()]


def test_a_slider_reads_the_table_at_each_month_by_keyboard(page: Any, page_file: Path) -> None:
    page.goto(page_file.as_uri())  # also from a folder
    box = page.locator("[data-live-table]")
    assert box.locator("script[data-live]").text_content() == ""  # the numbers are a file, asked for when wanted
    start = cells(page, "[data-live-table]")
    slider = box.get_by_label("Month")
    slider.focus()
    slider.press("ArrowLeft")
    page.wait_for_function("document.querySelector('[data-live-table] output').textContent === 'Month 2'")
    table = months()
    at = table[table["time"] == 2]
    wanted = [
        [row["cohort"], row["group"], f"{row['survival']:.3f}\n({row['survival_low']:.3f}–1.000)", str(row["n_risk"])]
        for row in at.to_dict("records")
    ]
    assert cells(page, "[data-live-table]") == wanted
    assert slider.get_attribute("aria-valuetext") == "Month 2"
    box.get_by_role("button", name="Back to the start").press("Enter")
    page.wait_for_function("document.querySelector('[data-live-table] output').textContent.includes('Month 3 (the')")
    assert cells(page, "[data-live-table]") == start
    assert box.locator("output").get_attribute("aria-live") == "polite"


def test_a_figure_is_drawn_anew_with_values_and_switches(page: Any) -> None:
    assert page.evaluate("typeof window.Plotly") == "undefined"
    button = page.get_by_role("button", name="Explore: ROC curves.")
    button.press("Enter")
    page.wait_for_selector(".rl-plot .plot-container")
    assert button.get_attribute("aria-expanded") == "true"
    drawn = "(plot) => plot.data.map((one) => [one.text[1].split('<br>')[1], one.line.dash])"
    seen = f"() => [...document.querySelectorAll('.rl-plot')].filter((one) => one.offsetParent).map({drawn})"
    train, external = ([[name, "solid"], [name, "dash"]] for name in ("train", "external"))
    page.wait_for_function(f"({seen})().length === 2")  # the grid of the pictures
    assert page.evaluate(seen) == [train, external]
    page.get_by_label("external").press("Space")
    assert page.evaluate(seen) == [train]
    page.get_by_label("external").press("Space")
    assert page.evaluate(seen) == [train, external]
    page.get_by_label("A", exact=True).uncheck()
    names = page.evaluate("document.querySelector('.rl-plot').data.map((one) => one.text[0])")
    assert [name.split("<br>")[0] for name in names] == ["<b>&lt;B>, AUC 0.70 (0.60–0.80)</b>"]
    far = "(one) => Math.abs(one._fullLayout.width - one.clientWidth) > 2"
    fit = f"![...document.querySelectorAll('.rl-plot')].some({far})"
    page.wait_for_function(fit)
    place = page.locator(".rl-plot .nsewdrag").first.bounding_box()
    value, right, down = page.evaluate(POINT, 12)
    page.mouse.move(place["x"] + right, place["y"] + down + 1)
    page.wait_for_selector(".rl-plot .hovertext")
    said = page.locator(".rl-plot .hovertext").first.text_content()
    assert f"Sensitivity: {value:g}" in said
    assert "threshold: " in said
    assert "<B>, AUC 0.70" in said
    assert page.locator("figure.rad-figure > div img").first.is_visible()  # the picture stays


def test_a_table_sorts_unfolds_and_can_be_taken_along(page: Any) -> None:
    box = ".rad-box:has(caption:text('Many rows'))"
    assert [row[0] for row in cells(page, box)] == [f"f{i:02d}" for i in range(6)]
    page.locator(box).get_by_role("button", name="AUC").press("Enter")
    assert [row[0] for row in cells(page, box)] == [f"f{i:02d}" for i in range(19, 13, -1)]
    page.get_by_label("Show all 20 rows").check()
    assert len(cells(page, box)) == 20
    with page.expect_download() as saved:
        page.get_by_label("CSV of: Many rows").click()
    assert saved.value.suggested_filename == "many_rows.csv"
    pd.testing.assert_frame_equal(pd.read_csv(saved.value.path()), TALL)
    with page.expect_download() as saved:
        page.get_by_role("link", name="Notebook").click()
    assert '"show()"' in saved.value.path().read_text("utf-8")


def test_a_table_is_filtered_by_words_and_lists(page: Any) -> None:
    box = "[data-filterable]"
    page.locator(box).get_by_label("Search").fill("the mean")
    assert [row[1] for row in cells(page, box)] == ["mean of the tumour"]
    assert page.locator(f"{box} output").text_content() == "1 of 3 shown"
    page.locator(box).get_by_label("Search").fill("")
    page.locator(box).locator("select").select_option("ct")
    assert [row[1] for row in cells(page, box)] == ["skewness", "energy"]


def test_the_calculator_says_what_the_nomogram_predicts(page: Any) -> None:
    page.locator('[data-input="age"]').fill("71")
    page.locator('[data-input="sex"]').select_option("1.0")
    expected = nomogram().predict(pd.DataFrame({"age": [71.0], "sex": [1]})).to_numpy().ravel()
    found = float(page.locator('[data-result="0"]').get_attribute("data-value"))
    assert min(abs(expected - found)) < 1e-9
    assert re.fullmatch(r"\d+\.\d%", page.locator('[data-result="0"]').text_content())


def test_code_and_details_show_when_asked_for_and_stay(page: Any) -> None:
    code, detail = page.locator(".cell_input").first, page.locator("#detail")
    assert not code.is_visible()
    assert not detail.is_visible()
    page.get_by_label("Show code").check()
    page.get_by_label("Open all sections").check()
    assert code.is_visible()
    assert detail.is_visible()
    page.reload()
    assert code.is_visible()
    assert detail.is_visible()
    page.get_by_label("Open all sections").uncheck()
    page.evaluate("location.hash = '#more'")
    page.wait_for_function("document.querySelector('#detail').offsetParent !== null")


def test_nothing_is_wider_than_the_page(page: Any) -> None:
    page.get_by_role("button", name="Explore: ROC curves.").click()
    page.wait_for_selector(".rl-plot .plot-container")
    for width in (390, 768, 1280, 1920):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(150)  # plotly follows the window
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_without_script_a_table_stands_where_its_slider_starts(browser: Any, page_file: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(page_file.as_uri())
    assert page.locator("[data-live-table] output").text_content() == "Month 3 (the first horizon)"
    assert [row[2] for row in cells(page, "[data-live-table]")] == [
        "0.700\n(0.600–1.000)",
        "0.400\n(0.300–1.000)",
        "–",
        "–",
    ]
    assert not page.locator("[data-live-table] input").is_visible()
    assert not page.locator("[data-explore]").is_visible()
    assert page.locator("figure.rad-figure img").first.is_visible()
    context.close()


def test_a_patient_from_apply_fills_the_calculator_and_nothing_leaves_the_page(page: Any) -> None:
    given = {
        "subject": "new 1",
        "inputs": {"age": 91.5, "sex": 1},
        "risks": {},
        "outside": "age 91.5 (training: 40 to 80)",
    }
    other = {"subject": "new 2", "inputs": {"age": 50}, "risks": {}, "outside": ""}
    page.locator(".nc-patient > summary").click()
    page.locator("[data-paste]").fill(json.dumps({"patients": [given, other]}))
    expected = nomogram().predict(pd.DataFrame({"age": [91.5], "sex": [1]})).to_numpy().ravel()[0]
    shown = page.locator('[data-result="0"]')
    assert float(shown.get_attribute("data-value")) == pytest.approx(expected, abs=1e-9)
    assert "Outside the training range: age 91.5" in page.locator("[data-patient]").text_content()
    page.locator("[data-who]").select_option("1")
    assert page.locator('[data-input="age"]').input_value() == "50"
    assert "left as it stands: sex" in page.locator("[data-patient]").text_content()
    table = 'subject,signature,risk,outside,inputs\n"c, 3",nomogram,1.5,,"{""age"": 60, ""sex"": 0}"\n'
    file = {"name": "predictions.csv", "mimeType": "text/csv", "buffer": table.encode()}
    page.locator("[data-file]").set_input_files(file)
    page.wait_for_function("document.querySelector('[data-patient]').textContent.includes('c, 3')")
    assert page.locator('[data-input="age"]').input_value() == "60"
    page.locator("[data-paste]").fill("nothing")
    assert "no file that radsupport apply wrote" in page.locator("[data-patient]").text_content()
