"""The features behind a signature: those chosen most often, and whether other cohorts are on the scale of training."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from radsupport.checks import held_out
from radsupport.errors import ContractError
from radsupport.learning.assembly import Assembly, whole_table
from radsupport.settings.learning import Signature
from radsupport.stats.shift import on_another_scale, shifts
from radsupport.tables import read_table

_FEATURES = 5  # how many enter the picture, so that its values can be read


def leaves(signatures: Sequence[Signature], name: str) -> list[Signature]:
    """Return the signatures that a signature is made of in the end: itself, or the parts of a combination."""
    own = next(one for one in signatures if one.name == name)
    return [leaf for part in own.combines for leaf in leaves(signatures, part)] if own.combines else [own]


def made_of(signatures: Sequence[Signature], name: str) -> set[str]:
    """Return a signature's name and those of all it is made of, by way of other combinations too."""
    own = next(one for one in signatures if one.name == name)
    return {name}.union(*(made_of(signatures, part) for part in own.combines))


def chosen_features(results: Path, parts: Sequence[Signature], most: int | None, by: str = "share") -> pd.DataFrame:
    """Return the features that a signature uses most, at most `most` for each of its parts.

    Parameters
    ----------
    results : Path
        Folder in which chapter 05 writes ``chosen_features.csv`` (signature, feature, coefficient) and
        ``stability.csv`` (signature, feature, share of the fits that chose it).
    parts : sequence of Signature
        As `leaves` returns them.
    most : int or None
        None: all of them.
    by : str
        "share", or "coefficient": the largest of the final fit first, of equal ones (or without any) the most stable;
        what the final fit does not use is left out.

    Returns
    -------
    DataFrame
        signature, source, feature, share; empty where a file is missing or nothing was chosen.
    """
    nothing = pd.DataFrame(columns=["signature", "source", "feature", "share"])
    if most == 0 or not (results / "stability.csv").is_file():
        return nothing
    ranked = pd.read_csv(results / "stability.csv").sort_values("share", ascending=False, kind="stable")
    if by == "coefficient":
        if not (results / "chosen_features.csv").is_file():
            return nothing
        chosen = pd.read_csv(results / "chosen_features.csv")
        chosen = chosen[chosen[by] != 0].merge(ranked, on=["signature", "feature"], how="left")
        chosen = chosen.fillna({"share": 0.0})  # of the final fit alone: no fold chose it
        chosen = chosen.assign(size=chosen[by].abs())
        ranked = chosen.sort_values(["size", "share"], ascending=False, kind="stable")
    best = {part.name: ranked.loc[ranked["signature"] == part.name, nothing.columns.drop("source")] for part in parts}
    found = [best[part.name][:most].assign(source=source) for part in parts for source in part.sources]
    return pd.concat(found, ignore_index=True)[nothing.columns] if found else nothing


def _by(results: Path) -> str:
    """Return by what features are ranked: their weight where chapter 05 wrote the final fits, else how often chosen."""
    return "coefficient" if (results / "chosen_features.csv").is_file() else "share"


def values_of(chosen: pd.DataFrame, results: Path) -> pd.DataFrame:
    """Return the values of `chosen_features` by subject, of those that a sound feature table holds."""
    tables: list[Any] = []
    for source, rows in chosen.groupby("source", sort=False):
        with contextlib.suppress(ContractError):
            table = read_table(f"features_{source}", results).set_index("subject")
            tables.append(table[[f for f in dict.fromkeys(rows["feature"]) if f in table]])
    wide = pd.concat(tables, axis=1) if tables else pd.DataFrame()
    return wide.loc[:, ~wide.columns.duplicated()]


