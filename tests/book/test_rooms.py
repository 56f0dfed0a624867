"""How the book is made: the picture of the rooms is the code's, and what the two pages name is there and works."""

from __future__ import annotations

import json
import re
from importlib import import_module
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest
import seaborn as sns
import yaml
from sklearn.ensemble import RandomForestClassifier

from radsupport.book import rooms, site
from radsupport.errors import InputError
from radsupport.learning import learners
from radsupport.plots.base import KINDS, description
from radsupport.settings.study import Study
from radsupport.wording import counted

ROOT = Path(__file__).resolve().parents[2]
MADE, PLACE = ((ROOT / "book" / f"{name}.md").read_text("utf-8") for name in ("how_it_is_made", "where_does_it_go"))
SVG = "{http://www.w3.org/2000/svg}"


def block(heading: str) -> str:
    part = PLACE.split(f"## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"```(?:python|yaml)\n(.*?)```", part, flags=re.S)[0]


def put(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A house of three floors: top imports middle and ground, middle imports ground."""
    put(tmp_path, "radsupport/top/__init__.py", "from radsupport.middle.part import x\nfrom radsupport import ground\n")
    put(tmp_path, "radsupport/middle/part.py", "import os\n\ndef f():\n    from radsupport.ground import y\n")
    put(tmp_path, "radsupport/ground.py", "from pandas import DataFrame\n")
    layers = '[[tool.importlinter.contracts]]\ntype = "layers"\nlayers = ["top", "middle | beside", "ground"]\n'
    put(tmp_path, "pyproject.toml", layers)
    return tmp_path


def test_arrows_are_the_imports_without_detours(small: Path) -> None:
    edges = rooms.imports(small / "radsupport")
    assert edges == {("top", "middle"), ("top", "ground"), ("middle", "ground")}
    assert rooms.without_detours(edges) == [("middle", "ground"), ("top", "middle")]
    assert rooms.floors(small / "pyproject.toml") == [["top"], ["middle", "beside"], ["ground"]]
    put(small, "pyproject.toml", "[tool.importlinter]\ncontracts = []\n")
    with pytest.raises(InputError, match="names the floors"):
        rooms.floors(small / "pyproject.toml")


def test_the_picture_has_every_room_and_leads_down(small: Path) -> None:
    rows, edges = rooms.floors(small / "pyproject.toml"), rooms.imports(small / "radsupport")
    drawn = ElementTree.fromstring(rooms.picture(rows, edges))
    assert [text.text for text in drawn.iter(f"{SVG}text")] == ["top", "middle", "beside", "ground"]
    assert drawn.get("aria-label") == (
        "4 rooms on 3 floors; every arrow leads down. top imports middle; middle imports ground."
    )
    width = float(drawn.get("viewBox").split()[2])
    for box in drawn.iter(f"{SVG}rect"):
        assert 0 <= float(box.get("x")) <= float(box.get("x")) + float(box.get("width")) <= width
    ways = [path.get("d") for path in drawn.findall(f"{SVG}path")]
    ends = [[float(number) for number in re.findall(r"[\d.]+", way)] for way in ways]
    assert len(ends) == 2
    assert all(end[-1] > end[1] for end in ends)


def test_the_picture_of_the_book_is_the_package_s(tmp_path: Path) -> None:
    text = rooms.write(tmp_path, ROOT / "radsupport", ROOT / "pyproject.toml").read_text("utf-8")
    rows, edges = rooms.floors(ROOT / "pyproject.toml"), rooms.imports(ROOT / "radsupport")
    floor = {room: i for i, row in enumerate(rows) for room in row}
    assert {room for edge in edges for room in edge} <= set(floor)
    assert all(floor[room] < floor[other] for room, other in edges)
    assert all(f">{room}</text>" in text for room in floor)


def test_every_path_function_chapter_and_table_that_the_pages_name_is_there() -> None:
    named = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", MADE + PLACE, flags=re.S))
    written = "\n".join(path.read_text("utf-8") for path in (ROOT / "notebooks").glob("*.ipynb"))
    found = 0
    for name in named:
        if re.fullmatch(r"(radsupport|tests|studies|book)/[\w/.]+", name) or name in ("CONTRIBUTING.md", "Snakefile"):
            assert (ROOT / name).exists(), name
        elif name.endswith(".parquet"):
            assert f'"{name.removesuffix(".parquet")}\\"' in written.replace('\\"', '"\\"') or name[:-8] in written, (
                name
            )
        elif re.fullmatch(r"\d\d_\w+(\.json)?", name):
            assert (ROOT / "notebooks" / f"{name.removesuffix('.json')}.ipynb").is_file(), name
        elif re.fullmatch(r"(\w+)\.(\w+)", name) and not name.endswith((".csv", ".md")):
            room, function = name.split(".")
            assert hasattr(import_module(f"radsupport.{room}"), function), name
            if room != "book":
                assert f"{name}(" in written, name
        else:
            continue
        found += 1
    assert found > 25


def test_each_chapter_calls_what_the_page_says_of_it() -> None:
    for step in re.split(r"\n\d\. ", MADE.split("## The way of a patient")[1])[2:]:
        chapters = re.findall(r"`(\d\d_\w+)`", step)
        text = "\n".join((ROOT / "notebooks" / f"{name}.ipynb").read_text("utf-8") for name in chapters)
        for name in re.findall(r"`((?:data|imaging|radiomics|networks|learning|evaluate|nomogram|stats)\.\w+)`", step):
            if name != "stats.cox":  # called by evaluate.regression, and by the page that changes the analysis
                assert f"{name}(" in text, (name, chapters)


def test_the_worked_learner_is_one() -> None:
    space = vars(learners) | {"RandomForestClassifier": RandomForestClassifier, "seed": 1}
    (entry,) = eval("{" + block("A learner") + "}", space).items()
    found = learners.own_learners({entry[0]: (entry[1].estimator, entry[1].grid)})
    assert found["Woods"].estimator.random_state == 1
    assert len(block("A learner").splitlines()) <= 5
    assert callable(learners._binary)
    assert callable(learners._survival)


def test_the_worked_figure_is_one() -> None:
    space = vars(import_module("radsupport.plots.prediction")) | {"sns": sns}
    exec(block("A figure"), space)
    ax = space["risk_strip"](pd.DataFrame({"cohort": ["a", "a", "b"], "risk": [0.1, 0.2, 0.3]}))
    assert description(ax) == "Risks of 3 patients by cohort."
    with pytest.raises(InputError, match="column is missing"):
        space["risk_strip"](pd.DataFrame({"cohort": ["a"]}))
    KINDS.pop("risk_strip")  # no figure of the book
    assert len(block("A figure").splitlines()) <= 5


def test_the_worked_study_and_sentence_are_some() -> None:
    values = yaml.safe_load((ROOT / "studies" / "sts.yaml").read_text("utf-8"))
    own = yaml.safe_load(block("A study"))
    data = values["data"] | own["data"]
    study = Study.model_validate({key: values[key] for key in values if key != "profiles"} | own | {"data": data})
    assert (study.id, study.data.manifest) == ("mine", "my_manifest.csv")
    space = vars(import_module("radsupport.book.conclusions.validation")) | {"pd": pd, "counted": counted}
    exec(block("A sentence"), space)
    assert (
        space["size"](pd.DataFrame({"signature": ["A", "B"], "n": [9, 12]})) == "2 signatures on 12 patients at most."
    )


def test_the_pages_are_in_the_book_and_named_where_readers_start() -> None:
    assert {"how_it_is_made", "where_does_it_go"} <= set(site.PAGES)
    for name in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / name).read_text("utf-8")
        assert "book/how_it_is_made.md" in text
        assert "book/where_does_it_go.md" in text
    assert json.dumps(site._contents(ROOT / "book", [], {})).count("how_it_is_made") == 1
