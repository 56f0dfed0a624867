"""What a signature goes together with: other signatures, clinical numbers, its features, a planted latent.

The generator of synthetic studies draws one latent number per patient, from which both the tumour's look and the
outcome follow. Its own AUC (C-index) is the most that any signature built on the images can reach, apart from chance.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radsupport.errors import ContractError, NotEstimableError
from radsupport.evaluate.discrimination import discrimination
from radsupport.evaluate.predictions import LABEL, measure
from radsupport.settings.learning import Signature
from radsupport.stats.correlation import correlate, correlation_table
from radsupport.stats.shift import shifts
from radsupport.tables import read_table

LATENT = "planted latent"
_FEATURES = 5  # how many enter the picture, so that its values can be read


def planted(rows: pd.DataFrame, latent: pd.Series, outcome: Sequence[str] = LABEL) -> pd.DataFrame:
    """Return how far each signature follows the planted latent.

    Parameters
    ----------
    rows : DataFrame
        Such as `judged` returns them.
    latent : Series by subject
        What the generator drew for each patient.
    outcome : sequence of str

    Returns
    -------
    DataFrame
        cohort, signature (the latent itself first), n, events, rho (Spearman's, between honest risk and latent) with
        limits by Fisher's z, p_rho, measure, value with limits, p_chance, found (above 0.5 with a p_chance below 0.05);
        empty where nothing was drawn.
    """
    rows = rows if len(latent) else rows.iloc[:0]
    own = rows.drop_duplicates(["cohort", "subject"])
    ceiling = own.assign(risk=own["subject"].map(latent).to_numpy(), signature=LATENT).dropna(subset=["risk"])
    names = [LATENT, *rows["signature"].astype(str).drop_duplicates()]
    both = pd.concat([ceiling, rows.astype({"signature": str})])
    both["signature"] = pd.Categorical(both["signature"], names, ordered=True)
    table = measure(both, _followed, latent=latent, outcome=outcome)
    columns = ["cohort", "signature", "n", "events", "rho", "rho_low", "rho_high", "p_rho", "measure", "value"]
    return table.reindex(columns=[*columns, "value_low", "value_high", "p_chance", "found"])


def _followed(part: pd.DataFrame, latent: pd.Series, outcome: Sequence[str]) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(("rho", "rho_low", "rho_high", "p_rho"), np.nan)
    if part["signature"].iloc[0] != LATENT:
        row |= _rank_correlation(part["risk"], part["subject"].map(latent))
    row |= discrimination(part, outcome)
    return row | {"found": bool(row["value"] > 0.5 and row["p_chance"] < 0.05)}


def _rank_correlation(risk: pd.Series, latent: pd.Series) -> dict[str, float]:
    """Return Spearman's correlation with Fisher's limits, standard error sqrt((1 + r^2 / 2) / (n - 3)).

    Bonett & Wright 2000, Psychometrika 65:23. NaN for a constant risk or fewer than four patients.
    """
    try:
        found = correlate(risk, latent, "spearman")
    except NotEstimableError:
        return dict.fromkeys(("rho", "rho_low", "rho_high", "p_rho"), np.nan)
    low = high = np.nan
    if found.n > 3 and abs(found.r) < 1:
        half = 1.959963984540054 * np.sqrt((1 + found.r**2 / 2) / (found.n - 3))
        low, high = np.tanh(np.arctanh(found.r) + np.array([-half, half]))
    return {"rho": found.r, "rho_low": float(low), "rho_high": float(high), "p_rho": found.p}


def leaves(signatures: Sequence[Signature], name: str) -> list[Signature]:
    """Return the signatures that a signature is made of in the end: itself, or the parts of a combination."""
    own = next(one for one in signatures if one.name == name)
    return [leaf for part in own.combines for leaf in leaves(signatures, part)] if own.combines else [own]


def chosen_features(results: Path, parts: Sequence[Signature], most: int, by: str = "share") -> pd.DataFrame:
    """Return the features that a signature uses most, at most `most` for each of its parts.

    Parameters
    ----------
    results : Path
        Folder in which chapter 05 writes ``chosen_features.csv`` (signature, feature, coefficient) and
        ``stability.csv`` (signature, feature, share of the fits that chose it).
    parts : sequence of Signature
        As `leaves` returns them.
    most : int
    by : str
        "share", or "coefficient": the largest of the final fit first, of equal ones the most stable.

    Returns
    -------
    DataFrame
        signature, source, feature, share; empty where a file is missing or nothing was chosen.
    """
    nothing = pd.DataFrame(columns=["signature", "source", "feature", "share"])
    if not most or not (results / "stability.csv").is_file():
        return nothing
    ranked = pd.read_csv(results / "stability.csv").sort_values("share", ascending=False, kind="stable")
    if by == "coefficient":
        if not (results / "chosen_features.csv").is_file():
            return nothing
        chosen = pd.read_csv(results / "chosen_features.csv")
        chosen = chosen.merge(ranked, on=["signature", "feature"], how="left").assign(size=lambda t: t[by].abs())
        ranked = chosen.sort_values(["size", "share"], ascending=False, kind="stable")
    best = {part.name: ranked.loc[ranked["signature"] == part.name, nothing.columns.drop("source")] for part in parts}
    found = [best[part.name].head(most).assign(source=source) for part in parts for source in part.sources]
    return pd.concat(found, ignore_index=True)[nothing.columns] if found else nothing


def values_of(chosen: pd.DataFrame, results: Path) -> pd.DataFrame:
    """Return the values of `chosen_features` by subject, of those that a sound feature table holds."""
    tables: list[Any] = []
    for source, rows in chosen.groupby("source", sort=False):
        with contextlib.suppress(ContractError):
            table = read_table(f"features_{source}", results).set_index("subject")
            tables.append(table[[f for f in dict.fromkeys(rows["feature"]) if f in table]])
    wide = pd.concat(tables, axis=1) if tables else pd.DataFrame()
    return wide.loc[:, ~wide.columns.duplicated()]


def stable_features(results: Path, signatures: Sequence[Signature], best: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the features chosen most often for a signature and what it is made of, and their values.

    Parameters
    ----------
    results : Path
        results/<study>, where chapter 05 leaves ``stability.csv``.
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
    named = chosen_features(results, parts, -(-_FEATURES // len(parts))).rename(columns={"share": "of_fits"})
    values = {source: values_of(own, results) for source, own in named.groupby("source")}
    named = named.loc[[row["feature"] in values[row["source"]] for row in named.to_dict("records")]]
    letter = named["source"].str[0].str.upper()
    named = named.assign(code=letter + (named.groupby(letter).cumcount() + 1).astype(str))
    columns = {row["code"]: values[row["source"]][row["feature"]] for row in named.to_dict("records")}
    return named[["code", "signature", "feature", "of_fits"]], pd.DataFrame(columns)


def shifted(rows: pd.DataFrame, results: Path, signatures: Sequence[Signature], best: str) -> pd.DataFrame:
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
        The signature whose features are looked at, twenty at most.

    Returns
    -------
    DataFrame
        of (risk or feature), and what `stats.shifts` returns.
    """
    people = rows.drop_duplicates("subject").set_index("subject")["cohort"].astype(str)
    risks = rows.astype({"signature": str}).pivot_table(index="subject", columns="signature", values="risk", sort=False)
    parts = leaves(signatures, best)
    features = values_of(chosen_features(results, parts, -(-20 // len(parts))), results)
    tables = [
        shifts(table, people).assign(of=of) for of, table in (("risk", risks), ("feature", features)) if len(table)
    ]
    found = pd.concat(tables, ignore_index=True) if tables else shifts(risks, people).assign(of="")
    return found[["cohort", "of", *[name for name in found if name not in ("cohort", "of")]]]


def associations(part: pd.DataFrame, others: Sequence[pd.DataFrame | pd.Series] = ()) -> pd.DataFrame:
    """Return the rank correlation of every pair of risks, and of other numbers of the same patients.

    Parameters
    ----------
    part : DataFrame
        Rows of one cohort such as `judged` returns them.
    others : sequence of DataFrame or Series, indexed by subject
        Features, clinical columns, the planted latent; empty ones are left out.

    Returns
    -------
    DataFrame
        feature_a, feature_b, r (Spearman), p, n, for `plots.correlations`; empty for fewer than two columns that vary.
    """
    risks = {str(name): own.set_index("subject")["risk"] for name, own in part.groupby("signature", observed=True)}
    table = pd.DataFrame(risks)
    for other in others:
        table = table.join(other) if len(other) else table
    table = table.astype(float)
    table = table.loc[:, table.max() > table.min()]
    return correlation_table(table, "spearman") if table.shape[1] > 1 else pd.DataFrame()
