"""How a signature depends on the number of training patients."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone

from radsupport.checks import FloatArray, IntArray
from radsupport.errors import NotEstimableError
from radsupport.modelling.assembly import Assembly
from radsupport.modelling.crossval import cross_validate
from radsupport.modelling.endpoint import Target, as_target, discrimination, risk_of, strata
from radsupport.modelling.learners import GIVEN
from radsupport.modelling.preparation import as_table
from radsupport.modelling.signatures import select_rows, training_data
from radsupport.report.wording import counted, fixed
from radsupport.schema_modelling import LearningCurve
from radsupport.study_schema import Study

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


def curve_words(table: pd.DataFrame) -> str:
    """Say for each signature how its value changes from the fewest to the most training patients, and how to read it.

    With fewer than `FEW` draws per size a rise can not be told from the luck of one draw.
    """
    lines = []
    for (name, judged), part in table.groupby(["signature", "judged"], sort=False):
        rows = part.sort_values("n")
        first, last = rows.iloc[0], rows.iloc[-1]
        lines.append(
            f"- **{name}**, {judged}: {fixed(first['value'])} with {first['n']:.0f} training patients, "
            f"{fixed(last['value'])} with {last['n']:.0f}"
        )
    if not lines:
        return "None of these signatures is fitted here."
    return "\n".join([*lines, "", _reading(int(table["draws"].max()))])


def _reading(draws: int) -> str:
    if draws < FEW:
        return (
            f"With {counted(draws, 'draw')} per size these values do not tell whether more patients would help: "
            f"another draw of the same size may differ by as much. At least {FEW} draws per size would be needed."
        )
    return (
        "A rise that is larger than the range of the draws, and goes on at the right end, suggests that more patients "
        "would help; a flat curve, that they would not. The draws share patients, so that their range is narrower than "
        "that of new patients."
    )
