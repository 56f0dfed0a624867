"""Patients called positive or negative at a threshold that was fixed on the training cohort and carried over."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from radsupport.errors import NotEstimableError
from radsupport.report.wording import estimate, fixed
from radsupport.study_schema import Study
from radsupport.validation.discrimination import discrimination_of
from radsupport.validation.predicted import honest, judged, outcome_columns
from radsupport.validation.roc import confusion, youden
from radsupport.validation.shown import unbroken

RULES = {"youden": "Youden's index", "median": "median of the training cohort", "half": "one half"}
RATES = ("accuracy", "sensitivity", "specificity", "ppv", "npv")
COUNTS = ("tn", "fp", "fn", "tp")


def threshold_of(part: pd.DataFrame, rule: str) -> float:
    """Return the threshold that a rule gives on these (training, out-of-fold) patients; positive means risk above it.

    "youden" is the largest sensitivity + specificity - 1, of ties the most sensitive; without both classes, the median.
    """
    if rule == "half":
        return 0.5
    try:
        return youden(part["label"], part["risk"]).threshold if rule == "youden" else float(part["risk"].median())
    except NotEstimableError:
        return float(part["risk"].median())


def rule_of(study: Study, rule: str = "") -> str:
    """Return the rule by which this chapter fixes thresholds; without a yes/no outcome the median replaces Youden's."""
    chosen = rule or study.validation.threshold
    return "median" if study.endpoint.primary != "label" and chosen == "youden" else chosen


def thresholds(predictions: pd.DataFrame, study: Study, rule: str = "") -> pd.Series:
    """Return each signature's threshold, fixed on the training cohort's out-of-fold risks.

    Parameters
    ----------
    rule : {"", "youden", "median", "half"}
        ``validation.threshold`` without it. For survival there is no Youden's index; the median takes its place.
    """
    train = honest(predictions, "train").dropna(subset=outcome_columns(study))
    chosen = rule_of(study, rule)
    found = {str(name): threshold_of(rows, chosen) for name, rows in train.groupby("signature", sort=False)}
    return pd.Series(found, name="threshold", dtype=float)


def classification_table(predictions: pd.DataFrame, study: Study, rule: str = "") -> pd.DataFrame:
    """Return accuracy, sensitivity, specificity and predictive values at the locked threshold.

    Signatures without training predictions have no locked threshold and are left out.

    Returns
    -------
    pandas.DataFrame
        cohort, signature, n, events, rule, threshold, tn, fp, fn, tp, accuracy, sensitivity, specificity, ppv, npv
        (each with _low and _high, exact limits), no_information_rate, p_vs_nir (one-sided exact binomial), auc,
        ci_low, ci_high, p_vs_half (DeLong).
    """
    locked, rows = thresholds(predictions, study, rule), []
    for cohort, name, part in judged(predictions, study):
        if name not in locked.index:
            continue
        found = confusion(part["label"], (part["risk"] > locked[name]).astype(int))
        row = {"cohort": cohort, "signature": name, "n": len(part), "events": int(part["label"].sum())}
        row |= {"rule": rule or study.validation.threshold, "threshold": locked[name]}
        rates = [f"{rate}{end}" for rate in RATES for end in ("", "_low", "_high")]
        row |= {key: getattr(found, key) for key in (*COUNTS, *rates, "no_information_rate", "p_vs_nir")}
        area = discrimination_of(part, study)
        rows.append(row | {"auc": area["value"], **{key: area[key] for key in ("ci_low", "ci_high", "p_vs_half")}})
    return pd.DataFrame(rows)


def counts_shown(table: pd.DataFrame) -> pd.DataFrame:
    """Return threshold, counts and accuracy of `classification_table`, as a page shows them."""
    shown = table[["cohort", "signature", "n", "events", "threshold", "tp", "fn", "tn", "fp"]].copy()
    shown["threshold"] = [fixed(value, 3) for value in table["threshold"]]
    shown["accuracy"] = _with_interval(table, "accuracy", "accuracy")
    return shown.assign(no_information_rate=table["no_information_rate"], p_vs_nir=table["p_vs_nir"])


def rates_shown(table: pd.DataFrame) -> pd.DataFrame:
    """Return AUC, accuracy, sensitivity, specificity and predictive values, as a page shows them."""
    shown = table[["cohort", "signature"]].copy()
    shown["auc"] = _with_interval(table, "auc", "ci")
    for rate in RATES:
        shown[rate] = _with_interval(table, rate, rate)
    return shown


def _with_interval(table: pd.DataFrame, value: str, limits: str) -> list[str]:
    columns = table[[value, f"{limits}_low", f"{limits}_high"]].to_numpy(dtype=float)
    return ["not defined" if np.isnan(row[0]) else unbroken(estimate(*row)) for row in columns]


def threshold_rules(predictions: pd.DataFrame, study: Study, signature: str) -> pd.DataFrame:
    """Return what each rule for the threshold would give: cohort, rule, and the columns of `classification_table`."""
    tables = [classification_table(predictions, study, rule) for rule in RULES]
    table = pd.concat(tables, ignore_index=True)
    table = table[table["signature"] == signature]
    order = {cohort: i for i, cohort in enumerate(study.cohorts)}
    return table.sort_values("cohort", key=lambda column: column.map(order), kind="stable", ignore_index=True)


def rules_shown(table: pd.DataFrame) -> pd.DataFrame:
    """Return `threshold_rules` as a page shows it."""
    shown = table[["cohort", "n"]].assign(rule=table["rule"].map(RULES))
    shown["threshold"] = [fixed(value, 3) for value in table["threshold"]]
    for rate in ("accuracy", "sensitivity", "specificity"):
        shown[rate] = _with_interval(table, rate, rate)
    return shown.assign(p_vs_nir=table["p_vs_nir"])


def operating_points(table: pd.DataFrame, cohort: str, names: Sequence[str]) -> pd.DataFrame:
    """Return the locked threshold's place on the ROC curves of a cohort: signature, sensitivity, specificity."""
    own = table[(table["cohort"] == cohort) & table["signature"].isin(names)]
    return own[["signature", "sensitivity", "specificity"]].dropna()
