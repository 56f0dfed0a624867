"""Chapter 07: Kaplan-Meier curves of the risk groups, and what they come to in numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from radsupport.report.wording import estimate, fixed, p_number
from radsupport.study_schema import Study
from radsupport.survival.curves import kaplan_meier, restricted_mean, restricted_mean_difference
from radsupport.survival.steps_groups import (
    HIGH,
    LOW,
    RULES,
    by_rule,
    group_p,
    in_groups,
    of_signature,
    outcome,
    parts,
    search_allowed,
)

#: Patients that a curve should still have at risk for its end to be read.
FEW = 5


def group_curves(part: pd.DataFrame) -> pd.DataFrame:
    """Return Kaplan-Meier curves by group, with their median, for `figures.kaplan_meier`.

    A group without patients has none.
    """
    curves = []
    for name, rows in part.groupby("group", observed=True):
        km = kaplan_meier(rows["time"], rows["event"])
        curves.append(km.curve.assign(group=str(name), median=km.median))
    return pd.concat(curves, ignore_index=True)


def curve_panels(groups: pd.DataFrame, study: Study, signature: str) -> list[tuple[str, pd.DataFrame, dict[str, Any]]]:
    """Return title, curves and options of a panel per cohort and per pooled set, for `figures.panels`."""
    found = []
    for _, name, part in parts(of_signature(groups, signature), study):
        p = group_p(part)
        found.append((f"{name} (n = {len(part)})", group_curves(part), _options(study, p)))
    return found


def _options(study: Study, p: float) -> dict[str, Any]:
    """Return options of `figures.kaplan_meier`; the same group looks the same in every panel."""
    return {"outcome": outcome(study).name, "p": None if np.isnan(p) else p, "order": (LOW, HIGH)}


def rule_panels(
    rows: pd.DataFrame, table: pd.DataFrame, study: Study, signature: str
) -> tuple[str, list[tuple[str, pd.DataFrame, dict[str, Any]]]]:
    """Return a cohort's name and its curves under the median and under the searched cut-off, side by side.

    The cohort is the one that the rules know least of: external, else internal, else training.
    """
    own = of_signature(rows, signature)
    key = next(key for key in ("external", "internal", "train") if (own["cohort"] == key).any())
    found = []
    for rule in ("median", "max_logrank"):
        part = in_groups(own[own["cohort"] == key], by_rule(table, rule))
        if len(part):
            p = group_p(part)
            search = table[(table["signature"] == signature) & (table["rule"] == rule)]["p_search"].iloc[0]
            note = search_allowed(search) if key == "train" and np.isfinite(search) else ""
            options = _options(study, p) | {"note": note}
            found.append((f"{RULES[rule][0].upper()}{RULES[rule][1:]}", group_curves(part), options))
    return f"{study.cohort_names[key]} (n = {int((own['cohort'] == key).sum())})", found


def common_end(part: pd.DataFrame) -> float:
    """Return the time (months) up to which every group is followed: the smallest of their longest follow-ups."""
    return float(part.groupby("group", observed=True)["time"].max().min())


def group_summary(groups: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return what the curves come to, one row per signature, cohort (or pooled set) and group.

    Returns
    -------
    DataFrame
        signature, key, cohort, group, n, events, median, median_low, median_high, tau, restricted_mean, mean_low,
        mean_high (months, 95% CI). The restricted mean is the area under the curve up to `tau`, the time to which both
        groups are followed.
    """
    rows = []
    for name in groups["signature"].unique():
        for key, cohort, part in parts(of_signature(groups, name), study):
            tau = common_end(part)
            for group, own in part.groupby("group", observed=True):
                km = kaplan_meier(own["time"], own["event"])
                mean = restricted_mean(own["time"], own["event"], tau)
                row: dict[str, Any] = {"signature": name, "key": key, "cohort": cohort, "group": str(group)}
                row |= {"n": km.n, "events": km.n_events}
                row |= {"median": km.median, "median_low": km.median_low, "median_high": km.median_high}
                row |= {"tau": tau, "restricted_mean": mean.rmst, "mean_low": mean.ci_low, "mean_high": mean.ci_high}
                rows.append(row)
    return pd.DataFrame(rows)


