"""TODO."""

from __future__ import annotations

import re

import pandas as pd

from radsupport.book.chapter import Chapter
from radsupport.book.table_one import TEST_WORDS, printed_table
from radsupport.data.cohorts import complete_cases, short_follow_up
from radsupport.data.open import COX, LOG_RANK, cohort_names, event_column, followed, outcome_names, survival_tests
from radsupport.settings.study import Study
from radsupport.wording import counted, fixed, p_number


def summary_headers(study: Study) -> dict[str, str]:
    """Return the words for the columns of `cohort_summary`: each event and the follow-up named by what they are of."""
    label, survival = study.endpoint.label, study.endpoint.survival
    ends = f"{survival.event_name} ({survival.name})" if survival is not None else ""
    by_label = study.endpoint.primary == "label" and label is not None
    return {
        "cohort": "Cohort", "n": "Patients", "events": f"Events: {label.name if by_label and label else ends}",
        "share_with_event": "Share with event", "survival_events": f"Events: {ends}",
        "median_follow_up": f"Median follow-up, months{f' ({survival.name})' if survival is not None else ''}",
        "ci_low": "95% CI from", "ci_high": "to",
    }  # fmt: skip


def worded_months(summary: pd.DataFrame) -> pd.DataFrame:
    """Return `cohort_summary` for the page: months with one decimal, a dash where there are none."""
    months = [name for name in ("median_follow_up", "ci_low", "ci_high") if name in summary]
    return summary.assign(**{name: [fixed(x, 1) if x == x else "–" for x in summary[name]] for name in months})


CANDIDATE_HEADERS = {
    "signature": "Signature", "candidates": "Candidates", "parameters": "Parameters from tables",
    "events": "Events (of the rarer outcome)", "per_parameter": "Events per parameter", "remark": "Remark",
}  # fmt: skip


def endpoint_words(study: Study) -> str:
    """Say in words what the study predicts, and what else it follows."""
    label, survival = study.endpoint.label, study.endpoint.survival
    words = []
    if label is not None:
        words.append(f"{label.name} (yes: {label.positive}; no: {label.negative})")
    if survival is not None:
        words.append(f"{survival.name} (months)")
    return "; also ".join(words if study.endpoint.primary == "label" else words[::-1])


