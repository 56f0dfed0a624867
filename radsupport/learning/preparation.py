"""What is done to columns before selection: fill gaps, code categories, z-score, and harmonise centers by ComBat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from radsupport.checks import FloatArray
from radsupport.errors import InputError, NotEstimableError, Problem
from radsupport.wording import counted


def as_table(X: Any, fitted_on: Sequence[str] | None = None) -> pd.DataFrame:
    """Return `X` if it is a DataFrame with unique columns that has all of `fitted_on`.

    Raises
    ------
    InputError
    """
    if not isinstance(X, pd.DataFrame):
        raise InputError(f"A DataFrame with one row per subject is expected, not {type(X).__name__}.")
    if fitted_on is not None and X.columns.tolist() == fitted_on:  # what was checked in the fit
        return X
    if not X.columns.is_unique:
        twice = X.columns[X.columns.duplicated()]
        raise InputError(f"Columns occur twice: {', '.join(map(str, twice[:10]))}. Rename or drop them.")
    # Asking the index for each of a thousand names takes a hundred times as long.
    known = set() if fitted_on is None else set(X.columns)
    missing = [name for name in fitted_on or () if name not in known]
    if missing:
        raise InputError(f"{counted(len(missing), 'column')} of the fit missing: {', '.join(map(str, missing[:10]))}.")
    return X


def only(X: Any, names: Sequence[str]) -> pd.DataFrame:
    """Return these columns of a table, and the table itself where it has no others; errors as `as_table`."""
    table = as_table(X, names)
    return table if table.columns.tolist() == names else table[names]


def _by_kind(table: pd.DataFrame, aside: Sequence[str] = ()) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the numeric columns and the others, both without those to be left aside."""
    aside = [name for name in aside if name in table.columns]
    table = table.drop(columns=aside) if aside else table
    numeric = table.select_dtypes("number")
    some = numeric.shape[1] < table.shape[1]
    return numeric, table.drop(columns=numeric.columns) if some else table.iloc[:, :0]


def _level_counts(column: pd.Series) -> dict[Any, int]:
    """Return how often each level of a column occurs, in their own order or that of their first appearance."""
    order = column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else ()
    counts = Counter(dict.fromkeys(order, 0))
    counts.update(column.to_numpy(object)[column.notna().to_numpy()].tolist())  # pandas' takes twenty times as long
    return {level: n for level, n in counts.items() if n}


FUNNEL = ["step", "n_in", "n_out", "reasons"]


class Counted:
    """Base of steps that count the features that they are given and that they keep.

    Attributes
    ----------
    counted_ : tuple
        step, n_in, n_out, reasons.
    """

    counted_: tuple[str, int, int, str]

    @property
    def counts_(self) -> pd.DataFrame:
        """The same as one row of the funnel: how many features went in and came out, and why."""
        return pd.DataFrame([self.counted_], columns=FUNNEL)


class Imputer(Counted, TransformerMixin, BaseEstimator):
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
        numeric, other = _by_kind(as_table(X), self.passthrough)
        modes = {name: _most_frequent(column) for name, column in other.items() if column.notna().any()}
        values = numeric.to_numpy(float, na_value=np.nan)
        missing = np.isnan(values)
        known, gappy = ~missing.all(axis=0), missing.any(axis=0)
        middle = np.median(values, axis=0)  # pandas' median goes column by column
        middle[gappy & known] = np.nanmedian(values[:, gappy & known], axis=0)
        self.fill_ = {**dict(zip(numeric.columns[known], middle[known].tolist(), strict=True)), **modes}
        n_in = numeric.shape[1] + other.shape[1]
        dropped = n_in - len(self.fill_)
        self.selected_ = [c for c in X.columns if c in self.fill_ or c in self.passthrough]
        gaps = int(missing.sum()) + int(other.isna().to_numpy().sum())
        reasons = [f"{dropped} without any value"] * (dropped > 0) + [f"{gaps} gaps filled"] * (gaps > 0)
        self.counted_ = ("imputation", n_in, len(self.fill_), ", ".join(reasons))
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return the kept columns of `X` without gaps."""
        check_is_fitted(self)
        table = only(X, self.selected_)
        numeric, _ = _by_kind(table, self.passthrough)
        # One block at a time: pandas' fillna by column takes a hundred times longer on a thousand features.
        values = numeric.to_numpy(float, na_value=np.nan)
        values = np.where(np.isnan(values), [self.fill_[name] for name in numeric.columns], values)
        filled = pd.DataFrame(values, index=table.index, columns=numeric.columns)
        if filled.shape[1] == table.shape[1]:
            return filled
        others = table.drop(columns=filled.columns)
        gaps = others.isna()
        for name, gappy in gaps.any().items():
            if gappy and name not in self.passthrough:
                others[name] = others[name].where(~gaps[name], self.fill_[name])
        return pd.concat([filled, others], axis=1)[self.selected_]


def _most_frequent(column: pd.Series) -> Any:
    counts = _level_counts(column)
    most = max(counts.values())
    tied = [level for level, n in counts.items() if n == most]
    return tied[0] if len(tied) == 1 else column.mode().iloc[0]


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
        _, categories = _by_kind(as_table(X), self.passthrough)
        self.columns_ = list(X.columns)
        self.levels_: dict[str, list[Any]] = {}
        for name, column in categories.items():
            counts = _level_counts(column)
            reference = max(counts, key=lambda level: counts[level])
            self.levels_[str(name)] = sorted((level for level in counts if level != reference), key=str)
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return `X` with 0/1 columns in the place of its categories."""
        check_is_fitted(self)
        table = only(X, self.columns_)
        if not self.levels_:
            return table
        coded = {
            f"{c}={level}": np.asarray(table[c] == level, dtype=float) for c, ls in self.levels_.items() for level in ls
        }
        plain = table.drop(columns=list(self.levels_))
        return pd.concat([plain, pd.DataFrame(coded, index=table.index)], axis=1)


