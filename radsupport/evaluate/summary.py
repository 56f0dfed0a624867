"""What so many patients can show, and which risks hardly vary."""

from __future__ import annotations

import math

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
