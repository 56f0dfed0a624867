"""Decision curves against the reference's net benefit, dcurves, and laws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from dcurves import dca
from hypothesis import given, settings
from hypothesis import strategies as st

from radsupport.errors import InputError, NotEstimableError
from radsupport.stats.usefulness import net_benefit, net_benefit_survival

GOLDEN = Path(__file__).parents[1] / "golden" / "statistics"
BINARY = sorted(f.stem for f in GOLDEN.glob("dca_binary__*.json"))
SURVIVAL = sorted(f.stem for f in GOLDEN.glob("dca_survival__*.json"))


def curve(found, strategy, column="net_benefit"):
    return found.loc[found["strategy"] == strategy, column].to_numpy(dtype=float)


def reference(values):
    return np.array([np.nan if v is None or v == "NaN" else v for v in values], dtype=float)


def compare(found, expected, models):
    for name in models:
        assert curve(found, name) == pytest.approx(
            reference(expected["models"][name]["net_benefit"]), rel=1e-9, abs=1e-12, nan_ok=True
        )
        avoided = reference(expected["models"][name]["net_interventions_avoided_per_100"]) / 100
        assert curve(found, name, "interventions_avoided") == pytest.approx(avoided, rel=1e-9, abs=1e-12, nan_ok=True)
    for name in ("treat_all", "treat_none"):
        assert curve(found, name) == pytest.approx(reference(expected[name]["net_benefit"]), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("stem", BINARY)
def test_binary_equals_reference(stem, r_values, r_table):
    ref = r_values(stem)
    table, params, expected = r_table(ref["dataset"][0]), ref["params"], ref["values"]
    y, models = table[params["outcome"]], params["models"]
    compare(net_benefit(y, table[models], expected["thresholds"]), expected, models)
    single = net_benefit(y, table[models[0]], expected["thresholds"])
    assert single["strategy"].unique().tolist() == ["model", "treat_all", "treat_none"]
    assert curve(single, "model") == pytest.approx(reference(expected["models"][models[0]]["net_benefit"]), rel=1e-9)


@pytest.mark.parametrize("stem", SURVIVAL)
def test_survival_equals_reference(stem, r_values, r_table):
    ref = r_values(stem)
    table, params, expected = r_table(ref["dataset"][0]), ref["params"], ref["values"]
    time, event, models = table[params["time"]], table[params["status"]], params["models"]
    risks = {name: table[name] for name in models}
    compare(net_benefit_survival(time, event, risks, params["horizon"], expected["thresholds"]), expected, models)


def test_survival_equals_dcurves_with_many_ties():
    rng = np.random.default_rng(3)
    table = pd.DataFrame(
        {"t": rng.integers(1, 20, 150), "e": rng.integers(0, 2, 150), "risk": rng.random(150).round(1)}
    )
    marks = np.arange(0.05, 0.9, 0.05)
    for horizon in (1, 7, 12.5, 19):
        theirs = dca(table, "e", ["risk"], thresholds=marks, time=horizon, time_to_outcome_col="t")
        ours = net_benefit_survival(table["t"], table["e"], table["risk"], horizon, marks)
        for strategy, name in (("model", "risk"), ("treat_all", "all"), ("treat_none", "none")):
            expected = theirs.loc[theirs["model"] == name, "net_benefit"].to_numpy(dtype=float)
            assert curve(ours, strategy) == pytest.approx(expected, rel=1e-9, abs=1e-12, nan_ok=True)


def test_without_censoring_survival_is_binary():
    rng = np.random.default_rng(4)
    time, risk = rng.exponential(5, 80), rng.random(80)
    marks = [0.1, 0.3, 0.6]
    survival = net_benefit_survival(time, np.ones(80), risk, 4, marks)
    binary = net_benefit((time <= 4).astype(int), risk, marks)
    known = survival["net_benefit"].notna().to_numpy()
    assert survival.loc[known, "net_benefit"].to_numpy() == pytest.approx(binary.loc[known, "net_benefit"].to_numpy())


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 10)), min_size=4, max_size=30), st.integers(1, 19))
@settings(max_examples=50, deadline=None)
def test_laws_of_net_benefit(rows, twentieth):
    y = np.array([int(case) for case, _ in rows])
    if y.min() == y.max():
        y[0] = 1 - y[0]
    p, mark = np.array([score / 10 for _, score in rows]), twentieth / 20
    found = net_benefit(y, p, [mark]).set_index("strategy")
    odds = mark / (1 - mark)
    treated = p >= mark
    expected = (treated & (y == 1)).mean() - (treated & (y == 0)).mean() * odds
    assert found.loc["model", "net_benefit"] == pytest.approx(expected, abs=1e-12)
    assert found.loc["treat_none", "net_benefit"] == 0
    assert found.loc["treat_all", "net_benefit"] == pytest.approx(y.mean() - (1 - y.mean()) * odds)
    gained = (found.loc["model", "net_benefit"] - found.loc["treat_all", "net_benefit"]) / odds
    assert found.loc["model", "interventions_avoided"] == pytest.approx(gained, abs=1e-12)
    assert found.loc["model", "net_benefit"] <= y.mean() + 1e-12
    perfect = net_benefit(y, y.astype(float), [mark]).set_index("strategy").loc["model", "net_benefit"]
    assert perfect == pytest.approx(y.mean())


def test_edges():
    at_zero = net_benefit([0, 1, 1], [0.2, 0.3, 0.9], [0.0, 0.5])
    assert np.isnan(at_zero.loc[at_zero["threshold"] == 0, "interventions_avoided"]).all()
    assert curve(at_zero, "treat_all")[0] == pytest.approx(2 / 3)
    nobody = net_benefit_survival([1, 2, 3], [1, 0, 1], [0.1, 0.1, 0.1], 2, 0.5)
    assert curve(nobody, "model") == [0]
    left_early = net_benefit_survival([1, 2, 9], [1, 0, 1], [0.9, 0.9, 0.1], 5, [0.5])
    assert np.isnan(curve(left_early, "model")).all()
    censored = net_benefit_survival([4, 5, 6], [0, 0, 0], [0.9, 0.2, 0.1], 4, [0.5])
    assert curve(censored, "model") == pytest.approx([-1 / 3])
    constant = net_benefit([0, 1], [0.4, 0.4], [0.4, 0.41])
    assert curve(constant, "model").tolist() == pytest.approx([0.5 - 0.5 * 0.4 / 0.6, 0])
    unsorted = net_benefit([0, 1, 1], [0.2, 0.3, 0.9], [0.5, 0.1, 0.5])
    assert len(unsorted) == 9


def test_bad_input_is_refused():
    y, p = [0, 1, 1], [0.1, 0.5, 0.6]
    for marks in ([0.1, 1.0], [-0.1], [np.nan], []):
        with pytest.raises(InputError, match="thresholds"):
            net_benefit(y, p, marks)
    with pytest.raises(InputError, match="treat_all"):
        net_benefit(y, {"treat_all": p}, [0.2])
    with pytest.raises(InputError, match="nothing"):
        net_benefit(y, {}, [0.2])
    with pytest.raises(InputError, match="between 0 and 1"):
        net_benefit(y, {"all": [1, 2, 3]}, [0.2])
    with pytest.raises(NotEstimableError, match="both 0 and 1"):
        net_benefit([1, 1, 1], p, [0.2])
    with pytest.raises(NotEstimableError, match="horizon"):
        net_benefit_survival([1, 2, 3], [1, 0, 1], p, 4, [0.2])
    with pytest.raises(InputError, match="missing or infinite"):
        net_benefit_survival([1, 2, 3], [1, 0, 1], [0.1, np.nan, 0.2], 2, [0.2])
    assert set(net_benefit(y, {"all": p, "none": p}, [0.2])["strategy"]) == {"all", "none", "treat_all", "treat_none"}