def stable(results: Path, signatures: Sequence[Signature], best: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the features of most weight in a signature (without weights: most often chosen), and their values.

    Parameters
    ----------
    results : Path
        results/<study>, where chapter 05 leaves ``chosen_features.csv`` and ``stability.csv``.
    signatures : sequence of Signature
        Those of the study.
    best : str

    Returns
    -------
    named : DataFrame
        code (R1, D1, … by source), signature, feature, of_fits (share of the fits that chose it); empty without
        that file.
    values : DataFrame, indexed by subject
        One column per code.
    """
    parts = leaves(signatures, best)
    named = chosen_features(results, parts, -(-_FEATURES // len(parts)), _by(results)).rename(
        columns={"share": "of_fits"}
    )
    values = {source: values_of(own, results) for source, own in named.groupby("source")}
    named = named.loc[[row["feature"] in values[row["source"]] for row in named.to_dict("records")]]
    letter = named["source"].str[0].str.upper()
    named = named.assign(code=letter + (named.groupby(letter).cumcount() + 1).astype(str))
    columns = {row["code"]: values[row["source"]][row["feature"]] for row in named.to_dict("records")}
    return named[["code", "signature", "feature", "of_fits"]], pd.DataFrame(columns)


def on_scale(rows: pd.DataFrame, results: Path, signatures: Sequence[Signature], best: str) -> pd.DataFrame:
    """Return whether risks and chosen features of other cohorts lie on the scale of the training patients.

    Parameters
    ----------
    rows : DataFrame
        Such as `judged` returns them.
    results : Path
        results/<study>, where chapter 05 leaves the chosen features.
    signatures : sequence of Signature
        Those of the study.
    best : str
        The signature whose features are looked at: all that its fits chose.

    Returns
    -------
    DataFrame
        of (risk or feature), and what `stats.shifts` returns; within a cohort those with an alarm first.
    """
    people = rows.drop_duplicates("subject").set_index("subject")["cohort"].astype(str)
    risks = rows.astype({"signature": str}).pivot_table(index="subject", columns="signature", values="risk", sort=False)
    parts = leaves(signatures, best)
    features = values_of(chosen_features(results, parts, most=None), results)
    tables = [
        shifts(table, people).assign(of=of) for of, table in (("risk", risks), ("feature", features)) if len(table)
    ]
    found = pd.concat(tables, ignore_index=True) if tables else shifts(risks, people).assign(of="")
    found = found.sort_values(
        ["of", "alarm"], ascending=False, kind="stable", ignore_index=True
    )  # risks, then features
    return found[["cohort", "of", *[name for name in found if name not in ("cohort", "of")]]]


def sources_on_scale(assembly: Assembly, chosen: pd.DataFrame) -> pd.DataFrame:
    """Return whether what a signature uses of a source lies on another scale in other cohorts than in training.

    Parameters
    ----------
    assembly : Assembly
    chosen : DataFrame
        signature and feature: what the fits chose (`learning.inspect`); a signature without rows uses all it is given.

    Returns
    -------
    DataFrame
        cohort, source, signature, n (patients), features (used), outside (mean share of values outside the training
        range), alarms (of the used columns, by `stats.shifts`), beyond (those of them without a value inside that
        range), another_scale (whether these columns as a whole are on one), example (the column with the most values
        outside), unused (columns of the source with an alarm that no fit used, whatever they say); empty without
        another cohort.
    """
    rows = []
    for source, table in assembly.sources.items():
        found = shifts(whole_table(table).select_dtypes("number"), assembly.cohort["cohort"])
        for cohort, part in found[held_out(found["cohort"])].groupby("cohort", sort=False):
            for name, used in _used(assembly, chosen).items():
                own = part[part["column"].isin(used)]
                if own.empty:
                    continue
                odd = own[own["alarm"].astype(bool)].sort_values("outside", ascending=False, kind="stable")
                row = {"cohort": cohort, "source": source, "signature": name, "n": int(own["n"].max())}
                row |= {"features": len(own), "outside": own["outside"].mean(), "alarms": len(odd)}
                row |= {"beyond": int(odd["outside"].eq(1).sum()), "another_scale": bool(on_another_scale(own))}
                row |= {"example": odd["column"].iloc[0] if len(odd) else ""}
                rows.append(row | {"unused": int(part["alarm"].astype(bool).sum()) - len(odd)})
    columns = ["cohort", "source", "signature", "n", "features", "outside", "alarms", "beyond", "another_scale"]
    table = pd.DataFrame(rows, columns=[*columns, "example", "unused"])
    table.attrs["empty"] = "Nobody outside the training cohort."
    return table


def _used(assembly: Assembly, chosen: pd.DataFrame) -> dict[str, set[str]]:
    """Return the columns that any fit of each signature used; of a combination its own, for its parts stand apart."""
    picked = {name: set(own["feature"]) for name, own in chosen.groupby("signature")}
    return {
        one.name: set(one.columns) if one.combines
        else picked.get(one.name) or set(whole_table(assembly.table(one.name)).columns)
        for one in assembly.signatures
    }  # fmt: skip
