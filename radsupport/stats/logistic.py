"""Logistic regression as stats::glm(binomial), plain or with Firth's penalty, and tables of odds ratios.

Own Newton iterations (`radsupport.stats.newton.maximise`): plain fits equal statsmodels' Logit to rounding, but
statsmodels has no Firth penalty, and returns a fit for separated data. firthmodels has the penalty, but not the plain
fit beside it that says where it is needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import pandas as pd
from scipy import special, stats

from radsupport.checks import FloatArray, IntArray, as_binary
from radsupport.errors import NotEstimableError
from radsupport.stats import regression
from radsupport.stats.design import Design, build_design, complete_cases, main_effects, needed_columns
from radsupport.stats.formulas import Covariates
from radsupport.stats.newton import Optimum, logistic_direction, maximise, refuse_separation, restricted
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

_SUSPICIOUS = 12.0  # log odds of a subject beyond which separation is checked for


@dataclass(frozen=True, kw_only=True, eq=False)
class LogisticFit(FittedModel):
    """A fitted logistic regression; see `FittedModel`.

    Attributes
    ----------
    intercept : float
    label : str
        Outcome column of `data`.
    """

    intercept: float
    label: str

    @cached_property
    def concordance(self) -> float:
        """AUC of the fitted probabilities."""
        return _auc(self.events(), settled(self.linear_predictor(self.data)))

    def linear_predictor(self, rows: pd.DataFrame) -> FloatArray:
        """Log odds of each row, shape (n,)."""
        return self.intercept + self.design.transform(rows) @ self.coef.to_numpy()

    def predict(self, rows: pd.DataFrame) -> FloatArray:
        """Probability of the outcome for each row, shape (n,)."""
        return special.expit(self.linear_predictor(rows))

    def events(self) -> IntArray:
        """Outcome of the rows used, 0/1."""
        return as_binary(self.data[self.label], self.label)

    def restricted_chi2(self, basis: FloatArray, kept: Sequence[int]) -> float:
        """Twice the log-likelihood lost when, of the columns of design @ basis, only those of `kept` are used."""
        x, _, _ = _standardised(self.data, self.design, basis)
        evaluate = partial(likelihood, x, self.events(), self.penalty)
        slopes = [0, *(j + 1 for j in kept)]
        start = _start(x, self.events())
        full = maximise(evaluate, start)
        return max(2 * (full.value - maximise(restricted(evaluate, start, slopes), start[slopes]).value), 0.0)

    def refit(self, design: Design) -> LogisticFit:
        """Fit the same rows and outcome with another design, for instance ``fit.design.select(terms)``."""
        return fit_rows(self.data, self.label, design, self.penalty, self.level, self.n_missing)


def fit_rows(data: pd.DataFrame, label: str, design: Design, penalty: str, level: float, n_missing: int) -> LogisticFit:
    """Fit complete rows with a design that was learnt from them (or from rows that include them)."""
    y = as_binary(data[label], label)
    x, mean, sd = _standardised(data, design)
    best = _maximum(x, y, penalty, design.columns)
    back = np.diag(np.concatenate([[1.0], 1.0 / sd]))
    back[0, 1:] = -mean / sd
    coef = back @ best.beta
    covariance = back @ np.linalg.inv(best.information) @ back.T
    evaluate, start = partial(likelihood, x, y, penalty), _start(x, y)
    null = maximise(restricted(evaluate, start, [0]), start[:1])
    value, without = (likelihood(x, y, "none", beta)[0] for beta in (best.beta, start))
    return LogisticFit(
        kind="logistic",
        **results("odds_ratio", data, design, coef, covariance, level),
        **likelihoods(value, without, best.value - null.value, coef.size - 1, coef.size),
        intercept=float(coef[0]),
        n_events=int(y.sum()),
        n_missing=n_missing,
        penalty=penalty,
        label=label,
    )


def _standardised(
    data: pd.DataFrame, design: Design, basis: FloatArray | None = None
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Standardised columns after a column of ones, and their means and standard deviations."""
    matrix = design.transform(data) if basis is None else design.transform(data) @ basis
    mean, sd = standardise(matrix, design.columns)
    return np.column_stack([np.ones(len(matrix)), (matrix - mean) / sd]), mean, sd


def _start(x: FloatArray, y: IntArray) -> FloatArray:
    """Coefficients of the model without slopes."""
    start = np.zeros(x.shape[1])
    start[0] = special.logit(y.mean())
    return start


