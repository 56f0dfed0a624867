from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radsupport.errors import InputError
from radsupport.stats.survival_curves import kaplan_meier, median_follow_up, steps

FILES = Path(__file__).parents[1] / "golden" / "statistics"
CASES = sorted(path.stem for path in FILES.glob("km__*.json"))


def groups(case, r_values, r_table):
    reference = r_values(case)
    table, params = r_table(reference["dataset"][0]), reference["params"]
    for level, values in reference["values"]["groups"].items():
        chosen = table if not params.get("group") else table[table[params["group"]].astype(str) == level]
        yield chosen[params["time"]], chosen[params["status"]], params, values


@pytest.mark.parametrize("case", CASES)
def test_survival_limits_and_median_equal_r(case, r_values, r_table, agree):
    for time, event, params, values in groups(case, r_values, r_table):
        found, limits = kaplan_meier(time, event, params["times"]), values["conf_log"]
        assert (found.n, found.n_events) == (values["n"], values["events"])
        agree(found.at_times["n_risk"], values["at_times"]["n_risk"])
        agree(found.at_times["survival"], values["at_times"]["survival"])
        agree(found.at_times["se"], values["at_times"]["greenwood_se_of_survival"])
        agree(found.at_times["ci_low"], limits["lower"])
        agree(found.at_times["ci_high"], limits["upper"])
        medians = [limits["quantiles"][key][1] for key in ("time", "lower", "upper")]  # of 0.25, 0.5, 0.75
        agree([found.median, found.median_low, found.median_high], medians)


@pytest.mark.parametrize("case", CASES)
def test_curve_and_follow_up_equal_r(case, r_values, r_table, agree):
    for time, event, _, values in groups(case, r_values, r_table):
        agree(median_follow_up(time, event).median, values["reverse_km_median_follow_up"])
        if "curve" not in values:
            continue
        curve = kaplan_meier(time, event).curve
        alive = curve["survival"] > 0  # R writes Inf for the SE of log S where S is 0; that of S is not defined there
        for column in ("time", "n_risk", "n_event", "n_censor", "survival"):
            agree(curve[column], values["curve"][column])
        agree((curve["se"] / curve["survival"])[alive], np.array(values["curve"]["se_log_survival"])[alive])


def test_median_is_the_middle_of_a_flat_half():
    assert kaplan_meier([1, 2, 3, 4], [1, 1, 1, 1]).median == 2.5
    assert kaplan_meier([1, 2, 5, 6], [1, 1, 0, 0]).median == 4.0  # to the last time where it stays flat


def test_median_does_not_exist_where_the_curve_stays_above_half():
    found = kaplan_meier([1, 2, 3, 4, 5], [1, 0, 0, 0, 0])
    assert np.isnan(found.median)
    assert np.isnan(found.median_high)


def test_all_censored():
    found = kaplan_meier([3, 1, 2], [0, 0, 0], [2])
    assert (found.curve["survival"] == 1).all()
    assert np.isnan(found.median)
    assert found.at_times.loc[0, ["survival", "se", "ci_low", "ci_high"]].tolist() == [1, 0, 1, 1]


def test_all_events_at_one_time():
    found = kaplan_meier([2, 2, 2], [1, 1, 1], [1, 2])
    assert found.median == 2
    assert found.at_times["survival"].tolist() == [1, 0]
    assert np.isnan(found.at_times["ci_low"].iloc[1])


def test_beyond_follow_up_nobody_is_at_risk():
    row = kaplan_meier([1, 2, 3], [1, 0, 0], [10]).at_times.iloc[0]
    assert (row["n_risk"], row["survival"]) == (0, pytest.approx(2 / 3))


def test_times_that_differ_by_rounding_are_ties():
    assert len(kaplan_meier([0.1 + 0.2, 0.3, 1.0], [1, 1, 0]).curve) == 2


