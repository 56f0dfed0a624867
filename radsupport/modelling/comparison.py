"""Learners compared on the same features: what inner cross-validation chooses, and what training values would."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from radsupport.modelling.opening import assemble
from radsupport.modelling.signatures import SignatureRun, learner_signatures, run_signatures
from radsupport.report.wording import estimate, fixed
from radsupport.study_schema import Study
from radsupport.validation.discrimination import discrimination_of
from radsupport.validation.predicted import honest, judged_cohorts

METRICS = {"apparent": "training (apparent)", "inner_score": "inner folds", "out_of_fold": "out of fold"}


def compare_learners(study: Study, results: Path, folds: pd.Series | None = None, n_jobs: int = 1) -> SignatureRun:
    """Run every learner of ``modelling.compare_learners`` on every source of ``modelling.compare_sources``.

    Selection and folds are those of the signature of the source, so that only the learner differs; learners that
    share their selection share its fits.
    """
    signatures = learner_signatures(study)
    return run_signatures(study, assemble(study, results, signatures), folds=folds, n_jobs=n_jobs)


def learner_table(run: SignatureRun, study: Study) -> pd.DataFrame:
    """Return the learners of a comparison, the best by inner cross-validation first.

    Returns
    -------
    DataFrame
        source, learner, n, inner_score, out_of_fold, ci_low, ci_high, apparent, then one column per other cohort with
        the value there (NaN where it can not be estimated).
    """
    rows = []
    for summary in run.summary.to_dict("records"):
        source, _, learner = str(summary["signature"]).partition(" ")
        own = run.predictions[run.predictions["signature"] == summary["signature"]]
        row = {"source": source, "learner": learner, "n": summary["n"], "inner_score": summary["inner_score"]}
        found = discrimination_of(honest(own, "train"), study)
        row |= {"out_of_fold": found["value"], "ci_low": found["ci_low"], "ci_high": found["ci_high"]}
        row["apparent"] = summary["apparent"]
        for cohort in (c for c in judged_cohorts(own, study) if c != "train"):
            row[cohort] = discrimination_of(honest(own, cohort), study)["value"]
        rows.append(row)
    table = pd.DataFrame(rows)
    return table.sort_values(["source", "inner_score"], ascending=[True, False], kind="stable", ignore_index=True)


def radar_table(table: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return one source's learners for `figures.radar`: a spoke per learner, a line per way of judging.

    Returns
    -------
    DataFrame
        learner (the way of judging), metric (the learner), value: named as the figure asks, which draws one line per
        `learner` and one spoke per `metric`. Ways of judging that not every learner has are left out.
    """
    others = [c for c in study.cohorts if c in table.columns]
    kept = [c for c in (*METRICS, *others) if table[c].notna().all()]
    names = METRICS | {c: study.cohorts[c].name for c in study.cohorts}
    long = table.sort_values("learner").melt("learner", kept, var_name="way", value_name="value")
    return pd.DataFrame({"learner": long["way"].map(names), "metric": long["learner"], "value": long["value"]})


def radar_alt(radar: pd.DataFrame, source: str) -> str:
    """Describe the radar in words."""
    ranges = radar.groupby("learner", sort=False)["value"].agg(["min", "max"])
    parts = "; ".join(f"{way} {fixed(low)} to {fixed(high)}" for way, low, high in ranges.itertuples())
    return (
        f"Radar of {radar['metric'].nunique()} learners on {source}, one spoke each; lowest and highest value: {parts}."
    )


def radar_limits(radar: pd.DataFrame) -> dict[str, float]:
    """Return where the centre of the radar lies: just below the lowest value, so that the lines stay apart."""
    return {"low": max(0.0, np.floor(10 * (radar["value"].min() - 0.02)) / 10), "high": 1.0}


def choices(table: pd.DataFrame) -> pd.DataFrame:
    """Return, per source, the learner that inner cross-validation chooses and the one with the best training value.

    Returns
    -------
    DataFrame
        source, rule, learner, chosen_by (the value that decided), out_of_fold, ci_low, ci_high.
    """
    rules = {"inner cross-validation": "inner_score", "training value (the paper's rule)": "apparent"}
    rows = []
    for source, part in table.groupby("source", sort=False):
        for rule, column in rules.items():
            best = part.loc[part[column].idxmax()]
            row = {"source": source, "rule": rule, "learner": best["learner"], "chosen_by": best[column]}
            rows.append(row | {key: best[key] for key in ("out_of_fold", "ci_low", "ci_high")})
    return pd.DataFrame(rows)


def choice_words(table: pd.DataFrame) -> str:
    """Say which learner each rule chooses and what it then does on patients it has not seen."""
    lines = []
    for source, part in choices(table).groupby("source", sort=False):
        inner, training = (row for _, row in part.iterrows())
        honest_value = estimate(inner["out_of_fold"], inner["ci_low"], inner["ci_high"])
        text = (
            f"- **{source}**: inner cross-validation chooses **{inner['learner']}** (inner folds "
            f"{fixed(inner['chosen_by'])}; out of fold {honest_value})."
        )
        if training["learner"] == inner["learner"]:
            text += " The best training value belongs to the same learner."
        else:
            text += (
                f" By the training value it would be **{training['learner']}**, with {fixed(training['chosen_by'])} "
                f"on its own patients and {fixed(training['out_of_fold'])} out of fold."
            )
        lines.append(text)
    return "\n".join(lines)
