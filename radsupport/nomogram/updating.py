"""The model behind a nomogram in cohorts that it was not fitted to: what has to change, and who could tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from radsupport.checks import FloatArray
from radsupport.errors import InputError, NotEstimableError
from radsupport.nomogram.parts import Model
from radsupport.stats.cox import CoxFit
from radsupport.stats.sample_size import for_binary, for_survival, overall_risk_binary
from radsupport.stats.updating import ORIGINAL, closed_test
from radsupport.wording import counted

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
        sizes = [_needed(rows, model.outcome, n) for n in tested.get("parameters", pd.Series(dtype=float))]
        found.append(tested.assign(**own, needed=sizes or np.nan))
    whole = pd.concat(found, ignore_index=True) if found else pd.DataFrame()
    whole = whole.reindex(columns=COLUMNS)
    whole.attrs["empty"] = "There is no cohort beside training in which the model could be updated."
    return whole


def locked_updates(
    predictions: pd.DataFrame,
    told: Mapping[str, Any],
    parts: Mapping[str, pd.DataFrame | None],
    outcome: Sequence[str],
    alpha: float = 0.05,
) -> pd.DataFrame:
    """Return the same of signatures whose predictions are locked, in every cohort; nothing is fitted in training.

    Parameters
    ----------
    predictions : DataFrame
        subject, cohort, signature, risk and the outcome; those without an outcome or a risk are left out.
    told : mapping of signature to Translation
        From risk to probability, as a locked model has it (`learning.locked.Translation`).
    parts : mapping of signature to DataFrame, indexed by subject
        What each of its predictors adds to the risk, where it is a sum; a refit weighs them anew. It is left out, and
        ``not_refitted`` says why, of a signature without parts, with fewer than `FEWEST` events (of a yes/no outcome
        also patients without) per number of a refit, or without a maximum; then recalibration is the largest update.
    outcome : sequence of str
        ``("label",)`` or ``("time", "event")`` (months).
    alpha : float

    Returns
    -------
    DataFrame
        signature, `COLUMNS`, not_refitted.
    """
    found = []
    rows = predictions.dropna(subset=["risk", *outcome])
    for (name, key), part in rows.groupby([rows["signature"].astype(str), rows["cohort"].astype(str)], sort=False):
        own: dict[str, Any] = {"signature": name, "cohort": key, "n": len(part), "events": int(part[outcome[-1]].sum())}
        try:
            tested, why = _locked(part, told.get(str(name)), parts.get(str(name)), outcome, alpha)
            own["not_refitted"] = why or np.nan
        except (InputError, NotEstimableError) as error:
            tested = pd.DataFrame([{"method": ORIGINAL, "note": error.message}])
        sizes = [_needed(part, outcome, n) for n in tested.get("parameters", pd.Series(dtype=float))]
        found.append(tested.assign(**own, needed=sizes or np.nan))
    whole = pd.concat(found, ignore_index=True) if found else pd.DataFrame()
    whole = whole.reindex(columns=["signature", *COLUMNS, "not_refitted"])
    whole.attrs["empty"] = "There is nobody with an outcome and a risk, in whom the model could be updated."
    return whole


def _locked(
    rows: pd.DataFrame, told: Any, parts: pd.DataFrame | None, outcome: Sequence[str], alpha: float
) -> tuple[pd.DataFrame, str]:
    """Return the closed test of a locked signature, and why nothing is refitted, where nothing is."""
    if told is None:
        raise NotEstimableError("nothing in the model's file turns its risk into a probability")
    score = told.score(rows["risk"].to_numpy(float))
    if len(outcome) == 2 and not told.times:
        raise NotEstimableError("the model's file holds no hazard")
    steps = (np.asarray(told.times), np.asarray(told.hazard), told.end)
    _enough(rows, outcome)
    if parts is None:
        return _closed(rows, outcome, score, None, *steps, alpha), "it is no sum whose weights could be fitted"
    events = rows[outcome[-1]].sum()
    rarer = min(events, len(rows) - events) if len(outcome) == 1 else events
    if rarer < (least := FEWEST * (parts.shape[1] + 1)):
        few = f"its {counted(parts.shape[1], 'weight')} and intercept would ask for {least} events, {FEWEST} for each"
        return _closed(rows, outcome, score, None, *steps, alpha), few
    x = parts.loc[rows["subject"]].to_numpy(float)
    design = np.column_stack([np.ones(len(x)), x])
    if np.ptp(score - design @ np.linalg.lstsq(design, score, rcond=None)[0]) > 1e-6 * max(1.0, np.ptp(score)):
        return _closed(rows, outcome, score, None, *steps, alpha), "its risk is not in proportion to its sum"
    try:
        return _closed(rows, outcome, score, x, *steps, alpha), ""
    except NotEstimableError as error:
        return _closed(rows, outcome, score, None, *steps, alpha), error.message


def _tested(model: Model, rows: pd.DataFrame, alpha: float) -> pd.DataFrame:
    fit = model.fit
    if fit is None or len(rows) == 0:
        raise NotEstimableError("nobody has all predictors")
    _enough(rows, model.outcome)
    score, x = fit.linear_predictor(rows), fit.design.transform(rows)
    if not isinstance(fit, CoxFit):
        return _closed(rows, model.outcome, score, x, np.zeros(0), np.zeros(0), None, alpha)
    times, hazard = (fit.baseline[name].to_numpy() for name in ("time", "cumulative_hazard"))
    return _closed(rows, model.outcome, score, x, times, hazard, float(fit.data[fit.time].max()), alpha)


def _enough(rows: pd.DataFrame, outcome: Sequence[str]) -> None:
    """Refuse a cohort in which nothing is tested."""
    events = int(rows[outcome[-1]].sum())
    others = len(rows) - events if len(outcome) == 1 else len(rows) // 2
    if min(events, others) < FEWEST:
        sides = f"{FEWEST} patients on either side"
        raise NotEstimableError(
            f"fewer than {sides if len(outcome) == 1 else f'{FEWEST} events or {2 * FEWEST} patients'}"
        )


def _closed(
    rows: pd.DataFrame, outcome: Sequence[str], score: FloatArray, x: Any, times: FloatArray, hazard: FloatArray,
    end: float | None, alpha: float,
) -> pd.DataFrame:  # fmt: skip
    """Return the closed test: of a follow-up of events against the baseline's hazard until each one's end."""
    if len(outcome) == 1:
        return closed_test(rows[outcome[0]], score, score, x, alpha=alpha)
    until = np.minimum(rows[outcome[0]].to_numpy(float), np.inf if end is None else end)
    event = np.where(rows[outcome[0]].to_numpy(float) > until, 0, rows[outcome[1]])
    offset = np.log(_expected(times, hazard, until)) + score
    return closed_test(event, offset, score, x, family="poisson", alpha=alpha)


def _expected(times: FloatArray, hazard: FloatArray, until: FloatArray) -> FloatArray:
    """Return the baseline's cumulative hazard until each time, before training's first event in proportion to time.

    The step function is 0 there, so that a single earlier event in a new cohort would refute any model.
    """
    steps = np.concatenate([[0.0], hazard])[np.searchsorted(times, until, side="right")]
    first, step = next((t, h) for t, h in zip(times, hazard, strict=True) if h > 0)
    early = step * np.clip(until, first * 1e-6, first) / first
    return np.asarray(np.maximum(steps, early))


def _needed(rows: pd.DataFrame, outcome: Sequence[str], parameters: float) -> float:
    """Return how many patients an update asks for: none where nothing changes."""
    events = float(rows[outcome[-1]].mean())
    if not parameters or not 0 < events < 1:
        return 0.0 if not parameters else np.nan
    if len(outcome) == 1:
        return float(overall_risk_binary(events) if parameters == 1 else for_binary(int(parameters), events).required)
    time = rows[outcome[0]]
    rate, follow = float(rows[outcome[1]].sum() / time.sum()), float(time.mean())
    size = for_survival(int(parameters), rate, follow, follow)
    return float(size.overall_risk if parameters == 1 else size.required)
