"""Chapter 07: discrimination at fixed times, and prediction error."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd
import pytest

from radsupport.book.conclusions import survival as survival_steps
from radsupport.book.conclusions import survival as survival_steps_errors
from radsupport.evaluate import calibration as steps_errors
from radsupport.evaluate import predictions as steps_groups
from radsupport.evaluate import regression as steps_cox
from radsupport.evaluate import regression as steps_cox_data
from radsupport.evaluate import thresholds as thresholds_steps_groups
from radsupport.evaluate.probability import COVARIATES, judged_models
from radsupport.settings.study import Study
from radsupport.stats.brier import brier_score, integrated_brier
from radsupport.stats.cox import fit_cox, predict_survival
from radsupport.stats.survival_curves import kaplan_meier
from radsupport.stats.time_roc import time_dependent_roc

steps = import_module("radsupport.evaluate.discrimination")


@pytest.fixture
def rows(small_predictions: pd.DataFrame, small_study: Study) -> pd.DataFrame:
    return steps_groups.followed(small_predictions, small_study)


@pytest.fixture
def groups(rows: pd.DataFrame, small_study: Study) -> pd.DataFrame:
    return thresholds_steps_groups.in_groups(
        rows, thresholds_steps_groups.locked(thresholds_steps_groups.cut_offs(rows, small_study))
    )


def test_horizons_need_three_before_and_three_after() -> None:
    part = pd.DataFrame({"time": [1, 2, 3, 10, 11, 12.0], "event": [1, 1, 1, 0, 1, 0]})
    assert steps.usable_times(part, [2, 3, 9.5, 10, 11]) == [3.0, 9.5]


def test_auc_and_curve_agree(groups: pd.DataFrame, small_study: Study) -> None:
    table, curves = steps.auc_at_horizons(groups, small_study)
    part = groups[(groups["signature"] == "Image") & (groups["cohort"] == "external")]
    expected = time_dependent_roc(part["time"], part["event"], part["risk"], [12.0, 24.0], interval="none")
    own = table[(table["signature"] == "Image") & (table["key"] == "external")]
    np.testing.assert_allclose(own["auc"], expected.auc)
    curve = curves[(curves["signature"] == "Image") & (curves["key"] == "external") & (curves["time"] == 12.0)]
    area = np.trapezoid(curve["sensitivity"].to_numpy()[::-1], 1 - curve["specificity"].to_numpy()[::-1])
    assert area == pytest.approx(expected.auc[0], abs=0.02)
    assert len(survival_steps.roc_panels(curves)) == 4
    assert survival_steps.reversed_words(table.assign(ci_high=0.5)) == ""
    assert survival_steps.reversed_words(table.iloc[:0]) == ""
    low = table.assign(ci_high=np.where(table.index == 1, 0.4, 0.8))
    assert "for Image in Hospital A at 24 months:" in survival_steps.reversed_words(low)


def test_too_few_patients_leave_no_horizon_and_say_so(groups: pd.DataFrame, small_study: Study) -> None:
    few = groups.groupby(["signature", "cohort"], sort=False).head(4)
    table, curves = steps.auc_at_horizons(few, small_study)
    assert table.empty
    assert survival_steps.roc_panels(curves) == []
    assert steps.auc_over_time(few, small_study) == {}
    assert steps.auc_differences(few, small_study).empty
    assert "12 and 24 months in Hospital A" in steps.missing_horizons(few, small_study)
    assert steps.missing_horizons(groups, small_study) == ""


def test_differences_are_between_the_aucs(groups: pd.DataFrame, small_study: Study) -> None:
    table, _ = steps.auc_at_horizons(groups, small_study)
    areas = table.set_index(["signature", "cohort", "time"])["auc"]
    for row in steps.auc_differences(groups, small_study).to_dict("records"):
        gap = areas["Image", row["cohort"], row["time"]] - areas["Clinic", row["cohort"], row["time"]]
        assert row["difference"] == pytest.approx(gap)


def test_auc_over_time_stays_where_it_can_be_estimated(groups: pd.DataFrame, small_study: Study) -> None:
    found = steps.auc_over_time(groups, small_study)
    assert list(found) == ["Hospital A (n = 90)", "Hospital B (n = 40)"]
    for table in found.values():
        assert table["auc"].between(0, 1).all()
        assert table.groupby("signature")["time"].is_monotonic_increasing.all()


def models_of(rows: pd.DataFrame, groups: pd.DataFrame, cohort: pd.DataFrame, study: Study) -> list:
    data = steps_cox_data.cox_data(rows, cohort, study)
    fit, _ = steps_cox.multivariable(data)
    return judged_models(groups, fit, data, cohort, study)


def test_errors_are_those_of_a_cox_model_of_the_training_risk(
    rows: pd.DataFrame, groups: pd.DataFrame, small_cohort: pd.DataFrame, small_study: Study
) -> None:
    models = models_of(rows, groups, small_cohort, small_study)
    assert [(model.cohort, model.name) for model in models] == [
        (key, name) for key in ("train", "external") for name in ("Image", "Clinic", COVARIATES)
    ]
    own = groups[groups["signature"] == "Image"]
    fit = fit_cox(own[own["cohort"] == "train"], "time", "event", ["risk"])
    part = own[own["cohort"] == "external"]
    risk = 1 - predict_survival(fit, part, [12.0, 24.0]).to_numpy()
    expected = brier_score(part["time"], part["event"], risk, [12.0, 24.0], interval="none")
    table = steps_errors.horizon_errors(models, small_study)
    found = table[(table["model"] == "Image") & (table["key"] == "external")]
    np.testing.assert_allclose(found["brier"], expected["brier"])
    np.testing.assert_allclose(found["scaled"], expected["scaled"])


def test_curves_integrals_and_differences_fit_together(
    rows: pd.DataFrame, groups: pd.DataFrame, small_cohort: pd.DataFrame, small_study: Study
) -> None:
    models = models_of(rows, groups, small_cohort, small_study)
    curves = steps_errors.error_curves(models, small_study)
    assert list(curves) == ["Hospital A (n = 90)", "Hospital B (n = 40)"]
    assert curves["Hospital B (n = 40)"]["model"].unique()[0] == steps_errors.NULL
    integrated = steps_errors.integrated_errors(models, small_study)
    assert (integrated["Up to month"] == 24.0).all()
    events = groups.query("cohort == 'external' and signature == 'Image' and event == 1 and time < 24")["time"]
    part = groups.query("cohort == 'external' and signature == 'Image'")
    times = [*sorted(events.unique()), 24.0]
    risk = (
        1
        - predict_survival(
            fit_cox(groups.query("cohort == 'train' and signature == 'Image'"), "time", "event", ["risk"]), part, times
        ).to_numpy()
    )
    expected = integrated_brier(part["time"], part["event"], risk, times, interval="none").integrated_brier
    own = integrated.query("model == 'Image' and key == 'external'")["integrated Brier"].item()
    assert own == pytest.approx(expected)
    assert integrated["integrated Brier"].between(0, 0.3).all()
    differences = steps_errors.error_differences(models, small_study)
    assert differences["baseline"].eq("Clinic").all()
    assert differences["model"].tolist() == ["Image", "Image"]
    np.testing.assert_allclose(differences["difference"], differences["brier_a"] - differences["brier_b"])


def test_curves_rest_on_the_patients_that_all_models_predict(
    rows: pd.DataFrame, groups: pd.DataFrame, small_cohort: pd.DataFrame, small_study: Study
) -> None:
    assert survival_steps_errors.common_words(models_of(rows, groups, small_cohort, small_study), small_study) == ""
    small_cohort.loc[small_cohort["subject"].isin(["s100", "s101"]), "age"] = np.nan
    models = models_of(rows, groups, small_cohort, small_study)
    table = steps_errors.error_curves(models, small_study)["Hospital B (n = 38)"]
    part = groups[(groups["cohort"] == "external") & (groups["signature"] == "Image")]
    part = part[~part["subject"].isin(["s100", "s101"])]
    null = table[table["model"] == steps_errors.NULL]
    expected = brier_score(part["time"], part["event"], np.zeros((38, 25)), null["time"].to_numpy(), interval="none")
    np.testing.assert_allclose(null["brier"], expected["null"])
    assert "(38 of 40 in Hospital B)" in survival_steps_errors.common_words(models, small_study)
    sizes = steps_errors.horizon_errors(models, small_study).query("key == 'external'").groupby("model")["n"].first()
    assert sizes.to_dict() == {"Image": 40, "Clinic": 40, COVARIATES: 38}


def test_curve_and_integral_end_where_three_are_still_followed(
    rows: pd.DataFrame, groups: pd.DataFrame, small_cohort: pd.DataFrame, small_study: Study
) -> None:
    cut = groups["time"].where(groups["cohort"] == "train", groups["time"].clip(upper=20.0))
    event = groups["event"].where(cut == groups["time"], 0.0)
    short = groups.assign(time=cut, event=event)
    models = models_of(rows, short, small_cohort, small_study)
    part = short[(short["cohort"] == "external") & (short["signature"] == "Image")]
    last = part.loc[part["time"] < 20, "time"].max()  # many are followed to month 20, nobody beyond
    integrated = steps_errors.integrated_errors(models, small_study)
    assert integrated.query("key == 'external'")["Up to month"].eq(last).all()
    assert integrated.query("key == 'train'")["Up to month"].eq(24.0).all()
    curves = steps_errors.error_curves(models, small_study)
    assert curves["Hospital B (n = 40)"]["time"].max() == pytest.approx(last)
    two = [model._replace(rows=model.rows.head(2)) for model in models]
    assert steps_errors.error_curves(two, small_study) == {}
    assert steps_errors.integrated_errors(two, small_study).empty


def test_covariates_predict_only_whom_they_can(
    rows: pd.DataFrame, groups: pd.DataFrame, small_cohort: pd.DataFrame, small_study: Study
) -> None:
    spared = set(small_cohort.loc[small_cohort["stage"] == "II", "subject"])
    rows = rows.assign(event=np.where(rows["subject"].isin(spared), 0.0, rows["event"]))
    small_cohort.loc[small_cohort["subject"] == "s100", "age"] = np.nan
    models = models_of(rows, groups, small_cohort, small_study)
    outside = next(m.rows for m in models if m.cohort == "external" and m.name == COVARIATES)
    assert "s100" not in set(outside["subject"])
    assert len(outside) == 39
    assert set(outside["stage"]) == {"I or II", "III"}


def test_training_patients_are_predicted_by_fits_without_their_fold(
    rows: pd.DataFrame, groups: pd.DataFrame, small_cohort: pd.DataFrame, small_study: Study
) -> None:
    groups = groups.assign(fold=groups["subject"].str[1:].astype(int) % 5)
    models = {(m.cohort, m.name): m for m in models_of(rows, groups, small_cohort, small_study)}
    own = groups[(groups["cohort"] == "train") & (groups["signature"] == "Image")]
    inside, times = own["fold"] == 3, [12.0, 24.0]
    by_risk = 1 - predict_survival(fit_cox(own[~inside], "time", "event", ["risk"]), own[inside], times)
    np.testing.assert_allclose(models["train", "Image"].probability(own[inside], times), by_risk)
    table = own.merge(small_cohort[["subject", "age", "stage"]], on="subject")
    held, data = table["fold"] == 3, steps_cox_data.cox_data(rows, small_cohort, small_study)
    clinical = fit_cox(table[~held], "time", "event", data.covariates, reference=data.reference)
    by_covariates = 1 - predict_survival(clinical, table[held], times)
    np.testing.assert_allclose(models["train", COVARIATES].probability(table[held], times), by_covariates)


def test_who_is_the_only_one_of_a_level_is_not_predicted_by_the_others(
    rows: pd.DataFrame, groups: pd.DataFrame, small_cohort: pd.DataFrame, small_study: Study
) -> None:
    train = small_cohort["cohort"] == "train"
    lone = small_cohort.index[train & (small_cohort["stage"] == "III") & (small_cohort["event"] == 1)][0]
    others = train & (small_cohort["stage"] == "III") & (small_cohort.index != lone)
    small_cohort.loc[others, "stage"] = "II"
    models = {(m.cohort, m.name): m for m in models_of(rows, groups, small_cohort, small_study)}
    judged = models["train", COVARIATES].rows
    assert set(small_cohort.loc[train, "subject"]) - set(judged["subject"]) == {small_cohort.loc[lone, "subject"]}
    assert np.isfinite(models["train", COVARIATES].probability(judged, [12.0])).all()


@pytest.mark.parametrize("risk", [lambda own: 0.5 + 0 * own, lambda own: -own])
def test_a_risk_that_is_constant_or_ranks_backwards_gives_everybody_the_same(
    rows: pd.DataFrame, groups: pd.DataFrame, small_cohort: pd.DataFrame, small_study: Study, risk: Any
) -> None:
    changed = groups.assign(risk=risk(groups["risk"]))
    models = {(m.cohort, m.name): m for m in models_of(rows, changed, small_cohort, small_study)}
    outside = models["external", "Image"]
    train = groups[(groups["cohort"] == "train") & (groups["signature"] == "Image")]
    expected = 1 - kaplan_meier(train["time"], train["event"], [12.0]).at_times["survival"].item()
    np.testing.assert_allclose(outside.probability(outside.rows, [12.0]), expected)
