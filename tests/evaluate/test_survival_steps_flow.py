"""Chapter 07: flows between groups, chosen features by group, published numbers and words."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from radsupport.book.conclusions import survival as steps_guide
from radsupport.book.conclusions import survival as survival_steps
from radsupport.evaluate import predictions as steps_groups
from radsupport.evaluate import survival as steps
from radsupport.evaluate import survival as steps_curves
from radsupport.evaluate import thresholds as thresholds_steps_groups
from radsupport.settings.study import Study
from radsupport.tables import write_table

steps_ratios = import_module("radsupport.evaluate.discrimination")


@pytest.fixture
def groups(small_predictions: pd.DataFrame, small_study: Study) -> pd.DataFrame:
    rows = steps_groups.followed(small_predictions, small_study)
    return thresholds_steps_groups.in_groups(
        rows, thresholds_steps_groups.locked(thresholds_steps_groups.cut_offs(rows, small_study))
    )


def with_heat(study: Study) -> Study:
    return study.model_copy(update={"survival": study.survival.model_copy(update={"heat_map": 2})})


def test_flows_keep_every_patient_at_every_station(
    groups: pd.DataFrame, small_cohort: pd.DataFrame, small_study: Study
) -> None:
    small_cohort.loc[0, "stage"] = np.nan
    found = steps.flow_tables(groups, small_cohort, small_study, "Image")
    assert list(found) == ["Hospital A (n = 90)", "Hospital B (n = 40)"]
    table = found["Hospital A (n = 90)"]
    assert table["n"].sum() == 90 * 3
    assert table.loc[table["target"] == "Stage: not known", "n"].sum() == 1
    events = groups[(groups["signature"] == "Image") & (groups["cohort"] == "train")]["event"].sum()
    assert table.loc[table["target"] == "death", "n"].sum() == events
    assert set(table.loc[table["source"].astype(str).str.startswith("Stage"), "target"]) == {"early", "late"}
    assert (
        survival_steps.flow_words(small_study) == "risk group → whether a death was seen → Stage → recurrence in time"
    )


def test_named_pools_stand_for_their_cohorts(groups: pd.DataFrame, small_study: Study) -> None:
    survival = small_study.survival.model_copy(update={"pooled": {"Both": ["train", "external"]}})
    named = small_study.model_copy(update={"survival": survival})
    own = groups[groups["signature"] == "Image"]
    assert [name for name, _ in steps.places(own, named)] == ["Both, pooled (n = 130)"]


def test_no_chosen_features_are_said_not_drawn(groups: pd.DataFrame, small_study: Study, tmp_path: Path) -> None:
    assert steps.heat_tables(groups, small_study, tmp_path, "Image") == {}
    assert "no chosen features" in survival_steps.no_heat_words(small_study, "Image")
    assert steps.heat_tables(groups, with_heat(small_study), tmp_path, "Image") == {}
    assert "Chapter 05 left no table" in survival_steps.no_heat_words(with_heat(small_study), "Image")


def test_heat_map_holds_the_weightiest_features_in_training_units(
    groups: pd.DataFrame, small_cohort: pd.DataFrame, small_study: Study, tmp_path: Path
) -> None:
    study, rng = with_heat(small_study), np.random.default_rng(0)
    features = pd.DataFrame(rng.normal(5, 2, (130, 3)), columns=["ct__a", "ct__b", "ct__c"])
    write_table(features.assign(subject=small_cohort["subject"]), "features_radiomics", tmp_path)
    chosen = {"signature": "Image", "feature": ["ct__a", "ct__b", "ct__c"], "coefficient": [0.1, -2.0, 0.5]}
    pd.DataFrame(chosen).to_csv(tmp_path / "chosen_features.csv", index=False)
    pd.DataFrame({"signature": "Image", "feature": ["ct__a"], "share": [1.0]}).to_csv(
        tmp_path / "stability.csv", index=False
    )
    assert steps.chosen_features(study, tmp_path, "Image")["feature"].tolist() == ["ct__b", "ct__c"]
    found = steps.heat_tables(groups, study, tmp_path, "Image")
    table = found["Hospital A (n = 90)"]
    assert list(table["feature"].unique()) == ["ct: b", "ct: c"]
    by_feature = table.groupby("feature")["value"]
    np.testing.assert_allclose(by_feature.mean(), 0, atol=1e-12)
    np.testing.assert_allclose(by_feature.std(), 1)
    first = table[table["feature"] == "ct: b"]
    own = groups[(groups["signature"] == "Image") & (groups["cohort"] == "train")].sort_values("risk")
    assert first["subject"].tolist() == own["subject"].tolist()


class Numbers(SimpleNamespace):
    """Stands for a chapter: keeps what is published."""

    def publish(self, key: str, value: Any, *, n: Any = None, ci: Any = None) -> None:
        self.found[key] = (value, n, ci)


def test_numbers_are_published_by_signature_and_cohort(groups: pd.DataFrame, small_study: Study) -> None:
    chapter: Any = Numbers(found={})
    spared = groups.assign(event=np.where(groups["group"] == "low risk", 0.0, groups["event"]))
    summary, comparison = (f(spared, small_study) for f in (steps_curves.group_summary, steps_curves.group_comparison))
    c_index, ratios = steps_ratios.concordances(groups, small_study), steps_ratios.hazard_ratios(groups, small_study)
    locked = pd.Series({"Image": 0.5, "Clinic": np.nan})
    steps_guide.publish_cut_offs(chapter, locked, groups)
    steps_guide.publish_groups(chapter, comparison, summary)
    steps_guide.publish_ratios(chapter, ratios, c_index)
    found = chapter.found
    assert found["cut_off_Image"][0] == 0.5
    assert "cut_off_Clinic" not in found
    assert found["median_low_risk_train_Image"] == ("not reached", found["n_high_train_Image"][1] - _high(groups), None)
    assert found["logrank_p_pooled_Image"][1] == 130
    assert found["hr_external_Image"][2][0] < found["hr_external_Image"][0] < found["hr_external_Image"][2][1]
    assert found["harrell_c_train_Clinic"][1] == 90
    assert found["restricted_mean_high_risk_external_Image"][0] > 0


def _high(groups: pd.DataFrame) -> int:
    own = groups[(groups["signature"] == "Image") & (groups["cohort"] == "train")]
    return int((own["group"] == "high risk").sum())


def test_coefficients_are_published_by_term_and_level() -> None:
    chapter: Any = Numbers(found={})
    rows = {"term": ["age", "sex", "sex"], "level": ["", "f", "m"], "reference": [False, True, False]}
    table = pd.DataFrame(rows | {"hr": [1.1, 1.0, 2.0], "ci_low": [1.0, np.nan, 1.5], "ci_high": [1.2, np.nan, 3.0]})
    steps_guide.publish_coefficients(chapter, table.assign(n=[30, 12, 18]), "alone", "hr", {"age": "Age"})
    # n is that of the model, not of the level
    assert chapter.found == {"hr_alone_Age": (1.1, 30, (1.0, 1.2)), "hr_alone_sex_m": (2.0, 30, (1.5, 3.0))}


def test_reading_names_every_cohort(groups: pd.DataFrame, small_study: Study) -> None:
    comparison, c_index = (
        steps_curves.group_comparison(groups, small_study),
        steps_ratios.concordances(groups, small_study),
    )
    words = steps_guide.survival_reading(groups, comparison, c_index, small_study)
    assert "- Hospital A:" in words
    assert "the others are the test" in words
    survival = small_study.survival
    for rule, said in (("median", 0), ("max_logrank", 1)):
        study = small_study.model_copy(update={"survival": survival.model_copy(update={"threshold": rule})})
        assert steps_guide.survival_reading(groups, comparison, c_index, study).count("searched here") == said
    only = groups[groups["cohort"] == "train"]
    assert "no other cohort" in steps_guide.survival_reading(only, comparison, c_index, small_study)
