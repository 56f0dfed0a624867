"""Chapter 08: the patients, the regression models behind the nomogram, and the nomogram itself.

Chapter 07: how probable the event is by a time; for training patients from fits without their own fold.

Probabilities from risks: what turns a score into a probability is fitted on training out-of-fold risks, and locked.

A Cox-type signature ranks patients but gives no probability. A Cox model with the risk as its only covariate, fitted on
the training cohort's out-of-fold risks, says how probable the event is by a horizon (van Houwelingen 2000, Stat Med
19:3401; Royston & Altman 2013, BMC Med Res Methodol 13:33). Training patients get theirs from a fit without their own
fold, the other cohorts from the fit on the whole training cohort.

A probability of a signature that was fitted here stays as it is. A published output is translated like a score, even
where it lies between 0 and 1: it was never fitted to these patients, and may be no probability for them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import logit

from radsupport.checks import FloatArray
from radsupport.errors import InputError, NotEstimableError
from radsupport.evaluate.predictions import HONEST, honest, is_published, outcome, outcome_columns
from radsupport.evaluate.regression import OUTCOME, CoxData, recoded
from radsupport.nomogram.nomogram import Nomogram
from radsupport.settings.study import Study
from radsupport.stats.cox import CoxFit, fit_cox, predict_survival, with_firth
from radsupport.stats.logistic import LogisticFit, fit_logistic
from radsupport.stats.outcome import assign_folds
from radsupport.stats.survival_curves import kaplan_meier
from radsupport.wording import listed

Fit = LogisticFit | CoxFit
NOMOGRAM, PREOPERATIVE = "nomogram", "preoperative variant"
SIGNATURE, CLINICAL = "signature, refitted", "clinical columns alone"


@dataclass(frozen=True, eq=False)
class Model:
    """One regression model of the chapter.

    Attributes
    ----------
    name : str
        `NOMOGRAM`, `PREOPERATIVE`, `SIGNATURE` or `CLINICAL`.
    columns : list of str
        Its predictors; empty where it can not be fitted.
    fit : LogisticFit or CoxFit or None
    note : str
        What was done to fit it, or why it can not be fitted.
    """

    name: str
    columns: list[str]
    fit: Fit | None
    note: str


def risk_columns(study: Study) -> dict[str, str]:
    """Return the column of each signature that enters, by the signature's name."""
    names = [study.nomogram.signature, *study.nomogram.further_signatures]
    return {name: f"signature_{i}" for i, name in enumerate(names, 1)}


