"""A signature developed again, and sets that hold the truth: counted by hand, at the right patients, none seen."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest
from helpers.signature_study import RADIOMICS, cohort_of, features_of
from scipy.stats import beta

from radsupport.errors import NotEstimableError
from radsupport.evaluate import measure
from radsupport.evaluate.uncertainty import corrected_benefit, coverage, instability, refits, sets
from radsupport.learning.assembly import SURVIVAL, Assembly
from radsupport.learning.crossval import cross_validate
from radsupport.settings.learning import Signature
from radsupport.stats.conformal import class_p
from radsupport.stats.outcome import as_target, stratified_folds
from radsupport.stats.usefulness import net_benefit


def _assembly(outcome=("label",), learner="LASSO", cohort=None):
    people = cohort_of() if cohort is None else cohort
    signature = Signature.model_validate({**RADIOMICS, "learner": learner, "selection": {"max_correlation": 0.95}})
    return Assembly([signature], {"radiomics": features_of(people)}, people, outcome=outcome)


@pytest.fixture(scope="module")
def labelled():
    assembly = _assembly()
    return assembly, refits(assembly, _validated(assembly), "Radiomics", repeats=3, inner_folds=2, seed=4)


def _validated(assembly, folds=3):
    table, outcome, _ = assembly.training("Radiomics")
    return cross_validate(table, outcome, partial(assembly.estimator, "Radiomics"), folds=folds, inner_folds=2)


def test_every_repeat_predicts_every_training_patient(labelled):
    assembly, found = labelled
    table, outcome, _ = assembly.training("Radiomics")
    assert found.groupby("repeat")["subject"].nunique().to_dict() == dict.fromkeys(range(4), 60)
    assert (found.groupby("repeat")["drawn"].sum() == 60).all()
    whole = _validated(assembly).refit.risk(table)
    own = found[found["repeat"] == 0].set_index("subject")
    assert own.loc[table.index, "probability"].to_numpy() == pytest.approx(whole)
    rows = np.random.default_rng([4, 60]).integers(0, 60, (3, 60))[1]
    again = assembly.estimator("Radiomics", 2, 4).fit(table.iloc[rows], outcome.iloc[rows]).risk(table)
    assert found[found["repeat"] == 2].set_index("subject")["risk"][table.index].to_numpy() == pytest.approx(again)


def test_instability_and_corrected_benefit_by_hand(labelled):
    _, found = labelled
    wide = found.pivot_table(index="subject", columns="repeat", values="probability")
    table = instability(found, 0.4).set_index("subject")
    assert table["mape"].sort_index().to_numpy() == pytest.approx(
        wide[[1, 2, 3]].sub(wide[0], axis=0).abs().mean(axis=1)
    )
    moved = (wide[[1, 2, 3]] > 0.4).ne(wide[0] > 0.4, axis=0).mean(axis=1)
    assert table["changed"].sort_index().to_numpy() == pytest.approx(moved)
    assert table["mape"].is_monotonic_decreasing
    people, gains = found[found["repeat"] == 0].set_index("subject"), []
    for _, part in found[found["repeat"] > 0].groupby("repeat"):
        drawn = part.loc[part.index.repeat(part["drawn"])]
        curves = [net_benefit(own["label"], own["probability"], [0.3]) for own in (drawn, part)]
        gains.append(curves[0]["net_benefit"].iloc[0] - curves[1]["net_benefit"].iloc[0])
    apparent = net_benefit(people["label"], people["probability"], [0.3])["net_benefit"]
    row = corrected_benefit(found, [0.3]).iloc[0]
    assert row[["apparent", "treat_all"]].to_list() == pytest.approx(apparent.iloc[:2].to_list())
    assert row["corrected"] == pytest.approx(apparent.iloc[0] - np.mean(gains))


def test_survival_risks_become_probabilities_at_the_last_horizon_that_can_be_judged():
    assembly = _assembly(SURVIVAL, "CoxLasso")
    found = refits(
        assembly, _validated(assembly), "Radiomics", repeats=1, inner_folds=2, seed=1, horizons=[5.0, 10.0, 900.0]
    )
    assert set(found["horizon"]) == {10.0}
    assert found["probability"].between(0, 1).all()
    assert all(part["risk"].corr(part["probability"], "spearman") > 0.99 for _, part in found.groupby("repeat"))
    late = refits(assembly, _validated(assembly), "Radiomics", repeats=1, inner_folds=2, seed=1, horizons=[900.0])
    assert (len(late), "no horizon" in late.attrs["empty"], len(instability(late))) == (0, True, 0)


def test_what_is_not_fitted_is_not_developed_again():
    given = Signature.model_validate({"name": "P", "sources": ["radiomics"], "learner": "published"})
    people = cohort_of()
    table = features_of(people, p=2)[["subject", "ct__f0"]]
    assembly = Assembly([given], {"radiomics": table}, people)
    assert "nothing of it is fitted" in refits(assembly, None, "P", repeats=2, inner_folds=2, seed=0).attrs["empty"]


def test_who_was_drawn_twice_is_in_one_inner_fold():
    rows = np.random.default_rng(0).integers(0, 20, 40)
    target = as_target(pd.Series(np.arange(20) % 2).iloc[rows])
    for train, test in stratified_folds(target, 3, 0, subjects=pd.Index(rows)):
        assert not set(rows[train]) & set(rows[test])
        assert len(train) + len(test) == 40


def test_sets_of_each_cohort_by_models_that_had_not_seen_them():
    assembly = _assembly()
    result = _validated(assembly)
    found = sets(assembly, result, "Radiomics", alpha=0.2).set_index("subject")
    first = result.risks.set_index("subject")
    label = assembly.cohort["label"]
    inside = class_p(first["risk"], label[first.index], first["fold"])
    assert found.loc[first.index, ["p_none", "p_event"]].to_numpy() == pytest.approx(inside)
    elsewhere = assembly.cohort.index[assembly.cohort["cohort"] == "external"]
    outside = assembly.table("Radiomics").loc[elsewhere]
    by_fold = np.column_stack([result.models[0][k].risk(outside) for k in (0, 1, 2)])
    expected = class_p(first["risk"], label[first.index], first["fold"], by_fold)
    assert found.loc[elsewhere, ["p_none", "p_event"]].to_numpy() == pytest.approx(expected)
    table = measure(found.reset_index(), coverage, ["cohort"]).set_index("cohort")
    own = found[found["cohort"] == "external"]
    held = [says in ("both", "event" if y else "no event") for says, y in zip(own["says"], own["outcome"], strict=True)]
    row, k = table.loc["external"], sum(held)
    assert (row["n"], row["covered"]) == (24, pytest.approx(k / 24))
    assert row["covered_low"] == pytest.approx(beta.ppf(0.025, k, 25 - k))
    assert row["one"] + row["both"] + row["neither"] == 24


def test_sets_at_a_horizon_leave_out_whose_outcome_is_not_known():
    assembly = _assembly(SURVIVAL, "CoxLasso")
    found = sets(assembly, _validated(assembly), "Radiomics", horizons=[10.0, 900.0])
    assert set(found["horizon"]) == {10.0}
    people = assembly.cohort.loc[found["subject"]]
    expected = np.where((people["time"] <= 10) & (people["event"] == 1), 1, np.where(people["time"] > 10, 0, np.nan))
    np.testing.assert_array_equal(found["outcome"], expected)
    row = coverage(found[found["cohort"] == "train"])
    assert row["n"] == np.isfinite(expected[:60]).sum()
    assert row["covered_none"] >= 0.8


def test_folds_of_a_follow_up_need_events_and_nobody_censored() -> None:
    frame = pd.DataFrame({"time": np.arange(1, 13.0), "event": [1] * 9 + [0] * 3})
    for event in (frame["event"], np.ones(12)):
        target = as_target(frame.assign(event=event))
        parts = stratified_folds(target, 5, 1)
        assert sorted(np.concatenate([test for _, test in parts])) == list(range(12))
        assert all(target["event"][test].any() for _, test in parts)
    with pytest.raises(NotEstimableError, match="3 had the event, so a fold would hold none"):
        stratified_folds(as_target(frame.assign(event=1 - frame["event"])), 5, 1)
    with pytest.raises(NotEstimableError, match="the smaller of the two outcome groups has 3"):
        stratified_folds(as_target(frame["event"]), 5, 1)
