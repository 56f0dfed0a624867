"""Cox, concordance, proportional hazards and log-rank on lung1's real table against R's survival package.

The table is read as the study reads it, on all 421 patients; R read the same file by itself, in days
(`tests/golden/statistics/lung1.R`). Tolerances are relative: 1e-9 where no iteration is involved, else 1e-6.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from radsupport.data.open import read_feature_study
from radsupport.stats.concordance import concordance
from radsupport.stats.cox import CoxFit, fit_cox
from radsupport.stats.logrank import log_rank
from radsupport.stats.proportional_hazards import schoenfeld_test
from radsupport.stats.regression import settled
from radsupport.study import load_study

MODELS = ("clinical", "radiomics", "combined")
TRANSFORMS = ("km", "identity", "rank", "log")


@pytest.fixture(scope="module")
def reference(r_values: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    return r_values("lung1")


@pytest.fixture(scope="module")
def patients(root: Path, shared: Path, reference: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Cohort table and the features of R's models, all 421 patients."""
    project = tmp_path_factory.mktemp("project")
    (project / "data_manifest.csv").write_bytes((root / "data_manifest.csv").read_bytes())
    (project / "data").mkdir()
    (project / "data" / "lung1").symlink_to(shared / "real")
    tables = read_feature_study(load_study("lung1", folder=root / "studies"), project)
    wanted = {f"ct__{name}": short for short, name in reference["features"].items()}
    features = tables.features["radiomics"][["subject", *wanted]].rename(columns=wanted)
    clinical = tables.cohort.drop(columns=list(wanted.values()), errors="ignore")
    return clinical.merge(features, on="subject", validate="one_to_one")


@pytest.fixture(scope="module")
def fits(patients: pd.DataFrame, reference: dict[str, Any]) -> dict[str, CoxFit]:
    return {name: fit_cox(patients, "time", "event", values["terms"]) for name, values in reference["models"].items()}


def test_the_same_patients(patients, reference):
    assert (len(patients), patients["event"].sum()) == (reference["rows"], reference["events"])
    assert set(reference["models"]) == set(MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_cox_equals_coxph(name, fits, reference, agree):
    fit, expected = fits[name], reference["models"][name]
    assert (fit.n, fit.n_events) == (expected["n"], expected["events"])
    assert fit.coef.index.tolist() == expected["coef_names"]
    found = fit.table[fit.table["coef"].notna()].set_index("covariate").loc[expected["coef_names"]]
    for ours, theirs in {
        "coef": "coef",
        "se": "se",
        "p": "p",
        "ci_low": "hr_ci_lower",
        "ci_high": "hr_ci_upper",
    }.items():
        agree(found[ours], expected[theirs], rtol=1e-6)
    agree(fit.null_log_likelihood, expected["loglik_null"])
    agree(fit.log_likelihood, expected["loglik"])
    agree(fit.lr_chi2, expected["likelihood_ratio"], rtol=1e-6)
    agree(fit.lr_p, expected["likelihood_ratio_p"], rtol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_concordance_equals_r(name, fits, reference, agree):
    fit, expected = fits[name], reference["models"][name]
    agree([fit.concordance, fit.concordance_se], [expected["concordance"][key] for key in ("C", "se")])
    risk = settled(fit.linear_predictor(fit.data))  # equal covariates, equal risks
    uno = concordance(fit.data["time"], fit.data["event"], risk, tau=36.0, weight="n/G2")
    agree([uno.concordance, uno.se], [expected["uno_36_months"][key] for key in ("C", "se")])


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("name", MODELS)
def test_proportional_hazards_equal_cox_zph(name, transform, fits, reference, agree):
    found, expected = schoenfeld_test(fits[name], transform), reference["models"][name]["cox_zph"][transform]
    assert found["covariate"].tolist() == expected["term"]
    assert found["df"].tolist() == expected["df"]
    agree(found["chi2"], expected["chi2"], rtol=1e-6)
    agree(found["p"], expected["p"], rtol=1e-6)


def _equal_to_survdiff(found, expected, agree) -> None:
    assert found.df == expected["df"]
    agree([found.chi2, found.p], [expected["chi2"], expected["p"]])


@pytest.mark.parametrize("name", MODELS)
def test_log_rank_of_the_risk_groups_equals_survdiff(name, fits, reference, agree):
    data, risk = fits[name].data, fits[name].linear_predictor(fits[name].data)
    group = pd.Categorical(np.where(risk > np.median(risk), "high", "low"), ["low", "high"])
    expected = reference["models"][name]["log_rank_risk_groups"]
    _equal_to_survdiff(log_rank(data["time"], data["event"], group), expected, agree)


@pytest.mark.parametrize("column", ["sex", "stage", "n_stage"])
def test_log_rank_by_stage_and_sex_equals_survdiff(column, patients, reference, agree):
    known = patients.dropna(subset=[column])
    found = log_rank(known["time"], known["event"], known[column].cat.remove_unused_categories())
    _equal_to_survdiff(found, reference["log_rank"][column], agree)
