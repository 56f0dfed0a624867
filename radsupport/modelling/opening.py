"""Chapter 05, step by step: bring the tables of the earlier chapters together."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from radsupport.contracts import read_table
from radsupport.errors import ContractError, Problem
from radsupport.modelling.assembly import READER_SOURCES, Assembly, indexed
from radsupport.modelling.crossval import FoldTables, Table
from radsupport.study_schema import Signature, Study

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
