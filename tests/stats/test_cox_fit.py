from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import optimize
from statsmodels.duration.hazard_regression import PHReg

from radsupport.errors import InputError, NotEstimableError
from radsupport.stats.cox import at_deaths, evaluate, fit_cox, risk_sets
from radsupport.stats.regression import drop_one

FILES = Path(__file__).parents[1] / "golden" / "statistics"
CASES = sorted(path.stem for path in FILES.glob("cox__*.json"))


def golden_fit(case, ties, r_values, r_table):
    reference = r_values(case)
    table, params = r_table(reference["dataset"][0]), reference["params"]
    factors = params["factors"] or []
    fit = fit_cox(table, params["time"], params["status"], params["terms"], ties, factors=factors)
    return fit, reference["values"][ties], reference


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_fit_equals_coxph(case, ties, r_values, r_table, agree):
    fit, values, reference = golden_fit(case, ties, r_values, r_table)
    assert (fit.n, fit.n_events) == (reference["values"]["n"], reference["values"]["events"])
    assert fit.table["covariate"].tolist() == values["coef_names"]
    agree(fit.table["coef"], values["coef"], rtol=1e-6)
    agree(fit.table["se"], values["se"], rtol=1e-6)
    agree(fit.table["z"], values["z"], rtol=1e-6)
    agree(fit.table["p"], values["p"], rtol=1e-6)
    agree(fit.table["hr"], values["hazard_ratio"], rtol=1e-6)
    agree(fit.table["ci_low"], values["hr_ci95_lower"], rtol=1e-6)
    agree(fit.table["ci_high"], values["hr_ci95_upper"], rtol=1e-6)
    agree(fit.covariance, values["vcov"], rtol=1e-6)
    agree([fit.log_likelihood, fit.null_log_likelihood, fit.aic], [values[k] for k in ("loglik", "loglik_null", "aic")])
    test = values["likelihood_ratio_test"]
    assert fit.lr_df == test["df"]
    agree([fit.lr_chi2, fit.lr_p], [test["chi2"], test["p"]], rtol=1e-6)
    harrell = values["harrell_concordance"]
    agree([fit.concordance, fit.concordance_se], [harrell["C"], harrell["se"]])


def test_outcome_may_be_values_instead_of_columns(cohort):
    by_name = fit_cox(cohort, "time", "event", ["x"])
    by_value = fit_cox(cohort[["x"]], cohort.time.to_numpy(), cohort.event.to_list(), ["x"])
    assert by_value.coef["x"] == by_name.coef["x"]
    with pytest.raises(InputError, match="one value per row"):
        fit_cox(cohort, cohort.time[:5], "event", ["x"])


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.sampled_from(["efron", "breslow"]))
def test_same_as_statsmodels(seed, ties):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(80, 2))
    table = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "e": rng.integers(0, 2, 80)})
    table["t"] = np.ceil(rng.exponential(10 * np.exp(-0.3 * table.a)))
    fit = fit_cox(table, "t", "e", ["a", "b"], ties)
    other = PHReg(table.t, x, status=table.e, ties=ties).fit()
    np.testing.assert_allclose(fit.coef, other.params, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(fit.table["se"], other.bse, rtol=1e-6)
    assert fit.log_likelihood == pytest.approx(other.llf, rel=1e-9)


def test_units_of_a_covariate_change_nothing_but_its_coefficient(cohort):
    fit = fit_cox(cohort, "time", "event", ["x", "b"])
    scaled = fit_cox(cohort.assign(x=1e6 + 1000 * cohort.x), "time", "event", ["x", "b"])
    assert scaled.coef["x"] * 1000 == pytest.approx(fit.coef["x"], rel=1e-9)
    assert scaled.log_likelihood == pytest.approx(fit.log_likelihood, rel=1e-12)
    np.testing.assert_allclose(scaled.table["z"], fit.table["z"], rtol=1e-8)


def test_without_ties_efron_and_breslow_agree():
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"t": rng.exponential(size=50), "e": rng.integers(0, 2, 50), "x": rng.normal(size=50)})
    fits = [fit_cox(table, "t", "e", ["x"], ties) for ties in ("efron", "breslow")]
    assert fits[0].coef["x"] == fits[1].coef["x"]
    pd.testing.assert_frame_equal(fits[0].baseline, fits[1].baseline)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from(["efron", "breslow"]))
def test_score_and_information_are_derivatives(seed, ties):
    rng = np.random.default_rng(seed)
    time, event = rng.integers(1, 6, 20).astype(float), rng.integers(0, 2, 20)
    event[0] = 1
    sets = risk_sets(time, event, ties)
    x, beta = rng.normal(size=(20, 3)), rng.normal(size=3) / 2
    _, score, information = evaluate(sets, x, beta)
    numeric = optimize.approx_fprime(beta, lambda b: evaluate(sets, x, b)[0], 1e-7)
    np.testing.assert_allclose(score, numeric, atol=1e-4)
    slopes = np.array([optimize.approx_fprime(beta, lambda b, j=j: evaluate(sets, x, b)[1][j], 1e-7) for j in range(3)])
    np.testing.assert_allclose(information, -slopes, atol=1e-4)


