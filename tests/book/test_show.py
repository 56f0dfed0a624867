"""What notebooks show: images with alt text, tables with sensible numbers, interactive figures without a network."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
import seaborn as sns
from matplotlib.figure import Figure
from PIL import Image
from plotly.offline import get_plotlyjs
from sklearn.metrics import PrecisionRecallDisplay

from radsupport.book import show as display
from radsupport.book.tables import asset, heading, rounded, table_html
from radsupport.errors import InputError
from radsupport.plots import base as base_figures
from radsupport.plots import prediction as figures
from radsupport.plots import style
from radsupport.plots import survival as survival_figures

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="node is not installed")


class Tags(HTMLParser):
    """Collects tags with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {key: value or "" for key, value in attrs}))

    def of(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is handed to IPython's display."""
    outputs: list[Any] = []
    monkeypatch.setattr(display, "display", lambda data, raw=False: outputs.append(data))
    return outputs


def test_figure_is_an_image_with_the_alt_text_of_its_table(shown: list[Any], figure_case: Any) -> None:
    table, options = figure_case("roc")
    ax = figures.roc(table, title='ROC "external"', **options)
    display.show_figure(ax, caption="n < 60 & more")
    (image,) = Tags(shown[0].data).of("img")
    assert image["alt"] == base_figures.description(ax.figure)  # type: ignore[arg-type]
    assert "n &lt; 60 &amp; more" in shown[0].data
    picture = Image.open(io.BytesIO(base64.b64decode(image["src"].split(",")[1])))
    assert picture.width > 600
    assert np.asarray(picture.convert("L")).std() > 20
    assert np.asarray(picture.convert("RGBA"))[0, 0].tolist() == [255, 255, 255, 255]  # opaque on a dark page


def test_same_figure_gives_the_same_bytes(figure_case: Any) -> None:
    table, options = figure_case("kaplan_meier")
    first, second = (display.figure_html(survival_figures.kaplan_meier(table, **options)) for _ in range(2))
    assert first == second


def test_figure_without_words_is_refused() -> None:
    fig = Figure()
    fig.subplots().plot([1, 2])
    with pytest.raises(InputError, match="no alt text"):
        display.show_figure(fig)
    assert 'alt="A line."' in display.figure_html(fig, "A line.")
    with pytest.raises(InputError, match="not str"):
        display.show_figure("figure")  # type: ignore[arg-type]


def test_several_axes_are_described_together(figure_case: Any) -> None:
    fig, (left, right) = style.new_figure(columns=2)
    table, options = figure_case("calibration")
    figures.calibration(table, left, title="Train", **options)
    figures.calibration(table, right, title="External", **options)
    (image,) = Tags(display.figure_html(fig)).of("img")
    assert image["alt"].startswith("Train. Calibration plot.")
    assert "External. Calibration plot." in image["alt"]


def test_pictures_stand_side_by_side_where_the_page_has_room(shown: list[Any], figure_case: Any) -> None:
    table, options = figure_case("calibration")
    both = pd.concat([table.assign(cohort="a"), table.assign(cohort="b")], ignore_index=True)
    found = figures.calibration(both, facet="cohort", columns=2, **options)
    display.show_figure(found, caption="Two cohorts.")
    images = Tags(shown[0].data).of("img")
    assert [image["alt"].split(".")[0] for image in images] == ["a", "b"]
    assert "repeat(auto-fit,minmax(min(100%,max(" in shown[0].data
    assert shown[0].data.count(">Two cohorts.<") == 1
    assert 'aria-label="Explore: Two cohorts."' in shown[0].data


def test_a_caption_fills_the_place_that_an_uneven_row_leaves(shown: list[Any], figure_case: Any) -> None:
    table, options = figure_case("calibration")
    three = pd.concat([table.assign(cohort=name) for name in "abc"], ignore_index=True)
    for columns in (2, 3):
        display.show_figure(figures.calibration(three, facet="cohort", columns=columns, **options), caption="Three.")
    uneven, even = (output.data.split('<div class="rl-explore"')[0] for output in shown)
    assert uneven.endswith("<figcaption>Three.</figcaption></div>")
    assert ",max(" not in uneven  # three columns where they fit, with words as large as they were drawn or nearly so
    assert even.endswith("</div><figcaption>Three.</figcaption>")


def test_an_empty_table_says_why(shown: list[Any]) -> None:
    nobody = pd.DataFrame({"auc": pd.Series(dtype=float)})
    nobody.attrs["empty"] = "Nobody was followed."
    display.show_table(nobody, "AUC")
    display.show_table(nobody, "AUC", empty="Not used.")
    display.show_table(nobody, "AUC", empty="")
    display.show_figure(survival_figures.auc_over_time(nobody, facet="cohort"))
    assert [output.data for output in shown] == ["Nobody was followed.", "Not used.", "Nobody was followed."]


def test_values_are_worded_as_the_page_says(shown: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(display._Page, "words", {"cohort": {"train": "North"}})
    display.show_table(pd.DataFrame({"cohort": ["train", "pooled"], "n": [1, 2]}), "Cohorts")
    assert ">North<" in shown[0].data
    assert ">pooled<" in shown[0].data


def test_columns_are_rounded_as_a_whole() -> None:
    nan = float("nan")
    assert rounded(pd.Series([0.81234, 0.5, nan, 0.00001])) == ["0.812", "0.500", "–", "<0.0001"]
    assert rounded(pd.Series([2.64321, -0.5])) == ["2.64", "−0.50"]
    assert rounded(pd.Series([33.4, 12.0]), "until") == ["33.4", "12.0"]
    assert rounded(pd.Series([12, 24]), "horizon") == ["12", "24"]
    assert rounded(pd.Series([123.456, 3.0])) == ["123.5", "3.0"]
    assert rounded(pd.Series([61234.4, 3.2])) == ["61234", "3"]
    assert rounded(pd.Series([3.0, nan, 12.0])) == ["3", "–", "12"]
    assert rounded(pd.Series([1, 20000])) == ["1", "20000"]
    assert rounded(pd.Series([0.698, 81234567.8, -0.355, nan])) == ["0.698", "81,234,568", "−0.355", "–"]
    assert rounded(pd.Series([True, False])) == ["yes", "no"]
    assert rounded(pd.Series([None, 0.123456, "text", True], dtype=object)) == ["–", "0.123", "text", "yes"]
    assert rounded(pd.Series([np.inf, 0.5])) == ["∞", "0.500"]
    assert rounded(pd.Series([1, None], dtype="Int64")) == ["1", "–"]
    assert rounded(pd.Series([nan, nan])) == ["–", "–"]


@pytest.mark.parametrize("name", ["p", "P", "p_adjusted", "p_vs_half", "wald_p", "p (log-rank)"])
def test_p_values_are_recognised_by_name(name: str) -> None:
    assert rounded(pd.Series([2e-9, 0.01234, 0.0996, 0.346, 0.999]), name) == [
        "<0.001",
        "0.012",
        "0.10",
        "0.35",
        ">0.99",
    ]


def test_names_of_features_are_words_and_others_stay() -> None:
    names = pd.Series(["ct__log-sigma-2-mm-3D_glszm_SmallAreaEmphasis", "t_stage", ""])
    assert rounded(names, "column") == ["CT: log-sigma-2-mm-3D glszm SmallAreaEmphasis", "t_stage", ""]
    assert rounded(names, "subject") == names.tolist()


@pytest.mark.parametrize("name", ["ppv", "precision", "prior", "step"])
def test_other_columns_are_not_p_values(name: str) -> None:
    assert rounded(pd.Series([0.0004, 0.9]), name) == ["0.0004", "0.900"]


def test_table_has_caption_headers_and_no_long_decimals(shown: list[Any], figure_case: Any) -> None:
    table, _ = figure_case("forest")
    display.show_table(table, "Cox model <train>", sortable=False, headers={"hr": "Hazard ratio"})
    html = shown[0].data
    tags = Tags(html)
    assert "<caption>Cox model &lt;train&gt;</caption>" in html
    assert [header["scope"] for header in tags.of("th")] == ["col"] * 3
    assert ">Hazard ratio (95% CI)<" in html
    assert not tags.of("script")
    assert not re.search(r"\d\.\d{5,}", html)
    assert "&lt;0.001" in html
    assert tags.of("div")[1]["tabindex"] == "0"  # a wide table is scrolled by keyboard


@pytest.mark.parametrize(
    ("name", "words"),
    [("covariate", "Covariate"), ("95% CI from", "95% CI from"), ("p", "P"), ("p (groups)", "P (groups)"), ("n", "n"),
     ("df", "df"), ("chi2", "χ²"), ("auc", "AUC"), ("Uno's C", "Uno's C"), ("n events", "n events"), ("to", "to")],
)  # fmt: skip
def test_headings_begin_with_a_capital_and_symbols_stay(name: str, words: str) -> None:
    assert heading(name) == words


def test_long_table_says_that_it_is_cut() -> None:
    table = pd.DataFrame({"x": range(30)})
    html = table_html(table, "c", max_rows=10)
    assert html.count("<tr>") == 11
    assert "The first 10 of 30 rows." in html


def test_table_needs_a_frame_and_a_caption() -> None:
    with pytest.raises(InputError, match="caption"):
        display.show_table(pd.DataFrame({"a": [1]}), " ")
    with pytest.raises(InputError, match="not list"):
        display.show_table([1], "c")  # type: ignore[arg-type]


_TABLE_DOM = """
const cell = (text, attributes) => ({ text, attributes: new Map(Object.entries(attributes)), listeners: [],
  getAttribute(n) { return this.attributes.has(n) ? this.attributes.get(n) : null; },
  setAttribute(n, v) { this.attributes.set(n, v); }, removeAttribute(n) { this.attributes.delete(n); },
  querySelector() { return { addEventListener: (type, f) => this.listeners.push(f) }; } });
const job = JSON.parse(require("fs").readFileSync(0, "utf8"));
const headers = job.headers.map((h) => cell(h, {}));
const body = { rows: job.rows.map((r) => ({ cells: r.map((a) => cell("", a)) })),
  appendChild(row) { this.rows.splice(this.rows.indexOf(row), 1); this.rows.push(row); } };
const table = Object.assign(cell("", {}), { tHead: { rows: [{ cells: headers }] }, tBodies: [body] });
globalThis.document = { querySelectorAll: () => [table] };
const run = new Function(job.script); run(); run();
const out = job.clicks.map((i) => { headers[i].listeners.forEach((f) => f());
  return [body.rows.map((r) => r.cells[i].getAttribute("data-sort")),
    headers.map((h) => h.getAttribute("aria-sort"))]; });
process.stdout.write(JSON.stringify(out));
"""


@needs_node
def test_sorting_is_by_value_with_missing_last_and_is_announced() -> None:
    table = pd.DataFrame({"name": ["b", "c", "a", "d"], "value": [10.0, 9.5, np.nan, -2.0]})
    html = table_html(table, "c", sortable=True)
    tags = Tags(html)
    assert [button["type"] for button in tags.of("button")] == ["button", "button"]
    cells = tags.of("td")
    rows = [
        [{k: v for k, v in cell.items() if k.startswith("data")} for cell in cells[i : i + 2]] for i in range(0, 8, 2)
    ]
    job = {"headers": ["name", "value"], "rows": rows, "script": asset("sort.js"), "clicks": [1, 1, 0]}
    done = subprocess.run(
        [str(NODE), "-e", _TABLE_DOM], input=json.dumps(job), capture_output=True, text=True, check=True
    )
    up, down, names = json.loads(done.stdout)
    assert up == [["-2.0", "9.5", "10.0", ""], [None, "ascending"]]
    assert down == [["10.0", "9.5", "-2.0", ""], [None, "descending"]]
    assert names == [["a", "b", "c", "d"], ["ascending", None]]


_PLOTLY_DOM = """
const crypto = require("crypto");
const job = JSON.parse(require("fs").readFileSync(0, "utf8"));
const boxes = job.figures.map((f) => ({ text: "words", map: new Map([["data-plotly", f]]),
  getAttribute(n) { return this.map.has(n) ? this.map.get(n) : null; }, setAttribute(n, v) { this.map.set(n, v); } }));
const calls = []; let loaded = 0; let hash = "";
globalThis.window = { define: "kept" };
globalThis.document = {
  querySelectorAll: () => boxes, querySelector: () => ({ textContent: job.library, getAttribute: () => null }),
  createElement: () => ({}),
  head: { appendChild: (script) => {
    loaded += 1;
    hash = crypto.createHash("sha256").update(script.textContent).digest("hex");
    const newPlot = (e, data, layout, config) => calls.push([boxes.indexOf(e), data[0].type, config.displaylogo]);
    window.Plotly = { newPlot };
  } },
};
const run = new Function(job.script); run(); run();
const end = () => { process.stdout.write(JSON.stringify({ calls, loaded, hash, define: window.define }));
  process.exit(); };
const drawn = () => calls.length >= boxes.length;
const poll = setInterval(() => { if (drawn()) { clearInterval(poll); setTimeout(end, 300); } }, 50);
setTimeout(end, 20000);
"""


@needs_node
def test_interactive_figure_unpacks_its_own_library_and_draws_once(shown: list[Any], figure_case: Any) -> None:
    import hashlib

    fig = survival_figures.sankey(figure_case("sankey")[0], title="Flow")
    display.show_figure(fig, caption="Flows")
    html = shown[0]["text/html"]
    assert set(shown[0]) == {"text/html", "text/plain"}  # MyST-NB warns of other kinds
    tags = Tags(html)
    box = tags.of("div")[0]
    assert box["aria-label"] == fig.layout.meta["alt_text"] == shown[0]["text/plain"]
    assert not [s for s in tags.of("script") if "src" in s]
    library, script = re.findall(r"<script[^>]*>(.*?)</script>", html, re.S)
    job = {"figures": [box["data-plotly"]] * 2, "library": library, "script": script}
    done = subprocess.run(
        [str(NODE), "-e", _PLOTLY_DOM], input=json.dumps(job), capture_output=True, text=True, check=True
    )
    result = json.loads(done.stdout)
    assert result["calls"] == [[0, "sankey", False], [1, "sankey", False]]
    assert (result["loaded"], result["define"]) == (1, "kept")
    assert result["hash"] == hashlib.sha256(get_plotlyjs().encode()).hexdigest()


def test_interactive_figure_needs_words(figure_case: Any) -> None:
    fig = survival_figures.sankey(figure_case("sankey")[0])
    fig.layout.meta = None
    with pytest.raises(InputError, match="no alt text"):
        display.show_figure(fig)
    assert 'aria-label="Flows &amp; &lt;b&gt;"' in display.plotly_html(fig, "Flows & <b>")


def test_text_and_html_are_shown_as_they_are(shown: list[Any]) -> None:
    display.show_text("**AUC** 0.81")
    display.show_html("<p>x</p>")
    assert shown[0].data == "**AUC** 0.81"
    assert shown[1].data == "<p>x</p>"


def test_no_words_leave_no_output(shown: list[Any]) -> None:
    display.show_html("")
    display.show_text("")  # an empty Markdown output would be printed as the name of its class
    display.show_text("\n")
    assert shown == []


def test_a_page_of_the_book_has_alt_text_and_asks_nothing_of_the_network(
    tmp_path: Path, shown: list[Any], figure_case: Any
) -> None:
    """Sphinx with MyST-NB, warnings as errors, as the book is built."""
    table, options = figure_case("confusion")
    display.show_figure(figures.confusion(table, **options))
    display.show_table(table, "Counts", sortable=True)
    language = {"language_info": {"name": "python"}}
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Title")], metadata=language)
    for output in shown:
        cell = nbformat.v4.new_code_cell(
            "show()", outputs=[nbformat.v4.new_output("display_data", {"text/html": output.data})]
        )
        notebook.cells.append(cell)
    nbformat.write(notebook, tmp_path / "index.ipynb")
    settings = "extensions = ['myst_nb']\nhtml_theme = 'basic'\nnb_execution_mode = 'off'\n"
    (tmp_path / "conf.py").write_text(settings)
    command = [sys.executable, "-m", "sphinx", "-q", "-n", "-W", "-b", "html", str(tmp_path), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "out" / "index.html").read_text()
    images = [image for image in Tags(page).of("img") if "base64" in image["src"]]
    assert [image["alt"] for image in images] == [base_figures.alt_text("confusion", table)]
    assert "<caption>Counts</caption>" in page
    assert not re.search(r'<(script|img|link|iframe)[^>]*(src|href)="(https?:)?//', page)


TWO = pd.DataFrame({"risk": [0.1, 0.4, 0.35, 0.8], "label": [0, 0, 1, 1]})


@pytest.mark.parametrize(
    "draw",
    [
        lambda: PrecisionRecallDisplay.from_predictions(TWO["label"], TWO["risk"]),
        lambda: sns.displot(TWO, x="risk", hue="label"),
        lambda: sns.histplot(TWO, x="risk"),
        lambda: sns.jointplot(TWO, x="risk", y="label"),
        lambda: TWO.plot(subplots=True),
        lambda: TWO.hist(),
        lambda: plt.subplots(1, 2),
        lambda: plt.figure().subfigures(1, 2)[0].subplots(),
    ],
)
def test_a_figure_of_a_known_library_is_shown_once_with_the_words_given(shown: list[Any], draw: Any) -> None:
    drawn = draw()
    display.show_figure(drawn, alt="Risk of four patients", caption="Four patients.")
    (image,) = Tags(shown[0].data).of("img")
    assert image["alt"] == "Risk of four patients"
    assert not plt.get_fignums()  # Jupyter would show what pyplot still holds once more, without words
    with pytest.raises(InputError, match=r"no alt text.*book.show_figure\(fig, alt="):
        display.show_figure(draw())
    plt.close("all")


@pytest.mark.parametrize("drawn", [None, "figure.png", [], TWO, ["a", "b"]])
def test_what_is_no_figure_is_refused(drawn: Any) -> None:
    with pytest.raises(InputError, match="must be a matplotlib or seaborn figure, axes or grid, not"):
        display.show_figure(drawn, alt="words")
