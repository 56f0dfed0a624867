"""A small study on disk: cohort and feature tables in a results folder, as the earlier chapters leave them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from radsupport.learning.assembly import LABEL, SURVIVAL, Assembly, assemble, fixed_folds
from radsupport.learning.signatures import SignatureRun, run_signatures
from radsupport.settings.study import Study
from radsupport.tables import read_table, write_table

TRAIN, INTERNAL, EXTERNAL = 60, 20, 24

RADIOMICS = {"name": "Radiomics", "sources": ["radiomics"], "selection": {"test": "t", "max_correlation": 0.95},
             "learner": "LASSO"}  # fmt: skip
CLINICAL = {"name": "Clinical", "columns": ["age", "symptom"], "learner": "Logistic"}
BOTH = {"name": "Both", "combines": ["Radiomics", "Clinical"], "learner": "Logistic"}


def study_of(signatures: list[dict[str, Any]], primary: str = "label", **sections: Any) -> Study:
    """Return a study with three centers, of which two train."""
    modelling = {"folds": 4, "inner_folds": 2, "grid": "coarse", **sections.pop("modelling", {})}
    columns = {
        "age": {"source": "clinical", "kind": "number", "label": "Age"},
        "symptom": {"source": "clinical", "kind": "category", "label": "Symptom", "levels": ["no", "yes"]},
    }
    return Study.model_validate(
        {
            "id": "small",
            "title": "t",
            "question": "q",
            "seed": 1,
            "data": {"kind": "real"},
            "endpoint": {
                "primary": primary,
                "label": {"column": "label", "name": "n", "positive": "p", "negative": "n"},
                "survival": {"time": "time", "event": "event", "name": "os"},
            },
            "cohorts": {"train": {"name": "A", "centers": ["a", "b"]}, "external": {"name": "C", "centers": ["c"]}},
            "columns": columns,
            "phases": {"ct": {"name": "CT", "short": "CT", "window": {"level": 40, "width": 400}}},
            "signatures": signatures,
            "modelling": modelling,
            **sections,
        }
    )


def cohort_of(seed: int = 0) -> pd.DataFrame:
    """Return a cohort table with label and follow-up; four symptoms are missing in the external cohort."""
    rng, n = np.random.default_rng(seed), TRAIN + EXTERNAL
    label = rng.permutation(np.arange(n) % 3 == 0).astype(float)
    table = pd.DataFrame(
        {
            "subject": [f"s{i:03d}" for i in range(n)],
            "center": np.where(np.arange(n) < TRAIN, np.where(np.arange(n) % 2, "a", "b"), "c"),
            "cohort": np.repeat(["train", "external"], [TRAIN, EXTERNAL]),
            "label": label,
            "time": rng.exponential(40 / (1 + 3 * label)) + 1,
            "event": (rng.random(n) < 0.7).astype(float),
            "age": rng.normal(60, 10, n) + 6 * label,
            "symptom": rng.choice(["no", "yes"], n).astype(object),
        }
    )
    table.loc[TRAIN : TRAIN + 3, "symptom"] = None
    return table


def features_of(cohort: pd.DataFrame, effect: float = 1.5, p: int = 24, seed: int = 1) -> pd.DataFrame:
    """Return features of which the first two follow the label."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(rng.normal(size=(len(cohort), p)), columns=[f"ct__f{i}" for i in range(p)])
    table[["ct__f0", "ct__f1"]] += effect * cohort["label"].to_numpy()[:, None]
    return table.assign(subject=cohort["subject"].to_numpy())


def assembly_of(study: Study, results: Path, **options: Any) -> Assembly:
    """Return what chapter 05 assembles of a study's results folder."""
    modelling = study.modelling
    given = {"outcome": LABEL if study.endpoint.primary == "label" else SURVIVAL, "grid": modelling.grid}
    given |= {"unseen_center": modelling.unseen_center, **options}
    cohort = given.pop("cohort", None)
    people = read_table("cohort", results) if cohort is None else cohort
    return assemble(results, study.signatures, study.columns, people, **given)


def protocol_of(study: Study, results: Path | None = None, **changes: Any) -> dict[str, Any]:
    """Return the protocol of chapter 05, without repeats."""
    modelling = study.modelling
    folds = modelling.folds if results is None else fixed_folds(results, modelling.folds)
    given = {"folds": folds, "inner_folds": modelling.inner_folds, "external": modelling.external}
    return {**given, "seed": study.seed, **changes}


def run_of(study: Study, assembly: Assembly, names: list[str] | None = None, **changes: Any) -> SignatureRun:
    """Run signatures as chapter 05 does."""
    return run_signatures(assembly, names, **{"repeats": study.modelling.repeats, **protocol_of(study), **changes})


@pytest.fixture(scope="session")
def small() -> SimpleNamespace:
    """Builders of small studies, cohorts and features, and three signatures."""
    return SimpleNamespace(
        study=study_of, cohort=cohort_of, features=features_of, radiomics=RADIOMICS, clinical=CLINICAL, both=BOTH,
        train=TRAIN, external=EXTERNAL, assemble=assembly_of, protocol=protocol_of, run=run_of,
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """Write a cohort and feature tables (by stem after ``features_``) to a results folder."""

    def write(cohort: pd.DataFrame | None = None, **tables: pd.DataFrame) -> Path:
        people = cohort_of() if cohort is None else cohort
        write_table(people, "cohort", tmp_path)
        for name, table in (tables or {"radiomics": features_of(people)}).items():
            write_table(table, f"features_{name}", tmp_path)
        return tmp_path

    return write


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A run of three signatures, with the study, its folder and its assembly."""
    path = tmp_path_factory.mktemp("results")
    write_table(cohort_of(), "cohort", path)
    write_table(features_of(cohort_of()), "features_radiomics", path)
    study = study_of([RADIOMICS, CLINICAL, BOTH], modelling={"repeats": 2}, validation={"best": "Both"})
    assembly = assembly_of(study, path)
    run = run_of(study, assembly)
    return SimpleNamespace(study=study, results=path, assembly=assembly, run=run)
