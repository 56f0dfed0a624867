"""The honest engine: everything is fitted in the training part of a fold and judged outside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from radsupport.checks import FloatArray, IntArray
from radsupport.errors import InputError, NotEstimableError, Problem
from radsupport.learning.tuning import pooled_score
from radsupport.parallel import one_thread, spread
from radsupport.stats.outcome import Target, as_target, discrimination, fold_numbers, is_survival, risk_of, strata

PipelineFactory = Callable[[int, int], Any]
External = Literal["mean_of_folds", "refit"]
Pooling = Literal["raw", "standardised"]


@dataclass(frozen=True)
class FoldTables:
    """Features that were themselves learnt per fold (a network fine-tuned on the training part).

    Attributes
    ----------
    by_fold : mapping of fold to DataFrame
        Features of all subjects, computed with what was learnt without that fold's test subjects.
    refit : DataFrame
        The same, learnt on all training subjects: for the refit.
    """

    by_fold: Mapping[int, pd.DataFrame]
    refit: pd.DataFrame

    def fold(self, number: int) -> pd.DataFrame:
        """Return the table of one fold."""
        if number not in self.by_fold:
            raise InputError(f"There is no feature table for fold {number}; there are {sorted(self.by_fold)}.")
        return self.by_fold[number]


Table = pd.DataFrame | FoldTables


@dataclass(frozen=True)
class CrossValidation:
    """What came out of the folds.

    Attributes
    ----------
    risks : DataFrame
        Out-of-fold: subject, repeat, fold, risk, score (`tuning.pooled_score`). Each subject once per repeat.
    models : list (repeats) of dict (fold -> fitted model)
    refit : fitted model or None
        The same factory on all subjects.
    apparent : Series
        Risk of the refit for its own training subjects (optimistic); empty without refit.
    funnel : DataFrame
        repeat, fold, step, n_in, n_out, reasons; fold is NaN for the refit.
    tuning : DataFrame
        repeat, fold, settings, inner_score, inner_sd, chosen.
    by_repeat : DataFrame
        repeat, score: AUC (or C-index) of the pooled out-of-fold risks, or scores; its spread is that of the split.
    """

    risks: pd.DataFrame
    models: list[dict[int, Any]]
    refit: Any
    apparent: pd.Series
    funnel: pd.DataFrame
    tuning: pd.DataFrame
    by_repeat: pd.DataFrame

    def inner_score(self) -> float:
        """Return the mean over folds of the inner score at the chosen settings: the one to choose learners by."""
        chosen = self.tuning[self.tuning["chosen"] & self.tuning["fold"].notna()]
        return float(chosen["inner_score"].mean())

    def external_risk(self, X: Table, how: External = "mean_of_folds") -> pd.Series:
        """Return the risk of subjects outside the cross-validation.

        Parameters
        ----------
        X : DataFrame or FoldTables
            Their features.
        how : {"mean_of_folds", "refit"}
            Mean of the first repeat's fold models (Song 2021, eq. 3), or the model fitted on everyone.
        """
        if how not in ("mean_of_folds", "refit") or (how == "refit" and self.refit is None):
            raise InputError(
                f"External risk by {how!r} is not possible; use 'mean_of_folds', or 'refit' after a refit."
            )
        if how == "refit":
            table = X.refit if isinstance(X, FoldTables) else X
            return pd.Series(risk_of(self.refit, table), table.index)
        return self.fold_risks(X).mean(axis=1)

    def fold_risks(self, X: Table) -> pd.DataFrame:
        """Return the risk of subjects outside the cross-validation by each model of the first repeat's folds."""
        tables = {k: X.fold(k) if isinstance(X, FoldTables) else X for k in self.models[0]}
        risks = {k: pd.Series(risk_of(model, tables[k]), tables[k].index) for k, model in self.models[0].items()}
        return pd.DataFrame(risks)


def cross_validate(
    X: Table,
    y: pd.Series | pd.DataFrame,
    pipeline_factory: PipelineFactory,
    *,
    folds: int | pd.Series = 10,
    inner_folds: int = 5,
    repeats: int = 1,
    seed: int = 0,
    n_jobs: int = 1,
    refit: bool = True,
    pooling: Pooling = "raw",
) -> CrossValidation:
    """Cross-validate a model, everything it learns included.

    Parameters
    ----------
    X : DataFrame or FoldTables
        Features indexed by subject; missing values are the pipeline's business, infinite ones are refused.
    y : Series of 0/1, or DataFrame with columns time and event
        Indexed by the same subjects, in any order.
    pipeline_factory : callable (inner_folds, seed) -> unfitted model
        The model has `fit` and `risk`, `predict_proba` or (survival) `predict`.
    folds : int or Series
        Number of stratified folds, drawn anew in every repeat; or the fold of each subject, used in all.
    inner_folds : int
        Given to the factory; the training parts must be able to hold so many.
    repeats : int
        Repeat r uses the seed `seed` + r; repeats show the spread due to the split.
    seed : int
    n_jobs : int
        Processes over folds. The result does not depend on it.
    refit : bool
        Also fit on everyone (apparent and "refit" external risks).
    pooling : {"raw", "standardised"}
        Whether patients of different folds are ranked by their risks, or by their scores, in `by_repeat`.

    Raises
    ------
    InputError, NotEstimableError
        Subjects that do not match, infinite values, or an outcome too rare for the folds asked for.
    """
    target, tables = _aligned(X, y)
    if isinstance(X, FoldTables) and not isinstance(folds, pd.Series):
        raise InputError("Features that were learnt per fold need `folds` to be the Series they were learnt with.")
    numbers = [_fold_numbers(y, target, folds, seed + r) for r in range(repeats)]
    for number in numbers:
        _check_training_parts(target, number, inner_folds)
    jobs = [(r, k) for r, number in enumerate(numbers) for k in np.unique(number)]
    calls = ((tables.fold(k), target, numbers[r] == k, pipeline_factory(inner_folds, seed + r)) for r, k in jobs)
    fitted = spread(_fit_fold, calls, n_jobs)
    with one_thread():
        whole = pipeline_factory(inner_folds, seed).fit(tables.refit, target) if refit else None
    return _collect(tables, target, jobs, numbers, fitted, whole, "risk" if pooling == "raw" else "score")


