"""Gaps filled by chained equations inside a fold: the fit knows its training part alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.base import clone

from radsupport.learning.imputation import ChainedImputer
from radsupport.learning.preparation import Imputer


def gappy(n: int = 80, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(n)
    table = pd.DataFrame({"x": x, "y": x + 0.1 * rng.standard_normal(n), "center": rng.choice(["A", "B"], n)})
    table["stage"] = np.where(x > 0, "II", "I")
    return table.mask(rng.random(table.shape) < [0.1, 0.3, 0.0, 0.2]).assign(empty=np.nan)


def test_training_rows_are_completed_and_new_ones_filled_from_them() -> None:
    train, new = gappy(), gappy(seed=1).set_index(pd.RangeIndex(1000, 1080))
    imputer = ChainedImputer(["center"], draw=3).fit(train)
    filled = imputer.transform(train)
    assert list(filled) == ["x", "y", "center", "stage"]  # a column without any value is dropped
    assert filled.notna().all().all()
    assert filled["center"].equals(train["center"])
    pd.testing.assert_frame_equal(filled[["x", "y", "stage"]], imputer.chain_.completed[["x", "y", "stage"]])
    elsewhere = imputer.transform(new)
    known = new["y"].notna()
    assert elsewhere.loc[known, "y"].equals(new.loc[known, "y"])
    assert set(elsewhere.loc[~known, "y"]) <= set(train["y"].dropna())  # donors are training patients
    assert np.corrcoef(elsewhere["x"], elsewhere["y"])[0, 1] > 0.9  # medians would not know x


def test_what_it_is_given_later_does_not_change_it_and_draws_differ() -> None:
    train = gappy()
    first = ChainedImputer(draw=0).fit(train)
    before = first.transform(train)
    first.transform(gappy(seed=5))
    pd.testing.assert_frame_equal(first.transform(train), before)
    other = clone(first).set_params(draw=1).fit(train).transform(train)
    assert not other["y"].equals(before["y"])
    pd.testing.assert_frame_equal(ChainedImputer(draw=0).fit(train).transform(train), before)


def test_without_gaps_it_is_the_plain_imputer() -> None:
    whole = gappy().drop(columns="empty").dropna()
    pd.testing.assert_frame_equal(ChainedImputer().fit(whole).transform(whole), Imputer().fit(whole).transform(whole))