def predictor_table(study: Study, cohort: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """Return every patient with the clinical columns, the outcome, and the risk of each signature.

    Risks are out of fold in training and external elsewhere. Patients without a risk of every signature are left out.

    Returns
    -------
    DataFrame
        The columns of cohort.parquet, and those of `risk_columns`.
    """
    honest = predictions[predictions["kind"] == predictions["cohort"].map(HONEST)]
    table = cohort[cohort["cohort"] != "segmentation"]
    for name, column in risk_columns(study).items():
        own = honest.loc[honest["signature"] == name, ["subject", "risk"]].rename(columns={"risk": column})
        table = table.merge(own, on="subject", how="inner")
    needed = ["time", "event"] if study.nomogram.model == "cox" else ["label"]
    return table.dropna(subset=needed).reset_index(drop=True)


def preoperative_columns(study: Study) -> list[str]:
    """Return the clinical columns of the variant for use before the operation."""
    if study.nomogram.preoperative_columns:
        return list(study.nomogram.preoperative_columns)
    return [c for c in study.nomogram.columns if study.columns[c].time_of_knowledge == "preoperative"]


def postoperative_words(study: Study) -> str:
    """Say which predictors are known only after the operation; empty where none is."""
    late = [c for c in study.nomogram.columns if study.columns[c].time_of_knowledge == "postoperative"]
    if not late:
        return ""
    names = listed([study.columns[c].label for c in late])
    return (
        f"{names} {'is' if len(late) == 1 else 'are'} known only after the operation, so the nomogram above can not "
        "guide it. The variant below uses what is known before."
    )


def models(study: Study, table: pd.DataFrame) -> dict[str, Model]:
    """Return the models by name: nomogram, preoperative variant (where it differs), signature and columns alone."""
    risks, columns = list(risk_columns(study).values()), list(study.nomogram.columns)
    wanted = {NOMOGRAM: [*risks, *columns]}
    if postoperative_words(study):
        wanted[PREOPERATIVE] = [*risks, *preoperative_columns(study)]
    wanted[SIGNATURE] = risks
    wanted[CLINICAL] = columns
    return {name: fitted(study, table, name, chosen) for name, chosen in wanted.items() if chosen}


def fitted(study: Study, table: pd.DataFrame, name: str, columns: list[str]) -> Model:
    """Fit one model on the complete training patients, under Firth's penalty where a plain fit does not exist.

    Columns that do not vary among them are left out. A model that can not be fitted at all says why.
    """
    training = table[table["cohort"] == "train"]
    known = training.dropna(subset=columns)
    varying = [c for c in columns if known[c].unique().size > 1]
    lost = [label_of(study, c) for c in columns if c not in varying]
    note = f"Left out because it does not vary: {listed(lost)}. " if lost else ""
    if not varying:
        return Model(name, [], None, f"{note}Nothing is left to fit.")
    reference = references(study, known, varying)
    for penalty in ("none", "firth"):
        try:
            fit = fit_once(study, training, varying, reference, penalty)
        except (NotEstimableError, InputError) as error:
            reason = error.problems[0].what if error.problems else error.message
            continue
        firth = "Firth's penalty keeps its coefficients finite." if penalty == "firth" else ""
        return Model(name, varying, fit, note + firth)
    return Model(name, [], None, f"{note}It can not be fitted: {reason}.")


def fit_once(study: Study, rows: pd.DataFrame, columns: list[str], reference: dict[str, str], penalty: str) -> Fit:
    """Fit the study's kind of regression to some rows."""
    options: dict[str, Any] = {"reference": reference, "penalty": penalty}
    if study.nomogram.model == "cox":
        return fit_cox(rows, "time", "event", columns, **options)
    return fit_logistic(rows, "label", columns, **options)


def refit_rows(study: Study, rows: pd.DataFrame, columns: list[str], reference: dict[str, str], penalty: str) -> Fit:
    """Fit a model again to a resample, under Firth's penalty where the resample has no plain fit."""
    try:
        return fit_once(study, rows, columns, reference, penalty)
    except NotEstimableError:
        return fit_once(study, rows, columns, reference, "firth")


def references(study: Study, rows: pd.DataFrame, columns: list[str]) -> dict[str, str]:
    """Return the reference level of each category: the first of its levels that occurs."""
    found = {}
    for column in columns:
        if column in study.columns and study.columns[column].kind == "category":
            seen = set(rows[column].dropna().astype(str))
            found[column] = next(level for level in study.columns[column].levels if level in seen)
    return found


def label_of(study: Study, column: str) -> str:
    """Return a predictor in words."""
    names = {c: f"{name} (risk)" for name, c in risk_columns(study).items()}
    if column in names:
        return names[column]
    spec = study.columns[column]
    return f"{spec.label} ({spec.unit})" if spec.unit else spec.label


def usable_horizons(study: Study, fit: CoxFit) -> list[float]:
    """Return the nomogram's horizons (months) between the first event and the end of follow-up in training."""
    wanted = study.nomogram.horizons_months or outcome(study).horizons_months
    first, last = float(fit.baseline["time"].iloc[0]), float(fit.data[fit.time].max())
    return [float(t) for t in wanted if first <= t <= last]


def nomogram_of(study: Study, model: Model) -> Nomogram | None:
    """Return a model as a nomogram with the study's words; None where it can not be fitted or has no usable horizon."""
    if model.fit is None:
        return None
    labels = {column: label_of(study, column) for column in model.columns}
    if isinstance(model.fit, CoxFit):
        horizons, name = usable_horizons(study, model.fit), outcome(study).name
        if not horizons:
            return None
        return Nomogram.from_cox(model.fit, horizons, outcome=name, time_unit="months", labels=labels)
    label = study.endpoint.label
    return Nomogram.from_logistic(model.fit, outcome=label.name if label else "", labels=labels)


def known_rows(model: Model, table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that a model can predict: no missing predictor, no level that training did not have."""
    rows = table.dropna(subset=model.columns)
    for predictor in model.fit.design.predictors if model.fit is not None else ():
        if predictor.kind == "factor":
            rows = rows[rows[predictor.source].astype(str).isin(predictor.levels)]
    return rows


def event_risk(model: Model, rows: pd.DataFrame, horizon: float | None = None) -> FloatArray:
    """Return the predicted probability of the label, or of the event by `horizon` (months), shape (n,)."""
    if isinstance(model.fit, CoxFit):
        if horizon is None:
            raise InputError("A Cox model predicts by a horizon; give one in months.")
        return 1 - predict_survival(model.fit, rows, [horizon]).to_numpy()[:, 0]
    if model.fit is None:
        raise InputError(f"The model `{model.name}` has no fit.")
    return np.asarray(model.fit.predict(rows))


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
        probability = "label" in outcome and bool(within[name])
        published = is_published(study, str(name))
        as_given, on_log_odds = probability and not published, probability and published
        folds = _folds(rows, outcome, study.seed)
        numbers = [] if as_given else [float(k) for k in folds.dropna().unique()]
        inside = {k: recalibrate(rows.loc[folds.to_numpy() != k, wanted], on_log_odds=on_log_odds) for k in numbers}
        whole = recalibrate(rows[wanted], as_given=as_given, on_log_odds=on_log_odds)
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

    Slopes are per standard deviation of what entered the regression (the training cohort's risks, or their log odds),
    so that those of different learners compare.
    """
    columns = ["signature", "rule", "n", "events", "slope", "slope_low", "slope_high", "p"]
    rows = []
    for name, own in locked.items():
        found, risk = own.whole, own.whole.rows["risk"].to_numpy(dtype=float)
        sd = float(np.std(log_odds(risk) if found.on_log_odds else risk, ddof=1)) if len(risk) > 1 else np.nan
        slopes = [value * sd for value in (found.slope, found.ci_low, found.ci_high)]
        rows.append((name, found.rule, found.n, found.events, *slopes, found.p))
    return pd.DataFrame(rows, columns=columns)


def log_odds(probability: Any) -> FloatArray:
    """Return log odds of probabilities, those of exactly 0 and 1 taken as one in a million."""
    values: FloatArray = logit(np.clip(np.asarray(probability, dtype=float), 1e-6, 1 - 1e-6))
    return values


COVARIATES = "covariates (Cox)"


class Judged(NamedTuple):
    """One model in one cohort.

    Attributes
    ----------
    cohort, name : str
    rows : DataFrame
        Its patients with outcome; none whom it can not predict.
    probability : callable
        Rows and times (months) to the probability of the event by each time, shape (n, m).
    end : float
        The last time (months) it can say something about.
    """

    cohort: str
    name: str
    rows: pd.DataFrame
    probability: Callable[[pd.DataFrame, Any], FloatArray]
    end: float


@dataclass(frozen=True, eq=False)
class CrossFitted:
    """A Cox model of the covariates, and the same model fitted without each fold of the training cohort.

    Attributes
    ----------
    whole : CoxFit
    without : dict of fold to CoxFit
    folds : Series
        Fold of each training patient, by subject.
    """

    whole: CoxFit
    without: dict[float, CoxFit]
    folds: pd.Series

    @property
    def end(self) -> float:
        """The last time (months) that every one of the fits can say something about."""
        return min(float(fit.data[fit.time].max()) for fit in (self.whole, *self.without.values()))

    def fit_for(self, rows: pd.DataFrame) -> list[tuple[CoxFit | None, pd.Series]]:
        """Return each fit with the rows (boolean) it predicts; None where a fold has no fit of the others."""
        fold = rows["subject"].map(self.folds)
        inside = [(self.without.get(number), fold == number) for number in fold.dropna().unique()]
        return [*inside, (self.whole, fold.isna())]

    def probability(self, rows: pd.DataFrame, times: Any) -> FloatArray:
        """Return the probability of the event by each time, shape (n, m)."""
        found = np.full((len(rows), len(times)), np.nan)
        for fit, own in self.fit_for(rows):
            if fit is not None and own.any():
                found[own.to_numpy()] = 1 - predict_survival(fit, rows[own], times).to_numpy()
        return found


def judged_models(
    groups: pd.DataFrame, covariates: CoxFit | None, data: CoxData, cohort: pd.DataFrame, study: Study
) -> list[Judged]:
    """Return every signature, and the Cox model of the covariates, in every cohort.

    Parameters
    ----------
    groups : DataFrame
        As `steps_groups.followed` returns it.
    covariates : CoxFit or None
        Fitted on the training cohort; None leaves it out.
    data : CoxData
        What it was fitted on.
    cohort : DataFrame
        cohort.parquet.
    study : Study
    """
    locked = locked_recalibrations(groups, study, OUTCOME)
    clinical = None if covariates is None else cross_fitted(covariates, data, _joined_folds(locked))
    found = []
    for key, part in groups.groupby("cohort", sort=False):
        for name, own in part.groupby("signature", sort=False):
            if name in locked:
                found.append(Judged(str(key), str(name), own, locked[str(name)].probability, locked[str(name)].end))
        if clinical is not None:
            own = part.drop_duplicates("subject")[["subject", *OUTCOME]]
            rows = own.merge(cohort[["subject", *clinical.whole.design.sources]], on="subject", how="left")
            rows = _predictable(rows, clinical, data)
            if len(rows):
                found.append(Judged(str(key), COVARIATES, rows, clinical.probability, clinical.end))
    return found


def _joined_folds(locked: dict[str, Locked]) -> pd.Series:
    """Return the fold of every training patient whom a signature predicts: signatures share their folds."""
    folds = pd.Series(dtype=float)
    for own in locked.values():
        folds = own.folds.astype(float) if folds.empty else folds.combine_first(own.folds.astype(float))
    return folds


def cross_fitted(whole: CoxFit, data: CoxData, folds: pd.Series) -> CrossFitted:
    """Fit the covariates once more without each fold; Firth's penalty where a coefficient would be infinite.

    Levels that were merged for want of events stay merged as in the whole training cohort. A fold whose complement
    can not be fitted has none.
    """
    own, without = data.table["subject"].map(folds), {}
    for number in folds.dropna().unique():
        try:
            others = data.table[own != number]
            without[float(number)] = with_firth(others, data.covariates, reference=data.reference)[0]
        except (NotEstimableError, InputError):
            continue
    return CrossFitted(whole, without, folds)


def _predictable(rows: pd.DataFrame, model: CrossFitted, data: CoxData) -> pd.DataFrame:
    """Give categories the merged names of training, and leave out patients the model can not predict."""
    for column, names in data.names.items():
        rows = rows.assign(**{column: recoded(rows[column], names)}) if column in rows else rows
    usable = pd.Series(False, index=rows.index)
    for fit, own in model.fit_for(rows):
        if fit is not None:
            usable |= own & _known(rows, fit)
    return rows[usable]


def _known(rows: pd.DataFrame, fit: CoxFit) -> Any:
    known = rows[fit.design.sources].notna().all(axis=1)
    for predictor in fit.design.predictors:
        if predictor.kind == "factor":
            known &= rows[predictor.source].isin(predictor.levels)
    return known
