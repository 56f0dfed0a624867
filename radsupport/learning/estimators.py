"""Learners that no kept library has in the form the papers used: support vector machine, naive Bayes, given risks.

Linear ones are in `radsupport.learning.linear`; the others come from scikit-learn as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit, logsumexp
from sklearn import get_config
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import SVC, _libsvm
from sklearn.utils.validation import check_is_fitted, validate_data

from radsupport.checks import FloatArray, IntArray, as_binary
from radsupport.errors import InputError, NotEstimableError

FLATTEST = 0.01  # log-odds per SD of the decision value


class BinaryRisk(ClassifierMixin, BaseEstimator):
    """Base of two-class learners: checks the input and turns a risk into what scikit-learn asks for."""

    def _checked(self, X: Any, y: Any) -> tuple[FloatArray, IntArray]:
        if get_config()["assume_finite"]:  # in tuning, where the table was checked once
            self.classes_, self.n_features_in_ = np.array([0, 1]), X.shape[1]
            return X, y
        X, _ = validate_data(self, X, y, dtype=float)
        self.classes_ = np.array([0, 1])
        return X, as_binary(y, "y", X.shape[0])

    def _features(self, X: Any) -> FloatArray:
        if get_config()["assume_finite"]:
            return np.asarray(X, dtype=float)
        check_is_fitted(self)
        return validate_data(self, X, dtype=float, reset=False)

    def _risk(self, X: FloatArray) -> FloatArray:
        raise NotImplementedError

    def predict_proba(self, X: Any) -> FloatArray:
        """Return P(0) and P(1), shape (n_subjects, 2)."""
        risk = self._risk(self._features(X))
        return np.column_stack([1.0 - risk, risk])

    def predict(self, X: Any) -> IntArray:
        """Return the class with the higher probability."""
        return (self.predict_proba(X)[:, 1] > 0.5).astype(np.int64)


class ScaledSVC(SVC):
    """Support vector machine whose decision values are z-scored by those of its own training subjects.

    At a small C all subjects are support vectors at the bound and the bias is hardly determined: it jumps
    between folds while the order of subjects stays. On this scale values of different folds can be pooled.
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> ScaledSVC:
        """Fit, and keep mean and SD of the training decision values."""
        super().fit(X, y, sample_weight)
        values = super().decision_function(X)
        self.center_, self.scale_ = float(values.mean()), float(values.std()) or 1.0
        return self

    def fit_points(self, points: Sequence[dict[str, Any]], X: FloatArray, y: IntArray) -> list[Machine]:
        """Fit at every point of a grid of C, gamma and kernel; machines of one kernel share its matrix.

        scikit-learn's checks take five times as long as libsvm here, which is called directly.
        """
        weight = len(y) / (2.0 * np.bincount(y, minlength=2))
        squares, products = (X**2).sum(axis=1), X @ X.T
        machines: list[Machine] = []
        own = self.get_params()  # clones would take as long as the fits
        _libsvm.set_verbosity_wrap(0)
        for model in ({**own, **point} for point in points):
            gamma = 1.0 / (X.shape[1] * X.var()) if model["gamma"] == "scale" else model["gamma"]
            kernel = products if model["kernel"] == "linear" else _gaussian(squares, squares, products, gamma)
            found = _libsvm.fit(
                kernel, y.astype(float), kernel="precomputed", C=model["C"], class_weight=weight,
                tol=model["tol"], cache_size=model["cache_size"],
            )  # fmt: skip
            # libsvm's signs are those of its first label, the one without the event.
            used, weights, bias = found[0], -found[3][0], -float(found[4][0])
            values = kernel[:, used] @ weights + bias
            scale = float(values.mean()), float(values.std()) or 1.0
            machines.append(Machine(X[used], weights, bias, gamma if model["kernel"] == "rbf" else None, *scale))
        return machines

    def decision_function(self, X: Any) -> FloatArray:
        """Return the scaled decision value, higher towards the event."""
        return (super().decision_function(X) - self.center_) / self.scale_


@dataclass(frozen=True, eq=False)
class Machine:
    """A fitted support vector machine on the scale of `ScaledSVC`; a linear one has no gamma."""

    vectors: FloatArray
    weights: FloatArray
    bias: float
    gamma: float | None
    center: float
    scale: float

    def decision_function(self, X: FloatArray) -> FloatArray:
        """Return the scaled decision value, higher towards the event."""
        kernel = X @ self.vectors.T
        if self.gamma is not None:
            kernel = _gaussian((X**2).sum(axis=1), (self.vectors**2).sum(axis=1), kernel, self.gamma)
        return (kernel @ self.weights + self.bias - self.center) / self.scale

    risk = decision_function


