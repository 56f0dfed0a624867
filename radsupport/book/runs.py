"""Whose results a chapter reads and writes: those of the book, or those of a run with other parameters.

Only the build writes ``results/<study>``, once there is a book. A notebook that is run by hand, in JupyterLab or by
papermill, writes ``results/<study>@<what differs>``, such as ``results/song2021@n_folds-5``, which starts as a copy of
the tables that the book has. Later chapters go on there with ``study = "song2021@n_folds-5"``. Every ``<chapter>.json``
carries a stamp that says whose it is and which results of earlier chapters it was built on; results that were not built
on one another are refused.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Collection, Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any

from radsupport.errors import ContractError, ParameterError, Problem
from radsupport.files import sha256, written_whole
from radsupport.settings.study import Study
from radsupport.study import load_study

#: Set by the build while it runs a chapter of the book.
BUILDS = "RADSUPPORT_BUILDS_BOOK"
BY_HAND = "by_hand"
_RECORD = ".copied.json"

#: Chapters that each chapter reads from.
UPSTREAM: dict[str, tuple[str, ...]] = {
    "01_cohort": (),
    "02_preprocessing": ("01_cohort",),
    "03_radiomics": ("02_preprocessing",),
    "04_deep_features": ("02_preprocessing",),
    "05_modelling": ("03_radiomics", "04_deep_features"),
    "06_validation": ("05_modelling",),
    "07_survival": ("05_modelling", "06_validation"),
    "08_nomogram": ("05_modelling", "06_validation"),
    "09_robustness": ("05_modelling", "06_validation"),
    "10_published": (),
    "11_change": ("05_modelling",),
    "12_ibsi": (),
    "13_strength": (),
}


#: Chapters that know nothing of how a study is modelled and judged (`Study.before_modelling`).
BEFORE_MODELLING = ("01_cohort", "02_preprocessing", "03_radiomics", "04_deep_features")


#: What the author says of a study, which no chapter reads.
_AUTHOR = re.compile(rb"^\n?author:.*?(?=^[^\s#]|\Z)", re.MULTILINE | re.DOTALL)


def settings_of(study_file: Path, profile: str, chapter: str) -> str:
    """Return the checksum of what a chapter knows of its study file: all but `author:`, or the part it is given."""
    if chapter not in BEFORE_MODELLING:
        return hashlib.sha256(_AUTHOR.sub(b"", study_file.read_bytes())).hexdigest()
    given = load_study(study_file.stem, profile, study_file.parent).before_modelling()
    return hashlib.sha256(given.model_dump_json(exclude={"author"}).encode("utf-8")).hexdigest()


def earlier(chapter: str) -> list[str]:
    """Return all chapters that a chapter stands on, directly or through others, in their order."""
    direct = UPSTREAM[chapter]
    return sorted({*direct, *(name for one in direct for name in earlier(one))})


def is_built(results: Path) -> bool:
    """Tell whether the book has executed notebooks of the study with these results."""
    return any((results / "notebooks").glob("*.ipynb"))


def named(study: str, given: str, differs: Mapping[str, Any], known: Collection[str], root: Path) -> str:
    """Return the name of a run by hand: ``@n_folds-5``, or the empty text where it may write the study's own folder.

    Parameters
    ----------
    study, given : str
        Id of the study, and the run that was asked for behind it, such as ``@n_folds-5``.
    differs : mapping
        Parameters of this notebook that are not those of the study file.
    known : collection of str
        All parameters of this notebook.
    root : Path
        Project root.

    Raises
    ------
    ParameterError
        There is no such run, or it was made with other values of these parameters.
    """
    have = [piece for piece in given.split("@") if piece]
    own = [f"{name}-{_slug(value)}" for name, value in differs.items()]
    lost = [piece for piece in have if piece.partition("-")[0] in known and piece not in own]
    if lost:
        remedy = f"give them again, or `study = {study!r}` for a run of its own"
        problems = [Problem("this parameter is part of the run", piece, remedy, value=study + given) for piece in lost]
        raise ParameterError("The run was made with other parameters than these.", problems)
    if have and not (root / "results" / f"{study}{given}").is_dir():
        there = sorted(path.name for path in (root / "results").glob(f"{study}@*"))
        expected = f"one of {', '.join(there)}" if there else f"{study}, for there is no other run"
        raise ParameterError("There is no such run.", [Problem("unknown run", expected, value=study + given)])
    pieces = list(dict.fromkeys([*have, *own])) or [BY_HAND] * is_built(root / "results" / study)
    return "".join(f"@{piece}" for piece in pieces)


def _slug(value: Any) -> str:
    """Return a value as part of a folder's name; different values have different names."""
    if callable(value):
        code = getattr(value, "__code__", None)
        return f"{getattr(value, '__name__', 'function').strip('<>')}-{_short(repr((code and code.co_code, value)))}"
    text = "_".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    plain = re.sub(r"[^A-Za-z0-9._+-]+", "_", text)[:40]
    return plain if plain == text else f"{plain}-{_short(repr(value))}"


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:8]


