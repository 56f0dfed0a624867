"""The model of a nomogram in other cohorts, logistic and Cox."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from radsupport import nomogram
from radsupport.learning.locked import Translation
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


def locked(model: Any, table: pd.DataFrame) -> tuple[pd.DataFrame, Translation, pd.DataFrame]:
    """Return a fitted model as a locked signature: predictions, its translation, and what each predictor adds."""
    rows = table[table["cohort"] != "train"]
    fit, wanted = model.fit, ["subject", "cohort", *model.outcome]
    risk = fit.linear_predictor(rows)
    if len(model.outcome) == 2:
        steps = fit.baseline
        told = Translation(slope=1.0, times=list(steps["time"]), hazard=list(steps["cumulative_hazard"]),
                           end=float(table.loc[table["cohort"] == "train", "time"].max()))  # fmt: skip
    else:
        told = Translation(slope=1.0)
    parts = pd.DataFrame(fit.design.transform(rows) * fit.coef.to_numpy(), rows["subject"])
    return rows[wanted].assign(signature="Image", risk=risk), told, parts


@pytest.mark.parametrize("outcome", [("label",), ("time", "event")])
def test_a_locked_model_has_the_updates_of_the_one_it_was_written_from(outcome: tuple[str, ...]) -> None:
    table = cohorts(shift=0.5)
    model = nomogram.models(table, ["signature_1"], ["age"], outcome=outcome)["nomogram"]
    rows, told, parts = locked(model, table)
    found = nomogram.locked_updates(rows, {"Image": told}, {"Image": parts}, outcome)
    expected = nomogram.updates(model, table)
    columns = ["method", "parameters", "intercept", "slope", "chi2", "df", "p", "chosen", "needed"]
    pd.testing.assert_frame_equal(found[columns], expected[columns], check_dtype=False, rtol=1e-5)
    assert found["not_refitted"].isna().all()


def test_a_learner_is_recalibrated_only_and_few_events_refit_nothing() -> None:
    table = cohorts(shift=1.2)
    model = nomogram.models(table, ["signature_1"], ["age"], outcome=("label",))["nomogram"]
    rows, told, parts = locked(model, table)
    found = nomogram.locked_updates(rows, {"Image": told}, {}, ("label",))
    assert found["method"].tolist() == ["as it is", "in the large", "recalibrated"]
    assert found.set_index("method")["chosen"].to_dict()["in the large"]
    assert found["not_refitted"].unique().tolist() == ["it is no sum whose weights could be fitted"]
    wide = parts.assign(**{f"noise {i}": 0.1 for i in range(98)})
    few = nomogram.locked_updates(rows, {"Image": told}, {"Image": wide}, ("label",))
    assert few["not_refitted"].iloc[0] == ("its 100 weights and intercept would ask for 505 events, 5 for each")
    as_given = rows.assign(risk=1 / (1 + np.exp(-rows["risk"])))
    bent = nomogram.locked_updates(as_given, {"Image": Translation(slope=1.0)}, {"Image": parts}, ("label",))
    assert bent["not_refitted"].iloc[0] == "its risk is not in proportion to its sum"
    none = nomogram.locked_updates(rows, {}, {}, ("label",))
    assert none["note"].tolist() == ["nothing in the model's file turns its risk into a probability"]
    alone = nomogram.locked_updates(rows.groupby("label").head(3), {"Image": told}, {}, ("label",))
    assert alone["note"].tolist() == ["fewer than 5 patients on either side"]
    nobody = nomogram.locked_updates(rows.assign(label=np.nan), {"Image": told}, {}, ("label",))
    assert "nobody" in nobody.attrs["empty"]
