from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radsupport.errors import InputError, NotEstimableError
from radsupport.stats.concordance import concordance

FILES = Path(__file__).parents[1] / "golden" / "statistics"
SINGLE = sorted(p.stem for p in FILES.glob("concordance__*.json") if "compare_two" not in p.read_text())
UNO = sorted(path.stem for path in FILES.glob("uno_c__*.json"))


@pytest.mark.parametrize("case", SINGLE)
def test_equals_survival_concordance(case, r_values, r_table, agree):
    reference = r_values(case)
    table, params, values = r_table(reference["dataset"][0]), reference["params"], reference["values"]
    data = (table[params["time"]], table[params["status"]], table[params["score"]])
    variants = {
        "harrell": {},
        "uno_timewt_n_over_G2": {"weight": "n/G2"},
        "harrell_truncated_at_tau": {"tau": values["tau"]},
        "uno_truncated_at_tau": {"tau": values["tau"], "weight": "n/G2"},
    }
    for name, options in variants.items():
        found = concordance(*data, **options)
        agree([found.concordance, found.se], [values[name]["C"], values[name]["se"]])
    found = concordance(*data)
    assert (found.n, found.n_events) == (values["n"], values["events"])
    agree([found.ci_low, found.ci_high], values["harrell"]["ci95_wald"])


@pytest.mark.parametrize("case", UNO)
def test_uno_equals_survival_concordance(case, r_values, r_table, agree):
    reference = r_values(case)
    table, params = r_table(reference["dataset"][0]), reference["params"]
    for expected in reference["values"]["results"]:
        data = (table[params["time"]], table[params["status"]], table[params["score"]])
        found = concordance(*data, tau=expected["tau"], weight="n/G2")
        agree([found.concordance, found.se], [expected["survival_concordance_n_over_G2"], expected["se"]])


def brute_force(time, event, risk):
    good = total = 0.0
    for i in range(len(time)):
        for j in range(len(time)):
            if event[i] and (time[i] < time[j] or (time[i] == time[j] and not event[j])):
                total += 1
                good += (risk[i] > risk[j]) + 0.5 * (risk[i] == risk[j])
    return good / total if total else None


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 1), st.integers(0, 5)), min_size=2, max_size=25))
def test_equals_counting_pairs_and_its_mirror_image(subjects):
    time, event, risk = np.array(subjects, float).T
    expected = brute_force(time, event, risk)
    if expected is None:
        with pytest.raises(NotEstimableError):
            concordance(time, event, risk)
        return
    found = concordance(time, event, risk)
    assert found.concordance == pytest.approx(expected, abs=1e-12)
    assert concordance(time, event, -risk).concordance == pytest.approx(1 - expected, abs=1e-12)
    assert concordance(np.exp(time), event, risk**3).se == pytest.approx(found.se, abs=1e-12)
    assert 0 <= found.ci_low <= found.ci_high <= 1


def test_without_censoring_uno_is_harrell():
    rng = np.random.default_rng(0)
    time, risk = rng.exponential(size=50), rng.normal(size=50)
    assert concordance(time, np.ones(50), risk, weight="n/G2") == concordance(time, np.ones(50), risk)


def test_events_at_tau_count():
    time, event, risk = [1, 2, 3, 4], [1, 1, 1, 0], [4, 1, 3, 2]
    assert concordance(time, event, risk, tau=2).n_events == 2
    assert concordance(time, event, risk, tau=2).concordance == pytest.approx(3 / 5)
    assert concordance(time, event, risk, tau=1.9).n_events == 1


def test_constant_risk_is_one_half_with_no_error():
    found = concordance([1, 2, 3, 4], [1, 1, 0, 1], [7, 7, 7, 7])
    assert (found.concordance, found.se) == (0.5, 0)


def test_three_subjects_in_perfect_order():
    found = concordance([1, 2, 3], [1, 1, 1], [3, 2, 1])
    assert (found.concordance, found.se, found.ci_high) == (1, 0, 1)


def test_the_standard_error_is_that_of_repeated_samples():
    rng = np.random.default_rng(3)
    values, errors = [], []
    for _ in range(200):
        risk = rng.normal(size=80)
        time, censored = rng.exponential(np.exp(-risk)), rng.exponential(2, size=80)
        found = concordance(np.minimum(time, censored), time <= censored, risk)
        values.append(found.concordance)
        errors.append(found.se)
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.15)


def test_blocks_of_pairs_give_the_same_value(monkeypatch):
    rng = np.random.default_rng(1)
    time, event, risk = rng.integers(1, 30, 70), rng.integers(0, 2, 70), rng.integers(0, 9, 70)
    whole = concordance(time, event, risk, weight="n/G2")
    monkeypatch.setattr(import_module("radsupport.stats.concordance"), "_BLOCK", 150)
    parts = concordance(time, event, risk, weight="n/G2")
    assert parts.concordance == pytest.approx(whole.concordance, rel=1e-12)
    assert parts.se == pytest.approx(whole.se, rel=1e-12)


@pytest.mark.parametrize(
    ("time", "event", "risk"), [([1, 2, 3], [0, 0, 0], [1, 2, 3]), ([1, 1, 1], [1, 1, 1], [1, 2, 3]), ([1], [1], [1])]
)
def test_no_comparable_pair_is_an_error(time, event, risk):
    with pytest.raises(NotEstimableError, match="comparable"):
        concordance(time, event, risk)


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="risk"):
        concordance([1, 2, 3], [1, 1, 1], [1, np.nan, 2])
    with pytest.raises(InputError, match="risk"):
        concordance([1, 2, 3], [1, 1, 1], [1, 2])
    with pytest.raises(InputError, match="tau"):
        concordance([1, 2, 3], [1, 1, 1], [1, 2, 3], tau=0)
    with pytest.raises(InputError, match="weight"):
        concordance([1, 2, 3], [1, 1, 1], [1, 2, 3], weight="ipcw")
