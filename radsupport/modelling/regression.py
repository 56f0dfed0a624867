"""Logistic regression as stats::glm(binomial), with Firth's penalty for separated data and profile limits.

Own Newton iterations (`radsupport.modelling.fitted.maximise`): plain fits equal statsmodels' Logit to rounding, but
statsmodels has neither Firth's penalty nor profile likelihood, and reports separated data as a fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from scipy import optimize, special, stats

from radsupport.checks import FloatArray, IntArray, as_binary
from radsupport.errors import NotEstimableError
from radsupport.modelling.design import Covariates, Design, build_design, complete_cases, needed_columns
from radsupport.modelling.fitted import (
    INTERCEPT,
    Evaluate,
    FittedModel,
    Optimum,
    check_choice,
    check_level,
    coefficient_table,
    maximise,
    standardise,
    with_outcome,
)
from radsupport.modelling.separation import logistic_direction, refuse_separation

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

    @property
    def odds_ratio(self) -> pd.Series:
        """Odds ratios by covariate."""
        return self["odds_ratio"]

    def linear_predictor(self, rows: pd.DataFrame) -> FloatArray:
        """Log odds of each row, shape (n,)."""
        return self.intercept + self.design.transform(rows) @ self.coef.to_numpy()

    def predict(self, rows: pd.DataFrame) -> FloatArray:
        """Probability of the outcome for each row, shape (n,)."""
        return special.expit(self.linear_predictor(rows))

    def refit(self, design: Design) -> LogisticFit:
        """Fit the same rows and outcome with another design, for instance ``fit.design.select(terms)``."""
        return _fit(self.data, self.label, design, self.penalty, self.level, self.n_missing)


def fit_logistic(
    table: pd.DataFrame,
    label: Any,
    covariates: Covariates,
    *,
    factors: Sequence[str] = (),
    reference: Mapping[str, Any] | None = None,
    penalty: str = "none",
    interval: str = "wald",
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
    covariates : list of str, or one text with plus signs
        Columns or terms such as ``log(volume)`` and ``factor(race)``; see `radsupport.modelling.design`. An empty list
        fits the intercept alone.
    factors : sequence of str
        Numeric columns that are categories.
    reference : mapping of column to level, optional
        Reference levels; the first level otherwise.
    penalty : {"none", "firth"}
        Firth's penalty (half log determinant of the information; Firth 1993, Heinze & Schemper 2002) keeps estimates
        finite under separation; log-likelihoods, tests and AIC are then the penalised ones, as in R's logistf.
    interval : {"wald", "profile"}
        Limits in the table: Wald (confint.default) or profile likelihood (confint).
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
    check_choice(interval, "interval", ("wald", "profile"))
    check_level(level)
    table, label = with_outcome(table, label, "label")
    terms, columns = needed_columns(table, covariates, [label])
    data = complete_cases(table, columns)
    as_binary(data[label], label)
    design = build_design(data, terms, factors, reference)
    fit = _fit(data, label, design, penalty, level, len(table) - len(data))
    return replace(fit, table=_with_profile(fit)) if interval == "profile" else fit


def _fit(data: pd.DataFrame, label: str, design: Design, penalty: str, level: float, n_missing: int) -> LogisticFit:
    y = as_binary(data[label], label)
    matrix = design.transform(data)
    mean, sd = standardise(matrix, design.columns)
    x = np.column_stack([np.ones(y.size), (matrix - mean) / sd])
    best = _maximum(x, y, penalty, design.columns)
    back = np.diag(np.concatenate([[1.0], 1.0 / sd]))
    back[0, 1:] = -mean / sd
    coef = back @ best.beta
    covariance = back @ np.linalg.inv(best.information) @ back.T
    null = _null_log_likelihood(x, y, penalty)
    names = [INTERCEPT, *design.columns]
    chi2, df = 2 * (best.value - null), len(design.columns)
    return LogisticFit(
        kind="logistic",
        table=coefficient_table(names, coef, covariance, design, "odds_ratio", level),
        design=design,
        coef=pd.Series(coef[1:], index=design.columns, name="coef"),
        intercept=float(coef[0]),
        covariance=pd.DataFrame(covariance, index=names, columns=names),
        log_likelihood=best.value,
        null_log_likelihood=null,
        lr_chi2=chi2,
        lr_df=df,
        lr_p=float(stats.chi2.sf(chi2, df)) if df else float("nan"),
        aic=-2 * best.value + 2 * len(names),
        concordance=_auc(y, np.round(x @ best.beta, 10)),
        n=y.size,
        n_events=int(y.sum()),
        n_missing=n_missing,
        data=data,
        penalty=penalty,
        level=level,
        label=label,
    )


def _likelihood(x: FloatArray, y: IntArray, penalty: str, beta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
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
    start = np.zeros(x.shape[1])
    start[0] = special.logit(y.mean())
    best = maximise(partial(_likelihood, x, y, penalty), start)
    if penalty == "none" and (not best.converged or np.abs(x @ best.beta).max() > _SUSPICIOUS):
        direction = logistic_direction(x[:, 1:], y)
        if direction is not None:
            raise refuse_separation(direction[1:], columns, "logistic")
    if not best.converged:
        raise NotEstimableError(
            f"The logistic fit of {', '.join(columns)} did not converge. Look for extreme values or rare levels."
        )
    return best


def _null_log_likelihood(x: FloatArray, y: IntArray, penalty: str) -> float:
    """Log-likelihood without slopes; Firth's penalty still is that of the whole design, as in logistf."""
    start = np.zeros(x.shape[1])
    start[0] = special.logit(y.mean())
    if penalty == "none":
        return _likelihood(x, y, penalty, start)[0]
    return maximise(_restricted(partial(_likelihood, x, y, penalty), start, [0]), start[:1]).value


