"""Optimism of any measure of a model that can be refitted, by the bootstrap (rms::validate).

In every resample the model is refitted; its measure in the resample minus its measure in the original data is the
optimism, and the mean optimism is taken off the apparent value (Harrell, Regression Modeling Strategies, 2nd ed.,
section 5.3.5). Own code because no Python library has it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from radsupport.errors import InputError, NotEstimableError


@dataclass(frozen=True)
class Optimism:
    """A measure corrected for optimism.

    Attributes
    ----------
    apparent : float
        Measure of the model in the patients that it was fitted to.
    optimism : float
        Mean over resamples of (measure in the resample - measure in the original patients).
    corrected : float
        apparent - optimism.
    n_resamples : int
        Resamples in which the model could be refitted and measured.
    """

    apparent: float
    optimism: float
    corrected: float
    n_resamples: int


def optimism(
    table: pd.DataFrame,
    refit: Callable[[pd.DataFrame], Any],
    measure: Callable[[Any, pd.DataFrame], float],
    n_resamples: int = 200,
    seed: int = 0,
) -> Optimism:
    """Correct a measure of a model for optimism.

    Parameters
    ----------
    table : DataFrame
        Training rows, with the outcome and whatever the model needs.
    refit : callable
        ``refit(rows)`` returns a model fitted to these rows with every step (selection, scaling) that uses the outcome;
        it raises NotEstimableError for rows to which the model can not be fitted.
    measure : callable
        ``measure(model, rows)`` returns how good the model is in these rows, for instance its C-index.
    n_resamples, seed : int

    Returns
    -------
    Optimism

    Raises
    ------
    InputError
        `n_resamples` below 1.
    NotEstimableError
        The model can not be fitted to the table itself, or in less than half of the resamples.
    """
    if n_resamples < 1:
        raise InputError(f"`n_resamples` must be at least 1, it is {n_resamples}; 200 is usual.")
    apparent = float(measure(refit(table), table))
    rng, gains = np.random.default_rng(seed), []
    for _ in range(n_resamples):
        drawn = table.iloc[rng.integers(0, len(table), len(table))].reset_index(drop=True)
        try:
            model = refit(drawn)
            gains.append(float(measure(model, drawn)) - float(measure(model, table)))
        except (NotEstimableError, InputError):
            # A resample without some factor level, or that separates the outcome; it shows in `n_resamples`.
            continue
    if len(gains) < n_resamples / 2:
        raise NotEstimableError(f"The model could be refitted in only {len(gains)} of {n_resamples} resamples.")
    mean = float(np.mean(gains))
    return Optimism(apparent, mean, apparent - mean, len(gains))
