"""Who is in a risk group: baseline tables, where patients went from one station to the next, and their features.

Patients come as `groups` returns them: subject, cohort, signature, risk, outcome, and `group`, low or high risk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radsupport.evaluate.features import chosen_features, leaves, values_of
from radsupport.evaluate.predictions import FEWEST, measure
from radsupport.settings.learning import Signature
from radsupport.stats.table_one import baseline_table
from radsupport.wording import readable


def characteristics(part: pd.DataFrame, kinds: Mapping[str, str]) -> pd.DataFrame:
    """Return a baseline table by risk group, as `stats.baseline_table`.

    Parameters
    ----------
    part : DataFrame
        Patients of one cohort and signature: group, and the columns described.
    kinds : mapping of column to {"continuous", "categorical"}
        Columns without a value are left out.

    Returns
    -------
    DataFrame
        Empty where everybody is in one group or no column is described; without tests where a group has fewer than
        `FEWEST` patients.
    """
    known = {column: kind for column, kind in kinds.items() if part[column].notna().any()}
    if not known or part["group"].nunique() < 2:
        return pd.DataFrame()
    table = baseline_table(part, "group", list(known), kinds=known)
    few = part["group"].value_counts()[lambda n: n > 0].min() < FEWEST
    return table.assign(p=np.nan, test="not tested: few patients in a group") if few else table


def flows(table: pd.DataFrame, stations: Mapping[str, Mapping[Any, str]]) -> pd.DataFrame:
    """Return how many patients go from each group of one station to each group of the next.

    Parameters
    ----------
    table : DataFrame
        One row per patient: cohort, and a column per station.
    stations : mapping of column to mapping of value to word
        From left to right; words occur at one station only. A value that is not named goes to the word of "".

    Returns
    -------
    DataFrame
        cohort, n (patients of this flow), source, target, for `plots.sankey`. Empty with fewer than two stations.
    """
    found = {}
    for column, words in stations.items():
        order = pd.CategoricalDtype(list(dict.fromkeys(words.values())))
        found[column] = table[column].astype(object).map(dict(words)).fillna(words.get("", "")).astype(order)
    tables = []
    for a, b in pairwise(found):
        moves = pd.DataFrame({"cohort": table["cohort"], "source": found[a], "target": found[b]})
        tables.append(moves.groupby([*moves], observed=True).size().rename("n").reset_index().astype({"source": str}))
    empty = pd.DataFrame(columns=["cohort", "source", "target", "n"])
    return pd.concat(tables, ignore_index=True).sort_values("cohort", kind="stable") if tables else empty


def feature_values(
    groups: pd.DataFrame, results: Path, signature: str, signatures: Sequence[Signature], most: int
) -> pd.DataFrame:
    """Return the chosen features of a signature by risk group, z-scored by the training cohort.

    Parameters
    ----------
    groups : DataFrame
        Patients of the signature; `cohort` may hold sets of cohorts.
    results : Path
        Folder of the feature tables and of what chapter 05 writes.
    signature : str
    signatures : sequence of Signature
        All signatures of the study, among them the parts of a combination.
    most : int
        Features of each source at most.

    Returns
    -------
    DataFrame
        cohort, n, subject, feature, value (SD from the training mean), group; patients in order of risk. Empty, with
        the reason, where chapter 05 left no chosen features.
    """
    parts = leaves(signatures, signature)
    values = values_of(chosen_features(results, parts, most, "coefficient"), results).rename(columns=readable)
    nothing = pd.DataFrame(columns=["cohort", "n", "subject", "feature", "value", "group"])
    nothing.attrs["empty"] = (
        f"Chapter 05 left no table of the features chosen for {signature} in this build, so there is no heat map."
        if most
        else f"{signature} of this study has no chosen features to draw."
    )
    if values.empty:
        return nothing
    training = values.reindex(groups.loc[groups["kind"] == "out_of_fold", "subject"].unique())
    scaled = (values - training.mean()) / training.std().replace(0, np.nan)

    def by_risk(part: pd.DataFrame) -> pd.DataFrame:
        ordered = part.sort_values("risk")[["subject", "group"]]
        long = scaled.reindex(ordered["subject"]).reset_index().melt("subject", var_name="feature", value_name="value")
        return long.merge(ordered, on="subject")

    return measure(groups, by_risk, ("cohort",))
