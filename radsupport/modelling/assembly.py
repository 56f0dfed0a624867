"""From a study's signature to its columns and to the estimator that is cross-validated."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from radsupport.errors import InputError, Problem
from radsupport.modelling.combination import Combination
from radsupport.modelling.crossval import FoldTables, Table
from radsupport.modelling.harmonisation import ComBat
from radsupport.modelling.learners import GIVEN, learner
from radsupport.modelling.preparation import Imputer, OneHot, z_score
from radsupport.modelling.selection import (
    CorrelationFilter,
    LassoSelector,
    ReproducibilityFilter,
    UnivariateSelector,
    VarianceFilter,
)
from radsupport.modelling.tuning import TunedPipeline
from radsupport.report.wording import counted
from radsupport.study_schema import Column, Modelling, Signature

CENTER = "center"
READER_SOURCES = ("clinical", "ct_findings")


def indexed(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with the subject as index (a column `subject`, or the index already)."""
    return table.set_index("subject") if "subject" in table.columns else table


def reader_table(cohort: pd.DataFrame, columns: Mapping[str, Column], source: str | None = None) -> pd.DataFrame:
    """Return clinical variables or CT findings as typed columns, indexed by subject.

    Parameters
    ----------
    cohort : DataFrame
        cohort.parquet.
    columns : mapping of name to Column
        As the study YAML types them: numbers become floats, categories stay as they are.
    source : {"clinical", "ct_findings"}, optional
        Only the columns of this source; all without it.

    Raises
    ------
    InputError
        A column that the YAML describes is not in the cohort table, or a number is not one.
    """
    table, problems, result = indexed(cohort), [], {}
    for name, column in columns.items():
        if source is not None and column.source != source:
            continue
        if name not in table.columns:
            problems.append(Problem("the cohort table lacks this column", remedy="rerun chapter 01", column=name))
        elif column.kind == "number":
            values = pd.to_numeric(table[name], errors="coerce")
            if (values.isna() & table[name].notna()).any():
                problems.append(Problem("not a number", "numbers", column=name))
            result[name] = values.astype(float)
        else:
            result[name] = table[name].astype(object).where(table[name].notna(), np.nan)
    if problems:
        raise InputError("Clinical variables can not be used as features.", problems)
    return pd.DataFrame(result, index=table.index)