def group_comparison(groups: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return how the two groups differ, one row per signature and cohort (or pooled set).

    Returns
    -------
    DataFrame
        signature, key, cohort, n, p (log-rank), difference, ci_low, ci_high, p_difference (restricted mean of low
        minus high risk, months, up to `tau`), tau; NaN where everybody is in one group.
    """
    rows = []
    for name in groups["signature"].unique():
        for key, cohort, part in parts(of_signature(groups, name), study):
            row: dict[str, Any] = {"signature": name, "key": key, "cohort": cohort, "n": len(part), "p": group_p(part)}
            if part["group"].nunique() == 2:
                tau = common_end(part)
                order = part["group"].map({HIGH: "a", LOW: "b"}).astype(str)
                found = restricted_mean_difference(part["time"], part["event"], order, tau)
                row |= {"difference": found.difference, "ci_low": found.ci_low, "ci_high": found.ci_high}
                row |= {"p_difference": found.p, "tau": tau}
            rows.append(row)
    columns = ["signature", "key", "cohort", "n", "p", "difference", "ci_low", "ci_high", "p_difference", "tau"]
    return pd.DataFrame(rows, columns=columns)


def follow_up_shown(table: pd.DataFrame) -> pd.DataFrame:
    """Return `steps_groups.follow_up_table` as a page shows it: the median and its interval in one cell."""
    medians = [with_interval(*row) for row in table[["median", "ci_low", "ci_high"]].to_numpy(dtype=float)]
    shown = table[["cohort", "n", "events"]].assign(**{"Median follow-up, months (95% CI)": medians})
    return shown.assign(**{"Longest (months)": [fixed(time, 1) for time in table["longest"]]})


def summary_shown(summary: pd.DataFrame) -> pd.DataFrame:
    """Return `group_summary` as a page shows it: medians and restricted means with their intervals in one cell."""
    shown = summary[["signature", "cohort", "group", "n", "events"]].copy()
    medians = summary[["median", "median_low", "median_high"]].to_numpy()
    shown["Median, months (95% CI)"] = [with_interval(*row) for row in medians]
    means = summary[["restricted_mean", "mean_low", "mean_high"]].to_numpy()
    shown["Restricted mean, months (95% CI)"] = [with_interval(*row) for row in means]
    return shown.assign(tau=summary["tau"].round(1)).rename(columns={"tau": "Up to month"})


def comparison_shown(table: pd.DataFrame) -> pd.DataFrame:
    """Return `group_comparison` as a page shows it."""
    shown = table[["signature", "cohort", "n"]].copy()
    shown["P (log-rank)"] = table["p"]
    limits = table[["difference", "ci_low", "ci_high"]].to_numpy()
    shown["Restricted mean, low minus high risk, months (95% CI)"] = [
        "–" if np.isnan(value) else estimate(value, low, high, 1) for value, low, high in limits
    ]
    return shown.assign(p=table["p_difference"], tau=table["tau"].round(1)).rename(
        columns={"p": "P (difference)", "tau": "Up to month"}
    )


def with_interval(value: float, low: float, high: float) -> str:
    """Word a time with its interval; a curve that does not fall far enough leaves the value, or its end, open."""
    if np.isnan(value):
        return "not reached" if np.isnan(low) else f"not reached (from {fixed(low, 1)})"
    if np.isnan(low) and np.isnan(high):
        return f"{fixed(value, 1)} (no interval)"
    return f"{fixed(value, 1)} ({fixed(low, 1)}–{'not reached' if np.isnan(high) else fixed(high, 1)})"


def end_words(groups: pd.DataFrame, study: Study) -> str:
    """Say when each group of a signature is down to few patients: what the end of a curve rests on."""
    words, name = [], groups["signature"].iloc[0]
    for _, cohort, part in parts(groups, study):
        last = part.groupby("group", observed=True)["time"].agg(lambda t: t.nlargest(min(FEW, len(t))).min())
        words.append(f"{cohort}: " + ", ".join(f"{group} {fixed(t, 0)}" for group, t in last.items()))
    return f"Of the groups of **{name}**, fewer than {FEW} patients are at risk after these months: {'; '.join(words)}."


def search_words(table: pd.DataFrame, study: Study) -> str:
    """Say what the training P's of a searched cut-off are worth; empty for a rule that does not look at the outcome.

    Parameters
    ----------
    table : DataFrame
        What `steps_groups.cut_offs` returns.
    study : Study
    """
    own = table[table["used"] & (table["rule"] != "median")]
    if own.empty:
        return ""
    cohort = study.cohort_names["train"]
    text = (
        f"In {cohort} the cut-off was chosen by the outcome, so the P-values of its groups are too small from here on."
    )
    paid = own.dropna(subset=["p_search"])
    if paid.empty:
        return text
    words = ", ".join(f"**{row['signature']}** {p_number(row['p_search'])}" for row in paid.to_dict("records"))
    return f"{text} The log-rank P that allows for the search: {words}."
