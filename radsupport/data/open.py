"""Chapter 01, step by step: open a study's sources, assign cohorts, and count who is where.

Compare a time to an event between the levels of a category, or along a number: one test per variable.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from radsupport.data.clinical import clinical_path, read_clinical
from radsupport.data.cohorts import CohortTables, build_cohort
from radsupport.data.features import read_feature_study, write_feature_tables
from radsupport.data.manifest import study_files
from radsupport.errors import NotEstimableError
from radsupport.settings.study import Study
from radsupport.stats.cox_many import univariable_cox_features
from radsupport.stats.logrank import log_rank
from radsupport.stats.survival_curves import median_follow_up


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


LOG_RANK, COX = "log_rank", "cox_likelihood_ratio"


def survival_tests(table: pd.DataFrame, study: Study, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Test each variable of a study against the time to the event.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows of the table `cohort`, with time (months) and event (0 or 1); patients without either are left out, and
        for each variable those without a value.
    study : Study
    columns : sequence of str, optional
        What to test; every column of the study by default.

    Returns
    -------
    pandas.DataFrame
        test (log_rank for categories; cox_likelihood_ratio for numbers, Efron's ties; or why there is none),
        statistic (chi-square), p; by column (index).
    """
    chosen = list(columns if columns is not None else study.columns)
    known = table.dropna(subset=["time", "event"])
    rows = [_tested(known.dropna(subset=[name]), name, study.columns[name].kind == "number") for name in chosen]
    return pd.DataFrame(rows, index=pd.Index(chosen), columns=["test", "statistic", "p"])


def _tested(known: pd.DataFrame, name: str, is_number: bool) -> dict[str, Any]:
    """Return the test of one variable on its complete rows."""
    try:
        if known.empty:
            raise NotEstimableError("no patient has a value")
        if not is_number:
            found = log_rank(known["time"], known["event"], known[name])
            return {"test": LOG_RANK, "statistic": found.chi2, "p": found.p}
        fit = univariable_cox_features(known[[name]].astype(float), known["time"], known["event"]).iloc[0]
    except NotEstimableError as error:
        return {"test": f"not estimable: {error}", "statistic": float("nan"), "p": float("nan")}
    test = f"not estimable: {fit['note']}" if fit["note"] else COX
    return {"test": test, "statistic": float(fit["lr_chi2"]), "p": float(fit["p_lr"])}
