"""Columns are grouped by the rows they know."""

from __future__ import annotations

import numpy as np

from radsupport.checks import columns_by_pattern, varies


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
