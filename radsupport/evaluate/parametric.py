"""Parametric survival models of the characteristics beside the Cox model: how well each fits, and what it predicts.

The models have the covariates, the patients and the folds of the Cox model (`evaluate.regression`), in the coding of
its design, whatever its formula was. Training patients are predicted without their own fold, the other cohorts by the
model of the whole training cohort.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from radsupport.checks import FloatArray
from radsupport.errors import InputError, NotEstimableError
from radsupport.evaluate.calibration import calibration
from radsupport.evaluate.predictions import measure
from radsupport.evaluate.probability import probabilities, usable_horizons
from radsupport.evaluate.regression import COVARIATES, CrossFitted
from radsupport.stats.concordance import concordance
from radsupport.stats.cox import CoxFit
from radsupport.stats.parametric import FAMILIES, ParametricFit, fit_parametric
from radsupport.stats.regression import settled


@functools.lru_cache(maxsize=64)
def like(fit: CoxFit, family: str) -> ParametricFit:
    """Fit a parametric model to the rows and the design of a Cox model, once."""
    return fit_parametric(fit.data[fit.time], fit.data[fit.event], _coded(fit, fit.data), family)


def _coded(fit: CoxFit, rows: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(fit.design.transform(rows), columns=fit.design.columns)


def families(fit: CoxFit | None) -> pd.DataFrame:
    """Return how well each model fits the patients of a Cox model.

    Returns
    -------
    DataFrame
        model, n, events, parameters, log_likelihood, aic, note (why there is no fit). The Cox model is the last row,
        without AIC: its likelihood is a partial one, of the order of the events and not of their times.
    """
    if fit is None or not fit.design.columns:
        nothing = pd.DataFrame(columns=["model", "n", "events", "parameters", "log_likelihood", "aic", "note"])
        nothing.attrs["empty"] = (
            "There is no Cox model without penalty, whose characteristics these models would share."
        )
        return nothing
    size, rows = {"n": fit.n, "events": fit.n_events}, []
    for family in FAMILIES:
        row: dict[str, Any] = {"model": family} | size
        try:
            found = like(fit, family)
            row |= {"parameters": found.n_parameters, "log_likelihood": found.log_likelihood, "aic": found.aic}
            rows.append(row | {"note": ""})
        except NotEstimableError as error:
            rows.append(row | {"note": error.problems[0].what if error.problems else error.message})
    cox = {"model": COVARIATES, "parameters": len(fit.coef), "note": "partial likelihood: no AIC to compare"}
    columns = ["model", "n", "events", "parameters", "log_likelihood", "aic", "note"]
    return pd.DataFrame([*rows, cox | size]).reindex(columns=columns)


@dataclass(frozen=True, eq=False)
class Crossed:
    """A family fitted like each of the Cox models of `CrossFitted`, by the `id` of that model."""

    cox: CrossFitted
    fits: dict[int, ParametricFit]

    @property
    def end(self) -> float:
        """The last time (months) that the Cox model can say something about; a formula has no end of its own."""
        return self.cox.end

    def probability(self, rows: pd.DataFrame, times: Any) -> FloatArray:
        """Return the probability of the event by each time, shape (n, m); NaN for those whom no fit predicts."""
        wanted = np.atleast_1d(np.asarray(times, dtype=float))
        found = np.full((len(rows), len(wanted)), np.nan)
        for fit, own in self.cox.fit_for(rows):
            if fit is not None and id(fit) in self.fits and own.any():
                found[own.to_numpy()] = 1 - self.fits[id(fit)].survival(_coded(fit, rows[own]), wanted)
        return found


def beside_cox(rows: pd.DataFrame, models: Mapping[str, Any], horizons: Sequence[float]) -> pd.DataFrame:
    """Return what the Cox model of the characteristics and its parametric counterparts predict, and what happened.

    Parameters
    ----------
    rows, models
        What `evaluate.regression.with_covariates` returns.
    horizons : sequence of float
        Months.

    Returns
    -------
    DataFrame
        cohort, signature (the model), horizon, n, of (patients whom the Cox model predicts), events (by then),
        predicted (mean probability), observed
        (1 - Kaplan-Meier) and ratio with limits, c_index with limits (of the probability at the horizon, infinitesimal
        jackknife), mean_apart and most_apart (mean and largest distance to the patient's probability by the Cox model).
        All models are judged in the patients whom every one of them predicts: a fold in which one can not be fitted
        counts for none. No rows without a Cox model; a family that can not be fitted at all has none.
    """
    own = rows[rows["signature"] == COVARIATES]
    crossed = {name: _crossed(models[COVARIATES], name) for name in FAMILIES if len(own)}
    usable = {COVARIATES: models.get(COVARIATES)} | {name: one for name, one in crossed.items() if one is not None}
    order = pd.CategoricalDtype([*usable], ordered=True)
    copies = [own.astype({"signature": str}).assign(signature=name) for name in usable]
    table = pd.concat(copies, ignore_index=True).astype({"signature": order})
    at = probabilities(table, usable, horizons)
    key = ["subject", "cohort", "horizon"]
    cox = at.loc[at["signature"] == COVARIATES, [*key, "probability"]].rename(columns={"probability": "by_cox"})
    cox = cox.assign(of=cox.groupby(key[1:], observed=True)["subject"].transform("size"))
    at = at[at.groupby(key, observed=True)["signature"].transform("nunique") == len(usable)]
    return measure(at.merge(cox, on=key, how="left"), _judged, ("cohort", "horizon", "signature"))


def _crossed(cox: CrossFitted, family: str) -> Crossed | None:
    fits = {}
    for fit in (cox.whole, *cox.without.values()):
        try:
            fits[id(fit)] = like(fit, family)
        except (NotEstimableError, InputError):
            continue
    return Crossed(cox, fits) if id(cox.whole) in fits else None


def _judged(part: pd.DataFrame) -> dict[str, Any] | pd.DataFrame:
    if not usable_horizons(part, [float(part["horizon"].iloc[0])]):
        return pd.DataFrame()
    found = calibration(part)
    row = {"of": int(part["of"].iloc[0])} | {
        key: found[key] for key in ("events", "predicted", "observed", "ratio", "ratio_low", "ratio_high")
    }
    c = concordance(part["time"], part["event"], settled(part["probability"].to_numpy(dtype=float)))
    gap = (part["probability"] - part["by_cox"]).abs()
    row |= {"c_index": c.concordance, "c_index_low": c.ci_low, "c_index_high": c.ci_high}
    return row | {"mean_apart": float(gap.mean()), "most_apart": float(gap.max())}
