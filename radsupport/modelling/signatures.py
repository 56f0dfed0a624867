"""Run a study's signatures: cross-validated, refitted, applied to the other cohorts, and as controls."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from tqdm import tqdm

from radsupport.errors import InputError
from radsupport.modelling.assembly import Assembly
from radsupport.modelling.crossval import CrossValidation, FoldTables, Table, cross_validate
from radsupport.modelling.endpoint import as_target, discrimination
from radsupport.study_schema import Modelling, Signature, Study

OUTCOME = ["label", "time", "event"]
PUBLISHED = "published"  # the learner that takes an output of others as it is
PREDICTION_COLUMNS = ["subject", "cohort", "signature", "kind", "fold", "risk", *OUTCOME]


@dataclass(frozen=True)
class SignatureRun:
    """All signatures of one run.

    Attributes
    ----------
    predictions : DataFrame
        predictions.parquet: subject, cohort, signature, kind, fold, risk, label, time, event; out-of-fold
        rows are those of the first repeat.
    summary : DataFrame
        signature, n, events, inner_score, apparent, out_of_fold (AUC, or C-index for survival).
    funnel, tuning, stability, by_repeat : DataFrame
        Those of `CrossValidation`, with a column signature.
    excluded : DataFrame
        subject, cohort, signature, reason: who has no prediction.
    results : dict of signature to CrossValidation
    """

    predictions: pd.DataFrame
    summary: pd.DataFrame
    funnel: pd.DataFrame
    tuning: pd.DataFrame
    stability: pd.DataFrame
    by_repeat: pd.DataFrame
    excluded: pd.DataFrame
    results: dict[str, CrossValidation]


def run_signatures(
    study: Study,
    assembly: Assembly,
    names: Sequence[str] | None = None,
    *,
    folds: pd.Series | None = None,
    n_jobs: int = 1,
    progress: bool = False,
    refit: bool = True,
) -> SignatureRun:
    """Cross-validate signatures on the training cohort and predict the other cohorts.

    Parameters
    ----------
    study : Study
        Endpoint, folds, repeats, external rule and seed.
    assembly : Assembly
        Feature tables and estimators.
    names : sequence of str, optional
        Signatures to run; all without it.
    folds : Series, optional
        Fold of each training subject, where features were learnt per fold; there is one division then.
    n_jobs : int
        Processes.
    progress : bool
        Show a bar over the signatures.
    refit : bool
        Also fit on all training subjects: apparent risks, and external ones by "refit".

    Raises
    ------
    InputError, NotEstimableError
    """
    chosen = list(names if names is not None else assembly.signatures)
    results, predictions, excluded = {}, [], []
    settings = study.modelling
    with assembly.shared_steps(chosen):
        for name in tqdm(chosen, desc="signatures", disable=not progress):
            table, outcome, failed = training_data(study, assembly, name)
            results[name] = cross_validate(
                table,
                outcome,
                partial(assembly.estimator, name),
                folds=settings.folds if folds is None else folds.reindex(outcome.index),
                inner_folds=settings.inner_folds,
                repeats=settings.repeats if folds is None else 1,
                seed=study.seed,
                n_jobs=n_jobs,
                refit=refit,
            )
            predictions.append(prediction_rows(name, results[name], assembly, failed, settings))
            excluded.append(failed.assign(signature=name))
    return _gather(study, assembly, results, predictions, excluded)


def training_data(study: Study, assembly: Assembly, name: str) -> tuple[Table, pd.Series | pd.DataFrame, pd.DataFrame]:
    """Return features and outcome of the training subjects, and who is left out (subject, cohort, reason).

    Left out are subjects without a source of the signature, and those without the outcome.
    """
    cohort = assembly.cohort[assembly.cohort["cohort"] != "segmentation"]
    wanted = ["label"] if study.endpoint.primary == "label" else ["time", "event"]
    lacking = [column for column in wanted if column not in cohort.columns]
    if lacking:
        raise InputError(f"The cohort table has no column {', '.join(lacking)}, which the endpoint needs.")
    reasons = pd.Series(assembly.failures(name), dtype=object).reindex(cohort.index)
    no_outcome = cohort[wanted].isna().any(axis=1) & (cohort["cohort"] == "train")
    reasons = reasons.mask(reasons.isna() & no_outcome, "no outcome")
    out = reasons.dropna()
    failed = pd.DataFrame(
        {"subject": out.index, "cohort": cohort.loc[out.index, "cohort"].to_numpy(), "reason": out.array}
    )
    train = cohort.index[(cohort["cohort"] == "train") & reasons.isna()]
    outcome = cohort.loc[train, wanted]
    return select_rows(assembly.table(name), train), outcome["label"] if wanted == ["label"] else outcome, failed


def select_rows(table: Table, subjects: pd.Index) -> Table:
    """Return the rows of these subjects, of every fold's table where there are several."""
    if isinstance(table, FoldTables):
        return FoldTables({k: t.loc[subjects] for k, t in table.by_fold.items()}, table.refit.loc[subjects])
    return table.loc[subjects]


