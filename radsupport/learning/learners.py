"""The learners a signature may name, each with the grid it is tuned over in inner folds, and signatures in words.

An analyst's own ones stand beside them (`own_learners`): any scikit-learn estimator with its grid.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pandas as pd
import yaml
from sklearn.base import BaseEstimator, clone, is_classifier, is_regressor
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.model_selection import ParameterGrid
from sksurv.ensemble import GradientBoostingSurvivalAnalysis, RandomSurvivalForest
from xgboost import XGBClassifier

from radsupport.errors import InputError, Problem
from radsupport.learning.estimators import GivenRisk, GradientBoosting, NaiveBayes, PlattSVC
from radsupport.learning.linear import (
    CoxRisk,
    GlmBoost,
    MeanHazard,
    MeanLogOdds,
    PenalisedCox,
    PenalisedLogistic,
    PlsLogistic,
)
from radsupport.settings.learning import MEAN, PUBLISHED, Signature

GridSize = Literal["coarse", "full"]
Grid = list[dict[str, list[Any]]]


class Learner(NamedTuple):
    """An unfitted estimator and the grid of its settings; the first point of a grid wins ties."""

    estimator: BaseEstimator
    grid: Grid


def learner(
    name: str,
    seed: int = 0,
    grid: GridSize = "full",
    own: Mapping[str, Learner] | None = None,
    survival: bool = False,
) -> Learner:
    """Return one learner by name.

    Parameters
    ----------
    name : str
        Binary endpoint (`BINARY`): the ten of Gu 2023 - glmBoost, GBM, Enet, SVM, plsRglm, XGBoost, LDA,
        Ridge, NaiveBayes, LASSO - with Boost and Forest, which nothing is tuned of, and ``Logistic`` for combinations.
        Survival (`SURVIVAL`): Cox, CoxRidge, CoxLasso, RSF, GBCox, and BoostCox, untuned. ``Mean`` averages a
        combination's parts, of either outcome. All expect z-scored columns. ``published`` and ``Network`` fit nothing:
        their one column is the risk.
    seed : int
        Of what is random in the learner.
    grid : {"full", "coarse"}
        ``full``: caret's defaults (the SVM: RBF and linear, C 2^-5..2^5, gamma 2^-10..2^0, as Song 2021's
        default); ``coarse``: the same range in fewer points.
    own : mapping of name to Learner, optional
        What `own_learners` returns. Randomness that is left open there (``random_state=None``) gets the seed.
    survival : bool
        Whether the outcome is a time to event, where a name serves both.

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
    full = grid == "full"
    of_outcome = [_survival(seed, full), _binary(seed, full)]
    known = {**of_outcome[survival], **of_outcome[not survival]} | {name: Learner(GivenRisk(), []) for name in GIVEN}
    known |= {name: _seeded(one, seed) for name, one in (own or {}).items()}
    if name not in known or grid not in ("coarse", "full"):
        near = "".join(f" Did you mean {one!r}?" for one in difflib.get_close_matches(str(name), known, n=1))
        raise InputError(
            f"Unknown learner {name!r} or grid {grid!r}; learners: {', '.join(known)}; grids: coarse, full.{near}"
        )
    return known[name]


def _seeded(chosen: Learner, seed: int) -> Learner:
    """Return a learner whose open random states have the seed, so that a page comes out the same twice."""
    left_open = [
        key for key, value in chosen.estimator.get_params().items()
        if value is None and key.split("__")[-1] == "random_state"
    ]  # fmt: skip
    return Learner(clone(chosen.estimator).set_params(**dict.fromkeys(left_open, seed)), chosen.grid)


def own_learners(given: Any, *, survival: bool = False) -> dict[str, Learner]:
    """Return the learners that an analyst brings, checked before anything is fitted.

    Parameters
    ----------
    given : mapping of name to estimator, or to (estimator, grid)
        Such as ``{"Boosting": (GradientBoostingClassifier(), {"max_depth": [1, 2]})}``. The estimator gets z-scored
        columns; the grid is scikit-learn's ``param_grid``. A classifier's risk is its probability of the event or,
        where it gives none, its decision value; a survival model (scikit-survival's) predicts a risk score.
    survival : bool
        Whether the outcome is a time to event.

    Raises
    ------
    InputError
        No estimator, one that can not predict the outcome's risk, a name of the book's own learners, or a grid with a
        parameter or value that the estimator does not take; all problems at once.
    """
    example = '{"Boosting": (GradientBoostingClassifier(), {"max_depth": [1, 2]})}'
    if not isinstance(given, Mapping):
        raise InputError(f"`learners` must give each name its estimator and grid, such as {example}; got {given!r}.")
    found: dict[str, Learner] = {}
    problems: list[Problem] = []
    for name, entry in given.items():
        estimator, grid = entry if isinstance(entry, tuple) and len(entry) == 2 else (entry, {})
        points = [grid] if isinstance(grid, Mapping) else grid
        what = [*_no_estimator(name, estimator, survival)] or [*_no_grid(name, estimator, points)]
        problems += what
        if not what:
            found[name] = Learner(estimator, [{key: list(values) for key, values in one.items()} for one in points])
    if problems:
        raise InputError(f"These learners can not be used; give them as in {example}.", problems)
    return found


