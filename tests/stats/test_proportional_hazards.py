from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from radsupport.errors import InputError, NotEstimableError
from radsupport.stats.cox import fit_cox
from radsupport.stats.proportional_hazards import TRANSFORMS, schoenfeld_residuals, schoenfeld_test

FILES = Path(__file__).parents[1] / "golden" / "statistics"
CASES = sorted(path.stem for path in FILES.glob("cox__*.json"))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_equals_cox_zph(case, ties, r_values, r_table, agree):
    reference = r_values(case)
    table, params, values = r_table(reference["dataset"][0]), reference["params"], reference["values"][ties]
    fit = fit_cox(table, params["time"], params["status"], params["terms"], ties)
    for transform, expected in values["cox_zph"].items():
        found = schoenfeld_test(fit, transform)
        assert found["covariate"].tolist() == expected["term"]
        assert found["df"].tolist() == expected["df"]
        agree(found["chi2"], expected["chi2"], rtol=1e-6)
        agree(found["p"], expected["p"], rtol=1e-6)
    if values["cox_zph_km_each_column"]:
        found = schoenfeld_test(fit, "km", terms=False)
        assert found["covariate"].tolist() == values["cox_zph_km_each_column"]["term"]
        agree(found["chi2"], values["cox_zph_km_each_column"]["chi2"], rtol=1e-6)


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_residuals_average_to_the_coefficient(cohort, ties):
    fit = fit_cox(cohort, "time", "event", ["x", "b"], ties)
    found = schoenfeld_residuals(fit)
    assert len(found) == 2 * fit.n_events
    means = found.groupby("covariate")["residual"].mean()
    np.testing.assert_allclose(means[["x", "b"]], fit.coef, atol=1e-9)


def test_a_factor_has_one_residual_per_death_around_one(cohort):
    found = schoenfeld_residuals(fit_cox(cohort, "time", "event", ["x", "g"]), "rank")
    factor = found[found["covariate"] == "g"]
    assert len(factor) == cohort.event.sum()
    assert factor["residual"].mean() == pytest.approx(1, abs=1e-9)


def test_proportional_hazards_are_kept_and_violations_found():
    rng = np.random.default_rng(5)
    p = []
    for _ in range(100):
        x = rng.integers(0, 2, 80)
        table = pd.DataFrame({"x": x, "t": rng.exponential(np.exp(-0.7 * x)), "e": 1})
        p.append(schoenfeld_test(fit_cox(table, "t", "e", ["x"]))["p"].iloc[0])
    assert stats.kstest(p, "uniform").pvalue > 0.01
    x = rng.integers(0, 2, 400)
    crossing = pd.DataFrame({"x": x, "t": np.where(x == 1, rng.weibull(3, 400), rng.weibull(0.7, 400)), "e": 1})
    assert schoenfeld_test(fit_cox(crossing, "t", "e", ["x"]))["p"].max() < 1e-6


def test_what_can_not_be_tested_is_an_error(cohort):
    fit = fit_cox(cohort, "time", "event", ["x"])
    with pytest.raises(InputError, match="transform"):
        schoenfeld_test(fit, "sqrt")
    with pytest.raises(InputError, match="log"):
        schoenfeld_test(fit_cox(cohort.assign(time=cohort.time - 1), "time", "event", ["x"]), "log")
    with pytest.raises(InputError, match="unpenalised"):
        schoenfeld_test(fit_cox(cohort, "time", "event", ["x"], penalty="firth"))
    with pytest.raises(NotEstimableError, match="null model"):
        schoenfeld_test(fit_cox(cohort, "time", "event", []))
    together = cohort.assign(time=np.where(cohort.event == 1, 1.0, 2.0))
    for transform in TRANSFORMS:
        with pytest.raises(NotEstimableError, match="one time"):
            schoenfeld_test(fit_cox(together, "time", "event", ["x"]), transform)


def test_a_port_of_r_s_survival_gives_the_same_test():
    survival = pytest.importorskip("survival", reason="the package survival, a port of R's, is not installed")
    rng = np.random.default_rng(2)
    table = pd.DataFrame({"x": rng.normal(size=90), "z": rng.normal(size=90), "e": rng.integers(0, 2, 90)})
    table["t"] = np.ceil(rng.exponential(20 * np.exp(-0.5 * table["x"])))
    fit = survival.coxph("Surv(t, e) ~ x + z", data={name: table[name].to_numpy() for name in table})
    other = pd.DataFrame(survival.cox_zph(fit).table)
    found = schoenfeld_test(fit_cox(table, "t", "e", ["x", "z"]))
    assert found["covariate"].tolist() == other["name"].tolist()
    np.testing.assert_allclose(found[["chi2", "df", "p"]], other[["chisq", "df", "p"]], rtol=1e-6)


def test_related_covariates_can_have_a_global_statistic_above_the_sum_of_the_single_ones():
    """Grambsch and Therneau's score test with the exact information matrix, written out death by death."""
    rng = np.random.default_rng(8)
    shared = rng.normal(size=120)
    table = pd.DataFrame({"a": shared + 0.3 * rng.normal(size=120), "b": shared + 0.3 * rng.normal(size=120)})
    table["t"] = np.round(rng.exponential(20, 120), 1) + 0.1
    table["e"] = rng.random(120) < 0.7
    table.loc[table["t"] > table["t"].median(), ["a", "b"]] += [0.4, -0.4]  # the contrast turns, the sum does not
    table["e"] = table["e"].astype(int)
    fit = fit_cox(table, "t", "e", ["a", "b"])
    found = schoenfeld_test(fit, "identity").set_index("covariate")["chi2"]
    x, t, e = table[["a", "b"]].to_numpy(), table["t"].to_numpy(), table["e"].to_numpy()
    w, mean = np.exp(x @ np.asarray(fit.coef)), t[e == 1].mean()
    score, info = np.zeros(4), np.zeros((4, 4))
    for time in np.unique(t[e == 1]):
        dead, m, g = (t == time) & (e == 1), int(((t == time) & (e == 1)).sum()), time - mean
        for j in range(m):  # Efron: the j-th of m deaths at once
            weight = w * (t >= time) - j / m * w * dead
            centre = weight @ x / weight.sum()
            spread = (x * weight[:, None]).T @ x / weight.sum() - np.outer(centre, centre)
            info += np.kron([[1, g], [g, g**2]], spread)
            score[2:] += g * (x[dead].mean(0) - centre)
    rest = info[2:, 2:] - info[2:, :2] @ np.linalg.solve(info[:2, :2], info[:2, 2:])
    assert found["GLOBAL"] == pytest.approx(score[2:] @ np.linalg.solve(rest, score[2:]), rel=1e-8)
    assert found["GLOBAL"] > 1.25 * found[["a", "b"]].sum()
