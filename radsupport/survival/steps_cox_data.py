"""Chapter 07: the training patients of the Cox models, with levels without events dealt with."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from radsupport.study_schema import Study
from radsupport.survival.steps_groups import main_signature

SIGNATURE = "signature_per_sd"
OUTCOME = ("time", "event")


@dataclass(frozen=True, eq=False)
class CoxData:
    """Training patients ready for Cox regression.

    Attributes
    ----------
    table : DataFrame
        time, event, the covariates, and `SIGNATURE`, the out-of-fold risk in standard deviations.
    covariates : list of str
        Those that vary and have values.
    reference : dict
        Reference level of each category: the first one that occurs.
    notes : list of str
        What was merged or left out, in words.
    added : str
        The signature whose risk is `SIGNATURE`.
    names : dict of column to dict
        New name of each level of the categories with merged levels.
    """

    table: pd.DataFrame
    covariates: list[str]
    reference: dict[str, str]
    notes: list[str]
    added: str
    names: dict[str, dict[str, str]]


def cox_data(rows: pd.DataFrame, cohort: pd.DataFrame, study: Study, *, merge: bool | None = None) -> CoxData:
    """Return the followed training patients with their covariates, levels without events merged on request.

    Parameters
    ----------
    rows : DataFrame
        What `steps_groups.followed` returns, with the signature to be added among its signatures.
    cohort : DataFrame
        cohort.parquet.
    study : Study
    merge : bool, optional
        Merge levels without events; by default as `survival.no_event_levels` says.
    """
    added = study.survival.adds or main_signature(study)
    own = rows[(rows["cohort"] == "train") & (rows["signature"] == added)][["subject", "risk", *OUTCOME]]
    wanted = list(study.survival.covariates)
    table = own.merge(cohort[["subject", *wanted]], on="subject", how="left")
    sd = float(table["risk"].std())
    table[SIGNATURE] = (table["risk"] - table["risk"].mean()) / (sd if sd > 0 else 1.0)
    merging = study.survival.no_event_levels == "merge" if merge is None else merge
    notes: list[str] = []
    names: dict[str, dict[str, str]] = {}
    for column in (c for c in wanted if study.columns[c].kind == "category"):
        table[column] = table[column].astype("category").cat.remove_unused_categories()
        found, words = merge_empty_levels(table[column], table["event"])
        if merging and words:
            names[column], table[column] = found, recoded(table[column], found)
            notes += [f"{study.columns[column].label}: {word}" for word in words]
    kept = [c for c in wanted if table[c].dropna().unique().size > 1]
    notes += [f"{study.columns[c].label} is left out: it does not vary here" for c in wanted if c not in kept]
    return CoxData(table, kept, _references(table, kept, study), notes, added, names)


def _references(table: pd.DataFrame, columns: list[str], study: Study) -> dict[str, str]:
    categories = [c for c in columns if study.columns[c].kind == "category"]
    return {c: str(table[c].cat.categories[0]) for c in categories}


def merge_empty_levels(values: pd.Series, event: pd.Series) -> tuple[dict[str, str], list[str]]:
    """Find names under which every level has an event: a level without any joins the one before it.

    Parameters
    ----------
    values : Series
        A category with its levels in order; the first level, if it has no event, joins the one after it.
    event : Series of 0/1

    Returns
    -------
    names : dict
        New name of every level, in order; a merged level is called ``A or B``.
    words : list of str
        What was merged and why.
    """
    levels = [str(level) for level in values.cat.categories]
    n = {level: int((values == level).sum()) for level in levels}
    events = {level: int(event[values == level].sum()) for level in levels}
    groups, words = [[level] for level in levels], []
    while len(groups) > 1:
        empty = next((i for i, group in enumerate(groups) if not any(events[level] for level in group)), None)
        if empty is None:
            break
        first = max(empty - 1, 0)
        who, patients = " or ".join(groups[empty]), sum(n[level] for level in groups[empty])
        groups[first : first + 2] = [groups[first] + groups[first + 1]]
        name = " or ".join(groups[first])
        words.append(f"none of the {patients} patients with {who} had the event, so {name} is one level")
    return {level: " or ".join(group) for group in groups for level in group}, words


def recoded(values: pd.Series, names: dict[str, str]) -> pd.Series:
    """Return a category with its levels renamed, the new levels in order."""
    order = list(dict.fromkeys(names.values()))
    return pd.Series(pd.Categorical(values.astype(object).map(names), order), index=values.index, name=values.name)
