"""Gaps of a training part filled by chained equations instead of one value per column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from sklearn.utils.validation import check_is_fitted

from radsupport.learning.preparation import Imputer, only
from radsupport.stats.imputation import Chain, chain


class ChainedImputer(Imputer):
    """Fill missing values by one draw of chained equations, fitted to the training part without the outcome.

    Several draws make a multiple imputation: fit the model after each of them and take the mean of the risks.

    Parameters
    ----------
    passthrough : sequence of str
        As `Imputer`.
    draw : int
        Which draw; it seeds the random numbers.

    Attributes
    ----------
    chain_ : Chain
    """

    chain_: Chain

    def __init__(self, passthrough: Sequence[str] = (), draw: int = 0) -> None:
        super().__init__(passthrough)
        self.draw = draw

    def fit(self, X: pd.DataFrame, y: Any = None) -> ChainedImputer:
        """Learn the equations from `X`; columns without any value are dropped, as `Imputer` does."""
        super().fit(X)
        self.chain_ = chain(self._own(X), self.draw)
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return the kept columns of `X` without gaps; the rows of the fit as they were completed in it."""
        check_is_fitted(self)
        table = only(X, self.selected_)
        own = self._own(table)
        if not own.isna().to_numpy().any():
            return super().transform(X)
        known = self.chain_.completed
        same = own.index.equals(known.index) and own.equals(known.where(self.chain_.observed))
        filled = known if same else self.chain_.fill(own)
        return pd.concat([filled, table.drop(columns=filled.columns)], axis=1)[self.selected_]

    def _own(self, X: pd.DataFrame) -> pd.DataFrame:
        return X[[name for name in self.selected_ if name not in self.passthrough]]
