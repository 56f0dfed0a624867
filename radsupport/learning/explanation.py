"""What carries a prediction: SHAP values of each patient by the model of the fold that had not seen them.

The background of a fold is what its model was trained on. Explained is the log-odds of a label's risk, or a survival
model's risk score, over the columns that reach the learner; of a combination over its parts and own columns. Linear
learners have the closed form (shap's LinearExplainer), boosted trees the exact tree algorithm, all others permutations.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import GradientBoostingClassifier

from radsupport.checks import FloatArray
from radsupport.learning.assembly import Assembly, whole_table
from radsupport.learning.crossval import CrossValidation, FoldTables
from radsupport.learning.inspection import linear_coefficients, readable_features
from radsupport.stats.outcome import log_odds, risk_of
from radsupport.wording import counted

__all__ = [
    "dependence", "explain", "extremes", "patient", "readable_features", "score", "shap_values", "strongest",
]  # fmt: skip

LINEAR, TREES, PERMUTED = "linear", "tree", "permutation"
_BACKGROUND, _PERMUTATIONS = 50, 5  # patients that stand for the training part, and orders tried, where permuted
_SURE = 13.0  # log-odds beyond which a risk is taken as one in a million


def score(learner: Any, Z: FloatArray) -> FloatArray:
    """Return what is explained: the log-odds where the learner gives probabilities, else its risk; shape (n,)."""
    risk = risk_of(learner, Z)
    return log_odds(risk) if hasattr(learner, "predict_proba") else risk


def _shap() -> Any:
    """Import shap where it is asked for: two tenths of a second, for one page.

    Its loops are left to Python: to compile them takes five seconds, and saves none on the patients of a study.
    """
    from numba import config

    settings: Any = config
    compiled, settings.DISABLE_JIT = settings.DISABLE_JIT, True
    try:
        with warnings.catch_warnings():
            # shap 0.51 sets colours in a way that matplotlib 3.11 is going to deprecate; its pictures are not used here
            # and its progress bars, which are not used either, miss ipywidgets in a kernel
            warnings.filterwarnings("ignore", "IProgress not found")
            warnings.filterwarnings("ignore", "The set_(bad|over|under) function", PendingDeprecationWarning)
            import shap
    finally:
        settings.DISABLE_JIT = compiled
    return shap


def shap_values(learner: Any, Z: FloatArray, background: FloatArray, seed: int = 0) -> tuple[FloatArray, float, str]:
    """Return SHAP values of subjects, the base value, and how they were found.

    Parameters
    ----------
    learner : fitted estimator
    Z, background : array, shape (n, p) and (m, p)
        Columns as the learner was given them.
    seed : int
        Of the permutations.

    Returns
    -------
    values : array, shape (n, p)
        Base value plus the sum of a row is the row's `score`.
    base : float
    explainer : {"linear", "tree", "permutation"}
    """
    shap = _shap()
    if Z.shape[1] == 0:
        return np.zeros(Z.shape), float(score(learner, background[:1])[0]), LINEAR
    coefs = linear_coefficients(learner)
    if coefs is not None:
        reached = score(learner, background)
        middle = int(np.argsort(np.abs(reached))[0])
        intercept = float(reached[middle] - background[middle] @ coefs)
        line = intercept + background @ coefs
        if np.allclose(np.clip(line, -_SURE, _SURE), np.clip(reached, -_SURE, _SURE), atol=1e-6):
            whole = shap.maskers.Independent(background, max_samples=len(background))
            found = shap.LinearExplainer((coefs, intercept), whole)(Z)
            return found.values, float(found.base_values[0]), LINEAR
    if hasattr(learner, "get_booster") or isinstance(learner, GradientBoostingClassifier):
        found = shap.TreeExplainer(learner, background)(Z)
        return found.values, float(np.ravel(found.base_values)[0]), TREES
    few = shap.maskers.Independent(background, max_samples=_BACKGROUND)
    explainer = shap.PermutationExplainer(lambda rows: score(learner, rows), few, seed=seed)
    found = explainer(Z, max_evals=_PERMUTATIONS * (2 * Z.shape[1] + 1), silent=True)
    return found.values, float(found.base_values[0]), PERMUTED


def explain(result: CrossValidation, assembly: Assembly, name: str, seed: int = 0) -> pd.DataFrame:
    """Return what carries the out-of-fold prediction of each training patient.

    Parameters
    ----------
    result : CrossValidation
        The fits of the signature; those of the first division are explained.
    assembly : Assembly
    name : str
        The signature.
    seed : int

    Returns
    -------
    DataFrame
        One row per patient and column that reached the learner: subject, fold, explainer, base (the mean over the
        fold's training patients), score (base and contributions together), feature, value (in the column's own units),
        contribution.
    """
    tables, folds = [], _folds(result)
    for fold, (model, X) in _by_fold(result, assembly, name).items():
        learner, inside, outside = _split(model, X, folds, fold)
        values, base, how = shap_values(learner, outside.to_numpy(float), inside.to_numpy(float), seed)
        n, p = values.shape
        row = {"subject": np.repeat(outside.index.to_numpy(), p), "fold": fold, "explainer": how, "base": base}
        row |= {"score": np.repeat(base + values.sum(axis=1), p), "feature": np.tile(outside.columns.to_numpy(), n)}
        shown = _own_units(model, outside.to_numpy(float))
        tables.append(pd.DataFrame(row | {"value": shown.ravel(), "contribution": values.ravel()}))
    return pd.concat(tables, ignore_index=True)


def _folds(result: CrossValidation) -> pd.Series:
    return result.risks[result.risks["repeat"] == 0].set_index("subject")["fold"]


def _by_fold(result: CrossValidation, assembly: Assembly, name: str) -> dict[int, tuple[Any, pd.DataFrame]]:
    """Return the model and the training patients' table of each fold."""
    table = assembly.training(name)[0]
    return {
        k: (model, table.fold(k) if isinstance(table, FoldTables) else table) for k, model in result.models[0].items()
    }


