"""Missing values filled in several times: chained equations, what the repeats agree on, and which gaps go together.

A gap gets the value of one of the patients whose predicted value is nearest (predictive mean matching, as R's mice;
van Buuren 2018), so that filled-in values are values that occur. The indicators of a category are predicted together,
which serves its levels without an order. statsmodels' MICEData matches numbers only, scikit-learn's IterativeImputer
draws numbers that nobody has, and neither fills patients whom it was not fitted to by a fit to others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from radsupport.checks import FloatArray
from radsupport.errors import InputError

_RIDGE = 1e-5  # share of the diagonal that is added to it, as in mice
_MOST = 15  # columns that predict a gap: those most correlated with it


@dataclass(frozen=True, eq=False)
class Chain:
    """Chained equations fitted to a table.

    Attributes
    ----------
    completed : DataFrame
        The table without gaps.
    observed : DataFrame
        Where it had a value.
    seed, cycles, donors : int
        Of the draws; rounds through the columns with gaps; patients among whom a value is drawn.
    """

    completed: pd.DataFrame
    observed: pd.DataFrame
    seed: int
    cycles: int
    donors: int

    def fill(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return other rows without gaps, by equations fitted to the completed table alone."""
        rng = np.random.default_rng([self.seed, 1])
        gaps = rows[self.completed.columns].isna()
        filled = _start(rows[self.completed.columns], self.completed)
        for _ in range(self.cycles if gaps.sum().astype(bool).sum() > 1 else 1):
            for name in gaps.columns[gaps.any()]:
                known = self.observed[name].to_numpy()
                drawn = _drawn(self.completed, known, filled, gaps[name].to_numpy(), str(name), self.donors, rng)
                filled = _with(filled, str(name), gaps[name].to_numpy(), drawn)
        return filled


def chain(table: pd.DataFrame, seed: int, *, cycles: int = 5, donors: int = 5) -> Chain:
    """Fill the gaps of a table by chained equations.

    Parameters
    ----------
    table : DataFrame
        Numbers, and categories of any dtype; every column has values.
    seed, cycles, donors : int
        See `Chain`.

    Raises
    ------
    InputError
        A column without any value.
    """
    if len(empty := table.columns[table.isna().all()]):
        raise InputError(f"Columns without any value can not be filled in: {', '.join(map(str, empty))}.")
    rng, observed = np.random.default_rng([seed, 0]), table.notna()
    gappy = list(observed.columns[~observed.all()])
    gappy.sort(key=lambda name: int((~observed[name]).sum()))  # the fullest first
    filled = _start(table, table)
    for _ in range(cycles if len(gappy) > 1 else min(len(gappy), 1)):
        for name in gappy:
            known = observed[name].to_numpy()
            drawn = _drawn(filled, known, filled, ~known, str(name), donors, rng)
            filled = _with(filled, str(name), ~known, drawn)
    return Chain(filled, observed, seed, cycles, donors)


def _numeric(values: pd.Series) -> bool:
    return bool(pd.api.types.is_numeric_dtype(values)) and not isinstance(values.dtype, pd.CategoricalDtype)


