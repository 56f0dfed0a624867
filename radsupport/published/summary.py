"""Counts of verdicts per paper and per kind of claim."""

from __future__ import annotations

import pandas as pd

from radsupport.errors import ParameterError
from radsupport.published.findings import not_counted
from radsupport.published.side_by_side import study_labels
from radsupport.published.verdicts import FAILS, HOLDS, UNDECIDED, VERDICTS

KIND_LABELS = {
    "count_total": "Totals of counts",
    "proportion": "Proportions and percentages",
    "mean_sd": "Means and standard deviations",
    "p_value": "P values",
    "statistic": "Test statistics",
    "auc": "AUCs",
    "ci": "Confidence intervals",
    "hr": "Hazard ratios",
    "or": "Odds ratios",
    "survival": "Median survival, follow-up",
    "shape": "Network layers",
    "text_vs_table": "Text against tables",
    "duplicate_row": "Repeated rows",
    "label_order": "Order of labels",
}


def verdicts_per_paper(results: pd.DataFrame) -> pd.DataFrame:
    """Return one row per paper: paper, claims, one column per verdict, and the share that hold of those decided.

    Only the counted claims; the share in whole per cent.
    """
    results = results[results["counted"]]
    counts = pd.crosstab(results["study"], results["verdict"])
    counts = counts.reindex(index=results["study"].unique(), columns=list(VERDICTS), fill_value=0)
    table = counts.rename_axis(columns=None, index="study").reset_index()
    table.insert(1, "claims", counts.sum(axis=1).to_numpy())
    decided = table[HOLDS] + table[FAILS]
    table["percent_holding"] = (100 * table[HOLDS] / decided.where(decided > 0)).round()
    table["study"] = table["study"].map(study_labels()).fillna(table["study"])
    return table.rename(columns={"study": "paper"})


def verdicts_per_kind(results: pd.DataFrame) -> pd.DataFrame:
    """Return tidy numbers of counted claims: paper, kind (in words, in a fixed order), verdict, claims; also zeros."""
    results = results[results["counted"]]
    labels = study_labels()
    frame = pd.DataFrame(
        {
            "paper": pd.Categorical(results["study"].map(labels), categories=list(labels.values())),
            "kind": pd.Categorical(results["kind"].map(KIND_LABELS), categories=list(KIND_LABELS.values())),
            "verdict": pd.Categorical(results["verdict"], categories=list(VERDICTS)),
        }
    )
    return frame.groupby(["paper", "kind", "verdict"], observed=False).size().rename("claims").reset_index()


def shown_rows(results: pd.DataFrame, study: str, verdicts_shown: str) -> pd.DataFrame:
    """Return the counted rows of one paper that the chapter's table shows, with the columns it shows.

    Raises
    ------
    ParameterError
        `verdicts_shown` is neither `all` nor a verdict.
    """
    if verdicts_shown not in ("all", *VERDICTS):
        raise ParameterError(
            f"`verdicts_shown` must be all, {HOLDS}, {FAILS} or {UNDECIDED}; it is {verdicts_shown!r}."
        )
    chosen = results[results["counted"] & (results["study"] == study)]
    if verdicts_shown != "all":
        chosen = chosen[chosen["verdict"] == verdicts_shown]
    where = chosen["table"] + ", " + chosen["group"]
    table = chosen.assign(kind=chosen["kind"].map(KIND_LABELS), where=where)
    return table[["verdict", "item", "where", "published_value", "recomputed", "reason", "kind"]]


def rows_not_counted() -> pd.DataFrame:
    """Return the claims that are checked but not counted: paper, table, item, why."""
    table = not_counted()
    return table.assign(study=table["study"].map(study_labels())).rename(columns={"study": "paper"})


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
