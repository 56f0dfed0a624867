from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, special
from statsmodels.discrete.discrete_model import Logit

from radsupport.errors import InputError, NotEstimableError
from radsupport.stats.logistic import fit_logistic, multivariable_table, univariable_table
from radsupport.stats.regression import drop_one

FILES = Path(__file__).parents[1] / "golden" / "statistics"
CASES = sorted(path.stem for path in FILES.glob("logistic__*.json"))
UNIVARIABLE = sorted(path.stem for path in FILES.glob("logistic_univariable__*.json"))


def agree(actual, expected, rtol=1e-6):
    np.testing.assert_allclose(np.asarray(actual, float), np.asarray(expected, float), rtol=rtol)


def golden_fit(case, r_values, r_table, **options):
    reference = r_values(case)
    table, params = r_table(reference["dataset"][0]), reference["params"]
    return fit_logistic(table, params["outcome"], params["terms"], **options), reference["values"]


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    rng = np.random.default_rng(6)
    x, g = rng.normal(size=150), rng.choice(["a", "b", "c"], 150)
    y = (rng.uniform(size=150) < special.expit(0.8 * x - 0.5 + (g == "b"))).astype(int)
    return pd.DataFrame({"y": y, "x": x, "g": g, "noise": rng.normal(size=150)})


@pytest.mark.parametrize("case", CASES)
def test_fit_equals_glm(case, r_values, r_table):
    fit, values = golden_fit(case, r_values, r_table)
    assert (fit.n, fit.n_events) == (values["n"], values["events"])
    assert fit.table["covariate"].tolist() == values["coef_names"]
    columns = {
        "coef": "coef",
        "se": "se",
        "z": "z",
        "p": "p_wald",
        "odds_ratio": "odds_ratio",
        "ci_low": "or_ci95_wald_lower",
        "ci_high": "or_ci95_wald_upper",
    }
    for ours, theirs in columns.items():
        agree(fit.table[ours], values[theirs])
    agree(fit.covariance, values["vcov"]["matrix"])
    agree(
        [fit.log_likelihood, fit.null_log_likelihood], [values["log_likelihood"], values["null_log_likelihood"]], 1e-9
    )
    agree(fit.aic, values["aic"], 1e-9)
    test = values["likelihood_ratio_test"]
    assert fit.lr_df == test["df"]
    agree([fit.lr_chi2, fit.lr_p], [test["chi2"], test["p"]])
    agree(fit.predict(fit.data.head(10)), values["fitted_probability_first10"])
    # rms::lrm groups predicted probabilities, hence only about equal
    assert fit.concordance == pytest.approx(values["rms_lrm_stats"]["C"], abs=1e-3)


@pytest.mark.parametrize("case", CASES)
def test_drop_one_equals_r(case, r_values, r_table):
    fit, values = golden_fit(case, r_values, r_table)
    found, expected = drop_one(fit), values["drop1_lrt"]
    assert found["term"].tolist() == expected["term"]
    assert found["df"].tolist() == expected["df"]
    agree(found["chi2"], expected["chi2"])
    agree(found["p"], expected["p"])
    agree(found["aic"], expected["aic_without_term"], 1e-9)