def _split(model: Any, X: pd.DataFrame, folds: pd.Series, fold: int) -> tuple[Any, pd.DataFrame, pd.DataFrame]:
    """Return the learner, and the columns that reach it of the fold's training and of its test patients."""
    Z, own = model.features(X), folds.loc[X.index].to_numpy() == fold
    return getattr(model, "meta_", model).pipeline_.steps[-1][1], Z[~own], Z[own]


def _own_units(model: Any, Z: FloatArray, column: int | None = None) -> FloatArray:
    """Return z-scored columns (or values of one) in the units that they had before."""
    steps = dict(getattr(model, "meta_", model).pipeline_.steps)
    if "z_score" not in steps:
        return Z
    mean, sd = steps["z_score"].mean_, steps["z_score"].scale_
    found: FloatArray = Z * sd + mean if column is None else Z * sd[column] + mean[column]
    return found


def strongest(explained: pd.DataFrame, most: int = 10) -> list[str]:
    """Return the features that move predictions most: by the mean size of their contributions over all patients.

    A feature that a fold's model did not choose contributed nothing there.
    """
    size = explained["contribution"].abs().groupby(explained["feature"]).sum()
    return size[size > 0].sort_values(ascending=False, kind="stable").index[:most].tolist()


def patient(explained: pd.DataFrame, subject: Any, most: int = 8) -> pd.DataFrame:
    """Return what carries one patient's prediction, the largest contribution first, small ones taken together.

    Returns
    -------
    DataFrame
        subject, feature, value, contribution, base, score.
    """
    own = explained[explained["subject"] == subject]
    own = own.sort_values("contribution", key=abs, ascending=False, kind="stable")
    rest = own.iloc[most:]
    together = {"feature": counted(len(rest), "other feature"), "contribution": rest["contribution"].sum()}
    parts = [own.iloc[:most], *([pd.DataFrame([together])] if len(rest) else [])]
    table = pd.concat(parts, ignore_index=True)
    keys = ["subject", "base", "score"]
    return table.assign(**own[keys].iloc[0])[["subject", "feature", "value", "contribution", "base", "score"]]


def extremes(explained: pd.DataFrame, most: int = 8) -> pd.DataFrame:
    """Return `patient` of the patients of the highest and of the lowest prediction."""
    subjects = explained.drop_duplicates("subject").sort_values("score", ascending=False, kind="stable")["subject"]
    chosen = dict.fromkeys([*subjects.head(1), *subjects.tail(1)])
    return pd.concat([explained.head(0), *(patient(explained, one, most) for one in chosen)], ignore_index=True)


def dependence(
    result: CrossValidation, assembly: Assembly, name: str, features: Sequence[str], points: int = 12
) -> pd.DataFrame:
    """Return how the risk changes with one feature, all others left as they are (partial dependence), by fold.

    Parameters
    ----------
    result, assembly, name
        As `explain`.
    features : sequence of str
        Columns that reach the learner.
    points : int
        Values of a feature, between its 5th and 95th percentile in the fold's training part.

    Returns
    -------
    DataFrame
        feature, of ("own" for the fit on all training patients, "repeat" for a fold's), repeat (the fold, -1 for own),
        x (values of the feature in its own units), y (mean risk over the patients of the fit), for `plots.repeats`; no
        rows of fits that did not choose the feature.
    """
    rows, folds, fits = [], _folds(result), _by_fold(result, assembly, name)
    if result.refit is not None:
        fits[-1] = (result.refit, whole_table(assembly.training(name)[0]))
    for fold, (model, X) in fits.items():
        learner, inside, _ = _split(model, X, folds, fold)
        Z = inside.to_numpy(float)
        for column in [list(inside.columns).index(one) for one in features if one in inside]:
            low, high = np.quantile(Z[:, column], [0.05, 0.95])
            marks = np.linspace(low, high, points)
            for mark, shown in zip(marks, _own_units(model, marks, column), strict=True):
                changed = Z.copy()
                changed[:, column] = mark
                row = {"feature": inside.columns[column], "of": "own" if fold == -1 else "repeat", "repeat": fold}
                rows.append(row | {"x": shown, "y": float(risk_of(learner, changed).mean())})
    table = pd.DataFrame(rows, columns=["feature", "of", "repeat", "x", "y"])
    return table.sort_values("feature", key=lambda names: names.map(list(features).index), kind="stable")