class ZScore(TransformerMixin, BaseEstimator):
    """Z-score of every column by mean and population SD of the training part; a constant column becomes 0.

    scikit-learn's StandardScaler, whose checks of a table with a thousand columns take twenty times as long.

    Attributes
    ----------
    mean_, scale_ : array, shape (n_features,)
    """

    def fit(self, X: pd.DataFrame, y: Any = None) -> ZScore:
        """Learn mean and SD of the columns of `X`."""
        self.columns_ = list(as_table(X).columns)
        values = X.to_numpy(float)
        self.mean_, sd = values.mean(axis=0), values.std(axis=0)
        noise = len(values) * np.finfo(float).eps * np.abs(self.mean_)  # what rounding leaves of a constant
        self.scale_ = np.where(sd > noise, sd, 1.0)
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return the z-scores of the columns of the fit."""
        check_is_fitted(self)
        table = only(X, self.columns_)
        return pd.DataFrame((table.to_numpy(float) - self.mean_) / self.scale_, table.index, self.columns_)


def z_score() -> ZScore:
    """Return the unfitted z-score of a signature's columns."""
    return ZScore()


OUTCOME_COLUMNS = ("label", "time", "event")


@dataclass(eq=False, repr=False)
class ComBat(TransformerMixin, BaseEstimator):
    """Parametric empirical-Bayes location and scale adjustment per center.

    Johnson, Li & Rabinovic, Biostatistics 2007;8:118, eqs 2-4 and supplement. Own code: neuroCombat and its
    kin correct the patients that they are fitted on, and combatlearn, which is fitted on one set and applied
    to another, refuses a center that it was not fitted on. Features are
    standardised by a linear model (center + covariates); each center's shift and scale, shrunk over the
    features towards the center's average, are then removed. The outcome is never a covariate: it would
    carry itself into the features.

    Parameters
    ----------
    center : str
        Column of the table that names the center; it is dropped from the result.
    covariates : sequence of str
        Numeric columns whose effect is kept (biology that differs between centers). They stay in the
        result unchanged.
    empirical_bayes : bool
        Shrink over features (published method); False removes each feature's own mean and variance.
    reference : str, optional
        Center that the others are brought to; it stays as it is. Without it, the pooled training data.
    unseen : {"error", "pooled", "reference"}
        A center that was not in training: refuse it, leave its features as they are (taken to lie on the
        pooled scale already), or treat it as if it were the `reference` center (needs `reference`; its
        features are then left as they are too, on the reference's scale).

    Attributes
    ----------
    centers_ : list of str
    shift_, scale_ : DataFrames, centers x features
        Estimated shift (in pooled SD) and variance ratio of each center.
    """

    center: str = "center"
    covariates: Sequence[str] = ()
    empirical_bayes: bool = True
    reference: str | None = None
    unseen: Literal["error", "pooled", "reference"] = "error"

    def fit(self, X: pd.DataFrame, y: Any = None) -> ComBat:
        """Learn the centers' shifts and scales from training subjects.

        Parameters
        ----------
        X : DataFrame, one row per subject
            Numeric features, the center's column and the covariates; nothing missing.
        y : array-like, optional
            Never used in the fit; a covariate that equals it is refused.

        Raises
        ------
        InputError
            Missing values, an outcome among the covariates, unknown reference, or covariates that can not
            be told from the centers.
        NotEstimableError
            Fewer than two centers, or a center with a single subject.
        """
        self._check(X, y)
        self.features_ = [c for c in X.columns if c != self.center and c not in self.covariates]
        batch = X[self.center].astype(str).to_numpy()
        self.centers_ = sorted(set(batch))
        indicator = (batch[:, None] == np.array(self.centers_)).astype(float)
        self._check_centers(indicator)
        values = X[self.features_].to_numpy(float)
        z = self._standardise(values, indicator, X[list(self.covariates)].to_numpy(float))
        estimates = [self._center_effect(z[member == 1]) for member in indicator.T]
        shift, scale = (np.array(part) for part in zip(*estimates, strict=True))
        if self.reference is not None:
            at = self.centers_.index(self.reference)
            shift[at], scale[at] = 0.0, 1.0
        self.shift_ = pd.DataFrame(shift, self.centers_, self.features_)
        self.scale_ = pd.DataFrame(scale, self.centers_, self.features_)
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return the adjusted features (and the covariates), without the center's column.

        Raises
        ------
        InputError
            Missing columns or values, or a center that was not in training while `unseen` is "error".
        """
        check_is_fitted(self)
        self._check_table(X)
        batch = X[self.center].astype(str)
        new = sorted(set(batch) - set(self.centers_))
        if new and self.unseen == "error":
            known, remedy = ", ".join(self.centers_), "set unseen='pooled' or 'reference'"
            problems = [Problem("unseen center", known, remedy, value=center) for center in new]
            raise InputError("ComBat was given centers that it was not fitted on.", problems)
        adjusted = self._alpha + X[list(self.covariates)].to_numpy(float) @ self._beta
        values = X[self.features_].to_numpy(float)
        z = (values - adjusted) / self._sd
        shift = self.shift_.reindex(batch).fillna(0.0).to_numpy()
        scale = self.scale_.reindex(batch).fillna(1.0).to_numpy()
        result = adjusted + self._sd * (z - shift) / np.sqrt(scale)
        kept = np.where(self._varies, result, values)
        table = pd.concat([X[list(self.covariates)], pd.DataFrame(kept, X.index, self.features_)], axis=1)
        return table[[column for column in X.columns if column != self.center]]

    def as_numbers(self, at: int) -> dict[str, Any] | None:
        """Return what is done to one feature, by its place among `features_`: mean, sd, shift and scale by center.

        None where it is left as it is, for it did not vary.
        """
        if not self._varies[at]:
            return None
        if self.covariates:
            raise InputError("An adjustment with covariates can not be written as numbers of one feature.")
        parts = {"shift": self.shift_.iloc[:, at].to_dict(), "scale": self.scale_.iloc[:, at].to_dict()}
        return parts | {"mean": float(self._alpha[at]), "sd": float(self._sd[at]), "unseen": self.unseen}

    def _standardise(self, values: FloatArray, indicator: FloatArray, covariates: FloatArray) -> FloatArray:
        """Fit the linear model; keep mean, covariate effects and pooled SD; return the z-scores."""
        design = np.column_stack([indicator, covariates])
        if np.linalg.matrix_rank(design) < design.shape[1]:
            raise InputError("ComBat's covariates can not be told from the centers; leave one out.", ())
        coefs = np.linalg.lstsq(design, values, rcond=None)[0]
        n_centers = indicator.shape[1]
        if self.reference is None:
            rows, weights = np.ones(len(values), dtype=bool), indicator.mean(axis=0)
        else:
            weights = (np.array(self.centers_) == self.reference).astype(float)
            rows = indicator @ weights == 1
        self._alpha, self._beta = weights @ coefs[:n_centers], coefs[n_centers:]
        variance = ((values - design @ coefs)[rows] ** 2).mean(axis=0)
        # Rounding noise of a constant feature is not variation; such a feature passes through unchanged.
        self._varies = variance > (1e-12 * np.abs(values).max(axis=0)) ** 2
        self._sd = np.where(self._varies, np.sqrt(variance), 1.0)
        return np.where(self._varies, (values - self._alpha - covariates @ self._beta) / self._sd, 0.0)

    def _center_effect(self, z: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Shift and variance ratio of one center for every feature."""
        shift, scale = z.mean(axis=0), z.var(axis=0, ddof=1)
        if self.empirical_bayes and self._varies.any():
            used = self._varies
            shift[used], scale[used] = posterior_effects(z[:, used])
        return shift, np.where(scale > 0, scale, 1.0)

    def _check(self, X: pd.DataFrame, y: Any) -> None:
        self._check_table(X)
        problems = []
        for name in self.covariates:
            outcome = y is not None and np.shape(y) == (len(X),) and _same(X[name], y)
            if name in OUTCOME_COLUMNS or outcome:
                problems.append(Problem("the outcome is a covariate", remedy="leave it out", column=name))
        if self.unseen not in ("error", "pooled", "reference"):
            problems.append(Problem("unknown rule", "error, pooled or reference", column="unseen", value=self.unseen))
        if self.unseen == "reference" and self.reference is None:
            problems.append(Problem("unseen='reference' without a reference center", remedy="name it"))
        if self.reference is not None and self.reference not in set(X[self.center].astype(str)):
            problems.append(Problem("the reference center has no subject here", value=self.reference))
        if problems:
            raise InputError("ComBat can not be fitted.", problems)

    def _check_table(self, X: pd.DataFrame) -> None:
        wanted = [self.center, *self.covariates, *getattr(self, "features_", [])]
        missing = [name for name in wanted if name not in X.columns]
        if missing:
            raise InputError(f"ComBat misses {counted(len(missing), 'column')}: {', '.join(missing[:10])}.")
        empty = X.columns[X.isna().any()]
        if len(empty):
            raise InputError(f"ComBat needs complete columns; impute before: {', '.join(map(str, empty[:10]))}.")

    def _check_centers(self, indicator: FloatArray) -> None:
        if len(self.centers_) < 2:
            raise NotEstimableError(f"ComBat needs two or more centers; all subjects are of {self.centers_[0]!r}.")
        lone = [c for c, n in zip(self.centers_, indicator.sum(axis=0), strict=True) if n < 2]
        if lone:
            raise NotEstimableError(f"ComBat needs two or more subjects per center; one only in {', '.join(lone)}.")


