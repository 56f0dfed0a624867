from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from radsupport.errors import InputError, NotEstimableError
from radsupport.stats.bootstrap import bootstrap, percentile_limits, resample_counts
from radsupport.stats.concordance import bootstrap_concordance, concordance, concordance_difference

FILES = Path(__file__).parents[1] / "golden" / "statistics"
CASES = sorted(p.stem for p in FILES.glob("concordance__*.json") if "compare_two" in p.read_text())


@pytest.mark.parametrize("case", CASES)
def test_difference_equals_the_joint_jackknife_of_r(case, r_values, r_table, agree):
    reference = r_values(case)
    table, params, values = r_table(reference["dataset"][0]), reference["params"], reference["values"]
    data = (table[params["time"]], table[params["status"]], table[params["score1"]], table[params["score2"]])
    found = concordance_difference(*data)
    agree([found.concordance_a, found.concordance_b], values["C"])
    agree([found.difference, found.se], [values["difference"], values["se"]])
    agree([found.z, found.p], [values["z"], values["p"]], rtol=1e-8)
    # the bootstrap is another estimate of the same spread
    assert found.ci_high - found.ci_low == pytest.approx(2 * 1.96 * values["se"], rel=0.15)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(8)
    risk = rng.normal(size=60)
    return np.ceil(rng.exponential(9 * np.exp(-risk))), rng.integers(0, 2, 60), np.round(risk, 1)


@pytest.mark.parametrize("weight", ["n", "n/G2"])
@pytest.mark.parametrize("tau", [None, 8.0])
def test_a_resample_has_the_concordance_of_its_drawn_subjects(data, weight, tau):
    time, event, risk = data
    found = bootstrap_concordance(time, event, {"r": risk}, weight=weight, tau=tau, n_resamples=12, seed=5)["r"]
    counts = np.concatenate(list(resample_counts(60, 12, 5)))
    assert (counts.sum(axis=1) == 60).all()
    for value, count in zip(found, counts.astype(int), strict=True):
        drawn = np.repeat(np.arange(60), count)
        expected = concordance(time[drawn], event[drawn], risk[drawn], weight=weight, tau=tau)
        assert value == pytest.approx(expected.concordance, abs=1e-12)


def test_same_seed_same_result_other_seed_other_result(data):
    time, event, risk = data
    noisy = risk + np.random.default_rng(1).normal(size=60)
    first, again = (concordance_difference(time, event, risk, noisy, n_resamples=200, seed=3) for _ in range(2))
    assert first == again
    assert first != concordance_difference(time, event, risk, noisy, n_resamples=200, seed=4)


def test_equal_risks_do_not_differ(data):
    time, event, risk = data
    found = concordance_difference(time, event, risk, 2 * risk, n_resamples=50)
    assert (found.difference, found.se, found.ci_low, found.ci_high) == (0, 0, 0, 0)
    assert np.isnan(found.p)


def test_swapping_the_risks_turns_the_sign(data):
    time, event, risk = data
    noisy = risk + np.random.default_rng(2).normal(size=60)
    a, b = concordance_difference(time, event, risk, noisy), concordance_difference(time, event, noisy, risk)
    assert b.difference == -a.difference
    assert (b.ci_low, b.ci_high) == (pytest.approx(-a.ci_high), pytest.approx(-a.ci_low))
    assert b.p == pytest.approx(a.p)


def test_uno_difference_uses_uno(data):
    time, event, risk = data
    noisy = risk + np.random.default_rng(2).normal(size=60)
    found = concordance_difference(time, event, risk, noisy, weight="n/G2", tau=9, n_resamples=20)
    assert found.concordance_a == concordance(time, event, risk, tau=9, weight="n/G2").concordance


def test_bad_input_is_refused(data):
    time, event, risk = data
    with pytest.raises(InputError, match="n_resamples"):
        concordance_difference(time, event, risk, risk, n_resamples=1)
    with pytest.raises(InputError, match="risk_b"):
        concordance_difference(time, event, risk, risk[:5])
    with pytest.raises(InputError, match="empty"):
        bootstrap_concordance(time, event, {})
    with pytest.raises(NotEstimableError):
        concordance_difference(time, 0 * event, risk, risk)


def test_limits_need_enough_usable_resamples():
    values = np.array([[0.1], [np.nan], [np.nan], [np.nan]])
    with pytest.raises(NotEstimableError, match="Only 1 of 4"):
        percentile_limits(values, 0.95, "it")
    mean = bootstrap(lambda counts: counts @ np.arange(10)[:, None] / 10, 10, 4000, 0)
    low, high = percentile_limits(mean, 0.95, "a mean")
    assert high[0] - low[0] == pytest.approx(2 * 1.96 * np.std(np.arange(10)) / np.sqrt(10), rel=0.05)


def test_resamples_without_a_comparable_pair_are_counted():
    rng = np.random.default_rng(4)
    time, risk = rng.permutation(np.arange(1.0, 31)), rng.normal(size=30)
    event = np.isin(time, [3, 9])  # in one resample in eight neither of the two is drawn
    found = concordance_difference(time, event, risk, rng.normal(size=30), n_resamples=200, seed=5)
    counts = np.concatenate(list(resample_counts(30, 200, 5)))
    usable = [any(drawn[i] and drawn[time > time[i]].any() for i in np.flatnonzero(event)) for drawn in counts]
    assert found.used == sum(usable) < 200
