"""What an executed study says to items of reporting checklists: rules look into the run, and quote what they find.

Nothing is "reported" because somebody says so here: a rule asks for a number of ``results/<study>/<chapter>.json``, for
a section of an executed notebook that shows a table or a figure, or for a sentence of the author. `guidelines/*.yaml`
name the rule of each item, with what it is asked for behind it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any

from docutils.nodes import make_id

from radsupport.book.runs import why_unused
from radsupport.settings.author import Author
from radsupport.settings.learning import Signature
from radsupport.settings.study import Study

REPORTED, NOT, NONE, ASKED = "reported", "not reported", "not applicable", "needs the author"
STATUSES = (REPORTED, NOT, NONE, ASKED)
_TAG = re.compile(r"<[^>]+>")
_CAPTION = re.compile(r"<(fig)?caption[^>]*>(.*?)</(?:fig)?caption>", re.DOTALL)
_LONGEST = 240


@dataclass(frozen=True)
class Section:
    """A section of an executed page: where it is, what it shows (captions, tables as HTML), and what it says."""

    chapter: str
    heading: str
    captions: Sequence[str] = ()
    tables: Sequence[str] = ()
    text: str = ""

    @property
    def place(self) -> tuple[str, str]:
        """Words and address of the link that leads here."""
        return f"{self.chapter[:2]} {self.heading}", f"{self.chapter}.html#{make_id(self.heading)}"

    def rows(self, caption: str = "") -> list[list[str]]:
        """Return the cells of the first table whose caption begins so, its header first; none without one."""
        found = next((one for one in self.tables if _plain(_caption(one)).startswith(caption)), "")
        rows = [re.findall(r"<t[hd]\b[^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in found.split("<tr")[1:]]
        return [[_plain(cell) for cell in row] for row in rows]


@dataclass(frozen=True)
class Answer:
    """What is said to an item: one of `STATUSES`, in words, with the places that prove it (words and address)."""

    status: str
    words: str
    places: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Run:
    """An executed study: its settings, its numbers and versions, and what its pages show by chapter and heading."""

    study: Study
    numbers: Mapping[str, Mapping[str, Any]]
    sections: Mapping[str, Mapping[str, Section]]
    versions: Mapping[str, str] = field(default_factory=dict)
    root: Path = Path()

    def value(self, key: str) -> Any:
        """Return a published value, or None."""
        return self.numbers.get(key, {}).get("value")

    def shown(self, *places: str) -> Section | None:
        """Return the first of sections (``chapter/heading``) that shows a table or a figure."""
        found = (
            self.sections.get(chapter, {}).get(heading) for chapter, _, heading in (p.partition("/") for p in places)
        )
        return next((one for one in found if one is not None and one.captions), None)

    @property
    def judged(self) -> list[str]:
        """The cohorts beside training that were scored."""
        other = [key for key in self.study.cohorts if key not in ("train", "segmentation")]
        return [key for key in other if any(f"{m}_{key}_" in name for m in ("auc", "c_index") for name in self.numbers)]

    @property
    def best(self) -> Signature:
        """The signature singled out beforehand, or the first."""
        name = self.study.validation.best
        return next((one for one in self.study.signatures if one.name == name), self.study.signatures[0])


def sections_of(page: Any, chapter: str) -> dict[str, Section]:
    """Return the sections of an executed notebook by heading."""
    found: dict[str, dict[str, Any]] = {}
    current: dict[str, Any] = {}
    for cell in page.cells:
        if cell.cell_type == "markdown":
            heads = re.findall(r"^##+ (.+)$", cell.source, re.MULTILINE)
            for heading in heads:
                current = found.setdefault(heading.strip(), {"captions": [], "tables": [], "text": ""})
        for output in cell.get("outputs", []) if current else ():
            data = {kind: "".join(content) for kind, content in output.get("data", {}).items()}
            if (html := data.get("text/html")) and (caption := _plain(_caption(html))):
                current["captions"].append(caption)
                current["tables"] += [html] * ("<table" in html)
            elif "text/markdown" in data:
                current["text"] = " ".join([current["text"], data["text/markdown"]]).strip()
    return {heading: Section(chapter, heading, **one) for heading, one in found.items()}


def _caption(html: str) -> str:
    found = _CAPTION.search(html)
    return found[2] if found else ""


def _plain(html: str) -> str:
    return " ".join(unescape(_TAG.sub("", html)).split())


def first(text: str) -> str:
    """Return the first sentence of Markdown as plain text, or as much of it as a line takes."""
    plain = " ".join(unescape(re.sub(r"\*\*|`|^- ", "", text, flags=re.MULTILINE)).split())
    sentence = re.split(r"(?<=[a-z0-9)][.])\s", plain, maxsplit=1)[0]
    return sentence if len(sentence) <= _LONGEST else f"{sentence[:_LONGEST].rpartition(' ')[0]} …"


Rule = Callable[[Run, str], Answer]
RULES: dict[str, Rule] = {}


def rule(function: Rule) -> Rule:
    """Keep a rule under its name."""
    RULES[function.__name__.strip("_")] = function
    return function


def answer(run: Run, rules: Sequence[str]) -> Answer:
    """Return what an executed study says to an item whose rules all have to hold.

    Parameters
    ----------
    run : Run
    rules : sequence of str
        Names of rules, each with what it is asked for behind a blank, such as ``author ethics``.
    """
    found = [RULES[name](run, given) for name, _, given in (rule.partition(" ") for rule in rules)]
    status = next((one for one in (NOT, ASKED, REPORTED, NONE) if any(a.status == one for a in found)), NONE)
    said = [one for one in found if status == NONE or one.status != NONE]
    words, asked = ([one.words for one in said if (one.status == ASKED) == of] for of in (False, True))
    told = "; ".join(dict.fromkeys(word.rstrip(".") for word in words if word))
    wanted = f"asked of the author: {'; '.join(dict.fromkeys(asked))}" if asked else ""
    places = tuple(dict.fromkeys(place for one in said for place in one.places))
    return Answer(status, ". ".join(filter(None, [told, wanted[:1].upper() + wanted[1:]])), places)


def yes(words: str, *sections: Section | None) -> Answer:
    """Return words as reported, with the sections that prove them."""
    return Answer(REPORTED, words, tuple(one.place for one in sections if one is not None))


def told(run: Run, words: str, place: str, there: object) -> Answer:
    """Return words that the study file proves, where what they speak of was run; `place`: the section that shows it."""
    chapter, _, heading = place.partition("/")
    section = run.sections.get(chapter, {}).get(heading)
    return yes(words, section) if there and section is not None else absent(run, place)


def absent(run: Run, *places: str) -> Answer:
    """Return that nothing is reported, with the reason that the page itself gives."""
    chapter, _, heading = places[0].partition("/")
    reason = why_unused(chapter, run.study)
    section = run.sections.get(chapter, {}).get(heading)
    words = f"this chapter is not used: {reason}" if reason else first(section.text) if section else "not in this run"
    return Answer(NOT, words, (section.place,) if section else ())


@rule
def author(run: Run, key: str) -> Answer:
    """What the author says, or is asked for."""
    said = " ".join(getattr(run.study.author, key).split())
    return Answer(REPORTED, f"The author: {said}") if said else Answer(ASKED, str(Author.model_fields[key].description))


@rule
def section(run: Run, places: str) -> Answer:
    """The caption of the first of sections (``chapter/heading | …``) that shows something."""
    named = places.split(" | ")
    found = run.shown(*named)
    if found is None:
        return absent(run, *named)
    caption = re.sub(
        rf",? (?:of |in )?(?:the )?study {run.study.id}\b|,? (?:of )?\b{run.study.id}\b", "", found.captions[0]
    )
    return yes(first(caption), found)
