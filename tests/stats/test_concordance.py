from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from radsupport.errors import InputError, NotEstimableError
from radsupport.stats.concordance import concordance

module = import_module("radsupport.stats.concordance")

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


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(*[st.integers(0, 1)] * 2, *[st.integers(1, 9)] * 2), min_size=2, max_size=40),
    st.sampled_from(["n", "n/G2"]),
)
def test_inversions_give_the_same_as_a_matrix_of_pairs(subjects, weight):
    """Ties of time, of risk and of both, within strata; jackknife residuals and resamples too."""
    event, stratum, time, risk = np.array(subjects, float).T
    if not event.any():
        return
    pairs = module.Pairs.of(time, event, None, weight, stratum)
    own = np.random.default_rng(0).integers(0, 4, (3, len(time))) * pairs.event
    wanted = *pairs.sums(own), *pairs.sums(own, risk)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_FEW", 0)
        found = *pairs.sums(own), *pairs.sums(own, risk)
    for k, (one, other) in enumerate(zip(found, wanted, strict=True)):
        shown = pairs.event == 1 if k % 2 == 0 else slice(None)
        assert np.allclose(one[..., shown], other[..., shown], rtol=1e-13, atol=1e-13)


def test_many_subjects_equal_the_port_of_r():
    """`survival` 2.0.0 from PyPI, a port of R's, on 3 000 subjects with ties (``concordancefit(reverse=True)``)."""
    rng = np.random.default_rng(11)
    time, event, risk = rng.integers(1, 400, 3000) / 4, rng.integers(0, 2, 3000), rng.integers(0, 500, 3000) / 8
    found = concordance(time, event, risk)
    assert [found.concordance, found.se] == pytest.approx(
        [0.4958340996524945, np.sqrt(6.874668661176436e-05)], rel=1e-12
    )


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


def stratified(time, event, risk, center):
    """Return the index and its jackknife error from every pair of one center, as survival::concordance with strata."""
    good, total = np.zeros(len(time)), np.zeros(len(time))
    for i in range(len(time)):
        for j in range(len(time)):
            later = time[i] < time[j] or (time[i] == time[j] and not event[j])
            if i != j and event[i] and later and center[i] == center[j]:
                right = (risk[i] > risk[j]) + 0.5 * (risk[i] == risk[j])
                for k in (i, j):
                    good[k] += right
                    total[k] += 1
    c = good.sum() / total.sum()
    return c, np.sqrt((((good - c * total) / (total.sum() / 2)) ** 2).sum())


@pytest.mark.parametrize("seed", range(4))
def test_strata_compare_pairs_of_one_center_only(seed):
    rng = np.random.default_rng(seed)
    time, event = rng.integers(1, 9, 40).astype(float), rng.integers(0, 2, 40)
    center, risk = rng.choice(["a", "b", "c"], 40), rng.integers(0, 6, 40).astype(float)
    found = concordance(time, event, risk, strata=center)
    assert (found.concordance, found.se) == pytest.approx(stratified(time, event, risk, center), rel=1e-12)
    moved = risk + np.select([center == "a", center == "b"], [100.0, -50.0])
    assert concordance(time, event, moved, strata=center).concordance == found.concordance
    alone, one = concordance(time, event, risk), concordance(time, event, risk, strata=np.ones(40))
    assert one == alone


def test_a_label_as_a_time_gives_the_area_within_strata():
    rng = np.random.default_rng(5)
    y, risk = rng.integers(0, 2, 60), rng.normal(size=60)
    center = np.repeat(["a", "b"], 30)
    sizes = {c: (y[center == c].sum(), (1 - y[center == c]).sum()) for c in ("a", "b")}
    areas = {c: roc_auc_score(y[center == c], risk[center == c]) for c in ("a", "b")}
    weights = {c: m * n for c, (m, n) in sizes.items()}
    expected = sum(areas[c] * weights[c] for c in weights) / sum(weights.values())
    assert concordance(2 - y, y, risk, strata=center).concordance == pytest.approx(expected, rel=1e-12)


def test_strata_of_another_length_and_gaps_are_refused():
    for strata in (["a"], ["a", None, "b"]):
        with pytest.raises(InputError, match="strata"):
            concordance([1.0, 2, 3], [1, 1, 0], [1.0, 2, 3], strata=strata)
    with pytest.raises(NotEstimableError):
        concordance([1.0, 2, 3], [1, 1, 0], [1.0, 2, 3], strata=["a", "b", "c"])


def test_equals_the_port_of_r_with_strata():
    """`survival` 2.0.0 from PyPI, a port of R's: ``concordancefit(..., strata=center, reverse=True)``."""
    time = [5.0, 3, 8, 2, 9, 4, 7, 6, 1, 10, 3, 5, 12, 2]
    event = [1, 1, 0, 1, 0, 1, 1, 0, 1, 1, 0, 1, 0, 1]
    risk = [0.6, 0.9, 0.2, 0.8, 0.3, 0.7, 0.1, 0.5, 0.4, 0.2, 0.6, 0.3, 0.1, 0.9]
    found = concordance(time, event, risk, strata=[0] * 7 + [1] * 7)
    assert [found.concordance, found.se] == pytest.approx([0.8, 0.09249379460707798], rel=1e-12)
