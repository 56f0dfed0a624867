"""Run signatures: cross-validated on the training cohort, refitted, applied to the other cohorts."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from radsupport.checks import held_out
from radsupport.errors import ContractError, Problem
from radsupport.files import written_whole
from radsupport.learning.assembly import CENTER, Assembly, select_rows, whole_table
from radsupport.learning.crossval import CrossValidation, External, cross_validate
from radsupport.learning.learners import STEP_WORDS, fits
from radsupport.learning.record import RECORD, fold_record
from radsupport.learning.tuning import used_columns
from radsupport.settings.learning import PUBLISHED, Signature
from radsupport.wording import center_words, listed

OUTCOME = ["label", "time", "event"]
PREDICTION_COLUMNS = ["subject", "cohort", "signature", "kind", "fold", "risk", *OUTCOME]


@dataclass(frozen=True)
class SignatureRun:
    """All signatures of one run.

    Attributes
    ----------
    predictions : DataFrame
        predictions.parquet: subject, cohort, signature, kind, fold, risk, label, time, event; out-of-fold
        rows are those of the first repeat. Where folds are put on one scale, also score, by which patients of different
        folds are ranked; missing where one model predicts everybody.
    summary : DataFrame
        signature, n, events, inner_score, out_of_fold (AUC, or C-index for survival, of the first repeat).
    funnel, tuning, by_repeat : DataFrame
        Those of `CrossValidation`, with a column signature.
    excluded : DataFrame
        subject, cohort, signature, reason: who has no prediction.
    signatures : list of Signature
    results : dict of signature to CrossValidation
    """

    predictions: pd.DataFrame
    summary: pd.DataFrame
    funnel: pd.DataFrame
    tuning: pd.DataFrame
    by_repeat: pd.DataFrame
    excluded: pd.DataFrame
    signatures: list[Signature]
    results: dict[str, CrossValidation]

    def divisions(self) -> pd.DataFrame:
        """Return how much the value of a signature depends on how the folds were drawn.

        Returns
        -------
        DataFrame
            signature, divisions, mean, sd, lowest, highest, first (the division whose predictions later chapters use);
            published outputs, which no division changes, are left out.
        """
        scores = self.by_repeat[~self.by_repeat["signature"].isin(published(self.signatures))]
        by = scores.groupby("signature", sort=False)["score"]
        table = by.agg(divisions="count", mean="mean", sd="std", lowest="min", highest="max", first="first")
        return table.reset_index()

    def record(self) -> pd.DataFrame:
        """Return `fold_record` of all signatures, with a column signature in front."""
        found = [fold_record(result).assign(signature=name) for name, result in self.results.items()]
        return pd.concat(found or [pd.DataFrame()], ignore_index=True).reindex(columns=["signature", *RECORD])

    def first_fitted(self, best: str = "") -> str:
        """Return the best signature, or the first that is fitted here where the best is a given output."""
        return first_fitted(self.signatures, best)

    def keep(self, path: Path, best: str = "") -> None:
        """Write the fits of `first_fitted` for `kept_run`, so that a later chapter need not repeat them."""
        name = self.first_fitted(best)
        with written_whole(path) as partial_path:
            partial_path.write_bytes(pickle.dumps((name, self.results[name]), 5))

    def unscored(self) -> list[tuple[str, str, int]]:
        """Return ``cohort:signature`` of whole centers without a value, why, and of how many patients."""
        own = self.excluded[self.excluded["reason"].str.startswith(WANTS)]
        groups = own.groupby(["cohort", "signature"], sort=False)["reason"]
        return [(f"{cohort}:{name}", "; ".join(part.unique()), len(part)) for (cohort, name), part in groups]

    def selection_counts(self) -> pd.DataFrame:
        """Return how many features each selection step leaves.

        Returns
        -------
        DataFrame
            signature, step, features_in, features_left (means over the folds of all divisions, in whole features),
            fewest, most (over the same folds), refit (fit on all training patients); no rows where no signature
            has a step but the removal of constant features.
        """
        columns = ["signature", "step", "features_in", "features_left", "fewest", "most", "refit"]
        if "step" not in self.funnel or set(self.funnel["step"]) <= {"imputation", "variance"}:
            return pd.DataFrame(columns=columns)
        funnel = self.funnel[self.funnel["step"] != "imputation"]
        by = funnel[funnel["fold"].notna()].groupby(["signature", "step"], sort=False)
        left = by["n_out"].agg(features_left="mean", fewest="min", most="max")
        table = by["n_in"].agg(features_in="mean").join(left).reset_index()
        table = table.round({"features_in": 0, "features_left": 0})
        refit = funnel[funnel["fold"].isna()].set_index(["signature", "step"])["n_out"]
        table["refit"] = refit.reindex(pd.MultiIndex.from_frame(table[["signature", "step"]])).to_numpy()
        return table.assign(step=table["step"].map(STEP_WORDS))[columns]


def kept_run(path: Path) -> tuple[str, CrossValidation]:
    """Return the signature whose fits `SignatureRun.keep` wrote, and these fits.

    Only for files of one's own: unpickling runs what a file says.

    Raises
    ------
    ContractError
        There is no such file, or the learner was written in a notebook's cell, which this process has not run.
    """
    if not path.is_file():
        problem = Problem("no fits of the chosen signature", remedy="run chapter 05 again", file=str(path))
        raise ContractError("What the chosen signature learnt is not here.", [problem])
    try:
        kept: tuple[str, CrossValidation] = pickle.loads(path.read_bytes())
    except AttributeError as error:
        remedy = "put your learner into a module of its own, and run chapter 05 again"
        problem = Problem(f"the learner is not known here ({error})", remedy=remedy, file=str(path))
        raise ContractError("What the chosen signature learnt can not be read.", [problem]) from error
    return kept


def run_signatures(
    assembly: Assembly,
    names: Sequence[str] | None = None,
    *,
    folds: int | pd.Series = 10,
    inner_folds: int = 5,
    repeats: int = 1,
    external: External = "mean_of_folds",
    seed: int = 0,
    n_jobs: int = 1,
    refit: bool = True,
) -> SignatureRun:
    """Cross-validate signatures on the training cohort and predict the other cohorts.

    Parameters
    ----------
    assembly : Assembly
        Feature tables, outcomes and estimators.
    names : sequence of str, optional
        Signatures to run; all without it.
    folds : int or Series
        Number of folds; or the fold of each training subject, where features were learnt per fold: there is one
        division then.
    inner_folds : int
        Folds in which settings are tuned, inside the training parts.
    repeats : int
        How often the division into `folds` is drawn.
    external : {"mean_of_folds", "refit"}
        Other cohorts get the mean of the first division's fold models, or the model fitted on everyone.
    seed : int
    n_jobs : int
        Processes; the result does not depend on it.
    refit : bool
        Also fit on all training subjects: apparent risks, and external ones by "refit".

    Raises
    ------
    InputError, NotEstimableError
    """
    chosen = list(names if names is not None else assembly.by_name)
    for name in chosen:  # what can not be built is said before anything is fitted
        assembly.estimator(name, inner_folds, seed)
    results, predictions, excluded = {}, [], []
    with assembly.shared_steps(chosen):
        for name in chosen:
            table, outcome, failed = assembly.training(name)
            own, draws = (folds.reindex(outcome.index), 1) if isinstance(folds, pd.Series) else (folds, repeats)
            results[name] = cross_validate(
                table, outcome, partial(assembly.estimator, name), folds=own, inner_folds=inner_folds, repeats=draws,
                seed=seed, n_jobs=n_jobs, refit=refit, pooling=assembly.pooling,
            )  # fmt: skip
            failed = pd.concat([failed, unscored(name, results[name], assembly, failed, external)], ignore_index=True)
            predictions.append(prediction_rows(name, results[name], assembly, failed, external))
            excluded.append(failed.assign(signature=name))

    def stacked(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
        filled = [table.assign(signature=name) for name, table in zip(results, tables, strict=True) if len(table)]
        return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=["signature"])

    found = results.values()
    return SignatureRun(
        pd.concat(predictions, ignore_index=True),
        pd.DataFrame([{"signature": name} | _summary(result, assembly) for name, result in results.items()]),
        stacked(result.funnel for result in found),
        stacked(result.tuning for result in found),
        stacked(result.by_repeat for result in found),
        pd.concat(excluded, ignore_index=True),
        [assembly.by_name[name] for name in chosen],
        results,
    )


def prediction_rows(
    name: str, result: CrossValidation, assembly: Assembly, failed: pd.DataFrame, external: External
) -> pd.DataFrame:
    """Return the rows of predictions.parquet of one signature."""
    first = result.risks[result.risks["repeat"] == 0]
    scaled = ["score"] * (assembly.pooling == "standardised")
    rows = [first[["subject", "fold", "risk", *scaled]].assign(kind="out_of_fold")]
    if result.refit is not None:
        apparent = pd.DataFrame({"subject": result.apparent.index, "risk": result.apparent.to_numpy()})
        rows.append(apparent.assign(fold=np.nan, kind="apparent"))
    gone = {*failed["subject"], *unscored(name, result, assembly, failed, external)["subject"]}
    elsewhere = assembly.cohort.index[held_out(assembly.cohort["cohort"])]
    elsewhere = elsewhere.difference(pd.Index(list(gone), dtype=object), sort=False)
    if len(elsewhere):
        risk = result.external_risk(select_rows(assembly.table(name), elsewhere), external)
        outside = pd.DataFrame({"subject": risk.index, "risk": risk.to_numpy()})
        rows.append(outside.assign(fold=np.nan, kind="external"))
    table = pd.concat([row.astype({"fold": float}) for row in rows], ignore_index=True).assign(signature=name)
    known = assembly.cohort.reindex(columns=["cohort", *OUTCOME])
    return table.join(known, on="subject")[[*PREDICTION_COLUMNS, *scaled]]


def unscored(
    name: str, result: CrossValidation, assembly: Assembly, failed: pd.DataFrame, external: External
) -> pd.DataFrame:
    """Return who has no prediction since their center does not record what the fitted models look at.

    A gap of single patients is filled as in training; a column that nobody of a center has (of two or more) is not.

    Returns
    -------
    DataFrame
        subject, cohort, reason, of those outside training who are not among the `failed`.
    """
    models = [result.refit] if external == "refit" else list(result.models[0].values())
    used = set[str]().union(*(used_columns(model) for model in models))
    others = assembly.cohort[held_out(assembly.cohort["cohort"]) & ~assembly.cohort.index.isin(failed["subject"])]
    table = whole_table(assembly.table(name))
    reasons = not_recorded(table[[column for column in table if column in used]], others[CENTER])
    found = others.loc[list(reasons), ["cohort"]].assign(reason=list(reasons.values()))
    return found.rename_axis("subject").reset_index()


#: Begins the reason why nobody of a center is scored.
WANTS = "it wants"


def not_recorded(table: pd.DataFrame, center: pd.Series) -> dict[str, str]:
    """Return why patients of a center can not be scored that has some column of `table` of none of its patients."""
    reasons: dict[str, str] = {}
    for place, subjects in center.groupby(center).groups.items():
        empty = table.reindex(subjects).isna().all()
        if len(subjects) > 1 and empty.any():
            wants = f"{WANTS} {listed(list(empty.index[empty]), 3)}, which {center_words(str(place))} does not have"
            reasons |= dict.fromkeys(map(str, subjects), wants)
    return reasons


def _summary(result: CrossValidation, assembly: Assembly) -> dict[str, float]:
    outcome = assembly.cohort.loc[result.risks["subject"].unique(), assembly.outcome[-1]]
    return {
        "n": len(outcome),
        "events": int(outcome.sum()),
        "inner_score": result.inner_score(),
        "out_of_fold": float(result.by_repeat["score"].iloc[0]),
    }


def published(signatures: Iterable[Signature]) -> list[str]:
    """Return the signatures that are a published model's output: nothing of them is fitted here, in no fold."""
    return [s.name for s in signatures if s.learner == PUBLISHED]


def heirs_of_published(signatures: Sequence[Signature]) -> list[str]:
    """Return the combinations that learn, directly or through another one, from a published output."""
    known = set(published(signatures))
    heirs: list[str] = []
    for _ in signatures:  # as many rounds as a chain of combinations can be long
        heirs = [s.name for s in signatures if known & set(s.combines)]
        known |= set(heirs)
    return heirs


def first_fitted(signatures: Sequence[Signature], best: str = "") -> str:
    """Return the best signature, or the first that is fitted here where the best is a given output."""
    order = [best or signatures[0].name, *(s.name for s in signatures)]
    by_name = {s.name: s for s in signatures}
    return next((name for name in order if fits(by_name[name])), order[0])
