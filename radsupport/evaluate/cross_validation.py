"""How much a signature's value depends on how the folds were drawn, and how lucky the first division was.

Chapter 05, step by step: what the page shows of a run of signatures.
"""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from radsupport.evaluate.discrimination import null_se_p
from radsupport.learning.learners import GIVEN, LEARNER_WORDS, STEP_WORDS, selection_words
from radsupport.learning.signatures import SignatureRun, published_signatures
from radsupport.settings.learning import Signature
from radsupport.settings.study import Study
from radsupport.wording import fixed

PUBLISHED_AS = "mean_over_divisions:"


def spread_table(run: SignatureRun, study: Study) -> pd.DataFrame:
    """Return how much the value of a signature depends on how the folds were drawn.

    Returns
    -------
    DataFrame
        signature, divisions, mean, sd, lowest, highest, first (the division whose predictions later chapters use);
        published outputs, which no division changes, are left out.
    """
    scores = run.by_repeat[~run.by_repeat["signature"].isin(published_signatures(study))]
    by = scores.groupby("signature", sort=False)["score"]
    table = by.agg(divisions="count", mean="mean", sd="std", lowest="min", highest="max", first="first")
    return table.reset_index()


def divided_again(spread: pd.DataFrame) -> bool:
    """Whether the folds were drawn more than once."""
    return bool((spread["divisions"] > 1).any())


def signature_table(study: Study) -> pd.DataFrame:
    """Return the study's signatures in words: signature, inputs, phases, selection, learner, description."""
    rows = []
    for s in study.signatures:
        row = {"signature": s.name, "inputs": _inputs(s, study), "phases": _phases(s, study)}
        row |= {"selection": selection_words(s), "learner": LEARNER_WORDS.get(s.learner, s.learner)}
        rows.append(row | {"description": s.description})
    table = pd.DataFrame(rows)
    return table if table["description"].any() else table.drop(columns="description")


def _inputs(signature: Signature, study: Study) -> str:
    columns = [study.columns[name].label for name in signature.columns]
    return ", ".join([*(source.replace("_", " ") for source in signature.sources), *signature.combines, *columns])


def _phases(signature: Signature, study: Study) -> str:
    return ", ".join(study.phases[phase].name for phase in signature.phases) or "–"


def cross_validation_table(run: SignatureRun, scores: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return how each signature ranks the training patients: honestly, apparently, and inside the tuning.

    Parameters
    ----------
    run : SignatureRun
    scores : DataFrame
        `radsupport.evaluate.discrimination.discrimination_table`.
    study : Study

    Returns
    -------
    DataFrame
        signature, kind (only where the study has published outputs), n, events, measure, out_of_fold (first division),
        ci_low, ci_high, p_null_se (AUC) or p_wald (C-index) against 0.5, divisions_mean and divisions_range (only
        where the folds were drawn more than once), apparent, inner_score, optimism (apparent minus the mean over
        divisions). The inner score is missing where nothing was fitted; for published outputs, which no fold leaves
        out, the apparent value and the optimism are missing as well.
    """
    given = [s.name for s in study.signatures if s.learner in GIVEN]
    table = scores[scores["cohort"] == "train"].rename(columns={"value": "out_of_fold"})
    names, published = table["signature"], table["signature"].isin(published_signatures(study))
    inner = names.map(run.summary.set_index("signature")["inner_score"]).mask(names.isin(given))
    spread = spread_table(run, study).set_index("signature")
    mean = names.map(spread["mean"])
    table = table.assign(inner_score=inner, apparent=table["apparent"].mask(published))
    table["optimism"] = table["apparent"] - mean
    p, values = _p_against_half(table)
    table[p] = values
    wanted = ["signature", "n", "events", "measure", "out_of_fold", "ci_low", "ci_high", p]
    if divided_again(spread):
        table = table.assign(divisions_mean=mean, divisions_range=names.map(_ranges(spread)))
        wanted += ["divisions_mean", "divisions_range"]
    if published.any():
        table["kind"] = _kinds(table["signature"], study)
        wanted.insert(1, "kind")
    return table[[*wanted, "apparent", "inner_score", "optimism"]].reset_index(drop=True)


def _p_against_half(table: pd.DataFrame) -> tuple[str, list[float]]:
    """Return the name and the values of the P against 0.5.

    For an AUC by the standard error under chance: DeLong's, estimated at the AUC found, is too small for large AUCs of
    few patients.
    """
    if not (table["measure"] == "AUC").all():
        return "p_wald", table["p_vs_half"].tolist()
    rows = zip(table["out_of_fold"], table["events"], table["n"], strict=True)
    return "p_null_se", [null_se_p(area, events, n - events) for area, events, n in rows]


def _ranges(spread: pd.DataFrame) -> pd.Series:
    """Return the lowest and highest value of each signature's divisions as text."""
    return spread["lowest"].map(lambda x: fixed(x, 3)) + "–" + spread["highest"].map(lambda x: fixed(x, 3))


def _kinds(names: pd.Series, study: Study) -> list[str]:
    """Say of each signature whether its value is out of fold."""
    heirs, published = heirs_of_published(study), published_signatures(study)
    return [
        "published output; not fitted here" if name in published
        else "out of fold, on a published output" if name in heirs
        else "out of fold"
        for name in names
    ]  # fmt: skip


def heirs_of_published(study: Study) -> list[str]:
    """Return the combinations that learn, directly or through another one, from a published output."""
    known = set(published_signatures(study))
    heirs: list[str] = []
    for _ in study.signatures:  # as many rounds as a chain of combinations can be long
        heirs = [s.name for s in study.signatures if known & set(s.combines)]
        known |= set(heirs)
    return heirs


def funnel_table(run: SignatureRun) -> pd.DataFrame:
    """Return how many features each selection step leaves.

    Returns
    -------
    DataFrame
        signature, step, features_in, features_left (means over the folds of all divisions, in whole features), fewest,
        most (over the same folds), refit (fit on all training patients); no rows where no signature selects.
    """
    columns = ["signature", "step", "features_in", "features_left", "fewest", "most", "refit"]
    if "step" not in run.funnel:
        return pd.DataFrame(columns=columns)
    funnel = run.funnel[run.funnel["step"] != "imputation"]
    by = funnel[funnel["fold"].notna()].groupby(["signature", "step"], sort=False)
    table = by.agg(
        features_in=("n_in", "mean"), features_left=("n_out", "mean"), fewest=("n_out", "min"), most=("n_out", "max")
    ).reset_index()
    table = table.round({"features_in": 0, "features_left": 0})
    refit = funnel[funnel["fold"].isna()].set_index(["signature", "step"])["n_out"]
    table["refit"] = refit.reindex(pd.MultiIndex.from_frame(table[["signature", "step"]])).to_numpy()
    table["step"] = table["step"].map(STEP_WORDS)
    return table[columns]


def score_numbers(scores: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return discrimination by key: value, n, ci_low, ci_high."""
    numbers = {}
    for row in scores.to_dict("records"):
        measure = "auc" if row["measure"] == "AUC" else "c_index"
        if not math.isnan(row["value"]):
            entry = {"value": float(row["value"]), "n": int(row["n"])}
            entry |= {"ci_low": float(row["ci_low"]), "ci_high": float(row["ci_high"])}
            numbers[f"{measure}_{row['cohort']}_{row['signature']}"] = entry
    return numbers
