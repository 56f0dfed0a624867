"""The path that is shown is the one the signature was chosen on."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from helpers.signature_study import assembly_of, run_of

from radsupport.book.conclusions.modelling import penalties
from radsupport.learning.inspection import penalty_view


def _view(study, path, name):
    assembly = assembly_of(study, path)
    run = run_of(study, assembly, [name])
    return penalty_view(assembly, run, name), run.results[name].refit


def _at(view, value):
    """Coefficients of the path at a penalty, linear between its points."""
    wide = view.path.pivot_table(index="lambda", columns="feature", values="coefficient").sort_index()
    return {name: np.interp(value, wide.index, wide[name]) for name in wide.columns}


@pytest.mark.parametrize(("primary", "name"), [("label", "LASSO"), ("survival", "CoxLasso")])
def test_path_of_a_learner_passes_through_its_coefficients(small, folder, primary, name):
    signature = {"name": "S", "sources": ["radiomics"], "learner": name}
    view, model = _view(small.study([signature], primary), folder(), "S")
    learner = model.pipeline_.steps[-1][1]
    used = view.chosen["λ used"]
    found, expected = _at(view, used), dict(zip(model.features_, learner.coef_, strict=True))
    assert found == pytest.approx({k: expected[k] for k in found}, abs=0.012)
    assert set(view.named) == {name for name, value in expected.items() if value != 0}
    sizes = [abs(expected[name]) for name in view.named]
    assert sizes == sorted(sizes, reverse=True)
    assert view.kept == {"λ used": len(view.named)}
    assert view.kind == ("binomial" if primary == "label" else "cox")
    assert view.error.empty
    assert "best discrimination in inner folds" in penalties([view])
    assert (view.path.loc[view.path["lambda"] == view.path["lambda"].max(), "coefficient"] == 0).all()


@pytest.mark.parametrize("rule", ["lambda_min", "lambda_1se"])
def test_path_of_a_selection_is_per_sd_and_marks_both_rules(small, folder, rule):
    cohort = small.cohort()
    features = small.features(cohort)
    features["ct__f0"] *= 1000
    signature = {"name": "S", "sources": ["radiomics"], "selection": {"lasso": True, "lasso_rule": rule},
                 "learner": "Ridge"}  # fmt: skip
    view, model = _view(small.study([signature]), folder(cohort, radiomics=features), "S")
    selector = dict(model.pipeline_.steps)["lasso"]
    train = features.set_index("subject").loc[cohort["subject"][: small.train]]
    found = _at(view, view.chosen["λ used"])
    for feature, coef in selector.coef_.items():
        assert found[feature] == pytest.approx(coef * train[feature].std(ddof=0))
    assert list(view.chosen) == [
        "λ used",
        "λ by " + ("one standard error" if rule == "lambda_min" else "the smallest deviance"),
    ]
    low, high = sorted(view.chosen.values())
    assert view.chosen["λ used"] == (low if rule == "lambda_min" else high)
    assert set(view.error.columns) == {"lambda", "mean", "sd", "n_nonzero"}
    assert f"leaves {len(view.named)} feature" in penalties([view])
    assert set(view.named) == set(selector.coef_.index)
    assert view.kept["λ used"] == len(view.named)
    words = view.readable({"ct__f0": "First"})
    assert "First" in words.named
    assert set(words.named) <= set(words.path["feature"])


def test_a_penalty_that_keeps_nothing_is_said_to(small, folder):
    cohort = small.cohort()
    features = small.features(cohort, effect=0.0, seed=2)
    for rule in ("lambda_min", "lambda_1se"):
        signature = {"name": "S", "sources": ["radiomics"], "selection": {"lasso": True, "lasso_rule": rule},
                     "learner": "Ridge"}  # fmt: skip
        view, model = _view(small.study([signature]), folder(cohort, radiomics=features), "S")
        assert "λ by one standard error would be" in penalties([view])
        assert "leave **no feature**" in penalties([view])
        selector = dict(model.pipeline_.steps)["lasso"]
        assert view.chosen["λ used"] == selector.lambda_
    # Nothing is left by the rule itself: the penalty that is used is a weaker one, and is drawn where it is.
    assert view.chosen["λ used"] < view.chosen["λ by one standard error"]
    assert "lowered along the path" in view.rule
    assert view.kept["λ used"] >= 1


def test_no_path_without_a_lasso(finished):
    run, assembly = finished.run, finished.assembly
    assert penalty_view(assembly, run, "Both") is None
    assert penalty_view(assembly, run, "Clinical") is None
    assert isinstance(penalty_view(assembly, run, "Radiomics").path, pd.DataFrame)
    assert penalties([]) == "None of the signatures shown here uses a LASSO."
