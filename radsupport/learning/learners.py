"""The learners a signature may name, each with the grid it is tuned over in inner folds.

Chapter 05 in words: headers of its tables, names of learners and selection steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from sklearn.base import BaseEstimator
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import GradientBoostingClassifier
from sksurv.ensemble import GradientBoostingSurvivalAnalysis, RandomSurvivalForest
from xgboost import XGBClassifier

from radsupport.errors import InputError
from radsupport.learning.estimators import GivenRisk, NaiveBayes, PlattSVC
from radsupport.learning.linear import CoxRisk, GlmBoost, PenalisedCox, PenalisedLogistic, PlsLogistic
from radsupport.settings.learning import Selection, Signature

GridSize = Literal["coarse", "full"]
Grid = list[dict[str, list[Any]]]


class Learner(NamedTuple):
    """An unfitted estimator and the grid of its settings; the first point of a grid wins ties."""

    estimator: BaseEstimator
    grid: Grid


def learner(name: str, seed: int = 0, grid: GridSize = "full") -> Learner:
    """Return one learner by name.

    Parameters
    ----------
    name : str
        Binary endpoint (`BINARY`): the ten of Gu 2023 - glmBoost, GBM, Enet, SVM, plsRglm, XGBoost, LDA,
        Ridge, NaiveBayes, LASSO - and ``Logistic`` for combinations. Survival (`SURVIVAL`): Cox, CoxLasso,
        RSF, GBCox. All expect z-scored columns. ``published`` and ``Network`` fit nothing: their one column
        is the risk.
    seed : int
        Of what is random in the learner.
    grid : {"full", "coarse"}
        ``full``: caret's defaults (the SVM: RBF and linear, C 2^-5..2^5, gamma 2^-10..2^0, as Song 2021's
        default); ``coarse``: the same range in fewer points.

    Raises
    ------
    InputError
        Unknown learner or grid.

    Notes
    -----
    caret's tuning values that depend on the data (glmnet's lambda) are shares of lambda_max here, on the
    same log scale. caret's ``plsRglm`` also tunes a P-value filter of the components' weights; here
    selection comes before the learner. ``Logistic`` and ``Cox`` have a very weak ridge penalty, so that the estimate
    exists under separation (elsewhere it is within 0.1 % of maximum likelihood).
    """
    known = {**BINARY, **SURVIVAL, **GIVEN}
    if name not in known or grid not in ("coarse", "full"):
        raise InputError(
            f"Unknown learner {name!r} or grid {grid!r}; learners: {', '.join(known)}; grids: coarse, full."
        )
    return known[name](seed, grid == "full")


def _glm_boost(seed: int, full: bool) -> Learner:
    return Learner(GlmBoost(), [{"n_iterations": [50, 100, 150]}])


def _gbm(seed: int, full: bool) -> Learner:
    model = GradientBoostingClassifier(learning_rate=0.1, min_samples_leaf=10, subsample=0.5, random_state=seed)
    depths, trees = ([1, 2, 3], [50, 100, 150]) if full else ([1, 3], [50, 100])
    return Learner(model, [{"max_depth": depths, "n_estimators": trees}])


def _enet(seed: int, full: bool) -> Learner:
    return Learner(PenalisedLogistic(), [{"strength": _strengths(full), "mixing": [1.0, 0.55, 0.1]}])


def _lasso(seed: int, full: bool) -> Learner:
    return Learner(PenalisedLogistic(mixing=1.0), [{"strength": _strengths(full)}])


def _ridge(seed: int, full: bool) -> Learner:
    # lambda_max is that of a mixing of 0.001: a thousand times the LASSO's.
    strengths = [10.0**k for k in ((-1, -1.5, -2, -2.5, -3, -3.5, -4, -5) if full else (-1, -2, -3, -4))]
    return Learner(PenalisedLogistic(mixing=0.0), [{"strength": strengths}])


def _strengths(full: bool) -> list[float]:
    return [0.7, 0.5, 0.3, 0.2, 0.1, 0.05, 0.03, 0.01] if full else [0.5, 0.2, 0.05]


def _logistic(seed: int, full: bool) -> Learner:
    return Learner(PenalisedLogistic(strength=1e-8, mixing=0.0), [])


def _svm(seed: int, full: bool) -> Learner:
    costs = [2.0**k for k in range(-5, 6, 1 if full else 5)]
    gammas = [2.0**k for k in range(-10, 1, 1 if full else 5)]
    grid: Grid = [{"kernel": ["linear"], "C": costs}, {"kernel": ["rbf"], "C": costs, "gamma": gammas}]
    return Learner(PlattSVC(seed=seed), grid)


def _pls(seed: int, full: bool) -> Learner:
    return Learner(PlsLogistic(), [{"n_components": [1, 2, 3]}])


def _xgboost(seed: int, full: bool) -> Learner:
    model = XGBClassifier(
        n_jobs=1, random_state=seed, tree_method="exact", learning_rate=0.3, subsample=0.75, colsample_bytree=0.8
    )
    if not full:
        return Learner(model, [{"max_depth": [1, 3], "n_estimators": [50, 150]}])
    grid: dict[str, list[Any]] = {
        "max_depth": [1, 2, 3],
        "n_estimators": [50, 100, 150],
        "learning_rate": [0.3, 0.4],
        "subsample": [0.5, 0.75, 1.0],
        "colsample_bytree": [0.6, 0.8],
    }
    return Learner(model, [grid])


def _lda(seed: int, full: bool) -> Learner:
    return Learner(LinearDiscriminantAnalysis(), [])


def _naive_bayes(seed: int, full: bool) -> Learner:
    return Learner(NaiveBayes(), [{"kernel": [False, True]}])


def _given(seed: int, full: bool) -> Learner:
    return Learner(GivenRisk(), [])


def _cox(seed: int, full: bool) -> Learner:
    return Learner(CoxRisk(), [])


def _cox_lasso(seed: int, full: bool) -> Learner:
    return Learner(PenalisedCox(), [{"strength": _strengths(full)}])


def _forest(seed: int, full: bool) -> Learner:
    model = RandomSurvivalForest(n_estimators=300 if full else 50, min_samples_leaf=5, random_state=seed, n_jobs=1)
    return Learner(model, [{"max_depth": [3, None]}] if full else [])


def _boosted_cox(seed: int, full: bool) -> Learner:
    model = GradientBoostingSurvivalAnalysis(learning_rate=0.1, subsample=0.5, random_state=seed, n_estimators=50)
    grid: Grid = [{"max_depth": [1, 2, 3], "n_estimators": [50, 100]}] if full else [{"max_depth": [1, 2]}]
    return Learner(model, grid)


BINARY: dict[str, Callable[[int, bool], Learner]] = {
    "glmBoost": _glm_boost,
    "GBM": _gbm,
    "Enet": _enet,
    "SVM": _svm,
    "plsRglm": _pls,
    "XGBoost": _xgboost,
    "LDA": _lda,
    "Ridge": _ridge,
    "NaiveBayes": _naive_bayes,
    "LASSO": _lasso,
    "Logistic": _logistic,
}
SURVIVAL: dict[str, Callable[[int, bool], Learner]] = {
    "Cox": _cox,
    "CoxLasso": _cox_lasso,
    "RSF": _forest,
    "GBCox": _boosted_cox,
}
GIVEN: dict[str, Callable[[int, bool], Learner]] = {"published": _given, "Network": _given}

LEARNER_WORDS = {
    "SVM": "support vector machine", "GBM": "gradient boosting", "Enet": "elastic net", "glmBoost": "glmBoost",
    "plsRglm": "PLS logistic regression", "LDA": "linear discriminant", "Ridge": "ridge logistic regression",
    "NaiveBayes": "naive Bayes", "LASSO": "LASSO logistic regression", "Logistic": "logistic regression",
    "Cox": "Cox regression", "CoxLasso": "LASSO Cox regression", "RSF": "random survival forest",
    "GBCox": "gradient-boosted Cox regression", "published": "none: a published output",
    "Network": "none: a network's output",
}  # fmt: skip

_TESTS = {
    "shapiro": "t or Mann–Whitney test (by Shapiro–Wilk)",
    "t": "Welch's t test",
    "mann_whitney": "Mann–Whitney test",
}
_RULES = {"lambda_min": "smallest deviance", "lambda_1se": "one-standard-error rule"}
STEP_WORDS = {
    "imputation": "imputed", "variance": "that vary", "reproducibility": "reproducible",
    "univariate": "univariate test", "correlation": "not redundant", "lasso": "LASSO",
}  # fmt: skip


def selection_words(signature: Signature) -> str:
    """Say how a signature selects its features, step by step."""
    if signature.learner in GIVEN:
        return "none: nothing is fitted here"
    rule = signature.selection
    parts = ["centers harmonised (ComBat)"] if signature.harmonise else []
    return "; ".join([*parts, *_selection_steps(rule)]) or "none"


def _selection_steps(rule: Selection) -> list[str]:
    steps = ["two readers agree"] if rule.icc else []
    if rule.test != "none":
        adjusted = ", Benjamini–Hochberg" if rule.adjust == "bh" else ""
        steps.append(f"{_TESTS[rule.test]}, P < {rule.alpha:g}{adjusted}")
    if rule.max_correlation is not None:
        steps.append(f"|r| at most {rule.max_correlation:g}")
    return steps + ([f"LASSO, {_RULES[rule.lasso_rule]}"] if rule.lasso else [])
