"""What the notebook of this chapter calls: its parameters, its texts, its files under results/published."""

from __future__ import annotations

import inspect
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd

from radsupport.contracts_json import write_chapter_json
from radsupport.errors import ParameterError, Problem
from radsupport.published.claims import check_claims
from radsupport.published.figure_names import figures_of
from radsupport.published.findings import checked_claims
from radsupport.published.side_by_side import study_labels
from radsupport.published.summary import KIND_LABELS, shown_rows, significance_changes, verdicts_per_paper
from radsupport.published.verdicts import FAILS, FORMS, HOLDS, UNDECIDED, VERDICTS
from radsupport.report.wording import counted

CHAPTER = "09_published"
STUDY = "published"
HEADERS = {"published_value": "printed", "group": "column"}
"""Words for the columns of the tables of claims."""


def check_parameters(study: str, verdicts_shown: str) -> None:
    """Require the parameters of the notebook to have known values.

    Raises
    ------
    ParameterError
        All unknown values are listed.
    """
    problems = []
    if study != STUDY:
        problems.append(Problem("there is one study here", STUDY, "leave it", column="study", value=str(study)))
    if verdicts_shown not in ("all", *VERDICTS):
        known = f"all, {', '.join(VERDICTS)}"
        problems.append(Problem("no such verdict", known, column="verdicts_shown", value=str(verdicts_shown)))
    if problems:
        raise ParameterError(f"{CHAPTER} can not run with these parameters.", problems)


def results_folder(root: Path = Path()) -> Path:
    """Return (and make) the one folder this chapter writes to."""
    folder = root / "results" / STUDY
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def open_chapter(study: str, verdicts_shown: str, root: Path = Path()) -> pd.DataFrame:
    """Check the parameters, check all claims, write ``verdicts.csv``, and return the claims with their verdicts."""
    check_parameters(study, verdicts_shown)
    results = checked_claims()
    results.drop(columns=["inputs", "values"]).to_csv(results_folder(root) / "verdicts.csv", index=False)
    return results


def rules() -> pd.DataFrame:
    """Return every rule of the checkers, as their code states it: kind, what is checked, from which figures."""
    rows = []
    for each in FORMS:
        first = (inspect.getdoc(each.checker) or "").split("\n\n")[0]
        text = " ".join(first.split()).replace("`", "")
        rows.append({"kind": KIND_LABELS[each.kind], "what is checked": text, "from which figures": figures_of(each)})
    order = {label: i for i, label in enumerate(KIND_LABELS.values())}
    return pd.DataFrame(rows).sort_values("kind", key=lambda kinds: kinds.map(order), kind="stable")


def headline(results: pd.DataFrame) -> str:
    """Return the result of the chapter in a few sentences of Markdown."""
    chosen = results[results["counted"]]
    counts, others = chosen["verdict"].value_counts(), len(results) - len(chosen)
    changes = counted(len(significance_changes(results)), "P value")
    return (
        f"Of **{len(chosen)}** printed values, **{counts.get(HOLDS, 0)}** hold, **{counts.get(FAILS, 0)}** do not, "
        f"and **{counts.get(UNDECIDED, 0)}** can not be decided from what is printed. For **{changes}** "
        "every test tried lies on the other side of 0.05 than the printed value. "
        f"{counted(others, 'further row')} of the table of claims {'is' if others == 1 else 'are'} not counted, for "
        "want of a printed value of their own that could fail; they are listed with what can not be checked."
    )


def findings_text(table: pd.DataFrame, study: str) -> str:
    """Return one paper's findings as a Markdown list."""
    chosen = table[table["study"] == study]
    return "\n\n".join(f"- **{row.title}.** {row.text}" for row in chosen.itertuples())


def claims_table(results: pd.DataFrame, study: str, verdicts_shown: str) -> tuple[pd.DataFrame, str]:
    """Return the table of one paper's claims and its caption."""
    table = shown_rows(results, study, verdicts_shown)
    which = "every counted claim" if verdicts_shown == "all" else f"claims with the verdict “{verdicts_shown}”"
    return table, f"{study_labels()[study]}: {which} ({len(table)})"


def example() -> tuple[str, pd.DataFrame]:
    """Return the example table of claims that comes with the package, as text, and its verdicts."""
    with resources.as_file(resources.files("radsupport.published") / "data" / "example_claims.csv") as path:
        return path.read_text("utf-8"), check_claims(path)


def finish(results: pd.DataFrame, root: Path = Path()) -> Path:
    """Write the numbers that other pages quote to ``results/published/09_published.json``."""
    chosen = results[results["counted"]]
    numbers: dict[str, Any] = {"n_claims": _number(len(chosen))}
    for verdict in VERDICTS:
        numbers[verdict.replace(" ", "_")] = _number(int((chosen["verdict"] == verdict).sum()), len(chosen))
    for row in verdicts_per_paper(results).to_dict("records"):
        key = str(row["paper"]).lower().replace(" ", "")
        numbers[f"{key}_does_not_hold"] = _number(int(row[FAILS]), int(row["claims"]))
    numbers["p_values_on_the_other_side"] = _number(len(significance_changes(results)))
    folder = results_folder(root)
    with resources.as_file(resources.files("radsupport.published") / "data" / "claims.csv") as claims:
        return write_chapter_json(folder, CHAPTER, numbers, inputs=[claims])


def _number(value: int, n: int | None = None) -> dict[str, Any]:
    return {"value": value, "n": n, "ci_low": None, "ci_high": None}
