"""Nothing is tested, and nothing has an interval, in groups that are too small or where nothing varies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.duration.survfunc import survdiff

from radsupport import evaluate
from radsupport.evaluate.discrimination import difference, pairs
from radsupport.evaluate.predictions import FEWEST, HIGH, LABEL, LOW, SURVIVAL, measure, with_variance

N = 120
#: Columns that hold no finding: sizes, places and descriptions.
FINDINGS = ("p", "p_chance", "p_ranks", "p_difference", "p_adjusted", "p_within", "hl_p", "p_interaction", "statistic")


def patients(size: int, kind: str) -> pd.DataFrame:
    """Return patients of whom so few have (or lack) the event, or are in the group of high or of low risk."""
    rng = np.random.default_rng(size)
    first = np.arange(N) < size
    event = rng.integers(0, 2, N).astype(float)
    event = {"events": first.astype(float), "others": (~first).astype(float)}.get(kind, event)
    risk = np.full(N, 0.3) if kind == "constant" else rng.uniform(0.05, 0.95, N)
    high = ~first if kind == "low" else first
    if kind == "no event":
        high, event = np.arange(N) < 40, np.where(np.arange(N) < 40, 0.0, event)
    table = pd.DataFrame({"subject": [f"s{i}" for i in range(N)], "cohort": "train", "kind": "out_of_fold"})
    table = table.assign(label=event, event=event, time=rng.exponential(20, N) + 0.1, risk=risk, probability=risk)
    return table.assign(
        fold=0.0, signature=pd.Categorical(["A"] * N), group=pd.Categorical(np.where(high, HIGH, LOW), [LOW, HIGH])
    )


def two(own: pd.DataFrame) -> pd.DataFrame:
    """Return the patients with a second signature, which varies, beside the first."""
    other = own.assign(risk=np.linspace(0.1, 0.9, N), probability=np.linspace(0.1, 0.9, N))
    both = pd.concat([own.assign(signature="A"), other.assign(signature="B")])
    return both.assign(signature=pd.Categorical(both["signature"], ["A", "B"]))


def by_outcome(outcome: tuple[str, ...]) -> dict[str, Callable[[pd.DataFrame], Any]]:
    """Return what is asked of patients who differ in the event."""
    options: dict[str, Any] = {"outcome": outcome}
    return {
        "discrimination": lambda own: evaluate.discrimination(own, outcome, n_bootstrap=20, ranks=True),
        "pairs": lambda own: pairs(two(own), outcome, n_bootstrap=20),
        "between": lambda own: difference(own, own.assign(risk=np.linspace(0, 1, N)), outcome),
        "interaction": lambda own: evaluate.interaction(
            own.assign(part=pd.Categorical(np.where(np.arange(N) % 2, "a", "b"), ["a", "b"])), **options
        ),
    }


LABELLED = by_outcome(LABEL) | {
    "calibration": evaluate.calibration,
    "reclassification": lambda own: evaluate.reclassification(two(own), "A", "B", [0.3]),
    "decisions": evaluate.decisions,
    "equality": lambda own: evaluate.comparisons(two(own)),
}
FOLLOWED = by_outcome(SURVIVAL) | {
    "auc_at": lambda own: evaluate.survival.auc_at(own, [12.0], 20, 0),
    "reclassification": lambda own: evaluate.reclassification(two(own).assign(horizon=12.0), "A", "B", n_bootstrap=20),
}
GROUPED = {
    "differences": evaluate.survival.differences,
    "hazard_ratios": lambda own: evaluate.survival.hazard_ratios(own)[lambda t: t["contrast"] != "per SD"],
    "cut_offs": lambda own: evaluate.survival.measure(own.assign(threshold=0.5), evaluate.survival._divided),
}


def rows_of(found: Any) -> list[dict[Any, Any]]:
    return found.to_dict("records") if isinstance(found, pd.DataFrame) else [found]


def findings(row: dict[Any, Any]) -> list[str]:
    """Return the names of what stands there as a finding: P-values and limits."""
    wanted = [key for key in row if key in FINDINGS or str(key).endswith(("_low", "_high"))]
    return [str(key) for key in wanted if isinstance(row[key], float) and np.isfinite(row[key])]


@pytest.mark.parametrize("size", [0, 1, 2, FEWEST - 1])
@pytest.mark.parametrize("kind", ["events", "others"])
@pytest.mark.parametrize("name", list(LABELLED))
def test_a_label_of_a_few_gives_a_row_without_a_finding(name: str, kind: str, size: int) -> None:
    rows = rows_of(LABELLED[name](patients(size, kind)))
    assert [findings(row) for row in rows] == [[]] * len(rows)
    assert all(row.get("note") for row in rows)
    assert rows or name == "decisions"


@pytest.mark.parametrize("size", [0, 1, 2, FEWEST - 1])
@pytest.mark.parametrize("name", list(FOLLOWED))
def test_a_few_events_give_a_row_without_a_finding(name: str, size: int) -> None:
    rows = rows_of(FOLLOWED[name](patients(size, "events")))
    assert [findings(row) for row in rows] == [[]] * len(rows)
    assert all(row.get("note") for row in rows)
    assert rows or name == "auc_at"


@pytest.mark.parametrize("kind", ["high", "low"])
@pytest.mark.parametrize("size", [0, 1, 2, FEWEST - 1])
@pytest.mark.parametrize("name", list(GROUPED))
def test_a_small_risk_group_is_not_compared_and_the_row_says_so(name: str, size: int, kind: str) -> None:
    rows = rows_of(GROUPED[name](patients(size, kind)))
    assert rows
    for row in rows:
        assert findings(row) == []
        assert row["note"] or name == "cut_offs"  # whose cell says that nothing is tested
        assert row["n"] == N


@pytest.mark.parametrize("name", list(GROUPED))
def test_a_group_without_an_event_has_a_log_rank_test_and_no_estimate(name: str) -> None:
    own = patients(0, "no event")
    expected = survdiff(own["time"], own["event"], own["group"].astype(str))[1]
    for row in rows_of(GROUPED[name](own)):
        assert set(findings(row)) <= {"p"}
        assert np.isnan(row.get("p", np.nan)) or row["p"] == pytest.approx(expected, rel=1e-9)
    differing = rows_of(GROUPED["differences"](own))[0]
    assert differing["p"] < 0.01
    assert "no event in" in differing["note"]


def test_groups_of_five_are_compared() -> None:
    for name, ask in GROUPED.items():
        row = rows_of(ask(patients(FEWEST, "high").assign(event=1.0)))[0]
        assert np.isfinite(row["p"]), name
        assert row["note"] == ""


@pytest.mark.parametrize("outcome", [LABEL, SURVIVAL])
def test_a_constant_risk_has_a_value_and_no_finding(outcome: tuple[str, ...]) -> None:
    own = patients(0, "constant")
    row = evaluate.discrimination(own, outcome, n_bootstrap=20, ranks=True)
    assert (row["value"], findings(row)) == (0.5, [])
    assert "everybody has the same risk" in row["note"]
    same = pd.concat([own.assign(signature="A"), own.assign(signature="B")])
    same["signature"] = pd.Categorical(same["signature"])
    assert findings(pairs(same, outcome, n_bootstrap=20).iloc[0].to_dict()) == []


def test_nobody_reclassified_and_a_perfect_area_have_no_interval() -> None:
    own = patients(0, "")
    same = pd.concat([own.assign(signature="A"), own.assign(signature="B")])
    moved = measure(same.assign(signature=pd.Categorical(same["signature"])), evaluate.reclassification,
                    ("cohort",), new="A", old="B", limits=[0.3])  # fmt: skip
    assert moved["value"].eq(0).all()
    assert moved[["value_low", "value_high", "p"]].isna().all(axis=None)
    assert moved["note"].str.contains("no variance").all()
    perfect = evaluate.discrimination(own.assign(risk=own["label"] + 0.001 * own["risk"]), n_bootstrap=20)
    assert perfect["value"] == 1.0
    assert np.isnan([perfect[key] for key in ("value_low", "value_high", "boot_low", "boot_high", "p")]).all()
    assert perfect["p_chance"] < 1e-6  # by the standard error under chance, which does not vanish


@given(st.floats(-5, 5), st.floats(0, 3))
@settings(deadline=None, max_examples=40)
def test_limits_stay_exactly_where_they_lie_apart(value: float, width: float) -> None:
    row = {"value": value, "value_low": value - width, "value_high": value + width, "p": 0.04, "median": 1.0}
    found = with_variance(row | {"median_low": 1.0, "median_high": 1.0})
    assert (found["median_low"], found["value"]) == (1.0, value)
    assert np.isnan(found["p"]) == ("note" in found) == (2 * width < 1e-12)
