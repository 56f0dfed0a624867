"""What a study's settings and tables decide before anything is computed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from radsupport.data.doubts import separating, settings_problems, table_doubts
from radsupport.errors import serious
from radsupport.settings.study import Study
from radsupport.study import merge

MINIMAL: dict[str, Any] = {
    "id": "mine",
    "title": "t",
    "question": "q",
    "seed": 1,
    "data": {"kind": "real"},
    "endpoint": {
        "primary": "label",
        "label": {"column": "late", "name": "recurrence", "positive": "yes", "negative": "no", "horizon_months": 24},
        "survival": {"time": "time", "event": "status", "name": "survival"},
    },
    "cohorts": {"train": {"name": "A", "centers": ["A"]}},
    "columns": {
        "age": {"source": "clinical", "kind": "number", "label": "Age"},
        "size": {"source": "clinical", "kind": "number", "label": "Size"},
    },
    "signatures": [{"name": "Clinical", "columns": ["age"], "learner": "Ridge"}],
    "modelling": {"folds": 5},
}


def study(**changes: Any) -> Study:
    return Study.model_validate(merge(MINIMAL, changes))


def table(n: int = 40, **columns: Any) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    event = np.arange(n) % 2
    frame = pd.DataFrame(
        {
            "subject": [f"p{i}" for i in range(n)],
            "center": "A",
            "cohort": "train",
            "label": event.astype(float),
            "time": np.where(event == 1, 12.0, 70.0),
            "event": event.astype(float),
            "age": rng.normal(60, 8, n),
            "size": rng.normal(20, 5, n),
        }
    )
    return frame.assign(**columns)


def said(changed: pd.DataFrame, **changes: Any) -> str:
    return " ".join(problem.what for problem in table_doubts(study(**changes), changed, "c.csv"))


def test_a_sound_table_has_no_doubt() -> None:
    assert table_doubts(study(), table(), "c.csv") == []


EVEN = np.arange(40) % 2


@pytest.mark.parametrize(
    ("columns", "words", "stops"),
    [
        ({"time": np.linspace(300, 5600, 40), "label": np.nan}, "an impossible follow-up", True),
        ({"time": np.linspace(300, 700, 40), "label": np.nan}, "a very long follow-up", False),
        ({"time": np.linspace(1, 50, 40), "label": np.nan}, "nobody is followed until month 60", False),
        ({"time": np.where(EVEN == 1, 0.0, 70.0)}, "20 events at time 0", False),
        ({"label": 1.0, "event": np.nan}, "every patient of the training cohort has the same outcome: yes", True),
        ({"label": np.arange(40) < 3, "event": np.nan}, "5 folds for 3 patients of the rarer outcome", True),
        ({"label": np.arange(40) < 5, "event": np.nan}, "5 folds leave fewer of the 5 patients", True),
        ({"label": 1.0 - EVEN}, "the label contradicts follow-up in 20 patients: no, but an event by month 24", True),
        ({"event": 0.0}, "yes, but no event by month 24", True),
        ({"age": EVEN * 10.0}, "“Age” alone tells every patient with the outcome", False),
        ({"age": 50.0}, "“Age” has the same value in every patient", False),
    ],
)
def test_each_doubt_is_said(columns: dict[str, Any], words: str, stops: bool) -> None:
    changed = table(**columns)
    problems = table_doubts(study(), changed, "c.csv")
    (problem,) = [one for one in problems if words in one.what]
    assert problem.warning != stops
    assert problem.file == "c.csv"


def test_two_columns_that_say_the_same_are_named() -> None:
    frame = table()
    assert "“Age” and “Size” say the same (|r| = 1.000)" in said(frame.assign(size=frame["age"] / 10))
    noisy = frame["age"] + np.random.default_rng(1).normal(0, 2, len(frame))
    assert "say the same" not in said(frame.assign(size=noisy))


def test_a_column_that_a_center_lacks_is_named_with_its_signature() -> None:
    frame = table(center=np.where(EVEN == 1, "A", "B"))
    frame["age"] = frame["age"].mask(frame["center"] == "B")
    assert "“Age” is empty in center B; it enters Clinical" in said(frame)


def test_a_status_called_alive_is_asked_about() -> None:
    problems = table_doubts(study(endpoint={"survival": {"event": "alive"}}), table(), "c.csv")
    assert [problem.column for problem in problems] == ["alive"]
    assert not serious(problems)


def test_one_censored_patient_is_enough_for_survival() -> None:
    everybody = table(event=1.0).drop(columns="label")
    endpoint = {"primary": "survival", "survival": MINIMAL["endpoint"]["survival"]}
    problems = table_doubts(Study.model_validate({**MINIMAL, "endpoint": endpoint}), everybody, "c.csv")
    assert [problem.what for problem in problems] == ["every patient had the event, nobody is censored"]


def test_learners_and_settings_files_are_known_before_computing(tmp_path: Path) -> None:
    (tmp_path / "studies" / "radiomics").mkdir(parents=True)
    (tmp_path / "studies" / "radiomics" / "default.yaml").touch()
    mine = study(radiomics={"settings": "defualt.yaml"}, modelling={"compare_learners": ["SMV", "SVM", "Mean"]})
    other = study(signatures=[{"name": "C", "columns": ["age"], "learner": "CoxLasso"}])
    problems = [*settings_problems(mine, tmp_path), *settings_problems(other, tmp_path)]
    assert [(one.what, one.value, one.remedy) for one in problems] == [
        ("unknown learner", "SMV", "did you mean `SVM`?"),
        ("takes signatures, and no features", "Mean", "name it in a signature that `combines:`"),
        ("there is no such settings file", "defualt.yaml", "did you mean `default.yaml`?"),
        ("a learner of a time to event", "CoxLasso", "did you mean `LASSO`?"),
    ]


def test_a_feature_that_is_the_outcome_is_found() -> None:
    names = [f"p{i}" for i in range(40)]
    frame = pd.DataFrame({"subject": names, "ct__leak": EVEN + 0.1, "ct__noise": np.sin(range(40))})
    assert separating(frame, dict(zip(frame["subject"], EVEN, strict=True))) == ["ct__leak"]
