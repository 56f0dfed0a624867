from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import special

from radsupport.errors import InputError, NotEstimableError
from radsupport.stats import penalised
from radsupport.stats.cox import fit_cox
from radsupport.stats.lasso import cv_lasso_binomial, cv_lasso_cox, lasso_binomial, lasso_cox
from radsupport.stats.logistic import fit_logistic
from radsupport.stats.penalised import penalised_quadratic

FILES = Path(__file__).parents[1] / "golden" / "statistics"
CASES = sorted(path.stem for path in FILES.glob("lasso_*.json"))


def load(case, r_values, r_table):
    reference = r_values(case)
    table, params = r_table(reference["dataset"][0]), reference["params"]
    if "outcome" in params:
        return table[params["features"]], (table[params["outcome"]],), params, reference["values"]
    return table[params["features"]], (table[params["time"]], table[params["status"]]), params, reference["values"]


def fit(features, outcome, **options):
    return (lasso_binomial if len(outcome) == 1 else lasso_cox)(features, *outcome, **options)


@pytest.mark.parametrize("case", CASES)
def test_path_at_given_penalties_equals_glmnet(case, r_values, r_table):
    features, outcome, params, values = load(case, r_values, r_table)
    found = fit(features, outcome, alpha=params["alpha"], lambdas=values["lambda"])
    expected = np.array(values["coefficients_by_lambda_rows"]["matrix"])
    ill = "mdrr60" in case  # nearly collinear features: single coefficients are ill-conditioned, the objective is not
    np.testing.assert_allclose(found.objective, values["objective_by_lambda"], rtol=1e-9)
    np.testing.assert_allclose(found.coef, expected[:, -features.shape[1] :], atol=1e-3 if ill else 1e-5)
    np.testing.assert_allclose(found.dev_ratio, values["dev_ratio"], atol=1e-6)
    assert found.null_deviance == pytest.approx(values["nulldev"], rel=1e-9)
    assert found.n_nonzero.tolist() == values["df_nonzero"]
    if len(outcome) == 1:
        np.testing.assert_allclose(found.intercept, expected[:, 0], atol=1e-2 if ill else 1e-5)


@pytest.mark.parametrize("case", CASES)
def test_automatic_path_equals_glmnet(case, r_values, r_table):
    features, outcome, params, values = load(case, r_values, r_table)
    options = {"n_lambdas": values["auto_nlambda"], "min_ratio": values["auto_lambda_min_ratio"]}
    found = fit(features, outcome, alpha=params["alpha"], **options)
    assert found.lambdas[0] == pytest.approx(values["lambda_max_auto_path"], rel=1e-9)
    np.testing.assert_allclose(found.lambdas, values["auto_lambda"], rtol=1e-7)
    assert found.n_nonzero[0] == 0


@pytest.mark.parametrize("case", CASES)
def test_cross_validation_equals_cv_glmnet(case, r_values, r_table):
    features, outcome, params, values = load(case, r_values, r_table)
    options = {"n_lambdas": values["auto_nlambda"], "min_ratio": values["auto_lambda_min_ratio"]}
    run = cv_lasso_binomial if len(outcome) == 1 else cv_lasso_cox
    found = run(features, *outcome, values["foldid"], alpha=params["alpha"], **options)
    expected = values["cv"]["deviance"]
    np.testing.assert_allclose(found.table["mean"], expected["cvm"], rtol=5e-6)
    np.testing.assert_allclose(found.table["sd"], expected["cvsd"], rtol=1e-5)
    assert found.table["n_nonzero"].tolist() == expected["nzero"]
    assert (found.index_min, found.index_1se) == (expected["index_min_1based"] - 1, expected["index_1se_1based"] - 1)
    assert found.lambda_min == pytest.approx(expected["lambda.min"], rel=1e-7)
    assert found.lambda_1se == pytest.approx(expected["lambda.1se"], rel=1e-7)
    for which in ("min", "1se"):
        reference = pd.Series(expected[f"coef_at_lambda.{which}"]).drop("(Intercept)", errors="ignore")
        np.testing.assert_allclose(found.coef(which), reference, atol=1e-2 if "mdrr60" in case else 1e-4)
        assert found.selected(which) == reference.index[reference != 0].tolist()


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(12)
    x = rng.normal(size=(120, 8)) * np.arange(1, 9) + 5
    x[:, 1] = x[:, 0] + 0.1 * rng.normal(size=120)
    risk = 0.8 * x[:, 0] - 0.3 * x[:, 2]
    y = (rng.uniform(size=120) < special.expit(risk - risk.mean())).astype(int)
    time = np.ceil(rng.exponential(20 * np.exp(-(risk - risk.mean()))))
    return pd.DataFrame(x, columns=[f"f{j}" for j in range(8)]), y, time, rng.integers(0, 2, 120)


