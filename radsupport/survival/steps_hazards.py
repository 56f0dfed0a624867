"""Chapter 07: whether hazard ratios stay the same over time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from radsupport.errors import InputError, NotEstimableError
from radsupport.report.tidy import schoenfeld_table
from radsupport.report.wording import listed, p_number
from radsupport.survival.cox import CoxFit, schoenfeld_residuals, schoenfeld_test

GLOBAL = "GLOBAL"


def hazards_test(fit: CoxFit | None, labels: Mapping[str, str]) -> pd.DataFrame:
    """Return the test of proportional hazards per covariate and globally: covariate (in words), term, chi2, df, p.

    Empty without a model, or with too few event times.
    """
    if fit is None:
        return pd.DataFrame()
    try:
        found = schoenfeld_test(fit)
    except NotEstimableError:
        return pd.DataFrame()
    words = found["covariate"].map(lambda term: "all together (global)" if term == GLOBAL else labels.get(term, term))
    return found.rename(columns={"covariate": "term"}).assign(covariate=words)[["covariate", "term", "chi2", "df", "p"]]


def hazards_words(test: pd.DataFrame) -> str:
    """Say which covariates speak against proportional hazards."""
    if test.empty:
        return (
            "There is no model without penalty, or there are too few event times, for a test of proportional hazards."
        )
    own = test[test["term"] != GLOBAL]
    against = own[own["p"] < 0.05]
    together = float(test.loc[test["term"] == GLOBAL, "p"].iloc[0])
    whole = p_number(together)
    if against.empty and together < 0.05:
        return f"No single covariate has P below 0.05, but all together do (global P {whole}): read ratios as averages."
    if against.empty:
        return f"No covariate has P below 0.05 (global P {whole}). That is no proof: few events can hide a trend."
    names = listed([f"{row['covariate']} (P {p_number(row['p'])})" for row in against.to_dict("records")])
    if len(against) == 1:
        return f"The effect of {names} seems to change over time (global P {whole}): its hazard ratio is an average."
    return f"The effects of {names} seem to change over time (global P {whole}): their hazard ratios are averages."


def residual_panels(
    fit: CoxFit | None, test: pd.DataFrame, labels: Mapping[str, str]
) -> list[tuple[str, pd.DataFrame, dict[str, Any]]]:
    """Return title, scaled Schoenfeld residuals with their smooth curve, and options, one panel per covariate.

    A model with fewer than 8 events has none: no curve can be drawn through so few points.
    """
    if fit is None or test.empty:
        return []
    residuals = schoenfeld_residuals(fit)
    found = []
    for row in test[test["term"] != GLOBAL].to_dict("records"):
        try:
            table = schoenfeld_table(residuals, row["term"])
        except InputError:
            return []
        own = fit.design[row["term"]].columns
        level = float(fit.coef[own[0]]) if len(own) == 1 else 1.0  # that of a factor's contribution is 1
        words = labels.get(row["term"], row["term"])
        found.append((words, table.assign(covariate=words), {"p": float(row["p"]), "coefficient": level}))
    return found
