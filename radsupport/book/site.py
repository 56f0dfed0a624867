"""The landing page and each study's first page, written from the numbers that the chapters published.

Turn executed notebooks into the book: stage the pages, write the contents, compile the site.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nbformat
import yaml

from radsupport.book import checklists, landing, rigour, rooms, shared, takeaway
from radsupport.book.conclusions import abstract
from radsupport.book.conclusions.comparison import DIVISIONS, divided, flattered, over_divisions
from radsupport.book.design import design_of
from radsupport.book.evidence import sections_of
from radsupport.book.runs import notebook_of, refuse_mixtures, why_unused
from radsupport.book.staging import CHANGE, key_figures, prepare, reworded
from radsupport.book.text import literal, relative
from radsupport.errors import ContractError, Problem, RadsupportError
from radsupport.files import sha256, write_changed
from radsupport.settings.study import Study
from radsupport.study import StudyPaths, load_study

INTRODUCTION = """(landing)=
# CT radiomics prognosis book

Nine chapters lead from a manifest of CT scans and a clinical table to a validated prognostic model.
Each study below is one settings file that drives the same notebooks. Every number in a table, a figure or a
conclusion was computed by this build; values printed in a paper are marked "published", and what a study file
says of itself (its question, its cautions) is quoted from there.

"""
OFFERS = """## What the book offers

- **Your own patients**: a manifest of scans and a table, or feature tables, become a book like this: {ref}`own-data`.
- **A calculator** for one patient, on the nomogram page of each study that has one; it works without network.
- **Every number again**: a switch shows each chapter's code, a link takes its notebook along.
- **To take along**: each study as one archive: figures (SVG) with the tables behind them, tables, notebooks, and its
  methods and results written out.
- **Methods and terms**: {ref}`methods`, {ref}`glossary`. Start with a study's first page.
"""


def numbers_of(study: str, root: Path = Path("results")) -> dict[str, Any]:
    """Return all numbers that a study's chapters published, by key."""
    found: dict[str, Any] = {}
    for path in sorted((root / study).glob("[0-9][0-9]_*.json")):
        found.update(json.loads(path.read_text(encoding="utf-8"))["numbers"])
    return found


def estimate(numbers: Mapping[str, Any], key: str, digits: int = 2) -> str:
    """Return a published number as ``0.80 (0.63 to 0.97)``, or a dash where it was not computed."""
    entry = numbers.get(key)
    if entry is None or entry["value"] is None:
        return "–"
    text = f"{entry['value']:.{digits}f}"
    if entry.get("ci_low") is not None:
        text += f" ({entry['ci_low']:.{digits}f} to {entry['ci_high']:.{digits}f})"
    return f"{text}, n = {entry['n']}" if entry.get("n") else text


def out_of_fold(numbers: Mapping[str, Any], key: str, name: str, taken: bool = False) -> str:
    """Return a training value: first the mean over divisions with its range, where there were several.

    Parameters
    ----------
    numbers : mapping
        Published by the chapters.
    key, name : str
        Of the number, and the signature that it is of.
    taken : bool
        Whether it is a published output, of which no fold leaves anybody out.
    """
    value = estimate(numbers, key)
    before, beside = ("", "") if taken or value == "–" else over_divisions(numbers, name)
    return f"{before}{value}{f', {beside}' * bool(beside)}"


def landing_page(
    studies: Sequence[str],
    left_out: Mapping[str, str],
    published: bool,
    figures: Mapping[str, Mapping[str, Sequence[str]]] | None = None,
) -> str:
    """Return the Markdown of the landing page; `figures`: by study and chapter, HTML."""
    opened = [(load_study(study), numbers_of(study)) for study in studies]
    drawn = {study: [*found.get("06_validation", ()), ""][0] for study, found in (figures or {}).items()}
    shown = landing.cards([_card(*one, drawn.get(one[0].id, "")) for one in opened])
    plot = landing.forest([line for one in opened for line in _headlines(*one)])
    parts = [INTRODUCTION, landing.way(), "## The studies\n", plot, shown]
    parts.append(
        "Area under the ROC curve (AUC) where a yes/no outcome is predicted, Harrell's C where survival is, "
        "each with its 95% confidence interval and the signature it belongs to. 0.5 is chance.\n"
    )
    if left_out:
        parts.append("## Not in this build\n")
        parts += [f"- **{study}**: {_with_commands(reason)}" for study, reason in left_out.items()]
        parts.append("")
    if published:
        parts.append(
            "## The four papers\n\nDo their printed numbers agree with one another? {ref}`published-10_published`.\n"
        )
    parts.append(OFFERS)
    return "\n".join(parts)


