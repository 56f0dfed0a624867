"""Chapter 05, step by step: what the page shows of a run of signatures."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from radsupport.chapter import Chapter
from radsupport.modelling.divisions import divided_again, spread_table
from radsupport.modelling.learners import GIVEN
from radsupport.modelling.signatures import SignatureRun, published_signatures
from radsupport.modelling.words import LEARNER_WORDS, STEP_WORDS, selection_words
from radsupport.report.wording import counted, fixed, listed
from radsupport.schema_modelling import Signature
from radsupport.study_schema import Study
from radsupport.validation.discrimination import null_se_p, roc_table
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


def published_words(study: Study) -> str:
    """Say what the value of a published output is worth among training patients; empty where a study has none."""
    names, heirs = published_signatures(study), heirs_of_published(study)
    if not names:
        return ""
    inherit = f" What learns from it inherits this: {_bold(heirs)}." if heirs else ""
    return (
        f"Published output: {_bold(names)}. Nothing of it is fitted here, and no fold leaves anybody out. The patients "
        "that a published model was trained on may be among the training patients of this page; its value is then an "
        "apparent one, not to be compared with values out of fold, and has no optimism that could be computed."
        f"{inherit}"
    )


def published_note(study: Study) -> str:
    """Return the same in a few words, for the end of a caption; empty where a study has no published output."""
    names = published_signatures(study)
    return f" {listed(names)}: published output, not fitted here and so not out of fold." if names else ""


def _bold(names: list[str]) -> str:
    return listed([f"**{name}**" for name in names])


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
    divided = "divisions_mean" in table
    unseen = float(worst["divisions_mean" if divided else "out_of_fold"])
    return (
        f"The interval lies above 0.5 for {above} of {counted(len(fitted), 'fitted signature')}. The largest gap "
        f"between apparent and out of fold{' (mean over divisions)' if divided else ''} is that of "
        f"**{worst['signature']}**: {fixed(float(worst['apparent']))} against {fixed(unseen)}."
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
