"""A signature as one estimator: preparation, selection and learner, tuned in inner folds as a whole.

A `Combination` is a signature made of signatures: a model on their out-of-fold risks.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn import config_context
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import ParameterGrid
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from radsupport.checks import FloatArray, IntArray
from radsupport.errors import InputError
from radsupport.learning.estimators import GivenRisk
from radsupport.learning.preparation import FUNNEL, as_table
from radsupport.stats.outcome import (
    Target,
    as_target,
    discrimination,
    is_survival,
    log_odds,
    ranking,
    risk_of,
    stratified_folds,
)


class InnerPart(NamedTuple):
    """One inner fold: positions of its training and test subjects, and the columns that reach the learner."""

    train: IntArray
    test: IntArray
    inside: FloatArray
    outside: FloatArray


Fitted = tuple[list[tuple[str, Any]], pd.DataFrame]  # steps, and the columns that come out of them


@dataclass(eq=False, repr=False)
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
        As scikit-learn's ``param_grid``; empty where nothing is tuned. The best inner AUC or C-index wins, the first
        point among equals. An AUC does not see how far probabilities are shrunk: where the learner gives
        probabilities, the least log-loss decides among points whose AUC agrees to two decimals. A learner whose grid
        goes from the strongest penalty to the weakest says so (``strongest_first``) and gets the first point within
        one standard error of the best.
    inner_folds : int
        Stratified by the outcome.
    seed : int
        Of the inner folds.
    memory : str, optional
        Folder in which fitted steps, and whole fits, are kept by the hash of what is fitted and of the data: learners
        that share steps fit them once, combinations that share a part fit it once.

    Attributes
    ----------
    pipeline_ : Pipeline
        Fitted on everything given, at the chosen settings.
    features_ : list of str
        Columns that reached the learner.
    best_params_, inner_score_ : dict, float
        Chosen settings and their mean inner AUC (C-index for survival).
    tuning_ : DataFrame
        settings (JSON), inner_score, inner_sd, inner_loss (mean log-loss; NaN without probabilities) and chosen (what
        the learner was fitted with) for every point.
    funnel_ : DataFrame
        step, n_in, n_out, reasons.
    inner_risk_ : array, shape (n_subjects,)
        Each training subject's risk from the inner fold that left it out, at the chosen settings: for combinations,
        and for the scale of `pooled_score`.
    fitted_on_ : tuple
        The subjects of the table that steps and learner were fitted on (`learning.record`).
    given_ : int
        Columns of that table.
    """

    steps: Sequence[tuple[str, Any]]
    learner: Any
    grid: Sequence[dict[str, list[Any]]] = ()
    inner_folds: int = 5
    seed: int = 0
    memory: str | None = None

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
        if self.memory is None:
            return self._fit(table, target)
        asked = (list(self.steps), self.learner, list(self.grid), self.inner_folds, self.seed)

        def learnt() -> dict[str, Any]:
            return {name: value for name, value in vars(self._fit(table, target)).items() if name.endswith("_")}

        self.__dict__.update(_remembered(self.memory, "fit", (asked, table, target), learnt))
        return self

    def _fit(self, table: pd.DataFrame, target: Target) -> TunedPipeline:
        """As `fit`, without looking whether it was done before."""
        points = list(ParameterGrid(list(self.grid) or [{}]))
        inner = self._inner_parts(table, target)
        scores, ranks, risks, losses = self._inner_scores(inner, target, points)
        self.tuning_ = _tuning_table(points, scores, losses)
        best = _best(self.tuning_, len(inner), getattr(self.learner, "strongest_first", False))
        self.tuning_["chosen"] = np.arange(len(points)) == best
        self.best_params_, self.inner_score_ = points[best], float(self.tuning_["inner_score"].iloc[best])
        steps, columns = self._fit_steps(table, target)
        model = clone(self.learner).set_params(**self.best_params_)
        # A learner that tunes without its probability curve gets the inner scores to fit the curve on.
        extra = {"out_of_fold": ranks[best]} if hasattr(model, "for_tuning") else {}
        model.fit(columns.to_numpy(float), target, **extra)
        self.inner_risk_ = model.risk_of_scores(ranks[best]) if hasattr(model, "for_tuning") else risks[best]
        self.pipeline_ = Pipeline([*steps, ("learner", model)])
        self.features_ = list(columns.columns)
        self.fitted_on_, self.given_ = tuple(dict.fromkeys([*table.index, *columns.index])), table.shape[1]
        counts = [step.counted_ for _, step in steps if hasattr(step, "counted_")]
        self.funnel_ = pd.DataFrame(counts, columns=FUNNEL)
        return self

    def _inner_parts(self, X: pd.DataFrame, target: Target) -> list[InnerPart]:
        """Fit the steps in every inner fold."""
        parts = []
        for train, test in stratified_folds(target, self.inner_folds, self.seed, "inner folds", X.index):
            steps, inside = self._fit_steps(X.iloc[train], target[train])
            values = [table.to_numpy(float) for table in (inside, _transform(steps, X.iloc[test]))]
            if not all(np.isfinite(block).all() for block in values):
                raise InputError("Missing or infinite values reach the learner; put an imputation among the steps.")
            parts.append(InnerPart(train, test, *values))
        return parts

    def _inner_scores(
        self, inner: list[InnerPart], target: Target, points: list[dict[str, Any]]
    ) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Return each point's score by fold, what it ranked each subject by out of fold, its risk, and log-losses."""
        # Left out is what does not change the order (Platt's curve).
        learner = self.learner.for_tuning() if hasattr(self.learner, "for_tuning") else self.learner
        scores, ranks = np.empty((len(points), len(inner))), np.empty((len(points), len(target)))
        losses, risks = np.full(scores.shape, np.nan), np.empty(ranks.shape)
        # The parts were checked once; scikit-learn would check them again for every point.
        with config_context(assume_finite=True, skip_parameter_validation=True):
            for k, part in enumerate(inner):
                for i, model in enumerate(fit_points(learner, points, part.inside, target[part.train])):
                    ranks[i, part.test] = ranking(model, part.outside)
                    risks[i, part.test] = (
                        risk_of(model, part.outside) if hasattr(model, "decision_function") else ranks[i, part.test]
                    )
                    scores[i, k] = discrimination(target[part.test], ranks[i, part.test])
                    if hasattr(model, "predict_proba"):
                        losses[i, k] = _log_loss(target[part.test], risks[i, part.test])
        return scores, ranks, risks, losses

    def _fit_steps(self, X: pd.DataFrame, target: Target) -> Fitted:
        steps = list(self.steps)
        if self.memory is None:
            return fit_steps(steps, X, target)
        fitted: Fitted = _remembered(self.memory, "steps", (steps, X, target), lambda: fit_steps(steps, X, target))
        return fitted

    def features(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return the columns that reach the learner, for these subjects."""
        check_is_fitted(self)
        return _transform(self.pipeline_.steps[:-1], X)

    def risk(self, X: pd.DataFrame) -> FloatArray:
        """Return P(event) for a label, the learner's risk score for survival; shape (n_subjects,)."""
        return risk_of(self.pipeline_.steps[-1][1], self.features(X).to_numpy(float))


def fit_points(learner: Any, points: Sequence[dict[str, Any]], X: FloatArray, y: Target) -> list[Any]:
    """Return the learner fitted at every point of its grid, at once where it can share the work (`fit_points`)."""
    if hasattr(learner, "fit_points"):
        fitted: list[Any] = learner.fit_points(points, X, y)
        return fitted
    return [clone(learner).set_params(**point).fit(X, y) for point in points]


def _log_loss(label: IntArray, risk: FloatArray) -> float:
    """As scikit-learn's, in a hundredth of its time."""
    sure = np.finfo(float).eps
    return -float(np.log(np.clip(np.where(label == 1, risk, 1 - risk), sure, 1 - sure)).mean())


def fit_steps(steps: list[tuple[str, Any]], X: pd.DataFrame, target: Target) -> Fitted:
    """Fit the steps one after the other; return them and the columns that come out."""
    fitted = []
    for name, step in steps:
        step = clone(step)
        X = step.fit_transform(X, target)
        fitted.append((name, step))
    return fitted, X


def _remembered(folder: str, kind: str, given: Any, make: Callable[[], Any]) -> Any:
    """Return what `make` makes of what is `given`, from the folder where that was done before in this run.

    joblib.Memory prints every table it is given, and joblib's pickling in Python takes longer than most steps.
    """
    try:
        name = hashlib.sha256(pickle.dumps(given, 5)).hexdigest()
    except (pickle.PicklingError, AttributeError):  # an estimator written in a notebook's cell, in another process
        return make()
    path = Path(folder) / f"{name}.{kind}"
    if not path.is_file():
        made = pickle.dumps(make(), 5)
        partial = path.with_suffix(f".{os.getpid()}")
        partial.write_bytes(made)  # nobody but this run reads it: no waiting until it is on the disk
        partial.replace(path)
    return pickle.loads(path.read_bytes())


def _transform(steps: Sequence[tuple[str, Any]], X: pd.DataFrame) -> pd.DataFrame:
    for _, step in steps:
        X = step.transform(X)
    return X


def _best(tuning: pd.DataFrame, folds: int, strongest_first: bool) -> int:
    """Return the row to use; see `TunedPipeline` for the rule."""
    score = tuning["inner_score"].fillna(-1.0).to_numpy()
    if strongest_first:
        error = tuning["inner_sd"].fillna(0.0).to_numpy()[score.argmax()] / np.sqrt(folds)
        return int((score >= score.max() - error).argmax())
    if tuning["inner_loss"].isna().any():
        return int(score.argmax())
    level = np.round(score, 2)
    return int(np.where(level == level.max(), tuning["inner_loss"], np.inf).argmin())


def _tuning_table(points: list[dict[str, Any]], scores: FloatArray, losses: FloatArray) -> pd.DataFrame:
    settings = [json.dumps(point, sort_keys=True, default=str) for point in points]
    by_fold = pd.DataFrame(scores)
    table = pd.DataFrame({"settings": settings, "inner_score": by_fold.mean(axis=1), "inner_sd": by_fold.std(axis=1)})
    return table.assign(inner_loss=losses.mean(axis=1))


def _gives_probability(model: Any) -> bool:
    """Whether the risk of a fitted model of a label is a probability, and not a decision value."""
    model = getattr(model, "model_", model)
    pipeline = getattr(model, "meta_", model)
    learner = pipeline.pipeline_.steps[-1][1] if hasattr(pipeline, "pipeline_") else pipeline
    return hasattr(learner, "predict_proba") or not hasattr(learner, "decision_function")


def pooled_score(model: Any, risk: FloatArray, *, survival: bool) -> FloatArray:
    """Return a fold model's risks of its test subjects on the scale of its own inner out-of-fold risks.

    Each fold's model has an offset and a spread of its own: it was fitted without the very patients it ranks, so that
    where these had many events its prevalence is low, and the settings that were chosen in its inner folds shrink more
    or less. Risks of several folds that are pooled as they are rank patients by that too, which lowers the AUC: where
    there is nothing to find, below 0.5. Standardised are log-odds where the model gives probabilities, else the risk.

    Parameters
    ----------
    model : fitted estimator
        One that keeps no ``inner_risk_``, or takes a given output as it is, has no scale: its risks stay as they are.
    risk : array, shape (n_subjects,)
    survival : bool

    Returns
    -------
    array, shape (n_subjects,)
        In SDs of the model's inner out-of-fold log-odds (or risks), 0 at their mean: in the order of `risk`. No
        probability. Mean and SD come from the training part alone.
    """
    model = getattr(model, "model_", model)  # what learns from a share of the subjects holds the model inside
    inner = getattr(model, "inner_risk_", None)
    if inner is None or isinstance(getattr(model, "meta_", model).learner, GivenRisk):
        return risk
    told = not survival and _gives_probability(model)
    own, kept = (log_odds(one) if told else one for one in (risk, inner))
    spread = float(kept.std())
    return (own - kept.mean()) / (spread if spread > 1e-12 else 1.0)


def used_columns(model: Any) -> set[str]:
    """Return the columns of a patient that a fitted model looks at: those with a weight, where its learner has some."""
    if isinstance(model, Choice):
        return used_columns(model.model_)
    if isinstance(model, Combination):
        own = used_columns(model.meta_) - {name for name, _, _ in model.parts_}
        return own.union(*(used_columns(part) for _, _, part in model.parts_))
    if not hasattr(model, "pipeline_"):
        return set(getattr(model, "features_", ()))
    steps, names = dict(model.pipeline_.steps), list(model.features_)
    weights = np.asarray(getattr(steps["learner"], "coef_", ()), dtype=float).ravel()
    kept = (
        [name for name, weight in zip(names, weights, strict=True) if weight] if weights.size == len(names) else names
    )
    levels = steps["one_hot"].levels_ if "one_hot" in steps else {}
    column = {f"{name}={level}": str(name) for name, own in levels.items() for level in own}
    return {column.get(name, name) for name in kept}


Part = tuple[str, list[str], Any]


@dataclass(eq=False, repr=False)
class Combination(BaseEstimator):
    """A model on the risks of other signatures and, where given, further columns.

    The risks it is trained on are inner out-of-fold ones: the fitted parts have seen their training
    subjects, and a model trained on what they say about those would trust them too much. For new subjects
    the risks come from the parts fitted on everything, at the same settings: were the parts tuned anew in
    every inner fold, the two would differ in scale and the weights would not fit. Probabilities enter as
    log-odds, decision values and survival risks as they are.

    Parameters
    ----------
    parts : sequence of (name, columns, model)
        Signatures to combine, each with the columns it is given.
    columns : sequence of str
        Further columns that enter beside the risks (clinical ones).
    meta : TunedPipeline
        Fitted on the table of risks and columns.
    inner_folds, seed : int
        Folds for the risks of parts that do not keep their own (``inner_risk_``).

    Attributes
    ----------
    parts_ : list
        The parts fitted on everything.
    meta_ : TunedPipeline
    features_, funnel_, tuning_, inner_risk_
        Those of `meta_`.
    """

    parts: Sequence[Part]
    columns: Sequence[str]
    meta: TunedPipeline
    inner_folds: int = 5
    seed: int = 0

    def fit(self, X: pd.DataFrame, y: Any) -> Combination:
        """Fit the model on inner out-of-fold risks, and the parts on everything.

        Raises
        ------
        InputError, NotEstimableError
        """
        names = [name for name, _, _ in self.parts]
        if not names or len({*names, *self.columns}) < len(names) + len(self.columns):
            raise InputError(
                f"A combination needs parts and columns of different names; got {[*names, *self.columns]}."
            )
        table, target = as_table(X), as_target(y)
        self._survival = is_survival(target)
        self.parts_: list[Part] = []
        risks = {}
        for name, columns, model in self.parts:
            fitted, risks[name] = self._fit_part(model, table[columns], target)
            self.parts_.append((name, columns, fitted))
        self.meta_ = clone(self.meta).fit(self._meta_table(risks, table), target)
        self.inner_risk_ = self.meta_.inner_risk_
        self.features_, self.funnel_, self.tuning_ = self.meta_.features_, self.meta_.funnel_, self.meta_.tuning_
        return self

    def _fit_part(self, model: Any, X: pd.DataFrame, target: Target) -> tuple[Any, FloatArray]:
        """Return the part fitted on everything, and inner out-of-fold risks."""
        fitted = clone(model).fit(X, target)
        if hasattr(fitted, "inner_risk_"):
            return fitted, fitted.inner_risk_
        risk = np.empty(len(X))
        for train, test in stratified_folds(target, self.inner_folds, self.seed, "inner folds", X.index):
            risk[test] = risk_of(clone(model).fit(X.iloc[train], target[train]), X.iloc[test])
        return fitted, risk

    def _meta_table(self, risks: dict[str, FloatArray], X: pd.DataFrame) -> pd.DataFrame:
        if not self._survival:
            known = [name for name, _, model in self.parts_ if _gives_probability(model)]
            risks |= {name: log_odds(risks[name]) for name in known}
        return pd.concat([pd.DataFrame(risks, index=X.index), X[list(self.columns)]], axis=1)

    def part_risks(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return the risks of the parts for these subjects, one column each."""
        check_is_fitted(self)
        return pd.DataFrame({name: risk_of(model, X[columns]) for name, columns, model in self.parts_}, index=X.index)

    def risk(self, X: pd.DataFrame) -> FloatArray:
        """Return the combined risk, shape (n_subjects,)."""
        return self.meta_.risk(self._entered(X))

    def features(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return the columns that reach the model on the parts, for these subjects."""
        return self.meta_.features(self._entered(X))

    def _entered(self, X: pd.DataFrame) -> pd.DataFrame:
        risks = {str(name): column.to_numpy(float) for name, column in self.part_risks(as_table(X)).items()}
        return self._meta_table(risks, X)


@dataclass(eq=False, repr=False)
class Choice(BaseEstimator):
    """One of several signatures, chosen by inner folds that no grid inflates; the choice belongs to the fit.

    Every candidate is fitted, tuning and all, in the training parts of inner folds that are drawn several times, and
    scored on those left out: a candidate with many settings is not the better for having had more draws, as it would be
    by its own best inner score. Taken is the first candidate, in the order given, whose mean score is within one
    standard error of the best: the plainest belongs first. An outer cross-validation repeats the choice in every fold.

    Parameters
    ----------
    parts : sequence of (name, columns, model)
        Candidates, each with the columns it is given.
    inner_folds, seed : int
    repeats : int
        How often the inner folds are drawn. The standard error is that of one drawing: more of them share patients, and
        do not make the score that much surer.

    Attributes
    ----------
    chosen_ : str
    model_ : the chosen candidate, fitted on everything; what it learnt stands here, too (``features_`` and so on).
    tuning_ : DataFrame
        settings (name of the candidate), inner_score, inner_sd (over folds), chosen.
    """

    parts: Sequence[Part]
    inner_folds: int = 5
    seed: int = 0
    repeats: int = 2

    def fit(self, X: pd.DataFrame, y: Any) -> Choice:
        """Score the candidates in repeated inner folds, then fit the chosen one on everything.

        Raises
        ------
        NotEstimableError, InputError
        """
        table, target = as_table(X), as_target(y)
        scores = np.array([self._scores(columns, model, table, target) for _, columns, model in self.parts])
        mean, sd = scores.mean(axis=1), scores.std(axis=1, ddof=1)
        best = int(mean.argmax())
        taken = int((mean >= mean[best] - sd[best] / np.sqrt(self.inner_folds)).argmax())
        self.chosen_, self.columns_, model = self.parts[taken]
        self.model_ = clone(model).fit(table[self.columns_], target)
        self.__dict__.update({name: one for name, one in vars(self.model_).items() if name.endswith("_")})
        self.tuning_ = pd.DataFrame({"settings": [name for name, _, _ in self.parts], "inner_score": mean})
        self.tuning_ = self.tuning_.assign(inner_sd=sd, inner_loss=np.nan, chosen=np.arange(len(mean)) == taken)
        self.inner_score_ = float(mean[taken])
        return self

    def _scores(self, columns: list[str], model: Any, X: pd.DataFrame, target: Target) -> list[float]:
        """Return the candidate's score in each inner fold of every drawing."""
        found = []
        for repeat in range(self.repeats):
            for train, test in stratified_folds(
                target, self.inner_folds, self.seed + repeat, "inner folds", X.index
            ):  # fmt: skip
                fitted = clone(model).fit(X[columns].iloc[train], target[train])
                found.append(discrimination(target[test], risk_of(fitted, X[columns].iloc[test])))
        return found

    def risk(self, X: pd.DataFrame) -> FloatArray:
        """Return the risk by the chosen candidate, shape (n_subjects,)."""
        check_is_fitted(self)
        return risk_of(self.model_, X[self.columns_])

    def features(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return the columns that reach the learner of the chosen candidate, for these subjects."""
        check_is_fitted(self)
        found: pd.DataFrame = self.model_.features(X[self.columns_])
        return found
