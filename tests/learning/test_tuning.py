"""Tuning of whole pipelines and combinations of signatures: equal to the library where it can be, and free of leaks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from helpers.pipelines import N, factory_of, steps_of, table_of
from sklearn.base import BaseEstimator, clone
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline

from radsupport.errors import InputError
from radsupport.learning.crossval import cross_validate
from radsupport.learning.estimators import GivenRisk
from radsupport.learning.learners import learner
from radsupport.learning.linear import PenalisedCox, PenalisedLogistic
from radsupport.learning.preparation import Imputer, OneHot, z_score
from radsupport.learning.tuning import Choice, Combination, TunedPipeline, pooled_score
from radsupport.stats.outcome import as_target


def test_tuning_equals_grid_search_over_the_whole_pipeline():
    X, y = table_of(p=150, effect=0.8)
    grid = {"strength": [0.9, 0.5, 0.2, 0.05], "mixing": [1.0, 0.5]}
    ours = TunedPipeline(steps_of(), PenalisedLogistic(), [grid], inner_folds=4, seed=3).fit(X, y)
    inner = StratifiedKFold(4, shuffle=True, random_state=3)
    pipeline = Pipeline([*steps_of(), ("learner", PenalisedLogistic())])
    theirs = GridSearchCV(
        pipeline, {f"learner__{k}": v for k, v in grid.items()}, scoring=["roc_auc", "neg_log_loss"], cv=inner,
        refit=_best_by_auc_then_loss,
    ).fit(X, y)  # fmt: skip
    assert ours.tuning_["inner_score"].to_numpy() == pytest.approx(theirs.cv_results_["mean_test_roc_auc"])
    assert ours.tuning_["inner_loss"].to_numpy() == pytest.approx(-theirs.cv_results_["mean_test_neg_log_loss"])
    assert ours.inner_score_ == pytest.approx(theirs.cv_results_["mean_test_roc_auc"][theirs.best_index_])
    assert {f"learner__{k}": v for k, v in ours.best_params_.items()} == theirs.best_params_
    assert ours.risk(X) == pytest.approx(theirs.predict_proba(X)[:, 1])


def _best_by_auc_then_loss(results):
    auc = np.round(results["mean_test_roc_auc"], 2)
    return max(range(len(auc)), key=lambda i: (auc[i], results["mean_test_neg_log_loss"][i]))


def test_log_loss_decides_how_far_risks_of_the_same_order_are_shrunk():
    X, y = table_of(n=200, events=80, p=2, effect=1.5)
    X = X[["f0"]]
    grid = [{"strength": [0.9, 0.5, 0.01]}]  # one feature: the order of risks is the same at any penalty
    chosen = TunedPipeline([("z_score", z_score())], PenalisedLogistic(), grid, inner_folds=4, seed=0).fit(X, y)
    assert np.ptp(chosen.tuning_["inner_score"]) < 1e-12
    assert chosen.best_params_ == {"strength": 0.01}
    marked = chosen.tuning_.loc[
        chosen.tuning_["chosen"], "settings"
    ]  # the one that is fitted, not the first of the best
    assert marked.tolist() == ['{"strength": 0.01}']
    assert chosen.risk(X).std() > 0.1


def test_a_cox_lasso_takes_the_strongest_penalty_within_one_standard_error():
    X, y = table_of(n=120, events=60, p=200, effect=0.7, seed=1)
    rng = np.random.default_rng(4)
    outcome = pd.DataFrame({"time": rng.exponential(np.where(y == 1, 10.0, 30.0)), "event": rng.random(120) < 0.7})
    grid = {"strength": [0.8, 0.5, 0.2, 0.05]}
    model = TunedPipeline([("z_score", z_score())], PenalisedCox(), [grid], inner_folds=4, seed=1).fit(X, outcome)
    score, sd = model.tuning_["inner_score"], model.tuning_["inner_sd"]
    near = score >= score.max() - sd[score.idxmax()] / 2
    assert model.best_params_["strength"] == grid["strength"][int(near.idxmax())]
    assert model.best_params_["strength"] > grid["strength"][int(score.idxmax())]
    assert np.flatnonzero(model.tuning_["chosen"]).tolist() == [int(near.idxmax())]


def test_inner_score_of_noise_is_honest_although_features_are_selected():
    scores = []
    for seed in range(5):
        X, y = table_of(p=800, seed=seed)
        scores.append(
            TunedPipeline(steps_of(), PenalisedLogistic(0.3), inner_folds=5, seed=seed).fit(X, y).inner_score_
        )
    assert np.mean(scores) == pytest.approx(0.5, abs=0.11)


def test_calibration_of_the_svm_is_honest_although_features_are_selected():
    # On noise the risks must stay near the prevalence; a curve fitted after selection would spread them.
    spreads = []
    for seed in range(4):
        X, y = table_of(p=800, seed=seed)
        chosen = learner("SVM", seed, "coarse")
        model = TunedPipeline(steps_of(20), chosen.estimator, [{"kernel": ["linear"], "C": [1.0]}], 5, seed).fit(X, y)
        spreads.append(model.risk(table_of(p=800, seed=100 + seed)[0]).std())
    assert np.mean(spreads) < 0.12


def test_inner_risks_are_out_of_fold_at_the_chosen_settings():
    X, y = table_of(p=60, effect=0.8)
    for name in ("SVM", "Ridge", "NaiveBayes"):
        chosen = learner(name, 0, "coarse")
        model = TunedPipeline(steps_of(), *chosen, 3, 5).fit(X, y)
        again = np.empty(N)
        for train, test in StratifiedKFold(3, shuffle=True, random_state=5).split(X, y):
            part = TunedPipeline(steps_of(), chosen.estimator.set_params(**model.best_params_), (), 3, 5)
            again[test] = part.fit(X.iloc[train], y.iloc[train]).risk(X.iloc[test])
        if name == "SVM":  # its curve is fitted on all inner scores: the order within a fold is the same
            assert roc_auc_score(y, model.inner_risk_) == pytest.approx(roc_auc_score(y, again), abs=0.1)
        else:
            assert model.inner_risk_ == pytest.approx(again)


def test_a_score_is_in_sds_of_the_models_own_inner_log_odds():
    X, y = table_of(effect=0.5)
    model = TunedPipeline(steps_of(), *learner("Ridge", 0, "coarse"), 4, 1).fit(X, y)
    new, _ = table_of(effect=0.5, seed=3)
    risk = model.risk(new)
    inner = np.log(model.inner_risk_ / (1 - model.inner_risk_))
    expected = (np.log(risk / (1 - risk)) - inner.mean()) / inner.std()
    score = pooled_score(model, risk, survival=False)
    assert score == pytest.approx(expected)
    assert np.argsort(score).tolist() == np.argsort(risk).tolist()
    assert pooled_score(model, model.inner_risk_, survival=False).mean() == pytest.approx(0, abs=1e-12)
    given = TunedPipeline([], GivenRisk()).fit(pd.DataFrame({"risk": y / 2 + 0.2}, index=y.index), y)
    assert pooled_score(given, risk, survival=False) is risk, "an output that is taken as it is has no scale"
    assert pooled_score(Memoriser().fit(X, y), risk, survival=False) is risk
    model.inner_risk_ = np.full(len(y), 0.5)  # the same for everybody
    assert pooled_score(model, risk, survival=False) == pytest.approx(np.log(risk / (1 - risk)))
    followed = as_target(pd.DataFrame({"time": 1.0 + np.arange(len(y)) % 9, "event": y}))
    cox = TunedPipeline([("z_score", z_score())], *learner("CoxLasso", 0, "coarse"), 3, 1).fit(X, followed)
    kept = cox.inner_risk_
    hazard = pooled_score(cox, cox.risk(new), survival=True)
    assert hazard == pytest.approx((cox.risk(new) - kept.mean()) / kept.std())


def test_gaps_that_reach_the_learner_are_refused():
    X, y = table_of()
    with pytest.raises(InputError, match="put an imputation among the steps"):
        TunedPipeline([], PenalisedLogistic(), (), 3, 0).fit(X.mask(X > 2), y)


def test_fitted_steps_are_shared_through_memory(tmp_path):
    X, y = table_of(p=60, effect=0.8)
    plain = TunedPipeline(steps_of(), *learner("LASSO", 0, "coarse"), 3, 5).fit(X, y)
    for _ in range(2):
        shared = TunedPipeline(steps_of(), *learner("LASSO", 0, "coarse"), 3, 5, memory=str(tmp_path)).fit(X, y)
        assert shared.risk(X).tolist() == plain.risk(X).tolist()
    other = TunedPipeline(steps_of(), *learner("LASSO", 0, "coarse"), 3, 5, memory=str(tmp_path)).fit(X, 1 - y)
    assert other.risk(X).tolist() != plain.risk(X).tolist()
    assert len(list(tmp_path.glob("*.fit"))) == 2


def test_a_remembered_fit_is_that_of_the_same_question(tmp_path):
    X, y = table_of(p=60, effect=0.8)
    asked = {"memory": str(tmp_path), "inner_folds": 3, "seed": 5}
    first = TunedPipeline(steps_of(), PenalisedLogistic(0.3), **asked).fit(X, y)
    again = TunedPipeline(steps_of(), PenalisedLogistic(0.3), **asked).fit(X, y)
    assert again.inner_risk_.tolist() == first.inner_risk_.tolist()
    weaker = TunedPipeline(steps_of(), PenalisedLogistic(0.01), **asked).fit(X, y)
    assert weaker.risk(X).tolist() != first.risk(X).tolist()
    seed = TunedPipeline(steps_of(), PenalisedLogistic(0.3), **asked | {"seed": 6}).fit(X, y)
    assert seed.inner_risk_.tolist() != first.inner_risk_.tolist()


class Memoriser(BaseEstimator):
    """Knows every training subject by heart and says nothing about others."""

    def fit(self, X, y):
        self.known_ = dict(zip(X.index, y, strict=True))
        return self

    def risk(self, X):
        return np.array([self.known_.get(subject, 0.5) for subject in X.index], dtype=float)


def _meta(inner_folds, seed):
    steps = [("imputation", Imputer()), ("one_hot", OneHot()), ("z_score", z_score())]
    return TunedPipeline(steps, *learner("Logistic", seed), inner_folds, seed)


def test_combination_does_not_trust_a_part_that_only_memorised():
    X, y = table_of(effect=1.0)
    parts = [("memory", ["f5"], Memoriser()), ("signal", list(X.columns), factory_of(3, 0))]
    model = Combination(parts, [], _meta(3, 0), 3, 0).fit(X, y)
    apparent = roc_auc_score(y, model.part_risks(X)["memory"])
    assert apparent == 1.0
    new, truth = table_of(effect=1.0, seed=5)
    signal = model.part_risks(new)["signal"]
    assert np.argsort(model.risk(new)).tolist() == np.argsort(signal.to_numpy()).tolist()
    assert roc_auc_score(truth, model.risk(new)) > 0.7
    # Where the combination is judged on its training subjects, the memory does not give them away.
    assert roc_auc_score(y, model.risk(X)) < 1.0


def test_combination_with_clinical_columns_and_its_noise_control():
    X, y = table_of(p=300)
    age = pd.Series(60 + 8 * y + np.random.default_rng(1).normal(0, 5, N), index=y.index)
    sex = pd.Series(np.random.default_rng(2).choice(["F", "M"], N), index=y.index)
    table = X.assign(age=age, sex=sex)

    def factory(columns):
        return lambda inner, seed: Combination(
            [("noise", list(X.columns), factory_of(inner, seed))], columns, _meta(inner, seed), inner, seed
        )

    with_age = cross_validate(table, y, factory(["age", "sex"]), folds=4, inner_folds=3, refit=False)
    assert with_age.by_repeat["score"].item() > 0.75
    assert [name[:4] for name in with_age.models[0][0].features_] == ["nois", "age", "sex="]
    alone = cross_validate(table, y, factory([]), folds=4, inner_folds=3, refit=False)
    assert abs(alone.by_repeat["score"].item() - 0.5) < 0.25
    with pytest.raises(InputError, match="different names"):
        Combination([("age", ["f0"], Memoriser())], ["age"], _meta(3, 0)).fit(table, y)


def _part(name, columns, grid=()):
    steps = [("imputation", Imputer()), ("one_hot", OneHot()), ("z_score", z_score())]
    return name, columns, TunedPipeline(steps, PenalisedLogistic(0.05), list(grid), 3, 0)


def test_a_choice_takes_the_first_candidate_within_one_standard_error_of_the_best():
    X, y = table_of(p=8, effect=1.2)
    signal, more = _part("signal", ["f0"]), _part("signal and noise", list(X.columns))
    noise = _part("noise", ["f5", "f6"])
    model = Choice([noise, signal, more], 4, 1, repeats=3).fit(X, y)
    assert model.tuning_["chosen"].sum() == 1
    table = model.tuning_.set_index("settings")
    best = table["inner_score"].idxmax()
    limit = table.loc[best, "inner_score"] - table.loc[best, "inner_sd"] / np.sqrt(4)
    assert model.chosen_ == table.index[table["inner_score"] >= limit][0] != "noise"
    by_hand = []
    for repeat in range(3):
        for train, test in StratifiedKFold(4, shuffle=True, random_state=1 + repeat).split(X, y):
            one = clone(noise[2]).fit(X[noise[1]].iloc[train], y.iloc[train])
            by_hand.append(roc_auc_score(y.iloc[test], one.risk(X[noise[1]].iloc[test])))
    assert table.loc["noise", ["inner_score", "inner_sd"]].tolist() == pytest.approx(
        [np.mean(by_hand), np.std(by_hand, ddof=1)]
    )
    alone = clone({name: one for name, _, one in model.parts}[model.chosen_]).fit(X[model.columns_], y)
    assert model.risk(X).tolist() == alone.risk(X[model.columns_]).tolist()
    assert pooled_score(model, model.risk(X), survival=False) == pytest.approx(
        pooled_score(alone, alone.risk(X[model.columns_]), survival=False)
    )
    assert Choice([signal, _part("again", ["f0"])], 3, 0).fit(X, y).chosen_ == "signal", "the plainest belongs first"


def test_a_choice_among_noise_finds_nothing_and_is_made_in_every_fold_anew():
    X, y = table_of(p=12, effect=0)
    X = X.assign(**{f"f{i}": np.random.default_rng(i).normal(size=len(X)) for i in range(12)})
    parts = [_part(f"n{i}", [f"f{i}", f"f{i + 1}"]) for i in range(0, 12, 2)]
    result = cross_validate(X, y, lambda inner, seed: Choice(parts, inner, seed), folds=5, inner_folds=3, refit=False)
    assert len({model.chosen_ for model in result.models[0].values()}) > 1
    assert abs(result.by_repeat["score"].item() - 0.5) < 0.2
    assert result.inner_score() == pytest.approx(np.mean([m.inner_score_ for m in result.models[0].values()]))
