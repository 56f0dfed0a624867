"""Feature selection steps: fitted on the training part they are given, and each says what it dropped.

The univariate step tests every feature at once, normality (Shapiro-Wilk) included.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.polynomial.polynomial import polyval
from scipy import stats
from scipy.stats import norm
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from radsupport.checks import FloatArray, IntArray, as_binary, varies
from radsupport.errors import InputError, NotEstimableError
from radsupport.learning.preparation import Counted, as_table, only
from radsupport.stats.cox import at_deaths, risk_sets, with_firth
from radsupport.stats.groups import feature_tests
from radsupport.stats.lasso import LassoCV, cv_lasso_binomial, cv_lasso_cox
from radsupport.stats.outcome import Target, as_target, fold_numbers, is_survival, strata

Rule = Literal["shapiro", "t", "mann_whitney"]
COLUMNS = ["feature", "test", "statistic", "p", "p_adjusted"]
#: Half of glmnet's penalties, down to a fiftieth of the largest. What lies below takes most of the time and is hardly
#: ever chosen; where it would be, `_cross_validated` goes there.
_SHORT_PATH: dict[str, Any] = {"n_lambdas": 50, "min_ratio": 0.02}


class FeatureFilter(Counted, TransformerMixin, BaseEstimator):
    """Base of the selection steps: a subclass says which columns to keep.

    Attributes
    ----------
    selected_ : list of str
        Columns kept, in the order of the table.
    """

    step = "selection"

    def fit(self, X: pd.DataFrame, y: Any = None) -> FeatureFilter:
        """Choose among the columns of `X`, by `y` where the step looks at the outcome."""
        table = as_table(X)
        keep, reasons = self._choose(table, y)
        self.selected_ = [name for name, kept in zip(table.columns, keep, strict=True) if kept]
        if not self.selected_:
            raise InputError(f"The step `{self.step}` kept none of {len(keep)} features ({reasons}). Relax it.")
        self.counted_ = (self.step, len(keep), len(self.selected_), reasons)
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return the chosen columns of `X`."""
        check_is_fitted(self)
        return only(X, self.selected_)

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
        keep = varies(values) & (values.var(axis=0) > self.threshold)
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