def _gaussian(own: FloatArray, other: FloatArray, products: FloatArray, gamma: float) -> FloatArray:
    """Kernel matrix exp(-gamma |x - z|²) from the squared lengths and the products of rows."""
    return np.exp(-gamma * np.maximum(own[:, None] + other - 2 * products, 0.0))


@dataclass(eq=False, repr=False)
class PlattSVC(BinaryRisk):
    """Support vector machine with class weights and Platt's probability.

    The probability is a logistic function of the (scaled) decision value, fitted on out-of-fold decision
    values with Platt's targets (n1 + 1)/(n1 + 2) and 1/(n0 + 2); scikit-learn deprecates
    ``SVC(probability=True)`` and its calibration classes allow a falling curve. Here the curve may not fall:
    where the out-of-fold decision values say nothing or point the wrong way, the risk keeps the machine's
    order but hardly leaves the prevalence (`FLATTEST`).

    Parameters
    ----------
    C, gamma, kernel
        As in ``sklearn.svm.SVC``; ``class_weight`` is "balanced".
    folds : int
        Stratified folds of the calibration; fewer where the smaller class has fewer subjects.
    seed : int
        Of the folds.
    """

    C: float = 1.0
    gamma: float | str = "scale"
    kernel: str = "rbf"
    folds: int = 5
    seed: int = 0

    def for_tuning(self) -> ScaledSVC:
        """Return the machine without its probability: the same order of subjects, a sixth of the work."""
        return ScaledSVC(C=self.C, gamma=self.gamma, kernel=self.kernel, class_weight="balanced")

    def fit(self, X: Any, y: Any, out_of_fold: FloatArray | None = None) -> PlattSVC:
        """Fit the machine on everything and the curve on out-of-fold decision values.

        Parameters
        ----------
        out_of_fold : array, shape (n_subjects,), optional
            Decision values of `for_tuning` machines that did not see the subject. Where features were selected
            before, these must come from folds that selected anew, or the curve is too steep.
        """
        X, label = self._checked(X, y)
        if out_of_fold is None:
            smallest = int(np.bincount(label).min())
            if smallest < 2 or self.folds < 2:
                raise NotEstimableError(
                    f"PlattSVC needs two subjects of each class and two folds; there are {smallest}."
                )
            folds = StratifiedKFold(min(self.folds, smallest), shuffle=True, random_state=self.seed)
            out_of_fold = cross_val_predict(self.for_tuning(), X, label, cv=folds, method="decision_function")
        self.slope_, self.intercept_ = platt_curve(out_of_fold, label)
        self.machine_ = self.for_tuning().fit(X, label)
        return self

    def decision_function(self, X: Any) -> FloatArray:
        """Return the scaled decision value, higher towards the event."""
        return self.machine_.decision_function(self._features(X))

    def risk_of_scores(self, scores: FloatArray) -> FloatArray:
        """Return the probability of the event at these decision values."""
        check_is_fitted(self)
        return expit(self.slope_ * scores + self.intercept_)

    def _risk(self, X: FloatArray) -> FloatArray:
        return self.risk_of_scores(self.machine_.decision_function(X))


def platt_curve(scores: FloatArray, label: IntArray) -> tuple[float, float]:
    """Return slope (at least `FLATTEST`) and intercept of the log-odds over the score (Platt 1999).

    Parameters
    ----------
    scores : array, shape (n_subjects,)
        Out-of-fold decision values in SD of the training ones; differences of 1e-6 are rounding noise.
    label : array, shape (n_subjects,)
        0/1.
    """
    n1, n0 = int(label.sum()), int((1 - label).sum())
    target = np.where(label == 1, (n1 + 1) / (n1 + 2), 1 / (n0 + 2))
    spread = float(scores.std())
    if spread > 1e-6:
        # A fractional target is one subject counted in both classes, with the target as weight.
        twice = np.concatenate([scores, scores])[:, None] / spread
        classes = np.repeat([1, 0], len(scores))
        fit = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000)
        fit.fit(twice, classes, sample_weight=np.concatenate([target, 1 - target]))
        slope = float(fit.coef_[0, 0]) / spread
        if slope > FLATTEST:
            return slope, float(fit.intercept_[0])
    mean = float(target.mean())
    return FLATTEST, float(np.log(mean / (1 - mean)))


