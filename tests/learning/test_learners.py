"""Learners: each learns a planted signal, repeats itself, and equals what it claims to be."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from pydantic import ValidationError
from scipy.special import expit
from scipy.stats import gaussian_kde, norm
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesClassifier, GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import ParameterGrid, StratifiedKFold
from sklearn.svm import SVC
from sksurv.linear_model import CoxnetSurvivalAnalysis, CoxPHSurvivalAnalysis
from sksurv.metrics import concordance_index_censored
from sksurv.util import Surv

from radsupport.errors import InputError, NotEstimableError
from radsupport.learning.estimators import (
    FLATTEST,
    GivenRisk,
    GradientBoosting,
    NaiveBayes,
    PlattSVC,
    ScaledSVC,
    bandwidth,
    platt_curve,
)
from radsupport.learning.learners import BINARY, GIVEN, SURVIVAL, learner, selection_words, signature_table
from radsupport.learning.linear import CoxRisk, GlmBoost, MeanLogOdds, PenalisedCox, PenalisedLogistic, PlsLogistic
from radsupport.settings.learning import Signature
from radsupport.stats.outcome import risk_of


def _data(n=90, p=6, effect=1.5, seed=0):
    rng = np.random.default_rng(seed)
    y = np.repeat([0, 1], [n - n // 3, n // 3])
    X = rng.normal(size=(n, p))
    X[:, :2] += effect * y[:, None]
    return (X - X.mean(axis=0)) / X.std(axis=0), y


def _survival(n=120, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4))
    time, censor = rng.exponential(20 * np.exp(-X[:, 0])), rng.uniform(5, 60, n)
    return (X - X.mean(axis=0)) / X.std(axis=0), Surv.from_arrays(time <= censor, np.minimum(time, censor))


@pytest.mark.parametrize("name", BINARY)
def test_binary_learners_find_a_planted_signal_and_repeat_themselves(name):
    X, y = _data()
    new, truth = _data(seed=1)
    chosen = learner(name, seed=3, grid="coarse")
    models = [clone(chosen.estimator).fit(X, y) for _ in range(2)]
    risks = [risk_of(model, new) for model in models]
    if hasattr(models[0], "predict_proba"):  # others, such as a linear machine, are taken by their decision value
        assert models[0].predict_proba(new).shape == (len(new), 2)
        assert models[0].predict_proba(new).sum(axis=1) == pytest.approx(np.ones(len(new)))
    assert risks[0].tolist() == risks[1].tolist()
    assert roc_auc_score(truth, risks[0]) > 0.8


@pytest.mark.parametrize("name", [*BINARY, *SURVIVAL])
@pytest.mark.parametrize("size", ["coarse", "full"])
def test_every_grid_point_is_a_valid_setting(name, size):
    chosen = learner(name, grid=size)
    points = list(ParameterGrid(chosen.grid or [{}]))
    for point in points:
        assert clone(chosen.estimator).set_params(**point).get_params().items() >= point.items()
    if name == "SVM":
        assert len(points) == {"coarse": 12, "full": 132}[size]


@pytest.mark.parametrize("name", SURVIVAL)
def test_survival_learners_find_a_planted_signal(name):
    X, y = _survival()
    new, truth = _survival(seed=1)
    risk = learner(name, grid="coarse", survival=True).estimator.fit(X, y).predict(new)
    if name == "Mean":  # of columns that say nothing, too
        assert risk == pytest.approx(new.mean(axis=1))
        return
    assert concordance_index_censored(truth["event"], truth["time"], risk)[0] > 0.65


@pytest.mark.parametrize(("name", "kind"), [("Boost", GradientBoostingClassifier), ("Forest", ExtraTreesClassifier)])
def test_untuned_trees_are_scikit_learns_with_the_settings_of_their_docs(name, kind):
    X, y = _data()
    given = {"Boost": {"n_estimators": 100, "max_depth": 2, "learning_rate": 0.05, "subsample": 0.5},
             "Forest": {"n_estimators": 100}}[name]  # fmt: skip
    expected = kind(**given, max_features="sqrt", min_samples_leaf=5, random_state=3).fit(X, y)
    chosen = learner(name, seed=3)
    assert not chosen.grid
    assert risk_of(clone(chosen.estimator).fit(X, y), X).tolist() == expected.predict_proba(X)[:, 1].tolist()


def test_the_mean_weighs_all_parts_alike_and_keeps_their_order():
    X, y = _data()
    model = MeanLogOdds().fit(X, y)
    assert np.ptp(model.coef_) == 0
    assert model.coef_[0] > 0
    assert np.argsort(model.decision_function(X)).tolist() == np.argsort(X.mean(axis=1)).tolist()
    slope, intercept = platt_curve(X.mean(axis=1), y)
    assert risk_of(model, X) == pytest.approx(expit(slope * X.mean(axis=1) + intercept))
    against = MeanLogOdds().fit(-X, y)  # parts that point the wrong way are not turned round
    assert against.coef_[0] == pytest.approx(FLATTEST / X.shape[1])
    X, y = _survival()
    mean = learner("Mean", survival=True).estimator.fit(X, y)
    assert mean.predict(X) == pytest.approx(X.mean(axis=1))
    for given in ({"combines": ["a"]}, {"combines": ["a", "b"], "columns": ["age"]}, {"sources": ["radiomics"]}):
        with pytest.raises(ValidationError, match="averages two or more signatures"):
            Signature(name="x", learner="Mean", **given)
        with pytest.raises(ValidationError, match="chooses among two or more signatures"):
            Signature(name="x", learner="Best", **given)


def test_unknown_learner_lists_the_known():
    with pytest.raises(InputError, match="glmBoost, GBM, Enet, SVM"):
        learner("deepnet")
    with pytest.raises(InputError, match="coarse, full"):
        learner("SVM", grid="huge")


OWN = [
    n for n in BINARY if type(learner(n).estimator).__module__.startswith("radsupport") and n not in ("GBM", "Boost")
]


@pytest.mark.parametrize("name", OWN)  # those of other packages refuse in their own words, or deal with gaps
def test_binary_learners_refuse_one_class_and_gaps(name):
    X, y = _data()
    model = learner(name).estimator
    with pytest.raises(NotEstimableError, match="both 0 and 1"):
        model.fit(X, np.zeros(len(X)))
    with pytest.raises(ValueError, match="NaN"):
        model.fit(np.where(X > 2, np.nan, X), y)


@pytest.mark.parametrize("case", ["pima_tr_enet", "birthwt"])
def test_penalised_logistic_equals_glmnet(r_values, r_table, case):
    reference = r_values(f"lasso_binomial__{case}")
    params, values = reference["params"], reference["values"]
    table = r_table(reference["dataset"][0]).dropna(subset=params["features"])
    X, y = table[params["features"]].astype(float), table[params["outcome"]].astype(int)
    mean, sd = X.mean(), X.std(ddof=0)
    Z, alpha, coefs = (X - mean) / sd, params["alpha"], values["coefficients_by_lambda_rows"]
    largest = np.abs(Z.T @ (y - y.mean())).max() / len(y) / alpha
    assert largest == pytest.approx(values["lambda_max_auto_path"], rel=1e-9)
    for row, lam in zip(coefs["matrix"], values["lambda"], strict=True):
        if lam < largest:
            model = PenalisedLogistic(lam / largest, alpha).fit(Z, y)
            assert model.lambda_ == pytest.approx(lam, rel=1e-9)
            assert model.coef_ == pytest.approx(np.array(row[1:]) * sd.to_numpy(), abs=2e-5)


def test_penalised_logistic_at_full_strength_has_no_feature():
    X, y = _data()
    model = PenalisedLogistic(1.0, 1.0).fit(X, y)
    assert model.coef_ == pytest.approx(np.zeros(X.shape[1]), abs=1e-8)
    assert model.predict_proba(X)[:, 1] == pytest.approx(np.full(len(X), y.mean()), rel=1e-3)
    with pytest.raises(InputError, match="strength"):
        PenalisedLogistic(0.0).fit(X, y)


def test_logistic_learner_is_within_a_thousandth_of_maximum_likelihood():
    X, y = _data()
    expected = sm.Logit(y, sm.add_constant(X)).fit(disp=0).params
    model = learner("Logistic").estimator.fit(X, y)
    assert model.coef_ == pytest.approx(expected[1:], rel=1e-3, abs=1e-3)
    apart = learner("Logistic").estimator.fit(y[:, None] * 2.0 - 1.0, y)
    assert np.isfinite(apart.coef_).all()


def test_platt_curve_recovers_a_logistic_relation():
    rng = np.random.default_rng(0)
    score = rng.normal(size=20_000)
    label = (rng.random(20_000) < 1 / (1 + np.exp(-(1.7 * score - 1)))).astype(int)
    slope, intercept = platt_curve(score, label)
    assert slope == pytest.approx(1.7, abs=0.06)
    assert intercept == pytest.approx(-1, abs=0.05)


def test_platt_curve_never_turns_the_order_round():
    label = np.repeat([0, 1], [30, 10])
    against = np.random.default_rng(0).normal(size=40) - 2 * label
    assert platt_curve(against, label)[0] == FLATTEST
    assert platt_curve(np.full(40, 1.0), label)[0] == FLATTEST
    slope, intercept = platt_curve(-against, label)
    target = np.where(label == 1, 11 / 12, 1 / 32)
    fitted = 1 / (1 + np.exp(-(slope * -against + intercept)))
    # Score equations of the maximum likelihood with Platt's targets.
    assert (fitted - target).sum() == pytest.approx(0, abs=1e-3)
    assert ((fitted - target) * against).sum() == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("settings", [{"C": 2.0**-5, "gamma": 2.0**-10}, {"C": 32.0, "kernel": "linear"}])
def test_svm_probability_keeps_the_order_of_the_decision_value(settings):
    X, y = _data()
    model = PlattSVC(**settings).fit(X, y)
    value, risk = model.decision_function(X), model.predict_proba(X)[:, 1]
    assert (np.argsort(value) == np.argsort(risk)).all()
    assert risk.mean() == pytest.approx(y.mean(), abs=0.05)


def test_svm_scale_makes_values_of_different_folds_comparable():
    # At a small C raw decision values are the bias, about 1 or -1, plus an order in the third decimal.
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(56, 29)), np.repeat([0, 1], [46, 10])
    model = PlattSVC(C=2.0**-5, gamma=2.0**-10).for_tuning()
    raw, scaled = [], []
    for train, _ in StratifiedKFold(5, shuffle=True, random_state=0).split(X, y):
        fitted = clone(model).fit(X[train], y[train])
        scaled.append(fitted.decision_function(X))
        raw.append(SVC.decision_function(fitted, X))

    def jump_to_spread(values):
        return np.ptp([v.mean() for v in values]) / np.mean([v.std() for v in values])

    assert jump_to_spread(raw) > 10
    assert jump_to_spread(scaled) < 0.5


def test_svm_with_few_events_uses_fewer_folds():
    X, y = _data(30)
    rows = np.r_[0:20, 20:23]
    assert np.isfinite(PlattSVC().fit(X[rows], y[rows]).predict_proba(X)).all()
    with pytest.raises(NotEstimableError, match="two subjects of each class"):
        PlattSVC().fit(X[:21], y[:21])


def test_naive_bayes_by_hand():
    X, y = _data(60, 2)
    prior = np.bincount(y) / len(y)
    normal = [np.log(prior[k]) + norm(X[y == k].mean(0), X[y == k].std(0)).logpdf(X).sum(1) for k in (0, 1)]
    expected = 1 / (1 + np.exp(normal[0] - normal[1]))
    assert NaiveBayes().fit(X, y).predict_proba(X)[:, 1] == pytest.approx(expected, rel=1e-6)
    kernel = []
    for k in (0, 1):
        group, width = X[y == k], bandwidth(X[y == k])
        density = [
            gaussian_kde(column, bw / column.std(ddof=1))(at)
            for column, bw, at in zip(group.T, width, X.T, strict=True)
        ]
        kernel.append(np.log(prior[k]) + np.log(np.maximum(density, 1e-3)).sum(axis=0))
    expected = 1 / (1 + np.exp(kernel[0] - kernel[1]))
    assert NaiveBayes(kernel=True).fit(X, y).predict_proba(X)[:, 1] == pytest.approx(expected, rel=1e-9)


def test_bandwidth_is_that_of_r():
    # R prints density(mtcars$mpg) with bw = 2.477; bw.nrd0(c(3, 3)) falls back to |x[1]|.
    mpg = [21, 21, 22.8, 21.4, 18.7, 18.1, 14.3, 24.4, 22.8, 19.2, 17.8, 16.4, 17.3, 15.2, 10.4, 10.4, 14.7, 32.4,
           30.4, 33.9, 21.5, 15.5, 15.2, 13.3, 19.2, 27.3, 26, 30.4, 15.8, 19.7, 15, 21.4]  # fmt: skip
    assert bandwidth(np.array(mpg)[:, None])[0] == pytest.approx(2.477, abs=5e-4)
    assert bandwidth(np.array([[3.0], [3.0]]))[0] == pytest.approx(0.9 * 3 * 2**-0.2)


def test_cox_learners_equal_maximum_likelihood_where_the_penalty_vanishes():
    X, y = _survival()
    expected = CoxPHSurvivalAnalysis(ties="efron").fit(X, y).coef_
    assert learner("Cox").estimator.fit(X, y).coef_ == pytest.approx(expected, rel=1e-3, abs=1e-4)
    assert PenalisedCox(strength=1e-4).fit(X, y).coef_ == pytest.approx(expected, abs=5e-3)
    sparse = PenalisedCox(strength=0.5).fit(X, y).coef_
    assert (sparse != 0).sum() == 1
    with pytest.raises(InputError, match="strength"):
        PenalisedCox(strength=2).fit(X, y)


def test_cox_learner_survives_separation_and_says_when_it_can_not():
    X = np.arange(20.0)[:, None]
    y = Surv.from_arrays(np.ones(20, dtype=bool), np.arange(20.0, 0, -1))
    risk = learner("Cox").estimator.fit(X / 10, y).predict(X / 10)
    assert (np.diff(risk) > 0).all()
    with pytest.raises(NotEstimableError, match="has no maximum"):
        CoxRisk(alpha=0).fit(np.column_stack([X, X]), y)


@pytest.mark.parametrize("name", GIVEN)
def test_given_risk_is_the_column(name):
    X = pd.DataFrame({"logit": [0.1, 0.9]})
    assert learner(name).estimator.fit(X.to_numpy(), [0, 1]).predict(X).tolist() == [0.1, 0.9]
    with pytest.raises(InputError, match="one column"):
        GivenRisk().fit(np.ones((2, 2)), [0, 1])


def test_ridge_equals_scikit_learn():
    X, y = _data()
    model = PenalisedLogistic(0.001, 0.0).fit(X, y)
    other = LogisticRegression(C=1 / (len(y) * model.lambda_), tol=1e-8).fit(X, y)
    assert model.coef_ == pytest.approx(other.coef_[0], abs=1e-4)


def test_signatures_in_words(finished):
    table = signature_table(finished.study.signatures, {"age": "Age", "symptom": "Symptom"}).set_index("signature")
    assert table.loc["Radiomics", "selection"] == "Welch's t test, P < 0.05; |r| at most 0.95, the smallest P first"
    assert table.loc["Both", "inputs"] == "Radiomics, Clinical"
    assert table.loc["Clinical", "inputs"] == "Age, Symptom"
    assert table.loc["Both", "learner"] == "logistic regression"
    assert "description" not in table
    full = {"icc": True, "test": "shapiro", "adjust": "bh", "lasso": True, "lasso_rule": "lambda_1se"}
    words = selection_words(Signature(name="x", sources=["deep"], selection=full, harmonise=True))
    assert words == (
        "centers harmonised (ComBat); two readers agree; t or Mann–Whitney test (by Shapiro–Wilk), P < 0.05, "
        "Benjamini–Hochberg; LASSO, one-standard-error rule"
    )
    assert "nothing is fitted" in selection_words(Signature(name="x", sources=["deep"], learner="Network"))


def test_cox_equals_scikit_survivals_and_reaches_its_maximum_where_a_step_overshoots():
    rng = np.random.default_rng(0)
    for n in (12, 40, 120):
        X = rng.standard_t(1.5, size=(n, 3))
        X = (X - X.mean(axis=0)) / X.std(axis=0)
        y = Surv.from_arrays(rng.random(n) < 0.6, np.round(rng.exponential(np.exp(-X[:, 0]))) + 1)
        theirs = CoxPHSurvivalAnalysis(alpha=1e-3, ties="efron").fit(X, y).coef_
        np.testing.assert_allclose(CoxRisk().fit(X, y).coef_, theirs, rtol=1e-6, atol=1e-7)
    monotone = np.arange(8.0)[:, None]  # the first to die has the lowest value: only the ridge ends the climb
    y = Surv.from_arrays(np.ones(8, bool), np.arange(1.0, 9.0))
    slope = CoxRisk().fit(monotone / 2.3, y).coef_[0]
    assert np.isfinite(slope)
    assert slope < -3


@pytest.mark.parametrize("alpha", [1.0, 100.0])
def test_ridge_cox_equals_scikit_survivals_with_more_columns_than_events(alpha):
    rng = np.random.default_rng(4)
    X = rng.normal(size=(50, 30))
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    y = Surv.from_arrays(rng.random(50) < 0.4, np.round(rng.exponential(np.exp(-X[:, 0])) * 10) + 1)
    theirs = CoxPHSurvivalAnalysis(alpha=alpha, ties="efron", n_iter=200, tol=1e-12).fit(X, y).coef_
    np.testing.assert_allclose(CoxRisk(alpha=alpha).fit(X, y).coef_, theirs, rtol=1e-6, atol=1e-8)


def test_the_ridge_of_cox_is_tuned_from_the_strongest_penalty_and_boosting_not_at_all():
    ridge = learner("CoxRidge", 0)
    [points] = ridge.grid
    assert points["alpha"] == sorted(points["alpha"], reverse=True)
    assert ridge.estimator.strongest_first
    boost = learner("BoostCox", 5)
    assert boost.grid == []
    wanted = {"n_estimators": 100, "max_depth": 2, "learning_rate": 0.05, "subsample": 0.5, "min_samples_leaf": 5}
    asked = boost.estimator.get_params()
    assert {key: asked[key] for key in wanted} == wanted
    assert (asked["max_features"], asked["random_state"]) == ("sqrt", 5)


def test_the_exact_elastic_net_meets_the_optimality_conditions_and_coxnets_strict_solution():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(60, 10))
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    y = Surv.from_arrays(rng.random(60) < 0.6, rng.exponential(np.exp(-X[:, 0])))
    strict = CoxnetSurvivalAnalysis(n_alphas=20, alpha_min_ratio=0.1, l1_ratio=1.0, tol=1e-13, max_iter=10**6)
    found = PenalisedCox(0.1).fit(X, y).coef_
    np.testing.assert_allclose(found, strict.fit(X, y).coef_[:, -1], atol=1e-6)


@pytest.mark.parametrize("mixing", [1.0, 0.5])
def test_the_cox_elastic_net_of_a_signature_meets_the_optimality_conditions(mixing):
    """At a hundredth of the largest penalty on wide data, where Coxnet stops 1.1 away; the score from risk sets."""
    rng = np.random.default_rng(4)
    X, n = rng.normal(size=(80, 200)), 80
    time, event = np.ceil(rng.exponential(np.exp(-X[:, 0]), n) * 20), rng.random(n) < 0.7  # tied
    X = (X - X.mean(axis=0)) / X.std(axis=0)

    def score(coef):
        risk = np.exp(X @ coef)
        at = [time >= t for t in time[event]]
        return sum(X[i] - risk[r] @ X[r] / risk[r].sum() for i, r in zip(np.flatnonzero(event), at, strict=True)) / n

    largest = np.abs(score(np.zeros(200))).max() / mixing
    models = PenalisedCox(mixing=mixing).fit_points(
        [{"strength": s} for s in (0.5, 0.01)], X, Surv.from_arrays(event, time)
    )
    for model in models:
        penalty, coef = model.strength * largest, model.coef_
        pull = score(coef) - penalty * (1 - mixing) * coef
        assert np.abs(pull[coef != 0] - penalty * mixing * np.sign(coef[coef != 0])).max() < 1e-8
        assert np.abs(pull[coef == 0]).max() < penalty * mixing + 1e-8
        assert 0 < (coef != 0).sum() < 200


POINTS = [
    (PenalisedLogistic(), [{"strength": s, "mixing": m} for m in (1.0, 0.3, 0.0) for s in (0.03, 0.5, 1.0)]),
    (GlmBoost(), [{"n_iterations": n, "learning_rate": r} for n in (20, 5) for r in (0.1, 0.3)]),
    (PlsLogistic(), [{"n_components": n} for n in (3, 1, 2)]),
    (
        GradientBoosting(subsample=0.5, random_state=4),
        [{"n_estimators": n, "max_depth": d} for d in (1, 2) for n in (3, 9, 6)],
    ),
    (ScaledSVC(class_weight="balanced"), [{"kernel": "linear", "C": 1.0}, {"C": 0.1}, {"C": 9.0, "gamma": 0.05}]),
]


@pytest.mark.parametrize(("learner", "points"), POINTS, ids=lambda part: type(part).__name__)
@pytest.mark.parametrize("columns", [6, 60])
def test_a_grid_fitted_at_once_is_the_same_as_point_by_point(learner, points, columns):
    rng = np.random.default_rng(7)
    X = rng.normal(size=(50, columns))
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    y = (X[:, 0] + rng.normal(size=50) > 0.3).astype(int)
    together = learner.fit_points(points, X[:40], y[:40])
    for point, model in zip(points, together, strict=True):
        alone = clone(learner).set_params(**point).fit(X[:40], y[:40])
        assert model.decision_function(X[40:]) == pytest.approx(alone.decision_function(X[40:]), rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("columns", [5, 90])
def test_ridge_equals_scikit_learns_at_a_strict_tolerance(columns):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(60, columns))
    y = (X[:, 0] + rng.normal(size=60) > 0).astype(int)
    for strength in (0.3, 1e-3):
        ours = PenalisedLogistic(strength, 0.0).fit(X, y)
        theirs = LogisticRegression(C=1 / (60 * ours.lambda_), tol=1e-12, max_iter=20_000, solver="newton-cg").fit(X, y)
        np.testing.assert_allclose(ours.coef_, theirs.coef_[0], rtol=1e-6, atol=1e-9)
        assert ours.intercept_ == pytest.approx(theirs.intercept_[0], rel=1e-6, abs=1e-9)
