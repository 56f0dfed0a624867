"""Cox proportional-hazards regression as survival::coxph: Efron or Breslow ties, Firth's penalty on request.

lifelines and scikit-survival fit the same coefficients, but have Breslow's baseline only (lifelines to a relative
precision of 5e-7, and its curves run straight between event times); here an Efron fit has Efron's baseline and survival
curves are steps, as in R's survfit.

The partial likelihood is a sum over *deaths*, one row each. With the subjects in ascending order of time, the risk set
of a death is a suffix; under Efron's method the k-th of d tied deaths (k = 0 … d-1) counts each of the d with the
weight 1 - k/d (Efron 1977; Therneau & Grambsch 2000, section 3.3), under Breslow's with 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import pandas as pd

from radsupport.checks import FloatArray, IntArray, as_binary
from radsupport.errors import NotEstimableError, Problem
from radsupport.stats import regression
from radsupport.stats.concordance import Concordance, concordance
from radsupport.stats.design import Design, build_design, complete_cases, main_effects, needed_columns
from radsupport.stats.formulas import Covariates
from radsupport.stats.newton import Optimum, cox_direction, maximise, refuse_separation, restricted
from radsupport.stats.regression import (
    FittedModel,
    check_choice,
    check_level,
    likelihoods,
    results,
    settled,
    standardise,
    with_outcome,
)
from radsupport.stats.survival_curves import prediction_times, survival_times


@dataclass(frozen=True, eq=False)
class RiskSets:
    """Who is at risk at each death.

    Attributes
    ----------
    order : int array, shape (n,)
        Sorts the subjects by time; all other indices refer to this order.
    deaths : int array, shape (d,)
        Subjects who die, ascending.
    first : int array, shape (d,)
        First subject at risk at each death: those from there on are.
    fraction : float array, shape (d,)
        Share k/d of the tied deaths' weight that is left out (zero under Breslow).
    group : int array, shape (d,)
        Number of the distinct death time.
    times : float array
        Distinct death times.
    """

    order: IntArray
    deaths: IntArray
    first: IntArray
    fraction: FloatArray
    group: IntArray
    times: FloatArray

    @cached_property
    def starts(self) -> IntArray:
        """For each distinct death time, its first row among the deaths."""
        return np.searchsorted(self.group, np.arange(self.times.size)).astype(np.int64)


def risk_sets(time: FloatArray, event: IntArray, ties: str) -> RiskSets:
    """Sort the subjects and find the risk set of every death; `ties` is "efron" or "breslow"."""
    order = np.lexsort((1 - event, time)).astype(np.int64)
    sorted_time, sorted_event = time[order], event[order]
    deaths = np.flatnonzero(sorted_event == 1).astype(np.int64)
    death_times = sorted_time[deaths]
    times, starts, group, counts = np.unique(death_times, return_index=True, return_inverse=True, return_counts=True)
    rank = np.arange(deaths.size) - starts[group]
    fraction = rank / counts[group] if ties == "efron" else np.zeros(deaths.size)
    first = np.searchsorted(sorted_time, death_times, side="left").astype(np.int64)
    return RiskSets(order, deaths, first, fraction.astype(float), group.astype(np.int64), times)


def suffix_sums(values: FloatArray) -> FloatArray:
    """Sum of each row and all rows after it."""
    return np.cumsum(values[::-1], axis=0)[::-1]


def at_deaths(sets: RiskSets, values: FloatArray) -> FloatArray:
    """Sum `values` (rows in sorted order) over the risk set of every death, with the ties' weights."""
    total = suffix_sums(values)[sets.first]
    if not sets.fraction.any():
        return total
    tied = np.add.reduceat(values[sets.deaths], sets.starts, axis=0)[sets.group]
    fraction = sets.fraction.reshape(-1, *[1] * (values.ndim - 1))
    return total - fraction * tied


def subject_weights(sets: RiskSets, per_death: FloatArray, n: int) -> FloatArray:
    """For each subject, the sum of `per_death` over the deaths it is at risk for, with the ties' weights."""
    added = np.zeros((n, *per_death.shape[1:]))
    added[sets.first[sets.starts]] = np.add.reduceat(per_death, sets.starts, axis=0)
    total = np.cumsum(added, axis=0)
    if not sets.fraction.any():
        return total
    fraction = sets.fraction.reshape(-1, *[1] * (per_death.ndim - 1))
    total[sets.deaths] -= np.add.reduceat(fraction * per_death, sets.starts, axis=0)[sets.group]
    return total


