"""What carries a prediction: closed forms, sums, and what each fold had seen."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator

from radsupport.errors import ContractError
from radsupport.learning import explanation, kept_run
from radsupport.learning.explanation import score, shap_values
from radsupport.learning.learners import learner
from radsupport.stats.outcome import as_target, log_odds


def _data(p=4, n=50, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    return X, (X[:, 0] + rng.normal(size=n) > 0).astype(int)


@pytest.mark.parametrize("name", ["LASSO", "glmBoost", "LDA", "plsRglm"])
def test_linear_values_are_coefficient_times_distance_from_the_mean(name):
    X, y = _data()
    model = learner(name, 1, "coarse").estimator.fit(X[:35], y[:35])
    values, base, how = shap_values(model, X[35:], X[:35])
    moved = X[35:] + np.eye(4)[:, None]  # one column one further: the slope of the log-odds
    slopes = [log_odds(model.predict_proba(one)[:, 1]) - log_odds(model.predict_proba(X[35:])[:, 1]) for one in moved]
    assert how == "linear"
    assert values == pytest.approx(np.column_stack(slopes) * (X[35:] - X[:35].mean(axis=0)), abs=1e-6)
    assert base + values.sum(axis=1) == pytest.approx(score(model, X[35:]), abs=1e-6)


def test_survival_values_add_up_to_the_risk_score():
    X, y = _data()
    followed = as_target(pd.DataFrame({"time": 1 + np.arange(50.0) % 13, "event": y}))
    model = learner("Cox", 1, "coarse").estimator.fit(X[:35], followed[:35])
    values, base, how = shap_values(model, X[35:], X[:35])
    assert (how, base + values.sum(axis=1)) == ("linear", pytest.approx(model.predict(X[35:]), abs=1e-8))


@pytest.mark.parametrize("name", ["GBM", "XGBoost"])
def test_trees_have_their_own_algorithm_and_add_up(name):
    X, y = _data()
    model = learner(name, 1, "coarse").estimator.set_params(n_estimators=5).fit(X[:35], y[:35])
    values, base, how = shap_values(model, X[35:], X[:35])
    assert (how, base + values.sum(axis=1)) == ("tree", pytest.approx(score(model, X[35:]), abs=1e-4))


def test_other_learners_are_permuted_and_equal_shapley_values_by_hand():
    X, y = _data(p=2)
    model = learner("NaiveBayes", 1, "coarse").estimator.fit(X[:35], y[:35])
    values, base, how = shap_values(model, X[35:38], X[:35])

    def mean_of(row, known):
        mixed = X[:35].copy()
        mixed[:, known] = row[known]
        return score(model, mixed).mean()

    for row, own in zip(X[35:38], values, strict=True):
        v = {k: mean_of(row, list(k)) for k in [(), (0,), (1,), (0, 1)]}
        first = (v[(0,)] - v[()] + v[(0, 1)] - v[(1,)]) / 2
        assert own == pytest.approx([first, v[(0, 1)] - v[()] - first])
    assert (how, base) == ("permutation", pytest.approx(v[()]))


def test_without_columns_there_is_the_base_alone():
    values, base, _ = shap_values(_Constant(), np.empty((15, 0)), np.empty((35, 0)))
    assert (values.shape, base) == ((15, 0), 0.25)


class _Constant(BaseEstimator):
    def predict(self, X):
        return np.full(len(X), 0.25)


def test_every_patient_is_explained_by_the_model_that_had_not_seen_them(finished):
    assembly, run = finished.assembly, finished.run
    for name in ("Radiomics", "Both"):
        explained = explanation.explain(run.results[name], assembly, name)
        risk = run.predictions.query(f"signature == '{name}' and kind == 'out_of_fold'").set_index("subject")
        found = explained.groupby("subject").first()
        sums = explained.groupby("subject")["contribution"].sum() + found["base"]
        assert sums.to_numpy() == pytest.approx(log_odds(risk.loc[found.index, "risk"]), abs=1e-6)
        assert (found["fold"] == risk.loc[found.index, "fold"]).all()
    assert set(explained["feature"]) == {"Radiomics", "Clinical"}


def test_values_are_in_the_units_of_the_table(finished):
    assembly, run = finished.assembly, finished.run
    explained = explanation.explain(run.results["Radiomics"], assembly, "Radiomics")
    X = assembly.training("Radiomics")[0]
    known = [X.loc[subject, feature] for subject, feature in explained[["subject", "feature"]].to_numpy()]
    assert explained["value"].to_numpy() == pytest.approx(known)
    sized = explained.assign(size=explained["contribution"].abs())
    sizes = sized.pivot_table(index="subject", columns="feature", values="size")
    top = explanation.strongest(explained, 2)
    assert top == sizes.fillna(0).mean().nlargest(2).index.tolist()
    assert top[0] == "ct__f0"  # which carries the effect
    one = explanation.patient(explained, explained["subject"].iloc[0], most=1)
    assert len(one) == 2
    assert one["base"].iloc[0] + one["contribution"].sum() == pytest.approx(one["score"].iloc[0])


def test_partial_dependence_by_brute_force(finished):
    assembly, result = finished.assembly, finished.run.results["Radiomics"]
    found = explanation.dependence(result, assembly, "Radiomics", ["ct__f0"], points=3)
    X, first = assembly.training("Radiomics")[0], result.risks.query("repeat == 0").set_index("subject")["fold"]
    models = {**result.models[0], -1: result.refit}
    assert set(found["repeat"]) <= set(models)
    for row in found.to_dict("records"):
        inside = X[first[X.index] != row["repeat"]].assign(ct__f0=row["x"])
        assert row["y"] == pytest.approx(models[row["repeat"]].risk(inside).mean())
    assert set(found["of"]) == {"own", "repeat"}
    assert explanation.dependence(result, assembly, "Radiomics", ["ct__nothing"]).empty


def test_the_two_ends_are_the_highest_and_the_lowest_prediction(finished):
    explained = explanation.explain(finished.run.results["Both"], finished.assembly, "Both")
    ends = explanation.extremes(explained)["score"]
    assert (ends.iloc[0], ends.iloc[-1]) == (explained["score"].max(), explained["score"].min())
    assert explanation.extremes(explained.head(0)).empty


def test_fits_are_kept_for_a_later_chapter(finished, tmp_path):
    run = finished.run
    run.keep(tmp_path / "fits.pkl")
    name, result = kept_run(tmp_path / "fits.pkl")
    assert name == "Radiomics"
    pd.testing.assert_frame_equal(result.risks, run.results["Radiomics"].risks)
    with pytest.raises(ContractError, match="run chapter 05 again"):
        kept_run(tmp_path / "nothing.pkl")
