"""Scatterplot smoothers for calibration curves: R's lowess, and loess with a band."""

from __future__ import annotations

import numpy as np

from radsupport.checks import FloatArray


def lowess(x: FloatArray, y: FloatArray, span: float = 2 / 3) -> FloatArray:
    """Locally linear smooth of `y` at each `x`, as R's lowess(x, y, f=span, iter=0).

    Parameters
    ----------
    x, y : ndarray, shape (n,)
    span : float
        Share of the points in each window.

    Returns
    -------
    ndarray, shape (n,)
        Smoothed `y`, in the order of `x`.

    Notes
    -----
    Cleveland 1979, with R's default delta: points closer than 1% of the range to the last fitted one are
    interpolated. Own code because statsmodels' lowess agrees only while windows have a width: where many
    predictions are equal (a constant risk, a score with few levels) it returns NaN or, without a warning, another
    point's value; R then takes the mean of `y` among the equal ones, and so does this function.
    """
    order = np.argsort(x, kind="stable")
    fitted = np.empty(x.size)
    fitted[order] = _lowess_sorted(x[order], y[order], span)
    return fitted


def _lowess_sorted(x: FloatArray, y: FloatArray, span: float) -> FloatArray:
    n = x.size
    window = min(max(2, int(span * n + 1e-7)), n)
    delta = 0.01 * (x[-1] - x[0])
    fitted = np.empty(n)
    here, last, left = 0, -1, 0
    while last < n - 1:
        while left + window < n and x[here] - x[left] > x[left + window] - x[here]:
            left += 1
        fitted[here] = _local_line(x, y, here, left, left + window - 1)
        if last < here - 1:
            fitted[last + 1 : here] = np.interp(x[last + 1 : here], x[[last, here]], fitted[[last, here]])
        last = int(np.searchsorted(x, x[here], side="right")) - 1
        fitted[here : last + 1] = fitted[here]
        here = max(last + 1, int(np.searchsorted(x, x[last] + delta, side="right")) - 1)
    return fitted


def _local_line(x: FloatArray, y: FloatArray, here: int, left: int, right: int) -> float:
    """Tricube-weighted straight line at x[here]; the weighted mean where the window has no spread."""
    reach = max(x[here] - x[left], x[right] - x[here])
    # Points beyond the window that tie with its last one belong to it.
    stop = int(np.searchsorted(x, x[here] + reach, side="right"))
    near, values = x[left:stop], y[left:stop]
    distance = np.abs(near - x[here])
    # Within 0.1% of the reach the weight is 1, beyond 99.9% it is 0, as in Cleveland's routine.
    weight = np.where(distance <= 0.001 * reach, 1.0, _tricube(distance, reach))
    weight[distance > 0.999 * reach] = 0
    weight /= weight.sum()
    centre = weight @ near
    spread = weight @ (near - centre) ** 2
    if reach > 0 and np.sqrt(spread) > 0.001 * (x[-1] - x[0]):
        weight = weight * (1 + (x[here] - centre) / spread * (near - centre))
    return float(weight @ values)


def loess(x: FloatArray, y: FloatArray, at: FloatArray, span: float = 0.75) -> tuple[FloatArray, FloatArray]:
    """Locally quadratic smooth with tricube weights, and its operator.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
    at : ndarray, shape (m,)
        Where the curve is wanted.
    span : float
        Share of the points in each window.

    Returns
    -------
    fitted : ndarray, shape (m,)
    operator : ndarray, shape (m, n)
        `fitted` is `operator @ y`; its rows give the variance of the fit.

    Notes
    -----
    Cleveland & Devlin 1988; R's loess(degree=2, surface="direct"). Own code because statsmodels' lowess is locally
    linear and returns no operator. Where a window holds fewer than three distinct x, the fit of least norm is used.
    """
    window = int(np.floor(x.size * span + 1e-5))
    window = min(max(window, 1), x.size)
    operator = np.zeros((at.size, x.size))
    for row, centre in zip(operator, at, strict=True):
        distance = np.abs(x - centre)
        reach = np.partition(distance, window - 1)[window - 1]
        weight = np.sqrt(_tricube(distance, reach))
        design = np.vander(x - centre, 3, increasing=True)
        # The first row of the weighted pseudoinverse is the fit at the centre as a function of y.
        row[:] = np.linalg.pinv(design * weight[:, None])[0] * weight
    return operator @ y, operator


def _tricube(distance: FloatArray, reach: float) -> FloatArray:
    if reach == 0:
        return (distance == 0).astype(float)
    return np.clip(1 - (distance / reach) ** 3, 0, None) ** 3
