"""Learners compared on the same features: what inner cross-validation chooses, and what training values would.

How a signature depends on the number of training patients.

Choices of the earlier chapters compared: each variant of a feature table judged by its signature's protocol.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone

from radsupport.checks import FloatArray, IntArray
from radsupport.errors import ContractError, NotEstimableError, Problem
from radsupport.evaluate.discrimination import discrimination_of, paired_tests
from radsupport.evaluate.predictions import honest, judged_cohorts
from radsupport.learning.crossval import cross_validate
from radsupport.learning.learners import GIVEN
from radsupport.learning.preparation import as_table
from radsupport.learning.signatures import (
    Assembly,
    SignatureRun,
    assemble,
    learner_signatures,
    run_signatures,
    select_rows,
    training_data,
)
from radsupport.settings.learning import LearningCurve, Signature
from radsupport.settings.study import Study
from radsupport.stats.outcome import Target, as_target, discrimination, risk_of, strata

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


COLUMNS = ["signature", "draw", "n", "events", "n_all", "out_of_fold", "external"]
FEW = 5  # draws per size below which nothing is said of rising or flat


class Subsampled(BaseEstimator):
    """A model fitted on a share of the subjects it is given, drawn by outcome.

    Parameters
    ----------
    model : estimator
    share : float
        In (0, 1].
    least : int
        Subjects of each outcome group that are kept at least (the model's inner folds need as many).
    seed : int

    Attributes
    ----------
    model_ : the fitted model
    n_, events_ : int
        Subjects it was fitted on, and events among them.
    """

    def __init__(self, model: Any, share: float, least: int = 2, seed: int = 0) -> None:
        self.model = model
        self.share = share
        self.least = least
        self.seed = seed

    def fit(self, X: pd.DataFrame, y: Any) -> Subsampled:
        """Fit the model on the drawn subjects.

        Raises
        ------
        NotEstimableError
            An outcome group has fewer subjects than `least`.
        """
        table, target = as_table(X), as_target(y)
        rows = draw_share(target, self.share, self.least, self.seed)
        self.n_, self.events_ = len(rows), int(strata(target)[rows].sum())
        self.model_ = clone(self.model).fit(table.iloc[rows], target[rows])
        return self

    def risk(self, X: pd.DataFrame) -> FloatArray:
        """Return the model's risk, shape (n_subjects,)."""
        return risk_of(self.model_, X)


def draw_share(target: Target, share: float, least: int, seed: int) -> IntArray:
    """Return the positions of a share of the subjects, the same share of each outcome group, in their order."""
    rng, groups, rows = np.random.default_rng([seed, 17]), strata(target), []
    for value in (0, 1):
        members = rng.permutation(np.flatnonzero(groups == value))
        size = max(round(share * len(members)), least)
        if size > len(members):
            raise NotEstimableError(
                f"{least} subjects of each outcome are needed, there are {len(members)} of group {value}. "
                "Use fewer inner folds."
            )
        rows.append(members[:size])
    return np.sort(np.concatenate(rows))


def learning_table(
    study: Study, assembly: Assembly, settings: LearningCurve, *, folds: pd.Series | None = None, n_jobs: int = 1
) -> pd.DataFrame:
    """Cross-validate signatures whose training parts are cut to a share of their patients.

    Every patient is still judged, by models that were fitted on fewer others; the other cohorts are judged by a model
    fitted on that share of all training patients.

    Returns
    -------
    DataFrame
        signature, draw, n (mean number of patients per fit in the folds), events (among them), n_all (patients of the
        fit that judges the other cohorts), out_of_fold, external (AUC or C-index; NaN without another cohort); one row
        per share and draw. Signatures that fit nothing have none.
    """
    rows = []
    for name in (name for name in settings.signatures if assembly.signatures[name].learner not in GIVEN):
        for share in settings.shares:
            for draw in range(settings.draws if share < 1 else 1):
                rows.append({"signature": name, "draw": draw} | _one(study, assembly, name, share, draw, folds, n_jobs))
    numbers = dict.fromkeys(COLUMNS[2:], float)
    return pd.DataFrame(rows, columns=COLUMNS).astype(numbers)


def _one(
    study: Study, assembly: Assembly, name: str, share: float, draw: int, folds: pd.Series | None, n_jobs: int
) -> dict[str, float]:
    table, outcome, failed = training_data(study, assembly, name)
    inner = study.modelling.inner_folds
    result = cross_validate(
        table,
        outcome,
        partial(_subsampled, assembly, name, share, draw),
        folds=study.modelling.folds if folds is None else folds.reindex(outcome.index),
        inner_folds=inner,
        seed=study.seed,
        n_jobs=n_jobs,
    )
    models = list(result.models[0].values())
    row = {"n": np.mean([m.n_ for m in models]), "events": np.mean([m.events_ for m in models])}
    row["n_all"] = result.refit.n_
    row["out_of_fold"] = result.by_repeat["score"].iloc[0]
    elsewhere = assembly.cohort[assembly.cohort["cohort"].isin(["internal", "external"])]
    elsewhere = elsewhere.drop(index=pd.Index(failed["subject"]), errors="ignore").dropna(subset=list(_columns(study)))
    if elsewhere.empty:
        return row | {"external": np.nan}
    risk = result.external_risk(select_rows(assembly.table(name), elsewhere.index), "refit")
    known = elsewhere["label"] if study.endpoint.primary == "label" else elsewhere[["time", "event"]]
    return row | {"external": discrimination(as_target(known), risk.to_numpy())}


def _subsampled(assembly: Assembly, name: str, share: float, draw: int, inner_folds: int, seed: int) -> Subsampled:
    return Subsampled(assembly.estimator(name, inner_folds, seed), share, inner_folds, 1000 * draw + seed)


def _columns(study: Study) -> list[str]:
    return ["label"] if study.endpoint.primary == "label" else ["time", "event"]


def curve_table(draws: pd.DataFrame) -> pd.DataFrame:
    """Return the draws as lines: mean and range over the draws of each size.

    Returns
    -------
    DataFrame
        signature, judged (out of fold / other cohorts), n (training patients of the fits that judge these), draws,
        value, low, high.
    """
    parts = []
    for column, size, judged in (("out_of_fold", "n", "out of fold"), ("external", "n_all", "other cohorts")):
        known = draws.dropna(subset=[column])
        by = known.assign(n=known[size].round()).groupby(["signature", "n"], sort=False)[column]
        found = by.agg(draws="count", value="mean", low="min", high="max").reset_index()
        parts.append(found.assign(judged=judged))
    table = pd.concat(parts, ignore_index=True)
    return table[["signature", "judged", "n", "draws", "value", "low", "high"]]


VARIANT_COLUMNS = ["variant", "table", "source", "signature", "group", "description"]
AS_CHOSEN = "as the study has it"


def read_variants(study: Study, results: Path) -> pd.DataFrame:
    """Return every row of ``variants_<chapter>.csv``, checked.

    Returns
    -------
    DataFrame
        variant, table (file stem of a feature table), source (that it replaces), signature (whose protocol judges it),
        group, description; empty where no chapter wrote variants.

    Raises
    ------
    ContractError
        Columns or tables are missing, or a signature is unknown or does not use the source; all problems at once.
    """
    paths = sorted(results.glob("variants_*.csv"))
    tables = [pd.read_csv(path, dtype=str, keep_default_na=False).assign(file=path.name) for path in paths]
    problems = [
        Problem(
            f"the column `{column}` is missing", ", ".join(VARIANT_COLUMNS), "run the chapter again", file=path.name
        )
        for path, table in zip(paths, tables, strict=True)
        for column in VARIANT_COLUMNS
        if column not in table
    ]
    rows = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=[*VARIANT_COLUMNS, "file"])
    problems += [] if problems else [found for row in rows.to_dict("records") for found in _check(row, study, results)]
    if problems:
        raise ContractError(f"The variants of {study.id} can not be judged.", problems)
    return rows[VARIANT_COLUMNS]


