"""Shapiro-Wilk of all columns against scipy's, one by one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from radsupport.errors import NotEstimableError
from radsupport.learning.screening import screen_features, shapiro_p
from radsupport.stats.groups import feature_tests


@pytest.mark.parametrize("n", [3, 4, 5, 6, 7, 10, 11, 12, 13, 46, 142, 1000])
def test_equals_scipy_column_by_column(n):
    rng = np.random.default_rng(n)
    values = np.column_stack(
        [rng.normal(1e6, 1e-3, n), rng.exponential(size=n), rng.uniform(size=n), np.exp(3 * rng.normal(size=n)),
         rng.integers(0, 3, n) + np.arange(n) % 2, np.arange(n) == 0]
    ).astype(float)  # fmt: skip
    expected = [stats.shapiro(column).pvalue for column in values.T]
    assert shapiro_p(values) == pytest.approx(expected, rel=1e-5, abs=1e-12)


def test_does_not_depend_on_unit_or_sign():
    values = np.random.default_rng(0).exponential(size=(20, 30))
    assert shapiro_p(-7e8 * values + 3.0) == pytest.approx(shapiro_p(values), rel=1e-6)


@pytest.mark.parametrize("values", [np.ones((10, 1)), np.ones((2, 1)), np.arange(6000.0)[:, None]])
def test_refuses_what_has_no_test(values):
    with pytest.raises(NotEstimableError, match="Shapiro-Wilk needs"):
        shapiro_p(values)


def test_screening_chooses_the_same_tests_as_scipys_normality():
    rng = np.random.default_rng(3)
    label = np.repeat([0, 1], [46, 10])
    X = pd.DataFrame(np.exp(rng.normal(size=(56, 200)) * rng.uniform(0, 2, 200)))
    X[7], X[8] = 1.0, np.where(label == 1, 1.0, X[8])
    expected = feature_tests(X, label, "shapiro")
    found = screen_features(X, label, "shapiro").drop(index=7)
    assert found["test"].tolist() == expected["test"].drop(index=7).tolist()
    assert found["p"].to_numpy() == pytest.approx(expected["p"].drop(index=7).to_numpy())
    assert found["test"].nunique() == 2
