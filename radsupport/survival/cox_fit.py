"""Cox proportional-hazards regression as survival::coxph: Efron or Breslow ties, Firth's penalty on request.

lifelines and scikit-survival fit the same coefficients, but with Breslow's baseline only and, in lifelines, to 5e-7;
the partial likelihood here (`radsupport.survival.partial_likelihood`) agrees with R to rounding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from radsupport.checks import FloatArray, IntArray, as_binary
from radsupport.errors import NotEstimableError, Problem
from radsupport.modelling.design import Design, build_design
from radsupport.modelling.fitted import (
    FittedModel,
    check_choice,
    check_level,
    coefficient_table,
    settled,
    standardise,
    with_outcome,
)
from radsupport.modelling.newton import Optimum, maximise, restricted
from radsupport.modelling.separation import cox_direction, refuse_separation
from radsupport.modelling.terms import Covariates, complete_cases, needed_columns
from radsupport.survival.concordance import Concordance, concordance
from radsupport.survival.partial_likelihood import RiskSets, evaluate, firth_term, hazard_increments, risk_sets
from radsupport.survival.times import survival_times

_SUSPICIOUS = 12.0  # span of log hazards beyond which monotone likelihood is checked for


@dataclass(frozen=True, kw_only=True, eq=False)
class CoxFit(FittedModel):
    """A fitted Cox regression; see `FittedModel`.

    Attributes
    ----------
    time, event : str
        Outcome columns of `data`.
    ties : {"efron", "breslow"}
    means : Series
        Mean of every design column (dummy columns included) over the rows used: where `baseline` is.
    baseline : DataFrame
        time, cumulative_hazard at each distinct death time, for a subject at `means`, by the ties method (R's default
        survfit). S(t | x) = exp(-H(t) exp((x - means)·coef)).
    wald_chi2, wald_p, score_chi2, score_p : float
        Wald test, and score (log-rank) test, of all slopes; NaN for penalised fits and without covariates.
    """

    time: str
    event: str
    ties: str
    means: pd.Series
    baseline: pd.DataFrame
    wald_chi2: float
    wald_p: float
    score_chi2: float
    score_p: float

    @property
    def hr(self) -> pd.Series:
        """Hazard ratios by covariate."""
        return self["hr"]

    @cached_property
    def harrell(self) -> Concordance:
        """Harrell's C of the linear predictor with its standard error."""
        lp = settled(self.linear_predictor(self.data))
        return concordance(self.data[self.time], self.data[self.event], lp)

    @property
    def concordance(self) -> float:
        """Harrell's C of the linear predictor."""
        return self.harrell.concordance

    @property
    def concordance_se(self) -> float:
        """Standard error of Harrell's C, as survival::concordance."""
        return self.harrell.se

    def linear_predictor(self, rows: pd.DataFrame, *, centred: bool = True) -> FloatArray:
        """Log hazard of each row relative to a subject at `means` (or, not centred, at zero), shape (n,)."""
        matrix = self.design.transform(rows)
        return (matrix - self.means.to_numpy() if centred else matrix) @ self.coef.to_numpy()

    def events(self) -> IntArray:
        """Event of the rows used, 0/1."""
        return as_binary(self.data[self.event], self.event)

    def drop_chi2(self, term: str) -> float:
        """Twice the (penalised) log-likelihood that is lost when the coefficients of `term` are held at zero."""
        sets, x, _, _ = _standardised(self.data, (self.time, self.event), self.design, self.ties)
        objective = partial(_evaluate, sets, x, self.penalty)
        kept = [j for j, name in enumerate(self.design.column_terms) if name != term]
        start = np.zeros(x.shape[1])
        full = maximise(objective, start)
        return max(2 * (full.value - maximise(restricted(objective, start, kept), start[kept]).value), 0.0)

    def refit(self, design: Design) -> CoxFit:
        """Fit the same rows and outcome with another design, for instance ``fit.design.select(terms)``."""
        outcome = (self.time, self.event)
        return _fit(self.data, outcome, design, self.ties, self.penalty, self.level, self.n_missing)


def fit_cox(
    table: pd.DataFrame,
    time: Any,
    event: Any,
    covariates: Covariates,
    ties: str = "efron",
    *,
    factors: Sequence[str] = (),
    reference: Mapping[str, Any] | None = None,
    penalty: str = "none",
    level: float = 0.95,
) -> CoxFit:
    """Fit a Cox regression by maximum partial likelihood (survival::coxph).

    Parameters
    ----------
    table : DataFrame
        One row per subject. Rows with a missing value in a column of the model are left out, as R's na.omit does;
        ``n_missing`` of the result says how many.
    time, event : str or array-like
        Columns of follow-up (one unit, for instance months) and event (0/1); or their values, one per row.
    covariates : list of str, or one text with plus signs
        Columns or terms such as ``log(thickness)`` and ``factor(stage)``; see `radsupport.modelling.design`. An empty
        list fits the null model.
    ties : {"efron", "breslow"}
    factors : sequence of str
        Numeric columns that are categories.
    reference : mapping of column to level, optional
        Reference levels; the first level otherwise.
    penalty : {"none", "firth"}
        Firth's penalty (Heinze & Schemper 2001) keeps estimates finite where a level has no event. The
        likelihood-ratio test is then the penalised one, as in R's coxphf; ``log_likelihood`` and ``aic`` are those of
        the data at the penalised estimates.
    level : float

    Returns
    -------
    CoxFit
        ``table`` with covariate, coef, hr, ci_low, ci_high, se, z, p, term, level (Wald limits).

    Raises
    ------
    InputError
        Missing columns, unknown terms, negative times, an event that is not 0/1, infinite values.
    NotEstimableError
        No event, a constant covariate, collinear covariates (R: NA), or monotone likelihood, where a coefficient is
        infinite (R: a warning and numbers without meaning).
    """
    check_choice(ties, "ties", ("efron", "breslow"))
    check_choice(penalty, "penalty", ("none", "firth"))
    check_level(level)
    table, time = with_outcome(table, time, "time")
    table, event = with_outcome(table, event, "event")
    terms, columns = needed_columns(table, covariates, [time, event])
    data = complete_cases(table, columns)
    survival_times(data[time], data[event], any_event=True)
    design = build_design(data, terms, factors, reference)
    return _fit(data, (time, event), design, ties, penalty, level, len(table) - len(data))


