"""Slice-to-patient aggregation: each rule by hand, ties, one slice, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from radsupport.errors import InputError
from radsupport.modelling.aggregate import AGGREGATIONS, aggregate_slices

SLICES = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [10.0, 10.0], [12.0, 11.0]])
AREAS = [10, 20, 30, 90, 50]


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("kmeans_largest", [1 / 3, 1 / 3]),
        ("mean", [4.6, 4.4]),
        ("max", [12, 11]),
        ("median", [1, 1]),
        ("largest_slice", [10, 10]),
        ("area_weighted_mean", [(30 + 900 + 600) / 200, (20 + 900 + 550) / 200]),
    ],
)
def test_by_hand(how, expected):
    assert aggregate_slices(SLICES, how, AREAS) == pytest.approx(expected)


def test_tied_clusters_go_to_the_largest_slice():
    four = SLICES[1:]
    assert aggregate_slices(four, areas=[1, 1, 1, 5]) == pytest.approx([11, 10.5])
    assert aggregate_slices(four, areas=[1, 6, 1, 5]) == pytest.approx([0.5, 0.5])
    with pytest.raises(InputError, match="areas"):
        aggregate_slices(four)


@pytest.mark.parametrize("how", AGGREGATIONS)
def test_one_slice_is_itself(how):
    assert aggregate_slices(SLICES[3:4], how).tolist() == [10, 10]


@pytest.mark.parametrize("how", AGGREGATIONS)
def test_equal_slices_give_that_slice(how):
    assert aggregate_slices(np.tile(SLICES[4], (6, 1)), how, np.arange(6)) == pytest.approx(SLICES[4])


@pytest.mark.parametrize("how", AGGREGATIONS)
@given(slices=arrays(float, st.tuples(st.integers(2, 6), st.integers(1, 3)), elements=st.integers(-50, 50)))
@settings(max_examples=15, deadline=None)
def test_result_lies_within_the_slices(how, slices):
    result = aggregate_slices(slices, how, np.arange(1, len(slices) + 1))
    assert (result >= slices.min(axis=0) - 1e-9).all()
    assert (result <= slices.max(axis=0) + 1e-9).all()
    assert result.tolist() == aggregate_slices(slices, how, np.arange(1, len(slices) + 1)).tolist()


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="one of kmeans_largest"):
        aggregate_slices(SLICES, "attention")
    with pytest.raises(InputError, match="slices x features"):
        aggregate_slices(np.empty((0, 4)))
    with pytest.raises(InputError, match="NaN"):
        aggregate_slices([[1.0, np.nan]])
    with pytest.raises(InputError, match="largest_slice"):
        aggregate_slices(SLICES, "largest_slice")
    with pytest.raises(InputError, match="5 were expected"):
        aggregate_slices(SLICES, "largest_slice", [1, 2])
    with pytest.raises(InputError, match="negative"):
        aggregate_slices(SLICES, "area_weighted_mean", [0, 0, 0, 0, 0])
