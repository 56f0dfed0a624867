"""Chapter 07, step by step: risk groups at a locked threshold, their curves, and what separates them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from radsupport.chapter import Chapter
from radsupport.errors import NotEstimableError
from radsupport.study_schema import Study
from radsupport.survival.cox import fit_cox, schoenfeld_test, univariable_table
from radsupport.survival.curves import kaplan_meier, log_rank, maximally_selected_cutoff, restricted_mean
from radsupport.survival.time_dependent import time_dependent_roc
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
        curves.append(curve.assign(group=name))
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


HEADERS = {
    "cohort": "Cohort", "group": "Group", "n": "Patients", "events": "Events", "median": "Median (months)",
    "median_low": "95% CI from", "median_high": "to", "restricted_mean": "Restricted mean (months)", "rm_low": "RM from", "rm_high": "RM to",
}  # fmt: skip


def signature_of(study: Study) -> str:
    """Return the signature whose risk groups are followed: the one that the study singles out beforehand."""
    return study.validation.best or study.signatures[0].name


def by_cohort(groups: pd.DataFrame, study: Study) -> list[tuple[str, pd.DataFrame]]:
    """Return (name, patients) of every cohort, and of all together where there are several."""
    parts = [(study.cohorts[key].name, groups[groups["cohort"] == key]) for key in study.cohorts]
    parts = [(name, part) for name, part in parts if not part.empty]
    return [*parts, ("all cohorts", groups)] if len(parts) > 1 else parts


def summary_by_cohort(groups: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return `group_summary` of every cohort; the restricted mean up to the time to which both groups are followed."""
    tables = [group_summary(part, common_end(part)).assign(cohort=name) for name, part in by_cohort(groups, study)]
    table = pd.concat(tables, ignore_index=True)
    return table[["cohort", *[c for c in table.columns if c != "cohort"]]]


def cox_table(study: Study, cohort: pd.DataFrame, groups: pd.DataFrame, signature: str) -> pd.DataFrame:
    """Return the training patients with covariates and `risk_per_sd`, the out-of-fold risk in SD units."""
    own = groups.loc[groups["cohort"] == "train", ["subject", "risk"]]
    table = cohort[cohort["cohort"] == "train"].merge(own, on="subject", how="inner").dropna(subset=["time", "event"])
    return table.assign(risk_per_sd=(table["risk"] - table["risk"].mean()) / table["risk"].std())


def cox_models(study: Study, table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return univariable and multivariable Cox tables and the test of proportional hazards.

    The last two are empty where the multivariable model can not be estimated (too few events, a level
    without events); the univariable rows then say why.
    """
    covariates = ["risk_per_sd", *study.survival.covariates]
    references = {
        c: study.columns[c].levels[0] for c in study.survival.covariates if study.columns[c].kind == "category"
    }
    shown = ["covariate", "hr", "ci_low", "ci_high", "p", "n", "n_events", "note"]
    alone = univariable_table(table, "time", "event", covariates, reference=references)[shown]
    try:
        fit = fit_cox(table, "time", "event", covariates, reference=references)
    except NotEstimableError:
        return alone, pd.DataFrame(), pd.DataFrame()
    together = fit.table[["covariate", "hr", "ci_low", "ci_high", "p"]]
    return alone, together, schoenfeld_test(fit)


def auc_by_time(groups: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return the time-dependent AUC at the study's horizons, per cohort: signature (cohort), time, auc, ci_low, ci_high.

    A horizon that fewer than three patients reach, or before which fewer than three had the event, is left out.
    """
    rows = []
    for name, part in by_cohort(groups, study):
        cases = [
            int(((part["time"] <= t) & (part["event"] == 1)).sum()) for t in study.endpoint.survival.horizons_months
        ]
        left = [int((part["time"] > t).sum()) for t in study.endpoint.survival.horizons_months]
        kept = [
            t for t, a, b in zip(study.endpoint.survival.horizons_months, cases, left, strict=True) if min(a, b) >= 3
        ]
        if kept:
            found = time_dependent_roc(
                part["time"], part["event"], part["risk"], kept, n_resamples=study.survival.bootstrap, seed=study.seed
            )
            rows.append(found.table.assign(signature=name))
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()


def publish(chapter: Chapter, groups: pd.DataFrame, study: Study) -> None:
    """Publish the log-rank P of every cohort."""
    for key in study.cohorts:
        part = groups[groups["cohort"] == key]
        if not part.empty:
            chapter.publish(f"logrank_p_{key}", compare_groups_over_time(part), n=len(part))
    chapter.publish("logrank_p_pooled", compare_groups_over_time(groups), n=len(groups))
