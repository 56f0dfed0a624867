"""Coefficients are what moves the log-odds; stability counts what gets a weight."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import logit

from radsupport.book.conclusions import modelling as say
from radsupport.learning import inspection as coefficients
from radsupport.learning.learners import learner
from radsupport.learning.linear import CoxRisk


def _data(n=80, p=5, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    y = (X[:, 0] - X[:, 1] + rng.logistic(size=n) > 0).astype(int)
    return (X - X.mean(axis=0)) / X.std(axis=0), y


@pytest.mark.parametrize("name", ["Ridge", "LASSO", "Enet", "glmBoost", "plsRglm", "Logistic", "LDA"])
def test_coefficients_are_the_change_in_log_odds_per_unit(name):
    X, y = _data()
    model = learner(name).estimator.fit(X, y)
    coefs = coefficients.linear_coefficients(model)
    at = np.zeros((1, X.shape[1]))
    for j, coef in enumerate(coefs):
        moved = at.copy()
        moved[0, j] = 0.5
        change = logit(model.predict_proba(moved)[0, 1]) - logit(model.predict_proba(at)[0, 1])
        assert change / 0.5 == pytest.approx(coef, abs=1e-9)
    assert coefs[0] > 0 > coefs[1]


def test_a_linear_machine_has_coefficients_and_a_curved_one_has_none():
    X, y = _data()
    machine = learner("SVM").estimator.set_params(kernel="linear", C=0.5).fit(X, y)
    coefs = coefficients.linear_coefficients(machine)
    change = logit(machine.predict_proba(np.eye(5))[:, 1]) - logit(machine.predict_proba(np.zeros((1, 5)))[0, 1])
    assert change == pytest.approx(coefs, abs=1e-9)
    assert coefficients.linear_coefficients(machine.set_params(kernel="rbf").fit(X, y)) is None
    for name in ("GBM", "XGBoost", "NaiveBayes"):
        assert coefficients.linear_coefficients(learner(name).estimator.fit(X, y)) is None


def test_cox_coefficients_are_log_hazards():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 2))
    y = np.array(list(zip(rng.random(100) < 0.8, rng.exponential(np.exp(-X[:, 0])), strict=True)),
                 dtype=[("event", bool), ("time", float)])  # fmt: skip
    model = CoxRisk().fit(X, y)
    assert coefficients.linear_coefficients(model) == pytest.approx(model.coef_)
    assert model.coef_[0] > 0.5


def test_stability_counts_fits_that_give_a_weight(finished):
    table = coefficients.stability(finished.run)
    own = table[table["signature"] == "Radiomics"].set_index("feature")
    assert (own["fits"] == 8).all()
    assert own["share"].to_numpy() == pytest.approx(own["times_selected"] / 8)
    assert own.index[:2].tolist() == ["ct__f0", "ct__f1"]
    assert own["share"].iloc[0] == 1
    models = [m for fitted in finished.run.results["Radiomics"].models for m in fitted.values()]
    by_hand = [set(coefficients.chosen_by(m).index) for m in models]
    for feature, row in own.iterrows():
        assert row["times_selected"] == sum(feature in chosen for chosen in by_hand)
    assert own["times_selected"].sum() < sum(len(m.features_) for m in models)
    stable = int((own["share"] >= 0.9).sum())
    assert f"{len(own)} features chosen at least once, {stable} of them" in say.stable(table, ["Radiomics"])


def test_chosen_features_are_those_of_the_refit(finished):
    table = coefficients.chosen_features(finished.run)
    model = finished.run.results["Radiomics"].refit
    own = table[table["signature"] == "Radiomics"].set_index("feature")
    kept = pd.Series(model.pipeline_.steps[-1][1].coef_, model.features_)
    assert own["coefficient"].to_dict() == pytest.approx(kept[kept != 0].to_dict())
    assert own["odds_ratio"].to_numpy() == pytest.approx(np.exp(own["coefficient"]))
    assert own["coefficient"].abs().is_monotonic_decreasing
    assert table.loc[table["signature"] == "Both", "feature"].tolist()[0] == "Radiomics"
    assert "hazard_ratio" not in table


def test_a_given_risk_chooses_nothing(small, folder):
    cohort = small.cohort()
    given = pd.DataFrame({"subject": cohort["subject"], "ct__risk": np.linspace(0, 1, len(cohort))})
    study = small.study([{"name": "CNN", "sources": ["deep_published"], "learner": "published"}])
    path = folder(cohort, deep_published=given)
    run = small.run(study, small.assemble(study, path))
    assert coefficients.chosen_features(run).empty
    assert coefficients.shown_signatures(run.signatures) == []


def test_shown_are_the_fitted_parts_of_the_best(finished):
    assert coefficients.shown_signatures(finished.run.signatures, best="Both") == ["Radiomics", "Clinical"]
    assert coefficients.shown_signatures(finished.run.signatures, ["Clinical"]) == ["Clinical"]


def test_correlation_of_the_chosen_features(finished):
    chosen = coefficients.chosen_features(finished.run)
    pairs = coefficients.correlation_table(finished.assembly, chosen, "Radiomics", most=3)
    table, *_ = finished.assembly.training("Radiomics")
    assert len(pairs) == 3
    for row in pairs.to_dict("records"):
        expected = np.corrcoef(table[row["feature_a"]], table[row["feature_b"]])[0, 1]
        assert row["r"] == pytest.approx(expected)
    words = say.correlated(pairs, chosen, "Radiomics")
    assert "of 3 pairs" in words
    # A category is no number to correlate.
    single = coefficients.correlation_table(finished.assembly, chosen, "Clinical")
    assert single.empty
    assert "no pair" in say.correlated(single, chosen, "Clinical")


def test_names_are_readable():
    assert coefficients.readable("arterial__wavelet-LLH_glcm_Idm") == "arterial: wavelet-LLH glcm Idm"
    assert coefficients.readable("size_class") == "size class"
    assert coefficients.readable("size_class=<=5") == "size class: <=5"
    assert coefficients.readable("size_class=<=5", {"size_class": "Size (cm)"}) == "Size (cm): <=5"
    assert coefficients.readable("arterial__deep_0024", {"size_class": "Size (cm)"}) == "arterial: deep 0024"


def test_columns_go_by_their_label(small):
    labels = {name: column.label for name, column in small.study([small.clinical]).columns.items()}
    table = pd.DataFrame({"feature": ["symptom=yes", "age", "ct__f0"], "share": 1.0})
    named = coefficients.readable_features(table, labels)
    assert named["feature"].tolist() == ["Symptom: yes", "Age", "CT: f0"]
    pairs = pd.DataFrame({"feature_a": ["age"], "feature_b": ["ct__f0"], "r": [0.1]})
    named = coefficients.readable_features(pairs, labels)
    assert named[["feature_a", "feature_b"]].iloc[0].tolist() == ["Age", "CT: f0"]


def counts(times: list[int], name: str = "R") -> pd.DataFrame:
    """Return a table as `stability` does, of features in alphabetical order."""
    features = [f"f{i:03d}" for i in range(len(times))]
    return pd.DataFrame({"signature": name, "feature": features, "times_selected": times, "fits": 30}).assign(
        share=np.array(times) / 30
    )


def test_ties_at_the_cut_are_counted():
    table = counts([30] * 212 + [29] * 5)
    words = say.stable(table, [], ["R"])
    assert "212 features tie at 30 of 30 fits; 8 of them are shown, the first in alphabetical order" in words
    later = say.stable(counts([30] * 6 + [29] * 4), [], ["R"])
    assert "4 features tie at 29 of 30 fits; 2 of them are shown" in later
    for clear in ([30] * 8 + [29], [30] * 3):
        assert "is left out" in say.stable(counts(clear), [], ["R"])
    assert say.stable(table, [], ["other"]) == "No signature of this study selects features."


def test_features_without_coefficients_are_ordered_by_share_and_lot():
    chosen = counts([3] * 5 + [30] * 40 + [20] * 3).assign(coefficient=np.nan)
    first = coefficients.ordered_features(chosen, "R", 1)
    assert set(first[:40]) == set(chosen["feature"][5:45])
    assert first[:14] != chosen["feature"][5:19].tolist()
    assert first == coefficients.ordered_features(chosen, "R", 1)
    assert first[:40] != coefficients.ordered_features(chosen, "R", 2)[:40]
    assert set(first[-5:]) == set(chosen["feature"][:5])
    weighted = chosen.assign(coefficient=np.linspace(-3, 1, len(chosen)))
    assert coefficients.ordered_features(weighted, "R", 1)[:2] == ["f000", "f001"]


def test_correlations_say_which_features_they_are_of():
    chosen = counts([30] * 40 + [20] * 10).assign(coefficient=np.nan)
    names = coefficients.ordered_features(chosen, "R", 1)[:14]
    pairs = pd.DataFrame([(names[i], names[j], 0.9) for i in range(14) for j in range(i)],
                         columns=["feature_a", "feature_b", "r"])  # fmt: skip
    words = say.correlated(pairs, chosen, "R")
    assert "14 of 50 features, those chosen most often, 14 of them drawn by lot from 40 that tie" in words
    assert "oefficient" not in words
    weighted = chosen.assign(coefficient=1.0)
    assert "those with the largest coefficients" in say.correlated(pairs, weighted, "R")
    few = pairs[pairs["feature_a"].isin(names[:3]) & pairs["feature_b"].isin(names[:3])]
    assert "3 of 50 features, the numeric ones" in say.correlated(few, weighted, "R")
    alone = chosen[chosen["feature"].isin(names)]
    assert "(all 14 features)" in say.correlated(pairs, alone, "R")


def test_why_there_are_no_coefficients(finished):
    made = coefficients.inspect(finished.run, finished.assembly)
    curved = replace(made, chosen=counts([30, 30]).assign(coefficient=np.nan))
    assert (
        "**R** has no coefficients: its learner is not linear in its 2 features."
        in curved.coefficients("R").attrs["empty"]
    )
    assert "kept no feature" in curved.coefficients("S").attrs["empty"]
    assert curved.coefficients("R").empty


def test_an_inspection_holds_the_tables_of_a_run_in_readable_names(finished):
    run, assembly = finished.run, finished.assembly
    made = coefficients.inspect(run, assembly, labels={"age": "Age"}, best="Both", seed=3)
    assert made.shown == ["Radiomics", "Clinical"]
    own = made.coefficients("Radiomics")
    assert own["feature"].str.startswith("CT: ").all()
    assert "signature" not in own
    assert own["coefficient"].tolist() == made.chosen.query("signature == 'Radiomics'")["coefficient"].tolist()
    assert [view.signature for view in made.penalties()] == ["Radiomics"]
    expected = coefficients.correlation_table(assembly, made.chosen, "Radiomics", seed=3)
    pd.testing.assert_frame_equal(made.correlations()["Radiomics"], expected)
    pd.testing.assert_frame_equal(made.funnel, coefficients.selection_funnel(run))


def test_funnel_counts_of_folds_and_refit(finished):
    table = finished.run.selection_counts()
    own = table[table["signature"] == "Radiomics"].set_index("step")
    model = finished.run.results["Radiomics"].refit
    assert own.loc["not redundant", "refit"] == len(model.features_)
    assert own.loc["univariate test", "features_in"] == 24
    assert (table["features_left"] == table["features_left"].round()).all()
    assert own.loc["univariate test", "fewest"] <= own.loc["univariate test", "features_left"]
    funnel = coefficients.selection_funnel(finished.run)
    assert set(funnel["signature"]) == {"Radiomics"}
    assert funnel["step"].tolist() == ["given", "univariate test", "not redundant"]
    assert funnel["n_features"].iloc[0] == 24
    assert funnel["n_features"].iloc[-1] == len(model.features_)