def _no_estimator(name: Any, estimator: Any, survival: bool) -> Iterator[Problem]:
    kind = getattr(estimator, "__name__", type(estimator).__name__)
    if name in (*BINARY, *SURVIVAL, *GIVEN) or not isinstance(name, str) or not name.strip():
        yield Problem("is no name for a learner of your own", "a text that no learner of the book has", value=str(name))
    if isinstance(estimator, type):
        yield Problem(f"the class {kind}", "an estimator", f"write {kind}(), with brackets", value=str(name))
    elif not all(hasattr(estimator, method) for method in ("fit", "get_params", "set_params")):
        yield Problem(f"a {kind}, no scikit-learn estimator", "an estimator, or (estimator, grid)", value=str(name))
    elif survival and (is_classifier(estimator) or is_regressor(estimator) or not hasattr(estimator, "predict")):
        expected = "a survival model with `predict`, such as sksurv's RandomSurvivalForest()"
        yield Problem(f"{kind} predicts no risk over time", expected, value=str(name))
    elif not survival and not any(hasattr(estimator, way) for way in ("predict_proba", "decision_function")):
        what = f"{kind} has neither `predict_proba` nor `decision_function`"
        what += ": a regressor ranks no patients by the risk of a yes/no outcome" if is_regressor(estimator) else ""
        yield Problem(what, "a classifier, such as GradientBoostingClassifier()", value=str(name))


def _no_grid(name: str, estimator: Any, grid: Any) -> Iterator[Problem]:
    """Yield what is wrong with a grid: its shape, its parameters, their values."""
    shaped = isinstance(grid, Sequence) and all(isinstance(point, Mapping) for point in grid)
    listed = shaped and all(not isinstance(v, str) and hasattr(v, "__len__") for point in grid for v in point.values())
    if not listed or not all(len(values) for point in grid for values in point.values()):
        yield Problem("its grid is no grid", 'lists of values by parameter, such as {"max_depth": [1, 2]}', value=name)
        return
    valid = sorted(estimator.get_params())
    unknown = [key for point in grid for key in point if key not in valid]
    for key in dict.fromkeys(unknown):
        by_case = {one.lower(): one for one in valid}
        near = difflib.get_close_matches(str(key).lower(), by_case, n=1, cutoff=0.5)
        remedy = f"did you mean `{by_case[near[0]]}`?" if near else "leave it out"
        what = f"{type(estimator).__name__} has no parameter `{key}`"
        yield Problem(what, f"one of {', '.join(valid)}", remedy, value=name)
    for point in ParameterGrid(list(grid) or [{}]) if not unknown else []:
        model = clone(estimator).set_params(**point)
        if not hasattr(model, "_parameter_constraints"):
            continue
        try:  # inner folds leave scikit-learn's own check out, so it is made here
            model._validate_params()
        except ValueError as error:
            yield Problem(" ".join(str(error).split()), value=name)


def _binary(seed: int, full: bool) -> dict[str, Learner]:
    strengths = _strengths(full)
    # lambda_max of the ridge is that of a mixing of 0.001: a thousand times the LASSO's.
    ridge = [10.0**k for k in ((-1, -1.5, -2, -2.5, -3, -3.5, -4, -5) if full else (-1, -2, -3, -4))]
    costs = [2.0**k for k in range(-5, 6, 1 if full else 5)]
    gammas = [2.0**k for k in range(-10, 1, 1 if full else 5)]
    gbm = GradientBoosting(learning_rate=0.1, min_samples_leaf=10, subsample=0.5, random_state=seed)
    untuned = {"min_samples_leaf": 5, "max_features": "sqrt", "random_state": seed}
    boost = GradientBoosting(n_estimators=100, max_depth=2, learning_rate=0.05, subsample=0.5, **untuned)
    return {
        "glmBoost": Learner(GlmBoost(), [{"n_iterations": [50, 100, 150]}]),
        "GBM": Learner(gbm, [{"max_depth": [1, 2, 3], "n_estimators": [50, 100, 150]} if full
                             else {"max_depth": [1, 3], "n_estimators": [50, 100]}]),
        "Enet": Learner(PenalisedLogistic(), [{"strength": strengths, "mixing": [1.0, 0.55, 0.1]}]),
        "SVM": Learner(PlattSVC(seed=seed), [{"kernel": ["linear"], "C": costs},
                                             {"kernel": ["rbf"], "C": costs, "gamma": gammas}]),
        "plsRglm": Learner(PlsLogistic(), [{"n_components": [1, 2, 3]}]),
        "XGBoost": _xgboost(seed, full),
        "LDA": Learner(LinearDiscriminantAnalysis(), []),
        "Ridge": Learner(PenalisedLogistic(mixing=0.0), [{"strength": ridge}]),
        "NaiveBayes": Learner(NaiveBayes(), [{"kernel": [False, True]}]),
        "LASSO": Learner(PenalisedLogistic(mixing=1.0), [{"strength": strengths}]),
        "Logistic": Learner(PenalisedLogistic(strength=1e-8, mixing=0.0), []),
        "Boost": Learner(boost, []),
        "Forest": Learner(ExtraTreesClassifier(n_estimators=100, n_jobs=1, **untuned), []),
        MEAN: Learner(MeanLogOdds(), []),
    }  # fmt: skip


