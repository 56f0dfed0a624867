"""Model card and data card of a study, filled from its executed run; what it can not know is the author's to say.

The model card continues the card of the locked model, ``results/<study>/model/card.md``, which chapter 05 begins.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from radsupport.book.evidence import REPORTED, Answer, Run, answer
from radsupport.book.text import literal
from radsupport.files import write_changed
from radsupport.wording import counted, listed, number

#: A heading with its lines, in plain text.
Part = tuple[str, list[str]]
#: Above a page that the contents do not name, and the search does not read.
ALONE = "---\norphan: true\nnosearch: true\n---\n"
UNSAID = "not said by the author"
_BEGUN = "## Intended use"
_MOST = 12


def model_card(run: Run) -> list[Part]:
    """Return what a locked model is for, whom it saw, how it did in whom, and where it ends."""
    author = run.study.author
    found = {one: answer(run, [one]) for one in ("centers", "size", "outcome", "discrimination", "threshold")}
    short = "\n".join(str(run.value(f"in_short_{key}")) for key in ("06_validation", "07_survival", "08_nomogram"))
    doubts = [line.replace("**", "") for line in re.findall(r"^- (\*\*.+)", short, re.MULTILINE)]
    return [
        ("Intended use", [author.intended_use or UNSAID, f"Users: {author.users or UNSAID}",
                          "For research; not for decisions about patients."]),
        ("Population", [*_told(found["size"], found["centers"], found["outcome"]),
                        f"Eligibility: {author.eligibility or UNSAID}", f"Treatments: {author.treatments or UNSAID}"]),
        ("Training ranges", list(_ranges(run)) or ["no model was locked"]),
        ("Performance", _told(found["discrimination"], found["threshold"]) or ["nothing was judged"]),
        ("Performance by subgroup", _subgroups(run)),
        ("Limits", [*doubts, *map(str, run.study.cautions), f"Fairness: {author.fairness or UNSAID}"]),
        ("Licence", [f"Data: {_licence(run)}", f"Model: {author.model_availability or UNSAID}"]),
    ]  # fmt: skip


def data_card(run: Run) -> list[Part]:
    """Return what the data of a study are: source, patients, phases, missing values, acquisition, licence."""
    study, author, scans = run.study, run.study.author, "02_preprocessing"
    phases = [f"{one.name}: window {one.window.level:g}/{one.window.width:g} HU" for one in study.phases.values()]
    unread = "starts from tables of features" if study.data.entry == "features" else "not read from the files"
    first, images = run.sections.get("01_cohort", {}), run.sections.get(scans, {})
    parts = [
        ("What they are", [*_told(answer(run, ["source"])), f"Setting: {author.setting or UNSAID}",
                           f"Recruitment: {author.recruitment or UNSAID}"]),
        ("Patients by cohort", _rows(first.get("Size and events"), "Cohorts of")),
        ("Patients by center", _rows(first.get("Size and events"), "Patients and events by center")),
        ("Phases", phases),
        ("Scans", _rows(images.get("The scanners"), "Scans by center") or [unread]),
        ("Acquisition", _rows(images.get("How the scans were made"), "Acquisition") or [unread]),
        ("Missing values", _rows(first.get("What is missing"), "Missing values") or _told(answer(run, ["missing"]))),
        ("Ethics and privacy", [f"Approval and consent: {author.ethics or UNSAID}",
                                f"De-identification: {author.deidentification or UNSAID}"]),
        ("Licence", [_licence(run), f"Availability: {author.data_availability or UNSAID}"]),
        ("Limits", [str(one) for one in study.cautions]),
    ]  # fmt: skip
    return [(heading, lines) for heading, lines in parts if lines]


def _told(*answers: Answer) -> list[str]:
    return [one.words for one in answers if one.status == REPORTED]


def _licence(run: Run) -> str:
    return "synthetic, made by this package" if run.study.is_synthetic else run.study.data.licence or "none given"


def _ranges(run: Run) -> Iterator[str]:
    """Yield what the columns of the main signature were in training; features as a number of columns."""
    path = run.root / "results" / run.study.id / "model" / "model.json"
    plain: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    named = {name: one for name, one in plain.get("signatures", {}).items() if name == run.best.name}
    for name, one in (named or plain.get("signatures", {})).items():
        known = {key: span for key, span in one.get("ranges", {}).items() if key in run.study.columns}
        for key, span in known.items():
            ends = [number(span[end]) for end in ("low", "high") if span.get(end) is not None]
            yield f"{run.study.columns[key].words}: {' to '.join(ends) or listed(span.get('levels', []), _MOST)}"
        others = len(one.get("ranges", {})) - len(known)
        yield f"{name}: {one.get('n', 0)} patients, {one.get('events', 0)} events" + (
            f"; {counted(others, 'further column')}, each with its range in model.json" * bool(others)
        )


def _subgroups(run: Run) -> list[str]:
    section = run.sections.get("06_validation", {}).get("Subgroups")
    rows = section.rows("Discrimination in subgroups") if section else []
    kept = (
        [i for i, head in enumerate(rows[0]) if head != "Signature" and not head.startswith(("P ", "P,"))]
        if rows
        else []
    )
    own = [[row[i] for i in kept] for row in rows if row is rows[0] or run.best.name in row]
    return _lines(own) if len(own) > 1 else ["the study file names no subgroups, or none is large enough"]


def _rows(section: Any, caption: str) -> list[str]:
    return _lines(section.rows(caption)) if section is not None else []


def _lines(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a line for each row of a table: its first cell, then each cell behind its header."""
    return [
        f"{row[0]}: " + ", ".join(f"{head} {cell}" for head, cell in zip(rows[0][1:], row[1:], strict=False) if cell)
        for row in rows[1:]
    ]


def write(run: Run, pages: Path) -> dict[str, Path]:
    """Write both cards to the folder of the locked model, and their pages.

    Parameters
    ----------
    run : Run
    pages : Path
        Where the study's pages are staged.

    Returns
    -------
    dict
        Files by their names in the study's archive.
    """
    folder, study = run.root / "results" / run.study.id / "model", run.study
    begun = folder / "card.md"
    first = begun.read_text(encoding="utf-8").partition(f"\n{_BEGUN}")[0].strip() if begun.is_file() else ""
    taken = {}
    cards = {"model": (begun, first, model_card(run)), "data": (folder / "data_card.md", "", data_card(run))}
    for name, (path, opening, parts) in cards.items():
        body = "\n".join(f"## {heading}\n\n" + "".join(f"- {literal(line, one_line=True)}\n" for line in lines)
                         for heading, lines in parts)  # fmt: skip
        path.parent.mkdir(parents=True, exist_ok=True)
        write_changed(path, f"{opening}\n\n{body}" if opening else body)
        title = f"({study.id}-{name}-card)=\n# {name.capitalize()} card — {study.id}\n\n"
        words = f"{'**Synthetic data.** ' * study.is_synthetic}Study {{ref}}`{study.id}`, filled from its run.\n\n"
        locked = f"## The locked model\n\n{opening}\n\n" if opening else ""
        write_changed(pages / f"{name}_card.md", f"{ALONE}{title}{words}{locked}{body}")
        taken[f"cards/{name}_card.md"] = path
    return taken