def test_risk_sets_by_hand():
    # times 1 (event), 2 (two events), 2 (censored), 3 (censored): Efron counts the tied deaths half at the second one
    sets = risk_sets(np.array([2.0, 1, 2, 3, 2]), np.array([1, 1, 1, 0, 0]), "efron")
    assert at_deaths(sets, np.ones(5)).tolist() == [5, 4, 3]
    sets = risk_sets(np.array([2.0, 1, 2, 3, 2]), np.array([1, 1, 1, 0, 0]), "breslow")
    assert at_deaths(sets, np.ones(5)).tolist() == [5, 4, 4]


def test_a_level_without_events_is_an_error_that_names_it_and_firth_estimates_it(cohort):
    table = cohort.assign(rare=((cohort.event == 0) & (cohort.index % 3 == 0)).astype(int))
    with pytest.raises(NotEstimableError, match="separation") as caught:
        fit_cox(table, "time", "event", ["x", "rare"])
    assert [problem.column for problem in caught.value.problems] == ["rare"]
    fit = fit_cox(table, "time", "event", ["x", "rare"], penalty="firth")
    assert fit.coef["rare"] < 0
    assert np.isfinite(fit.table[["hr", "ci_low", "ci_high"]].to_numpy()).all()


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_firth_maximises_the_penalised_likelihood(cohort, ties):
    small = cohort.head(25)
    fit = fit_cox(small, "time", "event", ["x", "b"], ties, penalty="firth")
    time, event = small.time.to_numpy(float), small.event.to_numpy()
    sets = risk_sets(time, event, ties)
    x = (fit.design.transform(small) - fit.means.to_numpy())[sets.order]

    def penalised(beta):
        value, _, information = evaluate(sets, x, beta)
        return -(value + 0.5 * np.linalg.slogdet(information)[1])

    best = optimize.minimize(penalised, np.zeros(2), method="BFGS", options={"gtol": 1e-7})
    np.testing.assert_allclose(fit.coef, best.x, atol=1e-5)
    assert fit.lr_chi2 == pytest.approx(2 * (penalised(np.zeros(2)) - best.fun), rel=1e-6)
    without = optimize.minimize(lambda b: penalised(np.r_[b, 0]), [0.0], method="BFGS", options={"gtol": 1e-7})
    assert drop_one(fit)["chi2"].iloc[1] == pytest.approx(2 * (without.fun - best.fun), rel=1e-5)
    assert fit.log_likelihood < fit_cox(small, "time", "event", ["x", "b"], ties).log_likelihood


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 1), st.integers(0, 2)), min_size=2, max_size=7))
@example([(1, 0, 0), (2, 0, 2), (3, 1, 2), (1, 0, 0), (1, 0, 2), (1, 0, 2), (2, 1, 2)])  # rounding is no information
def test_one_covariate_is_separated_where_every_death_is_extreme_in_its_risk_set(subjects):
    table = pd.DataFrame(subjects, columns=["t", "e", "x"])
    at_risk = [table[table.t >= t].x for t in table.t[table.e == 1]]
    own = table.x[table.e == 1].tolist()
    varies = any(risks.min() < risks.max() for risks in at_risk)
    extreme = [all(x == edge(risks) for x, risks in zip(own, at_risk, strict=True)) for edge in (min, max)]
    if varies and not any(extreme):
        assert np.isfinite(fit_cox(table, "t", "e", ["x"]).coef["x"])
    else:
        with pytest.raises(NotEstimableError):
            fit_cox(table, "t", "e", ["x"])


def test_heavy_tails_are_not_taken_for_separation():
    rng = np.random.default_rng(9)
    x = rng.normal(size=200)
    x[0] = 40.0
    time = rng.exponential(np.exp(-0.9 * np.minimum(x, 6)))
    table = pd.DataFrame({"x": x, "t": time, "e": 1})
    assert np.isfinite(fit_cox(table, "t", "e", ["x"]).coef["x"])


@pytest.mark.parametrize(
    ("change", "covariates", "words"),
    [
        ({"event": 0}, ["x"], "censored"),
        ({"x": 3.0}, ["x"], "same value"),
        ({"x": 1e8}, ["x"], "same value"),
        ({"twice": lambda table: 2 * table.x + 1}, ["x", "twice"], "linear combination"),
        ({"event": lambda table: (table.time == table.time.max()).astype(int)}, ["x"], "No information"),
    ],
)
def test_what_is_not_estimable_is_an_error(cohort, change, covariates, words):
    untied = cohort.assign(time=np.arange(1.0, len(cohort) + 1))
    with pytest.raises(NotEstimableError, match=words):
        fit_cox(untied.assign(**change), "time", "event", covariates)


