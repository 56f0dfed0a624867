"""A study's design as papers draw it: a row of boxes per stage, lines between the boxes that feed one another.

SVG written by hand, as its words stay words: they follow the page's font, colour (light and dark) and width. There are
two drawings, a wide one and a narrow one without lines between single boxes; the page's style shows the one that fits.
"""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from html import escape

_LETTER, _LINE, _PAD, _GAP, _BETWEEN = 7.6, 18, 8, 10, 34  # width and height of a letter, within and between boxes
_WIDE, _NARROW, _NAMES = 940, 350, 110  # of the drawings, and of the names at the left of the wide one
_LEAST, _MOST = 150, 5  # width of a box, boxes in a row


@dataclass(frozen=True)
class _Box:
    """A box with its place and its lines of text."""

    x: float
    y: float
    width: float
    height: float
    name: Sequence[str]
    words: Sequence[str]

    def svg(self, marked: bool) -> str:
        lines = [
            f'<tspan x="{self.x + _PAD:.0f}" dy="{_LINE}" class="rd-name">{escape(line)}</tspan>' for line in self.name
        ]
        lines += [f'<tspan x="{self.x + _PAD:.0f}" dy="{_LINE}">{escape(line)}</tspan>' for line in self.words]
        look = ' class="rd-marked"' if marked else ""
        place = f'x="{self.x:.0f}" y="{self.y:.0f}" width="{self.width:.0f}" height="{self.height:.0f}"'
        return f'<rect {place} rx="5"{look}/><text y="{self.y + _PAD - 4:.0f}">{"".join(lines)}</text>'


def design(
    stages: Mapping[str, Mapping[str, str]],
    links: Sequence[tuple[str, str, str, str]] = (),
    *,
    marked: Collection[tuple[str, str]] = (),
    alt: str,
) -> str:
    """Return the drawing of a study's design as HTML.

    Parameters
    ----------
    stages : mapping
        Name of each stage, from first to last, to its boxes: name and words below it, which may be empty.
    links : sequence of (stage, box, stage, box)
        What feeds what; a stage to which none leads is fed by the whole stage before it, by an arrow.
    marked : collection of (stage, box)
        Boxes with a stronger frame.
    alt : str
        The drawing in words.
    """
    drawings = (_drawing(stages, links, marked, alt, width) for width in (_WIDE, _NARROW))
    return f'<div class="rs-design">{"".join(drawings)}</div>'


def _drawing(
    stages: Mapping[str, Mapping[str, str]],
    links: Sequence[tuple[str, str, str, str]],
    marked: Collection[tuple[str, str]],
    alt: str,
    width: int,
) -> str:
    """Return one drawing of a width; its height follows."""
    wide = width == _WIDE
    left, top, parts = (_NAMES if wide else 0), 2.0, []
    place: dict[tuple[str, str], _Box] = {}
    for i, (stage, boxes) in enumerate(stages.items()):
        linked = wide and any(target == stage for _, _, target, _ in links)
        if i and not linked:
            parts.append(_arrow(left + (width - left) / 2, top - _BETWEEN))
        parts.append(f'<text class="rd-stage" x="{0 if wide else 2}" y="{top + 18:.0f}">{escape(stage)}</text>')
        top += 0 if wide else 26
        found = _rows(boxes, left, top, width)
        parts += [box.svg((stage, name) in marked) for name, box in found.items()]
        place |= {(stage, name): box for name, box in found.items()}
        top = max(box.y + box.height for box in found.values()) + _BETWEEN
    lines = [_line(place[a, b], place[c, d]) for a, b, c, d in links if wide and (a, b) in place and (c, d) in place]
    return (
        f'<svg class="{"rd-wide" if wide else "rd-narrow"}" viewBox="0 0 {width} {top - _BETWEEN + 2:.0f}" role="img" '
        f'aria-label="{escape(alt, quote=True)}">{"".join(lines)}{"".join(parts)}</svg>'
    )


def _rows(boxes: Mapping[str, str], left: float, top: float, width: float) -> dict[str, _Box]:
    """Lay the boxes of a stage out in rows of equal width and height."""
    room = width - left - 2
    most = max(1, min(_MOST, int((room + _GAP) // (_LEAST + _GAP)), len(boxes)))
    rows = -(-len(boxes) // most)
    across = -(-len(boxes) // rows)  # rows as even as they can be
    own = (room - _GAP * (across - 1)) / across
    letters = int((own - 2 * _PAD) / _LETTER)
    lines = {
        name: (textwrap.wrap(name, int(letters * 0.94)), textwrap.wrap(words, letters)) for name, words in boxes.items()
    }
    found: dict[str, _Box] = {}
    for first in range(0, len(boxes), across):
        names = list(boxes)[first : first + across]
        height = _LINE * max(len(lines[name][0]) + len(lines[name][1]) for name in names) + _PAD + 4
        found |= {
            name: _Box(left + 1 + i * (own + _GAP), top, own, height, *lines[name]) for i, name in enumerate(names)
        }
        top += height + _GAP
    return found


def _line(a: _Box, b: _Box) -> str:
    x, y, across, down = a.x + a.width / 2, a.y + a.height, b.x + b.width / 2, b.y
    bend = (down - y) / 2
    return f'<path d="M{x:.0f} {y:.0f}C{x:.0f} {y + bend:.0f} {across:.0f} {down - bend:.0f} {across:.0f} {down:.0f}"/>'


def _arrow(x: float, y: float) -> str:
    return f'<path class="rd-arrow" d="M{x:.0f} {y + 6:.0f}v{_BETWEEN - 12}m-6 -7l6 7l6 -7"/>'
