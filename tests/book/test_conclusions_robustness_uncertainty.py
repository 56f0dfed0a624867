"""Sentences of chapter 09 on instability, what carries predictions, and sets."""

from __future__ import annotations

import numpy as np
import pandas as pd

from radsupport.book.conclusions import robustness as say


def moved(changed: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"mape": [0.02, 0.1], "changed": changed, "repeats": 8})


def test_how_often_and_what_is_not_repeated_is_said() -> None:
    words = say.developed("Radiomics", "Network", 10, True)
    assert words.startswith("Network is a given output")
    assert "10 bootstrap samples. So few" in words
    assert "Networks were not trained again" in words
    assert "So few" not in say.developed("Radiomics", "Radiomics", 200, False)


def test_instability_counts_patients_who_change_sides() -> None:
    words = say.unstable(moved([0.25, 0.0]), asked=10)
    assert "In 8 repeats (2 samples had too few events to fit it to)" in words
    assert "by 6.0 percentage points on average (MAPE; median 6.0, largest 10.0; n = 2)" in words
    assert "1 of 2 patients change sides" in words
    assert "in 12% of them" in words
    assert "No threshold" in say.unstable(moved([np.nan, np.nan]), 8)
    assert say.unstable(moved([0, 0]).head(0), 8) == say.steady(moved([0, 0]).head(0), "A") == ""
    assert say.steady(moved([0, 0]), "A").endswith(
        "by 6.0 percentage points on average, and by 10.0 where it is least stable."
    )


def test_net_benefit_before_and_after_its_optimism() -> None:
    table = pd.DataFrame({"threshold": [0.1, 0.3], "treat_all": [0.3, -0.1], "apparent": [0.4, 0.1]})
    assert "none at 10% and 30% on its own training patients, and at 30% once" in say.optimistic(
        table.assign(corrected=[0.2, 0.05]), "A"
    )
    assert "beats treating all or none at 10% and 30%, corrected or not" in say.optimistic(
        table.assign(corrected=table["apparent"]), "A"
    )
    assert "at none of them once" in say.optimistic(table.assign(corrected=[0.0, -0.2]), "A")


def test_the_strongest_features_and_how_steadily_they_are_chosen() -> None:
    table = pd.DataFrame({"feature": ["a", "b", "a", "c"], "contribution": [3.0, -1.0, 4.0, 2.0], "fold": [0, 0, 1, 1]})
    words = say.carried(table.assign(explainer="linear"), ["a", "c", "b"], "A")
    assert "use 3 features of A" in words
    assert "carry 100% of all contributions" in words
    assert "a in 2 of 2 folds, c in 1 of 2 folds" in words
    assert "linear explainer" in words
    deep = table.assign(explainer="linear", feature=["ct__deep_1"] * 4)
    assert "mean something else in each fold" in say.carried(deep, ["ct__deep_1"], "A", learnt_per_fold=True)
    assert "use no feature" in say.carried(table.head(0), [], "A")


def test_coverage_below_what_was_promised_is_said() -> None:
    row = {"cohort": "external", "n": 50, "events": 20, "one": 30, "both": 18, "neither": 2}
    row |= {"covered_event": 0.6, "covered_event_low": 0.4, "covered_event_high": 0.8}
    row |= {"covered_none": 0.9, "covered_none_low": 0.8, "covered_none_high": 0.97}
    row |= {"right": 0.7, "right_low": 0.5, "right_high": 0.85, "horizon": 24.0}
    (line,) = say.covered(pd.DataFrame([row]), 0.9, {"external": "Hospital B"})
    assert line.startswith("Hospital B by 24 months (n = 50, 20 events): sets hold the truth of 0.60 (0.40–0.80)")
    assert "(**less than the 90% promised**) of those with the event; 0.90 (0.80–0.97) of those without." in line
    assert "30 sets name one outcome, the right one in 0.70 (0.50–0.85) of them; 18 leave both open and 2 fit" in line
