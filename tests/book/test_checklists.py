"""Pages of reporting checklists, their tables to take along, the METRICS score, and the two cards."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest

from radsupport.book import cards
from radsupport.book import checklists as lists
from radsupport.book.evidence import ASKED, NONE, NOT, REPORTED, Answer, Run, Section, answer
from radsupport.settings.author import Author
from radsupport.study import load_study

METRICS = lists.checklists()["metrics"]


def test_the_score_is_that_of_the_official_formula() -> None:
    """By hand: weights of the items answered yes over those that apply, in percent."""
    ids = [item.id for item in METRICS.items]
    assert sum(item.weight for item in METRICS.items) == pytest.approx(1.0, abs=5e-4)
    # all data, no network: 9 and 17 do not apply; 2 and 27 answered no: (1 - .0225 - .02 - .0735 - .0749) / .9575
    found = dict.fromkeys(ids, Answer(REPORTED, ""))
    found |= {"9": Answer(NONE, ""), "17": Answer(NONE, ""), "2": Answer(NOT, ""), "27": Answer(ASKED, "")}
    total = sum(item.weight for item in METRICS.items)
    value, level, parts = lists.metrics_score(METRICS.items, found)
    assert value == pytest.approx(100 * (total - 0.0225 - 0.02 - 0.0735 - 0.0749) / (total - 0.0425))
    assert (round(value, 1), level) == (84.5, "excellent")
    assert parts["Testing"] == (pytest.approx(0.0375), pytest.approx(0.0375 + 0.0749))
    # three items of the first section alone: 0.0368 + 0.0735 + 0.0919 of all
    found = dict.fromkeys(ids, Answer(NOT, "")) | dict.fromkeys("123", Answer(REPORTED, ""))
    value, level, _ = lists.metrics_score(METRICS.items, found)
    assert (value, level) == (pytest.approx(100 * 0.2022 / total), "low")
    assert lists.metrics_score(METRICS.items, dict.fromkeys(ids, Answer(NONE, "")))[:2] == (0.0, "very low")


def staged(root: Path, tmp_path: Path, study: str, **author: str) -> tuple[list[str], Path]:
    """Write the pages of a study of which two sections and a few numbers are there."""
    place = tmp_path / "results" / study / "06_validation.json"
    place.parent.mkdir(parents=True)
    numbers = {"n_subjects": {"value": 74}, "n_events": {"value": 19}, "headline_train": {"value": 0.8}}
    place.write_text(json.dumps({"numbers": numbers, "versions": {"numpy": "2"}}), encoding="utf-8")
    head = "".join(f"<th>{name}</th>" for name in ("Cohort", "Signature", "Part", "Value", "P against 0.5"))
    body = "<tr><td>Hospital I</td><td>{}</td><td>large</td><td>{}</td><td>0.02</td></tr>"
    rows = f"<tr>{head}</tr>" + body.format("DLR-A", 0.7) + body.format("CT findings", 0.6)
    caption = "Discrimination in subgroups"
    shown = [
        Section("01_cohort", "Size and events", ["Cohorts of study x"], ["<table></table>"]),
        Section("06_validation", "Subgroups", [caption], [f"<table><caption>{caption}</caption>{rows}</table>"]),
    ]
    sections = {one.chapter: {one.heading: one} for one in shown}
    loaded = load_study(study, folder=root / "studies", overrides={"author": author} if author else None)
    lines, taken = lists.stage(loaded, sections, tmp_path / "pages", tmp_path / "files", tmp_path)
    assert all(path.is_file() for path in taken.values())
    assert {path.name for path in (tmp_path / "pages").iterdir()} == set(lists.PAGES)
    return lines, tmp_path


def test_a_study_has_a_page_and_a_table_of_each_list(root: Path, tmp_path: Path) -> None:
    lines, folder = staged(root, tmp_path, "song2021", ethics="Board | <7>")
    assert re.fullmatch(r'<a href="checklist_tripod_ai.html">TRIPOD\+AI</a> \d+ of \d+', lines[0])
    assert lines[2].endswith("(very low)")
    page = (folder / "pages/checklist_tripod_ai.md").read_text(encoding="utf-8")
    assert page.startswith("---\norphan: true\nnosearch: true\n---\n")
    assert "Nobody here is real" in page
    assert page.count('<th scope="row">') == 52
    assert "The author: Board | &lt;7&gt;" in page
    assert '<a href="01_cohort.html#size-and-events">01 Size and events</a>' in page
    assert "doi:10.1136/bmj" in page
    plain = (folder / "files/song2021/checklist_tripod_ai.csv").read_text(encoding="utf-8")
    rows = {row["item"]: row for row in csv.DictReader(io.StringIO(plain))}
    assert rows["17"]["answer"] == "reported"
    assert rows["18a"]["answer"] == "needs the author" or load_study("song2021", folder=root / "studies").author.funding
    assert rows["21"]["words"].startswith("74 patients, 19 with the event")
    assert {row["licence"] for row in rows.values()} == {lists.checklists()["tripod_ai"].licence}
    counts = {status: sum(row["answer"] == status for row in rows.values()) for status in (REPORTED, ASKED)}
    assert f"{counts[REPORTED]} reported" in page
    assert f"{counts[ASKED]} needs the author" in page


def test_a_score_has_bars_with_words_and_questions_have_yes_and_no(root: Path, tmp_path: Path) -> None:
    _, folder = staged(root, tmp_path, "lung1")
    page = (folder / "pages/checklist_metrics.md").read_text(encoding="utf-8")
    assert "Nobody here is real" not in page
    assert page.count('role="img" aria-label="') == len({item.section for item in METRICS.items})
    assert ">no</span>" in page
    assert ">not reported</span>" not in page
    judged = (folder / "pages/checklist_probast_ai.md").read_text(encoding="utf-8")
    assert "**Risk of bias**: needs the author" in judged


def test_a_list_that_is_filled_counts_as_followed(root: Path, tmp_path: Path) -> None:
    study = load_study("lung1", folder=root / "studies")
    assert answer(Run(study, {}, {}), ["checklist"]).status == NOT
    run = lists.run_of(study, {}, tmp_path)
    assert run.numbers == {}
    one = Section("01_cohort", "The question", ["x"])
    filled = Run(study, {"n_events": {"value": 3}, "n_subjects": {"value": 9}}, {"01_cohort": {one.heading: one}})
    assert answer(filled, ["checklist"]).words.startswith("TRIPOD+AI: 3 of 52")  # objective, limits, public data


def test_cards_continue_that_of_the_model_and_invent_nothing(root: Path, tmp_path: Path) -> None:
    model = tmp_path / "results/song2021/model"
    model.mkdir(parents=True)
    spans = {"age": {"low": 22.17, "high": 81.83}, "sex": {"levels": ["F", "M"]}, "arterial__deep_0004": {"low": 0}}
    formula = {"n": 56, "events": 10, "ranges": spans}
    plain = {"signatures": {"DLR-A": formula, "CT findings": {"ranges": {}}}}
    (model / "model.json").write_text(json.dumps(plain), encoding="utf-8")
    (model / "card.md").write_text("**Model of study song2021**.\n- DLR-A: one model.\n", encoding="utf-8")
    (tmp_path / "results/song2021/x").mkdir()
    (tmp_path / "results/song2021/06_validation.json").unlink(missing_ok=True)
    study = load_study("song2021", folder=root / "studies", overrides={"author": {"intended_use": "", "users": ""}})
    numbers = {"in_short_06_validation": {"value": "- Fine.\n- **Not to be trusted** elsewhere."}}
    run = Run(study, numbers, {}, {}, tmp_path)
    parts = dict(cards.model_card(run))
    assert parts["Intended use"][0] == cards.UNSAID
    assert parts["Training ranges"] == [
        "Age (years): 22.2 to 81.8", "Sex: F and M",
        "DLR-A: 56 patients, 10 events; 1 further column, each with its range in model.json",
    ]  # fmt: skip
    assert parts["Limits"][0] == "Not to be trusted elsewhere."
    assert dict(cards.data_card(run))["Phases"][0] == "arterial phase: window 130/310 HU"
    for _ in range(2):  # a second staging adds nothing
        taken = cards.write(run, tmp_path / "pages")
    written = taken["cards/model_card.md"].read_text(encoding="utf-8")
    assert written.startswith("**Model of study song2021**.\n- DLR-A: one model.\n\n## Intended use\n")
    assert written.count("## Intended use") == 1
    assert "## Phases" in taken["cards/data_card.md"].read_text(encoding="utf-8")
    assert (tmp_path / "pages/model_card.md").read_text(encoding="utf-8").count("## The locked model") == 1


def test_subgroups_of_the_main_signature_are_on_its_card(root: Path, tmp_path: Path) -> None:
    _, folder = staged(root, tmp_path, "song2021")
    page = (folder / "pages/model_card.md").read_text(encoding="utf-8")
    assert "## Performance by subgroup\n\n- Hospital I: Part large, Value 0.7\n\n" in page


def test_what_the_author_has_not_said_is_known_as_a_question() -> None:
    author = Author(ethics="Board 7", funding=" ")
    assert "ethics" not in author.missing
    assert author.missing["funding"] == "who paid, and what the funders decided"
    assert len(Author().missing) == len(Author.model_fields)
