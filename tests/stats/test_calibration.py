"""Calibration against rms::val.prob, glm and hoslem.test, naive loops, and laws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from lifelines import KaplanMeierFitter
from scipy.special import expit, logit

from radsupport.errors import InputError, NotEstimableError
from radsupport.stats import calibration

GOLDEN = Path(__file__).parents[1] / "golden" / "statistics"
STEMS = sorted(f.stem for f in GOLDEN.glob("calibration__*.json"))
LOGISTIC = sorted(f.stem for f in GOLDEN.glob("logistic__*.json"))


def predicted(r_values, r_table, stem):
    reference = r_values(stem)
    table = r_table(reference["dataset"][0])
    params = reference["params"]
    return table[params["outcome"]].to_numpy(), table[params["probability"]].to_numpy(), reference["values"]


@pytest.mark.parametrize("stem", STEMS)
def test_summary_equals_r(stem, r_values, r_table):
    y, p, expected = predicted(r_values, r_table, stem)
    found = calibration.calibration_summary(y, p)
    weak, large = expected["weak_calibration_glm"], expected["calibration_in_the_large"]
    assert (found.n, found.events, found.n_infinite) == (expected["n"], expected["events"], 0)
    assert found.intercept == pytest.approx(weak["intercept"], rel=1e-6, abs=1e-9)
    assert found.slope == pytest.approx(weak["slope"], rel=1e-6)
    assert found.intercept_se == pytest.approx(weak["intercept_se"], rel=1e-6)
    assert found.slope_se == pytest.approx(weak["slope_se"], rel=1e-6)
    assert [found.slope_low, found.slope_high] == pytest.approx(weak["slope_ci95_wald"], rel=1e-6)
    assert found.intercept_in_the_large == pytest.approx(large["intercept_with_slope_fixed_1"], rel=1e-6, abs=1e-9)
    in_the_large_se = (found.in_the_large_high - found.in_the_large_low) / 2 / 1.959963984540054
    assert in_the_large_se == pytest.approx(large["se"], rel=1e-6)
    assert found.brier == pytest.approx(expected["brier"], rel=1e-9)
    assert found.brier_scaled == pytest.approx(expected["brier_scaled"], rel=1e-9)
    assert found.log_loss == pytest.approx(expected["log_loss"], rel=1e-9)
    smooth = expected["val_prob_lowess_based"]
    # The reference calls these a loose comparison; the smoother is the same, so they agree closely.
    assert found.e_max == pytest.approx(smooth["Emax"], rel=1e-9)
    assert found.e_90 == pytest.approx(smooth["E90"], rel=1e-9)
    assert found.ici == pytest.approx(smooth["Eavg"], rel=1e-9)


@pytest.mark.parametrize("stem", STEMS)
def test_hosmer_lemeshow_equals_r(stem, r_values, r_table):
    y, p, expected = predicted(r_values, r_table, stem)
    reference = expected["hosmer_lemeshow_g10_df8"]
    found = calibration.hosmer_lemeshow(y, p)
    assert (found.df, found.groups) == (reference["df"], reference["groups_formed"])
    assert found.chi2 == pytest.approx(reference["chi2"], rel=1e-9)
    assert found.p == pytest.approx(reference["p"], rel=1e-8)
    outside = calibration.hosmer_lemeshow(y, p, external=True)
    assert outside.df == expected["hosmer_lemeshow_external_df_equals_g"]["df"]
    assert outside.p == pytest.approx(expected["hosmer_lemeshow_external_df_equals_g"]["p"], rel=1e-8)


@pytest.mark.parametrize("stem", STEMS)
def test_grouped_curve_equals_r(stem, r_values, r_table):
    y, p, expected = predicted(r_values, r_table, stem)
    groups = expected["quantile_groups10"]
    found = calibration.calibration_curve(y, p, groups=10)
    assert found["n"].tolist() == groups["n"]
    assert found["events"].tolist() == groups["observed_events"]
    assert (found["predicted"] * found["n"]).to_numpy() == pytest.approx(np.array(groups["expected_events"]), rel=1e-9)
    assert ((found["ci_low"] <= found["observed"]) & (found["observed"] <= found["ci_high"])).all()


@pytest.mark.parametrize("stem", [s for s in LOGISTIC if "infert" not in s])
@pytest.mark.parametrize("groups", [10, 8])
def test_hosmer_lemeshow_of_fitted_models_equals_r(stem, groups, r_values, r_table):
    """Many predictions of these models are equal to a quantile or to each other."""
    reference = r_values(stem)
    table = r_table(reference["dataset"][0])
    rhs = reference["params"]["terms"].replace("factor(", "C(")
    fit = sm.GLM.from_formula(f"{reference['params']['outcome']} ~ {rhs}", table, family=sm.families.Binomial()).fit(
        tol=1e-12
    )
    expected = reference["values"][f"hosmer_lemeshow_g{groups}"]
    found = calibration.hosmer_lemeshow(fit.model.endog, np.asarray(fit.fittedvalues), groups)
    assert (found.groups, found.df) == (expected["groups_formed"], expected["df"])
    assert found.chi2 == pytest.approx(expected["chi2"], rel=1e-6)
    assert found.p == pytest.approx(expected["p"], rel=1e-6)


def test_ties_merge_groups_and_take_degrees_of_freedom():
    y = np.tile([0, 1, 1, 0, 0], 12)
    p = np.repeat([0.1, 0.2, 0.3, 0.4], 15)
    found = calibration.hosmer_lemeshow(y, p, groups=10)
    # Quantile cuts fall on 0.1, 0.2, 0.3, 0.4; right-closed intervals make 3 groups, the first with two levels.
    assert (found.groups, found.df) == (3, 1)
    n, observed, expected = np.array([30, 15, 15]), np.array([12, 6, 6]), np.array([4.5, 4.5, 6.0])
    chi2 = ((observed - expected) ** 2 / expected + (observed - expected) ** 2 / (n - expected)).sum()
    assert found.chi2 == pytest.approx(chi2)
    with pytest.raises(NotEstimableError, match="at least three"):
        calibration.hosmer_lemeshow(y, np.full(60, 0.4))
    with pytest.raises(NotEstimableError, match="both 0 and 1"):
        calibration.hosmer_lemeshow(np.ones(60), np.linspace(0.1, 0.9, 60))


def test_hosmer_lemeshow_with_certain_predictions():
    y = np.array([0] * 10 + [0, 1] * 10 + [1] * 10)
    p = np.concatenate([np.zeros(10), np.linspace(0.3, 0.7, 20), np.ones(10)])
    assert np.isfinite(calibration.hosmer_lemeshow(y, p, groups=4).chi2)
    wrong = np.concatenate([[1], y[1:]])
    found = calibration.hosmer_lemeshow(wrong, p, groups=8)
    assert (found.chi2, found.p) == (np.inf, 0)


def test_summary_of_degenerate_predictions():
    y = np.array([0, 0, 1, 1, 1, 0])
    constant = calibration.calibration_summary(y, np.full(6, 0.25))
    assert np.isnan([constant.intercept, constant.slope, constant.slope_low]).all()
    assert constant.intercept_in_the_large == pytest.approx(logit(0.5) - logit(0.25))
    assert constant.e_max == pytest.approx(0.25)
    separated = calibration.calibration_summary(y, np.where(y == 1, 0.9, 0.2))
    assert np.isnan([separated.intercept, separated.slope]).all()
    assert separated.brier == pytest.approx((3 * 0.01 + 3 * 0.04) / 6)
    certain = calibration.calibration_summary(y, y.astype(float))
    assert (certain.brier, certain.brier_scaled, certain.log_loss, certain.n_infinite) == (0, 1, 0, 6)
    assert np.isnan([certain.slope, certain.intercept_in_the_large]).all()
    assert calibration.calibration_summary(y, 1.0 - y).log_loss == np.inf
    three = calibration.calibration_summary([0, 1, 1], [0.4, 0.3, 0.6])
    assert np.isfinite([three.intercept, three.slope, three.e_max]).all()


def test_certain_predictions_leave_the_recalibration_as_val_prob_does(r_table):
    table = r_table("data/pred_pima_te.csv")
    y, p = table["type01"].to_numpy(), table["p_full"].to_numpy()
    without = calibration.calibration_summary(y, p)
    added = calibration.calibration_summary(np.append(y, [0, 1]), np.append(p, [0.0, 1.0]))
    assert added.n_infinite == 2
    assert added.slope == pytest.approx(without.slope, rel=1e-12)


def test_recalibration_recovers_a_known_distortion():
    rng = np.random.default_rng(2)
    truth = rng.normal(0, 1.5, 40_000)
    y = rng.random(truth.size) < expit(truth)
    found = calibration.calibration_summary(y.astype(int), expit(0.5 + 2 * truth))
    assert found.slope == pytest.approx(0.5, abs=0.02)
    assert found.intercept == pytest.approx(-0.25, abs=0.03)


@pytest.mark.parametrize("bad", [[0.1, 0.2, np.nan], [0.1, 1.2, 0.3], [0.1, 0.2]])
def test_bad_probabilities_are_refused(bad):
    y = [0, 1, 1]
    for call in (calibration.calibration_summary, calibration.hosmer_lemeshow, calibration.calibration_curve):
        with pytest.raises(InputError, match="`p`"):
            call(y, bad)
    with pytest.raises(InputError, match="method"):
        calibration.calibration_curve(y, [0.1, 0.2, 0.3], method="spline")
    with pytest.raises(InputError, match="groups"):
        calibration.calibration_curve(y, [0.1, 0.2, 0.3], groups=1)
    with pytest.raises(InputError, match="level"):
        calibration.calibration_summary(y, [0.1, 0.2, 0.3], level=1.0)


def test_smooth_curve_covers_a_calibrated_model():
    rng = np.random.default_rng(4)
    inside = []
    for _ in range(60):
        p = rng.uniform(0.05, 0.95, 300)
        curve = calibration.calibration_curve((rng.random(300) < p).astype(int), p, method="loess")
        middle = curve.iloc[50]
        inside.append(middle["ci_low"] <= middle["predicted"] <= middle["ci_high"])
        assert curve["ci_low"].min() >= 0
        assert curve["ci_high"].max() <= 1
    assert 0.85 <= np.mean(inside) <= 1
    with pytest.raises(NotEstimableError, match="vary"):
        calibration.calibration_curve([0, 1, 1], [0.3, 0.3, 0.3], method="loess")


def test_the_band_has_no_spikes_where_the_curve_reaches_0_or_1():
    p = np.linspace(0.02, 0.98, 80)
    curve = calibration.calibration_curve((p > 0.5).astype(int), p, method="loess", span=0.5)
    assert curve["observed"].min() == 0
    assert curve["observed"].max() == 1
    assert (curve["ci_low"] <= curve["observed"] + 1e-9).all()
    assert (curve["observed"] <= curve["ci_high"] + 1e-9).all()
    assert curve[["ci_low", "ci_high"]].diff().abs().max().max() < 0.1
    assert 0.01 < curve["ci_high"].iloc[10] < 0.3  # a share of 0 has an upper limit, and no limit of 1


def test_survival_curve_equals_kaplan_meier_per_group(r_table):
    table = r_table("data/pred_gbsg.csv")
    found = calibration.calibration_curve_survival(
        table["time"], table["status"], table["risk_full_1825"], horizon=1825, groups=4
    )
    group = pd.qcut(table["risk_full_1825"], 4, labels=False)
    for k, row in found.iterrows():
        part = table[group == k]
        fit = KaplanMeierFitter().fit(part["time"], part["status"])
        assert row["n"] == len(part)
        assert row["predicted"] == pytest.approx(part["risk_full_1825"].mean())
        assert row["observed"] == pytest.approx(1 - fit.predict(1825), rel=1e-9)
        assert row["ci_low"] < row["observed"] < row["ci_high"]


def test_survival_limits_equal_r(r_table, r_values):
    """One group over everybody: survival::survfit(gbsg) with conf.type log."""
    expected = r_values("km__gbsg_all")["values"]["groups"]["all"]
    table = r_table("data/gbsg.csv")
    for row, horizon in enumerate(expected["at_times"]["time"]):
        found = calibration.calibration_curve_survival(
            table["rfstime"], table["status"], np.full(len(table), 0.4), horizon=horizon
        )
        assert len(found) == 1
        assert 1 - found["observed"][0] == pytest.approx(expected["at_times"]["survival"][row], rel=1e-9)
        assert 1 - found["ci_high"][0] == pytest.approx(expected["conf_log"]["lower"][row], rel=1e-9)
        assert 1 - found["ci_low"][0] == pytest.approx(expected["conf_log"]["upper"][row], rel=1e-9)


def test_survival_horizon_must_be_reached():
    time, event, risk = [1, 2, 3, 4], [1, 0, 1, 1], [0.1, 0.2, 0.8, 0.9]
    with pytest.raises(NotEstimableError, match="horizon 5"):
        calibration.calibration_curve_survival(time, event, risk, horizon=5, groups=2)
    with pytest.raises(InputError, match="positive"):
        calibration.calibration_curve_survival(time, event, risk, horizon=0, groups=2)
    early = calibration.calibration_curve_survival(time, event, risk, horizon=2.5, groups=2)
    assert np.isnan(early["observed"][0])
    assert early["observed"][1] == 0
    censored = calibration.calibration_curve_survival(time, [0, 0, 0, 0], risk, horizon=3, groups=2)
    assert censored["observed"].tolist()[1] == 0


def test_probabilities_of_networks_do_not_overflow():
    y = np.array([0, 1, 0, 1, 1, 0, 1])
    p = np.array([1e-300, 1 - 1e-16, 1e-12, 0.4, 1e-8, 0.3, 0.9])
    found = calibration.calibration_summary(y, p)
    assert found.n_infinite == 0
    assert np.isfinite([found.intercept_in_the_large, found.slope, found.log_loss]).all()
