from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from radsupport.errors import InputError
from radsupport.stats.cox import (
    cumulative_hazard,
    fit_cox,
    predict_survival,
)
from radsupport.stats.survival_curves import kaplan_meier

FILES = Path(__file__).parents[1] / "golden" / "statistics"
CASES = sorted(path.stem for path in FILES.glob("cox__*.json"))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_prediction_and_residuals_equal_r(case, ties, r_values, r_table, agree):
    reference = r_values(case)
    table, params, values = r_table(reference["dataset"][0]), reference["params"], reference["values"][ties]
    fit = fit_cox(table, params["time"], params["status"], params["terms"], ties)
    expected = values["predicted_survival"]
    rows = fit.data.iloc[np.array(expected["subject_rows_1based_of_complete_cases"]) - 1]
    agree(predict_survival(fit, rows, expected["times"]), expected["survival_default_survfit"], rtol=1e-6)
    zero = values["cumulative_baseline_hazard_all_covariates_zero"]
    agree(cumulative_hazard(fit, zero["times"]) * np.exp(-fit.means @ fit.coef), zero["H0"], rtol=1e-6)
    agree(
        fit.linear_predictor(fit.data.head(5), centred=False), values["linear_predictor_first5"]["reference_zero"], 1e-6
    )


def test_survival_is_a_step_function_that_ends_with_follow_up(cohort):
    fit = fit_cox(cohort, "time", "event", ["x"])
    events = np.sort(cohort.time[cohort.event == 1].unique())
    between = (events[3] + events[4]) / 2
    found = predict_survival(fit, cohort.head(2), [0, events[3], between, cohort.time.max(), cohort.time.max() + 1])
    assert (found.iloc[:, 0] == 1).all()
    assert found.iloc[:, 1].equals(found.iloc[:, 2].rename(found.columns[1]))
    assert found.iloc[:, 3].notna().all()
    assert found.iloc[:, 4].isna().all()
    assert found.index.equals(cohort.head(2).index)


def test_without_covariates_breslow_is_the_exponential_of_nelson_aalen(cohort):
    fit = fit_cox(cohort, "time", "event", [], "breslow")
    curve = kaplan_meier(cohort.time, cohort.event).curve
    nelson = np.cumsum(curve["n_event"] / curve["n_risk"])
    found = predict_survival(fit, cohort.head(1), curve["time"])
    np.testing.assert_allclose(found.iloc[0], np.exp(-nelson), rtol=1e-12)


def test_rows_that_do_not_fit_the_model_are_refused_with_all_reasons(cohort):
    fit = fit_cox(cohort, "time", "event", ["x", "g"])
    with pytest.raises(InputError) as caught:
        predict_survival(fit, cohort.head(2).assign(x=np.nan, g="new"), [1])
    assert {problem.column for problem in caught.value.problems} == {"x", "g"}
    with pytest.raises(InputError, match="missing"):
        predict_survival(fit, cohort[["x"]], [1])
    with pytest.raises(InputError, match="negative"):
        predict_survival(fit, cohort.head(1), [-1])


def test_a_level_absent_from_the_training_fold_is_an_error_at_prediction(cohort):
    fold = cohort[cohort.g != "c"]
    fit = fit_cox(fold, "time", "event", ["x", "g"])
    with pytest.raises(InputError, match="level the model does not know"):
        predict_survival(fit, cohort[cohort.g == "c"], [1])


def test_who_lies_beyond_any_hazard_has_no_event_before_the_first_and_one_at_it(cohort):
    fit = fit_cox(cohort, "time", "event", ["x"])
    far = cohort.head(1).assign(x=np.sign(fit.coef["x"]) * 1e6)
    first = fit.baseline["time"].iloc[0]
    assert predict_survival(fit, far, [first / 2, first]).to_numpy().tolist() == [[1.0, 0.0]]
