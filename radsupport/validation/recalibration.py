"""Probabilities from risks: what turns a score into a probability is fitted on training out-of-fold risks, and locked.

A Cox-type signature ranks patients but gives no probability. A Cox model with the risk as its only covariate, fitted on
the training cohort's out-of-fold risks, says how probable the event is by a horizon (van Houwelingen 2000, Stat Med
19:3401; Royston & Altman 2013, BMC Med Res Methodol 13:33). Training patients get theirs from a fit without their own
fold, the other cohorts from the fit on the whole training cohort.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logit

from radsupport.checks import FloatArray
from radsupport.errors import NotEstimableError
from radsupport.modelling.crossval import assign_folds
from radsupport.modelling.regression import LogisticFit, fit_logistic
from radsupport.study_schema import Study
from radsupport.survival.cox import CoxFit, fit_cox, predict_survival
from radsupport.survival.curves import kaplan_meier
from radsupport.validation.predicted import honest, outcome_columns

COX, LOGISTIC, AS_GIVEN = "Cox regression on the risk", "logistic regression on the risk", "the risk itself"
NOT_FITTED = "the same for everybody: the risk is constant, or separates the outcomes completely"
BACKWARDS = "the same for everybody: in training a higher risk did not mean more events"


@dataclass(frozen=True, eq=False)
class Recalibration:
    """One fitted translation of risks into probabilities.

    Attributes
    ----------
    rule : str
        In words. Where the risk does not vary, or ranks backwards in training, everybody gets the same probability:
        Kaplan-Meier's, or the share of events. Turning a risk round would be a second model.
    slope, ci_low, ci_high, p : float
        Log hazard ratio (log odds ratio) per unit of the risk; NaN without a fit.
    n, events : int
    fit : CoxFit or LogisticFit or None
    rows : DataFrame
        The patients it was fitted on: risk and outcome.
    """

    rule: str
    slope: float
    ci_low: float
    ci_high: float
    p: float
    n: int
    events: int
    fit: CoxFit | LogisticFit | None
    rows: pd.DataFrame

    def probability(self, risk: Any, times: Any = None) -> FloatArray:
        """Return the probability of the event for each risk, shape (n,); by each time, shape (n, m), for survival.

        NaN by times beyond the follow-up of the patients it was fitted on.
        """
        table = pd.DataFrame({"risk": np.asarray(risk, dtype=float)})
        if "label" in self.rows:
            if self.rule == AS_GIVEN:
                return table["risk"].to_numpy()
            share = float(self.rows["label"].mean())
            return self.fit.predict(table) if isinstance(self.fit, LogisticFit) else np.full(len(table), share)
        wanted = np.atleast_1d(np.asarray(times, dtype=float))
        if isinstance(self.fit, CoxFit):
            return 1 - predict_survival(self.fit, table, wanted).to_numpy()
        curve = kaplan_meier(self.rows["time"], self.rows["event"], wanted).at_times["survival"].to_numpy()
        curve = np.where(wanted > self.rows["time"].max(), np.nan, curve)
        return np.tile(1 - curve, (len(table), 1))


def recalibrate(rows: pd.DataFrame, *, as_given: bool = False) -> Recalibration:
    """Fit the translation on these patients.

    Parameters
    ----------
    rows : DataFrame
        risk, and label or time and event; no missing values.
    as_given : bool
        The risk is a probability already; nothing is fitted.
    """
    survival = "label" not in rows
    event = "event" if survival else "label"
    rows = rows[["risk", *(["time", "event"] if survival else ["label"])]].reset_index(drop=True)
    nothing: dict[str, Any] = {"slope": np.nan, "ci_low": np.nan, "ci_high": np.nan, "p": np.nan, "fit": None}
    size: dict[str, Any] = {"n": len(rows), "events": int(rows[event].sum()), "rows": rows}
    if as_given:
        return Recalibration(rule=AS_GIVEN, **nothing, **size)
    try:
        fit = fit_cox(rows, "time", "event", ["risk"]) if survival else fit_logistic(rows, "label", ["risk"])
    except NotEstimableError:
        return Recalibration(rule=NOT_FITTED, **nothing, **size)
    row = fit.table.set_index("covariate").loc["risk"]
    width = float(row["se"]) * 1.959963984540054
    found: dict[str, Any] = {
        "slope": row["coef"],
        "ci_low": row["coef"] - width,
        "ci_high": row["coef"] + width,
        "p": row["p"],
    }
    if row["coef"] <= 0:
        return Recalibration(rule=BACKWARDS, **found, fit=None, **size)
    return Recalibration(rule=COX if survival else LOGISTIC, **found, fit=fit, **size)


@dataclass(frozen=True, eq=False)
class Locked:
    """The translation of one signature: fitted on the whole training cohort, and without each of its folds."""

    signature: str
    whole: Recalibration
    by_fold: dict[float, Recalibration]
    folds: pd.Series

    @property
    def end(self) -> float:
        """The last time (months) that every one of the fits can say something about."""
        return min(float(one.rows["time"].max()) for one in (self.whole, *self.by_fold.values()))

    def probability(self, rows: pd.DataFrame, times: Any = None) -> FloatArray:
        """Return the probabilities of rows of the predictions table, as `Recalibration.probability`."""
        found = self.whole.probability(rows["risk"], times)
        fold = rows["subject"].map(self.folds).to_numpy(dtype=float)
        out_of_fold = (rows["kind"] == "out_of_fold").to_numpy()
        for number, without in self.by_fold.items():
            own = out_of_fold & (fold == number)
            if own.any():
                found[own] = without.probability(rows["risk"].to_numpy()[own], times)
        return found


def locked_recalibrations(
    predictions: pd.DataFrame, study: Study, outcome: Sequence[str] | None = None
) -> dict[str, Locked]:
    """Fit the translation of every signature that has out-of-fold risks in the training cohort.

    Parameters
    ----------
    predictions : DataFrame
    study : Study
    outcome : sequence of str, optional
        ("label",) or ("time", "event"); by default the one that the study's models are judged by.

    Returns
    -------
    dict of signature to Locked
    """
    outcome = outcome_columns(study) if outcome is None else list(outcome)
    train = honest(predictions, "train").dropna(subset=outcome)
    within = predictions["risk"].between(0, 1).groupby(predictions["signature"]).all()
    wanted, found = ["risk", *outcome], {}
    for name, rows in train.groupby("signature", sort=False):
        as_given = "label" in outcome and bool(within[name])
        folds = _folds(rows, outcome, study.seed)
        numbers = [] if as_given else [float(k) for k in folds.dropna().unique()]
        inside = {k: recalibrate(rows.loc[folds.to_numpy() != k, wanted]) for k in numbers}
        whole = recalibrate(rows[wanted], as_given=as_given)
        found[str(name)] = Locked(str(name), whole, inside, pd.Series(folds.to_numpy(), rows["subject"]))
    return found


def _folds(rows: pd.DataFrame, columns: list[str], seed: int) -> pd.Series:
    """Return the fold of each patient: as predicted, or drawn anew where the predictions do not say."""
    if rows["fold"].notna().all() and rows["fold"].drop_duplicates().size > 1:
        return rows["fold"]
    outcome = rows.set_index("subject")[columns]
    events = int(outcome[columns[-1]].sum())
    parts = min(10, events, len(rows) - events)
    if parts < 2:
        return pd.Series(np.nan, rows.index)
    return assign_folds(outcome["label"] if "label" in columns else outcome, parts, seed)


def recalibration_table(locked: dict[str, Locked]) -> pd.DataFrame:
    """Return how each signature's risk became a probability: signature, rule, n, events, slope (with limits), p.

    Slopes are per standard deviation of the training cohort's risks, so that those of different learners compare.
    """
    columns = ["signature", "rule", "n", "events", "slope", "slope_low", "slope_high", "p"]
    rows = []
    for name, own in locked.items():
        found, sd = own.whole, float(own.whole.rows["risk"].std())
        slopes = [value * sd for value in (found.slope, found.ci_low, found.ci_high)]
        rows.append((name, found.rule, found.n, found.events, *slopes, found.p))
    return pd.DataFrame(rows, columns=columns)


def log_odds(probability: Any) -> FloatArray:
    """Return log odds of probabilities, those of exactly 0 and 1 taken as one in a million."""
    values: FloatArray = logit(np.clip(np.asarray(probability, dtype=float), 1e-6, 1 - 1e-6))
    return values
