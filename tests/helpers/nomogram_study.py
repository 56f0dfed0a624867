"""Patients with the predictions of two signatures, and the nomograms made of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from radsupport.evaluate.predictions import judged
from radsupport.nomogram.parts import Model, models, predictors

ONE = {"signature_1": "Image"}
TWO = {"signature_1": "Image", "signature_2": "Second"}
SURVIVAL = ("time", "event")
NAMES = {"train": "Hospital A", "external": "Hospital B"}
LABELS = {
    "age": "Age (years)", "stage": "Stage", "invasion": "Invasion", "signature_1": "Image (risk)",
    "signature_2": "Second (risk)",
}  # fmt: skip


def label_models(table: pd.DataFrame) -> dict[str, Model]:
    """Logistic nomogram of one signature, age and a finding that is known only after the operation."""
    return models(table, list(ONE), ["age", "invasion"], late=["invasion"], labels=LABELS)


def cox_models(table: pd.DataFrame, signatures: dict[str, str] = TWO) -> dict[str, Model]:
    """Cox nomogram of signatures and age."""
    return models(table, list(signatures), ["age"], outcome=SURVIVAL, labels=LABELS)


@pytest.fixture
def cohort() -> pd.DataFrame:
    """cohort.parquet: 100 training and 60 external patients."""
    rng = np.random.default_rng(11)
    n = 160
    latent, age = rng.normal(size=n), rng.normal(60, 9, n)
    table = pd.DataFrame({"subject": [f"s{i:03d}" for i in range(n)], "latent": latent, "age": age})
    table["cohort"] = np.where(np.arange(n) < 100, "train", "external")
    table["label"] = (latent + 0.03 * (age - 60) + rng.normal(size=n) > 0).astype(float)
    invaded = rng.uniform(size=n) < 0.2 + 0.5 * table["label"].to_numpy()
    table["invasion"] = pd.Categorical(np.where(invaded, "yes", "no"), ["no", "yes"])
    table["stage"] = pd.Categorical(rng.choice(["I", "II", "III"], n), ["I", "II", "III"])
    time, censored = rng.exponential(25 / np.exp(0.9 * latent)), rng.uniform(8, 70, n)
    return table.assign(time=np.minimum(time, censored), event=(time <= censored).astype(float))


@pytest.fixture
def predictions(cohort: pd.DataFrame) -> pd.DataFrame:
    """predictions.parquet of both signatures; the apparent risks are the label and must not be used."""
    rng, rows = np.random.default_rng(12), []
    for name in ("Image", "Second"):
        risk = 1 / (1 + np.exp(-(1.2 * cohort["latent"] + rng.normal(scale=0.8, size=len(cohort)))))
        for kind in ("apparent", "out_of_fold", "external"):
            here = (cohort["cohort"] == "train") == (kind != "external")
            part = cohort.loc[here, ["subject", "cohort", "label", "time", "event"]]
            value = part["label"] if kind == "apparent" else risk[here]
            rows.append(part.assign(signature=name, kind=kind, fold=0.0, risk=value))
    return pd.concat(rows, ignore_index=True)


@pytest.fixture
def table(cohort: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """Patients with the predictors of `label_models`."""
    return predictors(cohort, judged(predictions, ()), ONE)


@pytest.fixture
def cox_rows(cohort: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """Patients with the predictors of `cox_models`."""
    return predictors(cohort, judged(predictions, ()), TWO, SURVIVAL)
