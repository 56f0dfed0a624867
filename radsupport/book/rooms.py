"""The picture of the rooms, drawn from what the package's own code imports, each time the book is built."""

from __future__ import annotations

import ast
import itertools
import tomllib
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from radsupport.errors import InputError

PACKAGE = "radsupport"
_WIDTH, _HIGH, _STEP, _GAP = 360, 26, 58, 8  # of the picture, a box, a floor, and the space between boxes, in pixels


def floors(pyproject: Path) -> list[list[str]]:
    """Return the rooms floor by floor, the highest first, as the import contract of the project names them.

    Raises
    ------
    InputError
        There is no such contract.
    """
    contracts = tomllib.loads(pyproject.read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    layers = next((one["layers"] for one in contracts if one["type"] == "layers"), None)
    if layers is None:
        raise InputError(f"{pyproject} has no contract of type `layers`, which names the floors.")
    return [[room.strip() for room in layer.split("|")] for layer in layers]


def imports(package: Path) -> set[tuple[str, str]]:
    """Return which room imports which, as pairs, from the import statements of all modules."""
    found = set()
    for path in package.rglob("*.py"):
        room = path.relative_to(package).parts[0].removesuffix(".py")
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for node in (node for node in nodes if isinstance(node, ast.ImportFrom) and node.module):
            parts = str(node.module).split(".")
            if (
                parts[0] == PACKAGE
            ):  # from radsupport import plots names rooms; from radsupport.plots import style lies in one
                others = parts[1:2] or [alias.name for alias in node.names]
                found |= {(room, other) for other in others}
    return {(room, other) for room, other in found if room not in (other, "__init__")}


def without_detours(edges: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the edges between which no longer way leads: a room reaches the others through these."""
    below: dict[str, set[str]] = {}
    for room, other in edges:
        below.setdefault(room, set()).add(other)

    def reached(room: str) -> set[str]:
        return {room}.union(*(reached(other) for other in below.get(room, ())))

    return sorted(
        (room, other)
        for room, others in below.items()
        for other in others
        if not any(other in reached(third) for third in others - {other})
    )


def picture(rows: Sequence[Sequence[str]], edges: Iterable[tuple[str, str]]) -> str:
    """Return the rooms floor by floor as an SVG that a phone shows whole, with its words for those who do not see it.

    Parameters
    ----------
    rows : sequence of floors, the highest first
    edges : iterable of (room, imported room)
        Only those without a detour are drawn.
    """
    drawn = without_detours(edges)
    widest = max(len(row) for row in rows)
    wide = (_WIDTH - _GAP * (widest + 1)) / widest
    place = {
        room: ((_WIDTH - len(row) * (wide + _GAP) + _GAP) / 2 + j * (wide + _GAP), i * _STEP + _GAP)
        for i, row in enumerate(rows)
        for j, room in enumerate(row)
    }
    boxes = "".join(
        f'<g><rect x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{_HIGH}" rx="4" fill="#fff" stroke="#1a1a1a"/>'
        f'<text x="{x + wide / 2:.1f}" y="{y + 17:.1f}" text-anchor="middle" fill="#1a1a1a">{escape(room)}</text></g>'
        for room, (x, y) in place.items()
    )
    lines = "".join(_arrow(place[room], place[other], wide) for room, other in drawn)
    head = (
        '<defs><marker id="to" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8Z" fill="#0072b2"/></marker></defs>'
    )
    size = f'viewBox="0 0 {_WIDTH} {len(rows) * _STEP - _STEP + _HIGH + 2 * _GAP}"'
    label = escape(words(rows, drawn), quote=True)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{label}" {size} '
        f'style="width:100%;max-width:34rem;background:#fff;font:12px sans-serif">{head}{lines}{boxes}</svg>'
    )


def _arrow(start: tuple[float, float], end: tuple[float, float], wide: float) -> str:
    x1, y1, x2, y2 = start[0] + wide / 2, start[1] + _HIGH, end[0] + wide / 2, end[1] - 1
    bend = (y2 - y1) / 2
    way = f"M{x1:.1f} {y1:.1f}C{x1:.1f} {y1 + bend:.1f} {x2:.1f} {y2 - bend:.1f} {x2:.1f} {y2:.1f}"
    return f'<path d="{way}" fill="none" stroke="#0072b2" stroke-width="1.4" marker-end="url(#to)"/>'


def words(rows: Sequence[Sequence[str]], edges: Iterable[tuple[str, str]]) -> str:
    """Say which rooms there are, floor by floor, and which imports which."""
    below = {room: [other for _, other in group] for room, group in itertools.groupby(edges, key=lambda edge: edge[0])}
    named = [f"{room} imports {', '.join(below[room])}" for row in rows for room in row if room in below]
    return f"{sum(map(len, rows))} rooms on {len(rows)} floors; every arrow leads down. {'; '.join(named)}."


def write(book: Path, package: Path = Path(PACKAGE), pyproject: Path = Path("pyproject.toml")) -> Path:
    """Write the picture beside the pages of the book that show it."""
    path = book / "rooms.html"
    path.write_text(f"<figure>{picture(floors(pyproject), imports(package))}</figure>\n", encoding="utf-8")
    return path
