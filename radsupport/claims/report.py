"""The claims of the four papers with their verdicts: counted per paper and per kind, shown, and what they mean.

Findings are words whose numbers are filled in from the checked claims.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pandas as pd

from radsupport.claims.claims import RESULT_COLUMNS, check_claims, checked_rows
from radsupport.claims.designs import study_labels
from radsupport.claims.text import figures_of
from radsupport.claims.verdicts import FAILS, FORMS, HOLDS, MALFORMED, UNDECIDED, VERDICTS, content
from radsupport.errors import InputError, ParameterError, Problem
from radsupport.tables import write_chapter_json


def not_counted() -> pd.DataFrame:
    """Return the claims that are checked but not counted, one row each: study, table, item, why."""
    rows = [
        {"study": each["study"], "table": each["table"], "item": item, "why": each["why"]}
        for each in content("not_counted.yaml")["not_counted"]
        for item in each["items"]
    ]
    return pd.DataFrame(rows, columns=["study", "table", "item", "why"])


def findings(results: pd.DataFrame) -> pd.DataFrame:
    """Return the findings that change how a paper should be read.

    Parameters
    ----------
    results : pandas.DataFrame
        From `checked_claims`.

    Returns
    -------
    pandas.DataFrame
        ``study, title, text``; each number in the text comes from `results`.

    Raises
    ------
    InputError
        A finding names a claim that does not exist once, or whose verdict is no longer the one it rests on.
    """
    rows, problems = [], []
    for each in content("findings.yaml")["findings"]:
        try:
            text = _fill(each, results[results["study"] == each["study"]])
        except InputError as error:
            problems.append(Problem(str(error), value=each["title"]))
            continue
        rows.append({"study": each["study"], "title": each["title"], "text": " ".join(text.split())})
    if problems:
        raise InputError("Findings do not follow from the claims.", problems)
    return pd.DataFrame(rows, columns=["study", "title", "text"])


def unchecked(*, listed: bool = False) -> pd.DataFrame:
    """Return what can not be checked from the printed figures, and why: study, what, why.

    With `listed` return the claims that are checked but not counted instead: paper, table, item, why.
    """
    table = not_counted() if listed else pd.DataFrame(content("findings.yaml")["not_checkable"])
    table = table.assign(study=table["study"].map(study_labels()))
    return table.rename(columns={"study": "paper"}) if listed else table


def _select(results: pd.DataFrame, where: Mapping[str, str]) -> pd.DataFrame:
    chosen = results
    for column, value in where.items():
        if column.endswith("_prefix"):
            chosen = chosen[chosen[column.removesuffix("_prefix")].str.startswith(value)]
        elif column.endswith("_suffix"):
            chosen = chosen[chosen[column.removesuffix("_suffix")].str.endswith(value)]
        else:
            chosen = chosen[chosen[column] == value]
    return chosen


def _fill(finding: Mapping[str, Any], results: pd.DataFrame) -> str:
    """Put the claims' fields and the groups' counts into a finding's text."""
    names: dict[str, Any] = {}
    for name, where in finding.get("claims", {}).items():
        chosen = _select(results, where).to_dict("records")
        if len(chosen) != 1:
            raise InputError(f"{len(chosen)} claims are {dict(where)}, one is needed.")
        names[name] = SimpleNamespace(**{str(key): value for key, value in chosen[0].items()})
        needed = finding["needs"].get(name)
        if needed and names[name].verdict != needed:
            raise InputError(f"“{names[name].item}” is now “{names[name].verdict}”, the finding needs “{needed}”.")
    for name, where in finding.get("counts", {}).items():
        names[name] = _counted_verdicts(_select(results[results["counted"]], where))
    try:
        return str(finding["text"]).format(**names)
    except (KeyError, AttributeError) as error:
        raise InputError(f"the text asks for {error}, which no claim provides.") from error


def _counted_verdicts(chosen: pd.DataFrame) -> SimpleNamespace:
    verdicts = chosen["verdict"]
    counts = {"holds": HOLDS, "fails": FAILS, "undecided": UNDECIDED}
    failing = chosen.loc[verdicts == FAILS, "values"]
    crossing = sum(bool(values.get("crosses")) for values in failing)
    shares = {name: int((verdicts == verdict).sum()) for name, verdict in counts.items()}
    return SimpleNamespace(n=len(verdicts), crossing=crossing, **shares)


