"""Whether a single patient makes a calibration slope: the slope without him, where that changes much."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from radsupport.checks import FloatArray, IntArray
from radsupport.report.wording import counted, fixed, number
from radsupport.study_schema import Study
from radsupport.validation.calibration_steps import flat
from radsupport.validation.calibration_summary import recalibration_fit
from radsupport.validation.predicted import judged
from radsupport.validation.recalibration import Locked

#: How many patients the slope is refitted without: these of the largest one-step change, and of the largest leverage.
_REFITTED = 5
_Z = 1.959963984540054


def influential_patients(predictions: pd.DataFrame, study: Study, locked: dict[str, Locked]) -> pd.DataFrame:
    """Return where leaving out one patient changes the slope of a label by more than half its interval's width.

    Returns
    -------
    DataFrame
        cohort, signature, n, subject, risk (probability), slope, slope_without: the most influential patient of each
        cohort and signature, where there is one.
    """
    rows = []
    for cohort, name, part in judged(predictions, study):
        if name in locked and part["label"].nunique() == 2:
            found = most_influential(part["label"], locked[name].probability(part))
            if found:
                place = found.pop("place")
                row = {"cohort": cohort, "signature": name, "n": len(part), "subject": part["subject"].iloc[int(place)]}
                rows.append(row | found)
    return pd.DataFrame(rows, columns=["cohort", "signature", "n", "subject", "risk", "slope", "slope_without"])


def most_influential(label: Any, p: Any) -> dict[str, float]:
    """Return the patient without whom the recalibration slope differs by more than half its interval's width.

    Parameters
    ----------
    label : array-like of 0/1, shape (n,)
    p : array-like of probabilities, shape (n,)
        Those of exactly 0 or 1 are left out, as in `calibration_summary`.

    Returns
    -------
    dict
        place (in `p`), risk, slope, slope_without; empty where nobody changes it that much, or there is no slope.

    Notes
    -----
    The slope is refitted without those patients only whom the one-step change of the coefficients (Pregibon 1981, Ann
    Stat 9:705) or their leverage makes suspect.
    """
    risk = np.asarray(p, dtype=float)
    inside = np.flatnonzero((risk > 0) & (risk < 1))
    y, logit = np.asarray(label)[inside].astype(np.int64), special.logit(risk[inside])
    intercept, slope, _, se = recalibration_fit(y, logit)
    if not np.isfinite(slope) or flat(risk, slope - _Z * se, slope + _Z * se):
        return {}
    without = {i: _slope_without(y, logit, i) for i in _suspects(y, logit, intercept, slope)}
    changes = {i: abs(value - slope) for i, value in without.items() if np.isfinite(value)}
    first = max(changes, key=lambda i: changes[i], default=None)
    if first is None or changes[first] <= _Z * se:
        return {}
    place = int(inside[first])
    return {"place": place, "risk": float(risk[place]), "slope": slope, "slope_without": without[first]}


def _suspects(y: IntArray, logit: FloatArray, intercept: float, slope: float) -> list[int]:
    """Return the patients of the largest one-step changes of the slope, and of the largest leverages."""
    share = special.expit(intercept + slope * logit)
    weight = share * (1 - share)
    design = np.column_stack([np.ones(logit.size), logit])
    covariance = np.linalg.pinv(design.T @ (design * weight[:, None]))
    leverage = weight * np.einsum("ij,jk,ik->i", design, covariance, design)
    change = np.abs((design @ covariance)[:, 1] * (y - share) / np.clip(1 - leverage, 1e-9, None))
    order = [*np.argsort(-change, kind="stable")[:_REFITTED], *np.argsort(-leverage, kind="stable")[:_REFITTED]]
    return [int(i) for i in dict.fromkeys(order)]


def _slope_without(y: IntArray, logit: FloatArray, i: int) -> float:
    y, logit = np.delete(y, i), np.delete(logit, i)
    return recalibration_fit(y, logit)[1] if np.ptp(logit) > 0 else float("nan")


def influence_words(table: pd.DataFrame, study: Study) -> str:
    """Name the patients of `influential_patients`, one line each; empty without any."""
    names = study.cohort_names
    lines = [
        f"- {names[row['cohort']]}, {row['signature']}: one of {counted(row['n'], 'patient')} ({row['subject']}, "
        f"predicted risk {number(row['risk'], 2)}) makes the slope {fixed(row['slope'])}; without this patient it is "
        f"{fixed(row['slope_without'])}."
        for row in table.to_dict("records")
    ]
    head = (
        "Slopes that change by more than half the width of their 95% interval when one patient is left out (nobody was "
        "left out of the tables):\n\n"
    )
    return head + "\n".join(lines) if lines else ""
