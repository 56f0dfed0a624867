"""A study with a nomogram, its patients and predictions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from radsupport.evaluate import probability as steps_model
from radsupport.settings.study import Study


@pytest.fixture
def study() -> Study:
    """Logistic nomogram of one signature, age and a finding that is known only after the operation."""
    return Study.model_validate(
        {
            "id": "small",
            "title": "t",
            "question": "q",
            "seed": 7,
            "data": {"kind": "real"},
            "endpoint": {
                "primary": "label",
                "label": {"column": "label", "name": "metastasis", "positive": "yes", "negative": "no"},
                "survival": {
                    "time": "time", "event": "event", "name": "survival", "event_name": "death",
                    "horizons_months": [12, 24],
                },
            },
            "cohorts": {
                "train": {"name": "Hospital A", "centers": ["a"]},
                "external": {"name": "Hospital B", "centers": ["b"]},
            },
            "columns": {
                "age": {"source": "clinical", "kind": "number", "label": "Age", "unit": "years"},
                "stage": {"source": "clinical", "kind": "category", "label": "Stage", "levels": ["I", "II", "III"]},
                "invasion": {
                    "source": "clinical", "kind": "category", "label": "Invasion", "levels": ["no", "yes"],
                    "time_of_knowledge": "postoperative",
                },
            },
            "signatures": [{"name": "Image", "sources": ["radiomics"]}, {"name": "Second", "sources": ["radiomics"]}],
            "survival": {"bootstrap": 30, "pooled": {"Both": ["train", "external"]}},
            "nomogram": {
                "signature": "Image", "columns": ["age", "invasion"], "candidates": ["stage"], "bootstrap": 8,
            },
        }
    )  # fmt: skip


@pytest.fixture
def cox_study(study: Study) -> Study:
    """The same patients with a Cox nomogram of two signatures."""
    nomogram = study.nomogram.model_copy(
        update={"model": "cox", "further_signatures": ["Second"], "columns": ["age"], "horizons_months": [12.0, 24.0]}
    )
    return study.model_copy(update={"nomogram": nomogram})


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
def table(study: Study, cohort: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """Patients with the predictors of `study`."""
    return steps_model.predictor_table(study, cohort, predictions)


@pytest.fixture
def cox_rows(cox_study: Study, cohort: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """Patients with the predictors of `cox_study`."""
    return steps_model.predictor_table(cox_study, cohort, predictions)
