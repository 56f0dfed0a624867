"""Chapter 07: who is followed, where the risk is cut, and who is then in which group.

Patients called positive or negative at a threshold that was fixed on the training cohort and carried over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from radsupport.errors import InputError, NotEstimableError
from radsupport.evaluate.discrimination import discrimination_of
from radsupport.evaluate.predictions import HIGH, LABEL, LOW, honest, judged_of, measure, outcome_columns
from radsupport.settings.study import Study
from radsupport.stats.logrank import log_rank, maximally_selected_cutoff
from radsupport.stats.roc import confusion, youden
from radsupport.stats.survival_curves import median_follow_up
from radsupport.wording import p_number


def youden_cut(part: pd.DataFrame) -> float:
    """Return the cut-off with the largest sensitivity + specificity - 1, of ties the most sensitive.

    Raises
    ------
    InputError
        A training patient has no label.
    NotEstimableError
        One class only.
    """
    if part["label"].isna().any():
        raise InputError(
            "Youden's index needs a label for every training patient. "
            "Choose `median` or `max_logrank` for a study without one."
        )
    return float(youden(part["label"], part["risk"]).threshold)


def median_cut(part: pd.DataFrame) -> float:
    """Return the median of the risks."""
    return float(part["risk"].median())


Rule = str | float | Callable[[pd.DataFrame], float]
#: The rules that can be named: each takes the training rows of a signature and returns the cut-off of its risk.
CUTS: dict[str, Callable[[pd.DataFrame], float]] = {
    "youden": youden_cut,
    "median": median_cut,
    "half": lambda _: 0.5,
    "max_logrank": lambda part: float(maximally_selected_cutoff(part["time"], part["event"], part["risk"]).cut_off),
}


def threshold(rows: pd.DataFrame, rule: Rule = "youden", outcome: Sequence[str] = LABEL) -> pd.Series:
    """Return one threshold per signature, fixed on the training rows; positive, or high, is a risk above it.

    Parameters
    ----------
    rows : DataFrame
        Such as `judged` returns them; those of other cohorts change nothing.
    rule : str, float or callable
        "youden", "median", "half", "max_logrank", a number, or a function of a signature's training rows.
    outcome : sequence of str
        Without a label there is no Youden's index, and the median takes its place.

    Returns
    -------
    Series by signature
        Signatures without training rows have none. Where a rule finds nothing the median stands in, and
        ``attrs["note"]`` says why, by signature.

    Raises
    ------
    InputError
        An unknown name, or Youden's index of patients without a label.
    """
    if rule == "youden" and tuple(outcome) != LABEL:
        rule = "median"
    found, notes = {}, {}
    for name, part in rows[rows["cohort"] == "train"].groupby("signature", observed=True):
        try:
            found[str(name)] = float(_rule(rule)(part))
        except NotEstimableError as error:
            found[str(name)], notes[str(name)] = median_cut(part), error.message
    cut = pd.Series(found, name="threshold", dtype=float)
    cut.attrs["note"] = notes
    return cut


def _rule(rule: Rule) -> Callable[[pd.DataFrame], float]:
    if callable(rule):
        return rule
    if isinstance(rule, str):
        if rule not in CUTS:
            raise InputError(f"There is no rule `{rule}` for a threshold. There are: {', '.join(CUTS)}.")
        return CUTS[rule]
    number = float(rule)
    return lambda _: number


def at_threshold(rows: pd.DataFrame, cut: pd.Series) -> pd.DataFrame:
    """Return the rows with the threshold of their signature; those of a signature without one are left out."""
    limit = rows["signature"].astype(str).map(cut)
    return rows[limit.notna()].assign(threshold=limit[limit.notna()])


def groups(rows: pd.DataFrame, cut: pd.Series) -> pd.DataFrame:
    """Return the rows with threshold and group: `HIGH` above the signature's threshold, `LOW` up to it.

    Parameters
    ----------
    rows : DataFrame
        Such as `judged` returns them.
    cut : Series by signature
        What `threshold` returns.

    Returns
    -------
    DataFrame
        Rows of a signature without a threshold are left out.
    """
    known = at_threshold(rows, cut)
    group = pd.Categorical(np.where(known["risk"] > known["threshold"], HIGH, LOW), [LOW, HIGH])
    return known.assign(group=group)


def classification(rows: pd.DataFrame, cut: pd.Series) -> pd.DataFrame:
    """Return counts and rates of each signature in each cohort at its threshold.

    Parameters
    ----------
    rows : DataFrame
        Such as `judged` returns them, of a label.
    cut : Series by signature
        What `threshold` returns.

    Returns
    -------
    DataFrame
        cohort, signature, n, events, threshold, tn, fp, fn, tp, accuracy, sensitivity, specificity, ppv, npv (each with
        exact limits, _low and _high), no_information_rate, p_vs_nir (one-sided exact binomial). A rate without
        patients is missing.
    """
    return measure(at_threshold(rows, cut), _classified)


def _classified(part: pd.DataFrame) -> dict[str, Any]:
    found = vars(confusion(part["label"], (part["risk"] > part["threshold"]).astype(int)))
    rates = [f"{rate}{end}" for rate in RATES for end in ("", "_low", "_high")]
    row = {"events": int(part["label"].sum()), "threshold": part["threshold"].iloc[0]}
    return row | {key: found[key] for key in (*COUNTS, *rates, "no_information_rate", "p_vs_nir")}


RULES = {"youden": "Youden's index", "median": "median", "max_logrank": "maximally selected log-rank"}


def follow_up_table(rows: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return the follow-up of each cohort: cohort, n, events, median, ci_low, ci_high, longest (months).

    The median is that of the reverse Kaplan-Meier method.
    """
    found = []
    for key, part in rows.drop_duplicates("subject").groupby("cohort", sort=False):
        median = median_follow_up(part["time"], part["event"])
        row = {"cohort": study.cohort_names[key], "n": len(part), "events": int(part["event"].sum())}
        row |= {"median": median.median, "ci_low": median.ci_low, "ci_high": median.ci_high}
        found.append(row | {"longest": part["time"].max()})
    return pd.DataFrame(found)


