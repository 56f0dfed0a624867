"""The penalty of a signature's LASSO: coefficients along it, its cross-validated error, and what was chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from radsupport.modelling.assembly import Assembly
from radsupport.modelling.coefficients import readable_features
from radsupport.modelling.combination import Combination
from radsupport.modelling.endpoint import Target, as_target, is_survival
from radsupport.modelling.estimators import PenalisedLogistic
from radsupport.modelling.lasso import LassoPath, lasso_binomial, lasso_cox
from radsupport.modelling.selection import LassoSelector
from radsupport.modelling.signatures import SignatureRun, training_data
from radsupport.modelling.survival_estimators import PenalisedCox
from radsupport.report.wording import counted, number
from radsupport.study_schema import Study

_LOWERED = ", lowered along the path because the penalty of that rule keeps too few features"
NAMED = 7  # features named in the figure of a path: as many as there are colours
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
    named : list of str
        Features with a coefficient at the penalty that is used, the largest first.
    kept : dict of name to int
        Features with a coefficient at the penalties of `chosen`, where known.
    kind : {"binomial", "cox"}
    """

    signature: str
    path: pd.DataFrame
    rule: str
    chosen: dict[str, float]
    error: pd.DataFrame
    named: list[str]
    kept: dict[str, int]
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
    lowered = step.lambda_ < at[step.rule]
    others = [rule for rule in at if lowered or rule != step.rule]
    chosen = {"λ used": step.lambda_} | {f"λ by {_RULES[rule]}": at[rule] for rule in others}
    kept = {words: _kept(cv.path, value) for words, value in chosen.items()}
    rule = _RULES[step.rule] + (_LOWERED if lowered else "")
    size = pd.Series(sd, cv.path.coef.columns)[step.coef_.index] * step.coef_
    return PenaltyView(name, _long(cv.path, step.lambda_ / 10, sd), rule, chosen, cv.table, _largest(size), kept,
                       cv.path.kind)  # fmt: skip


def _of_learner(name: str, learner: Any, X: pd.DataFrame, target: Target) -> PenaltyView:
    path = _path_of(X, target)
    used = float(learner.strength * path.lambdas[0])
    rule = _TUNED[getattr(learner, "strongest_first", False)]
    named = _largest(pd.Series(np.asarray(learner.coef_).ravel(), X.columns))
    chosen, kept = {"λ used": used}, {"λ used": len(named)}
    return PenaltyView(name, _long(path, used / 10), rule, chosen, pd.DataFrame(), named, kept, path.kind)


def _largest(coefs: pd.Series) -> list[str]:
    """Return the features with a coefficient, the largest first."""
    return coefs[coefs != 0].abs().sort_values(ascending=False, kind="stable").index.tolist()


def _kept(path: LassoPath, penalty: float) -> int:
    """Return how many features have a coefficient at the step of the path next to a penalty."""
    return int(path.n_nonzero[int(np.abs(np.log(path.lambdas) - np.log(penalty)).argmin())])


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
    """Say which penalty was used by which rule, and how many features it and the other penalties leave."""
    (name, used), *others = view.chosen.items()
    model = "Cox" if view.kind == "cox" else "logistic"
    more = "".join(f"; {other} would be {number(value)} and leave {_left(view, other)}" for other, value in others)
    return (
        f"**{view.signature}** ({model} LASSO): λ = {number(used)} is used, by {view.rule}; it leaves "
        f"{_left(view, name)}{more}."
    )


def _left(view: PenaltyView, name: str) -> str:
    return counted(view.kept[name], "feature") if view.kept[name] else "**no feature**"


def path_figure(view: PenaltyView, study: Study, most: int = NAMED) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the path with readable names and the options of `figures.coefficient_path`.

    Named are the features with a coefficient at the penalty that is used, at most `most` of them: as many as there are
    colours.
    """
    names = readable_features(pd.DataFrame({"feature": view.named[:most]}), study)["feature"].tolist()
    return readable_features(view.path, study), {"chosen": view.chosen, "named": names}


def path_caption(view: PenaltyView, most: int = NAMED) -> str:
    """Say what the figure of the path shows, and which of its lines are named."""
    n = len(view.named)
    which = f"the {counted(n, 'feature')}" if n <= most else f"the {most} largest of {n} features"
    named = f"named: {which} with a coefficient at the λ used" if n else "no feature has a coefficient at the λ used"
    return f"LASSO path of {view.signature}, coefficients per SD ({named})"
