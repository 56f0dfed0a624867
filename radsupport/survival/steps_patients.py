"""Chapter 07: the risks themselves by outcome, and who is in which risk group."""

from __future__ import annotations

from typing import Any

import pandas as pd

from radsupport.cohort.tables import baseline_table, compare_groups
from radsupport.errors import NotEstimableError
from radsupport.report.wording import p_value
from radsupport.study_schema import Study
from radsupport.survival.steps_groups import of_signature, outcome

TEST_WORDS = {
    "student_t": "Student's t", "welch_t": "Welch's t", "mann_whitney": "Mann–Whitney", "chi_square": "chi-square",
    "chi_square_yates": "chi-square (Yates)", "fisher": "Fisher's exact",
}  # fmt: skip


def outcome_classes(study: Study) -> tuple[str, tuple[str, str]]:
    """Return the column that tells patients apart, and the words for its 0 and 1: the label, else the event."""
    label = study.endpoint.label
    if study.endpoint.primary == "label" and label is not None:
        return "label", (label.negative, label.positive)
    event = outcome(study).event_name
    return "event", (f"no {event} seen", f"{event} seen")


def risk_by_outcome(groups: pd.DataFrame, study: Study, signature: str) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return cohort (name), risk and label of one signature's patients, and each cohort's Mann-Whitney P in words.

    There is a P for a label only: whether an event was seen also depends on how long a patient was followed.
    """
    column, _ = outcome_classes(study)
    own = of_signature(groups, signature).dropna(subset=[column])
    table = pd.DataFrame({"cohort": own["cohort"].map(lambda key: study.cohort_names[key]), "risk": own["risk"]})
    table["label"] = own[column].astype(int)
    words = {}
    for name, part in table.groupby("cohort", sort=False) if column == "label" else ():
        try:
            p = compare_groups(part["risk"], part["label"], test="mann_whitney").p
        except NotEstimableError:
            continue
        words[str(name)] = p_value(p)
    return table.reset_index(drop=True), words


def test_words(words: dict[str, str]) -> str:
    """Name the test of the P in a figure's caption; empty without any."""
    return "; P of the Mann–Whitney test" if words else ""


def colour_words(study: Study) -> str:
    """Say what a bar of the other colour means: a mistake of the groups, or perhaps only a short follow-up."""
    column, classes = outcome_classes(study)
    if column == "label":
        return "Bars of the wrong colour on either side are the patients that the groups get wrong."
    return (
        f'"{classes[0][0].upper()}{classes[0][1:]}" may only mean that a patient was followed briefly. A bar of the '
        "other colour is therefore no mistake of the groups by itself, and the two colours have no test here; the "
        "log-rank test above allows for the length of follow-up."
    )


def waterfall_panels(groups: pd.DataFrame, study: Study, signature: str) -> list[tuple[str, pd.DataFrame, Any]]:
    """Return title, risks and options of a waterfall per cohort, for `figures.panels`."""
    column, classes = outcome_classes(study)
    own = of_signature(groups, signature).dropna(subset=[column])
    found = []
    for key, part in own.groupby("cohort", sort=False):
        table = part[["risk"]].assign(label=part[column].astype(int))
        options = {"cut_off": float(part["cut_off"].iloc[0]), "classes": classes}
        found.append((f"{study.cohort_names[key]} (n = {len(part)})", table, options))
    return found


def described(study: Study) -> list[str]:
    """Return the columns described by risk group: covariates of the Cox models, then predictors of the nomogram."""
    columns = [*study.survival.covariates, *study.nomogram.columns, *study.nomogram.candidates]
    return list(dict.fromkeys(columns))


def characteristics(
    groups: pd.DataFrame, cohort: pd.DataFrame, study: Study, signature: str
) -> dict[str, pd.DataFrame]:
    """Return a baseline table by risk group for each cohort, by its name.

    Parameters
    ----------
    groups : DataFrame
        What `steps_groups.in_groups` returns.
    cohort : DataFrame
        cohort.parquet, with the columns described.
    study : Study
    signature : str

    Returns
    -------
    dict of str to DataFrame
        As `cohort.tables.baseline_table`, variables in words; a cohort that is all in one group is left out.
    """
    columns, own, found = described(study), of_signature(groups, signature), {}
    kinds = {c: "continuous" if study.columns[c].kind == "number" else "categorical" for c in columns}
    for key, part in own.groupby("cohort", sort=False):
        table = part[["subject", "group"]].merge(cohort[["subject", *columns]], on="subject", how="left")
        if not columns or table["group"].nunique() < 2:
            continue
        known = [c for c in columns if table[c].notna().any()]
        baseline = baseline_table(table, "group", known, kinds={c: kinds[c] for c in known})
        words = {c: label_of(study, c) for c in known} | {"n": "Patients"}
        repeated = baseline["variable"].duplicated()
        shown = baseline["variable"].map(words).mask(repeated, "")
        words_of_tests = baseline["test"].replace(TEST_WORDS)
        found[study.cohort_names[key]] = baseline.assign(variable=shown, test=words_of_tests).drop(columns="statistic")
    return found


def label_of(study: Study, column: str) -> str:
    """Return a column in words, with its unit where it has one."""
    spec = study.columns[column]
    return f"{spec.label} ({spec.unit})" if spec.unit else spec.label
