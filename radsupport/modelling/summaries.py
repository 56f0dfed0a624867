"""Chapter 05, step by step: what the page shows of a run of signatures."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from radsupport.chapter import Chapter
from radsupport.modelling.learners import GIVEN
from radsupport.modelling.signatures import SignatureRun
from radsupport.modelling.words import LEARNER_WORDS, STEP_WORDS, selection_words
from radsupport.report.wording import counted, fixed, listed
from radsupport.schema_modelling import Signature
from radsupport.study_schema import Study
from radsupport.validation.discrimination import roc_table
from radsupport.validation.predicted import families


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
        `radsupport.validation.discrimination.discrimination_table`.
    study : Study

    Returns
    -------
    DataFrame
        signature, n, events, measure, out_of_fold, ci_low, ci_high, p_vs_half, apparent, inner_score, optimism
        (apparent - out_of_fold); the inner score is missing where nothing was fitted.
    """
    inner = run.summary.set_index("signature")["inner_score"]
    given = [s.name for s in study.signatures if s.learner in GIVEN]
    table = scores[scores["cohort"] == "train"].rename(columns={"value": "out_of_fold"})
    table = table.assign(inner_score=table["signature"].map(inner).mask(table["signature"].isin(given)))
    table["optimism"] = table["apparent"] - table["out_of_fold"]
    wanted = ["signature", "n", "events", "measure", "out_of_fold", "ci_low", "ci_high", "p_vs_half", "apparent"]
    return table[[*wanted, "inner_score", "optimism"]].reset_index(drop=True)


def spread_table(run: SignatureRun) -> pd.DataFrame:
    """Return how much the value of a signature depends on how the folds were drawn.

    Returns
    -------
    DataFrame
        signature, divisions, mean, sd, lowest, highest, first (the division whose predictions later chapters use).
    """
    by = run.by_repeat.groupby("signature", sort=False)["score"]
    table = by.agg(divisions="count", mean="mean", sd="std", lowest="min", highest="max", first="first")
    return table.reset_index()


def funnel_table(run: SignatureRun) -> pd.DataFrame:
    """Return how many features each selection step leaves.

    Returns
    -------
    DataFrame
        signature, step, features_in, features_left, fewest, most (over the folds of all divisions), refit (fit on all
        training patients); no rows where no signature selects.
    """
    columns = ["signature", "step", "features_in", "features_left", "fewest", "most", "refit"]
    if "step" not in run.funnel:
        return pd.DataFrame(columns=columns)
    funnel = run.funnel[run.funnel["step"] != "imputation"]
    by = funnel[funnel["fold"].notna()].groupby(["signature", "step"], sort=False)
    table = by.agg(
        features_in=("n_in", "mean"), features_left=("n_out", "mean"), fewest=("n_out", "min"), most=("n_out", "max")
    ).reset_index()
    refit = funnel[funnel["fold"].isna()].set_index(["signature", "step"])["n_out"]
    table["refit"] = refit.reindex(pd.MultiIndex.from_frame(table[["signature", "step"]])).to_numpy()
    table["step"] = table["step"].map(STEP_WORDS)
    return table[columns]


def funnel_parts(run: SignatureRun) -> list[tuple[str, pd.DataFrame, dict[str, Any]]]:
    """Return one panel per signature that selects: the fit on all training patients, as `figures.panels` takes it."""
    if "step" not in run.funnel:
        return []
    refit = run.funnel[run.funnel["fold"].isna()]
    parts: list[tuple[str, pd.DataFrame, dict[str, Any]]] = []
    for name, rows in refit.groupby("signature", sort=False):
        steps = rows[rows["step"] != "imputation"]
        if set(steps["step"]) <= {"variance"}:
            continue
        start = pd.DataFrame({"step": ["given"], "n_features": [int(rows["n_in"].iloc[0])]})
        steps = steps[(steps["step"] != "variance") | (steps["n_in"] > steps["n_out"])]
        after = pd.DataFrame({"step": steps["step"].map(STEP_WORDS), "n_features": steps["n_out"].astype(int)})
        parts.append((str(name), pd.concat([start, after], ignore_index=True), {}))
    return parts


def excluded_words(run: SignatureRun) -> str:
    """Say who has no prediction, and why."""
    if run.excluded.empty:
        return "Every patient has a prediction by every signature."
    lines = []
    for (signature, reason), rows in run.excluded.groupby(["signature", "reason"], sort=False):
        lines.append(f"- **{signature}**: {counted(len(rows), 'patient')} without a prediction ({reason})")
    return "\n".join(lines)


def missing_words(study: Study, cohort: pd.DataFrame) -> str:
    """Say which single columns of signatures have gaps, in which cohort, and what is done about them."""
    lines = []
    for name in dict.fromkeys(name for s in study.signatures for name in s.columns):
        gaps = cohort[name].isna().groupby(cohort["cohort"], sort=False).agg(["sum", "size"])
        parts = [
            f"{row['sum']} of {row['size']} in {study.cohorts[str(key)].name}"  # type: ignore[index]
            for key, row in gaps[gaps["sum"] > 0].iterrows()
            if key != "segmentation"
        ]
        if parts:
            how = "median" if study.columns[name].kind == "number" else "most frequent level"
            filled = f"filled with the {how} of the training part"
            lines.append(f"- {study.columns[name].label} is missing for {listed(parts)}: {filled}.")
    return "\n".join(lines) if lines else "No column that a signature names has gaps."


def roc_parts(predictions: pd.DataFrame, study: Study) -> list[tuple[str, pd.DataFrame, dict[str, Any]]]:
    """Return the training cohort's ROC curves as panels: one per comparison of the study with up to five signatures.

    Signatures that are in none of these share the last panel.
    """
    names = list(predictions["signature"].unique())
    groups = {c.name: c.signatures for c in families(predictions, study) if len(c.signatures) <= 5}
    left = [name for name in names if not any(name in group for group in groups.values())]
    groups |= {"Others" if groups else "All signatures": left} if left else {}
    tables = {title: roc_table(predictions, study, "train", group) for title, group in groups.items()}
    return [(title, table, {}) for title, table in tables.items() if len(table)]


def optimism_words(table: pd.DataFrame) -> str:
    """Say what `cross_validation_table` shows: how far the apparent values lie above the honest ones."""
    fitted = table[table["inner_score"].notna() & table["apparent"].notna()]
    if fitted.empty:
        return "Nothing was fitted, so there is no optimism to speak of."
    worst = fitted.loc[fitted["optimism"].idxmax()]
    above = int((fitted["ci_low"] > 0.5).sum())
    return (
        f"The interval lies above 0.5 for {above} of {counted(len(fitted), 'fitted signature')}. The largest gap "
        f"between apparent and out of fold is that of **{worst['signature']}**: {fixed(float(worst['apparent']))} "
        f"against {fixed(float(worst['out_of_fold']))}."
    )


def publish_scores(chapter: Chapter, scores: pd.DataFrame) -> None:
    """Publish every signature's discrimination as ``auc_<cohort>_<signature>`` or ``c_index_...``."""
    for key, entry in score_numbers(scores).items():
        chapter.publish(key, entry["value"], n=entry["n"], ci=(entry["ci_low"], entry["ci_high"]))


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


def publish_counts(chapter: Chapter, run: SignatureRun) -> None:
    """Publish how many features each step of a signature leaves, as ``features_<signature>``."""
    for name, table, _ in funnel_parts(run):
        counts = [str(n) for n in table.loc[table["step"] != STEP_WORDS["variance"], "n_features"]]
        chapter.publish(f"features_{name}", " → ".join(counts), n=int(run.results[name].risks["subject"].nunique()))