@pytest.mark.parametrize("case", UNIVARIABLE)
def test_univariable_table_equals_r(case, r_values, r_table):
    reference = r_values(case)
    table, params, values = r_table(reference["dataset"][0]), reference["params"], reference["values"]
    found = univariable_table(table, params["outcome"], params["variables"]).set_index("covariate")
    columns = {
        "coef": "coef", "se": "se", "z": "z", "p": "p", "odds_ratio": "or", "ci_low": "lower", "ci_high": "upper",
    }  # fmt: skip
    for name in params["variables"]:
        agree(found.loc[name, list(columns)], [values[name][theirs] for theirs in columns.values()])


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000))
def test_same_as_statsmodels(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(90, 2))
    y = (rng.uniform(size=90) < special.expit(0.7 * x[:, 0])).astype(int)
    fit = fit_logistic(pd.DataFrame(x, columns=["a", "b"]), y, ["a", "b"])
    other = Logit(y, np.column_stack([np.ones(90), x])).fit(disp=0, method="newton", tol=1e-12)
    np.testing.assert_allclose([fit.intercept, *fit.coef], other.params, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(fit.table["se"], other.bse, rtol=1e-7)


def test_units_change_nothing_but_the_coefficient(data):
    fit = fit_logistic(data, "y", ["x", "g"])
    scaled = fit_logistic(data.assign(x=1e5 + 100 * data.x), "y", ["x", "g"])
    assert scaled.coef["x"] * 100 == pytest.approx(fit.coef["x"], rel=1e-9)
    np.testing.assert_allclose(scaled.predict(data.assign(x=1e5 + 100 * data.x)), fit.predict(data), rtol=1e-9)


def test_firth_of_a_2x2_table_adds_half_to_every_cell():
    # the Jeffreys penalty of a saturated model: log odds ratio of the counts plus 1/2 (Firth 1993)
    cells = {(0, 0): 12, (0, 1): 5, (1, 0): 7, (1, 1): 0}
    rows = [(x, y) for (x, y), count in cells.items() for _ in range(count)]
    table = pd.DataFrame(rows, columns=["x", "y"])
    fit = fit_logistic(table, "y", ["x"], penalty="firth")
    assert fit.intercept == pytest.approx(np.log(5.5 / 12.5), rel=1e-9)
    assert fit.coef["x"] == pytest.approx(np.log(0.5 / 7.5) - np.log(5.5 / 12.5), rel=1e-9)
    with pytest.raises(NotEstimableError, match="separation"):
        fit_logistic(table, "y", ["x"])


def test_firth_maximises_the_penalised_likelihood(data):
    small = data.head(30)
    fit = fit_logistic(small, "y", ["x", "noise"], penalty="firth")
    x = np.column_stack([np.ones(30), small[["x", "noise"]]])

    def penalised(beta):
        p = special.expit(x @ beta)
        value = (small.y * np.log(p) + (1 - small.y) * np.log(1 - p)).sum()
        return -(value + 0.5 * np.linalg.slogdet(x.T @ ((p * (1 - p))[:, None] * x))[1])

    best = optimize.minimize(penalised, np.zeros(3), method="BFGS", options={"gtol": 1e-8})
    np.testing.assert_allclose([fit.intercept, *fit.coef], best.x, atol=1e-5)
    null = optimize.minimize(lambda b: penalised(np.r_[b, 0, 0]), [0.0], method="BFGS", options={"gtol": 1e-8})
    assert fit.lr_chi2 == pytest.approx(2 * (null.fun - best.fun), rel=1e-6)
    without = optimize.minimize(lambda b: penalised(np.r_[b, 0]), [0.0, 0], method="BFGS", options={"gtol": 1e-8})
    assert drop_one(fit)["chi2"].iloc[1] == pytest.approx(2 * (without.fun - best.fun), rel=1e-6)
    p = fit.predict(small)
    assert fit.log_likelihood == pytest.approx((small.y * np.log(p) + (1 - small.y) * np.log(1 - p)).sum(), rel=1e-12)


def test_firth_limits_are_finite_under_separation(data):
    table = data.assign(score=data.y + 0.1 * data.x.rank(pct=True))
    fit = fit_logistic(table, "y", ["score"], penalty="firth")
    assert fit.coef["score"] > 0
    assert np.isfinite(fit.table[["ci_low", "ci_high"]].to_numpy()).all()


@pytest.mark.parametrize(
    "column",
    [
        lambda d: d.y + 0.1 * d.x.rank(pct=True),  # complete separation
        lambda d: ((d.y == 1) & (d.x > 0)).astype(int),  # quasi-complete: the level 1 has cases only
        lambda d: np.where(d.index == int(d.index[d.y == 1][0]), "rare", "common"),  # one subject, a case
    ],
)
def test_separation_is_an_error_that_names_the_covariate(data, column):
    with pytest.raises(NotEstimableError, match="firth") as caught:
        fit_logistic(data.assign(s=column(data)), "y", ["noise", "s"])
    assert any(problem.column.startswith("s") for problem in caught.value.problems)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1)), min_size=3, max_size=9))
