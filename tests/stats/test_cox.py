from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from radsupport.stats.cox import fit_cox, multivariable_table, univariable_table
from radsupport.stats.regression import drop_one

FILES = Path(__file__).parents[1] / "golden" / "statistics"
COX = sorted(path.stem for path in FILES.glob("cox__*.json"))
UNIVARIABLE = sorted(path.stem for path in FILES.glob("cox_univariable__*.json"))


@pytest.mark.parametrize("case", UNIVARIABLE)
def test_univariable_table_equals_r(case, r_values, r_table, agree):
    reference = r_values(case)
    table, params, values = r_table(reference["dataset"][0]), reference["params"], reference["values"]
    found = univariable_table(table, params["time"], params["status"], params["variables"])
    found = found[~found["reference"]]
    columns = {
        "coef": "coef", "se": "se", "p": "p_wald", "hr": "hr", "ci_low": "lower", "ci_high": "upper",
    }  # fmt: skip
    for ours, theirs in columns.items():
        agree(found[ours], np.concatenate([np.atleast_1d(values[v][theirs]) for v in params["variables"]]), rtol=1e-6)
    first = found.drop_duplicates("term")
    agree(first["p_term"], [values[v]["p_lrt"] for v in params["variables"]], rtol=1e-6)
    agree(first["concordance"], [values[v]["C"] for v in params["variables"]])
    agree(first["n"], [values[v]["n"] for v in params["variables"]])
    agree(first["n_events"], [values[v]["events"] for v in params["variables"]])


@pytest.mark.parametrize("case", COX)
@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_drop_one_equals_r(case, ties, r_values, r_table, agree):
    reference = r_values(case)
    table, params = r_table(reference["dataset"][0]), reference["params"]
    found = drop_one(fit_cox(table, params["time"], params["status"], params["terms"], ties))
    expected = reference["values"][ties]["drop1_lrt"]
    assert found["term"].tolist() == expected["term"]
    assert found["df"].tolist() == expected["df"]
    agree(found["chi2"], expected["chi2"], rtol=1e-6)
    agree(found["p"], expected["p"], rtol=1e-6)
    agree(found["aic"], expected["aic_without_term"])


def test_tables_show_reference_levels_and_counts(cohort):
    table = multivariable_table(cohort, "time", "event", ["x", "g"], reference={"g": "b"})
    assert table["covariate"].tolist() == ["x", "gb", "ga", "gc"]
    base = table.set_index("covariate").loc["gb"]
    assert base["reference"]
    assert (base["hr"], base["n"]) == (1.0, (cohort.g == "b").sum())
    assert np.isnan(base["p"])
    by_level = cohort.groupby("g")["event"].sum()
    assert table.set_index("level").loc[["a", "b", "c"], "n_events"].tolist() == by_level.tolist()
    assert table["p_term"].nunique() == 2


def test_a_covariate_that_can_not_be_estimated_keeps_its_row(cohort):
    found = univariable_table(cohort.assign(one=1.0), "time", "event", ["x", "one", "b"])
    row = found.set_index("covariate").loc["one"]
    assert np.isnan(row["hr"])
    assert "same value" in row["note"]
    assert found.set_index("covariate").loc[["x", "b"], "hr"].notna().all()