class _OneTable(FoldTables):
    """The same features in every fold."""

    def fold(self, number: int) -> pd.DataFrame:
        return self.refit


def _aligned(X: Table, y: pd.Series | pd.DataFrame) -> tuple[Target, FoldTables]:
    """Return the outcome and the tables in the outcome's order of subjects."""
    tables = X if isinstance(X, FoldTables) else _OneTable({}, X)
    for table in [tables.refit, *tables.by_fold.values()]:
        _check_table(table, y)
    by_fold = {k: table.loc[y.index] for k, table in tables.by_fold.items()}
    return as_target(y), type(tables)(by_fold, tables.refit.loc[y.index])


def _check_table(table: pd.DataFrame, y: pd.Series | pd.DataFrame) -> None:
    problems = []
    for name, index in (("X", table.index), ("y", y.index)):
        twice = index[index.duplicated()].unique()
        if len(twice):
            problems.append(Problem(f"{name} has subjects twice", value=", ".join(map(str, twice[:10]))))
    for here, there, name in ((table.index, y.index, "y"), (y.index, table.index, "X")):
        lacking = here.difference(there)
        if len(lacking):
            problems.append(Problem(f"{name} lacks subjects", value=", ".join(map(str, lacking[:10]))))
    numeric = table.select_dtypes("number")
    infinite = numeric.columns[np.isinf(numeric.to_numpy(float)).any(axis=0)]
    if len(infinite):
        what = "infinite values: make them missing, or drop the column"
        problems.append(Problem(what, column=", ".join(map(str, infinite[:10]))))
    if problems:
        raise InputError("Features and outcome can not be cross-validated.", problems)


def _fold_numbers(y: Any, target: Target, folds: int | pd.Series, seed: int) -> IntArray:
    if not isinstance(folds, pd.Series):
        return fold_numbers(target, folds, seed)
    number = folds.reindex(y.index)
    if number.isna().any():
        raise InputError(f"`folds` lacks {int(number.isna().sum())} of the subjects of `y`.")
    if number.nunique() < 2:
        raise InputError("`folds` needs two or more different folds.")
    return number.to_numpy(np.int64)


def _check_training_parts(target: Target, number: IntArray, inner_folds: int) -> None:
    """Say before anything runs that a training part is too small for the inner folds."""
    for k in np.unique(number):
        counts = np.bincount(strata(target)[number != k], minlength=2)
        needed = counts[1:] if is_survival(target) else counts  # of a follow-up events, censored or not
        if needed.min() < max(inner_folds, 2):
            each = "events" if is_survival(target) else "of each"
            raise NotEstimableError(
                f"Without fold {k} the training part has {counts[1]} subjects with and {counts[0]} without the event; "
                f"{inner_folds} inner folds need as many {each}. Use fewer inner folds, or fewer outer ones."
            )


def _fit_fold(table: pd.DataFrame, target: Target, test: Any, model: Any) -> tuple[Any, FloatArray]:
    """Fit on what is not `test`; return the model and the risk of `test`."""
    with one_thread():
        model.fit(table[~test], target[~test])
        return model, risk_of(model, table[test])


def _collect(
    tables: FoldTables,
    target: Target,
    jobs: list[tuple[int, Any]],
    numbers: list[IntArray],
    fitted: Any,
    whole: Any,
    by: str,
) -> CrossValidation:
    subjects, survival = tables.refit.index, is_survival(target)
    models: list[dict[int, Any]] = [{} for _ in numbers]
    risks, places = [], []
    for (repeat, fold), (model, risk) in zip(jobs, fitted, strict=True):
        models[repeat][int(fold)] = model
        places.append((model, {"repeat": repeat, "fold": float(fold)}))
        where = {"repeat": repeat, "fold": int(fold)}
        score = pooled_score(model, risk, survival=survival)
        subject = subjects[numbers[repeat] == fold]
        risks.append(pd.DataFrame({"subject": subject, **where, "risk": risk, "score": score}))
    apparent = pd.Series(dtype=float)
    if whole is not None:
        apparent = pd.Series(risk_of(whole, tables.refit), subjects)
        places.append((whole, {"repeat": 0, "fold": np.nan}))
    pooled = pd.concat(risks, ignore_index=True)
    scores = [
        {"repeat": repeat, "score": discrimination(target, group.set_index("subject")[by].loc[subjects].to_numpy())}
        for repeat, group in pooled.groupby("repeat")
    ]
    funnels = [getattr(model, "funnel_", pd.DataFrame()).assign(**place) for model, place in places]
    tunings = [_tuning(model, place) for model, place in places]
    funnel, tuning = (pd.concat(rows, ignore_index=True) for rows in (funnels, tunings))
    return CrossValidation(pooled, models, whole, apparent, funnel, tuning, pd.DataFrame(scores))


def _tuning(model: Any, place: dict[str, Any]) -> pd.DataFrame:
    table: pd.DataFrame = getattr(model, "tuning_", pd.DataFrame()).assign(**place)
    return table.assign(inner_score=[], chosen=[]) if table.empty else table