def test_one_covariate_separates_where_its_classes_do_not_overlap(subjects):
    table = pd.DataFrame(subjects, columns=["x", "y"])
    cases, controls = table.x[table.y == 1], table.x[table.y == 0]
    overlap = len(cases) and len(controls) and cases.min() < controls.max() and controls.min() < cases.max()
    if overlap:
        assert np.isfinite(fit_logistic(table, "y", ["x"]).coef["x"])
    else:
        with pytest.raises(NotEstimableError):
            fit_logistic(table, "y", ["x"])


def test_a_strong_predictor_is_not_taken_for_separation():
    x = np.concatenate([np.linspace(-30, -1, 60), [0.5, -0.5], np.linspace(1, 30, 60)])
    table = pd.DataFrame({"x": x, "y": [0] * 60 + [0, 1] + [1] * 60})
    assert 0 < fit_logistic(table, "y", ["x"]).coef["x"] < 10


def test_constant_and_collinear_covariates_are_listed_at_once(data):
    table = data.assign(one=2.5, twice=2 * data.x - 1, dummy=(data.g == "b").astype(int))
    with pytest.raises(NotEstimableError) as caught:
        fit_logistic(table, "y", ["x", "g", "one", "twice", "dummy"])
    assert [problem.column for problem in caught.value.problems] == ["one", "twice", "dummy"]


def test_more_covariates_than_subjects(data):
    wide = pd.DataFrame(np.random.default_rng(0).normal(size=(5, 6)), columns=list("abcdef"))
    with pytest.raises(NotEstimableError, match="linear combination"):
        fit_logistic(wide, [0, 1, 0, 1, 1], list("abcdef"))


def test_one_class_and_three_subjects(data):
    with pytest.raises(NotEstimableError, match="both 0 and 1"):
        fit_logistic(data.assign(y=1), "y", ["x"])
    three = pd.DataFrame({"x": [1.0, 2.0, 3.0], "y": [0, 1, 0]})
    fit = fit_logistic(three, "y", ["x"])
    assert fit.coef["x"] == pytest.approx(0, abs=1e-12)  # symmetric
    assert fit.intercept == pytest.approx(np.log(0.5))


def test_missing_rows_are_left_out_and_counted(data):
    fit = fit_logistic(data.assign(x=data.x.where(data.index > 9)), "y", ["x"])
    assert (fit.n, fit.n_missing) == (140, 10)
    with pytest.raises(InputError, match="0 and 1"):
        fit_logistic(data.assign(y=data.y + 1), "y", ["x"])
    with pytest.raises(InputError):
        fit_logistic(data.assign(x=data.x.where(data.x < 2, np.inf)), "y", ["x"])


def test_a_level_absent_from_the_training_fold_is_an_error_at_prediction(data):
    fit = fit_logistic(data[data.g != "c"], "y", ["x", "g"])
    with pytest.raises(InputError, match="level the model does not know"):
        fit.predict(data[data.g == "c"])
    declared = data.assign(g=pd.Categorical(data.g, categories=["b", "a", "c", "never"]))
    assert fit_logistic(declared, "y", ["g"]).coef.index.tolist() == ["ga", "gc"]


def test_reference_level_only_moves_the_comparison(data):
    a, c = (fit_logistic(data, "y", ["x", "g"], reference={"g": level}) for level in "ac")
    assert c.coef["ga"] == pytest.approx(-a.coef["gc"], rel=1e-9)
    assert c.aic == pytest.approx(a.aic, rel=1e-12)


def test_tables_show_reference_levels(data):
    found = multivariable_table(data, "y", ["x", "g"])
    assert found["covariate"].tolist() == ["x", "ga", "gb", "gc"]
    assert found.loc[found["reference"], "odds_ratio"].tolist() == [1.0]
    assert found["n"].tolist() == [150, *data.g.value_counts().sort_index()]
    single = univariable_table(data.assign(one=1), "y", ["x", "one"])
    assert "same value" in single.set_index("covariate").loc["one", "note"]


def test_intercept_only_model(data):
    fit = fit_logistic(data, "y", [])
    assert fit.intercept == pytest.approx(special.logit(data.y.mean()))
    assert (fit.lr_chi2, fit.concordance, len(fit.coef)) == (0, 0.5, 0)


@pytest.mark.parametrize("options", [{"penalty": "l1"}, {"level": 0}])
def test_bad_options_are_refused(data, options):
    with pytest.raises(InputError):
        fit_logistic(data, "y", ["x"], **options)