def _start(rows: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Fill gaps by the median or the most frequent level of the known ones."""
    first = {name: known[name].median() if _numeric(known[name]) else known[name].mode().iloc[0] for name in known}
    return rows.fillna(first)


def _with(table: pd.DataFrame, name: str, where: Any, values: Any) -> pd.DataFrame:
    column = table[name].astype(float) if _numeric(table[name]) else table[name].copy()
    column[where] = values
    return table.assign(**{name: column})


def _encoded(fitted: pd.Series, values: pd.Series) -> FloatArray:
    """Return a number in standard deviations of the fitted ones, or indicators of a category's levels."""
    if _numeric(fitted):
        spread = float(fitted.std(ddof=0)) or 1.0
        return ((values.to_numpy(float) - float(fitted.mean())) / spread)[:, None]
    levels = sorted(fitted.dropna().unique().tolist(), key=str)
    return np.column_stack([(values == level).to_numpy(float) for level in levels])


def _predictors(fitted: pd.DataFrame, values: pd.DataFrame, target: FloatArray, known: Any) -> list[FloatArray]:
    """Return the design of both tables, of the columns most correlated with the target where there are many."""
    own = {name: _encoded(fitted[name], fitted[name]) for name in fitted}
    spread = target[known] - target[known].mean(axis=0)

    def strength(name: Any) -> float:
        x = own[name][known] - own[name][known].mean(axis=0)
        scale = np.outer(np.linalg.norm(x, axis=0), np.linalg.norm(spread, axis=0))
        return float(np.max(np.abs(x.T @ spread) / np.where(scale > 0, scale, np.inf), initial=0.0))

    chosen = sorted(own, key=strength, reverse=True)[:_MOST]
    blocks = [[own[name] for name in chosen], [_encoded(fitted[name], values[name]) for name in chosen]]
    return [np.column_stack([np.ones(len(t)), *block]) for t, block in zip((fitted, values), blocks, strict=True)]


def _drawn(
    fitted: pd.DataFrame, known: Any, rows: pd.DataFrame, wanted: Any, name: str, donors: int, rng: np.random.Generator
) -> Any:
    """Draw values of a column for the wanted rows from the known ones of the fitted table."""
    given = fitted[name].to_numpy()[known]
    target = _encoded(fitted.loc[known, name], fitted[name])
    x, new = _predictors(fitted.drop(columns=name), rows.drop(columns=name).loc[wanted], target, known)
    x, y = x[known], target[known]
    gram = x.T @ x
    inverse = np.linalg.inv(gram + _RIDGE * np.diag(np.diag(gram) + (np.diag(gram) == 0)))
    beta = inverse @ (x.T @ y)
    spread = np.sqrt(((y - x @ beta) ** 2).sum(axis=0) / rng.chisquare(max(len(x) - x.shape[1], 1), y.shape[1]))
    root = np.linalg.cholesky((inverse + inverse.T) / 2)
    moved = beta + root @ rng.standard_normal(beta.shape) * spread
    distance = (((x @ beta)[None] - (new @ moved)[:, None]) ** 2).sum(axis=2)
    most = min(donors, len(x))
    nearest = np.argpartition(distance, most - 1, axis=1)[:, :most]
    return given[nearest[np.arange(len(new)), rng.integers(0, most, len(new))]]


def pooled(estimates: Any, variances: Any, residual_df: float, *, level: float = 0.95) -> pd.DataFrame:
    """Pool estimates of the same coefficients from several filled-in tables by Rubin's rules.

    Parameters
    ----------
    estimates, variances : array-like, shape (m, k)
        One row per table.
    residual_df : float
        Degrees of freedom if nothing were missing (Barnard & Rubin 1999).

    Returns
    -------
    DataFrame, k rows
        estimate, se, df, ci_low, ci_high, p (t test), missing (fraction of the information that the gaps cost).

    Raises
    ------
    InputError
        Fewer than two tables.
    """
    q, u = np.asarray(estimates, dtype=float), np.asarray(variances, dtype=float)
    m = len(q)
    if m < 2:
        raise InputError(f"Estimates of two or more filled-in tables are pooled; there are {m}.")
    mean, within, between = q.mean(axis=0), u.mean(axis=0), q.var(axis=0, ddof=1)
    total = within + (1 + 1 / m) * between
    share = (1 + 1 / m) * between / total
    old = (m - 1) / np.where(share > 0, share, np.nan) ** 2
    seen = (residual_df + 1) / (residual_df + 3) * residual_df * (1 - share)
    df = np.where(share > 0, 1 / (1 / np.where(share > 0, old, 1.0) + 1 / seen), seen)
    se = np.sqrt(total)
    width = stats.t.ppf(0.5 + level / 2, df) * se
    ratio = share / (1 - share)
    return pd.DataFrame(
        {
            "estimate": mean, "se": se, "df": df, "ci_low": mean - width, "ci_high": mean + width,
            "p": 2 * stats.t.sf(np.abs(mean) / se, df), "missing": (ratio + 2 / (df + 3)) / (ratio + 1) * (share > 0),
        }
    )  # fmt: skip


def missing_patterns(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Return which gaps occur together.

    Returns
    -------
    DataFrame
        n (patients), gaps (columns without a value), then one column per column with any gap: whether it is missing;
        the most frequent pattern first, patients without gaps among them. No rows where nothing is missing.
    """
    gaps = table[list(columns)].isna()
    gaps = gaps.loc[:, gaps.any()]
    if gaps.empty or gaps.shape[1] == 0:
        return pd.DataFrame(columns=["n", "gaps"])
    counts = gaps.value_counts().rename("n").reset_index()
    counts.insert(0, "gaps", counts[gaps.columns].sum(axis=1))
    counts.insert(0, "n", counts.pop("n"))
    order = gaps.sum().sort_values(ascending=False, kind="stable").index
    found = counts[["n", "gaps", *order]].sort_values(["n", "gaps"], ascending=[False, True], kind="stable")
    return found.reset_index(drop=True)
