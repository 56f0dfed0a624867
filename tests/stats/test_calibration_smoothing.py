"""Smoothers against R's conventions, weighted regression and the polynomials they reproduce."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm

from radsupport.stats.calibration import loess, lowess


def test_lowess_takes_means_where_windows_have_no_width():
    y = np.array([0, 1, 1, 0, 1, 0, 1, 1, 1, 0.0])
    assert lowess(np.full(10, 0.3), y) == pytest.approx(np.full(10, 0.6))
    mostly = np.array([0.3] * 9 + [0.8])
    assert lowess(mostly, y)[:9] == pytest.approx(np.full(9, y[:9].mean()))
    assert lowess(np.array([0.2, 0.4]), np.array([0.0, 1.0])) == pytest.approx([0, 1])
    shuffled = np.random.default_rng(0).permutation(10)
    x = np.linspace(0, 1, 10) ** 2
    assert lowess(x[shuffled], y[shuffled]) == pytest.approx(lowess(x, y)[shuffled])


def test_smoothers_reproduce_their_own_polynomials():
    x = np.sort(np.random.default_rng(1).random(60))
    assert lowess(x, 2 - 3 * x) == pytest.approx(2 - 3 * x)
    at = np.linspace(x[0], x[-1], 7)
    fitted, operator = loess(x, 1 - x + 4 * x**2, at)
    assert fitted == pytest.approx(1 - at + 4 * at**2)
    assert operator.sum(axis=1) == pytest.approx(np.ones(7))


def test_loess_equals_a_weighted_regression_by_definition():
    rng = np.random.default_rng(3)
    x, centre = rng.random(40), 0.37
    y = (rng.random(40) < x).astype(float)
    reach = np.sort(np.abs(x - centre))[int(0.75 * 40) - 1]
    weights = np.clip(1 - (np.abs(x - centre) / reach) ** 3, 0, None) ** 3
    fit = sm.WLS(y, np.vander(x - centre, 3), weights=weights).fit()
    assert loess(x, y, np.array([centre]))[0][0] == pytest.approx(fit.params[-1], rel=1e-9)
