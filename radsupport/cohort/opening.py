"""Chapter 01, step by step: open a study's sources, assign cohorts, and count who is where."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from radsupport.chapter import Chapter
from radsupport.cohort.assignment import CohortTables, build_cohort
from radsupport.cohort.clinical import clinical_path, read_clinical
from radsupport.cohort.completeness import complete_cases, short_follow_up
from radsupport.cohort.feature_tables import read_feature_study, write_feature_tables
from radsupport.cohort.manifest import study_files
from radsupport.cohort.printed_layout import printed_table
from radsupport.cohort.survival_tests import survival_tests
from radsupport.errors import NotEstimableError
from radsupport.report.wording import counted, fixed
from radsupport.study_schema import Study
from radsupport.survival.curves import median_follow_up


def open_cohort(study: Study, root: Path = Path()) -> CohortTables:
    """Read a study's clinical table or feature tables and assign every subject to a cohort.

    Parameters
    ----------
    study : Study
    root : Path
        Project root.

    Returns
    -------
    CohortTables
        The contract table `cohort`, everybody left out with the reason, and the feature tables of a
        study that starts from them.

    Raises
    ------
    ManifestError, ClinicalTableError, StudyError, InputError
        Every problem of the source at once.
    """
    if study.data.entry == "features":
        return read_feature_study(study, root)
    files = study_files(study, root)
    return build_cohort(study, read_clinical(study, clinical_path(study, files, root)), files)


def outcome_columns(study: Study) -> list[str]:
    """Return the outcome columns that the study's cohort table holds."""
    label = ["label"] if study.endpoint.label is not None else []
    return label + (["time", "event"] if study.endpoint.survival is not None else [])


def event_column(study: Study) -> str:
    """Return the column that counts an event of the primary endpoint: ``label`` or ``event``."""
    return "label" if study.endpoint.primary == "label" else "event"


def cohort_summary(cohort: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return size, events and follow-up of each cohort.

    Returns
    -------
    pandas.DataFrame
        cohort, n, events (primary endpoint), share_with_event; with follow-up also survival_events (where the primary
        endpoint is a label: what ends the follow-up may be another event), median_follow_up (months, reverse
        Kaplan-Meier), ci_low, ci_high; NaN where there is no follow-up.
    """
    rows = []
    for name, spec in study.cohorts.items():
        part = cohort[cohort["cohort"] == name]
        events = part[event_column(study)].sum() if name != "segmentation" else float("nan")
        row = {"cohort": spec.name, "n": len(part), "events": events, "share_with_event": events / max(len(part), 1)}
        if study.endpoint.survival is not None and name != "segmentation":
            known = part.dropna(subset=["time", "event"])
            row |= {"survival_events": known["event"].sum()} if study.endpoint.primary == "label" else {}
            row |= _follow_up(known)
        rows.append(row)
    return pd.DataFrame(rows)


def _follow_up(part: pd.DataFrame) -> dict[str, float]:
    if part.empty:
        return {}
    try:
        found = median_follow_up(part["time"], part["event"])
    except NotEstimableError:
        return {}
    return {"median_follow_up": found.median, "ci_low": found.ci_low, "ci_high": found.ci_high}


def variable_table(study: Study) -> pd.DataFrame:
    """Return the study's columns as a reader sees them: variable, kind, unit or levels, definition, source, known.

    When a variable is known is left out where all are known before treatment.
    """
    rows = []
    for name, column in study.columns.items():
        values = column.unit if column.kind == "number" else ", ".join(column.levels)
        rows.append(
            {
                "variable": column.label, "column": name, "source": column.source.replace("ct_", "CT "),
                "unit_or_levels": values, "definition": column.definition, "known": column.time_of_knowledge,
            }
        )  # fmt: skip
    table = pd.DataFrame(rows)
    late = any(column.time_of_knowledge != "preoperative" for column in study.columns.values())
    return table if late or table.empty else table.drop(columns="known")


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


def write_sources(tables: CohortTables, results: Path) -> None:
    """Write who was left out, and the feature tables of a study that starts from them."""
    results.mkdir(parents=True, exist_ok=True)
    tables.excluded.to_csv(results / "cohort_excluded.csv", index=False)
    write_feature_tables(tables, results)


def followed(cohort: pd.DataFrame) -> pd.DataFrame:
    """Return the patients with an outcome: everybody but the segmentation cohort."""
    return cohort[cohort["cohort"] != "segmentation"]


def cohort_names(study: Study) -> dict[str, str]:
    """Return the names of the cohorts with an outcome by their keys, in the study's order."""
    return {key: name for key, name in study.cohort_names.items() if key != "segmentation"}


def outcome_names(study: Study) -> dict[str, str]:
    """Return the words for 0 and 1 of the primary endpoint."""
    label, survival = study.endpoint.label, study.endpoint.survival
    if study.endpoint.primary == "label" and label is not None:
        return {"0": label.negative, "1": label.positive}
    event = survival.event_name if survival is not None else "event"
    return {"0": f"no {event} seen (censored)", "1": f"{event} seen"}


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


def table_name(printed_as: str) -> str:
    """Say for a caption which printed table has this layout."""
    return f", laid out like the paper's {printed_as}" if printed_as else ""


def follow_up_table(cohort: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return cohort (name), time (months) and event of every patient with follow-up, for `figures.follow_up`."""
    if study.endpoint.survival is None:
        return pd.DataFrame(columns=["cohort", "time", "event"])
    names = cohort_names(study)
    known = followed(cohort).dropna(subset=["time", "event"])
    rows = pd.DataFrame({"cohort": known["cohort"].map(names), "time": known["time"], "event": known["event"]})
    order = {name: i for i, name in enumerate(names.values())}
    return rows.sort_values("cohort", key=lambda column: column.map(order), ignore_index=True, kind="stable")


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