@dataclass(eq=False, repr=False)
class UnivariateSelector(FeatureFilter):
    """Keep the features that differ between the classes of the training part.

    Parameters
    ----------
    rule : {"shapiro", "t", "mann_whitney"}
        Which test; see `screen_features`.
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

    rule: Rule = "shapiro"
    alpha: float = 0.05
    adjust: Literal["bh"] | None = None
    keep_at_least: int = 10

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


@dataclass(eq=False, repr=False)
class CorrelationFilter(FeatureFilter):
    """Drop features that are nearly the same as one already kept.

    Features are visited from the smallest to the largest P against the outcome of the training part (equal ones in the
    order of the table); one is kept if its |r| with every kept one is at most the threshold. So of a cluster the member
    that says most about the outcome stands for it. An order that does not look at the outcome, from the least to the
    most redundant, keeps the outliers of a cluster.

    Parameters
    ----------
    threshold : float
        Largest |r| that two kept features may have.
    method : {"pearson", "spearman"}
    rule : {"mann_whitney", "shapiro", "t"}
        Whose P, of a label (`screen_features`); of a time to event it is that of `cox_score`.
    """

    step = "correlation"

    threshold: float = 0.9
    method: Literal["pearson", "spearman"] = "pearson"
    rule: Rule = "mann_whitney"

    def _choose(self, X: pd.DataFrame, y: Any) -> tuple[Any, str]:
        if y is None:
            raise InputError("Related features are dropped by their P against the outcome; give the outcome to `fit`.")
        r, target = absolute_correlation(X, self.method), as_target(y)
        p = cox_score(X, target) if is_survival(target) else screen_features(X, target, self.rule)["p"].to_numpy()
        keep = np.zeros(len(r), dtype=bool)
        blocked = np.zeros(len(r), dtype=bool)
        for j in np.argsort(p, kind="stable"):
            if not blocked[j]:
                keep[j] = True
                blocked |= r[j] > self.threshold
        return keep, f"{int((~keep).sum())} with |r| > {self.threshold:g} to one of a smaller P"


@dataclass(eq=False, repr=False)
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

    rule: Literal["lambda_min", "lambda_1se"] = "lambda_min"
    folds: int = 10
    seed: int = 0
    keep_at_least: int = 1

    def _choose(self, X: pd.DataFrame, y: Any) -> tuple[Any, str]:
        if self.rule not in ("lambda_min", "lambda_1se"):
            raise InputError(f"Unknown rule {self.rule!r}; use lambda_min or lambda_1se.")
        target = as_target(y)
        smallest = int(np.bincount(strata(target)[~X.index.duplicated()], minlength=2).min())
        folds = fold_numbers(target, max(min(self.folds, smallest), 3), self.seed, X.index)
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


@dataclass(eq=False, repr=False)
class CoxSelector(FeatureFilter):
    """Keep the characteristics with P < alpha in a Cox regression alone, and in that of all together (Yang 2023).

    A characteristic of several levels (columns ``<name>=<level>``, as `OneHot` writes them) is kept whole where one of
    its levels passes both. Where none passes, the one with the smallest P together is kept.

    Parameters
    ----------
    alpha : float
        Compared with Wald's P; under Firth's penalty where a plain fit does not exist.
    """

    step = "cox"

    alpha: float = 0.05

    def _choose(self, X: pd.DataFrame, y: Any) -> tuple[Any, str]:
        target = as_target(y)
        if not is_survival(target):
            raise InputError("Cox regressions choose by a time to event; this endpoint is a label. Use a test.")
        coded = {name: f"x{i}" for i, name in enumerate(X.columns)}
        table = X.rename(columns=coded).assign(time=target["time"], event=target["event"].astype(int))
        characteristics = pd.Series([str(name).split("=")[0] for name in X.columns], index=list(coded.values()))
        together = _wald(table, list(coded.values()))
        alone = pd.concat([_wald(table, list(own.index)) for _, own in characteristics.groupby(characteristics)])
        smallest = together.groupby(characteristics).min()
        passed = (alone.lt(self.alpha) & together.lt(self.alpha)).groupby(characteristics).any()
        kept = passed.index[passed] if passed.any() else [smallest.idxmin()]
        reasons = f"{int((~passed).sum())} of {len(passed)} characteristics without P < {self.alpha:g} in both"
        return characteristics.isin(kept).to_numpy(), reasons


def _wald(table: pd.DataFrame, columns: list[str]) -> pd.Series:
    """Return Wald's P of each column in the Cox regression of all; 1 where there is no such model."""
    try:
        fit, _ = with_firth(table, columns)
    except NotEstimableError:
        return pd.Series(1.0, index=columns)
    return fit.table.set_index("covariate")["p"].reindex(columns)


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


def cox_score(X: pd.DataFrame, target: Target) -> FloatArray:
    """Return the P of each column's score test in a Cox regression of that column alone.

    Parameters
    ----------
    X : DataFrame, subjects x features
        Numeric, nothing missing.
    target : array, shape (n_subjects,)
        Time and event, as `as_target` returns it.

    Returns
    -------
    array, shape (n_features,)
        Two-sided; 1 of a column that does not vary among those at risk. The score test is R's ``coxph(...)$score`` with
        Efron's ties, of all columns at once: a fit of each would take a hundred times as long.
    """
    values = X.to_numpy(float)
    spread = np.where(varies(values), values.std(axis=0), 1.0)
    sets = risk_sets(target["time"].astype(float), target["event"].astype(np.int64), "efron")
    x = np.where(varies(values), (values - values.mean(axis=0)) / spread, 0.0)[sets.order]
    total = at_deaths(sets, np.ones(len(x)))[:, None]
    mean = at_deaths(sets, x) / total
    score = (x[sets.deaths] - mean).sum(axis=0)
    information = (at_deaths(sets, x**2) / total - mean**2).sum(axis=0)
    told = information > 1e-12
    return np.where(told, stats.chi2.sf(score**2 / np.where(told, information, 1.0), 1), 1.0)


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