def start(root: Path, study: str, run: str, chapter: str) -> None:
    """Fill the folder of a run with what the run or the book that it starts from has of earlier chapters.

    What chapters of the run itself have written stays; copies are made anew where their original changed.
    """
    pieces = run.split("@")[1:]
    parents = [root / "results" / "@".join([study, *pieces[:n]]) for n in reversed(range(len(pieces)))]
    parent = next((path for path in parents if path.is_dir()), None)
    folder = root / "results" / f"{study}{run}"
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / _RECORD
    copied = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    mine = {name for name, found in copied.items() if (folder / name).is_file() and sha256(folder / name) == found}
    for path in sorted(parent.iterdir()) if parent is not None else []:
        later = re.match(r"\d\d_\w+\.json$", path.name) and path.stem not in earlier(chapter)
        own = (folder / path.name).exists() and path.name not in mine
        if path.is_file() and not (later or own or path.name.startswith(".")):
            with written_whole(folder / path.name) as partial:
                shutil.copyfile(path, partial)
            copied[path.name] = sha256(folder / path.name)
    with written_whole(record) as partial:
        partial.write_text(json.dumps(copied, indent=1) + "\n", encoding="utf-8")


def stamp(folder: Path, chapter: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `<chapter>.json` keeps of its origin: run, parameters that differ, and the chapters it stands on."""
    built_on = {
        name: {"sha256": sha256(folder / f"{name}.json"), "of": _origin(folder, name)}
        for name in earlier(chapter)
        if (folder / f"{name}.json").is_file()
    }
    return {
        "run": folder.name,
        "parameters": {name: _slug(value) for name, value in parameters.items()},
        "built_on": built_on,
    }


def refuse_mixtures(folder: Path, chapters: Iterable[str], study_file: Path | None = None, profile: str = "") -> None:
    """Refuse results of chapters in one folder that were not built on one another, or not with these settings.

    Chapters without a stamp, such as those of an older version, are taken as they are.

    Parameters
    ----------
    folder : Path
        ``results/<study>``, or that of a run.
    chapters : iterable of str
        Those to look at.
    study_file, profile : Path and str, optional
        With what the chapter runs that wants to read them.

    Raises
    ------
    ContractError
        Every pair of results that do not belong together, both named.
    """
    found = {name: _content(folder, name) for name in chapters if (folder / f"{name}.json").is_file()}
    found = {name: content for name, content in found.items() if content.get("stamp")}
    problems = [problem for name in found for problem in _odd(folder, name, found[name])]
    for what, of in (("study file", _settings), ("profile", _profile)):
        values = {name: of(content, folder) for name, content in found.items()}
        for name, value in values.items():
            alike = [
                one for one in found if what == "profile" or (one in BEFORE_MODELLING) == (name in BEFORE_MODELLING)
            ]
            last, wanted = alike[-1], values[alike[-1]]
            if study_file:
                own = profile if what == "profile" else f"sha256 {settings_of(study_file, profile, name)[:8]}"
                last, wanted = "this chapter", own
            if value != wanted:
                text = f"{name} was run with the {what} of {value}, {last} with that of {wanted}"
                problems.append(Problem(text, "one for all", f"run {name} again", _place(folder, name)))
    if problems:
        message = f"The results in {_place(folder)} do not belong together: they come from different runs."
        raise ContractError(message, list(dict.fromkeys(problems)))


def _odd(folder: Path, name: str, content: Mapping[str, Any]) -> Iterable[Problem]:
    """Yield what one chapter was built on, or wrote, that is not what lies in its folder."""
    own, file = content["stamp"], _place(folder, name)
    if not f"{folder.name}@".startswith(f"{own['run']}@"):
        expected = f"results of {folder.name}"
        yield Problem(f"{name} belongs to the run {own['run']}", expected, f"run {name} again", file)
    for other, before in own["built_on"].items():
        path = folder / f"{other}.json"
        if path.is_file() and (now := sha256(path)) != before["sha256"]:
            then = f"{before['of']}, sha256 {before['sha256'][:8]}"
            what = f"{name} was built on {other} of {then}; here lies {other} of {_origin(folder, other)}, {now[:8]}"
            yield Problem(what, "one run", f"run {name} again", file)
    tables = {file: found for file, found in content["inputs"].items() if file.endswith(".parquet")}
    for kind, files in (("was built on", tables), ("wrote", own.get("wrote", {}))):
        for table, before in files.items():
            path = folder / table
            if path.is_file() and (now := sha256(path)) != before:
                what = f"{name} {kind} a {table} of sha256 {before[:8]}; the one here is {now[:8]}"
                yield Problem(what, "the same table", f"run {name} again", file)


def _content(folder: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return found


def _origin(folder: Path, name: str) -> str:
    """Return in words whose results a chapter's are."""
    found = _content(folder, name).get("stamp")
    if not found:
        return f"{folder.name} (of an older version)"
    given = ", ".join(f"{key} = {value}" for key, value in found["parameters"].items())
    return f"{found['run']} ({given or 'parameters of the study file'})"


def _settings(content: Mapping[str, Any], _: Path) -> str:
    return f"sha256 {content['stamp'].get('settings', 'unknown')[:8]}"


def _profile(content: Mapping[str, Any], _: Path) -> str:
    return str(content["numbers"].get("profile", {}).get("value", ""))


def _place(folder: Path, name: str = "") -> str:
    return f"results/{folder.name}" + f"/{name}.json" * bool(name)


_THERE = (
    "There is no training cohort here, so that nothing on this page is out of fold or apparent; what it says of "
    "training happened in the study of the model"
)
#: What the page of a study that validates a locked model does without, and why, by chapter.
LOCKED = {
    "01_cohort": "There is no training cohort here: all patients are those whom the model is tried on, and nothing is "
    "learnt from their outcomes.",
    "02_preprocessing": "There is no training cohort here; scans are prepared as in the study of the model.",
    "05_modelling": "There is no training cohort here: no folds, no selection, no learning curve, no permutations.",
    "06_validation": f"{_THERE}. Thresholds and the translation of risks into probabilities are those of the model's "
    "file; tables that need training patients are left out.",
    "07_survival": f"{_THERE}. The cut-off is that of the model's file; Cox models of clinical columns, which would "
    "have to be fitted in training, are left out with all that compares with them.",
    "08_nomogram": f"{_THERE}. The nomogram is the one that lies beside the model.",
}


def notebook_of(chapter: str, study: Study | None) -> Path:
    """Return the notebook of a chapter; two have another one where a study only validates a locked model."""
    locked = study is not None and bool(study.model) and chapter in ("05_modelling", "08_nomogram")
    return Path("notebooks", f"{chapter[:3]}locked.ipynb" if locked else f"{chapter}.ipynb")


def why_unused(chapter: str, study: Study) -> str:
    """Return why a study does not use a chapter, or the empty text where it does."""
    if study.data.entry == "features" and chapter in ("02_preprocessing", "03_radiomics", "04_deep_features"):
        return "it starts from feature tables, so there are no images here"
    if study.model and chapter in ("03_radiomics", "04_deep_features"):
        return "scans are measured as the locked model's file says, in the chapter on modelling; no network is trained"
    if study.model and chapter == "09_robustness":
        return "its comparators are fitted on training patients, and a locked model is only validated here"
    no_nomogram = "no nomogram lies beside the locked model" if study.model else "it names no signature for a nomogram"
    reasons = {
        "03_radiomics": "no signature of it uses radiomics" if study.radiomics is None else "",
        "04_deep_features": "no signature of it uses a network" if study.deep is None else "",
        "07_survival": "there are no follow-up times, only a yes/no outcome" if study.endpoint.survival is None else "",
        "08_nomogram": no_nomogram if not study.nomogram.signature else "",
    }
    return reasons.get(chapter, "")


def banner(study: Study) -> str:
    """Return the line on top of every page: whose data these are, and whether the settings are those of a full run."""
    if study.is_synthetic:
        kind, head = "synthetic", "<strong>Synthetic data.</strong>"
        words = "Every patient on this page was generated by a program; no result is a finding about people."
    else:
        licence = f" ({escape(study.data.licence)})" if study.data.licence else ""
        kind, head = "real", f"<strong>Real data</strong>{licence}."
        words = "For research and teaching; not for decisions about patients."
    if study.profile == "demo":
        networks = "" if why_unused("04_deep_features", study) else "small networks, "
        words += (
            f" <strong>Demonstration settings</strong> (profile <code>demo</code>): {networks}few divisions and "
            "resamples, so that the page is computed in minutes."
        )
    return f'<div class="rs-banner rs-{kind}" role="note">{head} {words}</div>'
