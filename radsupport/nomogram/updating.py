"""The model behind a nomogram in cohorts that it was not fitted to: what has to change, and who could tell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from radsupport.checks import FloatArray
from radsupport.errors import InputError, NotEstimableError
from radsupport.nomogram.parts import Model
from radsupport.stats.cox import CoxFit, cumulative_hazard
from radsupport.stats.sample_size import for_binary, for_survival, overall_risk_binary
from radsupport.stats.updating import ORIGINAL, closed_test

FEWEST = 5
"""Events (and patients without, of a yes/no outcome) below which no update is tested, as nothing in a cohort is."""
COLUMNS = [
    "cohort", "n", "events", "method", "parameters", "intercept", "intercept_low", "intercept_high", "slope",
    "slope_low", "slope_high", "chi2", "df", "p", "chosen", "needed", "note",
]  # fmt: skip


def updates(model: Model, table: pd.DataFrame, alpha: float = 0.05) -> pd.DataFrame:
    """Return, for every cohort but training, the model as it is beside three updates, and which one is enough.

    Parameters
    ----------
    model : Model
    table : DataFrame
        As `predictors` returns it.
    alpha : float
        Level of the closed test.

    Returns
    -------
    DataFrame
        `COLUMNS`: what `stats.updating.closed_test` says, and ``needed``, the patients that an update of so many
        parameters asks for (Riley's criteria with the events of this cohort; for the level, its own criterion). A
        cohort in which nothing can be fitted has one row with the reason in ``note``.
    """
    found = []
    others = table[table["cohort"].astype(str) != "train"]
    for key, part in others.groupby(others["cohort"].astype(str), sort=False) if model.fit is not None else ():
        rows = model.known(part)
        events = int(rows[model.outcome[-1]].sum())
        own: dict[str, Any] = {"cohort": key, "n": len(rows), "events": events}
        try:
            tested = _tested(model, rows, alpha)
        except (InputError, NotEstimableError) as error:
            tested = pd.DataFrame([{"method": ORIGINAL, "note": error.message}])
        sizes = [_needed(model, rows, n) for n in tested.get("parameters", pd.Series(dtype=float))]
        found.append(tested.assign(**own, needed=sizes or np.nan))
    whole = pd.concat(found, ignore_index=True) if found else pd.DataFrame()
    whole = whole.reindex(columns=COLUMNS)
    whole.attrs["empty"] = "There is no cohort beside training in which the model could be updated."
    return whole


def _tested(model: Model, rows: pd.DataFrame, alpha: float) -> pd.DataFrame:
    fit, events = model.fit, int(rows[model.outcome[-1]].sum())
    if fit is None or len(rows) == 0:
        raise NotEstimableError("nobody has all predictors")
    others = len(rows) - events if len(model.outcome) == 1 else len(rows) // 2
    if min(events, others) < FEWEST:
        both = (
            f"{FEWEST} patients on either side"
            if len(model.outcome) == 1
            else f"{FEWEST} events or {2 * FEWEST} patients"
        )
        raise NotEstimableError(f"fewer than {both}")
    score, x = fit.linear_predictor(rows), fit.design.transform(rows)
    if not isinstance(fit, CoxFit):
        return closed_test(rows[model.outcome[0]], score, score, x, alpha=alpha)
    until = np.minimum(rows[model.outcome[0]], fit.data[fit.time].max()).to_numpy(float)
    event = np.where(rows[model.outcome[0]].to_numpy(float) > until, 0, rows[model.outcome[1]])
    offset = np.log(_expected(fit, until)) + score
    return closed_test(event, offset, score, x, family="poisson", alpha=alpha)


def _expected(fit: CoxFit, until: FloatArray) -> FloatArray:
    """Return the baseline's cumulative hazard until each time, before training's first event in proportion to time.

    The step function is 0 there, so that a single earlier event in a new cohort would refute any model.
    """
    first, step = fit.baseline[["time", "cumulative_hazard"]].iloc[0]
    early = step * np.clip(until, first * 1e-6, first) / first
    return np.asarray(np.maximum(cumulative_hazard(fit, until), early))


def _needed(model: Model, rows: pd.DataFrame, parameters: float) -> float:
    """Return how many patients an update asks for: none where nothing changes."""
    events = float(rows[model.outcome[-1]].mean())
    if not parameters or not 0 < events < 1:
        return 0.0 if not parameters else np.nan
    if len(model.outcome) == 1:
        return float(overall_risk_binary(events) if parameters == 1 else for_binary(int(parameters), events).required)
    time = rows[model.outcome[0]]
    rate, follow = float(rows[model.outcome[1]].sum() / time.sum()), float(time.mean())
    size = for_survival(int(parameters), rate, follow, follow)
    return float(size.overall_risk if parameters == 1 else size.required)
