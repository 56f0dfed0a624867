"""Choices compared: feature tables of other settings, which chapter 05 judges beside the study's own.

A chapter writes one table per choice and one line per choice and signature into ``variants_<chapter>.csv``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from radsupport.contracts import write_table
from radsupport.errors import InputError
from radsupport.files import write_csv
from radsupport.study_schema import Study

COLUMNS = ["variant", "table", "source", "signature", "group", "description"]


@dataclass(frozen=True)
class Variant:
    """A choice and the features that follow from it.

    Attributes
    ----------
    name, group, description : str
        What is chosen, among which choices, and what that means.
    source : str
        Feature source whose table it replaces.
    signatures : tuple of str
        Signatures that are judged with it.
    features : DataFrame
        Its table.
    by_fold : dict of int to DataFrame
        Tables per fold, where features were learnt per fold.
    icc : DataFrame
        ICC of each of its features (feature, icc, …); empty: those of the study's own features.
    """

    name: str
    group: str
    description: str
    source: str
    signatures: tuple[str, ...]
    features: pd.DataFrame
    by_fold: Mapping[int, pd.DataFrame] = field(default_factory=dict)
    icc: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def table(self) -> str:
        """File stem of the table."""
        return f"features_{self.source}_{slug(self.group)}_{slug(self.name)}"


def slug(text: str) -> str:
    """Return a text as part of a file name: small letters, digits and underscores."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def compared_signatures(study: Study, source: str, wanted: Sequence[str]) -> tuple[str, ...]:
    """Return the signatures that are judged with each choice: those wanted, else the first one on this source alone."""
    if wanted:
        return tuple(wanted)
    alone = [s.name for s in study.signatures if list(s.sources) == [source] and not s.combines]
    return tuple(alone[:1])


def variant_table(variants: Sequence[Variant]) -> pd.DataFrame:
    """Return what is written to ``variants_<chapter>.csv``: one row per choice and signature, by group.

    Raises
    ------
    InputError
        Two choices of one group have one name, or names that give one file ("-1 mm" and "+1 mm").
    """
    stems = [one.table for one in variants]
    shared = sorted({one.name for one in variants if stems.count(one.table) > 1})
    if shared:
        raise InputError(f"Choices of one group have one name or names that give one file: {', '.join(shared)}.")
    rows = [
        [one.name, one.table, one.source, signature, one.group, one.description]
        for one in variants
        for signature in one.signatures
    ]
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.sort_values("group", kind="stable", ignore_index=True)


def write_variants(results: Path, chapter: str, variants: Sequence[Variant]) -> pd.DataFrame:
    """Write the tables of all choices and ``variants_<chapter>.csv``; remove those of an earlier run.

    A choice on which no signature is judged is not written.
    """
    table = variant_table(variants)  # refuses what can not be written before anything is removed
    path = results / f"variants_{chapter}.csv"
    if path.is_file():
        for stem in set(pd.read_csv(path)["table"]):
            icc = results / f"{stem.replace('features_', 'icc_', 1)}.csv"
            for old in [results / f"{stem}.parquet", *results.glob(f"{stem}_fold*.parquet"), icc]:
                old.unlink(missing_ok=True)
        path.unlink()
    for one in (one for one in variants if one.signatures):
        write_table(one.features, one.table, results)
        write_fold_tables(results, one.table, one.by_fold)
        if len(one.icc):
            write_csv(one.icc, results / f"{one.table.replace('features_', 'icc_', 1)}.csv")
    if len(table):
        write_csv(table, path)
    return table


def write_fold_tables(results: Path, stem: str, by_fold: Mapping[int, pd.DataFrame]) -> None:
    """Write ``<stem>_fold<k>.parquet`` for each fold, and remove those of folds that are no more."""
    for old in results.glob(f"{stem}_fold*.parquet"):
        if int(old.stem.rsplit("fold", 1)[1]) not in by_fold:
            old.unlink()
    for number, table in by_fold.items():
        write_table(table, f"{stem}_fold{number}", results)
