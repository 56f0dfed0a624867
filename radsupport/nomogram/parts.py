"""The regressions behind a nomogram: signatures with clinical columns, and their parts alone, ready to be judged.

A nomogram is one more signature: `as_signatures` gives what every one of these models predicts for the same patients,
as a table of predictions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from radsupport.checks import FloatArray, cohorts_in_order
from radsupport.errors import InputError, NotEstimableError
from radsupport.nomogram.nomogram import Nomogram
from radsupport.stats import bootstrap, regression
from radsupport.stats.concordance import concordance
from radsupport.stats.cox import CoxFit, fit_cox, predict_survival
from radsupport.stats.cox import univariable_table as cox_tables
from radsupport.stats.formulas import Covariates, formula_columns, formula_terms
from radsupport.stats.imputation import chain, pooled
from radsupport.stats.logistic import LogisticFit, fit_logistic
from radsupport.stats.logistic import univariable_table as logistic_tables
from radsupport.stats.roc import auc
from radsupport.wording import listed

NOMOGRAM, PREOPERATIVE = "nomogram", "preoperative variant"
SIGNATURE, CLINICAL = "signature, refitted", "clinical columns alone"


@dataclass(frozen=True, eq=False)
class Model:
    """One regression of chapter 08.

    Attributes
    ----------
    name : str
        `NOMOGRAM`, `PREOPERATIVE`, `SIGNATURE` or `CLINICAL`.
    columns : list of str
        Its predictors, columns or terms; empty where it can not be fitted.
    fit : LogisticFit or CoxFit or None
    note : str
        What was done to fit it, or why it can not be fitted.
    outcome : tuple of str
        ``("label",)`` of a logistic, ``("time", "event")`` of a Cox regression.
    reference : mapping
        Reference level of each category.
    """

    name: str
    columns: list[str]
    fit: LogisticFit | CoxFit | None
    note: str
    outcome: tuple[str, ...] = ("label",)
    reference: Mapping[str, str] = field(default_factory=dict)

    @property
    def size(self) -> dict[str, Any]:
        """What it rests on: name, n, events, coefficients, missing (patients left out), note; n 0 without a fit."""
        fit, keys = self.fit, ("n", "events", "coefficients", "missing")
        sizes = (0, 0, 0, 0) if fit is None else (fit.n, fit.n_events, len(fit.coef), fit.n_missing)
        return {"name": self.name, **dict(zip(keys, sizes, strict=True)), "note": self.note}

    def known(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the rows that can be predicted: no missing predictor, no level that training did not have."""
        return table if self.fit is None else table[self.fit.design.known(table)]

    def risk(self, rows: pd.DataFrame) -> FloatArray:
        """Return the linear predictor in a unit of its own, differences by rounding removed, shape (n,).

        Raises
        ------
        InputError
            The model has no fit.
        """
        return regression.settled(self._fit().linear_predictor(rows))

    def probability(self, rows: pd.DataFrame, times: Any = None) -> FloatArray:
        """Return the probability of the label, shape (n,), or of the event by each time (months), shape (n, m).

        Raises
        ------
        InputError
            The model has no fit, or is a Cox model and there is no time.
        """
        fit = self._fit()
        if isinstance(fit, LogisticFit):
            return np.asarray(fit.predict(rows))
        if times is None:
            raise InputError("A Cox model predicts by a horizon; give one in months.")
        return 1 - predict_survival(fit, rows, np.atleast_1d(times)).to_numpy()

    def refit(self, rows: pd.DataFrame) -> Model:
        """Return the same model fitted to a resample, under Firth's penalty where that has no plain fit.

        Raises
        ------
        NotEstimableError
            It can not be fitted to these rows, for instance because they lack a level.
        """
        options: dict[str, Any] = {"reference": self.reference}
        try:
            try:
                fit = _fitted(rows, self.outcome, self.columns, penalty=self._fit().penalty, **options)
            except NotEstimableError:
                fit = _fitted(rows, self.outcome, self.columns, penalty="firth", **options)
        except InputError as error:  # a level that the resample does not hold
            raise NotEstimableError(error.message) from error
        return Model(self.name, self.columns, fit, "", self.outcome, self.reference)

    def imputed(self, table: pd.DataFrame, labels: Mapping[str, str], draws: int = 20, seed: int = 0) -> pd.DataFrame:
        """Return the ratios of the model on complete patients beside those pooled over filled-in tables.

        The gaps of the training patients are filled by chained equations that know the outcome, too (of a survival
        outcome the event and the cumulative hazard, White & Royston 2009); Rubin's rules pool the coefficients.

        Parameters
        ----------
        table : DataFrame
            What `predictors` returns.
        labels : mapping of term to words
        draws, seed : int

        Returns
        -------
        DataFrame
            covariate (in words), hr or odds_ratio of complete patients and the same with ``_pooled``, each with limits,
            p and p_pooled, missing (share of the information that the gaps cost), n (patients), complete (of them
            without a gap), draws. Empty, with the reason, where nothing is missing or the model has no fit.

        Raises
        ------
        NotEstimableError
            A filled-in table has no fit.
        """
        training = table[table["cohort"] == "train"]
        sources = formula_columns(self.columns, table.columns)
        gaps = training[sources].isna() & training[sources].notna().any().to_numpy()
        if self.fit is None or not gaps.to_numpy().any():
            found = pd.DataFrame(columns=["covariate"])
            found.attrs["empty"] = "No value of these predictors is missing among the training patients."
            return found
        known = training[sources].assign(**_of_outcome(training, self.outcome))
        filled = [training.assign(**chain(known, seed + k).completed[sources]) for k in range(draws)]
        fits = [fit for rows in filled if (fit := self.refit(rows).fit) is not None]
        names = list(self.fit.coef.index)
        coefficients = [fit.coef[names] for fit in fits]
        variances = [np.diag(fit.covariance.loc[names, names]) for fit in fits]
        cox = isinstance(self.fit, CoxFit)  # residual degrees of freedom as mice counts them
        residual = max((fits[0].n_events if cox else fits[0].n - 1) - len(names), 1)
        rows = regression.pooled_ratios(self.fit, pooled(coefficients, variances, residual), labels)
        return rows.assign(n=len(training), complete=self.fit.n, draws=len(fits))

    def within(self, horizons: Iterable[float]) -> list[float]:
        """Return the horizons between the first event and the end of follow-up in training; none without a Cox fit."""
        if not isinstance(self.fit, CoxFit):
            return []
        first, last = float(self.fit.baseline["time"].iloc[0]), float(self.fit.data[self.fit.time].max())
        return [float(time) for time in horizons if first <= time <= last]

    def axes(self, labels: Mapping[str, str], *, outcome: str, horizons: Iterable[float] = ()) -> pd.DataFrame:
        """Return the ticks of the model's nomogram, as `Nomogram.axes`; no rows where there is none."""
        drawn = self.nomogram(labels, outcome=outcome, horizons=horizons)
        return pd.DataFrame() if drawn is None else drawn.axes()

    def example(self, labels: Mapping[str, str], *, outcome: str, horizons: Iterable[float] = ()) -> pd.DataFrame:
        """Return the points of a typical patient, as `Nomogram.example`; no rows where there is no nomogram."""
        drawn = self.nomogram(labels, outcome=outcome, horizons=horizons)
        return pd.DataFrame() if drawn is None else drawn.example()

    def nomogram(self, labels: Mapping[str, str], *, outcome: str, horizons: Iterable[float] = ()) -> Nomogram | None:
        """Return the model as points, in words; None where it has no fit, or no horizon (months) within follow-up."""
        if isinstance(self.fit, LogisticFit):
            return Nomogram.from_logistic(self.fit, outcome=outcome, labels=labels)
        times = self.within(horizons)
        if not isinstance(self.fit, CoxFit) or not times:
            return None
        return Nomogram.from_cox(self.fit, times, outcome=outcome, time_unit="months", labels=labels)

    def table(self, sd: Mapping[str, float] | None = None) -> pd.DataFrame:
        """Return the coefficients with rows for reference levels and a likelihood-ratio test of each predictor.

        As `multivariable_table`, with the ratios of columns in `sd` per this standard deviation; no rows where there is
        no fit. The tests are missing where a model without one of the predictors can not be fitted.
        """
        ratio = "hr" if len(self.outcome) == 2 else "odds_ratio"
        if self.fit is None:
            return pd.DataFrame(columns=["term", "level", "reference", "coef", ratio, "ci_low", "ci_high", "p", "n"])
        try:
            found = regression.multivariable(self.fit, ratio)
        except NotEstimableError:
            found = regression.with_references(self.fit, ratio).assign(p_term=float("nan"))
        return _per_sd(found, sd)

    def _fit(self) -> LogisticFit | CoxFit:
        if self.fit is None:
            raise InputError(f"The model `{self.name}` has no fit.")
        return self.fit


