"""Prediction sets of a two-class outcome that are right as often as they promise, whatever the model is worth.

A patient's set holds every outcome that is not too odd for that risk: an outcome is left out where few patients who had
it, none of whom their model had seen, were as odd. Sets are made per class (label-conditional, "Mondrian"): with a rare
outcome a set that is right in 90% of all patients could miss every event. Own code: mapie's cross-conformal classifier
(1.6) fits its models itself, in folds of its own, and knows no weights for censoring.

References: Vovk, Gammerman & Shafer, Algorithmic Learning in a Random World, 2005 (chapter 4.5); Romano, Sesia & Candès
2020, NeurIPS 33:3581 (CV+ sets); Tibshirani et al. 2019, NeurIPS 32 (weights).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from radsupport.checks import FloatArray, as_binary, as_finite
from radsupport.errors import InputError

#: What a set says: nothing fits, one outcome only, or both.
NEITHER, ONLY_NONE, ONLY_EVENT, BOTH = "neither", "no event", "event", "both"


def conformal_p(known: Any, new: Any, weights: Any) -> FloatArray:
    """Return how odd new patients are among known ones, each counted with its weight; shape (m,).

    Parameters
    ----------
    known : array-like, shape (n,)
        Oddness of the known patients; larger is odder.
    new : array-like, shape (m, n) or (m, 1)
        Oddness of each new patient, by the model that left out the known patient it is compared with (CV+).
    weights : array-like, shape (n,) or (m, n)
        For how many patients each known one stands (1 / G under censoring); 0 leaves it out.

    Notes
    -----
    (w + sum of w_i over a_i >= a) / (w + sum of w_i), w being the largest weight: a new patient's own is not known.
    """
    odd = np.asarray(known, dtype=float)[None, :] >= np.asarray(new, dtype=float)
    weight = np.broadcast_to(np.asarray(weights, dtype=float), odd.shape)
    own = weight.max(axis=1, initial=0.0)
    own = np.where(own > 0, own, 1.0)
    found: FloatArray = (own + (weight * odd).sum(axis=1)) / (own + weight.sum(axis=1))
    return found


def class_p(risk: Any, label: Any, fold: Any, new: Any = None, weights: Any = None) -> FloatArray:
    """Return the p-value of "no event" and of "event" for each patient, shape (m, 2).

    Parameters
    ----------
    risk : array-like, shape (n,)
        Out-of-fold risk of the known patients; higher towards the event. Only its order matters.
    label : array-like of 0/1, shape (n,)
    fold : array-like, shape (n,)
        The fold that each known patient was left out in.
    new : array-like, shape (m, folds), optional
        Risk of new patients by the model of each fold, in the folds' order. Without it the known patients themselves
        are judged, each among those of the other folds.
    weights : array-like, shape (n,), optional
        As of `conformal_p`; 0 for patients whose outcome is not known.

    Raises
    ------
    InputError, NotEstimableError
        Missing values, unequal lengths, one class only, or not one column of `new` per fold.
    """
    labels = as_binary(label)
    scores = as_finite(risk, "risk", labels.size)
    weight = np.ones(labels.size) if weights is None else as_finite(weights, "weights", labels.size)
    folds, place = np.unique(np.asarray(fold), return_inverse=True)
    if new is None:
        against, own = scores[:, None], place[:, None] != place[None, :]
    else:
        by_fold = np.asarray(new, dtype=float)
        if by_fold.ndim != 2 or by_fold.shape[1] != folds.size or not np.isfinite(by_fold).all():
            raise InputError(
                f"`new` must have a finite risk by each of the {folds.size} folds; its shape is {by_fold.shape}."
            )
        against, own = by_fold[:, place], np.ones((len(by_fold), labels.size), dtype=bool)
    odd = {0: 1.0, 1: -1.0}  # without an event a high risk is odd, with one a low risk
    found = [conformal_p(sign * scores, sign * against, own * weight * (labels == k)) for k, sign in odd.items()]
    return np.column_stack(found)


def set_words(p: Any, alpha: float = 0.1) -> list[str]:
    """Return what each patient's set says at the level 1 - `alpha`, from the p-values of `class_p`."""
    if not 0 < alpha < 1:
        raise InputError(f"`alpha` must lie between 0 and 1, it is {alpha:g}; 0.1 is usual.")
    words = {(False, False): NEITHER, (True, False): ONLY_NONE, (False, True): ONLY_EVENT, (True, True): BOTH}
    return [words[bool(none), bool(event)] for none, event in np.asarray(p) > alpha + 1e-12]
