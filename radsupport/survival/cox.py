"""Cox regression: fits, tables of hazard ratios, tests, prediction and selection under one name.

The parts live in modules of their own: `cox_fit`, `schoenfeld`, `cox_prediction`, `cox_features`,
`radsupport.modelling.effects` and `radsupport.modelling.stepwise`.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from radsupport.modelling import effects
from radsupport.modelling.effects import drop_one
from radsupport.modelling.stepwise import Selection, backward_aic
from radsupport.modelling.terms import Covariates, split_terms
from radsupport.survival.cox_features import univariable_cox_features
from radsupport.survival.cox_fit import CoxFit, fit_cox
from radsupport.survival.cox_prediction import (
    cumulative_hazard,
    deviance_residuals,
    martingale_residuals,
    predict_survival,
    survival_interval,
)
from radsupport.survival.schoenfeld import schoenfeld_residuals, schoenfeld_test

__all__ = [
    "CoxFit",
    "Selection",
    "backward_aic",
    "cumulative_hazard",
    "deviance_residuals",
    "drop_one",
    "fit_cox",
    "martingale_residuals",
    "multivariable_table",
    "predict_survival",
    "schoenfeld_residuals",
    "schoenfeld_test",
    "survival_interval",
    "univariable_cox_features",
    "univariable_table",
]


def univariable_table(
    table: pd.DataFrame, time: Any, event: Any, covariates: Covariates, **options: Any
) -> pd.DataFrame:
    """Hazard ratios of one model per covariate, each on its own complete rows.

    Parameters
    ----------
    table, time, event, covariates
        As `fit_cox`; further options are passed on to it.

    Returns
    -------
    DataFrame
        covariate, coef, hr, ci_low, ci_high, se, z, p, term, level, reference, n, n_events, p_term (likelihood-ratio
        test of the term), concordance, note. Factors have a row for their reference level. A covariate that can not be
        estimated keeps its row, with NaN and the reason in ``note``.
    """
    terms = split_terms(covariates, table.columns)
    return effects.univariable(terms, lambda term: fit_cox(table, time, event, [term], **options), "hr")


def multivariable_table(
    table: pd.DataFrame, time: Any, event: Any, covariates: Covariates, **options: Any
) -> pd.DataFrame:
    """Hazard ratios of one model with all covariates, with rows for reference levels.

    Returns
    -------
    DataFrame
        As `univariable_table`, without concordance and note; p_term is the likelihood-ratio test of leaving a term out.
    """
    return effects.multivariable(fit_cox(table, time, event, covariates, **options), "hr")
