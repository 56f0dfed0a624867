"""A study's archive holds what its pages show; a page lists its figures; the script takes single files out again."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from radsupport import plots
from radsupport.book import shared, show, takeaway, text
from radsupport.book.tables import table_html

POINTS = pd.DataFrame(
    {"group": ["a", "b"] * 3, "value": [1.25, 2, 3, 4, 5, 1e-9], "cohort": ["<b>x</b>"] * 3 + ["y"] * 3}
)


@pytest.fixture
def shown(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Path]:
    """A page with a figure of two pictures (twice, as a key figure is) and a table, and where its figures lie."""
    html: list[str] = []
    monkeypatch.setattr(show, "display", lambda found: html.append(found.data))
    show.save_figures_to(tmp_path / "figures", "06_validation")
    show.show_figure(plots.strips(POINTS, facet="cohort"), caption="Points of <b>x</b> & y " * 9)
    show.save_figures_to(None)
    html.append(table_html(POINTS, "All points"))
    outputs = [new_output("display_data", {"text/html": one}) for one in (html[0], *html)]
    page = new_notebook(cells=[new_markdown_cell("# T"), new_code_cell("f()", outputs=outputs)])
    return shared.share(page, shared.begin(tmp_path / "_static")), tmp_path


def test_figures_are_saved_with_the_table_behind_them(tmp_path: Path) -> None:
    text.forget(tmp_path)  # a page of an own study, made by another test, withholds tables of patients
    folder = tmp_path / "figures"
    folder.mkdir()
    for name in ("06_validation_07_gone.svg", "07_survival_01_stays.svg"):
        (folder / name).write_text("", encoding="utf-8")
    show.save_figures_to(folder, "06_validation")
    image = [[0.1, 0.9], [0.4, 0.6]]
    slices = pd.DataFrame({"subject": ["p1", "p2"], "image": [image] * 2, "mask": [image] * 2, "area": [1.5, 2.5]})
    show.show_figure(plots.contact_sheet(slices))
    show.show_figure(plots.strips(pd.concat([POINTS] * 4000)))
    show.save_figures_to(None)
    names = sorted(path.name for path in folder.iterdir())
    assert names[0] == "06_validation_01_figure.csv"  # and none of 24 000 rows, nor what an earlier run left
    assert [name.rpartition(".")[2] for name in names] == ["csv", "svg", "svg", "svg"]
    assert (folder / names[0]).read_text(encoding="utf-8") == "subject,area\np1,1.5\np2,2.5\n"


def test_a_page_lists_its_figures_and_gives_them_to_the_archive(shown: tuple[Any, Path]) -> None:
    page, folder = shown
    found = takeaway.offer(page, "mine", "06_validation", folder / "figures", folder / "_static" / "made")
    assert list(found) == [
        "figures/06_validation_01_b_x_b.svg", "figures/06_validation_02_y.svg", "figures/06_validation_01_b_x_b.csv",
        "tables/06_validation_01_all_points.csv",
    ]  # fmt: skip
    pd.testing.assert_frame_equal(pd.read_csv(found["figures/06_validation_01_b_x_b.csv"]), POINTS)
    pd.testing.assert_frame_equal(pd.read_csv(found["tables/06_validation_01_all_points.csv"]), POINTS)
    last = page.cells[-1].source
    assert "Take along: 1 figure of this page" in last
    assert last.count("<li>") == 1
    assert re.findall(r">([^<]+)</a>", last) == ["SVG 1", "SVG 2", "CSV", "All of mine"]
    assert "<b>" not in last
    assert "Points of &lt;b&gt;x&lt;/b&gt; &amp; y" in last
    bare = new_notebook(cells=[new_markdown_cell("# T")])
    assert takeaway.offer(bare, "mine", "01_cohort", folder, folder) == {}
    assert len(bare.cells) == 1


def test_the_archive_is_the_same_every_time(shown: tuple[Any, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    page, folder = shown
    made = folder / "_static" / "made"
    found = takeaway.offer(page, "mine", "06_validation", folder / "figures", made)
    monkeypatch.chdir(folder)
    (folder / "results" / "mine").mkdir(parents=True)
    (folder / "results" / "mine" / "06_validation.json").write_text("{}", encoding="utf-8")
    shared.keep_code(page, made / "mine" / "06_validation.ipynb")
    first = takeaway.pack("mine", found, made, None).read_bytes()
    assert takeaway.pack("mine", found, made, None).read_bytes() == first
    with zipfile.ZipFile(made / "mine.zip") as archive:
        assert set(archive.namelist()) == {*found, "notebooks/06_validation.ipynb", "results/06_validation.json"}
        assert archive.testzip() is None
    (line,) = [line for line in takeaway.links("mine", made) if "<a" in line]
    assert 'href="../../_static/made/mine.zip"' in line
    assert takeaway.links("nobody", made) == []


PROGRAM = """
const fs = require("fs"), job = JSON.parse(fs.readFileSync(0)), clicks = [];
globalThis.location = { protocol: job.protocol, href: "page" };
globalThis.fetch = async () => new Response(fs.readFileSync(job.archive));
let made = null;
URL.createObjectURL = (blob) => { made = blob; return "blob:1"; };
URL.revokeObjectURL = () => {};
globalThis.setTimeout = () => {};
globalThis.document = {
  addEventListener: (kind, act) => clicks.push(act),
  createElement: () => ({
    async click() { console.log(JSON.stringify([this.download, made.type, await made.text()])); } }),
};
eval(job.script);
const link = { href: "made/mine.zip", dataset: { take: job.take } };
clicks[0]({ target: { closest: () => link }, preventDefault: () => console.error("prevented") });
"""


def _clicked(job: dict[str, str]) -> str:
    """Return what the script offers to save, or says, when a link is followed."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    done = subprocess.run([node, "-e", PROGRAM], input=json.dumps(job), capture_output=True, text=True, check=True)
    return done.stdout or done.stderr


def test_the_script_takes_single_files_out(
    shown: tuple[Any, Path], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, folder = shown
    made = folder / "_static" / "made"
    found = takeaway.offer(page, "mine", "06_validation", folder / "figures", made)
    monkeypatch.chdir(folder)
    script = (root / "book" / "_static" / "take.js").read_text(encoding="utf-8")
    job = {"archive": str(takeaway.pack("mine", found, made, None)), "script": script, "protocol": "https:"}
    for name in list(found)[1:3]:
        kind = {"svg": "image/svg+xml", "csv": "text/csv"}[name.rpartition(".")[2]]
        taken = json.loads(_clicked({**job, "take": name}))
        assert taken == [Path(name).name, kind, found[name].read_text(encoding="utf-8")]
    assert _clicked({**job, "take": name, "protocol": "file:"}) == ""  # the link gives the archive
