from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from radsupport.errors import InputError, NotEstimableError
from radsupport.stats import brier as module
from radsupport.stats.bootstrap import resample_counts
from radsupport.stats.brier import brier_difference, brier_score, integrated_brier
from radsupport.stats.cox import fit_cox, predict_survival
from radsupport.stats.survival_curves import kaplan_meier

FILES = Path(__file__).parents[1] / "golden" / "statistics"
SCORES = sorted(p.stem for p in FILES.glob("timeroc__*.json") if "risk_columns" in p.read_text())
INTEGRATED = sorted(path.stem for path in FILES.glob("brier_integrated__*.json"))


def load(case, r_values, r_table):
    reference = r_values(case)
    table, params = r_table(reference["dataset"][0]), reference["params"]
    return table, (table[params["time"]], table[params["status"]]), params, reference["values"]


@pytest.mark.parametrize("case", SCORES)
def test_score_error_and_limits_equal_riskregression(case, r_values, r_table, agree):
    table, outcome, params, values = load(case, r_values, r_table)
    times = params["times"]
    for column in params["risk_columns"]:
        risks = table[[f"{column}_{horizon}" for horizon in times]]
        found = brier_score(*outcome, risks, times, interval="influence")
        for name, theirs in {"brier": "brier", "se": "se", "ci_low": "lower", "ci_high": "upper"}.items():
            agree(found[name], [values["brier"][column][str(t)][theirs] for t in times], rtol=1e-8)
        agree(found["null"], [values["brier"]["Null_model"][str(t)]["brier"] for t in times], rtol=1e-8)


@pytest.mark.parametrize("case", SCORES)
def test_contrasts_equal_riskregression(case, r_values, r_table, agree):
    table, outcome, _, values = load(case, r_values, r_table)
    expected = values["brier_contrast"]

    def risk(model, horizon):
        null = 1 - kaplan_meier(*outcome, horizon).at_times["survival"].item()
        return np.full(len(table), null) if model == "Null model" else table[f"{model}_{horizon}"]

    for i, horizon in enumerate(expected["times"]):
        risks = (risk(expected[name][i], horizon) for name in ("model", "reference"))
        found = brier_difference(*outcome, *risks, horizon).iloc[0]
        agree(found["difference"], expected["delta"][i], rtol=1e-8)
        agree(found["p"], expected["p"][i], rtol=1e-7)


@pytest.mark.parametrize("case", INTEGRATED)
def test_prediction_error_curve_and_integral_equal_pec(case, r_values, r_table, agree):
    table, outcome, params, values = load(case, r_values, r_table)
    fit = fit_cox(table, params["time"], params["status"], params["terms"])
    grid = values["grid"]
    risks = 1 - predict_survival(fit, table, grid)
    curve = brier_score(*outcome, risks, grid, interval="none")
    agree(curve["brier"], values["brier_cox_pec"], rtol=1e-8)
    agree(curve["null"], values["brier_null_km_pec"], rtol=1e-8)
    found, expected = integrated_brier(*outcome, risks, grid, interval="none"), values["ibs_pec_crps"]
    agree([found.integrated_brier, found.null], [expected["cox"], expected["null"]], rtol=1e-8)
    later = integrated_brier(*outcome, risks.iloc[:, 1:], grid[1:], interval="influence")
    agree(later.integrated_brier, values["ibs_riskRegression_at_last_time"]["cox"], rtol=1e-8)
    assert later.ci_low < later.integrated_brier < later.ci_high


def test_without_censoring_it_is_the_mean_squared_error():
    rng = np.random.default_rng(0)
    time, risk = rng.exponential(size=40), rng.uniform(size=40)
    found = brier_score(time, np.ones(40), risk, 0.7, interval="influence")
    error = (risk - (time <= 0.7)) ** 2
    assert found["brier"].item() == pytest.approx(error.mean(), rel=1e-12)
    assert found["se"].item() == pytest.approx(error.std(ddof=1) / np.sqrt(40), rel=1e-12)


def test_perfect_predictions_have_no_error():
    time = np.array([1.0, 2, 3, 4])
    risks = (time[:, None] <= np.array([1.5, 3.5])).astype(float)
    assert brier_score(time, np.ones(4), risks, [1.5, 3.5], interval="none")["brier"].tolist() == [0, 0]
    assert integrated_brier(time, np.ones(4), risks, [1.5, 3.5], interval="none").integrated_brier == 0


def test_a_resample_has_the_score_of_its_drawn_subjects(cohort):
    time, event = cohort.time.to_numpy(), cohort.event.to_numpy()
    risks = np.random.default_rng(4).uniform(size=(len(cohort), 2))
    times = [5.0, 12.0]
    counts = np.concatenate(list(resample_counts(len(cohort), 6, 3)))
    scores = module._Errors.of(time, event, risks, times).resampled(counts)
    for score, count in zip(scores, counts.astype(int), strict=True):
        drawn = np.repeat(np.arange(len(cohort)), count)
        expected = brier_score(time[drawn], event[drawn], risks[drawn], times, interval="none")
        assert score == pytest.approx(expected["brier"].to_numpy(), abs=1e-12)


def test_bootstrap_is_the_default_and_near_the_influence_function(cohort):
    risk = np.full(len(cohort), 0.3)
    bootstrap = brier_score(cohort.time, cohort.event, risk, 5, seed=1).iloc[0]
    influence = brier_score(cohort.time, cohort.event, risk, 5, interval="influence").iloc[0]
    assert bootstrap["ci_high"] - bootstrap["ci_low"] == pytest.approx(
        influence["ci_high"] - influence["ci_low"], rel=0.15
    )
    assert brier_score(cohort.time, cohort.event, risk, 5, seed=1).equals(
        brier_score(cohort.time, cohort.event, risk, 5, seed=1)
    )


def test_all_censored_counts_the_controls(cohort):
    found = brier_score(cohort.time, 0 * cohort.event, np.full(len(cohort), 0.2), 1.5, n_resamples=20).iloc[0]
    assert found["n_cases"] == 0
    assert np.isnan(found["scaled"])


@pytest.mark.parametrize("bad", [1.2, -0.1, np.nan])
def test_risks_must_be_probabilities(bad):
    with pytest.raises(InputError, match="probabilities"):
        brier_score([1, 2, 3], [1, 1, 0], [0.1, bad, 0.3], 1.5)


def test_shapes_times_and_choices_are_checked():
    outcome = ([1, 2, 3], [1, 1, 0])
    with pytest.raises(InputError, match="shape"):
        brier_score(*outcome, [0.1, 0.2, 0.3], [1, 2])
    with pytest.raises(NotEstimableError, match="last time is 3"):
        brier_score(*outcome, [0.1, 0.2, 0.3], 4)
    with pytest.raises(InputError, match="ascending"):
        integrated_brier(*outcome, [[0.1, 0.1]] * 3, [2, 1])
    with pytest.raises(InputError, match="interval"):
        brier_score(*outcome, [0.1, 0.2, 0.3], 1, interval="wald")
