from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from radsupport.errors import InputError, NotEstimableError
from radsupport.stats import time_roc as module
from radsupport.stats.bootstrap import resample_counts
from radsupport.stats.time_roc import time_dependent_auc_difference, time_dependent_roc

FILES = Path(__file__).parents[1] / "golden" / "statistics"
CASES = sorted(p.stem for p in FILES.glob("timeroc__*.json") if "risk_columns" in p.read_text())
ON_EVENT = sorted(p.stem for p in FILES.glob("timeroc__*.json") if "horizon_on_event_time" in p.read_text())


def load(case, r_values, r_table):
    reference = r_values(case)
    table, params = r_table(reference["dataset"][0]), reference["params"]
    return table, (table[params["time"]], table[params["status"]]), params, reference["values"]


@pytest.mark.parametrize("case", CASES)
def test_auc_error_and_limits_equal_riskregression(case, r_values, r_table, agree):
    table, outcome, params, values = load(case, r_values, r_table)
    found = time_dependent_roc(*outcome, table[params["score"]], params["times"], interval="influence")
    agree(found.table["auc"], values["auc_riskRegression_cases_T_le_t"], rtol=1e-8)
    agree(found.table["se"], values["auc_se"], rtol=1e-8)
    agree(found.table["ci_low"], values["auc_ci95_lower"], rtol=1e-8)
    agree(found.table["ci_high"], values["auc_ci95_upper"], rtol=1e-8)
    agree(found.table["n_cases"], values["n_cases_at_times"])
    agree(found.table["n_controls"], values["n_controls_at_times"])
    for column in params["risk_columns"]:
        for i, horizon in enumerate(params["times"]):
            one = time_dependent_roc(*outcome, table[f"{column}_{horizon}"], horizon, interval="influence")
            expected = values["auc_of_risk_models"][column]
            agree(one.table.loc[0, ["auc", "se"]].astype(float), [expected["auc"][i], expected["se"][i]], rtol=1e-8)


@pytest.mark.parametrize("case", CASES)
def test_curve_equals_r(case, r_values, r_table, agree):
    table, outcome, params, values = load(case, r_values, r_table)
    expected = values["roc_curve"]
    curve = time_dependent_roc(*outcome, table[params["score"]], expected["time"], interval="none").curve
    for i, threshold in enumerate(expected["threshold"]):
        row = curve[np.isclose(curve["threshold"], threshold, rtol=1e-12)].iloc[0]
        agree(row["sensitivity"], expected["sensitivity_score_gt_threshold"][i], rtol=1e-8)
        agree(row["specificity"], expected["specificity_score_le_threshold"][i], rtol=1e-8)


@pytest.mark.parametrize("case", CASES)
def test_contrast_equals_riskregression(case, r_values, r_table, agree):
    table, outcome, _, values = load(case, r_values, r_table)
    expected = values["auc_contrast"]
    for i, horizon in enumerate(expected["times"]):
        risks = (table[f"{expected[name][i]}_{horizon}"] for name in ("model", "reference"))
        found = time_dependent_auc_difference(*outcome, *risks, horizon).iloc[0]
        agree(found[["difference", "se"]], [expected["delta"][i], expected["se"][i]], rtol=1e-8)
        agree(found[["ci_low", "ci_high", "p"]], [expected[k][i] for k in ("lower", "upper", "p")], rtol=1e-8)


@pytest.mark.parametrize("case", ON_EVENT)
def test_an_event_at_the_horizon_is_a_case(case, r_values, r_table, agree):
    table, outcome, params, values = load(case, r_values, r_table)
    data = (*outcome, table[params["score"]], params["times"])
    closed = time_dependent_roc(*data, interval="none")
    agree(closed.table["auc"], values["auc_riskRegression_cases_T_le_t"], rtol=1e-8)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(11)
    risk = np.round(rng.normal(size=90), 1)
    time, censored = rng.exponential(np.exp(-risk)), rng.exponential(2, size=90)
    return np.minimum(time, censored), (time <= censored).astype(int), risk