def checked_claims(own: str | Path | None = None) -> pd.DataFrame:
    """Check the claims of the four papers, or those of another table.

    Parameters
    ----------
    own : path, optional
        Table of claims to check instead, as `check_claims` takes it.

    Returns
    -------
    pandas.DataFrame
        As `check_claims`; of the four papers with ``published_value`` in readable form (`in_words`), ``counted`` (False
        for the rows of `not_counted`), ``inputs`` (the printed figures) and ``values`` (recomputed numbers by name).
    """
    if own is not None:
        return check_claims(own)
    rows = [
        record | {"inputs": claim.inputs if claim else {}, "values": dict(verdict.values) if verdict else {}}
        for record, claim, verdict in checked_rows()
    ]
    table = pd.DataFrame(rows, columns=[*RESULT_COLUMNS, "inputs", "values"])
    places = list(zip(table["study"], table["table"], table["item"], strict=True))
    left_out = set(not_counted()[["study", "table", "item"]].itertuples(index=False, name=None))
    if left_out - set(places):
        raise InputError(f"not_counted.yaml names claims that do not exist: {sorted(left_out - set(places))}.")
    counted = [place not in left_out for place in places]
    return table.assign(published_value=table["published_value"].map(in_words), counted=counted)


def in_words(published: str) -> str:
    """Return a printed value that was typed in as a list without brackets and quotes.

    A list of counts reads ``139/39``; each group of several figures reads as its first with the others in brackets
    behind it, ``67 (47.2); 46 (48.9)``. Anything else stays as it is.
    """
    if not published.startswith(("[", "(")):
        return published
    try:
        value = ast.literal_eval(published)
    except (ValueError, SyntaxError):
        return published
    if not isinstance(value, list | tuple):
        return published
    if not any(isinstance(each, list | tuple) for each in value):
        return "/".join(map(str, value))
    return "; ".join(_group(each) for each in value)


def _group(value: Any) -> str:
    if not isinstance(value, list | tuple):
        return str(value)
    first, *others = map(str, value)
    return f"{first} ({', '.join(others)})" if others else first


CHAPTER, STUDY = "10_published", "published"
KIND_LABELS: dict[str, str] = content("words.yaml")["kinds"]


def verdicts(results: pd.DataFrame, by: Literal["paper", "kind"] = "paper") -> pd.DataFrame:
    """Count the verdicts of the counted claims.

    Returns
    -------
    pandas.DataFrame
        By paper one row each: paper, claims, one column per verdict, and the share that hold of those decided, in
        whole per cent. By kind tidy numbers: paper, kind (in words, in a fixed order), verdict, claims; also zeros.
    """
    results = results[results["counted"]]
    return _per_kind(results) if by == "kind" else _per_paper(results)


def _per_paper(results: pd.DataFrame) -> pd.DataFrame:
    counts = pd.crosstab(results["study"], results["verdict"])
    counts = counts.reindex(index=results["study"].unique(), columns=list(VERDICTS), fill_value=0)
    table = counts.rename_axis(columns=None, index="study").reset_index()
    table.insert(1, "claims", counts.sum(axis=1).to_numpy())
    decided = table[HOLDS] + table[FAILS]
    table["percent_holding"] = (100 * table[HOLDS] / decided.where(decided > 0)).round()
    table["study"] = table["study"].map(study_labels()).fillna(table["study"])
    return table.rename(columns={"study": "paper"})


def _per_kind(results: pd.DataFrame) -> pd.DataFrame:
    labels = study_labels()
    frame = pd.DataFrame(
        {
            "paper": pd.Categorical(results["study"].map(labels), categories=list(labels.values())),
            "kind": pd.Categorical(results["kind"].map(KIND_LABELS), categories=list(KIND_LABELS.values())),
            "verdict": pd.Categorical(results["verdict"], categories=list(VERDICTS)),
        }
    )
    return frame.groupby(["paper", "kind", "verdict"], observed=False).size().rename("claims").reset_index()


def shown_rows(results: pd.DataFrame, study: str, verdict: str = "all") -> pd.DataFrame:
    """Return the counted rows of one paper, or those with one verdict, with the columns that a reader needs.

    ``attrs["paper"]`` is the paper's name.

    Raises
    ------
    ParameterError
        `verdict` is neither `all` nor a verdict.
    """
    if verdict not in ("all", *VERDICTS):
        raise ParameterError(f"`verdicts_shown` must be all, {HOLDS}, {FAILS} or {UNDECIDED}; it is {verdict!r}.")
    chosen = results[results["counted"] & (results["study"] == study)]
    if verdict != "all":
        chosen = chosen[chosen["verdict"] == verdict]
    where = chosen["table"] + ", " + chosen["group"]
    table = chosen.assign(kind=chosen["kind"].map(KIND_LABELS), where=where)
    table.attrs["paper"] = study_labels()[study]
    return table[["verdict", "item", "where", "published_value", "recomputed", "reason", "kind"]]