def table_by_cohort(cohort: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return the characteristics by cohort, in the layout and with the tests of the paper's table."""
    tests = study.cohort_tables.tests_by_cohort
    return printed_table(followed(cohort), "cohort", study, cohort_names(study), tests)


def table_by_outcome(cohort: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return the characteristics of the training cohort by outcome, in the layout and with the tests of the paper's.

    Where the primary endpoint is a survival time, tests that the paper does not name are those of `survival_tests`:
    patients are not of one group or the other, they were followed for longer or shorter.
    """
    tests, training = study.cohort_tables.tests_by_outcome, cohort[cohort["cohort"] == "train"]
    instead = None
    if study.endpoint.primary == "survival":
        instead = survival_tests(training, study, [name for name in study.columns if name not in tests])
    return printed_table(training, event_column(study), study, outcome_names(study), tests, instead=instead)


def split_words(study: Study) -> str:
    """Say how a center that serves several cohorts was divided."""
    if study.data.cohort:
        return f"The split of a center is fixed: column {study.data.cohort!r} of the clinical table."
    if any(spec.share is not None for spec in study.cohorts.values()):
        return f"A center that serves two cohorts was divided at random (seed {study.seed}), stratified by the outcome."
    return "Each center belongs to one cohort."


def follow_up_words(cohort: pd.DataFrame, study: Study) -> str:
    """Say what the end of follow-up means for the primary endpoint.

    A time to an event is censored there; a label with a horizon may have been given too early, and is counted; of a
    label without one the study file does not say whether it is looked for during follow-up or known from the start.
    """
    label, survival = study.endpoint.label, study.endpoint.survival
    if survival is None:
        return "This study has no follow-up, only a yes/no outcome."
    if study.endpoint.primary == "survival" or label is None:
        known = followed(cohort).dropna(subset=["time", "event"])
        return (
            f"The endpoint is a time. {int((known['event'] == 0).sum())} of {counted(len(known), 'patient')} left "
            f"observation without the event ({survival.event_name}): they are censored then, and do not count as free "
            "of it for good."
        )
    if label.horizon_months is None:
        return _open_label_words(cohort, study)
    short, free = short_follow_up(followed(cohort), study)
    return (
        f"{short} of {free} patients labelled “{label.negative}” were followed for less than "
        f"{label.horizon_months:g} months: they count as free of the event in chapters 05 and 06, and as censored in "
        "chapter 07."
    )


def _open_label_words(cohort: pd.DataFrame, study: Study) -> str:
    """Say what follow-up means for a label that the study file ties to no time."""
    label, survival = study.endpoint.label, study.endpoint.survival
    if label is None or survival is None:
        return ""
    free = followed(cohort).query("label == 0")["time"].dropna()
    span = f"were followed for {free.min():.0f} to {free.max():.0f} months" if len(free) else "have no follow-up"
    later = (
        f"“{label.negative}” also means “not yet”: the {counted(len(free), 'patient')} labelled so {span}, and "
        "chapters 05 and 06 count all of them as free of it."
    )
    words = {
        "during_follow_up": f"The outcome “{label.name}” is looked for during follow-up, so {later}",
        "at_once": f"The outcome “{label.name}” is known at once: the length of follow-up does not touch it.",
        "": f"The study file does not say when the outcome “{label.name}” is known. If it is looked for during "
        f"follow-up, {later} If it is known at once, like a finding at surgery, the length of follow-up does not touch "
        "it.",
    }
    return (
        f"{words[label.known]} The figure shows another outcome, {survival.name}: the time to {survival.event_name} "
        "or to the end of observation."
    )


def completeness_words(cohort: pd.DataFrame, study: Study) -> str:
    """Say how many patients have every value."""
    if not study.columns:
        return "There are no variables that could be missing."
    complete = complete_cases(cohort, study)
    return f"{complete} of {len(cohort)} patients have a value in each of the {len(study.columns)} variables."


def publish(chapter: Chapter, cohort: pd.DataFrame, tables: dict[str, pd.DataFrame]) -> None:
    """Publish sizes and events per cohort, and each P of the baseline tables as ``p_by_<table>_<column>``."""
    study, event = chapter.study, event_column(chapter.study)
    everybody = followed(cohort)
    chapter.publish("n_subjects", len(everybody))
    chapter.publish("n_events", int(everybody[event].sum()), n=len(everybody))
    for key in cohort_names(study):
        part = everybody[everybody["cohort"] == key]
        chapter.publish(f"n_{key}", len(part), n=len(part))
        chapter.publish(f"n_events_{key}", int(part[event].sum()), n=len(part))
    for name, table in tables.items():
        n = len(everybody) if name == "cohort" else int((everybody["cohort"] == "train").sum())
        for column, p in table.loc[table.index != "", "P"].dropna().items():
            chapter.publish(f"p_by_{name}_{column}", float(p), n=n)


def worded(table: pd.DataFrame) -> pd.DataFrame:
    """Return a printed table for the page: P-values and counts as text, empty where a row has none."""
    shown = table.copy()
    for name in ("P", "P_adjusted"):
        if name in shown:
            shown[name] = [p_number(p) if pd.notna(p) else "" for p in table[name]]
    if "Missing" in shown:
        shown["Missing"] = [str(int(n)) if pd.notna(n) else "" for n in table["Missing"]]
    return shown.rename(columns={"P_adjusted": "P (Benjamini–Hochberg)"})


def statistic_notes(printed: pd.DataFrame) -> str:
    """Say which way the statistics of a printed table point: which group against which, which level against which.

    Parameters
    ----------
    printed : pandas.DataFrame
        As `printed_table` returns it.

    Returns
    -------
    str
        Sentences for the statistics with a direction that the table shows, and for tests of a time to an event; one
        sentence where none has a direction.
    """
    groups = [found[1] for name in printed.columns if (found := re.fullmatch(r"(.*) \(n = \d+\)", str(name)))]
    first, second = groups[0], groups[-1]
    used = {str(text).partition(" = ")[0] for text in printed["Statistic"]}
    notes = {
        "odds ratio": f"Odds ratios are those of a variable's second level against its first, in “{second}” against "
        f"“{first}”: above 1, the second level is more frequent in “{second}”. They are conditional maximum-likelihood "
        "estimates, as Fisher's test has them, and differ a little from the ratio of the counts.",
        "t": f"t is taken of “{first}” minus “{second}”: it is positive where the mean of “{first}” is larger.",
        "U": f"U counts the pairs of one patient of each group in which the one of “{first}” has the larger value "
        "(ties as one half).",
    }
    words = [text for symbol, text in notes.items() if symbol in used]
    if set(printed["Test"]) & {TEST_WORDS[LOG_RANK], TEST_WORDS[COX]}:
        words.append(
            "The log-rank test (categories) and Cox regression with one variable (numbers) compare the times to the "
            "event, with censoring: follow-up counts. The two columns only show in whom the event was seen."
        )
    return " ".join(words) or "The statistics of this table have no direction: they say how much the groups differ."
