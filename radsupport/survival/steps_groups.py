"""Chapter 07: who is followed, where the risk is cut, and who is then in which group."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from radsupport.errors import InputError, NotEstimableError
from radsupport.report.wording import fixed, p_number
from radsupport.study_schema import Study, Survival
from radsupport.survival.curves import log_rank, maximally_selected_cutoff, median_follow_up
from radsupport.validation.roc import youden

LOW, HIGH = "low risk", "high risk"
#: The kind of prediction that each cohort is judged by: never the apparent one.
HONEST = {"train": "out_of_fold", "internal": "external", "external": "external"}
RULES = {"youden": "Youden's index", "median": "median", "max_logrank": "maximally selected log-rank"}
POOLED = "pooled"


def outcome(study: Study) -> Survival:
    """Return the study's time-to-event endpoint.

    Raises
    ------
    InputError
        It has none.
    """
    if study.endpoint.survival is None:
        raise InputError(f"Study {study.id} has no `endpoint.survival`: there is no follow-up to analyse.")
    return study.endpoint.survival


def main_signature(study: Study) -> str:
    """Return the signature that the page is about: the first one of the study's list, fixed beforehand."""
    return (study.survival.signatures or [study.validation.best or study.signatures[0].name])[0]


def followed(predictions: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return the honest risks of every followed patient: out of fold in training, external elsewhere.

    Parameters
    ----------
    predictions : DataFrame
        predictions.parquet.
    study : Study
        `survival.signatures` says which signatures; without it the main one.

    Returns
    -------
    DataFrame
        subject, cohort, signature, risk, time (months), event, label, kind, fold; cohorts and signatures in the study's
        order.

    Raises
    ------
    InputError
        None of the signatures has a prediction of a followed patient.
    """
    names = study.survival.signatures or [main_signature(study)]
    honest = predictions["kind"] == predictions["cohort"].map(HONEST)
    rows = predictions[honest & predictions["signature"].isin(names)].dropna(subset=["time", "event"])
    if rows.empty:
        raise InputError(f"predictions.parquet has no followed patient with a risk of {', '.join(names)}.")
    order = {name: i for i, name in enumerate([*study.cohorts, *names])}
    rows = rows.assign(label=rows.get("label", np.nan))
    rows = rows.sort_values(["signature", "cohort"], key=lambda column: column.map(order), kind="stable")
    columns = ["subject", "cohort", "signature", "risk", "time", "event", "label", "kind", "fold"]
    return rows[columns].reset_index(drop=True)


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


def parts(groups: pd.DataFrame, study: Study) -> list[tuple[str, str, pd.DataFrame]]:
    """Return key, name and patients of every cohort, and of the sets of cohorts that are shown together.

    `survival.pooled` names the sets; without it all cohorts together are `POOLED`.
    """
    keys = [key for key in study.cohorts if (groups["cohort"] == key).any()]
    found = [(str(key), study.cohort_names[key], groups[groups["cohort"] == key]) for key in keys]
    sets = study.survival.pooled or ({"all cohorts": keys} if len(keys) > 1 else {})
    for name, members in sets.items():
        key = slug(name) if study.survival.pooled else POOLED
        found.append((key, f"{name}, pooled", groups[groups["cohort"].isin(list(members))]))
    return found


def slug(name: str) -> str:
    """Return a name as part of a key: ``Center 1`` becomes ``center_1``."""
    return "_".join(name.lower().split())


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


def locked_words(locked_at: pd.Series, table: pd.DataFrame, study: Study) -> str:
    """Say which rule is used and what cut-offs it gave."""
    values = ", ".join(f"**{name}** {fixed(value, 3)}" for name, value in locked_at.items())
    text = f"From here on the cut-off is that of the study file's rule, {RULES[study.survival.threshold]}: {values}."
    own = table[table["rule"] == study.survival.threshold]
    lost = own.loc[own["cut_off"].isna(), "signature"]
    if lost.empty:
        return text
    return f"{text} The rule finds no cut-off for {', '.join(lost)}; there the median stands in."


def pooling_words(groups: pd.DataFrame, study: Study) -> str:
    """Say what pooling cohorts does to the evidence; empty where nothing is pooled."""
    own = of_signature(groups, main_signature(study))
    everyone = [(name, part) for key, name, part in parts(own, study) if key not in study.cohorts]
    words = []
    for name, part in everyone:
        inside = int((part["cohort"] == "train").sum())
        if inside:
            where = name.removesuffix(", pooled")
            words.append(f"{inside} of the {len(part)} patients of {where} are those on whom the cut-off was chosen")
    if not words:
        return ""
    return f"**Pooling reuses the threshold's own patients:** {'; '.join(words)}. A pooled P is no test of the cut-off."


def one_group_words(groups: pd.DataFrame, study: Study) -> str:
    """Say in which cohorts the cut-off puts everybody into one group; empty where it nowhere does."""
    words = []
    for (name, key), part in groups.groupby(["signature", "cohort"], sort=False):
        if not ({LOW, HIGH} <= set(part["group"])):
            only = part["group"].iloc[0]
            words.append(f"the cut-off of {name} puts all {len(part)} patients of {study.cohort_names[key]} at {only}")
    if not words:
        return ""
    text = "; ".join(words)
    return f"{text[0].upper()}{text[1:]}: there are no groups to compare there."


def of_signature(groups: pd.DataFrame, names: str | Sequence[str]) -> pd.DataFrame:
    """Return the rows of one signature, or of several."""
    return groups[groups["signature"].isin([names] if isinstance(names, str) else list(names))]