def significance_changes(results: pd.DataFrame) -> pd.DataFrame:
    """Return the P values that lie on one side of 0.05 as printed and on the other by every test tried.

    A value that a test named by the paper might give is undecided where that test can not be recomputed, and so
    not among them.
    """
    results = results[results["counted"]]
    crossing = [bool(values.get("crosses")) and verdict == FAILS for values, verdict in
                zip(results["values"], results["verdict"], strict=True)]  # fmt: skip
    chosen = results[crossing]
    table = chosen.assign(paper=chosen["study"].map(study_labels()))
    return table[["paper", "table", "item", "group", "published_value", "recomputed"]].reset_index(drop=True)


def rules() -> pd.DataFrame:
    """Return every rule of the checkers, as their code states it: kind, what is checked, from which figures."""
    rows = []
    for each in FORMS:
        first = (inspect.getdoc(each.checker) or "").split("\n\n")[0]
        text = " ".join(first.split()).replace("`", "")
        rows.append({"kind": KIND_LABELS[each.kind], "what is checked": text, "from which figures": figures_of(each)})
    order = {label: i for i, label in enumerate(KIND_LABELS.values())}
    return pd.DataFrame(rows).sort_values("kind", key=lambda kinds: kinds.map(order), kind="stable")


def example() -> tuple[str, pd.DataFrame]:
    """Return the example table of claims that comes with the package, as text, and its verdicts."""
    with resources.as_file(resources.files("radsupport.claims") / "data" / "example_claims.csv") as path:
        return path.read_text("utf-8"), check_claims(path)


def numbers(results: pd.DataFrame) -> dict[str, tuple[int, int | None]]:
    """Return what other pages quote: a value and, where it is a part, of how many."""
    chosen = results[results["counted"]]
    found: dict[str, tuple[int, int | None]] = {"n_claims": (len(chosen), None)}
    for verdict in VERDICTS:
        found[verdict.replace(" ", "_")] = (int((chosen["verdict"] == verdict).sum()), len(chosen))
    for row in verdicts(results).to_dict("records"):
        key = str(row["paper"]).lower().replace(" ", "")
        found[f"{key}_does_not_hold"] = (int(row[FAILS]), int(row["claims"]))
    return found | {"p_values_on_the_other_side": (len(significance_changes(results)), None)}


def write(
    results: pd.DataFrame, study: str = STUDY, root: Path = Path(), *, folder: Path | None = None
) -> dict[str, tuple[int, int | None]]:
    """Write ``verdicts.csv`` and the numbers that other pages quote; return these numbers.

    Parameters
    ----------
    results : DataFrame
        Of `checked_claims`.
    study : str
        Has to be that of the published values.
    root : Path
        Project root.
    folder : Path, optional
        Where to; ``results/published`` by default.

    Raises
    ------
    ParameterError
        `study` is another one: there is only the study of the published values.
    """
    if study != STUDY:
        raise ParameterError(f"`study` must be {STUDY}: this chapter is about the papers; it is {study!r}.")
    folder = folder or root / "results" / STUDY
    folder.mkdir(parents=True, exist_ok=True)
    results.drop(columns=["inputs", "values"]).to_csv(folder / "verdicts.csv", index=False)
    found = numbers(results)
    quoted = {name: _quoted(*value) for name, value in found.items()}
    with resources.as_file(resources.files("radsupport.claims") / "data" / "claims.csv") as claims:
        write_chapter_json(folder, CHAPTER, quoted, inputs=[claims])
    return found


def _quoted(value: int, n: int | None) -> dict[str, Any]:
    return {"value": value, "n": n, "ci_low": None, "ci_high": None}


def as_text(results: pd.DataFrame, only: Sequence[str]) -> str:
    """Return the listed verdicts as text, one claim per paragraph, and the counts of all."""
    lines = []
    for row in results[results["verdict"].isin(list(only))].to_dict("records"):
        place = ", ".join(str(row[name]) for name in ("study", "table", "group") if row[name])
        lines.append(f"row {row['row']}: {row['verdict'].upper()} – {row['item']} = {row['published_value']} ({place})")
        lines.append(textwrap.fill(str(row["reason"]), 100, initial_indent="    ", subsequent_indent="    "))
    counts = results["verdict"].value_counts()
    names = [*VERDICTS, MALFORMED] if MALFORMED in counts else list(VERDICTS)
    lines.append(f"{len(results)} claims: " + ", ".join(f"{counts.get(name, 0)} {name}" for name in names))
    return "\n".join(lines)
