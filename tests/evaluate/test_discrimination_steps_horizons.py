"""Prediction error of signatures and of the covariates: scores, curves, integrals, and probabilities behind them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd
import pytest

from radsupport.evaluate import groups as in_groups
from radsupport.evaluate import judged, regression, threshold
from radsupport.evaluate.predictions import SURVIVAL
from radsupport.evaluate.probability import COVARIATES, judged_models
from radsupport.settings.study import Study
from radsupport.stats.brier import brier_score, integrated_brier
from radsupport.stats.cox import fit_cox, predict_survival
from radsupport.stats.survival_curves import kaplan_meier

steps_errors = import_module("radsupport.evaluate.calibration")


@pytest.fixture
def rows(small_predictions: pd.DataFrame) -> pd.DataFrame:
    return judged(small_predictions, SURVIVAL, ["Image", "Clinic"])


@pytest.fixture
def groups(rows: pd.DataFrame) -> pd.DataFrame:
    return in_groups(rows, threshold(rows, "median")).astype({"signature": str, "cohort": str})


def models_of(rows: pd.DataFrame, groups: pd.DataFrame, cohort: pd.DataFrame, study: Study) -> list:
    data = regression.cox_data(rows[rows["signature"] == "Image"], cohort, study.survival.covariates)
    fit, _ = regression.multivariable(data)
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
    small_cohort.loc[small_cohort["subject"].isin(["s100", "s101"]), "age"] = np.nan
    models = models_of(rows, groups, small_cohort, small_study)
    table = steps_errors.error_curves(models, small_study)["Hospital B (n = 38)"]
    part = groups[(groups["cohort"] == "external") & (groups["signature"] == "Image")]
    part = part[~part["subject"].isin(["s100", "s101"])]
    null = table[table["model"] == steps_errors.NULL]
    expected = brier_score(part["time"], part["event"], np.zeros((38, 25)), null["time"].to_numpy(), interval="none")
    np.testing.assert_allclose(null["brier"], expected["null"])
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
    held = table["fold"] == 3
    data = regression.cox_data(rows[rows["signature"] == "Image"], small_cohort, small_study.survival.covariates)
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