_FIRST = (0.0, 0.221157, -0.147981, -2.07119, 4.434685, -2.706056)
_SECOND = (0.0, 0.042981, -0.293762, -1.752461, 5.682633, -3.582633)
_FEW_GAMMA, _FEW_MEAN = (-2.273, 0.459), (0.544, -0.39978, 0.025054, -6.714e-4)
_FEW_LOG_SD = (1.3822, -0.77857, 0.062767, -0.0020322)
_MANY_MEAN, _MANY_LOG_SD = (-1.5861, -0.31082, -0.083751, 0.0038915), (-0.4803, -0.082676, 0.0030302)


def shapiro_p(values: FloatArray) -> FloatArray:
    """Return the p-value of the Shapiro-Wilk test of every column.

    Parameters
    ----------
    values : array, shape (n_subjects, n_features)
        3 to 5000 rows, nothing missing; columns that vary.

    Returns
    -------
    array, shape (n_features,)

    Raises
    ------
    NotEstimableError
        Fewer than 3 or more than 5000 rows, or a constant column.

    Notes
    -----
    Royston, Appl Stat 1995;44:547 (AS R94), as R's and scipy's `shapiro`; own code because scipy goes through the
    columns one by one in Python, which was a third of the time of a signature with a thousand features.
    """
    n = len(values)
    if not 3 <= n <= 5000 or (np.ptp(values, axis=0) == 0).any():
        raise NotEstimableError(f"Shapiro-Wilk needs 3 to 5000 values that vary in every column; there are {n} rows.")
    ordered = np.sort(values, axis=0)
    ordered = (ordered - ordered[n // 2]) / np.ptp(values, axis=0)
    weights = _weights(n)
    total = ((ordered - ordered.mean(axis=0)) ** 2).sum(axis=0)
    rest = np.clip(1.0 - (weights @ ordered) ** 2 / total, 0.0, 1.0)  # 1 - W
    if n == 3:
        return np.clip(6 / np.pi * (np.arcsin(np.sqrt(1 - rest)) - np.arcsin(np.sqrt(0.75))), 0.0, 1.0)
    return _p_many(rest, n)


def _weights(n: int) -> FloatArray:
    """Return the weights of the ordered values; they are antisymmetric and their squares add up to 1."""
    if n == 3:
        return np.array([-np.sqrt(0.5), 0.0, np.sqrt(0.5)])
    m = norm.ppf((np.arange(1, n + 1) - 0.375) / (n + 0.25))
    squares, root = float(m @ m), 1 / np.sqrt(n)
    ends = [polyval(root, _FIRST) + m[-1] / np.sqrt(squares)]
    if n > 5:
        ends.append(polyval(root, _SECOND) + m[-2] / np.sqrt(squares))
    k = len(ends)
    outer, given = 2 * float(m[-k:] @ m[-k:]), 2 * float(np.square(ends).sum())
    weights = m / np.sqrt((squares - outer) / (1 - given))
    weights[-k:] = ends[::-1]
    weights[:k] = -np.array(ends)
    return weights


def _p_many(rest: FloatArray, n: int) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        y = np.log(rest)
        if n > 11:
            mean, sd = polyval(np.log(n), _MANY_MEAN), np.exp(polyval(np.log(n), _MANY_LOG_SD))
            return norm.sf(y, mean, sd)
        gamma = polyval(n, _FEW_GAMMA)
        mean, sd = polyval(n, _FEW_MEAN), np.exp(polyval(n, _FEW_LOG_SD))
        return np.where(y >= gamma, 1e-99, norm.sf(-np.log(gamma - y), mean, sd))


def screen_features(
    X: pd.DataFrame, y: Any, rule: Rule = "shapiro", adjust: Literal["bh"] | None = None, normality_alpha: float = 0.05
) -> pd.DataFrame:
    """Compare every feature between the two classes.

    Parameters
    ----------
    X : DataFrame, subjects x features
        Numeric, nothing missing.
    y : array-like, shape (n_subjects,)
        0/1.
    rule : {"shapiro", "t", "mann_whitney"}
        ``shapiro``: Welch's t where Shapiro-Wilk has P > `normality_alpha` in both classes, else
        Mann-Whitney; or one test for all.
    adjust : {"bh"}, optional
        Benjamini-Hochberg over the features.
    normality_alpha : float
        Level of the Shapiro-Wilk test.

    Returns
    -------
    DataFrame, one row per feature in the order of `X`
        feature, test (welch_t / mann_whitney / constant), statistic (t, or U, of class 0), p (two-sided; 1
        for a constant feature) and p_adjusted (p itself without `adjust`).

    Raises
    ------
    InputError, NotEstimableError

    Notes
    -----
    Thin over `radsupport.stats.groups.feature_tests`, whose tests are R's; a feature that a t test can
    not judge (constant within both classes, but not the same) is judged by Mann-Whitney.
    """
    table, label = _checked(X, y)
    if rule not in get_args(Rule) or adjust not in (None, "bh"):
        raise InputError(f"Unknown rule {rule!r} or adjustment {adjust!r}; use {get_args(Rule)} and None or 'bh'.")
    found = _by_normality(table, label, normality_alpha) if rule == "shapiro" else feature_tests(table, label, rule)
    varies = np.ptp(table.to_numpy(float), axis=0) > 0
    again = found["p"].isna().to_numpy() & varies
    if again.any():
        ranked = feature_tests(table.loc[:, again], label, "mann_whitney").set_axis(found.index[again])
        found = pd.concat([found[~again], ranked]).sort_index()
    found["test"] = found["test"].where(varies, "constant")
    found["p"] = found["p"].where(varies, 1.0)
    p = found["p"].to_numpy(float)
    adjusted = stats.false_discovery_control(p, method="bh") if adjust == "bh" else p
    return found.assign(p_adjusted=adjusted)[COLUMNS]


def _by_normality(table: pd.DataFrame, label: IntArray, alpha: float) -> pd.DataFrame:
    """Return `feature_tests` by the rule "shapiro", normality being tested on all features at once."""
    values = table.to_numpy(float)
    groups = [values[label == k] for k in (0, 1)]
    if max(map(len, groups)) > 5000:
        return feature_tests(table, label, "shapiro", alpha)
    normal = np.ones(values.shape[1], dtype=bool)
    for group in groups:  # the second one only where the first is normal
        tested = np.flatnonzero(normal & (np.ptp(group, axis=0) > 0)) if len(group) >= 3 else np.empty(0, dtype=int)
        normal[:] = False
        if tested.size:
            normal[tested] = shapiro_p(group[:, tested]) > alpha
    return feature_tests(table, label, "shapiro", alpha, normal)


def _checked(X: pd.DataFrame, y: Any) -> tuple[pd.DataFrame, IntArray]:
    table = as_table(X)
    label = as_binary(y, "y", len(table))
    text = table.columns[~table.dtypes.map(pd.api.types.is_numeric_dtype)]
    if len(text) or not len(table.columns):
        raise InputError(f"Features must be numeric and at least one; not numeric: {', '.join(map(str, text[:10]))}.")
    values = table.to_numpy(float)
    bad = table.columns[~np.isfinite(values).all(axis=0)]
    if len(bad):
        raise InputError(f"Features with missing or infinite values: {', '.join(map(str, bad[:10]))}; impute before.")
    return table, label