def _restricted(evaluate: Evaluate, beta: FloatArray, free: Sequence[int]) -> Evaluate:
    """Let only the `free` coefficients vary; the others stay as in `beta`."""

    def restricted(part: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        whole = beta.copy()
        whole[free] = part
        value, score, information = evaluate(whole)
        return value, score[free], information[np.ix_(free, free)]

    return restricted


def _auc(y: IntArray, score: FloatArray) -> float:
    """Area under the ROC curve by ranks, ties counting half."""
    n1 = int(y.sum())
    return float((stats.rankdata(score)[y == 1].sum() - n1 * (n1 + 1) / 2) / (n1 * (y.size - n1)))


def profile_limits(fit: LogisticFit, level: float | None = None) -> pd.DataFrame:
    """Profile-likelihood limits of all odds ratios, intercept included.

    The limit is where twice the drop of the (penalised) log-likelihood, maximised over all other coefficients, equals
    the chi-square quantile. It is found by root search; MASS::confint.glm interpolates the profile with a spline and is
    within about 1e-4 of it.

    Returns
    -------
    DataFrame
        covariate, ci_low, ci_high. A limit that does not exist (the profile is flat) is 0 or infinity.
    """
    wanted = fit.level if level is None else check_level(level)
    y = as_binary(fit.data[fit.label], fit.label)
    matrix = fit.design.transform(fit.data)
    mean, sd = standardise(matrix, fit.design.columns)
    coef = np.concatenate([[fit.intercept], fit.coef.to_numpy()])
    rows = []
    variances = np.diag(fit.covariance.to_numpy())
    for j, name in enumerate(fit.covariance.index):
        centre = np.zeros_like(mean) if j == 0 else mean  # the intercept is that at zero, not at the means
        x = np.column_stack([np.ones(y.size), (matrix - centre) / sd])
        start = np.concatenate([[coef[0] + centre @ coef[1:]], coef[1:] * sd])
        scale = 1.0 if j == 0 else float(sd[j - 1])
        step = float(np.sqrt(variances[j])) * scale
        evaluate = partial(_likelihood, x, y, fit.penalty)
        limits = [_profile_limit(evaluate, start, j, side * step, wanted) / scale for side in (-1, 1)]
        rows.append((name, *np.exp(limits)))
    return pd.DataFrame(rows, columns=["covariate", "ci_low", "ci_high"])


def _profile_limit(evaluate: Evaluate, start: FloatArray, j: int, step: float, level: float) -> float:
    """Walk from the maximum in direction `step` until the profile has dropped enough, then search the root."""
    drop = float(stats.chi2.ppf(level, 1)) / 2
    target = evaluate(start)[0] - drop
    free = [k for k in range(start.size) if k != j]
    warm = start.copy()

    def excess(value: float) -> float:
        warm[j] = value
        best = maximise(_restricted(evaluate, warm.copy(), free), warm[free], tolerance=1e-14)
        warm[free] = best.beta
        return best.value - target

    inner, outer = float(start[j]), float(start[j]) + step
    for _ in range(40):
        if excess(outer) < 0:
            return float(optimize.brentq(excess, inner, outer, xtol=1e-10 * abs(step)))
        inner, outer = outer, outer + 2 * (outer - inner)
        if abs(outer - start[j]) > 1e4 * abs(step):
            break
    return float(np.sign(step) * np.inf)


def _with_profile(fit: LogisticFit) -> pd.DataFrame:
    limits = profile_limits(fit)
    return fit.table.assign(ci_low=limits["ci_low"].to_numpy(), ci_high=limits["ci_high"].to_numpy())
