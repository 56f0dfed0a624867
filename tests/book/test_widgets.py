"""The slice slider: every slice once, nothing fetched, labelled, moved by native controls."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from radsupport.book.widgets import GAP, LEVELS, OUTLINE, slider_html
from radsupport.errors import InputError

NODE = shutil.which("node")
SHAPE = (5, 12, 10)
TITLE, CAPTION = 'Heat "through" <slices>', "5 < 6 & more"


def table(subjects: tuple[str, ...] = ("A<1>", 'B"2"'), panels: tuple[str, ...] = ("SS", "NSS")) -> pd.DataFrame:
    """Each slice of each picture has a grey of its own; heat grows by column; the mask is a block of 4 x 4."""
    rows = []
    for p, subject in enumerate(subjects):
        for q, panel in enumerate(panels):
            grey = (np.arange(SHAPE[0]) + 5 * q + 10 * p + 1) / 25
            image = np.broadcast_to(grey[:, None, None], SHAPE)
            heat = np.broadcast_to(np.linspace(0, 1, SHAPE[2]), SHAPE)
            mask = np.zeros(SHAPE, bool)
            mask[:, 2 + p : 6 + p, 3:7] = True
            rows.append({"subject": subject, "panel": panel, "image": image, "heat": heat, "mask": mask})
    return pd.DataFrame(rows).assign(words=lambda t: "words of " + t["subject"])


class Page(HTMLParser):
    """Collects elements with their attributes, the elements around them, and all text."""

    VOID = ("img", "input")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.around: list[str] = []
        self.found: list[tuple[str, dict[str, str], tuple[str, ...]]] = []
        self.text: dict[str, str] = {}
        self.feed(html)
        assert not self.around, f"not closed: {self.around}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}, tuple(self.around)))
        if tag not in self.VOID:
            self.around.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.around.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text[self.around[-1]] = self.text.get(self.around[-1], "") + data

    def all(self, tag: str, **wanted: str) -> list[dict[str, str]]:
        return [a for name, a, _ in self.found if name == tag and wanted.items() <= a.items()]


@pytest.fixture(scope="module")
def html() -> str:
    return slider_html(table(), TITLE, CAPTION)


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


@pytest.fixture(scope="module")
def patients(page: Page) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(page.found[0][1]["data-slice-slider"])
    return found


def decoded(source: str) -> Image.Image:
    kind, data = source.split(";base64,")
    picture = Image.open(io.BytesIO(base64.b64decode(data, validate=True)))
    assert kind == f"data:image/{str(picture.format).lower()}"
    return picture


def test_every_slice_of_every_patient_is_there_once_and_in_order(patients: list[dict[str, Any]]) -> None:
    assert [patient["name"] for patient in patients] == ["A<1>", 'B"2"']
    assert [patient["words"] for patient in patients] == ["words of A<1>", 'words of B"2"']
    sources = [frame["layers"][0] for patient in patients for frame in patient["frames"]]
    assert len(sources) == len(set(sources)) == 2 * SHAPE[0]
    greys = []
    for source in sources:
        plane = np.asarray(decoded(source), dtype=float)
        assert plane.shape == (SHAPE[1], 2 * SHAPE[2] + GAP)
        greys.append([np.median(plane[:, : SHAPE[2] - 1]), np.median(plane[:, SHAPE[2] + GAP + 1 :])])
    expected = [[255 * (z + 10 * p + 1) / 25, 255 * (z + 10 * p + 6) / 25] for p in range(2) for z in range(SHAPE[0])]
    np.testing.assert_allclose(greys, expected, atol=4)  # JPEG, and 25 greys are 10 apart


def test_heat_is_transparent_where_there_is_none_and_never_hides_the_image(patients: list[dict[str, Any]]) -> None:
    rgba = np.asarray(decoded(patients[0]["frames"][0]["layers"][1]).convert("RGBA"), dtype=int)
    left, gap = rgba[:, : SHAPE[2]], rgba[:, SHAPE[2] : SHAPE[2] + GAP]
    levels = np.round((LEVELS - 1) * np.linspace(0, 1, SHAPE[2])) / (LEVELS - 1)
    np.testing.assert_array_equal(left[0, :, 3], np.round(200 * levels))
    assert (left[..., 3] == left[0, :, 3]).all()
    assert (gap[..., 3] == 0).all()
    assert left[0, -1, :3].tolist() == [212, 60, 0]


def test_the_outline_is_the_edge_of_the_mask(patients: list[dict[str, Any]]) -> None:
    rgba = np.asarray(decoded(patients[1]["frames"][2]["layers"][2]).convert("RGBA"), dtype=int)
    edge = np.zeros((SHAPE[1], 2 * SHAPE[2] + GAP), bool)
    for start in (3, 3 + SHAPE[2] + GAP):
        edge[3:7, start : start + 4] = True
        edge[4:6, start + 1 : start + 3] = False
    np.testing.assert_array_equal(rgba[..., 3], 255 * edge)
    assert (rgba[edge][:, :3] == OUTLINE).all()


def test_nothing_is_fetched(html: str, page: Page, patients: list[dict[str, Any]]) -> None:
    assert not re.search(r"https?:|//[a-z]|@import|url\(|fetch\(|XMLHttpRequest|\bimport\b", html)
    assert {"src", "href", "srcset", "action"} & {name for _, a, _ in page.found for name in a} == {"src"}
    assert {tag for tag, a, _ in page.found if "src" in a} == {"img"}
    shown = [a["src"] for a in page.all("img")] + [s for p in patients for f in p["frames"] for s in f["layers"]]
    assert all(source.startswith("data:image/") for source in shown)


def test_without_javascript_the_middle_slice_of_the_first_patient_is_shown(
    page: Page, patients: list[dict[str, Any]]
) -> None:
    pictures = page.all("img")
    assert [a["src"] for a in pictures] == patients[0]["frames"][2]["layers"]
    assert [a["alt"] for a in pictures] == ["A<1>, middle slice. words of A<1>", "", ""]
    assert page.all("input", type="range")[0]["value"] == "3"


def test_screen_readers_get_a_name_for_everything(page: Page) -> None:
    assert page.found[0][0] == "div"
    assert page.found[0][1]["role"] == "group"
    assert page.found[0][1]["aria-label"] == TITLE
    controls = [(tag, around) for tag, _, around in page.found if tag in ("select", "input")]
    assert [tag for tag, _ in controls] == ["select", "input", "input", "input"]
    assert all(around[-1] == "label" for _, around in controls)
    assert page.text["label"].split() == ["Patient", "Slice", "heat", "outline"]
    assert page.text["option"] == 'A<1>B"2"'
    assert page.text["strong"] == TITLE
    assert CAPTION in page.text["p"]
    assert page.all("output", **{"aria-live": "polite"})
    assert all("alt" in a for a in page.all("img"))


def test_the_keyboard_reaches_every_control(html: str, page: Page) -> None:
    (move,) = page.all("input", type="range")
    assert (move["min"], move["max"], move["step"]) == ("1", "5", "1")
    assert len(page.all("input", type="checkbox", checked="")) == 2
    # native controls bring their keys; nothing takes them out of the order, or off the screen reader
    taken = {"tabindex", "disabled", "onclick", "onmousemove", "aria-hidden", "hidden"}
    assert not taken & {name for _, a, _ in page.found for name in a}
    assert ":focus-visible{outline" in html
    assert not re.search(r"outline:\s*(none|0)", html)


def test_several_sliders_fit_on_one_page(page: Page) -> None:
    assert not [a["id"] for _, a, _ in page.found if "id" in a]


DOM = """
const job = JSON.parse(require("fs").readFileSync(0, "utf8"));
let listeners = 0;
const made = (fields) => Object.assign({heard: {}, style: {}, textContent: "",
  addEventListener(type, listener) { this.heard[type] = listener; listeners += 1; }}, fields);
