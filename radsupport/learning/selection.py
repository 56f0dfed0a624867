"""Feature selection steps: fitted on the training part they are given, and each says what it dropped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from radsupport.checks import FloatArray
from radsupport.errors import InputError
from radsupport.learning.preparation import as_table, count_row
from radsupport.learning.screening import Rule, screen_features
from radsupport.stats.lasso import LassoCV, cv_lasso_binomial, cv_lasso_cox
from radsupport.stats.outcome import Target, as_target, fold_numbers, is_survival, strata

#: Half of glmnet's penalties, down to a fiftieth of the largest. What lies below takes most of the time and is hardly
#: ever chosen; where it would be, `_cross_validated` goes there.
_SHORT_PATH: dict[str, Any] = {"n_lambdas": 50, "min_ratio": 0.02}


class FeatureFilter(TransformerMixin, BaseEstimator):
    """Base of the selection steps: a subclass says which columns to keep.

    Attributes
    ----------
    selected_ : list of str
        Columns kept, in the order of the table.
    counts_ : DataFrame
        One row: step, n_in, n_out, reasons.
    """

    step = "selection"

    def fit(self, X: pd.DataFrame, y: Any = None) -> FeatureFilter:
        """Choose among the columns of `X`, by `y` where the step looks at the outcome."""
        table = as_table(X)
        keep, reasons = self._choose(table, y)
        self.selected_ = [name for name, kept in zip(table.columns, keep, strict=True) if kept]
        if not self.selected_:
            raise InputError(f"The step `{self.step}` kept none of {len(keep)} features ({reasons}). Relax it.")
        self.counts_ = count_row(self.step, len(keep), len(self.selected_), reasons)
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return the chosen columns of `X`."""
        check_is_fitted(self)
        return as_table(X, self.selected_)[self.selected_]

    def get_feature_names_out(self, input_features: Any = None) -> Any:
        """Return the chosen columns, as scikit-learn asks for them."""
        return np.asarray(self.selected_, dtype=object)

    def _choose(self, X: pd.DataFrame, y: Any) -> tuple[Any, str]:
        raise NotImplementedError


class VarianceFilter(FeatureFilter):
    """Drop columns that hardly vary in the training part.

    Parameters
    ----------
    threshold : float
        Columns with a variance at or below it are dropped (in the squared unit of the column); 0 drops
        constant columns, told from rounding noise by their size.
    """

    step = "variance"

    def __init__(self, threshold: float = 0.0) -> None:
        self.threshold = threshold

    def _choose(self, X: pd.DataFrame, y: Any) -> tuple[Any, str]:
        values = X.to_numpy(float)
        noise = 1e-12 * np.abs(values).max(axis=0)
        keep = (np.ptp(values, axis=0) > noise) & (values.var(axis=0) > self.threshold)
        dropped = int((~keep).sum())
        return keep, f"{dropped} constant" if dropped else ""


class ReproducibilityFilter(FeatureFilter):
    """Keep features whose agreement between readers was above a threshold (Gu 2023, Yang 2023: ICC > 0.8).

    The ICCs come from re-segmented cases and use no outcome; they are given, not fitted.

    Parameters
    ----------
    icc : Mapping or Series
        ICC per feature.
    threshold : float
        Kept where ICC > threshold. A feature without an ICC (absent, or NaN) is dropped and counted.
    """

    step = "reproducibility"

    def __init__(self, icc: Mapping[str, float] | pd.Series, threshold: float = 0.8) -> None:
        self.icc = icc
        self.threshold = threshold

    def _choose(self, X: pd.DataFrame, y: Any) -> tuple[Any, str]:
        icc = pd.Series(self.icc, dtype=float).reindex(X.columns)
        if icc.isna().all():
            raise InputError("No feature has an ICC; the names of the ICC table do not match the features'.")
        low, unknown = int((icc <= self.threshold).sum()), int(icc.isna().sum())
        reasons = f"{low} with ICC <= {self.threshold:g}" + (f", {unknown} without ICC" if unknown else "")
        return (icc > self.threshold).to_numpy(), reasons


class UnivariateSelector(FeatureFilter):
    """Keep the features that differ between the classes of the training part.

    Parameters
    ----------
    rule : {"shapiro", "t", "mann_whitney"}
        Which test; see `radsupport.learning.screening.screen_features`.
    alpha : float
        Kept where P < alpha.
    adjust : {"bh"}, optional
        Compare the Benjamini-Hochberg P with `alpha`.
    keep_at_least : int
        Where fewer pass, this many with the smallest P are kept (all, where there are fewer).

    Attributes
    ----------
    table_ : DataFrame
        feature, test, statistic, p, p_adjusted.
    """

    step = "univariate"

    def __init__(
        self,
        rule: Rule = "shapiro",
        alpha: float = 0.05,
        adjust: Literal["bh"] | None = None,
        keep_at_least: int = 10,
    ) -> None:
        self.rule = rule
        self.alpha = alpha
        self.adjust = adjust
        self.keep_at_least = keep_at_least

    def _choose(self, X: pd.DataFrame, y: Any) -> tuple[Any, str]:
        if is_survival(as_target(y)):
            raise InputError("Univariate tests compare the classes of a label; this endpoint is survival. Use LASSO.")
        self.table_ = screen_features(X, y, self.rule, self.adjust)
        p = self.table_["p_adjusted"].to_numpy()
        keep = p < self.alpha
        passed, name = int(keep.sum()), "adjusted P" if self.adjust else "P"
        if passed >= self.keep_at_least:
            return keep, f"{len(p) - passed} with {name} >= {self.alpha:g}"
        # By the unadjusted P: adjustment ties many features at one value.
        order = np.lexsort((self.table_["p"].to_numpy(), p))
        keep[order[: self.keep_at_least]] = True
        return keep, f"{passed} with {name} < {self.alpha:g}; the {int(keep.sum())} smallest kept"


