"""Chapter 05, step by step: bring the tables of the earlier chapters together."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from radsupport.contracts import read_table
from radsupport.errors import ContractError, Problem
from radsupport.modelling.assembly import READER_SOURCES, Assembly, indexed
from radsupport.modelling.crossval import FoldTables, Table
from radsupport.study_schema import Signature, Study

FOLDS = "folds.csv"


def sources_of(study: Study) -> list[str]:
    """Return the feature sources that the study's signatures use and that chapters 03 and 04 write."""
    used = {source for signature in study.signatures for source in signature.sources}
    return sorted(used - set(READER_SOURCES))


def assemble(study: Study, results: Path, signatures: list[Signature] | None = None) -> Assembly:
    """Read every feature table that the study's signatures need.

    Parameters
    ----------
    study : Study
    results : Path
        ``results/<study>``.
    signatures : list of Signature, optional
        Instead of, or beside, those of the study.

    Raises
    ------
    ContractError
        A table is missing; all missing ones are listed.
    """
    names = sources_of(study)
    absent = [name for name in names if not (results / f"features_{name}.parquet").is_file()]
    if absent:
        problems = [Problem(f"no features_{name}.parquet", remedy="run the chapter that writes it", file=str(results)) for name in absent]
        raise ContractError(f"The signatures of {study.id} need tables that are not here.", problems)
    tables = {name: _table(results, name) for name in names}
    icc = {name: _icc(results, name) for name in names if (results / f"icc_{name}.csv").is_file()}
    threshold = (study.radiomics.icc_threshold if study.radiomics else None) or 0.8
    cohort = read_table("cohort", results)
    return Assembly(signatures or study.signatures, tables, cohort, study.columns, study.modelling, icc, threshold)


def _table(results: Path, name: str) -> Table:
    """Return a source's table, or one per fold where its features were learnt per fold."""
    whole = indexed(read_table(f"features_{name}", results))
    paths = sorted(results.glob(f"features_{name}_fold*.parquet"))
    if not paths:
        return whole
    numbers = [int(path.stem.rsplit("fold", 1)[1]) for path in paths]
    return FoldTables({k: indexed(read_table(path.stem, results)) for k, path in zip(numbers, paths, strict=True)}, whole)


def fixed_folds(results: Path) -> pd.Series | None:
    """Return the fold of each training subject where features were learnt per fold, else None."""
    path = results / FOLDS
    return pd.read_csv(path, dtype={"subject": str}, index_col="subject")["fold"] if path.is_file() else None


def _icc(results: Path, name: str) -> pd.Series:
    return pd.read_csv(results / f"icc_{name}.csv", index_col="feature")["icc"]
