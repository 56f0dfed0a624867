"""Parametric survival models against closed forms, likelihoods maximised by scipy, R's survreg by another library."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

from radsupport.errors import InputError, NotEstimableError
from radsupport.stats.parametric import FAMILIES, fit_parametric


@pytest.fixture(scope="module")
def patients():
    rng = np.random.default_rng(0)
    n = 140
    x, g = rng.normal(size=n), rng.integers(0, 2, n).astype(float)
    time, censored = rng.weibull(1.3, n) * 20 * np.exp(-0.5 * x + 0.3 * g), rng.uniform(1, 26, n)
    return np.minimum(time, censored), (time <= censored).astype(int), pd.DataFrame({"size mm": x, "grade=>2": g})


def likelihood(family, time, event, eta, shape):
    """Return the log-likelihood of times with log median or scale `eta`, by scipy's distributions."""
    frozen = {
        "Weibull": lambda: stats.weibull_min(np.exp(shape), scale=np.exp(eta)),
        "log-normal": lambda: stats.lognorm(np.exp(shape), scale=np.exp(eta)),
        "log-logistic": lambda: stats.fisk(np.exp(shape), scale=np.exp(eta)),
    }[family]()
    return float(np.where(event == 1, frozen.logpdf(time), frozen.logsf(time)).sum())


@pytest.mark.parametrize("family", FAMILIES)
def test_the_maximum_of_the_likelihood(family, patients):
    time, event, table = patients
    design = np.column_stack([np.ones(len(table)), table])

    def lost(parameters):
        return -likelihood(family, time, event, design @ parameters[:-1], parameters[-1])

    best = optimize.minimize(lost, [3, 0, 0, 0.1], method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-9})
    found = fit_parametric(time, event, table, family)
    assert found.log_likelihood == pytest.approx(-best.fun, abs=1e-5)
    assert found.aic == pytest.approx(2 * 4 + 2 * best.fun, abs=1e-5)
    assert found.table["covariate"].tolist() == ["size mm", "grade=>2"]
    assert found.table["coef"].tolist() == pytest.approx(best.x[1:3].tolist(), abs=1e-3)
    assert (found.n, found.n_events, found.n_parameters) == (140, event.sum(), 4)
    at = [0.0, 6.0, 24.0, 100.0]
    for i in (0, 5):
        one = [np.exp(likelihood(family, np.array([t]), 0, design[i] @ best.x[:3], best.x[3])) for t in at[1:]]
        assert found.survival(table.iloc[[i]], at)[0].tolist() == pytest.approx([1, *one], abs=1e-3)


def test_a_weibull_model_without_covariates_satisfies_its_closed_form(patients):
    time, event, table = patients
    found = fit_parametric(time, event, table[[]])
    curve = found.survival(table[[]].head(1), [1.0, np.e])[0]
    shape = np.log(np.log(curve[1]) / np.log(curve[0]))  # log(-log S) is a line in log t, of this slope
    scale = (np.sum(time**shape) / event.sum()) ** (1 / shape)  # the maximum, given the shape
    assert -np.log(curve[0]) == pytest.approx(scale**-shape, rel=1e-4)
    score = 1 / shape + np.log(time[event == 1]).mean() - (time**shape @ np.log(time)) / np.sum(time**shape)
    assert score == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_r_by_the_package_survival_gives_the_same(family, patients):
    survival = pytest.importorskip("survival", reason="the package survival, a port of R's, is not installed")
    time, event, table = patients
    data = {"time": time, "event": event, "x": table["size mm"].to_numpy(), "g": table["grade=>2"].to_numpy()}
    other = survival.survreg("Surv(time, event) ~ x + g", data=data, dist=family.lower().replace("-", ""))
    found = fit_parametric(time, event, table, family)
    assert found.log_likelihood == pytest.approx(other.loglik[1], abs=1e-5)
    assert found.table["coef"].tolist() == pytest.approx(list(other.coefficients)[1:], abs=1e-4)
    se = np.sqrt(np.diag(np.asarray(other.var)))[1:3]
    width = np.log(found.table["ci_high"] / found.table["ci_low"]) / 2 / stats.norm.ppf(0.975)
    assert width.tolist() == pytest.approx(se.tolist(), rel=1e-3)


def test_a_clock_that_runs_twice_as_fast_doubles_every_time(patients):
    time, event, table = patients
    for family in FAMILIES:
        one, two = (fit_parametric(factor * time, event, table, family) for factor in (1, 2))
        np.testing.assert_allclose(two.table["time_ratio"], one.table["time_ratio"], rtol=1e-3)
        assert two.log_likelihood == pytest.approx(one.log_likelihood - event.sum() * np.log(2), abs=1e-4)


def test_what_can_not_be_fitted_has_a_reason(patients):
    time, event, table = patients
    none = table.assign(rare=((event == 0) & (np.arange(len(event)) % 3 == 0)).astype(float))
    for family in FAMILIES:
        with pytest.raises(NotEstimableError, match=r"did not converge|events do not determine"):
            fit_parametric(time, event, none, family)
    with pytest.raises(NotEstimableError, match="follow-up of 0"):
        fit_parametric(np.where(np.arange(len(time)) < 2, 0, time), event, table)
    with pytest.raises(NotEstimableError):
        fit_parametric(time, 0 * event, table)
    with pytest.raises(NotEstimableError):
        fit_parametric(time, event, table.assign(same=1.0))
    with pytest.raises(InputError, match="family"):
        fit_parametric(time, event, table, "gamma")
    with pytest.raises(InputError, match="139 rows"):
        fit_parametric(time, event, table.tail(139))


@pytest.mark.parametrize("family", FAMILIES)
def test_lifelines_starts_where_it_is_told(family, patients):
    """Where this fails, lifelines no longer asks `_create_initial_point`: fits are right, but take twice as long."""
    time, event, table = patients
    (start,) = fit_parametric(time, event, table, family)._model._initial_point_dicts
    values = [value for name in sorted(start) for value in start[name]]
    assert sorted(values) == pytest.approx([0, 0, 0, np.log(time.sum() / event.sum())])