def _fitted(rows: pd.DataFrame, outcome: Sequence[str], columns: list[str], **options: Any) -> LogisticFit | CoxFit:
    if len(outcome) == 2:
        return fit_cox(rows, outcome[0], outcome[1], columns, **options)
    return fit_logistic(rows, outcome[0], columns, **options)


def predictors(
    cohort: pd.DataFrame, predictions: pd.DataFrame, signatures: Mapping[str, str], outcome: Sequence[str] = ("label",)
) -> pd.DataFrame:
    """Return every patient with the clinical columns, the outcome, and the risk of each signature.

    Parameters
    ----------
    cohort : DataFrame
        cohort.parquet.
    predictions : DataFrame
        One row per patient and signature, as `evaluate.judged` returns: out of fold in training, external elsewhere.
    signatures : mapping of str to str
        Name of a signature by the column that is to hold its risk.
    outcome : sequence of str

    Returns
    -------
    DataFrame
        The columns of `cohort`, and those of `signatures`. Patients without a risk of every signature, or without
        the outcome, are left out.
    """
    table = cohort[cohort["cohort"] != "segmentation"]
    for column, name in signatures.items():
        own = predictions.loc[predictions["signature"] == name, ["subject", "risk"]].rename(columns={"risk": column})
        table = table.merge(own, on="subject", how="inner")
    table = table.dropna(subset=list(outcome)).reset_index(drop=True)
    present = cohorts_in_order(table["cohort"])
    return table.assign(cohort=table["cohort"].astype(pd.CategoricalDtype(present, ordered=True)))


