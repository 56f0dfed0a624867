"""What so many patients can show, which risks hardly vary, and the numbers of a page by key."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

#: Standard deviation of a probability in training below which a signature is said to tell patients hardly apart.
_FLAT = 0.01


def least_detectable(n: int, events: int) -> float:
    """Return the AUC from which the two-sided null-SE test against 0.5 would give P < 0.05.

    0.5 + 1.96 sqrt((n + 1) / (12 events (n - events))); NaN without both classes, at most 1.
    """
    others = n - events
    if not events or not others:
        return math.nan
    return min(1.0, 0.5 + 1.959963984540054 * math.sqrt((n + 1) / (12 * events * others)))


def flat_signatures(rows: pd.DataFrame) -> dict[str, float]:
    """Return the signatures whose probabilities hardly vary between the training patients, with their SD.

    Parameters
    ----------
    rows : DataFrame
        Such as `judged` returns them. Only risks between 0 and 1 have a scale on which 0.01 is little.
    """
    train = rows[rows["cohort"] == "train"].groupby("signature", observed=True)["risk"]
    spread = {str(name): float(risk.std()) for name, risk in train if risk.between(0, 1).all() and len(risk) > 1}
    return {name: sd for name, sd in spread.items() if sd < _FLAT}


def numbers(table: pd.DataFrame, key: str, value: str = "value") -> dict[str, dict[str, Any]]:
    """Return the estimates of a table by key, as chapters publish them and compare them with printed ones.

    Parameters
    ----------
    table : DataFrame
    key : str
        Filled with the columns of a row, such as ``"auc_{cohort}_{signature}"``.
    value : str
        The column of the estimate; its limits are ``<value>_low`` and ``<value>_high``.

    Returns
    -------
    dict
        value, n, and where the table has limits ci_low and ci_high; rows without an estimate are left out.
    """
    found = {}
    for row in table.dropna(subset=[value]).to_dict("records") if len(table) else []:
        entry: dict[str, Any] = {"value": float(row[value]), "n": int(row["n"])}
        if f"{value}_low" in row:
            entry |= {"ci_low": float(row[f"{value}_low"]), "ci_high": float(row[f"{value}_high"])}
        found[key.format_map(_words(row))] = entry
    return found


def _words(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(key): item for key, item in row.items()}
