"""Reading R's values: numbers written as text, and tables as arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest


def as_numbers(values: Any) -> np.ndarray:
    """Turn R's JSON (null is NA; "NaN", "Inf", "-Inf") into floats; a `{matrix: ...}` into an array."""
    if isinstance(values, dict):
        values = values["matrix"]
    flat = np.array(values, dtype=object)
    return np.array([np.nan if v is None else float(v) for v in flat.ravel()]).reshape(flat.shape)


@pytest.fixture(scope="session")
def agree() -> Callable[..., None]:
    """Assert that values equal R's within a relative tolerance; NaN equals NA."""

    def check(actual: Any, expected: Any, rtol: float = 1e-9, atol: float = 1e-14) -> None:
        np.testing.assert_allclose(
            np.asarray(actual, float), as_numbers(expected), rtol=rtol, atol=atol, equal_nan=True
        )

    return check


@pytest.fixture(scope="session")
def cohort() -> pd.DataFrame:
    """120 subjects with a continuous, a binary and a three-level covariate, censoring and tied times."""
    rng = np.random.default_rng(20)
    n = 120
    x, b, g = rng.normal(size=n), rng.integers(0, 2, n), rng.choice(["a", "b", "c"], n)
    rate = np.exp(0.6 * x + 0.4 * b)
    time = rng.exponential(20 / rate)
    censored = rng.exponential(40, size=n)
    return pd.DataFrame(
        {
            "time": np.ceil(np.minimum(time, censored)),
            "event": (time <= censored).astype(int),
            "x": x,
            "b": b,
            "g": g,
            "noise": rng.normal(size=n),
        }
    )