def cut_off(part: pd.DataFrame, rule: str) -> tuple[float, float]:
    """Return the cut-off of one signature's training risks by a rule, and the P of its search (NaN without a search).

    Raises
    ------
    InputError
        Youden's index without a label.
    NotEstimableError
        The rule finds no cut-off in these patients.
    """
    if rule == "median":
        return float(part["risk"].median()), float("nan")
    if rule == "max_logrank":
        found = maximally_selected_cutoff(part["time"], part["event"], part["risk"])
        return float(found.cut_off), float(found.p)
    if part["label"].isna().any():
        raise InputError(
            "`survival.threshold: youden` needs a label for every training patient. "
            "Choose `median` or `max_logrank` for a study without one."
        )
    return float(youden(part["label"], part["risk"]).threshold), float("nan")


def offered_rules(rows: pd.DataFrame, study: Study) -> list[str]:
    """Return the rules shown side by side: the study's own first, the median, the log-rank, Youden's with a label."""
    labelled = rows.loc[rows["cohort"] == "train", "label"].notna().all()
    rules = [study.survival.threshold, "median", "max_logrank", *(["youden"] if labelled else [])]
    return list(dict.fromkeys(rules))


def cut_offs(rows: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return the cut-offs of every signature by every rule, found on training risks only.

    Returns
    -------
    DataFrame
        signature, rule, used (the study's own rule), cut_off, p_search (log-rank P that allows for the search), note. A
        rule that finds no cut-off has NaN and says why; the median is then used in place of the study's own rule.
    """
    training, found = rows[rows["cohort"] == "train"], []
    for name, part in training.groupby("signature", sort=False):
        for rule in offered_rules(rows, study):
            row = {"signature": name, "rule": rule, "used": rule == study.survival.threshold}
            try:
                value, p = cut_off(part, rule)
                found.append(row | {"cut_off": value, "p_search": p, "note": ""})
            except NotEstimableError as error:
                found.append(row | {"cut_off": np.nan, "p_search": np.nan, "note": error.message})
    table = pd.DataFrame(found)
    lost = set(table.loc[table["used"] & table["cut_off"].isna(), "signature"])
    instead = table["signature"].isin(lost)
    return table.assign(used=np.where(instead, table["rule"] == "median", table["used"]))


def locked(table: pd.DataFrame) -> pd.Series:
    """Return the cut-off that is used, by signature, from `cut_offs`."""
    return table[table["used"]].set_index("signature")["cut_off"]


def by_rule(table: pd.DataFrame, rule: str) -> pd.Series:
    """Return the cut-offs of one rule, by signature, from `cut_offs`; NaN where the rule finds none."""
    return table[table["rule"] == rule].set_index("signature")["cut_off"]


def in_groups(rows: pd.DataFrame, thresholds: pd.Series) -> pd.DataFrame:
    """Return the rows with cut_off and group: `HIGH` above the signature's cut-off, `LOW` up to it."""
    limit = rows["signature"].map(thresholds)
    known = rows[limit.notna()].copy()
    known["cut_off"] = limit[limit.notna()]
    group = pd.Categorical(np.where(known["risk"] > known["cut_off"], HIGH, LOW), [LOW, HIGH])
    return known.assign(group=group)


def group_p(part: pd.DataFrame) -> float:
    """Return the log-rank P of the two groups; NaN with one group only, or without events."""
    if part["group"].nunique() < 2:
        return float("nan")
    try:
        return float(log_rank(part["time"], part["event"], part["group"]).p)
    except NotEstimableError:
        return float("nan")


def rules_side_by_side(rows: pd.DataFrame, table: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return what each rule does: signature, rule, used here, cut-off, and a column per cohort.

    A cohort's cell holds the patients at low and at high risk and the log-rank P of just these groups; in training the
    cell of a searched cut-off also holds the P that allows for the search.
    """
    found = []
    for row in table.to_dict("records"):
        shown = {"signature": row["signature"], "rule": RULES[row["rule"]], "Used here": bool(row["used"])}
        shown |= {"Cut-off": row["cut_off"]}
        own = in_groups(rows[rows["signature"] == row["signature"]], pd.Series({row["signature"]: row["cut_off"]}))
        for key, part in own.groupby("cohort", sort=False):
            counts = part["group"].value_counts()
            words = f"{counts[LOW]} / {counts[HIGH]}, P {p_number(group_p(part))}"
            if key == "train" and np.isfinite(row["p_search"]):
                words += f" ({search_allowed(row['p_search'])})"
            name = study.cohort_names[key]
            shown |= {f"{name[0].upper()}{name[1:]}: low / high, log-rank P": words}
        found.append(shown | {"note": row["note"]})
    result = pd.DataFrame(found)
    return result.drop(columns="note") if (result["note"] == "").all() else result


def search_allowed(p: float) -> str:
    """Word the log-rank P of a maximally selected cut-off that allows for the search."""
    return f"{p_number(p)} with the search allowed for"


RULE_WORDS = {"youden": "Youden's index", "median": "median of the training cohort", "half": "one half"}
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
    for cohort, name, part in judged_of(predictions, study):
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


def threshold_rules(predictions: pd.DataFrame, study: Study, signature: str) -> pd.DataFrame:
    """Return what each rule for the threshold would give: cohort, rule, and the columns of `classification_table`."""
    tables = [classification_table(predictions, study, rule) for rule in RULE_WORDS]
    table = pd.concat(tables, ignore_index=True)
    table = table[table["signature"] == signature]
    order = {cohort: i for i, cohort in enumerate(study.cohorts)}
    return table.sort_values("cohort", key=lambda column: column.map(order), kind="stable", ignore_index=True)


def operating_points(table: pd.DataFrame, cohort: str, names: Sequence[str]) -> pd.DataFrame:
    """Return the locked threshold's place on the ROC curves of a cohort: signature, sensitivity, specificity."""
    own = table[(table["cohort"] == cohort) & table["signature"].isin(names)]
    return own[["signature", "sensitivity", "specificity"]].dropna()
