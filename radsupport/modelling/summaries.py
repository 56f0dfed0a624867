"""Chapter 05, step by step: what the page shows of a run of signatures."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from radsupport.chapter import Chapter
from radsupport.modelling.signatures import SignatureRun
from radsupport.study_schema import Study


def signature_table(study: Study) -> pd.DataFrame:
    """Return the study's signatures in words: what goes in, how it is selected, which learner."""
    rows = []
    for s in study.signatures:
        phases = [study.phases[phase].name for phase in s.phases]
        inputs = [source.replace("_", " ") for source in s.sources] + s.combines + [study.columns[c].label for c in s.columns]
        steps = [f"{s.selection.test} test, P < {s.selection.alpha:g}"] if s.selection.test != "none" else []
        steps += ["Benjamini–Hochberg"] if s.selection.adjust == "bh" else []
        steps += [f"|r| < {s.selection.max_correlation:g}"] if s.selection.max_correlation else []
        steps += ["LASSO"] if s.selection.lasso else []
        steps = (["reproducible features"] if s.selection.icc else []) + steps
        rows.append({"signature": s.name, "inputs": ", ".join(inputs), "phases": ", ".join(phases), "selection": "; ".join(steps), "learner": s.learner})
    return pd.DataFrame(rows)


def funnel_table(run: SignatureRun) -> pd.DataFrame:
    """Return the mean number of features after each step, over the folds: signature, step, features before, after."""
    if "step" not in run.funnel:
        return pd.DataFrame({"note": ["no signature selects features"]})
    folds = run.funnel[run.funnel["fold"].notna()]
    table = folds.groupby(["signature", "step"], sort=False)[["n_in", "n_out"]].mean().reset_index()
    return table.rename(columns={"n_in": "features before", "n_out": "features after"})


def stability_table(run: SignatureRun, top: int = 5) -> pd.DataFrame:
    """Return the features chosen in most fits, the first `top` of each signature."""
    if "share" not in run.stability:
        return pd.DataFrame()
    order = run.stability.sort_values(["signature", "share"], ascending=[True, False], kind="stable")
    return order.groupby("signature", sort=False).head(top)[["signature", "feature", "times_selected", "fits", "share"]]


def control_words(control: dict[str, float], signature: str, observed: float) -> str:
    """Say what the permuted runs gave, and whether they cover 0.5."""
    covers = control["ci_low"] <= 0.5 <= control["ci_high"]
    verdict = "covers 0.5: nothing leaks as far as this control can tell" if covers else "**does not cover 0.5: something leaks**"
    return (
        f"{control['n']:.0f} runs of **{signature}** with permuted outcomes gave a mean of {control['mean']:.2f} "
        f"(range of 95%: {control['ci_low']:.2f} to {control['ci_high']:.2f}), which {verdict}. With the true outcomes it was "
        f"{observed:.2f}; the share of permuted runs that reach it, counting the true one, is P = {control['p']:.2f}."
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
            entry = {"value": float(row["value"]), "n": int(row["n"]), "ci_low": float(row["ci_low"]), "ci_high": float(row["ci_high"])}
            numbers[f"{measure}_{row['cohort']}_{row['signature']}"] = entry
    return numbers
