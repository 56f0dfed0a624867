"""What a signature is built from: feature tables, the cohort, and the estimator that is cross-validated.

`assemble` reads the tables that earlier chapters wrote; an `Assembly` can also be made of tables in memory. With
`Assembly.changed` the same signatures are run again with one thing changed: other outcomes, tables, centers or
learners.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.base import clone

from radsupport.errors import ContractError, InputError, Problem
from radsupport.learning import selection
from radsupport.learning.crossval import FoldTables, Pooling, Table
from radsupport.learning.learners import GIVEN, GridSize, Learner, learner, own_learners
from radsupport.learning.preparation import ComBat, Imputer, OneHot, z_score
from radsupport.learning.tuning import Choice, Combination, TunedPipeline
from radsupport.settings.learning import BEST, Signature
from radsupport.settings.parts import Column
from radsupport.tables import read_table
from radsupport.wording import counted, source_words

CENTER = "center"
READER_SOURCES = ("clinical", "ct_findings")
LABEL, SURVIVAL = ("label",), ("time", "event")


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
        As the study file types them: numbers become floats, categories stay as they are.
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


def whole_table(table: Table) -> pd.DataFrame:
    """Return the table that was learnt on everybody, indexed by subject."""
    return indexed(table.refit) if isinstance(table, FoldTables) else table


def select_rows(table: Table, subjects: pd.Index) -> Table:
    """Return the rows of these subjects, of every fold's table where there are several."""
    if isinstance(table, FoldTables):
        return FoldTables({k: t.loc[subjects] for k, t in table.by_fold.items()}, table.refit.loc[subjects])
    return table.loc[subjects]


