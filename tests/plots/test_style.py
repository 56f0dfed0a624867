"""The look: saved files are vector, repeatable, and colours stay apart for the colour-blind."""

from __future__ import annotations

import io
from itertools import combinations
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from radsupport.errors import InputError
from radsupport.plots import models as figures
from radsupport.plots import style


def test_save_writes_repeatable_vector_files(tmp_path: Path, figure_case: Any) -> None:
    table, options = figure_case("forest")
    contents = []
    for run in ("a", "b"):
        fig = figures.forest(table, title="Forest", **options).get_figure()
        paths = style.save(fig, tmp_path / run / "deep" / "forest.v1.png")  # type: ignore[arg-type]
        assert [path.name for path in paths] == ["forest.v1.svg", "forest.v1.pdf"]
        contents.append([path.read_bytes() for path in paths])
    assert contents[0] == contents[1]
    svg, pdf = contents[0]
    assert b"<path" in svg
    assert b"<image" not in svg
    assert b"<text" not in svg  # letters are outlines, whatever fonts the reader has
    assert pdf.startswith(b"%PDF")


def rgb(png: bytes) -> Any:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), int)


@pytest.mark.parametrize(("most", "off"), [(256, 0), (40, 4)])
def test_a_palette_loses_nothing_of_few_colours_and_little_of_many(most: int, off: float) -> None:
    pixels = np.full((90, 200, 4), 255, np.uint8)
    pixels[:20, :, :3] = np.arange(200)[:, None] * [1, 1, 0] + [0, 9, 40]
    pixels[80, 3] = 0, 9, 40, 255
    found = style._packed(pixels, most)
    assert Image.open(io.BytesIO(found)).mode == "P"
    assert np.abs(rgb(found) - pixels[..., :3]).max() <= off
    assert len(found) < 1500


@pytest.mark.parametrize("layout", ["constrained", None])
def test_a_figure_drawn_once_for_all_formats_has_the_pixels_of_savefig(layout: str | None) -> None:
    def figure() -> Figure:
        fig = Figure(figsize=(3, 2), layout=layout)  # type: ignore[arg-type]
        ax = fig.subplots()
        ax.plot([0, 1], [0, 1], label="a line")
        ax.legend(**style.BESIDE)
        ax.set(title="A title that is longer than the axes are wide", xlabel="x")
        return fig

    one, two, other = figure(), figure(), io.BytesIO()
    before = (one.dpi, one.get_layout_engine())
    files = style.drawn(one, "png", "svg", "jpeg")
    assert style.drawn(one, "svg", "png")["png"] == files["png"]  # as before, whatever was drawn in between
    with style.context():
        two.savefig(other, format="png", dpi=160)
    ours, theirs = (rgb(png) for png in (files["png"], other.getvalue()))
    assert np.abs(ours - theirs).mean() < 0.1
    np.testing.assert_array_equal(ours[(theirs == 255).all(axis=2)], 255)
    assert (one.dpi, one.get_layout_engine()) == before
    assert files["jpeg"].startswith(b"\xff\xd8")
    assert b"<svg" in files["svg"]


def test_save_refuses_what_is_no_figure(tmp_path: Path) -> None:
    for wrong in (Figure(), "figure"):
        with pytest.raises(InputError, match="at least one axes"):
            style.save(wrong, tmp_path / "x")  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_settings_outside_the_context_are_left_alone() -> None:
    before = dict(mpl.rcParams)
    with style.context():
        assert mpl.rcParams["axes.spines.top"] is False
    assert dict(mpl.rcParams) == before
    with mpl.rc_context():
        style.apply()
        assert mpl.rcParams["axes.spines.top"] is False


# Full protanopia and deuteranopia as matrices on linear RGB (Viénot, Brettel & Mollon 1999).
_VISION = {
    "normal": np.eye(3),
    "protanopia": np.array([[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]]),
    "deuteranopia": np.array([[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]]),
}


def _lab(colour: str, vision: str) -> np.ndarray[Any, Any]:
    c = np.array(to_rgb(colour))
    linear = _VISION[vision] @ np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(np.clip(to_xyz @ linear / np.array([0.9505, 1.0, 1.089]), 1e-6, None))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("vision", list(_VISION))
def test_first_colours_stay_apart_under_colour_vision_deficiency(vision: str) -> None:
    """Distance in CIELAB of at least 15 (about 2 is just noticeable); lines differ in dash as well."""
    for one, other in combinations(style.PALETTE, 2):
        assert np.linalg.norm(_lab(one, vision) - _lab(other, vision)) > 15, (one, other)
    looks = {(style.colour(i), str(style.dash(i)), style.marker(i)) for i in range(7)}
    assert len({dash for _, dash, _ in looks}) >= 6


def test_new_figure_stays_out_of_pyplot() -> None:
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    fig, axes = style.new_figure(2, 2)
    assert len(axes) == 4
    assert plt.get_fignums() == before  # the notebook would show it twice
    assert tuple(fig.get_size_inches()) == (12.0, 8.4)


def test_a_text_laid_out_once_is_laid_out_as_matplotlib_does() -> None:
    fig, (ax,) = style.new_figure()
    options: dict[str, list[Any]] = {
        "text": ["AUC", "two\nlines", "$x$"], "rotation": [0, 40], "ha": ["left", "right"], "va": ["top", "baseline"],
        "rotation_mode": ["default", "anchor"], "fontsize": [8, 11], "fontweight": ["normal", "bold"],
        "parse_math": [True, False], "linespacing": [1.2, 2.0], "multialignment": ["left", "center"],
    }  # fmt: skip
    plain = {name: values[0] for name, values in options.items()} | {"text": "two\nlines $x$"}
    every = [plain | {name: value} for name, values in options.items() for value in values]
    texts = [ax.text(0, 0, one.pop("text"), **one) for one in every]
    with style.context():
        for dpi in (80, 160, 80):
            fig.dpi = dpi
            renderer = fig.canvas.get_renderer()  # type: ignore[attr-defined]
            for one in texts:
                kept, plainly = style._laid_out_once(one, renderer), style._lay_out(one, renderer)
                assert kept[0].bounds == plainly[0].bounds
                assert kept[1:] == plainly[1:]
