"""Staging: titles and labels of their own, contents, and what the landing page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from radsupport import tables as contracts
from radsupport.book import site as overview
from radsupport.book.staging import prepare
from radsupport.study import load_study


def executed() -> Any:
    stderr = new_output("stream", name="stderr", text="a warning")
    cells = [
        new_markdown_cell("# Validation\n\nText."),
        new_code_cell("study = 'a'", metadata={"tags": ["parameters"]}),
        new_code_cell("study = 'b'", metadata={"tags": ["injected-parameters"]}),
        new_code_cell("show()", outputs=[stderr], metadata={"papermill": {"duration": 1}}),
        new_code_cell("chapter.publish('n', 1)\nchapter.finish()"),
    ]
    return new_notebook(cells=cells, metadata={"papermill": {}})


def test_two_studies_never_share_a_label_or_title() -> None:
    first, second = (prepare(executed(), "06_validation", study, study) for study in ("song2021", "sts"))
    assert first.cells[0].source.startswith("(song2021-06_validation)=\n# Validation — song2021\n")
    assert first.cells[0].source != second.cells[0].source


def test_machinery_does_not_reach_the_reader() -> None:
    staged = prepare(executed(), "06_validation", "sts", "sts")
    tags = [cell.metadata["tags"] for cell in staged.cells if cell.cell_type == "code"]
    assert tags == [["on-demand"], ["remove-cell"], ["on-demand"], ["remove-cell"]]
    assert [len(cell.get("outputs", [])) for cell in staged.cells] == [0, 0, 0, 1, 0]
    assert "papermill" not in staged.metadata
    nbformat.validate(staged)


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ({"value": 0.8, "n": 56, "ci_low": 0.634, "ci_high": 0.966}, "0.80 (0.63 to 0.97), n = 56"),
        ({"value": 0.5, "n": None, "ci_low": None, "ci_high": None}, "0.50"),
        ({"value": None, "n": 3, "ci_low": None, "ci_high": None}, "–"),
        (None, "–"),
    ],
)
def test_an_estimate_is_shown_with_its_interval_and_n(entry: dict[str, Any] | None, text: str) -> None:
    assert overview.estimate({"auc": entry} if entry else {}, "auc") == text


def test_landing_page_calls_data_by_their_kind_and_names_what_is_left_out(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    folder = tmp_path / "song2021"
    numbers = {"headline_train": {"value": 0.71, "n": 56, "ci_low": 0.5, "ci_high": 0.9}}
    contracts.write_chapter_json(folder, "06_validation", numbers)
    monkeypatch.setattr(overview, "numbers_of", lambda study: _numbers(tmp_path, study))
    drawn = [f'<figure><img alt="" src="../../_static/made/{name}.png"></figure>' for name in ("flow", "roc")]
    own = '<img alt="Hospital I, apparent (n = 56). ROC" src="../../_static/made/apparent.png">'
    drawn[1] = drawn[1].replace("<figure>", f"<figure>{own}")  # patients of the fit do not stand for a study
    figures = {"song2021": {"01_cohort": drawn[:1], "06_validation": drawn[1:]}}
    page = overview.landing_page(["song2021", "sts"], {"lung1": "its files are not here"}, True, figures)
    cards = re.findall(r"<li class=\"rs-(\w+)-card\">(.*?)</li>", page)
    assert [kind for kind, _ in cards] == ["synthetic", "real"]
    assert "<span>Cross-validated: 0.71 (0.50 to 0.90), n = 56, one division</span>" in cards[0][1]
    assert '<a href="studies/song2021/index.html"><img src="_static/made/roc.png"' in cards[0][1]
    assert "<img" not in cards[1][1]
    assert "- **lung1**: its files are not here" in page
    assert page.count("<tr><th") == 2  # the head, and the one value that has an interval
    assert 'd="M28.6 5H85.7"' in page  # 0.5 to 0.9 on an axis from 0.3 to 1
    assert 'href="studies/song2021/index.html">song2021</a> synthetic</th><td>cross-validated</td>' in page


def _numbers(results: Path, study: str) -> dict[str, Any]:
    return contracts.read_chapter_json(results / study, "06_validation")["numbers"] if study == "song2021" else {}


def test_a_study_page_has_a_row_per_signature_and_a_line_per_chapter(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    entry = {"value": 0.7, "n": 56, "ci_low": 0.5, "ci_high": 0.9}
    numbers = {"auc_train_DLR-A": entry, "auc_train_CT findings": entry, "auc_external_DLR-A": entry}
    monkeypatch.setattr(overview, "numbers_of", lambda study: numbers)
    said = "- better than chance\n- **Not to be trusted** elsewhere."
    for key, value in {
        "in_short_06_validation": said,
        "found_06_validation": said,
        "found_07_survival": said,
        "headline_train_cohort": "train",
    }.items():
        numbers[key] = {"value": value}
    numbers |= {"headline_train": entry, "headline_train_signature": {"value": "DLR-A (AUC)"}}
    figures = {"06_validation": ["<figure>roc</figure>"], "05_modelling": ["<figure>not here</figure>"]}
    page = overview.study_page("song2021", figures, ['<a href="x.html">METRICS</a> 60%', "CLEAR 4 of 5"])
    assert '<p class="rs-lists"><a href="x.html">METRICS</a> 60% · CLEAR 4 of 5</p>' in page
    assert f"````{{dropdown}} Validation in short\n{said}\n````" in page
    assert page.count("**Caution.** **Not to be trusted** elsewhere. The patients are synthetic") == 1
    assert page.count("<figure>") == 1
    order = ["\n1. In 56 training patients", "**Caution.**", "| DLR-A |", "<figure>roc", "Validation in short"]
    assert sorted(order, key=page.index) == order
    assert "| DLR-A | 0.70 (0.50 to 0.90), n = 56, one division | 0.70 (0.50 to 0.90), n = 56 |" in page
    assert "| CT findings | 0.70 (0.50 to 0.90), n = 56, one division | – |" in page
    assert all(f"{{ref}}`song2021-{name}`" in page for name in overview.CHAPTER_WORDS)
    assert "- Deep features: not used, " in overview.study_page("sts", {})  # and no page that a link could lead to
    assert str(load_study("song2021").cautions[0]) in page