def likelihood(x: FloatArray, y: IntArray, penalty: str, beta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
    """Log-likelihood, score and information; the first column of `x` is the intercept."""
    eta = x @ beta
    p = special.expit(eta)
    weight = p * (1 - p)
    information = x.T @ (weight[:, None] * x)
    value = float(-np.logaddexp(0.0, np.where(y == 1, -eta, eta)).sum())
    residual = y - p
    if penalty == "firth":
        sign, log_det = np.linalg.slogdet(information)
        if sign <= 0:
            return -np.inf, np.full(beta.size, np.nan), information
        leverage = weight * np.einsum("ij,ji->i", x, np.linalg.solve(information, x.T))
        residual = residual + leverage * (0.5 - p)
        value += 0.5 * float(log_det)
    return value, x.T @ residual, information


def _maximum(x: FloatArray, y: IntArray, penalty: str, columns: Sequence[str]) -> Optimum:
    best = maximise(partial(likelihood, x, y, penalty), _start(x, y))
    if penalty == "none" and (not best.converged or np.abs(x @ best.beta).max() > _SUSPICIOUS):
        direction = logistic_direction(x[:, 1:], y)
        if direction is not None:
            raise refuse_separation(direction[1:], columns, "logistic")
    if not best.converged:
        raise NotEstimableError(
            f"The logistic fit of {', '.join(columns)} did not converge. Look for extreme values or rare levels."
        )
    return best


def _auc(y: IntArray, score: FloatArray) -> float:
    """Area under the ROC curve by ranks, ties counting half."""
    n1 = int(y.sum())
    return float((stats.rankdata(score)[y == 1].sum() - n1 * (n1 + 1) / 2) / (n1 * (y.size - n1)))


def fit_logistic(
    table: pd.DataFrame,
    label: Any,
    covariates: Covariates,
    *,
    factors: Sequence[str] = (),
    reference: Mapping[str, Any] | None = None,
    penalty: str = "none",
    level: float = 0.95,
) -> LogisticFit:
    """Fit a logistic regression by maximum likelihood (stats::glm, family binomial).

    Parameters
    ----------
    table : DataFrame
        One row per subject. Rows with a missing value in a column of the model are left out, as R's na.omit does;
        ``n_missing`` of the result says how many.
    label : str or array-like
        Outcome column, 0/1; or its values, one per row of `table`.
    covariates : str or list of str
        A formula (``"bs(age, df=3) + sex"``), or a list of columns and terms (``log(volume)``, ``factor(race)``,
        ``age:sex``); see `radsupport.stats.formulas`. An empty list fits the intercept alone.
    factors : sequence of str
        Numeric columns that are categories.
    reference : mapping of column to level, optional
        Reference levels; the first level otherwise.
    penalty : {"none", "firth"}
        Firth's penalty (half log determinant of the information; Firth 1993, Heinze & Schemper 2002) keeps estimates
        finite under separation. The likelihood-ratio test is then the penalised one, as in R's logistf;
        ``log_likelihood`` and ``aic`` are those of the data at the penalised estimates.
    level : float

    Returns
    -------
    LogisticFit
        ``table`` with covariate, coef, odds_ratio, ci_low, ci_high, se, z, p, term, level.

    Raises
    ------
    InputError
        Missing columns, unknown terms, an outcome that is not 0/1, infinite values; all problems at once.
    NotEstimableError
        One class only, a constant covariate, collinear covariates (R: NA), or separation (R: a warning and numbers
        without meaning).
    """
    check_choice(penalty, "penalty", ("none", "firth"))
    check_level(level)
    table, label = with_outcome(table, label, "label")
    terms, columns = needed_columns(table, covariates, [label])
    data = complete_cases(table, columns)
    as_binary(data[label], label)
    design = build_design(data, terms, factors, reference)
    return fit_rows(data, label, design, penalty, level, len(table) - len(data))


def univariable_table(
    table: pd.DataFrame, label: Any, covariates: Covariates, *, penalty: str = "none", **options: Any
) -> pd.DataFrame:
    """Odds ratios of one model per covariate, each on its own complete rows.

    Parameters
    ----------
    table, label, covariates
        As `fit_logistic`; further options are passed on to it.
    penalty : {"none", "firth", "if_needed"}
        "if_needed" is Firth's penalty for the covariates that have no plain fit; their note says so.

    Returns
    -------
    DataFrame
        covariate, coef, odds_ratio, ci_low, ci_high, se, z, p, term, level, reference, n, n_events, p_term
        (likelihood-ratio test of the term), concordance (AUC), note. Factors have a row for their reference level. A
        covariate that can not be estimated keeps its row, with NaN and the reason in ``note``.
    """
    terms = main_effects(table, covariates)

    def fit_one(term: str, penalty: str) -> LogisticFit:
        return fit_logistic(table, label, [term], penalty=penalty, **options)

    return regression.univariable(terms, fit_one, "odds_ratio", penalty=penalty)


def multivariable_table(table: pd.DataFrame, label: Any, covariates: Covariates, **options: Any) -> pd.DataFrame:
    """Odds ratios of one model with all covariates, with rows for reference levels.

    Returns
    -------
    DataFrame
        As `univariable_table`, without concordance and note; p_term is the likelihood-ratio test of leaving a term out.
    """
    return regression.multivariable(fit_logistic(table, label, covariates, **options), "odds_ratio")