@pytest.mark.parametrize("alpha", [1.0, 0.3])
def test_optimality_conditions_hold(data, alpha):
    features, y, _, _ = data
    found = lasso_binomial(features, y, alpha=alpha)
    z = (features - features.mean()) / features.std(ddof=0)
    for k in (3, len(found.lambdas) // 2, -1):
        penalty, coef = found.lambdas[k], found.coef.to_numpy()[k] * features.std(ddof=0).to_numpy()
        p = special.expit(found.linear_predictor(features, found.lambdas[k])[:, 0])
        pull = z.to_numpy().T @ (y - p) / len(y) - penalty * (1 - alpha) * coef
        chosen = coef != 0
        np.testing.assert_allclose(pull[chosen], penalty * alpha * np.sign(coef[chosen]), atol=1e-7)
        assert (np.abs(pull[~chosen]) <= penalty * alpha * (1 + 1e-7)).all()


def test_without_penalty_it_is_the_ordinary_fit(data):
    features, y, time, event = data
    ordinary = fit_logistic(features, y, list(features))
    assert lasso_binomial(features, y, lambdas=[0.1, 0.0]).coef.iloc[-1].to_numpy() == pytest.approx(
        ordinary.coef.to_numpy(), rel=1e-5
    )
    cox = fit_cox(features, time, event, list(features), "breslow")
    assert lasso_cox(features, time, event, lambdas=[0.1, 0.0]).coef.iloc[-1].to_numpy() == pytest.approx(
        cox.coef.to_numpy(), rel=1e-5
    )


def test_units_and_order_of_features_do_not_matter(data):
    features, _, time, event = data
    found = lasso_cox(features, time, event)
    other = lasso_cox(features[features.columns[::-1]] * 1000 + 7, time, event)
    np.testing.assert_allclose(other.lambdas, found.lambdas, rtol=1e-9)
    np.testing.assert_allclose(other.coef[features.columns] * 1000, found.coef, atol=1e-6)


def test_a_constant_feature_is_never_selected(data):
    features, y, _, _ = data
    found = lasso_binomial(features.assign(one=3.0), y)
    assert (found.coef["one"] == 0).all()
    np.testing.assert_allclose(found.coef[features.columns], lasso_binomial(features, y).coef, atol=1e-9)


def test_duplicate_features_share_the_elastic_net_but_not_the_lasso(data):
    features, y, _, _ = data
    twins = features[["f0", "f2"]].assign(twin=features["f0"])
    net = lasso_binomial(twins, y, alpha=0.5).coef.iloc[-1]
    assert net["f0"] == pytest.approx(net["twin"], rel=1e-5)
    lasso = lasso_binomial(twins, y).coef.iloc[10]
    assert lasso["f0"] + lasso["twin"] == pytest.approx(
        lasso_binomial(features[["f0", "f2"]], y).coef["f0"].iloc[10], 1e-6
    )


def test_more_features_than_subjects():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 200))
    time = rng.exponential(np.exp(-x[:, 0]))
    found = lasso_cox(x, time, np.ones(40))
    assert found.coef.iloc[1].to_numpy().nonzero()[0].tolist() == [0]
    assert found.lambdas[-1] >= 0.01 * found.lambdas[0] * (1 - 1e-9)
    assert (np.diff(found.dev_ratio) > -1e-12).all()
    assert list(found.coef.columns[:2]) == ["x1", "x2"]


def test_separated_outcome_ends_the_path_early():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(50, 3))
    found = lasso_binomial(x, (x[:, 0] > 0).astype(int), min_ratio=1e-8)
    assert len(found.lambdas) < 100
    assert found.dev_ratio[-1] > 0.999


def test_between_penalties_coefficients_are_linear(data):
    features, y, _, _ = data
    found = lasso_binomial(features, y)
    middle = (found.lambdas[4] + found.lambdas[5]) / 2
    np.testing.assert_allclose(found.at(middle)[1][0], found.coef.iloc[4:6].mean(), rtol=1e-9)
    np.testing.assert_allclose(found.at(1e9)[1][0], found.coef.iloc[0])
    with pytest.raises(InputError, match="differ"):
        found.linear_predictor(features[features.columns[::-1]], 0.1)


