"""The engine: nothing may leak, and a leak would be found by these tests."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pandas as pd
import pytest
from helpers.pipelines import N, factory_of, steps_of, table_of
from joblib import parallel_config
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sksurv.metrics import concordance_index_censored

from radsupport.errors import InputError, NotEstimableError
from radsupport.learning.crossval import FoldTables, cross_validate
from radsupport.learning.learners import learner
from radsupport.learning.linear import PenalisedLogistic
from radsupport.learning.preparation import Imputer, OneHot, z_score
from radsupport.learning.selection import UnivariateSelector
from radsupport.learning.tuning import TunedPipeline
from radsupport.stats.outcome import as_target, assign_folds, discrimination


def _quick(inner_folds, seed):
    return LogisticRegression()


class Spy(TransformerMixin, BaseEstimator):
    """Notes which subjects each of its fits has seen."""

    fits: list = []  # noqa: RUF012 - shared by clones on purpose

    def fit(self, X, y=None):
        Spy.fits.append(set(X.index))
        self.seen_ = set(X.index)
        return self

    def transform(self, X):
        return X


def test_noise_stays_noise_although_selection_outside_the_folds_would_find_a_lot():
    honest, leaky = [], []
    for seed in range(5):
        X, y = table_of(p=800, seed=seed)
        settings = {"folds": 5, "inner_folds": 2, "seed": seed, "refit": False}
        honest.append(cross_validate(X, y, factory_of, **settings).by_repeat["score"].item())
        outside = UnivariateSelector("t", 1e-9, keep_at_least=5).fit(X, y).transform(X)
        leaky.append(cross_validate(outside, y, factory_of, **settings).by_repeat["score"].item())
    # SE of one AUC here is about 0.08, of the mean of five 0.036; three of them around 0.5.
    assert np.mean(honest) == pytest.approx(0.5, abs=0.11)
    assert np.mean(leaky) > 0.75


def test_planted_signal_is_found():
    X, y = table_of(p=200, effect=1.5)
    result = cross_validate(X, y, factory_of, folds=5, inner_folds=2)
    assert result.by_repeat["score"].item() > 0.8
    assert all({"f0", "f1"} <= set(model.features_) for model in result.models[0].values())


def test_own_label_and_fold_mates_labels_do_not_touch_a_subjects_risk():
    X, y = table_of(p=100, effect=1.0)
    folds = assign_folds(y, 5, 0)
    before = cross_validate(X, y, factory_of, folds=folds, inner_folds=2, refit=False).risks.set_index("subject")[
        "risk"
    ]
    flipped = y.where(folds != 2, 1 - y)
    after = cross_validate(X, flipped, factory_of, folds=folds, inner_folds=2, refit=False).risks.set_index("subject")
    inside = folds.index[folds == 2]
    assert after.loc[inside, "risk"].tolist() == before[inside].tolist()
    assert not np.allclose(after.loc[folds.index[folds != 2], "risk"], before[folds.index[folds != 2]])


def test_no_fit_sees_a_test_subject():
    X, y = table_of()
    Spy.fits = []

    def factory(inner_folds, seed):
        return TunedPipeline(
            [("spy", Spy()), *steps_of()], PenalisedLogistic(), [{"strength": [0.1, 0.5]}], inner_folds, seed
        )

    result = cross_validate(X, y, factory, folds=4, inner_folds=3, refit=False)
    folds = result.risks.set_index("subject")["fold"]
    assert len(Spy.fits) == 4 * (3 + 1)
    for k in range(4):
        test, fits = set(folds.index[folds == k]), Spy.fits[4 * k : 4 * k + 4]
        assert all(not (seen & test) for seen in fits)
        # Inner fits leave each training subject out once, the last one uses them all.
        assert sum(len(seen) for seen in fits[:3]) == 2 * (N - len(test))
        assert fits[3] == set(X.index) - test
        assert dict(result.models[0][k].pipeline_.steps)["spy"].seen_ == fits[3]


def test_extreme_values_of_a_test_subject_do_not_move_the_others():
    X, y = table_of(p=50)
    folds = assign_folds(y, 4, 0)
    odd = X.copy()
    odd.loc[folds.index[folds == 1]] = 1e8
    a, b = (cross_validate(t, y, factory_of, folds=folds, inner_folds=2, refit=False) for t in (X, odd))
    assert a.models[0][1].features_ == b.models[0][1].features_
    assert a.models[0][1].risk(X).tolist() == b.models[0][1].risk(X).tolist()


def test_every_subject_is_judged_once_per_repeat_by_stratified_folds():
    X, y = table_of()
    result = cross_validate(X, y, _quick, folds=10, inner_folds=2, repeats=3, refit=False)
    for _, rows in result.risks.groupby("repeat"):
        assert sorted(rows["subject"]) == sorted(X.index)
        assert y[rows["subject"]].groupby(rows["fold"].to_numpy()).sum().tolist() == [2] * 10
    drawn = [rows.set_index("subject")["fold"].sort_index().tolist() for _, rows in result.risks.groupby("repeat")]
    assert drawn[0] != drawn[1]


def test_ten_events_in_ten_folds_are_one_per_fold():
    _, y = table_of(n=56, events=10)
    assert y.groupby(assign_folds(y, 10, 5)).sum().tolist() == [1] * 10


def test_same_seed_same_result_in_any_order_and_number_of_processes():
    X, y = table_of(p=60, effect=0.5)
    first = cross_validate(X, y, factory_of, folds=4, inner_folds=2, repeats=2, seed=7)
    again = cross_validate(X.sample(frac=1, random_state=1), y, factory_of, folds=4, inner_folds=2, repeats=2, seed=7)
    pd.testing.assert_frame_equal(first.risks, again.risks)
    pd.testing.assert_frame_equal(first.tuning, again.tuning)
    assert first.apparent.equals(again.apparent)
    other = cross_validate(X, y, factory_of, folds=4, inner_folds=2, seed=8)
    assert other.risks["risk"].tolist() != first.risks[first.risks["repeat"] == 0]["risk"].tolist()
    with parallel_config(backend="threading"):  # starting processes takes longer than all other tests here
        parallel = cross_validate(X, y, factory_of, folds=4, inner_folds=2, seed=8, n_jobs=2)
    pd.testing.assert_frame_equal(parallel.risks, other.risks)
    sent = pickle.loads(pickle.dumps(other.models[0][0]))
    assert sent.risk(X).tolist() == other.models[0][0].risk(X).tolist()


def test_the_tuning_table_names_the_settings_that_each_folds_learner_has():
    X, y = table_of(p=60, effect=0.5)
    grid = [{"strength": [0.5, 0.2, 0.1, 0.05, 0.02]}]

    def factory(inner, seed):
        return TunedPipeline([("z_score", z_score())], PenalisedLogistic(mixing=0.5), grid, inner, seed)

    result = cross_validate(X, y, factory, folds=5, inner_folds=3, repeats=4)
    fitted = {(r, float(k)): model for r, models in enumerate(result.models) for k, model in models.items()}
    table = result.tuning.fillna({"fold": -1.0})
    assert (table.groupby(["repeat", "fold"])["chosen"].sum() == 1).all()
    for place, own in table[table["chosen"]].set_index(["repeat", "fold"]).iterrows():
        model = fitted.get(place, result.refit)
        assert json.loads(own["settings"]) == {"strength": dict(model.pipeline_.steps)["learner"].strength}
        assert own["inner_score"] == model.inner_score_
    # By the log-loss among points of the same order another one than the highest inner score is fitted at times.
    highest = table.loc[table.groupby(["repeat", "fold"])["inner_score"].idxmax()]
    assert not highest["chosen"].all()


def test_on_one_scale_nothing_to_find_is_no_longer_ranked_the_wrong_way_round():
    raw, scaled = [], []
    for seed in range(12):
        X, y = table_of(n=40, events=14, p=6, seed=seed)
        # Folds of unequal shares of events: the more a fold holds, the fewer its model has seen, the lower its risks.
        drawn = pd.Series(np.random.default_rng(seed).permutation(np.arange(40) % 8), index=y.index)
        found, again = (
            cross_validate(X, y, _shrunk, folds=drawn, inner_folds=3, refit=False, pooling=one)
            for one in ("raw", "standardised")
        )
        raw.append(found.by_repeat["score"].item())
        scaled.append(again.by_repeat["score"].item())
        both = found.risks.set_index("subject").loc[X.index]
        assert scaled[-1] == pytest.approx(roc_auc_score(y, both["score"]))
        for _, part in both.groupby("fold"):  # within a fold the order is that of the risk
            assert np.argsort(part["score"], kind="stable").tolist() == np.argsort(part["risk"], kind="stable").tolist()
    assert np.mean(raw) < 0.46
    assert np.mean(raw) + 0.02 < np.mean(scaled) < 0.56


def _shrunk(inner_folds, seed):
    return TunedPipeline([("z_score", z_score())], PenalisedLogistic(1.0, 0.0), [], inner_folds, seed)


def test_scores_apparent_and_external_risks():
    X, y = table_of(effect=0.7)
    new, _ = table_of(seed=9)
    result = cross_validate(X, y, _quick, folds=5, inner_folds=2, repeats=2)
    for (_, rows), score in zip(result.risks.groupby("repeat"), result.by_repeat["score"], strict=True):
        assert score == pytest.approx(roc_auc_score(y[rows["subject"]], rows["risk"]))
    whole = LogisticRegression().fit(X, y)
    assert result.apparent.to_numpy() == pytest.approx(whole.predict_proba(X)[:, 1])
    assert result.external_risk(new, "refit").to_numpy() == pytest.approx(whole.predict_proba(new)[:, 1])
    folds = [model.predict_proba(new)[:, 1] for model in result.models[0].values()]
    assert len(folds) == 5
    assert result.external_risk(new).to_numpy() == pytest.approx(np.mean(folds, axis=0))
    with pytest.raises(InputError, match="'refit' after a refit"):
        cross_validate(X, y, _quick, folds=5, inner_folds=2, refit=False).external_risk(new, "refit")


def test_missing_values_are_filled_inside_the_fold():
    X, y = table_of(effect=1.0)
    X = X.mask(np.random.default_rng(0).random(X.shape) < 0.1)
    result = cross_validate(X, y, factory_of, folds=5, inner_folds=2)
    assert result.risks["risk"].between(0, 1).all()
    folds = result.risks.set_index("subject")["fold"]
    imputer = dict(result.models[0][3].pipeline_.steps)["imputation"]
    assert imputer.fill_["f4"] == X.loc[folds.index[folds != 3], "f4"].median()


def test_constant_features_are_dropped_and_counted():
    X, y = table_of(effect=1.0)
    result = cross_validate(X.assign(f5=1.0, f6=0.0), y, factory_of, folds=5, inner_folds=2)
    variance = result.funnel[result.funnel["step"] == "variance"]
    assert variance["n_out"].tolist() == [18] * 6
    assert set(variance["reasons"]) == {"2 constant"}
    assert result.funnel.groupby("fold", dropna=False).size().tolist() == [3] * 6
    with pytest.raises(InputError, match="kept none"):
        cross_validate(X * 0, y, factory_of, folds=5, inner_folds=2)


def test_bad_input_is_refused_before_anything_runs():
    X, y = table_of()
    with pytest.raises(NotEstimableError, match=r"Use between 2 and 20 folds"):
        cross_validate(X, y, _quick, folds=30)
    with pytest.raises(NotEstimableError, match=r"training part has 16 subjects with .* 17 inner folds"):
        cross_validate(X, y, _quick, folds=5, inner_folds=17)
    with pytest.raises(NotEstimableError, match="both 0 and 1"):
        cross_validate(X, y * 0, _quick)
    one_sided = pd.Series(np.where(y == 1, 0, 1), index=y.index)
    with pytest.raises(NotEstimableError, match="Without fold 0 the training part has 0"):
        cross_validate(X, y, _quick, folds=one_sided)
    with pytest.raises(
        InputError, match=r"(?s)1\. .*y lacks subjects.*2\. .*X lacks subjects.*3\. .*column f3.*infinite"
    ):
        cross_validate(X.drop(index="s001").assign(f3=np.inf), y.drop(index="s002"), _quick)
    with pytest.raises(InputError, match="subjects twice"):
        cross_validate(pd.concat([X, X.iloc[:1]]), y, _quick)
    with pytest.raises(InputError, match="lacks 1 of the subjects"):
        cross_validate(X, y, _quick, folds=assign_folds(y, 5, 0).iloc[1:])
    with pytest.raises(InputError, match="0 and 1 only"):
        cross_validate(X, y * 2, _quick)


def test_features_learnt_per_fold_are_used_in_their_fold():
    X, y = table_of()
    folds = assign_folds(y, 4, 0)
    # Table k holds the constant k in place of a feature: each model must have seen its own only.
    tables = FoldTables({k: X.assign(f0=float(k)) for k in range(4)}, X.assign(f0=-1.0))

    class Remember(BaseEstimator):
        def fit(self, X, y):
            self.seen_ = X["f0"].unique().tolist()
            return self

        def predict(self, X):
            return X["f0"].to_numpy()

    result = cross_validate(tables, y, lambda inner, seed: Remember(), folds=folds, inner_folds=2)
    assert {k: model.seen_ for k, model in result.models[0].items()} == {k: [float(k)] for k in range(4)}
    assert (result.risks["risk"] == result.risks["fold"]).all()
    assert result.refit.seen_ == [-1.0]
    assert result.external_risk(tables).unique().tolist() == [1.5]
    assert result.external_risk(tables, "refit").unique().tolist() == [-1.0]
    with pytest.raises(InputError, match="the Series they were learnt with"):
        cross_validate(tables, y, _quick, folds=4)
    with pytest.raises(InputError, match="no feature table for fold 3"):
        cross_validate(FoldTables({0: X, 1: X, 2: X}, X), y, _quick, folds=folds, inner_folds=2)


def test_categories_are_coded_inside_the_fold():
    _, y = table_of()
    shape = pd.Series(np.where(y == 1, "lobed", "round"), index=y.index)
    shape.iloc[0] = "seen once"

    def factory(inner_folds, seed):
        return TunedPipeline(
            [("imputation", Imputer()), ("one_hot", OneHot())], PenalisedLogistic(), (), inner_folds, seed
        )

    result = cross_validate(pd.DataFrame({"shape": shape}), y, factory, folds=5, inner_folds=2)
    assert result.by_repeat["score"].item() > 0.9
    fold = result.risks.set_index("subject").loc[y.index[0], "fold"]
    assert "shape=seen once" not in result.models[0][fold].features_


def _survival(effect, n=90, seed=0):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, 5)), columns=list("abcde"), index=[f"s{i}" for i in range(n)])
    time, censor = rng.exponential(20 * np.exp(-effect * X["a"])), rng.uniform(5, 60, n)
    return X, pd.DataFrame({"time": np.minimum(time, censor), "event": (time <= censor).astype(int)}, index=X.index)


@pytest.mark.parametrize("name", ["Cox", "CoxLasso"])
def test_survival_endpoint(name):
    X, y = _survival(1.5)

    def factory(inner_folds, seed):
        return TunedPipeline([("z_score", z_score())], *learner(name, seed, "coarse"), inner_folds, seed)

    result = cross_validate(X, y, factory, folds=5, inner_folds=3, repeats=2)
    rows = result.risks[result.risks["repeat"] == 1].set_index("subject").loc[y.index]
    expected = concordance_index_censored(y["event"].astype(bool), y["time"], rows["risk"])[0]
    assert result.by_repeat["score"].iloc[1] == pytest.approx(expected)
    assert expected > 0.65
    assert result.inner_score() > 0.65
    with pytest.raises(NotEstimableError, match="censored"):
        cross_validate(X, y.assign(event=0), factory)


def test_discrimination_of_ties_and_of_one_class():
    y = as_target([0, 0, 1, 1])
    assert discrimination(y, np.array([1.0, 2.0, 2.0, 3.0])) == 0.875
    assert discrimination(y, np.ones(4)) == 0.5
    assert np.isnan(discrimination(np.zeros(4, dtype=int), np.arange(4.0)))
    late = as_target(pd.DataFrame({"time": [1.0, 2.0, 3.0], "event": [0, 0, 1]}))
    assert np.isnan(discrimination(late, np.arange(3.0)))


def _real(shared, name):
    table = pd.read_csv(shared / "real" / "radmlbench" / f"{name}.csv.gz").drop_duplicates("ID").set_index("ID")
    return table, table.pop("Target")


@pytest.mark.parametrize(("name", "low", "high"), [("WORC-GIST", 0.62, 0.8), ("WORC-Melanoma", 0.0, 0.6)])
def test_real_tables_with_and_without_signal(shared, name, low, high):
    # Published quick cross-validations of these tables: AUC 0.71 and 0.41.
    X, y = _real(shared, name)

    def factory(inner_folds, seed):
        steps = [("imputation", Imputer()), ("univariate", UnivariateSelector("mann_whitney")), ("z_score", z_score())]
        return TunedPipeline(steps, PenalisedLogistic(1e-4, 0.0), (), inner_folds, seed)

    result = cross_validate(X, y, factory, folds=5, inner_folds=2, refit=False)
    assert low < result.by_repeat["score"].item() < high


def test_a_follow_up_in_which_hardly_anybody_is_censored_is_cross_validated():
    rng = np.random.default_rng(2)
    X = pd.DataFrame(rng.normal(size=(24, 2)), [f"p{i}" for i in range(24)], ["a", "b"])
    y = pd.DataFrame({"time": rng.exponential(np.exp(-2 * X["a"])) + 0.01, "event": 1}, X.index)

    def factory(inner_folds, seed):
        chosen = learner("CoxLasso", grid="coarse")
        return TunedPipeline([("z_score", z_score())], chosen.estimator, chosen.grid, inner_folds, seed)

    for censored in (0, 2):
        y["event"] = (np.arange(24) >= censored).astype(int)
        found = cross_validate(X, y, factory, folds=4, inner_folds=3)
        assert found.by_repeat["score"].item() > 0.7
    y["event"] = (np.arange(24) < 4).astype(int)
    with pytest.raises(NotEstimableError, match="inner folds need as many events"):
        cross_validate(X, y, factory, folds=4, inner_folds=4)
