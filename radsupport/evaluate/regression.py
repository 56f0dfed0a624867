"""Chapter 08: the predictors alone and together, as the papers' regression tables print them.

Chapter 07: what backward selection leaves, what a signature adds, and how optimistic the models are.

Chapter 07: Cox regression of the clinical columns, each alone and all together.

Chapter 07: the training patients of the Cox models, with levels without events dealt with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from radsupport.errors import InputError, NotEstimableError
from radsupport.evaluate.predictions import label_of, main_signature
from radsupport.settings.study import Study
from radsupport.stats.bootstrap import optimism
from radsupport.stats.concordance import concordance
from radsupport.stats.cox import CoxFit, fit_cox, multivariable_table, univariable_table, with_firth
from radsupport.stats.regression import FittedModel, backward_aic, settled, with_references

SIGNATURE = "signature_per_sd"
OUTCOME = ("time", "event")


@dataclass(frozen=True, eq=False)
class CoxData:
    """Training patients ready for Cox regression.

    Attributes
    ----------
    table : DataFrame
        time, event, the covariates, and `SIGNATURE`, the out-of-fold risk in standard deviations.
    covariates : list of str
        Those that vary and have values.
    reference : dict
        Reference level of each category: the first one that occurs.
    notes : list of str
        What was merged or left out, in words.
    added : str
        The signature whose risk is `SIGNATURE`.
    names : dict of column to dict
        New name of each level of the categories with merged levels.
    """

    table: pd.DataFrame
    covariates: list[str]
    reference: dict[str, str]
    notes: list[str]
    added: str
    names: dict[str, dict[str, str]]


def cox_data(rows: pd.DataFrame, cohort: pd.DataFrame, study: Study, *, merge: bool | None = None) -> CoxData:
    """Return the followed training patients with their covariates, levels without events merged on request.

    Parameters
    ----------
    rows : DataFrame
        What `steps_groups.followed` returns, with the signature to be added among its signatures.
    cohort : DataFrame
        cohort.parquet.
    study : Study
    merge : bool, optional
        Merge levels without events; by default as `survival.no_event_levels` says.
    """
    added = study.survival.adds or main_signature(study)
    own = rows[(rows["cohort"] == "train") & (rows["signature"] == added)][["subject", "risk", *OUTCOME]]
    wanted = list(study.survival.covariates)
    table = own.merge(cohort[["subject", *wanted]], on="subject", how="left")
    sd = float(table["risk"].std())
    table[SIGNATURE] = (table["risk"] - table["risk"].mean()) / (sd if sd > 0 else 1.0)
    merging = study.survival.no_event_levels == "merge" if merge is None else merge
    notes: list[str] = []
    names: dict[str, dict[str, str]] = {}
    for column in (c for c in wanted if study.columns[c].kind == "category"):
        table[column] = table[column].astype("category").cat.remove_unused_categories()
        found, words = merge_empty_levels(table[column], table["event"])
        if merging and words:
            names[column], table[column] = found, recoded(table[column], found)
            notes += [f"{study.columns[column].label}: {word}" for word in words]
    kept = [c for c in wanted if table[c].dropna().unique().size > 1]
    notes += [f"{study.columns[c].label} is left out: it does not vary here" for c in wanted if c not in kept]
    return CoxData(table, kept, _references(table, kept, study), notes, added, names)


def _references(table: pd.DataFrame, columns: list[str], study: Study) -> dict[str, str]:
    categories = [c for c in columns if study.columns[c].kind == "category"]
    return {c: str(table[c].cat.categories[0]) for c in categories}


def merge_empty_levels(values: pd.Series, event: pd.Series) -> tuple[dict[str, str], list[str]]:
    """Find names under which every level has an event: a level without any joins the one before it.

    Parameters
    ----------
    values : Series
        A category with its levels in order; the first level, if it has no event, joins the one after it.
    event : Series of 0/1

    Returns
    -------
    names : dict
        New name of every level, in order; a merged level is called ``A or B``.
    words : list of str
        What was merged and why.
    """
    levels = [str(level) for level in values.cat.categories]
    n = {level: int((values == level).sum()) for level in levels}
    events = {level: int(event[values == level].sum()) for level in levels}
    groups, words = [[level] for level in levels], []
    while len(groups) > 1:
        empty = next((i for i, group in enumerate(groups) if not any(events[level] for level in group)), None)
        if empty is None:
            break
        first = max(empty - 1, 0)
        who, patients = " or ".join(groups[empty]), sum(n[level] for level in groups[empty])
        groups[first : first + 2] = [groups[first] + groups[first + 1]]
        name = " or ".join(groups[first])
        words.append(f"none of the {patients} patients with {who} had the event, so {name} is one level")
    return {level: " or ".join(group) for group in groups for level in group}, words


def recoded(values: pd.Series, names: dict[str, str]) -> pd.Series:
    """Return a category with its levels renamed, the new levels in order."""
    order = list(dict.fromkeys(names.values()))
    return pd.Series(pd.Categorical(values.astype(object).map(names), order), index=values.index, name=values.name)


def univariable(data: CoxData) -> pd.DataFrame:
    """Return one Cox model per covariate and of the signature; Firth's penalty where a plain fit does not exist."""
    tables = []
    for column in [*data.covariates, SIGNATURE]:
        options: dict[str, Any] = {"reference": _own(data.reference, column)}
        found = univariable_table(data.table, *OUTCOME, [column], **options)
        if found["note"].ne("").any():
            penalised = univariable_table(data.table, *OUTCOME, [column], penalty="firth", **options)
            usable = penalised["note"].eq("").all()
            found = penalised.assign(note="Firth's penalty") if usable else found
        tables.append(found)
    return pd.concat(tables, ignore_index=True)


def _own(reference: dict[str, str], column: str) -> dict[str, str]:
    return {column: reference[column]} if column in reference else {}


def multivariable(data: CoxData) -> tuple[CoxFit | None, str]:
    """Return the Cox model of all covariates, and a note: Firth's penalty, or why there is no model."""
    if not data.covariates:
        return None, "no covariate varies among these patients"
    try:
        return with_firth(data.table, data.covariates, reference=data.reference)
    except (NotEstimableError, InputError) as error:
        return None, error.problems[0].what if error.problems else error.message


def multivariable_rows(data: CoxData, fit: CoxFit | None) -> pd.DataFrame | None:
    """Return the multivariable model with reference levels and likelihood-ratio tests; None where there is none.

    The tests are missing where a model without one of the characteristics can not be fitted.
    """
    if fit is None:
        return None
    try:
        return multivariable_table(data.table, *OUTCOME, data.covariates, reference=data.reference, penalty=fit.penalty)
    except NotEstimableError:
        return with_references(fit, "hr").assign(p_term=float("nan"))


def labels(data: CoxData, study: Study) -> dict[str, str]:
    """Return words for the terms of the Cox models."""
    return {c: label_of(study, c) for c in data.covariates} | {SIGNATURE: f"{data.added} (per SD)"}


def plain_model(
    data: CoxData, fit: CoxFit | None, rows: pd.DataFrame, cohort: pd.DataFrame, study: Study
) -> tuple[CoxData, CoxFit | None]:
    """Return data and model without penalty: the given ones, or those with levels without events merged.

    Selection by AIC and the test of proportional hazards are defined for unpenalised models only. The model is None
    where merging does not help either.
    """
    if fit is None or fit.penalty == "none":
        return data, fit
    merged = cox_data(rows, cohort, study, merge=True)
    again, _ = multivariable(merged)
    return merged, again if again is not None and again.penalty == "none" else None


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
