from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radsupport.errors import InputError, NotEstimableError
from radsupport.stats.survival_curves import at_times, integration_times, prediction_times, steps, survival_times


def test_times_that_differ_by_rounding_become_equal():
    time, event = survival_times([0.1 + 0.2, 0.3, 1.0, 1.0 + 1e-6], [1, 0, 1, 1])
    assert time.tolist() == [0.3, 0.3, 1.0, 1.0 + 1e-6]
    assert event.tolist() == [1, 0, 1, 1]


@given(st.lists(st.integers(0, 50), min_size=1, max_size=30))
def test_distinct_times_stay_as_they_are(values):
    assert survival_times(values, np.ones(len(values)))[0].tolist() == values


def test_bad_times_are_refused():
    for times in ([-1], [np.nan], [np.inf], ["soon"]):
        with pytest.raises(InputError):
            prediction_times(times)
    assert prediction_times(3).tolist() == [3.0]
    with pytest.raises(NotEstimableError):
        survival_times([1, 2], [0, 0], any_event=True)


def test_events_leave_before_censorings_at_the_same_time():
    # at time 2 one has the event and one is censored: 3 at risk of the event, 2 of being censored
    found = steps(np.array([1.0, 2.0, 2.0, 3.0]), np.array([1, 1, 0, 0]))
    assert found.survival.tolist() == pytest.approx([3 / 4, 3 / 4 * 2 / 3, 1 / 2])
    assert found.survival[-1] == found.survival[1]
    assert found.censoring_survival.tolist() == pytest.approx([1, 1 / 2, 0])


def test_left_limits_and_values():
    grid, values = np.array([1.0, 2.0]), np.array([0.5, 0.2])
    assert at_times(grid, values, np.array([0.5, 1, 1.5, 2, 9])).tolist() == [1, 0.5, 0.5, 0.2, 0.2]
    assert at_times(grid, values, np.array([1, 2, 9.0]), before=True).tolist() == [1, 0.5, 0.2]


def test_resamples_have_the_steps_of_their_subjects():
    rng = np.random.default_rng(0)
    time, event = rng.integers(1, 8, 20).astype(float), rng.integers(0, 2, 20)
    counts = rng.integers(0, 3, (5, 20)).astype(float)
    found = steps(time, event, counts)
    for k, count in enumerate(counts.astype(int)):
        drawn = np.repeat(np.arange(20), count)
        alone = steps(time[drawn], event[drawn])
        together = at_times(found.time, found.censoring_survival, alone.time)[k]
        np.testing.assert_allclose(together, alone.censoring_survival)


def test_integrals_are_taken_at_events_and_at_their_end():
    found = integration_times([3.0, 1.0, 2.0, 5.0, 9.0, 3.0], [1, 1, 0, 1, 1, 1], 6.0)
    assert found.tolist() == [1, 3, 5, 6]
    many = integration_times(np.arange(1.0, 301.0), np.ones(300), 250.0)
    assert many.size == 61
    assert many[[0, -2, -1]].tolist() == [1, 249, 250]
