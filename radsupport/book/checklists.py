"""Reporting checklists of a study, answered from its executed run: pages, tables to take along, the METRICS score."""

from __future__ import annotations

import csv
import functools
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import yaml

from radsupport.book import cards
from radsupport.book.evidence import NONE, NOT, REPORTED, STATUSES, Answer, Run, Section, answer, rule
from radsupport.book.rules import unmet
from radsupport.book.text import literal
from radsupport.files import write_changed
from radsupport.settings.study import Study
from radsupport.wording import listed

_FOLDER = Path(__file__).with_name("guidelines")
_ORDER = ("tripod_ai", "clear", "metrics", "claim2024", "ibsi", "remark", "probast_ai")
#: Files of the pages of a study's checklists and cards.
PAGES = (*(f"checklist_{key}.md" for key in _ORDER), "model_card.md", "data_card.md")
#: Upper ends of the categories of METRICS, in percent, and their names.
_LEVELS = ((20, "very low"), (40, "low"), (60, "moderate"), (80, "good"), (float("inf"), "excellent"))


@dataclass(frozen=True)
class Item:
    """An item of a checklist: its number and title, the rules that answer it, and when it does not apply."""

    id: str
    section: str
    title: str
    rules: Sequence[str]
    only: str = ""
    weight: float = 0.0


@dataclass(frozen=True)
class Checklist:
    """A reporting guideline: numbers and titles in our own words, with source and licence."""

    key: str
    name: str
    about: str
    version: str
    source: str
    licence: str
    items: Sequence[Item]
    note: str = ""
    score: str = ""

    @property
    def asks(self) -> bool:
        """Whether its items are questions to be answered by yes or no."""
        return self.key in ("metrics", "probast_ai")


@functools.cache
def checklists() -> dict[str, Checklist]:
    """Return the guidelines by key."""
    found = {}
    for key in _ORDER:
        plain = yaml.safe_load((_FOLDER / f"{key}.yaml").read_text(encoding="utf-8"))
        found[key] = Checklist(key=key, **plain | {"items": [Item(**one) for one in plain["items"]]})
    return found


def answers(run: Run, guideline: Checklist) -> dict[str, Answer]:
    """Return what an executed study says to every item of a guideline, by number."""
    found = {}
    for item in guideline.items:
        reason = unmet(run, item.only)
        found[item.id] = Answer(NONE, reason) if reason else answer(run, item.rules)
    return found


@rule
def checklist(run: Run, _: str) -> Answer:
    """Answer by the list that the run fills: how many items of TRIPOD+AI are reported."""
    guideline = checklists()["tripod_ai"]
    n = count(answers(run, guideline))[REPORTED]
    place = ((guideline.name, f"{_file(guideline)}.html"),)
    words = f"{guideline.name}: {n} of {len(guideline.items)} items reported"
    return Answer(REPORTED, words, place) if n else Answer(NOT, "no list has an answer")


def count(found: Mapping[str, Answer]) -> dict[str, int]:
    """Return how many items have each answer."""
    return {status: sum(one.status == status for one in found.values()) for status in STATUSES}


def metrics_score(
    items: Sequence[Item], found: Mapping[str, Answer]
) -> tuple[float, str, dict[str, tuple[float, float]]]:
    """Return the METRICS score, its category, and the weights got and possible of each section.

    The score is 100 times the weights of the items answered yes over those of the items that apply; an item that
    waits for the author is not answered yes (Kocak et al., Insights Imaging 2024;15:8).
    """
    parts: dict[str, tuple[float, float]] = {}
    for item in items:
        got, possible = parts.get(item.section, (0.0, 0.0))
        status = found[item.id].status
        parts[item.section] = (got + item.weight * (status == REPORTED), possible + item.weight * (status != NONE))
    possible = sum(one for _, one in parts.values())
    score = 100 * sum(one for one, _ in parts.values()) / possible if possible else 0.0
    return score, next(words for end, words in _LEVELS if score < end), parts


def _said(guideline: Checklist, status: str) -> str:
    """Return an answer in the words of its list: yes and no where it asks questions."""
    return {REPORTED: "yes", NOT: "no"}.get(status, status) if guideline.asks else status


def _file(guideline: Checklist) -> str:
    return f"checklist_{guideline.key}"


def stage(
    study: Study, sections: Mapping[str, Mapping[str, Section]], pages: Path, files: Path, root: Path = Path()
) -> tuple[list[str], dict[str, Path]]:
    """Write the pages of a study's checklists, and the same as CSV to take along.

    Parameters
    ----------
    study : Study
    sections : mapping
        `evidence.sections_of` of each chapter.
    pages, files : Path
        Where pages are staged, and where files to take along lie.
    root : Path
        Project root.

    Returns
    -------
    list of str, dict
        What the study's first page says of each, as HTML; files by their names in the study's archive.
    """
    run = run_of(study, sections, root)
    lines, taken = [], {}
    for guideline in checklists().values():
        found = answers(run, guideline)
        write_changed(pages / f"{_file(guideline)}.md", page(study, guideline, found))
        taken[f"checklists/{guideline.key}.csv"] = files / study.id / f"{_file(guideline)}.csv"
        write_changed(taken[f"checklists/{guideline.key}.csv"], _csv(guideline, found))
        lines.append(f'<a href="{_file(guideline)}.html">{guideline.name}</a> {_short(guideline, found)}')
    lines += ['<a href="model_card.html">model card</a>', '<a href="data_card.html">data card</a>']
    return lines, taken | cards.write(run, pages)


