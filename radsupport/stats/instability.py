"""How much a model would differ had other patients been drawn: its instability over bootstrap repeats.

Riley & Collins 2023 (Stability of clinical prediction models developed using statistical or machine learning methods,
Biometrical Journal 65:2200302): the whole development is repeated in bootstrap samples, and every model so made
predicts the original patients. What moves with the repeats is what so few patients can not settle.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from radsupport.checks import FloatArray, as_finite
from radsupport.errors import InputError
from radsupport.stats.regression import check_level
from radsupport.stats.usefulness import counted_benefit


def prediction_instability(original: Any, repeats: Any, threshold: float = np.nan, level: float = 0.95) -> pd.DataFrame:
    """Return how far each patient's prediction moves over the repeats.

    Parameters
    ----------
    original : array-like, shape (n,)
        What the model itself predicts.
    repeats : array-like, shape (b, n)
        What the model of each repeat predicts for the same patients.
    threshold : float
        Above it a patient counts as high risk; NaN for none.
    level : float
        Of the limits, which are percentiles over the repeats.

    Returns
    -------
    DataFrame
        ``mape`` (mean over repeats of the absolute difference), ``low, high``, and ``changed`` (classification
        instability index: share of the repeats that put the patient on the other side of the threshold; NaN without).

    Raises
    ------
    InputError
        Missing values, or shapes that do not fit.
    """
    own = as_finite(original, "original")
    values = np.asarray(repeats, dtype=float)
    if values.ndim != 2 or values.shape[1] != own.size or not len(values) or not np.isfinite(values).all():
        raise InputError(f"`repeats` must hold a row of {own.size} finite predictions per repeat, not {values.shape}.")
    share = (1 - check_level(level)) / 2
    low, high = np.quantile(values, [share, 1 - share], axis=0)
    changed = ((values > threshold) != (own > threshold)).mean(axis=0) if np.isfinite(threshold) else np.nan
    return pd.DataFrame({"mape": np.abs(values - own).mean(axis=0), "low": low, "high": high, "changed": changed})


def benefit_optimism(
    outcome: pd.DataFrame, repeats: Any, counts: Any, thresholds: Any, horizon: float | None = None
) -> FloatArray:
    """Return the mean optimism of net benefit at each threshold, shape (thresholds,).

    NaN where more than half of the repeats have no net benefit: none of the treated is followed to the horizon.

    Parameters
    ----------
    outcome : DataFrame, n rows
        label, or time and event.
    repeats : array-like, shape (b, n)
        Probabilities by the model of each repeat.
    counts : array-like, shape (b, n)
        How often each patient was drawn for the repeat.
    thresholds : array-like
    horizon : float, optional
        For time and event.

    Notes
    -----
    Of each repeat the net benefit in the sample it was developed in minus that in the original patients (Harrell,
    Regression Modeling Strategies, 2nd ed., section 5.3.5), here with every step of the development repeated.
    """
    gains = []
    for risk, drawn in zip(np.asarray(repeats, dtype=float), np.asarray(counts, dtype=float), strict=True):
        both = np.vstack([drawn, np.ones_like(drawn)])
        inside, outside = counted_benefit(outcome, risk, thresholds, both, horizon)
        gains.append(inside - outside)
    known = np.isfinite(gains)
    count = known.sum(axis=0)
    found: FloatArray = np.where(known, gains, 0.0).sum(axis=0) / np.where(2 * count >= len(gains), count, np.nan)
    return found
