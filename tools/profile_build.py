"""Where the time of a built book went: a row per study and chapter, the longest first, then the sums.

    python tools/profile_build.py [RESULTS] [--study a,b] [--cells N]

The build leaves ``<study>/logs/<chapter>.usage.json`` (seconds on the clock, CPU seconds of the kernel with its workers
and of the process that runs it, memory of the largest process), and papermill the times of every cell in the executed
notebook. Seconds on the clock are divided by what their cells do:

- ``kernel``: before the first cell and after the last one: start of the kernel, writing of the notebook;
- ``import``: the cell that imports the package and opens the chapter;
- ``figures``: cells that show a figure (a cell that also computes counts here);
- ``compute``: all other cells.

``--cells N`` also lists the N slowest cells.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

PARTS = ("kernel", "import", "figures", "compute")
Row = dict[str, Any]


def part_of(source: str) -> str:
    """Return what the cell of a notebook is counted as."""
    if "book.begin" in source:
        return "import"
    return "figures" if "show_figure(" in source else "compute"


def cells(notebook: Path) -> Iterator[tuple[str, float, str]]:
    """Yield part, seconds and source of every executed code cell."""
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        timed = cell["metadata"].get("papermill", {}).get("duration")
        if cell["cell_type"] == "code" and timed is not None:
            source = "".join(cell["source"])
            yield part_of(source), float(timed), source


def row_of(notebook: Path) -> Row:
    """Return one chapter's seconds by part, with CPU and memory where the build measured them."""
    study, chapter = notebook.parts[-3], notebook.stem
    usage = notebook.parents[1] / "logs" / f"{chapter}.usage.json"
    row: Row = {"study": study, "chapter": chapter, **dict.fromkeys(("cpu", "peak_mb", *PARTS), 0.0)}
    row |= json.loads(usage.read_text(encoding="utf-8")) if usage.is_file() else {}
    for part, seconds, _ in cells(notebook):
        row[part] += seconds
    times = json.loads(notebook.read_text(encoding="utf-8"))["metadata"].get("papermill", {})
    if "wall" not in row:
        ends = [datetime.fromisoformat(times[end]) for end in ("start_time", "end_time") if end in times]
        row["wall"] = (ends[1] - ends[0]).total_seconds() if len(ends) == 2 else 0.0
    row["kernel"] = max(0.0, row["wall"] - sum(row[part] for part in PARTS))
    return row


def total(rows: list[Row], study: str, chapter: str) -> Row:
    """Return the sums of some rows; of memory the largest."""
    summed = {name: sum(row[name] for row in rows) for name in ("wall", "cpu", *PARTS)}
    return {"study": study, "chapter": chapter, "peak_mb": max(row["peak_mb"] for row in rows), **summed}


def line(row: Row) -> str:
    """Return one row of the printed table; a dash where nothing was measured."""
    numbers = [row["wall"], row["cpu"], row["peak_mb"], *(row[part] for part in PARTS)]
    shown = "".join(f"{number:9.1f}" if number else f"{'-':>9}" for number in numbers)
    return f"{row['study']:<16}{row['chapter']:<20}{shown}"


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Where the time of a built book went.")
    parser.add_argument("results", nargs="?", type=Path, default=Path("results"))
    parser.add_argument("--study", default="", help="ids separated by commas; all where it is left out")
    parser.add_argument("--cells", type=int, default=0, help="also list so many of the slowest cells")
    given = parser.parse_args()
    wanted = [name for name in given.study.split(",") if name]
    found = sorted(given.results.glob("*/notebooks/[0-9][0-9]_*.ipynb"))
    found = [path for path in found if "@" not in path.parts[-3] and (not wanted or path.parts[-3] in wanted)]
    if not found:
        print(f"no executed notebooks under {given.results}", file=sys.stderr)
        return 1
    rows = sorted(map(row_of, found), key=lambda row: -row["wall"])
    print(f"{'study':<16}{'chapter':<20}" + "".join(f"{head:>9}" for head in ("wall", "cpu", "peak_mb", *PARTS)))
    print(*map(line, rows), sep="\n")
    for study in dict.fromkeys(row["study"] for row in rows):
        print(line(total([row for row in rows if row["study"] == study], study, "all chapters")))
    print(line(total(rows, "all studies", "all chapters")))
    timed = [(seconds, path, part, source) for path in found for part, seconds, source in cells(path)]
    for seconds, path, part, source in sorted(timed, key=lambda one: -one[0])[: given.cells]:
        first = source.strip().splitlines()[0][:80]
        print(f"{seconds:8.1f} s  {path.parts[-3]} {path.stem} ({part}): {first}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