def _check(row: Mapping[Any, Any], study: Study, results: Path) -> list[Problem]:
    found = []
    if not (results / f"{row['table']}.parquet").is_file():
        found.append(
            Problem("no such feature table", remedy="run the chapter again", file=row["file"], value=row["table"])
        )
    signature = next((s for s in study.signatures if s.name == row["signature"]), None)
    if signature is None or row["source"] not in signature.sources:
        what = f"no signature of this name learns from {row['source']!r}"
        found.append(Problem(what, file=row["file"], column="signature", value=row["signature"]))
    return found


def evaluate_variants(
    study: Study,
    results: Path,
    variants: pd.DataFrame,
    predictions: pd.DataFrame,
    folds: pd.Series | None = None,
    n_jobs: int = 1,
) -> pd.DataFrame:
    """Judge every variant as its signature is judged: same folds, selection, learner and seed.

    Parameters
    ----------
    variants : DataFrame
        `read_variants`.
    predictions : DataFrame
        Those of the study's own signatures, to compare with.

    Returns
    -------
    DataFrame
        group, signature, variant, description, n, events, out_of_fold, ci_low, ci_high, difference (variant minus the
        study's choice, out of fold, on the patients of both), diff_low, diff_high, p, and one column per other cohort.
        The first row of a signature within a group is the study's own choice.
    """
    rows = []
    for (group, name), part in variants.groupby(["group", "signature"], sort=False):
        own = predictions[predictions["signature"] == name]
        rows.append({"group": group, "signature": name, "variant": AS_CHOSEN, "description": "", **_judged(own, study)})
        for variant in part.to_dict("records"):
            found = _predictions_of(study, results, variant, folds, n_jobs)
            row = {
                "group": group,
                "signature": name,
                "variant": variant["variant"],
                "description": variant["description"],
            }
            rows.append(row | _judged(found, study) | _difference(own, found, study))
    return pd.DataFrame(rows)


