"""Optimism of a measure by refitting in resamples."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from radsupport.errors import InputError, NotEstimableError
from radsupport.stats.bootstrap import optimism


def table(n: int = 60, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(rng.normal(size=(n, 12))).assign(y=rng.normal(size=n))


def fit(rows: pd.DataFrame) -> np.ndarray:
    x = rows.drop(columns="y").to_numpy()
    return np.linalg.lstsq(x, rows["y"].to_numpy(), rcond=None)[0]


def r2(beta: np.ndarray, rows: pd.DataFrame) -> float:
    y = rows["y"].to_numpy()
    return 1 - float(((y - rows.drop(columns="y").to_numpy() @ beta) ** 2).sum() / (y**2).sum())


def test_equals_the_definition_written_out() -> None:
    data, rng, gains = table(), np.random.default_rng(5), []
    for _ in range(20):
        drawn = data.iloc[rng.integers(0, 60, 60)]
        beta = fit(drawn)
        gains.append(r2(beta, drawn) - r2(beta, data))
    found = optimism(data, fit, r2, 20, seed=5)
    assert found.apparent == pytest.approx(r2(fit(data), data))
    assert found.optimism == pytest.approx(np.mean(gains))
    assert found.corrected == pytest.approx(found.apparent - found.optimism)
    assert found.n_resamples == 20


def test_noise_looks_good_and_is_corrected() -> None:
    found = [optimism(table(seed=s), fit, r2, 60, seed=s) for s in range(8)]
    assert np.mean([f.apparent for f in found]) > 0.15
    assert np.mean([f.corrected for f in found]) < 0.05


def test_a_model_that_is_not_fitted_has_no_optimism_on_average() -> None:
    found = optimism(table(300), lambda rows: np.zeros(12), r2, 50, seed=1)
    assert found.optimism == pytest.approx(0.0, abs=1e-12)


def test_resamples_without_a_fit_are_counted_out() -> None:
    calls = {"n": 0}

    def sometimes(rows: pd.DataFrame) -> np.ndarray:
        calls["n"] += 1
        if calls["n"] % 4 == 0:
            raise NotEstimableError("separation")
        return fit(rows)

    assert optimism(table(), sometimes, r2, 20).n_resamples == 15


def test_too_few_fits_and_no_resamples_are_errors() -> None:
    def never_again(rows: pd.DataFrame) -> np.ndarray:
        if rows.index.has_duplicates or rows.duplicated().any():
            raise NotEstimableError("separation")
        return fit(rows)

    with pytest.raises(NotEstimableError, match="0 of 10"):
        optimism(table(), never_again, r2, 10)
    with pytest.raises(InputError, match="at least 1"):
        optimism(table(), fit, r2, 0)
