"""Columns are grouped by the rows they know."""

from __future__ import annotations

import numpy as np

from radsupport.checks import columns_by_pattern


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