def _with_commands(reason: str) -> str:
    """Return a reason as plain text in which our own commands stay commands."""
    parts = re.split(r"(`(?:make|radsupport) [^`<]*`|`RADSUPPORT_DATA`)", relative(reason))
    return "".join(part if i % 2 else literal(part, one_line=True) or " " for i, part in enumerate(parts))


def _headlines(study: Study, numbers: Mapping[str, Any]) -> Iterable[landing.Headline]:
    """Yield a study's values with their intervals; one without is on its card only."""
    kind = "synthetic" if study.is_synthetic else "real"
    for key in abstract.headlines(numbers):
        entry, cohort = numbers.get(key, {}), _judged(key, numbers, study)
        if entry.get("ci_low") is not None:
            value, low, high = (float(entry[name]) for name in ("value", "ci_low", "ci_high"))
            mean = numbers.get(f"{DIVISIONS}{_whose(numbers, key)}") or {}
            words = estimate(numbers, key)
            if key == "headline_train" and divided(mean):  # the card has all of it, a row of the table little room
                value = float(mean["value"])
                words = f"{value:.2f} ({low:.2f} to {high:.2f}), n = {entry['n']}, mean of {mean['n']} divisions"
            yield landing.Headline(study.id, kind, cohort, words, value, low, high)


def _whose(numbers: Mapping[str, Any], key: str) -> str:
    """Return the signature of a headline, without its measure."""
    return str(numbers.get(f"{key}_signature", {}).get("value", "")).rpartition(" (")[0]


def _given(study: Study) -> set[str]:
    """Return the published outputs, of which no fold leaves anybody out."""
    return {one.name for one in study.signatures if one.learner == "published"}


def _headline(study: Study, numbers: Mapping[str, Any], key: str) -> str:
    """Return the value of a headline; that of training patients is never the first division alone."""
    if key != "headline_train":
        return estimate(numbers, key)
    name = _whose(numbers, key)
    return out_of_fold(numbers, key, name, name in _given(study))


def _judged(key: str, numbers: Mapping[str, Any], study: Study) -> str:
    """Return whom a headline judges: the kind of validation that the study file names, else the cohort's key.

    Where there are several other cohorts, each is named.
    """
    cohort = str(numbers.get(f"{key}_cohort", {}).get("value", "external"))
    kind = (study.cohorts[cohort].validation if cohort in study.cohorts else "") or cohort
    if len(abstract.headlines(numbers, train=False)) > 1 and cohort in study.cohorts:
        kind = f"{study.cohorts[cohort].name} ({kind})" if kind != cohort else study.cohorts[cohort].name
    return "cross-validated" if key == "headline_train" else kind


def _card(study: Study, numbers: Mapping[str, Any], figure: str) -> landing.Card:
    n, events = numbers.get("n_subjects", {}).get("value"), numbers.get("n_events", {}).get("value")
    size = f"{n} patients, {events} with the event" if n is not None else "no patients counted"
    values = []
    for key in abstract.headlines(numbers):
        if (value := _headline(study, numbers, key)) != "–":
            name = numbers.get(f"{key}_signature", {}).get("value", "")
            whom = _judged(key, numbers, study)
            values.append(f"{whom[:1].upper()}{whom[1:]}: {value}{f', {name}' * bool(name)}")
    kind = "synthetic" if study.is_synthetic else "real"
    return landing.Card(study.id, " ".join(study.title.split()), kind, size, values, figure)


#: Chapters whose doubts and key figures a study's first page repeats.
_DOUBTED = ("06_validation", "07_survival", "08_nomogram")
_PICTURED = ("01_cohort", *_DOUBTED)
#: How the lines of a chapter's findings begin that speak against believing the rest.
_DOUBTS = ("Not to be trusted", "Flattered", "One center alone", "Worse than chance", "Below 0.5")


