from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from radsupport.errors import InputError, NotEstimableError
from radsupport.stats.logrank import log_rank, maximally_selected_cutoff, p_lausen94

FILES = Path(__file__).parents[1] / "golden" / "statistics"
CASES = sorted(path.stem for path in FILES.glob("cutpoint__*.json"))


@pytest.mark.parametrize("case", CASES)
def test_cut_off_and_corrected_p_equal_maxstat(case, r_values, r_table, agree):
    reference = r_values(case)
    table, params, values = r_table(reference["dataset"][0]), reference["params"], reference["values"]
    found = maximally_selected_cutoff(
        table[params["time"]], table[params["status"]], table[params["variable"]], params["minprop"]
    )
    assert found.cut_off == values["cutpoint"]
    agree(found.statistic, values["max_standardised_logrank_statistic"], rtol=1e-8)
    agree(found.p, values["p_lausen94"]["M"], rtol=1e-8)


def test_published_examples_of_the_corrections():
    # Lausen, Sauerbrei & Schumacher 1994, page 489: b = 2.5, N = 20, 25% to 75% gives 0.073
    assert round(p_lausen94(2.5, 20, np.arange(5, 16)), 3) == 0.073


def test_corrected_p_pays_for_the_search_under_the_null():
    rng = np.random.default_rng(1)
    corrected, naive = [], []
    for _ in range(150):
        time, value = rng.exponential(size=60), rng.normal(size=60)
        found = maximally_selected_cutoff(time, np.ones(60), value)
        corrected.append(found.p)
        naive.append(log_rank(time, np.ones(60), value > found.cut_off).p)
    assert np.mean(np.array(corrected) < 0.05) <= 0.08
    assert np.mean(np.array(naive) < 0.05) > 0.25


def test_the_planted_cut_off_is_found():
    rng = np.random.default_rng(2)
    value = rng.uniform(size=300)
    time = rng.exponential(np.where(value > 0.6, 1.0, 5.0))
    found = maximally_selected_cutoff(time, np.ones(300), value)
    assert found.cut_off == pytest.approx(0.6, abs=0.03)
    assert found.p < 1e-6


def test_indifferent_to_monotone_transforms():
    rng = np.random.default_rng(3)
    time, event, value = rng.exponential(size=80), rng.integers(0, 2, 80), rng.normal(size=80)
    found, other = (maximally_selected_cutoff(t, event, v) for t, v in ((time, value), (time**2, np.exp(value))))
    assert (other.statistic, other.p) == (pytest.approx(found.statistic), pytest.approx(found.p))
    assert other.cut_off == pytest.approx(np.exp(found.cut_off))


@pytest.mark.parametrize(
    ("time", "event", "value"),
    [
        (np.arange(1, 11), np.zeros(10), np.arange(10)),
        (np.arange(1, 11), np.ones(10), np.ones(10)),
        (np.ones(10), np.ones(10), np.arange(10)),
        (np.arange(1, 11), np.ones(10), [0] * 9 + [1]),
    ],
)
def test_no_cut_off_is_an_error(time, event, value):
    with pytest.raises(NotEstimableError):
        maximally_selected_cutoff(time, event, value, 0.2)


@pytest.mark.parametrize("min_share", [0, 0.5, -0.1, 10])
def test_impossible_shares_are_refused(min_share):
    with pytest.raises(InputError, match="min_share"):
        maximally_selected_cutoff([1, 2, 3], [1, 1, 1], [1, 2, 3], min_share)
