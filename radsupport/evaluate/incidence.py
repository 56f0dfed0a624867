"""How many of each risk group have the event when another one may make it impossible, and how the groups differ.

All functions take patients as `evaluate.groups` returns them: subject, cohort, signature, time (months), event, group.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from radsupport.evaluate.predictions import FEWEST, measure
from radsupport.evaluate.survival import group_p
from radsupport.stats.incidence import cumulative_incidence

_BY = ("signature", "cohort")
_COLUMNS = (
    "group", "events", "competing_events", "time", "n_risk", "incidence", "incidence_low", "incidence_high",
    "one_minus_km", "competing", "competing_low", "competing_high", "p", "p_competing",
)  # fmt: skip


def incidence(groups: pd.DataFrame, cohort: pd.DataFrame, months: Sequence[float] | None = None) -> pd.DataFrame:
    """Return cumulative incidences by group beside a competing event, for `plots.incidence`, or at some months.

    Parameters
    ----------
    groups : DataFrame
    cohort : DataFrame
        cohort.parquet, with the column `competing` where the study has such an event.
    months : sequence of float, optional
        Where the incidence is wanted; the whole curve by default.

    Returns
    -------
    DataFrame
        signature, cohort, n (of the group; of the cohort for a curve), group, events and competing_events (patients in
        all), time, n_risk, incidence with limits, one_minus_km (what Kaplan-Meier makes of it), overstated (their
        difference), competing (incidence of the competing event) with limits; p and p_competing, the log-rank tests of
        the cohort's groups for either event, the other one being censored. These compare hazards; Gray's test, which
        compares incidences, has no well-kept Python library (comprisk is in its alpha stage). A group of fewer than
        `FEWEST` patients has no values at the months. Empty, with the reason, without a competing event.
    """
    several = months is not None

    def of_groups(part: pd.DataFrame) -> pd.DataFrame:
        found, other = [], part.assign(event=part["competing"])
        tests = {"p": group_p(part), "p_competing": group_p(other)}
        for name, own in part.groupby("group", observed=True):
            one = cumulative_incidence(own["time"], own["event"], own["competing"], months)
            table = one.at_times if several else one.curve
            if several and one.n < FEWEST:
                table = table.assign(**dict.fromkeys([str(c) for c in table if c not in ("time", "n_risk")], np.nan))
            size: dict[str, Any] = {"n": one.n if several else len(part), "group": str(name)}
            found.append(table.assign(**size, events=one.n_events, competing_events=one.n_competing, **tests))
        return pd.concat(found, ignore_index=True)

    table = measure(_with_competing(groups, cohort), of_groups, _BY)
    table = table.rename(columns={"ci_low": "incidence_low", "ci_high": "incidence_high"})
    table = table.reindex(columns=list(dict.fromkeys([*table, *_COLUMNS])))
    gap = table["one_minus_km"] - table["incidence"]
    table = table.assign(overstated=gap.where(gap.abs() > 1e-12, 0 * gap))  # what is left of rounding is none
    table.attrs["empty"] = "No event that competes with this one is recorded, so that a bias by one can not be shown."
    return table


def _with_competing(groups: pd.DataFrame, cohort: pd.DataFrame) -> pd.DataFrame:
    if "competing" not in cohort:
        return groups.head(0)
    return groups.merge(cohort[["subject", "competing"]], on="subject", how="left").fillna({"competing": 0.0})
