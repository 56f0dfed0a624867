"""Signatures made of signatures: a model on their out-of-fold risks (RDPs, best signature + clinical)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logit
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

from radsupport.checks import FloatArray
from radsupport.errors import InputError
from radsupport.learning.preparation import as_table
from radsupport.learning.tuning import TunedPipeline
from radsupport.stats.outcome import Target, as_target, is_survival, risk_of, stratified_folds

Part = tuple[str, list[str], Any]


class Combination(BaseEstimator):
    """A model on the risks of other signatures and, where given, further columns.

    The risks it is trained on are inner out-of-fold ones: the fitted parts have seen their training
    subjects, and a model trained on what they say about those would trust them too much. For new subjects
    the risks come from the parts fitted on everything, at the same settings: were the parts tuned anew in
    every inner fold, the two would differ in scale and the weights would not fit. Probabilities enter as
    log-odds, survival risks as they are.

    Parameters
    ----------
    parts : sequence of (name, columns, model)
        Signatures to combine, each with the columns it is given.
    columns : sequence of str
        Further columns that enter beside the risks (clinical ones).
    meta : TunedPipeline
        Fitted on the table of risks and columns.
    inner_folds, seed : int
        Folds for the risks of parts that do not keep their own (`keep_inner_risk`).
    keep_inner_risk : bool
        Also keep inner out-of-fold risks of the combination itself.

    Attributes
    ----------
    parts_ : list
        The parts fitted on everything.
    meta_ : TunedPipeline
    features_, funnel_, tuning_
        Those of `meta_`.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        columns: Sequence[str],
        meta: TunedPipeline,
        inner_folds: int = 5,
        seed: int = 0,
        keep_inner_risk: bool = False,
    ) -> None:
        self.parts = parts
        self.columns = columns
        self.meta = meta
        self.inner_folds = inner_folds
        self.seed = seed
        self.keep_inner_risk = keep_inner_risk

    def fit(self, X: pd.DataFrame, y: Any) -> Combination:
        """Fit the model on inner out-of-fold risks, and the parts on everything.

        Raises
        ------
        InputError, NotEstimableError
        """
        names = [name for name, _, _ in self.parts]
        if not names or len({*names, *self.columns}) < len(names) + len(self.columns):
            raise InputError(
                f"A combination needs parts and columns of different names; got {[*names, *self.columns]}."
            )
        table, target = as_table(X), as_target(y)
        self._survival = is_survival(target)
        self.parts_: list[Part] = []
        risks = {}
        for name, columns, model in self.parts:
            fitted, risks[name] = self._fit_part(model, table[columns], target)
            self.parts_.append((name, columns, fitted))
        meta = clone(self.meta).set_params(keep_inner_risk=self.keep_inner_risk)
        self.meta_ = meta.fit(self._meta_table(risks, table), target)
        if self.keep_inner_risk:
            self.inner_risk_ = self.meta_.inner_risk_
        self.features_, self.funnel_, self.tuning_ = self.meta_.features_, self.meta_.funnel_, self.meta_.tuning_
        return self

    def _fit_part(self, model: Any, X: pd.DataFrame, target: Target) -> tuple[Any, FloatArray]:
        """Return the part fitted on everything, and inner out-of-fold risks."""
        if "keep_inner_risk" in model.get_params(deep=False):
            fitted = clone(model).set_params(keep_inner_risk=True).fit(X, target)
            return fitted, fitted.inner_risk_
        risk = np.empty(len(X))
        for train, test in stratified_folds(target, self.inner_folds, self.seed, "inner folds"):
            risk[test] = risk_of(clone(model).fit(X.iloc[train], target[train]), X.iloc[test])
        return clone(model).fit(X, target), risk

    def _meta_table(self, risks: dict[str, FloatArray], X: pd.DataFrame) -> pd.DataFrame:
        if not self._survival:
            risks = {name: logit(np.clip(risk, 1e-6, 1 - 1e-6)) for name, risk in risks.items()}
        return pd.concat([pd.DataFrame(risks, index=X.index), X[list(self.columns)]], axis=1)

    def part_risks(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return the risks of the parts for these subjects, one column each."""
        check_is_fitted(self)
        return pd.DataFrame({name: risk_of(model, X[columns]) for name, columns, model in self.parts_}, index=X.index)

    def risk(self, X: pd.DataFrame) -> FloatArray:
        """Return the combined risk, shape (n_subjects,)."""
        risks = {str(name): column.to_numpy(float) for name, column in self.part_risks(as_table(X)).items()}
        return self.meta_.risk(self._meta_table(risks, X))
