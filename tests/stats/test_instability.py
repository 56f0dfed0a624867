"""Instability over repeats by hand, and the optimism of net benefit by brute force."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from dcurves import dca

from radsupport.errors import InputError
from radsupport.stats.instability import benefit_optimism, prediction_instability
from radsupport.stats.usefulness import counted_benefit, net_benefit, net_benefit_survival


def test_mape_and_classification_by_hand():
    # patient 1: |0.1|, |0.3|, |0.1| -> 1/6; patient 2: 0, 0.2, 0.1 -> 0.1
    repeats = [[0.3, 0.6], [0.5, 0.8], [0.1, 0.5]]
    found = prediction_instability([0.2, 0.6], repeats, threshold=0.4)
    assert found["mape"].tolist() == pytest.approx([(0.1 + 0.3 + 0.1) / 3, (0 + 0.2 + 0.1) / 3])
    assert found["changed"].tolist() == pytest.approx([1 / 3, 0])
    ends = prediction_instability([0.2, 0.6], repeats, level=0.5)
    assert (ends["low"].tolist(), ends["high"].tolist()) == (pytest.approx([0.2, 0.55]), pytest.approx([0.4, 0.7]))
    assert ends["changed"].isna().all()


@pytest.mark.parametrize("repeats", [[[0.1, 0.2, 0.3]], [[0.1, np.nan]], np.empty((0, 2)), [0.1, 0.2]])
def test_repeats_have_a_finite_prediction_of_every_patient(repeats):
    with pytest.raises(InputError, match="a row of 2 finite predictions"):
        prediction_instability([0.2, 0.6], repeats)


def _drawn(n=40, b=3, seed=0):
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, n, (b, n))
    counts = np.array([np.bincount(own, minlength=n) for own in rows], dtype=float)
    return rng, rows, counts


def test_counted_benefit_is_that_of_the_drawn_rows():
    rng, rows, counts = _drawn()
    label, risk, marks = rng.integers(0, 2, 40), np.round(rng.random(40), 2), [0.1, 0.3, 0.55]
    risk[:3] = 0.0
    found = counted_benefit(pd.DataFrame({"label": label}), risk, marks, counts)
    for own, values in zip(rows, found, strict=True):
        expected = net_benefit(label[own], risk[own], marks).query("strategy == 'model'")["net_benefit"]
        assert values == pytest.approx(expected.to_numpy())


def test_counted_benefit_at_a_horizon_is_that_of_the_drawn_rows():
    rng, rows, counts = _drawn()
    time, event, risk = rng.integers(1, 30, 40).astype(float), rng.integers(0, 2, 40), rng.random(40)
    followed, marks = pd.DataFrame({"time": time, "event": event}), [0.1, 0.4, 0.9]
    found = counted_benefit(followed, risk, marks, counts, 12.0)
    for own, values in zip(rows, found, strict=True):
        table = net_benefit_survival(time[own], event[own], risk[own], 12.0, marks)
        assert values == pytest.approx(table.query("strategy == 'model'")["net_benefit"].to_numpy(), nan_ok=True)


def test_optimism_of_net_benefit_by_brute_force():
    rng, rows, counts = _drawn(seed=2)
    label, repeats, marks = rng.integers(0, 2, 40), rng.random((3, 40)), [0.2, 0.5]
    gains = []
    for own, risk in zip(rows, repeats, strict=True):
        whole = pd.DataFrame({"y": label, "p": risk})
        curves = [dca(part, "y", ["p"], thresholds=marks) for part in (whole.iloc[own], whole)]
        inside, outside = (one.loc[one["model"] == "p", "net_benefit"].to_numpy() for one in curves)
        gains.append(inside - outside)
    found = benefit_optimism(pd.DataFrame({"label": label}), repeats, counts, marks)
    assert found == pytest.approx(np.mean(gains, axis=0))
