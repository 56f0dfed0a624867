"""Small studies and predictions of which everything is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from radsupport.evaluate import judged
from radsupport.settings.study import Study
from radsupport.study import merge

BASE: dict[str, Any] = {
    "id": "mine",
    "title": "t",
    "question": "q",
    "seed": 1,
    "data": {"kind": "real"},
    "endpoint": {
        "primary": "label",
        "label": {"column": "label", "name": "relapse", "positive": "relapse", "negative": "no relapse"},
    },
    "cohorts": {
        "train": {"name": "North", "centers": ["N"]},
        "internal": {"name": "South", "centers": ["S"]},
        "external": {"name": "East and West", "centers": ["E", "W"]},
    },
    "columns": {
        "age": {"source": "clinical", "kind": "number", "label": "Age", "unit": "years"},
        "sex": {"source": "clinical", "kind": "category", "label": "Sex", "levels": ["F", "M"]},
    },
    "signatures": [
        {"name": "A", "sources": ["radiomics"]},
        {"name": "B", "sources": ["radiomics"]},
        {"name": "A + B", "combines": ["A", "B"], "columns": ["age"], "learner": "Logistic"},
    ],
    "validation": {"bootstrap": 50, "best": "A", "comparator": "B"},
}
SURVIVAL = {
    "endpoint": {
        "primary": "survival",
        "label": None,
        "survival": {"time": "time", "event": "event", "name": "survival", "horizons_months": [12, 24]},
    },
    "validation": {"threshold": "median"},
}


@pytest.fixture
def study_values() -> Callable[..., dict[str, Any]]:
    """Return the study as the mapping that a study file holds."""

    def build(survival: bool = False, **changes: Any) -> dict[str, Any]:
        return merge(merge(BASE, SURVIVAL if survival else {}), changes)

    return build


@pytest.fixture
def make_study() -> Callable[..., Study]:
    """Return a study of three cohorts (the last one pools two centers) and three signatures, with changes."""

    def build(survival: bool = False, **changes: Any) -> Study:
        return Study.model_validate(merge(merge(BASE, SURVIVAL if survival else {}), changes))

    return build


@pytest.fixture
def make_cohort() -> Callable[..., pd.DataFrame]:
    """Return a cohort table: the outcome depends on a latent number, age and sex do not."""

    def build(sizes: dict[str, int] | None = None, effect: float = 1.5, seed: int = 0) -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        rows = []
        for cohort, n in (sizes or {"train": 60, "internal": 40, "external": 50}).items():
            latent = rng.normal(size=n)
            time = rng.exponential(30 / np.exp(effect * latent / 2))
            followed = rng.uniform(6, 80, n)
            centers = {"train": ["N"], "internal": ["S"], "external": ["E", "W"]}[cohort]
            table = pd.DataFrame(
                {
                    "subject": [f"{cohort}_{i:03d}" for i in range(n)],
                    "center": rng.choice(centers, n),
                    "cohort": cohort,
                    "label": (rng.uniform(size=n) < 1 / (1 + np.exp(-effect * latent))).astype(float),
                    "time": np.minimum(time, followed),
                    "event": (time <= followed).astype(float),
                    "age": rng.normal(60, 10, n),
                    "sex": rng.choice(["F", "M"], n),
                    "latent": latent,
                }
            )
            rows.append(table)
        return pd.concat(rows, ignore_index=True)

    return build


def _risk(latent: np.ndarray, noise: np.ndarray, survival: bool) -> np.ndarray:
    score = latent + noise
    return score if survival else 1 / (1 + np.exp(-score))


@pytest.fixture
def make_predictions() -> Callable[..., pd.DataFrame]:
    """Return predictions of the signatures A (good), B (noise) and A + B (in between) for a cohort table."""

    def build(cohort: pd.DataFrame, survival: bool = False, seed: int = 1000) -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        known = cohort[["subject", "cohort", "label", "time", "event"]].copy()
        known.loc[:, ["label"] if survival else ["time", "event"]] = np.nan
        latent, n = cohort["latent"].to_numpy(), len(cohort)
        own = {"A": (1.0, 0.6), "B": (0.0, 1.0), "A + B": (0.7, 0.8)}
        train = (cohort["cohort"] == "train").to_numpy()
        parts = []
        for name, (weight, spread) in own.items():
            risk = _risk(weight * latent, spread * rng.normal(size=n), survival)
            fold = np.where(train, np.arange(n) % 5, np.nan)
            kind = np.where(train, "out_of_fold", "external")
            parts.append(known.assign(signature=name, kind=kind, fold=fold, risk=risk))
            apparent = _risk(latent, 0.3 * rng.normal(size=n), survival)
            parts.append(known.assign(signature=name, kind="apparent", fold=np.nan, risk=apparent)[train])
        columns = ["subject", "cohort", "signature", "kind", "fold", "risk", "label", "time", "event"]
        return pd.concat(parts, ignore_index=True)[columns]

    return build


@pytest.fixture
def labelled(make_study, make_cohort, make_predictions) -> tuple[Study, pd.DataFrame, pd.DataFrame]:
    """Return study, cohort table and predictions of a label."""
    cohort = make_cohort()
    return make_study(), cohort, make_predictions(cohort)


@pytest.fixture
def followed(make_study, make_cohort, make_predictions) -> tuple[Study, pd.DataFrame, pd.DataFrame]:
    """Return study, cohort table and predictions of a time to event."""
    cohort = make_cohort()
    return make_study(survival=True), cohort, make_predictions(cohort, survival=True)


def rows_of(
    predictions: pd.DataFrame, cohort: str, signature: str = "A", outcome: Sequence[str] = ("label",)
) -> pd.DataFrame:
    """Return the rows by which one signature is judged in one cohort."""
    return judged(predictions, outcome, [signature], [cohort])
