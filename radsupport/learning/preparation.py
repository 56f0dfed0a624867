"""What every signature does to its columns before selection: fill gaps, code categories, z-score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from radsupport.errors import InputError
from radsupport.wording import counted


def as_table(X: Any, fitted_on: Sequence[str] | None = None) -> pd.DataFrame:
    """Return `X` if it is a DataFrame with unique columns that has all of `fitted_on`.

    Raises
    ------
    InputError
    """
    if not isinstance(X, pd.DataFrame):
        raise InputError(f"A DataFrame with one row per subject is expected, not {type(X).__name__}.")
    twice = X.columns[X.columns.duplicated()]
    if len(twice):
        raise InputError(f"Columns occur twice: {', '.join(map(str, twice[:10]))}. Rename or drop them.")
    missing = [] if fitted_on is None else [name for name in fitted_on if name not in X.columns]
    if missing:
        raise InputError(f"{counted(len(missing), 'column')} of the fit missing: {', '.join(map(str, missing[:10]))}.")
    return X


def count_row(step: str, n_in: int, n_out: int, reasons: str) -> pd.DataFrame:
    """Return one row of the funnel: how many features went into a step and came out of it, and why."""
    return pd.DataFrame([{"step": step, "n_in": n_in, "n_out": n_out, "reasons": reasons}])


class Imputer(TransformerMixin, BaseEstimator):
    """Fill missing values: numeric columns by the median, categories by the most frequent level.

    Own code around pandas, because scikit-learn's imputer needs one dtype for all columns and drops a
    column without values with no more than a warning.

    Parameters
    ----------
    passthrough : sequence of str
        Columns that are left as they are (the center, for harmonisation).

    Attributes
    ----------
    fill_ : Series
        Value per column, learnt in the fit; numeric columns in float.
    selected_ : list of str
        Columns kept; one without any value in the training part is dropped.
    counts_ : DataFrame
        Columns step, n_in, n_out, reasons.
    """

    def __init__(self, passthrough: Sequence[str] = ()) -> None:
        self.passthrough = passthrough

    def fit(self, X: pd.DataFrame, y: Any = None) -> Imputer:
        """Learn medians and most frequent levels of `X`."""
        table = as_table(X).drop(columns=[c for c in self.passthrough if c in X.columns])
        numeric = table.select_dtypes("number")
        other = table.drop(columns=numeric.columns)
        modes = {name: column.mode().iloc[0] for name, column in other.items() if column.notna().any()}
        self.fill_ = {**numeric.median().dropna().to_dict(), **modes}
        dropped = len(table.columns) - len(self.fill_)
        self.selected_ = [c for c in X.columns if c in self.fill_ or c in self.passthrough]
        gaps = int(table.isna().to_numpy().sum())
        reasons = [f"{dropped} without any value"] * (dropped > 0) + [f"{gaps} gaps filled"] * (gaps > 0)
        self.counts_ = count_row("imputation", len(table.columns), len(self.fill_), ", ".join(reasons))
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return the kept columns of `X` without gaps."""
        check_is_fitted(self)
        table = as_table(X, self.selected_)[self.selected_]
        numeric = [name for name in table.select_dtypes("number").columns if name not in self.passthrough]
        # One block at a time: pandas' fillna by column takes a hundred times longer on a thousand features.
        values = table[numeric].to_numpy(float, na_value=np.nan)
        values = np.where(np.isnan(values), [self.fill_[name] for name in numeric], values)
        filled = pd.DataFrame(values, index=table.index, columns=numeric)
        known = set(numeric)
        others = [name for name in table.columns if name not in known]
        if not others:
            return filled
        columns = {name: table[name] for name in others}
        for name in others:
            gaps = columns[name].isna()
            if name not in self.passthrough and gaps.any():
                columns[name] = columns[name].where(~gaps, self.fill_[name])
        return pd.concat([filled, pd.DataFrame(columns, index=table.index)], axis=1)[self.selected_]


class OneHot(TransformerMixin, BaseEstimator):
    """Turn categories into 0/1 columns ``<column>=<level>``; numeric columns pass as floats.

    Levels are those of the training part, the most frequent one being the reference (no column); a
    level that was not seen there is coded as the reference.

    Parameters
    ----------
    passthrough : sequence of str
        Columns that are left as they are.

    Attributes
    ----------
    levels_ : dict
        Levels that get a column, per categorical column.
    """

    def __init__(self, passthrough: Sequence[str] = ()) -> None:
        self.passthrough = passthrough

    def fit(self, X: pd.DataFrame, y: Any = None) -> OneHot:
        """Learn the levels of every column that is not numeric."""
        table = as_table(X).drop(columns=[c for c in self.passthrough if c in X.columns])
        self.columns_ = list(X.columns)
        categories = table.drop(columns=table.select_dtypes("number").columns)
        self.levels_: dict[str, list[Any]] = {}
        for name, column in categories.items():
            counts = column.value_counts(sort=False)
            counts = counts[counts > 0]
            reference = counts.idxmax()
            self.levels_[str(name)] = sorted((level for level in counts.index if level != reference), key=str)
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return `X` with 0/1 columns in the place of its categories."""
        check_is_fitted(self)
        table = as_table(X, self.columns_)[self.columns_]
        if not self.levels_:
            return table
        parts = {name: table[name] for name in table.columns if name not in self.levels_}
        coded = {f"{c}={level}": (table[c] == level).astype(float) for c, ls in self.levels_.items() for level in ls}
        return pd.DataFrame({**parts, **coded}, index=table.index)


def z_score() -> StandardScaler:
    """Return scikit-learn's z-score (population SD) that gives DataFrames back."""
    return StandardScaler().set_output(transform="pandas")
