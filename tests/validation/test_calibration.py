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
from radsupport.survival.cox import fit_cox, predict_survival
from radsupport.validation import calibration
from radsupport.validation.smoothing import loess, lowess

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


def test_lowess_takes_means_where_windows_have_no_width():
    y = np.array([0, 1, 1, 0, 1, 0, 1, 1, 1, 0.0])
    assert lowess(np.full(10, 0.3), y) == pytest.approx(np.full(10, 0.6))
    mostly = np.array([0.3] * 9 + [0.8])
    assert lowess(mostly, y)[:9] == pytest.approx(np.full(9, y[:9].mean()))
    assert lowess(np.array([0.2, 0.4]), np.array([0.0, 1.0])) == pytest.approx([0, 1])
    shuffled = np.random.default_rng(0).permutation(10)
    x = np.linspace(0, 1, 10) ** 2
    assert lowess(x[shuffled], y[shuffled]) == pytest.approx(lowess(x, y)[shuffled])


def test_smoothers_reproduce_their_own_polynomials():
    x = np.sort(np.random.default_rng(1).random(60))
    assert lowess(x, 2 - 3 * x) == pytest.approx(2 - 3 * x)
    at = np.linspace(x[0], x[-1], 7)
    fitted, operator = loess(x, 1 - x + 4 * x**2, at)
    assert fitted == pytest.approx(1 - at + 4 * at**2)
    assert operator.sum(axis=1) == pytest.approx(np.ones(7))


def test_loess_equals_a_weighted_regression_by_definition():
    rng = np.random.default_rng(3)
    x, centre = rng.random(40), 0.37
    y = (rng.random(40) < x).astype(float)
    reach = np.sort(np.abs(x - centre))[int(0.75 * 40) - 1]
    weights = np.clip(1 - (np.abs(x - centre) / reach) ** 3, 0, None) ** 3
    fit = sm.WLS(y, np.vander(x - centre, 3), weights=weights).fit()
    assert loess(x, y, np.array([centre]))[0][0] == pytest.approx(fit.params[-1], rel=1e-9)


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


def test_probabilities_of_networks_do_not_overflow():
    y = np.array([0, 1, 0, 1, 1, 0, 1])
    p = np.array([1e-300, 1 - 1e-16, 1e-12, 0.4, 1e-8, 0.3, 0.9])
    found = calibration.calibration_summary(y, p)
    assert found.n_infinite == 0
    assert np.isfinite([found.intercept_in_the_large, found.slope, found.log_loss]).all()
