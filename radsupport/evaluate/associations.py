"""What a signature goes together with: other signatures, clinical numbers, and the features it is made of.

Control of synthetic studies: does the signature find what the generator planted?

The generator draws one latent number per patient, from which both the tumour's look and the outcome follow. Its own
AUC (C-index) is the most that any signature built on the images can reach, apart from chance.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radsupport.errors import ContractError, NotEstimableError
from radsupport.evaluate.discrimination import above_chance, chance_p, discrimination_of
from radsupport.evaluate.predictions import (
    best_signature,
    compared_signatures,
    honest,
    judged_cohorts,
    judged_of,
    judged_part,
    outcome_columns,
)
from radsupport.settings.study import Study
from radsupport.stats.correlation import correlate, correlation_table
from radsupport.tables import read_table

LATENT = "planted latent"


def read_planted(study: Study, data: Path) -> pd.Series:
    """Return the planted latent of each subject, empty where the study is real or the generator's file is not here.

    Parameters
    ----------
    data : Path
        The study's folder under ``data/``; the generator writes ``planted.csv`` (subject, latent) there.
    """
    path = Path(data) / "planted.csv"
    if not study.is_synthetic or not path.is_file():
        return pd.Series(dtype=float, name="latent")
    return pd.read_csv(path, dtype={"subject": str}).set_index("subject")["latent"].astype(float)


def planted_table(predictions: pd.DataFrame, study: Study, latent: pd.Series) -> pd.DataFrame:
    """Return how far each signature follows the planted latent.

    Returns
    -------
    DataFrame
        cohort, signature (the latent itself first), n, events, rho (Spearman's, between honest risk and latent) with
        95% limits by Fisher's z, p_rho, measure, value, ci_low, ci_high, p_chance (`discrimination.chance_p`), found
        (above 0.5 with a p_chance below 0.05).
    """
    rows = []
    seen: set[str] = set()
    for cohort, name, part in judged_of(predictions, study):
        if cohort not in seen:
            seen.add(cohort)
            rows.append(_ceiling(predictions, study, cohort, latent))
        row: dict[str, object] = {"cohort": cohort, "signature": name, "n": len(part)}
        row |= _agreement(part, latent) | discrimination_of(part, study)
        rows.append(row | {"p_chance": chance_p(row), "found": above_chance(row)})
    columns = ["cohort", "signature", "n", "events", "rho", "rho_low", "rho_high", "p_rho", "measure", "value"]
    return pd.DataFrame(rows, columns=[*columns, "ci_low", "ci_high", "p_chance", "found"])


def _ceiling(predictions: pd.DataFrame, study: Study, cohort: str, latent: pd.Series) -> dict[str, object]:
    """Return the row of the latent itself, over everybody with an outcome in a cohort."""
    part = honest(predictions, cohort).dropna(subset=outcome_columns(study)).drop_duplicates("subject")
    part = part.assign(risk=part["subject"].map(latent).to_numpy()).dropna(subset=["risk"])
    found = discrimination_of(part, study) | {"n": len(part)}
    row = {"cohort": cohort, "signature": LATENT, "n": len(part), "rho": np.nan, "rho_low": np.nan, "rho_high": np.nan}
    return row | {"p_rho": np.nan} | found | {"p_chance": chance_p(found), "found": above_chance(found)}


def _agreement(part: pd.DataFrame, latent: pd.Series) -> dict[str, object]:
    """Return Spearman's correlation with Fisher's limits, standard error sqrt((1 + r^2 / 2) / (n - 3)).

    Bonett & Wright 2000, Psychometrika 65:23. NaN for a constant risk or fewer than four patients.
    """
    try:
        found = correlate(part["risk"], part["subject"].map(latent), "spearman")
    except NotEstimableError:
        return {"rho": np.nan, "rho_low": np.nan, "rho_high": np.nan, "p_rho": np.nan}
    low = high = np.nan
    if found.n > 3 and abs(found.r) < 1:
        half = 1.959963984540054 * np.sqrt((1 + found.r**2 / 2) / (found.n - 3))
        low, high = np.tanh(np.arctanh(found.r) + np.array([-half, half]))
    return {"rho": found.r, "rho_low": float(low), "rho_high": float(high), "p_rho": found.p}


_RISKS, _NUMBERS, _FEATURES = 5, 3, 5  # how many of each enter the picture, so that its values can be read


def risk_table(predictions: pd.DataFrame, study: Study, cohort: str) -> pd.DataFrame:
    """Return the honest risks of a cohort, a column for each of at most five signatures, indexed by subject."""
    parts = {name: judged_part(predictions, study, cohort, name) for name in compared_signatures(study, _RISKS)}
    return pd.DataFrame({name: part.set_index("subject")["risk"] for name, part in parts.items() if len(part)})


def related_numbers(predictions: pd.DataFrame, study: Study, cohort: pd.DataFrame) -> list[str]:
    """Return the numeric columns that follow the best signature most in the first judged cohort, at most three."""
    cohorts = judged_cohorts(predictions, study)
    numbers = [key for key, column in study.columns.items() if column.kind == "number" and key in cohort]
    if not cohorts or not numbers:
        return []
    risk = judged_part(predictions, study, cohorts[0], best_signature(study)).set_index("subject")["risk"]
    known = cohort.set_index("subject")[numbers].astype(float).reindex(risk.index)
    known = known.loc[:, known.max() > known.min()]
    if risk.empty or risk.max() == risk.min() or known.empty:
        return numbers[:_NUMBERS]
    return [str(key) for key in known.corrwith(risk, method="spearman").abs().nlargest(_NUMBERS).index]


def chosen_features(study: Study, results: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the features chosen most often for the best signature and its parts, and their values.

    Parameters
    ----------
    results : Path
        results/<study>; chapter 05 leaves ``stability.csv`` there (signature, feature, share of the fits).

    Returns
    -------
    named : DataFrame
        code (R1, D1, … by source), signature, feature, of_fits (share of the fits that chose it); empty without
        that file.
    values : DataFrame, indexed by subject
        One column per code.
    """
    named = pd.DataFrame(columns=["code", "signature", "feature", "of_fits"])
    if not (results / "stability.csv").is_file():
        return named, pd.DataFrame()
    stability = pd.read_csv(results / "stability.csv")
    rows: list[dict[str, Any]] = []
    values: dict[str, pd.Series] = {}
    leaves = _leaves(study, best_signature(study))
    each = -(-_FEATURES // len(leaves))
    for name in leaves:
        sources = [
            source for source in study.signature(name).sources if (results / f"features_{source}.parquet").is_file()
        ]
        own = stability[stability["signature"] == name].nlargest(each, "share")
        for source in sources:
            try:
                table = read_table(f"features_{source}", results).set_index("subject")
            except ContractError:
                continue
            for row in own[own["feature"].isin(table.columns)].to_dict("records"):
                code = f"{source[0].upper()}{1 + sum(r['code'].startswith(source[0].upper()) for r in rows)}"
                rows.append({"code": code, "signature": name, "feature": row["feature"], "of_fits": row["share"]})
                values[code] = table[row["feature"]]
    return (pd.DataFrame(rows) if rows else named), pd.DataFrame(values)


def _leaves(study: Study, signature: str) -> list[str]:
    """Return the signatures that a signature is made of in the end: itself, or the parts of a combination."""
    own = study.signature(signature)
    return [leaf for part in own.combines for leaf in _leaves(study, part)] if own.combines else [signature]


def association_pairs(
    risks: pd.DataFrame,
    study: Study,
    cohort: pd.DataFrame | None,
    numbers: list[str],
    features: pd.DataFrame,
    latent: pd.Series,
) -> pd.DataFrame:
    """Return the rank correlation of every pair of risks, features, columns and (where known) the planted latent.

    Parameters
    ----------
    risks : DataFrame
        `risk_table` of a cohort.
    cohort : DataFrame, optional
        The cohort table.
    numbers : list of str
        `related_numbers`.
    features : DataFrame
        Values of `chosen_features`.
    latent : Series
        `planted.read_planted`; may be empty.

    Returns
    -------
    DataFrame
        feature_a, feature_b, r (Spearman), p, n, for `figures.correlations`; empty for fewer than two columns
        that vary.
    """
    table = risks.join(features) if len(features) else risks.copy()
    if cohort is not None and numbers:
        words = {key: study.columns[key].label for key in numbers}
        table = table.join(cohort.set_index("subject")[numbers].astype(float).rename(columns=words))
    if len(latent):
        table[LATENT] = latent.reindex(table.index)
    table = table.loc[:, table.max() > table.min()]
    return correlation_table(table, "spearman") if table.shape[1] > 1 else pd.DataFrame()
