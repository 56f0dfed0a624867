"""Cox regression of clinical covariates beside a signature: alone, together, selected, and what the signature adds.

The models are fitted to training patients; the signature enters by its out-of-fold risk in standard deviations. A level
without any event has no finite hazard ratio, so levels are merged on request (`CoxData.merged`), or kept under Firth's
penalty. `cross_fitted` makes the covariates one more signature, whose training patients are predicted out of fold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from radsupport.checks import FloatArray
from radsupport.errors import InputError, NotEstimableError
from radsupport.evaluate.predictions import SURVIVAL
from radsupport.stats.bootstrap import optimism
from radsupport.stats.concordance import concordance
from radsupport.stats.cox import CoxFit, fit_cox, multivariable_table, predict_survival, univariable_table, with_firth
from radsupport.stats.design import is_numeric
from radsupport.stats.formulas import Covariates, formula_columns, formula_terms, formula_words
from radsupport.stats.proportional_hazards import schoenfeld_residuals, schoenfeld_table, schoenfeld_test
from radsupport.stats.regression import FittedModel, Selection, backward_aic, settled, with_references
from radsupport.stats.subdistribution import fine_gray

#: Column of the signature's risk per standard deviation, and the name of the covariates as one more signature.
SIGNATURE, COVARIATES = "signature_per_sd", "covariates (Cox)"
#: The row of a test of all covariates together.
GLOBAL = "GLOBAL"


@dataclass(frozen=True, eq=False)
class CoxData:
    """Training patients ready for Cox regression.

    Attributes
    ----------
    table : DataFrame
        subject, time, event, the covariates' columns, and `SIGNATURE`, the out-of-fold risk in standard deviations.
    covariates : list of str
        Terms whose columns vary and have values.
    constant : list of str
        Columns that do not.
    merges : DataFrame
        Levels without an event that were merged, one row each: column, level, n, merged (the level's new name).
    names : dict of column to dict
        New name of each level of the categories with merged levels.
    """

    table: pd.DataFrame
    covariates: list[str]
    constant: list[str]
    merges: pd.DataFrame
    names: dict[str, dict[str, str]]

    @property
    def columns(self) -> list[str]:
        """Columns of the covariates, each once."""
        return formula_columns(self.covariates, self.table.columns)

    @property
    def reference(self) -> dict[str, str]:
        """Reference level of each category: the first one that occurs."""
        columns = [c for c in self.columns if not is_numeric(self.table[c])]
        return {c: str(self.table[c].cat.categories[0]) for c in columns}

    def merged(self) -> CoxData:
        """Return the data with every level that has no event joined to the one before it."""
        table, merges, names = self.table.copy(), [], {}
        for column in self.reference:
            found, steps = merge_empty_levels(table[column], table["event"])
            if steps:
                names[column], table[column] = found, recoded(table[column], found)
                merges += [{"column": column} | step for step in steps]
        constant = [*self.constant, *_constant(table, self.columns)]
        kept = _varying(table, self.covariates, constant)
        return replace(self, table=table, covariates=kept, constant=constant, merges=_merges(merges), names=names)

    def beside_competing(self, cohort: pd.DataFrame, labels: Mapping[str, str]) -> pd.DataFrame:
        """Return the covariates and the signature in three regressions beside a competing event.

        Parameters
        ----------
        cohort : DataFrame
            cohort.parquet, with the column `competing` where the study has such an event.
        labels : mapping of term to words

        Returns
        -------
        DataFrame
            covariate (in words), hr_event and hr_competing (cause-specific Cox models: the other event is censoring)
            and hr_share (Fine and Gray's subdistribution hazard of the event), each with limits and P; ``attrs``: n,
            events, competing. A model without a fit has no values and its reason in the note. Empty, with the reason,
            without a competing event.
        """
        if "competing" not in cohort:
            found = pd.DataFrame(columns=["covariate"])
            found.attrs["empty"] = "No event that competes with this one is recorded."
            return found
        table = self.table.merge(cohort[["subject", "competing"]], on="subject", how="left").fillna({"competing": 0.0})
        terms, reference = [*self.covariates, SIGNATURE], self.reference
        fits = {
            "event": lambda: fit_cox(table, *SURVIVAL, terms, reference=reference).table,
            "competing": lambda: fit_cox(table, "time", "competing", terms, reference=reference).table,
            "share": lambda: fine_gray(table, *SURVIVAL, "competing", terms, reference=reference),
        }
        return _side_by_side(fits, labels).assign(
            n=len(table), events=int(table["event"].sum()), competing_events=int(table["competing"].sum())
        )


def _side_by_side(fits: Mapping[str, Callable[[], pd.DataFrame]], labels: Mapping[str, str]) -> pd.DataFrame:
    """Return the ratios of several models of the same terms, one row a coefficient; a note where one has no fit."""
    keys, notes, found = ["term", "level"], [], []
    for name, fit in fits.items():
        try:
            own = fit().rename(columns={"hr": f"hr_{name}", "p": f"p_{name}"})
        except (NotEstimableError, InputError) as error:
            notes.append(f"{name}: {error.problems[0].what if error.problems else error.message}")
            continue
        own = own.rename(columns={"ci_low": f"hr_{name}_low", "ci_high": f"hr_{name}_high"})
        found.append(own.set_index(keys)[[f"hr_{name}", f"hr_{name}_low", f"hr_{name}_high", f"p_{name}"]])
    shown = pd.concat(found, axis=1).reset_index() if found else pd.DataFrame(columns=keys, dtype=object)
    words = shown["term"].map(lambda term: labels.get(term, term))
    shown.insert(0, "covariate", words + (": " + shown["level"].astype(str)).where(shown["level"] != "", ""))
    shown.attrs["empty"] = "; ".join(notes)
    return shown.drop(columns=keys).assign(note="; ".join(notes))


def _constant(table: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    return [column for column in columns if table[column].dropna().unique().size < 2]


def _varying(table: pd.DataFrame, covariates: Sequence[str], constant: Sequence[str]) -> list[str]:
    """Return the terms that are made of none of the constant columns."""
    return [term for term in covariates if not set(formula_columns([term], table.columns)) & set(constant)]


def _merges(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["column", "level", "n", "merged"])


def cox_data(rows: pd.DataFrame, cohort: pd.DataFrame, covariates: Covariates, *, merge: bool = True) -> CoxData:
    """Return the training patients of one signature with their covariates.

    Parameters
    ----------
    rows : DataFrame
        Judged rows of the signature to be added: subject, cohort, risk, time, event.
    cohort : DataFrame
        cohort.parquet.
    covariates : str or sequence of str
        A formula of columns of `cohort` (numbers, or categories with their levels in order), or its terms.
    merge : bool
        Merge levels without events.
    """
    terms = formula_terms(covariates, cohort.columns)
    columns = formula_columns(terms, cohort.columns)
    own = rows[rows["cohort"] == "train"][["subject", "risk", *SURVIVAL]]
    table = own.merge(cohort[["subject", *columns]], on="subject", how="left")
    sd = float(table["risk"].std())
    table[SIGNATURE] = (table["risk"] - table["risk"].mean()) / (sd if sd > 0 else 1.0)
    for column in columns:
        if not is_numeric(table[column]):
            table[column] = table[column].astype("category").cat.remove_unused_categories()
    constant = _constant(table, columns)
    data = CoxData(table, _varying(table, terms, constant), constant, _merges([]), {})
    return data.merged() if merge else data


def merge_empty_levels(values: pd.Series, event: pd.Series) -> tuple[dict[str, str], list[dict[str, Any]]]:
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
    steps : list of dict
        level (without events), n (its patients), merged (name of the new level), in order.
    """
    levels = [str(level) for level in values.cat.categories]
    n = {level: int((values == level).sum()) for level in levels}
    events = {level: int(event[values == level].sum()) for level in levels}
    groups, steps = [[level] for level in levels], []
    while len(groups) > 1:
        empty = next((i for i, group in enumerate(groups) if not any(events[level] for level in group)), None)
        if empty is None:
            break
        first = max(empty - 1, 0)
        step = {"level": " or ".join(groups[empty]), "n": sum(n[level] for level in groups[empty])}
        groups[first : first + 2] = [groups[first] + groups[first + 1]]
        steps.append(step | {"merged": " or ".join(groups[first])})
    return {level: " or ".join(group) for group in groups for level in group}, steps


def recoded(values: pd.Series, names: dict[str, str]) -> pd.Series:
    """Return a category with its levels renamed, the new levels in order."""
    order = list(dict.fromkeys(names.values()))
    return pd.Series(pd.Categorical(values.astype(object).map(names), order), index=values.index, name=values.name)


def univariable(data: CoxData) -> pd.DataFrame:
    """Return one Cox model per covariate and of the signature; Firth's penalty where a plain fit does not exist."""
    columns, options = [*data.covariates, SIGNATURE], {"reference": data.reference}
    return univariable_table(data.table, *SURVIVAL, columns, penalty="if_needed", **options)


def multivariable(data: CoxData) -> tuple[CoxFit | None, str]:
    """Return the Cox model of all covariates, and a note: Firth's penalty, or why there is no model."""
    if not data.covariates:
        return None, "no covariate varies among these patients"
    try:
        return with_firth(data.table, data.covariates, reference=data.reference)
    except (NotEstimableError, InputError) as error:
        return None, error.problems[0].what if error.problems else error.message


def multivariable_rows(data: CoxData, fit: CoxFit | None) -> pd.DataFrame:
    """Return the multivariable model with reference levels and likelihood-ratio tests; no rows where there is none.

    The tests are missing where a model without one of the characteristics can not be fitted.
    """
    if fit is None:
        return pd.DataFrame(columns=["term", "level", "reference", "hr", "ci_low", "ci_high", "p", "n"])
    options = {"reference": data.reference, "penalty": fit.penalty}
    try:
        return multivariable_table(data.table, *SURVIVAL, data.covariates, **options)
    except NotEstimableError:
        return with_references(fit, "hr").assign(p_term=float("nan"))


def plain_model(data: CoxData, fit: CoxFit | None) -> tuple[CoxData, CoxFit | None]:
    """Return data and model without penalty: the given ones, or those with levels without events merged.

    Selection by AIC and the test of proportional hazards are defined for unpenalised models only. The model is None
    where merging does not help either.
    """
    if fit is None or fit.penalty == "none":
        return data, fit
    merged = data.merged()
    again, _ = multivariable(merged)
    return merged, again if again is not None and again.penalty == "none" else None


def selected(fit: CoxFit | None) -> Selection | None:
    """Return the model after backward selection by AIC and its path.

    None where there is no plain fit to start from, or one of the smaller models can not be fitted.
    """
    if fit is None or fit.penalty != "none":
        return None
    try:
        return backward_aic(fit)
    except NotEstimableError:
        return None


def path(kept: Selection | None, labels: Mapping[str, str]) -> pd.DataFrame:
    """Return the steps of a selection: step, left out (in words), AIC, terms left; no rows without a selection."""
    steps = pd.DataFrame(columns=["step", "change", "aic", "n_terms"]) if kept is None else kept.path
    change = steps["change"].str.removeprefix("- ").replace({**labels, "": "start"})
    renamed = {"change": "left out", "aic": "AIC", "n_terms": "terms left"}
    return steps.assign(change=change)[["step", *renamed]].rename(columns=renamed)


def kept_ratios(kept: Selection | None, labels: Mapping[str, str]) -> pd.DataFrame:
    """Return the hazard ratios of a selected model for `plots.forest`; no rows without a selection."""
    return pd.DataFrame() if kept is None else kept.fit.ratios(labels)


def added_value(data: CoxData, base: CoxFit | None, added: str) -> pd.DataFrame:
    """Return the model of the kept covariates, the signature's, and both: what the signature adds.

    Where no covariate is kept, the signature is tested against the model without any predictor.

    Parameters
    ----------
    data : CoxData
    base : CoxFit or None
        The model of the covariates that were kept.
    added : str
        What the signature is called.

    Returns
    -------
    DataFrame
        model, n, events, coefficients, aic, concordance (apparent), concordance_se, hr (of the signature, per SD) with
        hr_low and hr_high, chi2, df and p_lr (likelihood ratio, against the covariates kept); rows that can not be
        fitted are missing.
    """
    terms, sources = ([], []) if base is None else (base.design.names, base.design.sources)
    table, rows = data.table.dropna(subset=sources), []
    reference = {c: v for c, v in data.reference.items() if c in sources}
    models = {"covariates": terms, added: [SIGNATURE], f"covariates + {added}": [*terms, SIGNATURE]}
    for name, columns in models.items():
        if not columns or (name != added and not terms):
            continue
        try:
            fit = fit_cox(table, *SURVIVAL, columns, reference=reference)
        except NotEstimableError:
            continue
        tested = SIGNATURE in columns and len(columns) == len(terms) + 1
        chi2 = float(fit.drop_chi2(SIGNATURE)) if tested else np.nan
        own = fit.table[fit.table["term"] == SIGNATURE][["hr", "ci_low", "ci_high"]].to_numpy(dtype=float)
        ratio = own[0] if len(own) else [np.nan] * 3
        row = {"model": name, "n": fit.n, "events": fit.n_events, "coefficients": len(fit.coef), "aic": fit.aic}
        row |= {"concordance": fit.concordance, "concordance_se": fit.concordance_se}
        row |= dict(zip(("hr", "hr_low", "hr_high"), ratio, strict=True))
        rows.append(row | {"chi2": chi2, "df": 1 if tested else np.nan, "p_lr": float(stats.chi2.sf(chi2, 1))})
    found = pd.DataFrame(rows)
    found.attrs["empty"] = "Neither model can be fitted to so few events."
    return found


def optimism_table(data: CoxData, fit: CoxFit | None, added: str, resamples: int, seed: int) -> pd.DataFrame:
    """Return the apparent and the optimism-corrected C-index of the Cox models, selection repeated in each resample.

    A selection that keeps nothing has no row. A resample in which a plain fit does not exist is fitted under Firth's
    penalty.

    Returns
    -------
    DataFrame
        model, n, events, apparent, optimism, corrected, resamples (in which there is a fit), asked (that were drawn);
        without a plain fit to start from, no rows.
    """
    found = pd.DataFrame()
    found.attrs["empty"] = "There is no model without penalty whose optimism could be measured."
    if fit is None or fit.penalty != "none":
        return found

    def model(columns: list[str]) -> Callable[[pd.DataFrame], FittedModel]:
        return lambda rows: with_firth(rows, columns, reference=data.reference)[0]

    full, kept = model(data.covariates), selected(fit)
    models: dict[str, Callable[[pd.DataFrame], FittedModel]] = {"all covariates": full}
    if kept is None or kept.terms:
        models["covariates after backward selection"] = lambda rows: backward_aic(full(rows)).fit
    models[f"all covariates + {added}"] = model([*data.covariates, SIGNATURE])
    complete = data.table.dropna(subset=data.columns)
    size = {"n": len(complete), "events": int(complete["event"].sum())}
    return pd.DataFrame(
        [{"model": name} | size | _corrected(complete, refit, resamples, seed) for name, refit in models.items()]
    )


def _corrected(
    table: pd.DataFrame, refit: Callable[[pd.DataFrame], FittedModel], resamples: int, seed: int
) -> dict[str, float]:
    try:
        found = optimism(table, refit, _c_index, resamples, seed)
    except NotEstimableError:
        return {"apparent": np.nan, "optimism": np.nan, "corrected": np.nan, "resamples": 0, "asked": resamples}
    row = {key: float(getattr(found, key)) for key in ("apparent", "optimism", "corrected")}
    return row | {"resamples": found.n_resamples, "asked": resamples}


def _c_index(fit: CoxFit, rows: pd.DataFrame) -> float:
    """Return the C-index in rows; 0.5 for a model from which everything was left out."""
    if not fit.design.names:
        return 0.5
    return concordance(rows["time"], rows["event"], settled(fit.linear_predictor(rows))).concordance


def hazards_test(fit: CoxFit | None) -> pd.DataFrame:
    """Return the test of proportional hazards: covariate (`GLOBAL` is the test of all), chi2, df, p.

    Empty without a model, or with too few event times.
    """
    if fit is None:
        return pd.DataFrame()
    try:
        return schoenfeld_test(fit)[["covariate", "chi2", "df", "p"]]
    except NotEstimableError:
        return pd.DataFrame()


def residuals(fit: CoxFit | None, test: pd.DataFrame) -> pd.DataFrame:
    """Return scaled Schoenfeld residuals with their smooth curve, for `plots.schoenfeld`, by covariate.

    Returns
    -------
    DataFrame
        covariate, time, residual, smooth, ci_low, ci_high, p (of `test`), coefficient (1 for that of a factor's
        contribution). Empty with fewer than 8 events: no curve can be drawn through so few points.
    """
    if fit is None or test.empty:
        return pd.DataFrame()
    found, scaled = [], schoenfeld_residuals(fit)
    for row in test[test["covariate"] != GLOBAL].to_dict("records"):
        try:
            table = schoenfeld_table(scaled, row["covariate"])
        except InputError:
            return pd.DataFrame()
        own = fit.design[row["covariate"]].columns
        level = float(fit.coef[own[0]]) if len(own) == 1 else 1.0
        found.append(table.assign(p=row["p"], coefficient=level))
    return pd.concat(found, ignore_index=True)


@dataclass(frozen=True, eq=False)
class CrossFitted:
    """A Cox model of the covariates, and the same model fitted without each fold of the training cohort.

    Attributes
    ----------
    whole : CoxFit
    without : dict of fold to CoxFit
    folds : Series
        Fold of each training patient, by subject.
    """

    whole: CoxFit
    without: dict[float, CoxFit]
    folds: pd.Series

    @property
    def end(self) -> float:
        """The last time (months) that every one of the fits can say something about."""
        return min(float(fit.data[fit.time].max()) for fit in (self.whole, *self.without.values()))

    def fit_for(self, rows: pd.DataFrame) -> list[tuple[CoxFit | None, pd.Series]]:
        """Return each fit with the rows (boolean) it predicts; None where a fold has no fit of the others."""
        fold = rows["subject"].map(self.folds)
        inside = [(self.without.get(number), fold == number) for number in fold.dropna().unique()]
        return [*inside, (self.whole, fold.isna())]

    def probability(self, rows: pd.DataFrame, times: Any) -> FloatArray:
        """Return the probability of the event by each time, shape (n, m); NaN for those whom no fit predicts."""
        wanted = np.atleast_1d(np.asarray(times, dtype=float))
        found = np.full((len(rows), len(wanted)), np.nan)
        for fit, own in self.fit_for(rows):
            if fit is not None and own.any():
                found[own.to_numpy()] = 1 - predict_survival(fit, rows[own], wanted).to_numpy()
        return found


def cross_fitted(data: CoxData, whole: CoxFit, folds: pd.Series) -> CrossFitted:
    """Fit the covariates once more without each fold; Firth's penalty where a coefficient would be infinite.

    Levels that were merged for want of events stay merged as in the whole training cohort. A fold whose complement
    can not be fitted has none.
    """
    own, without = data.table["subject"].map(folds), {}
    for number in folds.dropna().unique():
        try:
            others = data.table[own != number]
            without[float(number)] = with_firth(others, data.covariates, reference=data.reference)[0]
        except (NotEstimableError, InputError):
            continue
    return CrossFitted(whole, without, folds)


def with_covariates(
    rows: pd.DataFrame, models: Mapping[str, Any], data: CoxData, fit: CoxFit | None, cohort: pd.DataFrame
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Make the model of the covariates one more signature: `COVARIATES`, whose training patients are out of fold.

    Parameters
    ----------
    rows : DataFrame
        Judged rows; each patient of a cohort counts once.
    models : mapping of signature to Locked
        What `lock` returns; the signatures share their folds.
    data : CoxData
        What `fit` was fitted on.
    fit : CoxFit or None
        None adds nothing.
    cohort : DataFrame
        cohort.parquet; its categories get the merged names of training.

    Returns
    -------
    rows : DataFrame
        With those of the patients whom the covariates predict.
    models : dict
        With the model of the covariates.
    """
    if fit is None:
        return rows, dict(models)
    folds = pd.concat([model.folds.astype(float) for model in models.values()])
    model = cross_fitted(data, fit, folds[~folds.index.duplicated()])
    own = rows.drop_duplicates(["subject", "cohort"])[["subject", "cohort", *SURVIVAL]]
    own = own.merge(cohort[["subject", *fit.design.sources]], on="subject", how="left")
    for column in [c for c in data.names if c in own]:
        own[column] = recoded(own[column], data.names[column])
    usable = pd.Series(False, index=own.index)
    for one, part in model.fit_for(own):
        usable |= part & one.design.known(own) if one is not None else False
    names = pd.CategoricalDtype([*rows["signature"].cat.categories, COVARIATES], ordered=True)
    both = pd.concat([rows.astype({"signature": str}), own[usable].assign(signature=COVARIATES)], ignore_index=True)
    return both.astype({"signature": names}), {**models, COVARIATES: model}


def row_words(covariates: Covariates, labels: Mapping[str, str], signature: str) -> dict[str, str]:
    """Return words for the rows of the models: terms of the formula by the labels of their columns, the signature's."""
    return formula_words(covariates, labels) | {SIGNATURE: f"{signature} (per SD)"}
