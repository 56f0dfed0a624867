"""Cumulative incidence: by hand, against lifelines without ties, against R's values by another library, laws."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from lifelines import AalenJohansenFitter
from sksurv.nonparametric import cumulative_incidence_competing_risks

from radsupport.errors import InputError
from radsupport.stats.incidence import cumulative_incidence

# ten patients, ties of every kind: (time, event, competing)
HAND = np.array(
    [(1, 1, 0), (2, 1, 0), (2, 0, 1), (2, 0, 0), (4, 0, 1), (5, 1, 0), (5, 1, 0), (5, 0, 0), (7, 0, 1), (8, 0, 0)]
)


def random_patients(seed, n=60, ties=False):
    rng = np.random.default_rng(seed)
    time = rng.exponential(20, n)
    kind = rng.integers(0, 3, n)
    return np.ceil(time / 4) if ties else time, (kind == 1).astype(int), (kind == 2).astype(int)


def test_a_hand_computed_example_with_ties():
    found = cumulative_incidence(*HAND.T, times=[0.5, 2, 5, 8, 9])
    # S(any event) just before: 1, 9/10, 7/10 (after 2 of 9), 7/12 (after 1 of 6); at risk 10, 9, 6, 5, 2
    at_5 = 1 / 10 + 9 / 10 * 1 / 9 + 7 / 12 * 2 / 5
    assert found.at_times["incidence"].tolist()[:4] == pytest.approx([0, 0.2, at_5, at_5])
    died = [0, 0.1, 0.1 + 0.7 / 6, 0.1 + 0.7 / 6 + 7 / 12 * 3 / 5 / 2]
    assert found.at_times["competing"].tolist()[:4] == pytest.approx(died)
    kaplan_meier = 1 - 9 / 10 * 8 / 9 * 3 / 5
    assert found.at_times["one_minus_km"].tolist()[:4] == pytest.approx([0, 0.2, kaplan_meier, kaplan_meier])
    assert found.at_times.iloc[4].drop(["time", "n_risk"]).isna().all()  # nobody is followed so long
    assert found.at_times["n_risk"].tolist() == [10, 9, 5, 1, 0]
    assert found.curve["n_risk"].tolist() == [10, 9, 6, 5, 2, 1]
    assert found.curve[["n_event", "n_competing", "n_censor"]].sum().tolist() == [4, 3, 3]
    assert (found.n, found.n_events, found.n_competing) == (10, 4, 3)


def aalen(time, event, competing):
    """Aalen's variance of the event's incidence at its last time, term by term (Pintilie 2006, eq. 4.5)."""
    rows, survival, incidence = [], 1.0, 0.0
    for t in np.unique(time):
        n, d = (time >= t).sum(), ((time == t) & (event + competing == 1)).sum()
        own = ((time == t) & (event == 1)).sum()
        incidence += survival * own / n
        rows.append((n, d, own, survival, incidence))
        survival *= 1 - d / n
    total = 0.0
    for n, d, own, before, then in rows:
        if n == d or n == 1:
            continue
        left = incidence - then
        total += left**2 * d / ((n - 1) * (n - d)) + before**2 * own * (n - own) / (n**2 * (n - 1))
        total -= 2 * left * before * own * (n - own) / (n * (n - d) * (n - 1))
    return total


@pytest.mark.parametrize("ties", [False, True])
def test_the_limits_are_log_log_ones_of_aalens_variance(ties):
    time, event, competing = random_patients(3, ties=ties)
    event[time == time.max()] = competing[time == time.max()] = 0
    last = cumulative_incidence(time, event, competing).curve.iloc[-1]
    p = last["incidence"]
    width = 1.959963984540054 * np.sqrt(aalen(time, event, competing)) / abs(p * np.log(p))
    assert [last["ci_low"], last["ci_high"]] == pytest.approx([p ** np.exp(width), p ** np.exp(-width)], rel=1e-9)


@pytest.mark.parametrize("seed", [0, 1])
def test_lifelines_gives_the_same_where_no_times_are_tied(seed):
    time, event, competing = random_patients(seed)
    found = cumulative_incidence(time, event, competing).curve
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pandas, inside lifelines
        for name, code in (("incidence", 1), ("competing", 2)):
            other = AalenJohansenFitter(calculate_variance=False).fit(time, event + 2 * competing, code)
            own = other.cumulative_density_.iloc[:, 0].loc[found["time"]]
            np.testing.assert_allclose(found[name], own, atol=1e-12)


@pytest.mark.parametrize("ties", [False, True])
def test_scikit_survival_gives_the_same_with_ties_and_limits(ties):
    time, event, competing = random_patients(7, ties=ties)
    found = cumulative_incidence(time, event, competing).curve
    _, values, limits = cumulative_incidence_competing_risks(event + 2 * competing, time, conf_type="log-log")
    for row, name, limit in ((1, "incidence", "ci"), (2, "competing", "competing")):
        np.testing.assert_allclose(found[name], values[row], atol=1e-12)
        some = found[name] > 0
        np.testing.assert_allclose(found.loc[some, f"{limit}_low"], limits[row, 0][some], atol=1e-9)
        np.testing.assert_allclose(found.loc[some, f"{limit}_high"], limits[row, 1][some], atol=1e-9)


def test_r_by_the_package_survival_gives_the_same_with_ties():
    survival = pytest.importorskip("survival", reason="the package survival, a port of R's, is not installed")
    time, event, competing = random_patients(5, ties=True)
    fit = survival.survfit(survival.Surv(time, event + 2 * competing, type="mstate"))
    found = cumulative_incidence(time, event, competing).curve
    states = np.asarray(fit.pstate)
    np.testing.assert_allclose(states[:, 1], found["incidence"], atol=1e-12)
    np.testing.assert_allclose(states[:, 2], found["competing"], atol=1e-12)


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 2)), min_size=1, max_size=40))
@example([*[(0, 0)] * 4, (0, 1), (1, 1)])  # everybody at risk has the event: 1 but for rounding, which has no limits
def test_laws(patients):
    time, kind = np.array(patients).T
    event, competing = (kind == 1).astype(int), (kind == 2).astype(int)
    found = cumulative_incidence(time, event, competing).curve
    free = np.cumprod(1 - (found["n_event"] + found["n_competing"]) / found["n_risk"])
    np.testing.assert_allclose(found["incidence"] + found["competing"] + free, 1, atol=1e-12)
    assert (found["one_minus_km"] >= found["incidence"] - 1e-12).all()  # the bias has one direction
    if not competing.any():
        np.testing.assert_allclose(found["one_minus_km"], found["incidence"], atol=1e-12)
    for name, low, high in (("incidence", "ci_low", "ci_high"), ("competing", "competing_low", "competing_high")):
        assert (np.diff(found[name]) >= -1e-12).all()
        inside = found.dropna(subset=[low, high])
        assert inside[low].le(inside[name] + 1e-9).all()
        assert inside[high].ge(inside[name] - 1e-9).all()


def test_somebody_with_both_events_is_refused():
    with pytest.raises(InputError, match=r"1 patient\(s\) have the event and the competing one"):
        cumulative_incidence([1, 2], [1, 1], [0, 1])
