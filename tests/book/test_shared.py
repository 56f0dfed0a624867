"""What pages share becomes files of its own, once, and nothing that was inside is lost or altered beyond sight."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from radsupport.book import shared
from radsupport.book.show import plotly_html, plotly_library
from radsupport.book.tables import filterable_table, table_html

TABLE = pd.DataFrame({"cohort": ["a", 'b,\n"c"', "<b>é", "d"], "auc": [1 / 3, 0.5, np.nan, 1.0]})


def png() -> str:
    """Return a picture of 60 rows and 90 columns."""
    buffer = io.BytesIO()
    Image.fromarray(np.arange(5400, dtype=np.uint8).reshape(60, 90)).save(buffer, "png")
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def staged(folder: Path, *htmls: str) -> list[str]:
    cells = [new_code_cell("show()", outputs=[new_output("display_data", {"text/html": html})]) for html in htmls]
    notebook = shared.share(new_notebook(cells=[new_markdown_cell("# T"), *cells]), folder)
    return [cell.outputs[0].data["text/html"] for cell in notebook.cells[1:]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shared.begin(tmp_path)


def file_of(html: str, folder: Path) -> Path:
    (address,) = re.findall(r'(?:src|href)="\.\./\.\./_static/made/([^"]+)"', html)
    return folder / address


def test_a_picture_becomes_one_file_that_looks_the_same(folder: Path) -> None:
    image = f'<figure><img alt="ROC" src="data:image/png;base64,{png()}" style="width:9px"></figure>'
    first, second = staged(folder, image, image)
    assert first == second
    assert 'width="90" height="60" loading="lazy"' in first
    with Image.open(file_of(first, folder)) as shown, Image.open(io.BytesIO(base64.b64decode(png()))) as drawn:
        assert shown.format == "WEBP"
        np.testing.assert_array_equal(shown.convert("RGBA"), drawn.convert("RGBA"))
    assert sum(path.suffix == ".webp" for path in folder.iterdir()) == 1


def test_a_table_to_take_along_holds_every_row_and_digit(folder: Path) -> None:
    html = table_html(TABLE, "AUC & more", sortable=True)
    (page,) = staged(folder, html)
    assert 'download="auc_more.csv"' in page
    found = pd.read_csv(file_of(page, folder))
    pd.testing.assert_frame_equal(found, TABLE, rtol=1e-9, atol=0)
    assert "<script" not in page
    assert "<style" not in page
    assert "<b>" not in page
    assert re.sub(r"<(style|script)>.*?</\1>|href=\"[^\"]*\"", "", html, flags=re.S) == re.sub(
        r'href="[^"]*"', "", page
    )


def test_styles_and_scripts_are_those_of_the_site(folder: Path) -> None:
    (page,) = staged(folder, filterable_table(TABLE, "c", ["cohort"], wide="cohort"))
    assert page.count("<style>.rad-wide-1") == 1  # what only this table says of itself
    assert "<script>" not in page
    script = (folder / "page.js").read_text(encoding="utf-8")
    assert "data-filterable" in script
    assert "data-sortable" in script
    assert ".rad-filter" in (folder / "page.css").read_text(encoding="utf-8")


def test_plotly_is_one_file_for_all_figures(folder: Path) -> None:
    figure = go.Figure(go.Scatter(x=[0, 1], y=[1, 0]))
    pages = staged(folder, *[plotly_html(figure, "Flow", "A caption")] * 2)
    assert all(len(page) < 20_000 and "data-plotly=" in page for page in pages)
    assert all(page.count("data-plotly-library") == 1 for page in pages)
    assert plotly_library() in file_of(pages[0], folder).read_text(encoding="utf-8")


def test_other_outputs_stay_as_they_are(folder: Path) -> None:
    html = "<p>data:image/png;base64,AAAA</p><style>p{}</style><script>f()</script>"
    assert staged(folder, html) == [html]
    assert staged(folder, "") == [""]


def test_a_new_build_forgets_the_pictures_of_the_last(folder: Path) -> None:
    staged(folder, f'<img alt="x" src="data:image/png;base64,{png()}">')
    shared.begin(folder.parent)
    assert sorted(path.name for path in folder.iterdir() if path.is_file()) == ["page.css", "page.js"]


def test_a_picture_comes_back_as_it_was_packed_unless_it_changed_or_was_damaged(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = '<img alt="x" src="data:image/png;base64,{}">'
    buffer = io.BytesIO()
    Image.new("L", (90, 60), 7).save(buffer, "png")
    other = base64.b64encode(buffer.getvalue()).decode("ascii")
    first, packed = staged(folder, image.format(png()))[0], png()
    cold = file_of(first, folder).read_bytes()
    saved, save = [], Image.Image.save
    monkeypatch.setattr(Image.Image, "save", lambda *given, **how: saved.append(1) or save(*given, **how))
    for content, wanted in ((packed, 0), (other, 1), (packed, 1)):
        shared.begin(folder.parent)
        path = file_of(staged(folder, image.format(content))[0], folder)
        assert len(saved) == wanted
        with Image.open(path) as found, Image.open(io.BytesIO(base64.b64decode(content))) as drawn:
            np.testing.assert_array_equal(found.convert("RGBA"), drawn.convert("RGBA"))
    assert path.read_bytes() == cold
    path.write_bytes(cold[:20])  # damaged on the disk
    shared.begin(folder.parent)
    assert file_of(staged(folder, image.format(packed))[0], folder).read_bytes() == cold
    monkeypatch.setattr(shared, "_WEBP", shared._WEBP | {"method": 0})  # packed otherwise: another file
    shared.begin(folder.parent)
    assert file_of(staged(folder, image.format(packed))[0], folder).name != path.name


def test_the_notebook_to_take_along_has_code_and_parameters_but_no_output(tmp_path: Path) -> None:
    cells: list[Any] = [
        new_markdown_cell("# T"),
        new_code_cell("study = 'sts'", metadata={"papermill": {"duration": 1}}),
    ]
    cells[1].outputs, cells[1].execution_count = [new_output("stream", text="x")], 3
    notebook = new_notebook(cells=cells, metadata={"papermill": {}})
    shared.keep_code(notebook, tmp_path / "sts" / "01_cohort.ipynb")
    kept = (tmp_path / "sts" / "01_cohort.ipynb").read_text(encoding="utf-8")
    assert "study = 'sts'" in kept
    assert "papermill" not in kept
    assert '"outputs": []' in kept
    assert notebook.cells[1].outputs


def test_the_landing_page_loads_thumbnails(tmp_path: Path) -> None:
    folder = shared.begin(tmp_path / "_static")
    Image.new("RGB", (1200, 600), "white").save(folder / "roc.webp")
    page = shared.with_thumbnails(
        '<img src="_static/made/roc.webp" alt=""> <img src="other.png">', tmp_path / "_static"
    )
    assert page == '<img src="_static/made/roc_small.webp" alt=""> <img src="other.png">'
    with Image.open(folder / "roc_small.webp") as small:
        assert small.size == (480, 240)
