"""What so many patients can show, which risks hardly vary, and what a locked model is worth in new patients."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from radsupport.evaluate.calibration import calibration
from radsupport.evaluate.discrimination import discrimination
from radsupport.evaluate.predictions import LABEL, measure
from radsupport.evaluate.thresholds import classification

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


def validated(predictions: pd.DataFrame, patients: pd.DataFrame, outcome: Sequence[str]) -> pd.DataFrame:
    """Return what a locked model is worth in new patients whose outcome is known; nothing is fitted to them.

    Parameters
    ----------
    predictions : DataFrame
        As `learning.locked.Model.predict` returns them.
    patients : DataFrame, indexed by subject
        The outcome, and the center where it is known.
    outcome : sequence of str
        ("label",) or ("time", "event").

    Returns
    -------
    DataFrame
        signature, n, what `discrimination` returns; of a label also the rates at the locked threshold and what
        `calibration` says; of a time to event calibration by each horizon, as ``<measure>_by_<months>``. No rows where
        nobody's outcome is known.
    """
    columns = [*outcome, *(["center"] if "center" in patients else [])]
    if not set(outcome) <= set(patients):
        return pd.DataFrame()
    known = patients[columns].dropna(subset=list(outcome))
    rows = predictions[predictions["risk"].notna()].merge(known, left_on="subject", right_index=True)
    if rows.empty:
        return pd.DataFrame()
    rows = rows.assign(cohort="external", kind="external")
    table = measure(rows, discrimination, ["signature"], outcome=outcome)
    if tuple(outcome) == LABEL:
        cut = rows.drop_duplicates("signature").set_index("signature")["threshold"].dropna()
        parts = [classification(rows, cut).drop(columns=["cohort", "n", "events"])]
        parts.append(
            measure(rows.dropna(subset="probability"), calibration, ["signature"]).drop(columns=["n", "events"])
        )
    else:
        parts = []
        for name in [name for name in rows if str(name).startswith("by_")]:
            at = rows.assign(probability=rows[name], horizon=float(str(name)[3:])).dropna(subset="probability")
            found = measure(at, calibration, ["signature"]).drop(columns="n", errors="ignore").set_index("signature")
            parts.append(found.add_suffix(f"_{name}").reset_index())
    for part in [part for part in parts if "signature" in part]:
        table = table.merge(part, on="signature", how="left", suffixes=("", "_calibration"))
    return table


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
