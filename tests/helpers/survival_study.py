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


@pytest.fixture
def small_cohort() -> pd.DataFrame:
    """cohort.parquet of `small_study`: 90 training and 40 external patients."""
    rng = np.random.default_rng(3)
    n = 130
    image, age = rng.normal(size=n), rng.normal(60, 10, n)
    stage = rng.choice(["I", "II", "III"], n, p=[0.4, 0.4, 0.2])
    time = rng.exponential(25 / np.exp(0.8 * image + 0.03 * (age - 60)))
    censored = rng.uniform(6, 60, n)
    table = pd.DataFrame({"subject": [f"s{i:03d}" for i in range(n)], "center": np.where(np.arange(n) < 90, "a", "b")})
    table["cohort"] = np.where(np.arange(n) < 90, "train", "external")
    table["time"], table["event"] = np.minimum(time, censored), (time <= censored).astype(float)
    table["label"] = (image + rng.normal(size=n) > 0).astype(float)
    table["age"], table["stage"] = age, pd.Categorical(stage, ["I", "II", "III"])
    invaded = rng.uniform(size=n) < 0.25 + 0.4 * table["label"].to_numpy()
    table["invasion"] = pd.Categorical(np.where(invaded, "yes", "no"), ["no", "yes"])
    return table.assign(latent=image)


@pytest.fixture
def small_predictions(small_cohort: pd.DataFrame) -> pd.DataFrame:
    """predictions.parquet of `small_study`: two signatures, apparent risks that must never be used among them."""
    rng = np.random.default_rng(4)
    rows = []
    for name, strength, source in (("Image", 1.5, "latent"), ("Clinic", 0.05, "age")):
        centred = small_cohort[source] - small_cohort[source].mean()
        risk = 1 / (1 + np.exp(-(strength * centred + rng.normal(scale=0.5, size=len(small_cohort)))))
        for kind in ("apparent", "out_of_fold", "external"):
            here = (small_cohort["cohort"] == "train") == (kind != "external")
            part = small_cohort.loc[here, ["subject", "cohort", "label", "time", "event"]]
            value = part["label"] if kind == "apparent" else risk[here]
            rows.append(part.assign(signature=name, kind=kind, fold=0.0, risk=value))
    return pd.concat(rows, ignore_index=True)