def _predictions_of(
    study: Study, results: Path, variant: Mapping[Any, Any], folds: pd.Series | None, n_jobs: int
) -> pd.DataFrame:
    """Return the predictions of one variant under a name of its own."""
    base: Signature = study.signature(variant["signature"])
    stem = variant["table"].removeprefix("features_")
    assembly = assemble(study, results, [base], stems={variant["source"]: stem})
    once = study.model_copy(update={"modelling": study.modelling.model_copy(update={"repeats": 1})})
    found = run_signatures(once, assembly, folds=folds, n_jobs=n_jobs).predictions
    return found.assign(signature=f"{base.name}: {variant['variant']}")


def _judged(own: pd.DataFrame, study: Study) -> dict[str, object]:
    train = honest(own, "train")
    found = discrimination_of(train, study)
    row = {"n": len(train), "events": found["events"], "out_of_fold": found["value"]}
    row |= {"ci_low": found["ci_low"], "ci_high": found["ci_high"]}
    others = [c for c in judged_cohorts(own, study) if c != "train"]
    return row | {cohort: discrimination_of(honest(own, cohort), study)["value"] for cohort in others}


def _difference(own: pd.DataFrame, found: pd.DataFrame, study: Study) -> dict[str, float]:
    """Return variant minus the study's choice with its interval and P; zero where both rank alike."""
    names = [found["signature"].iloc[0], own["signature"].iloc[0]]
    pairs = paired_tests(pd.concat([own, found], ignore_index=True), study, "train", names)
    if pairs.empty:
        return {}
    row = pairs.iloc[0]
    return {"difference": row["difference"], "diff_low": row["ci_low"], "diff_high": row["ci_high"], "p": row["p"]}
