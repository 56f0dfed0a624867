"""Values on another scale than in training: factors, offsets, standardised columns; another hospital is none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from radsupport.stats.shift import FAR, OUTSIDE, WIDE, on_another_scale, shift, shifts


def features(n: int, seed: int, move: float = 0.0) -> pd.DataFrame:
    """Return columns as features are: HU, volumes with a long tail, textures, and one around 0."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "mean_hu": rng.normal(60 + 12 * move, 15, n),
            "volume": rng.lognormal(8 + move, 1, n),
            "entropy": rng.normal(3 + 0.3 * move, 0.4, n),
            "skewness": rng.normal(0.3 * move, 0.5, n),
            "coarseness": rng.lognormal(-6, 0.7, n),
        }
    )


CHANGES = {
    "times 10": lambda x: x * 10,
    "a tenth": lambda x: x / 10,
    "standardised": lambda x: (x - x.mean()) / x.std(),
    "HU from 1024": lambda x: x.assign(mean_hu=x["mean_hu"] + 1024),
}


@pytest.mark.parametrize("name", list(CHANGES))
@pytest.mark.parametrize("n", [18, 200])
def test_another_scale_raises_the_alarm_of_the_cohort(name: str, n: int) -> None:
    train, other = features(80, 1), features(n, 2)
    both = pd.concat([train, CHANGES[name](other)], ignore_index=True)
    cohort = pd.Series(["train"] * 80 + ["external"] * n)
    found = shifts(both, cohort)
    assert "external" in on_another_scale(found)
    assert found["alarm"].sum() >= {"HU from 1024": 1, "standardised": 4}.get(name, 5)
    turned = pd.concat([CHANGES[name](train), other], ignore_index=True)
    assert "external" in on_another_scale(shifts(turned, cohort))


def test_another_hospital_is_no_other_scale() -> None:
    """No law: of 1 500 such hospitals 6 raise the alarm (0.4%), where long-tailed volumes are e times as small 5%."""
    cohort, moves = pd.Series(["train"] * 80 + ["external"] * 40), np.random.default_rng(0).uniform(-1, 1, 100)
    raised = 0
    for seed, move in enumerate(moves):
        both = pd.concat([features(80, seed), features(40, seed + 1, move)], ignore_index=True)
        raised += bool(on_another_scale(shifts(both, cohort)))
    assert raised == 0


def test_numbers_of_a_column_are_those_of_the_hand() -> None:
    a, b = pd.DataFrame({"x": [1.0, 2, 3, 4, 5, 6]}), pd.DataFrame({"x": [0.0, 4, 8, 12, 16, np.nan]})
    row = shift(a, b).iloc[0]
    sd = np.sqrt((np.var([1, 2, 3, 4, 5, 6], ddof=1) + np.var([0, 4, 8, 12, 16], ddof=1)) / 2)
    assert row[["n_train", "n", "outside"]].tolist() == [6, 5, 0.8]
    assert row["smd"] == pytest.approx((8 - 3.5) / sd)
    assert row["spread"] == pytest.approx(8 / 2.5)
    assert bool(row["alarm"]) == (abs(row["smd"]) >= FAR or row["spread"] >= WIDE or row["outside"] >= OUTSIDE)


def test_few_values_constants_and_no_other_cohort() -> None:
    train = pd.DataFrame({"x": np.arange(20.0), "same": 1.0, "text": "a"})
    far = pd.DataFrame({"x": [500.0] * 4, "same": [1.0] * 4, "text": "b"})
    assert not shift(train, far)["alarm"].any()
    found = shift(train, pd.concat([far, far]).assign(same=2.0)).set_index("column")
    assert found.loc["x", "alarm"]
    assert found.loc["same", "smd"] == np.inf
    assert found.loc["same", "alarm"]
    assert not found.loc["text", "alarm"]
    assert shifts(train, pd.Series(["train"] * 20)).empty
    assert shifts(far, pd.Series(["external"] * 4)).empty


def test_two_values_have_no_scale_by_their_spread_but_by_their_range() -> None:
    train = pd.DataFrame({"stage": [0.0] * 28 + [1.0] * 12})  # quartiles 0 and 1
    other = pd.DataFrame({"stage": [0.0] * 30 + [1.0] * 8})  # both quartiles 0: fewer with stage 1, no other scale
    row = shift(train, other).iloc[0]
    assert row["spread"] == 0
    assert not row["alarm"]
    assert shift(train, 100 * other + 2)["alarm"].iloc[0]
