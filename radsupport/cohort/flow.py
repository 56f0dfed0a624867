"""Who came into the study and who did not: the tables of the flow diagram."""

from __future__ import annotations

import pandas as pd

from radsupport.cohort.assignment import CohortTables
from radsupport.study_schema import Study

MOST_REASONS = 12


def flow_table(tables: CohortTables, study: Study, event: str) -> pd.DataFrame:
    """Return the patients' way into the study, for `figures.patient_flow`.

    Parameters
    ----------
    tables : CohortTables
    study : Study
    event : str
        Column that counts an event of the primary endpoint.

    Returns
    -------
    pandas.DataFrame
        role (``main`` boxes downwards, ``cohort`` boxes side by side below them, ``aside`` beside these),
        step, n, excluded (who left after this box: one reason per line, with its number), note.
    """
    cohort, outlines = tables.cohort, tables.cohort["cohort"] == "segmentation"
    included = int((~outlines).sum())
    reasons = tables.excluded["reason"].value_counts(sort=True)
    rows = []
    if len(tables.excluded):
        screened = included + len(tables.excluded)
        left = reason_lines(reasons)
        rows.append({"role": "main", "step": "Assessed for eligibility", "n": screened, "excluded": left})
    rows.append({"role": "main", "step": "In the study", "n": included})
    for key, spec in study.cohorts.items():
        here = cohort[cohort["cohort"] == key]
        centers = ", ".join(sorted(here["center"].unique()))
        if key == "segmentation":
            note = "outlines train the network; no outcome is used"
            rows.append({"role": "aside", "step": f"In addition: {spec.name}", "n": len(here), "note": note})
        else:
            note = f"{int(here[event].sum())} events\ncenter: {centers}"
            rows.append({"role": "cohort", "step": spec.name, "n": len(here), "note": note})
    return pd.DataFrame(rows).reindex(columns=["role", "step", "n", "excluded", "note"]).fillna("")


def reason_lines(reasons: pd.Series) -> str:
    """Return "reason: n" line by line, the rarest reasons summed up where there are many."""
    shown = reasons if len(reasons) <= MOST_REASONS else reasons.head(MOST_REASONS - 1)
    lines = [f"{reason}: {n}" for reason, n in shown.items()]
    rest = reasons.iloc[len(shown) :]
    if len(rest):
        lines.append(f"{len(rest)} other reasons: {int(rest.sum())}")
    return "\n".join(lines)


def exclusion_table(tables: CohortTables) -> pd.DataFrame:
    """Return how many were left out for each reason, per center and in all, the most frequent first."""
    counts = pd.crosstab(tables.excluded["reason"], tables.excluded["center"].replace("", "unknown"))
    counts.insert(0, "all centers", counts.sum(axis=1))
    return counts.sort_values("all centers", ascending=False).rename_axis(columns=None).reset_index()
