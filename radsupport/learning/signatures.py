"""Run a study's signatures: cross-validated, refitted, applied to the other cohorts, and as controls.

From a study's signature to its columns and to the estimator that is cross-validated.

Chapter 05, step by step: bring the tables of the earlier chapters together.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from radsupport.errors import ContractError, InputError, Problem
from radsupport.learning.crossval import CrossValidation, FoldTables, Table, cross_validate
from radsupport.learning.harmonisation import ComBat
from radsupport.learning.learners import GIVEN, learner
from radsupport.learning.preparation import Imputer, OneHot, z_score
from radsupport.learning.selection import (
    CorrelationFilter,
    LassoSelector,
    ReproducibilityFilter,
    UnivariateSelector,
    VarianceFilter,
)
from radsupport.learning.tuning import Combination, TunedPipeline
from radsupport.settings.columns import Column
from radsupport.settings.learning import Modelling, Signature
from radsupport.settings.study import Study
from radsupport.stats.outcome import as_target, discrimination
from radsupport.tables import read_table
from radsupport.wording import counted

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


OUTCOME = ["label", "time", "event"]
PUBLISHED = "published"  # the learner that takes an output of others as it is
PREDICTION_COLUMNS = ["subject", "cohort", "signature", "kind", "fold", "risk", *OUTCOME]


@dataclass(frozen=True)
class SignatureRun:
    """All signatures of one run.

    Attributes
    ----------
    predictions : DataFrame
        predictions.parquet: subject, cohort, signature, kind, fold, risk, label, time, event; out-of-fold
        rows are those of the first repeat.
    summary : DataFrame
        signature, n, events, inner_score, apparent, out_of_fold (AUC, or C-index for survival).
    funnel, tuning, stability, by_repeat : DataFrame
        Those of `CrossValidation`, with a column signature.
    excluded : DataFrame
        subject, cohort, signature, reason: who has no prediction.
    results : dict of signature to CrossValidation
    """

    predictions: pd.DataFrame
    summary: pd.DataFrame
    funnel: pd.DataFrame
    tuning: pd.DataFrame
    stability: pd.DataFrame
    by_repeat: pd.DataFrame
    excluded: pd.DataFrame
    results: dict[str, CrossValidation]


def run_signatures(
    study: Study,
    assembly: Assembly,
    names: Sequence[str] | None = None,
    *,
    folds: pd.Series | None = None,
    n_jobs: int = 1,
    progress: bool = False,
    refit: bool = True,
) -> SignatureRun:
    """Cross-validate signatures on the training cohort and predict the other cohorts.

    Parameters
    ----------
    study : Study
        Endpoint, folds, repeats, external rule and seed.
    assembly : Assembly
        Feature tables and estimators.
    names : sequence of str, optional
        Signatures to run; all without it.
    folds : Series, optional
        Fold of each training subject, where features were learnt per fold; there is one division then.
    n_jobs : int
        Processes.
    progress : bool
        Show a bar over the signatures.
    refit : bool
        Also fit on all training subjects: apparent risks, and external ones by "refit".

    Raises
    ------
    InputError, NotEstimableError
    """
    chosen = list(names if names is not None else assembly.signatures)
    results, predictions, excluded = {}, [], []
    settings = study.modelling
    with assembly.shared_steps(chosen):
        for name in tqdm(chosen, desc="signatures", disable=not progress):
            table, outcome, failed = training_data(study, assembly, name)
            results[name] = cross_validate(
                table,
                outcome,
                partial(assembly.estimator, name),
                folds=settings.folds if folds is None else folds.reindex(outcome.index),
                inner_folds=settings.inner_folds,
                repeats=settings.repeats if folds is None else 1,
                seed=study.seed,
                n_jobs=n_jobs,
                refit=refit,
            )
            predictions.append(prediction_rows(name, results[name], assembly, failed, settings))
            excluded.append(failed.assign(signature=name))
    return _gather(study, assembly, results, predictions, excluded)


def training_data(study: Study, assembly: Assembly, name: str) -> tuple[Table, pd.Series | pd.DataFrame, pd.DataFrame]:
    """Return features and outcome of the training subjects, and who is left out (subject, cohort, reason).

    Left out are subjects without a source of the signature, and those without the outcome.
    """
    cohort = assembly.cohort[assembly.cohort["cohort"] != "segmentation"]
    wanted = ["label"] if study.endpoint.primary == "label" else ["time", "event"]
    lacking = [column for column in wanted if column not in cohort.columns]
    if lacking:
        raise InputError(f"The cohort table has no column {', '.join(lacking)}, which the endpoint needs.")
    reasons = pd.Series(assembly.failures(name), dtype=object).reindex(cohort.index)
    no_outcome = cohort[wanted].isna().any(axis=1) & (cohort["cohort"] == "train")
    reasons = reasons.mask(reasons.isna() & no_outcome, "no outcome")
    out = reasons.dropna()
    failed = pd.DataFrame(
        {"subject": out.index, "cohort": cohort.loc[out.index, "cohort"].to_numpy(), "reason": out.array}
    )
    train = cohort.index[(cohort["cohort"] == "train") & reasons.isna()]
    outcome = cohort.loc[train, wanted]
    return select_rows(assembly.table(name), train), outcome["label"] if wanted == ["label"] else outcome, failed


def select_rows(table: Table, subjects: pd.Index) -> Table:
    """Return the rows of these subjects, of every fold's table where there are several."""
    if isinstance(table, FoldTables):
        return FoldTables({k: t.loc[subjects] for k, t in table.by_fold.items()}, table.refit.loc[subjects])
    return table.loc[subjects]


