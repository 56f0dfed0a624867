"""Optimism-corrected calibration against naive loops, and what overfitting has to look like."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from lifelines import KaplanMeierFitter
from scipy.special import expit

from radsupport.errors import InputError, NotEstimableError
from radsupport.stats import calibration_corrected as calibration
from radsupport.stats.calibration import lowess
from radsupport.stats.cox import fit_cox, predict_survival


def logistic(rows):
    design = sm.add_constant(rows[["glu", "bmi", "ped", "age"]])
    return sm.GLM(rows["type01"], design, family=sm.families.Binomial()).fit()


def logistic_risk(fit, rows):
    return fit.predict(sm.add_constant(rows[["glu", "bmi", "ped", "age"]]))


def test_corrected_calibration_equals_a_naive_loop(r_table):
    table = r_table("data/pima_tr.csv")
    grid = np.array([0.1, 0.3, 0.5, 0.7])
    found = calibration.corrected_calibration(
        table, "type01", logistic, logistic_risk, n_resamples=8, seed=4, grid=grid
    )

    def smooth(risk, rows):
        smoothed = lowess(np.asarray(risk), rows["type01"].to_numpy(dtype=float))
        order = np.argsort(np.asarray(risk))
        return np.interp(grid, np.asarray(risk)[order], smoothed[order])

    rng = np.random.default_rng(4)
    optimism = []
    for _ in range(8):
        drawn = table.iloc[rng.integers(0, len(table), len(table))].reset_index(drop=True)
        fit = logistic(drawn)
        optimism.append(smooth(logistic_risk(fit, drawn), drawn) - smooth(logistic_risk(fit, table), table))
    apparent = smooth(logistic_risk(logistic(table), table), table)
    assert found["apparent"].to_numpy() == pytest.approx(apparent)
    assert found["optimism"].to_numpy() == pytest.approx(np.mean(optimism, axis=0))
    assert found["corrected"].to_numpy() == pytest.approx(apparent - np.mean(optimism, axis=0))
    assert (found["n_resamples"] == 8).all()


def test_correction_shows_overfitting_and_leaves_a_fixed_model_alone():
    rng = np.random.default_rng(8)
    noise = pd.DataFrame(rng.normal(size=(60, 12)))
    noise["y"] = (rng.random(60) < 0.5).astype(int)

    def refit(rows):
        return sm.GLM(rows["y"], sm.add_constant(rows[list(range(12))]), family=sm.families.Binomial()).fit_regularized(
            alpha=1e-3, L1_wt=0.0
        )

    def predict(fit, rows):
        return fit.predict(sm.add_constant(rows[list(range(12))]))

    found = calibration.corrected_calibration(noise, "y", refit, predict, n_resamples=25, seed=1)
    assert len(found) == 50
    # An overfitted model is too extreme: corrected risks are drawn towards the prevalence at both ends.
    assert found["corrected"].iloc[0] > found["apparent"].iloc[0]
    assert found["corrected"].iloc[-1] < found["apparent"].iloc[-1]
    again = calibration.corrected_calibration(noise, "y", refit, predict, n_resamples=25, seed=1)
    pd.testing.assert_frame_equal(found, again)

    fixed = calibration.corrected_calibration(
        noise, "y", lambda rows: None, lambda _, rows: expit(rows[0]), n_resamples=150, seed=1
    )
    assert abs(fixed["optimism"]).max() < 0.04


def test_a_resample_that_can_not_be_fitted_is_counted(r_table):
    table = r_table("data/pima_tr.csv")
    calls = {"n": 0}

    def fragile(rows):
        calls["n"] += 1
        if calls["n"] % 3 == 0:
            raise NotEstimableError("no fit")
        return logistic(rows)

    found = calibration.corrected_calibration(table, "type01", fragile, logistic_risk, n_resamples=6, seed=0)
    assert found["n_resamples"].max() == 4

    def broken(rows):
        if rows.equals(table):
            return logistic(rows)
        raise NotEstimableError("no fit")

    with pytest.raises(NotEstimableError, match="none of 3"):
        calibration.corrected_calibration(table, "type01", broken, logistic_risk, n_resamples=3, seed=0)
    with pytest.raises(InputError, match="no column"):
        calibration.corrected_calibration(table, "absent", logistic, logistic_risk)
    with pytest.raises(InputError, match="predict"):
        calibration.corrected_calibration(table, "type01", logistic, lambda fit, rows: 2 * logistic_risk(fit, rows))
    with pytest.raises(InputError, match="n_resamples"):
        calibration.corrected_calibration(table, "type01", logistic, logistic_risk, n_resamples=0)
    with pytest.raises(NotEstimableError, match="too few"):
        calibration.corrected_calibration(
            table.head(10), "type01", lambda rows: None, lambda _, rows: np.linspace(0.1, 0.9, len(rows))
        )


def test_corrected_survival_calibration_equals_a_naive_loop(r_table):
    table = r_table("data/pred_gbsg.csv").head(250)

    def refit(rows):
        return rows["lp_full"].mean()

    def predict(centre, rows):
        return 1 - np.exp(-0.5 * np.exp(rows["lp_full"] - centre))

    found = calibration.corrected_calibration_survival(
        table, "time", "status", 1500, refit, predict, groups=3, n_resamples=5, seed=2
    )
    risk = predict(refit(table), table).to_numpy()
    cuts = np.quantile(np.append(risk, [0, 1]), [0, 1 / 3, 2 / 3, 1])

    def error(values, rows):
        group = np.searchsorted(cuts, values, side="left") - 1
        gaps = []
        for k in range(3):
            part = rows[group == k]
            fit = KaplanMeierFitter().fit(part["time"], part["status"])
            gaps.append(1 - fit.predict(1500) - values[group == k].mean())
        return np.array(gaps)

    rng = np.random.default_rng(2)
    optimism = []
    for _ in range(5):
        drawn = table.iloc[rng.integers(0, 250, 250)].reset_index(drop=True)
        centre = refit(drawn)
        inside, outside = predict(centre, drawn).to_numpy(), predict(centre, table).to_numpy()
        optimism.append(error(inside, drawn) - error(outside, table))
    assert found["optimism"].to_numpy() == pytest.approx(np.mean(optimism, axis=0))
    assert (found["apparent"] - found["predicted"]).to_numpy() == pytest.approx(error(risk, table))
    assert (found["corrected"] + found["optimism"]).to_numpy() == pytest.approx(found["apparent"].to_numpy())
    assert found["n"].sum() == 250


def test_survival_calibration_needs_events_and_a_horizon(r_table):
    table = r_table("data/pred_gbsg.csv").head(40)
    few = table.assign(status=[1] * 3 + [0] * 37)
    model = (lambda rows: None, lambda _, rows: rows["risk_full_1825"])
    with pytest.raises(NotEstimableError, match="at least 5"):
        calibration.corrected_calibration_survival(few, "time", "status", 300, *model)
    with pytest.raises(NotEstimableError, match="horizon"):
        calibration.corrected_calibration_survival(table, "time", "status", 1e6, *model)
    with pytest.raises(InputError, match="groups"):
        calibration.corrected_calibration_survival(table, "time", "status", 300, *model, groups=0)
    with pytest.raises(NotEstimableError, match="censored"):
        calibration.corrected_calibration_survival(table.assign(status=0), "time", "status", 300, *model)


def test_a_cox_model_is_corrected_at_its_horizon(r_table):
    """The refit and predict pair of the package's own Cox regression; noise covariates make it optimistic."""
    rng = np.random.default_rng(0)
    table = r_table("data/gbsg.csv").head(150)[["rfstime", "status", "nodes", "pgr"]]
    noise = [f"noise{i}" for i in range(10)]
    table[noise] = rng.normal(size=(150, 10))

    def refit(rows):
        return fit_cox(rows, "rfstime", "status", ["nodes", "pgr", *noise])

    def predict(fit, rows):
        return 1 - predict_survival(fit, rows, [1000]).to_numpy()[:, 0]

    found = calibration.corrected_calibration_survival(
        table, "rfstime", "status", 1000, refit, predict, groups=3, n_resamples=15, seed=3
    )
    assert found["n_resamples"].min() >= 10
    # Overfitting: the risk observed in the lowest group is understated, in the highest overstated.
    assert found["optimism"].iloc[0] < 0 < found["optimism"].iloc[-1]
    assert found["log_se"].between(0, 1).all()