def run_of(study: Study, sections: Mapping[str, Mapping[str, Section]], root: Path = Path()) -> Run:
    """Return an executed study as rules look into it."""
    folder = root / "results" / study.id
    written = [json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("[0-9][0-9]_*.json"))]
    numbers = {key: entry for one in written for key, entry in one["numbers"].items()}
    versions = {name: version for one in written for name, version in one.get("versions", {}).items()}
    return Run(study, numbers, sections, versions, root)


def _short(guideline: Checklist, found: Mapping[str, Answer]) -> str:
    """Return the result of a list in a few words: the score, or how many of the items that apply are reported."""
    if guideline.score:
        value, level, _ = metrics_score(guideline.items, found)
        return f"{value:.0f}% ({level})"
    counts = count(found)
    return f"{counts[REPORTED]} of {len(found) - counts[NONE]}"


def _csv(guideline: Checklist, found: Mapping[str, Answer]) -> str:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["item", "section", "title", "answer", "words", "where", "source", "licence"])
    for item in guideline.items:
        one = found[item.id]
        where = "; ".join(f"{words} ({address})" for words, address in one.places)
        cells = [item.id, item.section, item.title, _said(guideline, one.status), one.words, where]
        writer.writerow([*cells, guideline.source, guideline.licence])
    return table.getvalue()


def page(study: Study, guideline: Checklist, found: Mapping[str, Answer]) -> str:
    """Return the page of a checklist as Markdown."""
    counts = count(found)
    told = listed([f"{n} {_said(guideline, status)}" for status, n in counts.items() if n])
    mechanism = (
        "**Synthetic data.** Nobody here is real: this list shows how it is filled from a run, and is no report of a "
        "study. What the author says is what the paper prints of its own patients.\n\n"
    )
    lines = [
        cards.ALONE,
        f"({study.id}-{_file(guideline)})=\n# {guideline.name} — {study.id}\n",
        f"Study {{ref}}`{study.id}`. {mechanism * study.is_synthetic}Of {len(found)} items: {told}. An answer is "
        "given where the run holds the value or shows the section that its link leads to; what only the author "
        "knows is asked for in the study file, under `author:`, and never guessed.\n",
        _score_html(guideline, found) if guideline.score else "",
        _table_html(guideline, found),
        _judgement(study) if guideline.key == "probast_ai" else "",
        f"{guideline.name} {guideline.version}: {literal(guideline.about)}. The numbers are its own, the titles ours."
        f" {literal(guideline.note)} Source: {literal(guideline.source)}. Licence: {literal(guideline.licence)}.\n",
    ]
    return "\n".join(filter(None, lines))


def _judgement(study: Study) -> str:
    """Return what the author judges: risk of bias and applicability follow from answers, and are no answer of a run."""
    said = {"Risk of bias": study.author.risk_of_bias, "Applicability": study.author.applicability}
    return "\n".join(
        f"**{what}**: {literal(words, one_line=True) or 'needs the author'}.\n" for what, words in said.items()
    )


def _table_html(guideline: Checklist, found: Mapping[str, Answer]) -> str:
    """Return the items as a table whose rows stand as blocks on a phone."""
    rows, before = [], ""
    for item in guideline.items:
        if item.section != before:
            rows.append(f'<tr class="rs-part"><th colspan="4" scope="colgroup">{escape(item.section)}</th></tr>')
            before = item.section
        one = found[item.id]
        links = ", ".join(f'<a href="{address}">{escape(words)}</a>' for words, address in one.places)
        words = " ".join(filter(None, [escape(one.words), links and f"({links})"]))
        mark = f'<span class="rs-answer rs-{STATUSES.index(one.status)}">{_said(guideline, one.status)}</span>'
        cells = f"<td>{escape(item.title)}</td><td>{mark}</td><td>{words}</td>"
        rows.append(f'<tr><th scope="row">{item.id}</th>{cells}</tr>')
    head = "".join(f'<th scope="col">{word}</th>' for word in ("Item", "What is asked", "Answer", "What the run says"))
    caption = f"<caption>{guideline.name}, {escape(guideline.about)}</caption>"
    return f'<table class="rs-list">{caption}<thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>\n'


def _score_html(guideline: Checklist, found: Mapping[str, Answer]) -> str:
    """Return the score with its formula, a bar for each category, and the conditions as the study meets them."""
    value, level, parts = metrics_score(guideline.items, found)
    bars = "".join(
        f'<li><span>{escape(name)}</span><span class="rs-bar" role="img" aria-label="{_percent(*one)}">'
        f'<span style="width:{100 * one[0] / (one[1] or 1):.0f}%"></span></span><span>{_percent(*one)}</span></li>'
        for name, one in parts.items()
    )
    return f'**Score {value:.1f}% ({level})** = {literal(guideline.score)}.\n\n<ul class="rs-bars">{bars}</ul>\n'


def _percent(got: float, possible: float) -> str:
    return f"{100 * got / possible:.0f}% ({got:.3f} of {possible:.3f})" if possible else "does not apply"
