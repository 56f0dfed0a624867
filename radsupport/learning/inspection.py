"""What a fitted signature is made of: chosen features, their coefficients, stability, correlation and LASSO penalty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import is_classifier

from radsupport.checks import FloatArray
from radsupport.learning.assembly import Assembly, whole_table
from radsupport.learning.learners import GIVEN, STEP_WORDS
from radsupport.learning.linear import PenalisedCox, PenalisedLogistic
from radsupport.learning.selection import LassoSelector
from radsupport.learning.signatures import SignatureRun
from radsupport.learning.tuning import Combination
from radsupport.settings.learning import Signature
from radsupport.stats.lasso import LassoPath, lasso_binomial, lasso_cox
from radsupport.stats.outcome import Target, as_target, is_survival
from radsupport.wording import counted, readable

STABILITY_COLUMNS = ["signature", "feature", "times_selected", "fits", "share"]
CORRELATED = 14  # features whose correlations are drawn, at most


def linear_coefficients(learner: Any) -> FloatArray | None:
    """Return the coefficients of a linear learner per column it was given, None for any other learner.

    Log-odds per unit of the column (log hazard for Cox learners); columns are z-scored, so a unit is one SD. The
    support vector machine's are those of its logistic curve; glmBoost's are doubled, its score being half the log-odds.
    """
    machine = getattr(learner, "machine_", None)
    if machine is not None:
        if machine.kernel != "linear":
            return None
        return np.asarray(learner.slope_ * machine.coef_[0] / machine.scale_, dtype=float)
    coefs = getattr(learner, "coef_", None)
    if coefs is None or (is_classifier(learner) and not hasattr(learner, "predict_proba")):
        return None  # the weights of a decision value are no log-odds
    doubled = 2.0 if getattr(learner, "family", "") == "half_logit" else 1.0
    return doubled * np.asarray(coefs, dtype=float).ravel()


def chosen_by(model: Any) -> pd.Series:
    """Return the coefficient of every feature that a fitted signature uses, NaN where the learner has none.

    Features that reach an L1-penalised or boosted learner and get a coefficient of 0 are not among them.
    """
    pipeline = getattr(model, "meta_", model)  # of a combination, that of its own columns
    coefs = linear_coefficients(pipeline.pipeline_.steps[-1][1])
    if coefs is None:
        return pd.Series(np.nan, index=list(model.features_), dtype=float)
    return pd.Series(np.where(coefs != 0, coefs, np.nan), index=list(model.features_), dtype=float).dropna()


def stability(run: SignatureRun) -> pd.DataFrame:
    """Return in how many fits (folds of all divisions) each signature chose each feature.

    Returns
    -------
    DataFrame
        signature, feature, times_selected, fits, share; the most stable first.
    """
    tables = []
    for name, result in run.results.items():
        models = [model for fold_models in result.models for model in fold_models.values()]
        if not hasattr(models[0], "features_") or not models[0].features_:
            continue
        chosen = pd.Series([feature for model in models for feature in chosen_by(model).index], dtype=object)
        counts = chosen.value_counts(sort=False).rename_axis("feature").reset_index(name="times_selected")
        counts = counts.sort_values(["times_selected", "feature"], ascending=[False, True])
        tables.append(counts.assign(signature=name, fits=len(models), share=counts["times_selected"] / len(models)))
    if not tables:
        return pd.DataFrame(columns=STABILITY_COLUMNS)
    return pd.concat(tables, ignore_index=True)[STABILITY_COLUMNS]


def chosen_features(run: SignatureRun, ratio: str = "odds_ratio") -> pd.DataFrame:
    """Return what each signature uses after its fit on all training patients.

    Parameters
    ----------
    run : SignatureRun
    ratio : str
        Name of the column with exp(coefficient): odds_ratio, or hazard_ratio for survival.

    Returns
    -------
    DataFrame
        signature, feature, coefficient (log-odds or log hazard per SD; NaN where the learner has none), ratio per SD,
        share of the folds' fits that chose it; the largest coefficients first. Given risks choose nothing.
    """
    shares = stability(run).set_index(["signature", "feature"])["share"]
    tables = []
    for signature in (s for s in run.signatures if s.learner not in GIVEN):
        fitted = run.results[signature.name].refit
        if fitted is None:
            continue
        chosen = chosen_by(fitted)
        table = pd.DataFrame({"signature": signature.name, "feature": chosen.index, "coefficient": chosen.to_numpy()})
        table["share"] = shares.reindex(pd.MultiIndex.from_frame(table[["signature", "feature"]])).fillna(0).to_numpy()
        tables.append(table.sort_values("coefficient", key=abs, ascending=False, kind="stable", na_position="last"))
    columns = ["signature", "feature", "coefficient", ratio, "share"]
    if not tables:
        return pd.DataFrame(columns=columns)
    table = pd.concat(tables, ignore_index=True)
    with np.errstate(over="ignore"):
        table[ratio] = np.exp(table["coefficient"])
    return table[columns]


def shown_signatures(signatures: Sequence[Signature], names: Sequence[str] = (), best: str = "") -> list[str]:
    """Return whose coefficients are shown: `names`, or the parts of the best signature; without given risks."""
    by_name = {s.name: s for s in signatures}

    def parts(name: str) -> list[str]:
        combined = by_name[name].combines
        return [part for own in combined for part in parts(own)] if combined else [name]

    wanted = names or parts(best or signatures[0].name)
    return [name for name in dict.fromkeys(wanted) if name in by_name and by_name[name].learner not in GIVEN]


def selection_funnel(run: SignatureRun) -> pd.DataFrame:
    """Return how many features each step leaves in the fit on all training patients.

    Returns
    -------
    DataFrame
        signature, step (in words, from "given" on), n_features; signatures that select have rows. Constant features
        are a step only where there are any.
    """
    parts = []
    refit = run.funnel[run.funnel["fold"].isna()] if "step" in run.funnel else run.funnel
    for name, rows in refit.groupby("signature", sort=False):
        steps = rows[rows["step"] != "imputation"]
        if set(steps["step"]) <= {"variance"}:
            continue
        steps = steps[(steps["step"] != "variance") | (steps["n_in"] > steps["n_out"])]
        counts = {"given": int(rows["n_in"].iloc[0])} | dict(
            zip(steps["step"].map(STEP_WORDS), steps["n_out"].astype(int), strict=True)
        )
        parts.append(pd.DataFrame({"signature": name, "step": counts.keys(), "n_features": counts.values()}))
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["signature", "step", "n_features"])
    table.attrs["empty"] = "No signature of this study selects among its features."
    return table


def ordered_features(chosen: pd.DataFrame, name: str, seed: int) -> list[str]:
    """Return the features of a signature, the most telling first.

    By the size of the coefficient; where the learner has none, by the share of fits that chose the feature, in an order
    drawn by lot among equal shares (the table's order would put one family of features before all others).
    """
    own = chosen[chosen["signature"] == name]
    if own["coefficient"].isna().all():
        lot = np.random.default_rng([seed, len(own)]).permutation(len(own))
        return own.iloc[lot].sort_values("share", ascending=False, kind="stable")["feature"].tolist()
    return own.sort_values("coefficient", key=abs, ascending=False, kind="stable")["feature"].tolist()


def correlation_table(
    assembly: Assembly, chosen: pd.DataFrame, name: str, seed: int = 0, most: int = CORRELATED
) -> pd.DataFrame:
    """Return Pearson's r between the features that a signature uses, in the training cohort.

    Parameters
    ----------
    chosen : DataFrame
        `chosen_features`.
    name : str
        Signature.
    seed : int
        Of the lot among features that are chosen equally often.
    most : int
        Features at most, the first of `ordered_features`.

    Returns
    -------
    DataFrame
        feature_a, feature_b, r; one row per pair; empty for fewer than two numeric features.
    """
    table = whole_table(assembly.training(name)[0])
    names = [f for f in ordered_features(chosen, name, seed) if f in table.columns]
    names = [f for f in names if pd.api.types.is_numeric_dtype(table[f])][:most]
    r = table[names].corr().to_numpy()
    pairs = [(names[i], names[j], r[i, j]) for i in range(len(names)) for j in range(i)]
    return pd.DataFrame(pairs, columns=["feature_a", "feature_b", "r"])


def readable_features(table: pd.DataFrame, labels: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Return a table with readable names in its columns feature, feature_a and feature_b, by `readable`."""
    columns = [name for name in ("feature", "feature_a", "feature_b") if name in table]
    return table.assign(**{name: [readable(feature, labels) for feature in table[name]] for name in columns})


_LOWERED = ", lowered along the path because the penalty of that rule keeps too few features"
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

    def readable(self, labels: Mapping[str, str] | None = None) -> PenaltyView:
        """Return the view with readable names of features."""
        names = [readable(feature, labels) for feature in self.named]
        return replace(self, path=readable_features(self.path, labels), named=names)


def penalty_view(assembly: Assembly, run: SignatureRun, name: str) -> PenaltyView | None:
    """Return the penalty of a signature that selects by LASSO or whose learner has an L1 penalty; None for others."""
    model = run.results[name].refit
    if model is None or isinstance(model, Combination) or not hasattr(model, "pipeline_"):
        return None
    table, outcome, _ = assembly.training(name)
    X = whole_table(table)
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
    if is_survival(target):
        path = lasso_cox(X, target["time"], target["event"].astype(int))
    else:
        path = lasso_binomial(X, target)
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


def _long(path: LassoPath, weakest: float, sd: Any = 1.0) -> pd.DataFrame:
    """Return the path as one row per feature and penalty, coefficients per SD; never chosen features left out.

    A penalty of twice the largest one, at which there is nothing, is added so that the start can be seen.
    """
    coef = path.coef[path.lambdas >= weakest] * sd
    coef = coef.loc[:, (coef != 0).any()]
    coef = pd.concat([pd.DataFrame(0.0, index=[2 * path.lambdas[0]], columns=coef.columns), coef])
    long = coef.rename_axis(index="lambda").reset_index().melt("lambda", var_name="feature", value_name="coefficient")
    return long[COLUMNS_OF_PATH]


@dataclass(frozen=True)
class Inspection:
    """What the signatures of a run are made of; `inspect` makes one.

    Attributes
    ----------
    run, assembly : SignatureRun, Assembly
    labels : mapping
        Words for columns.
    shown : list of str
        Signatures whose coefficients, penalties and correlations are looked at.
    seed : int
        Of the lot among features that are chosen equally often.
    stability, chosen, funnel : DataFrame
        `stability`, `chosen_features` and `selection_funnel`.
    """

    run: SignatureRun
    assembly: Assembly
    labels: Mapping[str, str]
    shown: list[str]
    seed: int
    stability: pd.DataFrame
    chosen: pd.DataFrame
    funnel: pd.DataFrame

    def readable(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return a table with readable names of features."""
        return readable_features(table, self.labels)

    def coefficients(self, name: str) -> pd.DataFrame:
        """Return the coefficients of a signature, the largest first; where it has none, the table says why."""
        chosen = self.chosen[self.chosen["signature"] == name]
        own = chosen[chosen["coefficient"].notna()].drop(columns="signature")
        table = self.readable(own)
        curved = f"its learner is not linear in its {counted(len(chosen), 'feature')}"
        why = curved if len(chosen) else "it kept no feature"
        table.attrs["empty"] = f"**{name}** has no coefficients: {why}."
        return table

    def penalties(self) -> list[PenaltyView]:
        """Return the LASSO of every signature that is shown and has one."""
        views = [penalty_view(self.assembly, self.run, name) for name in self.shown]
        return [view.readable(self.labels) for view in views if view is not None]

    def correlations(self) -> dict[str, pd.DataFrame]:
        """Return the correlations of the features that each signature shown uses, by its name."""
        return {name: correlation_table(self.assembly, self.chosen, name, self.seed) for name in self.shown}


def inspect(
    run: SignatureRun, assembly: Assembly, *, ratio: str = "odds_ratio", labels: Mapping[str, str] | None = None,
    shown: Sequence[str] = (), best: str = "", seed: int = 0,
) -> Inspection:  # fmt: skip
    """Look into the fitted signatures of a run.

    Parameters
    ----------
    run, assembly : SignatureRun, Assembly
    ratio : {"odds_ratio", "hazard_ratio"}
    labels : mapping, optional
        Words for columns.
    shown, best
        As `shown_signatures`.
    seed : int
        Of the lot among features that are chosen equally often.
    """
    tables = stability(run), chosen_features(run, ratio), selection_funnel(run)
    return Inspection(run, assembly, labels or {}, shown_signatures(assembly.signatures, shown, best), seed, *tables)
