"""Cross-validation of a penalty with given folds, as cv.glmnet."""

from __future__ import annotations

from math import fsum
from typing import Any

import numpy as np
import pandas as pd
from scipy import special, stats

from radsupport.checks import FloatArray, IntArray, as_binary
from radsupport.errors import InputError, NotEstimableError
from radsupport.modelling.fitted import check_choice, settled
from radsupport.modelling.lasso import LassoCV, LassoPath, lasso_binomial, lasso_cox
from radsupport.modelling.penalised import CoxLoss
from radsupport.report.wording import counted
from radsupport.survival.concordance import concordance
from radsupport.survival.partial_likelihood import risk_sets
from radsupport.survival.times import survival_times

BINOMIAL_MEASURES = ("deviance", "auc", "class", "mse")
COX_MEASURES = ("deviance", "C")

_CLIP = 1e-5  # glmnet keeps predicted probabilities this far from 0 and 1
_SMALL_FOLD = 10  # subjects per fold that glmnet wants for an AUC


def cv_lasso_binomial(features: Any, y: Any, folds: Any, measure: str = "deviance", **settings: Any) -> LassoCV:
    """Choose the penalty of a logistic LASSO or elastic net by cross-validation (cv.glmnet, family "binomial").

    Each fold fits its own path (own automatic penalties unless `lambdas` are given) to the other subjects; its
    coefficients are interpolated at the penalties of the path of all subjects, as cv.glmnet does by default.

    Parameters
    ----------
    features : DataFrame or array, shape (n, p)
    y : array-like, shape (n,)
    folds : array-like, shape (n,)
        Which fold each subject is left out in (glmnet's ``foldid``); at least three folds.
    measure : {"deviance", "auc", "class", "mse"}
        Error per left-out subject: deviance with probabilities clipped at 1e-5; AUC within the fold; misclassification
        at 0.5; squared error summed over both classes (twice the Brier score).
    **settings
        alpha, lambdas, n_lambdas, min_ratio as `radsupport.modelling.lasso.lasso_binomial`.

    Returns
    -------
    LassoCV
        ``mean`` is the mean over folds weighted by their sizes, ``sd`` its standard error.

    Raises
    ------
    InputError
        Fewer than three folds, or an AUC with fewer than 10 subjects per fold.
    NotEstimableError
        A training part, or for the AUC a fold, has one class only; the fold is named.
    """
    check_choice(measure, "measure", BINOMIAL_MEASURES)
    outcome = as_binary(y, "y")
    names, code = _folds(folds, outcome.size)
    if measure == "auc" and outcome.size / len(names) < _SMALL_FOLD:
        raise InputError(f"An AUC needs at least {_SMALL_FOLD} subjects per fold; use fewer folds or the deviance.")
    table = _table(features, outcome.size)
    path = lasso_binomial(table, outcome, **settings)
    errors = np.empty((len(names), path.lambdas.size))
    for k, name in enumerate(names):
        out = code == k
        if np.unique(outcome[~out]).size < 2 or (measure == "auc" and np.unique(outcome[out]).size < 2):
            raise NotEstimableError(f"Fold {name} leaves only one class to train on or to score. Stratify the folds.")
        part = lasso_binomial(table[~out], outcome[~out], **settings)
        lp = part.linear_predictor(table[out], path.lambdas)
        errors[k] = _binomial_error(outcome[out], lp, measure)
    return _choose(path, errors, np.bincount(code).astype(float), measure)


def cv_lasso_cox(
    features: Any, time: Any, event: Any, folds: Any, measure: str = "deviance", **settings: Any
) -> LassoCV:
    """Choose the penalty of a Cox LASSO or elastic net by cross-validation (cv.glmnet, family "cox", grouped).

    Parameters
    ----------
    features : DataFrame or array, shape (n, p)
    time, event : array-like, shape (n,)
    folds : array-like, shape (n,)
        As `cv_lasso_binomial`.
    measure : {"deviance", "C"}
        Partial-likelihood deviance of all subjects minus that of the training part, per left-out event (Verweij & van
        Houwelingen 1993), folds weighted by events; or Harrell's C within the fold, folds weighted by size.
    **settings
        alpha, lambdas, n_lambdas, min_ratio as `radsupport.modelling.lasso.lasso_cox`.

    Returns
    -------
    LassoCV

    Raises
    ------
    InputError, NotEstimableError
        As `cv_lasso_binomial`; a fold or training part without events or without comparable pairs.
    """
    check_choice(measure, "measure", COX_MEASURES)
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
        if measure == "C":
            errors[k] = [concordance(times[out], events[out], settled(column)).concordance for column in lp[out].T]
        else:
            rest = _deviance(times, events, lp) - _deviance(times[~out], events[~out], lp[~out])
            errors[k] = rest / events[out].sum()
    weights = np.bincount(code, weights=None if measure == "C" else events.astype(float))
    return _choose(path, errors, weights.astype(float), measure)


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


def _binomial_error(y: IntArray, lp: FloatArray, measure: str) -> FloatArray:
    """Mean error of one fold at each penalty, shape (m,)."""
    if measure == "auc":
        n1 = int(y.sum())
        ranks = stats.rankdata(np.apply_along_axis(settled, 0, lp), axis=0)[y == 1].sum(axis=0)
        return (ranks - n1 * (n1 + 1) / 2) / (n1 * (y.size - n1))
    p = special.expit(lp)
    own = np.where(y[:, None] == 1, p, 1 - p)
    if measure == "deviance":
        each = -2 * np.log(np.clip(own, _CLIP, 1 - _CLIP))
    elif measure == "class":
        each = ((p > 0.5) != (y[:, None] == 1)).astype(float)
    else:
        each = 2 * (1 - own) ** 2
    return each.mean(axis=0)


def _deviance(time: FloatArray, event: IntArray, lp: FloatArray) -> FloatArray:
    """Cox deviance (Breslow) of each column of linear predictors."""
    loss = CoxLoss(risk_sets(time, event, "breslow"))
    ordered = lp[loss.sets.order]
    return np.array([2 * loss.n * (loss.saturated - loss.gradient(column)[0]) for column in ordered.T])


def _choose(path: LassoPath, errors: FloatArray, weights: FloatArray, measure: str) -> LassoCV:
    """Mean and standard error over folds; sums are exact, so that equal means stay equal."""
    share = weights / weights.sum()
    mean = np.array([fsum(column * weights) / fsum(weights) for column in errors.T])
    sd = np.sqrt((share[:, None] * (errors - mean) ** 2).sum(axis=0) / (len(weights) - 1))
    loss = -mean if measure in ("auc", "C") else mean
    best = int(np.argmin(loss))  # penalties fall, the first of equals is the largest
    within = int(np.argmax(loss <= loss[best] + sd[best]))
    table = pd.DataFrame({"lambda": path.lambdas, "mean": mean, "sd": sd, "n_nonzero": path.n_nonzero})
    return LassoCV(path, table, measure, float(path.lambdas[best]), float(path.lambdas[within]), best, within)
