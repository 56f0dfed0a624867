"""One way to handle both endpoints: a 0/1 label, or follow-up time with an event."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import logit
from scipy.stats import rankdata
from sklearn.base import is_classifier
from sklearn.model_selection import StratifiedKFold
from sksurv.util import Surv

from radsupport.checks import FloatArray, IntArray, as_binary, as_survival, tied
from radsupport.errors import NotEstimableError
from radsupport.stats.concordance import harrell

Target = npt.NDArray[Any]


def as_target(y: Any) -> Target:
    """Return the outcome as the estimators take it.

    Parameters
    ----------
    y : Series or array of 0/1, or DataFrame with columns time and event, or an array made by this function

    Returns
    -------
    array, shape (n_subjects,)
        Integers, or scikit-survival's structured array with fields event and time.

    Raises
    ------
    InputError, NotEstimableError
    """
    if isinstance(y, pd.DataFrame):
        time, event = as_survival(y["time"], y["event"], any_event=True)
        return Surv.from_arrays(event.astype(bool), time, name_event="event", name_time="time")
    array = np.asarray(y)
    return array if array.dtype.names else as_binary(array, "y")


def is_survival(target: Target) -> bool:
    """Whether the outcome is a time to event."""
    return target.dtype.names is not None


def strata(target: Target) -> IntArray:
    """Return what folds are stratified by: the label, or the event."""
    return (target["event"] if is_survival(target) else target).astype(np.int64)


def stratified_folds(
    target: Target, n_folds: int, seed: int, what: str = "folds", subjects: pd.Index | None = None
) -> list[tuple[IntArray, IntArray]]:
    """Return (training, test) positions of stratified folds.

    Parameters
    ----------
    target : array, shape (n_rows,)
    n_folds, seed : int
    what : str
        What they are called in a message.
    subjects : Index, optional
        Of each row: one who occurs several times (in a bootstrap sample) is in one fold only, or they would be
        predicted by a model that had seen them.

    Raises
    ------
    NotEstimableError
        The smaller class of a label, or the events of a follow-up, are fewer than the folds, so that one would lack
        them. A fold in which nobody is censored is none the worse.
    """
    if subjects is not None and not subjects.is_unique:
        first = ~subjects.duplicated()
        place = subjects[first].get_indexer(subjects)
        parts = stratified_folds(target[first], n_folds, seed, what)
        return [(np.flatnonzero(np.isin(place, a)), np.flatnonzero(np.isin(place, b))) for a, b in parts]
    groups = strata(target)
    sizes = np.bincount(groups, minlength=2)
    smallest = int(sizes[1] if is_survival(target) else sizes.min())
    if n_folds < 2 or smallest < n_folds:
        why = f"the smaller of the two outcome groups has {smallest}, so a fold would hold one class only"
        why = f"{smallest} had the event, so a fold would hold none" if is_survival(target) else why
        raise NotEstimableError(
            f"{n_folds} {what} can not be made of {len(groups)} subjects: {why}. Use between 2 and {smallest} {what}."
        )
    splitter = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class")  # the censored ones
        return list(splitter.split(np.zeros(len(groups)), groups))


def fold_numbers(target: Target, n_folds: int, seed: int, subjects: pd.Index | None = None) -> IntArray:
    """Return the fold (0 … n_folds - 1) that each row is tested in; as `stratified_folds`."""
    number = np.empty(len(target), dtype=np.int64)
    for k, (_, test) in enumerate(stratified_folds(target, n_folds, seed, subjects=subjects)):
        number[test] = k
    return number


def ranking(model: Any, X: Any) -> FloatArray:
    """Return what orders subjects by risk: the decision value where there is one, else the risk."""
    if hasattr(model, "decision_function"):
        return np.asarray(model.decision_function(X), dtype=float)
    return risk_of(model, X)


def risk_of(model: Any, X: Any) -> FloatArray:
    """Return the risk: the probability of the event, or a survival model's risk score; shape (n_subjects,).

    A classifier that gives no probability is taken by its decision value.
    """
    if hasattr(model, "risk"):
        return np.asarray(model.risk(X), dtype=float)
    if hasattr(model, "predict_proba"):
        return np.asarray(model.predict_proba(X)[:, 1], dtype=float)
    if is_classifier(model):
        return np.asarray(model.decision_function(X), dtype=float)
    return np.asarray(model.predict(X), dtype=float)


def log_odds(probability: Any) -> FloatArray:
    """Return log odds of probabilities, those of exactly 0 and 1 taken as one in a million."""
    values: FloatArray = logit(np.clip(np.asarray(probability, dtype=float), 1e-6, 1 - 1e-6))
    return values


def discrimination(target: Target, risk: FloatArray) -> float:
    """Return AUC (label) or Harrell's C (survival); NaN where no pair can be compared."""
    if is_survival(target):
        # Risks that differ by rounding only are equal, as scikit-survival has it: its loop takes ten times as long.
        return harrell(target["time"], target["event"].astype(np.int64), tied(risk, within=1e-8))
    n1 = int(target.sum())
    n0 = len(target) - n1
    if not n1 or not n0:
        return float("nan")
    # Mann-Whitney form of the AUC: a tenth of the time of scikit-learn's, and this runs per grid point.
    return float((rankdata(tied(risk))[target == 1].sum() - n1 * (n1 + 1) / 2) / (n1 * n0))


def assign_folds(y: pd.Series | pd.DataFrame, folds: int, seed: int) -> pd.Series:
    """Return the fold (0 … folds - 1) that each subject is tested in, stratified by the outcome.

    For features that are learnt per fold: learn them with these folds, then give the folds to `cross_validate`.

    Parameters
    ----------
    y : Series of 0/1 or DataFrame with time and event, indexed by subject
    folds : int
    seed : int
    """
    return pd.Series(fold_numbers(as_target(y), folds, seed), index=y.index, name="fold")