def _fit(
    data: pd.DataFrame, outcome: tuple[str, str], design: Design, ties: str, penalty: str, level: float, n_missing: int
) -> CoxFit:
    sets, x, mean, sd = _standardised(data, outcome, design, ties)
    start = _evaluate(sets, x, penalty, np.zeros(x.shape[1]))
    _refuse_no_information(start[2], design.columns)
    best = _maximum(sets, x, penalty, design.columns)
    coef = best.beta / sd
    covariance = np.linalg.inv(best.information) / np.outer(sd, sd)
    value, names = evaluate(sets, x, best.beta)[0], design.columns
    chi2, df = max(2 * (best.value - start[0]), 0.0), len(names)
    tested = df if penalty == "none" else 0
    wald = float(best.beta @ best.information @ best.beta) if tested else float("nan")
    score = float(start[1] @ np.linalg.solve(start[2], start[1])) if tested else float("nan")
    return CoxFit(
        kind="cox",
        table=coefficient_table(names, coef, covariance, design, "hr", level),
        design=design,
        coef=pd.Series(coef, index=names, name="coef", dtype=float),
        covariance=pd.DataFrame(covariance, index=names, columns=names),
        log_likelihood=value,
        null_log_likelihood=evaluate(sets, x, np.zeros(df))[0],
        lr_chi2=chi2,
        lr_df=df,
        lr_p=_tail(chi2, df),
        aic=-2 * value + 2 * df,
        n=len(data),
        n_events=sets.deaths.size,
        n_missing=n_missing,
        data=data,
        penalty=penalty,
        level=level,
        time=outcome[0],
        event=outcome[1],
        ties=ties,
        means=pd.Series(mean, index=names, name="mean", dtype=float),
        baseline=_baseline(sets, x @ best.beta),
        wald_chi2=wald,
        wald_p=_tail(wald, tested),
        score_chi2=score,
        score_p=_tail(score, tested),
    )


def _standardised(
    data: pd.DataFrame, outcome: tuple[str, str], design: Design, ties: str
) -> tuple[RiskSets, FloatArray, FloatArray, FloatArray]:
    """Risk sets, standardised columns in their order, and the columns' means and standard deviations."""
    times, events = survival_times(data[outcome[0]], data[outcome[1]], any_event=True)
    matrix = design.transform(data)
    mean, sd = standardise(matrix, design.columns)
    sets = risk_sets(times, events, ties)
    return sets, ((matrix - mean) / sd)[sets.order], mean, sd


def _tail(chi2: float, df: int) -> float:
    return float(stats.chi2.sf(chi2, df)) if df else float("nan")


def _baseline(sets: RiskSets, lp: FloatArray) -> pd.DataFrame:
    hazard = hazard_increments(sets, lp)
    return pd.DataFrame({"time": sets.times, "cumulative_hazard": np.cumsum(hazard)})


def _evaluate(sets: RiskSets, x: FloatArray, penalty: str, beta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
    value, score, information = evaluate(sets, x, beta)
    if penalty == "none" or not beta.size or not np.isfinite(value):
        return value, score, information
    sign, log_det = np.linalg.slogdet(information)
    if sign <= 0:
        return -np.inf, np.full(beta.size, np.nan), information
    return value + 0.5 * float(log_det), np.add(score, firth_term(sets, x, beta, information)), information


def _maximum(sets: RiskSets, x: FloatArray, penalty: str, columns: Sequence[str]) -> Optimum:
    best = maximise(partial(_evaluate, sets, x, penalty), np.zeros(x.shape[1]))
    if penalty == "none" and x.shape[1] and (not best.converged or np.ptp(x @ best.beta) > _SUSPICIOUS):
        direction = cox_direction(x, sets.deaths, sets.first)
        if direction is not None:
            raise refuse_separation(direction, columns, "partial")
    if not best.converged:
        raise NotEstimableError(
            f"The Cox fit of {', '.join(columns)} did not converge. Look for extreme values or rare levels."
        )
    return best


def _refuse_no_information(information: FloatArray, columns: Sequence[str]) -> None:
    """Raise where covariates vary, but within no risk set (or only together with others)."""
    scale = np.sqrt(np.maximum(np.diag(information), 0.0))
    flat = scale <= 1e-8
    if columns and not flat.any():
        smallest, vectors = np.linalg.eigh(information / np.outer(scale, scale))
        flat = np.abs(vectors[:, 0]) > 1e-6 if smallest[0] < 1e-12 else flat
    problems = [
        Problem(
            "No information: it does not vary, alone or given the others, among those at risk at any event", column=c
        )
        for c, none in zip(columns, flat, strict=True)
        if none
    ]
    if problems:
        raise NotEstimableError("The coefficients are not identified:", problems)
