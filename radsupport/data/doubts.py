"""What a study's settings and tables decide before anything is computed, and what in them nobody expects.

A problem here would end a chapter hours later; a warning is a number that may be right and rarely is: follow-up of a
hundred years, a marker that is the outcome, the same column twice.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radsupport.errors import Problem
from radsupport.learning.learners import BINARY, GIVEN, SURVIVAL
from radsupport.settings.learning import BEST, MEAN
from radsupport.settings.study import Study
from radsupport.study import trained_centers
from radsupport.wording import counted, did_you_mean, listed

LONGEST, LONG = 1200.0, 480.0
"""Months of follow-up that are impossible (a hundred years), and that are asked about."""
NEARLY = 0.999
"""Correlation from which two columns say the same."""
FEW = 5
"""Patients (of each class) that a column needs before its separating them, or its being constant, says anything."""


def settings_problems(study: Study, root: Path = Path()) -> Iterator[Problem]:
    """Yield what the study file alone decides: learners of the other endpoint or of none, a missing settings file."""
    file = f"studies/{study.id}.yaml"
    label = study.endpoint.primary == "label"
    fitting, other = (BINARY, SURVIVAL) if label else (SURVIVAL, BINARY)
    named = [(f"signatures.{one.name}", one.learner) for one in study.signatures]
    named += [("modelling.compare_learners", name) for name in study.modelling.compare_learners]
    for where, name in named:
        if name in (MEAN, BEST) and not where.startswith("signatures"):
            yield Problem("takes signatures, and no features", "a learner", "name it in a signature that `combines:`",
                          file, column=where, value=name)  # fmt: skip
        if name in (*fitting, *GIVEN, BEST):
            continue
        kind = "a time to event" if label else "a yes/no outcome"
        what = f"a learner of {kind}" if name in other else "unknown learner"
        remedy = did_you_mean(name, fitting, "take one of them")
        yield Problem(what, f"one of {', '.join(fitting)}", remedy, file, column=f"{where}.learner", value=name)
    if study.radiomics is not None and not study.model:  # a model brings its own
        settings = Path(root) / "studies" / "radiomics" / study.radiomics.settings
        there = sorted(path.name for path in settings.parent.glob("*.yaml"))
        if not settings.is_file():
            remedy = did_you_mean(settings.name, there, "write it, or name one that is there")
            what, expected = "there is no such settings file", f"one of {', '.join(there)}"
            yield Problem(what, expected, remedy, file, "", "radiomics.settings", study.radiomics.settings)


def table_doubts(study: Study, table: pd.DataFrame, file: str) -> list[Problem]:
    """Return the problems and warnings of a typed table.

    Parameters
    ----------
    study : Study
    table : DataFrame
        subject, center, label, time (months), event and the study's columns, where it has them; cohort where known.
    file : str
        What the problems name as their place.

    Returns
    -------
    list of Problem
        Outcomes that can not be modelled, times of another unit, labels that contradict follow-up; and as warnings:
        columns that separate the classes, say the same, are constant, or are empty in a center.
    """
    found = [*_times(study, table), *_classes(study, table), *_contradictions(study, table), *_columns(study, table)]
    return [Problem(**{**vars(problem), "file": problem.file or file}) for problem in found]


def _warning(what: str, remedy: str = "", column: str = "", value: str = "") -> Problem:
    return Problem(what, "", remedy, column=column, value=value, warning=True)


def _times(study: Study, table: pd.DataFrame) -> Iterator[Problem]:
    """Yield follow-up that can not be in the unit of the study, or ends before its horizons."""
    survival = study.endpoint.survival
    if survival is None or "time" not in table or table["time"].dropna().empty:
        return
    time, header = table["time"].dropna(), survival.time
    longest = float(time.max())
    shown = f"{longest:.0f} months ({longest / 12:.0f} years), read as {survival.unit}"
    if longest > LONG:
        expected = "follow-up of at most some decades"
        remedy = "correct the dates" if survival.dates else f"correct `unit: {survival.unit}`"
        impossible = longest > LONGEST
        what = "an impossible follow-up" if impossible else "a very long follow-up"
        yield Problem(what, expected, remedy, column=header, value=shown, warning=not impossible)
    late = [f"{horizon:g}" for horizon in survival.horizons_months if horizon > longest]
    if late:
        what = f"nobody is followed until month {listed(late)}"
        yield _warning(what, "shorten `horizons_months`, or check `unit`", header, f"longest: {shown}")
    zero = int((table.loc[table["time"] == 0, "event"] == 1).sum())
    if zero:
        yield _warning(
            f"{counted(zero, 'event')} at time 0", "check the dates: such a patient is never at risk", header
        )
    if "alive" in survival.event.casefold() and "1" in survival.event_values:
        remedy = 'where 1 means alive, write `event_values: ["0"]` and `censored_values: ["1"]`'
        yield _warning(f"in a column called {survival.event} the code 1 counts as the event", remedy, survival.event)


def _classes(study: Study, table: pd.DataFrame) -> Iterator[Problem]:
    """Yield outcomes that leave nothing to learn in training, and folds that not every class reaches."""
    outcome, primary = study.endpoint.event, study.endpoint.primary
    if outcome not in table:
        return
    if study.model:  # nothing is fitted, and a cohort that can not be judged says so on its page
        return
    centers = study.cohorts["train"].centers
    here = table[table["cohort"] == "train"] if "cohort" in table else table[table["center"].isin(centers)]
    counts = here[outcome].dropna().astype(int).value_counts()
    column = study.endpoint.label.column if study.endpoint.label and primary == "label" else ""
    column = column or (study.endpoint.survival.event if study.endpoint.survival else "")
    events, others = int(counts.get(1, 0)), int(counts.get(0, 0))
    if not events or (not others and primary == "label"):
        words = study.endpoint.outcome_names["1" if events else "0"]
        what, remedy = f"every patient of the training cohort has the same outcome: {words}", "check its codes"
        yield Problem(what, "both outcomes", remedy, column=column)
        return
    if not others:
        yield _warning("every patient had the event, nobody is censored", "check the codes", column)
    fewest, folds = min(events, others) if primary == "label" else events, study.modelling.folds
    chosen = "folds" in study.modelling.model_fields_set
    rarer = f"{counted(fewest, 'patient')} {'of the rarer outcome' if primary == 'label' else 'with the event'}"
    remedy, inner = "lower it, or `inner_folds`", study.modelling.inner_folds
    if fewest < folds and (chosen or folds <= len(here)):
        what, expected = f"{counted(folds, 'fold')} for {rarer} in training", f"2 to {fewest}: chapter 05 refuses more"
        yield Problem(what, expected, remedy, column="modelling.folds", value=str(folds), warning=not chosen)
    elif chosen and fewest - math.ceil(fewest / folds) < inner:
        what = f"{counted(folds, 'fold')} leave fewer of the {rarer} than the {inner} inner folds need"
        yield Problem(what, "as many as inner folds", remedy, column="modelling.folds", value=str(folds))


def _contradictions(study: Study, table: pd.DataFrame) -> Iterator[Problem]:
    """Yield labels "by a horizon" that follow-up contradicts."""
    label = study.endpoint.label
    if label is None or label.horizon_months is None or not {"label", "time", "event"} <= set(table):
        return
    by_then = (table["event"] == 1) & (table["time"] <= label.horizon_months)
    without = table["label"].eq(0) & by_then
    before = table["label"].eq(1) & (table["event"].eq(0) | (table["time"] > label.horizon_months))
    for rows, what in (
        (without, f"{label.negative}, but an event by month {label.horizon_months:g}"),
        (before, f"{label.positive}, but no event by month {label.horizon_months:g}"),
    ):
        if rows.any():
            names = listed(list(table.loc[rows, "subject"]), 5)
            what = f"the label contradicts follow-up in {counted(int(rows.sum()), 'patient')}: {what}"
            yield Problem(
                what, "a label that follows from time and status", "correct one of them", "", "", label.column, names
            )


def _columns(study: Study, table: pd.DataFrame) -> Iterator[Problem]:
    """Yield columns that are the outcome, that say the same, that never vary, or that a center lacks."""
    numbers = {name: _codes(table[name]) for name in study.columns if name in table}
    outcome = table.get(study.endpoint.event)
    unlabelled = study.cohorts["segmentation"].centers if "segmentation" in study.cohorts else []
    for name, values in numbers.items():
        label = study.columns[name].label
        if outcome is not None and _separates(values, outcome):
            what = f"“{label}” alone tells every patient with the outcome from every one without"
            yield _warning(what, "make sure that it was known before the outcome", name)
        if values.notna().sum() >= FEW and len(values.dropna().unique()) == 1:
            yield _warning(f"“{label}” has the same value in every patient", "it can tell nobody apart", name)
        if len(table["center"].unique()) > 1:
            empty = values.isna().groupby(table["center"]).all()
            for center in [center for center in empty.index[empty] if center not in unlabelled]:
                used = [one.name for one in study.signatures if name in one.columns]
                lost = ", which has no value there" * (center not in trained_centers(study))
                into = f"; it enters {listed(used)}{lost}" if used else ""
                yield _warning(f"“{label}” is empty in center {center}{into}", "enter it, or leave it out", name)
    for (a, x), (b, y) in combinations(numbers.items(), 2):
        if (r := _correlation(x, y)) > NEARLY:
            what = f"“{study.columns[a].label}” and “{study.columns[b].label}” say the same (|r| = {r:.3f})"
            yield _warning(what, "a model of both can not tell them apart", f"{a}, {b}")


def _codes(values: pd.Series) -> pd.Series:
    """Return numbers as they are and categories by their places."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        return values.cat.codes.where(values.notna()).astype(float)
    return pd.to_numeric(values, errors="coerce").astype(float)


def _separates(values: pd.Series, outcome: pd.Series) -> bool:
    known = values.notna() & outcome.notna()
    positive, negative = values[known & (outcome == 1)], values[known & (outcome == 0)]
    if min(len(positive), len(negative)) < FEW:
        return False
    return bool(positive.min() > negative.max() or positive.max() < negative.min())


def _correlation(x: pd.Series, y: pd.Series) -> float:
    known = x.notna() & y.notna()
    if known.sum() < FEW or x[known].nunique() < 3 or y[known].nunique() < 3:
        return 0.0
    return float(abs(np.corrcoef(x[known], y[known])[0, 1]))


def separating(table: pd.DataFrame, outcome: Mapping[Any, Any], most: int = 5) -> list[str]:
    """Return the columns of a feature table of which one alone separates the classes.

    Parameters
    ----------
    table : DataFrame
        subject and numbers.
    outcome : mapping of subject to 0 or 1
    most : int
        Names returned at most.
    """
    label = table["subject"].map(outcome)
    names = [str(name) for name in table.columns if name != "subject" and _separates(_codes(table[name]), label)]
    return names[:most]