@dataclass
class Assembly:
    """The feature tables, outcomes and signatures that are run together.

    Parameters
    ----------
    signatures : sequence of Signature
        All that may be run; combinations name others.
    tables : mapping of source to DataFrame or FoldTables
        radiomics, deep, deep_published; columns ``<phase>__<name>``.
    cohort : DataFrame
        cohort.parquet: gives outcomes, clinical variables, CT findings and the center.
    columns : mapping of name to Column
    outcome : ("label",) or ("time", "event")
    grid : {"coarse", "full"}
        Size of the learners' grids.
    icc : mapping of source to Series, optional
        ICC per feature, for signatures with ``icc: true``; threshold `icc_threshold`.
    unseen_center : {"error", "pooled"}
        What ComBat does with a center that it was not fitted on.
    wrap : callable (model, inner_folds, seed) -> model, optional
        Puts another estimator around every signature's, such as one that learns from a share of the subjects.
    learners : mapping of name to (estimator, grid), optional
        Further ones that signatures may name, as `own_learners` takes them.
    folds : int or Series
        How many folds the training cohort is divided into, or the fold of each subject where features were learnt per
        fold; for `run_signatures`.
    imputer : Imputer
        Fills the gaps of a training part; cloned for every fit.
    pooling : {"raw", "standardised"}
        What patients of different folds are ranked by: their risks, or `tuning.pooled_score`.
    """

    signatures: Sequence[Signature]
    tables: Mapping[str, Table]
    cohort: pd.DataFrame
    columns: Mapping[str, Column] = field(default_factory=dict)
    outcome: tuple[str, ...] = LABEL
    grid: GridSize = "coarse"
    icc: Mapping[str, pd.Series] = field(default_factory=dict)
    icc_threshold: float = 0.8
    unseen_center: Literal["error", "pooled"] = "error"
    wrap: Callable[[Any, int, int], Any] | None = None
    learners: Mapping[str, Any] = field(default_factory=dict)
    folds: int | pd.Series = 10
    imputer: Imputer = field(default_factory=Imputer)
    pooling: Pooling = "raw"

    def __post_init__(self) -> None:
        self.by_name = {signature.name: signature for signature in self.signatures}
        self.cohort = indexed(self.cohort)
        self.sources: dict[str, Table] = {
            name: table if isinstance(table, FoldTables) else indexed(table) for name, table in self.tables.items()
        }
        for source in READER_SOURCES:
            self.sources.setdefault(source, reader_table(self.cohort, self.columns, source))
        self._memory: str | None = None
        self.learners = self.learners or {}  # a notebook says None where there are none
        self._own_learners = own_learners(self.learners, survival=tuple(self.outcome) == SURVIVAL)

    def changed(self, **changes: Any) -> Assembly:
        """Return the same assembly with other signatures, tables, outcomes, cohorts or rules."""
        return replace(self, **changes)

    def divided(self, train: Sequence[str], test: Sequence[str] = ()) -> Assembly:
        """Return the assembly with these centers as training and external cohort, everybody else left out."""
        role = self.cohort[CENTER].map(dict.fromkeys(train, "train") | dict.fromkeys(test, "external"))
        kept = role.notna() & (self.cohort["cohort"] != "segmentation")
        return self.changed(cohort=self.cohort[kept].assign(cohort=role[kept]))

    @property
    def learnt_per_fold(self) -> bool:
        """Whether features of a source were learnt per fold, so that the folds are fixed."""
        return any(isinstance(table, FoldTables) for table in self.tables.values())

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
        sources = self.sources_of(name)
        self._check_names(name, sources)
        folds = {k for s in sources if isinstance(t := self.sources[s], FoldTables) for k in t.by_fold}
        if not folds:
            return self._join(name, None)
        return FoldTables({k: self._join(name, k) for k in sorted(folds)}, self._join(name, None))

    def estimator(self, name: str, inner_folds: int, seed: int) -> Any:
        """Return the unfitted estimator of a signature."""
        model = self._whole(name, inner_folds, seed)
        return model if self.wrap is None else self.wrap(model, inner_folds, seed)

    def _whole(self, name: str, inner_folds: int, seed: int) -> Any:
        signature = self._signature(name)
        if signature.learner == BEST:
            parts = [
                (part, self.part_columns(part), self._whole(part, inner_folds, seed)) for part in signature.combines
            ]
            return Choice(parts, inner_folds, seed)
        survival = tuple(self.outcome) == SURVIVAL
        chosen: Learner = learner(signature.learner, seed, self.grid, self._own_learners, survival)
        if not signature.combines:
            return TunedPipeline(self._steps(signature, seed), *chosen, inner_folds, seed, memory=self._memory)
        parts = [(part, self.part_columns(part), self._whole(part, inner_folds, seed)) for part in signature.combines]
        own = list(self._own(signature, None).columns)
        steps = [("imputation", clone(self.imputer)), ("one_hot", OneHot()), ("z_score", z_score())]
        return Combination(parts, own, TunedPipeline(steps, *chosen, inner_folds, seed), inner_folds, seed)

    def training(self, name: str) -> tuple[Table, pd.Series | pd.DataFrame, pd.DataFrame]:
        """Return features and outcome of the training subjects, and who is left out (subject, cohort, reason).

        Left out are subjects without a source of the signature, and those without the outcome.
        """
        cohort, wanted = self.cohort[self.cohort["cohort"] != "segmentation"], list(self.outcome)
        lacking = [column for column in wanted if column not in cohort.columns]
        if lacking:
            raise InputError(f"The cohort table has no column {', '.join(lacking)}, which the endpoint needs.")
        reasons = pd.Series(self._failures(name), dtype=object).reindex(cohort.index)
        no_outcome = cohort[wanted].isna().any(axis=1) & (cohort["cohort"] == "train")
        reasons = reasons.mask(reasons.isna() & no_outcome, "no outcome")
        out = reasons.dropna()
        failed = pd.DataFrame(
            {"subject": out.index, "cohort": cohort.loc[out.index, "cohort"].to_numpy(), "reason": out.array}
        )
        train = cohort.index[(cohort["cohort"] == "train") & reasons.isna()]
        outcome = cohort.loc[train, wanted]
        return select_rows(self.table(name), train), outcome["label"] if wanted == ["label"] else outcome, failed

    def _failures(self, name: str) -> dict[str, str]:
        """Return the subjects that lack a whole source of this signature, and which one."""
        failed: dict[str, str] = {}
        for source in sorted(self.sources_of(name)):
            rows = whole_table(self.sources[source]).reindex(self.cohort.index)
            failed |= {
                str(subject): f"no {source_words(source)} features" for subject in rows.index[rows.isna().all(axis=1)]
            }
        return failed

    def part_columns(self, name: str) -> list[str]:
        """Return the columns that a signature is given."""
        return list(self._join(name, None).columns)

    def _steps(self, signature: Signature, seed: int) -> list[tuple[str, Any]]:
        if signature.learner in GIVEN:
            return []
        rule, center = signature.selection, [CENTER] if signature.harmonise else []
        imputer = clone(self.imputer).set_params(passthrough=center)
        steps: list[tuple[str, Any]] = [("imputation", imputer), ("one_hot", OneHot(center))]
        if center:
            steps.append(("harmonisation", ComBat(CENTER, unseen=self.unseen_center)))
        steps.append(("variance", selection.VarianceFilter()))
        if rule.icc:
            lacking = ", ".join(source for source in signature.sources if source not in self.icc)
            if lacking:
                raise InputError(f"`{signature.name}` selects by ICC, but there is no ICC table of {lacking}.")
            icc = pd.concat([self.icc[source] for source in signature.sources])
            steps.append(("reproducibility", selection.ReproducibilityFilter(icc, self.icc_threshold)))
        if rule.test != "none":
            adjust = None if rule.adjust == "none" else rule.adjust
            univariate = selection.UnivariateSelector(rule.test, rule.alpha, adjust, rule.keep_at_least)
            steps.append(("univariate", univariate))
        if rule.cox:
            steps.append(("cox", selection.CoxSelector(rule.alpha)))
        if rule.max_correlation is not None:
            test = "mann_whitney" if rule.test == "none" else rule.test
            steps.append(("correlation", selection.CorrelationFilter(rule.max_correlation, rule=test)))
        if rule.lasso:
            steps.append(("lasso", selection.LassoSelector(rule.lasso_rule, seed=seed)))
        steps.append(("z_score", z_score()))
        return steps

    def _signature(self, name: str) -> Signature:
        if name not in self.by_name:
            raise InputError(f"There is no signature {name!r}; there are {', '.join(self.by_name)}.")
        return self.by_name[name]

    def sources_of(self, name: str) -> set[str]:
        """Return the feature sources of a signature and of those it combines."""
        signature = self._signature(name)
        unknown = [source for source in signature.sources if source not in self.sources]
        if unknown:
            known = ", ".join(self.sources)
            raise InputError(f"`{name}` needs the feature source {unknown[0]!r}; there are {known}.")
        return set(signature.sources).union(*(self.sources_of(part) for part in signature.combines))

    def _check_names(self, name: str, sources: set[str]) -> None:
        """Two sources may not use one column name: it would not be known which is meant."""
        owner: dict[str, str] = {}
        for source in sorted(sources | set(READER_SOURCES)):
            whole = whole_table(self.sources[source])
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
        table = self.sources[source]
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