def models(
    table: pd.DataFrame,
    signatures: Sequence[str],
    columns: Covariates,
    *,
    late: Sequence[str] = (),
    early: Covariates = (),
    outcome: tuple[str, ...] = ("label",),
    labels: Mapping[str, str] | None = None,
) -> dict[str, Model]:
    """Return the models by name: nomogram, preoperative variant (with `late`), signatures and columns alone.

    Each is fitted on the complete training patients, under Firth's penalty where a plain fit does not exist. Columns
    that do not vary among them are left out. A model that can not be fitted at all says why.

    Parameters
    ----------
    table : DataFrame
        What `predictors` returns.
    signatures : sequence of str
        Columns with the signatures' risks.
    columns : str or sequence of str
        Clinical columns, or terms of them (`radsupport.stats.formulas`). Categories have the first level that occurs
        as reference.
    late : sequence of str
        Clinical columns that are known only after the operation; without any there is no variant.
    early : str or sequence of str
        Clinical columns or terms of the variant, which uses what is known before treatment; by default those that are
        not late.
    outcome : tuple of str
        ``("label",)`` for logistic, ``("time", "event")`` for Cox regressions.
    labels : mapping, optional
        Words for columns, for the notes.
    """
    terms = formula_terms(columns, table.columns)
    wanted = {NOMOGRAM: [*signatures, *terms]}
    if late:
        known = [term for term in terms if not set(formula_columns([term], table.columns)) & set(late)]
        wanted[PREOPERATIVE] = [*signatures, *(formula_terms(early, table.columns) or known)]
    wanted |= {SIGNATURE: [*signatures], CLINICAL: terms}
    training = table[table["cohort"] == "train"]
    return {name: _model(training, name, chosen, outcome, labels or {}) for name, chosen in wanted.items() if chosen}


