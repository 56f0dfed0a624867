"""The learners a signature may name, each with the grid it is tuned over in inner folds, and signatures in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pandas as pd
import yaml
from sklearn.base import BaseEstimator
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import GradientBoostingClassifier
from sksurv.ensemble import GradientBoostingSurvivalAnalysis, RandomSurvivalForest
from xgboost import XGBClassifier

from radsupport.errors import InputError
from radsupport.learning.estimators import GivenRisk, NaiveBayes, PlattSVC
from radsupport.learning.linear import CoxRisk, GlmBoost, PenalisedCox, PenalisedLogistic, PlsLogistic
from radsupport.settings.learning import Signature

GridSize = Literal["coarse", "full"]
Grid = list[dict[str, list[Any]]]
PUBLISHED = "published"  # the learner that takes an output of others as it is


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
    full = grid == "full"
    known = {**_binary(seed, full), **_survival(seed, full), **{name: Learner(GivenRisk(), []) for name in GIVEN}}
    if name not in known or grid not in ("coarse", "full"):
        raise InputError(
            f"Unknown learner {name!r} or grid {grid!r}; learners: {', '.join(known)}; grids: coarse, full."
        )
    return known[name]


def _binary(seed: int, full: bool) -> dict[str, Learner]:
    strengths = _strengths(full)
    # lambda_max of the ridge is that of a mixing of 0.001: a thousand times the LASSO's.
    ridge = [10.0**k for k in ((-1, -1.5, -2, -2.5, -3, -3.5, -4, -5) if full else (-1, -2, -3, -4))]
    costs = [2.0**k for k in range(-5, 6, 1 if full else 5)]
    gammas = [2.0**k for k in range(-10, 1, 1 if full else 5)]
    gbm = GradientBoostingClassifier(learning_rate=0.1, min_samples_leaf=10, subsample=0.5, random_state=seed)
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
    forest = RandomSurvivalForest(n_estimators=300 if full else 50, min_samples_leaf=5, random_state=seed, n_jobs=1)
    boosted = GradientBoostingSurvivalAnalysis(learning_rate=0.1, subsample=0.5, random_state=seed, n_estimators=50)
    return {
        "Cox": Learner(CoxRisk(), []),
        "CoxLasso": Learner(PenalisedCox(), [{"strength": _strengths(full)}]),
        "RSF": Learner(forest, [{"max_depth": [3, None]}] if full else []),
        "GBCox": Learner(boosted, [{"max_depth": [1, 2, 3], "n_estimators": [50, 100]} if full
                                   else {"max_depth": [1, 2]}]),
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
        f"|r| at most {rule.max_correlation or 0:g}": rule.max_correlation is not None,
        f"LASSO, {_WORDS['rules'][rule.lasso_rule]}": rule.lasso,
    }
    return "; ".join(step for step, used in steps.items() if used) or "none"


def fits(signature: Signature) -> bool:
    """Whether something is fitted for a signature, and its value is not just given."""
    return bool(signature.combines) or signature.learner not in GIVEN
