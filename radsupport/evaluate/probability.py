"""Probabilities from risks: what turns a score into a probability is fitted on training out-of-fold risks, and locked.

A Cox-type signature ranks patients but gives no probability. A Cox model with the risk as its only covariate, fitted on
the training cohort's out-of-fold risks, says how probable the event is by a horizon (van Houwelingen 2000, Stat Med
19:3401; Royston & Altman 2013, BMC Med Res Methodol 13:33). Training patients get theirs from a fit without their own
fold, the other cohorts from the fit on the whole training cohort.

A probability of a signature that was fitted here stays as it is. A published output is translated like a score, even
where it lies between 0 and 1: it was fitted by others, and may be no probability for them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from radsupport.checks import FloatArray
from radsupport.errors import NotEstimableError
from radsupport.evaluate.predictions import FEWEST, LABEL
from radsupport.stats.cox import CoxFit, fit_cox, predict_survival
from radsupport.stats.logistic import LogisticFit, fit_logistic
from radsupport.stats.outcome import assign_folds, log_odds
from radsupport.stats.survival_curves import kaplan_meier

NOMOGRAM, PREOPERATIVE = "nomogram", "preoperative variant"
SIGNATURE, CLINICAL = "signature, refitted", "clinical columns alone"


COX, LOGISTIC, AS_GIVEN = "Cox regression on the risk", "logistic regression on the risk", "the risk itself"
LOG_ODDS = "logistic regression on the log odds of the published output"
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
        Log hazard ratio (log odds ratio) per unit of the risk, or of its log odds; NaN without a fit.
    n, events : int
    fit : CoxFit or LogisticFit or None
    rows : DataFrame
        The patients it was fitted on: risk and outcome.
    on_log_odds : bool
        Whether the log odds of the risk entered the regression.
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
    on_log_odds: bool = False

    def probability(self, risk: Any, times: Any = None) -> FloatArray:
        """Return the probability of the event for each risk, shape (n,); by each time, shape (n, m), for survival.

        NaN by times beyond the follow-up of the patients it was fitted on.
        """
        table = pd.DataFrame({"risk": np.asarray(risk, dtype=float)})
        if "label" in self.rows:
            if self.rule == AS_GIVEN:
                return table["risk"].to_numpy()
            share = float(self.rows["label"].mean())
            if self.on_log_odds:
                table = table.assign(risk=log_odds(table["risk"]))
            return self.fit.predict(table) if isinstance(self.fit, LogisticFit) else np.full(len(table), share)
        wanted = np.atleast_1d(np.asarray(times, dtype=float))
        if isinstance(self.fit, CoxFit):
            return 1 - predict_survival(self.fit, table, wanted).to_numpy()
        curve = kaplan_meier(self.rows["time"], self.rows["event"], wanted).at_times["survival"].to_numpy()
        curve = np.where(wanted > self.rows["time"].max(), np.nan, curve)
        return np.tile(1 - curve, (len(table), 1))


def recalibrate(rows: pd.DataFrame, *, as_given: bool = False, on_log_odds: bool = False) -> Recalibration:
    """Fit the translation on these patients.

    Parameters
    ----------
    rows : DataFrame
        risk, and label or time and event; no missing values.
    as_given : bool
        The risk is a probability already; nothing is fitted.
    on_log_odds : bool
        The risk of a label lies between 0 and 1 but has to be translated: its log odds enter the regression.
    """
    survival = "label" not in rows
    event = "event" if survival else "label"
    rows = rows[["risk", *(["time", "event"] if survival else ["label"])]].reset_index(drop=True)
    nothing: dict[str, Any] = {"slope": np.nan, "ci_low": np.nan, "ci_high": np.nan, "p": np.nan, "fit": None}
    on_log_odds = on_log_odds and not survival
    size: dict[str, Any] = {"n": len(rows), "events": int(rows[event].sum()), "rows": rows, "on_log_odds": on_log_odds}
    if as_given:
        return Recalibration(rule=AS_GIVEN, **nothing, **size)
    entered = rows.assign(risk=log_odds(rows["risk"])) if on_log_odds else rows
    try:
        fit = fit_cox(entered, "time", "event", ["risk"]) if survival else fit_logistic(entered, "label", ["risk"])
    except NotEstimableError:
        return Recalibration(rule=NOT_FITTED, **nothing, **size)
    found = _slope(fit)
    if found["slope"] <= 0:
        return Recalibration(rule=BACKWARDS, **found, fit=None, **size)
    rule = COX if survival else LOG_ODDS if on_log_odds else LOGISTIC
    return Recalibration(rule=rule, **found, fit=fit, **size)


def _slope(fit: CoxFit | LogisticFit) -> dict[str, Any]:
    """Return the coefficient of the risk with its Wald limits and P."""
    row = fit.table.set_index("covariate").loc["risk"]
    width = float(row["se"]) * 1.959963984540054
    return {"slope": row["coef"], "ci_low": row["coef"] - width, "ci_high": row["coef"] + width, "p": row["p"]}


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

    @property
    def row(self) -> dict[str, Any]:
        """How the risk became a probability: signature, rule, n, events, slope with limits, p.

        The slope is per standard deviation of what entered the regression (the training cohort's risks, or their log
        odds), so that those of different learners compare.
        """
        own, risk = self.whole, self.whole.rows["risk"].to_numpy(dtype=float)
        sd = float(np.std(log_odds(risk) if own.on_log_odds else risk, ddof=1)) if len(risk) > 1 else np.nan
        found = {"signature": self.signature, "rule": own.rule, "n": own.n, "events": own.events}
        slopes = {"slope": own.slope * sd, "slope_low": own.ci_low * sd, "slope_high": own.ci_high * sd}
        return found | slopes | {"p": own.p}

    @property
    def plain(self) -> dict[str, Any]:
        """The translation of the whole training cohort in numbers and texts, as a locked model keeps it."""
        own, fit = self.whole, self.whole.fit
        found: dict[str, Any] = {"rule": own.rule, "on_log_odds": own.on_log_odds}
        if "label" in own.rows:
            if own.rule == AS_GIVEN:
                return found | {"as_given": True}
            if isinstance(fit, LogisticFit):
                return found | {"intercept": float(fit.intercept), "slope": float(own.slope)}
            return found | {"intercept": float(log_odds(own.rows["label"].mean()))}
        found["end"] = float(own.rows["time"].max())
        if isinstance(fit, CoxFit):
            steps, center = fit.baseline, float(fit.means.iloc[0])
            hazard = steps["cumulative_hazard"]
            return found | {"slope": float(own.slope), "center": center} | _steps(steps["time"], hazard)
        curve = kaplan_meier(own.rows["time"], own.rows["event"]).curve
        with np.errstate(divide="ignore"):  # nobody is left: the hazard is infinite
            return found | _steps(curve["time"], -np.log(curve["survival"]))

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


@dataclass(frozen=True, eq=False)
class Given:
    """The translation that came with a locked model, used as `Locked`: nothing of it is fitted here.

    `whole` has a rule, and ``probability(risk, times)``; n and events are those of the patients it was fitted on.
    """

    signature: str
    whole: Any
    n: int
    events: int

    @property
    def end(self) -> float:
        """The last time (months) that it can say something about."""
        return np.inf if self.whole.end is None else float(self.whole.end)

    @property
    def row(self) -> dict[str, Any]:
        """As `Locked.row`; without the slope, whose unit is the spread of risks of patients who are not here."""
        return {"signature": self.signature, "rule": self.whole.rule, "n": self.n, "events": self.events}

    def probability(self, rows: pd.DataFrame, times: Any = None) -> FloatArray:
        """Return the probabilities of rows of the predictions table, as `Recalibration.probability`."""
        found: FloatArray = self.whole.probability(rows["risk"].to_numpy(dtype=float), times)
        return found


def lock(
    rows: pd.DataFrame,
    outcome: Sequence[str] = LABEL,
    published: Collection[str] = (),
    seed: int = 0,
    given: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Fit what turns each signature's risk into a probability, on its training rows alone.

    Parameters
    ----------
    rows : DataFrame
        Such as `judged` returns them.
    outcome : sequence of str
        ("label",) or ("time", "event").
    published : collection of str
        Signatures that are published outputs, which are translated even where they lie between 0 and 1.
    seed : int
        Draws folds where the predictions do not say which they were.
    given : mapping of signature to formula, optional
        The signatures of a locked model, each with its translation (`probability`, or None), n and events: then nothing
        is fitted, and what was translated for the other kind of outcome (no times for survival) has none.

    Returns
    -------
    dict of signature to Locked or Given
        Signatures without training rows, or without a translation in the model, have none.
    """
    if given:
        present = [name for name in map(str, rows["signature"].unique()) if name in given]
        told = {name: one for name in present if (one := given[name]).probability is not None}
        known = {name: one for name, one in told.items() if bool(one.probability.times) == (tuple(outcome) != LABEL)}
        return {name: Given(name, one.probability, one.n, one.events) for name, one in known.items()}
    within = rows["risk"].between(0, 1).groupby(rows["signature"], observed=True).all()
    wanted, found = ["risk", *outcome], {}
    for name, own in rows[rows["cohort"] == "train"].groupby("signature", observed=True):
        probability = tuple(outcome) == LABEL and bool(within[name])
        as_given, on_log_odds = probability and name not in published, probability and name in published
        folds = _folds(own, list(outcome), seed)
        numbers = [] if as_given else [float(k) for k in folds.dropna().unique()]
        inside = {k: recalibrate(own.loc[folds.to_numpy() != k, wanted], on_log_odds=on_log_odds) for k in numbers}
        whole = recalibrate(own[wanted], as_given=as_given, on_log_odds=on_log_odds)
        found[str(name)] = Locked(str(name), whole, inside, pd.Series(folds.to_numpy(), own["subject"]))
    return found