def _model(
    training: pd.DataFrame, name: str, columns: list[str], outcome: tuple[str, ...], labels: Mapping[str, str]
) -> Model:
    sources = formula_columns(columns, training.columns)
    known = training.dropna(subset=sources)
    constant = [c for c in sources if known[c].unique().size < 2]
    varying = [c for c in columns if not set(formula_columns([c], training.columns)) & set(constant)]
    lost = [labels.get(c, c) for c in constant]
    note = f"Left out because it does not vary: {listed(lost)}. " if lost else ""
    if not varying:
        return Model(name, [], None, f"{note}Nothing is left to fit.", outcome)
    reference = references(known, formula_columns(varying, training.columns))
    for penalty, words in (("none", ""), ("firth", "Firth's penalty keeps its coefficients finite.")):
        try:
            fit = _fitted(training, outcome, varying, reference=reference, penalty=penalty)
        except (NotEstimableError, InputError) as error:
            reason = error.problems[0].what if error.problems else error.message
            continue
        return Model(name, varying, fit, note + words, outcome, reference)
    return Model(name, [], None, f"{note}It can not be fitted: {reason}.", outcome)


def alone(
    table: pd.DataFrame,
    columns: Covariates,
    outcome: tuple[str, ...] = ("label",),
    sd: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Return one regression per column in the training cohort, under Firth's penalty where a plain fit does not exist.

    Parameters
    ----------
    table : DataFrame
        What `predictors` returns.
    columns : str or sequence of str
    outcome : tuple of str
        As in `models`.
    sd : mapping, optional
        The ratios of these columns are per this standard deviation.

    Returns
    -------
    DataFrame
        As `univariable_table` of the logistic or the Cox regression.
    """
    training = table[table["cohort"] == "train"]
    sources = formula_columns(columns, table.columns)
    options: dict[str, Any] = {"reference": references(training, sources), "penalty": "if_needed"}
    if len(outcome) == 2:
        return _per_sd(cox_tables(training, outcome[0], outcome[1], columns, **options), sd)
    return _per_sd(logistic_tables(training, outcome[0], columns, **options), sd)


def _of_outcome(rows: pd.DataFrame, outcome: Sequence[str]) -> dict[str, FloatArray]:
    """Return what of the outcome helps to fill gaps: the label, or the event and the cumulative hazard at the time."""
    if len(outcome) == 1:
        return {"outcome": rows[outcome[0]].to_numpy(float)}
    time, event = (rows[name].to_numpy(float) for name in outcome)
    times = np.unique(time)
    steps = [event[time == t].sum() / (time >= t).sum() for t in times]
    return {"outcome": event, "hazard": np.cumsum(steps)[np.searchsorted(times, time)]}


def _per_sd(rows: pd.DataFrame, sd: Mapping[str, float] | None) -> pd.DataFrame:
    """Return ratios per standard deviation, from the coefficients: that of a whole unit may be beyond any number."""
    power = rows["term"].map({} if sd is None else dict(sd)).fillna(1.0)
    if sd is None or rows.empty:
        return rows
    width, coef = norm.ppf(0.975) * rows["se"], rows["coef"]
    logs = {"hr": coef, "odds_ratio": coef, "ci_low": coef - width, "ci_high": coef + width}
    with np.errstate(over="ignore"):
        return rows.assign(**{c: rows[c].where(power == 1, np.exp(power * logs[c])) for c in logs if c in rows})


def references(rows: pd.DataFrame, columns: Sequence[str]) -> dict[str, str]:
    """Return the reference level of each category: the first of its levels that occurs in these rows."""
    categories = [c for c in columns if isinstance(rows[c].dtype, pd.CategoricalDtype)]
    return {c: str(rows[c].cat.remove_unused_categories().cat.categories[0]) for c in categories}


def as_signatures(models: Mapping[str, Model], table: pd.DataFrame, *, common: bool = True) -> pd.DataFrame:
    """Return what every fitted model predicts, as a table of predictions.

    Parameters
    ----------
    models : mapping of name to Model
    table : DataFrame
        What `predictors` returns.
    common : bool
        Whether all models are judged by the patients that all of them can predict; else each by those it can.

    Returns
    -------
    DataFrame
        Rows as `evaluate.judged` returns them: the columns of `table`, signature (the model's name), kind ("apparent"
        for the patients to whom coefficients were fitted, "external" elsewhere) and risk (the linear predictor). With
        `models`, `evaluate.probabilities` adds probabilities.
    """
    table = table.assign(kind=np.where(table["cohort"] == "train", "apparent", "external"))
    names, parts = [], [table.iloc[:0].assign(signature="", risk=np.nan)]
    for model in (one for one in models.values() if one.fit is not None):
        rows = predictable(models, table) if common else model.known(table)
        parts.append(rows.assign(signature=model.name, risk=model.risk(rows)))
        names.append(model.name)
    found = pd.concat(parts[1:] or parts, ignore_index=True)
    return found.assign(signature=found["signature"].astype(pd.CategoricalDtype(names, ordered=True)))


def predictable(models: Mapping[str, Model], table: pd.DataFrame) -> pd.DataFrame:
    """Return the patients that every fitted model can predict."""
    for model in models.values():
        table = table if model.fit is None else model.known(table)
    return table


def left_out(models: Mapping[str, Model], table: pd.DataFrame) -> pd.DataFrame:
    """Return which patients of each cohort can not be judged, and why.

    Returns
    -------
    DataFrame
        cohort, n, left_out, column (that is missing; empty for a level that training did not have, or a value that a
        term can not take), patients (of that reason); no rows where everybody can be judged.
    """
    fits = [model.fit for model in models.values() if model.fit is not None]
    columns = list(dict.fromkeys(source for fit in fits for source in fit.design.sources))
    known, rows = predictable(models, table), []
    for cohort, part in table.groupby("cohort", sort=False, observed=True):
        lost = part[~part.index.isin(known.index)]
        reasons = {column: int(lost[column].isna().sum()) for column in columns}
        reasons[""] = int(lost[columns].notna().all(axis=1).sum())
        place = {"cohort": cohort, "n": len(part), "left_out": len(lost)}
        rows += [place | {"column": column, "patients": n} for column, n in reasons.items() if n]
    return pd.DataFrame(rows, columns=["cohort", "n", "left_out", "column", "patients"])


def optimism(models: Iterable[Model], table: pd.DataFrame, n_bootstrap: int = 200, seed: int = 0) -> pd.DataFrame:
    """Return what fitting its coefficients to the training patients adds to a model's discrimination there.

    Returns
    -------
    DataFrame
        model, measure (AUC or C-index), n, apparent, optimism, corrected, asked (resamples that were drawn), resamples
        (in which the model could be fitted); missing, with 0 resamples, where these are fewer than half.
    """
    rows = []
    for model in models:
        training = model.known(table[table["cohort"] == "train"])
        row: dict[str, Any] = {
            "model": model.name,
            "measure": "AUC" if model.outcome == ("label",) else "C-index",
            "n": len(training),
            "asked": n_bootstrap,
        }
        try:
            found = bootstrap.optimism(training, model.refit, _discrimination, n_bootstrap, seed)
            row |= {"apparent": found.apparent, "optimism": found.optimism, "corrected": found.corrected}
            rows.append(row | {"resamples": found.n_resamples})
        except (NotEstimableError, InputError):
            gaps = dict.fromkeys(("apparent", "optimism", "corrected"), np.nan)
            rows.append(row | gaps | {"resamples": 0})
    return pd.DataFrame(rows)


def _discrimination(model: Model, rows: pd.DataFrame) -> float:
    risk = model.risk(rows)
    if len(model.outcome) == 2:
        return concordance(rows[model.outcome[0]], rows[model.outcome[1]], risk).concordance
    return auc(rows[model.outcome[0]], risk).auc