def prediction_rows(
    name: str, result: CrossValidation, assembly: Assembly, failed: pd.DataFrame, settings: Modelling
) -> pd.DataFrame:
    """Return the rows of predictions.parquet of one signature."""
    first = result.risks[result.risks["repeat"] == 0]
    rows = [first[["subject", "fold", "risk"]].assign(kind="out_of_fold")]
    if result.refit is not None:
        apparent = pd.DataFrame({"subject": result.apparent.index, "risk": result.apparent.to_numpy()})
        rows.append(apparent.assign(fold=np.nan, kind="apparent"))
    elsewhere = assembly.cohort.index[assembly.cohort["cohort"].isin(["internal", "external"])]
    elsewhere = elsewhere.difference(pd.Index(failed["subject"]), sort=False)
    if len(elsewhere):
        risk = result.external_risk(select_rows(assembly.table(name), elsewhere), settings.external)
        external = pd.DataFrame({"subject": risk.index, "risk": risk.to_numpy()})
        rows.append(external.assign(fold=np.nan, kind="external"))
    table = pd.concat([row.astype({"fold": float}) for row in rows], ignore_index=True).assign(signature=name)
    known = assembly.cohort.reindex(columns=["cohort", *OUTCOME])
    return table.join(known, on="subject")[PREDICTION_COLUMNS]


def _gather(
    study: Study,
    assembly: Assembly,
    results: dict[str, CrossValidation],
    predictions: list[pd.DataFrame],
    excluded: list[pd.DataFrame],
) -> SignatureRun:
    def stacked(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
        filled = [table.assign(signature=name) for name, table in zip(results, tables, strict=True) if len(table)]
        return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=["signature"])

    rows = []
    for name, result in results.items():
        outcome = assembly.cohort.loc[result.risks["subject"].unique()]
        event = "label" if study.endpoint.primary == "label" else "event"
        rows.append(
            {
                "signature": name,
                "n": len(outcome),
                "events": int(outcome[event].sum()),
                "inner_score": result.inner_score(),
                "apparent": _score(study, outcome, result.apparent),
                "out_of_fold": float(result.by_repeat["score"].iloc[0]),
            }
        )
    return SignatureRun(
        pd.concat(predictions, ignore_index=True),
        pd.DataFrame(rows),
        stacked(result.funnel for result in results.values()),
        stacked(result.tuning for result in results.values()),
        stacked(result.stability() for result in results.values()),
        stacked(result.by_repeat for result in results.values()),
        pd.concat(excluded, ignore_index=True),
        results,
    )


def _score(study: Study, outcome: pd.DataFrame, risk: pd.Series) -> float:
    if risk.empty:
        return float("nan")
    rows = outcome.loc[risk.index]
    target = as_target(rows["label"] if study.endpoint.primary == "label" else rows[["time", "event"]])
    return discrimination(target, risk.to_numpy())


def learner_signatures(study: Study, learners: Sequence[str] | None = None) -> list[Signature]:
    """Return one signature per learner and source: the comparison of ``modelling.compare_learners``.

    Each takes the first signature of the study that uses the source alone and changes its learner; its
    name is ``<source> <learner>``.
    """
    compared = []
    for source in study.modelling.compare_sources:
        base = next((s for s in study.signatures if list(s.sources) == [source] and not s.combines), None)
        if base is None:
            raise InputError(f"No signature uses the source {source!r} alone; learners can not be compared on it.")
        for name in learners or study.modelling.compare_learners:
            compared.append(base.model_copy(update={"name": f"{source} {name}", "learner": name}))
    return compared


def permutation_control(
    study: Study, assembly: Assembly, name: str, n: int, *, folds: pd.Series | None = None, n_jobs: int = 1
) -> pd.DataFrame:
    """Cross-validate a signature on permuted outcomes: what it scores when there is nothing to find.

    Parameters
    ----------
    n : int
        Permutations; number i draws from the seed (`study.seed`, i).

    Returns
    -------
    DataFrame
        permutation, score (AUC or C-index of the pooled out-of-fold risks).
    """
    table, outcome, _ = training_data(study, assembly, name)
    scores = []
    for i in range(n):
        order = np.random.default_rng([study.seed, i]).permutation(len(outcome))
        shuffled = outcome.iloc[order].set_axis(outcome.index)
        result = cross_validate(
            table,
            shuffled,
            partial(assembly.estimator, name),
            folds=study.modelling.folds if folds is None else folds.reindex(outcome.index),
            inner_folds=study.modelling.inner_folds,
            seed=study.seed + i,
            n_jobs=n_jobs,
            refit=False,
        )
        scores.append({"permutation": i, "score": float(result.by_repeat["score"].iloc[0])})
    return pd.DataFrame(scores)


def published_signatures(study: Study) -> list[str]:
    """Return the signatures that are a published model's output: nothing of them is fitted here, in no fold."""
    return [s.name for s in study.signatures if s.learner == PUBLISHED]