@pytest.mark.skipif(penalised._penalised is None, reason="the C functions are not built")
@pytest.mark.parametrize(("n", "p", "common"), [(60, 12, 0.0), (70, 150, 0.9), (40, 90, 0.999)])
@pytest.mark.parametrize("alpha", [1.0, 0.3])
def test_c_and_python_give_the_same_path(n, p, common, alpha, monkeypatch):
    rng = np.random.default_rng(n)
    features = np.sqrt(common) * rng.normal(size=(n, 1)) + np.sqrt(1 - common) * rng.normal(size=(n, p))
    y = (features[:, 0] - features[:, 1] + rng.normal(size=n) > 0).astype(int)
    quick = lasso_binomial(features, y, alpha=alpha, n_lambdas=30, min_ratio=0.02)
    monkeypatch.setattr(penalised, "_penalised", None)
    plain = lasso_binomial(features, y, alpha=alpha, n_lambdas=30, min_ratio=0.02)
    np.testing.assert_allclose(quick.coef, plain.coef, atol=1e-6)
    np.testing.assert_allclose(quick.dev_ratio, plain.dev_ratio, atol=1e-12)
    assert ((quick.coef != 0) == (plain.coef != 0)).to_numpy().all()


@pytest.mark.parametrize("built", [True, False])
def test_the_quadratic_is_minimised_exactly(built, monkeypatch):
    if not built:
        monkeypatch.setattr(penalised, "_penalised", None)
    rng = np.random.default_rng(5)
    for _ in range(30):
        root = rng.normal(size=(8, 6))
        hessian, linear, l1 = root.T @ root, rng.normal(size=6) * 3, np.r_[0.0, rng.uniform(0, 2, 5)]
        b = penalised_quadratic(hessian, linear, l1, rng.normal(size=6) * rng.integers(0, 2, 6))
        pull = linear - hessian @ b
        np.testing.assert_allclose(pull[b != 0], (l1 * np.sign(b))[b != 0], atol=1e-9)
        assert (np.abs(pull) <= l1 + 1e-9).all()


def test_cross_validation_is_unbiased_on_noise():
    rng = np.random.default_rng(3)
    x, time, folds = rng.normal(size=(90, 30)), rng.exponential(size=90), np.arange(90) % 5
    found = cv_lasso_cox(x, time, np.ones(90), folds)
    assert found.table["mean"].argmin() < 10
    found = cv_lasso_binomial(x, rng.integers(0, 2, 90), folds)
    assert found.table["mean"].argmin() < 10


def test_what_can_not_be_fitted_is_an_error(data):
    features, y, time, event = data
    with pytest.raises(NotEstimableError, match="varies"):
        lasso_binomial(np.ones((120, 3)), y)
    with pytest.raises(NotEstimableError, match="both 0 and 1"):
        lasso_binomial(features, 0 * y)
    with pytest.raises(NotEstimableError, match="censored"):
        lasso_cox(features, time, 0 * event)
    with pytest.raises(NotEstimableError, match="related"):
        lasso_cox(features, np.ones(120), np.ones(120))
    with pytest.raises(NotEstimableError, match="Fold 2"):
        cv_lasso_cox(features, time, np.where(np.arange(120) % 3 == 2, 0, 1), np.arange(120) % 3)
    with pytest.raises(NotEstimableError, match="Fold"):
        cv_lasso_binomial(features, y, np.where(y == 1, 0, 1 + np.arange(120) % 2))


def test_bad_input_is_refused(data):
    features, y, _, _ = data
    with pytest.raises(InputError, match="f3"):
        lasso_binomial(features.assign(f3=np.nan), y)
    with pytest.raises(InputError, match="numeric"):
        lasso_binomial(features.assign(f3="a"), y)
    with pytest.raises(InputError) as caught:
        lasso_binomial(features, y, alpha=0, min_ratio=3, n_lambdas=0)
    assert all(word in str(caught.value) for word in ("alpha", "min_ratio", "n_lambdas"))
    with pytest.raises(InputError, match="lambdas"):
        lasso_binomial(features, y, lambdas=[0.1, -0.1])
    with pytest.raises(InputError, match="three"):
        cv_lasso_binomial(features, y, np.arange(120) % 2)
    with pytest.raises(InputError, match="each of the"):
        cv_lasso_binomial(features, y, [1, 2, 3])
    with pytest.raises(InputError, match="which"):
        cv_lasso_binomial(features, y, np.arange(120) % 4).coef("best")