def posterior_effects(z: FloatArray, tolerance: float = 1e-10) -> tuple[FloatArray, FloatArray]:
    """Posterior means of one center's shift and variance ratio per feature.

    Priors: normal for the shift, inverse gamma for the variance, with moments taken over the features
    (Johnson 2007, eqs 3-4); the two conditional means are iterated to their fixed point.

    Parameters
    ----------
    z : array, shape (n_subjects of the center, n_features)
        Standardised features.
    tolerance : float
        Largest change at which to stop (R's sva stops at a relative 1e-4).
    """
    n, own_shift, own_scale = len(z), z.mean(axis=0), z.var(axis=0, ddof=1)
    spread = own_shift.var(ddof=1) if own_shift.size > 1 else 0.0
    mean, variance = own_scale.mean(), own_scale.var(ddof=1) if own_scale.size > 1 else 0.0
    if mean == 0:
        return own_shift, own_scale
    shift, scale = own_shift, own_scale
    for _ in range(10_000):
        new_shift = (n * spread * own_shift + scale * own_shift.mean()) / (n * spread + scale)
        squares = ((z - new_shift) ** 2).sum(axis=0)
        # (squares / 2 + rate) / (n / 2 + shape - 1), both times `variance` so that zero is allowed.
        new_scale = (variance * (squares / 2 + mean) + mean**3) / (variance * (n / 2 + 1) + mean**2)
        change = max(np.abs(new_shift - shift).max(), np.abs(new_scale - scale).max())
        shift, scale = new_shift, new_scale
        if change < tolerance:
            return shift, scale
    raise NotEstimableError("ComBat's iteration did not settle; look for features of extreme scale.")


def _same(column: pd.Series, outcome: Any) -> bool:
    """Whether a covariate is the outcome or its reverse."""
    values, target = column.to_numpy(float), np.asarray(outcome, dtype=object)
    numeric = pd.to_numeric(pd.Series(target), errors="coerce").to_numpy(float)
    return bool(np.array_equal(values, numeric) or np.array_equal(1.0 - values, numeric))
