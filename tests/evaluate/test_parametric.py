"""Parametric models beside the Cox model: same patients and folds, failures as rows, distances worked out again."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from radsupport.errors import NotEstimableError
from radsupport.evaluate import judged, lock, parametric, regression
from radsupport.evaluate.regression import COVARIATES
from radsupport.stats.parametric import FAMILIES, fit_parametric
from radsupport.stats.survival_curves import kaplan_meier

SURVIVAL = ("time", "event")


@pytest.fixture
def both(small_cohort: pd.DataFrame, small_predictions: pd.DataFrame) -> tuple[pd.DataFrame, dict, object]:
    rows = judged(small_predictions, SURVIVAL, ["Image"])
    rows = rows.assign(fold=rows["subject"].str[1:].astype(int) % 2)
    data = regression.cox_data(rows, small_cohort, ["age", "stage"])
    fit, _ = regression.multivariable(data)
    return *regression.with_covariates(rows, lock(rows, SURVIVAL), data, fit, small_cohort), fit


def test_each_family_is_fitted_to_the_patients_of_the_cox_model(both) -> None:
    fit = both[2]
    table = parametric.families(fit)
    assert table["model"].tolist() == [*FAMILIES, COVARIATES]
    assert table["n"].eq(fit.n).all()
    assert table["parameters"].tolist() == [5, 5, 5, 3]  # age, two levels of stage; intercept and shape
    coded = pd.DataFrame(fit.design.transform(fit.data))
    own = fit_parametric(fit.data["time"], fit.data["event"], coded, "log-normal")
    assert table.set_index("model").loc["log-normal", "aic"] == pytest.approx(own.aic)
    assert np.isnan(table["aic"].iloc[-1])
    assert "partial likelihood" in table["note"].iloc[-1]


def test_predictions_are_out_of_fold_in_training_and_compared_with_the_cox_model(both) -> None:
    rows, models, _ = both
    table = parametric.beside_cox(rows, models, [12.0]).set_index(["cohort", "signature"])
    assert {name for _, name in table.index} == {COVARIATES, *FAMILIES}
    cox = models[COVARIATES]
    own = rows[(rows["signature"] == COVARIATES) & (rows["cohort"] == "train")]
    expected = pd.Series(np.nan, own.index)
    for number, without in cox.without.items():
        held = own["subject"].map(cox.folds) == number
        coded = [pd.DataFrame(without.design.transform(part)) for part in (without.data, own[held])]
        model = fit_parametric(without.data["time"], without.data["event"], coded[0], "Weibull")
        expected[held] = 1 - model.survival(coded[1], [12.0])[:, 0]
    row = table.loc[("train", "Weibull")]
    assert row["predicted"] == pytest.approx(expected.mean())
    km = kaplan_meier(own["time"], own["event"], 12.0).at_times["survival"].iloc[0]
    assert row["observed"] == pytest.approx(1 - km)
    gap = np.abs(expected - cox.probability(own, [12.0])[:, 0])
    assert [row["mean_apart"], row["most_apart"]] == pytest.approx([gap.mean(), gap.max()])
    assert table.loc[("train", COVARIATES), "most_apart"] == 0
    assert row["c_index_low"] < row["c_index"] < row["c_index_high"]
    assert row["of"] == row["n"] == len(own)


def test_all_models_are_judged_in_the_patients_whom_each_of_them_predicts(both, monkeypatch) -> None:
    rows, models, _ = both
    calls, fit = [], parametric.fit_parametric

    def without_one_fold(time, event, covariates, family):
        calls.append(family)
        if calls.count("log-normal") == 2 and family == "log-normal":  # the first is of the whole training cohort
            raise NotEstimableError("no convergence")
        return fit(time, event, covariates, family)

    monkeypatch.setattr(parametric, "fit_parametric", without_one_fold)
    table = parametric.beside_cox(rows, models, [12.0]).set_index(["cohort", "signature"])
    lost = next(iter(models[COVARIATES].without))
    own = rows[(rows["signature"] == COVARIATES) & (rows["cohort"] == "train")]
    left = own[own["subject"].map(models[COVARIATES].folds) != lost]
    assert table.loc["train", "n"].tolist() == [len(left)] * 4
    assert set(table.loc["external", "n"]) == {40}
    expected = models[COVARIATES].probability(left, [12.0]).mean()
    assert table.loc[("train", COVARIATES), "predicted"] == pytest.approx(expected)


def test_what_can_not_be_fitted_is_a_row_with_a_reason(both, small_cohort: pd.DataFrame) -> None:
    rows, models, fit = both
    fit.data.loc[fit.data.index[0], "time"] = 0.0  # no parametric model allows for it, a Cox model does
    table = parametric.families(fit)
    assert table["aic"].isna().all()
    assert table["note"].str.contains("follow-up of 0").tolist() == [True, True, True, False]
    assert set(parametric.beside_cox(rows, models, [12.0])["signature"]) == {COVARIATES}
    assert "no Cox model" in parametric.families(None).attrs["empty"]
    assert parametric.beside_cox(rows[rows["signature"] != COVARIATES], {}, [12.0]).empty
