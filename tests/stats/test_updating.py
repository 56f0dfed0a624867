"""Updates of a model in new patients: closed forms, the fits that equal R, and what the closed test keeps."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from radsupport.errors import InputError, NotEstimableError
from radsupport.stats.calibration import calibration_summary
from radsupport.stats.logistic import fit_logistic
from radsupport.stats.updating import LEVEL, METHODS, ORIGINAL, REVISION, SPREAD, closed_test


def patients(n: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    return x, x @ [1.0, -0.5, 0.3] - 0.4


def test_the_level_of_a_poisson_model_is_observed_over_expected() -> None:
    x, score = patients(300)
    y = np.random.default_rng(2).binomial(1, 0.3, 300)
    expected = np.exp(score - 1)
    table = closed_test(y, score - 1, score, x, family="poisson").set_index("method")
    assert table.loc[LEVEL, "intercept"] == pytest.approx(np.log(y.sum() / expected.sum()), abs=1e-9)
    half = (table.loc[LEVEL, "intercept_high"] - table.loc[LEVEL, "intercept_low"]) / 2
    assert half == pytest.approx(1.96 / np.sqrt(y.sum()), rel=1e-5)


def test_logistic_updates_equal_calibration_and_regression() -> None:
    x, score = patients(400)
    y = np.random.default_rng(3).binomial(1, expit(0.6 * score + 0.5))
    table = closed_test(y, score, score, x).set_index("method")
    known = calibration_summary(y, expit(score))
    assert table.loc[SPREAD, "slope"] == pytest.approx(known.slope, abs=1e-6)
    data = pd.DataFrame(x, columns=list("abc")).assign(y=y)
    refit = fit_logistic(data, "y", list("abc"))
    assert table.loc[REVISION, "log_likelihood"] == pytest.approx(refit.log_likelihood, abs=1e-7)
    assert list(table["parameters"]) == [0, 1, 2, 4]
    assert list(table["df"]) == [4, 3, 2, 0]
    assert table["log_likelihood"].is_monotonic_increasing, "each update holds the one before"
    gain = 2 * (table.loc[REVISION, "log_likelihood"] - table.loc[ORIGINAL, "log_likelihood"])
    assert table.loc[ORIGINAL, "chi2"] == pytest.approx(gain)


@pytest.mark.parametrize(
    ("level", "spread", "other", "chosen"),
    [(0.0, 1.0, 0.0, ORIGINAL), (1.5, 1.0, 0.0, LEVEL), (0.3, 0.2, 0.0, SPREAD), (0.0, 1.0, 3.0, REVISION)],
)
def test_the_smallest_update_that_is_enough_is_taken(level: float, spread: float, other: float, chosen: str) -> None:
    x, score = patients(3000, 4)
    truth = level + spread * score + other * x[:, 1]
    y = np.random.default_rng(7).binomial(1, expit(truth))
    table = closed_test(y, score, score, x)
    assert table.loc[table["chosen"], "method"].tolist() == [chosen]
    assert tuple(table["method"]) == METHODS


def test_a_model_that_holds_is_kept_in_19_of_20_cohorts() -> None:
    kept = []
    for seed in range(200):
        x, score = patients(250, seed)
        y = np.random.default_rng(1000 + seed).binomial(1, expit(score))
        table = closed_test(y, score, score, x)
        kept.append(table.loc[table["chosen"], "method"].item() == ORIGINAL)
    assert 0.90 <= np.mean(kept) <= 0.99  # 0.95, three standard errors of 0.015


def test_with_one_predictor_recalibration_is_the_refit() -> None:
    x, _ = patients(500, 5)
    score = 2 * x[:, 0]
    y = np.random.default_rng(6).binomial(1, expit(0.3 * score))
    table = closed_test(y, score, score, x[:, :1]).set_index("method")
    assert table.loc[SPREAD, "log_likelihood"] == pytest.approx(table.loc[REVISION, "log_likelihood"], abs=1e-8)
    assert bool(table.loc[SPREAD, "chosen"])


def test_what_can_not_be_refitted_says_why() -> None:
    x, score = patients(40)
    y = (score > 0).astype(int)
    with pytest.raises(NotEstimableError):
        closed_test(y, score, score, x)
    constant = np.column_stack([x, np.ones(40)])
    with pytest.raises(NotEstimableError, match="does not vary"):
        closed_test(np.tile([0, 1], 20), score, score, constant)
    with pytest.raises(InputError, match="shape"):
        closed_test(np.tile([0, 1], 20), score, score, x[:30])


def test_without_predictors_the_updates_are_held_against_recalibration() -> None:
    x, score = patients(2000)
    y = np.random.default_rng(5).binomial(1, expit(0.4 * score + 0.8))
    table = closed_test(y, score, score).set_index("method")
    whole = closed_test(y, score, score, x).set_index("method")
    assert list(table.index) == [ORIGINAL, LEVEL, SPREAD]
    assert list(table["df"]) == [2, 1, 0]
    fit = fit_logistic(pd.DataFrame({"score": score, "y": y}), "y", ["score"])
    kept = float(np.sum(y * score - np.logaddexp(0, score)))
    assert table.loc[ORIGINAL, "chi2"] == pytest.approx(2 * (fit.log_likelihood - kept), abs=1e-7)
    assert table.loc[SPREAD, "slope"] == pytest.approx(whole.loc[SPREAD, "slope"], abs=1e-12)
    assert table["chosen"].to_dict() == {ORIGINAL: False, LEVEL: False, SPREAD: True}
    with pytest.raises(NotEstimableError, match="does not vary"):
        closed_test(y, np.zeros(2000), np.ones(2000))
