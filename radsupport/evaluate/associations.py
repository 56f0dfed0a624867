"""What a signature goes together with: other signatures, clinical numbers, its features, a planted latent.

The generator of synthetic studies draws one latent number per patient, from which both the tumour's look and the
outcome follow. Its own AUC (C-index) is the most that any signature built on the images can reach, apart from chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from radsupport.errors import NotEstimableError
from radsupport.evaluate.discrimination import discrimination
from radsupport.evaluate.predictions import LABEL, measure
from radsupport.stats.correlation import correlate, correlation_table

LATENT = "planted latent"


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
        table = table.join(other, rsuffix=" (the column)") if len(other) else table
    table = table.astype(float)
    table = table.loc[:, table.max() > table.min()]
    return correlation_table(table, "spearman") if table.shape[1] > 1 else pd.DataFrame()
