"""Shapiro-Wilk for all features at once."""

from __future__ import annotations

import numpy as np
from numpy.polynomial.polynomial import polyval
from scipy.stats import norm

from radsupport.checks import FloatArray
from radsupport.errors import NotEstimableError

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
    return _p_three(rest) if n == 3 else _p_many(rest, n)


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


def _p_three(rest: FloatArray) -> FloatArray:
    return np.clip(6 / np.pi * (np.arcsin(np.sqrt(1 - rest)) - np.arcsin(np.sqrt(0.75))), 0.0, 1.0)


def _p_many(rest: FloatArray, n: int) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        y = np.log(rest)
        if n > 11:
            mean, sd = polyval(np.log(n), _MANY_MEAN), np.exp(polyval(np.log(n), _MANY_LOG_SD))
            return norm.sf(y, mean, sd)
        gamma = polyval(n, _FEW_GAMMA)
        mean, sd = polyval(n, _FEW_MEAN), np.exp(polyval(n, _FEW_LOG_SD))
        return np.where(y >= gamma, 1e-99, norm.sf(-np.log(gamma - y), mean, sd))
