"""The penalty of a signature's LASSO: coefficients along it, its cross-validated error, and what was chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from radsupport.modelling.assembly import Assembly
from radsupport.modelling.combination import Combination
from radsupport.modelling.endpoint import Target, as_target, is_survival
from radsupport.modelling.estimators import PenalisedLogistic
from radsupport.modelling.lasso import LassoPath, lasso_binomial, lasso_cox
from radsupport.modelling.selection import LassoSelector
from radsupport.modelling.signatures import SignatureRun, training_data
from radsupport.modelling.survival_estimators import PenalisedCox
from radsupport.report.wording import counted, number
from radsupport.study_schema import Study

_RULES = {"lambda_min": "the smallest deviance", "lambda_1se": "one standard error"}
#: How `TunedPipeline` chooses a penalty, by whether the learner asks for the strongest one.
_TUNED = {
    False: "the best discrimination in inner folds, among equals the least log-loss",
    True: "the strongest penalty within one standard error of the best discrimination in inner folds",
}
COLUMNS_OF_PATH = ["feature", "lambda", "coefficient"]


@dataclass(frozen=True)
class PenaltyView:
    """The LASSO of one signature, fitted on all training patients.

    Attributes
    ----------
    signature : str
    path : DataFrame
        feature, lambda, coefficient (per SD of the feature), down to a tenth of the penalty that is used; features that
        are never chosen are left out.
    rule : str
        How the penalty that is used was chosen.
    chosen : dict of name to lambda
        The penalties to mark; the one that is used comes first.
    error : DataFrame
        lambda, mean, sd, n_nonzero: cross-validated deviance; empty where the penalty was tuned by discrimination.
    n_chosen : int
        Features with a coefficient at the penalty that is used.
    kind : {"binomial", "cox"}
    """

    signature: str
    path: pd.DataFrame
    rule: str
    chosen: dict[str, float]
    error: pd.DataFrame
    n_chosen: int
    kind: str


def penalty_view(study: Study, assembly: Assembly, run: SignatureRun, name: str) -> PenaltyView | None:
    """Return the penalty of a signature that selects by LASSO or whose learner has an L1 penalty; None for others."""
    model = run.results[name].refit
    if model is None or isinstance(model, Combination) or not hasattr(model, "pipeline_"):
        return None
    table, outcome, _ = training_data(study, assembly, name)
    X = table if isinstance(table, pd.DataFrame) else table.refit
    steps = model.pipeline_.steps
    for position, (_, step) in enumerate(steps):
        if isinstance(step, LassoSelector):
            for _, earlier in steps[:position]:
                X = earlier.transform(X)
            return _of_selector(name, step, X)
    learner = steps[-1][1]
    l1 = isinstance(learner, PenalisedLogistic | PenalisedCox) and learner.mixing == 1
    return _of_learner(name, learner, model.features(X), as_target(outcome)) if l1 else None


def _of_selector(name: str, step: LassoSelector, X: pd.DataFrame) -> PenaltyView:
    cv = step.cv_
    sd = X[list(cv.path.coef.columns)].to_numpy(float).std(axis=0)
    at = {"lambda_min": cv.lambda_min, "lambda_1se": cv.lambda_1se}
    other = next(rule for rule in at if rule != step.rule)
    chosen = {"λ used": at[step.rule], f"λ by {_RULES[other]}": at[other]}
    path = _long(cv.path, at[step.rule] / 10, sd)
    return PenaltyView(name, path, _RULES[step.rule], chosen, cv.table, len(step.selected_), cv.path.kind)


def _of_learner(name: str, learner: Any, X: pd.DataFrame, target: Target) -> PenaltyView:
    path = _path_of(X, target)
    used = float(learner.strength * path.lambdas[0])
    n_chosen, rule = int((learner.coef_ != 0).sum()), _TUNED[getattr(learner, "strongest_first", False)]
    return PenaltyView(name, _long(path, used / 10), rule, {"λ used": used}, pd.DataFrame(), n_chosen, path.kind)


def _path_of(X: pd.DataFrame, target: Target) -> LassoPath:
    if is_survival(target):
        return lasso_cox(X, target["time"], target["event"].astype(int))
    return lasso_binomial(X, target)


def _long(path: LassoPath, weakest: float, sd: Any = 1.0) -> pd.DataFrame:
    """Return the path as one row per feature and penalty, coefficients per SD; never chosen features left out.

    A penalty of twice the largest one, at which there is nothing, is added so that the start can be seen.
    """
    coef = path.coef[path.lambdas >= weakest] * sd
    coef = coef.loc[:, (coef != 0).any()]
    coef = pd.concat([pd.DataFrame(0.0, index=[2 * path.lambdas[0]], columns=coef.columns), coef])
    long = coef.rename_axis(index="lambda").reset_index().melt("lambda", var_name="feature", value_name="coefficient")
    return long[COLUMNS_OF_PATH]


def penalty_words(view: PenaltyView) -> str:
    """Say which penalty was used by which rule, and how many features it leaves."""
    (_, used), *others = view.chosen.items()
    model = "Cox" if view.kind == "cox" else "logistic"
    more = "".join(f"; {name} would be {number(value)}" for name, value in others)
    return (
        f"**{view.signature}** ({model} LASSO): λ = {number(used)} is used, by {view.rule}; it leaves "
        f"{counted(view.n_chosen, 'feature')}{more}."
    )
