"""Learners that an analyst brings: checked before anything is fitted, tuned in inner folds, judged outside the fold."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import GradientBoostingClassifier, IsolationForest, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sksurv.ensemble import RandomSurvivalForest

from radsupport.checks import tied
from radsupport.errors import InputError
from radsupport.evaluate import reruns
from radsupport.learning.inspection import linear_coefficients
from radsupport.learning.learners import learner, own_learners
from radsupport.learning.signatures import run_signatures
from radsupport.learning.tuning import TunedPipeline

BOOSTING = (GradientBoostingClassifier(n_estimators=5, random_state=0), {"learning_rate": [0.05, 0.5]})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"Mine": (Ridge(), {})}, "Ridge has neither `predict_proba` nor `decision_function`: a regressor"),
        ({"Mine": (GradientBoostingClassifier, {})}, r"write GradientBoostingClassifier\(\), with brackets"),
        ({"Mine": "SVM"}, "a str, no scikit-learn estimator"),
        ({"SVM": BOOSTING}, "value SVM. is no name for a learner of your own"),
        ({"Mine": (LogisticRegression(), {"c": [1.0]})}, "has no parameter `c`.*did you mean `C`"),
        ({"Mine": (LogisticRegression(), {"C": [1.0, -2.0]})}, "'C' parameter of LogisticRegression must be"),
        ({"Mine": (LogisticRegression(), {"C": 1.0})}, "its grid is no grid"),
        ({"Mine": (LogisticRegression(), {"C": []})}, "its grid is no grid"),
        ({"Mine": (LogisticRegression(), "C")}, "its grid is no grid"),
        ("{'Boosting': 1}", "must give each name its estimator and grid"),
    ],
)
def test_what_can_not_be_used_is_refused_with_the_remedy(given, words):
    with pytest.raises(InputError, match=words):
        own_learners(given)


def test_all_problems_are_named_at_once_and_survival_needs_a_survival_model():
    with pytest.raises(InputError) as error:
        own_learners({"A": Ridge(), "B": (LogisticRegression(), {"x": [1], "y": [2]})})
    assert len(error.value.problems) == 3
    assert set(own_learners({"Woods": RandomSurvivalForest()}, survival=True)) == {"Woods"}
    for estimator in (LogisticRegression(), Ridge()):
        with pytest.raises(InputError, match="predicts no risk over time"):
            own_learners({"A": estimator}, survival=True)
    assert set(own_learners({"Odd": IsolationForest()})) == {"Odd"}  # a decision value orders patients too


def test_a_seed_left_open_is_the_run_s_and_one_given_stays():
    own = own_learners({"Open": RandomForestClassifier(), "Set": RandomForestClassifier(random_state=7)})
    assert learner("Open", seed=3, own=own).estimator.random_state == 3
    assert learner("Set", seed=3, own=own).estimator.random_state == 7
    with pytest.raises(InputError, match="Did you mean 'Open'"):
        learner("Opem", own=own)


@pytest.fixture
def compared(small, folder):
    study = small.study([small.radiomics])
    given = {"Boosting": BOOSTING, "Margin": RidgeClassifier(), "Fixed": BOOSTING[0]}
    assembly = small.assemble(study, folder(), learners=given)
    protocol = small.protocol(study)
    table = reruns.learners(assembly, ["radiomics"], ["LDA"], **protocol).set_index("learner")
    compared = reruns.with_learners(study.signatures, ["radiomics"], ["Boosting", "Margin"])
    return study, assembly, table, run_signatures(assembly.changed(signatures=compared), **protocol)


def test_own_learners_join_the_table_each_with_its_own_fit(compared):
    _, _, table, run = compared
    assert set(table.index) == {"LDA", "Boosting", "Margin", "Fixed"}
    assert table.loc["Boosting", "apparent"] != table.loc["Fixed", "apparent"]  # same steps, other grid: no shared fit
    for name in ("Boosting", "Margin"):
        rows = run.predictions.query(f"signature == 'radiomics {name}' and kind == 'out_of_fold'")
        risk = tied(rows["risk"].to_numpy(dtype=float))  # trees give some patients risks that differ by rounding only
        assert table.loc[name, "out_of_fold"] == pytest.approx(roc_auc_score(rows["label"], risk))
    margins = run.predictions.query("signature == 'radiomics Margin'")["risk"]
    assert margins.nunique() > 20
    assert margins.min() < 0  # a decision value, not a class
    model = run.results["radiomics Margin"].refit.pipeline_.steps[-1][1]
    assert linear_coefficients(model) is None


def test_it_is_tuned_in_inner_folds_as_grid_search_would(compared):
    _, assembly, _, run = compared
    table, outcome, _ = assembly.training("Radiomics")
    fold = run.predictions.query("signature == 'radiomics Boosting' and kind == 'out_of_fold'")
    test = set(fold.loc[fold["fold"] == 0, "subject"])
    train = table.index[~table.index.isin(test)]
    model = run.results["radiomics Boosting"].models[0][0]
    features = model.features(table)
    final = GradientBoostingClassifier(n_estimators=5, random_state=0, **model.best_params_)
    again = final.fit(features.loc[train].to_numpy(), outcome[train])  # nobody of the fold's test part is in it
    rows = fold[fold["fold"] == 0].set_index("subject")["risk"]
    assert again.predict_proba(features.loc[rows.index].to_numpy())[:, 1] == pytest.approx(rows.to_numpy())
    assert set(run.tuning["settings"]) >= {'{"learning_rate": 0.05}', '{"learning_rate": 0.5}'}


def test_without_steps_the_inner_scores_are_grid_search_s():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 40)
    X = pd.DataFrame(rng.normal(size=(80, 3)) + y[:, None] * 0.7)
    chosen = own_learners({"B": BOOSTING})["B"]
    ours = TunedPipeline([], *chosen, 4, 2).fit(X, y)
    folds = StratifiedKFold(4, shuffle=True, random_state=2)
    theirs = GridSearchCV(BOOSTING[0], BOOSTING[1], scoring="roc_auc", cv=folds).fit(X.to_numpy(), y)
    assert ours.tuning_["inner_score"].to_numpy() == pytest.approx(theirs.cv_results_["mean_test_score"])


def test_a_signature_takes_an_own_learner_and_a_combination_its_decision_value(small, folder):
    radiomics = {**small.radiomics}
    study = small.study([radiomics, small.clinical, small.both])
    mine = [s.model_copy(update={"learner": "Margin"}) if s.name == "Radiomics" else s for s in study.signatures]
    assembly = small.assemble(study, folder(), learners={"Margin": RidgeClassifier()}).changed(signatures=mine)
    both = run_signatures(assembly, ["Both"], **small.protocol(study)).results["Both"].refit
    table = assembly.table("Both")
    risks = both.part_risks(table)
    entered = both._meta_table({name: risks[name].to_numpy() for name in risks}, table)
    assert entered["Radiomics"].tolist() == risks["Radiomics"].tolist()
    assert entered["Clinical"].to_numpy() == pytest.approx(np.log(risks["Clinical"] / (1 - risks["Clinical"])))


def test_an_unknown_learner_is_said_before_anything_is_fitted(small, folder, monkeypatch):
    study = small.study([small.radiomics])
    assembly = small.assemble(study, folder(), learners={"Boosting": BOOSTING})
    monkeypatch.setattr(TunedPipeline, "fit", lambda *_: pytest.fail("something was fitted"))
    with pytest.raises(InputError, match="Did you mean 'Boosting'"):
        reruns.learners(assembly, ["radiomics"], ["LDA", "Bosting"], **small.protocol(study))


def test_without_a_source_named_the_first_one_is_used(small, folder):
    study = small.study([small.radiomics, small.clinical])
    assembly = small.assemble(study, folder(), learners={"Boosting": BOOSTING})
    table = reruns.learners(assembly, [], [], **small.protocol(study))
    assert table[["source", "learner"]].to_numpy().tolist() == [["radiomics", "Boosting"]]
    alone = assembly.changed(signatures=[study.signatures[1]])
    with pytest.raises(InputError, match="No signature uses one source alone"):
        reruns.learners(alone, [], [], **small.protocol(study))


def test_an_estimator_written_in_a_cell_is_used_too(tmp_path):
    class Mean(ClassifierMixin, BaseEstimator):  # as in a notebook: no module has it
        def fit(self, X, y):
            self.classes_ = np.array([0, 1])
            return self

        def predict_proba(self, X):
            risk = 1 / (1 + np.exp(-np.asarray(X).mean(axis=1)))
            return np.column_stack([1 - risk, risk])

    assert set(own_learners({"Middle": Mean()})) == {"Middle"}
    y = np.arange(40) % 2
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(40, 2)) + y[:, None])
    risk = TunedPipeline([], Mean(), [], 2, memory=str(tmp_path)).fit(X, y).risk(X)  # no pickle takes this class
    assert risk == pytest.approx(1 / (1 + np.exp(-X.mean(axis=1))))