const select = made({value: "0"}), range = made({value: job.start, max: "1"}), said = made({});
const images = [made({}), made({}), made({})], layers = [made({checked: true}), made({checked: true})];
const given = {"data-slice-slider": job.patients};
const box = {
  getAttribute: (name) => given[name], setAttribute: (name, value) => { given[name] = value; },
  querySelector: (s) => ({"select": select, "input[type=range]": range, "output": said})[s],
  querySelectorAll: (s) => ({"img": images, "input[type=checkbox]": layers})[s],
};
const isTaken = (s) => s.includes(":not([data-ready])") && given["data-ready"] !== undefined;
globalThis.document = {querySelectorAll: (s) => isTaken(s) ? [] : [box]};
new Function(job.script)();
new Function(job.script)();  // a second slider brings the script again
const states = [];
const keep = () => states.push({src: images.map((i) => i.src), alt: images[0].alt, said: said.textContent,
  shown: images.slice(1).map((i) => i.style.visibility), max: range.max});
keep();
range.value = "5"; range.heard.input(); keep();
select.value = "1"; select.heard.change(); keep();
layers[0].checked = false; layers[0].heard.change(); keep();
range.value = "1"; range.heard.input(); keep();
process.stdout.write(JSON.stringify({states, listeners}));
"""


@pytest.mark.skipif(NODE is None, reason="node is not installed")
def test_moving_the_slider_shows_and_says_the_slice(page: Page, patients: list[dict[str, Any]]) -> None:
    start = page.all("input", type="range")[0]["value"]
    job = {"script": page.text["script"], "patients": json.dumps(patients), "start": start}
    done = subprocess.run([str(NODE), "-e", DOM], input=json.dumps(job), capture_output=True, text=True, check=True)
    printed = json.loads(done.stdout)
    states = printed["states"]
    assert printed["listeners"] == 4  # not twice as many
    at = [(0, 2), (0, 4), (1, 4), (1, 4), (1, 0)]
    assert [state["src"] for state in states] == [patients[p]["frames"][z]["layers"] for p, z in at]
    names = ["A<1>", 'B"2"']
    assert [s["said"] for s in states] == [f"Slice {z + 1} of 5. words of {names[p]}" for p, z in at]
    assert [s["alt"] for s in states] == [f"{names[p]}, slice {z + 1}. words of {names[p]}" for p, z in at]
    assert {state["max"] for state in states} == {"5"}
    both, outline = ["visible", "visible"], ["hidden", "visible"]
    assert [state["shown"] for state in states] == [both, both, both, outline, outline]


def test_an_empty_list_is_refused_in_plain_words() -> None:
    with pytest.raises(InputError, match="A slider needs at least one patient"):
        slider_html(table().iloc[:0], TITLE)
    with pytest.raises(InputError, match="A slider needs at least one patient"):
        slider_html(pd.DataFrame(), TITLE)


def test_pictures_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(InputError, match="same panels and one shape"):
        slider_html(table().iloc[:3], TITLE)
    other = table()
    other["mask"] = [*other["mask"][:3], np.zeros((5, 12, 11), bool)]
    with pytest.raises(InputError, match=r"\(5, 12, 11\)"):
        slider_html(other, TITLE)


def test_single_planes_and_missing_columns_are_refused() -> None:
    flat = table()
    for name in ("image", "heat", "mask"):
        flat[name] = [array[0] for array in flat[name]]
    with pytest.raises(InputError, match="slices, rows, columns"):
        slider_html(flat, TITLE)
    with pytest.raises(InputError, match="heat, words"):
        slider_html(table().drop(columns=["heat", "words"]), TITLE)