def prediction_rows(
    name: str, result: CrossValidation, assembly: Assembly, failed: pd.DataFrame, settings: Modelling
) -> pd.DataFrame:
    """Return the rows of predictions.parquet of one signature."""
    first = result.risks[result.risks["repeat"] == 0]
    rows = [first[["subject", "fold", "risk"]].assign(kind="out_of_fold")]
    if result.refit is not None:
        apparent = pd.DataFrame({"subject": result.apparent.index, "risk": result.apparent.to_numpy()})
        rows.append(apparent.assign(fold=np.nan, kind="apparent"))
    elsewhere = assembly.cohort.index[assembly.cohort["cohort"].isin(["internal", "external"])]
    elsewhere = elsewhere.difference(pd.Index(failed["subject"]), sort=False)
    if len(elsewhere):
        risk = result.external_risk(select_rows(assembly.table(name), elsewhere), settings.external)
        external = pd.DataFrame({"subject": risk.index, "risk": risk.to_numpy()})
        rows.append(external.assign(fold=np.nan, kind="external"))
    table = pd.concat([row.astype({"fold": float}) for row in rows], ignore_index=True).assign(signature=name)
    known = assembly.cohort.reindex(columns=["cohort", *OUTCOME])
    return table.join(known, on="subject")[PREDICTION_COLUMNS]


def _gather(
    study: Study,
    assembly: Assembly,
    results: dict[str, CrossValidation],
    predictions: list[pd.DataFrame],
    excluded: list[pd.DataFrame],
) -> SignatureRun:
    def stacked(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
        filled = [table.assign(signature=name) for name, table in zip(results, tables, strict=True) if len(table)]
        return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=["signature"])

    rows = []
    for name, result in results.items():
        outcome = assembly.cohort.loc[result.risks["subject"].unique()]
        event = "label" if study.endpoint.primary == "label" else "event"
        rows.append(
            {
                "signature": name,
                "n": len(outcome),
                "events": int(outcome[event].sum()),
                "inner_score": result.inner_score(),
                "apparent": _score(study, outcome, result.apparent),
                "out_of_fold": float(result.by_repeat["score"].iloc[0]),
            }
        )
    return SignatureRun(
        pd.concat(predictions, ignore_index=True),
        pd.DataFrame(rows),
        stacked(result.funnel for result in results.values()),
        stacked(result.tuning for result in results.values()),
        stacked(result.stability() for result in results.values()),
        stacked(result.by_repeat for result in results.values()),
        pd.concat(excluded, ignore_index=True),
        results,
    )


def _score(study: Study, outcome: pd.DataFrame, risk: pd.Series) -> float:
    if risk.empty:
        return float("nan")
    rows = outcome.loc[risk.index]
    target = as_target(rows["label"] if study.endpoint.primary == "label" else rows[["time", "event"]])
    return discrimination(target, risk.to_numpy())


def learner_signatures(study: Study, learners: Sequence[str] | None = None) -> list[Signature]:
    """Return one signature per learner and source: the comparison of ``modelling.compare_learners``.

    Each takes the first signature of the study that uses the source alone and changes its learner; its
    name is ``<source> <learner>``.
    """
    compared = []
    for source in study.modelling.compare_sources:
        base = next((s for s in study.signatures if list(s.sources) == [source] and not s.combines), None)
        if base is None:
            raise InputError(f"No signature uses the source {source!r} alone; learners can not be compared on it.")
        for name in learners or study.modelling.compare_learners:
            compared.append(base.model_copy(update={"name": f"{source} {name}", "learner": name}))
    return compared