def evaluate(sets: RiskSets, x: FloatArray, beta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
    """Return log partial likelihood, score and information; `x` (rows in sorted order) should be standardised."""
    eta = x @ beta
    shift = eta.max()
    risk = np.exp(eta - shift)
    total = at_deaths(sets, risk)
    if not (total > _TINY).all():  # the reciprocal of less overflows: coefficients without bound
        return -np.inf, np.full(beta.size, np.nan), np.full((beta.size, beta.size), np.nan)
    mean = at_deaths(sets, risk[:, None] * x) / total[:, None]
    value = float((eta[sets.deaths] - shift - np.log(total)).sum())
    score = (x[sets.deaths] - mean).sum(axis=0)
    weights = risk * subject_weights(sets, 1.0 / total, x.shape[0])
    information = x.T @ (weights[:, None] * x) - mean.T @ mean
    return value, score, information


def hazard_increments(sets: RiskSets, eta: FloatArray) -> FloatArray:
    """Baseline hazard at each distinct death time for linear predictors `eta` (sorted order), shape (times,)."""
    shift = eta.max()
    total = at_deaths(sets, np.exp(eta - shift))
    return np.add.reduceat(np.exp(-shift - np.log(total)), sets.starts)


def firth_term(sets: RiskSets, x: FloatArray, beta: FloatArray, information: FloatArray) -> FloatArray:
    """Half the gradient of log det information: Firth's correction of the score (Heinze & Schemper 2001).

    Costs memory of subjects × deaths; meant for the small or separated samples that need it.
    """
    inverse = np.linalg.inv(information)
    risk = np.exp(x @ beta - (x @ beta).max())
    share = (np.arange(x.shape[0])[None, :] >= sets.first[:, None]) * risk[None, :]
    tied = np.zeros(x.shape[0], dtype=int) - 1
    tied[sets.deaths] = sets.group
    share = share * np.where(tied[None, :] == sets.group[:, None], 1.0 - sets.fraction[:, None], 1.0)
    share = share / share.sum(axis=1, keepdims=True)
    mean = share @ x
    length = np.einsum("ij,jk,ik->i", x, inverse, x)
    distance = length[None, :] - 2 * mean @ inverse @ x.T + np.einsum("ij,jk,ik->i", mean, inverse, mean)[:, None]
    weight = share * distance
    return 0.5 * (weight.sum(axis=0) @ x - weight.sum(axis=1) @ mean)


_TINY = 1e-300  # least sum of hazards that is divided by
FURTHEST = 500.0
"""Log hazard that stands for any above it: exp() of more is infinite, and times no hazard yet no number."""
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
    """

    time: str
    event: str
    ties: str
    means: pd.Series
    baseline: pd.DataFrame

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
        return as_binary(self.data[self.event], self.event, both_classes=False)

    def restricted_chi2(self, basis: FloatArray, kept: Sequence[int]) -> float:
        """Twice the log-likelihood lost when, of the columns of design @ basis, only those of `kept` are used."""
        sets, x, _, _ = _standardised(self.data, (self.time, self.event), self.design, self.ties, basis)
        objective = partial(_evaluate, sets, x, self.penalty)
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
    covariates : str or list of str
        A formula (``"bs(age, df=3) + sex"``), or a list of columns and terms (``log(size)``, ``factor(stage)``,
        ``age:sex``); see `radsupport.stats.formulas`. An empty list fits the null model.
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
    value, null = (evaluate(sets, x, beta)[0] for beta in (best.beta, np.zeros(coef.size)))
    hazard = np.cumsum(hazard_increments(sets, x @ best.beta))
    return CoxFit(
        kind="cox",
        **results("hr", data, design, coef, covariance, level),
        **likelihoods(value, null, best.value - start[0], coef.size, coef.size),
        n_events=sets.deaths.size,
        n_missing=n_missing,
        penalty=penalty,
        time=outcome[0],
        event=outcome[1],
        ties=ties,
        means=pd.Series(mean, index=design.columns, name="mean", dtype=float),
        baseline=pd.DataFrame({"time": sets.times, "cumulative_hazard": hazard}),
    )


def _standardised(
    data: pd.DataFrame, outcome: tuple[str, str], design: Design, ties: str, basis: FloatArray | None = None
) -> tuple[RiskSets, FloatArray, FloatArray, FloatArray]:
    """Risk sets, standardised columns in their order, and the columns' means and standard deviations."""
    times, events = survival_times(data[outcome[0]], data[outcome[1]], any_event=True)
    matrix = design.transform(data) if basis is None else design.transform(data) @ basis
    mean, sd = standardise(matrix, design.columns)
    sets = risk_sets(times, events, ties)
    return sets, ((matrix - mean) / sd)[sets.order], mean, sd


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
    flat = scale <= 1e-7  # the root of what rounding leaves of standardised values, a few times 2e-16
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


def univariable_table(
    table: pd.DataFrame, time: Any, event: Any, covariates: Covariates, *, penalty: str = "none", **options: Any
) -> pd.DataFrame:
    """Hazard ratios of one model per covariate, each on its own complete rows.

    Parameters
    ----------
    table, time, event, covariates
        As `fit_cox`; further options are passed on to it.
    penalty : {"none", "firth", "if_needed"}
        "if_needed" is Firth's penalty for the covariates that have no plain fit; their note says so.

    Returns
    -------
    DataFrame
        covariate, coef, hr, ci_low, ci_high, se, z, p, term, level, reference, n, n_events, p_term (likelihood-ratio
        test of the term), concordance, note. Factors have a row for their reference level. A covariate that can not be
        estimated keeps its row, with NaN and the reason in ``note``.
    """
    terms = main_effects(table, covariates)

    def fit_one(term: str, penalty: str) -> CoxFit:
        return fit_cox(table, time, event, [term], penalty=penalty, **options)

    return regression.univariable(terms, fit_one, "hr", penalty=penalty)


def multivariable_table(
    table: pd.DataFrame, time: Any, event: Any, covariates: Covariates, **options: Any
) -> pd.DataFrame:
    """Hazard ratios of one model with all covariates, with rows for reference levels.

    Returns
    -------
    DataFrame
        As `univariable_table`, without concordance and note; p_term is the likelihood-ratio test of leaving a term out.
    """
    return regression.multivariable(fit_cox(table, time, event, covariates, **options), "hr")


def cumulative_hazard(fit: CoxFit, times: Any) -> FloatArray:
    """Cumulative baseline hazard (at the covariates' means) at `times`: a right-continuous step function."""
    steps = np.concatenate([[0.0], fit.baseline["cumulative_hazard"].to_numpy()])
    return steps[np.searchsorted(fit.baseline["time"].to_numpy(), prediction_times(times), side="right")]


def predict_survival(fit: CoxFit, rows: pd.DataFrame, times: Any) -> pd.DataFrame:
    """Predicted survival of each row at each time (survival::survfit.coxph).

    S(t | x) = exp(-H(t) exp(lp)), H being Efron's or Breslow's cumulative baseline hazard as the model's ties; a step
    function that is constant after the last event. Beyond the longest follow-up nothing is known: NaN, as R's summary
    leaves such times out.

    Parameters
    ----------
    fit : CoxFit
    rows : DataFrame
        Subjects, with the model's columns.
    times : float or array-like, shape (m,)

    Returns
    -------
    DataFrame, shape (n, m)
        Index of `rows`, columns `times`.
    """
    wanted = prediction_times(times)
    hazard = np.exp(np.minimum(fit.linear_predictor(rows), FURTHEST))
    survival = np.exp(-np.outer(hazard, cumulative_hazard(fit, wanted)))
    survival[:, wanted > fit.data[fit.time].max()] = np.nan
    return pd.DataFrame(survival, index=rows.index, columns=wanted)


def with_firth(table: pd.DataFrame, covariates: list[str], **options: Any) -> tuple[CoxFit, str]:
    """Return the Cox fit of `time` and `event`, under Firth's penalty where a coefficient would be infinite.

    Returns
    -------
    fit : CoxFit
    note : str
        "Firth's penalty", or empty.

    Raises
    ------
    NotEstimableError
        Not even the penalised fit exists.
    """
    try:
        return fit_cox(table, "time", "event", covariates, **options), ""
    except NotEstimableError:
        return fit_cox(table, "time", "event", covariates, penalty="firth", **options), "Firth's penalty"
