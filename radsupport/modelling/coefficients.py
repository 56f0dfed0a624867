"""What a fitted signature is made of: chosen features, their coefficients, stability and correlation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from radsupport.checks import FloatArray
from radsupport.modelling.assembly import Assembly
from radsupport.modelling.combination import Combination
from radsupport.modelling.learners import GIVEN
from radsupport.modelling.signatures import SignatureRun, training_data
from radsupport.report.wording import counted, fixed
from radsupport.study_schema import Study

STABILITY_COLUMNS = ["signature", "feature", "times_selected", "fits", "share"]


def learner_of(model: Any) -> Any:
    """Return the fitted learner of a signature; of a combination, that of its own columns."""
    pipeline = model.meta_ if isinstance(model, Combination) else model
    return pipeline.pipeline_.steps[-1][1]


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
    if coefs is None:
        return None
    doubled = 2.0 if getattr(learner, "family", "") == "half_logit" else 1.0
    return doubled * np.asarray(coefs, dtype=float).ravel()


def chosen_by(model: Any) -> pd.Series:
    """Return the coefficient of every feature that a fitted signature uses, NaN where the learner has none.

    Features that reach an L1-penalised or boosted learner and get a coefficient of 0 are not among them.
    """
    coefs = linear_coefficients(learner_of(model))
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
        tables.append(counts.assign(signature=name, fits=len(models), share=counts["times_selected"] / len(models)))
    if not tables:
        return pd.DataFrame(columns=STABILITY_COLUMNS)
    table = pd.concat(tables, ignore_index=True)[STABILITY_COLUMNS]
    order = pd.Series(range(len(run.results)), index=list(run.results))
    table["order"] = table["signature"].map(order)
    table = table.sort_values(["order", "times_selected", "feature"], ascending=[True, False, True], ignore_index=True)
    return table[STABILITY_COLUMNS]


def stability_words(table: pd.DataFrame, names: list[str]) -> str:
    """Say how many features of each signature were chosen in at least nine of ten fits."""
    lines = []
    for name in names:
        shares = table.loc[table["signature"] == name, "share"]
        text = f"{counted(len(shares), 'feature')} chosen at least once, {int((shares >= 0.9).sum())} of them"
        lines.append(f"- **{name}**: {text} in nine of ten fits or more")
    return "\n".join(lines) if lines else "No signature of this study selects features."


def chosen_features(run: SignatureRun, study: Study) -> pd.DataFrame:
    """Return what each signature uses after its fit on all training patients.

    Returns
    -------
    DataFrame
        signature, feature, coefficient (log-odds or log hazard per SD; NaN where the learner has none), odds_ratio or
        hazard_ratio per SD, share of the folds' fits that chose it; the largest coefficients first.
    """
    ratio = "odds_ratio" if study.endpoint.primary == "label" else "hazard_ratio"
    shares = stability(run).set_index(["signature", "feature"])["share"]
    tables = []
    for name, result in run.results.items():
        if result.refit is None or study_learner(study, name) in GIVEN:
            continue
        chosen = chosen_by(result.refit)
        table = pd.DataFrame({"signature": name, "feature": chosen.index, "coefficient": chosen.to_numpy()})
        table["share"] = shares.reindex(pd.MultiIndex.from_frame(table[["signature", "feature"]])).fillna(0).to_numpy()
        tables.append(table.sort_values("coefficient", key=abs, ascending=False, kind="stable", na_position="last"))
    columns = ["signature", "feature", "coefficient", ratio, "share"]
    if not tables:
        return pd.DataFrame(columns=columns)
    table = pd.concat(tables, ignore_index=True)
    with np.errstate(over="ignore"):
        table[ratio] = np.exp(table["coefficient"])
    return table[columns]


def study_learner(study: Study, name: str) -> str:
    """Return the learner of a signature; empty for one that the study does not name."""
    return next((s.learner for s in study.signatures if s.name == name), "")


def shown_signatures(study: Study, run: SignatureRun) -> list[str]:
    """Return the signatures whose coefficients are shown: ``modelling.shown``, or the parts of the best signature."""
    names = study.modelling.shown or _parts(study, study.validation.best or study.signatures[0].name)
    fitted = [name for name in names if name in run.results and study_learner(study, name) not in GIVEN]
    return list(dict.fromkeys(fitted))


def _parts(study: Study, name: str) -> list[str]:
    signature = study.signature(name)
    return [part for own in signature.combines for part in _parts(study, own)] if signature.combines else [name]


def correlation_table(
    study: Study, assembly: Assembly, chosen: pd.DataFrame, name: str, most: int = 14
) -> pd.DataFrame:
    """Return Pearson's r between the features that a signature uses, in the training cohort.

    Parameters
    ----------
    chosen : DataFrame
        `chosen_features`.
    name : str
        Signature.
    most : int
        Features, those with the largest coefficients.

    Returns
    -------
    DataFrame
        feature_a, feature_b, r; one row per pair; empty for fewer than two numeric features.
    """
    columns, *_ = training_data(study, assembly, name)
    table = columns if isinstance(columns, pd.DataFrame) else columns.refit
    names = [f for f in chosen.loc[chosen["signature"] == name, "feature"].head(most) if f in table.columns]
    names = [f for f in names if pd.api.types.is_numeric_dtype(table[f])]
    r = table[names].corr().to_numpy()
    pairs = [(i, j) for i in range(len(names)) for j in range(i)]
    return pd.DataFrame(
        {
            "feature_a": [names[i] for i, _ in pairs],
            "feature_b": [names[j] for _, j in pairs],
            "r": [r[p] for p in pairs],
        }
    )


def correlation_words(pairs: pd.DataFrame, name: str) -> str:
    """Say how related the features of a signature are."""
    if pairs.empty:
        return f"**{name}** uses fewer than two numeric features: there is no pair to correlate."
    strong = int((pairs["r"].abs() > 0.7).sum())
    return (
        f"**{name}**: {strong} of {counted(len(pairs), 'pair')} with |r| above 0.7; the largest |r| is "
        f"{fixed(float(pairs['r'].abs().max()))}. Coefficients of strongly related features can not be told apart."
    )


def readable(feature: str) -> str:
    """Return a feature's name with blanks for underscores, its phase in front and a category's level behind."""
    phase, _, rest = feature.replace("=", ": ", 1).partition("__")
    return f"{phase}: {rest.replace('_', ' ')}" if rest else phase.replace("_", " ")


def readable_pairs(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return a table of pairs with readable feature names, for a figure."""
    return pairs.assign(feature_a=pairs["feature_a"].map(readable), feature_b=pairs["feature_b"].map(readable))
