"""What Cox and logistic fits have in common: the fitted model, its tidy table, and the checks before fitting.

statsmodels and lifelines fit both models, but neither offers Firth's penalty, profile limits, R's Efron baseline or an
error for separated data, and lifelines stops at a relative precision of 5e-7; hence own fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from radsupport.checks import FloatArray, IntArray
from radsupport.errors import InputError, NotEstimableError, Problem
from radsupport.modelling.design import Design

_ALIAS_TOLERANCE = 1e-7  # R's tolerance of `qr` in lm and glm
INTERCEPT = "(Intercept)"


@dataclass(frozen=True, kw_only=True, eq=False)
class FittedModel:
    """A fitted regression; `fit["se"]`, `fit.se` and `fit.table["se"]` give the same column.

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

    def __getitem__(self, column: str) -> pd.Series:
        if column not in self.table.columns:
            raise InputError(f"The table has no column `{column}`; it has {', '.join(self.table.columns)}.")
        return self.table.set_index("covariate")[column]

    @property
    def concordance(self) -> float:
        """Harrell's C of the linear predictor, or the AUC of the fitted probabilities."""
        raise TypeError("FittedModel is abstract: fit_cox and fit_logistic return fits with a concordance.")

    @property
    def se(self) -> pd.Series:
        """Standard errors by covariate."""
        return self["se"]

    @property
    def z(self) -> pd.Series:
        """Wald statistics by covariate."""
        return self["z"]

    @property
    def p(self) -> pd.Series:
        """Wald p-values by covariate."""
        return self["p"]

    @property
    def ci_low(self) -> pd.Series:
        """Lower limits of the ratios by covariate."""
        return self["ci_low"]

    @property
    def ci_high(self) -> pd.Series:
        """Upper limits of the ratios by covariate."""
        return self["ci_high"]

    def events(self) -> IntArray:
        """Outcome of the rows used, 0/1."""
        raise TypeError("FittedModel is abstract: fit_cox and fit_logistic return fits with an outcome.")

    def drop_chi2(self, term: str) -> float:
        """Twice the (penalised) log-likelihood that is lost when the coefficients of `term` are held at zero."""
        raise TypeError("FittedModel is abstract: fit_cox and fit_logistic return fits whose terms can be tested.")

    def refit(self, design: Design) -> FittedModel:
        """Fit the same rows and outcome with another design."""
        raise TypeError("FittedModel is abstract: fit_cox and fit_logistic return fits that can be refitted.")


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
        for column, level_name in zip(predictor.columns, predictor.coded_levels or ("",), strict=True)
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


def settled(scores: FloatArray) -> FloatArray:
    """Round scores to 1e-12 of the largest, so that equal rows are tied whatever the matrix product's rounding was."""
    scale = float(np.abs(scores).max(initial=0.0))
    return np.round(scores / scale, 12) if scale > 0 else scores


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