def study_page(study_id: str, figures: Mapping[str, Sequence[str]], lists: Sequence[str] = ()) -> str:
    """Return the Markdown of a study's first page: its abstract, with the key `figures` of the chapters (HTML).

    `lists` says what its checklists came to, as HTML.
    """
    study, numbers = load_study(study_id), numbers_of(study_id)
    kind = (
        "**Synthetic data.** Every patient was generated by a program; no result is a finding about people."
        if study.is_synthetic
        else f"**Real data**{f' ({literal(study.data.licence, one_line=True)})' * bool(study.data.licence)}."
    )
    key = re.fullmatch(r"[\w:.+/-]*", study.citation)
    cite = f" The protocol follows {{cite:t}}`{study.citation}`." if study.citation and key else ""
    cite = cite or f" The protocol follows {literal(study.citation, one_line=True)}." * bool(study.citation)
    size = f"{numbers.get('n_subjects', {}).get('value', '–')} patients"
    profile = numbers.get("profile", {}).get("value", "demo")
    lines = [
        f"({study.id})=\n# {literal(study.title, one_line=True)}\n",
        f"{kind}{cite}\n",
        f"## The question\n\n{literal(study.question)}\n\nStudy `{study.id}`, {size}, profile `{profile}`.\n",
        f"{design_of(study)}\n",
        *_answer(study, numbers),
        *_scores(study, numbers),
        *_cautions(study),
        *[f'## Checklists and cards\n\n<p class="rs-lists">{" · ".join(lists)}</p>\n'] * bool(lists),
        *rigour.markdown(rigour.read(Path("results", study_id))),
        *_pictures(study, figures),
        *_chapters(study, numbers),
    ]
    return "\n".join(lines) + "\n"


def _cautions(study: Study) -> list[str]:
    """Return what the study file says of its data as a whole, and of signatures and their validation."""
    general = [
        f"- {literal(caution, one_line=True)}"
        for caution in study.cautions
        if not caution.chapters or {"05", "06"} & set(caution.chapters)
    ]
    return ["## What these data can not show\n", *general, ""] if general else []


def _answer(study: Study, numbers: Mapping[str, Any]) -> list[str]:
    """Return the study in three sentences, and what speaks against believing them."""
    given = _given(study)
    judged = str(numbers.get("headline_train_signature", {}).get("value", "")).rsplit(" (", 1)[0]
    several = [key for key, cohort in study.cohorts.items() if len(cohort.centers) > 1]
    found = abstract.answer(numbers, study.endpoint.event_name, study.cohort_names, judged in given, several)
    if not found:
        return []
    words = "\n".join(str(numbers.get(f"found_{name}", {}).get("value", "")) for name in _DOUBTED)
    lines = [line.removeprefix("- ") for line in words.splitlines()]
    doubts = [next((line for line in lines if line.startswith(f"**{start}")), "") for start in _DOUBTS]
    invented = "The patients are synthetic: this is no finding about people." if study.is_synthetic else ""
    caution = " ".join(filter(None, [*doubts, invented]))
    lines = [f"{i}. {literal(sentence, one_line=True)}" for i, sentence in enumerate(found, 1)]
    return ["## The answer in short\n", *lines, "", f"**Caution.** {caution}\n" if caution else ""]


