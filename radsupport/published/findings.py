"""What the verdicts mean for a reader: findings in words, their numbers filled in from the checked claims."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from types import SimpleNamespace
from typing import Any

import pandas as pd
import yaml

from radsupport.errors import InputError, Problem
from radsupport.published.claims import RESULT_COLUMNS, checked_rows
from radsupport.published.side_by_side import study_labels
from radsupport.published.verdicts import FAILS, HOLDS, UNDECIDED


def checked_claims() -> pd.DataFrame:
    """Check the claims of the four papers.

    Returns
    -------
    pandas.DataFrame
        As `check_claims()`, with ``inputs`` (the printed figures) and ``values`` (the recomputed numbers by name).
    """
    rows = [
        record | {"inputs": claim.inputs if claim else {}, "values": dict(verdict.values) if verdict else {}}
        for record, claim, verdict in checked_rows()
    ]
    return pd.DataFrame(rows, columns=[*RESULT_COLUMNS, "inputs", "values"])


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
    for each in _content()["findings"]:
        try:
            text = _fill(each, results[results["study"] == each["study"]])
        except InputError as error:
            problems.append(Problem(str(error), value=each["title"]))
            continue
        rows.append({"study": each["study"], "title": each["title"], "text": " ".join(text.split())})
    if problems:
        raise InputError("Findings do not follow from the claims.", problems)
    return pd.DataFrame(rows, columns=["study", "title", "text"])


def not_checkable() -> pd.DataFrame:
    """Return what can not be checked from the printed figures, and why: study, what, why."""
    table = pd.DataFrame(_content()["not_checkable"])
    return table.assign(study=table["study"].map(study_labels()))


def _content() -> dict[str, Any]:
    text = (resources.files("radsupport.published") / "data" / "findings.yaml").read_text("utf-8")
    content: dict[str, Any] = yaml.safe_load(text)
    return content


def _select(results: pd.DataFrame, where: Mapping[str, str]) -> pd.DataFrame:
    chosen = results
    for column, value in where.items():
        if column.endswith("_prefix"):
            chosen = chosen[chosen[column.removesuffix("_prefix")].str.startswith(value)]
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
        names[name] = _counts(_select(results, where))
    try:
        return str(finding["text"]).format(**names)
    except (KeyError, AttributeError) as error:
        raise InputError(f"the text asks for {error}, which no claim provides.") from error


def _counts(chosen: pd.DataFrame) -> SimpleNamespace:
    verdicts = chosen["verdict"]
    counts = {"holds": HOLDS, "fails": FAILS, "undecided": UNDECIDED}
    crossing = sum(bool(values.get("crosses")) for values in chosen["values"])
    shares = {name: int((verdicts == verdict).sum()) for name, verdict in counts.items()}
    return SimpleNamespace(n=len(verdicts), crossing=crossing, **shares)