def assemble(
    results: Path, signatures: Sequence[Signature], columns: Mapping[str, Column], cohort: pd.DataFrame, **options: Any
) -> Assembly:
    """Read every feature table that signatures need.

    Parameters
    ----------
    results : Path
        Folder with ``features_<source>.parquet`` and ``icc_<source>.csv``.
    signatures, columns, cohort
        As `Assembly`.
    **options
        Further parameters of `Assembly`: outcome, grid, icc_threshold, unseen_center, learners, and folds, which are
        those of ``folds.csv`` where features were learnt per fold.

    Raises
    ------
    ContractError
        A table is missing; all missing ones are listed.
    """
    sources = sorted({source for s in signatures for source in s.sources} - set(READER_SOURCES))
    absent = [source for source in sources if not (results / f"features_{source}.parquet").is_file()]
    if absent:
        remedy = "run the chapter that writes it"
        problems = [Problem(f"no features_{name}.parquet", remedy=remedy, file=str(results)) for name in absent]
        raise ContractError("The signatures need tables that are not here.", problems)
    read = {source: read_source(results, source) for source in sources}
    options["folds"] = fixed_folds(results, options.get("folds", Assembly.folds))
    icc = {str(source): found for source, (_, found) in read.items() if found is not None}
    return Assembly(
        signatures, {source: table for source, (table, _) in read.items()}, cohort, columns, icc=icc, **options
    )


def read_source(results: Path, source: str, stem: str = "") -> tuple[Table, pd.Series | None]:
    """Return the table of a source, one per fold where its features were learnt per fold, and its ICCs if it has any.

    Parameters
    ----------
    stem : str
        Read ``features_<stem>`` instead of ``features_<source>``, and ``icc_<stem>`` where there is one.
    """
    name = stem or source
    whole = indexed(read_table(f"features_{name}", results))
    paths = sorted(results.glob(f"features_{name}_fold*.parquet"))
    by_fold = {int(path.stem.rsplit("fold", 1)[1]): indexed(read_table(path.stem, results)) for path in paths}
    agreed = next((path for n in (name, source) if (path := results / f"icc_{n}.csv").is_file()), None)
    icc = None if agreed is None else pd.read_csv(agreed, index_col="feature")["icc"]
    return FoldTables(by_fold, whole) if by_fold else whole, icc


def fixed_folds(results: Path, otherwise: int) -> int | pd.Series:
    """Return the fold of each training subject where features were learnt per fold, else the number of folds given."""
    path = results / "folds.csv"
    if not path.is_file():
        return otherwise
    return pd.read_csv(path, dtype={"subject": str}, index_col="subject")["fold"]