def _pictures(study: Study, figures: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the key figures of the chapters, each with the way to its page."""
    lines = []
    for name in _PICTURED:
        lines += [f'<div class="rs-key">{html}</div>\n' for html in figures.get(name, ())]
        lines += [f"From {{ref}}`{study.id}-{name}`.\n"] * bool(figures.get(name))
    return ["## The main figures\n", *lines] if lines else []


def _scores(study: Study, numbers: Mapping[str, Any]) -> list[str]:
    """Return the table of discrimination: a row per signature, a column per cohort."""
    measures = {"auc": "AUC", "c_index": "C-index"}
    cohorts = [key for key in study.cohorts if any(f"{m}_{key}_" in number for m in measures for number in numbers)]
    if not cohorts:
        return []
    measure = next(m for m in measures if any(number.startswith(f"{m}_{cohorts[0]}_") for number in numbers))
    prefix = f"{measure}_{cohorts[0]}_"
    names = [key.removeprefix(prefix) for key in numbers if key.startswith(prefix)]
    kinds = {key: study.cohorts[key].validation or key for key in cohorts} | {"train": "out of fold"}
    cohort_names = {key: literal(study.cohorts[key].name, one_line=True) for key in cohorts}
    head = [f"{name}{'' if kinds[key] in name else f' ({kinds[key]})'}" for key, name in cohort_names.items()]
    lines = [
        f"## {measures[measure]} of each signature\n",
        f"| Signature | {' | '.join(head)} |",
        "|---|" + "---|" * len(head),
    ]
    for name in names:
        given = name in _given(study)
        values = [
            out_of_fold(numbers, f"{measure}_{key}_{name}", name, given) if key == "train"
            else estimate(numbers, f"{measure}_{key}_{name}") for key in cohorts
        ]  # fmt: skip
        lines.append(f"| {literal(name, one_line=True)} | {' | '.join(values)} |")
    taken = [one.name for one in study.signatures if one.learner == "published" and one.name in names]
    note = f" Published output, not fitted here and so not out of fold: {', '.join(taken)}." if taken else ""
    pooled = " Cohorts of several centers are pooled here; the answer in short has values within centers."
    several = any(numbers.get(f"{key}_pooled", {}).get("value") for key in abstract.headlines(numbers))
    met = flattered(study.signatures, study.cohorts, names, study.cohort_names)
    words = f"95% confidence intervals; 0.5 is chance.{literal(note)}{pooled * several}"
    return [*lines, "", f"{words}{literal(f' {met}'.replace('**', '')) * bool(met)}\n"]


CHAPTER_WORDS = {
    "01_cohort": "who is in the study, and how the cohorts compare",
    "02_preprocessing": "the scans, the masks, and what was wrong with them",
    "03_radiomics": "size, grey levels and texture as numbers, and whether two readers agree",
    "04_deep_features": "what a network makes of the tumour, and who trained it",
    "05_modelling": "the signatures, cross-validated, and the controls",
    "06_validation": "discrimination, calibration and usefulness where the model was not built",
    "07_survival": "risk groups and regression over time",
    "08_nomogram": "the final model as points and as a calculator",
    "09_robustness": "how far the result can be trusted: size, the clinic, chance, other patients",
}


_LOCKED_WORDS = CHAPTER_WORDS | {
    "05_modelling": "what the model's file holds, whom it scores, and what of them it has not seen",
    "06_validation": "discrimination, calibration and usefulness in these patients",
    "07_survival": "risk groups over time, at the model's own cut-off",
    "08_nomogram": "the nomogram beside the model, as points and as a calculator, and whether it holds here",
}


def _chapters(study: Study, numbers: Mapping[str, Any]) -> list[str]:
    lines, shorts = ["## The chapters\n"], []
    for name, words in (_LOCKED_WORDS if study.model else CHAPTER_WORDS).items():
        reason = why_unused(name, study)
        title = name[3:].replace("_", " ").capitalize()
        lines.append(f"- {title}: not used, {reason}" if reason else f"- {{ref}}`{study.id}-{name}`: {words}")
        short = None if reason else numbers.get(f"in_short_{name}", {}).get("value")
        shorts += [f"````{{dropdown}} {title} in short\n{short}\n````\n"] if short else []
    return [*lines, "", *shorts]


PUBLISHED = "published"
#: The pages that compare features with their standard, and the protocol with others.
COMMON = ("12_ibsi", "13_strength")
PAGES = (
    "methods", "scans_and_outlines", "bring_your_own", "how_it_is_made", "where_does_it_go", "published_claims_format",
    "glossary", "bibliography",
)  # fmt: skip


class BookError(RadsupportError):
    """Sphinx could not compile the book, or warned while doing so."""


def build(book: Path, studies: Sequence[str], left_out: Mapping[str, str], log: Path) -> Path:
    """Stage every study's notebooks under ``book/studies`` and compile the site.

    Parameters
    ----------
    book : Path
        Folder with ``_config.yml`` and the written pages.
    studies : sequence of str
        Ids whose notebooks were executed.
    left_out : mapping
        Id to reason, for studies that could not be built; the landing page says so.
    log : Path
        Where Sphinx's output goes.

    Returns
    -------
    Path
        ``index.html`` of the site.

    Raises
    ------
    BookError
        Sphinx failed or warned; the message quotes its warnings.
    ContractError
        Results or executed notebooks of a study do not belong together.
    """
    staged = book / "studies"
    real = [study for study in studies if study != PUBLISHED]
    for study in real:
        refuse_mixtures(Path("results", study), CHAPTER_WORDS)
    files = shared.begin(book / "_static")
    with ThreadPoolExecutor(os.cpu_count()) as workers:  # pictures are packed outside the interpreter's lock
        found = workers.map(lambda study: _stage_study(study, staged, files), studies)
        staged_studies = dict(zip(studies, found, strict=True))
    chapters = {study: figures for study, (figures, _) in staged_studies.items()}
    for study in real:
        page = study_page(study, chapters[study], staged_studies[study][1]) + "\n".join(takeaway.links(study, files))
        write_changed(staged / study / "index.md", page)
    landed = shared.with_thumbnails(landing_page(real, left_out, PUBLISHED in studies, chapters), book / "_static")
    (book / "index.md").write_text(landed, encoding="utf-8")
    rooms.write(book)
    wanted = {staged / study / f"{name}.ipynb" for study in studies for name in chapters[study]}
    wanted |= {staged / study / name for study in real for name in ("index.md", *checklists.PAGES)}
    for old in [path for path in staged.rglob("*") if path.is_file() and path not in wanted]:
        old.unlink()
    (book / "_toc.yml").write_text(yaml.safe_dump(_contents(book, real, chapters), sort_keys=False), encoding="utf-8")
    _compile(book, log)
    return book / "_build" / "html" / "index.html"


def _stage_study(study: str, staged: Path, files: Path) -> tuple[dict[str, list[str]], list[str]]:
    """Copy the executed notebooks of the chapters that a study uses, with titles and labels of their own.

    What their pages share goes to `files`. Returns the key figures of each chapter, by its name, and what its first
    page says of its checklists.
    """
    loaded = None if study == PUBLISHED else load_study(study)
    title, figures, taken, sections = loaded.id if loaded else "", {}, takeaway.Contents(), {}
    for path in sorted(Path("results", study, "notebooks").glob("[0-9][0-9]_*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        _refuse_run(path, study, notebook.metadata.get("papermill", {}).get("parameters", {}))
        if loaded and why_unused(path.stem, loaded):
            continue
        notebook = reworded(notebook, notebook_of(path.stem, loaded), loaded)
        shared.keep_code(notebook, files / study / path.name)
        page = shared.share(prepare(notebook, path.stem, study, title), files)
        figures[path.stem], sections[path.stem] = key_figures(page), sections_of(page, path.stem)
        people = loaded is None or loaded.publishes_patients
        taken |= takeaway.offer(page, study, path.stem, StudyPaths(study).figures, files, people)
        write_changed(staged / study / path.name, nbformat.writes(page))
    lists, own = checklists.stage(loaded, sections, staged / study, files) if loaded else ([], {})
    takeaway.pack(study, taken | own, files, loaded)
    return figures, lists


def _refuse_run(path: Path, study: str, parameters: Mapping[str, Any]) -> None:
    """Refuse a notebook that was executed with parameters of its own, or for another study."""
    others = {name: value for name, value in parameters.items() if name not in ("study", "profile")}
    others |= {"study": parameters["study"]} if parameters.get("study", study) != study else {}
    if others:
        given = ", ".join(f"{name} = {value}" for name, value in others.items())
        problem = Problem(f"executed with {given}", "the study file's values", "delete it and build again", str(path))
        raise ContractError(f"A notebook of study {study} is no part of the book.", [problem])


def _contents(book: Path, studies: Sequence[str], chapters: Mapping[str, Iterable[str]]) -> dict[str, Any]:
    """Return the table of contents: a part per study, then the pages that serve all of them."""
    parts: list[dict[str, Any]] = []
    for study in studies:
        pages = [{"file": f"studies/{study}/{name}"} for name in chapters[study] if name != CHANGE]
        kind = "synthetic" if load_study(study).is_synthetic else "real data"
        first = {"file": f"studies/{study}/index", "sections": pages}
        parts.append({"caption": f"{study} ({kind})", "chapters": [first]})
    if PUBLISHED in chapters:
        pages = [{"file": f"studies/{PUBLISHED}/{name}"} for name in chapters[PUBLISHED] if name not in COMMON]
        parts.append({"caption": "The four papers", "chapters": pages})
    common = [{"file": page} for page in PAGES if (book / f"{page}.md").is_file()]
    common += [{"file": f"studies/{study}/{CHANGE}"} for study in studies if CHANGE in chapters[study]]
    common += [{"file": f"studies/{PUBLISHED}/{page}"} for page in COMMON if page in chapters.get(PUBLISHED, ())]
    parts.append({"caption": "For every study", "chapters": common})
    return {"format": "jb-book", "root": "index", "parts": parts}


#: What the theme brings and no page asks for: maps of its sources, fonts for browsers without WOFF2, its icons as a
#: script (``_templates/layout.html``), translations of its words.
_UNASKED = ("*.map", "*.ttf", "fontawesome.js", "booktheme.[mp]o")


#: Programs that make the pages.
_MAKERS = (
    "jupyter-book", "sphinx", "docutils", "myst-nb", "myst-parser", "pydata-sphinx-theme", "sphinx-book-theme",
    "sphinxcontrib-bibtex", "pygments",
)  # fmt: skip


def _compile(book: Path, log: Path) -> None:
    """Run Jupyter Book with warnings as errors and without network.

    Pages that are as they were in the last build are kept (``_ext/on_all_cores.py``), unless it failed or anything that
    decides all pages is different; warnings are told of pages that are read.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    html, stamp = book / "_build" / "html", book / "_build" / "pages_made_by.txt"
    makers = _makers(book)
    same = stamp.is_file() and stamp.read_text(encoding="utf-8") == makers and (html / "index.html").is_file()
    stamp.unlink(missing_ok=True)
    shutil.rmtree(html / "_static" if same else html, ignore_errors=True)  # what former builds made would stay
    program = str(Path(sys.executable).with_name("jupyter-book"))
    command = [program, "build", str(book), "-n", "-W", "--keep-going", "-q", *["--all"] * (not same)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    log.write_text(done.stdout + done.stderr, encoding="utf-8")
    if done.returncode:
        lines = (done.stdout + done.stderr).splitlines()
        problems = [line for line in lines if re.search("WARNING|ERROR", line)] or lines[-15:]
        raise BookError("The book could not be compiled.\n" + "\n".join(problems[:30]) + f"\nLog: {log}")
    for kind in _UNASKED:
        for path in (html / "_static").rglob(kind):
            path.unlink()
    _drop_icons(html)
    stamp.write_text(makers, encoding="utf-8")


#: A rule of the theme's style sheet that draws one of its two thousand icons.
_ICON = re.compile(r'(?:\.(?:fa-[\w-]+):+before,?)+\{(?:--fa:|content:)"[^"]*"\}')


def _drop_icons(html: Path) -> None:
    """Leave the icons in the theme's style sheet that a page or a script names: all others are a fifth of it."""
    sheet, static = html / "_static" / "styles" / "pydata-sphinx-theme.css", html / "_static"
    readers = [*html.rglob("*.html"), *static.glob("*.js"), *static.glob("scripts/*.js")]
    named = {name for path in readers for name in re.findall(r"\bfa-[\w-]+", path.read_text(encoding="utf-8"))}
    if sheet.is_file():
        kept = _ICON.sub(
            lambda rule: rule[0] if named & set(re.findall(r"fa-[\w-]+", rule[0])) else "", sheet.read_text("utf-8")
        )
        sheet.write_text(kept, encoding="utf-8")


def _makers(book: Path) -> str:
    """Return the checksums of what decides all pages: settings, contents, styles, templates, written pages, programs.

    Not the pages of studies, nor the landing page, which is made anew by every build: so Sphinx always copies styles,
    pictures and tables.
    """
    made, files = {book / "_build", book / "studies"}, [path for path in sorted(book.rglob("*")) if path.is_file()]
    files = [path for path in files if not made & set(path.parents) and path.suffix != ".pyc"]
    shown = [p for p in files if book / "_static" / shared.FOLDER not in p.parents or p.suffix in (".css", ".js")]
    sums = [f"{sha256(path)}  {path.relative_to(book)}" for path in shown if path != book / "index.md"]
    return "\n".join([sys.version, *(f"{name} {version(name)}" for name in _MAKERS), *sums])
