"""How alike the features of two phases are (Song 2021, Figure S5)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from radsupport.errors import NotEstimableError
from radsupport.features.deep_inputs import model_phases
from radsupport.features.shares import STRONG, share_words
from radsupport.report.wording import counted
from radsupport.study_schema import Study

ALPHA = 0.05


@dataclass(frozen=True)
class Collinearity:
    """Correlations between the features of two phases in the training cohort.

    Attributes
    ----------
    pairs : DataFrame
        Every feature of the first phase with every one of the second: r, p (two-sided t-test of Pearson's r).
    matrix : DataFrame
        |r| of the features that differ between the outcomes: rows of the first phase, columns of the second, the
        features that differ in both phases first and in one order.
    overlap : int
        How many differ in both phases: the block at the top left.
    phases : (str, str)
    n : int
        Patients.
    criterion : str
        Which features are in the matrix.
    """

    pairs: pd.DataFrame
    matrix: pd.DataFrame
    overlap: int
    phases: tuple[str, str]
    n: int
    criterion: str


def between_phases(study: Study, features: pd.DataFrame, cohort: pd.DataFrame) -> Collinearity:
    """Correlate the features of the study's first two phases, in the training patients.

    The features of the matrix are those that differ between patients with and without the event (Mann-Whitney,
    P < 0.05, unadjusted): a description, which no model uses. Where none differs in one of the phases, all are taken.

    Raises
    ------
    NotEstimableError
        One phase only, fewer than three patients with all features of both phases, or nothing that varies.
    """
    phases = model_phases(study)
    if len(phases) < 2:
        raise NotEstimableError(
            f"Study {study.id} has {counted(len(phases), 'phase')} with features: there is nothing to relate."
        )
    first, second = phases[:2]
    train = cohort[cohort["cohort"] == "train"].set_index("subject")
    own = [name for name in features.columns if name.startswith((f"{first}__", f"{second}__"))]
    values = features.set_index("subject").reindex(train.index)[own].dropna(how="any")
    a, b = (_varying(values, phase) for phase in (first, second))
    if len(values) < 3 or a.empty or b.empty:
        raise NotEstimableError(f"{len(values)} patients with features of both phases are too few to correlate them.")
    r = correlation(a.to_numpy(), b.to_numpy())
    pairs = pd.DataFrame({"r": r.ravel(), "p": p_of_correlation(r, len(values)).ravel()})
    outcome = train.loc[values.index, "label" if "label" in train.columns else "event"].dropna()
    chosen = [_differing(part.loc[outcome.index], outcome.to_numpy() == 1) for part in (a, b)]
    criterion = f"that differ between the outcomes (Mann-Whitney, P < {ALPHA:g})"
    if not all(len(names) for names in chosen):
        chosen, criterion = [list(a.columns), list(b.columns)], "that vary"
    both = [name for name in chosen[0] if name in chosen[1]]
    order = [[*both, *(name for name in names if name not in both)] for names in chosen]
    table = pd.DataFrame(np.abs(r), index=a.columns, columns=b.columns).loc[order[0], order[1]]
    return Collinearity(pairs, table, len(both), (first, second), len(values), criterion)


def correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return Pearson's r of every column of `a` with every column of `b`, which all vary."""
    za, zb = ((x - x.mean(axis=0)) / x.std(axis=0) for x in (a, b))
    return np.clip(za.T @ zb / len(a), -1, 1)


def p_of_correlation(r: np.ndarray, n: int) -> np.ndarray:
    """Return the two-sided P of Pearson's r in n patients: t with n - 2 degrees of freedom."""
    with np.errstate(divide="ignore"):  # r of exactly 1 has an infinite t and P 0
        t = np.abs(r) * np.sqrt((n - 2) / (1 - r**2))
    return 2 * stats.t.sf(t, n - 2)


def _varying(values: pd.DataFrame, phase: str) -> pd.DataFrame:
    """Return one phase's features under their names without the phase, those that vary."""
    prefix = f"{phase}__"
    part = values[[name for name in values.columns if name.startswith(prefix)]]
    part = part.rename(columns=lambda name: name.removeprefix(prefix)).astype(float)
    return part.loc[:, part.std() > 1e-12 * part.abs().max()]


def _differing(part: pd.DataFrame, event: np.ndarray) -> list[str]:
    if event.all() or not event.any():
        return []
    p = stats.mannwhitneyu(part[event], part[~event], axis=0).pvalue
    return part.columns[np.asarray(p) < ALPHA].tolist()


def words(found: Collinearity) -> str:
    """Say how strongly the phases repeat each other."""
    strong = float((found.pairs["r"].abs() > STRONG).mean())
    low = float((found.pairs["p"] < ALPHA).mean())
    rows, columns = found.matrix.shape
    return (
        f"Of {len(found.pairs):,} pairs of one {found.phases[0]} and one {found.phases[1]} feature that vary, "
        f"{share_words(low)} are correlated at P < {ALPHA:g} (unadjusted) in the {found.n} training patients, "
        f"{share_words(strong)} with |r| above {STRONG:g}. Features {found.criterion}: {rows} in the {found.phases[0]} "
        f"and {columns} in the {found.phases[1]} phase, {found.overlap} of them the same channel in both."
    )
