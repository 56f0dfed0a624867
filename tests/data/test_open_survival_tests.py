"""Tests of variables against a time to an event: by hand, and why there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from radsupport.book.conclusions.cohort import statistic_notes, table_by_outcome
from radsupport.data.open import COX, LOG_RANK, survival_tests
from radsupport.settings.study import Study
from radsupport.study import load_study


@pytest.fixture(scope="module")
def yang(root: Path) -> Study:
    return load_study("yang2023", folder=root / "studies")


def test_log_rank_of_four_patients_by_hand(yang: Study) -> None:
    """Deaths at 1 and 2 among M1, at 3 and 4 among M0: (2 - 1/2 - 1/3)² / (1/4 + 2/9) = 49/17."""
    table = pd.DataFrame({"time": [1.0, 2, 3, 4], "event": 1, "m_stage": ["M1", "M1", "M0", "M0"]})
    found = survival_tests(table, yang, ["m_stage"]).loc["m_stage"]
    assert found["test"] == LOG_RANK
    assert found["statistic"] == pytest.approx(49 / 17)
    assert found["p"] == pytest.approx(stats.chi2.sf(49 / 17, 1))


def test_cox_of_three_patients_by_hand(yang: Study) -> None:
    """x = 0, 1, 0, deaths in this order: L = r / ((2 + r)(1 + r)) with its maximum at a hazard ratio of sqrt(2)."""
    table = pd.DataFrame({"time": [1.0, 2, 3, 9], "event": 1, "age": [0.0, 1, 0, np.nan]})
    ratio = np.sqrt(2)
    chi2 = 2 * np.log(6 * ratio / ((2 + ratio) * (1 + ratio)))
    found = survival_tests(table, yang, ["age"]).loc["age"]
    assert found["test"] == COX
    assert found["statistic"] == pytest.approx(chi2, rel=1e-6)
    assert found["p"] == pytest.approx(stats.chi2.sf(chi2, 1), rel=1e-6)


def test_a_variable_without_a_test_says_why(yang: Study) -> None:
    table = pd.DataFrame({"time": [1.0, 2, 3], "event": 1, "sex": "male", "age": 60.0, "ki67": np.nan, "grade": None})
    found = survival_tests(table, yang, ["sex", "age", "ki67", "grade"])
    assert found["test"].str.startswith("not estimable").all()
    assert found["p"].isna().all()


def test_the_table_by_outcome_of_a_survival_study_uses_them(yang: Study) -> None:
    rng, n = np.random.default_rng(0), 40
    table = pd.DataFrame({"cohort": "train", "time": rng.uniform(1, 60, n), "event": rng.integers(0, 2, n)})
    for name, column in yang.columns.items():
        table[name] = rng.normal(50, 9, n) if column.kind == "number" else rng.choice(column.levels, n)
    printed = table_by_outcome(table, yang)
    expected = survival_tests(table, yang)
    assert printed.loc[expected.index, "P"].to_numpy(dtype=float) == pytest.approx(expected["p"].to_numpy())
    assert set(printed.loc[expected.index, "Test"]) == {"log-rank test", "Cox regression, likelihood-ratio test"}
    assert printed.columns[1].startswith("no death seen (censored) (n = ")
    assert "follow-up counts" in statistic_notes(printed)
