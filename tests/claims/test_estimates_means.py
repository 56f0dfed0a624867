import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radsupport.claims.verdicts import FAILS, HOLDS

AGES = st.lists(st.integers(18, 95), min_size=2, max_size=60)


@given(ages=AGES, decimals=st.integers(1, 3))
def test_any_mean_of_whole_numbers_holds(judge, ages, decimals):
    assert judge("mean_sd", f"{np.mean(ages):.{decimals}f}", {"n": len(ages)}).verdict == HOLDS


@given(ages=AGES)
def test_any_median_of_whole_numbers_holds(judge, ages):
    published = f"{np.median(ages):.1f}"
    assert judge("mean_sd", published, {"n": len(ages), "statistic": "median"}).verdict == HOLDS


@pytest.mark.parametrize(
    ("mean", "n", "verdict"), [("5.19", 28, FAILS), ("5.18", 28, HOLDS), ("3.45", 20, HOLDS), ("3.46", 20, FAILS)]
)
def test_the_grim_examples(judge, mean, n, verdict):
    """5.19 from 28 whole numbers is the worked example of Brown & Heathers 2017."""
    assert judge("mean_sd", mean, {"n": n}).verdict == verdict


def test_granularity(judge):
    assert judge("mean_sd", "2.25", {"n": 2, "granularity": 0.5}).verdict == HOLDS
    assert judge("mean_sd", "2.30", {"n": 2, "granularity": 0.5}).verdict == FAILS


def test_a_median_that_is_neither_median_nor_mean(judge):
    verdict = judge("mean_sd", "62.57", {"totals": [4689, 2018, 3483], "n": 162})
    assert verdict.verdict == FAILS
    assert verdict.values["mean"] == pytest.approx(62.90, abs=0.005)
    assert "not the mean either" in verdict.reason
    assert "It is the mean" in judge("mean_sd", "62.90", {"totals": [4689, 2018, 3483], "n": 162}).reason


@given(a=AGES, b=AGES)
def test_groups_pool_to_the_whole(judge, a, b):
    whole = np.array([*a, *b], dtype=float)
    groups = [[f"{np.mean(x):.2f}", f"{np.std(x, ddof=1):.2f}"] for x in (a, b)]
    published = f"{whole.mean():.2f}±{whole.std(ddof=1):.2f}"
    inputs = {"groups": groups, "n": [len(a), len(b)]}
    verdict = judge("mean_sd", published, inputs)
    assert verdict.verdict == HOLDS
    assert verdict.values["sd"] == pytest.approx(whole.std(ddof=1), abs=0.02)
    assert judge("mean_sd", f"{whole.mean() + 1:.2f}±{whole.std(ddof=1):.2f}", inputs).verdict == FAILS


@pytest.mark.parametrize(
    ("published", "inputs", "reason"),
    [
        ("5", {"n": 0}, "at least 1"),
        ("5", {"n": 3, "statistic": "mode"}, "mean or median"),
        ("5", {"n": 3, "granularity": 0}, "positive"),
        ("x", {"n": 3}, "no number"),
        ("5", {"groups": [["1", "2"], ["3", "4"]], "n": [3, 4]}, "mean±SD"),
        ("5±1", {"groups": [["1", "2"], ["3"]], "n": [3, 4]}, "list of 2"),
    ],
)
def test_malformed_means_are_refused(refusal, published, inputs, reason):
    assert reason in refusal("mean_sd", published, inputs)
