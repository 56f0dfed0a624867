"""A signature as one estimator: preparation, selection and learner, tuned in inner folds as a whole."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import ParameterGrid
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from radsupport.checks import FloatArray
from radsupport.modelling.endpoint import Target, as_target, discrimination, ranking, risk_of, stratified_folds
from radsupport.modelling.preparation import as_table

FUNNEL = ["step", "n_in", "n_out", "reasons"]


class TunedPipeline(BaseEstimator):
    """Steps and a learner whose settings are chosen by inner cross-validation of the whole chain.

    The steps are refitted in every inner fold, so the inner score is honest about selection too and may
    be used to choose among learners. This is scikit-learn's ``GridSearchCV`` over a ``Pipeline``, except
    that the steps are fitted once per inner fold and not once per grid point (own code for that reason:
    with 1 100 features and 132 grid points it is a hundred times faster).

    Parameters
    ----------
    steps : sequence of (name, transformer)
        Fitted in order; DataFrame in, DataFrame out.
    learner : estimator
        Gets the columns that are left, as an array.
    grid : sequence of dict
        As scikit-learn's ``param_grid``; empty where nothing is tuned. First point wins ties.
    inner_folds : int
        Stratified by the outcome.
    seed : int
        Of the inner folds.

    Attributes
    ----------
    pipeline_ : Pipeline
        Fitted on everything given, at the chosen settings.
    features_ : list of str
        Columns that reached the learner.
    best_params_, inner_score_ : dict, float
        Chosen settings and their mean inner AUC (C-index for survival).
    tuning_ : DataFrame
        settings (JSON), inner_score, inner_sd for every grid point.
    funnel_ : DataFrame
        step, n_in, n_out, reasons.
    """

    def __init__(
        self,
        steps: Sequence[tuple[str, Any]],
        learner: Any,
        grid: Sequence[dict[str, list[Any]]] = (),
        inner_folds: int = 5,
        seed: int = 0,
    ) -> None:
        self.steps = steps
        self.learner = learner
        self.grid = grid
        self.inner_folds = inner_folds
        self.seed = seed

    def fit(self, X: pd.DataFrame, y: Any) -> TunedPipeline:
        """Choose the settings in inner folds, then fit steps and learner on everything.

        Raises
        ------
        NotEstimableError
            The smaller class has fewer subjects than `inner_folds`.
        InputError
            A step or the learner can not use the table.
        """
        table, target = as_table(X), as_target(y)
        points = list(ParameterGrid(list(self.grid) or [{}]))
        scores, ranks = self._inner_scores(table, target, points)
        self.tuning_ = _tuning_table(points, scores)
        best = int(self.tuning_["inner_score"].fillna(-1.0).to_numpy().argmax())
        self.best_params_, self.inner_score_ = points[best], float(self.tuning_["inner_score"].iloc[best])
        steps, columns = self._fit_steps(table, target)
        model = clone(self.learner).set_params(**self.best_params_)
        # A learner that tunes without its probability curve gets the inner scores to fit the curve on.
        extra = {"out_of_fold": ranks[best]} if hasattr(model, "for_tuning") else {}
        model.fit(columns.to_numpy(float), target, **extra)
        self.pipeline_ = Pipeline([*steps, ("learner", model)])
        self.features_ = list(columns.columns)
        counts = [step.counts_ for _, step in steps if hasattr(step, "counts_")]
        self.funnel_ = pd.concat(counts, ignore_index=True) if counts else pd.DataFrame(columns=FUNNEL)
        return self

    def _inner_scores(
        self, X: pd.DataFrame, target: Target, points: list[dict[str, Any]]
    ) -> tuple[FloatArray, FloatArray]:
        """Return the score of every point in every fold, and what it ranked each subject by out of fold."""
        folds = stratified_folds(target, self.inner_folds, self.seed, "inner folds")
        models = [_for_tuning(clone(self.learner).set_params(**point)) for point in points]
        scores, ranks = np.empty((len(points), len(folds))), np.empty((len(points), len(X)))
        for k, (train, test) in enumerate(folds):
            steps, inside = self._fit_steps(X.iloc[train], target[train])
            outside = _transform(steps, X.iloc[test]).to_numpy(float)
            known = inside.to_numpy(float)
            for i, model in enumerate(models):
                model.fit(known, target[train])
                ranks[i, test] = ranking(model, outside)
                scores[i, k] = discrimination(target[test], ranks[i, test])
        return scores, ranks

    def _fit_steps(self, X: pd.DataFrame, target: Target) -> tuple[list[tuple[str, Any]], pd.DataFrame]:
        fitted = []
        for name, step in self.steps:
            step = clone(step)
            X = step.fit_transform(X, target)
            fitted.append((name, step))
        return fitted, X

    def features(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return the columns that reach the learner, for these subjects."""
        check_is_fitted(self)
        return _transform(self.pipeline_.steps[:-1], X)

    def risk(self, X: pd.DataFrame) -> FloatArray:
        """Return P(event) for a label, the learner's risk score for survival; shape (n_subjects,)."""
        return risk_of(self.pipeline_.steps[-1][1], self.features(X).to_numpy(float))


def _transform(steps: Sequence[tuple[str, Any]], X: pd.DataFrame) -> pd.DataFrame:
    for _, step in steps:
        X = step.transform(X)
    return X


def _for_tuning(model: Any) -> Any:
    """Leave out what does not change the order of subjects (Platt's curve)."""
    return model.for_tuning() if hasattr(model, "for_tuning") else model


def _tuning_table(points: list[dict[str, Any]], scores: FloatArray) -> pd.DataFrame:
    settings = [json.dumps(point, sort_keys=True, default=str) for point in points]
    by_fold = pd.DataFrame(scores)
    return pd.DataFrame({"settings": settings, "inner_score": by_fold.mean(axis=1), "inner_sd": by_fold.std(axis=1)})
