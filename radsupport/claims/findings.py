"""What the verdicts mean for a reader: findings in words, their numbers filled in from the checked claims."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pandas as pd

from radsupport.claims.designs import study_labels
from radsupport.claims.verdicts import FAILS, HOLDS, UNDECIDED, content
from radsupport.errors import InputError, Problem


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


def not_checkable() -> pd.DataFrame:
    """Return what can not be checked from the printed figures, and why: study, what, why."""
    table = pd.DataFrame(content("findings.yaml")["not_checkable"])
    return table.assign(study=table["study"].map(study_labels()))


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
