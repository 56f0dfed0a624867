"""The columns of a feature source: which belong to it, and their text turned into numbers, counted."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from radsupport.errors import InputError, Problem, StudyError
from radsupport.study_schema import Study

MOSTLY_MISSING = 0.5
NUMBERS_FOR_MISSING = ("", "nan", "na", "n/a", "null", "none")
INFINITE = ("inf", "+inf", "-inf", "infinity", "+infinity", "-infinity")


@dataclass
class Log:
    """Cleaning steps in the order they were taken."""

    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, source: str, step: str, count: int, detail: str = "") -> None:
        """Keep one step; steps that changed nothing are kept with count 0."""
        self.rows.append({"source": source, "step": step, "count": int(count), "detail": detail})

    def table(self) -> pd.DataFrame:
        """Return source, step, count, detail."""
        return pd.DataFrame(self.rows, columns=["source", "step", "count", "detail"])


@dataclass(frozen=True)
class RawTable:
    """One published table as text, with the subjects as the book names them."""

    center: str
    file: str
    cells: pd.DataFrame
    subjects: list[str]


def source_table(
    study: Study, source: str, pattern: re.Pattern[str], raw: list[RawTable], cohort: pd.DataFrame, log: Log
) -> pd.DataFrame:
    """Return the contract table of one source: the cohort's subjects in order, ``<phase>__<name>`` columns."""
    names = _matching(source, pattern, raw, log)
    parts = [_numbers(table, names, source, log) for table in raw]
    table = pd.concat(parts).reindex(cohort["subject"])
    train = table[(cohort["cohort"] == "train").to_numpy()]
    share = train.isna().mean()
    gone = share.index[share > MOSTLY_MISSING].tolist()
    log.add(
        source,
        f"features missing in more than {MOSTLY_MISSING:.0%} of the training cohort: dropped",
        len(gone),
        ", ".join(gone),
    )
    table = table.drop(columns=gone)
    empty = table.isna().all(axis=1)
    log.add(
        source, "subjects without any feature: kept, with a reason", int(empty.sum()), ", ".join(table.index[empty])
    )
    left = int(table[~empty].isna().sum().sum())
    log.add(source, "missing values left, imputed inside the folds", left, f"of {table[~empty].size} values")
    log.add(source, "features kept", table.shape[1])
    table.columns = [_phased(study, name) for name in table.columns]
    return table.rename_axis("subject").reset_index()


def column_patterns(study: Study) -> dict[str, re.Pattern[str]]:
    """Compile the column pattern of every source."""
    compiled, problems = {}, []
    for source, pattern in study.data.feature_columns.items():
        try:
            compiled[str(source)] = re.compile(pattern)
        except re.error as error:
            where = f"data.feature_columns.{source}"
            problems.append(Problem(f"no regular expression: {error}", "", "correct it", column=where, value=pattern))
    if problems:
        raise StudyError(f"Study {study.id} can not be used.", problems)
    return compiled


def _matching(source: str, pattern: re.Pattern[str], raw: list[RawTable], log: Log) -> list[str]:
    """Return the columns of a source that every table has, in the first table's order."""
    found = [[name for name in table.cells.columns if pattern.search(name)] for table in raw]
    common = [name for name in found[0] if all(name in names for names in found)]
    partial = sorted({name for names in found for name in names} - set(common))
    log.add(source, "columns not in every table: dropped", len(partial), ", ".join(partial[:10]))
    if not common:
        shown = ", ".join(raw[0].cells.columns[:10])
        problem = Problem(
            "no column of every table matches", f"some of {shown}, ...", "correct the pattern", value=pattern.pattern
        )
        raise InputError(f"Feature source {source} is empty.", [problem])
    return common


def _numbers(table: RawTable, names: list[str], source: str, log: Log) -> pd.DataFrame:
    """Turn text into numbers; what is missing, infinite or no number becomes NaN and is counted."""
    text = table.cells[names].apply(lambda column: column.str.strip())
    lower = text.apply(lambda column: column.str.casefold())
    missing, infinite = lower.isin(NUMBERS_FOR_MISSING), lower.isin(INFINITE)
    values = text.mask(missing | infinite).apply(pd.to_numeric, errors="coerce").astype(float)
    infinite |= np.isinf(values)
    odd = values.isna() & ~missing & ~infinite
    place = f"{table.center}, {source}"
    log.add(place, "missing values", int(missing.sum().sum()))
    log.add(place, "infinite values: set to missing", int(infinite.sum().sum()))
    examples = ", ".join(dict.fromkeys(text.to_numpy()[odd.to_numpy()][:5]))
    log.add(place, "cells that are no number: set to missing", int(odd.sum().sum()), examples)
    return values.mask(infinite).set_axis(pd.Index(table.subjects, dtype=object))


def _phased(study: Study, name: str) -> str:
    """Return ``<phase>__<name>``; the phase is the study's only one, or already in the name."""
    phases = list(study.phases) or ["ct"]
    if name.split("__")[0] in phases and "__" in name:
        return name
    if len(phases) > 1:
        problem = Problem("a feature without a phase", f"<phase>__{name} with one of {', '.join(phases)}", value=name)
        raise StudyError(f"Study {study.id} has several phases.", [problem])
    return f"{phases[0]}__{name}"
