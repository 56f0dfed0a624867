"""Chapter 07, step by step: risk groups at a locked threshold, their curves, and what separates them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from radsupport.errors import NotEstimableError
from radsupport.study_schema import Study
from radsupport.survival.curves import kaplan_meier, log_rank, maximally_selected_cutoff, restricted_mean
from radsupport.validation.roc import youden
from radsupport.validation.summaries import honest

LOW, HIGH = "low risk", "high risk"


def locked_threshold(predictions: pd.DataFrame, study: Study, signature: str) -> float:
    """Return the risk that splits patients, chosen on the training cohort's out-of-fold predictions.

    ``survival.threshold``: Youden's index on the label, the median, or the maximally selected log-rank.
    """
    part = honest(predictions, "train")
    part = part[part["signature"] == signature]
    rule = study.survival.threshold
    if rule == "youden" and study.endpoint.label is not None:
        return youden(part["label"], part["risk"]).threshold
    if rule == "max_logrank":
        followed = part.dropna(subset=["time", "event"])
        return float(maximally_selected_cutoff(followed["time"], followed["event"], followed["risk"]).cut_off)
    return float(part["risk"].median())


def risk_groups(predictions: pd.DataFrame, study: Study, signature: str, threshold: float) -> pd.DataFrame:
    """Return every followed patient with a group: subject, cohort, risk, time, event, group."""
    parts = [honest(predictions, cohort) for cohort in study.cohorts if cohort != "segmentation"]
    rows = pd.concat(parts, ignore_index=True)
    rows = rows[(rows["signature"] == signature) & rows["time"].notna() & rows["event"].notna()]
    return rows.assign(group=np.where(rows["risk"] > threshold, HIGH, LOW))


def group_curves(groups: pd.DataFrame) -> pd.DataFrame:
    """Return Kaplan-Meier curves by group for `figures.kaplan_meier`."""
    curves = []
    for name, part in groups.groupby("group", sort=False):
        curve = kaplan_meier(part["time"], part["event"]).curve
        curves.append(curve.rename(columns={"n_risk": "at_risk", "n_censor": "censored"}).assign(group=name))
    return pd.concat(curves, ignore_index=True)


def group_summary(groups: pd.DataFrame, tau: float) -> pd.DataFrame:
    """Return n, events, median and restricted mean survival (months, up to `tau`) with 95% CI per group."""
    rows = []
    for name, part in groups.groupby("group"):
        km = kaplan_meier(part["time"], part["event"])
        row: dict[str, Any] = {"group": name, "n": len(part), "events": int(part["event"].sum())}
        row |= {"median": km.median, "median_low": km.median_low, "median_high": km.median_high}
        mean = restricted_mean(part["time"], part["event"], min(tau, float(part["time"].max())))
        rows.append(row | {"restricted_mean": mean.rmst, "rm_low": mean.ci_low, "rm_high": mean.ci_high})
    return pd.DataFrame(rows)


def compare_groups_over_time(groups: pd.DataFrame) -> float:
    """Return the log-rank p of the groups; NaN where one group is empty or nobody had the event."""
    try:
        return float(log_rank(groups["time"], groups["event"], groups["group"]).p)
    except (NotEstimableError, ValueError):
        return float("nan")


def common_end(groups: pd.DataFrame) -> float:
    """Return the time (months) up to which every group is followed: the smallest of their longest follow-ups."""
    return float(groups.groupby("group")["time"].max().min())
