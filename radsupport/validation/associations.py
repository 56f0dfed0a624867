"""What a signature goes together with: other signatures, clinical numbers, and the features it is made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from radsupport.cohort.correlation import correlation_table
from radsupport.contracts import read_table
from radsupport.errors import ContractError
from radsupport.study_schema import Study
from radsupport.validation.planted import LATENT
from radsupport.validation.predicted import best_signature, compared_signatures, judged_cohorts, judged_part

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
        feature_a, feature_b, r (Spearman), p, n, for `figures.correlation_triangle`; empty for fewer than two columns
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