def _strengths(full: bool) -> list[float]:
    return [0.7, 0.5, 0.3, 0.2, 0.1, 0.05, 0.03, 0.01] if full else [0.5, 0.2, 0.05]


def _xgboost(seed: int, full: bool) -> Learner:
    model = XGBClassifier(
        n_jobs=1, random_state=seed, tree_method="exact", learning_rate=0.3, subsample=0.75, colsample_bytree=0.8
    )
    grid: dict[str, list[Any]] = {"max_depth": [1, 2, 3], "n_estimators": [50, 100, 150], "learning_rate": [0.3, 0.4],
                                  "subsample": [0.5, 0.75, 1.0], "colsample_bytree": [0.6, 0.8]}  # fmt: skip
    return Learner(model, [grid if full else {"max_depth": [1, 3], "n_estimators": [50, 150]}])


def _survival(seed: int, full: bool) -> dict[str, Learner]:
    forest = RandomSurvivalForest(
        n_estimators=300 if full else 50, min_samples_leaf=5, random_state=seed, n_jobs=1,
        low_memory=True,  # the same risks; survival curves, which nobody asks for, are not kept
    )  # fmt: skip
    boosted = GradientBoostingSurvivalAnalysis(learning_rate=0.1, subsample=0.5, random_state=seed, n_estimators=50)
    untuned = GradientBoostingSurvivalAnalysis(
        n_estimators=100, max_depth=2, learning_rate=0.05, subsample=0.5, min_samples_leaf=5, max_features="sqrt",
        random_state=seed,
    )  # fmt: skip
    penalties = [10.0 ** (k / 2) for k in (range(8, -1, -1) if full else (6, 4, 2))]
    return {
        "Cox": Learner(CoxRisk(), []),
        "CoxRidge": Learner(CoxRisk(), [{"alpha": penalties}]),
        "BoostCox": Learner(untuned, []),
        "CoxLasso": Learner(PenalisedCox(), [{"strength": _strengths(full)}]),
        "RSF": Learner(forest, [{"max_depth": [3, None]}] if full else []),
        "GBCox": Learner(boosted, [{"max_depth": [1, 2, 3], "n_estimators": [50, 100]} if full
                                   else {"max_depth": [1, 2]}]),
        MEAN: Learner(MeanHazard(), []),
    }  # fmt: skip


#: Names of the learners of a 0/1 label, of a time to event, and of those that fit nothing.
BINARY, SURVIVAL, GIVEN = tuple(_binary(0, False)), tuple(_survival(0, False)), (PUBLISHED, "Network")

_WORDS: dict[str, dict[str, str]] = yaml.safe_load(Path(__file__).with_name("words.yaml").read_text(encoding="utf-8"))
STEP_WORDS = _WORDS["steps"]


def signature_table(
    signatures: Sequence[Signature], labels: Mapping[str, str] | None = None, phases: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Return signatures in words: what each learns from, how it selects, which learner it has.

    Parameters
    ----------
    signatures : sequence of Signature
    labels, phases : mapping, optional
        Words for clinical columns and for phases; without them their keys.

    Returns
    -------
    DataFrame
        signature, inputs, phases, selection, learner, and description where one has it.
    """
    columns, named = labels or {}, phases or {}
    rows = []
    for s in signatures:
        inputs = [*(source.replace("_", " ") for source in s.sources), *s.combines]
        row = {"signature": s.name, "inputs": ", ".join([*inputs, *(columns.get(c, c) for c in s.columns)])}
        row["phases"] = ", ".join(named.get(phase, phase) for phase in s.phases) or "–"
        row |= {"selection": selection_words(s), "learner": _WORDS["learners"].get(s.learner, s.learner)}
        rows.append(row | {"description": s.description})
    table = pd.DataFrame(rows)
    return table if table["description"].any() else table.drop(columns="description")


def selection_words(signature: Signature) -> str:
    """Name the steps by which a signature selects its features."""
    if signature.learner in GIVEN:
        return "none: nothing is fitted here"
    rule = signature.selection
    adjusted = ", Benjamini–Hochberg" if rule.adjust == "bh" else ""
    steps = {
        "centers harmonised (ComBat)": signature.harmonise,
        "two readers agree": rule.icc,
        f"{_WORDS['tests'].get(rule.test)}, P < {rule.alpha:g}{adjusted}": rule.test != "none",
        f"Cox regression alone and together, P < {rule.alpha:g} in both": rule.cox,
        f"|r| at most {rule.max_correlation or 0:g}, the smallest P first": rule.max_correlation is not None,
        f"LASSO, {_WORDS['rules'][rule.lasso_rule]}": rule.lasso,
    }
    return "; ".join(step for step, used in steps.items() if used) or "none"


def fits(signature: Signature) -> bool:
    """Whether something is fitted for a signature, and its value is not just given."""
    return bool(signature.combines) or signature.learner not in GIVEN
