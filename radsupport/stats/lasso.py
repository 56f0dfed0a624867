"""LASSO and elastic net for binary and survival outcomes with glmnet's conventions, and cv.glmnet's choice of penalty.

Objective: -(1/n) log-likelihood + lambda (alpha |b|_1 + (1 - alpha) |b|^2 / 2) on features scaled by their population
standard deviation; coefficients are on the original scale, the intercept is not penalised, Cox ties are Breslow's.
The solver (`radsupport.stats.penalised`) is exact where glmnet stops at a tolerance. A penalty is cross-validated
with given folds, as cv.glmnet does.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import fsum
from typing import Any

import numpy as np
import pandas as pd
from scipy import special
from threadpoolctl import ThreadpoolController

from radsupport.checks import FloatArray, IntArray, as_binary, as_finite
from radsupport.errors import InputError, NotEstimableError
from radsupport.stats.cox import risk_sets
from radsupport.stats.penalised import BinomialLoss, CoxLoss, Loss, solve_path
from radsupport.stats.survival_curves import survival_times
from radsupport.wording import counted

_ONE_THREAD = ThreadpoolController()  # matrices here are small: BLAS threads only wait for each other


@dataclass(frozen=True, eq=False)
class LassoPath:
    """Coefficients along a falling sequence of penalties.

    Attributes
    ----------
    kind : {"binomial", "cox"}
    alpha : float
    lambdas : float array, shape (m,)
    coef : DataFrame, shape (m, p)
        Rows are penalties, columns features, on the original scale.
    intercept : float array, shape (m,)
        Zero for Cox.
    dev_ratio : float array, shape (m,)
        Share of the null deviance that is explained.
    null_deviance : float
    objective : float array, shape (m,)
    n : int
    """

    kind: str
    alpha: float
    lambdas: FloatArray
    coef: pd.DataFrame
    intercept: FloatArray
    dev_ratio: FloatArray
    null_deviance: float
    objective: FloatArray
    n: int

    @property
    def n_nonzero(self) -> FloatArray:
        """Number of selected features at each penalty."""
        return (self.coef.to_numpy() != 0).sum(axis=1)

    def at(self, lambdas: Any) -> tuple[FloatArray, FloatArray]:
        """Intercepts (m,) and coefficients (m, p) at any penalties, linear between those of the path, flat beyond."""
        wanted = np.atleast_1d(np.asarray(lambdas, dtype=float))
        rising, known = self.lambdas[::-1], self.coef.to_numpy()[::-1]
        coef = np.zeros((wanted.size, known.shape[1]))
        for j in np.flatnonzero(known.any(axis=0)):
            coef[:, j] = np.interp(wanted, rising, known[:, j])
        return np.interp(wanted, rising, self.intercept[::-1]), coef

    def linear_predictor(self, features: Any, lambdas: Any) -> FloatArray:
        """Linear predictors, shape (n, m): log odds, or log hazard relative to a subject whose features are all 0."""
        names, values = _matrix(features, list(self.coef.columns))
        if names != list(self.coef.columns):
            raise InputError(f"The features differ from the fitted ones: {', '.join(map(str, self.coef.columns))}.")
        intercept, coef = self.at(lambdas)
        return intercept + values @ coef.T


@dataclass(frozen=True, eq=False)
class LassoCV:
    """A path and its cross-validated error.

    Attributes
    ----------
    path : LassoPath
        Fitted to all subjects.
    table : DataFrame
        lambda, mean, sd (standard error of the mean over folds), n_nonzero.
    lambda_min, lambda_1se : float
        Penalty of the best mean (the largest of equals), and the largest whose mean is within one standard error of it.
    index_min, index_1se : int
        Their rows in `table`, from 0.
    """

    path: LassoPath
    table: pd.DataFrame
    lambda_min: float
    lambda_1se: float
    index_min: int
    index_1se: int

    def coef(self, which: str = "min") -> pd.Series:
        """Coefficients at ``"min"`` or ``"1se"``."""
        if which not in ("min", "1se"):
            raise InputError(f'`which` must be "min" or "1se", it is {which!r}.')
        return self.path.coef.iloc[self.index_min if which == "min" else self.index_1se]

    def selected(self, which: str = "min") -> list[str]:
        """Names of the features with a nonzero coefficient."""
        coef = self.coef(which)
        return [str(name) for name in coef.index[coef != 0]]


@dataclass(frozen=True, eq=False)
class Settings:
    """What decides a path besides the data; see `lasso_binomial`."""

    alpha: float
    lambdas: FloatArray | None
    n_lambdas: int
    min_ratio: float | None

    @classmethod
    def of(cls, alpha: float, lambdas: Any, n_lambdas: int, min_ratio: float | None) -> Settings:
        """Check the arguments, all of them at once."""
        wrong = []
        if not 0 < alpha <= 1:
            wrong.append(f"`alpha` must be above 0 and at most 1 (1 is LASSO), it is {alpha}")
        if min_ratio is not None and not 0 < min_ratio < 1:
            wrong.append(f"`min_ratio` must lie between 0 and 1, it is {min_ratio}")
        if n_lambdas < 1:
            wrong.append(f"`n_lambdas` must be at least 1, it is {n_lambdas}")
        grid = None if lambdas is None else np.sort(as_finite(np.atleast_1d(lambdas), "lambdas"))[::-1]
        if grid is not None and (grid < 0).any():
            wrong.append("`lambdas` must not be negative")
        if wrong:
            raise InputError("; ".join(wrong) + ".")
        return cls(alpha, grid, n_lambdas, min_ratio)


def lasso_binomial(
    features: Any,
    y: Any,
    *,
    alpha: float = 1.0,
    lambdas: Any = None,
    n_lambdas: int = 100,
    min_ratio: float | None = None,
) -> LassoPath:
    """Elastic-net path of a logistic regression (glmnet, family "binomial").

    Parameters
    ----------
    features : DataFrame or array, shape (n, p)
        Numeric and complete; a constant feature gets the coefficient 0.
    y : array-like, shape (n,)
        0/1.
    alpha : float
        Share of the L1 penalty, above 0; 1 is LASSO.
    lambdas : array-like, optional
        Penalties; by default `n_lambdas` from the smallest that selects nothing down to `min_ratio` times it (1e-4, or
        1e-2 with fewer subjects than features), cut short as glmnet does where the fit hardly improves.
    n_lambdas : int
    min_ratio : float, optional

    Returns
    -------
    LassoPath

    Raises
    ------
    InputError
        Missing or infinite features, wrong lengths, impossible settings.
    NotEstimableError
        One class only, or no feature that varies.
    """
    settings = Settings.of(alpha, lambdas, n_lambdas, min_ratio)
    names, values = _matrix(features)
    outcome = as_binary(y, "y", len(values))
    return _fit(names, values, BinomialLoss(outcome), settings, "binomial")


def lasso_cox(
    features: Any,
    time: Any,
    event: Any,
    *,
    alpha: float = 1.0,
    lambdas: Any = None,
    n_lambdas: int = 100,
    min_ratio: float | None = None,
) -> LassoPath:
    """Elastic-net path of a Cox regression (glmnet, family "cox") with exact Breslow ties.

    glmnet 4.1 handles censorings tied with events slightly wrong once times exceed about 100; this is the exact value.

    Parameters
    ----------
    features : DataFrame or array, shape (n, p)
    time, event : array-like, shape (n,)
    alpha, lambdas, n_lambdas, min_ratio
        As `lasso_binomial`.

    Returns
    -------
    LassoPath

    Raises
    ------
    InputError, NotEstimableError
        As `lasso_binomial`; no event.
    """
    settings = Settings.of(alpha, lambdas, n_lambdas, min_ratio)
    times, events = survival_times(time, event, any_event=True)
    names, values = _matrix(features, n=times.size)
    sets = risk_sets(times, events, "breslow")
    return _fit(names, values[sets.order], CoxLoss(sets), settings, "cox")


def _fit(names: list[str], values: FloatArray, loss: Loss, settings: Settings, kind: str) -> LassoPath:
    mean, sd = values.mean(axis=0), values.std(axis=0)
    varied = sd > 1e-10 * np.maximum(np.abs(mean), np.finfo(float).tiny)
    if not varied.any():
        raise NotEstimableError(f"None of the {len(names)} features varies: there is nothing to select.")
    x = (values[:, varied] - mean[varied]) / sd[varied]
    penalised = np.ones(x.shape[1])
    if kind == "binomial":
        x, penalised = np.column_stack([np.ones(len(x)), x]), np.concatenate([[0.0], penalised])
    ratio = settings.min_ratio or (1e-2 if loss.n < len(names) else 1e-4)
    with _ONE_THREAD.limit(limits=1, user_api="blas"):
        found = solve_path(loss, x, penalised, settings.alpha, settings.lambdas, settings.n_lambdas, ratio)
    standardised = found.coef[:, -int(varied.sum()) :]
    coef = np.zeros((found.lambdas.size, len(names)))
    coef[:, varied] = standardised / sd[varied]
    l1, l2 = np.abs(standardised).sum(axis=1), (standardised**2).sum(axis=1)
    penalty = found.lambdas * (settings.alpha * l1 + (1 - settings.alpha) * l2 / 2)
    return LassoPath(
        kind=kind,
        alpha=settings.alpha,
        lambdas=found.lambdas,
        coef=pd.DataFrame(coef, index=pd.Index(found.lambdas, name="lambda"), columns=names),
        intercept=found.coef[:, 0] - coef @ mean if kind == "binomial" else np.zeros(found.lambdas.size),
        dev_ratio=found.dev_ratio,
        null_deviance=2 * loss.n * (loss.saturated - found.null_value),
        objective=penalty - found.value,
        n=loss.n,
    )


def _matrix(features: Any, names: list[str] | None = None, n: int | None = None) -> tuple[list[str], FloatArray]:
    """Names and values of complete numeric features."""
    if isinstance(features, pd.DataFrame):
        kinds = features.dtypes.to_numpy()
        numeric = {kind: pd.api.types.is_numeric_dtype(kind) for kind in set(kinds)}
        wrong = [str(name) for name, kind in zip(features.columns, kinds, strict=True) if not numeric[kind]]
        if wrong:
            raise InputError(f"`features` must be numeric; these columns are not: {', '.join(wrong[:10])}.")
        found = [str(name) for name in features.columns]
        values = features.to_numpy(dtype=float)
    else:
        values = np.asarray(features, dtype=float)
        if values.ndim != 2:
            raise InputError(f"`features` must be a table, subjects × features; its shape is {values.shape}.")
        found = names if names is not None else [f"x{j + 1}" for j in range(values.shape[1])]
    if not values.size or (n is not None and len(values) != n) or len(found) != values.shape[1]:
        raise InputError(f"`features` has shape {values.shape}, which does not fit the outcome or the fitted features.")
    incomplete = [name for name, ok in zip(found, np.isfinite(values).all(axis=0), strict=True) if not ok]
    if incomplete:
        raise InputError(
            f"{counted(len(incomplete), 'feature')} with missing or infinite values: {', '.join(incomplete[:10])}."
            " Impute or drop them inside the fold before calling."
        )
    return found, values


_CLIP = 1e-5  # glmnet keeps predicted probabilities this far from 0 and 1


def cv_lasso_binomial(features: Any, y: Any, folds: Any, **settings: Any) -> LassoCV:
    """Choose the penalty of a logistic LASSO or elastic net by its cross-validated deviance (cv.glmnet, "binomial").

    Each fold fits its own path (own automatic penalties unless `lambdas` are given) to the other subjects; its
    coefficients are interpolated at the penalties of the path of all subjects, as cv.glmnet does by default.

    Parameters
    ----------
    features : DataFrame or array, shape (n, p)
    y : array-like, shape (n,)
    folds : array-like, shape (n,)
        Which fold each subject is left out in (glmnet's ``foldid``); at least three folds.
    **settings
        alpha, lambdas, n_lambdas, min_ratio as `radsupport.stats.lasso.lasso_binomial`.

    Returns
    -------
    LassoCV
        ``mean`` is the mean over folds, weighted by their sizes, of the deviance per left-out subject with
        probabilities clipped at 1e-5; ``sd`` its standard error.

    Raises
    ------
    InputError
        Fewer than three folds.
    NotEstimableError
        A training part has one class only; the fold is named.
    """
    outcome = as_binary(y, "y")
    names, code = _folds(folds, outcome.size)
    table = _table(features, outcome.size)
    path = lasso_binomial(table, outcome, **settings)
    errors = np.empty((len(names), path.lambdas.size))
    for k, name in enumerate(names):
        out = code == k
        if np.unique(outcome[~out]).size < 2:
            raise NotEstimableError(f"Fold {name} leaves only one class to train on or to score. Stratify the folds.")
        part = lasso_binomial(table[~out], outcome[~out], **settings)
        p = special.expit(part.linear_predictor(table[out], path.lambdas))
        own = np.where(outcome[out, None] == 1, p, 1 - p)
        errors[k] = (-2 * np.log(np.clip(own, _CLIP, 1 - _CLIP))).mean(axis=0)
    return _choose(path, errors, np.bincount(code).astype(float))


def cv_lasso_cox(features: Any, time: Any, event: Any, folds: Any, **settings: Any) -> LassoCV:
    """Choose the penalty of a Cox LASSO or elastic net by cross-validation (cv.glmnet, family "cox", grouped).

    The error is the partial-likelihood deviance of all subjects minus that of the training part, per left-out event
    (Verweij & van Houwelingen 1993), folds weighted by events.

    Parameters
    ----------
    features : DataFrame or array, shape (n, p)
    time, event : array-like, shape (n,)
    folds : array-like, shape (n,)
        As `cv_lasso_binomial`.
    **settings
        alpha, lambdas, n_lambdas, min_ratio as `radsupport.stats.lasso.lasso_cox`.

    Returns
    -------
    LassoCV

    Raises
    ------
    InputError, NotEstimableError
        As `cv_lasso_binomial`; a fold or training part without events.
    """
    times, events = survival_times(time, event, any_event=True)
    names, code = _folds(folds, times.size)
    table = _table(features, times.size)
    path = lasso_cox(table, times, events, **settings)
    errors = np.empty((len(names), path.lambdas.size))
    for k, name in enumerate(names):
        out = code == k
        if not (events[out].any() and events[~out].any()):
            raise NotEstimableError(
                f"Fold {name} leaves no event to train on or to score. Stratify the folds by event."
            )
        part = lasso_cox(table[~out], times[~out], events[~out], **settings)
        lp = part.linear_predictor(table, path.lambdas)
        rest = _deviance(times, events, lp) - _deviance(times[~out], events[~out], lp[~out])
        errors[k] = rest / events[out].sum()
    return _choose(path, errors, np.bincount(code, weights=events.astype(float)).astype(float))


def _folds(folds: Any, n: int) -> tuple[list[str], IntArray]:
    values = pd.Series(np.asarray(folds))
    if len(values) != n or values.isna().any():
        raise InputError(f"`folds` must name a fold for each of the {n} subjects.")
    code, names = pd.factorize(values, sort=True)
    if len(names) < 3:
        raise InputError(
            f"`folds` holds {counted(len(names), 'fold')}; at least three are needed for a standard error."
        )
    return [str(name) for name in names], code.astype(np.int64)


def _table(features: Any, n: int) -> pd.DataFrame:
    table = features if isinstance(features, pd.DataFrame) else pd.DataFrame(np.asarray(features)).add_prefix("x")
    if len(table) != n:
        raise InputError(f"`features` has {len(table)} rows where {n} were expected.")
    return table


def _deviance(time: FloatArray, event: IntArray, lp: FloatArray) -> FloatArray:
    """Cox deviance (Breslow) of each column of linear predictors."""
    loss = CoxLoss(risk_sets(time, event, "breslow"))
    ordered = lp[loss.sets.order]
    return np.array([2 * loss.n * (loss.saturated - loss.gradient(column)[0]) for column in ordered.T])


def _choose(path: LassoPath, errors: FloatArray, weights: FloatArray) -> LassoCV:
    """Mean and standard error over folds; sums are exact, so that equal means stay equal."""
    share = weights / weights.sum()
    mean = np.array([fsum(column * weights) / fsum(weights) for column in errors.T])
    sd = np.sqrt((share[:, None] * (errors - mean) ** 2).sum(axis=0) / (len(weights) - 1))
    best = int(np.argmin(mean))  # penalties fall, the first of equals is the largest
    within = int(np.argmax(mean <= mean[best] + sd[best]))
    table = pd.DataFrame({"lambda": path.lambdas, "mean": mean, "sd": sd, "n_nonzero": path.n_nonzero})
    return LassoCV(path, table, float(path.lambdas[best]), float(path.lambdas[within]), best, within)
