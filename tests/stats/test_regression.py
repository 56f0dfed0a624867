from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from radsupport.errors import InputError
from radsupport.stats.cox import fit_cox
from radsupport.stats.logistic import fit_logistic
from radsupport.stats.regression import backward_aic

FILES = Path(__file__).parents[1] / "golden" / "statistics"
CASES = sorted(path.stem for path in FILES.glob("stepwise__*.json"))


def full_fit(table, params):
    factors = params.get("factors") or []
    if params["model"] == "cox":
        return fit_cox(table, params["time"], params["status"], params["variables"], factors=factors)
    return fit_logistic(table, params["outcome"], params["variables"], factors=factors)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", ["backward", "backward_bic"])
def test_path_and_fit_equal_stepaic(case, name, r_values, r_table, agree):
    reference = r_values(case)
    params, values = reference["params"], reference["values"]
    fit = full_fit(r_table(reference["dataset"][0]), params)
    key = next(key for key in values if key == name or (name == "backward_bic" and key.startswith(name)))
    weight = {"backward_bic_k_log_n": np.log(fit.n), "backward_bic_k_log_events": np.log(fit.n_events)}
    found = backward_aic(fit, k=weight.get(key, 2.0))
    expected = values[key]
    assert found.path["change"].tolist() == expected["steps"]
    assert found.terms == expected["final_terms"]
    assert found.fit.table["covariate"].tolist() == expected["coef_names"]
    agree(found.path["aic"], expected["aic_path"])
    agree(found.fit.aic, expected["final_aic"])
    agree(found.fit.table["coef"], expected["coef"], rtol=1e-6)


def test_all_terms_may_go(cohort):
    found = backward_aic(fit_cox(cohort, "time", "event", ["noise"]), k=50)
    assert found.terms == []
    assert found.fit.concordance == 0.5
    assert found.path["n_terms"].tolist() == [1, 0]


def test_the_rows_of_the_full_model_are_kept(cohort):
    holes = cohort.assign(noise=cohort.noise.where(cohort.index > 10))
    found = backward_aic(fit_cox(holes, "time", "event", ["x", "noise"]), k=20)
    assert "noise" not in found.terms
    assert found.fit.n == 109


def test_bad_arguments_are_refused(cohort):
    fit = fit_cox(cohort, "time", "event", ["x"])
    with pytest.raises(InputError, match="k"):
        backward_aic(fit, k=-1)
