"""Chapter 07: discrimination at fixed times after the scan, and over time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from radsupport.checks import FloatArray
from radsupport.report.wording import counted, listed
from radsupport.study_schema import Study
from radsupport.survival.steps_groups import outcome
from radsupport.survival.steps_ratios import compared_pairs
from radsupport.survival.time_dependent import time_dependent_auc_difference, time_dependent_roc

#: Patients with the event by a time, and patients followed beyond it, that an AUC at that time needs at least.
FEWEST = 3
HEADERS = {
    "time": "Month", "n_cases": "With the event by then", "n_controls": "Free of it", "signature_a": "Signature",
    "signature_b": "against", "auc_a": "AUC", "auc_b": "of the other",
}  # fmt: skip
_POINTS = 15  # times of the curve of AUC over time


def usable_times(part: pd.DataFrame, times: Any) -> list[float]:
    """Return the times with at least `FEWEST` events before and as many patients followed beyond."""
    kept = []
    for time in times:
        cases = int(((part["time"] <= time) & (part["event"] == 1)).sum())
        controls = int((part["time"] > time).sum())
        if min(cases, controls) >= FEWEST:
            kept.append(float(time))
    return kept


def auc_at_horizons(groups: pd.DataFrame, study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the time-dependent AUC at the study's horizons and the curves behind it.

    Returns
    -------
    table : DataFrame
        signature, key, cohort, n, time (months), auc, ci_low, ci_high (bootstrap), n_cases, n_controls. Horizons that
        too few patients reach are missing.
    curves : DataFrame
        key, cohort, time, signature, threshold, sensitivity, specificity, auc, ci_low, ci_high, n.
    """
    rows, curves = [], []
    for (name, key), part in groups.groupby(["signature", "cohort"], sort=False):
        times = usable_times(part, outcome(study).horizons_months)
        if not times:
            continue
        found = time_dependent_roc(
            part["time"], part["event"], part["risk"], times, n_resamples=study.survival.bootstrap, seed=study.seed
        )
        place: dict[str, Any] = {"signature": name, "key": key, "cohort": study.cohort_names[key], "n": len(part)}
        rows.append(found.table.assign(**place))
        areas = found.table[["time", "auc", "ci_low", "ci_high"]]
        curves.append(found.curve.merge(areas, on="time").assign(**place))
    if not rows:
        return pd.DataFrame(), pd.DataFrame()
    kept = ["signature", "key", "cohort", "n", "time", "auc", "ci_low", "ci_high", "n_cases", "n_controls"]
    return pd.concat(rows, ignore_index=True)[kept], pd.concat(curves, ignore_index=True)


def roc_panels(curves: pd.DataFrame) -> list[tuple[str, pd.DataFrame, dict[str, Any]]]:
    """Return title, curves and options of a panel per cohort and horizon."""
    found: list[tuple[str, pd.DataFrame, dict[str, Any]]] = []
    if curves.empty:
        return found
    for (cohort, time), part in curves.groupby(["cohort", "time"], sort=False):
        found.append((f"{cohort}, {time:g} months (n = {part['n'].max()})", part, {}))
    return found


def reversed_words(table: pd.DataFrame) -> str:
    """Say where an AUC's interval lies below 0.5, a higher risk going with later events; empty where it nowhere does.

    Parameters
    ----------
    table : DataFrame
        The first table of `auc_at_horizons`.
    """
    if table.empty:
        return ""
    below = table[table["ci_high"] < 0.5]
    if below.empty:
        return ""
    rows = [f"{row['signature']} in {row['cohort']} at {row['time']:g} months" for row in below.to_dict("records")]
    return (
        f"**Below 0.5.** The interval lies below 0.5 for {listed(rows)}: there a higher risk went with later events, "
        f"or with none. {counted(len(table), 'interval')} were looked at, so that a few may miss 0.5 by chance."
    )


def auc_differences(groups: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return paired differences of the AUC at the horizons: cohort, signatures, time, AUCs, difference, CI, P."""
    tables = []
    for key, part in groups.groupby("cohort", sort=False):
        risks = {name: own.set_index("subject") for name, own in part.groupby("signature", sort=False)}
        for a, b in compared_pairs(part, study):
            both = risks[a].join(risks[b]["risk"].rename("other"), how="inner")
            times = usable_times(both, outcome(study).horizons_months)
            if times:
                data = both["time"], both["event"], both["risk"], both["other"]
                found = time_dependent_auc_difference(*data, times)
                place = {"cohort": study.cohort_names[key], "signature_a": a, "signature_b": b, "n": len(both)}
                tables.append(pd.DataFrame([place] * len(found)).join(found.drop(columns=["se", "z"])))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def grid(part: pd.DataFrame) -> FloatArray:
    """Return evenly spaced times (months) over which an AUC can be followed in these patients."""
    deaths = np.sort(part.loc[part["event"] == 1, "time"].to_numpy(dtype=float))
    ends = np.sort(part["time"].to_numpy(dtype=float))
    if len(deaths) < FEWEST or len(ends) <= FEWEST:
        return np.empty(0)
    first, last = deaths[FEWEST - 1], ends[-FEWEST - 1]
    return np.array(usable_times(part, np.linspace(first, last, _POINTS))) if last > first else np.empty(0)


def auc_over_time(groups: pd.DataFrame, study: Study) -> dict[str, pd.DataFrame]:
    """Return the AUC over time by cohort (name): signature, time, auc, ci_low, ci_high (influence function)."""
    found: dict[str, list[pd.DataFrame]] = {}
    for (name, key), part in groups.groupby(["signature", "cohort"], sort=False):
        times = grid(part)
        if len(times) > 1:
            curve = time_dependent_roc(part["time"], part["event"], part["risk"], times, interval="influence").table
            kept = curve[["time", "auc", "ci_low", "ci_high"]].assign(signature=str(name))
            found.setdefault(f"{study.cohort_names[key]} (n = {len(part)})", []).append(kept)
    return {cohort: pd.concat(tables, ignore_index=True) for cohort, tables in found.items()}


def missing_horizons(groups: pd.DataFrame, study: Study) -> str:
    """Say which horizons too few patients reach in which cohort; empty where all can be used."""
    words = []
    for key, part in groups.drop_duplicates("subject").groupby("cohort", sort=False):
        wanted = outcome(study).horizons_months
        lost = [f"{t:g}" for t in wanted if t not in usable_times(part, wanted)]
        if lost:
            words.append(f"{' and '.join(lost)} months in {study.cohort_names[key]}")
    if not words:
        return ""
    need = f"fewer than {FEWEST} patients had the event by then, or are followed beyond"
    return f"Not shown: {'; '.join(words)} ({need})."
