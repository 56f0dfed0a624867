"""Chapter 07: from the risk group to what happened, and the chosen features behind the groups."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radsupport.contracts import read_table
from radsupport.modelling.coefficients import readable
from radsupport.study_schema import Study
from radsupport.survival.steps_groups import POOLED, of_signature, outcome, parts
from radsupport.survival.steps_patients import label_of

UNKNOWN = "not known"


def places(groups: pd.DataFrame, study: Study) -> list[tuple[str, pd.DataFrame]]:
    """Return name and patients of each center as the paper shows it: named pools in place of their cohorts."""
    members = {cohort for pool in study.survival.pooled.values() for cohort in pool}
    shown = [(key, name, part) for key, name, part in parts(groups, study) if key not in members and key != POOLED]
    return [(f"{name} (n = {len(part)})", part) for _, name, part in shown]


def flow_tables(groups: pd.DataFrame, cohort: pd.DataFrame, study: Study, signature: str) -> dict[str, pd.DataFrame]:
    """Return the flows between the stations of `survival.flow`, by cohort (or named pool of cohorts).

    Returns
    -------
    dict of str to DataFrame
        source, target, n, for `figures.sankey_panels`.
    """
    columns = [c for c in study.survival.flow if c in study.columns]
    found = {}
    for name, part in places(of_signature(groups, signature), study):
        rows = part.merge(cohort[["subject", *columns]], on="subject", how="left")
        stations = [_station(rows, key, study) for key in study.survival.flow]
        flows = [
            pd.DataFrame({"source": a, "target": b}).value_counts(sort=False).rename("n").reset_index()
            for a, b in pairwise(stations)
        ]
        if flows:
            found[name] = pd.concat(flows, ignore_index=True)
    return found


def _station(rows: pd.DataFrame, key: str, study: Study) -> pd.Series:
    """Return where each patient stands at one station, in order and in words that occur at no other station."""
    if key == "group":
        return rows["group"].cat.remove_unused_categories()
    if key == "event":
        event = outcome(study).event_name
        return _ordered(rows["event"].map({0: f"no {event}", 1: event}), [f"no {event}", event])
    label = study.endpoint.label
    if key == "label" and label is not None:
        unknown = f"{label.name}: {UNKNOWN}"
        words = rows["label"].map({0: label.negative, 1: label.positive}).fillna(unknown)
        return _ordered(words, [label.negative, label.positive, unknown])
    values = rows[key].astype(object).where(rows[key].notna(), UNKNOWN)
    levels = [*(study.columns[key].levels or sorted(values.unique(), key=str)), UNKNOWN]
    prefix = f"{study.columns[key].label}: "
    return _ordered(prefix + values.astype(str), [f"{prefix}{level}" for level in dict.fromkeys(levels)])


def _ordered(words: pd.Series, order: list[str]) -> pd.Series:
    return words.astype(pd.CategoricalDtype(order)).cat.remove_unused_categories()


def flow_words(study: Study) -> str:
    """Name the stations of the diagram from left to right."""
    words = {"group": "risk group", "event": f"whether a {outcome(study).event_name} was seen", "label": "label"}
    if study.endpoint.label is not None:
        words["label"] = study.endpoint.label.name
    return " → ".join(words.get(key) or label_of(study, key) for key in study.survival.flow)


def leaves(study: Study, signature: str) -> list[str]:
    """Return the signatures that a signature is made of in the end: itself, or the parts of a combination."""
    own = study.signature(signature)
    return [leaf for part in own.combines for leaf in leaves(study, part)] if own.combines else [signature]


def chosen_features(study: Study, results: Path, signature: str) -> pd.DataFrame:
    """Return the features that a signature uses most, at most `survival.heat_map` for each of its parts.

    Parameters
    ----------
    study : Study
    results : Path
        results/<study>, where chapter 05 writes ``chosen_features.csv`` (signature, feature, coefficient) and
        ``stability.csv`` (signature, feature, share of the fits that chose it).
    signature : str

    Returns
    -------
    DataFrame
        signature, feature, source; the largest coefficients first, and where there are none the most stable. Empty
        where the files are missing or nothing was chosen.
    """
    nothing = pd.DataFrame(columns=["signature", "feature", "source"])
    paths = results / "chosen_features.csv", results / "stability.csv"
    if not study.survival.heat_map or not all(path.is_file() for path in paths):
        return nothing
    chosen, stability = (pd.read_csv(path) for path in paths)
    both = chosen.merge(stability, on=["signature", "feature"], how="left")
    both = both.assign(size=both["coefficient"].abs()).sort_values(["size", "share"], ascending=False, kind="stable")
    found = []
    for leaf in leaves(study, signature):
        for source in study.signature(leaf).sources:
            own = both[both["signature"] == leaf].head(study.survival.heat_map)
            found.append(own[["signature", "feature"]].assign(source=source))
    return pd.concat(found, ignore_index=True) if found else nothing


def heat_tables(groups: pd.DataFrame, study: Study, results: Path, signature: str) -> dict[str, pd.DataFrame]:
    """Return the chosen features by risk group, z-scored by the training cohort, by cohort (or named pool).

    Returns
    -------
    dict of str to DataFrame
        feature, subject, group, value (SD from the training mean), patients in order of risk. Empty where chapter 05
        left no chosen features.
    """
    chosen = chosen_features(study, results, signature)
    values = _values(chosen, results) if len(chosen) else pd.DataFrame()
    if values.empty:
        return {}
    own = of_signature(groups, signature)
    training = values.reindex(own.loc[own["cohort"] == "train", "subject"])
    scaled = (values - training.mean()) / training.std().replace(0, np.nan)
    found = {}
    for name, part in places(own, study):
        ordered = part.sort_values("risk")[["subject", "group"]]
        long = scaled.reindex(ordered["subject"]).reset_index().melt("subject", var_name="feature", value_name="value")
        found[name] = long.merge(ordered, on="subject")[["feature", "subject", "group", "value"]]
    return found


def _values(chosen: pd.DataFrame, results: Path) -> pd.DataFrame:
    """Return the chosen features' values by subject, of those that a feature table holds."""
    tables: list[Any] = []
    for source, rows in chosen.groupby("source", sort=False):
        if (results / f"features_{source}.parquet").is_file():
            table = read_table(f"features_{source}", results).set_index("subject")
            tables.append(table[[f for f in dict.fromkeys(rows["feature"]) if f in table]])
    wide = pd.concat(tables, axis=1) if tables else pd.DataFrame()
    return wide.loc[:, ~wide.columns.duplicated()].rename(columns=readable)


def no_heat_words(study: Study, signature: str) -> str:
    """Say why there is no heat map."""
    if not study.survival.heat_map:
        return f"{signature} of this study has no chosen features to draw."
    return f"Chapter 05 left no table of the features chosen for {signature} in this build, so there is no heat map."
