"""Logistic regression as stats::glm(binomial): fits, profile limits, and tables of odds ratios.

Own Newton iterations (`radsupport.modelling.fitted.maximise`): plain fits equal statsmodels' Logit to rounding, but
statsmodels has neither Firth's penalty nor profile limits, and returns a fit for separated data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from radsupport.checks import as_binary
from radsupport.modelling import effects
from radsupport.modelling.design import build_design
from radsupport.modelling.fitted import check_choice, check_level, with_outcome
from radsupport.modelling.logistic import LogisticFit, fit_rows
from radsupport.modelling.profile import profile_limits
from radsupport.modelling.terms import Covariates, complete_cases, needed_columns, split_terms

__all__ = ["LogisticFit", "fit_logistic", "multivariable_table", "profile_limits", "univariable_table"]


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
        finite under separation. The likelihood-ratio test is then the penalised one, as in R's logistf;
        ``log_likelihood`` and ``aic`` are those of the data at the penalised estimates.
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
    fit = fit_rows(data, label, design, penalty, level, len(table) - len(data))
    return replace(fit, table=_with_profile(fit)) if interval == "profile" else fit


def _with_profile(fit: LogisticFit) -> pd.DataFrame:
    limits = profile_limits(fit)
    return fit.table.assign(ci_low=limits["ci_low"].to_numpy(), ci_high=limits["ci_high"].to_numpy())


def univariable_table(table: pd.DataFrame, label: Any, covariates: Covariates, **options: Any) -> pd.DataFrame:
    """Odds ratios of one model per covariate, each on its own complete rows.

    Parameters
    ----------
    table, label, covariates
        As `fit_logistic`; further options are passed on to it.

    Returns
    -------
    DataFrame
        covariate, coef, odds_ratio, ci_low, ci_high, se, z, p, term, level, reference, n, n_events, p_term
        (likelihood-ratio test of the term), concordance (AUC), note. Factors have a row for their reference level. A
        covariate that can not be estimated keeps its row, with NaN and the reason in ``note``.
    """
    terms = split_terms(covariates, table.columns)
    return effects.univariable(terms, lambda term: fit_logistic(table, label, [term], **options), "odds_ratio")


def multivariable_table(table: pd.DataFrame, label: Any, covariates: Covariates, **options: Any) -> pd.DataFrame:
    """Odds ratios of one model with all covariates, with rows for reference levels.

    Returns
    -------
    DataFrame
        As `univariable_table`, without concordance and note; p_term is the likelihood-ratio test of leaving a term out.
    """
    return effects.multivariable(fit_logistic(table, label, covariates, **options), "odds_ratio")
