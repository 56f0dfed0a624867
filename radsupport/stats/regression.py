"""What Cox and logistic fits have in common: the fitted model, its tidy table, tests per term, selection by AIC.

statsmodels and lifelines fit both models, but neither offers Firth's penalty, R's Efron baseline, an error for
separated data that names the covariate, or stepwise selection as MASS::stepAIC; hence own fits.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from radsupport.checks import FloatArray, IntArray, tied
from radsupport.errors import InputError, NotEstimableError, Problem
from radsupport.stats.design import Design, Predictor
from radsupport.wording import number

_ALIAS_TOLERANCE = 1e-7  # R's tolerance of `qr` in lm and glm
INTERCEPT = "(Intercept)"


@dataclass(frozen=True, kw_only=True, eq=False)
class FittedModel:
    """A fitted regression.

    Attributes
    ----------
    kind : {"logistic", "cox"}
    table : DataFrame
        One row per coefficient: covariate, coef, odds_ratio or hr, ci_low, ci_high (of the ratio), se, z, p, and
        term and level it belongs to. Logistic tables start with the row ``(Intercept)``.
    design : Design
        Per predictor: kind, levels, reference level, observed range; ``design.transform(rows)`` gives the matrix.
    coef : Series
        Slopes by design column, without the intercept.
    covariance : DataFrame
        Of all rows of `table`.
    log_likelihood, null_log_likelihood : float
        At the estimates, and without slopes; never with a penalty, so that models can be compared.
    lr_chi2, lr_df, lr_p : float
        Likelihood-ratio test of all slopes; the penalised one for ``penalty="firth"`` (as logistf and coxphf).
    aic : float
        -2 log_likelihood + 2 (number of coefficients).
    n, n_events, n_missing : int
        Rows used, events among them, rows left out for missing values (R's na.omit).
    data : DataFrame
        The rows used: outcome and source columns.
    penalty : {"none", "firth"}
    level : float
        Level of the confidence intervals.
    """

    kind: str
    table: pd.DataFrame
    design: Design
    coef: pd.Series
    covariance: pd.DataFrame
    log_likelihood: float
    null_log_likelihood: float
    lr_chi2: float
    lr_df: int
    lr_p: float
    aic: float
    n: int
    n_events: int
    n_missing: int
    data: pd.DataFrame
    penalty: str
    level: float

    @property
    def concordance(self) -> float:
        """Harrell's C of the linear predictor, or the AUC of the fitted probabilities."""
        raise TypeError("FittedModel is abstract: fit_cox and fit_logistic return fits with a concordance.")

    def ratios(self, labels: Mapping[str, str] | None = None) -> pd.DataFrame:
        """Return the ratios with a row for each reference level, as `plots.forest` draws them.

        Parameters
        ----------
        labels : mapping, optional
            Words for terms: ``{"age": "Age (years)"}``.

        Returns
        -------
        DataFrame
            ``covariate`` (in words), ``hr`` or ``odds_ratio``, ``ci_low, ci_high, p``; NaN in reference rows.
        """
        ratio = "hr" if self.kind == "cox" else "odds_ratio"
        rows = with_references(self, ratio)
        rows[ratio] = rows[ratio].mask(rows["reference"].astype(bool))
        names = rows["term"].map(lambda term: (labels or {}).get(term, term))
        words = names + (": " + rows["level"].astype(str)).where(rows["level"] != "", "")
        return rows.assign(covariate=words)[["covariate", ratio, "ci_low", "ci_high", "p"]]

    def events(self) -> IntArray:
        """Outcome of the rows used, 0/1."""
        raise TypeError("FittedModel is abstract: fit_cox and fit_logistic return fits with an outcome.")

    def drop_chi2(self, term: str) -> float:
        """Twice the (penalised) log-likelihood that is lost when the coefficients of `term` are held at zero.

        Those of the interactions it takes part in are held at zero with it.
        """
        lost = self.design.with_interactions(term)
        kept = [j for j, name in enumerate(self.design.column_terms) if name not in lost]
        return self.restricted_chi2(np.eye(len(self.design.columns)), kept)

    def nonlinear_p(self, term: str) -> float:
        """P of the likelihood-ratio test that a spline or polynomial is a straight line; NaN for other terms.

        NaN also where it takes part in an interaction, or is made of a function of its column.
        """
        predictor, design = self.design[term], self.design
        if predictor.kind != "smooth" or len(predictor.sources) > 1 or len(design.with_interactions(term)) > 1:
            return float("nan")
        block = design.select([term]).transform(self.data)
        line = self.data[predictor.source].to_numpy(dtype=float)
        centred, target = block - block.mean(axis=0), (line - line.mean()) / line.std()
        weights = np.linalg.lstsq(centred, target, rcond=None)[0]
        if np.abs(centred @ weights - target).max() > 1e-6:
            return float("nan")
        own = [j for j, name in enumerate(design.column_terms) if name == term]
        basis, replaced = np.eye(len(design.columns)), own[int(np.abs(weights).argmax())]
        basis[own, replaced] = weights
        chi2 = self.restricted_chi2(basis, [j for j in range(len(basis)) if j == replaced or j not in own])
        return float(stats.chi2.sf(chi2, len(own) - 1))

    def restricted_chi2(self, basis: FloatArray, kept: Sequence[int]) -> float:
        """Twice the log-likelihood lost when, of the columns of design @ basis, only those of `kept` are used."""
        raise TypeError("FittedModel is abstract: fit_cox and fit_logistic return fits whose terms can be tested.")

    def refit(self, design: Design) -> FittedModel:
        """Fit the same rows and outcome with another design."""
        raise TypeError("FittedModel is abstract: fit_cox and fit_logistic return fits that can be refitted.")


def pooled_ratios(fit: FittedModel, found: pd.DataFrame, labels: Mapping[str, str]) -> pd.DataFrame:
    """Return the ratios of a fit beside those of pooled coefficients (`imputation.pooled`), one row a coefficient.

    Returns
    -------
    DataFrame
        covariate (in words), hr or odds_ratio with limits and p, the same with ``_pooled``, missing.
    """
    ratio = "hr" if fit.kind == "cox" else "odds_ratio"
    rows = fit.table[fit.table["covariate"] != INTERCEPT].reset_index(drop=True)
    words = rows["term"].map(lambda term: labels.get(term, term))
    table = pd.DataFrame({"covariate": words + (": " + rows["level"].astype(str)).where(rows["level"] != "", "")})
    own = {ratio: ratio, "ci_low": f"{ratio}_low", "ci_high": f"{ratio}_high", "p": "p"}
    table = table.join(rows[list(own)].rename(columns=own))
    limits = {"estimate": "", "ci_low": "_low", "ci_high": "_high"}
    ratios = {f"{ratio}_pooled{end}": np.exp(found[name]) for name, end in limits.items()}
    return table.assign(**ratios, p_pooled=found["p"], missing=found["missing"])


def standardise(matrix: FloatArray, columns: Sequence[str]) -> tuple[FloatArray, FloatArray]:
    """Return mean and population SD of every design column after checking that all can be estimated.

    Raises
    ------
    NotEstimableError
        Columns without variance, or columns that are linear combinations of earlier ones (more columns than rows
        included); R reports NA for these. All are named.
    """
    if not matrix.shape[1]:
        return np.empty(0), np.empty(0)
    mean, sd = matrix.mean(axis=0), matrix.std(axis=0)
    flat = sd <= 1e-10 * np.maximum(np.abs(mean), np.finfo(float).tiny)
    problems = [
        Problem("The covariate has the same value in every row", "at least two values", "Leave it out", column=name)
        for name, constant in zip(columns, flat, strict=True)
        if constant
    ]
    kept = [j for j in range(len(columns)) if not flat[j]]
    scaled = (matrix[:, kept] - mean[kept]) / sd[kept]
    problems += _aliased(scaled, [columns[i] for i in kept])
    if problems:
        raise NotEstimableError("The coefficients are not identified:", problems)
    return mean, sd


def _aliased(scaled: FloatArray, columns: Sequence[str]) -> list[Problem]:
    """Gram–Schmidt in the order of the columns, as R's limited pivoting, naming what repeats earlier ones."""
    basis = np.empty((scaled.shape[0], 0))
    independent: list[int] = []
    problems = []
    for j in range(scaled.shape[1]):
        column = scaled[:, j]
        rest = column - basis @ (basis.T @ column)
        rest = rest - basis @ (basis.T @ rest)
        norm = float(np.linalg.norm(rest))
        if norm > _ALIAS_TOLERANCE * float(np.linalg.norm(column)):
            basis = np.column_stack([basis, rest / norm])
            independent.append(j)
            continue
        weights = np.linalg.lstsq(scaled[:, independent], column, rcond=None)[0]
        parts = ", ".join(columns[i] for i, w in zip(independent, weights, strict=True) if abs(w) > 1e-6)
        what = f"The covariate is a linear combination of others ({parts})"
        problems.append(Problem(what, "independent columns", "Leave one of them out", column=columns[j]))
    return problems


def coefficient_table(
    names: Sequence[str], coef: FloatArray, covariance: FloatArray, design: Design, ratio: str, level: float
) -> pd.DataFrame:
    """Return the tidy table of a fit with Wald limits of the ratios.

    Columns: covariate, coef, `ratio`, ci_low, ci_high, se, z, p, term, level.
    """
    se = np.sqrt(np.diag(covariance))
    z = coef / se
    width = stats.norm.ppf(0.5 + level / 2) * se
    place = {
        column: (predictor.name, level_name)
        for predictor in design.predictors
        for column, level_name in zip(predictor.columns, predictor.column_levels, strict=True)
    }
    with np.errstate(over="ignore"):
        ratios, low, high = np.exp(coef), np.exp(coef - width), np.exp(coef + width)
    return pd.DataFrame(
        {
            "covariate": list(names),
            "coef": coef,
            ratio: ratios,
            "ci_low": low,
            "ci_high": high,
            "se": se,
            "z": z,
            "p": 2 * stats.norm.sf(np.abs(z)),
            "term": [place.get(name, (name, ""))[0] for name in names],
            "level": [place.get(name, (name, ""))[1] for name in names],
        }
    )


def results(
    ratio: str, data: pd.DataFrame, design: Design, coef: FloatArray, covariance: FloatArray, level: float
) -> dict[str, Any]:
    """Return what both kinds of fit hold alike, as keywords; an intercept is first in `coef` and `covariance`."""
    first = coef.size - len(design.columns)
    names = [INTERCEPT, *design.columns][1 - first :]
    return {
        "table": coefficient_table(names, coef, covariance, design, ratio, level),
        "data": data,
        "design": design,
        "coef": pd.Series(coef[first:], index=design.columns, name="coef", dtype=float),
        "covariance": pd.DataFrame(covariance, index=names, columns=names),
        "n": len(data),
        "level": level,
    }


def likelihoods(value: float, null: float, gain: float, slopes: int, coefficients: int) -> dict[str, Any]:
    """Return log-likelihoods, the likelihood-ratio test of all slopes and the AIC, as keywords."""
    chi2 = max(2 * gain, 0.0)
    p = float(stats.chi2.sf(chi2, slopes)) if slopes else float("nan")
    test = {"lr_chi2": chi2, "lr_df": slopes, "lr_p": p, "aic": -2 * value + 2 * coefficients}
    return {"log_likelihood": value, "null_log_likelihood": null} | test


def settled(scores: FloatArray) -> FloatArray:
    """Return scores over the largest, tied where only rounding parts them, such as that of a matrix product."""
    scale = float(np.abs(scores).max(initial=0.0))
    return tied(scores / scale) if scale > 0 else scores


def with_outcome(table: pd.DataFrame, outcome: Any, name: str) -> tuple[pd.DataFrame, str]:
    """Return the table and the outcome's column; an outcome given as values becomes the column `name`."""
    if isinstance(outcome, str):
        return table, outcome
    values = np.asarray(outcome)
    if values.shape != (len(table),):
        raise InputError(
            f"`{name}` must be a column name or hold one value per row ({len(table)}); shape {values.shape}."
        )
    return table.assign(**{name: values}), name


def check_level(level: float) -> float:
    """Return a confidence level between 0 and 1 or say what is wrong with it."""
    if not 0 < level < 1:
        raise InputError(f"`level` must lie between 0 and 1, it is {level}; 0.95 is a 95% interval.")
    return level


def check_choice(value: str, name: str, choices: Sequence[str]) -> str:
    """Return `value` if it is one of `choices`."""
    if value not in choices:
        raise InputError(f"`{name}` must be one of {', '.join(choices)}; it is {value!r}.")
    return value


def drop_one(fit: FittedModel) -> pd.DataFrame:
    """Likelihood-ratio test of leaving out each term (R's ``drop1(fit, test="LRT")``), penalised for Firth fits.

    A term goes with the interactions it takes part in (as in rms::anova, where R's drop1 leaves it out).

    Returns
    -------
    DataFrame
        term, df, chi2, p, aic (of the model without the term).
    """
    rows = []
    for name in fit.design.names:
        lost = fit.design.with_interactions(name)
        smaller = fit.refit(fit.design.select([term for term in fit.design.names if term not in lost]))
        df = len(fit.coef) - len(smaller.coef)
        chi2 = fit.drop_chi2(name)
        rows.append((name, df, chi2, float(stats.chi2.sf(chi2, df)), smaller.aic))
    return pd.DataFrame(rows, columns=["term", "df", "chi2", "p", "aic"])


def with_references(fit: FittedModel, ratio: str) -> pd.DataFrame:
    """The fit's table without intercept, and with a row for each reference level (ratio 1, no limits).

    A spline or polynomial has one row: the ratio of the 75th against the 25th percentile of its column, as
    rms::summary gives it (in ``level``: which these are), at the reference levels of what it interacts with. Its
    interactions, and one with a number, have a row for their tests only.

    Returns
    -------
    DataFrame
        covariate, coef, `ratio`, ci_low, ci_high, se, z, p, term, level, reference, n, n_events; n and n_events are
        those of the level for factors, of all rows otherwise.
    """
    table = fit.table[fit.table["covariate"] != INTERCEPT].assign(reference=False)
    rows = []
    for predictor in fit.design.predictors:
        own = table[table["term"] == predictor.name]
        if predictor.kind == "smooth" or len(set(predictor.column_levels)) < len(predictor.columns):
            own = pd.DataFrame([_quartiles(fit, predictor, ratio)], columns=table.columns)
        if predictor.kind == "factor":
            base = {"covariate": f"{predictor.name}{predictor.reference}", "coef": 0.0, ratio: 1.0}
            place = {"term": predictor.name, "level": predictor.reference, "reference": True}
            gaps = dict.fromkeys(["ci_low", "ci_high", "se", "z", "p"], np.nan)
            first = pd.DataFrame([base | gaps | place], columns=table.columns).astype(own.dtypes.to_dict())
            own = pd.concat([first, own], ignore_index=True)
        rows.append(_with_counts(fit, own, predictor.source if predictor.kind == "factor" else ""))
    return pd.concat(rows, ignore_index=True) if rows else table.assign(n=fit.n, n_events=fit.n_events)


def _quartiles(fit: FittedModel, predictor: Predictor, ratio: str) -> dict[str, Any]:
    """Return the row of a term in several columns: its 75th against its 25th percentile, without a P of its own.

    An interaction of such a term has no ratio, nor the term itself where it interacts with a number.
    """
    row: dict[str, Any] = {"covariate": predictor.name, "term": predictor.name, "level": "", "reference": False}
    design = fit.design
    others = {text for name in design.with_interactions(predictor.name)[1:] for text in design[name].pieces}
    at = [design.levels.get(text, ("",))[0] for text in sorted(others - set(predictor.pieces))]
    if predictor.kind != "smooth" or len(predictor.sources) > 1 or "" in at:
        return row
    low, high = (float(q) for q in np.quantile(fit.data[predictor.source].astype(float), [0.25, 0.75]))
    change = design.difference(predictor.name, low, high)
    own = fit.covariance.loc[design.columns, design.columns].to_numpy()
    coef, se = float(change @ fit.coef.to_numpy()), float(np.sqrt(change @ own @ change))
    low_limit, high_limit = np.exp(coef + stats.norm.ppf(0.5 + fit.level / 2) * se * np.array([-1, 1]))
    limits = {"ci_low": low_limit, "ci_high": high_limit}
    words = {"level": ", ".join([f"75th ({number(high)}) against 25th ({number(low)}) percentile", *at])}
    return row | words | limits | {"coef": coef, ratio: np.exp(coef), "se": se, "z": coef / se if se else np.nan}


def _with_counts(fit: FittedModel, rows: pd.DataFrame, source: str) -> pd.DataFrame:
    if not source:
        return rows.assign(n=fit.n, n_events=fit.n_events)
    coded = fit.design.select([rows["term"].iloc[0]])
    dummies = coded.transform(fit.data)
    first = 1.0 - dummies.sum(axis=1)
    member = np.column_stack([first, dummies])
    by_level = dict(zip([coded.predictors[0].reference, *coded.predictors[0].coded_levels], member.T, strict=True))
    event = fit.events()
    n = [int(by_level[level].sum()) for level in rows["level"]]
    return rows.assign(n=n, n_events=[int(by_level[level] @ event) for level in rows["level"]])


def multivariable(fit: FittedModel, ratio: str) -> pd.DataFrame:
    """`with_references` plus the likelihood-ratio p of each term, given the others, its df, and p_nonlinear."""
    _refuse_no_column(fit)
    tests = drop_one(fit).set_index("term")
    rows = with_references(fit, ratio)
    return _tested(fit, rows, rows["term"].map(tests["p"]), rows["term"].map(tests["df"]))


def _tested(fit: FittedModel, rows: pd.DataFrame, p: Any, df: Any) -> pd.DataFrame:
    """Add p_term, df and p_nonlinear (that a spline is a straight line; NaN for other terms)."""
    straight = {name: fit.nonlinear_p(name) for name in fit.design.names}
    return rows.assign(p_term=p, df=df, p_nonlinear=rows["term"].map(straight).astype(float))


def univariable(
    terms: Sequence[str],
    fit_one: Callable[..., FittedModel],
    ratio: str,
    *,
    penalty: str = "none",
) -> pd.DataFrame:
    """Fit one model per term, each on its own complete rows, and stack the tables.

    Parameters
    ----------
    terms : sequence of str
    fit_one : callable
        ``fit_one(term, penalty=…)`` returns the fit of one term.
    ratio : {"hr", "odds_ratio"}
    penalty : {"none", "firth", "if_needed"}
        "if_needed" is Firth's penalty for the terms that have no plain fit; their note says so.

    Returns
    -------
    DataFrame
        As `with_references`, plus p_term (likelihood-ratio test of the term), df, p_nonlinear, concordance and note.
        A term that can not be estimated keeps its row, with NaN and the reason in ``note``.
    """
    tables = []
    for term in terms:
        try:
            found = _one(fit_one(term, penalty="none" if penalty == "if_needed" else penalty), ratio, "")
        except NotEstimableError as error:
            found = _not_estimable(term, ratio, error)
            if penalty == "if_needed":
                with contextlib.suppress(NotEstimableError):
                    found = _one(fit_one(term, penalty="firth"), ratio, "Firth's penalty")
        tables.append(found)
    return pd.concat(tables, ignore_index=True)


def _refuse_no_column(fit: FittedModel) -> None:
    if fit.coef.empty:
        raise NotEstimableError("one level only: there is nothing to compare")


def _one(fit: FittedModel, ratio: str, note: str) -> pd.DataFrame:
    _refuse_no_column(fit)
    rows = _tested(fit, with_references(fit, ratio), fit.lr_p, fit.lr_df)
    return rows.assign(concordance=fit.concordance, note=note)


def _not_estimable(term: str, ratio: str, error: NotEstimableError) -> pd.DataFrame:
    reason = error.problems[0].what if error.problems else error.message
    tests = ["p", "p_term", "df", "p_nonlinear", "concordance"]
    gaps = dict.fromkeys(["coef", ratio, "ci_low", "ci_high", "se", "z", *tests], np.nan)
    row = {"covariate": term, **gaps, "term": term, "level": "", "reference": False, "n": 0, "n_events": 0}
    return pd.DataFrame([row | {"note": reason}])


@dataclass(frozen=True, eq=False)
class Selection:
    """The chosen fit and how it was reached.

    Attributes
    ----------
    fit : FittedModel
    path : DataFrame
        step, change ("" for the start, then "- age"), aic (criterion after the change), n_terms.
    """

    fit: FittedModel
    path: pd.DataFrame

    @property
    def terms(self) -> list[str]:
        """Terms of the chosen fit."""
        return self.fit.design.names


def backward_aic(fit: FittedModel, *, k: float = 2.0) -> Selection:
    """Leave out terms one at a time while the AIC falls (MASS::stepAIC).

    In each step the term whose removal lowers -2 log-likelihood + k df most goes, a factor or spline as a whole and an
    interaction before its parts; ties keep the model as it is. All models are fitted to the rows of `fit`, so that
    their likelihoods can be compared.

    Parameters
    ----------
    fit : CoxFit or LogisticFit
        Where to start.
    k : float
        Penalty per coefficient: 2 is AIC; log(n), for Cox log(events), is BIC.

    Returns
    -------
    Selection
        The AIC of selected models ignores the selection: standard errors and p-values are too small, whoever computes
        them.

    Raises
    ------
    InputError
        `k` is below zero.
    """
    if not k >= 0:
        raise InputError(f"`k` must not be negative, it is {k}; 2 is AIC.")

    def criterion(model: FittedModel) -> float:
        return -2 * model.log_likelihood + k * len(model.table)

    rows = [(0, "", criterion(fit), len(fit.design.names))]
    while names := fit.design.removable():
        kept = [[term for term in fit.design.names if term != name] for name in names]
        smaller = [fit.refit(fit.design.select(terms)) for terms in kept]
        best = min(range(len(names)), key=lambda j: criterion(smaller[j]))  # the first of equals, as in stepAIC
        if criterion(smaller[best]) >= rows[-1][2]:
            break
        fit = smaller[best]
        rows.append((len(rows), f"- {names[best]}", criterion(fit), len(fit.design.names)))
    return Selection(fit, pd.DataFrame(rows, columns=["step", "change", "aic", "n_terms"]))
