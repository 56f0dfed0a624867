"""The model of a nomogram in other cohorts, logistic and Cox."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from radsupport import nomogram
from radsupport.stats.cox import cumulative_hazard
from radsupport.stats.sample_size import for_binary, overall_risk_binary


def cohorts(n: int = 400, shift: float = 0.0, seed: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"subject": [f"P{i}" for i in range(2 * n)], "cohort": ["train"] * n + ["external_north"] * n})
    table["signature_1"], table["age"] = rng.normal(size=2 * n), rng.normal(60, 10, 2 * n)
    lp = table["signature_1"] + 0.03 * (table["age"] - 60) + np.where(table["cohort"] == "train", 0, shift)
    table["label"] = rng.binomial(1, 1 / (1 + np.exp(-lp)))
    time, end = rng.exponential(20 * np.exp(-lp)), rng.uniform(5, 40, 2 * n)
    return table.assign(time=np.minimum(time, end), event=(time <= end).astype(int))


@pytest.mark.parametrize("outcome", [("label",), ("time", "event")])
@pytest.mark.parametrize(("shift", "chosen"), [(0.0, "as it is"), (1.2, "in the large")])
def test_the_update_follows_what_was_planted(outcome: tuple[str, ...], shift: float, chosen: str) -> None:
    table = cohorts(shift=shift)
    model = nomogram.models(table, ["signature_1"], ["age"], outcome=outcome)["nomogram"]
    found = nomogram.updates(model, table)
    assert set(found["cohort"]) == {"external_north"}
    taken = found[found["chosen"].astype(bool)].iloc[0]
    assert taken["method"] == chosen
    assert found["parameters"].tolist() == [0, 1, 2, 3]
    if outcome == ("label",):
        share = table.loc[table["cohort"] != "train", "label"].mean()
        assert found["needed"].tolist() == [
            0,
            overall_risk_binary(share),
            *(for_binary(k, share).required for k in (2, 3)),
        ]


def test_the_level_of_a_cox_model_is_observed_over_expected() -> None:
    table = cohorts(shift=0.5)
    model = nomogram.models(table, ["signature_1"], ["age"], outcome=("time", "event"))["nomogram"]
    found = nomogram.updates(model, table).set_index("method")
    rows = table[table["cohort"] != "train"]
    last = table.loc[table["cohort"] == "train", "time"].max()
    until = np.minimum(rows["time"], last)
    hazard = cumulative_hazard(model.fit, until)
    first = model.fit.baseline.iloc[0]
    hazard = np.where(until < first["time"], first["cumulative_hazard"] * until / first["time"], hazard)
    expected = hazard * np.exp(model.fit.linear_predictor(rows))
    observed = rows.loc[rows["time"] <= last, "event"].sum()
    assert found.loc["in the large", "intercept"] == pytest.approx(np.log(observed / expected.sum()), abs=1e-6)


def test_a_cohort_that_can_not_be_refitted_keeps_its_reason() -> None:
    table = cohorts(60)
    model = nomogram.models(table, ["signature_1"], ["age"], outcome=("label",))["nomogram"]
    alone = pd.concat([table[table["cohort"] == "train"], table[table["cohort"] != "train"].head(2)])
    assert nomogram.updates(model, alone)["note"].notna().all()
    few = table[(table["cohort"] == "train") | (table.groupby(["cohort", "label"]).cumcount() < 4)]
    assert nomogram.updates(model, few)["note"].tolist() == ["fewer than 5 patients on either side"]
    timed = table.assign(time=table["label"] + 10.0, event=table["label"])
    few = timed[(timed["cohort"] == "train") | (timed.groupby(["cohort", "label"]).cumcount() < 4)]
    cox = nomogram.models(timed, ["signature_1"], ["age"], outcome=("time", "event"))["nomogram"]
    assert nomogram.updates(cox, few)["note"].tolist() == ["fewer than 5 events or 10 patients"]
    nobody = nomogram.updates(model, table[table["cohort"] == "train"])
    assert nobody.empty
    assert "no cohort beside training" in nobody.attrs["empty"]
