from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

from radsupport.errors import InputError, NotEstimableError
from radsupport.stats.cox import fit_cox
from radsupport.stats.logistic import fit_logistic
from radsupport.stats.logistic import univariable_table as logistic_alone
from radsupport.stats.regression import backward_aic, drop_one, multivariable

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


@pytest.fixture(scope="module")
def curved() -> pd.DataFrame:
    rng = np.random.default_rng(8)
    age, side = rng.normal(60, 10, 300), rng.choice(["left", "right"], 300)
    lp = 0.006 * (age - 55) ** 2 + 0.5 * (side == "right") - 1
    table = pd.DataFrame({"age": age, "side": side, "label": (rng.random(300) < 1 / (1 + np.exp(-lp))).astype(int)})
    return table.assign(time=rng.exponential(np.exp(-lp)), event=(rng.random(300) < 0.7).astype(int))


def test_a_spline_has_one_row_with_the_quartiles_of_its_column(curved: pd.DataFrame) -> None:
    fit = fit_logistic(curved, "label", "bs(age, df=4) + side")
    row = multivariable(fit, "odds_ratio").set_index("term").loc["bs(age, df=4)"]
    low, high = np.quantile(curved["age"], [0.25, 0.75])
    model = sm.Logit(curved["label"], sm.add_constant(fit.design.transform(curved))).fit(disp=0, tol=1e-12)
    at = pd.DataFrame({"age": [low, high], "side": "left"})
    contrast = np.r_[0.0, np.diff(fit.design.transform(at), axis=0)[0]]
    expected = model.t_test(contrast)
    assert row["coef"] == pytest.approx(expected.effect[0], rel=1e-6)
    np.testing.assert_allclose([row["ci_low"], row["ci_high"]], np.exp(expected.conf_int()[0]), rtol=1e-6)
    assert row["level"] == f"75th ({high:.1f}) against 25th ({low:.1f}) percentile"
    assert np.isnan(row["p"])
    shown = fit.ratios({"bs(age, df=4)": "Age"})
    assert shown["covariate"].iloc[0] == f"Age: {row['level']}"


@pytest.mark.parametrize("spline", ["bs(age, df=4)", "cr(age, df=3)", "poly(age, 2)"])
def test_tests_of_a_spline_are_those_of_the_models_without_it(curved: pd.DataFrame, spline: str) -> None:
    for fit, refit in (
        (fit_logistic(curved, "label", f"{spline} + side"), lambda f: fit_logistic(curved, "label", f)),
        (fit_cox(curved, "time", "event", f"{spline} + side"), lambda f: fit_cox(curved, "time", "event", f)),
    ):
        row = multivariable(fit, "hr" if fit.kind == "cox" else "odds_ratio").set_index("term").loc[spline]
        df = len(fit.design[spline].columns)
        whole = 2 * (fit.log_likelihood - refit("side").log_likelihood)
        curve = 2 * (fit.log_likelihood - refit("age + side").log_likelihood)
        assert row["df"] == df
        assert row["p_term"] == pytest.approx(stats.chi2.sf(whole, df), rel=1e-6)
        assert row["p_nonlinear"] == pytest.approx(stats.chi2.sf(curve, df - 1), rel=1e-6)
        assert row["p_nonlinear"] < 0.05
    plain, firth = (fit_logistic(curved, "label", f"{spline} + side", penalty=p) for p in ("none", "firth"))
    assert np.log(firth.nonlinear_p(spline)) == pytest.approx(np.log(plain.nonlinear_p(spline)), rel=0.1)


def test_terms_are_tested_and_left_out_with_their_interactions(curved: pd.DataFrame) -> None:
    fit = fit_logistic(curved, "label", "age*side")
    tests = drop_one(fit).set_index("term")
    smaller = [fit_logistic(curved, "label", formula).log_likelihood for formula in ("side", "age", "age + side")]
    expected = 2 * (fit.log_likelihood - np.array(smaller))
    np.testing.assert_allclose(tests.loc[["age", "side", "age:side"], "chi2"], expected, atol=1e-8)
    assert tests["df"].tolist() == [2, 2, 1]
    path = backward_aic(fit).path
    assert path["change"].iloc[1] == "- age:side"
    assert fit.ratios({"age:side": "Age × side"})["covariate"].iloc[-1] == "Age × side: right"


def test_a_formula_alone_leaves_interactions_out(curved: pd.DataFrame) -> None:
    alone = logistic_alone(curved, "label", "poly(age, 2)*side")
    assert alone["term"].tolist() == ["poly(age, 2)", "side", "side"]
    assert alone["p_nonlinear"].notna().tolist() == [True, False, False]


def test_a_model_without_any_term_has_no_ratios() -> None:
    table = pd.DataFrame({"time": [1.0, 2, 3, 4, 5], "event": [1, 0, 1, 1, 0]})
    found = fit_cox(table, "time", "event", []).ratios({})
    assert found.empty
    assert list(found) == ["covariate", "hr", "ci_low", "ci_high", "p"]


def test_everybody_may_have_the_event(curved: pd.DataFrame) -> None:
    fit = fit_cox(curved.assign(event=1), "time", "event", "age + side")
    assert multivariable(fit, "hr")["n_events"].tolist()[0] == len(curved)
    assert fit.ratios()["hr"].notna().tolist() == [True, False, True]


def test_a_spline_that_interacts_is_shown_at_the_reference_level(curved: pd.DataFrame) -> None:
    fit = fit_logistic(curved, "label", "poly(age, 2)*side")
    rows = multivariable(fit, "odds_ratio").set_index("covariate")
    low, high = np.quantile(curved["age"], [0.25, 0.75])
    at = fit.linear_predictor(pd.DataFrame({"age": [low, high], "side": "left"}))
    assert rows.loc["poly(age, 2)", "coef"] == pytest.approx(at[1] - at[0])
    assert rows.loc["poly(age, 2)", "level"].endswith(", left")
    assert rows.index.tolist() == ["poly(age, 2)", "sideleft", "sideright", "poly(age, 2):side"]
    both = rows.loc["poly(age, 2):side"]
    assert (np.isnan(both["odds_ratio"]), both["df"]) == (True, 2)
    assert both["p_term"] == pytest.approx(
        stats.chi2.sf(2 * (fit.log_likelihood - fit_logistic(curved, "label", "poly(age, 2)+side").log_likelihood), 2)
    )


@pytest.mark.parametrize("kind", ["cox", "logistic"])
def test_a_category_with_one_level_keeps_its_row_and_says_why(kind):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"time": rng.exponential(10, 60), "event": rng.integers(0, 2, 60), "age": rng.normal(size=60)})
    table["stage"] = pd.Categorical(["I"] * 60, categories=["I", "II"])
    module = importlib.import_module(f"radsupport.stats.{kind}")
    outcome = ("time", "event") if kind == "cox" else ("event",)
    alone = module.univariable_table(table, *outcome, ["age", "stage"]).set_index("covariate")
    assert alone.loc["stage", "note"] == "one level only: there is nothing to compare"
    assert np.isfinite(alone.loc["age", "p"])
    together = module.multivariable_table(table, *outcome, ["age", "stage"]).set_index("covariate")
    assert together.loc["age", "p"] == pytest.approx(alone.loc["age", "p"])
    with pytest.raises(NotEstimableError, match="one level only"):
        module.multivariable_table(table, *outcome, ["stage"])