def test_all_not_estimable_covariates_are_listed_at_once(cohort):
    table = cohort.assign(one=1.0, twice=2 * cohort.x, both=cohort.x + cohort.b)
    with pytest.raises(NotEstimableError) as caught:
        fit_cox(table, "time", "event", ["x", "one", "b", "twice", "both"])
    assert [problem.column for problem in caught.value.problems] == ["one", "twice", "both"]
    assert "(x, b)" in caught.value.problems[2].what


def test_all_events_at_one_time(cohort):
    together = cohort.assign(time=1.0)
    # R 4.2: coxph(Surv(rep(1, n), event) ~ x) is the exact conditional problem's Breslow form; check its score equation
    fit = fit_cox(together, "time", "event", ["x"], "breslow")
    weight = np.exp(fit.coef["x"] * together.x)
    assert (weight * together.x).sum() / weight.sum() == pytest.approx(together.x[together.event == 1].mean(), rel=1e-9)
    assert fit_cox(together.assign(event=1), "time", "event", ["x"]).coef["x"] == pytest.approx(0, abs=1e-12)


def test_three_subjects():
    table = pd.DataFrame({"t": [1.0, 2, 3], "e": [1, 1, 1], "x": [1.0, 3, 2]})
    fit = fit_cox(table, "t", "e", ["x"])
    b = fit.coef["x"]
    r = np.exp(b * table.x)
    score = (1 - (r * table.x).sum() / r.sum()) + (3 - (3 * r[1] + 2 * r[2]) / (r[1] + r[2]))
    assert score == pytest.approx(0, abs=1e-10)
    with pytest.raises(NotEstimableError, match="separation"):
        fit_cox(table.assign(x=[3.0, 2, 1]), "t", "e", ["x"])


def test_missing_rows_are_left_out_and_counted(cohort):
    holes = cohort.assign(x=cohort.x.where(cohort.index >= 7))
    fit = fit_cox(holes, "time", "event", ["x"])
    assert (fit.n, fit.n_missing) == (113, 7)
    assert fit.coef["x"] == fit_cox(cohort.iloc[7:], "time", "event", ["x"]).coef["x"]
    with pytest.raises(InputError, match="no row without a missing value"):
        fit_cox(cohort.assign(x=np.nan), "time", "event", ["x"])


def test_null_model(cohort):
    fit = fit_cox(cohort, "time", "event", [])
    assert (len(fit.table), fit.concordance, fit.lr_df) == (0, 0.5, 0)
    assert fit.log_likelihood == fit_cox(cohort, "time", "event", ["x"]).null_log_likelihood
    assert np.isnan(fit.lr_p)


@pytest.mark.parametrize(
    "options", [{"ties": "exact"}, {"penalty": "ridge"}, {"level": 95}, {"reference": {"g": "z"}}, {"factors": ["x"]}]
)
def test_bad_options_are_refused(cohort, options):
    if options == {"factors": ["x"]}:  # a factor with a level per subject has no information left
        with pytest.raises(NotEstimableError):
            fit_cox(cohort, "time", "event", ["x"], **options)
    else:
        with pytest.raises(InputError):
            fit_cox(cohort, "time", "event", ["g"], **options)


def test_fitting_raises_no_warnings(cohort):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit_cox(cohort, "time", "event", ["x", "b", "g"])


@pytest.mark.parametrize("gap", [1e-1, 1e-3, 1e-6])
def test_a_likelihood_without_a_maximum_is_refused_without_overflow_on_the_way(gap):
    x = np.linspace(5, 1, 12)
    x[-2] = x[-1] + gap  # ordered to the last pair, whose gap asks for ever larger coefficients
    table = pd.DataFrame({"time": np.arange(1, 13.0), "event": 1, "x": x})
    with pytest.raises(NotEstimableError, match="separation"):
        fit_cox(table, "time", "event", ["x"])
    fit = fit_cox(table, "time", "event", ["x"], penalty="firth")

    def penalised(beta):  # by the definition: one risk set after the other
        value = information = 0.0
        for k in range(len(x)):
            weight = np.exp(beta * (x[k:] - x[k:].max()))
            weight /= weight.sum()
            value += np.log(weight[0])
            information += weight @ x[k:] ** 2 - (weight @ x[k:]) ** 2
        return -value - 0.5 * np.log(information)

    best = optimize.minimize_scalar(penalised, bracket=(5.0, 10.0), options={"xtol": 1e-12})
    assert fit.coef["x"] == pytest.approx(best.x, rel=1e-5)


def test_one_pair_out_of_order_makes_it_finite():
    x = np.array([5.0, 4.0, 3.0, 2.0, 1.0, 1.001])
    table = pd.DataFrame({"time": np.arange(1, 7.0), "event": 1, "x": x})

    def lost(beta):
        return -sum(beta * x[k] - np.log(np.exp(beta * x[k:]).sum()) for k in range(6))

    best = optimize.minimize_scalar(lost, bracket=(5.0, 10.0), options={"xtol": 1e-12})
    assert fit_cox(table, "time", "event", ["x"]).coef["x"] == pytest.approx(best.x, rel=1e-5)