class Assembly:
    """The feature tables of a study, and the estimators of its signatures.

    Parameters
    ----------
    signatures : sequence of Signature
        All of the study; combinations name others.
    tables : mapping of source to DataFrame or FoldTables
        radiomics, deep, deep_published; columns ``<phase>__<name>``.
    cohort : DataFrame
        cohort.parquet: gives clinical variables, CT findings and the center.
    columns : mapping of name to Column
    modelling : Modelling
        Grid size.
    icc : mapping of source to Series, optional
        ICC per feature, for signatures with ``icc: true``; threshold `icc_threshold`.
    unseen_center : str
        What ComBat does with a center that it was not fitted on: error, pooled.
    """

    def __init__(
        self,
        signatures: list[Signature],
        tables: Mapping[str, Table],
        cohort: pd.DataFrame,
        columns: Mapping[str, Column],
        modelling: Modelling,
        icc: Mapping[str, pd.Series] | None = None,
        icc_threshold: float = 0.8,
        unseen_center: Any = "error",
    ) -> None:
        self.signatures = {signature.name: signature for signature in signatures}
        self.cohort, self.columns, self.modelling = indexed(cohort), columns, modelling
        self.icc, self.icc_threshold, self.unseen_center = icc or {}, icc_threshold, unseen_center
        self.tables: dict[str, Table] = {
            name: table if isinstance(table, FoldTables) else indexed(table) for name, table in tables.items()
        }
        for source in READER_SOURCES:
            self.tables.setdefault(source, reader_table(cohort, columns, source))
        self._memory: str | None = None

    @contextmanager
    def shared_steps(self, names: Iterable[str]) -> Iterator[None]:
        """While open, signatures that prepare and select alike fit those steps once (in a temporary folder)."""
        used = [self._steps_key(part) for name in names for part in self._parts(name)]
        if len(set(used)) == len(used):
            yield
            return
        with TemporaryDirectory(prefix="radsupport-steps-") as self._memory:
            try:
                yield
            finally:
                self._memory = None

    def _parts(self, name: str) -> list[str]:
        """Return the signatures that are fitted for this one: itself, or the parts of a combination."""
        signature = self._signature(name)
        return [x for part in signature.combines for x in self._parts(part)] if signature.combines else [name]

    def _steps_key(self, name: str) -> str:
        signature = self._signature(name)
        return signature.model_dump_json(include={"sources", "phases", "features", "columns", "selection", "harmonise"})

    def table(self, name: str) -> Table:
        """Return all columns that a signature is given, for all subjects; combinations: those of the parts too."""
        sources = self._sources(name)
        self._check_names(name, sources)
        folds = {k for s in sources if isinstance(t := self.tables[s], FoldTables) for k in t.by_fold}
        if not folds:
            return self._join(name, None)
        return FoldTables({k: self._join(name, k) for k in sorted(folds)}, self._join(name, None))

    def estimator(self, name: str, inner_folds: int, seed: int) -> Any:
        """Return the unfitted estimator of a signature."""
        signature = self._signature(name)
        if not signature.combines:
            return self._single(signature, inner_folds, seed)
        parts = [
            (part, self.part_columns(part), self.estimator(part, inner_folds, seed)) for part in signature.combines
        ]
        own = list(self._own(signature, None).columns)
        chosen = learner(signature.learner, seed, self.modelling.grid)
        steps = [("imputation", Imputer()), ("one_hot", OneHot()), ("z_score", z_score())]
        return Combination(parts, own, TunedPipeline(steps, *chosen, inner_folds, seed), inner_folds, seed)

    def failures(self, name: str) -> dict[str, str]:
        """Return the subjects that lack a whole source of this signature, and which one."""
        failed: dict[str, str] = {}
        for source in sorted(self._sources(name)):
            table = self.tables[source]
            whole = table.refit if isinstance(table, FoldTables) else table
            rows = indexed(whole).reindex(self.cohort.index)
            failed |= {str(subject): f"no {source} features" for subject in rows.index[rows.isna().all(axis=1)]}
        return failed

    def part_columns(self, name: str) -> list[str]:
        """Return the columns that a signature is given."""
        return list(self._join(name, None).columns)

    def _single(self, signature: Signature, inner_folds: int, seed: int) -> TunedPipeline:
        chosen = learner(signature.learner, seed, self.modelling.grid)
        return TunedPipeline(self._steps(signature, seed), *chosen, inner_folds, seed, memory=self._memory)

    def _steps(self, signature: Signature, seed: int) -> list[tuple[str, Any]]:
        if signature.learner in GIVEN:
            return []
        rule, center = signature.selection, [CENTER] if signature.harmonise else []
        steps: list[tuple[str, Any]] = [("imputation", Imputer(center)), ("one_hot", OneHot(center))]
        if center:
            steps.append(("harmonisation", ComBat(CENTER, unseen=self.unseen_center)))
        steps.append(("variance", VarianceFilter()))
        if rule.icc:
            steps.append(("reproducibility", ReproducibilityFilter(self._iccs(signature), self.icc_threshold)))
        if rule.test != "none":
            adjust = None if rule.adjust == "none" else rule.adjust
            steps.append(("univariate", UnivariateSelector(rule.test, rule.alpha, adjust, rule.keep_at_least)))
        if rule.max_correlation is not None:
            steps.append(("correlation", CorrelationFilter(rule.max_correlation)))
        if rule.lasso:
            steps.append(("lasso", LassoSelector(rule.lasso_rule, seed=seed)))
        steps.append(("z_score", z_score()))
        return steps

    def _iccs(self, signature: Signature) -> pd.Series:
        lacking = [source for source in signature.sources if source not in self.icc]
        if lacking:
            raise InputError(f"`{signature.name}` selects by ICC, but there is no ICC table of {', '.join(lacking)}.")
        return pd.concat([self.icc[source] for source in signature.sources])

    def _signature(self, name: str) -> Signature:
        if name not in self.signatures:
            raise InputError(f"There is no signature {name!r}; there are {', '.join(self.signatures)}.")
        return self.signatures[name]

    def _sources(self, name: str) -> set[str]:
        signature = self._signature(name)
        unknown = [source for source in signature.sources if source not in self.tables]
        if unknown:
            known = ", ".join(self.tables)
            raise InputError(f"`{name}` needs the feature source {unknown[0]!r}; there are {known}.")
        return set(signature.sources).union(*(self._sources(part) for part in signature.combines))

    def _check_names(self, name: str, sources: set[str]) -> None:
        """Two sources may not use one column name: it would not be known which is meant."""
        owner: dict[str, str] = {}
        for source in sorted(sources | set(READER_SOURCES)):
            table = self.tables[source]
            whole = indexed(table.refit) if isinstance(table, FoldTables) else table
            shared = [column for column in whole.columns if column in owner]
            if shared:
                places = f"{owner[shared[0]]} and {source}"
                raise InputError(
                    f"`{name}`: {places} share {counted(len(shared), 'column name')}: {', '.join(shared[:5])}."
                )
            owner |= dict.fromkeys(whole.columns, source)

    def _join(self, name: str, fold: int | None) -> pd.DataFrame:
        """Own columns and those of the parts, each once."""
        signature = self._signature(name)
        pieces = [self._own(signature, fold), *(self._join(part, fold) for part in signature.combines)]
        joined = pd.concat([piece.reindex(self.cohort.index) for piece in pieces], axis=1)
        return joined.loc[:, ~joined.columns.duplicated()]

    def _own(self, signature: Signature, fold: int | None) -> pd.DataFrame:
        pieces = [self._source(signature, source, fold) for source in signature.sources]
        if signature.columns:
            known = {name: self.columns[name] for name in signature.columns if name in self.columns}
            if len(known) < len(signature.columns):
                raise InputError(f"`{signature.name}` names columns that the study does not describe.")
            pieces.append(reader_table(self.cohort, known))
        if signature.harmonise:
            pieces.append(self.cohort[[CENTER]])
        joined = pd.concat(
            [pd.DataFrame(index=self.cohort.index), *(p.reindex(self.cohort.index) for p in pieces)], axis=1
        )
        return joined.loc[:, ~joined.columns.duplicated()]

    def _source(self, signature: Signature, source: str, fold: int | None) -> pd.DataFrame:
        table = self.tables[source]
        if isinstance(table, FoldTables):
            table = indexed(table.refit if fold is None else table.fold(fold))
        if not signature.phases or source in READER_SOURCES:
            chosen = list(table.columns)
        else:
            chosen = [name for name in table.columns if str(name).split("__")[0] in signature.phases]
        chosen = [name for name in chosen if re.search(signature.features, str(name))]
        if signature.learner in GIVEN and len(chosen) > 1:
            chosen = [name for name in chosen if str(name).split("__")[-1] == signature.name]
        if not chosen:
            wanted = f" that contains {signature.features!r}" if signature.features else ""
            raise InputError(f"`{signature.name}`: {source!r} has no column for {signature.phases}{wanted}.")
        return table[chosen]
