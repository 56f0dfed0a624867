"""What a fitted signature is made of: chosen features, their coefficients, stability and correlation."""

from __future__ import annotations

from collections.abc import Mapping
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
CORRELATED = 14  # features whose correlations are drawn, at most


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


def most_chosen(table: pd.DataFrame, names: list[str], most: int = 8) -> pd.DataFrame:
    """Return the rows of `stability` with the features that each signature chose most often, at most `most` of each.

    Among features chosen equally often the first in alphabetical order are taken; `tie_words` says where that cut.
    """
    return table[table["signature"].isin(names)].groupby("signature", sort=False).head(most)


def tie_words(table: pd.DataFrame, names: list[str], most: int = 8) -> str:
    """Say for which signatures `most_chosen` cuts through features that were chosen equally often."""
    lines = []
    for name in names:
        own = table[table["signature"] == name]
        if len(own) <= most or own["times_selected"].iloc[most - 1] != own["times_selected"].iloc[most]:
            continue
        times, fits = own["times_selected"].iloc[most], own["fits"].iloc[most]
        tied = own["times_selected"] == times
        lines.append(
            f"- **{name}**: {counted(int(tied.sum()), 'feature')} tie at {times} of {fits} fits; "
            f"{int(tied.head(most).sum())} of them are shown, the first in alphabetical order, no better than the rest"
        )
    return "\n".join(lines) or "No feature that was chosen as often as these is left out."


def no_coefficient_words(chosen: pd.DataFrame, name: str) -> str:
    """Say why a signature has no coefficients to show."""
    kept = int((chosen["signature"] == name).sum())
    if not kept:
        return f"**{name}** has no coefficients: it kept no feature."
    return f"**{name}** has no coefficients: its learner is not linear in its {counted(kept, 'feature')}."


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
    study: Study, assembly: Assembly, chosen: pd.DataFrame, name: str, most: int = CORRELATED
) -> pd.DataFrame:
    """Return Pearson's r between the features that a signature uses, in the training cohort.

    Parameters
    ----------
    chosen : DataFrame
        `chosen_features`.
    name : str
        Signature.
    most : int
        Features at most, the first of `ordered_features`.

    Returns
    -------
    DataFrame
        feature_a, feature_b, r; one row per pair; empty for fewer than two numeric features.
    """
    columns, *_ = training_data(study, assembly, name)
    table = columns if isinstance(columns, pd.DataFrame) else columns.refit
    names = [f for f in ordered_features(chosen, name, study.seed) if f in table.columns]
    names = [f for f in names if pd.api.types.is_numeric_dtype(table[f])][:most]
    r = table[names].corr().to_numpy()
    pairs = [(i, j) for i in range(len(names)) for j in range(i)]
    return pd.DataFrame(
        {
            "feature_a": [names[i] for i, _ in pairs],
            "feature_b": [names[j] for _, j in pairs],
            "r": [r[p] for p in pairs],
        }
    )


def correlation_words(pairs: pd.DataFrame, chosen: pd.DataFrame, name: str) -> str:
    """Say how related the features of a signature are, and which of them are looked at."""
    if pairs.empty:
        return f"**{name}** uses fewer than two numeric features: there is no pair to correlate."
    strong = int((pairs["r"].abs() > 0.7).sum())
    text = (
        f"**{name}** ({_shown(pairs, chosen, name)}): {strong} of {counted(len(pairs), 'pair')} with |r| above 0.7; "
        f"the largest |r| is {fixed(float(pairs['r'].abs().max()))}."
    )
    if chosen.loc[chosen["signature"] == name, "coefficient"].isna().all():
        return text
    return f"{text} Coefficients of strongly related features can not be told apart."


def correlation_caption(pairs: pd.DataFrame, chosen: pd.DataFrame, name: str) -> str:
    """Return what the figure of a signature's correlations shows."""
    return f"Correlation of features of {name} ({_shown(pairs, chosen, name)})"


def _shown(pairs: pd.DataFrame, chosen: pd.DataFrame, name: str) -> str:
    """Say how many features are in the pairs, of how many, and by which rule."""
    own = chosen[chosen["signature"] == name]
    shown, total = pd.concat([pairs["feature_a"], pairs["feature_b"]]).nunique(), len(own)
    if shown == total:
        return f"all {counted(total, 'feature')}"
    if shown < CORRELATED:
        return f"{shown} of {total} features, the numeric ones"
    if own["coefficient"].notna().any():
        return f"{shown} of {total} features, those with the largest coefficients"
    share = own["share"].nlargest(shown).min()
    tied, above = int((own["share"] == share).sum()), int((own["share"] > share).sum())
    lot = f", {shown - above} of them drawn by lot from {tied} that tie" if above + tied > shown else ""
    return f"{shown} of {total} features, those chosen most often{lot}"


def readable(feature: str, labels: Mapping[str, str] | None = None) -> str:
    """Return a feature's name with blanks for underscores, its phase in front and a category's level behind.

    Parameters
    ----------
    feature : str
        ``<phase>__<name>``, a column, or ``<column>=<level>``.
    labels : mapping, optional
        Words for columns.
    """
    column, equals, level = feature.partition("=")
    if column in (labels or {}):
        return f"{(labels or {})[column]}: {level}" if equals else (labels or {})[column]
    phase, _, rest = feature.replace("=", ": ", 1).partition("__")
    return f"{phase}: {rest.replace('_', ' ')}" if rest else phase.replace("_", " ")


def readable_features(table: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return a table with readable names in its column feature; columns of the study by their label."""
    labels = {name: column.label for name, column in study.columns.items()}
    return table.assign(feature=[readable(feature, labels) for feature in table["feature"]])


def readable_pairs(pairs: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return a table of pairs with readable feature names, for a figure."""
    labels = {name: column.label for name, column in study.columns.items()}
    names = {key: [readable(feature, labels) for feature in pairs[key]] for key in ("feature_a", "feature_b")}
    return pairs.assign(**names)