class CorrelationFilter(FeatureFilter):
    """Drop features that are nearly the same as one already kept.

    Features are visited from the least to the most redundant (mean |r| with all others); one is kept if
    its |r| with every kept one is at most the threshold. The outcome is not looked at.

    Parameters
    ----------
    threshold : float
        Largest |r| that two kept features may have.
    method : {"pearson", "spearman"}
    """

    step = "correlation"

    def __init__(self, threshold: float = 0.9, method: Literal["pearson", "spearman"] = "pearson") -> None:
        self.threshold = threshold
        self.method = method

    def _choose(self, X: pd.DataFrame, y: Any) -> tuple[Any, str]:
        r = absolute_correlation(X, self.method)
        keep = np.zeros(len(r), dtype=bool)
        blocked = np.zeros(len(r), dtype=bool)
        for j in np.argsort(r.mean(axis=1), kind="stable"):
            if not blocked[j]:
                keep[j] = True
                blocked |= r[j] > self.threshold
        return keep, f"{int((~keep).sum())} with |r| > {self.threshold:g}"


class LassoSelector(FeatureFilter):
    """Keep the features that a cross-validated LASSO gives a coefficient (logistic, or Cox for survival).

    Parameters
    ----------
    rule : {"lambda_min", "lambda_1se"}
        Penalty of the smallest cross-validated deviance, or the largest within one standard error of it.
    folds : int
        Stratified by the outcome; fewer where the smaller class has fewer subjects, three at least.
    seed : int
        Of the folds.
    keep_at_least : int
        Where the rule keeps fewer, the penalty is lowered along the path until this many are in.

    Attributes
    ----------
    cv_ : LassoCV
        Path and cross-validated deviance.
    coef_ : Series
        Coefficients of the kept features at the penalty that is used, on the scale of `X`.
    lambda_ : float
        The penalty that is used: that of the rule, or the lowered one.
    """

    step = "lasso"

    def __init__(
        self,
        rule: Literal["lambda_min", "lambda_1se"] = "lambda_min",
        folds: int = 10,
        seed: int = 0,
        keep_at_least: int = 1,
    ) -> None:
        self.rule = rule
        self.folds = folds
        self.seed = seed
        self.keep_at_least = keep_at_least

    def _choose(self, X: pd.DataFrame, y: Any) -> tuple[Any, str]:
        if self.rule not in ("lambda_min", "lambda_1se"):
            raise InputError(f"Unknown rule {self.rule!r}; use lambda_min or lambda_1se.")
        target = as_target(y)
        smallest = int(np.bincount(strata(target), minlength=2).min())
        folds = fold_numbers(target, max(min(self.folds, smallest), 3), self.seed)
        self.cv_ = _cross_validated(X, target, folds)
        at = self.cv_.index_min if self.rule == "lambda_min" else self.cv_.index_1se
        enough = np.flatnonzero(self.cv_.path.n_nonzero >= min(self.keep_at_least, X.shape[1]))
        lowered = int(enough[0]) if enough.size else len(self.cv_.path.lambdas) - 1
        used = max(at, lowered)
        self.lambda_ = float(self.cv_.path.lambdas[used])
        coefs = self.cv_.path.coef.iloc[used]
        keep = coefs.to_numpy() != 0
        self.coef_ = coefs[keep]
        reasons = f"{int((~keep).sum())} with coefficient 0 at {self.rule}"
        return keep, reasons + (" lowered to keep any" if lowered > at else "")


def _cross_validated(X: pd.DataFrame, target: Target, folds: Any) -> LassoCV:
    """Cross-validate the LASSO on a short path; on glmnet's whole path where the least error is at the end of it."""
    for path in (_SHORT_PATH, {}):
        if is_survival(target):
            found = cv_lasso_cox(X, target["time"], target["event"].astype(int), folds, **path)
        else:
            found = cv_lasso_binomial(X, target, folds, **path)
        if found.index_min < len(found.path.lambdas) - 1:
            break
    return found


def absolute_correlation(X: pd.DataFrame, method: Literal["pearson", "spearman"] = "pearson") -> FloatArray:
    """Return |r| between all columns, 0 where one of them is constant, 1 on the diagonal."""
    values = (X.rank() if method == "spearman" else X).to_numpy(float)
    centred = values - values.mean(axis=0)
    length = np.sqrt((centred**2).sum(axis=0))
    varies = length > 1e-12 * np.abs(values).max(axis=0)
    unit = np.where(varies, centred / np.where(varies, length, 1.0), 0.0)
    r = np.minimum(np.abs(unit.T @ unit), 1.0)
    np.fill_diagonal(r, 1.0)
    return r