class GradientBoosting(GradientBoostingClassifier):
    """scikit-learn's; of a grid, settings that differ in the number of trees alone are fitted once."""

    def fit_points(self, points: Sequence[dict[str, Any]], X: FloatArray, y: IntArray) -> list[GradientBoosting]:
        """Fit the most trees of each setting: fewer trees with the same seed are the first of these."""
        models = [clone(self).set_params(**point) for point in points]
        fitted: dict[str, GradientBoosting] = {}
        for model in sorted(models, key=lambda model: model.n_estimators, reverse=True):
            n, rest = model.n_estimators, {**model.get_params(), "n_estimators": None}
            whole = fitted.setdefault(str(rest), model)
            if whole is model:
                model.fit(X, y)
            else:
                vars(model).update(
                    vars(whole) | {"n_estimators": n, "n_estimators_": n, "estimators_": whole.estimators_[:n]}
                )
        return models


class NaiveBayes(BinaryRisk):
    """Naive Bayes with normal densities or, as R's ``klaR::NaiveBayes(usekernel = TRUE)``, kernel densities.

    Kernel densities are Gaussian with R's ``bw.nrd0`` bandwidth per column and class; the kernel part is
    own code, scikit-learn having normal densities only.

    Parameters
    ----------
    kernel : bool
        Kernel densities instead of normal ones.
    """

    def __init__(self, kernel: bool = False) -> None:
        self.kernel = kernel

    def fit(self, X: Any, y: Any) -> NaiveBayes:
        """Estimate prior and densities per class."""
        X, label = self._checked(X, y)
        if not self.kernel:
            self.normal_ = GaussianNB().fit(X, label)
            return self
        self.prior_ = np.bincount(label) / len(label)
        self.groups_ = [X[label == k] for k in (0, 1)]
        self.bandwidths_ = [bandwidth(group) for group in self.groups_]
        return self

    def _risk(self, X: FloatArray) -> FloatArray:
        if not self.kernel:
            return self.normal_.predict_proba(X)[:, 1]
        joint = [
            np.log(prior) + log_kernel_density(X, group, width).sum(axis=1)
            for prior, group, width in zip(self.prior_, self.groups_, self.bandwidths_, strict=True)
        ]
        return expit(joint[1] - joint[0])


def bandwidth(values: FloatArray) -> FloatArray:
    """R's ``bw.nrd0`` per column: 0.9 min(SD, IQR / 1.34) n^(-1/5); shape (n_subjects, n_features)."""
    sd = values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros(values.shape[1])
    quarter = np.subtract(*np.quantile(values, [0.75, 0.25], axis=0)) / 1.34
    low = np.minimum(sd, quarter)
    low = np.where(low > 0, low, np.where(sd > 0, sd, np.abs(values[0])))
    return 0.9 * np.where(low > 0, low, 1.0) * len(values) ** -0.2


def log_kernel_density(at: FloatArray, values: FloatArray, width: FloatArray) -> FloatArray:
    """Log of the Gaussian kernel density of each column of `values`, at each row of `at`; shape of `at`.

    A density below 0.001 counts as 0.001 (klaR's threshold), so that one outlying value does not decide alone.
    """
    distance = (at[:, None, :] - values[None, :, :]) / width
    density = logsumexp(-0.5 * distance**2, axis=1) - np.log(len(values) * width * np.sqrt(2 * np.pi))
    return np.maximum(density, np.log(1e-3))


class GivenRisk(BaseEstimator):
    """The risk is the one column itself; nothing is fitted (a published or a network's probability)."""

    def fit(self, X: Any, y: Any) -> GivenRisk:
        """Check that there is one column, without gaps."""
        values = np.asarray(X, dtype=float)
        if values.ndim != 2 or values.shape[1] != 1 or not np.isfinite(values).all():
            raise InputError(f"A given risk is one column without missing values; the table's shape is {values.shape}.")
        self.n_features_in_ = 1
        return self

    def predict(self, X: Any) -> FloatArray:
        """Return the column."""
        check_is_fitted(self)
        return np.asarray(X, dtype=float)[:, 0]
