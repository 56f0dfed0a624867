"""What the landing page shows in plain HTML, whose words stay words: the data's way, each study's values, its card."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

#: A drawing of 40 by 40, and words.
_STEPS = (
    ("M20 4a16 14 0 1 0 .1 0zM26 19a5 5 0 1 0 .1 0z", "CT scan and outline", "a manifest and a clinical table"),
    ("M5 5h30v30h-30zM15 5v30M25 5v30M5 15h30M5 25h30", "Checked, resampled", "every repair is named"),
    ("M5 35h30M9 35v-9M16 35v-18M23 35v-27M30 35v-13", "Features", "grey levels, texture, a network"),
    ("M5 33 14 22 21 26 35 7M35 7h-8M35 7v8", "Signature", "cross-validated, with controls"),
    ("M5 35v-30M5 35h30M5 35c0-22 8-28 30-28", "Validation", "on patients it was not built on"),
    (
        "M4 12h32M4 12v6M12 12v4M20 12v6M28 12v4M36 12v6M4 28h32M10 28v4M18 28v4M26 28v4",
        "Nomogram",
        "points, a calculator",
    ),
)
_LEFT, _RIGHT, _CHANCE = 0.3, 1.0, 0.5  # of the axis of the forest plot


@dataclass(frozen=True)
class Headline:
    """A study's value in one cohort, as the forest plot shows it.

    Attributes
    ----------
    study, kind, cohort, words : str
        Id, ``real`` or ``synthetic``, what the patients were to the model, and the value as text.
    value, low, high : float
        AUC or C-index with its 95% interval.
    """

    study: str
    kind: str
    cohort: str
    words: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Card:
    """What the landing page says of one study, as text; `figure` is the HTML of one of its figures, if it has one."""

    study: str
    title: str
    kind: str
    size: str
    values: Sequence[str]
    figure: str


def cards(found: Sequence[Card]) -> str:
    """Return a card per study that leads to its first page; its thumbnail shows patients not seen, where there is one.

    Where a figure shows nothing but "apparent" values, of the very patients of the fit, it is the first one.
    """
    items = []
    for card in found:
        pictures = re.findall(r"<img\b[^>]*>", card.figure)
        unseen = [one for one in pictures if ", apparent (n = " not in one]
        source = re.search(r'\bsrc="(?:\.\./)*([^"]+)"', [*unseen, *pictures, ""][0])
        picture = f'<img src="{source[1]}" alt="" loading="lazy">' if source else ""
        lines = "".join(f"<span>{escape(line)}</span>" for line in (f"{card.kind}, {card.size}", *card.values))
        name = f"<strong>{escape(card.title)}</strong><code>{escape(card.study)}</code>"
        link = f'<a href="studies/{escape(card.study)}/index.html">{picture}{name}{lines}</a>'
        items.append(f'<li class="rs-{card.kind}-card">{link}</li>')
    return f'<ul class="rs-cards">{"".join(items)}</ul>\n'


def way() -> str:
    """Return the way from a scan to a nomogram as steps that stand side by side, or below one another on a phone."""
    picture = '<svg viewBox="0 0 40 40" aria-hidden="true"><path d="{}"/></svg>'
    steps = "".join(
        f"<li>{picture.format(drawing)}<strong>{name}</strong> {words}</li>" for drawing, name, words in _STEPS
    )
    return f'<ol class="rs-way">{steps}</ol>\n'


def forest(rows: Sequence[Headline]) -> str:
    """Return a forest plot: a row per study and cohort, the interval as a line, 0.5 as a rule across; HTML."""
    body = "".join(
        f'<tr><th scope="row"><a href="studies/{escape(row.study)}/index.html">{escape(row.study)}</a> {row.kind}</th>'
        f"<td>{escape(row.cohort)}</td><td>{_line(row)}</td><td>{escape(row.words)}</td></tr>"
        for row in rows
    )
    axis = f"{_LEFT:g} to {_RIGHT:g}, rule at {_CHANCE:g}"
    head = "".join(f'<th scope="col">{word}</th>' for word in ("Study", "Judged", axis, "AUC or C"))
    caption = (
        "Discrimination of each study's signature (95% CI): dots cross-validated (the mean over divisions into folds, "
        "the interval of the first), squares other patients (random "
        "split, or other years: temporal, of the hospitals that trained; other hospitals: geographic); synthetic dashed"
    )
    table = f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="rs-forest" role="region" tabindex="0" aria-label="Forest plot">{table}</div>\n' if rows else ""


def _line(row: Headline) -> str:
    low, high, value, chance = (
        100 * (min(max(x, _LEFT), _RIGHT) - _LEFT) / (_RIGHT - _LEFT) for x in (row.low, row.high, row.value, _CHANCE)
    )
    cap = "round" if row.cohort == "cross-validated" else "square"
    dashed = ' stroke-dasharray="4 3"' * (row.kind == "synthetic")
    return (
        '<svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        f'<path class="rs-chance" d="M{chance:.1f} 0v10"/><path d="M{low:.1f} 5H{high:.1f}"{dashed}/>'
        f'<path class="rs-mark" stroke-linecap="{cap}" d="M{value:.1f} 5h.01"/></svg>'
    )
