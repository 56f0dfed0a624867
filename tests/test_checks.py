"""Columns are grouped by the rows they know."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from radsupport.checks import cohorts_in_order, columns_by_pattern, held_out, tied, varies
from radsupport.evaluate.discrimination import discrimination
from radsupport.evaluate.predictions import LABEL, SURVIVAL, judged
from radsupport.stats.outcome import discrimination as inner


def test_columns_of_one_pattern_stay_together():
    known = np.ones((11, 6), dtype=bool)
    known[3, [1, 4]] = False
    known[:, 5] = False
    groups = {tuple(columns): rows for rows, columns in columns_by_pattern(known)}
    assert set(groups) == {(0, 2, 3), (1, 4), (5,)}
    assert np.flatnonzero(~groups[(1, 4)]).tolist() == [3]
    assert not groups[(5,)].any()


def test_no_columns_make_no_group():
    assert list(columns_by_pattern(np.ones((4, 0), dtype=bool))) == []


def test_rounding_noise_is_no_variation():
    rng = np.random.default_rng(0)
    noise = 1 + rng.choice([-1.1e-16, 0, 2.2e-16], 30)
    columns = {
        "one by definition": noise, "large": 1e9 * noise, "zero": np.zeros(30), "unknown": np.full(30, np.nan),
        "small": 1e-20 * rng.normal(size=30), "one other": np.r_[np.ones(29), 1 + 1e-9], "gaps": np.r_[np.nan, 1:30],
    }  # fmt: skip
    assert np.std(noise) > 0
    found = dict(zip(columns, varies(np.column_stack(list(columns.values()))), strict=True))
    assert [name for name, told in found.items() if told] == ["small", "one other", "gaps"]
    assert varies(np.empty((0, 2))).tolist() == [False, False]


@given(st.lists(st.integers(-50, 50), min_size=4, max_size=40), st.integers(0, 10**6), st.floats(1e-9, 1e9))
def test_noise_of_rounding_changes_no_auc_and_no_c(places: list[int], seed: int, scale: float) -> None:
    rng, risk = np.random.default_rng(seed), scale * np.array(places) / 7
    noisy = risk * (1 + rng.uniform(-1, 1, risk.size) * 1e-14)
    assert (np.sign(np.subtract.outer(tied(noisy), tied(noisy))) == np.sign(np.subtract.outer(places, places))).all()
    label = np.arange(risk.size) % 2
    table = pd.DataFrame(
        {"subject": np.arange(risk.size).astype(str), "cohort": "train", "signature": "A", "label": label}
    )
    table = table.assign(kind="out_of_fold", risk=risk, time=rng.permutation(risk.size) + 1.0, event=label)
    for outcome in (LABEL, SURVIVAL):
        values = [discrimination(judged(table.assign(risk=one), outcome), outcome)["value"] for one in (risk, noisy)]
        assert values[0] == values[1]
    target = label.astype(bool)
    assert inner(target, risk) == inner(target, noisy)


def test_what_is_not_finite_is_tied_to_nothing_else():
    assert tied(np.array([np.inf, 1.0, np.nan, -np.inf, 1.0 + 1e-15])).tolist()[:2] == [np.inf, 1.0]
    assert tied(np.array([])).size == 0
    assert tied(np.array([5e-9, 5.1e-9, 1.0]), within=1e-8).tolist() == [5e-9, 5e-9, 1.0]


def test_every_external_cohort_is_held_out_and_has_its_place():
    keys = pd.Series(["external_north", "segmentation", "train", "external_south", None, "internal"])
    assert held_out(keys).tolist() == [True, False, False, True, False, True]
    assert cohorts_in_order(keys) == ["train", "internal", "external_north", "external_south"]
    rows = pd.DataFrame({"subject": [f"P{i}" for i in range(8)], "signature": "S", "risk": np.arange(8.0)})
    rows["cohort"] = ["train", "external_south"] * 2 + ["external_north", "internal"] * 2
    rows["kind"] = ["out_of_fold", "external"] * 2 + ["external"] * 4
    rows["label"] = [0.0, 0.0, 1.0, 1.0] * 2
    found = judged(rows, LABEL)
    assert list(found["cohort"].cat.categories) == ["train", "internal", "external_south", "external_north"]
    assert len(found) == 8