@given(st.lists(st.integers(1, 12), min_size=1, max_size=30))
def test_without_censoring_it_is_the_empirical_survival(times):
    found = kaplan_meier(times, np.ones(len(times)), [3.5])
    assert found.at_times["survival"].item() == pytest.approx(np.mean(np.array(times) > 3.5), abs=1e-12)


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 1)), min_size=2, max_size=40))
def test_lifelines_and_the_counts_in_numpy_give_one_curve(subjects):
    time, event = np.array(subjects, float).T
    found, counted = kaplan_meier(time, event).curve, steps(time, event.astype(int))
    for column in ("time", "n_risk", "n_event", "n_censor"):
        np.testing.assert_array_equal(found[column], getattr(counted, column))
    np.testing.assert_allclose(found["survival"], counted.survival, atol=1e-12)
    assert (np.diff(found["survival"]) <= 0).all()


def test_numpy_warns_afterwards_as_before():
    before = np.geterr()
    kaplan_meier([1, 2, 2, 3], [1, 1, 0, 1])
    assert np.geterr() == before


def test_a_port_of_r_s_survival_gives_the_same_curve_and_limits():
    survival = pytest.importorskip("survival", reason="the package survival, a port of R's, is not installed")
    rng = np.random.default_rng(6)
    time, event = np.ceil(rng.exponential(12, 80)), rng.integers(0, 2, 80)
    other, found = survival.survfit("Surv(t, e) ~ 1", data={"t": time, "e": event}), kaplan_meier(time, event).curve
    for column, theirs in (("time", "time"), ("n_risk", "n_risk"), ("survival", "surv")):
        np.testing.assert_allclose(found[column], getattr(other, theirs), rtol=1e-10)
    some = found["survival"] > 0
    np.testing.assert_allclose(found.loc[some, "ci_low"], np.asarray(other.lower, dtype=float)[some], rtol=1e-10)
    np.testing.assert_allclose(found.loc[some, "ci_high"], np.asarray(other.upper, dtype=float)[some], rtol=1e-10)


@pytest.mark.parametrize(
    ("time", "event", "options"),
    [
        ([], [], {}),
        ([1, np.nan], [1, 1], {}),
        ([1, -2], [1, 1], {}),
        ([1, 2], [1, 2], {}),
        ([1, 2], [1], {}),
        ([1, 2], [1, 1], {"times": [-1]}),
        ([1, 2], [1, 1], {"level": 95}),
    ],
)
def test_bad_input_is_refused(time, event, options):
    with pytest.raises(InputError):
        kaplan_meier(time, event, **options)


def test_the_standard_error_of_a_median_is_that_of_a_textbook():
    # Collett, Modelling Survival Data in Medical Research, example 2.9: weeks to the discontinuation of an IUD
    weeks = [10, 13, 18, 19, 23, 30, 36, 38, 54, 56, 59, 75, 93, 97, 104, 107, 107, 107]
    ended = [1, 0, 0, 1, 0, 1, 1, 0, 0, 0, 1, 1, 1, 1, 0, 1, 0, 0]
    found = kaplan_meier(weeks, ended)
    assert found.median == 93
    assert found.median_se == pytest.approx(0.1452 / 0.0085, rel=0.005)  # as the book rounds its parts: 17.13
    assert [round(found.median + sign * 1.96 * found.median_se) for sign in (-1, 1)] == [59, 127]


def test_a_median_that_the_curve_hardly_reaches_has_no_standard_error():
    assert np.isnan(kaplan_meier([1, 2, 3, 4, 5], [0, 0, 1, 0, 0]).median_se)  # never at one half
    assert np.isnan(kaplan_meier([1, 2], [1, 0]).median_se)  # at one half, not below it


@given(st.lists(st.integers(1, 60), min_size=6, max_size=40))
def test_the_standard_error_of_a_median_has_the_unit_of_the_times(times):
    found, tenfold = (kaplan_meier(np.multiply(times, factor), np.ones(len(times))).median_se for factor in (1, 10))
    assert tenfold == pytest.approx(10 * found, rel=1e-9, nan_ok=True)
