"""Chapter 07: what backward selection leaves, what a signature adds, and how optimistic the models are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from radsupport.errors import NotEstimableError
from radsupport.modelling.fitted import FittedModel, settled
from radsupport.report.wording import listed
from radsupport.study_schema import Study
from radsupport.survival.cox import CoxFit, backward_aic, fit_cox
from radsupport.survival.steps_cox import labels
from radsupport.survival.steps_cox_data import OUTCOME, SIGNATURE, CoxData
from radsupport.survival.steps_ratios import with_firth
from radsupport.survival.time_dependent import concordance
from radsupport.validation.optimism import optimism


@dataclass(frozen=True, eq=False)
class Reduced:
    """What backward selection left.

    Attributes
    ----------
    fit : CoxFit
    path : DataFrame
        step, left out, AIC, terms left.
    """

    fit: CoxFit
    path: pd.DataFrame


def reduced(data: CoxData, fit: CoxFit | None, study: Study) -> Reduced | None:
    """Return the model after backward selection by AIC and its path.

    None where there is no plain fit to start from, or one of the smaller models can not be fitted.
    """
    if fit is None or fit.penalty != "none":
        return None
    try:
        chosen = backward_aic(fit)
    except NotEstimableError:
        return None
    names = labels(data, study)
    left_out = ["start" if not c else names[c.removeprefix("- ")] for c in chosen.path["change"]]
    path = pd.DataFrame({"step": chosen.path["step"], "left out": left_out, "AIC": chosen.path["aic"]})
    return Reduced(chosen.fit, path.assign(**{"terms left": chosen.path["n_terms"]}))  # type: ignore[arg-type]


def reduced_words(found: Reduced | None, data: CoxData, study: Study) -> str:
    """Say what backward selection kept."""
    if found is None:
        return "Backward selection by AIC needs plain fits of all models on its way; there are none here."
    names = labels(data, study)
    kept = listed([names[term] for term in found.fit.design.names])
    text = f"Backward selection keeps {kept}."
    return (
        text
        if not found.fit.design.names
        else f"{text} P-values and intervals of a selected model ignore the selection and are too good."
    )


def added_value(data: CoxData, base: CoxFit | None, study: Study) -> pd.DataFrame:
    """Return the model of the kept covariates, the signature's, and both: what the signature adds.

    Where no covariate is kept, the signature is tested against the model without any predictor.

    Returns
    -------
    DataFrame
        model, n, events, coefficients, AIC, C-index, se, P (likelihood ratio, against the covariates kept); rows that
        can not be fitted are missing.
    """
    terms = [] if base is None else base.design.names
    table = data.table.dropna(subset=terms)
    reference = {c: v for c, v in data.reference.items() if c in terms}
    rows = []
    for name, columns in (
        ("covariates", terms),
        (data.added, [SIGNATURE]),
        (f"covariates + {data.added}", [*terms, SIGNATURE]),
    ):
        if not columns or (name != data.added and not terms):
            continue
        try:
            fit = fit_cox(table, *OUTCOME, columns, reference=reference)
        except NotEstimableError:
            continue
        p = _drop_p(fit) if SIGNATURE in columns and len(columns) == len(terms) + 1 else float("nan")
        row = {"model": name, "n": fit.n, "events": fit.n_events, "coefficients": len(fit.coef), "AIC": fit.aic}
        rows.append(
            row
            | {"C-index (apparent)": fit.concordance, "standard error": fit.concordance_se, "P (likelihood ratio)": p}
        )
    return pd.DataFrame(rows)


def added_words(data: CoxData, base: CoxFit | None) -> str:
    """Say what the signature is tested against where no characteristic is kept; empty where one is."""
    if base is not None and base.design.names:
        return ""
    reason = "There is no model of the characteristics" if base is None else "No characteristic is kept"
    return f"{reason}, so {data.added} is tested against the model without any predictor."


def _drop_p(fit: CoxFit) -> float:
    return float(stats.chi2.sf(fit.drop_chi2(SIGNATURE), 1))


def optimism_table(data: CoxData, fit: CoxFit | None, study: Study) -> pd.DataFrame:
    """Return the apparent and the optimism-corrected C-index of the Cox models, selection repeated in each resample.

    A selection that keeps nothing has no row. A resample in which a plain fit does not exist is fitted under Firth's
    penalty.

    Returns
    -------
    DataFrame
        model, n, events, apparent, optimism, corrected, resamples; without a plain fit to start from, no rows.
    """
    if fit is None or fit.penalty != "none":
        return pd.DataFrame()

    def model(columns: list[str]) -> Callable[[pd.DataFrame], FittedModel]:
        return lambda rows: with_firth(rows, columns, reference=data.reference)[0]

    full = model(data.covariates)
    models: dict[str, Callable[[pd.DataFrame], FittedModel]] = {
        "all covariates": full,
        "covariates after backward selection": lambda rows: backward_aic(full(rows)).fit,
        f"all covariates + {data.added}": model([*data.covariates, SIGNATURE]),
    }
    if not _keeps_any(fit):
        del models["covariates after backward selection"]
    complete = data.table.dropna(subset=data.covariates)
    size = {"n": len(complete), "events": int(complete["event"].sum())}
    return pd.DataFrame(
        [{"model": name, **size, **_corrected(complete, refit, study)} for name, refit in models.items()]
    )


def _keeps_any(fit: CoxFit) -> bool:
    """Return whether backward selection leaves a covariate, or can not be done here."""
    try:
        return bool(backward_aic(fit).fit.design.names)
    except NotEstimableError:
        return True


def _corrected(table: pd.DataFrame, refit: Callable[[pd.DataFrame], FittedModel], study: Study) -> dict[str, float]:
    try:
        found = optimism(table, refit, _c_index, study.survival.optimism_resamples, study.seed)
    except NotEstimableError:
        return {"apparent": np.nan, "optimism": np.nan, "corrected": np.nan, "resamples": 0}
    return {
        "apparent": found.apparent, "optimism": found.optimism,
        "corrected": found.corrected, "resamples": found.n_resamples,
    }  # fmt: skip


def _c_index(fit: CoxFit, rows: pd.DataFrame) -> float:
    """Return the C-index in rows; 0.5 for a model from which everything was left out."""
    if not fit.design.names:
        return 0.5
    return concordance(rows["time"], rows["event"], settled(fit.linear_predictor(rows))).concordance