def usable_horizons(part: pd.DataFrame, horizons: Sequence[float]) -> list[float]:
    """Return the horizons (months) by which `FEWEST` patients had the event, and beyond which as many are followed."""
    events = [int(((part["time"] <= t) & (part["event"] == 1)).sum()) for t in horizons]
    beyond = [int((part["time"] > t).sum()) for t in horizons]
    return [t for t, a, b in zip(horizons, events, beyond, strict=True) if min(a, b) >= FEWEST]


def probabilities(
    rows: pd.DataFrame, models: Mapping[str, Any], horizons: Sequence[float] | None = None
) -> pd.DataFrame:
    """Return the rows with the probability of the event; for survival one row per patient and horizon.

    Parameters
    ----------
    rows : DataFrame
        Such as `judged` returns them.
    models : mapping of signature to model
        What `lock` returns, or anything with ``probability(rows, times)``; other signatures are left out.
    horizons : sequence of float, optional
        Months, for survival. A cohort is judged at those that `usable_horizons` allows for the patients who have a
        probability there; a model's patients without one (beyond its follow-up) are left out.

    Returns
    -------
    DataFrame
        With the columns probability and, for survival, horizon.
    """
    found = [rows.iloc[:0].assign(probability=np.nan, **({"horizon": np.nan} if horizons else {}))]
    for (_, name), part in rows.groupby(["cohort", "signature"], observed=True):
        if str(name) not in models:
            continue
        if not horizons:
            found.append(part.assign(probability=models[str(name)].probability(part)))
            continue
        for horizon in usable_horizons(part, horizons):
            values = models[str(name)].probability(part, [horizon])[:, 0]
            known = part.assign(probability=values, horizon=float(horizon)).dropna(subset=["probability"])
            found += [known] if usable_horizons(known, [horizon]) else []
    return pd.concat([part for part in found if len(part)] or found, ignore_index=True)


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


def _steps(time: pd.Series, hazard: pd.Series) -> dict[str, list[float]]:
    return {"times": [float(t) for t in time], "hazard": [min(float(h), 700.0) for h in hazard]}
