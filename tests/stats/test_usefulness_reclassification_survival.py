"""NRI and IDI at a horizon: closed forms, censoring, edge cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radsupport.errors import InputError, NotEstimableError
from radsupport.stats.time_roc import horizon_weights
from radsupport.stats.usefulness import nri_idi, nri_idi_survival

OPTIONS = {"n_resamples": 20, "seed": 0}


def data(n: int = 80, seed: int = 1) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=n)
    time = rng.exponential(20 / np.exp(latent))
    old, new = (1 / (1 + np.exp(-(s * latent + rng.normal(size=n)))) for s in (0.3, 1.5))
    return time, rng.exponential(30, n), old, new


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000))
def test_without_censoring_it_is_the_binary_one(seed: int) -> None:
    time, _, old, new = data(seed=seed)
    found = nri_idi_survival(time, np.ones(80), old, new, 10.0, **OPTIONS)
    expected = nri_idi((time <= 10).astype(int), old, new)
    for key in ("nri", "nri_events", "nri_nonevents", "idi"):
        assert getattr(found, key) == pytest.approx(getattr(expected, key), abs=1e-12)
    assert (found.n_events, found.n_nonevents) == (expected.n_events, expected.n_nonevents)


def test_censored_subjects_count_through_the_weights_only() -> None:
    time, censored, old, new = data()
    seen, event = np.minimum(time, censored), (time <= censored).astype(int)
    found = nri_idi_survival(seen, event, old, new, 10.0, **OPTIONS)
    at = horizon_weights(seen, event, 10.0)
    up = np.sign(new - old)
    expected = np.average(up, weights=at.case_weight) - np.average(up, weights=at.control_weight)
    assert found.nri == pytest.approx(expected)
    gain = new - old
    means = [np.average(gain, weights=w) for w in (at.case_weight, at.control_weight)]
    assert found.idi == pytest.approx(means[0] - means[1])


def test_interval_holds_the_estimate_and_the_seed_fixes_it() -> None:
    time, censored, old, new = data()
    arguments = np.minimum(time, censored), (time <= censored).astype(int), old, new, 10.0
    first, second = (nri_idi_survival(*arguments, n_resamples=200, seed=3) for _ in range(2))
    assert first == second
    assert first.nri_low < first.nri < first.nri_high
    assert first.idi_low < first.idi < first.idi_high
    assert first.idi > 0


def test_equal_predictions_gain_nothing() -> None:
    time, _, old, _ = data()
    found = nri_idi_survival(time, np.ones(80), old, old, 10.0, **OPTIONS)
    assert (found.nri, found.idi, found.idi_low, found.idi_high) == (0.0, 0.0, 0.0, 0.0)


def test_a_horizon_without_events_or_survivors_does_not_exist() -> None:
    time, _, old, new = data()
    with pytest.raises(NotEstimableError, match="0 are followed"):
        nri_idi_survival(time, np.ones(80), old, new, time.max() + 1, **OPTIONS)
    with pytest.raises(NotEstimableError, match="0 subject"):
        nri_idi_survival(time, np.ones(80), old, new, time.min() / 2, **OPTIONS)


def test_scores_that_are_no_probabilities_are_refused() -> None:
    time, _, old, new = data()
    with pytest.raises(InputError, match="risk_new"):
        nri_idi_survival(time, np.ones(80), old, new + 1, 10.0, **OPTIONS)