def permutation_control(
    study: Study, assembly: Assembly, name: str, n: int, *, folds: pd.Series | None = None, n_jobs: int = 1
) -> pd.DataFrame:
    """Cross-validate a signature on permuted outcomes: what it scores when there is nothing to find.

    Parameters
    ----------
    n : int
        Permutations; number i draws from the seed (`study.seed`, i).

    Returns
    -------
    DataFrame
        permutation, score (AUC or C-index of the pooled out-of-fold risks).
    """
    table, outcome, _ = training_data(study, assembly, name)
    scores = []
    for i in range(n):
        order = np.random.default_rng([study.seed, i]).permutation(len(outcome))
        shuffled = outcome.iloc[order].set_axis(outcome.index)
        result = cross_validate(
            table,
            shuffled,
            partial(assembly.estimator, name),
            folds=study.modelling.folds if folds is None else folds.reindex(outcome.index),
            inner_folds=study.modelling.inner_folds,
            seed=study.seed + i,
            n_jobs=n_jobs,
            refit=False,
        )
        scores.append({"permutation": i, "score": float(result.by_repeat["score"].iloc[0])})
    return pd.DataFrame(scores)


def published_signatures(study: Study) -> list[str]:
    """Return the signatures that are a published model's output: nothing of them is fitted here, in no fold."""
    return [s.name for s in study.signatures if s.learner == PUBLISHED]


FOLDS = "folds.csv"


def jobs() -> int:
    """Return how many processes the build allows (``RADSUPPORT_JOBS``)."""
    return int(os.environ.get("RADSUPPORT_JOBS", "1"))


def sources_of(signatures: list[Signature]) -> list[str]:
    """Return the feature sources that signatures use and that chapters 03 and 04 write."""
    used = {source for signature in signatures for source in signature.sources}
    return sorted(used - set(READER_SOURCES))


def assemble(
    study: Study,
    results: Path,
    signatures: list[Signature] | None = None,
    *,
    cohort: pd.DataFrame | None = None,
    stems: Mapping[str, str] | None = None,
) -> Assembly:
    """Read every feature table that the study's signatures need.

    Parameters
    ----------
    study : Study
    results : Path
        ``results/<study>``.
    signatures : list of Signature, optional
        Instead of those of the study.
    cohort : DataFrame, optional
        Instead of cohort.parquet: other outcomes, or another division into cohorts.
    stems : mapping of source to name, optional
        Sources that are read from ``features_<name>`` instead of ``features_<source>``.

    Raises
    ------
    ContractError
        A table is missing; all missing ones are listed.
    """
    chosen = study.signatures if signatures is None else signatures
    names = {source: (stems or {}).get(source, source) for source in sources_of(chosen)}
    absent = [name for name in names.values() if not (results / f"features_{name}.parquet").is_file()]
    if absent:
        remedy = "run the chapter that writes it"
        problems = [Problem(f"no features_{name}.parquet", remedy=remedy, file=str(results)) for name in absent]
        raise ContractError(f"The signatures of {study.id} need tables that are not here.", problems)
    tables = {source: _table(results, name) for source, name in names.items()}
    paths = {source: _icc_path(results, source, name) for source, name in names.items()}
    icc = {source: _icc(path) for source, path in paths.items() if path.is_file()}
    threshold = (study.radiomics.icc_threshold if study.radiomics else None) or 0.8
    people = read_table("cohort", results) if cohort is None else cohort
    unseen = study.modelling.unseen_center
    return Assembly(chosen, tables, people, study.columns, study.modelling, icc, threshold, unseen)


def _table(results: Path, name: str) -> Table:
    """Return a source's table, or one per fold where its features were learnt per fold."""
    whole = indexed(read_table(f"features_{name}", results))
    paths = sorted(results.glob(f"features_{name}_fold*.parquet"))
    if not paths:
        return whole
    numbers = [int(path.stem.rsplit("fold", 1)[1]) for path in paths]
    tables = [indexed(read_table(path.stem, results)) for path in paths]
    return FoldTables(dict(zip(numbers, tables, strict=True)), whole)


def fixed_folds(results: Path) -> pd.Series | None:
    """Return the fold of each training subject where features were learnt per fold, else None."""
    path = results / FOLDS
    return pd.read_csv(path, dtype={"subject": str}, index_col="subject")["fold"] if path.is_file() else None


def _icc_path(results: Path, source: str, name: str) -> Path:
    """Return the ICC table of a variant of a source, or that of the source."""
    own = results / f"icc_{name}.csv"
    return own if own.is_file() else results / f"icc_{source}.csv"


def _icc(path: Path) -> pd.Series:
    return pd.read_csv(path, index_col="feature")["icc"]