def test_without_censoring_it_is_the_auc_of_a_binary_outcome():
    rng = np.random.default_rng(0)
    risk = np.round(rng.normal(size=70), 1)
    time = rng.exponential(np.exp(-risk))
    found = time_dependent_roc(time, np.ones(70), risk, [0.3, 0.9], interval="none")
    assert found.table["auc"].tolist() == pytest.approx([roc_auc_score(time <= t, risk) for t in (0.3, 0.9)])


def test_the_area_under_the_curve_is_the_auc(data):
    found = time_dependent_roc(*data, 0.5, interval="none")
    curve = found.curve
    area = np.trapezoid(curve["sensitivity"][::-1], 1 - curve["specificity"][::-1])
    assert area == pytest.approx(found.table["auc"][0], abs=1e-12)
    assert curve.iloc[0, 1:].tolist() == [-np.inf, 1, 0]
    assert curve.iloc[-1, 2:].tolist() == [0, 1]


def test_indifferent_to_monotone_transforms(data):
    time, event, risk = data
    first = time_dependent_roc(time, event, risk, 0.5, interval="influence")
    second = time_dependent_roc(time**2, event, np.exp(risk), 0.25, interval="influence")
    assert second.table[["auc", "se"]].to_numpy() == pytest.approx(first.table[["auc", "se"]].to_numpy())


def test_a_resample_has_the_auc_of_its_drawn_subjects(data):
    time, event, risk = data
    counts = np.concatenate(list(resample_counts(90, 8, 2)))
    horizons = [0.3, 0.8]
    drawn_aucs = module._Scores.of(time, event, risk, horizons).resampled(counts)
    for aucs, count in zip(drawn_aucs, counts.astype(int), strict=True):
        drawn = np.repeat(np.arange(90), count)
        expected = time_dependent_roc(time[drawn], event[drawn], risk[drawn], horizons, interval="none")
        assert aucs == pytest.approx(expected.table["auc"], abs=1e-12)


def test_bootstrap_and_influence_limits_are_close(data):
    bootstrap = time_dependent_roc(*data, 0.5, n_resamples=2000, seed=1).table.iloc[0]
    influence = time_dependent_roc(*data, 0.5, interval="influence").table.iloc[0]
    assert bootstrap["ci_high"] - bootstrap["ci_low"] == pytest.approx(
        influence["ci_high"] - influence["ci_low"], rel=0.15
    )
    assert bootstrap["ci_low"] < bootstrap["auc"] < bootstrap["ci_high"]


def test_constant_risk_and_three_subjects(data):
    time, event, _ = data
    flat = time_dependent_roc(time, event, np.ones(90), 0.5, n_resamples=20).table.iloc[0]
    assert flat[["auc", "ci_low", "ci_high"]].tolist() == pytest.approx([0.5, 0.5, 0.5], abs=1e-12)
    assert flat["se"] == pytest.approx(0, abs=1e-12)
    assert time_dependent_roc([1, 2, 3], [1, 1, 1], [3, 2, 1], 1.5, interval="none").table["auc"][0] == 1


def test_horizons_without_cases_or_controls_are_all_named(data):
    with pytest.raises(NotEstimableError) as caught:
        time_dependent_roc(*data, [0, 0.5, 100])
    assert [problem.value for problem in caught.value.problems] == ["0", "100"]


def test_bad_input_is_refused(data):
    time, event, risk = data
    for options in ({"interval": "delong"}, {"level": 2}, {"n_resamples": 0}):
        with pytest.raises(InputError):
            time_dependent_roc(time, event, risk, 0.5, **options)
    with pytest.raises(InputError, match="risk"):
        time_dependent_roc(time, event, np.where(risk > 1, np.nan, risk), 0.5)
